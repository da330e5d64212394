//! Names kinds and how the API server serves them: resource, scope and verbs.

use crate::error::{ApiError, Class};
use crate::path;
use serde_json::Value;
use slipway_manifest::{Object, ObjectId};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A kind in a version of its group. Prints as `apps/v1 Deployment`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupVersionKind {
    /// API group, empty for core.
    pub group: String,
    /// API version within the group.
    pub version: String,
    /// Kind, in CamelCase.
    pub kind: String,
}

impl GroupVersionKind {
    /// Kind and version of an object.
    pub fn of(object: &Object) -> Self {
        Self { group: object.group().to_owned(), version: object.version().to_owned(), kind: object.kind().to_owned() }
    }

    /// `apps/v1`, or `v1` for core.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The kind in any version.
    pub fn group_kind(&self) -> GroupKind {
        GroupKind { group: self.group.clone(), kind: self.kind.clone() }
    }
}

impl fmt::Display for GroupVersionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.api_version(), self.kind)
    }
}

/// A kind of a group, in any version. Prints and parses as `Deployment.apps`, the format of the ApplySet annotations.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKind {
    /// API group, empty for core.
    pub group: String,
    /// Kind, in CamelCase.
    pub kind: String,
}

impl GroupKind {
    /// The kind that a CustomResourceDefinition defines; `None` for other objects.
    pub fn defined_by(object: &Object) -> Option<Self> {
        let is_crd = object.group() == "apiextensions.k8s.io" && object.kind() == "CustomResourceDefinition";
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        Some(Self { group: text("/spec/group")?, kind: text("/spec/names/kind")? }).filter(|_| is_crd)
    }

    /// The kind of the object with this id.
    pub fn of(id: &ObjectId) -> Self {
        Self { group: id.group.clone(), kind: id.kind.clone() }
    }
}

impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if self.group.is_empty() { Ok(()) } else { write!(f, ".{}", self.group) }
    }
}

impl FromStr for GroupKind {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, group) = text.split_once('.').unwrap_or((text, ""));
        Ok(Self { group: group.to_owned(), kind: kind.to_owned() })
    }
}

/// How the API server serves a kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiResource {
    /// The kind, in the requested version.
    pub gvk: GroupVersionKind,
    /// Name in URLs: `deployments`.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Supported verbs: `get`, `list`, `watch`, `patch`, `delete` …
    pub verbs: BTreeSet<String>,
}

impl ApiResource {
    /// The path of the collection in `namespace` (empty: of all namespaces, or of a cluster-scoped kind). An error
    /// where a part, all of which come from outside, would leave the path.
    pub fn path(&self, namespace: &str) -> Result<String, ApiError> {
        path::collection(&self.gvk.api_version(), if self.namespaced { namespace } else { "" }, &self.plural)
    }

    /// Whether the kind supports `verb`.
    pub fn supports(&self, verb: &str) -> bool {
        self.verbs.contains(verb)
    }
}

/// Why a kind could not be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoverError {
    /// The API server does not serve the kind.
    #[error(
        "failed to find the kind {kind}: the API server does not serve it; install its CustomResourceDefinition or \
         correct apiVersion and kind"
    )]
    UnknownKind {
        /// `apps/v1 Deployment` or `Deployment.apps`.
        kind: String,
    },
    /// Discovery failed: a missing kind proves nothing.
    #[error("failed to ask the API server which kinds {group_version} has")]
    Incomplete {
        /// The group, or group and version, whose discovery failed.
        group_version: String,
        /// The API server's error.
        #[source]
        source: ApiError,
    },
}

/// The result of discovery.
#[derive(Debug, Clone, Default)]
pub struct ApiResources {
    found: BTreeMap<GroupVersionKind, Arc<ApiResource>>,
    by_group_kind: BTreeMap<GroupKind, Arc<ApiResource>>,
    incomplete: BTreeMap<String, ApiError>,
}

impl ApiResources {
    /// Builds it from `resources` without an API server, for pure callers and tests.
    pub fn from_resources(resources: impl IntoIterator<Item = ApiResource>) -> Self {
        let mut kinds = Self::default();
        resources.into_iter().for_each(|resource| kinds.add(Arc::new(resource)));
        kinds
    }

    /// Adds a resource; [`Self::of_group_kind`] returns the first one of a kind.
    pub fn add(&mut self, resource: Arc<ApiResource>) {
        self.by_group_kind.entry(resource.gvk.group_kind()).or_insert_with(|| Arc::clone(&resource));
        self.found.insert(resource.gvk.clone(), resource);
    }

    /// The resource of `gvk`.
    pub fn get(&self, gvk: &GroupVersionKind) -> Result<&Arc<ApiResource>, DiscoverError> {
        self.found.get(gvk).ok_or_else(|| self.lacking(gvk.to_string(), &gvk.api_version(), &gvk.group))
    }

    /// The resource of an object's kind.
    pub fn of(&self, object: &Object) -> Result<&Arc<ApiResource>, DiscoverError> {
        self.get(&GroupVersionKind::of(object))
    }

    /// The resource of a kind in any version: the one that a manifest uses, else the preferred one.
    pub fn of_group_kind(&self, kind: &GroupKind) -> Result<&Arc<ApiResource>, DiscoverError> {
        self.by_group_kind.get(kind).ok_or_else(|| self.lacking(kind.to_string(), &kind.group, &kind.group))
    }

    fn lacking(&self, kind: String, group_version: &str, group: &str) -> DiscoverError {
        let asked = self.incomplete.get_key_value(group_version).or_else(|| self.incomplete.get_key_value(group));
        match asked {
            Some((group_version, source)) => {
                DiscoverError::Incomplete { group_version: group_version.clone(), source: source.clone() }
            }
            None => DiscoverError::UnknownKind { kind },
        }
    }

    /// Adds the kinds that the CustomResourceDefinitions among `objects` define and that are missing; returns them.
    ///
    /// Their objects then have ids and paths before the API server serves them.
    pub fn insert_defined(&mut self, objects: &[Object]) -> BTreeSet<GroupVersionKind> {
        let defined: Vec<ApiResource> = objects.iter().flat_map(defined).collect();
        let new = defined.into_iter().filter(|resource| !self.found.contains_key(&resource.gvk)).collect::<Vec<_>>();
        let gvks = new.iter().map(|resource| resource.gvk.clone()).collect();
        for resource in new {
            self.add(Arc::new(resource));
        }
        gvks
    }

    /// Records that discovery of `group_version` (or group) failed, and why.
    pub fn mark_incomplete(&mut self, group_version: String, error: ApiError) {
        self.incomplete.insert(group_version, error);
    }

    /// Whether discovery of every group succeeded: only then a missing kind does not exist.
    pub fn is_complete(&self) -> bool {
        self.incomplete.is_empty()
    }

    /// The groups whose discovery failed, with the error.
    pub fn incomplete(&self) -> impl Iterator<Item = (&str, &ApiError)> {
        self.incomplete.iter().map(|(group, error)| (group.as_str(), error))
    }

    /// Every discovered resource, one per kind.
    pub fn resources(&self) -> impl Iterator<Item = &Arc<ApiResource>> {
        self.by_group_kind.values()
    }
}

/// The kinds that a CustomResourceDefinition defines, one per version; none for other objects.
fn defined(object: &Object) -> Vec<ApiResource> {
    let Some(GroupKind { group, kind }) = GroupKind::defined_by(object) else { return Vec::new() };
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let versions = object.pointer("/spec/versions").and_then(Value::as_array);
    let verbs = ["create", "delete", "get", "list", "patch", "update", "watch"];
    let resource = |version: &Value| {
        let version = version.get("name")?.as_str()?.to_owned();
        Some(ApiResource {
            gvk: GroupVersionKind { group: group.clone(), version, kind: kind.clone() },
            plural: text("/spec/names/plural"),
            namespaced: text("/spec/scope") == "Namespaced",
            verbs: verbs.into_iter().map(str::to_owned).collect(),
        })
    };
    versions.into_iter().flatten().filter_map(resource).collect()
}

/// Converts a discovery error into the error of an object.
impl From<DiscoverError> for ApiError {
    fn from(error: DiscoverError) -> Self {
        match error {
            DiscoverError::UnknownKind { .. } => Self::local(Class::MissingKind, error.to_string()),
            DiscoverError::Incomplete { source, .. } => source,
        }
    }
}
