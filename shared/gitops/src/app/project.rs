//! Implements `AppProject`: which sources, destinations and kinds an Application may have. Pure.
//!
//! The rules are Argo CD's (argoproj/argo-cd `pkg/apis/application/v1alpha1/app_project_types.go` and `types.go`),
//! with the order of its lists and its three kinds of patterns: globs with `!` for sources and destinations, Go's
//! filepath.Match for kinds, globs and `/regular expressions/` for namespaces.

mod cron;
mod denied;
mod projects;
mod url;
mod window;

pub use denied::Denied;
pub use projects::{Projects, Undeclared};
pub use window::{BlockedByWindow, SyncWindow, WindowError, status as window_status};

use std::cell::LazyCell;
use std::sync::Arc;

use jiff::Timestamp;
use regex::RegexBuilder;
use slipway_gocompat::{Glob, filepath};
use slipway_manifest::Object;
use slipway_manifest::names::Form;

use super::controls::{Control, is_unset};
use super::fields::Fields;
use super::settings::Settings;
use super::{AppError, Application};

/// Argo CD's own namespace: Applications there may belong to any project.
pub const CONTROL_NAMESPACE: &str = "argocd";
/// Argo CD's own namespace where the operator of OpenShift installs it.
pub const OPENSHIFT_NAMESPACE: &str = "openshift-gitops";
/// The project of Applications without one.
pub const DEFAULT: &str = "default";
/// Size of a compiled regular expression, in bytes: a short pattern may compile to a huge program.
const MAX_REGEX: usize = 1 << 20;

/// An AppProject.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppProject {
    /// `metadata.name`.
    pub name: String,
    /// What the project is for.
    pub description: String,
    /// `spec.sourceRepos`: globs in which `*` stops at `/`; `!` denies.
    pub source_repos: Vec<String>,
    /// `spec.destinations`.
    pub destinations: Vec<DestinationRule>,
    /// `spec.clusterResourceWhitelist`: without it no object may be cluster-scoped.
    pub cluster_whitelist: Vec<GroupKindRule>,
    /// `spec.clusterResourceBlacklist`.
    pub cluster_blacklist: Vec<GroupKindRule>,
    /// `spec.namespaceResourceWhitelist`; `None` allows every kind, an empty list none.
    pub namespace_whitelist: Option<Vec<GroupKindRule>>,
    /// `spec.namespaceResourceBlacklist`.
    pub namespace_blacklist: Vec<GroupKindRule>,
    /// `spec.sourceNamespaces`: namespaces of Applications, besides Argo CD's own.
    pub source_namespaces: Vec<String>,
    /// `spec.permitOnlyProjectScopedClusters`: only clusters whose Secret names this project.
    pub only_own_clusters: bool,
    /// `spec.destinationServiceAccounts`: read, and not impersonated.
    pub service_accounts: Vec<ServiceAccount>,
    /// `spec.syncWindows`.
    pub windows: Vec<SyncWindow>,
    /// Whether [`DECRYPT`] lets its Applications have files decrypted.
    pub decrypts: bool,
    /// Whether [`DECRYPT`] allows placeholders of argocd-vault-plugin in its Applications.
    pub fills: bool,
    /// Restrictions that are not enforced ([`controls`](super::controls)): the project's Applications are refused.
    pub controls: Vec<Control>,
    /// Restrictions of the root's `argocd-cm` for every project.
    pub settings: Arc<Settings>,
}

/// The annotation by which a project lets its Applications have files decrypted: `sops`; and placeholders of
/// argocd-vault-plugin replaced: `placeholders`. Both are separated by a comma.
pub const DECRYPT: &str = "slipway.dev/decrypt";

/// An entry of `spec.destinations`; every field is a glob, `!` denies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DestinationRule {
    /// URL of the API server.
    pub server: String,
    /// Name of the cluster.
    pub name: String,
    /// The namespace.
    pub namespace: String,
}

/// An entry of the whitelists and blacklists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupKindRule {
    /// The API group; empty is core.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The name, of cluster-scoped objects; empty is any.
    pub name: String,
}

/// An entry of `spec.destinationServiceAccounts`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceAccount {
    /// URL of the API server.
    pub server: String,
    /// The namespace.
    pub namespace: String,
    /// `[NAMESPACE:]NAME`.
    pub default_service_account: String,
}

/// Server and name of a cluster, as a destination resolves to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterName {
    /// URL of the API server.
    pub server: String,
    /// The cluster's name in manifests.
    pub name: String,
}

impl AppProject {
    /// Reads an `argoproj.io/v1alpha1` AppProject. A `default` that says nothing allows everything: Argo CD makes that
    /// project itself when it starts, and to apply an empty one over it changes nothing.
    pub fn from_object(object: &Object) -> Result<Self, AppError> {
        let id = object.id().to_string();
        let lets = |what| object.annotation(DECRYPT).is_some_and(|all| all.split(',').any(|one| one.trim() == what));
        let (decrypts, fills) = (lets("sops"), lets("placeholders"));
        let mut project = Self { name: object.name().to_owned(), decrypts, fills, ..Self::default() };
        Form::Subdomain.check(&id, "metadata.name", object.name())?;
        if object.name() == DEFAULT && object.get("spec").is_none_or(is_unset) {
            return Ok(Self { decrypts, fills, ..Self::allow_all() });
        }
        let Some(mut spec) = Fields::of(object, &id).object("spec")? else { return Ok(project) };
        let mut unknown = Vec::new();
        project.source_repos = spec.texts("sourceRepos")?;
        for mut item in spec.objects("destinations")? {
            let mut text = |field| item.text(field).map(Option::unwrap_or_default);
            let place = DestinationRule { server: text("server")?, name: text("name")?, namespace: text("namespace")? };
            project.destinations.push(place);
            unknown.extend(item.unknown());
        }
        project.cluster_whitelist = kinds(&mut spec, "clusterResourceWhitelist", &mut unknown)?;
        project.cluster_blacklist = kinds(&mut spec, "clusterResourceBlacklist", &mut unknown)?;
        let is_listed = spec.remove("namespaceResourceWhitelist").is_some();
        let listed = is_listed.then(|| kinds(&mut spec, "namespaceResourceWhitelist", &mut unknown));
        project.namespace_whitelist = listed.transpose()?;
        project.namespace_blacklist = kinds(&mut spec, "namespaceResourceBlacklist", &mut unknown)?;
        project.source_namespaces = spec.texts("sourceNamespaces")?;
        project.only_own_clusters = spec.flag("permitOnlyProjectScopedClusters")?.unwrap_or(false);
        for mut item in spec.objects("destinationServiceAccounts")? {
            let mut text = |field| item.text(field).map(Option::unwrap_or_default);
            project.service_accounts.push(ServiceAccount {
                server: text("server")?,
                namespace: text("namespace")?,
                default_service_account: text("defaultServiceAccount")?,
            });
            unknown.extend(item.unknown());
        }
        for item in spec.objects("syncWindows")? {
            project.windows.push(SyncWindow::read(item, &mut unknown)?);
        }
        for field in ["signatureKeys", "sourceIntegrity"] {
            if spec.remove(field).is_some_and(|value| !is_unset(value)) {
                let remedy = "commits are not checked for signatures: remove it, and let the repository's branch \
                              protection demand them";
                project.controls.push(Control::new(format!("spec.{field}"), remedy));
            }
        }
        let description = spec.remove("description").and_then(serde_json::Value::as_str);
        description.unwrap_or_default().clone_into(&mut project.description);
        spec.ignore(&["roles", "orphanedResources"]);
        unknown.extend(spec.unknown());
        project.controls.extend(unknown.into_iter().map(|field| Control::new(field, "it is not known: remove it")));
        project.controls.extend(project.unreadable());
        Ok(project)
    }

    /// Denials with an invalid pattern: they would deny nothing.
    fn unreadable(&self) -> Vec<Control> {
        let is_bad = |pattern: &str| pattern.strip_prefix('!').is_some_and(|pattern| !Glob::new(pattern).is_valid());
        let is_bad_kind =
            |kind: &GroupKindRule| ![&kind.group, &kind.kind, &kind.name].iter().all(|one| filepath::is_valid(one));
        let is_bad_place =
            |place: &DestinationRule| [&place.server, &place.name, &place.namespace].iter().any(|one| is_bad(one));
        let is_bad_window = |window: &SyncWindow| {
            let lists = [&window.applications, &window.namespaces, &window.clusters];
            lists.iter().copied().flatten().any(|pattern| !Glob::new(pattern).is_valid())
        };
        let is_no_kind = |window: &SyncWindow| !matches!(window.kind.as_str(), "allow" | "deny");
        let unreadable = "it has a pattern that can't be read";
        let found = [
            ("spec.sourceRepos", self.source_repos.iter().any(|pattern| is_bad(pattern)), unreadable),
            ("spec.destinations", self.destinations.iter().any(is_bad_place), unreadable),
            ("spec.clusterResourceBlacklist", self.cluster_blacklist.iter().any(is_bad_kind), unreadable),
            ("spec.namespaceResourceBlacklist", self.namespace_blacklist.iter().any(is_bad_kind), unreadable),
            ("spec.syncWindows", self.windows.iter().any(is_bad_window), unreadable),
            ("spec.syncWindows", self.windows.iter().any(is_no_kind), "each `kind` must be `allow` or `deny`"),
        ];
        found.into_iter().filter(|(_, is_bad, _)| *is_bad).map(|(field, _, why)| Control::new(field, why)).collect()
    }

    /// Argo CD's project `default` as it is installed: everything is allowed.
    pub fn allow_all() -> Self {
        let any = || "*".to_owned();
        Self {
            name: DEFAULT.to_owned(),
            source_repos: vec![any()],
            destinations: vec![DestinationRule { server: any(), namespace: any(), ..DestinationRule::default() }],
            cluster_whitelist: vec![GroupKindRule { group: any(), kind: any(), ..GroupKindRule::default() }],
            ..Self::default()
        }
    }

    /// Whether Applications may have their source at `repo_url`. A denial holds however the URL is written; an allowed
    /// URL is compared as text, as in Argo CD.
    pub fn permits_source(&self, repo_url: &str) -> bool {
        let spellings = LazyCell::new(|| url::spellings(repo_url));
        let wanted = LazyCell::new(|| url::normalize(repo_url));
        let is_denied = |pattern: &str| {
            let forms = [pattern, pattern.trim_end_matches('/')].map(url::normalize);
            forms.iter().any(|form| spellings.iter().any(|url| Glob::of_paths(form).matches(url)))
        };
        let mut permitted = false;
        for pattern in &self.source_repos {
            match pattern.strip_prefix('!') {
                Some(denied) if is_denied(denied) => return false,
                // As in Argo CD, a denial that does not match allows.
                Some(_) => permitted = true,
                None if pattern == "*" => permitted = true,
                None => {
                    let pattern = url::normalize(pattern);
                    permitted |= pattern == "*" || Glob::of_paths(&pattern).matches(&wanted);
                }
            }
        }
        permitted
    }

    /// Whether Applications may go to `namespace` of `cluster`; `own` are the clusters whose Secrets name this project.
    pub fn permits_destination(&self, cluster: &ClusterName, namespace: &str, own: &[ClusterName]) -> bool {
        let is_own = || own.iter().any(|one| one.name == cluster.name || one.server == cluster.server);
        self.lists_destination(cluster, namespace) && (!self.only_own_clusters || is_own())
    }

    fn lists_destination(&self, cluster: &ClusterName, namespace: &str) -> bool {
        let denies = |pattern: &str| pattern.starts_with('!');
        let mut permitted = false;
        for DestinationRule { server, name, namespace: spaces } in &self.destinations {
            let is_name = !cluster.name.is_empty() && matches(name, &cluster.name);
            let is_server = !cluster.server.is_empty() && matches(server, &cluster.server);
            let is_namespace = matches(spaces, namespace);
            if (is_server || is_name) && is_namespace {
                permitted = true;
            } else if !is_name && denies(name)
                || !is_server && denies(server) && is_namespace
                || !is_namespace && denies(spaces) && is_server
            {
                return false;
            }
        }
        permitted
    }

    /// Whether objects of this kind (and this name, if cluster-scoped) may be deployed to any destination.
    pub fn permits_kind(&self, group: &str, kind: &str, name: &str, namespaced: bool) -> bool {
        if namespaced {
            let listed = self.namespace_whitelist.as_ref().is_none_or(|list| is_in(list, group, kind, None));
            return listed && !is_in(&self.namespace_blacklist, group, kind, None);
        }
        let name = Some(name);
        is_in(&self.cluster_whitelist, group, kind, name) && !is_in(&self.cluster_blacklist, group, kind, name)
    }

    /// Whether `object`, whose namespace is empty if it is cluster-scoped, may be deployed to `cluster`.
    pub fn permits_object(&self, object: &Object, cluster: &ClusterName, own: &[ClusterName]) -> bool {
        let namespace = object.namespace();
        self.permits_kind(object.group(), object.kind(), object.name(), !namespace.is_empty())
            && (namespace.is_empty() || self.permits_destination(cluster, namespace, own))
    }

    /// Whether Applications of the project may be in `namespace`, where Argo CD's own is `control`.
    pub fn permits_application_in(&self, namespace: &str, control: &str) -> bool {
        namespace.is_empty()
            || namespace == control
            || self.source_namespaces.iter().any(|pattern| {
                let inner = pattern.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
                // Argo CD uses dlclark/regexp2 here, not Go's dialect; the crate lacks its look-arounds.
                let regex = inner.and_then(|text| RegexBuilder::new(text).size_limit(MAX_REGEX).build().ok());
                regex.is_some_and(|regex| regex.is_match(namespace)) || Glob::new(pattern).matches(namespace)
            })
    }

    /// The windows that apply to `app` on `cluster`.
    pub fn windows_of(&self, app: &str, cluster: &ClusterName, namespace: &str) -> Vec<&SyncWindow> {
        self.windows.iter().filter(|window| window.matches(app, cluster, namespace)).collect()
    }

    /// What blocks a sync of `app` at `now`; `None` where it may begin. `started` is the start of a sync in progress.
    pub fn held(
        &self,
        app: &Application,
        cluster: &ClusterName,
        manual: bool,
        now: Timestamp,
        started: Option<Timestamp>,
    ) -> Result<Option<BlockedByWindow>, WindowError> {
        let windows = self.windows_of(&app.name, cluster, &app.destination.namespace);
        window::held(&windows, manual, now, started)
    }
}

/// Whether `pattern` matches; `!` negates it.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.strip_prefix('!') {
        Some(pattern) => !Glob::new(pattern).matches(text),
        None => pattern == "*" || Glob::new(pattern).matches(text),
    }
}

fn is_in(list: &[GroupKindRule], group: &str, kind: &str, name: Option<&str>) -> bool {
    list.iter().any(|item| {
        filepath::matches(&item.kind, kind)
            && filepath::matches(&item.group, group)
            && name.is_none_or(|name| item.name.is_empty() || filepath::matches(&item.name, name))
    })
}

fn kinds(
    spec: &mut Fields<'_>,
    field: &'static str,
    unknown: &mut Vec<String>,
) -> Result<Vec<GroupKindRule>, AppError> {
    let read = |mut item: Fields<'_>| {
        let mut text = |field| item.text(field).map(Option::unwrap_or_default);
        let kinds = GroupKindRule { group: text("group")?, kind: text("kind")?, name: text("name")? };
        unknown.extend(item.unknown());
        Ok(kinds)
    };
    spec.objects(field)?.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests;
