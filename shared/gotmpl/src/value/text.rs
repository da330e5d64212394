//! Go's string: immutable bytes, nearly always UTF-8.

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use crate::budget::note_made;
use crate::source::{Source, Span};

/// An immutable string of bytes, cheap to clone.
///
/// Go's strings are bytes: functions such as `trunc` may cut a character in two. Whether the bytes are UTF-8 is
/// known, not searched for: [`Str::as_str`] costs nothing.
#[derive(Clone)]
pub struct Str(Repr);

#[derive(Clone)]
enum Repr {
    Static(&'static str),
    Text(Rc<str>),
    /// Part of a template's text.
    Source(Source, Span),
    /// Never valid UTF-8.
    Bytes(Rc<[u8]>),
}

impl Str {
    /// A string literal of the program: no allocation.
    pub const fn from_static(text: &'static str) -> Self {
        Self(Repr::Static(text))
    }

    /// Part of a template's text: no allocation.
    pub(crate) fn from_source(source: &Source, span: Span) -> Self {
        Self(Repr::Source(source.clone(), span))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Static(text) => text.as_bytes(),
            Repr::Text(text) => text.as_bytes(),
            Repr::Source(source, span) => source.get(*span).as_bytes(),
            Repr::Bytes(bytes) => bytes,
        }
    }

    /// The text, if the bytes are UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match &self.0 {
            Repr::Static(text) => Some(text),
            Repr::Text(text) => Some(text),
            Repr::Source(source, span) => Some(source.get(*span)),
            Repr::Bytes(_) => None,
        }
    }

    /// The text, with U+FFFD for what is not UTF-8.
    pub fn to_text(&self) -> Cow<'_, str> {
        match &self.0 {
            Repr::Static(text) => Cow::Borrowed(text),
            Repr::Text(text) => Cow::Borrowed(text),
            Repr::Source(source, span) => Cow::Borrowed(source.get(*span)),
            Repr::Bytes(bytes) => String::from_utf8_lossy(bytes),
        }
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }
}

impl Default for Str {
    fn default() -> Self {
        Self::from_static("")
    }
}

impl From<&str> for Str {
    fn from(text: &str) -> Self {
        note_made(text.len());
        Self(Repr::Text(text.into()))
    }
}

impl From<String> for Str {
    fn from(text: String) -> Self {
        note_made(text.len());
        Self(Repr::Text(text.into()))
    }
}

impl From<Rc<str>> for Str {
    fn from(text: Rc<str>) -> Self {
        note_made(text.len());
        Self(Repr::Text(text))
    }
}

impl From<Cow<'_, str>> for Str {
    fn from(text: Cow<'_, str>) -> Self {
        note_made(text.len());
        Self(Repr::Text(text.into()))
    }
}

impl From<&[u8]> for Str {
    fn from(bytes: &[u8]) -> Self {
        note_made(bytes.len());
        match std::str::from_utf8(bytes) {
            Ok(text) => Self(Repr::Text(text.into())),
            Err(_) => Self(Repr::Bytes(bytes.into())),
        }
    }
}

impl From<Vec<u8>> for Str {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(bytes.as_slice())
    }
}

impl Borrow<[u8]> for Str {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl PartialEq for Str {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Str {}

impl PartialEq<str> for Str {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Str {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialOrd for Str {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Str {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for Str {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl fmt::Debug for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_text(), f)
    }
}
