//! Reads Argo CD's declarations in the root: [`Application`], [`AppProject`] and cluster Secrets. Pure: objects in,
//! typed data out.
//!
//! [`find`] is the entry point. A mistake in one object is an error of that object; the others are read all the same.

mod cluster;
pub mod controls;
pub mod depends;
mod fields;
pub mod lookup;
mod permit;
pub mod project;
pub mod repository;
pub mod settings;
pub mod skip;
mod source;

pub use cluster::{AwsAuth, ClusterSecret, IN_CLUSTER_NAME, IN_CLUSTER_SERVER, is_cluster, secret_text};
pub use permit::ProjectPermissions;
pub use project::{AppProject, ClusterName, Projects, Undeclared};
pub use source::{Directory, Jsonnet, JsonnetVariable, Kustomize, Replica, Source, same_repository};

use std::collections::{BTreeMap, BTreeSet};

use crate::argocd_cm::Overrides;
use crate::prune_guard::Propagation;
use serde_json::{Map, Value};
use slipway_manifest::Object;
use slipway_manifest::names::{Form, NameError};

use controls::OptionProblem;
use fields::Fields;
use lookup::Namespaces;
use repository::RepositorySecret;
use settings::Settings;

/// The finalizer by which deleting an Application deletes its objects, and before them their dependents.
pub const FINALIZER: &str = "resources-finalizer.argocd.argoproj.io";
const FOREGROUND_FINALIZER: &str = "resources-finalizer.argocd.argoproj.io/foreground";
/// Like [`FINALIZER`], but dependents are deleted afterwards.
const BACKGROUND_FINALIZER: &str = "resources-finalizer.argocd.argoproj.io/background";
/// Prefix of Argo CD's own labels, annotations and finalizers, with its API group.
const GROUP: &str = "argoproj.io";

/// Why a declaration can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// A field has a value of another type.
    #[error("{object}: `{field}` must be {expected}, found {found}")]
    WrongType {
        /// `Application.argoproj.io/argocd/web`.
        object: String,
        /// Path of the field.
        field: String,
        /// The expected type, for example `a string`.
        expected: &'static str,
        /// The type found.
        found: &'static str,
    },
    /// A required field is missing or empty.
    #[error("{object}: `{field}` is missing or empty")]
    Missing {
        /// The object.
        object: String,
        /// Path of the field.
        field: String,
    },
    /// Fields contradict each other.
    #[error("{object}: {problem}")]
    Invalid {
        /// The object.
        object: String,
        /// The problem, with the field's path.
        problem: String,
    },
    /// A text that must be a name is not valid.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A feature of Argo CD that Slipway does not have yet.
    #[error("{object}: `{field}` is not supported yet")]
    NotSupported {
        /// The object.
        object: String,
        /// The field, or the feature that it asks for.
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
    /// `spec.source`; of `spec.sources` the first that has manifests.
    pub source: Source,
    /// `spec.sources`; empty where there are none.
    pub sources: Vec<Source>,
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
    /// Whether it is skipped: `argocd.argoproj.io/skip-reconcile`.
    pub is_skipped: bool,
    /// Unknown fields: kept in [`Application::object`] and reported to the user.
    pub warnings: Vec<String>,
    /// The whole manifest.
    pub object: Object,
}

/// The destination of an Application. Either `server` or `name` is set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Destination {
    /// URL of the API server.
    pub server: String,
    /// Name of the cluster, for example `in-cluster`.
    pub name: String,
    /// Namespace of objects without one; may be empty.
    pub namespace: String,
}

/// `spec.syncPolicy` of an Application.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SyncPolicy {
    /// `automated`; without it every sync is manual.
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
    /// Whether objects that were removed from Git are deleted.
    pub prune: bool,
    /// Whether out-of-band changes are undone.
    pub self_heal: bool,
    /// Whether a prune may remove the last object.
    pub allow_empty: bool,
    /// `enabled: false` turns automated sync off while the other fields stay.
    pub enabled: bool,
}

/// `syncPolicy.retry`, durations as written (`5s`, `3m`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retry {
    /// Retries; unlimited where negative.
    pub limit: i64,
    /// `backoff.duration`.
    pub duration: Option<String>,
    /// `backoff.factor`.
    pub factor: Option<i64>,
    /// `backoff.maxDuration`.
    pub max_duration: Option<String>,
}

/// The manifests that [`find`] found.
#[derive(Debug, Clone, Default)]
pub struct AppManifests {
    /// Applications, in the order of the objects.
    pub applications: Vec<Application>,
    /// Clusters that Secrets declare.
    pub clusters: Vec<ClusterSecret>,
    /// Credentials of repositories.
    pub repositories: Vec<RepositorySecret>,
    /// PEM of the authorities of hosts, by host: the ConfigMap `argocd-tls-certs-cm`.
    pub certificates: BTreeMap<String, String>,
    /// Projects by name.
    pub projects: BTreeMap<String, AppProject>,
    /// Settings per kind of `argocd-cm`.
    pub overrides: Overrides,
    /// Restrictions of `argocd-cm`.
    pub settings: Settings,
    /// Declarations that can't be used.
    pub errors: Vec<AppError>,
    /// Declarations that are not supported yet.
    pub warnings: Vec<String>,
    /// The data of the ConfigMap `argocd-notifications-cm`.
    pub notifications: Map<String, Value>,
}

/// Finds the declarations among the rendered objects of the root. Kinds that are not Argo CD's are ignored.
pub fn find(objects: &[Object]) -> AppManifests {
    let mut found = AppManifests::default();
    let mut names = BTreeSet::new();
    for object in objects {
        match (object.group(), object.kind()) {
            (GROUP, "Application") => match Application::from_object(object) {
                Ok(app) if names.insert(identity(object)) => found.applications.push(app),
                Ok(_) => found.errors.push(AppError::Duplicate { object: object.id().to_string() }),
                Err(error) => found.errors.push(error),
            },
            (GROUP, "AppProject") => found.add_project(object),
            (GROUP, "ApplicationSet") => {
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
                let data = object.get("data").and_then(Value::as_object);
                found.notifications = data.cloned().unwrap_or_default();
            }
            ("", "Secret") if is_cluster(object) => match ClusterSecret::from_object(object) {
                Ok(cluster) if found.clusters.iter().all(|known| !known.is_same(&cluster)) => {
                    found.warnings.extend(skip::without_effect(object));
                    found.clusters.push(cluster);
                }
                Ok(_) => found.errors.push(AppError::Duplicate { object: object.id().to_string() }),
                Err(error) => found.errors.push(error),
            },
            ("", "Secret") if repository::is_repository_secret(object) => match RepositorySecret::from_object(object) {
                Ok(secret) => {
                    found.warnings.extend(secret.refused.clone());
                    found.repositories.push(secret);
                }
                Err(error) => found.errors.push(error),
            },
            ("", "ConfigMap") if object.name() == repository::CERTIFICATES => {
                let data = object.get("data").and_then(Value::as_object).into_iter().flatten();
                let text = |(host, pem): (&String, &Value)| Some((host.to_ascii_lowercase(), pem.as_str()?.to_owned()));
                found.certificates = data.filter_map(text).collect();
            }
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

/// Namespace and name of an Application; Argo CD's own namespace where it has none.
pub fn identity(object: &Object) -> (String, String) {
    let namespace = if object.namespace().is_empty() { project::CONTROL_NAMESPACE } else { object.namespace() };
    (namespace.to_owned(), object.name().to_owned())
}

impl AppManifests {
    /// Projects count only in Argo CD's own namespace, so that writers of other namespaces can't declare one.
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

/// `object` with the source of its `sourceHydrator` that is not rendered yet, where it has one: the branch to which
/// Argo CD writes what that renders to is not looked at.
fn dry_source(object: &Object, id: &str) -> Result<Option<Object>, AppError> {
    let Some(mut hydrator) = Fields::of(object, id).need_object("spec")?.object("sourceHydrator")? else {
        return Ok(None);
    };
    hydrator.need_object("drySource")?;
    let mut value = object.to_value();
    let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) else { return Ok(None) };
    let dry = spec.shift_remove("sourceHydrator").and_then(|hydrator| hydrator.get("drySource").cloned());
    spec.insert("source".to_owned(), dry.unwrap_or_default());
    Ok(Object::from_value(value).ok())
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
        let dry = dry_source(object, &id)?;
        let object = dry.as_ref().unwrap_or(object);
        let mut spec = Fields::of(object, &id).need_object("spec")?;
        let listed = spec.objects("sources")?.into_iter().map(|source| Source::read(source, &mut warnings));
        let sources = listed.collect::<Result<Vec<_>, _>>()?;
        source::check_list(&sources).map_err(|problem| spec.invalid(&problem))?;
        let source = match sources.iter().find(|source| !source.is_only_reference()).or(sources.first()) {
            // As in Argo CD, `source` has no effect beside `sources`.
            Some(first) => {
                spec.ignore(&["source"]);
                first.clone()
            }
            None => Source::read(spec.need_object("source")?, &mut warnings)?,
        };
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
            sources,
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

    /// `spec.sources`, or the one source of `spec.source`.
    pub fn all_sources(&self) -> &[Source] {
        if self.sources.is_empty() { std::slice::from_ref(&self.source) } else { &self.sources }
    }

    /// The place of the first source that has manifests among all sources.
    pub fn first_with_manifests(&self) -> usize {
        self.all_sources().iter().position(|source| self.has_manifests(source)).unwrap_or_default()
    }

    /// Whether `source`, one of this Application's, has manifests. One of `spec.sources` that has only a `ref` has
    /// none.
    pub fn has_manifests(&self, source: &Source) -> bool {
        self.sources.is_empty() || !source.is_only_reference()
    }

    /// The Application once for each source that has manifests, with that as its only `source`.
    pub fn per_source(&self) -> Vec<Self> {
        if self.sources.is_empty() {
            return vec![self.clone()];
        }
        let raw = self.object.pointer("/spec/sources").and_then(Value::as_array);
        let numbered = self.sources.iter().zip(raw.into_iter().flatten());
        let with_manifests = numbered.filter(|(source, _)| !source.is_only_reference());
        with_manifests
            .map(|(source, raw)| {
                let mut object = self.object.clone();
                if let Some(spec) = object.as_map_mut().get_mut("spec").and_then(Value::as_object_mut) {
                    spec.shift_remove("sources");
                    spec.insert("source".to_owned(), raw.clone());
                }
                Self { source: source.clone(), sources: Vec::new(), object, ..self.clone() }
            })
            .collect()
    }

    /// The value of the annotation `key`.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.object.annotation(key)
    }

    /// Propagation policy of the cascading deletion; `None` where deleting the Application keeps its objects
    /// (argoproj/argo-cd `pkg/apis/application/v1alpha1/types.go`, CascadedDeletion and GetPropagationPolicy).
    pub fn cascade(&self) -> Option<Propagation> {
        let has = |name: &str| self.finalizers.iter().any(|finalizer| finalizer == name);
        match () {
            () if has(BACKGROUND_FINALIZER) => Some(Propagation::Background),
            () if has(FINALIZER) || has(FOREGROUND_FINALIZER) => Some(Propagation::Foreground),
            () => None,
        }
    }

    /// Whether `syncOptions` contain `option`, for example `CreateNamespace=true`.
    pub fn has_sync_option(&self, option: &str) -> bool {
        self.sync_policy.sync_options.iter().any(|one| one == option)
    }

    /// The value of the annotation `argocd.argoproj.io/tracking-id` on an object of this Application:
    /// `web:apps/Deployment:shop/web`. An object without a namespace gets the destination's, also where its kind is
    /// cluster-scoped (argoproj/argo-cd `util/argo/resource_tracking.go`).
    pub fn tracking_id(&self, object: &Object) -> String {
        let namespace = if object.namespace().is_empty() { &self.destination.namespace } else { object.namespace() };
        format!("{}:{}/{}:{namespace}/{}", self.name, object.group(), object.kind(), object.name())
    }
}

impl Destination {
    fn read(mut fields: Fields<'_>, warnings: &mut Vec<String>) -> Result<Self, AppError> {
        let (server, name) = (fields.text("server")?.unwrap_or_default(), fields.text("name")?.unwrap_or_default());
        // A pattern of AppProjects. Argo CD takes it here, too, and no object can lie in it.
        let namespace = if fields.text("namespace")?.as_deref() == Some("*") {
            let advice = "`spec.destination.namespace` `*` is no namespace: each object has to name its own";
            warnings.push(fields.prefixed(advice));
            String::new()
        } else {
            fields.name("namespace", Form::Label)?.unwrap_or_default()
        };
        let destination = Self { server, name, namespace };
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
    /// Whether a new revision is synced automatically.
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
                    warnings.push(fields.prefixed(&format!("unknown sync option `{option}` has no effect")));
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
