//! Events of the functions: GitHub's webhook, the registry's push, the queue.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::Sha256;
use slipway::event::ecr::{self, EcrRepository, EcrTrigger};
use slipway::event::github::{Request, WebhookResult};
use slipway::event::queue::{self, Message, MessageBody};
use slipway::event::schedule;

use crate::parts;

const SECRET: &str = "of the fuzz target";

fn sign(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key of any length");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// A request of the Function URL. A text that begins with `{` is the whole event, which nobody has signed; any other
/// is the event's name, the delivery's id and the body, a line each, and signed.
pub fn webhook(data: &[u8]) {
    let Some(text) = parts::text(data) else { return };
    if text.starts_with('{') {
        let secret = SecretString::from(SECRET);
        let Ok(event) = serde_json::from_str(text) else { return };
        match Request::read(event) {
            Ok(request) => assert!(!request.is_signed_with(&secret), "nobody has signed it"),
            Err(reply) => assert!((400..500).contains(&reply.status), "{reply:?}"),
        }
        return;
    }
    let [event, delivery, body] = parts::lines(text);
    let headers = json!({
        "X-GitHub-Event": event, "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": format!("sha256={}", sign(body.as_bytes())),
    });
    signed(&headers, body);
}

/// A request of another host: GitLab's, Gitea's or Bitbucket's, whichever the first line says, the event's name, the
/// delivery's id and the body, a line each, with the proof that this host sends.
pub fn host_webhook(data: &[u8]) {
    let Some(text) = parts::text(data) else { return };
    let [host, event, delivery, body] = parts::lines(text);
    let signature = sign(body.as_bytes());
    let headers = match host {
        "gitlab" => json!({"X-Gitlab-Event": event, "X-Gitlab-Event-UUID": delivery, "X-Gitlab-Token": SECRET}),
        "gitea" => {
            json!({"X-Gitea-Event": event, "X-Gitea-Delivery": delivery, "X-Gitea-Signature": signature})
        }
        _ => {
            json!({"X-Event-Key": event, "X-Request-UUID": delivery, "X-Hub-Signature": format!("sha256={signature}")})
        }
    };
    // Without an event it is none of theirs.
    if !event.trim().is_empty() {
        signed(&headers, body);
    }
}

/// A request with `headers` that prove it, its body as it is and in base64.
fn signed(headers: &Value, body: &str) {
    let mut digests = Vec::new();
    for is_base64 in [false, true] {
        let sent = if is_base64 { STANDARD.encode(body) } else { body.to_owned() };
        let request = json!({
            "version": "2.0", "rawPath": "/", "requestContext": {"http": {"method": "POST", "path": "/"}},
            "headers": headers, "body": sent, "isBase64Encoded": is_base64,
        });
        // A header may be none of HTTP's.
        let Ok(request) = Request::read(request) else { return };
        assert!(request.is_signed_with(&SecretString::from(SECRET)), "the proof fits the body");
        assert!(!request.is_signed_with(&SecretString::from("another")), "only this secret has signed it");
        digests.push(request.digest());
        match request.into_result() {
            WebhookResult::Enqueue(message) => {
                match &message.body {
                    MessageBody::Push(push) => assert!(!push.branch().is_empty()),
                    MessageBody::HostPush(push) => {
                        assert!(!push.places.is_empty() && !push.branches.is_empty() && !push.delivery.is_empty());
                        let is_branch = |branch: &String| slipway_gitops::location::is_revision(branch);
                        assert!(push.branches.iter().all(is_branch), "{:?}", push.branches);
                    }
                    MessageBody::PullRequest(_) | MessageBody::Resume(_) => {}
                }
                is_queued_as_it_is(&message);
            }
            WebhookResult::Reply(reply) => assert!(matches!(reply.status, 200 | 400), "{reply:?}"),
        }
    }
    assert!(digests.first() == digests.last(), "a body has one digest");
}

/// A message that is sent comes back as it was.
fn is_queued_as_it_is(message: &Message) {
    let body = serde_json::to_string(message).expect("a message is JSON");
    let event = json!({"Records": [{"messageId": "1", "receiptHandle": "r", "body": body}]});
    let records = queue::read(event).expect("an event of SQS");
    let [record] = records.as_slice() else { panic!("one message") };
    assert_eq!(record.message.as_ref(), Ok(message));
    let is_id = |id: &str| (1..=128).contains(&id.len()) && id.is_ascii();
    assert!(is_id(&message.group()), "{}", message.group());
}

/// An event of the queue, and the messages in it.
pub fn queue(data: &[u8]) {
    let Some(text) = parts::text(data) else { return };
    // The event around the message is what AWS writes, the message is what matters.
    let wrapped = json!({"Records": [{"messageId": "1", "receiptHandle": "r", "body": text}]});
    for event in serde_json::from_str(text).ok().into_iter().chain([wrapped]) {
        for record in queue::read(event).unwrap_or_default() {
            let Ok(message) = record.message else { continue };
            is_queued_as_it_is(&message);
            let mut later = Some(message);
            for _ in 0..200 {
                let Some((next, pause)) = later.as_ref().and_then(Message::postpone) else { break };
                assert!(!pause.is_zero());
                later = Some(next);
            }
            let last = later.expect("a message");
            assert!(last.postpone().is_none(), "no message is put off for ever");
            if let MessageBody::Resume(_) = last.body {
                assert_eq!(last.deduplication().len(), 64);
            }
        }
    }
}

/// An event of EventBridge: of the registry, or a schedule's.
pub fn ecr(data: &[u8]) {
    let Ok(event) = serde_json::from_slice::<Value>(data) else { return };
    let _ = schedule::read(&event);
    match ecr::read(event) {
        Ok(EcrTrigger::Push(push)) => {
            assert_eq!(EcrRepository::of(&push.repository.image()), Some(push.repository));
        }
        Ok(_) => {}
        Err(error) => assert!(!error.to_string().contains(char::is_control), "a line of a log: {error:?}"),
    }
}
