//! Computes when a failed sync is tried again: Argo CD's back-off. Pure.
//!
//! argoproj/argo-cd `pkg/apis/application/v1alpha1/types.go` (`RetryStrategy.NextRetryAt`), `application_defaults.go`.

#![warn(clippy::arithmetic_side_effects)]

use std::time::Duration;

use crate::app;
use crate::time;

/// The back-off of failed syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Retries; unlimited where negative.
    pub limit: i64,
    /// Delay before the first retry.
    pub duration: Duration,
    /// Factor by which each delay exceeds the one before.
    pub factor: u32,
    /// Upper bound of the delay.
    pub max: Duration,
    /// Whether a person's sync is retried whatever failed, as an automated one is: where the manifest asks for retries.
    pub retries_everything: bool,
}

impl Default for Backoff {
    /// The back-off of automated syncs without `retry`.
    fn default() -> Self {
        let (duration, max) = (Duration::from_secs(5), Duration::from_mins(3));
        Self { limit: 5, duration, factor: 2, max, retries_everything: false }
    }
}

impl Backoff {
    /// Reads `syncPolicy.retry`; each duration is at most [`time::LONGEST`], and an invalid one counts as the default.
    pub fn of(retry: Option<&app::Retry>) -> Self {
        let default = Self::default();
        let Some(retry) = retry else { return default };
        let read = |text: &Option<String>| text.as_deref().and_then(time::duration);
        Self {
            limit: retry.limit,
            duration: read(&retry.duration).unwrap_or(default.duration),
            factor: retry.factor.and_then(|factor| factor.try_into().ok()).unwrap_or(default.factor),
            max: read(&retry.max_duration).unwrap_or(default.max),
            retries_everything: true,
        }
    }

    /// Delay before the next retry after `retries` of them; `None` when the limit is reached.
    pub fn next(&self, retries: u32) -> Option<Duration> {
        let delay = self.duration.saturating_mul(self.factor.saturating_pow(retries));
        (self.limit < 0 || i64::from(retries) < self.limit).then(|| delay.min(self.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(backoff: Backoff, count: u32) -> Vec<Option<u64>> {
        (0..count).map(|n| backoff.next(n).map(|delay| delay.as_secs())).collect()
    }

    #[test]
    fn the_default_is_argo_cds() {
        let wanted = [Some(5), Some(10), Some(20), Some(40), Some(80), None];
        assert_eq!(seconds(Backoff::of(None), 6), wanted);
    }

    #[test]
    fn what_the_manifest_says_counts() {
        let text = |text: &str| Some(text.to_owned());
        let retry = app::Retry { limit: -1, duration: text("1m"), factor: Some(3), max_duration: text("5m30s") };
        assert_eq!(seconds(Backoff::of(Some(&retry)), 3), [Some(60), Some(180), Some(330)]);
    }

    #[test]
    fn nothing_a_manifest_says_is_too_much() {
        let text = |text: &str| Some(text.to_owned());
        for (duration, factor, wanted) in [
            ("18446744073709551615", None, [86_400, 86_400]),
            ("9223372036854775807ns", Some(i64::MAX), [86_400, 86_400]),
            ("1h", Some(i64::from(u32::MAX)), [3_600, 86_400]),
            ("9223372036854775807h", None, [5, 10]),
            ("-5s", Some(-1), [5, 10]),
            ("1e400", Some(0), [5, 0]),
            ("0", None, [0, 0]),
        ] {
            let retry = app::Retry {
                limit: i64::MAX,
                duration: text(duration),
                factor,
                max_duration: text("18446744073709551615"),
            };
            assert_eq!(seconds(Backoff::of(Some(&retry)), 2), wanted.map(Some), "{duration}");
            assert!(Backoff::of(Some(&retry)).next(u32::MAX) <= Some(time::LONGEST));
        }
    }
}
