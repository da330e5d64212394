//! Reads Flux's image repositories, policies and automations, and the markers in files that name policies (fluxcd/
//! image-reflector-controller `api/v1`, `internal/policy`; fluxcd/image-automation-controller `api/v1`,
//! `internal/source`, `pkg/update/setters.go`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use slipway_appset::Selector;
use slipway_gocompat::regexp;
use slipway_manifest::edit::{self, Commented, EditError};
use slipway_manifest::{Object, tree};

use super::settings::text;
use super::write::Current;
use super::{Allow, PullRequestSettings, Reference, Strategy, TagOrder, Target, Update};
use crate::app::{self, ProjectPermissions};
use crate::error::chain;
use crate::source::{RepoUrl, is_revision};

/// The key of a marker.
const MARKER: &str = "$imagepolicy";

/// Flux's image policies, each with the image of its repository; and its automations, which say where they are written.
#[derive(Debug, Default)]
pub struct ImagePolicies {
    policies: Vec<ImagePolicy>,
    automations: Vec<Automation>,
    /// Whether any automation is declared; without one markers are followed wherever they stand.
    has_automations: bool,
}

/// `ImageUpdateAutomation`.
#[derive(Debug)]
struct Automation {
    /// The policies that are followed are of this namespace.
    namespace: String,
    selector: Option<Selector>,
    /// The repository; `None` is the root's, as of one that is declared nowhere.
    repo: Option<RepoUrl>,
    branch: Option<String>,
    push_branch: Option<String>,
    folder: String,
}

impl Automation {
    fn follows(&self, policy: &ImagePolicy) -> bool {
        let (namespace, _) = &policy.identity;
        let label = |key: &str| policy.labels.get(key).and_then(Value::as_str);
        *namespace == self.namespace && self.selector.as_ref().is_none_or(|selector| selector.matches(label))
    }
}

#[derive(Debug)]
struct ImagePolicy {
    identity: (String, String),
    labels: Map<String, Value>,
    image: String,
    strategy: Strategy,
    constraint: String,
    order: TagOrder,
    has_digest: bool,
}

impl ImagePolicies {
    /// Reads the policies among `objects`; one that can't be read is a line of the problems.
    pub fn read(objects: &[Object]) -> (Self, Vec<String>) {
        let of = |kind: &'static str| objects.iter().filter(move |object| object.kind() == kind);
        let image = |object: &Object| Some((app::identity(object), text(object.pointer("/spec/image"))?));
        let images: BTreeMap<(String, String), String> = of("ImageRepository").filter_map(image).collect();
        let (mut found, mut problems) = (Vec::new(), Vec::new());
        for object in of("ImagePolicy") {
            match read_one(object, &images) {
                Ok(policy) => found.push(policy),
                Err(problem) => problems.push(format!("{}: {problem}", object.id())),
            }
        }
        let mut automations = Vec::new();
        for object in of("ImageUpdateAutomation") {
            match automation(object, objects) {
                Ok(automation) => automations.extend(automation),
                Err(problem) => problems.push(format!("{}: {problem}", object.id())),
            }
        }
        let has_automations = of("ImageUpdateAutomation").next().is_some();
        (Self { policies: found, automations, has_automations }, problems)
    }

    /// The updates by policies whose image `concerns`, of the root's repository `repo` and its `branch`: where the
    /// automations say, or of all markers where there is none. An automation of another repository is a line of the
    /// problems: who declares it need not be one who may write there.
    pub fn updates(
        &self,
        repo: &RepoUrl,
        branch: Option<&str>,
        concerns: impl Fn(&str) -> bool,
    ) -> (Vec<Update>, Vec<String>) {
        let (mut found, mut problems) = (Vec::new(), Vec::new());
        for policy in self.policies.iter().filter(|policy| concerns(&policy.image)) {
            if !self.has_automations {
                found.push(policy.update(repo, branch, None));
            }
            for automation in self.automations.iter().filter(|automation| automation.follows(policy)) {
                match &automation.repo {
                    Some(other) if other != repo => {
                        let (namespace, name) = &policy.identity;
                        let why = "and Slipway follows Flux's markers in the root's repository alone";
                        problems.push(format!("{namespace}/{name}: an ImageUpdateAutomation writes to {other}, {why}"));
                    }
                    _ => found.push(policy.update(repo, branch, Some(automation))),
                }
            }
        }
        (found, problems)
    }
}

impl ImagePolicy {
    fn update(&self, repo: &RepoUrl, branch: Option<&str>, automation: Option<&Automation>) -> Update {
        let (namespace, name) = self.identity.clone();
        let target = Target::Markers {
            folder: automation.map(|automation| automation.folder.clone()).unwrap_or_default(),
            policy: format!("{namespace}:{name}"),
            has_digest: self.has_digest,
        };
        let own = automation.and_then(|automation| automation.branch.as_deref());
        Update {
            app: name,
            namespace,
            alias: String::new(),
            image: self.image.clone(),
            constraint: self.constraint.clone(),
            strategy: self.strategy,
            order: self.order.clone(),
            allow: Allow::Any,
            ignore: Vec::new(),
            platforms: Vec::new(),
            gate: None,
            target,
            repo: repo.clone(),
            branch: own.or(branch).map(str::to_owned),
            push_branch: automation.and_then(|automation| automation.push_branch.clone()),
            is_promoted: false,
            pull_request: PullRequestSettings::default(),
            permit: ProjectPermissions::default(),
        }
    }
}

/// Where an automation reads and writes; none where it is suspended. Fails for what Slipway can't follow.
fn automation(object: &Object, objects: &[Object]) -> Result<Option<Automation>, String> {
    let of = |pointer: &str| text(object.pointer(pointer)).filter(|text| !text.is_empty());
    let (namespace, _) = app::identity(object);
    if object.pointer("/spec/suspend") == Some(&Value::Bool(true)) {
        return Ok(None);
    }
    if let Some(strategy) = of("/spec/update/strategy").filter(|strategy| strategy != "Setters") {
        return Err(format!("`spec.update.strategy`: there is only `Setters`, not `{strategy}`"));
    }
    if of("/spec/git/push/refspec").is_some() {
        return Err("`spec.git.push.refspec` is not supported: give `branch`".to_owned());
    }
    let name = of("/spec/sourceRef/name").ok_or("`spec.sourceRef.name` is missing")?;
    let home = of("/spec/sourceRef/namespace").unwrap_or_else(|| namespace.clone());
    let source =
        objects.iter().find(|one| one.kind() == "GitRepository" && app::identity(one) == (home.clone(), name.clone()));
    let repo = source.and_then(|source| text(source.pointer("/spec/url"))).map(|url| url.parse::<RepoUrl>());
    let repo = repo.transpose().map_err(|error| format!("GitRepository `{home}/{name}`: {}", chain(&error)))?;
    // The automation's own reference stands for the one of the source as a whole.
    let reference = object.pointer("/spec/git/checkout/ref").filter(|reference| !reference.is_null());
    let reference = reference.or_else(|| source?.pointer("/spec/ref").filter(|reference| !reference.is_null()));
    let branch = match reference {
        Some(reference) => Some(text(reference.get("branch")).ok_or("only a `branch` can be written to")?),
        // Flux's default.
        None => source.map(|_| "master".to_owned()),
    };
    let push_branch = of("/spec/git/push/branch").filter(|name| branch.as_ref() != Some(name));
    if let Some(name) = branch.iter().chain(&push_branch).find(|name| !is_revision(name)) {
        return Err(format!("`{name}` is no name of a branch"));
    }
    let folder = tree::join("", &of("/spec/update/path").unwrap_or_default());
    let folder = folder.map_err(|error| format!("`spec.update.path`: {}", chain(&error)))?;
    let selector = object.pointer("/spec/policySelector").filter(|selector| selector.is_object());
    let selector = selector.map(Selector::of_labels).transpose().map_err(|e| format!("`policySelector`: {e}"))?;
    Ok(Some(Automation { namespace, selector, repo, branch, push_branch, folder }))
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
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object).cloned().unwrap_or_default();
    Ok(ImagePolicy {
        labels,
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
