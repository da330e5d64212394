//! Asks the person at the terminal, or takes what flags say.

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::bail;

/// Who answers.
pub(crate) struct Terminal {
    /// Whether a person answers; otherwise each question is answered by its default.
    pub(crate) asks: bool,
}

impl Terminal {
    /// The answer to `question`: `given` by a flag, or typed, once more where it is wrong; `default` where nothing is
    /// typed. Errors: a flag is wrong, the input ends, no person answers and there is no default.
    pub(crate) fn ask(
        &self,
        question: &str,
        given: Option<&str>,
        default: Option<&str>,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> anyhow::Result<String> {
        if let Some(given) = given.or(default.filter(|_| !self.asks)) {
            return check(given).map(|()| given.to_owned()).map_err(anyhow::Error::msg);
        }
        if !self.asks {
            bail!("nothing answers `{question}`: give it by its flag");
        }
        loop {
            let shown = default.filter(|default| !default.is_empty()).map(|default| format!(" [{default}]"));
            crate::print(&format!("{question}{}: ", shown.unwrap_or_default()));
            let typed = line(question)?;
            let answer = if typed.is_empty() { default.unwrap_or_default() } else { &typed };
            match check(answer) {
                Ok(()) => return Ok(answer.to_owned()),
                Err(why) => crate::println(&format!("  {why}")),
            }
        }
    }

    /// Whether `question` is answered with yes.
    pub(crate) fn confirm(&self, question: &str, default: bool) -> anyhow::Result<bool> {
        let word = if default { "yes" } else { "no" };
        let check = |answer: &str| match answer {
            "y" | "yes" | "n" | "no" => Ok(()),
            other => Err(format!("yes or no, not `{other}`")),
        };
        Ok(self.ask(question, None, Some(word), check)?.starts_with('y'))
    }
}

/// One line of the input; shown where it does not come from a terminal, which shows it itself.
fn line(question: &str) -> anyhow::Result<String> {
    let mut line = String::new();
    let mut input = std::io::stdin().lock();
    if input.read_line(&mut line)? == 0 {
        bail!("the input ended at `{question}`: give it by its flag");
    }
    let line = line.trim().to_owned();
    if !input.is_terminal() {
        crate::println(&line);
    }
    Ok(line)
}
