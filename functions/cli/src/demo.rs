//! Plays `slipway demo`: the three functions against a sandbox in this process; no account, no cluster, no network.

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};
use slipway::aws::Aws;
use slipway::config::{EcrPush, GithubWebhook, Settings};
use slipway::deploy::WebhookHandler;
use slipway::drift_check::DriftChecker;
use slipway::image::run::ImageUpdater;
use slipway_sandbox::forge::Delivery;
use slipway_sandbox::{IMAGE, Options, Sandbox, aws};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::Instant;

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/shop/deployments/web";
/// Pause between two scenes, for the reader.
const BEAT: Duration = Duration::from_millis(900);

#[derive(Args)]
pub(crate) struct Arguments {
    /// Leave everything open until Ctrl-C, and print how to look around with kubectl.
    #[arg(long)]
    keep: bool,
    /// Port of the Kubernetes API; any free one by default.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

/// Plays the demo.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { keep, port } = arguments;
    let folder = folder()?;
    let mut stage = Stage::build(&folder, *port).await?;
    stage.first_push().await?;
    stage.image_push().await?;
    stage.drift().await?;
    if *keep {
        stage.wait().await?;
    }
    Ok(())
}

/// A folder of a name that can not be guessed, for its owner alone; deleted on drop.
fn folder() -> anyhow::Result<TempDir> {
    tempfile::Builder::new().prefix("slipway-demo-").tempdir().context("failed to make a temporary folder")
}

/// Formats text for a terminal, or plain.
struct Pen {
    colours: bool,
}

/// Writes a line of the demo's own, with its colours.
fn line(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{text}");
}

impl Pen {
    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn scene(&self, number: u8, title: &str) {
        line(&format!("\n{}", self.paint("1;36", &format!("{number}. {title}"))));
    }

    fn say(&self, who: &str, what: &str) {
        line(&format!("   {} {what}", self.paint("33", &format!("{who:<16}"))));
    }

    fn diff(&self, sign: char, text: &str) {
        let code = if sign == '+' { "32" } else { "31" };
        line(&format!("   {:<16} {}", "", self.paint(code, &format!("{sign}{text}"))));
    }
}

struct Stage {
    pen: Pen,
    sandbox: Sandbox,
    webhooks: mpsc::UnboundedReceiver<Delivery>,
    pusher: ImageUpdater,
    deployer: WebhookHandler,
    checker: DriftChecker,
    told: usize,
}

impl Stage {
    async fn build(folder: &TempDir, port: u16) -> anyhow::Result<Self> {
        let options = Options { kubernetes_port: port, ..Options::new(folder.path()) };
        let (sandbox, webhooks) = Sandbox::start(options).await.context("failed to start the sandbox")?;
        let environment = sandbox.environment();
        let get = |name: &str| environment.get(name).cloned();
        let aws = Aws::at(&sandbox.aws.url(), aws::REGION).await;
        let pen = Pen { colours: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() };
        crate::println(&format!(
            "{} a Kubernetes API, a git forge, ECR and Slack in this process; the functions' own code between them",
            pen.paint("1", "slipway demo:")
        ));
        Ok(Self {
            pen,
            webhooks,
            pusher: ImageUpdater::new(EcrPush::load(get)?, aws.clone()),
            deployer: WebhookHandler::new(GithubWebhook::load(get)?, aws.clone()),
            checker: DriftChecker::new(Settings::load(get)?, aws),
            sandbox,
            told: 0,
        })
    }

    async fn first_push(&mut self) -> anyhow::Result<()> {
        self.pen.scene(1, "A developer pushes the shop: an Application, a kustomization and four manifests");
        self.deploy().await
    }

    async fn image_push(&mut self) -> anyhow::Result<()> {
        tokio::time::sleep(BEAT).await;
        self.pen.scene(2, "The build pushes a new image to ECR");
        let before = self.sandbox.read("shop/kustomization.yaml")?.unwrap_or_default();
        let event = self.sandbox.aws.push_image(IMAGE, "1.1.0");
        self.pen.say("ECR", &format!("{IMAGE}:1.1.0 was pushed; EventBridge wakes ecr-push"));
        self.pusher.handle(event).await?;
        let after = self.sandbox.read("shop/kustomization.yaml")?.unwrap_or_default();
        let head = self.sandbox.head()?.map(|head| head.to_string()).unwrap_or_default();
        self.pen.say("ecr-push", &format!("commits {} to acme/gitops, one line:", head.get(..7).unwrap_or_default()));
        for (old, new) in before.lines().zip(after.lines()).filter(|(old, new)| old != new) {
            self.pen.diff('-', old);
            self.pen.diff('+', new);
        }
        self.deploy().await
    }

    /// Delivers webhooks, then messages, until none is left.
    async fn deploy(&mut self) -> anyhow::Result<()> {
        while let Ok(delivery) = self.webhooks.try_recv() {
            let started = std::time::Instant::now();
            let answer = self
                .deployer
                .handle(delivery.to_function_url_event(false, jiff::Timestamp::now()), soon(), "demo")
                .await?;
            let status = answer.get("statusCode").and_then(Value::as_u64).unwrap_or_default();
            let took = started.elapsed().as_millis();
            self.pen.say(
                "GitHub",
                &format!("signed webhook ─► github-webhook answers {status} in {took} ms, SQS has the message"),
            );
        }
        while let Some(event) = self.sandbox.aws.next_event() {
            let started = std::time::Instant::now();
            self.deployer.handle(event, soon(), "demo").await?;
            let seconds = started.elapsed().as_secs_f32();
            self.pen.say("github-webhook", &format!("fetched, rendered, applied, healthy after {seconds:.1} s"));
        }
        let deployment = self.sandbox.cluster.get(DEPLOYMENT).context("the Deployment was not applied")?;
        let text = |pointer: &str| deployment.pointer(pointer).map(ToString::to_string).unwrap_or_default();
        let image = text("/spec/template/spec/containers/0/image");
        let (ready, wanted) = (text("/status/availableReplicas"), text("/spec/replicas"));
        self.pen.say(
            "Kubernetes",
            &format!("Deployment/shop/web: {}, {ready} of {wanted} available", image.trim_matches('"')),
        );
        self.slack();
        Ok(())
    }

    async fn drift(&mut self) -> anyhow::Result<()> {
        tokio::time::sleep(BEAT).await;
        self.pen.scene(3, "A person changes the cluster out of band");
        self.pen.say("kubectl", "kubectl scale deployment web --replicas=7");
        self.scale(7)?;
        self.check().await?;
        self.pen.say("drift-check", "runs again: the same drift is reported once");
        self.check().await?;
        tokio::time::sleep(BEAT).await;
        self.pen.scene(4, "They put it back");
        self.pen.say("kubectl", "kubectl scale deployment web --replicas=2");
        self.scale(2)?;
        self.check().await
    }

    fn scale(&self, replicas: u32) -> anyhow::Result<()> {
        let path = format!("{DEPLOYMENT}/scale?fieldManager=kubectl");
        let body = json!({ "spec": { "replicas": replicas } });
        let (status, answer) =
            self.sandbox.cluster.call(http::Method::PATCH, &path, "application/merge-patch+json", &body);
        if !status.is_success() {
            bail!("the sandbox refused to scale: {answer}");
        }
        Ok(())
    }

    async fn check(&mut self) -> anyhow::Result<()> {
        self.checker.handle(json!({ "detail-type": "Scheduled Event" }), soon(), "demo").await?;
        self.slack();
        Ok(())
    }

    /// Prints new Slack messages.
    fn slack(&mut self) {
        let messages = self.sandbox.slack.messages();
        for message in messages.iter().skip(self.told) {
            for (number, line) in message.text.lines().enumerate() {
                self.pen.say(if number == 0 { "Slack" } else { "" }, &plain(line));
            }
        }
        self.told = messages.len();
    }

    async fn wait(&self) -> anyhow::Result<()> {
        let kubeconfig = self.sandbox.kubeconfig().display();
        crate::println("");
        self.pen.say("look around", &format!("kubectl --kubeconfig {kubeconfig} get all -n shop"));
        self.pen.say("", &format!("slipway app get shop --kubeconfig {kubeconfig}"));
        self.pen.say("", "Ctrl-C ends it");
        tokio::signal::ctrl_c().await.context("failed to wait for Ctrl-C")
    }
}

/// Converts Slack's markup for a terminal.
fn plain(line: &str) -> String {
    let icons = [
        (":white_check_mark:", "✔"),
        (":rotating_light:", "▲"),
        (":hourglass_flowing_sand:", "…"),
        (":hourglass:", "…"),
        (":warning:", "!"),
        (":red_circle:", "●"),
        (":x:", "✘"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ];
    let text = icons.iter().fold(line.to_owned(), |text, (from, to)| text.replace(from, to));
    text.replace(['*', '`'], "")
}

fn soon() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_shown_plain() {
        assert_eq!(plain(":x: *web* has `a &lt; b`"), "✘ web has a < b");
    }

    #[tokio::test]
    async fn the_demo_plays_to_its_end() {
        let folder = folder().unwrap();
        let mut stage = Stage::build(&folder, 0).await.unwrap();
        stage.first_push().await.unwrap();
        stage.image_push().await.unwrap();
        stage.drift().await.unwrap();
        let texts: Vec<String> = stage.sandbox.slack.messages().into_iter().map(|message| message.text).collect();
        assert_eq!(texts.len(), 4, "{texts:#?}");
        for (text, part) in texts.iter().zip(["is deployed", "is deployed", "spec.replicas", "resolved"]) {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(stage.sandbox.read("shop/kustomization.yaml").unwrap().unwrap().contains("newTag: 1.1.0"));
    }
}
