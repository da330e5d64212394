//! Reads YAML into JSON values.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value, map::Entry};
use slipway_budget::Budget;

use super::grammar::{Builder, Grammar, Limits, Mark, Scalar};
use super::resolve::{Resolved, number_key, resolve, resolve_tagged};
use super::{YamlError, YamlErrorKind};

/// Which reader we copy where readers of YAML in the Kubernetes world differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rules {
    /// Kustomize (kyaml, go-yaml v3) and `UnmarshalStrict`: a key twice is an error, a mapping's own keys beat those
    /// that `<<` brings, wherever it stands.
    #[default]
    Strict,
    /// sigs.k8s.io/yaml (go-yaml v2), which Helm, kubectl and Argo CD's directory sources read with: of a key that
    /// comes twice the last one wins, and `<<` takes effect where it stands: it overwrites keys above it and is
    /// overwritten by keys below.
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
/// sigs.k8s.io/yaml. Within a budget of its own.
pub fn parse(text: &str) -> Result<Value, YamlError> {
    parse_with(text, Options::default(), &Budget::default())
}

/// [`parse`] by other rules, within other bounds and within the `budget` of a render.
pub fn parse_with(text: &str, options: Options, budget: &Budget) -> Result<Value, YamlError> {
    Ok(grammar(text, options, None, budget)?.document()?.unwrap_or(Value::Null))
}

/// Every document of `text` by YAML's own rules for streams and [`Rules::Strict`]; an empty document is null. Within a
/// budget of its own.
pub fn parse_all(text: &str) -> Result<Vec<Value>, YamlError> {
    parse_all_with(text, Options::default(), &Budget::default())
}

/// [`parse_all`] by other rules, within other bounds and within the `budget` of a render.
pub fn parse_all_with(text: &str, options: Options, budget: &Budget) -> Result<Vec<Value>, YamlError> {
    let mut grammar = grammar(text, options, None, budget)?;
    let mut documents = Vec::new();
    while let Some(document) = grammar.document()? {
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

/// `bytes` as text: of UTF-8, or of UTF-16 where a byte order mark says so, as Go's readers of YAML take it.
pub fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, YamlError> {
    let (rest, unit): (_, fn([u8; 2]) -> u16) = match bytes {
        [0xff, 0xfe, rest @ ..] => (rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => (rest, u16::from_be_bytes),
        _ => return utf8(bytes).map(Cow::Borrowed),
    };
    let units: Vec<u16> = rest.as_chunks().0.iter().map(|pair| unit(*pair)).collect();
    let text = String::from_utf16(&units).ok().filter(|_| rest.len().is_multiple_of(2));
    text.map(Cow::Owned).ok_or(YamlError { line: 1, kind: YamlErrorKind::NotUtf8 })
}

/// Every document of a manifest file as Kubernetes' decoder finds them ([`split`](super::split)), each read by itself:
/// anchors do not reach into the next document, and empty documents are left out. Lines in errors are the file's.
/// Within the `budget` of a render.
pub fn parse_manifests(text: &str, options: Options, budget: &Budget) -> Result<Vec<Value>, YamlError> {
    let mut documents = Vec::new();
    for (line, chunk) in super::split(text) {
        if documents.len() >= options.limits.documents {
            return Err(YamlError { line, kind: YamlErrorKind::TooManyDocuments(options.limits.documents) });
        }
        let at = |e: YamlError| YamlError { line: e.line + line - 1, ..e };
        match parse_with(chunk, options, budget).map_err(at)? {
            Value::Null => {}
            document => documents.push(document),
        }
    }
    Ok(documents)
}

/// Makes JSON values.
struct Json {
    rules: Rules,
    recorder: Option<Recorder>,
}

/// Marks by JSON pointer, as far as the document has been read.
#[derive(Default)]
struct Recorder {
    path: String,
    marks: BTreeMap<String, Mark>,
}

impl Recorder {
    fn enter(&mut self, step: &str) {
        self.path.push('/');
        self.path.push_str(&step.replace('~', "~0").replace('/', "~1"));
    }
}

fn grammar<'a>(
    text: &'a str,
    options: Options,
    recorder: Option<Recorder>,
    budget: &'a Budget,
) -> Result<Grammar<'a, Json>, YamlError> {
    let json = Json { rules: options.rules, recorder };
    Ok(Grammar::new(text, json, options.limits, budget)?.strictly_1_1(options.rules == Rules::Lenient))
}

/// The only document of `text` by [`Rules::Strict`], with the places of everything in it by JSON pointer. Several
/// documents are [`YamlErrorKind::TooManyDocuments`].
pub(crate) fn parse_marked(text: &str) -> Result<(Value, BTreeMap<String, Mark>), YamlError> {
    let limits = Limits { documents: 1, ..Limits::default() };
    let options = Options { limits, ..Options::default() };
    let budget = Budget::default();
    let mut grammar = grammar(text, options, Some(Recorder::default()), &budget)?;
    let value = grammar.document()?.unwrap_or(Value::Null);
    grammar.document()?;
    Ok((value, grammar.into_builder().recorder.unwrap_or_default().marks))
}

impl Builder for Json {
    type Node = Value;
    type Map = Mapping;

    fn null(&self) -> Value {
        Value::Null
    }

    fn scalar(&mut self, Scalar { text, plain, tag, .. }: Scalar<'_>) -> Result<Value, YamlErrorKind> {
        Ok(match tag {
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
        })
    }

    fn list(&mut self, items: Vec<Value>) -> Value {
        Value::Array(items)
    }

    fn start_map(&mut self) -> Mapping {
        Mapping { map: Map::new(), merged: Vec::new() }
    }

    fn add(
        &mut self,
        mapping: &mut Mapping,
        key: Value,
        value: Value,
        merges: bool,
        _: usize,
    ) -> Result<(), YamlErrorKind> {
        let lenient = self.rules == Rules::Lenient;
        if merges {
            let sources = merge_sources(value).ok_or(YamlErrorKind::BadMerge)?;
            if lenient {
                // Earlier sources take precedence over later ones: they are written last.
                sources.into_iter().rev().for_each(|source| mapping.map.extend(source));
            } else {
                mapping.merged.extend(sources);
            }
            return Ok(());
        }
        match mapping.map.entry(key_text(key)?) {
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

    fn map(&mut self, Mapping { mut map, merged }: Mapping) -> Result<Value, YamlError> {
        for (key, value) in merged.into_iter().flatten() {
            map.entry(key).or_insert(value);
        }
        Ok(Value::Object(map))
    }

    fn enter_key(&mut self, key: &Value) {
        if let Some(recorder) = &mut self.recorder {
            recorder.enter(key.as_str().unwrap_or_default());
        }
    }

    fn enter_item(&mut self, index: usize) {
        if let Some(recorder) = &mut self.recorder {
            recorder.enter(&index.to_string());
        }
    }

    fn leave(&mut self, mark: Mark) -> usize {
        let Some(recorder) = &mut self.recorder else { return 0 };
        let kept = recorder.path.len() + 2 * size_of::<(String, Mark)>();
        recorder.marks.insert(recorder.path.clone(), mark);
        // A slash in a key is escaped: the last one begins the step that is left.
        recorder.path.truncate(recorder.path.rfind('/').unwrap_or_default());
        kept
    }
}

/// A mapping as it grows, and those that it merges in the end.
struct Mapping {
    map: Map<String, Value>,
    merged: Vec<Map<String, Value>>,
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
