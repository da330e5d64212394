//! Reads a manifest field by field, with errors that name the object and the path, and reports the fields that were not
//! read.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use slipway_manifest::Object;
use slipway_manifest::names::Form;
use slipway_manifest::object::type_name;

use super::AppError;
use super::controls::is_unset;

/// A mapping inside an object. A field that is null counts as missing, as in Go.
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    object: &'a str,
    path: String,
    seen: BTreeSet<&'static str>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(map: &'a Map<String, Value>, object: &'a str, path: &str) -> Self {
        Self { map, object, path: path.to_owned(), seen: BTreeSet::new() }
    }

    pub(super) fn of(object: &'a Object, id: &'a str) -> Self {
        Self::new(object.as_map(), id, "")
    }

    fn at(&self, field: &str) -> String {
        if self.path.is_empty() { field.to_owned() } else { format!("{}.{field}", self.path) }
    }

    fn wrong(&self, field: &str, expected: &'static str, found: &Value) -> AppError {
        let found = type_name(found);
        AppError::WrongType { object: self.object.to_owned(), field: self.at(field), expected, found }
    }

    pub(super) fn missing(&self, field: &str) -> AppError {
        AppError::Missing { object: self.object.to_owned(), field: self.at(field) }
    }

    pub(super) fn invalid(&self, problem: &str) -> AppError {
        AppError::Invalid { object: self.object.to_owned(), problem: problem.to_owned() }
    }

    /// Prefixes `problem` with the object's name.
    pub(super) fn prefixed(&self, problem: &str) -> String {
        format!("{}: {problem}", self.object)
    }

    pub(super) fn remove(&mut self, field: &'static str) -> Option<&'a Value> {
        self.seen.insert(field);
        self.map.get(field).filter(|value| !value.is_null())
    }

    fn typed<T>(
        &mut self,
        field: &'static str,
        expected: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, AppError> {
        let Some(value) = self.remove(field) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.wrong(field, expected, value))
    }

    pub(super) fn text(&mut self, field: &'static str) -> Result<Option<String>, AppError> {
        self.typed(field, "a string", |value| value.as_str().map(str::to_owned))
    }

    pub(super) fn flag(&mut self, field: &'static str) -> Result<Option<bool>, AppError> {
        self.typed(field, "a boolean", Value::as_bool)
    }

    pub(super) fn int(&mut self, field: &'static str) -> Result<Option<i64>, AppError> {
        self.typed(field, "a whole number", Value::as_i64)
    }

    pub(super) fn list(&mut self, field: &'static str) -> Result<Vec<Value>, AppError> {
        Ok(self.typed(field, "a list", |value| value.as_array().cloned())?.unwrap_or_default())
    }

    pub(super) fn texts(&mut self, field: &'static str) -> Result<Vec<String>, AppError> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let texts = self.typed(field, "a list of strings", |value| value.as_array()?.iter().map(text).collect())?;
        Ok(texts.unwrap_or_default())
    }

    pub(super) fn pairs(&mut self, field: &'static str) -> Result<BTreeMap<String, String>, AppError> {
        let pair = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
        let pairs = self.typed(field, "a mapping of strings", |value| value.as_object()?.iter().map(pair).collect())?;
        Ok(pairs.unwrap_or_default())
    }

    pub(super) fn object(&mut self, field: &'static str) -> Result<Option<Self>, AppError> {
        let map = self.typed(field, "a mapping", Value::as_object)?;
        Ok(map.map(|map| Self { map, object: self.object, path: self.at(field), seen: BTreeSet::new() }))
    }

    /// A list of mappings.
    pub(super) fn objects(&mut self, field: &'static str) -> Result<Vec<Self>, AppError> {
        let (object, path) = (self.object, self.at(field));
        let list = self.typed(field, "a list of mappings", |value| {
            value.as_array()?.iter().map(Value::as_object).collect::<Option<Vec<_>>>()
        })?;
        let numbered = list.unwrap_or_default().into_iter().enumerate();
        Ok(numbered
            .map(|(index, map)| Self { map, object, path: format!("{path}[{index}]"), seen: BTreeSet::new() })
            .collect())
    }

    pub(super) fn need_object(&mut self, field: &'static str) -> Result<Self, AppError> {
        self.object(field)?.ok_or_else(|| self.missing(field))
    }

    /// Marks known fields without effect as read.
    pub(super) fn ignore(&mut self, fields: &[&'static str]) {
        self.seen.extend(fields);
    }

    /// Warns of the fields that were not read.
    pub(super) fn finish(self, warnings: &mut Vec<String>) {
        let object = self.object;
        warnings
            .extend(self.unknown().into_iter().map(|field| format!("{object}: unknown field `{field}` has no effect")));
    }

    /// The paths of non-empty fields that were not read.
    pub(super) fn unknown(self) -> Vec<String> {
        let is_other = |(field, value): &(&String, &Value)| !self.seen.contains(field.as_str()) && !is_unset(value);
        self.map.iter().filter(is_other).map(|(field, _)| self.at(field)).collect()
    }

    /// A text that must be a valid name unless it is empty.
    pub(super) fn name(&mut self, field: &'static str, form: Form) -> Result<Option<String>, AppError> {
        let text = self.text(field)?.filter(|text| !text.is_empty());
        if let Some(text) = &text {
            form.check(self.object, &self.at(field), text)?;
        }
        Ok(text)
    }
}
