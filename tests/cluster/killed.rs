//! A worker that is killed at any point of a sync is taken up by the next, be it the same holder or another.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use slipway::notify::report::AppSyncStatus;
use slipway::reconcile::sync::Deadlines;
use slipway_cluster::lease::{self, Acquisition};
use slipway_gitops::status::SyncStatus;
use slipway_manifest::ObjectId;
use tokio::time::Instant;

use crate::journal::Journal;
use crate::sync::{job, list, recorded, run, stages, times};
use crate::{Place, side_by_side};

/// Applications that are killed side by side, and how often each.
const LANES: u64 = 10;
const KILLS: u32 = 5;
/// A holder that is silent for so long has lost it.
const LEASE: Duration = Duration::from_secs(6);
const HOOKS: [&str; 3] = ["before", "between", "after"];

fn short() -> Deadlines {
    Deadlines { lease: LEASE, ..times(120) }
}

/// What the cluster has of the application: ConfigMaps and Jobs.
fn names(place: &Place) -> BTreeSet<String> {
    let objects = [list(place, "configmaps"), list(place, "jobs")].concat();
    objects.iter().map(|object| object["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

/// The seed of the moments at which workers are killed, which is printed: `SLIPWAY_KILL_SEED` repeats a run that failed.
#[expect(clippy::print_stdout, reason = "it repeats a run that failed")]
pub(crate) fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let seed = std::env::var("SLIPWAY_KILL_SEED").map_or(now, |seed| seed.parse().expect("a number"));
    println!("SLIPWAY_KILL_SEED={seed}");
    seed
}

#[test]
fn a_worker_killed_anywhere_is_taken_up() {
    let seed = seed();
    let lanes = side_by_side(0..LANES, async |lane| {
        let place = Place::new("killed").await?;
        Some(kill(&place, ChaCha8Rng::seed_from_u64(seed.wrapping_add(lane))).await)
    });
    let Some(kills) = lanes.into_iter().sum::<Option<u32>>() else { return };
    assert_eq!(kills, 50);
}

/// Kills one application again and again; gives how often.
async fn kill(place: &Place, mut random: ChaCha8Rng) -> u32 {
    // How long a whole one takes, and what it leaves.
    let began = Instant::now();
    let whole = run(&job(place, "r0", stages("r0")), "worker", short()).await;
    assert_eq!(whole.phase, AppSyncStatus::Healthy, "{whole:?}");
    let took = began.elapsed();
    let wanted: BTreeSet<String> =
        ["a", "b", "c", "before", "after", "kube-root-ca.crt"].map(str::to_owned).into_iter().collect();
    let mut kills = 0;
    for point in 1..=3 * KILLS {
        if kills == KILLS {
            break;
        }
        let revision = format!("r{point}");
        let job = job(place, &revision, stages(&revision));
        let cut = took.mul_f64(f64::from(random.next_u32()) / f64::from(u32::MAX));
        let next = if kills % 2 == 0 { "worker" } else { "another" };
        let what = format!("{} killed after {cut:?} of {took:?}, taken up by {next}", place.namespace());

        let journal = Journal::begin(place);
        let killed = tokio::time::timeout(cut, run(&job, "worker", short())).await;
        // A point after its end is no kill.
        kills += u32::from(killed.is_err());
        let died = Instant::now();
        let outcome = run(&job, next, short()).await;
        assert_eq!(outcome.phase, AppSyncStatus::Healthy, "{what}: {outcome:?}");
        // The Lease, if it has to run out, a whole sync, and what a busy machine adds.
        let limit = LEASE + took * 3 + Duration::from_secs(10);
        assert!(died.elapsed() < limit, "{what}: it took {:?}", died.elapsed());

        // What goes is deleted in the foreground: the garbage collector takes its time.
        let patience = Instant::now() + Duration::from_secs(15);
        while names(place) != wanted && Instant::now() < patience {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(names(place), wanted, "{what}");
        let state = recorded(place).await;
        assert_eq!(state.operation, None, "{what}");
        assert_eq!(state.status.sync.revisions, revision.as_str().into(), "{what}");
        assert_eq!(state.status.sync.status, SyncStatus::Synced, "{what}");
        let maps = ["a", "b", "c"].map(|name| ObjectId::new("", "ConfigMap", place.namespace(), name));
        let ours: BTreeSet<ObjectId> = state.inventory.into_iter().filter(|id| id.kind == "ConfigMap").collect();
        assert_eq!(ours, BTreeSet::from(maps), "{what}");
        let events = journal.read(place, &[("batch/v1", "jobs")]);
        for hook in HOOKS {
            assert_eq!(events.runs(hook, &revision), 1, "{what}: {hook}");
        }
        // Nobody holds it any more.
        let patience = Duration::ZERO;
        let asked = lease::Options {
            holder: "a third".to_owned(),
            duration: LEASE,
            expires_after: patience,
            pending_request: String::new(),
        };
        match lease::acquire(&place.cluster, &place.key, &asked).await.unwrap() {
            Acquisition::Acquired(lease) => lease.release().await.unwrap(),
            Acquisition::Held { holder } => panic!("{what}: {holder} holds it still"),
        };
    }
    kills
}
