//! Compare, blame, report (7): the function `drift-check`. The commit that each application was brought to last, or
//! tried to be, is rendered again and compared with the live objects by a dry run; what differs is told once, and its
//! end too. Not the last that went well: what failed or is slow is for its own fix to mend, and is never put back.

pub mod drift;
mod pending;
mod self_heal;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use serde_json::{Value, json};
use slipway_cluster::lease::{self, Acquisition};
use slipway_cluster::objects::{self, ObjectRef};
use slipway_cluster::state::{self, Attempt, Operation, Reached, State, StateError, StoredState};
use slipway_cluster::{Cluster, apply, dry_run};
use slipway_gitops::api_resources::{ApiResource, GroupVersionKind};
use slipway_gitops::comparison::Rules;
use slipway_gitops::health::{self, Checks, Health};
use slipway_gitops::normalize::NormalizeError;
use slipway_gitops::status::{COMPARISON_ERROR, SyncStatus};
use slipway_gitops::{Redactor, annotations, plan, sync_status};
use slipway_manifest::{Object, ObjectId};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::app::ProjectPermissions;
use crate::app::skip::SKIPPED;
use crate::aws::Aws;
use crate::clusters::ClusterError;
use crate::config;
use crate::deploy::prepare::{self, PrepareError};
use crate::deploy::sync::{self, AppOwner, Deadlines};
use crate::deploy::{self, app_deletion};
use crate::error::{Failure, chain};
use crate::event::schedule::{self, ScheduleTrigger};
use crate::notify::report;
use crate::root::ResolvedApplication;
use crate::secret::Secrets;
use crate::services::Services;
use crate::source::Checkouts;
use crate::time;
use drift::{DriftedField, FingerprintKey};
use self_heal::SelfHealDecision;

/// Applications compared at the same time.
const APPLICATION_CONCURRENCY: usize = 4;
/// Dry runs on their way at the same time.
const DRY_RUN_CONCURRENCY: usize = 16;
/// How long the Lease lasts; a check that takes longer renews it.
const LEASE_DURATION: Duration = Duration::from_secs(30);
/// After this a sync that nobody works on is nobody's.
const ABANDONED_AFTER: Duration = Duration::from_mins(3);
/// Time kept for recording and telling, at most.
const REPORTING_RESERVE: Duration = Duration::from_secs(15);

/// The function `drift-check`.
#[derive(Clone)]
pub struct DriftChecker {
    engine: Services,
}

/// How a check of one application ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DriftReport {
    /// Objects and fields that differ now.
    pub differs: Vec<String>,
    /// Of those, how many are new since the last check.
    pub new: usize,
    /// Objects and fields that differed at the last check and do no more.
    pub resolved: Vec<String>,
    /// What could not be compared.
    pub problems: Vec<String>,
    /// Why nothing was compared.
    pub skipped: Option<&'static str>,
    /// The head of the branch that should have been deployed and was not.
    pub behind: Option<String>,
    /// Whether what differs was undone.
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
    Lock(#[from] Box<lease::LockError>),
    #[error(transparent)]
    Rules(#[from] NormalizeError),
    #[error(transparent)]
    Github(#[from] crate::source::github::GithubError),
}

impl DriftChecker {
    /// A checker with these settings; nothing is asked yet.
    pub fn new(settings: config::Settings, aws: Aws) -> Self {
        Self { engine: Services::new(settings, aws.clone(), Secrets::new(aws)) }
    }

    /// Handles a scheduled event, or a direct call; gives what was found for each application. `deadline` is when the
    /// invocation ends, `id` names it.
    pub async fn handle(&self, event: Value, deadline: Instant, id: &str) -> Result<Value, Failure> {
        let only = match schedule::read(&event) {
            ScheduleTrigger::All => None,
            ScheduleTrigger::App(name) => Some(name),
            ScheduleTrigger::Ignored(reason) => return Ok(json!({ "ignored": reason })),
        };
        let remaining = deadline.saturating_duration_since(Instant::now());
        let until = deadline.checked_sub(REPORTING_RESERVE.min(remaining / 4)).unwrap_or(deadline);
        let verdicts = self.run(only.as_deref(), until, id).await?;
        let apps: serde_json::Map<String, Value> = verdicts.into_iter().map(|(app, v)| (app, summary(&v))).collect();
        Ok(json!({ "applications": apps }))
    }

    /// Checks every application, or the one called `only`. Fails only where the root can't be read.
    pub async fn run(
        &self,
        only: Option<&str>,
        until: Instant,
        id: &str,
    ) -> Result<BTreeMap<String, DriftReport>, Failure> {
        let checkouts = Checkouts::new(self.engine.github.clone());
        let secret = self.engine.state_key().await.map_err(|error| Failure::retryable(&error))?;
        let key = &FingerprintKey(&secret);
        let root = Box::pin(self.engine.load_root(&checkouts)).await?;
        let apps = root.members.iter().filter(|app| only.is_none_or(|only| app.instance() == only));
        let mut checks = stream::iter(apps)
            .map(async |app| {
                let check = Box::pin(self.check(app, &checkouts, key, id, until));
                let verdict = match tokio::time::timeout_at(until, check).await {
                    Ok(Ok(verdict)) => verdict,
                    Ok(Err(error)) => DriftReport { problems: vec![chain(&error)], ..DriftReport::default() },
                    Err(_) => DriftReport {
                        problems: vec!["the time of this invocation is over".to_owned()],
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
                    .insert(app, DriftReport { problems, skipped: Some("it left the root"), ..DriftReport::default() });
            }
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
        let options = lease::Options {
            holder: id.to_owned(),
            duration: LEASE_DURATION,
            expires_after: Duration::ZERO,
            pending_request: String::new(),
        };
        let catches_up = app.may_catch_up(Timestamp::now());
        let Some(recorded) = state::read(&destination.cluster, &owner.key).await.map_err(Box::new)? else {
            if catches_up {
                self.deploy_pending(app, id, until).await;
            }
            return skip("it was never deployed");
        };
        let lease = match lease::acquire(&destination.cluster, &owner.key, &options).await.map_err(Box::new)? {
            Acquisition::Acquired(lease) => lease,
            Acquisition::Held { .. } => return skip("it is being deployed"),
        };
        if app.is_automated() && recorded.state.operation.as_ref().is_some_and(is_overdue) {
            lease.release().await.map_err(Box::new)?;
            self.deploy_pending(app, id, until).await;
            return skip("nobody went on with its sync: it was taken up");
        }
        let bound = lease.cluster();
        let compared =
            lease.keep_renewed(Box::pin(self.compare(app, &owner, &destination.name, &bound, checkouts, key))).await;
        match lease.release().await {
            Ok(Some(wanted)) if !wanted.is_empty() => self.deploy_pending(app, id, until).await,
            Ok(_) => {}
            Err(error) => tracing::warn!(app = owner.instance, error = chain(&error), "the lease was not given back"),
        }
        let (mut verdict, heal) = compared.map_err(Box::new)??;
        if let SelfHealDecision::Now(plan) = heal {
            match Box::pin(self.heal(app, checkouts, plan, id, until)).await {
                Ok(healed) => verdict.healed = healed,
                Err(problems) => verdict.problems.extend(problems),
            }
        }
        if catches_up && verdict.behind.is_some() {
            self.deploy_pending(app, id, until).await;
        }
        Ok(verdict)
    }

    /// Deploys what a worker wanted to deploy while we held the Lease, and left to us.
    async fn deploy_pending(&self, app: &ResolvedApplication, id: &str, until: Instant) {
        let checkouts = Checkouts::new(self.engine.github.clone());
        let request = async {
            let revision = checkouts.resolve(&app.repo, app.revision()).await?;
            Box::pin(prepare::prepare(&self.engine, &checkouts, app, &revision)).await
        };
        match Box::pin(request).await {
            Ok(request) => {
                let (_never, stop) = watch::channel(false);
                let reporter = self.engine.reporter();
                Box::pin(sync::sync(&request, reporter.as_ref(), id, Deadlines::until(until), stop)).await;
                if let Some(reporter) = reporter {
                    reporter.finish().await;
                }
            }
            Err(error) => {
                tracing::error!(app = app.instance(), error = chain(&error), "a waiting commit was not deployed");
            }
        }
    }

    async fn compare(
        &self,
        app: &ResolvedApplication,
        owner: &AppOwner,
        destination: &str,
        cluster: &Cluster,
        checkouts: &Checkouts,
        key: &FingerprintKey<'_>,
    ) -> Result<(DriftReport, SelfHealDecision), CheckError> {
        let skip = |reason| Ok((DriftReport { skipped: Some(reason), ..DriftReport::default() }, SelfHealDecision::No));
        let Some(mut recorded) = state::read(cluster, &owner.key).await.map_err(Box::new)? else {
            return skip("it was never deployed");
        };
        if recorded.state.operation.as_ref().is_some_and(|operation| !is_overdue(operation)) {
            return skip("it is being deployed");
        }
        let version = recorded.version().to_owned();
        let revision = recorded.state.attempt.revision.clone();
        if revision.is_empty() {
            let behind = self.behind(app, checkouts, &mut recorded.state).await?;
            state::write(cluster, &owner.key, &recorded.state, Some(&version)).await.map_err(Box::new)?;
            let verdict = DriftReport { skipped: Some("it was never deployed"), behind, ..DriftReport::default() };
            return Ok((verdict, SelfHealDecision::No));
        }
        let render = Box::pin(prepare::render(&self.engine, app, checkouts, &revision, destination, cluster));
        let rendered = render.await?.rendered;
        let (rules, checks) = (app.rules()?, app.checks());
        let mut compared = differences(cluster, owner, &app.permit, rendered.objects, &rules, &checks, key).await;
        pending::retain_drift(&mut compared.found, &recorded.state);
        let (new, gone) = drift::new_since(&compared.found, &recorded.state.drift, &compared.uncompared);
        let drifts: Vec<report::Drift> = new.iter().map(|found| found.drift.clone()).collect();
        let behind = self.behind(app, checkouts, &mut recorded.state).await?;
        let heal = self_heal::plan(&mut recorded.state, app, &compared, behind.is_some(), Timestamp::now());
        match &heal {
            SelfHealDecision::GivenUp => self.give_up(app, destination, &drifts_of(&compared)).await,
            SelfHealDecision::No if !drifts.is_empty() => {
                self.engine.notify(&report::drift(&owner.instance, destination, &revision, &drifts, &now())).await;
            }
            SelfHealDecision::No | SelfHealDecision::Later | SelfHealDecision::Now(_) => {}
        }
        if !gone.is_empty() {
            self.engine.notify(&report::resolved(&owner.instance, destination, &gone)).await;
        }
        let mut verdict = DriftReport {
            differs: compared.found.iter().map(|found| found.key.clone()).collect(),
            new: drifts.len(),
            resolved: gone.clone(),
            problems: compared.problems.clone(),
            skipped: None,
            behind,
            healed: false,
        };
        verdict.differs.sort();
        remember(&mut recorded, &compared, &gone);
        state::write(cluster, &owner.key, &recorded.state, Some(&version)).await.map_err(Box::new)?;
        Ok((verdict, heal))
    }

    /// The head of the followed branch, where no attempt was ever made to deploy it: its event got lost, or a person
    /// put another commit in its place. Told once.
    async fn behind(
        &self,
        app: &ResolvedApplication,
        checkouts: &Checkouts,
        state: &mut State,
    ) -> Result<Option<String>, CheckError> {
        let head = checkouts.resolve(&app.repo, app.revision()).await?;
        let Attempt { revision, reached } = &state.attempt;
        if !app.is_automated() || (head == *revision && *reached > Reached::Part) {
            state.notes.shift_remove("behind");
            return Ok(None);
        }
        // What is wrong with it was told, as well as that a window held it: then it is caught up as soon as it may.
        let status = &state.status;
        let is_told = app.permit.denied.is_some() || (status.sync.revision == head && status.has(COMPARISON_ERROR));
        if is_told || app.may_catch_up(Timestamp::now()) || app.blocked_by_window(false, Timestamp::now()).is_some() {
            return Ok(Some(head));
        }
        let known = state.notes.insert("behind".to_owned(), json!(head));
        if known.as_ref().and_then(Value::as_str) != Some(&head) {
            let (why, advice) = why_behind(state, &head, &app.instance());
            let what = format!("{} is behind its branch: {why}", app.instance());
            self.engine.notify(&report::problem(&what, &[advice])).await;
        }
        Ok(Some(head))
    }
}

/// Why the application `app` is not at the commit `head`, and what to do about it.
fn why_behind(state: &State, head: &str, app: &str) -> (String, String) {
    let Attempt { revision, .. } = &state.attempt;
    let (short, at) = (report::short(head), report::short(revision));
    let last = state.status.operation_state.as_ref().filter(|last| last.attempted() == Some(revision));
    let person = last.map(|last| last.initiator().username).filter(|name| !name.is_empty());
    let by_hand = format!("`slipway app sync {app}` brings it to {short}");
    match person {
        _ if head == revision => (format!("of {short} only a part was synced"), by_hand),
        Some(person) => (format!("{person} synced {at} last, and not {short}"), by_hand),
        None if state.status.history.iter().any(|one| one.revision == head) => {
            (format!("{at} was deployed after {short}, to which the branch went back"), by_hand)
        }
        None => {
            let advice = "redeliver it in the webhook's settings at GitHub".to_owned();
            (format!("the push of {short} was never deployed"), advice)
        }
    }
}

/// Whether nobody goes on with the sync any more: its message, or its schedule, got lost. A date that no back-off
/// reaches is damaged.
fn is_overdue(operation: &Operation) -> bool {
    let due = operation.not_before.unwrap_or(operation.started_at);
    time::since(due) > ABANDONED_AFTER || time::until(due) >= time::LONGEST
}

/// What became of comparing an application with its cluster.
#[derive(Debug, Default)]
pub struct AppComparison {
    /// What differs.
    pub found: Vec<DriftedField>,
    /// What could not be compared, in words.
    pub problems: Vec<String>,
    /// Which objects those are.
    pub uncompared: Vec<String>,
    /// Everything that Git has, but for hooks, in the version asked for.
    pub objects: BTreeMap<ObjectId, String>,
    /// The verdict on each object; hooks and copies have none.
    pub verdicts: BTreeMap<ObjectId, sync_status::ComparisonResult>,
    /// How well each object is that Git has; those without health have none.
    pub health: BTreeMap<ObjectId, Option<health::HealthStatus>>,
}

impl AppComparison {
    /// How well the application is.
    pub fn health(&self) -> Health {
        health::aggregate(self.health.values().map(Option::as_ref))
    }

    fn add_problem(&mut self, id: &ObjectId, problem: String) {
        self.problems.push(problem);
        self.uncompared.push(id.to_string());
    }
}

/// Compares `objects`, rendered for `owner`, with what a dry run of their apply would make of the live ones: one list
/// for each kind and namespace, a read only for what carries no label of ours, a dry run only for what does not prove
/// itself unchanged. What `permit` refuses is neither read nor compared.
pub async fn differences(
    cluster: &Cluster,
    owner: &AppOwner,
    permit: &ProjectPermissions,
    objects: Vec<Object>,
    rules: &Rules,
    checks: &Checks,
    key: &FingerprintKey<'_>,
) -> AppComparison {
    let mut compared = AppComparison::default();
    let wanted: BTreeSet<GroupVersionKind> = objects.iter().map(GroupVersionKind::of).collect();
    let kinds = cluster.resolve(&wanted, &BTreeSet::new()).await;
    let cluster_owner = owner.cluster();
    let desired = plan::prepare(objects, &kinds, &cluster_owner);
    for (object, error) in &desired.unresolved {
        compared.add_problem(&object.id(), format!("{}: {}", object.id(), chain(error)));
    }
    let objects: Vec<(Object, ObjectRef)> = desired
        .objects
        .into_iter()
        .filter(|object| !annotations::is_hook(object) && !annotations::is_skipped(object))
        .filter_map(|object| {
            let place = ObjectRef::of(kinds.of(&object).ok()?, &object);
            Some((object, place))
        })
        .collect();
    let mut allowed = Vec::with_capacity(objects.len());
    for pair in &objects {
        match permit.refusal(&pair.0) {
            Some(denied) => compared.add_problem(&pair.0.id(), denied.to_string()),
            None => allowed.push(pair),
        }
    }
    let mut live = live_objects(cluster, &allowed, &cluster_owner.applyset, &mut compared).await;
    let redactor = Redactor::of(objects.iter().map(|(object, _)| object).chain(live.values()));
    let cluster = &cluster.redacting(redactor.clone());
    let readable = allowed.into_iter().filter(|(object, _)| !compared.uncompared.contains(&object.id().to_string()));
    let answers: Vec<_> = stream::iter(readable)
        .map(|(object, place)| (object, place, live.remove(&place.id())))
        .map(async |(object, place, live)| {
            let found = compare_one(cluster, object, place, live.clone(), rules, key).await;
            (object, live, found)
        })
        .buffered(DRY_RUN_CONCURRENCY)
        .collect()
        .await;
    compared.objects = objects.iter().map(|(_, place)| (place.id(), place.resource.gvk.version.clone())).collect();
    let now = Timestamp::now();
    for (object, live, answer) in answers {
        let missing = || Some(health::HealthStatus::new(Health::Missing, ""));
        let mut health =
            live.as_ref().map_or_else(missing, |live| checks.of(live, now).filter(|_| !health::is_ignored(live)));
        if let Some(verdict) = &mut health {
            verdict.message = redactor.redact(&verdict.message).into_owned();
        }
        compared.health.insert(object.id(), health);
        match answer {
            Ok(more) => {
                let verdict =
                    sync_status::compare(&owner.instance, Some(object), live.as_ref(), !more.is_empty(), None);
                compared.verdicts.extend(verdict.map(|verdict| (object.id(), verdict)));
                compared.found.extend(more);
            }
            Err(failure) => compared.add_problem(&object.id(), failure.with_remedy()),
        }
    }
    for (id, extra) in &live {
        let verdict = sync_status::compare(&owner.instance, None, Some(extra), false, None);
        compared.verdicts.extend(verdict.map(|verdict| (id.clone(), verdict)));
    }
    compared
}

/// The members of the application, and whatever else stands where one of `objects` should.
async fn live_objects(
    cluster: &Cluster,
    objects: &[&(Object, ObjectRef)],
    applyset: &str,
    compared: &mut AppComparison,
) -> BTreeMap<ObjectId, Object> {
    let resources: BTreeMap<&GroupVersionKind, &Arc<ApiResource>> =
        objects.iter().map(|(_, place)| (&place.resource.gvk, &place.resource)).collect();
    let namespaces: BTreeSet<String> =
        objects.iter().map(|(_, place)| place.namespace.clone()).filter(|namespace| !namespace.is_empty()).collect();
    let mut live = objects::members(cluster, resources.into_values(), &namespaces, applyset).await.objects;
    let others: Vec<ObjectRef> =
        objects.iter().map(|(_, place)| place).filter(|place| !live.contains_key(&place.id())).cloned().collect();
    let (found, failures) = objects::get_all(cluster, &others).await;
    live.extend(found);
    for failure in failures {
        compared.add_problem(&failure.id, failure.with_remedy());
    }
    live
}

async fn compare_one(
    cluster: &Cluster,
    object: &Object,
    place: &ObjectRef,
    live: Option<Object>,
    rules: &Rules,
    key: &FingerprintKey<'_>,
) -> Result<Vec<DriftedField>, slipway_gitops::Failure> {
    let pair = dry_run::dry_run(cluster, &place.resource, object, live, &apply::Options::default(), rules).await?;
    Ok(match pair {
        Some(pair) => drift::compare(&pair.live, &pair.predicted, key, cluster.redactor()),
        None => vec![drift::missing(&place.id(), key)],
    })
}

/// What was told, and the sync status that follows from it.
fn remember(recorded: &mut StoredState, compared: &AppComparison, gone: &[String]) {
    let state = &mut recorded.state;
    for key in gone {
        state.drift.remove(key);
    }
    state.drift.extend(compared.found.iter().map(|found| (found.key.clone(), found.fingerprint.clone())));
    // Where a commit waits for a person, or can't be rendered, the status tells of that one.
    let is_current = state.status.sync.revision == state.attempt.revision;
    for resource in state.status.resources.iter_mut().filter(|resource| !resource.hook) {
        let id = resource.id();
        if is_current {
            resource.status = match compared.verdicts.get(&id) {
                Some(verdict) => Some(verdict.status),
                None if compared.uncompared.contains(&id.to_string()) => Some(SyncStatus::Unknown),
                None => Some(if resource.requires_pruning { SyncStatus::OutOfSync } else { SyncStatus::Synced }),
            };
        }
        if let Some(health) = compared.health.get(&id) {
            resource.health.clone_from(health);
        }
    }
    if compared.problems.is_empty() {
        state.status.health.set(compared.health(), Timestamp::now());
    }
    if is_current {
        let verdicts = compared.verdicts.values().copied().map(Some);
        state.status.sync.status = sync_status::aggregate(verdicts, !compared.problems.is_empty());
    }
    state.status.reconciled_at = Some(Timestamp::now());
}

fn drifts_of(compared: &AppComparison) -> Vec<report::Drift> {
    compared.found.iter().map(|found| found.drift.clone()).collect()
}

/// The time as the API server writes it.
fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn summary(verdict: &DriftReport) -> Value {
    let DriftReport { differs, new, resolved, problems, skipped, behind, healed } = verdict;
    let pairs = [
        ("differs", json!(differs)),
        ("new", json!(new)),
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
