//! Rewrites fields of custom resources that have Kubernetes' own types as Go would write them after reading them
//! (argoproj/argo-cd `util/argo/normalizers/knowntypes_normalizer.go`), so that `1000m` is no difference from `1`.
//! Pure.

use k8s_openapi::api::core::v1;
use serde_json::{Map, Value, json};
use slipway_gocompat::{duration, quantity};

/// Numbers and booleans that Go omits where they are zero.
const OMITTED: [&str; 13] = [
    "failureThreshold",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostPort",
    "initialDelaySeconds",
    "nodePort",
    "periodSeconds",
    "readOnly",
    "stdin",
    "stdinOnce",
    "successThreshold",
    "tty",
];
/// Mappings whose values are quantities.
const QUANTITIES: [&str; 7] = ["allocatable", "capacity", "hard", "limits", "overhead", "requests", "used"];
/// Mappings that Go omits where they are empty; the others are structs, which it writes even when empty.
const PLAIN_MAPS: [&str; 7] =
    ["annotations", "data", "labels", "matchLabels", "nodeSelector", "volumeAttributes", "overhead"];

/// A field and its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownType {
    /// `spec.template.spec`; lists on the way are traversed item by item.
    pub field: String,
    /// `core/v1/PodSpec`, `core/Quantity`, `meta/v1/Duration` …
    pub kind: String,
}

/// Rewrites the fields of `value` that have one of `types`. A value that can't be read as its type stays unchanged.
pub fn reformat(value: &mut Value, types: &[KnownType]) {
    for known in types {
        let path: Vec<&str> = known.field.split('.').collect();
        visit(value, &path, &|found| {
            if let Some(written) = rewritten(&known.kind, found) {
                *found = written;
            }
        });
    }
}

fn visit(value: &mut Value, path: &[&str], change: &dyn Fn(&mut Value)) {
    if let Value::Array(items) = value {
        for item in items {
            visit(item, path, change);
        }
    } else if let Some((first, rest)) = path.split_first() {
        if let Some(child) = value.as_object_mut().and_then(|fields| fields.get_mut(*first)) {
            visit(child, rest, change);
        }
    } else {
        change(value);
    }
}

fn rewritten(kind: &str, value: &Value) -> Option<Value> {
    /// Reads and writes a Kubernetes type, which drops unknown fields.
    macro_rules! types {
        ($($name:ident),* $(,)?) => {
            match kind.strip_prefix("core/v1/")? {
                $(stringify!($name) => {
                    let typed: v1::$name = serde_json::from_value(value.clone()).ok()?;
                    serde_json::to_value(typed).ok()?
                })*
                _ => return None,
            }
        };
    }
    match kind {
        "core/Quantity" | "core/v1/Quantity" => canonical(value),
        "meta/v1/Duration" => Some(Value::String(duration::format(duration::parse(value.as_str()?).ok()?))),
        "core/v1/ResourceList" => {
            let mut list = value.clone();
            canonical_all(list.as_object_mut()?)?;
            Some(list)
        }
        _ => {
            let mut value = types!(
                Affinity,
                Container,
                EnvVar,
                EphemeralVolumeSource,
                PersistentVolumeClaim,
                PersistentVolumeClaimSpec,
                PodSecurityContext,
                PodSpec,
                PodTemplateSpec,
                Probe,
                ResourceRequirements,
                SecurityContext,
                ServicePort,
                ServiceSpec,
                Toleration,
                TopologySpreadConstraint,
                Volume,
                VolumeMount,
            );
            as_go_writes(&mut value)?;
            Some(value)
        }
    }
}

/// Omits and adds fields as Go does, and canonicalizes quantities; `None` where one is invalid.
fn as_go_writes(value: &mut Value) -> Option<()> {
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(as_go_writes),
        Value::Object(fields) => {
            for (key, child) in fields.iter_mut() {
                match child {
                    Value::Object(list) if QUANTITIES.contains(&key.as_str()) => canonical_all(list)?,
                    Value::String(_) if matches!(key.as_str(), "divisor" | "sizeLimit") => *child = canonical(child)?,
                    _ => as_go_writes(child)?,
                }
            }
            fields.retain(|key, child| !is_omitted(key, child));
            for key in ["containers", "initContainers"] {
                for container in fields.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten() {
                    container.as_object_mut()?.entry("resources").or_insert_with(|| json!({}));
                }
            }
            Some(())
        }
        _ => Some(()),
    }
}

fn is_omitted(key: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty() && !matches!(key, "name" | "key" | "mountPath"),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty() && (PLAIN_MAPS.contains(&key) || QUANTITIES.contains(&key)),
        Value::Bool(false) => OMITTED.contains(&key),
        Value::Number(number) => number.as_i64() == Some(0) && OMITTED.contains(&key),
        Value::Bool(true) => false,
    }
}

fn canonical_all(list: &mut Map<String, Value>) -> Option<()> {
    list.values_mut().try_for_each(|value| {
        *value = canonical(value)?;
        Some(())
    })
}

fn canonical(value: &Value) -> Option<Value> {
    let text = match value {
        Value::Null => "0".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    quantity::canonical(&text).map(Value::String)
}
