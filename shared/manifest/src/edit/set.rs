//! Sets one value of a YAML or JSON file, wherever it stands.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::EditError;
use super::text::{Editor, block, flow, scalar};
use crate::yaml::Mark;

/// One step of the way to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A key of a mapping.
    Key(String),
    /// An item of a list, from 0.
    Item(usize),
}

/// Aliases that are followed, one from the next.
const MAX_ALIASES: usize = 8;

/// The steps of a path in the notation of Helm's parameters, `a.b[1].c` (argoproj-labs/argocd-image-updater
/// `pkg/argocd/update.go`, setHelmValue); one key where `root` has it as a whole. `None` where an index is no number.
pub fn steps(root: &Value, path: &str) -> Option<Vec<Step>> {
    if root.get(path).is_some() {
        return Some(vec![Step::Key(path.to_owned())]);
    }
    let mut steps = Vec::new();
    for part in path.split('.') {
        let Some((key, index)) = part.strip_suffix(']').and_then(|part| part.split_once('[')) else {
            steps.push(Step::Key(part.to_owned()));
            continue;
        };
        steps.push(Step::Key(key.to_owned()));
        for index in index.split("][") {
            steps.push(Step::Item(index.parse().ok()?));
        }
    }
    Some(steps)
}

/// The value at `path` below `root`.
pub fn value_at<'v>(root: &'v Value, path: &[Step]) -> Option<&'v Value> {
    path.iter().try_fold(root, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Item(index) => value.get(index),
    })
}

/// `text`, whose documents are counted as Kubernetes splits them, with `value` at `path` of its document `document`;
/// `None` where it says so already. A scalar takes the place of another; what is not there is added, with all that is
/// missing on the way, at the end of its mapping or list, in the style of the file. Where an alias is on the way, the
/// anchored value is changed.
pub fn set(text: &str, document: usize, path: &[Step], value: &Value) -> Result<Option<String>, EditError> {
    let (from, to) = documents(text).get(document).copied().ok_or(EditError::NoDocument(document))?;
    let part = text.get(from..to).unwrap_or_default();
    let Some(edited) = set_one(part, path, value)? else { return Ok(None) };
    let (before, after) = (text.get(..from).unwrap_or_default(), text.get(to..).unwrap_or_default());
    Ok(Some(format!("{before}{edited}{after}")))
}

/// The bytes of the plain scalar at `path` of the document `document`: of `1.10`, whose value is the number 1.1. `None`
/// where there is none, or it is quoted.
pub fn written(text: &str, document: usize, path: &[Step]) -> Option<String> {
    let (from, to) = documents(text).get(document).copied()?;
    let (root, editor) = Editor::read(text.get(from..to)?).ok()?;
    let path = editor.follow(path);
    let is_plain = value_at(&root, &path).is_some_and(|value| !value.is_string() && !value.is_null());
    let bytes = editor.mark(&path).map(|mark| editor.written(mark))?;
    (is_plain && !bytes.starts_with(['{', '['])).then(|| bytes.to_owned())
}

/// A single value with a comment behind it on its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commented {
    /// Index of the document.
    pub document: usize,
    /// The way to the value.
    pub path: Vec<Step>,
    /// The value, as its bytes are.
    pub value: String,
    /// The comment, from behind its `#`.
    pub comment: String,
}

/// Every single value of `text` that has a comment behind it on its line; none of documents that can't be read.
pub fn commented(text: &str) -> Vec<Commented> {
    let mut found = Vec::new();
    for (document, (from, to)) in documents(text).into_iter().enumerate() {
        let part = text.get(from..to).unwrap_or_default();
        if !part.contains('#') {
            continue;
        }
        let Ok((root, editor)) = Editor::read(part) else { continue };
        let mut open = vec![(Vec::new(), &root)];
        while let Some((path, value)) = open.pop() {
            let below = |step: Step| [path.as_slice(), &[step]].concat();
            match value {
                Value::Object(map) => {
                    open.extend(map.iter().map(|(key, value)| (below(Step::Key(key.clone())), value)))
                }
                Value::Array(list) => {
                    open.extend(list.iter().enumerate().map(|(index, value)| (below(Step::Item(index)), value)));
                }
                _ => {
                    let Some(mark) = editor.mark(&path) else { continue };
                    let rest = part.get(mark.value.1..editor.line_end(mark.value.1)).unwrap_or_default();
                    let Some((between, comment)) = rest.split_once('#') else { continue };
                    // A comment has a space before it; what stands between belongs to what is around the value.
                    if between.ends_with([' ', '\t']) && between.trim().is_empty() {
                        let value = value.as_str().map_or_else(|| editor.written(mark).to_owned(), str::to_owned);
                        found.push(Commented { document, path, value, comment: comment.to_owned() });
                    }
                }
            }
        }
    }
    found
}

/// The bytes of each document. A text of one document is that document as a whole, with its `---` and `...`.
fn documents(text: &str) -> Vec<(usize, usize)> {
    let start = text.as_ptr().addr();
    let range = |part: &str| (part.as_ptr().addr() - start, part.as_ptr().addr() - start + part.len());
    let found: Vec<_> = crate::yaml::split(text).map(|(_, part)| range(part)).collect();
    if found.len() <= 1 { vec![(0, text.len())] } else { found }
}

fn set_one(text: &str, path: &[Step], value: &Value) -> Result<Option<String>, EditError> {
    let (before, editor) = Editor::read(text)?;
    let path = editor.follow(path);
    let mut wanted = before.clone();
    if value_at(&before, &path) == Some(value) {
        return Ok(None);
    }
    put(&mut wanted, &path, value, "")?;
    let right = |edited: &String| {
        Editor::read(edited).is_ok_and(|(after, _)| after == wanted || is_shared(&before, &after, &path, value))
    };
    let old = value_at(&before, &path).filter(|old| !old.is_null());
    let edited = match old {
        Some(_) if editor.mark(&path).is_some() => editor.replace(&path, value),
        // Not there, or merged from elsewhere by `<<`.
        _ => editor.insert(&before, &path, value),
    };
    edited.filter(right).map(Some).ok_or_else(|| EditError::NotAlone(words(&path)))
}

/// `path` as messages write it.
fn words(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => text.extend([".", key]),
            Step::Item(index) => {
                let _ = write!(text, "[{index}]");
            }
        }
    }
    text
}

/// Puts `value` at `path`; `at` is the path so far, for errors.
fn put(target: &mut Value, path: &[Step], value: &Value, at: &str) -> Result<(), EditError> {
    let Some((step, rest)) = path.split_first() else {
        if target.is_object() || target.is_array() {
            return Err(EditError::Shape(format!("`{at}`"), "a single value"));
        }
        *target = value.clone();
        return Ok(());
    };
    if target.is_null() {
        *target = match step {
            Step::Key(_) => Value::Object(Map::new()),
            Step::Item(_) => Value::Array(Vec::new()),
        };
    }
    let below = |step: &Step| match step {
        Step::Key(key) if at.is_empty() => key.clone(),
        Step::Key(key) => format!("{at}.{key}"),
        Step::Item(index) => format!("{at}[{index}]"),
    };
    let named = || if at.is_empty() { "the file".to_owned() } else { format!("`{at}`") };
    match (step, target) {
        (Step::Key(key), Value::Object(map)) => {
            put(map.entry(key.clone()).or_insert(Value::Null), rest, value, &below(step))
        }
        (Step::Key(_), Value::Array(_)) => Err(EditError::Shape(named(), "a mapping, or the path have an index")),
        (Step::Key(_), _) => Err(EditError::Shape(named(), "a mapping")),
        (Step::Item(index), Value::Array(list)) => {
            if *index == list.len() {
                list.push(Value::Null);
            }
            match list.get_mut(*index) {
                Some(item) => put(item, rest, value, &below(step)),
                None => Err(EditError::NoItem(at.to_owned(), *index)),
            }
        }
        (Step::Item(_), _) => Err(EditError::Shape(named(), "a list")),
    }
}

/// Whether `after` is `before` with `value` at `path`, and at other places where aliases show the same old value.
fn is_shared(before: &Value, after: &Value, path: &[Step], value: &Value) -> bool {
    let Some(old) = value_at(before, path) else { return false };
    value_at(after, path) == Some(value) && differs_only(before, after, old, value)
}

fn differs_only(before: &Value, after: &Value, old: &Value, new: &Value) -> bool {
    match (before, after) {
        _ if before == after => true,
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| differs_only(value, other, old, new)))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(value, other)| differs_only(value, other, old, new))
        }
        _ => before == old && after == new,
    }
}

fn pointer(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        text.push('/');
        match step {
            Step::Key(key) => text.push_str(&key.replace('~', "~0").replace('/', "~1")),
            Step::Item(index) => text.push_str(&index.to_string()),
        }
    }
    text
}

impl Editor<'_> {
    fn mark(&self, path: &[Step]) -> Option<&Mark> {
        self.marks.get(&pointer(path))
    }

    fn written(&self, mark: &Mark) -> &str {
        self.text.get(mark.value.0..mark.value.1).unwrap_or_default()
    }

    /// `path`, or where the values stand that aliases on it name.
    fn follow(&self, path: &[Step]) -> Vec<Step> {
        let mut path = path.to_vec();
        for _ in 0..MAX_ALIASES {
            let alias = (1..=path.len()).find_map(|length| {
                let mark = self.mark(path.get(..length)?)?;
                let name = self.written(mark).strip_prefix('*')?.trim();
                Some((length, self.anchored(name, mark.value.0)?))
            });
            let Some((length, mut anchored)) = alias else { break };
            anchored.extend_from_slice(path.get(length..).unwrap_or_default());
            path = anchored;
        }
        path
    }

    /// The way to the last value before `end` that has the anchor `name`.
    fn anchored(&self, name: &str, end: usize) -> Option<Vec<Step>> {
        let anchor = format!("&{name}");
        let has = |mark: &Mark| {
            let between = self.text.get(mark.key.1..mark.value.0).unwrap_or_default();
            mark.value.0 < end && between.split_whitespace().any(|word| word == anchor)
        };
        let (at, _) = self.marks.iter().filter(|(_, mark)| has(mark)).max_by_key(|(_, mark)| mark.value.0)?;
        let mut steps = Vec::new();
        let mut known = String::new();
        for part in at.split('/').skip(1) {
            let is_item = self.marks.get(&format!("{known}/{part}")).is_some_and(|mark| self.is_item(mark));
            known.extend(["/", part]);
            steps.push(match part.parse() {
                Ok(index) if is_item => Step::Item(index),
                _ => Step::Key(part.replace("~1", "/").replace("~0", "~")),
            });
        }
        Some(steps)
    }

    /// Whether a mark is that of a list's item: its key is a dash, or nothing.
    fn is_item(&self, mark: &Mark) -> bool {
        mark.key.0 == mark.key.1 || self.text.get(mark.key.0..mark.key.1) == Some("-")
    }

    fn replace(&self, path: &[Step], value: &Value) -> Option<String> {
        let mark = self.mark(path)?;
        let old = self.written(mark);
        let space = if old.is_empty() { " " } else { "" };
        let new = match value {
            Value::String(text) if mark.flow && !old.starts_with('\'') && !self.quote(mark.key.0).is_empty() => {
                scalar(text, "\"", true)
            }
            Value::String(text) => scalar(text, old, mark.flow),
            other => flow(other, ""),
        };
        self.apply(vec![(mark.value.0, mark.value.1, format!("{space}{new}"))])
    }

    /// Adds what of `path` is not there: the value, within the mappings and lists that are missing on the way.
    fn insert(&self, root: &Value, path: &[Step], value: &Value) -> Option<String> {
        // The deepest collection that is there.
        let there = |length: &usize| {
            path.get(..*length).and_then(|path| value_at(root, path)).is_some_and(|value| !value.is_null())
        };
        let depth = (0..path.len()).rev().find(there).unwrap_or_default();
        let (above, below) = path.split_at_checked(depth)?;
        let (step, rest) = below.split_first()?;
        let inner = rest.iter().rev().fold(value.clone(), |inner, step| match step {
            Step::Key(key) => Value::Object([(key.clone(), inner)].into_iter().collect()),
            Step::Item(_) => Value::Array(vec![inner]),
        });
        // `key:` without a value.
        if let Some(mark) = self.mark(path.get(..=depth)?) {
            return self.fill(mark, &inner);
        }
        let last = self.last_below(above);
        let whole = match step {
            Step::Key(key) => Value::Object([(key.clone(), inner.clone())].into_iter().collect()),
            Step::Item(_) => Value::Array(vec![inner.clone()]),
        };
        let Some(last) = last else {
            // `{}`, `[]` or an empty file.
            return match self.mark(above) {
                Some(mark) if mark.flow || self.is_item(mark) => {
                    let quote = if mark.flow { self.quote(mark.key.0) } else { "" };
                    self.apply(vec![(mark.value.0, mark.value.1, flow(&whole, quote))])
                }
                Some(mark) => self.fill(mark, &whole),
                None if self.text.trim_end().ends_with("{}") => {
                    let at = self.text.rfind("{}")?;
                    self.apply(vec![(at, at + 2, flow(&whole, "\""))])
                }
                None => Some(format!("{}{}\n", self.text, block(&whole, "", "\n"))),
            };
        };
        if last.flow {
            let quote = self.quote(last.key.0);
            let whole = flow(&whole, quote);
            let bare = whole.get(1..whole.len() - 1)?;
            return self.apply(vec![(last.value.1, last.value.1, format!(", {bare}"))]);
        }
        let (indent, eol) = (self.indent(last.key.0), self.eol(last.value.1));
        let text = block(&whole, &indent, eol);
        if above.is_empty() {
            let (at, before, after) = self.end()?;
            let (before, after) = (if before { eol } else { "" }, if after { eol } else { "" });
            return self.apply(vec![(at, at, format!("{before}{indent}{text}{after}"))]);
        }
        let at = self.line_end(last.value.1.max(last.key.1));
        self.apply(vec![(at, at, format!("{eol}{indent}{text}"))])
    }

    /// Gives a key the value that it lacks, or that is an empty collection.
    fn fill(&self, mark: &Mark, value: &Value) -> Option<String> {
        let (from, to) = mark.value;
        if mark.flow || !(value.is_object() || value.is_array()) || self.is_item(mark) {
            let space = if from == to { " " } else { "" };
            let text = flow(value, if mark.flow { self.quote(mark.key.0) } else { "" });
            return self.apply(vec![(from, to, format!("{space}{text}"))]);
        }
        let eol = self.eol(from);
        let mut indent = self.indent(mark.key.0);
        indent.push_str(if value.is_array() { self.list_indent() } else { "  " });
        let text = format!("{eol}{indent}{}", block(value, &indent, eol));
        if from == to {
            let at = self.line_end(to);
            return self.apply(vec![(at, at, text)]);
        }
        let start = self.text.get(..from)?.trim_end().len();
        self.apply(vec![(start, to, text)])
    }

    /// The last entry or item directly below `path`.
    fn last_below(&self, path: &[Step]) -> Option<&Mark> {
        let prefix = format!("{}/", pointer(path));
        let direct = |at: &String| at.strip_prefix(&prefix).is_some_and(|rest| !rest.contains('/'));
        let below = self.marks.iter().filter(|(at, _)| direct(at));
        below.map(|(_, mark)| mark).max_by_key(|mark| (mark.key.0, mark.value.0))
    }
}
