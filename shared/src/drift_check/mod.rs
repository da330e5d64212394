//! Detects drift: the function `drift-check`. Renders again the commits that each application was last synced to, or
//! tried, and compares it with the live objects by a dry run; reports each difference once, and once when it is
//! resolved. It does not compare with the last successful commit: that would undo a failed or slow deployment, which
//! only a fix of its own may.

mod examine;
mod pending;
mod promote;
mod self_heal;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use serde_json::{Value, json};
use slipway_cluster::Cluster;
use slipway_cluster::lease::LockError;
use slipway_cluster::state::{self, Operation, StateError};
use slipway_gitops::normalize::NormalizeError;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::app::skip::SKIPPED;
use crate::aws::Aws;
use crate::clusters::ClusterError;
use crate::config;
use crate::deploy::prepare::{self, PrepareError};
use crate::deploy::{self, app_deletion};
use crate::error::{Class, Failure, chain};
use crate::event::schedule::{self, ScheduleTrigger};
use crate::image::run::ImageUpdater;
use crate::notify::report::{self, Drift};
use crate::reconcile::drift::FingerprintKey;
use crate::reconcile::notes::Note as _;
use crate::reconcile::session::{self, Opened, Session};
use crate::reconcile::sync::dependencies::ReadyCache;
use crate::reconcile::sync::{self, AppOwner, Deadlines};
use crate::root::ResolvedApplication;
use crate::secret::Secrets;
use crate::services::Services;
use crate::source::Checkouts;
use crate::time;
use examine::{Examination, Examined, Version};
use self_heal::SelfHealDecision;

/// Applications that are compared concurrently: a check has minutes and should leave the API server to syncs.
const APPLICATION_CONCURRENCY: usize = 4;
/// A recorded operation without a Lease holder counts as abandoned after this.
const ABANDONED_AFTER: Duration = Duration::from_mins(3);
/// Time kept for recording and telling, at most.
const REPORTING_RESERVE: Duration = Duration::from_secs(15);

/// The function `drift-check`: its settings and clients.
#[derive(Clone)]
pub struct DriftChecker {
    engine: Services,
    images: Arc<ImageUpdater>,
}

/// The result of checking one application.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DriftReport {
    /// Objects and fields that differ.
    pub differs: Vec<String>,
    /// Those of them that are new since the last check.
    pub new: Vec<Drift>,
    /// Objects and fields that differed at the last check and no longer do.
    pub resolved: Vec<String>,
    /// What could not be compared, one line each.
    pub problems: Vec<String>,
    /// Why the application was not compared.
    pub skipped: Option<&'static str>,
    /// The heads of the branches that should have been deployed and were not, one for each source.
    pub behind: Option<String>,
    /// Whether the differences were self-healed.
    pub healed: bool,
}

#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error(transparent)]
    Job(#[from] PrepareError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    State(#[from] Box<StateError>),
    #[error(transparent)]
    Lock(#[from] Box<LockError>),
    #[error(transparent)]
    Rules(#[from] NormalizeError),
    #[error(transparent)]
    Source(#[from] crate::source::SourceError),
}

impl DriftChecker {
    /// Creates the checker; sends no request yet.
    pub fn new(settings: config::Settings, aws: Aws) -> Self {
        let engine = Services::new(settings, aws.clone(), Secrets::new(aws.clone()));
        Self { images: Arc::new(ImageUpdater::of_services(&engine, aws)), engine }
    }

    /// Handles a scheduled event or a direct call; returns the result for each application. The invocation `id` ends at
    /// `deadline`.
    pub async fn handle(&self, event: Value, deadline: Instant, id: &str) -> Result<Value, Failure> {
        let only = match schedule::read(&event) {
            ScheduleTrigger::All => None,
            ScheduleTrigger::App(name) => Some(name),
            ScheduleTrigger::Ignored(reason) => return Ok(json!({ "ignored": reason })),
        };
        let remaining = deadline.saturating_duration_since(Instant::now());
        let until = deadline.checked_sub(REPORTING_RESERVE.min(remaining / 4)).unwrap_or(deadline);
        let results = Box::pin(self.run(only.as_deref(), until, id)).await?;
        let apps: serde_json::Map<String, Value> = results.into_iter().map(|(app, v)| (app, summary(&v))).collect();
        Ok(json!({ "applications": apps }))
    }

    /// Checks every application, or the one named `only`. Fails only where the root can't be read.
    pub async fn run(
        &self,
        only: Option<&str>,
        until: Instant,
        id: &str,
    ) -> Result<BTreeMap<String, DriftReport>, Failure> {
        let checkouts = self.engine.checkouts();
        let keys = self.engine.state_keys().await.map_err(|error| Failure::retryable(&error))?;
        let key = &FingerprintKey(&keys);
        let root = Arc::new(Box::pin(self.engine.load_root(&checkouts)).await?);
        let apps = root.members.iter().filter(|app| only.is_none_or(|only| app.instance() == only));
        let mut checks = stream::iter(apps)
            .map(async |app| {
                let check = Box::pin(self.check(app, &checkouts, key, id, until));
                let verdict = match tokio::time::timeout_at(until, check).await {
                    Ok(Ok(verdict)) => verdict,
                    Ok(Err(error)) => DriftReport { problems: vec![chain(&error)], ..DriftReport::default() },
                    Err(_) => DriftReport {
                        problems: vec!["deadline of this invocation exceeded".to_owned()],
                        ..DriftReport::default()
                    },
                };
                (app.instance(), verdict)
            })
            .buffer_unordered(APPLICATION_CONCURRENCY)
            .collect::<BTreeMap<_, _>>()
            .await;
        for leaver in Box::pin(app_deletion::find(&self.engine, &root)).await {
            let app = leaver.key.instance();
            if only.is_none_or(|only| app == only) && Instant::now() < until {
                let times = Deadlines { timeout: self.engine.sync_timeout, ..Deadlines::until(until) };
                let outcome =
                    Box::pin(app_deletion::delete_application(&self.engine, &root.projects, &leaver, id, times)).await;
                let problems = outcome.map(|outcome| outcome.problems).unwrap_or_default();
                checks
                    .insert(app, DriftReport { problems, skipped: Some("manifest removed"), ..DriftReport::default() });
            }
        }
        if only.is_none() {
            Box::pin(self.promote(&root, until, id)).await;
        }
        for (app, verdict) in &checks {
            tracing::info!(app, verdict = summary(verdict).to_string(), "checked");
        }
        Ok(checks)
    }

    async fn check(
        &self,
        app: &ResolvedApplication,
        checkouts: &Checkouts,
        key: &FingerprintKey<'_>,
        id: &str,
        until: Instant,
    ) -> Result<DriftReport, CheckError> {
        let skip = |reason| Ok(DriftReport { skipped: Some(reason), ..DriftReport::default() });
        if app.app.is_skipped {
            deploy::skip::note(&self.engine, app, id).await;
            return skip(SKIPPED);
        }
        let declared = &app.app.destination;
        let destination = self.engine.clusters.get(&declared.server, &declared.name).await?;
        let owner = prepare::owner(&self.engine, app);
        let catches_up = app.is_automated() && app.blocked_by_window(false, Timestamp::now()).is_none();
        let recorded = state::read(&destination.cluster, &owner.key).await;
        if let Err(error @ (StateError::Forged { .. } | StateError::Damaged { .. })) = &recorded
            && session::is_news(&destination.cluster, &owner.key, id, error).await
        {
            let what = format!("{} is not checked", app.instance());
            self.engine.notify(&report::problem(&what, &[chain(error)])).await;
        }
        let Some(recorded) = recorded.map_err(Box::new)? else {
            if catches_up {
                Box::pin(self.deploy_pending(app, id, until)).await;
            }
            return skip("not deployed yet");
        };
        let application = Examined { app, owner: &owner, destination: &destination.name, checkouts, key };
        if let Some(report) = Box::pin(self.without_news(&application, &destination.cluster, &recorded.state)).await? {
            return Ok(report);
        }
        let session = match Session::open(&destination.cluster, &owner.key, id).await.map_err(Box::new)? {
            Opened::Ours(session) => session,
            Opened::HeldBy(_) => return skip("operation already in progress"),
        };
        if app.is_automated() && recorded.state.operation.as_ref().is_some_and(is_overdue) {
            session.close().await;
            Box::pin(self.deploy_pending(app, id, until)).await;
            return skip("resumed an abandoned operation");
        }
        let examined = session.hold(Box::pin(self.examine_and_record(&application, &session))).await;
        if session.close().await.is_some_and(|pending_request| !pending_request.is_empty()) {
            Box::pin(self.deploy_pending(app, id, until)).await;
        }
        let Examination { mut report, heal, lost, .. } = examined.map_err(Box::new)??;
        if let SelfHealDecision::Now(plan) = heal {
            match Box::pin(self.heal(app, checkouts, plan, id, until)).await {
                Ok(healed) => report.healed = healed,
                Err(problems) => report.problems.extend(problems),
            }
        }
        if let (true, Some(lost)) = (catches_up, lost)
            && !Box::pin(self.deploy_pending(app, id, until)).await
        {
            self.note_made_up_for(&destination.cluster, &owner, &lost, id).await?;
        }
        Ok(report)
    }

    /// Notes that the `lost` version was tried and is still not there: it is not tried again and again.
    async fn note_made_up_for(
        &self,
        cluster: &Cluster,
        owner: &AppOwner,
        lost: &Version,
        id: &str,
    ) -> Result<(), CheckError> {
        let Opened::Ours(session) = Session::open(cluster, &owner.key, id).await.map_err(Box::new)? else {
            return Ok(());
        };
        let noted = async {
            let Some(mut stored) = session.read().await? else { return Ok(()) };
            if lost.is_tried_by(&stored.state.attempt) {
                return Ok(());
            }
            lost.made_up_for().keep(&mut stored.state);
            let version = stored.version().to_owned();
            session.write(&mut stored.state, Some(&version)).await
        };
        let noted = noted.await;
        session.close().await;
        Ok(noted.map_err(Box::new)?)
    }

    /// Deploys the head of the branch: a worker requested it while the check held the Lease, or its event got lost.
    /// Gives whether the same may succeed later without a change.
    async fn deploy_pending(&self, app: &ResolvedApplication, id: &str, until: Instant) -> bool {
        let checkouts = self.engine.checkouts();
        let request = async {
            let heads = app.tracked.resolve(&checkouts).await?;
            Box::pin(prepare::prepare(&self.engine, &checkouts, app, &heads)).await
        };
        match Box::pin(request).await {
            Ok(mut request) => {
                match deploy::dependencies(&self.engine, app, &checkouts, &ReadyCache::default()).await {
                    Ok(depends_on) => request.policy.depends_on = depends_on,
                    Err(failure) => {
                        let problem = failure.message;
                        tracing::error!(app = app.instance(), problem, "failed to deploy a pending commit");
                        return failure.class == Class::Retryable;
                    }
                }
                let (_never, stop) = watch::channel(false);
                let reporter = self.engine.reporter();
                // What takes longer goes on at a later check: there are other applications to look at.
                let hand_over_at = until.min(time::after(deploy::IN_INVOCATION_WAIT));
                let times = Deadlines { hand_over_at, timeout: self.engine.sync_timeout, ..Deadlines::until(until) };
                let outcome = Box::pin(sync::sync(&request, reporter.as_ref(), id, times, stop)).await;
                if let Some(reporter) = reporter {
                    reporter.finish().await;
                }
                outcome.retry
            }
            Err(error) => {
                tracing::error!(app = app.instance(), error = chain(&error), "failed to deploy a pending commit");
                let Ok(heads) = app.tracked.resolve(&checkouts).await else { return true };
                if deploy::render_failure::record(&self.engine, app, &heads, &error, id).await {
                    let what = format!("{} of {} can't be deployed", heads.short(), app.instance());
                    self.engine.notify(&report::problem(&what, &[chain(&error)])).await;
                }
                error.is_retryable()
            }
        }
    }
}

/// Whether the sync is abandoned: its message or its schedule was lost. A date beyond every back-off is damaged.
fn is_overdue(operation: &Operation) -> bool {
    let due = operation.not_before.unwrap_or(operation.started_at);
    time::since(due) > ABANDONED_AFTER || time::until(due) >= time::LONGEST
}

/// The current time in the API server's format.
fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn summary(verdict: &DriftReport) -> Value {
    let DriftReport { differs, new, resolved, problems, skipped, behind, healed } = verdict;
    let pairs = [
        ("differs", json!(differs)),
        ("new", json!(new.len())),
        ("resolved", json!(resolved)),
        ("problems", json!(problems)),
        ("skipped", json!(skipped)),
        ("behind", json!(behind)),
        ("healed", json!(healed)),
    ];
    let is_empty = |value: &Value| {
        value.is_null() || value == &json!(false) || value.as_array().is_some_and(Vec::is_empty) || value == &json!(0)
    };
    pairs.into_iter().filter(|(_, value)| !is_empty(value)).map(|(key, value)| (key.to_owned(), value)).collect()
}
