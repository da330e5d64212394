//! Is an object as Git has it, and if not, who changed what? A dry run, masked, compared and blamed. Changes nothing.

use std::sync::Arc;

use serde_json::Value;
use slipway_manifest::Object;

use crate::apply::{self, MANAGER, Options};
use crate::blame::{self, Owner};
use crate::connect::Cluster;
use crate::diff::{self, Difference};
use crate::discover::Resource;
use crate::error::{ApiError, Class, Failure, Verb};
use crate::live::{self, Place};
use crate::mask;
use crate::normalize::Normalizer;
use crate::predict;
use crate::scaled::scaled_at;
use crate::status::SyncStatus;
use crate::sync_status::CompareOptions;

/// How often an object that keeps changing is looked at.
const ATTEMPTS: usize = 4;

/// A field that is not as in Git, and whose it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The field and both values, masked if they are secret.
    pub difference: Difference,
    /// Who owns it, others before us, the latest first. A field that is gone has no owner: then who wrote to the object last, if anybody.
    pub owners: Vec<Owner>,
}

/// What a comparison found.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The object as it is, not masked; `None` if it does not exist.
    pub live: Option<Object>,
    /// What differs; empty for an object that does not exist.
    pub findings: Vec<Finding>,
}

impl Comparison {
    /// Whether the cluster has what Git has.
    pub fn status(&self) -> SyncStatus {
        if self.live.is_some() && self.findings.is_empty() { SyncStatus::Synced } else { SyncStatus::OutOfSync }
    }
}

/// What counts as a difference.
#[derive(Debug, Default)]
pub struct Rules {
    /// What is to be ignored.
    pub normalizer: Normalizer,
    /// The Application's own options; an object's add to them.
    pub options: CompareOptions,
}

/// An object and what an apply would make of it, as of the same moment, both without what is to be ignored. Not masked.
#[derive(Debug, Clone)]
pub struct Pair {
    /// As it is.
    pub live: Object,
    /// As it would be.
    pub predicted: Object,
}

/// Compares `desired`, a `resource`, with `live` by a dry run ([`settle`]), masks and blames.
pub async fn compare(
    cluster: &Cluster,
    resource: &Arc<Resource>,
    desired: &Object,
    live: Option<Object>,
    options: &Options,
    rules: &Rules,
) -> Result<Comparison, Failure> {
    Ok(match settle(cluster, resource, desired, live, options, rules).await? {
        Some(Pair { live, predicted }) => Comparison { findings: findings(&live, predicted), live: Some(live) },
        None => Comparison { live: None, findings: Vec::new() },
    })
}

/// `live` beside what an apply of `desired`, a `resource`, would make of it; `None` if it does not exist.
///
/// The dry run answers for the object as it is at that moment: if that is no longer `live`, it is read again, so that what a controller writes
/// in between is no difference. What mutating webhooks make of fields that are not ours is none either, unless the options say so, and neither is
/// what `rules` ignore. Where something differs and the scale subresource left no time in managedFields, the time of the controller's
/// event is put there. Errors are those of the dry run.
pub async fn settle(
    cluster: &Cluster,
    resource: &Arc<Resource>,
    desired: &Object,
    live: Option<Object>,
    options: &Options,
    rules: &Rules,
) -> Result<Option<Pair>, Failure> {
    let options = Options { dry_run: true, ..options.clone() };
    let with_webhooks = rules.options.include_mutation_webhook || CompareOptions::of(desired).include_mutation_webhook;
    let place = Place::of(resource, desired);
    let mut current = live;
    for attempt in 1..=ATTEMPTS {
        let Some(mut live) = current else { break };
        let mut predicted = apply::apply(cluster, resource, desired, Some(&live), &options).await?.object;
        if attempt == ATTEMPTS || version(&live) == version(&predicted) {
            if !with_webhooks {
                let ours = predict::without_mutations(&live, &predicted, MANAGER);
                predicted = ours.map_err(|error| Failure {
                    id: place.id(),
                    verb: Verb::DryRun,
                    source: ApiError::local(Class::Malformed, error.to_string()),
                })?;
            }
            rules.normalizer.normalize_pair(&mut live, &mut predicted);
            if !diff::diff(&live, &predicted).is_empty() {
                time_scalings(cluster, &mut live).await;
            }
            return Ok(Some(Pair { live, predicted }));
        }
        current = live::get(cluster, &place).await?;
    }
    Ok(None)
}

fn version(object: &Object) -> Option<&Value> {
    object.pointer("/metadata/resourceVersion")
}

/// Gives the entries of the scale subresource that have no time the one of the last scaling.
async fn time_scalings(cluster: &Cluster, live: &mut Object) {
    let is_untimed = |entry: &Value| {
        entry.get("subresource").and_then(Value::as_str) == Some("scale")
            && entry.get("time").is_none_or(Value::is_null)
    };
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    if !entries.into_iter().flatten().any(is_untimed) {
        return;
    }
    let Some(time) = scaled_at(cluster, live).await else { return };
    let entries = live.metadata_mut().get_mut("managedFields").and_then(Value::as_array_mut);
    let untimed = entries.into_iter().flatten().filter(|entry| is_untimed(entry));
    for entry in untimed.filter_map(Value::as_object_mut) {
        entry.insert("time".to_owned(), Value::String(time.clone()));
    }
}

/// The masked differences between `live` and what an apply would make of it, each with its owners. Pure.
pub fn findings(live: &Object, mut predicted: Object) -> Vec<Finding> {
    let mut shown = live.clone();
    mask::mask(&mut [&mut shown, &mut predicted], &[]);
    let finding = |difference: Difference| {
        let mut owners = match difference.live {
            Some(_) => blame::blame(live, &difference.path),
            None => Vec::new(),
        };
        owners.extend(blame::last_writer(live).filter(|_| difference.live.is_none()));
        Finding { difference, owners }
    };
    diff::diff(&shown, &predicted).into_iter().map(finding).collect()
}
