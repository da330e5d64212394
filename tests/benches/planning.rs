//! What a push to a repository of many Applications costs before the first of them is rendered: from the commit's files
//! in memory to the list of what is to be done, the tree of Applications included. A push that touches one is planned,
//! after everything was deployed from the commit before.
//!
//! `cargo bench -p slipway-tests --bench planning [-- APPLICATIONS [ROUNDS]]`

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark may stop by panicking"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use std::{env, process};

use secrecy::SecretString;
use slipway::aws::Aws;

use slipway::deploy::inputs;
use slipway::memory::Memory;
use slipway::root;
use slipway::root::places::RootPlaces;
use slipway::secret::{Secrets, StateKeys};
use slipway::source::Checkouts;
use slipway::source::github::{GitHub, GitHubSettings};
use slipway_cluster::state::{AppKey, Deployed};
use slipway_manifest::Tree;

/// As in the functions and the command line.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const REPOSITORY: &str = "https://github.com/acme/gitops";

/// A quarter each of plain manifests, of charts with values of their own, of overlays of their own and of bases in
/// common.
fn files(applications: usize, changed: Option<usize>) -> Tree {
    let mut tree = Tree::default();
    let mut add = |path: String, text: String| tree.insert(&path, text.into_bytes()).unwrap();
    for at in 0..20 {
        add(format!("charts/c{at}/Chart.yaml"), format!("apiVersion: v2\nname: c{at}\nversion: 1.0.0\n"));
        add(format!("charts/c{at}/values.yaml"), "replicas: 1\n".to_owned());
        add(format!("charts/c{at}/templates/deployment.yaml"), manifest("Deployment", at, "{{ .Values.replicas }}"));
        add(format!("bases/b{at}/kustomization.yaml"), "resources: [deployment.yaml]\n".to_owned());
        add(format!("bases/b{at}/deployment.yaml"), manifest("Deployment", at, "1"));
    }
    for at in 0..applications {
        let value = if changed == Some(at) { "2" } else { "1" };
        let (base, kind) = (at % 20, at % 4);
        let (path, helm) = match kind {
            0 => (format!("plain/p{at}"), String::new()),
            1 => (format!("charts/c{base}"), format!("    helm: {{valueFiles: [../../values/v{at}.yaml]}}\n")),
            2 => (format!("own/o{at}/prod"), String::new()),
            _ => (format!("common/o{at}"), String::new()),
        };
        add(
            format!("applications/a{at}.yaml"),
            format!(
                "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: a{at}, namespace: argocd}}\n\
                 spec:\n  project: default\n  source:\n    repoURL: {REPOSITORY}\n    path: {path}\n    \
                 targetRevision: main\n{helm}  destination: {{name: in-cluster, namespace: n{at}}}\n  syncPolicy: \
                 {{automated: {{prune: true}}}}\n"
            ),
        );
        match kind {
            0 => {
                add(format!("plain/p{at}/deployment.yaml"), manifest("Deployment", at, value));
                add(format!("plain/p{at}/service.yaml"), manifest("Service", at, "1"));
            }
            1 => add(format!("values/v{at}.yaml"), format!("replicas: {value}\n")),
            2 => {
                add(format!("own/o{at}/prod/kustomization.yaml"), "resources: [../base]\n".to_owned());
                add(format!("own/o{at}/base/kustomization.yaml"), "resources: [deployment.yaml]\n".to_owned());
                add(format!("own/o{at}/base/deployment.yaml"), manifest("Deployment", at, value));
            }
            _ => add(
                format!("common/o{at}/kustomization.yaml"),
                format!("resources:\n- ../../bases/b{base}\nreplicas: [{{name: a, count: {value}}}]\n"),
            ),
        }
    }
    tree
}

fn manifest(kind: &str, at: usize, value: &str) -> String {
    let labels = "labels: {app.kubernetes.io/name: a, app.kubernetes.io/part-of: shop}";
    format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: a{at}, {labels}}}\nspec: {{replicas: {value}}}\n")
}

#[tokio::main]
async fn main() {
    let mut numbers = env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let (applications, rounds) = (numbers.next().unwrap_or(5_000_usize), numbers.next().unwrap_or(7_usize));
    let secrets = Secrets::new(Aws::at("http://127.0.0.1:9", "eu-central-1").await);
    let settings =
        GitHubSettings { api: "http://127.0.0.1:9".to_owned(), secret: "none".to_owned(), memory: Memory::default() };
    let github = GitHub::new(settings, secrets);
    let of = |tree| Checkouts::of_folder(github.clone(), "acme/gitops".parse().unwrap(), tree).unwrap();
    let places = RootPlaces::parse(&format!("{REPOSITORY}//applications?ref=main")).unwrap();
    let keys = StateKeys { current: SecretString::from("key"), previous: None };
    let by = (&places.location, &keys);

    let first = of(files(applications, None));
    let mut deployed = BTreeMap::new();
    let members =
        root::load(&places, &first, None).await.unwrap_or_else(|failure| panic!("{}", failure.message)).members;
    for member in &members {
        let heads = member.tracked.resolve(&first).await.unwrap();
        let inputs_digest = inputs::digests(by, member, &first, &heads).await.unwrap().remove(0);
        let (namespace, name) = member.identity();
        let key = AppKey { root: places.location.to_string(), namespace, name };
        deployed.insert(key, Deployed { inputs_digest, revisions: heads.as_slice().iter().cloned().collect() });
    }
    let mut times: Vec<[Duration; 2]> = Vec::new();
    for round in 0..rounds {
        let pushed = of(files(applications, Some(round)));
        let start = Instant::now();
        let members =
            root::load(&places, &pushed, None).await.unwrap_or_else(|failure| panic!("{}", failure.message)).members;
        let loaded = start.elapsed();
        let unchanged = inputs::unchanged(by, &members, &deployed, "pushed", &pushed).await;
        times.push([loaded, start.elapsed()]);
        let left: Vec<String> =
            members.iter().map(root::ResolvedApplication::instance).filter(|name| !unchanged.contains(name)).collect();
        if left != [format!("a{round}")] || members.len() != applications {
            println!("{} of {} Applications are to be done, and not a{round} alone", left.len(), members.len());
            process::exit(1);
        }
    }
    times.sort_by_key(|[_, all]| *all);
    let [loaded, all] = times[rounds / 2];
    println!("{applications} Applications: planned in {all:.0?}, of which the tree of Applications took {loaded:.0?}");
}
