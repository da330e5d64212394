//! Matches regular expressions (Masterminds/sprig `regex.go`).

use std::rc::Rc;

use slipway_gocompat::regexp::{self, Regex};
use slipway_gotmpl::{Context, FuncError, Function, INT, List, Str, Type, Value};

use super::{Outcome, misused, state};

const TWO: &[Type] = &[Type::String, Type::String];
const THREE: &[Type] = &[Type::String, Type::String, Type::String];
const COUNTED: &[Type] = &[Type::String, Type::String, INT];

pub(super) const TABLE: &[Function] = &[
    Function::new("regexMatch", TWO, |cx, args| matches(cx, args, true)),
    Function::new("mustRegexMatch", TWO, |cx, args| matches(cx, args, false)),
    Function::new("regexFind", TWO, find),
    Function::new("mustRegexFind", TWO, find),
    Function::new("regexFindAll", COUNTED, find_all),
    Function::new("mustRegexFindAll", COUNTED, find_all),
    Function::new("regexReplaceAll", THREE, |cx, args| replace(cx, args, false)),
    Function::new("mustRegexReplaceAll", THREE, |cx, args| replace(cx, args, false)),
    Function::new("regexReplaceAllLiteral", THREE, |cx, args| replace(cx, args, true)),
    Function::new("mustRegexReplaceAllLiteral", THREE, |cx, args| replace(cx, args, true)),
    Function::new("regexSplit", COUNTED, split),
    Function::new("mustRegexSplit", COUNTED, split),
    Function::new("regexQuoteMeta", &[Type::String], quote_meta).costing(64),
];

/// A match from `place` on may look at all the rest of the text.
fn pay_match(cx: &Context<'_>, text: &str, place: usize) -> Result<(), FuncError> {
    Ok(cx.budget().step(4 + text.len().saturating_sub(place) as u64 / 128)?)
}

/// The pattern, and the text to search, whose length is taken from the budget.
fn prepare<'a>(cx: &Context<'_>, args: &'a [Value]) -> Result<(Rc<Regex>, &'a Str), FuncError> {
    let [Value::Str(pattern), Value::Str(text), ..] = args else { return misused() };
    // Where no table of states is small enough, each state of the pattern is tried at each character.
    cx.budget().step((text.len() / 64).saturating_mul(4 + pattern.len() / 4) as u64)?;
    Ok((state(cx)?.regexes.compile(cx, pattern)?, text))
}

fn matches(cx: &mut Context<'_>, args: &[Value], swallow: bool) -> Outcome {
    match prepare(cx, args) {
        Ok((regex, text)) => Ok(regex.is_match(&text.to_text()).into()),
        Err(e) if swallow && e.limit().is_none() => Ok(false.into()),
        Err(e) => Err(e),
    }
}

fn find(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let (regex, text) = prepare(cx, args)?;
    Ok(regex.find(&text.to_text()).map_or(Value::literal(""), |hit| hit.as_str().into()))
}

fn find_all(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let (regex, text) = prepare(cx, args)?;
    let [_, _, Value::Int(_, count)] = args else { return misused() };
    let text = text.to_text();
    let count = usize::try_from(*count).unwrap_or(usize::MAX);
    let mut hits: Vec<Value> = Vec::new();
    for hit in regex.find_iter(&text).take(count) {
        pay_match(cx, &text, hit.start())?;
        cx.budget().bytes(size_of::<Value>() + hit.len())?;
        hits.push(hit.as_str().into());
    }
    // Go gives a nil slice where nothing matches.
    Ok(if hits.is_empty() { List::nil(&Type::String) } else { List::typed(&Type::String, hits) }.into())
}

fn replace(cx: &mut Context<'_>, args: &[Value], literal: bool) -> Outcome {
    let (regex, text) = prepare(cx, args)?;
    let [_, _, Value::Str(replacement)] = args else { return misused() };
    let (text, replacement) = (text.to_text(), replacement.to_text());
    let mut out = String::new();
    let mut last = 0;
    for captures in regex.captures_iter(&text) {
        let Some(whole) = captures.get(0) else { continue };
        pay_match(cx, &text, whole.start())?;
        let before = out.len();
        out.push_str(text.get(last..whole.start()).unwrap_or_default());
        if literal {
            out.push_str(&replacement);
        } else {
            regexp::expand(&mut out, &captures, &replacement);
        }
        cx.budget().bytes(out.len() - before)?;
        last = whole.end();
    }
    out.push_str(text.get(last..).unwrap_or_default());
    Ok(out.into())
}

/// Go's `Regexp.Split`.
fn split(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let (regex, text) = prepare(cx, args)?;
    let [Value::Str(pattern), _, Value::Int(_, count)] = args else { return misused() };
    if *count == 0 {
        return Ok(List::nil(&Type::String).into());
    }
    let text = text.to_text();
    if text.is_empty() && !pattern.is_empty() {
        return Ok(List::typed(&Type::String, vec![Value::literal("")]).into());
    }
    let most = usize::try_from(*count).unwrap_or(usize::MAX);
    let mut parts: Vec<Value> = Vec::new();
    let (mut from, mut end) = (0, 0);
    for hit in regex.find_iter(&text) {
        if parts.len() + 1 >= most {
            break;
        }
        pay_match(cx, &text, hit.start())?;
        end = hit.start();
        if hit.end() != 0 {
            cx.budget().bytes(size_of::<Value>())?;
            parts.push(text.get(from..end).unwrap_or_default().into());
        }
        from = hit.end();
    }
    if end != text.len() {
        parts.push(text.get(from..).unwrap_or_default().into());
    }
    Ok(List::typed(&Type::String, parts).into())
}

fn quote_meta(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [Value::Str(text)] = args else { return misused() };
    Ok(regexp::quote_meta(&text.to_text()).into())
}
