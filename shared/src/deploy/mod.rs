//! Handles the two halves of `github-webhook`: requests of its URL, and messages of its queue. A message says that a
//! branch moved; everything else is read from the branch head itself, so that late, doubled and reordered messages do
//! no harm.

pub mod app_deletion;
mod batch;
mod charts;
pub(crate) mod children;
mod files;
pub mod inputs;
pub mod lookups;
pub mod prepare;
mod pull_requests;
pub mod selection;
pub(crate) mod skip;
pub mod trust;

mod dependencies;
mod manual;
mod recorded;
mod remotes;
pub(crate) mod render_failure;
mod select;
mod statuses;
mod summary;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use serde_json::{Value, json};
use slipway_gitops::Revisions;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::app::skip::SKIPPED;
use crate::aws::Aws;
use crate::config;
use crate::error::{Class, Failure, chain};
use crate::event::queue::{self, HostPush, Message, MessageBody, Push, ResumeMessage};
use crate::event::webhook_queue::WebhookQueue;
use crate::notify::report::{self, AppSyncStatus};
use crate::notify::reporter::Reporter;
use crate::notify::subscribe::Subscriptions;
use crate::reconcile::sync::{self, Continuation, Deadlines, Resume, SyncOutcome};
use crate::root::ResolvedApplication;
use crate::secret::Secrets;
use crate::services::Services;
use crate::source::{Checkouts, Repo};
use crate::time;
use batch::PushBatch;
pub(crate) use dependencies::dependencies;
pub use recorded::load_root;
use select::BranchHead;
use statuses::Outcomes;

/// Applications that are synced concurrently: most of them wait for the cluster at any moment.
const APPLICATION_CONCURRENCY: usize = 32;
/// How often a waiting worker checks whether the branch has moved on.
const BRANCH_POLL_INTERVAL: Duration = Duration::from_secs(10);
/// Upper bound of the time that is reserved for recording and notifying.
const REPORTING_RESERVE: Duration = Duration::from_secs(15);
/// How long a push waits for hooks and waves in its own invocation, before it hands over.
pub(crate) const IN_INVOCATION_WAIT: Duration = Duration::from_mins(1);
/// The postponement of a message that people are told of: its service has been down for about 15 minutes.
const TOLD_POSTPONEMENT: u32 = 4;
/// Maximum re-runs when another worker requested the same application while we held its Lease.
const MAX_REQUEUES: usize = 3;

/// The function `github-webhook`: answers requests of its URL, processes messages of its queue, or does both.
#[derive(Clone)]
pub struct WebhookHandler {
    queue: WebhookQueue,
    worker: Option<Arc<WebhookWorker>>,
}

impl WebhookHandler {
    /// Creates what `settings` ask for; sends no request yet.
    pub fn new(settings: config::GithubWebhook, aws: Aws) -> Self {
        let config::GithubWebhook { webhook, engine } = settings;
        let secrets = Secrets::new(aws.clone());
        let queue = WebhookQueue::new(webhook, secrets.clone(), aws.clone());
        let worker = engine.map(|engine| {
            Arc::new(WebhookWorker { queue: queue.clone(), engine: Services::new(engine, aws, secrets) })
        });
        Self { queue, worker }
    }

    /// Handles an event: messages of the queue (`Records`), or a request of the URL. The invocation ends at `deadline`.
    pub async fn handle(&self, event: Value, deadline: Instant, id: &str) -> Result<Value, Failure> {
        if event.get("Records").is_none() {
            return Ok(Box::pin(self.queue.answer(event)).await);
        }
        let Some(worker) = &self.worker else {
            let message = "failed to process a message: this function answers the URL alone, SLIPWAY_ROOT is not set";
            return Err(Failure { class: Class::Retryable, message: message.to_owned() });
        };
        worker.handle(event, deadline, id).await
    }
}

/// The worker half of `github-webhook`.
struct WebhookWorker {
    queue: WebhookQueue,
    engine: Services,
}

/// The result of a message.
#[derive(Default)]
struct Summary {
    /// The outcome of each application.
    outcomes: BTreeMap<String, SyncOutcome>,
    /// Whether the message must be delivered again.
    retry: bool,
    /// Why not even the applications could be found, where that is so.
    failure: Option<String>,
}

impl Summary {
    /// Nothing could be done at all.
    fn failed(failure: Failure) -> Self {
        let retry = failure.class == Class::Retryable;
        Self { retry, failure: Some(failure.message), ..Self::default() }
    }

    /// Nothing was done in time.
    fn late() -> Self {
        Self { retry: true, failure: Some("deadline of this invocation exceeded".to_owned()), ..Self::default() }
    }

    /// Why the message must be delivered again.
    fn causes(&self) -> impl Iterator<Item = String> {
        let retried = self.outcomes.values().filter(|outcome| outcome.retry);
        self.failure.iter().chain(retried.filter_map(|outcome| outcome.problems.first())).cloned()
    }
}

impl WebhookWorker {
    /// Processes the messages of `event`. The invocation ends at `deadline`.
    async fn handle(&self, event: Value, deadline: Instant, id: &str) -> Result<Value, Failure> {
        let records = queue::read(event).map_err(|error| Failure::terminal(&error))?;
        let receipts: Vec<String> = records.iter().map(|record| record.receipt.clone()).collect();
        tokio::select! {
            answer = Box::pin(self.process_batch(records, deadline, id)) => Ok(answer),
            never = self.queue.extend_visibility(&receipts) => match never {},
        }
    }

    async fn process_batch(&self, records: Vec<queue::Record>, deadline: Instant, id: &str) -> Value {
        let mut failed: Vec<String> = Vec::new();
        let mut stuck: BTreeSet<String> = BTreeSet::new();
        for record in records {
            let message = match record.message {
                Ok(message) => message,
                Err(error) => {
                    tracing::error!(message = record.id, error, "a message that can't be read is dropped");
                    continue;
                }
            };
            // Messages of one group stay in order: those behind a failed one wait for it.
            if stuck.contains(&message.group()) || !self.process_message(&message, deadline, id).await {
                stuck.insert(message.group());
                failed.push(record.id);
            }
        }
        queue::failures(failed.iter().map(String::as_str))
    }

    /// Returns whether the message is done with; else SQS delivers it again.
    async fn process_message(&self, message: &Message, deadline: Instant, id: &str) -> bool {
        let summary = match &message.body {
            MessageBody::Push(push) => {
                let what = format!("{} of {}", push.branch(), push.repo);
                tracing::info!(what, after = push.after, delivery = push.delivery, "deploying");
                self.run(&what, Box::pin(self.select(push)), deadline, id).await
            }
            MessageBody::HostPush(push) => {
                let what = format!("{} of {}", push.branches.join(", "), push.places.join(" or "));
                tracing::info!(what, delivery = push.delivery, "deploying");
                self.run(&what, Box::pin(self.select_host_push(push)), deadline, id).await
            }
            MessageBody::PullRequest(event) => {
                let what = format!("pull request {} of {}", event.pull_request, event.repo);
                tracing::info!(what, action = event.action, delivery = event.delivery, "deploying");
                self.run(&what, Box::pin(self.select_pull_request(event)), deadline, id).await
            }
            MessageBody::Resume(rest) => self.resume(rest, deadline, id).await,
        };
        if !summary.retry {
            return true;
        }
        let Some(at) = self.queue.postpone(message).await else { return false };
        tracing::warn!(what = %message, %at, "put off");
        if message.postponed == TOLD_POSTPONEMENT {
            let what = format!("{message} waits for a service that fails");
            let hint = "it is tried again every 15 minutes; nothing is lost".to_owned();
            let causes = summary.causes().chain([hint]).collect::<Vec<_>>();
            self.engine.notify(&report::problem(&what, &causes)).await;
        }
        true
    }

    /// Resumes a sync that an earlier invocation handed over.
    async fn resume(&self, rest: &ResumeMessage, deadline: Instant, id: &str) -> Summary {
        let until = report_deadline(deadline);
        tracing::info!(app = rest.app, operation = rest.operation, attempt = rest.attempt, "going on");
        let work = async {
            let checkouts = self.engine.checkouts();
            let mut root = load_root(&self.engine, &checkouts).await?;
            let waiting = waiting(&root.members);
            let found = root.members.iter().position(|member| member.instance() == rest.app);
            let Some(member) = found.map(|at| root.members.swap_remove(at)) else {
                let mut removed = Box::pin(app_deletion::find(&self.engine, &root)).await;
                removed.retain(|removed| removed.key.instance() == rest.app);
                let branch = BranchHead {
                    repo: root.checkout.repo.clone(),
                    reference: self.engine.root.location.revision.clone(),
                    head: root.checkout.sha.clone(),
                };
                return Ok(PushBatch { removed, projects: root.projects, ..PushBatch::new(checkouts, vec![branch]) });
            };
            let heads = member.tracked.resolve(&checkouts).await;
            let heads = heads.map_err(|error| Failure::of(&error, error.is_retryable()))?;
            let branches = member.tracked.at(&heads).into_iter().flatten().filter_map(|(source, head)| {
                let repo = source.git()?.clone();
                Some(BranchHead { repo, reference: source.revision.clone(), head: head.to_owned() })
            });
            let branches = branches.collect();
            let resumes = Some(rest.operation.clone()).filter(|id| Resume::of(id) != Resume::RefreshHealth);
            let reporter = self.engine.reporter();
            Ok::<_, Failure>(PushBatch {
                members: vec![member],
                resume_operation: resumes,
                reporter,
                attempt: rest.attempt,
                is_continuation: true,
                waiting,
                ..PushBatch::new(checkouts, branches)
            })
        };
        match tokio::time::timeout_at(until, Box::pin(work)).await {
            Ok(Ok(work)) => Box::pin(self.sync_applications(work, until, id)).await,
            Ok(Err(failure)) => {
                tracing::error!(error = failure.message, "failed to resume the sync");
                Summary::failed(failure)
            }
            Err(_) => Summary::late(),
        }
    }

    /// Syncs every application that `select` gives for the event `what`.
    async fn run(
        &self,
        what: &str,
        select: impl Future<Output = Result<PushBatch, Failure>>,
        deadline: Instant,
        id: &str,
    ) -> Summary {
        let until = report_deadline(deadline);
        match tokio::time::timeout_at(until, select).await {
            Ok(Ok(work)) => Box::pin(self.sync_applications(work, until, id)).await,
            Ok(Err(failure)) => {
                tracing::error!(what, error = failure.message, class = ?failure.class, "failed to deploy");
                if failure.class == Class::Terminal {
                    let what = format!("{what} can't be deployed");
                    self.engine.notify(&report::problem(&what, std::slice::from_ref(&failure.message))).await;
                }
                Summary::failed(failure)
            }
            Err(_) => Summary::late(),
        }
    }

    /// Selects the applications that track the branch, each with its commit; those that it changes nothing for apart.
    async fn select(&self, push: &Push) -> Result<PushBatch, Failure> {
        let checkouts = self.engine.checkouts();
        let reference = format!("heads/{}", push.branch());
        let head = match checkouts.resolve(&push.repo, &reference).await {
            Ok(head) => head,
            Err(error) if error.is_no_commit() => {
                tracing::info!("the branch is gone");
                return Ok(PushBatch::new(checkouts, Vec::new()));
            }
            Err(error) => return Err(Failure::of(&error, error.is_retryable())),
        };
        let root = load_root(&self.engine, &checkouts).await?;
        let is_root = root.is_declared_by(&push.repo, &head);
        if is_root && !root.problems.is_empty() {
            self.engine.notify(&report::problem("Some declarations at the root can't be used", &root.problems)).await;
        }
        let waiting = waiting(&root.members);
        let removed = if is_root { Box::pin(app_deletion::find(&self.engine, &root)).await } else { Vec::new() };
        let mut members = Vec::new();
        for member in root.members {
            let followed = select::tracks(&member, push, &head, &checkouts).await;
            if !followed.map_err(|error| Failure::of(&error, error.is_retryable()))? && !is_root {
                continue;
            }
            members.push(member);
        }
        members.sort_by_key(|member| member.depth);
        let keys = self.engine.state_keys().await.map_err(|error| Failure::retryable(&error))?;
        let known = Box::pin(inputs::deployed(&self.engine, &members)).await;
        let location = &self.engine.root.location;
        let named = Box::pin(inputs::unchanged((location, &keys), &members, &known, &head, &checkouts)).await;
        let (unchanged, members) = members.into_iter().partition(|member| named.contains(&member.instance()));
        let reporter = self.engine.reporter();
        let projects = root.projects;
        let branch = BranchHead { repo: push.repo.clone(), reference, head };
        let batch = PushBatch::new(checkouts, vec![branch]);
        Ok(PushBatch { members, unchanged, reporter, removed, projects, waiting, ..batch })
    }

    /// Selects the applications with a source on another host that tracks one of the branches, or `HEAD`.
    async fn select_host_push(&self, push: &HostPush) -> Result<PushBatch, Failure> {
        let checkouts = self.engine.checkouts();
        let root = load_root(&self.engine, &checkouts).await?;
        let waiting = waiting(&root.members);
        let mut members: Vec<ResolvedApplication> =
            root.members.into_iter().filter(|member| select::tracks_host(member, push)).collect();
        members.sort_by_key(|member| member.depth);
        let keys = self.engine.state_keys().await.map_err(|error| Failure::retryable(&error))?;
        let known = Box::pin(inputs::deployed(&self.engine, &members)).await;
        let location = &self.engine.root.location;
        let named = Box::pin(inputs::unchanged((location, &keys), &members, &known, "", &checkouts)).await;
        let (unchanged, members) = members.into_iter().partition(|member| named.contains(&member.instance()));
        let (reporter, projects) = (self.engine.reporter(), root.projects);
        Ok(PushBatch { members, unchanged, reporter, projects, waiting, ..PushBatch::new(checkouts, Vec::new()) })
    }

    async fn sync_applications(&self, work: PushBatch, until: Instant, id: &str) -> Summary {
        let (moved, stop) = watch::channel(false);
        let work = &work;
        let syncs = async {
            stream::iter(&work.members)
                .map(|member| self.sync_application(member, work, until, id, stop.clone()))
                .buffer_unordered(APPLICATION_CONCURRENCY)
                .collect::<Vec<_>>()
                .await
        };
        let done = tokio::select! {
            done = syncs => done,
            never = self.watch_branches(work, &moved) => match never {},
        };
        let mut summary = Summary::default();
        let mut outcomes: BTreeMap<CommitStatusTarget, Outcomes<'_>> = BTreeMap::new();
        for (app, targets, outcome) in &done {
            summary.retry |= outcome.retry;
            summary.retry |= !self.enqueue_continuation(app, outcome).await;
            for target in targets {
                outcomes.entry(target.clone()).or_default().done.push((app, outcome));
            }
        }
        for member in &work.unchanged {
            let Ok(heads) = member.tracked.resolve(&work.checkouts).await else { continue };
            for target in self.targets(member, &heads, &select::moved(member, &heads, &work.branches)) {
                outcomes.entry(target).or_default().unchanged.insert(member.instance());
            }
        }
        tracing::info!(applications = work.unchanged.len(), "unchanged");
        self.requeue_dependents(work, &done).await;
        for removed in &work.removed {
            let times = self.times(until, work.members.is_empty());
            if let Some(outcome) =
                Box::pin(app_deletion::delete_application(&self.engine, &work.projects, removed, id, times)).await
            {
                let app = removed.key.instance();
                summary.retry |= outcome.retry;
                summary.retry |= !self.enqueue_continuation(&app, &outcome).await;
                summary.outcomes.insert(app, outcome);
            }
        }
        if let Some(reporter) = &work.reporter {
            reporter.finish().await;
        }
        statuses::set(&self.engine.github, outcomes).await;
        summary.outcomes.extend(done.into_iter().map(|(app, _, outcome)| (app, outcome)));
        for (app, outcome) in &summary.outcomes {
            let SyncOutcome { phase, changes, problems, .. } = outcome;
            tracing::info!(
                app,
                ?phase,
                changes = json!(changes).to_string(),
                problems = json!(problems).to_string(),
                "done"
            );
        }
        summary
    }

    /// Queues the continuation of a sync; returns whether that succeeded.
    async fn enqueue_continuation(&self, app: &str, outcome: &SyncOutcome) -> bool {
        let Some(Continuation { operation, attempt, not_before }) = outcome.next.clone() else { return true };
        match self.queue.send_resume(ResumeMessage { app: app.to_owned(), operation, attempt }, not_before).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(app, error = chain(&error), "failed to queue the continuation of a sync");
                false
            }
        }
    }

    /// Requeues the applications that wait for one that was just synced and that are not part of this batch.
    async fn requeue_dependents(&self, work: &PushBatch, done: &[(String, Vec<CommitStatusTarget>, SyncOutcome)]) {
        let here = work.members.iter().chain(&work.unchanged);
        let here: BTreeSet<String> = here.map(ResolvedApplication::instance).collect();
        let well = done
            .iter()
            .filter(|(_, _, outcome)| outcome.phase == AppSyncStatus::Healthy && !outcome.changes.is_empty());
        for (app, targets, _) in well {
            let shas: Vec<&str> = targets.iter().map(|(_, sha, _)| report::short(sha)).collect();
            let sha = shas.join("-");
            for waiting in work.waiting.get(app).into_iter().flatten().filter(|waiting| !here.contains(*waiting)) {
                let look = ResumeMessage {
                    app: waiting.clone(),
                    operation: Resume::refresh_id(&format!("{app}-{sha}")),
                    attempt: 0,
                };
                if let Err(error) = self.queue.send_resume(look, None).await {
                    tracing::warn!(app = waiting, error = chain(&error), "failed to requeue a dependent of {app}");
                }
            }
        }
    }

    /// Syncs one application; repeats while the Lease carries a pending request.
    async fn sync_application(
        &self,
        member: &ResolvedApplication,
        work: &PushBatch,
        until: Instant,
        id: &str,
        stop: watch::Receiver<bool>,
    ) -> (String, Vec<CommitStatusTarget>, SyncOutcome) {
        let first = self.sync_once(member, &work.checkouts, work, until, id, stop.clone());
        let (mut outcome, mut targets) = Box::pin(first).await;
        for _ in 1..MAX_REQUEUES {
            if !outcome.requeue {
                break;
            }
            let checkouts = self.engine.checkouts();
            (outcome, targets) = Box::pin(self.sync_once(member, &checkouts, work, until, id, stop.clone())).await;
        }
        (member.instance(), targets, outcome)
    }

    async fn sync_once(
        &self,
        member: &ResolvedApplication,
        checkouts: &Checkouts,
        work: &PushBatch,
        until: Instant,
        id: &str,
        stop: watch::Receiver<bool>,
    ) -> (SyncOutcome, Vec<CommitStatusTarget>) {
        let reporter = work.reporter.as_ref();
        let heads = member.tracked.resolve(checkouts).await;
        let revisions = heads.as_ref().map_or_else(|_| member.tracked.unresolved(), Revisions::clone);
        let moved = select::moved(member, &revisions, &work.branches);
        let source = select::reported(member, &moved);
        let told = (&revisions, source);
        if member.app.is_skipped {
            // Reported when the annotation appears, not again with every push.
            let reporter = if skip::note(&self.engine, member, id).await { reporter } else { None };
            let outcome = SyncOutcome {
                phase: AppSyncStatus::Skipped,
                problems: vec![skipped(member)],
                ..SyncOutcome::default()
            };
            return (self.report(member, told, reporter, outcome, id).await, Vec::new());
        }
        if let Err(error) = heads {
            let outcome = SyncOutcome::failed(chain(&error), error.is_retryable());
            return (self.report(member, told, reporter, outcome, id).await, Vec::new());
        }
        let targets = self.targets(member, &revisions, &moved);
        if member.is_automated()
            && let Some(held) = member.blocked_by_window(false, Timestamp::now())
        {
            let outcome = SyncOutcome { phase: AppSyncStatus::Held, problems: vec![held], ..SyncOutcome::default() };
            return (self.report(member, told, reporter, outcome, id).await, targets);
        }
        let outcome = match Box::pin(prepare::prepare(&self.engine, checkouts, member, &revisions)).await {
            Ok(mut request) if !member.is_automated() => {
                request.reported = source;
                Box::pin(manual::compare(&self.engine, reporter, &request, id)).await
            }
            Ok(mut request) => {
                request.reported = source;
                request.resume_operation.clone_from(&work.resume_operation);
                // A long sync goes on in the application's own message group, so that it does not delay other commits
                // of the branch.
                let times = Deadlines { attempt: work.attempt, ..self.times(until, work.is_continuation) };
                request.policy.depends_on = match dependencies(&self.engine, member, checkouts, &work.ready).await {
                    Ok(after) => after,
                    Err(failure) => {
                        let retry = failure.class == Class::Retryable;
                        let outcome = SyncOutcome::failed(failure.message, retry);
                        return (self.report(member, told, reporter, outcome, id).await, targets);
                    }
                };
                Box::pin(sync::sync(&request, reporter, id, times, stop)).await
            }
            Err(error) => {
                render_failure::record(&self.engine, member, &revisions, &error, id).await;
                let outcome = SyncOutcome::failed(chain(&error), error.is_retryable());
                self.report(member, told, reporter, outcome, id).await
            }
        };
        (outcome, targets)
    }

    /// The commit statuses that tell of `member` at `revisions`, of whose sources those at the places `moved` did.
    fn targets(&self, member: &ResolvedApplication, revisions: &Revisions, moved: &[usize]) -> Vec<CommitStatusTarget> {
        let label = self.engine.clusters.display_name(&member.permit.cluster);
        let pairs = member.tracked.at(revisions).into_iter().flatten().enumerate();
        let pairs = pairs.filter(|(at, _)| moved.contains(at));
        // A chart has no commit but that of the root, which names it.
        let root = (&self.engine.root.location.url.repo, member.root.as_str());
        let commits = pairs.map(|(_, (source, sha))| source.git().map_or(root, |repo| (repo, sha)));
        let commits: BTreeSet<(&Repo, &str)> = commits.collect();
        commits.into_iter().map(|(repo, sha)| (repo.clone(), sha.to_owned(), label.to_owned())).collect()
    }

    /// Derives the deadlines of this invocation.
    fn times(&self, until: Instant, resumes: bool) -> Deadlines {
        let rests = self.queue.has_scheduler();
        let hand_over_at = if resumes && !rests { until } else { until.min(time::after(IN_INVOCATION_WAIT)) };
        Deadlines { hand_over_at, timeout: self.engine.sync_timeout, reschedules: rests, ..Deadlines::until(until) }
    }

    /// Reports an application that is not even tried, at a commit of one of its sources, unless a retry follows.
    async fn report(
        &self,
        member: &ResolvedApplication,
        (revisions, at): (&Revisions, usize),
        reporter: Option<&Reporter>,
        outcome: SyncOutcome,
        id: &str,
    ) -> SyncOutcome {
        if !outcome.retry && !member.app.is_skipped {
            skip::note(&self.engine, member, id).await;
        }
        let commit = member.tracked.at(revisions).and_then(|mut pairs| pairs.nth(at));
        if let (Some(reporter), Some((source, sha))) = (reporter.filter(|_| !outcome.retry), commit) {
            let deployment = report::SyncReport {
                app: &member.instance(),
                cluster: self.engine.clusters.display_name(&member.permit.cluster),
                repo: &source.repository.to_string(),
                sha,
                phase: outcome.phase,
                changes: &outcome.changes,
                problems: &outcome.problems,
                warnings: &member.app.warnings,
            };
            reporter.notify(&deployment, &Subscriptions::of(&member.app.object), None).await;
        }
        outcome
    }

    /// Sets `moved` when a branch is no longer at its head: the message of the newer commit waits behind this one, or
    /// for the Lease.
    async fn watch_branches(&self, work: &PushBatch, moved: &watch::Sender<bool>) -> std::convert::Infallible {
        let mut etags = vec![None; work.branches.len()];
        loop {
            tokio::time::sleep(BRANCH_POLL_INTERVAL).await;
            for (BranchHead { repo, reference, head }, etag) in work.branches.iter().zip(&mut etags) {
                if let Ok(Some(now)) = Box::pin(self.engine.github.resolve_again(repo, reference, etag)).await
                    && now != *head
                {
                    moved.send_replace(true);
                }
            }
        }
    }
}

/// The target of a commit status: repository, commit and cluster.
type CommitStatusTarget = (Repo, String, String);

/// The message for an Application with the annotation to skip it.
fn skipped(member: &ResolvedApplication) -> String {
    format!("{} {SKIPPED}", member.instance())
}

/// Maps each application to those that depend on it.
fn waiting(members: &[ResolvedApplication]) -> BTreeMap<String, BTreeSet<String>> {
    let mut waiting: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for member in members {
        for sibling in member.after.iter().flatten() {
            waiting.entry(sibling.instance.clone()).or_default().insert(member.instance());
        }
    }
    waiting
}

/// The deadline that leaves time to record and notify.
fn report_deadline(deadline: Instant) -> Instant {
    let remaining = deadline.saturating_duration_since(Instant::now());
    deadline.checked_sub(REPORTING_RESERVE.min(remaining / 4)).unwrap_or(deadline)
}
