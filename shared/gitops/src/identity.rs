//! Identifies an application by its tracking name, ApplySet and namespace.

use crate::tracking::{self, PART_OF, TRACKING_ID};
use slipway_manifest::{Object, ObjectId};

/// The namespace in which Slipway keeps its own objects.
pub const STATE_NAMESPACE: &str = "slipway";

/// Whose objects these are and where they go.
#[derive(Debug, Clone)]
pub struct AppIdentity {
    /// The application as its tracking ids name it.
    pub app: String,
    /// The ApplySet of its parent.
    pub applyset: String,
    /// The destination's namespace: for objects that name none.
    pub namespace: String,
}

impl AppIdentity {
    /// Marks `object` as the application's; gives its id.
    pub fn set_tracking(&self, object: &mut Object) -> ObjectId {
        let id = object.id();
        object.set_annotation(TRACKING_ID, tracking::tracking_id(&self.app, &id, &self.namespace));
        object.set_label(PART_OF, &self.applyset);
        id
    }
}
