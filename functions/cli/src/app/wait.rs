//! Implements `slipway app wait`: waits until recorded state and live objects are as requested.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use jiff::Timestamp;
use serde_json::Value;
use slipway::deploy::selection::{self, Pattern};
use slipway_cluster::Cluster;
use slipway_cluster::objects::{self, ObjectRef};
use slipway_cluster::state::State;
use slipway_gitops::Redactor;
use slipway_gitops::api_resources::GroupKind;
use slipway_gitops::health::{self, Health, HealthStatus};
use slipway_gitops::status::{ResourceStatus, SyncStatus};
use slipway_manifest::ObjectId;
use tokio::time::Instant;

use super::connect::{self, application, recorded};
use super::{Chosen, ClusterFlags, Output};
use crate::view;

/// Polling interval.
const ASK: Duration = Duration::from_secs(2);

#[derive(Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of argocd's")]
pub(crate) struct Arguments {
    #[command(flatten)]
    chosen: Chosen,
    /// Wait until it is synced.
    #[arg(long)]
    sync: bool,
    /// Wait until it is healthy.
    #[arg(long)]
    health: bool,
    /// Wait until it is suspended, or as well as `--health` says.
    #[arg(long)]
    suspended: bool,
    /// Wait until it is degraded, or as well as `--health` says.
    #[arg(long)]
    degraded: bool,
    /// Wait until no operation is in progress.
    #[arg(long)]
    operation: bool,
    /// Wait for this only: GROUP:KIND:NAME or GROUP:KIND:NAMESPACE/NAME, with `!` before it for all but this; `*` is
    /// any. May be given repeatedly.
    #[arg(long, value_name = "[!]GROUP:KIND:NAME")]
    resource: Vec<Pattern>,
    /// Give up after this many seconds; 0 is never.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    timeout: u64,
    /// How to print the application afterwards.
    #[arg(short, long, value_enum, default_value = "wide")]
    output: Output,
    #[command(flatten)]
    flags: ClusterFlags,
}

impl Arguments {
    /// The accepted health states; empty where health is not requested. Without any flag everything is requested, as in
    /// argocd.
    fn healths(&self, all: bool) -> Vec<Health> {
        let wishes = [
            (self.health || all, Health::Healthy),
            (self.suspended, Health::Suspended),
            (self.degraded, Health::Degraded),
        ];
        wishes.into_iter().filter_map(|(wished, health)| wished.then_some(health)).collect()
    }
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { chosen, timeout, flags, .. } = arguments;
    let cluster = connect::cluster(flags).await?;
    // A timeout beyond the clock's range is unlimited.
    let until = Instant::now().checked_add(Duration::from_secs(*timeout)).filter(|_| *timeout > 0);
    for name in connect::chosen(&cluster, chosen).await? {
        wait(&cluster, &name, arguments, until).await?;
    }
    Ok(())
}

async fn wait(cluster: &Cluster, name: &str, arguments: &Arguments, until: Option<Instant>) -> anyhow::Result<()> {
    let Arguments { sync, health, suspended, degraded, operation, resource, timeout, output, .. } = arguments;
    let all = !(*sync || *health || *suspended || *degraded || *operation);
    let healths = arguments.healths(all);
    loop {
        let recorded = recorded(cluster, name).await?;
        let state = &recorded.state;
        let part = match resource.as_slice() {
            [] => None,
            patterns => {
                Some(selection::choose(patterns, &state.status.resources.iter().map(ResourceStatus::id).collect())?)
            }
        };
        let mut missing = Vec::new();
        if (*operation || all) && state.operation.is_some() {
            missing.push("an operation is in progress".to_owned());
        }
        if *sync || all {
            missing.extend(unsynced(state, part.as_ref()));
        }
        if !healths.is_empty() {
            let places = part.as_ref().unwrap_or(&state.inventory);
            missing.extend(unhealthy(cluster, places, &healths).await);
        }
        if missing.is_empty() {
            let application = application(&recorded)?;
            let url = application.get("url").and_then(Value::as_str).unwrap_or_default().to_owned();
            output.print(&application, || view::print(&application, &url, false, Timestamp::now()));
            return Ok(());
        }
        if until.is_some_and(|until| until.saturating_duration_since(Instant::now()) <= ASK) {
            bail!("timed out ({timeout}s) waiting for {name}: {}", missing.join("; "));
        }
        tokio::time::sleep(ASK).await;
    }
}

/// What is not synced: the application, or which objects of the selection.
fn unsynced(state: &State, part: Option<&BTreeSet<ObjectId>>) -> Vec<String> {
    let Some(part) = part else {
        let status = state.status.sync.status;
        return if status == SyncStatus::Synced { Vec::new() } else { vec![format!("it is {status:?}")] };
    };
    let rows = state.status.resources.iter().filter(|row| part.contains(&row.id()));
    let open = rows.filter(|row| row.status != Some(SyncStatus::Synced));
    open.map(|row| format!("{} is {:?}", row.id(), row.status.unwrap_or(SyncStatus::Unknown))).collect()
}

/// The objects whose health is not one of `wanted`, one line each; and their aggregate, where that is not wanted
/// either.
async fn unhealthy(cluster: &Cluster, ids: &BTreeSet<ObjectId>, wanted: &[Health]) -> Vec<String> {
    let known: BTreeSet<GroupKind> = ids.iter().map(GroupKind::of).collect();
    let kinds = cluster.resolve(&BTreeSet::new(), &known).await;
    let places: Vec<ObjectRef> = ids
        .iter()
        .filter_map(|id| {
            let resource = kinds.of_group_kind(&GroupKind::of(id)).ok()?.clone();
            Some(ObjectRef { resource, namespace: id.namespace.clone(), name: id.name.clone() })
        })
        .collect();
    let (objects, failures) = objects::get_all(cluster, &places).await;
    let found: Vec<(&ObjectId, HealthStatus)> =
        objects.iter().filter_map(|(id, object)| Some((id, health::of(object)?))).collect();
    let worst = health::aggregate(found.iter().map(|(_, verdict)| Some(verdict)));
    let failed = failures.iter().map(slipway_gitops::Failure::with_remedy);
    if wanted.contains(&worst) {
        return failed.collect();
    }
    let is_bad = |health: Health| health != Health::Healthy && !wanted.contains(&health);
    let bad = found.iter().filter(|(_, verdict)| is_bad(verdict.health));
    let redactor = Redactor::of(objects.values());
    let lines = bad.map(|(id, verdict)| format!("{id} is {:?}: {}", verdict.health, redactor.redact(&verdict.message)));
    let whole = (worst == Health::Healthy).then(|| "it is Healthy".to_owned());
    lines.chain(whole).chain(failed).collect()
}
