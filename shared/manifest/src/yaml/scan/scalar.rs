//! The texts of scalars: plain, quoted, and in blocks.

use std::borrow::Cow;

use super::Scanner;
use crate::yaml::{YamlError, YamlErrorKind};

/// White space between two pieces of a scalar that goes over several lines.
#[derive(Default)]
struct Gap {
    from: usize,
    to: usize,
    /// Whether there was a line break, and how many after the first.
    broken: bool,
    breaks: usize,
}

impl Gap {
    /// One line break folds into a space, of several the first is dropped.
    fn fold_into(&self, out: &mut String, blanks: &str) {
        match (self.broken, self.breaks) {
            (false, _) => out.push_str(blanks),
            (true, 0) => out.push(' '),
            (true, breaks) => out.extend(std::iter::repeat_n('\n', breaks)),
        }
    }
}

impl<'a> Scanner<'a> {
    fn skip_gap(&mut self, min_indent: Option<isize>) -> Result<Gap, YamlError> {
        let mut gap = Gap { from: self.at, to: self.at, ..Gap::default() };
        loop {
            match self.byte(0) {
                Some(byte @ (b' ' | b'\t')) => {
                    if byte == b'\t' && gap.broken && min_indent.is_some_and(|indent| self.signed_column() < indent) {
                        return self.error("found a tab where spaces have to indent");
                    }
                    self.at += 1;
                    if !gap.broken {
                        gap.to = self.at;
                    }
                }
                Some(b'\n' | b'\r') => {
                    self.skip_break();
                    gap.breaks += usize::from(gap.broken);
                    gap.broken = true;
                }
                _ => return Ok(gap),
            }
        }
    }

    /// A plain scalar and where it ends.
    pub(super) fn scan_plain(&mut self) -> Result<(Cow<'a, str>, usize), YamlError> {
        let indent = self.indent + 1;
        let flow = self.in_flow();
        let start = self.at;
        // On one line the text stands as it is; only what goes over several lines is put together.
        let mut folded: Option<String> = None;
        let mut gap = Gap::default();
        let mut end = self.at;
        loop {
            if self.at_document_mark() || self.byte(0) == Some(b'#') {
                break;
            }
            let from = self.at;
            self.skip_plain(flow);
            if self.at == from {
                break;
            }
            if folded.is_some() || gap.broken {
                let text = folded.get_or_insert_with(|| self.slice(start, end).to_owned());
                gap.fold_into(text, self.slice(gap.from, gap.to));
                text.push_str(self.slice(from, self.at));
            }
            end = self.at;
            if !self.blank_at(0) || self.byte(0).is_none() {
                break;
            }
            gap = self.skip_gap(Some(indent))?;
            if gap.broken {
                self.simple_key_allowed = true;
            }
            if !flow && self.signed_column() < indent {
                break;
            }
        }
        Ok((folded.map_or(Cow::Borrowed(self.slice(start, end)), Cow::Owned), end))
    }

    /// Steps to where a plain scalar, or a word of it, ends.
    fn skip_plain(&mut self, flow: bool) {
        loop {
            if flow {
                self.skip_while(|byte| {
                    !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b':' | b',' | b'[' | b']' | b'{' | b'}' | b'?')
                });
            } else {
                self.skip_while(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b':'));
            }
            match self.byte(0) {
                Some(b':' | b'?') if !self.blank_at(1) => self.at += 1,
                _ => return,
            }
        }
    }

    /// A quoted scalar and where it ends.
    pub(super) fn scan_quoted(&mut self, single: bool) -> Result<(Cow<'a, str>, usize), YamlError> {
        let opened = self.line;
        let quote = if single { b'\'' } else { b'"' };
        self.at += 1;
        let start = self.at;
        self.skip_while(|b| b != quote && !matches!(b, b'\n' | b'\r') && (single || b != b'\\'));
        if self.byte(0) == Some(quote) && (!single || self.byte(1) != Some(quote)) {
            // Most texts have neither escapes nor line breaks.
            self.at += 1;
            return Ok((Cow::Borrowed(self.slice(start, self.at - 1)), self.at));
        }
        self.at = start;
        let mut text: Cow<'a, str> = Cow::Borrowed("");
        loop {
            if self.at_document_mark() {
                return self.error("found a document's end inside a quoted text");
            }
            let from = self.at;
            self.skip_while(|b| b != quote && !matches!(b, b' ' | b'\t' | b'\n' | b'\r' | b'\\'));
            append(&mut text, self.slice(from, self.at));
            match self.byte(0) {
                None => {
                    let kind = YamlErrorKind::Syntax("found no end of a quoted text".to_owned());
                    return Err(YamlError { line: opened, kind });
                }
                Some(b'\\') if single => {
                    self.at += 1;
                    append(&mut text, "\\");
                }
                Some(b'\\') => self.scan_escape(text.to_mut())?,
                Some(b'\'') if single && self.byte(1) == Some(b'\'') => {
                    self.at += 2;
                    append(&mut text, "'");
                }
                Some(byte) if byte == quote => {
                    self.at += 1;
                    return Ok((text, self.at));
                }
                Some(_) => {
                    let gap = self.skip_gap(None)?;
                    let blanks = self.slice(gap.from, gap.to);
                    if gap.broken { gap.fold_into(text.to_mut(), blanks) } else { append(&mut text, blanks) }
                }
            }
        }
    }

    fn scan_escape(&mut self, text: &mut String) -> Result<(), YamlError> {
        let code = self.byte(1);
        let width = match code {
            Some(b'\n' | b'\r') => {
                self.at += 1;
                self.skip_break();
                let gap = self.skip_gap(None)?;
                text.extend(std::iter::repeat_n('\n', gap.breaks + usize::from(gap.broken)));
                return Ok(());
            }
            Some(b'x') => 2,
            Some(b'u') => 4,
            Some(b'U') => 8,
            _ => 0,
        };
        if width > 0 {
            let digits = self.text.get(self.at + 2..self.at + 2 + width).unwrap_or_default();
            let hex = digits.len() == width && digits.bytes().all(|b| b.is_ascii_hexdigit());
            let Some(c) = u32::from_str_radix(digits, 16).ok().filter(|_| hex).and_then(char::from_u32) else {
                return self.error("found an invalid Unicode escape in a quoted text");
            };
            text.push(c);
            self.at += 2 + width;
            return Ok(());
        }
        text.push(match code {
            Some(b'0') => '\0',
            Some(b'a') => '\u{7}',
            Some(b'b') => '\u{8}',
            Some(b't' | b'\t') => '\t',
            Some(b'n') => '\n',
            Some(b'v') => '\u{b}',
            Some(b'f') => '\u{c}',
            Some(b'r') => '\r',
            Some(b'e') => '\u{1b}',
            Some(byte @ (b' ' | b'"' | b'\'' | b'\\')) => char::from(byte),
            Some(b'/') if !self.is_1_1 => '/',
            Some(b'N') => '\u{85}',
            Some(b'_') => '\u{a0}',
            Some(b'L') => '\u{2028}',
            Some(b'P') => '\u{2029}',
            _ => return self.error("found an unknown escape in a quoted text: write `\\\\` for a backslash"),
        });
        self.at += 2;
        Ok(())
    }

    pub(super) fn scan_block(&mut self, literal: bool) -> Result<Cow<'a, str>, YamlError> {
        self.at += 1;
        let (keep, explicit) = self.scan_block_header()?;
        let base = self.indent.max(0);
        let mut indent = explicit.map(|by| base + by);
        let mut text = String::new();
        let mut breaks = self.scan_block_breaks(&mut indent)?;
        let (mut pending, mut blank_before) = (false, false);
        while indent == Some(self.signed_column()) && self.at < self.bytes.len() {
            let blank = matches!(self.byte(0), Some(b' ' | b'\t'));
            if !literal && pending && !blank_before && !blank {
                if breaks == 0 {
                    text.push(' ');
                }
            } else if pending {
                text.push('\n');
            }
            text.extend(std::iter::repeat_n('\n', breaks));
            blank_before = blank;
            let from = self.at;
            self.skip_line();
            text.push_str(self.slice(from, self.at));
            pending = self.at_break();
            if pending {
                self.skip_break();
            }
            breaks = self.scan_block_breaks(&mut indent)?;
        }
        if pending && keep != Some(false) {
            text.push('\n');
        }
        if keep == Some(true) {
            text.extend(std::iter::repeat_n('\n', breaks));
        }
        Ok(Cow::Owned(text))
    }

    /// Chomping (`+` keeps, `-` strips) and the indentation, as far as they are given.
    fn scan_block_header(&mut self) -> Result<(Option<bool>, Option<isize>), YamlError> {
        let (mut keep, mut explicit) = (None, None);
        loop {
            match self.byte(0) {
                Some(sign @ (b'+' | b'-')) if keep.is_none() => keep = Some(sign == b'+'),
                Some(b'0') if explicit.is_none() => return self.error("a block's indentation can't be 0"),
                Some(digit @ b'1'..=b'9') if explicit.is_none() => {
                    explicit = Some(isize::from((digit - b'0').cast_signed()));
                }
                _ => break,
            }
            self.at += 1;
        }
        while matches!(self.byte(0), Some(b' ' | b'\t')) {
            self.at += 1;
        }
        if self.byte(0) == Some(b'#') {
            self.skip_line();
        }
        if self.at_break() {
            self.skip_break();
        } else if self.at < self.bytes.len() {
            return self.error("did not find a comment or the line's end behind `|` or `>`");
        }
        Ok((keep, explicit))
    }

    /// Empty lines; without a given indentation the first line that is not empty sets it.
    fn scan_block_breaks(&mut self, indent: &mut Option<isize>) -> Result<usize, YamlError> {
        let (mut breaks, mut deepest) = (0, 0);
        loop {
            while self.byte(0) == Some(b' ') && indent.is_none_or(|indent| self.signed_column() < indent) {
                self.at += 1;
            }
            deepest = deepest.max(self.signed_column());
            if self.byte(0) == Some(b'\t') && indent.is_none_or(|indent| self.signed_column() < indent) {
                return self.error("found a tab where spaces have to indent");
            }
            if !self.at_break() {
                break;
            }
            self.skip_break();
            breaks += 1;
        }
        if indent.is_none() {
            *indent = Some(deepest.max(self.indent + 1).max(1));
        }
        Ok(breaks)
    }
}

fn append<'a>(text: &mut Cow<'a, str>, piece: &'a str) {
    if text.is_empty() {
        *text = Cow::Borrowed(piece);
    } else if !piece.is_empty() {
        text.to_mut().push_str(piece);
    }
}
