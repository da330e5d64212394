//! Removes ignored fields from an apply, for RespectIgnoreDifferences.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use slipway_manifest::Object;

use super::jq::{self, PathSegment};
use super::{NormalizeError, Normalizer};
use crate::diff::{self, Path};
use crate::managed_fields::migrate;
use crate::managed_fields::owners;
use crate::managed_fields::record;
use crate::managed_fields::set;

impl Normalizer {
    /// Removes what is ignored from `desired`, for an apply over `live`.
    ///
    /// A field that another manager owns is removed: sending a copy of its value would make us an owner, too, and
    /// freeze it. A field that only we own gets its live value, because a field that its only owner omits is deleted.
    /// An ignored field that does not exist is not sent. An object that does not exist yet is created as in Git. `more`
    /// are managers whose fields the apply migrates, in addition to the usual two. An error where an expression is too
    /// costly for the object.
    pub fn respect(&self, desired: &mut Object, live: &Object, more: &[String]) -> Result<(), NormalizeError> {
        let before = desired.clone();
        self.leave(desired, live, more)?;
        if *desired != before {
            desired.set_annotation(record::FIELDS_IN_GIT, record::encode(&before));
        }
        Ok(())
    }

    fn leave(&self, desired: &mut Object, live: &Object, more: &[String]) -> Result<(), NormalizeError> {
        let (wanted, found) = (desired.to_value(), live.to_value());
        let mut paths = Vec::new();
        for rule in self.rules_for(desired) {
            paths.extend(rule.paths(&wanted, &self.budget)?);
        }
        let mut changes: BTreeMap<Vec<PathSegment>, Option<Value>> = BTreeMap::new();
        for path in paths.into_iter().filter(|path| !is_identity(path)) {
            let Some(named) = named(&wanted, &path) else { continue };
            let kept = is_only_ours(live, &named, more).then(|| diff::find(&found, &named).cloned()).flatten();
            changes.insert(path, kept);
        }
        let managers: Vec<&String> = self.rules_for(desired).flat_map(|rule| &rule.managers).collect();
        let mut value = wanted;
        // From the end, so that indexes stay valid.
        for (path, kept) in changes.into_iter().rev() {
            match kept.zip(at(&mut value, &path)) {
                Some((kept, place)) => *place = kept,
                None => jq::remove(&mut value, &path),
            }
        }
        if let Value::Object(mut fields) = value {
            for entry in set::entries(live) {
                if managers.iter().any(|manager| *manager == entry.manager) {
                    drop_ignored(entry.fields, &mut fields, &[]);
                }
            }
            *desired.as_map_mut() = fields;
        }
        Ok(())
    }
}

/// Whether a path is a part of the object's identity.
fn is_identity(path: &[PathSegment]) -> bool {
    let field = |index: usize| match path.get(index) {
        Some(PathSegment::Field(name)) => name.as_str(),
        _ => "",
    };
    match (field(0), field(1)) {
        ("apiVersion" | "kind", _) => true,
        ("metadata", name) => matches!(name, "" | "name" | "namespace"),
        _ => path.is_empty(),
    }
}

/// A path with list items by their identifying field, as their index in another version of the object differs; `None`
/// where there is no value.
fn named(value: &Value, path: &[PathSegment]) -> Option<Path> {
    let mut found = Path::default();
    let mut value = value;
    for step in path {
        match step {
            PathSegment::Field(name) => {
                found.0.push(diff::Segment::Field(name.clone()));
                value = value.get(name)?;
            }
            PathSegment::Index(index) => {
                let items = value.as_array()?;
                let length = i64::try_from(items.len()).ok()?;
                let index = usize::try_from(if *index < 0 { index + length } else { *index }).ok()?;
                value = items.get(index)?;
                found.0.push(match diff::naming_field(items, items) {
                    Some(key) => diff::Segment::Item(key.to_owned(), value.get(key)?.clone()),
                    None => diff::Segment::Index(index),
                });
            }
            PathSegment::Slice(..) => return Some(found),
        }
    }
    Some(found)
}

/// Whether the field has no owner except us and engines that we take over from.
fn is_only_ours(live: &Object, path: &Path, more: &[String]) -> bool {
    let owners = owners::of(live, path);
    !owners.is_empty() && owners.iter().all(|owner| migrate::is_ours(owner, more))
}

fn at<'a>(value: &'a mut Value, path: &[PathSegment]) -> Option<&'a mut Value> {
    let mut value = value;
    for step in path {
        value = match step {
            PathSegment::Field(name) => value.get_mut(name)?,
            PathSegment::Index(index) => value.get_mut(usize::try_from(*index).ok()?)?,
            PathSegment::Slice(..) => return None,
        };
    }
    Some(value)
}

/// Removes a set's fields from `desired`, except the `keys` that identify a list item.
fn drop_ignored(set: &Map<String, Value>, desired: &mut Map<String, Value>, keys: &[String]) {
    for (key, child) in set::children(set) {
        let Some(name) = key.strip_prefix("f:").filter(|name| !keys.iter().any(|key| key == name)) else { continue };
        let has_children = set::children(child).next().is_some();
        match desired.get_mut(name) {
            Some(Value::Object(fields)) if has_children => drop_ignored(child, fields, &[]),
            Some(Value::Array(items)) if has_children => {
                for (item, child) in set::children(child) {
                    let place = set::position(&Value::Array(items.clone()), item);
                    let keys: Map<String, Value> =
                        item.strip_prefix("k:").and_then(|keys| serde_json::from_str(keys).ok()).unwrap_or_default();
                    let keys: Vec<String> = keys.into_iter().map(|(key, _)| key).collect();
                    if let Some(fields) = place.and_then(|place| items.get_mut(place)).and_then(Value::as_object_mut) {
                        drop_ignored(child, fields, &keys);
                    }
                }
            }
            Some(_) => {
                desired.shift_remove(name);
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::argocd_cm::Overrides;

    fn object(replicas: u32, image: &str, managers: &Value) -> Object {
        Object::from_value(json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop", "managedFields": managers},
            "spec": {"replicas": replicas, "template": {"spec": {"containers": [{"name": "web", "image": image}]}}}}))
        .unwrap()
    }

    fn entry(manager: &str, fields: &Value) -> Value {
        json!({"manager": manager, "operation": "Apply", "apiVersion": "apps/v1", "fieldsV1": fields})
    }

    fn respected(rule: &Value, live: &Object) -> Value {
        let normalizer = Normalizer::new(std::slice::from_ref(rule), &Overrides::default()).unwrap();
        let mut desired = object(3, "git", &json!([]));
        normalizer.respect(&mut desired, live, &[]).unwrap();
        desired.to_value()["spec"].clone()
    }

    #[test]
    fn what_another_owns_is_left_out_and_what_only_we_own_is_kept_as_it_is() {
        let rule = json!({"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"],
            "jqPathExpressions": [".spec.template.spec.containers[] | select(.name == \"web\") | .image"]});
        let containers = json!({"f:containers": {r#"k:{"name":"web"}"#: {".": {}, "f:name": {}, "f:image": {}}}});
        let live = object(
            7,
            "live",
            &json!([
                entry("slipway", &json!({"f:spec": {"f:template": {"f:spec": containers}}})),
                entry("kube-controller-manager", &json!({"f:spec": {"f:replicas": {}}})),
            ]),
        );
        let spec = respected(&rule, &live);
        assert_eq!(spec, json!({"template": {"spec": {"containers": [{"name": "web", "image": "live"}]}}}));
    }

    #[test]
    fn a_managers_fields_are_left_out_but_for_the_keys_of_lists() {
        let rule = json!({"group": "*", "kind": "*", "managedFieldsManagers": ["scaler"]});
        let containers = json!({"f:containers": {r#"k:{"name":"web"}"#: {".": {}, "f:name": {}, "f:image": {}}}});
        let fields = json!({"f:spec": {"f:replicas": {}, "f:template": {"f:spec": containers}}});
        let spec = respected(&rule, &object(7, "live", &json!([entry("scaler", &fields)])));
        assert_eq!(spec, json!({"template": {"spec": {"containers": [{"name": "web"}]}}}));
    }
}
