//! Deletion: preconditions, finalizers, dependents, and what the client is told.

use serde_json::{Value, json};

use super::api::Target;
use super::schema::Kind;
use super::selector::Selector;
use super::status::Failure;
use super::store::{Filter, Key, Store};
use super::typed::put_at;
use super::write::{Call, text};

impl Call<'_> {
    pub(super) fn delete(&mut self, store: &mut Store, name: &str) -> Result<Value, Failure> {
        let old = self.existing(store, name)?;
        let options: Value = if self.request.body.is_empty() { json!({}) } else { self.body()? };
        let dry_run = self.dry_run || options.pointer("/dryRun/0") == Some(&json!("All"));
        let expect = |pointer: &str, meta: &str, what: &str, hint: &str| {
            let (wanted, found) = (text(&options, pointer), text(&old, meta));
            if wanted.is_empty() || wanted == found {
                return Ok(());
            }
            let why = format!(
                "the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). The object \
                 might have been {hint}"
            );
            Err(Failure::precondition(self.kind(), name, &why))
        };
        expect("/preconditions/uid", "/metadata/uid", "UID", "deleted and then recreated")?;
        expect("/preconditions/resourceVersion", "/metadata/resourceVersion", "ResourceVersion", "modified")?;
        let policy = match text(&options, "/propagationPolicy") {
            "" => self.request.query("propagationPolicy").unwrap_or_default().to_owned(),
            policy => policy.to_owned(),
        };
        if dry_run {
            return Ok(deleted(self.kind(), &old, &self.now));
        }
        Ok(self.start_deletion(store, name, &old, &policy))
    }

    fn start_deletion(&self, store: &mut Store, name: &str, old: &Value, policy: &str) -> Value {
        let key = self.target.key(name);
        let mut object = old.clone();
        // Jobs leave their pods behind unless told otherwise: the API server's one exception.
        let policy = if policy.is_empty() && self.kind().is("batch", "Job") { "Orphan" } else { policy };
        let mut finalizers = old.pointer("/metadata/finalizers").and_then(Value::as_array).cloned().unwrap_or_default();
        match policy {
            "Orphan" => finalizers.push(json!("orphan")),
            "Foreground" => finalizers.push(json!("foregroundDeletion")),
            _ => {}
        }
        let is_namespace = self.kind().is("", "Namespace");
        if finalizers.is_empty() && !is_namespace {
            remove(store, self.kind(), &key);
            return deleted(self.kind(), old, &self.now);
        }
        if object.pointer("/metadata/deletionTimestamp").is_none() {
            object = marked(&object, &self.now);
            if let (Some(metadata), false) =
                (object.get_mut("metadata").and_then(Value::as_object_mut), finalizers.is_empty())
            {
                metadata.insert("finalizers".into(), Value::Array(finalizers));
            }
            if is_namespace {
                if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                    metadata.shift_remove("deletionGracePeriodSeconds");
                }
                put_at(&mut object, &["status", "phase"], json!("Terminating"));
            }
            object = store.put(&key, object);
        }
        object
    }

    pub(super) fn delete_collection(&mut self, store: &mut Store) -> Result<Value, Failure> {
        let labels = Selector::parse(self.request.query("labelSelector").unwrap_or_default());
        let filter = Filter {
            resource: self.kind().resource(),
            namespace: (!self.target.namespace.is_empty()).then(|| self.target.namespace.clone()),
            labels: labels.ok_or_else(|| Failure::bad_request("unable to parse the label selector"))?,
            fields: self.request.query("fieldSelector").unwrap_or_default().to_owned(),
        };
        let found: Vec<(Key, Value)> =
            store.list(&filter).into_iter().map(|(key, object)| (key.clone(), object.clone())).collect();
        let options: Value = if self.request.body.is_empty() { json!({}) } else { self.body()? };
        let mut items = Vec::new();
        for (key, object) in found {
            if !self.dry_run {
                let target = Target { namespace: key.namespace.clone(), ..self.target.clone() };
                let call = Call {
                    target: &target,
                    request: self.request,
                    now: self.now.clone(),
                    dry_run: false,
                    warnings: Vec::new(),
                };
                call.start_deletion(store, &key.name, &object, text(&options, "/propagationPolicy"));
            }
            items.push(object);
        }
        Ok(json!({"kind": format!("{}List", self.kind().kind), "apiVersion": self.kind().api_version(),
                "metadata": {"resourceVersion": store.version().to_string()}, "items": items}))
    }
}

/// Takes an object out for good, and what only it stood for.
pub(super) fn remove(store: &mut Store, kind: &Kind, key: &Key) {
    if let Some(gone) = store.remove(key)
        && kind.is("apiextensions.k8s.io", "CustomResourceDefinition")
    {
        let (group, plural) = (text(&gone, "/spec/group").to_owned(), text(&gone, "/spec/names/plural").to_owned());
        store.undefine(&group, &plural);
        let resource = format!("{plural}.{group}");
        let left: Vec<Key> = store.all().map(|(key, _)| key).filter(|key| key.resource == resource).cloned().collect();
        for key in left {
            store.remove(&key);
        }
    }
}

/// The object with the marks of its deletion.
fn marked(object: &Value, now: &str) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("deletionTimestamp".into(), json!(now));
        metadata.insert("deletionGracePeriodSeconds".into(), json!(0));
        if let Some(generation) = metadata.get("generation").and_then(Value::as_i64) {
            metadata.insert("generation".into(), json!(generation + 1));
        }
    }
    object
}

/// The answer to a deletion that is done: the object for some kinds, a `Status` for the others.
fn deleted(kind: &Kind, object: &Value, now: &str) -> Value {
    if kind.is("", "Pod") {
        return marked(object, now);
    }
    if kind.group.is_empty()
        && matches!(
            kind.kind.as_str(),
            "Service"
                | "PersistentVolumeClaim"
                | "PersistentVolume"
                | "ServiceAccount"
                | "ResourceQuota"
                | "PodTemplate"
        )
    {
        return object.clone();
    }
    if kind.group == "storage.k8s.io" && kind.kind != "CSIStorageCapacity" {
        return object.clone();
    }
    let mut details = json!({"name": text(object, "/metadata/name")});
    if let Some(map) = details.as_object_mut() {
        if !kind.group.is_empty() {
            map.insert("group".into(), json!(kind.group));
        }
        map.insert("kind".into(), json!(kind.plural));
        map.insert("uid".into(), json!(text(object, "/metadata/uid")));
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

fn owns(uid: &str, object: &Value) -> bool {
    object
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .any(|owner| owner.get("uid") == Some(&json!(uid)))
}

/// Takes the owner `uid` out of all that it owns.
pub(super) fn orphan(store: &mut Store, uid: &str) {
    let owned: Vec<(Key, Value)> = store
        .all()
        .filter(|(_, object)| owns(uid, object))
        .map(|(key, object)| (key.clone(), object.clone()))
        .collect();
    for (key, mut object) in owned {
        if let Some(owners) = object.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut) {
            owners.retain(|owner| owner.get("uid") != Some(&json!(uid)));
        }
        store.put(&key, object);
    }
}
