//! Failures as they are recorded from clusters, each with its root cause.

#![allow(
    clippy::needless_pass_by_value,
    clippy::type_complexity,
    clippy::too_many_lines,
    reason = "a table of fixtures reads better so"
)]

use serde_json::{Value, json};
use slipway_manifest::{Object, ObjectId};

use crate::diagnose::{Cause, Event, Evidence, Reason, cause};
use crate::error::{ApiError, Class, Failure, Verb};
use crate::redactor::{Redactor, Subject};

fn object(version: &str, kind: &str, name: &str, more: Value) -> Object {
    let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "shop"}});
    for (key, value) in more.as_object().unwrap() {
        if key == "metadata" {
            object["metadata"].as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        } else {
            object[key] = value.clone();
        }
    }
    Object::from_value(object).unwrap()
}

fn conditions(list: &[(&str, &str, &str, &str)]) -> Value {
    let one = |(kind, status, reason, message): &(&str, &str, &str, &str)| {
        json!({"type": kind, "status": status,
        "reason": reason, "message": message})
    };
    json!({"status": {"conditions": list.iter().map(one).collect::<Vec<_>>()}})
}

fn pod(container: Value) -> Object {
    let mut status = json!({"name": "web", "image": "nginx:nope", "ready": false});
    status.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
    object(
        "v1",
        "Pod",
        "web-1",
        json!({"spec": {"restartPolicy": "Always", "containers": [{"name": "web"}]},
        "status": {"phase": "Pending", "containerStatuses": [status]}}),
    )
}

fn waiting(reason: &str, message: &str) -> Object {
    pod(json!({"state": {"waiting": {"reason": reason, "message": message}}}))
}

/// A Deployment that waits for `pod`.
fn rollout(pod: Object) -> Vec<Object> {
    let deployment = object(
        "apps/v1",
        "Deployment",
        "web",
        json!({"metadata": {"generation": 1},
        "spec": {"replicas": 1}, "status": {"observedGeneration": 1, "unavailableReplicas": 1}}),
    );
    vec![deployment, object("apps/v1", "ReplicaSet", "web-1", json!({"spec": {"replicas": 1}})), pod]
}

fn replica_failure(message: &str) -> Vec<Object> {
    let set =
        object("apps/v1", "ReplicaSet", "web-1", conditions(&[("ReplicaFailure", "True", "FailedCreate", message)]));
    vec![object("apps/v1", "Deployment", "web", json!({"spec": {"replicas": 1}})), set]
}

fn deleting(kind: &str, more: Value) -> Object {
    let mut object = object("v1", kind, "old", more);
    object.metadata_mut().insert("deletionTimestamp".to_owned(), json!("2026-11-21T10:00:00Z"));
    object
}

fn warning(object: &Object, reason: &str, message: &str) -> Event {
    Event {
        object: object.id(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        warning: true,
        time: "2026-11-21T10:00:00Z".to_owned(),
    }
}

/// What is recorded, what it is about, the cause and words that name it.
fn fixtures() -> Vec<(Vec<Object>, Vec<Event>, &'static str, Reason, &'static str)> {
    let running = || pod(json!({"state": {"running": {}}}));
    let job = |reason: &str, message: &str| {
        object("batch/v1", "Job", "migrate", conditions(&[("Failed", "True", reason, message)]))
    };
    let failed_pod = object(
        "v1",
        "Pod",
        "migrate-x",
        json!({"spec": {"restartPolicy": "Never"}, "status": {"phase": "Failed", "containerStatuses": [
        {"name": "run", "state": {"terminated": {"exitCode": 3, "reason": "Error", "message": "no such table"}}}]}}),
    );
    // The controller ends the pods first and then says `Failed`.
    let ending = |reason: &str| {
        object("batch/v1", "Job", "migrate", conditions(&[("FailureTarget", "True", reason, "it took too long")]))
    };
    let mut killed_pod = failed_pod.clone();
    killed_pod.metadata_mut().insert("deletionTimestamp".to_owned(), json!("2026-11-21T10:00:00Z"));
    let claim = object(
        "v1",
        "PersistentVolumeClaim",
        "data",
        json!({"spec": {"storageClassName": "fast"}, "status": {"phase": "Pending"}}),
    );
    vec![
        (
            rollout(waiting("ImagePullBackOff", "Back-off pulling image \"nginx:nope\"")),
            vec![],
            "Pod/shop/web-1",
            Reason::ImagePull,
            "can't pull nginx:nope",
        ),
        (
            rollout(waiting("InvalidImageName", "couldn't parse image name")),
            vec![],
            "Pod/shop/web-1",
            Reason::ImagePull,
            "InvalidImageName",
        ),
        (
            rollout(pod(json!({"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
            "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}}))),
            vec![],
            "Pod/shop/web-1",
            Reason::CrashLoop,
            "failed with exit code 1",
        ),
        (
            rollout(pod(json!({"state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}))),
            vec![],
            "Pod/shop/web-1",
            Reason::OutOfMemory,
            "killed for its memory",
        ),
        (
            rollout(waiting("CreateContainerConfigError", "secret \"db\" not found")),
            vec![],
            "Pod/shop/web-1",
            Reason::Configuration,
            "secret \"db\" not found",
        ),
        (
            rollout(object(
                "v1",
                "Pod",
                "web-1",
                conditions(&[("PodScheduled", "False", "Unschedulable", "0/3 nodes are available: insufficient cpu")]),
            )),
            vec![],
            "Pod/shop/web-1",
            Reason::Unschedulable,
            "insufficient cpu",
        ),
        (
            rollout(running()),
            vec![warning(&running(), "FailedMount", "MountVolume.SetUp failed: configmap \"c\" not found")],
            "Pod/shop/web-1",
            Reason::Mount,
            "configmap \"c\" not found",
        ),
        (
            rollout(running()),
            vec![warning(&running(), "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503")],
            "Pod/shop/web-1",
            Reason::Probe,
            "statuscode: 503",
        ),
        (
            replica_failure(
                "pods \"web-1-x\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=2, limited: \
                 pods=2",
            ),
            vec![],
            "ReplicaSet.apps/shop/web-1",
            Reason::Quota,
            "exceeded quota: small",
        ),
        (
            replica_failure("admission webhook \"v.io\" denied the request: no latest tag"),
            vec![],
            "ReplicaSet.apps/shop/web-1",
            Reason::Denied,
            "no latest tag",
        ),
        (
            replica_failure("pods \"web-1-x\" is forbidden: violates PodSecurity \"restricted:latest\": privileged"),
            vec![],
            "ReplicaSet.apps/shop/web-1",
            Reason::Denied,
            "PodSecurity",
        ),
        (
            replica_failure(
                "pods \"web-1-x\" is forbidden: error looking up service account shop/web: serviceaccount \"web\" not \
                 found",
            ),
            vec![],
            "ReplicaSet.apps/shop/web-1",
            Reason::Configuration,
            "serviceaccount \"web\" not found",
        ),
        (
            vec![job("BackoffLimitExceeded", "Job has reached the specified backoff limit"), failed_pod],
            vec![],
            "Pod/shop/migrate-x",
            Reason::CrashLoop,
            "exit code 3: no such table; Job/shop/migrate ended: BackoffLimitExceeded: Job has reached",
        ),
        (
            vec![ending("DeadlineExceeded"), killed_pod],
            vec![],
            "Job.batch/shop/migrate",
            Reason::Deadline,
            "DeadlineExceeded: it took too long",
        ),
        (
            vec![ending("DeadlineExceeded"), waiting("ImagePullBackOff", "Back-off pulling image")],
            vec![],
            "Pod/shop/web-1",
            Reason::ImagePull,
            "can't pull nginx:nope: ImagePullBackOff: Back-off pulling image; Job/shop/migrate ended: DeadlineExceeded",
        ),
        (
            vec![job("BackoffLimitExceeded", "Job has reached the specified backoff limit")],
            vec![],
            "Job.batch/shop/migrate",
            Reason::JobFailed,
            "backoff limit",
        ),
        (
            vec![job("DeadlineExceeded", "Job was active longer than specified deadline")],
            vec![],
            "Job.batch/shop/migrate",
            Reason::Deadline,
            "longer than specified deadline",
        ),
        (
            vec![deleting("ConfigMap", json!({"metadata": {"finalizers": ["team.io/keep"]}}))],
            vec![],
            "ConfigMap/shop/old",
            Reason::Finalizer,
            "team.io/keep",
        ),
        (
            vec![deleting(
                "Namespace",
                json!({"spec": {"finalizers": ["kubernetes"]}, "status": {"conditions": [
            {"type": "NamespaceFinalizersRemaining", "status": "True", "message": "Some content in the namespace has \
                finalizers remaining: a.io/x in 1 resource instances"}]}}),
            )],
            vec![],
            "Namespace/shop/old",
            Reason::Finalizer,
            "a.io/x in 1 resource",
        ),
        (
            vec![object(
                "policy/v1",
                "PodDisruptionBudget",
                "web",
                json!({"status": {"expectedPods": 2, "currentHealthy": 1, "desiredHealthy": 1, "conditions": [
            {"type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods"}]}}),
            )],
            vec![],
            "PodDisruptionBudget.policy/shop/web",
            Reason::DisruptionBudget,
            "1 of 2 pods are healthy and 1 must be",
        ),
        (
            vec![claim.clone()],
            vec![warning(&claim, "ProvisioningFailed", "storageclass.storage.k8s.io \"fast\" not found")],
            "PersistentVolumeClaim/shop/data",
            Reason::Provisioning,
            "\"fast\" not found",
        ),
        (
            vec![claim.clone()],
            vec![Event { warning: false, ..warning(&claim, "WaitForFirstConsumer", "waiting for first consumer") }],
            "PersistentVolumeClaim/shop/data",
            Reason::NoConsumer,
            "waiting for first consumer",
        ),
        (
            vec![object("networking.k8s.io/v1", "Ingress", "web", json!({"spec": {"ingressClassName": "nginx"}}))],
            vec![],
            "Ingress.networking.k8s.io/shop/web",
            Reason::NoController,
            "(nginx)",
        ),
        (
            vec![object("v1", "Service", "web", json!({"spec": {"type": "LoadBalancer"}}))],
            vec![],
            "Service/shop/web",
            Reason::NoController,
            "address",
        ),
        (
            vec![object(
                "apiextensions.k8s.io/v1",
                "CustomResourceDefinition",
                "a.b.io",
                conditions(&[("NamesAccepted", "False", "PluralConflict", "\"a\" is already in use")]),
            )],
            vec![],
            "CustomResourceDefinition.apiextensions.k8s.io/shop/a.b.io",
            Reason::Definition,
            "already in use",
        ),
        (
            vec![object(
                "apiregistration.k8s.io/v1",
                "APIService",
                "v1.m.io",
                conditions(&[("Available", "False", "MissingEndpoints", "no endpoints")]),
            )],
            vec![],
            "APIService.apiregistration.k8s.io/shop/v1.m.io",
            Reason::ApiUnavailable,
            "no endpoints",
        ),
        (
            vec![object(
                "cert-manager.io/v1",
                "Certificate",
                "tls",
                conditions(&[("Ready", "False", "DoesNotExist", "Issuing certificate as Secret does not exist")]),
            )],
            vec![],
            "Certificate.cert-manager.io/shop/tls",
            Reason::Condition,
            "Secret does not exist",
        ),
        (
            vec![object("apps/v1", "Deployment", "web", json!({"spec": {"paused": true}}))],
            vec![],
            "Deployment.apps/shop/web",
            Reason::Paused,
            "paused",
        ),
    ]
}

#[test]
fn each_failure_is_explained_with_its_root_cause() {
    let fixtures = fixtures();
    assert_eq!(fixtures.len(), 28);
    for (objects, events, about, reason, words) in fixtures {
        let found = cause(&Evidence { objects, events }).unwrap_or_else(|| panic!("nothing found for {about}"));
        let Cause { object, reason: because, message, .. } = &found;
        let shown = if object.group.is_empty() {
            format!("{}/{}/{}", object.kind, object.namespace, object.name)
        } else {
            format!("{}.{}/{}/{}", object.kind, object.group, object.namespace, object.name)
        };
        assert_eq!((shown.as_str(), *because), (about, reason), "{found}");
        assert!(message.contains(words), "{found}");
    }
}

#[test]
fn what_is_well_has_no_cause() {
    let well = object(
        "apps/v1",
        "Deployment",
        "web",
        json!({"metadata": {"generation": 1}, "spec": {"replicas": 1},
        "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}}),
    );
    assert_eq!(cause(&Evidence { objects: vec![well], events: Vec::new() }), None);
}

#[test]
fn what_the_api_server_refuses_is_explained_with_the_remedy() {
    let refusals = [
        (
            422,
            json!({"reason": "Invalid", "message": "Deployment.apps \"web\" is invalid: spec.selector: field is \
                immutable"}),
            Class::Immutable,
            "Force=true,Replace=true",
        ),
        (
            404,
            json!({"reason": "NotFound", "message": "the server could not find the requested resource"}),
            Class::MissingKind,
            "CustomResourceDefinition",
        ),
        (
            403,
            json!({"message": "configmaps \"c\" is forbidden: exceeded quota: small"}),
            Class::Quota,
            "raise the ResourceQuota",
        ),
        (
            400,
            json!({"message": "admission webhook \"v.io\" denied the request: no owner label"}),
            Class::Denied,
            "admission rule",
        ),
        (
            500,
            json!({"message": "Internal error occurred: failed calling webhook \"v.io\": connection refused"}),
            Class::WebhookUnavailable,
            "failurePolicy",
        ),
        (
            403,
            json!({"message": "unable to create new content in namespace shop because it is being terminated"}),
            Class::Terminating,
            "finalizers",
        ),
        (
            404,
            json!({"message": "namespaces \"shop\" not found", "details": {"name": "shop", "kind": "namespaces"}}),
            Class::MissingNamespace,
            "CreateNamespace=true",
        ),
    ];
    let subject = Subject::of("/apis/apps/v1/deployments", &[], &Redactor::default());
    for (code, body, class, remedy) in refusals {
        let source = ApiError::from_status(code, &body, &subject);
        assert_eq!(source.class, class, "{body}");
        let failure = Failure { id: ObjectId::new("apps", "Deployment", "shop", "web"), verb: Verb::Apply, source };
        let text = failure.with_remedy();
        assert!(text.starts_with("failed to apply Deployment/shop/web: ") && text.contains(remedy), "{text}");
    }
}
