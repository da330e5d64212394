//! Connects to the cluster and to Git, by flags and the environment.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use secrecy::SecretString;
use serde_json::{Value, json};
use slipway::app::IN_CLUSTER_SERVER;
use slipway::aws::Aws;
use slipway::clusters::Clusters;
use slipway::config;
use slipway::deploy::trust;
use slipway::error::chain;
use slipway::memory::Memory;
use slipway::reconcile::notes::{Note as _, RecordedListings};
use slipway::reconcile::sync;
use slipway::root::places::RootPlaces;
use slipway::root::tracked::{SourceRepository, TrackedSource};
use slipway::root::{self, ResolvedApplication, Root, Then};
use slipway::secret::Secrets;
use slipway::services::{self, Services};
use slipway::source::github::GitHubSettings;
use slipway::source::{Checkouts, local};
use slipway_cluster::Cluster;
use slipway_cluster::state::{self, AppKey, StoredState};
use slipway_gitops::Revisions;
use slipway_gitops::status::Initiator;
use slipway_manifest::Limits;

use super::{Chosen, ClusterFlags, RevisionFlags, SourceFlags};

/// The secret name under which the environment's token is given to the services.
const TOKEN: &str = "GITHUB_TOKEN";
/// Limit of the request for the username: a sync does not wait for it.
const ASK_WHO: Duration = Duration::from_secs(5);

/// Connects to the cluster of the flags.
pub(crate) async fn cluster(flags: &ClusterFlags) -> anyhow::Result<Cluster> {
    connect(settings(flags)?).await
}

/// Connects to the cluster of the settings.
pub(crate) async fn connect(settings: config::Cluster) -> anyhow::Result<Cluster> {
    let aws = Aws::default();
    let signer = variable(config::STATE_SECRET.name).map(|name| services::signer(&Secrets::new(aws.clone()), &name));
    let clusters = Clusters::new(settings, aws, signer);
    let found = clusters.get(IN_CLUSTER_SERVER, "").await.map_err(|error| anyhow!(chain(&error)))?;
    Ok(found.cluster)
}

/// Which cluster the flags and the environment name.
pub(crate) fn settings(flags: &ClusterFlags) -> anyhow::Result<config::Cluster> {
    let context = flags.context.clone();
    if let Some(path) = &flags.kubeconfig {
        return Ok(config::Cluster::Kubeconfig { files: vec![path.clone()], context });
    }
    let set = |name| variable(name).is_some();
    if set(config::KUBECONFIG.name) || set(config::CLUSTER.name) {
        return Ok(match config::cluster(config::environment)? {
            config::Cluster::Kubeconfig { files, .. } => config::Cluster::Kubeconfig { files, context },
            eks @ config::Cluster::Eks { .. } => eks,
        });
    }
    Ok(config::Cluster::Kubeconfig { files: default_kubeconfig()?, context })
}

/// An environment variable that is set and not empty.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// kubectl's default: the files in `KUBECONFIG`, or the one in the home folder.
fn default_kubeconfig() -> anyhow::Result<Vec<PathBuf>> {
    let named = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let files: Vec<PathBuf> = std::env::split_paths(&named).filter(|path| !path.as_os_str().is_empty()).collect();
    if !files.is_empty() {
        return Ok(files);
    }
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".kube/config"));
    home.map(|file| vec![file]).context("name a kubeconfig by --kubeconfig or KUBECONFIG")
}

/// The person who runs this: the cluster's username, which can't be forged, or else the machine's. It is recorded as
/// the initiator of operations.
pub(super) async fn person(cluster: &Cluster) -> Initiator {
    let known = tokio::time::timeout(ASK_WHO, cluster.username()).await.ok().and_then(Result::ok);
    let name = known.or_else(|| variable("USER")).or_else(|| variable("USERNAME")).or_else(|| variable("LOGNAME"));
    Initiator::person(&name.unwrap_or_default())
}

/// The root that a flag or variable names.
pub(crate) fn places(root: &str) -> anyhow::Result<RootPlaces> {
    let places =
        RootPlaces::parse(root).map_err(|error| anyhow!("failed to read the root `{root}`: {}", chain(&error)))?;
    Ok(RootPlaces { options: config::tree_options(config::environment)?, ..places })
}

/// GitHub's API, and the secrets with the credential that the environment has for it; one that `is_local` needs none.
pub(crate) fn github(aws: &Aws, is_local: bool) -> anyhow::Result<(GitHubSettings, Secrets)> {
    let mut given = BTreeMap::new();
    let token = variable(TOKEN).or_else(|| variable("GH_TOKEN"));
    let secret = match (token, variable(config::GITHUB_SECRET.name)) {
        (Some(token), _) => {
            given.insert(TOKEN.to_owned(), SecretString::from(token));
            TOKEN.to_owned()
        }
        (None, Some(secret)) => secret,
        (None, None) if is_local => TOKEN.to_owned(),
        (None, None) => bail!("set GITHUB_TOKEN, or SLIPWAY_GITHUB_SECRET, or name a folder by --local"),
    };
    let api = variable(config::GITHUB_API.name).or_else(|| config::GITHUB_API.default.map(str::to_owned));
    let api = api.unwrap_or_default().trim_end_matches('/').to_owned();
    Ok((GitHubSettings { api, secret, memory: Memory::default() }, Secrets::with(aws.clone(), given)))
}

/// The applications that have a state in the cluster.
pub(super) async fn keys(cluster: &Cluster) -> anyhow::Result<Vec<AppKey>> {
    state::list(cluster).await.with_context(|| format!("failed to read the states in {}", cluster.server()))
}

/// The names of the chosen applications.
pub(super) async fn chosen(cluster: &Cluster, chosen: &Chosen) -> anyhow::Result<Vec<String>> {
    let mut names = chosen.names();
    if chosen.is_by_group() {
        for key in keys(cluster).await? {
            let recorded = state::read(cluster, &key).await?;
            if recorded.is_some_and(|found| application(&found).is_ok_and(|about| chosen.fits(&about))) {
                names.push(format!("{}/{}", key.namespace, key.name));
            }
        }
    }
    if names.is_empty() {
        bail!("no application is chosen: name one, or choose by --selector or --project");
    }
    Ok(names)
}

/// The recorded state of the one application of that name.
pub(super) async fn recorded(cluster: &Cluster, name: &str) -> anyhow::Result<StoredState> {
    let keys = keys(cluster).await?;
    let key = find(&keys, name)?;
    state::read(cluster, key).await?.with_context(|| format!("{name} was deleted just now"))
}

/// The application in Argo CD's shape.
pub(super) fn application(recorded: &StoredState) -> anyhow::Result<Value> {
    let mut application = recorded.state.notes.get("application").cloned().unwrap_or_else(|| json!({}));
    if let Some(fields) = application.as_object_mut() {
        fields.insert("status".to_owned(), serde_json::to_value(&recorded.state.status)?);
    }
    Ok(application)
}

/// Finds the one application of that name.
fn find<'a>(keys: &'a [AppKey], name: &str) -> anyhow::Result<&'a AppKey> {
    let is_meant = |key: &&AppKey| key.name == name || format!("{}/{}", key.namespace, key.name) == name;
    let meant: Vec<&AppKey> = keys.iter().filter(is_meant).collect();
    match meant.as_slice() {
        [key] => Ok(key),
        [] if keys.is_empty() => bail!("no application `{name}`: Slipway has deployed nothing to this cluster"),
        [] => {
            let names: Vec<String> =
                keys.iter().take(20).map(|key| format!("{}/{}", key.namespace, key.name)).collect();
            bail!("no application `{name}` in this cluster; there are: {}", names.join(", "))
        }
        several => {
            let names: Vec<String> =
                several.iter().map(|key| format!("{}/{} of {}", key.namespace, key.name, key.root)).collect();
            bail!("`{name}` is more than one application: {}", names.join(", "))
        }
    }
}

/// The root by which the application `name`, or where that is empty all of the cluster, was deployed.
async fn deployed_root(cluster: &Cluster, name: &str) -> anyhow::Result<String> {
    if !name.is_empty() {
        return Ok(recorded(cluster, name).await?.app.root);
    }
    let roots: BTreeSet<String> = keys(cluster).await?.into_iter().map(|key| key.root).collect();
    match roots.into_iter().collect::<Vec<_>>().as_slice() {
        [root] => Ok(root.clone()),
        [] => bail!("Slipway has deployed nothing to this cluster"),
        several => bail!("this cluster is deployed by several: {}", several.join(", ")),
    }
}

/// The functions' services, with the root that they read.
pub(crate) struct CliContext {
    pub(crate) engine: Services,
    pub(super) checkouts: Checkouts,
    pub(crate) root: Root,
}

impl CliContext {
    /// Creates the services of the flags, with the root read. Without a flag or variable for the root, it is the one by
    /// which the application `name` was deployed; where `name` is empty, the one of all applications.
    pub(crate) async fn open(flags: &SourceFlags, name: &str) -> anyhow::Result<Self> {
        let cluster = settings(&flags.cluster)?;
        let root = match flags.root.clone().or_else(|| variable(config::ROOT.name)) {
            Some(root) => root,
            None => deployed_root(&self::cluster(&flags.cluster).await?, name)
                .await
                .context("name the root by --root or SLIPWAY_ROOT")?,
        };
        let aws = Aws::default();
        let (github, secrets) = github(&aws, flags.local.is_some())?;
        let settings = config::Settings {
            github,
            cluster,
            state_secret: variable(config::STATE_SECRET.name),
            sync_timeout: sync::SYNC_TIMEOUT,
            local_hosts: config::local_hosts(config::environment),
            repository_secret: variable(config::REPOSITORY_SECRET.name),
            sops: config::sops(config::environment),
            slack: None,
            root: places(&root)?,
        };
        let engine = Services::new(settings, aws, secrets);
        let checkouts = match &flags.local {
            Some(folder) => {
                let tree = local::read(folder, Limits::default()).map_err(|error| anyhow!(chain(&error)))?;
                let repo = engine.root.location.url.repo.clone();
                engine.equip(Checkouts::of_folder(engine.github.clone(), repo, tree)?)
            }
            None => engine.checkouts(),
        };
        let root = Box::pin(engine.load_root(&checkouts)).await?;
        for problem in &root.problems {
            crate::eprintln(&format!("warning: {problem}"));
        }
        Ok(Self { engine, checkouts, root })
    }

    /// The application `name`, or `NAMESPACE/NAME`.
    pub(super) fn member(&self, name: &str) -> anyhow::Result<&ResolvedApplication> {
        let full = |member: &ResolvedApplication| {
            let (namespace, name) = member.identity();
            format!("{namespace}/{name}")
        };
        let meant: Vec<&ResolvedApplication> = self.root.members.iter().filter(|one| one.is_named(name)).collect();
        match meant.as_slice() {
            [member] => Ok(member),
            [] => {
                let names: Vec<String> = self.root.members.iter().take(20).map(full).collect();
                bail!("no application `{name}` at {}; there are: {}", self.engine.root.location, names.join(", "))
            }
            several => {
                let names: Vec<String> = several.iter().map(|one| full(one)).collect();
                bail!("`{name}` is more than one application: {}", names.join(", "))
            }
        }
    }

    /// The application of the state `found` as in the root, or as in the root of its last deployment.
    pub(super) async fn last_member(&self, found: &StoredState) -> anyhow::Result<ResolvedApplication> {
        let is_it =
            |member: &&ResolvedApplication| member.identity() == (found.app.namespace.clone(), found.app.name.clone());
        if let Some(member) = self.root.members.iter().find(is_it) {
            return Ok(member.clone());
        }
        let about = found.state.notes.get("application");
        let sha = about.and_then(|about| about.get("rootRevision")?.as_str()).context("its manifest is nowhere")?;
        let location = &self.engine.root.location;
        let repository = SourceRepository::Git(location.url.repo.clone());
        let tracked = TrackedSource { repository, revision: location.revision.clone() };
        trust::check(&self.checkouts, (&found.app, &found.state), &tracked, sha)
            .await
            .map_err(|error| anyhow!(chain(&error)))?;
        let listed = RecordedListings::of(&found.state).map(|recorded| recorded.0);
        let then = Then { projects: Some(&self.root.projects), listings: listed.as_ref(), recorded: None };
        let root = root::load_at(&self.engine.root, &self.checkouts, sha, then);
        let root = Box::pin(root).await?;
        root.members.iter().find(is_it).cloned().with_context(|| format!("the root at {sha} does not have it"))
    }

    /// The commits of the sources of `member`, each as `chosen` or else as it tracks them.
    pub(super) async fn revisions(
        &self,
        member: &ResolvedApplication,
        chosen: &RevisionFlags,
    ) -> anyhow::Result<Revisions> {
        let tracked = member.tracked.with(&chosen.of(member)?);
        tracked.resolve(&self.checkouts).await.map_err(|error| anyhow!(chain(&error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_or_suggested() {
        let key =
            |namespace: &str, name: &str| AppKey { root: "r".into(), namespace: namespace.into(), name: name.into() };
        let keys = [key("argocd", "web"), key("team", "web"), key("argocd", "db")];
        assert_eq!(find(&keys, "db").unwrap(), &keys[2]);
        assert_eq!(find(&keys, "team/web").unwrap(), &keys[1]);
        assert!(find(&keys, "web").unwrap_err().to_string().contains("more than one"));
        assert!(find(&keys, "x").unwrap_err().to_string().contains("argocd/db"));
        assert!(find(&[], "x").unwrap_err().to_string().contains("deployed nothing"));
    }
}
