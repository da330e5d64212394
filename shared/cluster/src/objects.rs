//! Reads live objects: one object, a list in pages, the objects of an application.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt as _;
use kube::api::{GetParams, ListParams};
use kube::core::Request;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use slipway_manifest::{Object, ObjectId};

use crate::connect::Cluster;
use slipway_gitops::api_resources::{ApiResource, ApiResources, GroupKind, GroupVersionKind};
use slipway_gitops::error::{ApiError, Class, Failure, Verb};
use slipway_gitops::path;
use slipway_gitops::tracking::PART_OF;

/// Concurrent reads of one call.
const READ_CONCURRENCY: usize = 16;
/// Objects per page, as kubectl asks for them.
const PAGE_SIZE: u32 = 500;
/// Up to this many objects of one collection are read one by one instead of by a list.
const MAX_SINGLE_READS: usize = 8;
/// Objects of one list: more would not fit the function's memory.
const MAX_OBJECTS: usize = 100_000;

/// Reference of an object: where it is served.
#[derive(Debug, Clone)]
pub struct ObjectRef {
    /// The API resource of its kind.
    pub resource: Arc<ApiResource>,
    /// Empty for cluster-scoped kinds.
    pub namespace: String,
    /// Object name, unescaped.
    pub name: String,
}

impl ObjectRef {
    /// The reference of `object`, a `resource`.
    pub fn of(resource: &Arc<ApiResource>, object: &Object) -> Self {
        let namespace = if resource.namespaced { object.namespace() } else { "" };
        Self { resource: Arc::clone(resource), namespace: namespace.to_owned(), name: object.name().to_owned() }
    }

    /// The id of the referenced object.
    pub fn id(&self) -> ObjectId {
        ObjectId::new(&self.resource.gvk.group, &self.resource.gvk.kind, &self.namespace, &self.name)
    }

    /// The request builder of its collection; refuses a namespace that would leave the collection's path.
    pub(crate) fn request(&self) -> Result<Request, ApiError> {
        if self.resource.namespaced && self.namespace.is_empty() {
            return Err(ApiError::local(Class::Invalid, "the object has no namespace, and its kind needs one"));
        }
        Ok(Request::new(self.resource.path(&self.namespace)?))
    }

    /// Like [`request`](Self::request), with the name escaped for a URL.
    pub(crate) fn named(&self) -> Result<(Request, String), ApiError> {
        Ok((self.request()?, path::segment(&self.name)?))
    }

    pub(crate) fn failed(&self, verb: Verb) -> impl FnOnce(ApiError) -> Failure {
        let id = self.id();
        move |source| Failure { id, verb, source }
    }
}

/// Where an object of the inventory is, in whichever version its kind is served; `None` for a kind that is not known.
pub fn recorded(kinds: &ApiResources, id: &ObjectId) -> Option<ObjectRef> {
    let resource = kinds.of_group_kind(&GroupKind::of(id)).ok()?.clone();
    Some(ObjectRef { resource, namespace: id.namespace.clone(), name: id.name.clone() })
}

/// Reads one object; `None` if it does not exist.
pub async fn get(cluster: &Cluster, place: &ObjectRef) -> Result<Option<Object>, Failure> {
    let read = async {
        let (request, name) = place.named()?;
        match cluster.send(request.get(&name, &GetParams::default())).await {
            Ok(answer) => object(answer.body).map(Some),
            Err(error) if error.class == Class::NotFound || error.class == Class::MissingNamespace => Ok(None),
            Err(error) => Err(error),
        }
    };
    read.await.map_err(place.failed(Verb::Read))
}

/// Reads several objects concurrently, each with its own result; missing ones are left out.
pub async fn get_all(cluster: &Cluster, places: &[ObjectRef]) -> (BTreeMap<ObjectId, Object>, Vec<Failure>) {
    let mut found = BTreeMap::new();
    let mut failures = Vec::new();
    // Owned, so that a caller's future may be sent.
    let mut answers = futures::stream::iter(places.to_vec())
        .map(|place| async move { (place.id(), get(cluster, &place).await) })
        .buffer_unordered(READ_CONCURRENCY);
    while let Some((id, answer)) = answers.next().await {
        match answer {
            Ok(Some(object)) => {
                found.insert(id, object);
            }
            Ok(None) => {}
            Err(failure) => failures.push(failure),
        }
    }
    failures.sort_by(|a, b| a.id.cmp(&b.id));
    (found, failures)
}

/// A list and its resourceVersion.
pub struct Listed {
    /// The items, with `apiVersion` and `kind` filled in.
    pub objects: Vec<Object>,
    /// The resourceVersion from which a watch continues.
    pub version: String,
}

/// Lists `resource` in `namespace` (empty: all namespaces), page by page.
///
/// Where the continue token expires half-way, the whole list is requested once more.
pub async fn list(
    cluster: &Cluster,
    resource: &ApiResource,
    namespace: &str,
    params: &ListParams,
) -> Result<Listed, ApiError> {
    list_for::<Value>(cluster, resource, namespace, params).await
}

/// Like [`list`], deserialized as `T`.
pub(crate) async fn list_for<T: DeserializeOwned + Into<Value>>(
    cluster: &Cluster,
    resource: &ApiResource,
    namespace: &str,
    params: &ListParams,
) -> Result<Listed, ApiError> {
    match pages::<T>(cluster, resource, namespace, params.clone().limit(PAGE_SIZE)).await {
        Err(error) if error.code == 410 => {
            pages::<T>(cluster, resource, namespace, ListParams { limit: None, ..params.clone() }).await
        }
        result => result,
    }
}

/// One page of a list.
#[derive(Deserialize)]
struct Page<T> {
    #[serde(default)]
    metadata: PageMetadata,
    items: Option<Vec<T>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PageMetadata {
    resource_version: String,
    r#continue: String,
}

async fn pages<T: DeserializeOwned + Into<Value>>(
    cluster: &Cluster,
    resource: &ApiResource,
    namespace: &str,
    mut params: ListParams,
) -> Result<Listed, ApiError> {
    let request = Request::new(resource.path(namespace)?);
    let mut listed = Listed { objects: Vec::new(), version: String::new() };
    loop {
        let page = cluster.send_for::<Page<T>>(request.list(&params)).await?.body;
        for mut item in page.items.into_iter().flatten().map(Into::into) {
            // Items of a list lack `apiVersion` and `kind`.
            if let Some(fields) = item.as_object_mut() {
                fields.insert("apiVersion".to_owned(), Value::String(resource.gvk.api_version()));
                fields.insert("kind".to_owned(), Value::String(resource.gvk.kind.clone()));
            }
            listed.objects.push(object(item)?);
        }
        if listed.objects.len() > MAX_OBJECTS {
            return Err(ApiError::local(Class::TooLarge, format!("more than {MAX_OBJECTS} {}", resource.plural)));
        }
        listed.version = page.metadata.resource_version;
        if page.metadata.r#continue.is_empty() {
            return Ok(listed);
        }
        params.continue_token = Some(page.metadata.r#continue);
    }
}

/// The objects of an ApplySet, and the lists that failed.
#[derive(Debug, Default)]
pub struct Members {
    /// The objects with the ApplySet's label.
    pub objects: BTreeMap<ObjectId, Object>,
    /// Kinds and namespaces that could not be listed: nothing may be pruned while there are any.
    pub failures: Vec<Failure>,
}

/// Lists the objects of `applyset`: one list for each of `resources` and, where it is namespaced, each of `namespaces`.
pub async fn members(
    cluster: &Cluster,
    resources: impl IntoIterator<Item = &Arc<ApiResource>>,
    namespaces: &BTreeSet<String>,
    applyset: &str,
) -> Members {
    let params = &ListParams::default().labels(&format!("{PART_OF}={applyset}"));
    let mut lists_of: Vec<(&Arc<ApiResource>, &str)> = Vec::new();
    for resource in resources.into_iter().filter(|resource| resource.supports("list")) {
        if resource.namespaced {
            lists_of.extend(namespaces.iter().map(|namespace| (resource, namespace.as_str())));
        } else {
            lists_of.push((resource, ""));
        }
    }
    let collections = lists_of.into_iter().map(|(resource, namespace)| (Arc::clone(resource), namespace.to_owned()));
    let mut members = Members::default();
    lists(cluster, collections, params, &mut members).await;
    members.failures.sort_by(|a, b| a.id.cmp(&b.id));
    members
}

/// Reads the objects `wanted`, and the objects of `applyset` in the collections of `wanted` and `known` ones.
///
/// One list per collection (kind and namespace). Where `known` is empty, no object has the label yet. Wanted objects
/// without the label are read one by one or, where they are many, by a list of their collection.
pub async fn list_live(cluster: &Cluster, wanted: &[ObjectRef], known: &[ObjectRef], applyset: &str) -> Members {
    let mut found = Members::default();
    if !known.is_empty() {
        let params = ListParams::default().labels(&format!("{PART_OF}={applyset}"));
        let all = collections(wanted.iter().chain(known)).into_values().map(|(collection, _)| collection);
        lists(cluster, all, &params, &mut found).await;
    }
    let absent = collections(wanted.iter().filter(|place| !found.objects.contains_key(&place.id())));
    let (many, few): (Vec<_>, Vec<_>) = absent.into_values().partition(|(_, places)| places.len() > MAX_SINGLE_READS);
    let few: Vec<ObjectRef> = few.into_iter().flat_map(|(_, places)| places).cloned().collect();
    let (objects, failures) = get_all(cluster, &few).await;
    found.objects.extend(objects);
    found.failures.extend(failures);
    let mut others = Members::default();
    let wanted: BTreeSet<ObjectId> = many.iter().flat_map(|(_, places)| places).map(|place| place.id()).collect();
    lists(cluster, many.into_iter().map(|(collection, _)| collection), &ListParams::default(), &mut others).await;
    found.objects.extend(others.objects.into_iter().filter(|(id, _)| wanted.contains(id)));
    found.failures.extend(others.failures);
    found.failures.sort_by(|a, b| a.id.cmp(&b.id));
    found
}

/// A kind and the namespace of its objects; empty for all namespaces and for cluster-scoped kinds.
type Collection = (Arc<ApiResource>, String);

/// Groups references by collection.
pub(crate) fn collections<'a>(
    places: impl IntoIterator<Item = &'a ObjectRef>,
) -> BTreeMap<(&'a GroupVersionKind, &'a str), (Collection, Vec<&'a ObjectRef>)> {
    let mut collections = BTreeMap::new();
    for place in places {
        let of = || ((Arc::clone(&place.resource), place.namespace.clone()), Vec::new());
        let (_, members) = collections.entry((&place.resource.gvk, place.namespace.as_str())).or_insert_with(of);
        members.push(place);
    }
    collections
}

/// Lists `collections` into `members`.
async fn lists(
    cluster: &Cluster,
    collections: impl IntoIterator<Item = Collection>,
    params: &ListParams,
    members: &mut Members,
) {
    let collections: Vec<Collection> =
        collections.into_iter().filter(|(resource, _)| resource.supports("list")).collect();
    let mut answers = futures::stream::iter(collections)
        .map(|(resource, namespace)| async move {
            let answer = list(cluster, &resource, &namespace, params).await;
            (resource, namespace, answer)
        })
        .buffer_unordered(READ_CONCURRENCY);
    while let Some((resource, namespace, answer)) = answers.next().await {
        match answer {
            Ok(listed) => members.objects.extend(listed.objects.into_iter().map(|object| (object.id(), object))),
            Err(error) if error.class == Class::NotFound || error.class == Class::MissingNamespace => {}
            Err(source) => {
                let id = ObjectId::new(&resource.gvk.group, &resource.gvk.kind, &namespace, "*");
                members.failures.push(Failure { id, verb: Verb::Read, source });
            }
        }
    }
}

/// Parses a response as an object.
pub(crate) fn object(body: Value) -> Result<Object, ApiError> {
    Object::from_value(body)
        .map_err(|error| ApiError::local(Class::Other, format!("the API server's answer is not an object: {error}")))
}
