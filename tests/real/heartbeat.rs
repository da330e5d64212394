//! A message does not come again while it is worked on, and soon after its worker died.

use std::time::{Duration, Instant};

use serde_json::json;
use slipway_sandbox::forge::Change;

use crate::push::{APPLICATION, DEPLOYMENT, KUSTOMIZATION};
use slipway_tests::bed::Bed;

/// For how many seconds the queue leaves a message to whoever took it.
const SECONDS: i32 = 3;

#[tokio::test]
async fn a_message_stays_away_while_its_worker_lives() {
    let slow = DEPLOYMENT.replace("spec:\n  replicas: 2", "spec:\n  minReadySeconds: 8\n  replicas: 2");
    let files =
        [("apps/web.yaml", APPLICATION), ("web/deployment.yaml", &slow), ("web/kustomization.yaml", KUSTOMIZATION)];
    let Some(mut bed) = Bed::new(&files).await else { return };
    bed.commit("Start", &[Change::write("README.md", "Deployed by Slipway.\n")]);
    bed.hook().await;
    assert_eq!(bed.receive_for(SECONDS).await.len(), 1);
    let pause = Duration::from_secs(1);
    tokio::time::sleep(pause * 4).await;

    // Nobody worked on it: there it is again.
    let worker = bed.instance("github-webhook").await;
    let (handle, event) = bed.receive_for(SECONDS).await.pop().expect("it came again");
    let began = Instant::now();
    let looks = async {
        for _ in 0..7 {
            tokio::time::sleep(pause).await;
            assert!(bed.receive_for(SECONDS).await.is_empty(), "{}", worker.log());
        }
    };
    let (answer, ()) = tokio::join!(worker.invoke(&event), looks);
    assert_eq!(answer, json!({"batchItemFailures": []}), "{}", worker.log());
    assert!(began.elapsed() > pause * 7, "the work lasts longer than the queue waits by itself");
    bed.delete(&handle).await;
    assert_eq!(bed.drain().await, 0);
}
