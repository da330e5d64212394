//! Who owns which field: server-side apply and the tracking of every other write
//! (kubernetes-sigs/structured-merge-diff `merge/update.go`, apimachinery `pkg/util/managedfields/internal/`).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::fieldset::{Set, display};
use super::schema::{Schema, Type};
use super::typed;

/// So many managers of updates are kept apart; the oldest are then put together.
const UPDATERS_LIMIT: usize = 10;

/// Who writes, and how.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Manager {
    /// Name.
    pub(super) name: String,
    /// `Apply` or `Update`.
    pub(super) operation: String,
    /// Version of an update; empty for an apply, which is one manager whatever the version.
    pub(super) api_version: String,
    /// `status`, `scale`, or empty.
    pub(super) subresource: String,
}

impl Manager {
    fn describe(&self) -> String {
        let subresource = if self.subresource.is_empty() {
            String::new()
        } else {
            format!(" with subresource \"{}\"", self.subresource)
        };
        let using = if self.operation == "Update" { format!(" using {}", self.api_version) } else { String::new() };
        format!("\"{}\"{subresource}{using}", self.name)
    }
}

/// What one manager owns.
#[derive(Debug, Clone, PartialEq)]
struct Owned {
    set: Set,
    api_version: String,
    time: Option<String>,
}

/// `metadata.managedFields`, read.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Managed(BTreeMap<Manager, Owned>);

/// A field that another manager owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Conflict {
    /// `"kubectl" using apps/v1`
    pub(super) manager: String,
    /// `.spec.replicas`
    pub(super) field: String,
}

/// What a write is done with.
#[derive(Debug, Clone)]
pub(super) struct Write<'a> {
    /// Who writes.
    pub(super) manager: &'a Manager,
    /// The version of the object in the request.
    pub(super) api_version: &'a str,
    /// Fields that this resource never writes (`status` of the object itself, `spec` of its status).
    pub(super) reset: &'a Set,
    /// The time, as it is stored.
    pub(super) now: &'a str,
}

impl Managed {
    /// From the list in an object; entries that can't be read are dropped.
    pub(super) fn decode(value: Option<&Value>) -> Self {
        let mut found = Self::default();
        for entry in value.and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let operation = text("operation");
            let manager = Manager {
                name: text("manager"),
                api_version: if operation == "Apply" { String::new() } else { text("apiVersion") },
                operation,
                subresource: text("subresource"),
            };
            let Some(set) = entry.get("fieldsV1").and_then(Set::from_json) else { continue };
            let time = entry.get("time").and_then(Value::as_str).map(str::to_owned);
            found.0.insert(manager, Owned { set, api_version: text("apiVersion"), time });
        }
        found
    }

    /// As the list in an object; nothing when nobody owns anything.
    pub(super) fn encode(&self) -> Option<Value> {
        let mut entries: Vec<(&Manager, &Owned)> = self.0.iter().collect();
        entries.sort_by_key(|(manager, owned)| {
            (&manager.operation, &owned.time, &manager.name, &owned.api_version, &manager.subresource)
        });
        let entries: Vec<Value> = entries
            .into_iter()
            .map(|(manager, owned)| {
                let mut entry = Map::new();
                entry.insert("manager".into(), json!(manager.name));
                entry.insert("operation".into(), json!(manager.operation));
                entry.insert("apiVersion".into(), json!(owned.api_version));
                if let Some(time) = &owned.time {
                    entry.insert("time".into(), json!(time));
                }
                entry.insert("fieldsType".into(), json!("FieldsV1"));
                entry.insert("fieldsV1".into(), owned.set.to_json());
                if !manager.subresource.is_empty() {
                    entry.insert("subresource".into(), json!(manager.subresource));
                }
                Value::Object(entry)
            })
            .collect();
        (!entries.is_empty()).then_some(Value::Array(entries))
    }

    /// Whether nobody owns anything.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same owners with all times forgotten: what decides whether a write changed anything.
    pub(super) fn without_times(&self) -> Self {
        Self(self.0.iter().map(|(manager, owned)| (manager.clone(), Owned { time: None, ..owned.clone() })).collect())
    }

    /// Takes the ownership of every field that changes from `live` to `new` (create, update, patch).
    pub(super) fn update(&mut self, schema: &Schema, kind: &Type, live: &Value, new: &Value, write: &Write<'_>) {
        let comparison = self.take_over(schema, kind, live, new, write.reset, None);
        let changed = comparison.modified.union(&comparison.added).recursive_difference(write.reset);
        let changed = strip(&changed);
        if !changed.is_empty() {
            let known = self.0.get(write.manager).map(|owned| owned.set.clone()).unwrap_or_default();
            // The scale subresource records no time (apimachinery `managedfields/scalehandler.go`).
            let time = (write.manager.subresource != "scale").then(|| write.now.to_owned());
            let owned = Owned { set: known.union(&changed), api_version: write.api_version.to_owned(), time };
            self.0.insert(write.manager.clone(), owned);
        }
        self.cap();
    }

    /// Applies `config` over `live` and gives the new object, or `None` when nothing changes. Fails with the
    /// conflicts when others own fields that change, unless `force`.
    pub(super) fn apply(
        &mut self,
        schema: &Schema,
        kind: &Type,
        live: &Value,
        config: &Value,
        write: &Write<'_>,
        force: bool,
    ) -> Result<Option<Value>, Vec<Conflict>> {
        let mut new = typed::merge(schema, kind, live, config);
        let last = self.0.get(write.manager).map(|owned| owned.set.clone()).unwrap_or_default();
        let set = typed::field_set(schema, kind, config).recursive_difference(write.reset);
        let time = self.0.get(write.manager).and_then(|owned| owned.time.clone());
        self.0.insert(write.manager.clone(), Owned { set, api_version: write.api_version.to_owned(), time });
        if !last.is_empty() {
            new = self.prune(schema, kind, &new, &last);
        }
        let conflicts = self.conflicts(schema, kind, live, &new, write);
        if !force && !conflicts.is_empty() {
            return Err(conflicts);
        }
        self.take_over(schema, kind, live, &new, write.reset, Some(write.manager));
        if let Some(owned) = self.0.get_mut(write.manager) {
            owned.set = strip(&owned.set);
        }
        self.0.retain(|_, owned| !owned.set.is_empty());
        if typed::equal(live, &new) {
            return Ok(None);
        }
        if let Some(owned) = self.0.get_mut(write.manager) {
            owned.time = Some(write.now.to_owned());
        }
        Ok(Some(new))
    }

    /// Takes everything that changes away from all but `except`.
    fn take_over(
        &mut self,
        schema: &Schema,
        kind: &Type,
        live: &Value,
        new: &Value,
        reset: &Set,
        except: Option<&Manager>,
    ) -> typed::Comparison {
        let full = typed::compare(schema, kind, live, new);
        let without_reset = |set: &Set| set.recursive_difference(reset);
        let lost = without_reset(&full.modified.union(&full.added)).union(&without_reset(&full.removed));
        for (manager, owned) in &mut self.0 {
            if Some(manager) != except {
                owned.set = owned.set.difference(&lost);
            }
        }
        self.0.retain(|_, owned| !owned.set.is_empty());
        full
    }

    fn conflicts(&self, schema: &Schema, kind: &Type, live: &Value, new: &Value, write: &Write<'_>) -> Vec<Conflict> {
        let comparison = typed::compare(schema, kind, live, new);
        let changed = comparison.modified.union(&comparison.added).recursive_difference(write.reset);
        let mut found = Vec::new();
        for (manager, owned) in self.0.iter().filter(|(manager, _)| *manager != write.manager) {
            for path in owned.set.intersection(&changed).paths() {
                found.push(Conflict { manager: manager.describe(), field: display(&path) });
            }
        }
        found
    }

    /// Takes out of `merged` what the manager applied last time, does not apply now, and nobody else owns.
    fn prune(&self, schema: &Schema, kind: &Type, merged: &Value, last: &Set) -> Value {
        let named = |set: &Set| set.with_named_fields(schema, kind);
        let last = named(last);
        let set_of = |value: &Value| named(&typed::field_set(schema, kind, value));
        let remove = |set: &Set| typed::remove(schema, kind, merged, set).unwrap_or_default();
        let pruned = remove(&last);
        let merged_set = set_of(merged);
        let owned = self.0.values().fold(Set::default(), |all, owned| all.union(&owned.set));
        let pruned = remove(&merged_set.difference(&set_of(&pruned).union(&named(&owned))));
        remove(&merged_set.difference(&set_of(&pruned)).intersection(&last))
    }

    /// Puts the oldest updaters together when there are too many.
    fn cap(&mut self) {
        let mut updaters: Vec<(Option<String>, Manager)> = self
            .0
            .iter()
            .filter(|(manager, _)| manager.operation == "Update")
            .map(|(manager, owned)| (owned.time.clone(), manager.clone()))
            .collect();
        updaters.sort();
        let mut count = updaters.len();
        let mut first_of: BTreeMap<String, Manager> = BTreeMap::new();
        for (_, manager) in updaters {
            if count <= UPDATERS_LIMIT {
                return;
            }
            let version = manager.api_version.clone();
            let bucket = Manager { name: "ancient-changes".into(), subresource: String::new(), ..manager.clone() };
            if let Some(first) = first_of.get(&version) {
                if let Some(owned) = self.0.remove(first) {
                    self.0.insert(bucket.clone(), owned);
                    first_of.insert(version, bucket.clone());
                }
                if let Some(old) = self.0.remove(&manager)
                    && let Some(owned) = self.0.get_mut(&bucket)
                {
                    owned.set = owned.set.union(&old.set);
                    owned.time = old.time;
                    count -= 1;
                }
            } else {
                first_of.insert(version, manager);
            }
        }
    }
}

/// Fields of every object that nobody owns.
fn strip(set: &Set) -> Set {
    set.difference(&Set::of_fields(&[
        &["apiVersion"],
        &["kind"],
        &["metadata"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "creationTimestamp"],
        &["metadata", "selfLink"],
        &["metadata", "uid"],
        &["metadata", "clusterName"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
    ]))
}
