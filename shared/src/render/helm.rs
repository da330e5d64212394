//! Renders charts: as a source, with Argo CD's settings (argoproj/argo-cd `reposerver/repository/repository.go`,
//! helmTemplate), and inside kustomizations (`helmCharts`).

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value};
use slipway_helm::argo::{self, Read};
use slipway_helm::{HelmError, Options, Release, parse_values, render_name};
use slipway_kustomize::{Chart, Helm};
use slipway_manifest::{Tree, tree, yaml};

use super::context::{Context, environment};
use super::{RenderError, Rendered, encrypted, objects, references, shown};
use crate::app::{Application, Source};
use crate::error::chain;

/// A chart's own values.
const VALUES: &str = "values.yaml";

/// Fields of `source.helm` that are read, or have no effect in-process.
const KNOWN: [&str; 15] = [
    "apiVersions",
    "fileParameters",
    "ignoreMissingValueFiles",
    "kubeVersion",
    "namespace",
    "parameters",
    "passCredentials",
    "releaseName",
    "skipCrds",
    "skipSchemaValidation",
    "skipTests",
    "valueFiles",
    "values",
    "valuesObject",
    "version",
];

/// The manifests of a chart in the order of `helm template`; hooks are objects with their annotations.
pub(super) fn render(
    tree: &Tree,
    app: &Application,
    path: &str,
    source: &Source,
    (context, asked): (&Context, bool),
) -> Result<Rendered, RenderError> {
    let helm = source.helm.clone().map_or(Value::Null, Value::Object);
    let helm = encrypted::without_schemes(tree, path, &helm);
    let asks_for_decryption = matches!(helm, Cow::Owned(_));
    let with_references = references::with_value_files(tree, &helm, context)?;
    let decrypted = encrypted::over(&with_references, &context.decrypted)?;
    let tree = decrypted.as_ref();
    let (options, read) = options(tree, app, path, (&helm, context))?;
    let encrypted = encrypted::encrypted(tree, &read.files, &context.decrypted);
    if !encrypted.is_empty() && asked {
        return Ok(Rendered { encrypted, ..Rendered::default() });
    } else if !encrypted.is_empty() && asks_for_decryption {
        return Err(RenderError::Encrypted {
            files: encrypted.into_keys().collect(),
            why: "the functions decrypt it where they are given the key".to_owned(),
        });
    }
    let options = Options { local_dependencies: true, ..with_facts(options, context) };
    let chart = match slipway_helm::render(tree, path, &options) {
        // Once it has its answers it may go well.
        Err(HelmError::Unanswered { needs, .. }) if asked => return Ok(Rendered { needs, ..Rendered::default() }),
        chart => chart.map_err(|source| RenderError::Helm { path: shown(path), source: Box::new(source) })?,
    };
    let mut rendered = Rendered { needs: chart.needs, ..Rendered::default() };
    depend(&mut rendered, tree, path, chart.files, read)?;
    for key in helm.as_object().into_iter().flat_map(Map::keys) {
        if !KNOWN.contains(&key.as_str()) {
            let id = app.object.id();
            rendered.warnings.push(format!("{id}: unknown field `spec.source.helm.{key}` has no effect"));
        }
    }
    for manifest in chart.manifests {
        // Templates are named by their chart, which lies at `path`.
        let (_, template) = manifest.source.split_once('/').unwrap_or(("", &manifest.source));
        let objects = objects(manifest.value, &manifest.source)?;
        rendered.origins.extend(objects.iter().map(|_| tree::join(path, template).unwrap_or_default()));
        rendered.objects.extend(objects);
    }
    Ok(rendered)
}

/// The options of the source's field `helm`, and what was read for them.
fn options(
    tree: &Tree,
    app: &Application,
    path: &str,
    (helm, context): (&Value, &Context),
) -> Result<(Options, Read), RenderError> {
    let facts = &context.facts;
    let settings = argo::Context {
        tree,
        path,
        app: &app.name,
        namespace: &app.destination.namespace,
        kube_version: facts.kube_version.as_deref(),
        api_versions: &facts.api_versions,
        env: &environment(app, &context.revision),
        budget: &context.budget,
    };
    argo::options(helm, &settings)
        .map_err(|source| RenderError::HelmSource { app: app.object.id().to_string(), source: Box::new(source) })
}

/// The values that the source of `app` gives its chart, which need not be at hand: those of value files in `tree` or in
/// other sources, of the Application itself and of its parameters. Where the chart lies in `tree`, its own are below.
pub(crate) fn values(tree: &Tree, app: &Application, context: &Context) -> Result<Map<String, Value>, RenderError> {
    let at = |source| RenderError::Path { path: app.source.path.clone(), source };
    let path = app.source.folder().map_err(at)?;
    let helm = app.source.helm.clone().map_or(Value::Null, Value::Object);
    let with_references = references::with_value_files(tree, &helm, context)?;
    let tree = with_references.as_ref();
    let (mut options, _) = options(tree, app, &path, (&helm, context))?;
    let own = format!("{path}/{VALUES}");
    let own = own.trim_start_matches('/');
    if let Ok(text) = tree.read_text(own) {
        let wrong = |source| RenderError::Yaml { file: own.to_owned(), source };
        options.values.insert(0, parse_values(text, &context.budget).map_err(wrong)?);
    }
    slipway_helm::merge_values(tree, &options)
        .map_err(|source| RenderError::Helm { path: shown(&path), source: Box::new(source) })
}

fn with_facts(options: Options, context: &Context) -> Options {
    let facts = &context.facts;
    let budget = Some(context.budget.clone());
    Options { seed: facts.seed, now: facts.now, lookups: facts.lookups.clone(), budget, ..options }
}

/// Records the files and folders that a new render depends on: every file, every folder of the chart, every folder that
/// a glob read.
fn depend(
    rendered: &mut Rendered,
    tree: &Tree,
    path: &str,
    chart: BTreeSet<String>,
    read: Read,
) -> Result<(), RenderError> {
    for file in chart {
        let folders = file.match_indices('/').filter_map(|(at, _)| file.get(..at));
        rendered.folders.extend(folders.filter(|folder| folder.starts_with(path)).map(str::to_owned));
        rendered.files.insert(tree.resolve(&file)?);
        rendered.files.insert(file);
    }
    for folder in read.folders {
        let below: BTreeSet<String> =
            tree.files_below(&folder)?.filter_map(|file| Some(file.rsplit_once('/')?.0.to_owned())).collect();
        rendered.folders.extend(below);
        rendered.folders.insert(folder);
    }
    rendered.files.extend(read.files);
    Ok(())
}

/// Renders `helmCharts` of kustomizations, and collects their inputs.
pub(super) struct Charts<'a> {
    context: &'a Context,
    found: RefCell<Rendered>,
}

impl<'a> Charts<'a> {
    pub(super) fn new(context: &'a Context) -> Self {
        Self { context, found: RefCell::default() }
    }

    /// Files and folders that charts were rendered from, and their lookups.
    pub(super) fn into_found(self) -> Rendered {
        self.found.into_inner()
    }

    fn options(&self, chart: &Chart) -> Result<Options, Box<dyn std::error::Error + Send + Sync>> {
        let facts = &self.context.facts;
        let options = with_facts(Options::default(), self.context);
        let name = release_name(chart, &options)?;
        let namespace = if chart.namespace.is_empty() { "default" } else { &chart.namespace };
        let own_version = Some(chart.kube_version.clone()).filter(|version| !version.is_empty());
        Ok(Options {
            values: chart
                .values
                .iter()
                .map(|text| parse_values(text, &self.context.budget))
                .collect::<Result<_, _>>()?,
            release: Release { name, namespace: namespace.to_owned(), ..Release::default() },
            kube_version: own_version.or_else(|| facts.kube_version.clone()),
            api_versions: chart.api_versions.iter().chain(&facts.api_versions).cloned().collect(),
            include_crds: chart.include_crds,
            skip_tests: chart.skip_tests,
            ..options
        })
    }
}

/// Kustomize asks for a generated name, which `helm template` ignores.
fn release_name(chart: &Chart, options: &Options) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    match (chart.release_name.as_str(), chart.name_template.as_str()) {
        ("", "") => Ok(Release::default().name),
        ("", template) => Ok(String::from_utf8(render_name(template, options)?)?),
        (name, "") => Ok(name.to_owned()),
        _ => Err("cannot set nameTemplate and also releaseName".into()),
    }
}

impl Helm for Charts<'_> {
    fn template(&self, tree: &Tree, chart: &Chart) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        let rendered = slipway_helm::render(tree, &chart.path, &self.options(chart)?);
        let mut found = self.found.borrow_mut();
        if let Err(HelmError::Unanswered { needs, .. }) = &rendered {
            found.needs.extend(needs.iter().cloned());
        }
        let rendered = rendered.map_err(|e| chain(&e))?;
        found.needs.extend(rendered.needs);
        depend(&mut found, tree, &chart.path, rendered.files, Read::default())?;
        let wanted = rendered.manifests.into_iter().filter(|one| !(chart.skip_hooks && one.hook.is_some()));
        let mut text = String::new();
        for manifest in wanted {
            let one = yaml::to_string(&manifest.value);
            self.context.budget.scan(8 * one.len())?;
            // A text that grows moves.
            self.context.budget.bytes(2 * one.len())?;
            if !text.is_empty() {
                text.push_str("---\n");
            }
            text.push_str(&one);
        }
        Ok(text)
    }
}
