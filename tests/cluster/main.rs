//! `slipway-cluster` on a real Kubernetes control plane.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop by panicking"
)]

mod apply;
mod connect;
mod discover;
mod drift;
mod examples;
mod explain;
mod functions;
mod journal;
mod killed;
mod kubeconfigs;
mod late;
mod lifecycle;
mod lock;
mod mutations;
mod names;
mod options;
mod ownership;
mod prune;
mod random;
mod refused;
mod replay;
mod replay_flow;
mod secrets;
mod situations;
mod sources;
mod state;
mod sync;
mod takeover;
mod three_way;
mod token;
mod tree;
mod tree_killed;
mod ttl;
mod two_clusters;
mod wait;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use slipway_cluster::apply::{Applied, Options};
use slipway_cluster::state::AppKey;
use slipway_cluster::{Auth, Cluster, Server};
use slipway_gitops::identity::AppIdentity;
use slipway_gitops::{ApiResource, ApiResources, GroupVersionKind, plan};
use slipway_manifest::Object;
use slipway_tests::ControlPlane;

/// A namespace of its own on the shared control plane, and all that an application needs there.
struct Place {
    plane: &'static ControlPlane,
    cluster: Cluster,
    kinds: ApiResources,
    key: AppKey,
    owner: AppIdentity,
}

impl Place {
    /// `None` where there is no control plane.
    async fn new(test: &str) -> Option<Self> {
        Some(Self::on(ControlPlane::shared()?, test).await)
    }

    /// On a control plane of the test's own.
    async fn on(plane: &'static ControlPlane, test: &str) -> Self {
        let namespace = plane.namespace(test).await;
        let server = Server {
            url: plane.endpoint.clone(),
            ca: Some(plane.ca.clone()),
            auth: Auth::Token(plane.token.clone().into()),
            is_sandbox: false,
        };
        let keys = |_| Box::pin(async { Ok(vec!["key".into()]) }) as _;
        let cluster = Cluster::connect(server).unwrap().signing(slipway_cluster::state::Signer::new(keys));
        let kinds = cluster.resolve(&gvks(), &BTreeSet::new()).await;
        let key = AppKey { root: "test".to_owned(), namespace: "argocd".to_owned(), name: namespace.clone() };
        let owner = AppIdentity { app: namespace.clone(), applyset: key.applyset_id(), namespace };
        Self { plane, cluster, kinds, key, owner }
    }

    fn namespace(&self) -> &str {
        &self.owner.namespace
    }

    /// The objects as a sync would apply them.
    fn prepare(&self, objects: impl IntoIterator<Item = Value>) -> Vec<Object> {
        let objects = objects.into_iter().map(|value| Object::from_value(value).unwrap()).collect();
        let desired = plan::prepare(objects, &self.kinds, &self.owner);
        assert!(desired.unresolved.is_empty(), "{:?}", desired.unresolved);
        desired.objects
    }

    fn one(&self, object: Value) -> Object {
        self.prepare([object]).remove(0)
    }

    fn resource(&self, object: &Object) -> &Arc<ApiResource> {
        self.kinds.of(object).unwrap()
    }

    fn at(&self, object: &Object) -> slipway_cluster::objects::ObjectRef {
        slipway_cluster::objects::ObjectRef::of(self.resource(object), object)
    }

    async fn live(&self, object: &Object) -> Option<Object> {
        slipway_cluster::objects::get(&self.cluster, &self.at(object)).await.unwrap()
    }

    /// Waits until the API server serves a kind that was just defined.
    async fn served(&self, group: &str, version: &str, kind: &str) {
        let gvk = GroupVersionKind { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() };
        for _ in 0..200 {
            self.cluster.invalidate_discovery();
            if self.cluster.resolve(&[gvk.clone()].into(), &BTreeSet::new()).await.get(&gvk).is_ok() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("{gvk} is not served");
    }

    async fn apply(&self, object: &Object) -> Applied {
        let live = self.live(object).await;
        slipway_cluster::apply::apply(&self.cluster, self.resource(object), object, live.as_ref(), &Options::default())
            .await
            .unwrap()
    }

    async fn dry_run(&self, object: &Object) -> Applied {
        let live = self.live(object).await;
        let options = Options { dry_run: true, ..Options::default() };
        slipway_cluster::apply::apply(&self.cluster, self.resource(object), object, live.as_ref(), &options)
            .await
            .unwrap()
    }
}

/// Does `work` for each of `lanes` at the same time, each on a thread and a runtime of its own.
fn side_by_side<L: Send, T: Send>(lanes: impl IntoIterator<Item = L>, work: impl AsyncFn(L) -> T + Sync) -> Vec<T> {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    std::thread::scope(|scope| {
        let start = |lane| scope.spawn(|| runtime().block_on(work(lane)));
        let threads: Vec<_> = lanes.into_iter().map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn gvks() -> BTreeSet<GroupVersionKind> {
    let kinds = [
        ("", "v1", "ConfigMap"),
        ("", "v1", "Secret"),
        ("", "v1", "Service"),
        ("", "v1", "Namespace"),
        ("", "v1", "Pod"),
        ("", "v1", "PersistentVolumeClaim"),
        ("policy", "v1", "PodDisruptionBudget"),
        ("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
        ("apps", "v1", "Deployment"),
        ("batch", "v1", "Job"),
        ("networking.k8s.io", "v1", "Ingress"),
    ];
    let gvk = |(group, version, kind): (&str, &str, &str)| GroupVersionKind {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
    };
    kinds.into_iter().map(gvk).collect()
}

/// Somebody else's hand: applies `object` with the real kubectl in the namespace of `place`.
fn kubectl_apply(place: &Place, object: &Value) {
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    std::fs::write(file.path(), object.to_string()).unwrap();
    place.plane.kubectl(&["-n", place.namespace(), "apply", "-f", file.path().to_str().unwrap()]).expect("kubectl");
}

fn config_map(name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

fn deployment(name: &str, image: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": 1, "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [
            {"name": "web", "image": image, "ports": [{"containerPort": 80}]}]}}}})
}
