//! Reads the resource tree of an application: its objects, and what they own at any depth, pods included.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt as _;
use kube::api::ListParams;
use kube::core::Request;
use serde_json::Value;
use slipway_gitops::api_resources::{ApiResource, ApiResources, GroupKind};
use slipway_gitops::error::{ApiError, Class};
use slipway_gitops::tracking::PART_OF;
use slipway_gitops::{Failure, Verb};
use slipway_manifest::{Object, ObjectId};

use crate::connect::Cluster;
use crate::objects::{self, ObjectRef};

/// Concurrent lists.
const LIST_CONCURRENCY: usize = 16;
/// Items of a page.
const PAGE_SIZE: u32 = 500;
/// Items of one list; where a namespace has more of a kind, that is an error of the kind.
const MAX_ITEMS: usize = 20_000;
/// Nodes of a tree.
const MAX_NODES: usize = 5_000;
/// Owners above a node.
const MAX_DEPTH: usize = 32;
/// Kinds that change all the time and say nothing, as Argo CD leaves them out (argoproj/argo-cd
/// `docs/operator-manual/declarative-setup.md`, `resource.exclusions`).
const EXCLUDED: [(&str, &str); 6] = [
    ("", "Endpoints"),
    ("", "Event"),
    ("coordination.k8s.io", "Lease"),
    ("discovery.k8s.io", "EndpointSlice"),
    ("events.k8s.io", "Event"),
    ("metrics.k8s.io", "PodMetrics"),
];

/// An object of the tree.
#[derive(Debug, Clone)]
pub struct TreeNode {
    /// What it is.
    pub id: ObjectId,
    /// The object as it is now; `None` where it could not be read.
    pub object: Option<Object>,
    /// What it owns, by kind and name.
    pub children: Vec<TreeNode>,
}

/// The objects of an application.
#[derive(Debug, Default)]
pub struct ResourceTree {
    /// The application's own objects that exist, each with what it owns.
    pub nodes: Vec<TreeNode>,
    /// Objects of the namespaces that no application has, and that nothing owns.
    pub orphaned: Vec<ObjectId>,
    /// What could not be listed: the tree may lack it.
    pub failures: Vec<Failure>,
}

/// The metadata of an object in a list.
struct Head {
    place: ObjectRef,
    uid: String,
    owners: Vec<String>,
    is_managed: bool,
}

/// Reads the tree below `roots`, the objects of an application, in their namespaces and in `namespace`: one list of
/// metadata for each namespaced kind that is served and each namespace, and one read for each node.
pub async fn resource_tree(cluster: &Cluster, roots: &BTreeSet<ObjectId>, namespace: &str) -> ResourceTree {
    let mut tree = ResourceTree::default();
    let kinds = cluster.served().await;
    let failed = kinds.incomplete().map(|(version, error)| Failure {
        id: ObjectId::new(version, "*", "", "*"),
        verb: Verb::Read,
        source: error.clone(),
    });
    tree.failures.extend(failed);
    let mut namespaces: BTreeSet<&str> = roots.iter().map(|id| id.namespace.as_str()).collect();
    namespaces.insert(namespace);
    namespaces.remove("");
    let heads = heads(cluster, &kinds, &namespaces, &mut tree.failures).await;
    let mut owned: BTreeMap<&str, Vec<&Head>> = BTreeMap::new();
    for head in &heads {
        for owner in &head.owners {
            owned.entry(owner).or_default().push(head);
        }
    }
    let mut places: BTreeMap<ObjectId, ObjectRef> =
        roots.iter().filter_map(|id| Some((id.clone(), objects::recorded(&kinds, id)?))).collect();
    let by_id: BTreeMap<ObjectId, &Head> = heads.iter().map(|head| (head.place.id(), head)).collect();
    let mut open: Vec<&Head> = roots.iter().filter_map(|id| by_id.get(id).copied()).collect();
    while let Some(head) = open.pop() {
        for child in owned.get(head.uid.as_str()).into_iter().flatten() {
            if places.len() < MAX_NODES && places.insert(child.place.id(), child.place.clone()).is_none() {
                open.push(child);
            }
        }
    }
    let all: Vec<ObjectRef> = places.into_values().collect();
    let (mut live, failures) = objects::get_all(cluster, &all).await;
    tree.failures.extend(failures);
    let root_uids: BTreeSet<&str> = roots.iter().filter_map(|id| by_id.get(id)).map(|head| head.uid.as_str()).collect();
    let mut seen: BTreeSet<ObjectId> = BTreeSet::new();
    for id in roots {
        let head = by_id.get(id).copied();
        // What another of the application's objects owns is a node there.
        let has_parent = head.is_some_and(|head| head.owners.iter().any(|uid| root_uids.contains(uid.as_str())));
        if has_parent || (head.is_none() && !live.contains_key(id)) {
            continue;
        }
        let uid = head.map(|head| head.uid.clone());
        tree.nodes.push(node(id.clone(), uid.as_deref(), &owned, &mut live, &mut seen, 0));
    }
    let is_orphaned = |head: &&Head| {
        head.place.namespace == namespace && head.owners.is_empty() && !head.is_managed && !is_of_namespace(&head.place)
    };
    tree.orphaned =
        heads.iter().filter(is_orphaned).map(|head| head.place.id()).filter(|id| !roots.contains(id)).collect();
    tree.orphaned.sort();
    tree
}

/// A node with what is below it; an object is once in the tree.
fn node(
    id: ObjectId,
    uid: Option<&str>,
    owned: &BTreeMap<&str, Vec<&Head>>,
    live: &mut BTreeMap<ObjectId, Object>,
    seen: &mut BTreeSet<ObjectId>,
    depth: usize,
) -> TreeNode {
    let object = live.remove(&id);
    seen.insert(id.clone());
    let mut below: Vec<&&Head> = uid.and_then(|uid| owned.get(uid)).into_iter().flatten().collect();
    below.sort_by_key(|head| head.place.id());
    let mut children = Vec::new();
    for head in below {
        if !seen.contains(&head.place.id()) && depth < MAX_DEPTH {
            children.push(node(head.place.id(), Some(&head.uid), owned, live, seen, depth + 1));
        }
    }
    TreeNode { id, object, children }
}

/// Whether Kubernetes puts it into every namespace, which Argo CD does not call orphaned, either (argoproj/argo-cd
/// `controller/appcontroller.go`, isKnownOrphanedResourceExclusion).
fn is_of_namespace(place: &ObjectRef) -> bool {
    match (place.resource.gvk.group.as_str(), place.resource.gvk.kind.as_str(), place.name.as_str()) {
        ("", "ServiceAccount", "default") | ("", "ConfigMap", "kube-root-ca.crt") => true,
        ("", "Service", "kubernetes") => place.namespace == "default",
        _ => false,
    }
}

/// The metadata of everything in `namespaces`.
async fn heads(
    cluster: &Cluster,
    kinds: &ApiResources,
    namespaces: &BTreeSet<&str>,
    failures: &mut Vec<Failure>,
) -> Vec<Head> {
    let mut served: BTreeMap<GroupKind, &Arc<ApiResource>> = BTreeMap::new();
    for resource in kinds.resources().filter(|resource| resource.namespaced && resource.supports("list")) {
        let kind = resource.gvk.group_kind();
        if !EXCLUDED.contains(&(kind.group.as_str(), kind.kind.as_str())) {
            served.entry(kind).or_insert(resource);
        }
    }
    let collections: Vec<(Arc<ApiResource>, String)> = served
        .into_values()
        .flat_map(|resource| namespaces.iter().map(|namespace| (Arc::clone(resource), (*namespace).to_owned())))
        .collect();
    let mut answers = futures::stream::iter(collections)
        .map(|(resource, namespace)| async move {
            let answer = metadata(cluster, &resource, &namespace).await;
            (resource, namespace, answer)
        })
        .buffer_unordered(LIST_CONCURRENCY);
    let mut heads = Vec::new();
    while let Some((resource, namespace, answer)) = answers.next().await {
        match answer {
            Ok(items) => heads.extend(items.iter().filter_map(|item| head(&resource, item))),
            // `list` of some kinds is served for one object at a time only.
            Err(error) if matches!(error.class, Class::NotFound) || error.code == 405 => {}
            Err(source) => {
                let id = ObjectId::new(&resource.gvk.group, &resource.gvk.kind, &namespace, "*");
                failures.push(Failure { id, verb: Verb::Read, source });
            }
        }
    }
    heads
}

async fn metadata(cluster: &Cluster, resource: &ApiResource, namespace: &str) -> Result<Vec<Value>, ApiError> {
    let mut params = ListParams::default().limit(PAGE_SIZE);
    let mut items = Vec::new();
    loop {
        let mut body = cluster.send(Request::new(resource.path(namespace)?).list_metadata(&params)).await?.body;
        if let Some(Value::Array(page)) = body.get_mut("items").map(Value::take) {
            items.extend(page);
        }
        let token = body.pointer("/metadata/continue").and_then(Value::as_str).unwrap_or_default();
        if token.is_empty() {
            return Ok(items);
        }
        if items.len() > MAX_ITEMS {
            return Err(ApiError::local(Class::TooLarge, format!("more than {MAX_ITEMS} {}", resource.plural)));
        }
        params.continue_token = Some(token.to_owned());
    }
}

fn head(resource: &Arc<ApiResource>, item: &Value) -> Option<Head> {
    let metadata = item.get("metadata")?;
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let owners = metadata.get("ownerReferences").and_then(Value::as_array).into_iter().flatten();
    Some(Head {
        place: ObjectRef {
            resource: Arc::clone(resource),
            namespace: text(metadata, "namespace")?,
            name: text(metadata, "name")?,
        },
        uid: text(metadata, "uid")?,
        owners: owners.filter_map(|owner| text(owner, "uid")).collect(),
        is_managed: metadata.get("labels").is_some_and(|labels| labels.get(PART_OF).is_some()),
    })
}
