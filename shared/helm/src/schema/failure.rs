//! What is wrong with a value, in the words of the library.

use std::fmt::Write as _;

use super::values::quoted;

/// What is wrong, and where.
#[derive(Debug, Default)]
pub(super) struct Failure {
    pub(super) at: String,
    pub(super) kind: Kind,
    pub(super) causes: Vec<Failure>,
}

#[derive(Debug, Default)]
pub(super) enum Kind {
    /// No caller reads what it is.
    #[default]
    Unknown,
    /// Several things are.
    Group,
    /// What a reference leads to is not met.
    Reference,
    Told(String),
}

impl Failure {
    /// Writes it and its causes as lines, each with `indent` more than its cause's.
    pub(super) fn write(&self, out: &mut String, indent: usize) {
        let shown = !(self.causes.len() == 1 && matches!(self.kind, Kind::Reference));
        if shown {
            let words = match &self.kind {
                Kind::Told(words) => words,
                Kind::Unknown | Kind::Group | Kind::Reference => "validation failed",
            };
            let _ = writeln!(out, "{}- at {}: {words}", "  ".repeat(indent), quoted(&self.at));
        }
        for cause in &self.causes {
            cause.write(out, indent + usize::from(shown));
        }
    }
}
