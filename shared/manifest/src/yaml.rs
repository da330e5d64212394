//! YAML as sigs.k8s.io/yaml reads it (go-yaml's YAML 1.1 scalars, then JSON): the one place where YAML is parsed and written.
//!
//! ```text
//! text ─► parse (events of saphyr-parser, anchors, limits) ─► resolve (plain scalars by Go's rules) ─► serde_json values
//! ```

mod emit;
mod parse;
mod resolve;

pub use emit::to_string;
pub use parse::{Limits, parse, parse_all, parse_all_with};
pub use resolve::resolve_plain;

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
    /// `*name` without `&name` before it.
    #[error("unknown anchor")]
    UnknownAnchor,
    /// Aliases multiply the document beyond the limit.
    #[error("aliases expand the document over {0} nodes")]
    AliasBomb(usize),
    /// Nested too deeply.
    #[error("nested deeper than {0} levels")]
    TooDeep(usize),
    /// Too many documents in one stream.
    #[error("more than {0} documents")]
    TooManyDocuments(usize),
    /// A tagged scalar that its tag does not allow, for example `!!int x`.
    #[error("can't read `{text}` as `{tag}`")]
    BadTag {
        /// The tag.
        tag: String,
        /// The scalar's text.
        text: String,
    },
}
