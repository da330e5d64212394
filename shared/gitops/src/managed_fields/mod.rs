//! Reads, compares and migrates `metadata.managedFields`: who owns which field of an object.

pub mod body;
mod exclusive;
mod given_up;
mod merge;
pub mod migrate;
pub mod mutations;
pub mod owners;
pub mod record;
pub mod repair;
pub mod set;
pub mod subset;

use serde_json::Value;
use slipway_manifest::Object;

use crate::tracking::LAST_APPLIED;

/// The field manager of everything Slipway applies.
pub const FIELD_MANAGER: &str = "slipway";

/// Removes from a manifest what only the API server writes, and no manager can own.
pub fn strip(object: &mut Object) {
    const METADATA: [&str; 6] =
        ["managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink"];
    // Most manifests have none of these fields, and stay shared.
    if object.get("status").is_some() {
        object.as_map_mut().shift_remove("status");
    }
    if object.metadata().is_some_and(|metadata| METADATA.iter().any(|field| metadata.contains_key(*field))) {
        for field in METADATA {
            object.metadata_mut().shift_remove(field);
        }
    }
    for annotation in [LAST_APPLIED, record::LAST_APPLIED_FIELDS, record::FIELDS_IN_GIT] {
        if object.annotation(annotation).is_some()
            && let Some(Value::Object(annotations)) = object.metadata_mut().get_mut("annotations")
        {
            annotations.shift_remove(annotation);
        }
    }
}
