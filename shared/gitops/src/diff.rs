//! Lists the fields that differ between two JSON trees: a live object and the predicted result of an apply. Pure.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};
use slipway_gocompat::quantity;
use slipway_manifest::Object;

use crate::managed_fields::set;
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
    /// Whether only the order of a list differs whose items have owners by key: nobody owns that, and who changes it
    /// leaves no entry in managedFields.
    pub is_order: bool,
}

/// The differences between `live` and `desired`, which is the API server's answer to a dry run of the apply.
///
/// Fields that only the server writes are ignored: managedFields, resourceVersion, generation, creationTimestamp, uid,
/// selfLink, status and the last-applied annotation. List items are matched by an identifying field where there is one.
pub fn diff(live: &Object, desired: &Object) -> Vec<Difference> {
    Comparison { is_lenient: false }.of(live, desired)
}

/// As [`diff`], without what an apply would change and nothing depends on: the order of a list whose items have keys,
/// or which is a set, as far as managedFields say so, and quantities that are equal in another unit.
///
/// The order of `initContainers` counts, and that of variables of which one refers to another.
pub fn drift(live: &Object, desired: &Object) -> Vec<Difference> {
    Comparison { is_lenient: true }.of(live, desired)
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

/// How two objects are compared.
#[derive(Clone, Copy)]
struct Comparison {
    is_lenient: bool,
}

impl Comparison {
    fn of(self, live: &Object, desired: &Object) -> Vec<Difference> {
        let mut known = Map::new();
        for entry in set::entries(live).into_iter().chain(set::entries(desired)) {
            set::union(&mut known, entry.fields);
        }
        let mut found = Vec::new();
        let (live, desired) = (normalized(live), normalized(desired));
        self.compare(Some(&known), &mut Path::default(), Some(&live), Some(&desired), &mut found);
        found
    }

    /// `known` is what managedFields say about the value: which lists have keys.
    fn compare(
        self,
        known: Option<&Map<String, Value>>,
        path: &mut Path,
        live: Option<&Value>,
        desired: Option<&Value>,
        found: &mut Vec<Difference>,
    ) {
        let (no_fields, no_items) = (Map::new(), Vec::new());
        match (live, desired) {
            (Some(live), Some(desired)) if live == desired => {}
            // Go writes some missing fields as null.
            (None | Some(Value::Null), None | Some(Value::Null)) => {}
            (Some(live), Some(desired)) if self.is_lenient && is_equal_quantity(path, live, desired) => {}
            (Some(Value::Object(live)), Some(Value::Object(desired))) => {
                self.compare_fields(known, path, live, desired, found);
            }
            (Some(Value::Array(live)), Some(Value::Array(desired))) => {
                self.compare_lists(known, path, live, desired, found);
            }
            // What has an owner for each entry is told entry by entry, also where all are gone.
            (Some(Value::Object(fields)), None) if is_open(path) && !fields.is_empty() => {
                self.compare_fields(known, path, fields, &no_fields, found);
            }
            (None, Some(Value::Object(fields))) if is_open(path) && !fields.is_empty() => {
                self.compare_fields(known, path, &no_fields, fields, found);
            }
            (Some(Value::Array(items)), None) if is_keyed(known) && !items.is_empty() => {
                self.compare_lists(known, path, items, &no_items, found);
            }
            (None, Some(Value::Array(items))) if is_keyed(known) && !items.is_empty() => {
                self.compare_lists(known, path, &no_items, items, found);
            }
            (live, desired) => {
                let (desired, live) = (desired.cloned(), live.cloned());
                found.push(Difference { path: path.clone(), desired, live, is_order: false });
            }
        }
    }

    fn compare_fields(
        self,
        known: Option<&Map<String, Value>>,
        path: &mut Path,
        live: &Map<String, Value>,
        desired: &Map<String, Value>,
        found: &mut Vec<Difference>,
    ) {
        let keys: BTreeSet<&String> = live.keys().chain(desired.keys()).collect();
        for key in keys {
            let below = known.and_then(|known| known.get(&format!("f:{key}"))).and_then(Value::as_object);
            path.0.push(Segment::Field(key.clone()));
            self.compare(below, path, live.get(key), desired.get(key), found);
            path.0.pop();
        }
    }

    fn compare_lists(
        self,
        known: Option<&Map<String, Value>>,
        path: &mut Path,
        live: &[Value],
        desired: &[Value],
        found: &mut Vec<Difference>,
    ) {
        let whole = |items: &[Value]| Some(Value::Array(items.to_vec()));
        let is_set = known.is_some_and(|known| set::children(known).any(|(key, _)| key.starts_with("v:")));
        if self.is_lenient && is_set && is_permutation(live, desired) {
            return;
        }
        let Some(key) = naming_field(live, desired).map(str::to_owned).or_else(|| schema_key(known, live, desired))
        else {
            // An inserted or removed scalar shifts all that follow: such a list is reported as a whole.
            if is_set || live.len() != desired.len() && !live.iter().chain(desired).any(Value::is_object) {
                let (desired, live) = (whole(desired), whole(live));
                found.push(Difference { path: path.clone(), desired, live, is_order: false });
                return;
            }
            for index in 0..live.len().max(desired.len()) {
                path.0.push(Segment::Index(index));
                self.compare(None, path, live.get(index), desired.get(index), found);
                path.0.pop();
            }
            return;
        };
        let before = found.len();
        let named = |items: &[Value], name: &Value| items.iter().find(|item| item.get(&key) == Some(name)).cloned();
        let added = live.iter().filter_map(|item| item.get(&key)).filter(|name| named(desired, name).is_none());
        for name in desired.iter().filter_map(|item| item.get(&key)).chain(added) {
            let (live, desired) = (named(live, name), named(desired, name));
            let below = desired.as_ref().or(live.as_ref()).and_then(|item| of_item(known?, item));
            path.0.push(Segment::Item(key.clone(), name.clone()));
            self.compare(below, path, live.as_ref(), desired.as_ref(), found);
            path.0.pop();
        }
        let order = |items: &[Value]| items.iter().filter_map(|item| item.get(&key).cloned()).collect::<Vec<_>>();
        let is_free = self.is_lenient && is_keyed(known) && !is_ordered(path, desired);
        if found.len() == before && !is_free && order(live) != order(desired) {
            // The same items in another order.
            let (desired, live) = (whole(desired), whole(live));
            found.push(Difference { path: path.clone(), desired, live, is_order: is_keyed(known) });
        }
    }
}

/// Whether the items of a list have keys, by the schema.
fn is_keyed(known: Option<&Map<String, Value>>) -> bool {
    known.is_some_and(|known| set::children(known).any(|(key, _)| key.starts_with("k:")))
}

/// What managedFields say about a list item.
fn of_item<'a>(known: &'a Map<String, Value>, item: &Value) -> Option<&'a Map<String, Value>> {
    let keys = |key: &str| serde_json::from_str::<Map<String, Value>>(key.strip_prefix("k:")?).ok();
    let mut children = set::children(known);
    children.find(|(key, _)| keys(key).is_some_and(|keys| set::has_keys(item, &keys))).map(|(_, child)| child)
}

/// The key of a list by its schema, where one field of it tells all items apart.
fn schema_key(known: Option<&Map<String, Value>>, live: &[Value], desired: &[Value]) -> Option<String> {
    let names = set::children(known?).map(|(key, _)| set::names(key)).find(|names| !names.is_empty())?;
    names.into_iter().find(|name| is_unique(live, name) && is_unique(desired, name))
}

/// Whether the order of a keyed list has a meaning: containers that run one after the other, variables that refer to
/// those before them.
fn is_ordered(path: &Path, items: &[Value]) -> bool {
    match path.0.last() {
        Some(Segment::Field(name)) if name == "initContainers" => true,
        Some(Segment::Field(name)) if name == "env" => {
            items.iter().any(|item| item.get("value").and_then(Value::as_str).is_some_and(|text| text.contains("$(")))
        }
        _ => false,
    }
}

/// Whether both lists have the same items.
fn is_permutation(live: &[Value], desired: &[Value]) -> bool {
    let sorted = |items: &[Value]| {
        let mut texts: Vec<String> = items.iter().map(Value::to_string).collect();
        texts.sort_unstable();
        texts
    };
    live.len() == desired.len() && sorted(live) == sorted(desired)
}

/// Whether a mapping has an owner for each of its entries, whatever they are called.
fn is_open(path: &Path) -> bool {
    const NAMES: [&str; 6] = ["annotations", "binaryData", "data", "labels", "limits", "requests"];
    matches!(path.0.last(), Some(Segment::Field(name)) if NAMES.contains(&name.as_str()))
}

/// Whether both are the same quantity, in a field of that type (k8s.io/api `core/v1`, `autoscaling/v2`).
fn is_equal_quantity(path: &Path, live: &Value, desired: &Value) -> bool {
    const MAPPINGS: [&str; 7] = ["allocatable", "capacity", "hard", "limits", "overhead", "requests", "used"];
    const FIELDS: [&str; 3] = ["averageValue", "divisor", "sizeLimit"];
    let [.., Segment::Field(above), Segment::Field(name)] = path.0.as_slice() else { return false };
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    (MAPPINGS.contains(&above.as_str()) || FIELDS.contains(&name.as_str()))
        && text(live).zip(text(desired)).is_some_and(|(live, desired)| quantity::is_equal(&live, &desired))
}

/// The field that identifies the items of both lists, from the keys of Kubernetes' own lists.
pub(crate) fn naming_field(live: &[Value], desired: &[Value]) -> Option<&'static str> {
    const FIELDS: [&str; 8] = ["name", "key", "containerPort", "port", "mountPath", "ip", "topologyKey", "type"];
    FIELDS.into_iter().find(|field| is_unique(live, field) && is_unique(desired, field))
}

/// Whether each item has another value of a field.
fn is_unique(items: &[Value], field: &str) -> bool {
    let mut seen = BTreeSet::new();
    items.iter().all(|item| {
        item.get(field).is_some_and(|name| (name.is_string() || name.is_number()) && seen.insert(name.to_string()))
    })
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

    fn managed(mut object: Value, fields: &Value) -> Object {
        object["metadata"] = json!({"name": "a", "managedFields": [{"manager": "slipway", "operation": "Apply",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": fields}}]});
        object["apiVersion"] = json!("v1");
        object["kind"] = json!("X");
        Object::from_value(object).unwrap()
    }

    /// The paths of all differences, and of those that are drift.
    fn both(fields: &Value, live: &Value, desired: &Value) -> (Vec<String>, Vec<String>) {
        let object = |spec: &Value| managed(json!({ "spec": spec }), fields);
        let paths = |found: Vec<Difference>| found.iter().map(|one| one.path.to_string()).collect();
        let (live, desired) = (object(live), object(desired));
        (paths(diff(&live, &desired)), paths(drift(&live, &desired)))
    }

    #[test]
    fn another_order_is_no_drift_where_the_schema_gives_keys() {
        let keyed = |list: &str, key: &str| json!({format!("f:{list}"): {format!("k:{{\"{key}\":\"a\"}}"): {}}});
        let items = |list: &str, key: &str, names: [&str; 2]| {
            let named = names.map(|name| json!({key: name, "value": name}));
            json!({ list: named })
        };
        for (list, key, is_drift) in
            [("env", "name", false), ("routes", "host", false), ("initContainers", "name", true)]
        {
            let (all, drifts) = both(&keyed(list, key), &items(list, key, ["a", "b"]), &items(list, key, ["b", "a"]));
            assert_eq!(all, [format!("spec.{list}")]);
            assert_eq!(!drifts.is_empty(), is_drift, "{list}");
        }
        // One variable refers to the other; a list without keys in the schema.
        let refers = |first: &str, second: &str| json!({"env": [{"name": first, "value": "$(x)"}, {"name": second}]});
        assert_eq!(both(&keyed("env", "name"), &refers("a", "b"), &refers("b", "a")).1.len(), 2);
        let order = |names: [&str; 2]| json!({"env": names.map(|name| json!({"name": name, "value": "$(x)"}))});
        assert_eq!(both(&keyed("env", "name"), &order(["a", "b"]), &order(["b", "a"])).1, ["spec.env"]);
        let is_order = |fields: &Value| {
            let object = |names| managed(json!({"spec": order(names)}), fields);
            drift(&object(["a", "b"]), &object(["b", "a"])).iter().all(|one| one.is_order)
        };
        assert!(is_order(&keyed("env", "name")) && !is_order(&json!({"f:env": {}})), "an atomic list has an owner");
        let atomic = json!({"f:env": {}});
        assert_eq!(both(&atomic, &items("env", "name", ["a", "b"]), &items("env", "name", ["b", "a"])).1, ["spec.env"]);
        let set = json!({"f:names": {"v:\"a\"": {}}});
        assert!(both(&set, &json!({"names": ["a", "b"]}), &json!({"names": ["b", "a"]})).1.is_empty());
        assert_eq!(both(&set, &json!({"names": ["a", "b"]}), &json!({"names": ["a"]})).1, ["spec.names"]);
        assert_eq!(both(&json!({"f:args": {}}), &json!({"args": ["a", "b"]}), &json!({"args": ["b", "a"]})).1.len(), 2);
    }

    #[test]
    fn an_equal_quantity_is_no_drift() {
        let limits = |memory: Value| json!({"limits": {"memory": memory}, "env": {"value": memory}});
        let found = both(&json!({}), &limits(json!("128Mi")), &limits(json!(134_217_728)));
        assert_eq!(found.0, ["spec.env.value", "spec.limits.memory"]);
        assert_eq!(found.1, ["spec.env.value"]);
        assert_eq!(both(&json!({}), &limits(json!("128Mi")), &limits(json!("129Mi"))).1.len(), 2);
    }

    #[test]
    fn entries_with_owners_of_their_own_are_told_one_by_one() {
        let fields = json!({"f:env": {"k:{\"name\":\"a\"}": {}}, "f:args": {}});
        let spec = json!({"env": [{"name": "a"}, {"name": "b"}], "args": ["a"], "labels": {"a": "1", "b": "1"},
            "probe": {"path": "/", "port": 1}});
        let expected =
            ["spec.args", "spec.env[name=a]", "spec.env[name=b]", "spec.labels.a", "spec.labels.b", "spec.probe"];
        assert_eq!(
            both(
                &fields,
                &json!({"x": 1}),
                &json!({"x": 1, "env": spec["env"], "args": spec["args"],
            "labels": spec["labels"], "probe": spec["probe"]})
            )
            .1,
            expected
        );
        assert_eq!(both(&fields, &spec, &json!({})).1, expected);
    }

    #[test]
    fn the_order_of_named_items_matters_and_is_told_once() {
        let env = |names: [&str; 2]| deployment(1, "a", json!({"env": names.map(|n| json!({"name": n}))}));
        let found = diff(&env(["a", "b"]), &env(["b", "a"]));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path.to_string(), "env");
    }
}
