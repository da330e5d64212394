//! Parts of texts: trimmed, truncated, abbreviated (Masterminds/sprig `strings.go`, Masterminds/goutils).

use slipway_gotmpl::{Context, Function, INT, Str, Type, Value};

use super::strings::on_text;
use super::{Outcome, misused};

const TEXT: &[Type] = &[Type::String];
const TWO_TEXTS: &[Type] = &[Type::String, Type::String];
const INT_TEXT: &[Type] = &[INT, Type::String];

pub(super) const TABLE: &[Function] = &[
    Function::new("trim", TEXT, |_, args| on_text(args, |s| s.trim().to_owned())),
    Function::new("trimAll", TWO_TEXTS, trim_all),
    Function::new("trimall", TWO_TEXTS, trim_all),
    Function::new("trimSuffix", TWO_TEXTS, |_, args| on_bytes(args, |a, b| b.strip_suffix(a).unwrap_or(b))),
    Function::new("trimPrefix", TWO_TEXTS, |_, args| on_bytes(args, |a, b| b.strip_prefix(a).unwrap_or(b))),
    Function::new("nospace", TEXT, no_space).costing(24),
    Function::new("initials", TEXT, initials),
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
];

fn on_bytes(args: &[Value], work: impl for<'b> FnOnce(&[u8], &'b [u8]) -> &'b [u8]) -> Outcome {
    match args {
        [Value::Str(a), Value::Str(b)] => {
            let part = work(a.as_bytes(), b.as_bytes());
            Ok(if part.len() == b.len() { b.clone() } else { Str::from(part) }.into())
        }
        _ => misused(),
    }
}

fn trim_all(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [Value::Str(cut), Value::Str(s)] = args else { return misused() };
    // Each character of one is looked for in the other.
    cx.budget().step((s.len() / 8 + 1).saturating_mul(cut.len() / 64 + 1) as u64)?;
    let cut = cut.to_text();
    Ok(s.to_text().trim_matches(|c| cut.contains(c)).into())
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
