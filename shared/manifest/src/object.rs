//! A Kubernetes object as data, and the name by which we speak of it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

/// Why a value is not a Kubernetes object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// The document is a list, a number, a text …
    #[error("a Kubernetes object must be a mapping, found {found}")]
    NotAMapping {
        /// What was found instead: `a list`, `a string`, …
        found: &'static str,
    },
    /// A field that every object has is missing, empty or not a string.
    #[error("missing or empty `{field}`{of}")]
    MissingField {
        /// Path of the field, for example `metadata.name`.
        field: &'static str,
        /// ` in Deployment/shop/web`, as far as the object is known; may be empty.
        of: String,
    },
}

/// The identity of an object: group, kind, namespace (empty for cluster-scoped or not yet known) and name.
///
/// Prints as `Deployment/shop/web`; the group is shown where it is neither empty nor one of
/// Kubernetes' own (`Rollout.argoproj.io/shop/web`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// API group, empty for core.
    pub group: String,
    /// Kind, as in the manifest.
    pub kind: String,
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectId {
    /// An id of its four parts.
    pub fn new(
        group: impl Into<String>,
        kind: impl Into<String>,
        namespace: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        Self { group: group.into(), kind: kind.into(), namespace: namespace.into(), name: name.into() }
    }
}

/// Groups of Kubernetes itself, whose kinds nobody else's tool shares: their names read well without the group.
fn is_builtin_group(group: &str) -> bool {
    !group.contains('.') || group.ends_with(".k8s.io") && group != "gateway.networking.k8s.io"
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if !is_builtin_group(&self.group) {
            write!(f, ".{}", self.group)?;
        }
        if !self.namespace.is_empty() {
            write!(f, "/{}", self.namespace)?;
        }
        write!(f, "/{}", self.name)
    }
}

/// A Kubernetes object: a JSON mapping with `apiVersion`, `kind` and `metadata`.
///
/// Keys keep the order in which they were read. A clone is cheap: it shares everything until one of both is changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Object(Arc<Map<String, Value>>);

impl Object {
    /// Takes a parsed document as an object; it must have `apiVersion`, `kind` and a `metadata.name`
    /// or `metadata.generateName`.
    pub fn from_value(value: Value) -> Result<Self, ObjectError> {
        let map = match value {
            Value::Object(map) => map,
            other => return Err(ObjectError::NotAMapping { found: type_name(&other) }),
        };
        let object = Self(Arc::new(map));
        for (field, text) in [("apiVersion", object.api_version()), ("kind", object.kind())] {
            if text.is_empty() {
                return Err(ObjectError::MissingField { field, of: object.of() });
            }
        }
        // A `List` carries items instead of a name.
        let is_list = object.kind().ends_with("List") && object.get("items").is_some_and(Value::is_array);
        if object.name().is_empty() && object.meta_str("generateName").is_empty() && !is_list {
            return Err(ObjectError::MissingField { field: "metadata.name", of: object.of() });
        }
        Ok(object)
    }

    /// Takes a mapping as it is, for what a renderer passes on unchecked; [`Object::from_value`] checks.
    pub fn from_map(map: Map<String, Value>) -> Self {
        Self(Arc::new(map))
    }

    fn of(&self) -> String {
        match (self.kind(), self.name()) {
            ("", "") => String::new(),
            (kind, "") => format!(" in a {kind}"),
            ("", name) => format!(" in the object named `{name}`"),
            (kind, name) => format!(" in {kind}/{name}"),
        }
    }

    /// The field `key` at the top of the object.
    pub fn get(&self, key: &str) -> Option<&Value> {
        find(&self.0, key)
    }

    /// The value behind a JSON pointer (RFC 6901) such as `/spec/replicas`; never panics, a missing path is `None`.
    pub fn pointer(&self, pointer: &str) -> Option<&Value> {
        let (mut map, mut rest) = (&*self.0, pointer);
        loop {
            let (first, after) = split_pointer(rest)?;
            match find(map, &first)? {
                value if after.is_empty() => return Some(value),
                Value::Object(inner) => (map, rest) = (inner, after),
                value => return value.pointer(after),
            }
        }
    }

    /// `apiVersion`, or empty.
    pub fn api_version(&self) -> &str {
        self.get("apiVersion").and_then(Value::as_str).unwrap_or_default()
    }

    /// The part of `apiVersion` before the slash; empty for core.
    pub fn group(&self) -> &str {
        self.api_version().split_once('/').map_or("", |(group, _)| group)
    }

    /// The part of `apiVersion` after the slash.
    pub fn version(&self) -> &str {
        self.api_version().rsplit_once('/').map_or_else(|| self.api_version(), |(_, version)| version)
    }

    /// `kind`, or empty.
    pub fn kind(&self) -> &str {
        self.get("kind").and_then(Value::as_str).unwrap_or_default()
    }

    /// `metadata.name`, or empty.
    pub fn name(&self) -> &str {
        self.meta_str("name")
    }

    /// `metadata.namespace`, or empty.
    pub fn namespace(&self) -> &str {
        self.meta_str("namespace")
    }

    fn meta_str(&self, key: &str) -> &str {
        self.metadata().and_then(|metadata| find(metadata, key)).and_then(Value::as_str).unwrap_or_default()
    }

    /// `metadata`, where it is a mapping.
    pub fn metadata(&self) -> Option<&Map<String, Value>> {
        self.get("metadata").and_then(Value::as_object)
    }

    /// `metadata`, made where it is missing or not a mapping.
    pub fn metadata_mut(&mut self) -> &mut Map<String, Value> {
        entry_map(self.as_map_mut(), "metadata")
    }

    /// The annotation `key`.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        find(find(self.metadata()?, "annotations")?.as_object()?, key)?.as_str()
    }

    /// The label `key`.
    pub fn label(&self, key: &str) -> Option<&str> {
        find(find(self.metadata()?, "labels")?.as_object()?, key)?.as_str()
    }

    /// Sets the annotation `key`.
    pub fn set_annotation(&mut self, key: impl Into<String>, value: impl Into<String>) {
        entry_map(self.metadata_mut(), "annotations").insert(key.into(), Value::String(value.into()));
    }

    /// Sets the label `key`.
    pub fn set_label(&mut self, key: impl Into<String>, value: impl Into<String>) {
        entry_map(self.metadata_mut(), "labels").insert(key.into(), Value::String(value.into()));
    }

    /// Sets `metadata.namespace`.
    pub fn set_namespace(&mut self, namespace: impl Into<String>) {
        self.metadata_mut().insert("namespace".to_owned(), Value::String(namespace.into()));
    }

    /// Group, kind, namespace and name.
    pub fn id(&self) -> ObjectId {
        ObjectId::new(self.group(), self.kind(), self.namespace(), self.name())
    }

    /// The mapping itself.
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The mapping itself, to be changed.
    pub fn as_map_mut(&mut self) -> &mut Map<String, Value> {
        Arc::make_mut(&mut self.0)
    }

    /// The object as a JSON value.
    pub fn into_value(self) -> Value {
        Value::Object(Arc::unwrap_or_clone(self.0))
    }

    /// The object as a JSON value, copied.
    pub fn to_value(&self) -> Value {
        Value::Object(Map::clone(&self.0))
    }
}

/// The value at `key`. To look at a few keys is faster than to hash the one wanted.
fn find<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    if map.len() > 8 {
        return map.get(key);
    }
    map.iter().find_map(|(name, value)| (name == key).then_some(value))
}

fn entry_map<'a>(map: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let slot = map.entry(key).or_insert_with(|| Value::Object(Map::new()));
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    match slot {
        Value::Object(inner) => inner,
        _ => unreachable!("made a mapping above"),
    }
}

/// The first token, unescaped, and what follows it.
fn split_pointer(pointer: &str) -> Option<(Cow<'_, str>, &str)> {
    let tail = pointer.strip_prefix('/')?;
    let end = tail.find('/').unwrap_or(tail.len());
    let (first, rest) = tail.split_at(end);
    let is_plain = !first.contains('~');
    Some((if is_plain { first.into() } else { first.replace("~1", "/").replace("~0", "~").into() }, rest))
}

/// How a value's type reads in a sentence: `a list`, `a string` …
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_show_the_group_where_it_matters() {
        assert_eq!(ObjectId::new("apps", "Deployment", "shop", "web").to_string(), "Deployment/shop/web");
        assert_eq!(ObjectId::new("", "Namespace", "", "shop").to_string(), "Namespace/shop");
        assert_eq!(ObjectId::new("networking.k8s.io", "Ingress", "a", "b").to_string(), "Ingress/a/b");
        assert_eq!(ObjectId::new("argoproj.io", "Rollout", "a", "b").to_string(), "Rollout.argoproj.io/a/b");
    }

    #[test]
    fn what_is_not_an_object_says_what_is_missing() {
        let error = |value| Object::from_value(value).unwrap_err().to_string();
        assert_eq!(error(json!([1])), "a Kubernetes object must be a mapping, found a list");
        assert_eq!(error(json!({"kind": "A", "metadata": {"name": "x"}})), "missing or empty `apiVersion` in A/x");
        assert_eq!(error(json!({"apiVersion": "v1", "kind": "A"})), "missing or empty `metadata.name` in a A");
    }

    #[test]
    fn pointers_reach_into_the_object() {
        let object = Object::from_value(json!({
            "apiVersion": "v1", "kind": "A", "metadata": {"name": "x", "annotations": {"a/b": "c"}}}))
        .unwrap();
        assert_eq!(object.pointer("/metadata/annotations/a~1b"), Some(&json!("c")));
        assert_eq!(object.pointer("/spec/none"), None);
        assert_eq!(object.annotation("a/b"), Some("c"));
    }
}
