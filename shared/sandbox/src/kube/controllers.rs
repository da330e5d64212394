//! Enough of the controller manager and of a kubelet: rollouts become available, jobs complete, namespaces empty,
//! dependents of deleted owners go, CustomResourceDefinitions are established.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::fieldset::Set;
use super::managed::{Managed, Manager, Write};
use super::schema::{Kind, built_in};
use super::selector::Selector;
use super::store::{Filter, Key, Store};
use super::typed::put_at;
use super::{canonical, defaults, prepare};

/// One round makes at most so many passes; what is left comes with the next tick.
const PASSES: usize = 8;
/// Replicas beyond this are not made into pods.
const PODS_LIMIT: i64 = 1_000;

/// What the controllers remember between ticks.
#[derive(Debug)]
pub(super) struct Controllers {
    /// Pods become ready this long after they were first seen.
    pub(super) ready_after: SignedDuration,
    /// Pods whose image contains one of these never become ready.
    pub(super) held_images: Vec<String>,
    first_seen: BTreeMap<String, Timestamp>,
}

impl Controllers {
    /// Controllers that make pods ready after `ready_after`.
    pub(super) fn new(ready_after: SignedDuration) -> Self {
        Self { ready_after, held_images: Vec::new(), first_seen: BTreeMap::new() }
    }

    /// Looks at everything once and does what is due.
    pub(super) fn tick(&mut self, store: &mut Store, now: Timestamp) {
        for _ in 0..PASSES {
            let before = store.version();
            Pass { store, now, stamp: now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), controllers: self }.run();
            if store.version() == before {
                break;
            }
        }
        if self.first_seen.len() > 100_000 {
            self.first_seen.clear();
        }
    }
}

pub(super) struct Pass<'a> {
    pub(super) store: &'a mut Store,
    pub(super) now: Timestamp,
    pub(super) stamp: String,
    pub(super) controllers: &'a mut Controllers,
}

pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, pointer: &str) -> i64 {
    value.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

fn kind_of(group: &str, kind: &str) -> Option<&'static Kind> {
    built_in().kinds.iter().find(|known| known.is(group, kind))
}

fn owner_uid(object: &Value) -> Option<&str> {
    object.pointer("/metadata/ownerReferences/0/uid").and_then(Value::as_str)
}

impl Pass<'_> {
    fn run(&mut self) {
        self.definitions();
        self.namespaces();
        self.protections();
        self.orphans();
        self.collect_garbage();
        for (_, deployment) in self.all("apps", "Deployment") {
            self.deployment(&deployment);
        }
        for (_, set) in self.all("apps", "ReplicaSet") {
            self.replicas(&set, "ReplicaSet", number(&set, "/spec/replicas"));
        }
        for (_, set) in self.all("apps", "StatefulSet") {
            self.stateful_set(&set);
        }
        for (_, set) in self.all("apps", "DaemonSet") {
            self.daemon_set(&set);
        }
        for (_, job) in self.all("batch", "Job") {
            self.job(&job);
        }
        for (_, pod) in self.all("", "Pod") {
            self.pod(&pod);
        }
    }

    /// All objects of a kind that nobody is deleting.
    fn all(&self, group: &str, kind: &str) -> Vec<(Key, Value)> {
        let Some(kind) = kind_of(group, kind) else { return Vec::new() };
        let filter =
            Filter { resource: kind.resource(), namespace: None, labels: Selector::default(), fields: String::new() };
        let found = self
            .store
            .list(&filter)
            .into_iter()
            .filter(|(_, object)| object.pointer("/metadata/deletionTimestamp").is_none());
        found.map(|(key, object)| (key.clone(), object.clone())).collect()
    }

    fn owned(&self, group: &str, kind: &str, uid: &str) -> Vec<(Key, Value)> {
        self.all(group, kind).into_iter().filter(|(_, object)| owner_uid(object) == Some(uid)).collect()
    }

    /// Stores `new` as the controller manager writes it, with its fields tracked.
    fn put(&mut self, kind: &Kind, key: &Key, old: Option<&Value>, mut new: Value, subresource: &str) {
        if old.is_some_and(|old| *old == new) {
            return;
        }
        let by = Manager {
            name: "kube-controller-manager".into(),
            operation: "Update".into(),
            api_version: kind.api_version(),
            subresource: subresource.into(),
        };
        let api_version = kind.api_version();
        let reset = Set::default();
        let write = Write { manager: &by, api_version: &api_version, reset: &reset, now: &self.stamp };
        let empty = canonical::zero(built_in(), &kind.root);
        let mut managed = Managed::decode(old.and_then(|old| old.pointer("/metadata/managedFields")));
        let strip = |object: &Value| {
            let mut object = object.clone();
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.shift_remove("managedFields");
            }
            object
        };
        managed.update(built_in(), &kind.root, &old.map_or(empty, strip), &strip(&new), &write);
        if let (Some(metadata), Some(entries)) =
            (new.get_mut("metadata").and_then(Value::as_object_mut), managed.encode())
        {
            metadata.insert("managedFields".into(), entries);
        }
        self.store.put(key, new);
    }

    fn create(&mut self, kind: &Kind, object: &Value) {
        let mut object = canonical::canonical(built_in(), &kind.root, object, &mut canonical::Findings::default());
        defaults::fill(kind, &mut object);
        prepare::create(self.store, kind, &mut object, &self.stamp);
        let key = Key::new(kind, text(&object, "/metadata/namespace"), text(&object, "/metadata/name"));
        self.put(kind, &key, None, object, "");
    }

    fn status(&mut self, group: &str, kind: &str, object: &Value, status: &Value) {
        let Some(kind) = kind_of(group, kind) else { return };
        let mut new = object.clone();
        if let Some(map) = new.as_object_mut() {
            map.insert("status".into(), status.clone());
        }
        let new = canonical::canonical(built_in(), &kind.root, &new, &mut canonical::Findings::default());
        let key = Key::new(kind, text(object, "/metadata/namespace"), text(object, "/metadata/name"));
        self.put(kind, &key, Some(object), new, "status");
    }

    fn definitions(&mut self) {
        for (_, definition) in self.all("apiextensions.k8s.io", "CustomResourceDefinition") {
            if definition.pointer("/status/conditions/0").is_some() {
                continue;
            }
            let condition = |kind: &str, reason: &str, message: &str| {
                json!({"type": kind, "status": "True",
                "reason": reason, "message": message, "lastTransitionTime": self.stamp})
            };
            let versions = definition.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten();
            let stored: Vec<&Value> = versions
                .filter(|version| version.get("storage") == Some(&json!(true)))
                .filter_map(|v| v.get("name"))
                .collect();
            let status = json!({
                "conditions": [condition("NamesAccepted", "NoConflicts", "no conflicts found"),
                    condition("Established", "InitialNamesAccepted", "the initial names have been accepted")],
                "acceptedNames": definition.pointer("/spec/names"), "storedVersions": stored,
            });
            self.status("apiextensions.k8s.io", "CustomResourceDefinition", &definition, &status);
            self.store.define(&definition);
        }
    }

    fn deployment(&mut self, deployment: &Value) {
        let (uid, name) = (text(deployment, "/metadata/uid").to_owned(), text(deployment, "/metadata/name"));
        let template = deployment.pointer("/spec/template").cloned().unwrap_or_default();
        let hash = hash_of(&template);
        let new_name = format!("{name}-{hash}");
        let desired = number(deployment, "/spec/replicas");
        let sets = self.owned("apps", "ReplicaSet", &uid);
        let revision_of = |object: &Value| {
            text(object, "/metadata/annotations/deployment.kubernetes.io~1revision").parse::<i64>().unwrap_or_default()
        };
        let newest = sets.iter().map(|(_, set)| revision_of(set)).max().unwrap_or_default();
        let current = sets.iter().find(|(key, _)| key.name == new_name);
        let revision = match current {
            None => newest + 1,
            Some((_, set)) if revision_of(set) < newest => newest + 1,
            Some((_, set)) => revision_of(set),
        };
        let Some(kind) = kind_of("apps", "ReplicaSet") else { return };
        match current {
            None => self.create(kind, &replica_set(deployment, &new_name, &hash, revision, desired)),
            Some((key, set)) => {
                let mut new = set.clone();
                put_at(&mut new, &["spec", "replicas"], json!(desired));
                put_at(
                    &mut new,
                    &["metadata", "annotations", "deployment.kubernetes.io/revision"],
                    json!(revision.to_string()),
                );
                put_at(
                    &mut new,
                    &["metadata", "annotations", "deployment.kubernetes.io/desired-replicas"],
                    json!(desired.to_string()),
                );
                self.put(kind, key, Some(set), new, "");
            }
        }
        let ready_of = |set: &Value| number(set, "/status/readyReplicas");
        let new_ready = current.map(|(_, set)| ready_of(set)).unwrap_or_default();
        let old: Vec<&(Key, Value)> = sets.iter().filter(|(key, _)| key.name != new_name).collect();
        if new_ready >= desired && current.is_some() {
            for (key, set) in old.iter().filter(|(_, set)| number(set, "/spec/replicas") > 0) {
                let mut new = set.clone();
                put_at(&mut new, &["spec", "replicas"], json!(0));
                self.put(kind, key, Some(set), new, "");
            }
        }
        let updated = current.map(|(_, set)| number(set, "/status/replicas")).unwrap_or_default();
        let total = updated + old.iter().map(|(_, set)| number(set, "/status/replicas")).sum::<i64>();
        let ready = new_ready + old.iter().map(|(_, set)| ready_of(set)).sum::<i64>();
        let status = self.deployment_status(deployment, &new_name, (total, updated, ready, new_ready));
        let mut annotated = deployment.clone();
        put_at(
            &mut annotated,
            &["metadata", "annotations", "deployment.kubernetes.io/revision"],
            json!(revision.to_string()),
        );
        put_at(&mut annotated, &["status"], status);
        let Some(kind) = kind_of("apps", "Deployment") else { return };
        let annotated = canonical::canonical(built_in(), &kind.root, &annotated, &mut canonical::Findings::default());
        let key = Key::new(kind, text(deployment, "/metadata/namespace"), name);
        self.put(kind, &key, Some(deployment), annotated, "status");
    }

    fn deployment_status(&self, deployment: &Value, set: &str, counts: (i64, i64, i64, i64)) -> Value {
        let (total, updated, ready, new_ready) = counts;
        let desired = number(deployment, "/spec/replicas");
        let is_available = ready > 0 && ready >= desired - desired / 4 || desired == 0;
        let complete = updated == desired && new_ready == desired && total == desired;
        let available = if is_available {
            ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.".to_owned())
        } else {
            ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.".to_owned())
        };
        let since = self.controllers.first_seen.get(&format!("{}/{}", text(deployment, "/metadata/uid"), set));
        let deadline = SignedDuration::from_secs(number(deployment, "/spec/progressDeadlineSeconds"));
        let late = since.is_some_and(|since| self.now.duration_since(*since) > deadline);
        let progressing = if complete {
            ("True", "NewReplicaSetAvailable", format!("ReplicaSet \"{set}\" has successfully progressed."))
        } else if late {
            ("False", "ProgressDeadlineExceeded", format!("ReplicaSet \"{set}\" has timed out progressing."))
        } else {
            ("True", "ReplicaSetUpdated", format!("ReplicaSet \"{set}\" is progressing."))
        };
        let conditions =
            [("Available", available), ("Progressing", progressing)].map(|(kind, (status, reason, message))| {
                let known = deployment.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
                let known = known.into_iter().find(|condition| condition.get("type") == Some(&json!(kind)));
                let time = |name: &str, keep: bool| {
                    known
                        .filter(|_| keep)
                        .and_then(|condition| condition.get(name))
                        .cloned()
                        .unwrap_or_else(|| json!(self.stamp))
                };
                let same_status = known.is_some_and(|known| known.get("status") == Some(&json!(status)));
                let same = same_status
                    && known.is_some_and(|known| {
                        known.get("reason") == Some(&json!(reason)) && known.get("message") == Some(&json!(message))
                    });
                json!({"type": kind, "status": status, "lastUpdateTime": time("lastUpdateTime", same),
                "lastTransitionTime": time("lastTransitionTime", same_status), "reason": reason, "message": message})
            });
        json!({
            "observedGeneration": number(deployment, "/metadata/generation"), "replicas": total,
                "updatedReplicas": updated,
            "readyReplicas": ready, "availableReplicas": ready, "unavailableReplicas": (desired - ready).max(0),
                "conditions": conditions,
        })
    }

    /// Makes as many pods as wanted and reports them.
    fn replicas(&mut self, owner: &Value, kind: &str, wanted: i64) {
        let uid = text(owner, "/metadata/uid").to_owned();
        if let Some(deployment) = owner_uid(owner) {
            let key = format!("{deployment}/{}", text(owner, "/metadata/name"));
            self.controllers.first_seen.entry(key).or_insert(self.now);
        }
        let pods = self
            .pods_of(owner, &uid, wanted, |name, index| format!("{name}-{}", short_hash(&format!("{uid}{index}"), 5)));
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        let status = json!({
            "replicas": pods.len(), "fullyLabeledReplicas": pods.len(), "readyReplicas": ready,
                "availableReplicas": ready,
            "observedGeneration": number(owner, "/metadata/generation"),
        });
        self.status("apps", kind, owner, &status);
    }

    /// The owner's pods after those that are missing were made and those beyond the count removed.
    fn pods_of(&mut self, owner: &Value, uid: &str, wanted: i64, name_of: impl Fn(&str, i64) -> String) -> Vec<Value> {
        let wanted = wanted.clamp(0, PODS_LIMIT);
        let (Some(kind), Some(owner_kind)) = (kind_of("", "Pod"), owner.get("kind")) else { return Vec::new() };
        let name = text(owner, "/metadata/name");
        let names: BTreeSet<String> = (0..wanted).map(|index| name_of(name, index)).collect();
        let present = self.owned("", "Pod", uid);
        for (key, pod) in present.iter().filter(|(key, _)| !names.contains(&key.name)) {
            self.end(key, pod);
        }
        for missing in names.iter().filter(|name| !present.iter().any(|(key, _)| key.name == **name)) {
            let template = owner.pointer("/spec/template").cloned().unwrap_or_default();
            let reference = json!({
                "apiVersion": owner.get("apiVersion"), "kind": owner_kind, "name": name, "uid": uid,
                    "controller": true, "blockOwnerDeletion": true,
            });
            let mut spec = template.get("spec").cloned().unwrap_or_default();
            put_at(&mut spec, &["nodeName"], json!("sandbox"));
            let metadata = json!({
                "name": missing, "namespace": text(owner, "/metadata/namespace"),
                    "labels": template.pointer("/metadata/labels"),
                "annotations": template.pointer("/metadata/annotations"), "ownerReferences": [reference],
            });
            self.create(kind, &json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}));
        }
        self.owned("", "Pod", uid).into_iter().map(|(_, pod)| pod).collect()
    }

    fn stateful_set(&mut self, set: &Value) {
        let (uid, hash) =
            (text(set, "/metadata/uid").to_owned(), hash_of(set.pointer("/spec/template").unwrap_or(&Value::Null)));
        let revision = format!("{}-{hash}", text(set, "/metadata/name"));
        // A pod of an older template goes first, so that a new one takes its name.
        for (key, pod) in self.owned("", "Pod", &uid) {
            if self.controllers.first_seen.contains_key(&format!("old/{}", text(&pod, "/metadata/uid"))) {
                self.end(&key, &pod);
            }
        }
        let pods = self.pods_of(set, &uid, number(set, "/spec/replicas"), |name, index| format!("{name}-{index}"));
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        let status = json!({
            "observedGeneration": number(set, "/metadata/generation"), "replicas": pods.len(),
                "readyReplicas": ready, "availableReplicas": ready,
            "currentReplicas": pods.len(), "updatedReplicas": pods.len(), "currentRevision": revision,
                "updateRevision": revision, "collisionCount": 0,
        });
        self.status("apps", "StatefulSet", set, &status);
    }

    fn daemon_set(&mut self, set: &Value) {
        let uid = text(set, "/metadata/uid").to_owned();
        let pods = self.pods_of(set, &uid, 1, |name, _| format!("{name}-{}", short_hash(&uid, 5)));
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        let status = json!({
            "observedGeneration": number(set, "/metadata/generation"), "currentNumberScheduled": 1,
                "desiredNumberScheduled": 1,
            "numberMisscheduled": 0, "numberReady": ready, "numberAvailable": ready, "updatedNumberScheduled": 1,
        });
        self.status("apps", "DaemonSet", set, &status);
    }

    fn job(&mut self, job: &Value) {
        if job.pointer("/status/completionTime").is_some() || job.pointer("/spec/suspend") == Some(&json!(true)) {
            return;
        }
        let known = job.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
        if known.into_iter().any(|condition| text(condition, "/type") == "Failed") {
            return;
        }
        let uid = text(job, "/metadata/uid").to_owned();
        let completions = job.pointer("/spec/completions").and_then(Value::as_i64).unwrap_or(1);
        let pods = self.pods_of(job, &uid, completions, |name, index| {
            format!("{name}-{}", short_hash(&format!("{uid}{index}"), 5))
        });
        let done = pods.iter().filter(|pod| text(pod, "/status/phase") == "Succeeded").count();
        let start = job.pointer("/status/startTime").cloned().unwrap_or_else(|| json!(self.stamp));
        let mut status = json!({"startTime": start, "succeeded": done, "active": pods.len() - done, "ready": 0,
            "terminating": 0, "uncountedTerminatedPods": {}});
        if i64::try_from(done).is_ok_and(|done| done >= completions) {
            let condition = |kind: &str| {
                json!({"type": kind, "status": "True", "lastProbeTime": self.stamp, "lastTransitionTime": self.stamp,
                    "reason": "CompletionsReached", "message": "Reached expected number of succeeded pods"})
            };
            put_at(&mut status, &["completionTime"], json!(self.stamp));
            put_at(&mut status, &["conditions"], json!([condition("SuccessCriteriaMet"), condition("Complete")]));
        } else if self.is_late(job, text(&start, "")) {
            let condition = |kind: &str| {
                json!({"type": kind, "status": "True", "lastProbeTime": self.stamp, "lastTransitionTime": self.stamp,
                    "reason": "DeadlineExceeded", "message": "Job was active longer than specified deadline"})
            };
            put_at(&mut status, &["conditions"], json!([condition("FailureTarget"), condition("Failed")]));
            put_at(&mut status, &["active"], json!(0));
            put_at(&mut status, &["failed"], json!(pods.len() - done));
            for (key, pod) in self.owned("", "Pod", &uid) {
                self.end(&key, &pod);
            }
        }
        self.status("batch", "Job", job, &status);
    }

    /// Whether a job that began at `start` has run into its deadline.
    fn is_late(&self, job: &Value, start: &str) -> bool {
        let deadline =
            job.pointer("/spec/activeDeadlineSeconds").and_then(Value::as_i64).map(SignedDuration::from_secs);
        let began: Option<Timestamp> = start.parse().ok();
        deadline.zip(began).is_some_and(|(deadline, began)| self.now.duration_since(began) >= deadline)
    }

    /// Plays the kubelet: a pod runs, and a job's pod is done, when its time has come.
    fn pod(&mut self, pod: &Value) {
        let uid = text(pod, "/metadata/uid").to_owned();
        let since = *self.controllers.first_seen.entry(uid).or_insert(self.now);
        if text(pod, "/status/phase") != "Pending" || self.now.duration_since(since) < self.controllers.ready_after {
            return;
        }
        let containers = pod.pointer("/spec/containers").and_then(Value::as_array).cloned().unwrap_or_default();
        let is_held = |container: &Value| {
            self.controllers.held_images.iter().any(|held| text(container, "/image").contains(held.as_str()))
        };
        if containers.iter().any(is_held) {
            return;
        }
        let is_job = text(pod, "/metadata/ownerReferences/0/kind") == "Job";
        let statuses: Vec<Value> = containers
            .iter()
            .map(|container| {
                let state = if is_job {
                    json!({"terminated": {"exitCode": 0,
                    "reason": "Completed"}})
                } else {
                    json!({"running": {"startedAt": self.stamp}})
                };
                json!({"name": text(container, "/name"), "image": text(container, "/image"), "imageID": "",
                    "ready": !is_job, "restartCount": 0,
                    "started": !is_job, "state": state, "lastState": {}})
            })
            .collect();
        let ready = if is_job { "False" } else { "True" };
        let conditions = ["Initialized", "Ready", "ContainersReady", "PodScheduled"].map(|kind| {
            let status = if kind.contains("Ready") { ready } else { "True" };
            json!({"type": kind, "status": status, "lastProbeTime": null, "lastTransitionTime": self.stamp})
        });
        let status = json!({
            "phase": if is_job { "Succeeded" } else { "Running" }, "conditions": conditions,
                "containerStatuses": statuses,
            "qosClass": pod.pointer("/status/qosClass"), "startTime": self.stamp, "podIP": "10.244.0.1",
                "podIPs": [{"ip": "10.244.0.1"}], "hostIP": "127.0.0.1",
        });
        self.status("", "Pod", pod, &status);
    }
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    conditions.into_iter().any(|condition| text(condition, "/type") == "Ready" && text(condition, "/status") == "True")
}

fn short_hash(text: &str, length: usize) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let digest = crate::forge::Oid::of("hash", text.as_bytes());
    let letter = |byte: &u8| LETTERS.get(usize::from(*byte) % LETTERS.len()).map(|letter| char::from(*letter));
    digest.as_bytes().iter().take(length).filter_map(letter).collect()
}

fn hash_of(template: &Value) -> String {
    let mut sorted = template.clone();
    sorted.sort_all_objects();
    short_hash(&sorted.to_string(), 10)
}

fn replica_set(deployment: &Value, name: &str, hash: &str, revision: i64, replicas: i64) -> Value {
    let mut template = deployment.pointer("/spec/template").cloned().unwrap_or_default();
    put_at(&mut template, &["metadata", "labels", "pod-template-hash"], json!(hash));
    let mut selector = deployment.pointer("/spec/selector").cloned().unwrap_or_default();
    put_at(&mut selector, &["matchLabels", "pod-template-hash"], json!(hash));
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": name, "namespace": text(deployment, "/metadata/namespace"),
                "labels": template.pointer("/metadata/labels"),
            "annotations": {
                "deployment.kubernetes.io/desired-replicas": replicas.to_string(),
                "deployment.kubernetes.io/max-replicas": (replicas + (replicas + 3) / 4).to_string(),
                "deployment.kubernetes.io/revision": revision.to_string(),
            },
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": text(deployment,
                "/metadata/name"),
                "uid": text(deployment, "/metadata/uid"), "controller": true, "blockOwnerDeletion": true}],
        },
        "spec": {"replicas": replicas, "selector": selector, "template": template},
    })
}
