//! Explains what a project, or a cluster's Secret, does not allow, and which field to change.

use slipway_manifest::Object;

use super::{AppProject, CONTROL_NAMESPACE, ClusterName};
use crate::app::Application;
use crate::app::IN_CLUSTER_SERVER;
use crate::app::controls::Control;
use crate::identity::STATE_NAMESPACE;

/// Why an Application or object is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// No such project.
    #[error("AppProject `{0}` is not declared at the root: declare it, or set `spec.project` to one that is")]
    Unknown(String),
    /// The project restricts in ways that Slipway does not enforce.
    #[error("{by} sets restrictions that Slipway does not enforce, so that nothing is deployed: {controls}")]
    Controls {
        /// The project's name, or `argocd-cm`.
        by: String,
        /// The fields, each with its remedy.
        controls: String,
    },
    /// `argocd-cm` excludes the kind or tool.
    #[error("the ConfigMap argocd-cm does not allow {what}: `{key}` excludes it")]
    Setting {
        /// An object, a destination or a tool.
        what: String,
        /// The key of `argocd-cm`.
        key: &'static str,
    },
    /// The Application is in a namespace that its project does not allow.
    #[error(
        "AppProject `{project}` does not allow Applications in the namespace `{namespace}`: add it to \
         `spec.sourceNamespaces`"
    )]
    ApplicationNamespace {
        /// The project.
        project: String,
        /// The Application's namespace.
        namespace: String,
    },
    /// The repository is not allowed.
    #[error("AppProject `{project}` does not allow the source `{url}`: add it to `spec.sourceRepos`")]
    Source {
        /// The project.
        project: String,
        /// `repoURL`.
        url: String,
    },
    /// The repository is not allowed by the name that it has now.
    #[error(
        "AppProject `{project}` does not allow the source `{now}`, which is what GitHub forwards `{written}` to: \
         add it to `spec.sourceRepos`"
    )]
    FormerName {
        /// The project.
        project: String,
        /// The repository by a former name, as the Application has it.
        written: String,
        /// The repository by the name that it has now.
        now: String,
    },
    /// The cluster or the namespace is not allowed.
    #[error("AppProject `{project}` does not allow {what}the destination {place}: add it to `spec.destinations`{hint}")]
    Destination {
        /// The project.
        project: String,
        /// The object that goes there, and ` in `; empty for the Application itself.
        what: String,
        /// Server, name and namespace.
        place: String,
        /// What else is needed.
        hint: &'static str,
    },
    /// The kind is not allowed.
    #[error("AppProject `{project}` does not allow {object}: {remedy}")]
    Kind {
        /// The project.
        project: String,
        /// The object, as it prints.
        object: String,
        /// The field to change.
        remedy: String,
    },
    /// The object would replace what Slipway keeps of every application.
    #[error("no application may deploy {0}: the namespace `{STATE_NAMESPACE}` holds Slipway's own state")]
    State(String),
    /// The cluster's Secret has the annotation to skip it.
    #[error(
        "nothing is deployed to the cluster `{0}`: its Secret has the annotation `argocd.argoproj.io/skip-reconcile`"
    )]
    Skipped(String),
    /// The cluster's Secret allows other namespaces.
    #[error(
        "the cluster `{cluster}` does not take {object}: its Secret allows the namespaces {namespaces}; add \
         `{namespace}` to its `namespaces`"
    )]
    Unmanaged {
        /// The cluster's name.
        cluster: String,
        /// The object, as it prints.
        object: String,
        /// The object's namespace.
        namespace: String,
        /// The allowed namespaces.
        namespaces: String,
    },
    /// A declaration of Argo CD, which is read from Git.
    #[error("{0} is read from Git, and neither written to the cluster nor deleted there")]
    Declaration(String),
    /// The cluster's Secret allows only certain namespaces, and the object is cluster-scoped.
    #[error(
        "the cluster `{cluster}` does not take {object}: its Secret allows some namespaces only; set its \
         `clusterResources` to \"true\""
    )]
    ClusterScoped {
        /// The cluster's name.
        cluster: String,
        /// The object, as it prints.
        object: String,
    },
}

impl AppProject {
    /// Whether the project allows the Application as declared: its namespace, source and destination, which resolves to
    /// `cluster`; `own` are the clusters whose Secrets name this project.
    pub fn check(&self, app: &Application, cluster: &ClusterName, own: &[ClusterName]) -> Result<(), Denied> {
        let project = || self.name.clone();
        self.check_controls()?;
        if self.settings.is_in_cluster_off && cluster.server.trim_end_matches('/') == IN_CLUSTER_SERVER {
            return Err(Denied::Setting {
                what: "the destination in-cluster".to_owned(),
                key: "cluster.inClusterEnabled",
            });
        }
        let control = self.settings.control_namespace.unwrap_or(CONTROL_NAMESPACE);
        if !self.permits_application_in(&app.namespace, control) {
            return Err(Denied::ApplicationNamespace { project: project(), namespace: app.namespace.clone() });
        }
        if let Some(denied) = app.all_sources().iter().find(|source| !self.permits_source(&source.repo_url)) {
            return Err(Denied::Source { project: project(), url: denied.repo_url.clone() });
        }
        let namespace = &app.destination.namespace;
        if !self.permits_destination(cluster, namespace, own) {
            return Err(self.no_destination(String::new(), cluster, namespace));
        }
        Ok(())
    }

    /// Checks that every restriction is enforced.
    fn check_controls(&self) -> Result<(), Denied> {
        let denied = |by: String, controls: Vec<Control>| {
            let lines: Vec<String> = controls.iter().map(Control::to_string).collect();
            if lines.is_empty() { Ok(()) } else { Err(Denied::Controls { by, controls: lines.join("; ") }) }
        };
        denied("the ConfigMap argocd-cm".to_owned(), self.settings.controls.clone())?;
        let mut controls = self.controls.clone();
        if !self.service_accounts.is_empty() && !self.settings.never_impersonates {
            let remedy = "objects are applied as Slipway itself: remove it, or set \
                          `application.sync.impersonation.enabled` of argocd-cm to \"false\"";
            controls.push(Control::new("spec.destinationServiceAccounts", remedy));
        }
        denied(format!("AppProject `{}`", self.name), controls)
    }

    /// Whether the project allows objects of the kind of `object` in any destination.
    pub fn check_kind(&self, object: &Object) -> Result<(), Denied> {
        if self.permits_kind(object.group(), object.kind(), object.name(), !object.namespace().is_empty()) {
            return Ok(());
        }
        Err(self.no_kind(object))
    }

    /// Whether the project allows `object`, whose namespace is empty if it is cluster-scoped, on `cluster`.
    pub fn check_object(&self, object: &Object, cluster: &ClusterName, own: &[ClusterName]) -> Result<(), Denied> {
        let namespace = object.namespace();
        self.check_kind(object)?;
        if !namespace.is_empty() && !self.permits_destination(cluster, namespace, own) {
            return Err(self.no_destination(format!("{} in ", object.id()), cluster, namespace));
        }
        Ok(())
    }

    fn no_destination(&self, what: String, cluster: &ClusterName, namespace: &str) -> Denied {
        Denied::Destination {
            project: self.name.clone(),
            what,
            place: format!("`{}` ({}), namespace `{namespace}`", cluster.server, cluster.name),
            hint: if self.only_own_clusters {
                ", and the cluster's Secret must name the project (`spec.permitOnlyProjectScopedClusters`)"
            } else {
                ""
            },
        }
    }

    fn no_kind(&self, object: &Object) -> Denied {
        let entry = format!("`{{group: \"{}\", kind: {}}}`", object.group(), object.kind());
        let (group, kind) = (object.group(), object.kind());
        let namespaced = !object.namespace().is_empty();
        let (white, black, denied) = if namespaced {
            ("namespaceResourceWhitelist", "namespaceResourceBlacklist", &self.namespace_blacklist)
        } else {
            ("clusterResourceWhitelist", "clusterResourceBlacklist", &self.cluster_blacklist)
        };
        let name = (!namespaced).then(|| object.name());
        let remedy = if super::is_in(denied, group, kind, name) {
            format!("`spec.{black}` lists it")
        } else {
            format!("add {entry} to `spec.{white}`")
        };
        Denied::Kind { project: self.name.clone(), object: object.id().to_string(), remedy }
    }
}
