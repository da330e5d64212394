//! Schedules a message of the queue: a one-time schedule of EventBridge Scheduler that deletes itself.
//!
//! It calls SQS's own `SendMessage` (a universal target), because the target for queues can't set a deduplication id.

#![warn(clippy::arithmetic_side_effects)]

use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::queue::Message;
use crate::aws::Aws;
use crate::aws::sign::{self, Call, SignError};
use crate::http::HttpError;

const SCHEDULER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a message could not be scheduled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchedulerError {
    /// No region or credentials.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// No response.
    #[error("failed to schedule {message}")]
    Http {
        /// What was to be scheduled.
        message: String,
        /// The cause.
        #[source]
        source: HttpError,
    },
    /// The scheduler refused the request.
    #[error("failed to schedule {message}: HTTP {status}: {words}")]
    Refused {
        /// What was to be scheduled.
        message: String,
        /// HTTP status.
        status: u16,
        /// The scheduler's words.
        words: String,
    },
}

/// The schedule's name: the same for the same message, so that a duplicate has no effect.
pub fn name(queue_url: &str, message: &Message) -> String {
    let hash = Sha256::digest(format!("{queue_url}\0{}", message.deduplication()));
    format!("slipway-{}", hex::encode(hash.iter().copied().take(16).collect::<Vec<u8>>()))
}

/// Schedules `message` to be sent to `queue_url` at `at`, to the second, as `role` (its ARN). An existing schedule
/// of that name is no error.
pub async fn send(
    aws: &Aws,
    role: &str,
    queue_url: &str,
    message: &Message,
    at: Timestamp,
) -> Result<(), SchedulerError> {
    let partition = role.split(':').nth(1).unwrap_or("aws");
    let input = json!({
        "QueueUrl": queue_url,
        "MessageBody": json!(message).to_string(),
        "MessageGroupId": message.group(),
        "MessageDeduplicationId": message.deduplication(),
    });
    let body = json!({
        "ScheduleExpression": format!("at({})", at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S")),
        "FlexibleTimeWindow": { "Mode": "OFF" },
        "ActionAfterCompletion": "DELETE",
        "Target": {
            "Arn": format!("arn:{partition}:scheduler:::aws-sdk:sqs:sendMessage"),
            "RoleArn": role,
            "Input": input.to_string(),
        },
    });
    let path = format!("/schedules/{}", name(queue_url, message));
    let body = body.to_string();
    let call =
        Call { service: "scheduler", region: None, method: Method::POST, path: &path, headers: &[], body: &body };
    let request = sign::request(aws.config().await, call).await?;
    let answer = aws
        .http()
        .send(request, SCHEDULER_TIMEOUT)
        .await
        .map_err(|source| SchedulerError::Http { message: message.to_string(), source })?;
    let words = ["/Message", "/message"].iter().find_map(|key| answer.body.pointer(key)?.as_str()).unwrap_or_default();
    // A ConflictException: AWS answers 409, moto 400.
    let is_there = answer.status == 409 || answer.status == 400 && words.ends_with("already exists.");
    if matches!(answer.status, 200..300) || is_there {
        return Ok(());
    }
    Err(SchedulerError::Refused { message: message.to_string(), status: answer.status, words: words.to_owned() })
}
