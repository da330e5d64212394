//! Reads the restrictions of `argocd-cm` for every Application (argoproj/argo-cd `util/settings/settings.go`,
//! `resources_filter.go`). Pure.

use serde_json::{Map, Value};
use slipway_gocompat::Glob;
use slipway_manifest::{Object, yaml};

use super::cluster::is_cluster;
use super::controls::{Control, is_unset};
use super::project::ClusterName;
use super::repository::{CERTIFICATES, is_repository_secret};

const EXCLUSIONS: &str = "resource.exclusions";
const INCLUSIONS: &str = "resource.inclusions";
const IMPERSONATION: &str = "application.sync.impersonation.enabled";
const IN_CLUSTER: &str = "cluster.inClusterEnabled";
const GLOBAL_PROJECTS: &str = "globalProjects";

/// Whether `object` is a ConfigMap or a Secret that Argo CD itself reads.
pub fn is_setting(object: &Object) -> bool {
    match (object.group(), object.kind()) {
        ("", "ConfigMap") => matches!(object.name(), "argocd-cm" | "argocd-notifications-cm" | CERTIFICATES),
        ("", "Secret") => is_cluster(object) || is_repository_secret(object),
        _ => false,
    }
}

/// Restrictions of `argocd-cm`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// Controls that Slipway does not enforce: while there are any, everything is refused.
    pub controls: Vec<Control>,
    /// Whether impersonation is explicitly off.
    pub never_impersonates: bool,
    /// Whether the in-cluster destination is disabled.
    pub is_in_cluster_off: bool,
    /// Argo CD's own namespace, where it is not `argocd`.
    pub control_namespace: Option<&'static str>,
    /// The disabled tools, by the prefix of their keys: `helm`, `kustomize`.
    pub tools_off: Vec<&'static str>,
    exclusions: Vec<Filter>,
    inclusions: Vec<Filter>,
}

/// An entry of the exclusions and inclusions; an empty list matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Filter {
    groups: Vec<String>,
    kinds: Vec<String>,
    clusters: Vec<String>,
}

impl Settings {
    /// Parses the `data` of `argocd-cm`.
    pub fn from_config_map(data: &Map<String, Value>) -> Self {
        let text = |key: &str| data.get(key).and_then(Value::as_str).map(str::trim).unwrap_or_default();
        let is_off = |key: &str| text(key).eq_ignore_ascii_case("false");
        let mut settings = Self {
            never_impersonates: is_off(IMPERSONATION),
            is_in_cluster_off: is_off(IN_CLUSTER),
            ..Self::default()
        };
        for (tool, key) in [("helm", "helm.enable"), ("kustomize", "kustomize.enable")] {
            // As in Argo CD, every value except `true` is off.
            if !matches!(text(key), "" | "true") {
                settings.tools_off.push(tool);
            }
        }
        if !text(IMPERSONATION).is_empty() && !settings.never_impersonates {
            settings.refuse(IMPERSONATION, "set it to \"false\": objects are applied as Slipway itself");
        }
        if !yaml::parse(text(GLOBAL_PROJECTS)).is_ok_and(|value| is_unset(&value)) {
            settings.refuse(GLOBAL_PROJECTS, "write what is inherited into each project, and remove it");
        }
        for key in [EXCLUSIONS, INCLUSIONS] {
            match filters(text(key)) {
                Ok(filters) if key == EXCLUSIONS => settings.exclusions = filters,
                Ok(filters) => settings.inclusions = filters,
                Err(problem) => settings.refuse(key, problem),
            }
        }
        settings
    }

    fn refuse(&mut self, key: &str, remedy: impl Into<String>) {
        self.controls.push(Control::new(key, remedy));
    }

    /// The key that excludes a kind on `cluster`, or `None`. Exclusions take precedence over inclusions, and inclusions
    /// count where any of them applies to the cluster.
    pub fn excludes(&self, group: &str, kind: &str, cluster: &ClusterName) -> Option<&'static str> {
        let is_in = |filters: &[Filter]| filters.iter().any(|filter| filter.fits(group, kind, &cluster.server));
        match () {
            () if is_in(&self.exclusions) => Some(EXCLUSIONS),
            () if is_in(&self.inclusions) => None,
            () => self.inclusions.iter().any(|filter| filter.is_about(&cluster.server)).then_some(INCLUSIONS),
        }
    }
}

impl Filter {
    fn fits(&self, group: &str, kind: &str, server: &str) -> bool {
        let is_kind = self.kinds.is_empty() || self.kinds.iter().any(|one| one == "*" || one == kind);
        is_kind && any_glob(&self.groups, group) && self.is_about(server)
    }

    fn is_about(&self, server: &str) -> bool {
        any_glob(&self.clusters, server)
    }
}

fn any_glob(patterns: &[String], text: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| Glob::new(pattern).matches(text))
}

/// Parses the list in `text`; the error names the mistake.
fn filters(text: &str) -> Result<Vec<Filter>, String> {
    let value = yaml::parse(text).map_err(|error| format!("it can't be read: {error}"))?;
    let items = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(items) => items,
        _ => return Err("it is no list".to_owned()),
    };
    items.iter().map(filter).collect()
}

fn filter(item: &Value) -> Result<Filter, String> {
    let mut filter = Filter::default();
    for (key, value) in item.as_object().ok_or("an entry is no mapping")? {
        let list = match key.as_str() {
            "apiGroups" => &mut filter.groups,
            "kinds" => &mut filter.kinds,
            "clusters" => &mut filter.clusters,
            _ => return Err(format!("`{key}` is not known")),
        };
        let texts = || value.as_array()?.iter().map(|one| one.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
        *list = if value.is_null() { Vec::new() } else { texts().ok_or(format!("`{key}` is no list of strings"))? };
        if let Some(bad) = list.iter().find(|pattern| key != "kinds" && !Glob::new(pattern).is_valid()) {
            return Err(format!("the pattern `{bad}` can't be read"));
        }
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(data: &Value) -> Settings {
        Settings::from_config_map(data.as_object().unwrap())
    }

    fn here() -> ClusterName {
        ClusterName { server: "https://kubernetes.default.svc".into(), name: "in-cluster".into() }
    }

    /// The table of `IsExcludedResource`.
    #[test]
    fn exclusions_beat_inclusions() {
        let excludes = |data: Value, group: &str, kind: &str| settings(&data).excludes(group, kind, &here());
        let leases = "- apiGroups: [coordination.k8s.io]\n  kinds: [Lease]\n  clusters: ['*']\n";
        let pods = "- apiGroups: ['']\n  kinds: [Pod]\n";
        let elsewhere = "- clusters: ['https://other*']\n";
        for (data, kind, found) in [
            (json!({}), ("", "Pod"), None),
            (json!({"resource.exclusions": leases}), ("coordination.k8s.io", "Lease"), Some(EXCLUSIONS)),
            (json!({"resource.exclusions": leases}), ("", "Lease"), None),
            (
                json!({"resource.exclusions": "- apiGroups: ['*.k8s.io']\n"}),
                ("coordination.k8s.io", "X"),
                Some(EXCLUSIONS),
            ),
            (json!({"resource.exclusions": "- kinds: ['*']\n"}), ("apps", "X"), Some(EXCLUSIONS)),
            (json!({"resource.exclusions": elsewhere}), ("", "Pod"), None),
            (json!({"resource.inclusions": pods}), ("", "Pod"), None),
            (json!({"resource.inclusions": pods}), ("", "Secret"), Some(INCLUSIONS)),
            (json!({"resource.inclusions": elsewhere}), ("", "Secret"), None),
            (json!({"resource.inclusions": pods, "resource.exclusions": pods}), ("", "Pod"), Some(EXCLUSIONS)),
        ] {
            assert_eq!(excludes(data.clone(), kind.0, kind.1), found, "{data} {kind:?}");
        }
    }

    #[test]
    fn what_is_not_obeyed_or_not_understood_refuses() {
        let controls = |key: &str, value: &str| -> Vec<String> {
            settings(&json!({ key: value })).controls.iter().map(ToString::to_string).collect()
        };
        for (key, value) in [
            (EXCLUSIONS, ""),
            (EXCLUSIONS, "[]"),
            (IMPERSONATION, ""),
            (IMPERSONATION, "false"),
            (GLOBAL_PROJECTS, ""),
            (GLOBAL_PROJECTS, "[]"),
            ("application.instanceLabelKey", "x"),
            ("resource.respectRBAC", "strict"),
        ] {
            assert_eq!(controls(key, value), Vec::<String>::new(), "{key}: {value}");
        }
        for (key, value, said) in [
            (EXCLUSIONS, "kinds: [Lease]", "it is no list"),
            (EXCLUSIONS, "- kinds: Lease", "`kinds` is no list of strings"),
            (EXCLUSIONS, "- kind: [Lease]", "`kind` is not known"),
            (EXCLUSIONS, "- apiGroups: ['[']", "the pattern `[` can't be read"),
            (INCLUSIONS, "- [", "it can't be read"),
            (IMPERSONATION, "true", "as Slipway itself"),
            (IMPERSONATION, "on", "as Slipway itself"),
            (GLOBAL_PROJECTS, "- projectName: all\n", "write what is inherited into each project"),
            (GLOBAL_PROJECTS, "[", "write what is inherited into each project"),
        ] {
            let found = controls(key, value);
            assert!(found.len() == 1 && found[0].contains(key) && found[0].contains(said), "{key}: {value}: {found:?}");
        }
    }

    #[test]
    fn what_is_switched_off_is_known() {
        let off = settings(&json!({IN_CLUSTER: "false", "helm.enable": "false", "kustomize.enable": "true"}));
        assert!(off.is_in_cluster_off && off.tools_off == ["helm"]);
        let on = settings(&json!({IN_CLUSTER: "true", "helm.enable": ""}));
        assert!(!on.is_in_cluster_off && on.tools_off.is_empty());
    }
}
