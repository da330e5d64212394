//! Applications whose files left the root: deleted as Argo CD deletes an Application, by the manifest that the root
//! had last.
//!
//! With `resources-finalizer.argocd.argoproj.io` the deletion cascades, once exactly that is approved; without it the
//! objects stay, and only what is remembered goes. Its hooks are those of the commit brought last, rendered by that
//! manifest; the projects are today's where they are still declared.

use slipway_cluster::state::{self, AppKey, StoredState};

use super::prepare::{self, PrepareError};
use super::sync::delete::{self, Approval, DeletionRequest};
use super::sync::{Deadlines, SyncOutcome, SyncRequest};
use crate::app::{Projects, skip};
use crate::clusters::ConnectedCluster;
use crate::error::{Failure, chain};
use crate::notify::report::{self, AppSyncStatus};
use crate::root::{self, ResolvedApplication, Root};
use crate::services::Services;
use crate::source::Checkouts;

/// An application that has a state in a cluster, and no manifest at the root.
pub struct RemovedApplication {
    /// The application.
    pub key: AppKey,
    /// The cluster.
    pub destination: ConnectedCluster,
}

#[derive(Debug, thiserror::Error)]
enum RemovedApplicationError {
    #[error("failed to read the Application as the root had it last, at {sha}")]
    Root {
        sha: String,
        #[source]
        source: Failure,
    },
    #[error("the root at {0} does not have the Application that was deployed from it")]
    Missing(String),
    #[error(transparent)]
    Job(#[from] PrepareError),
}

/// The applications that left `root`: one list a cluster. A cluster that can't be asked is only logged.
pub async fn find(engine: &Services, root: &Root) -> Vec<RemovedApplication> {
    let own = engine.root.to_string();
    let mut removed = Vec::new();
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
                let gone = keys.into_iter().filter(is_gone);
                removed.extend(gone.map(|key| RemovedApplication { key, destination: destination.clone() }));
            }
            (_, listed) => {
                let error = listed.err().unwrap_or_default();
                tracing::warn!(error, "a cluster could not be asked for applications that left the root");
            }
        }
    }
    removed
}

/// Deletes `removed` as far as that is approved, and tells of it; `projects` are those of the root as it is. `None`
/// where there is nothing to do, or nothing new to say.
pub async fn delete_application(
    engine: &Services,
    projects: &Projects,
    removed: &RemovedApplication,
    holder: &str,
    times: Deadlines,
) -> Option<SyncOutcome> {
    let RemovedApplication { key, destination } = removed;
    let recorded = match state::read(&destination.cluster, key).await {
        Ok(recorded) => recorded?,
        Err(error) => return Some(SyncOutcome::failed(chain(&error), true)),
    };
    // Who was told already has to do something first.
    if delete::held(&recorded.state).is_some() {
        return None;
    }
    let about = recorded.state.notes.get("application");
    let Some(sha) = about.and_then(|about| about.get("rootRevision")?.as_str()).map(str::to_owned) else {
        tracing::warn!(
            app = key.instance(),
            "it left the root, and nobody remembers its manifest: it is left as it is"
        );
        return None;
    };
    let outcome = match recorded_application(engine, projects, key, sha).await {
        Ok(member) => delete_removed(engine, &member, &recorded, destination, holder, times).await,
        Err(error) => Err(error),
    };
    let outcome = outcome.unwrap_or_else(|error| {
        let retry = match &error {
            RemovedApplicationError::Root { source, .. } => source.class == crate::error::Class::Retryable,
            RemovedApplicationError::Job(error) => error.is_retryable(),
            RemovedApplicationError::Missing(_) => false,
        };
        SyncOutcome::failed(chain(&error), retry)
    });
    let SyncOutcome { phase, changes, problems, warnings, retry, .. } = &outcome;
    if *phase != AppSyncStatus::Waiting && !retry {
        let lines: Vec<String> = problems.iter().chain(warnings).cloned().collect();
        engine.notify(&report::deletion(&key.instance(), &destination.name, *phase, changes, &lines)).await;
    }
    Some(outcome)
}

/// The Application as the root had it at `sha`.
async fn recorded_application(
    engine: &Services,
    projects: &Projects,
    key: &AppKey,
    sha: String,
) -> Result<ResolvedApplication, RemovedApplicationError> {
    let checkouts = Checkouts::new(engine.github.clone());
    let root = match root::load_at(&engine.root, &checkouts, &sha, Some(projects)).await {
        Ok(root) => root,
        Err(source) => return Err(RemovedApplicationError::Root { sha, source }),
    };
    let is_it = |member: &ResolvedApplication| member.identity() == (key.namespace.clone(), key.name.clone());
    root.members.into_iter().find(is_it).ok_or(RemovedApplicationError::Missing(sha))
}

/// What is said of an application that left the root while it was left alone.
fn untouched(AppKey { namespace, name, .. }: &AppKey) -> String {
    format!(
        "nothing is deleted: it was left alone by its annotation {} when it left; put its manifest back without that, \
         and take it away again, or run `slipway app delete {namespace}/{name} --cascade=false` to keep its objects \
         and forget it",
        skip::ANNOTATION
    )
}

async fn delete_removed(
    engine: &Services,
    member: &ResolvedApplication,
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
        let checkouts = Checkouts::new(engine.github.clone());
        let revision = prepare::deployed(&recorded.state);
        let request = Box::pin(prepare::prepare(engine, &checkouts, member, &revision)).await?;
        SyncRequest { destination: destination.clone(), ..request }
    } else {
        prepare::for_deletion(recorded, destination.clone(), Some(member))
    };
    // Argo CD's controller leaves it alone also when it is to be deleted, whatever it waits for.
    let approval = if member.app.is_skipped {
        Approval::Never(untouched(&recorded.app))
    } else {
        Approval::Plan(request.policy.prune_approved.clone())
    };
    let deletion = DeletionRequest { cascade, approval };
    Ok(Box::pin(delete::delete(&request, &deletion, holder, times)).await)
}
