//! Discovers kinds: their resource, scope and verbs.
//!
//! Only the group versions that a sync needs are requested, one small request each, and cached for warm invocations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use futures::StreamExt as _;
use serde_json::Value;

use crate::connect::Cluster;
use slipway_gitops::api_resources::{ApiResource, ApiResources, GroupKind, GroupVersionKind};
use slipway_gitops::error::ApiError;
use slipway_gitops::path;

/// Concurrent discovery requests.
const CONCURRENCY: usize = 8;

/// The resources of one group version, by kind.
pub(crate) type Discovered = BTreeMap<String, Arc<ApiResource>>;

impl Cluster {
    /// Resolves `wanted` kinds, and `known` ones (those of an inventory) in whichever version is served.
    ///
    /// Never fails as a whole: each lookup in [`ApiResources`] says whether the kind is unknown or its request failed.
    pub async fn resolve(&self, wanted: &BTreeSet<GroupVersionKind>, known: &BTreeSet<GroupKind>) -> ApiResources {
        let mut kinds = ApiResources::default();
        // Owned, so that a caller's future may be sent.
        let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for gvk in wanted {
            versions.entry(gvk.api_version()).or_default().insert(gvk.kind.clone());
        }
        let lists = futures::stream::iter(versions)
            .map(|(version, names)| async move {
                let list = self.group_version(&version, |list| names.iter().all(|kind| list.contains_key(kind))).await;
                (version, names, list)
            })
            .buffer_unordered(CONCURRENCY)
            .collect::<Vec<_>>()
            .await;
        for (version, names, list) in lists {
            match list {
                Ok(list) => {
                    names.iter().filter_map(|kind| list.get(kind)).for_each(|found| kinds.add(Arc::clone(found)));
                }
                Err(error) => kinds.mark_incomplete(version, error),
            }
        }
        let open: Vec<GroupKind> = known.iter().filter(|kind| kinds.of_group_kind(kind).is_err()).cloned().collect();
        let found = futures::stream::iter(open)
            .map(|kind| async move { (kind.clone(), self.preferred(&kind).await) })
            .buffer_unordered(CONCURRENCY)
            .collect::<Vec<_>>()
            .await;
        for (kind, found) in found {
            match found {
                Ok(Some(resource)) => kinds.add(resource),
                Ok(None) => {}
                Err(error) => kinds.mark_incomplete(kind.group.clone(), error),
            }
        }
        kinds
    }

    /// All kinds that the API server serves, each in its group's preferred version; groups that could not be listed are
    /// the result's incomplete ones.
    pub async fn served(&self) -> ApiResources {
        let mut kinds = ApiResources::default();
        let mut versions = vec!["v1".to_owned()];
        match self.send(get("/apis")).await {
            Ok(answer) => {
                let groups = answer.body.get("groups").and_then(Value::as_array).into_iter().flatten();
                versions.extend(groups.filter_map(|group| group_versions(group).into_iter().next()));
            }
            Err(error) => kinds.mark_incomplete("apis".to_owned(), error),
        }
        let mut lists = futures::stream::iter(versions)
            .map(|version| async move { (self.group_version(&version, |_| true).await, version) })
            .buffer_unordered(CONCURRENCY);
        while let Some((list, version)) = lists.next().await {
            match list {
                Ok(list) => list.values().for_each(|resource| kinds.add(Arc::clone(resource))),
                Err(error) => kinds.mark_incomplete(version, error),
            }
        }
        kinds
    }

    /// Clears the cache, because a response contradicts it.
    pub fn invalidate_discovery(&self) {
        self.discovered().lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Resolves a kind in its group's preferred version, or in the first that has it.
    async fn preferred(&self, kind: &GroupKind) -> Result<Option<Arc<ApiResource>>, ApiError> {
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

    /// Returns the kinds of a group version: the cached ones where they are `enough`, else requested. Empty where it is
    /// not served.
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

/// The kinds of an APIResourceList, without subresources.
fn resource_list(version: &str, body: &Value) -> Discovered {
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let resources = body.get("resources").and_then(Value::as_array).into_iter().flatten();
    resources
        .filter(|resource| !text(resource, "name").contains('/'))
        .map(|resource| {
            let kind = text(resource, "kind");
            let verbs = resource.get("verbs").and_then(Value::as_array).into_iter().flatten();
            let found = ApiResource {
                gvk: GroupVersionKind { group: group.to_owned(), version: version.to_owned(), kind: kind.clone() },
                plural: text(resource, "name"),
                namespaced: resource.get("namespaced").and_then(Value::as_bool).unwrap_or_default(),
                verbs: verbs.filter_map(Value::as_str).map(str::to_owned).collect(),
            };
            (kind, Arc::new(found))
        })
        .collect()
}
