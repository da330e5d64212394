use slipway_manifest::Object;

use super::{Health, Verdict, text};

/// A PersistentVolumeClaim: its phase says it all.
pub(super) fn health(object: &Object) -> Verdict {
    let health = match text(object, "/status/phase") {
        "Lost" => Health::Degraded,
        "Pending" => Health::Progressing,
        "Bound" => Health::Healthy,
        _ => Health::Unknown,
    };
    Verdict::new(health, "")
}
