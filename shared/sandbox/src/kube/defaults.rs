//! What the API server fills in where a manifest says nothing (kubernetes/kubernetes `pkg/apis/*/v1/defaults.go`).

use serde_json::{Map, Value, json};

use super::prepare::TEMPLATE_GENERATION;
use super::schema::Kind;

/// Fills in the defaults of `object`, which is in canonical form.
pub(super) fn fill(kind: &Kind, object: &mut Value) {
    let Some(map) = object.as_object_mut() else { return };
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Namespace") => namespace(map),
        ("", "Secret") => secret(map),
        ("", "Service") => service(map),
        ("", "Pod") => pod(map),
        ("", "PersistentVolumeClaim") => claim(map),
        ("", "PersistentVolume") => volume(map),
        ("", "Endpoints") => endpoints(map),
        ("", "LimitRange") => limits(map),
        ("discovery.k8s.io", "EndpointSlice") => {
            for port in objects_at(map, "ports") {
                port.entry("name").or_insert_with(|| json!(""));
                default(port, "protocol", json!("TCP"));
            }
        }
        ("apps", "Deployment") => deployment(map),
        ("apps", "ReplicaSet") => replica_set(map),
        ("apps", "StatefulSet") => stateful_set(map),
        ("apps", "DaemonSet") => daemon_set(map),
        ("batch", "Job") => {
            if let Some(spec) = object_at(map, "spec") {
                job_spec(spec);
            }
        }
        ("batch", "CronJob") => cron_job(map),
        ("networking.k8s.io", "NetworkPolicy") => network_policy(map),
        ("networking.k8s.io", "IngressClass") => {
            if let Some(parameters) = object_at(map, "spec").and_then(|spec| object_at(spec, "parameters")) {
                default(parameters, "scope", json!("Cluster"));
            }
        }
        ("autoscaling", "HorizontalPodAutoscaler") => autoscaler(map),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => binding(map),
        ("storage.k8s.io", "StorageClass") => {
            default(map, "reclaimPolicy", json!("Delete"));
            default(map, "volumeBindingMode", json!("Immediate"));
        }
        ("scheduling.k8s.io", "PriorityClass") => default(map, "preemptionPolicy", json!("PreemptLowerPriority")),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(map),
        _ => {}
    }
}

type Fields = Map<String, Value>;

/// Sets `name` where it is missing, null or an empty text.
fn default(map: &mut Fields, name: &str, value: Value) {
    if map.get(name).is_none_or(|known| known.is_null() || known.as_str() == Some("")) {
        map.insert(name.to_owned(), value);
    }
}

fn object_at<'a>(map: &'a mut Fields, name: &str) -> Option<&'a mut Fields> {
    map.get_mut(name)?.as_object_mut()
}

fn objects_at<'a>(map: &'a mut Fields, name: &str) -> impl Iterator<Item = &'a mut Fields> {
    map.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

fn text<'a>(map: &'a Fields, name: &str) -> &'a str {
    map.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn namespace(map: &mut Fields) {
    if let Some(metadata) = object_at(map, "metadata") {
        let name = text(metadata, "name").to_owned();
        if !name.is_empty() {
            default(metadata, "labels", json!({}));
            if let Some(labels) = object_at(metadata, "labels") {
                labels.insert("kubernetes.io/metadata.name".into(), json!(name));
                labels.sort_keys();
            }
        }
    }
    if let Some(status) = object_at(map, "status") {
        default(status, "phase", json!("Active"));
    }
}

fn secret(map: &mut Fields) {
    default(map, "type", json!("Opaque"));
}

fn service(map: &mut Fields) {
    let Some(spec) = object_at(map, "spec") else { return };
    default(spec, "sessionAffinity", json!("None"));
    default(spec, "type", json!("ClusterIP"));
    if text(spec, "sessionAffinity") == "None" {
        spec.remove("sessionAffinityConfig");
    } else {
        default(spec, "sessionAffinityConfig", json!({"clientIP": {"timeoutSeconds": 10800}}));
    }
    for port in objects_at(spec, "ports") {
        default(port, "protocol", json!("TCP"));
        let target = port.get("targetPort");
        if target.is_none_or(|target| target.as_i64() == Some(0) || target.as_str() == Some("")) {
            let number = port.get("port").cloned().unwrap_or_default();
            port.insert("targetPort".into(), number);
        }
    }
    let kind = text(spec, "type").to_owned();
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        default(spec, "externalTrafficPolicy", json!("Cluster"));
    }
    if matches!(kind.as_str(), "ClusterIP" | "NodePort" | "LoadBalancer") {
        default(spec, "internalTrafficPolicy", json!("Cluster"));
    }
    if kind == "LoadBalancer" {
        default(spec, "allocateLoadBalancerNodePorts", json!(true));
    }
}

fn endpoints(map: &mut Fields) {
    for subset in objects_at(map, "subsets") {
        for port in objects_at(subset, "ports") {
            default(port, "protocol", json!("TCP"));
        }
    }
}

/// The defaults of a container's limits follow from its maximum, those of its requests from its limits.
fn limits(map: &mut Fields) {
    let Some(spec) = object_at(map, "spec") else { return };
    for limit in objects_at(spec, "limits").filter(|limit| text(limit, "type") == "Container") {
        let amounts =
            |limit: &Fields, name: &str| limit.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
        let (mut limits, mut requests) = (amounts(limit, "default"), amounts(limit, "defaultRequest"));
        for (name, amount) in amounts(limit, "max") {
            limits.entry(name).or_insert(amount);
        }
        for (name, amount) in
            limits.iter().map(|(name, amount)| (name.clone(), amount.clone())).chain(amounts(limit, "min"))
        {
            requests.entry(name).or_insert(amount);
        }
        for (name, mut amounts) in [("default", limits), ("defaultRequest", requests)] {
            if !amounts.is_empty() {
                amounts.sort_keys();
                limit.insert(name.into(), Value::Object(amounts));
            }
        }
    }
}

fn claim(map: &mut Fields) {
    if let Some(spec) = object_at(map, "spec") {
        default(spec, "volumeMode", json!("Filesystem"));
    }
    if let Some(status) = object_at(map, "status") {
        default(status, "phase", json!("Pending"));
    }
}

fn volume(map: &mut Fields) {
    if let Some(spec) = object_at(map, "spec") {
        default(spec, "persistentVolumeReclaimPolicy", json!("Retain"));
        default(spec, "volumeMode", json!("Filesystem"));
    }
    if let Some(status) = object_at(map, "status") {
        default(status, "phase", json!("Pending"));
    }
}

fn template(spec: &mut Fields) {
    if let Some(pod_spec) = object_at(spec, "template").and_then(|template| object_at(template, "spec")) {
        self::pod_spec(pod_spec);
    }
}

fn pod(map: &mut Fields) {
    let Some(spec) = object_at(map, "spec") else { return };
    for list in ["initContainers", "containers"] {
        for container in objects_at(spec, list) {
            // A limit without a request is also the request; in templates this waits for the pod.
            if let Some(resources) = object_at(container, "resources")
                && let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned()
            {
                let requests = resources.entry("requests").or_insert_with(|| json!({}));
                if let Some(requests) = requests.as_object_mut() {
                    for (name, amount) in limits {
                        requests.entry(name).or_insert(amount);
                    }
                }
            }
        }
    }
    pod_spec(spec);
    if spec.get("hostNetwork") == Some(&json!(true)) {
        for list in ["initContainers", "containers"] {
            for container in objects_at(spec, list) {
                for port in objects_at(container, "ports") {
                    let number = port.get("containerPort").cloned().unwrap_or_default();
                    port.entry("hostPort").or_insert(number);
                }
            }
        }
    }
    default(spec, "enableServiceLinks", json!(true));
    if let Some(status) = object_at(map, "status") {
        default(status, "phase", json!("Pending"));
    }
}

fn pod_spec(spec: &mut Fields) {
    default(spec, "dnsPolicy", json!("ClusterFirst"));
    default(spec, "restartPolicy", json!("Always"));
    default(spec, "securityContext", json!({}));
    default(spec, "terminationGracePeriodSeconds", json!(30));
    default(spec, "schedulerName", json!("default-scheduler"));
    // The old name of the field follows the new one.
    let account =
        [text(spec, "serviceAccountName"), text(spec, "serviceAccount")].into_iter().find(|name| !name.is_empty());
    if let Some(account) = account.map(str::to_owned) {
        spec.insert("serviceAccountName".into(), json!(account));
        spec.insert("serviceAccount".into(), json!(account));
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in objects_at(spec, list) {
            self::container(container);
        }
    }
    for volume in objects_at(spec, "volumes") {
        pod_volume(volume);
    }
    for constraint in objects_at(spec, "topologySpreadConstraints") {
        default(constraint, "whenUnsatisfiable", json!("DoNotSchedule"));
    }
}

fn container(container: &mut Fields) {
    let image = text(container, "image").to_owned();
    let (path, digest) = image.split_once('@').map_or((image.as_str(), None), |(path, digest)| (path, Some(digest)));
    let tag = path.rsplit('/').next().and_then(|name| name.split_once(':')).map(|(_, tag)| tag);
    let is_latest = tag == Some("latest") || (tag.is_none() && digest.is_none());
    default(container, "imagePullPolicy", json!(if is_latest { "Always" } else { "IfNotPresent" }));
    default(container, "terminationMessagePath", json!("/dev/termination-log"));
    default(container, "terminationMessagePolicy", json!("File"));
    for port in objects_at(container, "ports") {
        default(port, "protocol", json!("TCP"));
    }
    for variable in objects_at(container, "env") {
        if let Some(reference) = object_at(variable, "valueFrom").and_then(|from| object_at(from, "fieldRef")) {
            default(reference, "apiVersion", json!("v1"));
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = object_at(container, name) {
            for (field, value) in
                [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
            {
                default(probe, field, json!(value));
            }
            handler(probe);
        }
    }
    if let Some(lifecycle) = object_at(container, "lifecycle") {
        for name in ["postStart", "preStop"] {
            if let Some(hook) = object_at(lifecycle, name) {
                handler(hook);
            }
        }
    }
}

fn handler(map: &mut Fields) {
    if let Some(get) = object_at(map, "httpGet") {
        default(get, "path", json!("/"));
        default(get, "scheme", json!("HTTP"));
    }
    if let Some(grpc) = object_at(map, "grpc") {
        grpc.entry("service").or_insert_with(|| json!(""));
        if grpc.get("service").is_some_and(Value::is_null) {
            grpc.insert("service".into(), json!(""));
        }
    }
}

fn pod_volume(volume: &mut Fields) {
    let is_source = |name: &String| name != "name";
    if !volume.keys().any(is_source) {
        volume.insert("emptyDir".into(), json!({}));
    }
    for name in ["configMap", "secret", "downwardAPI", "projected"] {
        if let Some(source) = object_at(volume, name) {
            default(source, "defaultMode", json!(420));
            downward_items(source);
            for projection in objects_at(source, "sources") {
                if let Some(token) = object_at(projection, "serviceAccountToken") {
                    default(token, "expirationSeconds", json!(3600));
                }
                if let Some(downward) = object_at(projection, "downwardAPI") {
                    downward_items(downward);
                }
            }
        }
    }
    if let Some(path) = object_at(volume, "hostPath")
        && path.get("type").is_none_or(Value::is_null)
    {
        path.insert("type".into(), json!(""));
    }
    if let Some(claim) = object_at(volume, "ephemeral")
        .and_then(|e| object_at(e, "volumeClaimTemplate"))
        .and_then(|t| object_at(t, "spec"))
    {
        default(claim, "volumeMode", json!("Filesystem"));
    }
}

fn downward_items(source: &mut Fields) {
    for item in objects_at(source, "items") {
        if let Some(reference) = object_at(item, "fieldRef") {
            default(reference, "apiVersion", json!("v1"));
        }
    }
}

fn deployment(map: &mut Fields) {
    let Some(spec) = object_at(map, "spec") else { return };
    default(spec, "replicas", json!(1));
    default(spec, "strategy", json!({}));
    if let Some(strategy) = object_at(spec, "strategy") {
        default(strategy, "type", json!("RollingUpdate"));
        if text(strategy, "type") == "RollingUpdate" {
            default(strategy, "rollingUpdate", json!({}));
            if let Some(rolling) = object_at(strategy, "rollingUpdate") {
                default(rolling, "maxUnavailable", json!("25%"));
                default(rolling, "maxSurge", json!("25%"));
            }
        }
    }
    default(spec, "revisionHistoryLimit", json!(10));
    default(spec, "progressDeadlineSeconds", json!(600));
    template(spec);
}

fn replica_set(map: &mut Fields) {
    if let Some(spec) = object_at(map, "spec") {
        default(spec, "replicas", json!(1));
        template(spec);
    }
}

fn stateful_set(map: &mut Fields) {
    let Some(spec) = object_at(map, "spec") else { return };
    default(spec, "podManagementPolicy", json!("OrderedReady"));
    default(spec, "updateStrategy", json!({}));
    if let Some(strategy) = object_at(spec, "updateStrategy") {
        default(strategy, "type", json!("RollingUpdate"));
        if text(strategy, "type") == "RollingUpdate" {
            default(strategy, "rollingUpdate", json!({}));
            if let Some(rolling) = object_at(strategy, "rollingUpdate") {
                default(rolling, "partition", json!(0));
            }
        }
    }
    default(spec, "persistentVolumeClaimRetentionPolicy", json!({}));
    if let Some(policy) = object_at(spec, "persistentVolumeClaimRetentionPolicy") {
        default(policy, "whenDeleted", json!("Retain"));
        default(policy, "whenScaled", json!("Retain"));
    }
    default(spec, "replicas", json!(1));
    default(spec, "revisionHistoryLimit", json!(10));
    for claim in objects_at(spec, "volumeClaimTemplates") {
        default(claim, "apiVersion", json!("v1"));
        default(claim, "kind", json!("PersistentVolumeClaim"));
        self::claim(claim);
    }
    template(spec);
}

fn daemon_set(map: &mut Fields) {
    // An old field of the internal type comes out as this annotation.
    if let Some(metadata) = object_at(map, "metadata") {
        let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.entry(TEMPLATE_GENERATION).or_insert_with(|| json!("0"));
            annotations.sort_keys();
        }
    }
    let Some(spec) = object_at(map, "spec") else { return };
    default(spec, "updateStrategy", json!({}));
    if let Some(strategy) = object_at(spec, "updateStrategy") {
        default(strategy, "type", json!("RollingUpdate"));
        if text(strategy, "type") == "RollingUpdate" {
            default(strategy, "rollingUpdate", json!({}));
            if let Some(rolling) = object_at(strategy, "rollingUpdate") {
                default(rolling, "maxUnavailable", json!(1));
                default(rolling, "maxSurge", json!(0));
            }
        }
    }
    default(spec, "revisionHistoryLimit", json!(10));
    template(spec);
}

fn job_spec(spec: &mut Fields) {
    if spec.get("completions").is_none() && spec.get("parallelism").is_none() {
        default(spec, "completions", json!(1));
        default(spec, "parallelism", json!(1));
    }
    default(spec, "parallelism", json!(1));
    let per_index = spec.get("backoffLimitPerIndex").is_some();
    default(spec, "backoffLimit", json!(if per_index { i32::MAX } else { 6 }));
    default(spec, "completionMode", json!("NonIndexed"));
    default(spec, "suspend", json!(false));
    default(spec, "manualSelector", json!(false));
    let policy = if spec.get("podFailurePolicy").is_some() { "Failed" } else { "TerminatingOrFailed" };
    default(spec, "podReplacementPolicy", json!(policy));
    template(spec);
}

fn cron_job(map: &mut Fields) {
    let Some(spec) = object_at(map, "spec") else { return };
    default(spec, "concurrencyPolicy", json!("Allow"));
    default(spec, "suspend", json!(false));
    default(spec, "successfulJobsHistoryLimit", json!(3));
    default(spec, "failedJobsHistoryLimit", json!(1));
    // Of the job only the pod has defaults here; the rest comes when the job is made.
    if let Some(job) = object_at(spec, "jobTemplate").and_then(|template| object_at(template, "spec")) {
        template(job);
    }
}

fn network_policy(map: &mut Fields) {
    let Some(spec) = object_at(map, "spec") else { return };
    for list in ["ingress", "egress"] {
        for rule in objects_at(spec, list) {
            for port in objects_at(rule, "ports") {
                default(port, "protocol", json!("TCP"));
            }
        }
    }
    if spec.get("policyTypes").is_none() {
        let egress = spec.get("egress").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty());
        spec.insert("policyTypes".into(), if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) });
    }
}

fn autoscaler(map: &mut Fields) {
    let Some(spec) = object_at(map, "spec") else { return };
    default(spec, "minReplicas", json!(1));
    if spec.get("metrics").is_none() {
        let cpu = json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization",
            "averageUtilization": 80}}}]);
        spec.insert("metrics".into(), cpu);
    }
    let Some(behavior) = object_at(spec, "behavior") else { return };
    let up = json!([{"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100,
        "periodSeconds": 15}]);
    let down = json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]);
    for (name, policies) in [("scaleUp", up), ("scaleDown", down)] {
        default(behavior, name, json!({}));
        if let Some(rules) = object_at(behavior, name) {
            default(rules, "selectPolicy", json!("Max"));
            default(rules, "policies", policies);
            if name == "scaleUp" {
                default(rules, "stabilizationWindowSeconds", json!(0));
            }
        }
    }
}

fn binding(map: &mut Fields) {
    const GROUP: &str = "rbac.authorization.k8s.io";
    if let Some(role) = object_at(map, "roleRef") {
        default(role, "apiGroup", json!(GROUP));
    }
    for subject in objects_at(map, "subjects") {
        if matches!(text(subject, "kind"), "User" | "Group") {
            default(subject, "apiGroup", json!(GROUP));
        }
    }
}

fn definition(map: &mut Fields) {
    let Some(spec) = object_at(map, "spec") else { return };
    default(spec, "conversion", json!({"strategy": "None"}));
    if let Some(names) = object_at(spec, "names") {
        let kind = text(names, "kind").to_owned();
        default(names, "singular", json!(kind.to_lowercase()));
        default(names, "listKind", json!(format!("{kind}List")));
    }
}
