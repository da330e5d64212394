//! Resolves what an application waits for, and whether that is at its commits.

use slipway_gitops::Revisions;

use super::{inputs, prepare};
use crate::error::Failure;
use crate::reconcile::sync::dependencies::{Dependencies, DependencyStatus, ReadyCache};
use crate::root::{Dependency, ResolvedApplication};
use crate::services::Services;
use crate::source::{Checkouts, SourceError};

/// Resolves the applications that this one depends on. Fails where the dependencies are wrong, or can't be asked for.
pub(crate) async fn dependencies(
    engine: &Services,
    member: &ResolvedApplication,
    checkouts: &Checkouts,
    known: &ReadyCache,
) -> Result<Dependencies, Failure> {
    let mut on = Vec::new();
    let failed = |error: &SourceError| Failure::of(error, error.is_retryable());
    for other in member.after.as_ref().map_err(|error| Failure::terminal(error))? {
        let Dependency { instance, member } = &**other;
        let (mut wanted, mut inputs_digests) = (Revisions::default(), Vec::new());
        if member.is_automated() && !member.app.is_skipped {
            wanted = member.tracked.resolve(checkouts).await.map_err(|error| failed(&error))?;
            let keys = engine.state_keys().await.map_err(|error| Failure::retryable(&error))?;
            let digests = inputs::digests((&engine.root.location, &keys), member, checkouts, &wanted).await;
            inputs_digests = digests.map_err(|error| failed(&error))?;
        }
        let destination = &member.app.destination;
        let found = engine.clusters.get(&destination.server, &destination.name).await;
        let cluster = found.map_err(|error| Failure::of(&error, error.is_retryable()))?.cluster;
        let key = prepare::owner(engine, member).key;
        on.push(DependencyStatus { name: instance.clone(), key, cluster, wanted, inputs_digests });
    }
    Ok(Dependencies { on, known: ReadyCache::clone(known) })
}
