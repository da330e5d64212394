//! Built-in generators and transformers as configurations in files (`generators`, `transformers`, `validators`). Others
//! would run a program or a container, and are refused.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::build::settings;
use crate::configure;
use crate::context::Context;
use crate::decode;
use crate::error::Error;
use crate::fieldspec::FieldSpec;
use crate::generate::{self, IamPolicy};
use crate::id::Selector;
use crate::ksops::{self, Ksops};
use crate::kustomization::{self, GeneratorArgs, HelmChart, HelmGlobals, Image, Metadata, ReplacementField, Replica};
use crate::load::Root;
use crate::resource::Resource;
use crate::transform::{Side, Subjects, Transformer, ValueTarget};

/// Fields of all transformers' configurations.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Settings {
    metadata: Metadata,
    annotations: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    field_specs: Option<Vec<FieldSpec>>,
    image_tag: Image,
    unset_only: bool,
    set_role_binding_subjects: Subjects,
    target: Option<Selector>,
    path: String,
    json_op: String,
    paths: Vec<String>,
    patches: String,
    patch: String,
    options: BTreeMap<String, bool>,
    prefix: String,
    suffix: String,
    replacements: Vec<ReplacementField>,
    replica: Replica,
    value: String,
    targets: Vec<ValueTarget>,
    target_file_path: String,
}

fn check_built_in(config: &Resource) -> Result<(), Error> {
    if config.api_version() == "builtin" {
        return Ok(());
    }
    let how =
        ["config.kubernetes.io/function", "config.k8s.io/function"].iter().any(|key| config.annotation(key).is_some());
    let what = if how { "exec and container functions are not run" } else { "external plugins are disabled" };
    Err(Error::refused(format!("{what}: unable to load `{}/{}`", config.kind(), config.name())))
}

fn read<T: serde::de::DeserializeOwned>(config: &Resource) -> Result<T, Error> {
    let failed =
        |problem| Error::refused(format!("plugin {}/{} fails configuration: {problem}", config.kind(), config.name()));
    let value: Value = config.node.to_value().map_err(failed)?;
    decode::leniently(value).map_err(failed)
}

/// What the generator that `config` configures makes.
pub(crate) fn generate(config: &Resource, root: &Root<'_>, cx: &Context) -> Result<Vec<Resource>, Error> {
    if ksops::is_ksops(config) {
        return read::<Ksops>(config)?.generate(config.name(), root);
    }
    check_built_in(config)?;
    match config.kind() {
        "ConfigMapGenerator" | "SecretGenerator" => {
            let mut args: GeneratorArgs = read(config)?;
            let Settings { metadata, .. } = read(config)?;
            for (field, default) in [(&mut args.name, metadata.name), (&mut args.namespace, metadata.namespace)] {
                if field.is_empty() {
                    *field = default;
                }
            }
            let make = if config.kind() == "SecretGenerator" { generate::secret } else { generate::config_map };
            Ok(vec![make(root, &args)?])
        }
        "IAMPolicyGenerator" => Ok(vec![read::<IamPolicy>(config)?.generate()?]),
        "HelmChartInflationGenerator" => {
            let (globals, chart): (HelmGlobals, HelmChart) = (read(config)?, read(config)?);
            crate::helm::inflate(root, Some(&globals), &chart, cx)
        }
        other => Err(Error::refused(format!("unable to load built-in generator `{other}`"))),
    }
}

/// The transformers that `config` configures: one, or two for `PrefixSuffixTransformer`.
pub(crate) fn transformers(config: &Resource, root: &Root<'_>) -> Result<Vec<Transformer<'static>>, Error> {
    check_built_in(config)?;
    let given: Settings = read(config)?;
    let has_specs = given.field_specs.is_some();
    let specs: Cow<'static, [FieldSpec]> = Cow::Owned(given.field_specs.unwrap_or_default());
    let affix = |side, text: &str| {
        if has_specs {
            return Ok(Transformer::Affix { side, text: text.to_owned(), specs: specs.clone() });
        }
        Err(Error::refused(format!("plugin {}/{} must have fieldSpecs", config.kind(), config.name())))
    };
    let patch = |text: String| kustomization::Patch {
        path: given.path.clone(),
        patch: text,
        target: given.target.clone(),
        options: given.options.clone(),
    };
    Ok(vec![match config.kind() {
        "AnnotationsTransformer" => Transformer::Entries { entries: given.annotations, specs },
        "LabelTransformer" => Transformer::Entries { entries: given.labels, specs },
        "ImageTagTransformer" => Transformer::Image { image: given.image_tag, specs },
        "NamespaceTransformer" if given.metadata.namespace.is_empty() => return Ok(Vec::new()),
        "NamespaceTransformer" => Transformer::Namespace {
            namespace: given.metadata.namespace,
            specs,
            unset_only: given.unset_only,
            subjects: given.set_role_binding_subjects,
        },
        "PatchTransformer" => configure::patch(root, &patch(given.patch.clone()))?,
        "PatchJson6902Transformer" => configure::json6902(root, &patch(given.json_op.clone()))?,
        "PatchStrategicMergeTransformer" => {
            Transformer::StrategicMerge { patches: configure::strategic_merges(root, &given.paths, &given.patches)? }
        }
        "PrefixTransformer" => affix(Side::Prefix, &given.prefix)?,
        "SuffixTransformer" => affix(Side::Suffix, &given.suffix)?,
        "PrefixSuffixTransformer" => {
            return Ok(vec![affix(Side::Prefix, &given.prefix)?, affix(Side::Suffix, &given.suffix)?]);
        }
        "ReplacementTransformer" => {
            Transformer::Replacements { replacements: configure::replacements(root, &given.replacements)? }
        }
        "ReplicaCountTransformer" => Transformer::Replicas { replica: given.replica, specs },
        "ValueAddTransformer" => value_add(root, &given.value, given.targets, &given.target_file_path)?,
        "HashTransformer" => Transformer::Hash,
        other => return Err(Error::refused(format!("unable to load built-in transformer `{other}`"))),
    }])
}

fn value_add(
    root: &Root<'_>,
    value: &str,
    mut targets: Vec<ValueTarget>,
    file: &str,
) -> Result<Transformer<'static>, Error> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Shared {
        targets: Vec<ValueTarget>,
    }
    if !file.is_empty() {
        let invalid = |problem| Error::Kustomization { path: file.to_owned(), problem };
        targets.extend(decode::leniently::<Shared>(settings(root, file)?).map_err(invalid)?.targets);
    }
    if targets.is_empty() {
        return Err(Error::refused("ValueAddTransformer must specify at least one target"));
    }
    for target in &targets {
        if target.field_path.is_empty() || target.file_path_position < 0 {
            return Err(Error::refused(
                "a target of ValueAddTransformer must have a fieldPath and no negative filePathPosition",
            ));
        }
    }
    let value = value.trim();
    let value = if value.is_empty() { root.path.rsplit('/').next().unwrap_or_default() } else { value };
    Ok(Transformer::ValueAdd { value: value.to_owned(), targets })
}
