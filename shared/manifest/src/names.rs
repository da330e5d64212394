//! Tells which texts may be names (kubernetes/kubernetes
//! `staging/src/k8s.io/apimachinery/pkg/util/validation/validation.go` and `pkg/api/validation/path/name.go`). Pure.
//!
//! Whatever names a place in a cluster is checked where it enters: a text that is no name would be put into a URL,
//! where `/`, `?` and `..` lead to another object than the one that was judged.

use std::fmt;

use crate::Object;

/// Characters of a wrong value that are told.
const SHOWN: usize = 80;

/// What a name must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A namespace, the version of an API group.
    Label,
    /// An API group, an Application, a project.
    Subdomain,
    /// Any other object: a ClusterRole may be called `system:auth-delegator`.
    Segment,
    /// A kind.
    Kind,
    /// `apiVersion`.
    ApiVersion,
}

impl Form {
    /// Whether `text` is such a name.
    pub fn fits(self, text: &str) -> bool {
        match self {
            Self::Label => is_label(text),
            Self::Subdomain => text.len() <= 253 && text.split('.').all(is_part),
            Self::Segment => {
                !matches!(text, "" | "." | "..") && !text.contains(['/', '%']) && !text.contains(char::is_control)
            }
            Self::Kind => {
                text.starts_with(|c: char| c.is_ascii_alphabetic())
                    && text.len() <= 63
                    && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            }
            Self::ApiVersion => match text.split_once('/') {
                Some((group, version)) => Self::Subdomain.fits(group) && is_label(version),
                None => is_label(text),
            },
        }
    }

    /// That `value`, the `field` of `object`, is such a name.
    pub fn check(self, object: &str, field: &str, value: &str) -> Result<(), NameError> {
        if self.fits(value) {
            return Ok(());
        }
        let value = value.chars().take(SHOWN).collect();
        Err(NameError { object: object.escape_debug().to_string(), field: field.to_owned(), value, form: self })
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Label => "at most 63 lower-case letters, digits and `-` (RFC 1123)",
            Self::Subdomain => "lower-case letters, digits, `-` and `.` (RFC 1123)",
            Self::Segment => "a name without `/` and `%`, and neither `.` nor `..`",
            Self::Kind => "letters and digits",
            Self::ApiVersion => "`VERSION` or `GROUP/VERSION`",
        })
    }
}

/// A text that is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{object}: `{field}` must be {form}, found {value:?}")]
pub struct NameError {
    /// What has the field.
    pub object: String,
    /// Path of the field.
    pub field: String,
    /// What it holds, its beginning.
    pub value: String,
    /// What it must be.
    pub form: Form,
}

/// That everything by which `object` is found in a cluster is a name: its API version, kind, namespace and name. What
/// is missing is not judged.
pub fn check(object: &Object) -> Result<(), NameError> {
    let id = object.id().to_string();
    let in_metadata = |key: &str| object.metadata().and_then(|fields| fields.get(key)?.as_str()).unwrap_or_default();
    Form::ApiVersion.check(&id, "apiVersion", object.api_version())?;
    Form::Kind.check(&id, "kind", object.kind())?;
    for (field, form, value) in [
        ("metadata.namespace", Form::Label, object.namespace()),
        ("metadata.name", Form::Segment, object.name()),
        ("metadata.generateName", Form::Segment, in_metadata("generateName")),
    ] {
        if !value.is_empty() {
            form.check(&id, field, value)?;
        }
    }
    Ok(())
}

fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_part(text)
}

fn is_part(text: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.bytes().all(is_inner) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_what_kubernetes_takes_for_names() {
        let long = "a".repeat(64);
        for (form, good, bad) in [
            (
                Form::Label,
                vec!["a", "kube-system", "0"],
                vec!["", "-a", "a-", "A", "a.b", "a_b", "a/b", "x?y=-dev", "é", long.as_str(), "a\n"],
            ),
            (
                Form::Subdomain,
                vec!["a", "rbac.authorization.k8s.io", &long],
                vec!["", ".", "..", "a..b", ".a", "a/b", "team_shop", "A.b"],
            ),
            (
                Form::Segment,
                vec!["system:auth-delegator", "a b", "a?b#c", "Ü", "...", "pvc-A_1"],
                vec!["", ".", "..", "a/b", "a%2Fb", "a\0", "a\nb", "\u{7f}"],
            ),
            (Form::Kind, vec!["Pod", "HTTPRoute", "V1"], vec!["", "1A", "A/b", "A.b", "A b", long.as_str()]),
        ] {
            for text in good {
                assert!(form.fits(text), "{form:?} {text:?}");
            }
            for text in bad {
                assert!(!form.fits(text), "{form:?} {text:?}");
            }
        }
    }

    #[test]
    fn what_leads_elsewhere_is_told_with_field_and_value() {
        let object = |api_version: &str, kind: &str, metadata: serde_json::Value| {
            let value = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata});
            check(&Object::from_value(value).unwrap()).map_err(|error| error.to_string())
        };
        assert_eq!(object("rbac.authorization.k8s.io/v1", "ClusterRole", json!({"name": "system:x"})), Ok(()));
        assert_eq!(object("batch/v1", "Job", json!({"generateName": "migrate-", "namespace": "shop"})), Ok(()));
        assert_eq!(
            object("v1", "Secret", json!({"name": "x", "namespace": "kube-system/secrets?x=-dev"})).unwrap_err(),
            "Secret/kube-system/secrets?x=-dev/x: `metadata.namespace` must be at most 63 lower-case \
             letters, digits and `-` (RFC 1123), found \"kube-system/secrets?x=-dev\""
        );
        for (api_version, kind, metadata) in [
            ("v1/namespaces/kube-system", "Secret", json!({"name": "x"})),
            ("a/b/c", "Secret", json!({"name": "x"})),
            ("v1?x=", "Secret", json!({"name": "x"})),
            ("../v1", "Secret", json!({"name": "x"})),
            ("v1", "Secret/kube-system", json!({"name": "x"})),
            ("v1", "Secret", json!({"name": ".."})),
            ("v1", "Secret", json!({"name": "../x"})),
            ("v1", "Secret", json!({"generateName": "x/../"})),
            ("v1", "Secret", json!({"name": "x", "namespace": ".."})),
            ("v1", "Secret", json!({"name": "x", "namespace": "Shop"})),
        ] {
            assert!(object(api_version, kind, metadata.clone()).is_err(), "{api_version} {kind} {metadata}");
        }
    }
}
