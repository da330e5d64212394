//! The text of a file, where its values stand in it, and replacements of single bytes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::EditError;
use crate::yaml::{self, Mark};

/// A document and where its values stand, by JSON pointer.
pub(super) struct Editor<'a> {
    pub(super) text: &'a str,
    pub(super) marks: BTreeMap<String, Mark>,
}

/// Bytes to replace, and by what.
pub(super) type Change = (usize, usize, String);

impl<'a> Editor<'a> {
    /// Reads the one document of `text`.
    pub(super) fn read(text: &'a str) -> Result<(Value, Self), EditError> {
        let (value, mut marks) = yaml::parse_marked(text).map_err(EditError::Yaml)?;
        // A block text, and what ends with one, takes the line breaks behind it along, and the indentation of the next
        // line: they are the file's.
        for mark in marks.values_mut() {
            let mut written = text.get(mark.value.0..mark.value.1).unwrap_or_default();
            while let Some(line) = written.trim_end_matches(' ').strip_suffix('\n') {
                written = line.trim_end_matches('\r');
            }
            mark.value.1 = mark.value.0 + written.len();
        }
        Ok((value, Self { text, marks }))
    }

    /// The line break of the line that `at` is on; of the one before it where it is the last.
    pub(super) fn eol(&self, at: usize) -> &'static str {
        let (before, after) = self.text.split_at_checked(at).unwrap_or((self.text, ""));
        let of = |text: &str, newline: usize| {
            if text.get(..newline).is_some_and(|line| line.ends_with('\r')) { "\r\n" } else { "\n" }
        };
        let next = after.find('\n').map(|newline| of(after, newline));
        next.or_else(|| before.rfind('\n').map(|newline| of(before, newline))).unwrap_or("\n")
    }

    pub(super) fn apply(&self, mut changes: Vec<Change>) -> Option<String> {
        changes.sort_by_key(|change| (change.0, change.1));
        let mut out = String::with_capacity(self.text.len() + 64);
        let mut at = 0;
        for (from, to, text) in changes {
            out.push_str(self.text.get(at..from)?);
            out.push_str(&text);
            at = to;
        }
        out.push_str(self.text.get(at..)?);
        Some(out)
    }

    /// The end of the line that `at` is on, before its line break.
    pub(super) fn line_end(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        at + rest.find(['\n', '\r']).unwrap_or(rest.len())
    }

    pub(super) fn line_start(&self, at: usize) -> usize {
        self.text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
    }

    /// Spaces up to the column of `at`.
    pub(super) fn indent(&self, at: usize) -> String {
        " ".repeat(self.column(at))
    }

    fn column(&self, at: usize) -> usize {
        let start = self.line_start(at);
        let mark = if start == 0 && self.text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        at.saturating_sub(start + mark)
    }

    /// The quote that a new key beside the one at `at` needs: JSON's keys have one.
    pub(super) fn quote(&self, at: usize) -> &'static str {
        if self.text.get(at..).is_some_and(|key| key.starts_with('"')) { "\"" } else { "" }
    }

    /// Where the document of a block mapping ends, and whether what is added there needs a line break before and
    /// behind it: `...` ends a document, and what is added goes before that.
    pub(super) fn end(&self) -> Option<(usize, bool, bool)> {
        let last = self.marks.values().map(|mark| mark.value.1.max(mark.key.1)).max()?;
        let rest = self.text.get(last..)?;
        let mark = ["\n...", "\n---"].iter().filter_map(|mark| rest.find(mark)).min();
        let end = mark.map_or(self.text.len(), |at| last + at + 1);
        let open = !self.text.get(..end)?.ends_with('\n');
        Some((end, open, !open))
    }

    /// How far the file indents lists below their key.
    pub(super) fn list_indent(&self) -> &'static str {
        let indented = self.marks.iter().any(|(path, mark)| {
            let Some(parent) = path.strip_suffix("/0").and_then(|parent| self.marks.get(parent)) else { return false };
            !mark.flow && !parent.flow && self.column(mark.key.0) > self.column(parent.key.0)
        });
        if indented { "  " } else { "" }
    }
}

/// `text` as a scalar: quoted as `old` was, or where it would else be read as something else.
pub(super) fn scalar(text: &str, old: &str, flow: bool) -> String {
    let double = || Value::String(text.to_owned()).to_string();
    match old.chars().next() {
        Some('\'') if !text.contains(|c: char| c.is_control()) => format!("'{}'", text.replace('\'', "''")),
        Some('"') => double(),
        _ if is_plain(text, flow) => text.to_owned(),
        _ => double(),
    }
}

/// Whether every reader of YAML, old or new, takes the bare `text` for text.
fn is_plain(text: &str, flow: bool) -> bool {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | ':' | '+' | '@');
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '/'))
        && text.chars().all(safe)
        && !text.ends_with(':')
        && !(flow && text.contains(':') && text.contains([',', '[', ']', '{', '}']))
        && !yaml::is_quoted_by_go(text)
}

/// `value` in flow style, keys within `quote`.
pub(super) fn flow(value: &Value, quote: &str) -> String {
    match value {
        Value::Object(map) => {
            let one = |(key, value): (&String, &Value)| format!("{quote}{key}{quote}: {}", flow(value, quote));
            format!("{{{}}}", map.iter().map(one).collect::<Vec<_>>().join(", "))
        }
        Value::Array(list) => {
            format!("[{}]", list.iter().map(|one| flow(one, quote)).collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => scalar(text, quote, true),
        other => other.to_string(),
    }
}

/// `value` in block style, for lines that are indented by `indent`; the first line is not.
pub(super) fn block(value: &Value, indent: &str, eol: &str) -> String {
    let below = format!("{indent}  ");
    let entry = |(key, value): (&String, &Value)| {
        let key = scalar(key, "", false);
        match value {
            Value::Object(map) if !map.is_empty() => format!("{key}:{eol}{below}{}", block(value, &below, eol)),
            Value::Array(list) if !list.is_empty() => format!("{key}:{eol}{indent}{}", block(value, indent, eol)),
            value => format!("{key}: {}", block(value, &below, eol)),
        }
    };
    let separator = format!("{eol}{indent}");
    match value {
        Value::Object(map) if !map.is_empty() => map.iter().map(entry).collect::<Vec<_>>().join(&separator),
        Value::Array(list) if !list.is_empty() => {
            list.iter().map(|one| format!("- {}", block(one, &below, eol))).collect::<Vec<_>>().join(&separator)
        }
        Value::String(text) => scalar(text, "", false),
        other => flow(other, ""),
    }
}
