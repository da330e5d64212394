//! Lists the fields that differ between two JSON trees: a live object and the predicted result of an apply. Pure.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;
use slipway_manifest::Object;

use crate::redact;
use crate::tracking::LAST_APPLIED;

/// One step from an object to a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Segment {
    /// A field of a mapping, by name.
    Field(String),
    /// The list item in which this field has this value.
    Item(String, Value),
    /// The n-th list item, from 0.
    Index(usize),
}

/// A field's path. Prints as `spec.template.spec.containers[name=web].image`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Path(pub Vec<Segment>);

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Segment::Field(name) if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') => {
                    write!(f, "{}{name}", if index == 0 { "" } else { "." })?;
                }
                Segment::Field(name) => write!(f, "[{name:?}]")?,
                Segment::Item(key, Value::String(value)) => write!(f, "[{key}={value}]")?,
                Segment::Item(key, value) => write!(f, "[{key}={value}]")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// A field that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The field's path.
    pub path: Path,
    /// The desired value; `None` where the field should not exist.
    pub desired: Option<Value>,
    /// The live value; `None` where the field does not exist.
    pub live: Option<Value>,
}

/// The differences between `live` and `desired`, which is the API server's answer to a dry run of the apply.
///
/// Fields that only the server writes are ignored: managedFields, resourceVersion, generation, creationTimestamp, uid,
/// selfLink, status and the last-applied annotation. List items are matched by an identifying field where there is one.
pub fn diff(live: &Object, desired: &Object) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut path = Path::default();
    compare(&mut path, Some(&normalized(live)), Some(&normalized(desired)), &mut found);
    found
}

/// The object without fields that only the server writes.
pub fn normalized(object: &Object) -> Value {
    let mut object = object.clone();
    crate::managed_fields::strip(&mut object);
    if redact::is_secret(object.group(), object.kind()) {
        redact::normalize_secret(&mut object);
    }
    if let Some(Value::Object(annotations)) = object.metadata_mut().get_mut("annotations") {
        annotations.shift_remove(LAST_APPLIED);
    }
    object.into_value()
}

/// The value at a path; `None` where there is none.
pub fn find<'a>(object: &'a Value, path: &Path) -> Option<&'a Value> {
    path.0.iter().try_fold(object, |value, step| match step {
        Segment::Field(name) => value.get(name),
        Segment::Item(key, name) => value.as_array()?.iter().find(|item| item.get(key) == Some(name)),
        Segment::Index(index) => value.get(index),
    })
}

fn compare(path: &mut Path, live: Option<&Value>, desired: Option<&Value>, found: &mut Vec<Difference>) {
    match (live, desired) {
        (Some(live), Some(desired)) if live == desired => {}
        // Go writes some missing fields as null.
        (None | Some(Value::Null), None | Some(Value::Null)) => {}
        (Some(Value::Object(live)), Some(Value::Object(desired))) => {
            let keys: BTreeSet<&String> = live.keys().chain(desired.keys()).collect();
            for key in keys {
                path.0.push(Segment::Field(key.clone()));
                compare(path, live.get(key), desired.get(key), found);
                path.0.pop();
            }
        }
        (Some(Value::Array(live)), Some(Value::Array(desired))) => compare_lists(path, live, desired, found),
        (live, desired) => {
            found.push(Difference { path: path.clone(), desired: desired.cloned(), live: live.cloned() });
        }
    }
}

fn compare_lists(path: &mut Path, live: &[Value], desired: &[Value], found: &mut Vec<Difference>) {
    let Some(key) = naming_field(live, desired) else {
        // An inserted or removed scalar shifts all that follow: such a list is reported as a whole.
        if live.len() != desired.len() && !live.iter().chain(desired).any(Value::is_object) {
            let whole = |items: &[Value]| Some(Value::Array(items.to_vec()));
            found.push(Difference { path: path.clone(), desired: whole(desired), live: whole(live) });
            return;
        }
        for index in 0..live.len().max(desired.len()) {
            path.0.push(Segment::Index(index));
            compare(path, live.get(index), desired.get(index), found);
            path.0.pop();
        }
        return;
    };
    let before = found.len();
    let named = |items: &[Value], name: &Value| items.iter().find(|item| item.get(key) == Some(name)).cloned();
    let added = live.iter().filter_map(|item| item.get(key)).filter(|name| named(desired, name).is_none());
    for name in desired.iter().filter_map(|item| item.get(key)).chain(added) {
        path.0.push(Segment::Item(key.to_owned(), name.clone()));
        compare(path, named(live, name).as_ref(), named(desired, name).as_ref(), found);
        path.0.pop();
    }
    if found.len() == before {
        // The same items in another order.
        let whole = |items: &[Value]| Some(Value::Array(items.to_vec()));
        found.push(Difference { path: path.clone(), desired: whole(desired), live: whole(live) });
    }
}

/// The field that identifies the items of both lists, from the keys of Kubernetes' own lists.
pub(crate) fn naming_field(live: &[Value], desired: &[Value]) -> Option<&'static str> {
    const FIELDS: [&str; 8] = ["name", "key", "containerPort", "port", "mountPath", "ip", "topologyKey", "type"];
    let unique = |items: &[Value], field: &str| {
        let mut seen = BTreeSet::new();
        items.iter().all(|item| {
            item.get(field).is_some_and(|name| (name.is_string() || name.is_number()) && seen.insert(name.to_string()))
        })
    };
    FIELDS.into_iter().find(|field| unique(live, field) && unique(desired, field))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(replicas: u64, image: &str, more: Value) -> Object {
        let mut object = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "resourceVersion": replicas.to_string(), "annotations": {"a.b/c": image,
                LAST_APPLIED: image}},
            "spec": {"replicas": replicas, "template": {"spec": {"containers": [
                {"name": "side", "image": "s"}, {"name": "web", "image": image, "args": ["a"]}]}}},
            "status": {"replicas": replicas}});
        if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
            object.extend(more);
        }
        Object::from_value(object).unwrap()
    }

    #[test]
    fn differences_name_the_field_and_both_values() {
        let found = diff(&deployment(5, "nginx:2", json!({})), &deployment(3, "nginx:1", json!({})));
        let lines: Vec<String> = found.iter().map(|d| format!("{} {:?} {:?}", d.path, d.live, d.desired)).collect();
        assert_eq!(
            lines,
            [
                r#"metadata.annotations["a.b/c"] Some(String("nginx:2")) Some(String("nginx:1"))"#,
                r"spec.replicas Some(Number(5)) Some(Number(3))",
                r#"spec.template.spec.containers[name=web].image Some(String("nginx:2")) Some(String("nginx:1"))"#,
            ]
        );
    }

    #[test]
    fn what_came_and_went_is_told() {
        let found = diff(
            &deployment(1, "a", json!({"x": [1, 2], "y": {"z": 1}})),
            &deployment(1, "a", json!({"x": [2], "w": true})),
        );
        let lines: Vec<String> =
            found.iter().map(|d| format!("{} {} {}", d.path, d.live.is_some(), d.desired.is_some())).collect();
        assert_eq!(lines, ["w false true", "x true true", "y true false"]);
    }

    #[test]
    fn the_order_of_named_items_matters_and_is_told_once() {
        let env = |names: [&str; 2]| deployment(1, "a", json!({"env": names.map(|n| json!({"name": n}))}));
        let found = diff(&env(["a", "b"]), &env(["b", "a"]));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path.to_string(), "env");
    }
}
