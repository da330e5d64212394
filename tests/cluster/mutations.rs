//! Changes real applications behind Git's back, and holds what `drift-check` tells against what was done.
//!
//! 60 applications of the shared corpus, and some of ours with the kinds that it lacks, are deployed by the worker onto
//! a control plane of the test's own, with its controllers. Then seeded mutations change them: of the kinds in [`told`]
//! (which are drift) and in [`benign`] (which are none), each by one of several managers and kinds of requests. One
//! check has to tell the former, each with object, field, manager and time, and none of the latter; a second one is
//! silent; once all is undone, that is told once.
//!
//! `SLIPWAY_MUTATIONS` is the number of mutations, `SLIPWAY_MUTATIONS_SEED` what they are drawn from. By default there
//! are few, each in an object of its own; 500, by night, meet in objects, and what is refused there depends on timing.

#![allow(clippy::print_stdout, reason = "how far it is, and what came of it")]

mod applications;
mod benign;
mod fields;
mod hands;
mod judge;
mod plant;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use kube::Client;
use serde_json::{Value, json};
use slipway::aws::Aws;
use slipway::config::{GithubWebhook, Settings};
use slipway::deploy::WebhookHandler;
use slipway::drift_check::{DriftChecker, DriftReport};
use slipway_cluster::Cluster;
use slipway_cluster::objects::ObjectRef;
use slipway_cluster::state;
use slipway_gitops::GroupVersionKind;
use slipway_gitops::managed_fields::body;
use slipway_gitops::status::SyncStatus;
use slipway_manifest::Object;
use slipway_sandbox::forge::{Change, Delivery};
use slipway_sandbox::{Options, Sandbox, aws};
use slipway_tests::{ControlPlane, tools};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::random::Random;
use applications::App;
use judge::Verdict;
use plant::{Planter, Target};

/// Applications of the corpus.
const APPLICATIONS: usize = 60;
/// Applications of ours.
const OWN: usize = 3;
const MUTATIONS: usize = 150;
/// So many of them find a place where there is no corpus.
const WITHOUT_CORPUS: usize = 100;
/// No step may take longer.
const STEP: Duration = Duration::from_mins(2);

/// The functions on a real cluster, with a forge, a queue and Slack that are the sandbox's.
struct World {
    cluster: Cluster,
    client: Client,
    sandbox: Sandbox,
    webhooks: UnboundedReceiver<Delivery>,
    worker: WebhookHandler,
    checker: DriftChecker,
    plane: ControlPlane,
    _folder: tempfile::TempDir,
}

impl World {
    async fn start() -> Option<Self> {
        let plane = ControlPlane::start(&slipway_tests::Options::default())?;
        let folder = tempfile::tempdir().unwrap();
        let (sandbox, mut webhooks) = Sandbox::start(Options::new(folder.path())).await.unwrap();
        // Of the sandbox's own application.
        webhooks.recv().await.unwrap();
        let mut environment = sandbox.environment();
        environment.insert("SLIPWAY_KUBECONFIG".to_owned(), plane.kubeconfig.display().to_string());
        environment.insert("SLIPWAY_ROOT".to_owned(), "https://github.com/acme/gitops//apps?ref=main".to_owned());
        let get = |name: &str| environment.get(name).cloned();
        let aws = Aws::at(&sandbox.aws.url(), aws::REGION).await;
        Some(Self {
            cluster: Cluster::from_kubeconfig(&[&plane.kubeconfig], None, None).unwrap(),
            client: plane.client().await,
            worker: WebhookHandler::new(GithubWebhook::load(get).unwrap(), aws.clone()),
            checker: DriftChecker::new(Settings::load(get).unwrap(), aws),
            sandbox,
            webhooks,
            plane,
            _folder: folder,
        })
    }

    /// Deploys all of `apps` by one push; gives those that are deployed.
    async fn deploy(&mut self, apps: Vec<App>) -> Vec<App> {
        let mut changes = vec![Change::write("apps/argocd-cm.yaml", SETTINGS)];
        for app in &apps {
            changes.push(Change::write(format!("apps/{}.yaml", app.name), application(&app.name)));
            changes.push(Change::write(format!("src/{}/all.yaml", app.name), app.text()));
        }
        self.sandbox.forge.push(&self.sandbox.repository, "main", "Deploy", &changes).unwrap();
        let webhook = self.webhooks.recv().await.unwrap().to_function_url_event(false, jiff::Timestamp::now());
        self.work(webhook).await;
        let message = self.sandbox.aws.next_event().expect("a message");
        self.work(message).await;
        let mut synced = BTreeMap::new();
        for key in state::list(&self.cluster).await.unwrap() {
            let state = state::read(&self.cluster, &key).await.unwrap().unwrap().state;
            let is_done = state.operation.is_none() && state.status.sync.status == SyncStatus::Synced;
            synced.insert(key.name, is_done.then_some(()).ok_or(state.status));
        }
        let mut deployed = Vec::new();
        for app in apps {
            match synced.get(&app.name) {
                Some(Ok(())) => deployed.push(app),
                other => println!("{} of {} is not deployed: {other:?}", app.name, app.source),
            }
        }
        deployed
    }

    async fn work(&self, event: Value) {
        let until = tokio::time::Instant::now() + STEP;
        self.worker.handle(event, until, "sync").await.unwrap_or_else(|failure| panic!("{}", failure.message));
    }

    async fn check(&self) -> BTreeMap<String, DriftReport> {
        let until = tokio::time::Instant::now() + STEP;
        self.checker.run(None, until, "check").await.unwrap_or_else(|failure| panic!("{}", failure.message))
    }

    /// What can be changed: the objects of `apps`.
    async fn targets(&self, apps: &[App]) -> Vec<Target> {
        let mut targets = Vec::new();
        let mut uids = BTreeMap::new();
        for app in apps {
            let url = format!("/api/v1/namespaces/{}", app.name);
            let namespace = hands::send(&self.client, http::Method::GET, &url, "", &Value::Null).await.unwrap();
            uids.insert(app.name.clone(), namespace.object["metadata"]["uid"].as_str().unwrap().to_owned());
        }
        let wanted: BTreeSet<GroupVersionKind> =
            apps.iter().flat_map(|app| &app.objects).map(GroupVersionKind::of).collect();
        let kinds = self.cluster.resolve(&wanted, &BTreeSet::new()).await;
        for app in apps {
            for object in app.objects.iter().filter(|object| object.kind() != "CustomResourceDefinition") {
                let resource = kinds.of(object).unwrap();
                let mut object: Object = body::of(object);
                if resource.namespaced {
                    object.set_namespace(&app.name);
                }
                let place = ObjectRef::of(resource, &object);
                let Some(before) = hands::read(&self.client, &place).await else { panic!("{} is gone", object.id()) };
                let namespace_uid = uids[&app.name].clone();
                targets.push(Target::new(app.name.clone(), namespace_uid, place, object.into_value(), before));
            }
        }
        targets
    }
}

const SETTINGS: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: argocd-cm}
data:
  resource.customizations.knownTypeFields.own-0.example.com_Gadget: &types |
    - {field: spec.every, type: meta/v1/Duration}
    - {field: spec.memory, type: core/Quantity}
  resource.customizations.knownTypeFields.own-1.example.com_Gadget: *types
  resource.customizations.knownTypeFields.own-2.example.com_Gadget: *types
";

fn application(name: &str) -> String {
    let path = format!("src/{name}");
    let spec = json!({
        "project": "default",
        "source": {"repoURL": "https://github.com/acme/gitops", "path": path, "targetRevision": "main"},
        "destination": {"server": "https://kubernetes.default.svc", "namespace": name},
        "ignoreDifferences": [{"kind": "ConfigMap", "jsonPointers": ["/data/ignored"]}],
        "syncPolicy": {"automated": {}, "syncOptions": ["CreateNamespace=true"]},
    });
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": name, "namespace": "argocd"}, "spec": spec})
    .to_string()
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

/// The folder with the corpus, where there is one.
fn shared() -> Option<PathBuf> {
    let folder = tools::workspace().join(std::env::var("SLIPWAY_SHARED").unwrap_or_else(|_| "../shared".to_owned()));
    folder.join("corpus").is_dir().then_some(folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_check_tells_mutations_and_nothing_else() {
    let started = Instant::now();
    let Some(mut world) = Box::pin(World::start()).await else { return };
    let mut random = Random::new(u64::try_from(number("SLIPWAY_MUTATIONS_SEED", 1)).unwrap());
    let mut apps = Vec::new();
    if let Some(shared) = shared() {
        let served = world.cluster.resolve(&applications::kinds(), &BTreeSet::new()).await;
        apps = applications::choose(&shared, &world.client, &served, &mut random, APPLICATIONS).await;
        assert_eq!(apps.len(), APPLICATIONS, "the corpus has too few applications");
    }
    apps.extend((0..OWN).map(applications::own));
    println!("chosen in {:.1?}", started.elapsed());

    let (count, deploying) = (apps.len(), Instant::now());
    let apps = world.deploy(apps).await;
    println!("{} of {count} deployed in {:.1?}", apps.len(), deploying.elapsed());
    assert_eq!(apps.len(), count, "all are deployed");
    let mut faults = judge::silent("before anything is changed", &world.check().await);

    let planting = Instant::now();
    let targets = world.targets(&apps).await;
    println!("{} objects", targets.len());
    let mut planter = Planter::new(world.client.clone(), world.plane.kubeconfig.clone(), targets, random);
    let wanted = number("SLIPWAY_MUTATIONS", MUTATIONS);
    planter.plant(wanted).await;
    println!("{} in {:.1?}", planter.summary(), planting.elapsed());
    let enough = if count > OWN { wanted } else { wanted.min(WITHOUT_CORPUS) };
    assert!(planter.planted.len() >= enough, "{} of {wanted} mutations", planter.planted.len());

    let checking = Instant::now();
    let first = world.check().await;
    println!("checked in {:.1?}", checking.elapsed());
    let verdict = Verdict::of(&planter.planted, &first);
    println!("{verdict}");
    faults.extend(verdict.faults());
    let messages = world.sandbox.slack.messages().len();
    faults.extend(judge::silent("the second time", &world.check().await));
    if world.sandbox.slack.messages().len() != messages {
        faults.push("the second check sends messages".to_owned());
    }

    let undoing = Instant::now();
    planter.undo().await;
    println!("undone in {:.1?}", undoing.elapsed());
    faults.extend(judge::resolved(&first, &world.check().await));
    faults.extend(judge::silent("after all is told", &world.check().await));
    println!("{:.1?} in all", started.elapsed());
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}
