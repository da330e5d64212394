//! Taking over the fields that Argo CD or `kubectl apply` own, so that what is removed in Git is removed in the cluster.
//!
//! As client-go moves a client-side applier's fields (kubernetes/client-go `util/csaupgrade/upgrade.go`): the entries of
//! the old managers become part of ours in `metadata.managedFields`, by a JSON patch that holds only for the resourceVersion read.
//! Entries of subresources (`scale`, `status`) are never touched.

use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};
use slipway_manifest::Object;

use crate::apply::MANAGER;
use crate::blame::Owner;
use crate::connect::Cluster;
use crate::error::{ApiError, Class, Failure, Verb};
use crate::fieldset::{self, Entry};
use crate::live::{self, Place};
use crate::tracking::LAST_APPLIED;

/// Argo CD's field manager, with client-side and server-side apply alike.
const ARGO: &str = "argocd-controller";
/// `kubectl apply`'s.
const KUBECTL: &str = "kubectl-client-side-apply";
/// How often a take-over is tried when others write at the same time.
const ATTEMPTS: usize = 4;

/// Whether the fields of `entry` are to become ours.
fn is_taken(entry: &Entry<'_>, more: &[String]) -> bool {
    let named = match entry.manager {
        ARGO => true,
        KUBECTL => entry.operation == "Update",
        other => other != MANAGER && more.iter().any(|name| name == other),
    };
    named && entry.subresource.is_empty()
}

/// Whether an owner is us, or an engine whose fields the next apply takes over: Argo CD, `kubectl apply` or one of `more`.
pub fn is_ours(owner: &Owner, more: &[String]) -> bool {
    let Owner { manager, operation, subresource, time } = owner;
    let entry = Entry { manager, operation, subresource, time, fields: &Map::new() };
    subresource.is_empty() && (manager == MANAGER || is_taken(&entry, more))
}

/// Moves the fields of Argo CD, `kubectl apply` and `more` managers on `live` over to ours and removes the last-applied annotation.
///
/// Gives the object as it is then; `None` if there was nothing to take over.
pub async fn take_over(
    cluster: &Cluster,
    place: &Place,
    live: &Object,
    more: &[String],
) -> Result<Option<Object>, Failure> {
    let mut current = live.clone();
    for attempt in 1.. {
        let Some(patch) = patch(&current, more) else { return Ok((attempt > 1).then_some(current)) };
        let send = async {
            let (request, name) = place.named()?;
            let url = format!("{}/{name}?fieldManager={MANAGER}", request.url_path);
            let body = serde_json::to_vec(&patch).map_err(|e| ApiError::local(Class::Malformed, e.to_string()))?;
            let request = http::Request::patch(url)
                .header(CONTENT_TYPE, "application/json-patch+json")
                .body(body)
                .map_err(kube::core::request::Error::BuildRequest);
            live::object(cluster.send(request).await?.body)
        };
        match send.await {
            Ok(object) => return Ok(Some(object)),
            Err(error) if error.class == Class::Conflict && attempt < ATTEMPTS => {
                match live::get(cluster, place).await? {
                    Some(object) => current = object,
                    None => return Ok(None),
                }
            }
            Err(error) => return Err(place.failed(Verb::TakeOver)(error)),
        }
    }
    Ok(None)
}

/// The JSON patch that moves the fields, or `None` where nothing is to be moved. Pure.
pub fn patch(live: &Object, more: &[String]) -> Option<Value> {
    let list = live.pointer("/metadata/managedFields")?.as_array()?;
    let is_ours =
        |entry: &Entry<'_>| entry.manager == MANAGER && entry.operation == "Apply" && entry.subresource.is_empty();
    let taken = |value: &&Value| fieldset::entry(value).is_some_and(|entry| is_taken(&entry, more));
    let first = list.iter().find(taken)?;
    let ours = list.iter().find(|value| fieldset::entry(value).is_some_and(|entry| is_ours(&entry)));

    let mut merged = ours.unwrap_or(first).as_object()?.clone();
    let mut fields = Map::new();
    for entry in ours.iter().copied().chain(list.iter().filter(taken)).filter_map(fieldset::entry) {
        if fields.is_empty() {
            fields.clone_from(entry.fields);
        } else {
            fieldset::union(&mut fields, entry.fields);
        }
    }
    let annotation = format!("f:{LAST_APPLIED}");
    fieldset::remove(&mut fields, &["f:metadata", "f:annotations", &annotation]);
    merged.insert("manager".to_owned(), json!(MANAGER));
    merged.insert("operation".to_owned(), json!("Apply"));
    merged.insert("fieldsV1".to_owned(), Value::Object(fields));

    let kept = list
        .iter()
        .filter(|value| !fieldset::entry(value).is_some_and(|entry| is_taken(&entry, more) || is_ours(&entry)));
    let managed: Vec<Value> = std::iter::once(Value::Object(merged)).chain(kept.cloned()).collect();
    let mut patch = vec![
        json!({"op": "replace", "path": "/metadata/managedFields", "value": managed}),
        json!({"op": "replace", "path": "/metadata/resourceVersion", "value": live.pointer("/metadata/resourceVersion")?}),
    ];
    if live.annotation(LAST_APPLIED).is_some() {
        patch.push(
            json!({"op": "remove", "path": format!("/metadata/annotations/{}", LAST_APPLIED.replace('/', "~1"))}),
        );
    }
    Some(Value::Array(patch))
}

/// Shows in `predicted`, the answer of a dry run, what a take-over would remove: fields that only the managers taken over own
/// and that `desired` does not have. A default that the API server would put in their place is not foreseen.
pub fn predict(live: &Object, desired: &Object, predicted: &mut Object, more: &[String]) {
    let entries = fieldset::entries(live);
    let mut taken = Map::new();
    let mut others = Map::new();
    for entry in &entries {
        if is_taken(entry, more) {
            fieldset::union(&mut taken, entry.fields);
        } else if entry.manager != MANAGER {
            fieldset::union(&mut others, entry.fields);
        }
    }
    if taken.is_empty() {
        return;
    }
    let mut value = predicted.to_value();
    prune_unwanted(&taken, Some(&others), Some(&desired.to_value()), &mut value);
    if let Ok(object) = Object::from_value(value) {
        *predicted = object;
    }
}

fn prune_unwanted(
    taken: &Map<String, Value>,
    others: Option<&Map<String, Value>>,
    desired: Option<&Value>,
    value: &mut Value,
) {
    for (key, child) in fieldset::children(taken) {
        let theirs = others.and_then(|set| set.get(key)).and_then(Value::as_object);
        let wanted = desired.and_then(|desired| fieldset::select(desired, key));
        if wanted.is_none() && theirs.is_none() && fieldset::is_member(child) {
            match (key.strip_prefix("f:"), fieldset::position(value, key)) {
                (Some(field), _) => {
                    value.as_object_mut().and_then(|map| map.shift_remove(field));
                }
                (None, Some(index)) => {
                    value.as_array_mut().map(|items| items.remove(index));
                }
                (None, None) => {}
            }
            continue;
        }
        let below = match (key.strip_prefix("f:"), fieldset::position(value, key)) {
            (Some(field), _) => value.get_mut(field),
            (None, Some(index)) => value.get_mut(index),
            (None, None) => None,
        };
        if let Some(below) = below {
            prune_unwanted(child, theirs, wanted, below);
        }
    }
}

/// Takes out of a manifest what only the API server writes: nobody can own it.
pub fn strip(object: &mut Object) {
    const METADATA: [&str; 6] =
        ["managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink"];
    // Most manifests have none of it, and stay shared.
    if object.get("status").is_some() {
        object.as_map_mut().shift_remove("status");
    }
    if object.metadata().is_some_and(|metadata| METADATA.iter().any(|field| metadata.contains_key(*field))) {
        for field in METADATA {
            object.metadata_mut().shift_remove(field);
        }
    }
    if object.annotation(LAST_APPLIED).is_some()
        && let Some(Value::Object(annotations)) = object.metadata_mut().get_mut("annotations")
    {
        annotations.shift_remove(LAST_APPLIED);
    }
}

/// Another engine that applied an object after we did: two engines would fight over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rival {
    /// Its field manager.
    pub manager: String,
    /// When it applied.
    pub time: String,
}

/// Whether Argo CD applied `live` later than we did. An object that we never applied has no rival: it is taken over. Pure.
pub fn rival(live: &Object) -> Option<Rival> {
    let entries = fieldset::entries(live);
    let latest = |manager: &str| {
        let times = entries.iter().filter(|entry| entry.manager == manager && entry.subresource.is_empty());
        times.filter_map(|entry| entry.time.parse::<jiff::Timestamp>().ok().map(|time| (time, entry.time))).max()
    };
    let (ours, theirs) = (latest(MANAGER)?, latest(ARGO)?);
    (theirs.0 > ours.0).then(|| Rival { manager: ARGO.to_owned(), time: theirs.1.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live() -> Object {
        Object::from_value(json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "c", "namespace": "a", "resourceVersion": "7", "annotations": {LAST_APPLIED: "{}"},
                "managedFields": [
                    {"manager": KUBECTL, "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "time": "2026-11-21T10:00:00Z",
                     "fieldsV1": {"f:data": {".": {}, "f:gone": {}, "f:kept": {}, "f:shared": {}},
                                  "f:metadata": {"f:annotations": {".": {}, format!("f:{LAST_APPLIED}"): {}}}}},
                    {"manager": "other", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:shared": {}}}},
                    {"manager": ARGO, "operation": "Update", "subresource": "status", "fieldsType": "FieldsV1", "fieldsV1": {"f:status": {}}}]},
            "data": {"gone": "1", "kept": "1", "shared": "1"}}))
        .unwrap()
    }

    #[test]
    fn main_resource_entries_become_ours_and_last_applied_goes() {
        let patch = patch(&live(), &[]).unwrap();
        let managed = patch.pointer("/0/value").unwrap().as_array().unwrap();
        assert_eq!(managed.len(), 3);
        assert_eq!(managed[0]["manager"], MANAGER);
        assert_eq!(managed[0]["operation"], "Apply");
        assert!(!managed[0].to_string().contains(LAST_APPLIED));
        assert_eq!(managed[2]["subresource"], "status");
        assert_eq!(patch.pointer("/1/value").unwrap(), "7");
        assert_eq!(patch.pointer("/2/op").unwrap(), "remove");
    }

    #[test]
    fn nothing_to_take_over_is_no_patch() {
        let mut object = live();
        object.metadata_mut().insert("managedFields".to_owned(), json!([]));
        assert_eq!(patch(&object, &[]), None);
    }

    #[test]
    fn a_prediction_drops_what_only_the_old_manager_had() {
        let desired = Object::from_value(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "a"}, "data": {"kept": "1"}})).unwrap();
        let mut predicted = live();
        predict(&live(), &desired, &mut predicted, &[]);
        assert_eq!(predicted.get("data"), Some(&json!({"kept": "1", "shared": "1"})));
        assert_eq!(predicted.annotation(LAST_APPLIED), None);
    }

    #[test]
    fn a_newer_argo_cd_is_a_rival() {
        let with = |ours: &str, theirs: &str| {
            let mut object = live();
            object.metadata_mut().insert(
                "managedFields".to_owned(),
                json!([
                {"manager": MANAGER, "operation": "Apply", "time": ours, "fieldsV1": {}},
                {"manager": ARGO, "operation": "Apply", "time": theirs, "fieldsV1": {}}]),
            );
            rival(&object).is_some()
        };
        assert!(with("2026-11-21T10:00:00Z", "2026-11-21T11:00:00Z"));
        assert!(!with("2026-11-21T12:00:00Z", "2026-11-21T11:00:00Z"));
        assert!(rival(&live()).is_none());
    }
}
