//! `slipway app diff`: what a sync would change, as `argocd app diff` prints it: an object a heading, then the lines as
//! `diff` prints them (argoproj/argo-cd `cmd/argocd/commands/app.go`, findAndPrintDiff). Secrets are masked.

use slipway_gitops::prune_guard;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::anyhow;
use clap::Args;
use slipway::app::skip::SKIPPED;
use slipway::deploy::prepare;
use slipway::deploy::sync::SyncRequest;
use slipway::error::chain;
use slipway::root::ResolvedApplication;
use slipway_cluster::objects::{self, ObjectRef};
use slipway_cluster::{Cluster, apply, dry_run, state};
use slipway_gitops::api_resources::{GroupKind, GroupVersionKind};
use slipway_gitops::plan::{self, Desired};
use slipway_gitops::{ApiResources, Redactor, annotations, diff, redact, sync};
use slipway_manifest::{Object, ObjectId, yaml};

use super::CommitFlags;
use super::connect::CliContext;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The exit code where something differs is 0 nevertheless.
    #[arg(long)]
    no_exit_code: bool,
    #[command(flatten)]
    commit: CommitFlags,
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let Arguments { no_exit_code, commit } = arguments;
    match found(commit).await {
        Ok(text) if text.is_empty() => Ok(0),
        Ok(text) => {
            crate::println(text.trim_end_matches('\n'));
            Ok(u8::from(!no_exit_code))
        }
        Err(error) => {
            crate::eprintln(&format!("slipway: {error:#}"));
            Ok(2)
        }
    }
}

async fn found(CommitFlags { name, revision, source }: &CommitFlags) -> anyhow::Result<String> {
    let context = CliContext::open(source, name).await?;
    let member = context.member(name)?;
    warn(member);
    let revision = context.revision(member, revision.as_deref()).await?;
    let request = prepare::prepare(&context.engine, &context.checkouts, member, &revision);
    let request = request.await.map_err(|error| anyhow!(chain(&error)))?;
    text(&request, Sides::of(&request).await?, false).await
}

/// Says that a sync of `member` would not be one, where it is left alone.
pub(super) fn warn(member: &ResolvedApplication) {
    if member.app.is_skipped {
        crate::eprintln(&format!("warning: {} {SKIPPED}", member.instance()));
    }
}

/// What Git has, and what the application has by what is remembered of it.
pub(super) struct Sides {
    kinds: ApiResources,
    desired: Desired,
    inventory: BTreeSet<ObjectId>,
}

impl Sides {
    pub(super) async fn of(request: &SyncRequest) -> anyhow::Result<Self> {
        let cluster = &request.destination.cluster;
        let recorded = state::read(cluster, &request.owner.key).await?;
        let inventory = recorded.map(|recorded| recorded.state.inventory).unwrap_or_default();
        let wanted: BTreeSet<GroupVersionKind> = request.objects.iter().map(GroupVersionKind::of).collect();
        let known: BTreeSet<GroupKind> = inventory.iter().map(GroupKind::of).collect();
        let kinds = cluster.resolve(&wanted, &known).await;
        let desired = plan::prepare(request.objects.clone(), &kinds, &request.owner.cluster());
        Ok(Self { kinds, desired, inventory })
    }

    /// What Git has, but for hooks, which are not synced for themselves.
    pub(super) fn members(&self) -> impl Iterator<Item = &Object> {
        self.desired.objects.iter().filter(|object| !annotations::is_hook(object))
    }

    /// All that can be synced for itself.
    pub(super) fn ids(&self) -> BTreeSet<ObjectId> {
        self.inventory.iter().cloned().chain(self.members().map(Object::id)).collect()
    }
}

/// How what Git has differs from what there is, or with `dry_run` what a sync of `request` would change of it; empty
/// where that is nothing. Why something stays that Git has no more is a warning.
pub(super) async fn text(
    request: &SyncRequest,
    Sides { kinds, desired, inventory }: Sides,
    dry_run: bool,
) -> anyhow::Result<String> {
    let cluster = &request.destination.cluster.redacting(Redactor::of(&request.objects));
    let is_meant = |id: &ObjectId| request.policy.selects(id);
    let mut out = String::new();
    for (object, error) in &desired.unresolved {
        crate::eprintln(&format!("warning: {} can't be compared: {}", object.id(), chain(error)));
    }
    let mut ids = BTreeSet::new();
    for object in desired.objects.iter().filter(|object| !annotations::is_hook(object)) {
        let place = ObjectRef::of(kinds.of(object)?, object);
        ids.insert(place.id());
        if !is_meant(&place.id()) {
            continue;
        }
        let (live, target) = pair(request, cluster, &place, object).await?;
        one(&mut out, &place.id(), live, target);
    }
    for id in inventory.difference(&ids).filter(|id| is_meant(id)) {
        let Ok(resource) = kinds.of_group_kind(&GroupKind::of(id)) else { continue };
        let place = ObjectRef { resource: resource.clone(), namespace: id.namespace.clone(), name: id.name.clone() };
        let Some(live) = objects::get(cluster, &place).await.map_err(|failure| anyhow!(failure.with_remedy()))? else {
            continue;
        };
        if request.wants_namespace(id) {
            crate::eprintln(&format!("warning: {id} is in Git no more and stays: CreateNamespace=true asks for it"));
            continue;
        }
        let mismatch = prune_guard::ownership_mismatch(&live, &request.owner.cluster(), &inventory);
        let kept = mismatch.or_else(|| sync::kept_reason(&live, &request.policy.options).map(str::to_owned));
        if let Some(reason) = &kept {
            crate::eprintln(&format!("warning: {id} is in Git no more and stays: {reason}"));
        }
        if !dry_run || kept.is_none() {
            one(&mut out, id, Some(live), None);
        }
    }
    Ok(out)
}

/// The object as it is and as an apply would make it.
async fn pair(
    request: &SyncRequest,
    cluster: &Cluster,
    place: &ObjectRef,
    object: &Object,
) -> anyhow::Result<(Option<Object>, Option<Object>)> {
    let failed = |failure: slipway_gitops::Failure| anyhow!(failure.with_remedy());
    let live = objects::get(cluster, place).await.map_err(failed)?;
    let options = apply::Options::default();
    let settled = dry_run::dry_run(cluster, &place.resource, object, live, &options, &request.rules);
    Ok(match settled.await.map_err(failed)? {
        Some(pair) => (Some(pair.live), Some(pair.predicted)),
        None => (None, Some(object.clone())),
    })
}

fn one(out: &mut String, id: &ObjectId, mut live: Option<Object>, mut target: Option<Object>) {
    let mut both: Vec<&mut Object> = live.iter_mut().chain(target.iter_mut()).collect();
    redact::redact(&mut both, &[]);
    let print = |object: &Option<Object>| {
        object.as_ref().map(|object| yaml::to_string(&diff::normalized(object))).unwrap_or_default()
    };
    let lines = normal_diff(&print(&live), &print(&target));
    if !lines.is_empty() {
        let _ = writeln!(out, "\n===== {}/{} {}/{} ======\n{lines}", id.group, id.kind, id.namespace, id.name);
    }
}

/// The lines of `diff`'s normal format: `3c3`, `< old`, `---`, `> new`.
fn normal_diff(old: &str, new: &str) -> String {
    let (olds, news): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let mut out = String::new();
    for op in similar::capture_diff_slices(similar::Algorithm::Myers, &olds, &news) {
        let (from, to) = (op.old_range(), op.new_range());
        let letter = match (from.is_empty(), to.is_empty()) {
            _ if matches!(op, similar::DiffOp::Equal { .. }) => continue,
            (true, _) => 'a',
            (_, true) => 'd',
            _ => 'c',
        };
        let span = |range: &std::ops::Range<usize>| match range.len() {
            0 => range.start.to_string(),
            1 => (range.start + 1).to_string(),
            _ => format!("{},{}", range.start + 1, range.end),
        };
        let _ = writeln!(out, "{}{letter}{}", span(&from), span(&to));
        let old = olds.get(from).unwrap_or_default().iter().map(|line| format!("< {line}"));
        let new = news.get(to).unwrap_or_default().iter().map(|line| format!("> {line}"));
        let middle = (letter == 'c').then(|| "---".to_owned());
        for line in old.chain(middle).chain(new) {
            let _ = writeln!(out, "{line}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::normal_diff;

    #[test]
    fn lines_are_printed_as_diff_prints_them() {
        assert_eq!(normal_diff("a\nb\nc\n", "a\nx\ny\nc\n"), "2c2,3\n< b\n---\n> x\n> y\n");
        assert_eq!(normal_diff("a\n", "a\nb\n"), "1a2\n> b\n");
        assert_eq!(normal_diff("a\nb\n", "b\n"), "1d0\n< a\n");
        assert_eq!(normal_diff("a\n", "a\n"), "");
    }
}
