//! Tells what is wrong with a text that is no JSON in the words of Go's `encoding/json` (`scanner.go`).

use std::iter::{self, Peekable};
use std::str::Bytes;

use slipway_gocompat::strconv::quote;

/// What may come next outside of strings, numbers and words.
#[derive(Clone, Copy)]
enum Expected {
    Value,
    ItemOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    AfterValue,
}

/// What is wrong with `text`; `None` where its syntax is JSON's.
pub(super) fn complaint(text: &str) -> Option<String> {
    Scanner { bytes: text.bytes().chain(iter::once(b' ')).peekable() }.document().err()
}

struct Scanner<'a> {
    /// As in Go a blank follows the text, which ends a number.
    bytes: Peekable<iter::Chain<Bytes<'a>, iter::Once<u8>>>,
}

fn invalid<T>(byte: u8, place: &str) -> Result<T, String> {
    let shown = match byte {
        b'\'' => "'\\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        // Go takes the byte for a character.
        _ => quote(char::from(byte).to_string().as_bytes()).replace('"', "'"),
    };
    Err(format!("invalid character {shown} {place}"))
}

impl Scanner<'_> {
    fn document(&mut self) -> Result<(), String> {
        let mut open = Vec::new();
        let mut expected = Expected::Value;
        loop {
            while self.bytes.next_if(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).is_some() {}
            if open.is_empty() && matches!(expected, Expected::AfterValue) && self.bytes.peek().is_none() {
                return Ok(());
            }
            expected = match (expected, self.next()?, open.last()) {
                (Expected::ItemOrEnd | Expected::AfterValue, b']', Some(b'['))
                | (Expected::KeyOrEnd | Expected::AfterValue, b'}', Some(b'{')) => {
                    open.pop();
                    Expected::AfterValue
                }
                (Expected::Value | Expected::ItemOrEnd, byte, _) => self.value(byte, &mut open)?,
                (Expected::Key | Expected::KeyOrEnd, b'"', _) => {
                    self.string()?;
                    Expected::Colon
                }
                (Expected::Key | Expected::KeyOrEnd, byte, _) => {
                    return invalid(byte, "looking for beginning of object key string");
                }
                (Expected::Colon, b':', _) => Expected::Value,
                (Expected::Colon, byte, _) => return invalid(byte, "after object key"),
                (Expected::AfterValue, b',', Some(b'{')) => Expected::Key,
                (Expected::AfterValue, b',', Some(_)) => Expected::Value,
                (Expected::AfterValue, byte, Some(b'{')) => return invalid(byte, "after object key:value pair"),
                (Expected::AfterValue, byte, Some(_)) => return invalid(byte, "after array element"),
                (Expected::AfterValue, byte, None) => return invalid(byte, "after top-level value"),
            };
        }
    }

    fn next(&mut self) -> Result<u8, String> {
        self.bytes.next().ok_or_else(|| "unexpected end of JSON input".to_owned())
    }

    /// The rest of a value that begins with `byte`; an object or a list is only opened.
    fn value(&mut self, byte: u8, open: &mut Vec<u8>) -> Result<Expected, String> {
        match byte {
            b'{' | b'[' => {
                open.push(byte);
                return Ok(if byte == b'{' { Expected::KeyOrEnd } else { Expected::ItemOrEnd });
            }
            b'"' => self.string()?,
            b'-' | b'0'..=b'9' => self.number(byte)?,
            b't' => self.word("true")?,
            b'f' => self.word("false")?,
            b'n' => self.word("null")?,
            _ => return invalid(byte, "looking for beginning of value"),
        }
        Ok(Expected::AfterValue)
    }

    fn word(&mut self, word: &str) -> Result<(), String> {
        for wanted in word.bytes().skip(1) {
            let byte = self.next()?;
            if byte != wanted {
                return invalid(byte, &format!("in literal {word} (expecting '{}')", char::from(wanted)));
            }
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(), String> {
        loop {
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => match self.next()? {
                    b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => {}
                    b'u' => {
                        for _ in 0..4 {
                            let byte = self.next()?;
                            if !byte.is_ascii_hexdigit() {
                                return invalid(byte, "in \\u hexadecimal character escape");
                            }
                        }
                    }
                    byte => return invalid(byte, "in string escape code"),
                },
                byte if byte < b' ' => return invalid(byte, "in string literal"),
                _ => {}
            }
        }
    }

    fn number(&mut self, first: u8) -> Result<(), String> {
        let leading = if first == b'-' { self.digit("in numeric literal")? } else { first };
        if leading != b'0' {
            self.digits();
        }
        if self.bytes.next_if_eq(&b'.').is_some() {
            self.digit("after decimal point in numeric literal")?;
            self.digits();
        }
        if self.bytes.next_if(|byte| matches!(byte, b'e' | b'E')).is_some() {
            self.bytes.next_if(|byte| matches!(byte, b'+' | b'-'));
            self.digit("in exponent of numeric literal")?;
            self.digits();
        }
        Ok(())
    }

    fn digit(&mut self, place: &str) -> Result<u8, String> {
        let byte = self.next()?;
        if byte.is_ascii_digit() { Ok(byte) } else { invalid(byte, place) }
    }

    fn digits(&mut self) {
        while self.bytes.next_if(u8::is_ascii_digit).is_some() {}
    }
}
