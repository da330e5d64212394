//! Label and field selectors (k8s.io/apimachinery `pkg/labels`, `pkg/fields`).

use serde_json::{Map, Value};

/// One requirement.
#[derive(Debug, Clone, PartialEq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
}

/// A label selector.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Selector(Vec<Requirement>);

impl Selector {
    /// Reads `a=b,c in (d,e),!f`; `None` when it can't be read.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut found = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            // Commas inside parentheses do not end a requirement.
            let mut depth = 0_usize;
            let end = rest.find(|c: char| {
                match c {
                    '(' => depth += 1,
                    ')' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                c == ',' && depth == 0
            });
            let (one, tail) = end.map_or((rest, ""), |end| rest.split_at(end));
            found.push(requirement(one.trim())?);
            rest = tail.strip_prefix(',').unwrap_or(tail).trim();
        }
        Some(Self(found))
    }

    /// From a `LabelSelector` object.
    pub(super) fn from_object(selector: &Value) -> Self {
        let mut found = Vec::new();
        for (key, value) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            found.push(Requirement::In(key.clone(), vec![value.as_str().unwrap_or_default().to_owned()]));
        }
        for expression in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let key = expression.get("key").and_then(Value::as_str).unwrap_or_default().to_owned();
            let values = expression.get("values").and_then(Value::as_array).into_iter().flatten();
            let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
            found.push(match expression.get("operator").and_then(Value::as_str) {
                Some("NotIn") => Requirement::NotIn(key, values),
                Some("Exists") => Requirement::Exists(key),
                Some("DoesNotExist") => Requirement::Missing(key),
                _ => Requirement::In(key, values),
            });
        }
        Self(found)
    }

    /// Whether these labels fit.
    pub(super) fn matches(&self, labels: Option<&Map<String, Value>>) -> bool {
        let get = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => get(key).is_some_and(|value| values.iter().any(|known| known == value)),
            Requirement::NotIn(key, values) => get(key).is_none_or(|value| !values.iter().any(|known| known == value)),
            Requirement::Exists(key) => get(key).is_some(),
            Requirement::Missing(key) => get(key).is_none(),
        })
    }
}

fn requirement(text: &str) -> Option<Requirement> {
    let one = |value: &str| vec![value.trim().to_owned()];
    let list = |values: &str| {
        let inner = values.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(inner.split(',').map(|value| value.trim().to_owned()).collect::<Vec<_>>())
    };
    if let Some((key, values)) = text.split_once(" notin ") {
        return Some(Requirement::NotIn(key.trim().to_owned(), list(values)?));
    }
    if let Some((key, values)) = text.split_once(" in ") {
        return Some(Requirement::In(key.trim().to_owned(), list(values)?));
    }
    if let Some((key, value)) = text.split_once("!=") {
        return Some(Requirement::NotIn(key.trim().to_owned(), one(value)));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Some(Requirement::In(key.trim().to_owned(), one(value)));
    }
    match text.strip_prefix('!') {
        Some(key) if !key.trim().is_empty() => Some(Requirement::Missing(key.trim().to_owned())),
        None if !text.is_empty() && !text.contains(char::is_whitespace) => Some(Requirement::Exists(text.to_owned())),
        _ => None,
    }
}

/// Whether `object` fits a field selector (`metadata.name=x,status.phase!=Running`): any path of scalars is compared,
/// a missing field counts as empty.
pub(super) fn fields_match(selector: &str, object: &Value) -> bool {
    selector.split(',').filter(|part| !part.trim().is_empty()).all(|part| {
        let (path, wanted, equal) = if let Some((path, wanted)) = part.split_once("!=") {
            (path, wanted, false)
        } else {
            let (path, wanted) = part.split_once("==").or_else(|| part.split_once('=')).unwrap_or((part, ""));
            (path, wanted, true)
        };
        let value = object.pointer(&format!("/{}", path.trim().replace('.', "/")));
        let value =
            value.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).unwrap_or_default();
        (value == wanted.trim()) == equal
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_select() {
        let labels = json!({"app": "web", "tier": "front"});
        let cases = [
            ("app=web", true),
            ("app==web,tier!=back", true),
            ("app in (web, api),!x", true),
            ("app notin (web)", false),
            ("x", false),
            ("tier", true),
            ("app=api", false),
            ("", true),
        ];
        for (text, expected) in cases {
            assert_eq!(Selector::parse(text).unwrap().matches(labels.as_object()), expected, "{text}");
        }
        assert!(Selector::parse("a b").is_none());
        assert!(fields_match("metadata.name=a,status.phase!=Running", &json!({"metadata": {"name": "a"}})));
    }
}
