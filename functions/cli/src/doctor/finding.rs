//! What a check came to, and how it is printed.

use clap::ValueEnum;
use serde_json::{Value, json};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Ok,
    Warn,
    Fail,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One line: what was checked, what came of it, and the command that mends it.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    pub(super) check: String,
    pub(super) level: Level,
    pub(super) text: String,
    pub(super) remedy: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &str, text: impl Into<String>) -> Self {
        Self { check: check.to_owned(), level: Level::Ok, text: text.into(), remedy: None }
    }

    pub(super) fn warn(check: &str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check: check.to_owned(), level: Level::Warn, text: text.into(), remedy: Some(remedy.into()) }
    }

    pub(super) fn fail(check: &str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check: check.to_owned(), level: Level::Fail, text: text.into(), remedy: Some(remedy.into()) }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

/// Prints one finding at once, so that a slow check is seen to be one; JSON is printed whole by [`print_all`].
pub(super) fn print(finding: &Finding, format: Format) {
    if format == Format::Text {
        crate::print(&text(finding));
    }
}

/// Prints what is printed of all of them together.
pub(super) fn print_all(findings: &[Finding], format: Format) {
    let count = |level| findings.iter().filter(|one| one.level == level).count();
    match format {
        Format::Text => crate::println(&format!(
            "{} checks: {} ok, {} to look at, {} failed",
            findings.len(),
            count(Level::Ok),
            count(Level::Warn),
            count(Level::Fail)
        )),
        Format::Json => crate::println(&format!("{:#}", json(findings))),
    }
}

fn text(finding: &Finding) -> String {
    let remedy = finding.remedy.as_ref().map(|remedy| format!("{:23}→ {remedy}\n", "")).unwrap_or_default();
    format!("{:<5}{:<18}{}\n{remedy}", finding.level.word(), finding.check, finding.text)
}

fn json(findings: &[Finding]) -> Value {
    let one = |one: &Finding| {
        let result = one.level.word();
        json!({"check": one.check, "result": result, "message": one.text, "remedy": one.remedy})
    };
    json!({"checks": findings.iter().map(one).collect::<Vec<_>>()})
}
