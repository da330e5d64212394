//! Answers webhook requests with one queue call, and sends the queue's other messages.

#![warn(clippy::arithmetic_side_effects)]

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use slipway_gocompat::glob::Glob;

use super::github::{self, Reply, Request, WebhookResult};
use super::queue::{Message, ResumeMessage};
use super::scheduler;
use crate::aws::Aws;
use crate::config;
use crate::error::chain;
use crate::secret::{SecretError, Secrets};
use crate::time;

/// Seconds for which a message stays invisible after each heartbeat: a killed worker's message is delivered again then.
const VISIBILITY_SECONDS: i32 = 120;
/// Interval of the heartbeats: two may fail before the message becomes visible.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(40);

/// How long after a rotation the webhook's previous secret is accepted: both sides are changed by then, and a secret
/// that leaked does not open the URL for ever.
const ROTATION: Duration = Duration::from_hours(24);

/// Answers webhooks, and sends and extends messages of the queue.
#[derive(Debug, Clone)]
pub struct WebhookQueue {
    settings: config::Webhook,
    secrets: Secrets,
    aws: Aws,
}

/// Shorter delays are not worth a schedule, whose precision is a minute.
const MIN_SCHEDULE_DELAY: Duration = Duration::from_secs(10);

/// Why a message could not be queued.
#[derive(Debug, thiserror::Error)]
#[error("failed to queue the message ({code})")]
pub struct QueueError {
    code: String,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl WebhookQueue {
    /// Creates it with these settings; sends no request to AWS yet.
    pub fn new(settings: config::Webhook, secrets: Secrets, aws: Aws) -> Self {
        Self { settings, secrets, aws }
    }

    /// Answers the request of a Function URL (payload version 2.0). Failures on our side are a 500, which GitHub shows
    /// beside the delivery, with a button to redeliver it; causes are only logged.
    pub async fn answer(&self, event: Value) -> Value {
        let Some(name) = &self.settings.secret else {
            let text = "this function works on the queue alone: SLIPWAY_WEBHOOK_SECRET is not set";
            return reject(Reply::new(404, text)).into_value();
        };
        let request = match Request::read(event) {
            Ok(request) => request,
            Err(reply) => return reject(reply).into_value(),
        };
        match Box::pin(self.is_signed(&request, name)).await {
            Ok(true) => {}
            Ok(false) => return reject(github::unsigned()).into_value(),
            Err(error) => {
                tracing::error!(error = chain(&error), "the webhook's secret can't be read");
                return Reply::new(500, "the webhook's secret can't be read").into_value();
            }
        }
        let digest = request.digest();
        let message = match request.into_result() {
            WebhookResult::Enqueue(message) => message,
            WebhookResult::Reply(reply) => return reject(reply).into_value(),
        };
        let repositories = message.repositories();
        if !repositories.is_empty() && !repositories.iter().any(|repository| self.is_listed(repository)) {
            let reply = Reply::new(403, format!("{} is none of SLIPWAY_REPOSITORIES", repositories.join(" or ")));
            return reject(reply).into_value();
        }
        let delivery = message.deduplication();
        let reply = match self.send(&message, digest).await {
            Ok(()) => {
                tracing::info!(what = %message, delivery, "queued");
                Reply::new(202, format!("queued: {message}"))
            }
            Err(error) => {
                tracing::error!(error = chain(&error), delivery, "not queued");
                Reply::new(500, "the event could not be queued")
            }
        };
        reply.into_value()
    }

    /// Whether the request is signed with the webhook's secret, or with the one before it: GitHub does not repeat what
    /// is refused while one of the two sides is changed already.
    async fn is_signed(&self, request: &Request, name: &str) -> Result<bool, SecretError> {
        if request.is_signed_with(&self.secrets.get(name).await?)
            || request.is_signed_with(&self.secrets.reload(name).await?)
        {
            return Ok(true);
        }
        let previous = self.secrets.previous(name, Some(ROTATION)).await?;
        Ok(previous.is_some_and(|previous| request.is_signed_with(&previous)))
    }

    /// Whether events of the repository are accepted.
    fn is_listed(&self, repository: &str) -> bool {
        let repo = repository.to_lowercase();
        let mut listed = self.settings.repositories.iter();
        self.settings.repositories.is_empty()
            || listed.any(|pattern| Glob::of_paths(&pattern.to_lowercase()).matches(&repo))
    }

    /// Whether messages can be delayed for long.
    pub fn has_scheduler(&self) -> bool {
        self.settings.schedule_role.is_some()
    }

    /// Queues the continuation of a sync, at `at` where that is some time ahead; at once where it can't be delayed.
    pub async fn send_resume(&self, rest: ResumeMessage, at: Option<Timestamp>) -> Result<(), QueueError> {
        let message = rest.into();
        let is_ahead = |at: &Timestamp| time::until(*at) > MIN_SCHEDULE_DELAY;
        if let (Some(role), Some(at)) = (&self.settings.schedule_role, at.filter(is_ahead)) {
            match scheduler::send(&self.aws, role, &self.settings.queue_url, &message, at).await {
                Ok(()) => return Ok(()),
                Err(error) => tracing::error!(error = chain(&error), "it is queued at once"),
            }
        }
        self.send(&message, message.deduplication()).await
    }

    /// Sends a message again after a pause, so that no outage makes it a dead letter. Returns until when it waits;
    /// `None` where it can't be delayed, or was for long enough: then SQS delivers it again.
    pub async fn postpone(&self, message: &Message) -> Option<Timestamp> {
        let role = self.settings.schedule_role.as_ref()?;
        let (next, pause) = message.postpone()?;
        let at = time::date_after(pause);
        match scheduler::send(&self.aws, role, &self.settings.queue_url, &next, at).await {
            Ok(()) => Some(at),
            Err(error) => {
                tracing::error!(error = chain(&error), "it is not put off");
                None
            }
        }
    }

    /// Queues `message`, unless one with the same `deduplication` id was queued within five minutes.
    async fn send(&self, message: &Message, deduplication: String) -> Result<(), QueueError> {
        let body = serde_json::to_string(message)
            .map_err(|error| QueueError { code: "unwritable".to_owned(), source: Box::new(error) })?;
        let sqs = self.aws.sqs().await;
        sqs.send_message()
            .queue_url(&self.settings.queue_url)
            .message_group_id(message.group())
            .message_deduplication_id(deduplication)
            .message_body(body)
            .send()
            .await
            .map(|_| ())
            .map_err(|error| QueueError { code: crate::aws::error_code(&error), source: Box::new(error) })
    }

    /// Keeps messages invisible as long as it runs, and lets those of a killed worker become visible soon.
    pub async fn extend_visibility(&self, receipts: &[String]) -> std::convert::Infallible {
        loop {
            for receipt in receipts.iter().filter(|receipt| !receipt.is_empty()) {
                let sqs = self.aws.sqs().await;
                let change = sqs.change_message_visibility().queue_url(&self.settings.queue_url);
                let kept = change.receipt_handle(receipt).visibility_timeout(VISIBILITY_SECONDS).send().await;
                if let Err(error) = kept {
                    tracing::warn!(
                        error = crate::aws::error_code(&error),
                        "a message may come again while it is worked on"
                    );
                }
            }
            tokio::time::sleep(HEARTBEAT_INTERVAL).await;
        }
    }
}

fn reject(reply: Reply) -> Reply {
    tracing::info!(status = reply.status, answer = reply.text, "answered");
    reply
}
