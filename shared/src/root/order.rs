//! Orders the Applications of a tree: what each has to wait for, by its own annotation, by waves, and by the steps of
//! the set that makes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use slipway_gitops::argocd_cm::Overrides;

use super::rolling::{RollingPlace, RollingSets};
use super::{Dependency, ResolvedApplication};
use crate::app::Application;
use crate::app::depends::{self, DependencyOrder, DependsError};

/// Where an Application stands among the others.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    /// The Application that declares it.
    pub(super) parent: Option<usize>,
    /// Its place in a set that syncs step by step.
    pub(super) rolls: Option<RollingPlace>,
}

/// The parent of those that stand for places: nobody else has it.
pub(super) const OF_A_PLACE: Place = Place { parent: Some(usize::MAX), rolls: None };

/// The order of `apps`, which stand at `places`. Waves wait where `argocd-cm` gives Applications a health check, and
/// only for Applications of the same parent: without one, Argo CD goes on as soon as the manifests are applied
/// (argoproj/argo-cd `docs/operator-manual/health.md`, "Argocd App").
pub(super) fn order(
    apps: &[&Application],
    places: &[Place],
    rolling: &RollingSets,
    overrides: &Overrides,
) -> Vec<Result<DependencyOrder, DependsError>> {
    let mut before = if overrides.health("argoproj.io", "Application").is_some() {
        depends::waves(apps, &places.iter().map(|place| place.parent).collect::<Vec<_>>())
    } else {
        vec![BTreeSet::new(); apps.len()]
    };
    rolling.extend(&places.iter().map(|place| place.rolls).collect::<Vec<_>>(), &mut before);
    depends::order(apps, &before)
}

/// Resolves the dependencies of each of `members`.
pub(super) fn arrange(
    members: &mut [ResolvedApplication],
    places: &[Place],
    rolling: &RollingSets,
    overrides: &Overrides,
) {
    let apps: Vec<&Application> = members.iter().map(|member| &member.app).collect();
    let order = order(&apps, places, rolling, overrides);
    if order.iter().all(|before| before.as_ref().is_ok_and(|before| before.on.is_empty())) {
        return;
    }
    let wanted: BTreeSet<usize> = order.iter().flatten().flat_map(|before| before.on.iter().copied()).collect();
    let others = wanted.into_iter().filter_map(|at| Some((at, Arc::new(members.get(at)?.as_dependency()))));
    let others: BTreeMap<usize, Arc<Dependency>> = others.collect();
    for (member, before) in members.iter_mut().zip(order) {
        member.depth = before.as_ref().map_or(0, |before| before.depth);
        member.after = before.map(|before| before.on.iter().filter_map(|at| others.get(at).cloned()).collect());
    }
}
