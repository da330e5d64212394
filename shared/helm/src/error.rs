//! Why a chart does not render.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use slipway_budget::Exceeded;
use slipway_gotmpl::{Error as TemplateError, Limit};
use slipway_manifest::{ObjectError, YamlError};

use crate::chart::LoadError;
use crate::options::Lookup;
use crate::strvals::SetError;
use crate::values::CoalesceError;

/// Around a message meant for the user, so that it is found in an error's text.
pub(crate) const WARN_START: &str = "HELM_ERR_START";
/// See [`WARN_START`].
pub(crate) const WARN_END: &str = "HELM_ERR_END";

/// Why a chart does not render.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HelmError {
    /// The chart can't be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A `--set` that can't be read.
    #[error(transparent)]
    Set(#[from] SetError),
    /// A value file is a list or a scalar.
    #[error("values must be a mapping, found {found}")]
    ValuesType {
        /// What was found.
        found: &'static str,
    },
    /// A chart that only others can use.
    #[error("library charts are not installable: `{chart}` is for the `dependencies` of other charts")]
    Library {
        /// The chart.
        chart: String,
    },
    /// A chart of a format that is not known.
    #[error("unsupported chart version: the apiVersion of `{chart}` is `{found}`, and neither v1 nor v2")]
    ChartVersion {
        /// The chart.
        chart: String,
        /// Its `apiVersion`.
        found: String,
    },
    /// The release has a name that Helm refuses.
    #[error(
        "invalid release name `{0}`: it may have lower case letters, digits and, within, `-` and `.`, and 53 of them"
    )]
    ReleaseName(String),
    /// `Chart.yaml` names dependencies that `charts/` lacks.
    #[error(
        "found in Chart.yaml of `{chart}`, but missing in charts/ directory: {}; nothing is fetched while rendering: \
         run `helm dependency update` in the chart's folder and commit `charts/`",
        .missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    MissingDependencies {
        /// The chart that wants them.
        chart: String,
        /// What it wants.
        missing: Vec<MissingDependency>,
    },
    /// A value where a subchart's mapping belongs.
    #[error(transparent)]
    Coalesce(#[from] CoalesceError),
    /// The values don't fit a `values.schema.json`.
    #[error("values don't meet the specifications of the schema(s) in the following chart(s):\n{report}")]
    Schema {
        /// Chart by chart, what is wrong where.
        report: String,
    },
    /// `--kube-version` is no version.
    #[error("invalid kube version `{0}`")]
    KubeVersion(String),
    /// The chart refuses the cluster's version.
    #[error("chart requires kubeVersion: {wanted} which is incompatible with Kubernetes {found}")]
    IncompatibleKubeVersion {
        /// What the chart wants.
        wanted: String,
        /// What it gets.
        found: String,
    },
    /// A template failed.
    #[error(transparent)]
    Render(#[from] Box<RenderError>),
    /// The chart failed after it had asked the cluster for what nobody answered: with the answers it may not.
    #[error("{error}")]
    Unanswered {
        /// What it asked for.
        needs: BTreeSet<Lookup>,
        /// How it failed.
        error: Box<HelmError>,
    },
    /// What a template printed is not YAML, or no manifest.
    #[error("YAML parse error on {template}{}", line_of(*.line))]
    Manifest {
        /// The template.
        template: String,
        /// Line of what it printed, from 1; 0 where it is not known.
        line: usize,
        /// That line with its neighbours, numbered.
        excerpt: String,
        /// What is wrong.
        #[source]
        source: ManifestError,
    },
    /// What a template printed is no Kubernetes object.
    #[error("{template} printed something that is no Kubernetes object")]
    Object {
        /// The template.
        template: String,
        /// What is missing.
        #[source]
        source: ObjectError,
    },
    /// A bound was reached before the templates, or after them.
    #[error("{place}: {limit}")]
    Budget {
        /// The chart, or the file in it.
        place: String,
        /// The bound.
        limit: Exceeded,
    },
    /// The thread for the render can't be started.
    #[error("failed to start the thread that renders")]
    Thread(#[source] std::io::Error),
}

impl HelmError {
    /// For `map_err`: the bound was reached in the chart or file `place`.
    pub(crate) fn over(place: &str) -> impl Fn(Exceeded) -> Self {
        move |limit| Self::Budget { place: place.to_owned(), limit }
    }

    /// The error for a terminal, in lines: causes, excerpts, the chain of includes and near misses.
    pub fn report(&self) -> String {
        if let Self::Unanswered { error, .. } = self {
            let hint = "the chart had looked up objects of a cluster, and none was asked";
            return format!("{}\n  hint: {hint}", error.report());
        }
        let mut report = format!("{self:#}");
        let mut cause = std::error::Error::source(self);
        while let Some(next) = cause {
            let _ = write!(report, ": {next}");
            cause = next.source();
        }
        if let Self::Manifest { excerpt, .. } = self {
            report.push_str(excerpt);
        }
        report
    }
}

/// Line `line` of `text` (from 1) with two before and one after it, numbered; it is marked.
pub(crate) fn excerpt(text: &str, line: usize) -> String {
    let first = line.saturating_sub(2).max(1);
    let numbered = text.lines().enumerate().map(|(index, text)| (index + 1, text));
    let shown = numbered.skip(first - 1).take((line + 2).saturating_sub(first));
    let width = (line + 1).to_string().len();
    let row = |(number, text): (usize, &str)| {
        let mark = if number == line { '>' } else { ' ' };
        let text: String = text.chars().take(160).collect();
        format!("\n  {mark} {number:width$} | {text}")
    };
    shown.map(row).collect()
}

fn line_of(line: usize) -> String {
    if line == 0 { String::new() } else { format!(", line {line} of its output") }
}

/// A dependency that is named and not there. Prints as `redis 17.x from https://charts.example.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingDependency {
    /// Its name.
    pub name: String,
    /// The versions that would do; empty for any.
    pub version: String,
    /// Where it can be had; may be empty.
    pub repository: String,
}

impl fmt::Display for MissingDependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if !self.version.is_empty() {
            write!(f, " {}", self.version)?;
        }
        if self.repository.is_empty() { Ok(()) } else { write!(f, " from {}", self.repository) }
    }
}

/// What is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Not YAML.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// A field that Helm reads has another type.
    #[error("`{field}` must be {wanted}, found {found}")]
    Field {
        /// The field.
        field: String,
        /// What it must be.
        wanted: &'static str,
        /// What was found.
        found: &'static str,
    },
}

/// A template that failed: to be parsed, to be executed, or within its bounds.
///
/// `{}` is Helm's one line; `{:#}` the long form with the lines of the template, the chain of includes and near misses.
#[derive(Debug, Clone)]
pub struct RenderError {
    /// The file that failed, from the chart's name on: where an include failed, the included one.
    pub template: String,
    /// Line in it, from 1; 0 where it is not known.
    pub line: usize,
    /// Column in it, from 1; 0 where it is not known.
    pub column: usize,
    /// The bound that was reached, if that is the reason.
    pub limit: Option<Limit>,
    message: String,
    report: String,
}

/// What `tpl` calls the text that it is given.
const TPL: &str = "gotpl";

impl RenderError {
    pub(crate) fn not_text(template: &str) -> Self {
        let message = format!("parse error at ({template}): not valid UTF-8");
        Self { template: template.to_owned(), line: 0, column: 0, limit: None, report: message.clone(), message }
    }

    pub(crate) fn over(template: &str, limit: Exceeded) -> Self {
        let message = format!("parse error at ({template}): {limit}");
        let limit = Some(Limit::Render(limit));
        Self { template: template.to_owned(), line: 0, column: 0, limit, report: message.clone(), message }
    }

    pub(crate) fn parse(template: &str, error: &TemplateError) -> Self {
        let text = error.to_string();
        let body = text.strip_prefix("template: ").unwrap_or(&text);
        let (place, reason) = body.split_once(": ").unwrap_or((template, body));
        Self::new(template, error, format!("parse error at ({place}): {reason}"))
    }

    pub(crate) fn execute(template: &str, error: &TemplateError) -> Self {
        let text = error.to_string();
        let mut parts = text.splitn(3, ": ");
        let place = parts.nth(1).unwrap_or(template);
        let message = match between(&text) {
            Some(own) => format!("execution error at ({place}): {own}"),
            None => Self::innermost(error).to_string(),
        };
        Self::new(template, error, message)
    }

    /// The failure deepest inside the includes that knows its place: what is above it only repeats it.
    fn innermost(error: &TemplateError) -> &TemplateError {
        error.chain().filter(|error| error.line_column().is_some()).last().unwrap_or(error)
    }

    fn new(template: &str, error: &TemplateError, message: String) -> Self {
        // A text given to `tpl` is no file: what counts is the place of the `tpl`.
        let files = error.chain().filter(|error| error.line_column().is_some() && error.file() != Some(TPL));
        let innermost = files.last().unwrap_or(error);
        let (line, column) = innermost.line_column().unwrap_or_default();
        let long = format!("{error:#}");
        // The long form begins with Go's one line, of which Helm makes its own.
        let places = long.strip_prefix(&error.to_string()).unwrap_or_default();
        let report = format!("{message}{places}").replace(WARN_START, "").replace(WARN_END, "");
        Self {
            template: innermost.file().unwrap_or(template).to_owned(),
            line,
            column,
            limit: error.limit(),
            message,
            report,
        }
    }
}

/// The message of `fail` and `required`, which was meant for the user.
fn between(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(WARN_START)?;
    rest.rsplit_once(WARN_END).map(|(own, _)| own)
}

impl fmt::Display for RenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if f.alternate() { &self.report } else { &self.message })
    }
}

impl std::error::Error for RenderError {}
