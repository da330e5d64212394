//! Decides which fields of Argo CD restrict what may be done, and refuses what they restrict where Slipway does not
//! obey them: a control that is read and not obeyed would let through what its author believes is kept out. What is
//! empty restricts nothing.
//!
//! | `AppProject`, `spec.` | |
//! |---|---|
//! | `sourceRepos`, `destinations`, `sourceNamespaces` | obeyed; a denial whose pattern can't be read refuses |
//! | `clusterResourceWhitelist`, `namespaceResourceWhitelist`, both `…Blacklist` | likewise |
//! | `permitOnlyProjectScopedClusters` | obeyed |
//! | `syncWindows` | obeyed; one that is neither `allow` nor `deny` refuses |
//! | `destinationServiceAccounts` | refuses, unless `argocd-cm` says that impersonation is off |
//! | `signatureKeys`, `sourceIntegrity` | refuses |
//! | `description`, `roles` (rights of Argo CD's users), `orphanedResources` (only warns) | restricts nothing |
//! | any other, also inside of these | refuses: what it restricts is not known |
//!
//! | `argocd-cm` | |
//! |---|---|
//! | `resource.exclusions`, `resource.inclusions` | obeyed, with a warning; refuses where it can't be read |
//! | `cluster.inClusterEnabled`, `helm.enable`, `kustomize.enable` | obeyed: `"false"` refuses the Applications |
//! | `application.sync.impersonation.enabled` | refuses, unless it is false |
//! | `globalProjects` | refuses: other projects would inherit its lists and windows |
//! | `application.instanceLabelKey`, `application.resourceTrackingMethod`, `installationID` | restricts nothing |
//! | `resource.respectRBAC`, `jsonnet.enable`, those of users and the web interface | restricts nothing |
//!
//! | cluster Secret | |
//! |---|---|
//! | `server`, `namespaces`, `clusterResources`, `project` | obeyed |
//! | annotation `argocd.argoproj.io/skip-reconcile` | obeyed: refuses the Applications that go there |
//! | `config` without `awsAuthConfig` | an error |
//!
//! | `Application`, `spec.` | |
//! |---|---|
//! | `sourceHydrator` | its `drySource` is rendered |
//! | `syncPolicy.syncOptions` | a safeguard (`Prune`, `Delete` …) with an unknown value is an error |
//! | `info`, `revisionHistoryLimit` | restricts nothing |
//! | any other | told: who writes an Application restricts only himself |

use std::fmt;

use serde_json::Value;

/// A control that Slipway does not enforce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// Path of the field, or the key.
    pub field: String,
    /// How to resolve it.
    pub remedy: String,
}

impl Control {
    pub(super) fn new(field: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { field: field.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({})", self.field, self.remedy)
    }
}

/// Whether `value` is empty: an empty list, or a mapping of empty values.
pub(super) fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(is_unset),
        Value::String(_) | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Options that protect objects, and their known values.
const RESTRICTING: [(&str, &[&str]); 5] = [
    ("Prune", &["true", "false", "confirm"]),
    ("Delete", &["true", "false", "confirm"]),
    ("FailOnSharedResource", &["true", "false"]),
    ("RespectIgnoreDifferences", &["true", "false"]),
    ("ApplyOutOfSyncOnly", &["true", "false"]),
];

/// Options that protect nothing.
const OTHERS: [&str; 9] = [
    "ClientSideApplyMigration",
    "CreateNamespace",
    "Force",
    "PruneLast",
    "PrunePropagationPolicy",
    "Replace",
    "ServerSideApply",
    "SkipDryRunOnMissingResource",
    "Validate",
];

/// The problem of a sync option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OptionProblem {
    /// An option that protects objects has an unknown value.
    Value(&'static [&'static str]),
    /// The option is unknown.
    Unknown,
}

/// Validates the sync option `option`.
pub(super) fn option_problem(option: &str) -> Option<OptionProblem> {
    let (key, value) = option.split_once('=').unwrap_or((option, ""));
    if let Some((_, values)) = RESTRICTING.iter().find(|(restricting, _)| *restricting == key) {
        return (!values.contains(&value)).then_some(OptionProblem::Value(values));
    }
    (!OTHERS.contains(&key)).then_some(OptionProblem::Unknown)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_empty_is_no_control() {
        for void in [json!(null), json!([]), json!({}), json!({"git": {"policies": []}})] {
            assert!(is_unset(&void), "{void}");
        }
        for control in [json!([{}]), json!({"git": {"policies": [{}]}}), json!(false), json!("")] {
            assert!(!is_unset(&control), "{control}");
        }
    }

    #[test]
    fn options_that_hold_back_are_understood_or_refused() {
        for known in ["Prune=false", "Delete=confirm", "CreateNamespace=true", "Validate=false", "Force=maybe"] {
            assert_eq!(option_problem(known), None, "{known}");
        }
        for refused in ["Prune=Confirm", "Prune=no", "Delete=never", "FailOnSharedResource=yes", "Prune"] {
            assert!(matches!(option_problem(refused), Some(OptionProblem::Value(_))), "{refused}");
        }
        assert_eq!(option_problem("ResetValues=true"), Some(OptionProblem::Unknown));
    }
}
