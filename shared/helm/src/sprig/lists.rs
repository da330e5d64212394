//! Lists (Masterminds/sprig `list.go`). Nothing changes its argument but `sortAlpha` of a list of texts.

use slipway_gotmpl::{Context, FuncError, Function, INT, List, Type, Value};

use super::cast::{is_empty, text, to_int64};
use super::reflect::deep_equal;
use super::{Outcome, misused, nil_dereference};
use crate::objects::Bytes;

const ANY_LIST: &[Type] = &[Type::Any];
const LIST_AND_ONE: &[Type] = &[Type::Any, Type::Any];

pub(super) const TABLE: &[Function] = &[
    Function::variadic("list", ANY_LIST, |_, args| Ok(args.to_vec().into())),
    Function::variadic("tuple", ANY_LIST, |_, args| Ok(args.to_vec().into())),
    Function::new("append", LIST_AND_ONE, push),
    Function::new("push", LIST_AND_ONE, push),
    Function::new("mustAppend", LIST_AND_ONE, push),
    Function::new("mustPush", LIST_AND_ONE, push),
    Function::new("prepend", LIST_AND_ONE, prepend),
    Function::new("mustPrepend", LIST_AND_ONE, prepend),
    Function::new("first", ANY_LIST, first),
    Function::new("mustFirst", ANY_LIST, first),
    Function::new("last", ANY_LIST, last),
    Function::new("mustLast", ANY_LIST, last),
    Function::new("rest", ANY_LIST, rest),
    Function::new("mustRest", ANY_LIST, rest),
    Function::new("initial", ANY_LIST, initial),
    Function::new("mustInitial", ANY_LIST, initial),
    Function::new("reverse", ANY_LIST, reverse),
    Function::new("mustReverse", ANY_LIST, reverse),
    Function::new("compact", ANY_LIST, compact),
    Function::new("mustCompact", ANY_LIST, compact),
    Function::new("uniq", ANY_LIST, uniq),
    Function::new("mustUniq", ANY_LIST, uniq),
    Function::variadic("without", LIST_AND_ONE, without),
    Function::variadic("mustWithout", LIST_AND_ONE, without),
    Function::new("has", LIST_AND_ONE, has),
    Function::new("mustHas", LIST_AND_ONE, has),
    Function::variadic("slice", LIST_AND_ONE, slice),
    Function::variadic("mustSlice", LIST_AND_ONE, slice),
    Function::new("chunk", &[INT, Type::Any], chunk),
    Function::new("mustChunk", &[INT, Type::Any], chunk),
    Function::variadic("concat", ANY_LIST, concat),
    Function::new("sortAlpha", ANY_LIST, sort_alpha),
];

/// The elements of a list, of a named list type, or of bytes; `None` for what is no list.
fn elements(cx: &Context<'_>, value: &Value) -> Result<Option<Vec<Value>>, FuncError> {
    let length = value.as_list().map_or_else(|| value.downcast::<Bytes>().map_or(0, |bytes| bytes.0.len()), List::len);
    // Copies of long lists in a loop would cost what nothing else counts.
    cx.budget().step(1 + length as u64 / 4)?;
    cx.budget().bytes(length.saturating_mul(size_of::<Value>()))?;
    if let Some(bytes) = value.downcast::<Bytes>() {
        return Ok(Some(bytes.elements()));
    }
    Ok(value.plain().as_list().map(List::to_vec))
}

/// The elements, or sprig's complaint, which is `what` and the kind.
fn items(cx: &Context<'_>, value: &Value, what: &str) -> Result<Vec<Value>, FuncError> {
    if matches!(value, Value::Nil) {
        return nil_dereference();
    }
    elements(cx, value)?.ok_or_else(|| what.replace("{}", &value.kind().to_string()).into())
}

fn push(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [list, value] = args else { return misused() };
    let mut items = items(cx, list, "Cannot push on type {}")?;
    items.push(value.clone());
    Ok(items.into())
}

fn prepend(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [list, value] = args else { return misused() };
    let mut items = items(cx, list, "Cannot prepend on type {}")?;
    items.insert(0, value.clone());
    Ok(items.into())
}

fn first(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [list] = args else { return misused() };
    Ok(items(cx, list, "Cannot find first on type {}")?.into_iter().next().unwrap_or_default())
}

fn last(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [list] = args else { return misused() };
    Ok(items(cx, list, "Cannot find last on type {}")?.pop().unwrap_or_default())
}

fn rest(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [list] = args else { return misused() };
    let mut items = items(cx, list, "Cannot find rest on type {}")?;
    if items.is_empty() {
        return Ok(List::nil(&Type::Any).into());
    }
    items.remove(0);
    Ok(items.into())
}

fn initial(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [list] = args else { return misused() };
    let mut items = items(cx, list, "Cannot find initial on type {}")?;
    Ok(match items.pop() {
        None => List::nil(&Type::Any).into(),
        Some(_) => items.into(),
    })
}

fn reverse(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [list] = args else { return misused() };
    let mut items = items(cx, list, "Cannot find reverse on type {}")?;
    items.reverse();
    Ok(items.into())
}

fn compact(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [list] = args else { return misused() };
    let mut items = items(cx, list, "Cannot compact on type {}")?;
    items.retain(|item| !is_empty(item));
    Ok(items.into())
}

fn contains(cx: &Context<'_>, items: &[Value], wanted: &Value) -> Result<bool, FuncError> {
    for item in items {
        if deep_equal(cx, wanted, item)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn uniq(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [list] = args else { return misused() };
    let mut unique = Vec::new();
    for item in items(cx, list, "Cannot find uniq on type {}")? {
        if !contains(cx, &unique, &item)? {
            unique.push(item);
        }
    }
    Ok(unique.into())
}

fn without(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [list, unwanted @ ..] = args else { return misused() };
    let mut kept = Vec::new();
    for item in items(cx, list, "Cannot find without on type {}")? {
        if !contains(cx, unwanted, &item)? {
            kept.push(item);
        }
    }
    Ok(kept.into())
}

fn has(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    match args {
        [_, Value::Nil] => Ok(false.into()),
        [wanted, list] => Ok(contains(cx, &items(cx, list, "Cannot find has on type {}")?, wanted)?.into()),
        _ => misused(),
    }
}

fn slice(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [list, bounds @ ..] = args else { return misused() };
    let items = items(cx, list, "list should be type of slice or array but {}")?;
    if items.is_empty() {
        return Ok(Value::Nil);
    }
    let bound = |index: usize, default: usize| {
        bounds.get(index).map_or(Some(default), |value| usize::try_from(to_int64(value)).ok())
    };
    let part = bound(0, 0).zip(bound(1, items.len())).and_then(|(start, end)| items.get(start..end));
    let Some(part) = part else { return Err("reflect.Value.Slice: slice index out of bounds".into()) };
    Ok(match list {
        Value::List(list) => List::typed(list.elem(), part.to_vec()).into(),
        _ => part.to_vec().into(),
    })
}

fn chunk(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    const CHUNK: &Type = &Type::List(&Type::Any);
    let [Value::Int(_, size), list] = args else { return misused() };
    let items = items(cx, list, "Cannot chunk type {}")?;
    // sprig's arithmetic gives no chunk for a negative size.
    let Ok(size) = usize::try_from(*size) else { return Ok(List::typed(CHUNK, Vec::new()).into()) };
    if size == 0 && !items.is_empty() {
        return Err("runtime error: makeslice: len out of range".into());
    }
    let chunks = items.chunks(size.max(1)).map(|chunk| Value::from(chunk.to_vec())).collect();
    Ok(List::typed(CHUNK, chunks).into())
}

fn concat(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let mut all = Vec::new();
    for list in args {
        all.extend(items(cx, list, "Cannot concat type {} as list")?);
    }
    Ok(if all.is_empty() { List::nil(&Type::Any).into() } else { all.into() })
}

fn sort_alpha(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [list] = args else { return misused() };
    if let Value::List(own) = list
        && *own.elem() == Type::String
    {
        pay_sort(cx, &own.borrow())?;
        own.borrow_mut().sort_by(|a, b| a.as_str().cmp(&b.as_str()));
        return Ok(list.clone());
    }
    if matches!(list, Value::Nil) {
        // What is no list at all is one of its text.
        return Ok(List::typed(&Type::String, vec![text(cx, list)?.into()]).into());
    }
    let mut texts = texts(cx, list)?;
    pay_sort(cx, &texts)?;
    texts.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    Ok(List::typed(&Type::String, texts).into())
}

/// Each text is compared with others as often as the list can be halved.
fn pay_sort(cx: &Context<'_>, texts: &[Value]) -> Result<(), FuncError> {
    let length: usize = texts.iter().filter_map(Value::as_str).map(|text| 1 + text.len() / 64).sum();
    let halvings = texts.len().checked_ilog2().unwrap_or_default() as usize + 1;
    Ok(cx.budget().step(length.saturating_mul(halvings) as u64)?)
}

/// sprig's `strslice`: the elements as text without nulls; one value is a list of one.
pub(super) fn texts(cx: &Context<'_>, value: &Value) -> Result<Vec<Value>, FuncError> {
    let items = match (value, elements(cx, value)?) {
        (Value::Nil, _) => Vec::new(),
        (_, Some(items)) => items,
        (one, None) => vec![one.clone()],
    };
    items.iter().filter(|item| !matches!(item, Value::Nil)).map(|item| Ok(Value::Str(text(cx, item)?))).collect()
}
