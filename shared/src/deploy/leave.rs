//! Applications whose files left the root: deleted as Argo CD deletes an Application, by the manifest that the root had last.
//!
//! With `resources-finalizer.argocd.argoproj.io` the deletion cascades, once exactly that is approved; without it the objects stay, and only
//! what is remembered goes. Its hooks are those of the commit brought last, rendered by that manifest; the projects are today's where
//! they are still declared.

use slipway_cluster::state::{self, AppKey, Recorded};

use super::job::{self, JobError};
use super::sync::delete::{self, Approval, Request};
use super::sync::{Job, Outcome, Times};
use crate::app::{Projects, skip};
use crate::clusters::Destination;
use crate::engine::Engine;
use crate::error::{Failure, chain};
use crate::notify::report::{self, Phase};
use crate::root::{self, Member, Root};
use crate::source::Checkouts;

/// An application that has a state in a cluster, and no manifest at the root.
pub struct Leaver {
    /// The application.
    pub key: AppKey,
    /// The cluster.
    pub destination: Destination,
}

#[derive(Debug, thiserror::Error)]
enum LeaveError {
    #[error("failed to read the Application as the root had it last, at {sha}")]
    Root {
        sha: String,
        #[source]
        source: Failure,
    },
    #[error("the root at {0} does not have the Application that was deployed from it")]
    Missing(String),
    #[error(transparent)]
    Job(#[from] JobError),
}

/// The applications that left `root`: one list a cluster. A cluster that can't be asked is only logged.
pub async fn find(engine: &Engine, root: &Root) -> Vec<Leaver> {
    let own = engine.root.to_string();
    let mut leavers = Vec::new();
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
                leavers.extend(gone.map(|key| Leaver { key, destination: destination.clone() }));
            }
            (_, listed) => {
                let error = listed.err().unwrap_or_default();
                tracing::warn!(error, "a cluster could not be asked for applications that left the root");
            }
        }
    }
    leavers
}

/// Deletes `leaver` as far as that is approved, and tells of it; `projects` are those of the root as it is. `None` where there is nothing to
/// do, or nothing new to say.
pub async fn take(
    engine: &Engine,
    projects: &Projects,
    leaver: &Leaver,
    holder: &str,
    times: Times,
) -> Option<Outcome> {
    let Leaver { key, destination } = leaver;
    let recorded = match state::read(&destination.cluster, key).await {
        Ok(recorded) => recorded?,
        Err(error) => return Some(Outcome::failed(chain(&error), true)),
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
    let outcome = match member(engine, projects, key, sha).await {
        Ok(member) => carry_out(engine, &member, &recorded, destination, holder, times).await,
        Err(error) => Err(error),
    };
    let outcome = outcome.unwrap_or_else(|error| {
        let retry = match &error {
            LeaveError::Root { source, .. } => source.class == crate::error::Class::Retryable,
            LeaveError::Job(error) => error.is_retryable(),
            LeaveError::Missing(_) => false,
        };
        Outcome::failed(chain(&error), retry)
    });
    let Outcome { phase, changes, problems, warnings, retry, .. } = &outcome;
    if *phase != Phase::Waiting && !retry {
        let lines: Vec<String> = problems.iter().chain(warnings).cloned().collect();
        engine.tell(&report::deletion(&key.instance(), &destination.name, *phase, changes, &lines)).await;
    }
    Some(outcome)
}

/// The Application as the root had it at `sha`.
async fn member(engine: &Engine, projects: &Projects, key: &AppKey, sha: String) -> Result<Member, LeaveError> {
    let checkouts = Checkouts::new(engine.github.clone());
    let root = match root::load_at(&engine.root, &checkouts, &sha, Some(projects)).await {
        Ok(root) => root,
        Err(source) => return Err(LeaveError::Root { sha, source }),
    };
    let is_it = |member: &Member| member.identity() == (key.namespace.clone(), key.name.clone());
    root.members.into_iter().find(is_it).ok_or(LeaveError::Missing(sha))
}

/// What is said of an application that left the root while it was left alone.
fn untouched(AppKey { namespace, name, .. }: &AppKey) -> String {
    format!(
        "nothing is deleted: it was left alone by its annotation {} when it left; put its manifest back without that, and take it away again, or run `slipway app delete {namespace}/{name} --cascade=false` to keep its objects and forget it",
        skip::ANNOTATION
    )
}

async fn carry_out(
    engine: &Engine,
    member: &Member,
    recorded: &Recorded,
    destination: &Destination,
    holder: &str,
    times: Times,
) -> Result<Outcome, LeaveError> {
    let cascade = member.app.cascade();
    if let Some(denied) = member.permit.denied.clone().filter(|_| cascade.is_some()) {
        return Err(JobError::from(denied).into());
    }
    let job = if cascade.is_some() && job::has_deletion_hooks(&recorded.state) {
        let checkouts = Checkouts::new(engine.github.clone());
        let revision = job::deployed(&recorded.state);
        let job = Box::pin(job::prepare(engine, &checkouts, member, &revision)).await?;
        Job { destination: destination.clone(), ..job }
    } else {
        job::for_deletion(recorded, destination.clone(), Some(member))
    };
    // Argo CD's controller leaves it alone also when it is to be deleted, whatever it waits for.
    let approval = if member.app.is_skipped {
        Approval::Never(untouched(&recorded.app))
    } else {
        Approval::Plan(job.policy.prune_approved.clone())
    };
    let request = Request { cascade, approval };
    Ok(Box::pin(delete::delete(&job, &request, holder, times)).await)
}
