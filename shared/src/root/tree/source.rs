//! Renders the sources of a tree for what they declare, and notes what can't be read of them.

use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use slipway_manifest::{Object, Tree};

use super::super::declared::{DeclaredIn, Problem};
use super::super::mentions::{self, Mentions};
use super::super::repositories::{Availability, Unavailable, Unrendered};
use super::super::written_settings::written_settings;
use super::{IncompletePart, Loader, MAX_SOURCES, Origin, Unread, chart_settings, label};
use crate::app::project::Denied;
use crate::app::{self, Application, ProjectPermissions, Undeclared, repository};
use crate::error::chain;
use crate::render::{self, Context, RenderError, Rendered};
use crate::source::github::childless::SourceDigest;

impl Loader<'_> {
    /// Whether the source of `app` may declare something; true where its files are not at hand.
    pub(super) fn may_declare(&self, app: &Application) -> bool {
        let Availability::Here(checkout) = self.repositories.get(&app.source) else { return true };
        let mut known = self.mentions.borrow_mut();
        if let Some(mentions) = known.get(&checkout.sha) {
            return mentions.may_declare(app);
        }
        known
            .entry(checkout.sha.clone())
            .or_insert_with(|| Mentions::new(&checkout.tree, self.repositories.remote_words()))
            .may_declare(app)
    }

    /// Whether `app` is known to declare nothing, as most have it, without a look at each of its sources.
    pub(super) fn declares_nothing(&self, app: &Application) -> bool {
        let has_files = app.source.chart.is_none() && app.source.plugin.is_none();
        app.sources.is_empty() && has_files && self.is_childless(app)
    }

    /// Whether the one source of `app` declares nothing, by its files or because that is known of its commit. What the
    /// files of another repository than that of a place tell is noted.
    pub(super) fn is_childless(&self, app: &Application) -> bool {
        let digest = || -> SourceDigest {
            let source = app.object.pointer("/spec/source").map(Value::to_string).unwrap_or_default();
            Sha256::digest(source).into()
        };
        let Availability::Here(checkout) = self.repositories.get(&app.source) else {
            return self.repositories.is_childless(&app.source, &digest());
        };
        let is_childless = !self.may_declare(app) && chart_settings::dependency(&checkout.tree, app).is_none();
        if is_childless && !self.placed.contains(&checkout.sha) {
            self.childless.borrow_mut().entry(checkout.sha.clone()).or_default().insert(digest());
        }
        is_childless
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
        let rendered = rendered.or_else(|error| {
            if render::missing_remotes(&error, &checkout.tree, origin.app, &context).is_empty() {
                return Err(Some((chain(&error), error.is_missing())));
            }
            self.render_with_remotes(origin, &checkout.tree, &context, filter)
        });
        match rendered {
            Ok(mut rendered) => {
                self.tree.commits.insert((checkout.repo.clone(), checkout.sha.clone()));
                if origin.parent.is_none() {
                    self.placed.insert(checkout.sha.clone());
                }
                for error in std::mem::take(&mut rendered.broken) {
                    self.broken(origin, &checkout.tree, &error);
                }
                if let Err(error) = checkout.special.check_files(&rendered.files) {
                    self.incomplete(origin, None, &chain(&error), false);
                }
                Some(rendered)
            }
            // It is rendered once its project is known.
            Err(None) => None,
            Err(Some((reason, is_missing))) => {
                self.incomplete(origin, None, &reason, is_missing);
                Some(written_settings(&checkout.tree, &origin.app.source, &self.budget.unused()))
            }
        }
    }

    /// Renders a source that names remote bases or files, with those that were fetched and its project permits; else
    /// why not, and whether only something is not at hand. `None` until its project is known.
    fn render_with_remotes(
        &mut self,
        origin: &Origin<'_>,
        tree: &Tree,
        context: &Context,
        filter: Option<render::Filter>,
    ) -> Result<Rendered, Option<(String, bool)>> {
        let permit = match origin.parent {
            None => ProjectPermissions::of_root(),
            Some(at) => {
                let undeclared = if self.is_open { self.options.undeclared } else { Undeclared::Denied };
                let permit = ProjectPermissions::of(origin.whole, &self.projects(undeclared), &self.clusters);
                match &permit.denied {
                    Some(Denied::Unknown(_)) if !self.is_open => {
                        self.unpermitted.push(at);
                        return Err(None);
                    }
                    Some(denied) => return Err(Some((denied.to_string(), true))),
                    None => permit,
                }
            }
        };
        let declarations =
            |tree: &Tree, app: &Application, context: &Context| render::declarations(tree, app, context, filter);
        let rendered = self.repositories.render_by(declarations, tree, (origin.app, context), &permit);
        rendered.map_err(|error| {
            let reason = error.to_string();
            let is_missing = match error {
                Unrendered::Missing(wanted) => {
                    self.tree.wanted.extend(wanted);
                    true
                }
                Unrendered::Failed(error) => error.is_missing(),
                // The deployment of that source tells the error.
                Unrendered::Remote(_) | Unrendered::Chart(_) | Unrendered::Denied(_) => true,
            };
            Some((reason, is_missing))
        })
    }

    /// Queues the Applications whose project was not known when they were to be rendered; whether there are any.
    pub(super) fn permit_again(&mut self) -> bool {
        self.is_open = true;
        self.queue.extend(std::mem::take(&mut self.unpermitted));
        !self.queue.is_empty()
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
