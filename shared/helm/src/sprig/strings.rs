//! Text (Masterminds/sprig `strings.go`, Masterminds/goutils, huandu/xstrings). Lengths and positions count bytes.

use slipway_gotmpl::{
    Context, FuncError, Function, INT, List, Map, MapType, Str, Type, Value, quote as go_quote, sprint,
};

use super::cast::text;
use super::lists::texts;
use super::{Outcome, misused};

const TEXT: &[Type] = &[Type::String];
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
    Function::new("trim", TEXT, |_, args| on_text(args, |s| s.trim().to_owned())),
    Function::new("trimAll", TWO_TEXTS, trim_all),
    Function::new("trimall", TWO_TEXTS, trim_all),
    Function::new("trimSuffix", TWO_TEXTS, |_, args| on_bytes(args, |a, b| b.strip_suffix(a).unwrap_or(b))),
    Function::new("trimPrefix", TWO_TEXTS, |_, args| on_bytes(args, |a, b| b.strip_prefix(a).unwrap_or(b))),
    Function::new("upper", TEXT, |_, args| on_text(args, |s| s.chars().map(upper).collect())),
    Function::new("lower", TEXT, |_, args| on_text(args, |s| s.chars().map(lower).collect())),
    Function::new("title", TEXT, |_, args| on_text(args, title)),
    Function::new("untitle", TEXT, |_, args| on_text(args, untitle)),
    Function::new("swapcase", TEXT, |_, args| on_text(args, swap_case)),
    Function::new("nospace", TEXT, no_space),
    Function::new("initials", TEXT, initials),
    Function::new("snakecase", TEXT, |_, args| on_text(args, |s| words(s, '_'))),
    Function::new("kebabcase", TEXT, |_, args| on_text(args, |s| words(s, '-'))),
    Function::new("camelcase", TEXT, |_, args| on_text(args, pascal_case)),
    Function::new("abbrev", INT_TEXT, |_, args| match args {
        [Value::Int(_, width), Value::Str(s)] => Ok(abbreviate(s, 0, *width)),
        _ => misused(),
    }),
    Function::new("abbrevboth", &[INT, INT, Type::String], |_, args| match args {
        [Value::Int(_, left), Value::Int(_, right), Value::Str(s)] if *left > 0 && *right < 7 => Ok(s.clone().into()),
        [Value::Int(_, left), Value::Int(_, right), Value::Str(s)] => Ok(abbreviate(s, *left, *right)),
        _ => misused(),
    }),
    Function::new("trunc", INT_TEXT, trunc),
    Function::new("substr", &[INT, INT, Type::String], substr),
    Function::new("repeat", INT_TEXT, repeat),
    Function::new("replace", THREE_TEXTS, replace),
    Function::new("contains", TWO_TEXTS, |_, args| test(args, |part, s| find(s, part).is_some())),
    Function::new("hasPrefix", TWO_TEXTS, |_, args| test(args, |part, s| s.starts_with(part))),
    Function::new("hasSuffix", TWO_TEXTS, |_, args| test(args, |part, s| s.ends_with(part))),
    Function::variadic("quote", &[Type::Any], quote),
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

fn on_text(args: &[Value], work: impl FnOnce(&str) -> String) -> Outcome {
    match args {
        [Value::Str(s)] => Ok(work(&s.to_text()).into()),
        _ => misused(),
    }
}

fn on_bytes(args: &[Value], work: impl for<'b> FnOnce(&[u8], &'b [u8]) -> &'b [u8]) -> Outcome {
    match args {
        [Value::Str(a), Value::Str(b)] => {
            let part = work(a.as_bytes(), b.as_bytes());
            Ok(if part.len() == b.len() { b.clone() } else { Str::from(part) }.into())
        }
        _ => misused(),
    }
}

fn test(args: &[Value], work: impl FnOnce(&[u8], &[u8]) -> bool) -> Outcome {
    match args {
        [Value::Str(a), Value::Str(b)] => Ok(work(a.as_bytes(), b.as_bytes()).into()),
        _ => misused(),
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    if let (Ok(text), Ok(part)) = (std::str::from_utf8(text), std::str::from_utf8(part)) {
        return text.find(part);
    }
    if part.is_empty() { Some(0) } else { text.windows(part.len()).position(|window| window == part) }
}

fn trim_all(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [Value::Str(cut), Value::Str(s)] = args else { return misused() };
    let cut = cut.to_text();
    Ok(s.to_text().trim_matches(|c| cut.contains(c)).into())
}

/// Go's `unicode.ToUpper`: one character for one.
fn upper(c: char) -> char {
    let mut upper = c.to_uppercase();
    if upper.len() == 1 { upper.next().unwrap_or(c) } else { c }
}

/// Go's `unicode.ToLower`.
fn lower(c: char) -> char {
    if c == 'İ' { 'i' } else { c.to_lowercase().next().unwrap_or(c) }
}

/// Go's `unicode.ToTitle`: upper case but for the letters that are two.
fn title_case(c: char) -> char {
    match c {
        'Ǆ'..='ǆ' => 'ǅ',
        'Ǉ'..='ǉ' => 'ǈ',
        'Ǌ'..='ǌ' => 'ǋ',
        'Ǳ'..='ǳ' => 'ǲ',
        c => upper(c),
    }
}

/// Go's `strings.Title`.
fn title(s: &str) -> String {
    let is_separator = |c: char| if c.is_ascii() { !c.is_ascii_alphanumeric() && c != '_' } else { c.is_whitespace() };
    let mut start = true;
    s.chars()
        .map(|c| {
            let cased = if start { title_case(c) } else { c };
            start = is_separator(c);
            cased
        })
        .collect()
}

fn untitle(s: &str) -> String {
    let mut start = true;
    s.chars()
        .map(|c| {
            if c.is_whitespace() {
                start = true;
                return c;
            }
            if std::mem::take(&mut start) { lower(c) } else { c }
        })
        .collect()
}

fn swap_case(s: &str) -> String {
    let mut start = true;
    s.chars()
        .map(|c| {
            if c.is_uppercase() {
                start = false;
                lower(c)
            } else if c.is_lowercase() {
                start = false;
                upper(c)
            } else {
                start = c.is_whitespace();
                c
            }
        })
        .collect()
}

/// goutils takes each byte for a character here: blanks are those of Latin-1, and once there is one, what is not
/// ASCII comes out twice encoded.
fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ' | 0x85 | 0xa0)
}

fn no_space(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [Value::Str(s)] = args else { return misused() };
    if !s.as_bytes().iter().any(|byte| is_space(*byte)) {
        return Ok(s.clone().into());
    }
    Ok(s.as_bytes().iter().filter(|byte| !is_space(**byte)).map(|byte| char::from(*byte)).collect::<String>().into())
}

fn initials(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [Value::Str(s)] = args else { return misused() };
    let mut gap = true;
    let mut out = String::new();
    for byte in s.as_bytes() {
        if is_space(*byte) {
            gap = true;
        } else if std::mem::take(&mut gap) {
            out.push(char::from(*byte));
        }
    }
    Ok(out.into())
}

fn abbreviate(s: &Str, left: i64, width: i64) -> Value {
    let bytes = s.as_bytes();
    let (Ok(width), Ok(left)) = (usize::try_from(width), usize::try_from(left.max(0))) else { return s.clone().into() };
    if width < 4 || bytes.len() <= width {
        return s.clone().into();
    }
    Str::from(abbreviate_full(bytes, left, width)).into()
}

/// goutils' `AbbreviateFull` for a text longer than `width`, which is at least 4.
fn abbreviate_full(bytes: &[u8], left: usize, width: usize) -> Vec<u8> {
    let room = width - 3;
    let part = |from: usize, to: usize| bytes.get(from..to).unwrap_or_default();
    let offset = left.min(bytes.len());
    let offset = if bytes.len() - offset < room { bytes.len() - room } else { offset };
    if offset <= 4 {
        return [part(0, room), b"..."].concat();
    }
    if width < 7 {
        return Vec::new();
    }
    if offset + room < bytes.len() {
        let rest = part(offset, bytes.len());
        let inner = if rest.len() <= room { rest.to_vec() } else { abbreviate_full(rest, 0, room) };
        return [b"...".as_slice(), &inner].concat();
    }
    [b"...", part(bytes.len() - room, bytes.len())].concat()
}

fn trunc(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [Value::Int(_, count), Value::Str(s)] = args else { return misused() };
    let bytes = s.as_bytes();
    let by = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if by >= bytes.len() {
        return Ok(s.clone().into());
    }
    let part = if *count < 0 { bytes.get(bytes.len() - by..) } else { bytes.get(..by) };
    Ok(Str::from(part.unwrap_or_default()).into())
}

fn substr(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [Value::Int(_, start), Value::Int(_, end), Value::Str(s)] = args else { return misused() };
    let bytes = s.as_bytes();
    let length = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    let (start, end) = if *start < 0 {
        (0, *end)
    } else if *end < 0 || *end > length {
        (*start, length)
    } else {
        (*start, *end)
    };
    match usize::try_from(start).ok().zip(usize::try_from(end).ok()).and_then(|(start, end)| bytes.get(start..end)) {
        Some(part) => Ok(Str::from(part).into()),
        None if end < 0 || end > length => {
            Err(format!("runtime error: slice bounds out of range [:{end}]{}", with_length(end, length)).into())
        }
        None => Err(format!("runtime error: slice bounds out of range [{start}:{end}]").into()),
    }
}

fn with_length(end: i64, length: i64) -> String {
    if end < 0 { String::new() } else { format!(" with length {length}") }
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
    cx.budget().bytes(grown.min(cx.budget().limits().output + 1).min(replaced_length(s, old, new)))?;
    if let (Some(s), Some(old), Some(new)) = (s.as_str(), old.as_str(), new.as_str()) {
        return Ok(s.replace(old, new).into());
    }
    let mut out = Vec::new();
    let mut rest = s.as_bytes();
    while let Some(at) = find(rest, old.as_bytes()).filter(|_| !old.is_empty()) {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        out.extend_from_slice(new.as_bytes());
        rest = rest.get(at + old.len()..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    Ok(Str::from(out).into())
}

/// How long the result of a replacement is; only counted where it grows.
fn replaced_length(s: &Str, old: &Str, new: &Str) -> usize {
    if new.len() <= old.len() {
        return s.len();
    }
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
            Ok(go_quote(text.as_bytes()))
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
        cx.budget().bytes(size_of::<Value>())?;
        parts.push(Str::from(part).into());
        Ok::<_, FuncError>(parts.len())
    };
    let mut rest = s.as_bytes();
    let mut done = 0;
    while done + 1 < count {
        let at = if separator.is_empty() {
            // Between all characters, but not before the first nor after the last.
            let first = String::from_utf8_lossy(rest)
                .chars()
                .next()
                .map_or(0, |c| if c == '\u{fffd}' { 1 } else { c.len_utf8() });
            (first < rest.len()).then_some(first)
        } else {
            find(rest, separator.as_bytes())
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

#[allow(clippy::unnecessary_wraps, reason = "the last step of functions in the table")]
fn numbered(parts: Vec<Value>) -> Outcome {
    let entries = parts.into_iter().enumerate().map(|(index, part)| (Str::from(format!("_{index}")), part));
    Ok(Map::typed(MapType::STRING, entries.collect()).into())
}

fn is_connector(c: char) -> bool {
    c == '-' || c == '_' || c.is_whitespace()
}

/// xstrings' `ToPascalCase`.
fn pascal_case(s: &str) -> String {
    let mut out = String::new();
    let mut rest = s.chars();
    let mut current = None;
    let mut first_upper = false;
    for c in rest.by_ref() {
        if !is_connector(c) {
            first_upper = c.is_uppercase();
            current = Some(upper(c));
            break;
        }
        out.push(c);
    }
    let Some(mut current) = current else {
        // xstrings writes the last of nothing but connectors twice.
        out.extend(s.chars().last());
        return out;
    };
    for next in rest {
        let mut cased = next;
        if is_connector(next) && is_connector(current) {
            out.push(current);
            continue;
        }
        if is_connector(current) {
            first_upper = next.is_uppercase();
            cased = upper(next);
        } else {
            if first_upper {
                if next.is_uppercase() {
                    cased = lower(next);
                } else {
                    first_upper = false;
                }
            }
            out.push(current);
        }
        current = cased;
    }
    out.push(current);
    out
}

#[derive(Clone, Copy, PartialEq)]
enum Word {
    Number,
    Upper,
    Letters,
    Connector,
    Punctuation,
    Other,
}

fn is_punctuation(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_punctuation() && !"$+<=>^`|~".contains(c)
    } else {
        matches!(c, '\u{a1}' | '\u{a7}' | '\u{ab}' | '\u{b6}' | '\u{b7}' | '\u{bb}' | '\u{bf}' | '\u{2010}'..='\u{2027}' | '\u{3001}'..='\u{3003}' | '\u{ff01}'..='\u{ff0f}')
    }
}

/// The next word of `s` as xstrings cuts it: "HTTPServer" is "HTTP" and "Server".
fn next_word(s: &str) -> Option<(Word, &str, &str)> {
    let first = s.chars().next()?;
    // xstrings' alphabet are letters that have a case.
    let is_letter = |c: char| c.is_alphabetic() && (c.is_lowercase() || c.is_uppercase());
    let run = |keep: &dyn Fn(char) -> bool| s.find(|c| !keep(c)).unwrap_or(s.len());
    let (word, end) = if is_connector(first) {
        (Word::Connector, run(&is_connector))
    } else if is_punctuation(first) {
        (Word::Punctuation, run(&is_punctuation))
    } else if first.is_uppercase() {
        let uppers = run(&|c| c.is_uppercase());
        let after = s.get(uppers..).and_then(|rest| rest.chars().next());
        let last_upper = s.get(..uppers).and_then(|part| part.char_indices().next_back()).map_or(0, |(at, _)| at);
        let end = match after {
            // Several capitals before small letters: the last one belongs to the next word.
            Some(c) if last_upper > 0 && is_letter(c) => last_upper,
            Some(c) if last_upper == 0 && is_letter(c) => {
                let small = |c: char| is_letter(c) && !c.is_uppercase();
                let tail = s.get(uppers..).unwrap_or_default();
                uppers + tail.find(|c| !small(c)).unwrap_or(tail.len())
            }
            _ => uppers,
        };
        (Word::Upper, end)
    } else if is_letter(first) {
        (Word::Letters, run(&|c| is_letter(c) && !c.is_uppercase()))
    } else if first.is_numeric() {
        (Word::Number, run(&char::is_numeric))
    } else {
        let other = |c: char| !is_connector(c) && !is_letter(c) && !c.is_numeric() && !is_punctuation(c);
        (Word::Other, run(&other).max(first.len_utf8()))
    };
    Some((word, s.get(..end)?, s.get(end..)?))
}

/// xstrings' `ToSnakeCase` and `ToKebabCase`.
fn words(s: &str, connector: char) -> String {
    let mut out = String::new();
    let write = |out: &mut String, word: Word, text: &str| {
        if word != Word::Upper && word != Word::Connector {
            out.push_str(text);
            return;
        }
        out.extend(text.chars().map(|c| {
            if is_connector(c) {
                connector
            } else if c.is_uppercase() {
                lower(c)
            } else {
                c
            }
        }));
    };
    let joins = |word: Option<Word>| word.is_some_and(|word| word != Word::Connector && word != Word::Punctuation);
    let mut next = next_word(s);
    while let Some((word, text, rest)) = next {
        if rest.is_empty() {
            write(&mut out, word, text);
            break;
        }
        if word != Word::Connector {
            write(&mut out, word, text);
        }
        next = next_word(rest);
        match word {
            Word::Number => {
                next = write_run(&mut out, next, &write);
                if joins(next.map(|n| n.0)) {
                    out.push(connector);
                }
            }
            Word::Connector => write(&mut out, word, text),
            Word::Punctuation => {}
            Word::Upper | Word::Letters | Word::Other => {
                let Some((Word::Number, number, after)) = next else {
                    if joins(next.map(|n| n.0)) {
                        out.push(connector);
                    }
                    continue;
                };
                if after.is_empty() {
                    continue;
                }
                next = next_word(after);
                if next.is_some_and(|n| n.0 == Word::Letters) {
                    // Small letters follow: the number begins a word ("HTTP2xx" is "http_2xx").
                    out.push(connector);
                    write(&mut out, Word::Number, number);
                    next = write_run(&mut out, next, &write);
                    if joins(next.map(|n| n.0)) {
                        out.push(connector);
                    }
                } else {
                    // Else it ends one ("Bld4Floor" is "bld4_floor").
                    write(&mut out, Word::Number, number);
                    if joins(next.map(|n| n.0)) {
                        out.push(connector);
                    }
                }
            }
        }
    }
    out
}

/// Writes small letters and numbers as they follow each other; gives the word after them.
fn write_run<'s>(
    out: &mut String,
    mut next: Option<(Word, &'s str, &'s str)>,
    write: &dyn Fn(&mut String, Word, &str),
) -> Option<(Word, &'s str, &'s str)> {
    while let Some((word @ (Word::Letters | Word::Number), text, rest)) = next {
        write(out, word, text);
        next = next_word(rest);
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_as_xstrings_writes_them() {
        for (text, snake) in [
            ("FirstName", "first_name"),
            ("HTTPServer", "http_server"),
            ("NoHTTPS", "no_https"),
            ("GO_PATH", "go_path"),
            ("GO PATH", "go_path"),
            ("http2xx", "http_2xx"),
            ("HTTP20xOK", "http_20x_ok"),
            ("Duration2m3s", "duration_2m3s"),
            ("Bld4Floor3rd", "bld4_floor_3rd"),
            ("", ""),
        ] {
            assert_eq!(words(text, '_'), snake, "{text}");
        }
        for (text, pascal) in [
            ("some_words", "SomeWords"),
            ("_complex__case_", "_Complex_Case_"),
            ("GOLANG_IS_GREAT", "GolangIsGreat"),
            ("_", "__"),
        ] {
            assert_eq!(pascal_case(text), pascal, "{text}");
        }
    }
}
