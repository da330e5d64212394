//! Tells which objects of the tree Argo CD itself reads, and who may write them; adds the settings of the functions to
//! those of the tree.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use slipway_budget::Budget;
use slipway_manifest::{NodeKind, Object, Tree, tree, yaml};

use super::mentions::plain_words;
use crate::app::project::DEFAULT;
use crate::app::settings::is_setting;
use crate::app::{Application, ClusterName, ClusterSecret, IN_CLUSTER_SERVER, ProjectPermissions, Projects, Source};
use crate::render::{BuildOptions, Rendered};

/// Bases below each other that are looked into.
const MAX_BASES: usize = 8;
/// The key of `argocd-cm` with Kustomize's flags.
pub(super) const BUILD_OPTIONS: &str = "kustomize.buildOptions";

/// Whether an Application, or a place where there is none, may write a `kind` to Argo CD's namespace.
pub(super) fn may_write(
    parent: Option<&Application>,
    projects: &Projects,
    clusters: &[ClusterSecret],
    (namespace, kind): (&str, &str),
) -> bool {
    let Some(parent) = parent else { return true };
    let version = if kind == "AppProject" { "argoproj.io/v1alpha1" } else { "v1" };
    let object = json!({"apiVersion": version, "kind": kind,
        "metadata": {"name": DEFAULT, "namespace": namespace}});
    let permit = ProjectPermissions::of(parent, projects, clusters);
    permit.denied.is_none() && Object::from_value(object).is_ok_and(|object| permit.refusal(&object).is_none())
}

/// Whether the objects of `app` go to the cluster that its own manifest belongs to.
pub(super) fn is_in_cluster(app: &Application, clusters: &[ClusterSecret]) -> bool {
    ClusterName::of(&app.destination, clusters).server.trim_end_matches('/') == IN_CLUSTER_SERVER
}

/// Whether Argo CD itself reads the object.
pub(super) fn is_argo_cd(object: &Object) -> bool {
    match (object.group(), object.kind()) {
        ("argoproj.io", "Application" | "ApplicationSet" | "AppProject")
        | ("argocd-image-updater.argoproj.io", "ImageUpdater") => true,
        _ => is_setting(object),
    }
}

/// Adds the keys that the tree's `argocd-cm` does not set.
pub(super) fn add_settings(objects: &mut Vec<Object>, settings: &Map<String, Value>) {
    if settings.is_empty() {
        return;
    }
    if objects.iter().all(|object| !is_argocd_cm(object)) {
        let made = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm"}});
        objects.extend(Object::from_value(made));
    }
    for object in objects.iter_mut().filter(|object| is_argocd_cm(object)) {
        let data = object.as_map_mut().entry("data").or_insert_with(|| json!({}));
        for (key, value) in settings {
            if let Some(data) = data.as_object_mut() {
                data.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
    }
}

pub(super) fn is_argocd_cm(object: &Object) -> bool {
    (object.group(), object.kind(), object.name()) == ("", "ConfigMap", "argocd-cm")
}

/// `kustomize.buildOptions` of `argocd-cm`, and those flags that have no effect.
pub(super) fn build_options(objects: &[Object]) -> (BuildOptions, Vec<String>) {
    let written = objects.iter().find(|object| is_argocd_cm(object));
    let written = written.and_then(|object| object.get("data")?.get(BUILD_OPTIONS));
    BuildOptions::parse(written.and_then(Value::as_str).unwrap_or_default())
}

/// `argocd-cm` as it is written below a source that can't be rendered: its settings count all the same, so that what
/// they restrict is not let through. Of a key that several files have, as a base and a patch, the source's own counts.
pub(super) fn written_settings(tree: &Tree, source: &Source, budget: &Budget) -> Rendered {
    let folder = source.folder().unwrap_or_default();
    let mut files = BTreeSet::new();
    reached(tree, &folder, &mut files, MAX_BASES);
    let (own, bases): (Vec<&String>, Vec<&String>) = files
        .iter()
        .filter(|file| [".yaml", ".yml"].iter().any(|end| file.ends_with(end)))
        .partition(|file| folder.is_empty() || file.strip_prefix(&folder).is_some_and(|rest| rest.starts_with('/')));
    let mut merged: Option<(Object, String)> = None;
    for file in bases.into_iter().chain(own) {
        let text = tree.read_text(file).unwrap_or_default();
        if !text.contains("argocd-cm") {
            continue;
        }
        let documents = yaml::parse_manifests(text, yaml::Options::lenient(), budget).unwrap_or_default();
        for object in documents.into_iter().filter_map(|one| Object::from_value(one).ok()).filter(is_argocd_cm) {
            let Some((known, origin)) = &mut merged else {
                merged = Some((object, file.clone()));
                continue;
            };
            let data = known.as_map_mut().entry("data").or_insert_with(|| json!({}));
            let more = object.get("data").and_then(Value::as_object).cloned().unwrap_or_default();
            if let Some(data) = data.as_object_mut() {
                data.extend(more);
            }
            origin.clone_from(file);
        }
    }
    let mut rendered = Rendered::default();
    if let Some((mut object, file)) = merged {
        if let Some(namespace) = kustomization_namespace(tree, &folder) {
            object.set_namespace(&namespace);
        }
        rendered.objects.push(object);
        rendered.origins.push(file);
    }
    rendered
}

/// The `namespace` of the kustomization in `folder`, which all of its objects get.
fn kustomization_namespace(tree: &Tree, folder: &str) -> Option<String> {
    let paths = slipway_kustomize::FILE_NAMES.map(|name| format!("{folder}/{name}"));
    let text = paths.iter().find_map(|path| tree.read_text(path.trim_start_matches('/')).ok())?;
    let namespace = yaml::parse(text).ok()?.get("namespace")?.as_str()?.to_owned();
    Some(namespace).filter(|namespace| !namespace.is_empty())
}

/// The files below a folder, and below the bases outside of it that its kustomizations name.
fn reached(tree: &Tree, folder: &str, files: &mut BTreeSet<String>, depth: usize) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let below: Vec<String> =
        tree.files_below(folder).map(|files| files.map(str::to_owned).collect()).unwrap_or_default();
    for file in below {
        let (home, name) = file.rsplit_once('/').unwrap_or(("", &file));
        if slipway_kustomize::FILE_NAMES.contains(&name) && !files.contains(&file) {
            let text = tree.read_text(&file).unwrap_or_default();
            for word in plain_words(text).filter(|word| word.contains("..")) {
                match tree::join(home, word) {
                    Ok(base) if matches!(tree.kind(&base), Ok(Some(NodeKind::Directory))) => {
                        reached(tree, &base, files, depth);
                    }
                    Ok(base) => files.extend(Some(base)),
                    Err(_) => {}
                }
            }
        }
        files.insert(file);
    }
}
