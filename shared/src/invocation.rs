//! Runs a function's `main` and converts Lambda's deadline.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::runtime::Builder;
use tokio::time::Instant;

use crate::time;

/// Converts Lambda's deadline in milliseconds since 1970; a past one is now.
pub fn deadline(milliseconds: u64) -> Instant {
    let end = UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds)).unwrap_or(UNIX_EPOCH);
    time::after(end.duration_since(SystemTime::now()).unwrap_or_default())
}

/// Runs the async `main` of a program on this thread: all but rendering waits for others most of the time. Fails if the
/// runtime can't be created.
pub fn run<T>(main: impl AsyncFnOnce() -> T) -> io::Result<T> {
    Ok(Builder::new_current_thread().enable_all().build()?.block_on(main()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_is_now() {
        assert!(deadline(0) <= Instant::now());
        let soon = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_mins(1);
        let left = deadline(u64::try_from(soon.as_millis()).unwrap()).duration_since(Instant::now());
        assert!((58..=60).contains(&left.as_secs()), "{left:?}");
    }
}
