//! Deletes applications whose manifests were removed from the root, as Argo CD deletes an Application, by the last
//! manifest in the root.
//!
//! With `resources-finalizer.argocd.argoproj.io` the deletion cascades, once exactly that is approved; without it the
//! objects stay, and only the state is deleted. Hooks are those of the last synced commit, rendered by that manifest;
//! projects are today's where they are still declared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use slipway_cluster::Cluster;
use slipway_cluster::state::{self, AppKey, StoredState};
use slipway_gitops::identity::STATE_NAMESPACE;

use super::children::Parents;
use super::prepare::{self, PrepareError};
use super::pull_requests::{self, PullRequestError};
use crate::app::{Projects, skip};
use crate::clusters::ConnectedCluster;
use crate::error::{Class, Failure, chain};
use crate::notify::report::{self, AppSyncStatus};
use crate::reconcile::notes::{ApplicationSummary, Note as _, RecordedListings, ReportedDeletionError};
use crate::reconcile::session::{self, Opened, Session, SessionError};
use crate::reconcile::status;
use crate::reconcile::sync::delete::{self, Approval, DeletionRequest};
use crate::reconcile::sync::{Deadlines, SyncOutcome, SyncRequest};
use crate::root::rolling::DeletionOrder;
use crate::root::{self, ResolvedApplication, Root, Then};
use crate::services::Services;

/// An application with a state in a cluster and no manifest in the root.
pub struct RemovedApplication {
    /// Key of its state.
    pub key: AppKey,
    /// The cluster that keeps the state.
    pub destination: ConnectedCluster,
    /// What can't be read of the root: [`Root::unread`].
    unread: Arc<BTreeSet<String>>,
    parents: Arc<Parents>,
    /// All that were removed, each with the cluster that keeps its state.
    all: Arc<BTreeMap<(String, String), Cluster>>,
}

#[derive(Debug, thiserror::Error)]
enum RemovedApplicationError {
    #[error("failed to read the Application as the root had it last, at {sha}")]
    Root {
        sha: String,
        #[source]
        source: Failure,
    },
    #[error(
        "nothing is deleted: ConfigMap/{STATE_NAMESPACE}/{name}, which says what was deployed, is not signed by \
         Slipway; restore the manifest until the next drift-check has signed it, and remove it again, or run `slipway \
         app delete {app}`"
    )]
    Unsigned { app: String, name: String },
    #[error(
        "nothing is deleted: the root at {sha} does not have the Application that was deployed from it, as where its \
         manifest was in another repository, or of an older commit that its parent was synced to; run `slipway app delete {app}`, with `--cascade=false` to keep its objects"
    )]
    Missing { app: String, sha: String },
    #[error("nothing is deleted: {0} may declare it now, and can't be read yet")]
    Unread(String),
    #[error("nothing is deleted before {0} is: its ApplicationSet has `deletionOrder: Reverse`")]
    Waits(String),
    #[error("nothing is deleted")]
    PullRequest(#[from] PullRequestError),
    #[error(transparent)]
    Job(#[from] PrepareError),
}

impl RemovedApplicationError {
    fn is_retryable(&self) -> bool {
        match self {
            Self::Root { source, .. } => source.class == Class::Retryable,
            Self::PullRequest(error) => error.is_retryable(),
            Self::Job(error) => error.is_retryable(),
            Self::Missing { .. } | Self::Unread(_) | Self::Waits(_) | Self::Unsigned { .. } => false,
        }
    }
}

/// Lists the applications that were removed from `root`, with one request per cluster. A cluster that can't be reached
/// is only logged.
pub async fn find(engine: &Services, root: &Root) -> Vec<RemovedApplication> {
    if !root.incomplete.is_empty() {
        let parts = root.incomplete.join("; ");
        tracing::warn!(parts, "the root can't be read as a whole: no Application is taken for removed");
        return Vec::new();
    }
    let own = engine.root.location.to_string();
    let (unread, parents) = (Arc::new(root.unread.clone()), Arc::new(Parents::of(root)));
    let (mut removed, mut all) = (Vec::new(), BTreeMap::new());
    for destination in engine.clusters.all().await {
        let listed = match &destination {
            Ok(destination) => state::list(&destination.cluster).await.map_err(|error| chain(&error)),
            Err(error) => Err(chain(error)),
        };
        match (destination, listed) {
            (Ok(destination), Ok(keys)) => {
                let is_gone = |key: &AppKey| {
                    key.root == own && !root.declared.contains(&(key.namespace.clone(), key.name.clone()))
                };
                for key in keys.into_iter().filter(is_gone) {
                    all.insert((key.namespace.clone(), key.name.clone()), destination.cluster.clone());
                    removed.push((key, destination.clone()));
                }
            }
            (_, listed) => {
                let error = listed.err().unwrap_or_default();
                tracing::warn!(error, "failed to list the applications of a cluster");
            }
        }
    }
    let all = Arc::new(all);
    let removed = removed.into_iter().map(|(key, destination)| {
        let (unread, parents, all) = (Arc::clone(&unread), Arc::clone(&parents), Arc::clone(&all));
        RemovedApplication { key, destination, unread, parents, all }
    });
    removed.collect()
}

impl RemovedApplication {
    /// An Application that has to be gone before this one, by the `order` of its set, and is not.
    async fn waits_for(&self, order: &DeletionOrder) -> Option<String> {
        let own = (self.key.namespace.clone(), self.key.name.clone());
        for other in order.before(&own) {
            let Some(cluster) = self.all.get(other) else { continue };
            let (namespace, name) = other.clone();
            let key = AppKey { root: self.key.root.clone(), namespace, name };
            if !matches!(state::read(cluster, &key).await, Ok(None)) {
                return Some(key.instance());
            }
        }
        None
    }
}

/// Deletes `removed` as far as that is approved, and reports it; `projects` are those of the current root. `None` where
/// there is nothing to do or nothing new to report.
pub async fn delete_application(
    engine: &Services,
    projects: &Projects,
    removed: &RemovedApplication,
    holder: &str,
    times: Deadlines,
) -> Option<SyncOutcome> {
    let RemovedApplication { key, destination, unread, parents, .. } = removed;
    let recorded = match state::read(&destination.cluster, key).await {
        Ok(recorded) => recorded?,
        Err(error) => {
            let outcome = SyncOutcome::failed(chain(&error), error.is_retryable());
            if !outcome.retry && session::is_news(&destination.cluster, key, holder, &error).await {
                let (app, cluster) = (key.instance(), &destination.name);
                engine.notify(&report::deletion(&app, cluster, outcome.phase, &[], &outcome.problems)).await;
            }
            return Some(outcome);
        }
    };
    // Reported already: a person has to act first.
    if delete::held(&recorded.state).is_some() {
        return None;
    }
    let about = ApplicationSummary::of(&recorded.state);
    let Some(sha) = about.and_then(|about| about.0.get("rootRevision")?.as_str().map(str::to_owned)) else {
        tracing::warn!(
            app = key.instance(),
            "removed from the root, but its last manifest is not recorded: nothing is deleted"
        );
        return None;
    };
    let listed = RecordedListings::of(&recorded.state).map(|recorded| recorded.0);
    let work = async {
        if recorded.state.is_unsigned {
            let app = format!("{}/{}", key.namespace, key.name);
            return Err(RemovedApplicationError::Unsigned { app, name: key.object_name() });
        }
        let then = Then { projects: Some(projects), listings: listed.as_ref(), recorded: None };
        let (member, root) = Box::pin(recorded_application(engine, then, key, &sha, unread)).await?;
        if let Some(order) = member.set.as_ref().and_then(|set| set.deletion_order.as_ref())
            && let Some(other) = removed.waits_for(order).await
        {
            return Err(RemovedApplicationError::Waits(other));
        }
        let is_closed = match &listed {
            Some(listed) => {
                Box::pin(pull_requests::went_with_pull_request(engine, projects, key, (&sha, listed))).await?
            }
            None => false,
        };
        let approval = match parents.keep(&member, &root) {
            _ if member.is_kept() => Some(Approval::Never(kept(key))),
            Some(reason) => Some(Approval::Never(not_pruned(key, &reason))),
            None => is_closed.then_some(Approval::Asked),
        };
        Box::pin(delete_removed(engine, (&member, approval), &recorded, destination, holder, times)).await
    };
    let outcome = Box::pin(work).await;
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error @ RemovedApplicationError::Unread(_)) => {
            tracing::warn!(app = key.instance(), reason = chain(&error), "removed from what can be read of the root");
            return None;
        }
        Err(error @ RemovedApplicationError::Waits(_)) => {
            tracing::info!(app = key.instance(), reason = chain(&error), "not deleted yet");
            return None;
        }
        Err(error) => {
            let (reason, retry) = (chain(&error), error.is_retryable());
            if !retry && !is_news(&destination.cluster, key, holder, &reason).await {
                return None;
            }
            SyncOutcome::failed(reason, retry)
        }
    };
    let SyncOutcome { phase, changes, problems, warnings, retry, .. } = &outcome;
    if *phase != AppSyncStatus::Waiting && !retry {
        let lines: Vec<String> = problems.iter().chain(warnings).cloned().collect();
        engine.notify(&report::deletion(&key.instance(), &destination.name, *phase, changes, &lines)).await;
    }
    Some(outcome)
}

/// Records in the name of `holder` why the application can't be deleted; whether that was not told yet. The next check
/// tries again.
async fn is_news(cluster: &Cluster, key: &AppKey, holder: &str, reason: &str) -> bool {
    let recorded: Result<bool, SessionError> = async {
        // Who is at work on it records what becomes of that.
        let Opened::Ours(session) = Session::open(cluster, key, holder).await? else { return Ok(false) };
        let written = async {
            let Some(mut stored) = session.read().await? else { return Ok(false) };
            let told = ReportedDeletionError(reason.to_owned());
            if ReportedDeletionError::of(&stored.state).as_ref() == Some(&told) {
                return Ok(false);
            }
            told.keep(&mut stored.state);
            status::write_deletion_error(&mut stored.state.status, reason, Timestamp::now());
            let version = stored.version().to_owned();
            session.write(&mut stored.state, Some(&version)).await.map(|()| true)
        };
        let written = written.await;
        session.close().await;
        Ok(written?)
    }
    .await;
    recorded.unwrap_or_else(|error| {
        tracing::warn!(app = key.instance(), error = chain(&error), "failed to record why nothing is deleted");
        true
    })
}

/// Loads the Application as it was in the root at `sha`. An error where a part of the root is `unread` now that could
/// be read then: it may have gone there.
async fn recorded_application(
    engine: &Services,
    then: Then<'_>,
    key: &AppKey,
    sha: &str,
    unread: &BTreeSet<String>,
) -> Result<(ResolvedApplication, Root), RemovedApplicationError> {
    let checkouts = engine.checkouts();
    let root = match root::load_at(&engine.root, &checkouts, sha, then).await {
        Ok(root) => root,
        Err(source) => return Err(RemovedApplicationError::Root { sha: sha.to_owned(), source }),
    };
    if let Some(part) = unread.difference(&root.unread).next() {
        return Err(RemovedApplicationError::Unread(part.clone()));
    }
    let is_it = |member: &ResolvedApplication| member.identity() == (key.namespace.clone(), key.name.clone());
    let app = format!("{}/{}", key.namespace, key.name);
    match root.members.iter().find(|member| is_it(member)).cloned() {
        Some(member) => Ok((member, root)),
        None => Err(RemovedApplicationError::Missing { app, sha: sha.to_owned() }),
    }
}

/// The message for an application that its ApplicationSet makes no longer, and may not delete.
fn kept(AppKey { namespace, name, .. }: &AppKey) -> String {
    format!(
        "nothing is deleted: `applicationsSync` of its ApplicationSet forbids it; run `slipway app delete \
         {namespace}/{name}`, with `--cascade=false` to keep its objects"
    )
}

/// The message for an application that Argo CD would not have pruned.
fn not_pruned(AppKey { namespace, name, .. }: &AppKey, reason: &str) -> String {
    format!(
        "nothing is deleted: {reason}; run `slipway app delete {namespace}/{name}`, with `--cascade=false` to keep its \
         objects"
    )
}

/// The message for an application that was removed from the root while it was skipped.
fn untouched(AppKey { namespace, name, .. }: &AppKey) -> String {
    format!(
        "nothing is deleted: it was removed from the root while skipped by its annotation {}; restore its manifest \
         without that, and remove it again, or run `slipway app delete {namespace}/{name} --cascade=false` to keep \
         its objects \
         and forget it",
        skip::ANNOTATION
    )
}

/// Deletes the objects of `member` as `approval` says; without one, a plan has to be approved.
async fn delete_removed(
    engine: &Services,
    (member, approval): (&ResolvedApplication, Option<Approval>),
    recorded: &StoredState,
    destination: &ConnectedCluster,
    holder: &str,
    times: Deadlines,
) -> Result<SyncOutcome, RemovedApplicationError> {
    let cascade = member.app.cascade();
    if let Some(denied) = member.permit.denied.clone().filter(|_| cascade.is_some()) {
        return Err(PrepareError::from(denied).into());
    }
    let request = if cascade.is_some() && prepare::has_deletion_hooks(&recorded.state) {
        let checkouts = engine.checkouts();
        let revisions = prepare::deployed(&recorded.state);
        let request = Box::pin(prepare::prepare(engine, &checkouts, member, &revisions)).await?;
        SyncRequest { destination: destination.clone(), ..request }
    } else {
        prepare::for_deletion(recorded, destination.clone(), Some(member))
    };
    // Argo CD's controller skips such an Application also when it is to be deleted.
    let approval = if member.app.is_skipped && cascade.is_some() {
        Approval::Never(untouched(&recorded.app))
    } else {
        approval.unwrap_or_else(|| Approval::Plan(request.policy.prune_approved.clone()))
    };
    let deletion = DeletionRequest { cascade, approval };
    Ok(Box::pin(delete::delete(&request, &deletion, holder, times)).await)
}
