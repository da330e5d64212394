//! What a client asks before it asks for objects: versions, groups, resources (also aggregated), and as much OpenAPI as
//! kubectl wants to see before it validates on the server.

use serde_json::{Map, Value, json};

use super::schema::Kind;

/// The version that the sandbox stands in for.
pub(super) const VERSION: &str = "v1.35.4";

/// `GET /version`.
pub(super) fn version() -> Value {
    json!({
        "major": "1", "minor": "35", "emulationMajor": "1", "emulationMinor": "35", "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "34", "gitVersion": VERSION, "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "", "platform": "linux/amd64",
    })
}

/// `POST /apis/authentication.k8s.io/v1/selfsubjectreviews`: everybody is the user of the kubeconfig.
pub(super) fn self_subject_review() -> Value {
    json!({
        "kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1", "metadata": {"creationTimestamp": null},
        "status": {"userInfo": {"username": "sandbox", "groups": ["system:masters", "system:authenticated"]}},
    })
}

/// `POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews`: everybody may do everything.
pub(super) fn self_subject_access_review() -> Value {
    json!({
        "kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "metadata": {"creationTimestamp": null}, "spec": {}, "status": {"allowed": true},
    })
}

/// Groups and versions that are served, in order, without core.
fn groups<'a>(kinds: impl Iterator<Item = &'a Kind>) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for kind in kinds.filter(|kind| !kind.group.is_empty()) {
        let place = found.iter().position(|(group, _)| *group == kind.group).unwrap_or_else(|| {
            found.push((kind.group.clone(), Vec::new()));
            found.len() - 1
        });
        if let Some((_, versions)) = found.get_mut(place)
            && !versions.contains(&kind.version)
        {
            versions.push(kind.version.clone());
        }
    }
    found
}

/// `GET /api`.
pub(super) fn core_versions(address: &str) -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0",
        "serverAddress": address}]})
}

/// `GET /apis`.
pub(super) fn group_list<'a>(kinds: impl Iterator<Item = &'a Kind>) -> Value {
    let groups: Vec<Value> = groups(kinds).iter().map(|(group, versions)| group_value(group, versions)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

fn group_value(group: &str, versions: &[String]) -> Value {
    let entry = |version: &String| json!({"groupVersion": format!("{group}/{version}"), "version": version});
    let versions: Vec<Value> = versions.iter().map(entry).collect();
    json!({"name": group, "versions": versions, "preferredVersion": versions.first()})
}

/// `GET /apis/GROUP`.
pub(super) fn group<'a>(kinds: impl Iterator<Item = &'a Kind>, name: &str) -> Option<Value> {
    let (group, versions) = groups(kinds).into_iter().find(|(group, _)| group == name)?;
    let mut value = group_value(&group, &versions);
    if let Some(map) = value.as_object_mut() {
        map.insert("kind".into(), json!("APIGroup"));
        map.insert("apiVersion".into(), json!("v1"));
    }
    Some(value)
}

/// `GET /api/v1` and `GET /apis/GROUP/VERSION`.
pub(super) fn resources<'a>(kinds: impl Iterator<Item = &'a Kind>, group: &str, version: &str) -> Option<Value> {
    let mut listed = Vec::new();
    let mut api_version = None;
    for kind in kinds.filter(|kind| kind.group == group && kind.version == version) {
        api_version = Some(kind.api_version());
        let mut resource = json!({
            "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind,
                "verbs": kind.verbs,
        });
        if let Some(map) = resource.as_object_mut() {
            for (name, values) in [("shortNames", &kind.short_names), ("categories", &kind.categories)] {
                if !values.is_empty() {
                    map.insert(name.into(), json!(values));
                }
            }
        }
        listed.push(resource);
        for sub in &kind.subresources {
            let mut resource = json!({
                "name": format!("{}/{sub}", kind.plural), "singularName": "", "namespaced": kind.namespaced,
                    "kind": kind.kind,
                "verbs": ["get", "patch", "update"],
            });
            if let (Some(map), "scale") = (resource.as_object_mut(), sub.as_str()) {
                map.insert("group".into(), json!("autoscaling"));
                map.insert("version".into(), json!("v1"));
                map.insert("kind".into(), json!("Scale"));
            }
            listed.push(resource);
        }
    }
    let api_version = api_version?;
    Some(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": listed}))
}

/// `GET /api` (`core`) or `GET /apis` as `APIGroupDiscoveryList`.
pub(super) fn aggregated(kinds: &[Kind], core: bool) -> Value {
    let names: Vec<(String, Vec<String>)> =
        if core { vec![(String::new(), vec!["v1".to_owned()])] } else { groups(kinds.iter()) };
    let items: Vec<Value> = names
        .into_iter()
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .into_iter()
                .map(|version| {
                    let of_version = kinds.iter().filter(|kind| kind.group == group && kind.version == version);
                    let resources: Vec<Value> = of_version.map(discovered).collect();
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            let metadata = if group.is_empty() { json!({}) } else { json!({"name": group}) };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn discovered(kind: &Kind) -> Value {
    let response = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let mut resource = json!({
        "resource": kind.plural, "responseKind": response(&kind.group, &kind.version, &kind.kind),
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" }, "singularResource": kind.singular,
            "verbs": kind.verbs,
    });
    if let Some(map) = resource.as_object_mut() {
        for (name, values) in [("shortNames", &kind.short_names), ("categories", &kind.categories)] {
            if !values.is_empty() {
                map.insert(name.into(), json!(values));
            }
        }
        let subresources: Vec<Value> = kind
            .subresources
            .iter()
            .map(|sub| {
                let scale = sub == "scale";
                let kind = if scale {
                    response("autoscaling", "v1", "Scale")
                } else {
                    response(&kind.group, &kind.version, &kind.kind)
                };
                json!({"subresource": sub, "responseKind": kind, "verbs": ["get", "patch", "update"]})
            })
            .collect();
        if !subresources.is_empty() {
            map.insert("subresources".into(), Value::Array(subresources));
        }
    }
    resource
}

/// `GET /openapi/v3`: where each group's description is.
pub(super) fn openapi_paths<'a>(kinds: impl Iterator<Item = &'a Kind>) -> Value {
    let mut paths = Map::new();
    for kind in kinds {
        let path = prefix(kind);
        paths.insert(path.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash=SANDBOX")}));
    }
    json!({"paths": paths})
}

fn prefix(kind: &Kind) -> String {
    if kind.group.is_empty() {
        format!("api/{}", kind.version)
    } else {
        format!("apis/{}/{}", kind.group, kind.version)
    }
}

/// `GET /openapi/v3/PATH`: no schemas, but that the server validates fields itself, which is what kubectl looks for.
pub(super) fn openapi<'a>(kinds: impl Iterator<Item = &'a Kind>, wanted: &str) -> Option<Value> {
    let mut paths = Map::new();
    for kind in kinds.filter(|kind| prefix(kind) == wanted) {
        let namespace = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
        let gvk = json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
        let parameters =
            json!([{"name": "fieldValidation", "in": "query", "schema": {"type": "string", "uniqueItems": true}}]);
        let patch = json!({"x-kubernetes-action": "patch", "x-kubernetes-group-version-kind": gvk,
            "parameters": parameters, "responses": {}});
        paths.insert(format!("/{wanted}{namespace}/{}/{{name}}", kind.plural), json!({"patch": patch}));
    }
    let info = json!({"title": "Kubernetes", "version": VERSION});
    (!paths.is_empty())
        .then(|| json!({"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": {}}}))
}
