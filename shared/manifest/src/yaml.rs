//! YAML as sigs.k8s.io/yaml reads it (go-yaml's YAML 1.1 scalars, then JSON): the one place where YAML is parsed and
//! written.
//!
//! | to read | use | copies |
//! |---|---|---|
//! | a kustomization, values, our own settings | [`parse`], [`parse_all`], [`parse_all_bytes`] | [`Rules::Strict`] |
//! | what Helm reads (values, `fromYaml`) | [`parse_with`] and [`Options::lenient`] | [`Rules::Lenient`] |
//! | manifests as kubectl and Argo CD read them | [`parse_manifests`] and [`Options::lenient`] | its documents, too |
//!
//! Scalars mean the same by either rules. Kustomize itself hands plain scalars through as they are written, and whoever
//! reads its output applies the rules of sigs.k8s.io/yaml to them: reading by these at once comes to the same.
//!
//! ```text
//! text ─► scan (tokens) ─► grammar (anchors, limits) ─┬► parse, resolve (plain scalars by Go's rules) ─► JSON values
//!                                                     └► slipway-kustomize: nodes that keep a scalar's text
//! ```

mod emit;
pub mod grammar;
mod natural;
mod parse;
mod resolve;
mod scan;
mod split;
#[cfg(test)]
mod tests;

pub(crate) use emit::is_quoted_by_go;
pub use emit::{to_string, to_string_go, to_string_pretty};
pub use grammar::Limits;
pub(crate) use grammar::Mark;
pub(crate) use parse::parse_marked;
pub use parse::{
    Options, Rules, decode, parse, parse_all, parse_all_bytes, parse_all_with, parse_manifests, parse_with, utf8,
};
pub use resolve::resolve_plain;
pub use split::split;

/// Why a text is not YAML that we accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct YamlError {
    /// 1-based line.
    pub line: usize,
    /// What is wrong.
    pub kind: YamlErrorKind,
}

/// What is wrong with a YAML text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum YamlErrorKind {
    /// The parser's own words.
    #[error("{0}")]
    Syntax(String),
    /// Bytes that are no text.
    #[error("invalid UTF-8")]
    NotUtf8,
    /// The same key twice in one mapping.
    #[error("key `{0}` already set in map")]
    DuplicateKey(String),
    /// A mapping or list as a key.
    #[error("a mapping or a list can't be a key")]
    ComplexKey,
    /// A key that JSON has no text for.
    #[error("{0} can't be a key")]
    BadKey(&'static str),
    /// `<<` with something else than mappings.
    #[error("`<<` needs a mapping or a list of mappings")]
    BadMerge,
    /// A character that YAML forbids everywhere.
    #[error("control character {0:?} is not allowed")]
    ControlCharacter(char),
    /// `.inf` or `.nan`, which JSON and so Kubernetes can't hold.
    #[error("`{0}` has no place in JSON: quote it if it is meant as text")]
    NotFinite(String),
    /// `*name` without `&name` before it.
    #[error("unknown anchor")]
    UnknownAnchor,
    /// Aliases multiply the document beyond the limit.
    #[error("aliases expand the document over {0} nodes")]
    AliasBomb(usize),
    /// A text of too many values.
    #[error("more than {0} nodes")]
    TooManyNodes(usize),
    /// Nested too deeply.
    #[error("nested deeper than {0} levels")]
    TooDeep(usize),
    /// The budget of the render is used up.
    #[error(transparent)]
    Exceeded(#[from] slipway_budget::Exceeded),
    /// Too many documents in one stream.
    #[error("more than {0} documents")]
    TooManyDocuments(usize),
    /// A tagged scalar that its tag does not allow, for example `!!int x`.
    #[error("can't read the value as `{tag}`")]
    BadTag {
        /// The tag.
        tag: String,
        /// The scalar's text.
        text: String,
    },
}
