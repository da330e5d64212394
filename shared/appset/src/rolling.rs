//! Which Applications of a set with the strategy `RollingSync` may be synced now (argoproj/argo-cd
//! `applicationset/progressivesync/progressive_sync.go`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::ErrorKind;
use crate::policy::{items, text, texts, unknown};

/// A step of a `RollingSync`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RolloutStep {
    /// `matchExpressions`: all of them select an Application.
    pub match_expressions: Vec<MatchExpression>,
    /// `maxUpdate`: how many of its Applications may be on their way at a time.
    pub max_update: Option<MaxUpdate>,
}

/// What an Application's label must be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MatchExpression {
    /// The label.
    pub key: String,
    /// `NotIn`: the label is missing or has another value. Else `In`.
    pub negated: bool,
    /// The values.
    pub values: Vec<String>,
}

/// A number of Applications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxUpdate {
    /// So many.
    Count(usize),
    /// A percentage of those in the step, rounded down, but not to nothing.
    Percent(usize),
}

/// An Application of the set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationState {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// How far it is.
    pub progress: Progress,
}

/// How far an Application is on its way to what the set wants of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Not there, or out of sync, and nothing was begun.
    Waiting,
    /// A sync was begun, and it is not both synced and healthy yet.
    Updating,
    /// Synced and healthy.
    Healthy,
}

impl RolloutStep {
    pub(crate) fn all(steps: &Value) -> Result<Vec<Self>, (String, ErrorKind)> {
        items(steps).enumerate().map(|(index, step)| Self::of(step, index)).collect()
    }

    fn of(step: &Value, index: usize) -> Result<Self, (String, ErrorKind)> {
        let expression = |(at, one): (usize, &Value)| {
            let negated = match text(&one["operator"]) {
                "In" => false,
                "NotIn" => true,
                other => {
                    let field = format!("spec.strategy.rollingSync.steps[{index}].matchExpressions[{at}].operator");
                    return Err(unknown(field, other, "In, NotIn"));
                }
            };
            Ok(MatchExpression { key: text(&one["key"]).to_owned(), negated, values: texts(&one["values"]) })
        };
        Ok(Self {
            match_expressions: items(&step["matchExpressions"])
                .enumerate()
                .map(expression)
                .collect::<Result<_, _>>()?,
            max_update: MaxUpdate::of(&step["maxUpdate"]),
        })
    }

    /// Whether it selects an Application with `labels`.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_expressions.iter().all(|one| match labels.get(&one.key) {
            Some(value) => one.values.contains(value) != one.negated,
            None => one.negated,
        })
    }
}

impl MaxUpdate {
    /// A text that is no percentage counts as 1, as in Argo CD.
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => Some(Self::Count(number.as_u64().and_then(|n| n.try_into().ok()).unwrap_or(0))),
            Value::String(text) => {
                let percent = text.strip_suffix('%').and_then(|number| number.parse().ok());
                Some(percent.map_or(Self::Count(1), Self::Percent))
            }
            _ => None,
        }
    }

    fn of_total(self, total: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Percent(0) => 0,
            Self::Percent(percent) => (total.saturating_mul(percent) / 100).max(1),
        }
    }
}

/// The names of the Applications whose sync may be started now: those of the first step that is not healthy as a whole,
/// as many as its `maxUpdate` leaves room for. Of the steps that select an Application the first counts; one that no
/// step selects is never synced by the set.
pub fn may_sync<'a>(steps: &[RolloutStep], applications: &'a [ApplicationState]) -> BTreeSet<&'a str> {
    let mut left: Vec<&ApplicationState> = applications.iter().collect();
    for step in steps {
        let (members, others): (Vec<_>, Vec<_>) = left.into_iter().partition(|one| step.selects(&one.labels));
        left = others;
        if members.iter().all(|one| one.progress == Progress::Healthy) {
            continue;
        }
        let updating = members.iter().filter(|one| one.progress == Progress::Updating).count();
        let room = step.max_update.map_or(usize::MAX, |most| most.of_total(members.len())).saturating_sub(updating);
        let waiting = members.into_iter().filter(|one| one.progress == Progress::Waiting);
        return waiting.take(room).map(|one| one.name.as_str()).collect();
    }
    BTreeSet::new()
}

/// The Applications that each of those with the `labels` comes after, by index: with that, never more than
/// [`may_sync`] allows are on their way at a time. `None` for one that is never synced by the set: no step selects it,
/// or the `maxUpdate` of its step is 0.
pub fn sync_order(steps: &[RolloutStep], labels: &[BTreeMap<String, String>]) -> Vec<Option<BTreeSet<usize>>> {
    let mut order: Vec<Option<BTreeSet<usize>>> = vec![None; labels.len()];
    let (mut left, mut before): (Vec<usize>, BTreeSet<usize>) = ((0..labels.len()).collect(), BTreeSet::new());
    for step in steps {
        let is_member = |at: &usize| labels.get(*at).is_some_and(|labels| step.selects(labels));
        let (members, others): (Vec<usize>, Vec<usize>) = left.into_iter().partition(is_member);
        left = others;
        if members.is_empty() {
            continue;
        }
        let room = step.max_update.map_or(members.len(), |most| most.of_total(members.len()));
        if room == 0 {
            break;
        }
        for (place, at) in members.iter().enumerate() {
            // As many as there is room for begin; each of the others follows one of them.
            let leader = place.checked_sub(room).and_then(|place| members.get(place));
            if let Some(slot) = order.get_mut(*at) {
                *slot = Some(before.iter().chain(leader).copied().collect());
            }
        }
        before = members.into_iter().collect();
    }
    order
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Progress::{Healthy, Updating, Waiting};
    use super::*;

    fn application(name: &str, env: &str, progress: Progress) -> ApplicationState {
        let labels = if env.is_empty() { BTreeMap::new() } else { [("env".to_owned(), env.to_owned())].into() };
        ApplicationState { name: name.to_owned(), labels, progress }
    }

    fn steps(max_update: &Value) -> Vec<RolloutStep> {
        RolloutStep::all(&json!([
            {"matchExpressions": [{"key": "env", "operator": "In", "values": ["dev"]}]},
            {"matchExpressions": [{"key": "env", "operator": "In", "values": ["prod", "qa"]}], "maxUpdate": max_update},
            {"matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["never"]}], "maxUpdate": 0},
        ]))
        .unwrap()
    }

    #[test]
    fn a_step_waits_for_the_one_before() {
        let steps = steps(&Value::Null);
        for (dev, sync) in [(Waiting, "dev"), (Updating, ""), (Healthy, "prod")] {
            let all = [application("prod", "prod", Waiting), application("dev", "dev", dev)];
            let expected: BTreeSet<&str> = sync.split_whitespace().collect();
            assert_eq!(may_sync(&steps, &all), expected, "{dev:?}");
        }
    }

    #[test]
    fn max_update_bounds_what_is_on_its_way() {
        let all: Vec<_> =
            (0..5).map(|n| application(&format!("p{n}"), "prod", if n == 4 { Updating } else { Waiting })).collect();
        let count = |max_update: Value| may_sync(&steps(&max_update), &all).len();
        for (max_update, expected) in [
            (json!(3), 2),
            (json!(1), 0),
            (json!(0), 0),
            (json!("0%"), 0),
            (json!("10%"), 0),
            (json!("59%"), 1),
            (json!("100%"), 4),
            (json!("many"), 0),
            (Value::Null, 4),
        ] {
            assert_eq!(count(max_update.clone()), expected, "{max_update}");
        }
    }

    /// An Application that syncs as soon as all before it are Healthy does what `may_sync` allows, in whichever order
    /// those become Healthy.
    #[test]
    fn the_order_never_exceeds_what_may_be_synced() {
        for max_update in [Value::Null, json!(1), json!(2), json!("40%"), json!(0)] {
            let steps = steps(&max_update);
            let mut all: Vec<ApplicationState> = ["prod", "dev", "qa", "prod", "dev", "never", "prod", "qa"]
                .iter()
                .enumerate()
                .map(|(at, env)| application(&format!("a{at}"), env, Waiting))
                .collect();
            let labels: Vec<_> = all.iter().map(|one| one.labels.clone()).collect();
            let order = sync_order(&steps, &labels);
            for _ in 0..40 {
                let is_healthy = |at: &usize| all[*at].progress == Healthy;
                let next = (0..all.len()).find(|at| {
                    let is_free = order[*at].as_ref().is_some_and(|before| before.iter().all(is_healthy));
                    all[*at].progress == Waiting && is_free
                });
                if let Some(at) = next {
                    // Which of a step goes first does not matter.
                    let allowed: Vec<String> = may_sync(&steps, &all).into_iter().map(str::to_owned).collect();
                    let is_its_step = |one: &ApplicationState| {
                        steps.iter().all(|step| step.selects(&one.labels) == step.selects(&all[at].labels))
                    };
                    let is_allowed = |one: &&ApplicationState| allowed.contains(&one.name) && is_its_step(one);
                    assert!(all.iter().any(|one| is_allowed(&one)), "{max_update}: {at} of {all:?}");
                    all[at].progress = Updating;
                } else if let Some(last) = all.iter_mut().rfind(|one| one.progress == Updating) {
                    last.progress = Healthy;
                }
            }
            let is_left = |one: &ApplicationState| one.progress != Healthy;
            assert!(may_sync(&steps, &all).is_empty(), "{max_update}: {all:?}");
            assert!(all.iter().any(is_left), "the last step is of 0");
        }
    }

    #[test]
    fn a_missing_label_is_not_in_any_list() {
        let all = [application("bare", "", Waiting), application("never", "never", Waiting)];
        let last = [steps(&Value::Null).pop().map(|step| RolloutStep { max_update: None, ..step }).unwrap()];
        assert_eq!(may_sync(&last, &all), ["bare"].into());
        assert_eq!(may_sync(&steps(&Value::Null), &all), BTreeSet::new(), "a step of 0 holds for good");
    }

    #[test]
    fn an_operator_that_nobody_knows_is_an_error() {
        let wrong = json!([{"matchExpressions": [{"key": "env", "operator": "Exists"}]}]);
        let (field, kind) = RolloutStep::all(&wrong).unwrap_err();
        assert_eq!(field, "spec.strategy.rollingSync.steps[0].matchExpressions[0].operator");
        assert_eq!(kind.to_string(), "\"Exists\" is not one of In, NotIn");
    }
}
