//! Argo CD's own examples, deployed as they are.

use slipway_sandbox::forge::Change;
use slipway_tests::{skip, tools};

use slipway_tests::bed::{Bed, available, copied};

fn application(name: &str) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {{name: {name}, namespace: argocd}}
spec:
  project: default
  source: {{repoURL: https://github.com/acme/{{name}}.git, path: {name}, targetRevision: HEAD}}
  destination: {{server: https://kubernetes.default.svc, namespace: {{name}}}}
  syncPolicy: {{automated: {{prune: true}}, syncOptions: [CreateNamespace=true]}}
"
    )
}

#[tokio::test]
async fn argo_cds_examples_are_synced_and_healthy() {
    let Some(shared) = tools::shared() else {
        assert!(std::env::var("SLIPWAY_REQUIRE_SHARED").is_err(), "../shared is required and missing");
        skip::say("skipped: Argo CD's examples are in ../shared, which is not here");
        return;
    };
    let trees = shared.join("corpus/kustomize/trees/argoproj+argocd-example-apps");
    let (guestbook, kustomize) = (application("guestbook"), application("kustomize-guestbook"));
    let files = [("apps/guestbook.yaml", guestbook.as_str()), ("apps/kustomize-guestbook.yaml", kustomize.as_str())];
    let Some(mut bed) = Bed::new(&files).await else { return };
    let mut changes = copied(&trees.join("guestbook"), "guestbook");
    changes.extend(copied(&trees.join("kustomize-guestbook"), "kustomize-guestbook"));
    let commit = bed.deploy("Add the examples", &changes).await;

    for (app, deployment) in [("guestbook", "guestbook-ui"), ("kustomize-guestbook", "kustomize-guestbook-ui")] {
        assert_eq!(available(&bed.deployment(deployment).await), 1, "{}", bed.logs());
        let told = bed.slipway(&["app", "get", app]);
        let line = |key: &str| {
            told.lines()
                .map(str::trim_start)
                .find(|line| line.starts_with(key))
                .unwrap_or_else(|| panic!("no {key} in\n{told}"))
        };
        assert!(line("Sync Status:").contains("Synced"), "{told}");
        assert!(line("Sync Status:").contains(&commit.to_string()[..7]), "{told}");
        assert!(line("Health Status:").ends_with("Healthy"), "{told}");
        assert!(line("Path:").ends_with(app), "{told}");
        let table = told.lines().filter(|line| line.contains(deployment)).count();
        assert_eq!(table, 2, "a Service and a Deployment are listed:\n{told}");
    }
}

#[tokio::test]
async fn a_manifest_that_archives_leave_out_is_deployed_all_the_same() {
    let plain = application("plain");
    let config =
        |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: $Format:%H$}}\n");
    let (kept, left_out, substituted) = (config("kept"), config("left-out"), config("substituted"));
    let files = [
        ("apps/plain.yaml", plain.as_str()),
        (".gitattributes", "plain/left-out.yaml export-ignore\nplain/substituted.yaml export-subst\n"),
        ("plain/kept.yaml", &kept),
        ("plain/left-out.yaml", &left_out),
        ("plain/substituted.yaml", &substituted),
    ];
    let Some(mut bed) = Bed::new(&files).await else { return };
    bed.deploy("Again", &[Change::write("README.md", "Again.\n")]).await;
    let found = bed.cluster.kubectl(&[
        "-n",
        &bed.name,
        "get",
        "configmap",
        "-o",
        "jsonpath={range .items[*]}{.metadata.name}={.data.a} {end}",
    ]);
    let Some(found) = found else { return };
    for name in ["kept", "left-out", "substituted"] {
        assert!(found.contains(&format!("{name}=$Format:%H$")), "{found}\n{}", bed.logs());
    }
}
