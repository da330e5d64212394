//! Implements `list`, `get` and `history`: prints the recorded state in the cluster.

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::Value;
use slipway::app::skip;
use slipway_appset::Selector;
use slipway_cluster::state;

use super::connect::{self, application, recorded};
use super::{ClusterFlags, Output, resources};
use crate::view;

#[derive(Args)]
pub(crate) struct List {
    /// Only those of this project; may be repeated.
    #[arg(short, long)]
    project: Vec<String>,
    /// Only those from this repository.
    #[arg(short, long, value_name = "URL")]
    repo: Option<String>,
    /// Only those that go to this cluster, by name or server.
    #[arg(short, long)]
    cluster: Option<String>,
    /// Only those with these labels, as `kubectl -l` takes them.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<Selector>,
    /// Only those whose Application is in this namespace.
    #[arg(short = 'N', long, value_name = "NAMESPACE")]
    app_namespace: Option<String>,
    /// How to print.
    #[arg(short, long, value_enum, default_value = "wide")]
    output: ListOutput,
    #[command(flatten)]
    flags: ClusterFlags,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ListOutput {
    Wide,
    Name,
    Json,
    Yaml,
}

#[derive(Args)]
pub(crate) struct Get {
    /// The application's name, or NAMESPACE/NAME.
    name: String,
    /// How to print; `tree` has the objects with what they own.
    #[arg(short, long, value_enum, default_value = "wide")]
    output: GetOutput,
    /// Accepted for argocd's sake: the status is what the last push or check recorded.
    #[arg(long)]
    refresh: bool,
    /// As --refresh.
    #[arg(long)]
    hard_refresh: bool,
    /// Print the last operation too.
    #[arg(long)]
    show_operation: bool,
    #[command(flatten)]
    flags: ClusterFlags,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum GetOutput {
    Wide,
    Tree,
    Json,
    Yaml,
}

#[derive(Args)]
pub(crate) struct History {
    /// The application's name, or NAMESPACE/NAME.
    name: String,
    /// How to print.
    #[arg(short, long, value_enum, default_value = "wide")]
    output: HistoryOutput,
    #[command(flatten)]
    flags: ClusterFlags,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum HistoryOutput {
    Wide,
    Id,
}

pub(super) async fn list(arguments: &List) -> anyhow::Result<()> {
    let List { project, repo, cluster: wanted, selector, app_namespace, output, flags } = arguments;
    let cluster = connect::cluster(flags).await?;
    let mut applications = Vec::new();
    for key in connect::keys(&cluster).await? {
        if let Some(recorded) = state::read(&cluster, &key).await? {
            applications.push(application(&recorded)?);
        }
    }
    let is = |value: &Value, pointer: &str, text: &str| value.pointer(pointer).and_then(Value::as_str) == Some(text);
    applications.retain(|app| {
        let at = |text: &String| is(app, "/spec/destination/server", text) || is(app, "/spec/destination/name", text);
        (project.is_empty() || project.iter().any(|name| is(app, "/spec/project", name)))
            && repo.as_ref().is_none_or(|url| view::source_text(app, "repoURL") == url)
            && wanted.as_ref().is_none_or(at)
            && selector
                .as_ref()
                .is_none_or(|selector| selector.matches(|key| app.pointer("/metadata/labels")?.get(key)?.as_str()))
            && app_namespace.as_ref().is_none_or(|wanted| is(app, "/metadata/namespace", wanted))
    });
    applications.sort_by_key(view::qualified_name);
    let output = match output {
        ListOutput::Name => {
            for app in &applications {
                crate::println(&view::qualified_name(app));
            }
            return Ok(());
        }
        ListOutput::Wide => Output::Wide,
        ListOutput::Json => Output::Json,
        ListOutput::Yaml => Output::Yaml,
    };
    output.print(&Value::from(applications.clone()), || view::list(&applications));
    for skipped in applications.iter().filter(|app| skip::is_recorded(app)) {
        crate::eprintln(&format!("warning: {} {}", view::qualified_name(skipped), skip::SKIPPED));
    }
    Ok(())
}

pub(super) async fn get(arguments: &Get) -> anyhow::Result<()> {
    let Get { name, output, show_operation, flags, refresh, hard_refresh } = arguments;
    let cluster = connect::cluster(flags).await?;
    let found = recorded(&cluster, name).await?;
    if *refresh || *hard_refresh {
        crate::eprintln(&format!(
            "warning: the status is what was recorded last; `slipway app diff {name}` compares Git and cluster now"
        ));
    }
    let application = application(&found)?;
    let url = application.get("url").and_then(Value::as_str).unwrap_or_default().to_owned();
    let output = match output {
        GetOutput::Wide => Output::Wide,
        GetOutput::Json => Output::Json,
        GetOutput::Yaml => Output::Yaml,
        GetOutput::Tree => {
            let tree = resources::read(&cluster, &found).await;
            crate::println(&view::summary(&application, &url, *show_operation, Timestamp::now()));
            crate::print(&resources::table(&tree, &application));
            resources::warn(&tree);
            return Ok(());
        }
    };
    output.print(&application, || view::print(&application, &url, *show_operation, Timestamp::now()));
    Ok(())
}

pub(super) async fn history(arguments: &History) -> anyhow::Result<()> {
    let History { name, output, flags } = arguments;
    let cluster = connect::cluster(flags).await?;
    let recorded = recorded(&cluster, name).await?;
    let history = &recorded.state.status.history;
    let text = match output {
        HistoryOutput::Id => history.iter().map(|one| one.id.to_string()).collect::<Vec<_>>().join("\n"),
        HistoryOutput::Wide => view::history(history),
    };
    if !text.is_empty() {
        crate::println(text.trim_end_matches('\n'));
    }
    Ok(())
}
