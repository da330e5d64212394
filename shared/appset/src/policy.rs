//! What a set says about its Applications besides how they look: the caller obeys.

use serde_json::Value;

use crate::rolling::RolloutStep;

/// What a set says about its Applications besides how they look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// `syncPolicy.applicationsSync`
    pub applications_sync: ApplicationsSync,
    /// `syncPolicy.preserveResourcesOnDeletion`: Applications get no finalizer of their own accord, and what they
    /// deployed stays when the set goes.
    pub preserve_resources_on_deletion: bool,
    /// `ignoreApplicationDifferences`
    pub ignore_application_differences: Vec<IgnoreApplicationDifferences>,
    /// `preservedFields.annotations`: annotations of Applications that are kept, though the template lacks them.
    pub preserved_annotations: Vec<String>,
    /// `preservedFields.labels`
    pub preserved_labels: Vec<String>,
    /// `strategy`
    pub strategy: Strategy,
    /// `strategy.deletionOrder` is `Reverse`: Applications of later steps are deleted first.
    pub reverse_deletion: bool,
}

/// What may be done to the Applications of a set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ApplicationsSync {
    /// Create, update and delete.
    #[default]
    Sync,
    /// Create only.
    CreateOnly,
    /// Create and update.
    CreateUpdate,
    /// Create and delete.
    CreateDelete,
}

impl ApplicationsSync {
    /// Whether Applications are changed as the set changes.
    pub fn allows_update(self) -> bool {
        matches!(self, Self::Sync | Self::CreateUpdate)
    }

    /// Whether Applications are deleted that the set makes no longer.
    pub fn allows_delete(self) -> bool {
        matches!(self, Self::Sync | Self::CreateDelete)
    }
}

/// Fields of Applications that others may change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IgnoreApplicationDifferences {
    /// The Application; all of the set where it is empty.
    pub name: String,
    /// `jsonPointers`
    pub json_pointers: Vec<String>,
    /// `jqPathExpressions`
    pub jq_path_expressions: Vec<String>,
}

/// How the Applications of a set are synced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Each Application follows its own sync policy.
    #[default]
    AllAtOnce,
    /// Step after step: the set starts every sync, and the Applications' own automated sync is off.
    RollingSync(Vec<RolloutStep>),
}

impl Policy {
    /// Reads the policy of a `spec` whose types have been checked. An unknown value is an error: the default in its
    /// place allows to delete.
    pub(crate) fn of(spec: &Value) -> Result<Self, (String, crate::ErrorKind)> {
        let sync_policy = &spec["syncPolicy"];
        let (preserved, strategy) = (&spec["preservedFields"], &spec["strategy"]);
        let rolling_sync = &strategy["rollingSync"];
        Ok(Self {
            applications_sync: match text(&sync_policy["applicationsSync"]) {
                "" | "sync" => ApplicationsSync::Sync,
                "create-only" => ApplicationsSync::CreateOnly,
                "create-update" => ApplicationsSync::CreateUpdate,
                "create-delete" => ApplicationsSync::CreateDelete,
                other => {
                    let allowed = "sync, create-only, create-update, create-delete";
                    return Err(unknown("spec.syncPolicy.applicationsSync", other, allowed));
                }
            },
            preserve_resources_on_deletion: sync_policy["preserveResourcesOnDeletion"] == true,
            ignore_application_differences: items(&spec["ignoreApplicationDifferences"])
                .map(|item| IgnoreApplicationDifferences {
                    name: text(&item["name"]).to_owned(),
                    json_pointers: texts(&item["jsonPointers"]),
                    jq_path_expressions: texts(&item["jqPathExpressions"]),
                })
                .collect(),
            preserved_annotations: texts(&preserved["annotations"]),
            preserved_labels: texts(&preserved["labels"]),
            strategy: match text(&strategy["type"]) {
                "" | "AllAtOnce" => Strategy::AllAtOnce,
                "RollingSync" => Strategy::RollingSync(RolloutStep::all(&rolling_sync["steps"])?),
                other => return Err(unknown("spec.strategy.type", other, "AllAtOnce, RollingSync")),
            },
            reverse_deletion: text(&strategy["deletionOrder"]).eq_ignore_ascii_case("reverse"),
        })
    }
}

pub(crate) fn unknown(field: impl Into<String>, found: &str, allowed: &'static str) -> (String, crate::ErrorKind) {
    (field.into(), crate::ErrorKind::Unknown { found: found.to_owned(), allowed })
}

/// The text of a field that is one, or is not there.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The items of a field that is a list, or is not there.
pub(crate) fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The texts of a field that is a list of them, or is not there.
pub(crate) fn texts(value: &Value) -> Vec<String> {
    items(value).map(|item| text(item).to_owned()).collect()
}
