//! The loader: any text as a kustomization beside any text as a resource (parted by a line `====`). A render ends in a
//! result or an error.
//!
//! `cargo +nightly fuzz run load -- -max_total_time=600`

#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_kustomize::{Options, needs, render};
use slipway_manifest::Tree;

fuzz_target!(|text: &str| {
    let plain = "apiVersion: v1\nkind: A\nmetadata: {name: a}\n";
    let (kustomization, resource) = text.split_once("\n====\n").unwrap_or((text, plain));
    let mut tree = Tree::default();
    for (path, text) in [
        ("root/kustomization.yaml", kustomization),
        ("root/a.yaml", resource),
        ("base/kustomization.yaml", resource),
    ] {
        tree.insert(path, text.as_bytes()).expect("a small tree holds three files");
    }
    let _ = needs(&tree, "root", &Options::default());
    let once = render(&tree, "root", &Options::default()).map(|rendered| rendered.objects).ok();
    let again = render(&tree, "root", &Options::default()).map(|rendered| rendered.objects).ok();
    assert_eq!(once, again);
});
