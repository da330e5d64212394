//! Expands the ApplicationSets of a tree, and notes those whose Applications are not known.

use slipway_appset::Cluster;

use super::super::declared::{DeclaredIn, Problem};
use super::super::sets::{self, Expansion};
use super::{DeclaredSet, IncompletePart, Loader, Made, UnexpandedSet, label};
use crate::app;

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
        for DeclaredSet { object: set, declared, parent } in sets {
            let name = format!("ApplicationSet {}", label(&app::identity(&set)));
            let expand = |assumed: Option<Cluster>| {
                sets::expand(&set, (&secrets, assumed), self.repositories, &self.budget.unused())
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
                Expansion::Applications { objects, is_kept, warnings } => {
                    for warning in warnings {
                        let text = format!("{name}: {warning}");
                        let problem = Problem { is_warning: true, ..Problem::of(text, Some(declared.clone())) };
                        self.tree.problems.push(problem);
                    }
                    let chain = declared.chain.iter().cloned().chain([name.clone()]).collect();
                    let declared = DeclaredIn { chain, ..declared };
                    for object in objects {
                        self.add_application(object, declared.clone(), parent, Made { is_assumed, is_kept });
                    }
                    continue;
                }
                Expansion::Missing(missing) => {
                    let urls: Vec<String> =
                        missing.iter().map(|(url, revision)| format!("{url} at {revision}")).collect();
                    self.tree.missing.extend(missing);
                    (format!("{name} needs repository {}", urls.join(", ")), true)
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
}
