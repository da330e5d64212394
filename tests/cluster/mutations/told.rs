//! The kinds of mutations that `drift-check` has to tell: another value of a field that Git has, or its removal.

#![allow(clippy::unnecessary_wraps, reason = "what stands in a table has one type")]

use serde_json::{Value, json};

use super::fields;
use crate::random::Random;
use slipway_gitops::diff::Path;

/// What happens to a field.
#[derive(Clone, Copy)]
pub(super) enum Op {
    /// It gets another value; `None` where this one can't have another.
    Set(fn(&Value, &mut Random) -> Option<Value>),
    /// It goes.
    Remove,
}

/// A kind of mutation of a field.
pub(super) struct Kind {
    /// What it is called.
    pub(super) name: &'static str,
    /// The kinds of objects; empty for all.
    pub(super) on: &'static [&'static str],
    /// The path of the field ([`fields::matches`]).
    pub(super) path: &'static str,
    /// What happens.
    pub(super) op: Op,
}

const fn set(
    name: &'static str,
    on: &'static [&'static str],
    path: &'static str,
    op: fn(&Value, &mut Random) -> Option<Value>,
) -> Kind {
    Kind { name, on, path, op: Op::Set(op) }
}

const fn remove(name: &'static str, on: &'static [&'static str], path: &'static str) -> Kind {
    Kind { name, on, path, op: Op::Remove }
}

const WORKLOADS: &[&str] = &["Deployment", "StatefulSet", "DaemonSet", "CronJob"];
const ALL: &[&str] = &[];

/// All kinds but those of whole objects and of the scale.
pub(super) const KINDS: &[Kind] = &[
    set("image", WORKLOADS, "pod.containers.*.image", image),
    set("image of an init container", WORKLOADS, "pod.initContainers.*.image", image),
    set("pull policy", WORKLOADS, "pod.containers.*.imagePullPolicy", policy),
    set("replicas", &["Deployment", "StatefulSet"], "spec.replicas", number),
    set("variable", WORKLOADS, "pod.containers.*.env.*.value", text),
    set("variable from elsewhere", WORKLOADS, "pod.containers.*.env.*.valueFrom.secretKeyRef", in_key),
    remove("variable removed", WORKLOADS, "pod.containers.*.env.*"),
    set("source of variables", WORKLOADS, "pod.containers.*.envFrom", fewer_or_more_sources),
    set("argument", WORKLOADS, "pod.containers.*.args", one_text),
    set("argument removed", WORKLOADS, "pod.containers.*.args", fewer),
    set("argument added", WORKLOADS, "pod.containers.*.args", more_text),
    set("command", WORKLOADS, "pod.containers.*.command", one_text),
    remove("arguments removed", WORKLOADS, "pod.containers.*.args"),
    set("name of a port", WORKLOADS, "pod.containers.*.ports.*.name", name),
    set("limit", WORKLOADS, "pod.containers.*.resources.limits.*", quantity),
    set("request", WORKLOADS, "pod.containers.*.resources.requests.*", small_quantity),
    remove("limit removed", WORKLOADS, "pod.containers.*.resources.limits.*"),
    set("period of a probe", WORKLOADS, "pod.containers.*.livenessProbe.periodSeconds", number),
    set("path of a probe", WORKLOADS, "pod.containers.*.livenessProbe.httpGet.path", url),
    set("path of a readiness probe", WORKLOADS, "pod.containers.*.readinessProbe.httpGet.path", url),
    set("port of a probe", WORKLOADS, "pod.containers.*.readinessProbe.httpGet.port", port),
    remove("probe removed", WORKLOADS, "pod.containers.*.livenessProbe"),
    remove("lifecycle removed", WORKLOADS, "pod.containers.*.lifecycle"),
    set("security context", WORKLOADS, "pod.containers.*.securityContext.runAsUser", number),
    set("read-only root", WORKLOADS, "pod.containers.*.securityContext.readOnlyRootFilesystem", flip),
    set("security context of the pod", WORKLOADS, "pod.securityContext.*", number_or_flip),
    set("account", WORKLOADS, "pod.serviceAccountName", name),
    set("node selector", WORKLOADS, "pod.nodeSelector", in_map),
    remove("node selector removed", WORKLOADS, "pod.nodeSelector"),
    set("tolerations", WORKLOADS, "pod.tolerations", fewer_or_more_tolerations),
    remove("tolerations removed", WORKLOADS, "pod.tolerations"),
    set("grace period", WORKLOADS, "pod.terminationGracePeriodSeconds", number),
    set("host network", WORKLOADS, "pod.hostNetwork", flip),
    set("map of a volume", WORKLOADS, "pod.volumes.*.configMap.name", name),
    set("secret of a volume", WORKLOADS, "pod.volumes.*.secret.secretName", name),
    set("size of a volume", WORKLOADS, "pod.volumes.*.emptyDir.sizeLimit", quantity),
    set("mount is read-only", WORKLOADS, "pod.containers.*.volumeMounts.*.readOnly", flip),
    set("path of a mount", WORKLOADS, "pod.containers.*.volumeMounts.*.subPath", name),
    remove("mount removed", WORKLOADS, "pod.containers.*.volumeMounts.*"),
    set("spread", WORKLOADS, "pod.topologySpreadConstraints.*.maxSkew", number),
    remove("affinity removed", WORKLOADS, "pod.affinity"),
    set("label of the template", WORKLOADS, "spec.template.metadata.labels.*", name),
    remove("label of the template removed", WORKLOADS, "spec.template.metadata.labels.*"),
    set("annotation of the template", WORKLOADS, "spec.template.metadata.annotations.*", text),
    remove("annotation of the template removed", WORKLOADS, "spec.template.metadata.annotations.*"),
    set("strategy", &["Deployment"], "spec.strategy.rollingUpdate.*", number),
    set("update strategy", &["StatefulSet", "DaemonSet"], "spec.updateStrategy.rollingUpdate.*", number),
    set("schedule", &["CronJob"], "spec.schedule", |_, random| Some(json!(format!("{} 1 1 1 *", random.below(60))))),
    set("suspension", &["CronJob"], "spec.suspend", flip),
    set("history", &["CronJob"], "spec.successfulJobsHistoryLimit", number),
    set("label", ALL, "metadata.labels.*", name),
    remove("label removed", ALL, "metadata.labels.*"),
    set("annotation", ALL, "metadata.annotations.*", text),
    remove("annotation removed", ALL, "metadata.annotations.*"),
    set("key of a map", &["ConfigMap"], "data.*", text),
    remove("key of a map removed", &["ConfigMap"], "data.*"),
    remove("all keys of a map removed", &["ConfigMap"], "data"),
    set("bytes of a map", &["ConfigMap"], "binaryData.*", base64),
    set("key of a secret", &["Secret"], "data.*", base64),
    remove("key of a secret removed", &["Secret"], "data.*"),
    set("number of a port", &["Service"], "spec.ports.*.targetPort", port),
    set("port of a service", &["Service"], "spec.ports.*.port", port),
    remove("port of a service removed", &["Service"], "spec.ports.*"),
    set("selector", &["Service"], "spec.selector", in_map),
    set("type", &["Service"], "spec.type", |value, _| (value == "ClusterIP").then(|| json!("NodePort"))),
    set("affinity of sessions", &["Service"], "spec.sessionAffinity", |_, _| Some(json!("ClientIP"))),
    set("name outside", &["Service"], "spec.externalName", |_, _| Some(json!("elsewhere.example.com"))),
    set("rules of an ingress", &["Ingress"], "spec.rules", hosts),
    set("rule of an ingress removed", &["Ingress"], "spec.rules", fewer),
    set("class", &["Ingress"], "spec.ingressClassName", name),
    remove("certificate removed", &["Ingress"], "spec.tls"),
    set("right", &["Role", "ClusterRole"], "rules", verbs),
    set("right added", &["Role", "ClusterRole"], "rules", more_rules),
    set("right removed", &["Role", "ClusterRole"], "rules", fewer),
    set("subject added", &["RoleBinding", "ClusterRoleBinding"], "subjects", more_subjects),
    remove("subjects removed", &["RoleBinding", "ClusterRoleBinding"], "subjects"),
    set("token of an account", &["ServiceAccount"], "automountServiceAccountToken", flip),
    set("pull secret removed", &["ServiceAccount"], "imagePullSecrets", fewer),
    set("order of a whole list", &["ServiceAccount"], "imagePullSecrets", turned),
    set("order of arguments", WORKLOADS, "pod.containers.*.args", turned),
    set("order of init containers", WORKLOADS, "pod.initContainers", turned),
    set("most replicas", &["HorizontalPodAutoscaler"], "spec.maxReplicas", number),
    set("least replicas", &["HorizontalPodAutoscaler"], "spec.minReplicas", number),
    set("metric", &["HorizontalPodAutoscaler"], "spec.metrics", metric),
    set("budget", &["PodDisruptionBudget"], "spec.minAvailable", number),
    set("budget of the unavailable", &["PodDisruptionBudget"], "spec.maxUnavailable", number),
    set("who may come in", &["NetworkPolicy"], "spec.ingress", |_, _| Some(json!([{}]))),
    remove("who may go out", &["NetworkPolicy"], "spec.egress"),
    set("quota", &["ResourceQuota"], "spec.hard.*", |_, random| Some(json!((600 + random.below(99)).to_string()))),
    set("number of a custom resource", &["Gadget"], "spec.size", number),
    set("text of a custom resource", &["Gadget"], "spec.settings.*", text),
    remove("text of a custom resource removed", &["Gadget"], "spec.settings.*"),
    set("item of a custom resource", &["Gadget"], "spec.routes.*.to", text),
    remove("item of a custom resource removed", &["Gadget"], "spec.routes.*"),
    set("whole list of a custom resource", &["Gadget"], "spec.steps", fewer),
    set("duration", &["Gadget"], "spec.every", |_, _| Some(json!("90m"))),
    set("quantity", &["Gadget"], "spec.memory", |_, _| Some(json!("129Mi"))),
    remove("field of a custom resource removed", &["Gadget"], "spec.size"),
];

/// What a kind of mutation makes of `live`, at one of the fields that Git has: the object afterwards, and the path.
pub(super) fn mutate(kind: &Kind, git: &Value, live: &Value, random: &mut Random) -> Option<(Value, Path)> {
    let object = git["kind"].as_str()?;
    if !kind.on.is_empty() && !kind.on.contains(&object) {
        return None;
    }
    // The Application's rules ignore one field.
    let is_ignored = |path: &Path| path.to_string() == "data.ignored";
    let of_git = fields::all(git).into_iter().filter(|(path, _)| fields::matches(path, kind.path) && !is_ignored(path));
    let places: Vec<(Path, Value)> = of_git.filter(|(path, _)| fields::get(live, path).is_some()).collect();
    if places.is_empty() {
        return None;
    }
    let (path, _) = &places[random.below(places.len())];
    let old = fields::get(live, path)?;
    let new = match kind.op {
        Op::Set(op) => Some(op(old, random).filter(|new| new != old)?),
        Op::Remove => None,
    };
    let mut after = live.clone();
    fields::set(&mut after, path, new).then_some((after, path.clone()))
}

fn text(value: &Value, random: &mut Random) -> Option<Value> {
    value.is_string().then(|| json!(format!("by hand {}", random.below(1000))))
}

fn name(value: &Value, random: &mut Random) -> Option<Value> {
    value.is_string().then(|| json!(format!("hand-{}", random.below(1000))))
}

fn image(_: &Value, random: &mut Random) -> Option<Value> {
    Some(json!(format!("by/hand:{}", random.below(1000))))
}

fn policy(value: &Value, _: &mut Random) -> Option<Value> {
    Some(json!(if value == "Always" { "IfNotPresent" } else { "Always" }))
}

fn number(value: &Value, random: &mut Random) -> Option<Value> {
    match value {
        Value::String(text) => {
            let percent: usize = text.strip_suffix('%')?.parse().ok()?;
            Some(json!(format!("{}%", percent + 1 + random.below(9))))
        }
        value => Some(json!(value.as_u64()? + 1 + u64::try_from(random.below(3)).ok()?)),
    }
}

fn flip(value: &Value, _: &mut Random) -> Option<Value> {
    value.as_bool().map(|value| json!(!value))
}

fn number_or_flip(value: &Value, random: &mut Random) -> Option<Value> {
    flip(value, random).or_else(|| value.as_u64().map(|value| json!(value + 1)))
}

fn port(_: &Value, random: &mut Random) -> Option<Value> {
    Some(json!(20_000 + random.below(10_000)))
}

fn url(_: &Value, random: &mut Random) -> Option<Value> {
    Some(json!(format!("/hand/{}", random.below(1000))))
}

fn quantity(_: &Value, random: &mut Random) -> Option<Value> {
    Some(json!(format!("{}Gi", 3 + random.below(50))))
}

fn small_quantity(_: &Value, random: &mut Random) -> Option<Value> {
    Some(json!(format!("{}m", 1 + random.below(9))))
}

fn base64(_: &Value, random: &mut Random) -> Option<Value> {
    let bytes = ["Ynk=", "aGFuZA==", "Ynkx", "aGFuZDE="];
    Some(json!(bytes[random.below(bytes.len())]))
}

fn in_key(value: &Value, random: &mut Random) -> Option<Value> {
    let mut value = value.clone();
    value["key"] = json!(format!("hand-{}", random.below(1000)));
    Some(value)
}

fn in_map(value: &Value, random: &mut Random) -> Option<Value> {
    let mut fields = value.as_object()?.clone();
    fields.values_mut().next().map(|value| *value = json!(format!("hand-{}", random.below(1000))))?;
    Some(Value::Object(fields))
}

fn one_text(value: &Value, random: &mut Random) -> Option<Value> {
    let mut items = value.as_array()?.clone();
    let place = random.below(items.len());
    *items.get_mut(place)? = json!(format!("by-hand-{}", random.below(1000)));
    Some(Value::Array(items))
}

fn more_text(value: &Value, _: &mut Random) -> Option<Value> {
    let mut items = value.as_array()?.clone();
    items.push(json!("by-hand"));
    Some(Value::Array(items))
}

fn fewer(value: &Value, random: &mut Random) -> Option<Value> {
    let mut items = value.as_array()?.clone();
    if items.len() < 2 {
        return None;
    }
    items.remove(random.below(items.len()));
    Some(Value::Array(items))
}

fn turned(value: &Value, _: &mut Random) -> Option<Value> {
    Some(Value::Array(value.as_array()?.iter().rev().cloned().collect()))
}

fn fewer_or_more_sources(value: &Value, random: &mut Random) -> Option<Value> {
    fewer(value, random).or_else(|| {
        let mut items = value.as_array()?.clone();
        items.push(json!({"secretRef": {"name": "by-hand"}}));
        Some(Value::Array(items))
    })
}

fn fewer_or_more_tolerations(value: &Value, random: &mut Random) -> Option<Value> {
    fewer(value, random).or_else(|| {
        let mut items = value.as_array()?.clone();
        items.push(json!({"key": "by-hand", "operator": "Exists"}));
        Some(Value::Array(items))
    })
}

fn hosts(value: &Value, random: &mut Random) -> Option<Value> {
    let mut rules = value.as_array()?.clone();
    let place = random.below(rules.len());
    rules.get_mut(place)?["host"] = json!(format!("hand-{}.example.com", random.below(1000)));
    Some(Value::Array(rules))
}

fn verbs(value: &Value, random: &mut Random) -> Option<Value> {
    let mut rules = value.as_array()?.clone();
    let place = random.below(rules.len());
    rules.get_mut(place)?.get_mut("verbs")?.as_array_mut()?.push(json!("deletecollection"));
    Some(Value::Array(rules))
}

fn more_rules(value: &Value, _: &mut Random) -> Option<Value> {
    let mut rules = value.as_array()?.clone();
    rules.push(json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}));
    Some(Value::Array(rules))
}

fn more_subjects(value: &Value, random: &mut Random) -> Option<Value> {
    let mut subjects = value.as_array()?.clone();
    let name = format!("hand-{}", random.below(1000));
    subjects.push(json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": name}));
    Some(Value::Array(subjects))
}

fn metric(value: &Value, _: &mut Random) -> Option<Value> {
    let mut metrics = value.as_array()?.clone();
    *metrics.first_mut()?.pointer_mut("/resource/target/averageUtilization")? = json!(33);
    Some(Value::Array(metrics))
}
