//! Implements `slipway cluster list|get` with the table of `argocd cluster list` (argoproj/argo-cd
//! `cmd/argocd/commands/cluster.go`, printClusterTable). Each cluster is asked now.

use anyhow::Context as _;
use clap::{Args, Subcommand};
use futures::StreamExt as _;
use serde_json::{Value, json};
use slipway::app::{IN_CLUSTER_NAME, IN_CLUSTER_SERVER};
use slipway::error::chain;

use crate::app::ListFlags;
use crate::app::connect::CliContext;
use crate::view;

/// Clusters that are asked at the same time.
const CONCURRENCY: usize = 8;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the clusters, whether they answer, and their version.
    List(ListFlags),
    /// Print one cluster, by name or server.
    Get(Get),
}

#[derive(Args)]
pub(crate) struct Get {
    /// The cluster's name or server.
    name: String,
    #[command(flatten)]
    list: ListFlags,
}

/// A cluster, and what it answered.
struct Answered {
    name: String,
    server: String,
    project: String,
    version: Result<String, String>,
}

pub(crate) async fn run(command: &Command) -> anyhow::Result<()> {
    let (ListFlags { output, source }, name) = match command {
        Command::List(list) => (list, None),
        Command::Get(Get { name, list }) => (list, Some(name)),
    };
    let context = CliContext::open(source, "").await?;
    let mut places: Vec<(String, String, String)> = context
        .root
        .clusters
        .iter()
        .map(|secret| (secret.name.clone(), secret.server.clone(), secret.project.clone()))
        .collect();
    if !context.root.clusters.iter().any(|secret| secret.is_at(IN_CLUSTER_SERVER)) {
        places.insert(0, (IN_CLUSTER_NAME.to_owned(), IN_CLUSTER_SERVER.to_owned(), String::new()));
    }
    if let Some(name) = name {
        let names: Vec<String> = places.iter().map(|(name, ..)| name.clone()).collect();
        places.retain(|(one, server, _)| one == name || server.trim_end_matches('/') == name.trim_end_matches('/'));
        (!places.is_empty())
            .then_some(())
            .with_context(|| format!("no cluster `{name}`; there are: {}", names.join(", ")))?;
    }
    let engine = &context.engine;
    let ask = |(name, server, project): (String, String, String)| async move {
        let version = match engine.clusters.get(&server, "").await {
            Ok(found) => found.cluster.server_version().await.map_err(|error| error.to_string()),
            Err(error) => Err(chain(&error)),
        };
        Answered { name, server, project, version }
    };
    let answered: Vec<Answered> = futures::stream::iter(places).map(ask).buffered(CONCURRENCY).collect().await;
    let values: Value = answered.iter().map(value).collect();
    output.print(&values, || {
        let header = ["SERVER", "NAME", "VERSION", "STATUS", "MESSAGE", "PROJECT"].map(str::to_owned);
        view::table(&header, &answered.iter().map(row).collect::<Vec<_>>())
    });
    Ok(())
}

fn row(one: &Answered) -> Vec<String> {
    let (version, status, message) = match &one.version {
        Ok(version) => (version.clone(), "Successful", String::new()),
        Err(error) => (String::new(), "Failed", error.clone()),
    };
    vec![one.server.clone(), one.name.clone(), version, status.to_owned(), message, one.project.clone()]
}

/// As argocd prints a cluster: `connectionState` and `serverVersion`.
fn value(one: &Answered) -> Value {
    let (status, message) = match &one.version {
        Ok(_) => ("Successful", ""),
        Err(error) => ("Failed", error.as_str()),
    };
    json!({"name": one.name, "server": one.server, "project": one.project,
        "serverVersion": one.version.as_deref().unwrap_or_default(),
        "connectionState": {"status": status, "message": message}})
}
