//! Fetches the remote bases and files that the kustomizations of an Application name.

use std::collections::BTreeMap;

use slipway_cluster::Cluster;
use slipway_cluster::state;
use slipway_gitops::Revisions;
use slipway_kustomize::{Place, Remote};
use slipway_manifest::Tree;

use super::prepare::PrepareError;
use crate::reconcile::notes::{Note as _, RemoteVersions};
use crate::reconcile::sync::AppOwner;
use crate::render::{self, Context, RenderError, Rendered};
use crate::root::ResolvedApplication;
use crate::source::Checkouts;
use crate::source::remote::{Asking, RemoteFiles, refused};

/// Bases and files that are fetched for the renders of one Application.
const MAX_REMOTES: usize = 100;

/// The remote bases and files of one Application at `revisions`.
pub(super) struct AppRemotes<'a> {
    pub(super) member: &'a ResolvedApplication,
    pub(super) checkouts: &'a Checkouts,
    pub(super) revisions: &'a Revisions,
    pub(super) owner: AppOwner,
    pub(super) cluster: &'a Cluster,
    pub(super) asking: Asking<'a>,
    /// Which versions of them were fetched.
    pub(super) versions: RemoteVersions,
    fetched: BTreeMap<Remote, RemoteFiles>,
}

impl<'a> AppRemotes<'a> {
    pub(super) fn new(
        (member, owner): (&'a ResolvedApplication, AppOwner),
        checkouts: &'a Checkouts,
        revisions: &'a Revisions,
        (cluster, host): (&'a Cluster, &'a str),
    ) -> Self {
        let asking = Asking { host, project: &member.app.project };
        let (versions, fetched) = (RemoteVersions::default(), BTreeMap::new());
        Self { member, checkouts, revisions, owner, cluster, asking, versions, fetched }
    }

    /// `tree` with what its render failed for want of, whose repositories the project has to allow, and the places of
    /// that; `None` where it failed otherwise, or was given it. At revisions that were deployed before, bases are at
    /// the commits that were deployed then: a newer one comes with the next commit.
    pub(super) async fn add(
        &mut self,
        error: &RenderError,
        tree: &Tree,
        context: &Context,
        app: &crate::app::Application,
    ) -> Result<Option<(Tree, BTreeMap<String, Place>)>, PrepareError> {
        let mut missing = render::missing_remotes(error, tree, app, context);
        missing.retain(|one| !context.remotes.contains_key(&one.raw));
        if missing.is_empty() {
            return Ok(None);
        }
        if self.fetched.len() + missing.len() > MAX_REMOTES {
            return Err(
                self.failed(RenderError::Charts(format!("it needs more than {MAX_REMOTES} remote bases and files")))
            );
        }
        let (mut tree, mut places) = (tree.clone(), context.remotes.clone());
        let recorded = self.recorded().await?;
        for remote in missing {
            refused(&self.member.permit, &remote).map_or(Ok(()), Err)?;
            let known = recorded.0.get(&remote.raw).map(String::as_str);
            let files = Box::pin(self.checkouts.remote(&remote, self.asking, known)).await?;
            let place = files.add(&mut tree, &remote).map_err(|error| self.failed(error.into()))?;
            places.insert(remote.raw.clone(), place);
            self.versions.0.insert(remote.raw.clone(), files.version().to_owned());
            self.fetched.insert(remote, files);
        }
        Ok(Some((tree, places)))
    }

    /// Checks that all that `rendered` read of them is in their commits.
    pub(super) fn check(&self, rendered: &Rendered) -> Result<(), PrepareError> {
        let check = |(remote, files): (&Remote, &RemoteFiles)| files.check(remote, &rendered.files);
        Ok(self.fetched.iter().try_for_each(check)?)
    }

    fn failed(&self, source: RenderError) -> PrepareError {
        let (app, at) = (self.member.instance(), self.revisions.short());
        PrepareError::Render { app, at, source: Box::new(source) }
    }

    /// The versions of the last sync, where that was of the same revisions.
    async fn recorded(&self) -> Result<RemoteVersions, PrepareError> {
        let recorded = state::read(self.cluster, &self.owner.key).await.map_err(Box::new)?;
        let same = recorded.filter(|recorded| recorded.state.attempt.revisions == *self.revisions);
        Ok(same.and_then(|recorded| RemoteVersions::of(&recorded.state)).unwrap_or_default())
    }
}
