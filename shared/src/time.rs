//! Computes times from untrusted durations: of manifests, settings, states, services. No sum overflows, which would end
//! the process, and with it every deployment in it.

#![warn(clippy::arithmetic_side_effects)]

use std::time::Duration;

use jiff::Timestamp;
use slipway_gocompat::duration as go;
use tokio::time::Instant;

/// Upper bound of every delay, whatever a manifest, a setting or a state says.
pub const LONGEST: Duration = Duration::from_hours(24);

/// Parses a duration such as `5s`, `3m` or `1h30m`; a bare number is seconds. At most [`LONGEST`]; `None` where it is
/// invalid or negative.
pub fn duration(text: &str) -> Option<Duration> {
    let whole = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => Duration::from_nanos(u64::try_from(go::parse(text).ok()?).ok()?),
    };
    Some(whole.min(LONGEST))
}

/// The instant after `delay`, at most [`LONGEST`] ahead.
pub fn after(delay: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(delay.min(LONGEST)).unwrap_or(now)
}

/// The date after `delay`, at most [`LONGEST`] ahead.
pub fn date_after(delay: Duration) -> Timestamp {
    let now = Timestamp::now();
    now.checked_add(delay.min(LONGEST)).unwrap_or(now)
}

/// Time since `at`; zero where it is in the future.
pub fn since(at: Timestamp) -> Duration {
    Duration::try_from(Timestamp::now().duration_since(at)).unwrap_or_default()
}

/// Time until `at`, at most [`LONGEST`]; zero where it has passed.
pub fn until(at: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default().min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_bounded() {
        for (text, seconds) in [
            ("7", Some(7)),
            ("1m30s", Some(90)),
            ("1.5h", Some(5_400)),
            ("0", Some(0)),
            ("+5s", Some(5)),
            ("18446744073709551615", Some(86_400)),
            ("9223372036854775807ns", Some(86_400)),
            ("2562047h47m16s", Some(86_400)),
            ("9223372036854775807h", None),
            ("340282366920938463463374607431768211456", None),
            ("-1", None),
            ("-5s", None),
            ("1e400", None),
            ("1.5", None),
            ("NaN", None),
            ("", None),
            ("s", None),
            ("5x", None),
        ] {
            assert_eq!(duration(text).map(|found| found.as_secs()), seconds, "{text:?}");
        }
    }

    #[test]
    fn no_moment_overflows() {
        let soon = Duration::from_secs(5);
        for delay in [Duration::ZERO, soon, Duration::MAX] {
            assert!(after(delay).saturating_duration_since(Instant::now()) <= LONGEST, "{delay:?}");
            assert!(until(date_after(delay)) <= delay.min(LONGEST), "{delay:?}");
        }
        assert_eq!((since(Timestamp::MAX), until(Timestamp::MIN)), (Duration::ZERO, Duration::ZERO));
        assert_eq!(until(Timestamp::MAX), LONGEST);
        assert!(since(Timestamp::MIN) > LONGEST);
    }
}
