//! From text to nodes: streams of resources as kyaml reads them (`kio/byteio_reader.go`), and kustomization files as
//! sigs.k8s.io/yaml does. The parser itself is the one that `slipway-manifest` uses.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag as YamlTag};
use serde_json::Value;
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
    let open_end = (!text.ends_with('\n')).then(|| text.chars().count());
    let mut builder =
        Builder { parser: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0, rules, open_end };
    let parsed = builder.first();
    match parsed {
        // JSON allows tabs where YAML does not.
        Err(e) if text.trim_start().starts_with(['{', '[']) => {
            serde_json::from_str(text).map(|value| Some(Node::from_value(value))).map_err(|_| e)
        }
        other => other,
    }
}

struct Builder<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    rules: Rules,
    /// Length of a text whose last line has no line break.
    open_end: Option<usize>,
}

fn error(span: Span, kind: YamlErrorKind) -> YamlError {
    YamlError { line: span.start.line(), kind }
}

fn syntax(span: Span, what: &str) -> YamlError {
    error(span, YamlErrorKind::Syntax(what.to_owned()))
}

impl<'a> Builder<'a> {
    fn first(&mut self) -> Result<Option<Node>, YamlError> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(None),
                (Event::DocumentStart(_), _) => {
                    let (event, span) = self.next()?;
                    let node = self.node(event, span, 0)?;
                    // What follows must end the document; the parser says so, if it does not.
                    self.next()?;
                    return Ok(Some(node));
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
        if depth > MAX_DEPTH {
            return Err(error(span, YamlErrorKind::TooDeep(MAX_DEPTH)));
        }
        let before = self.nodes;
        self.count(1, span)?;
        let (node, anchor) = match event {
            Event::Alias(id) => {
                let (node, size) = self.anchors.get(&id).ok_or_else(|| error(span, YamlErrorKind::UnknownAnchor))?;
                let (node, size) = (node.clone(), *size);
                self.count(size, span)?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => {
                let mut text = text.into_owned();
                let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                // A block that runs to the end of the text has no more line breaks than the text.
                if is_block && self.open_end.is_some_and(|end| span.end.index() >= end) && text.ends_with('\n') {
                    text.pop();
                }
                if style == ScalarStyle::Folded && self.rules == Rules::Resources {
                    text = refold(text);
                }
                (Node::Scalar(self.scalar(text, style, tag.as_deref())), anchor)
            }
            Event::SequenceStart(anchor, _) => (Node::Seq(self.sequence(depth)?), anchor),
            Event::MappingStart(anchor, _) => (Node::Map(self.mapping(depth)?), anchor),
            _ => (Node::null(), 0),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before));
        }
        Ok(node)
    }

    fn count(&mut self, nodes: usize, span: Span) -> Result<(), YamlError> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES { Err(error(span, YamlErrorKind::AliasBomb(MAX_NODES))) } else { Ok(()) }
    }

    fn scalar(&self, text: String, style: ScalarStyle, tag: Option<&YamlTag>) -> Scalar {
        let tag = match tag.filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.as_str()) {
            Some("null") => Tag::Null,
            Some("bool") => Tag::Bool,
            Some("int") => Tag::Int,
            Some("float") => Tag::Float,
            Some("timestamp") => Tag::Timestamp,
            Some("binary") => Tag::Binary,
            Some(_) => Tag::Str,
            None if tag.is_some() || style != ScalarStyle::Plain => Tag::Str,
            None if self.rules == Rules::Resources => resolve(&text),
            None => return settings_scalar(text),
        };
        Scalar { text, tag }
    }

    fn sequence(&mut self, depth: usize) -> Result<Vec<Node>, YamlError> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(items);
            }
            items.push(self.node(event, span, depth + 1)?);
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Map, YamlError> {
        let mut map = Map::default();
        let mut seen: HashSet<String> = HashSet::new();
        let mut merged = None;
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let is_merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = self.node(event, span, depth + 1)?;
            let (event, value_span) = self.next()?;
            let value = self.node(event, value_span, depth + 1)?;
            if is_merge {
                if merged.replace(value).is_some() {
                    return Err(syntax(span, "duplicate merge key"));
                }
                continue;
            }
            let key = self.key(key, span)?;
            // A search through a small map is cheap; through a large one it is not.
            let known = if map.0.len() < 32 {
                map.get(&key).is_some()
            } else {
                if seen.is_empty() {
                    seen.extend(map.0.iter().map(|(key, _)| key.clone()));
                }
                !seen.insert(key.clone())
            };
            match (known, self.rules) {
                (false, _) => map.0.push((key, value)),
                (true, Rules::Settings) => map.set(&key, value),
                (true, Rules::Resources) => return Err(error(span, YamlErrorKind::DuplicateKey(key))),
            }
        }
        if let Some(source) = merged {
            merge(&mut map, source).map_err(|what| syntax(Span::default(), what))?;
        }
        Ok(map)
    }

    fn key(&self, key: Node, span: Span) -> Result<String, YamlError> {
        match key {
            Node::Scalar(Scalar { text, tag: Tag::Str }) => Ok(text),
            Node::Scalar(Scalar { text, .. }) if self.rules == Rules::Settings => Ok(text),
            Node::Scalar(Scalar { text, .. }) => {
                Err(error(span, YamlErrorKind::Syntax(format!("key `{text}` is not a string: put it in quotes"))))
            }
            _ => Err(error(span, YamlErrorKind::ComplexKey)),
        }
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
