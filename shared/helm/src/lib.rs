//! `helm template`, in process: a chart in a [`Tree`], values and capabilities to manifests (Helm 4.1.4).
//!
//! ```text
//! Tree ─► chart (load, archives, .helmignore) ─► dependencies (conditions, tags, aliases, imports)
//!      ─► values (coalesce) ─► schema ─► engine (gotmpl, sprig) ─► manifests (documents, hooks, order) ─► Rendered
//! ```
//!
//! Pure: knows no network, clock, environment or process. What a chart asks a cluster for comes back as a need, what
//! is random or dated comes from the caller's seed and clock. `COMPATIBILITY.md` lists what differs from Helm.

pub mod argo;
mod chart;
mod cost;
mod dependencies;
mod encode;
mod engine;
mod error;
mod function;
mod manifests;
mod objects;
mod options;
mod schema;
mod sprig;
mod state;
mod strvals;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};
use slipway_budget::Budget as RenderBudget;
use slipway_gocompat::semver::is_compatible;
use slipway_gotmpl::{Budget, Function, Str};
use slipway_manifest::{Object, Tree, yaml};

pub use chart::archive::ArchiveError;
pub use chart::{LoadError, MetadataError};
pub use cost::of_template as pay_for_template;
pub use encode::to_yaml;
pub use error::{HelmError, ManifestError, MissingDependency, RenderError};
pub use manifests::{Hook, Manifest};
pub use options::{Limits, Lookup, Options, Release, Set, SetKind};
pub use slipway_gotmpl::on_stack;
pub use state::State as FunctionState;
pub use strvals::SetError;
pub use values::CoalesceError;

use state::State;

/// What a chart renders to.
#[derive(Debug, Clone, Default)]
pub struct Rendered {
    /// Every document in the order of `helm template`: CRDs, resources, hooks.
    pub manifests: Vec<Manifest>,
    /// Files of the tree that were read.
    pub files: BTreeSet<String>,
    /// What the chart asked the cluster for and [`Options::lookups`] did not answer. Render again with the answers.
    pub needs: BTreeSet<Lookup>,
    /// Whether random values were drawn: with another seed the result is another.
    pub used_random: bool,
    /// Whether the clock was read.
    pub used_time: bool,
}

impl Rendered {
    /// Whether Helm itself would not render the same twice.
    pub fn unrepeatable(&self) -> bool {
        self.used_random || self.used_time
    }

    /// The manifests as Kubernetes objects, hooks included.
    /// Fails for a document without `apiVersion`, `kind` or name, and names the template.
    pub fn into_objects(self) -> Result<Vec<Object>, HelmError> {
        self.manifests
            .into_iter()
            .map(|manifest| {
                Object::from_value(manifest.value)
                    .map_err(|source| HelmError::Object { template: manifest.source, source })
            })
            .collect()
    }
}

/// Renders the chart in the folder (or the archive) `chart_path` of `tree`, as `helm template` does.
///
/// Fails where Helm fails, and where a bound is reached; every error names the file, and for templates the line.
pub fn render(tree: &Tree, chart_path: &str, options: &Options) -> Result<Rendered, HelmError> {
    in_thread(options, || {
        let state = State::of(options);
        let run = run(tree, chart_path, options, &state).map_err(|error| match state.take_needs() {
            needs if needs.is_empty() => error,
            needs => HelmError::Unanswered { needs, error: Box::new(error) },
        })?;
        let mut manifests = Vec::new();
        if options.include_crds {
            manifests.extend(crds(&run.chart, &run.budget)?);
        }
        let printed = manifests::collect(&run.texts, &run.budget)?;
        let is_wanted = |one: &Manifest| !(options.skip_tests && one.hook.as_ref().is_some_and(Hook::is_test));
        manifests.extend(printed.into_iter().filter(is_wanted));
        Ok(Rendered {
            manifests,
            files: run.files,
            needs: state.take_needs(),
            used_random: state.used_random(),
            used_time: state.used_time(),
        })
    })
}

/// What each template prints by its path, partials left out, before it is cut into manifests. Fails as [`render`] does.
pub fn render_texts(tree: &Tree, chart_path: &str, options: &Options) -> Result<BTreeMap<String, Vec<u8>>, HelmError> {
    in_thread(options, || {
        let run = run(tree, chart_path, options, &State::of(options))?;
        Ok(run.texts.into_iter().map(|(name, text)| (name, text.as_bytes().to_vec())).collect())
    })
}

/// Executes `text` as a template of its own, named `name`, with Helm's functions and `data` as dot; for tests of
/// functions. Fails as [`render`] does.
pub fn render_template(name: &str, text: &str, data: &Value, options: &Options) -> Result<Vec<u8>, HelmError> {
    in_thread(options, || {
        let state = State::of(options);
        let out = engine::render_one(name, text, data, &state, &budget(options)).map_err(Box::new)?;
        Ok(out.as_bytes().to_vec())
    })
}

/// What `--name-template` says: a template without data, in which what is not there is `<no value>`.
/// Fails as [`render`] does.
pub fn render_name(text: &str, options: &Options) -> Result<Vec<u8>, HelmError> {
    in_thread(options, || {
        let state = State::of(options);
        Ok(engine::render_name(text, &state, &budget(options)).map_err(Box::new)?)
    })
}

/// The names of all functions that templates may call, besides those of text/template itself; sorted.
pub fn function_names() -> BTreeSet<&'static str> {
    sprig::functions().names().collect()
}

/// The functions of sprig v3.3.0 for templates outside of charts, without `env`, `expandenv` and `getHostByName`. Such
/// templates are executed with a [`FunctionState`].
pub fn sprig_functions() -> Vec<&'static [Function]> {
    sprig::generic()
}

/// The values that `-f` and `--set` come to, without any chart's defaults; paths of `--set-file` are paths in `tree`.
/// Fails for a value file that is no mapping and for a `--set` that can't be read.
pub fn merge_values(tree: &Tree, options: &Options) -> Result<Map<String, Value>, HelmError> {
    let mut merged = Map::new();
    for file in &options.values {
        match values::as_floats(file.clone()) {
            Value::Null => {}
            Value::Object(map) => values::merge_maps(&mut merged, map),
            other => {
                let found = if other.is_array() { "a list" } else { "a scalar" };
                return Err(HelmError::ValuesType { found });
            }
        }
    }
    let read_file = |path: &str| {
        if let Some(text) = options.set_files.get(path) {
            return Ok(text.clone());
        }
        let bytes = tree.read(path).map_err(|e| e.to_string())?;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    };
    strvals::apply(&mut merged, &options.sets, &read_file)?;
    Ok(merged)
}

/// The contents of a value file: its documents merged; where one is no mapping, that one. Fails for what is not YAML,
/// and when the `budget` of the render is used up.
pub fn parse_values(text: &str, budget: &RenderBudget) -> Result<Value, yaml::YamlError> {
    if let Some(merged) = chart::parse_values(text, budget)? {
        return Ok(Value::Object(merged));
    }
    let documents = yaml::parse_manifests(text, yaml::Options::lenient(), budget)?;
    Ok(documents.into_iter().find(|document| !document.is_object()).unwrap_or_default())
}

/// Helm's rule: names of DNS, together of at most 53 characters.
fn is_release_name(name: &str) -> bool {
    let is_edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_label = |label: &str| {
        label.starts_with(is_edge) && label.ends_with(is_edge) && label.chars().all(|c| is_edge(c) || c == '-')
    };
    name.len() <= 53 && name.split('.').all(is_label)
}

struct Run {
    budget: RenderBudget,
    chart: chart::Chart,
    texts: BTreeMap<String, Str>,
    files: BTreeSet<String>,
}

/// The files of the chart in `archive`, a gzipped tar: their paths in the chart, and their bytes. Within Helm's bounds
/// and those of `budget`.
pub fn unpack(
    archive: &[u8],
    budget: &RenderBudget,
) -> Result<impl Iterator<Item = (String, Arc<[u8]>)> + use<>, ArchiveError> {
    let files = chart::archive::unpack(archive, &mut chart::archive::Budget::new(), budget)?;
    Ok(files.into_iter().map(|file| (file.name, file.data)))
}

/// The budget that templates draw from; the render's own where the caller gave none.
fn budget(options: &Options) -> Budget {
    // What is left below serves functions that do not look.
    let stack = options.limits.stack.saturating_sub(512 << 10);
    Budget::new(options.budget.clone().unwrap_or_default(), Limits { stack, ..options.limits })
}

fn run(tree: &Tree, chart_path: &str, options: &Options, state: &State) -> Result<Run, HelmError> {
    if !is_release_name(&options.release.name) {
        return Err(HelmError::ReleaseName(options.release.name.clone()));
    }
    let budget = budget(options);
    let shared = budget.shared();
    let user = values::from_json(&merge_values(tree, options)?);
    let mut files = BTreeSet::new();
    let mut read = |path| {
        files.insert(path);
    };
    let mut chart = chart::load(tree, chart_path, options.local_dependencies, shared, &mut read)?;
    let name = || chart.name().to_owned();
    if !["v1", "v2"].contains(&chart.metadata.api_version.as_str()) {
        return Err(HelmError::ChartVersion { chart: name(), found: chart.metadata.api_version.clone() });
    }
    if chart.metadata.is_library() {
        return Err(HelmError::Library { chart: name() });
    }
    let missing = chart.missing();
    if !missing.is_empty() {
        return Err(HelmError::MissingDependencies { chart: chart.name().to_owned(), missing });
    }
    dependencies::process(&mut chart, &user, shared)?;
    let kube_version = options.kube_version.as_deref().unwrap_or(options::KUBE_VERSION);
    let kube_version =
        objects::KubeVersion::parse(kube_version).ok_or_else(|| HelmError::KubeVersion(kube_version.to_owned()))?;
    let coalesced = values::coalesce(&chart, &user, values::Nulls::Delete, shared)?;
    if !options.skip_schema_validation {
        schema::validate(&chart, &coalesced, shared)?;
    }
    let wanted = &chart.metadata.kube_version;
    if !wanted.is_empty() && !is_compatible(wanted, &kube_version.normalized) {
        return Err(HelmError::IncompatibleKubeVersion { wanted: wanted.clone(), found: kube_version.version });
    }
    let texts = engine::render(&chart, &coalesced, options, &kube_version, state, &budget).map_err(Box::new)?;
    Ok(Run { budget: shared.clone(), chart, texts, files })
}

fn crds(chart: &chart::Chart, budget: &RenderBudget) -> Result<Vec<Manifest>, HelmError> {
    let mut found = Vec::new();
    chart.crds(chart.name(), &mut found);
    let mut manifests = Vec::new();
    for (source, file) in found {
        let wrong = |e: yaml::YamlError| {
            let excerpt = error::excerpt(&String::from_utf8_lossy(&file.data), e.line);
            HelmError::Manifest { template: source.clone(), line: e.line, excerpt, source: e.into() }
        };
        let text = yaml::utf8(&file.data).map_err(wrong)?;
        let documents = yaml::parse_manifests(text, yaml::Options::lenient(), budget).map_err(wrong)?;
        manifests.extend(documents.into_iter().map(|value| Manifest { source: source.clone(), value, hook: None }));
    }
    Ok(manifests)
}

/// Templates may be nested deeper than the caller's stack allows.
fn in_thread<T: Send>(options: &Options, work: impl FnOnce() -> Result<T, HelmError> + Send) -> Result<T, HelmError> {
    on_stack(options.limits.stack, work).map_err(HelmError::Thread)?
}
