//! Reads Argo CD Image Updater's annotations of an Application (argoproj-labs/argocd-image-updater
//! `docs/configuration/`, `pkg/argocd/annotations.go`).

use slipway_manifest::tree;

use super::{Allow, ImageError, Strategy};
use crate::app::{Application, ProjectPermissions, Source};
use crate::source::RepoUrl;

const PREFIX: &str = "argocd-image-updater.argoproj.io/";

/// An image of an Application to keep up to date, and where to write its tag.
#[derive(Debug, Clone)]
pub struct Update {
    /// Name of the Application.
    pub app: String,
    /// Registry and repository, as in `image-list`.
    pub image: String,
    /// The version constraint after the image in `image-list`; may be empty.
    pub constraint: String,
    /// The strategy that chooses a tag.
    pub strategy: Strategy,
    /// Tags that may be chosen.
    pub allow: Allow,
    /// Patterns of tags that may not be chosen.
    pub ignore: Vec<String>,
    /// The image's name in the manifests, where it differs.
    pub kustomize_name: Option<String>,
    /// The repository to commit to.
    pub repo: RepoUrl,
    /// The branch to commit to; `None` is the repository's default branch.
    pub branch: Option<String>,
    /// The folder of the kustomization.
    pub folder: String,
    /// Permissions of the Application's project.
    pub permit: ProjectPermissions,
    /// Whether that folder is the Application's source. In another's, images may be those of other Applications.
    pub is_own_folder: bool,
}

impl Update {
    /// The image's name in the manifests.
    pub fn name(&self) -> &str {
        self.kustomize_name.as_deref().unwrap_or(&self.image)
    }
}

/// The images that `app` keeps up to date, of those that `concerns` (registry and repository in, as in `image-list`).
/// Those that can't be updated are errors.
pub fn updates(app: &Application, concerns: impl Fn(&str) -> bool) -> (Vec<Update>, Vec<ImageError>) {
    let (mut updates, mut errors) = (Vec::new(), Vec::new());
    for entry in app.annotation(&format!("{PREFIX}image-list")).unwrap_or_default().split(',') {
        let (alias, image, constraint) = entry_parts(entry.trim());
        if concerns(image) {
            match update(app, alias, image, constraint) {
                Ok(update) => updates.push(update),
                Err(error) => errors.push(error),
            }
        }
    }
    (updates, errors)
}

/// `[alias=]registry/name[:constraint]`; a constraint may contain `=`, as in `name:>=1`.
fn entry_parts(entry: &str) -> (&str, &str, &str) {
    let (alias, rest) = match entry.split_once('=') {
        Some((alias, rest)) if !alias.contains(':') => (alias.trim(), rest.trim()),
        _ => ("", entry),
    };
    let name_at = rest.find('/').map_or(0, |at| at + 1);
    let colon = rest.get(name_at..).and_then(|name| name.find(':')).map(|at| name_at + at);
    match colon.and_then(|at| Some((rest.get(..at)?, rest.get(at + 1..)?))) {
        Some((image, constraint)) => (alias, image, constraint),
        None => (alias, rest, ""),
    }
}

struct Annotations<'a> {
    app: &'a Application,
    /// The source that a relative folder is of.
    source: &'a Source,
    alias: String,
}

impl Annotations<'_> {
    /// The image's setting, else the Application's.
    fn get(&self, name: &str) -> Option<&str> {
        let own = || self.app.annotation(&format!("{PREFIX}{}.{name}", self.alias)).filter(|_| !self.alias.is_empty());
        own().or_else(|| self.app.annotation(&format!("{PREFIX}{name}"))).map(str::trim)
    }

    fn not_supported(&self, what: String) -> ImageError {
        ImageError::NotSupported { app: self.app.name.clone(), what }
    }

    fn wrong(&self, annotation: &str, problem: String) -> ImageError {
        ImageError::Annotation { app: self.app.name.clone(), annotation: annotation.to_owned(), problem }
    }
}

fn update(app: &Application, alias: &str, image: &str, constraint: &str) -> Result<Update, ImageError> {
    let source = write_back_source(app)?;
    let annotations = Annotations { app, source, alias: alias.replace('/', "_") };
    let strategy = Strategy::parse(annotations.get("update-strategy").unwrap_or_default());
    if strategy == Strategy::Digest {
        return Err(annotations.not_supported("update-strategy digest".to_owned()));
    }
    let (repo, folder) = (repository(&annotations)?, folder(&annotations)?);
    let is_own = |source: &Source| {
        source.repository().is_ok_and(|url| url == repo) && source.folder().is_ok_and(|path| path == folder)
    };
    let is_own_folder = app.all_sources().iter().any(|source| app.has_manifests(source) && is_own(source));
    let ignore = annotations.get("ignore-tags").unwrap_or_default().split(',').map(|one| one.trim().to_owned());
    Ok(Update {
        app: app.name.clone(),
        image: image.to_owned(),
        constraint: constraint.trim().to_owned(),
        strategy,
        allow: Allow::parse(annotations.get("allow-tags").unwrap_or_default()),
        ignore: ignore.filter(|pattern| !pattern.is_empty()).collect(),
        kustomize_name: annotations.get("kustomize.image-name").filter(|name| !name.is_empty()).map(str::to_owned),
        repo,
        branch: branch(&annotations)?,
        folder,
        permit: ProjectPermissions::default(),
        is_own_folder,
    })
}

/// The source that is written to: of several the one with a `kustomize:` block, or else the only one that may be a
/// kustomization (argocd-image-updater `pkg/argocd/argocd.go`, getApplicationSource, which takes the first).
fn write_back_source(app: &Application) -> Result<&Source, ImageError> {
    let sources = || app.all_sources().iter().filter(|source| app.has_manifests(source));
    if let Some(named) = sources().find(|source| source.kustomize.is_some()) {
        return Ok(named);
    }
    let is_other = |source: &Source| {
        source.chart.is_some() || source.helm.is_some() || source.directory.is_some() || source.plugin.is_some()
    };
    match sources().filter(|source| !is_other(source)).collect::<Vec<_>>().as_slice() {
        [only] => Ok(only),
        [] => Ok(&app.source),
        _ => Err(ImageError::Sources { app: app.name.clone() }),
    }
}

/// Credentials after `git:` are ignored: Slipway uses its own.
fn repository(annotations: &Annotations<'_>) -> Result<RepoUrl, ImageError> {
    let method = annotations.get("write-back-method").unwrap_or("argocd");
    if method.split(':').next() != Some("git") {
        return Err(annotations.not_supported(format!("write-back-method {method} (only git is)")));
    }
    let url = annotations.get("git-repository").unwrap_or(&annotations.source.repo_url);
    url.parse().map_err(|e: crate::source::LocationError| annotations.wrong("git-repository", e.to_string()))
}

/// `main` and `main:main` are branches; `base:other` asks for a new branch to push to.
fn branch(annotations: &Annotations<'_>) -> Result<Option<String>, ImageError> {
    let wanted = match annotations.get("git-branch").filter(|branch| !branch.is_empty()) {
        None => annotations.source.target_revision.as_str(),
        Some(branch) => match branch.split_once(':') {
            None => branch,
            Some((base, "")) => base,
            Some((base, target)) if base == target => base,
            Some(_) => return Err(annotations.not_supported(format!("git-branch {branch} (a branch to push to)"))),
        },
    };
    if wanted == "HEAD" || wanted.is_empty() {
        return Ok(None);
    }
    if !crate::source::is_revision(wanted) {
        return Err(annotations.wrong("git-branch", format!("`{wanted}` is no branch")));
    }
    Ok(Some(wanted.to_owned()))
}

/// `kustomization` is the source's own folder, `kustomization:PATH` one relative to it, or from the repository's root.
fn folder(annotations: &Annotations<'_>) -> Result<String, ImageError> {
    let target = annotations.get("write-back-target").unwrap_or_default();
    let (kind, path) = target.split_once(':').unwrap_or((target, ""));
    if kind != "kustomization" {
        let target = if target.is_empty() { ".argocd-source-APP.yaml (the default)" } else { target };
        return Err(annotations.not_supported(format!("write-back-target {target} (only kustomization is)")));
    }
    let joined = match path.strip_prefix('/') {
        Some(path) => tree::join("", path),
        None => tree::join(&annotations.source.path, path),
    };
    joined.map_err(|e| annotations.wrong("write-back-target", e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::entry_parts;

    #[test]
    fn entries_of_the_image_list() {
        for (entry, parts) in [
            ("nginx", ("", "nginx", "")),
            ("web=r.io/team/app:~1.2", ("web", "r.io/team/app", "~1.2")),
            ("r.io:5000/app:>=1.0 <2", ("", "r.io:5000/app", ">=1.0 <2")),
            ("a=r.io/app", ("a", "r.io/app", "")),
            ("nginx:>=1", ("", "nginx", ">=1")),
            ("my/alias=nginx:1", ("my/alias", "nginx", "1")),
        ] {
            assert_eq!(entry_parts(entry), parts, "{entry}");
        }
    }
}
