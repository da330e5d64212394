//! What a chart may know of its cluster, and what makes its render the same each time: seed, time, version, API versions,
//! and the objects that its templates look up.

use std::collections::BTreeSet;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::Sha256;
use slipway_cluster::discover::{DiscoverError, Gvk};
use slipway_cluster::lookup::lookup;
use slipway_cluster::state::{self, StateError};
use slipway_cluster::{ApiError, Class, Cluster, Failure};
use slipway_helm::Lookup;

use super::sync::Owner;
use crate::app::Application;
use crate::engine::Engine;
use crate::render::Facts;
use crate::secret::SecretError;

/// Times that a chart is rendered because its answers made it ask for more.
pub(super) const ROUNDS: usize = 5;

/// The annotation of an Application that names the namespaces, besides its own, in which its charts may look objects up:
/// separated by commas, `*` for all.
const LOOKUP_NAMESPACES: &str = "slipway.dev/lookup-namespaces";

/// Under this name the state remembers when an application was first deployed.
const FIRST: &str = "firstDeployedAt";

/// Why a chart can't be told what it may know.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FactsError {
    /// The key of the seed is not to be had.
    #[error("failed to get the key from which random values are made")]
    Key(#[from] SecretError),
    /// The time of the first deployment is not to be had.
    #[error("failed to read when the application was first deployed")]
    State(#[from] StateError),
    /// Version and kinds of the cluster are not to be had.
    #[error("failed to ask the cluster for its version and kinds")]
    Capabilities(#[source] ApiError),
    /// A kind that is looked up could not be resolved.
    #[error(transparent)]
    Kind(#[from] DiscoverError),
    /// An object that is looked up could not be read.
    #[error("failed to look up what a template asks for")]
    Lookup(#[from] Failure),
    /// Each answer leads to further questions.
    #[error("the chart's `lookup`s come to no end: after {ROUNDS} renders it asks for {kind} `{name}`, too")]
    Endless {
        /// Kind of the object it asked for last.
        kind: String,
        /// Its name.
        name: String,
    },
}

impl FactsError {
    /// Whether the same may succeed later.
    pub fn is_retryable(&self) -> bool {
        let passes = |class: Class| class.is_transient();
        match self {
            Self::Key(_) => true,
            Self::State(error) => !matches!(error, StateError::Damaged { .. }),
            Self::Capabilities(error) => passes(error.class),
            Self::Kind(error) => matches!(error, DiscoverError::Incomplete { .. }),
            Self::Lookup(failure) => passes(failure.source.class),
            Self::Endless { .. } => false,
        }
    }
}

/// Everything that charts of the application may know, but for what they look up.
pub(super) async fn gather(
    engine: &Engine,
    owner: &Owner,
    destination: &str,
    cluster: &Cluster,
) -> Result<Facts, FactsError> {
    let key = engine.state_key().await?;
    let recorded = state::read(cluster, &owner.key).await?;
    let first = recorded.and_then(|recorded| serde_json::from_value(recorded.state.notes.get(FIRST)?.clone()).ok());
    let capabilities = cluster.capabilities().await.map_err(FactsError::Capabilities)?;
    Ok(Facts {
        seed: seed(&key, owner, destination),
        now: first.unwrap_or_else(Timestamp::now),
        kube_version: Some(capabilities.version),
        api_versions: capabilities.api_versions,
        ..Facts::default()
    })
}

/// Keeps the time of the first deployment: what it was is not changed by later ones.
pub(super) fn remember(notes: &mut serde_json::Map<String, Value>, first: Timestamp) {
    notes.entry(FIRST).or_insert_with(|| json!(first));
}

/// Other for each root, cluster and application; without the key it can't be guessed, and with it never changes.
fn seed(key: &SecretString, owner: &Owner, destination: &str) -> [u8; 32] {
    let state::AppKey { root, namespace, name } = &owner.key;
    // A key of any length is fine for HMAC, so that this never falls back.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()) else { return [0; 32] };
    mac.update(json!(["chart", root, destination, namespace, name]).to_string().as_bytes());
    mac.finalize().into_bytes().into()
}

/// Answers `needs` from the cluster. An object in a namespace that is not the application's counts as absent unless
/// an annotation allows it: with a warning.
pub(super) async fn answer(
    facts: &mut Facts,
    needs: BTreeSet<Lookup>,
    app: &Application,
    cluster: &Cluster,
) -> Result<Vec<String>, FactsError> {
    let gvk = |need: &Lookup| {
        let (group, version) = need.api_version.split_once('/').unwrap_or(("", &need.api_version));
        Gvk { group: group.to_owned(), version: version.to_owned(), kind: need.kind.clone() }
    };
    let kinds = cluster.resolve(&needs.iter().map(gvk).collect(), &BTreeSet::new()).await;
    let mut warnings = Vec::new();
    for need in needs {
        let answer = match kinds.get(&gvk(&need)) {
            Ok(resource) if resource.namespaced && !may_look(app, &need.namespace) => {
                let Lookup { kind, namespace, name, .. } = &need;
                warnings.push(format!(
                    "a chart looks up {kind} `{name}` in namespace `{namespace}` and is told that there is none: the annotation `{LOOKUP_NAMESPACES}` of the Application can allow that namespace"
                ));
                Value::Null
            }
            Ok(resource) => lookup(cluster, resource, &need.namespace, &need.name).await?,
            Err(DiscoverError::UnknownKind { .. }) => Value::Null,
            Err(error) => return Err(error.into()),
        };
        facts.lookups.insert(need, answer);
    }
    Ok(warnings)
}

fn may_look(app: &Application, namespace: &str) -> bool {
    let allowed = app.annotation(LOOKUP_NAMESPACES).unwrap_or_default();
    let is_own = !namespace.is_empty() && namespace == app.destination.namespace;
    is_own || allowed.split(',').map(str::trim).any(|one| one == "*" || !namespace.is_empty() && one == namespace)
}

#[cfg(test)]
mod tests {
    use slipway_cluster::state::AppKey;

    use super::*;

    fn owner(name: &str) -> Owner {
        let key = AppKey { root: "https://x/r".into(), namespace: "argocd".into(), name: name.into() };
        Owner { key, instance: name.into(), namespace: "shop".into() }
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

    #[test]
    fn the_first_time_stays() {
        let mut notes = serde_json::Map::new();
        remember(&mut notes, "2026-01-01T00:00:00Z".parse().unwrap());
        remember(&mut notes, "2026-02-01T00:00:00Z".parse().unwrap());
        assert_eq!(notes["firstDeployedAt"], "2026-01-01T00:00:00Z");
    }

    #[test]
    fn charts_look_into_their_own_namespace() {
        let app = |allowed: &str| {
            let object = slipway_manifest::Object::from_value(json!({
                "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
                "metadata": {"name": "web", "annotations": {LOOKUP_NAMESPACES: allowed}},
                "spec": {"source": {"repoURL": "https://github.com/a/b", "path": "p"}, "destination": {"name": "in-cluster", "namespace": "shop"}},
            }));
            Application::from_object(&object.unwrap()).unwrap()
        };
        let looks = |allowed: &str| ["shop", "db", ""].map(|namespace| may_look(&app(allowed), namespace));
        assert_eq!(looks(""), [true, false, false]);
        assert_eq!(looks("cache, db"), [true, true, false]);
        assert_eq!(looks("*"), [true, true, true]);
    }
}
