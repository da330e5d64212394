//! Implements `slipway app sync` and `rollback`: a manual deployment by the code of the functions.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use jiff::Timestamp;
use serde_json::Value;
use slipway::app::skip::SKIPPED;
use slipway::deploy::selection::{self, Pattern};
use slipway::deploy::{prepare, trust};
use slipway::error::chain;
use slipway::notify::report::AppSyncStatus;
use slipway::reconcile::sync::{self, Deadlines, OperationKind, SyncRequest};
use slipway::root::ResolvedApplication;
use slipway::time;
use slipway_cluster::state;
use slipway_gitops::Revisions;
use slipway_manifest::ObjectId;
use tokio::sync::watch;

use super::connect::{CliContext, application, person};
use super::diff::{self, Sides};
use super::{CommitFlags, Output, RevisionFlags, SourceFlags};
use crate::view;

/// Time for ending a sync that reached its limit, and for recording that.
const RECORDING_RESERVE: Duration = Duration::from_secs(30);

#[derive(Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of argocd's")]
pub(crate) struct Arguments {
    /// Sync only this, without hooks: GROUP:KIND:NAME or GROUP:KIND:NAMESPACE/NAME, with `!` before it all but this;
    /// `*` is any. May be given repeatedly.
    #[arg(long, value_name = "[!]GROUP:KIND:NAME")]
    resource: Vec<Pattern>,
    /// Sync objects in Git with this label, too; may be given repeatedly, and one matching label is enough.
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// Apply only what differs from Git.
    #[arg(long)]
    apply_out_of_sync_only: bool,
    /// Delete and re-create objects whose immutable fields differ.
    #[arg(long)]
    force: bool,
    /// Replace objects instead of applying them.
    #[arg(long)]
    replace: bool,
    /// Approve exactly this plan of deletions, which the prune guard blocks; implies --prune.
    #[arg(long, value_name = "DIGEST")]
    approve_prune: Option<String>,
    /// Print what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    manner: Manner,
    #[command(flatten)]
    commit: CommitFlags,
}

/// Flags of a sync that are independent of its commit.
#[derive(Args)]
struct Manner {
    /// Delete objects that the commit does not have.
    #[arg(long)]
    prune: bool,
    /// Give up after this many seconds; 0 is never.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    timeout: u64,
    /// How to print the application afterwards.
    #[arg(short, long, value_enum, default_value = "wide")]
    output: Output,
}

#[derive(Args)]
pub(crate) struct Rollback {
    /// The application's name, or NAMESPACE/NAME.
    name: String,
    /// The deployment's number in the history; by default the one before the last.
    id: Option<u64>,
    #[command(flatten)]
    manner: Manner,
    #[command(flatten)]
    source: SourceFlags,
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let Arguments { approve_prune, dry_run, manner, commit: CommitFlags { name, revisions, source }, .. } = arguments;
    let context = CliContext::open(source, name).await?;
    let member = context.member(name)?;
    if source.local.is_some() && member.is_automated() && !dry_run {
        bail!("{name} is synced automatically, which would undo a sync of a folder: use --dry-run");
    }
    let revisions = context.revisions(member, revisions).await?;
    let mut request = prepare(&context, member, &revisions).await?;
    request.policy.options.prune = manner.prune || approve_prune.is_some();
    if approve_prune.is_some() {
        request.policy.prune_approved.clone_from(approve_prune);
    }
    request.policy.options.force |= arguments.force;
    request.policy.options.replace |= arguments.replace;
    request.policy.out_of_sync_only |= arguments.apply_out_of_sync_only;
    let is_part = !arguments.resource.is_empty() || !arguments.label.is_empty();
    let sides = if is_part || *dry_run { Some(Sides::of(&request).await?) } else { None };
    if let Some(sides) = sides.as_ref().filter(|_| is_part) {
        request.policy.operation = OperationKind::SelectiveSync;
        request.policy.options.skip_hooks = true;
        request.policy.options.resources = Some(part(arguments, sides)?);
    }
    if let Some(sides) = sides.filter(|_| *dry_run) {
        diff::warn(member);
        let found = diff::text(&request, sides, true).await?;
        let text = found.text.trim_end_matches('\n');
        crate::println(if text.is_empty() && found.refused == 0 { "nothing would change" } else { text });
        return Ok(u8::from(found.refused > 0));
    }
    carry_out(member, request, manner).await
}

/// The objects that `--resource` and `--label` select together.
fn part(Arguments { resource, label, .. }: &Arguments, sides: &Sides) -> anyhow::Result<BTreeSet<ObjectId>> {
    let mut patterns = resource.clone();
    for label in label {
        let (key, value) = label.split_once('=').with_context(|| format!("write the label `{label}` as KEY=VALUE"))?;
        let labelled: Vec<Pattern> =
            sides.members().filter(|object| object.label(key) == Some(value)).map(|o| Pattern::of(&o.id())).collect();
        if labelled.is_empty() {
            bail!("nothing in Git has the label `{label}`");
        }
        patterns.extend(labelled);
    }
    Ok(selection::choose(&patterns, &sides.ids())?)
}

pub(super) async fn rollback(arguments: &Rollback) -> anyhow::Result<u8> {
    let Rollback { name, id, manner, source } = arguments;
    let context = CliContext::open(source, name).await?;
    let member = context.member(name)?;
    if member.is_automated() {
        bail!("{name} can't be rolled back while it is synced automatically: revert the commit in Git instead");
    }
    let heads = context.revisions(member, &RevisionFlags::default()).await?;
    let at_head = prepare(&context, member, &heads).await?;
    let recorded = state::read(&at_head.destination.cluster, &at_head.owner.key).await?;
    let recorded = recorded.map(|recorded| recorded.state).unwrap_or_default();
    let history = &recorded.status.history;
    let entry = match id {
        Some(id) => history.iter().find(|entry| entry.id == *id),
        None => history.iter().rev().nth(1),
    };
    let ids: Vec<String> = history.iter().map(|entry| entry.id.to_string()).collect();
    let entry = entry.with_context(|| format!("{name} has no such deployment; its history: {}", ids.join(", ")))?;
    let state = (&at_head.owner.key, &recorded);
    let checked = Box::pin(trust::check_all(&context.checkouts, state, &member.tracked, &entry.revisions)).await;
    checked.map_err(|error| anyhow!(chain(&error)))?;
    let mut request = prepare(&context, member, &entry.revisions).await?;
    request.policy.options.prune = manner.prune;
    carry_out(member, request, manner).await
}

async fn prepare(
    context: &CliContext,
    member: &ResolvedApplication,
    revisions: &Revisions,
) -> anyhow::Result<SyncRequest> {
    let request = prepare::prepare(&context.engine, &context.checkouts, member, revisions).await;
    request.map_err(|error| anyhow!(chain(&error)))
}

/// Syncs, and prints the application afterwards.
async fn carry_out(member: &ResolvedApplication, request: SyncRequest, manner: &Manner) -> anyhow::Result<u8> {
    if member.app.is_skipped {
        bail!("{} {SKIPPED}", member.instance());
    }
    if let Some(held) = member.blocked_by_window(true, Timestamp::now()) {
        bail!("{} is {held}", member.instance());
    }
    // The functions have another key: their digests say nothing of ours.
    let initiator = person(&request.destination.cluster).await;
    let request = SyncRequest { initiator, spec_digest: None, inputs_digest: None, ..request };
    // An unlimited timeout is a day.
    let limit = if manner.timeout == 0 { time::LONGEST } else { Duration::from_secs(manner.timeout) };
    let holder = format!("slipway-cli-{}-{}", std::process::id(), Timestamp::now().as_millisecond());
    let (_never, stop) = watch::channel(false);
    // The sync ends itself at its limit: what runs is terminated, and the end recorded.
    let until = time::after(limit.saturating_add(RECORDING_RESERVE));
    let times = Deadlines { timeout: limit, ..Deadlines::until(until) };
    let outcome = Box::pin(sync::sync(&request, None, &holder, times, stop)).await;
    for warning in &outcome.warnings {
        crate::eprintln(&format!("warning: {warning}"));
    }
    if let Some(recorded) = state::read(&request.destination.cluster, &request.owner.key).await? {
        let application = application(&recorded)?;
        let url = application.get("url").and_then(Value::as_str).unwrap_or_default().to_owned();
        manner.output.print(&application, || view::print(&application, &url, true, Timestamp::now()));
    }
    for problem in &outcome.problems {
        crate::eprintln(&format!("slipway: {problem}"));
    }
    Ok(u8::from(outcome.phase != AppSyncStatus::Healthy))
}
