//! Mappings that can hold one of several things: what they held can't stay beside what Git asks for. Pure.
//!
//! `kubectl apply` knows them by the patch strategy `retainKeys` (k8s.io/api `core/v1` and `apps/v1`). Server-side
//! apply does not: it removes what its manager applied, but not what the API server filled in (the `rollingUpdate` of
//! a Deployment that becomes `Recreate`), and the result is invalid.

use serde_json::{Map, Value};
use slipway_manifest::Object;

use crate::managed_fields::set;

/// The fields of `live` that are replaced by what `desired` has in their place, as paths and sets.
pub(super) fn replaced_alternatives(live: &Object, desired: &Object) -> Vec<(Vec<String>, Map<String, Value>)> {
    let pod: &[&str] = match (desired.group(), desired.kind()) {
        ("", "Pod") => &["spec"],
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") | ("batch", "Job") => {
            &["spec", "template", "spec"]
        }
        ("batch", "CronJob") => &["spec", "jobTemplate", "spec", "template", "spec"],
        _ => return Vec::new(),
    };
    let mut found = Vec::new();
    let volumes: Vec<&str> = pod.iter().copied().chain(["volumes"]).collect();
    let items = at(desired, &volumes).and_then(Value::as_array);
    for wanted in items.into_iter().flatten() {
        let Some(name) = wanted.get("name") else { continue };
        let key = format!("k:{}", Value::Object(Map::from_iter([("name".to_owned(), name.clone())])));
        let held = at(live, &volumes).and_then(|list| set::select(list, &key));
        let path: Vec<String> = volumes.iter().map(|field| format!("f:{field}")).chain([key]).collect();
        let differs = |held: &Map<String, Value>, wanted: &Map<String, Value>| {
            wanted.keys().any(|source| !held.contains_key(source))
        };
        keys(&path, held, Some(wanted), differs, &mut found);
    }
    if desired.kind() == "Deployment" {
        let strategy = ["spec", "strategy"];
        let path: Vec<String> = strategy.iter().map(|field| format!("f:{field}")).collect();
        let differs = |held: &Map<String, Value>, wanted: &Map<String, Value>| {
            wanted.get("type").is_some_and(|wanted| held.get("type") != Some(wanted))
        };
        keys(&path, at(live, &strategy), at(desired, &strategy), differs, &mut found);
    }
    found
}

fn at<'a>(object: &'a Object, path: &[&str]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(object.get(first)?, |value, field| value.get(field))
}

/// The fields that `wanted` lacks, where it asks for another thing.
fn keys(
    path: &[String],
    held: Option<&Value>,
    wanted: Option<&Value>,
    differs: impl Fn(&Map<String, Value>, &Map<String, Value>) -> bool,
    found: &mut Vec<(Vec<String>, Map<String, Value>)>,
) {
    let (Some(Value::Object(held)), Some(Value::Object(wanted))) = (held, wanted) else { return };
    if !differs(held, wanted) {
        return;
    }
    for (field, value) in held.iter().filter(|(field, _)| !wanted.contains_key(*field)) {
        found.push((path.iter().cloned().chain([format!("f:{field}")]).collect(), set_of(value)));
    }
}

/// All of a value as a set.
fn set_of(value: &Value) -> Map<String, Value> {
    let fields = value.as_object().into_iter().flatten();
    let mut set: Map<String, Value> =
        fields.map(|(field, value)| (format!("f:{field}"), Value::Object(set_of(value)))).collect();
    if !set.is_empty() {
        set.insert(".".to_owned(), Value::Object(Map::new()));
    }
    set
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(strategy: &Value, volume: &Value) -> Object {
        Object::from_value(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": {
            "strategy": strategy, "template": {"spec": {"volumes": [volume]}}}}))
        .unwrap()
    }

    #[test]
    fn another_strategy_and_another_source_outdo_what_was_there() {
        let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}});
        let live = deployment(&rolling, &json!({"name": "v", "emptyDir": {}}));
        let paths = |strategy: Value, volume: Value| -> Vec<String> {
            let found = replaced_alternatives(&live, &deployment(&strategy, &volume));
            found.into_iter().map(|(path, _)| path.join("/")).collect()
        };
        let volume = r#"f:spec/f:template/f:spec/f:volumes/k:{"name":"v"}/f:emptyDir"#;
        assert_eq!(
            paths(json!({"type": "Recreate"}), json!({"name": "v", "secret": {}})),
            [volume, "f:spec/f:strategy/f:rollingUpdate"]
        );
        assert!(paths(json!({"type": "RollingUpdate"}), json!({"name": "v"})).is_empty());
        assert!(paths(json!({}), json!({"name": "other", "secret": {}})).is_empty());
    }
}
