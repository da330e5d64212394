//! Reads YAML into nodes: streams of resources as kyaml does (`kio/byteio_reader.go`), and kustomization files as
//! sigs.k8s.io/yaml does, by the grammar of `slipway-manifest`.

use std::collections::HashSet;

use serde_json::Value;
use slipway_budget::{Budget, Exceeded};
use slipway_manifest::yaml::grammar::{Builder, Grammar, Limits, Scalar};
use slipway_manifest::yaml::{YamlError, YamlErrorKind, resolve_plain};

use crate::cost;
use crate::resource::Resource;

use super::scalar::{self, Tag, resolve};
use super::{Map, Node};

/// Nodes of one text, aliases expanded or not.
const MAX_NODES: usize = 5_000_000;

/// Bytes of a document in the lists of texts, nodes and resources, twice for the room to grow.
const DOCUMENT: usize = 2 * (size_of::<(usize, &str)>() + size_of::<Node>() + size_of::<Resource>());

/// Whose rules hold for plain scalars and keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rules {
    /// go-yaml v3 below kyaml: keys must be texts, and stand once.
    Resources,
    /// go-yaml v2 below sigs.k8s.io/yaml: any scalar is a key, the last of equal keys wins.
    Settings,
}

/// The documents of a stream of resources that are not empty; each is what kyaml makes of the text between two `---`.
pub(crate) fn resources(text: &str, budget: &Budget) -> Result<Vec<Node>, YamlError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let unix;
    let over = |over: Exceeded| YamlError { line: 1, kind: over.into() };
    let text = if text.contains("\r\n") {
        cost::of_text(budget, text.len()).map_err(over)?;
        unix = text.replace("\r\n", "\n");
        &unix
    } else {
        text
    };
    let mut nodes = Vec::new();
    let separators = text.matches("\n---").count();
    cost::of_text(budget, separators.saturating_mul(DOCUMENT)).map_err(over)?;
    for (line, part) in documents(text)? {
        let node = first(part, Rules::Resources, budget).map_err(|e| YamlError { line: e.line + line, ..e })?;
        nodes.extend(node.filter(|node| !node.is_null()));
    }
    for node in &mut nodes {
        // Neither an object's own annotations nor items of lists are written and read again.
        if let Some(annotations) =
            node.as_map_mut().and_then(|map| map.get_mut("metadata")?.as_map_mut()?.get_mut("annotations"))
        {
            unfold(annotations, false);
        }
        let is_list = node.get("kind").is_some_and(|kind| kind.as_text().ends_with("List"));
        let again = !is_list || node.get("items").is_none();
        unfold(node, again);
    }
    Ok(nodes)
}

/// A file of values as the first document that kyaml reads; it is written only once.
pub(crate) fn values(text: &str, budget: &Budget) -> Result<Node, YamlError> {
    let mut node = first(text.strip_prefix('\u{feff}').unwrap_or(text), Rules::Resources, budget)?.unwrap_or_default();
    unfold(&mut node, false);
    Ok(node)
}

/// Makes texts of those that were folded, written and read `again` or not.
fn unfold(node: &mut Node, again: bool) {
    match node {
        Node::Scalar(scalar) if scalar.tag == Tag::Folded => {
            scalar.tag = Tag::Quoted;
            if again {
                scalar.text = refold(std::mem::take(&mut scalar.text));
            }
        }
        Node::Scalar(_) => {}
        Node::Seq(items) => items.iter_mut().for_each(|item| unfold(item, again)),
        Node::Map(map) => map.0.iter_mut().for_each(|(_, value)| unfold(value, again)),
    }
}

/// The one document of a file of settings as JSON, as sigs.k8s.io/yaml reads it (not strictly); null where it is empty.
pub(crate) fn settings(text: &str, budget: &Budget) -> Result<Value, YamlError> {
    let node = first(text.strip_prefix('\u{feff}').unwrap_or(text), Rules::Settings, budget)?.unwrap_or_default();
    cost::of_conversion(budget, &node).map_err(|over| YamlError { line: 1, kind: over.into() })?;
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
fn first(text: &str, rules: Rules, budget: &Budget) -> Result<Option<Node>, YamlError> {
    let limits = Limits { nodes: MAX_NODES, written: MAX_NODES, ..Limits::default() };
    Grammar::new(text, Nodes { rules, budget }, limits, budget)?.whole_document()
}

/// Makes nodes.
struct Nodes<'b> {
    rules: Rules,
    /// For what the size of a mapping multiplies.
    budget: &'b Budget,
}

impl Builder for Nodes<'_> {
    type Node = Node;
    type Map = Entries;

    fn null(&self) -> Node {
        Node::null()
    }

    fn scalar(&mut self, Scalar { text, plain, folded, tag }: Scalar<'_>) -> Result<Node, YamlErrorKind> {
        let text = text.into_owned();
        let tag = match tag.map(|tag| tag.strip_prefix("tag:yaml.org,2002:").unwrap_or("str")) {
            Some("null") => Tag::Null,
            Some("bool") => Tag::Bool,
            Some("int") => Tag::Int,
            Some("float") => Tag::Float,
            Some("timestamp") => Tag::Timestamp,
            Some("binary") => Tag::Binary,
            None if plain && self.rules == Rules::Settings => return Ok(Node::Scalar(settings_scalar(text))),
            None if plain => resolve(&text),
            None if folded && self.rules == Rules::Resources => Tag::Folded,
            None if self.rules == Rules::Resources => Tag::Quoted,
            Some(_) | None => Tag::Str,
        };
        Ok(Node::Scalar(scalar::Scalar { text, tag }))
    }

    fn list(&mut self, items: Vec<Node>) -> Node {
        Node::Seq(items)
    }

    fn start_map(&mut self) -> Entries {
        Entries::default()
    }

    fn add(
        &mut self,
        entries: &mut Entries,
        key: Node,
        value: Node,
        merges: bool,
        line: usize,
    ) -> Result<(), YamlErrorKind> {
        if merges {
            return match entries.merged.replace((value, line)) {
                Some(_) => Err(YamlErrorKind::Syntax("duplicate merge key".to_owned())),
                None => Ok(()),
            };
        }
        let key = match key {
            Node::Scalar(scalar::Scalar { text, tag })
                if matches!(tag, Tag::Str | Tag::Quoted | Tag::Folded) || self.rules == Rules::Settings =>
            {
                text
            }
            Node::Scalar(scalar::Scalar { text, .. }) => {
                return Err(YamlErrorKind::Syntax(format!("key `{text}` is not a string: put it in quotes")));
            }
            _ => return Err(YamlErrorKind::ComplexKey),
        };
        match (entries.knows(&key), self.rules) {
            (false, _) => entries.map.0.push((key, value)),
            (true, Rules::Settings) => {
                self.budget.step(entries.map.0.len() as u64 / 4)?;
                entries.map.set(&key, value);
            }
            (true, Rules::Resources) => return Err(YamlErrorKind::DuplicateKey(key)),
        }
        Ok(())
    }

    fn map(&mut self, Entries { mut map, merged, .. }: Entries) -> Result<Node, YamlError> {
        if let Some((source, line)) = merged {
            merge(&mut map, source, self.budget).map_err(|kind| YamlError { line, kind })?;
        }
        Ok(Node::Map(map))
    }
}

/// A mapping as it grows.
#[derive(Default)]
struct Entries {
    map: Map,
    /// The keys of a large map.
    seen: HashSet<String>,
    /// What stands behind `<<`, and its line.
    merged: Option<(Node, usize)>,
}

impl Entries {
    /// Whether `key` has come before. A search through a small map is cheap; through a large one it is not.
    fn knows(&mut self, key: &str) -> bool {
        if self.map.0.len() < 32 {
            return self.map.get(key).is_some();
        }
        if self.seen.is_empty() {
            self.seen.extend(self.map.0.iter().map(|(key, _)| key.clone()));
        }
        !self.seen.insert(key.to_owned())
    }
}

/// What becomes of a folded text (`>`) when go-yaml v3 writes it and reads it again, which Kustomize does with every
/// resource: before a line that is indented further, a line break becomes two (`emitterc.go`,
/// `yaml_emitter_write_folded_scalar`).
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
fn settings_scalar(text: String) -> scalar::Scalar {
    let (text, tag) = match resolve_plain(&text) {
        Value::Null => ("null".to_owned(), Tag::Null),
        Value::Bool(b) => (b.to_string(), Tag::Bool),
        Value::Number(n) if n.is_f64() => (n.to_string(), Tag::Float),
        Value::Number(n) => (n.to_string(), Tag::Int),
        _ => (text, Tag::Str),
    };
    scalar::Scalar { text, tag }
}

/// YAML 1.1's merge key: keys of the mapping itself win, then earlier sources (kyaml `yaml/rnode.go`,
/// `findMergeValues`).
fn merge(map: &mut Map, source: Node, budget: &Budget) -> Result<(), YamlErrorKind> {
    let wrong = |what: &str| Err(YamlErrorKind::Syntax(what.to_owned()));
    match source {
        Node::Map(other) => {
            for (key, value) in other.0 {
                budget.step(map.0.len() as u64 / 4)?;
                map.entry(&key, || value);
            }
            Ok(())
        }
        Node::Seq(list) => list.into_iter().try_for_each(|one| match one {
            Node::Seq(_) => wrong("invalid map merge: received a nested sequence"),
            one => merge(map, one, budget),
        }),
        Node::Scalar(_) => wrong("map merge requires map or sequence of maps as the value"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resources(text: &str) -> Result<Vec<Node>, YamlError> {
        super::resources(text, &Budget::default())
    }

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
        assert_eq!(settings("a: x\na: yes\n1: z", &Budget::default()).unwrap(), json!({"a": true, "1": "z"}));
    }

    #[test]
    fn blocks_end_and_fold_as_in_go() {
        assert_eq!(values("a: |\n  x"), [json!({"a": "x"})]);
        assert_eq!(values("a: >\n  x\n  y\n    z\n  w\n"), [json!({"a": "x y\n\n  z\nw\n"})]);
        assert_eq!(values("a: >-\n  x\n\n  y\n"), [json!({"a": "x\ny"})]);
        // Not in an object's own annotations and not in lists (kubectl 1.35.2).
        for (text, at, folded) in [
            ("metadata:\n  annotations:\n    n: >\n      x\n        y\n", "/metadata/annotations/n", "x\n  y\n"),
            ("spec:\n  annotations:\n    n: >\n      x\n        y\n", "/spec/annotations/n", "x\n\n  y\n"),
            ("metadata:\n  labels:\n    n: >\n      x\n        y\n", "/metadata/labels/n", "x\n\n  y\n"),
            ("kind: List\nitems:\n- data:\n    n: >\n      x\n        y\n", "/items/0/data/n", "x\n  y\n"),
        ] {
            assert_eq!(values(text)[0].pointer(at), Some(&json!(folded)), "{text}");
        }
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
        assert!(matches!(resources(&bomb).unwrap_err().kind, YamlErrorKind::Exceeded(_)));
        let deep = format!("{}{}", "[".repeat(250), "]".repeat(250));
        assert!(matches!(resources(&deep).unwrap_err().kind, YamlErrorKind::TooDeep(_)));
    }
}
