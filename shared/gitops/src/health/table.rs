//! Evaluates the kinds for which Argo CD has a check in `resource_customizations` (argoproj/argo-cd), from data: one
//! row per kind or group with rules; the first matching rule decides, and without one the object is Progressing.

mod cloud;
mod data;
mod delivery;
mod network;
mod observability;
mod workloads;

use serde_json::Value;
use slipway_manifest::Object;

use super::{Health, HealthStatus};

/// Something that holds of an object or does not. Paths are JSON pointers: one that begins with a slash is from the
/// object's root, any other from where the test stands, which is `status`, or an item of a list below it; `-` is the
/// last item of a list.
enum Test {
    /// `status.conditions` has one of this type and status.
    Is(&'static str, &'static str),
    /// `status.conditions` has one of this type and reason.
    Because(&'static str, &'static str),
    /// The item is a condition of this type and status.
    When(&'static str, &'static str),
    /// The field is this, as text.
    Equals(&'static str, &'static str),
    /// The field is one of these, as text.
    OneOf(&'static str, &'static [&'static str]),
    /// The field's text starts so.
    Starts(&'static str, &'static str),
    /// The field's text has one of these in it, in lower case.
    Mentions(&'static str, &'static [&'static str]),
    /// The field is there and not null.
    Has(&'static str),
    /// The field is there, and is neither null, false, zero nor empty.
    Filled(&'static str),
    /// Both are the same, or neither is there.
    Same(&'static str, &'static str),
    /// The sum of the first numbers is below that of the others ([`Place::sum`]).
    Below(&'static [&'static str], &'static [&'static str]),
    /// The number is above this one.
    Above(&'static str, i64),
    /// The generation that was observed, a number or its text, is of before the object's.
    Behind(&'static str),
    /// The text `ready/wanted` says that all are ready.
    AllOf(&'static str),
    /// It holds of some item of the list or mapping.
    Any(&'static str, &'static Test),
    /// It does not hold.
    Not(&'static Test),
    /// All of them hold.
    All(&'static [Test]),
    /// One of them holds.
    Either(&'static [Test]),
    /// What no other test can tell.
    Such(fn(&Object) -> bool),
    /// Whatever it is.
    Always,
}

use Test::{
    Above, All, AllOf, Always, Any, Because, Behind, Below, Either, Equals, Filled, Has, Is, Mentions, Not, OneOf,
    Same, Starts, Such, When,
};

/// A step towards a verdict.
enum Rule {
    /// The verdict where the test holds.
    If(Test, Health),
    /// The verdict of the first item of the list or mapping of which a test holds.
    Each(&'static str, &'static [(Test, Health)]),
}

use Rule::{Each, If};

/// The rules of `group/Kind`: the group may begin with `*`, kinds are parted by `|` and may end with `*`.
type Row = (&'static str, &'static [Rule]);

/// Looked through in this order, rows of one kind before those of all of a group.
const TABLES: [&[Row]; 6] =
    [cloud::ROWS, data::ROWS, delivery::ROWS, network::ROWS, observability::ROWS, workloads::ROWS];

/// Kinds whose condition Ready says it all.
const READY: &[Rule] =
    &[Each("conditions", &[(When("Ready", "False"), Health::Degraded), (When("Ready", "True"), Health::Healthy)])];

/// The status is of this generation.
const OBSERVED: Test = Same("/metadata/generation", "observedGeneration");

/// The status says which generation it is of, and it is another one.
const OUTDATED: Test = All(&[Has("/metadata/generation"), Has("observedGeneration"), Not(&OBSERVED)]);

/// The verdict of the table; `None` for kinds that it does not have.
pub(super) fn of(object: &Object) -> Option<HealthStatus> {
    let (_, rules) = TABLES.into_iter().flatten().find(|(kinds, _)| fits(kinds, object))?;
    let status = Place { object, here: object.get("status").unwrap_or(&Value::Null) };
    let verdict = rules.iter().find_map(|rule| match rule {
        If(test, health) => status.holds(test).then(|| status.verdict(*health, test)),
        Each(list, tests) => items(status.at(list)).find_map(|here| {
            let item = Place { object, here };
            tests.iter().find(|(test, _)| item.holds(test)).map(|(test, health)| item.verdict(*health, test))
        }),
    });
    Some(verdict.unwrap_or_else(|| status.verdict(Health::Progressing, &Always)))
}

fn fits(kinds: &str, object: &Object) -> bool {
    let Some((group, kinds)) = kinds.split_once('/') else { return false };
    let is_group = group.strip_prefix('*').map_or(group == object.group(), |end| object.group().ends_with(end));
    let is_kind = |kind: &str| match (kind.strip_prefix('*'), kind.strip_suffix('*')) {
        (Some(end), _) => object.kind().ends_with(end),
        (_, Some(start)) => object.kind().starts_with(start),
        _ => kind == object.kind(),
    };
    is_group && kinds.split('|').any(is_kind)
}

/// An object and the part of it that is looked at.
struct Place<'a> {
    object: &'a Object,
    here: &'a Value,
}

impl<'a> Place<'a> {
    /// What is at a path; null counts as nothing.
    fn at(&self, path: &str) -> Option<&'a Value> {
        let found = if path.starts_with('/') {
            self.object.pointer(path)
        } else {
            path.split('/').try_fold(self.here, |value, key| match value {
                Value::Array(items) if key == "-" => items.last(),
                _ => value.get(key),
            })
        };
        found.filter(|value| !value.is_null())
    }

    fn text(&self, path: &str) -> Option<String> {
        self.at(path).map(as_text)
    }

    /// The sum of numbers: a missing one is zero, but one for `spec.replicas`, as Kubernetes has it; a list is as many
    /// as it has items, and `*` stands for every item of a list.
    fn sum(&self, paths: &[&str]) -> i64 {
        let one = |path: &&str| match path.split_once("/*/") {
            Some((list, rest)) => {
                let inner = |here| Place { object: self.object, here }.at(rest).and_then(as_number).unwrap_or_default();
                items(self.at(list)).map(inner).fold(0, i64::saturating_add)
            }
            None => self.at(path).and_then(as_number).unwrap_or_else(|| i64::from(*path == "/spec/replicas")),
        };
        paths.iter().map(one).fold(0, i64::saturating_add)
    }

    fn holds(&self, test: &Test) -> bool {
        match test {
            Is(kind, status) => self.condition(kind, "status", status).is_some(),
            Because(kind, reason) => self.condition(kind, "reason", reason).is_some(),
            When(kind, status) => is_text(self.at("type"), kind) && is_text(self.at("status"), status),
            Equals(path, wanted) => is_text(self.at(path), wanted),
            OneOf(path, wanted) => wanted.iter().any(|wanted| is_text(self.at(path), wanted)),
            Starts(path, start) => self.text(path).is_some_and(|text| text.starts_with(start)),
            Mentions(path, parts) => self.text(path).is_some_and(|words| {
                let words = words.to_ascii_lowercase();
                parts.iter().any(|part| words.contains(part))
            }),
            Has(path) => self.at(path).is_some(),
            Filled(path) => self.at(path).is_some_and(is_something),
            Same(one, other) => self.text(one) == self.text(other),
            Below(less, more) => self.sum(less) < self.sum(more),
            Above(path, number) => self.at(path).and_then(as_number).is_some_and(|found| found > *number),
            Behind(path) => {
                let observed = self.at(path).and_then(as_number);
                observed.is_some_and(|observed| observed < self.sum(&["/metadata/generation"]))
            }
            AllOf(path) => self.text(path).is_some_and(|text| {
                text.split_once('/').is_some_and(|(ready, wanted)| ready == wanted && ready.parse::<u64>().is_ok())
            }),
            Any(list, test) => items(self.at(list)).any(|here| Place { object: self.object, here }.holds(test)),
            Not(test) => !self.holds(test),
            All(tests) => tests.iter().all(|test| self.holds(test)),
            Either(tests) => tests.iter().any(|test| self.holds(test)),
            Such(holds) => holds(self.object),
            Always => true,
        }
    }

    /// The condition of the status that is of a type and has a field of this text.
    fn condition(&self, kind: &str, field: &str, wanted: &str) -> Option<&'a Value> {
        let conditions = items(self.object.pointer("/status/conditions"));
        let mut of_kind = conditions.filter(|condition| is_text(condition.get("type"), kind));
        of_kind.find(|condition| is_text(condition.get(field), wanted))
    }

    /// A verdict and what a person reads of it.
    ///
    /// What was said of an earlier generation is no verdict on this one, except that it is suspended: controllers leave
    /// such an object and its status alone.
    fn verdict(&self, health: Health, test: &Test) -> HealthStatus {
        let subject = self.subject(test);
        let status = self.object.get("status");
        let observed = |value: Option<&Value>| {
            value.and_then(|value| value.get("observedGeneration")).and_then(as_number).filter(|number| *number > 0)
        };
        // Conditions are asked only where the status as a whole does not say: not all controllers keep them up.
        let observed = observed(status).or_else(|| observed(subject)).or_else(|| observed(Some(self.here)));
        if matches!(health, Health::Healthy | Health::Progressing | Health::Degraded)
            && observed.is_some_and(|observed| observed < self.sum(&["/metadata/generation"]))
        {
            return HealthStatus::new(Health::Progressing, "Waiting for the latest generation to be observed");
        }
        // What is paused by its specification says nothing of that in its status.
        let told = status.filter(|_| health != Health::Suspended || subject.is_some());
        let message = subject
            .and_then(condition_words)
            .or_else(|| condition_words(self.here))
            .or_else(|| STATUS_WORDS.into_iter().find_map(|path| word(told?.pointer(path))))
            .or_else(|| word(subject))
            .or_else(|| self.shortfall(test))
            .unwrap_or_else(|| self.outline(health));
        HealthStatus::new(health, message)
    }

    /// What a test that holds is about: a condition, an item or a field.
    fn subject(&self, test: &Test) -> Option<&'a Value> {
        match test {
            Is(kind, status) => self.condition(kind, "status", status),
            Because(kind, reason) => self.condition(kind, "reason", reason),
            Equals(path, _) | OneOf(path, _) | Starts(path, _) if !path.starts_with('/') => self.at(path),
            Has(path) if !path.starts_with('/') => self.at(path).filter(|value| value.is_string()),
            Any(list, test) => items(self.at(list)).find_map(|here| {
                let item = Place { object: self.object, here };
                let inner = item.holds(test).then(|| item.subject(test).filter(|inner| inner.is_object()));
                inner.map(|inner| inner.unwrap_or(here))
            }),
            All(tests) | Either(tests) => {
                tests.iter().filter(|test| self.holds(test)).find_map(|test| self.subject(test))
            }
            _ => None,
        }
    }

    /// How far something is that is counted.
    fn shortfall(&self, test: &Test) -> Option<String> {
        match test {
            Below(less, more) => {
                let name = less.first().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
                (more.len() == 1).then(|| format!("{name}: {} of {}", self.sum(less), self.sum(more)))
            }
            All(tests) | Either(tests) => {
                tests.iter().filter(|test| self.holds(test)).find_map(|test| self.shortfall(test))
            }
            _ => None,
        }
    }

    /// What is said where nothing in the object says more.
    fn outline(&self, health: Health) -> String {
        let status = self.object.get("status").filter(|status| is_something(status));
        let ready = || {
            let mut conditions = items(status.and_then(|status| status.get("conditions")));
            let ready = conditions.find(|condition| is_text(condition.get("type"), "Ready"))?;
            condition_words(ready).filter(|_| !is_text(ready.get("status"), "True"))
        };
        let kind = self.object.kind();
        match health {
            Health::Healthy => String::new(),
            Health::Progressing if status.is_none() => "Waiting for the status to be reported".to_owned(),
            Health::Progressing => ready().unwrap_or_else(|| format!("Waiting for {kind} to be ready")),
            _ => ready().unwrap_or_else(|| format!("{kind} is {}", health.to_string().to_lowercase())),
        }
    }
}

/// Where a status says in words what is the matter.
const STATUS_WORDS: [&str; 9] = [
    "/message",
    "/reason",
    "/error/message",
    "/description",
    "/phaseReason",
    "/errMsg",
    "/errorDescription",
    "/applicationState/errorMessage",
    "/reconciliationStatus/error",
];

fn word(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).filter(|word| !word.is_empty()).map(str::to_owned)
}

/// The message of a condition, or else its reason, or else what it says.
fn condition_words(value: &Value) -> Option<String> {
    let (kind, status) = (value.get("type")?.as_str()?, value.get("status")?.as_str()?);
    let words = word(value.get("message")).or_else(|| word(value.get("reason")));
    Some(words.unwrap_or_else(|| format!("{kind} is {status}")))
}

fn is_text(value: Option<&Value>, wanted: &str) -> bool {
    match value {
        Some(Value::String(text)) => text == wanted,
        Some(Value::Null) | None => false,
        Some(value) => as_text(value) == wanted,
    }
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn as_number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        Value::Array(items) => i64::try_from(items.len()).ok(),
        _ => None,
    }
}

fn is_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

fn items(list: Option<&Value>) -> Box<dyn Iterator<Item = &Value> + '_> {
    match list {
        Some(Value::Array(items)) => Box::new(items.iter()),
        Some(Value::Object(fields)) => Box::new(fields.values()),
        _ => Box::new(std::iter::empty()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use slipway_manifest::Object;

    use super::of;

    fn verdict(group: &str, kind: &str, rest: &Value) -> Option<(String, String)> {
        let mut value = json!({"apiVersion": format!("{group}/v1"), "kind": kind, "metadata": {"name": "berth"}});
        for (key, field) in rest.as_object().into_iter().flatten() {
            if let Some(known) = value.get_mut(key).and_then(Value::as_object_mut) {
                known.extend(field.as_object().cloned().unwrap_or_default());
            } else if let Some(fields) = value.as_object_mut() {
                fields.insert(key.clone(), field.clone());
            }
        }
        let verdict = of(&Object::from_value(value).ok()?)?;
        Some((verdict.health.to_string(), verdict.message))
    }

    fn conditions(conditions: &[(&str, &str, &str)]) -> Value {
        let one =
            |(kind, status, message): &(&str, &str, &str)| json!({"type": kind, "status": status, "message": message});
        json!({"status": {"conditions": conditions.iter().map(one).collect::<Vec<_>>()}})
    }

    /// Kinds with a check in Argo CD that is newer than the release that our recorded cases were judged by.
    #[test]
    fn judges_kinds_of_newer_releases() {
        let ancestor = |status: &str, observed: i64| {
            json!({"metadata": {"generation": 2}, "status": {"ancestors": [{"conditions": [
                {"type": "Accepted", "status": status, "observedGeneration": observed, "message": "by the gateway"},
            ]}]}})
        };
        let (ack, airlock) = (("s3.services.k8s.aws", "Bucket"), ("microgateway.airlock.com", "TelemetryPolicy"));
        let stack = ("pulumi.com", "Stack");
        let waiting = "Waiting for the status to be reported";
        let outdated = "Waiting for the latest generation to be observed";
        for ((group, kind), rest, health, message) in [
            (ack, json!({}), "Progressing", waiting),
            (ack, conditions(&[("Ready", "True", "all is there")]), "Healthy", "all is there"),
            (ack, conditions(&[("Ready", "False", "creating")]), "Progressing", "creating"),
            (
                ack,
                conditions(&[("ACK.ResourceSynced", "False", "creating")]),
                "Progressing",
                "Waiting for Bucket to be ready",
            ),
            (ack, conditions(&[("ACK.ResourceSynced", "True", "done")]), "Healthy", "done"),
            (
                ack,
                conditions(&[("ACK.Terminal", "True", "the name is taken"), ("Ready", "False", "")]),
                "Degraded",
                "the name is taken",
            ),
            (stack, json!({}), "Progressing", waiting),
            (stack, conditions(&[("Stalled", "True", "the update failed")]), "Degraded", "the update failed"),
            (stack, conditions(&[("Reconciling", "True", "updating")]), "Progressing", "updating"),
            (stack, conditions(&[("Ready", "True", "up to date")]), "Healthy", "up to date"),
            (airlock, json!({}), "Progressing", waiting),
            (airlock, ancestor("True", 1), "Progressing", outdated),
            (airlock, ancestor("True", 2), "Healthy", ""),
            (airlock, ancestor("False", 2), "Degraded", "by the gateway"),
            (("microgateway.airlock.com", "SidecarGateway"), json!({}), "Healthy", ""),
        ] {
            let found = verdict(group, kind, &rest);
            assert_eq!(found.as_ref().map(|(health, _)| health.as_str()), Some(health), "{kind} {rest}");
            assert_eq!(found.map(|(_, message)| message).as_deref(), Some(message), "{kind} {rest}");
        }
    }

    #[test]
    fn takes_no_verdict_of_an_earlier_generation() {
        let of_generation = |observed: i64, suspend: bool| {
            json!({
                "metadata": {"generation": 3},
                "spec": {"suspend": suspend},
                "status": {"observedGeneration": observed, "conditions": [{"type": "Ready", "status": "True"}]},
            })
        };
        let health = |observed, suspend| {
            verdict("kustomize.toolkit.fluxcd.io", "Kustomization", &of_generation(observed, suspend))
                .map(|(health, _)| health)
        };
        assert_eq!(health(3, false).as_deref(), Some("Healthy"));
        assert_eq!(health(2, false).as_deref(), Some("Progressing"));
        assert_eq!(health(2, true).as_deref(), Some("Suspended"));

        let old = json!({"metadata": {"generation": 3}, "status": {"conditions": [
            {"type": "Ready", "status": "False", "observedGeneration": 2, "message": "of before"},
        ]}});
        let found = verdict("cert-manager.io", "Certificate", &old);
        let message = "Waiting for the latest generation to be observed";
        assert_eq!(found, Some(("Progressing".to_owned(), message.to_owned())));
    }

    #[test]
    fn leaves_other_kinds_to_the_general_rule() {
        for (group, kind) in [("gateway.networking.k8s.io", "ReferenceGrant"), ("keda.sh", "TriggerAuthentication")] {
            assert_eq!(verdict(group, kind, &json!({})), None, "{group}/{kind}");
        }
    }
}
