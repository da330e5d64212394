//! The parameters of `infra/template.yaml`, and which values they take.

use std::collections::BTreeMap;

use anyhow::Context as _;
use regex::Regex;
use serde_json::Value;
use slipway::root::places::RootPlaces;
use slipway_manifest::yaml;

/// The template itself, as it was when this was built.
pub(crate) const TEXT: &str = include_str!("../../../../infra/template.yaml");

/// A parameter.
pub(crate) struct Parameter {
    pub(crate) name: String,
    /// `None` where it has to be given.
    pub(crate) default: Option<String>,
    pattern: Option<Regex>,
    allowed: Vec<String>,
    range: (Option<f64>, Option<f64>),
    is_number: bool,
}

/// Reads the parameters, in the template's order.
pub(crate) fn parameters() -> anyhow::Result<Vec<Parameter>> {
    // The rest has CloudFormation's own tags.
    let section = TEXT.split_once("\nParameters:\n").context("the template has no parameters")?.1;
    let lines = section.lines().take_while(|line| line.is_empty() || line.starts_with(' '));
    let lines: Vec<&str> = lines.collect();
    let Value::Object(all) = yaml::parse(&lines.join("\n"))? else { anyhow::bail!("the template has no parameters") };
    all.into_iter().map(|(name, value)| Parameter::read(name, &value)).collect()
}

impl Parameter {
    fn read(name: String, value: &Value) -> anyhow::Result<Self> {
        let pattern = value.get("AllowedPattern").and_then(Value::as_str);
        let number = |key: &str| value.get(key).and_then(Value::as_f64);
        let allowed = value.get("AllowedValues").and_then(Value::as_array).into_iter().flatten();
        Ok(Self {
            name,
            default: value.get("Default").map(text),
            pattern: pattern.map(|pattern| Regex::new(&format!("^(?:{pattern})$"))).transpose()?,
            allowed: allowed.map(text).collect(),
            range: (number("MinValue"), number("MaxValue")),
            is_number: value.get("Type").and_then(Value::as_str) == Some("Number"),
        })
    }

    /// Why CloudFormation would not take `value`.
    pub(crate) fn refuse(&self, value: &str) -> Result<(), String> {
        let name = &self.name;
        if self.pattern.as_ref().is_some_and(|pattern| !pattern.is_match(value)) {
            return Err(format!("{name} can't be `{value}`"));
        }
        if !self.allowed.is_empty() && !self.allowed.iter().any(|one| one == value) {
            return Err(format!("{name} is one of {}, not `{value}`", self.allowed.join(", ")));
        }
        if self.is_number {
            let number: f64 = value.parse().map_err(|_| format!("{name} is a number, not `{value}`"))?;
            let (least, most) = self.range;
            if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
                return Err(format!("{name} can't be {value}"));
            }
        }
        Ok(())
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Every reason why the template would not take `given`: unknown names, wrong values, what is missing, and what does
/// not go together (the template's `Rules`).
pub(crate) fn refuse(parameters: &[Parameter], given: &BTreeMap<String, String>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, value) in given {
        match parameters.iter().find(|one| one.name == *name) {
            Some(parameter) => wrong.extend(parameter.refuse(value).err()),
            None => wrong.push(format!("the template has no parameter {name}")),
        }
    }
    let missing = parameters.iter().filter(|one| one.default.is_none() && !given.contains_key(&one.name));
    wrong.extend(missing.map(|one| format!("{} is missing", one.name)));
    if let Some(root) = given.get("Root") {
        wrong.extend(refuse_root(root).err());
    }
    let is_set = |name: &str| given.get(name).is_some_and(|value| !value.is_empty());
    for (one, other) in
        [("SlackSecret", "SlackChannel"), ("ClusterEndpoint", "ClusterCa"), ("VpcSubnetIds", "VpcSecurityGroupIds")]
    {
        if is_set(one) != is_set(other) {
            wrong.push(format!("{one} and {other} go together"));
        }
    }
    if given.get("SyncConcurrency").is_some_and(|value| value == "1") {
        wrong.push("SyncConcurrency is at least 2, or 0".to_owned());
    }
    wrong
}

/// Why `root` is no root.
pub(crate) fn refuse_root(root: &str) -> Result<(), String> {
    RootPlaces::parse(root).map(drop).map_err(|error| slipway::error::chain(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    const LEAST: [(&str, &str); 2] =
        [("Root", "https://github.com/acme/gitops//apps?ref=main"), ("ClusterName", "prod")];

    #[test]
    fn every_default_is_taken() {
        let parameters = parameters().unwrap();
        assert!(parameters.len() > 30, "{}", parameters.len());
        let mut all = given(&LEAST);
        let defaults = parameters.iter().filter_map(|one| Some((one.name.clone(), one.default.clone()?)));
        all.extend(defaults);
        assert_eq!(refuse(&parameters, &all), Vec::<String>::new());
        assert_eq!(refuse(&parameters, &given(&LEAST)), Vec::<String>::new());
    }

    #[test]
    fn wrong_values_are_all_told() {
        let parameters = parameters().unwrap();
        for (pairs, words) in [
            (&[("Roof", "x")][..], "no parameter Roof"),
            (&[("Root", "ftp://a")], "Root can't be `ftp://a`"),
            (&[("ClusterName", "a b")], "ClusterName can't be `a b`"),
            (&[("Projects", "open")], "Projects is one of strict, declared-or-open"),
            (&[("SyncConcurrency", "many")], "SyncConcurrency is a number"),
            (&[("SyncConcurrency", "1001")], "SyncConcurrency can't be 1001"),
            (&[("SyncConcurrency", "1")], "at least 2"),
            (&[("SyncTimeout", "soon")], "SyncTimeout can't be"),
            (&[("SlackSecret", "slipway/slack")], "SlackSecret and SlackChannel go together"),
            (&[("ClusterCa", "abc")], "ClusterEndpoint and ClusterCa go together"),
            (&[("VpcSubnetIds", "subnet-1")], "VpcSubnetIds and VpcSecurityGroupIds go together"),
        ] {
            let mut all = given(&LEAST);
            all.extend(given(pairs));
            let wrong = refuse(&parameters, &all);
            assert!(wrong.iter().any(|why| why.contains(words)), "{words}: {wrong:?}");
        }
        assert!(refuse(&parameters, &BTreeMap::new()).contains(&"Root is missing".to_owned()));
    }
}
