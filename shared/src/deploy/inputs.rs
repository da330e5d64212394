//! Tells by a keyed digest what an application is deployed from: its Application, project and settings, and what its
//! render can reach of the commits. Where the digest is that of the last complete sync, nothing is to be done.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, future, stream};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::Sha256;
use slipway_cluster::state::{self, AppKey, Deployed};
use slipway_gitops::Revisions;

use crate::error::chain;
use crate::render::reach::{self, Reach, Reaches};
use crate::root::ResolvedApplication;
use crate::root::tracked::SourceRepository;
use crate::secret::StateKeys;
use crate::services::Services;
use crate::source::remote::{Asking, refused};
use crate::source::{Checkouts, Location, SourceError};

/// Applications whose inputs are compared at a time.
const CONCURRENCY: usize = 8;

/// The digests of `member` of the root `root` at the commits `revisions`, one under each of the `keys`; none where the
/// commits are of other sources than it has. An error where a commit can't be fetched.
pub async fn digests(
    (root, keys): (&Location, &StateKeys),
    member: &ResolvedApplication,
    checkouts: &Checkouts,
    revisions: &Revisions,
) -> Result<Vec<String>, SourceError> {
    let Some(tracked) = member.tracked.at(revisions) else { return Ok(Vec::new()) };
    let (mut reaches, mut versions) = (Vec::new(), Vec::new());
    for (source, revision) in tracked {
        versions.extend(source.git().is_none().then(|| revision.to_owned()));
        reaches.push(match &source.repository {
            SourceRepository::Git(repo) => {
                let (commit, memo) = (checkouts.get(repo, revision).await?, checkouts.memo(repo, revision).await);
                Some(Reaches::new(commit, memo))
            }
            // The commit is all there is to know without a fetch.
            SourceRepository::Other(_) | SourceRepository::Chart(_) => None,
        });
    }
    let Reach { digest: reach, remotes } = reach::reach(&member.app, &reaches);
    let asking = Asking { host: &root.url.host, project: &member.app.project };
    let mut remote_versions = Vec::new();
    for remote in remotes {
        // What the project denies is not asked: the render says so.
        let is_denied = refused(&member.permit, &remote).is_some();
        let version = if is_denied { String::new() } else { checkouts.remote_version(&remote, asking).await? };
        remote_versions.push(json!([remote.raw, version]));
    }
    let (owner, reach) = (key_of(root, member), json!([reach, versions, remote_versions]));
    let keys = [Some(&keys.current), keys.previous.as_ref()];
    Ok(keys.into_iter().flatten().filter_map(|key| digest(key, &owner, member, &reach)).collect())
}

fn key_of(root: &Location, member: &ResolvedApplication) -> AppKey {
    let (namespace, name) = member.identity();
    AppKey { root: root.to_string(), namespace, name }
}

/// `None` for a key of no use. Everything of `member` counts that its sync depends on, and what its state records of
/// it.
fn digest(key: &SecretString, owner: &AppKey, member: &ResolvedApplication, reach: &Value) -> Option<String> {
    let key = Some(key.expose_secret().as_bytes()).filter(|key| !key.is_empty())?;
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    let (object, AppKey { root, namespace, name }) = (&member.app.object, owner);
    // Another version may render otherwise.
    let form = concat!("slipway inputs 1 ", env!("CARGO_PKG_VERSION"));
    let given = (form, root, namespace, name, object.metadata(), object.get("spec"), reach);
    mac.update(&serde_json::to_vec(&given).ok()?);
    mac.update(format!("{:?} {:?} {}", member.permit, member.build, member.is_kept()).as_bytes());
    Some(hex::encode(mac.finalize().into_bytes()))
}

/// Names those of `members` for which the heads of their sources change nothing: all that they depend on is as it was
/// when they were `deployed`, and they are Synced. Not one that was deployed from the commit `pushed` itself, whose
/// report may still be missing. Whatever can't be found out counts as changed.
pub async fn unchanged(
    (root, keys): (&Location, &StateKeys),
    members: &[ResolvedApplication],
    deployed: &BTreeMap<AppKey, Deployed>,
    pushed: &str,
    checkouts: &Checkouts,
) -> BTreeSet<String> {
    let candidates = members.iter().filter(|member| !member.app.is_skipped && member.permit.denied.is_none());
    let known = candidates.filter_map(|member| {
        let known = deployed.get(&key_of(root, member)).filter(|known| !known.revisions.contains(pushed))?;
        Some((member, known))
    });
    let compared = known.map(|(member, known)| async move {
        let heads = member.tracked.resolve(checkouts).await.ok()?;
        let now = digests((root, keys), member, checkouts, &heads).await.ok()?;
        now.contains(&known.inputs_digest).then(|| member.instance())
    });
    // Each Application may be of another repository, which has to be fetched.
    stream::iter(compared).buffer_unordered(CONCURRENCY).filter_map(future::ready).collect().await
}

/// What is deployed in the clusters of `members`, as far as it can be listed: what is wrong with another, a sync tells.
pub(super) async fn deployed(engine: &Services, members: &[ResolvedApplication]) -> BTreeMap<AppKey, Deployed> {
    let destinations = members.iter().map(|member| &member.app.destination);
    let clusters: BTreeSet<(&str, &str)> =
        destinations.map(|destination| (destination.server.as_str(), destination.name.as_str())).collect();
    let lists = clusters.into_iter().map(|(server, name)| async move {
        let listed = match engine.clusters.get(server, name).await {
            Ok(destination) => state::list_deployed(&destination.cluster).await.map_err(|error| chain(&error)),
            Err(error) => Err(chain(&error)),
        };
        let failed =
            |error: &String| tracing::warn!(server, name, error, "failed to list what is deployed in a cluster");
        listed.inspect_err(failed).unwrap_or_default()
    });
    future::join_all(lists).await.into_iter().flatten().collect()
}
