//! YAML as Kustomize works on it: scalars keep their text and a tag, so that `1.0` taken from a field into a text stays
//! `1.0`.
//!
//! [`parse`] makes nodes, [`Node::to_value`] ends in JSON values as Kustomize's last step does (kyaml `yaml/rnode.go`).

pub(crate) mod parse;
pub(crate) mod scalar;

use serde_json::{Number, Value};
use slipway_gocompat::strconv::format_float;

pub(crate) use scalar::{Scalar, Tag};

/// A mapping in the order of the text; the maps of manifests are small, so a search through the list beats hashing.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Map(pub(crate) Vec<(String, Node)>);

impl Map {
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, node)| node)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.0.iter_mut().find(|(k, _)| k == key).map(|(_, node)| node)
    }

    /// Sets `key`, in its place where it is there already.
    pub(crate) fn set(&mut self, key: &str, node: Node) {
        match self.get_mut(key) {
            Some(slot) => *slot = node,
            None => self.0.push((key.to_owned(), node)),
        }
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<Node> {
        let index = self.0.iter().position(|(k, _)| k == key)?;
        Some(self.0.remove(index).1)
    }

    /// The node of `key`, made by `make` where it is missing.
    pub(crate) fn entry(&mut self, key: &str, make: impl FnOnce() -> Node) -> &mut Node {
        let index = self.0.iter().position(|(k, _)| k == key).unwrap_or(self.0.len());
        if index == self.0.len() {
            self.0.push((key.to_owned(), make()));
        }
        match self.0.get_mut(index) {
            Some((_, node)) => node,
            None => unreachable!("found or pushed above"),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.0.iter().map(|(key, node)| (key.as_str(), node))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A node of YAML, anchors resolved.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Scalar(Scalar),
    Map(Map),
    Seq(Vec<Node>),
}

/// What kind of node is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Scalar,
    Map,
    Seq,
}

impl Default for Node {
    fn default() -> Self {
        Self::null()
    }
}

impl Node {
    pub(crate) fn null() -> Self {
        Self::Scalar(Scalar { text: String::new(), tag: Tag::Null })
    }

    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Scalar(Scalar { text: text.into(), tag: Tag::Str })
    }

    /// A scalar whose type is found out from its text in the end, as one that Kustomize makes without a tag.
    pub(crate) fn auto(text: impl Into<String>) -> Self {
        Self::Scalar(Scalar { text: text.into(), tag: Tag::Auto })
    }

    /// An empty node of a kind.
    pub(crate) fn empty(kind: Kind) -> Self {
        match kind {
            Kind::Scalar => Self::auto(""),
            Kind::Map => Self::Map(Map::default()),
            Kind::Seq => Self::Seq(Vec::new()),
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Scalar(_) => Kind::Scalar,
            Self::Map(_) => Kind::Map,
            Self::Seq(_) => Kind::Seq,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Scalar(Scalar { tag: Tag::Null, .. }))
    }

    pub(crate) fn is_null_or_empty(&self) -> bool {
        match self {
            Self::Scalar(scalar) => scalar.tag == Tag::Null,
            Self::Map(map) => map.is_empty(),
            Self::Seq(list) => list.is_empty(),
        }
    }

    pub(crate) fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(crate) fn as_map_mut(&mut self) -> Option<&mut Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(crate) fn as_seq(&self) -> Option<&[Node]> {
        match self {
            Self::Seq(list) => Some(list),
            _ => None,
        }
    }

    /// The text of a scalar; empty for lists and mappings.
    pub(crate) fn as_text(&self) -> &str {
        match self {
            Self::Scalar(scalar) => &scalar.text,
            _ => "",
        }
    }

    /// The field `key` of a mapping.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?.get(key)
    }

    /// How the node's kind reads in a sentence.
    pub(crate) fn kind_name(&self) -> &'static str {
        match self {
            Self::Scalar(_) => "a scalar",
            Self::Map(_) => "a mapping",
            Self::Seq(_) => "a list",
        }
    }

    /// The JSON value that Kustomize prints; keys in go-yaml's order. The error says which scalar does not fit its tag.
    pub(crate) fn into_value(self) -> Result<Value, String> {
        match self {
            Self::Scalar(scalar) => scalar.into_value(),
            Self::Seq(list) => list.into_iter().map(Self::into_value).collect(),
            Self::Map(Map(mut entries)) => {
                entries.sort_unstable_by(|(a, _), (b, _)| scalar::key_order(a, b));
                let mut map = serde_json::Map::with_capacity(entries.len());
                for (key, node) in entries {
                    let value = node.into_value().map_err(|e| format!("{key}: {e}"))?;
                    map.insert(key, value);
                }
                Ok(Value::Object(map))
            }
        }
    }

    /// [`Node::into_value`] of a copy.
    pub(crate) fn to_value(&self) -> Result<Value, String> {
        self.clone().into_value()
    }

    /// A JSON value as a node; numbers get the text that Go gives a float64, since that is what they become on the way.
    pub(crate) fn from_value(value: Value) -> Self {
        match value {
            Value::Null => Self::Scalar(Scalar { text: "null".to_owned(), tag: Tag::Null }),
            Value::Bool(b) => Self::Scalar(Scalar { text: b.to_string(), tag: Tag::Bool }),
            Value::Number(n) => Self::Scalar(number(&n)),
            Value::String(text) => Self::text(text),
            Value::Array(list) => Self::Seq(list.into_iter().map(Self::from_value).collect()),
            Value::Object(map) => {
                Self::Map(Map(map.into_iter().map(|(key, value)| (key, Self::from_value(value))).collect()))
            }
        }
    }
}

fn number(n: &Number) -> Scalar {
    let text = n.as_f64().map_or_else(|| n.to_string(), |float| format_float(float, 'g', None));
    let tag = if text.contains(['e', '.']) { Tag::Float } else { Tag::Int };
    Scalar { text, tag }
}
