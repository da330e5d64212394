//! Trees of Applications whose workers are killed at random moments: what the next ones leave is the same as where nobody
//! was killed.

use std::collections::BTreeMap;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use serde_json::{Value, json};
use slipway_tests::ControlPlane;
use tokio::time::Instant;

use crate::Place;
use crate::functions::{Functions, in_a_while, recorded};
use crate::killed::seed;
use crate::sources::chart_with_values;
use crate::tree::{chart_root, config, deep, root_chart};
use crate::two_clusters::{announce, matrix, second};

/// Pushes during which a worker is killed; each time its Lease has to run out. `SLIPWAY_KILLS` for more.
const KILLS: u32 = 2;
/// The kinds of the objects that are compared.
const KINDS: &str = "configmaps,deployments";

/// A repository, and its files by their paths.
type Files = (&'static str, Vec<(String, String)>);

/// A tree of Applications that changes from round to round.
struct Tree<'a> {
    /// The settings of the functions, in a namespace.
    settings: &'a dyn Fn(&str) -> Vec<(&'static str, String)>,
    /// The repository and the files that are pushed in a round, in a namespace.
    push: &'a dyn Fn(&str, u32) -> Vec<Files>,
    /// The names of the Applications on the first cluster, after that of the namespace.
    applications: &'a [&'a str],
    /// The cluster besides the first one.
    second: Option<&'a ControlPlane>,
}

/// Kills workers at random moments.
struct Killer {
    random: ChaCha8Rng,
    /// How long a worker takes at most where nobody kills it.
    within: Duration,
}

/// Deploys `tree` in a namespace of its own twice, once with kills, and compares what is there after each round.
async fn ends_the_same(test: &str, tree: Tree<'_>) {
    let Some(calm) = Place::new(test).await else { return };
    let mut random = ChaCha8Rng::seed_from_u64(seed());
    let (expected, within) = deploy(&calm, &tree, None).await;
    let place = Place::new(test).await.unwrap();
    let killer = Killer { random: ChaCha8Rng::seed_from_u64(random.next_u64()), within };
    let (found, _) = deploy(&place, &tree, Some(killer)).await;
    for (round, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found, expected, "round {round}");
    }
    assert_eq!(found.len(), expected.len());
}

#[expect(clippy::print_stdout, reason = "it tells of a run that failed where workers were killed")]
/// What is there after each round, and how long a worker took at most.
async fn deploy(place: &Place, tree: &Tree<'_>, mut killer: Option<Killer>) -> (Vec<Value>, Duration) {
    let kills: u32 = std::env::var("SLIPWAY_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number"));
    let namespace = place.namespace();
    let settings = (tree.settings)(namespace);
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut functions = Functions::start(place, &settings).await;
    if let Some(second) = tree.second {
        announce(&functions, second);
    }
    let (mut rounds, mut longest) = (Vec::new(), Duration::ZERO);
    for round in 0..kills {
        for (repository, files) in (tree.push)(namespace, round) {
            let known = functions.sandbox.forge.repository("acme", repository);
            let repository = known.unwrap_or_else(|| functions.repository(repository));
            // Of two contents of a file, the last counts.
            let files: BTreeMap<String, String> = files.into_iter().collect();
            functions.push_to(&repository, "Change the tree", &files.into_iter().collect::<Vec<_>>());
        }
        let mut is_killed = false;
        while let Some(event) = functions.next_event() {
            let began = Instant::now();
            let work = functions.worker.handle(event.clone(), in_a_while(), "worker");
            match killer.as_mut().filter(|_| !is_killed) {
                None => {
                    work.await.unwrap();
                }
                Some(Killer { random, within }) => {
                    let cut = within.mul_f64(f64::from(random.next_u32()) / f64::from(u32::MAX));
                    is_killed = tokio::time::timeout(cut, work).await.is_err();
                    if is_killed {
                        println!("{namespace}: a worker is killed after {cut:?} of {within:?} in round {round}");
                        // Nobody took the message from the queue.
                        functions.worker.handle(event, in_a_while(), "the next").await.unwrap();
                    }
                }
            }
            longest = longest.max(began.elapsed());
        }
        rounds.push(left_by(place, tree).await);
    }
    (rounds, longest)
}

/// The objects of the namespace on each cluster, and what is recorded of each Application, without what differs between
/// two namespaces, or from time to time.
async fn left_by(place: &Place, tree: &Tree<'_>) -> Value {
    let namespace = place.namespace();
    let objects = |plane: &ControlPlane| -> Value {
        let text = plane.kubectl(&["-n", namespace, "get", KINDS, "-o", "json"]).expect("kubectl");
        let mut list: Value = serde_json::from_str(&text).unwrap();
        for object in list["items"].as_array_mut().unwrap() {
            object.as_object_mut().unwrap().remove("status");
            let metadata = object["metadata"].as_object_mut().unwrap();
            metadata.retain(|key, _| matches!(key.as_str(), "name" | "annotations" | "generation"));
        }
        list["items"].take()
    };
    let mut applications = Vec::new();
    for name in tree.applications {
        let name = format!("{namespace}{name}");
        let state = recorded(place, &name).await.unwrap_or_else(|| panic!("{name} was not deployed"));
        let status = &state.status;
        let inventory: Vec<String> = state.inventory.iter().map(ToString::to_string).collect();
        let resources: Vec<Value> = status.resources.iter().map(|row| json!(row)).collect();
        assert!(state.operation.is_none(), "{name} is still being deployed");
        applications.push(json!({
            "name": name, "sync": status.sync.status, "health": status.health.status, "resources": resources,
            "inventory": inventory, "deployments": status.history.len(),
        }));
    }
    let planes = [Some(place.plane), tree.second];
    let objects: Vec<Value> = planes.into_iter().flatten().map(objects).collect();
    let text = json!({"objects": objects, "applications": applications}).to_string();
    serde_json::from_str(&text.replace(namespace, "NAMESPACE")).unwrap()
}

#[tokio::test]
async fn a_tree_three_deep_ends_as_if_nobody_was_killed() {
    let push = |namespace: &str, round: u32| {
        let mut files = deep(namespace);
        files.push((format!("{namespace}-three/x.yaml"), config(&format!("lowest-{round}"), namespace)));
        files.push((format!("{namespace}-one/more.yaml"), config(&format!("beside-{round}"), namespace)));
        vec![("gitops", files)]
    };
    let settings = |_: &str| Vec::new();
    let applications = ["-one", "-two", "-three"];
    let tree = Tree { settings: &settings, push: &push, applications: &applications, second: None };
    ends_the_same("treekilled", tree).await;
}

#[tokio::test]
async fn a_root_chart_ends_as_if_nobody_was_killed() {
    let push = |namespace: &str, round: u32| {
        let mut files = root_chart(namespace, &format!("prod-{round}"));
        files.push((format!("{namespace}-b/x.yaml"), config(&format!("of-b-{round}"), namespace)));
        vec![("gitops", files)]
    };
    let settings = |namespace: &str| vec![("SLIPWAY_ROOT_APPLICATION", chart_root(namespace))];
    let applications = ["-root", "-a", "-b"];
    let tree = Tree { settings: &settings, push: &push, applications: &applications, second: None };
    ends_the_same("chartkilled", tree).await;
}

#[tokio::test]
async fn a_matrix_over_two_api_servers_ends_as_if_nobody_was_killed() {
    let Some((second, _authenticator)) = second().await else { return };
    let push = |namespace: &str, round: u32| vec![("gitops", matrix(namespace, &second, &format!("value-{round}")))];
    let settings = |_: &str| Vec::new();
    let applications = ["-one-in-cluster", "-two-in-cluster"];
    let tree = Tree { settings: &settings, push: &push, applications: &applications, second: Some(&second) };
    ends_the_same("matrixkilled", tree).await;
}

#[tokio::test]
async fn a_chart_with_values_of_another_repository_ends_as_if_nobody_was_killed() {
    let push = |namespace: &str, round: u32| {
        let mut files = chart_with_values(namespace);
        let beside = config(&format!("beside-{round}"), namespace);
        files.push(("chart/templates/beside.yaml".to_owned(), beside));
        let values = vec![("web.yaml".to_owned(), format!("replicas: {}\n", round + 1))];
        vec![("values", values), ("gitops", files)]
    };
    let settings = |_: &str| Vec::new();
    let tree = Tree { settings: &settings, push: &push, applications: &[""], second: None };
    ends_the_same("valueskilled", tree).await;
}
