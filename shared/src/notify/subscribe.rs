//! Who hears of an application: Argo CD's notification annotations (argoproj/argo-cd `docs/operator-manual/notifications/
//! subscriptions.md`), as far as they name Slack channels. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use slipway_manifest::Object;

use super::report::Phase;

const PREFIX: &str = "notifications.argoproj.io/subscribe.";
/// Channels that one application may name.
const MAX_CHANNELS: usize = 20;

/// The channels of an application by trigger; an empty trigger stands for all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscriptions(BTreeMap<String, BTreeSet<String>>);

impl Subscriptions {
    /// Reads `notifications.argoproj.io/subscribe.TRIGGER.slack` and `….subscribe.slack`, channels separated by `;`.
    pub fn of(application: &Object) -> Self {
        let annotations = application.pointer("/metadata/annotations").and_then(Value::as_object);
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (key, value) in annotations.into_iter().flatten() {
            let trigger = match key.strip_prefix(PREFIX) {
                Some("slack") => "",
                Some(rest) => match rest.strip_suffix(".slack") {
                    Some(trigger) => trigger,
                    None => continue,
                },
                None => continue,
            };
            let channels = value.as_str().unwrap_or_default().split(';').map(str::trim).filter(|one| !one.is_empty());
            found.entry(trigger.to_owned()).or_default().extend(channels.take(MAX_CHANNELS).map(str::to_owned));
        }
        Self(found)
    }

    /// The channels that hear of `phase`; `default` where the application subscribes to nothing.
    pub fn channels(&self, phase: Phase, default: &str) -> BTreeSet<String> {
        if self.0.is_empty() {
            return BTreeSet::from([default.to_owned()]);
        }
        let triggers = triggers(phase);
        let is_meant = |trigger: &str| trigger.is_empty() || triggers.contains(&trigger);
        let meant = self.0.iter().filter(|(trigger, _)| is_meant(trigger));
        meant.flat_map(|(_, channels)| channels.clone()).take(MAX_CHANNELS).collect()
    }
}

/// The triggers of Argo CD's catalogue that fire in a phase.
fn triggers(phase: Phase) -> &'static [&'static str] {
    match phase {
        Phase::Progressing | Phase::Waiting | Phase::Held | Phase::Queued => &["on-sync-running"],
        Phase::Healthy => &["on-deployed", "on-sync-succeeded"],
        Phase::Failed => &["on-sync-failed", "on-health-degraded"],
        Phase::OutOfSync => &["on-sync-status-unknown"],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn annotations_choose_channels_and_triggers() {
        let of = |annotations: Value| {
            let object = json!({
                "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "x", "annotations": annotations}});
            Subscriptions::of(&Object::from_value(object).unwrap())
        };
        let names = |found: BTreeSet<String>| found.into_iter().collect::<Vec<_>>().join(" ");
        assert_eq!(names(of(json!({})).channels(Phase::Failed, "#all")), "#all");
        let some = of(json!({
            "notifications.argoproj.io/subscribe.on-sync-failed.slack": "alerts; oncall",
            "notifications.argoproj.io/subscribe.on-deployed.slack": "releases",
            "notifications.argoproj.io/subscribe.on-deployed.teams": "other"}));
        assert_eq!(names(some.channels(Phase::Failed, "#all")), "alerts oncall");
        assert_eq!(names(some.channels(Phase::Healthy, "#all")), "releases");
        assert_eq!(names(some.channels(Phase::Progressing, "#all")), "");
        let all = of(json!({"notifications.argoproj.io/subscribe.slack": "team"}));
        assert_eq!(names(all.channels(Phase::Progressing, "#all")), "team");
    }
}
