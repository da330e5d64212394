//! Checks webhook requests behind a Lambda Function URL: size, then signature, and only then the content: GitHub's
//! here, those of other hosts in [`hosts`](super::hosts).
//!
//! Pure: request and secret in, a response or a message for the queue out.

use aws_lambda_events::lambda_function_urls::LambdaFunctionUrlRequest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::hosts::{self, Headers, Sender};
use super::queue::{Message, PullRequestEvent, Push};

/// Size of a body as it arrives (base64 or not). The URL itself stops at 6 MB with envelope and base64 counted, so that
/// our response comes first, with a message. A push event is a fraction of it.
pub const MAX_BODY: usize = 5 << 20;

/// What may happen to a pull request that changes which of them a set selects, or their commits (argoproj/argo-cd
/// `applicationset/webhook/webhook.go`, which does not look at `edited`: a new title or target).
const ACTIONS: [&str; 7] = ["opened", "reopened", "closed", "synchronize", "labeled", "unlabeled", "edited"];

/// Size of an HMAC-SHA256.
const SIGNATURE_BYTES: usize = 32;

/// An HTTP response: a status and a line of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// The text for the caller; GitHub shows it in the list of deliveries.
    pub text: String,
}

impl Reply {
    /// Creates a response.
    pub fn new(status: u16, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    /// The response in the format of a Function URL.
    pub fn into_value(self) -> Value {
        let allow = if self.status == 405 {
            json!({"content-type": "text/plain", "allow": "POST"})
        } else {
            json!({"content-type": "text/plain"})
        };
        json!({ "statusCode": self.status, "headers": allow, "body": self.text + "\n", "isBase64Encoded": false })
    }
}

/// The result of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookResult {
    /// Respond at once.
    Reply(Reply),
    /// A branch was pushed, or something happened to a pull request: queue this, then respond with 202.
    Enqueue(Message),
}

/// A request of which only size and form were checked.
#[derive(Debug)]
pub struct Request {
    sender: Sender,
    body: Vec<u8>,
    proof: Proof,
    event: String,
    delivery: String,
}

/// What shows that a request is the sender's own.
#[derive(Debug)]
enum Proof {
    /// HMAC-SHA256 of the body.
    Signature([u8; SIGNATURE_BYTES]),
    /// The secret itself.
    Token(SecretString),
}

impl Request {
    /// Checks method, form of the signature and size and decodes the body; the error is the response. Needs no secret,
    /// so that a request that can't be genuine costs nothing.
    pub fn read(event: Value) -> Result<Self, Reply> {
        let request: LambdaFunctionUrlRequest =
            serde_json::from_value(event).map_err(|_| Reply::new(400, "not a Function URL request"))?;
        if request.request_context.http.method.as_deref() != Some("POST") {
            return Err(Reply::new(405, "POST only"));
        }
        let Headers { sender, event, delivery, proof } = Headers::of(&request.headers);
        let proof = match sender {
            Sender::GitLab if proof.is_empty() => {
                return Err(Reply::new(401, "the X-Gitlab-Token header is missing: give the webhook a secret token"));
            }
            Sender::GitLab => Proof::Token(proof.into()),
            Sender::GitHub => Proof::Signature(signature(proof, "sha256=", "X-Hub-Signature-256")?),
            Sender::Gitea => Proof::Signature(signature(proof, "", "X-Gitea-Signature")?),
            Sender::Bitbucket => Proof::Signature(signature(proof, "sha256=", "X-Hub-Signature")?),
        };
        let (event, delivery) = (event.to_owned(), delivery.to_owned());
        let text = request.body.unwrap_or_default();
        if text.len() > MAX_BODY {
            return Err(Reply::new(413, format!("the body is larger than {MAX_BODY} bytes")));
        }
        let body = if request.is_base64_encoded {
            STANDARD.decode(text).map_err(|_| Reply::new(400, "the body is no base64"))?
        } else {
            text.into_bytes()
        };
        Ok(Self { sender, body, proof, event, delivery })
    }

    /// Whether the signature is that of `secret`: HMAC-SHA256 over the raw bytes, compared in constant time; of GitLab
    /// whether the token is the secret.
    pub fn is_signed_with(&self, secret: &SecretString) -> bool {
        let secret = secret.expose_secret().trim().as_bytes();
        match &self.proof {
            Proof::Signature(signature) => is_signed(&self.body, signature, secret),
            Proof::Token(token) => is_token(token.expose_secret().as_bytes(), secret),
        }
    }

    /// A digest of the body: the delivery's id is outside the signature, so that a captured body could come under new
    /// ids without end.
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(&self.body))
    }

    /// Reads the event of a request whose signature was verified.
    pub fn into_result(self) -> WebhookResult {
        if self.sender != Sender::GitHub {
            let digest = self.digest();
            let delivery = if self.check_delivery().is_ok() { self.delivery } else { digest };
            return hosts::read(self.sender, &self.event, &self.body, &delivery);
        }
        match self.event.as_str() {
            "ping" => WebhookResult::Reply(Reply::new(200, "pong")),
            "push" => self.push().map_or_else(WebhookResult::Reply, |push| WebhookResult::Enqueue(push.into())),
            "pull_request" => {
                self.pull_request().map_or_else(WebhookResult::Reply, |event| WebhookResult::Enqueue(event.into()))
            }
            other => {
                let name: String = other.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(40).collect();
                WebhookResult::Reply(Reply::new(200, format!("ignored: nothing follows the event `{name}`")))
            }
        }
    }

    fn pull_request(self) -> Result<PullRequestEvent, Reply> {
        let bad = |what: &str| Reply::new(400, format!("not a pull request event: {what}"));
        let body: Value = serde_json::from_slice(&self.body)
            .map_err(|_| bad("the body is no JSON; set the webhook's content type to application/json"))?;
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
        let action = text("/action").ok_or_else(|| bad("`action` is missing"))?;
        let repo = text("/repository/full_name").ok_or_else(|| bad("`repository.full_name` is missing"))?;
        let number = body.get("number").and_then(Value::as_u64).ok_or_else(|| bad("`number` is missing"))?;
        let repo = repo.parse().map_err(|_| bad("`repository.full_name` is no repository"))?;
        if !ACTIONS.contains(&action) {
            return Err(Reply::new(200, "ignored: nothing that ApplicationSets look at"));
        }
        self.check_delivery().map_err(bad)?;
        Ok(PullRequestEvent { repo, pull_request: number, action: action.to_owned(), delivery: self.delivery })
    }

    fn check_delivery(&self) -> Result<(), &'static str> {
        let is_guid = |c: u8| c.is_ascii_alphanumeric() || c == b'-';
        let is_valid = (1..=64).contains(&self.delivery.len()) && self.delivery.bytes().all(is_guid);
        if is_valid { Ok(()) } else { Err("the X-GitHub-Delivery header is missing or no GUID") }
    }

    fn push(self) -> Result<Push, Reply> {
        let bad = |what: &str| Reply::new(400, format!("not a push event: {what}"));
        let body: Value = serde_json::from_slice(&self.body)
            .map_err(|_| bad("the body is no JSON; set the webhook's content type to application/json"))?;
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
        let reference = text("/ref").ok_or_else(|| bad("`ref` is missing"))?;
        let repo = text("/repository/full_name").ok_or_else(|| bad("`repository.full_name` is missing"))?;
        let after = text("/after").ok_or_else(|| bad("`after` is missing"))?;
        let Some(branch) = reference.strip_prefix("refs/heads/") else {
            return Err(Reply::new(200, "ignored: not a branch"));
        };
        if !crate::source::is_revision(branch) {
            return Err(bad("`ref` is no branch that git allows"));
        }
        if !matches!(after.len(), 40 | 64) || !after.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad("`after` is no commit"));
        }
        let deleted = body.get("deleted").and_then(Value::as_bool).unwrap_or(false);
        if deleted || after.bytes().all(|b| b == b'0') {
            return Err(Reply::new(200, "ignored: the branch was deleted"));
        }
        self.check_delivery().map_err(bad)?;
        Ok(Push {
            repo: repo.parse().map_err(|_| bad("`repository.full_name` is no repository"))?,
            reference: reference.to_owned(),
            after: after.to_owned(),
            delivery: self.delivery,
        })
    }
}

/// Reads a signature in the header `name`: what it begins with, and 64 hex digits.
fn signature(header: &str, start: &str, name: &str) -> Result<[u8; SIGNATURE_BYTES], Reply> {
    if header.is_empty() {
        return Err(Reply::new(401, format!("the {name} header is missing: give the webhook a secret")));
    }
    let mut signature = [0; SIGNATURE_BYTES];
    let digits = header.strip_prefix(start).unwrap_or_default();
    hex::decode_to_slice(digits, &mut signature)
        .map_err(|_| Reply::new(401, format!("the {name} header is not `{start}` and 64 hex digits")))?;
    Ok(signature)
}

/// The response to a request that is not GitHub's.
pub fn unsigned() -> Reply {
    Reply::new(401, "the signature does not fit")
}

/// Whether `token` is the secret, compared in constant time by their HMACs.
fn is_token(token: &[u8], secret: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return false };
    mac.update(secret);
    let signature: [u8; SIGNATURE_BYTES] = mac.finalize().into_bytes().into();
    is_signed(token, &signature, secret)
}

/// Whether `signature` is the HMAC of `body`. An empty secret signs nothing.
fn is_signed(body: &[u8], signature: &[u8; SIGNATURE_BYTES], secret: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return false };
    mac.update(body);
    !secret.is_empty() && mac.verify_slice(signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::queue::MessageBody;
    use super::*;

    const SECRET: &str = "It's a Secret to Everybody";

    fn hmac(body: &[u8], secret: &[u8]) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
        mac.update(body);
        mac.finalize().into_bytes().to_vec()
    }

    fn sign(body: &[u8]) -> String {
        format!("sha256={}", hex::encode(hmac(body, SECRET.as_bytes())))
    }

    fn request(body: &str, headers: &Value) -> Value {
        json!({
            "version": "2.0", "routeKey": "$default", "rawPath": "/", "rawQueryString": "", "headers": headers,
            "requestContext": {"http": {"method": "POST", "path": "/"}, "timeEpoch": 1},
            "body": body, "isBase64Encoded": false
        })
    }

    fn signed(event: &str, body: &str) -> Value {
        request(
            body,
            &json!({"x-github-event": event, "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
                "x-hub-signature-256": sign(body.as_bytes())}),
        )
    }

    fn run(event: Value) -> WebhookResult {
        match Request::read(event) {
            Ok(request) if request.is_signed_with(&SecretString::from(SECRET)) => request.into_result(),
            Ok(_) => WebhookResult::Reply(unsigned()),
            Err(reply) => WebhookResult::Reply(reply),
        }
    }

    fn status(event: Value) -> u16 {
        match run(event) {
            WebhookResult::Reply(reply) => reply.status,
            WebhookResult::Enqueue(_) => 202,
        }
    }

    fn push(reference: &str, after: &str) -> String {
        json!({"ref": reference, "after": after, "deleted": false, "repository": {"full_name": "acme/gitops"}})
            .to_string()
    }

    fn sha() -> String {
        "ab12".repeat(10)
    }

    #[test]
    fn githubs_own_example_verifies() {
        // docs.github.com, "Validating webhook deliveries", testing the webhook payload validation.
        let header = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let signature = signature(header, "sha256=", "").unwrap();
        assert!(is_signed(b"Hello, World!", &signature, SECRET.as_bytes()));
        assert!(!is_signed(b"Hello, World?", &signature, SECRET.as_bytes()));
        let mac = Hmac::<Sha256>::new_from_slice(b"").unwrap().finalize().into_bytes();
        assert!(!is_signed(b"", &mac.into(), b""), "an empty secret signs nothing");
    }

    #[test]
    fn pushes_to_branches_are_queued() {
        let WebhookResult::Enqueue(Message { body: MessageBody::Push(push), .. }) =
            run(signed("push", &push("refs/heads/feature/x", &sha())))
        else {
            panic!("not queued")
        };
        assert_eq!((push.branch(), push.repo.to_string().as_str()), ("feature/x", "acme/gitops"));
        assert_eq!(push.delivery, "72d3162e-cc78-11e3-81ab-4c9367dc0958");
    }

    #[test]
    fn pull_requests_are_queued_where_sets_may_see_a_change() {
        let body =
            |action: &str| json!({"action": action, "number": 7, "repository": {"full_name": "acme/web"}}).to_string();
        for action in ACTIONS {
            let WebhookResult::Enqueue(Message { body: MessageBody::PullRequest(event), .. }) =
                run(signed("pull_request", &body(action)))
            else {
                panic!("{action} is not queued")
            };
            assert_eq!(
                (event.repo.to_string().as_str(), event.pull_request, event.action.as_str()),
                ("acme/web", 7, action)
            );
        }
        assert_eq!(status(signed("pull_request", &body("assigned"))), 200);
        for bad in
            [body("opened").replace('7', "-7"), body("opened").replace("acme/web", "acme/../web"), "{".to_owned()]
        {
            assert_eq!(status(signed("pull_request", &bad)), 400, "{bad}");
        }
    }

    #[test]
    fn base64_and_header_case_do_not_matter() {
        let body = push("refs/heads/main", &sha());
        let mut event = request(
            &STANDARD.encode(&body),
            &json!({"X-GitHub-Event": "push", "X-GITHUB-DELIVERY": "a-1",
                "X-Hub-Signature-256": sign(body.as_bytes())}),
        );
        event["isBase64Encoded"] = json!(true);
        assert_eq!(status(event.clone()), 202);
        event["body"] = json!("%%%");
        assert_eq!(status(event), 400);
    }

    /// What API Gateway's HTTP APIs send in format 2.0 is read as what a Function URL sends; the fields are those of
    /// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>.
    #[test]
    fn an_http_api_is_read_as_a_function_url() {
        let mut event = signed("push", &push("refs/heads/main", &sha()));
        event["routeKey"] = json!("POST /");
        event["requestContext"] = json!({
            "accountId": "123456789012", "apiId": "api-id", "authentication": null, "domainName": "id.execute-api",
            "domainPrefix": "id", "requestId": "id", "routeKey": "POST /", "stage": "$default", "timeEpoch": 1,
            "time": "12/Mar/2020:19:03:58 +0000",
            "http": {"method": "POST", "path": "/", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "a"}
        });
        let as_url = run(signed("push", &push("refs/heads/main", &sha())));
        assert!(matches!(as_url, WebhookResult::Enqueue(_)));
        assert_eq!(run(event), as_url);
    }

    #[test]
    fn bad_signatures_get_401() {
        let body = push("refs/heads/main", &sha());
        let with = |headers: Value| status(request(&body, &headers));
        assert_eq!(with(json!({"x-github-event": "push"})), 401);
        assert_eq!(with(json!({"x-github-event": "push", "x-hub-signature": "sha1=0000"})), 401);
        for signature in
            ["sha256=", "sha256=zz", "sha1=ab", "", &sign(b"other body"), sign(body.as_bytes()).split_at(69).0]
        {
            assert_eq!(with(json!({"x-github-event": "push", "x-hub-signature-256": signature})), 401, "{signature}");
        }
        // The signature is over the bytes, not over their meaning.
        let mut spaced = signed("push", &body);
        spaced["body"] = json!(format!("{body} "));
        assert_eq!(status(spaced), 401);
    }

    #[test]
    fn other_events_and_references_are_answered() {
        assert_eq!(run(signed("ping", "{}")), WebhookResult::Reply(Reply::new(200, "pong")));
        let zero = "0".repeat(40);
        for (event, body) in [
            ("issues", "{}".to_owned()),
            ("push", push("refs/tags/v1", &sha())),
            ("push", push("refs/heads/gone", &zero)),
            (
                "push",
                json!({"ref": "refs/heads/x", "after": sha(), "deleted": true, "repository": {"full_name": "a/b"}})
                    .to_string(),
            ),
        ] {
            assert_eq!(status(signed(event, &body)), 200, "{event} {body}");
        }
    }

    #[test]
    fn malformed_requests_are_refused() {
        let mut get = signed("push", "{}");
        get["requestContext"]["http"]["method"] = json!("GET");
        assert_eq!(status(get), 405);
        assert_eq!(status(signed("push", &"x".repeat(MAX_BODY + 1))), 413);
        assert_eq!(status(json!({"requestContext": 1})), 400);
        let cases = [
            "",
            "{",
            "[]",
            "null",
            r#"{"ref": null}"#,
            r#"{"ref": ["refs/heads/x"]}"#,
            r#"{"ref": "refs/heads/x", "after": 1, "repository": {"full_name": "a/b"}}"#,
            "payload=%7B%7D",
        ];
        let mut count = 0;
        for body in cases.map(str::to_owned).into_iter().chain([
            push("refs/heads/../x", &sha()),
            push("refs/heads/a b", &sha()),
            push("refs/heads/x", "zz"),
            push("refs/heads/x", &sha()).replace("acme/gitops", "acme/../gitops"),
        ]) {
            assert_eq!(status(signed("push", &body)), 400, "{body}");
            count += 1;
        }
        assert_eq!(count, 12);
    }
}
