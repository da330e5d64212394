//! Loads the root (*app of apps*) at a commit: the tree of Applications that its places declare.

pub mod check;
pub mod clusters;
pub mod declared;
pub mod environments;
pub mod fetch;
pub mod first_manifest;
pub mod last_sync;
pub mod listings;
mod mentions;
mod order;
mod own_objects;
pub mod places;
pub mod repositories;
pub mod rolling;
mod sets;
mod settings;
pub mod tracked;
pub mod tree;
mod written_settings;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use slipway_appset::Need;
use slipway_gitops::argocd_cm::Overrides;
use slipway_gitops::comparison::Rules;
use slipway_gitops::health::Checks;
use slipway_gitops::normalize::{NormalizeError, Normalizer};
use slipway_gitops::sync_status::{COMPARE_OPTIONS, CompareOptions};
use slipway_manifest::{Object, ObjectId};

use crate::app::depends::DependsError;
use crate::app::{self, Application, ClusterSecret, ProjectPermissions, Projects};
use crate::error::{Class, Failure, chain};
use crate::notify::subscribe;
use crate::render::BuildOptions;
use crate::source::github::Checkout;
use crate::source::{Checkouts, Repo};
use declared::{DeclaredIn, Problem};
use fetch::Fetch;
use last_sync::RecordedStates;
use listings::Listings;
use places::RootPlaces;
use repositories::Repositories;
use tracked::TrackedSources;
use tree::MadeBySet;

/// An Application with its repositories, project and dependencies resolved.
#[derive(Debug, Clone)]
pub struct ResolvedApplication {
    /// The Application itself.
    pub app: Application,
    /// The repositories and revisions of its sources.
    pub tracked: TrackedSources,
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
    /// What the ApplicationSet that makes it says of it; `None` where a manifest declares it.
    pub set: Option<MadeBySet>,
    /// What GitHub listed for the ApplicationSet that makes it, where that was asked.
    pub listings: Option<Arc<Listings>>,
    /// Namespace and name of the Application that declares it, or its ApplicationSet; none where a place does.
    pub parent: Option<(String, String)>,
    /// What it declared to Argo CD when it was synced last, where only people sync it.
    pub synced_declarations: Option<Arc<BTreeMap<ObjectId, Object>>>,
    /// Where it is declared; `None` where a place of the root is the Application itself.
    pub declared: Option<DeclaredIn>,
}

/// An Application of the same root that others depend on.
#[derive(Debug, Clone)]
pub struct Dependency {
    /// Name in tracking ids and messages.
    pub instance: String,
    /// The Application, without its own dependencies.
    pub member: ResolvedApplication,
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

    /// Whether `name` is the Application's, or its namespace and name.
    pub fn is_named(&self, name: &str) -> bool {
        let (namespace, own) = self.identity();
        own == name || name.split_once('/') == Some((namespace.as_str(), own.as_str()))
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
        Dependency { instance: self.instance(), member: self.clone() }
    }

    /// Whether the `applicationsSync` of its ApplicationSet forbids to delete it.
    pub fn is_kept(&self) -> bool {
        self.set.as_ref().is_some_and(|set| !set.allowed.allows_delete())
    }

    /// Whether the `applicationsSync` of its ApplicationSet forbids to change it: it is as it was made first.
    pub fn keeps_first_manifest(&self) -> bool {
        self.set.as_ref().is_some_and(|set| !set.allowed.allows_update())
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
    /// The `ImageUpdater` resources, and Flux's image repositories, policies, automations and their repositories.
    pub image_updaters: Vec<Object>,
    /// Namespace and name of every Application in the root, usable or not.
    pub declared: BTreeSet<(String, String)>,
    /// Invalid declarations, one line each.
    pub problems: Vec<String>,
    /// The parts that could not be read: an Application that is in none of the others may stand there.
    pub incomplete: Vec<String>,
    /// Applications and ApplicationSets whose declarations are not known, because Slipway can't render or fetch them
    /// yet.
    pub unread: BTreeSet<String>,
    /// The commits that Applications are declared in.
    pub commits: BTreeSet<(Repo, String)>,
    /// What GitHub listed for ApplicationSets.
    pub looked_at: BTreeSet<Need>,
    /// What GitHub did not list, and may list later, each with the reason.
    pub unlisted: BTreeMap<Need, String>,
}

/// What a root is read with besides its repositories.
#[derive(Debug, Clone, Copy, Default)]
pub struct Then<'a> {
    /// Where the states are that tell what the children of Applications follow which only people sync; else they follow
    /// the heads of branches.
    pub recorded: Option<&'a dyn RecordedStates>,
    /// The projects of today, which count where they are still declared.
    pub projects: Option<&'a Projects>,
    /// What GitHub listed then.
    pub listings: Option<&'a Listings>,
}

impl Root {
    /// Whether the commit `sha` of `repo` declares Applications.
    pub fn is_declared_by(&self, repo: &Repo, sha: &str) -> bool {
        self.commits.contains(&(repo.clone(), sha.to_owned()))
    }
}

/// Loads the root at the head of its revision. A mistake in one Application is one of the problems; a root none of
/// whose places can be read is an error. Children of Applications that only people sync follow what was synced as the
/// states that are `recorded` say.
pub async fn load(
    root: &RootPlaces,
    checkouts: &Checkouts,
    recorded: Option<&dyn RecordedStates>,
) -> Result<Root, Failure> {
    let sha = checkouts.resolve(&root.location.url.repo, &root.location.revision).await;
    let sha = sha.map_err(|error| Failure::of(&error, error.is_retryable()))?;
    Box::pin(load_at(root, checkouts, &sha, Then { recorded, ..Then::default() })).await
}

/// Like [`load`], with the commit `sha` of the first place's repository wherever the tree names its branch, and with
/// what is given of the time of that commit.
pub async fn load_at(root: &RootPlaces, checkouts: &Checkouts, sha: &str, then: Then<'_>) -> Result<Root, Failure> {
    let RootPlaces { location, places, options } = root;
    let checkout = checkouts.get(&location.url.repo, sha).await;
    let checkout = checkout.map_err(|error| Failure::of(&error, error.is_retryable()))?;
    let fetch =
        Fetch { checkouts, host: &location.url.host, pinned: Some((location, &checkout)), recorded: then.recorded };
    let mut repositories = Repositories::of_host(&location.url.host);
    for (need, listing) in then.listings.into_iter().flat_map(Listings::iter) {
        repositories.insert_listing(need.clone(), Ok(listing.clone()));
    }
    let tree = Box::pin(fetch::read_tree(places, &mut repositories, options, Some(fetch))).await;
    let tree = tree.map_err(|error| Failure::terminal(&error))?;
    if let Some(unread) = tree.unread_places.first().filter(|_| tree.unread_places.len() == places.len()) {
        return Err(Failure { class: Class::Terminal, message: unread.clone() });
    }
    let mut problems: Vec<String> = tree.problems.iter().map(ToString::to_string).collect();
    let idle = subscribe::unsupported(&tree.manifests.notifications);
    if !idle.is_empty() {
        let keys = idle.join(", ");
        problems.push(format!(
            "ConfigMap argocd-notifications-cm: {keys} have no effect: messages have their own texts and times"
        ));
    }
    let mut own = own_objects::applications(&tree, places);
    problems.append(&mut own.problems);
    let projects =
        if let Some(today) = then.projects { tree.projects.clone().as_of(today) } else { tree.projects.clone() };
    let overrides = Arc::new(tree.manifests.overrides);
    let applications = tree.applications.iter().map(|one| &one.identity).chain(&tree.unsynced).cloned();
    let declared = applications.chain(own.applications.iter().map(|app| app::identity(&app.object))).collect();
    let (mut members, mut placed) = (Vec::new(), Vec::new());
    let member = |app: Application, mut permit: ProjectPermissions, declared| {
        permit.keeps_declarations = true;
        let (build, overrides, root) = (tree.build, Arc::clone(&overrides), checkout.sha.clone());
        let tracked = TrackedSources::of(&app, &location.url.host, permit.denied.is_some())?;
        Ok::<_, String>(ResolvedApplication {
            app,
            tracked,
            permit,
            overrides,
            build,
            root,
            after: Ok(Vec::new()),
            depth: 0,
            set: None,
            listings: None,
            parent: None,
            synced_declarations: None,
            declared,
        })
    };
    for app in own.applications {
        match member(app, ProjectPermissions::of_root(), None) {
            Ok(member) => {
                members.push(member);
                placed.push(order::OF_A_PLACE);
            }
            Err(problem) => problems.push(problem),
        }
    }
    let identities: Vec<(String, String)> = tree.applications.iter().map(|one| one.identity.clone()).collect();
    for one in tree.applications {
        let place = order::Place { parent: one.parent, rolls: one.rolls };
        let resolved = one.app.map_err(|error| chain(&error)).and_then(|app| {
            let permit = ProjectPermissions::of(&app, &projects, &tree.manifests.clusters);
            member(app, permit, Some(one.declared.clone()))
        });
        match resolved {
            Ok(member) => {
                let parent = one.parent.and_then(|at| identities.get(at).cloned());
                let (set, listings, synced_declarations) = (one.set, one.listings, one.synced_declarations);
                members.push(ResolvedApplication { set, listings, parent, synced_declarations, ..member });
                placed.push(place);
            }
            Err(problem) => problems.push(Problem::of(problem, Some(one.declared)).to_string()),
        }
    }
    order::arrange(&mut members, &placed, &tree.rolling, &overrides);
    let broken = tree.incomplete.into_iter().filter(|part| !part.is_missing).map(|part| part.reason);
    let missing = tree.missing.iter().map(|(url, revision)| format!("{url} at {revision} was not fetched"));
    let not_listed = tree.unlisted.iter().map(|need| format!("{} were not listed", listings::shown(need)));
    let incomplete = broken.chain(missing).chain(not_listed).collect();
    let (clusters, unread, commits) = (tree.manifests.clusters, tree.unread, tree.commits);
    Ok(Root {
        checkout,
        members,
        clusters,
        image_updaters: tree.image_updaters,
        projects,
        declared,
        problems,
        incomplete,
        unread,
        commits,
        looked_at: tree.looked_at,
        unlisted: repositories.unlisted(),
    })
}

/// The time since the first call.
fn running_time() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}
