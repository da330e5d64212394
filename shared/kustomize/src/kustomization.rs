//! The kustomization file: every field of v1beta1 Kustomizations and v1alpha1 Components (kustomize `api/types`).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};
use slipway_budget::Budget;

use crate::decode;
use crate::error::Error;
use crate::fieldspec::FieldSpec;
use crate::id::{Gvk, ResId, Selector};
use crate::node::parse;

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attr:meta])* $field:ident: $type:ty),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Default, PartialEq, Deserialize)]
            #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
            pub(crate) struct $name {
                $($(#[$attr])* pub(crate) $field: $type),*
            }
        )*
    };
}

settings! {
    /// The whole file. What is `Option` tells absence from emptiness, which counts for warnings and for "is empty".
    Kustomization {
        api_version: String,
        kind: String,
        metadata: Option<Metadata>,
        openapi: Option<BTreeMap<String, String>>,
        name_prefix: String,
        name_suffix: String,
        namespace: String,
        common_labels: Option<BTreeMap<String, String>>,
        labels: Option<Vec<Label>>,
        common_annotations: Option<BTreeMap<String, String>>,
        patches_strategic_merge: Option<Vec<String>>,
        patches_json6902: Option<Vec<Patch>>,
        patches: Option<Vec<Patch>>,
        images: Option<Vec<Image>>,
        image_tags: Option<Vec<Image>>,
        replacements: Option<Vec<ReplacementField>>,
        replicas: Option<Vec<Replica>>,
        vars: Option<Vec<Var>>,
        sort_options: Option<SortOptions>,
        resources: Option<Vec<String>>,
        components: Option<Vec<String>>,
        crds: Option<Vec<String>>,
        bases: Option<Vec<String>>,
        config_map_generator: Option<Vec<GeneratorArgs>>,
        secret_generator: Option<Vec<GeneratorArgs>>,
        helm_globals: Option<HelmGlobals>,
        helm_charts: Option<Vec<HelmChart>>,
        helm_chart_inflation_generator: Option<Vec<OldHelmChart>>,
        generator_options: Option<GeneratorOptions>,
        configurations: Option<Vec<String>>,
        generators: Option<Vec<String>>,
        transformers: Option<Vec<String>>,
        validators: Option<Vec<String>>,
        build_metadata: Option<Vec<String>>,
    }

    Metadata {
        name: String,
        namespace: String,
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
    }

    Label {
        pairs: BTreeMap<String, String>,
        include_selectors: bool,
        include_templates: bool,
        #[serde(rename = "fields")]
        field_specs: Vec<FieldSpec>,
    }

    Image {
        name: String,
        new_name: String,
        tag_suffix: String,
        new_tag: String,
        digest: String,
    }

    Replica {
        name: String,
        count: i64,
    }

    SortOptions {
        order: String,
        legacy_sort_options: Option<LegacySortOptions>,
    }

    LegacySortOptions {
        order_first: Vec<String>,
        order_last: Vec<String>,
    }

    GeneratorOptions {
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
        disable_name_suffix_hash: bool,
        immutable: bool,
    }

    /// An entry of `configMapGenerator` or `secretGenerator`; `type` is the latter's alone.
    GeneratorArgs {
        namespace: String,
        name: String,
        behavior: String,
        literals: Vec<String>,
        files: Vec<String>,
        envs: Vec<String>,
        env: String,
        options: Option<GeneratorOptions>,
        #[serde(rename = "type")]
        secret_type: String,
    }

    Var {
        name: String,
        objref: VarTarget,
        fieldref: FieldRef,
    }

    VarTarget {
        api_version: String,
        group: String,
        version: String,
        kind: String,
        name: String,
        namespace: String,
    }

    FieldRef {
        field_path: String,
    }

    /// A replacement on the spot, or the path of a file of them.
    ReplacementField {
        path: String,
        source: Option<Source>,
        targets: Option<Vec<Target>>,
        source_value: Option<String>,
    }

    Source {
        group: String,
        version: String,
        kind: String,
        name: String,
        namespace: String,
        field_path: String,
        options: Option<FieldOptions>,
    }

    FieldOptions {
        delimiter: String,
        index: i64,
        encoding: String,
        create: bool,
    }

    HelmGlobals {
        chart_home: String,
        config_home: String,
    }

    HelmChart {
        name: String,
        version: String,
        repo: String,
        release_name: String,
        namespace: String,
        additional_values_files: Vec<String>,
        values_file: String,
        values_inline: Option<Map<String, Value>>,
        values_merge: String,
        #[serde(rename = "includeCRDs")]
        include_crds: bool,
        skip_hooks: bool,
        api_versions: Vec<String>,
        kube_version: String,
        name_template: String,
        skip_tests: bool,
        debug: bool,
        devel: bool,
    }

    OldHelmChart {
        chart_name: String,
        chart_version: String,
        chart_repo_url: String,
        chart_home: String,
        chart_repo_name: String,
        helm_bin: String,
        helm_home: String,
        values: String,
        values_local: Option<Map<String, Value>>,
        values_merge: String,
        release_name: String,
        release_namespace: String,
        extra_args: Vec<String>,
    }
}

/// An entry of `patches` or `patchesJson6902`.
#[expect(clippy::struct_field_names, reason = "the names in the file")]
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Patch {
    pub(crate) path: String,
    pub(crate) patch: String,
    pub(crate) target: Option<Selector>,
    pub(crate) options: BTreeMap<String, bool>,
}

/// Where a replacement writes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Target {
    pub(crate) select: Option<Selector>,
    pub(crate) reject: Vec<Selector>,
    pub(crate) field_paths: Vec<String>,
    pub(crate) options: Option<FieldOptions>,
}

impl PartialEq for Patch {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl PartialEq for Target {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

pub(crate) const COMPONENT: &str = "Component";
const KUSTOMIZATION_VERSION: &str = "kustomize.config.k8s.io/v1beta1";
const COMPONENT_VERSION: &str = "kustomize.config.k8s.io/v1alpha1";

impl Kustomization {
    /// Reads a kustomization file; `path` is for messages. Deprecated fields become the newer ones, and `warnings`
    /// grow.
    pub(crate) fn read(text: &str, path: &str, warnings: &mut Vec<String>, budget: &Budget) -> Result<Self, Error> {
        let value = parse::settings(text, budget).map_err(|source| Error::Yaml { path: path.to_owned(), source })?;
        let invalid = |problem: String| Error::Kustomization { path: path.to_owned(), problem };
        let mut read: Self =
            if value.is_null() { Self::default() } else { decode::from_value(value).map_err(invalid)? };
        read.warn(path, warnings);
        read.fix();
        let nothing = Self { api_version: read.api_version.clone(), kind: read.kind.clone(), ..Self::default() };
        if read == nothing {
            return Err(invalid("the file is empty: it names nothing to build".to_owned()));
        }
        if !matches!(read.kind.as_str(), "Kustomization" | COMPONENT) {
            return Err(invalid(format!("kind should be Kustomization or Component, not `{}`", read.kind)));
        }
        let version = if read.kind == COMPONENT { COMPONENT_VERSION } else { KUSTOMIZATION_VERSION };
        if read.api_version != version {
            return Err(invalid(format!(
                "apiVersion for {} should be {version}, not `{}`",
                read.kind, read.api_version
            )));
        }
        Ok(read)
    }

    fn warn(&self, path: &str, warnings: &mut Vec<String>) {
        let deprecated = [
            (self.bases.is_some(), "bases", "resources"),
            (self.common_labels.is_some(), "commonLabels", "labels"),
            (self.image_tags.is_some(), "imageTags", "images"),
            (self.patches_json6902.is_some(), "patchesJson6902", "patches"),
            (self.patches_strategic_merge.is_some(), "patchesStrategicMerge", "patches"),
            (self.vars.is_some(), "vars", "replacements"),
        ];
        for (_, old, new) in deprecated.into_iter().filter(|(used, ..)| *used) {
            warnings.push(format!("{path}: `{old}` is deprecated: use `{new}` instead"));
        }
    }

    fn fix(&mut self) {
        if self.kind.is_empty() {
            "Kustomization".clone_into(&mut self.kind);
        }
        if self.api_version.is_empty() {
            let version = if self.kind == COMPONENT { COMPONENT_VERSION } else { KUSTOMIZATION_VERSION };
            version.clone_into(&mut self.api_version);
        }
        append(&mut self.resources, self.bases.take());
        append(&mut self.images, self.image_tags.take());
        let generators = self.config_map_generator.iter_mut().chain(self.secret_generator.iter_mut()).flatten();
        for args in generators.filter(|args| !args.env.is_empty()) {
            args.envs.push(std::mem::take(&mut args.env));
        }
        let old = self.helm_chart_inflation_generator.take().unwrap_or_default();
        let mut globals = HelmGlobals::default();
        for chart in &old {
            for (from, to) in
                [(&chart.chart_home, &mut globals.chart_home), (&chart.helm_home, &mut globals.config_home)]
            {
                if !from.is_empty() {
                    to.clone_from(from);
                }
            }
        }
        if self.helm_globals.is_none() && globals != HelmGlobals::default() {
            self.helm_globals = Some(globals);
        }
        if !old.is_empty() {
            append(&mut self.helm_charts, Some(old.into_iter().map(HelmChart::from).collect()));
        }
    }

    /// Whether `buildMetadata` asks for `option`.
    pub(crate) fn wants(&self, option: &str) -> bool {
        self.build_metadata.iter().flatten().any(|one| one == option)
    }
}

fn append<T>(list: &mut Option<Vec<T>>, more: Option<Vec<T>>) {
    if let Some(more) = more.filter(|more| !more.is_empty()) {
        list.get_or_insert_default().extend(more);
    }
}

impl From<OldHelmChart> for HelmChart {
    fn from(old: OldHelmChart) -> Self {
        Self {
            name: old.chart_name,
            version: old.chart_version,
            repo: old.chart_repo_url,
            values_file: old.values,
            values_inline: old.values_local,
            values_merge: old.values_merge,
            release_name: old.release_name,
            ..Self::default()
        }
    }
}

impl Var {
    /// The object that the variable reads.
    pub(crate) fn target(&self) -> ResId {
        let VarTarget { api_version, group, version, kind, name, namespace } = &self.objref;
        let (group, version) = match (api_version.as_str(), api_version.split_once('/')) {
            ("", _) => (group.clone(), version.clone()),
            (_, Some((group, version))) => (group.to_owned(), version.to_owned()),
            (version, None) => (group.clone(), version.to_owned()),
        };
        ResId { gvk: Gvk { group, version, kind: kind.clone() }, name: name.clone(), namespace: namespace.clone() }
    }

    /// The field that the variable reads.
    pub(crate) fn field_path(&self) -> &str {
        if self.fieldref.field_path.is_empty() { "metadata.name" } else { &self.fieldref.field_path }
    }
}

impl Source {
    pub(crate) fn id(&self) -> ResId {
        let Self { group, version, kind, name, namespace, .. } = self;
        let gvk = Gvk { group: group.clone(), version: version.clone(), kind: kind.clone() };
        ResId { gvk, name: name.clone(), namespace: namespace.clone() }
    }
}

impl GeneratorOptions {
    /// The options of one generator with those of all (`MergeGlobalOptionsIntoLocal`): its own labels and annotations
    /// win.
    pub(crate) fn merged(local: Option<&Self>, global: Option<&Self>) -> Option<Self> {
        let Some(global) = global else { return local.cloned() };
        let mut merged = local.cloned().unwrap_or_default();
        for (from, to) in [(&global.labels, &mut merged.labels), (&global.annotations, &mut merged.annotations)] {
            for (key, value) in from {
                to.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        merged.disable_name_suffix_hash |= global.disable_name_suffix_hash;
        merged.immutable |= global.immutable;
        Some(merged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Kustomization, Error> {
        Kustomization::read(text, "kustomization.yaml", &mut Vec::new(), &Budget::default())
    }

    #[test]
    fn deprecated_fields_become_the_newer_ones() {
        let mut warnings = Vec::new();
        let text = "bases: [../a]\nresources: [b.yaml]\nimageTags: [{name: x, newTag: '1'}]\n\
            configMapGenerator:\n- {name: c, env: e}\n";
        let read = Kustomization::read(text, "k", &mut warnings, &Budget::default()).unwrap();
        assert_eq!(read.resources.unwrap(), ["b.yaml", "../a"]);
        assert_eq!(read.images.unwrap()[0].new_tag, "1");
        assert_eq!(read.config_map_generator.unwrap()[0].envs, ["e"]);
        assert_eq!(
            warnings,
            ["k: `bases` is deprecated: use `resources` instead", "k: `imageTags` is deprecated: use `images` instead"]
        );
    }

    #[test]
    fn what_is_not_a_kustomization_is_refused_by_field() {
        let error = |text| read(text).unwrap_err().to_string();
        assert_eq!(
            error("patches: [a.yaml]"),
            "invalid kustomization `kustomization.yaml`: patches.[0]: cannot read a string as Patch"
        );
        assert_eq!(error("spec: {}"), "invalid kustomization `kustomization.yaml`: unknown field \"spec\"");
        assert!(error("kind: Kustomization").contains("names nothing to build"));
        assert!(error("kind: Deployment\nresources: [a]").contains("kind should be Kustomization or Component"));
        assert!(error("apiVersion: v1\nresources: [a]").contains("apiVersion for Kustomization should be"));
    }
}
