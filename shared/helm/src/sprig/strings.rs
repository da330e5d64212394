//! Text (Masterminds/sprig `strings.go`, Masterminds/goutils, huandu/xstrings). Lengths and positions count bytes.

use memchr::memmem;
use slipway_gocompat::strconv;
use slipway_gotmpl::{Context, FuncError, Function, INT, List, Map, MapType, Str, Type, Value, sprint};

use super::cast::text;
use super::lists::texts;
use super::{Outcome, misused};

const TWO_TEXTS: &[Type] = &[Type::String, Type::String];
const THREE_TEXTS: &[Type] = &[Type::String, Type::String, Type::String];
const INT_TEXT: &[Type] = &[INT, Type::String];

pub(super) const TABLE: &[Function] = &[
    Function::new("hello", &[], |_, _| Ok(Value::literal("Hello!"))),
    Function::new("toString", &[Type::Any], |cx, args| match args {
        [value] => Ok(Value::Str(text(cx, value)?)),
        _ => misused(),
    }),
    Function::new("toStrings", &[Type::Any], |cx, args| match args {
        [value] => Ok(List::typed(&Type::String, texts(cx, value)?).into()),
        _ => misused(),
    }),
    Function::new("repeat", INT_TEXT, repeat),
    Function::new("replace", THREE_TEXTS, replace).costing(64),
    Function::new("contains", TWO_TEXTS, |_, args| test(args, |part, s| memmem::find(s, part).is_some())),
    Function::new("hasPrefix", TWO_TEXTS, |_, args| test(args, |part, s| s.starts_with(part))),
    Function::new("hasSuffix", TWO_TEXTS, |_, args| test(args, |part, s| s.ends_with(part))),
    Function::variadic("quote", &[Type::Any], quote).costing(24),
    Function::variadic("squote", &[Type::Any], squote),
    Function::variadic("cat", &[Type::Any], cat),
    Function::new("indent", INT_TEXT, |cx, args| indent(cx, args, "")),
    Function::new("nindent", INT_TEXT, |cx, args| indent(cx, args, "\n")),
    Function::new("plural", &[Type::String, Type::String, INT], |_, args| match args {
        [one, many, Value::Int(_, count)] => Ok(if *count == 1 { one } else { many }.clone()),
        _ => misused(),
    }),
    Function::new("wrap", INT_TEXT, |cx, args| match args {
        [Value::Int(_, width), Value::Str(s)] => wrap(cx, s, *width, b"\n", false),
        _ => misused(),
    }),
    Function::new("wrapWith", &[INT, Type::String, Type::String], |cx, args| match args {
        [Value::Int(_, width), Value::Str(sep), Value::Str(s)] => {
            wrap(cx, s, *width, if sep.is_empty() { b"\n" } else { sep.as_bytes() }, true)
        }
        _ => misused(),
    }),
    Function::new("join", &[Type::String, Type::Any], join),
    Function::new("split", TWO_TEXTS, |cx, args| match args {
        [Value::Str(sep), Value::Str(s)] => numbered(split(cx, s, sep, None)?),
        _ => misused(),
    }),
    Function::new("splitn", &[Type::String, INT, Type::String], |cx, args| match args {
        [Value::Str(sep), Value::Int(_, count), Value::Str(s)] => {
            numbered(split(cx, s, sep, usize::try_from(*count).ok())?)
        }
        _ => misused(),
    }),
    Function::new("splitList", TWO_TEXTS, |cx, args| match args {
        [Value::Str(sep), Value::Str(s)] => Ok(List::typed(&Type::String, split(cx, s, sep, None)?).into()),
        _ => misused(),
    }),
];

pub(super) fn on_text(args: &[Value], work: impl FnOnce(&str) -> String) -> Outcome {
    match args {
        [Value::Str(s)] => Ok(work(&s.to_text()).into()),
        _ => misused(),
    }
}

fn test(args: &[Value], work: impl FnOnce(&[u8], &[u8]) -> bool) -> Outcome {
    match args {
        [Value::Str(a), Value::Str(b)] => Ok(work(a.as_bytes(), b.as_bytes()).into()),
        _ => misused(),
    }
}

fn repeat(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [Value::Int(_, count), Value::Str(s)] = args else { return misused() };
    let Ok(count) = usize::try_from(*count) else { return Err("strings: negative Repeat count".into()) };
    cx.budget().bytes(count.saturating_mul(s.len()))?;
    Ok(Str::from(s.as_bytes().repeat(if s.is_empty() { 0 } else { count })).into())
}

fn replace(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [Value::Str(old), Value::Str(new), Value::Str(s)] = args else { return misused() };
    let most = if old.is_empty() { s.len() + 1 } else { s.len() / old.len() };
    let grown = s.len().saturating_add(most.saturating_mul(new.len().saturating_sub(old.len())));
    cx.budget().bytes(if new.len() > old.len() { grown.min(replaced_length(s, old, new)) } else { s.len() })?;
    if let (Some(s), Some(old), Some(new)) = (s.as_str(), old.as_str(), new.as_str()) {
        return Ok(s.replace(old, new).into());
    }
    let mut out = Vec::new();
    let mut rest = s.as_bytes();
    while let Some(at) = memmem::find(rest, old.as_bytes()).filter(|_| !old.is_empty()) {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        out.extend_from_slice(new.as_bytes());
        rest = rest.get(at + old.len()..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    Ok(Str::from(out).into())
}

/// How long the result of a replacement is that grows.
fn replaced_length(s: &Str, old: &Str, new: &Str) -> usize {
    let hits = match (s.as_str(), old.as_str()) {
        (Some(s), Some(old)) => s.matches(old).count(),
        _ => s.len(),
    };
    s.len().saturating_add(hits.saturating_mul(new.len() - old.len()))
}

fn quote(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let quoted: Result<Vec<String>, FuncError> = args
        .iter()
        .filter(|value| !matches!(value, Value::Nil))
        .map(|value| {
            let text = text(cx, value)?;
            cx.budget().bytes(text.len())?;
            Ok(strconv::quote(text.as_bytes()))
        })
        .collect();
    let joined = quoted?.join(" ");
    cx.budget().bytes(joined.len())?;
    Ok(joined.into())
}

fn squote(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let mut out = Vec::new();
    for value in args.iter().filter(|value| !matches!(value, Value::Nil)) {
        if !out.is_empty() {
            out.push(b' ');
        }
        out.push(b'\'');
        let text = sprint(cx.budget(), std::slice::from_ref(value))?;
        cx.budget().bytes(text.len())?;
        out.extend_from_slice(text.as_bytes());
        out.push(b'\'');
    }
    Ok(Str::from(out).into())
}

fn cat(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let mut out = Vec::new();
    for (index, value) in args.iter().filter(|value| !matches!(value, Value::Nil)).enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        let text = sprint(cx.budget(), std::slice::from_ref(value))?;
        cx.budget().bytes(text.len())?;
        out.extend_from_slice(text.as_bytes());
    }
    Ok(Str::from(out).into())
}

fn indent(cx: &mut Context<'_>, args: &[Value], before: &str) -> Outcome {
    let [Value::Int(_, spaces), Value::Str(s)] = args else { return misused() };
    let Ok(spaces) = usize::try_from(*spaces) else { return Err("strings: negative Repeat count".into()) };
    let lines = s.as_bytes().split(|byte| *byte == b'\n').count();
    let length = spaces.saturating_mul(lines).saturating_add(s.len()).saturating_add(before.len());
    cx.budget().bytes(length)?;
    let mut out = Vec::with_capacity(length);
    out.extend_from_slice(before.as_bytes());
    for (index, line) in s.as_bytes().split(|byte| *byte == b'\n').enumerate() {
        if index > 0 {
            out.push(b'\n');
        }
        out.extend(std::iter::repeat_n(b' ', spaces));
        out.extend_from_slice(line);
    }
    Ok(Str::from(out).into())
}

fn wrap(cx: &Context<'_>, s: &Str, width: i64, separator: &[u8], cut_words: bool) -> Outcome {
    let width = usize::try_from(width).unwrap_or(0).max(1);
    let mut rest = s.as_bytes();
    let mut out = Vec::new();
    while rest.len() > width {
        if let Some(after) = rest.strip_prefix(b" ") {
            rest = after;
            continue;
        }
        let last_blank = rest.get(..=width).and_then(|line| line.iter().rposition(|byte| *byte == b' '));
        let (end, next) = match last_blank {
            Some(blank) => (blank, blank + 1),
            None if cut_words => (width, width),
            None => match rest.iter().skip(width).position(|byte| *byte == b' ') {
                Some(blank) => (width + blank, width + blank + 1),
                None => break,
            },
        };
        cx.budget().bytes(end + separator.len())?;
        out.extend_from_slice(rest.get(..end).unwrap_or_default());
        out.extend_from_slice(separator);
        rest = rest.get(next..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    Ok(Str::from(out).into())
}

fn join(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [Value::Str(separator), list] = args else { return misused() };
    let texts = texts(cx, list)?;
    let parts: Vec<&[u8]> = texts.iter().filter_map(|text| Some(text.as_str()?.as_bytes())).collect();
    let length: usize = parts.iter().map(|part| part.len().saturating_add(separator.len())).sum();
    cx.budget().bytes(length)?;
    Ok(Str::from(parts.join(separator.as_bytes())).into())
}

/// Go's `strings.SplitN`; no count is all, 0 nothing.
fn split(cx: &Context<'_>, s: &Str, separator: &Str, count: Option<usize>) -> Result<Vec<Value>, FuncError> {
    let count = count.unwrap_or(usize::MAX);
    let mut parts: Vec<Value> = Vec::new();
    if count == 0 {
        return Ok(parts);
    }
    let mut push = |part: &[u8]| {
        cx.budget().step(1)?;
        cx.budget().bytes(size_of::<Value>() + 32 + part.len())?;
        parts.push(Str::from(part).into());
        Ok::<_, FuncError>(parts.len())
    };
    let finder = memmem::Finder::new(separator.as_bytes());
    let mut rest = s.as_bytes();
    let mut done = 0;
    while done + 1 < count {
        let at = if separator.is_empty() {
            // Between all characters, but not before the first nor after the last.
            let first = first_length(rest);
            (first < rest.len()).then_some(first)
        } else {
            finder.find(rest)
        };
        let Some(at) = at else { break };
        done = push(rest.get(..at).unwrap_or_default())?;
        rest = rest.get(at + separator.len()..).unwrap_or_default();
    }
    if !separator.is_empty() || !s.is_empty() {
        push(rest)?;
    }
    Ok(parts)
}

/// Bytes of the first character; one where it is none.
fn first_length(text: &[u8]) -> usize {
    let start = text.get(..text.len().min(4)).unwrap_or_default();
    let valid = start.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    valid.chars().next().map_or(usize::from(!text.is_empty()), char::len_utf8)
}

#[allow(clippy::unnecessary_wraps, reason = "the last step of functions in the table")]
fn numbered(parts: Vec<Value>) -> Outcome {
    let entries = parts.into_iter().enumerate().map(|(index, part)| (Str::from(format!("_{index}")), part));
    Ok(Map::typed(MapType::STRING, entries.collect()).into())
}
