//! Calls Slack's Web API: posts messages, edits them in place, replies in threads.
//!
//! After a request that Slack leaves without an answer, or answers late, it is [suspended](Slack::is_suspended) for a
//! while: what deploys must not wait at each message again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::http::{Http, HttpError};
use crate::printable::printable;
use crate::secret::{SecretError, Secrets};

/// Limit of one call with its retries; Slack answers within a second, or not at all.
const SLACK_TIMEOUT: Duration = Duration::from_secs(5);
/// An answer that takes longer suspends Slack, too.
const SLOW: Duration = Duration::from_secs(2);
/// How long it is suspended.
const SUSPENSION: Duration = Duration::from_mins(5);
/// A `Retry-After` up to this many seconds is waited for, once.
const MAX_RETRY_AFTER: u64 = 2;
/// Slack's codes for a token that is no longer valid.
const UNAUTHORIZED: [&str; 5] = ["invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive"];

/// A posted message: what is needed to edit it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MessageRef {
    /// The channel's id, as Slack returned it.
    pub channel: String,
    /// The message's timestamp, which is its id.
    pub ts: String,
}

/// Why a message was not delivered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SlackError {
    /// The secret with the token could not be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Slack could not be reached.
    #[error("failed to reach Slack")]
    Http(#[from] HttpError),
    /// Slack did not answer in time.
    #[error("Slack did not answer within {} s", SLACK_TIMEOUT.as_secs())]
    Timeout,
    /// Slack takes no more messages for a while.
    #[error("Slack takes no messages for {seconds} s")]
    Limited {
        /// How long.
        seconds: u64,
    },
    /// Slack refused: `channel_not_found`, `not_in_channel`, `invalid_auth`, …
    #[error("Slack refused the message: {code}{hint}")]
    Refused {
        /// Slack's error code.
        code: String,
        /// The remedy, where one is known.
        hint: &'static str,
    },
}

impl SlackError {
    /// Whether the next request would fail like this one.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Timeout | Self::Http(_))
    }

    /// Whether the same message may be sent later: Slack was out of reach, failed, or limited the calls.
    pub fn is_passing(&self) -> bool {
        let is_failure = |code: &str| code.starts_with("HTTP 5");
        matches!(self, Self::Refused { code, .. } if is_failure(code))
            || matches!(self, Self::Limited { .. })
            || self.is_outage()
    }

    fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if UNAUTHORIZED.contains(&code.as_str()))
    }
}

/// Slack's settings.
#[derive(Debug, Clone)]
pub struct SlackSettings {
    /// The URL of the Web API.
    pub api: String,
    /// The secret with the token.
    pub secret: String,
    /// The channel's id.
    pub channel: String,
}

/// A Slack client with its default channel.
#[derive(Debug, Clone)]
pub struct Slack {
    settings: SlackSettings,
    secrets: Secrets,
    http: Http,
    suspended: Arc<Mutex<Option<Instant>>>,
}

impl Slack {
    /// Creates the client for the channel of `settings`; sends no request yet.
    pub fn new(settings: SlackSettings, secrets: Secrets, http: Http) -> Self {
        Self { settings, secrets, http, suspended: Arc::default() }
    }

    /// Whether Slack left a request without an answer a short while ago: what is not urgent is not sent.
    pub fn is_suspended(&self) -> bool {
        let since = *self.suspended.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| since.elapsed() < SUSPENSION)
    }

    /// The channel of the settings.
    pub fn channel(&self) -> &str {
        &self.settings.channel
    }

    /// Posts `text` (mrkdwn, built by [`super::report`]); returns where it was posted.
    pub async fn post(&self, text: &str) -> Result<MessageRef, SlackError> {
        self.post_to(&self.settings.channel, text).await
    }

    /// Like [`Slack::post`], to another channel.
    pub async fn post_to(&self, channel: &str, text: &str) -> Result<MessageRef, SlackError> {
        self.send(channel, None, text).await
    }

    /// Replies in the thread of a message.
    pub async fn reply(&self, posted: &MessageRef, text: &str) -> Result<MessageRef, SlackError> {
        self.send(&posted.channel, Some(&posted.ts), text).await
    }

    async fn send(&self, channel: &str, thread: Option<&str>, text: &str) -> Result<MessageRef, SlackError> {
        let text = printable(text);
        let body = json!({
            "channel": channel, "thread_ts": thread, "text": text, "unfurl_links": false, "unfurl_media": false });
        let answer = self.call("chat.postMessage", &body).await?;
        let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(MessageRef { channel: text("channel"), ts: text("ts") })
    }

    /// Replaces the text of a message.
    pub async fn update(&self, posted: &MessageRef, text: &str) -> Result<(), SlackError> {
        let body = json!({ "channel": posted.channel, "ts": posted.ts, "text": printable(text) });
        self.call("chat.update", &body).await.map(|_| ())
    }

    async fn call(&self, method: &str, body: &Value) -> Result<Value, SlackError> {
        let begun = Instant::now();
        let called = tokio::time::timeout(SLACK_TIMEOUT, Box::pin(self.call_fresh(method, body))).await;
        let called = called.unwrap_or(Err(SlackError::Timeout));
        let is_slow = begun.elapsed() > SLOW || called.as_ref().is_err_and(SlackError::is_outage);
        *self.suspended.lock().unwrap_or_else(PoisonError::into_inner) = is_slow.then_some(begun);
        called
    }

    /// Calls `method`; once more where the token is refused and was rotated since it was read.
    async fn call_fresh(&self, method: &str, body: &Value) -> Result<Value, SlackError> {
        let token = self.secrets.get(&self.settings.secret).await?;
        let refused = match self.call_with(&token, method, body).await {
            Err(error) if error.is_unauthorized() => error,
            called => return called,
        };
        let reloaded = self.secrets.reload(&self.settings.secret).await?;
        if reloaded.expose_secret() == token.expose_secret() {
            return Err(refused);
        }
        self.call_with(&reloaded, method, body).await
    }

    async fn call_with(&self, token: &SecretString, method: &str, body: &Value) -> Result<Value, SlackError> {
        let url = format!("{}/{method}", self.settings.api);
        let token = &SecretString::from(token.expose_secret().trim());
        let mut answer = self.http.post_json(&url, token, body, SLACK_TIMEOUT).await?;
        if answer.status == 429 && answer.retry_after.is_some_and(|seconds| seconds <= MAX_RETRY_AFTER) {
            tokio::time::sleep(Duration::from_secs(answer.retry_after.unwrap_or_default())).await;
            answer = self.http.post_json(&url, token, body, SLACK_TIMEOUT).await?;
        }
        if answer.body.get("ok").and_then(Value::as_bool) == Some(true) {
            return Ok(answer.body);
        }
        if answer.status == 429 {
            return Err(SlackError::Limited { seconds: answer.retry_after.unwrap_or(1) });
        }
        let code = answer.body.get("error").and_then(Value::as_str);
        let code = code.map_or_else(|| format!("HTTP {}", answer.status), |code| code.chars().take(60).collect());
        let hint = match code.as_str() {
            "not_in_channel" => " (invite the bot to the channel)",
            "channel_not_found" => " (check SLIPWAY_SLACK_CHANNEL, and invite the bot)",
            code if UNAUTHORIZED.contains(&code) => " (check the secret that SLIPWAY_SLACK_SECRET names)",
            "missing_scope" => " (the bot needs the scope chat:write)",
            _ => "",
        };
        Err(SlackError::Refused { code, hint })
    }
}
