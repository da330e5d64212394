//! Resolves where an Application's tags are written (argoproj-labs/argocd-image-updater `pkg/argocd/argocd.go`,
//! newWBCFromSettings; `docs/basics/update-methods.md`).

use serde_json::Value;
use slipway_manifest::{TreeError, tree};

use super::promotion::PROMOTE_FROM;
use super::settings::{HelmTarget, ImageConfig, ImageSettings, PullRequestSettings, WriteBackConfig};
use super::{Allow, ImageError, Severity, Strategy, TagOrder, Update};
use crate::app::{Application, ProjectPermissions, Source};
use crate::source::RepoUrl;

/// The key of registry and repository in Helm's values, where none is given.
const IMAGE_NAME: &str = "image.name";
/// The key of the tag, where none is given.
const IMAGE_TAG: &str = "image.tag";

/// The file that a tag is written to, and how it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `images` of the kustomization in a folder.
    Kustomization {
        /// The folder.
        folder: String,
        /// The image's name in the manifests, where it differs.
        name: Option<String>,
        /// Whether the folder is the Application's source. In another's, images may be those of other Applications.
        is_own: bool,
    },
    /// Values of Helm, or of any other YAML or JSON file.
    Values {
        /// The file.
        file: String,
        /// The keys.
        keys: Keys,
        /// Whether the Application's source reads the file, or it is told to keep it: the name of another image there
        /// is replaced.
        is_own: bool,
        /// Whether a file that is not there is made.
        may_create: bool,
    },
    /// `.argocd-source-APP.yaml`, Argo CD's file of parameters that override those of the Application.
    Override {
        /// The source's folder.
        folder: String,
        /// The file.
        file: String,
        /// What overrides what a Helm chart says.
        keys: Keys,
        /// The image's name in the manifests, where it differs.
        name: Option<String>,
        /// The tool that the Application names; where it names none, the files of the folder tell. Plain manifests have
        /// nothing to override: they are changed themselves.
        tool: Option<Tool>,
        /// Whether plain manifests in folders below are the source's, too.
        recurse: bool,
    },
    /// `helm.parameters` or `kustomize.images` of the Application's own manifest.
    Application {
        /// The file.
        file: String,
        /// Namespace and name.
        identity: (String, String),
        /// Index in `spec.sources`; `None` is `spec.source`.
        source: Option<usize>,
        /// The parameters, of Helm.
        keys: Keys,
        /// The image's name in the manifests, where it differs.
        name: Option<String>,
        /// The tool.
        tool: Tool,
    },
    /// Wherever Flux's marker of an image policy stands, in any file of the folder.
    Markers {
        /// The folder (`update.path`); empty is the whole repository.
        folder: String,
        /// The policy, as `NAMESPACE:NAME`.
        policy: String,
        /// Whether a whole reference has the digest, too (`digestReflectionPolicy`).
        has_digest: bool,
    },
}

/// A tool whose sources have images of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// Helm.
    Helm,
    /// Kustomize.
    Kustomize,
}

/// Keys of Helm's values, dotted and with indices: `web.image.tag`, `containers[0].image`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keys {
    /// Of registry and repository.
    pub name: Option<String>,
    /// Of the tag.
    pub tag: Option<String>,
    /// Of the whole reference; then there are no others.
    pub spec: Option<String>,
}

impl Keys {
    /// What is given, and Helm's usual keys for what is not.
    fn of(helm: &HelmTarget) -> Self {
        if helm.spec.is_some() {
            return Self { spec: helm.spec.clone(), ..Self::default() };
        }
        let or = |given: &Option<String>, default: &str| Some(given.clone().unwrap_or_else(|| default.to_owned()));
        Self { name: or(&helm.name, IMAGE_NAME), tag: or(&helm.tag, IMAGE_TAG), spec: None }
    }

    /// Only what is given: a file of one's own has no usual keys.
    fn given(helm: &HelmTarget) -> Self {
        let HelmTarget { name, tag, spec } = helm.clone();
        match spec {
            Some(_) => Self { spec, ..Self::default() },
            None => Self { name, tag, spec: None },
        }
    }
}

/// Where the manifest of an Application lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestFile {
    /// The repository.
    pub repo: RepoUrl,
    /// The branch that it is read from; `None` is the repository's default branch.
    pub branch: Option<String>,
    /// The file.
    pub file: String,
}

/// The images that `app` keeps up to date by its `settings`, of those that `concerns` (registry and repository in).
/// `manifest` is the file that declares the Application, where that is one. Images that can't be updated are errors.
pub fn updates(
    app: &Application,
    settings: &ImageSettings,
    manifest: Option<&ManifestFile>,
    concerns: impl Fn(&str) -> bool,
) -> (Vec<Update>, Vec<ImageError>) {
    let (mut updates, mut errors) = (Vec::new(), Vec::new());
    for config in settings.images.iter().filter(|config| concerns(&config.image.repository())) {
        match update(app, settings, config, manifest) {
            Ok(update) => updates.push(update),
            Err(error) => errors.push(error),
        }
    }
    (updates, errors)
}

struct Resolver<'a> {
    app: &'a Application,
    write_back: &'a WriteBackConfig,
}

fn update(
    app: &Application,
    settings: &ImageSettings,
    config: &ImageConfig,
    manifest: Option<&ManifestFile>,
) -> Result<Update, ImageError> {
    let resolver = Resolver { app, write_back: &settings.write_back };
    let common = &config.update;
    let gate = common.scan_gate.as_deref().map(|text| {
        Severity::parse(text).ok_or_else(|| resolver.wrong("slipway.dev/scan-gate", format!("`{text}` is no severity")))
    });
    let allow = Allow::parse(common.allow.as_deref().unwrap_or_default());
    if let Allow::Nothing(problem) = &allow {
        return Err(resolver.wrong("allow-tags", problem.clone()));
    }
    let strategy = Strategy::parse(common.strategy.as_deref().unwrap_or_default());
    let constraint = config.image.tag.clone().unwrap_or_default().trim().to_owned();
    if strategy == Strategy::Digest && constraint.is_empty() {
        let problem = "the strategy `digest` needs the tag that it follows, as `NAME:TAG`".to_owned();
        return Err(resolver.wrong("image-list", problem));
    }
    let platforms = common.platforms.clone().unwrap_or_default();
    let is_platform =
        |text: &&String| (1..=2).contains(&text.matches('/').count()) && text.split('/').all(|part| !part.is_empty());
    if let Some(wrong) = platforms.iter().find(|text| !is_platform(text)) {
        return Err(resolver.wrong("platforms", format!("expected `OS/ARCHITECTURE[/VARIANT]`, found `{wrong}`")));
    }
    let is_promoted = app.annotation(PROMOTE_FROM).is_some();
    let place = resolver.place(config, manifest)?;
    let pull_request = PullRequestSettings::of(app, &settings.write_back)?;
    if pull_request.is_wanted && place.push_branch.is_some() {
        let problem = "with a pull request it is the branch that is merged into alone, without a colon".to_owned();
        return Err(resolver.wrong("git-branch", problem));
    }
    Ok(Update {
        app: app.name.clone(),
        namespace: app.namespace.clone(),
        alias: config.image.alias.clone(),
        image: config.image.repository(),
        constraint,
        strategy,
        order: TagOrder::default(),
        allow,
        ignore: common.ignore.clone().unwrap_or_default(),
        platforms,
        // What runs elsewhere has been let through there.
        gate: gate.transpose()?.filter(|_| !is_promoted),
        is_promoted,
        target: place.target,
        repo: place.repo,
        branch: place.branch,
        push_branch: place.push_branch,
        pull_request,
        permit: ProjectPermissions::default(),
    })
}

struct Place {
    target: Target,
    repo: RepoUrl,
    branch: Option<String>,
    push_branch: Option<String>,
}

impl Resolver<'_> {
    fn not_supported(&self, what: String) -> ImageError {
        ImageError::NotSupported { app: self.app.name.clone(), what }
    }

    fn wrong(&self, annotation: &str, problem: String) -> ImageError {
        ImageError::Annotation { app: self.app.name.clone(), annotation: annotation.to_owned(), problem }
    }

    fn place(&self, config: &ImageConfig, manifest: Option<&ManifestFile>) -> Result<Place, ImageError> {
        // Credentials after `git:` are ignored: Slipway uses its own.
        let method = self.write_back.method.as_deref().unwrap_or("argocd");
        let is_git = match method.split(':').next() {
            Some("git") => true,
            Some("argocd") => false,
            _ => return Err(self.wrong("write-back-method", format!("expected `git` or `argocd`, found `{method}`"))),
        };
        let target = self.write_back.target.as_deref().filter(|_| is_git).unwrap_or_default();
        let (kind, path) = target.split_once(':').unwrap_or((target, ""));
        let is_values = !matches!(kind, "" | "kustomization");
        let tool = match kind {
            "kustomization" => Some(Tool::Kustomize),
            _ if is_values => Some(Tool::Helm),
            _ => None,
        };
        let (index, source) = self.source(tool)?;
        // What `argocd` would change in the live Application is changed in its manifest, where that says it already.
        if !is_git && let Some(found) = self.in_manifest(config, manifest, index, source) {
            return Ok(found);
        }
        let (url, branch) = self.repository(source)?;
        let (branch, push_branch) = self.branch(&branch)?;
        let target = match kind {
            "kustomization" => {
                let folder = self.below(source, path)?;
                let is_own = self.is_own(&url, |own| own == folder);
                Target::Kustomization { folder, name: config.kustomize_name.clone(), is_own }
            }
            "helmvalues" => {
                let file = self.below(source, if path.is_empty() { "values.yaml" } else { path })?;
                let is_own = self.is_own(&url, |own| is_below(&file, own)) || self.is_value_file(&file);
                Target::Values { file, keys: Keys::of(&config.helm), is_own, may_create: true }
            }
            "file" => {
                let (file, keys) = (self.below(source, path)?, Keys::given(&config.helm));
                if keys == Keys::default() {
                    let problem = format!("`{target}` needs `ALIAS.helm.image-tag` or `ALIAS.helm.image-spec`");
                    return Err(self.wrong("write-back-target", problem));
                }
                Target::Values { file, keys, is_own: true, may_create: false }
            }
            "" => {
                let (name, namespace) = (&self.app.name, self.app.namespace.as_str());
                let name = match namespace {
                    "" | "argocd" => format!(".argocd-source-{name}.yaml"),
                    namespace => format!(".argocd-source-{namespace}_{name}.yaml"),
                };
                if source.chart.is_some() {
                    let what = "write-back-target .argocd-source-APP.yaml of a chart from a Helm repository".to_owned();
                    return Err(self.not_supported(what));
                }
                let (folder, file) = (self.below(source, "")?, self.below(source, &name)?);
                self.over(config, folder, file, source)?
            }
            _ if target.contains(':') => {
                return Err(self.wrong("write-back-target", format!("`{kind}` is no kind of target")));
            }
            // A file of its own, from the repository's root, in the form of `.argocd-source-APP.yaml` or of values.
            _ => {
                let file = tree::join("", target).map_err(|e| self.bad_path(&e))?;
                let name = file.rsplit('/').next().unwrap_or(&file);
                if slipway_kustomize::FILE_NAMES.contains(&name) {
                    let problem = format!("`{target}` is a kustomization: write `kustomization:PATH`");
                    return Err(self.wrong("write-back-target", problem));
                }
                if name.starts_with(".argocd-source") || !matches!(name.rsplit('.').next(), Some("yaml" | "yml")) {
                    self.over(config, self.below(source, "")?, file, source)?
                } else {
                    Target::Values { file, keys: Keys::of(&config.helm), is_own: true, may_create: true }
                }
            }
        };
        Ok(Place { target, repo: url, branch, push_branch })
    }

    /// A file of overrides, or the plain manifests of the source.
    fn over(&self, config: &ImageConfig, folder: String, file: String, source: &Source) -> Result<Target, ImageError> {
        if source.plugin.is_some() {
            return Err(ImageError::NoTool { app: self.app.name.clone() });
        }
        let recurse = source.directory.as_ref().is_some_and(|directory| directory.recurse);
        let tool = match (&source.helm, &source.kustomize) {
            (Some(_), _) => Some(Tool::Helm),
            (_, Some(_)) => Some(Tool::Kustomize),
            _ => None,
        };
        let (keys, name) = (Keys::of(&config.helm), config.kustomize_name.clone());
        Ok(Target::Override { folder, file, keys, name, tool, recurse })
    }

    /// The source that is written to, with its index in `spec.sources`: of several the first with a block of the tool,
    /// else the only one that may be of it (getApplicationSource, which takes the first).
    fn source(&self, tool: Option<Tool>) -> Result<(Option<usize>, &Source), ImageError> {
        let app = self.app;
        if app.sources.is_empty() {
            return Ok((None, &app.source));
        }
        let is_of = |source: &Source, tool: Tool| match tool {
            Tool::Helm => source.helm.is_some(),
            Tool::Kustomize => source.kustomize.is_some(),
        };
        let all = || app.sources.iter().enumerate().filter(|(_, source)| app.has_manifests(source));
        let named = all().find(|(_, source)| match tool {
            Some(tool) => is_of(source, tool),
            None => is_of(source, Tool::Helm) || is_of(source, Tool::Kustomize),
        });
        if let Some((index, source)) = named {
            return Ok((Some(index), source));
        }
        let has_other = |source: &Source| {
            let tools = [source.helm.is_some() || source.chart.is_some(), source.kustomize.is_some()];
            let [helm, kustomize] = tools;
            let other = match tool {
                Some(Tool::Helm) => kustomize,
                Some(Tool::Kustomize) => helm,
                None => false,
            };
            other || source.directory.is_some() || source.plugin.is_some()
        };
        let open: Vec<_> = all().filter(|(_, source)| !has_other(source)).collect();
        match open.as_slice() {
            [(index, source)] => Ok((Some(*index), source)),
            [] => Ok((Some(app.first_with_manifests()), &app.source)),
            // Files that are named from the root are the same whichever source is meant.
            _ if self.write_back.target.as_deref().is_some_and(|target| target.contains(":/")) => {
                Ok((Some(app.first_with_manifests()), &app.source))
            }
            _ => Err(ImageError::Sources { app: app.name.clone() }),
        }
    }

    /// The repository to write to, and what its source tracks. A chart of a Helm repository is no repository: the
    /// only one that lends files to it is.
    fn repository(&self, source: &Source) -> Result<(RepoUrl, String), ImageError> {
        let parse = |key: &str, url: &str| url.parse::<RepoUrl>().map_err(|e| self.wrong(key, e.to_string()));
        if let Some(url) = &self.write_back.repository {
            let url = parse("git-repository", url)?;
            let same = self.app.all_sources().iter().find(|one| one.repository().is_ok_and(|known| known == url));
            return Ok((url, same.unwrap_or(source).target_revision.clone()));
        }
        let git: Vec<&Source> = self.app.sources.iter().filter(|one| one.chart.is_none()).collect();
        let source = match (&source.chart, git.as_slice()) {
            (None, _) => source,
            (Some(_), [only]) => only,
            (Some(_), _) => {
                let problem = "the source is a chart: say which repository is written to".to_owned();
                return Err(self.wrong("git-repository", problem));
            }
        };
        Ok((parse("spec.source.repoURL", &source.repo_url)?, source.target_revision.clone()))
    }

    /// The branch, and the template of the one that is pushed to instead: `main`, `base:other`, `:other`.
    fn branch(&self, tracked: &str) -> Result<(Option<String>, Option<String>), ImageError> {
        let written = self.write_back.branch.as_deref().unwrap_or_default();
        let (base, other) = written.split_once(':').unwrap_or((written, ""));
        if other.contains(':') && !other.contains("{{") {
            return Err(self.wrong("git-branch", format!("`{written}` has more than one colon")));
        }
        let base = match base {
            "" => tracked,
            base => base,
        };
        let other = Some(other).filter(|other| !other.is_empty() && *other != base).map(str::to_owned);
        if base == "HEAD" || base.is_empty() {
            return Ok((None, other));
        }
        if !crate::source::is_revision(base) {
            return Err(self.wrong("git-branch", format!("`{base}` is no branch")));
        }
        Ok((Some(base.to_owned()), other))
    }

    fn bad_path(&self, error: &TreeError) -> ImageError {
        self.wrong("write-back-target", error.to_string())
    }

    /// `path` relative to the source's folder, or from the repository's root where it begins with a slash.
    fn below(&self, source: &Source, path: &str) -> Result<String, ImageError> {
        let joined = match path.strip_prefix('/') {
            Some(path) => tree::join("", path),
            None => tree::join(&source.path, path),
        };
        joined.map_err(|error| self.bad_path(&error))
    }

    /// Whether the folder of a source in that repository is the one that is looked for.
    fn is_own(&self, url: &RepoUrl, is_it: impl Fn(&str) -> bool) -> bool {
        let is_own = |source: &Source| {
            source.repository().is_ok_and(|known| known == *url) && source.folder().is_ok_and(|folder| is_it(&folder))
        };
        self.app.all_sources().iter().any(|source| self.app.has_manifests(source) && is_own(source))
    }

    /// Whether a source names the file among its value files.
    fn is_value_file(&self, file: &str) -> bool {
        let names = |source: &Source| {
            let files = source.helm.as_ref().and_then(|helm| helm.get("valueFiles")).and_then(Value::as_array);
            files.into_iter().flatten().filter_map(Value::as_str).any(|named| match named.strip_prefix('$') {
                Some(rest) => rest.split_once('/').is_some_and(|(_, path)| path == file),
                None => tree::join(&source.path, named).is_ok_and(|path| path == file),
            })
        };
        self.app.all_sources().iter().any(names)
    }

    /// The Application's own manifest, where its parameters or images say the image.
    fn in_manifest(
        &self,
        config: &ImageConfig,
        manifest: Option<&ManifestFile>,
        source: Option<usize>,
        written: &Source,
    ) -> Option<Place> {
        let manifest = manifest?;
        let keys = Keys::of(&config.helm);
        let key = keys.spec.as_ref().or(keys.tag.as_ref())?;
        let has_parameter = || {
            let parameters = written.helm.as_ref()?.get("parameters")?.as_array()?;
            Some(parameters.iter().any(|one| one.get("name").and_then(Value::as_str) == Some(key)))
        };
        let has_image = || {
            let images = &written.kustomize.as_ref()?.images;
            Some(images.iter().any(|one| super::write::is_for(one, &config.image, config.kustomize_name.as_deref())))
        };
        let tool = match (has_parameter(), has_image()) {
            (Some(true), _) => Tool::Helm,
            (_, Some(true)) => Tool::Kustomize,
            _ => return None,
        };
        let target = Target::Application {
            file: manifest.file.clone(),
            identity: crate::app::identity(&self.app.object),
            source,
            keys,
            name: config.kustomize_name.clone(),
            tool,
        };
        Some(Place { target, repo: manifest.repo.clone(), branch: manifest.branch.clone(), push_branch: None })
    }
}

fn is_below(file: &str, folder: &str) -> bool {
    folder.is_empty() || file.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}
