//! Predicts by a dry run what an apply would make of an object. Changes nothing.

use std::sync::Arc;

use serde_json::Value;
use slipway_manifest::Object;

use crate::apply::{self, Options};
use crate::connect::Cluster;
use crate::objects::{self, ObjectRef};
use crate::scale::scaled_at;
use slipway_gitops::api_resources::ApiResource;
use slipway_gitops::comparison::{LiveAndPredicted, Rules};
use slipway_gitops::diff;
use slipway_gitops::error::{ApiError, Class, Failure, Verb};
use slipway_gitops::managed_fields::FIELD_MANAGER;
use slipway_gitops::managed_fields::mutations;
use slipway_gitops::sync_status::CompareOptions;

/// Attempts for an object that keeps changing between read and dry run.
const MAX_CONFLICT_ATTEMPTS: usize = 4;

/// Returns `live` and the predicted result of applying `desired`, a `resource`; `None` where the object does not exist.
///
/// The dry run is based on the object at that moment: where that is no longer `live`, the object is read again, so that
/// a controller's write in between is no difference. Mutations of webhooks in fields that are not ours are none either,
/// unless the options say so, and neither is what `rules` ignore. Where something differs and managedFields have no
/// time for the scale subresource, the time of the controller's event is filled in. Errors are those of the dry run.
pub async fn dry_run(
    cluster: &Cluster,
    resource: &Arc<ApiResource>,
    desired: &Object,
    live: Option<Object>,
    options: &Options,
    rules: &Rules,
) -> Result<Option<LiveAndPredicted>, Failure> {
    let options = Options { dry_run: true, ..options.clone() };
    let with_webhooks = rules.options.include_mutation_webhook || CompareOptions::of(desired).include_mutation_webhook;
    let place = ObjectRef::of(resource, desired);
    let mut current = live;
    for attempt in 1..=MAX_CONFLICT_ATTEMPTS {
        let Some(mut live) = current else { break };
        let mut predicted = apply::apply(cluster, resource, desired, Some(&live), &options).await?.object;
        if attempt == MAX_CONFLICT_ATTEMPTS || version(&live) == version(&predicted) {
            let failed = |error: &dyn std::error::Error| Failure {
                id: place.id(),
                verb: Verb::DryRun,
                source: ApiError::local(Class::Malformed, error.to_string()),
            };
            if !with_webhooks {
                let ours = mutations::without_mutations(&live, &predicted, FIELD_MANAGER);
                predicted = ours.map_err(|error| failed(&error))?;
            }
            rules.normalizer.normalize_pair(&mut live, &mut predicted).map_err(|error| failed(&error))?;
            if !diff::diff(&live, &predicted).is_empty() {
                time_scalings(cluster, &mut live, predicted.pointer("/spec/replicas")).await;
            }
            return Ok(Some(LiveAndPredicted { live, predicted }));
        }
        current = objects::get(cluster, &place).await?;
    }
    Ok(None)
}

fn version(object: &Object) -> Option<&Value> {
    object.pointer("/metadata/resourceVersion")
}

/// Fills in the time of the last scaling, from `before` replicas, in entries of the scale subresource without a time.
async fn time_scalings(cluster: &Cluster, live: &mut Object, before: Option<&Value>) {
    let is_untimed = |entry: &Value| {
        entry.get("subresource").and_then(Value::as_str) == Some("scale")
            && entry.get("time").is_none_or(Value::is_null)
    };
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    if !entries.into_iter().flatten().any(is_untimed) {
        return;
    }
    let Some(time) = scaled_at(cluster, live, before).await else { return };
    let entries = live.metadata_mut().get_mut("managedFields").and_then(Value::as_array_mut);
    let untimed = entries.into_iter().flatten().filter(|entry| is_untimed(entry));
    for entry in untimed.filter_map(Value::as_object_mut) {
        entry.insert("time".to_owned(), Value::String(time.clone()));
    }
}
