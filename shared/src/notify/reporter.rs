//! Posts one message for each commit and channel, edits it in place while the applications progress, and adds the
//! details in its thread at the end.
//!
//! A message is edited at most once in `UPDATE_INTERVAL`, because of Slack's rate limits; [`Reporter::finish`] sends
//! what is left.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::commit_report::CommitReport;
use super::report::{AppSyncStatus, SyncReport};
use super::slack::{MessageRef, Slack};
use super::subscribe::Subscriptions;
use crate::error::chain;

/// Minimum time between two edits of a message: Slack allows about one write a second.
const UPDATE_INTERVAL: Duration = Duration::from_secs(3);

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
    boards: Arc<Mutex<BTreeMap<Key, PostedReport>>>,
}

/// Repository, commit and channel.
type Key = (String, String, String);

struct PostedReport {
    board: CommitReport,
    /// The message, once it is posted.
    posted: Option<MessageRef>,
    /// Whether other workers wrote the message, too, so that this one only replies in its thread.
    threaded: bool,
    text: String,
    edited: Instant,
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
        let mut boards = self.boards.lock().await;
        let mut told = None;
        for channel in to.channels(deployment.phase, self.slack.channel()) {
            let known = known.filter(|known| known.revision == deployment.sha);
            let key = (deployment.repo.to_owned(), deployment.sha.to_owned(), channel);
            let SyncReport { changes, problems, phase, .. } = deployment;
            let is_news =
                !changes.is_empty() || !problems.is_empty() || *phase == AppSyncStatus::Queued || known.is_some();
            if !is_news && !boards.get(&key).is_some_and(|shown| shown.board.has(deployment.app)) {
                continue;
            }
            let shown = boards.entry(key.clone()).or_insert_with(|| PostedReport {
                board: CommitReport::new(deployment.repo, deployment.sha),
                posted: known.map(|known| known.posted.clone()),
                threaded: known.is_some_and(|known| known.apps > 1),
                text: String::new(),
                edited: Instant::now(),
            });
            shown.board.put(deployment);
            if !shown.threaded && (shown.posted.is_none() || shown.edited.elapsed() >= UPDATE_INTERVAL) {
                self.show(&key.2, shown).await;
            }
            let apps = shown.board.len();
            let here = shown.posted.clone().map(|posted| LastNotification {
                posted,
                revision: deployment.sha.to_owned(),
                apps,
            });
            told = told.or(here);
        }
        told
    }

    /// Brings every message up to date, and adds the details in its thread.
    pub async fn finish(&self) {
        let mut boards = self.boards.lock().await;
        for ((_, _, channel), shown) in boards.iter_mut() {
            let mut details = shown.board.details();
            if shown.threaded {
                details = if details.is_empty() { vec![shown.board.text()] } else { details };
            } else {
                self.show(channel, shown).await;
            }
            let Some(posted) = &shown.posted else { continue };
            for text in details {
                if let Err(error) = self.slack.reply(posted, &text).await {
                    tracing::warn!(error = chain(&error), "failed to send the details to Slack");
                    break;
                }
            }
        }
        boards.clear();
    }

    async fn show(&self, channel: &str, shown: &mut PostedReport) {
        let text = shown.board.text();
        if text == shown.text {
            return;
        }
        let sent = match &shown.posted {
            Some(posted) => self.slack.update(posted, &text).await.map(|()| posted.clone()),
            None => self.slack.post_to(channel, &text).await,
        };
        shown.edited = Instant::now();
        match sent {
            Ok(posted) => {
                shown.posted = Some(posted);
                shown.text = text;
            }
            Err(error) => tracing::warn!(channel, error = chain(&error), "failed to notify Slack"),
        }
    }
}
