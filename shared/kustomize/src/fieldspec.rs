//! Field specs: which field of which kinds a transformer changes (kustomize `api/filters/fieldspec`).

use serde::Deserialize;
use slipway_budget::Budget;

use crate::cost::{self, ENTRY};
use crate::error::Error;
use crate::id::{Gvk, GvkRef};
use crate::node::scalar::resolve;
use crate::node::{Kind, Map, Node, Tag};
use crate::path;

/// A path with `/` between fields, for the kinds that the non-empty parts select.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FieldSpec {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) path: String,
    pub(crate) create: bool,
}

impl FieldSpec {
    pub(crate) fn everywhere(path: &str) -> Self {
        Self { path: path.to_owned(), create: true, ..Self::default() }
    }

    pub(crate) fn gvk(&self) -> Gvk {
        Gvk { group: self.group.clone(), version: self.version.clone(), kind: self.kind.clone() }
    }

    pub(crate) fn selects(&self, gvk: GvkRef<'_>) -> bool {
        let fits = |wanted: &str, have: &str| wanted.is_empty() || wanted == have;
        fits(&self.kind, gvk.kind) && fits(&self.group, gvk.group) && fits(&self.version, gvk.version)
    }

    /// Whether the other spec is for the same field of kinds that this one covers (`effectivelyEquals`).
    fn covers(&self, other: &Self) -> bool {
        self.path == other.path
            && GvkRef { group: &self.group, version: &self.version, kind: &self.kind }.is_selected(&other.gvk())
    }
}

/// Adds those of `incoming` that `specs` does not have.
pub(crate) fn merge_all(specs: &mut Vec<FieldSpec>, incoming: &[FieldSpec], budget: &Budget) -> Result<(), Error> {
    for spec in incoming {
        budget.step((1 + specs.len() / 8 * (1 + spec.path.len() / 64)) as u64)?;
        match specs.iter().find(|known| known.covers(spec)) {
            Some(known) if known.create != spec.create => {
                return Err(Error::refused(format!("conflicting fieldspecs for `{}`: `create` differs", spec.path)));
            }
            Some(_) => {}
            None => {
                budget.bytes(2 * size_of::<FieldSpec>() + spec.path.len())?;
                specs.push(spec.clone());
            }
        }
    }
    Ok(())
}

/// Sets what a field spec points at.
pub(crate) struct Setter<'f> {
    /// What to make of a missing field, where the spec says `create`.
    pub(crate) kind: Option<Kind>,
    pub(crate) budget: &'f Budget,
    pub(crate) set: &'f mut dyn FnMut(&mut Node) -> Result<(), Error>,
}

impl Setter<'_> {
    /// Calls `set` on each field of `object` that `spec` points at; the kind must have been checked.
    pub(crate) fn apply(&mut self, object: &mut Node, spec: &FieldSpec) -> Result<(), Error> {
        let plain;
        let parts: &[&str] = if spec.path.contains('\\') {
            return self.walk_owned(object, spec);
        } else {
            path::check_length(&spec.path, '/')?;
            plain = spec.path.strip_prefix('/').unwrap_or(&spec.path).split('/').collect::<Vec<_>>();
            &plain
        };
        self.walk(object, parts, spec.create)
    }

    fn walk_owned(&mut self, object: &mut Node, spec: &FieldSpec) -> Result<(), Error> {
        let parts = path::split(&spec.path, '/')?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        self.walk(object, &parts, spec.create)
    }

    fn walk(&mut self, node: &mut Node, parts: &[&str], create: bool) -> Result<(), Error> {
        let Some((first, rest)) = parts.split_first() else { return (self.set)(node) };
        match node {
            Node::Scalar(scalar) if scalar.tag == Tag::Null => Ok(()),
            Node::Scalar(_) => {
                Err(Error::refused(format!("expected a list or a mapping with `{}`, found a scalar", parts.join("/"))))
            }
            Node::Seq(list) => {
                self.budget.step(list.len() as u64)?;
                list.iter_mut().try_for_each(|item| self.walk(item, parts, create))
            }
            Node::Map(map) => self.field(map, first, rest, create),
        }
    }

    fn field(&mut self, map: &mut Map, name: &str, rest: &[&str], create: bool) -> Result<(), Error> {
        let (name, is_list) = name.strip_suffix("[]").map_or((name, false), |name| (name, true));
        if name.is_empty() {
            return Err(Error::refused("cannot set or create an empty field name"));
        }
        let make = match self.kind {
            _ if is_list => None,
            Some(kind) if create => Some(if rest.is_empty() { kind } else { Kind::Map }),
            _ => None,
        };
        self.budget.step(1 + map.0.len() as u64 / 2)?;
        if make.is_some() && map.get(name).is_none() {
            self.budget.bytes(ENTRY + name.len())?;
        }
        let field = match make {
            Some(kind) => map.entry(name, || Node::empty(kind)),
            None => match map.get_mut(name) {
                Some(field) => field,
                None => return Ok(()),
            },
        };
        if field.is_null() {
            match make {
                Some(kind) => *field = Node::empty(kind),
                None if is_list => *field = Node::empty(Kind::Seq),
                None => {}
            }
        }
        self.walk(field, rest, create)
    }
}

/// Sets `field` to a text; it must be a scalar.
pub(crate) fn set_text(field: &mut Node, text: &str, budget: &Budget) -> Result<(), Error> {
    cost::of_text(budget, text.len())?;
    if let Node::Scalar(_) = field {
        *field = Node::text(text);
        return Ok(());
    }
    Err(Error::refused(format!("wrong node kind: expected a scalar for `{text}`, found {}", field.kind_name())))
}

/// Sets the entry `key` of the mapping `field`.
pub(crate) fn set_entry(field: &mut Node, key: &str, value: &str) -> Result<(), Error> {
    match field {
        // The real tool writes such a key without quotes and can't read it again.
        Node::Map(map) if map.get(key).is_none() && resolve(key) != Tag::Str => {
            Err(Error::refused(format!("key `{key}` reads as something other than a string")))
        }
        Node::Map(map) => {
            map.set(key, Node::text(value));
            Ok(())
        }
        other => {
            Err(Error::refused(format!("wrong node kind: expected a mapping for `{key}`, found {}", other.kind_name())))
        }
    }
}
