//! Derives the root cause from the evidence. Pure.

use std::fmt;

use serde_json::Value;
use slipway_manifest::{Object, ObjectId};

use crate::diagnose::{Event, Evidence};
use crate::health::{self, Health, text};

/// The kind of a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// An image can't be pulled.
    ImagePull,
    /// A container crashes repeatedly.
    CrashLoop,
    /// A container exceeds its memory limit.
    OutOfMemory,
    /// A ConfigMap, Secret or key of a container does not exist, or its settings contradict each other.
    Configuration,
    /// No node fits the pod.
    Unschedulable,
    /// A volume can't be mounted.
    Mount,
    /// A probe fails.
    Probe,
    /// A ResourceQuota or LimitRange refuses the pods.
    Quota,
    /// An admission rule refuses the pods.
    Denied,
    /// The pods can't be created for another reason.
    PodsRefused,
    /// A finalizer blocks the deletion.
    Finalizer,
    /// A disruption budget blocks every eviction.
    DisruptionBudget,
    /// A Job has failed.
    JobFailed,
    /// A Job exceeded its deadline.
    Deadline,
    /// A volume can't be provisioned.
    Provisioning,
    /// A volume is provisioned once a pod uses it, and no pod does.
    NoConsumer,
    /// No controller handles the object.
    NoController,
    /// The names of a CustomResourceDefinition conflict, or its schema is refused.
    Definition,
    /// The service behind an APIService does not respond.
    ApiUnavailable,
    /// A rollout is paused until a person resumes it.
    Paused,
    /// One of the object's conditions says so.
    Condition,
    /// The object does not exist (any more).
    Gone,
}

impl Reason {
    /// What a person can do about it; empty where the message says it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::ImagePull => "check name and tag of the image, and that the nodes may pull it",
            Self::CrashLoop => "see the container's log; revert the change if it came with it",
            Self::OutOfMemory => "raise the memory limit, or let the program need less",
            Self::Configuration => "add what the message names, or correct the reference",
            Self::Unschedulable => "add nodes, lower the requests, or correct selectors, taints and tolerations",
            Self::Mount => "check that the volume, Secret or ConfigMap exists and may be attached there",
            Self::Probe => "correct the probe or what it asks",
            Self::Quota => "raise the ResourceQuota or lower the request",
            Self::Denied => "satisfy the admission rule that the message names, or exempt the object from it",
            Self::Finalizer => "let the controller behind the finalizer do its work, or remove the finalizer manually",
            Self::DisruptionBudget => "add replicas, or allow a disruption",
            Self::JobFailed => {
                "see the log; the next sync re-creates the Job if it is a hook, else by Force=true,Replace=true"
            }
            Self::Deadline => "raise activeDeadlineSeconds, or let the Job do less",
            Self::Provisioning => "check the StorageClass and its provisioner",
            Self::NoConsumer => "add what uses it, or a StorageClass with volumeBindingMode: Immediate",
            Self::NoController => "install the controller, or correct the class that the object names",
            Self::Definition => "remove the other definition, or correct the names or the schema",
            Self::ApiUnavailable => "bring the service behind it back",
            Self::Paused => "resume it",
            Self::Gone => "raise ttlSecondsAfterFinished if a controller removed it too early",
            Self::PodsRefused | Self::Condition => "",
        }
    }
}

/// The root cause. Prints as `Pod/shop/web-1: container web can't pull …  (check …)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The object with the cause: the pod rather than its Deployment.
    pub object: ObjectId,
    /// The kind of cause.
    pub reason: Reason,
    /// The cause, for people.
    pub message: String,
    /// The container whose log says more.
    pub container: Option<Container>,
}

/// A container whose log says more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The container's name.
    pub name: String,
    /// Whether the log of the previous run is needed.
    pub previous: bool,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.message)?;
        let remedy = self.reason.remedy();
        if remedy.is_empty() { Ok(()) } else { write!(f, " ({remedy})") }
    }
}

impl Cause {
    fn new(object: &Object, reason: Reason, message: impl Into<String>) -> Self {
        Self { object: object.id(), reason, message: message.into(), container: None }
    }
}

/// The root cause, as deep as it can be found; `None` where there is none. A pod comes before its owner, a specific
/// reason before a mere condition.
pub fn cause(evidence: &Evidence) -> Option<Cause> {
    let all = || evidence.objects.iter().rev();
    let event = |object: &Object| by_event(object, &evidence.events);
    let first = evidence.objects.first()?;
    // An object that is being deleted comes first: the others wait for it.
    let found = deleting(first)
        .or_else(|| all().find_map(pod))
        .or_else(|| all().find_map(refused_pods))
        .or_else(|| all().find_map(event))
        .or_else(|| all().find_map(of_kind))
        .or_else(|| all().find_map(by_health))?;
    // A Job's pod has the reason, the Job that it is not retried.
    Some(match failed_job(first).filter(|job| job.object != found.object) {
        Some(job) => Cause { message: format!("{}; {} ended: {}", found.message, job.object, job.message), ..found },
        None => found,
    })
}

/// A Job that has failed, or will have once its pods are gone: `FailureTarget` comes before `Failed`
/// (kubernetes/kubernetes `pkg/controller/job/job_controller.go`).
fn failed_job(object: &Object) -> Option<Cause> {
    if (object.group(), object.kind()) != ("batch", "Job") {
        return None;
    }
    let failed = health::status_conditions(object)
        .find(|condition| matches!(condition.kind, "Failed" | "FailureTarget") && condition.status == "True")?;
    let reason = if failed.reason == "DeadlineExceeded" { Reason::Deadline } else { Reason::JobFailed };
    Some(Cause::new(object, reason, format!("{}: {}", failed.reason, failed.message)))
}

/// A blocked deletion.
fn deleting(object: &Object) -> Option<Cause> {
    object.pointer("/metadata/deletionTimestamp").filter(|time| !time.is_null())?;
    let names = |pointer: &str| -> Vec<&str> {
        object.pointer(pointer).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let finalizers = [names("/metadata/finalizers"), names("/spec/finalizers")].concat();
    if finalizers.is_empty() {
        return None;
    }
    // A Namespace lists in its conditions what remains in it.
    let remaining = health::status_conditions(object)
        .filter(|condition| condition.status == "True" && condition.kind.starts_with("Namespace"))
        .map(|condition| condition.message)
        .collect::<Vec<_>>()
        .join(" ");
    let tail = if remaining.is_empty() { String::new() } else { format!(": {remaining}") };
    let message = format!("it is being deleted and held by the finalizers {}{tail}", finalizers.join(", "));
    Some(Cause::new(object, Reason::Finalizer, message))
}

/// The cause in a pod's own status.
fn pod(object: &Object) -> Option<Cause> {
    if !(object.group().is_empty() && object.kind() == "Pod") {
        return None;
    }
    let unschedulable = health::status_conditions(object)
        .find(|condition| condition.kind == "PodScheduled" && condition.status == "False")
        .map(|condition| Cause::new(object, Reason::Unschedulable, format!("no node takes it: {}", condition.message)));
    let statuses = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let containers = || statuses.iter().filter_map(|list| object.pointer(list)?.as_array()).flatten();
    // A container that was killed by the deletion did not fail.
    let is_killed = object.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null());
    let evicted =
        (text(object, "/status/phase") == "Failed" && !text(object, "/status/reason").is_empty()).then(|| {
            let (reason, message) = (text(object, "/status/reason"), text(object, "/status/message"));
            let kind = if reason == "DeadlineExceeded" { Reason::Deadline } else { Reason::PodsRefused };
            Cause::new(object, kind, format!("{reason}: {message}"))
        });
    unschedulable
        .or_else(|| containers().find_map(|status| waiting(object, status)))
        .or_else(|| containers().find_map(|status| terminated(object, status)).filter(|_| !is_killed))
        .or(evicted)
}

/// A container that does not start.
fn waiting(pod: &Object, status: &Value) -> Option<Cause> {
    let name = field(status, "name");
    let waiting = status.pointer("/state/waiting")?;
    let (reason, message) = (field(waiting, "reason"), field(waiting, "message"));
    let image = field(status, "image");
    let found = |kind, text: String| Some(Cause::new(pod, kind, text));
    match reason {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable" => {
            found(Reason::ImagePull, format!("container {name} can't pull {image}: {reason}: {message}"))
        }
        "CrashLoopBackOff" => {
            let last = status.pointer("/lastState/terminated");
            Some(crashed(pod, name, last, true).unwrap_or_else(|| Cause {
                container: Some(Container { name: name.to_owned(), previous: true }),
                ..Cause::new(pod, Reason::CrashLoop, format!("container {name} ends again and again: {message}"))
            }))
        }
        "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "StartError"
        | "PreCreateHookError"
        | "PostStartHookError" => {
            found(Reason::Configuration, format!("container {name} can't start: {reason}: {message}"))
        }
        _ => None,
    }
}

/// A container that failed and is not restarted, or not yet.
fn terminated(pod: &Object, status: &Value) -> Option<Cause> {
    let now = status.pointer("/state/terminated");
    let before = status.pointer("/lastState/terminated").filter(|_| status.get("ready") != Some(&Value::Bool(true)));
    crashed(pod, field(status, "name"), now.or(before), now.is_none())
}

fn crashed(pod: &Object, name: &str, ended: Option<&Value>, previous: bool) -> Option<Cause> {
    let ended = ended?;
    let code = ended.get("exitCode").and_then(Value::as_i64).unwrap_or_default();
    let (reason, message) = (field(ended, "reason"), field(ended, "message"));
    if code == 0 {
        return None;
    }
    let kind = if reason == "OOMKilled" { Reason::OutOfMemory } else { Reason::CrashLoop };
    let what = if kind == Reason::OutOfMemory { "was killed for its memory" } else { "failed" };
    let tail = if message.is_empty() { String::new() } else { format!(": {}", message.trim()) };
    Some(Cause {
        container: Some(Container { name: name.to_owned(), previous }),
        ..Cause::new(pod, kind, format!("container {name} {what} with exit code {code}{tail}"))
    })
}

/// A controller that may not create pods says so in a condition.
fn refused_pods(object: &Object) -> Option<Cause> {
    let condition = health::status_conditions(object)
        .find(|condition| condition.kind == "ReplicaFailure" && condition.status == "True")?;
    Some(Cause::new(object, refusal(condition.message), condition.message))
}

/// Classifies the API server's message of a refusal.
fn refusal(message: &str) -> Reason {
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&["exceeded quota", "failed quota", "must specify", "LimitRange", "maximum cpu", "maximum memory"]) {
        Reason::Quota
    } else if says(&["denied the request", "denied request", "violates PodSecurity"]) {
        Reason::Denied
    } else if says(&["error looking up service account", "no PriorityClass with name"]) {
        Reason::Configuration
    } else {
        Reason::PodsRefused
    }
}

/// Events of type `Normal` by which volume controllers say what they wait for.
const WAITS: [&str; 3] = ["WaitForFirstConsumer", "WaitForPodScheduled", "FailedBinding"];

/// The last warning about the object, where its status says nothing.
fn by_event(object: &Object, events: &[Event]) -> Option<Cause> {
    let id = object.id();
    let tells = |event: &&Event| (event.warning || WAITS.contains(&event.reason.as_str())) && event.object == id;
    let last = events.iter().filter(tells).max_by_key(|event| &event.time)?;
    // The event is older than the binding.
    if object.kind() == "PersistentVolumeClaim" && text(object, "/status/phase") == "Bound" {
        return None;
    }
    let message = last.message.as_str();
    let reason = match last.reason.as_str() {
        "FailedMount" | "FailedAttachVolume" => Reason::Mount,
        "FailedScheduling" | "WaitForPodScheduled" => Reason::Unschedulable,
        "Unhealthy" | "ProbeError" => Reason::Probe,
        "ProvisioningFailed" | "FailedBinding" => Reason::Provisioning,
        "WaitForFirstConsumer" => Reason::NoConsumer,
        "FailedCreate" => refusal(message),
        "BackOff" | "Failed" if message.contains("image") => Reason::ImagePull,
        "SyncLoadBalancerFailed" | "FailedBuildModel" | "FailedDeployModel" => Reason::NoController,
        _ => return None,
    };
    let container = (reason == Reason::Probe).then(|| first_container(object)).flatten();
    Some(Cause { container, ..Cause::new(object, reason, format!("{}: {message}", last.reason)) })
}

fn first_container(pod: &Object) -> Option<Container> {
    let name = pod.pointer("/spec/containers/0/name")?.as_str()?.to_owned();
    Some(Container { name, previous: false })
}

/// The cause in a kind's own status.
fn of_kind(object: &Object) -> Option<Cause> {
    let condition = |kind: &str, status: &str| {
        health::status_conditions(object).find(|condition| condition.kind == kind && condition.status == status)
    };
    let found = |reason, message: String| Some(Cause::new(object, reason, message));
    match (object.group(), object.kind()) {
        ("batch", "Job") => failed_job(object),
        ("", "PersistentVolumeClaim") if text(object, "/status/phase") == "Pending" => {
            let class = text(object, "/spec/storageClassName");
            let class = if class.is_empty() { "no StorageClass" } else { class };
            found(Reason::Provisioning, format!("no volume was made for it ({class})"))
        }
        ("networking.k8s.io", "Ingress") if !has_address(object) => {
            let class = text(object, "/spec/ingressClassName");
            let class = if class.is_empty() { "the default class" } else { class };
            found(Reason::NoController, format!("no controller gave it an address ({class})"))
        }
        ("", "Service") if text(object, "/spec/type") == "LoadBalancer" && !has_address(object) => {
            found(Reason::NoController, "no controller gave it an address".to_owned())
        }
        ("policy", "PodDisruptionBudget") => {
            let blocked = condition("DisruptionAllowed", "False")?;
            let number = |pointer| object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
            let (healthy, wanted) = (number("/status/currentHealthy"), number("/status/desiredHealthy"));
            // Pods that the budget can't count are not protected: then the controller has the reason.
            let tail = if blocked.reason == "SyncFailed" { format!(": {}", blocked.message) } else { String::new() };
            let counted = match number("/status/expectedPods") {
                0 => "no pod is counted by its selector".to_owned(),
                all => format!("{healthy} of {all} pods are healthy and {wanted} must be"),
            };
            found(Reason::DisruptionBudget, format!("{}: {counted}{tail}", blocked.reason))
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            let refused = condition("NamesAccepted", "False").or_else(|| condition("NonStructuralSchema", "True"))?;
            found(Reason::Definition, format!("{}: {}", refused.reason, refused.message))
        }
        ("apiregistration.k8s.io", "APIService") => {
            let down = condition("Available", "False")?;
            found(Reason::ApiUnavailable, format!("{}: {}", down.reason, down.message))
        }
        _ => None,
    }
}

fn has_address(object: &Object) -> bool {
    object.pointer("/status/loadBalancer/ingress").and_then(Value::as_array).is_some_and(|list| !list.is_empty())
}

/// The health's message, where nothing else is known.
fn by_health(object: &Object) -> Option<Cause> {
    let verdict = health::of(object)?;
    let reason = match verdict.health {
        Health::Healthy => return None,
        Health::Suspended => Reason::Paused,
        Health::Missing => Reason::Gone,
        Health::Progressing | Health::Degraded | Health::Unknown => Reason::Condition,
    };
    let message = if verdict.message.is_empty() { verdict.health.to_string() } else { verdict.message };
    Some(Cause::new(object, reason, message))
}

fn field<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
