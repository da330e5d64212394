//! Resolves a project's permissions for one Application, with the cluster that its destination resolves to.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;
use slipway_manifest::Object;

use super::project::{AppProject, BlockedByWindow, ClusterName, Denied, Projects, SyncWindow, WindowError};
use super::{Application, ClusterSecret, settings};
use crate::app::{IN_CLUSTER_NAME, IN_CLUSTER_SERVER};
use crate::identity::STATE_NAMESPACE;
use crate::location::{Repo, RepoUrl};
use crate::prune_guard::holds_state;

/// Project permissions resolved for one Application.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProjectPermissions {
    /// Why nothing of the Application may be deployed.
    pub denied: Option<Denied>,
    /// The resolved destination.
    pub cluster: ClusterName,
    /// Whether Argo CD's declarations stay out of its own cluster: they are read from Git, and a running Argo CD would
    /// obey them, too.
    pub keeps_declarations: bool,
    /// Whether the settings of Argo CD stay out, too: those of a root are read, and a running Argo CD may have its own.
    pub keeps_settings: bool,
    project: Arc<AppProject>,
    /// The clusters whose Secrets name the project.
    own: Arc<[ClusterName]>,
    /// The destination's Secret, where it restricts the namespaces.
    limits: Option<Arc<ClusterSecret>>,
}

impl ProjectPermissions {
    /// Resolves the permissions of `app`; an undeclared project `default` allows everything.
    pub fn of(app: &Application, projects: &Projects, clusters: &[ClusterSecret]) -> Self {
        let cluster = ClusterName::of(&app.destination, clusters);
        let Some(project) = projects.get(&app.project) else {
            let denied = Some(Denied::Unknown(app.project.clone()));
            return Self { denied, cluster, ..Self::default() };
        };
        let own: Arc<[ClusterName]> =
            clusters.iter().filter(|one| one.project == project.name).map(ClusterName::from).collect();
        let skipped = clusters.iter().find(|one| one.is_skipped && one.is_at(&cluster.server));
        let skipped = skipped.map(|one| Denied::Skipped(one.name.clone()));
        let denied = project.check(app, &cluster, &own).err().or(skipped);
        let limits = clusters.iter().find(|one| one.is_at(&cluster.server) && !one.namespaces.is_empty());
        let limits = limits.cloned().map(Arc::new);
        Self { denied, cluster, keeps_declarations: false, keeps_settings: false, project, own, limits }
    }

    /// Permissions without limits.
    pub fn allow_all() -> Self {
        let cluster = ClusterName { server: IN_CLUSTER_SERVER.to_owned(), name: IN_CLUSTER_NAME.to_owned() };
        Self { project: Arc::new(AppProject::allow_all()), cluster, ..Self::default() }
    }

    /// The permissions of a root's place, whose writers are trusted: all but what Argo CD itself reads.
    pub fn of_root() -> Self {
        Self { keeps_settings: true, ..Self::allow_all() }
    }

    /// The `objects` that the project or the cluster's Secret refuses. Their namespaces must be those that they are
    /// applied with: empty for cluster-scoped kinds.
    pub fn refused<'a>(&self, objects: impl IntoIterator<Item = &'a Object>) -> Vec<Denied> {
        objects.into_iter().filter_map(|object| self.refusal(object)).collect()
    }

    /// Why the project does not allow the repository at `url`.
    pub fn refused_source(&self, url: &str) -> Option<Denied> {
        let denied = || Denied::Source { project: self.project.name.clone(), url: url.to_owned() };
        (!self.project.permits_source(url)).then(denied)
    }

    /// The project's name where it does not let files be decrypted.
    pub fn refuses_decryption(&self) -> Option<&str> {
        (!self.project.decrypts).then_some(self.project.name.as_str())
    }

    /// Whether the project allows placeholders of argocd-vault-plugin; an error with its name where it does not.
    pub fn fills(&self) -> Result<(), &str> {
        if self.project.fills { Ok(()) } else { Err(&self.project.name) }
    }

    /// Why the project does not allow the repository that was `written` by a name that it had before: `repo` is the one
    /// that it has now. A denial of that must not be passed by the former one.
    pub fn refused_name(&self, written: &RepoUrl, repo: &Repo) -> Option<Denied> {
        let now = RepoUrl { repo: repo.clone(), ..written.clone() };
        if now == *written || self.project.permits_source(&now.to_string()) {
            return None;
        }
        let (project, written, now) = (self.project.name.clone(), written.to_string(), now.to_string());
        Some(Denied::FormerName { project, written, now })
    }

    /// Why the project or the cluster's Secret refuses `object`, or why no project may allow it.
    pub fn refusal(&self, object: &Object) -> Option<Denied> {
        if object.namespace() == STATE_NAMESPACE || holds_state(object) {
            return Some(Denied::State(object.id().to_string()));
        }
        if self.keeps_out(object) {
            return Some(Denied::Declaration(object.id().to_string()));
        }
        let denied = self.project.check_object(object, &self.cluster, &self.own).err();
        denied.or_else(|| self.unmanaged(object))
    }

    /// Whether `object` is a declaration or a setting that stays out of the cluster.
    pub fn keeps_out(&self, object: &Object) -> bool {
        let is_declaration =
            object.group() == "argoproj.io" && matches!(object.kind(), "Application" | "ApplicationSet" | "AppProject");
        self.cluster.server.trim_end_matches('/') == IN_CLUSTER_SERVER
            && (self.keeps_declarations && is_declaration || self.keeps_settings && settings::is_setting(object))
    }

    /// Why the project refuses every object of the kind of `object`, with any name and namespace.
    pub fn refused_kind(&self, object: &Object) -> Option<Denied> {
        self.project.check_kind(object).err().or_else(|| self.excluded(object))
    }

    /// Why `argocd-cm` excludes the kind of `object`.
    pub fn excluded(&self, object: &Object) -> Option<Denied> {
        let key = self.project.settings.excludes(object.group(), object.kind(), &self.cluster)?;
        Some(Denied::Setting { what: object.id().to_string(), key })
    }

    /// Why `argocd-cm` disables the rendering `tool`: `helm`, `kustomize`.
    pub fn refused_tool(&self, tool: &str) -> Option<Denied> {
        let (tool, key) =
            [("helm", "helm.enable"), ("kustomize", "kustomize.enable")].into_iter().find(|(one, _)| *one == tool)?;
        let is_off = self.project.settings.tools_off.contains(&tool);
        is_off.then(|| Denied::Setting { what: format!("sources that {tool} renders"), key })
    }

    /// Why the cluster's Secret, or `argocd-cm`, excludes `object` (argoproj/argo-cd
    /// `gitops-engine/pkg/cache/cluster.go`, GetManagedLiveObjs): it is neither applied, read nor pruned.
    pub fn unmanaged(&self, object: &Object) -> Option<Denied> {
        if let Some(excluded) = self.excluded(object) {
            return Some(excluded);
        }
        let ClusterSecret { name, namespaces, cluster_resources, .. } = self.limits.as_deref()?;
        let namespace = object.namespace();
        let is_managed =
            if namespace.is_empty() { *cluster_resources } else { namespaces.iter().any(|one| one == namespace) };
        if is_managed {
            return None;
        }
        let (cluster, namespace, object) = (name.clone(), namespace.to_owned(), object.id().to_string());
        Some(match namespace.as_str() {
            "" => Denied::ClusterScoped { cluster, object },
            _ => Denied::Unmanaged { cluster, object, namespace, namespaces: namespaces.join(", ") },
        })
    }

    /// The windows that apply to `app`.
    pub fn windows(&self, app: &Application) -> Vec<&SyncWindow> {
        self.project.windows_of(&app.name, &self.cluster, &app.destination.namespace)
    }

    /// Why the project, or the cluster's Secret, does not allow creating the namespace `name` for the Application
    /// (`CreateNamespace=true`).
    pub fn refused_namespace(&self, name: &str) -> Option<Denied> {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.refused(&Object::from_value(namespace).ok()).pop()
    }

    /// What blocks a sync of `app` at `now`; `None` where it may run. `started` is the start of a sync in progress.
    pub fn held(
        &self,
        app: &Application,
        manual: bool,
        now: Timestamp,
        started: Option<Timestamp>,
    ) -> Result<Option<BlockedByWindow>, WindowError> {
        self.project.held(app, &self.cluster, manual, now, started)
    }
}

impl ClusterName {
    /// Resolves `destination` to server and name, as far as the Secrets declare both.
    pub fn of(destination: &super::Destination, clusters: &[ClusterSecret]) -> Self {
        let super::Destination { server, name, .. } = destination;
        let is_meant = |one: &&ClusterSecret| if server.is_empty() { one.name == *name } else { one.is_at(server) };
        if let Some(found) = clusters.iter().find(is_meant) {
            return found.into();
        }
        if server.trim_end_matches('/') == IN_CLUSTER_SERVER || name == IN_CLUSTER_NAME {
            return Self { server: IN_CLUSTER_SERVER.to_owned(), name: IN_CLUSTER_NAME.to_owned() };
        }
        Self { server: server.clone(), name: name.clone() }
    }
}

impl From<&ClusterSecret> for ClusterName {
    fn from(secret: &ClusterSecret) -> Self {
        Self { server: secret.server.clone(), name: secret.name.clone() }
    }
}
