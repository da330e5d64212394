//! The hosts' documented payloads, shortened to what is around the fields that are read.

#![allow(clippy::needless_pass_by_value)] // `json!` reads better in place

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::SecretString;
use serde_json::json;
use sha2::Sha256;

use super::super::github::Request;
use super::super::queue::{Message, MessageBody};
use super::*;

const SECRET: &str = "a secret of forty characters or a few more";
const AFTER: &str = "da1560886d4f094c3e6c9ef40349f7d38b5d27d7";

fn request(headers: Value, body: &str) -> Value {
    json!({"version": "2.0", "rawPath": "/", "headers": headers, "body": body, "isBase64Encoded": false,
        "requestContext": {"http": {"method": "POST", "path": "/"}, "timeEpoch": 1}})
}

fn hmac(body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

fn run(event: Value) -> WebhookResult {
    match Request::read(event) {
        Ok(request) if request.is_signed_with(&SecretString::from(SECRET)) => request.into_result(),
        Ok(_) => WebhookResult::Reply(super::super::github::unsigned()),
        Err(reply) => WebhookResult::Reply(reply),
    }
}

fn status(event: Value) -> u16 {
    match run(event) {
        WebhookResult::Reply(reply) => reply.status,
        WebhookResult::Enqueue(_) => 202,
    }
}

fn queued(event: Value) -> (Vec<String>, Vec<String>) {
    match run(event) {
        WebhookResult::Enqueue(message) => {
            // It survives the queue.
            let text = serde_json::to_string(&message).unwrap();
            let event = json!({"Records": [{"messageId": "1", "body": text}]});
            let again = super::super::queue::read(event).unwrap().remove(0).message.unwrap();
            assert_eq!(again, message);
            let Message { body: MessageBody::HostPush(push), .. } = message else { panic!("{message}") };
            assert!(!push.delivery.is_empty());
            (push.places, push.branches)
        }
        WebhookResult::Reply(reply) => panic!("{reply:?}"),
    }
}

fn gitlab() -> Value {
    json!({"object_kind": "push", "event_name": "push", "before": "95790bf891e76fee5e1747ab589903a6a1f80f22",
        "after": AFTER, "ref": "refs/heads/master", "checkout_sha": AFTER, "user_username": "jsmith", "project_id": 15,
        "project": {"id": 15, "name": "Diaspora", "web_url": "http://example.com/mike/diaspora",
            "git_ssh_url": "git@example.com:mike/diaspora.git", "git_http_url": "http://example.com/mike/diaspora.git",
            "namespace": "Mike", "path_with_namespace": "mike/diaspora", "default_branch": "master"},
        "repository": {"name": "Diaspora", "url": "git@example.com:mike/diaspora.git", "visibility_level": 0},
        "commits": [], "total_commits_count": 4})
}

fn gitea() -> Value {
    json!({"ref": "refs/heads/develop", "before": "28e1879d029cb852e4844d9c718537df08844e03", "after": AFTER,
        "compare_url": "http://localhost:3000/gitea/webhooks/compare/28e…", "commits": [],
        "repository": {"id": 140, "name": "webhooks", "full_name": "gitea/webhooks", "private": false,
            "html_url": "http://localhost:3000/gitea/webhooks", "ssh_url": "ssh://gitea@localhost:2222/gitea/webhooks.git",
            "clone_url": "http://localhost:3000/gitea/webhooks.git", "default_branch": "master"},
        "pusher": {"id": 1, "login": "gitea"}})
}

fn bitbucket() -> Value {
    json!({"actor": {"display_name": "Emma"}, "repository": {"type": "repository", "full_name": "team_name/repo_name",
            "links": {"self": {"href": "https://api.bitbucket.org/2.0/repositories/bitbucket/bitbucket"},
                "html": {"href": "https://bitbucket.org/team_name/repo_name"}}},
        "push": {"changes": [
            {"new": {"type": "branch", "name": "name-of-branch", "target": {"type": "commit", "hash": AFTER}},
                "old": {"type": "branch", "name": "name-of-branch"}, "created": false, "forced": false, "closed": false},
            {"new": {"type": "tag", "name": "v1"}, "old": null},
            {"new": null, "old": {"type": "branch", "name": "gone"}, "closed": true}]}})
}

fn bitbucket_server() -> Value {
    json!({"eventKey": "repo:refs_changed", "date": "2017-09-19T09:45:32+1000", "actor": {"name": "admin"},
        "repository": {"slug": "repository", "id": 84, "name": "repository", "scmId": "git", "state": "AVAILABLE",
            "project": {"key": "PROJECT", "id": 84, "name": "project", "public": false, "type": "NORMAL"}},
        "changes": [{"ref": {"id": "refs/heads/master", "displayId": "master", "type": "BRANCH"},
            "refId": "refs/heads/master", "fromHash": "ecddabb624f6f5ba43816f5926e580a5f680a932", "toHash": AFTER,
            "type": "UPDATE"}]})
}

/// The request of each host with `body`, and the header with its proof.
fn requests(change: impl Fn(&mut Value)) -> Vec<(Value, &'static str, &'static str)> {
    let body = |mut body: Value| {
        change(&mut body);
        body.to_string()
    };
    let (lab, tea, cloud, server) = (body(gitlab()), body(gitea()), body(bitbucket()), body(bitbucket_server()));
    // Gitea sends GitHub's headers, too.
    let of_gitea = |own: &str| {
        json!({format!("x-{own}-event"): "push", format!("x-{own}-delivery"): "f6266f16-1bf3-46a5-9ea4-602e06ead473",
            format!("x-{own}-signature"): hmac(&tea), "x-github-event": "push", "x-github-delivery": "f6266f16",
            "x-hub-signature-256": format!("sha256={}", hmac(&tea))})
    };
    let of_bitbucket = |event: &str, id: &str, body: &str| json!({"x-event-key": event, id: "8e3f2b1c-0001", "x-hub-signature": format!("sha256={}", hmac(body))});
    vec![
        (
            request(
                json!({"x-gitlab-event": "Push Hook", "x-gitlab-token": SECRET,
                "x-gitlab-event-uuid": "13792a34-cac6-4fda-95a8-c58e00a3954e"}),
                &lab,
            ),
            "x-gitlab-token",
            "example.com/mike/diaspora",
        ),
        (request(of_gitea("gitea"), &tea), "x-gitea-signature", "localhost:3000/gitea/webhooks"),
        (request(of_gitea("forgejo"), &tea), "x-forgejo-signature", "localhost:3000/gitea/webhooks"),
        (
            request(of_bitbucket("repo:push", "x-request-uuid", &cloud), &cloud),
            "x-hub-signature",
            "bitbucket.org/team_name/repo_name",
        ),
        (
            request(of_bitbucket("repo:refs_changed", "x-request-id", &server), &server),
            "x-hub-signature",
            "*/project/repository",
        ),
    ]
}

fn set(body: &mut Value, pointer: &str, to: &Value) {
    if let Some(value) = body.pointer_mut(pointer) {
        *value = to.clone();
    }
}

#[test]
fn documented_pushes_are_queued() {
    let branches = ["master", "develop", "develop", "name-of-branch", "master"];
    for ((event, _, place), branch) in requests(|_| {}).into_iter().zip(branches) {
        let (places, found) = queued(event);
        assert!(places.contains(&place.to_owned()), "{place} is not in {places:?}");
        assert_eq!(found, [branch], "{place}");
    }
    let with_links = requests(|body| {
        body["repository"]["links"]["clone"] =
            json!([{"href": "https://bb.example.com/scm/project/repository.git", "name": "http"}]);
    });
    assert_eq!(queued(with_links.last().unwrap().0.clone()).0, ["bb.example.com/scm/project/repository"]);
}

#[test]
fn a_proof_is_mandatory_and_of_this_body() {
    for (event, proof, place) in requests(|_| {}) {
        let with = |value: Value| {
            let mut event = event.clone();
            event["headers"][proof] = value;
            status(event)
        };
        let right = event["headers"][proof].as_str().unwrap().to_owned();
        assert_eq!(with(json!(right)), 202, "{place}");
        for wrong in [
            "",
            "x",
            "sha256=",
            right.split_at(1).1,
            &right.replace(['a', 'e'], "f"),
            &format!("sha256={}", "0".repeat(64)),
        ] {
            assert_eq!(with(json!(wrong)), 401, "{place}: {wrong}");
        }
        let mut missing = event.clone();
        missing["headers"].as_object_mut().unwrap().remove(proof);
        assert_eq!(status(missing), 401, "{place}: none");
        // A token is no signature: of GitLab only, the body may be another one.
        let mut other = event;
        other["body"] = json!(other["body"].as_str().unwrap().to_owned() + " ");
        assert_eq!(status(other), if proof == "x-gitlab-token" { 202 } else { 401 }, "{place}");
    }
    // The proof of one host is none for another.
    let token = request(json!({"x-gitea-event": "push", "x-gitea-delivery": "a", "x-gitlab-token": SECRET}), "{}");
    assert_eq!(status(token), 401);
    let empty = Request::read(request(json!({"x-gitlab-event": "Push Hook", "x-gitlab-token": " "}), "{}"));
    assert_eq!(empty.unwrap_err().status, 401);
}

#[test]
fn what_moves_no_branch_is_answered_and_what_is_malformed_refused() {
    let gone = |body: &mut Value| {
        let zero = json!("0".repeat(40));
        for pointer in ["/after", "/changes/0/toHash"] {
            set(body, pointer, &zero);
        }
        set(body, "/push/changes/0/new", &Value::Null);
    };
    let tag = |body: &mut Value| {
        for pointer in ["/ref", "/changes/0/ref/id"] {
            set(body, pointer, &json!("refs/tags/v1"));
        }
        set(body, "/push/changes/0/new/type", &json!("tag"));
    };
    let evil = |body: &mut Value| {
        for pointer in ["/ref", "/changes/0/ref/id"] {
            set(body, pointer, &json!("refs/heads/../x"));
        }
        set(body, "/push/changes/0/new/name", &json!("../x"));
    };
    let nowhere = |body: &mut Value| {
        body.as_object_mut().unwrap().retain(|key, _| !matches!(key.as_str(), "repository" | "project"));
    };
    for (event, _, place) in requests(gone).into_iter().chain(requests(tag)) {
        assert_eq!(status(event), 200, "{place}");
    }
    for (event, _, place) in
        requests(evil).into_iter().chain(requests(nowhere)).chain(requests(|body| *body = json!([1])))
    {
        assert_eq!(status(event), 400, "{place}");
    }
    let merge = request(json!({"x-gitlab-event": "Merge Request Hook", "x-gitlab-token": SECRET}), "{}");
    assert_eq!(status(merge), 200);
}
