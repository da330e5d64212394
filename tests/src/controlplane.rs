//! A real Kubernetes control plane on loopback: etcd, API server, controller manager, scheduler and kwok's kubelets.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use crate::process::{Folder, Process, free_port};
use crate::skip::{Unavailable, or_skip};
use crate::tools;

/// How a control plane of a test's own differs from the shared one.
#[derive(Debug, Default)]
pub struct Options {
    /// URL of a webhook token authenticator (`authentication.k8s.io/v1` `TokenReview`).
    pub token_webhook: Option<String>,
    /// The API server alone: no controllers, no scheduler, no kubelets, for a start in half the time and memory.
    pub bare: bool,
}

/// A running control plane; dropping it ends its processes and deletes its data.
#[derive(Debug)]
pub struct ControlPlane {
    /// `https://127.0.0.1:PORT`.
    pub endpoint: String,
    /// The authority of the endpoint's certificate, PEM.
    pub ca: String,
    /// A token of the group `system:masters`.
    pub token: String,
    /// A kubeconfig with the three above.
    pub kubeconfig: PathBuf,
    // Ended in this order, before their data goes.
    processes: Vec<Process>,
    _data: Folder,
}

/// Where the components' code is.
enum Components {
    /// One binary that takes the component's name as its first argument.
    Joined(PathBuf),
    /// A folder with one binary a component (`KUBEBUILDER_ASSETS`).
    Apart(PathBuf),
}

impl Components {
    fn find() -> Result<Self, Unavailable> {
        match env::var_os("KUBEBUILDER_ASSETS") {
            Some(folder) => Ok(Self::Apart(folder.into())),
            None => tools::control_plane().map(Self::Joined),
        }
    }

    fn command(&self, name: &str) -> Command {
        match self {
            Self::Apart(folder) => Command::new(folder.join(name)),
            Self::Joined(binary) => {
                let mut command = Command::new(binary);
                command.arg(name);
                command
            }
        }
    }
}

impl ControlPlane {
    /// The control plane that all tests of this binary share: each works in a [`namespace`](Self::namespace) of its
    /// own.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<ControlPlane>> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&Options::default())).as_ref()
    }

    /// A control plane of the caller's own.
    pub fn start(options: &Options) -> Option<Self> {
        let started = || -> Result<Self, Unavailable> {
            let components = Components::find()?;
            let kwok = if options.bare { None } else { Some(tools::kwok()?) };
            // A port found free may be taken before its component listens: then another round is all it needs.
            let mut last = anyhow!("never started");
            for _ in 0..3 {
                match on_own_runtime(Self::boot(&components, kwok.as_deref(), options)) {
                    Ok(plane) => return Ok(plane),
                    Err(error) => last = error,
                }
            }
            Err(last.into())
        };
        or_skip("the Kubernetes control plane", started())
    }

    async fn boot(components: &Components, kwok: Option<&Path>, options: &Options) -> Result<Self> {
        let data = Folder::new("slipway-controlplane-")?;
        let dir = data.path();
        let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
        let etcd = format!("http://127.0.0.1:{}", free_port()?);
        let port = free_port()?;
        let token = hex::encode(
            ring::rand::generate::<[u8; 16]>(&SystemRandom::new()).map_err(|_| anyhow!("no randomness"))?.expose(),
        );
        fs::write(dir.join("tokens.csv"), format!("{token},admin,1,\"system:masters\"\n"))?;
        let (private, public) = signing_key()?;
        fs::write(dir.join("sa.key"), private)?;
        fs::write(dir.join("sa.pub"), public)?;

        let start = |name: &str, arguments: &[String]| {
            let mut command = components.command(name);
            command.args(arguments);
            Process::start(&command, &dir.join(format!("{name}.log")))
        };
        let mut processes = vec![start(
            "etcd",
            &[
                format!("--data-dir={}", path("etcd")),
                format!("--listen-client-urls={etcd}"),
                format!("--advertise-client-urls={etcd}"),
                format!("--listen-peer-urls=http://127.0.0.1:{}", free_port()?),
                "--unsafe-no-fsync".into(),
            ],
        )?];
        let mut server = vec![
            format!("--etcd-servers={etcd}"),
            format!("--secure-port={port}"),
            "--bind-address=127.0.0.1".into(),
            format!("--cert-dir={}", path("certs")),
            "--service-cluster-ip-range=10.0.0.0/24".into(),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!("--service-account-key-file={}", path("sa.pub")),
            format!("--service-account-signing-key-file={}", path("sa.key")),
            format!("--token-auth-file={}", path("tokens.csv")),
            "--authorization-mode=RBAC".into(),
            "--disable-admission-plugins=ServiceAccount".into(),
        ];
        if let Some(url) = &options.token_webhook {
            fs::write(
                dir.join("webhook.kubeconfig"),
                serde_json::to_string(&kubeconfig(&json!({"server": url}), &json!({})))?,
            )?;
            server.push(format!("--authentication-token-webhook-config-file={}", path("webhook.kubeconfig")));
            server.push("--authentication-token-webhook-version=v1".into());
        }
        processes.push(start("kube-apiserver", &server)?);

        let endpoint = format!("https://127.0.0.1:{port}");
        let ca = wait_for_certificate(&dir.join("certs/apiserver.crt"), &mut processes).await?;
        let kubeconfig_path = dir.join("kubeconfig");
        let cluster = json!({"server": endpoint, "certificate-authority-data": STANDARD.encode(&ca)});
        fs::write(&kubeconfig_path, serde_json::to_string(&kubeconfig(&cluster, &json!({"token": token})))?)?;
        let mut plane = Self { endpoint, ca, token, kubeconfig: kubeconfig_path, processes, _data: data };
        plane.ready().await?;

        if let Some(kwok) = kwok {
            let path = |name: &str| plane.path(name);
            let own = format!("--kubeconfig={}", path("kubeconfig"));
            let mut command = components.command("kube-controller-manager");
            command.arg(&own).arg(format!("--service-account-private-key-file={}", path("sa.key")));
            command.args(["--secure-port=0", "--leader-elect=false"]);
            // By default it makes 20 requests a second, and a hundred Deployments wait for it.
            command.args(["--kube-api-qps=1000", "--kube-api-burst=2000"]);
            let manager = Process::start(&command, Path::new(&path("kube-controller-manager.log")))?;
            let mut command = components.command("kube-scheduler");
            command.args([own.as_str(), "--secure-port=0", "--leader-elect=false"]);
            let scheduler = Process::start(&command, Path::new(&path("kube-scheduler.log")))?;
            let mut command = Command::new(kwok);
            command.args([own.as_str(), "--manage-all-nodes=true", "--config"]).arg(kwok.with_file_name("stages.yaml"));
            let kubelets = Process::start(&command, Path::new(&path("kwok.log")))?;
            plane.processes.extend([manager, scheduler, kubelets]);
            plane.add_node().await?;
        }
        Ok(plane)
    }

    /// The certificates in [`ca`](Self::ca), DER.
    pub fn authorities(&self) -> Vec<Vec<u8>> {
        let blocks = self.ca.split("-----BEGIN CERTIFICATE-----").skip(1);
        blocks
            .filter_map(|block| block.split("-----END").next())
            .map(|text| STANDARD.decode(text.split_whitespace().collect::<String>()).expect("base64 in PEM"))
            .collect()
    }

    fn path(&self, name: &str) -> String {
        self.kubeconfig.with_file_name(name).to_string_lossy().into_owned()
    }

    /// Waits until the API server says that it is ready, within a minute.
    async fn ready(&mut self) -> Result<()> {
        let client = self.client().await;
        let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
        loop {
            self.processes.iter_mut().try_for_each(Process::alive).with_context(|| self.logs())?;
            let probe = http::Request::get("/readyz").body(Vec::new())?;
            match client.request_text(probe).await {
                Ok(_) => return Ok(()),
                Err(error) if tokio::time::Instant::now() > deadline => {
                    return Err(
                        anyhow!(error).context(format!("the API server is not ready after a minute\n{}", self.logs()))
                    );
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    async fn add_node(&self) -> Result<()> {
        let capacity = json!({"cpu": "64", "memory": "256Gi", "pods": "1000"});
        let node: Node = serde_json::from_value(json!({
            "metadata": {"name": "fake", "annotations": {"kwok.x-k8s.io/node": "fake"},
                "labels": {"kubernetes.io/os": "linux"}},
            "status": {"capacity": capacity, "allocatable": capacity},
        }))?;
        Api::<Node>::all(self.client().await).create(&PostParams::default(), &node).await?;
        Ok(())
    }

    /// The ends of the components' logs, for a message.
    fn logs(&self) -> String {
        ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"]
            .iter()
            .filter_map(|name| {
                let text = fs::read_to_string(self.path(&format!("{name}.log"))).ok()?;
                let lines: Vec<_> = text.lines().rev().take(5).collect();
                Some(format!("{name}: {}", lines.into_iter().rev().collect::<Vec<_>>().join("\n  ")))
            })
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// A client with all rights, for the calling runtime.
    pub async fn client(&self) -> kube::Client {
        let config = Kubeconfig::read_from(&self.kubeconfig).expect("our own kubeconfig");
        let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default())
            .await
            .expect("our own kubeconfig");
        kube::Client::try_from(config).expect("a client for loopback")
    }

    /// Creates a namespace that no other test of this control plane uses, and gives its name.
    pub async fn namespace(&self, prefix: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}})).expect("a namespace");
        let api = Api::all(self.client().await);
        api.create(&PostParams::default(), &namespace).await.expect("a new namespace can be created");
        name
    }

    /// Runs the real `kubectl` with all rights and gives its standard output; `None` where it cannot be had.
    ///
    /// # Panics
    /// If it fails.
    pub fn kubectl(&self, arguments: &[&str]) -> Option<String> {
        let kubectl = or_skip("kubectl", tools::kubectl())?;
        let mut command = Command::new(kubectl);
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(arguments);
        Some(tools::capture(&mut command).unwrap_or_else(|error| panic!("{error:#}")))
    }
}

/// Runs `work` to its end on a thread and runtime of its own, so that callers inside and outside of async code can
/// wait.
fn on_own_runtime<T: Send>(work: impl Future<Output = Result<T>> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let waited =
            scope.spawn(|| tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)).join();
        waited.map_err(|_| anyhow!("the starter panicked"))?
    })
}

/// A new pair of keys that sign and verify service account tokens, PEM. The API server cannot take the public key
/// out of a PKCS #8 file itself.
fn signing_key() -> Result<(String, String)> {
    const P256_PUBLIC_KEY: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
    let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
    let private = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| anyhow!("failed to make a key"))?;
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, private.as_ref(), &random)
        .map_err(|_| anyhow!("failed to read our own key"))?;
    let public = [&hex::decode(P256_PUBLIC_KEY)?, pair.public_key().as_ref()].concat();
    Ok((pem("PRIVATE KEY", private.as_ref()), pem("PUBLIC KEY", &public)))
}

fn pem(what: &str, der: &[u8]) -> String {
    format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", STANDARD.encode(der))
}

fn kubeconfig(cluster: &Value, user: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    })
}

/// The certificates that the API server makes for itself in its first second: its own and its authority's.
async fn wait_for_certificate(file: &Path, processes: &mut [Process]) -> Result<String> {
    for _ in 0..1200 {
        processes.iter_mut().try_for_each(Process::alive)?;
        match fs::read_to_string(file) {
            Ok(text) if text.matches("-----END CERTIFICATE-----").count() >= 2 => return Ok(text),
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    ensure!(file.exists(), "the API server made no certificate within a minute");
    Ok(fs::read_to_string(file)?)
}
