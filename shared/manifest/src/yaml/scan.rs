//! Cuts text into tokens: the YAML 1.1 scanner that libyaml and so go-yaml (v2 `scannerc.go`) use, with its notion of
//! simple keys: a key without `? ` is known as one only when its `:` comes, at most 1024 bytes on and on the same line.

mod scalar;

use std::borrow::Cow;
use std::collections::VecDeque;

use memchr::memchr2;

use super::{YamlError, YamlErrorKind};

/// One token, by libyaml's name; the grammar is not its business.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'a> {
    StreamEnd,
    Directive,
    DocumentStart,
    DocumentEnd,
    BlockSequenceStart,
    BlockMappingStart,
    BlockEnd,
    FlowSequenceStart,
    FlowSequenceEnd,
    FlowMappingStart,
    FlowMappingEnd,
    BlockEntry,
    FlowEntry,
    Key,
    Value,
    Alias(&'a str),
    Anchor(&'a str),
    /// The tag, `!!x` written out as `tag:yaml.org,2002:x`.
    Tag(Cow<'a, str>),
    Scalar {
        text: Cow<'a, str>,
        plain: bool,
        /// Written behind `>`.
        folded: bool,
    },
}

/// A token, the line (from 1) it starts on and the bytes it takes.
#[derive(Debug)]
pub(super) struct Located<'a> {
    /// The token.
    pub(super) token: Token<'a>,
    /// Its line.
    pub(super) line: usize,
    /// Where its bytes begin.
    pub(super) start: usize,
    /// Where they end.
    pub(super) end: usize,
}

/// Where a simple key might have started.
#[derive(Clone, Copy)]
struct SimpleKey {
    /// Number of the token, from the stream's start, before which `Key` would go.
    token: usize,
    required: bool,
    at: usize,
    line: usize,
    column: usize,
}

const MAX_SIMPLE_KEY: usize = 1024;
/// `%TAG` directives of a document, and the length of what one stands for.
const MAX_TAG_HANDLES: usize = 32;
const MAX_TAG_PREFIX: usize = 256;

static END: Located<'static> = Located { token: Token::StreamEnd, line: 0, start: 0, end: 0 };

/// Gives the tokens of a text one by one.
pub(super) struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    line: usize,
    line_start: usize,
    tokens: VecDeque<Located<'a>>,
    /// Tokens handed out.
    taken: usize,
    /// So many tokens, from the stream's start, have nothing more to come before them.
    settled: usize,
    ended: bool,
    /// Columns of the open block collections; -1 is none.
    indent: isize,
    indents: Vec<isize>,
    simple_key_allowed: bool,
    /// One for the block context and one for each open flow collection.
    simple_keys: Vec<Option<SimpleKey>>,
    tag_handles: Vec<(&'a str, &'a str)>,
    /// YAML 1.1 to the letter, as go-yaml v2: no `%YAML 1.2`, no `\/` in quotes. Version 3 takes both.
    pub(super) is_1_1: bool,
}

impl<'a> Scanner<'a> {
    /// A scanner over `text`; the error is a character that YAML does not allow even in quotes.
    pub(super) fn new(text: &'a str) -> Result<Self, YamlError> {
        check_characters(text)?;
        let start = if text.starts_with('\u{feff}') { 3 } else { 0 };
        Ok(Self {
            text,
            bytes: text.as_bytes(),
            at: start,
            line: 1,
            line_start: start,
            tokens: VecDeque::new(),
            taken: 0,
            settled: 0,
            ended: false,
            indent: -1,
            indents: Vec::new(),
            simple_key_allowed: true,
            simple_keys: vec![None],
            tag_handles: Vec::new(),
            is_1_1: false,
        })
    }

    /// The next token, left where it is.
    // The grammar looks at each token eight times.
    #[inline]
    pub(super) fn peek(&mut self) -> Result<&Located<'a>, YamlError> {
        if self.settled <= self.taken {
            self.settle()?;
        }
        Ok(self.tokens.front().unwrap_or(&END))
    }

    fn settle(&mut self) -> Result<(), YamlError> {
        while !self.ended && self.needs_more()? {
            self.fetch()?;
        }
        self.settled = self.taken + 1;
        Ok(())
    }

    /// The next token; after the end of the stream, that again.
    pub(super) fn next(&mut self) -> Result<Located<'a>, YamlError> {
        self.peek()?;
        self.taken += 1;
        Ok(self.tokens.pop_front().unwrap_or(Located {
            token: Token::StreamEnd,
            line: self.line,
            start: self.at,
            end: self.at,
        }))
    }

    fn needs_more(&mut self) -> Result<bool, YamlError> {
        if self.tokens.is_empty() {
            return Ok(true);
        }
        self.drop_stale_keys()?;
        Ok(self.simple_keys.iter().flatten().any(|key| key.token == self.taken))
    }

    fn error<T>(&self, what: &str) -> Result<T, YamlError> {
        Err(YamlError { line: self.line, kind: YamlErrorKind::Syntax(what.to_owned()) })
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    /// Whether a space, a tab, a line break or the end is `ahead` bytes on.
    fn blank_at(&self, ahead: usize) -> bool {
        matches!(self.byte(ahead), None | Some(b' ' | b'\t' | b'\n' | b'\r'))
    }

    fn at_break(&self) -> bool {
        matches!(self.byte(0), Some(b'\n' | b'\r'))
    }

    fn column(&self) -> usize {
        self.at - self.line_start
    }

    fn signed_column(&self) -> isize {
        self.column().cast_signed()
    }

    fn in_flow(&self) -> bool {
        self.simple_keys.len() > 1
    }

    fn slice(&self, from: usize, to: usize) -> &'a str {
        self.text.get(from..to).unwrap_or_default()
    }

    /// Steps over the bytes that are `of` some sort.
    fn skip_while(&mut self, of: impl Fn(u8) -> bool) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|byte| !of(*byte)).unwrap_or(rest.len());
    }

    /// Steps to the line's end.
    fn skip_line(&mut self) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at += memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
    }

    /// Steps over a line break (`\n`, `\r\n` or `\r`).
    fn skip_break(&mut self) {
        self.at += if self.bytes.get(self.at..self.at + 2) == Some(b"\r\n") { 2 } else { 1 };
        self.line += 1;
        self.line_start = self.at;
    }

    /// Adds a token that starts here, and steps over its `len` bytes.
    fn push(&mut self, token: Token<'a>, len: usize) {
        let start = self.at;
        self.at += len;
        self.tokens.push_back(Located { token, line: self.line, start, end: self.at });
    }

    /// Adds a token that was read from `start`, on `line`, up to here.
    fn push_from(&mut self, token: Token<'a>, line: usize, start: usize) {
        self.tokens.push_back(Located { token, line, start, end: self.at });
    }

    /// `---` or `...` at the start of a line, alone or before a blank.
    fn at_document_mark(&self) -> bool {
        self.column() == 0 && matches!(self.bytes.get(self.at..self.at + 3), Some(b"---" | b"...")) && self.blank_at(3)
    }

    fn fetch(&mut self) -> Result<(), YamlError> {
        self.skip_to_next_token();
        self.drop_stale_keys()?;
        self.unroll(self.signed_column());
        let Some(byte) = self.byte(0) else { return self.fetch_end() };
        if self.column() == 0 && byte == b'%' {
            return self.fetch_directive();
        }
        if self.at_document_mark() {
            return self.fetch_document_mark(byte);
        }
        match byte {
            b'[' => self.fetch_flow_start(Token::FlowSequenceStart),
            b'{' => self.fetch_flow_start(Token::FlowMappingStart),
            b']' => self.fetch_flow_end(Token::FlowSequenceEnd),
            b'}' => self.fetch_flow_end(Token::FlowMappingEnd),
            b',' => self.fetch_flow_entry(),
            b'-' if self.blank_at(1) => self.fetch_block_entry(),
            b'?' if self.in_flow() || self.blank_at(1) => self.fetch_key(),
            b':' if self.in_flow() || self.blank_at(1) => self.fetch_value(),
            b'*' | b'&' => self.fetch_anchor(byte),
            b'!' => {
                self.save_simple_key()?;
                self.simple_key_allowed = false;
                let start = self.at;
                let tag = self.scan_tag()?;
                self.push_from(Token::Tag(tag), self.line, start);
                Ok(())
            }
            b'|' | b'>' if !self.in_flow() => self.fetch_block_scalar(byte == b'|'),
            b'\'' | b'"' => self.fetch_scalar(|scanner| scanner.scan_quoted(byte == b'\''), false),
            _ if self.starts_plain(byte) => self.fetch_scalar(Self::scan_plain, true),
            _ => self.error("found a character that can't start a value: quote the text"),
        }
    }

    fn starts_plain(&self, byte: u8) -> bool {
        match byte {
            b'-' => !matches!(self.byte(1), Some(b' ' | b'\t')),
            b'?' | b':' => !self.in_flow() && !self.blank_at(1),
            b',' | b'[' | b']' | b'{' | b'}' | b'#' | b'&' | b'*' | b'!' | b'|' | b'>' | b'\'' | b'"' | b'%' | b'@'
            | b'`' | b' ' | b'\t' | b'\n' | b'\r' => false,
            _ => true,
        }
    }

    fn skip_to_next_token(&mut self) {
        loop {
            match self.byte(0) {
                Some(b' ') => self.skip_while(|byte| byte == b' '),
                Some(b'\t') if self.in_flow() || !self.simple_key_allowed => self.at += 1,
                Some(b'#') => self.skip_line(),
                Some(b'\n' | b'\r') => {
                    self.skip_break();
                    if !self.in_flow() {
                        self.simple_key_allowed = true;
                    }
                }
                _ => return,
            }
        }
    }

    fn drop_stale_keys(&mut self) -> Result<(), YamlError> {
        let (line, at) = (self.line, self.at);
        let mut missing = None;
        for slot in &mut self.simple_keys {
            if let Some(key) = *slot
                && (key.line < line || key.at + MAX_SIMPLE_KEY < at)
            {
                missing = missing.or(key.required.then_some(key.line));
                *slot = None;
            }
        }
        missing.map_or(Ok(()), missing_colon)
    }

    fn save_simple_key(&mut self) -> Result<(), YamlError> {
        if self.simple_key_allowed {
            let required = !self.in_flow() && self.indent == self.signed_column();
            self.remove_simple_key()?;
            let token = self.taken + self.tokens.len();
            let key = SimpleKey { token, required, at: self.at, line: self.line, column: self.column() };
            if let Some(slot) = self.simple_keys.last_mut() {
                *slot = Some(key);
            }
        }
        Ok(())
    }

    fn remove_simple_key(&mut self) -> Result<(), YamlError> {
        match self.simple_keys.last_mut().and_then(Option::take) {
            Some(key) if key.required => missing_colon(key.line),
            _ => Ok(()),
        }
    }

    /// Opens a block collection at `column` unless one is open there; `before` is the token it has to stand before.
    fn roll(&mut self, column: usize, before: Option<usize>, token: Token<'a>, line: usize) {
        let column = column.cast_signed();
        if self.in_flow() || self.indent >= column {
            return;
        }
        self.indents.push(self.indent);
        self.indent = column;
        let place = before.map_or(self.tokens.len(), |number| number - self.taken);
        self.tokens.insert(place, Located { token, line, start: self.at, end: self.at });
    }

    /// Closes the block collections deeper than `column`.
    fn unroll(&mut self, column: isize) {
        if self.in_flow() {
            return;
        }
        while self.indent > column {
            self.push(Token::BlockEnd, 0);
            self.indent = self.indents.pop().unwrap_or(-1);
        }
    }

    fn fetch_end(&mut self) -> Result<(), YamlError> {
        self.simple_keys.truncate(1);
        self.unroll(-1);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        self.push(Token::StreamEnd, 0);
        self.ended = true;
        Ok(())
    }

    fn fetch_document_mark(&mut self, byte: u8) -> Result<(), YamlError> {
        self.unroll(-1);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        self.push(if byte == b'-' { Token::DocumentStart } else { Token::DocumentEnd }, 3);
        Ok(())
    }

    fn fetch_flow_start(&mut self, token: Token<'a>) -> Result<(), YamlError> {
        self.save_simple_key()?;
        self.simple_keys.push(None);
        self.simple_key_allowed = true;
        self.push(token, 1);
        Ok(())
    }

    fn fetch_flow_end(&mut self, token: Token<'a>) -> Result<(), YamlError> {
        self.remove_simple_key()?;
        if self.in_flow() {
            self.simple_keys.pop();
        }
        self.simple_key_allowed = false;
        self.push(token, 1);
        Ok(())
    }

    fn fetch_flow_entry(&mut self) -> Result<(), YamlError> {
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        self.push(Token::FlowEntry, 1);
        Ok(())
    }

    fn fetch_block_entry(&mut self) -> Result<(), YamlError> {
        if !self.in_flow() {
            if !self.simple_key_allowed {
                return self.error("a list item (`- `) is not allowed here");
            }
            self.roll(self.column(), None, Token::BlockSequenceStart, self.line);
        }
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        self.push(Token::BlockEntry, 1);
        Ok(())
    }

    fn fetch_key(&mut self) -> Result<(), YamlError> {
        if !self.in_flow() {
            if !self.simple_key_allowed {
                return self.error("a mapping key (`? `) is not allowed here");
            }
            self.roll(self.column(), None, Token::BlockMappingStart, self.line);
        }
        self.remove_simple_key()?;
        self.simple_key_allowed = !self.in_flow();
        self.push(Token::Key, 1);
        Ok(())
    }

    fn fetch_value(&mut self) -> Result<(), YamlError> {
        self.drop_stale_keys()?;
        if let Some(key) = self.simple_keys.last_mut().and_then(Option::take) {
            let place = key.token - self.taken;
            self.tokens.insert(place, Located { token: Token::Key, line: key.line, start: key.at, end: key.at });
            self.roll(key.column, Some(key.token), Token::BlockMappingStart, key.line);
            self.simple_key_allowed = false;
        } else {
            if !self.in_flow() {
                if !self.simple_key_allowed {
                    return self.error("a mapping value (`: `) is not allowed here");
                }
                self.roll(self.column(), None, Token::BlockMappingStart, self.line);
            }
            self.simple_key_allowed = !self.in_flow();
        }
        self.push(Token::Value, 1);
        Ok(())
    }

    fn fetch_scalar(
        &mut self,
        scan: impl FnOnce(&mut Self) -> Result<(Cow<'a, str>, usize), YamlError>,
        plain: bool,
    ) -> Result<(), YamlError> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        let (line, start) = (self.line, self.at);
        let (text, end) = scan(self)?;
        self.tokens.push_back(Located { token: Token::Scalar { text, plain, folded: false }, line, start, end });
        Ok(())
    }

    fn fetch_block_scalar(&mut self, literal: bool) -> Result<(), YamlError> {
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        let (line, start) = (self.line, self.at);
        let text = self.scan_block(literal)?;
        self.push_from(Token::Scalar { text, plain: false, folded: !literal }, line, start);
        Ok(())
    }

    fn fetch_anchor(&mut self, byte: u8) -> Result<(), YamlError> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        self.at += 1;
        let from = self.at;
        self.skip_while(is_word);
        let name = self.slice(from, self.at);
        let ends =
            self.blank_at(0) || matches!(self.byte(0), Some(b'?' | b':' | b',' | b']' | b'}' | b'%' | b'@' | b'`'));
        if name.is_empty() || !ends {
            return self.error("an anchor's name (`&name`, `*name`) must consist of letters, digits, `-` and `_`");
        }
        self.push_from(if byte == b'*' { Token::Alias(name) } else { Token::Anchor(name) }, self.line, from - 1);
        Ok(())
    }

    fn fetch_directive(&mut self) -> Result<(), YamlError> {
        self.unroll(-1);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        let from = self.at;
        self.skip_line();
        let directive = self.slice(from, self.at);
        let mut words = directive.split(" #").next().unwrap_or_default().split_ascii_whitespace();
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("%YAML"), Some("1.1"), None, None) => {}
            (Some("%YAML"), Some("1.2"), None, None) if !self.is_1_1 => {}
            (Some("%YAML"), Some(_), None, None) => return self.error("found incompatible YAML document"),
            // Each is looked through, and its prefix copied, for each tag.
            (Some("%TAG"), Some(_), Some(prefix), None)
                if self.tag_handles.len() >= MAX_TAG_HANDLES || prefix.len() > MAX_TAG_PREFIX =>
            {
                return self.error("found too many or too long `%TAG` directives");
            }
            (Some("%TAG"), Some(handle), Some(prefix), None) => self.tag_handles.push((handle, prefix)),
            _ => return self.error("found an unknown directive"),
        }
        self.push_from(Token::Directive, self.line, from);
        Ok(())
    }

    /// Forgets what `%TAG` declared: it holds for one document.
    pub(super) fn end_document(&mut self) {
        self.tag_handles.clear();
    }

    fn scan_tag(&mut self) -> Result<Cow<'a, str>, YamlError> {
        let from = self.at;
        let verbatim = self.byte(1) == Some(b'<');
        self.skip_while(|byte| is_word(byte) || b";/?:@&=+$,.!~*'()[]%<>".contains(&byte));
        if !self.blank_at(0) {
            return self.error("a tag (`!tag`) must be followed by white space");
        }
        let tag = self.slice(from, self.at);
        if verbatim {
            return match tag.strip_prefix("!<").and_then(|tag| tag.strip_suffix('>')) {
                Some(tag) => Ok(Cow::Borrowed(tag)),
                None => self.error("did not find the `>` of a tag"),
            };
        }
        let handle = tag.get(1..).and_then(|rest| rest.find('!')).and_then(|at| tag.get(..at + 2)).unwrap_or("!");
        let suffix = tag.get(handle.len()..).unwrap_or_default();
        if suffix.is_empty() && handle != "!" {
            return self.error("did not find the name of a tag");
        }
        let declared = self.tag_handles.iter().rev().find(|(name, _)| *name == handle).map(|(_, prefix)| *prefix);
        match (handle, declared) {
            (_, Some(prefix)) if !suffix.is_empty() => Ok(Cow::Owned(format!("{prefix}{suffix}"))),
            ("!!", _) => Ok(Cow::Owned(format!("tag:yaml.org,2002:{suffix}"))),
            ("!", _) => Ok(Cow::Borrowed(tag)),
            _ => self.error("found undefined tag handle"),
        }
    }
}

/// Refuses the characters that YAML does not allow even in quotes; go-yaml checks them before anything else.
fn check_characters(text: &str) -> Result<(), YamlError> {
    let bytes = text.as_bytes();
    let suspicious = |byte: &u8| matches!(byte, 0..=8 | 11 | 12 | 14..=31 | 0x7f | 0xc2 | 0xef);
    // Most texts have none: whole blocks without a branch are looked through many bytes at a time.
    let blocks = bytes.chunks(64).zip((0..).step_by(64));
    let blocks = blocks.filter(|(block, _)| block.iter().fold(false, |found, byte| found | suspicious(byte)));
    for at in
        blocks.flat_map(|(block, from)| (from..).zip(block)).filter(|(_, byte)| suspicious(byte)).map(|(at, _)| at)
    {
        let c = text.get(at..).and_then(|rest| rest.chars().next()).unwrap_or_default();
        if matches!(c, '\u{80}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}') || c.is_ascii() {
            let line = 1 + bytes.iter().take(at).filter(|byte| **byte == b'\n').count();
            return Err(YamlError { line, kind: YamlErrorKind::ControlCharacter(c) });
        }
    }
    Ok(())
}

fn missing_colon(line: usize) -> Result<(), YamlError> {
    Err(YamlError { line, kind: YamlErrorKind::Syntax("could not find expected `:` behind a key".to_owned()) })
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}
