//! From text to nodes: streams of resources as kyaml reads them (`kio/byteio_reader.go`), and kustomization files as
//! sigs.k8s.io/yaml does, over the scanner of `slipway-manifest`.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde_json::Value;
use slipway_manifest::yaml::scan::{Scanner, Token};
use slipway_manifest::yaml::{YamlError, YamlErrorKind, resolve_plain};

use super::scalar::{Scalar, Tag, resolve};
use super::{Map, Node};

/// Levels of nesting.
const MAX_DEPTH: usize = 100;
/// Nodes of one text, aliases expanded.
const MAX_NODES: usize = 5_000_000;

/// Whose rules hold for plain scalars and keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rules {
    /// go-yaml v3 below kyaml: keys must be texts, and stand once.
    Resources,
    /// go-yaml v2 below sigs.k8s.io/yaml: any scalar is a key, the last of equal keys wins.
    Settings,
}

/// The documents of a stream of resources that are not empty; each is what kyaml makes of the text between two `---`.
pub(crate) fn resources(text: &str) -> Result<Vec<Node>, YamlError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let unix;
    let text = if text.contains("\r\n") {
        unix = text.replace("\r\n", "\n");
        &unix
    } else {
        text
    };
    let mut nodes = Vec::new();
    for (line, part) in documents(text)? {
        let node = first(part, Rules::Resources).map_err(|e| YamlError { line: e.line + line, ..e })?;
        nodes.extend(node.filter(|node| !node.is_null()));
    }
    Ok(nodes)
}

/// The one document of a file of settings as JSON, as sigs.k8s.io/yaml reads it (not strictly); null where it is empty.
pub(crate) fn settings(text: &str) -> Result<Value, YamlError> {
    let node = first(text.strip_prefix('\u{feff}').unwrap_or(text), Rules::Settings)?.unwrap_or_default();
    node.into_value().map_err(|e| YamlError { line: 1, kind: YamlErrorKind::Syntax(e) })
}

/// The texts between lines that begin with `---`, with the number of lines before each.
fn documents(text: &str) -> Result<Vec<(usize, &str)>, YamlError> {
    let mut parts = Vec::new();
    let (mut start, mut start_line, mut from, mut lines) = (0, 0, 0, 0);
    while let Some(found) = text.get(from..).and_then(|rest| rest.find("\n---")) {
        let at = from + found;
        lines += text.get(from..=at).unwrap_or_default().matches('\n').count();
        let Some(length) = text.get(at + 4..).and_then(|rest| rest.find('\n')) else { break };
        let after = text.get(at + 4..at + 4 + length).unwrap_or_default().trim();
        if !after.is_empty() && !after.starts_with('#') {
            let kind = YamlErrorKind::Syntax(format!("invalid document separator: ---{after}"));
            return Err(YamlError { line: lines + 1, kind });
        }
        parts.push((start_line, text.get(start..=at).unwrap_or_default()));
        // The line break after a separator belongs to it: `---` on the very next line begins the document.
        from = at + 4 + length + 1;
        lines += 1;
        (start, start_line) = (from, lines);
    }
    parts.push((start_line, text.get(start..).unwrap_or_default()));
    Ok(parts)
}

/// The first document of `text`.
fn first(text: &str, rules: Rules) -> Result<Option<Node>, YamlError> {
    Builder { scanner: Scanner::checked(text)?, anchors: HashMap::new(), nodes: 0, rules }.document()
}

struct Builder<'a> {
    scanner: Scanner<'a>,
    anchors: HashMap<&'a str, (Node, usize)>,
    nodes: usize,
    rules: Rules,
}

fn error(line: usize, kind: YamlErrorKind) -> YamlError {
    YamlError { line, kind }
}

fn syntax<T>(line: usize, what: &str) -> Result<T, YamlError> {
    Err(error(line, YamlErrorKind::Syntax(what.to_owned())))
}

/// The grammar of YAML over the scanner's tokens; what ends a document is checked, what follows it is not read.
impl<'a> Builder<'a> {
    fn document(&mut self) -> Result<Option<Node>, YamlError> {
        loop {
            match self.scanner.peek()?.token {
                Token::StreamEnd => return Ok(None),
                Token::Directive => drop(self.scanner.next()?),
                Token::DocumentStart => {
                    self.scanner.next()?;
                    if self.at_document_end()? {
                        return Ok(Some(Node::null()));
                    }
                    break;
                }
                _ => break,
            }
        }
        let node = self.node(true, false, 0)?;
        if self.at_document_end()? {
            return Ok(Some(node));
        }
        syntax(self.scanner.peek()?.line, "did not find the expected `---` or the end: is the indentation right?")
    }

    fn at_document_end(&mut self) -> Result<bool, YamlError> {
        let token = &self.scanner.peek()?.token;
        Ok(matches!(token, Token::Directive | Token::DocumentStart | Token::DocumentEnd | Token::StreamEnd))
    }

    /// Takes the next token if it is `token`.
    fn skip(&mut self, token: &Token<'static>) -> Result<bool, YamlError> {
        let found = self.scanner.peek()?.token == *token;
        if found {
            self.scanner.next()?;
        }
        Ok(found)
    }

    /// A node; `block` where block collections may stand, `indentless` where a list may stand at its key's own column.
    fn node(&mut self, block: bool, indentless: bool, depth: usize) -> Result<Node, YamlError> {
        let (mut anchor, mut tag): (Option<&'a str>, Option<Cow<'a, str>>) = (None, None);
        loop {
            let next = self.scanner.peek()?;
            let line = next.line;
            if depth > MAX_DEPTH {
                return Err(error(line, YamlErrorKind::TooDeep(MAX_DEPTH)));
            }
            match &next.token {
                Token::Anchor(name) if anchor.is_none() => anchor = Some(*name),
                Token::Tag(text) if tag.is_none() => tag = Some(text.clone()),
                Token::Alias(name) if anchor.is_none() && tag.is_none() => {
                    let name = *name;
                    self.scanner.next()?;
                    return self.alias(name, line);
                }
                _ => break,
            }
            self.scanner.next()?;
        }
        let before = self.nodes;
        let line = self.scanner.peek()?.line;
        self.count(1, line)?;
        let node = match self.scanner.peek()?.token {
            Token::Scalar { .. } => match self.scanner.next()?.token {
                Token::Scalar { text, plain, folded } => {
                    let refolds = folded && self.rules == Rules::Resources;
                    let text = if refolds { refold(text.into_owned()) } else { text.into_owned() };
                    Node::Scalar(self.scalar(text, plain, tag.as_deref()))
                }
                _ => Node::null(),
            },
            Token::BlockEntry if indentless => Node::Seq(self.block_list(false, depth)?),
            Token::BlockSequenceStart if block => {
                self.scanner.next()?;
                Node::Seq(self.block_list(true, depth)?)
            }
            Token::BlockMappingStart if block => Node::Map(self.block_map(depth)?),
            Token::FlowSequenceStart => Node::Seq(self.flow_list(depth)?),
            Token::FlowMappingStart => Node::Map(self.flow_map(depth)?),
            _ if tag.is_some() || anchor.is_some() => Node::Scalar(self.scalar(String::new(), true, tag.as_deref())),
            _ => return syntax(line, "did not find a value where one is expected"),
        };
        if let Some(name) = anchor {
            self.anchors.insert(name, (node.clone(), self.nodes - before));
        }
        Ok(node)
    }

    fn alias(&mut self, name: &str, line: usize) -> Result<Node, YamlError> {
        let (node, size) = self.anchors.get(name).ok_or_else(|| error(line, YamlErrorKind::UnknownAnchor))?;
        let (node, size) = (node.clone(), *size);
        self.count(size, line)?;
        Ok(node)
    }

    /// A node, or null where one of `ends` follows.
    fn optional(&mut self, ends: &[Token<'static>], block: bool, depth: usize) -> Result<Node, YamlError> {
        if ends.contains(&self.scanner.peek()?.token) {
            return Ok(Node::null());
        }
        let indentless = block && ends.contains(&Token::Key) && !ends.contains(&Token::BlockEntry);
        self.node(block, indentless, depth + 1)
    }

    /// A list in block style; `own` where it has an indentation, and so an end, of its own.
    fn block_list(&mut self, own: bool, depth: usize) -> Result<Vec<Node>, YamlError> {
        let ends: &[Token<'static>] = if own {
            &[Token::BlockEntry, Token::BlockEnd]
        } else {
            &[Token::BlockEntry, Token::Key, Token::Value, Token::BlockEnd]
        };
        let mut items = Vec::new();
        while self.skip(&Token::BlockEntry)? {
            items.push(self.optional(ends, true, depth)?);
        }
        if own && !self.skip(&Token::BlockEnd)? {
            return syntax(self.scanner.peek()?.line, "did not find the next list item (`- `) or the list's end");
        }
        Ok(items)
    }

    fn block_map(&mut self, depth: usize) -> Result<Map, YamlError> {
        const ENDS: &[Token<'static>] = &[Token::Key, Token::Value, Token::BlockEnd];
        self.scanner.next()?;
        let mut entries = Entries::new(self.rules);
        while !self.skip(&Token::BlockEnd)? {
            let line = self.scanner.peek()?.line;
            if !self.skip(&Token::Key)? {
                return syntax(line, "did not find the next key or the mapping's end: is the indentation right?");
            }
            self.entry(&mut entries, ENDS, true, line, depth)?;
        }
        entries.finish()
    }

    /// A key, whose sign is taken already, and its value.
    fn entry(
        &mut self,
        entries: &mut Entries,
        ends: &[Token<'static>],
        block: bool,
        line: usize,
        depth: usize,
    ) -> Result<(), YamlError> {
        let merges = matches!(&self.scanner.peek()?.token, Token::Scalar { text, plain: true, .. } if text == "<<");
        let key = self.optional(ends, block, depth)?;
        let value = if self.skip(&Token::Value)? { self.optional(ends, block, depth)? } else { Node::null() };
        entries.add(key, value, merges, line)
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

    fn flow_list(&mut self, depth: usize) -> Result<Vec<Node>, YamlError> {
        const ENDS: &[Token<'static>] = &[Token::Value, Token::FlowEntry, Token::FlowSequenceEnd];
        self.scanner.next()?;
        let mut items = Vec::new();
        while !self.flow_ends(items.is_empty(), &Token::FlowSequenceEnd, "did not find expected `,` or `]`")? {
            let line = self.scanner.peek()?.line;
            if !self.skip(&Token::Key)? {
                items.push(self.node(false, false, depth + 1)?);
                continue;
            }
            // One pair without braces: `[a: 1]`.
            let mut entries = Entries::new(self.rules);
            self.entry(&mut entries, ENDS, false, line, depth + 1)?;
            items.push(Node::Map(entries.finish()?));
        }
        Ok(items)
    }

    fn flow_map(&mut self, depth: usize) -> Result<Map, YamlError> {
        const ENDS: &[Token<'static>] = &[Token::Value, Token::FlowEntry, Token::FlowMappingEnd];
        self.scanner.next()?;
        let mut entries = Entries::new(self.rules);
        let mut first = true;
        while !self.flow_ends(std::mem::take(&mut first), &Token::FlowMappingEnd, "did not find expected `,` or `}`")? {
            let line = self.scanner.peek()?.line;
            self.skip(&Token::Key)?;
            self.entry(&mut entries, ENDS, false, line, depth)?;
        }
        entries.finish()
    }

    fn count(&mut self, nodes: usize, line: usize) -> Result<(), YamlError> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES { Err(error(line, YamlErrorKind::AliasBomb(MAX_NODES))) } else { Ok(()) }
    }

    fn scalar(&self, text: String, plain: bool, tag: Option<&str>) -> Scalar {
        let tag = match tag.map(|tag| tag.strip_prefix("tag:yaml.org,2002:").unwrap_or("str")) {
            Some("null") => Tag::Null,
            Some("bool") => Tag::Bool,
            Some("int") => Tag::Int,
            Some("float") => Tag::Float,
            Some("timestamp") => Tag::Timestamp,
            Some("binary") => Tag::Binary,
            None if plain && self.rules == Rules::Settings => return settings_scalar(text),
            None if plain => resolve(&text),
            Some(_) | None => Tag::Str,
        };
        Scalar { text, tag }
    }
}

/// A mapping as it grows.
struct Entries {
    map: Map,
    seen: HashSet<String>,
    merged: Option<Node>,
    rules: Rules,
    line: usize,
}

impl Entries {
    fn new(rules: Rules) -> Self {
        Self { map: Map::default(), seen: HashSet::new(), merged: None, rules, line: 0 }
    }

    fn add(&mut self, key: Node, value: Node, merges: bool, line: usize) -> Result<(), YamlError> {
        if merges {
            self.line = line;
            return if self.merged.replace(value).is_some() { syntax(line, "duplicate merge key") } else { Ok(()) };
        }
        let key = match key {
            Node::Scalar(Scalar { text, tag }) if tag == Tag::Str || self.rules == Rules::Settings => text,
            Node::Scalar(Scalar { text, .. }) => {
                return syntax(line, &format!("key `{text}` is not a string: put it in quotes"));
            }
            _ => return Err(error(line, YamlErrorKind::ComplexKey)),
        };
        // A search through a small map is cheap; through a large one it is not.
        let known = if self.map.0.len() < 32 {
            self.map.get(&key).is_some()
        } else {
            if self.seen.is_empty() {
                self.seen.extend(self.map.0.iter().map(|(key, _)| key.clone()));
            }
            !self.seen.insert(key.clone())
        };
        match (known, self.rules) {
            (false, _) => self.map.0.push((key, value)),
            (true, Rules::Settings) => self.map.set(&key, value),
            (true, Rules::Resources) => return Err(error(line, YamlErrorKind::DuplicateKey(key))),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Map, YamlError> {
        if let Some(source) = self.merged {
            merge(&mut self.map, source).map_err(|what| error(self.line, YamlErrorKind::Syntax(what.to_owned())))?;
        }
        Ok(self.map)
    }
}

/// What becomes of a folded text (`>`) when go-yaml v3 writes it and reads it again, which Kustomize does with every resource:
/// before a line that is indented further, a line break becomes two (`emitterc.go`, `yaml_emitter_write_folded_scalar`).
fn refold(text: String) -> String {
    let special = |c: char| c.is_control() && c != '\n' && c != '\t';
    if text.is_empty() || text.ends_with(' ') || text.contains(" \n") || text.contains(special) {
        return text;
    }
    let doubles = text.trim_start_matches('\n').starts_with(|c| c != ' ' && c != '\t');
    let mut written = String::with_capacity(text.len() + 16);
    let (mut at_break, mut indented) = (true, true);
    for c in text.chars() {
        if c == '\n' {
            if !at_break && !indented && doubles {
                written.push('\n');
            }
            at_break = true;
        } else if at_break {
            indented = matches!(c, ' ' | '\t');
            at_break = false;
        }
        written.push(c);
    }
    let trailing = text.len() - text.trim_end_matches('\n').len();
    fold(
        &written,
        if trailing == 0 {
            Some(0)
        } else if trailing == 1 {
            Some(1)
        } else {
            None
        },
    )
}

/// The lines of a folded block as one text, with at most `keep` line breaks at its end.
fn fold(block: &str, keep: Option<usize>) -> String {
    let mut text = String::with_capacity(block.len());
    let (mut breaks, mut after_indented, mut pending) = (0, false, false);
    for line in block.split_inclusive('\n') {
        let content = line.trim_end_matches('\n');
        if content.is_empty() {
            breaks += 1;
            continue;
        }
        let indented = content.starts_with([' ', '\t']);
        if pending && (after_indented || indented) {
            text.push('\n');
        } else if pending && breaks == 0 {
            text.push(' ');
        }
        text.extend(std::iter::repeat_n('\n', breaks));
        text.push_str(content);
        (breaks, after_indented, pending) = (0, indented, line.ends_with('\n'));
    }
    let end = usize::from(pending) + breaks;
    text.extend(std::iter::repeat_n('\n', keep.map_or(end, |keep| keep.min(end))));
    text
}

/// A plain scalar by the rules of go-yaml v2, with the text that JSON would have.
fn settings_scalar(text: String) -> Scalar {
    match resolve_plain(&text) {
        Value::Null => Scalar { text: "null".to_owned(), tag: Tag::Null },
        Value::Bool(b) => Scalar { text: b.to_string(), tag: Tag::Bool },
        Value::Number(n) if n.is_f64() => Scalar { text: n.to_string(), tag: Tag::Float },
        Value::Number(n) => Scalar { text: n.to_string(), tag: Tag::Int },
        _ => Scalar { text, tag: Tag::Str },
    }
}

/// YAML 1.1's merge key: keys of the mapping itself win, then earlier sources (kyaml `yaml/rnode.go`, `findMergeValues`).
fn merge(map: &mut Map, source: Node) -> Result<(), &'static str> {
    match source {
        Node::Map(other) => {
            for (key, value) in other.0 {
                map.entry(&key, || value);
            }
            Ok(())
        }
        Node::Seq(list) => list.into_iter().try_for_each(|one| match one {
            Node::Seq(_) => Err("invalid map merge: received a nested sequence"),
            one => merge(map, one),
        }),
        Node::Scalar(_) => Err("map merge requires map or sequence of maps as the value"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values(text: &str) -> Vec<Value> {
        resources(text).unwrap().into_iter().map(|node| node.into_value().unwrap()).collect()
    }

    #[test]
    fn streams_are_split_as_kyaml_does() {
        assert_eq!(
            values("---\na: 1\n---\n---\n# nothing\n---  \nb: |\n  x\n\n--- # c\nc: 1\n"),
            [json!({"a": 1}), json!({"b": "x\n"}), json!({"c": 1})]
        );
        assert_eq!(
            resources("a: 1\n--- b\nc: 1\n").unwrap_err().to_string(),
            "line 2: invalid document separator: ---b"
        );
        assert_eq!(values("{\n\t\"a\": [1]\n}"), [json!({"a": [1]})]);
        assert!(values("").is_empty());
    }

    #[test]
    fn keys_of_resources_are_strings_and_stand_once() {
        assert!(resources("1: x").unwrap_err().to_string().contains("put it in quotes"));
        assert!(resources("a: x\na: y").unwrap_err().to_string().contains("already set"));
        assert_eq!(settings("a: x\na: yes\n1: z").unwrap(), json!({"a": true, "1": "z"}));
    }

    #[test]
    fn blocks_end_and_fold_as_in_go() {
        assert_eq!(values("a: |\n  x"), [json!({"a": "x"})]);
        assert_eq!(values("a: >\n  x\n  y\n    z\n  w\n"), [json!({"a": "x y\n\n  z\nw\n"})]);
        assert_eq!(values("a: >-\n  x\n\n  y\n"), [json!({"a": "x\ny"})]);
    }

    #[test]
    fn anchors_and_merges_are_resolved_within_limits() {
        assert_eq!(
            values("a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}\nc: *x\n"),
            [json!({"a": {"k": 1, "l": 2}, "b": {"k": 1, "l": 3}, "c": {"k": 1, "l": 2}})]
        );
        let bomb = (1..9).fold("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned(), |text, i| {
            let one = format!("*a{}", i - 1);
            text + &format!("a{i}: &a{i} [{}]\n", vec![one; 10].join(", "))
        });
        assert!(matches!(resources(&bomb).unwrap_err().kind, YamlErrorKind::AliasBomb(_)));
        let deep = format!("{}{}", "[".repeat(250), "]".repeat(250));
        assert!(matches!(resources(&deep).unwrap_err().kind, YamlErrorKind::TooDeep(_)));
    }
}
