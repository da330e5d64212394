//! Classifies the errors of API servers, and of the connection to them.

use std::time::Duration;

use serde_json::Value;
use slipway_manifest::ObjectId;

use crate::redactor::Subject;

/// The class of an error: decides whether to retry, and which remedy to suggest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Class {
    /// The object does not exist.
    NotFound,
    /// The namespace of the object does not exist.
    MissingNamespace,
    /// The API server does not serve the kind (its CRD is missing).
    MissingKind,
    /// The object already exists.
    AlreadyExists,
    /// Another manager changed the object meanwhile.
    Conflict,
    /// The credentials are not accepted.
    Unauthorized,
    /// Permissions (RBAC) are missing.
    Forbidden,
    /// A ResourceQuota or LimitRange refused.
    Quota,
    /// An admission webhook, admission policy or Pod Security refused.
    Denied,
    /// An admission webhook could not be reached.
    WebhookUnavailable,
    /// An admission webhook does not support dry runs.
    DryRunUnsupported,
    /// The namespace is being deleted.
    Terminating,
    /// An immutable field was changed.
    Immutable,
    /// The object breaks a validation rule of its kind.
    Invalid,
    /// The object does not match its schema, or can't be parsed.
    Malformed,
    /// Request or response is too large.
    TooLarge,
    /// The server limits the request rate.
    Throttled,
    /// The server, or the connection to it, failed.
    Unavailable,
    /// No response within the time limit.
    Timeout,
    /// Anything else.
    Other,
}

impl Class {
    /// Whether the same request may succeed a little later without a change.
    pub fn is_transient(self) -> bool {
        self.is_outage() || matches!(self, Self::Conflict | Self::WebhookUnavailable)
    }

    /// Whether the API server did not evaluate the request: it is down, overloaded or too slow.
    pub fn is_outage(self) -> bool {
        matches!(self, Self::Throttled | Self::Unavailable | Self::Timeout)
    }

    /// What a person can do about it; empty where there is no advice.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::MissingNamespace => "add the Namespace to the manifests or set the sync option CreateNamespace=true",
            Self::MissingKind => "install its CustomResourceDefinition first, or correct apiVersion and kind",
            Self::Unauthorized => "check the EKS access entry of Slipway's role and the name of the cluster",
            Self::Forbidden => "give Slipway's role an access policy or RBAC rule for this kind and namespace",
            Self::Quota => "raise the ResourceQuota or lower the request",
            Self::Denied => "satisfy the admission rule that the message names, or exempt the object from it",
            Self::WebhookUnavailable => "bring the webhook's service back, or set its failurePolicy to Ignore",
            Self::Terminating => "wait until the namespace is gone, or clear the finalizers that hold it",
            Self::Immutable => {
                "give the object a new name, or let it be re-created with the sync options Force=true,Replace=true"
            }
            Self::Invalid | Self::Malformed => "correct the field that the message names",
            Self::TooLarge => "split the object",
            _ => "",
        }
    }
}

/// The part of one field in an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The field's path, as the API server writes it.
    pub field: String,
    /// Machine-readable reason such as `FieldValueInvalid`.
    pub reason: String,
    /// The server's message about the field.
    pub message: String,
}

/// An error of the API server, with as much of its answer (a `meta/v1` Status) as may be shown: nothing about Secrets
/// ([`crate::redactor`]).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// The error's class.
    pub class: Class,
    /// HTTP status; 0 without a response.
    pub code: u16,
    /// Machine-readable reason such as `Invalid`; may be empty.
    pub reason: String,
    /// The server's message.
    pub message: String,
    /// The affected fields.
    pub causes: Vec<Cause>,
    /// `Retry-After` of the response.
    pub retry_after: Option<Duration>,
}

impl ApiError {
    /// An error that does not come from the API server.
    pub fn local(class: Class, message: impl Into<String>) -> Self {
        Self { class, code: 0, reason: String::new(), message: message.into(), causes: Vec::new(), retry_after: None }
    }

    /// Parses the `Status` that answers a request about `subject` with HTTP status `code`. Any other body is dropped,
    /// because a proxy's page may contain anything. The only way from an API server's text to an error.
    pub fn from_status(code: u16, body: &Value, subject: &Subject) -> Self {
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let field = |cause: &Value, key: &str| cause.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let causes = body
            .pointer("/details/causes")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|cause| Cause {
                field: field(cause, "field"),
                reason: field(cause, "reason"),
                message: field(cause, "message"),
            })
            .collect();
        let mut error = Self {
            class: Class::Other,
            code,
            reason: text("/reason"),
            message: text("/message"),
            causes,
            retry_after: body.pointer("/details/retryAfterSeconds").and_then(Value::as_u64).map(Duration::from_secs),
        };
        error.class = error.classify(&text("/details/kind"), &text("/details/name"));
        if error.message.is_empty() {
            error.message = format!("the API server answered {code}");
        }
        subject.shown(error)
    }

    fn classify(&self, kind: &str, name: &str) -> Class {
        const UNREADABLE: [&str; 3] =
            ["failed to create typed patch object", "field not declared in schema", "failed to convert new object"];
        let says = |needle: &str| self.message.contains(needle);
        if says("does not support dry run") {
            return Class::DryRunUnsupported;
        }
        if says("failed calling webhook") || says("failed to call webhook") {
            return Class::WebhookUnavailable;
        }
        if says("denied the request") || says("denied request") || says("violates PodSecurity") {
            return Class::Denied;
        }
        // Unknown fields and values that can't be decoded make a server-side apply fail with a 500.
        if UNREADABLE.into_iter().any(says) {
            return Class::Malformed;
        }
        match self.code {
            401 => Class::Unauthorized,
            403 if says("exceeded quota") || says("must specify limits") || says("failed quota") => Class::Quota,
            403 if says("because it is being terminated") => Class::Terminating,
            403 => Class::Forbidden,
            404 if kind == "namespaces" && says("namespaces \"") => Class::MissingNamespace,
            404 if name.is_empty() && !says(" not found") => Class::MissingKind,
            404 => Class::NotFound,
            409 if self.reason == "AlreadyExists" => Class::AlreadyExists,
            409 => Class::Conflict,
            413 => Class::TooLarge,
            422 if self.is_immutable() => Class::Immutable,
            422 if self.reason == "Invalid" || self.reason.is_empty() => Class::Invalid,
            400 | 422 => Class::Malformed,
            429 => Class::Throttled,
            504 => Class::Timeout,
            500 | 502 | 503 => Class::Unavailable,
            _ => Class::Other,
        }
    }

    /// Whether an immutable field was changed, by the wording of Kubernetes' own validation. With Argo CD's
    /// `Force=true` such an object is deleted and created again: a wording of other errors would delete objects
    /// that must stay.
    fn is_immutable(&self) -> bool {
        const WORDS: [&str; 5] = [
            "immutable",
            "may not be changed",
            "may not change fields other than",
            "may not change once set",
            "cannot change",
        ];
        let is_of = |text: &str| {
            let refuses_updates = text.contains("updates to ") && text.contains(" are forbidden");
            refuses_updates || WORDS.iter().any(|word| text.contains(word))
        };
        self.causes.iter().map(|cause| &cause.message).chain([&self.message]).any(|text| is_of(text))
    }
}

/// The operation on an object that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Verb {
    /// Get or list.
    Read,
    /// Server-side apply.
    Apply,
    /// Server-side apply as a dry run.
    DryRun,
    /// Migration of another manager's fields.
    TakeOver,
    /// Creating it.
    Create,
    /// Replacing it.
    Replace,
    /// Deleting it.
    Delete,
    /// Patching it.
    Patch,
}

impl Verb {
    /// The words after `failed to`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Apply => "apply",
            Self::DryRun => "dry-run",
            Self::TakeOver => "take over the fields of",
            Self::Create => "create",
            Self::Replace => "replace",
            Self::Delete => "delete",
            Self::Patch => "patch",
        }
    }
}

/// A failed operation on one object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to {} {id}", verb.as_str())]
pub struct Failure {
    /// The object's id.
    pub id: ObjectId,
    /// The operation.
    pub verb: Verb,
    /// The error.
    #[source]
    pub source: ApiError,
}

impl Failure {
    /// The failure with its cause and its remedy, in one line.
    pub fn with_remedy(&self) -> String {
        let remedy = self.source.class.remedy();
        let tail = if remedy.is_empty() { String::new() } else { format!(" ({remedy})") };
        format!("{self}: {}{tail}", self.source)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::redactor::Redactor;

    #[test]
    fn refusals_are_classified_by_what_the_server_says() {
        let cases = [
            (
                404,
                json!({"reason": "NotFound", "message": "namespaces \"shop\" not found", "details": {"name": "shop",
                    "kind": "namespaces"}}),
                Class::MissingNamespace,
            ),
            (
                404,
                json!({"reason": "NotFound", "message": "the server could not find the requested resource",
                    "details": {}}),
                Class::MissingKind,
            ),
            (
                404,
                json!({"reason": "NotFound", "message": "deployments.apps \"web\" not found",
                    "details": {"name": "web", "kind": "deployments"}}),
                Class::NotFound,
            ),
            (409, json!({"reason": "AlreadyExists", "message": "x"}), Class::AlreadyExists),
            (409, json!({"reason": "Conflict", "message": "x"}), Class::Conflict),
            (
                403,
                json!({"reason": "Forbidden", "message": "pods \"a\" is forbidden: exceeded quota: q"}),
                Class::Quota,
            ),
            (
                403,
                json!({"reason": "Forbidden", "message": "unable to create new content in namespace a because it is \
                    being terminated"}),
                Class::Terminating,
            ),
            (403, json!({"reason": "Forbidden", "message": "User \"u\" cannot patch"}), Class::Forbidden),
            (400, json!({"message": "admission webhook \"w\" denied the request: no"}), Class::Denied),
            (
                500,
                json!({"reason": "InternalError", "message": "Internal error occurred: failed calling webhook \"w\""}),
                Class::WebhookUnavailable,
            ),
            (
                400,
                json!({"reason": "BadRequest", "message": "admission webhook \"w\" does not support dry run"}),
                Class::DryRunUnsupported,
            ),
            (
                422,
                json!({"reason": "Invalid", "message": "x", "details": {"causes": [{"field": "spec.selector",
                    "message": "field is immutable"}]}}),
                Class::Immutable,
            ),
            (
                500,
                json!({"message": "failed to create typed patch object (a/x; apps/v1, Kind=Deployment): .spec.x: \
                    field not declared in schema"}),
                Class::Malformed,
            ),
            (
                500,
                json!({"message": "failed to convert new object (a/c; /v1, Kind=ConfigMap) to proper version: unable \
                    to convert unstructured object to /v1, Kind=ConfigMap: error decoding from json: illegal \
                    base64 data at input byte 2"}),
                Class::Malformed,
            ),
            (422, json!({"reason": "Invalid", "message": "spec.replicas: Invalid value"}), Class::Invalid),
            (502, json!("<html>"), Class::Unavailable),
        ];
        let subject = Subject::of("/apis/apps/v1/deployments", &[], &Redactor::default());
        for (code, body, class) in cases {
            assert_eq!(ApiError::from_status(code, &body, &subject).class, class, "{body}");
        }
    }

    #[test]
    fn a_failure_names_object_cause_and_remedy() {
        let failure = Failure {
            id: ObjectId::new("apps", "Deployment", "shop", "web"),
            verb: Verb::Apply,
            source: ApiError::local(Class::MissingNamespace, "namespaces \"shop\" not found"),
        };
        assert_eq!(failure.to_string(), "failed to apply Deployment/shop/web");
        assert_eq!(
            failure.with_remedy(),
            "failed to apply Deployment/shop/web: namespaces \"shop\" not found (add the Namespace to the manifests \
             or set the sync option CreateNamespace=true)"
        );
    }
}
