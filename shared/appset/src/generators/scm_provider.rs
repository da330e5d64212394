//! `scmProvider`: the repositories of an organization on GitHub, and their branches.

use serde_json::Value;
use slipway_gocompat::regexp::Regex;
use slipway_gotmpl::Map;

use super::pull_request::{compiled, short};
use super::{Failure, Generators, Params};
use crate::ErrorKind;
use crate::given::{Branch, BranchesRef, Need, OrganizationRef, PathRef, Repository, RepositoryRef};
use crate::policy::{items, text, texts};
use crate::slug::sanitize_name;

/// A compiled filter. One with a path or a branch is for branches, another for repositories.
struct Filter {
    repository: Option<Regex>,
    label: Option<Regex>,
    branch: Option<Regex>,
    paths_exist: Vec<String>,
    paths_do_not_exist: Vec<String>,
    is_for_branches: bool,
}

impl Filter {
    fn of(filter: &Value, path: &str) -> Result<Self, Failure> {
        let [repository, label, branch] = compiled(filter, &["repositoryMatch", "labelMatch", "branchMatch"], path)?;
        let paths =
            |field: &str| texts(&filter[field]).iter().map(|path| path.trim_end_matches('/').to_owned()).collect();
        let has = |field: &str| !filter[field].is_null();
        Ok(Self {
            paths_exist: paths("pathsExist"),
            paths_do_not_exist: paths("pathsDoNotExist"),
            is_for_branches: branch.is_some() || has("pathsExist") || has("pathsDoNotExist"),
            repository,
            label,
            branch,
        })
    }

    fn is_for_repositories(&self) -> bool {
        !self.is_for_branches && (self.repository.is_some() || self.label.is_some())
    }

    fn selects(&self, repository: &Repository, branch: &str) -> bool {
        let matches = |regex: &Option<Regex>, text: &str| regex.as_ref().is_none_or(|regex| regex.is_match(text));
        matches(&self.repository, &repository.name)
            && matches(&self.branch, branch)
            && self.label.as_ref().is_none_or(|regex| repository.topics.iter().any(|topic| regex.is_match(topic)))
    }
}

pub(super) fn params(run: &Generators<'_>, generator: &Value, path: &str) -> Result<Params, Failure> {
    let github = &generator["github"];
    if github.is_null() {
        let advice = "only organizations of GitHub are read; give `github`";
        return Err((path.to_owned(), ErrorKind::Unsupported { advice }));
    }
    let is_ssh = match text(&generator["cloneProtocol"]) {
        "" | "ssh" => true,
        "https" => false,
        other => {
            let kind = ErrorKind::Unknown { found: other.to_owned(), allowed: "ssh, https" };
            return Err((format!("{path}.cloneProtocol"), kind));
        }
    };
    let filters = items(&generator["filters"]).enumerate();
    let filters: Vec<Filter> = filters
        .map(|(index, filter)| Filter::of(filter, &format!("{path}.filters[{index}]")))
        .collect::<Result<_, _>>()?;
    let organization = OrganizationRef {
        api: text(&github["api"]).to_owned(),
        organization: text(&github["organization"]).to_owned(),
    };
    let Some(repositories) = run.given(&run.given.repositories, organization, Need::Repositories) else {
        return Ok(None);
    };
    let mut all = Some(Vec::new());
    for repository in repositories {
        run.budget().step(1 + filters.len() as u64).map_err(|over| (path.to_owned(), over.into()))?;
        let for_repositories = || filters.iter().filter(|filter| filter.is_for_repositories());
        let is_selected = for_repositories().next().is_none()
            || for_repositories().any(|filter| filter.selects(repository, &repository.default_branch));
        if github["excludeArchivedRepos"] == true && repository.archived || !is_selected {
            continue;
        }
        let reference = RepositoryRef {
            api: text(&github["api"]).to_owned(),
            owner: repository.organization.clone(),
            repository: repository.name.clone(),
        };
        let only = (github["allBranches"] != true).then(|| repository.default_branch.clone());
        let branches = BranchesRef { repository: reference.clone(), only };
        let Some(branches) = run.given(&run.given.branches, branches, Need::Branches) else {
            all = None;
            continue;
        };
        for branch in branches {
            match is_wanted(run, &filters, repository, &reference, branch) {
                None => all = None,
                Some(false) => {}
                Some(true) => {
                    let params = of_branch(repository, branch, is_ssh);
                    run.add_values(generator, &params, path)?;
                    all.as_mut().into_iter().for_each(|all| all.push(params.clone()));
                }
            }
        }
    }
    Ok(all)
}

/// Whether a filter for branches selects the branch; `None` before it is known which paths it has.
fn is_wanted(
    run: &Generators<'_>,
    filters: &[Filter],
    repository: &Repository,
    reference: &RepositoryRef,
    branch: &Branch,
) -> Option<bool> {
    let has = |path: &String| {
        let path = PathRef { repository: reference.clone(), branch: branch.name.clone(), path: path.clone() };
        run.given(&run.given.paths, path, Need::Path).copied()
    };
    let mut filters = filters.iter().filter(|filter| filter.is_for_branches).peekable();
    if filters.peek().is_none() {
        return Some(true);
    }
    let mut is_known = true;
    for filter in filters.filter(|filter| filter.selects(repository, &branch.name)) {
        let wanted = filter.paths_exist.iter().map(|path| (path, true));
        let paths = wanted.chain(filter.paths_do_not_exist.iter().map(|path| (path, false)));
        let mut fits = Some(true);
        for (path, wanted) in paths {
            match (has(path), fits) {
                (Some(found), _) if found != wanted => fits = Some(false),
                (None, Some(true)) => fits = None,
                _ => {}
            }
        }
        match fits {
            Some(true) => return Some(true),
            Some(false) => {}
            None => is_known = false,
        }
    }
    is_known.then_some(false)
}

fn of_branch(repository: &Repository, branch: &Branch, is_ssh: bool) -> Map {
    let params: Map = [
        ("organization", repository.organization.clone()),
        ("repository", repository.name.clone()),
        ("url", if is_ssh { &repository.ssh_url } else { &repository.clone_url }.clone()),
        ("branch", branch.name.clone()),
        ("branchNormalized", sanitize_name(&branch.name)),
        ("sha", branch.sha.clone()),
        ("short_sha", short(&branch.sha, 8)),
        ("short_sha_7", short(&branch.sha, 7)),
        ("labels", repository.topics.join(",")),
    ]
    .into_iter()
    .map(|(name, text)| (name, text.into()))
    .collect();
    params.insert("repository_id", slipway_gotmpl::Value::int64(repository.id));
    params
}
