//! Holds the repositories at hand while the tree of Applications is read: who asks for another gets to know that it is
//! missing, and the caller fetches it and reads the tree again.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use slipway_appset::Need;
use slipway_gitops::location::without_credentials;
use slipway_kustomize::Remote;
use slipway_manifest::Tree;

use super::last_sync::LastSyncs;
use super::listings::Listing;
use super::mentions::Words;
use crate::app::project::Denied;
use crate::app::{Application, ProjectPermissions, Source};
use crate::error::chain;
use crate::render::{self, Context, MissingChart, RenderError, Rendered};
use crate::source::RepoUrl;
use crate::source::github::Checkout;
use crate::source::github::childless::SourceDigest;
use crate::source::helm_repository::{ChartError, ChartFiles, HelmChart};
use crate::source::remote::{RemoteFiles, refused};

/// A repository at a revision, as a source names it.
pub type RepositoryRevision = (RepoUrl, String);

/// What a kustomization names elsewhere, and the project of the Application.
pub type NamedRemote = (Remote, String);

/// What renders need that was not asked for yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Charts.
    pub charts: BTreeSet<ChartRevision>,
    /// Remote bases and files.
    pub remotes: BTreeSet<NamedRemote>,
}

impl Wanted {
    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.charts.is_empty() && self.remotes.is_empty()
    }

    /// The names of all that is wanted.
    pub fn names(&self) -> Vec<String> {
        let charts = self.charts.iter().map(|(chart, revision)| format!("chart {chart} {revision}"));
        charts.chain(self.remotes.iter().map(|(remote, _)| without_credentials(&remote.raw))).collect()
    }

    /// Adds what `other` has.
    pub fn extend(&mut self, other: Self) {
        self.charts.extend(other.charts);
        self.remotes.extend(other.remotes);
    }
}

/// A chart and its version, or a range, as a source or a dependency names it.
pub type ChartRevision = (HelmChart, String);

/// The version that a chart was resolved to, and its files.
pub type FetchedChart = (String, Arc<ChartFiles>);

/// Renders in a row that each need charts, before it is given up.
const MAX_ROUNDS: usize = 100;

/// The files of repositories at revisions, charts, and what GitHub lists.
#[derive(Debug, Clone, Default)]
pub struct Repositories {
    host: String,
    own: BTreeSet<RepoUrl>,
    local: Option<Arc<Checkout>>,
    fetched: BTreeMap<RepositoryRevision, Result<Arc<Checkout>, Unavailable>>,
    charts: BTreeMap<ChartRevision, Result<FetchedChart, ChartError>>,
    remotes: BTreeMap<NamedRemote, Result<RemoteFiles, Unavailable>>,
    /// By what kustomizations say.
    remote_words: BTreeMap<String, Words>,
    listings: BTreeMap<Need, Result<Listing, Unlisted>>,
    childless: BTreeMap<RepositoryRevision, Arc<BTreeSet<SourceDigest>>>,
    /// `None` where no cluster can be asked.
    last_syncs: Option<LastSyncs>,
}

/// Why a source could not be rendered from what is at hand.
#[derive(Debug)]
pub enum Unrendered {
    /// This was not asked for yet.
    Missing(Wanted),
    /// Something remote can't be had.
    Remote(Unavailable),
    /// A chart can't be had.
    Chart(ChartError),
    /// The project does not permit the repository of a chart.
    Denied(Denied),
    /// The render failed.
    Failed(RenderError),
}

impl fmt::Display for Unrendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(wanted) => write!(f, "{} was not fetched", wanted.names().join(", ")),
            Self::Remote(reason) => f.write_str(reason.reason()),
            Self::Chart(error) => f.write_str(&chain(error)),
            Self::Denied(denied) => denied.fmt(f),
            Self::Failed(error) => f.write_str(&chain(error)),
        }
    }
}

/// Why a repository's files can't be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unavailable {
    /// Repositories like it are not supported yet.
    Unsupported(String),
    /// The fetch failed.
    Failed(String),
    /// Another host than the root's did not return it: that is the trouble of what needs it.
    Elsewhere(String),
}

impl Unavailable {
    /// The reason in words.
    pub fn reason(&self) -> &str {
        match self {
            Self::Unsupported(reason) | Self::Failed(reason) | Self::Elsewhere(reason) => reason,
        }
    }
}

/// Why GitHub's list can't be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlisted {
    /// The reason.
    pub reason: Unavailable,
    /// Whether it may be had later.
    pub is_retryable: bool,
}

/// Whether a source's files are at hand.
#[derive(Debug)]
pub enum Availability<'a> {
    /// They are.
    Here(&'a Arc<Checkout>),
    /// They were not asked for yet.
    Missing(RepositoryRevision),
    /// They can't be had.
    Unavailable(Unavailable),
}

impl Repositories {
    /// A local folder, which is every revision of the repositories `own`.
    pub fn of_folder(own: BTreeSet<RepoUrl>, folder: Arc<Checkout>) -> Self {
        Self { own, local: Some(folder), ..Self::default() }
    }

    /// Adds what was fetched, or why it can't be.
    pub fn insert(&mut self, wanted: RepositoryRevision, fetched: Result<Arc<Checkout>, Unavailable>) {
        self.fetched.insert(wanted, fetched);
    }

    /// Adds a chart that was fetched, or why it can't be.
    pub fn insert_chart(&mut self, wanted: ChartRevision, fetched: Result<FetchedChart, ChartError>) {
        self.charts.insert(wanted, fetched);
    }

    /// Adds something remote that was fetched, or why it can't be.
    pub fn insert_remote(&mut self, wanted: NamedRemote, fetched: Result<RemoteFiles, Unavailable>) {
        self.remotes.insert(wanted, fetched);
    }

    /// What was fetched of `wanted`, if it was.
    pub(super) fn remote(&self, wanted: &NamedRemote) -> Option<&RemoteFiles> {
        self.remotes.get(wanted)?.as_ref().ok()
    }

    /// Adds the words of something remote, by what a kustomization says.
    pub(super) fn insert_remote_words(&mut self, raw: String, words: Words) {
        self.remote_words.insert(raw, words);
    }

    /// The words of what is remote, by what kustomizations say.
    pub(super) fn remote_words(&self) -> &BTreeMap<String, Words> {
        &self.remote_words
    }

    /// None yet, of GitHub at `host`.
    pub fn of_host(host: &str) -> Self {
        Self { host: host.to_owned(), ..Self::default() }
    }

    /// GitHub's host in URLs of repositories.
    pub fn host(&self) -> &str {
        if self.host.is_empty() { "github.com" } else { &self.host }
    }

    /// Adds the sources that are known to declare nothing at the commit of a revision, whose files are not at hand.
    pub fn insert_childless(&mut self, wanted: RepositoryRevision, sources: Arc<BTreeSet<SourceDigest>>) {
        self.childless.insert(wanted, sources);
    }

    /// Whether it is known for some sources at the revision that they declare nothing.
    pub fn has_childless(&self, wanted: &RepositoryRevision) -> bool {
        self.childless.contains_key(wanted)
    }

    /// Whether `source`, which is not at hand, is known to declare nothing.
    pub fn is_childless(&self, source: &Source, digest: &SourceDigest) -> bool {
        match self.get(source) {
            Availability::Missing(wanted) => self.childless.get(&wanted).is_some_and(|known| known.contains(digest)),
            Availability::Here(_) | Availability::Unavailable(_) => false,
        }
    }

    /// What is known of last syncs, to be added to; once called, they count.
    pub fn last_syncs_mut(&mut self) -> &mut LastSyncs {
        self.last_syncs.get_or_insert_default()
    }

    /// What is known of last syncs; `None` where they do not count.
    pub fn last_syncs(&self) -> Option<&LastSyncs> {
        self.last_syncs.as_ref()
    }

    /// Adds what GitHub listed, or why it can't be had.
    pub fn insert_listing(&mut self, need: Need, listed: Result<Listing, Unlisted>) {
        self.listings.insert(need, listed);
    }

    /// What GitHub listed for `need`; `None` where it was not asked yet.
    pub fn listing(&self, need: &Need) -> Option<&Result<Listing, Unlisted>> {
        self.listings.get(need)
    }

    /// What GitHub did not list and may list later, each with the reason.
    pub fn unlisted(&self) -> BTreeMap<Need, String> {
        let retryable = |(need, listed): (&Need, &Result<Listing, Unlisted>)| match listed {
            Err(Unlisted { reason: Unavailable::Failed(reason), is_retryable: true }) => {
                Some((need.clone(), reason.clone()))
            }
            _ => None,
        };
        self.listings.iter().filter_map(retryable).collect()
    }

    /// The chart that `source` names.
    pub fn chart(&self, chart: &HelmChart, revision: &str) -> Result<&FetchedChart, Unrendered> {
        let wanted = (chart.clone(), revision.to_owned());
        let missing = || Wanted { charts: BTreeSet::from([wanted.clone()]), ..Wanted::default() };
        let fetched = self.charts.get(&wanted).ok_or_else(|| Unrendered::Missing(missing()))?;
        fetched.as_ref().map_err(|error| Unrendered::Chart(error.clone()))
    }

    /// Adds to `tree` and `context` what the render of `app` failed with `error` for want of; false where it failed
    /// otherwise.
    fn add_remotes(
        &self,
        error: &RenderError,
        tree: &mut Cow<'_, Tree>,
        (app, context): (&Application, &mut Context),
        permit: &ProjectPermissions,
    ) -> Result<bool, Unrendered> {
        let mut named = render::missing_remotes(error, tree, app, context);
        named.retain(|remote| !context.remotes.contains_key(&remote.raw));
        if let Some(denied) = named.iter().find_map(|one| refused(permit, one)) {
            return Err(Unrendered::Denied(denied));
        }
        let named: BTreeSet<NamedRemote> = named.into_iter().map(|remote| (remote, app.project.clone())).collect();
        let remotes: BTreeSet<NamedRemote> =
            named.iter().filter(|one| !self.remotes.contains_key(*one)).cloned().collect();
        if !remotes.is_empty() {
            return Err(Unrendered::Missing(Wanted { remotes, ..Wanted::default() }));
        }
        for one in &named {
            let Some(Ok(files)) = self.remotes.get(one) else {
                let reason = self.remotes.get(one).and_then(|found| found.as_ref().err().cloned());
                return Err(Unrendered::Remote(reason.unwrap_or(Unavailable::Failed(one.0.raw.clone()))));
            };
            let place = files.add(tree.to_mut(), &one.0).map_err(|error| Unrendered::Failed(error.into()))?;
            context.remotes.insert(one.0.raw.clone(), place);
        }
        Ok(!named.is_empty())
    }

    /// Renders the source of `app` from `tree` without a cluster; charts and remote bases that it needs are added to a
    /// copy of the tree, where its project permits their repositories.
    pub fn render_offline(
        &self,
        tree: &Tree,
        app: &Application,
        context: &Context,
        permit: &ProjectPermissions,
    ) -> Result<Rendered, Unrendered> {
        self.render_by(render::render_offline, tree, (app, context), permit)
    }

    /// Like [`Repositories::render_offline`], rendered by `render`.
    pub(super) fn render_by(
        &self,
        render: impl Fn(&Tree, &Application, &Context) -> Result<Rendered, RenderError>,
        tree: &Tree,
        (app, context): (&Application, &Context),
        permit: &ProjectPermissions,
    ) -> Result<Rendered, Unrendered> {
        let mut tree = Cow::Borrowed(tree);
        let mut context = context.clone();
        let mut added: Vec<MissingChart> = Vec::new();
        for _ in 0..MAX_ROUNDS {
            let budget = context.budget.unused();
            let error = match render(&tree, app, &Context { budget, ..context.clone() }) {
                Ok(rendered) => return Ok(rendered),
                Err(error) => error,
            };
            let charts = render::missing_charts(&error, &tree);
            let charts = charts.map_err(|problem| Unrendered::Failed(RenderError::Charts(problem)))?;
            let charts: Vec<_> = charts.into_iter().map(|one| one.of_project(&app.project)).collect();
            if charts.is_empty() && self.add_remotes(&error, &mut tree, (app, &mut context), permit)? {
                continue;
            }
            if charts.is_empty() || charts.iter().any(|one| added.contains(one)) {
                return Err(Unrendered::Failed(error));
            }
            if let Some(denied) = charts.iter().find_map(|one| permit.refused_source(&one.repo_url)) {
                return Err(Unrendered::Denied(denied));
            }
            let wanted = charts.iter().map(|one| (one.chart.clone(), one.revision.clone()));
            let missing: BTreeSet<ChartRevision> = wanted.filter(|one| !self.charts.contains_key(one)).collect();
            if !missing.is_empty() {
                return Err(Unrendered::Missing(Wanted { charts: missing, ..Wanted::default() }));
            }
            for one in charts {
                let (version, files) = self.chart(&one.chart, &one.revision)?;
                let broken = |error| Unrendered::Failed(RenderError::File(error));
                one.add(tree.to_mut(), version, files).map_err(broken)?;
                added.push(one);
            }
        }
        Err(Unrendered::Failed(RenderError::Charts(format!(
            "more than {MAX_ROUNDS} charts and remote bases are needed one by one"
        ))))
    }

    /// Whether `source` is the local folder.
    pub fn is_local(&self, source: &Source) -> bool {
        self.local.is_some() && source.repository().is_ok_and(|url| self.own.contains(&url))
    }

    /// The sources of `app` that others name by their `ref`, or which of them are missing.
    pub fn references(
        &self,
        app: &Application,
    ) -> Result<BTreeMap<String, Arc<Checkout>>, BTreeSet<RepositoryRevision>> {
        let mut found = BTreeMap::new();
        let mut missing = BTreeSet::new();
        for source in &app.sources {
            match (&source.reference, self.get(source)) {
                (Some(reference), Availability::Here(checkout)) => {
                    found.insert(reference.clone(), Arc::clone(checkout));
                }
                (Some(_), Availability::Missing(wanted)) => {
                    missing.insert(wanted);
                }
                _ => {}
            }
        }
        if missing.is_empty() { Ok(found) } else { Err(missing) }
    }

    /// Why `permit` refuses a source of `app` that was fetched by a name that the repository no longer has.
    pub fn refused_name(&self, app: &Application, permit: &ProjectPermissions) -> Option<Denied> {
        let sources = if app.sources.is_empty() { std::slice::from_ref(&app.source) } else { &app.sources };
        sources.iter().find_map(|source| {
            let (url, revision) =
                (source.repository().ok()?, source.commit.as_ref().unwrap_or(&source.target_revision).clone());
            let fetched = self.fetched.get(&(url.clone(), revision))?;
            permit.refused_name(&url, &fetched.as_ref().ok()?.repo)
        })
    }

    /// The files that `source` is read from.
    pub fn get(&self, source: &Source) -> Availability<'_> {
        let url = match source.repository() {
            Ok(url) => url,
            Err(error) => {
                let reason = format!("`spec.source.repoURL`: {error}");
                return Availability::Unavailable(Unavailable::Unsupported(reason));
            }
        };
        if let Some(local) = self.local.as_ref().filter(|_| self.own.contains(&url)) {
            return Availability::Here(local);
        }
        let wanted = (url, source.commit.as_ref().unwrap_or(&source.target_revision).clone());
        match self.fetched.get(&wanted) {
            Some(Ok(checkout)) => Availability::Here(checkout),
            Some(Err(reason)) => Availability::Unavailable(reason.clone()),
            None => Availability::Missing(wanted),
        }
    }
}
