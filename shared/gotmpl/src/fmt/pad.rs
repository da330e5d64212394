//! Width, precision and flags of one verb.

use std::fmt::Write;

use slipway_gocompat::strconv::{format_float, is_print};

/// What stood between `%` and the verb.
#[allow(clippy::struct_excessive_bools, reason = "Go's flags are independent of each other")]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    pub(super) width: Option<usize>,
    pub(super) precision: Option<usize>,
    pub(super) minus: bool,
    pub(super) plus: bool,
    pub(super) sharp: bool,
    pub(super) space: bool,
    pub(super) zero: bool,
    /// `%+v`
    pub(super) plus_v: bool,
    /// `%#v`
    pub(super) sharp_v: bool,
}

impl Flags {
    /// The text with as much padding as the width asks for.
    pub(super) fn pad(&self, text: &[u8]) -> Vec<u8> {
        let count = self.padding(text);
        if count == 0 {
            return text.to_vec();
        }
        let fill = std::iter::repeat_n(if self.zero && !self.minus { b'0' } else { b' ' }, count);
        let text = text.iter().copied();
        if self.minus { text.chain(fill).collect() } else { fill.chain(text).collect() }
    }

    /// As [`Flags::pad`], but never with zeros.
    pub(super) fn pad_spaces(mut self, text: &[u8]) -> Vec<u8> {
        self.zero = false;
        self.pad(text)
    }

    fn padding(&self, text: &[u8]) -> usize {
        self.width.map_or(0, |width| width.saturating_sub(count_chars(text)))
    }

    /// The first characters of the text, as many as the precision says.
    pub(super) fn truncate<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        let Some(most) = self.precision else { return text };
        let end = chars(text).take(most).map(|(_, len)| len).sum();
        text.get(..end).unwrap_or(text)
    }
}

/// Characters and their lengths; a byte that is not UTF-8 counts as one.
fn chars(text: &[u8]) -> impl Iterator<Item = (Option<char>, usize)> {
    text.utf8_chunks().flat_map(|chunk| {
        chunk.valid().chars().map(|c| (Some(c), c.len_utf8())).chain(chunk.invalid().iter().map(|_| (None, 1)))
    })
}

fn count_chars(text: &[u8]) -> usize {
    if text.is_ascii() { text.len() } else { chars(text).count() }
}

/// An integer in a base, with sign, precision, prefix and padding (Go's `fmtInteger`).
pub(super) fn integer(flags: Flags, magnitude: u64, negative: bool, verb: char) -> Vec<u8> {
    let sign = match () {
        () if negative => "-",
        () if flags.plus => "+",
        () if flags.space => " ",
        () => "",
    };
    let mut digits = match verb {
        'b' => format!("{magnitude:b}"),
        'o' | 'O' => format!("{magnitude:o}"),
        'x' => format!("{magnitude:x}"),
        'X' => format!("{magnitude:X}"),
        _ => magnitude.to_string(),
    };
    let least = match (flags.precision, flags.width) {
        (Some(0), width) if magnitude == 0 => return vec![b' '; width.unwrap_or_default()],
        (Some(precision), _) => precision,
        (None, Some(width)) if flags.zero && !flags.minus => width.saturating_sub(sign.len()),
        _ => 0,
    };
    if digits.len() < least {
        digits.insert_str(0, &"0".repeat(least - digits.len()));
    }
    let prefix = match verb {
        'b' if flags.sharp => "0b",
        'o' if flags.sharp && !digits.starts_with('0') => "0",
        'x' if flags.sharp => "0x",
        'X' if flags.sharp => "0X",
        'O' if flags.sharp && !digits.starts_with('0') => "0o0",
        'O' => "0o",
        _ => "",
    };
    flags.pad_spaces(format!("{sign}{prefix}{digits}").as_bytes())
}

/// A float with sign, the alternate form and padding (Go's `fmtFloat`).
pub(super) fn float(flags: Flags, value: f64, verb: char, precision: Option<usize>) -> Vec<u8> {
    let precision = flags.precision.or(precision);
    let text = format_float(value, verb, precision);
    let (sign, mut text) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (if text.starts_with('-') { '-' } else { '+' }, rest.to_owned()),
        None => ('+', text),
    };
    let shown = match sign {
        '-' => "-",
        _ if flags.plus => "+",
        _ if flags.space => " ",
        _ => "",
    };
    if !value.is_finite() {
        // Unlike a number, an infinity has its sign even where no flag asks for it.
        let shown = if shown.is_empty() && value.is_infinite() { "+" } else { shown };
        return flags.pad_spaces(format!("{shown}{text}").as_bytes());
    }
    if flags.sharp && verb != 'b' {
        text = alternate(&text, verb, precision);
    }
    if flags.zero && !flags.minus && !shown.is_empty() {
        let zeros = flags.width.unwrap_or_default().saturating_sub(shown.len() + text.len());
        return format!("{shown}{}{text}", "0".repeat(zeros)).into_bytes();
    }
    flags.pad(format!("{shown}{text}").as_bytes())
}

/// `%#g` and its like: always a point, and the zeros that the precision asks for.
fn alternate(text: &str, verb: char, precision: Option<usize>) -> String {
    let mut left = if matches!(verb, 'g' | 'G' | 'x') { precision.unwrap_or(6) } else { 0 };
    let tail_at = text.find(|c| matches!(c, 'p' | 'P') || (matches!(c, 'e' | 'E') && !matches!(verb, 'x' | 'X')));
    let (number, tail) = text.split_at(tail_at.unwrap_or(text.len()));
    let mut out = number.to_owned();
    let significant = number.chars().filter(|c| *c != '.').skip_while(|c| *c == '0').count();
    left = left.saturating_sub(significant);
    if !number.contains('.') {
        if number == "0" {
            left = left.saturating_sub(1);
        }
        out.push('.');
    }
    out.push_str(&"0".repeat(left));
    out + tail
}

/// A string's or byte slice's hexadecimal form (Go's `fmtSbx`).
pub(super) fn hex(flags: Flags, bytes: &[u8], verb: char) -> Vec<u8> {
    let bytes = bytes.get(..flags.precision.unwrap_or(usize::MAX).min(bytes.len())).unwrap_or(bytes);
    let prefix = match (flags.sharp, verb) {
        (false, _) => "",
        (true, 'x') => "0x",
        (true, _) => "0X",
    };
    let mut out = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        if index == 0 {
            out.push_str(prefix);
        } else if flags.space {
            out.push(' ');
            out.push_str(prefix);
        }
        // Writing to a string can't fail.
        let _ = if verb == 'x' { write!(out, "{byte:02x}") } else { write!(out, "{byte:02X}") };
    }
    flags.pad(out.as_bytes())
}

/// `U+0041`, with the character itself in the alternate form (Go's `fmtUnicode`).
pub(super) fn unicode(flags: Flags, code: u64) -> Vec<u8> {
    let digits = flags.precision.unwrap_or(4).max(4);
    let hex = format!("{code:X}");
    let mut text = format!("U+{}{hex}", "0".repeat(digits.saturating_sub(hex.len())));
    if let Some(c) = u32::try_from(code).ok().and_then(char::from_u32).filter(|c| flags.sharp && is_print(*c)) {
        text.extend([' ', '\'', c, '\'']);
    }
    flags.pad_spaces(text.as_bytes())
}
