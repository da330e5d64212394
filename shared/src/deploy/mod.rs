//! Plan, apply, prune, health (6): the worker half of `github-webhook`. A message says that a branch moved; what follows
//! from that is read from the branch head itself, so that late, doubled and reordered messages do no harm.

pub mod job;
pub mod sync;

mod select;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::app::Application;
use crate::aws::Aws;
use crate::config;
use crate::engine::Engine;
use crate::error::{Failure, chain};
use crate::event::intake::Intake;
use crate::event::queue::{self, Push};
use crate::notify::report::{self, Phase};
use crate::source::github::State;
use crate::source::{Checkouts, Repo};
use sync::Outcome;

/// Applications brought to their commit at the same time.
const AT_ONCE: usize = 8;
/// How often a worker that waits looks whether the branch has moved on.
const LOOK: Duration = Duration::from_secs(10);
/// Time kept for recording and telling, at most.
const REPORTING: Duration = Duration::from_secs(15);
/// Rounds in which applications are done again because somebody found us at work on them.
const ROUNDS: usize = 3;

/// The function `github-webhook`: answers requests of its URL, works off messages of its queue.
#[derive(Clone)]
pub struct Deployer {
    intake: Intake,
    engine: Engine,
}

/// What a message led to, for the log and the tests.
#[derive(Debug, Default)]
pub struct Summary {
    /// How each application ended.
    pub outcomes: BTreeMap<String, Outcome>,
    /// Whether the message shall come again.
    pub retry: bool,
}

impl Deployer {
    /// A deployer with these settings; nothing is asked yet.
    pub fn new(settings: config::GithubWebhook, aws: Aws) -> Self {
        let config::GithubWebhook { webhook, engine } = settings;
        let engine = Engine::new(engine, aws.clone());
        Self { intake: Intake::new(webhook, engine.secrets.clone(), aws), engine }
    }

    /// Handles an event: messages of the queue (`Records`), or else a request of the URL. `deadline` is when the
    /// invocation ends.
    pub async fn handle(&self, event: Value, deadline: Instant, id: &str) -> Result<Value, Failure> {
        if event.get("Records").is_none() {
            return Ok(self.intake.answer(event).await);
        }
        let records = queue::read(event).map_err(|error| Failure::terminal(&error))?;
        let mut failed: Vec<String> = Vec::new();
        let mut stuck: BTreeSet<String> = BTreeSet::new();
        for record in records {
            let push = match record.push {
                Ok(push) => push,
                Err(error) => {
                    tracing::error!(message = record.id, error, "a message that can't be read is dropped");
                    continue;
                }
            };
            // A group keeps its order: what comes after a failed message waits for it.
            if stuck.contains(&push.group()) || self.run(&push, deadline, id).await.retry {
                stuck.insert(push.group());
                failed.push(record.id);
            }
        }
        Ok(queue::failures(failed.iter().map(String::as_str)))
    }

    /// Brings every application that follows the branch of `push` to its head.
    pub async fn run(&self, push: &Push, deadline: Instant, id: &str) -> Summary {
        let remaining = deadline.saturating_duration_since(Instant::now());
        let until = deadline.checked_sub(REPORTING.min(remaining / 4)).unwrap_or(deadline);
        tracing::info!(repo = %push.repo, branch = push.branch(), after = push.after, delivery = push.delivery, "deploying");
        match tokio::time::timeout_at(until, Box::pin(self.select(push))).await {
            Ok(Ok(work)) => Box::pin(self.work(push, work, until, id)).await,
            Ok(Err(failure)) => {
                let retry = failure.class == crate::error::Class::Retryable;
                tracing::error!(error = failure.message, retry, "the push can't be deployed");
                if !retry {
                    let what = format!("{} of {} can't be deployed", push.branch(), push.repo);
                    self.engine.tell(&report::problem(&what, &[failure.message])).await;
                }
                Summary { outcomes: BTreeMap::new(), retry }
            }
            Err(_) => Summary { outcomes: BTreeMap::new(), retry: true },
        }
    }

    /// What follows the branch, at which commit.
    async fn select(&self, push: &Push) -> Result<Work, Failure> {
        let checkouts = Checkouts::new(self.engine.github.clone());
        let branch = format!("heads/{}", push.branch());
        let head = match checkouts.resolve(&push.repo, &branch).await {
            Ok(head) => head,
            Err(error) if error.is_not_found() => {
                tracing::info!("the branch is gone");
                return Ok(Work { checkouts, head: String::new(), apps: Vec::new() });
            }
            Err(error) => return Err(Failure::of(&error, error.is_retryable())),
        };
        let root = self.engine.root(&checkouts).await?;
        let mut apps = Vec::new();
        let is_root = root.repo() == &push.repo && root.sha() == head;
        for app in root.applications {
            let followed = select::follows(&app, push, &head, &checkouts).await;
            let followed = followed.map_err(|error| Failure::of(&error, error.is_retryable()))?;
            if followed || is_root {
                apps.push(app);
            }
        }
        let (automated, manual): (Vec<_>, Vec<_>) = apps.into_iter().partition(select::is_automated);
        for app in manual {
            tracing::info!(app = app.instance(), "has no automated sync: left as it is");
        }
        if is_root && !root.problems.is_empty() {
            self.engine.tell(&report::problem("Some Applications can't be read", &root.problems)).await;
        }
        Ok(Work { checkouts, head, apps: automated })
    }

    async fn work(&self, push: &Push, work: Work, until: Instant, id: &str) -> Summary {
        let (moved, stop) = watch::channel(false);
        let work = &work;
        let syncs = async {
            stream::iter(&work.apps)
                .map(|app| self.bring(app, work, until, id, stop.clone()))
                .buffer_unordered(AT_ONCE)
                .collect::<Vec<_>>()
                .await
        };
        let done = tokio::select! {
            done = syncs => done,
            never = self.watch_branch(push, &work.head, &moved) => match never {},
        };
        let mut summary = Summary::default();
        let mut statuses: BTreeMap<(Repo, String, String), Vec<&Outcome>> = BTreeMap::new();
        for (_, _, outcome) in &done {
            summary.retry |= outcome.retry;
        }
        for (_, target, outcome) in &done {
            if let Some(target) = target {
                statuses.entry(target.clone()).or_default().push(outcome);
            }
        }
        self.set_statuses(statuses).await;
        summary.outcomes = done.into_iter().map(|(app, _, outcome)| (app, outcome)).collect();
        for (app, outcome) in &summary.outcomes {
            let Outcome { phase, changes, problems, .. } = outcome;
            tracing::info!(app, ?phase, changes = json!(changes).to_string(), problems = json!(problems).to_string(), "done");
        }
        summary
    }

    /// One application; again while somebody left a wish on its Lease.
    async fn bring(
        &self,
        app: &Application,
        work: &Work,
        until: Instant,
        id: &str,
        stop: watch::Receiver<bool>,
    ) -> (String, Option<(Repo, String, String)>, Outcome) {
        let name = app.instance();
        let mut fresh;
        let mut checkouts = &work.checkouts;
        for round in 1.. {
            let job = match Box::pin(job::prepare(&self.engine, checkouts, app)).await {
                Ok(job) => job,
                Err(error) => {
                    let outcome = Outcome::failed(chain(&error), error.is_retryable());
                    if !outcome.retry {
                        let what = format!("{name} can't be deployed");
                        self.engine.tell(&report::problem(&what, &outcome.problems)).await;
                    }
                    return (name, error.into_target(), outcome);
                }
            };
            let target = Some((job.repo.clone(), job.revision.clone(), job.destination.name.clone()));
            let slack = self.engine.slack.as_ref();
            let outcome = Box::pin(sync::sync(&job, slack, id, until, stop.clone())).await;
            if !outcome.again || round >= ROUNDS {
                return (name, target, outcome);
            }
            fresh = Checkouts::new(self.engine.github.clone());
            checkouts = &fresh;
        }
        unreachable!("the last round returns")
    }

    /// Says `moved` when the branch is no longer at `head`: its next message is waiting behind this one.
    async fn watch_branch(&self, push: &Push, head: &str, moved: &watch::Sender<bool>) -> std::convert::Infallible {
        let branch = format!("heads/{}", push.branch());
        loop {
            tokio::time::sleep(LOOK).await;
            if let Ok(now) = self.engine.github.resolve(&push.repo, &branch).await
                && now != head
            {
                moved.send_replace(true);
            }
        }
    }

    async fn set_statuses(&self, statuses: BTreeMap<(Repo, String, String), Vec<&Outcome>>) {
        for ((repo, sha, cluster), outcomes) in statuses {
            let (state, description) = select::verdict(&outcomes);
            let context = format!("slipway/{cluster}");
            if let Err(error) = self.engine.github.set_status(&repo, &sha, &context, state, &description).await {
                tracing::warn!(error = chain(&error), "the commit status was not set");
            }
        }
    }
}

struct Work {
    checkouts: Checkouts,
    head: String,
    apps: Vec<Application>,
}
