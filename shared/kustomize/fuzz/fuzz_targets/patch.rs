//! Patches: any text as a patch, strategic or JSON, with and without a target, on a Deployment with lists that merge.
//! `cargo +nightly fuzz run patch -- -max_total_time=600`

#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_kustomize::{Options, render};
use slipway_manifest::Tree;

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

fuzz_target!(|patch: &str| {
    for kustomization in [
        "resources: [d.yaml]\npatches: [{path: p.yaml}]\n",
        "resources: [d.yaml]\npatches: [{path: p.yaml, target: {kind: Deployment}}]\n",
        "resources: [d.yaml]\npatchesStrategicMerge: [p.yaml]\n",
        "resources: [d.yaml]\npatchesJson6902: [{path: p.yaml, target: {kind: Deployment, name: web}}]\n",
    ] {
        let mut tree = Tree::default();
        for (path, text) in
            [("root/kustomization.yaml", kustomization), ("root/d.yaml", DEPLOYMENT), ("root/p.yaml", patch)]
        {
            tree.insert(path, text.as_bytes()).expect("a small tree holds three files");
        }
        let _ = render(&tree, "root", &Options::default());
    }
});
