//! Argo CD's declarations as they lie in the root: [`Application`], [`AppProject`] and cluster Secrets. Pure: objects
//! in, typed data out.
//!
//! [`find`] is the entry point. What one object gets wrong is an error of that object; the others are read all the
//! same.

mod cluster;
pub mod controls;
pub mod depends;
mod fields;
pub mod lookup;
mod permit;
pub mod project;
pub mod settings;
pub mod skip;
mod source;

pub use cluster::{AwsAuth, ClusterSecret};
pub use permit::ProjectPermissions;
pub use project::{AppProject, ClusterName, Projects};
pub use source::{Directory, Kustomize, Replica, Source, same_repository};

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use slipway_gitops::argocd_cm::Overrides;
use slipway_gitops::prune_guard::Propagation;
use slipway_manifest::Object;
use slipway_manifest::names::{Form, NameError};

use crate::notify::subscribe;
use controls::OptionProblem;
use fields::Fields;
use lookup::Namespaces;
use settings::Settings;

/// The finalizer by which deleting an Application deletes its objects, and what they own before them.
const FINALIZER: &str = "resources-finalizer.argocd.argoproj.io";
const FOREGROUND_FINALIZER: &str = "resources-finalizer.argocd.argoproj.io/foreground";
/// As [`FINALIZER`], but what they own goes later.
const BACKGROUND_FINALIZER: &str = "resources-finalizer.argocd.argoproj.io/background";
/// Prefix of Argo CD's own labels, annotations and finalizers, with its API group.
const GROUP: &str = "argoproj.io";

/// Why a declaration can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// A field holds a value of another type.
    #[error("{object}: `{field}` must be {expected}, found {found}")]
    WrongType {
        /// `Application.argoproj.io/argocd/web`.
        object: String,
        /// Path of the field.
        field: String,
        /// What it must be, for example `a string`.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A field that must be there is missing or empty.
    #[error("{object}: `{field}` is missing or empty")]
    Missing {
        /// The object.
        object: String,
        /// Path of the field.
        field: String,
    },
    /// Fields that are there contradict each other.
    #[error("{object}: {problem}")]
    Invalid {
        /// The object.
        object: String,
        /// What is wrong, and with which field.
        problem: String,
    },
    /// A text that must be a name is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Something that Argo CD has and Slipway has not, yet.
    #[error("{object}: `{field}` is not supported yet")]
    NotSupported {
        /// The object.
        object: String,
        /// The field, or what it asks for.
        field: String,
    },
    /// The same Application, project or cluster twice.
    #[error("{object}: declared twice; only the first is used")]
    Duplicate {
        /// The object.
        object: String,
    },
}

/// An Argo CD Application.
#[derive(Debug, Clone, PartialEq)]
pub struct Application {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`; empty where the manifest leaves it to the apply.
    pub namespace: String,
    /// `spec.project`, `default` where it is missing.
    pub project: String,
    /// `spec.source`.
    pub source: Source,
    /// `spec.destination`.
    pub destination: Destination,
    /// `spec.syncPolicy`.
    pub sync_policy: SyncPolicy,
    /// `spec.ignoreDifferences`, as it is written.
    pub ignore_differences: Vec<Value>,
    /// `slipway.dev/lookup-namespaces`.
    pub lookup_namespaces: Namespaces,
    /// `metadata.finalizers`: with `resources-finalizer.argocd.argoproj.io` the deletion cascades.
    pub finalizers: Vec<String>,
    /// Whether it is left alone: `argocd.argoproj.io/skip-reconcile`.
    pub is_skipped: bool,
    /// Fields that Slipway does not know: kept in [`Application::object`] and told to the user.
    pub warnings: Vec<String>,
    /// The whole manifest.
    pub object: Object,
}

/// Where an Application's objects go. One of `server` and `name` is set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Destination {
    /// URL of the API server.
    pub server: String,
    /// Name of the cluster, for example `in-cluster`.
    pub name: String,
    /// Namespace of objects that name none; may be empty.
    pub namespace: String,
}

/// When and how an Application is synced.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SyncPolicy {
    /// `automated`; without it nothing is synced by itself.
    pub automated: Option<Automated>,
    /// `syncOptions`, each `Key=value`.
    pub sync_options: Vec<String>,
    /// `retry`.
    pub retry: Option<Retry>,
    /// Labels of a namespace that the sync creates.
    pub namespace_labels: BTreeMap<String, String>,
    /// Annotations of a namespace that the sync creates.
    pub namespace_annotations: BTreeMap<String, String>,
}

/// `syncPolicy.automated`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the fields of the manifest")]
pub struct Automated {
    /// Whether objects that left Git are deleted.
    pub prune: bool,
    /// Whether changes in the cluster are undone.
    pub self_heal: bool,
    /// Whether a sync may leave nothing.
    pub allow_empty: bool,
    /// `enabled: false` switches automated sync off while the rest stays written.
    pub enabled: bool,
}

/// `syncPolicy.retry`, durations as written (`5s`, `3m`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retry {
    /// Attempts; negative is endless.
    pub limit: i64,
    /// `backoff.duration`.
    pub duration: Option<String>,
    /// `backoff.factor`.
    pub factor: Option<i64>,
    /// `backoff.maxDuration`.
    pub max_duration: Option<String>,
}

/// What [`find`] finds.
#[derive(Debug, Clone, Default)]
pub struct AppManifests {
    /// Applications, in the order of the objects.
    pub applications: Vec<Application>,
    /// Clusters by Secret.
    pub clusters: Vec<ClusterSecret>,
    /// Projects by name.
    pub projects: BTreeMap<String, AppProject>,
    /// What `argocd-cm` says about kinds.
    pub overrides: Overrides,
    /// What `argocd-cm` restricts.
    pub settings: Settings,
    /// Declarations that can't be used.
    pub errors: Vec<AppError>,
    /// Declarations that are not looked at yet.
    pub warnings: Vec<String>,
}

/// The declarations among the objects that the root renders to. Kinds that are not Argo CD's are passed over.
pub fn find(objects: &[Object]) -> AppManifests {
    let mut found = AppManifests::default();
    let mut names = BTreeSet::new();
    for object in objects {
        match (object.group(), object.kind()) {
            (GROUP, "Application") => match Application::from_object(object) {
                Ok(app) if names.insert((app.namespace.clone(), app.name.clone())) => found.applications.push(app),
                Ok(_) => found.errors.push(AppError::Duplicate { object: object.id().to_string() }),
                Err(error) => found.errors.push(error),
            },
            (GROUP, "AppProject") => found.add_project(object),
            (GROUP, "ApplicationSet") | ("argocd-image-updater.argoproj.io", "ImageUpdater") => {
                found.warnings.push(format!(
                    "{}: {} is not supported yet and has no effect",
                    object.id(),
                    object.kind()
                ));
            }
            ("", "ConfigMap") if object.name() == "argocd-cm" => {
                let empty = Map::new();
                let data = object.get("data").and_then(Value::as_object).unwrap_or(&empty);
                found.overrides = Overrides::from_config_map(data);
                found.settings = Settings::from_config_map(data);
                found.warnings.append(&mut found.overrides.problems);
            }
            ("", "ConfigMap") if object.name() == "argocd-notifications-cm" => {
                let empty = Map::new();
                let idle = subscribe::unsupported(object.get("data").and_then(Value::as_object).unwrap_or(&empty));
                if !idle.is_empty() {
                    let keys = idle.join(", ");
                    found.warnings.push(format!(
                        "ConfigMap argocd-notifications-cm: {keys} have no effect: messages have their own texts and \
                         times"
                    ));
                }
            }
            ("", "Secret") if cluster::is_cluster(object) => match ClusterSecret::from_object(object) {
                Ok(cluster) if found.clusters.iter().all(|known| !known.is_same(&cluster)) => {
                    found.warnings.extend(skip::without_effect(object));
                    found.clusters.push(cluster);
                }
                Ok(_) => found.errors.push(AppError::Duplicate { object: object.id().to_string() }),
                Err(error) => found.errors.push(error),
            },
            _ => {}
        }
    }
    found
}

/// Namespace and name of every Application among `objects`, usable or not.
pub fn application_manifests(objects: &[Object]) -> BTreeSet<(String, String)> {
    let is_application = |object: &&Object| (object.group(), object.kind()) == (GROUP, "Application");
    objects.iter().filter(is_application).map(identity).collect()
}

/// Namespace and name of an Application, with Argo CD's own namespace where it names none.
pub fn identity(object: &Object) -> (String, String) {
    let namespace = if object.namespace().is_empty() { project::CONTROL_NAMESPACE } else { object.namespace() };
    (namespace.to_owned(), object.name().to_owned())
}

impl AppManifests {
    /// Projects count only in Argo CD's own namespace, so that who may write to another can't make one.
    fn add_project(&mut self, object: &Object) {
        if !matches!(object.namespace(), "" | project::CONTROL_NAMESPACE) {
            let id = object.id();
            self.warnings.push(format!("{id}: an AppProject outside {} has no effect", project::CONTROL_NAMESPACE));
            return;
        }
        match AppProject::from_object(object) {
            Ok(project) if !self.projects.contains_key(&project.name) => {
                self.projects.insert(project.name.clone(), project);
            }
            Ok(_) => self.errors.push(AppError::Duplicate { object: object.id().to_string() }),
            Err(error) => self.errors.push(error),
        }
    }
}

impl Application {
    /// Reads an `argoproj.io/v1alpha1` Application.
    pub fn from_object(object: &Object) -> Result<Self, AppError> {
        let mut warnings = Vec::new();
        let id = object.id().to_string();
        if object.name().is_empty() {
            return Err(AppError::Missing { object: id, field: "metadata.name".to_owned() });
        }
        Form::Subdomain.check(&id, "metadata.name", object.name())?;
        if !object.namespace().is_empty() {
            Form::Label.check(&id, "metadata.namespace", object.namespace())?;
        }
        let lookup_namespaces = Namespaces::of(object, &id)?;
        let mut spec = Fields::of(object, &id).need_object("spec")?;
        for field in ["sources", "sourceHydrator"] {
            if spec.remove(field).is_some() {
                return Err(spec.not_supported(field));
            }
        }
        let source = Source::read(spec.need_object("source")?, &mut warnings)?;
        let destination = Destination::read(spec.need_object("destination")?, &mut warnings)?;
        let sync_policy = match spec.object("syncPolicy")? {
            Some(policy) => SyncPolicy::read(policy, &mut warnings)?,
            None => SyncPolicy::default(),
        };
        let project = spec.name("project", Form::Subdomain)?;
        let ignore_differences = spec.list("ignoreDifferences")?;
        spec.ignore(&["info", "revisionHistoryLimit"]);
        spec.finish(&mut warnings);
        let finalizers = match object.metadata() {
            Some(metadata) => Fields::new(metadata, &id, "metadata").texts("finalizers")?,
            None => Vec::new(),
        };
        let is_skipped = skip::read(object, &id, &mut warnings)?;
        Ok(Self {
            name: object.name().to_owned(),
            namespace: object.namespace().to_owned(),
            project: project.unwrap_or_else(|| "default".to_owned()),
            source,
            destination,
            sync_policy,
            ignore_differences,
            lookup_namespaces,
            finalizers,
            is_skipped,
            warnings,
            object: object.clone(),
        })
    }

    /// The annotation `key`.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.object.annotation(key)
    }

    /// What happens to what its objects own when deleting the Application deletes its objects; `None` where they stay
    /// (argoproj/argo-cd `pkg/apis/application/v1alpha1/types.go`, CascadedDeletion and GetPropagationPolicy).
    pub fn cascade(&self) -> Option<Propagation> {
        let has = |name: &str| self.finalizers.iter().any(|finalizer| finalizer == name);
        match () {
            () if has(BACKGROUND_FINALIZER) => Some(Propagation::Background),
            () if has(FINALIZER) || has(FOREGROUND_FINALIZER) => Some(Propagation::Foreground),
            () => None,
        }
    }

    /// Whether `syncOptions` hold `option`, for example `CreateNamespace=true`.
    pub fn has_sync_option(&self, option: &str) -> bool {
        self.sync_policy.sync_options.iter().any(|one| one == option)
    }

    /// The value of the annotation `argocd.argoproj.io/tracking-id` on an object of this Application:
    /// `web:apps/Deployment:shop/web`. An object without a namespace gets the destination's, also where its kind has
    /// none (argoproj/argo-cd `util/argo/resource_tracking.go`).
    pub fn tracking_id(&self, object: &Object) -> String {
        let namespace = if object.namespace().is_empty() { &self.destination.namespace } else { object.namespace() };
        format!("{}:{}/{}:{namespace}/{}", self.name, object.group(), object.kind(), object.name())
    }
}

impl Destination {
    fn read(mut fields: Fields<'_>, warnings: &mut Vec<String>) -> Result<Self, AppError> {
        let destination = Self {
            server: fields.text("server")?.unwrap_or_default(),
            name: fields.text("name")?.unwrap_or_default(),
            namespace: fields.name("namespace", Form::Label)?.unwrap_or_default(),
        };
        match (destination.server.is_empty(), destination.name.is_empty()) {
            (true, true) => return Err(fields.invalid("`spec.destination` needs `server` or `name`")),
            (false, false) => return Err(fields.invalid("`spec.destination` can't have both `server` and `name`")),
            _ => {}
        }
        fields.finish(warnings);
        Ok(destination)
    }
}

impl SyncPolicy {
    /// Whether a new revision is synced by itself.
    pub fn is_automated(&self) -> bool {
        self.automated.is_some_and(|automated| automated.enabled)
    }

    fn read(mut fields: Fields<'_>, warnings: &mut Vec<String>) -> Result<Self, AppError> {
        let mut policy = Self { sync_options: fields.texts("syncOptions")?, ..Self::default() };
        for option in &policy.sync_options {
            match controls::option_problem(option) {
                Some(OptionProblem::Value(values)) => {
                    let values = values.join(", ");
                    return Err(
                        fields.invalid(&format!("`spec.syncPolicy.syncOptions`: `{option}` must be one of {values}"))
                    );
                }
                Some(OptionProblem::Unknown) => {
                    warnings.push(fields.told(&format!("unknown sync option `{option}` has no effect")));
                }
                None => {}
            }
        }
        if let Some(mut automated) = fields.object("automated")? {
            policy.automated = Some(Automated {
                prune: automated.flag("prune")?.unwrap_or(false),
                self_heal: automated.flag("selfHeal")?.unwrap_or(false),
                allow_empty: automated.flag("allowEmpty")?.unwrap_or(false),
                enabled: automated.flag("enabled")?.unwrap_or(true),
            });
            automated.finish(warnings);
        }
        if let Some(mut retry) = fields.object("retry")? {
            let mut read = Retry { limit: retry.int("limit")?.unwrap_or(0), ..Retry::default() };
            if let Some(mut backoff) = retry.object("backoff")? {
                read.duration = backoff.text("duration")?;
                read.factor = backoff.int("factor")?;
                read.max_duration = backoff.text("maxDuration")?;
                backoff.finish(warnings);
            }
            retry.ignore(&["refresh"]);
            retry.finish(warnings);
            policy.retry = Some(read);
        }
        if let Some(mut metadata) = fields.object("managedNamespaceMetadata")? {
            policy.namespace_labels = metadata.pairs("labels")?;
            policy.namespace_annotations = metadata.pairs("annotations")?;
            metadata.finish(warnings);
        }
        fields.finish(warnings);
        Ok(policy)
    }
}

#[cfg(test)]
mod tests;
