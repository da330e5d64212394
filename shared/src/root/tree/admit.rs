//! Decides which of the objects that Applications declare count: those that their projects let them write to Argo CD's
//! own cluster.

use std::collections::BTreeMap;

use super::super::declared::Problem;
use super::{Held, Loader, TreeApplication};
use crate::app::project::Denied;
use crate::app::{self, ProjectPermissions, Projects, Undeclared};

impl Loader<'_> {
    /// Takes what Applications declare and may declare; returns whether that was anything. An undeclared project is
    /// `open` once no declaration can come any more.
    pub(super) fn admit(&mut self, open: bool) -> bool {
        if self.held.is_empty() {
            return false;
        }
        let projects = self.projects(if open { self.options.undeclared } else { Undeclared::Denied });
        let clusters = self.clusters.clone();
        let mut permits: BTreeMap<usize, ProjectPermissions> = BTreeMap::new();
        let mut progress = false;
        for held in std::mem::take(&mut self.held) {
            let Some(TreeApplication { app: Ok(app), .. }) = self.tree.applications.get(held.parent) else { continue };
            let permit =
                permits.entry(held.parent).or_insert_with(|| ProjectPermissions::of(app, &projects, &clusters));
            let denied = match &permit.denied {
                Some(Denied::Unknown(_)) => {
                    self.held.push(held);
                    continue;
                }
                Some(denied) => Some(denied.clone()),
                None => self.repositories.refused_name(app, permit).or_else(|| permit.refusal(&held.object)),
            };
            progress = true;
            match denied {
                None => self.add(held.object, held.declared, Some(held.parent)),
                Some(denied) => self.refuse(&held, &denied),
            }
        }
        progress
    }

    /// The projects that count by now.
    pub(super) fn projects(&self, undeclared: Undeclared) -> Projects {
        let found = app::find(&self.order);
        let mut settings = found.settings;
        settings.control_namespace = Some(self.control);
        Projects::new(found.projects, settings).with_undeclared(undeclared)
    }

    pub(super) fn refuse(&mut self, held: &Held, denied: &Denied) {
        let parent = held.declared.chain.last().map(String::as_str).unwrap_or_default();
        let text = format!("Application {parent} may not declare {}: {denied}", held.object.id());
        self.tree.problems.push(Problem::of(text, Some(held.declared.clone())));
    }
}
