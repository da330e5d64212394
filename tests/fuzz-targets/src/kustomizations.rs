//! Kustomize: a kustomization with its resource, and patches.

use slipway_kustomize::{Options, needs, render};
use slipway_manifest::Tree;

use crate::parts;

fn tree(files: [(&str, &str); 3]) -> Tree {
    let mut tree = Tree::default();
    for (path, text) in files {
        tree.insert(path, text.as_bytes()).expect("a small tree holds three files");
    }
    tree
}

/// Any text as a kustomization, any text behind it as a resource. A render ends in a result or an error, twice in the
/// same.
pub fn kustomize_load(data: &[u8]) {
    let Some(text) = parts::text(data) else { return };
    let plain = "apiVersion: v1\nkind: A\nmetadata: {name: a}\n";
    let (kustomization, resource) = text.split_once("\n====\n").unwrap_or((text, plain));
    let tree = tree([
        ("root/kustomization.yaml", kustomization),
        ("root/a.yaml", resource),
        ("base/kustomization.yaml", resource),
    ]);
    let _ = needs(&tree, "root", &Options::default());
    let rendered = || render(&tree, "root", &Options::default()).map(|rendered| rendered.objects).ok();
    assert_eq!(rendered(), rendered());
}

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web, finalizers: [a, b], labels: {app: web}}
spec:
  template:
    spec:
      containers:
      - name: a
        image: a
        ports: [{containerPort: 80}, {containerPort: 80, protocol: UDP}]
        env: [{name: A, value: a}, {name: A}]
      - {name: b, image: b}
      volumes: [{name: v, emptyDir: {}}, {noname: x}]
";

/// Any text as a patch, strategic or JSON, with and without a target, on a Deployment with lists that merge.
pub fn kustomize_patch(data: &[u8]) {
    let Some(patch) = parts::text(data) else { return };
    for kustomization in [
        "resources: [d.yaml]\npatches: [{path: p.yaml}]\n",
        "resources: [d.yaml]\npatches: [{path: p.yaml, target: {kind: Deployment}}]\n",
        "resources: [d.yaml]\npatchesStrategicMerge: [p.yaml]\n",
        "resources: [d.yaml]\npatchesJson6902: [{path: p.yaml, target: {kind: Deployment, name: web}}]\n",
    ] {
        let tree =
            tree([("root/kustomization.yaml", kustomization), ("root/d.yaml", DEPLOYMENT), ("root/p.yaml", patch)]);
        let _ = render(&tree, "root", &Options::default());
    }
}
