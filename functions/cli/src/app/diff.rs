//! Implements `slipway app diff` in the layout of `argocd app diff`: one heading per object, then the lines of `diff`
//! (argoproj/argo-cd `cmd/argocd/commands/app.go`, findAndPrintDiff). Secrets are masked.

use slipway_gitops::prune_guard;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::anyhow;
use clap::Args;
use slipway::app::skip::SKIPPED;
use slipway::deploy::prepare;
use slipway::error::chain;
use slipway::reconcile::sync::SyncRequest;
use slipway::root::ResolvedApplication;
use slipway_cluster::objects::{self, ObjectRef};
use slipway_cluster::{Cluster, apply, dry_run, state};
use slipway_gitops::api_resources::{GroupKind, GroupVersionKind};
use slipway_gitops::plan::{self, Desired};
use slipway_gitops::{ApiResources, Class, Failure, annotations, diff, redact, sync};
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
    match Box::pin(found(commit)).await {
        Ok(found) => {
            if !found.text.is_empty() {
                crate::println(found.text.trim_end_matches('\n'));
            }
            Ok(match found.refused {
                0 => u8::from(!found.text.is_empty() && !no_exit_code),
                _ => 2,
            })
        }
        Err(error) => {
            crate::eprintln(&format!("slipway: {error:#}"));
            Ok(2)
        }
    }
}

async fn found(CommitFlags { name, revisions, source }: &CommitFlags) -> anyhow::Result<Differences> {
    let context = CliContext::open(source, name).await?;
    let member = context.member(name)?;
    warn(member);
    let revisions = context.revisions(member, revisions).await?;
    let request = prepare::prepare(&context.engine, &context.checkouts, member, &revisions);
    let request = request.await.map_err(|error| anyhow!(chain(&error)))?;
    text(&request, Sides::of(&request).await?, false).await
}

/// What a comparison prints.
pub(super) struct Differences {
    /// The differing objects, each under its heading.
    pub(super) text: String,
    /// How many objects the API server refused to compare; each was told as an error.
    pub(super) refused: usize,
}

/// Warns that `member` is skipped, so that a sync would do nothing.
pub(super) fn warn(member: &ResolvedApplication) {
    if member.app.is_skipped {
        crate::eprintln(&format!("warning: {} {SKIPPED}", member.instance()));
    }
}

/// Git's objects, and the recorded objects of the application.
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

    /// Git's objects without hooks, which are not synced on their own.
    pub(super) fn members(&self) -> impl Iterator<Item = &Object> {
        self.desired.objects.iter().filter(|object| !annotations::is_hook(object))
    }

    /// All objects that can be selected.
    pub(super) fn ids(&self) -> BTreeSet<ObjectId> {
        self.inventory.iter().cloned().chain(self.members().map(Object::id)).collect()
    }
}

/// The differences between Git and the cluster, or with `dry_run` what a sync of `request` would change; empty where
/// there are none. An object that is kept although Git no longer has it is a warning.
pub(super) async fn text(
    request: &SyncRequest,
    Sides { kinds, desired, inventory }: Sides,
    dry_run: bool,
) -> anyhow::Result<Differences> {
    let cluster = &request.destination.cluster;
    let decrypted = cluster.redactor();
    let cluster = &cluster.redacting(decrypted.and(&request.objects));
    let is_meant = |id: &ObjectId| request.policy.selects(id);
    let (mut out, mut refused) = (String::new(), 0);
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
        match pair(request, cluster, &place, object).await {
            Ok((live, target)) => one(&mut out, &place.id(), live, target),
            Err(failure) => {
                refused += 1;
                crate::eprintln(&format!(
                    "slipway: {}{}",
                    failure.with_remedy(),
                    provisional(object, &desired.objects)
                ));
            }
        }
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
    Ok(Differences { text: decrypted.redact(&out).into_owned(), refused })
}

/// Says of a refused object that a sync asks again: an earlier step may mend it, or the CustomResourceDefinition of its
/// kind that comes with it.
fn provisional(object: &Object, objects: &[Object]) -> &'static str {
    let step = |object: &Object| (annotations::phases(object).into_iter().min(), annotations::wave(object));
    let kind = GroupKind::of(&object.id());
    let is_earlier =
        |other: &Object| step(other) < step(object) || GroupKind::defined_by(other).as_ref() == Some(&kind);
    if objects.iter().any(is_earlier) {
        "; provisional: a sync asks again right before it applies this object"
    } else {
        ""
    }
}

/// The live object and the result of an apply.
async fn pair(
    request: &SyncRequest,
    cluster: &Cluster,
    place: &ObjectRef,
    object: &Object,
) -> Result<(Option<Object>, Option<Object>), Failure> {
    let live = objects::get(cluster, place).await?;
    let has = |option| annotations::has_sync_option(object, option);
    let options = &request.policy.options;
    let validate = !options.no_validate && !has("Validate=false");
    let asked = apply::Options { validate, ..apply::Options::default() };
    match dry_run::dry_run(cluster, &place.resource, object, live.clone(), &asked, &request.rules).await {
        Ok(Some(pair)) => Ok((Some(pair.live), Some(pair.predicted))),
        Ok(None) => Ok((None, Some(object.clone()))),
        // With Force=true what can't be changed is deleted and created.
        Err(failure) if failure.source.class == Class::Immutable && (options.force || has("Force=true")) => {
            Ok((live, Some(object.clone())))
        }
        Err(failure) => Err(failure),
    }
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
