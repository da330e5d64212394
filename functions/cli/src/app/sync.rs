//! Implements `slipway app sync` and `rollback`: a manual deployment by the code of the functions.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, ValueEnum};
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
use super::{Chosen, Output, RevisionFlags, SourceFlags, ask};
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
    /// `apply` leaves hooks out; `hook` runs them.
    #[arg(long, value_enum, default_value = "hook")]
    strategy: Strategy,
    /// Show what would change, and ask.
    #[arg(long)]
    preview_changes: bool,
    /// Do not ask after --preview-changes.
    #[arg(long, visible_alias = "assumeYes")]
    assume_yes: bool,
    /// Accepted for argocd's sake: the command line runs the sync itself, and waits for its end.
    #[arg(long)]
    r#async: bool,
    /// Accepted for argocd's sake: Slipway always applies on the server.
    #[arg(long)]
    server_side: bool,
    /// Accepted for argocd's sake, and not recorded.
    #[arg(long, value_name = "KEY=VALUE")]
    info: Vec<String>,
    #[command(flatten)]
    manner: Manner,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    revisions: RevisionFlags,
    #[command(flatten)]
    source: SourceFlags,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Strategy {
    Hook,
    Apply,
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
    let Arguments { chosen, source, revisions, .. } = arguments;
    let names = chosen.names();
    if names.is_empty() && !chosen.is_by_group() {
        bail!("name an application, or choose by --selector or --project");
    }
    if arguments.r#async {
        crate::eprintln("warning: --async has no effect: the command line runs the sync itself, and waits for its end");
    }
    if !arguments.info.is_empty() {
        crate::eprintln("warning: --info has no effect: it is not recorded");
    }
    let context = CliContext::open(source, names.first().map_or("", String::as_str)).await?;
    let mut members = names.iter().map(|name| context.member(name)).collect::<Result<Vec<_>, _>>()?;
    for member in context.root.members.iter().filter(|member| chosen.fits(&member.app.object.to_value())) {
        if !members.iter().any(|known| known.identity() == member.identity()) {
            members.push(member);
        }
    }
    if members.is_empty() {
        bail!("no application at {} has these labels, or this project", context.engine.root.location);
    }
    if members.len() > 1 && !revisions.is_empty() {
        bail!("a revision is of one application, not of {}", members.len());
    }
    let mut code = 0;
    for member in members {
        code = code.max(Box::pin(sync_one(&context, member, arguments)).await?);
    }
    Ok(code)
}

async fn sync_one(context: &CliContext, member: &ResolvedApplication, arguments: &Arguments) -> anyhow::Result<u8> {
    let Arguments { approve_prune, dry_run, preview_changes, manner, revisions, source, .. } = arguments;
    if source.local.is_some() && member.is_automated() && !dry_run {
        bail!("{} is synced automatically, which would undo a sync of a folder: use --dry-run", member.instance());
    }
    let revisions = context.revisions(member, revisions).await?;
    let mut request = prepare(context, member, &revisions).await?;
    request.policy.options.prune = manner.prune || approve_prune.is_some();
    if approve_prune.is_some() {
        request.policy.prune_approved.clone_from(approve_prune);
    }
    request.policy.options.force |= arguments.force;
    request.policy.options.replace |= arguments.replace;
    request.policy.out_of_sync_only |= arguments.apply_out_of_sync_only;
    request.policy.options.skip_hooks |= arguments.strategy == Strategy::Apply;
    let is_part = !arguments.resource.is_empty() || !arguments.label.is_empty();
    let is_shown = *dry_run || *preview_changes;
    let sides = if is_part || is_shown { Some(Sides::of(&request).await?) } else { None };
    if let Some(sides) = sides.as_ref().filter(|_| is_part) {
        request.policy.operation = OperationKind::SelectiveSync;
        request.policy.options.skip_hooks = true;
        request.policy.options.resources = Some(part(arguments, sides)?);
    }
    if let Some(sides) = sides.filter(|_| is_shown) {
        diff::warn(member);
        let found = diff::text(&request, sides, true).await?;
        let text = found.text.trim_end_matches('\n');
        crate::println(if text.is_empty() && found.refused == 0 { "nothing would change" } else { text });
        if *dry_run {
            return Ok(u8::from(found.refused > 0));
        }
        if !arguments.assume_yes {
            let question = format!("Do you want to sync these changes of {}? [y/n]", member.instance());
            ask(&question, "nothing is synced", "--assume-yes")?;
        }
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
