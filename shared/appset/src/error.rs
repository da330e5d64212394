//! Why an ApplicationSet makes no Applications.

use slipway_budget::Exceeded;
use slipway_gocompat::regexp::RegexpError;
use slipway_gotmpl::Limit;
use slipway_manifest::tree::TreeError;
use slipway_manifest::{ObjectError, YamlError};

/// Why an ApplicationSet makes no Applications: one that can't be told is never left out, as what is missing in the
/// list would be deleted.
#[derive(Debug, thiserror::Error)]
#[error("failed to generate the Applications of the ApplicationSet {set} at `{field}`")]
pub struct Error {
    /// NAMESPACE/NAME of the set.
    pub set: String,
    /// The index in `spec.generators`, where one of these is the reason.
    pub generator: Option<usize>,
    /// The path of the field in the set, for example `spec.generators[0].git.files[1].path`.
    pub field: String,
    /// What is wrong with it.
    #[source]
    pub kind: Box<ErrorKind>,
}

/// What is wrong with a field of an ApplicationSet.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A value of another type.
    #[error("expected {expected}, found {found}")]
    Type {
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A field that can't be empty.
    #[error("is missing")]
    Missing,
    /// A value that is not one of a few.
    #[error("{found:?} is not one of {allowed}")]
    Unknown {
        /// The value.
        found: String,
        /// The ones that there are.
        allowed: &'static str,
    },
    /// A generator, or a kind of one, that Slipway does not know.
    #[error("is not supported: {advice}")]
    Unsupported {
        /// What to do instead.
        advice: &'static str,
    },
    /// A generator with too few or too many inside.
    #[error("expected {expected} generators, found {found}")]
    Generators {
        /// How many it must have.
        expected: &'static str,
        /// How many it has.
        found: usize,
    },
    /// A git generator in a set whose template names a project that is not there.
    #[error("the project `{0}` does not exist")]
    Project(String),
    /// A template that can't be parsed or executed, in Go's words.
    #[error("{0}")]
    Template(String),
    /// `{{` without `}}`.
    #[error("cannot find end tag \"}}}}\" in the template {0:?}")]
    Tag(String),
    /// A text that is not YAML, or no list or mapping.
    #[error("{what} is not YAML")]
    Yaml {
        /// Which text.
        what: String,
        /// Why.
        #[source]
        source: YamlError,
    },
    /// A file that can't be read.
    #[error("failed to read a file of {url}")]
    File {
        /// The repository.
        url: String,
        /// Why.
        #[source]
        source: TreeError,
    },
    /// A pattern that can't be read.
    #[error("the pattern {pattern:?} can't be read: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why.
        reason: &'static str,
    },
    /// A regular expression that can't be compiled.
    #[error("failed to compile a regular expression")]
    Regexp(#[from] RegexpError),
    /// A label selector that Kubernetes refuses.
    #[error("{0}")]
    Selector(String),
    /// A parameter that has two values.
    #[error("the parameter `{name}` is {first:?} of one generator and {second:?} of the other")]
    Parameters {
        /// The parameter.
        name: String,
        /// Its value of the first generator.
        first: String,
        /// Its value of the second.
        second: String,
    },
    /// Parameters that can't be merged.
    #[error("{0}")]
    Merge(String),
    /// A `templatePatch` that can't be applied.
    #[error("{0}")]
    Patch(String),
    /// The repository whose pull requests are asked for does not exist.
    #[error("the repository {0} was not found")]
    Repository(String),
    /// What the template makes is no object.
    #[error("the template makes no Application")]
    Object(#[from] ObjectError),
    /// Two Applications of one name.
    #[error("the Applications have duplicate names: {0}")]
    DuplicateName(String),
    /// More Applications, or sets of parameters, than one set may have.
    #[error("more than {0} {1}")]
    TooMany(usize, &'static str),
    /// A bound of templates.
    #[error(transparent)]
    Limit(Limit),
    /// The budget of the render is used up.
    #[error(transparent)]
    Exceeded(#[from] Exceeded),
    /// No thread for deep templates.
    #[error("failed to start a thread")]
    Thread(#[from] std::io::Error),
}
