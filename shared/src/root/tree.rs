//! Reads the tree of Applications (*app of apps*): what the places of the root declare, what the Applications among
//! that declare when they are rendered, and so on. Pure: repositories come in by argument, and what is missing of them
//! is part of the answer.
//!
//! One broken file, document or Application is the problem of that one: what can be read is used, and the tree says
//! where it is incomplete, so that nothing is deleted for being absent from it.
//!
//! What the places declare is trusted. What an Application declares counts only where its project and destination let
//! it write that object to Argo CD's own cluster, as Argo CD itself would be refused otherwise (argoproj/argo-cd
//! `docs/operator-manual/cluster-bootstrapping.md`: who may write Applications to Argo CD's namespace is an admin).

mod admit;
mod chart_settings;
mod expand;
mod manual;
mod source;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::{Map, Value};
use slipway_appset::{ApplicationsSync, Need};
use slipway_budget::Budget;
use slipway_manifest::{Object, ObjectId};

use super::declared::{DeclaredIn, Problem};
use super::listings::Listings;
use super::mentions::{self, Mentions};
use super::repositories::{Availability, Repositories, RepositoryRevision, Wanted};
use super::rolling::{DeletionOrder, RollingPlace, RollingSets};
use super::settings::{BUILD_OPTIONS, add_settings, build_options, is_argo_cd, is_in_cluster, may_write};
use crate::app::controls::Control;
use crate::app::project::{CONTROL_NAMESPACE, Denied, OPENSHIFT_NAMESPACE};
use crate::app::{self, AppError, AppManifests, Application, ClusterSecret, Projects, Undeclared};
use crate::error::chain;
use crate::render::BuildOptions;
use crate::source::Repo;
use crate::source::github::childless::SourceDigest;

/// Applications above another: deeper is a mistake, and would be a way to keep a function busy.
const MAX_DEPTH: usize = 16;
/// Sources that are rendered for what they declare.
const MAX_SOURCES: usize = 2_000;
/// Applications of a tree.
const MAX_APPLICATIONS: usize = 20_000;
/// Times that a tree is read because it declares settings that change how it is rendered.
const MAX_ROUNDS: usize = 3;

/// What the tree is read with, besides the places.
#[derive(Debug, Clone, Default)]
pub struct TreeOptions {
    /// Which projects allow everything though nothing declares them.
    pub undeclared: Undeclared,
    /// Keys of `argocd-cm` that the tree does not set itself.
    pub settings: Map<String, Value>,
    /// Cluster Secrets besides those of the tree.
    pub clusters: Vec<Object>,
    /// Whether an ApplicationSet that selects no known cluster gets one that is made up: its Applications can be
    /// checked, not deployed.
    pub assumes_clusters: bool,
}

/// An Application of the tree.
#[derive(Debug, Clone)]
pub struct TreeApplication {
    /// Namespace and name.
    pub identity: (String, String),
    /// The Application, or why its manifest can't be used.
    pub app: Result<Application, AppError>,
    /// Where it is declared.
    pub declared: DeclaredIn,
    /// The Application that declares it, in [`ApplicationTree::applications`]; none where a place does.
    pub parent: Option<usize>,
    /// Whether it is made for a cluster that is only assumed.
    pub is_assumed: bool,
    /// What the set that makes it says of it; `None` where a manifest declares it.
    pub set: Option<MadeBySet>,
    /// What GitHub listed for the set that makes it, where that was asked.
    pub listings: Option<Arc<Listings>>,
    /// What it declared when it was synced last, where only people sync it.
    pub synced_declarations: Option<Arc<BTreeMap<ObjectId, Object>>>,
    /// Its place in [`ApplicationTree::rolling`].
    pub rolls: Option<RollingPlace>,
    object: Object,
}

/// What an ApplicationSet says of an Application that it makes, once that is there.
#[derive(Debug, Clone)]
pub struct MadeBySet {
    /// `applicationsSync`
    pub allowed: ApplicationsSync,
    /// In which order its Applications are deleted, where it says so.
    pub deletion_order: Option<Arc<DeletionOrder>>,
}

/// An ApplicationSet whose Applications are not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnexpandedSet {
    /// Namespace and name.
    pub identity: (String, String),
    /// Where it is declared.
    pub declared: DeclaredIn,
    /// Why they are not known.
    pub reason: String,
    /// Whether only something is missing, which would have to be fetched.
    pub is_missing: bool,
}

/// A part of the tree that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncompletePart {
    /// The part, and why it could not be read.
    pub reason: String,
    /// Whether only something is missing that can't be fetched yet: of an Application or a set, which is
    /// [unread](ApplicationTree::unread) then.
    pub is_missing: bool,
}

/// Everything that the places declare.
#[derive(Debug, Default)]
pub struct ApplicationTree {
    /// The Applications: those of the places in the order of the files, then level by level.
    pub applications: Vec<TreeApplication>,
    /// Namespaces and names of Applications of which only the declaration counts: what declares them was never synced,
    /// or how they were made first is not known.
    pub unsynced: BTreeSet<(String, String)>,
    /// The Applications of which it counts what was synced last, which is not known yet.
    pub unread_states: Vec<Application>,
    /// Whether it counts which Applications declared others when they were synced last, and is not known yet.
    pub wants_parents: bool,
    /// Applications that stay as their sets made them first, of which that is not known yet.
    pub unread_first_manifests: BTreeSet<(String, String)>,
    /// Further declarations of the same Applications, with other content: they have no effect.
    pub duplicates: Vec<TreeApplication>,
    /// The ApplicationSets whose Applications are not known.
    pub unexpanded: Vec<UnexpandedSet>,
    /// The Applications and ApplicationSets that several places declare themselves, with the indices of the places.
    pub in_several_places: BTreeMap<String, BTreeSet<usize>>,
    /// Clusters, settings and notifications.
    pub manifests: AppManifests,
    /// The projects.
    pub projects: Projects,
    /// Kustomize's build options.
    pub build: BuildOptions,
    /// What the places hold besides Argo CD's own objects, with the index of the place.
    pub others: Vec<(usize, Object)>,
    /// Mistakes, one each.
    pub problems: Vec<Problem>,
    /// The parts that could not be read.
    pub incomplete: Vec<IncompletePart>,
    /// Applications and sets whose declarations are not known, because Slipway can't render or fetch them yet.
    pub unread: BTreeSet<String>,
    /// Repositories that are needed to read on.
    pub missing: BTreeSet<RepositoryRevision>,
    /// Remote bases and files, and charts, that are needed to read on.
    pub wanted: Wanted,
    /// What GitHub has to list to read on.
    pub unlisted: BTreeSet<Need>,
    /// What GitHub listed.
    pub looked_at: BTreeSet<Need>,
    /// The sources of other repositories that declare nothing, by the commit.
    pub childless: BTreeMap<String, BTreeSet<SourceDigest>>,
    /// The sets that sync their Applications step by step.
    pub rolling: RollingSets,
    /// The `ImageUpdater` resources, and Flux's image repositories, policies, automations and their repositories.
    pub image_updaters: Vec<Object>,
    /// Why places can't be read.
    pub unread_places: Vec<String>,
    /// The commits that were read.
    pub commits: BTreeSet<(Repo, String)>,
    /// The cluster Secrets, and those that ApplicationSets saw.
    secrets: [Vec<Object>; 2],
}

impl ApplicationTree {
    /// Whether states have to be read to read on.
    pub fn has_unread_states(&self) -> bool {
        self.wants_parents || !self.unread_states.is_empty() || !self.unread_first_manifests.is_empty()
    }
}

/// Reads what `places`, Applications themselves, declare at any depth.
pub fn read(
    places: &[Application],
    repositories: &Repositories,
    options: &TreeOptions,
    budget: &Budget,
) -> ApplicationTree {
    let (mut build, _) = BuildOptions::parse(options.settings.get(BUILD_OPTIONS).and_then(Value::as_str).unwrap_or(""));
    let mut secrets = Vec::new();
    let mut round = 1;
    loop {
        let tree = Loader::new(repositories, options, (build, secrets), budget).read(places);
        let [found, seen] = &tree.secrets;
        if tree.build == build && found == seen || round == MAX_ROUNDS {
            return tree;
        }
        (build, secrets) = (tree.build, found.clone());
        round += 1;
    }
}

/// An object of Argo CD that an Application declares, until it is clear whether that counts.
struct Held {
    object: Object,
    declared: DeclaredIn,
    parent: usize,
}

/// What an ApplicationSet says of the Applications that it makes.
#[derive(Clone, Default)]
struct Made {
    is_assumed: bool,
    set: Option<MadeBySet>,
    listings: Option<Arc<Listings>>,
    rolls: Option<RollingPlace>,
}

/// An ApplicationSet that counts.
struct DeclaredSet {
    object: Object,
    declared: DeclaredIn,
    parent: Option<usize>,
}

/// A file of an Application that can't be read, and may declare settings.
struct Unread {
    file: String,
    parent: Option<usize>,
    may_be_project: bool,
    may_be_settings: bool,
}

struct Loader<'a> {
    repositories: &'a Repositories,
    options: &'a TreeOptions,
    build: BuildOptions,
    budget: &'a Budget,
    /// The commits that places are read from.
    placed: BTreeSet<String>,
    childless: RefCell<BTreeMap<String, BTreeSet<SourceDigest>>>,
    /// The words of the files of each commit.
    mentions: RefCell<BTreeMap<String, Mentions<'a>>>,
    tree: ApplicationTree,
    known: BTreeMap<(String, String), usize>,
    /// AppProjects, Secrets and ConfigMaps that count, by kind, namespace and name.
    settings: BTreeMap<[String; 3], (Object, DeclaredIn)>,
    order: Vec<Object>,
    clusters: Vec<ClusterSecret>,
    /// ApplicationSets that are not expanded yet.
    sets: Vec<DeclaredSet>,
    /// Cluster Secrets that are known from an earlier reading.
    secrets: Vec<Object>,
    /// The cluster Secrets that ApplicationSets saw, where there are any.
    seen: Option<Vec<Object>>,
    held: Vec<Held>,
    unread: Vec<Unread>,
    queue: VecDeque<usize>,
    /// Applications of which it is not known whether their project permits what they name elsewhere.
    unpermitted: Vec<usize>,
    /// Whether a project that is not known by now is declared nowhere.
    is_open: bool,
    /// Applications that go to other clusters, as far as is known.
    elsewhere: Vec<usize>,
    sources: usize,
    own: Option<String>,
    /// Argo CD's own namespace.
    control: &'static str,
}

/// The source that is being rendered.
struct Origin<'a> {
    /// The Application with that source alone.
    app: &'a Application,
    /// The Application with all of its sources.
    whole: &'a Application,
    /// The Application that has the source; none for a place.
    parent: Option<usize>,
}

impl<'a> Loader<'a> {
    /// With the build options and the cluster Secrets that are known from an earlier reading.
    fn new(
        repositories: &'a Repositories,
        options: &'a TreeOptions,
        (build, secrets): (BuildOptions, Vec<Object>),
        budget: &'a Budget,
    ) -> Self {
        Self {
            repositories,
            options,
            build,
            budget,
            placed: BTreeSet::new(),
            childless: RefCell::default(),
            mentions: RefCell::default(),
            tree: ApplicationTree::default(),
            known: BTreeMap::new(),
            settings: BTreeMap::new(),
            order: Vec::new(),
            clusters: Vec::new(),
            sets: Vec::new(),
            secrets,
            seen: None,
            held: Vec::new(),
            unread: Vec::new(),
            queue: VecDeque::new(),
            unpermitted: Vec::new(),
            is_open: false,
            elsewhere: Vec::new(),
            sources: 0,
            own: None,
            control: CONTROL_NAMESPACE,
        }
    }

    fn read(mut self, places: &[Application]) -> ApplicationTree {
        self.own = places.first().map(|place| place.source.repo_url.clone());
        for secret in &self.options.clusters {
            let declared = DeclaredIn { path: "the settings".to_owned(), ..DeclaredIn::default() };
            self.add(secret.clone(), declared, None);
        }
        for (index, place) in places.iter().enumerate() {
            self.place(index, place);
        }
        loop {
            while let Some(at) = self.queue.pop_front() {
                self.follow(at);
            }
            let may_go_on =
                self.admit(false) || self.admit(true) || self.permit_again() || self.look_again() || self.expand();
            if !may_go_on {
                break;
            }
        }
        self.finish()
    }

    /// Reads what a place holds: all of it counts.
    fn place(&mut self, index: usize, place: &Application) {
        for app in place.per_source() {
            let origin = Origin { app: &app, whole: place, parent: None };
            let Some(rendered) = self.render(&origin, None) else { continue };
            self.recognise(&rendered.objects);
            for (object, file) in rendered.objects.into_iter().zip(rendered.origins) {
                let declared = self.declared(&origin, &file);
                if is_argo_cd(&object) {
                    if matches!(object.kind(), "Application" | "ApplicationSet") {
                        let name = format!("{} {}", object.kind(), label(&app::identity(&object)));
                        self.tree.in_several_places.entry(name).or_default().insert(index);
                    }
                    self.add(object, declared, None);
                } else {
                    self.note_unreadable(&object, &declared);
                    self.tree.others.push((index, object));
                }
            }
        }
    }

    /// Tells from the first objects of Argo CD that a place holds whether this is OpenShift's.
    fn recognise(&mut self, objects: &[Object]) {
        let is_in = |namespace: &str| objects.iter().any(|one| is_argo_cd(one) && one.namespace() == namespace);
        if self.known.is_empty() && self.order.is_empty() && is_in(OPENSHIFT_NAMESPACE) && !is_in(CONTROL_NAMESPACE) {
            self.control = OPENSHIFT_NAMESPACE;
        }
    }

    /// Renders an Application of the tree where that may declare something.
    fn follow(&mut self, at: usize) {
        let Some(TreeApplication { app: Ok(app), .. }) = self.tree.applications.get(at) else { return };
        if !is_in_cluster(app, &self.clusters) {
            self.elsewhere.push(at);
            return;
        }
        let is_as_today = app.sync_policy.is_automated() || self.repositories.last_syncs().is_none();
        if is_as_today && self.declares_nothing(app) {
            return;
        }
        let app = app.clone();
        let Some(whole) = self.as_synced(at, app) else { return };
        for app in whole.per_source() {
            let origin = Origin { app: &app, whole: &whole, parent: Some(at) };
            if chart_settings::is_argo_cd_chart(&app) {
                self.take_chart_settings(&origin, None, at);
            }
            if app.source.chart.is_some() || app.source.plugin.is_some() {
                self.tree.unread.insert(format!("Application {}", label(&app::identity(&whole.object))));
                continue;
            }
            if self.is_childless(&app) {
                continue;
            }
            let key = match self.repositories.get(&app.source) {
                Availability::Here(checkout) => chart_settings::dependency(&checkout.tree, &app),
                _ => None,
            };
            let may_declare = self.may_declare(&app);
            let rendered = if may_declare { self.render(&origin, Some(mentions::may_declare)) } else { None };
            let objects = rendered.as_ref().map(|rendered| rendered.objects.as_slice()).unwrap_or_default();
            if let Some(key) = key.filter(|_| !chart_settings::has_settings(objects)) {
                self.take_chart_settings(&origin, Some(&key), at);
            }
            let Some(rendered) = rendered else { continue };
            let namespace = match app.destination.namespace.as_str() {
                "" => "default",
                namespace => namespace,
            };
            for (mut object, file) in rendered.objects.into_iter().zip(rendered.origins) {
                if object.namespace().is_empty() {
                    object.set_namespace(namespace);
                }
                // Argo CD reads Secrets and ConfigMaps of its own namespace alone.
                let is_core = object.group().is_empty();
                let declared = self.declared(&origin, &file);
                self.note_unreadable(&object, &declared);
                if is_argo_cd(&object) && !(is_core && object.namespace() != self.control) {
                    self.note_synced(at, &object);
                    self.held.push(Held { object, declared, parent: at });
                }
            }
        }
    }

    /// Takes an object that counts.
    fn add(&mut self, mut object: Object, declared: DeclaredIn, parent: Option<usize>) {
        // Projects are looked for where Argo CD is as a rule.
        if object.kind() == "AppProject" && object.namespace() == self.control {
            object.set_namespace(CONTROL_NAMESPACE);
        }
        match object.kind() {
            "Application" => self.add_application(object, declared, parent, Made::default()),
            "ImageUpdater" | "ImageRepository" | "ImagePolicy" | "ImageUpdateAutomation" | "GitRepository" => {
                if object.namespace().is_empty() {
                    object.set_namespace(self.control);
                }
                let of = |one: &Object| (one.kind().to_owned(), one.namespace().to_owned(), one.name().to_owned());
                match self.tree.image_updaters.iter().find(|known| of(known) == of(&object)) {
                    None => self.tree.image_updaters.push(object),
                    Some(known) if *known == object => {}
                    Some(_) => {
                        let text = format!("{} is declared twice; only the first is used", object.id());
                        self.tree.problems.push(Problem::of(text, Some(declared)));
                    }
                }
            }
            _ => {
                let namespace = if object.namespace().is_empty() { self.control } else { object.namespace() };
                let key = [object.kind(), namespace, object.name()].map(str::to_owned);
                match self.settings.get(&key) {
                    Some((known, _)) if self.is_same(known, &object) => {}
                    Some((_, first)) => {
                        let text = twice(&object.id().to_string(), first, &declared);
                        self.tree.problems.push(Problem::of(text, Some(declared)));
                    }
                    None if object.kind() == "ApplicationSet" => {
                        self.settings.insert(key, (object.clone(), declared.clone()));
                        self.sets.push(DeclaredSet { object, declared, parent });
                    }
                    None => {
                        let cluster = (object.kind() == "Secret").then(|| ClusterSecret::from_object(&object));
                        self.clusters.extend(cluster.and_then(Result::ok));
                        self.order.push(object.clone());
                        self.settings.insert(key, (object, declared));
                    }
                }
            }
        }
    }

    fn add_application(&mut self, object: Object, declared: DeclaredIn, parent: Option<usize>, made: Made) {
        let Made { is_assumed, set, listings, rolls } = made;
        let identity = app::identity(&object);
        if self.waits_for_sync(&identity, &declared, parent) {
            return;
        }
        let rolling = &self.tree.rolling;
        let new = |object: Object, declared| {
            let (mut app, identity) = (Application::from_object(&object), identity.clone());
            if let (Some(place), Ok(app)) = (rolls, &mut app) {
                rolling.apply(place, app);
            }
            TreeApplication {
                identity,
                app,
                declared,
                parent,
                is_assumed,
                set,
                listings,
                synced_declarations: None,
                rolls,
                object,
            }
        };
        if let Some(first) = self.known.get(&identity).and_then(|at| self.tree.applications.get(*at)) {
            if !self.is_same(&first.object, &object) {
                let text = twice(&format!("Application {}", label(&identity)), &first.declared, &declared);
                self.tree.problems.push(Problem::of(text, Some(declared.clone())));
                self.tree.duplicates.push(new(object, declared));
            } else if let Some(cycle) = Self::cycle(&identity, &declared) {
                self.tree.problems.push(Problem::of(cycle, Some(declared)));
            }
            return;
        }
        let at = self.tree.applications.len();
        let too_many = if at >= MAX_APPLICATIONS {
            Some(format!("more than {MAX_APPLICATIONS} Applications"))
        } else if declared.chain.len() > MAX_DEPTH {
            Some(format!("more than {MAX_DEPTH} Applications above Application {}", label(&identity)))
        } else {
            None
        };
        if let Some(reason) = too_many {
            self.tree.problems.push(Problem::of(reason.clone(), Some(declared)));
            self.tree.incomplete.push(IncompletePart { reason, is_missing: false });
            return;
        }
        self.known.insert(identity.clone(), at);
        self.tree.applications.push(new(object, declared));
        self.queue.push_back(at);
    }

    /// Whether both are the same manifest; one without a namespace is in Argo CD's own.
    fn is_same(&self, one: &Object, other: &Object) -> bool {
        let full = |object: &Object| {
            let mut object = object.clone();
            if object.namespace().is_empty() {
                object.set_namespace(self.control);
            }
            object
        };
        one == other || one.name() == other.name() && full(one) == full(other)
    }

    /// The cycle that an Application makes which one below it declares. One that declares itself is none: many a
    /// folder holds the Application that deploys it.
    fn cycle(identity: &(String, String), declared: &DeclaredIn) -> Option<String> {
        let name = label(identity);
        let (_, above) = declared.chain.split_last()?;
        let start = above.iter().position(|one| *one == name)?;
        let chain = declared.chain.iter().skip(start).chain([&name]).map(String::as_str);
        Some(format!("circular Applications: {}", chain.collect::<Vec<_>>().join(" → ")))
    }

    /// Applications whose cluster turned out to be Argo CD's own.
    fn look_again(&mut self) -> bool {
        let (applications, clusters) = (&self.tree.applications, &self.clusters);
        let is_here = |at: &usize| {
            applications.get(*at).is_some_and(|one| one.app.as_ref().is_ok_and(|app| is_in_cluster(app, clusters)))
        };
        let (here, elsewhere): (Vec<usize>, _) = std::mem::take(&mut self.elsewhere).into_iter().partition(is_here);
        self.elsewhere = elsewhere;
        self.queue.extend(here);
        !self.queue.is_empty()
    }

    fn found_secrets(&self) -> Vec<Object> {
        self.order.iter().filter(|object| object.kind() == "Secret" && app::is_cluster(object)).cloned().collect()
    }

    fn finish(mut self) -> ApplicationTree {
        self.tree.childless = self.childless.take();
        self.tree.in_several_places.retain(|_, places| places.len() > 1);
        let secrets = self.found_secrets();
        self.tree.secrets = [secrets.clone(), self.seen.take().unwrap_or(secrets)];
        for held in std::mem::take(&mut self.held) {
            let project = self.tree.applications.get(held.parent).and_then(|parent| parent.app.as_ref().ok());
            let denied = Denied::Unknown(project.map(|app| app.project.clone()).unwrap_or_default());
            self.refuse(&held, &denied);
        }
        let mut objects = std::mem::take(&mut self.order);
        add_settings(&mut objects, &self.options.settings);
        let mut found = app::find(&objects);
        for error in &found.errors {
            self.tree.problems.push(Problem::of(chain(error), None));
        }
        for text in &found.warnings {
            self.tree.problems.push(Problem::warning(text.clone()));
        }
        let (build, without_effect) = build_options(&objects);
        for flag in without_effect {
            let text = format!("ConfigMap argocd-cm: `{BUILD_OPTIONS}`: `{flag}` has no effect");
            self.tree.problems.push(Problem::warning(text));
        }
        self.tree.build = build;
        let mut settings = found.settings.clone();
        settings.control_namespace = Some(self.control);
        let mut undeclared = self.options.undeclared;
        let projects = Projects::new(found.projects.clone(), settings.clone()).with_undeclared(undeclared);
        for unread in &self.unread {
            let parent = unread.parent.and_then(|at| self.tree.applications.get(at)?.app.as_ref().ok());
            let may = |kind: &str| may_write(parent, &projects, &found.clusters, (self.control, kind));
            if unread.may_be_settings && may("ConfigMap") {
                let remedy = "it can't be read, and may hold settings that restrict what is deployed: repair it";
                settings.controls.push(Control { field: unread.file.clone(), remedy: remedy.to_owned() });
            }
            if unread.may_be_project && may("AppProject") {
                undeclared = Undeclared::Denied;
            }
        }
        self.tree.projects = Projects::new(std::mem::take(&mut found.projects), settings).with_undeclared(undeclared);
        self.tree.manifests = found;
        self.tree
    }
}

fn label((namespace, name): &(String, String)) -> String {
    format!("{namespace}/{name}")
}

fn twice(what: &str, first: &DeclaredIn, second: &DeclaredIn) -> String {
    format!("{what} is declared twice, in {first} and in {second}: only the first is used; remove one of them")
}

#[cfg(test)]
mod tests;
