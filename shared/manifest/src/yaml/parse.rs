//! From text to values.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};
use serde_json::{Map, Value, map::Entry};

use super::resolve::{Resolved, number_key, resolve, resolve_tagged};
use super::{YamlError, YamlErrorKind};

/// Bounds of one stream.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Levels of nesting.
    pub depth: usize,
    /// Nodes of all documents, aliases expanded.
    pub nodes: usize,
    /// Documents in the stream.
    pub documents: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 200, nodes: 5_000_000, documents: 100_000 }
    }
}

/// Which reader we copy where readers of YAML in the Kubernetes world differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rules {
    /// Kustomize (kyaml, go-yaml v3) and `UnmarshalStrict`: a key twice is an error, a mapping's own keys beat those
    /// that `<<` brings, wherever it stands.
    #[default]
    Strict,
    /// sigs.k8s.io/yaml (go-yaml v2), which Helm, kubectl and Argo CD's directory sources read with: of a key that comes twice
    /// the last one wins, and `<<` takes effect where it stands: it overwrites keys above it and is overwritten by keys below.
    Lenient,
}

/// How to read; the default is [`Rules::Strict`] within the default [`Limits`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Whose rules.
    pub rules: Rules,
    /// Bounds.
    pub limits: Limits,
}

impl Options {
    /// The default limits with [`Rules::Lenient`].
    pub fn lenient() -> Self {
        Self { rules: Rules::Lenient, ..Self::default() }
    }
}

/// The first document of `text` by [`Rules::Strict`]; an empty text is null. What follows is not even parsed, as in
/// sigs.k8s.io/yaml.
pub fn parse(text: &str) -> Result<Value, YamlError> {
    parse_with(text, Options::default())
}

/// [`parse`] by other rules or within other bounds.
pub fn parse_with(text: &str, options: Options) -> Result<Value, YamlError> {
    Ok(Builder::new(text, options)?.document()?.unwrap_or(Value::Null))
}

/// Every document of `text` by YAML's own rules for streams and [`Rules::Strict`]; an empty document is null.
pub fn parse_all(text: &str) -> Result<Vec<Value>, YamlError> {
    parse_all_with(text, Limits::default())
}

/// [`parse_all`] within other bounds.
pub fn parse_all_with(text: &str, limits: Limits) -> Result<Vec<Value>, YamlError> {
    let mut builder = Builder::new(text, Options { limits, ..Options::default() })?;
    let mut documents = Vec::new();
    while let Some(document) = builder.document()? {
        documents.push(document);
    }
    Ok(documents)
}

/// [`parse_all`] of bytes that should be UTF-8; where they are not, the error names the line.
pub fn parse_all_bytes(bytes: &[u8]) -> Result<Vec<Value>, YamlError> {
    parse_all(utf8(bytes)?)
}

/// `bytes` as text; the error names the line that is no UTF-8.
pub fn utf8(bytes: &[u8]) -> Result<&str, YamlError> {
    std::str::from_utf8(bytes).map_err(|e| {
        let line = 1 + bytes.iter().take(e.valid_up_to()).filter(|byte| **byte == b'\n').count();
        YamlError { line, kind: YamlErrorKind::NotUtf8 }
    })
}

/// Every document of a manifest file as Kubernetes' decoder finds them ([`split`](super::split)), each read by itself:
/// anchors do not reach into the next document, and empty documents are left out. Lines in errors are the file's.
pub fn parse_manifests(text: &str, options: Options) -> Result<Vec<Value>, YamlError> {
    let mut documents = Vec::new();
    for (line, chunk) in super::split(text) {
        if documents.len() >= options.limits.documents {
            return Err(YamlError { line, kind: YamlErrorKind::TooManyDocuments(options.limits.documents) });
        }
        let at = |e: YamlError| YamlError { line: e.line + line - 1, ..e };
        match parse_with(chunk, options).map_err(at)? {
            Value::Null => {}
            document => documents.push(document),
        }
    }
    Ok(documents)
}

struct Builder<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    documents: usize,
    options: Options,
}

/// A value, the nodes it consists of, and what it is as a key.
#[derive(Clone)]
struct Node {
    value: Value,
    size: usize,
    /// `<<`, the key that merges.
    merge: bool,
}

fn error(span: Span, kind: YamlErrorKind) -> YamlError {
    YamlError { line: span.start.line(), kind }
}

/// Refuses the characters that YAML does not allow even in quotes; go-yaml checks them before anything else.
fn check_characters(text: &str) -> Result<(), YamlError> {
    let bytes = text.as_bytes();
    let suspicious = |byte: &u8| matches!(byte, 0..=8 | 11 | 12 | 14..=31 | 0x7f | 0xc2 | 0xef);
    let mut from = 0;
    while let Some(at) = bytes.get(from..).and_then(|rest| rest.iter().position(suspicious)) {
        let at = from + at;
        let c = text.get(at..).and_then(|rest| rest.chars().next()).unwrap_or_default();
        if matches!(c, '\u{80}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}') || c.is_ascii() {
            let line = 1 + bytes.iter().take(at).filter(|byte| **byte == b'\n').count();
            return Err(YamlError { line, kind: YamlErrorKind::ControlCharacter(c) });
        }
        from = at + c.len_utf8();
    }
    Ok(())
}

impl<'a> Builder<'a> {
    fn new(text: &'a str, options: Options) -> Result<Self, YamlError> {
        check_characters(text)?;
        let parser = Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
        Ok(Self { parser, anchors: HashMap::new(), nodes: 0, documents: 0, options })
    }

    /// The next document of the stream.
    fn document(&mut self) -> Result<Option<Value>, YamlError> {
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(None),
                Event::DocumentStart(_) => {
                    let limit = self.options.limits.documents;
                    if self.documents >= limit {
                        return Err(error(span, YamlErrorKind::TooManyDocuments(limit)));
                    }
                    self.documents += 1;
                    self.anchors.clear();
                    let (event, span) = self.next()?;
                    return Ok(Some(self.node(event, span, 0)?.value));
                }
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), YamlError> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(e)) => {
                Err(YamlError { line: e.marker().line(), kind: YamlErrorKind::Syntax(e.info().to_owned()) })
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, YamlError> {
        if depth > self.options.limits.depth {
            return Err(error(span, YamlErrorKind::TooDeep(self.options.limits.depth)));
        }
        let before = self.nodes;
        self.count(1, span)?;
        let (value, anchor, merge) = match event {
            Event::Alias(id) => {
                let node = self.anchors.get(&id).ok_or_else(|| error(span, YamlErrorKind::UnknownAnchor))?;
                let size = node.size;
                self.count(size, span)?;
                let node = self.anchors.get(&id).cloned();
                return node.ok_or_else(|| error(span, YamlErrorKind::UnknownAnchor));
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let merge = plain && text == "<<";
                let value = if plain {
                    match resolve(&text) {
                        Resolved::Value(value) => value,
                        Resolved::Text => Value::String(text.into_owned()),
                        Resolved::NotFinite => return Err(error(span, YamlErrorKind::NotFinite(text.into_owned()))),
                    }
                } else {
                    tagged(text.into_owned(), tag.as_deref(), span)?
                };
                (value, anchor, merge)
            }
            Event::SequenceStart(anchor, _) => (Value::Array(self.sequence(depth)?), anchor, false),
            Event::MappingStart(anchor, _) => (Value::Object(self.mapping(depth)?), anchor, false),
            _ => (Value::Null, 0, false),
        };
        let node = Node { value, size: self.nodes - before, merge };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn count(&mut self, nodes: usize, span: Span) -> Result<(), YamlError> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > self.options.limits.nodes {
            return Err(error(span, YamlErrorKind::AliasBomb(self.options.limits.nodes)));
        }
        Ok(())
    }

    fn sequence(&mut self, depth: usize) -> Result<Vec<Value>, YamlError> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(items);
            }
            items.push(self.node(event, span, depth + 1)?.value);
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Map<String, Value>, YamlError> {
        let lenient = self.options.rules == Rules::Lenient;
        let mut map = Map::new();
        let mut merged: Vec<Map<String, Value>> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = self.node(event, span, depth + 1)?;
            let (event, value_span) = self.next()?;
            let value = self.node(event, value_span, depth + 1)?.value;
            if key.merge {
                let sources = merge_sources(value).ok_or_else(|| error(value_span, YamlErrorKind::BadMerge))?;
                if lenient {
                    // Earlier sources take precedence over later ones: they are written last.
                    sources.into_iter().rev().for_each(|source| map.extend(source));
                } else {
                    merged.extend(sources);
                }
                continue;
            }
            let key = key_text(key.value).map_err(|kind| error(span, kind))?;
            match map.entry(key) {
                Entry::Vacant(entry) => {
                    entry.insert(value);
                }
                Entry::Occupied(mut entry) if lenient => {
                    entry.insert(value);
                }
                Entry::Occupied(entry) => {
                    return Err(error(span, YamlErrorKind::DuplicateKey(entry.key().clone())));
                }
            }
        }
        for (key, value) in merged.into_iter().flatten() {
            map.entry(key).or_insert(value);
        }
        Ok(map)
    }
}

/// The mappings behind `<<`: one, or a list of them.
fn merge_sources(value: Value) -> Option<Vec<Map<String, Value>>> {
    let map = |value| match value {
        Value::Object(map) => Some(map),
        _ => None,
    };
    match value {
        Value::Array(list) => list.into_iter().map(map).collect(),
        value => map(value).map(|map| vec![map]),
    }
}

/// Keys become strings as in sigs.k8s.io/yaml: `0x10` is "16", `yes` is "true".
fn key_text(key: Value) -> Result<String, YamlErrorKind> {
    match key {
        Value::String(text) => Ok(text),
        Value::Bool(b) => Ok(b.to_string()),
        Value::Number(n) => number_key(&n).ok_or(YamlErrorKind::BadKey("a number beyond 64 bits")),
        Value::Null => Err(YamlErrorKind::BadKey("null")),
        Value::Array(_) | Value::Object(_) => Err(YamlErrorKind::ComplexKey),
    }
}

fn tagged(text: String, tag: Option<&Tag>, span: Span) -> Result<Value, YamlError> {
    match tag {
        Some(tag) if tag.is_yaml_core_schema() => resolve_tagged(&tag.suffix, text).map_err(|kind| error(span, kind)),
        Some(tag) if tag.handle.is_empty() => match tag.suffix.strip_prefix("tag:yaml.org,2002:") {
            Some(suffix) => resolve_tagged(suffix, text).map_err(|kind| error(span, kind)),
            None => Ok(Value::String(text)),
        },
        _ => Ok(Value::String(text)),
    }
}
