//! Durations, dates and schedules.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use slipway_gitops::app::project::{SyncWindow, window_status};
use slipway_gitops::app::{AppProject, Application, ClusterName};
use slipway_gocompat::duration;
use slipway_gocompat::time::{Civil, Time};
use slipway_manifest::Object;

use crate::parts;

/// A duration, and the eight first bytes as one.
pub fn duration(data: &[u8]) {
    if let Some(bytes) = data.first_chunk() {
        let nanos = i64::from_le_bytes(*bytes);
        assert_eq!(duration::parse(&duration::format(nanos)), Ok(nanos));
    }
    let Some(text) = parts::text(data) else { return };
    if let Ok(nanos) = duration::parse(text) {
        assert_eq!(duration::parse(&duration::format(nanos)), Ok(nanos), "{text}");
    }
    let _ = duration::parse_or_seconds(text);
    assert!(slipway::time::duration(text).is_none_or(|read| read <= slipway::time::LONGEST), "{text}");
}

/// As Go writes a time in JSON.
const RFC_3339: &str = "2006-01-02T15:04:05.999999999Z07:00";

/// A layout, a date by it, and a number of seconds, months and nanoseconds, a line each.
pub fn date(data: &[u8]) {
    let Some(text) = parts::text(data) else { return };
    let [layout, shown, number] = parts::lines(text);
    let number: i64 = number.trim().parse().unwrap_or(1);
    let times = [Time::parse(layout, shown), Time::parse(RFC_3339, shown), Ok(Time::unix(number))];
    for time in times.into_iter().flatten() {
        let _ = time.format(layout);
        let later = time.plus(number).plus_date(number, number, number);
        let _ = (later.since(&time), later.to_string(), later.in_zone(shown).rfc3339());
        if (0..=9_999).contains(&time.civil().year) {
            let printed = time.rfc3339();
            // The seconds of an offset are not printed, as in Go.
            let again = Time::parse(RFC_3339, &printed).map(|again| again.rfc3339());
            assert_eq!(again.as_ref(), Ok(&printed));
        }
    }
    let seconds = number / 2;
    assert_eq!(Civil::new(seconds).seconds(), seconds);
}

/// A sync window: its schedule, its duration, its time zone and the second at which it is asked, a line each.
pub fn cron(data: &[u8]) {
    let Some(text) = parts::text(data) else { return };
    let [schedule, duration, zone, second] = parts::lines(text);
    let Ok(now) = Timestamp::from_second(second.trim().parse().unwrap_or(1_700_000_000)) else { return };
    let window = |kind: &str| {
        json!({
            "kind": kind, "schedule": schedule, "duration": duration, "timeZone": zone, "applications": ["*"],
        })
    };
    for kind in ["allow", "deny"] {
        let (app, project) = (application(), project(&[window(kind), window("deny")]));
        let cluster = ClusterName::default();
        let windows: Vec<SyncWindow> = project.windows.clone();
        let _ = window_status(&windows, now);
        let Ok(Some(held)) = project.held(&app, &cluster, false, now, Some(now)) else { continue };
        let _ = held.to_string();
        if let Some(until) = held.until {
            assert!(until >= now, "{held}");
            let then = until.checked_add(SignedDuration::from_secs(1)).unwrap_or(until);
            assert_eq!(project.held(&app, &cluster, false, then, None), Ok(None), "{held}");
        }
    }
}

fn application() -> Application {
    let object = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "web"},
        "spec": {"source": {"repoURL": "https://github.com/o/r"}, "destination": {"name": "in-cluster"}},
    });
    let object = Object::from_value(object).expect("an object");
    Application::from_object(&object).expect("an Application")
}

fn project(windows: &[serde_json::Value]) -> AppProject {
    let object = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "default"},
        "spec": {"syncWindows": windows},
    });
    let object = Object::from_value(object).expect("an object");
    AppProject::from_object(&object).expect("an AppProject")
}
