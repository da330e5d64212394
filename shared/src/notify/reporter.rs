//! One message a commit and channel, edited in place while its applications go on; the details in its thread at the
//! end.
//!
//! A message is edited at most once in [`PACE`], as Slack's limits have it; what is left to say then is said by
//! [`Reporter::finish`].

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

/// The least time between two edits of a message.
const UPDATE_INTERVAL: Duration = Duration::from_secs(3);

/// Where the message about an application's commit stands, as its state remembers it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LastNotification {
    /// The message.
    #[serde(flatten)]
    pub posted: MessageRef,
    /// The commit.
    pub revision: String,
    /// How many applications it speaks of: one of several can't be edited by who knows only one of them.
    #[serde(default)]
    pub apps: usize,
}

/// Tells Slack of one event; cheap to clone.
#[derive(Clone)]
pub struct Reporter {
    slack: Slack,
    boards: Arc<Mutex<BTreeMap<Key, PostedReport>>>,
}

/// Repository, commit and channel.
type Key = (String, String, String);

struct PostedReport {
    board: CommitReport,
    /// The message, where it is posted.
    posted: Option<MessageRef>,
    /// Whether we only answer in the thread of a message that others wrote too.
    threaded: bool,
    text: String,
    edited: Instant,
}

impl Reporter {
    /// A reporter that has said nothing yet.
    pub fn new(slack: Slack) -> Self {
        Self { slack, boards: Arc::default() }
    }

    /// Tells how an application stands, in the channels that want to hear it. `known` is where an earlier invocation
    /// told of this commit. Where nothing changed and nothing is wrong there is nothing to tell. Gives what to
    /// remember; that Slack can't be reached is only logged.
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

    /// Brings every message to what is known, and says the details in its thread.
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
                    tracing::warn!(error = chain(&error), "Slack was not told the details");
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
            Err(error) => tracing::warn!(channel, error = chain(&error), "Slack was not told"),
        }
    }
}
