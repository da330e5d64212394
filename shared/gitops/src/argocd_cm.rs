//! Reads settings per kind from the ConfigMap `argocd-cm`: ignored differences, known types, health checks
//! (argoproj/argo-cd `util/settings/settings.go`). Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use slipway_gocompat::Glob;
use slipway_manifest::yaml;

use crate::normalize::known_types::KnownType;

const PREFIX: &str = "resource.customizations";
const COMPARE: &str = "resource.compareoptions";

/// The settings of one kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Override {
    /// `jsonPointers`, `jqPathExpressions`, `managedFieldsManagers`.
    pub ignore_differences: Value,
    /// Fields that have Kubernetes' own types.
    pub known_types: Vec<KnownType>,
    /// A Lua health check; may be empty.
    pub health: String,
    /// Whether the check may use all libraries, not only the safe ones.
    pub open_libraries: bool,
}

/// The settings by `group/Kind`, `Kind` for core; both may be patterns.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    by_kind: BTreeMap<String, Override>,
    /// `ignoreAggregatedRoles` of `resource.compareoptions`: rules of aggregated roles are no difference.
    pub ignore_aggregated_roles: bool,
    /// Invalid settings, each with its key.
    pub problems: Vec<String>,
}

impl Overrides {
    /// Parses the `data` of `argocd-cm`. Invalid settings are listed in `problems` and have no effect.
    pub fn from_config_map(data: &Map<String, Value>) -> Self {
        let mut overrides = Self::default();
        if let Some(text) = data.get(COMPARE).and_then(Value::as_str) {
            overrides.read_compare_options(text);
        }
        for (key, value) in data {
            let (Some(rest), Some(text)) = (key.strip_prefix(PREFIX), value.as_str()) else { continue };
            let read = match rest.strip_prefix('.').and_then(|rest| rest.split_once('.')) {
                None if rest.is_empty() => overrides.read_all(text),
                Some((what, kind)) => overrides.read_one(what, kind, text),
                None => Err("no kind is named".to_owned()),
            };
            if let Err(problem) = read {
                overrides.problems.push(format!("argocd-cm: `{key}`: {problem}"));
            }
        }
        overrides
    }

    /// Parses the old key `resource.customizations`: by `group/Kind` the fields `ignoreDifferences`, `knownTypeFields`,
    /// `health.lua` and `health.lua.useOpenLibs`.
    pub fn from_map(map: &Map<String, Value>) -> Self {
        let mut overrides = Self::default();
        for (kind, value) in map {
            overrides.read_entry(kind, value);
        }
        overrides
    }

    /// All settings, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Override)> {
        self.by_kind.iter().map(|(key, one)| (key.as_str(), one))
    }

    /// The health check of a kind: the one under its exact key, else under the first matching pattern.
    pub fn health(&self, group: &str, kind: &str) -> Option<&Override> {
        let key = if group.is_empty() { kind.to_owned() } else { format!("{group}/{kind}") };
        let has_check = |one: &&Override| !one.health.is_empty();
        self.by_kind.get(&key).filter(has_check).or_else(|| {
            let fits = |pattern: &String| pattern.contains('*') && Glob::new(pattern).matches(&key);
            self.by_kind.iter().find(|(pattern, one)| has_check(one) && fits(pattern)).map(|(_, one)| one)
        })
    }

    /// Parses `resource.compareoptions`. The status is never compared, whatever `ignoreResourceStatusField` says, and
    /// updates without a change cost nothing (`ignoreDifferencesOnResourceUpdates`).
    fn read_compare_options(&mut self, text: &str) {
        let mut problem = |problem: String| self.problems.push(format!("argocd-cm: `{COMPARE}`: {problem}"));
        let options = match yaml::parse(text) {
            Ok(Value::Object(options)) => options,
            Ok(Value::Null) => return,
            Ok(_) => return problem("it is no mapping".to_owned()),
            Err(error) => return problem(error.to_string()),
        };
        for (key, value) in &options {
            match (key.as_str(), value) {
                ("ignoreAggregatedRoles", Value::Bool(ignore)) => self.ignore_aggregated_roles = *ignore,
                ("ignoreResourceStatusField", Value::String(which)) if which == "all" => {}
                ("ignoreResourceStatusField", _) => {
                    problem(format!("`{key}: {value}` has no effect: a status is never compared"));
                }
                ("ignoreDifferencesOnResourceUpdates", Value::Bool(_)) => {}
                ("ignoreAggregatedRoles" | "ignoreDifferencesOnResourceUpdates", _) => {
                    problem(format!("`{key}` is neither true nor false"));
                }
                _ => problem(format!("`{key}` is not known")),
            }
        }
    }

    fn read_all(&mut self, text: &str) -> Result<(), String> {
        let all = yaml::parse(text).map_err(|error| error.to_string())?;
        for (kind, value) in all.as_object().ok_or("it is no mapping of kinds")? {
            self.read_entry(kind, value);
        }
        Ok(())
    }

    fn read_entry(&mut self, kind: &str, value: &Value) {
        let one = self.by_kind.entry(kind.to_owned()).or_default();
        if let Some(ignore) = value.get("ignoreDifferences") {
            // The old key has it as YAML text.
            one.ignore_differences = match ignore.as_str().map(yaml::parse) {
                Some(Ok(parsed)) => parsed,
                Some(Err(error)) => {
                    self.problems.push(format!("argocd-cm: `{PREFIX}`: `{kind}`: ignoreDifferences: {error}"));
                    Value::Null
                }
                None => ignore.clone(),
            };
        }
        one.known_types = known_types(value.get("knownTypeFields"));
        value.get("health.lua").and_then(Value::as_str).unwrap_or_default().clone_into(&mut one.health);
        one.open_libraries = value.get("health.lua.useOpenLibs").and_then(Value::as_bool).unwrap_or_default();
    }

    /// Parses `resource.customizations.<what>.<group>_<Kind>`.
    fn read_one(&mut self, what: &str, kind: &str, text: &str) -> Result<(), String> {
        let key = match kind.split('_').collect::<Vec<_>>().as_slice() {
            ["all"] => "*/*".to_owned(),
            [kind] if !kind.is_empty() => (*kind).to_owned(),
            [group, kind] => format!("{group}/{kind}"),
            _ => return Err("the kind must be written `<group>_<Kind>`".to_owned()),
        };
        let parse = || yaml::parse(text).map_err(|error| error.to_string());
        let one = self.by_kind.entry(key).or_default();
        match what {
            "ignoreDifferences" => one.ignore_differences = parse()?,
            "knownTypeFields" => one.known_types = known_types(Some(&parse()?)),
            "health" => text.clone_into(&mut one.health),
            "useOpenLibs" => one.open_libraries = parse()? == json!(true),
            // Actions belong to Argo CD's user interface; updates without a change cost nothing.
            "actions" | "ignoreResourceUpdates" => {}
            other => return Err(format!("`{other}` is not known")),
        }
        Ok(())
    }
}

fn known_types(list: Option<&Value>) -> Vec<KnownType> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    let known = |item: &Value| {
        let text = |key: &str| item.get(key).and_then(Value::as_str).map(str::to_owned);
        Some(KnownType { field: text("field")?, kind: text("type")? })
    };
    items.filter_map(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_writing_are_read_and_problems_named() {
        let data = json!({
            "resource.customizations": "apps/Deployment:\n  ignoreDifferences: |\n    jsonPointers: \
                [/spec/replicas]\nexample.com/*:\n  health.lua: return {}\n",
            "resource.customizations.ignoreDifferences.all": "managedFieldsManagers: [scaler]",
            "resource.customizations.health.ConfigMap": "return nil",
            "resource.customizations.knownTypeFields.a.io_Widget": "- {field: spec.cpu, type: core/Quantity}",
            "resource.customizations.useOpenLibs.ConfigMap": "true",
            "resource.customizations.ignoreDifferences.a_b_c": "jsonPointers: []",
            "resource.customizations.ignoreDifferences.broken.io_X": "{",
            "resource.compareoptions": "ignoreAggregatedRoles: true\nignoreResourceStatusField: \
                all\nignoreDifferencesOnResourceUpdates: true\n",
            "url": "https://argocd"
        });
        let overrides = Overrides::from_config_map(data.as_object().unwrap());
        let keys: Vec<&str> = overrides.iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["*/*", "ConfigMap", "a.io/Widget", "apps/Deployment", "broken.io/X", "example.com/*"]);
        assert_eq!(overrides.problems.len(), 2, "{:?}", overrides.problems);
        assert!(overrides.ignore_aggregated_roles && !Overrides::default().ignore_aggregated_roles);
        assert!(overrides.health("", "ConfigMap").unwrap().open_libraries);
        assert_eq!(overrides.health("example.com", "Widget").unwrap().health, "return {}");
        assert!(overrides.health("apps", "Deployment").is_none());
        let deployment = overrides.iter().find(|(key, _)| *key == "apps/Deployment").unwrap().1;
        assert_eq!(deployment.ignore_differences["jsonPointers"], json!(["/spec/replicas"]));
    }

    #[test]
    fn options_for_comparing_that_have_no_effect_are_named() {
        let problems = |text: &str| {
            Overrides::from_config_map(json!({"resource.compareoptions": text}).as_object().unwrap()).problems
        };
        assert_eq!(problems(""), Vec::<String>::new());
        let said = problems("ignoreResourceStatusField: crd\nignoreAggregatedRoles: often\nignoreAll: true\n");
        assert_eq!(
            said,
            [
                "argocd-cm: `resource.compareoptions`: `ignoreResourceStatusField: \"crd\"` has no effect: a status \
                 is never compared",
                "argocd-cm: `resource.compareoptions`: `ignoreAggregatedRoles` is neither true nor false",
                "argocd-cm: `resource.compareoptions`: `ignoreAll` is not known",
            ]
        );
        assert_eq!(problems("- a").len(), 1);
    }
}
