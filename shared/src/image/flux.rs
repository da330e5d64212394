//! Reads Flux's image repositories and policies, and the markers in files that name them (fluxcd/image-reflector-controller
//! `api/v1`, `internal/policy`; fluxcd/image-automation-controller `pkg/update/setters.go`).

use std::collections::BTreeMap;

use serde_json::Value;
use slipway_gocompat::regexp;
use slipway_manifest::Object;
use slipway_manifest::edit::{self, Commented, EditError};

use super::settings::text;
use super::write::Current;
use super::{Allow, PullRequestSettings, Reference, Strategy, TagOrder, Target, Update};
use crate::app::{self, ProjectPermissions};
use crate::source::RepoUrl;

/// The key of a marker.
const MARKER: &str = "$imagepolicy";

/// Flux's image policies, each with the image of its repository.
#[derive(Debug, Default)]
pub struct ImagePolicies(Vec<ImagePolicy>);

#[derive(Debug)]
struct ImagePolicy {
    identity: (String, String),
    image: String,
    strategy: Strategy,
    constraint: String,
    order: TagOrder,
    has_digest: bool,
}

impl ImagePolicies {
    /// Reads the policies among `objects`; one that can't be read is a line of the problems.
    pub fn read<'o>(objects: impl IntoIterator<Item = &'o Object> + Clone) -> (Self, Vec<String>) {
        let of = |kind: &'static str| objects.clone().into_iter().filter(move |object| object.kind() == kind);
        let image = |object: &Object| Some((app::identity(object), text(object.pointer("/spec/image"))?));
        let images: BTreeMap<(String, String), String> = of("ImageRepository").filter_map(image).collect();
        let (mut found, mut problems) = (Vec::new(), Vec::new());
        for object in of("ImagePolicy") {
            match read_one(object, &images) {
                Ok(policy) => found.push(policy),
                Err(problem) => problems.push(format!("{}: {problem}", object.id())),
            }
        }
        (Self(found), problems)
    }

    /// The updates by policies whose image `concerns`, of all markers in one branch of a repository.
    pub fn updates(&self, repo: &RepoUrl, branch: Option<&str>, concerns: impl Fn(&str) -> bool) -> Vec<Update> {
        let update = |policy: &ImagePolicy| {
            let (namespace, name) = policy.identity.clone();
            let target = Target::Markers { policy: format!("{namespace}:{name}"), has_digest: policy.has_digest };
            Update {
                app: name,
                namespace,
                alias: String::new(),
                image: policy.image.clone(),
                constraint: policy.constraint.clone(),
                strategy: policy.strategy,
                order: policy.order.clone(),
                allow: Allow::Any,
                ignore: Vec::new(),
                platforms: Vec::new(),
                gate: None,
                target,
                repo: repo.clone(),
                branch: branch.map(str::to_owned),
                push_branch: None,
                is_promoted: false,
                pull_request: PullRequestSettings::default(),
                permit: ProjectPermissions::default(),
            }
        };
        self.0.iter().filter(|policy| concerns(&policy.image)).map(update).collect()
    }
}

fn read_one(object: &Object, images: &BTreeMap<(String, String), String>) -> Result<ImagePolicy, String> {
    let identity = app::identity(object);
    let of = |pointer: &str| text(object.pointer(pointer));
    let name = of("/spec/imageRepositoryRef/name").ok_or("`spec.imageRepositoryRef.name` is missing")?;
    let namespace = of("/spec/imageRepositoryRef/namespace").unwrap_or_else(|| identity.0.clone());
    let image = images.get(&(namespace.clone(), name.clone()));
    let image =
        image.ok_or_else(|| format!("ImageRepository `{namespace}/{name}` is declared nowhere, or has no image"))?;
    let policy =
        |kind: &str| object.pointer("/spec/policy").and_then(|policy| policy.get(kind)).filter(|one| !one.is_null());
    let (strategy, settings) = match (policy("semver"), policy("alphabetical"), policy("numerical")) {
        (Some(settings), None, None) => (Strategy::Semver, settings),
        (None, Some(settings), None) => (Strategy::Alphabetical, settings),
        (None, None, Some(settings)) => (Strategy::Numerical, settings),
        _ => return Err("`spec.policy` must have one of `semver`, `alphabetical` and `numerical`".to_owned()),
    };
    let order = text(settings.get("order")).unwrap_or_else(|| "asc".to_owned());
    if !matches!(order.as_str(), "asc" | "desc") {
        return Err(format!("`order` must be `asc` or `desc`, found `{order}`"));
    }
    let constraint = text(settings.get("range")).unwrap_or_default();
    if strategy == Strategy::Semver && constraint.is_empty() {
        return Err("`spec.policy.semver.range` is missing".to_owned());
    }
    let pattern = of("/spec/filterTags/pattern");
    let filter = pattern.map(|pattern| {
        let compiled = regexp::compile(&pattern).map_err(|error| format!("`spec.filterTags.pattern`: {error}"));
        Ok::<_, String>((compiled?, of("/spec/filterTags/extract").unwrap_or_default()))
    });
    let reflection = of("/spec/digestReflectionPolicy");
    Ok(ImagePolicy {
        image: image.clone(),
        strategy,
        constraint,
        order: TagOrder { filter: filter.transpose()?, is_descending: order == "desc" },
        has_digest: matches!(reflection.as_deref(), Some("Always" | "IfNotPresent")),
        identity,
    })
}

/// Which part of an image a marked value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    Name,
    Tag,
    Digest,
}

pub(super) fn is_yaml(file: &str) -> bool {
    [".yaml", ".yml"].iter().any(|end| file.ends_with(end))
}

/// Whether a value of `text` has a marker of `policy`.
pub(super) fn has(text: &str, policy: &str) -> bool {
    text.contains(MARKER) && text.contains(policy) && !marked(text, policy).is_empty()
}

fn marked(text: &str, policy: &str) -> Vec<(Part, Commented)> {
    let part = |one: Commented| {
        let marker: Value = serde_json::from_str(one.comment.trim()).ok()?;
        let part = match marker.get(MARKER)?.as_str()?.strip_prefix(policy)? {
            "" => Part::Whole,
            ":name" => Part::Name,
            ":tag" => Part::Tag,
            ":digest" => Part::Digest,
            _ => return None,
        };
        Some((part, one))
    };
    edit::commented(text).into_iter().filter_map(part).collect()
}

/// What the marked values say of the image.
pub(super) fn current(text: &str, policy: &str) -> Current {
    let mut found = Current::default();
    for (part, one) in marked(text, policy) {
        let known = match part {
            Part::Name => continue,
            Part::Whole => Current::of(&one.value, true),
            Part::Tag => Current::of(&one.value, false),
            Part::Digest => Current { digest: one.value, ..Current::default() },
        };
        found.tag = found.tag.or(known.tag);
        if found.digest.is_empty() {
            found.digest = known.digest;
        }
    }
    found
}

/// `text` with all marked values as `image`, whose digest is known, says; `None` where they say so already.
pub(super) fn set(text: &str, policy: &str, image: &Reference, has_digest: bool) -> Result<Option<String>, EditError> {
    let mut edited = None;
    for (part, Commented { document, path, .. }) in marked(text, policy) {
        let value = match part {
            Part::Whole if has_digest => image.image(),
            Part::Whole => Reference { digest: String::new(), ..image.clone() }.image(),
            Part::Name => image.repository(),
            Part::Tag => image.tag.clone().unwrap_or_default(),
            Part::Digest => image.digest.clone(),
        };
        // What is not known is not written.
        if value.is_empty() {
            continue;
        }
        let text = edited.as_deref().unwrap_or(text);
        if let Some(text) = edit::set(text, document, &path, &Value::String(value))? {
            edited = Some(text);
        }
    }
    Ok(edited)
}
