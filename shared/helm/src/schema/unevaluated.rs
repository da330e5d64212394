//! What of a value no schema has looked at yet (`unevaluatedProperties`, `unevaluatedItems`).

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::compile::{Items, Schema};
use super::draft::Draft;

/// The properties and items that no schema has looked at.
#[derive(Default)]
pub(super) struct Unevaluated<'v> {
    pub(super) keys: BTreeSet<&'v str>,
    pub(super) items: BTreeSet<usize>,
}

impl Unevaluated<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.items.is_empty()
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.keys.retain(|key| other.keys.contains(key));
        self.items.retain(|item| other.items.contains(item));
    }
}

impl Schema {
    /// What of `value` this schema leaves to `unevaluatedProperties` and `unevaluatedItems`, its own or its caller's.
    pub(super) fn unevaluated<'v>(&self, value: &'v Json, caller_needs: bool) -> Unevaluated<'v> {
        let mut unevaluated = Unevaluated::default();
        match value {
            Json::Object(map) => {
                let needed = caller_needs || self.unevaluated_properties.is_some();
                if self.additional_properties.is_none() && needed {
                    unevaluated.keys = map.keys().map(String::as_str).collect();
                }
            }
            Json::Array(list) => {
                let (all, some) = match (&self.items, self.draft) {
                    (_, Draft::D2020) => (self.rest_items.is_some(), self.prefix_items.len()),
                    (Some(Items::All(_)), _) => (true, 0),
                    (Some(Items::Each(parts)), _) => (self.additional_items.is_some(), parts.len()),
                    (None, _) => (self.additional_items.is_some(), 0),
                };
                if !all && (caller_needs || self.unevaluated_items.is_some()) {
                    unevaluated.items = (some..list.len()).collect();
                }
            }
            _ => {}
        }
        unevaluated
    }
}
