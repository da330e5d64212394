//! Renders the sources of a tree for what they declare, and notes what can't be read of them.

use std::sync::Arc;

use slipway_manifest::{Object, Tree};

use super::super::declared::{DeclaredIn, Problem};
use super::super::mentions::{self, Mentions};
use super::super::repositories::{Availability, Unavailable};
use super::super::written_settings::written_settings;
use super::{IncompletePart, Loader, MAX_SOURCES, Origin, Unread, label};
use crate::app::{self, Application, repository};
use crate::error::chain;
use crate::render::{self, Context, RenderError, Rendered};

impl Loader<'_> {
    /// Whether the source of `app` may declare something; true where its files are not at hand.
    pub(super) fn may_declare(&mut self, app: &Application) -> bool {
        let Availability::Here(checkout) = self.repositories.get(&app.source) else { return true };
        let key = format!("{}@{}", checkout.repo, checkout.sha);
        self.mentions.entry(key).or_insert_with(|| Mentions::new(&checkout.tree)).may_declare(app)
    }

    /// Renders a source; what can't be read is a problem, and the tree incomplete.
    pub(super) fn render(&mut self, origin: &Origin<'_>, filter: Option<render::Filter>) -> Option<Rendered> {
        let checkout = match self.repositories.get(&origin.app.source) {
            Availability::Here(checkout) => Arc::clone(checkout),
            Availability::Missing(wanted) => {
                self.tree.missing.insert(wanted);
                return None;
            }
            Availability::Unavailable(Unavailable::Unsupported(reason) | Unavailable::Elsewhere(reason)) => {
                self.incomplete(origin, None, &reason, true);
                return None;
            }
            Availability::Unavailable(Unavailable::Failed(reason)) => {
                self.incomplete(origin, None, &reason, false);
                return None;
            }
        };
        self.sources += 1;
        if self.sources > MAX_SOURCES {
            self.incomplete(origin, None, &format!("more than {MAX_SOURCES} sources declare Applications"), false);
            return None;
        }
        let references = match self.repositories.references(origin.whole) {
            Ok(references) => references,
            Err(missing) => {
                self.tree.missing.extend(missing);
                return None;
            }
        };
        let context = Context {
            revision: checkout.sha.clone(),
            build: self.build,
            budget: self.budget.unused(),
            references,
            ..Context::default()
        };
        let unfetched = checkout.special.check_folder(&origin.app.source.path).err();
        let rendered = match unfetched {
            Some(error) => {
                self.incomplete(origin, None, &chain(&error), false);
                return None;
            }
            None => render::declarations(&checkout.tree, origin.app, &context, filter),
        };
        match rendered {
            Ok(mut rendered) => {
                self.tree.commits.insert((checkout.repo.clone(), checkout.sha.clone()));
                for error in std::mem::take(&mut rendered.broken) {
                    self.broken(origin, &checkout.tree, &error);
                }
                if let Err(error) = checkout.special.check_files(&rendered.files) {
                    self.incomplete(origin, None, &chain(&error), false);
                }
                Some(rendered)
            }
            Err(error) => {
                self.incomplete(origin, None, &chain(&error), error.is_missing());
                Some(written_settings(&checkout.tree, &origin.app.source, &self.budget.unused()))
            }
        }
    }

    /// Notes a file that can't be read: it may declare anything that its words say.
    pub(super) fn broken(&mut self, origin: &Origin<'_>, tree: &Tree, error: &RenderError) {
        let file = error.file().unwrap_or_default();
        let bytes = tree.read(file).unwrap_or_default();
        if !bytes.is_empty() && !mentions::may_declare(bytes) {
            let problem = Problem::of(chain(error), Some(self.declared(origin, file)));
            self.tree.problems.push(problem);
            return;
        }
        let text = String::from_utf8_lossy(bytes);
        let says = |word: &str| text.is_empty() || text.contains(word);
        self.unread.push(Unread {
            file: file.to_owned(),
            parent: origin.parent,
            may_be_project: says("AppProject"),
            may_be_settings: says("argocd-cm") || says("secret-type"),
        });
        self.incomplete(origin, Some(file), &chain(error), false);
    }

    pub(super) fn incomplete(&mut self, origin: &Origin<'_>, file: Option<&str>, reason: &str, is_missing: bool) {
        let declared = self.declared(origin, file.unwrap_or_default());
        if origin.parent.is_none() && file.is_none() {
            self.tree.unread_places.push(reason.to_owned());
        }
        let name = format!("Application {}", label(&app::identity(&origin.app.object)));
        let text = match origin.parent {
            None => reason.to_owned(),
            Some(_) => format!("{name}: what it declares can't be read: {reason}"),
        };
        // A place has been read before, or nothing is deployed yet.
        let is_missing = is_missing && origin.parent.is_some();
        if is_missing {
            self.tree.unread.insert(name);
        }
        // That an Application needs something is told where it is deployed.
        if !is_missing {
            self.tree.problems.push(Problem::of(text.clone(), Some(declared)));
        }
        self.tree.incomplete.push(IncompletePart { reason: text, is_missing });
    }

    /// Notes an object of which the cluster makes the credential of a repository.
    pub(super) fn note_unreadable(&mut self, object: &Object, declared: &DeclaredIn) {
        if repository::makes_repository_secret(object) {
            let text = format!(
                "{}: the credential of a repository that the cluster makes of it can't be read from Git: write it into \
                 the secret that SLIPWAY_REPOSITORY_SECRET names",
                object.id()
            );
            self.tree.problems.push(Problem { is_warning: true, ..Problem::of(text, Some(declared.clone())) });
        }
    }

    pub(super) fn declared(&self, origin: &Origin<'_>, file: &str) -> DeclaredIn {
        let source = &origin.app.source;
        let is_first = self.own.as_ref().is_some_and(|own| app::same_repository(own, &source.repo_url));
        let is_own = is_first || self.repositories.is_local(source);
        let chain = origin.parent.and_then(|at| self.tree.applications.get(at)).map(|parent| {
            let above = parent.declared.chain.iter().cloned();
            above.chain([label(&parent.identity)]).collect::<Vec<_>>()
        });
        DeclaredIn {
            repository: (!is_own).then(|| source.repo_url.clone()),
            path: if file.is_empty() { source.folder().unwrap_or_default() } else { file.to_owned() },
            is_file: !file.is_empty(),
            chain: chain.unwrap_or_default(),
        }
    }
}
