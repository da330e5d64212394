//! Image pushes while GitHub and ECR refuse, limit and fail (`design/faults-image.md`).

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::{Value, json};
use slipway_sandbox::IMAGE;
use slipway_sandbox::aws::Aws;
use slipway_sandbox::faults::Failure;
use slipway_sandbox::forge::Change;

use crate::world::{Flow, KUSTOMIZATION};

/// The Application of the shop under another name, with its own folder; `edit` changes its manifest.
fn application(flow: &Flow, name: &str, edit: impl Fn(String) -> String) -> [(String, String); 2] {
    let app = flow.read("applications/shop.yaml");
    let app = app.replace("name: shop\n", &format!("name: {name}\n")).replace("path: shop", &format!("path: {name}"));
    let kustomization = flow.read(KUSTOMIZATION);
    [(format!("applications/{name}.yaml"), edit(app)), (format!("{name}/kustomization.yaml"), kustomization)]
}

fn push(flow: &Flow, branch: &str, files: &[(String, String)]) {
    let changes: Vec<Change> = files.iter().map(|(path, text)| Change::write(path.as_str(), text.as_str())).collect();
    flow.sandbox.forge.push(&flow.sandbox.repository, branch, "Change files", &changes).unwrap();
}

fn answers(flow: &Flow, path: &str, status: StatusCode, headers: &[(&'static str, &str)], body: Value, count: usize) {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let path_contains = path.to_owned();
    flow.sandbox.forge.faults().failures.arm(Failure { method: None, path_contains, count, status, headers, body });
}

/// A branch that takes no commits is told, and stops no other (F2).
#[tokio::test]
async fn a_refused_branch_is_told_and_stops_no_other() {
    let flow = Flow::deployed().await;
    let prod = application(&flow, "prod", |app| app.replace("targetRevision: main", "targetRevision: prod"));
    push(&flow, "main", &prod);
    push(&flow, "prod", &prod[1..]);
    let words = "Repository rule violations found\n\nCommits must have verified signatures.";
    flow.sandbox.forge.faults().refuse_commits("main", 1, "UNPROCESSABLE", words);
    let event = flow.sandbox.aws.push_image(IMAGE, "1.1.0");
    let result = flow.pusher.handle(event).await.unwrap();
    assert_eq!(result["branches"]["acme/gitops prod"]["changes"], json!(["prod: 1.0.0 → 1.1.0"]), "{result}");
    assert!(flow.read(KUSTOMIZATION).contains("newTag: 1.0.0"));
    let last = flow.messages().pop().unwrap();
    assert!(last.contains("rule violations found Commits must have verified signatures."), "{last}");
}

/// What the credential may not see is told, and is no branch that is gone (F3).
#[tokio::test]
async fn a_repository_that_is_not_found_is_told() {
    let flow = Flow::deployed().await;
    let other = application(&flow, "other", |app| app.replace("acme/gitops", "acme/gone"));
    push(&flow, "main", &other);
    let event = flow.sandbox.aws.push_image(IMAGE, "1.1.0");
    let result = flow.pusher.handle(event).await.unwrap();
    assert!(flow.read(KUSTOMIZATION).contains("newTag: 1.1.0"), "{result}");
    let last = flow.messages().pop().unwrap();
    assert!(last.contains("acme/gone") && last.contains("404"), "{last}");
}

/// So it is of a push to Git: as where the GitHub App was taken off the repository (F3).
#[tokio::test]
async fn a_push_to_a_repository_that_is_not_found_is_told() {
    let mut flow = Flow::deployed().await;
    flow.push("Change nothing", &[("notes.txt", "more")]);
    answers(&flow, "commits/heads/main", StatusCode::NOT_FOUND, &[], json!({"message": "Not Found"}), 1);
    flow.settle().await;
    let last = flow.messages().pop().unwrap();
    assert!(last.contains("acme/gitops") && last.contains("404"), "{last}");
    let told = flow.messages().len();
    // A branch that is gone is no fault.
    flow.push("Change nothing", &[("notes.txt", "and more")]);
    let gone = json!({"message": "No commit found for SHA: heads/main"});
    answers(&flow, "commits/heads/main", StatusCode::UNPROCESSABLE_ENTITY, &[], gone, 1);
    flow.settle().await;
    assert_eq!(flow.messages().len(), told, "{:?}", flow.messages());
}

/// Limits and hiccups of GitHub are waited for, whatever they look like (F4).
#[tokio::test]
async fn limits_and_hiccups_are_waited_for() {
    let flow = Flow::deployed().await;
    let secondary = json!({"message": "You have exceeded a secondary rate limit. Please wait a few minutes."});
    answers(&flow, "graphql", StatusCode::FORBIDDEN, &[("x-ratelimit-remaining", "4290")], secondary, 1);
    answers(&flow, "graphql", StatusCode::BAD_GATEWAY, &[], json!({"message": "Server Error"}), 4);
    answers(&flow, "graphql", StatusCode::CONFLICT, &[], json!({"message": "Conflict"}), 1);
    for (kind, words) in [
        ("RATE_LIMITED", "API rate limit exceeded for installation ID 7."),
        ("INTERNAL", "Something went wrong while executing your query. This may be the result of a timeout."),
    ] {
        flow.sandbox.forge.faults().refuse_commits("main", 1, kind, words);
    }
    let event = flow.sandbox.aws.push_image(IMAGE, "1.1.0");
    let result = flow.pusher.handle(event).await.unwrap();
    assert_eq!(result["branches"]["acme/gitops main"]["problems"], json!([]), "{result}");
    assert!(flow.read(KUSTOMIZATION).contains("newTag: 1.1.0"));
}

/// What ECR refuses is told (F8).
#[tokio::test]
async fn a_registry_that_refuses_is_told() {
    let flow = Flow::deployed().await;
    let app = flow.read("applications/shop.yaml").replace("update-strategy: semver", "update-strategy: newest-build");
    push(&flow, "main", &[("applications/shop.yaml".to_owned(), app)]);
    // The credentials are known from another push.
    flow.pusher.handle(flow.sandbox.aws.push_image("other", "1.0.0")).await.unwrap();
    let event = flow.sandbox.aws.push_image(IMAGE, "1.1.0");
    flow.sandbox.aws.failures().arm(Failure {
        method: None,
        path_contains: String::new(),
        count: 1,
        status: StatusCode::BAD_REQUEST,
        headers: Vec::new(),
        body: json!({"__type": "AccessDeniedException", "message": "not authorized to perform: ecr:DescribeImages"}),
    });
    flow.pusher.handle(event).await.unwrap();
    let last = flow.messages().pop().unwrap();
    assert!(last.contains("failed to list the tags") && last.contains("AccessDeniedException"), "{last}");
}

/// What can't be updated is told once, not at every push (F14).
#[tokio::test]
async fn what_can_t_be_updated_is_told_once() {
    let flow = Flow::deployed().await;
    let app = flow.read("applications/shop.yaml").replace("write-back-method: git", "write-back-method: gut");
    push(&flow, "main", &[("applications/shop.yaml".to_owned(), app)]);
    let before = flow.messages().len();
    for tag in ["pr-1", "pr-2", "pr-3"] {
        flow.pusher.handle(flow.sandbox.aws.push_image(IMAGE, tag)).await.unwrap();
    }
    assert_eq!(flow.messages().len(), before + 1, "{:?}", flow.messages());
}

/// A replicated image is a push where the replica is (F6).
#[tokio::test]
async fn a_replicated_image_is_committed() {
    let flow = Flow::deployed().await;
    let mut event = flow.sandbox.aws.push_image(IMAGE, "1.1.0");
    event["detail-type"] = json!("ECR Replication Action");
    event["detail"]["action-type"] = json!("REPLICATE");
    event["detail"]["source-account"] = json!("210987654321");
    event["detail"]["source-region"] = json!("us-west-2");
    flow.pusher.handle(event).await.unwrap();
    assert!(flow.read(KUSTOMIZATION).contains("newTag: 1.1.0"));
}

/// A push costs few calls: the commit that the Applications were read from is at hand.
#[tokio::test]
async fn a_push_costs_few_calls() {
    let flow = Flow::deployed().await;
    let (github, ecr) = (flow.sandbox.forge.exchanges().len(), flow.sandbox.aws.exchanges().len());
    flow.pusher.handle(flow.sandbox.aws.push_image(IMAGE, "1.1.0")).await.unwrap();
    let calls: Vec<String> =
        flow.sandbox.forge.exchanges().split_off(github).iter().map(|one| one.request.path.clone()).collect();
    assert!(calls.len() <= 6, "{calls:?}");
    // The credentials alone: a version is decided by the event.
    let calls: Vec<String> = flow
        .sandbox
        .aws
        .exchanges()
        .split_off(ecr)
        .iter()
        .map(|one| one.request.header("x-amz-target").unwrap_or_default().to_owned())
        .collect();
    assert!(calls.iter().all(|call| !call.contains("DescribeImages")), "{calls:?}");
}

/// A hundred images are pushed at once into one branch, by several workers, while GitHub fails at random: every update
/// lands once, and no other byte changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_pushes_at_once_all_land() {
    const COUNT: usize = 100;
    let flow = Flow::deployed().await;
    let files: Vec<(String, String)> = (0..COUNT)
        .flat_map(|index| {
            let name = format!("app-{index}");
            let [(path, app), (file, kustomization)] =
                application(&flow, &name, |app| app.replace("/shop/web", &format!("/shop/{name}")));
            let own = format!("{}/shop/{name}", Aws::registry());
            [(path, app), (file, kustomization.replace(&format!("{}/shop/web", Aws::registry()), &own))]
        })
        .collect();
    push(&flow, "main", &files);
    let before: Vec<String> = (0..COUNT).map(|index| flow.read(&format!("app-{index}/kustomization.yaml"))).collect();
    let commits = flow.sandbox.repository.commits_between(None, flow.sandbox.head().unwrap().unwrap()).unwrap().len();
    let limit = json!({"message": "You have exceeded a secondary rate limit."});
    for round in 0..5 {
        answers(&flow, "graphql", StatusCode::BAD_GATEWAY, &[], json!({"message": "Server Error"}), 3 + round);
        answers(&flow, "commits/heads", StatusCode::SERVICE_UNAVAILABLE, &[], json!({"message": "x"}), 2);
        answers(&flow, "graphql", StatusCode::CONFLICT, &[], json!({"message": "Conflict"}), 2);
        answers(&flow, "graphql", StatusCode::UNPROCESSABLE_ENTITY, &[], json!({"message": "Validation Failed"}), 1);
        answers(&flow, "graphql", StatusCode::FORBIDDEN, &[], limit.clone(), 2);
        answers(&flow, "graphql", StatusCode::TOO_MANY_REQUESTS, &[("retry-after", "1")], limit.clone(), 2);
    }
    let mut workers = Vec::new();
    for _ in 0..4 {
        workers.push(flow.another_pusher().await);
    }
    let push = async |index: usize| {
        let event = flow.sandbox.aws.push_image(&format!("shop/app-{index}"), "1.1.0");
        let mut event = event;
        event["id"] = json!(format!("event-{index}"));
        // Lambda tries an event three times in all.
        for _ in 0..2 {
            if workers[index % workers.len()].handle(event.clone()).await.is_ok() {
                return true;
            }
        }
        workers[index % workers.len()].handle(event).await.is_ok()
    };
    let landed = futures::future::join_all((0..COUNT).map(push)).await;
    assert!(landed.iter().all(|landed| *landed), "{} became dead letters", landed.iter().filter(|one| !**one).count());
    for (index, before) in before.iter().enumerate() {
        let after = flow.read(&format!("app-{index}/kustomization.yaml"));
        assert_eq!(after, before.replace("newTag: 1.0.0", "newTag: 1.1.0"), "app-{index}");
    }
    // Each once: one line of one file a commit, and the event that it is for.
    let all = flow.sandbox.repository.commits_between(None, flow.sandbox.head().unwrap().unwrap()).unwrap();
    let new = &all[commits..];
    let events: BTreeSet<&str> =
        new.iter().filter_map(|commit| commit.message.lines().find_map(|line| line.strip_prefix("Event: "))).collect();
    assert_eq!((new.len(), events.len()), (COUNT, COUNT));
    assert!(new[0].message.contains("\nImage: ") && new[0].message.contains(":1.1.0@sha256:"), "{}", new[0].message);
}
