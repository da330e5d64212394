//! Go's templates by themselves: parsed and executed.

use std::rc::Rc;

use slipway_gotmpl::{Budget, FuncMap, Function, Limits, MAP, MissingKey, Numbers, Set, Type, Value};

use crate::parts;

/// Any text parses or fails, and the error prints in both forms.
pub fn gotmpl_parse(data: &[u8]) {
    let Some(text) = parts::text(data) else { return };
    let mut set = Set::new(Rc::new(FuncMap::default()), MissingKey::Zero);
    if let Err(error) = set.parse("fuzz", text) {
        let _ = format!("{error} {error:#}");
    }
}

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
    Function::new("set", &[MAP, Type::String, Type::Any], |_, args| match args {
        [Value::Map(map), Value::Str(key), value] => {
            map.insert(key.clone(), value.clone());
            Ok(Value::Map(map.clone()))
        }
        _ => Err("no map".into()),
    }),
];

/// Any template that parses ends within the budget of a render, or fails; it prints the same twice.
pub fn gotmpl_exec(data: &[u8]) {
    let Some(text) = parts::text(data) else { return };
    let mut set = Set::new(Rc::new(FuncMap::new(&[FUNCTIONS])), MissingKey::Zero);
    if set.parse("fuzz", text).is_err() {
        return;
    }
    let data = serde_json::json!({
        "a": 1, "b": "text", "l": [1, "two", null, [3]], "m": {"x": {"y": "z"}, "n": null}, "t": true,
    });
    let set = Rc::new(set);
    // What a sanitizer puts on the stack is large: less of it, so that the fuzzer's own is never the bound.
    let limits = Limits { stack: 256 << 10, ..Limits::default() };
    let run = || {
        let budget = Budget::new(slipway_budget::Budget::default(), limits);
        let printed = set.execute("fuzz", Value::from_json(&data, Numbers::Float), &budget, &());
        printed.map_err(|error| format!("{error} {error:#}"))
    };
    assert_eq!(run(), run());
}
