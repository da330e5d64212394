//! The engine from outside: against Go's recorded answers, at its bounds, and what its errors look like.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test may stop by panicking

mod bounds;
mod errors;
mod reference;
mod values;

use std::rc::Rc;

use slipway_gotmpl::{Budget, Error, FuncMap, Function, Limits, MissingKey, Set, Type, Value};

/// A little of what Helm has.
static FUNCTIONS: &[Function] = &[
    Function::new("include", &[Type::String, Type::Any], |context, args| {
        let name = args[0].as_str().unwrap().to_string();
        Ok(context.execute(&name, args[1].clone())?.into())
    }),
    Function::new("tpl", &[Type::String, Type::Any], |context, args| {
        let mut child = Set::child(context.set());
        child.parse("tpl", &args[0].as_str().unwrap().to_text())?;
        Ok(context.execute_in(&Rc::new(child), "tpl", args[1].clone())?.into())
    }),
    Function::variadic("list", &[Type::Any], |_, args| Ok(args.to_vec().into())),
    Function::new("set", &[slipway_gotmpl::MAP, Type::String, Type::Any], |_, args| {
        args[0].as_map().unwrap().insert(args[1].as_str().unwrap().clone(), args[2].clone());
        Ok(args[0].clone())
    }),
    Function::new("upper", &[Type::String], |_, args| Ok(args[0].as_str().unwrap().to_text().to_uppercase().into())),
    Function::new("fail", &[Type::String], |_, args| Err(args[0].as_str().unwrap().to_string().into())),
];

fn budget() -> Budget {
    Budget::new(slipway_budget::Budget::default(), Limits::default())
}

/// Parses files of which the first is executed.
fn render_within(budget: &Budget, files: &[(&str, &str)], dot: &Value) -> Result<String, Error> {
    let mut set = Set::new(Rc::new(FuncMap::new(&[FUNCTIONS])), MissingKey::Zero);
    for (name, text) in files {
        set.parse(name, text)?;
    }
    let out = Rc::new(set).execute(files[0].0, dot.clone(), budget, &())?;
    Ok(String::from_utf8(out).unwrap())
}

fn render(template: &str, dot: &Value) -> Result<String, Error> {
    render_within(&budget(), &[("t.yaml", template)], dot)
}
