//! From text to values.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::mem::discriminant;

use serde_json::{Map, Value, map::Entry};

use super::resolve::{Resolved, number_key, resolve, resolve_tagged};
use super::scan::{Scanner, Token};
use super::{YamlError, YamlErrorKind};

/// Bounds of one stream.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Levels of nesting.
    pub depth: usize,
    /// Nodes of all documents, aliases expanded; judged where an alias is.
    pub nodes: usize,
    /// Documents in the stream.
    pub documents: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 100, nodes: 1_000_000, documents: 100_000 }
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
    scanner: Scanner<'a>,
    anchors: HashMap<&'a str, (Value, usize)>,
    nodes: usize,
    documents: usize,
    /// Where the last token ended that takes any bytes.
    end: usize,
    recorder: Option<Recorder>,
    options: Options,
}

/// A value, whether it was `<<`, the key that merges, and the bytes it takes.
struct Node {
    value: Value,
    merge: bool,
    span: (usize, usize),
}

impl Node {
    const NULL: Self = Self { value: Value::Null, merge: false, span: (0, 0) };
}

/// What collection a node stands in.
#[derive(Clone, Copy)]
enum Within {
    BlockMapping,
    BlockSequence,
    /// A list at its key's own column.
    IndentlessSequence,
    FlowSequence,
    FlowMapping,
}

impl Within {
    /// Whether `token` can follow where there is no node.
    fn ends_at(self, token: &Token<'_>) -> bool {
        match self {
            Self::BlockMapping => matches!(token, Token::Key | Token::Value | Token::BlockEnd),
            Self::BlockSequence => matches!(token, Token::BlockEntry | Token::BlockEnd),
            Self::IndentlessSequence => {
                matches!(token, Token::BlockEntry | Token::Key | Token::Value | Token::BlockEnd)
            }
            Self::FlowSequence => matches!(token, Token::Value | Token::FlowEntry | Token::FlowSequenceEnd),
            Self::FlowMapping => matches!(token, Token::Value | Token::FlowEntry | Token::FlowMappingEnd),
        }
    }
}

/// Where an entry of a mapping or an item of a list stands in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The bytes of the key, or of a list item's dash; empty in front of an item in flow style.
    pub(crate) key: (usize, usize),
    /// The bytes of the value without anchor and tag; empty, behind the colon or dash, where there is none.
    pub(crate) value: (usize, usize),
    /// Whether the mapping or list around it is written in flow style.
    pub(crate) flow: bool,
}

/// Marks by JSON pointer, as far as the document has been read.
#[derive(Default)]
struct Recorder {
    path: String,
    marks: BTreeMap<String, Mark>,
}

/// The only document of `text` by [`Rules::Strict`], with the places of everything in it by JSON pointer. Several documents are
/// [`YamlErrorKind::TooManyDocuments`].
pub(crate) fn parse_marked(text: &str) -> Result<(Value, BTreeMap<String, Mark>), YamlError> {
    let limits = Limits { documents: 1, ..Limits::default() };
    let mut builder = Builder::new(text, Options { limits, ..Options::default() })?;
    builder.recorder = Some(Recorder::default());
    let value = builder.document()?.unwrap_or(Value::Null);
    builder.document()?;
    Ok((value, builder.recorder.take().unwrap_or_default().marks))
}

fn error(line: usize, kind: YamlErrorKind) -> YamlError {
    YamlError { line, kind }
}

fn syntax<T>(line: usize, what: &str) -> Result<T, YamlError> {
    Err(error(line, YamlErrorKind::Syntax(what.to_owned())))
}

/// Refuses the characters that YAML does not allow even in quotes; go-yaml checks them before anything else.
pub(super) fn check_characters(text: &str) -> Result<(), YamlError> {
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

impl<'a> Builder<'a> {
    fn new(text: &'a str, options: Options) -> Result<Self, YamlError> {
        check_characters(text)?;
        let mut scanner = Scanner::new(text);
        scanner.is_1_1 = options.rules == Rules::Lenient;
        Ok(Self { scanner, anchors: HashMap::new(), nodes: 0, documents: 0, end: 0, recorder: None, options })
    }

    /// The next document of the stream. Only the first may come without `---`.
    fn document(&mut self) -> Result<Option<Value>, YamlError> {
        while self.documents > 0 && self.skip(&Token::DocumentEnd)? {}
        let mut explicit = false;
        let marked = loop {
            let limit = self.options.limits.documents;
            let next = self.scanner.peek()?;
            let line = next.line;
            match next.token {
                Token::StreamEnd => return Ok(None),
                Token::Directive => explicit = true,
                Token::DocumentStart => {}
                _ if explicit || self.documents > 0 => return syntax(line, "did not find the expected `---`"),
                _ => break false,
            }
            if self.documents >= limit {
                return Err(error(line, YamlErrorKind::TooManyDocuments(limit)));
            }
            if self.take()? == Token::DocumentStart {
                break true;
            }
        };
        self.documents += 1;
        self.anchors.clear();
        let empty = marked
            && matches!(
                self.scanner.peek()?.token,
                Token::Directive | Token::DocumentStart | Token::DocumentEnd | Token::StreamEnd
            );
        let value = if empty { Value::Null } else { self.node(true, false, 0)?.value };
        // What follows on the same line is part of the judgement: `--- a: 1` is an error.
        self.scanner.peek()?;
        self.scanner.end_document();
        Ok(Some(value))
    }

    /// Takes the next token if it is one like `token`.
    fn skip(&mut self, token: &Token<'static>) -> Result<bool, YamlError> {
        let found = discriminant(&self.scanner.peek()?.token) == discriminant(token);
        if found {
            self.take()?;
        }
        Ok(found)
    }

    fn take(&mut self) -> Result<Token<'a>, YamlError> {
        let next = self.scanner.next()?;
        if next.end > next.start {
            self.end = next.end;
        }
        Ok(next.token)
    }

    /// A node; `block` where block collections may stand, `indentless` where a list may stand at its key's own column.
    fn node(&mut self, block: bool, indentless: bool, depth: usize) -> Result<Node, YamlError> {
        let (mut anchor, mut tag) = (None, None);
        loop {
            let next = self.scanner.peek()?;
            let line = next.line;
            if depth > self.options.limits.depth {
                return Err(error(line, YamlErrorKind::TooDeep(self.options.limits.depth)));
            }
            match &next.token {
                Token::Anchor(name) if anchor.is_none() => anchor = Some(*name),
                Token::Tag(text) if tag.is_none() => tag = Some(text.clone()),
                Token::Alias(name) if anchor.is_none() && tag.is_none() => {
                    let (name, start) = (*name, next.start);
                    self.take()?;
                    let node = self.alias(name, line)?;
                    return Ok(Node { span: (start, self.end), ..node });
                }
                _ => break,
            }
            self.take()?;
        }
        let before = self.nodes;
        let start = self.scanner.peek()?.start;
        let mut node = self.content(block, indentless, depth, tag.as_deref(), anchor.is_some())?;
        if let Some(name) = anchor {
            self.anchors.insert(name, (node.value.clone(), self.nodes - before));
        }
        node.span = if self.end > start { (start, self.end) } else { (self.end, self.end) };
        Ok(node)
    }

    fn content(
        &mut self,
        block: bool,
        indentless: bool,
        depth: usize,
        tag: Option<&str>,
        anchored: bool,
    ) -> Result<Node, YamlError> {
        let next = self.scanner.peek()?;
        let line = next.line;
        self.nodes += 1;
        let collection = |value| Ok(Node { value, ..Node::NULL });
        match next.token {
            Token::BlockEntry if indentless => collection(Value::Array(self.block_sequence(false, depth)?)),
            Token::Scalar { .. } => match self.take()? {
                Token::Scalar { text, plain, .. } => scalar(text, plain, tag).map_err(|kind| error(line, kind)),
                _ => Ok(Node::NULL),
            },
            Token::FlowSequenceStart => collection(Value::Array(self.flow_sequence(depth)?)),
            Token::FlowMappingStart => collection(Value::Object(self.flow_mapping(depth)?)),
            Token::BlockSequenceStart if block => {
                self.take()?;
                collection(Value::Array(self.block_sequence(true, depth)?))
            }
            Token::BlockMappingStart if block => collection(Value::Object(self.block_mapping(depth)?)),
            _ if tag.is_some() || anchored => scalar(Cow::Borrowed(""), true, tag).map_err(|kind| error(line, kind)),
            _ => syntax(line, "did not find a value where one is expected"),
        }
    }

    fn alias(&mut self, name: &str, line: usize) -> Result<Node, YamlError> {
        let Some((value, size)) = self.anchors.get(name) else {
            return Err(error(line, YamlErrorKind::UnknownAnchor));
        };
        self.nodes = self.nodes.saturating_add(*size);
        if self.nodes > self.options.limits.nodes {
            return Err(error(line, YamlErrorKind::AliasBomb(self.options.limits.nodes)));
        }
        Ok(Node { value: value.clone(), ..Node::NULL })
    }

    /// A node, or null where what ends one `within` follows.
    fn optional(&mut self, within: Within, depth: usize) -> Result<Node, YamlError> {
        if within.ends_at(&self.scanner.peek()?.token) {
            return Ok(Node { span: (self.end, self.end), ..Node::NULL });
        }
        let block = !matches!(within, Within::FlowSequence | Within::FlowMapping);
        self.node(block, matches!(within, Within::BlockMapping), depth + 1)
    }

    /// What stands behind a key, null where there is no `:`.
    fn value(&mut self, key: &Node, within: Within, depth: usize) -> Result<Node, YamlError> {
        let before = self.enter(key.value.as_str().unwrap_or_default());
        let value = if self.skip(&Token::Value)? {
            self.optional(within, depth)?
        } else {
            Node { span: (self.end, self.end), ..Node::NULL }
        };
        self.leave(before, key.span, value.span, !matches!(within, Within::BlockMapping));
        Ok(value)
    }

    /// Goes one step down the path that is recorded; gives what [`Self::leave`] needs to come back.
    fn enter(&mut self, step: &str) -> usize {
        let Some(recorder) = &mut self.recorder else { return 0 };
        let before = recorder.path.len();
        recorder.path.push('/');
        recorder.path.push_str(&step.replace('~', "~0").replace('/', "~1"));
        before
    }

    fn leave(&mut self, before: usize, key: (usize, usize), value: (usize, usize), flow: bool) {
        if let Some(recorder) = &mut self.recorder {
            recorder.marks.insert(recorder.path.clone(), Mark { key, value, flow });
            recorder.path.truncate(before);
        }
    }

    fn enter_item(&mut self, index: usize) -> usize {
        if self.recorder.is_some() { self.enter(&index.to_string()) } else { 0 }
    }

    /// A list in block style; `own` where it has an indentation, and so an end, of its own.
    fn block_sequence(&mut self, own: bool, depth: usize) -> Result<Vec<Value>, YamlError> {
        let within = if own { Within::BlockSequence } else { Within::IndentlessSequence };
        let mut items = Vec::new();
        while self.skip(&Token::BlockEntry)? {
            let before = self.enter_item(items.len());
            let dash = (self.end.saturating_sub(1), self.end);
            let item = self.optional(within, depth)?;
            self.leave(before, dash, item.span, false);
            items.push(item.value);
        }
        if own && !self.skip(&Token::BlockEnd)? {
            return syntax(self.scanner.peek()?.line, "did not find the next list item (`- `) or the list's end");
        }
        Ok(items)
    }

    fn block_mapping(&mut self, depth: usize) -> Result<Map<String, Value>, YamlError> {
        self.take()?;
        let mut mapping = Mapping::new(self.options.rules);
        while !self.skip(&Token::BlockEnd)? {
            let line = self.scanner.peek()?.line;
            if !self.skip(&Token::Key)? {
                return syntax(line, "did not find the next key or the mapping's end: is the indentation right?");
            }
            let key = self.optional(Within::BlockMapping, depth)?;
            let value = self.value(&key, Within::BlockMapping, depth)?;
            mapping.add(key, value.value).map_err(|kind| error(line, kind))?;
        }
        Ok(mapping.finish())
    }

    /// Takes the comma before the next entry of a flow collection, or its end: gives whether that was it.
    fn flow_ends(&mut self, first: bool, end: &Token<'static>, missing: &str) -> Result<bool, YamlError> {
        if self.skip(end)? {
            return Ok(true);
        }
        if first {
            return Ok(false);
        }
        if !self.skip(&Token::FlowEntry)? {
            return syntax(self.scanner.peek()?.line, missing);
        }
        self.skip(end)
    }

    fn flow_sequence(&mut self, depth: usize) -> Result<Vec<Value>, YamlError> {
        self.take()?;
        let mut items = Vec::new();
        while !self.flow_ends(items.is_empty(), &Token::FlowSequenceEnd, "did not find expected `,` or `]`")? {
            let (line, start) = (self.scanner.peek()?.line, self.scanner.peek()?.start);
            let before = self.enter_item(items.len());
            let item = if self.skip(&Token::Key)? {
                // One pair without braces: `[a: 1]`.
                let mut mapping = Mapping::new(self.options.rules);
                let key = self.optional(Within::FlowSequence, depth + 1)?;
                let value = self.value(&key, Within::FlowSequence, depth + 1)?;
                mapping.add(key, value.value).map_err(|kind| error(line, kind))?;
                Node { value: Value::Object(mapping.finish()), merge: false, span: (start, self.end) }
            } else {
                self.node(false, false, depth + 1)?
            };
            self.leave(before, (start, start), item.span, true);
            items.push(item.value);
        }
        Ok(items)
    }

    fn flow_mapping(&mut self, depth: usize) -> Result<Map<String, Value>, YamlError> {
        self.take()?;
        let mut mapping = Mapping::new(self.options.rules);
        let mut first = true;
        while !self.flow_ends(std::mem::take(&mut first), &Token::FlowMappingEnd, "did not find expected `,` or `}`")? {
            let line = self.scanner.peek()?.line;
            let key = if self.skip(&Token::Key)? {
                self.optional(Within::FlowMapping, depth)?
            } else {
                self.node(false, false, depth + 1)?
            };
            let value = self.value(&key, Within::FlowMapping, depth)?;
            mapping.add(key, value.value).map_err(|kind| error(line, kind))?;
        }
        Ok(mapping.finish())
    }
}

/// A mapping as it grows, by either rules.
struct Mapping {
    map: Map<String, Value>,
    merged: Vec<Map<String, Value>>,
    rules: Rules,
}

impl Mapping {
    fn new(rules: Rules) -> Self {
        Self { map: Map::new(), merged: Vec::new(), rules }
    }

    fn add(&mut self, key: Node, value: Value) -> Result<(), YamlErrorKind> {
        let lenient = self.rules == Rules::Lenient;
        if key.merge {
            let sources = merge_sources(value).ok_or(YamlErrorKind::BadMerge)?;
            if lenient {
                // Earlier sources take precedence over later ones: they are written last.
                sources.into_iter().rev().for_each(|source| self.map.extend(source));
            } else {
                self.merged.extend(sources);
            }
            return Ok(());
        }
        match self.map.entry(key_text(key.value)?) {
            Entry::Vacant(entry) => {
                entry.insert(value);
            }
            Entry::Occupied(mut entry) if lenient => {
                entry.insert(value);
            }
            Entry::Occupied(entry) => return Err(YamlErrorKind::DuplicateKey(entry.key().clone())),
        }
        Ok(())
    }

    fn finish(mut self) -> Map<String, Value> {
        for (key, value) in self.merged.into_iter().flatten() {
            self.map.entry(key).or_insert(value);
        }
        self.map
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

fn scalar(text: Cow<'_, str>, plain: bool, tag: Option<&str>) -> Result<Node, YamlErrorKind> {
    let merge = plain && text == "<<" && tag.is_none_or(|tag| tag == "tag:yaml.org,2002:merge");
    let value = match tag {
        Some(tag) => match tag.strip_prefix("tag:yaml.org,2002:") {
            Some(suffix) => resolve_tagged(suffix, text.into_owned())?,
            None => Value::String(text.into_owned()),
        },
        None if plain => match resolve(&text) {
            Resolved::Value(value) => value,
            Resolved::Text => Value::String(text.into_owned()),
            Resolved::NotFinite => return Err(YamlErrorKind::NotFinite(text.into_owned())),
        },
        None => Value::String(text.into_owned()),
    };
    Ok(Node { value, merge, ..Node::NULL })
}
