//! Compares a live object with its desired state and names the field manager behind each difference, and which
//! differences are new. Pure.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::Sha256;
use slipway_gitops::diff::Difference;
use slipway_gitops::managed_fields::{migrate, owners};
use slipway_gitops::{Redactor, diff, redact};
use slipway_manifest::{Object, ObjectId};

use crate::notify::report::Drift;
use crate::secret::StateKeys;

/// A difference, and the key under which the state remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftedField {
    /// Object and field: `Deployment/shop/web spec.replicas`. Never a value.
    pub key: String,
    /// HMAC of both values: distinguishes a further change from the reported one, and reveals nothing else.
    pub fingerprint: String,
    /// The same under the key before its last rotation: a rotation reports nothing twice.
    pub former: Option<String>,
    /// Whether another manager owns the field: neither Slipway nor an engine that it takes over from.
    pub by_others: bool,
    /// The report; values of Secrets are redacted.
    pub drift: Drift,
}

/// The secret that fingerprints are keyed with, so that values can't be guessed from the state.
pub struct FingerprintKey<'a>(pub &'a StateKeys);

impl FingerprintKey<'_> {
    /// The fingerprint under the key, and under the one before it.
    fn fingerprints(
        &self,
        object: &str,
        field: &str,
        desired: Option<&Value>,
        live: Option<&Value>,
    ) -> (String, Option<String>) {
        let what = json!([object, field, desired, live]).to_string();
        let under = |key: &SecretString| {
            // HMAC takes a key of any length, so that this branch is never taken.
            let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()) else {
                return String::new();
            };
            mac.update(what.as_bytes());
            hex::encode(mac.finalize().into_bytes().get(..16).unwrap_or_default())
        };
        (under(&self.0.current), self.0.previous.as_ref().map(under))
    }
}

/// Lists the differences between `live` and `predicted`, the API server's answer to a dry run of the apply. Values of
/// Secrets are redacted wherever they occur: in the Secret itself, and in other objects those that `redactor` knows.
/// Another order of a keyed list, and an equal quantity, are none.
pub fn compare(live: &Object, predicted: &Object, key: &FingerprintKey<'_>, redactor: &Redactor) -> Vec<DriftedField> {
    let id = live.id();
    let plain = diff::drift(live, predicted);
    let (mut shown_live, mut shown_predicted) = (live.clone(), predicted.clone());
    redact::redact(&mut [&mut shown_live, &mut shown_predicted], &[]);
    // Equal values have equal masks, so both lists have the same fields.
    let shown = diff::drift(&shown_live, &shown_predicted);
    plain
        .iter()
        .filter_map(|difference| Some((difference, shown.iter().find(|other| other.path == difference.path)?)))
        .map(|(plain, shown)| found(&id, live, plain, shown, key, redactor))
        .collect()
}

fn found(
    id: &ObjectId,
    live: &Object,
    plain: &Difference,
    shown: &Difference,
    key: &FingerprintKey<'_>,
    redactor: &Redactor,
) -> DriftedField {
    let text = |value: &Value| redactor.redact(&text(value)).into_owned();
    let (object, field) = (id.to_string(), plain.path.to_string());
    let owners = if plain.is_order { Vec::new() } else { owners::of(live, &plain.path) };
    let by_others = owners.iter().any(|owner| !migrate::is_ours(owner, &[]));
    let other = owners.into_iter().find(|owner| owner.manager != slipway_gitops::managed_fields::FIELD_MANAGER);
    let owner = other.or_else(|| owners::creator(live));
    let drift = Drift {
        object: object.clone(),
        field: field.clone(),
        desired: shown.desired.as_ref().map(text),
        live: shown.live.as_ref().map(text),
        manager: owner.as_ref().map(|owner| owner.manager.clone()),
        time: owner.map(|owner| owner.time).filter(|time| !time.is_empty()),
    };
    let (fingerprint, former) = key.fingerprints(&object, &field, plain.desired.as_ref(), plain.live.as_ref());
    DriftedField { key: format!("{object} {field}"), fingerprint, former, by_others, drift }
}

/// Reports an object that Git has and the cluster lacks.
pub fn missing(id: &ObjectId, key: &FingerprintKey<'_>) -> DriftedField {
    let object = id.to_string();
    let (fingerprint, former) = key.fingerprints(&object, "", None, None);
    DriftedField {
        key: object.clone(),
        fingerprint,
        former,
        by_others: false,
        drift: Drift {
            object,
            field: String::new(),
            desired: Some("the object".to_owned()),
            live: None,
            manager: None,
            time: None,
        },
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Compares with the `known` differences; returns the new ones and the resolved ones. Objects in `unsure` could not be
/// compared: none of their differences counts as resolved.
pub fn new_since<'a>(
    found: &'a [DriftedField],
    known: &BTreeMap<String, String>,
    unsure: &[String],
) -> (Vec<&'a DriftedField>, Vec<String>) {
    let is_known = |found: &&DriftedField| {
        known.get(&found.key).is_some_and(|known| *known == found.fingerprint || found.former.as_ref() == Some(known))
    };
    let new = found.iter().filter(|found| !is_known(found)).collect();
    let is_unsure = |key: &str| unsure.iter().any(|object| key == object || key.starts_with(&format!("{object} ")));
    let still = |key: &str| found.iter().any(|found| found.key == key);
    let gone = known.keys().filter(|key| !still(key) && !is_unsure(key)).cloned().collect();
    (new, gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(replicas: u32, managed: &Value) -> Object {
        Object::from_value(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop", "managedFields": managed},
            "spec": {"replicas": replicas}
        }))
        .unwrap()
    }

    fn keys() -> StateKeys {
        StateKeys { current: "key".into(), previous: None }
    }

    fn managed() -> Value {
        json!([
            {"manager": "slipway", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
                "time": "2026-11-21T10:00:00Z", "fieldsV1": {"f:spec": {}}},
            {"manager": "kubectl", "operation": "Update", "subresource": "scale", "apiVersion": "apps/v1",
                "fieldsType": "FieldsV1", "time": "2026-11-21T11:00:00Z", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
        ])
    }

    #[test]
    fn a_scaled_deployment_names_field_values_manager_and_time() {
        let keys = keys();
        let found = compare(
            &deployment(5, &managed()),
            &deployment(2, &managed()),
            &FingerprintKey(&keys),
            &Redactor::default(),
        );
        assert_eq!(found.len(), 1);
        let DriftedField { key, drift, .. } = &found[0];
        assert_eq!(key, "Deployment/shop/web spec.replicas");
        assert_eq!((drift.desired.as_deref(), drift.live.as_deref()), (Some("2"), Some("5")));
        assert_eq!((drift.manager.as_deref(), drift.time.as_deref()), (Some("kubectl"), Some("2026-11-21T11:00:00Z")));
    }

    #[test]
    fn secrets_are_masked_and_still_told_apart() {
        let keys = keys();
        let object = |value: &str| {
            Object::from_value(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s",
                "namespace": "shop"}, "data": {"password": value}}))
            .unwrap()
        };
        let once =
            compare(&object("Y2FuYXJ5MQ=="), &object("Y2FuYXJ5Mg=="), &FingerprintKey(&keys), &Redactor::default());
        let twice =
            compare(&object("Y2FuYXJ5Mw=="), &object("Y2FuYXJ5Mg=="), &FingerprintKey(&keys), &Redactor::default());
        assert_eq!(once.len(), 1);
        assert!(!format!("{once:?}").contains("Y2Fu"), "{once:?}");
        assert_ne!(once[0].fingerprint, twice[0].fingerprint);
        assert_ne!(once[0].drift.desired, once[0].drift.live);
        // A Secret's password that also stands in a ConfigMap.
        let password = Object::from_value(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
                "stringData": {"p": "c4n4ry-hunter2"}}));
        let map = |value: &str| {
            Object::from_value(
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"url": value}}),
            )
            .unwrap()
        };
        let redactor = Redactor::of(&[password.unwrap()]);
        let leaked = compare(&map("db://u:c4n4ry-hunter2@h"), &map("db://h"), &FingerprintKey(&keys), &redactor);
        assert_eq!(leaked[0].drift.live.as_deref(), Some("db://u:++++++++@h"));
    }

    #[test]
    fn the_same_drift_is_told_once_and_its_end_too() {
        let keys = keys();
        let key = FingerprintKey(&keys);
        let found = compare(&deployment(5, &json!([])), &deployment(2, &json!([])), &key, &Redactor::default());
        let mut known = BTreeMap::new();
        assert_eq!(new_since(&found, &known, &[]).0.len(), 1);
        known.insert(found[0].key.clone(), found[0].fingerprint.clone());
        assert_eq!(new_since(&found, &known, &[]), (vec![], vec![]));
        let further = compare(&deployment(6, &json!([])), &deployment(2, &json!([])), &key, &Redactor::default());
        assert_eq!(new_since(&further, &known, &[]).0.len(), 1);
        assert_eq!(new_since(&[], &known, &[]).1, [found[0].key.clone()]);
        assert!(new_since(&[], &known, &["Deployment/shop/web".to_owned()]).1.is_empty());
        // The key is rotated once, and once more.
        let rotated = |previous: &str| StateKeys { current: "new".into(), previous: Some(previous.into()) };
        for (previous, told) in [("key", 0), ("other", 1)] {
            let keys = rotated(previous);
            let key = FingerprintKey(&keys);
            let again = compare(&deployment(5, &json!([])), &deployment(2, &json!([])), &key, &Redactor::default());
            assert_eq!(new_since(&again, &known, &[]).0.len(), told, "{previous}");
        }
        let gone = missing(&ObjectId::new("", "ConfigMap", "shop", "c"), &key);
        assert_eq!(gone.key, "ConfigMap/shop/c");
    }
}
