//! Implements `slipway root check`: reads the tree of Applications, and tells of each whether it can be deployed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, ValueEnum};
use secrecy::SecretString;
use slipway::app::{Application, Undeclared};
use slipway::aws::Aws;
use slipway::config;
use slipway::error::chain;
use slipway::memory::Memory;
use slipway::render;
use slipway::root::check::{self, CheckedApplication};
use slipway::root::declared::Problem;
use slipway::root::environments::{self, Folders};
use slipway::root::fetch::{Fetch, fetch_wanted, read_tree};
use slipway::root::places;
use slipway::root::repositories::Repositories;
use slipway::root::tree::{ApplicationTree, TreeOptions};
use slipway::secret::Secrets;
use slipway::source::credentials::Credentials;
use slipway::source::github::{Checkout, GitHub, GitHubSettings};
use slipway::source::helm_repository::{self, HelmRepositories};
use slipway::source::{Checkouts, Location, RepoUrl, local};
use slipway_manifest::Limits;

use super::local::{NOWHERE, guess, remotes};
use super::print;
pub(crate) use super::print::Report;

/// The name under which the environment's token is given.
const TOKEN: &str = "GITHUB_TOKEN";

#[derive(Args)]
pub(crate) struct Arguments {
    /// A folder with Applications: `https://github.com/OWNER/REPO//PATH?ref=BRANCH`, or a path in the local folder; `*`
    /// in a path stands for environments side by side. Without it: all plain manifests of the local folder, or
    /// `SLIPWAY_ROOT`.
    #[arg(long = "root", value_name = "URL")]
    roots: Vec<String>,
    /// A local folder that stands for its repository at every revision, however manifests spell the URL.
    #[arg(long, value_name = "FOLDER")]
    local: Option<PathBuf>,
    /// Fetch nothing: what is in other repositories is needed, not checked.
    #[arg(long)]
    offline: bool,
    /// How to print: for people, as JSON, or as annotations of GitHub's workflows.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
    /// Instead of what the environment says of GitHub.
    #[arg(skip)]
    github: Option<GitHubLogin>,
}

/// GitHub's API, and a token for it.
#[derive(Clone)]
pub(crate) struct GitHubLogin {
    pub(crate) api: String,
    pub(crate) token: SecretString,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
    Github,
}

impl Arguments {
    /// Those that read the tree, and print nothing.
    pub(crate) fn reading(roots: Vec<String>, local: Option<PathBuf>, offline: bool) -> Self {
        Self { roots, local, offline, output: Format::Text, github: None }
    }

    /// Those that read `roots` by a login of their own.
    pub(crate) fn logged_in(roots: Vec<String>, github: GitHubLogin) -> Self {
        Self { github: Some(github), ..Self::reading(roots, None, false) }
    }
}

/// Checks the root; the exit code is 1 where an Application is refused or something else is wrong.
pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let mut folder = None;
    let options = config::tree_options(config::environment)?;
    let report = Box::pin(check(arguments, &options, &mut folder)).await?;
    let files = folder.as_ref().map(|folder| &*folder.checkout.tree);
    print::print(&report, arguments.output, files);
    Ok(u8::from(report.is_wrong()))
}

/// Checks what the arguments name, read with `options`; the local folder is read into `folder`.
pub(crate) async fn check(
    arguments: &Arguments,
    options: &TreeOptions,
    folder: &mut Option<LocalFolder>,
) -> anyhow::Result<Report> {
    let is_strict = options.undeclared != Undeclared::Open;
    let options = TreeOptions { undeclared: Undeclared::Open, assumes_clusters: true, ..options.clone() };
    let mut report = Report::default();
    let checkouts = checkouts(arguments);
    let mut open = environments(arguments, folder).await?;
    open.reverse();
    while let Some(environment) = open.pop() {
        let (tree, mut repositories) = read(arguments, &environment, folder.as_ref(), &options).await?;
        let apart = environments::apart(&environment.folders, &tree.in_several_places);
        if apart.len() > 1 {
            report.problems(&told_apart(&environment.folders, &tree));
            let locations = &environment.locations;
            let apart = apart.into_iter().map(|folders| Environment { folders, locations: locations.clone() });
            open.extend(apart.rev());
            continue;
        }
        checkouts.credentials().declare(&tree.manifests);
        let dependencies = check::dependencies(&tree);
        let tree = Arc::new(tree);
        for one in tree.applications.iter().chain(&tree.duplicates) {
            let wrong = dependencies.get(&one.identity).map(|error| chain(error));
            let mut checked = loop {
                let (one, tree, at_hand) = (one.clone(), Arc::clone(&tree), repositories.clone());
                let work = move |budget: &_| Ok(check::check(&one, &tree, &at_hand, budget));
                let mut checked = render::in_background(Memory::default().render(), work)
                    .await
                    .map_err(|error| anyhow!(chain(&error)))?;
                if checked.wanted.is_empty() || arguments.offline {
                    break checked;
                }
                let wanted = std::mem::take(&mut checked.wanted);
                Box::pin(fetch_wanted(wanted, &mut repositories, &checkouts, environment.host())).await;
            };
            checked.refused.extend(wrong);
            report.add(checked);
        }
        check::unexpanded(&tree).for_each(|set| report.add(set));
        report.problems(&tree.problems);
        if is_strict {
            report.problems(&undeclared(&tree));
        }
    }
    if report.is_empty() {
        bail!("no Application was found: name the folder of some by --root");
    }
    Ok(report)
}

/// What roots that declare the same names are told: as places of one root the second declaration has no effect.
fn told_apart(folders: &Folders, tree: &ApplicationTree) -> Vec<Problem> {
    let text = |(what, places): (&String, &BTreeSet<usize>)| {
        let named = places.iter().filter_map(|at| folders.get(*at)).map(|folder| format!("`/{folder}`"));
        let named: Vec<String> = named.collect();
        format!(
            "{what} is declared by the roots {}, which are checked apart: one Slipway can have one of them only",
            named.join(" and ")
        )
    };
    tree.in_several_places.iter().map(|shared| Problem::warning(text(shared))).collect()
}

/// The projects that nothing declares: they may come from elsewhere, which a setting says.
fn undeclared(tree: &ApplicationTree) -> Vec<Problem> {
    let apps = tree.applications.iter().filter_map(|one| one.app.as_ref().ok());
    let names: BTreeSet<&str> =
        apps.map(|app| app.project.as_str()).filter(|name| !tree.projects.is_known(name)).collect();
    let text = |name: &str| {
        format!(
            "AppProject `{name}` is declared nowhere: add its manifest to a root, or set {}=declared-or-open if it is \
             made elsewhere",
            config::PROJECTS.name
        )
    };
    names.into_iter().map(|name| Problem::of(text(name), None)).collect()
}

/// The local folder, and the repositories that it is.
pub(crate) struct LocalFolder {
    own: BTreeSet<RepoUrl>,
    checkout: Arc<Checkout>,
}

/// What is read together: places of the local folder by path, places elsewhere by location.
pub(crate) struct Environment {
    folders: Folders,
    locations: Vec<Location>,
}

impl Environment {
    /// GitHub's host.
    pub(crate) fn host(&self) -> &str {
        self.locations.first().map_or("github.com", |location| location.url.host.as_str())
    }
}

/// What the arguments name; the local folder is read into `folder`.
pub(crate) async fn environments(
    arguments: &Arguments,
    folder: &mut Option<LocalFolder>,
) -> anyhow::Result<Vec<Environment>> {
    let mut roots = arguments.roots.clone();
    if roots.is_empty() && arguments.local.is_none() {
        roots.push(std::env::var(config::ROOT.name).context("name a root by --root, or a folder by --local")?);
    }
    let is_url = |root: &str| root.contains("://") || root.starts_with("git@");
    let (urls, paths): (Vec<String>, Vec<String>) = roots.into_iter().partition(|root| is_url(root));
    let mut locations = Vec::new();
    for url in urls {
        locations.push(url.parse::<Location>().with_context(|| format!("failed to read the root `{url}`"))?);
    }
    let Some(path) = &arguments.local else {
        if let Some(path) = paths.first() {
            bail!("`{path}` is a path in a local folder: name that by --local");
        }
        return Ok(vec![Environment { folders: Vec::new(), locations }]);
    };
    let files = local::read(path, Limits::default()).map_err(|error| anyhow!(chain(&error)))?;
    let mut own = remotes(path);
    if own.is_empty() {
        own.extend(locations.first().map(|location| location.url.clone()));
    }
    let mut patterns = paths;
    let (here, elsewhere): (Vec<Location>, Vec<Location>) =
        locations.into_iter().partition(|location| own.contains(&location.url));
    patterns.extend(here.into_iter().map(|location| location.path));
    let environments = if patterns.is_empty() && elsewhere.is_empty() {
        vec![environments::whole(&files)?]
    } else {
        environments::environments(&files, &patterns)?
    };
    own.insert(NOWHERE.parse()?);
    let checkouts = Checkouts::of_folder(github(arguments), NOWHERE.parse::<RepoUrl>()?.repo, files)?;
    let checkout = checkouts.get(&NOWHERE.parse::<RepoUrl>()?.repo, "HEAD").await?;
    *folder = Some(LocalFolder { own, checkout });
    Ok(environments.into_iter().map(|folders| Environment { folders, locations: elsewhere.clone() }).collect())
}

/// Reads the tree of an environment. Where nothing says which repository the local folder is, it is guessed.
pub(crate) async fn read(
    arguments: &Arguments,
    environment: &Environment,
    folder: Option<&LocalFolder>,
    options: &TreeOptions,
) -> anyhow::Result<(ApplicationTree, Repositories)> {
    let mut places: Vec<Application> = Vec::new();
    for folder in &environment.folders {
        places.push(places::of_folder(NOWHERE, folder, "HEAD")?);
    }
    for location in &environment.locations {
        places.push(places::of_folder(&location.url.to_string(), &location.path, &location.revision)?);
    }
    let checkouts = checkouts(arguments);
    let host = environment.host();
    let fetch = (!arguments.offline).then_some(Fetch { checkouts: &checkouts, host, pinned: None, recorded: None });
    let Some(folder) = folder else {
        let mut repositories = Repositories::of_host(host);
        let tree = read_tree(&places, &mut repositories, options, fetch).await;
        return Ok((tree.map_err(|error| anyhow!(chain(&error)))?, repositories));
    };
    let mut own = folder.own.clone();
    loop {
        let mut repositories = Repositories::of_folder(own.clone(), Arc::clone(&folder.checkout));
        let is_known = own.len() > 1;
        let fetch = fetch.filter(|_| is_known);
        let tree = read_tree(&places, &mut repositories, options, fetch).await;
        let tree = tree.map_err(|error| anyhow!(chain(&error)))?;
        match guess(&tree, &folder.checkout.tree).filter(|_| !is_known) {
            Some(url) => {
                crate::eprintln(&format!("the local folder is taken for {url}, which most of its Applications name"));
                own.insert(url);
            }
            None => return Ok((tree, repositories)),
        }
    }
}

/// What is fetched, with the credentials that the environment names.
pub(crate) fn checkouts(arguments: &Arguments) -> Checkouts {
    let hosts = config::local_hosts(config::environment);
    let repositories = HelmRepositories::new(hosts, helm_repository::TIMEOUT).with_ecr(Aws::default());
    let name = config::environment(config::REPOSITORY_SECRET.name).filter(|name| !name.is_empty());
    let credentials = name.map(|name| Credentials::of_secret(Secrets::new(Aws::default()), name));
    let credentials = Arc::new(credentials.unwrap_or_default());
    Checkouts::new(github(arguments)).with_charts(repositories).with_credentials(credentials)
}

/// The client for what is fetched, with the token of the environment if there is one.
fn github(arguments: &Arguments) -> GitHub {
    let GitHubLogin { api, token } = arguments.github.clone().unwrap_or_else(GitHubLogin::of_environment);
    let given = [(TOKEN.to_owned(), token)].into();
    GitHub::new(
        GitHubSettings { api, secret: TOKEN.to_owned(), memory: Memory::default() },
        Secrets::with(Aws::default(), given),
    )
}

impl GitHubLogin {
    /// What the environment says.
    pub(crate) fn of_environment() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let token = variable(TOKEN).or_else(|| variable("GH_TOKEN")).unwrap_or_default();
        let api = variable(config::GITHUB_API.name).or_else(|| config::GITHUB_API.default.map(str::to_owned));
        Self { api: api.unwrap_or_default().trim_end_matches('/').to_owned(), token: token.into() }
    }
}

impl Report {
    /// Adds what came of a check; an Application that is read in several environments once, by its worst result.
    fn add(&mut self, checked: CheckedApplication) {
        let is_same =
            |one: &&mut CheckedApplication| one.identity == checked.identity && one.declared == checked.declared;
        match self.applications.iter_mut().find(is_same) {
            Some(known) if known.verdict() < checked.verdict() => *known = checked,
            Some(_) => {}
            None => self.applications.push(checked),
        }
    }

    fn problems(&mut self, problems: &[Problem]) {
        for problem in problems {
            if !self.problems.contains(problem) {
                self.problems.push(problem.clone());
            }
        }
    }
}
