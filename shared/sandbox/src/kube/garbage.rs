//! What leaves after a deletion: the contents of namespaces, dependents, objects whose finalizers are done.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::controllers::{Pass, text};
use super::selector::Selector;
use super::store::{Filter, Key};
use super::{delete, prepare};

impl Pass<'_> {
    /// Empties namespaces that are being deleted, then lets them go.
    pub(super) fn namespaces(&mut self) {
        let filter = Filter {
            resource: "namespaces".into(),
            namespace: None,
            labels: Selector::default(),
            fields: String::new(),
        };
        let ending: Vec<Key> = self
            .store
            .list(&filter)
            .into_iter()
            .filter(|(_, namespace)| namespace.pointer("/metadata/deletionTimestamp").is_some())
            .map(|(key, _)| key.clone())
            .collect();
        for namespace in ending {
            let inside: Vec<(Key, Value)> = self
                .store
                .all()
                .filter(|(key, _)| key.namespace == namespace.name)
                .map(|(key, object)| (key.clone(), object.clone()))
                .collect();
            let empty = inside.is_empty();
            for (key, object) in inside {
                self.end(&key, &object);
            }
            if empty {
                self.store.remove(&namespace);
            }
        }
    }

    /// Deletes an object, or marks it for those whose finalizers it waits for.
    pub(super) fn end(&mut self, key: &Key, object: &Value) {
        let waits = object
            .pointer("/metadata/finalizers")
            .and_then(Value::as_array)
            .is_some_and(|finalizers| !finalizers.is_empty());
        if !waits {
            let kind = self.store.kinds().find(|kind| kind.resource() == key.resource).cloned();
            if let Some(kind) = kind {
                delete::remove(self.store, &kind, key);
            }
        } else if object.pointer("/metadata/deletionTimestamp").is_none() {
            let mut object = object.clone();
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.insert("deletionTimestamp".into(), json!(self.stamp));
                metadata.insert("deletionGracePeriodSeconds".into(), json!(0));
            }
            self.store.put(key, object);
        }
    }

    /// Lets claims and volumes go that are being deleted: nothing in the sandbox mounts them.
    pub(super) fn protections(&mut self) {
        let is_protection =
            |finalizer: &Value| finalizer == prepare::CLAIM_PROTECTION || finalizer == prepare::VOLUME_PROTECTION;
        let ending: Vec<(Key, Value)> = self
            .store
            .all()
            .filter(|(key, _)| matches!(key.resource.as_str(), "persistentvolumeclaims" | "persistentvolumes"))
            .filter(|(_, object)| object.pointer("/metadata/deletionTimestamp").is_some())
            .map(|(key, object)| (key.clone(), object.clone()))
            .collect();
        for (key, mut object) in ending {
            if let Some(finalizers) = object.pointer_mut("/metadata/finalizers").and_then(Value::as_array_mut) {
                finalizers.retain(|finalizer| !is_protection(finalizer));
            }
            self.end(&key, &object);
        }
    }

    /// Lets owners go whose dependents stay behind.
    pub(super) fn orphans(&mut self) {
        let is_orphaning = |object: &Value| {
            let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array);
            finalizers.into_iter().flatten().any(|finalizer| finalizer == "orphan")
                && object.pointer("/metadata/deletionTimestamp").is_some()
        };
        let leaving: Vec<(Key, Value)> = self
            .store
            .all()
            .filter(|(_, object)| is_orphaning(object))
            .map(|(key, object)| (key.clone(), object.clone()))
            .collect();
        for (key, mut object) in leaving {
            delete::orphan(self.store, text(&object, "/metadata/uid"));
            if let Some(finalizers) = object.pointer_mut("/metadata/finalizers").and_then(Value::as_array_mut) {
                finalizers.retain(|finalizer| finalizer != "orphan");
            }
            self.end(&key, &object);
        }
    }

    /// Deletes what no living owner holds, and lets owners go that waited for their dependents.
    pub(super) fn collect_garbage(&mut self) {
        let alive: BTreeSet<String> =
            self.store.all().map(|(_, object)| text(object, "/metadata/uid").to_owned()).collect();
        let is_foreground = |object: &Value| {
            let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array);
            finalizers.into_iter().flatten().any(|finalizer| finalizer == "foregroundDeletion")
        };
        let leaving: BTreeSet<String> = self
            .store
            .all()
            .filter(|(_, object)| is_foreground(object) && object.pointer("/metadata/deletionTimestamp").is_some())
            .map(|(_, object)| text(object, "/metadata/uid").to_owned())
            .collect();
        let mut held: BTreeSet<String> = BTreeSet::new();
        let mut gone = Vec::new();
        for (key, object) in self.store.all() {
            let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array).into_iter().flatten();
            let owners: Vec<&str> = owners.map(|owner| text(owner, "/uid")).collect();
            if !owners.is_empty() && owners.iter().all(|uid| !alive.contains(*uid) || leaving.contains(*uid)) {
                gone.push((key.clone(), object.clone()));
            }
            held.extend(owners.iter().filter(|uid| leaving.contains(**uid)).map(|uid| (*uid).to_owned()));
        }
        for (key, object) in gone {
            self.end(&key, &object);
        }
        let done: Vec<(Key, Value)> = self
            .store
            .all()
            .filter(|(_, object)| {
                leaving.contains(text(object, "/metadata/uid")) && !held.contains(text(object, "/metadata/uid"))
            })
            .map(|(key, object)| (key.clone(), object.clone()))
            .collect();
        for (key, mut object) in done {
            if let Some(finalizers) = object.pointer_mut("/metadata/finalizers").and_then(Value::as_array_mut) {
                finalizers.retain(|finalizer| finalizer != "foregroundDeletion");
            }
            self.end(&key, &object);
        }
    }
}
