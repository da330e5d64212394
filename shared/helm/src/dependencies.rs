//! Which dependencies of a chart take part, and what values it imports from them (helm/helm
//! `pkg/chart/v2/util/dependencies.go`).

use slipway_budget::Budget;
use slipway_gocompat::semver::is_compatible;
use slipway_gotmpl::{Map, Value};

use crate::chart::{Chart, Dependency, LoadError};
use crate::error::HelmError;
use crate::values::{Nulls, coalesce, deep_copy_map, merge_tables, path_value, table};

/// Charts of one render, with the copies for aliases: our bound, Helm has none.
const MAX_CHARTS: usize = 1_000;
/// Keys in the path of an `import-values`: our bound, Helm has none.
const MAX_PATH: usize = 100;

/// Removes disabled dependencies, makes copies for aliases, and imports values from below.
pub(crate) fn process(chart: &mut Chart, user: &Map, budget: &Budget) -> Result<(), HelmError> {
    let mut left = MAX_CHARTS;
    enable(chart, user, "", &mut left, budget)?;
    import(chart, budget)
}

fn too_much(chart: &Chart, limit: usize, what: &'static str) -> HelmError {
    LoadError::TooMuch { chart: chart.name().to_owned(), limit, what }.into()
}

/// `left` is how many charts there may still be.
fn enable(chart: &mut Chart, user: &Map, path: &str, left: &mut usize, budget: &Budget) -> Result<(), HelmError> {
    if chart.metadata.dependencies.is_empty() {
        return Ok(());
    }
    alias(chart, left)?;
    for wanted in &mut chart.metadata.dependencies {
        wanted.enabled = true;
    }
    let values = coalesce(chart, user, Nulls::Delete, budget)?;
    apply_tags(&mut chart.metadata.dependencies, &values);
    apply_conditions(&mut chart.metadata.dependencies, &values, path);
    let disabled: Vec<String> =
        chart.metadata.dependencies.iter().filter(|wanted| !wanted.enabled).map(|wanted| wanted.name.clone()).collect();
    chart.dependencies.retain(|have| !disabled.iter().any(|name| name == have.name()));
    chart.metadata.dependencies.retain(|wanted| !disabled.contains(&wanted.name));
    for below in &mut chart.dependencies {
        let path = format!("{path}{}.", below.name());
        enable(below, &values, &path, left, budget)?;
    }
    Ok(())
}

/// Charts that `Chart.yaml` does not name stay; each dependency that it names gets a copy under its own name or alias.
fn alias(chart: &mut Chart, left: &mut usize) -> Result<(), HelmError> {
    let over = too_much(chart, MAX_CHARTS, "charts below it, with a copy for each alias");
    let fits = |wanted: &Dependency, have: &Chart| {
        have.name() == wanted.name && is_compatible(&wanted.version, &have.metadata.version)
    };
    let wanted = &chart.metadata.dependencies;
    let mut charts: Vec<Chart> =
        chart.dependencies.iter().filter(|have| !wanted.iter().any(|wanted| fits(wanted, have))).cloned().collect();
    for wanted in &mut chart.metadata.dependencies {
        if let Some(found) = chart.dependencies.iter().find(|have| fits(wanted, have)) {
            // A copy has all that is below it, whether that will be enabled or not.
            let Some(fewer) = left.checked_sub(found.count()) else { return Err(over) };
            *left = fewer;
            let mut copy = found.clone();
            wanted.key().clone_into(&mut copy.metadata.name);
            charts.push(copy);
        }
        wanted.name = wanted.key().to_owned();
    }
    chart.dependencies = charts;
    Ok(())
}

fn apply_tags(dependencies: &mut [Dependency], values: &Map) {
    let Some(tags) = table(values, "tags") else { return };
    for wanted in dependencies {
        let set: Vec<bool> = wanted
            .tags
            .iter()
            .filter_map(|tag| match tags.get(tag) {
                Some(Value::Bool(set)) => Some(set),
                _ => None,
            })
            .collect();
        wanted.enabled = set.is_empty() || set.contains(&true);
    }
}

/// The first of the conditions that is a boolean decides.
fn apply_conditions(dependencies: &mut [Dependency], values: &Map, path: &str) {
    for wanted in dependencies {
        let decided = wanted.condition.trim().split(',').filter(|one| !one.is_empty()).find_map(|condition| {
            match path_value(values, &format!("{path}{condition}")) {
                Some(Value::Bool(set)) => Some(set),
                _ => None,
            }
        });
        wanted.enabled = decided.unwrap_or(wanted.enabled);
    }
}

fn import(chart: &mut Chart, budget: &Budget) -> Result<(), HelmError> {
    for below in &mut chart.dependencies {
        import(below, budget)?;
    }
    if chart.metadata.dependencies.is_empty() {
        return Ok(());
    }
    let values = coalesce(chart, &Map::new(), Nulls::Keep, budget)?;
    let imported = Map::new();
    for wanted in &chart.metadata.dependencies {
        for one in &wanted.import_values {
            let (child, parent) = match one {
                serde_json::Value::String(name) => (format!("exports.{name}"), ".".to_owned()),
                serde_json::Value::Object(pair) => {
                    let part = |key: &str| match pair.get(key) {
                        Some(serde_json::Value::String(text)) => text.clone(),
                        Some(serde_json::Value::Null) | None => "<nil>".to_owned(),
                        Some(other) => other.to_string(),
                    };
                    (part("child"), part("parent"))
                }
                _ => continue,
            };
            if parent.split('.').nth(MAX_PATH).is_some() {
                return Err(too_much(chart, MAX_PATH, "keys in the path of an `import-values`"));
            }
            let Some(found) = table(&values, &format!("{}.{child}", wanted.name)) else { continue };
            let placed = if parent == "." {
                found
            } else {
                parent.rsplit('.').fold(found, |inner, key| {
                    let outer = Map::new();
                    outer.insert(key, Value::Map(inner));
                    outer
                })
            };
            merge_tables(&imported, &placed, Nulls::Keep, budget).map_err(HelmError::over(chart.name()))?;
        }
    }
    let own = deep_copy_map(&values, budget).map_err(HelmError::over(chart.name()))?;
    merge_tables(&own, &imported, Nulls::Keep, budget).map_err(HelmError::over(chart.name()))?;
    chart.values = own;
    Ok(())
}
