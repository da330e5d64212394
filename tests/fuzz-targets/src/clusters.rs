//! How clusters are reached, and what is recorded in them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, Value, json};
use slipway_cluster::Cluster;
use slipway_cluster::state::{AppKey, HeaderReader};
use slipway_gitops::app::ClusterSecret;
use slipway_manifest::Object;
use std::io::Write as _;

use crate::parts;

const CANARY: &str = "c4n4ry";

/// A cluster Secret: `config`, `server`, `name`, `namespaces`, `clusterResources` and `project`, parted. As text and as
/// base64 it says the same, and no error repeats a value.
pub fn cluster_secret(data: &[u8]) {
    let Some(text) = parts::text(data) else { return };
    let [config, server, name, namespaces, resources, project] = parts::parts(text);
    // What may be told of the namespaces is not what may be told of the rest.
    let fields = [
        ("config", config.replace("CANARY", CANARY)),
        ("server", server.replace("CANARY", CANARY)),
        ("name", name.to_owned()),
        ("namespaces", namespaces.to_owned()),
        ("clusterResources", resources.to_owned()),
        ("project", project.to_owned()),
    ];
    let is_told = [name, namespaces, resources, project].iter().any(|text| text.contains(CANARY));
    let read = |field: &str, encode: fn(&String) -> String| {
        let data: Map<String, Value> =
            fields.iter().map(|(key, text)| ((*key).to_owned(), Value::from(encode(text)))).collect();
        let object = json!({
            "apiVersion": "v1", "kind": "Secret", field: data,
            "metadata": {"name": "production", "labels": {"argocd.argoproj.io/secret-type": "cluster"}},
        });
        let object = Object::from_value(object).expect("an object");
        ClusterSecret::from_object(&object).map_err(|error| error.to_string())
    };
    let plain = read("stringData", String::clone);
    assert_eq!(plain, read("data", |text| STANDARD.encode(text)));
    match plain {
        Err(error) => assert!(is_told || !error.contains(CANARY), "{error}"),
        Ok(cluster) => {
            let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            assert!(cluster.aws.cluster_name.bytes().all(is_plain), "{}", cluster.aws.cluster_name);
        }
    }
}

/// A kubeconfig on disk.
pub fn kubeconfig(data: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(data).expect("a small file");
    // A connection is made ready for the runtime that uses it.
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let _inside = runtime.enter();
    if let Err(error) = Cluster::from_kubeconfig(&[file.path()], None, None) {
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = cause {
            let _ = error.to_string();
            cause = error.source();
        }
    }
}

/// A recorded state, which every writer of ConfigMaps can forge: packed, and as it is.
pub fn state(data: &[u8]) {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let packed = encoder.write_all(data).and_then(|()| encoder.finish()).expect("a buffer takes all");
    for text in [STANDARD.encode(packed), STANDARD.encode(data), String::from_utf8_lossy(data).into_owned()] {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "binaryData": {"state": text},
        });
        let object = Object::from_value(object).expect("an object");
        let app = AppKey { root: String::new(), namespace: String::new(), name: "a".to_owned() };
        if let Some((state, _)) = HeaderReader::default().read(&app, &object) {
            let printed = serde_json::to_value(&state.status).expect("a status is JSON");
            let again = serde_json::from_value(printed).expect("what was written is read");
            assert_eq!(state.status, again);
        }
    }
}
