//! Orders the Applications of one root: by `slipway.dev/depends-on`, and by what else comes one after the other, as the
//! waves of an app of apps. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::annotations;

use super::{Application, identity};

/// The annotation that names the Applications to wait for: `NAME` or `NAMESPACE/NAME`, separated by commas.
pub const DEPENDS_ON: &str = "slipway.dev/depends-on";

/// Why dependencies can't be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DependsError {
    /// The named Application does not exist.
    #[error("`{DEPENDS_ON}` of {app} names `{name}`: there is no such Application at the root")]
    Unknown {
        /// The Application.
        app: String,
        /// The name in the annotation.
        name: String,
    },
    /// The name is ambiguous.
    #[error("`{DEPENDS_ON}` of {app} names `{name}`, which is more than one Application: write NAMESPACE/NAME")]
    Ambiguous {
        /// The Application.
        app: String,
        /// The name in the annotation.
        name: String,
    },
    /// The dependencies are circular.
    #[error("circular dependency between Applications: {0}")]
    Cycle(String),
    /// The dependency's own dependencies can't be resolved.
    #[error("{app} depends on {on}: {source}")]
    Behind {
        /// The Application.
        app: String,
        /// The Application that it depends on.
        on: String,
        /// The error of that Application.
        source: Box<DependsError>,
    },
}

/// The dependencies of an Application, as indexes of the list, and its depth.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DependencyOrder {
    /// Indexes of its dependencies.
    pub on: Vec<usize>,
    /// Length of the longest chain of dependencies before it.
    pub depth: usize,
}

/// The Applications that come before each of `apps` by the `argocd.argoproj.io/sync-wave` of their manifests: those of
/// the wave before among those of one parent, as `parents` tells.
pub fn waves(apps: &[&Application], parents: &[Option<usize>]) -> Vec<BTreeSet<usize>> {
    let places: Vec<(Option<usize>, i64)> =
        apps.iter().zip(parents).map(|(app, parent)| (*parent, annotations::wave(&app.object))).collect();
    let mut by_place: BTreeMap<(Option<usize>, i64), BTreeSet<usize>> = BTreeMap::new();
    for (at, place) in places.iter().enumerate() {
        by_place.entry(*place).or_default().insert(at);
    }
    let earlier = |place: &(Option<usize>, i64)| {
        let before = by_place.range((place.0, i64::MIN)..*place).next_back();
        before.map(|(_, earlier)| earlier.clone()).unwrap_or_default()
    };
    places.iter().map(earlier).collect()
}

/// Resolves the dependencies of `apps`: those that they name, and those that come `before` each for another reason, by
/// index; none where that is shorter.
pub fn order(apps: &[&Application], before: &[BTreeSet<usize>]) -> Vec<Result<DependencyOrder, DependsError>> {
    let edges: Vec<Result<Vec<usize>, DependsError>> = apps
        .iter()
        .enumerate()
        .map(|(at, app)| {
            let mut on = named(app, apps)?;
            on.extend(before.get(at).into_iter().flatten());
            on.sort_unstable();
            on.dedup();
            Ok(on)
        })
        .collect();
    let mut ranks: Vec<Option<usize>> = vec![None; apps.len()];
    // Each round ranks Applications whose dependencies are ranked: as many rounds as the longest chain.
    loop {
        let depth = |on: &Vec<usize>| {
            let before = on.iter().map(|at| ranks.get(*at).copied().flatten());
            before.map(|depth| depth.map(|depth| depth + 1)).try_fold(0, |most, depth| Some(most.max(depth?)))
        };
        let is_open = |at: usize| ranks.get(at) == Some(&None);
        let open = edges.iter().enumerate().filter(|(at, _)| is_open(*at));
        let found: Vec<(usize, usize)> = open.filter_map(|(at, on)| Some((at, depth(on.as_ref().ok()?)?))).collect();
        if found.is_empty() {
            break;
        }
        for (at, depth) in found {
            if let Some(slot) = ranks.get_mut(at) {
                *slot = Some(depth);
            }
        }
    }
    let names: Vec<String> = apps.iter().map(|app| label(app)).collect();
    let result = |(at, on): (usize, &Result<Vec<usize>, DependsError>)| match (on, ranks.get(at).copied().flatten()) {
        (Ok(on), Some(depth)) => Ok(DependencyOrder { on: on.clone(), depth }),
        _ => Err(trouble(at, &edges, &ranks, &names)),
    };
    edges.iter().enumerate().map(result).collect()
}

/// Why `at` has no depth: its own mistake, a cycle, or a mistake of one of its dependencies.
fn trouble(
    at: usize,
    edges: &[Result<Vec<usize>, DependsError>],
    ranks: &[Option<usize>],
    names: &[String],
) -> DependsError {
    let name = |at: usize| names.get(at).cloned().unwrap_or_default();
    let mut path = vec![at];
    loop {
        let Some(&last) = path.last() else { return DependsError::Cycle(name(at)) };
        let next = match edges.get(last) {
            Some(Ok(on)) => on.iter().copied().find(|next| ranks.get(*next) == Some(&None)),
            Some(Err(error)) => return behind(&path, error.clone(), &name),
            None => None,
        };
        let Some(next) = next else { return DependsError::Cycle(name(last)) };
        if let Some(start) = path.iter().position(|seen| *seen == next) {
            let (before, cycle) = path.split_at(start);
            let chain: Vec<String> = cycle.iter().chain([&next]).map(|at| name(*at)).collect();
            let path: Vec<usize> = before.iter().copied().chain([next]).collect();
            return behind(&path, DependsError::Cycle(chain.join(" → ")), &name);
        }
        path.push(next);
    }
}

/// The `error` of the last element of `path`, as reported for the first.
fn behind(path: &[usize], error: DependsError, name: &impl Fn(usize) -> String) -> DependsError {
    match path {
        [first, .., last] => DependsError::Behind { app: name(*first), on: name(*last), source: Box::new(error) },
        _ => error,
    }
}

fn named(app: &Application, apps: &[&Application]) -> Result<Vec<usize>, DependsError> {
    let list = app.annotation(DEPENDS_ON).unwrap_or_default().split(',').map(str::trim);
    let own = identity(&app.object).0;
    list.filter(|name| !name.is_empty())
        .map(|name| {
            let is_meant = |other: &Application| match name.split_once('/') {
                Some((namespace, name)) => identity(&other.object) == (namespace.to_owned(), name.to_owned()),
                None => other.name == name,
            };
            let meant: Vec<usize> =
                apps.iter().enumerate().filter(|(_, other)| is_meant(other)).map(|(at, _)| at).collect();
            let is_near = |at: &&usize| apps.get(**at).is_some_and(|other| identity(&other.object).0 == own);
            let (app, text) = (label(app), name.to_owned());
            match meant.as_slice() {
                [] => Err(DependsError::Unknown { app, name: text }),
                [at] => Ok(*at),
                several => several.iter().find(is_near).copied().ok_or(DependsError::Ambiguous { app, name: text }),
            }
        })
        .collect()
}

fn label(app: &Application) -> String {
    app.name.clone()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use slipway_manifest::Object;

    use super::*;

    fn app(name: &str, annotations: &Value) -> Application {
        let object = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": name,
            "annotations": annotations},
            "spec": {"source": {"repoURL": "https://github.com/a/b", "path": name},
                "destination": {"name": "in-cluster"}}});
        Application::from_object(&Object::from_value(object).unwrap()).unwrap()
    }

    fn orders(apps: &[(&str, Value)]) -> Vec<Result<DependencyOrder, String>> {
        let apps: Vec<Application> = apps.iter().map(|(name, annotations)| app(name, annotations)).collect();
        let apps: Vec<&Application> = apps.iter().collect();
        let waves = waves(&apps, &vec![None; apps.len()]);
        order(&apps, &waves).into_iter().map(|one| one.map_err(|error| error.to_string())).collect()
    }

    fn on(names: &str) -> Value {
        json!({ DEPENDS_ON: names })
    }

    fn ranked(apps: &[(&str, Value)]) -> Vec<(Vec<usize>, usize)> {
        orders(apps).into_iter().map(|one| one.map(|DependencyOrder { on, depth }| (on, depth)).unwrap()).collect()
    }

    #[test]
    fn annotations_and_waves_make_an_order() {
        let none = json!({});
        let found = ranked(&[
            ("web", on("db, argocd/cache")),
            ("db", none.clone()),
            ("cache", on("db")),
            ("other", none.clone()),
        ]);
        assert_eq!(found, [(vec![1, 2], 2), (vec![], 0), (vec![1], 1), (vec![], 0)]);
        let wave = |wave: &str| json!({"argocd.argoproj.io/sync-wave": wave});
        let found = ranked(&[("late", wave("2")), ("plain", none), ("early", wave("-1")), ("too", wave("2"))]);
        assert_eq!(found, [(vec![1], 2), (vec![2], 1), (vec![], 0), (vec![1], 2)]);
    }

    #[test]
    fn waves_are_those_of_one_parent() {
        let wave = |name: &str, wave: &str| app(name, &json!({"argocd.argoproj.io/sync-wave": wave}));
        let apps = [wave("a", "0"), wave("b", "5"), wave("c", "1"), wave("d", "-1"), wave("e", "7")];
        let apps: Vec<&Application> = apps.iter().collect();
        let before = |parents: [Option<usize>; 5]| {
            waves(&apps, &parents).into_iter().map(|before| before.into_iter().collect()).collect::<Vec<Vec<usize>>>()
        };
        assert_eq!(before([None; 5]), [vec![3], vec![2], vec![0], vec![], vec![1]]);
        assert_eq!(before([None, Some(0), Some(0), None, Some(1)]), [vec![3], vec![2], vec![], vec![], vec![]]);
    }

    #[test]
    fn a_cycle_and_an_unknown_name_are_told_with_their_chain() {
        let found = orders(&[
            ("a", on("b")),
            ("b", on("c")),
            ("c", on("a")),
            ("d", on("a")),
            ("e", on("nowhere")),
            ("f", on("e")),
            ("g", json!({})),
        ]);
        let errors: Vec<String> = found.iter().map(|one| one.clone().err().unwrap_or_default()).collect();
        assert_eq!(errors[0], "circular dependency between Applications: a → b → c → a");
        assert_eq!(errors[2], "circular dependency between Applications: c → a → b → c");
        assert_eq!(errors[3], "d depends on a: circular dependency between Applications: a → b → c → a");
        assert_eq!(
            errors[4],
            "`slipway.dev/depends-on` of e names `nowhere`: there is no such Application at the root"
        );
        assert!(errors[5].starts_with("f depends on e: `slipway.dev/depends-on` of e"), "{}", errors[5]);
        assert_eq!(errors[6], "");
        assert_eq!(
            orders(&[("a", on("a"))])[0].clone().unwrap_err(),
            "circular dependency between Applications: a → a"
        );
    }
}
