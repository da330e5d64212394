//! A commit that can't be rendered, whatever its reason, delays no other repository's deployment.

use serde_json::{Value, json};
use slipway_sandbox::forge::Change;

use crate::world::{Flow, KUSTOMIZATION, soon};

const APPLICATION: &str = "applications/shop.yaml";

/// Files with their contents.
type Files = Vec<(&'static str, Vec<u8>)>;

/// Files of a repository whose Application, at `app`, can't be rendered, with the reason.
fn hostile() -> Vec<(&'static str, Files)> {
    let text = |text: &str| text.as_bytes().to_vec();
    let chart = |template: &str| {
        vec![
            ("app/Chart.yaml", text("apiVersion: v2\nname: app\nversion: 1.0.0\n")),
            ("app/templates/a.yaml", text(template)),
        ]
    };
    let kustomization = |of: &str| vec![("app/kustomization.yaml", text(of))];
    // Argo CD passes over a file that does not look like a manifest.
    let manifest = |rest: &str| vec![("app/a.yaml", text(&format!("apiVersion: v1\nkind: ConfigMap\n{rest}")))];
    let anchors = format!("a0: &a0 [{}]\n", "x,".repeat(50));
    let lines =
        |numbers: std::ops::Range<u32>, line: &dyn Fn(u32) -> String| numbers.map(line).collect::<Vec<_>>().join("\n");
    let nested = lines(1..12, &|n| format!("a{n}: &a{n} [{}]", format!("*a{},", n - 1).repeat(50)));
    let copies = lines(0..40, &|n| format!("      - {{op: copy, from: /data, path: /data/c{n}}}"));
    vec![
        ("a conflict marker", manifest("<<<<<<< HEAD\nmetadata: {name: a}\n=======\n")),
        ("no UTF-8", vec![("app/a.yaml", b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \xff\xfe}\n".to_vec())]),
        ("no name", manifest("metadata: {}\n")),
        ("a YAML bomb", manifest(&format!("{anchors}{nested}\nmetadata: {{name: a}}\n"))),
        ("deep YAML", manifest(&format!("metadata: {}\n", "[".repeat(100_000)))),
        ("a folder without manifests", vec![("other/a.yaml", text("a: 1\n"))]),
        ("a missing base", kustomization("resources: [../none]\n")),
        ("a kustomization in a circle", kustomization("resources: [../app]\n")),
        (
            "patches that double",
            kustomization(&format!(
                "configMapGenerator: [{{name: m, literals: [a=b]}}]\npatches:\n  - target: {{kind: ConfigMap}}\n    \
                 patch: |-\n{copies}\n"
            )),
        ),
        ("a chart that fails", chart("{{ fail \"no\" }}")),
        ("an endless loop", chart("{{ range until 1000000000 }}{{ . | toString | sha512sum }}{{ end }}")),
        ("endless recursion", chart("{{ define \"x\" }}{{ include \"x\" . }}{{ end }}{{ include \"x\" . }}")),
        ("a text that doubles", chart("{{ $x := \"x\" }}{{ range until 60 }}{{ $x = print $x $x }}{{ end }}")),
        ("a chart without a name", vec![("app/Chart.yaml", text("apiVersion: v2\nversion: 1.0.0\n"))]),
    ]
}

#[tokio::test]
async fn it_delays_no_other_repository() {
    let mut flow = Flow::deployed().await;
    let folder = tempfile::tempdir().unwrap();
    let theirs = flow.sandbox.forge.create("acme", "theirs", folder.path()).unwrap();
    let app = flow.read(APPLICATION);
    let second = app
        .replace("name: shop\n", "name: theirs\n")
        .replace("path: shop", "path: app")
        .replace("github.com/acme/gitops", "github.com/acme/theirs");
    assert_ne!(app, second);
    let good = Change::write("app/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: theirs}\n");
    flow.sandbox.forge.push(&theirs, "main", "Begin", std::slice::from_ref(&good)).unwrap();
    flow.push("Add theirs", &[("applications/theirs.yaml", &second)]);
    flow.settle().await;
    assert!(flow.sandbox.cluster.get("/api/v1/namespaces/shop/configmaps/theirs").is_some());

    let rows = hostile();
    assert_eq!(rows.len(), 14);
    let mut last = vec![good];
    for (row, (reason, files)) in rows.into_iter().enumerate() {
        let added: Vec<Change> = files.into_iter().map(|(path, bytes)| Change::write(path, bytes)).collect();
        let removed = last.iter().map(|change| Change::delete(change.path.clone()));
        let kept = |change: &Change| added.iter().any(|other| other.path == change.path);
        let changes: Vec<Change> = removed.filter(|change| !kept(change)).chain(added.iter().cloned()).collect();
        flow.sandbox.forge.push(&theirs, "main", reason, &changes).unwrap();
        last = added;
        let replicas = 3 + row;
        let deployment = flow.read("shop/deployment.yaml");
        let scaled = deployment.lines().map(|line| match line.split_once("replicas:") {
            Some((indent, _)) => format!("{indent}replicas: {replicas}\n"),
            None => format!("{line}\n"),
        });
        flow.push(reason, &[("shop/deployment.yaml", &scaled.collect::<String>())]);
        while let Some(webhook) = flow.next_webhook() {
            flow.deployer.handle(webhook, soon(), "url").await.unwrap();
        }
        let (one, other) = (flow.sandbox.aws.next_event().unwrap(), flow.sandbox.aws.next_event().unwrap());
        // One instance for both, which is worse than Lambda's one for each.
        let (one, other) =
            tokio::join!(flow.deployer.handle(one, soon(), "one"), flow.deployer.handle(other, soon(), "other"));
        let done = json!({"batchItemFailures": []});
        assert_eq!((one.unwrap(), other.unwrap()), (done.clone(), done), "{reason}: no message comes back");
        assert_eq!(flow.deployment()["spec"]["replicas"], replicas, "{reason}");
        let state = flow.state("theirs").await.unwrap();
        let status = serde_json::to_value(&state.status).unwrap();
        assert_eq!(status.pointer("/sync/status"), Some(&Value::from("Unknown")), "{reason}: {status}");
        flow.settle().await;
    }
    assert!(flow.read(KUSTOMIZATION).contains("newTag: 1.0.0"));
}
