//! From the fields of a kustomization to transformers, in the order in which Kustomize runs them.

use std::borrow::Cow;

use slipway_budget::Budget;

use crate::build::settings;
use crate::config::Config;
use crate::decode;
use crate::error::Error;
use crate::fieldspec::{FieldSpec, merge_all};
use crate::kustomization::{self, Kustomization, Label, ReplacementField};
use crate::load::Root;
use crate::patch::{self, Patch};
use crate::resmap;
use crate::resource::Resource;
use crate::transform::{Replacement, Side, Subjects, Transformer};

type Named<'c> = (&'static str, Transformer<'c>);

/// The transformers of a kustomization with the names of their plugins.
pub(crate) fn transformers<'c>(
    root: &Root<'_>,
    kustomization: &Kustomization,
    config: &'c Config,
) -> Result<Vec<Named<'c>>, Error> {
    let mut all: Vec<Named<'c>> = Vec::new();
    let merges = kustomization.patches_strategic_merge.as_deref().unwrap_or_default();
    if !merges.is_empty() {
        let patches = strategic_merges(root, merges, "")?;
        all.push(("PatchStrategicMergeTransformer", Transformer::StrategicMerge { patches }));
    }
    for entry in kustomization.patches.iter().flatten() {
        all.push(("PatchTransformer", patch(root, entry)?));
    }
    if !kustomization.namespace.is_empty() {
        let namespace = kustomization.namespace.clone();
        let specs = Cow::Borrowed(config.namespace.as_slice());
        let subjects = Subjects::DefaultOnly;
        all.push(("NamespaceTransformer", Transformer::Namespace { namespace, specs, unset_only: false, subjects }));
    }
    let affixes = [
        (Side::Prefix, "PrefixTransformer", &kustomization.name_prefix, &config.name_prefix),
        (Side::Suffix, "SuffixTransformer", &kustomization.name_suffix, &config.name_suffix),
    ];
    for (side, kind, text, specs) in affixes.into_iter().filter(|(_, _, text, _)| !text.is_empty()) {
        all.push((kind, Transformer::Affix { side, text: text.clone(), specs: Cow::Borrowed(specs) }));
    }
    labels(kustomization, config, root.budget(), &mut all)?;
    if let Some(entries) = kustomization.common_annotations.as_ref().filter(|entries| !entries.is_empty()) {
        let specs = Cow::Borrowed(config.common_annotations.as_slice());
        all.push(("AnnotationsTransformer", Transformer::Entries { entries: entries.clone(), specs }));
    }
    for entry in kustomization.patches_json6902.iter().flatten() {
        all.push(("PatchJson6902Transformer", json6902(root, entry)?));
    }
    for replica in kustomization.replicas.iter().flatten() {
        let specs = Cow::Borrowed(config.replicas.as_slice());
        all.push(("ReplicaCountTransformer", Transformer::Replicas { replica: replica.clone(), specs }));
    }
    for image in kustomization.images.iter().flatten() {
        let specs = Cow::Borrowed(config.images.as_slice());
        all.push(("ImageTagTransformer", Transformer::Image { image: image.clone(), specs }));
    }
    let fields = kustomization.replacements.as_deref().unwrap_or_default();
    if !fields.is_empty() {
        let replacements = replacements(root, fields)?;
        all.push(("ReplacementTransformer", Transformer::Replacements { replacements }));
    }
    Ok(all)
}

/// The field that makes the transformer `kind`, and which of its entries.
pub(crate) fn field_of(kind: &str, index: usize) -> String {
    match kind {
        "PatchTransformer" => format!("patches[{index}]"),
        "PatchJson6902Transformer" => format!("patchesJson6902[{index}]"),
        "ReplicaCountTransformer" => format!("replicas[{index}]"),
        "ImageTagTransformer" => format!("images[{index}]"),
        "PatchStrategicMergeTransformer" => "patchesStrategicMerge".to_owned(),
        "NamespaceTransformer" => "namespace".to_owned(),
        "PrefixTransformer" => "namePrefix".to_owned(),
        "SuffixTransformer" => "nameSuffix".to_owned(),
        "LabelTransformer" => "labels".to_owned(),
        "AnnotationsTransformer" => "commonAnnotations".to_owned(),
        _ => "replacements".to_owned(),
    }
}

fn labels<'c>(
    kustomization: &Kustomization,
    config: &'c Config,
    budget: &Budget,
    all: &mut Vec<Named<'c>>,
) -> Result<(), Error> {
    let entries = kustomization.labels.as_deref().unwrap_or_default();
    for label in entries {
        let specs = label_specs(label, config, budget).map_err(|e| e.within("failed to merge labels"))?;
        let entries = label.pairs.clone();
        all.push(("LabelTransformer", Transformer::Entries { entries, specs: Cow::Owned(specs) }));
    }
    let common = kustomization.common_labels.clone().unwrap_or_default();
    if !entries.is_empty() || !common.is_empty() {
        let specs = Cow::Borrowed(config.common_labels.as_slice());
        all.push(("LabelTransformer", Transformer::Entries { entries: common, specs }));
    }
    Ok(())
}

fn label_specs(label: &Label, config: &Config, budget: &Budget) -> Result<Vec<FieldSpec>, Error> {
    let mut specs = label.field_specs.clone();
    merge_all(&mut specs, &config.labels, budget)?;
    if label.include_selectors {
        merge_all(&mut specs, &config.common_labels, budget)?;
        return Ok(specs);
    }
    if label.include_templates {
        merge_all(&mut specs, &config.template_labels, budget)?;
    }
    merge_all(&mut specs, &[FieldSpec::everywhere("metadata/labels")], budget)?;
    Ok(specs)
}

/// The patches of `patchesStrategicMerge`: each entry is YAML or else a path. `more` is YAML as well.
pub(crate) fn strategic_merges(root: &Root<'_>, entries: &[String], more: &str) -> Result<Vec<Resource>, Error> {
    let mut patches = Vec::new();
    for entry in entries {
        match resmap::read(entry, "patchesStrategicMerge", root.budget()) {
            Ok(inline) => {
                patches.extend(inline);
                continue;
            }
            // No path has two lines, and what is inline may hold values.
            Err(error) if error.is_exceeded() => return Err(error),
            Err(error) if entry.contains('\n') => return Err(error.within("failed to load an inline patch")),
            Err(_) => {}
        }
        let read = root.text(entry).and_then(|text| resmap::read(&text, entry, root.budget()));
        patches.extend(read.map_err(|e| e.within(format!("failed to load the patch `{entry}`")))?);
    }
    patches.extend(resmap::read(more, "patches", root.budget())?);
    if patches.is_empty() {
        return Err(Error::refused("the patches of `patchesStrategicMerge` appear to be empty"));
    }
    Ok(patches)
}

/// One entry of `patches`.
pub(crate) fn patch(root: &Root<'_>, entry: &kustomization::Patch) -> Result<Transformer<'static>, Error> {
    let inline = entry.patch.trim();
    let (text, source) = match (inline, entry.path.as_str()) {
        ("", "") => return Err(Error::refused("must specify one of `patch` and `path` in an entry of `patches`")),
        ("", path) => {
            let text =
                root.text(path).map_err(|e| e.within(format!("failed to get the patch file from path `{path}`")))?;
            (text, format!("[path: {path:?}]"))
        }
        // Not quoted: it may set a password.
        (text, "") => (text.into(), "[an inline patch]".to_owned()),
        (_, path) => {
            return Err(Error::refused(format!("`patch` and `path` can't be set at the same time, as with `{path}`")));
        }
    };
    let mut patch = Patch::read(&text, &source, root.budget())?;
    if let Patch::Merge(patches) = &mut patch {
        let is_on = |option| entry.options.get(option).copied().unwrap_or(false);
        for patch in patches {
            patch.allow_name_change = is_on("allowNameChange");
            patch.allow_kind_change = is_on("allowKindChange");
        }
    }
    Ok(Transformer::Patch { patch, target: entry.target.clone(), source })
}

/// One entry of `patchesJson6902`.
pub(crate) fn json6902(root: &Root<'_>, entry: &kustomization::Patch) -> Result<Transformer<'static>, Error> {
    let target = entry.target.clone().filter(|target| !target.name.is_empty());
    let target =
        target.ok_or_else(|| Error::refused("an entry of `patchesJson6902` must specify the target's name"))?;
    let (text, source) = match (entry.patch.as_str(), entry.path.as_str()) {
        ("", "") => return Err(Error::refused("an entry of `patchesJson6902` has neither `path` nor `patch`")),
        ("", path) => (root.text(path)?, format!("`{path}`")),
        (text, "") => (text.into(), "`patchesJson6902`".to_owned()),
        (_, path) => {
            return Err(Error::refused(format!("must specify a file path or a patch, not both, as with `{path}`")));
        }
    };
    let operations = patch::parse_patch(&text, &source, root.budget())?;
    if operations.is_empty() {
        return Err(Error::refused(format!("patch appears to be empty: {source}")));
    }
    Ok(Transformer::Json6902 { operations, target })
}

/// Replacements on the spot and in files.
pub(crate) fn replacements(root: &Root<'_>, fields: &[ReplacementField]) -> Result<Vec<Replacement>, Error> {
    let mut all = Vec::new();
    for field in fields {
        let inline = Replacement {
            source: field.source.clone(),
            targets: field.targets.clone(),
            source_value: field.source_value.clone(),
        };
        if field.path.is_empty() {
            all.push(inline);
            continue;
        }
        if field.source.is_some() || field.targets.as_ref().is_some_and(|targets| !targets.is_empty()) {
            return Err(Error::refused(format!(
                "cannot specify both path and inline replacement, as with `{}`",
                field.path
            )));
        }
        let value = settings(root, &field.path)?;
        let invalid = |problem| Error::Kustomization { path: field.path.clone(), problem };
        if value.is_array() {
            all.extend(decode::leniently::<Vec<Replacement>>(value).map_err(invalid)?);
        } else if value.is_object() {
            all.push(decode::leniently(value).map_err(invalid)?);
        } else {
            return Err(invalid("a replacement or a list of them is wanted".to_owned()));
        }
    }
    Ok(all)
}
