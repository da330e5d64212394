//! Everything at once: cluster, forge, AWS and Slack with one clock, and a GitOps repository to begin with.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::forge::{Change, Delivery, Oid, Repository};
use crate::{Aws, Clock, Slack, aws, forge, kube, system_clock};

/// Owner and name of the seeded repository.
const REPOSITORY: (&str, &str) = ("acme", "gitops");
/// The ECR repository of the seeded application.
pub const IMAGE: &str = "shop/web";
/// Where the seeded Application stands: what `SLIPWAY_ROOT` takes.
const ROOT: &str = "https://github.com/acme/gitops//applications?ref=main";

const WEBHOOK_SECRET: &str = "sandbox-webhook-secret";
const SLACK_TOKEN: &str = "xoxb-sandbox";

/// Files of the seeded repository; `IMAGE` in them stands for the image's full name.
const FILES: [(&str, &str); 7] = [
    ("README.md", include_str!("seed/README.md")),
    ("applications/shop.yaml", include_str!("seed/application.yaml")),
    ("shop/kustomization.yaml", include_str!("seed/kustomization.yaml")),
    ("shop/deployment.yaml", include_str!("seed/deployment.yaml")),
    ("shop/service.yaml", include_str!("seed/service.yaml")),
    ("shop/ingress.yaml", include_str!("seed/ingress.yaml")),
    ("shop/configmap.yaml", include_str!("seed/configmap.yaml")),
];

/// How the sandbox is set up.
#[derive(Clone)]
pub struct Options {
    /// A folder of the caller's for the git repository and the kubeconfig.
    pub folder: PathBuf,
    /// The time, of all parts.
    pub clock: Clock,
    /// Port of the Kubernetes API; 0 is any free one.
    pub kubernetes_port: u16,
}

impl Options {
    /// A sandbox in `folder`, by the machine's clock, on any free ports.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), clock: system_clock(), kubernetes_port: 0 }
    }
}

/// A running sandbox; all of it stops when dropped.
pub struct Sandbox {
    /// The Kubernetes API.
    pub cluster: kube::Cluster,
    /// GitHub.
    pub forge: forge::Forge,
    /// ECR, Secrets Manager, SQS, EKS.
    pub aws: Aws,
    /// Slack.
    pub slack: Slack,
    /// The GitOps repository.
    pub repository: Arc<Repository>,
    kubeconfig: PathBuf,
}

impl Sandbox {
    /// Starts all parts, puts image `1.0.0` into ECR and the seeded application into the repository, and writes the
    /// kubeconfig. Every signed webhook of the forge arrives at the receiver, that of the first push at once;
    /// [`Delivery::to_function_url_event`] makes it what the function gets. Fails when the folder can't be written or a
    /// port can't be bound.
    pub async fn start(options: Options) -> io::Result<(Self, mpsc::UnboundedReceiver<Delivery>)> {
        let clock = || Arc::clone(&options.clock);
        let cluster = kube::Cluster::start(kube::Options {
            port: options.kubernetes_port,
            clock: clock(),
            ..kube::Options::default()
        });
        let cluster = cluster.await?;
        let forge = forge::Forge::start(forge::Options { clock: clock(), ..forge::Options::default() }).await?;
        let slack = Slack::start(0, SLACK_TOKEN).await?;
        let secrets = [
            ("slipway/github", "sandbox-token"),
            ("slipway/webhook", WEBHOOK_SECRET),
            ("slipway/state", "sandbox-state-key"),
            ("slipway/slack", SLACK_TOKEN),
        ];
        let secrets = secrets.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let aws = Aws::start(0, clock(), secrets).await?;
        aws.set_cluster("sandbox", &cluster.url());
        let webhooks = forge.subscribe(WEBHOOK_SECRET);
        let (owner, name) = REPOSITORY;
        let repository = forge.create(owner, name, &options.folder.join(format!("{name}.git")))?;
        aws.push_image(IMAGE, "1.0.0");
        let image = format!("{}/{IMAGE}", Aws::registry());
        let files: Vec<Change> =
            FILES.iter().map(|(path, text)| Change::write(*path, text.replace("IMAGE", &image))).collect();
        forge.push(&repository, "main", "Set up the shop", &files)?;
        let kubeconfig = options.folder.join("kubeconfig");
        std::fs::write(&kubeconfig, cluster.kubeconfig())?;
        Ok((Self { cluster, forge, aws, slack, repository, kubeconfig }, webhooks))
    }

    /// The path of the kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The settings with which the functions run against this sandbox.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let settings = [
            ("SLIPWAY_ROOT", ROOT.to_owned()),
            ("SLIPWAY_GITHUB_API", self.forge.url().to_owned()),
            ("SLIPWAY_GITHUB_SECRET", "slipway/github".into()),
            ("SLIPWAY_WEBHOOK_SECRET", "slipway/webhook".into()),
            ("SLIPWAY_STATE_SECRET", "slipway/state".into()),
            ("SLIPWAY_SLACK_SECRET", "slipway/slack".into()),
            ("SLIPWAY_SLACK_CHANNEL", "#deployments".into()),
            ("SLIPWAY_SLACK_API", self.slack.url()),
            ("SLIPWAY_QUEUE_URL", self.aws.queue_url()),
            ("SLIPWAY_CLUSTER", "sandbox".into()),
            ("SLIPWAY_KUBECONFIG", self.kubeconfig.display().to_string()),
            ("AWS_REGION", aws::REGION.into()),
            ("AWS_ENDPOINT_URL", self.aws.url()),
            ("AWS_ACCESS_KEY_ID", "sandbox".into()),
            ("AWS_SECRET_ACCESS_KEY", "sandbox".into()),
        ];
        settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The file `path` at the head of the repository's main branch.
    pub fn read(&self, path: &str) -> io::Result<Option<String>> {
        let Some(head) = self.head()? else { return Ok(None) };
        let bytes = self.repository.read_file(head, path)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The head of the main branch.
    pub fn head(&self) -> io::Result<Option<Oid>> {
        self.repository.branch("main")
    }
}
