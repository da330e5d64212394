//! Holds the repositories at hand while the tree of Applications is read: who asks for another gets to know that it is
//! missing, and the caller fetches it and reads the tree again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::app::project::Denied;
use crate::app::{Application, ProjectPermissions, Source};
use crate::source::RepoUrl;
use crate::source::github::Checkout;

/// A repository at a revision, as a source names it.
pub type RepositoryRevision = (RepoUrl, String);

/// The files of repositories at revisions.
#[derive(Debug, Clone, Default)]
pub struct Repositories {
    own: BTreeSet<RepoUrl>,
    local: Option<Arc<Checkout>>,
    fetched: BTreeMap<RepositoryRevision, Result<Arc<Checkout>, Unavailable>>,
}

/// Why a repository's files can't be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unavailable {
    /// Repositories like it are not supported yet.
    Unsupported(String),
    /// The fetch failed.
    Failed(String),
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
        Self { own, local: Some(folder), fetched: BTreeMap::new() }
    }

    /// Adds what was fetched, or why it can't be.
    pub fn insert(&mut self, wanted: RepositoryRevision, fetched: Result<Arc<Checkout>, Unavailable>) {
        self.fetched.insert(wanted, fetched);
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
            let (url, revision) = (source.repository().ok()?, source.target_revision.clone());
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
        let wanted = (url, source.target_revision.clone());
        match self.fetched.get(&wanted) {
            Some(Ok(checkout)) => Availability::Here(checkout),
            Some(Err(reason)) => Availability::Unavailable(reason.clone()),
            None => Availability::Missing(wanted),
        }
    }
}
