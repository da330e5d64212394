//! Every case under `events/` is read as its name says.

use std::collections::BTreeSet;
use std::fs;

use secrecy::SecretString;
use slipway::event::{ecr, github, schedule};

use slipway_tests::bed::event;

/// The cases in `events/FOLDER`; the test that lists them must list them all.
fn all(folder: &str, listed: &[&str]) {
    let found: BTreeSet<String> = fs::read_dir(slipway_tests::tools::workspace().join("events").join(folder))
        .expect("the folder is there")
        .map(|entry| entry.expect("listed").file_name().to_string_lossy().trim_end_matches(".json").to_owned())
        .collect();
    let listed: BTreeSet<String> = listed.iter().map(ToString::to_string).collect();
    assert_eq!(found, listed, "events/{folder}");
}

#[test]
fn images() {
    let cases = [
        ("image-pushed", "push 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop/web:1.4.2"),
        ("older-tag", "push 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop/web:1.4.1"),
        ("timestamp-tag", "push 123456789012.dkr.ecr.eu-central-1.amazonaws.com/hello-spring:user01-20230924033608"),
        ("china", "push 234567890123.dkr.ecr.cn-north-1.amazonaws.com.cn/shop/web:1.4.2"),
        ("schedule", "catch up"),
        ("untagged", "ignored"),
        ("deleted", "ignored"),
        ("failed", "ignored"),
        ("signature", "ignored"),
        ("hostile-tag", "refused"),
        ("hostile-line-break", "refused"),
        ("hostile-long-tag", "refused"),
        ("hostile-repository", "refused"),
        ("hostile-account", "refused"),
        ("other-source", "refused"),
        ("wrong-type", "refused"),
    ];
    all("ecr-push", &cases.map(|(name, _)| name));
    for (name, expected) in cases {
        let read = match ecr::read(event(&format!("ecr-push/{name}"))) {
            Ok(ecr::EcrTrigger::Push(push)) => format!("push {}:{}", push.repository.image(), push.tag),
            Ok(ecr::EcrTrigger::CatchUp) => "catch up".to_owned(),
            Ok(ecr::EcrTrigger::Ignored(_)) => "ignored".to_owned(),
            Err(error) => {
                assert!(!error.to_string().contains('\n'), "{name} breaks a log line: {error}");
                "refused".to_owned()
            }
        };
        assert_eq!(read, expected, "{name}");
    }
}

/// The cases of github-webhook and the status that each is answered with; 202 means one message in the queue.
pub(crate) const REQUESTS: [(&str, u16); 19] = [
    ("push", 202),
    ("push-base64", 202),
    ("push-forced", 202),
    ("push-branch-created", 202),
    ("push-branch-deleted", 200),
    ("push-tag", 200),
    ("push-path-in-ref", 400),
    ("push-null-repository", 400),
    ("push-no-json", 400),
    ("push-cut-short", 400),
    ("ping", 200),
    ("issues", 200),
    ("no-signature", 401),
    ("sha1-only", 401),
    ("empty-signature", 401),
    ("wrong-signature", 401),
    ("signature-of-another-body", 401),
    ("signature-of-same-json-spaced", 401),
    ("get", 405),
];

#[test]
fn requests() {
    all("github-webhook", &REQUESTS.map(|(name, _)| name));
    for (name, expected) in REQUESTS {
        let secret = SecretString::from("It's a Secret to Everybody");
        let status = match github::Request::read(event(&format!("github-webhook/{name}"))) {
            Err(reply) => reply.status,
            Ok(request) if !request.is_signed_with(&secret) => github::unsigned().status,
            Ok(request) => match request.into_result() {
                github::WebhookResult::Reply(reply) => reply.status,
                github::WebhookResult::Enqueue(_) => 202,
            },
        };
        assert_eq!(status, expected, "{name}");
    }
}

#[test]
fn schedules() {
    let cases = ["schedule", "one-app", "not-a-schedule"];
    all("drift-check", &cases);
    let read = cases.map(|name| schedule::read(&event(&format!("drift-check/{name}"))));
    assert_eq!(read[0], schedule::ScheduleTrigger::All);
    assert_eq!(read[1], schedule::ScheduleTrigger::App("guestbook".to_owned()));
    assert!(matches!(read[2], schedule::ScheduleTrigger::Ignored(_)));
}
