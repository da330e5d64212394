use serde_json::json;
use slipway_gitops::diff;
use slipway_gitops::managed_fields::set;

use crate::{Place, config_map};

/// What `kubectl apply` (client side) left behind: a field that Git has no more must go, its annotation too.
#[tokio::test]
async fn fields_of_kubectl_apply_are_taken_over() {
    let Some(place) = Place::new("takeover").await else { return };
    let namespace = place.namespace().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.json");
    std::fs::write(&file, config_map("c", &json!({"kept": "1", "gone": "1"})).to_string()).unwrap();
    if place.plane.kubectl(&["-n", &namespace, "apply", "-f", file.to_str().unwrap()]).is_none() {
        return;
    }
    place.plane.kubectl(&["-n", &namespace, "label", "configmap/c", "by=hand", "--field-manager=alice"]);
    let map = place.one(config_map("c", &json!({"kept": "2"})));
    let live = place.live(&map).await.unwrap();
    assert!(live.annotation("kubectl.kubernetes.io/last-applied-configuration").is_some());

    // The dry run foresees what the take-over will do.
    let found = diff::diff(&live, &place.dry_run(&map).await.object);
    let paths: Vec<String> = found.iter().map(|difference| difference.path.to_string()).collect();
    assert!(paths.contains(&"data.gone".to_owned()) && paths.contains(&"data.kept".to_owned()), "{paths:?}");
    assert!(place.live(&map).await.unwrap().annotation("kubectl.kubernetes.io/last-applied-configuration").is_some());

    let applied = place.apply(&map).await.object;
    assert_eq!(applied.get("data"), Some(&json!({"kept": "2"})));
    assert_eq!(applied.label("by"), Some("hand"));
    assert_eq!(applied.annotation("kubectl.kubernetes.io/last-applied-configuration"), None);
    let managers: Vec<&str> = set::entries(&applied).iter().map(|entry| entry.manager).collect();
    assert!(managers.contains(&"slipway") && managers.contains(&"alice"), "{managers:?}");
    assert!(!managers.contains(&"kubectl-client-side-apply"), "{managers:?}");
    assert_eq!(diff::diff(&applied, &place.dry_run(&map).await.object), []);
}

#[tokio::test]
async fn fields_of_argo_cds_server_side_apply_are_taken_over() {
    let Some(place) = Place::new("argo").await else { return };
    let namespace = place.namespace().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.json");
    std::fs::write(&file, config_map("c", &json!({"kept": "1", "gone": "1"})).to_string()).unwrap();
    let arguments =
        ["-n", &namespace, "apply", "--server-side", "--field-manager=argocd-controller", "-f", file.to_str().unwrap()];
    if place.plane.kubectl(&arguments).is_none() {
        return;
    }
    let map = place.one(config_map("c", &json!({"kept": "1"})));
    let applied = place.apply(&map).await.object;
    assert_eq!(applied.get("data"), Some(&json!({"kept": "1"})));
    let managers: Vec<&str> = set::entries(&applied).iter().map(|entry| entry.manager).collect();
    assert_eq!(managers, ["slipway"]);
}
