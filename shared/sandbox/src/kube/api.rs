//! From a request to the verb: paths, discovery, and reading (get, list, watch).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::schema::Kind;
use super::selector::Selector;
use super::status::Failure;
use super::store::{Filter, Key, Store, View};
use super::{discovery, table, write};
use crate::http::{Body, Request, Response};
use crate::{Clock, lock};

/// A list that names no limit gives everything; one page is never longer than this.
const PAGE_LIMIT: usize = 10_000;
/// A watch without a timeout ends after this (the API server: 30 to 60 minutes).
const WATCH_SECONDS: u64 = 1800;

/// What a path names.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The kind.
    pub(super) kind: Kind,
    /// The namespace in the path; empty for none.
    pub(super) namespace: String,
    /// The name in the path.
    pub(super) name: Option<String>,
    /// `status`, `scale`, `finalize`.
    pub(super) subresource: Option<String>,
}

impl Target {
    /// The key of the object of this name.
    pub(super) fn key(&self, name: &str) -> Key {
        Key::new(&self.kind, &self.namespace, name)
    }
}

/// Answers one request.
pub(super) fn answer(store: &Arc<Mutex<Store>>, clock: &Clock, address: &str, request: &Request) -> Response {
    let now = clock();
    let mut guard = lock(store);
    if let Some(response) = discover(&guard, address, request) {
        return response;
    }
    let Some(target) = target(&guard, request) else { return Failure::no_resource().to_response() };
    let answer = match (&request.method, &target.name) {
        (&Method::GET, None) if request.flag("watch") => watch(store, &mut guard, &target, request, now),
        (&Method::GET, None) => list(&guard, &target, request, now),
        (&Method::GET, Some(name)) => get(&guard, &target, name, request, now),
        _ => write::answer(&mut guard, &target, request, now),
    };
    answer.unwrap_or_else(|failure| failure.to_response())
}

fn discover(store: &Store, address: &str, request: &Request) -> Option<Response> {
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let ok = |value: &Value| Response::json(StatusCode::OK, value).with("content-type", "application/json");
    let found = |value: Option<Value>| value.map_or_else(|| Failure::no_resource().to_response(), |value| ok(&value));
    let aggregated = request
        .header("accept")
        .is_some_and(|accept| accept.contains("APIGroupDiscoveryList") && accept.contains("v=v2"));
    let as_discovery = |value: &Value| {
        ok(value).with("content-type", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
    };
    let all = || store.kinds().cloned().collect::<Vec<_>>();
    Some(match segments.as_slice() {
        ["version"] => ok(&discovery::version()),
        ["healthz" | "livez" | "readyz", ..] => Response::new(StatusCode::OK, "ok"),
        ["api"] if aggregated => as_discovery(&discovery::aggregated(&all(), true)),
        ["apis"] if aggregated => as_discovery(&discovery::aggregated(&all(), false)),
        ["api"] => ok(&discovery::core_versions(address)),
        ["api", version] => found(discovery::resources(store.kinds(), "", version)),
        ["apis"] => ok(&discovery::group_list(store.kinds())),
        ["apis", group] => found(discovery::group(store.kinds(), group)),
        ["apis", group, version] => found(discovery::resources(store.kinds(), group, version)),
        ["apis", "authentication.k8s.io", "v1", "selfsubjectreviews"] if request.method == Method::POST => {
            Response::json(StatusCode::CREATED, &discovery::self_subject_review())
                .with("content-type", "application/json")
        }
        ["apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"] if request.method == Method::POST => {
            Response::json(StatusCode::CREATED, &discovery::self_subject_access_review())
                .with("content-type", "application/json")
        }
        ["openapi", "v3"] => ok(&discovery::openapi_paths(store.kinds())),
        ["openapi", "v3", path @ ..] => found(discovery::openapi(store.kinds(), &path.join("/"))),
        _ => return None,
    })
}

/// What the path of a request names, where it is served.
fn target(store: &Store, request: &Request) -> Option<Target> {
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (group, version, rest) = match segments.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let make = |plural: &str, namespace: &str, rest: &[&str]| {
        let kind = store.kind_of(group, version, plural)?;
        let subresource = rest.get(1).map(|name| (*name).to_owned());
        let known = |name: &str| {
            name == "finalize" && kind.is("", "Namespace")
                || name == "log" && kind.is("", "Pod")
                || kind.subresources.iter().any(|sub| sub == name)
        };
        if subresource.as_deref().is_some_and(|name| !known(name)) || rest.len() > 2 {
            return None;
        }
        Some(Target {
            namespace: namespace.to_owned(),
            name: rest.first().map(|name| (*name).to_owned()),
            subresource,
            kind,
        })
    };
    match rest {
        ["namespaces", namespace, plural, rest @ ..] => {
            let inside = make(plural, namespace, rest).filter(|target| target.kind.namespaced);
            inside.or_else(|| make("namespaces", "", &[namespace, plural]).filter(|_| rest.is_empty()))
        }
        [plural, rest @ ..] => make(plural, "", rest).filter(|target| !target.kind.namespaced || target.name.is_none()),
        [] => None,
    }
}

/// How the client wants objects to look.
enum Form {
    Whole,
    Table { whole: bool },
    Metadata,
}

fn form(request: &Request) -> Form {
    // The first media type that is known decides.
    for part in request.header("accept").unwrap_or_default().split(',') {
        if part.contains("as=Table") {
            return Form::Table { whole: request.query("includeObject") == Some("Object") };
        }
        if part.contains("as=PartialObjectMetadata") {
            return Form::Metadata;
        }
        if part.trim() == "application/json" {
            break;
        }
    }
    Form::Whole
}

fn get(store: &Store, target: &Target, name: &str, request: &Request, now: Timestamp) -> Result<Response, Failure> {
    let object = store.get(&target.key(name)).ok_or_else(|| Failure::not_found(&target.kind, name))?;
    if target.subresource.as_deref() == Some("log") {
        return log(object, request);
    }
    let object = if target.subresource.as_deref() == Some("scale") {
        write::scale_of(&target.kind, object)
    } else {
        served(&target.kind, object)
    };
    let value = match form(request) {
        Form::Whole => object,
        Form::Metadata => table::metadata_only(&object),
        Form::Table { whole } => {
            let metadata = json!({"resourceVersion": object.pointer("/metadata/resourceVersion")});
            table::table(&target.kind, &[&object], &metadata, whole, now)
        }
    };
    Ok(Response::json(StatusCode::OK, &value).with("content-type", "application/json"))
}

/// Two lines of a container that never ran: where it comes from, and that it is up.
fn log(pod: &Value, request: &Request) -> Result<Response, Failure> {
    let text =
        |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let containers: Vec<&Value> = ["/spec/initContainers", "/spec/containers"]
        .iter()
        .filter_map(|pointer| pod.pointer(pointer)?.as_array())
        .flatten()
        .collect();
    let name = text(pod, "/metadata/name");
    let wanted = request.query("container").filter(|wanted| !wanted.is_empty());
    let found = match (wanted, containers.as_slice()) {
        (Some(wanted), _) => containers.iter().find(|container| text(container, "/name") == wanted),
        (None, [one]) => Some(one),
        (None, _) => {
            let names: Vec<String> = containers.iter().map(|container| text(container, "/name")).collect();
            let names = names.join(" ");
            return Err(Failure::bad_request(format!(
                "a container name must be specified for pod {name}, choose one of: [{names}]"
            )));
        }
    };
    let container = found.ok_or_else(|| {
        Failure::bad_request(format!("container {} is not valid for pod {name}", wanted.unwrap_or_default()))
    })?;
    let lines = [format!("image {}\n", text(container, "/image")), "ready\n".to_owned()];
    let tail = request.query("tailLines").and_then(|lines| lines.parse().ok()).unwrap_or(lines.len());
    let shown: String = lines.into_iter().rev().take(tail).rev().collect();
    Ok(Response::new(StatusCode::OK, shown).with("content-type", "text/plain"))
}

/// The object in the version that was asked for: what is stored says the version it was written in.
pub(super) fn served(kind: &Kind, object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(map) = object.as_object_mut() {
        map.insert("apiVersion".into(), json!(kind.api_version()));
    }
    object
}

fn filter(target: &Target, request: &Request) -> Result<Filter, Failure> {
    let text = request.query("labelSelector").unwrap_or_default();
    let labels =
        Selector::parse(text).ok_or_else(|| Failure::bad_request(format!("unable to parse requirement: {text}")))?;
    Ok(Filter {
        resource: target.kind.resource(),
        namespace: (!target.namespace.is_empty()).then(|| target.namespace.clone()),
        labels,
        fields: request.query("fieldSelector").unwrap_or_default().to_owned(),
    })
}

fn list(store: &Store, target: &Target, request: &Request, now: Timestamp) -> Result<Response, Failure> {
    let found = store.list(&filter(target, request)?);
    let limit = request
        .query("limit")
        .and_then(|limit| limit.parse().ok())
        .filter(|limit| *limit > 0)
        .unwrap_or(PAGE_LIMIT)
        .min(PAGE_LIMIT);
    // The continue token is the last key of the page before, as the API server's is.
    let after = request.query("continue").filter(|token| !token.is_empty());
    let token = |key: &Key| format!("{}/{}", key.namespace, key.name);
    let rest: Vec<(&Key, &Value)> =
        found.into_iter().filter(|(key, _)| after.is_none_or(|after| token(key).as_str() > after)).collect();
    let mut metadata = json!({"resourceVersion": store.version().to_string()});
    if let (Some(map), Some((last, _)), true) =
        (metadata.as_object_mut(), rest.get(limit.saturating_sub(1)), rest.len() > limit)
    {
        map.insert("continue".into(), json!(token(last)));
        map.insert("remainingItemCount".into(), json!(rest.len() - limit));
    }
    let objects: Vec<Value> = rest.iter().take(limit).map(|(_, object)| served(&target.kind, object)).collect();
    let value = match form(request) {
        Form::Table { whole } => table::table(&target.kind, &objects.iter().collect::<Vec<_>>(), &metadata, whole, now),
        Form::Metadata => {
            let items: Vec<Value> = objects.iter().map(table::metadata_only).collect();
            json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                "items": items})
        }
        Form::Whole => {
            // Items of built-in lists do not repeat their kind.
            let items: Vec<Value> = objects.into_iter().map(|object| list_item(&target.kind, object)).collect();
            json!({"kind": format!("{}List", target.kind.kind), "apiVersion": target.kind.api_version(),
                "metadata": metadata, "items": items})
        }
    };
    Ok(Response::json(StatusCode::OK, &value).with("content-type", "application/json"))
}

fn list_item(kind: &Kind, mut object: Value) -> Value {
    let built_in = super::schema::built_in().kinds.iter().any(|known| known.resource() == kind.resource());
    if let (true, Some(map)) = (built_in, object.as_object_mut()) {
        map.shift_remove("kind");
        map.shift_remove("apiVersion");
    }
    object
}

fn watch(
    store: &Arc<Mutex<Store>>,
    guard: &mut Store,
    target: &Target,
    request: &Request,
    now: Timestamp,
) -> Result<Response, Failure> {
    let initial = request.query("sendInitialEvents").map(|_| request.flag("sendInitialEvents"));
    let version = request.query("resourceVersion").filter(|version| !version.is_empty() && *version != "0");
    let from = match (initial, version) {
        (Some(true), _) | (None, None) => None,
        (Some(false), None) => Some(guard.version()),
        (_, Some(version)) => {
            Some(version.parse().map_err(|_| Failure::bad_request(format!("invalid resource version \"{version}\"")))?)
        }
    };
    let bookmark = |version: u64, end: bool| {
        let annotations = if end { json!({"k8s.io/initial-events-end": "true"}) } else { Value::Null };
        let mut metadata = json!({"resourceVersion": version.to_string(), "creationTimestamp": null});
        if let (Some(map), true) = (metadata.as_object_mut(), end) {
            map.insert("annotations".into(), annotations);
        }
        json!({"kind": target.kind.kind, "apiVersion": target.kind.api_version(), "metadata": metadata})
    };
    let kind = target.kind.clone();
    let view: View = match form(request) {
        Form::Whole => Box::new(move |object| served(&kind, object)),
        Form::Metadata => Box::new(table::metadata_only),
        Form::Table { whole } => Box::new(move |object| table::table(&kind, &[object], &json!({}), whole, now)),
    };
    let marked = (initial == Some(true)).then(|| bookmark(guard.version(), true));
    let Some((id, receiver)) = guard.watch(filter(target, request)?, from, marked.as_ref(), view) else {
        // The API server says so inside the stream.
        let line = json!({"type": "ERROR", "object": Failure::expired().to_json()}).to_string() + "\n";
        return Ok(Response::new(StatusCode::OK, line).with("content-type", "application/json"));
    };
    let seconds = request
        .query("timeoutSeconds")
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(WATCH_SECONDS)
        .clamp(1, WATCH_SECONDS);
    let (store, bookmarks) = (Arc::downgrade(store), request.flag("allowWatchBookmarks"));
    let template = bookmark(0, false);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let Some(store) = store.upgrade() else { return };
        let mut store = lock(&store);
        let mut last = template;
        if let Some(metadata) = last.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("resourceVersion".into(), json!(store.version().to_string()));
        }
        store.end_watch(id, bookmarks.then_some(&last));
    });
    let answer = Response { status: StatusCode::OK, headers: http::HeaderMap::new(), body: Body::Stream(receiver) };
    Ok(answer.with("content-type", "application/json"))
}
