//! Plans an image update: which Applications it concerns, which tag each gets, and which bytes of which file change.
//! Pure: the caller lists ECR's tags, fetches the trees and creates the commits.
//!
//! ```text
//! push + Applications ─► updates ─► (group by repository and branch, fetch tree, list tags) ─► plan ─► one commit
//! ```
//!
//! Settings are the annotations of Argo CD Image Updater. Supported so far: `write-back-method: git` with
//! `write-back-target: kustomization[:PATH]`; the strategies semver, newest-build and alphabetical. All others are an
//! error that names the Application, and changes nothing.

mod annotations;
mod choose;
pub mod run;

pub use annotations::{Update, updates};
pub use choose::{Allow, Strategy, TagInfo, choose, is_forward};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;
use slipway_manifest::edit::{self, EditError};
use slipway_manifest::{NodeKind, Tree, TreeError, tree, yaml};

use crate::app::project::Denied;

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
        "{app}: more than one of `spec.sources` may be the kustomization to write to: give the one that is meant a \
         block `kustomize: {{}}`"
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
    /// The folder of the annotations has no kustomization.
    #[error("{app}: there is no kustomization in `{folder}`")]
    NoKustomization {
        /// Name of the Application.
        app: String,
        /// The folder.
        folder: String,
    },
    /// The folder leaves the repository, or the kustomization is no text.
    #[error("{app}: failed to read the kustomization")]
    Tree {
        /// Name of the Application.
        app: String,
        /// The tree's error.
        #[source]
        source: TreeError,
    },
    /// The kustomization is another Application's source, and has another image under that name.
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
    /// The kustomization can't be edited.
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
    /// Registry and repository of the image.
    pub image: String,
    /// The image's name in the manifests.
    pub name: String,
    /// The tag before; empty where the kustomization had none.
    pub old: String,
    /// The tag now.
    pub new: String,
    /// The changed file.
    pub file: String,
    /// Time of the push of the tag, in milliseconds since 1970.
    pub pushed_at_ms: i64,
}

impl ImageChange {
    /// Whether this is the change that `update` asks for.
    fn is_of(&self, update: &Update) -> bool {
        (self.app.as_str(), self.image.as_str(), self.name.as_str()) == (&update.app, &update.image, update.name())
    }

    /// Why the change is not made where the new tag was taken back.
    fn undone(&self) -> String {
        format!("{} was taken back in Git after its push: push another tag, or set it there", self.new)
    }

    /// Whether the kustomization `text`, an earlier version of the changed file, had the new tag.
    fn was_in(&self, text: &str) -> bool {
        entry(text, &self.name, &self.image).as_ref().and_then(tag).as_ref() == Some(&self.new)
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
}

impl UpdatePlan {
    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The commit message, Image Updater's default (argoproj-labs/argocd-image-updater `pkg/common/constants.go`): one
    /// line that names the Applications, and one for each image.
    pub fn message(&self) -> String {
        let apps: BTreeSet<&str> = self.changes.iter().map(|change| change.app.as_str()).collect();
        let apps: Vec<&str> = apps.into_iter().collect();
        let mut text = format!("build: automatic update of {}\n\n", apps.join(", "));
        let mut lines = BTreeSet::new();
        for ImageChange { image, old, new, .. } in &self.changes {
            let name = image.split_once('/').map_or(image.as_str(), |(_, name)| name);
            if lines.insert((name, old, new)) {
                let _ = writeln!(text, "updates image {name} tag '{old}' to '{new}'");
            }
        }
        text
    }
}

/// Every tag that ECR lists for an image, by registry and repository.
pub type ImageTags = BTreeMap<String, Vec<TagInfo>>;

/// Plans the changes of `updates`, all of one repository and branch, to its `tree`. An image without `tags` gets none.
///
/// A tag is never changed to an older one (see [`is_forward`]), so that a late or repeated event changes nothing; and
/// an up-to-date kustomization is not committed.
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

fn plan_one(tree: &Tree, update: &Update, tags: &[TagInfo], plan: &mut UpdatePlan) -> Result<(), ImageError> {
    let app = || update.app.clone();
    let file = kustomization(tree, update)?;
    let text = match plan.files.get(&file) {
        Some(text) => text.as_str(),
        None => tree.read_text(&file).map_err(|source| ImageError::Tree { app: app(), source })?,
    };
    let Some(chosen) = choose(update, tags)? else {
        plan.unchanged.push((app(), format!("no tag of {} is allowed", update.image)));
        return Ok(());
    };
    let name = update.name();
    let known = entry(text, name, &update.image);
    if name != update.image && !update.is_own_folder && known.is_none() {
        let (name, image) = (name.to_owned(), update.image.clone());
        return Err(ImageError::NewName { app: app(), file, name, image });
    }
    let current = known.as_ref().and_then(tag);
    if let Some(current) = current.as_deref()
        && current != chosen.tag
        && !is_forward(update.strategy, current, chosen, tags)
    {
        plan.unchanged.push((app(), format!("{} is not newer than {current}", chosen.tag)));
        return Ok(());
    }
    let image = edit::Image {
        name: name.to_owned(),
        new_name: (name != update.image).then(|| update.image.clone()),
        new_tag: Some(chosen.tag.clone()),
        digest: None,
    };
    match edit::set_image(text, &image) {
        Ok(Some(edited)) => {
            plan.changes.push(ImageChange {
                app: app(),
                image: update.image.clone(),
                name: name.to_owned(),
                old: current.unwrap_or_default(),
                new: chosen.tag.clone(),
                file: file.clone(),
                pushed_at_ms: chosen.pushed_at_ms,
            });
            plan.files.insert(file, edited);
        }
        Ok(None) => {
            // Another Application of this plan may share the file and have changed it before.
            plan.unchanged.push((app(), format!("`{file}` already says {}", chosen.tag)));
        }
        Err(source) => return Err(ImageError::Edit { app: app(), file, source }),
    }
    Ok(())
}

/// Path of the kustomization in the folder of `update`, symlinks resolved: a commit can't follow them.
fn kustomization(tree: &Tree, update: &Update) -> Result<String, ImageError> {
    let tree_error = |source| ImageError::Tree { app: update.app.clone(), source };
    for name in slipway_kustomize::FILE_NAMES {
        let file = tree::join(&update.folder, name).and_then(|file| tree.resolve(&file)).map_err(tree_error)?;
        if tree.kind(&file).map_err(tree_error)? == Some(NodeKind::File) {
            return Ok(file);
        }
    }
    Err(ImageError::NoKustomization { app: update.app.clone(), folder: update.folder.clone() })
}

/// The tag of an image's entry.
fn tag(entry: &Value) -> Option<String> {
    match entry.get("newTag")? {
        Value::String(tag) => Some(tag.clone()),
        Value::Number(tag) => Some(tag.to_string()),
        _ => None,
    }
}

/// The entry of the image `name` in the kustomization, if that resolves to `image`.
fn entry(text: &str, name: &str, image: &str) -> Option<Value> {
    let value = yaml::parse(text).ok()?;
    let mut entries = value.get("images")?.as_array()?.iter();
    let entry = entries.find(|entry| entry.get("name").and_then(Value::as_str) == Some(name))?;
    let named = entry.get("newName").and_then(Value::as_str).unwrap_or(name);
    (named == image).then(|| entry.clone())
}

#[cfg(test)]
mod tests;
