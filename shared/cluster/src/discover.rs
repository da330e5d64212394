//! What the API server calls a kind: its resource, whether it has a namespace, what may be done to it.
//!
//! Only the group versions that a plan names are asked for, one small request each, and kept for warm invocations.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, PoisonError};

use futures::StreamExt as _;
use serde_json::Value;
use slipway_manifest::{Object, ObjectId};

use crate::connect::Cluster;
use crate::error::{ApiError, Class};
use crate::path;

/// Requests on their way at the same time.
const CONCURRENCY: usize = 8;

/// A kind in a version of its group. Prints as `apps/v1 Deployment`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gvk {
    /// API group, empty for core.
    pub group: String,
    /// Version in the group.
    pub version: String,
    /// Kind.
    pub kind: String,
}

impl Gvk {
    /// The kind of an object.
    pub fn of(object: &Object) -> Self {
        Self { group: object.group().to_owned(), version: object.version().to_owned(), kind: object.kind().to_owned() }
    }

    /// `apps/v1`, or `v1` for core.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Without the version.
    pub fn group_kind(&self) -> GroupKind {
        GroupKind { group: self.group.clone(), kind: self.kind.clone() }
    }
}

impl fmt::Display for Gvk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.api_version(), self.kind)
    }
}

/// A kind of a group, whatever its version. Prints, and reads, as `Deployment.apps`: as the ApplySet annotations have it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKind {
    /// API group, empty for core.
    pub group: String,
    /// Kind.
    pub kind: String,
}

impl GroupKind {
    /// The kind of the object `id` names.
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
pub struct Resource {
    /// The kind, in the version asked for.
    pub gvk: Gvk,
    /// Name in URLs: `deployments`.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// What may be done: `get`, `list`, `watch`, `patch`, `delete` …
    pub verbs: BTreeSet<String>,
}

impl Resource {
    /// The path of the collection in `namespace` (empty: of all namespaces, or of a cluster-scoped kind). An error where a part of it, all
    /// of which others wrote, would lead out of its place.
    pub fn path(&self, namespace: &str) -> Result<String, ApiError> {
        path::collection(&self.gvk.api_version(), if self.namespaced { namespace } else { "" }, &self.plural)
    }

    /// Whether `verb` may be done to it.
    pub fn can(&self, verb: &str) -> bool {
        self.verbs.contains(verb)
    }
}

/// Why a kind could not be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoverError {
    /// The API server does not serve it.
    #[error(
        "failed to find the kind {kind}: the API server does not serve it; install its CustomResourceDefinition or correct apiVersion and kind"
    )]
    UnknownKind {
        /// `apps/v1 Deployment` or `Deployment.apps`.
        kind: String,
    },
    /// The API server could not say: nothing may be concluded from what is missing.
    #[error("failed to ask the API server which kinds {group_version} has")]
    Incomplete {
        /// The group, or group and version, that could not be asked.
        group_version: String,
        /// Why.
        #[source]
        source: ApiError,
    },
}

/// The kinds of one group version.
pub(crate) type Discovered = BTreeMap<String, Arc<Resource>>;

/// What was found out about the kinds asked for.
#[derive(Debug, Clone, Default)]
pub struct Kinds {
    found: BTreeMap<Gvk, Arc<Resource>>,
    by_group_kind: BTreeMap<GroupKind, Arc<Resource>>,
    incomplete: BTreeMap<String, ApiError>,
}

impl Kinds {
    /// The kinds given, as if the API server had been asked: for pure callers and tests.
    pub fn from_resources(resources: impl IntoIterator<Item = Resource>) -> Self {
        let mut kinds = Self::default();
        resources.into_iter().for_each(|resource| kinds.add(Arc::new(resource)));
        kinds
    }

    fn add(&mut self, resource: Arc<Resource>) {
        self.by_group_kind.entry(resource.gvk.group_kind()).or_insert_with(|| Arc::clone(&resource));
        self.found.insert(resource.gvk.clone(), resource);
    }

    /// The resource of `gvk`.
    pub fn get(&self, gvk: &Gvk) -> Result<&Arc<Resource>, DiscoverError> {
        self.found.get(gvk).ok_or_else(|| self.lacking(gvk.to_string(), &gvk.api_version(), &gvk.group))
    }

    /// The resource of an object's kind.
    pub fn of(&self, object: &Object) -> Result<&Arc<Resource>, DiscoverError> {
        self.get(&Gvk::of(object))
    }

    /// The resource of a kind in whichever version: the one that a manifest asked for, else the preferred one.
    pub fn of_group_kind(&self, kind: &GroupKind) -> Result<&Arc<Resource>, DiscoverError> {
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

    /// Adds the kinds that the CustomResourceDefinitions among `objects` define and that are not there; gives those.
    ///
    /// They can be named and placed before the API server serves them.
    pub fn define(&mut self, objects: &[Object]) -> BTreeSet<Gvk> {
        let defined: Vec<Resource> = objects.iter().flat_map(defined).collect();
        let new = defined.into_iter().filter(|resource| !self.found.contains_key(&resource.gvk)).collect::<Vec<_>>();
        let gvks = new.iter().map(|resource| resource.gvk.clone()).collect();
        for resource in new {
            self.add(Arc::new(resource));
        }
        gvks
    }

    /// Whether the API server answered for every group: only then does a missing kind mean that it does not exist.
    pub fn is_complete(&self) -> bool {
        self.incomplete.is_empty()
    }

    /// The groups that could not be asked, and why.
    pub fn incomplete(&self) -> impl Iterator<Item = (&str, &ApiError)> {
        self.incomplete.iter().map(|(group, error)| (group.as_str(), error))
    }

    /// Every resource found, one for each kind.
    pub fn resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.by_group_kind.values()
    }
}

/// The kinds that a CustomResourceDefinition defines, one a version; none for other objects.
fn defined(object: &Object) -> Vec<Resource> {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let is_crd = object.group() == "apiextensions.k8s.io" && object.kind() == "CustomResourceDefinition";
    let versions = object.pointer("/spec/versions").and_then(Value::as_array).filter(|_| is_crd);
    let verbs = ["create", "delete", "get", "list", "patch", "update", "watch"];
    let resource = |version: &Value| {
        let version = version.get("name")?.as_str()?.to_owned();
        Some(Resource {
            gvk: Gvk { group: text("/spec/group"), version, kind: text("/spec/names/kind") },
            plural: text("/spec/names/plural"),
            namespaced: text("/spec/scope") == "Namespaced",
            verbs: verbs.into_iter().map(str::to_owned).collect(),
        })
    };
    versions.into_iter().flatten().filter_map(resource).collect()
}

impl Cluster {
    /// Asks for `wanted` kinds, and for `known` ones (those of an inventory) in whichever version is served.
    ///
    /// Never fails as a whole: each kind's lookup in [`Kinds`] says whether it is unknown or could not be asked.
    pub async fn resolve(&self, wanted: &BTreeSet<Gvk>, known: &BTreeSet<GroupKind>) -> Kinds {
        let mut kinds = Kinds::default();
        let mut versions: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for gvk in wanted {
            versions.entry(gvk.api_version()).or_default().insert(&gvk.kind);
        }
        let lists = futures::stream::iter(versions)
            .map(|(version, names)| async move {
                let list = self.group_version(&version, |list| names.iter().all(|kind| list.contains_key(*kind))).await;
                (version, names, list)
            })
            .buffer_unordered(CONCURRENCY)
            .collect::<Vec<_>>()
            .await;
        for (version, names, list) in lists {
            match list {
                Ok(list) => {
                    names.iter().filter_map(|kind| list.get(*kind)).for_each(|found| kinds.add(Arc::clone(found)));
                }
                Err(error) => {
                    kinds.incomplete.insert(version, error);
                }
            }
        }
        let open: Vec<&GroupKind> = known.iter().filter(|kind| !kinds.by_group_kind.contains_key(*kind)).collect();
        let found = futures::stream::iter(open)
            .map(|kind| async move { (kind, self.preferred(kind).await) })
            .buffer_unordered(CONCURRENCY)
            .collect::<Vec<_>>()
            .await;
        for (kind, found) in found {
            match found {
                Ok(Some(resource)) => kinds.add(resource),
                Ok(None) => {}
                Err(error) => {
                    kinds.incomplete.insert(kind.group.clone(), error);
                }
            }
        }
        kinds
    }

    /// Forgets what was found out, because an answer contradicts it.
    pub fn forget_kinds(&self) {
        self.discovered().lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// A kind in its group's preferred version, or the first that has it.
    async fn preferred(&self, kind: &GroupKind) -> Result<Option<Arc<Resource>>, ApiError> {
        let versions = if kind.group.is_empty() {
            vec!["v1".to_owned()]
        } else {
            match self.send(get(&path::group(&kind.group)?)).await {
                Ok(answer) => group_versions(&answer.body),
                Err(error) if error.code == 404 => return Ok(None),
                Err(error) => return Err(error),
            }
        };
        for version in versions {
            let list = self.group_version(&version, |list| list.contains_key(&kind.kind)).await?;
            if let Some(resource) = list.get(&kind.kind) {
                return Ok(Some(Arc::clone(resource)));
            }
        }
        Ok(None)
    }

    /// The kinds of a group version: what is remembered if it is `enough`, else asked for. Empty if it is not served.
    async fn group_version(
        &self,
        version: &str,
        enough: impl Fn(&Discovered) -> bool,
    ) -> Result<Arc<Discovered>, ApiError> {
        let remembered = self.discovered().lock().unwrap_or_else(PoisonError::into_inner).get(version).cloned();
        if let Some(list) = remembered.filter(|list| enough(list)) {
            return Ok(list);
        }
        let list = match self.send(get(&path::api(version)?)).await {
            Ok(answer) => Arc::new(resource_list(version, &answer.body)),
            Err(error) if error.code == 404 => return Ok(Arc::default()),
            Err(error) => return Err(error),
        };
        let mut discovered = self.discovered().lock().unwrap_or_else(PoisonError::into_inner);
        discovered.insert(version.to_owned(), Arc::clone(&list));
        Ok(list)
    }
}

fn get(path: &str) -> Result<http::Request<Vec<u8>>, kube::core::request::Error> {
    http::Request::get(path).body(Vec::new()).map_err(kube::core::request::Error::BuildRequest)
}

/// The `groupVersion`s of an APIGroup, the preferred one first.
fn group_versions(group: &Value) -> Vec<String> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let preferred = text(group.pointer("/preferredVersion/groupVersion"));
    let all = group.get("versions").and_then(Value::as_array).into_iter().flatten();
    let others = all
        .filter_map(|version| text(version.get("groupVersion")))
        .filter(|version| Some(version) != preferred.as_ref());
    preferred.iter().cloned().chain(others.collect::<Vec<_>>()).collect()
}

/// The kinds of an APIResourceList, subresources left out.
fn resource_list(version: &str, body: &Value) -> Discovered {
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let resources = body.get("resources").and_then(Value::as_array).into_iter().flatten();
    resources
        .filter(|resource| !text(resource, "name").contains('/'))
        .map(|resource| {
            let kind = text(resource, "kind");
            let verbs = resource.get("verbs").and_then(Value::as_array).into_iter().flatten();
            let found = Resource {
                gvk: Gvk { group: group.to_owned(), version: version.to_owned(), kind: kind.clone() },
                plural: text(resource, "name"),
                namespaced: resource.get("namespaced").and_then(Value::as_bool).unwrap_or_default(),
                verbs: verbs.filter_map(Value::as_str).map(str::to_owned).collect(),
            };
            (kind, Arc::new(found))
        })
        .collect()
}

/// An error of discovery as one that stopped an object.
impl From<DiscoverError> for ApiError {
    fn from(error: DiscoverError) -> Self {
        match error {
            DiscoverError::UnknownKind { .. } => Self::local(Class::MissingKind, error.to_string()),
            DiscoverError::Incomplete { source, .. } => source,
        }
    }
}
