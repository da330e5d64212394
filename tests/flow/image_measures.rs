//! What image updates cost: calls to GitHub and to ECR.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use slipway::aws::Aws;
use slipway::config::EcrPush;
use slipway::http::Http;
use slipway::image::run::ImageUpdater;
use slipway_tests::Moto;

use crate::image_batches::copies;
use crate::world::{Flow, KUSTOMIZATION};

/// One of a thousand applications of a repository costs six calls to GitHub at most, and no archive, however often the
/// repository has changed since.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_application_of_a_thousand_costs_few_calls_and_no_archive() {
    let flow = Flow::deployed().await;
    copies(&flow, 1_000);
    // The function starts, and reads the root once.
    flow.pusher.handle(flow.sandbox.aws.push_image("nobody", "1.0.0")).await.unwrap();
    for (index, tag) in [(7, "1.1.0"), (8, "1.1.0"), (7, "1.2.0")] {
        let before = flow.sandbox.forge.exchanges().len();
        let event = flow.sandbox.aws.push_image(&format!("shop/app-{index}"), tag);
        let result = flow.pusher.handle(event).await.unwrap();
        let file = flow.read(&format!("app-{index}/kustomization.yaml"));
        assert!(file.contains(&format!("newTag: {tag}")), "{result}");
        let calls: Vec<String> =
            flow.sandbox.forge.exchanges().split_off(before).iter().map(|one| one.request.path.clone()).collect();
        assert!(calls.len() <= 6, "{calls:?}");
        assert!(calls.iter().all(|path| !path.contains("tarball") && !path.contains("codeload")), "{calls:?}");
    }
    // A function that starts has one archive among its calls: any file may declare Applications.
    let cold = flow.another_pusher().await;
    let before = flow.sandbox.forge.exchanges().len();
    let result = cold.handle(flow.sandbox.aws.push_image("shop/app-9", "1.1.0")).await.unwrap();
    assert!(flow.read("app-9/kustomization.yaml").contains("newTag: 1.1.0"), "{result}");
    let calls: Vec<String> =
        flow.sandbox.forge.exchanges().split_off(before).iter().map(|one| one.request.path.clone()).collect();
    let archives = calls.iter().filter(|path| path.contains("tarball")).count();
    println!("cold: {} calls to GitHub, {archives} of them an archive", calls.len());
    assert!(calls.len() <= 6 && archives == 1, "{calls:?}");
    // What another one changed, an added file and one that is gone among it, is seen.
    let app = flow.read("applications/app-9.yaml").replace("app-9", "new").replace("path: new", "path: app-10");
    flow.push("Add one", &[("applications/new.yaml", &app), ("app-10/note.txt", "x")]);
    let before = flow.sandbox.forge.exchanges().len();
    flow.pusher.handle(flow.sandbox.aws.push_image("shop/new", "1.1.0")).await.unwrap();
    assert!(flow.read("app-10/kustomization.yaml").contains("/shop/new"), "{}", flow.read("app-10/kustomization.yaml"));
    let calls = flow.sandbox.forge.exchanges().split_off(before);
    assert!(calls.iter().all(|one| !one.request.path.contains("tarball")));
}

/// A request to moto's ECR.
async fn ecr(http: &Http, moto: &Moto, action: &str, body: &Value) {
    let credential =
        format!("AWS4-HMAC-SHA256 Credential=AKIA/20260101/{}/ecr/aws4_request, Signature=x", Moto::REGION);
    let request = http::Request::post(&moto.endpoint)
        .header("x-amz-target", format!("AmazonEC2ContainerRegistry_V20150921.{action}"))
        .header("content-type", "application/x-amz-json-1.1")
        .header("authorization", credential)
        .body(body.to_string().into_bytes().into())
        .unwrap();
    let answer = http.send(request, Duration::from_mins(1)).await.unwrap();
    assert_eq!(answer.status, 200, "{action}: {}", answer.body);
}

async fn put(http: &Http, moto: &Moto, tag: &str) {
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 1,
            "digest": format!("sha256:{tag}")},
        "layers": []});
    let image = json!({"repositoryName": "shop/web", "imageTag": tag, "imageManifest": manifest.to_string()});
    ecr(http, moto, "PutImage", &image).await;
}

/// How many requests to ECR the recorder of moto has seen.
async fn recorded(moto: &Moto) -> usize {
    let request = http::Request::get(format!("{}/moto-api/recorder/download-recording", moto.endpoint));
    let answer = Http::default().exchange_bytes(request.body(Vec::new().into()).unwrap()).await.unwrap();
    let text = String::from_utf8(answer.body().to_vec()).unwrap();
    text.lines().filter(|line| line.contains("AmazonEC2ContainerRegistry")).count()
}

async fn record(moto: &Moto, what: &str) {
    let request = http::Request::post(format!("{}/moto-api/recorder/{what}", moto.endpoint));
    let answer = Http::default().exchange_bytes(request.body(Vec::new().into()).unwrap()).await.unwrap();
    assert!(answer.status().is_success(), "{what}: {}", answer.status());
}

/// Of 3,000 tags `newest-build` decides in 35 calls at most, and in one where the function is warm; a version by the
/// event alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_are_listed_in_few_calls() {
    let Some(moto) = Moto::start().await else { return };
    let flow = Flow::deployed().await;
    for (name, secret) in [("slipway/github", "sandbox-token"), ("slipway/slack", "xoxb-sandbox")] {
        moto.aws(&["secretsmanager", "create-secret", "--name", name, "--secret-string", secret]);
    }
    let http = &Http::default();
    ecr(http, &moto, "CreateRepository", &json!({"repositoryName": "shop/web"})).await;
    let tags: Vec<String> = (0..3_000).map(|index| format!("build-{index:04}")).collect();
    stream::iter(&tags).for_each_concurrent(8, |tag| put(http, &moto, tag)).await;
    let registry = format!("{}.dkr.ecr.{}.amazonaws.com", Moto::ACCOUNT, Moto::REGION);
    let here = |text: String| text.replace(&slipway_sandbox::aws::Aws::registry(), &registry);
    let app = here(flow.read("applications/shop.yaml"));
    let newest = app.replace("update-strategy: semver", "update-strategy: newest-build");
    flow.push("Move", &[("applications/shop.yaml", &newest), (KUSTOMIZATION, &here(flow.read(KUSTOMIZATION)))]);
    let environment = flow.sandbox.environment();
    let settings = EcrPush::load(|name: &str| environment.get(name).cloned()).unwrap();
    let pusher = ImageUpdater::new(settings, Aws::at(&moto.endpoint, Moto::REGION).await);
    let event = |tag: &str| {
        let mut event = flow.sandbox.aws.push_image("shop/web", tag);
        (event["account"], event["region"]) = (json!(Moto::ACCOUNT), json!(Moto::REGION));
        event
    };
    record(&moto, "reset-recording").await;
    record(&moto, "start-recording").await;
    // moto counts the time of a push in whole seconds.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let mut seen = 0;
    for (tag, allowed) in [("zz-cold", 35), ("zz-warm", 1)] {
        record(&moto, "stop-recording").await;
        put(http, &moto, tag).await;
        record(&moto, "start-recording").await;
        let result = pusher.handle(event(tag)).await.unwrap();
        assert!(flow.read(KUSTOMIZATION).contains("newTag: zz-"), "{result}");
        let calls = recorded(&moto).await - seen;
        assert!((1..=allowed).contains(&calls), "{tag}: {calls} calls");
        println!("{tag}: {calls} calls to ECR");
        seen += calls;
    }
    let reset = flow.read(KUSTOMIZATION).replace("newTag: zz-warm", "newTag: 1.0.0");
    flow.push("Follow versions", &[("applications/shop.yaml", &app), (KUSTOMIZATION, &reset)]);
    let result = pusher.handle(event("1.1.0")).await.unwrap();
    assert!(flow.read(KUSTOMIZATION).contains("newTag: 1.1.0"), "{result}");
    assert_eq!(recorded(&moto).await, seen, "a version is decided by its event");
}
