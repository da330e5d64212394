//! The hands that change objects behind Git's back: who, and by which kind of request.

use http::Method;
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};
use slipway_cluster::objects::ObjectRef;
use slipway_gitops::diff::Path;

use super::fields;

/// By which request an object is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// `kubectl replace`, client libraries' update.
    Put,
    /// `kubectl patch --type=merge`.
    MergePatch,
    /// `kubectl patch --type=json`, most operators.
    JsonPatch,
    /// Server-side apply with force.
    Apply,
}

/// Who changes objects, and how.
pub(super) const HANDS: [(&str, Way); 12] = [
    ("kubectl-edit", Way::JsonPatch),
    ("kubectl-patch", Way::MergePatch),
    ("kubectl-replace", Way::Put),
    ("kubectl-set", Way::JsonPatch),
    ("helm", Way::Put),
    ("Mozilla", Way::Put),
    ("terraform", Way::MergePatch),
    ("my-operator", Way::Put),
    ("kube-controller-manager", Way::JsonPatch),
    ("ack-controller", Way::MergePatch),
    ("flux-controller", Way::Apply),
    ("team-operator", Way::Apply),
];

/// What a write did, and between which seconds.
pub(super) struct Written {
    pub(super) object: Value,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

fn url(place: &ObjectRef) -> String {
    format!("{}/{}", place.resource.path(&place.namespace).unwrap(), place.name)
}

/// Sends a request; gives the answer, or what the server says.
pub(super) async fn send(
    client: &Client,
    method: Method,
    url: &str,
    content: &str,
    body: &Value,
) -> Result<Written, String> {
    let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
    let request = http::Request::builder().method(method).uri(url).header("content-type", content).body(body).unwrap();
    let from = Timestamp::now();
    let answer = client.request_text(request).await.map_err(|error| error.to_string())?;
    Ok(Written { object: serde_json::from_str(&answer).unwrap_or_default(), from, to: Timestamp::now() })
}

/// The live object.
pub(super) async fn read(client: &Client, place: &ObjectRef) -> Option<Value> {
    send(client, Method::GET, &url(place), "application/json", &Value::Null).await.ok().map(|read| read.object)
}

/// Makes `before` be `after`, which differs at `paths`.
pub(super) async fn write(
    client: &Client,
    place: &ObjectRef,
    (manager, way): (&str, Way),
    (before, after): (&Value, &Value),
    paths: &[Path],
) -> Result<Written, String> {
    let url = format!("{}?fieldManager={manager}", url(place));
    match way {
        Way::Put => {
            let mut after = after.clone();
            after["metadata"].as_object_mut().unwrap().shift_remove("managedFields");
            send(client, Method::PUT, &url, "application/json", &after).await
        }
        Way::MergePatch => {
            let patch = fields::merge_patch(before, after);
            send(client, Method::PATCH, &url, "application/merge-patch+json", &patch).await
        }
        Way::JsonPatch => {
            let patch = fields::json_patch(before, after);
            send(client, Method::PATCH, &url, "application/json-patch+json", &patch).await
        }
        Way::Apply => {
            let [path] = paths else { return Err("more than one field".to_owned()) };
            let Some(value) = fields::get(after, path) else { return Err("nothing to apply".to_owned()) };
            let mut part = fields::only(after, &path.0, value);
            for key in ["apiVersion", "kind"] {
                part[key] = after[key].clone();
            }
            part["metadata"]["name"] = json!(place.name);
            send(client, Method::PATCH, &format!("{url}&force=true"), "application/apply-patch+yaml", &part).await
        }
    }
}

/// Writes to a subresource.
pub(super) async fn write_below(
    client: &Client,
    place: &ObjectRef,
    subresource: &str,
    manager: &str,
    patch: &Value,
) -> Result<Written, String> {
    let url = format!("{}/{subresource}?fieldManager={manager}", url(place));
    send(client, Method::PATCH, &url, "application/merge-patch+json", patch).await
}

/// Applies a part of an object server-side.
pub(super) async fn apply(client: &Client, place: &ObjectRef, manager: &str, part: &Value) -> Result<Written, String> {
    let url = format!("{}?fieldManager={manager}", url(place));
    send(client, Method::PATCH, &url, "application/apply-patch+yaml", part).await
}

/// Deletes an object, and waits until it is gone.
pub(super) async fn delete(client: &Client, place: &ObjectRef) -> Result<Written, String> {
    let written = send(client, Method::DELETE, &url(place), "application/json", &Value::Null).await?;
    for _ in 0..100 {
        if read(client, place).await.is_none() {
            return Ok(written);
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Err(format!("{} is not gone", place.name))
}

/// Creates an object in a place.
pub(super) async fn create(
    client: &Client,
    place: &ObjectRef,
    manager: &str,
    object: &Value,
) -> Result<Written, String> {
    let mut object = object.clone();
    let metadata = object["metadata"].as_object_mut().unwrap();
    for key in ["managedFields", "resourceVersion", "uid", "creationTimestamp", "generation"] {
        metadata.shift_remove(key);
    }
    let url = format!("{}?fieldManager={manager}", place.resource.path(&place.namespace).unwrap());
    send(client, Method::POST, &url, "application/json", &object).await
}

/// Makes an object be as it was, whatever became of it.
pub(super) async fn undo(client: &Client, place: &ObjectRef, before: &Value) -> Result<(), String> {
    const MANAGER: &str = "undo";
    match read(client, place).await {
        None => create(client, place, MANAGER, before).await.map(|_| ()),
        Some(live) => {
            let mut before = before.clone();
            // A Service that was made again keeps its new address.
            for field in ["clusterIP", "clusterIPs"] {
                if let Some(address) = live["spec"].get(field) {
                    before["spec"][field] = address.clone();
                }
            }
            let patch = fields::json_patch(&live, &before);
            let url = format!("{}?fieldManager={MANAGER}", url(place));
            send(client, Method::PATCH, &url, "application/json-patch+json", &patch).await.map(|_| ())
        }
    }
}
