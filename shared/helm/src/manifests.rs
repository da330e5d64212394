//! From what templates print to manifests: cut into documents, hooks told from the rest, sorted by kind (helm/helm
//! `pkg/release/v1/util`).

use std::collections::BTreeMap;

use memchr::{memchr_iter, memmem};
use serde_json::Value;
use slipway_budget::Budget;
use slipway_gocompat::filepath;
use slipway_gocompat::path::base;
use slipway_gotmpl::Str;
use slipway_manifest::object::type_name;
use slipway_manifest::{kind_order, yaml};

use crate::error::{HelmError, ManifestError, excerpt};

/// A document that a template printed.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The template, from the chart's name on.
    pub source: String,
    /// The document.
    pub value: Value,
    /// Set where it is a hook.
    pub hook: Option<Hook>,
}

impl Manifest {
    /// Whether `template` means the template that made it, as `--show-only` reads it: a path in the chart or a pattern.
    pub fn is_of(&self, template: &str) -> bool {
        self.source.split_once('/').is_some_and(|(_, path)| filepath::matches(template, path))
    }
}

/// What makes a manifest a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// When it runs: `pre-install`, `test`, …
    pub events: Vec<String>,
    /// Its place among the hooks of one event: lower is earlier.
    pub weight: i64,
    /// `before-hook-creation`, `hook-succeeded`, `hook-failed`, as written in lower case.
    pub delete_policies: Vec<String>,
}

impl Hook {
    /// Whether it is run by `helm test` only.
    pub fn is_test(&self) -> bool {
        self.events.iter().any(|event| event == "test")
    }
}

const EVENTS: &[&str] = &[
    "pre-install",
    "post-install",
    "pre-delete",
    "post-delete",
    "pre-upgrade",
    "post-upgrade",
    "pre-rollback",
    "post-rollback",
    "test",
];

/// What a manifest takes, however short.
const DOCUMENT: usize = 768;

/// The manifests in what templates printed: those that are no hooks first, each group in the order of installation.
pub(crate) fn collect(rendered: &BTreeMap<String, Str>, budget: &Budget) -> Result<Vec<Manifest>, HelmError> {
    let (mut resources, mut hooks) = (Vec::new(), Vec::new());
    for (template, text) in rendered {
        if base(template).starts_with('_') || template.ends_with("NOTES.txt") {
            continue;
        }
        let printed = text.to_text();
        for (line, document) in split(&printed) {
            let wrong = |mut e: ManifestError| {
                let mut at = line;
                if let ManifestError::Yaml(e) = &mut e {
                    e.line += line - 1;
                    at = e.line;
                }
                let excerpt = excerpt(&printed, at);
                HelmError::Manifest { template: template.clone(), line: at, excerpt, source: e }
            };
            // Helm prints each document with a line break, which a text block at its end takes in.
            let document = format!("{document}\n");
            let paid = budget.step(DOCUMENT as u64 / 8).and_then(|()| budget.bytes(DOCUMENT + document.len()));
            paid.map_err(HelmError::over(template))?;
            let values = yaml::parse_manifests(&document, yaml::Options::lenient(), budget);
            let mut values = values.map_err(|e| wrong(e.into()))?.into_iter();
            let Some(first) = values.next() else { continue };
            let head = Head::read(&first).map_err(wrong)?;
            let (target, hook) = match head.role() {
                Role::Resource => (&mut resources, None),
                Role::Hook(hook) => (&mut hooks, Some(hook)),
                Role::UnknownHook => continue,
            };
            for value in std::iter::once(first).chain(values) {
                let rank = rank(&head.kind);
                target.push((rank, Manifest { source: template.clone(), value, hook: hook.clone() }));
            }
        }
    }
    for group in [&mut resources, &mut hooks] {
        group.sort_by(|(a, _), (b, _)| a.cmp(b));
    }
    Ok(resources.into_iter().chain(hooks).map(|(_, manifest)| manifest).collect())
}

/// The place of a kind in Helm's order of installation, which Argo CD's is made of (helm/helm
/// `pkg/release/v1/util/kind_sorter.go`); kinds that it does not list come last, by name.
fn rank(kind: &str) -> (usize, String) {
    let unlisted = kind_order::rank("");
    match kind {
        "PriorityClass" => (0, String::new()),
        "MutatingWebhookConfiguration" => (unlisted + 1, String::new()),
        "ValidatingWebhookConfiguration" => (unlisted + 2, String::new()),
        kind => match kind_order::rank(kind) {
            place if place < unlisted => (place + 1, String::new()),
            _ => (unlisted + 3, kind.to_owned()),
        },
    }
}

/// Cuts where Helm's expression `(?:^|\s*\n)---\s*` does; each part with its first line, from 1.
fn split(text: &str) -> Vec<(usize, &str)> {
    let body = text.trim();
    let mut line = 1 + text.split_at(text.len() - text.trim_start().len()).0.matches('\n').count();
    let separator = memmem::Finder::new("\n---");
    let mut parts = Vec::new();
    let mut rest = body.strip_prefix("---").map_or(body, |after| {
        let trimmed = after.trim_start();
        line += after.split_at(after.len() - trimmed.len()).0.matches('\n').count();
        trimmed
    });
    loop {
        let (part, after) = match separator.find(rest.as_bytes()) {
            Some(at) => (rest.get(..at).unwrap_or_default(), rest.get(at + 4..)),
            None => (rest, None),
        };
        if !part.trim().is_empty() {
            parts.push((line, part.trim_end()));
        }
        let Some(after) = after else { return parts };
        let trimmed = after.trim_start();
        line += memchr_iter(b'\n', part.as_bytes()).count() + 1;
        line += after.split_at(after.len() - trimmed.len()).0.matches('\n').count();
        rest = trimmed;
    }
}

enum Role {
    Resource,
    Hook(Hook),
    /// A hook of an event that Helm does not know: it leaves those out.
    UnknownHook,
}

/// What Helm reads of a manifest.
struct Head {
    kind: String,
    annotations: BTreeMap<String, String>,
}

impl Head {
    fn read(document: &Value) -> Result<Self, ManifestError> {
        fn field<'v>(of: &'v Value, name: &str) -> &'v Value {
            of.get(name).unwrap_or(&Value::Null)
        }
        let mapping = |value: &Value, field: &str| match value {
            Value::Null | Value::Object(_) => Ok(()),
            other => {
                Err(ManifestError::Field { field: field.to_owned(), wanted: "a mapping", found: type_name(other) })
            }
        };
        mapping(document, "(document)")?;
        let metadata = field(document, "metadata");
        mapping(metadata, "metadata")?;
        let annotations = field(metadata, "annotations");
        mapping(annotations, "metadata.annotations")?;
        text(field(document, "apiVersion"), "apiVersion")?;
        text(field(metadata, "name"), "metadata.name")?;
        let annotations = annotations.as_object().into_iter().flatten();
        Ok(Self {
            kind: text(field(document, "kind"), "kind")?,
            annotations: annotations
                .map(|(key, value)| Ok((key.clone(), text(value, &format!("metadata.annotations.{key}"))?)))
                .collect::<Result<_, ManifestError>>()?,
        })
    }

    fn role(&self) -> Role {
        let Some(events) = self.annotations.get("helm.sh/hook") else { return Role::Resource };
        let list = |text: &str| text.split(',').map(|one| one.trim().to_lowercase()).collect::<Vec<_>>();
        let mut names = Vec::new();
        for event in list(events) {
            let event = if event == "test-success" { "test".to_owned() } else { event };
            if !EVENTS.contains(&event.as_str()) {
                return Role::UnknownHook;
            }
            names.push(event);
        }
        Role::Hook(Hook {
            events: names,
            weight: self.annotations.get("helm.sh/hook-weight").and_then(|text| text.parse().ok()).unwrap_or(0),
            delete_policies: self
                .annotations
                .get("helm.sh/hook-delete-policy")
                .map(|text| list(text))
                .unwrap_or_default(),
        })
    }
}

fn text(value: &Value, field: &str) -> Result<String, ManifestError> {
    match value {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(ManifestError::Field { field: field.to_owned(), wanted: "a string", found: type_name(other) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_cut_as_helm_cuts_them() {
        assert_eq!(
            split("\n---\na: 1\n---\n\n---\nb: 2\n---# c\nx: 3\n"),
            [(3, "a: 1"), (6, "---\nb: 2"), (8, "# c\nx: 3")]
        );
        assert_eq!(split("  \n"), []);
        assert_eq!(split("a: 1\n\n--- b: 2"), [(1, "a: 1"), (3, "b: 2")]);
    }

    #[test]
    fn hooks_and_order() {
        let rendered: BTreeMap<String, Str> = [
            ("c/templates/a.yaml", "kind: Zeta\n---\nkind: Service\n---\nkind: Alpha\n"),
            (
                "c/templates/h.yaml",
                "kind: Job\nmetadata:\n  annotations:\n    helm.sh/hook: 'Test-success, pre-install'\n    \
                 helm.sh/hook-weight: \"-5\"\n",
            ),
            ("c/templates/u.yaml", "kind: Job\nmetadata: {annotations: {helm.sh/hook: nope}}\n"),
            ("c/templates/NOTES.txt", "not: [yaml"),
        ]
        .into_iter()
        .map(|(name, text)| (name.to_owned(), Str::from(text)))
        .collect();
        let found = collect(&rendered, &Budget::default()).unwrap();
        let kinds: Vec<&str> = found.iter().map(|m| m.value["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["Service", "Alpha", "Zeta", "Job"]);
        let hook = found[3].hook.as_ref().unwrap();
        assert!(hook.is_test() && hook.weight == -5);
    }
}
