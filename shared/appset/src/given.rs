//! What generators look at: given by the caller, who fetches what is asked for as a [`Need`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use slipway_manifest::Tree;

/// What generators look at. What is missing in one of the maps comes back as a [`Need`].
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The cluster Secrets of Argo CD's namespace. The cluster that Argo CD runs in needs none.
    pub clusters: Vec<Cluster>,
    /// The names of all AppProjects; `None` where any name may be one.
    pub projects: Option<BTreeSet<String>>,
    /// The files of repositories.
    pub trees: BTreeMap<GitRevision, Arc<Tree>>,
    /// The open pull requests of repositories; `None` for a repository that is not there.
    pub pull_requests: BTreeMap<RepositoryRef, Option<Vec<PullRequest>>>,
    /// The repositories of organizations.
    pub repositories: BTreeMap<OrganizationRef, Vec<Repository>>,
    /// The branches of repositories; the default branch alone where that is asked for.
    pub branches: BTreeMap<BranchesRef, Vec<Branch>>,
    /// Which paths there are in branches.
    pub paths: BTreeMap<PathRef, bool>,
    /// The setting `applicationsetcontroller.enable.new.git.file.globbing` of `argocd-cmd-params-cm`: paths of files
    /// are globs with `**` and `{a,b}`, else git's pathspecs.
    pub new_git_file_globbing: bool,
    /// The setting `reposerver.include.hidden.directories` of `argocd-cmd-params-cm`.
    pub include_hidden_directories: bool,
    /// What templates take as the present.
    pub now: Timestamp,
    /// What random functions of templates draw from: the same seed gives the same Applications.
    pub seed: [u8; 32],
}

/// What has to be fetched before the Applications are known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Need {
    /// An entry of [`Given::trees`].
    Tree(GitRevision),
    /// An entry of [`Given::pull_requests`].
    PullRequests(RepositoryRef),
    /// An entry of [`Given::repositories`].
    Repositories(OrganizationRef),
    /// An entry of [`Given::branches`].
    Branches(BranchesRef),
    /// An entry of [`Given::paths`].
    Path(PathRef),
}

/// A repository at a revision, both as the ApplicationSet names them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GitRevision {
    /// `repoURL`
    pub url: String,
    /// `revision`: a branch, a tag, a commit, `HEAD`; may be empty, which is `HEAD`.
    pub revision: String,
}

/// A repository of a GitHub server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RepositoryRef {
    /// `api`: the URL of GitHub Enterprise's API; empty for github.com.
    pub api: String,
    /// `owner`
    pub owner: String,
    /// `repo`
    pub repository: String,
}

/// An organization of a GitHub server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OrganizationRef {
    /// `api`: the URL of GitHub Enterprise's API; empty for github.com.
    pub api: String,
    /// `organization`
    pub organization: String,
}

/// Branches of a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BranchesRef {
    /// The repository.
    pub repository: RepositoryRef,
    /// The branch that is asked for, which is the default branch; all of them where it is missing (`allBranches`).
    pub only: Option<String>,
}

/// A path in a branch of a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PathRef {
    /// The repository.
    pub repository: RepositoryRef,
    /// The branch.
    pub branch: String,
    /// The path of a file or folder.
    pub path: String,
}

/// A cluster Secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    /// `name` in its data.
    pub name: String,
    /// `server` in its data.
    pub server: String,
    /// `project` in its data.
    pub project: Option<String>,
    /// The Secret's labels.
    pub labels: BTreeMap<String, String>,
    /// The Secret's annotations.
    pub annotations: BTreeMap<String, String>,
}

/// An open pull request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    /// Its number.
    pub number: u64,
    /// Its title.
    pub title: String,
    /// The branch with the changes.
    pub branch: String,
    /// The branch that they are for.
    pub target_branch: String,
    /// The last commit of `branch`.
    pub head_sha: String,
    /// The names of its labels.
    pub labels: Vec<String>,
    /// The login of who opened it.
    pub author: String,
}

/// A repository of an organization.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// The login of the organization, as GitHub spells it.
    pub organization: String,
    /// Its name.
    pub name: String,
    /// Its number at GitHub.
    pub id: i64,
    /// Its URL for SSH.
    pub ssh_url: String,
    /// Its URL for HTTPS.
    pub clone_url: String,
    /// Its default branch.
    pub default_branch: String,
    /// Whether it is archived.
    pub archived: bool,
    /// Its topics.
    pub topics: Vec<String>,
}

/// A branch of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branch {
    /// Its name.
    pub name: String,
    /// Its last commit.
    pub sha: String,
}
