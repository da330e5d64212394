//! The main road: an image is pushed, and its Deployment runs.

use std::process::Command;

use slipway_sandbox::forge::Change;
use slipway_tests::tools;

use slipway_tests::bed::{Bed, available, copied, event, image_of};

/// An Application that follows releases of its image.
pub(crate) const APPLICATION: &str = "\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: {name}-web
  namespace: argocd
  annotations:
    argocd-image-updater.argoproj.io/image-list: web=123456789012.dkr.ecr.eu-central-1.amazonaws.com/{name}/web
    argocd-image-updater.argoproj.io/web.kustomize.image-name: web
    argocd-image-updater.argoproj.io/web.update-strategy: semver
    argocd-image-updater.argoproj.io/write-back-method: git
    argocd-image-updater.argoproj.io/write-back-target: kustomization
spec:
  project: default
  source:
    repoURL: https://github.com/acme/{name}
    path: web
    targetRevision: main
  destination:
    server: https://kubernetes.default.svc
    namespace: {name}
  syncPolicy:
    automated: {}
    syncOptions:
      - CreateNamespace=true
";

pub(crate) const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 2
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
        - name: web
          image: web
          ports:
            - containerPort: 8080
";

pub(crate) const KUSTOMIZATION: &str = "\
# The shop's front end.
resources:
- deployment.yaml

images:
    - name: web # as the Deployment calls it
      newName: 123456789012.dkr.ecr.eu-central-1.amazonaws.com/{name}/web
      newTag: \"1.4.1\"   # {\"$imagepolicy\": \"web\"}
";

/// A repository with one application.
pub(crate) const WEB: &[(&str, &str)] =
    &[("apps/web.yaml", APPLICATION), ("web/deployment.yaml", DEPLOYMENT), ("web/kustomization.yaml", KUSTOMIZATION)];

#[tokio::test]
async fn an_image_push_becomes_a_running_deployment() {
    let Some(mut bed) = Bed::new(WEB).await else { return };
    let before = bed.head();
    let pushed = bed.image("web", "1.4.2").await;
    bed.invoke("ecr-push", &pushed).await;

    let diff = diff(&bed, &before.to_string());
    assert_eq!(
        diff,
        "-      newTag: \"1.4.1\"   # {\"$imagepolicy\": \"web\"}\n+      newTag: \"1.4.2\"   # {\"$imagepolicy\": \
            \"web\"}\n"
    );

    bed.hook().await;
    assert_eq!(bed.work().await, 1, "{}", bed.logs());
    let web = bed.deployment("web").await;
    assert_eq!(image_of(&web), format!("123456789012.dkr.ecr.eu-central-1.amazonaws.com/{}/web:1.4.2", bed.name));
    assert_eq!(available(&web), 2, "{}", bed.logs());

    let messages = bed.slack.messages();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(messages[0].text.contains(&format!("*{}-web* is deployed", bed.name)), "{}", messages[0].text);
    let statuses = bed.forge.statuses(bed.head());
    assert_eq!(statuses.first().map(|status| &status["state"]), Some(&serde_json::json!("success")), "{statuses:?}");
    bed.check_github();

    // The same event again, as EventBridge may deliver it: nothing to change is no commit.
    let head = bed.head();
    bed.invoke("ecr-push", &pushed).await;
    assert_eq!(bed.head(), head);
    // A late event of an older image changes nothing either.
    let late = bed.image("web", "1.4.0").await;
    bed.invoke("ecr-push", &late).await;
    assert_eq!(bed.head(), head);
    assert!(bed.is_quiet());
}

#[tokio::test]
async fn hello_spring_follows_its_newest_build() {
    let application = APPLICATION
        .replace("{name}/web", "{name}/hello-spring")
        .replace("image-name: web", "image-name: hello-spring")
        .replace(
            "web.update-strategy: semver",
            "web.update-strategy: newest-build\n    \
            argocd-image-updater.argoproj.io/web.allow-tags: regexp:^user01-\\d{14}$",
        )
        .replace("path: web", "path: hello-spring");
    let Some(mut bed) = Bed::new(&[("apps/hello.yaml", &application)]).await else { return };
    let sample = copied(&tools::workspace().join("tests/reference/hello-spring"), "hello-spring");
    let own = |change: Change| {
        let (mode, bytes) = change.content.expect("a file");
        let text = String::from_utf8(bytes).expect("text");
        let text = text.replace("amazonaws.com/hello-spring", &format!("amazonaws.com/{}/hello-spring", bed.name));
        Change { content: Some((mode, text.into_bytes())), ..change }
    };
    let first = bed.deploy("Add hello-spring", &sample.into_iter().map(own).collect::<Vec<_>>()).await;
    assert_eq!(image_of(&bed.deployment("hello-spring").await).rsplit(':').next(), Some("user01-20230924033608"));

    let mut newest = event("ecr-push/timestamp-tag");
    // Tags that a person pushed by hand, and the builds in the order of their push, which is not the order of their
    // names.
    for tag in ["latest", "user02-20240101000000", "user01-20231001120000", "user01-20230930110000"] {
        newest = bed.image("hello-spring", tag).await;
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    }
    bed.image("hello-spring", "user02-20250101000000").await;
    bed.invoke("ecr-push", &newest).await;
    assert_eq!(
        diff(&bed, &first.to_string()),
        "-    newTag: user01-20230924033608 # set by Slipway\n+    newTag: user01-20230930110000 # set by Slipway\n"
    );
    bed.hook().await;
    assert_eq!(bed.work().await, 1, "{}", bed.logs());
    let hello = bed.deployment("hello-spring").await;
    assert_eq!(image_of(&hello).rsplit(':').next(), Some("user01-20230930110000"));
    assert_eq!(available(&hello), 2, "{}", bed.logs());
    let kinds = bed.cluster.kubectl(&["-n", &bed.name, "get", "service,ingress", "-o", "name"]);
    assert!(kinds.is_none_or(|text| text == "service/hello-spring\ningress.networking.k8s.io/hello-spring\n"));
    bed.check_github();
}

#[tokio::test]
async fn two_image_pushes_at_once_both_land() {
    let second = APPLICATION.replace("web", "api");
    let kustomization = KUSTOMIZATION.replace("web", "api");
    let deployment = DEPLOYMENT.replace("web", "api");
    let mut files = WEB.to_vec();
    files.extend([
        ("apps/api.yaml", second.as_str()),
        ("api/kustomization.yaml", kustomization.as_str()),
        ("api/deployment.yaml", deployment.as_str()),
    ]);
    let Some(mut bed) = Bed::new(&files).await else { return };
    let (web, api) = (bed.image("web", "1.5.0").await, bed.image("api", "2.0.0").await);
    let (first, other) = (bed.instance("ecr-push").await, bed.instance("ecr-push").await);
    let (one, two) = tokio::join!(first.invoke(&web), other.invoke(&api));
    for (answer, function) in [(one, first), (two, other)] {
        assert!(answer.get("errorType").is_none(), "{answer}\n{}", function.log());
    }
    assert!(bed.file("web/kustomization.yaml").contains("newTag: \"1.5.0\""));
    assert!(bed.file("api/kustomization.yaml").contains("newTag: \"2.0.0\""));

    // And with the branch moved by someone else between reading and writing: the commit is tried again on the new head.
    let third = bed.image("web", "1.6.0").await;
    let (forge_url, repository) = (bed.forge.url().to_owned(), std::sync::Arc::clone(&bed.repository));
    bed.forge.faults().before_commit(move || {
        let head = repository.branch("main").expect("git reads");
        let person = slipway_sandbox::forge::Signature {
            name: "Dana".into(),
            email: "dana@example.com".into(),
            time: "2026-11-21T12:00:00Z".parse().expect("a time"),
        };
        let change = Change::write("README.md", format!("Moved while {forge_url} was asked.\n"));
        let commit = repository.write_commit(head, &[change], "Move", &person, &person).expect("git writes");
        repository.objects().move_reference("refs/heads/main", head, commit).expect("git writes");
    });
    bed.invoke("ecr-push", &third).await;
    assert!(bed.file("web/kustomization.yaml").contains("newTag: \"1.6.0\""), "{}", bed.logs());
    assert!(bed.file("README.md").starts_with("Moved while"));
    bed.check_github();
}

/// The changed lines between `before` and the head of `main`, as the real git tells them of the forge's repository.
fn diff(bed: &Bed, before: &str) -> String {
    let mut git = Command::new("git");
    git.arg("--git-dir").arg(bed.repository.folder()).args(["diff", "--unified=0", before, "main"]);
    let text = tools::capture(&mut git).expect("git diffs");
    let changed = |line: &&str| line.starts_with(['+', '-']) && !line.starts_with("+++") && !line.starts_with("---");
    text.split_inclusive('\n').filter(changed).collect()
}
