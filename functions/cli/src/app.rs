//! Implements `slipway app …`: the verbs of `argocd app`, with its flags and outputs, on the code of the functions.
//!
//! `list`, `get`, `history` and `wait` read the recorded state in the cluster; `diff`, `manifests`, `sync` and
//! `rollback` render the commit and do what the functions do; `resources`, `logs`, `actions` and the verbs of one
//! resource ask the cluster. No server is needed.

mod actions;
pub(crate) mod connect;
mod delete;
mod diff;
mod elsewhere;
mod logs;
mod manifests;
mod read;
mod resource;
mod resources;
mod sync;
mod wait;

use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;
use slipway::root::ResolvedApplication;
use slipway_appset::Selector;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the applications of a cluster.
    List(read::List),
    /// Print an application's status.
    Get(read::Get),
    /// Show an application's deployments.
    History(read::History),
    /// Show what a sync would change; the exit code is 1 where something differs, 2 where it can't be told.
    Diff(diff::Arguments),
    /// Print what Git has of an application, as it would be applied; Secrets are masked.
    Manifests(CommitFlags),
    /// Sync an application to its commit.
    Sync(sync::Arguments),
    /// Wait until an application is synced and healthy.
    Wait(wait::Arguments),
    /// Roll an application back to a deployment of its history.
    Rollback(sync::Rollback),
    /// Delete an application's objects and its recorded state.
    Delete(delete::Arguments),
    /// List an application's objects, and what they own.
    Resources(resources::Arguments),
    /// Print the logs of an application's pods: of those that the flags choose, or that belong to what they choose.
    Logs(logs::Arguments),
    /// List or run what Argo CD calls resource actions.
    #[command(subcommand)]
    Actions(actions::Command),
    /// Print live objects of an application; Secrets are masked.
    GetResource(resource::Get),
    /// Patch a live object of an application.
    PatchResource(resource::PatchArguments),
    /// Delete a live object of an application.
    DeleteResource(resource::Delete),
    #[command(flatten)]
    Elsewhere(elsewhere::Command),
}

/// Runs a verb; returns the exit code.
pub(crate) async fn run(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::List(arguments) => read::list(&arguments).await.map(|()| 0),
        Command::Get(arguments) => read::get(&arguments).await.map(|()| 0),
        Command::History(arguments) => read::history(&arguments).await.map(|()| 0),
        Command::Diff(arguments) => Box::pin(diff::run(&arguments)).await,
        Command::Manifests(arguments) => Box::pin(manifests::run(&arguments)).await.map(|()| 0),
        Command::Sync(arguments) => Box::pin(sync::run(&arguments)).await,
        Command::Wait(arguments) => wait::run(&arguments).await.map(|()| 0),
        Command::Rollback(arguments) => Box::pin(sync::rollback(&arguments)).await,
        Command::Delete(arguments) => Box::pin(delete::run(&arguments)).await.map(|()| 0),
        Command::Resources(arguments) => resources::run(&arguments).await.map(|()| 0),
        Command::Logs(arguments) => Box::pin(logs::run(&arguments)).await.map(|()| 0),
        Command::Actions(command) => actions::run(&command).await.map(|()| 0),
        Command::GetResource(arguments) => resource::get(&arguments).await.map(|()| 0),
        Command::PatchResource(arguments) => resource::patch(&arguments).await.map(|()| 0),
        Command::DeleteResource(arguments) => resource::delete(&arguments).await.map(|()| 0),
        Command::Elsewhere(command) => elsewhere::run(&command).await,
    }
}

/// Which cluster.
#[derive(Args, Default)]
pub(crate) struct ClusterFlags {
    /// The kubeconfig of the cluster; by default `SLIPWAY_KUBECONFIG`, the EKS cluster `SLIPWAY_CLUSTER`, what
    /// `KUBECONFIG` names, or `~/.kube/config`.
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context in it, if not the current one.
    #[arg(long)]
    pub(crate) context: Option<String>,
}

/// Where the manifests are.
#[derive(Args, Default)]
pub(crate) struct SourceFlags {
    /// The root application folder, `https://github.com/OWNER/REPO//PATH?ref=BRANCH`; by default `SLIPWAY_ROOT`, or the
    /// root by which the application was deployed. GitHub is asked with `GITHUB_TOKEN`, `GH_TOKEN`, or the secret that
    /// `SLIPWAY_GITHUB_SECRET` names.
    #[arg(long, value_name = "URL")]
    root: Option<String>,
    /// A local folder instead of the root's repository, uncommitted changes included.
    #[arg(long, value_name = "FOLDER")]
    local: Option<PathBuf>,
    #[command(flatten)]
    cluster: ClusterFlags,
}

/// How to print what the root declares, and which root.
#[derive(Args)]
pub(crate) struct ListFlags {
    /// How to print.
    #[arg(short, long, value_enum, default_value = "wide")]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) source: SourceFlags,
}

/// Which application, and at which commit.
#[derive(Args)]
pub(crate) struct CommitFlags {
    /// The application's name, or NAMESPACE/NAME.
    name: String,
    #[command(flatten)]
    revisions: RevisionFlags,
    #[command(flatten)]
    source: SourceFlags,
}

/// Which applications.
#[derive(Args)]
pub(crate) struct Chosen {
    /// The applications' names, or NAMESPACE/NAME.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// All with these labels, as `kubectl -l` takes them.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<Selector>,
    /// All of this project; may be repeated.
    #[arg(long)]
    project: Vec<String>,
    /// The namespace of the Applications that are named without one.
    #[arg(short = 'N', long, value_name = "NAMESPACE")]
    app_namespace: Option<String>,
}

impl Chosen {
    /// The names; each with the namespace where that is given by a flag.
    fn names(&self) -> Vec<String> {
        let full = |name: &String| match &self.app_namespace {
            Some(namespace) if !name.contains('/') => format!("{namespace}/{name}"),
            _ => name.clone(),
        };
        self.names.iter().map(full).collect()
    }

    /// Whether labels or projects choose, too.
    fn is_by_group(&self) -> bool {
        self.selector.is_some() || !self.project.is_empty()
    }

    /// Whether labels and projects choose this Application.
    fn fits(&self, application: &Value) -> bool {
        let text = |pointer: &str| application.pointer(pointer).and_then(Value::as_str);
        let project = text("/spec/project").filter(|name| !name.is_empty()).unwrap_or("default");
        let labels = application.pointer("/metadata/labels");
        let label = |key: &str| labels.and_then(|labels| labels.get(key)?.as_str());
        self.is_by_group()
            && self.selector.as_ref().is_none_or(|selector| selector.matches(label))
            && (self.project.is_empty() || self.project.iter().any(|name| name == project))
            && self.app_namespace.as_deref().is_none_or(|wanted| text("/metadata/namespace") == Some(wanted))
    }
}

/// Which commits, instead of those that the application tracks.
#[derive(Args, Default)]
pub(crate) struct RevisionFlags {
    /// The commit, branch or tag, instead of the one that the application tracks.
    #[arg(long)]
    revision: Option<String>,
    /// The commit, branch or tag of one of several sources, in the order of --source-positions; may be repeated.
    #[arg(long, value_name = "REVISION", conflicts_with = "revision", requires = "source_positions")]
    revisions: Vec<String>,
    /// Which of an application's several sources --revisions is for, counted from 1.
    #[arg(long, value_name = "NUMBER", value_delimiter = ',', requires = "revisions")]
    source_positions: Vec<usize>,
}

impl RevisionFlags {
    fn is_empty(&self) -> bool {
        self.revision.is_none() && self.revisions.is_empty()
    }

    /// The revisions, each by the place of its source.
    fn of(&self, member: &ResolvedApplication) -> anyhow::Result<BTreeMap<usize, String>> {
        let Self { revision, revisions, source_positions } = self;
        let count = member.app.sources.len();
        if let (Some(_), 1..) = (revision, count) {
            bail!("{} has several sources: use --revisions with --source-positions", member.app.name);
        }
        if revisions.len() != source_positions.len() {
            bail!("--revisions and --source-positions need to be as many");
        }
        if let Some(wrong) = source_positions.iter().find(|at| !(1..=count).contains(*at)) {
            bail!("{} has no source {wrong} in `spec.sources`", member.app.name);
        }
        let places = source_positions.iter().map(|at| at.saturating_sub(1));
        Ok(revision.iter().map(|one| (0, one.clone())).chain(places.zip(revisions.iter().cloned())).collect())
    }
}

/// Asks for a yes; without one `nothing` happens, which is an error. Without a terminal `flag` has to say it.
fn ask(question: &str, nothing: &str, flag: &str) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() {
        bail!("{nothing} without a terminal to ask on: use {flag}");
    }
    crate::eprintln(question);
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if answer.trim().eq_ignore_ascii_case("y") { Ok(()) } else { bail!("{nothing}") }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Wide,
    Json,
    Yaml,
}

impl Output {
    /// Prints `value` as YAML or JSON, or the result of `wide`.
    pub(crate) fn print(self, value: &Value, wide: impl FnOnce() -> String) {
        let text = match self {
            Self::Wide => wide(),
            Self::Json => format!("{value:#}"),
            Self::Yaml => slipway_manifest::yaml::to_string(value),
        };
        crate::println(text.trim_end_matches('\n'));
    }
}
