//! Gathers what a chart may ask of its cluster and what keeps its render repeatable: seed, time, version, API versions,
//! and the objects that its templates look up.

use std::collections::BTreeSet;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::Sha256;
use slipway_cluster::Cluster;
use slipway_cluster::lookup;
use slipway_cluster::state::{self, StateError};
use slipway_gitops::api_resources::{ApiResources, DiscoverError, GroupVersionKind};
use slipway_gitops::{ApiError, Class, Failure};
use slipway_helm::Lookup;
use slipway_manifest::ObjectId;
use slipway_manifest::names::NameError;

use crate::app::lookup::{Query, hidden, is_own, is_readable};
use crate::reconcile::notes::{FirstDeployedAt, Note as _};
use crate::reconcile::sync::AppOwner;
use crate::render::ClusterFacts;
use crate::root::ResolvedApplication;
use crate::secret::SecretError;
use crate::services::Services;

/// Renders of one chart: each answer of `lookup` may lead to another question, and a chart may ask without end.
pub(super) const MAX_LOOKUP_ROUNDS: usize = 5;

/// Why a chart can't be told what it may know.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// The secret from which the seed is derived could not be read.
    #[error("failed to get the key from which random values are made")]
    Key(#[from] SecretError),
    /// The state, which keeps the time of the first deployment, could not be read.
    #[error("failed to read when the application was first deployed")]
    State(#[from] StateError),
    /// Discovery failed.
    #[error("failed to discover the cluster's version and kinds")]
    Capabilities(#[source] ApiError),
    /// A kind that is looked up could not be resolved.
    #[error(transparent)]
    Kind(#[from] DiscoverError),
    /// An object that is looked up could not be read.
    #[error("failed to look up what a template asks for")]
    Lookup(#[from] Failure),
    /// The looked-up name or kind is not a valid one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The chart still asks for more after the last render.
    #[error("the chart's `lookup`s never end: after {MAX_LOOKUP_ROUNDS} renders it asks for {kind} `{name}`, too")]
    Endless {
        /// Kind of the last object that the chart asked for.
        kind: String,
        /// Name of that object.
        name: String,
    },
}

impl LookupError {
    /// Whether the same may succeed later.
    pub fn is_retryable(&self) -> bool {
        let passes = |class: Class| class.is_transient();
        match self {
            Self::Key(_) => true,
            Self::State(error) => error.is_retryable(),
            Self::Capabilities(error) => passes(error.class),
            Self::Kind(error) => matches!(error, DiscoverError::Incomplete { .. }),
            Self::Lookup(failure) => passes(failure.source.class),
            Self::Endless { .. } | Self::Name(_) => false,
        }
    }
}

/// Gathers everything that charts of the application may ask for, except the objects that they look up.
pub(super) async fn gather(
    engine: &Services,
    owner: &AppOwner,
    destination: &str,
    cluster: &Cluster,
) -> Result<ClusterFacts, LookupError> {
    let key = engine.state_key().await?;
    let recorded = state::read(cluster, &owner.key).await?;
    let first = recorded.and_then(|recorded| FirstDeployedAt::of(&recorded.state));
    let capabilities = cluster.capabilities().await.map_err(LookupError::Capabilities)?;
    Ok(ClusterFacts {
        seed: seed(&key, owner, destination),
        now: first.map_or_else(Timestamp::now, |FirstDeployedAt(at)| at),
        kube_version: Some(capabilities.version),
        api_versions: capabilities.api_versions,
        ..ClusterFacts::default()
    })
}

/// Other for each root, cluster and application; without the key it can't be guessed, and with it never changes.
fn seed(key: &SecretString, owner: &AppOwner, destination: &str) -> [u8; 32] {
    let state::AppKey { root, namespace, name } = &owner.key;
    // HMAC takes a key of any length, so that this branch is never taken.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()) else { return [0; 32] };
    mac.update(json!(["chart", root, destination, namespace, name]).to_string().as_bytes());
    mac.finalize().into_bytes().into()
}

/// Answers `needs` of charts of `member` from the cluster. Objects that Slipway may not read count as absent, with a
/// warning.
pub(super) async fn resolve_lookups(
    facts: &mut ClusterFacts,
    needs: BTreeSet<Lookup>,
    member: &ResolvedApplication,
    cluster: &Cluster,
) -> Result<Vec<String>, LookupError> {
    for need in &needs {
        query(need, true).check(&member.instance())?;
    }
    let kinds = cluster.resolve(&needs.iter().map(gvk).collect(), &BTreeSet::new()).await;
    let mut warnings = Vec::new();
    for need in needs {
        let answer = answer_one(&need, &kinds, member, cluster, &mut warnings).await?;
        facts.lookups.insert(need, answer);
    }
    Ok(warnings)
}

async fn answer_one(
    need: &Lookup,
    kinds: &ApiResources,
    ResolvedApplication { app, permit, .. }: &ResolvedApplication,
    cluster: &Cluster,
    warnings: &mut Vec<String>,
) -> Result<Value, LookupError> {
    let resource = match kinds.get(&gvk(need)) {
        Ok(resource) => resource,
        Err(DiscoverError::UnknownKind { .. }) => return Ok(Value::Null),
        Err(error) => return Err(error.into()),
    };
    let query = query(need, resource.namespaced);
    let name = if need.name.is_empty() { "*" } else { &need.name };
    let id = ObjectId::new(&resource.gvk.group, &need.kind, query.namespace, name);
    if let Some(hidden) = hidden(app, permit, &query) {
        warnings.push(format!("a chart looks up {id} and is told that there is none: {hidden}"));
        return Ok(Value::Null);
    }
    if !need.name.is_empty() {
        return Ok(lookup::get(cluster, resource, query.namespace, &need.name).await?);
    }
    let mut listed = lookup::list(cluster, resource, query.namespace).await?;
    let mut is_cut = false;
    listed.objects.retain(|object| {
        let is_readable = is_readable(permit, object);
        is_cut |= !is_readable && !is_own(object);
        is_readable
    });
    if is_cut {
        let project = &app.project;
        warnings.push(format!("a chart looks up {id} and is told of those that AppProject `{project}` lets it read"));
    }
    Ok(listed.into_value(resource))
}

fn gvk(need: &Lookup) -> GroupVersionKind {
    let (group, version) = need.api_version.split_once('/').unwrap_or(("", &need.api_version));
    GroupVersionKind { group: group.to_owned(), version: version.to_owned(), kind: need.kind.clone() }
}

/// Turns `need` into a request; cluster-scoped kinds have no namespace.
fn query(need: &Lookup, namespaced: bool) -> Query<'_> {
    let Lookup { api_version, kind, namespace, name } = need;
    Query { api_version, kind, namespaced, namespace: if namespaced { namespace } else { "" }, name }
}

#[cfg(test)]
mod tests {
    use slipway_cluster::state::AppKey;

    use super::*;

    fn owner(name: &str) -> AppOwner {
        let key = AppKey { root: "https://x/r".into(), namespace: "argocd".into(), name: name.into() };
        AppOwner { key, instance: name.into(), namespace: "shop".into() }
    }

    #[test]
    fn seeds_differ_by_key_cluster_and_application_and_by_nothing_else() {
        let (key, other) = (SecretString::from("key"), SecretString::from("other"));
        let one = seed(&key, &owner("web"), "prod");
        assert_eq!(one, seed(&key, &owner("web"), "prod"));
        for different in
            [seed(&other, &owner("web"), "prod"), seed(&key, &owner("db"), "prod"), seed(&key, &owner("web"), "dev")]
        {
            assert_ne!(one, different);
        }
    }
}
