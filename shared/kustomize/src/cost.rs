//! What trees take, so that each copy of one is paid from the budget of the render before it is made.

use serde_json::Value;
use slipway_budget::{Budget, Exceeded};

use crate::context::Context;
use crate::error::Error;
use crate::node::{Map, Node};
use crate::resource::Resource;

/// Levels of nesting: what is read has no more, and nothing that is made of it may.
pub(crate) const MAX_DEPTH: usize = 100;

/// Bytes of a key and what a mapping keeps with it, twice for the room to grow.
const KEY: usize = 2 * 32;
/// Bytes of a mapping: it starts with room for four entries.
const MAPPING: usize = 256;
/// Bytes of an entry of a [`Map`].
pub(crate) const ENTRY: usize = KEY + 2 * size_of::<Node>();

/// What a tree takes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Size {
    /// Scalars, lists and mappings.
    pub(crate) nodes: usize,
    mappings: usize,
    /// Entries of mappings.
    entries: usize,
    /// Bytes of keys and scalars.
    text: usize,
    /// Bytes of keys alone.
    keys: usize,
    /// Levels of nesting.
    pub(crate) depth: usize,
}

impl Size {
    pub(crate) fn of(node: &Node) -> Self {
        match node {
            Node::Scalar(scalar) => Self { nodes: 1, text: scalar.text.len(), depth: 1, ..Self::default() },
            Node::Seq(list) => Self::of_list(list),
            Node::Map(map) => Self::of_map(map),
        }
    }

    pub(crate) fn of_list(list: &[Node]) -> Self {
        let size = list.iter().fold(Self::default(), |all, item| all.and(Self::of(item)));
        Self { nodes: size.nodes + 1, depth: size.depth + 1, ..size }
    }

    pub(crate) fn of_map(Map(entries): &Map) -> Self {
        let size = entries.iter().fold(Self::default(), |all, (key, value)| all.and(Self::of(value)).with_key(key));
        Self { nodes: size.nodes + 1, mappings: size.mappings + 1, depth: size.depth + 1, ..size }
    }

    pub(crate) fn of_value(value: &Value) -> Self {
        let size = match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => Self::default(),
            Value::String(text) => Self { text: text.len(), ..Self::default() },
            Value::Array(list) => list.iter().fold(Self::default(), |all, item| all.and(Self::of_value(item))),
            Value::Object(map) => {
                let size =
                    map.iter().fold(Self::default(), |all, (key, value)| all.and(Self::of_value(value)).with_key(key));
                Self { mappings: size.mappings + 1, ..size }
            }
        };
        Self { nodes: size.nodes + 1, depth: size.depth + 1, ..size }
    }

    fn and(self, other: Self) -> Self {
        Self {
            nodes: self.nodes + other.nodes,
            mappings: self.mappings + other.mappings,
            entries: self.entries + other.entries,
            text: self.text + other.text,
            keys: self.keys + other.keys,
            depth: self.depth.max(other.depth),
        }
    }

    fn with_key(self, key: &str) -> Self {
        Self { entries: self.entries + 1, text: self.text + key.len(), keys: self.keys + key.len(), ..self }
    }

    /// Bytes as nodes.
    pub(crate) fn as_node(self) -> usize {
        self.nodes * 2 * size_of::<Node>() + self.entries * KEY + self.mappings * MAPPING + self.text
    }

    /// Bytes as a JSON value.
    pub(crate) fn as_value(self) -> usize {
        self.nodes * 2 * size_of::<Value>() + self.entries * KEY + self.mappings * MAPPING + self.text
    }

    /// Steps of a walk that copies it.
    pub(crate) fn steps(self) -> u64 {
        (8 * self.nodes + self.text / 32) as u64
    }
}

/// Pays for a copy of `node`.
pub(crate) fn of_copy(budget: &Budget, node: &Node) -> Result<Size, Exceeded> {
    let size = Size::of(node);
    pay(budget, size.steps(), size.as_node())?;
    Ok(size)
}

/// Pays for a copy of `value`.
pub(crate) fn of_value_copy(budget: &Budget, value: &Value) -> Result<Size, Exceeded> {
    let size = Size::of_value(value);
    pay(budget, size.steps(), size.as_value())?;
    Ok(size)
}

/// Pays for making a JSON value of `node`, whose keys are sorted.
pub(crate) fn of_conversion(budget: &Budget, node: &Node) -> Result<(), Exceeded> {
    let size = Size::of(node);
    pay(budget, 2 * size.steps() + size.keys as u64 / 2, size.as_value())
}

/// Pays for a text of `bytes` bytes.
pub(crate) fn of_text(budget: &Budget, bytes: usize) -> Result<(), Exceeded> {
    pay(budget, bytes as u64 / 32 + 1, bytes)
}

fn pay(budget: &Budget, steps: u64, bytes: usize) -> Result<(), Exceeded> {
    budget.step(steps)?;
    budget.bytes(bytes)
}

/// Pays for looking `passes` times at the identity of each resource: kind and name are looked up among the fields, and
/// compared.
pub(crate) fn of_passes(resources: &[Resource], passes: usize, cx: &Context) -> Result<(), Error> {
    let steps: usize = resources.iter().map(Resource::look).sum();
    Ok(cx.budget.step((steps as u64).saturating_mul(passes as u64))?)
}
