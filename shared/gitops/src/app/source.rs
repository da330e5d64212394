//! Reads `spec.source`: the location of the manifests and how to render them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use slipway_manifest::TreeError;
use slipway_manifest::tree;

use super::AppError;
use super::fields::Fields;
use crate::location::RepoUrl;

/// `spec.source` of an Application.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Source {
    /// `repoURL`, as written.
    pub repo_url: String,
    /// `path`, the folder in the repository, as written: see [`Source::folder`].
    pub path: String,
    /// `targetRevision`: branch, tag or commit, `HEAD` where it is missing; of a chart its version, or a range of them,
    /// `*` where it is missing.
    pub target_revision: String,
    /// `chart`, of a Helm repository.
    pub chart: Option<String>,
    /// `directory`.
    pub directory: Option<Directory>,
    /// `kustomize`.
    pub kustomize: Option<Kustomize>,
    /// `helm`, as written.
    pub helm: Option<Map<String, Value>>,
    /// `plugin`, as written.
    pub plugin: Option<Map<String, Value>>,
    /// `ref`, by which value files of other sources name this one: `$REF/PATH`.
    pub reference: Option<String>,
    /// The commit that is read instead of that of `targetRevision`; no manifest says it.
    pub commit: Option<String>,
}

/// `source.directory`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Directory {
    /// Whether subfolders are read, too.
    pub recurse: bool,
    /// Glob of the files to read.
    pub include: String,
    /// Glob of files to leave out; takes precedence over `include`.
    pub exclude: String,
    /// `jsonnet`.
    pub jsonnet: Jsonnet,
}

/// `source.directory.jsonnet`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Jsonnet {
    /// `extVars`: what `std.extVar` knows.
    pub ext_vars: Vec<JsonnetVariable>,
    /// `tlas`: the arguments of a file that is a function.
    pub arguments: Vec<JsonnetVariable>,
    /// `libs`: folders of the repository in which imports are looked for.
    pub libs: Vec<String>,
}

/// An external variable or a top-level argument of Jsonnet.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonnetVariable {
    /// `name`.
    pub name: String,
    /// `value`.
    pub value: String,
    /// `code`: the value is Jsonnet, no string.
    pub is_code: bool,
}

/// `source.kustomize`: changes to the kustomization before it is rendered.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the fields of the manifest")]
pub struct Kustomize {
    /// `namePrefix`.
    pub name_prefix: Option<String>,
    /// `nameSuffix`.
    pub name_suffix: Option<String>,
    /// `namespace`.
    pub namespace: Option<String>,
    /// `images`, each as `kustomize edit set image` takes it: `NAME[=NEWNAME][:TAG][@DIGEST]`.
    pub images: Vec<String>,
    /// `replicas`.
    pub replicas: Vec<Replica>,
    /// `commonLabels`.
    pub common_labels: BTreeMap<String, String>,
    /// `commonAnnotations`.
    pub common_annotations: BTreeMap<String, String>,
    /// `forceCommonLabels`: labels may replace those of the kustomization.
    pub force_common_labels: bool,
    /// `forceCommonAnnotations`.
    pub force_common_annotations: bool,
    /// `commonAnnotationsEnvsubst`.
    pub common_annotations_envsubst: bool,
    /// `labelWithoutSelector`.
    pub label_without_selector: bool,
    /// `labelIncludeTemplates`.
    pub label_include_templates: bool,
    /// `patches`, appended to the kustomization's own.
    pub patches: Vec<Value>,
    /// `components`, appended likewise.
    pub components: Vec<String>,
    /// `ignoreMissingComponents`.
    pub ignore_missing_components: bool,
}

/// `kustomize.replicas[]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// Name of the workload.
    pub name: String,
    /// The number of replicas.
    pub count: i64,
}

impl Source {
    /// The repository; an error where `repoURL` is invalid.
    pub fn repository(&self) -> Result<RepoUrl, crate::location::LocationError> {
        self.repo_url.parse()
    }

    /// The folder in the repository's tree; empty for its root, which `path` writes as `.`, `./` or not at all.
    pub fn folder(&self) -> Result<String, TreeError> {
        tree::join("", &self.path)
    }

    /// Whether the source only lends its files to others, and has no manifests (argoproj/argo-cd
    /// `pkg/apis/application/v1alpha1/types.go`, IsRef).
    pub fn is_only_reference(&self) -> bool {
        self.reference.is_some() && self.chart.is_none() && self.path.is_empty()
    }

    pub(super) fn read(mut fields: Fields<'_>, warnings: &mut Vec<String>) -> Result<Self, AppError> {
        let revision = fields.text("targetRevision")?.filter(|revision| !revision.is_empty());
        let map = |value: Option<&Value>| value.and_then(Value::as_object).cloned();
        let chart = fields.text("chart")?.filter(|chart| !chart.is_empty());
        let any = if chart.is_some() { "*" } else { "HEAD" };
        let source = Self {
            repo_url: fields.text("repoURL")?.unwrap_or_default(),
            path: fields.text("path")?.unwrap_or_default(),
            target_revision: revision.unwrap_or_else(|| any.to_owned()),
            chart,
            directory: fields.object("directory")?.map(|inner| Directory::read(inner, warnings)).transpose()?,
            kustomize: fields.object("kustomize")?.map(|inner| Kustomize::read(inner, warnings)).transpose()?,
            helm: fields.object("helm")?.and_then(|_| map(fields.remove("helm"))),
            plugin: fields.object("plugin")?.and_then(|_| map(fields.remove("plugin"))),
            reference: fields.text("ref")?.filter(|name| !name.is_empty()),
            commit: None,
        };
        if source.repo_url.is_empty() {
            return Err(fields.missing("repoURL"));
        }
        let kinds =
            [source.directory.is_some(), source.kustomize.is_some(), source.helm.is_some(), source.plugin.is_some()];
        if kinds.into_iter().filter(|set| *set).count() > 1 {
            return Err(
                fields.invalid("`spec.source` may have only one of `directory`, `kustomize`, `helm` and `plugin`")
            );
        }
        if source.reference.is_some() && source.chart.is_some() {
            return Err(fields.invalid("a source with `ref` can't have `chart`: `ref` names files of a git repository"));
        }
        fields.ignore(&["name"]);
        fields.finish(warnings);
        Ok(source)
    }

    /// The source, merged with `.argocd-source.yaml` and `.argocd-source-APP.yaml`: each is a JSON merge patch that
    /// can't change the location (argoproj/argo-cd `reposerver/repository/repository.go`, mergeSourceParameters).
    /// `object` names the Application in errors.
    pub fn patched(
        &self,
        object: &slipway_manifest::Object,
        patches: &[Value],
    ) -> Result<(Self, Vec<String>), AppError> {
        let id = object.id().to_string();
        let mut value = object.pointer("/spec/source").cloned().unwrap_or_default();
        for patch in patches {
            json_patch::merge(&mut value, patch);
        }
        let mut warnings = Vec::new();
        let Value::Object(map) = &value else {
            return Err(AppError::Missing { object: id, field: "spec.source".to_owned() });
        };
        let read = Self::read(Fields::new(map, &id, "spec.source"), &mut warnings)?;
        let place = Self {
            repo_url: self.repo_url.clone(),
            path: self.path.clone(),
            target_revision: self.target_revision.clone(),
            chart: self.chart.clone(),
            ..read
        };
        Ok((place, warnings))
    }
}

impl Directory {
    fn read(mut fields: Fields<'_>, warnings: &mut Vec<String>) -> Result<Self, AppError> {
        let directory = Self {
            recurse: fields.flag("recurse")?.unwrap_or(false),
            include: fields.text("include")?.unwrap_or_default(),
            exclude: fields.text("exclude")?.unwrap_or_default(),
            jsonnet: fields
                .object("jsonnet")?
                .map(|read| Jsonnet::read(read, warnings))
                .transpose()?
                .unwrap_or_default(),
        };
        fields.finish(warnings);
        Ok(directory)
    }
}

impl Jsonnet {
    fn read(mut fields: Fields<'_>, warnings: &mut Vec<String>) -> Result<Self, AppError> {
        let mut variables = |field| -> Result<Vec<JsonnetVariable>, AppError> {
            let read = |mut one: Fields<'_>| {
                let variable = JsonnetVariable {
                    name: one.text("name")?.unwrap_or_default(),
                    value: one.text("value")?.unwrap_or_default(),
                    is_code: one.flag("code")?.unwrap_or(false),
                };
                one.finish(warnings);
                Ok(variable)
            };
            fields.objects(field)?.into_iter().map(read).collect()
        };
        let (ext_vars, arguments) = (variables("extVars")?, variables("tlas")?);
        let jsonnet = Self { ext_vars, arguments, libs: fields.texts("libs")? };
        fields.finish(warnings);
        Ok(jsonnet)
    }
}

impl Kustomize {
    fn read(mut fields: Fields<'_>, warnings: &mut Vec<String>) -> Result<Self, AppError> {
        let kustomize = Self {
            name_prefix: fields.text("namePrefix")?.filter(|text| !text.is_empty()),
            name_suffix: fields.text("nameSuffix")?.filter(|text| !text.is_empty()),
            namespace: fields.text("namespace")?.filter(|text| !text.is_empty()),
            images: fields.texts("images")?,
            replicas: replicas(&mut fields)?,
            common_labels: fields.pairs("commonLabels")?,
            common_annotations: fields.pairs("commonAnnotations")?,
            force_common_labels: fields.flag("forceCommonLabels")?.unwrap_or(false),
            force_common_annotations: fields.flag("forceCommonAnnotations")?.unwrap_or(false),
            common_annotations_envsubst: fields.flag("commonAnnotationsEnvsubst")?.unwrap_or(false),
            label_without_selector: fields.flag("labelWithoutSelector")?.unwrap_or(false),
            label_include_templates: fields.flag("labelIncludeTemplates")?.unwrap_or(false),
            patches: fields.list("patches")?,
            components: fields.texts("components")?,
            ignore_missing_components: fields.flag("ignoreMissingComponents")?.unwrap_or(false),
        };
        // The tool's version, and settings of Helm inside Kustomize only.
        fields.ignore(&["version", "kubeVersion", "apiVersions"]);
        fields.finish(warnings);
        Ok(kustomize)
    }
}

/// A count may be written as a number or as text.
fn replicas(fields: &mut Fields<'_>) -> Result<Vec<Replica>, AppError> {
    let read = |value: &Value| {
        let count = &value["count"];
        let count = count.as_i64().or_else(|| count.as_str()?.parse().ok())?;
        Some(Replica { name: value["name"].as_str()?.to_owned(), count })
    };
    let replicas: Option<Vec<Replica>> = fields.list("replicas")?.iter().map(read).collect();
    replicas.ok_or_else(|| fields.invalid("each of `spec.source.kustomize.replicas` needs `name` and a whole `count`"))
}

/// Sources of one Application: each is fetched and rendered within bounds that count for it alone.
const MAX_SOURCES: usize = 100;

/// Checks `spec.sources` as a list: their number, and the `ref`s by which value files name them (argoproj/argo-cd
/// `util/argo/argo.go`, GetRefSources).
pub(super) fn check_list(sources: &[Source]) -> Result<(), String> {
    if sources.len() > MAX_SOURCES {
        return Err(format!("`spec.sources` has more than {MAX_SOURCES}"));
    }
    let mut seen = BTreeSet::new();
    for name in sources.iter().filter_map(|source| source.reference.as_deref()) {
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)) {
            return Err(format!("`spec.sources`: `ref: {name}` may have letters, digits, `_` and `-` only"));
        }
        if !seen.insert(name) {
            return Err(format!("`spec.sources`: more than one has `ref: {name}`"));
        }
    }
    Ok(())
}

/// Whether two `repoURL`s name the same repository: ignoring protocol, `.git` and case, as far as both name one on a
/// host; other addresses by Argo CD's own rule (argoproj/argo-cd `util/git/git.go`, NormalizeGitURL).
pub fn same_repository(a: &str, b: &str) -> bool {
    match (a.parse::<RepoUrl>(), b.parse::<RepoUrl>()) {
        (Ok(a), Ok(b)) => a == b,
        (Err(_), Err(_)) => {
            let normal =
                |url: &str| url.trim().to_lowercase().trim_end_matches(".git").trim_start_matches("ssh://").to_owned();
            !a.trim().is_empty() && normal(a) == normal(b)
        }
        _ => false,
    }
}
