//! Types, kinds and equality (Masterminds/sprig `reflect.go`, Go's `reflect.DeepEqual`).

use std::rc::Rc;

use slipway_gotmpl::{Context, FuncError, Function, Type, Value};

use super::misused;

pub(super) const TABLE: &[Function] = &[
    Function::new("typeOf", &[Type::Any], |_, args| match args {
        [value] => Ok(Value::from(value.type_name().into_owned())),
        _ => misused(),
    }),
    Function::new("typeIs", &[Type::String, Type::Any], |_, args| match args {
        [Value::Str(name), value] => Ok((*name == *value.type_name()).into()),
        _ => misused(),
    }),
    Function::new("typeIsLike", &[Type::String, Type::Any], |_, args| match args {
        [Value::Str(name), value] => {
            let own = value.type_name();
            Ok((*name == *own || own.strip_prefix('*').is_some_and(|own| *name == *own)).into())
        }
        _ => misused(),
    }),
    Function::new("kindOf", &[Type::Any], |_, args| match args {
        [value] => Ok(Value::from(value.kind().to_string())),
        _ => misused(),
    }),
    Function::new("kindIs", &[Type::String, Type::Any], |_, args| match args {
        [Value::Str(name), value] => Ok((*name == *value.kind().to_string()).into()),
        _ => misused(),
    }),
    Function::new("deepEqual", &[Type::Any, Type::Any], |cx, args| match args {
        [a, b] => Ok(deep_equal(cx, a, b)?.into()),
        _ => misused(),
    }),
];

/// Go's `reflect.DeepEqual`: the same types and the same contents.
#[allow(clippy::float_cmp, reason = "Go's own comparison")]
pub(super) fn deep_equal(cx: &Context<'_>, a: &Value, b: &Value) -> Result<bool, FuncError> {
    cx.budget().step(1)?;
    cx.budget().stack()?;
    Ok(match (a, b) {
        (Value::Nil, Value::Nil) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(ka, a), Value::Int(kb, b)) => ka == kb && a == b,
        (Value::Uint(ka, a), Value::Uint(kb, b)) => ka == kb && a == b,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Complex(a, ai), Value::Complex(b, bi)) => a == b && ai == bi,
        (Value::Str(a), Value::Str(b)) => {
            if a.len() == b.len() {
                cx.budget().scan(a.len())?;
            }
            a == b
        }
        (Value::List(a), Value::List(b)) => {
            a.elem() == b.elem()
                && a.is_nil() == b.is_nil()
                && a.len() == b.len()
                && (a.same(b) || all(a.to_vec().iter().zip(&b.to_vec()).map(|(a, b)| deep_equal(cx, a, b)))?)
        }
        (Value::Map(a), Value::Map(b)) => {
            let pairs = || a.entries().into_iter().zip(b.entries());
            a.of().name == b.of().name
                && a.of().elem == b.of().elem
                && a.is_nil() == b.is_nil()
                && a.len() == b.len()
                && (a.same(b) || all(pairs().map(|((ka, a), (kb, b))| Ok(ka == kb && deep_equal(cx, &a, &b)?)))?)
        }
        (Value::Native(a), Value::Native(b)) if Rc::ptr_eq(a, b) => true,
        (Value::Native(a), Value::Native(b)) => {
            a.type_name() == b.type_name()
                && a.text() == b.text()
                && match (a.plain(), b.plain()) {
                    (Some(a), Some(b)) => deep_equal(cx, &a, &b)?,
                    _ => all(a.fields().iter().zip(&b.fields()).map(|((_, a), (_, b))| deep_equal(cx, a, b)))?,
                }
        }
        _ => false,
    })
}

fn all(mut results: impl Iterator<Item = Result<bool, FuncError>>) -> Result<bool, FuncError> {
    results.try_fold(true, |so_far, result| Ok(so_far && result?))
}
