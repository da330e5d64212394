//! Loads the root application folder (*app of apps*) at a commit. It is rendered like any source, so that it may itself
//! be a kustomization.

pub mod check;
pub mod declared;
pub mod environments;
pub mod fetch;
mod mentions;
pub mod places;
pub mod repositories;
mod sets;
mod settings;
pub mod tree;

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;
use slipway_budget::Budget;
use slipway_gitops::argocd_cm::Overrides;
use slipway_gitops::comparison::Rules;
use slipway_gitops::health::Checks;
use slipway_gitops::normalize::{NormalizeError, Normalizer};
use slipway_gitops::sync_status::{COMPARE_OPTIONS, CompareOptions};
use slipway_manifest::Object;

use crate::app::depends::{self, DependsError};
use crate::app::{self, Application, ClusterSecret, Destination, ProjectPermissions, Projects};
use crate::error::{Failure, chain};
use crate::notify::subscribe;
use crate::render::{self, BuildOptions, Context};
use crate::source::github::Checkout;
use crate::source::{Checkouts, Location, Repo};

/// An Application with its repository, project and dependencies resolved.
#[derive(Debug, Clone)]
pub struct ResolvedApplication {
    /// The Application itself.
    pub app: Application,
    /// The repository of its source.
    pub repo: Repo,
    /// Permissions of its project.
    pub permit: ProjectPermissions,
    /// Settings per kind of the root's `argocd-cm`.
    pub overrides: Arc<Overrides>,
    /// Kustomize's build options in the root's `argocd-cm`.
    pub build: BuildOptions,
    /// The root's commit.
    pub root: String,
    /// The applications that it waits for, or why they can't be resolved.
    pub after: Result<Vec<Arc<Dependency>>, DependsError>,
    /// Length of the longest chain of dependencies before it.
    pub depth: usize,
}

/// An Application of the same root that others depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// Name in tracking ids and messages.
    pub instance: String,
    /// Namespace and name.
    pub identity: (String, String),
    /// The repository of its source.
    pub repo: Repo,
    /// The tracked revision, where sync is automated.
    pub revision: Option<String>,
    /// The cluster that keeps its state.
    pub destination: Destination,
}

impl ResolvedApplication {
    /// Name in tracking ids and messages: Argo CD's InstanceName, `namespace_name` outside Argo CD's own namespace.
    pub fn instance(&self) -> String {
        match self.app.namespace.as_str() {
            "" | "argocd" => self.app.name.clone(),
            namespace => format!("{namespace}_{}", self.app.name),
        }
    }

    /// Namespace and name; Argo CD's own namespace where the manifest has none.
    pub fn identity(&self) -> (String, String) {
        app::identity(&self.app.object)
    }

    /// The tracked revision.
    pub fn revision(&self) -> &str {
        &self.app.source.target_revision
    }

    /// The comparison rules. An error where its `ignoreDifferences`, or the system's, are invalid.
    pub fn rules(&self) -> Result<Rules, NormalizeError> {
        Ok(Rules {
            normalizer: Normalizer::new(&self.app.ignore_differences, &self.overrides)?,
            options: self.app.annotation(COMPARE_OPTIONS).map(CompareOptions::parse).unwrap_or_default(),
        })
    }

    /// The health checks, those of `argocd-cm` included.
    pub fn checks(&self) -> Checks {
        Checks::new(Arc::clone(&self.overrides)).with_clock(running_time)
    }

    fn as_dependency(&self) -> Dependency {
        Dependency {
            instance: self.instance(),
            identity: self.identity(),
            repo: self.repo.clone(),
            revision: (self.is_automated() && !self.app.is_skipped).then(|| self.revision().to_owned()),
            destination: self.app.destination.clone(),
        }
    }

    /// Whether sync is automated.
    pub fn is_automated(&self) -> bool {
        self.app.sync_policy.is_automated()
    }

    /// What blocks an automated or `manual` sync at `now`: sync windows, or that they are invalid.
    pub fn blocked_by_window(&self, manual: bool, now: Timestamp) -> Option<String> {
        match self.permit.held(&self.app, manual, now, None) {
            Ok(held) => held.map(|held| held.to_string()),
            Err(error) => Some(format!("AppProject `{}`: {error}", self.app.project)),
        }
    }
}

/// Everything that the root declares.
#[derive(Debug)]
pub struct Root {
    /// The root's commit.
    pub checkout: Arc<Checkout>,
    /// The Applications, in the order of the files.
    pub members: Vec<ResolvedApplication>,
    /// The clusters that Secrets declare.
    pub clusters: Vec<ClusterSecret>,
    /// The projects.
    pub projects: Projects,
    /// Namespace and name of every Application in the root, usable or not.
    pub declared: BTreeSet<(String, String)>,
    /// Invalid declarations, one line each.
    pub problems: Vec<String>,
}

/// Loads the root at the head of its revision. A mistake in one Application is one of the problems; a root that can't
/// be rendered is an error.
pub async fn load(location: &Location, checkouts: &Checkouts) -> Result<Root, Failure> {
    let sha = checkouts.resolve(&location.url.repo, &location.revision).await;
    let sha = sha.map_err(|error| Failure::of(&error, error.is_retryable()))?;
    load_at(location, checkouts, &sha, None).await
}

/// Like [`load`], at the commit `sha`; the projects are those of that commit as of `today`.
pub async fn load_at(
    location: &Location,
    checkouts: &Checkouts,
    sha: &str,
    today: Option<&Projects>,
) -> Result<Root, Failure> {
    let repo = &location.url.repo;
    let failed = |error: crate::source::github::GithubError| Failure::of(&error, error.is_retryable());
    let checkout = checkouts.get(repo, sha).await.map_err(failed)?;
    checkout.special.check_folder(&location.path).map_err(|error| Failure::terminal(&error))?;
    let (files, path) = (Arc::clone(&checkout), location.path.clone());
    let work = move |budget: &Budget| {
        render::render_folder(&files.tree, &path, &Context { budget: budget.clone(), ..Context::default() })
    };
    let rendered = render::in_background(work).await.map_err(|error| Failure::terminal(&error))?;
    checkout.special.check_files(&rendered.files).map_err(|error| Failure::terminal(&error))?;
    let found = app::find(&rendered.objects);
    let projects = Projects::new(found.projects, found.settings);
    let projects = if let Some(today) = today { projects.as_of(today) } else { projects };
    let mut root = Root {
        checkout,
        members: Vec::new(),
        clusters: found.clusters,
        projects,
        declared: app::application_manifests(&rendered.objects),
        problems: Vec::new(),
    };
    root.problems.extend(found.errors.iter().map(|error| chain(error)));
    root.problems.extend(found.warnings);
    let idle = subscribe::unsupported(&found.notifications);
    if !idle.is_empty() {
        let keys = idle.join(", ");
        root.problems.push(format!(
            "ConfigMap argocd-notifications-cm: {keys} have no effect: messages have their own texts and times"
        ));
    }
    let overrides = Arc::new(found.overrides);
    let (build, without_effect) = build_options(&rendered.objects);
    for flag in without_effect {
        root.problems.push(format!("ConfigMap argocd-cm: `kustomize.buildOptions`: `{flag}` has no effect"));
    }
    for app in found.applications {
        if !app.sources.is_empty() {
            root.problems.push(format!("{}: `spec.sources` is not supported yet", app.object.id()));
            continue;
        }
        let permit = ProjectPermissions::of(&app, &root.projects, &root.clusters);
        match app.source.repository() {
            Ok(url) if url.host == location.url.host => {
                let overrides = Arc::clone(&overrides);
                let root_sha = root.checkout.sha.clone();
                let (after, depth) = (Ok(Vec::new()), 0);
                let repo = url.repo;
                root.members.push(ResolvedApplication {
                    repo,
                    build,
                    app,
                    permit,
                    overrides,
                    root: root_sha,
                    after,
                    depth,
                });
            }
            Ok(url) => root.problems.push(format!(
                "{}: `spec.source.repoURL` is on {}, and only repositories on {} are supported yet",
                app.object.id(),
                url.host,
                location.url.host
            )),
            Err(error) => root.problems.push(format!("{}: `spec.source.repoURL`: {error}", app.object.id())),
        }
    }
    arrange(&mut root.members);
    Ok(root)
}

/// Resolves the dependencies of each application.
fn arrange(members: &mut [ResolvedApplication]) {
    let apps: Vec<&Application> = members.iter().map(|member| &member.app).collect();
    let order = depends::order(&apps);
    if order.iter().all(|before| before.as_ref().is_ok_and(|before| before.on.is_empty())) {
        return;
    }
    let siblings: Vec<Arc<Dependency>> = members.iter().map(|member| Arc::new(member.as_dependency())).collect();
    for (member, before) in members.iter_mut().zip(order) {
        member.depth = before.as_ref().map_or(0, |before| before.depth);
        member.after = before.map(|before| before.on.iter().filter_map(|at| siblings.get(*at).cloned()).collect());
    }
}

/// `kustomize.buildOptions` of `argocd-cm`, and those flags that have no effect.
fn build_options(objects: &[Object]) -> (BuildOptions, Vec<String>) {
    let is_settings =
        |object: &&Object| (object.group(), object.kind(), object.name()) == ("", "ConfigMap", "argocd-cm");
    let written = objects.iter().find(is_settings).and_then(|object| object.pointer("/data/kustomize.buildOptions"));
    BuildOptions::parse(written.and_then(Value::as_str).unwrap_or_default())
}
/// The time since the first call.
fn running_time() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}
