//! Edits of a file's text that change the bytes they have to and no others.
//!
//! [`set_image`] does what `kustomize edit set image` does (kubernetes-sigs/kustomize
//! `kustomize/commands/edit/set/setimage.go`) without rewriting the file: comments, order, quoting, line ends,
//! indentation and flow style stay. Every edit is read back before it is given out.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::yaml::{self, Mark, YamlError};
use text::{Change, Editor, block, flow, scalar};

mod set;
mod text;

pub use set::{Commented, Step, commented, set, steps, value_at, written};

/// An entry of a kustomization's `images`: what the entry of this name is to say. A field that is `None` is taken
/// out of the entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Image {
    /// `name`: the image as the manifests name it.
    pub name: String,
    /// `newName`.
    pub new_name: Option<String>,
    /// `newTag`.
    pub new_tag: Option<String>,
    /// `digest`.
    pub digest: Option<String>,
}

/// Why a file can't be edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The file is not YAML, or has several documents where one is expected.
    #[error("the file can't be read as YAML")]
    Yaml(#[source] YamlError),
    /// The file is empty or holds no mapping, or `images` is no list of mappings.
    #[error("{0} must be {1}")]
    Shape(String, &'static str),
    /// Several entries for one image.
    #[error("`images` has more than one entry for `{0}`: merge them")]
    Ambiguous(String),
    /// The edit would have changed something else too, as where an anchor shares the value.
    #[error("`{0}` can't be changed alone (is it shared by an anchor, or in a block?): edit it by hand")]
    NotAlone(String),
    /// A list without the item that a path names.
    #[error("`{0}` has no item {1}")]
    NoItem(String, usize),
    /// A file without the document that is to be edited.
    #[error("the file has no document {0}")]
    NoDocument(usize),
}

/// `text`, a kustomization, with its entry for `image.name` as `image` says; `None` where it already says so.
pub fn set_image(text: &str, image: &Image) -> Result<Option<String>, EditError> {
    let (value, editor) = Editor::read(text)?;
    let Value::Object(root) = &value else {
        return Err(EditError::Shape("the kustomization".to_owned(), "a mapping"));
    };
    let (edited, wanted) = if let Some((index, entry)) = find(root, &image.name)? {
        let wanted = desired(entry, image);
        if same(entry, &wanted) {
            return Ok(None);
        }
        (vec![editor.change_entry(index, entry, &wanted)], with_entry(root, Some(index), wanted))
    } else {
        let wanted = desired(&Map::new(), image);
        // A block text at the file's end takes what is put behind it for its own line break: then to the front.
        let places = [false, true].map(|front| editor.add_entry(root, &wanted, front));
        (places.to_vec(), with_entry(root, None, wanted))
    };
    let wanted = Value::Object(wanted);
    let right = |text: &String| yaml::parse_marked(text).is_ok_and(|(after, _)| after == wanted);
    let edited = edited.into_iter().flatten().find(right);
    edited.map(Some).ok_or_else(|| EditError::NotAlone(image.name.clone()))
}

const FIELDS: [&str; 3] = ["newName", "newTag", "digest"];

/// An entry of `images` and its index.
type Entry<'a> = (usize, &'a Map<String, Value>);

/// The entry of that name.
fn find<'a>(root: &'a Map<String, Value>, name: &str) -> Result<Option<Entry<'a>>, EditError> {
    let list = match root.get("images") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(EditError::Shape("`images`".to_owned(), "a list")),
    };
    let mut found = None;
    for (index, entry) in list.iter().enumerate() {
        let Value::Object(entry) = entry else {
            return Err(EditError::Shape(format!("`images[{index}]`"), "a mapping"));
        };
        if entry.get("name").and_then(Value::as_str) == Some(name) {
            if found.is_some() {
                return Err(EditError::Ambiguous(name.to_owned()));
            }
            found = Some((index, entry));
        }
    }
    Ok(found)
}

/// The entry as it shall be; fields that `kustomize` does not set through an image stay.
fn desired(entry: &Map<String, Value>, image: &Image) -> Map<String, Value> {
    let mut wanted = entry.clone();
    wanted.entry("name").or_insert_with(|| Value::String(image.name.clone()));
    for (field, value) in FIELDS.into_iter().zip([&image.new_name, &image.new_tag, &image.digest]) {
        match value {
            Some(text) => {
                wanted.insert(field.to_owned(), Value::String(text.clone()));
            }
            None => {
                wanted.shift_remove(field);
            }
        }
    }
    wanted
}

/// Whether the entry says what is wanted. An unquoted number does not: kustomize refuses it where a text belongs.
fn same(entry: &Map<String, Value>, wanted: &Map<String, Value>) -> bool {
    let nothing = |key: &String| FIELDS.contains(&key.as_str()) && entry.get(key).is_some_and(Value::is_null);
    wanted.iter().all(|(key, value)| entry.get(key) == Some(value))
        && entry.keys().all(|key| wanted.contains_key(key) || nothing(key))
}

fn with_entry(root: &Map<String, Value>, index: Option<usize>, entry: Map<String, Value>) -> Map<String, Value> {
    let mut root = root.clone();
    let images = root.entry("images").or_insert(Value::Null);
    if images.is_null() {
        *images = Value::Array(Vec::new());
    }
    if let Value::Array(list) = images {
        match index.and_then(|index| list.get_mut(index)) {
            Some(slot) => *slot = Value::Object(entry),
            None => list.push(Value::Object(entry)),
        }
    }
    root
}

impl Editor<'_> {
    fn field(&self, index: usize, field: &str) -> Option<&Mark> {
        self.marks.get(&format!("/images/{index}/{field}"))
    }

    fn change_entry(&self, index: usize, entry: &Map<String, Value>, wanted: &Map<String, Value>) -> Option<String> {
        let mut changes = Vec::new();
        let mut added = Vec::new();
        for field in FIELDS {
            match (entry.get(field), wanted.get(field).and_then(Value::as_str)) {
                (Some(old), Some(new)) if old.as_str() == Some(new) => {}
                (Some(_), Some(new)) => {
                    let mark = self.field(index, field)?;
                    let old = self.text.get(mark.value.0..mark.value.1)?;
                    let space = if old.is_empty() { " " } else { "" };
                    changes.push((mark.value.0, mark.value.1, format!("{space}{}", scalar(new, old, mark.flow))));
                }
                (Some(_), None) => changes.push(self.removal(index, field)?),
                (None, Some(new)) => added.push((field, new)),
                (None, None) => {}
            }
        }
        if !added.is_empty() {
            let name = self.field(index, "name")?;
            let mut text = String::new();
            for (field, new) in added {
                if name.flow {
                    let quote = self.quote(name.key.0);
                    let _ = write!(text, ", {quote}{field}{quote}: {}", scalar(new, quote, true));
                } else {
                    let eol = self.eol(name.key.0);
                    let _ = write!(text, "{eol}{}{field}: {}", self.indent(name.key.0), scalar(new, "", false));
                }
            }
            let at = if name.flow { name.value.1 } else { self.line_end(name.value.1) };
            changes.push((at, at, text));
        }
        self.apply(changes)
    }

    /// What takes a field out of its mapping, together with its line where that holds nothing else.
    fn removal(&self, index: usize, field: &str) -> Option<Change> {
        let mark = self.field(index, field)?;
        let prefix = format!("/images/{index}/");
        let mut siblings: Vec<&Mark> = self
            .marks
            .iter()
            .filter(|(path, _)| path.strip_prefix(&prefix).is_some_and(|rest| !rest.contains('/')))
            .map(|(_, mark)| mark)
            .collect();
        siblings.sort_by_key(|mark| mark.key.0);
        let place = siblings.iter().position(|sibling| sibling.key == mark.key)?;
        let next = siblings.get(place + 1);
        let line = self.line_start(mark.key.0);
        if !mark.flow && self.text.get(line..mark.key.0)?.trim().is_empty() {
            let end = self.line_end(mark.value.1);
            let end =
                end + if self.text.get(end..)?.starts_with("\r\n") { 2 } else { usize::from(end < self.text.len()) };
            // The last line of a file without a final line break: the break before it goes instead.
            let cut = if end == self.text.len() && !self.text.ends_with('\n') {
                self.eol(line.saturating_sub(1)).len()
            } else {
                0
            };
            return Some((line - cut, end, String::new()));
        }
        match (next, place.checked_sub(1).and_then(|before| siblings.get(before))) {
            (Some(next), _) => Some((mark.key.0, next.key.0, String::new())),
            (None, Some(before)) if mark.flow => Some((before.value.1, mark.value.1, String::new())),
            _ => None,
        }
    }

    fn add_entry(&self, root: &Map<String, Value>, entry: &Map<String, Value>, front: bool) -> Option<String> {
        let entry = Value::Object(entry.clone());
        let block = |indent: &str, eol: &str| format!("{indent}- {}", block(&entry, &format!("{indent}  "), eol));
        let Some(images) = self.marks.get("/images") else {
            return self.add_images(&entry, &block, front);
        };
        let quote = self.quote(images.key.0);
        let in_flow = flow(&entry, quote);
        let count = root.get("images").and_then(Value::as_array).map_or(0, Vec::len);
        let last = count.checked_sub(1).and_then(|last| self.marks.get(&format!("/images/{last}")));
        let (at, to, text) = match last {
            Some(last) if last.flow => (last.value.1, last.value.1, format!(", {in_flow}")),
            Some(last) => {
                let (at, eol) = (self.line_end(last.value.1), self.eol(last.value.1));
                (at, at, format!("{eol}{}", block(&self.indent(last.key.0), eol)))
            }
            // `[]`, or nothing behind the colon.
            None if images.value.0 < images.value.1 => (images.value.0, images.value.1, format!("[{in_flow}]")),
            None if images.flow => (images.value.0, images.value.0, format!(" [{in_flow}]")),
            None => {
                let (at, eol) = (self.line_end(images.value.1), self.eol(images.value.1));
                let indent = self.indent(images.key.0) + self.list_indent();
                (at, at, format!("{eol}{}", block(&indent, eol)))
            }
        };
        self.apply(vec![(at, to, text)])
    }

    /// Adds the whole `images` behind the last field of the kustomization, or before the first.
    fn add_images(&self, entry: &Value, block: &dyn Fn(&str, &str) -> String, front: bool) -> Option<String> {
        let top = |(path, _): &(&String, &Mark)| path.matches('/').count() == 1;
        let Some((_, first)) = self.marks.iter().filter(top).min_by_key(|(_, mark)| mark.key.0) else {
            // `{}`, which may be JSON.
            let at = self.text.find('{')? + 1;
            return self.apply(vec![(at, at, format!("\"images\": [{}]", flow(entry, "\"")))]);
        };
        let (_, last) = self.marks.iter().filter(top).max_by_key(|(_, mark)| mark.key.0)?;
        if last.flow {
            let quote = self.quote(last.key.0);
            let text = format!(", {quote}images{quote}: [{}]", flow(entry, quote));
            return self.apply(vec![(last.value.1, last.value.1, text)]);
        }
        let (indent, eol) = (self.indent(last.key.0), self.eol(last.value.1));
        let body = format!("{indent}images:{eol}{}", block(&format!("{indent}{}", self.list_indent()), eol));
        if front {
            let at = self.line_start(first.key.0);
            return self.apply(vec![(at, at, format!("{body}{eol}"))]);
        }
        let (at, before, after) = self.end()?;
        self.apply(vec![(at, at, format!("{}{body}{}", if before { eol } else { "" }, if after { eol } else { "" }))])
    }
}

#[cfg(test)]
mod tests;
