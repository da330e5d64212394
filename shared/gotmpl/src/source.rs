//! A template's text, and places in it.

use std::fmt;
use std::sync::Arc;

/// The text of one parsed file, shared by the templates defined in it.
#[derive(Clone)]
pub(crate) struct Source(Arc<Inner>);

struct Inner {
    name: String,
    text: String,
}

impl Source {
    pub(crate) fn new(name: &str, text: &str) -> Self {
        Self(Arc::new(Inner { name: name.to_owned(), text: text.to_owned() }))
    }

    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn text(&self) -> &str {
        &self.0.text
    }

    /// A part of the text.
    pub(crate) fn get(&self, span: Span) -> &str {
        self.0.text.get(span.start()..span.end()).unwrap_or_default()
    }

    /// Line from 1 and byte in the line from 0, as Go counts them.
    pub(crate) fn line_column(&self, at: usize) -> (usize, usize) {
        let before = self.0.text.get(..at).unwrap_or(&self.0.text);
        let line = 1 + before.matches('\n').count();
        (line, before.len() - before.rfind('\n').map_or(0, |newline| newline + 1))
    }
}

/// Where a part of a text starts and ends, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// No text is longer than what fits: [`crate::Set::parse`] sees to it.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        let fit = |at| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: fit(start), end: fit(end) }
    }

    pub(crate) fn start(self) -> usize {
        self.start as usize
    }

    pub(crate) fn end(self) -> usize {
        self.end as usize
    }

    /// With the quotes around it.
    pub(crate) fn quoted(self) -> Self {
        Self { start: self.start.saturating_sub(1), end: self.end.saturating_add(1) }
    }

    /// From the start of this one to the end of another.
    pub(crate) fn to(self, other: Self) -> Self {
        Self { start: self.start, end: other.end }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name)
    }
}

/// Displays the line of a place with one line around it and carets below the place.
pub(crate) struct Excerpt<'a> {
    pub(crate) source: &'a Source,
    pub(crate) start: usize,
    pub(crate) len: usize,
}

/// No line of an excerpt is longer, in characters.
const MAX_WIDTH: usize = 160;

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.source.line_column(self.start);
        let width = (line + 1).to_string().len();
        let from = line.saturating_sub(1).max(1);
        for (number, text) in
            self.source.text().lines().enumerate().map(|(index, text)| (index + 1, text)).skip(from - 1)
        {
            if number > line + 1 {
                break;
            }
            let shown: String = text.chars().take(MAX_WIDTH).collect();
            write!(f, "\n  {number:width$} | {shown}")?;
            if number == line {
                // Tabs stay tabs, so that the carets stand below what they mean.
                let before: String = text
                    .get(..column)
                    .unwrap_or_default()
                    .chars()
                    .take(MAX_WIDTH)
                    .map(|c| if c == '\t' { '\t' } else { ' ' })
                    .collect();
                let marked = text.get(column..).unwrap_or_default();
                let marked = marked.get(..self.len.min(marked.len())).unwrap_or(marked).chars().count();
                let carets = marked.clamp(1, MAX_WIDTH - before.chars().count().min(MAX_WIDTH - 1));
                write!(f, "\n  {:width$} | {before}{}", "", "^".repeat(carets))?;
            }
        }
        Ok(())
    }
}
