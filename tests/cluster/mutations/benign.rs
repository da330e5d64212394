//! The kinds of changes that are no drift: what Git says nothing of, and other spellings of what it says.

use serde_json::{Value, json};
use slipway_gitops::diff::{Path, Segment};

use super::fields;
use crate::random::Random;

/// What a benign change does.
pub(super) enum Act {
    /// Makes the object so; the paths are those that nothing else may touch.
    Write(Value, Vec<Path>),
    /// Writes its status.
    Status(Value),
    /// Writes its scale, as the autoscaler does.
    Scale(u64),
    /// Applies, server-side, a part of the object as it is, at these paths.
    Own(Value, Vec<Path>),
    /// Creates another object of this plural below this API path.
    Create(&'static str, Value),
}

type Make = fn(&Value, &Value, &mut Random) -> Option<Act>;

/// All kinds, by what Git has and what is live.
pub(super) const KINDS: &[(&str, Make)] = &[
    ("order of containers", |_, live, _| swap(live, &[pod(live)?, &["containers"]].concat())),
    ("label added", |_, live, random| put(live, &["metadata", "labels"], &unique("team", random), json!("hand"))),
    ("annotation added", |_, live, random| {
        put(live, &["metadata", "annotations"], &unique("note", random), json!("hand"))
    }),
    ("revision of a controller", |_, live, _| {
        put(live, &["metadata", "annotations"], "deployment.kubernetes.io/revision", json!("77"))
            .filter(|_| live["kind"] == "Deployment")
    }),
    ("restart", |_, live, _| {
        let path = ["spec", "template", "metadata", "annotations"];
        put(live, &path, "kubectl.kubernetes.io/restartedAt", json!("2026-01-01T00:00:00Z"))
            .filter(|_| live["kind"] == "Deployment")
    }),
    ("finalizer", |_, live, _| add(live, &["metadata", "finalizers"], json!("example.com/by-hand"))),
    ("owner", |_, live, _| {
        let owner = json!({"apiVersion": "v1", "kind": "Namespace", "name": live["metadata"].get("namespace")?,
            "uid": "NAMESPACE-UID"});
        add(live, &["metadata", "ownerReferences"], owner)
    }),
    ("container added", |_, live, _| {
        let path = pod(live)?;
        add(live, &[path, &["containers"]].concat(), json!({"name": "injected", "image": "proxy:1"}))
    }),
    ("init container added", |_, live, _| {
        let path = pod(live)?;
        add(live, &[path, &["initContainers"]].concat(), json!({"name": "injected-init", "image": "proxy:1"}))
    }),
    ("volume added", |_, live, _| {
        add(live, &[pod(live)?, &["volumes"]].concat(), json!({"name": "injected", "emptyDir": {}}))
    }),
    ("variable added", |_, live, random| {
        // With the value of one that is gone it would be that one under another name.
        in_container(live, random, "env", json!({"name": "INJECTED", "value": "by a hand"}))
    }),
    ("port added", |_, live, random| {
        in_container(live, random, "ports", json!({"name": "injected", "containerPort": 15020}))
    }),
    ("field added", |git, live, _| {
        let path = [pod(live)?, &["priorityClassName"]].concat();
        let is_ours = at(git, &path).is_some();
        (!is_ours).then(|| replaced(live, &path, json!("system-cluster-critical"))).flatten()
    }),
    ("pause", |git, live, _| {
        let is_other = live["kind"] == "Deployment" && git["spec"].get("paused").is_none();
        is_other.then(|| replaced(live, &["spec", "paused"], json!(true))).flatten()
    }),
    ("history limit", |git, live, _| {
        let path = ["spec", "revisionHistoryLimit"];
        (at(git, &path).is_none() && at(live, &path).is_some()).then(|| replaced(live, &path, json!(4))).flatten()
    }),
    ("port of a service added", |git, live, _| {
        let is_fit = live["kind"] == "Service" && git["spec"]["ports"][0]["name"].is_string();
        let port = json!({"name": "injected", "port": 15021, "protocol": "TCP"});
        is_fit.then(|| add(live, &["spec", "ports"], port)).flatten()
    }),
    ("key of a map added", |_, live, random| {
        let key = unique("added", random).replace('/', "-");
        (live["kind"] == "ConfigMap").then(|| put(live, &["data"], &key, json!("1"))).flatten()
    }),
    ("key of a secret added", |_, live, random| {
        let key = unique("added", random).replace('/', "-");
        (live["kind"] == "Secret").then(|| put(live, &["data"], &key, json!("YQ=="))).flatten()
    }),
    ("pull secret added", |git, live, _| {
        // Where Git has the list it is Git's as a whole.
        let is_account = live["kind"] == "ServiceAccount" && git.get("imagePullSecrets").is_none();
        is_account.then(|| add(live, &["imagePullSecrets"], json!({"name": "injected"}))).flatten()
    }),
    ("status", |_, live, _| {
        let condition = json!({"type": "ByHand", "status": "True", "reason": "Test", "message": "by hand",
            "lastTransitionTime": "2026-01-01T00:00:00Z"});
        match live["kind"].as_str()? {
            "Deployment" | "StatefulSet" | "DaemonSet" => Some(Act::Status(json!({"conditions": [condition]}))),
            "Gadget" => Some(Act::Status(json!({"phase": "Ready"}))),
            "Ingress" | "Service" => Some(Act::Status(json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}))),
            _ => None,
        }
    }),
    ("autoscaler", |git, live, random| {
        let is_free = live["kind"] == "Deployment" && git["spec"].get("replicas").is_none();
        is_free.then(|| Act::Scale(3 + u64::try_from(random.below(3)).unwrap()))
    }),
    ("order of variables", |_, live, random| reorder(live, random, "env")),
    ("order of ports", |_, live, random| reorder(live, random, "ports")),
    ("order of mounts", |_, live, random| reorder(live, random, "volumeMounts")),
    ("order of volumes", |_, live, _| swap(live, &[pod(live)?, &["volumes"]].concat())),
    ("order of a service's ports", |_, live, _| {
        (live["kind"] == "Service").then(|| swap(live, &["spec", "ports"])).flatten()
    }),
    ("order of pull secrets", |_, live, _| swap(live, &[pod(live)?, &["imagePullSecrets"]].concat())),
    ("order of a set", |_, live, _| (live["kind"] == "Gadget").then(|| swap(live, &["spec", "names"])).flatten()),
    ("order of a custom resource's items", |_, live, _| {
        (live["kind"] == "Gadget").then(|| swap(live, &["spec", "routes"])).flatten()
    }),
    ("item of a set added", |_, live, _| {
        (live["kind"] == "Gadget").then(|| add(live, &["spec", "names"], json!("dora"))).flatten()
    }),
    ("equal quantity", equal_quantity),
    ("equal duration", |_, live, _| {
        (live["kind"] == "Gadget").then(|| replaced(live, &["spec", "every"], json!("60m"))).flatten()
    }),
    ("equal quantity of a custom resource", |_, live, _| {
        (live["kind"] == "Gadget").then(|| replaced(live, &["spec", "memory"], json!("131072Ki"))).flatten()
    }),
    ("ignored field", |git, live, _| {
        let is_ignored = git["data"].get("ignored").is_some();
        is_ignored.then(|| replaced(live, &["data", "ignored"], json!("by hand"))).flatten()
    }),
    ("another owner of the same value", |git, live, random| {
        let labels = git["metadata"]["labels"].as_object().filter(|labels| !labels.is_empty())?;
        let (key, value) = labels.iter().nth(random.below(labels.len()))?;
        let part = json!({"apiVersion": live["apiVersion"], "kind": live["kind"],
            "metadata": {"name": live["metadata"]["name"], "labels": {key.as_str(): value}}});
        Some(Act::Own(part, vec![path(&["metadata", "labels", key])]))
    }),
    ("the copy of kubectl apply", |_, live, _| {
        let key = "kubectl.kubernetes.io/last-applied-configuration";
        let copy = json!({"apiVersion": live["apiVersion"], "kind": live["kind"]}).to_string();
        put(live, &["metadata", "annotations"], key, json!(copy))
    }),
    ("nothing", |_, live, _| Some(Act::Write(live.clone(), Vec::new()))),
    ("an object of nobody", |_, _, random| {
        let name = unique("stray", random).replace('/', "-").replace("example.com-", "");
        Some(Act::Create(
            "/api/v1/namespaces/NAMESPACE/configmaps",
            json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name}, "data": {"a": "1"}}),
        ))
    }),
    ("an event", |_, live, random| {
        let name = unique("event", random).replace('/', "-").replace("example.com-", "");
        let metadata = &live["metadata"];
        let object = json!({"apiVersion": live["apiVersion"], "kind": live["kind"], "name": metadata["name"],
            "namespace": metadata.get("namespace").cloned()?, "uid": metadata["uid"]});
        Some(Act::Create(
            "/api/v1/namespaces/NAMESPACE/events",
            json!({"apiVersion": "v1", "kind": "Event",
            "metadata": {"name": name}, "involvedObject": object, "reason": "ByHand", "message": "by hand",
            "type": "Normal"}),
        ))
    }),
    ("endpoints", |_, live, random| {
        let name = unique("slice", random).replace('/', "-").replace("example.com-", "");
        (live["kind"] == "Service").then(|| {
            Act::Create(
                "/apis/discovery.k8s.io/v1/namespaces/NAMESPACE/endpointslices",
                json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": {"name": name, "labels": live["metadata"]["labels"],
                    "ownerReferences": [owner(live, false)]},
                "endpoints": [{"addresses": ["192.0.2.7"]}]}),
            )
        })
    }),
    ("a job of a CronJob", |_, live, random| {
        let name = unique("run", random).replace('/', "-").replace("example.com-", "");
        (live["kind"] == "CronJob").then(|| {
            // As `kubectl create job --from`, and with the owner's annotations, tracking id included.
            Act::Create(
                "/apis/batch/v1/namespaces/NAMESPACE/jobs",
                json!({"apiVersion": "batch/v1", "kind": "Job", "spec": live["spec"]["jobTemplate"]["spec"],
                "metadata": {"name": name, "labels": live["metadata"]["labels"],
                    "annotations": live["metadata"]["annotations"], "ownerReferences": [owner(live, true)]}}),
            )
        })
    }),
    ("a pod with the owner's labels", |_, live, random| {
        let name = unique("pod", random).replace('/', "-").replace("example.com-", "");
        (live["kind"] == "StatefulSet").then(|| {
            Act::Create(
                "/api/v1/namespaces/NAMESPACE/pods",
                json!({"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": name, "annotations": live["metadata"]["annotations"]},
                "spec": {"containers": [{"name": "a", "image": "a:1"}]}}),
            )
        })
    }),
];

fn owner(live: &Value, is_controller: bool) -> Value {
    json!({"apiVersion": live["apiVersion"], "kind": live["kind"], "name": live["metadata"]["name"],
        "uid": live["metadata"]["uid"], "controller": is_controller})
}

fn unique(what: &str, random: &mut Random) -> String {
    format!("example.com/{what}-{}", random.below(1_000_000))
}

fn pod(live: &Value) -> Option<&'static [&'static str]> {
    match live["kind"].as_str()? {
        "Deployment" | "StatefulSet" | "DaemonSet" => Some(&["spec", "template", "spec"]),
        "CronJob" => Some(&["spec", "jobTemplate", "spec", "template", "spec"]),
        _ => None,
    }
}

fn path(fields: &[&str]) -> Path {
    Path(fields.iter().map(|name| Segment::Field((*name).to_owned())).collect())
}

fn at<'a>(object: &'a Value, fields: &[&str]) -> Option<&'a Value> {
    fields.iter().try_fold(object, |value, name| value.get(name))
}

fn at_mut<'a>(object: &'a mut Value, fields: &[&str]) -> Option<&'a mut Value> {
    fields.iter().try_fold(object, |value, name| value.get_mut(name))
}

/// The object with one more entry in a mapping.
fn put(live: &Value, fields: &[&str], key: &str, value: Value) -> Option<Act> {
    let mut after = live.clone();
    let (last, above) = fields.split_last()?;
    let holder = at_mut(&mut after, above)?.as_object_mut()?;
    holder.entry(*last).or_insert_with(|| json!({})).as_object_mut()?.insert(key.to_owned(), value);
    Some(Act::Write(after, vec![path(&[fields, &[key]].concat())]))
}

/// The object with another value.
fn replaced(live: &Value, fields: &[&str], value: Value) -> Option<Act> {
    let mut after = live.clone();
    let (last, above) = fields.split_last()?;
    at_mut(&mut after, above)?.as_object_mut()?.insert((*last).to_owned(), value);
    Some(Act::Write(after, vec![path(fields)]))
}

/// The object with one more item in a list.
fn add(live: &Value, fields: &[&str], item: Value) -> Option<Act> {
    let mut after = live.clone();
    let (last, above) = fields.split_last()?;
    let holder = at_mut(&mut after, above)?.as_object_mut()?;
    let items = holder.entry(*last).or_insert_with(|| json!([])).as_array_mut()?;
    if items.contains(&item) || items.iter().any(|known| item.get("name").is_some() && known["name"] == item["name"]) {
        return None;
    }
    items.push(item);
    Some(Act::Write(after, Vec::new()))
}

/// The object with one more item in a list of one of its containers.
fn in_container(live: &Value, random: &mut Random, list: &str, item: Value) -> Option<Act> {
    let mut after = live.clone();
    let containers = at_mut(&mut after, &[pod(live)?, &["containers"]].concat())?.as_array_mut()?;
    let place = random.below(containers.len());
    let container = containers.get_mut(place)?.as_object_mut()?;
    let items = container.entry(list).or_insert_with(|| json!([])).as_array_mut()?;
    // Ports without names can't stand beside one with a name in all kinds.
    if items.iter().any(|known| known["name"] == item["name"] || known.get("name").is_none()) {
        return None;
    }
    items.push(item);
    Some(Act::Write(after, Vec::new()))
}

/// The object with the first two items of a list exchanged.
fn swap(live: &Value, fields: &[&str]) -> Option<Act> {
    let mut after = live.clone();
    let list = at_mut(&mut after, fields)?.as_array_mut()?;
    if list.len() < 2 {
        return None;
    }
    list.swap(0, 1);
    Some(Act::Write(after, vec![path(fields)]))
}

/// The object with the first two items of a list of one of its containers exchanged.
fn reorder(live: &Value, random: &mut Random, list: &str) -> Option<Act> {
    let mut after = live.clone();
    let above = [pod(live)?, &["containers"]].concat();
    let containers = at_mut(&mut after, &above)?.as_array_mut()?;
    let place = random.below(containers.len());
    let container = containers.get_mut(place)?;
    let name = container["name"].clone();
    let items = container.get_mut(list)?.as_array_mut()?;
    // A variable may refer to those before it.
    if items.len() < 2 || Value::Array(items.clone()).to_string().contains("$(") {
        return None;
    }
    items.swap(0, 1);
    let mut whole = path(&above);
    whole.0.extend([Segment::Item("name".to_owned(), name), Segment::Field(list.to_owned())]);
    Some(Act::Write(after, vec![whole]))
}

/// The object with a quantity of Git's in another unit.
fn equal_quantity(git: &Value, live: &Value, random: &mut Random) -> Option<Act> {
    let is_one = |path: &Path| {
        [
            "pod.containers.*.resources.limits.*",
            "pod.containers.*.resources.requests.*",
            "pod.volumes.*.emptyDir.sizeLimit",
        ]
        .iter()
        .any(|pattern| fields::matches(path, pattern))
    };
    let places: Vec<Path> = fields::all(git).into_iter().map(|(path, _)| path).filter(is_one).collect();
    let path = places.get(random.below(places.len()))?;
    let text = fields::get(live, path)?.as_str()?;
    let equal = match (text.strip_suffix("Mi"), text.strip_suffix("Gi"), text.strip_suffix('m')) {
        (Some(number), ..) => (number.parse::<u64>().ok()? << 20).to_string(),
        (_, Some(number), _) => (number.parse::<u64>().ok()? << 30).to_string(),
        (.., Some(number)) => format!("{}u", number.parse::<u64>().ok()? * 1000),
        _ => return None,
    };
    let mut after = live.clone();
    fields::set(&mut after, path, Some(json!(equal))).then(|| Act::Write(after, vec![path.clone()]))
}
