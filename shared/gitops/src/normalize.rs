//! Removes what is no difference: fields that the Application's or the system's ignoreDifferences name, and other
//! spellings of known types. Pure.
//!
//! The rules are Argo CD's (argoproj/argo-cd `util/argo/normalizers`, `util/argo/managedfields`). An entry that matches
//! nothing in an object, or whose expression fails on it, has no effect; an invalid entry makes the whole list invalid.

pub mod jq;
pub mod known_types;
mod respect;

use serde_json::{Map, Value, json};
use slipway_budget::Budget;
use slipway_gocompat::Glob;
use slipway_manifest::Object;

use crate::argocd_cm::{Override, Overrides};
use crate::managed_fields::set;
use jq::{JqError, PathSegment, Query};
use known_types::KnownType;

/// Why a list of ignoreDifferences is invalid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NormalizeError {
    /// A jq expression is refused.
    #[error("ignoreDifferences: the jq expression `{expression}` is refused: {source}")]
    Expression {
        /// The jq expression.
        expression: String,
        /// The reason.
        source: JqError,
    },
    /// A pattern for groups or kinds is invalid.
    #[error("ignoreDifferences: `{0}` is no pattern")]
    Pattern(String),
}

/// Rules that the controller of aggregated roles fills in (argoproj/argo-cd `gitops-engine/pkg/diff/diff.go`,
/// normalizeRole).
const AGGREGATED: [&str; 3] = ["rbac.authorization.k8s.io", "*Role", "select(.aggregationRule) | .rules"];

/// The ignoreDifferences of one application.
#[derive(Debug, Default)]
pub struct Normalizer {
    rules: Vec<Rule>,
    known: Vec<(String, Vec<KnownType>)>,
    /// What all expressions together may cost.
    budget: Budget,
}

/// One entry of ignoreDifferences.
#[derive(Debug)]
struct Rule {
    group: Glob,
    kind: Glob,
    name: String,
    namespace: String,
    pointers: Vec<Vec<PathSegment>>,
    queries: Vec<Query>,
    managers: Vec<String>,
}

impl Normalizer {
    /// Combines `spec.ignoreDifferences` of an Application with the system's settings.
    pub fn new(ignore_differences: &[Value], overrides: &Overrides) -> Result<Self, NormalizeError> {
        let mut rules = Vec::new();
        for entry in ignore_differences {
            let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let place = (text("name"), text("namespace"));
            rules.push(Rule::new(&text("group"), &text("kind"), place, entry)?);
        }
        let mut known = vec![(
            "argoproj.io/Rollout".to_owned(),
            vec![KnownType { field: "spec.template.spec".to_owned(), kind: "core/v1/PodSpec".to_owned() }],
        )];
        for (key, Override { ignore_differences, known_types, .. }) in overrides.iter() {
            let parts: Vec<&str> = key.split('/').collect();
            let (group, kind) = match parts.as_slice() {
                [kind] => ("", *kind),
                [group, kind] => (*group, *kind),
                _ => continue,
            };
            rules.push(Rule::new(group, kind, Default::default(), ignore_differences)?);
            known.push((key.to_owned(), known_types.clone()));
        }
        if overrides.ignore_aggregated_roles {
            let [group, kind, expression] = AGGREGATED;
            rules.push(Rule::new(group, kind, Default::default(), &json!({ "jqPathExpressions": [expression] }))?);
        }
        rules.retain(|rule| !(rule.pointers.is_empty() && rule.queries.is_empty() && rule.managers.is_empty()));
        known.retain(|(_, types)| !types.is_empty());
        Ok(Self { rules, known, budget: Budget::default() })
    }

    /// Removes ignored fields from `object`, and rewrites known types in canonical form.
    /// An error where an expression is too costly for the object.
    pub fn normalize(&self, object: &mut Object) -> Result<(), NormalizeError> {
        let rules: Vec<&Rule> = self.rules_for(object).collect();
        let key = match object.group() {
            "" => object.kind().to_owned(),
            group => format!("{group}/{}", object.kind()),
        };
        let known: Vec<&KnownType> = self.known.iter().filter(|(name, _)| *name == key).flat_map(|(_, t)| t).collect();
        if rules.is_empty() && known.is_empty() {
            return Ok(());
        }
        let mut value = Value::Object(std::mem::take(object.as_map_mut()));
        let removed = rules.into_iter().try_for_each(|rule| rule.remove(&mut value, &self.budget));
        for known in known {
            known_types::reformat(&mut value, std::slice::from_ref(known));
        }
        if let Value::Object(fields) = value {
            *object.as_map_mut() = fields;
        }
        removed
    }

    /// Removes from `live` and `target`, versions of one object, the differing fields that one of the
    /// `managedFieldsManagers` owns in `live`.
    pub fn ignore_managed_fields_managers(&self, live: &mut Object, target: &mut Object) {
        let managers: Vec<&String> = self.rules_for(live).flat_map(|rule| &rule.managers).collect();
        if managers.is_empty() {
            return;
        }
        let before = live.clone();
        for entry in set::entries(&before) {
            if managers.iter().any(|manager| *manager == entry.manager) {
                drop_differing(entry.fields, live.as_map_mut(), target.as_map_mut());
            }
        }
    }

    /// Normalizes `live` and `target` as a pair. An error where an expression is too costly for one of them.
    pub fn normalize_pair(&self, live: &mut Object, target: &mut Object) -> Result<(), NormalizeError> {
        self.ignore_managed_fields_managers(live, target);
        self.normalize(live)?;
        self.normalize(target)
    }

    fn rules_for(&self, object: &Object) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|rule| {
            let is = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
            rule.group.matches(object.group())
                && rule.kind.matches(object.kind())
                && is(&rule.name, object.name())
                && is(&rule.namespace, object.namespace())
        })
    }
}

impl Rule {
    fn new(
        group: &str,
        kind: &str,
        (name, namespace): (String, String),
        entry: &Value,
    ) -> Result<Self, NormalizeError> {
        let texts =
            |key: &str| entry.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let query = |expression: &str| {
            Query::new(expression)
                .map_err(|source| NormalizeError::Expression { expression: expression.to_owned(), source })
        };
        Ok(Self {
            group: glob(group)?,
            kind: glob(kind)?,
            name,
            namespace,
            pointers: texts("jsonPointers").filter_map(pointer).collect(),
            queries: texts("jqPathExpressions").map(query).collect::<Result<_, _>>()?,
            managers: texts("managedFieldsManagers").map(str::to_owned).collect(),
        })
    }

    /// The paths that the entry matches in `value`, list items in an order in which they can be removed.
    fn paths(&self, value: &Value, budget: &Budget) -> Result<Vec<Vec<PathSegment>>, NormalizeError> {
        let mut paths: Vec<_> = self.pointers.iter().map(|pointer| typed(pointer, value)).collect();
        for query in &self.queries {
            paths.extend(run(query, value, budget)?);
        }
        Ok(paths)
    }

    fn remove(&self, value: &mut Value, budget: &Budget) -> Result<(), NormalizeError> {
        for pointer in &self.pointers {
            let path = typed(pointer, value);
            jq::remove(value, &path);
        }
        for query in &self.queries {
            for path in run(query, value, budget)? {
                jq::remove(value, &path);
            }
        }
        Ok(())
    }
}

fn run(query: &Query, value: &Value, budget: &Budget) -> Result<Vec<Vec<PathSegment>>, NormalizeError> {
    let refused = |source| NormalizeError::Expression { expression: query.text().to_owned(), source };
    query.paths(value, budget).map_err(refused)
}

fn glob(pattern: &str) -> Result<Glob, NormalizeError> {
    let glob = Glob::new(pattern);
    if glob.is_valid() { Ok(glob) } else { Err(NormalizeError::Pattern(pattern.to_owned())) }
}

/// Parses a JSON pointer, all segments as fields as long as no value is known; `None` where it is invalid.
fn pointer(text: &str) -> Option<Vec<PathSegment>> {
    let part = |part: &str| PathSegment::Field(part.replace("~1", "/").replace("~0", "~"));
    text.strip_prefix('/').map(|rest| rest.split('/').map(part).collect())
}

/// The segments of a pointer, with indexes where `value` has lists.
fn typed(pointer: &[PathSegment], value: &Value) -> Vec<PathSegment> {
    let mut value = Some(value);
    let step = |step: &PathSegment| match (value, step) {
        (Some(Value::Array(items)), PathSegment::Field(name)) => {
            let index: Option<i64> = name.parse().ok();
            let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
            let place = index.map(|index| if index < 0 { index + length } else { index });
            value = place.and_then(|place| items.get(usize::try_from(place).ok()?));
            index.map_or_else(|| step.clone(), PathSegment::Index)
        }
        (found, PathSegment::Field(name)) => {
            value = found.and_then(|found| found.get(name));
            step.clone()
        }
        _ => step.clone(),
    };
    pointer.iter().map(step).collect()
}

/// Removes a set's fields from both objects where both have them and they differ.
fn drop_differing(set: &Map<String, Value>, live: &mut Map<String, Value>, target: &mut Map<String, Value>) {
    for (key, child) in set::children(set) {
        let Some(name) = key.strip_prefix("f:") else { continue };
        match (live.get_mut(name), target.get_mut(name)) {
            (Some(Value::Object(live)), Some(Value::Object(target))) => drop_differing(child, live, target),
            (Some(Value::Array(ours)), Some(Value::Array(theirs))) if set::children(child).next().is_some() => {
                for (item, child) in set::children(child) {
                    let place = |items: &[Value]| set::position(&Value::Array(items.to_vec()), item);
                    let (Some(here), Some(there)) = (place(ours), place(theirs)) else { continue };
                    let ours = ours.get_mut(here).and_then(Value::as_object_mut);
                    if let (Some(ours), Some(theirs)) = (ours, theirs.get_mut(there).and_then(Value::as_object_mut)) {
                        drop_differing(child, ours, theirs);
                    }
                }
            }
            (Some(ours), Some(theirs)) if ours != theirs && set::is_member(child) => {
                live.shift_remove(name);
                target.shift_remove(name);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_the_cluster_gathers_are_left_out_where_that_is_asked() {
        let object = |kind: &str, aggregation: Value| {
            let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": "all"},
                "aggregationRule": aggregation, "rules": [{"verbs": ["get"]}]});
            Object::from_value(role).unwrap()
        };
        let gathers = json!({"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]});
        let has_rules = |ignore: bool, kind: &str, aggregation: &Value| {
            let text = json!({"resource.compareoptions": format!("ignoreAggregatedRoles: {ignore}")});
            let overrides = Overrides::from_config_map(text.as_object().unwrap());
            let mut role = object(kind, aggregation.clone());
            Normalizer::new(&[], &overrides).unwrap().normalize(&mut role).unwrap();
            role.get("rules").is_some()
        };
        assert!(!has_rules(true, "ClusterRole", &gathers) && !has_rules(true, "Role", &gathers));
        assert!(has_rules(true, "ClusterRole", &Value::Null) && has_rules(true, "ClusterRoleBinding", &gathers));
        assert!(has_rules(false, "ClusterRole", &gathers));
    }
}
