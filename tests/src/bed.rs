//! A test's bed: its own repository, secrets, queue, Slack and functions; API server and moto are shared by all.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::{Authenticator, ControlPlane, Function, GitHub, Moto, Usage, binaries};
use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use serde_json::{Value, json};
use slipway::aws::Aws;
use slipway_sandbox::forge::{Change, Delivery, Oid, Options, Repository};
use slipway_sandbox::{Forge, Slack};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio::sync::mpsc::UnboundedReceiver;

/// The EKS cluster's name.
const CLUSTER: &str = "prod";
const WEBHOOK_SECRET: &str = "It's a Secret to Everybody";
/// What the functions authenticate with, all of which must never be seen anywhere.
pub const CANARIES: [&str; 3] = ["sandbox-token", "xoxb-canary-slack", "canary-state-key"];

/// What all beds of this process share.
struct Shared {
    cluster: ControlPlane,
    moto: Moto,
    _authenticator: Authenticator,
}

async fn shared() -> Option<&'static Shared> {
    static SHARED: OnceCell<Option<Shared>> = OnceCell::const_new();
    let start = async || {
        let moto = Moto::start().await?;
        let authenticator = Authenticator::start(CLUSTER, &moto.environment()).await?;
        let options = crate::Options { token_webhook: Some(authenticator.url.clone()), bare: false };
        Some(Shared { cluster: ControlPlane::start(&options)?, moto, _authenticator: authenticator })
    };
    SHARED.get_or_init(start).await.as_ref()
}

/// Everything that one test needs; two beds share no name.
pub struct Bed {
    /// The API server, which authenticates as EKS does.
    pub cluster: &'static ControlPlane,
    /// GitHub.
    pub forge: Forge,
    /// The GitOps repository.
    pub repository: Arc<Repository>,
    /// What Slack got.
    pub slack: Slack,
    /// A name that no other bed has: of the repository (`acme/NAME`), of the namespace, and before other names.
    pub name: String,
    aws: Aws,
    moto: &'static Moto,
    queue: String,
    deliveries: UnboundedReceiver<Delivery>,
    environment: Vec<(String, String)>,
    functions: BTreeMap<&'static str, Function>,
    binaries: PathBuf,
    _folder: TempDir,
}

impl Bed {
    /// A bed whose repository's first commit on `main` has these files; `None` where a real part is missing.
    /// `{name}` in a file stands for the bed's name.
    pub async fn new(files: &[(&str, &str)]) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let shared = shared().await?;
        let name = format!("bed{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let aws = Aws::at(&shared.moto.endpoint, Moto::REGION).await;
        let folder = TempDir::with_prefix("slipway-forge-").expect("a folder");
        let forge = Forge::start(Options::default()).await.expect("the forge starts");
        let repository = forge.create("acme", &name, folder.path()).expect("a repository");
        let mut deliveries = forge.subscribe(WEBHOOK_SECRET);
        let changes: Vec<_> =
            files.iter().map(|(path, text)| Change::write(*path, text.replace("{name}", &name))).collect();
        forge.push(&repository, "main", "Start", &changes).expect("the first commit");
        deliveries.recv().await.expect("the first push is delivered");

        let slack = Slack::start(0, CANARIES[1]).await.expect("a free port");
        let queue = queue(&aws, &name).await;
        let mut environment = shared.moto.environment();
        let ca = STANDARD.encode(&shared.cluster.ca);
        let secrets =
            [("github", CANARIES[0]), ("webhook", WEBHOOK_SECRET), ("slack", CANARIES[1]), ("state", CANARIES[2])];
        for (secret, value) in secrets {
            let manager = aws.secrets_manager().await;
            let create = manager.create_secret().name(format!("{name}/{secret}")).secret_string(value);
            create.send().await.expect("a secret");
            environment.push((format!("SLIPWAY_{}_SECRET", secret.to_uppercase()), format!("{name}/{secret}")));
        }
        for (key, value) in [
            ("SLIPWAY_ROOT", format!("https://github.com/acme/{name}//apps?ref=main").as_str()),
            ("SLIPWAY_GITHUB_API", forge.url()),
            ("SLIPWAY_SLACK_API", &slack.url()),
            ("SLIPWAY_SLACK_CHANNEL", "C0DEPLOYS"),
            ("SLIPWAY_QUEUE_URL", &queue),
            ("SLIPWAY_CLUSTER", CLUSTER),
            ("SLIPWAY_CLUSTER_ENDPOINT", &shared.cluster.endpoint),
            ("SLIPWAY_CLUSTER_CA", &ca),
        ] {
            environment.push((key.to_owned(), value.to_owned()));
        }
        let functions = BTreeMap::new();
        let cluster = &shared.cluster;
        Some(Self {
            cluster,
            forge,
            repository,
            slack,
            name,
            aws,
            moto: &shared.moto,
            queue,
            deliveries,
            environment,
            functions,
            binaries: binaries().to_owned(),
            _folder: folder,
        })
    }

    /// Runs the functions in `folder` instead of those of the test's own profile.
    #[must_use]
    pub fn with_binaries(self, folder: PathBuf) -> Self {
        Self { binaries: folder, ..self }
    }

    /// Gives the functions that are not started yet one more setting.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Creates a secret; its name.
    pub async fn secret(&self, name: &str, value: &str) -> String {
        let name = format!("{}/{name}", self.name);
        let create = self.aws.secrets_manager().await.create_secret().name(&name).secret_string(value);
        create.send().await.expect("a secret");
        name
    }

    /// Runs AWS' command line against moto.
    pub fn aws_cli(&self, arguments: &[&str]) -> String {
        self.moto.aws(arguments)
    }

    /// Invokes `binary` as `instance` (one instance takes one event at a time; a new name is a new, cold one).
    pub async fn invoke_as(&mut self, instance: &'static str, binary: &str, event: &Value) -> Value {
        if !self.functions.contains_key(instance) {
            let function = Function::start(&self.binaries.join(binary), &self.environment).await;
            self.functions.insert(instance, function.expect("the runtime emulator is there, moto being so"));
        }
        self.functions[instance].invoke(event).await
    }

    /// Invokes the one instance of `binary` and checks that it did not fail.
    pub async fn invoke(&mut self, binary: &'static str, event: &Value) -> Value {
        let answer = self.invoke_as(binary, binary, event).await;
        assert!(answer.get("errorType").is_none(), "{binary} failed: {answer}\n{}", self.logs());
        answer
    }

    /// A fresh instance that the caller drives by itself, for events at once.
    pub async fn instance(&self, binary: &str) -> Function {
        Function::start(&self.binaries.join(binary), &self.environment).await.expect("the runtime emulator is there")
    }

    /// Runs `slipway` with these arguments on the bed's cluster and gives its standard output.
    pub fn slipway(&self, arguments: &[&str]) -> String {
        let mut command = std::process::Command::new(self.binaries.join("slipway"));
        command.args(arguments).env("KUBECONFIG", &self.cluster.kubeconfig);
        crate::tools::capture(&mut command).unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// What the instance called `instance` has used so far; `None` before its first event.
    pub fn usage(&self, instance: &str) -> Option<Usage> {
        self.functions.get(instance)?.usage()
    }

    /// All that the functions have printed so far.
    pub fn logs(&self) -> String {
        let one = |(name, function): (&&str, &Function)| format!("== {name}\n{}", function.log());
        self.functions.iter().map(one).collect::<Vec<_>>().join("\n")
    }

    /// Pushes an image: ECR has it, and the event is EventBridge's of `events/ecr-push/CASE`.
    pub async fn image(&self, repository: &str, tag: &str) -> Value {
        let ecr = self.aws.ecr().await;
        let repository = format!("{}/{repository}", self.name);
        // It exists from the second image on.
        let _ = ecr.create_repository().repository_name(&repository).send().await;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 7,
                "digest": format!("sha256:{:064}", tag.len())},
            "layers": [], "annotations": {"tag": tag},
        });
        let put = ecr.put_image().repository_name(&repository).image_tag(tag).image_manifest(manifest.to_string());
        let image = put.send().await.expect("the image is pushed");
        let mut event = event("ecr-push/image-pushed");
        let digest = image.image().and_then(|image| image.image_id()).and_then(|id| id.image_digest());
        event["detail"]["image-digest"] = json!(digest.expect("ECR names the digest"));
        event["detail"]["repository-name"] = json!(repository);
        event["detail"]["image-tag"] = json!(tag);
        event
    }

    /// Commits `changes` to `main` as a person; the webhook is on its way then.
    pub fn commit(&self, message: &str, changes: &[Change]) -> Oid {
        self.forge.push(&self.repository, "main", message, changes).expect("the branch stands still")
    }

    /// The text of a file at the head of `main`.
    pub fn file(&self, path: &str) -> String {
        let head = self.head();
        let bytes = self.repository.read_file(head, path).expect("git reads").expect("the file exists");
        String::from_utf8(bytes).expect("text")
    }

    /// The head of `main`.
    pub fn head(&self) -> Oid {
        self.repository.branch("main").expect("git reads").expect("main exists")
    }

    /// The next webhook, as the request that the Function URL would hand on.
    pub async fn delivery(&mut self) -> Value {
        let next = tokio::time::timeout(Duration::from_secs(10), self.deliveries.recv());
        request(&next.await.expect("a webhook within ten seconds").expect("the forge is there"))
    }

    /// Whether no webhook waits.
    pub fn is_quiet(&mut self) -> bool {
        self.deliveries.try_recv().is_err()
    }

    /// Sends the next webhook to github-webhook and checks that it is accepted.
    pub async fn hook(&mut self) {
        let delivery = self.delivery().await;
        let answer = self.invoke("github-webhook", &delivery).await;
        assert_eq!(answer["statusCode"], 202, "{answer}\n{}", self.logs());
    }

    /// The messages in the queue, as the one SQS event that Lambda's poller makes of each; they become invisible.
    pub async fn receive(&self) -> Vec<(String, Value)> {
        self.receive_for(900).await
    }

    /// As [`receive`](Self::receive), but they come again after so many seconds.
    pub async fn receive_for(&self, seconds: i32) -> Vec<(String, Value)> {
        let sqs = self.aws.sqs().await;
        let receive = sqs.receive_message().queue_url(&self.queue).max_number_of_messages(10);
        let receive = receive.visibility_timeout(seconds);
        let received =
            receive.message_system_attribute_names(MessageSystemAttributeName::All).send().await.expect("moto answers");
        let one = |message: &aws_sdk_sqs::types::Message| {
            let attributes: BTreeMap<_, _> =
                message.attributes().into_iter().flatten().map(|(key, value)| (key.as_str(), value.clone())).collect();
            let record = json!({
                "messageId": message.message_id(), "receiptHandle": message.receipt_handle(), "body": message.body(),
                "attributes": attributes, "messageAttributes": {}, "md5OfBody": message.md5_of_body(),
                "eventSource": "aws:sqs", "awsRegion": Moto::REGION,
                "eventSourceARN": format!("arn:aws:sqs:{}:{}:{}.fifo", Moto::REGION, Moto::ACCOUNT, self.name),
            });
            (message.receipt_handle().unwrap_or_default().to_owned(), json!({"Records": [record]}))
        };
        received.messages().iter().map(one).collect()
    }

    /// Takes a message out of the queue for good.
    pub async fn delete(&self, handle: &str) {
        let sqs = self.aws.sqs().await;
        sqs.delete_message().queue_url(&self.queue).receipt_handle(handle).send().await.expect("moto answers");
    }

    /// Empties the queue and gives how many messages it had.
    pub async fn drain(&self) -> usize {
        let mut count = 0;
        loop {
            let messages = self.receive().await;
            if messages.is_empty() {
                return count;
            }
            for (handle, _) in messages {
                self.delete(&handle).await;
                count += 1;
            }
        }
    }

    /// Lets the worker take every message in the queue, those it sends itself included, and gives how many there were.
    pub async fn work(&mut self) -> usize {
        let mut taken = 0;
        loop {
            let messages = self.receive().await;
            if messages.is_empty() {
                return taken;
            }
            for (handle, event) in messages {
                taken += 1;
                assert!(taken < 50, "the worker does not come to an end\n{}", self.logs());
                let answer = self.invoke_as("worker", "github-webhook", &event).await;
                assert_eq!(answer, json!({"batchItemFailures": []}), "{}", self.logs());
                self.delete(&handle).await;
            }
        }
    }

    /// Commits `changes`, delivers the webhook and lets the worker deploy.
    pub async fn deploy(&mut self, message: &str, changes: &[Change]) -> Oid {
        let commit = self.commit(message, changes);
        self.hook().await;
        assert_eq!(self.work().await, 1, "{}", self.logs());
        commit
    }

    /// Deploys what the first commit holds.
    pub async fn deploy_first(&mut self) -> Oid {
        self.deploy("Start deploying", &[Change::write("README.md", "Deployed by Slipway.\n")]).await
    }

    /// The schedule's event to drift-check.
    pub async fn check(&mut self) {
        self.invoke("drift-check", &event("drift-check/schedule")).await;
    }

    /// The live Deployment `name` in the bed's namespace.
    pub async fn deployment(&self, name: &str) -> Deployment {
        let api = Api::<Deployment>::namespaced(self.cluster.client().await, &self.name);
        api.get(name).await.unwrap_or_else(|error| panic!("Deployment {name}: {error}\n{}", self.logs()))
    }

    /// Holds every request that GitHub got and every answer to GitHub's own description.
    pub fn check_github(&self) {
        let Some(github) = GitHub::load() else { return };
        let exchanges = self.forge.exchanges();
        let seen = github.check(&exchanges).unwrap_or_else(|error| panic!("{error:#}"));
        assert!(!seen.is_empty(), "nothing was asked of GitHub");
    }
}

/// The image of a Deployment's first container.
pub fn image_of(deployment: &Deployment) -> String {
    let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    pod.and_then(|pod| pod.containers.first()).and_then(|container| container.image.clone()).unwrap_or_default()
}

/// Replicas that are available.
pub fn available(deployment: &Deployment) -> i32 {
    deployment.status.as_ref().and_then(|status| status.available_replicas).unwrap_or_default()
}

/// The case `events/NAME.json`.
pub fn event(name: &str) -> Value {
    let path = crate::tools::workspace().join("events").join(format!("{name}.json"));
    serde_json::from_slice(&fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        .expect("JSON")
}

/// Every file below `folder`, as changes that write it under `to`.
pub fn copied(folder: &Path, to: &str) -> Vec<Change> {
    let mut changes = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let entry = entry.expect("a folder is listed");
        let (path, to) = (entry.path(), format!("{to}/{}", entry.file_name().to_string_lossy()));
        if path.is_dir() {
            changes.extend(copied(&path, &to));
        } else {
            changes.push(Change::write(to, fs::read(&path).expect("a file is read")));
        }
    }
    changes
}

/// A request of the Function URL for this delivery, base64 as Lambda sends what it takes for binary.
fn request(delivery: &Delivery) -> Value {
    let mut event = event("github-webhook/push-base64");
    event["headers"] = delivery.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    event["body"] = json!(STANDARD.encode(&delivery.body));
    event
}

/// A queue as infra/template.yaml makes it, but with its messages back soon.
async fn queue(aws: &Aws, name: &str) -> String {
    let create = aws.sqs().await.create_queue().queue_name(format!("{name}.fifo"));
    let create = create.attributes(QueueAttributeName::FifoQueue, "true");
    let create = create.attributes(QueueAttributeName::ContentBasedDeduplication, "false");
    let queue = create.attributes(QueueAttributeName::VisibilityTimeout, "900").send().await.expect("a queue");
    queue.queue_url().expect("a queue has a URL").to_owned()
}
