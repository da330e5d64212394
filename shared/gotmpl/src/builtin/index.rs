//! index, slice and len.

use crate::budget::Budget;
use crate::func::FuncError;
use crate::operand::{Operand, zero};
use crate::value::{List, Str, UintKind, Value};

/// An index into something of `most` elements; the end itself is in range.
fn position(index: &Operand, most: usize) -> Result<usize, FuncError> {
    let number = match index.present() {
        Some(Value::Int(_, number)) => i128::from(*number),
        Some(Value::Uint(_, number)) => i128::from(*number),
        Some(other) => return Err(format!("cannot index slice/array with type {}", other.type_name()).into()),
        None => return Err("cannot index slice/array with nil".into()),
    };
    usize::try_from(number)
        .ok()
        .filter(|number| *number <= most)
        .ok_or_else(|| format!("index out of range: {number}").into())
}

/// An element, an element's element, and so on.
pub(super) fn index(_: &Budget, args: &[Operand]) -> Result<Operand, FuncError> {
    let Some((item, indexes)) = args.split_first().filter(|(item, _)| item.present().is_some()) else {
        return Err("index of untyped nil".into());
    };
    let mut item = item.clone();
    for index in indexes {
        let Some(value) = item.present() else { return Err("index of nil pointer".into()) };
        item = match value.plain().as_ref() {
            Value::List(list) => {
                let at = position(index, list.len())?;
                Operand::element(list.get(at).ok_or("reflect: slice index out of range")?, list.elem())
            }
            Value::Str(text) => {
                let at = position(index, text.len())?;
                let byte = text.as_bytes().get(at).ok_or("reflect: string index out of range")?;
                Value::Uint(UintKind::Uint8, u64::from(*byte)).into()
            }
            Value::Map(map) => {
                let key = match index.present() {
                    Some(Value::Str(key)) => key,
                    Some(other) => {
                        return Err(format!("value has type {}; should be string", other.type_name()).into());
                    }
                    None => return Err("value is nil; should be of type string".into()),
                };
                let elem = &map.of().elem;
                Operand::element(map.get(key.as_bytes()).unwrap_or_else(|| zero(*elem)), elem)
            }
            other => return Err(format!("can't index item of type {}", other.type_name()).into()),
        };
    }
    Ok(item)
}

/// A part of a string or list. Of a list it is a copy, and its capacity counts as its length.
pub(super) fn slice(_: &Budget, args: &[Operand]) -> Result<Operand, FuncError> {
    let Some((item, indexes)) = args.split_first() else { return Err("slice of untyped nil".into()) };
    let Some(value) = item.present() else { return Err("slice of untyped nil".into()) };
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()).into());
    }
    let value = value.plain();
    let len = match value.as_ref() {
        Value::Str(_) if indexes.len() == 3 => return Err("cannot 3-index slice a string".into()),
        Value::Str(text) => text.len(),
        Value::List(list) => list.len(),
        other => return Err(format!("can't slice item of type {}", other.type_name()).into()),
    };
    let bounds = indexes.iter().map(|index| bound(index, len)).collect::<Result<Vec<_>, _>>()?;
    let from = bounds.first().copied().unwrap_or(0);
    let to = bounds.get(1).copied().unwrap_or(len);
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}").into());
    }
    if let Some(most) = bounds.get(2).filter(|most| to > **most) {
        return Err(format!("invalid slice index: {to} > {most}").into());
    }
    Ok(match value.as_ref() {
        Value::List(list) => {
            Value::List(List::typed(list.elem(), list.borrow().get(from..to).unwrap_or_default().to_vec())).into()
        }
        Value::Str(text) => Value::Str(Str::from(text.as_bytes().get(from..to).unwrap_or_default())).into(),
        _ => Operand::NONE,
    })
}

/// Unlike `index`, Go's `slice` does not look into an `interface {}`.
fn bound(index: &Operand, most: usize) -> Result<usize, FuncError> {
    if index.boxed {
        return Err(format!("cannot index slice/array with type {}", index.type_name()).into());
    }
    position(index, most)
}

pub(super) fn len(_: &Budget, args: &[Operand]) -> Result<Operand, FuncError> {
    let Some(value) = args.first().and_then(|item| item.value.as_ref()) else {
        return Err("reflect: call of reflect.Value.Type on zero Value".into());
    };
    let len = match value.plain().as_ref() {
        Value::Nil => return Err("len of nil pointer".into()),
        Value::Str(text) => text.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        _ => return Err(format!("len of type {}", value.type_name()).into()),
    };
    Ok(Value::from(len).into())
}
