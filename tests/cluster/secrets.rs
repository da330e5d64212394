//! What the real API server says of Secrets, and what is left of it: in errors, in the outcome of a sync, in the state.

use serde_json::{Value, json};
use slipway_cluster::apply::{self, Options};
use slipway_cluster::objects;
use slipway_cluster::state;
use slipway_gitops::Class;
use slipway_tests::unpacked;

use crate::sync::{job, objects, run, times};
use crate::{Place, config_map, kubectl_apply};

/// What no text may hold: as it is, or in base64.
const CANARIES: [&str; 3] = ["c4n4ry", "YzRuNHJ5", "987654321"];

fn secret(fields: &Value) -> Value {
    let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
    secret.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    secret
}

fn assert_kept(what: &str, text: &str) {
    for canary in CANARIES {
        assert!(!text.contains(canary), "{what}: {canary} in {text}");
    }
}

/// Syncs `manifests` as `revision`; gives everything that is told and recorded of it.
async fn told(place: &Place, revision: &str, manifests: Vec<Value>) -> String {
    let outcome = run(&job(place, revision, objects(manifests)), "worker", times(60)).await;
    let name = place.key.object_name();
    let recorded = objects::get(&place.cluster, &state::place(&name)).await.unwrap().expect("a state").to_value();
    format!("{outcome:?}\n{}", unpacked(&recorded))
}

#[tokio::test]
async fn no_value_is_in_a_refusal() {
    let Some(place) = Place::new("canary").await else { return };
    let cases = [
        // A forgotten `|`, and its like.
        (
            json!({"stringData": {"db": {"password": "c4n4ry-hunter2", "user": "c4n4ry-admin"}}}),
            "`.stringData.db` must be a string",
        ),
        (json!({"stringData": {"db": ["c4n4ry-one", "c4n4ry-two"]}}), "`.stringData.db` must be a string"),
        (json!({"data": {"db": {"password": "c4n4ry-hunter2", "user": "c4n4ry-admin"}}}), "`.data.db` must be base64"),
        (json!({"data": {"db": ["c4n4ry-one", "c4n4ry-two"]}}), "`.data.db` must be base64"),
        (json!({"data": {"db": "c4n4ry no base64!"}}), "`.data.db` must be base64"),
        (json!({"data": {"db": "c4n4ry-one\n\"c4n4ry\" é\n\ttwo\n"}}), "`.data.db` must be base64"),
        (json!({"stringData": {"pin": 987_654_321}}), "`.stringData.pin` must be a string"),
        (json!({"stringData": "c4n4ry-text"}), "`.stringData` must be a mapping"),
        (json!({"stringData": {"c4n4ry + line": "c4n4ry-value"}}), "at `.data[…]`"),
        (json!({"type": "kubernetes.io/tls", "stringData": {"a": "c4n4ry-value"}}), ".data.tls.crt"),
        (json!({"metadata": {"name": "Bad_Name"}, "stringData": {"a": "c4n4ry-generated"}}), "at `.metadata.name`"),
        (json!({"metadata": {"name": "s", "labels": {"a": "c4n4ry label!"}}}), "at `.metadata.labels`"),
        (json!({"nothing": {"such": "c4n4ry-field"}}), "the API server answered"),
    ];
    assert_eq!(cases.len(), 13);
    for (number, (fields, word)) in cases.into_iter().enumerate() {
        let manifest = secret(&fields);
        let object = place.one(manifest.clone());
        for dry_run in [true, false] {
            let options = Options { dry_run, ..Options::default() };
            let refused = apply::apply(&place.cluster, place.resource(&object), &object, None, &options).await;
            let failure = refused.expect_err("refused");
            let text = format!("{failure:?} {}", failure.with_remedy());
            assert!(text.contains(word), "{word} in {text}");
            assert_kept(&fields.to_string(), &text);
        }
        let text = told(&place, &format!("revision-{number}"), vec![manifest]).await;
        assert!(text.contains(word) && text.contains("\"operationState\""), "{word} in {text}");
        assert_kept(&fields.to_string(), &text);
    }
}

#[tokio::test]
async fn an_immutable_secret_that_changes_keeps_both_values() {
    let Some(place) = Place::new("immutable").await else { return };
    let frozen = |value: &str| secret(&json!({"immutable": true, "stringData": {"db": value}}));
    place.apply(&place.one(frozen("c4n4ry-first"))).await;
    let other = place.one(frozen("c4n4ry-second"));
    let live = place.live(&other).await;
    let refused =
        apply::apply(&place.cluster, place.resource(&other), &other, live.as_ref(), &Options::default()).await;
    let failure = refused.expect_err("refused");
    assert_eq!(failure.source.class, Class::Immutable, "{failure:?}");
    let text = format!("{failure:?} {}", failure.with_remedy());
    assert!(text.contains("at `.data`"), "{text}");
    assert_kept("apply", &text);
    let replaced = apply::replace(&place.cluster, place.resource(&other), &other, &live.unwrap(), false).await;
    assert_kept("replace", &format!("{:?}", replaced.expect_err("refused")));
    let anew = apply::dry_run_recreate(
        &place.cluster,
        place.resource(&other),
        &place.one(secret(&json!({"data": {"a": "c4n4ry!"}}))),
        true,
    )
    .await;
    assert_kept("create", &format!("{:?}", anew.expect_err("refused")));
    assert_kept("sync", &told(&place, "other", vec![frozen("c4n4ry-second")]).await);
}

/// A policy that quotes what it refuses: of a Secret its name is told, of another object its words, without the
/// values of the Secrets.
#[tokio::test]
async fn what_an_admission_policy_quotes_is_dropped_or_masked() {
    let Some(place) = Place::new("quoting").await else { return };
    let name = format!("quoting.{}", place.namespace());
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
        "resources": ["configmaps", "secrets"]});
    let validation = json!({"expression": "!('weak' in object.metadata.annotations)",
        "messageExpression": "'the password ' + object.metadata.annotations['weak'] + ' is weak'"});
    let version = "admissionregistration.k8s.io/v1";
    let policy = json!({"apiVersion": version, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
        "failurePolicy": "Fail", "matchConstraints": {"resourceRules": [rule]},
        "matchConditions": [{"name": "weak", "expression": "has(object.metadata.annotations)"}],
            "validations": [validation]}});
    let here = json!({"matchLabels": {"kubernetes.io/metadata.name": place.namespace()}});
    let binding = json!({"apiVersion": version, "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name}, "spec": {
        "policyName": name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": here}}});
    kubectl_apply(&place, &policy);
    kubectl_apply(&place, &binding);
    let weak = json!({"name": "s", "annotations": {"weak": "c4n4ry-hunter2"}});
    let object = place.one(secret(&json!({"metadata": weak, "stringData": {"db": "c4n4ry-hunter2"}})));
    let dry = Options { dry_run: true, ..Options::default() };
    let mut last = String::new();
    for _ in 0..100 {
        let answer = apply::apply(&place.cluster, place.resource(&object), &object, None, &dry).await;
        last = answer.map_or_else(|failure| format!("{failure:?} {}", failure.with_remedy()), |_| String::new());
        if !last.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(last.contains(&format!("by the ValidatingAdmissionPolicy `{name}`")), "{last}");
    assert_kept("a Secret", &last);

    let mut map = config_map("c", &json!({}));
    map["metadata"]["annotations"] = json!({"weak": "c4n4ry-hunter2"});
    let text = told(&place, "one", vec![map, secret(&json!({"stringData": {"db": "c4n4ry-hunter2"}}))]).await;
    assert!(text.contains("the password ++++++++ is weak"), "{text}");
    assert_kept("a ConfigMap", &text);
}
