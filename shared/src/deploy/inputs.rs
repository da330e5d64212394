//! Tells by a keyed digest what an application is deployed from: its Application, project and settings, and what its
//! render can reach of the commits. Where the digest is that of the last complete sync, nothing is to be done.

use std::collections::{BTreeMap, BTreeSet};

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sha2::Sha256;
use slipway_cluster::state::{self, AppKey, Deployed};
use slipway_gitops::Revisions;

use super::prepare;
use crate::error::chain;
use crate::render::reach;
use crate::root::ResolvedApplication;
use crate::root::tracked::TrackedSource;
use crate::secret::StateKeys;
use crate::services::Services;
use crate::source::Checkouts;
use crate::source::github::GithubError;

/// The digests of `member` at the commits `revisions`, one under each of the `keys`; none where the commits are of other
/// sources than it has.
pub(crate) async fn digests(
    engine: &Services,
    member: &ResolvedApplication,
    checkouts: &Checkouts,
    revisions: &Revisions,
    keys: &StateKeys,
) -> Result<Vec<String>, GithubError> {
    let Some(tracked) = member.tracked.at(revisions) else { return Ok(Vec::new()) };
    let mut reaches = Vec::new();
    for (TrackedSource { repo, .. }, commit) in tracked {
        reaches.push(checkouts.reaches(repo, commit).await?);
    }
    let (owner, reach) = (prepare::owner(engine, member).key, reach::digest(&member.app, &reaches));
    let keys = [Some(&keys.current), keys.previous.as_ref()];
    Ok(keys.into_iter().flatten().filter_map(|key| digest(key, &owner, member, &reach)).collect())
}

/// `None` for a key of no use. Everything of `member` counts that its sync depends on, and what its state records of it.
fn digest(key: &SecretString, owner: &AppKey, member: &ResolvedApplication, reach: &str) -> Option<String> {
    let key = Some(key.expose_secret().as_bytes()).filter(|key| !key.is_empty())?;
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    let (object, AppKey { root, namespace, name }) = (&member.app.object, owner);
    let given = json!(["slipway inputs 1", root, namespace, name, object.metadata(), object.get("spec"), reach]);
    mac.update(given.to_string().as_bytes());
    mac.update(format!("{:?} {:?} {}", member.permit, member.build, member.is_kept).as_bytes());
    Some(hex::encode(mac.finalize().into_bytes()))
}

/// Names those of `members` for which the heads of their sources change nothing: all that they depend on is as it was
/// when they were deployed, and they are Synced. Not one that was deployed from the commit `pushed` itself, whose report
/// may still be missing. Whatever can't be found out counts as changed.
pub(super) async fn unchanged(
    engine: &Services,
    members: &[ResolvedApplication],
    pushed: &str,
    checkouts: &Checkouts,
) -> BTreeSet<String> {
    let Ok(keys) = engine.state_keys().await else { return BTreeSet::new() };
    let mut clusters: BTreeMap<(&str, &str), BTreeMap<AppKey, Deployed>> = BTreeMap::new();
    let mut unchanged = BTreeSet::new();
    for member in members.iter().filter(|member| !member.app.is_skipped && member.permit.denied.is_none()) {
        let cluster = (member.app.destination.server.as_str(), member.app.destination.name.as_str());
        if !clusters.contains_key(&cluster) {
            clusters.insert(cluster, deployed(engine, cluster).await);
        }
        let known = clusters.get(&cluster).and_then(|states| states.get(&prepare::owner(engine, member).key));
        let Some(known) = known.filter(|known| !known.revisions.contains(pushed)) else { continue };
        let Ok(heads) = member.tracked.resolve(checkouts).await else { continue };
        let now = digests(engine, member, checkouts, &heads, &keys).await;
        if now.is_ok_and(|digests| digests.contains(&known.inputs_digest)) {
            unchanged.insert(member.instance());
        }
    }
    unchanged
}

/// What is deployed in a cluster, as far as it can be listed: what else is wrong with it, a sync tells.
async fn deployed(engine: &Services, (server, name): (&str, &str)) -> BTreeMap<AppKey, Deployed> {
    let listed = match engine.clusters.get(server, name).await {
        Ok(destination) => state::list_deployed(&destination.cluster).await.map_err(|error| chain(&error)),
        Err(error) => Err(chain(&error)),
    };
    listed.unwrap_or_else(|error| {
        tracing::warn!(server, name, error, "failed to list what is deployed in a cluster");
        BTreeMap::new()
    })
}
