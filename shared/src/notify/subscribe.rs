//! Reads Argo CD's notification annotations (argoproj/argo-cd `docs/operator-manual/notifications/subscriptions.md`) as
//! far as they name Slack channels; other services and triggers are reported as unsupported. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use slipway_manifest::{Object, yaml};

use super::report::AppSyncStatus;

const PREFIX: &str = "notifications.argoproj.io/subscribe.";
/// The list form, with several triggers and services.
const LIST: &str = "notifications.argoproj.io/subscriptions";
/// Channels of one application: each costs a message for every commit.
const MAX_CHANNELS: usize = 20;
/// The triggers of Argo CD's catalogue that Slipway fires.
const TRIGGERS: [&str; 6] = [
    "on-deployed",
    "on-health-degraded",
    "on-sync-failed",
    "on-sync-running",
    "on-sync-status-unknown",
    "on-sync-succeeded",
];

/// The channels of an application by trigger; the empty trigger stands for all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscriptions {
    channels: BTreeMap<String, BTreeSet<String>>,
    /// Parts of the annotations without effect, one line each.
    pub ignored: Vec<String>,
}

impl Subscriptions {
    /// Reads `notifications.argoproj.io/subscribe.TRIGGER.slack` and `….subscribe.slack`, channels separated by `;`,
    /// and the list `notifications.argoproj.io/subscriptions`.
    pub fn of(application: &Object) -> Self {
        let annotations = application.pointer("/metadata/annotations").and_then(Value::as_object);
        let mut found = Self::default();
        for (key, value) in annotations.into_iter().flatten() {
            let text = value.as_str().unwrap_or_default();
            if key == LIST {
                found.read_list(text);
            } else if let Some(rest) = key.strip_prefix(PREFIX) {
                let (trigger, service) = rest.split_once('.').unwrap_or(("", rest));
                found.add(key, trigger, service, text.split(';').map(str::trim));
            }
        }
        found
    }

    fn read_list(&mut self, text: &str) {
        let Ok(Value::Array(entries)) = yaml::parse(text) else {
            return self.ignored.push(format!("the annotation `{LIST}` has no effect: it is no list"));
        };
        let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
        let texts = |value: Option<&Value>| -> Vec<String> {
            list(value).iter().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        for entry in &entries {
            let triggers = texts(entry.get("trigger"));
            let all = [String::new()];
            let triggers = if triggers.is_empty() { &all[..] } else { &triggers };
            for destination in list(entry.get("destinations")) {
                let service = destination.get("service").and_then(Value::as_str).unwrap_or_default();
                let channels = texts(destination.get("recipients"));
                for trigger in triggers {
                    self.add(LIST, trigger, service, channels.iter().map(String::as_str));
                }
            }
        }
    }

    fn add<'a>(&mut self, key: &str, trigger: &str, service: &str, channels: impl Iterator<Item = &'a str>) {
        let mut ignore = |why: String| self.ignored.push(format!("the annotation `{key}` has no effect: {why}"));
        if service != "slack" {
            return ignore(format!("of the services there is only `slack`, not `{service}`"));
        }
        if !trigger.is_empty() && !TRIGGERS.contains(&trigger) {
            return ignore(format!("the trigger `{trigger}` is none of {}", TRIGGERS.join(", ")));
        }
        let channels = channels.filter(|one| !one.is_empty()).take(MAX_CHANNELS).map(str::to_owned);
        self.channels.entry(trigger.to_owned()).or_default().extend(channels);
    }

    /// The channels subscribed to `phase`; `default` where the application has no subscriptions.
    pub fn channels(&self, phase: AppSyncStatus, default: &str) -> BTreeSet<String> {
        if self.channels.is_empty() {
            return BTreeSet::from([default.to_owned()]);
        }
        let triggers = triggers(phase);
        let is_meant = |trigger: &str| trigger.is_empty() || triggers.contains(&trigger);
        let meant = self.channels.iter().filter(|(trigger, _)| is_meant(trigger));
        meant.flat_map(|(_, channels)| channels.clone()).take(MAX_CHANNELS).collect()
    }
}

/// The keys of the ConfigMap `argocd-notifications-cm` that have no effect: Slipway has its own triggers and templates.
pub fn unsupported(data: &Map<String, Value>) -> Vec<&str> {
    let is_idle = |key: &str| match key.split_once('.') {
        Some(("trigger", trigger)) => !TRIGGERS.contains(&trigger),
        Some(("service", service)) => service != "slack",
        _ => key != "context",
    };
    data.keys().map(String::as_str).filter(|key| is_idle(key)).collect()
}

/// The triggers of Argo CD's catalogue that `phase` fires.
fn triggers(phase: AppSyncStatus) -> &'static [&'static str] {
    match phase {
        AppSyncStatus::Progressing | AppSyncStatus::Waiting | AppSyncStatus::Held | AppSyncStatus::Queued => {
            &["on-sync-running"]
        }
        AppSyncStatus::Healthy => &["on-deployed", "on-sync-succeeded"],
        AppSyncStatus::Failed => &["on-sync-failed", "on-health-degraded"],
        AppSyncStatus::OutOfSync => &["on-sync-status-unknown"],
        AppSyncStatus::Skipped => &[],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unsupported_triggers_are_named_and_do_not_silence_the_rest() {
        let object = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "x", "annotations": {
                "notifications.argoproj.io/subscribe.on-lunch.slack": "kitchen",
                "notifications.argoproj.io/subscribe.on-deployed.teams": "other"}}});
        let found = Subscriptions::of(&Object::from_value(object).unwrap());
        assert_eq!(found.channels(AppSyncStatus::Failed, "#all"), BTreeSet::from(["#all".to_owned()]));
        assert_eq!(found.ignored.len(), 2, "{:?}", found.ignored);
        assert!(
            found.ignored[0]
                .contains("subscribe.on-lunch.slack` has no effect: the trigger `on-lunch` is none of on-deployed, ")
        );
        assert!(found.ignored[1].ends_with("there is only `slack`, not `teams`"), "{:?}", found.ignored);
        let cm = json!({"trigger.on-deployed": "", "trigger.on-lunch": "", "template.app-deployed": "",
            "service.slack": "", "context": ""});
        assert_eq!(unsupported(cm.as_object().unwrap()), ["trigger.on-lunch", "template.app-deployed"]);
    }

    #[test]
    fn annotations_choose_channels_and_triggers() {
        let of = |annotations: Value| {
            let object = json!({
                "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "x",
                    "annotations": annotations}});
            Subscriptions::of(&Object::from_value(object).unwrap())
        };
        let names = |found: BTreeSet<String>| found.into_iter().collect::<Vec<_>>().join(" ");
        assert_eq!(names(of(json!({})).channels(AppSyncStatus::Failed, "#all")), "#all");
        let some = of(json!({
            "notifications.argoproj.io/subscribe.on-sync-failed.slack": "alerts; oncall",
            "notifications.argoproj.io/subscribe.on-deployed.slack": "releases",
            "notifications.argoproj.io/subscribe.on-deployed.teams": "other"}));
        assert_eq!(names(some.channels(AppSyncStatus::Failed, "#all")), "alerts oncall");
        assert_eq!(names(some.channels(AppSyncStatus::Healthy, "#all")), "releases");
        assert_eq!(names(some.channels(AppSyncStatus::Progressing, "#all")), "");
        let listed = "- trigger: [on-sync-failed, on-deployed]\n  destinations:\n  - {service: slack, recipients: [a, \
                      b]}\n- destinations:\n  - {service: slack, recipients: [c]}\n";
        let listed = of(json!({"notifications.argoproj.io/subscriptions": listed}));
        assert_eq!(names(listed.channels(AppSyncStatus::Failed, "#all")), "a b c");
        assert_eq!(names(listed.channels(AppSyncStatus::Progressing, "#all")), "c");
        assert_eq!(of(json!({"notifications.argoproj.io/subscriptions": "x"})).ignored.len(), 1);
        let all = of(json!({"notifications.argoproj.io/subscribe.slack": "team"}));
        assert_eq!(names(all.channels(AppSyncStatus::Progressing, "#all")), "team");
    }
}
