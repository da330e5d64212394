//! Renders a chart with the flags of `helm template`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};
use slipway_budget::Budget;
use slipway_helm::{Manifest, Options, Release, Rendered, Set, SetKind};
use slipway_manifest::{Tree, yaml};

#[expect(clippy::struct_excessive_bools, reason = "the flags of helm template")]
#[derive(Args, Clone, Default, PartialEq)]
#[command(next_help_heading = "Charts")]
pub(super) struct Flags {
    /// A file of values; of several, later ones win.
    #[arg(short = 'f', long, value_name = "FILE")]
    values: Vec<PathBuf>,
    /// Values on the command line: `a.b=1,c[0]=true`.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Values that are text, whatever they look like.
    #[arg(long, value_name = "KEY=VALUE")]
    set_string: Vec<String>,
    /// Values as JSON: `a.b={"c": 1}`, or a whole mapping.
    #[arg(long, value_name = "KEY=JSON")]
    set_json: Vec<String>,
    /// Values that are text up to the end, commas and backslashes included.
    #[arg(long, value_name = "KEY=VALUE")]
    set_literal: Vec<String>,
    /// Values that are the text of a file.
    #[arg(long, value_name = "KEY=FILE")]
    set_file: Vec<String>,
    /// Name of the release [default: release-name].
    #[arg(long)]
    name: Option<String>,
    /// Namespace of the release [default: default].
    #[arg(short, long)]
    namespace: Option<String>,
    /// Do not hold values to `values.schema.json`.
    #[arg(long)]
    skip_schema_validation: bool,
    /// Leave out hooks that are tests.
    #[arg(long)]
    skip_tests: bool,
    /// Leave out hooks.
    #[arg(long)]
    no_hooks: bool,
    /// Print what this template of the chart makes, alone: `templates/web.yaml`; may be given several times.
    #[arg(short, long, value_name = "TEMPLATE")]
    show_only: Vec<String>,
    /// Let templates see an upgrade (`.Release.IsUpgrade`) instead of an installation.
    #[arg(long)]
    is_upgrade: bool,
    /// Print what lies below `crds/`, too.
    #[arg(long)]
    include_crds: bool,
    /// The version of Kubernetes that templates see [default: that of Helm 4.1].
    #[arg(long, value_name = "VERSION")]
    kube_version: Option<String>,
    /// An API version that templates see, besides those that Helm knows.
    #[arg(short, long, value_name = "VERSION", value_delimiter = ',')]
    api_versions: Vec<String>,
}

impl Flags {
    /// Whether any flag is given: they mean that the folder is a chart.
    pub(super) fn are_set(&self) -> bool {
        *self != Self::default()
    }

    fn options(&self) -> anyhow::Result<Options> {
        let budget = Budget::default();
        let values = self.values.iter().map(|file| {
            let text = read(file)?;
            let name = || format!("failed to read `{}`", file.display());
            let values = slipway_helm::parse_values(&text, &budget).with_context(name)?;
            if !values.is_object() && !values.is_null() {
                let found = if values.is_array() { "a list" } else { "a scalar" };
                return Err(anyhow::anyhow!("values must be a mapping, found {found}")).with_context(name);
            }
            Ok(values)
        });
        let kinds = [
            (SetKind::Typed, &self.set),
            (SetKind::Text, &self.set_string),
            (SetKind::Json, &self.set_json),
            (SetKind::Literal, &self.set_literal),
            (SetKind::File, &self.set_file),
        ];
        let sets = kinds.into_iter().flat_map(|(kind, texts)| texts.iter().map(move |text| Set::new(kind, text)));
        let default = Release::default();
        Ok(Options {
            values: values.collect::<anyhow::Result<_>>()?,
            sets: sets.collect(),
            set_files: self.set_files()?,
            release: Release {
                name: self.name.clone().unwrap_or(default.name),
                namespace: self.namespace.clone().unwrap_or(default.namespace),
                is_upgrade: self.is_upgrade,
                ..Release::default()
            },
            kube_version: self.kube_version.clone(),
            api_versions: self.api_versions.clone(),
            include_crds: self.include_crds,
            skip_schema_validation: self.skip_schema_validation,
            skip_tests: self.skip_tests,
            local_dependencies: true,
            now: Timestamp::now(),
            budget: Some(budget.clone()),
            ..Options::default()
        })
    }

    /// The texts of `--set-file`; its paths are local, not the tree's.
    fn set_files(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let assignments = self.set_file.iter().flat_map(|text| text.split(','));
        let paths = assignments.filter_map(|one| Some(one.split_once('=')?.1));
        paths.map(|path| Ok((path.to_owned(), read(Path::new(path))?))).collect()
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).with_context(|| format!("failed to read `{}`", file.display()))
}

/// Prints the manifests of the chart `path` in the order of `helm template`, each with its template; or writes a file
/// for each template.
pub(super) fn run(tree: &Tree, path: &str, arguments: &super::Arguments) -> anyhow::Result<()> {
    let flags = &arguments.chart;
    let options = flags.options()?;
    let mut rendered = slipway_helm::render(tree, path, &options).map_err(|error| anyhow::anyhow!(error.report()))?;
    rendered.manifests.retain(|manifest| !(flags.no_hooks && manifest.hook.is_some()));
    let rendered = only(rendered, &flags.show_only)?;
    for warning in warnings(&rendered) {
        crate::eprintln(&format!("warning: {warning}"));
    }
    let document =
        |manifest: &Manifest| format!("---\n# Source: {}\n{}", manifest.source, yaml::to_string(&manifest.value));
    if let Some(folder) = &arguments.output_dir {
        let mut files: BTreeMap<&str, String> = BTreeMap::new();
        for manifest in &rendered.manifests {
            files.entry(&manifest.source).or_default().push_str(&document(manifest));
        }
        return files.iter().try_for_each(|(source, text)| super::write_file(folder, source, text));
    }
    match arguments.output {
        super::Format::Yaml => rendered.manifests.iter().for_each(|manifest| crate::print(&document(manifest))),
        super::Format::Json => {
            let items: Vec<&Value> = rendered.manifests.iter().map(|manifest| &manifest.value).collect();
            crate::println(&format!("{:#}", json!({"apiVersion": "v1", "kind": "List", "items": items})));
        }
    }
    Ok(())
}

/// What the templates `wanted` made, in their order; all where none is named.
fn only(rendered: Rendered, wanted: &[String]) -> anyhow::Result<Rendered> {
    if wanted.is_empty() {
        return Ok(rendered);
    }
    let mut manifests = Vec::new();
    for template in wanted {
        let before = manifests.len();
        manifests.extend(rendered.manifests.iter().filter(|manifest| manifest.is_of(template)).cloned());
        if manifests.len() == before {
            anyhow::bail!("could not find template {template} in chart");
        }
    }
    Ok(Rendered { manifests, ..rendered })
}

/// In what a deployment will differ from what is printed.
fn warnings(rendered: &Rendered) -> Vec<String> {
    let mut warnings: Vec<String> = rendered
        .needs
        .iter()
        .map(|need| {
            format!(
                "the chart looks up {} {} `{}`: no cluster is asked here, it counts as absent",
                need.api_version, need.kind, need.name
            )
        })
        .collect();
    if rendered.used_random {
        warnings.push("the chart makes up random values: a deployment has others, the same each time".to_owned());
    }
    if rendered.used_time {
        warnings.push("the chart reads the clock: a deployment has the time of its first one".to_owned());
    }
    warnings
}
