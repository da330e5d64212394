//! Checks the Applications of a tree without a cluster: what Slipway would refuse, and what it would have to fetch.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use slipway_budget::Budget;
use slipway_gitops::normalize::Normalizer;
use slipway_helm::argo;
use slipway_manifest::{NodeKind, Object, names};

use super::declared::DeclaredIn;
use super::repositories::{Availability, Repositories, Unavailable, Unrendered, Wanted};
use super::tracked::NO_MANIFESTS;
use super::tree::{ApplicationTree, TreeApplication};
use crate::app::depends::{self, DependsError};
use crate::app::project::Denied;
use crate::app::{Application, IN_CLUSTER_SERVER, ProjectPermissions, Source};
use crate::error::chain;
use crate::notify::subscribe::Subscriptions;
use crate::render::{self, Context};
use crate::source::helm_repository::{ChartError, HelmChart};

/// Refused objects of one Application that are named.
const MAX_TOLD: usize = 5;

/// Whether an Application can be deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It can.
    Ok,
    /// Nothing is known to be wrong, and something is not at hand.
    Needs,
    /// It can't.
    Refused,
}

/// What came of the check of one Application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedApplication {
    /// Namespace and name.
    pub identity: (String, String),
    /// Where it is declared.
    pub declared: DeclaredIn,
    /// Why it is refused.
    pub refused: Vec<String>,
    /// What is not at hand.
    pub needs: Vec<String>,
    /// What has no effect, or another than it seems.
    pub warnings: Vec<String>,
    /// What of it was not asked for yet.
    pub wanted: Wanted,
}

impl CheckedApplication {
    /// What the reasons come to.
    pub fn verdict(&self) -> Verdict {
        match (self.refused.is_empty(), self.needs.is_empty()) {
            (false, _) => Verdict::Refused,
            (true, false) => Verdict::Needs,
            (true, true) => Verdict::Ok,
        }
    }
}

/// What stands for the Applications of the ApplicationSets that could not be expanded: one of the set's own name each.
pub fn unexpanded(tree: &ApplicationTree) -> impl Iterator<Item = CheckedApplication> {
    tree.unexpanded.iter().map(|set| {
        let (missing, wrong) = if set.is_missing { (Some(&set.reason), None) } else { (None, Some(&set.reason)) };
        CheckedApplication {
            identity: set.identity.clone(),
            declared: set.declared.clone(),
            refused: wrong.into_iter().cloned().collect(),
            needs: missing.into_iter().cloned().collect(),
            warnings: Vec::new(),
            wanted: Wanted::default(),
        }
    })
}

/// The mistakes in the dependencies of the tree's Applications, by namespace and name.
pub fn dependencies(tree: &ApplicationTree) -> BTreeMap<(String, String), DependsError> {
    let apps: Vec<&Application> = tree.applications.iter().filter_map(|one| one.app.as_ref().ok()).collect();
    let orders = depends::order(&apps);
    let wrong =
        apps.iter().zip(orders).filter_map(|(app, order)| Some((crate::app::identity(&app.object), order.err()?)));
    wrong.collect()
}

/// Checks one Application of `tree`: its fields, its project, its destination, its settings, and each of its sources,
/// which are rendered as far as they are at hand. A project that nothing declares is needed, not refused: Argo CD may
/// have it from elsewhere.
pub fn check(
    one: &TreeApplication,
    tree: &ApplicationTree,
    repositories: &Repositories,
    budget: &Budget,
) -> CheckedApplication {
    let mut checked = CheckedApplication {
        identity: one.identity.clone(),
        declared: one.declared.clone(),
        refused: Vec::new(),
        needs: Vec::new(),
        warnings: Vec::new(),
        wanted: Wanted::default(),
    };
    let app = match &one.app {
        Ok(app) => app,
        Err(error) => {
            checked.refused.push(chain(error));
            return checked;
        }
    };
    if one.is_assumed {
        checked
            .needs
            .push("a cluster that its ApplicationSet selects: no Secret that was read declares one".to_owned());
    }
    checked.warnings.extend(app.warnings.iter().cloned());
    checked.warnings.extend(Subscriptions::of(&app.object).ignored);
    let permit = ProjectPermissions::of(app, &tree.projects, &tree.manifests.clusters);
    checked.project(app, tree, repositories, &permit, one.is_assumed);
    if let Err(error) = Normalizer::new(&app.ignore_differences, &tree.manifests.overrides) {
        checked.refused.push(chain(&error));
    }
    for source in &app.sources {
        if source.reference.is_some() {
            checked.reference(source, repositories);
        }
    }
    let sources = app.per_source();
    if sources.is_empty() {
        checked.refused.push(NO_MANIFESTS.to_owned());
    }
    for source in sources {
        checked.source(app, &source, tree, repositories, &permit, budget);
    }
    checked
}

impl CheckedApplication {
    fn project(
        &mut self,
        app: &Application,
        tree: &ApplicationTree,
        repositories: &Repositories,
        permit: &ProjectPermissions,
        is_assumed: bool,
    ) {
        if !tree.projects.is_known(&app.project) {
            self.needs.push(format!("AppProject `{}`: nothing that was read declares it", app.project));
        }
        let is_resolved = !permit.cluster.server.is_empty() && !is_assumed;
        if let Some(denied) = permit.denied.as_ref().filter(|denied| is_resolved || !is_destination(denied)) {
            self.refused.push(denied.to_string());
        }
        self.refused.extend(repositories.refused_name(app, permit).map(|denied| denied.to_string()));
        let namespace = &app.destination.namespace;
        if app.has_sync_option("CreateNamespace=true") && !namespace.is_empty() && permit.denied.is_none() {
            self.refused.extend(permit.refused_namespace(namespace).map(|denied| denied.to_string()));
        }
        let is_here = permit.cluster.server.trim_end_matches('/') == IN_CLUSTER_SERVER;
        if !is_here && tree.manifests.clusters.iter().all(|known| !known.is_at(&permit.cluster.server)) {
            let name = if permit.cluster.name.is_empty() { &permit.cluster.server } else { &permit.cluster.name };
            self.needs.push(format!("cluster `{name}`: no Secret that was read declares it"));
        }
    }

    fn reference(&mut self, source: &Source, repositories: &Repositories) {
        match repositories.get(source) {
            Availability::Here(_) => {}
            Availability::Missing((url, revision)) => self.needs.push(format!("repository {url} at {revision}")),
            Availability::Unavailable(reason) => self.unavailable(reason),
        }
    }

    /// A repository that can't be read: on another host it may be there all the same.
    fn unavailable(&mut self, reason: Unavailable) {
        match reason {
            Unavailable::Elsewhere(reason) => self.needs.push(reason),
            Unavailable::Unsupported(reason) | Unavailable::Failed(reason) => self.refused.push(reason),
        }
    }

    fn source(
        &mut self,
        whole: &Application,
        app: &Application,
        tree: &ApplicationTree,
        repositories: &Repositories,
        permit: &ProjectPermissions,
        budget: &Budget,
    ) {
        let source = &app.source;
        self.value_files(whole, source, repositories);
        if let Some(name) = &source.chart {
            let chart = HelmChart::new(&source.repo_url, name).map_err(Unrendered::Chart);
            let chart = chart.map(|chart| chart.of_project(&whole.project));
            let found = chart.and_then(|chart| repositories.chart(&chart, &source.target_revision).cloned());
            let (version, files) = match found {
                Ok(found) => found,
                Err(reason) => return self.unrendered(reason),
            };
            let Ok(references) = repositories.references(whole) else { return };
            let (build, budget) = (tree.build, budget.unused());
            let context = Context { revision: version, build, budget, references, ..Context::default() };
            match repositories.render_offline(&files.tree, app, &context, permit) {
                Ok(rendered) => {
                    self.warnings.extend(rendered.warnings);
                    self.objects(app, &rendered.objects, permit);
                }
                Err(reason) => self.unrendered(reason),
            }
            return;
        }
        let checkout = match repositories.get(source) {
            Availability::Here(checkout) => checkout,
            Availability::Missing((url, revision)) => {
                self.needs.push(format!("repository {url} at {revision}"));
                return;
            }
            Availability::Unavailable(reason) => return self.unavailable(reason),
        };
        // What is missing is told already.
        let Ok(references) = repositories.references(whole) else { return };
        let context = Context {
            revision: checkout.sha.clone(),
            build: tree.build,
            budget: budget.unused(),
            references,
            ..Context::default()
        };
        if let Ok(kind) = render::source_type(&checkout.tree, source) {
            self.refused.extend(permit.refused_tool(kind.tool()).map(|denied| denied.to_string()));
        }
        if let Err(error) = checkout.special.check_folder(&source.path) {
            return self.refused.push(chain(&error));
        }
        match repositories.render_offline(&checkout.tree, app, &context, permit) {
            Ok(rendered) => {
                self.warnings.extend(rendered.warnings);
                self.refused.extend(checkout.special.check_files(&rendered.files).err().map(|error| chain(&error)));
                self.objects(app, &rendered.objects, permit);
            }
            Err(reason) => self.unrendered(reason),
        }
    }

    /// Why a source could not be rendered. A repository that can't be reached from here may be reached elsewhere.
    fn unrendered(&mut self, reason: Unrendered) {
        match reason {
            Unrendered::Missing(wanted) => {
                self.needs.extend(wanted.names());
                self.wanted.extend(wanted);
            }
            Unrendered::Remote(reason) => self.needs.push(reason.reason().to_owned()),
            Unrendered::Chart(error @ ChartError::Fetch(_)) => self.needs.push(chain(&error)),
            Unrendered::Chart(error) => self.refused.push(chain(&error)),
            Unrendered::Denied(denied) => self.refused.push(denied.to_string()),
            Unrendered::Failed(error) if error.is_missing() => self.needs.push(chain(&error)),
            Unrendered::Failed(error) => self.refused.push(chain(&error)),
        }
    }

    /// Value files of other sources, for a chart that is not at hand itself.
    fn value_files(&mut self, whole: &Application, source: &Source, repositories: &Repositories) {
        let helm = source.helm.iter().filter(|_| source.chart.is_some());
        let flag = |helm: &Map<String, Value>, field: &str| helm.get(field).and_then(Value::as_bool).unwrap_or(false);
        let strict = helm.filter(|helm| !flag(helm, "ignoreMissingValueFiles"));
        let files = strict.filter_map(|helm| helm.get("valueFiles")?.as_array()).flatten();
        for file in files.filter_map(Value::as_str) {
            let Some((reference, path)) =
                argo::reference(file).filter(|(_, path)| !path.contains(['*', '?', '[', '$']))
            else {
                continue;
            };
            let named = whole.sources.iter().find(|one| one.reference.as_deref() == reference.strip_prefix('$'));
            let Some(named) = named else {
                self.refused.push(format!("value file `{file}`: none of `spec.sources` has that `ref`"));
                continue;
            };
            if let Availability::Here(checkout) = repositories.get(named)
                && !matches!(checkout.tree.kind(path), Ok(Some(NodeKind::File)))
            {
                self.refused.push(format!("value file `{file}`: there is no such file in {}", named.repo_url));
            }
        }
    }

    /// The rendered objects, under the rules of the project, where its destination is known. Of a kind that is not
    /// Kubernetes' own it is not known whether it has namespaces: such an object is refused where it would be either
    /// way.
    fn objects(&mut self, app: &Application, objects: &[Object], permit: &ProjectPermissions) {
        let mut refused = Vec::new();
        for object in objects {
            if let Err(error) = names::check(object) {
                refused.push(chain(&error));
                continue;
            }
            if permit.excluded(object).is_some() || permit.denied.is_some() {
                continue;
            }
            let is_own_group = !object.group().contains('.') || object.group().ends_with(".k8s.io");
            let (mut in_cluster, mut in_namespace) = (object.clone(), object.clone());
            in_cluster.metadata_mut().shift_remove("namespace");
            if object.namespace().is_empty() {
                in_namespace.set_namespace(app.destination.namespace.as_str());
            }
            let is_cluster_scoped = slipway_kustomize::is_cluster_scoped(object.api_version(), object.kind());
            let ways = match (is_cluster_scoped, is_own_group) {
                (true, _) => vec![in_cluster],
                (false, true) if !in_namespace.namespace().is_empty() => vec![in_namespace],
                _ => vec![in_cluster, in_namespace],
            };
            let denials: Vec<_> = ways.iter().filter_map(|object| permit.refusal(object)).collect();
            if denials.len() == ways.len() {
                refused.extend(denials.first().map(ToString::to_string));
            }
        }
        let more = refused.len().saturating_sub(MAX_TOLD);
        self.refused.extend(refused.into_iter().take(MAX_TOLD));
        if more > 0 {
            self.refused.push(format!("{more} more objects are refused"));
        }
    }
}

/// Whether the destination was denied: that of a cluster which nothing declares is judged when it is known.
fn is_destination(denied: &Denied) -> bool {
    matches!(denied, Denied::Destination { .. })
}
