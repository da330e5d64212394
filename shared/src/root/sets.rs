//! Makes the Applications of ApplicationSets, from the repositories at hand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use slipway_appset::{ApplicationsSync, Cluster, Generated, GitRevision, Given, Need, Policy, RolloutStep, Strategy};
use slipway_budget::Budget;
use slipway_manifest::Object;

use super::listings::{self, Listings};
use super::repositories::{Availability, Repositories, RepositoryRevision, Unavailable};
use crate::app::{IN_CLUSTER_NAME, IN_CLUSTER_SERVER, ProjectPermissions, Source, secret_text};
use crate::error::chain;

/// Times that a set asks for more: a matrix asks for one generator after the other.
const MAX_ROUNDS: usize = 16;

/// Of a set whose generators decide on the project (argoproj/argo-cd
/// `docs/operator-manual/applicationset/Security.md`).
const TEMPLATED_PROJECT: &str = "`spec.template.spec.project` is a template: the authors of what the generators read \
                                 choose the project, and so what the Applications may do";

/// What a set comes to.
pub(super) enum Expansion {
    /// All of its Applications.
    Applications {
        /// The Applications.
        objects: Vec<Object>,
        /// What the set may do to them.
        allowed: ApplicationsSync,
        /// Whether those of later steps are deleted first.
        reverse_deletion: bool,
        /// What the set asks for that has no effect yet, and what is dangerous about it.
        warnings: Vec<String>,
        /// What GitHub listed for its generators.
        listings: Listings,
        /// The steps of a `RollingSync`, in which they are synced.
        steps: Option<Vec<RolloutStep>>,
    },
    /// Repositories are missing, or what GitHub lists.
    Missing(BTreeSet<RepositoryRevision>, BTreeSet<Need>),
    /// It looks at what can't be fetched yet.
    Unsupported(String),
    /// It fails.
    Failed(String),
}

/// The Applications of `set`, which sees the cluster Secrets `clusters`, and one that is assumed. GitHub lists for it
/// what the project of the Application that declares it `permit`s.
pub(super) fn expand(
    set: &Object,
    (clusters, assumed): (&[Object], Option<Cluster>),
    (repositories, permit): (&Repositories, Option<&ProjectPermissions>),
    budget: &Budget,
) -> Expansion {
    let clusters = clusters.iter().filter_map(cluster).chain(assumed).collect();
    let mut given = Given { clusters, ..Given::default() };
    let mut listings = Listings::default();
    for _ in 0..MAX_ROUNDS {
        let needs = match slipway_appset::generate(set, &given, budget) {
            Ok(Generated::Applications(made)) => {
                let mut warnings = without_effect(&made.policy, &made.unknown_fields);
                if made.has_templated_project {
                    warnings.push(TEMPLATED_PROJECT.to_owned());
                }
                let (allowed, reverse_deletion) = (made.policy.applications_sync, made.policy.reverse_deletion);
                let steps = match made.policy.strategy {
                    Strategy::AllAtOnce => None,
                    Strategy::RollingSync(steps) => Some(steps),
                };
                let objects = made.objects;
                return Expansion::Applications { objects, allowed, reverse_deletion, warnings, listings, steps };
            }
            Ok(Generated::Needs(needs)) => needs,
            Err(error) => return Expansion::Failed(chain(&error)),
        };
        let (mut missing, mut unlisted) = (BTreeSet::new(), BTreeSet::new());
        for need in needs {
            let Need::Tree(revision) = need else {
                let url = listings::url(&need, repositories.host());
                if let Some(denied) = permit.and_then(|permit| permit.refused_source(&url)) {
                    return Expansion::Failed(denied.to_string());
                }
                match repositories.listing(&need) {
                    Some(Ok(listing)) => {
                        listings.insert(need.clone(), listing.clone());
                        listing.clone().give(need, &mut given);
                    }
                    Some(Err(unlisted)) => {
                        return match unlisted.reason.clone() {
                            Unavailable::Unsupported(reason) => Expansion::Unsupported(reason),
                            Unavailable::Failed(reason) | Unavailable::Elsewhere(reason) => Expansion::Failed(reason),
                        };
                    }
                    None => {
                        unlisted.insert(need);
                    }
                }
                continue;
            };
            match repositories.get(&source(&revision)) {
                Availability::Here(checkout) => {
                    given.trees.insert(revision, Arc::clone(&checkout.tree));
                }
                Availability::Missing(wanted) => {
                    missing.insert(wanted);
                }
                Availability::Unavailable(Unavailable::Unsupported(reason) | Unavailable::Elsewhere(reason)) => {
                    return Expansion::Unsupported(reason);
                }
                Availability::Unavailable(Unavailable::Failed(reason)) => return Expansion::Failed(reason),
            }
        }
        if !missing.is_empty() || !unlisted.is_empty() {
            return Expansion::Missing(missing, unlisted);
        }
    }
    Expansion::Failed(format!("{}: its generators still ask for more after {MAX_ROUNDS} rounds", set.id()))
}

/// Why fields that keep what others write into live Applications have nothing to do.
const NOTHING_TO_KEEP: &str =
    "has nothing to keep: Slipway writes no Application objects that others could change, Git alone counts";

/// What is read of a set and not obeyed: its Applications are those that its generators make, and no others.
fn without_effect(policy: &Policy, unknown: &[String]) -> Vec<String> {
    let yet = "has no effect yet";
    let fields = [
        ("spec.ignoreApplicationDifferences", !policy.ignore_application_differences.is_empty(), NOTHING_TO_KEEP),
        (
            "spec.preservedFields",
            !policy.preserved_annotations.is_empty() || !policy.preserved_labels.is_empty(),
            NOTHING_TO_KEEP,
        ),
    ];
    let asked = fields.into_iter().filter(|(_, is_set, _)| *is_set);
    let asked = asked.map(|(field, _, why)| format!("`{field}` {why}"));
    asked.chain(unknown.iter().map(|field| format!("`{field}` {yet}"))).collect()
}

fn source(revision: &GitRevision) -> Source {
    let target = if revision.revision.is_empty() { "HEAD" } else { &revision.revision };
    Source { repo_url: revision.url.clone(), target_revision: target.to_owned(), ..Source::default() }
}

fn cluster(secret: &Object) -> Option<Cluster> {
    let pairs = |field: &str| {
        let pairs = secret.metadata().and_then(|metadata| metadata.get(field)?.as_object());
        let pairs = pairs.into_iter().flatten();
        pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
    };
    let server = secret_text(secret, "server")?;
    Some(Cluster {
        name: secret_text(secret, "name").unwrap_or_else(|| server.clone()),
        server,
        project: secret_text(secret, "project"),
        labels: pairs("labels"),
        annotations: pairs("annotations"),
    })
}

/// A cluster that the set's `clusters` generators select, with all that its templates ask of it; `None` where it has
/// no such generator.
pub(super) fn selected(set: &Object) -> Option<Cluster> {
    let mut selectors = Vec::new();
    find_selectors(set.get("spec")?.get("generators")?, &mut selectors, MAX_ROUNDS);
    if selectors.is_empty() {
        return None;
    }
    let text = Value::Object(set.as_map().clone()).to_string();
    let mut labels = asked(&text, "labels");
    for selector in selectors {
        let pairs = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
        labels.extend(pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))));
        let expressions = selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten();
        for expression in expressions {
            let value = match expression.get("operator").and_then(Value::as_str) {
                Some("In") => expression.pointer("/values/0").and_then(Value::as_str),
                Some("Exists") => Some(""),
                _ => None,
            };
            let key = expression.get("key").and_then(Value::as_str);
            labels.extend(key.zip(value).map(|(key, value)| (key.to_owned(), value.to_owned())));
        }
    }
    let annotations = asked(&text, "annotations");
    let (name, server) = (IN_CLUSTER_NAME.to_owned(), IN_CLUSTER_SERVER.to_owned());
    Some(Cluster { name, server, project: None, labels, annotations })
}

fn find_selectors<'a>(value: &'a Value, found: &mut Vec<&'a Value>, depth: usize) {
    let Some(depth) = depth.checked_sub(1) else { return };
    match value {
        Value::Object(map) => {
            found.extend(map.get("clusters").map(|clusters| clusters.get("selector").unwrap_or(clusters)));
            map.values().for_each(|inner| find_selectors(inner, found, depth));
        }
        Value::Array(list) => list.iter().for_each(|inner| find_selectors(inner, found, depth)),
        _ => {}
    }
}

/// The labels or annotations of a cluster that templates in `text` name, with values that say that they are unknown.
fn asked(text: &str, field: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (at, start) in text.match_indices(&format!("metadata.{field}")) {
        let rest = text.get(at + start.len()..).unwrap_or_default();
        // `.NAME`, or `"NAME"` as an argument of `index`.
        let rest = rest.trim_start_matches(['.', ' ', '\\', '"']);
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-_/.".contains(c))).unwrap_or(rest.len());
        let name = rest.get(..end).unwrap_or_default();
        let is_url =
            name.contains("url") || name.contains("repo") && !name.contains("path") && !name.contains("revision");
        let value = if is_url { "https://unknown.invalid/unknown/unknown" } else { "unknown" };
        if !name.is_empty() {
            found.insert(name.to_owned(), value.to_owned());
        }
    }
    found
}
