//! Judges whether an object is well: one file a kind, each a pure function of the live object.
//!
//! The rules are Argo CD's (argoproj/argo-cd `gitops-engine/pkg/health`, and its scripts for CronJob,
//! CustomResourceDefinition and PodDisruptionBudget); the kinds that others define are judged by [`generic`], which
//! asks its table first, and all of them before that by what a team wrote itself ([`Checks`]).

mod api_service;
mod cron_job;
mod custom_resource_definition;
mod daemon_set;
mod deployment;
pub mod generic;
mod horizontal_pod_autoscaler;
mod ingress;
mod job;
mod lua;
mod persistent_volume_claim;
mod pod;
mod pod_disruption_budget;
mod replica_set;
mod service;
mod stateful_set;
mod table;

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use slipway_manifest::Object;

use crate::api_resources::GroupKind;
use crate::argocd_cm::Overrides;
use lua::LuaError;

/// The finalizer that keeps a completed hook until its result was recorded.
pub const HOOK_FINALIZER: &str = "argocd.argoproj.io/hook-finalizer";
/// The annotation that excludes an object from its application's health.
pub const IGNORE_HEALTHCHECK: &str = "argocd.argoproj.io/ignore-healthcheck";

/// Health, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Health {
    /// The object works.
    Healthy,
    /// Stopped on purpose.
    Suspended,
    /// Not healthy yet, but it may become so.
    Progressing,
    /// The object does not exist.
    Missing,
    /// The object failed.
    Degraded,
    /// The health could not be determined.
    #[default]
    Unknown,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Argo CD's words are the variants' names.
        fmt::Debug::fmt(self, f)
    }
}

impl FromStr for Health {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "Healthy" => Self::Healthy,
            "Suspended" => Self::Suspended,
            "Progressing" => Self::Progressing,
            "Missing" => Self::Missing,
            "Degraded" => Self::Degraded,
            "Unknown" => Self::Unknown,
            _ => return Err(()),
        })
    }
}

/// Health and its reason.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HealthStatus {
    /// The health.
    #[serde(rename = "status")]
    pub health: Health,
    /// The reason; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

impl HealthStatus {
    /// Combines health and reason.
    pub fn new(health: Health, message: impl Into<String>) -> Self {
        Self { health, message: message.into() }
    }
}

/// The health of a live object; `None` for kinds without health, which block nothing (ConfigMap, Secret, RBAC …).
pub fn of(object: &Object) -> Option<HealthStatus> {
    if is_deleting(object) {
        return Some(HealthStatus::new(Health::Progressing, "Pending deletion"));
    }
    // Disabled since Argo CD 1.8: an application of applications does not wait for them.
    let is_app = object.group() == "argoproj.io" && object.kind() == "Application";
    built_in(object).or_else(|| if is_app { None } else { generic::of(object) })
}

/// Health checks, including a team's own ones in `argocd-cm`.
#[derive(Debug, Clone, Default)]
pub struct Checks {
    overrides: Arc<Overrides>,
    clock: Option<Clock>,
    spent: Arc<Mutex<Spent>>,
}

/// Time that the team's checks of one application may take at once. A tenth of the time that passes comes back.
const MAX_TIME_OF_ALL: Duration = Duration::from_secs(1);

/// The time that checks took.
#[derive(Debug, Default)]
struct Spent {
    time: Duration,
    /// Until when what came back is taken off.
    at: Duration,
}

impl Spent {
    /// What counts of it `now`.
    fn at(&mut self, now: Duration) -> Duration {
        self.time = self.time.saturating_sub(now.saturating_sub(self.at) / 10);
        self.at = now;
        self.time
    }
}

/// A clock that only goes forward, from any start.
pub type Clock = fn() -> Duration;

impl Checks {
    /// The checks in `overrides`.
    pub fn new(overrides: Arc<Overrides>) -> Self {
        Self { overrides, ..Self::default() }
    }

    /// Bounds the time of a team's checks by `clock`: of each of them, and of all together, which clones share.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// The health of a live object: by a team's check for its kind, else as [`of`]. A check that fails makes it
    /// Unknown, with the error as reason.
    pub fn of(&self, object: &Object, now: Timestamp) -> Option<HealthStatus> {
        match self.overrides.health(object.group(), object.kind()) {
            Some(check) if !is_deleting(object) => {
                self.within_time(|| lua::health(&check.health, object, now, self.clock)).unwrap_or_else(|error| {
                    let kind = GroupKind::of(&object.id());
                    let message = format!("the health check for {kind} in argocd-cm: {error}");
                    Some(HealthStatus::new(Health::Unknown, message))
                })
            }
            _ => of(object),
        }
    }

    /// Runs `check`, unless the checks before it took all the time.
    fn within_time<T>(&self, check: impl FnOnce() -> Result<T, LuaError>) -> Result<T, LuaError> {
        let Some(clock) = self.clock else { return check() };
        // A poisoned lock is fine: the time is written whole.
        let spent = || self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let began = clock();
        if spent().at(began) > MAX_TIME_OF_ALL {
            return Err(LuaError::AllTooLong(MAX_TIME_OF_ALL));
        }
        let result = check();
        let ended = clock();
        let mut spent = spent();
        spent.time = spent.at(ended).saturating_add(ended.saturating_sub(began));
        result
    }
}

/// Whether the object is excluded from its application's health.
pub fn is_ignored(object: &Object) -> bool {
    object.annotation(IGNORE_HEALTHCHECK) == Some("true")
}

/// Whether the object is being deleted; a hook is not, as long as only our finalizer keeps it.
fn is_deleting(object: &Object) -> bool {
    let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array);
    object.pointer("/metadata/deletionTimestamp").is_some_and(|at| !at.is_null())
        && !finalizers.into_iter().flatten().any(|name| name == HOOK_FINALIZER)
}

/// The health of a kind that has its own rule here.
pub fn built_in(object: &Object) -> Option<HealthStatus> {
    Some(match (object.group(), object.kind()) {
        ("apps", "Deployment") => deployment::health(object),
        ("apps", "ReplicaSet") => replica_set::health(object),
        ("apps", "StatefulSet") => stateful_set::health(object),
        ("apps", "DaemonSet") => daemon_set::health(object),
        ("extensions" | "networking.k8s.io", "Ingress") => ingress::health(object),
        ("apiregistration.k8s.io", "APIService") => api_service::health(object),
        ("", "Service") => service::health(object),
        ("", "PersistentVolumeClaim") => persistent_volume_claim::health(object),
        ("", "Pod") => pod::health(object),
        ("batch", "Job") => job::health(object),
        ("batch", "CronJob") => cron_job::health(object),
        ("autoscaling", "HorizontalPodAutoscaler") => horizontal_pod_autoscaler::health(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => custom_resource_definition::health(object),
        ("policy", "PodDisruptionBudget") => pod_disruption_budget::health(object),
        _ => return None,
    })
}

/// The health of an application: the worst of its objects, where one that does not exist is Missing.
///
/// `objects` must contain only those that count (no hooks, none that is ignored): `None` for an object without health,
/// Missing for one that does not exist (argoproj/argo-cd `controller/health.go`).
pub fn aggregate<'a>(objects: impl IntoIterator<Item = Option<&'a HealthStatus>>) -> Health {
    objects.into_iter().flatten().map(|status| status.health).max().unwrap_or(Health::Healthy)
}

/// The number at `pointer`, or `default` where it is missing or of another type.
fn number(object: &Object, pointer: &str, default: i64) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(default)
}

/// The string at `pointer`, or empty.
pub(crate) fn text<'a>(object: &'a Object, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// One of an object's conditions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Condition<'a> {
    pub(crate) kind: &'a str,
    pub(crate) status: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) message: &'a str,
    /// `observedGeneration`; zero where it is missing.
    pub(crate) generation: i64,
}

/// The conditions of a list, in its order.
fn conditions(list: Option<&Value>) -> impl Iterator<Item = Condition<'_>> {
    list.and_then(Value::as_array).into_iter().flatten().map(|condition| {
        let text = |key: &str| condition.get(key).and_then(Value::as_str).unwrap_or_default();
        let status = match condition.get("status") {
            // Some controllers write a boolean instead of the string.
            Some(Value::Bool(true)) => "True",
            Some(Value::Bool(false)) => "False",
            _ => text("status"),
        };
        let generation = condition.get("observedGeneration").and_then(Value::as_i64).unwrap_or_default();
        Condition { kind: text("type"), status, reason: text("reason"), message: text("message"), generation }
    })
}

/// The conditions in `status.conditions`.
pub(crate) fn status_conditions(object: &Object) -> impl Iterator<Item = Condition<'_>> {
    conditions(object.pointer("/status/conditions"))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use serde_json::{Map, json};

    use super::*;

    thread_local! { static NOW: Cell<u64> = const { Cell::new(0) }; }

    /// A millisecond for each look.
    fn clock() -> Duration {
        NOW.set(NOW.get() + 1);
        Duration::from_millis(NOW.get())
    }

    /// Attack 15: a hundred objects take no longer than some.
    #[test]
    fn the_checks_of_one_application_have_their_time_together() {
        let script = |key: &str, text: &str| (format!("resource.customizations.health.a.io_{key}"), json!(text));
        let settings = [script("Endless", "while true do end"), script("Quick", "return {status = 'Healthy'}")];
        let checks = Checks::new(Arc::new(Overrides::from_config_map(&Map::from_iter(settings)))).with_clock(clock);
        let health = |kind: &str| {
            let object = json!({"apiVersion": "a.io/v1", "kind": kind, "metadata": {"name": "a"}});
            checks.clone().of(&Object::from_value(object).unwrap(), Timestamp::UNIX_EPOCH).unwrap()
        };
        let endless: Vec<String> = std::iter::repeat_with(|| health("Endless").message).take(100).collect();
        let run = endless.iter().filter(|message| message.contains("it ran longer than 500 ms")).count();
        let refused = endless.iter().filter(|message| message.contains("took more than 1 s in all")).count();
        assert!((2..=4).contains(&run) && run + refused == 100, "{run} {refused} {:?}", endless.last());
        let late = health("Quick");
        assert_eq!(late.health, Health::Unknown, "{}", late.message);
        NOW.set(NOW.get() + 20_000);
        assert_eq!(health("Quick").health, Health::Healthy, "time passes");
    }
}
