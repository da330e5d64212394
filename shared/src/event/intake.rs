//! The answering half of `github-webhook`: a request in, one queue call, an HTTP answer out.

use serde_json::Value;

use super::github::{Outcome, Reply, Request};
use super::queue::Push;
use crate::aws::Aws;
use crate::config;
use crate::error::chain;
use crate::secret::Secrets;

/// Answers webhooks.
#[derive(Debug, Clone)]
pub struct Intake {
    settings: config::Webhook,
    secrets: Secrets,
    aws: Aws,
}

/// Why a push could not be queued.
#[derive(Debug, thiserror::Error)]
#[error("failed to queue the push ({code})")]
struct QueueError {
    code: String,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Intake {
    /// An intake with these settings; nothing is asked of AWS yet.
    pub fn new(settings: config::Webhook, secrets: Secrets, aws: Aws) -> Self {
        Self { settings, secrets, aws }
    }

    /// Answers the request of a Function URL (payload version 2.0). What fails on our side is a 500, which GitHub shows
    /// beside the delivery, with a button to send it again; causes go to the log only.
    pub async fn answer(&self, event: Value) -> Value {
        let request = match Request::read(event) {
            Ok(request) => request,
            Err(reply) => return refuse(reply).into_value(),
        };
        let secret = match self.secrets.get(&self.settings.secret).await {
            Ok(secret) => secret,
            Err(error) => {
                tracing::error!(error = chain(&error), "the webhook's secret can't be read");
                return Reply::new(500, "the webhook's secret can't be read").into_value();
            }
        };
        let push = match request.verify(&secret) {
            Outcome::Enqueue(push) => push,
            Outcome::Reply(reply) => return refuse(reply).into_value(),
        };
        let reply = match self.enqueue(&push).await {
            Ok(()) => {
                tracing::info!(repo = %push.repo, branch = push.branch(), delivery = push.delivery, "queued");
                Reply::new(202, format!("queued: {} of {}", push.branch(), push.repo))
            }
            Err(error) => {
                tracing::error!(error = chain(&error), delivery = push.delivery, "not queued");
                Reply::new(500, "the push could not be queued")
            }
        };
        reply.into_value()
    }

    async fn enqueue(&self, push: &Push) -> Result<(), QueueError> {
        let body = serde_json::to_string(push)
            .map_err(|error| QueueError { code: "unwritable".to_owned(), source: Box::new(error) })?;
        let sqs = self.aws.sqs().await;
        sqs.send_message()
            .queue_url(&self.settings.queue_url)
            .message_group_id(push.group())
            .message_deduplication_id(&push.delivery)
            .message_body(body)
            .send()
            .await
            .map(|_| ())
            .map_err(|error| QueueError { code: crate::aws::error_code(&error), source: Box::new(error) })
    }
}

fn refuse(reply: Reply) -> Reply {
    tracing::info!(status = reply.status, answer = reply.text, "answered");
    reply
}
