//! Identifies an application by its tracking name, ApplySet and namespace.

use crate::tracking::{self, PART_OF, TRACKING_ID};
use slipway_manifest::{Object, ObjectId};

/// The namespace of Slipway's own objects.
pub const STATE_NAMESPACE: &str = "slipway";

/// Identity of the application that owns the objects, and its default namespace.
#[derive(Debug, Clone)]
pub struct AppIdentity {
    /// The application's name in tracking ids.
    pub app: String,
    /// Id of its ApplySet.
    pub applyset: String,
    /// The destination's namespace, for objects without one.
    pub namespace: String,
}

impl AppIdentity {
    /// Writes tracking id and ApplySet label into `object`; returns its id.
    pub fn set_tracking(&self, object: &mut Object) -> ObjectId {
        let id = object.id();
        object.set_annotation(TRACKING_ID, tracking::tracking_id(&self.app, &id, &self.namespace));
        object.set_label(PART_OF, &self.applyset);
        id
    }
}
