//! Finds the settings of `argocd-cm` in the files of a source that can't be rendered: they count all the same, so that
//! what they restrict is not let through.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use slipway_budget::Budget;
use slipway_manifest::{NodeKind, Object, Tree, tree, yaml};

use super::mentions::plain_words;
use super::settings::{ARGOCD_CM, CHART, is_argocd_cm, of_chart_values};
use crate::app::Source;
use crate::render::Rendered;

/// Bases below each other that are looked into.
const MAX_BASES: usize = 8;

/// `argocd-cm` as manifests, patches and generators of `source` write it. Of a key that several have, as a base and a
/// patch, that of the source's own folder counts.
pub(super) fn written_settings(tree: &Tree, source: &Source, budget: &Budget) -> Rendered {
    let folder = source.folder().unwrap_or_default();
    let mut files = BTreeSet::new();
    reached(tree, &folder, &mut files, MAX_BASES);
    let (own, bases): (Vec<&String>, Vec<&String>) = files
        .iter()
        .filter(|file| is_kustomization(file) || [".yaml", ".yml"].iter().any(|end| file.ends_with(end)))
        .partition(|file| folder.is_empty() || file.strip_prefix(&folder).is_some_and(|rest| rest.starts_with('/')));
    let mut found = Found::default();
    for file in bases.into_iter().chain(own) {
        let text = tree.read_text(file).unwrap_or_default();
        if !text.contains(ARGOCD_CM) && !text.contains(CHART) {
            continue;
        }
        let before = found.data.len();
        for document in documents(text, budget) {
            if is_kustomization(file) {
                found.kustomization(&document, &Place { tree, file, budget });
            } else {
                found.manifest(document);
            }
        }
        let is_first_cluster = !found.clusters.is_empty() && found.file.is_empty();
        if found.data.len() > before || is_first_cluster {
            found.file.clone_from(file);
        }
    }
    let mut rendered = Rendered::default();
    if found.file.is_empty() {
        return rendered;
    }
    let namespace = kustomization_namespace(tree, &folder).unwrap_or(found.namespace);
    let made = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": ARGOCD_CM}, "data": found.data});
    for mut object in Object::from_value(made).into_iter().chain(found.clusters) {
        if !namespace.is_empty() {
            object.set_namespace(&namespace);
        }
        rendered.objects.push(object);
        rendered.origins.push(found.file.clone());
    }
    rendered
}

fn documents(text: &str, budget: &Budget) -> Vec<Value> {
    yaml::parse_manifests(text, yaml::Options::lenient(), budget).unwrap_or_default()
}

fn is_kustomization(file: &str) -> bool {
    slipway_kustomize::FILE_NAMES.contains(&file.rsplit('/').next().unwrap_or_default())
}

/// Where a kustomization stands.
struct Place<'a> {
    tree: &'a Tree,
    file: &'a str,
    budget: &'a Budget,
}

/// What was found of `argocd-cm`.
#[derive(Default)]
struct Found {
    data: Map<String, Value>,
    /// The cluster Secrets that Argo CD's chart makes.
    clusters: Vec<Object>,
    namespace: String,
    /// The last file that has some of it.
    file: String,
}

impl Found {
    /// Takes a manifest of `argocd-cm`, or a strategic merge patch.
    fn manifest(&mut self, document: Value) {
        let Ok(object) = Object::from_value(document) else { return };
        if is_argocd_cm(&object) {
            if !object.namespace().is_empty() {
                object.namespace().clone_into(&mut self.namespace);
            }
            self.data.extend(object.get("data").and_then(Value::as_object).cloned().unwrap_or_default());
        }
    }

    /// Takes the settings in the values that a kustomization gives Argo CD's chart. Values that can't be read have
    /// none: that Application is told of them where it is deployed.
    fn chart(&mut self, chart: &Value, place: &Place<'_>) {
        for object in of_chart_values(&chart_values(chart, place)).unwrap_or_default() {
            if is_argocd_cm(&object) {
                self.data.extend(object.get("data").and_then(Value::as_object).cloned().unwrap_or_default());
            } else {
                self.clusters.push(object);
            }
        }
        if let Some(namespace) = chart.get("namespace").and_then(Value::as_str) {
            namespace.clone_into(&mut self.namespace);
        }
    }

    /// Takes what the generators and patches of a kustomization have of it.
    fn kustomization(&mut self, kustomization: &Value, place: &Place<'_>) {
        let entries = |field: &str| kustomization.get(field).and_then(Value::as_array).into_iter().flatten();
        let text = |entry: &Value, field: &str| entry.get(field).and_then(Value::as_str).map(str::to_owned);
        for chart in entries("helmCharts").filter(|one| text(one, "name").as_deref() == Some(CHART)) {
            self.chart(chart, place);
        }
        for generator in entries("configMapGenerator").filter(|one| text(one, "name").as_deref() == Some(ARGOCD_CM)) {
            let literals = generator.get("literals").and_then(Value::as_array).into_iter().flatten();
            let pairs = literals.filter_map(|literal| literal.as_str()?.split_once('='));
            self.data.extend(pairs.map(|(key, value)| (key.to_owned(), json!(value.trim_matches(['\'', '"'])))));
        }
        for patch in entries("patchesStrategicMerge").filter_map(Value::as_str) {
            for document in documents(patch, place.budget) {
                self.manifest(document);
            }
        }
        for entry in entries("patches").chain(entries("patchesJson6902")) {
            let is_aimed = entry.pointer("/target/name").and_then(Value::as_str) == Some(ARGOCD_CM);
            let file = || {
                let path = tree::join(place.file.rsplit_once('/').map_or("", |(home, _)| home), &text(entry, "path")?);
                place.tree.read_text(&path.ok()?).ok().map(str::to_owned)
            };
            let Some(patch) = text(entry, "patch").or_else(file) else { continue };
            for document in documents(&patch, place.budget) {
                match document {
                    Value::Array(operations) if is_aimed => self.data.extend(operations.iter().filter_map(operation)),
                    Value::Object(_) if is_aimed => {
                        let data = document.get("data").and_then(Value::as_object).cloned();
                        self.data.extend(data.unwrap_or_default());
                    }
                    document => self.manifest(document),
                }
            }
        }
    }
}

/// The values that an entry of `helmCharts` gives its chart (kubernetes-sigs/kustomize
/// `api/internal/builtins/HelmChartInflationGenerator.go`): of the same key in a file and on the spot that on the spot
/// counts, unless `valuesMerge` says `merge`.
fn chart_values(chart: &Value, place: &Place<'_>) -> Map<String, Value> {
    let text = |field: &str| chart.get(field).and_then(Value::as_str);
    let home = place.file.rsplit_once('/').map_or("", |(home, _)| home);
    let read = |path: &str| {
        let path = tree::join(home, path).ok()?;
        let budget = place.budget.unused();
        yaml::parse_with(place.tree.read_text(&path).ok()?, yaml::Options::lenient(), &budget).ok()
    };
    let more = chart.get("additionalValuesFiles").and_then(Value::as_array).into_iter().flatten();
    let files = text("valuesFile").into_iter().chain(more.filter_map(Value::as_str)).filter_map(read);
    let inline = chart.get("valuesInline").cloned();
    let (first, rest): (Vec<Value>, Vec<Value>) = match text("valuesMerge") {
        Some("replace") if inline.is_some() => (inline.into_iter().collect(), Vec::new()),
        Some("merge") => (inline.into_iter().collect(), files.collect()),
        _ => (files.collect(), inline.into_iter().collect()),
    };
    let mut all = Map::new();
    for values in first.into_iter().chain(rest) {
        if let Value::Object(values) = values {
            merge(&mut all, values);
        }
    }
    all
}

/// Puts `more` over `values`, map by map.
fn merge(values: &mut Map<String, Value>, more: Map<String, Value>) {
    for (key, value) in more {
        match (values.get_mut(&key), value) {
            (Some(Value::Object(known)), Value::Object(value)) => merge(known, value),
            (_, value) => {
                values.insert(key, value);
            }
        }
    }
}

/// The key and the value that an operation of a JSON patch sets below `data`.
fn operation(operation: &Value) -> Option<(String, Value)> {
    let text = |field: &str| operation.get(field)?.as_str();
    let key = text("path")?.strip_prefix("/data/").filter(|_| matches!(text("op"), Some("add" | "replace")))?;
    Some((key.replace("~1", "/").replace("~0", "~"), operation.get("value")?.clone()))
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
