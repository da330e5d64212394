//! The texts of commits: Image Updater's templates for the message and for the branch that is pushed to, and trailers
//! (argoproj-labs/argocd-image-updater `pkg/argocd/git.go`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::rc::Rc;

use sha2::{Digest as _, Sha256};
use slipway_budget::Budget;
use slipway_gotmpl::{FuncMap, Limits, Map, MapType, MissingKey, Set, Value as Text};

use super::{ImageChange, Reference};

/// Bytes of a branch's name.
const MAX_BRANCH: usize = 255;

/// What a template may use: it makes one line, or a few.
const LIMITS: slipway_budget::Limits = slipway_budget::Limits { steps: 1_000_000, bytes: 1 << 20 };

/// What a template sees of one changed image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changed {
    /// The image without its registry.
    pub image: String,
    /// The image's alias.
    pub alias: String,
    /// The tag before; empty where there was none.
    pub old: String,
    /// The tag now; the digest where that is followed.
    pub new: String,
    /// The image's labels, where they are known.
    pub labels: BTreeMap<String, String>,
}

impl Changed {
    pub(super) fn of(change: &ImageChange) -> Self {
        Self {
            image: Reference::parse(&change.image).name,
            alias: change.alias.clone(),
            old: change.old.clone(),
            new: change.new.clone(),
            labels: BTreeMap::new(),
        }
    }
}

/// The default message: a line that names the Applications, and one for each image.
pub fn default_message(apps: &str, changes: &[Changed]) -> String {
    let mut text = format!("build: automatic update of {apps}\n\n");
    let mut lines = BTreeSet::new();
    for Changed { image, old, new, .. } in changes {
        if lines.insert((image, old, new)) {
            let _ = writeln!(text, "updates image {image} tag '{old}' to '{new}'");
        }
    }
    text
}

/// The message that a `template` makes of the changes; Image Updater's words where it fails.
pub fn message(template: &str, apps: &str, changes: &[Changed]) -> String {
    let one = |change: &Changed| {
        let labels = change.labels.iter().map(|(key, label)| (key.as_str().into(), label.as_str().into()));
        let labels = Map::typed(MapType::STRING, labels.collect());
        let fields = [("Image", &change.image), ("OldTag", &change.old), ("NewTag", &change.new)];
        let fields = fields.into_iter().map(|(key, text)| (key, Text::from(text.as_str())));
        Text::Map(fields.chain([("Labels", labels.into())]).collect())
    };
    let data = [("AppName", Text::from(apps)), ("AppChanges", Text::List(changes.iter().map(one).collect()))];
    execute(template, data.into_iter().collect()).unwrap_or_else(|_| format!("build: update of application {apps}"))
}

/// What the name of a branch is made of, besides the changes.
#[derive(Debug, Clone, Copy, Default)]
pub struct BranchOf<'a> {
    /// Namespace of the Application.
    pub namespace: &'a str,
    /// Name of the Application.
    pub app: &'a str,
    /// What tells apart the places that are written to.
    pub target_key: &'a str,
}

/// The name of the branch that a `template` makes of the changes, cut to 255 bytes; fails where it can't be read.
pub fn branch_name(template: &str, of: BranchOf<'_>, changes: &[Changed]) -> Result<String, String> {
    let mut hash = Sha256::new();
    for Changed { image, old, new, .. } in changes {
        hash.update(format!("{image}-{old}-{new},"));
    }
    let one = |change: &Changed| {
        let Changed { image, alias, old, new, .. } = change;
        let fields = [("Name", image), ("Alias", alias), ("OldTag", old), ("NewTag", new)];
        Text::Map(fields.into_iter().map(|(key, text)| (key, Text::from(text.as_str()))).collect())
    };
    let hash = hex::encode(hash.finalize());
    let data = [
        ("AppNamespace", Text::from(of.namespace)),
        ("AppName", Text::from(of.app)),
        ("TargetKey", Text::from(of.target_key)),
        ("SHA256", Text::from(hash.as_str())),
        ("Images", Text::List(changes.iter().map(one).collect())),
    ];
    let mut name = execute(template, data.into_iter().collect())?;
    name.truncate(name.floor_char_boundary(MAX_BRANCH));
    Ok(name)
}

/// The trailers of a commit: every image with its tag and digest, and the events that it is for.
pub(super) fn trailers<'e>(changes: &[ImageChange], events: impl Iterator<Item = &'e str>) -> String {
    let lines: BTreeSet<String> = changes
        .iter()
        .map(|change| {
            let digest = if change.digest.is_empty() { String::new() } else { format!("@{}", change.digest) };
            format!("Image: {}:{}{digest}", change.image, change.tag)
        })
        .collect();
    let mut lines: Vec<String> = lines.into_iter().collect();
    lines.extend(events.map(|event| format!("Event: {event}")));
    lines.join("\n")
}

/// Executes a template; a field that the data does not have is a mistake, as it is of Go's structures.
fn execute(template: &str, data: Map) -> Result<String, String> {
    let budget = slipway_gotmpl::Budget::new(Budget::new(LIMITS), Limits { depth: 50, stack: 256 << 10 });
    let mut set = Set::new(Rc::new(FuncMap::new(&[])), MissingKey::Error);
    set.parse("message", template).map_err(|error| error.to_string())?;
    let text = Rc::new(set).execute("message", data.into(), &budget, &()).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
