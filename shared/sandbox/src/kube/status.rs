//! Errors in the API server's words (k8s.io/apimachinery `pkg/api/errors`).

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::managed::Conflict;
use super::schema::Kind;
use crate::http::Response;

/// A failure, as the `Status` object that the client gets.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Failure {
    code: StatusCode,
    reason: &'static str,
    message: String,
    details: Map<String, Value>,
    /// Some answers carry details without anything in them.
    empty_details: bool,
}

/// One thing that is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cause {
    /// `FieldValueRequired`, `FieldValueInvalid`, …
    pub(super) reason: &'static str,
    /// In words, without the field.
    pub(super) message: String,
    /// Path of the field.
    pub(super) field: String,
}

impl Cause {
    /// A field that must be there.
    pub(super) fn required(field: impl Into<String>, detail: &str) -> Self {
        let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        Self { reason: "FieldValueRequired", message: format!("Required value{detail}"), field: field.into() }
    }

    /// A value that can't be.
    pub(super) fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Self { reason: "FieldValueInvalid", message: format!("Invalid value: {value}: {detail}"), field: field.into() }
    }

    /// A change that is not allowed.
    pub(super) fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self { reason: "FieldValueForbidden", message: format!("Forbidden: {detail}"), field: field.into() }
    }

    /// A value that is not among those supported.
    pub(super) fn unsupported(field: impl Into<String>, value: &Value, supported: &[&str]) -> Self {
        let supported: Vec<String> = supported.iter().map(|value| format!("\"{value}\"")).collect();
        let message = format!("Unsupported value: {value}: supported values: {}", supported.join(", "));
        Self { reason: "FieldValueNotSupported", message, field: field.into() }
    }
}

impl Failure {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Map::new(), empty_details: false }
    }

    fn of(mut self, group: &str, kind: &str, name: &str) -> Self {
        for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
            if !value.is_empty() {
                self.details.insert(key.into(), json!(value));
            }
        }
        self
    }

    fn with_causes(mut self, causes: Vec<Value>) -> Self {
        self.details.insert("causes".into(), Value::Array(causes));
        self
    }

    /// The object is not there.
    pub(super) fn not_found(kind: &Kind, name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", format!("{} \"{name}\" not found", kind.resource())).of(
            &kind.group,
            &kind.plural,
            name,
        )
    }

    /// The path names no resource.
    pub(super) fn no_resource() -> Self {
        let message = "the server could not find the requested resource";
        Self { empty_details: true, ..Self::new(StatusCode::NOT_FOUND, "NotFound", message) }
    }

    /// The namespace of a new object is not there.
    pub(super) fn no_namespace(name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", format!("namespaces \"{name}\" not found")).of(
            "",
            "namespaces",
            name,
        )
    }

    /// An object of that name is there.
    pub(super) fn already_exists(kind: &Kind, name: &str) -> Self {
        Self::new(StatusCode::CONFLICT, "AlreadyExists", format!("{} \"{name}\" already exists", kind.resource())).of(
            &kind.group,
            &kind.plural,
            name,
        )
    }

    /// The object is not as the request expected it.
    pub(super) fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", kind.resource());
        Self::new(StatusCode::CONFLICT, "Conflict", message).of(&kind.group, &kind.plural, name)
    }

    /// A deletion expected another object; the API server names the kind here, not the resource.
    pub(super) fn precondition(kind: &Kind, name: &str, why: &str) -> Self {
        let shown = if kind.group.is_empty() { kind.kind.clone() } else { format!("{}.{}", kind.kind, kind.group) };
        let message = format!("Operation cannot be fulfilled on {shown} \"{name}\": {why}");
        Self::new(StatusCode::CONFLICT, "Conflict", message).of(&kind.group, &kind.kind, name)
    }

    /// A JSON patch does not fit the object.
    pub(super) fn rejected() -> Self {
        let message = "the server rejected our request due to an error in our request";
        Self { empty_details: true, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message) }
    }

    /// The object has changed since it was read.
    pub(super) fn modified(kind: &Kind, name: &str) -> Self {
        Self::conflict(
            kind,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// Others own fields that an apply would change.
    pub(super) fn apply_conflict(conflicts: &[Conflict]) -> Self {
        let message = match conflicts {
            [one] => format!("Apply failed with 1 conflict: conflict with {}: {}", one.manager, one.field),
            many => {
                let mut lines = Vec::new();
                let mut last = None;
                for conflict in many {
                    if last != Some(&conflict.manager) {
                        lines.push(format!("conflicts with {}:", conflict.manager));
                        last = Some(&conflict.manager);
                    }
                    lines.push(format!("- {}", conflict.field));
                }
                format!("Apply failed with {} conflicts: {}", many.len(), lines.join("\n"))
            }
        };
        let causes = conflicts.iter().map(|conflict| {
            json!({"reason": "FieldManagerConflict", "message": format!("conflict with {}", conflict.manager),
                "field": conflict.field})
        });
        Self::new(StatusCode::CONFLICT, "Conflict", message).with_causes(causes.collect())
    }

    /// The object breaks rules.
    pub(super) fn invalid(group: &str, kind: &str, name: &str, causes: &[Cause]) -> Self {
        let mut lines: Vec<String> = causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        lines.dedup();
        let lines = if let [one] = lines.as_slice() { one.clone() } else { format!("[{}]", lines.join(", ")) };
        let shown = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let causes =
            causes.iter().map(|cause| json!({"reason": cause.reason, "message": cause.message, "field": cause.field}));
        let failure =
            Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", format!("{shown} \"{name}\" is invalid: {lines}"));
        failure.of(group, kind, name).with_causes(causes.collect())
    }

    /// The request makes no sense.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// Not now or not here.
    pub(super) fn forbidden(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!("{} \"{name}\" is forbidden: {why}", kind.resource());
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).of(&kind.group, &kind.plural, name)
    }

    /// The server could not do its part (so it says of an apply with unknown fields).
    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "", message)
    }

    /// The resource does not know this verb.
    pub(super) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    /// The body is of a kind that the verb does not take.
    pub(super) fn unsupported_media_type(found: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: \
             application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, \
             application/apply-patch+yaml (got {found})"
        );
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    /// The version a watch or a list goes on from is gone.
    pub(super) fn expired() -> Self {
        Self::new(StatusCode::GONE, "Expired", "The resourceVersion for the provided watch is too old.")
    }

    /// As the `Status` object.
    pub(super) fn to_json(&self) -> Value {
        let mut status =
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message});
        if let Some(map) = status.as_object_mut() {
            if !self.reason.is_empty() {
                map.insert("reason".into(), json!(self.reason));
            }
            if self.empty_details || !self.details.is_empty() {
                map.insert("details".into(), Value::Object(self.details.clone()));
            }
            map.insert("code".into(), json!(self.code.as_u16()));
        }
        status
    }

    /// As the answer.
    pub(super) fn to_response(&self) -> Response {
        Response::json(self.code, &self.to_json())
    }
}
