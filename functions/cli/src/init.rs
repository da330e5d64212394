//! Implements `slipway init`: finds out what it can, asks the rest, and writes what an installation is made from.
//!
//! Nothing is written or created before every answer is right.

pub(crate) mod ask;
pub(crate) mod discover;
mod files;
mod github_app;
pub(crate) mod template;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use slipway::aws::Aws;
use slipway::root::places::RootPlaces;
use slipway::source::RepoUrl;

use crate::github::Api;
use crate::root::check::GitHubLogin;
use ask::Terminal;
use discover::Eks;

/// What `UrlConcurrency` and `SyncConcurrency` keep free by default.
const RESERVED: u64 = 20;
/// The names of the secrets that are made by hand or by this.
const GITHUB_SECRET: &str = "slipway/github";
const SLACK_SECRET: &str = "slipway/slack";

#[derive(Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch")]
pub(crate) struct Arguments {
    /// The folder with `infra/template.yaml`, in which the files are written.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// A checkout of the GitOps repository, whose Applications are looked at.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    local: PathBuf,
    /// The stack's name.
    #[arg(long, value_name = "NAME", default_value = "slipway")]
    stack: String,
    /// Where the Application manifests are: `https://github.com/OWNER/REPO//PATH?ref=BRANCH`.
    #[arg(long, value_name = "URL")]
    root: Option<String>,
    /// The EKS cluster.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// The Slack channel's id; empty for no Slack.
    #[arg(long, value_name = "ID")]
    slack_channel: Option<String>,
    /// ARN of the SNS topic that hears alarms; empty for none.
    #[arg(long, value_name = "ARN")]
    alarm_topic: Option<String>,
    /// Any other parameter of `infra/template.yaml`; may be repeated.
    #[arg(long = "parameter", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// Let the GitHub App see and open pull requests: ApplicationSets generate from them, images are proposed by them.
    #[arg(long)]
    pull_requests: bool,
    /// The repository's owner is a person, not an organization.
    #[arg(long)]
    personal: bool,
    /// Create the GitHub App now, and store its key: a browser on this machine asks GitHub.
    #[arg(long)]
    create_app: bool,
    /// The port of this machine to which GitHub sends that browser back.
    #[arg(long, default_value_t = 8931)]
    port: u16,
    /// Ask no question: take what the flags say, else what AWS and Git say, else the defaults.
    #[arg(long)]
    yes: bool,
    /// Overwrite files that are there.
    #[arg(long)]
    force: bool,
    /// Print what would be written, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Asks, and writes.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let terminal = Terminal { asks: !arguments.yes };
    let aws = Aws::default();
    let parameters = template::parameters()?;
    let (account, region) = discover::account(&aws).await?;
    crate::println(&format!("AWS account {account}, region {region}"));
    let mut given = BTreeMap::new();
    for one in &arguments.parameters {
        let (name, value) = one.split_once('=').with_context(|| format!("`{one}` is not NAME=VALUE"))?;
        given.insert(name.to_owned(), value.to_owned());
    }
    let cluster = cluster(arguments, &terminal, &aws, &given).await?;
    given.insert("ClusterName".to_owned(), cluster.name.clone());
    access(&terminal, &cluster, &mut given)?;
    network(&terminal, &cluster, &mut given)?;
    let owner = root(arguments, &terminal, &mut given).await?;
    let images = discover::repositories(&aws).await;
    crate::println(&format!("ECR has {} repositories: {}", images.len(), named(&images)));
    reports(arguments, &terminal, &mut given)?;
    if !given.contains_key("UrlConcurrency") && !discover::has_room(&aws, RESERVED).await {
        crate::println("The account's limit of concurrent Lambda functions is small: none are reserved.");
        given.extend(["UrlConcurrency", "SyncConcurrency"].map(|name| (name.to_owned(), "0".to_owned())));
    }
    let wrong = template::refuse(&parameters, &given);
    if !wrong.is_empty() {
        bail!("nothing is written: {}", wrong.join("; "));
    }

    let secret = given.get("GitHubSecret").map_or(GITHUB_SECRET, String::as_str).to_owned();
    let creates = creates_app(arguments, &terminal, &aws, &secret).await?;
    let state = github_app::state()?;
    let manifest = files::github_app(&owner.owner, arguments.pull_requests, arguments.port);
    let web = format!("https://{}", owner.host);
    let page = files::page(&web, (&owner.owner, !arguments.personal), &manifest, &state);
    let mut written = vec![
        ("samconfig.toml", files::samconfig(&arguments.stack, &region, &parameters, &given)),
        ("slipway-github-app.html", page.clone()),
    ];
    if given.contains_key("SlackChannel") {
        written.push(("slipway-slack-app.json", format!("{:#}\n", files::slack_app())));
    }
    if arguments.dry_run {
        for (name, text) in &written {
            crate::println(&format!("\n# {}", arguments.folder.join(name).display()));
            crate::print(text);
        }
        return Ok(());
    }
    write(arguments, &terminal, &written)?;
    if creates {
        let environment = GitHubLogin::of_environment();
        let base = given.get("GitHubApi").unwrap_or(&environment.api).trim_end_matches('/').to_owned();
        let api = Api { http: aws.http().clone(), base, token: None };
        let text = Box::pin(github_app::create(&api, page, &state, arguments.port)).await?;
        discover::store(&aws, &secret, text).await?;
        crate::println(&format!("Its key is the secret {secret}."));
    }
    next(&aws, &given, &secret).await;
    Ok(())
}

/// Owner and host of the root's repository.
struct Owner {
    owner: String,
    host: String,
}

async fn cluster(
    arguments: &Arguments,
    terminal: &Terminal,
    aws: &Aws,
    given: &BTreeMap<String, String>,
) -> anyhow::Result<Eks> {
    let known = discover::clusters(aws).await;
    let mut known = known.unwrap_or_else(|error| {
        crate::println(&format!("The clusters can't be listed: {error}"));
        Vec::new()
    });
    for one in &known {
        let private = if one.is_private { ", private endpoint" } else { "" };
        crate::println(&format!("EKS cluster {}: authentication mode {}{private}", one.name, one.mode));
    }
    let current = discover::current_cluster().filter(|name| known.iter().any(|one| one.name == *name));
    let only = known.first().filter(|_| known.len() == 1).map(|one| one.name.clone());
    let default = current.or(only);
    let flag = arguments.cluster.as_deref().or_else(|| given.get("ClusterName").map(String::as_str));
    let is_known = |name: &str| {
        let is_there = known.is_empty() && !name.is_empty() || known.iter().any(|one| one.name == name);
        if is_there { Ok(()) } else { Err(format!("there is no EKS cluster `{name}` in this account and region")) }
    };
    let name = terminal.ask("EKS cluster", flag, default.as_deref(), is_known)?;
    match known.iter().position(|one| one.name == name) {
        Some(at) => Ok(known.swap_remove(at)),
        None => discover::cluster(aws, &name).await.with_context(|| format!("failed to describe EKS cluster {name}")),
    }
}

/// How both roles get into the cluster.
fn access(terminal: &Terminal, cluster: &Eks, given: &mut BTreeMap<String, String>) -> anyhow::Result<()> {
    if cluster.mode != "CONFIG_MAP" || given.contains_key("AccessEntries") {
        return Ok(());
    }
    let name = &cluster.name;
    crate::println(&format!(
        "{name} knows no access entries. `aws eks update-cluster-config --name {name} --access-config \
         authenticationMode=API_AND_CONFIG_MAP` lets it, which can't be undone; otherwise both roles go into the \
         ConfigMap aws-auth by hand."
    ));
    let has_entries = terminal.confirm("Will you do that before the stack is made?", false)?;
    given.insert("AccessEntries".to_owned(), has_entries.to_string());
    Ok(())
}

/// Where the functions run, if the endpoint is private.
fn network(terminal: &Terminal, cluster: &Eks, given: &mut BTreeMap<String, String>) -> anyhow::Result<()> {
    if !cluster.is_private || given.contains_key("VpcSubnetIds") {
        return Ok(());
    }
    let list = |prefix: &'static str| {
        move |text: &str| {
            let is_list = !text.is_empty() && text.split(',').all(|one| one.starts_with(prefix));
            if is_list { Ok(()) } else { Err(format!("a list of {prefix}… with commas")) }
        }
    };
    crate::println("Its endpoint is private: the functions run in its VPC, with a way to GitHub and AWS.");
    let subnets = terminal.ask("Subnets", None, Some(&cluster.subnets.join(",")), list("subnet-"))?;
    let groups = terminal.ask("Security groups", None, Some(&cluster.security_group), list("sg-"))?;
    given.insert("VpcSubnetIds".to_owned(), subnets);
    given.insert("VpcSecurityGroupIds".to_owned(), groups);
    Ok(())
}

async fn root(
    arguments: &Arguments,
    terminal: &Terminal,
    given: &mut BTreeMap<String, String>,
) -> anyhow::Result<Owner> {
    let flag = arguments.root.clone().or_else(|| given.get("Root").cloned());
    let found = if flag.is_some() { None } else { Box::pin(discover::root(&arguments.local)).await };
    if let Some((root, count)) = &found {
        crate::println(&format!("{} Applications in {}, most below {root}", count, arguments.local.display()));
    }
    let default = found.map(|(root, _)| root);
    let question = "Root (https://github.com/OWNER/REPO//PATH?ref=BRANCH)";
    let root = terminal.ask(question, flag.as_deref(), default.as_deref(), template::refuse_root)?;
    let url: RepoUrl = RootPlaces::parse(&root)?.location.url;
    given.insert("Root".to_owned(), root);
    if url.host != "github.com" && !given.contains_key("GitHubApi") {
        given.insert("GitHubApi".to_owned(), format!("https://{}/api/v3", url.host));
    }
    let owner = url.repo.to_string().split('/').next().unwrap_or_default().to_owned();
    Ok(Owner { owner, host: url.host })
}

/// Slack and alarms; an empty answer means neither.
fn reports(arguments: &Arguments, terminal: &Terminal, given: &mut BTreeMap<String, String>) -> anyhow::Result<()> {
    let mut ask = |name: &str, flag: Option<&str>, question, is_right: fn(&str) -> bool, what| {
        let flag = flag.or_else(|| given.get(name).map(String::as_str));
        let check = |text: &str| {
            if text.is_empty() || is_right(text) { Ok(()) } else { Err(format!("`{text}` is no {what}")) }
        };
        let answer = terminal.ask(question, flag, Some(""), check)?;
        if !answer.is_empty() {
            given.insert(name.to_owned(), answer);
        }
        anyhow::Ok(())
    };
    let channel = arguments.slack_channel.as_deref();
    let question = "Slack channel's id, at the end of Copy link (empty: no Slack)";
    ask("SlackChannel", channel, question, is_channel, "channel's id, such as C0123456789")?;
    let topic = arguments.alarm_topic.as_deref();
    ask("AlarmTopic", topic, "ARN of the SNS topic that hears alarms (empty: none)", is_topic, "ARN of an SNS topic")?;
    if given.get("SlackChannel").is_some_and(|channel| !channel.is_empty()) {
        given.entry("SlackSecret".to_owned()).or_insert_with(|| SLACK_SECRET.to_owned());
    }
    Ok(())
}

fn is_channel(text: &str) -> bool {
    text.len() > 8 && text.starts_with(['C', 'G']) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn is_topic(text: &str) -> bool {
    text.starts_with("arn:") && text.split(':').nth(2) == Some("sns")
}

/// Whether the GitHub App is created now.
async fn creates_app(arguments: &Arguments, terminal: &Terminal, aws: &Aws, secret: &str) -> anyhow::Result<bool> {
    if arguments.create_app || arguments.dry_run {
        return Ok(arguments.create_app);
    }
    if discover::has_secret(aws, secret).await {
        crate::println(&format!("The credential for GitHub is there: secret {secret}"));
        return Ok(false);
    }
    crate::println(&format!("There is no credential for GitHub yet (secret {secret})."));
    if !terminal.asks {
        return Ok(false);
    }
    terminal.confirm("Create a GitHub App for it now, in a browser on this machine?", true)
}

/// Writes the files; asks before one that is there is overwritten.
fn write(arguments: &Arguments, terminal: &Terminal, written: &[(&str, String)]) -> anyhow::Result<()> {
    let path = |name: &str| arguments.folder.join(name);
    let is_other = |path: &Path, text: &str| path.exists() && fs::read_to_string(path).ok().as_deref() != Some(text);
    for (name, text) in written.iter().filter(|(name, text)| is_other(&path(name), text)) {
        // The page has a new state each time, and nothing of anybody's.
        if arguments.force || *name == "slipway-github-app.html" {
            continue;
        }
        let name = path(name).display().to_string();
        if !terminal.confirm(&format!("Overwrite {name}, which is there and other ({} bytes)?", text.len()), false)? {
            bail!("nothing is written: {name} is there; overwrite it by --force, or choose another --folder");
        }
    }
    for (name, text) in written {
        let path = path(name);
        fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
        crate::println(&format!("Wrote {}", path.display()));
    }
    Ok(())
}

/// What is left to do.
async fn next(aws: &Aws, given: &BTreeMap<String, String>, secret: &str) {
    crate::println("\nNext:");
    if !discover::has_secret(aws, secret).await {
        crate::println(&format!("- store the credential for GitHub as {secret}: infra/INSTALL.md, step 2"));
    }
    if let Some(slack) = given.get("SlackSecret")
        && !discover::has_secret(aws, slack).await
    {
        crate::println(&format!("- create the Slack app: {}", files::slack_link()));
        crate::println(&format!(
            "  install it, then: aws secretsmanager create-secret --name {slack} --secret-string xoxb-TOKEN"
        ));
    }
    crate::println("- deploy the stack: infra/INSTALL.md, step 4");
    crate::println("- slipway webhook, and slipway doctor");
}

/// The first few of `names`.
fn named(names: &[String]) -> String {
    let more = if names.len() > 5 { ", …" } else { "" };
    let first: Vec<&str> = names.iter().take(5).map(String::as_str).collect();
    if first.is_empty() { "none".to_owned() } else { format!("{}{more}", first.join(", ")) }
}
