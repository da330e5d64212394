//! Errors in Go's words, with the place in the template for a longer form.

use std::fmt;

use crate::budget::Limit;
use crate::func::FuncError;
use crate::source::{Excerpt, Source};

/// Why a template could not be parsed or executed.
///
/// `{}` is exactly what Go says. `{:#}` adds the lines of the template with a caret below the place, the chain of
/// templates that led there, and near misses for unknown names.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    /// Go's text up to the cause.
    message: String,
    /// Where, if the place is known.
    place: Option<Place>,
    hints: Vec<String>,
    limit: Option<Limit>,
    /// What a function returned.
    cause: Option<FuncError>,
}

#[derive(Debug)]
struct Place {
    source: Source,
    start: usize,
    len: usize,
}

impl Error {
    pub(crate) fn new(message: String) -> Self {
        Self(Box::new(Inner { message, place: None, hints: Vec::new(), limit: None, cause: None }))
    }

    pub(crate) fn at(mut self, source: &Source, start: usize, len: usize) -> Self {
        self.0.place = Some(Place { source: source.clone(), start, len });
        self
    }

    pub(crate) fn hint(mut self, hint: Option<String>) -> Self {
        self.0.hints.extend(hint);
        self
    }

    pub(crate) fn limited(mut self, limit: Option<Limit>) -> Self {
        self.0.limit = limit;
        self
    }

    pub(crate) fn because(mut self, cause: FuncError) -> Self {
        self.0.cause = Some(cause);
        self
    }

    /// The bound that was reached, if that is the reason, here or in a template that a function ran.
    pub fn limit(&self) -> Option<Limit> {
        self.chain().find_map(|error| error.0.limit.or_else(|| error.0.cause.as_ref()?.limit))
    }

    /// The file that the failing template's text is from.
    pub fn file(&self) -> Option<&str> {
        self.0.place.as_ref().map(|place| place.source.name())
    }

    /// Line and column in the file, both from 1.
    pub fn line_column(&self) -> Option<(usize, usize)> {
        self.0.place.as_ref().map(|place| {
            let (line, column) = place.source.line_column(place.start);
            (line, column + 1)
        })
    }

    /// The near misses and other advice, innermost failure last.
    pub fn hints(&self) -> impl Iterator<Item = &str> {
        self.chain().flat_map(|error| error.0.hints.iter().map(String::as_str))
    }

    /// The failure of the template that a function (`include`, `tpl`) ran, if that is the reason.
    pub fn inner(&self) -> Option<&Self> {
        self.0.cause.as_ref()?.template()
    }

    /// This failure and the ones inside it, outermost first.
    pub fn chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |error| error.inner())
    }

    /// The excerpt of every place, innermost first; a recursion that repeats itself is cut.
    fn fmt_places(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 8;
        let places: Vec<&Place> = self.chain().filter_map(|error| error.0.place.as_ref()).collect();
        let mut left = places.len();
        let runs = places.chunk_by(|a, b| a.start == b.start && a.source.name() == b.source.name());
        for (index, run) in runs.rev().enumerate() {
            let Some(place) = run.first() else { continue };
            if index == MOST {
                return write!(f, "\n  … and {left} more");
            }
            left -= run.len();
            let (line, column) = place.source.line_column(place.start);
            let how = if index == 0 { "-->" } else { "included from" };
            write!(f, "\n  {how} {}:{line}:{}", place.source.name(), column + 1)?;
            if run.len() > 1 {
                write!(f, ", {} times in a row", run.len())?;
            }
            write!(f, "{}", Excerpt { source: &place.source, start: place.start, len: place.len })?;
        }
        Ok(())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A loop, not recursion: a chain of includes may be a thousand errors long.
        for error in self.chain() {
            f.write_str(&error.0.message)?;
            if let Some(cause) = &error.0.cause {
                f.write_str(&cause.message)?;
                if cause.source.is_some() && !cause.message.is_empty() {
                    f.write_str(": ")?;
                }
            }
        }
        if f.alternate() {
            self.fmt_places(f)?;
            for hint in self.hints() {
                write!(f, "\n  hint: {hint}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
