//! Images whose tags come to Git by pull requests.

use http::StatusCode;
use serde_json::{Value, json};
use slipway_sandbox::IMAGE;
use slipway_sandbox::faults::Failure;
use slipway_sandbox::forge::{Change, PullRequest};

use slipway_tests::GitHub;

use crate::world::{Flow, KUSTOMIZATION};

const RULES: &str = "Repository rule violations found\n\nChanges must be made through a pull request.";

/// The shop, whose Application has these annotations besides.
async fn shop(annotations: &str) -> Flow {
    let mut flow = Box::pin(Flow::deployed()).await;
    let app =
        flow.read("applications/shop.yaml").replace("  annotations:\n", &format!("  annotations:\n{annotations}"));
    flow.push("Ask for pull requests", &[("applications/shop.yaml", &app)]);
    flow.settle().await;
    flow
}

fn pulls(flow: &Flow) -> Vec<PullRequest> {
    flow.sandbox.forge.pull_requests(&flow.sandbox.repository)
}

/// The kustomization in the branch of the pull request.
fn proposed(flow: &Flow, pull: &PullRequest) -> String {
    let repository = &flow.sandbox.repository;
    let head = repository.branch(&pull.branch).unwrap().unwrap();
    String::from_utf8(repository.read_file(head, KUSTOMIZATION).unwrap().unwrap()).unwrap()
}

async fn push(flow: &Flow, tag: &str) -> Value {
    let event = flow.sandbox.aws.push_image(IMAGE, tag);
    flow.pusher.handle(event).await.unwrap()
}

fn only(result: &Value) -> &Value {
    let branches = result["branches"].as_object().unwrap();
    assert_eq!(branches.len(), 1, "{result:#}");
    branches.values().next().unwrap()
}

/// Holds what was asked and answered to GitHub's own descriptions.
fn check_exchanges(flow: &Flow) {
    if let Some(github) = GitHub::load() {
        github.check(&flow.sandbox.forge.exchanges()).unwrap_or_else(|error| panic!("{error:#}"));
    }
}

fn schedule() -> Value {
    json!({"detail-type": "Scheduled Event", "source": "aws.scheduler", "id": "1", "detail": "{}"})
}

/// One pull request, changed in place by newer images, merged, and deployed.
#[tokio::test]
async fn a_pull_request_is_opened_changed_in_place_and_merged() {
    let mut flow = shop(
        "    slipway.dev/pull-request: \"true\"\n    slipway.dev/pull-request.labels: images, shop\n    \
         slipway.dev/pull-request.reviewers: dana,acme/platform\n",
    )
    .await;
    let before = flow.read(KUSTOMIZATION);
    let result = push(&flow, "1.1.0").await;
    assert_eq!(only(&result)["problems"], json!([]), "{result:#}");
    assert_eq!(flow.read(KUSTOMIZATION), before, "nothing is committed to the branch itself");
    let [pull] = &pulls(&flow)[..] else { panic!("{:?}", pulls(&flow)) };
    assert_eq!(only(&result)["pullRequest"], json!(format!("https://github.com/acme/gitops/pull/{}", pull.number)));
    assert_eq!((pull.target.as_str(), pull.is_open), ("main", true));
    assert_eq!(pull.title, "build: automatic update of shop");
    assert_eq!(pull.labels, ["images", "shop"]);
    assert_eq!(pull.reviewers, ["dana", "platform"]);
    let body = pull.body.clone().unwrap();
    for part in ["| shop |", "`1.0.0` | `1.1.0` | `sha256:", " UTC | none |", "<!-- slipway commit="] {
        assert!(body.contains(part), "{part}: {body}");
    }
    assert_eq!(proposed(&flow, pull), before.replace("1.0.0", "1.1.0"));

    // The same event, and an older image that comes late: nothing is written.
    let head = flow.sandbox.repository.branch(&pull.branch).unwrap();
    for tag in ["1.1.0", "1.0.5"] {
        let result = push(&flow, tag).await;
        assert!(only(&result)["unchanged"].to_string().contains("proposes it"), "{result:#}");
    }
    assert_eq!(flow.sandbox.repository.branch(&pull.branch).unwrap(), head);

    // A newer one changes it in place, after the branch has moved on elsewhere.
    let now = before.replace("resources:", "# The shop.\nresources:");
    flow.push("Explain", &[(KUSTOMIZATION, &now)]);
    push(&flow, "1.2.0").await;
    let [pull] = &pulls(&flow)[..] else { panic!("{:?}", pulls(&flow)) };
    assert!(pull.is_open && pull.body.as_ref().unwrap().contains("`1.2.0`"), "{pull:?}");
    assert_eq!(proposed(&flow, pull), now.replace("1.0.0", "1.2.0"));
    assert_eq!(flow.sandbox.repository.branch(&format!("{}-next", pull.branch)).unwrap(), None);

    flow.sandbox.forge.merge_pull_request(&flow.sandbox.repository, pull.number).unwrap();
    flow.settle().await;
    let image = flow.deployment()["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    assert!(image.as_str().unwrap().ends_with("/shop/web:1.2.0"), "{image}");
    let result = flow.pusher.handle(schedule()).await.unwrap();
    assert!(only(&result)["unchanged"].to_string().contains("already says 1.2.0"), "{result:#}");
    assert_eq!(pulls(&flow).len(), 1);
    check_exchanges(&flow);
}

/// The body shows what the merge does to the objects that it reaches, and no value of a Secret.
#[tokio::test]
async fn the_rendered_diff_shows_no_secret() {
    let flow = shop("    slipway.dev/pull-request: \"true\"\n").await;
    let image = format!("{}/{IMAGE}", slipway_sandbox::aws::Aws::registry());
    let objects = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData:\n  \
                   url: canary-{{ .Values.image.tag }}\n---\n\
                   apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata:\n  \
                   image: {{ .Values.image.name }}:{{ .Values.image.tag }}\n  \
                   url: 'db://canary-{{ .Values.image.tag }}'\n";
    let app = flow.read("applications/shop.yaml");
    let updater = "argocd-image-updater.argoproj.io";
    let kept: Vec<&str> = app.lines().filter(|line| !line.contains(updater)).collect();
    let annotations = format!(
        "  annotations:\n    {updater}/image-list: web={image}\n    {updater}/write-back-method: git\n    \
         {updater}/write-back-target: helmvalues:/chart/values.yaml\n    \
         {updater}/web.helm.image-name: image.name\n    {updater}/web.helm.image-tag: image.tag"
    );
    let app = kept.join("\n").replace("  annotations:", &annotations).replace("path: shop", "path: chart");
    // Beside it one that reads the same values, and one that does not.
    let other = |name: &str, path: &str| {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: {name}, namespace: argocd}}\n\
             spec:\n  project: default\n  destination: {{name: in-cluster, namespace: shop}}\n  source:\n    \
             repoURL: https://github.com/acme/gitops\n    targetRevision: main\n    path: {path}\n"
        )
    };
    flow.push(
        "Make it a chart",
        &[
            ("chart/Chart.yaml", "apiVersion: v2\nname: web\nversion: 0.1.0\n"),
            ("chart/values.yaml", &format!("image:\n  name: {image}\n  tag: 1.0.0\n")),
            ("chart/templates/all.yaml", objects),
            ("applications/shop.yaml", &app),
            ("applications/twin.yaml", &other("twin", "chart")),
            ("applications/plain.yaml", &other("plain", "shop")),
        ],
    );
    let result = push(&flow, "1.1.0").await;
    let [pull] = &pulls(&flow)[..] else { panic!("{result:#}") };
    let body = pull.body.clone().unwrap();
    assert!(!body.contains("canary") && !body.contains("Y2FuYXJ5"), "{body}");
    for part in [
        "<code>shop</code>: 2 objects",
        "<code>twin</code>: 2 objects",
        &format!("-  image: {image}:1.0.0\n"),
        &format!("+  image: {image}:1.1.0\n"),
        "-  url: ++++++++\n+  url: ++++++++++++\n",
    ] {
        assert!(body.contains(part), "{part}: {body}");
    }
    assert!(!body.contains("plain"), "{body}");
}

/// What `main` has by itself is closed; what a person closed stays closed until something newer is pushed.
#[tokio::test]
async fn a_superseded_one_is_closed_and_a_declined_one_stays_so() {
    let flow = shop("    slipway.dev/pull-request: \"true\"\n").await;
    let before = flow.read(KUSTOMIZATION);
    push(&flow, "1.1.0").await;
    flow.push("By hand", &[(KUSTOMIZATION, &before.replace("1.0.0", "1.1.0"))]);
    let result = flow.pusher.handle(schedule()).await.unwrap();
    assert!(only(&result)["unchanged"].to_string().contains("has nothing left to change and was closed"), "{result:#}");
    let first = pulls(&flow).remove(0);
    assert!(!first.is_open && first.comments[0].contains("already says 1.1.0"), "{first:?}");
    assert_eq!(flow.sandbox.repository.branch(&first.branch).unwrap(), None, "its branch is deleted");

    push(&flow, "1.2.0").await;
    let second = pulls(&flow).remove(1);
    flow.sandbox
        .forge
        .change_pull_request(&flow.sandbox.repository, second.number, "closed", |pull| pull.is_open = false)
        .unwrap();
    for _ in 0..2 {
        let result = flow.pusher.handle(schedule()).await.unwrap();
        assert!(only(&result)["unchanged"].to_string().contains("was closed without a merge"), "{result:#}");
    }
    assert_eq!(pulls(&flow).len(), 2);
    push(&flow, "1.3.0").await;
    let third = pulls(&flow).remove(2);
    assert!(third.is_open && third.body.unwrap().contains("`1.3.0`"));
    check_exchanges(&flow);
}

/// A person's own commit on the branch is never lost.
#[tokio::test]
async fn a_person_s_commit_is_left_alone() {
    let flow = shop("    slipway.dev/pull-request: \"true\"\n").await;
    push(&flow, "1.1.0").await;
    let pull = pulls(&flow).remove(0);
    let change = [Change::write("shop/note.txt", "mine")];
    flow.sandbox.forge.push(&flow.sandbox.repository, &pull.branch, "Note", &change).unwrap();
    let head = flow.sandbox.repository.branch(&pull.branch).unwrap();
    let result = push(&flow, "1.2.0").await;
    assert!(only(&result)["unchanged"].to_string().contains("commits that are not Slipway's"), "{result:#}");
    assert_eq!(flow.sandbox.repository.branch(&pull.branch).unwrap(), head);
}

/// A branch that takes no commits gets a pull request by itself, with all images of the file.
#[tokio::test]
async fn a_protected_branch_gets_a_pull_request_by_itself() {
    let flow = shop("    slipway.dev/pull-request.auto-merge: squash\n").await;
    let two = flow
        .read("applications/shop.yaml")
        .replace("web=", "two=123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop/two,web=");
    let file = flow.read(KUSTOMIZATION);
    let (start, entry) = file.split_once("images:\n").unwrap();
    let both = format!("{start}images:\n{entry}{}", entry.replace("/shop/web", "/shop/two"));
    flow.push("Add two", &[("applications/shop.yaml", &two), (KUSTOMIZATION, &both)]);
    flow.sandbox.aws.push_image("shop/two", "1.0.0");
    flow.sandbox.forge.faults().refuse_commits("main", usize::MAX, "UNPROCESSABLE", RULES);
    let result = push(&flow, "1.1.0").await;
    assert_eq!(only(&result)["problems"], json!([]), "{result:#}");
    let event = flow.sandbox.aws.push_image("shop/two", "1.5.0");
    flow.pusher.handle(event).await.unwrap();
    let [pull] = &pulls(&flow)[..] else { panic!("{:?}", pulls(&flow)) };
    let text = proposed(&flow, pull);
    assert!(text.contains("newTag: 1.1.0") && text.contains("newTag: 1.5.0"), "{text}");
    assert_eq!(pull.auto_merge.as_deref(), Some("SQUASH"));
}

/// Where nothing is awaited it is merged at once, as auto-merge can't be enabled then.
#[tokio::test]
async fn auto_merge_merges_at_once_where_nothing_is_awaited() {
    let mut flow =
        shop("    slipway.dev/pull-request: \"true\"\n    slipway.dev/pull-request.auto-merge: merge\n").await;
    push(&flow, "1.1.0").await;
    flow.settle().await;
    assert!(flow.read(KUSTOMIZATION).contains("newTag: 1.1.0"));
    assert!(pulls(&flow)[0].merged_at.is_some());
    check_exchanges(&flow);
}

/// What GitHub refuses of labels is told, and the pull request stands; an outage is tried again, and opens no second.
#[tokio::test]
async fn labels_that_are_refused_are_told_and_outages_open_no_second() {
    let flow = shop("    slipway.dev/pull-request: \"true\"\n    slipway.dev/pull-request.labels: images\n").await;
    let fail = |path: &str, status, count| {
        let path_contains = path.to_owned();
        let (method, headers, body) = (Some(http::Method::POST), Vec::new(), json!({"message": "no"}));
        flow.sandbox.forge.faults().failures.arm(Failure { method, path_contains, count, status, headers, body });
    };
    fail("/labels", StatusCode::FORBIDDEN, 1);
    fail("/pulls", StatusCode::BAD_GATEWAY, 5);
    let event = flow.sandbox.aws.push_image(IMAGE, "1.1.0");
    assert!(flow.pusher.handle(event.clone()).await.is_err(), "Lambda tries it again");
    let mut last = flow.pusher.handle(event.clone()).await;
    while last.is_err() {
        last = flow.pusher.handle(event.clone()).await;
    }
    let problems = only(&last.unwrap())["problems"].to_string();
    assert!(problems.contains("failed to label the pull request 1 of acme/gitops: GitHub answered 403"), "{problems}");
    assert_eq!(pulls(&flow).len(), 1);
}

/// What can't be read is told.
#[tokio::test]
async fn values_that_can_t_be_read_are_told() {
    for (annotations, words) in [
        (
            "    slipway.dev/pull-request: \"yes\"\n",
            "slipway.dev/pull-request: expected `true` or `false`, found `yes`",
        ),
        (
            "    slipway.dev/pull-request.auto-merge: fast\n",
            "slipway.dev/pull-request.auto-merge: expected `merge`, `squash` or `rebase`, found `fast`",
        ),
        (
            "    slipway.dev/pull-request: \"true\"\n    argocd-image-updater.argoproj.io/git-branch: main:other\n",
            "git-branch: with a pull request it is the branch that is merged into alone",
        ),
    ] {
        let flow = shop(annotations).await;
        let result = push(&flow, "1.1.0").await;
        assert!(result["branches"]["refused"]["problems"].to_string().contains(words), "{words}: {result:#}");
    }
}
