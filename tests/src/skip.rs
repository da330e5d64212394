//! What a test does where the machine lacks what a real part is made from.

use std::env;
use std::io::Write;

/// Why a real part cannot be had.
#[derive(Debug)]
pub enum Unavailable {
    /// A program that this machine does not have.
    Missing(&'static str),
    /// Everything is there and still it failed: never a skip.
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Unavailable {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// The part, or `None` after a line that says why this test is skipped.
///
/// # Panics
/// If the part failed, or if it is missing while `SLIPWAY_REQUIRE_REAL_PARTS=1`.
pub fn or_skip<T>(what: &str, part: Result<T, Unavailable>) -> Option<T> {
    match part {
        Ok(part) => Some(part),
        Err(Unavailable::Failed(error)) => panic!("{what}: {error:#}"),
        Err(Unavailable::Missing(program)) => {
            let required = env::var("SLIPWAY_REQUIRE_REAL_PARTS").is_ok_and(|value| value == "1");
            assert!(!required, "{what} needs `{program}`, which is not on the PATH");
            say(&format!("skipped: {what} needs `{program}`, which is not on the PATH"));
            None
        }
    }
}

/// Prints a progress line that the test runner does not capture.
pub fn say(line: &str) {
    let thread = std::thread::current();
    let _ = writeln!(std::io::stderr(), "slipway-tests [{}]: {line}", thread.name().unwrap_or("-"));
}
