//! Knows Argo CD's built-in resource actions, and what each changes (argoproj/argo-cd `resource_customizations`, the
//! folders `actions`; of a Rollout what its own plugin does, argoproj/argo-rollouts `pkg/kubectl-argo-rollouts/cmd`).

use jiff::Timestamp;
use serde_json::{Value, json};
use slipway_manifest::Object;

/// An action that an object of this kind has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceAction {
    /// Its name in Argo CD.
    pub name: &'static str,
    /// Whether the object's state makes it meaningless now.
    pub is_disabled: bool,
}

/// What an action asks of the API server.
#[derive(Debug, Clone, PartialEq)]
pub enum ActionChange {
    /// A merge patch of the object.
    Patch(Value),
    /// A merge patch of the object, and one of its status.
    PatchWithStatus(Option<Value>, Value),
    /// A new object.
    Create(Value),
}

/// Why an action can't be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// The kind has no such action.
    #[error("{id} has no action `{name}`; it has: {known}")]
    Unknown {
        /// Kind, namespace and name of the object.
        id: String,
        /// The name that was given.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// The object's state makes it meaningless.
    #[error("{id} can't do `{name}` in its present state")]
    Disabled {
        /// Kind, namespace and name of the object.
        id: String,
        /// The action.
        name: String,
    },
    /// `scale` without a number.
    #[error("`scale` needs the number of replicas: --param replicas=N")]
    NoReplicas,
}

/// The actions of `object`, in the order of their names.
pub fn actions(object: &Object) -> Vec<ResourceAction> {
    let is = |pointer: &str| object.pointer(pointer).and_then(Value::as_bool) == Some(true);
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let action = |name, is_disabled| ResourceAction { name, is_disabled };
    match (object.group(), object.kind()) {
        ("apps", "DaemonSet") => vec![action("restart", false)],
        ("apps", "StatefulSet") => vec![action("restart", false), action("scale", false)],
        ("apps", "Deployment") => {
            let paused = is("/spec/paused");
            vec![action("pause", paused), action("restart", paused), action("resume", !paused), action("scale", false)]
        }
        ("batch", "CronJob") => {
            let suspended = is("/spec/suspend");
            vec![action("create-job", false), action("resume", !suspended), action("suspend", suspended)]
        }
        ("batch", "Job") => {
            let (suspended, ended) = (is("/spec/suspend"), object.pointer("/status/completionTime").is_some());
            vec![action("resume", !suspended || ended), action("suspend", suspended || ended)]
        }
        ("argoproj.io", "Rollout") => {
            let (paused, aborted) = (is("/spec/paused"), is("/status/abort"));
            let conditions = object.pointer("/status/pauseConditions").and_then(Value::as_array);
            let waits = paused || conditions.is_some_and(|conditions| !conditions.is_empty());
            let (current, stable) = (text("/status/currentPodHash"), text("/status/stableRS"));
            let promoted = !current.is_empty() && current == stable;
            vec![
                action("abort", aborted || promoted),
                action("pause", paused),
                action("promote-full", promoted),
                action("restart", false),
                action("resume", !waits),
                action("retry", !aborted),
                action("scale", false),
            ]
        }
        ("external-secrets.io", "ExternalSecret" | "PushSecret") => vec![action("refresh", false)],
        (group, _) if group.ends_with(".toolkit.fluxcd.io") => {
            let suspended = is("/spec/suspend");
            vec![action("reconcile", suspended), action("resume", !suspended), action("suspend", suspended)]
        }
        _ => Vec::new(),
    }
}

/// What the action `name` of `object` changes at `now`; `replicas` is what `scale` takes.
///
/// # Errors
///
/// An action that the kind does not have, that its state disables, or that lacks its number.
pub fn change(object: &Object, name: &str, replicas: Option<u32>, now: Timestamp) -> Result<ActionChange, ActionError> {
    let id = object.id().to_string();
    let known = actions(object);
    let Some(action) = known.iter().find(|action| action.name == name) else {
        let names: Vec<&str> = known.iter().map(|action| action.name).collect();
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Err(ActionError::Unknown { id, name: name.to_owned(), known });
    };
    if action.is_disabled {
        return Err(ActionError::Disabled { id, name: name.to_owned() });
    }
    let time = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let annotation = |key: &str, value: String| ActionChange::Patch(json!({"metadata": {"annotations": {key: value}}}));
    let spec = |fields: Value| ActionChange::Patch(json!({"spec": fields}));
    let status = |fields: Value| ActionChange::PatchWithStatus(None, json!({"status": fields}));
    Ok(match (object.kind(), action.name) {
        (_, "scale") => spec(json!({"replicas": replicas.ok_or(ActionError::NoReplicas)?})),
        ("Rollout", "restart") => spec(json!({"restartAt": time})),
        (_, "restart") => {
            let annotations = json!({"kubectl.kubernetes.io/restartedAt": time});
            spec(json!({"template": {"metadata": {"annotations": annotations}}}))
        }
        ("Rollout", "resume") => {
            let unpaused = object.pointer("/spec/paused").map(|_| json!({"spec": {"paused": null}}));
            ActionChange::PatchWithStatus(unpaused, json!({"status": {"pauseConditions": null}}))
        }
        ("Rollout", "abort") => status(json!({"abort": true})),
        ("Rollout", "retry") => status(json!({"abort": null})),
        ("Rollout", "promote-full") => status(json!({"promoteFull": true})),
        ("CronJob" | "Job", "resume") => spec(json!({"suspend": false})),
        (_, "pause") => spec(json!({"paused": true})),
        ("Deployment", "resume") => spec(json!({"paused": null})),
        (_, "suspend") => spec(json!({"suspend": true})),
        (_, "resume") => spec(json!({"suspend": null})),
        (_, "create-job") => ActionChange::Create(job(object, now)),
        (_, "refresh") => annotation("force-sync", now.as_second().to_string()),
        _ => annotation("reconcile.fluxcd.io/requestedAt", time),
    })
}

/// A Job of the CronJob `object`, as `kubectl create job --from` makes one.
fn job(object: &Object, now: Timestamp) -> Value {
    let at = |pointer: &str| object.pointer(pointer).cloned().unwrap_or_default();
    let mut annotations = at("/spec/jobTemplate/metadata/annotations");
    if !annotations.is_object() {
        annotations = json!({});
    }
    if let Some(fields) = annotations.as_object_mut() {
        fields.insert("cronjob.kubernetes.io/instantiate".to_owned(), json!("manual"));
    }
    // A Job's name may have 63 characters; Argo CD appends the time, too.
    let stem: String = object.name().chars().take(49).collect();
    let owner = json!({"apiVersion": "batch/v1", "kind": "CronJob", "name": object.name(), "uid": at("/metadata/uid"),
        "controller": true, "blockOwnerDeletion": true});
    json!({"apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": format!("{stem}-{}", now.as_millisecond()), "namespace": object.namespace(),
            "labels": at("/spec/jobTemplate/metadata/labels"), "annotations": annotations, "ownerReferences": [owner]},
        "spec": at("/spec/jobTemplate/spec")})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Object {
        Object::from_value(value).unwrap()
    }

    fn names(object: &Object) -> String {
        let shown =
            |action: ResourceAction| if action.is_disabled { format!("({})", action.name) } else { action.name.into() };
        actions(object).into_iter().map(shown).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_state_disables_what_it_makes_meaningless() {
        let with = |version: &str, kind: &str, rest: Value| {
            let mut value = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "x", "namespace": "n"}});
            value.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            names(&object(value))
        };
        assert_eq!(with("apps/v1", "Deployment", json!({})), "pause restart (resume) scale");
        assert_eq!(with("apps/v1", "Deployment", json!({"spec": {"paused": true}})), "(pause) (restart) resume scale");
        assert_eq!(with("batch/v1", "CronJob", json!({"spec": {"suspend": true}})), "create-job resume (suspend)");
        let rollout = "argoproj.io/v1alpha1";
        let waits = json!({"status": {"pauseConditions": [{"reason": "CanaryPauseStep"}], "currentPodHash": "b",
            "stableRS": "a"}});
        assert_eq!(with(rollout, "Rollout", waits), "abort pause promote-full restart resume (retry) scale");
        let done = json!({"status": {"currentPodHash": "a", "stableRS": "a"}});
        assert_eq!(with(rollout, "Rollout", done), "(abort) pause (promote-full) restart (resume) (retry) scale");
        assert_eq!(with("v1", "ConfigMap", json!({})), "");
    }

    #[test]
    fn what_can_not_be_run_says_what_can() {
        let map = object(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "n"}}));
        let error = change(&map, "restart", None, Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(error.to_string(), "ConfigMap/n/x has no action `restart`; it has: none");
        let set = object(json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "x"}}));
        assert_eq!(change(&set, "scale", None, Timestamp::UNIX_EPOCH), Err(ActionError::NoReplicas));
        assert_eq!(
            change(&set, "scale", Some(3), Timestamp::UNIX_EPOCH),
            Ok(ActionChange::Patch(json!({"spec": {"replicas": 3}})))
        );
    }

    #[test]
    fn a_job_is_made_of_a_cron_job_as_kubectl_makes_one() {
        let cron = object(json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "night",
            "namespace": "n", "uid": "u"}, "spec": {"schedule": "0 3 * * *", "jobTemplate": {"metadata":
            {"labels": {"a": "b"}}, "spec": {"template": {}}}}}));
        let ActionChange::Create(job) = change(&cron, "create-job", None, Timestamp::UNIX_EPOCH).unwrap() else {
            unreachable!("an action that creates")
        };
        assert_eq!(job["metadata"]["name"], "night-0");
        assert_eq!(job["metadata"]["annotations"], json!({"cronjob.kubernetes.io/instantiate": "manual"}));
        assert_eq!(job["metadata"]["ownerReferences"][0]["uid"], "u");
        assert_eq!(job["spec"], json!({"template": {}}));
    }
}
