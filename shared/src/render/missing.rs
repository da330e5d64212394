//! Finds the charts that a render needs and the tree does not have: dependencies of a chart that are not vendored, as
//! `helm dependency build` fetches them, and `helmCharts` of kustomizations, as `helm pull --untar` does.

use serde_json::Value;
use slipway_helm::HelmError;
use slipway_kustomize::Remote;
use slipway_manifest::{Tree, TreeError, tree, yaml};

use super::RenderError;
use crate::source::helm_repository::{ChartFiles, HelmChart};

/// The lock of a chart's dependencies; of `apiVersion: v1` the second.
const LOCKS: [&str; 2] = ["Chart.lock", "requirements.lock"];

/// A chart that a render needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingChart {
    /// The URL of its repository, as it is written.
    pub repo_url: String,
    /// The chart.
    pub chart: HelmChart,
    /// Its version, or a range.
    pub revision: String,
    place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// The folder of the archive.
    Archive(String),
    /// The folder of the files.
    Unpacked(String),
}

impl MissingChart {
    /// The same for an Application of `project`.
    #[must_use]
    pub fn of_project(self, project: &str) -> Self {
        Self { chart: self.chart.of_project(project), ..self }
    }

    /// Adds `files`, those of `version` of the chart, to `tree`, where the render looks for them.
    pub fn add(&self, tree: &mut Tree, version: &str, files: &ChartFiles) -> Result<(), TreeError> {
        match &self.place {
            Place::Archive(folder) => {
                let path = format!("{folder}/{}-{version}.tgz", self.chart.name());
                tree.insert(&path, files.archive.clone())
            }
            Place::Unpacked(folder) => {
                for path in files.tree.files_below("")? {
                    tree.insert(&format!("{folder}/{path}"), files.tree.read_shared(path)?)?;
                }
                Ok(())
            }
        }
    }
}

/// The charts for want of which the render of `tree` failed with `error`; none where it failed otherwise. An error in
/// words where they can't be fetched from what is written.
pub fn missing_charts(error: &RenderError, tree: &Tree) -> Result<Vec<MissingChart>, String> {
    match error {
        RenderError::Helm { path, source } => match &**source {
            HelmError::MissingDependencies { missing, .. } => {
                let folder = tree::join("", path).map_err(|error| error.to_string())?;
                let lock = Lock::read(tree, &folder)?;
                let place = Place::Archive(format!("{folder}/charts").trim_start_matches('/').to_owned());
                let wanted = missing.iter().map(|one| {
                    let revision = lock.revision(&one.name, &one.version)?;
                    chart(&one.repository, &one.name, &revision, place.clone())
                });
                wanted.collect()
            }
            _ => Ok(Vec::new()),
        },
        RenderError::Kustomize { source, .. } => helm_charts(source),
        _ => Ok(Vec::new()),
    }
}

/// The remote base or file for want of which a kustomization failed.
pub(super) fn remote(error: &slipway_kustomize::Error) -> Option<&Remote> {
    match error {
        slipway_kustomize::Error::Remote(remote) => Some(remote),
        slipway_kustomize::Error::Within { source, .. } => remote(source),
        _ => None,
    }
}

fn helm_charts(error: &slipway_kustomize::Error) -> Result<Vec<MissingChart>, String> {
    match error {
        slipway_kustomize::Error::MissingChart { folder, name, repo, version } if !repo.is_empty() => {
            Ok(vec![chart(repo, name, version, Place::Unpacked(folder.clone()))?])
        }
        slipway_kustomize::Error::Within { source, .. } => helm_charts(source),
        _ => Ok(Vec::new()),
    }
}

fn chart(repo_url: &str, name: &str, revision: &str, place: Place) -> Result<MissingChart, String> {
    let is_url = repo_url.starts_with("https://") || repo_url.starts_with("http://") || repo_url.starts_with("oci://");
    if !is_url {
        return Err(format!(
            "chart `{name}` is not in the repository, and its `repository: {repo_url}` is no URL that it can be \
             fetched from: vendor it, or write `https://…` or `oci://…`"
        ));
    }
    let chart = HelmChart::new(repo_url, name).map_err(|error| error.to_string())?;
    let revision = if revision.is_empty() { "*" } else { revision }.to_owned();
    Ok(MissingChart { repo_url: repo_url.to_owned(), chart, revision, place })
}

/// The dependencies with their versions in the lock of a chart; `None` where it has no lock.
struct Lock(Option<Vec<(String, String)>>);

impl Lock {
    fn read(tree: &Tree, folder: &str) -> Result<Self, String> {
        let Some((file, text)) = LOCKS.iter().find_map(|file| {
            let file = tree::join(folder, file).ok()?;
            let text = tree.read_text(&file).ok()?;
            Some((file, text))
        }) else {
            return Ok(Self(None));
        };
        let lock = yaml::parse(text).map_err(|error| format!("`{file}`: {error}"))?;
        let text = |one: &Value, key: &str| Some(one.get(key)?.as_str()?.to_owned());
        let listed = lock.get("dependencies").and_then(Value::as_array).into_iter().flatten();
        Ok(Self(Some(listed.filter_map(|one| Some((text(one, "name")?, text(one, "version")?))).collect())))
    }

    /// The version of the dependency `name`: the locked one that `range` allows (helm/helm
    /// `pkg/downloader/manager.go`, Build), or `range` itself where there is no lock.
    fn revision(&self, name: &str, range: &str) -> Result<String, String> {
        let Some(locked) = &self.0 else { return Ok(range.to_owned()) };
        let allowed = |version: &str| range.is_empty() || HelmChart::allows(range, version);
        let found = locked.iter().find(|(known, version)| known == name && allowed(version));
        found.map(|(_, version)| version.clone()).ok_or_else(|| {
            format!(
                "the lock file of the chart has no `{name}` {range}: it is out of sync, run `helm dependency update`"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use slipway_manifest::Limits;

    use super::*;
    use crate::render::Context;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::new(Limits::default());
        for (path, text) in files {
            tree.insert(path, text.as_bytes()).unwrap();
        }
        tree
    }

    fn missing(files: &[(&str, &str)], path: &str) -> Result<Vec<String>, String> {
        let tree = tree(files);
        let build = crate::render::BuildOptions::parse("--enable-helm").0;
        let error = crate::render::render_folder(&tree, path, &Context { build, ..Context::default() }).unwrap_err();
        let found = missing_charts(&error, &tree)?;
        Ok(found.iter().map(|one| format!("{} {} {:?}", one.chart, one.revision, one.place)).collect())
    }

    const CHART: &str = "apiVersion: v2\nname: web\nversion: 1.0.0\ndependencies:\n\
        - {name: redis, version: 17.x, repository: 'https://charts.example.com'}\n\
        - {name: pg, alias: db, version: ^1.2, repository: 'oci://ghcr.io/acme'}\n";

    #[test]
    fn dependencies_that_are_not_vendored_are_named_with_their_versions() {
        let at = r#"Archive("app/charts")"#;
        let ranges = vec![format!("charts.example.com/redis 17.x {at}"), format!("ghcr.io/acme/pg ^1.2 {at}")];
        assert_eq!(missing(&[("app/Chart.yaml", CHART)], "app").unwrap(), ranges);
        let lock = "dependencies:\n- {name: redis, version: 17.3.2}\n- {name: pg, version: 1.9.0}\n";
        let locked = vec![format!("charts.example.com/redis 17.3.2 {at}"), format!("ghcr.io/acme/pg 1.9.0 {at}")];
        assert_eq!(missing(&[("app/Chart.yaml", CHART), ("app/Chart.lock", lock)], "app").unwrap(), locked);
        let stale = "dependencies:\n- {name: redis, version: 16.0.0}\n- {name: pg, version: 1.9.0}\n";
        let error = missing(&[("app/Chart.yaml", CHART), ("app/Chart.lock", stale)], "app").unwrap_err();
        assert!(error.contains("no `redis` 17.x: it is out of sync"), "{error}");
        let alias = CHART.replace("https://charts.example.com", "@team");
        let error = missing(&[("Chart.yaml", &alias)], "").unwrap_err();
        assert!(error.contains("`repository: @team` is no URL"), "{error}");
    }

    #[test]
    fn helm_charts_of_kustomizations_are_named() {
        let kustomization = "helmCharts:\n- {name: web, repo: 'https://charts.example.com', version: 1.2.3}\n";
        let expected = r#"charts.example.com/web 1.2.3 Unpacked("app/charts/web-1.2.3/web")"#;
        assert_eq!(missing(&[("app/kustomization.yaml", kustomization)], "app").unwrap(), [expected]);
        let local = "helmCharts:\n- {name: web}\n";
        assert_eq!(missing(&[("app/kustomization.yaml", local)], "app").unwrap(), Vec::<String>::new());
        let latest = "helmCharts:\n- {name: web, repo: 'oci://ghcr.io/acme'}\n";
        let expected = r#"ghcr.io/acme/web * Unpacked("charts/web")"#;
        assert_eq!(missing(&[("kustomization.yaml", latest)], "").unwrap(), [expected]);
    }
}
