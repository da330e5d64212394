//! Writes and reads quoted strings (Go: src/strconv/quote.go).

use std::borrow::Cow;
use std::fmt::Write;

/// Go's `strconv.Quote`: in double quotes, what does not print as an escape.
pub fn quote(bytes: &[u8]) -> String {
    quoted(bytes, false)
}

/// Go's `strconv.QuoteToASCII`: as [`quote`], and nothing but ASCII.
pub fn quote_ascii(bytes: &[u8]) -> String {
    quoted(bytes, true)
}

fn quoted(bytes: &[u8], ascii: bool) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            push_escaped(&mut out, c, '"', ascii);
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    out
}

/// Go's `strconv.QuoteRune`, or `QuoteRuneToASCII`.
pub fn quote_char(c: char, ascii: bool) -> String {
    let mut out = String::from("'");
    push_escaped(&mut out, c, '\'', ascii);
    out.push('\'');
    out
}

fn push_escaped(out: &mut String, c: char, quote: char, ascii: bool) {
    let plain = |c: char| if ascii { c.is_ascii() && is_print(c) } else { is_print(c) };
    match c {
        _ if c == quote || c == '\\' => out.extend(['\\', c]),
        _ if plain(c) => out.push(c),
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        _ => {
            let code = u32::from(c);
            // Writing to a string can't fail.
            let _ = match code {
                0..0x20 | 0x7f => write!(out, "\\x{code:02x}"),
                0..0x1_0000 => write!(out, "\\u{code:04x}"),
                _ => write!(out, "\\U{code:08x}"),
            };
        }
    }
}

/// Go's `strconv.IsPrint`: letters, marks, numbers, punctuation, symbols and the ASCII space.
pub fn is_print(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    // What the standard library escapes in the middle of a string is exactly what does not print.
    let mut text = [b'a', 0, 0, 0, 0];
    let (_, rest) = text.split_at_mut(1);
    let len = 1 + c.encode_utf8(rest).len();
    let text = text.get(..len).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
    text.escape_debug().nth(1) != Some('\\')
}

/// Go's `strconv.CanBackquote`: whether the text can stand between backquotes as it is.
pub fn can_backquote(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes)
        .is_ok_and(|text| !text.chars().any(|c| c == '\u{feff}' || (c < ' ' && c != '\t') || c == '`' || c == '\x7f'))
}

/// Go's `strconv.Unquote` for `"…"` and `` `…` ``, which can give bytes that are no UTF-8. `None` if the syntax is
/// wrong.
pub fn unquote(quoted: &str) -> Option<Cow<'_, [u8]>> {
    if let Some(raw) = quoted.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) {
        return Some(if raw.contains('\r') {
            raw.replace('\r', "").into_bytes().into()
        } else {
            raw.as_bytes().into()
        });
    }
    let mut rest = quoted.strip_prefix('"')?.strip_suffix('"')?;
    if !rest.contains(['\\', '\n']) {
        return Some(rest.as_bytes().into());
    }
    let mut out = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let (unquoted, tail) = unquote_char(rest, '"')?;
        match unquoted {
            Unquoted::Char(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Unquoted::Byte(byte) => out.push(byte),
        }
        rest = tail;
    }
    Some(out.into())
}

/// What one element of a quoted string stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unquoted {
    /// A character.
    Char(char),
    /// From `\x` or an octal escape: a byte, not a character.
    Byte(u8),
}

/// Go's `strconv.UnquoteChar`: the first character or escape of `text` and what follows it.
pub fn unquote_char(text: &str, quote: char) -> Option<(Unquoted, &str)> {
    let mut chars = text.chars();
    let first = chars.next()?;
    if first == quote || first == '\n' {
        return None;
    }
    if first != '\\' {
        return Some((Unquoted::Char(first), chars.as_str()));
    }
    let escape = chars.next()?;
    let rest = chars.as_str();
    let simple = match escape {
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        '\\' => '\\',
        'x' => return digits(rest, 2, 16).and_then(byte),
        'u' => return digits(rest, 4, 16).and_then(character),
        'U' => return digits(rest, 8, 16).and_then(character),
        '0'..='7' => return digits(text.get(1..)?, 3, 8).and_then(byte),
        '\'' | '"' if escape == quote => escape,
        _ => return None,
    };
    Some((Unquoted::Char(simple), rest))
}

fn digits(text: &str, count: usize, radix: u32) -> Option<(u32, &str)> {
    let (number, rest) = text.split_at_checked(count)?;
    if !number.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    Some((u32::from_str_radix(number, radix).ok()?, rest))
}

fn byte((number, rest): (u32, &str)) -> Option<(Unquoted, &str)> {
    Some((Unquoted::Byte(u8::try_from(number).ok()?), rest))
}

fn character((number, rest): (u32, &str)) -> Option<(Unquoted, &str)> {
    Some((Unquoted::Char(char::from_u32(number)?), rest))
}
