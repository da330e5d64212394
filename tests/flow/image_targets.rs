//! Image pushes whose tags stand elsewhere than in the Application's own kustomization.

use serde_json::json;
use slipway_sandbox::IMAGE;
use slipway_sandbox::aws::Aws;

use crate::world::{Flow, KUSTOMIZATION};

fn image() -> String {
    format!("{}/{IMAGE}", Aws::registry())
}

/// The Application of the shop with other annotations; all but the first are `ALIAS.KEY` or `KEY` with their values.
fn annotated(flow: &Flow, annotations: &[(&str, &str)]) -> String {
    let prefix = "argocd-image-updater.argoproj.io";
    let app = flow.read("applications/shop.yaml");
    let kept: Vec<&str> = app.lines().filter(|line| !line.contains(prefix)).collect();
    let mut lines = vec![format!("    {prefix}/image-list: web={}", image())];
    lines.extend(annotations.iter().map(|(key, value)| format!("    {prefix}/{key}: \"{value}\"")));
    kept.join("\n").replace("  annotations:", &format!("  annotations:\n{}", lines.join("\n"))) + "\n"
}

async fn after_push(files: &[(&str, String)], app: impl Fn(&Flow) -> String, file: &str) -> (String, Flow) {
    let flow = Flow::deployed().await;
    let app = app(&flow);
    let mut all: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    all.push(("applications/shop.yaml", &app));
    flow.push("Change how the image is written", &all);
    let event = flow.sandbox.aws.push_image(IMAGE, "1.1.0");
    let result = flow.pusher.handle(event).await.unwrap();
    assert_eq!(result["branches"]["acme/gitops main"]["problems"], json!([]), "{result}");
    (flow.sandbox.read(file).unwrap().unwrap_or_default(), flow)
}

#[tokio::test]
async fn values_of_helm_are_written() {
    let values = format!("# ours\r\nimage:\r\n  repository: {}\r\n  tag: '1.0.0' # now\r\n", image());
    let files = [("charts/web/values.yaml", values.clone())];
    let annotations = [
        ("write-back-method", "git"),
        ("write-back-target", "helmvalues:/charts/web/values.yaml"),
        ("web.helm.image-name", "image.repository"),
        ("web.helm.image-tag", "image.tag"),
    ];
    let (after, _) = Box::pin(after_push(&files, |flow| annotated(flow, &annotations), "charts/web/values.yaml")).await;
    assert_eq!(after, values.replace("1.0.0", "1.1.0"));
}

#[tokio::test]
async fn a_json_file_of_its_own_is_written() {
    let versions = "{\n  \"shop\": {\"web\": [{\"tag\": \"1.0.0\"}]}\n}".to_owned();
    let annotations = [
        ("write-back-method", "git"),
        ("write-back-target", "file:/versions.json"),
        ("web.helm.image-tag", "shop.web[0].tag"),
    ];
    let files = [("versions.json", versions.clone())];
    let (after, _) = Box::pin(after_push(&files, |flow| annotated(flow, &annotations), "versions.json")).await;
    assert_eq!(after, versions.replace("1.0.0", "1.1.0"));
}

/// The default target overrides the Application, and is what Argo CD and Slipway deploy from then on.
#[tokio::test]
async fn overrides_are_written_and_deployed() {
    let (after, mut flow) =
        Box::pin(after_push(&[], |flow| annotated(flow, &[]), "shop/.argocd-source-shop.yaml")).await;
    assert_eq!(after, format!("kustomize:\n  images:\n  - {}:1.1.0\n", image()));
    assert!(flow.read(KUSTOMIZATION).contains("newTag: 1.0.0"));
    flow.settle().await;
    let running = flow.deployment()["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    assert!(running.as_str().unwrap().ends_with("/shop/web:1.1.0"), "{running}");
}

/// The branch that `git-branch` names is made from the base, and takes the commit.
#[tokio::test]
async fn another_branch_takes_the_commit() {
    let flow = Flow::deployed().await;
    let annotations = [
        ("write-back-method", "git"),
        ("write-back-target", "kustomization"),
        ("git-branch", "main:image-updater{{range .Images}}-{{.Name}}-{{.NewTag}}{{end}}"),
    ];
    let app = annotated(&flow, &annotations);
    flow.push("Update by another branch", &[("applications/shop.yaml", &app)]);
    let before = flow.read(KUSTOMIZATION);
    let event = flow.sandbox.aws.push_image(IMAGE, "1.1.0");
    let result = flow.pusher.handle(event.clone()).await.unwrap();
    assert_eq!(flow.read(KUSTOMIZATION), before, "{result}");
    let of_branch = || {
        let head = flow.sandbox.repository.branch("image-updater-shop/web-1.1.0").unwrap().expect("the branch");
        let text = flow.sandbox.repository.read_file(head, KUSTOMIZATION).unwrap().unwrap();
        (head, String::from_utf8(text).unwrap())
    };
    let (head, text) = of_branch();
    assert_eq!(text, before.replace("newTag: 1.0.0", "newTag: 1.1.0"));
    // The same event once more: the branch has it.
    flow.pusher.handle(event).await.unwrap();
    assert_eq!(of_branch().0, head);
}

/// An `ImageUpdater` in place of annotations.
#[tokio::test]
async fn an_image_updater_resource_is_followed() {
    let flow = Flow::deployed().await;
    let app = flow.read("applications/shop.yaml");
    let app: Vec<&str> = app.lines().filter(|line| !line.contains("argocd-image-updater")).collect();
    let app = app.join("\n").replace("  annotations:\n", "");
    let updater = format!(
        "apiVersion: argocd-image-updater.argoproj.io/v1alpha1\nkind: ImageUpdater\nmetadata:\n  name: all\n  \
         namespace: argocd\nspec:\n  writeBackConfig:\n    method: git\n    \
         gitConfig: {{writeBackTarget: kustomization}}\n  \
         applicationRefs:\n  - namePattern: sh*\n    images: [{{alias: web, imageName: {}}}]\n",
        image()
    );
    flow.push("Use a resource", &[("applications/shop.yaml", &app), ("applications/images.yaml", &updater)]);
    let event = flow.sandbox.aws.push_image(IMAGE, "1.1.0");
    let result = flow.pusher.handle(event).await.unwrap();
    assert!(flow.read(KUSTOMIZATION).contains("newTag: 1.1.0"), "{result}");
}

/// Plain manifests have nothing to override, and are changed themselves.
#[tokio::test]
async fn plain_manifests_are_written() {
    let manifest = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n  containers:\n  - name: web\n    \
         image: {}:1.0.0\n",
        image()
    );
    let app = |flow: &Flow| annotated(flow, &[]).replace("path: shop", "path: plain");
    let files = [("plain/pod.yaml", manifest.clone())];
    let (after, _) = Box::pin(after_push(&files, app, "plain/pod.yaml")).await;
    assert_eq!(after, manifest.replace("1.0.0", "1.1.0"));
}

/// Flux's markers in plain files are written by its own policies, which the root declares; in whichever file they
/// stand.
#[tokio::test]
async fn markers_of_flux_are_written() {
    let flow = Flow::deployed().await;
    let image = format!("{}/shop/flux", Aws::registry());
    let policies = format!(
        "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageRepository\n\
         metadata: {{name: web, namespace: flux-system}}\nspec: {{image: {image}}}\n---\n\
         apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImagePolicy\n\
         metadata: {{name: web, namespace: flux-system}}\nspec:\n  imageRepositoryRef: {{name: web}}\n\
         \x20 filterTags: {{pattern: '^main-(?P<n>[0-9]+)$', extract: $n}}\n  policy: {{numerical: {{order: asc}}}}\n"
    );
    let marker = |part: &str| format!("# {{\"$imagepolicy\": \"flux-system:web{part}\"}}");
    let values = format!("web:\n  image: {image}\n  tag: main-9 {}\n", marker(":tag"));
    let deployment = format!("kind: X\nimage: {image}:main-9 {}\n", marker(""));
    let files =
        [("applications/policies.yaml", policies.as_str()), ("x/values.yaml", &values), ("y/z.yaml", &deployment)];
    flow.push("Add Flux's policies", &files);
    flow.sandbox.aws.push_image("shop/flux", "main-9");
    let result = flow.pusher.handle(flow.sandbox.aws.push_image("shop/flux", "main-10")).await.unwrap();
    assert_eq!(flow.read("x/values.yaml"), values.replace("main-9", "main-10"), "{result:#}");
    assert_eq!(flow.read("y/z.yaml"), deployment.replace("main-9", "main-10"));
    let result = flow.pusher.handle(flow.sandbox.aws.push_image("shop/flux", "dev-11")).await.unwrap();
    assert_eq!(result["branches"]["acme/gitops main"]["commit"], json!(null), "{result:#}");
}

/// An automation says in which folder, and to which branch.
#[tokio::test]
async fn an_automation_of_flux_says_where_markers_are_written() {
    let flow = Flow::deployed().await;
    let image = format!("{}/shop/flux", Aws::registry());
    let head = "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ";
    let policies = format!(
        "{head}ImageRepository\nmetadata: {{name: web, namespace: flux-system}}\nspec: {{image: {image}}}\n---\n\
         {head}ImagePolicy\nmetadata: {{name: web, namespace: flux-system}}\nspec:\n  \
         imageRepositoryRef: {{name: web}}\n  policy: {{semver: {{range: 1.x}}}}\n---\n\
         {head}ImageUpdateAutomation\nmetadata: {{name: all, namespace: flux-system}}\nspec:\n  \
         sourceRef: {{kind: GitRepository, name: flux-system}}\n  update: {{path: ./x, strategy: Setters}}\n  \
         git:\n    checkout: {{ref: {{branch: main}}}}\n    push: {{branch: image-updates}}\n"
    );
    let marked = format!("image: {image}:1.0.0 # {{\"$imagepolicy\": \"flux-system:web\"}}\n");
    let files = [("applications/policies.yaml", policies.as_str()), ("x/a.yaml", &marked), ("y/a.yaml", &marked)];
    flow.push("Add Flux's automation", &files);
    let result = flow.pusher.handle(flow.sandbox.aws.push_image("shop/flux", "1.1.0")).await.unwrap();
    let repository = &flow.sandbox.repository;
    let head = repository.branch("image-updates").unwrap().unwrap_or_else(|| panic!("{result:#}"));
    let there = |path: &str| String::from_utf8(repository.read_file(head, path).unwrap().unwrap()).unwrap();
    assert_eq!((there("x/a.yaml"), there("y/a.yaml")), (marked.replace("1.0.0", "1.1.0"), marked.clone()));
    assert_eq!(flow.read("x/a.yaml"), marked);
}

/// `platforms` leaves out what is built for none of them, of the strategies for which Image Updater looks at it.
#[tokio::test]
async fn images_for_other_platforms_are_not_chosen() {
    let flow = Flow::deployed().await;
    let annotations = |strategy: &'static str| {
        [
            ("web.update-strategy", strategy),
            ("web.platforms", "linux/arm64, linux/arm/v7"),
            ("write-back-method", "git"),
            ("write-back-target", "kustomization"),
        ]
    };
    flow.push("Ask for ARM", &[("applications/shop.yaml", &annotated(&flow, &annotations("newest-build")))]);
    for (tag, platforms, written) in [
        ("2.0.0", &["linux/amd64"][..], "1.0.0"),
        ("2.1.0", &["linux/amd64", "linux/arm64/v8"], "2.1.0"),
        ("2.2.0", &["linux/arm/v6", "windows/arm64"], "2.1.0"),
        ("2.3.0", &["linux/arm/v7"], "2.3.0"),
    ] {
        let event = flow.sandbox.aws.push_image_for(IMAGE, tag, platforms);
        // The sandbox' clock counts seconds, and what was pushed within one is ordered by its tag.
        let result = flow.pusher.handle(event).await.unwrap();
        assert!(flow.read(KUSTOMIZATION).contains(&format!("newTag: {written}\n")), "{tag}: {result:#}");
    }
    flow.push("Ask for versions", &[("applications/shop.yaml", &annotated(&flow, &annotations("semver")))]);
    flow.pusher.handle(flow.sandbox.aws.push_image_for(IMAGE, "3.0.0", &["linux/amd64"])).await.unwrap();
    assert!(flow.read(KUSTOMIZATION).contains("newTag: 3.0.0\n"), "versions are not asked");
    flow.push("Misspell it", &[("applications/shop.yaml", &annotated(&flow, &[("web.platforms", "linux")]))]);
    let result = flow.pusher.handle(flow.sandbox.aws.push_image(IMAGE, "3.1.0")).await.unwrap();
    let problems = result["branches"]["refused"]["problems"].to_string();
    assert!(problems.contains("platforms: expected `OS/ARCHITECTURE[/VARIANT]`, found `linux`"), "{result:#}");
}

/// A repository of another account is read in the name of the role that is given for it, in its own region.
#[tokio::test]
async fn a_registry_of_another_account_is_read_by_a_role() {
    const OTHER: &str = "210987654321";
    let flow = Flow::deployed().await;
    let other = format!("{OTHER}.dkr.ecr.us-west-2.amazonaws.com");
    let app = flow.read("applications/shop.yaml").replace(&Aws::registry(), &other);
    let app = app.replace("update-strategy: semver", "update-strategy: newest-build");
    let kustomization = flow.read(KUSTOMIZATION).replace(&Aws::registry(), &other);
    flow.push("Move", &[("applications/shop.yaml", &app), (KUSTOMIZATION, &kustomization)]);
    let mut event = flow.sandbox.aws.push_image(IMAGE, "1.1.0");
    (event["account"], event["region"]) = (json!(OTHER), json!("us-west-2"));
    let result = flow.pusher.handle(event.clone()).await.unwrap();
    let problems = result["branches"]["acme/gitops main"]["problems"].to_string();
    assert!(problems.contains("failed to list the tags") && problems.contains("AccessDenied"), "{result:#}");

    let roles = format!("arn:aws:iam::333333333333:role/no,arn:aws:iam::{OTHER}:role/read-images");
    let pusher = flow.another_pusher_with(&[("SLIPWAY_ECR_ROLES", &roles)]).await;
    let result = pusher.handle(event).await.unwrap();
    assert!(flow.read(KUSTOMIZATION).contains("newTag: 1.1.0"), "{result:#}");
    let mut event = flow.sandbox.aws.push_image(IMAGE, "1.2.0");
    (event["account"], event["region"]) = (json!(OTHER), json!("us-west-2"));
    pusher.handle(event).await.unwrap();
    assert!(flow.read(KUSTOMIZATION).contains("newTag: 1.2.0"));
    let asked = flow.sandbox.aws.exchanges();
    let assumed: Vec<_> =
        asked.iter().filter(|one| String::from_utf8_lossy(&one.request.body).contains("role%2Fread-images")).collect();
    assert_eq!(assumed.len(), 1, "one login for all");
    let described =
        asked.iter().rfind(|one| one.request.header("x-amz-target").is_some_and(|it| it.ends_with("DescribeImages")));
    assert!(described.unwrap().request.header("authorization").unwrap().contains("/us-west-2/ecr/"));
}
