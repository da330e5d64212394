//! Classifies the errors that leave a function: a stable class for alarms and the queue, and one line with the whole
//! chain.

use std::error::Error as StdError;
use std::fmt;

use crate::printable::printable;

/// Whether to try again. The names are stable: alarms count them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The same event may succeed later: a service was down, a limit or a deadline was reached.
    Retryable,
    /// The same event fails again until a person changes something.
    Terminal,
}

impl Class {
    /// The name that Lambda reports as the error's type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Retryable => "Slipway.Retryable",
            Self::Terminal => "Slipway.Terminal",
        }
    }
}

/// An error at the function's edge: its class, and its message with all causes in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Decides whether the event is delivered again.
    pub class: Class,
    /// The message, causes after colons.
    pub message: String,
}

impl Failure {
    /// `error` with its causes, as retryable.
    pub fn retryable(error: &(dyn StdError + 'static)) -> Self {
        Self { class: Class::Retryable, message: chain(error) }
    }

    /// `error` with its causes, as terminal.
    pub fn terminal(error: &(dyn StdError + 'static)) -> Self {
        Self { class: Class::Terminal, message: chain(error) }
    }
}

impl Failure {
    /// `error` with its causes, as `retryable` or terminal.
    pub fn of(error: &(dyn StdError + 'static), retryable: bool) -> Self {
        if retryable { Self::retryable(error) } else { Self::terminal(error) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Failure {}

impl From<Failure> for lambda_runtime::Diagnostic {
    fn from(failure: Failure) -> Self {
        Self { error_type: failure.class.name().to_owned(), error_message: failure.message }
    }
}

/// Joins the error and its causes in one line; a cause that the line already ends with is not repeated.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !text.is_empty() && !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        next = cause.source();
    }
    printable(&line.replace(['\n', '\r'], " ")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to apply Deployment/shop/web")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("connection\nrefused")]
    struct Inner;

    #[test]
    fn the_chain_is_one_line() {
        let failure = Failure::retryable(&Outer(Inner));
        assert_eq!(failure.to_string(), "failed to apply Deployment/shop/web: connection refused");
        let diagnostic = lambda_runtime::Diagnostic::from(failure);
        assert_eq!(diagnostic.error_type, "Slipway.Retryable");
    }
}
