//! Workers that are doubled, paused or overtaken: the head of the branch is applied once.

use std::time::Duration;

use serde_json::{Value, json};
use slipway::notify::report::AppSyncStatus;
use slipway::reconcile::sync::{self, Deadlines};
use slipway_gitops::status::SyncStatus;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::journal::Journal;
use crate::sync::{job, list, objects, recorded, run, stages, times, wave};
use crate::{Place, side_by_side};

/// Everything written in the name of the application, with its version.
fn versions(place: &Place) -> Vec<(String, String)> {
    let name = place.key.object_name();
    let of_slipway = |kind: &str| {
        let text = place.plane.kubectl(&["-n", "slipway", "get", kind, &name, "-o", "json"]).expect("kubectl");
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let objects = [list(place, "configmaps"), list(place, "jobs"), vec![of_slipway("configmap"), of_slipway("lease")]];
    let text = |object: &Value, key: &str| object["metadata"][key].as_str().unwrap().to_owned();
    objects.concat().iter().map(|object| (text(object, "name"), text(object, "resourceVersion"))).collect()
}

/// Asserts that each wave was written and each hook ran once for `revision`.
fn assert_once(place: &Place, journal: &Journal, revision: &str) {
    let events = journal.read(place, &[("v1", "configmaps"), ("batch/v1", "jobs")]);
    for name in ["a", "b", "c"] {
        assert_eq!(events.writes(name, revision), 1, "{name} of {revision}");
    }
    for name in ["before", "between", "after"] {
        assert_eq!(events.runs(name, revision), 1, "{name} of {revision}");
    }
}

#[tokio::test]
async fn of_two_workers_one_brings_it_and_the_other_leaves_word() {
    let Some(place) = Place::new("two").await else { return };
    let journal = Journal::begin(&place);
    let job = job(&place, "one", stages("one"));
    let (first, second) = tokio::join!(run(&job, "first", times(120)), run(&job, "second", times(120)));
    let phases = [first.phase, second.phase];
    assert!(phases.contains(&AppSyncStatus::Healthy), "{first:?} {second:?}");
    assert_once(&place, &journal, "one");
}

/// The holder is paused in the midst of a sync, a newer commit is brought by another, then the first wakes.
#[test]
fn a_paused_holder_that_wakes_late_writes_nothing() {
    side_by_side([25, 50, 75], async |percent| {
        let Some(place) = Place::new("paused").await else { return };
        pause(&place, percent).await;
    });
}

async fn pause(place: &Place, percent: u32) {
    let short = || Deadlines { lease: Duration::from_secs(6), ..times(120) };
    let began = Instant::now();
    run(&job(place, "zero", stages("zero")), "paused", short()).await;
    let point = began.elapsed() * percent / 100;

    let (old, new) = (job(place, "old", stages("old")), job(place, "new", stages("new")));
    let (_never, stop) = watch::channel(false);
    let mut late = Box::pin(sync::sync(&old, None, "paused", short(), stop));
    assert!(tokio::time::timeout(point, &mut late).await.is_err(), "it was done after {point:?}");
    // From here on nobody polls it.
    let journal = Journal::begin(place);
    let outcome = run(&new, "next", short()).await;
    assert_eq!(outcome.phase, AppSyncStatus::Healthy, "paused after {point:?}: {outcome:?}");
    assert_once(place, &journal, "new");

    let before = versions(place);
    let woken = late.await;
    assert_ne!(woken.phase, AppSyncStatus::Healthy, "paused after {point:?}: {woken:?}");
    assert_eq!(versions(place), before, "paused after {point:?}: {woken:?}");
    assert_eq!(recorded(place).await.status.sync.revisions, "new".into());
}

#[tokio::test]
async fn a_doubled_continue_does_nothing() {
    let Some(place) = Place::new("doubled").await else { return };
    let journal = Journal::begin(&place);
    let mut job = job(&place, "one", stages("one"));
    let hasty = Deadlines { hand_over_at: Instant::now(), ..times(60) };
    let left = run(&job, "worker", hasty).await;
    let next = left.next.clone().unwrap_or_else(|| panic!("it waits for a hook: {left:?}"));
    assert_eq!(left.phase, AppSyncStatus::Waiting);
    job.resume_operation = Some(next.operation);
    // At the same time, and once more when all is over.
    let (first, second) = tokio::join!(run(&job, "first", times(120)), run(&job, "second", times(120)));
    for outcome in [&first, &second] {
        assert!(outcome.problems.is_empty(), "{first:?} {second:?}");
    }
    let before = list(&place, "jobs");
    let late = run(&job, "late", times(120)).await;
    assert!(late.changes.is_empty() && late.problems.is_empty(), "{late:?}");
    assert_eq!(list(&place, "jobs"), before);
    assert_once(&place, &journal, "one");
}

#[tokio::test]
async fn a_newer_commit_ends_the_wait_for_an_older() {
    let Some(place) = Place::new("newer").await else { return };
    // Nothing ever makes this claim healthy.
    let stuck = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "stuck"},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}});
    let old = job(&place, "old", objects([stuck, wave("later", 1)]));
    let (moved, stop) = watch::channel(false);
    let journal = Journal::begin(&place);
    let (ended, ()) = tokio::join!(sync::sync(&old, None, "worker", times(60), stop), async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        moved.send_replace(true);
    });
    assert!(ended.problems.iter().any(|problem| problem.contains("newer commit")), "{ended:?}");
    let new = job(&place, "new", stages("new"));
    let outcome = run(&new, "worker", times(60)).await;
    assert_eq!(outcome.phase, AppSyncStatus::Healthy, "{outcome:?}");
    assert!(list(&place, "services").is_empty(), "what left Git is pruned");
    assert_once(&place, &journal, "new");
    let state = recorded(&place).await;
    assert_eq!((state.status.sync.revisions, state.status.sync.status), ("new".into(), SyncStatus::Synced));
}
