//! Implements `slipway proj list|get|windows` with the tables of `argocd proj` (argoproj/argo-cd
//! `cmd/argocd/commands/project.go`, `projectwindows.go`).

use anyhow::Context as _;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};
use slipway_gitops::app::project::{AppProject, DestinationRule, GroupKindRule, SyncWindow};

use crate::app::connect::CliContext;
use crate::app::{ListFlags, SourceFlags};
use crate::view;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the projects.
    List(ListFlags),
    /// Print a project.
    Get(Get),
    /// List the sync windows of a project.
    Windows(Windows),
}

#[derive(Args)]
pub(crate) struct Get {
    /// The project's name.
    name: String,
    #[command(flatten)]
    list: ListFlags,
}

#[derive(Args)]
pub(crate) struct Windows {
    /// `list`, as argocd has it, and the project's name.
    #[arg(required = true, num_args = 1..=2, value_names = ["list", "NAME"])]
    words: Vec<String>,
    #[command(flatten)]
    list: ListFlags,
}

pub(crate) async fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::List(ListFlags { output, source }) => {
            let projects = CliContext::open(source, "").await?.root.projects.all();
            let values: Vec<Value> = projects.iter().map(|project| value(project)).collect();
            output.print(&Value::from(values), || {
                let header = [
                    "NAME",
                    "DESCRIPTION",
                    "DESTINATIONS",
                    "SOURCES",
                    "CLUSTER-RESOURCE-WHITELIST",
                    "NAMESPACE-RESOURCE-BLACKLIST",
                ];
                view::table(&header.map(str::to_owned), &projects.iter().map(|one| row(one)).collect::<Vec<_>>())
            });
        }
        Command::Get(Get { name, list: ListFlags { output, source } }) => {
            let project = project(source, name).await?;
            output.print(&value(&project), || text(&project));
        }
        Command::Windows(Windows { words, list: ListFlags { output, source } }) => {
            let name = words.iter().find(|word| *word != "list").context("name the project")?;
            let windows = &project(source, name).await?.windows;
            let now = Timestamp::now();
            output.print(&windows.iter().map(window_value).collect(), || windows_table(windows, now));
        }
    }
    Ok(())
}

async fn project(source: &SourceFlags, name: &str) -> anyhow::Result<AppProject> {
    let projects = CliContext::open(source, "").await?.root.projects;
    let found = projects.get(name).with_context(|| {
        let names: Vec<String> = projects.all().iter().map(|project| project.name.clone()).collect();
        format!("no project `{name}`; there are: {}", names.join(", "))
    })?;
    Ok(AppProject::clone(&found))
}

fn kind(rule: &GroupKindRule) -> String {
    format!("{}/{}", rule.group, rule.kind)
}

fn destinations(project: &AppProject) -> Vec<String> {
    let one = |rule: &DestinationRule| {
        let cluster = if rule.server.is_empty() { &rule.name } else { &rule.server };
        format!("{cluster},{}", rule.namespace)
    };
    project.destinations.iter().map(one).collect()
}

/// One entry itself, more of them as a number.
fn few(entries: &[String], what: &str) -> String {
    match entries {
        [] => "<none>".to_owned(),
        [one] => one.clone(),
        several => format!("{} {what}", several.len()),
    }
}

fn row(project: &AppProject) -> Vec<String> {
    let kinds = |rules: &[GroupKindRule]| rules.iter().map(kind).collect::<Vec<_>>();
    vec![
        project.name.clone(),
        project.description.clone(),
        few(&destinations(project), "destinations"),
        few(&project.source_repos, "repos"),
        few(&kinds(&project.cluster_whitelist), "resources"),
        few(&kinds(&project.namespace_blacklist), "resources"),
    ]
}

fn text(project: &AppProject) -> String {
    let kinds = |rules: &[GroupKindRule]| rules.iter().map(kind).collect::<Vec<_>>();
    let allowed = project.namespace_whitelist.as_deref().map(kinds);
    let lists = [
        ("Destinations:", destinations(project)),
        ("Repositories:", project.source_repos.clone()),
        ("Source Namespaces:", project.source_namespaces.clone()),
        ("Allowed Cluster Resources:", kinds(&project.cluster_whitelist)),
        ("Denied Cluster Resources:", kinds(&project.cluster_blacklist)),
        ("Allowed Namespaced Resources:", allowed.unwrap_or_else(|| vec!["*/*".to_owned()])),
        ("Denied Namespaced Resources:", kinds(&project.namespace_blacklist)),
    ];
    let mut lines =
        vec![format!("{:<31}{}", "Name:", project.name), format!("{:<31}{}", "Description:", project.description)];
    for (label, entries) in lists {
        let (first, others) = entries.split_first().map_or(("<none>", &[][..]), |(one, rest)| (one.as_str(), rest));
        lines.push(format!("{label:<31}{first}"));
        lines.extend(others.iter().map(|entry| format!("{:<31}{entry}", "")));
    }
    for control in &project.controls {
        lines.push(format!("{:<31}{control}", "Denies all:"));
    }
    lines.join("\n")
}

fn windows_table(windows: &[SyncWindow], now: Timestamp) -> String {
    let header = [
        "ID",
        "STATUS",
        "KIND",
        "SCHEDULE",
        "DURATION",
        "APPLICATIONS",
        "NAMESPACES",
        "CLUSTERS",
        "MANUALSYNC",
        "TIMEZONE",
        "USEANDOPERATOR",
    ];
    let list = |entries: &[String]| if entries.is_empty() { "-".to_owned() } else { entries.join(",") };
    let enabled = |is: bool| if is { "Enabled" } else { "Disabled" }.to_owned();
    let row = |(id, window): (usize, &SyncWindow)| {
        let status = match window.is_active(now) {
            Ok(true) => "Active".to_owned(),
            Ok(false) => "Inactive".to_owned(),
            Err(error) => error.to_string(),
        };
        vec![
            id.to_string(),
            status,
            window.kind.clone(),
            window.schedule.clone(),
            window.duration.clone(),
            list(&window.applications),
            list(&window.namespaces),
            list(&window.clusters),
            enabled(window.manual_sync),
            window.time_zone.clone(),
            enabled(window.and_operator),
        ]
    };
    view::table(&header.map(str::to_owned), &windows.iter().enumerate().map(row).collect::<Vec<_>>())
}

fn window_value(window: &SyncWindow) -> Value {
    json!({"kind": window.kind, "schedule": window.schedule, "duration": window.duration,
        "applications": window.applications, "namespaces": window.namespaces, "clusters": window.clusters,
        "manualSync": window.manual_sync, "timeZone": window.time_zone, "andOperator": window.and_operator})
}

/// The project in Argo CD's shape.
fn value(project: &AppProject) -> Value {
    let kinds = |rules: &[GroupKindRule]| -> Value {
        rules.iter().map(|rule| json!({"group": rule.group, "kind": rule.kind})).collect()
    };
    let destination = |rule: &DestinationRule| {
        json!({"server": rule.server, "name": rule.name,
            "namespace": rule.namespace})
    };
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": project.name},
        "spec": {"description": project.description, "sourceRepos": project.source_repos,
            "destinations": project.destinations.iter().map(destination).collect::<Vec<_>>(),
            "sourceNamespaces": project.source_namespaces,
            "clusterResourceWhitelist": kinds(&project.cluster_whitelist),
            "clusterResourceBlacklist": kinds(&project.cluster_blacklist),
            "namespaceResourceWhitelist": project.namespace_whitelist.as_deref().map(kinds),
            "namespaceResourceBlacklist": kinds(&project.namespace_blacklist),
            "syncWindows": project.windows.iter().map(window_value).collect::<Vec<_>>()}})
}
