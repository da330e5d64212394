//! A Kubernetes API in process: what an API server of version 1.35 answers for the kinds that are deployed, with
//! server-side apply, managedFields, defaults, watches and Tables as the real one has them.
//!
//! ```text
//! request ─► api (paths, reads) ─► write (create, update, patch, apply, delete) ─► store ─► watches
//!                                    │ canonical, defaults, managed, prepare, validate   ▲
//!                                    └─ kinds.txt: every type's fields and merge rules   controllers (every tick)
//! ```

mod api;
mod canonical;
mod controllers;
mod defaults;
mod delete;
mod discovery;
mod fieldset;
mod garbage;
mod managed;
mod patch;
mod prepare;
mod quantity;
mod schema;
mod selector;
mod status;
mod store;
mod table;
mod typed;
mod validate;
mod write;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::body::Bytes;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::faults::Failures;
use crate::http::{Body, Exchange, Request, Response, Server};
use crate::{Clock, lock, system_clock};

use controllers::Controllers;
use store::Store;

/// How often the controllers look.
const TICK: Duration = Duration::from_millis(20);

/// How the cluster behaves.
#[derive(Clone)]
pub struct Options {
    /// Port on 127.0.0.1; 0 is any free one.
    pub port: u16,
    /// The time.
    pub clock: Clock,
    /// Pods become ready this long after they were made, by the clock.
    pub ready_after: SignedDuration,
    /// Whether controllers run; without them nothing happens to objects but what requests do.
    pub controllers: bool,
    /// Bearer token that requests must carry; `None`: anyone on loopback may do anything (kubectl sends no token over
    /// plain HTTP).
    pub token: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            clock: system_clock(),
            ready_after: SignedDuration::from_millis(500),
            controllers: true,
            token: None,
        }
    }
}

/// A running cluster; it stops when dropped.
pub struct Cluster {
    store: Arc<Mutex<Store>>,
    controllers: Arc<Mutex<Controllers>>,
    failures: Arc<Failures>,
    clock: Clock,
    server: Server,
    ticks: Option<JoinHandle<()>>,
}

impl Cluster {
    /// Starts a cluster with the namespaces that every cluster has, inside the current Tokio runtime. Fails when the
    /// port can't be bound.
    pub async fn start(options: Options) -> io::Result<Self> {
        let store = Arc::new(Mutex::new(Store::default()));
        let controllers = Arc::new(Mutex::new(Controllers::new(options.ready_after)));
        let failures = Arc::new(Failures::default());
        let handler = {
            let (store, clock, token, failures) =
                (Arc::clone(&store), Arc::clone(&options.clock), options.token, Arc::clone(&failures));
            move |request: Request| {
                let expected = token.as_ref().map(|token| format!("Bearer {token}"));
                if expected.is_some_and(|expected| request.header("authorization") != Some(&expected)) {
                    return unauthorized();
                }
                let address = request.header("host").unwrap_or_default().to_owned();
                failures.take(&request).unwrap_or_else(|| api::answer(&store, &clock, &address, &request))
            }
        };
        let server = Server::start(options.port, Arc::new(handler)).await?;
        let ticks = options.controllers.then(|| {
            let (store, controllers, clock) =
                (Arc::clone(&store), Arc::clone(&controllers), Arc::clone(&options.clock));
            tokio::spawn(async move {
                let mut interval = tokio::time::interval(TICK);
                // On a busy machine a tick takes longer than that: catching up would leave no time for anything else.
                interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                loop {
                    interval.tick().await;
                    lock(&controllers).tick(&mut lock(&store), clock());
                }
            })
        });
        let cluster = Self { store, controllers, failures, clock: options.clock, server, ticks };
        for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            cluster.call(Method::POST, "/api/v1/namespaces", "application/json", &namespace);
        }
        Ok(cluster)
    }

    /// The address of the API server.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// A kubeconfig for it, as YAML.
    pub fn kubeconfig(&self) -> String {
        let url = self.url();
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: sandbox\nclusters:\n- name: sandbox\n  cluster:\n    \
             server: {url}\ncontexts:\n- name: sandbox\n  context:\n    cluster: sandbox\n    user: \
             sandbox\nusers:\n- name: sandbox\n  user: {{}}\n"
        )
    }

    /// Sends one request without the network, as kubectl would: status and body. `path` may carry a query; an empty
    /// body is sent for null.
    pub fn call(&self, method: Method, path: &str, content_type: &str, body: &Value) -> (StatusCode, Value) {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(content_type) {
            headers.insert(http::header::CONTENT_TYPE, value);
        }
        headers.insert(http::header::USER_AGENT, HeaderValue::from_static("kubectl/v1.35.4 (sandbox)"));
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = Request { method, path: path.to_owned(), query: crate::http::pairs(query), headers, body };
        let response = api::answer(&self.store, &self.clock, "", &request);
        let body = match &response.body {
            Body::Full(bytes) => serde_json::from_slice(bytes).unwrap_or_default(),
            Body::Stream(_) => Value::Null,
        };
        (response.status, body)
    }

    /// The object at a path such as `/apis/apps/v1/namespaces/shop/deployments/web`, where there is one.
    pub fn get(&self, path: &str) -> Option<Value> {
        let (status, value) = self.call(Method::GET, path, "application/json", &Value::Null);
        status.is_success().then_some(value)
    }

    /// Waits until nothing is at `path`, ten seconds at most; whether that is so. What is deleted in the foreground
    /// stays until the garbage collector has taken away what depends on it.
    pub async fn gone(&self, path: &str) -> bool {
        for _ in 0..1000 {
            if self.get(path).is_none() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }

    /// Pods whose image contains `text` do not become ready from now on: a rollout that hangs.
    pub fn hold_image(&self, text: &str) {
        lock(&self.controllers).held_images.push(text.to_owned());
    }

    /// Pods of any image become ready again.
    pub fn release_images(&self) {
        lock(&self.controllers).held_images.clear();
    }

    /// Requests that fail, to be armed.
    pub fn failures(&self) -> &Failures {
        &self.failures
    }

    /// Every request over HTTP so far with its answer.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.server.exchanges()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(ticks) = &self.ticks {
            ticks.abort();
        }
    }
}

fn unauthorized() -> Response {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "Unauthorized",
            "reason": "Unauthorized", "code": 401,
    });
    Response::json(StatusCode::UNAUTHORIZED, &body)
}
