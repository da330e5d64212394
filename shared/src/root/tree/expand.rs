//! Expands the ApplicationSets of a tree, and notes those whose Applications are not known.

use std::sync::Arc;

use slipway_appset::Cluster;
use slipway_manifest::Object;

use super::super::declared::{DeclaredIn, Problem};
use super::super::listings;
use super::super::rolling::DeletionOrder;
use super::super::sets::{self, Expansion};
use super::{DeclaredSet, IncompletePart, Loader, Made, MadeBySet, UnexpandedSet, label};
use crate::app::{self, ProjectPermissions};

impl Loader<'_> {
    /// Makes the Applications of the sets; returns whether there was any set. They see all clusters that are known by
    /// now: where one of their own Applications declares another, the tree is read again.
    pub(super) fn expand(&mut self) -> bool {
        let sets = std::mem::take(&mut self.sets);
        if sets.is_empty() {
            return false;
        }
        let mut secrets = self.found_secrets();
        secrets.extend(self.secrets.iter().filter(|known| !self.order.contains(known)).cloned());
        let projects = self.projects(self.options.undeclared);
        for DeclaredSet { object: set, declared, parent } in sets {
            let name = format!("ApplicationSet {}", label(&app::identity(&set)));
            let parent_app = parent.and_then(|at| self.tree.applications.get(at)?.app.as_ref().ok());
            let permit = parent_app.map(|app| ProjectPermissions::of(app, &projects, &self.clusters));
            let expand = |assumed: Option<Cluster>| {
                let repositories = (self.repositories, permit.as_ref());
                sets::expand(&set, (&secrets, assumed), repositories, &self.budget.unused())
            };
            let mut expansion = expand(None);
            let mut is_assumed = false;
            if self.options.assumes_clusters
                && matches!(&expansion, Expansion::Applications { objects, .. } if objects.is_empty())
                && let Some(cluster) = sets::selected(&set)
            {
                is_assumed = true;
                expansion = expand(Some(cluster));
            }
            let (reason, is_missing) = match expansion {
                Expansion::Applications { objects, allowed, reverse_deletion, mut warnings, listings, steps } => {
                    let order = steps.as_ref().filter(|_| reverse_deletion);
                    let order = order.map(|steps| Arc::new(DeletionOrder::of(steps, &objects)));
                    self.tree.looked_at.extend(listings.iter().map(|(need, _)| need.clone()));
                    let listings = (!listings.is_empty()).then(|| Arc::new(listings));
                    let rolling = steps.map(|steps| self.tree.rolling.add(&steps, &objects));
                    warnings.extend(rolling.and_then(|set| self.tree.rolling.unselected(set)));
                    for warning in warnings {
                        let text = format!("{name}: {warning}");
                        let problem = Problem { is_warning: true, ..Problem::of(text, Some(declared.clone())) };
                        self.tree.problems.push(problem);
                    }
                    let chain = declared.chain.iter().cloned().chain([name.clone()]).collect();
                    let declared = DeclaredIn { chain, ..declared };
                    for (at, object) in objects.into_iter().enumerate() {
                        let rolls = rolling.map(|set| (set, at));
                        let set = Some(MadeBySet { allowed, deletion_order: order.clone() });
                        let made = Made { is_assumed, set, listings: listings.clone(), rolls };
                        let object =
                            if allowed.allows_update() { Some(object) } else { self.as_first_made(object, &declared) };
                        if let Some(object) = object {
                            self.add_application(object, declared.clone(), parent, made);
                        }
                    }
                    continue;
                }
                Expansion::Missing(missing, unlisted) => {
                    let urls = missing.iter().map(|(url, revision)| format!("repository {url} at {revision}"));
                    let all: Vec<String> = urls.chain(unlisted.iter().map(listings::shown)).collect();
                    self.tree.missing.extend(missing);
                    self.tree.unlisted.extend(unlisted);
                    (format!("{name} needs {}", all.join(", ")), true)
                }
                Expansion::Unsupported(what) => (format!("{name} needs {what}"), true),
                Expansion::Failed(reason) => (format!("{name}: {reason}"), false),
            };
            if is_missing {
                self.tree.unread.insert(name);
            }
            let identity = app::identity(&set);
            let unexpanded = UnexpandedSet { identity, declared: declared.clone(), reason: reason.clone(), is_missing };
            self.tree.unexpanded.push(unexpanded);
            let problem = Problem { is_warning: is_missing, ..Problem::of(reason.clone(), Some(declared)) };
            self.tree.problems.push(problem);
            self.tree.incomplete.push(IncompletePart { reason, is_missing });
        }
        self.seen.get_or_insert(secrets);
        true
    }

    /// The Application `object` as its set, which may not change it, made it first. `None` where that can't be told, or
    /// not yet.
    fn as_first_made(&mut self, object: Object, declared: &DeclaredIn) -> Option<Object> {
        let Some(known) = self.repositories.last_syncs() else { return Some(object) };
        let identity = app::identity(&object);
        match known.first_manifests.get(&identity) {
            None => {
                self.tree.unread_first_manifests.insert(identity);
                None
            }
            Some(Ok(first)) => Some(first.clone().unwrap_or(object)),
            Some(Err(reason)) => {
                let name = label(&identity);
                let text =
                    format!("Application {name}: how its ApplicationSet made it first can't be found out: {reason}");
                self.tree.problems.push(Problem::of(text.clone(), Some(declared.clone())));
                self.tree.incomplete.push(IncompletePart { reason: text, is_missing: false });
                self.tree.unsynced.insert(identity);
                None
            }
        }
    }
}
