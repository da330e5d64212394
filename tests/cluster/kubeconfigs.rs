//! Several files in `KUBECONFIG`, merged as kubectl merges them.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use serde_json::{Map, Value, json};
use slipway_cluster::kubeconfig::load;
use slipway_tests::skip::or_skip;
use slipway_tests::tools;

/// What both print in their own way: order, empty fields, what nobody reads.
fn normal(config: &Value) -> Value {
    let mut fields = Map::new();
    for (key, inner) in [("clusters", "cluster"), ("users", "user"), ("contexts", "context")] {
        let mut list: Vec<Value> = config[key].as_array().cloned().unwrap_or_default();
        for one in &mut list {
            if let Some(inner) = one[inner].as_object_mut() {
                inner.retain(|_, value| !value.is_null());
                // kubectl resolves this one where it reads it, and does not show that.
                if let Some(file) = inner.get("tokenFile").and_then(Value::as_str).map(Path::new) {
                    let name = file.file_name().unwrap().to_str().unwrap();
                    inner.insert("tokenFile".to_owned(), json!(name));
                }
                // As `--flatten` has them.
                for file in ["certificate-authority", "client-certificate", "client-key"] {
                    if let Some(path) = inner.remove(file) {
                        let text = std::fs::read(path.as_str().unwrap()).unwrap();
                        inner.insert(format!("{file}-data"), json!(STANDARD.encode(text)));
                    }
                }
            }
        }
        list.sort_by_key(|one| one["name"].to_string());
        fields.insert(key.to_owned(), json!(list));
    }
    fields.insert("current-context".to_owned(), json!(config["current-context"].as_str().unwrap_or_default()));
    Value::Object(fields)
}

/// A kubeconfig with some of a few names, so that files overlap; `absolute` is a certificate.
fn random(absolute: &Path, draw: &mut dyn FnMut(u32) -> u32) -> Value {
    let names = |draw: &mut dyn FnMut(u32) -> u32| -> Vec<&str> {
        let some = ["a", "b", "c"].into_iter().filter(|_| draw(2) == 0);
        some.collect()
    };
    let mut clusters = Vec::new();
    for name in names(draw) {
        let mut cluster = json!({"server": format!("https://{}.example", draw(100))});
        match draw(4) {
            0 => cluster["certificate-authority"] = json!("certs/ca.pem"),
            1 => cluster["certificate-authority"] = json!(absolute),
            2 => cluster["tls-server-name"] = json!("other.example"),
            _ => {}
        }
        clusters.push(json!({"name": name, "cluster": cluster}));
    }
    let mut users = Vec::new();
    for name in names(draw) {
        let user = match draw(4) {
            0 => json!({"token": format!("token-{}", draw(100))}),
            1 => json!({"client-certificate": "../client.pem", "client-key": "client.key"}),
            2 => json!({"tokenFile": "token"}),
            _ => json!({"username": "u", "password": "p"}),
        };
        users.push(json!({"name": name, "user": user}));
    }
    let mut contexts = Vec::new();
    for name in names(draw) {
        contexts.push(json!({"name": name, "context": {"cluster": name, "user": "a",
            "namespace": format!("n{}", draw(9))}}));
    }
    let mut config =
        json!({"apiVersion": "v1", "kind": "Config", "clusters": clusters, "users": users, "contexts": contexts});
    if draw(3) > 0 {
        config["current-context"] = json!(["", "a", "b", "c"][draw(4) as usize]);
    }
    config
}

fn by_kubectl(kubectl: &Path, files: &[PathBuf]) -> Value {
    let list = std::env::join_paths(files).unwrap();
    let mut command = Command::new(kubectl);
    command
        .args(["config", "view", "--raw", "--flatten", "-o", "json"])
        .env("KUBECONFIG", list)
        .env("HOME", "/nonexistent");
    serde_json::from_str(&tools::capture(&mut command).unwrap()).unwrap()
}

#[test]
fn several_files_are_merged_as_by_kubectl() {
    let Some(kubectl) = or_skip("kubectl", tools::kubectl()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let absolute = folder.path().join("ca.pem");
    std::fs::write(&absolute, "absolute").unwrap();
    for case in 0..40 {
        let mut random_numbers = ChaCha8Rng::seed_from_u64(case);
        let mut draw = |below: u32| random_numbers.next_u32() % below;
        let mut files = Vec::new();
        for at in 0..=1 + draw(3) {
            let file = folder.path().join(format!("{case}/{at}/config"));
            let own = file.parent().unwrap();
            std::fs::create_dir_all(own.join("certs")).unwrap();
            for (path, text) in [("certs/ca.pem", "ca"), ("client.key", "key"), ("../client.pem", "certificate")] {
                std::fs::write(own.join(path), format!("{text} of {case}/{at}")).unwrap();
            }
            match draw(6) {
                // Missing, and empty.
                0 => {}
                1 => std::fs::write(&file, "").unwrap(),
                _ => std::fs::write(&file, random(&absolute, &mut draw).to_string()).unwrap(),
            }
            files.push(file);
        }
        // One that is always there: of nothing at all, kubectl makes a configuration of its own.
        let last = folder.path().join(format!("{case}/0/last"));
        std::fs::write(&last, random(&absolute, &mut draw).to_string()).unwrap();
        files.push(last);
        let ours = serde_json::to_value(load(&files).unwrap()).unwrap();
        assert_eq!(normal(&ours), normal(&by_kubectl(&kubectl, &files)), "case {case}");
    }
}

#[test]
fn a_file_that_is_none_is_told_and_one_that_is_missing_only_if_it_is_the_only_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("good"), "clusters: [{name: a, cluster: {server: https://a.example}}]").unwrap();
    std::fs::write(path("bad"), "clusters: {").unwrap();
    assert_eq!(load(&[path("missing"), path("good")]).unwrap().clusters.len(), 1);
    let refused = load(&[path("good"), path("bad")]).unwrap_err().to_string();
    assert!(refused.contains("/bad"), "{refused}");
    let missing = load(&[path("missing")]).unwrap_err().to_string();
    assert!(missing.contains("/missing"), "{missing}");
    let none = load(&[path("missing"), path("other")]).unwrap_err().to_string();
    assert!(none.contains("/missing") && none.contains("/other"), "{none}");
}
