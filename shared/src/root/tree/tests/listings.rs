//! Sets that look at what GitHub lists.

use slipway_appset::{Need, PullRequest, RepositoryRef};

use super::*;
use crate::root::listings::Listing;
use crate::root::repositories::Unlisted;

fn web() -> Need {
    Need::PullRequests(RepositoryRef { api: String::new(), owner: "acme".to_owned(), repository: "web".to_owned() })
}

fn read_listed(files: &[(&str, &str)], listed: Option<Result<Listing, Unlisted>>) -> ApplicationTree {
    let mut repositories = repositories(files);
    if let Some(listed) = listed {
        repositories.insert_listing(web(), listed);
    }
    let place = places::of_folder(ROOT, "root", "HEAD").unwrap();
    read(&[place], &repositories, &TreeOptions::default(), &Budget::default())
}

fn one() -> Listing {
    Listing::PullRequests(Some(vec![PullRequest { number: 7, ..PullRequest::default() }]))
}

fn previews() -> String {
    set("previews", "{pullRequest: {github: {owner: acme, repo: web}}}", "pr-{{number}}", "apps")
}

#[test]
fn what_is_not_listed_yet_is_asked_for() {
    let previews = previews();
    let files = [("root/a.yaml", previews.as_str()), ("root/b.yaml", &leaf("b"))];
    let tree = read_listed(&files, None);
    assert_eq!((names(&tree), &tree.unlisted), (vec!["b"], &BTreeSet::from([web()])));
    assert!(tree.incomplete.iter().all(|part| part.is_missing) && !tree.incomplete.is_empty());
    let tree = read_listed(&files, Some(Ok(one())));
    assert_eq!((names(&tree), &tree.looked_at), (vec!["b", "pr-7"], &BTreeSet::from([web()])));
    assert!(tree.applications[1].listings.is_some() && tree.applications[1].set.is_some());
    let failed = Unlisted { reason: Unavailable::Failed("GitHub answered 500".to_owned()), is_retryable: true };
    let tree = read_listed(&files, Some(Err(failed)));
    assert!(names(&tree) == ["b"] && tree.incomplete.iter().any(|part| !part.is_missing), "{}", problems(&tree));
}

/// A set that an Application declares sees what that Application's project allows.
#[test]
fn lists_are_those_of_the_project() {
    let project = |sources: &str| {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: AppProject\nmetadata: {{name: team, namespace: argocd}}\n\
             spec: {{sourceRepos: [{sources}], destinations: [{{server: '*', namespace: '*'}}]}}\n"
        )
    };
    let (tenant, previews) = (app("tenant", "tenant", "team", "argocd"), previews());
    let own = "'git@github.com:acme/gitops.git'";
    for (sources, expected) in [
        (own.to_owned(), vec!["tenant"]),
        (format!("{own}, 'https://github.com/acme/*'"), vec!["tenant", "pr-7"]),
        ("'*'".to_owned(), vec!["tenant", "pr-7"]),
    ] {
        let project = project(&sources);
        let files =
            [("root/a.yaml", tenant.as_str()), ("root/project.yaml", &project), ("tenant/previews.yaml", &previews)];
        let tree = read_listed(&files, Some(Ok(one())));
        assert_eq!(names(&tree), expected, "{sources}: {}", problems(&tree));
        if expected.len() == 1 {
            assert!(problems(&tree).contains("https://github.com/acme/web"), "{}", problems(&tree));
            assert!(tree.looked_at.is_empty() && !tree.incomplete.is_empty());
        }
    }
}
