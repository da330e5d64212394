//! Reckons with sets of field paths, and reads and writes `FieldsV1`, the JSON in which `metadata.managedFields`
//! keeps them (kubernetes-sigs/structured-merge-diff `fieldpath/`).
//!
//! Written independently of `slipway_gitops::managed_fields::set` on purpose: the sandbox is what the product is
//! tested against, and one mistake in shared code would agree with itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value};

use super::schema::{Schema, Type};

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// A field of a mapping.
    Field(String),
    /// An item of a keyed list, named by its keys as compact JSON with sorted keys.
    Key(String),
    /// An item of a set, as compact JSON.
    Value(String),
    /// An item by its place.
    Index(usize),
}

impl Step {
    fn encode(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(keys) => format!("k:{keys}"),
            Self::Value(value) => format!("v:{value}"),
            Self::Index(index) => format!("i:{index}"),
        }
    }

    fn decode(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        let compact = || serde_json::from_str::<Value>(rest).ok().map(|value| value.to_string());
        match kind {
            "f" => Some(Self::Field(rest.to_owned())),
            "k" => Some(Self::Key(compact()?)),
            "v" => Some(Self::Value(compact()?)),
            "i" => rest.parse().ok().map(Self::Index),
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(keys) => {
                let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let keys: Vec<String> = keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
                write!(f, "[{}]", keys.join(","))
            }
            Self::Value(value) => write!(f, "[={value}]"),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// A set of paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Set {
    members: BTreeSet<Step>,
    children: BTreeMap<Step, Set>,
}

impl Set {
    /// A set of paths of field names.
    pub(super) fn of_fields(paths: &[&[&str]]) -> Self {
        let mut set = Self::default();
        for path in paths {
            set.insert(&path.iter().map(|name| Step::Field((*name).to_owned())).collect::<Vec<_>>());
        }
        set
    }

    /// Adds a path; an empty one changes nothing.
    pub(super) fn insert(&mut self, path: &[Step]) {
        match path {
            [] => {}
            [last] => {
                self.members.insert(last.clone());
            }
            [first, rest @ ..] => self.children.entry(first.clone()).or_default().insert(rest),
        }
    }

    /// Whether no path is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.values().all(Self::is_empty)
    }

    /// Whether the path of this one step is in it.
    pub(super) fn has(&self, step: &Step) -> bool {
        self.members.contains(step)
    }

    /// What is below `step`, where there is anything.
    pub(super) fn below(&self, step: &Step) -> Option<&Self> {
        self.children.get(step).filter(|set| !set.is_empty())
    }

    /// Paths of either.
    pub(super) fn union(&self, other: &Self) -> Self {
        let mut out = self.clone();
        out.members.extend(other.members.iter().cloned());
        for (step, set) in &other.children {
            let merged = out.children.get(step).map_or_else(|| set.clone(), |known| known.union(set));
            out.children.insert(step.clone(), merged);
        }
        out
    }

    /// Paths of both.
    pub(super) fn intersection(&self, other: &Self) -> Self {
        let children = self.children.iter().filter_map(|(step, set)| {
            let both = set.intersection(other.children.get(step)?);
            (!both.is_empty()).then(|| (step.clone(), both))
        });
        Self { members: self.members.intersection(&other.members).cloned().collect(), children: children.collect() }
    }

    /// Paths of this one that are not in `other`.
    pub(super) fn difference(&self, other: &Self) -> Self {
        self.minus(other, false)
    }

    /// Paths of this one that are neither in `other` nor below one of its paths.
    pub(super) fn recursive_difference(&self, other: &Self) -> Self {
        self.minus(other, true)
    }

    fn minus(&self, other: &Self, recursive: bool) -> Self {
        let children = self.children.iter().filter(|(step, _)| !recursive || !other.members.contains(step));
        let children = children.filter_map(|(step, set)| {
            let rest = other.children.get(step).map_or_else(|| set.clone(), |other| set.minus(other, recursive));
            (!rest.is_empty()).then(|| (step.clone(), rest))
        });
        Self { members: self.members.difference(&other.members).cloned().collect(), children: children.collect() }
    }

    /// The same set with every named field of a struct that has something below it as a member too.
    pub(super) fn with_named_fields(&self, schema: &Schema, kind: &Type) -> Self {
        let mut members = self.members.clone();
        let mut children = BTreeMap::new();
        for (step, set) in &self.children {
            let inner = match step {
                Step::Field(name) => {
                    if schema.is_named_field(kind, name) {
                        members.insert(step.clone());
                    }
                    schema.field_type(kind, name)
                }
                Step::Key(_) => Schema::element_type(kind),
                _ => Type::Raw,
            };
            children.insert(step.clone(), set.with_named_fields(schema, &inner));
        }
        Self { members, children }
    }

    /// All paths, sorted.
    pub(super) fn paths(&self) -> Vec<Vec<Step>> {
        let mut found = Vec::new();
        self.collect(&mut Vec::new(), &mut found);
        found
    }

    fn collect(&self, prefix: &mut Vec<Step>, found: &mut Vec<Vec<Step>>) {
        for member in &self.members {
            let mut path = prefix.clone();
            path.push(member.clone());
            found.push(path);
        }
        for (step, set) in &self.children {
            prefix.push(step.clone());
            set.collect(prefix, found);
            prefix.pop();
        }
    }

    /// As `FieldsV1`.
    pub(super) fn to_json(&self) -> Value {
        let steps: BTreeSet<&Step> = self
            .members
            .iter()
            .chain(self.children.iter().filter(|(_, set)| !set.is_empty()).map(|(step, _)| step))
            .collect();
        let mut out = Map::new();
        for step in steps {
            let mut inner = Map::new();
            if let Some(set) = self.below(step) {
                if self.members.contains(step) {
                    inner.insert(".".into(), Value::Object(Map::new()));
                }
                if let Value::Object(below) = set.to_json() {
                    inner.extend(below);
                }
            }
            out.insert(step.encode(), Value::Object(inner));
        }
        Value::Object(out)
    }

    /// From `FieldsV1`; `None` when it is not that.
    pub(super) fn from_json(value: &Value) -> Option<Self> {
        let mut out = Self::default();
        for (key, below) in value.as_object()? {
            if key == "." {
                continue;
            }
            let step = Step::decode(key)?;
            let below = below.as_object()?;
            if below.is_empty() || below.contains_key(".") {
                out.members.insert(step.clone());
            }
            let set = Self::from_json(&Value::Object(below.clone()))?;
            if !set.is_empty() {
                out.children.insert(step, set);
            }
        }
        Some(out)
    }
}

/// A path as people read it: `.spec.template.spec.containers[name="web"].image`.
pub(super) fn display(path: &[Step]) -> String {
    path.iter().map(Step::to_string).collect()
}
