//! Label selectors (k8s.io/apimachinery `pkg/labels`), and the same for parameters (argoproj/argo-cd
//! `applicationset/utils/selector.go`).

use std::str::FromStr;

use serde_json::{Value, json};
use slipway_manifest::names::Form;

use crate::policy::{items, text, texts};

/// A compiled label selector.
#[derive(Debug, Clone)]
pub struct Selector(Vec<Requirement>);

#[derive(Debug, Clone)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Debug, Clone)]
enum Operator {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
}

impl Selector {
    /// A selector for parameters: values may be any text.
    pub(crate) fn of_params(selector: &Value) -> Result<Self, String> {
        let equal = selector["matchLabels"].as_object().into_iter().flatten().map(|(key, value)| {
            Ok(Requirement { key: checked_key(key)?, operator: Operator::In(vec![text(value).to_owned()]) })
        });
        let expressions = items(&selector["matchExpressions"]).map(|one| {
            let (key, values) = (checked_key(text(&one["key"]))?, texts(&one["values"]));
            let operator = match (text(&one["operator"]), values.is_empty()) {
                ("In" | "NotIn", true) => return Err(format!("`{key}`: for `In` and `NotIn` values can't be empty")),
                ("In", _) => Operator::In(values),
                ("NotIn", _) => Operator::NotIn(values),
                ("Exists" | "DoesNotExist", false) => {
                    return Err(format!("`{key}`: for `Exists` and `DoesNotExist` values must be empty"));
                }
                ("Exists", _) => Operator::Exists,
                ("DoesNotExist", _) => Operator::DoesNotExist,
                (other, _) => return Err(format!("{other:?} is not a valid label selector operator")),
            };
            Ok(Requirement { key, operator })
        });
        equal.chain(expressions).collect::<Result<_, _>>().map(Self)
    }

    /// A selector for labels: values must be those that labels may have. Fails with what is wrong with it.
    pub fn of_labels(selector: &Value) -> Result<Self, String> {
        let compiled = Self::of_params(selector)?;
        for Requirement { key, operator } in &compiled.0 {
            let (Operator::In(values) | Operator::NotIn(values)) = operator else { continue };
            if let Some(value) = values.iter().find(|value| !(value.is_empty() || is_name(value))) {
                return Err(format!(
                    "`{key}`: a label has at most 63 letters, digits, `-`, `_` and `.`, which begin and end with a \
                     letter or digit, and not {value:?}"
                ));
            }
        }
        Ok(compiled)
    }

    /// Whether it selects everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it selects what has these labels.
    pub fn matches<'l>(&self, label: impl Fn(&str) -> Option<&'l str>) -> bool {
        let has = |values: &[String], value: &str| values.iter().any(|one| one == value);
        self.0.iter().all(|Requirement { key, operator }| match (operator, label(key)) {
            (Operator::In(values), value) => value.is_some_and(|value| has(values, value)),
            (Operator::NotIn(values), value) => value.is_none_or(|value| !has(values, value)),
            (Operator::Exists, value) => value.is_some(),
            (Operator::DoesNotExist, value) => value.is_none(),
        })
    }
}

/// Reads what `kubectl -l` takes: `a=b,c!=d,e in (f,g),h notin (i),j,!k`.
impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut expressions = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            // A comma in parentheses is part of the requirement.
            let comma = rest.find(',').filter(|comma| rest.find('(').is_none_or(|open| *comma < open));
            let end = comma.or_else(|| rest.find(')').map(|close| close + 1)).unwrap_or(rest.len());
            let (one, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            expressions.push(requirement(one.trim())?);
            rest = after.trim_start();
            if !rest.is_empty() {
                let next = rest.strip_prefix(',').map(str::trim_start).filter(|next| !next.is_empty());
                rest = next.ok_or_else(|| format!("`{text}`: after `{one}` expected a comma and a label"))?;
            }
        }
        Self::of_labels(&json!({ "matchExpressions": expressions }))
    }
}

/// One requirement of a selector's text, as a selector's `matchExpressions` have it.
fn requirement(text: &str) -> Result<Value, String> {
    let expression = |key: &str, operator, values: &[&str]| {
        json!({"key": key.trim(), "operator": operator, "values": values.iter().map(|value| value.trim())
            .collect::<Vec<_>>()})
    };
    let set = |(key, values): (&str, &str), operator| {
        let inner = values.trim().strip_prefix('(').and_then(|values| values.strip_suffix(')'));
        let inner = inner.ok_or_else(|| format!("`{text}`: write the values as (a,b)"))?;
        Ok(expression(key, operator, &inner.split(',').collect::<Vec<_>>()))
    };
    if let Some(parts) = text.split_once(" notin ") {
        set(parts, "NotIn")
    } else if let Some(parts) = text.split_once(" in ") {
        set(parts, "In")
    } else if let Some((key, value)) = text.split_once("!=") {
        Ok(expression(key, "NotIn", &[value]))
    } else if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        Ok(expression(key, "In", &[value]))
    } else if let Some(key) = text.strip_prefix('!') {
        Ok(expression(key, "DoesNotExist", &[]))
    } else {
        Ok(expression(text, "Exists", &[]))
    }
}

/// A name, or a DNS subdomain and a name.
fn checked_key(key: &str) -> Result<String, String> {
    let is_key = match key.split_once('/') {
        Some((prefix, name)) => Form::Subdomain.fits(prefix) && is_name(name),
        None => is_name(key),
    };
    if is_key { Ok(key.to_owned()) } else { Err(format!("{key:?} can't be the key of a label")) }
}

fn is_name(text: &str) -> bool {
    let is_edge = |c: char| c.is_ascii_alphanumeric();
    text.len() <= 63
        && text.starts_with(is_edge)
        && text.ends_with(is_edge)
        && text.chars().all(|c| is_edge(c) || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_selector_is_read_as_kubectl_reads_it() {
        let labels = |key: &str| [("env", "prod"), ("a.b/c", "")].iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
        for (text, expected) in [
            ("", true),
            ("env=prod", true),
            (" env == prod , !x", true),
            ("env!=prod", false),
            ("x!=y,env in (dev, prod)", true),
            ("env notin (dev,prod),x", false),
            ("env in (dev),env", false),
            ("a.b/c=", true),
        ] {
            assert_eq!(text.parse::<Selector>().unwrap().matches(labels), expected, "{text}");
        }
        for wrong in ["=", "a in b", "a in (b", "a in ()b", "-a", "a=b c", "a,,", "a,", "a in (b),", "(", ")"] {
            assert!(wrong.parse::<Selector>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn selectors_select_as_in_kubernetes() {
        let labels = |key: &str| match key {
            "env" => Some("prod"),
            "server" => Some("https://a"),
            _ => None,
        };
        let expression = |key: &str, operator: &str, values: Value| {
            let one = json!({"key": key, "operator": operator, "values": values});
            json!({"matchExpressions": [one]})
        };
        for (selector, expected) in [
            (json!({}), true),
            (json!({"matchLabels": {"env": "prod", "server": "https://a"}}), true),
            (json!({"matchLabels": {"env": "prod", "no": ""}}), false),
            (expression("env", "In", json!(["dev", "prod"])), true),
            (expression("no", "In", json!([""])), false),
            (expression("env", "NotIn", json!(["prod"])), false),
            (expression("no", "NotIn", json!(["prod"])), true),
            (expression("env", "Exists", json!([])), true),
            (expression("env", "DoesNotExist", json!([])), false),
        ] {
            assert_eq!(Selector::of_params(&selector).unwrap().matches(labels), expected, "{selector}");
        }
        for wrong in [
            expression("env", "In", json!([])),
            expression("env", "Exists", json!(["x"])),
            expression("env", "Gt", json!(["1"])),
            expression("path[0]", "Exists", json!([])),
            expression("-env", "Exists", json!([])),
            expression("A.b/c", "Exists", json!([])),
        ] {
            assert!(Selector::of_params(&wrong).is_err(), "{wrong}");
        }
        let url = json!({"matchLabels": {"server": "https://a"}});
        assert!(Selector::of_params(&url).is_ok() && Selector::of_labels(&url).is_err());
    }
}
