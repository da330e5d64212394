//! Keeps the order in which the Applications of ApplicationSets with the strategy `RollingSync` are synced: one waits
//! for others as for dependencies, so that a step follows when the one before is Synced and Healthy.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use slipway_appset::{RolloutStep, sync_order};
use slipway_manifest::Object;

use crate::app::{Application, Automated, identity};

/// The place of an Application: its set, and which of that set's Applications it is.
pub type RollingPlace = (usize, usize);

/// The orders of all such sets.
#[derive(Debug, Clone, Default)]
pub struct RollingSets(Vec<Vec<Option<BTreeSet<usize>>>>);

impl RollingSets {
    /// Adds a set that makes `applications`, and gives its number.
    pub(super) fn add(&mut self, steps: &[RolloutStep], applications: &[Object]) -> usize {
        let labels: Vec<BTreeMap<String, String>> = applications.iter().map(labels).collect();
        self.0.push(sync_order(steps, &labels));
        self.0.len().saturating_sub(1)
    }

    /// What is told of Applications that the `set` never syncs.
    pub(super) fn unselected(&self, set: usize) -> Option<String> {
        let count = self.0.get(set)?.iter().filter(|before| before.is_none()).count();
        let text = format!(
            "{count} of its Applications are synced by hand alone: no step of `spec.strategy.rollingSync` selects \
             them, or one with `maxUpdate: 0` does or comes before"
        );
        (count > 0).then_some(text)
    }

    /// Gives `app` the sync policy of its place: the set syncs it, step by step, and nothing else does.
    pub(super) fn apply(&self, place: RollingPlace, app: &mut Application) {
        let is_synced = self.before(place).is_some();
        let own = app.sync_policy.automated.filter(|own| own.enabled);
        app.sync_policy.automated = is_synced.then(|| Automated {
            prune: own.is_some_and(|own| own.prune),
            self_heal: false,
            allow_empty: own.is_some_and(|own| own.allow_empty),
            enabled: true,
        });
    }

    /// The Applications of the same set that come before the one at `place`.
    fn before(&self, (set, at): RollingPlace) -> Option<&BTreeSet<usize>> {
        self.0.get(set)?.get(at)?.as_ref()
    }

    /// Adds to what comes `before` each of the Applications at `places` what their steps say.
    pub(super) fn extend(&self, places: &[Option<RollingPlace>], before: &mut [BTreeSet<usize>]) {
        let known: BTreeMap<RollingPlace, usize> =
            places.iter().enumerate().filter_map(|(index, place)| Some(((*place)?, index))).collect();
        for (place, before) in places.iter().zip(before) {
            let Some(place) = *place else { continue };
            let earlier = self.before(place).into_iter().flatten();
            before.extend(earlier.filter_map(|at| known.get(&(place.0, *at))));
        }
    }
}

/// The order in which the Applications of a set with `deletionOrder: Reverse` are deleted: the step of each by its
/// namespace and name; one that no step selects goes last (argoproj/argo-cd
/// `applicationset/controllers/applicationset_controller.go`, performReverseDeletion).
#[derive(Debug, Clone, Default)]
pub struct DeletionOrder(BTreeMap<(String, String), Option<usize>>);

impl DeletionOrder {
    pub(super) fn of(steps: &[RolloutStep], applications: &[Object]) -> Self {
        let step = |application: &Object| {
            let labels = labels(application);
            (identity(application), steps.iter().position(|step| step.selects(&labels)))
        };
        Self(applications.iter().map(step).collect())
    }

    /// The Applications that have to be gone before `application` is deleted.
    pub fn before(&self, application: &(String, String)) -> impl Iterator<Item = &(String, String)> {
        let own = self.0.get(application).copied();
        let is_later = move |step: Option<usize>| own.is_some_and(|own| step > own);
        self.0.iter().filter(move |(_, step)| is_later(**step)).map(|(other, _)| other)
    }
}

fn labels(application: &Object) -> BTreeMap<String, String> {
    let labels = application.metadata().and_then(|metadata| metadata.get("labels")?.as_object());
    let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    labels.into_iter().flatten().filter_map(text).collect()
}
