//! Chooses real applications of the shared corpus, rendered by our own renderer and made fit for one cluster: only
//! kinds that it serves, without hooks, each in a namespace of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use kube::Client;
use serde_json::{Value, json};
use slipway::render::{ClusterFacts, Context, render_folder};
use slipway_gitops::{ApiResources, GroupVersionKind, annotations};
use slipway_manifest::{Object, Tree, yaml};
use slipway_tests::files;

use crate::random::Random;

/// What may be in an application: of kinds that change a whole cluster, none.
const KINDS: [(&str, &str, &str); 19] = [
    ("", "v1", "ConfigMap"),
    ("", "v1", "Secret"),
    ("", "v1", "Service"),
    ("", "v1", "ServiceAccount"),
    ("", "v1", "PersistentVolumeClaim"),
    ("", "v1", "ResourceQuota"),
    ("apps", "v1", "Deployment"),
    ("apps", "v1", "StatefulSet"),
    ("apps", "v1", "DaemonSet"),
    ("batch", "v1", "Job"),
    ("batch", "v1", "CronJob"),
    ("networking.k8s.io", "v1", "Ingress"),
    ("networking.k8s.io", "v1", "NetworkPolicy"),
    ("policy", "v1", "PodDisruptionBudget"),
    ("autoscaling", "v2", "HorizontalPodAutoscaler"),
    ("rbac.authorization.k8s.io", "v1", "Role"),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding"),
];
/// Objects of one application.
const OBJECTS: std::ops::RangeInclusive<usize> = 2..=15;
/// What is tried at most.
const MAX_TRIES: usize = 500;
/// Services in all: the control plane has 254 addresses, and others need some.
const MAX_SERVICES: usize = 120;

/// An application, as Git has it.
pub(super) struct App {
    /// Its name and its namespace.
    pub(super) name: String,
    /// Where it comes from.
    pub(super) source: String,
    /// Its objects, without a namespace.
    pub(super) objects: Vec<Object>,
}

impl App {
    /// Its manifests, as one file.
    pub(super) fn text(&self) -> String {
        let documents: Vec<String> = self.objects.iter().map(|object| object.to_value().to_string()).collect();
        documents.join("\n---\n")
    }
}

/// A folder to render: `path` below `root`, of which `part` is read.
struct Candidate {
    root: PathBuf,
    part: String,
    path: String,
}

pub(super) fn kinds() -> BTreeSet<GroupVersionKind> {
    let gvk = |(group, version, kind): (&str, &str, &str)| GroupVersionKind {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
    };
    KINDS.into_iter().map(gvk).collect()
}

/// Chooses `count` applications, as far as there are so many: charts, kustomizations and plain folders in turn.
pub(super) async fn choose(
    shared: &Path,
    client: &Client,
    served: &ApiResources,
    random: &mut Random,
    count: usize,
) -> Vec<App> {
    let corpus = shared.join("corpus");
    let mut sources = [charts(&corpus), kustomizations(&corpus), folders(&corpus)];
    for candidates in &mut sources {
        for index in (1..candidates.len()).rev() {
            candidates.swap(index, random.below(index + 1));
        }
    }
    let (mut apps, mut trees, mut seen, mut services) = (Vec::new(), BTreeMap::new(), BTreeSet::new(), 0);
    for turn in 0..MAX_TRIES {
        if apps.len() == count || sources.iter().all(Vec::is_empty) {
            break;
        }
        let Some(candidate) = sources[turn % 3].pop() else { continue };
        let started = Instant::now();
        let name = format!("app-{:02}", apps.len());
        let objects = render(&candidate, &mut trees);
        let objects = fit(objects, &name, client, served).await;
        let ids: BTreeSet<String> = objects.iter().map(|object| object.id().to_string().replace(&name, "")).collect();
        let of_kind = |kind: &str| objects.iter().filter(|object| object.kind() == kind).count();
        if !OBJECTS.contains(&objects.len()) || services + of_kind("Service") > MAX_SERVICES || !seen.insert(ids) {
            continue;
        }
        services += of_kind("Service");
        println!("{name}: {} objects of {} in {:.1?}", objects.len(), candidate.path, started.elapsed());
        apps.push(App { name, source: candidate.path, objects });
    }
    apps
}

/// An application of ours with what the corpus has too little of.
pub(super) fn own(number: usize) -> App {
    let name = format!("own-{number}");
    let text = include_str!("own.yaml").replace("NAME", &name);
    let documents = yaml::parse_all(&text).unwrap().into_iter().filter(Value::is_object);
    let objects = documents.map(|value| Object::from_value(value).unwrap()).collect();
    App { name, source: "own.yaml".to_owned(), objects }
}

fn charts(corpus: &Path) -> Vec<Candidate> {
    let folders: BTreeSet<String> = names(&corpus.join("helm/cases.json"), "chart");
    let candidate = |chart: String| {
        let root = corpus.join("helm/charts").join(&chart);
        Candidate { root, part: String::new(), path: chart }
    };
    folders.into_iter().map(candidate).filter(|candidate| !makes_keys(&candidate.root.join("templates"))).collect()
}

/// Whether templates make private keys, which takes many seconds.
fn makes_keys(templates: &Path) -> bool {
    let entries = std::fs::read_dir(templates).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_file()).any(|path| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        ["genPrivateKey", "genCA", "genSelfSignedCert"].iter().any(|function| text.contains(function))
    })
}

fn kustomizations(corpus: &Path) -> Vec<Candidate> {
    let root = corpus.join("kustomize/trees");
    let candidate = |path: String| {
        let part = path.split('/').next().unwrap_or_default().to_owned();
        Candidate { root: root.clone(), part, path }
    };
    names(&corpus.join("kustomize/cases.json"), "dir").into_iter().map(candidate).collect()
}

/// What the cases that can be rendered have as `key`.
fn names(cases: &Path, key: &str) -> BTreeSet<String> {
    let Ok(text) = std::fs::read(cases) else { return BTreeSet::new() };
    let cases: Vec<Value> = serde_json::from_slice(&text).unwrap();
    let good = cases.iter().filter(|case| case["golden"].is_string());
    good.filter_map(|case| case[key].as_str().map(str::to_owned)).collect()
}

/// The folders of real repositories that hold manifests and nothing else.
fn folders(corpus: &Path) -> Vec<Candidate> {
    let root = corpus.join("gitops/trees");
    let mut found = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        let entries: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        let is_plain = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
            path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
                && !name.contains("kustomization")
                && !name.starts_with("chart.")
                && !name.contains("values")
        };
        if entries.len() >= *OBJECTS.start() && entries.iter().all(is_plain) {
            let path = folder.strip_prefix(&root).unwrap().to_str().expect("a path in UTF-8").to_owned();
            found.push(Candidate { root: root.clone(), part: path.clone(), path });
        }
        open.extend(entries.into_iter().filter(|path| path.is_dir()));
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// What a folder renders to; nothing, where it can't be rendered.
fn render(candidate: &Candidate, trees: &mut BTreeMap<String, Tree>) -> Vec<Object> {
    let facts = ClusterFacts { kube_version: Some("1.35.0".to_owned()), ..ClusterFacts::default() };
    let context = Context { facts, ..Context::default() };
    let is_chart = candidate.part.is_empty();
    let key = if is_chart { &candidate.path } else { &candidate.part };
    let tree = trees.entry(key.clone()).or_insert_with(|| files::tree(&candidate.root, &candidate.part));
    let path = if is_chart { "." } else { &candidate.path };
    let rendered = render_folder(tree, path, &context).map(|rendered| rendered.objects);
    if is_chart {
        trees.remove(key);
    }
    rendered.unwrap_or_default()
}

/// Those of `objects` that this cluster takes, in the shape that lets many applications stand beside each other.
async fn fit(objects: Vec<Object>, app: &str, client: &Client, served: &ApiResources) -> Vec<Object> {
    let mut fitting: BTreeMap<String, Object> = BTreeMap::new();
    for mut object in objects {
        let Ok(resource) = served.of(&object) else { continue };
        // Its controller deletes a token whose account is elsewhere.
        let is_token = object.get("type").is_some_and(|kind| kind == "kubernetes.io/service-account-token");
        if annotations::is_hook(&object) || is_token || object.name().is_empty() || fitting.len() > *OBJECTS.end() {
            continue;
        }
        object.metadata_mut().shift_remove("namespace");
        if !resource.namespaced {
            let name = format!("{app}-{}", object.name());
            object.metadata_mut().insert("name".to_owned(), json!(name));
        }
        if let Some(Value::Object(given)) = object.metadata_mut().get_mut("annotations") {
            given.retain(|key, _| !key.starts_with("argocd.argoproj.io/") && !key.starts_with("helm.sh/"));
        }
        // Nothing waits for what no controller of this cluster makes well.
        object.set_annotation("argocd.argoproj.io/ignore-healthcheck", "true");
        let mut value = object.to_value();
        let ports = value.pointer_mut("/spec/ports").and_then(Value::as_array_mut);
        for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
            port.shift_remove("nodePort");
        }
        // A Job that deletes itself is missing afterwards.
        if let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) {
            spec.shift_remove("ttlSecondsAfterFinished");
        }
        let url = format!("{}?dryRun=All&fieldValidation=Strict", resource.path("default").unwrap());
        let request = http::Request::post(url).body(serde_json::to_vec(&value).unwrap()).unwrap();
        if client.request_text(request).await.is_ok() {
            fitting.insert(object.id().to_string(), Object::from_value(value).unwrap());
        }
    }
    fitting.into_values().collect()
}
