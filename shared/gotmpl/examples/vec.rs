#![allow(warnings, clippy::all, clippy::pedantic)]
use slipway_gotmpl::*;
use std::rc::Rc;
fn main() {
    let text = std::fs::read_to_string(std::env::args().nth(1).unwrap()).unwrap();
    let (mut pass, mut skip, mut fail) = (0, 0, 0);
    for line in text.lines() {
        let r: serde_json::Value = serde_json::from_str(line).unwrap();
        let name = r["name"].as_str().unwrap();
        let tpl = r["template"].as_str().unwrap();
        let funcs = Rc::new(FuncMap::new(&[]));
        let mut set = Set::new(funcs, MissingKey::Zero);
        let res = set.parse("vec", tpl).and_then(|_| {
            let set = Rc::new(set);
            let budget = Budget::new(Limits::default());
            set.execute("vec", Value::from_json(&r["data"], Numbers::Float), &budget, &())
        });
        let got = match &res {
            Ok(o) => format!("OK {}", String::from_utf8_lossy(o).replace("<no value>", "")),
            Err(e) => format!("ERR {e}"),
        };
        let want = match r.get("expected") {
            Some(e) => format!("OK {}", e.as_str().unwrap()),
            None => format!("ERR {}", r["error"].as_str().unwrap()),
        };
        if got == want {
            pass += 1;
            continue;
        }
        if got.starts_with("ERR") && got.contains("function \"") && got.ends_with("not defined") {
            skip += 1;
            continue;
        }
        fail += 1;
        println!("{name}\n  T {tpl:?}\n  D {}\n  want {want:?}\n  got  {got:?}", r["data"]);
    }
    println!("pass {pass} skip {skip} fail {fail}");
}
