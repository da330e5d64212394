//! From text to values.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};
use serde_json::{Map, Value};

use super::resolve::{resolve_plain, resolve_tagged};
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

/// The one document of `text`; an empty text is null, documents after the first are ignored (as sigs.k8s.io/yaml does).
pub fn parse(text: &str) -> Result<Value, YamlError> {
    Ok(parse_all(text)?.into_iter().next().unwrap_or(Value::Null))
}

/// Every document of `text`; an empty document is null.
pub fn parse_all(text: &str) -> Result<Vec<Value>, YamlError> {
    parse_all_with(text, Limits::default())
}

/// [`parse_all`] within other bounds.
pub fn parse_all_with(text: &str, limits: Limits) -> Result<Vec<Value>, YamlError> {
    let mut builder =
        Builder { parser: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0, limits };
    let mut documents = Vec::new();
    loop {
        let (event, span) = builder.next()?;
        match event {
            Event::StreamEnd => return Ok(documents),
            Event::DocumentStart(_) => {
                if documents.len() >= limits.documents {
                    return Err(error(span, YamlErrorKind::TooManyDocuments(limits.documents)));
                }
                builder.anchors.clear();
                let (event, span) = builder.next()?;
                documents.push(builder.node(event, span, 0)?.value);
            }
            _ => {}
        }
    }
}

struct Builder<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    limits: Limits,
}

/// A value, the nodes it consists of, and whether it was `<<`, the key that merges.
#[derive(Clone)]
struct Node {
    value: Value,
    size: usize,
    merge: bool,
}

fn error(span: Span, kind: YamlErrorKind) -> YamlError {
    YamlError { line: span.start.line(), kind }
}

impl<'a> Builder<'a> {
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
        if depth > self.limits.depth {
            return Err(error(span, YamlErrorKind::TooDeep(self.limits.depth)));
        }
        let before = self.nodes;
        self.count(1, span)?;
        let (value, anchor, merge) = match event {
            Event::Alias(id) => {
                let node = self.anchors.get(&id).cloned().ok_or_else(|| error(span, YamlErrorKind::UnknownAnchor))?;
                self.count(node.size, span)?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => {
                let merge = style == ScalarStyle::Plain && tag.is_none() && text == "<<";
                (scalar(&text, style, tag.as_deref(), span)?, anchor, merge)
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
        if self.nodes > self.limits.nodes {
            return Err(error(span, YamlErrorKind::AliasBomb(self.limits.nodes)));
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
        let mut map = Map::new();
        let mut merged: Vec<Value> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = self.node(event, span, depth + 1)?;
            let (event, value_span) = self.next()?;
            let value = self.node(event, value_span, depth + 1)?.value;
            if key.merge {
                merged.push(value);
                continue;
            }
            let key = key_text(key.value).ok_or_else(|| error(span, YamlErrorKind::ComplexKey))?;
            if map.contains_key(&key) {
                return Err(error(span, YamlErrorKind::DuplicateKey(key)));
            }
            map.insert(key, value);
        }
        for source in merged {
            merge(&mut map, source);
        }
        Ok(map)
    }
}

/// YAML 1.1's merge key: keys of the mapping itself win, then earlier sources.
fn merge(map: &mut Map<String, Value>, source: Value) {
    match source {
        Value::Object(other) => {
            for (key, value) in other {
                map.entry(key).or_insert(value);
            }
        }
        Value::Array(list) => list.into_iter().for_each(|one| merge(map, one)),
        _ => {}
    }
}

/// Keys become strings as in JSON: `1` is "1", `true` is "true", null is "null".
fn key_text(key: Value) -> Option<String> {
    match key {
        Value::String(text) => Some(text),
        Value::Null => Some("null".to_owned()),
        Value::Bool(b) => Some(b.to_string()),
        Value::Number(n) => Some(n.to_string()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Result<Value, YamlError> {
    match tag {
        Some(tag) if tag.is_yaml_core_schema() => resolve_tagged(&tag.suffix, text).map_err(|kind| error(span, kind)),
        Some(_) => Ok(Value::String(text.to_owned())),
        None if style == ScalarStyle::Plain => Ok(resolve_plain(text)),
        None => Ok(Value::String(text.to_owned())),
    }
}
