//! Reads the grammar of YAML over the scanner's tokens, and hands what it finds, from the leaves up, to a [`Builder`]
//! that makes a tree of it. What all readers share is here: documents, anchors, and the limits on both.

use std::borrow::Cow;
use std::collections::HashMap;
use std::mem::discriminant;

use slipway_budget::{Budget, Exceeded};

use super::scan::{Located, Scanner, Token};
use super::{YamlError, YamlErrorKind};

/// Bounds of one stream.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Levels of nesting.
    pub depth: usize,
    /// Nodes of all documents, aliases expanded; judged where an alias is.
    pub nodes: usize,
    /// Nodes of all documents, judged at each: what a long text without aliases may become.
    pub written: usize,
    /// Documents in the stream.
    pub documents: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // A node takes two bytes at least: so many has the largest file that a tree holds.
        Self { depth: 100, nodes: 1_000_000, written: 16 << 20, documents: 100_000 }
    }
}

/// A scalar as it is written.
pub struct Scalar<'a> {
    /// The text, quotes and escapes undone.
    pub text: Cow<'a, str>,
    /// Without quotes, and in no block: it may be a number, a flag or null.
    pub plain: bool,
    /// Behind `>`.
    pub folded: bool,
    /// Its tag, written out.
    pub tag: Option<&'a str>,
}

/// Where an entry of a mapping or an item of a list stands in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The bytes of the key, or of a list item's dash; empty in front of an item in flow style.
    pub key: (usize, usize),
    /// The bytes of the value without anchor and tag; empty, behind the colon or dash, where there is none.
    pub value: (usize, usize),
    /// Whether the mapping or list around it is written in flow style.
    pub flow: bool,
}

/// Makes a tree of what the grammar finds. A collection comes when all that is in it has come; an alias is a copy of
/// the node that it names.
pub trait Builder {
    /// A node of the tree.
    type Node: Clone;
    /// A mapping that grows.
    type Map;

    /// The node where a value is missing.
    fn null(&self) -> Self::Node;

    /// A scalar.
    fn scalar(&mut self, scalar: Scalar<'_>) -> Result<Self::Node, YamlErrorKind>;

    /// A list.
    fn list(&mut self, items: Vec<Self::Node>) -> Self::Node;

    /// A mapping without entries.
    fn start_map(&mut self) -> Self::Map;

    /// Adds an entry, whose key is on `line`; `merges` where the key is `<<`.
    fn add(
        &mut self,
        map: &mut Self::Map,
        key: Self::Node,
        value: Self::Node,
        merges: bool,
        line: usize,
    ) -> Result<(), YamlErrorKind>;

    /// A mapping that has all its entries.
    fn map(&mut self, map: Self::Map) -> Result<Self::Node, YamlError>;

    /// The value of `key` begins. Whoever wants to know where entries stand keeps the way to them.
    fn enter_key(&mut self, key: &Self::Node) {
        let _ = key;
    }

    /// The item at `index` of a list begins.
    fn enter_item(&mut self, index: usize) {
        let _ = index;
    }

    /// What was entered last has ended, and stood at `mark`. Gives the bytes that are kept of that.
    fn leave(&mut self, mark: Mark) -> usize {
        let _ = mark;
        0
    }
}

/// What was done and is not paid for yet: the budget is asked once for many nodes.
#[derive(Default)]
struct Due {
    steps: u64,
    bytes: usize,
}

/// Steps of one node.
const NODE_STEPS: u64 = 8;
/// Bytes of a key and what a mapping keeps with it, twice for the room to grow.
const KEY: usize = 2 * 32;
/// Bytes of a mapping: it starts with room for four entries.
const MAPPING: usize = 256;

/// Reads the documents of one text.
pub struct Grammar<'a, B: Builder> {
    scanner: Scanner<'a>,
    builder: B,
    limits: Limits,
    anchors: HashMap<&'a str, Anchor<B::Node>>,
    nodes: usize,
    documents: usize,
    budget: &'a Budget,
    due: Due,
    /// Bytes made so far, paid for or not.
    bytes: usize,
    /// Where the last token ended that takes any bytes.
    end: usize,
}

/// A node with a name.
struct Anchor<N> {
    node: N,
    /// How many nodes it has.
    nodes: usize,
    /// What a copy of it takes.
    bytes: usize,
}

/// A node, whether it was `<<`, the key that merges, and the bytes it takes.
struct Read<N> {
    node: N,
    merges: bool,
    span: (usize, usize),
}

impl<N> Read<N> {
    fn new(node: N) -> Self {
        Self { node, merges: false, span: (0, 0) }
    }
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

fn error(line: usize, kind: YamlErrorKind) -> YamlError {
    YamlError { line, kind }
}

fn syntax<T>(line: usize, what: &str) -> Result<T, YamlError> {
    Err(error(line, YamlErrorKind::Syntax(what.to_owned())))
}

/// Whether `scalar`, as a key, merges the mappings behind it.
fn is_merge(scalar: &Scalar<'_>) -> bool {
    scalar.plain && scalar.text == "<<" && scalar.tag.is_none_or(|tag| tag == "tag:yaml.org,2002:merge")
}

impl<'a, B: Builder> Grammar<'a, B> {
    /// Over `text`; the error is a character that YAML does not allow even in quotes, or a `budget` that is used up.
    pub fn new(text: &'a str, builder: B, limits: Limits, budget: &'a Budget) -> Result<Self, YamlError> {
        budget.step((text.len() / 16 + 20) as u64).map_err(|over| error(1, over.into()))?;
        let scanner = Scanner::new(text)?;
        Ok(Self {
            scanner,
            builder,
            limits,
            anchors: HashMap::new(),
            nodes: 0,
            documents: 0,
            budget,
            due: Due::default(),
            bytes: 0,
            end: 0,
        })
    }

    /// Owes for `nodes` and `bytes`, and pays once that is much.
    fn owe(&mut self, nodes: usize, bytes: usize) -> Result<(), Exceeded> {
        self.due.steps = self.due.steps.saturating_add(NODE_STEPS.saturating_mul(nodes as u64));
        self.due.bytes = self.due.bytes.saturating_add(bytes);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.due.steps > 4_096 || self.due.bytes > 64 << 10 { self.pay() } else { Ok(()) }
    }

    fn pay(&mut self) -> Result<(), Exceeded> {
        let Due { steps, bytes } = std::mem::take(&mut self.due);
        self.budget.step(steps)?;
        self.budget.bytes(bytes)
    }

    /// Takes YAML 1.1 to the letter, as go-yaml v2 does.
    #[must_use]
    pub(super) fn strictly_1_1(mut self, is_1_1: bool) -> Self {
        self.scanner.is_1_1 = is_1_1;
        self
    }

    /// The builder, with what it kept.
    pub(super) fn into_builder(self) -> B {
        self.builder
    }

    /// The next document of the stream. Only the first may come without `---`.
    pub fn document(&mut self) -> Result<Option<B::Node>, YamlError> {
        while self.documents > 0 && self.skip(&Token::DocumentEnd)? {}
        let mut explicit = false;
        let marked = loop {
            let limit = self.limits.documents;
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
        let empty = marked && self.is_at_document_end()?;
        let node = if empty { self.builder.null() } else { self.node(true, false, 0)?.node };
        // What follows on the same line is part of the judgement: `--- a: 1` is an error.
        let line = self.scanner.peek()?.line;
        self.scanner.end_document();
        self.pay().map_err(|over| error(line, over.into()))?;
        Ok(Some(node))
    }

    /// [`Self::document`], behind which nothing but another document or the end may follow.
    pub fn whole_document(&mut self) -> Result<Option<B::Node>, YamlError> {
        let document = self.document()?;
        if self.is_at_document_end()? {
            return Ok(document);
        }
        let line = self.scanner.peek()?.line;
        syntax(line, "did not find the expected `---` or the end: is the indentation right?")
    }

    fn is_at_document_end(&mut self) -> Result<bool, YamlError> {
        let token = &self.scanner.peek()?.token;
        Ok(matches!(token, Token::Directive | Token::DocumentStart | Token::DocumentEnd | Token::StreamEnd))
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
    fn node(&mut self, block: bool, indentless: bool, depth: usize) -> Result<Read<B::Node>, YamlError> {
        let (mut anchor, mut tag) = (None, None);
        loop {
            let next = self.scanner.peek()?;
            let line = next.line;
            if depth > self.limits.depth {
                return Err(error(line, YamlErrorKind::TooDeep(self.limits.depth)));
            }
            match &next.token {
                Token::Anchor(name) if anchor.is_none() => anchor = Some(*name),
                Token::Tag(text) if tag.is_none() => tag = Some(text.clone()),
                Token::Alias(name) if anchor.is_none() && tag.is_none() => {
                    let (name, start) = (*name, next.start);
                    self.take()?;
                    let node = self.alias(name, line)?;
                    return Ok(Read { node, merges: false, span: (start, self.end) });
                }
                _ => break,
            }
            self.take()?;
        }
        let before = (self.nodes, self.bytes);
        let Located { start, line, .. } = *self.scanner.peek()?;
        let mut read = self.content(block, indentless, depth, tag.as_deref(), anchor.is_some())?;
        if let Some(name) = anchor {
            let (nodes, bytes) = (self.nodes - before.0, self.bytes - before.1);
            self.owe(nodes, bytes).map_err(|over| error(line, over.into()))?;
            self.anchors.insert(name, Anchor { node: read.node.clone(), nodes, bytes });
        }
        read.span = if self.end > start { (start, self.end) } else { (self.end, self.end) };
        Ok(read)
    }

    fn content(
        &mut self,
        block: bool,
        indentless: bool,
        depth: usize,
        tag: Option<&str>,
        anchored: bool,
    ) -> Result<Read<B::Node>, YamlError> {
        let next = self.scanner.peek()?;
        let line = next.line;
        self.count(line)?;
        match self.scanner.peek()?.token {
            Token::BlockEntry if indentless => self.block_sequence(false, depth).map(Read::new),
            Token::Scalar { .. } => match self.take()? {
                Token::Scalar { text, plain, folded } => self.scalar(Scalar { text, plain, folded, tag }, line),
                _ => Ok(Read::new(self.builder.null())),
            },
            Token::FlowSequenceStart => self.flow_sequence(depth).map(Read::new),
            Token::FlowMappingStart => self.flow_mapping(depth).map(Read::new),
            Token::BlockSequenceStart if block => {
                self.take()?;
                self.block_sequence(true, depth).map(Read::new)
            }
            Token::BlockMappingStart if block => self.block_mapping(depth).map(Read::new),
            _ if tag.is_some() || anchored => {
                self.scalar(Scalar { text: Cow::Borrowed(""), plain: true, folded: false, tag }, line)
            }
            _ => syntax(line, "did not find a value where one is expected"),
        }
    }

    fn scalar(&mut self, scalar: Scalar<'_>, line: usize) -> Result<Read<B::Node>, YamlError> {
        let merges = is_merge(&scalar);
        self.owe(0, scalar.text.len()).map_err(|over| error(line, over.into()))?;
        let node = self.builder.scalar(scalar).map_err(|kind| error(line, kind))?;
        Ok(Read { merges, ..Read::new(node) })
    }

    fn alias(&mut self, name: &str, line: usize) -> Result<B::Node, YamlError> {
        let Some(&Anchor { nodes, bytes, .. }) = self.anchors.get(name) else {
            return Err(error(line, YamlErrorKind::UnknownAnchor));
        };
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > self.limits.nodes {
            return Err(error(line, YamlErrorKind::AliasBomb(self.limits.nodes)));
        }
        self.owe(nodes, bytes).map_err(|over| error(line, over.into()))?;
        Ok(self.anchors.get(name).map_or_else(|| self.builder.null(), |anchor| anchor.node.clone()))
    }

    /// Counts a node that is written.
    fn count(&mut self, line: usize) -> Result<(), YamlError> {
        self.nodes += 1;
        if self.nodes > self.limits.written {
            return Err(error(line, YamlErrorKind::TooManyNodes(self.limits.written)));
        }
        self.owe(1, 0).map_err(|over| error(line, over.into()))
    }

    /// Nothing, behind the last token.
    fn missing(&mut self) -> Result<Read<B::Node>, YamlError> {
        let line = self.scanner.peek()?.line;
        self.count(line)?;
        Ok(Read { span: (self.end, self.end), ..Read::new(self.builder.null()) })
    }

    fn start_map(&mut self) -> Result<B::Map, YamlError> {
        let line = self.scanner.peek()?.line;
        self.owe(0, MAPPING).map_err(|over| error(line, over.into()))?;
        Ok(self.builder.start_map())
    }

    /// Adds `item`, which stands at `key`, to a list.
    fn push(
        &mut self,
        items: &mut Vec<B::Node>,
        item: Read<B::Node>,
        key: (usize, usize),
        flow: bool,
    ) -> Result<(), YamlError> {
        let kept = self.builder.leave(Mark { key, value: item.span, flow });
        let line = self.scanner.peek()?.line;
        self.owe(0, 2 * size_of::<B::Node>() + kept).map_err(|over| error(line, over.into()))?;
        items.push(item.node);
        Ok(())
    }

    /// A node, or null where what ends one `within` follows.
    fn optional(&mut self, within: Within, depth: usize) -> Result<Read<B::Node>, YamlError> {
        if within.ends_at(&self.scanner.peek()?.token) {
            return self.missing();
        }
        let block = !matches!(within, Within::FlowSequence | Within::FlowMapping);
        self.node(block, matches!(within, Within::BlockMapping), depth + 1)
    }

    /// Adds what stands behind `key`, which is on `line`: null where there is no `:`.
    fn entry(
        &mut self,
        map: &mut B::Map,
        key: Read<B::Node>,
        within: Within,
        line: usize,
        depth: usize,
    ) -> Result<(), YamlError> {
        self.builder.enter_key(&key.node);
        let value = if self.skip(&Token::Value)? { self.optional(within, depth)? } else { self.missing()? };
        let flow = !matches!(within, Within::BlockMapping);
        let kept = self.builder.leave(Mark { key: key.span, value: value.span, flow });
        self.owe(0, 2 * size_of::<B::Node>() + KEY + kept).map_err(|over| error(line, over.into()))?;
        self.builder.add(map, key.node, value.node, key.merges, line).map_err(|kind| error(line, kind))
    }

    /// A list in block style; `own` where it has an indentation, and so an end, of its own.
    fn block_sequence(&mut self, own: bool, depth: usize) -> Result<B::Node, YamlError> {
        let within = if own { Within::BlockSequence } else { Within::IndentlessSequence };
        let mut items = Vec::new();
        while self.skip(&Token::BlockEntry)? {
            let dash = (self.end.saturating_sub(1), self.end);
            self.builder.enter_item(items.len());
            let item = self.optional(within, depth)?;
            self.push(&mut items, item, dash, false)?;
        }
        if own && !self.skip(&Token::BlockEnd)? {
            return syntax(self.scanner.peek()?.line, "did not find the next list item (`- `) or the list's end");
        }
        Ok(self.builder.list(items))
    }

    fn block_mapping(&mut self, depth: usize) -> Result<B::Node, YamlError> {
        self.take()?;
        let mut map = self.start_map()?;
        while !self.skip(&Token::BlockEnd)? {
            let line = self.scanner.peek()?.line;
            if !self.skip(&Token::Key)? {
                return syntax(line, "did not find the next key or the mapping's end: is the indentation right?");
            }
            let key = self.optional(Within::BlockMapping, depth)?;
            self.entry(&mut map, key, Within::BlockMapping, line, depth)?;
        }
        self.builder.map(map)
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

    fn flow_sequence(&mut self, depth: usize) -> Result<B::Node, YamlError> {
        self.take()?;
        let mut items = Vec::new();
        while !self.flow_ends(items.is_empty(), &Token::FlowSequenceEnd, "did not find expected `,` or `]`")? {
            let (line, start) = (self.scanner.peek()?.line, self.scanner.peek()?.start);
            self.builder.enter_item(items.len());
            let item = if self.skip(&Token::Key)? {
                // One pair without braces: `[a: 1]`.
                let mut map = self.start_map()?;
                let key = self.optional(Within::FlowSequence, depth + 1)?;
                self.entry(&mut map, key, Within::FlowSequence, line, depth + 1)?;
                Read { span: (start, self.end), ..Read::new(self.builder.map(map)?) }
            } else {
                self.node(false, false, depth + 1)?
            };
            self.push(&mut items, item, (start, start), true)?;
        }
        Ok(self.builder.list(items))
    }

    fn flow_mapping(&mut self, depth: usize) -> Result<B::Node, YamlError> {
        self.take()?;
        let mut map = self.start_map()?;
        let mut first = true;
        while !self.flow_ends(std::mem::take(&mut first), &Token::FlowMappingEnd, "did not find expected `,` or `}`")? {
            let line = self.scanner.peek()?.line;
            let key = if self.skip(&Token::Key)? {
                self.optional(Within::FlowMapping, depth)?
            } else {
                self.node(false, false, depth + 1)?
            };
            self.entry(&mut map, key, Within::FlowMapping, line, depth)?;
        }
        self.builder.map(map)
    }
}
