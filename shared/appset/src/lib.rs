//! Makes the Applications of an ApplicationSet (argoproj/argo-cd `applicationset`, v3.5.7).
//!
//! ```text
//! set ─► types (decode) ─► generators (list, clusters, git, matrix, merge, pullRequest, scmProvider)
//!     ─► parameters ─► template (fasttemplate, or Go's) ─► templatePatch ─► Applications
//! ```
//!
//! Pure: knows no network, clock, environment or files. What generators look at is [`Given`]; what is not there yet
//! comes back as [`Need`]s, to be fetched and asked again with. `COMPATIBILITY.md` lists what differs from Argo CD.

mod application;
mod error;
mod functions;
mod generators;
mod given;
mod params;
mod policy;
mod rolling;
mod selector;
mod slug;
mod template;
mod types;

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::Value;
use slipway_budget::Budget;
use slipway_gotmpl::{Limits, on_stack};
use slipway_manifest::Object;

pub use error::{Error, ErrorKind};
pub use given::{
    Branch, BranchesRef, Cluster, GitRevision, Given, Need, OrganizationRef, PathRef, PullRequest, Repository,
    RepositoryRef,
};
pub use policy::{ApplicationsSync, IgnoreApplicationDifferences, Policy, Strategy};
pub use rolling::{ApplicationState, MatchExpression, MaxUpdate, Progress, RolloutStep, may_sync, sync_order};
pub use selector::Selector;

use application::Template;
use generators::{Failure, Generators};
use policy::{text, texts};
use template::Templates;
use types::{Decoder, Type, fill};

/// Applications that one set may make. The largest real ones make some hundreds; each costs a render, and a matrix of
/// two lists of a thousand is a mistake or an attack.
pub const MAX_APPLICATIONS: usize = 10_000;

/// Sets of parameters that one generator may make: a selector may leave few of them.
const MAX_PARAMETERS: usize = 10 * MAX_APPLICATIONS;

/// Bytes of stack for templates.
const STACK: usize = 16 << 20;

/// What of it serves functions that do not look how much is left.
const RESERVE: usize = 1 << 20;

/// Templates within templates.
const DEPTH: usize = 500;

/// What a set comes to.
#[derive(Debug, Clone)]
pub enum Generated {
    /// All Applications of the set.
    Applications(Applications),
    /// What has to be fetched first, and given along with all that was given before. After that more may be needed.
    Needs(BTreeSet<Need>),
}

/// All Applications of a set.
#[derive(Debug, Clone, Default)]
pub struct Applications {
    /// The Applications, in the set's namespace, by generators and then as these list them. Their names differ.
    pub objects: Vec<Object>,
    /// What is to be done with them.
    pub policy: Policy,
    /// What generators looked at, besides the clusters: when one of these changes, so may the Applications.
    pub looked_at: BTreeSet<Need>,
    /// Whether `spec.template.spec.project` is a template: the authors of what the generators read choose the project
    /// then, and with it what the Applications may do.
    pub has_templated_project: bool,
    /// Paths of fields in the set that its kind does not have: an API server drops them.
    pub unknown_fields: Vec<String>,
}

/// The Applications of an ApplicationSet, or what is needed to tell them.
///
/// Fails, and gives no Application at all, where a generator or a template fails, where two Applications have one name,
/// where there are more than [`MAX_APPLICATIONS`], and when the `budget` is used up; the error names the field.
pub fn generate(set: &Object, given: &Given, budget: &Budget) -> Result<Generated, Error> {
    let generated = on_stack(STACK, || applications(set, given, budget));
    generated.unwrap_or_else(|e| Err(("spec".to_owned(), e.into()))).map_err(|(field, kind)| Error {
        set: format!("{}/{}", set.namespace(), set.name()),
        generator: field
            .strip_prefix("spec.generators[")
            .and_then(|rest| rest.split_once(']'))
            .and_then(|(index, _)| index.parse().ok()),
        field,
        kind: Box::new(kind),
    })
}

fn applications(set: &Object, given: &Given, budget: &Budget) -> Result<Generated, Failure> {
    let budget = slipway_gotmpl::Budget::new(budget.clone(), Limits { depth: DEPTH, stack: STACK - RESERVE });
    let mut decoder = Decoder::new("spec", budget.shared());
    let spec = &decoder.decode(&Type::named("ApplicationSetSpec"), set.get("spec").unwrap_or(&Value::Null))?;
    let unknown_fields = decoder.unknown;
    check_generators(set)?;
    let policy = Policy::of(spec)?;
    let templates = Templates::new(spec["goTemplate"] == true, &texts(&spec["goTemplateOptions"]), given, &budget)
        .map_err(|kind| ("spec.goTemplateOptions".to_owned(), kind))?;
    let generators = Generators {
        given,
        templates: &templates,
        project: spec.pointer("/template/spec/project").map(text).unwrap_or_default(),
        asked: RefCell::default(),
        needs: RefCell::default(),
    };
    let template = Template {
        templates: &templates,
        patch: spec["templatePatch"].as_str(),
        namespace: set.namespace(),
        preserves_resources: policy.preserve_resources_on_deletion,
    };
    let template_type = Type::named("ApplicationSetTemplate");
    let mut names = BTreeSet::new();
    let mut objects: Vec<Object> = Vec::new();
    for (index, entry) in policy::items(&spec["generators"]).enumerate() {
        let path = format!("spec.generators[{index}]");
        for (kind, params) in generators.entry(entry, &path, None)? {
            let generator = &entry[kind];
            let whole = fill(&template_type, &generator["template"], &spec["template"]);
            for params in params.into_iter().flatten() {
                if objects.len() >= MAX_APPLICATIONS {
                    return Err((path, ErrorKind::TooMany(MAX_APPLICATIONS, "Applications")));
                }
                let object = template.application(&whole, &params)?;
                if !names.insert(object.name().to_owned()) {
                    return Err((path, ErrorKind::DuplicateName(object.name().to_owned())));
                }
                objects.push(object);
            }
        }
    }
    let needs = generators.needs.take();
    Ok(if needs.is_empty() {
        let has_templated_project = generators.project.contains("{{");
        let looked_at = generators.asked.take();
        Generated::Applications(Applications { objects, policy, looked_at, has_templated_project, unknown_fields })
    } else {
        Generated::Needs(needs)
    })
}

/// Refuses generators of unknown names. Argo CD drops them, and then deletes the Applications that they made.
fn check_generators(set: &Object) -> Result<(), Failure> {
    let entries = set.pointer("/spec/generators").into_iter().flat_map(policy::items);
    for (index, entry) in entries.enumerate() {
        let known = |key: &String| key == "selector" || generators::KINDS.contains(&key.as_str());
        if let Some(key) = entry.as_object().into_iter().flat_map(serde_json::Map::keys).find(|key| !known(key)) {
            let kind = ErrorKind::Unsupported { advice: "there is no generator of this name" };
            return Err((format!("spec.generators[{index}].{key}"), kind));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
