//! A Slack that remembers what it was told: `chat.postMessage` and `chat.update`; `auth.test`.

use std::io;
use std::sync::{Arc, Mutex};

use http::StatusCode;
use serde_json::{Value, json};

use crate::faults::Failures;
use crate::http::{Exchange, Request, Response, Server};
use crate::lock;

/// A message as the channel shows it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its time stamp, which is its name.
    pub ts: String,
    /// Its channel.
    pub channel: String,
    /// The message in whose thread it is; empty in the channel itself.
    pub thread: String,
    /// Its text, as last edited.
    pub text: String,
    /// How often it was edited.
    pub edits: u32,
}

/// A running Slack; it stops when dropped.
pub struct Slack {
    messages: Arc<Mutex<Vec<Message>>>,
    failures: Arc<Failures>,
    server: Server,
}

impl Slack {
    /// Starts a Slack that accepts the bot token `token`, inside the current Tokio runtime. Fails when the port can't
    /// be bound.
    pub async fn start(port: u16, token: &str) -> io::Result<Self> {
        let messages = Arc::new(Mutex::new(Vec::new()));
        let (handler, expected) = (Arc::clone(&messages), format!("Bearer {token}"));
        let failures = Arc::new(Failures::default());
        let faults = Arc::clone(&failures);
        let respond =
            move |request: Request| faults.take(&request).unwrap_or_else(|| answer(&handler, &expected, &request));
        let server = Server::start(port, Arc::new(respond)).await?;
        Ok(Self { messages, failures, server })
    }

    /// What `SLIPWAY_SLACK_API` takes.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The messages, oldest first.
    pub fn messages(&self) -> Vec<Message> {
        lock(&self.messages).clone()
    }

    /// Requests that fail, to be armed (429 with `retry-after`).
    pub fn failures(&self) -> &Failures {
        &self.failures
    }

    /// Every request so far with its answer.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.server.exchanges()
    }
}

fn answer(messages: &Mutex<Vec<Message>>, expected: &str, request: &Request) -> Response {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut messages = lock(messages);
    let answer = if request.header("authorization") != Some(expected) {
        json!({ "ok": false, "error": "invalid_auth" })
    } else if request.path.ends_with("/auth.test") {
        json!({ "ok": true, "url": "https://acme.slack.com/", "team": "Acme", "user": "slipway", "team_id": "T0ACME" })
    } else if text("channel").is_empty() {
        json!({ "ok": false, "error": "channel_not_found" })
    } else if text("text").is_empty() {
        json!({ "ok": false, "error": "no_text" })
    } else {
        match request.path.trim_start_matches('/') {
            "chat.postMessage" => {
                let ts = format!("1700000000.{:06}", messages.len() + 1);
                messages.push(Message {
                    ts: ts.clone(),
                    channel: text("channel"),
                    thread: text("thread_ts"),
                    text: text("text"),
                    edits: 0,
                });
                json!({ "ok": true, "channel": text("channel"), "ts": ts })
            }
            "chat.update" => match messages.iter_mut().find(|message| message.ts == text("ts")) {
                Some(message) => {
                    message.text = text("text");
                    message.edits += 1;
                    json!({ "ok": true, "channel": message.channel, "ts": message.ts })
                }
                None => json!({ "ok": false, "error": "message_not_found" }),
            },
            _ => json!({ "ok": false, "error": "unknown_method" }),
        }
    };
    Response::json(StatusCode::OK, &answer)
}
