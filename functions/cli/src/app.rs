//! `slipway app get`: what the cluster remembers of an application, printed as Argo CD prints it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use slipway_cluster::Cluster;
use slipway_cluster::state::{self, AppKey};

use crate::view;

/// Prints the application `name` (or `NAMESPACE/NAME`) by a kubeconfig.
pub(crate) async fn get(name: &str, kubeconfig: Option<PathBuf>, context: Option<&str>) -> anyhow::Result<()> {
    let path = kubeconfig.map_or_else(default_kubeconfig, Ok)?;
    let cluster = Cluster::from_kubeconfig(&path, context, None).await?;
    let keys =
        state::list(&cluster).await.with_context(|| format!("failed to read the states in {}", cluster.server()))?;
    let key = find(&keys, name)?;
    let Some(recorded) = state::read(&cluster, key).await? else { bail!("{name} was deleted just now") };
    let mut application = recorded.state.notes.get("application").cloned().unwrap_or_else(|| json!({}));
    if let Some(fields) = application.as_object_mut() {
        fields.insert("status".to_owned(), serde_json::to_value(&recorded.state.status)?);
    }
    let url = application.get("url").and_then(Value::as_str).unwrap_or_default().to_owned();
    let text = view::print(&application, &url);
    crate::println(text.trim_end_matches('\n'));
    Ok(())
}

/// The one application of that name.
fn find<'a>(keys: &'a [AppKey], name: &str) -> anyhow::Result<&'a AppKey> {
    let is_meant = |key: &&AppKey| key.name == name || format!("{}/{}", key.namespace, key.name) == name;
    let meant: Vec<&AppKey> = keys.iter().filter(is_meant).collect();
    match meant.as_slice() {
        [key] => Ok(key),
        [] if keys.is_empty() => bail!("no application `{name}`: Slipway has deployed nothing to this cluster"),
        [] => {
            let names: Vec<String> =
                keys.iter().take(20).map(|key| format!("{}/{}", key.namespace, key.name)).collect();
            bail!("no application `{name}` in this cluster; there are: {}", names.join(", "))
        }
        several => {
            let names: Vec<String> =
                several.iter().map(|key| format!("{}/{} of {}", key.namespace, key.name, key.root)).collect();
            bail!("`{name}` is more than one application: {}", names.join(", "))
        }
    }
}

/// Where kubectl looks: the first file that `KUBECONFIG` names, or the one in the home folder.
fn default_kubeconfig() -> anyhow::Result<PathBuf> {
    let named = std::env::var_os("KUBECONFIG");
    let first = named.as_deref().and_then(|paths| std::env::split_paths(paths).find(|p| !p.as_os_str().is_empty()));
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".kube/config"));
    first.or_else(home).context("name a kubeconfig by --kubeconfig or KUBECONFIG")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_or_suggested() {
        let key =
            |namespace: &str, name: &str| AppKey { root: "r".into(), namespace: namespace.into(), name: name.into() };
        let keys = [key("argocd", "web"), key("team", "web"), key("argocd", "db")];
        assert_eq!(find(&keys, "db").unwrap(), &keys[2]);
        assert_eq!(find(&keys, "team/web").unwrap(), &keys[1]);
        assert!(find(&keys, "web").unwrap_err().to_string().contains("more than one"));
        assert!(find(&keys, "x").unwrap_err().to_string().contains("argocd/db"));
        assert!(find(&[], "x").unwrap_err().to_string().contains("deployed nothing"));
    }
}
