//! Posts one message for each commit and channel, edits it in place while the applications progress, and adds the
//! details in its thread at the end.
//!
//! A message is edited at most once in `UPDATE_INTERVAL`, because of Slack's rate limits; [`Reporter::finish`] sends
//! what is left. No deployment waits for a Slack that hangs: after one request without an answer they only note what
//! is to be told, and `finish` tries once more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::commit_report::CommitReport;
use super::report::{AppSyncStatus, SyncReport};
use super::slack::{MessageRef, Slack, SlackError};
use super::subscribe::Subscriptions;
use crate::error::chain;

/// Minimum time between two edits of a message: Slack allows about one write a second.
const UPDATE_INTERVAL: Duration = Duration::from_secs(3);
/// Limit of everything that is sent at the end: less than the time that is reserved for it.
const FINISH_TIMEOUT: Duration = Duration::from_secs(10);

/// The message about an application's commit, as its state remembers it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LastNotification {
    /// Where it was posted.
    #[serde(flatten)]
    pub posted: MessageRef,
    /// The commit's SHA.
    pub revision: String,
    /// Number of applications in it: a message about several can't be edited by a worker that knows only one of them.
    #[serde(default)]
    pub apps: usize,
}

/// Notifies Slack about one event; cheap to clone.
#[derive(Clone)]
pub struct Reporter {
    slack: Slack,
    boards: Arc<Mutex<BTreeMap<Key, Arc<PostedReport>>>>,
}

/// Repository, commit and channel.
type Key = (String, String, String);

struct PostedReport {
    channel: String,
    board: Mutex<CommitReport>,
    /// The message, once it is posted.
    posted: OnceLock<MessageRef>,
    /// Whether other workers wrote the message, too, so that this one only replies in its thread.
    threaded: bool,
    /// Held by the one that sends.
    sent: tokio::sync::Mutex<Sent>,
}

/// What Slack shows, and since when.
#[derive(Default)]
struct Sent {
    text: String,
    edited: Option<Instant>,
}

/// Waits as long as Slack takes no messages, where it does again before `until`; gives any other error back.
async fn wait_for_limit(error: SlackError, until: Instant) -> Result<(), SlackError> {
    match error {
        SlackError::Limited { seconds } if Instant::now() + Duration::from_secs(seconds) < until => {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Ok(())
        }
        other => Err(other),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reporter {
    /// Creates a reporter without messages.
    pub fn new(slack: Slack) -> Self {
        Self { slack, boards: Arc::default() }
    }

    /// Reports the result of an application to its subscribed channels. `known` is the message of an earlier invocation
    /// about this commit. Without changes and problems nothing is sent. Returns the message to remember; a failure to
    /// send is only logged.
    pub async fn notify(
        &self,
        deployment: &SyncReport<'_>,
        to: &Subscriptions,
        known: Option<&LastNotification>,
    ) -> Option<LastNotification> {
        let mut told = None;
        for channel in to.channels(deployment.phase, self.slack.channel()) {
            let known = known.filter(|known| known.revision == deployment.sha);
            let Some(shown) = self.note(deployment, channel, known) else { continue };
            if !shown.threaded {
                self.show_soon(&shown).await;
            }
            let apps = lock(&shown.board).len();
            let here = shown.posted.get().cloned().map(|posted| LastNotification {
                posted,
                revision: deployment.sha.to_owned(),
                apps,
            });
            told = told.or(here);
        }
        told
    }

    /// Notes the result in the message for `channel`; `None` where it is no news.
    fn note(
        &self,
        deployment: &SyncReport<'_>,
        channel: String,
        known: Option<&LastNotification>,
    ) -> Option<Arc<PostedReport>> {
        let mut boards = lock(&self.boards);
        let key = (deployment.repo.to_owned(), deployment.sha.to_owned(), channel.clone());
        let SyncReport { changes, problems, phase, .. } = deployment;
        let is_news = !changes.is_empty() || !problems.is_empty() || *phase == AppSyncStatus::Queued || known.is_some();
        if !is_news && !boards.get(&key).is_some_and(|shown| lock(&shown.board).has(deployment.app)) {
            return None;
        }
        let shown = boards.entry(key).or_insert_with(|| {
            Arc::new(PostedReport {
                channel,
                board: Mutex::new(CommitReport::new(deployment.repo, deployment.sha)),
                posted: known.map(|known| known.posted.clone()).map_or_else(OnceLock::new, OnceLock::from),
                threaded: known.is_some_and(|known| known.apps > 1),
                sent: tokio::sync::Mutex::default(),
            })
        });
        lock(&shown.board).put(deployment);
        Some(Arc::clone(shown))
    }

    /// Sends the message unless Slack hangs, or it was edited a moment ago. Only the first post is waited for: it says
    /// where the message is.
    async fn show_soon(&self, shown: &PostedReport) {
        let mut sent = match shown.posted.get() {
            Some(_) => match shown.sent.try_lock() {
                Ok(sent) => sent,
                Err(_) => return,
            },
            None => shown.sent.lock().await,
        };
        let is_due = sent.edited.is_none_or(|edited| edited.elapsed() >= UPDATE_INTERVAL);
        if is_due
            && !self.slack.is_suspended()
            && let Err(error) = self.show(shown, &mut sent).await
        {
            tracing::warn!(channel = shown.channel, error = chain(&error), "failed to notify Slack");
        }
    }

    /// Brings every message up to date, and adds the details in its thread. What can't be sent is logged.
    pub async fn finish(&self) {
        let boards = std::mem::take(&mut *lock(&self.boards));
        let until = Instant::now() + FINISH_TIMEOUT;
        let mut hangs = false;
        for shown in boards.values() {
            let sent = match tokio::time::timeout_at(until, self.finish_one(shown, until)).await {
                _ if hangs => Err("Slack does not answer".to_owned()),
                Ok(sent) => sent.map_err(|error| {
                    hangs = error.is_outage();
                    chain(&error)
                }),
                Err(_) => Err("Slack is too slow".to_owned()),
            };
            if let Err(error) = sent {
                let text = lock(&shown.board).text();
                tracing::warn!(channel = shown.channel, error, text, "failed to notify Slack");
            }
        }
    }

    async fn finish_one(&self, shown: &PostedReport, until: Instant) -> Result<(), SlackError> {
        let mut details = lock(&shown.board).details();
        if !shown.threaded {
            let mut sent = shown.sent.lock().await;
            while let Err(error) = self.show(shown, &mut sent).await {
                wait_for_limit(error, until).await?;
            }
        } else if details.is_empty() {
            details = vec![lock(&shown.board).text()];
        }
        let Some(posted) = shown.posted.get() else { return Ok(()) };
        for text in details {
            while let Err(error) = self.slack.reply(posted, &text).await {
                wait_for_limit(error, until).await?;
            }
        }
        Ok(())
    }

    async fn show(&self, shown: &PostedReport, sent: &mut Sent) -> Result<(), SlackError> {
        let text = lock(&shown.board).text();
        if text == sent.text {
            return Ok(());
        }
        sent.edited = Some(Instant::now());
        if let Some(posted) = shown.posted.get() {
            self.slack.update(posted, &text).await?;
        } else {
            let posted = self.slack.post_to(&shown.channel, &text).await?;
            shown.posted.get_or_init(|| posted);
        }
        sent.text = text;
        Ok(())
    }
}
