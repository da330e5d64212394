//! Transformer configurations: which fields each transformer changes, by default and by `configurations` and `crds`.

use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::{Map, Value};
use slipway_budget::Budget;

use crate::cost;
use crate::decode;
use crate::error::Error;
use crate::fieldspec::{FieldSpec, merge_all};
use crate::id::Gvk;

const DEFAULTS: &str = include_str!("tables/fieldspecs.txt");

/// Depth to which types of `crds` are followed; they may refer to themselves.
const MAX_DEPTH: usize = 64;

/// A kind whose name others refer to, and the fields in which they do.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct NameReference {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) field_specs: Vec<FieldSpec>,
}

impl NameReference {
    pub(crate) fn gvk(&self) -> Gvk {
        Gvk { group: self.group.clone(), version: self.version.clone(), kind: self.kind.clone() }
    }
}

/// Field specs of all transformers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) name_prefix: Vec<FieldSpec>,
    pub(crate) name_suffix: Vec<FieldSpec>,
    pub(crate) namespace: Vec<FieldSpec>,
    pub(crate) common_labels: Vec<FieldSpec>,
    pub(crate) labels: Vec<FieldSpec>,
    pub(crate) template_labels: Vec<FieldSpec>,
    pub(crate) common_annotations: Vec<FieldSpec>,
    pub(crate) name_reference: Vec<NameReference>,
    pub(crate) var_reference: Vec<FieldSpec>,
    pub(crate) images: Vec<FieldSpec>,
    pub(crate) replicas: Vec<FieldSpec>,
}

impl Config {
    /// What Kustomize does without any configuration.
    pub(crate) fn default_config() -> &'static Self {
        static CONFIG: OnceLock<Config> = OnceLock::new();
        CONFIG.get_or_init(|| {
            let mut config = Self::default();
            // No conflict: the test below merges them.
            let _ = config.merge(Self::table().clone(), &Budget::default());
            config
        })
    }

    /// The table of defaults, sorted. Merged into something, a spec gives way to a narrower one for the same field that
    /// comes before it.
    pub(crate) fn table() -> &'static Self {
        static TABLE: OnceLock<Config> = OnceLock::new();
        TABLE.get_or_init(|| {
            let mut config = Self::from_table(DEFAULTS);
            config.sort();
            config
        })
    }

    fn from_table(table: &str) -> Self {
        let mut config = Self::default();
        let mut section = "";
        for line in table.lines() {
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']');
            } else if let Some(target) = line.strip_prefix('@') {
                let mut parts = target.split('|').map(str::to_owned);
                let mut part = || parts.next().unwrap_or_default();
                let (group, version, kind) = (part(), part(), part());
                config.name_reference.push(NameReference { group, version, kind, field_specs: Vec::new() });
            } else {
                let mut parts = line.split('|').map(str::to_owned);
                let mut part = || parts.next().unwrap_or_default();
                let create = part() == "+";
                let (group, version, kind, path) = (part(), part(), part(), part());
                let spec = FieldSpec { group, version, kind, path, create };
                match config.section(section) {
                    Some(specs) => specs.push(spec),
                    None => config.name_reference.last_mut().into_iter().for_each(|r| r.field_specs.push(spec.clone())),
                }
            }
        }
        config
    }

    fn section(&mut self, name: &str) -> Option<&mut Vec<FieldSpec>> {
        Some(match name {
            "namePrefix" => &mut self.name_prefix,
            "nameSuffix" => &mut self.name_suffix,
            "namespace" => &mut self.namespace,
            "commonLabels" => &mut self.common_labels,
            "labels" => &mut self.labels,
            "templateLabels" => &mut self.template_labels,
            "commonAnnotations" => &mut self.common_annotations,
            "varReference" => &mut self.var_reference,
            "images" => &mut self.images,
            "replicas" => &mut self.replicas,
            _ => return None,
        })
    }

    const SECTIONS: [&'static str; 10] = [
        "namePrefix",
        "nameSuffix",
        "namespace",
        "commonLabels",
        "labels",
        "templateLabels",
        "commonAnnotations",
        "varReference",
        "images",
        "replicas",
    ];

    /// A configuration file's content.
    pub(crate) fn from_settings(value: Value) -> Result<Self, String> {
        let mut config: Self = if value.is_null() { Self::default() } else { decode::from_value(value)? };
        config.sort();
        Ok(config)
    }

    /// Adds what `other` has and this has not; the same field with another `create` is a conflict.
    pub(crate) fn merge(&mut self, mut other: Self, budget: &Budget) -> Result<(), Error> {
        // All is sorted in the end.
        cost::of_text(budget, self.bytes() + other.bytes())?;
        for name in Self::SECTIONS {
            if let (Some(mine), Some(theirs)) = (self.section(name), other.section(name)) {
                merge_all(mine, theirs, budget)
                    .map_err(|e| e.within(format!("failed to merge fieldSpecs of `{name}`")))?;
            }
        }
        for reference in other.name_reference {
            budget.step(1 + self.name_reference.len() as u64)?;
            match self.name_reference.iter_mut().find(|known| known.gvk() == reference.gvk()) {
                Some(known) => merge_all(&mut known.field_specs, &reference.field_specs, budget)
                    .map_err(|e| e.within("failed to merge fieldSpecs of `nameReference`"))?,
                None => self.name_reference.push(reference),
            }
        }
        self.sort();
        Ok(())
    }

    /// Bytes of all specs.
    pub(crate) fn bytes(&self) -> usize {
        let lists = [
            &self.name_prefix,
            &self.name_suffix,
            &self.namespace,
            &self.common_labels,
            &self.labels,
            &self.template_labels,
            &self.common_annotations,
            &self.var_reference,
            &self.images,
            &self.replicas,
        ];
        let references = self.name_reference.iter().map(|reference| &reference.field_specs);
        let specs = lists.into_iter().chain(references).flatten();
        specs.map(|spec| size_of::<FieldSpec>() + spec.path.len() + spec.kind.len() + spec.group.len()).sum::<usize>()
            + self.name_reference.len() * size_of::<NameReference>()
    }

    fn sort(&mut self) {
        for name in Self::SECTIONS {
            if let Some(specs) = self.section(name) {
                specs.sort_by_cached_key(|spec| spec.gvk().sort_key());
            }
        }
        self.name_reference.sort_by_cached_key(|reference| reference.gvk().sort_key());
    }

    /// What the OpenAPI definitions of a file of `crds` say of names, labels and annotations by their `x-kubernetes-…`
    /// extensions (kustomize `loadconfigfromcrds.go`).
    pub(crate) fn from_crds(definitions: &Map<String, Value>, budget: &Budget) -> Result<Self, Error> {
        let mut config = Self::default();
        let mut names: Vec<&String> = definitions.keys().collect();
        names.sort();
        for name in names {
            let properties = properties(definitions, name);
            if ["kind", "apiVersion", "metadata"].iter().all(|key| properties.is_some_and(|p| p.contains_key(*key))) {
                let kind = name.rsplit('.').next().unwrap_or(name);
                let mut one = Self::default();
                one.follow(kind, definitions, name, &mut Vec::new(), budget)?;
                config.merge(one, budget)?;
            }
        }
        Ok(config)
    }

    fn follow(
        &mut self,
        kind: &str,
        definitions: &Map<String, Value>,
        name: &str,
        path: &mut Vec<String>,
        budget: &Budget,
    ) -> Result<(), Error> {
        if path.len() > MAX_DEPTH {
            return Ok(());
        }
        for (key, property) in properties(definitions, name).into_iter().flatten() {
            path.push(key.clone());
            budget.step(20 + path.iter().map(|part| 4 + part.len() as u64 / 16).sum::<u64>())?;
            let text = |extension: &str| property.get(extension).and_then(Value::as_str);
            let spec = FieldSpec { kind: kind.to_owned(), path: path.join("/"), ..FieldSpec::default() };
            if text("x-kubernetes-annotation").is_some() {
                merge_all(&mut self.common_annotations, std::slice::from_ref(&spec), budget)?;
            }
            if text("x-kubernetes-label-selector").is_some() {
                merge_all(&mut self.common_labels, std::slice::from_ref(&spec), budget)?;
            }
            if text("x-kubernetes-identity").is_some() {
                merge_all(&mut self.name_prefix, std::slice::from_ref(&spec), budget)?;
            }
            if let (Some(version), Some(target)) =
                (text("x-kubernetes-object-ref-api-version"), text("x-kubernetes-object-ref-kind"))
            {
                let name_key = text("x-kubernetes-object-ref-name-key").unwrap_or("name");
                let path = format!("{}/{name_key}", spec.path);
                let reference = NameReference {
                    version: version.to_owned(),
                    kind: target.to_owned(),
                    field_specs: vec![FieldSpec { path, ..spec }],
                    ..NameReference::default()
                };
                self.merge(Self { name_reference: vec![reference], ..Self::default() }, budget)?;
            }
            if let Some(reference) = text("$ref") {
                self.follow(kind, definitions, reference, path, budget)?;
            }
            path.pop();
        }
        Ok(())
    }
}

fn properties<'a>(definitions: &'a Map<String, Value>, name: &str) -> Option<&'a Map<String, Value>> {
    let definition = definitions.get(name)?;
    definition.get("Schema").or_else(|| definition.get("schema"))?.get("properties")?.as_object()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_defaults_is_read_whole() {
        assert!(Config::default().merge(Config::table().clone(), &Budget::default()).is_ok());
        let config = Config::table();
        let lines = DEFAULTS.lines().filter(|line| line.starts_with(['+', '-'])).count();
        let mut count = config.clone();
        let specs: usize = Config::SECTIONS.iter().filter_map(|name| count.section(name).map(|s| s.len())).sum();
        let referrers: usize = config.name_reference.iter().map(|r| r.field_specs.len()).sum();
        assert_eq!(specs + referrers, lines);
        assert!(lines > 250);
    }
}
