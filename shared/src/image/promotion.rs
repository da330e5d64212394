//! Promotes images from one Application to the next (dev → stage → prod): decides by the recorded status whether an
//! Application has run its images long enough for the one that is promoted from it.

use std::time::Duration;

use jiff::Timestamp;
use slipway_cluster::state;
use slipway_gitops::health::Health;
use slipway_gitops::status::{Status, SyncStatus};

use super::{ImageTags, Reference, TagInfo};
use crate::app::Application;
use crate::deploy::prepare;
use crate::error::chain;
use crate::reconcile::notes::{Note as _, ReportedPromotions};
use crate::root::{ResolvedApplication, Root};
use crate::services::Services;
use crate::time;

/// The Application whose images another one gets.
pub const PROMOTE_FROM: &str = "slipway.dev/promote-from";
/// How long they have to be synced and healthy there.
const PROMOTE_AFTER: &str = "slipway.dev/promote-after";
/// The same where the Application says nothing.
const SOAK_TIME: Duration = Duration::from_mins(10);

/// An Application that is promoted from another one, and how far that is.
#[derive(Debug, Clone)]
pub struct Promotion {
    /// Namespace and name of the Application that gets the images.
    pub app: String,
    /// The Application that they come from, as it is named.
    pub from: String,
    /// The commit that runs there, shortened; empty where none does.
    pub revision: String,
    /// Since when it is synced and healthy there.
    pub since: Option<Timestamp>,
    /// The images that run there, by repository.
    pub tags: ImageTags,
    /// Whether the images may come.
    pub verdict: Verdict,
    /// What was told last of why they do not.
    pub told: Option<String>,
}

/// Whether images may be promoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// They have run well for long enough.
    Ready,
    /// Not yet, and why.
    Waits(String),
    /// They do not run well: what was proposed of them is taken back.
    Stopped(String),
}

impl Promotion {
    /// What a commit says of why it is made.
    pub fn evidence(&self) -> String {
        let since = self.since.map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()).unwrap_or_default();
        match &self.verdict {
            Verdict::Ready => {
                format!("Promoted from {}: Synced to {} and Healthy since {since}.", self.from, self.revision)
            }
            Verdict::Waits(why) | Verdict::Stopped(why) => format!("Not promoted from {}: {why}.", self.from),
        }
    }

    fn waits(app: &ResolvedApplication, from: &str, why: String) -> Self {
        let (namespace, name) = app.identity();
        Self {
            app: format!("{namespace}/{name}"),
            from: from.to_owned(),
            revision: String::new(),
            since: None,
            tags: ImageTags::new(),
            verdict: Verdict::Waits(why),
            told: None,
        }
    }
}

/// How long images have to run well before they come to `app`. Fails where that can't be read.
fn soak_time(app: &Application) -> Result<Duration, String> {
    let Some(text) = app.annotation(PROMOTE_AFTER) else { return Ok(SOAK_TIME) };
    time::duration(text).ok_or_else(|| format!("annotation {PROMOTE_AFTER}: `{text}` is no duration such as `30m`"))
}

/// The promotions that `root` declares, each as the recorded state of its source says.
pub async fn promotions(engine: &Services, root: &Root, now: Timestamp) -> Vec<Promotion> {
    let mut found = Vec::new();
    for app in &root.members {
        let Some(from) = app.app.annotation(PROMOTE_FROM).map(str::trim) else { continue };
        found.push(promotion(engine, root, (app, from), now).await);
    }
    found
}

async fn promotion(
    engine: &Services,
    root: &Root,
    (app, from): (&ResolvedApplication, &str),
    now: Timestamp,
) -> Promotion {
    let waits = |why: String| Promotion::waits(app, from, why);
    let soak = match soak_time(&app.app) {
        Ok(soak) => soak,
        Err(why) => return waits(why),
    };
    let sources: Vec<&ResolvedApplication> = root.members.iter().filter(|one| one.is_named(from)).collect();
    let [source] = sources.as_slice() else {
        return waits(format!("{} Applications of the root are named `{from}`", sources.len()));
    };
    if source.identity() == app.identity() {
        return waits("it names itself".to_owned());
    }
    let declared = &source.app.destination;
    let connected = match engine.clusters.get(&declared.server, &declared.name).await {
        Ok(connected) => connected,
        Err(error) => return waits(chain(&error)),
    };
    let state = match state::read(&connected.cluster, &prepare::owner(engine, source).key).await {
        Ok(Some(recorded)) if recorded.state.is_unsigned => {
            return waits("its recorded state is not signed".to_owned());
        }
        Ok(Some(recorded)) => recorded.state,
        Ok(None) => return waits("it was never deployed".to_owned()),
        Err(error) => return waits(chain(&error)),
    };
    let status = &state.status;
    let (verdict, since) = judge(status, soak, now);
    let revision = status.sync.revisions.short();
    let mut promotion = Promotion { revision, since, tags: tags(status), verdict, ..waits(String::new()) };
    promotion.told =
        ReportedPromotions::of(&state).and_then(|ReportedPromotions(told)| told.get(&promotion.app).cloned());
    promotion
}

/// Whether what `status` is of ran well for the soak time, and since when.
fn judge(status: &Status, soak: Duration, now: Timestamp) -> (Verdict, Option<Timestamp>) {
    let health = &status.health;
    let failed = status.operation_state.as_ref().filter(|last| last.phase.is_failed());
    if health.status == Health::Degraded {
        return (Verdict::Stopped("it is Degraded".to_owned()), None);
    }
    if let Some(failed) = failed {
        return (Verdict::Stopped(format!("its last sync has failed: {}", failed.message)), None);
    }
    if status.sync.status != SyncStatus::Synced || health.status != Health::Healthy {
        return (Verdict::Waits(format!("it is {} and {}", status.sync.status, health.status)), None);
    }
    if status.operation_state.as_ref().is_some_and(|last| !last.phase.is_completed()) {
        return (Verdict::Waits("it is being synced".to_owned()), None);
    }
    let deployed = status.history.last().map(|last| last.deployed_at);
    let Some(since) = deployed.max(health.last_transition_time) else {
        return (Verdict::Waits("it was never deployed".to_owned()), None);
    };
    let ends = since.checked_add(soak).unwrap_or(Timestamp::MAX);
    if ends > now {
        let ends = ends.strftime("%Y-%m-%dT%H:%M:%SZ");
        return (Verdict::Waits(format!("it is Synced and Healthy, and soaks until {ends}")), Some(since));
    }
    (Verdict::Ready, Some(since))
}

/// The images that run, by repository; none of a repository that runs with several tags.
fn tags(status: &Status) -> ImageTags {
    let mut tags = ImageTags::new();
    for image in &status.summary.images {
        let image = Reference::parse(image);
        let Some(tag) = image.tag.clone().filter(|tag| !tag.is_empty()) else { continue };
        tags.entry(image.repository()).or_default().push(TagInfo { tag, digest: image.digest, ..TagInfo::default() });
    }
    tags.retain(|_, of| of.len() == 1);
    tags
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(edit: impl FnOnce(&mut Value)) -> Status {
        let mut status = json!({
            "sync": {"status": "Synced", "revision": "a".repeat(40)},
            "health": {"status": "Healthy", "lastTransitionTime": "2026-01-01T10:00:00Z"},
            "history": [{"id": 0, "revision": "a".repeat(40), "deployedAt": "2026-01-01T10:20:00Z"}],
            "summary": {"images": ["r.io/team/web:1.2.0", "r.io/team/db:1@sha256:00", "r.io/two:1", "r.io/two:2",
                "plain"]},
        });
        edit(&mut status);
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn only_what_ran_well_for_the_soak_time_is_ready() {
        let judged =
            |at: &str, edit: &dyn Fn(&mut Value)| judge(&status(edit), Duration::from_mins(10), at.parse().unwrap()).0;
        let late = "2026-01-01T11:00:00Z";
        // From the later of both, the deployment and the health, to the second.
        assert_eq!(judged("2026-01-01T10:30:00Z", &|_| {}), Verdict::Ready);
        let soaks = "it is Synced and Healthy, and soaks until 2026-01-01T10:30:00Z".to_owned();
        assert_eq!(judged("2026-01-01T10:29:59Z", &|_| {}), Verdict::Waits(soaks));
        let recovered = |status: &mut Value| status["health"]["lastTransitionTime"] = json!("2026-01-01T10:55:00Z");
        assert!(matches!(judged(late, &recovered), Verdict::Waits(why) if why.contains("until 2026-01-01T11:05:00Z")));
        for (key, value, verdict) in [
            ("/health/status", "Degraded", Verdict::Stopped("it is Degraded".to_owned())),
            ("/health/status", "Progressing", Verdict::Waits("it is Synced and Progressing".to_owned())),
            ("/sync/status", "OutOfSync", Verdict::Waits("it is OutOfSync and Healthy".to_owned())),
        ] {
            let edit = |status: &mut Value| *status.pointer_mut(key).unwrap() = json!(value);
            assert_eq!(judged(late, &edit), verdict);
        }
        let operation = |phase: &str| {
            let phase = phase.to_owned();
            move |status: &mut Value| {
                status["operationState"] = json!({"phase": phase, "message": "no", "startedAt": "2026-01-01T10:30:00Z",
                    "operation": {}});
            }
        };
        let failed = Verdict::Stopped("its last sync has failed: no".to_owned());
        assert_eq!(judged(late, &operation("Failed")), failed);
        assert_eq!(judged(late, &operation("Running")), Verdict::Waits("it is being synced".to_owned()));
        assert_eq!(judged(late, &operation("Succeeded")), Verdict::Ready);
        assert_eq!(judge(&Status::default(), Duration::ZERO, late.parse().unwrap()).0, {
            Verdict::Waits("it is Unknown and Unknown".to_owned())
        });
    }

    #[test]
    fn images_of_two_tags_are_not_taken() {
        let tags = tags(&status(|_| {}));
        let found: Vec<(&str, &str)> = tags.iter().map(|(image, of)| (image.as_str(), of[0].tag.as_str())).collect();
        assert_eq!(found, [("r.io/team/db", "1"), ("r.io/team/web", "1.2.0")]);
    }
}
