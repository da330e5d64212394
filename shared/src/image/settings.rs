//! What is declared of an Application's images, by annotations or by an `ImageUpdater`, as written
//! (argoproj-labs/argocd-image-updater `pkg/argocd/annotations.go`, `api/v1alpha1/imageupdater_types.go`).

use std::collections::BTreeSet;

use serde_json::Value;

use super::{ImageError, Reference};
use crate::app::Application;
use crate::source::github::pulls::MergeMethod;

pub(super) const PREFIX: &str = "argocd-image-updater.argoproj.io/";
/// Holds an image until ECR's scan of it has no finding above the severity.
pub(super) const SCAN_GATE: &str = "slipway.dev/scan-gate";
/// Asks for pull requests in place of commits; what follows it says how. Image Updater knows them in its resources alone.
const PULL_REQUEST: &str = "slipway.dev/pull-request";

/// Everything that is declared of an Application's images.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageSettings {
    /// The images, in order.
    pub images: Vec<ImageConfig>,
    /// Where their tags are written.
    pub write_back: WriteBackConfig,
}

/// An image to keep up to date.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageConfig {
    /// The image; its tag is the version constraint.
    pub image: Reference,
    /// How its tag is chosen.
    pub update: CommonUpdateSettings,
    /// `helm.image-name`, `helm.image-tag` and `helm.image-spec`.
    pub helm: HelmTarget,
    /// `kustomize.image-name`: the image's name in the manifests.
    pub kustomize_name: Option<String>,
}

/// How a tag is chosen; what is `None` is inherited.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommonUpdateSettings {
    /// `update-strategy`.
    pub strategy: Option<String>,
    /// `force-update`.
    pub force: Option<bool>,
    /// `allow-tags`.
    pub allow: Option<String>,
    /// `ignore-tags`.
    pub ignore: Option<Vec<String>>,
    /// `platforms`.
    pub platforms: Option<Vec<String>>,
    /// `slipway.dev/scan-gate`.
    pub scan_gate: Option<String>,
}

/// The keys of Helm's values that an image stands in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HelmTarget {
    /// Key of registry and repository.
    pub name: Option<String>,
    /// Key of the tag.
    pub tag: Option<String>,
    /// Key of the whole reference, which takes the place of both.
    pub spec: Option<String>,
}

/// Where tags are written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WriteBackConfig {
    /// `write-back-method`.
    pub method: Option<String>,
    /// `write-back-target`.
    pub target: Option<String>,
    /// `git-branch`.
    pub branch: Option<String>,
    /// `git-repository`.
    pub repository: Option<String>,
    /// `pullRequest` and its labels.
    pub pull_request: Option<Vec<String>>,
}

/// How changes are proposed: what the annotations and `pullRequest` say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PullRequestSettings {
    /// Whether a pull request is asked for; without, one is opened only where the branch takes no commits.
    pub is_wanted: bool,
    /// The labels that it gets.
    pub labels: BTreeSet<String>,
    /// Who is asked for a review: users, and teams as `ORGANIZATION/TEAM`.
    pub reviewers: BTreeSet<String>,
    /// How it is merged once all that the branch requires is there; `None` leaves that to people.
    pub auto_merge: Option<MergeMethod>,
}

impl PullRequestSettings {
    /// Reads what is said of `app`, on top of what a resource says. Fails for a value that can't be read.
    pub(super) fn of(app: &Application, write_back: &WriteBackConfig) -> Result<Self, ImageError> {
        let get = |key: &str| app.annotation(&format!("{PULL_REQUEST}{key}")).map(str::trim);
        let wrong = |key: &str, text: &str, expected: &str| ImageError::Annotation {
            app: app.name.clone(),
            annotation: format!("{PULL_REQUEST}{key}"),
            problem: format!("expected {expected}, found `{text}`"),
        };
        let list = |key: &str| {
            let items = get(key).unwrap_or_default().split(',').map(str::trim).filter(|item| !item.is_empty());
            items.map(str::to_owned).collect::<BTreeSet<_>>()
        };
        let asked = get("").map(|text| parse_bool(text).ok_or_else(|| wrong("", text, "`true` or `false`")));
        let method = get(".auto-merge").filter(|text| !text.is_empty() && *text != "false");
        let method = method.map(|text| {
            MergeMethod::parse(text).ok_or_else(|| wrong(".auto-merge", text, "`merge`, `squash` or `rebase`"))
        });
        let labels = write_back.pull_request.iter().flatten().cloned();
        Ok(Self {
            is_wanted: asked.transpose()?.unwrap_or(write_back.pull_request.is_some()),
            labels: labels.chain(list(".labels")).collect(),
            reviewers: list(".reviewers"),
            auto_merge: method.transpose()?,
        })
    }
}

impl CommonUpdateSettings {
    /// These settings, and where they say nothing those of the level above.
    #[must_use]
    pub(super) fn or(self, above: &Self) -> Self {
        Self {
            strategy: self.strategy.or_else(|| above.strategy.clone()),
            force: self.force.or(above.force),
            allow: self.allow.or_else(|| above.allow.clone()),
            ignore: self.ignore.or_else(|| above.ignore.clone()),
            platforms: self.platforms.or_else(|| above.platforms.clone()),
            scan_gate: self.scan_gate.or_else(|| above.scan_gate.clone()),
        }
    }
}

impl WriteBackConfig {
    /// These settings, and where they say nothing those of the level above.
    #[must_use]
    pub(super) fn or(self, above: &Self) -> Self {
        Self {
            method: self.method.or_else(|| above.method.clone()),
            target: self.target.or_else(|| above.target.clone()),
            branch: self.branch.or_else(|| above.branch.clone()),
            repository: self.repository.or_else(|| above.repository.clone()),
            pull_request: self.pull_request.or_else(|| above.pull_request.clone()),
        }
    }
}

/// The settings of the annotations of `app`; `None` where it has no `image-list`. Fails for a value that can't be read.
pub fn of_annotations(app: &Application) -> Result<Option<ImageSettings>, ImageError> {
    let get = |key: &str| app.annotation(&format!("{PREFIX}{key}")).map(str::trim).filter(|text| !text.is_empty());
    let Some(list) = get("image-list") else { return Ok(None) };
    let app_wide = common(app, "")?;
    let mut images = Vec::new();
    for entry in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let image = parse_entry(entry);
        // An annotation's key holds one slash alone.
        let prefix = format!("{}.", image.alias.replace('/', "_"));
        let own = |key: &str| get(&format!("{prefix}{key}")).filter(|_| !image.alias.is_empty()).map(str::to_owned);
        let update = if image.alias.is_empty() { CommonUpdateSettings::default() } else { common(app, &prefix)? };
        let helm =
            HelmTarget { name: own("helm.image-name"), tag: own("helm.image-tag"), spec: own("helm.image-spec") };
        let kustomize_name = own("kustomize.image-name");
        if helm != HelmTarget::default() && kustomize_name.is_some() {
            let problem = "both helm and kustomize are given as what the image is written for".to_owned();
            let annotation = format!("{prefix}kustomize.image-name");
            return Err(ImageError::Annotation { app: app.name.clone(), annotation, problem });
        }
        images.push(ImageConfig { image, update: update.or(&app_wide), helm, kustomize_name });
    }
    let text = |key: &str| get(key).map(str::to_owned);
    let write_back = WriteBackConfig {
        method: text("write-back-method"),
        target: text("write-back-target"),
        branch: text("git-branch"),
        repository: text("git-repository"),
        pull_request: None,
    };
    Ok(Some(ImageSettings { images, write_back }))
}

/// Whether an Application whose settings can't be read may be one that an image `concerns`: its `image-list` names it,
/// or it has none, and resources say what it is.
pub(super) fn may_concern(app: &Application, concerns: impl Fn(&str) -> bool) -> bool {
    let list = app.annotation(&format!("{PREFIX}image-list"));
    list.is_none_or(|list| list.split(',').any(|entry| concerns(&parse_entry(entry.trim()).repository())))
}

/// `[ALIAS=]REGISTRY/NAME[:CONSTRAINT]`; a constraint may contain `=`, as in `NAME:>=1`, of which Image Updater makes
/// an alias that nobody means.
pub(super) fn parse_entry(entry: &str) -> Reference {
    let is_operator = |alias: &str| alias.contains(':') && alias.ends_with(['<', '>', '!', '=', ' ']);
    if entry.split_once('=').is_some_and(|(alias, _)| is_operator(alias)) {
        let (name, constraint) = entry.split_once(':').unwrap_or((entry, ""));
        return Reference { tag: Some(constraint.trim().to_owned()), ..Reference::parse(name) };
    }
    match entry.split_once('=') {
        Some((alias, image)) => Reference { alias: alias.trim().to_owned(), ..Reference::parse(&plain(image.trim())) },
        None => Reference::parse(&plain(entry)),
    }
}

/// An image with a constraint, so that no `=` of that is taken for the end of an alias.
fn plain(image: &str) -> String {
    if image.contains('=') { format!("={image}") } else { image.to_owned() }
}

/// The annotations behind `prefix` that say how a tag is chosen.
fn common(app: &Application, prefix: &str) -> Result<CommonUpdateSettings, ImageError> {
    let written = |key: &str| app.annotation(&format!("{PREFIX}{prefix}{key}")).map(str::trim);
    let get = |key: &str| written(key).filter(|text| !text.is_empty()).map(str::to_owned);
    let list = |text: &str| text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect();
    let force = written("force-update").map(|text| {
        parse_bool(text).ok_or_else(|| ImageError::Annotation {
            app: app.name.clone(),
            annotation: format!("{prefix}force-update"),
            problem: format!("expected `true` or `false`, found `{text}`"),
        })
    });
    Ok(CommonUpdateSettings {
        strategy: get("update-strategy"),
        force: force.transpose()?,
        allow: get("allow-tags"),
        ignore: get("ignore-tags").map(|text| list(&text)),
        // Of one image alone, as Image Updater has it.
        platforms: get("platforms").filter(|_| !prefix.is_empty()).map(|text| list(&text)),
        scan_gate: match prefix {
            "" => app.annotation(SCAN_GATE).map(str::to_owned),
            prefix => app.annotation(&format!("slipway.dev/{prefix}scan-gate")).map(str::to_owned),
        },
    })
}

/// Go's `strconv.ParseBool`.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// A text of a manifest; `None` where it is missing, null or empty.
pub(super) fn text(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}
