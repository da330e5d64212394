//! `slipway app wait`: until what the cluster remembers, and what is live in it, is as wanted.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use jiff::Timestamp;
use serde_json::Value;
use slipway_cluster::Cluster;
use slipway_cluster::discover::GroupKind;
use slipway_cluster::health::{self, Health};
use slipway_cluster::live::{self, Place};
use slipway_cluster::state::State;
use slipway_cluster::status::SyncStatus;
use tokio::time::Instant;

use super::connect::{self, application, recorded};
use super::{ClusterFlags, Output};
use crate::view;

/// How often the cluster is asked.
const ASK: Duration = Duration::from_secs(2);

#[derive(Args)]
pub(crate) struct Arguments {
    /// The application's name, or NAMESPACE/NAME.
    name: String,
    /// Wait until it is synced.
    #[arg(long)]
    sync: bool,
    /// Wait until it is healthy.
    #[arg(long)]
    health: bool,
    /// Wait until no operation is under way.
    #[arg(long)]
    operation: bool,
    /// Give up after this many seconds; 0 is never.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    timeout: u64,
    /// How to print the application afterwards.
    #[arg(short, long, value_enum, default_value = "wide")]
    output: Output,
    #[command(flatten)]
    flags: ClusterFlags,
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { name, sync, health, operation, timeout, output, flags } = arguments;
    // As argocd has it: without a wish all of them.
    let all = !sync && !health && !operation;
    let cluster = connect::cluster(flags).await?;
    let until = (*timeout > 0).then(|| Instant::now() + Duration::from_secs(*timeout));
    loop {
        let recorded = recorded(&cluster, name).await?;
        let state = &recorded.state;
        let mut missing = Vec::new();
        if (*operation || all) && state.operation.is_some() {
            missing.push("an operation is under way".to_owned());
        }
        if (*sync || all) && state.status.sync.status != SyncStatus::Synced {
            missing.push(format!("it is {:?}", state.status.sync.status));
        }
        if *health || all {
            missing.extend(unhealthy(&cluster, state).await);
        }
        if missing.is_empty() {
            let application = application(&recorded)?;
            let url = application.get("url").and_then(Value::as_str).unwrap_or_default().to_owned();
            output.print(&application, || view::print(&application, &url, false, Timestamp::now()));
            return Ok(());
        }
        if until.is_some_and(|until| Instant::now() + ASK >= until) {
            bail!("timed out ({timeout}s) waiting for {name}: {}", missing.join("; "));
        }
        tokio::time::sleep(ASK).await;
    }
}

/// What of the application is not healthy now, one line each.
async fn unhealthy(cluster: &Cluster, state: &State) -> Vec<String> {
    let known: BTreeSet<GroupKind> = state.inventory.iter().map(GroupKind::of).collect();
    let kinds = cluster.resolve(&BTreeSet::new(), &known).await;
    let places: Vec<Place> = state
        .inventory
        .iter()
        .filter_map(|id| {
            let resource = kinds.of_group_kind(&GroupKind::of(id)).ok()?.clone();
            Some(Place { resource, namespace: id.namespace.clone(), name: id.name.clone() })
        })
        .collect();
    let (objects, failures) = live::get_all(cluster, &places).await;
    let bad = objects.iter().filter_map(|(id, object)| Some((id, health::of(object)?)));
    let bad = bad.filter(|(_, verdict)| verdict.health != Health::Healthy);
    let lines = bad.map(|(id, verdict)| format!("{id} is {:?}: {}", verdict.health, verdict.message));
    lines.chain(failures.iter().map(slipway_cluster::Failure::explain)).collect()
}
