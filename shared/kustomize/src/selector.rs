//! Which resources a patch or a replacement is for: regular expressions and label selectors.

use std::collections::BTreeMap;

use slipway_budget::{Budget, Exceeded};

use crate::context::{Context, Pattern};
use crate::cost;
use crate::error::Error;
use crate::id::Selector;
use crate::resource::Resource;

/// A selector whose parts are regular expressions that must match as a whole (kustomize `types/selector.go`).
pub(crate) struct Matcher {
    group: Option<Pattern>,
    version: Option<Pattern>,
    kind: Option<Pattern>,
    name: Option<Pattern>,
    namespace: Option<Pattern>,
    labels: Labels,
    annotations: Labels,
}

impl Matcher {
    pub(crate) fn new(selector: &Selector, cx: &Context) -> Result<Self, Error> {
        let regex = |field: &str, pattern: &str| match pattern {
            "" => Ok(None),
            pattern => cx.pattern(&format!("^(?:{pattern})$"))?.map(Some).map_err(|e| {
                Error::refused(format!("`{field}: {pattern}` of a selector is not a regular expression: {e}"))
            }),
        };
        Ok(Self {
            group: regex("group", &selector.group)?,
            version: regex("version", &selector.version)?,
            kind: regex("kind", &selector.kind)?,
            name: regex("name", &selector.name)?,
            namespace: regex("namespace", &selector.namespace)?,
            labels: Labels::parse(&selector.label_selector, &cx.budget)?,
            annotations: Labels::parse(&selector.annotation_selector, &cx.budget)?,
        })
    }

    pub(crate) fn matches(&self, resource: &Resource, cx: &Context) -> Result<bool, Error> {
        cx.budget.step(2 * resource.look() as u64)?;
        let fits = |pattern: &Option<Pattern>, text: &str| {
            pattern.as_ref().map_or(Ok(true), |pattern| pattern.is_match(text, &cx.budget))
        };
        let (id, original, gvk) = (resource.id(cx), resource.original_id(cx), resource.gvk());
        Ok((fits(&self.namespace, original.effective_namespace())? || fits(&self.namespace, id.effective_namespace())?)
            && (fits(&self.name, original.name)? || fits(&self.name, id.name)?)
            && fits(&self.group, gvk.group)?
            && fits(&self.version, gvk.version)?
            && fits(&self.kind, gvk.kind)?
            && self.labels.matches(resource.labels(), &cx.budget)?
            && self.annotations.matches(resource.annotations(), &cx.budget)?)
    }
}

/// A label selector such as `app in (a, b), !old, tier=web` (k8s.io/apimachinery `labels.Parse`).
#[derive(Debug, PartialEq)]
pub(crate) struct Labels(Vec<Requirement>);

#[derive(Debug, PartialEq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, PartialEq)]
enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
    Greater(i64),
    Less(i64),
}

impl Labels {
    pub(crate) fn parse(text: &str, budget: &Budget) -> Result<Self, Error> {
        let parts = text.matches(',').count() + 1;
        cost::of_text(budget, text.len() + 2 * parts * size_of::<Requirement>())?;
        budget.step(4 * parts as u64)?;
        let bad = |why: &str| Error::refused(format!("unable to parse the selector `{text}`: {why}"));
        let mut requirements = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let end = match rest.find(['(', ',']) {
                Some(open) if rest.get(open..).is_some_and(|rest| rest.starts_with('(')) => {
                    let close = rest.find(')').ok_or_else(|| bad("`(` without `)`"))?;
                    close + 1
                }
                comma => comma.unwrap_or(rest.len()),
            };
            let (one, tail) = rest.split_at(end);
            requirements.push(requirement(one.trim()).ok_or_else(|| bad(&format!("`{}`", one.trim())))?);
            rest = tail.trim_start();
            if !rest.is_empty() {
                rest = rest.strip_prefix(',').ok_or_else(|| bad("`,` expected"))?.trim_start();
                if rest.is_empty() {
                    return Err(bad("it ends with a comma"));
                }
            }
        }
        Ok(Self(requirements))
    }

    pub(crate) fn matches<'a>(
        &self,
        labels: impl Iterator<Item = (&'a str, &'a str)>,
        budget: &Budget,
    ) -> Result<bool, Exceeded> {
        if self.0.is_empty() {
            return Ok(true);
        }
        let labels: BTreeMap<&str, &str> = labels.collect();
        let listed = self.0.iter().map(|requirement| match &requirement.test {
            Test::In(values) | Test::NotIn(values) => 2 + values.len() / 4,
            _ => 2,
        });
        budget.step((4 * labels.len() + listed.sum::<usize>()) as u64)?;
        Ok(self.0.iter().all(|Requirement { key, test }| {
            let value = labels.get(key.as_str()).copied();
            let number = || value.and_then(|value| value.parse::<i64>().ok());
            match test {
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
                Test::In(values) => value.is_some_and(|value| values.iter().any(|v| v == value)),
                Test::NotIn(values) => value.is_none_or(|value| values.iter().all(|v| v != value)),
                Test::Greater(than) => number().is_some_and(|n| n > *than),
                Test::Less(than) => number().is_some_and(|n| n < *than),
            }
        }))
    }
}

fn requirement(one: &str) -> Option<Requirement> {
    if let Some(key) = one.strip_prefix('!') {
        return Some(Requirement { key: label_key(key.trim())?, test: Test::Absent });
    }
    if let Some((head, list)) = one.strip_suffix(')').and_then(|one| one.split_once('(')) {
        let values = list.split(',').map(|value| label_value(value.trim())).collect::<Option<Vec<_>>>()?;
        let mut words = head.split_whitespace();
        let (key, operator) = (label_key(words.next()?)?, words.next()?);
        let test = match operator {
            "in" => Test::In(values),
            "notin" => Test::NotIn(values),
            _ => return None,
        };
        return words.next().is_none().then_some(Requirement { key, test });
    }
    let Some(at) = one.find(['=', '!', '<', '>']) else {
        return Some(Requirement { key: label_key(one)?, test: Test::Exists });
    };
    let (key, operation) = one.split_at(at);
    let key = label_key(key.trim())?;
    let (operator, value) = ["==", "!=", "=", ">", "<"]
        .into_iter()
        .find_map(|operator| operation.strip_prefix(operator).map(|value| (operator, value.trim())))?;
    let test = match operator {
        "!=" => Test::NotIn(vec![label_value(value)?]),
        ">" => Test::Greater(value.parse().ok()?),
        "<" => Test::Less(value.parse().ok()?),
        _ => Test::In(vec![label_value(value)?]),
    };
    Some(Requirement { key, test })
}

fn label_key(text: &str) -> Option<String> {
    let formed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    (!text.is_empty() && text.chars().all(formed)).then(|| text.to_owned())
}

fn label_value(text: &str) -> Option<String> {
    let formed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (text.len() <= 63 && text.chars().all(formed)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_selectors() {
        let labels = [("app", "web"), ("n", "5"), ("tier", "a")];
        for (selector, fits) in [
            ("", true),
            ("app=web", true),
            ("app==web,tier!=b", true),
            ("app in (web, api), n > 4", true),
            ("app notin (web)", false),
            ("!missing, tier", true),
            ("n<5", false),
            ("missing=x", false),
            ("missing!=x", true),
        ] {
            let matches =
                Labels::parse(selector, &Budget::default()).unwrap().matches(labels.into_iter(), &Budget::default());
            assert_eq!(matches, Ok(fits), "{selector}");
        }
        for bad in ["app in (web", "a b", "app=we b", ",", "app=a,"] {
            assert!(Labels::parse(bad, &Budget::default()).is_err(), "{bad}");
        }
    }
}
