//! Any template that parses ends within its budget, or fails: no panic, no overflow, no hang.
#![no_main]

use std::rc::Rc;

use libfuzzer_sys::fuzz_target;
use slipway_gotmpl::{Budget, FuncMap, Function, Limits, MissingKey, Numbers, Set, Type, Value};

static FUNCTIONS: &[Function] = &[
    Function::new("include", &[Type::String, Type::Any], |context, args| match args {
        [Value::Str(name), dot] => Ok(context.execute(&name.to_text(), dot.clone())?.into()),
        _ => Err("no name".into()),
    }),
    Function::new("tpl", &[Type::String, Type::Any], |context, args| match args {
        [Value::Str(text), dot] => {
            let mut child = Set::child(context.set());
            child.parse("tpl", &text.to_text())?;
            Ok(context.execute_in(&Rc::new(child), "tpl", dot.clone())?.into())
        }
        _ => Err("no text".into()),
    }),
    Function::variadic("list", &[Type::Any], |_, args| Ok(args.to_vec().into())),
    Function::new("set", &[slipway_gotmpl::MAP, Type::String, Type::Any], |_, args| match args {
        [Value::Map(map), Value::Str(key), value] => {
            map.insert(key.clone(), value.clone());
            Ok(Value::Map(map.clone()))
        }
        _ => Err("no map".into()),
    }),
];

fuzz_target!(|text: &str| {
    let mut set = Set::new(Rc::new(FuncMap::new(&[FUNCTIONS])), MissingKey::Zero);
    if set.parse("fuzz", text).is_err() {
        return;
    }
    let data = serde_json::json!({
        "a": 1, "b": "text", "l": [1, "two", null, [3]], "m": { "x": { "y": "z" }, "n": null }, "t": true
    });
    // A sanitizer's frames are large: little stack, so that the fuzzer's own is never the bound.
    let shared = slipway_budget::Budget::new(slipway_budget::Limits { steps: 20_000, bytes: 1 << 20 });
    let limits = Limits { depth: 50, stack: 256 << 10 };
    let dot = Value::from_json(&data, Numbers::Float);
    if let Err(error) = Rc::new(set).execute("fuzz", dot, &Budget::new(shared, limits), &()) {
        let _ = format!("{error} {error:#}");
    }
});
