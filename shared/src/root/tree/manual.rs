//! Reads the Applications that only people sync as they were synced last: what they declare changes with the next sync,
//! not with a push.

use std::sync::Arc;

use slipway_manifest::Object;

use super::super::declared::{DeclaredIn, Problem};
use super::super::last_sync::LastSync;
use super::super::repositories::{Availability, RepositoryRevision};
use super::{IncompletePart, Loader, label};
use crate::app::{self, Application};

impl Loader<'_> {
    /// `app`, the Application `at` of the tree, with the commits that what it declares is read from: where only people
    /// sync it, those of its last sync. `None` where that can't be told, or not yet.
    pub(super) fn as_synced(&mut self, at: usize, mut app: Application) -> Option<Application> {
        let known = self.repositories.last_syncs().filter(|_| !app.sync_policy.is_automated());
        let Some(known) = known else { return Some(app) };
        let mut sources = app.per_source();
        sources.retain(|one| one.source.chart.is_none());
        if sources.is_empty() {
            return Some(app);
        }
        let identity = app::identity(&app.object);
        sources.retain(|one| !self.is_childless(one));
        if sources.is_empty() {
            match &known.parents {
                None => {
                    self.tree.wants_parents = true;
                    return None;
                }
                Some(Ok(parents)) if parents.contains(&identity) => {}
                Some(Ok(_)) => return Some(app),
                Some(Err(reason)) => {
                    self.last_sync_is_unknown(at, reason);
                    return None;
                }
            }
        }
        // Whether the last sync matters can be told once the files are there.
        let wanted = |one: &Application| match self.repositories.get(&one.source) {
            Availability::Missing(wanted) => Some(wanted),
            Availability::Here(_) | Availability::Unavailable(_) => None,
        };
        let missing: Vec<RepositoryRevision> = sources.iter().filter_map(wanted).collect();
        if !missing.is_empty() {
            self.tree.missing.extend(missing);
            return None;
        }
        match known.known.get(&identity) {
            None => {
                self.tree.unread_states.push(app);
                return None;
            }
            Some(LastSync::Unknown(reason)) => {
                self.last_sync_is_unknown(at, reason);
                return None;
            }
            Some(LastSync::Never) => {}
            Some(LastSync::Of(revisions)) => {
                let mut commits = revisions.as_slice().iter();
                let sources = app.sources.iter_mut();
                let sources = if sources.len() == 0 { vec![&mut app.source] } else { sources.collect() };
                for source in sources {
                    source.commit = commits.next().cloned();
                }
            }
        }
        self.tree.applications.get_mut(at)?.synced_declarations = Some(Arc::default());
        Some(app)
    }

    /// Notes that it can't be told what the Application `at` of the tree declares.
    fn last_sync_is_unknown(&mut self, at: usize, reason: &str) {
        let Some(entry) = self.tree.applications.get(at) else { return };
        let name = label(&entry.identity);
        let text = format!("Application {name}: what it declared when it was synced last can't be found out: {reason}");
        self.tree.problems.push(Problem::of(text.clone(), Some(entry.declared.clone())));
        self.tree.incomplete.push(IncompletePart { reason: text, is_missing: false });
    }

    /// Notes that the Application `at` of the tree declared `object` when it was synced last, if it was.
    pub(super) fn note_synced(&mut self, at: usize, object: &Object) {
        let Some(entry) = self.tree.applications.get_mut(at) else { return };
        let was_synced = self.repositories.last_syncs().and_then(|known| known.known.get(&entry.identity));
        if let (Some(LastSync::Of(_)), Some(known)) = (was_synced, &mut entry.synced_declarations) {
            Arc::make_mut(known).insert(object.id(), object.clone());
        }
    }

    /// Whether the Application of this namespace and name is none yet, because the one that declares it, the `parent` of
    /// the tree, was never synced. That it is declared is noted.
    pub(super) fn waits_for_sync(
        &mut self,
        identity: &(String, String),
        declared: &DeclaredIn,
        parent: Option<usize>,
    ) -> bool {
        let Some(parent) = parent.and_then(|at| self.tree.applications.get(at)) else { return false };
        let last_sync = self.repositories.last_syncs().and_then(|known| known.known.get(&parent.identity));
        if last_sync != Some(&LastSync::Never) {
            return false;
        }
        let (name, parent) = (label(identity), label(&parent.identity));
        let text = format!(
            "Application {name} is not deployed yet: only people sync Application {parent}, which declares it; run \
             `slipway app sync {parent}`"
        );
        self.tree.problems.push(Problem { is_warning: true, ..Problem::of(text, Some(declared.clone())) });
        self.tree.unsynced.insert(identity.clone());
        true
    }
}
