//! `pullRequest`: the open pull requests of a repository on GitHub.

use serde_json::Value;
use slipway_gocompat::regexp::{self, Regex};
use slipway_gotmpl::Map;

use super::{Failure, Generators, Params};
use crate::ErrorKind;
use crate::given::{Need, PullRequest, RepositoryRef};
use crate::params::text_list;
use crate::policy::{items, text, texts};
use crate::slug::branch_slug;

/// The fields of a filter.
const FILTERS: [&str; 3] = ["branchMatch", "targetBranchMatch", "titleMatch"];

pub(super) fn params(run: &Generators<'_>, generator: &Value, path: &str) -> Result<Params, Failure> {
    let github = &generator["github"];
    if github.is_null() {
        let advice = "only pull requests of GitHub are read; give `github`";
        return Err((path.to_owned(), ErrorKind::Unsupported { advice }));
    }
    let filters = items(&generator["filters"]).enumerate();
    let filters: Vec<_> = filters
        .map(|(index, filter)| compiled(filter, &FILTERS, &format!("{path}.filters[{index}]")))
        .collect::<Result<_, _>>()?;
    let repository = RepositoryRef {
        api: text(&github["api"]).to_owned(),
        owner: text(&github["owner"]).to_owned(),
        repository: text(&github["repo"]).to_owned(),
    };
    let name = format!("{}/{}", repository.owner, repository.repository);
    let Some(pulls) = run.given(&run.given.pull_requests, repository, Need::PullRequests) else { return Ok(None) };
    let Some(pulls) = pulls else {
        let is_ignored = generator["continueOnRepoNotFoundError"] == true;
        let missing = || (format!("{path}.github"), ErrorKind::Repository(name));
        return if is_ignored { Ok(Some(Vec::new())) } else { Err(missing()) };
    };
    let labels = texts(&github["labels"]);
    let mut all = Vec::new();
    for pull in pulls {
        let fields = [&pull.branch, &pull.target_branch, &pull.title];
        run.budget().scan(fields.map(String::len).iter().sum()).map_err(|over| (path.to_owned(), over.into()))?;
        let is_named = labels.iter().all(|label| pull.labels.contains(label));
        let is_selected = |filter: &[Option<Regex>; 3]| {
            filter.iter().zip(fields).all(|(regex, field)| regex.as_ref().is_none_or(|regex| regex.is_match(field)))
        };
        if is_named && (filters.is_empty() || filters.iter().any(is_selected)) {
            let params = of_pull_request(pull, run.templates.is_go());
            run.add_values(generator, &params, path)?;
            all.push(params);
        }
    }
    Ok(Some(all))
}

/// The regular expressions of a filter by `fields`.
pub(super) fn compiled<const N: usize>(
    filter: &Value,
    fields: &[&str; N],
    path: &str,
) -> Result<[Option<Regex>; N], Failure> {
    let mut all = [const { None }; N];
    for (regex, field) in all.iter_mut().zip(fields) {
        if let Some(pattern) = filter[*field].as_str() {
            *regex = Some(regexp::compile(pattern).map_err(|e| (format!("{path}.{field}"), e.into()))?);
        }
    }
    Ok(all)
}

fn of_pull_request(pull: &PullRequest, go: bool) -> Map {
    let params: Map = [
        ("number", pull.number.to_string()),
        ("title", pull.title.clone()),
        ("branch", pull.branch.clone()),
        ("branch_slug", branch_slug(&pull.branch)),
        ("target_branch", pull.target_branch.clone()),
        ("target_branch_slug", branch_slug(&pull.target_branch)),
        ("head_sha", pull.head_sha.clone()),
        ("head_short_sha", short(&pull.head_sha, 8)),
        ("head_short_sha_7", short(&pull.head_sha, 7)),
        ("author", pull.author.clone()),
    ]
    .into_iter()
    .map(|(name, text)| (name, text.into()))
    .collect();
    if go {
        params.insert("labels", text_list(pull.labels.iter().map(String::as_str)));
    }
    params
}

/// The beginning of a commit's name.
pub(super) fn short(sha: &str, length: usize) -> String {
    sha.chars().take(length).collect()
}
