//! Plans an image update: which Applications it concerns, which tag each gets, and which bytes of which file change.
//! Pure: the caller lists ECR's tags, fetches the files and creates the commits.
//!
//! ```text
//! root ─► settings ─► target::updates ─┐ by repository, branch
//!               ┌──────────────────────┘
//!               ▼
//! ECR ─► choose ─► plan_updates ─► write (which bytes) ─► one commit
//! ```
//!
//! What is declared is read as Argo CD Image Updater reads it, with two differences: an image's build date is the time
//! of its push, and the method `argocd` is `git`, as nobody but Git has the Application.

mod choose;
mod flux;
mod image_updater;
pub mod message;
pub mod promotion;
mod reference;
pub mod run;
mod settings;
mod tags;
pub mod target;
mod write;

pub use choose::{
    Allow, Severity, Strategy, TagInfo, TagOrder, choose, is_forward, why_not, why_not_chosen, why_unfit,
};
pub use flux::ImagePolicies;
pub use image_updater::ImageUpdaters;
pub use reference::Reference;
pub use run::Pin;
pub use settings::{
    CommonUpdateSettings, HelmTarget, ImageConfig, ImageSettings, PullRequestSettings, WriteBackConfig, of_annotations,
};
pub use tags::TagsError;
pub use target::{Keys, ManifestFile, Target, updates};
pub use write::{Current, Slot};

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};
use slipway_manifest::edit::EditError;
use slipway_manifest::{NodeKind, Tree, TreeError};

use crate::app::ProjectPermissions;
use crate::app::project::Denied;
use crate::source::RepoUrl;

/// An image of an Application to keep up to date, and where to write its tag.
#[derive(Debug, Clone)]
pub struct Update {
    /// Name of the Application.
    pub app: String,
    /// Namespace of the Application; empty where its manifest has none.
    pub namespace: String,
    /// The image's alias; may be empty.
    pub alias: String,
    /// Registry and repository, as declared.
    pub image: String,
    /// The version constraint; may be empty.
    pub constraint: String,
    /// The strategy that chooses a tag.
    pub strategy: Strategy,
    /// Which part of a tag it is chosen by.
    pub order: TagOrder,
    /// Tags that may be chosen.
    pub allow: Allow,
    /// Patterns of tags that may not be chosen.
    pub ignore: Vec<String>,
    /// The platforms of which an image has to be built for one; any where there is none.
    pub platforms: Vec<String>,
    /// The severity above which no finding of ECR's scan may be; without it images are not held.
    pub gate: Option<Severity>,
    /// Where the tag is written.
    pub target: Target,
    /// The repository to commit to.
    pub repo: RepoUrl,
    /// The branch to commit to; `None` is the repository's default branch.
    pub branch: Option<String>,
    /// The template of the branch that is pushed to in its place, made from it.
    pub push_branch: Option<String>,
    /// Whether the Application gets its images from another one, not from pushes.
    pub is_promoted: bool,
    /// Whether and how it is proposed in place of a commit.
    pub pull_request: PullRequestSettings,
    /// Permissions of the Application's project.
    pub permit: ProjectPermissions,
}

impl Update {
    /// Namespace and name of the Application; Argo CD's own namespace where its manifest has none.
    pub fn name(&self) -> String {
        let namespace =
            if self.namespace.is_empty() { crate::app::project::CONTROL_NAMESPACE } else { &self.namespace };
        format!("{namespace}/{}", self.app)
    }

    /// Whether it matters what an image is built for: as Image Updater has it, for these strategies alone.
    pub fn asks_for_platforms(&self) -> bool {
        !self.platforms.is_empty() && matches!(self.strategy, Strategy::NewestBuild | Strategy::Digest)
    }

    /// Whether `name` is the Application's, or its namespace and name.
    pub fn is_named(&self, name: &str) -> bool {
        self.app == name || self.name() == name
    }

    /// The image without tag.
    fn reference(&self) -> Reference {
        Reference { tag: None, digest: String::new(), ..Reference::parse(&self.image) }
    }

    /// What tells apart the files that are written to, of whichever repository and branch: eight hex digits.
    pub fn target_key(&self) -> String {
        let path = match &self.target {
            Target::Kustomization { folder, .. } => folder,
            Target::Markers { policy, .. } => policy,
            Target::Values { file, .. } | Target::Override { file, .. } | Target::Application { file, .. } => file,
        };
        let branch = self.branch.as_deref().unwrap_or_default();
        let hash = Sha256::digest(format!("{}\0{branch}\0{path}", self.repo));
        hex::encode(hash.get(..4).unwrap_or_default())
    }

    /// Whether a pushed tag alone decides where the file has the tag `current`: all versions are ordered, so that no
    /// other tag has to be known. A push that got lost is found by the next catch-up.
    pub fn needs_list(&self, current: &Current) -> bool {
        let is_version = |tag: &str| slipway_gocompat::semver::Version::parse(tag).is_ok();
        self.gate.is_some()
            || self.strategy != Strategy::Semver
            || self.order.filter.is_some()
            || !current.tag.as_deref().is_some_and(is_version)
    }
}

/// Why an image of an Application is not updated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// A feature of Image Updater that Slipway does not have yet.
    #[error("{app}: {what} is not supported yet")]
    NotSupported {
        /// Name of the Application.
        app: String,
        /// The annotation and its value.
        what: String,
    },
    /// Several sources may be the one to write to.
    #[error(
        "{app}: more than one of `spec.sources` may be the one to write to: give the one that is meant a block \
         `kustomize: {{}}` or `helm: {{}}`"
    )]
    Sources {
        /// Name of the Application.
        app: String,
    },
    /// An annotation is invalid.
    #[error("{app}: annotation {annotation}: {problem}")]
    Annotation {
        /// Name of the Application.
        app: String,
        /// The mistake.
        annotation: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Several `ImageUpdater` resources select the Application.
    #[error("{app}: the ImageUpdaters `{first}` and `{second}` both select it, and would overwrite each other")]
    TwoImageUpdaters {
        /// Name of the Application.
        app: String,
        /// Name of one.
        first: String,
        /// Name of the other.
        second: String,
    },
    /// The source has nothing of the image that could be written.
    #[error(
        "{app}: the source is neither a kustomization nor a Helm chart, and none of its manifests has the image: give \
         `write-back-target`"
    )]
    NoTool {
        /// Name of the Application.
        app: String,
    },
    /// The manifests have the image with different tags.
    #[error("{app}: the manifests have the image with the tags {tags}: which of them is to follow it is not clear")]
    Ambiguous {
        /// Name of the Application.
        app: String,
        /// The tags.
        tags: String,
    },
    /// The file to write to is not there.
    #[error("{app}: there is no file `{file}`")]
    NoFile {
        /// Name of the Application.
        app: String,
        /// The file.
        file: String,
    },
    /// The folder of the annotations has no kustomization.
    #[error("{app}: there is no kustomization in `{folder}`")]
    NoKustomization {
        /// Name of the Application.
        app: String,
        /// The folder.
        folder: String,
    },
    /// The path leaves the repository, or the file is no text.
    #[error("{app}: failed to read the file of its images")]
    Tree {
        /// Name of the Application.
        app: String,
        /// The tree's error.
        #[source]
        source: TreeError,
    },
    /// The file belongs to another Application, and has another image under that name.
    #[error(
        "{app}: `{file}` has no image `{name}` with newName {image}: in a folder that is not the Application's source \
         only the tag is written; add it there by hand"
    )]
    NewName {
        /// Name of the Application.
        app: String,
        /// Path of the file.
        file: String,
        /// The image's name in the manifests.
        name: String,
        /// Registry and repository of the image.
        image: String,
    },
    /// The Application's project does not allow the repository by the name that it has now.
    #[error("{app}: {denied}")]
    Denied {
        /// Name of the Application.
        app: String,
        /// What the project says.
        denied: Denied,
    },
    /// The tags can't be listed.
    #[error("{app}")]
    Tags {
        /// Name of the Application.
        app: String,
        /// Why.
        #[source]
        source: TagsError,
    },
    /// The file can't be edited.
    #[error("{app}: failed to edit `{file}`")]
    Edit {
        /// Name of the Application.
        app: String,
        /// Path of the file.
        file: String,
        /// The editor's error.
        #[source]
        source: EditError,
    },
}

/// A changed tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageChange {
    /// Name of the Application.
    pub app: String,
    /// The image's alias; may be empty.
    pub alias: String,
    /// Registry and repository of the image.
    pub image: String,
    /// The tag before, or the digest where that is followed; empty where the file had none.
    pub old: String,
    /// The tag now, or the digest where that is followed.
    pub new: String,
    /// The tag now.
    pub tag: String,
    /// The digest that the tag points at.
    pub digest: String,
    /// Where it stands.
    pub slot: Slot,
}

impl ImageChange {
    /// Whether this is the change that `update` asks for.
    fn is_of(&self, update: &Update) -> bool {
        (self.app.as_str(), self.image.as_str(), self.alias.as_str()) == (&update.app, &update.image, &update.alias)
    }
}

/// The commit to one branch of one repository; empty where nothing changes.
#[derive(Debug, Default)]
pub struct UpdatePlan {
    /// Changed files, with their complete new text.
    pub files: BTreeMap<String, String>,
    /// The changes, by Application.
    pub changes: Vec<ImageChange>,
    /// Errors of Applications that are not updated.
    pub errors: Vec<ImageError>,
    /// Applications without a change, with the reason, for the log.
    pub unchanged: Vec<(String, String)>,
    /// Images that a person rolled back; they are among the unchanged.
    pub pins: Vec<Pin>,
}

impl UpdatePlan {
    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The names of the Applications that change.
    fn apps(&self) -> String {
        let apps: BTreeSet<&str> = self.changes.iter().map(|change| change.app.as_str()).collect();
        apps.into_iter().collect::<Vec<_>>().join(", ")
    }

    /// What templates see of the changes.
    fn changed(&self) -> Vec<message::Changed> {
        self.changes.iter().map(message::Changed::of).collect()
    }

    /// The commit message: Image Updater's default (argoproj-labs/argocd-image-updater `pkg/common/constants.go`), or
    /// what `template` makes.
    pub fn message(&self, template: Option<&str>) -> String {
        match template {
            None => message::default_message(&self.apps(), &self.changed()),
            Some(template) => message::message(template, &self.apps(), &self.changed()),
        }
    }
}

/// Every tag that ECR lists for an image, by registry and repository.
pub type ImageTags = BTreeMap<String, Vec<TagInfo>>;

/// Plans the changes of `updates`, all of one repository and branch, to its `tree`. An image without `tags` gets none.
///
/// A tag is never changed to an older one (see [`is_forward`]), so that a late or repeated event changes nothing; and
/// a file that is up to date is not committed.
pub fn plan_updates<'u>(tree: &Tree, updates: impl IntoIterator<Item = &'u Update>, tags: &ImageTags) -> UpdatePlan {
    let mut plan = UpdatePlan::default();
    for update in updates {
        let tags = tags.get(&update.image).map(Vec::as_slice).unwrap_or_default();
        if let Err(error) = plan_one(tree, update, tags, &mut plan) {
            plan.errors.push(error);
        }
    }
    plan
}

/// The text of a file; `None` where there is none.
fn read<'t>(tree: &'t Tree, app: &str, file: &str) -> Result<Option<&'t str>, ImageError> {
    let failed = |source| ImageError::Tree { app: app.to_owned(), source };
    match tree.kind(file).map_err(failed)? {
        Some(NodeKind::File) => tree.read_text(file).map(Some).map_err(failed),
        _ => Ok(None),
    }
}

fn plan_one(tree: &Tree, update: &Update, tags: &[TagInfo], plan: &mut UpdatePlan) -> Result<(), ImageError> {
    let slots = update.locate(tree)?;
    let Some(chosen) = choose(update, tags)? else {
        let why = match tags {
            [] => format!("{} has no tag", update.image),
            // One push: what is wrong with it.
            [only] => why_unfit(update, only)?.unwrap_or_default(),
            _ => format!("no tag of {} is allowed", update.image),
        };
        plan.unchanged.push((update.app.clone(), why));
        return Ok(());
    };
    for slot in slots {
        let (file, app) = (slot.file.clone(), update.app.clone());
        let text = match plan.files.get(&file) {
            Some(text) => Some(text.as_str()),
            None => read(tree, &update.app, &file)?,
        };
        match set_one(update, slot, text, chosen, tags)? {
            Ok((edited, change)) => {
                plan.files.insert(file, edited);
                plan.changes.push(change);
            }
            Err(why) => plan.unchanged.push((app, why)),
        }
    }
    Ok(())
}

/// The text of a file with the chosen tag, and the change; or why there is none.
fn set_one(
    update: &Update,
    slot: Slot,
    text: Option<&str>,
    chosen: &TagInfo,
    tags: &[TagInfo],
) -> Result<Result<(String, ImageChange), String>, ImageError> {
    let app = || update.app.clone();
    let reference = update.reference();
    let current = text.map(|text| slot.current(text, &reference)).unwrap_or_default();
    if slot.other_image(&current, &update.image).is_some() {
        let (name, image) = (slot.name(&update.image), update.image.clone());
        return Err(ImageError::NewName { app: app(), file: slot.file, name, image });
    }
    let follows_digest = update.strategy == Strategy::Digest;
    if let Some(old) = current.tag.as_deref()
        && *old != chosen.tag
        && !is_forward(update, old, chosen, tags)
    {
        return Ok(Err(format!("{} is not newer than {old}", chosen.tag)));
    }
    let has_digest = follows_digest || matches!(update.target, Target::Markers { .. });
    let digest = if has_digest { chosen.digest.clone() } else { String::new() };
    let image = Reference { tag: Some(chosen.tag.clone()), digest, ..reference };
    match slot.set(text, &image) {
        Ok(Some(edited)) => {
            let Current { tag, digest, .. } = current;
            let change = ImageChange {
                app: app(),
                alias: update.alias.clone(),
                image: update.image.clone(),
                old: if follows_digest && !digest.is_empty() { digest } else { tag.unwrap_or_default() },
                new: if follows_digest { chosen.digest.clone() } else { chosen.tag.clone() },
                tag: chosen.tag.clone(),
                digest: chosen.digest.clone(),
                slot,
            };
            Ok(Ok((edited, change)))
        }
        // Another Application of the plan may share the file and have changed it before.
        Ok(None) => Ok(Err(format!("`{}` already says {}", slot.file, chosen.tag))),
        Err(source) => Err(ImageError::Edit { app: app(), file: slot.file, source }),
    }
}

/// The newest tag, or digest, that the file had in one of its earlier `versions` and that a person took back: the image
/// is pinned to what is there until something newer than that is pushed. `None` where `change`, which is that of
/// `update`, is newer than all that was there.
pub fn pinned(update: &Update, change: &ImageChange, versions: &[String], tags: &[TagInfo]) -> Option<String> {
    let reference = update.reference();
    let earlier = versions.iter().map(|text| change.slot.current(text, &reference));
    if update.strategy == Strategy::Digest {
        let mut earlier = earlier.map(|current| current.digest);
        return earlier.any(|digest| digest == change.new && digest != change.old).then(|| change.new.clone());
    }
    let info = |tag: &str| {
        let known = tags.iter().find(|info| info.tag == tag).cloned();
        known.unwrap_or_else(|| TagInfo { tag: tag.to_owned(), ..TagInfo::default() })
    };
    // What may not be chosen any more, as of another constraint, pins nothing.
    let may_be_chosen = |tag: &String| {
        let info = info(tag);
        choose(&Update { gate: None, ..update.clone() }, std::slice::from_ref(&info)).is_ok_and(|tag| tag.is_some())
    };
    let is_listed = |tag: &str| update.strategy != Strategy::NewestBuild || tags.iter().any(|info| info.tag == tag);
    let newer = |tag: &str, than: &str| tag != than && is_forward(update, than, &info(tag), tags);
    let had = earlier.filter_map(|current| current.tag).filter(|tag| is_listed(tag) && newer(tag, &change.old));
    let newest = had.filter(may_be_chosen).reduce(|newest, tag| if newer(&tag, &newest) { tag } else { newest })?;
    let is_known = !change.old.is_empty();
    (is_known && !newer(&change.tag, &newest)).then_some(newest)
}

#[cfg(test)]
mod tests;
