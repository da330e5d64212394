//! Jobs that go by themselves. Gone after it was seen to complete is success, gone before is an error; nothing hangs.

use std::time::Duration;

use serde_json::{Value, json};
use slipway::notify::report::AppSyncStatus;
use slipway_gitops::status::OperationPhase;

use crate::journal::Journal;
use crate::sync::{hook, job, list, objects, recorded, run, times, wave};
use crate::{Place, deployment};

#[tokio::test]
async fn a_hook_with_a_time_to_live_of_nothing_succeeds_and_is_gone() {
    let Some(place) = Place::new("ttl-hook").await else { return };
    let mut before = hook("before", "PreSync", 0, "BeforeHookCreation");
    before["spec"]["ttlSecondsAfterFinished"] = json!(0);
    let journal = Journal::begin(&place);
    let outcome = run(&job(&place, "one", objects([before, wave("a", 0)])), "worker", times(60)).await;
    assert_eq!(outcome.phase, AppSyncStatus::Healthy, "{outcome:?}");
    let events = journal.read(&place, &[("batch/v1", "jobs"), ("v1", "configmaps")]);
    assert!(events.completed("before") < events.made("ConfigMap", "a"));
    assert_eq!(events.runs("before", "one"), 1);
}

#[tokio::test]
async fn a_job_that_goes_once_it_completed_lets_the_next_wave_come() {
    let Some(place) = Place::new("ttl-job").await else { return };
    let mut migrate = hook("migrate", "Sync", 0, "BeforeHookCreation");
    migrate["metadata"]["annotations"] = json!({});
    migrate["spec"]["ttlSecondsAfterFinished"] = json!(0);
    // Something slower in the same wave, so that the Job goes while it is waited for.
    let slow = |name: &str| {
        let mut slow = deployment(name, "nginx:1");
        slow["spec"]["minReadySeconds"] = json!(4);
        slow
    };
    let objects = objects([migrate, slow("web"), wave("later", 1)]);
    let outcome = run(&job(&place, "one", objects), "worker", times(60)).await;
    assert_eq!(outcome.phase, AppSyncStatus::Healthy, "{outcome:?}");
    assert!(list(&place, "jobs").is_empty(), "it is gone");
    assert!(list(&place, "configmaps").iter().any(|map| map["metadata"]["name"] == "later"));
}

#[tokio::test]
async fn a_hook_that_is_gone_before_it_completed_is_an_error_that_names_it() {
    let Some(place) = Place::new("ttl-early").await else { return };
    let mut before = hook("before", "PreSync", 0, "BeforeHookCreation");
    before["spec"]["template"]["spec"]["nodeSelector"] = json!({"no": "such-node"});
    let job = job(&place, "one", objects([before, wave("a", 0)]));
    let (outcome, ()) = tokio::join!(run(&job, "worker", times(60)), async {
        while list(&place, "jobs").is_empty() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let kubectl = |arguments: &[&str]| place.plane.kubectl(&[&["-n", place.namespace()], arguments].concat());
        kubectl(&["patch", "job", "before", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]);
        kubectl(&["delete", "job", "before", "--cascade=background", "--wait=false"]);
    });
    assert_eq!(outcome.phase, AppSyncStatus::Failed, "{outcome:?}");
    let told = outcome.problems.join("\n");
    assert!(told.contains("before") && told.contains("missing"), "{told}");
    assert!(
        !list(&place, "configmaps").iter().any(|map| map["metadata"]["name"] == "a"),
        "the sync stops before the wave"
    );
    let last = recorded(&place).await.status.operation_state.unwrap();
    assert_eq!(last.phase, OperationPhase::Failed);
    assert_eq!(list(&place, "jobs"), Vec::<Value>::new());
}
