//! Lists and sets.

use std::cmp::Ordering;

use super::{Arguments, Native};
use crate::eval::{Eval, unexpected};
use crate::number;
use crate::value::{Function, Outcome, State, Thunk, Value, fail};

type Items<'p> = &'p [&'p Thunk<'p>];

pub(super) const NATIVES: &[Native] = &[
    Native { name: "makeArray", params: &["sz", "func"], call: make_array },
    Native { name: "range", params: &["from", "to"], call: range },
    Native { name: "repeat", params: &["what", "count"], call: repeat },
    Native { name: "slice", params: &["indexable", "index", "end", "step"], call: slice_native },
    Native { name: "filter", params: &["func", "arr"], call: filter },
    Native { name: "flatMap", params: &["func", "arr"], call: flat_map },
    Native { name: "foldl", params: &["func", "arr", "init"], call: foldl },
    Native { name: "foldr", params: &["func", "arr", "init"], call: foldr },
    Native { name: "join", params: &["sep", "arr"], call: join },
    Native { name: "reverse", params: &["arr"], call: reverse },
    Native { name: "all", params: &["arr"], call: all },
    Native { name: "any", params: &["arr"], call: any },
    Native { name: "sum", params: &["arr"], call: sum },
    Native { name: "minArray", params: &["arr", "keyF?", "onEmpty?"], call: min_array },
    Native { name: "maxArray", params: &["arr", "keyF?", "onEmpty?"], call: max_array },
    Native { name: "sort", params: &["arr", "keyF?"], call: sort },
    Native { name: "uniq", params: &["arr", "keyF?"], call: uniq },
    Native { name: "setUnion", params: &["a", "b", "keyF?"], call: set_union },
    Native { name: "setInter", params: &["a", "b", "keyF?"], call: set_inter },
    Native { name: "setDiff", params: &["a", "b", "keyF?"], call: set_diff },
];

/// A number of items that are about to be made.
fn count(value: f64) -> Outcome<usize> {
    usize::try_from(number::whole(value)?).or_else(|_| fail(format!("{} is no size", number::text(value))))
}

fn make_array<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let (size, function) = (count(arguments.number(eval, 0)?.max(0.0))?, arguments.function(eval, 1)?);
    eval.step(size)?;
    eval.budget().bytes(size.saturating_mul(size_of::<&Thunk<'p>>()))?;
    let item = |at| {
        let at = eval.done(Value::Number(number::from_len(at)))?;
        eval.thunk(State::Apply(function, eval.list(&[at])?))
    };
    eval.list(&(0..size).map(item).collect::<Outcome<Vec<_>>>()?).map(Value::Array)
}

fn range<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let (from, to) = (number::whole(arguments.number(eval, 0)?)?, number::whole(arguments.number(eval, 1)?)?);
    let size = usize::try_from((to - from + 1).max(0)).unwrap_or(usize::MAX);
    eval.step(size)?;
    eval.budget().bytes(size.saturating_mul(size_of::<Value<'p>>()))?;
    eval.array(&(from..=to).map(|at| Value::Number(number::from_int(at))).collect::<Vec<_>>())
}

fn repeat<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let times = count(arguments.number(eval, 1)?)?;
    match arguments.value(eval, 0)? {
        Value::String(text) => {
            eval.budget().bytes(text.len().saturating_mul(times))?;
            eval.string(&text.repeat(times))
        }
        Value::Array(items) => {
            let size = items.len().saturating_mul(times);
            eval.step(size)?;
            eval.budget().bytes(size.saturating_mul(size_of::<&Thunk<'p>>()))?;
            eval.list(&items.repeat(times)).map(Value::Array)
        }
        other => unexpected(other, "string or array"),
    }
}

fn slice_native<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let at = [1, 2, 3].map(|at| arguments.value(eval, at));
    let [from, to, step] = at;
    slice(eval, arguments.value(eval, 0)?, [from?, to?, step?])
}

/// `value[from:to:step]`.
pub(crate) fn slice<'p>(eval: &Eval<'p>, value: Value<'p>, bounds: [Value<'p>; 3]) -> Outcome<Value<'p>> {
    let mut chars: Vec<char> = Vec::new();
    let length = match value {
        Value::Array(items) => items.len(),
        Value::String(text) => {
            eval.budget().bytes(text.len().saturating_mul(size_of::<char>()))?;
            chars.extend(text.chars());
            chars.len()
        }
        other => return unexpected(other, "array or string"),
    };
    let number = |value: Value<'p>| match value {
        Value::Null => Ok(None),
        Value::Number(number) => number::whole(number).map(Some),
        other => unexpected(other, "number"),
    };
    let [from, to, step] = bounds.map(number);
    let (from, to, step) = (from?, to?, step?.unwrap_or(1));
    let Some(step) = usize::try_from(step).ok().filter(|step| *step > 0) else {
        return fail("the step of a slice must be positive");
    };
    // A negative place is one from the end.
    let place = |at: i64| match usize::try_from(at) {
        Ok(at) => at.min(length),
        Err(_) => length.saturating_sub(usize::try_from(at.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    let (from, to) = (from.map_or(0, place), to.map_or(length, place));
    eval.step(to.saturating_sub(from) / step)?;
    let places = (from..to).step_by(step);
    match value {
        Value::Array(items) => {
            eval.list(&places.filter_map(|at| items.get(at).copied()).collect::<Vec<_>>()).map(Value::Array)
        }
        _ => eval.string(&places.filter_map(|at| chars.get(at)).collect::<String>()),
    }
}

fn filter<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let (function, items) = (arguments.function(eval, 0)?, arguments.array(eval, 1)?);
    let mut kept = Vec::new();
    for item in items {
        match eval.call(function, &[item], &[])? {
            Value::Bool(true) => kept.push(*item),
            Value::Bool(false) => {}
            other => return unexpected(other, "boolean"),
        }
    }
    eval.list(&kept).map(Value::Array)
}

fn flat_map<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let function = arguments.function(eval, 0)?;
    match arguments.value(eval, 1)? {
        Value::Array(items) => {
            let mut all = Vec::new();
            for item in items {
                match eval.call(function, &[item], &[])? {
                    Value::Array(found) => all.extend_from_slice(paid(eval, found)?),
                    other => return unexpected(other, "array"),
                }
            }
            eval.list(&all).map(Value::Array)
        }
        Value::String(text) => {
            let mut all = String::new();
            for char in text.chars() {
                match eval.apply(function, &[eval.string(char.encode_utf8(&mut [0; 4]))?])? {
                    Value::String(found) => all.push_str(eval.text(found)?),
                    Value::Null => {}
                    other => return unexpected(other, "string"),
                }
            }
            eval.string(&all)
        }
        other => unexpected(other, "array or string"),
    }
}

/// Items that are about to be copied.
fn paid<'p>(eval: &Eval<'p>, items: Items<'p>) -> Outcome<Items<'p>> {
    eval.step(items.len())?;
    eval.budget().bytes(size_of_val(items))?;
    Ok(items)
}

/// The items of an array, or the characters of a string.
fn items_of<'p>(eval: &Eval<'p>, value: Value<'p>) -> Outcome<Items<'p>> {
    match value {
        Value::Array(items) => Ok(items),
        Value::String(text) => {
            let chars = text.chars().map(|char| eval.done(eval.string(char.encode_utf8(&mut [0; 4]))?));
            eval.list(&chars.collect::<Outcome<Vec<_>>>()?)
        }
        other => unexpected(other, "array"),
    }
}

fn foldl<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let (function, items) = (arguments.function(eval, 0)?, items_of(eval, arguments.value(eval, 1)?)?);
    let mut so_far = arguments.value(eval, 2)?;
    for item in items {
        so_far = eval.call(function, &[eval.done(so_far)?, item], &[])?;
    }
    Ok(so_far)
}

fn foldr<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let (function, items) = (arguments.function(eval, 0)?, items_of(eval, arguments.value(eval, 1)?)?);
    let mut so_far = arguments.value(eval, 2)?;
    for item in items.iter().rev() {
        so_far = eval.call(function, &[item, eval.done(so_far)?], &[])?;
    }
    Ok(so_far)
}

/// Null is left out.
fn join<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let (separator, items) = (arguments.value(eval, 0)?, arguments.array(eval, 1)?);
    let mut is_first = true;
    match separator {
        Value::String(separator) => {
            let mut text = String::new();
            for item in items {
                match eval.force(item)? {
                    Value::String(one) => {
                        eval.budget().bytes(one.len() + separator.len())?;
                        text.push_str(if is_first { "" } else { separator });
                        text.push_str(one);
                        is_first = false;
                    }
                    Value::Null => {}
                    other => return unexpected(other, "string"),
                }
            }
            eval.string(&text)
        }
        Value::Array(separator) => {
            let mut all = Vec::new();
            for item in items {
                match eval.force(item)? {
                    Value::Array(one) => {
                        if !is_first {
                            all.extend_from_slice(paid(eval, separator)?);
                        }
                        all.extend_from_slice(paid(eval, one)?);
                        is_first = false;
                    }
                    Value::Null => {}
                    other => return unexpected(other, "array"),
                }
            }
            eval.list(&all).map(Value::Array)
        }
        other => unexpected(other, "string or array"),
    }
}

fn reverse<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let items = items_of(eval, arguments.value(eval, 0)?)?;
    eval.list(&items.iter().rev().copied().collect::<Vec<_>>()).map(Value::Array)
}

/// Whether one of the items is `wanted`.
fn has<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>, wanted: bool) -> Outcome<bool> {
    for item in arguments.array(eval, 0)? {
        match eval.force(item)? {
            Value::Bool(is_so) if is_so == wanted => return Ok(true),
            Value::Bool(_) => {}
            other => return unexpected(other, "boolean"),
        }
    }
    Ok(false)
}

fn all<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    Ok(Value::Bool(!has(eval, arguments, false)?))
}

fn any<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    Ok(Value::Bool(has(eval, arguments, true)?))
}

fn sum<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let mut sum = 0.0;
    for item in arguments.array(eval, 0)? {
        match eval.force(item)? {
            Value::Number(number) => sum += number,
            other => return unexpected(other, "number"),
        }
    }
    number::finite(sum).map(Value::Number)
}

/// An item with what it is compared by.
type Keyed<'p> = (Value<'p>, &'p Thunk<'p>);

fn keyed<'p>(eval: &Eval<'p>, items: Items<'p>, key: Option<&'p Function<'p>>) -> Outcome<Vec<Keyed<'p>>> {
    let key_of = |item: &'p Thunk<'p>| match key {
        Some(function) => eval.call(function, &[item], &[]),
        None => eval.force(item),
    };
    eval.budget().bytes(items.len().saturating_mul(size_of::<Keyed<'p>>()))?;
    items.iter().map(|item| Ok((key_of(item)?, *item))).collect()
}

fn key_function<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>, at: usize) -> Outcome<Option<&'p Function<'p>>> {
    match arguments.value(eval, at)? {
        Value::Null => Ok(None),
        Value::Function(function) => Ok(Some(function)),
        other => unexpected(other, "function"),
    }
}

fn extreme<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>, wanted: Ordering) -> Outcome<Value<'p>> {
    let items = keyed(eval, arguments.array(eval, 0)?, key_function(eval, arguments, 1)?)?;
    let mut best: Option<Keyed<'p>> = None;
    for item in items {
        if best.is_none() || best.map(|best| eval.compare(item.0, best.0)).transpose()? == Some(wanted) {
            best = Some(item);
        }
    }
    match best {
        Some((_, item)) => eval.force(item),
        None if arguments.given.get(2).is_some_and(Option::is_some) => arguments.value(eval, 2),
        None => fail("expected at least one element in the array"),
    }
}

fn min_array<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    extreme(eval, arguments, Ordering::Less)
}

fn max_array<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    extreme(eval, arguments, Ordering::Greater)
}

/// A stable merge sort, as the comparison can fail, which those of the standard library don't allow.
fn sorted<'p>(eval: &Eval<'p>, items: Vec<Keyed<'p>>) -> Outcome<Vec<Keyed<'p>>> {
    let (mut items, mut width) = (items, 1);
    while width < items.len() {
        eval.budget().bytes(size_of_val(items.as_slice()))?;
        let mut next = Vec::with_capacity(items.len());
        for run in items.chunks(width * 2) {
            let (mut left, mut right) = run.split_at(width.min(run.len()));
            while let (Some((a, more_left)), Some((b, more_right))) = (left.split_first(), right.split_first()) {
                if eval.compare(b.0, a.0)?.is_lt() {
                    next.push(*b);
                    right = more_right;
                } else {
                    next.push(*a);
                    left = more_left;
                }
            }
            next.extend_from_slice(left);
            next.extend_from_slice(right);
        }
        items = next;
        width *= 2;
    }
    Ok(items)
}

fn array_of<'p>(eval: &Eval<'p>, items: impl IntoIterator<Item = Keyed<'p>>) -> Outcome<Value<'p>> {
    eval.list(&items.into_iter().map(|(_, item)| item).collect::<Vec<_>>()).map(Value::Array)
}

fn sort<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let items = items_of(eval, arguments.value(eval, 0)?)?;
    array_of(eval, sorted(eval, keyed(eval, items, key_function(eval, arguments, 1)?)?)?)
}

fn uniq<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let items = items_of(eval, arguments.value(eval, 0)?)?;
    let mut kept: Vec<Keyed<'p>> = Vec::new();
    for item in keyed(eval, items, key_function(eval, arguments, 1)?)? {
        match kept.last() {
            Some(last) if eval.equals(last.0, item.0)? => {}
            _ => kept.push(item),
        }
    }
    array_of(eval, kept)
}

/// Goes through two sets at once: what is only in the first, in both (as it is in the first), only in the second.
fn merged<'p>(
    eval: &Eval<'p>,
    arguments: &Arguments<'p>,
    [only_first, both, only_second]: [bool; 3],
) -> Outcome<Value<'p>> {
    let key = key_function(eval, arguments, 2)?;
    let set = |at| keyed(eval, items_of(eval, arguments.value(eval, at)?)?, key);
    let (first, second) = (set(0)?, set(1)?);
    let (mut first, mut second) = (first.as_slice(), second.as_slice());
    let mut kept = Vec::new();
    while let (Some((a, more_first)), Some((b, more_second))) = (first.split_first(), second.split_first()) {
        match eval.compare(a.0, b.0)? {
            Ordering::Less => {
                kept.extend(only_first.then_some(*a));
                first = more_first;
            }
            Ordering::Equal => {
                kept.extend(both.then_some(*a));
                (first, second) = (more_first, more_second);
            }
            Ordering::Greater => {
                kept.extend(only_second.then_some(*b));
                second = more_second;
            }
        }
    }
    kept.extend(first.iter().filter(|_| only_first).chain(second.iter().filter(|_| only_second)));
    array_of(eval, kept)
}

fn set_union<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    merged(eval, arguments, [true, true, true])
}

fn set_inter<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    merged(eval, arguments, [false, true, false])
}

fn set_diff<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    merged(eval, arguments, [true, false, false])
}
