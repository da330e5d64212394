//! Tells from the recorded states what was synced last of Applications that only people sync, because in Argo CD their
//! children are what that sync wrote, and how Applications were made first that their sets may not change.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures::future::BoxFuture;
use slipway_gitops::Revisions;
use slipway_manifest::Object;

use crate::app::{Application, ClusterSecret};
use crate::source::Checkouts;

/// What was synced last of an Application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastSync {
    /// Nothing, or something of other sources than it has now.
    Never,
    /// These commits of its sources.
    Of(Revisions),
    /// That can't be found out, for this reason.
    Unknown(String),
}

/// The first manifests of Applications that their sets may not change, by namespace and name, none where nothing is
/// deployed; or why they are not known.
pub type FirstManifests = BTreeMap<(String, String), Result<Option<Object>, String>>;

/// What is known of Applications by their states, by namespace and name.
#[derive(Debug, Clone, Default)]
pub struct LastSyncs {
    /// What was synced last of those that were asked for.
    pub known: BTreeMap<(String, String), LastSync>,
    /// Those that declare others, or did when they were synced last; `None` where that was not asked yet.
    pub parents: Option<Result<BTreeSet<(String, String)>, String>>,
    /// The first manifests of those that were asked for.
    pub first_manifests: FirstManifests,
}

/// The states of a root's Applications.
pub trait RecordedStates: fmt::Debug + Send + Sync {
    /// How the `wanted` Applications, which may be in any of the `clusters`, were made first.
    fn first_manifests<'a>(
        &'a self,
        wanted: BTreeSet<(String, String)>,
        clusters: &'a [ClusterSecret],
    ) -> BoxFuture<'a, FirstManifests>;

    /// The Applications of the root that declare others.
    fn parents(&self) -> BoxFuture<'_, Result<BTreeSet<(String, String)>, String>>;

    /// What was synced last of `app`, which goes to Argo CD's own cluster.
    fn last_sync<'a>(&'a self, app: &'a Application, checkouts: &'a Checkouts) -> BoxFuture<'a, LastSync>;
}
