//! `buildMetadata`: where a resource came from and what changed it (kustomize `api/resource/origin.go`).

use slipway_budget::Budget;
use slipway_gocompat::path;

use crate::cost;
use crate::error::Error;
use crate::remote::{self, RemoteKind};
use crate::resource::Resource;

pub(crate) const ANNOTATION: &str = "config.kubernetes.io/origin";
pub(crate) const TRANSFORMATIONS: &str = "alpha.config.kubernetes.io/transformations";

/// Where something came from; the parts that are empty are not written.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Origin {
    pub(crate) path: String,
    pub(crate) repo: String,
    pub(crate) reference: String,
    pub(crate) configured_in: String,
    /// apiVersion, kind, name and namespace of the generator or transformer.
    pub(crate) configured_by: [String; 4],
}

impl Origin {
    /// The origin of what lies at `path` below this one.
    pub(crate) fn append(&self, path: &str) -> Self {
        let mut origin = self.clone();
        if let Some(remote::Remote { kind: RemoteKind::Git { repository, path, reference, .. }, .. }) =
            remote::git(path)
        {
            origin.repo = repository;
            origin.reference = reference;
            origin.path = path;
            return origin;
        }
        origin.path = path::join(&[&self.path, path]);
        origin
    }

    /// The origin of what a built-in generator or transformer of the kustomization `file` made.
    pub(crate) fn built_in(&self, file: &str, kind: &str) -> Self {
        Self {
            path: String::new(),
            configured_in: path::join(&[&self.path, file]),
            configured_by: ["builtin".to_owned(), kind.to_owned(), String::new(), String::new()],
            ..self.clone()
        }
    }

    /// The origin of what the plugin configured by `resource` made, where it says where it is from itself.
    pub(crate) fn of_plugin(resource: &Resource) -> Option<Self> {
        let text = resource.annotation(ANNOTATION)?;
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim().to_owned()).unwrap_or_default()
        };
        Some(Self {
            path: String::new(),
            repo: field("repo:"),
            reference: field("ref:"),
            configured_in: field("path:"),
            configured_by: [resource.api_version(), resource.kind(), resource.name(), resource.namespace()]
                .map(str::to_owned),
        })
    }

    fn lines(&self) -> Vec<String> {
        let fields = [
            ("path", &self.path),
            ("repo", &self.repo),
            ("ref", &self.reference),
            ("configuredIn", &self.configured_in),
        ];
        let line = |(key, value): (&str, &String)| format!("{key}: {value}");
        let mut lines: Vec<String> = fields.into_iter().filter(|(_, value)| !value.is_empty()).map(line).collect();
        let by = ["apiVersion", "kind", "name", "namespace"].into_iter().zip(&self.configured_by);
        let by: Vec<String> =
            by.filter(|(_, value)| !value.is_empty()).map(|pair| format!("  {}", line(pair))).collect();
        if !by.is_empty() {
            lines.push("configuredBy:".to_owned());
            lines.extend(by);
        }
        lines
    }

    /// As YAML, as it stands in the annotation.
    pub(crate) fn to_yaml(&self) -> String {
        self.lines().join("\n") + "\n"
    }

    /// Notes on each resource that this made it, or changed it, where it has an origin already.
    pub(crate) fn annotate(&self, resources: &mut [Resource], budget: &Budget) -> Result<(), Error> {
        let own = self.to_yaml().len();
        for resource in resources {
            let before = resource.annotation(TRANSFORMATIONS).map_or(0, str::len);
            cost::of_text(budget, 2 * (before + own))?;
            if resource.annotation(ANNOTATION).is_none() {
                resource.set_annotation(ANNOTATION, self.to_yaml());
                continue;
            }
            let mut list = resource.annotation(TRANSFORMATIONS).unwrap_or_default().to_owned();
            for (i, line) in self.lines().iter().enumerate() {
                list.push_str(if i == 0 { "- " } else { "  " });
                list.push_str(line);
                list.push('\n');
            }
            resource.set_annotation(TRANSFORMATIONS, list);
        }
        Ok(())
    }
}
