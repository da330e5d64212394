//! Defines the messages of the SQS FIFO queue between the webhook and its worker.

#![warn(clippy::arithmetic_side_effects)]

use std::fmt;
use std::time::Duration;

use aws_lambda_events::sqs::SqsEvent;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::source::Repo;

/// How long a message is put off first, when a service is down; doubled each time.
const FIRST_POSTPONEMENT: Duration = Duration::from_mins(1);
/// The longest pause of a message: what a deployment waits at most after the end of an outage.
const LONGEST_POSTPONEMENT: Duration = Duration::from_mins(15);
/// A day of pauses. What fails longer than that is broken, and becomes a dead letter.
const MAX_POSTPONEMENTS: u32 = 100;

/// A branch that moved. `after` and `delivery` are for the logs: the worker resolves the branch head itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// The repository.
    pub repo: Repo,
    /// The branch, as `refs/heads/…`.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Head of the branch when the event was sent.
    pub after: String,
    /// GUID of the webhook delivery.
    pub delivery: String,
}

impl Push {
    /// The branch without `refs/heads/`.
    pub fn branch(&self) -> &str {
        self.reference.strip_prefix("refs/heads/").unwrap_or(&self.reference)
    }

    /// The FIFO group: one for each repository and branch, so that the pushes of a branch stay in order and branches
    /// don't wait for each other. A hash, because the name of a group is short and ASCII.
    pub fn group(&self) -> String {
        let repo = self.repo.to_string().to_ascii_lowercase();
        hex::encode(Sha256::digest(format!("{repo}\0{}", self.reference)))
    }
}

/// Resumes a sync in another invocation. The worker resolves the branch head itself here, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeMessage {
    /// The application's name in tracking ids.
    pub app: String,
    /// The operation's id: where it has completed, the message has no effect.
    pub operation: String,
    /// How many times it was resumed.
    pub attempt: u32,
}

impl ResumeMessage {
    /// The FIFO group: one for each application, so that none waits for another one's rollout.
    pub fn group(&self) -> String {
        hex::encode(Sha256::digest(format!("continue\0{}", self.app)))
    }

    /// The deduplication id: a message that is sent twice is delivered once. A queue deduplicates over all its groups,
    /// so that the application is a part of the id.
    pub fn deduplication(&self) -> String {
        hex::encode(Sha256::digest(format!("continue\0{}\0{}\0{}", self.app, self.operation, self.attempt)))
    }
}

/// Something happened to a pull request. The worker lists the pull requests itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequestEvent {
    /// The repository.
    pub repo: Repo,
    /// Number of the pull request.
    pub pull_request: u64,
    /// What happened: `opened`, `synchronize` …
    pub action: String,
    /// GUID of the webhook delivery.
    pub delivery: String,
}

impl PullRequestEvent {
    /// The FIFO group: one for each repository, whose pull requests are listed together.
    pub fn group(&self) -> String {
        let repo = self.repo.to_string().to_ascii_lowercase();
        hex::encode(Sha256::digest(format!("pull requests\0{repo}")))
    }
}

/// Branches that moved in a repository on another host than the root's. The worker resolves their heads itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPush {
    /// The repository as each of its URLs has it: `HOST/PATH` in lower case; `*` for a host that is not told.
    pub places: Vec<String>,
    /// The branches, without `refs/heads/`.
    pub branches: Vec<String>,
    /// Id of the webhook delivery.
    pub delivery: String,
}

impl HostPush {
    /// The FIFO group: one for each repository and what was pushed of it.
    pub fn group(&self) -> String {
        hex::encode(Sha256::digest(format!("host\0{}\0{}", self.places.join("\0"), self.branches.join("\0"))))
    }

    /// Whether it is about the repository at `place`, `HOST/PATH`.
    pub fn is_of(&self, place: &str) -> bool {
        let place = place.to_lowercase();
        let path = place.split_once('/').map_or("", |(_, path)| path);
        self.places.iter().any(|known| *known == place || known.strip_prefix("*/") == Some(path))
    }
}

/// What a message asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum MessageBody {
    /// A branch was pushed.
    Push(Push),
    /// A branch was pushed on another host than the root's.
    HostPush(HostPush),
    /// A sync is to be resumed.
    Resume(ResumeMessage),
    /// Something happened to a pull request.
    PullRequest(PullRequestEvent),
}

/// A message of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// What it asks for.
    #[serde(flatten)]
    pub body: MessageBody,
    /// How many times it was put off because a service was down.
    #[serde(skip_serializing_if = "is_zero")]
    pub postponed: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl From<Push> for Message {
    fn from(push: Push) -> Self {
        Self { body: MessageBody::Push(push), postponed: 0 }
    }
}

impl From<ResumeMessage> for Message {
    fn from(rest: ResumeMessage) -> Self {
        Self { body: MessageBody::Resume(rest), postponed: 0 }
    }
}

impl From<PullRequestEvent> for Message {
    fn from(event: PullRequestEvent) -> Self {
        Self { body: MessageBody::PullRequest(event), postponed: 0 }
    }
}

impl From<HostPush> for Message {
    fn from(push: HostPush) -> Self {
        Self { body: MessageBody::HostPush(push), postponed: 0 }
    }
}

impl Message {
    fn read(body: &str) -> Result<Self, serde_json::Error> {
        let value: Value = serde_json::from_str(body)?;
        let postponed = value.get("postponed").and_then(Value::as_u64);
        let postponed = postponed.map_or(0, |count| u32::try_from(count).unwrap_or(u32::MAX));
        let content = if value.get("operation").is_some() {
            MessageBody::Resume(serde_json::from_value(value)?)
        } else if value.get("pull_request").is_some() {
            MessageBody::PullRequest(serde_json::from_value(value)?)
        } else if value.get("places").is_some() {
            MessageBody::HostPush(serde_json::from_value(value)?)
        } else {
            MessageBody::Push(serde_json::from_value(value)?)
        };
        Ok(Self { body: content, postponed })
    }

    /// The message's FIFO group.
    pub fn group(&self) -> String {
        match &self.body {
            MessageBody::Push(push) => push.group(),
            MessageBody::HostPush(push) => push.group(),
            MessageBody::Resume(rest) => rest.group(),
            MessageBody::PullRequest(event) => event.group(),
        }
    }

    /// The names of the repository that it is about, where it came by a webhook: `OWNER/REPO`, or `HOST/PATH` on
    /// another host than the root's.
    pub fn repositories(&self) -> Vec<String> {
        match &self.body {
            MessageBody::Push(push) => vec![push.repo.to_string()],
            MessageBody::PullRequest(event) => vec![event.repo.to_string()],
            MessageBody::HostPush(push) => push.places.clone(),
            MessageBody::Resume(_) => Vec::new(),
        }
    }

    /// The deduplication id: a message that is sent twice is delivered once.
    pub fn deduplication(&self) -> String {
        let id = match &self.body {
            MessageBody::Push(push) => push.delivery.clone(),
            MessageBody::HostPush(push) => push.delivery.clone(),
            MessageBody::Resume(rest) => rest.deduplication(),
            MessageBody::PullRequest(event) => event.delivery.clone(),
        };
        if self.postponed == 0 { id } else { hex::encode(Sha256::digest(format!("{id}\0{}", self.postponed))) }
    }

    /// The message with one more postponement, and how long it waits; `None` after about a day, which no outage takes.
    pub fn postpone(&self) -> Option<(Self, Duration)> {
        let doubled = FIRST_POSTPONEMENT.saturating_mul(2_u32.saturating_pow(self.postponed));
        let next = Self { postponed: self.postponed.saturating_add(1), ..self.clone() };
        (self.postponed < MAX_POSTPONEMENTS).then(|| (next, doubled.min(LONGEST_POSTPONEMENT)))
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.body {
            MessageBody::Push(push) => write!(f, "the push to {} of {}", push.branch(), push.repo),
            MessageBody::HostPush(push) => {
                write!(f, "the push to {} of {}", push.branches.join(", "), push.places.join(" or "))
            }
            MessageBody::Resume(rest) => write!(f, "the sync of {}", rest.app),
            MessageBody::PullRequest(event) => write!(f, "pull request {} of {}", event.pull_request, event.repo),
        }
    }
}

/// A received message, or why it is invalid (that will not change, so it is not requested again).
#[derive(Debug)]
pub struct Record {
    /// SQS' message id, for the response.
    pub id: String,
    /// SQS' handle of this delivery.
    pub receipt: String,
    /// The parsed content.
    pub message: Result<Message, String>,
}

/// The event is not from SQS.
#[derive(Debug, thiserror::Error)]
#[error("unreadable SQS event")]
pub struct QueueEventError(#[source] serde_json::Error);

/// The messages of an event, in order.
pub fn read(event: Value) -> Result<Vec<Record>, QueueEventError> {
    let event: SqsEvent = serde_json::from_value(event).map_err(QueueEventError)?;
    Ok(event
        .records
        .into_iter()
        .map(|message| Record {
            id: message.message_id.unwrap_or_default(),
            receipt: message.receipt_handle.unwrap_or_default(),
            message: Message::read(&message.body.unwrap_or_default()).map_err(|error| error.to_string()),
        })
        .collect())
}

/// The response to SQS (`ReportBatchItemFailures`): the messages to deliver again. In a FIFO queue that must be all
/// messages of a group from the first failed one on, or their order is lost.
pub fn failures<'a>(ids: impl IntoIterator<Item = &'a str>) -> Value {
    let items: Vec<Value> = ids.into_iter().map(|id| json!({"itemIdentifier": id})).collect();
    json!({ "batchItemFailures": items })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_the_queue() {
        let push = Push {
            repo: "acme/gitops".parse().unwrap(),
            reference: "refs/heads/release/1".into(),
            after: "a".repeat(40),
            delivery: "guid".into(),
        };
        let rest = ResumeMessage { app: "shop".into(), operation: "op".into(), attempt: 2 };
        let pull = PullRequestEvent {
            repo: "acme/web".parse().unwrap(),
            pull_request: 7,
            action: "opened".into(),
            delivery: "guid".into(),
        };
        let event = json!({"Records": [
            {"messageId": "1", "body": serde_json::to_string(&push).unwrap()},
            {"messageId": "2", "body": "{\"repo\": 5}"},
            {"messageId": "3"},
            {"messageId": "4", "receiptHandle": "r", "body": serde_json::to_string(&rest).unwrap()},
            {"messageId": "5", "body": serde_json::to_string(&Message::from(pull.clone())).unwrap()},
        ]});
        let records = read(event).unwrap();
        assert_eq!(records[0].message.as_ref().unwrap(), &Message::from(push.clone()));
        assert_eq!(records[3].message.as_ref().unwrap(), &Message::from(rest.clone()));
        assert_eq!(records[3].receipt, "r");
        assert_eq!(records[4].message.as_ref().unwrap(), &Message::from(pull));
        let other = ResumeMessage { app: "db".into(), ..rest.clone() };
        assert_ne!(rest.deduplication(), other.deduplication());
        assert_eq!(push.branch(), "release/1");
        assert!(records[1].message.is_err() && records[2].message.is_err());
        assert_eq!(failures(["2"]), json!({"batchItemFailures": [{"itemIdentifier": "2"}]}));
        assert!(read(json!({"Records": 1})).is_err());
    }

    #[test]
    fn what_is_put_off_is_the_same_request_later_and_later_for_a_day() {
        let rest = ResumeMessage { app: "shop".into(), operation: "op".into(), attempt: 2 };
        let (mut message, mut waited, mut ids) = (Message::from(rest), Vec::new(), std::collections::BTreeSet::new());
        while let Some((next, pause)) = message.postpone() {
            assert_eq!(Message::read(&json!(next).to_string()).unwrap(), next);
            assert_eq!((&next.body, next.group()), (&message.body, message.group()));
            assert!(ids.insert(next.deduplication()) && next.deduplication().len() <= 128);
            waited.push(pause.as_secs() / 60);
            message = next;
        }
        assert_eq!(waited[..6], [1, 2, 4, 8, 15, 15]);
        assert!(waited.iter().sum::<u64>() > 24 * 60, "{waited:?}");
        assert_eq!(Message::read(r#"{"app": "a", "operation": "o", "attempt": 1}"#).unwrap().postponed, 0);
    }

    #[test]
    fn groups_tell_branches_apart() {
        let group = |repo: &str, reference: &str| {
            Push {
                repo: repo.parse().unwrap(),
                reference: reference.into(),
                after: String::new(),
                delivery: String::new(),
            }
            .group()
        };
        assert_eq!(group("acme/a", "refs/heads/main"), group("Acme/A", "refs/heads/main"));
        assert_ne!(group("acme/a", "refs/heads/main"), group("acme/a", "refs/heads/Main"));
        assert_eq!(group("acme/a", "refs/heads/main").len(), 64);
    }
}
