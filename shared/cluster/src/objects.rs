//! What is in the cluster: one object, a list in pages, the members of an application. Reads only.

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
use slipway_gitops::api_resources::{ApiResource, GroupVersionKind};
use slipway_gitops::error::{ApiError, Class, Failure, Verb};
use slipway_gitops::path;
use slipway_gitops::tracking::PART_OF;

/// Requests on their way at the same time.
const READ_CONCURRENCY: usize = 16;
/// Objects asked for in one page.
const PAGE_SIZE: u32 = 500;
/// Objects of one collection that are asked for one by one rather than by a list.
const MAX_SINGLE_READS: usize = 8;
/// The most objects one list may have.
const MAX_OBJECTS: usize = 100_000;

/// Where an object is found.
#[derive(Debug, Clone)]
pub struct ObjectRef {
    /// Its kind.
    pub resource: Arc<ApiResource>,
    /// Its namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ObjectRef {
    /// The place of `object`, a `resource`.
    pub fn of(resource: &Arc<ApiResource>, object: &Object) -> Self {
        let namespace = if resource.namespaced { object.namespace() } else { "" };
        Self { resource: Arc::clone(resource), namespace: namespace.to_owned(), name: object.name().to_owned() }
    }

    /// The id of what is there.
    pub fn id(&self) -> ObjectId {
        ObjectId::new(&self.resource.gvk.group, &self.resource.gvk.kind, &self.namespace, &self.name)
    }

    /// The request builder of its collection; a namespace that would lead out of it is refused.
    pub(crate) fn request(&self) -> Result<Request, ApiError> {
        if self.resource.namespaced && self.namespace.is_empty() {
            return Err(ApiError::local(Class::Invalid, "the object has no namespace, and its kind needs one"));
        }
        Ok(Request::new(self.resource.path(&self.namespace)?))
    }

    /// As [`request`](Self::request), with the name as it stands in a URL.
    pub(crate) fn named(&self) -> Result<(Request, String), ApiError> {
        Ok((self.request()?, path::segment(&self.name)?))
    }

    pub(crate) fn failed(&self, verb: Verb) -> impl FnOnce(ApiError) -> Failure {
        let id = self.id();
        move |source| Failure { id, verb, source }
    }
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

/// Reads several objects at the same time, each with its own result; those that do not exist are left out.
pub async fn get_all(cluster: &Cluster, places: &[ObjectRef]) -> (BTreeMap<ObjectId, Object>, Vec<Failure>) {
    let mut found = BTreeMap::new();
    let mut failures = Vec::new();
    let mut answers = futures::stream::iter(places)
        .map(|place| async move { (place.id(), get(cluster, place).await) })
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

/// A list and the resourceVersion it is of.
pub struct Listed {
    /// The objects.
    pub objects: Vec<Object>,
    /// From where a watch goes on.
    pub version: String,
}

/// Lists `resource` in `namespace` (empty: everywhere), page by page.
///
/// A list whose pages expire half-way is asked for once more, as a whole.
pub async fn list(
    cluster: &Cluster,
    resource: &ApiResource,
    namespace: &str,
    params: &ListParams,
) -> Result<Listed, ApiError> {
    list_for::<Value>(cluster, resource, namespace, params).await
}

/// As [`list`], of each object what `T` has.
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

/// One answer of a list.
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
            // Items of a list say neither.
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

/// The members of an ApplySet found, and the lists that could not be had.
#[derive(Debug, Default)]
pub struct Members {
    /// The objects that carry the label.
    pub objects: BTreeMap<ObjectId, Object>,
    /// Kinds and namespaces that could not be listed: as long as there are any, nothing may be pruned.
    pub failures: Vec<Failure>,
}

/// Lists the members of `applyset`: one list for each of `resources` and, where it has namespaces, each of
/// `namespaces`.
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

/// What is at the places `wanted`, and the members of `applyset` in the collections of `wanted` and `known` places.
///
/// One list a collection (kind and namespace). Where `known` is empty nobody is a member yet. Wanted objects that are
/// no members are asked for one by one, or, where they are many, by a list of their collection.
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

/// A kind, and the namespace in which its objects are; empty for all, and for cluster-scoped kinds.
type Collection = (Arc<ApiResource>, String);

/// The places by what tells their collections apart.
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

/// An answer as an object.
pub(crate) fn object(body: Value) -> Result<Object, ApiError> {
    Object::from_value(body)
        .map_err(|error| ApiError::local(Class::Other, format!("the API server's answer is not an object: {error}")))
}
