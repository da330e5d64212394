use std::time::Duration;

use slipway_cluster::apply;
use slipway_cluster::lease::{self, Acquisition, Lease, LockError, Options};

use crate::Place;

fn options(holder: &str, patience: u64) -> Options {
    Options {
        holder: holder.to_owned(),
        duration: Duration::from_secs(4),
        expires_after: Duration::from_secs(patience),
        pending_request: format!("revision of {holder}"),
    }
}

async fn ask(place: &Place, holder: &str, patience: u64) -> Result<Box<Lease>, String> {
    match lease::acquire(&place.cluster, &place.key, &options(holder, patience)).await.unwrap() {
        Acquisition::Acquired(lease) => Ok(lease),
        Acquisition::Held { holder } => Err(holder),
    }
}

#[tokio::test]
async fn a_living_holder_keeps_it_and_hears_what_is_wanted() {
    let Some(place) = Place::new("held").await else { return };
    let lease = ask(&place, "first", 0).await.unwrap();
    assert_eq!(lease.transitions(), 0);
    assert_eq!(ask(&place, "second", 0).await.err().as_deref(), Some("first"));
    // Renewed all the while: a patient waiter sees it live.
    let (held, asked) = tokio::join!(lease.keep_renewed(tokio::time::sleep(Duration::from_secs(6))), async {
        ask(&place, "third", 10).await.err()
    },);
    held.unwrap();
    assert_eq!(asked.as_deref(), Some("first"));
    assert!(!lease.remaining().is_zero());
    assert_eq!(lease.release().await.unwrap().as_deref(), Some("revision of third"));
    let next = ask(&place, "fourth", 0).await.unwrap();
    assert_eq!(next.transitions(), 1);
    assert_eq!(next.pending_request(), Some("revision of third"));
}

#[tokio::test]
async fn a_silent_holder_loses_it_and_notices() {
    let Some(place) = Place::new("silent").await else { return };
    let paused = ask(&place, "paused", 0).await.unwrap();
    let cluster = paused.cluster();
    let next = ask(&place, "next", 10).await.unwrap();
    assert_eq!(next.transitions(), 1);
    // The paused one wakes late: no request goes out in its name, and it learns why.
    assert!(paused.remaining().is_zero());
    let map = place.one(crate::config_map("late", &serde_json::json!({})));
    let refused = apply::apply(&cluster, place.resource(&map), &map, None, &apply::Options::default()).await;
    assert_eq!(refused.unwrap_err().source.class, slipway_gitops::Class::Timeout);
    assert!(matches!(paused.renew().await, Err(LockError::Lost { .. })));
}

/// Attack 30: nobody's clock is believed. A holder whose clock is a day ahead and who is dead loses it all the same,
/// and one whose clock is a day behind keeps it as long as it lives.
#[tokio::test]
async fn clocks_that_are_wrong_mislead_nobody() {
    let Some(place) = Place::new("skewed").await else { return };
    let patch = |time: &str| {
        let (name, spec) = (place.key.object_name(), serde_json::json!({"spec": {"renewTime": time}}).to_string());
        place.plane.kubectl(&["-n", "slipway", "patch", "lease", &name, "--type=merge", "-p", &spec]).expect("kubectl");
    };
    let _dead = ask(&place, "dead, ahead", 0).await.unwrap();
    patch("2099-01-01T00:00:00.000000Z");
    let alive = ask(&place, "alive, behind", 10).await.expect("the future proves no life");
    patch("2001-01-01T00:00:00.000000Z");
    let (held, asked) = tokio::join!(alive.keep_renewed(tokio::time::sleep(Duration::from_secs(6))), async {
        ask(&place, "waiting", 10).await.err()
    },);
    held.unwrap();
    assert_eq!(asked.as_deref(), Some("alive, behind"), "the past proves no death");
}
