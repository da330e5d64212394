//! Objects, types and what comes from outside.

use rsjsonnet_lang::ast::Visibility;

use super::{Arguments, Native};
use crate::eval::{Eval, unexpected};
use crate::number;
use crate::object::{Field, Layer, Object};
use crate::value::{Outcome, Value, fail};

pub(super) const NATIVES: &[Native] = &[
    Native { name: "extVar", params: &["x"], call: ext_var },
    Native { name: "native", params: &["x"], call: native },
    Native { name: "type", params: &["x"], call: type_of },
    Native { name: "length", params: &["x"], call: length },
    Native { name: "trace", params: &["str", "rest"], call: trace },
    Native { name: "objectFieldsEx", params: &["obj", "hidden"], call: object_fields },
    Native { name: "objectHasEx", params: &["obj", "fname", "hidden"], call: object_has },
    Native { name: "objectRemoveKey", params: &["obj", "key"], call: object_remove_key },
];

fn ext_var<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let name = arguments.string(eval, 0)?;
    match eval.external(name)? {
        Some(thunk) => eval.force(thunk),
        None => fail(format!("undefined external variable: {name}")),
    }
}

/// There are none.
fn native<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    arguments.string(eval, 0)?;
    Ok(Value::Null)
}

fn type_of<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    Ok(Value::String(arguments.value(eval, 0)?.type_name()))
}

fn length<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let length = match arguments.value(eval, 0)? {
        Value::String(text) => {
            eval.step(text.len() / 64 + 1)?;
            text.chars().count()
        }
        Value::Array(items) => items.len(),
        Value::Object(object) => eval.visible(object)?.len(),
        Value::Function(function) => function.required(),
        other => return unexpected(other, "string, array, object or function"),
    };
    Ok(Value::Number(number::from_len(length)))
}

/// A function logs nothing.
fn trace<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    arguments.string(eval, 0)?;
    arguments.value(eval, 1)
}

fn object_fields<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let (object, hidden) = (arguments.object(eval, 0)?, arguments.flag(eval, 1, false)?);
    let names = eval.names(object)?.into_values();
    let names = names.filter(|(_, visibility)| hidden || *visibility != Visibility::Hidden);
    eval.array(&names.map(|(name, _)| Value::String(name.value())).collect::<Vec<_>>())
}

fn object_has<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let (object, hidden) = (arguments.object(eval, 0)?, arguments.flag(eval, 2, false)?);
    let name = eval.intern(arguments.string(eval, 1)?)?;
    let has = if hidden {
        Eval::find(object, name, object.layers.len()).is_some()
    } else {
        eval.names(object)?.get(name.value()).is_some_and(|(_, visibility)| *visibility != Visibility::Hidden)
    };
    Ok(Value::Bool(has))
}

/// What is left is still one object: it can be extended, and its fields use each other.
fn object_remove_key<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let (object, key) = (arguments.object(eval, 0)?, arguments.string(eval, 1)?);
    let layer = |layer: &&'p Layer<'p>| {
        let kept: Vec<Field<'p>> = layer.fields.iter().filter(|field| field.name.value() != key).copied().collect();
        eval.step(kept.len())?;
        eval.alloc(Layer { fields: eval.list(&kept)?, ..**layer })
    };
    let layers = object.layers.iter().map(layer).collect::<Outcome<Vec<_>>>()?;
    eval.alloc(Object { layers: eval.list(&layers)? }).map(Value::Object)
}
