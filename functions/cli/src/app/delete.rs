//! Implements `slipway app delete`: runs the application's deletion hooks, deletes its objects, then its state.

use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::{ArgAction, Args, ValueEnum};
use jiff::Timestamp;
use slipway::app::IN_CLUSTER_NAME;
use slipway::app::skip;
use slipway::clusters::ConnectedCluster;
use slipway::deploy::{prepare, trust};
use slipway::error::chain;
use slipway::notify::report::AppSyncStatus;
use slipway::reconcile::sync::Deadlines;
use slipway::reconcile::sync::delete::{self, Approval, DeletionRequest};
use slipway_cluster::Cluster;
use slipway_cluster::state::StoredState;
use slipway_gitops::prune_guard::Propagation;
use tokio::time::Instant;

use super::connect::{self, CliContext, person, recorded};
use super::{SourceFlags, ask};

/// Limit of a deletion: finalizers and hooks take their time.
const LIMIT: Duration = Duration::from_hours(1);

#[derive(Args)]
pub(crate) struct Arguments {
    /// The application's name, or NAMESPACE/NAME.
    name: String,
    /// Delete its objects too.
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    cascade: bool,
    /// How dependents of its objects are deleted.
    #[arg(short, long, value_enum, default_value = "foreground")]
    propagation_policy: Policy,
    /// Approve the deletion of exactly what this digest names, also of objects with `Delete=confirm`, without asking.
    #[arg(long, value_name = "DIGEST")]
    approve_prune: Option<String>,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    source: SourceFlags,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Policy {
    Foreground,
    Background,
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { name, cascade, propagation_policy, approve_prune, yes, source } = arguments;
    let cluster = connect::cluster(&source.cluster).await?;
    let found = recorded(&cluster, name).await?;
    if *cascade && found.state.notes.get("application").is_some_and(skip::is_recorded) {
        bail!("{name} {}; `--cascade=false` keeps its objects and forgets it", skip::SKIPPED);
    }
    if !yes && approve_prune.is_none() {
        let objects = if *cascade { found.state.inventory.len() } else { 0 };
        ask(
            &format!("Are you sure you want to delete '{name}' and {objects} objects of it? [y/n]"),
            "nothing is deleted",
            "--yes",
        )?;
    }
    let initiator = person(&cluster).await;
    let request =
        prepare::SyncRequest { initiator, ..Box::pin(prepare(source, cluster, &found, name, *cascade)).await? };
    let propagation = match propagation_policy {
        Policy::Foreground => Propagation::Foreground,
        Policy::Background => Propagation::Background,
    };
    let approval = approve_prune.as_ref().map_or(Approval::Asked, |digest| Approval::Plan(Some(digest.clone())));
    let deletion = DeletionRequest { cascade: cascade.then_some(propagation), approval };
    let holder = format!("slipway-cli-{}-{}", std::process::id(), Timestamp::now().as_millisecond());
    let times = Deadlines { timeout: LIMIT, ..Deadlines::until(Instant::now() + LIMIT) };
    let outcome = Box::pin(delete::delete(&request, &deletion, &holder, times)).await;
    for line in &outcome.changes {
        crate::println(line);
    }
    for warning in &outcome.warnings {
        crate::eprintln(&format!("warning: {warning}"));
    }
    if outcome.phase != AppSyncStatus::Healthy {
        bail!("{name} is not deleted: {}", outcome.problems.join("; "));
    }
    crate::println(&format!("application '{name}' deleted"));
    Ok(())
}

/// Prepares the deletion. Only hooks need the source: of the application in the root, or as it last was there.
async fn prepare(
    source: &SourceFlags,
    cluster: Cluster,
    found: &StoredState,
    name: &str,
    cascade: bool,
) -> anyhow::Result<prepare::SyncRequest> {
    let destination = ConnectedCluster { name: IN_CLUSTER_NAME.to_owned(), cluster };
    if !cascade || !prepare::has_deletion_hooks(&found.state) {
        return Ok(prepare::for_deletion(found, destination, None));
    }
    let context = CliContext::open(source, name).await?;
    let member = context.last_member(found).await?;
    let (revisions, state) = (prepare::deployed(&found.state), (&found.app, &found.state));
    let checked = trust::check_all(&context.checkouts, state, &member.tracked, &revisions).await;
    checked.map_err(|error| anyhow!(chain(&error)))?;
    let request = Box::pin(prepare::prepare(&context.engine, &context.checkouts, &member, &revisions)).await;
    Ok(prepare::SyncRequest { destination, ..request.map_err(|error| anyhow!(chain(&error)))? })
}
