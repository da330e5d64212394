//! Text to tokens. (Go: src/text/template/parse/lex.go)

use memchr::{memchr, memmem};
use slipway_gocompat::strconv::{is_print, quote};

use crate::source::Span;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Error,
    Eof,
    Text,
    LeftDelim,
    RightDelim,
    Space,
    Bool,
    Char,
    CharConstant,
    Complex,
    Number,
    Assign,
    Declare,
    Pipe,
    LeftParen,
    RightParen,
    Field,
    Identifier,
    Variable,
    RawString,
    String,
    Dot,
    Nil,
    Keyword(Keyword),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Range,
    Template,
    With,
}

/// A piece of the text and where it starts. What an error says, [`Lexer::message`] knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    pub(crate) kind: TokenKind,
    pub(crate) at: usize,
    pub(crate) value: &'a str,
}

impl Token<'_> {
    pub(crate) fn span(&self) -> Span {
        Span::new(self.at, self.at + self.value.len())
    }
}

const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

/// Hands out the tokens of a text one by one.
pub(crate) struct Lexer<'a> {
    text: &'a str,
    left_delim: memmem::Finder<'static>,
    /// Where the next token starts.
    start: usize,
    /// How far the next token reaches so far.
    at: usize,
    in_action: bool,
    parens: usize,
    /// What is wrong, once something is.
    message: Option<String>,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            left_delim: memmem::Finder::new("{{"),
            start: 0,
            at: 0,
            in_action: false,
            parens: 0,
            message: None,
        }
    }

    pub(crate) fn next(&mut self) -> Token<'a> {
        if self.message.is_some() {
            return Token { kind: TokenKind::Eof, at: self.start, value: "" };
        }
        if self.in_action { self.action() } else { self.text() }
    }

    /// What the error token says.
    pub(crate) fn message(&self) -> &str {
        self.message.as_deref().unwrap_or_default()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// Steps over the bytes that are `of` some sort, all of them ASCII or none.
    fn skip_while(&mut self, of: impl Fn(u8) -> bool) {
        let rest = self.bytes();
        self.at += rest.iter().position(|byte| !of(*byte)).unwrap_or(rest.len());
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn accept(&mut self, valid: impl Fn(char) -> bool) -> bool {
        let found = self.peek().is_some_and(valid);
        if found {
            self.bump();
        }
        found
    }

    fn accept_run(&mut self, valid: impl Fn(char) -> bool) {
        while self.accept(&valid) {}
    }

    fn word(&self) -> &'a str {
        self.text.get(self.start..self.at).unwrap_or_default()
    }

    fn emit(&mut self, kind: TokenKind) -> Token<'a> {
        let token = Token { kind, at: self.start, value: self.word() };
        self.start = self.at;
        token
    }

    fn fail(&mut self, message: impl Into<String>) -> Token<'a> {
        self.message = Some(message.into());
        Token { kind: TokenKind::Error, at: self.start, value: "" }
    }

    /// Up to the next `{{`; comments are passed over.
    fn text(&mut self) -> Token<'a> {
        loop {
            let Some(len) = self.left_delim.find(self.bytes()) else {
                self.at = self.text.len();
                return self.emit(if self.at > self.start { TokenKind::Text } else { TokenKind::Eof });
            };
            let delim = self.at + len;
            let after = self.text.get(delim + 2..).unwrap_or_default();
            let trims = after.starts_with('-') && after.get(1..).is_some_and(|after| after.starts_with(SPACES));
            if len > 0 {
                let before = self.text.get(self.start..delim).unwrap_or_default();
                let kept = if trims { before.trim_end_matches(SPACES).len() } else { before.len() };
                self.at = self.start + kept;
                let token = self.emit(TokenKind::Text);
                self.start = delim;
                self.at = delim;
                if kept > 0 {
                    return token;
                }
            }
            let marker = if trims { 2 } else { 0 };
            if after.get(marker..).is_some_and(|after| after.starts_with("/*")) {
                self.at = delim + 2 + marker;
                self.start = self.at;
                if let Err(message) = self.comment() {
                    return self.fail(message);
                }
                continue;
            }
            self.at += 2;
            let token = self.emit(TokenKind::LeftDelim);
            self.at += marker;
            self.start = self.at;
            self.in_action = true;
            self.parens = 0;
            return token;
        }
    }

    fn comment(&mut self) -> Result<(), &'static str> {
        self.at += 2;
        let len = self.rest().find("*/").ok_or("unclosed comment")?;
        self.at += len + 2;
        let (delim, trims) = self.right_delim().ok_or("comment ends before closing delimiter")?;
        self.skip_delim(delim, trims);
        Ok(())
    }

    /// The length of a right delimiter here, and whether it trims.
    fn right_delim(&self) -> Option<(usize, bool)> {
        match self.bytes() {
            [b'}', b'}', ..] => Some((2, false)),
            [b' ' | b'\t' | b'\r' | b'\n', b'-', b'}', b'}', ..] => Some((4, true)),
            _ => None,
        }
    }

    fn skip_delim(&mut self, delim: usize, trims: bool) {
        self.at += delim;
        if trims {
            let rest = self.rest();
            self.at += rest.len() - rest.trim_start_matches(SPACES).len();
        }
        self.start = self.at;
    }

    fn close(&mut self, delim: usize, trims: bool) -> Token<'a> {
        self.start = self.at + delim - 2;
        let token = Token { kind: TokenKind::RightDelim, at: self.start, value: "}}" };
        self.skip_delim(delim, trims);
        self.in_action = false;
        token
    }

    fn action(&mut self) -> Token<'a> {
        // What most tokens begin with begins no delimiter.
        match self.bytes().first() {
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'_') => return self.identifier(),
            Some(b'$') => {
                self.at += 1;
                return self.name(TokenKind::Variable);
            }
            _ => {}
        }
        if let Some((delim, trims)) = self.right_delim() {
            return if self.parens == 0 { self.close(delim, trims) } else { self.fail("unclosed left paren") };
        }
        let Some(first) = self.bump() else { return self.fail("unclosed action") };
        match first {
            _ if SPACES.contains(&first) => self.space(),
            '=' => self.emit(TokenKind::Assign),
            ':' if self.bump() == Some('=') => self.emit(TokenKind::Declare),
            ':' => self.fail("expected :="),
            '|' => self.emit(TokenKind::Pipe),
            '"' => self.quoted('"', TokenKind::String, "unterminated quoted string"),
            '\'' => self.quoted('\'', TokenKind::CharConstant, "unterminated character constant"),
            '`' => {
                let Some(len) = memchr(b'`', self.rest().as_bytes()) else {
                    return self.fail("unterminated raw quoted string");
                };
                self.at += len + 1;
                self.emit(TokenKind::RawString)
            }
            '.' if !self.rest().starts_with(|c: char| c.is_ascii_digit()) && !self.rest().is_empty() => {
                self.name(TokenKind::Field)
            }
            '.' | '+' | '-' | '0'..='9' => self.number(),
            '(' => {
                self.parens += 1;
                self.emit(TokenKind::LeftParen)
            }
            ')' => match self.parens.checked_sub(1) {
                Some(parens) => {
                    self.parens = parens;
                    self.emit(TokenKind::RightParen)
                }
                None => self.fail("unexpected right paren"),
            },
            _ if is_alphanumeric(first) => self.identifier(),
            ' '..='~' => self.emit(TokenKind::Char),
            _ => self.fail(format!("unrecognized character in action: {}", unicode(first))),
        }
    }

    /// A run of spaces, unless the last one belongs to a trimming delimiter.
    fn space(&mut self) -> Token<'a> {
        self.skip_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
        self.at -= 1;
        match self.right_delim() {
            Some((delim, true)) if self.at == self.start => self.close(delim, true),
            Some((_, true)) => self.emit(TokenKind::Space),
            _ => {
                self.at += 1;
                self.emit(TokenKind::Space)
            }
        }
    }

    fn identifier(&mut self) -> Token<'a> {
        self.accept_name();
        if let Some(bad) = self.not_terminator() {
            return self.fail(format!("bad character {}", unicode(bad)));
        }
        let kind = match self.word() {
            "block" => TokenKind::Keyword(Keyword::Block),
            "break" => TokenKind::Keyword(Keyword::Break),
            "continue" => TokenKind::Keyword(Keyword::Continue),
            "define" => TokenKind::Keyword(Keyword::Define),
            "else" => TokenKind::Keyword(Keyword::Else),
            "end" => TokenKind::Keyword(Keyword::End),
            "if" => TokenKind::Keyword(Keyword::If),
            "range" => TokenKind::Keyword(Keyword::Range),
            "template" => TokenKind::Keyword(Keyword::Template),
            "with" => TokenKind::Keyword(Keyword::With),
            "nil" => TokenKind::Nil,
            "true" | "false" => TokenKind::Bool,
            _ => TokenKind::Identifier,
        };
        self.emit(kind)
    }

    /// `.name` or `$name`; the first character has been read.
    fn name(&mut self, kind: TokenKind) -> Token<'a> {
        if self.not_terminator().is_none() {
            return self.emit(if kind == TokenKind::Field { TokenKind::Dot } else { kind });
        }
        self.accept_name();
        match self.not_terminator() {
            Some(bad) => self.fail(format!("bad character {}", unicode(bad))),
            None => self.emit(kind),
        }
    }

    /// Letters, digits and underscores.
    fn accept_name(&mut self) {
        self.skip_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !self.bytes().first().is_none_or(u8::is_ascii) {
            self.accept_run(is_alphanumeric);
        }
    }

    /// The next character, if no name may end before it.
    fn not_terminator(&self) -> Option<char> {
        let rest = self.bytes();
        match rest.first()? {
            b' ' | b'\t' | b'\r' | b'\n' | b'.' | b',' | b'|' | b':' | b'(' | b')' => None,
            b'}' if rest.get(1) == Some(&b'}') => None,
            _ => self.peek(),
        }
    }

    fn quoted(&mut self, quote: char, kind: TokenKind, unterminated: &'static str) -> Token<'a> {
        loop {
            // Nothing but these four characters matters.
            self.skip_while(|byte| !matches!(byte, b'\\' | b'\n' | b'"' | b'\''));
            match self.bump() {
                Some('\\') => {
                    if matches!(self.bump(), None | Some('\n')) {
                        return self.fail(unterminated);
                    }
                }
                None | Some('\n') => return self.fail(unterminated),
                Some(c) if c == quote => return self.emit(kind),
                Some(_) => {}
            }
        }
    }

    fn number(&mut self) -> Token<'a> {
        self.at = self.start;
        let mut kind = TokenKind::Number;
        let mut good = self.scan_number();
        if good && self.rest().starts_with(['+', '-']) {
            // `1+2i`
            kind = TokenKind::Complex;
            good = self.scan_number() && self.word().ends_with('i');
        }
        if good {
            return self.emit(kind);
        }
        let word = quote(self.word().as_bytes());
        self.fail(format!("bad number syntax: {word}"))
    }

    /// Whatever looks like a number; whether it is one, the parser finds out.
    fn scan_number(&mut self) -> bool {
        self.accept(|c| c == '+' || c == '-');
        let mut radix = 10;
        if self.accept(|c| c == '0') {
            for (marks, base) in [("xX", 16), ("oO", 8), ("bB", 2)] {
                if radix == 10 && self.accept(|c| marks.contains(c)) {
                    radix = base;
                }
            }
        }
        let digit = |c: char| c == '_' || c.is_digit(radix);
        let decimal = |c: char| c == '_' || c.is_ascii_digit();
        self.accept_run(digit);
        if self.accept(|c| c == '.') {
            self.accept_run(digit);
        }
        let exponent = match radix {
            10 => "eE",
            16 => "pP",
            _ => "",
        };
        if self.accept(|c| exponent.contains(c)) {
            self.accept(|c| c == '+' || c == '-');
            self.accept_run(decimal);
        }
        self.accept(|c| c == 'i');
        !self.accept(is_alphanumeric)
    }
}

/// Go's letters and digits. The standard library's are a little wider: they count letter-like numbers and marks.
fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Go's `%#U`
fn unicode(c: char) -> String {
    let code = u32::from(c);
    if is_print(c) { format!("U+{code:04X} '{c}'") } else { format!("U+{code:04X}") }
}
