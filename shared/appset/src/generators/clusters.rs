//! `clusters`: the clusters that Argo CD knows.

use std::collections::BTreeMap;

use serde_json::Value;
use slipway_gotmpl::{List, MAP, Map};

use super::{Failure, Generators, no_params};
use crate::ErrorKind;
use crate::given::Cluster;
use crate::params::texts;
use crate::selector::Selector;
use crate::slug::sanitize_name;

/// The server by which clusters are told to be the one that Argo CD runs in.
const IN_CLUSTER_SERVER: &str = "https://kubernetes.default.svc";
const IN_CLUSTER_NAME: &str = "in-cluster";

/// The label that makes a Secret a cluster's.
const SECRET_TYPE: (&str, &str) = ("argocd.argoproj.io/secret-type", "cluster");

/// Annotations that are others' state, and would go round in circles.
const HIDDEN_ANNOTATIONS: [&str; 5] = [
    "argocd.argoproj.io/refresh",
    "argocd.argoproj.io/hydrate",
    "argocd.argoproj.io/tracking-id",
    "argocd.argoproj.io/installation-id",
    "kubectl.kubernetes.io/last-applied-configuration",
];

pub(super) fn params(run: &Generators<'_>, generator: &Value, path: &str) -> Result<Vec<Map>, Failure> {
    let mut selector = generator["selector"].clone();
    if let Some(own) = selector.pointer_mut("/matchLabels").and_then(|labels| labels.get_mut(SECRET_TYPE.0)) {
        // Argo CD writes it itself, over whatever is there.
        *own = Value::from(SECRET_TYPE.1);
    }
    let selector =
        Selector::of_labels(&selector).map_err(|message| (format!("{path}.selector"), ErrorKind::Selector(message)))?;
    let selected = run.given.clusters.iter().filter(|cluster| {
        let label = |key: &str| cluster.labels.get(key).map(String::as_str);
        selector.matches(|key| if key == SECRET_TYPE.0 { Some(SECRET_TYPE.1) } else { label(key) })
    });
    // Of two Secrets for one name one counts.
    let selected: BTreeMap<&str, &Cluster> = selected.map(|cluster| (cluster.name.as_str(), cluster)).collect();
    let has_in_cluster = selected.values().any(|cluster| cluster.server == IN_CLUSTER_SERVER);
    let mut all = Vec::new();
    for cluster in selected.into_values() {
        let params = of_cluster(cluster, run.templates.is_go());
        run.add_values(generator, &params, path)?;
        all.push(params);
    }
    // Without a Secret there are no labels that a selector could ask for.
    if selector.is_empty() && !has_in_cluster {
        let params = identity(IN_CLUSTER_NAME, IN_CLUSTER_NAME, IN_CLUSTER_SERVER, "");
        run.add_values(generator, &params, path)?;
        all.push(params);
    }
    if generator["flatList"] == true {
        let list = List::typed(&MAP, all.into_iter().map(Into::into).collect());
        all = vec![[("clusters", list.into())].into_iter().collect()];
    }
    Ok(all)
}

fn identity(name: &str, normalized: &str, server: &str, project: &str) -> Map {
    let params = no_params();
    for (key, text) in [("name", name), ("nameNormalized", normalized), ("server", server), ("project", project)] {
        params.insert(key, text.into());
    }
    params
}

fn of_cluster(cluster: &Cluster, go: bool) -> Map {
    let normalized = sanitize_name(&cluster.name);
    let params = identity(&cluster.name, &normalized, &cluster.server, cluster.project.as_deref().unwrap_or_default());
    let mut labels = cluster.labels.clone();
    labels.insert(SECRET_TYPE.0.to_owned(), SECRET_TYPE.1.to_owned());
    let annotations = cluster.annotations.iter().filter(|(key, _)| !HIDDEN_ANNOTATIONS.contains(&key.as_str()));
    if go {
        let metadata = no_params();
        if !cluster.annotations.is_empty() {
            metadata.insert("annotations", texts(annotations));
        }
        metadata.insert("labels", texts(&labels));
        params.insert("metadata", metadata.into());
    } else {
        for (key, text) in annotations {
            params.insert(format!("metadata.annotations.{key}"), text.as_str().into());
        }
        for (key, text) in &labels {
            params.insert(format!("metadata.labels.{key}"), text.as_str().into());
        }
    }
    params
}
