//! Which dependencies of a chart take part, and what values it imports from them (helm/helm
//! `pkg/chart/v2/util/dependencies.go`).

use slipway_gocompat::semver::is_compatible;
use slipway_gotmpl::{Map, Value};

use crate::chart::{Chart, Dependency};
use crate::values::{CoalesceError, Nulls, coalesce, deep_copy_map, merge_tables, path_value, table};

/// Removes disabled dependencies, makes copies for aliases, and imports values from below.
pub(crate) fn process(chart: &mut Chart, user: &Map) -> Result<(), CoalesceError> {
    enable(chart, user, "")?;
    import(chart)
}

fn enable(chart: &mut Chart, user: &Map, path: &str) -> Result<(), CoalesceError> {
    if chart.metadata.dependencies.is_empty() {
        return Ok(());
    }
    alias(chart);
    for wanted in &mut chart.metadata.dependencies {
        wanted.enabled = true;
    }
    let values = coalesce(chart, user, Nulls::Delete)?;
    apply_tags(&mut chart.metadata.dependencies, &values);
    apply_conditions(&mut chart.metadata.dependencies, &values, path);
    let disabled: Vec<String> =
        chart.metadata.dependencies.iter().filter(|wanted| !wanted.enabled).map(|wanted| wanted.name.clone()).collect();
    chart.dependencies.retain(|have| !disabled.iter().any(|name| name == have.name()));
    chart.metadata.dependencies.retain(|wanted| !disabled.contains(&wanted.name));
    for below in &mut chart.dependencies {
        let path = format!("{path}{}.", below.name());
        enable(below, &values, &path)?;
    }
    Ok(())
}

/// Charts that `Chart.yaml` does not name stay; each dependency that it names gets a copy under its own name or alias.
fn alias(chart: &mut Chart) {
    let fits = |wanted: &Dependency, have: &Chart| {
        have.name() == wanted.name && is_compatible(&wanted.version, &have.metadata.version)
    };
    let wanted = &chart.metadata.dependencies;
    let mut charts: Vec<Chart> =
        chart.dependencies.iter().filter(|have| !wanted.iter().any(|wanted| fits(wanted, have))).cloned().collect();
    for wanted in &mut chart.metadata.dependencies {
        if let Some(found) = chart.dependencies.iter().find(|have| fits(wanted, have)) {
            let mut copy = found.clone();
            wanted.key().clone_into(&mut copy.metadata.name);
            charts.push(copy);
        }
        wanted.name = wanted.key().to_owned();
    }
    chart.dependencies = charts;
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

fn import(chart: &mut Chart) -> Result<(), CoalesceError> {
    for below in &mut chart.dependencies {
        import(below)?;
    }
    if chart.metadata.dependencies.is_empty() {
        return Ok(());
    }
    let values = coalesce(chart, &Map::new(), Nulls::Keep)?;
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
            merge_tables(&imported, &placed, Nulls::Keep);
        }
    }
    let own = deep_copy_map(&values);
    merge_tables(&own, &imported, Nulls::Keep);
    chart.values = own;
    Ok(())
}
