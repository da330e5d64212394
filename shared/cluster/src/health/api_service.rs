use slipway_manifest::Object;

use super::{Health, Verdict, status_conditions};

/// An APIService: well when its server answers.
pub(super) fn health(object: &Object) -> Verdict {
    let available = status_conditions(object).find(|condition| condition.kind == "Available");
    available.map_or_else(
        || Verdict::new(Health::Progressing, "Waiting to be processed"),
        |condition| {
            let health = if condition.status == "True" { Health::Healthy } else { Health::Progressing };
            Verdict::new(health, format!("{}: {}", condition.reason, condition.message))
        },
    )
}
