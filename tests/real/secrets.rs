//! No value of a Secret and no credential is seen anywhere: logs, Slack, commit statuses, state in the cluster.

use slipway_sandbox::forge::Change;

use crate::push::WEB;
use slipway_tests::bed::{Bed, CANARIES};
use slipway_tests::unpacked;

const SECRET: &str = "\
apiVersion: v1
kind: Secret
metadata: {name: web, annotations: {note: plain}}
stringData: {password: canary-in-git}
data: {token: Y2FuYXJ5LWVuY29kZWQ=}
";

#[tokio::test]
async fn canaries_stay_where_they_are() {
    let Some(mut bed) = Bed::new(WEB).await else { return };
    let kustomization =
        bed.file("web/kustomization.yaml").replace("- deployment.yaml", "- deployment.yaml\n- secret.yaml");
    let changes =
        [Change::write("web/secret.yaml", SECRET), Change::write("web/kustomization.yaml", kustomization.clone())];
    bed.deploy("Add a Secret", &changes).await;
    // Changed in Git, changed by hand, and refused by the API server, whose message quotes what it refuses.
    bed.deploy("Rotate", &[Change::write("web/secret.yaml", SECRET.replace("canary-in-git", "canary-rotated"))]).await;
    let namespace = bed.name.clone();
    bed.cluster.kubectl(&[
        "-n",
        &namespace,
        "patch",
        "secret",
        "web",
        "-p",
        "{\"stringData\":{\"password\":\"canary-by-hand\"}}",
    ]);
    bed.check().await;
    assert!(
        bed.slack.messages().iter().any(|message| message.text.contains("Secret/")),
        "the drift of a Secret is told"
    );
    let broken = SECRET.replace("data: {token: Y2FuYXJ5LWVuY29kZWQ=}", "data: {token: canary-no-base64}");
    bed.commit("Break it", &[Change::write("web/secret.yaml", broken)]);
    bed.hook().await;
    for (handle, event) in bed.receive().await {
        bed.invoke_as("worker", "github-webhook", &event).await;
        bed.delete(&handle).await;
    }

    let state = bed.cluster.kubectl(&["get", "configmap,lease,event", "-A", "-o", "json"]).unwrap_or_default();
    let state = unpacked(&serde_json::from_str(&state).unwrap());
    assert!(state.contains("\"operationState\""), "the state is unpacked");
    let statuses = format!("{:?}", bed.forge.statuses(bed.head()));
    let slack = bed.slack.exchanges();
    let slack =
        slack.iter().map(|exchange| String::from_utf8_lossy(&exchange.request.body)).collect::<Vec<_>>().join("\n");
    let seen = [("logs", bed.logs()), ("Slack", slack), ("state", state), ("statuses", statuses)];
    let values =
        ["canary-in-git", "canary-rotated", "canary-by-hand", "canary-encoded", "canary-no-base64", "Y2FuYXJ5"];
    let mut looked = 0;
    for (place, text) in &seen {
        assert!(!text.is_empty(), "nothing to look at in {place}");
        for canary in CANARIES.iter().chain(&values) {
            assert!(!text.contains(canary), "{canary} is in {place}");
            looked += 1;
        }
    }
    assert_eq!(looked, 36);
}
