//! The rules that objects of the common kinds must keep (kubernetes/kubernetes `pkg/apis/*/validation`): those that a
//! deployment meets in practice, in the API server's words.

use serde_json::{Value, json};

use super::schema::Kind;
use super::selector::Selector;
use super::status::{Cause, Failure};

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
                         '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used \
                         for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
                     start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for \
                     validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SERVICE_NAME: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
                            alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or \
                            'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const IMMUTABLE: &str = "field is immutable";

/// Checks an object that is about to be stored in place of `old`.
pub(super) fn check(kind: &Kind, object: &Value, old: Option<&Value>) -> Result<(), Failure> {
    let mut causes = Vec::new();
    metadata(kind, object, &mut causes);
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("apps", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet") => workload(kind, object, old, &mut causes),
        ("batch", "Job") => {
            pod_spec(object, "/spec/template/spec", &mut causes);
            immutable(object, old, &["/spec/selector", "/spec/completionMode", "/spec/template"], &mut causes);
        }
        ("batch", "CronJob") => {
            required(object, &["/spec/schedule"], &mut causes);
            pod_spec(object, "/spec/jobTemplate/spec/template/spec", &mut causes);
        }
        ("", "Pod") => pod_spec(object, "/spec", &mut causes),
        ("", "Service") => service(object, old, &mut causes),
        ("", "ConfigMap") => frozen(object, old, &["/data", "/binaryData"], &mut causes),
        ("", "Secret") => {
            frozen(object, old, &["/data"], &mut causes);
            immutable(object, old, &["/type"], &mut causes);
        }
        ("", "PersistentVolumeClaim") => {
            required(object, &["/spec/accessModes", "/spec/resources/requests"], &mut causes);
        }
        ("networking.k8s.io", "Ingress") => ingress(object, &mut causes),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            required(object, &["/roleRef/kind", "/roleRef/name"], &mut causes);
            immutable(object, old, &["/roleRef"], &mut causes);
        }
        _ => {}
    }
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    if causes.is_empty() { Ok(()) } else { Err(Failure::invalid(&kind.group, &kind.kind, name, &causes)) }
}

fn field(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(fields)) => fields.is_empty(),
        _ => false,
    }
}

fn required(object: &Value, pointers: &[&str], causes: &mut Vec<Cause>) {
    for pointer in pointers.iter().filter(|pointer| is_empty(object.pointer(pointer))) {
        causes.push(Cause::required(field(pointer), ""));
    }
}

fn immutable(object: &Value, old: Option<&Value>, pointers: &[&str], causes: &mut Vec<Cause>) {
    let Some(old) = old else { return };
    for pointer in pointers {
        let (before, after) = (old.pointer(pointer), object.pointer(pointer));
        if before != after {
            causes.push(Cause::invalid(field(pointer), after.unwrap_or(&Value::Null), IMMUTABLE));
        }
    }
}

/// A ConfigMap or Secret that says so may never change.
fn frozen(object: &Value, old: Option<&Value>, pointers: &[&str], causes: &mut Vec<Cause>) {
    let Some(old) = old.filter(|old| old.get("immutable") == Some(&json!(true))) else { return };
    for pointer in
        pointers.iter().chain(&["/immutable"]).filter(|pointer| old.pointer(pointer) != object.pointer(pointer))
    {
        causes.push(Cause::forbidden(field(pointer), "field is immutable when `immutable` is set"));
    }
}

fn is_label(text: &str, starts_with_letter: bool) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    !text.is_empty()
        && text.len() <= 63
        && text.chars().all(|c| inner(c) || c == '-')
        && text.starts_with(|c: char| if starts_with_letter { c.is_ascii_lowercase() } else { inner(c) })
        && text.ends_with(inner)
}

fn metadata(kind: &Kind, object: &Value, causes: &mut Vec<Cause>) {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    if name.is_empty() {
        causes.push(Cause::required("metadata.name", "name or generateName is required"));
        return;
    }
    let wrong = match (kind.group.as_str(), kind.kind.as_str()) {
        // Names of roles are free but for slashes and percent signs.
        ("rbac.authorization.k8s.io", _) => name.contains(['/', '%']).then_some("may not contain '/' or '%'"),
        ("", "Namespace") => (!is_label(name, false)).then_some(LABEL),
        ("", "Service") => (!is_label(name, true)).then_some(SERVICE_NAME),
        _ => (name.len() > 253
            || !name
                .split('.')
                .all(|part| !part.is_empty() && is_label(part, false) || part.len() > 63 && is_long_label(part)))
        .then_some(SUBDOMAIN),
    };
    if let Some(wrong) = wrong {
        causes.push(Cause::invalid("metadata.name", &json!(name), wrong));
    }
    for (key, value) in object.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten() {
        let text = value.as_str().unwrap_or_default();
        let is_edge = |c: char| c.is_ascii_alphanumeric();
        let fits = text.len() <= 63 && text.chars().all(|c| is_edge(c) || "-_.".contains(c));
        if !(text.is_empty() || fits && text.starts_with(is_edge) && text.ends_with(is_edge)) {
            let detail = if text.len() > 63 {
                "must be no more than 63 bytes"
            } else {
                "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and \
                 must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex \
                 used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            };
            causes.push(Cause::invalid("metadata.labels", value, detail));
        }
        if key.is_empty() {
            causes.push(Cause::invalid("metadata.labels", &json!(key), "name part must be non-empty"));
        }
    }
}

/// The parts of a subdomain may be longer than a label's 63 characters.
fn is_long_label(part: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.chars().all(|c| inner(c) || c == '-') && part.starts_with(inner) && part.ends_with(inner)
}

fn workload(kind: &Kind, object: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let selector = object.pointer("/spec/selector").unwrap_or(&Value::Null);
    let labels = object.pointer("/spec/template/metadata/labels");
    if selector.is_null() {
        causes.push(Cause::required("spec.selector", ""));
    } else if is_empty(Some(selector)) {
        let detail = format!("empty selector is invalid for {}", kind.kind.to_lowercase());
        causes.push(Cause::invalid("spec.selector", selector, &detail));
    }
    let parsed = Selector::from_object(selector);
    if selector.is_null() || !parsed.matches(labels.and_then(Value::as_object)) {
        let detail = "`selector` does not match template `labels`";
        causes.push(Cause::invalid("spec.template.metadata.labels", labels.unwrap_or(&Value::Null), detail));
    }
    pod_spec(object, "/spec/template/spec", causes);
    if let Some(replicas) =
        object.pointer("/spec/replicas").filter(|replicas| replicas.as_i64().is_some_and(|count| count < 0))
    {
        causes.push(Cause::invalid("spec.replicas", replicas, "must be greater than or equal to 0"));
    }
    immutable(object, old, &["/spec/selector"], causes);
    if let (Some(old), "StatefulSet") = (old, kind.kind.as_str()) {
        let frozen = ["/spec/serviceName", "/spec/podManagementPolicy", "/spec/volumeClaimTemplates"];
        if frozen.iter().any(|pointer| old.pointer(pointer) != object.pointer(pointer)) {
            causes.push(Cause::forbidden(
                "spec",
                "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                 'minReadySeconds' are forbidden",
            ));
        }
    }
}

fn pod_spec(object: &Value, pointer: &str, causes: &mut Vec<Cause>) {
    let path = field(pointer);
    let Some(spec) = object.pointer(pointer) else { return };
    let containers = spec.get("containers").and_then(Value::as_array);
    if containers.is_none_or(Vec::is_empty) {
        causes.push(Cause::required(format!("{path}.containers"), ""));
    }
    let volumes: Vec<&str> = spec
        .get("volumes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|v| v.get("name")?.as_str())
        .collect();
    for list in ["initContainers", "containers"] {
        let mut names = Vec::new();
        for (index, container) in spec.get(list).and_then(Value::as_array).into_iter().flatten().enumerate() {
            let at = format!("{path}.{list}[{index}]");
            let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
            if name.is_empty() {
                causes.push(Cause::required(format!("{at}.name"), ""));
            } else if !is_label(name, false) {
                causes.push(Cause::invalid(format!("{at}.name"), &json!(name), LABEL));
            } else if names.contains(&name) {
                causes.push(Cause {
                    reason: "FieldValueDuplicate",
                    message: format!("Duplicate value: \"{name}\""),
                    field: format!("{at}.name"),
                });
            }
            names.push(name);
            if is_empty(container.get("image")) {
                causes.push(Cause::required(format!("{at}.image"), ""));
            }
            for (number, mount) in
                container.get("volumeMounts").and_then(Value::as_array).into_iter().flatten().enumerate()
            {
                let volume = mount.get("name").and_then(Value::as_str).unwrap_or_default();
                if !volumes.contains(&volume) && object.get("kind") != Some(&json!("StatefulSet")) {
                    let message = format!("Not found: \"{volume}\"");
                    causes.push(Cause {
                        reason: "FieldValueNotFound",
                        message,
                        field: format!("{at}.volumeMounts[{number}].name"),
                    });
                }
            }
        }
    }
}

fn service(object: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let kind = object.pointer("/spec/type").and_then(Value::as_str).unwrap_or_default();
    let headless = object.pointer("/spec/clusterIP") == Some(&json!("None"));
    let ports = object.pointer("/spec/ports").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if ports.is_empty() && kind != "ExternalName" && !headless {
        causes.push(Cause::required("spec.ports", ""));
    }
    for (index, port) in ports.iter().enumerate() {
        if ports.len() > 1 && is_empty(port.get("name")) {
            causes.push(Cause::required(format!("spec.ports[{index}].name"), ""));
        }
        if !port.get("port").and_then(Value::as_i64).is_some_and(|port| (1..=65535).contains(&port)) {
            let value = port.get("port").cloned().unwrap_or_default();
            causes.push(Cause::invalid(
                format!("spec.ports[{index}].port"),
                &value,
                "must be between 1 and 65535, inclusive",
            ));
        }
    }
    let types = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    if !types.contains(&kind) {
        causes.push(Cause::unsupported("spec.type", &json!(kind), &types));
    }
    let was = old.and_then(|old| old.pointer("/spec/type")).and_then(Value::as_str);
    if kind != "ExternalName" && was.is_some_and(|was| was != "ExternalName") {
        let pointer = "/spec/clusterIPs/0";
        if let (Some(before), after) = (old.and_then(|old| old.pointer(pointer)), object.pointer(pointer))
            && Some(before) != after
        {
            let value = object.pointer("/spec/clusterIPs").cloned().unwrap_or_default();
            causes.push(Cause::invalid("spec.clusterIPs[0]", &value, "may not change once set"));
        }
    }
}

fn ingress(object: &Value, causes: &mut Vec<Cause>) {
    let rules = object.pointer("/spec/rules").and_then(Value::as_array);
    if rules.is_none_or(Vec::is_empty) && object.pointer("/spec/defaultBackend").is_none() {
        let detail = "either `defaultBackend` or `rules` must be specified";
        causes.push(Cause::invalid("spec", &json!([]), detail));
    }
    for (index, rule) in rules.into_iter().flatten().enumerate() {
        for (number, path) in rule.pointer("/http/paths").and_then(Value::as_array).into_iter().flatten().enumerate() {
            let at = format!("spec.rules[{index}].http.paths[{number}]");
            let kind = path.get("pathType").filter(|kind| !kind.is_null());
            match kind.and_then(Value::as_str) {
                None => causes.push(Cause::required(format!("{at}.pathType"), "pathType must be specified")),
                Some("Exact" | "Prefix" | "ImplementationSpecific") => {}
                Some(other) => {
                    let types = ["Exact", "ImplementationSpecific", "Prefix"];
                    causes.push(Cause::unsupported(format!("{at}.pathType"), &json!(other), &types));
                }
            }
            if is_empty(path.pointer("/backend/service/name")) && path.pointer("/backend/resource").is_none() {
                causes.push(Cause::required(format!("{at}.backend"), ""));
            }
        }
    }
}
