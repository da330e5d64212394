//! What Applications an ApplicationSet makes (`vectors/README.argo.md`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value, json};
use slipway_appset::{
    Branch, Cluster, Generated, GitRevision, Given, Need, PullRequest, Repository, RepositoryRef, generate,
};
use slipway_budget::Budget;
use slipway_manifest::{Object, Tree};

pub(crate) fn check(case: &Value) -> Result<()> {
    match case["kind"].as_str() {
        Some("render") => render(case),
        Some("replace") => replace(case),
        Some(other) => bail!("nobody knows the kind {other}"),
        None => set(case),
    }
}

/// A whole set. Where Argo CD keeps what other generators give beside an error, the set is an error here, and each of
/// these generators by itself gives the same.
fn set(case: &Value) -> Result<()> {
    let spec = &case["applicationset"];
    let (given, github) = (given(&case["inputs"])?, &case["inputs"]["gitHub"]);
    let expected = sorted(case["expected"].as_array().context("a set has expected Applications")?.clone());
    if case.get("error").is_none() {
        return match applications(spec, &given, github) {
            Ok(found) => same(&expected, &sorted(found)),
            // Argo CD looks for duplicates later than the records do.
            Err(error) => {
                let duplicate = expected.windows(2).any(|pair| name(&pair[0]) == name(&pair[1]));
                ensure!(duplicate && format!("{error:#}").contains("duplicate names"), "{error:#}");
                Ok(())
            }
        };
    }
    ensure!(applications(spec, &given, github).is_err(), "expected an error: {}", case["error"]);
    let generators = spec["spec"]["generators"].as_array().context("a set has generators")?;
    let mut others = Vec::new();
    for generator in generators {
        let mut one = spec.clone();
        one["spec"]["generators"] = json!([generator]);
        others.extend(applications(&one, &given, github).unwrap_or_default());
    }
    // Of a generator whose template fails for some parameters Argo CD keeps what it made of others. Without a reason it
    // refuses the set as such.
    let is_whole = case["reason"] == "ApplicationGenerationFromParamsError";
    if is_whole { same(&expected, &sorted(others)) } else { Ok(()) }
}

/// One template with one set of parameters, as a list of one element.
fn render(case: &Value) -> Result<()> {
    let template = &case["template"];
    let made = applications(&wrapped(case, template), &Given::default(), &Value::Null);
    let Some(expected) = case.get("application") else {
        ensure!(made.is_err(), "expected an error: {}", case["error"]);
        return Ok(());
    };
    // A template has a name, and its Application the namespace of the set. Other metadata are no template's.
    let mut expected = expected.clone();
    let metadata = expected["metadata"].as_object_mut().context("an Application has metadata")?;
    metadata.retain(|key, _| ["name", "labels", "annotations", "finalizers"].contains(&key.as_str()));
    metadata.entry("name").or_insert_with(|| json!("unnamed"));
    metadata.insert("namespace".to_owned(), json!("argocd"));
    same(&[expected], &made?)
}

/// One text with one set of parameters, as an annotation.
fn replace(case: &Value) -> Result<()> {
    let template = json!({"metadata": {"annotations": {"text": case["template"]}}, "spec": {}});
    let made = applications(&wrapped(case, &template), &Given::default(), &Value::Null);
    let expected = ["text", "replaced", "expected", "result"].into_iter().find_map(|key| case[key].as_str());
    match (expected, case.get("error")) {
        (Some(text), None) => {
            let made = made?;
            let found = &made.first().context("no Application")?["metadata"]["annotations"]["text"];
            ensure!(found == text, "expected {text:?}, found {found}");
        }
        _ => ensure!(made.is_err(), "expected an error: {}", case["error"]),
    }
    Ok(())
}

fn wrapped(case: &Value, template: &Value) -> Value {
    let mut template = template.clone();
    if template["metadata"]["name"].is_null() {
        template["metadata"]["name"] = json!("unnamed");
    }
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet",
        "metadata": {"name": "set", "namespace": "argocd"},
        "spec": {
            "goTemplate": case["goTemplate"], "goTemplateOptions": case["goTemplateOptions"],
            "syncPolicy": case["syncPolicy"], "template": template,
            "generators": [{"list": {"elements": [case["params"]]}}]}})
}

/// The Applications of a set, without what says that they are ones. What is missing is asked of the case's GitHub.
pub(crate) fn applications(set: &Value, given: &Given, github: &Value) -> Result<Vec<Value>> {
    let set = Object::from_value(set.clone())?;
    let mut given = given.clone();
    loop {
        let all = match generate(&set, &given, &Budget::default())? {
            Generated::Applications(all) => all,
            Generated::Needs(needs) => {
                needs.into_iter().try_for_each(|need| answer(&mut given, need, github))?;
                continue;
            }
        };
        let plain = |object: Object| {
            let mut fields = object.into_value();
            fields.as_object_mut().unwrap().retain(|key, _| key != "apiVersion" && key != "kind");
            fields
        };
        return Ok(all.objects.into_iter().map(plain).collect());
    }
}

/// Gives what is needed, as GitHub's API says it; its paths are the keys of `github`.
fn answer(given: &mut Given, need: Need, github: &Value) -> Result<()> {
    let branch = |branch: &Value| Branch { name: text(branch, "name"), sha: text(&branch["commit"], "sha") };
    match need {
        Need::Tree(revision) => bail!("nothing is known of {revision:?}"),
        Need::PullRequests(repository) => {
            let answer = &github[format!("/repos/{}/{}/pulls", repository.owner, repository.repository)];
            let pulls = answer.as_array().map(|pulls| pulls.iter().map(pull_request).collect());
            given.pull_requests.insert(repository, pulls);
        }
        Need::Repositories(organization) => {
            let path = format!("/orgs/{}/repos", organization.organization);
            let answer = github.get(&path).with_context(|| format!("{path} was not found"))?;
            given.repositories.insert(organization, list(answer).map(repository).collect());
        }
        Need::Branches(wanted) => {
            let path = format!("/repos/{}/{}/branches", wanted.repository.owner, wanted.repository.repository);
            let branches = match &wanted.only {
                Some(only) => github.get(format!("{path}/{only}")).into_iter().map(branch).collect(),
                None => list(&github[path]).map(branch).collect(),
            };
            given.branches.insert(wanted, branches);
        }
        Need::Path(wanted) => {
            let RepositoryRef { owner, repository, .. } = &wanted.repository;
            let path = format!("/repos/{owner}/{repository}/contents/{}?ref={}", wanted.path, wanted.branch);
            let is_there = github.get(path).is_some();
            given.paths.insert(wanted, is_there);
        }
    }
    Ok(())
}

fn pull_request(pull: &Value) -> PullRequest {
    PullRequest {
        number: pull["number"].as_u64().unwrap_or_default(),
        title: text(pull, "title"),
        branch: text(&pull["head"], "ref"),
        target_branch: text(&pull["base"], "ref"),
        head_sha: text(&pull["head"], "sha"),
        labels: list(&pull["labels"]).map(|label| text(label, "name")).collect(),
        author: text(&pull["user"], "login"),
    }
}

fn repository(repository: &Value) -> Repository {
    Repository {
        organization: text(&repository["owner"], "login"),
        name: text(repository, "name"),
        id: repository["id"].as_i64().unwrap_or_default(),
        ssh_url: text(repository, "ssh_url"),
        clone_url: text(repository, "clone_url"),
        default_branch: text(repository, "default_branch"),
        archived: repository["archived"] == true,
        topics: list(&repository["topics"]).filter_map(Value::as_str).map(str::to_owned).collect(),
    }
}

/// What a case gives generators to look at; any repository holds the same.
pub(crate) fn given(inputs: &Value) -> Result<Given> {
    let mut tree = Tree::default();
    for (path, text) in entries(&inputs["gitFiles"]) {
        tree.insert(path, text.as_str().context("a file is a text")?.as_bytes())?;
    }
    for (path, target) in entries(&inputs["gitLinks"]) {
        tree.insert_link(path, target.as_str().context("a link is a text")?)?;
    }
    let tree = Arc::new(tree);
    let url = "https://example.com/repo.git".to_owned();
    let revision = |revision: &str| GitRevision { url: url.clone(), revision: revision.to_owned() };
    let texts = |value: &Value| -> BTreeMap<String, String> {
        entries(value).map(|(key, text)| (key.clone(), text.as_str().unwrap_or_default().to_owned())).collect()
    };
    let clusters = list(&inputs["clusters"]).map(|cluster| Cluster {
        name: text(cluster, "name"),
        server: text(cluster, "server"),
        project: cluster["project"].as_str().map(str::to_owned),
        labels: texts(&cluster["labels"]),
        annotations: texts(&cluster["annotations"]),
    });
    let projects: Option<BTreeSet<String>> =
        inputs["projects"].as_array().map(|all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect());
    Ok(Given {
        clusters: clusters.collect(),
        projects,
        trees: ["HEAD", "", "main"].map(|name| (revision(name), Arc::clone(&tree))).into(),
        new_git_file_globbing: inputs["doublestarGlob"] == true,
        ..Given::default()
    })
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn name(application: &Value) -> &str {
    application["metadata"]["name"].as_str().unwrap_or_default()
}

/// By name: the order of clusters, and so of Applications, is nobody's promise.
fn sorted(mut applications: Vec<Value>) -> Vec<Value> {
    applications.sort_by_key(|one| (name(one).to_owned(), one.to_string()));
    applications
}

fn same(expected: &[Value], found: &[Value]) -> Result<()> {
    crate::framework::same(expected, found).map_err(anyhow::Error::msg)
}
