//! `slipway app delete`: the application's objects, then what is remembered of it.

use std::collections::BTreeSet;
use std::io::{BufRead as _, IsTerminal as _};
use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::{ArgAction, Args, ValueEnum};
use jiff::Timestamp;
use slipway_cluster::discover::GroupKind;
use slipway_cluster::live::{self, Place};
use slipway_cluster::lock::{self, Acquired};
use slipway_cluster::prune::{self, Propagation, Pruned};
use slipway_cluster::state::{self, Recorded};
use slipway_cluster::{Cluster, plan};
use slipway_manifest::kind_order;

use super::ClusterFlags;
use super::connect::{self, recorded};

/// How long a renewal of the Lease lasts.
const LEASE: Duration = Duration::from_secs(30);

#[derive(Args)]
pub(crate) struct Arguments {
    /// The application's name, or NAMESPACE/NAME.
    name: String,
    /// Delete its objects too.
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    cascade: bool,
    /// What happens to what its objects own.
    #[arg(short, long, value_enum, default_value = "foreground")]
    propagation_policy: Policy,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    flags: ClusterFlags,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Policy {
    Foreground,
    Background,
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { name, cascade, propagation_policy, yes, flags } = arguments;
    let cluster = connect::cluster(flags).await?;
    let found = recorded(&cluster, name).await?;
    if !yes {
        let objects = if *cascade { found.state.inventory.len() } else { 0 };
        ask(&format!("Are you sure you want to delete '{name}' and {objects} objects of it? [y/n]"))?;
    }
    let holder = format!("slipway-cli-{}-{}", std::process::id(), Timestamp::now().as_millisecond());
    let options = lock::Options { holder, duration: LEASE, patience: LEASE, wanted: String::new() };
    let lease = match lock::acquire(&cluster, &found.app, &options).await? {
        Acquired::Mine(lease) => lease,
        Acquired::Held { holder } => bail!("{holder} is at work on {name}: try again later"),
    };
    let propagation = match propagation_policy {
        Policy::Foreground => Propagation::Foreground,
        Policy::Background => Propagation::Background,
    };
    let bound = lease.cluster();
    let work = async {
        if *cascade {
            objects(&bound, &found, propagation).await?;
        }
        state::forget(&bound, &found).await?;
        anyhow::Ok(())
    };
    let done = lease.hold(Box::pin(work)).await;
    lease.release().await?;
    done??;
    crate::println(&format!("application '{name}' deleted"));
    Ok(())
}

fn ask(question: &str) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() {
        bail!("nothing is deleted without a terminal to ask on: use --yes");
    }
    crate::eprintln(question);
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if answer.trim().eq_ignore_ascii_case("y") { Ok(()) } else { bail!("nothing is deleted") }
}

/// Deletes everything in the inventory that is beyond doubt the application's, in the opposite order of an apply.
async fn objects(cluster: &Cluster, found: &Recorded, propagation: Propagation) -> anyhow::Result<()> {
    let inventory = &found.state.inventory;
    let known: BTreeSet<GroupKind> = inventory.iter().map(GroupKind::of).collect();
    let kinds = cluster.resolve(&BTreeSet::new(), &known).await;
    let key = &found.app;
    let instance = match key.namespace.as_str() {
        "" | "argocd" => key.name.clone(),
        namespace => format!("{namespace}_{}", key.name),
    };
    let owner = plan::Owner { app: instance, applyset: key.applyset_id(), namespace: String::new() };
    let mut ids: Vec<_> = inventory.iter().collect();
    ids.sort_by_key(|id| std::cmp::Reverse(kind_order::rank(&id.kind)));
    for id in ids {
        let resource = kinds.of_group_kind(&GroupKind::of(id))?.clone();
        let place = Place { resource, namespace: id.namespace.clone(), name: id.name.clone() };
        let failed = |failure: slipway_cluster::Failure| anyhow!(failure.explain());
        let Some(object) = live::get(cluster, &place).await.map_err(failed)? else { continue };
        let pruned = prune::prune(cluster, &place, &object, &owner, inventory, propagation, false).await;
        match pruned.map_err(failed)? {
            Pruned::Spared(reason) => crate::eprintln(&format!("warning: {id} stays: {reason}")),
            _ => crate::println(&format!("{id} deleted")),
        }
    }
    Ok(())
}
