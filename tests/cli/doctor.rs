//! `slipway doctor` beside moto and the sandbox: a sound installation, and every fault that can be planted in it.

use std::process::{Command, Stdio};

use http::StatusCode;
use serde_json::{Value, json};
use slipway::aws::Aws;
use slipway_sandbox::faults::Failure;
use slipway_sandbox::forge::Hook;
use slipway_sandbox::{Options, Sandbox};
use slipway_tests::skip::or_skip;
use slipway_tests::{GitHub, Moto, app_key, tools};

const URL: &str = "https://abc.lambda-url.eu-central-1.on.aws/";
const LONG: &str = "0123456789abcdef0123456789abcdef";

/// An installation: the template's stack on moto; GitHub, Slack, EKS and the cluster in the sandbox.
struct Installed {
    moto: Moto,
    sandbox: Sandbox,
    folder: tempfile::TempDir,
    key: String,
}

/// What a run came to.
struct Report {
    code: i32,
    checks: Vec<Value>,
}

impl Report {
    /// The first finding of that result whose text has `words`.
    fn finds(&self, result: &str, words: &str) -> Option<&Value> {
        self.checks.iter().find(|one| one["result"] == result && one["message"].as_str().unwrap().contains(words))
    }
}

impl Installed {
    async fn new() -> Option<Self> {
        let moto = Moto::start().await?;
        let python = or_skip("sam's translator", tools::python())?;
        let folder = tempfile::tempdir().unwrap();
        let (sandbox, _) = Sandbox::start(Options::new(folder.path())).await.unwrap();
        let mut install = Command::new(python.join("python"));
        let workspace = tools::workspace();
        install.arg(workspace.join("tests/infra/install.py")).arg(workspace.join("infra/template.yaml"));
        install.args(["slipway", "Root=https://github.com/acme/gitops//applications?ref=main", "ClusterName=prod"]);
        install.args(["SlackSecret=slipway/slack", "SlackChannel=C0DEPLOYS"]);
        install.arg(format!("GitHubApi={}", sandbox.forge.url()));
        tools::capture(install.envs(moto.environment())).expect("the stack is made");
        sandbox.aws.set_cluster("prod", &sandbox.cluster.url());
        let key = app_key();
        let installed = Self { moto, sandbox, folder, key };
        for (name, text) in installed.secrets() {
            installed.moto.aws(&["secretsmanager", "create-secret", "--name", name, "--secret-string", &text]);
        }
        installed.moto.aws(&[
            "scheduler",
            "create-schedule",
            "--name",
            "drift",
            "--schedule-expression",
            "rate(15 minutes)",
            "--flexible-time-window",
            "Mode=OFF",
            "--target",
            "Arn=arn:aws:lambda:eu-central-1:123456789012:function:drift,RoleArn=arn:aws:iam::123456789012:role/a",
        ]);
        installed
            .hook(None, vec![Hook { url: URL.to_owned(), events: vec!["push".to_owned()], deliveries: vec![202] }]);
        Some(installed)
    }

    fn secrets(&self) -> [(&'static str, String); 4] {
        let github = json!({"appId": 1001, "installationId": 2002, "privateKey": self.key}).to_string();
        [
            ("slipway/github", github),
            ("slipway/webhook", LONG.to_owned()),
            ("slipway/state", LONG.to_owned()),
            ("slipway/slack", "xoxb-sandbox".to_owned()),
        ]
    }

    fn hook(&self, of: Option<&slipway_sandbox::forge::Repository>, hooks: Vec<Hook>) {
        self.sandbox.forge.set_hooks(of, hooks);
    }

    fn put(&self, name: &str, text: &str) {
        self.moto.aws(&["secretsmanager", "put-secret-value", "--secret-id", name, "--secret-string", text]);
    }

    /// The id of what the stack made.
    fn resource(&self, name: &str) -> String {
        let query = format!("StackResources[?LogicalResourceId=='{name}'].PhysicalResourceId");
        let resources = ["cloudformation", "describe-stack-resources", "--stack-name", "slipway"];
        let arguments = [resources.as_slice(), &["--query", &query, "--output", "text"]].concat();
        self.moto.aws(&arguments).trim().to_owned()
    }

    fn metric(&self, name: &str, namespace: &str, dimension: &str, value: &str) {
        let arguments = ["cloudwatch", "put-metric-data", "--namespace", namespace, "--metric-name", name];
        self.moto.aws(&[arguments.as_slice(), &["--dimensions", dimension, "--value", value]].concat());
    }

    /// Runs `slipway doctor -o json` with these flags in the place of others of their name.
    async fn doctor(&self, flags: &[&str]) -> Report {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        command.args(["doctor", "-o", "json"]).env_clear().envs(self.moto.environment()).stdin(Stdio::null());
        command.env("AWS_ENDPOINT_URL_EKS", self.sandbox.aws.url()).env("SLIPWAY_SLACK_API", self.sandbox.slack.url());
        command.args(["--parameter", "DriftCheckOnSchedule=drift"]);
        command.args(["--parameter", &format!("WebhookUrl={URL}")]);
        if !flags.contains(&"--kubeconfig") {
            command.arg("--kubeconfig").arg(self.sandbox.kubeconfig());
        }
        if !flags.contains(&"--stack") {
            command.args(["--stack", "slipway"]);
        }
        command.args(flags);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("no JSON: {out}{err}"));
        Report { code: output.status.code().unwrap(), checks: report["checks"].as_array().unwrap().clone() }
    }

    /// Asserts that a run with these flags finds that fault with that remedy.
    async fn finds(&self, flags: &[&str], (result, words): (&str, &str), remedy: &str) {
        let report = self.doctor(flags).await;
        let found = report.finds(result, words).unwrap_or_else(|| panic!("{words}: {:#}", json!(report.checks)));
        let told = found["remedy"].as_str().unwrap();
        assert!(told.contains(remedy), "{words}: {told}");
        if result == "fail" {
            assert_eq!(report.code, 1, "{words}");
        }
    }

    fn github_says(&self, path: &str, status: u16, body: Value, headers: &[(&'static str, &str)]) {
        self.sandbox.forge.faults().failures.arm(failure(path, status, body, headers));
    }
}

fn failure(path: &str, status: u16, body: Value, headers: &[(&'static str, &str)]) -> Failure {
    Failure {
        method: None,
        path_contains: path.to_owned(),
        count: 9,
        status: StatusCode::from_u16(status).unwrap(),
        headers: headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        body,
    }
}

#[tokio::test]
async fn a_sound_installation_is_all_ok() {
    let Some(installed) = Installed::new().await else { return };
    let function = format!("FunctionName={}", installed.resource("DriftCheck"));
    // Nothing has run yet.
    installed.finds(&[], ("warn", "has not run yet"), "aws lambda invoke").await;
    installed.finds(&["--parameter", "DriftAlarmSeconds=1"], ("fail", "has not run for"), "aws lambda invoke").await;
    installed.metric("Invocations", "AWS/Lambda", &function, "3");
    installed.metric("Errors", "AWS/Lambda", &function, "3");
    installed.finds(&[], ("fail", "all 3 runs of drift-check"), "aws logs tail").await;
    installed.metric("Invocations", "AWS/Lambda", &function, "2");

    let report = installed.doctor(&[]).await;
    let not_ok: Vec<&Value> = report.checks.iter().filter(|one| one["result"] != "ok").collect();
    assert!(not_ok.is_empty() && report.code == 0, "{:#}", json!(not_ok));
    let checks: Vec<&str> = report.checks.iter().map(|one| one["check"].as_str().unwrap()).collect();
    let expected = [
        "AWS",
        "stack",
        "GitHub secret",
        "webhook secret",
        "state secret",
        "Slack secret",
        "GitHub App",
        "GitHub rights",
        "rate limit",
        "repository",
        "webhook",
        "root",
        "Slack",
        "function",
        "function",
        "function",
        "function",
        "queue mapping",
        "queue mapping",
        "queue",
        "queue",
        "queue",
        "queue",
        "schedule",
        "last check",
        "cluster",
        "access",
        "access",
        "API server",
        "rights",
    ];
    assert_eq!(checks, expected);
    let text = installed.text().await;
    assert!(text.contains("ok   stack             slipway: CREATE_COMPLETE\n"), "{text}");
    assert!(text.ends_with("30 checks: 30 ok, 0 to look at, 0 failed\n"), "{text}");
    if let Some(github) = GitHub::load() {
        github.check(&installed.sandbox.forge.exchanges()).unwrap();
    }
}

impl Installed {
    /// What `slipway webhook` prints.
    async fn webhook(&self) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        command.args(["webhook", "--parameter", &format!("WebhookUrl={URL}")]).env_clear();
        command.envs(self.moto.environment());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = [output.stdout, output.stderr].concat();
        assert!(!text.windows(LONG.len()).any(|part| part == LONG.as_bytes()), "the secret stays out of sight");
        String::from_utf8(text).unwrap()
    }

    async fn text(&self) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        command.args(["doctor", "--kubeconfig"]).arg(self.sandbox.kubeconfig()).env_clear();
        command.args(["--stack", "slipway", "--parameter", "DriftCheckOnSchedule=drift"]);
        command.args(["--parameter", &format!("WebhookUrl={URL}")]).envs(self.moto.environment());
        command.env("AWS_ENDPOINT_URL_EKS", self.sandbox.aws.url()).env("SLIPWAY_SLACK_API", self.sandbox.slack.url());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

#[tokio::test]
async fn faults_of_secrets_and_of_aws_are_found() {
    let Some(installed) = Installed::new().await else { return };
    let make = |name: &str| format!("create-secret --name {name}");
    let put = |name: &str| format!("put-secret-value --secret-id {name}");
    for (name, text, words) in [
        ("slipway/github", "two words", "neither a token"),
        ("slipway/webhook", "short", "too short"),
        ("slipway/slack", "xoxp-1", "no bot token"),
        ("slipway/slack", "xoxb-revoked", "invalid_auth"),
    ] {
        installed.put(name, text);
        installed.finds(&[], ("fail", words), &put(name)).await;
    }
    installed.moto.aws(&["secretsmanager", "delete-secret", "--secret-id", "slipway/state", "--force"]);
    installed.finds(&[], ("fail", "no secret slipway/state"), &make("slipway/state")).await;
    let absent = ["--parameter", "RepositorySecret=slipway/charts", "--parameter", "GitHubSecret=other"];
    installed.finds(&absent, ("fail", "no secret slipway/charts"), &make("slipway/charts")).await;
    installed.finds(&absent, ("fail", "no secret other"), "appId").await;

    for (queue, result, remedy) in [
        ("FailedPushes", "fail", "start-message-move-task --source-arn arn:aws:sqs:"),
        ("FailedImagePushes", "warn", "purge-queue --queue-url http"),
        ("Pushes", "fail", "aws logs tail"),
        ("ImagePushes", "fail", "aws logs tail"),
    ] {
        let url = installed.resource(queue);
        let queues = Aws::at(&installed.moto.endpoint, Moto::REGION).await.sqs().await;
        let mut message = queues.send_message().queue_url(&url).message_body("{}");
        if !queue.ends_with("ImagePushes") {
            message = message.message_group_id("a").message_deduplication_id("a");
        }
        message.send().await.unwrap();
        let name = format!("QueueName={}", url.rsplit('/').next().unwrap());
        installed.metric("ApproximateAgeOfOldestMessage", "AWS/SQS", &name, "7200");
        installed.finds(&[], (result, &format!("{queue} has 1 messages, the oldest since 7200 s")), remedy).await;
    }
    let worker = installed.resource("SyncWorker");
    let mappings =
        ["lambda", "list-event-source-mappings", "--function-name", &worker, "--query", "EventSourceMappings[0].UUID"];
    let uuid = installed.moto.aws(&[mappings.as_slice(), &["--output", "text"]].concat()).trim().to_owned();
    installed.moto.aws(&["lambda", "update-event-source-mapping", "--uuid", &uuid, "--no-enabled"]);
    installed.finds(&[], ("fail", "SyncWorker takes no messages"), &format!("--uuid {uuid} --enabled")).await;
    let gone = ["--parameter", "DriftCheckOnSchedule=gone", "--parameter", "SyncWorker=gone"];
    installed.finds(&gone, ("fail", "that of DriftCheck is gone"), "sam deploy").await;
    installed.finds(&gone, ("fail", "SyncWorker is gone"), "sam deploy").await;
    installed.finds(&["--stack", "other"], ("fail", "there is no stack `other`"), "list-stacks").await;
    let mut target = String::from("Arn=arn:aws:lambda:eu-central-1:123456789012:function:drift,");
    target.push_str("RoleArn=arn:aws:iam::123456789012:role/a");
    let update = ["scheduler", "update-schedule", "--name", "drift", "--state", "DISABLED", "--target", &target];
    let rest = ["--schedule-expression", "rate(15 minutes)", "--flexible-time-window", "Mode=OFF"];
    installed.moto.aws(&[update.as_slice(), &rest].concat());
    installed.finds(&[], ("fail", "that of DriftCheck is disabled"), "aws scheduler").await;
}

#[tokio::test]
async fn faults_of_github_are_found() {
    let Some(installed) = Installed::new().await else { return };
    let (_, good) = installed.secrets()[0].clone();
    for (from, to, words, remedy) in [
        ("-----BEGIN", "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----", "no RSA key", "put-secret-value"),
        ("1001", "999", "Integration not found", "make a key"),
        ("2002", "7", "no installation 7", "installations/new"),
    ] {
        installed.put("slipway/github", &good.replace(from, &to.replace('\n', "\\n")));
        installed.finds(&[], ("fail", words), remedy).await;
    }
    installed.put("slipway/github", "revoked-token");
    installed.finds(&[], ("fail", "it is not accepted"), "put-secret-value").await;
    installed.put("slipway/github", &good);

    let failures = || &installed.sandbox.forge.faults().failures;
    let about = |permissions: Value, suspended: Value| {
        json!({"html_url": "https://github.com/settings/installations/2002", "account": {"login": "acme"},
            "permissions": permissions, "suspended_at": suspended})
    };
    let all = json!({"metadata": "read", "contents": "write", "statuses": "write"});
    let few = json!({"metadata": "read", "contents": "read"});
    let rate = |left: u32| json!({"resources": {"core": {"limit": 5000, "remaining": left}}});
    let late = [("date", "Mon, 30 Nov 2020 12:00:00 GMT")];
    for (path, body, headers, found, remedy) in [
        (
            "/installations/2002?",
            about(all, json!("2026-11-30T00:00:00Z")),
            &[][..],
            ("fail", "suspended"),
            "unsuspend",
        ),
        (
            "/installations/2002?",
            about(few, json!(null)),
            &[],
            ("fail", "Contents: write, Commit statuses"),
            "accept them",
        ),
        ("/rate_limit?", rate(0), &[], ("fail", "0 of 5000 requests"), "gh api rate_limit"),
        ("/rate_limit?", rate(100), &[], ("warn", "100 of 5000 requests"), "gh api rate_limit"),
        ("/rate_limit?", rate(4000), &late, ("fail", "before GitHub's, and requests are refused"), "chronyc"),
    ] {
        installed.github_says(path, 200, body, headers);
        installed.finds(&[], found, remedy).await;
        failures().clear();
    }

    let repository = &*installed.sandbox.repository;
    let hook = |url: &str, event: &str, status: u16| {
        vec![Hook { url: url.to_owned(), events: vec![event.to_owned()], deliveries: vec![status] }]
    };
    let old = "https://old.lambda-url.eu-central-1.on.aws/";
    installed.hook(None, Vec::new());
    for (hooks, found, remedy) in [
        (Vec::new(), ("fail", "neither the App nor acme/gitops has one"), "slipway webhook"),
        (hook(old, "push", 202), ("fail", "goes to https://old."), "-X PATCH repos/acme/gitops/hooks/1"),
        (hook(URL, "issues", 202), ("fail", "sends no `push`"), "add_events[]=push"),
        (hook(URL, "push", 401), ("fail", "its secret is not"), "get-secret-value --secret-id slipway/webhook"),
        (hook(URL, "push", 502), ("fail", "ended with 502"), "Redeliver"),
    ] {
        installed.hook(Some(repository), hooks);
        installed.finds(&[], found, remedy).await;
    }
    installed.hook(Some(repository), hook(URL, "push", 202));
    assert!(installed.doctor(&[]).await.finds("ok", "acme/gitops delivers, last with 202").is_some());
    let refused = json!({"message": "Resource not accessible by integration"});
    installed.github_says("/hooks?", 403, refused, &[]);
    installed.finds(&[], ("warn", "may not list the hooks"), "gh auth token").await;
    failures().clear();

    installed.hook(Some(repository), Vec::new());
    let set = installed.webhook().await;
    assert!(set.contains(&format!("The webhook of App 1001 goes to {URL}")), "{set}");
    installed.finds(&[], ("warn", "the App slipway has delivered nothing yet"), "push a commit").await;
    installed.hook(None, hook(URL, "push", 401));
    installed.finds(&[], ("fail", "its secret is not slipway/webhook"), "slipway webhook").await;
    installed.put("slipway/github", "sandbox-token");
    installed.finds(&[], ("fail", "acme/gitops has none"), "gh api repos/acme/gitops/hooks -f name=web").await;
    assert!(installed.webhook().await.contains("slipway/github is a token"));
    installed.put("slipway/github", &good);

    let other = ["--parameter", "Root=https://github.com/acme/other//apps?ref=main"];
    installed.finds(&other, ("fail", "acme/other is not seen"), "add acme/other").await;
    let broken = installed.sandbox.read("applications/shop.yaml").unwrap().unwrap().replace("path: shop", "path: none");
    let change = slipway_sandbox::forge::Change::write("applications/shop.yaml", broken);
    installed.sandbox.forge.push(repository, "main", "Break it", &[change]).unwrap();
    installed.finds(&[], ("fail", "shop: "), "slipway root check --root").await;
}

#[tokio::test]
async fn faults_of_the_cluster_are_found() {
    let Some(installed) = Installed::new().await else { return };
    let eks = installed.sandbox.aws.failures();
    let role = "access-entries/arn%3Aaws%3Aiam";
    let cluster = |mode: &str, status: &str, public: bool| {
        json!({"cluster": {"name": "prod", "status": status, "accessConfig": {"authenticationMode": mode},
            "resourcesVpcConfig": {"endpointPublicAccess": public}}})
    };
    let view = json!({"associatedAccessPolicies": [{"accessScope": {"type": "cluster"},
        "policyArn": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"}]});
    let none = json!({"associatedAccessPolicies": []});
    let absent = json!({"message": "The specified principalArn could not be found."});
    for (path, status, body, found, remedy) in [
        (
            "clusters/prod?",
            200,
            cluster("CONFIG_MAP", "ACTIVE", true),
            ("fail", "mode CONFIG_MAP"),
            "update-cluster-config",
        ),
        ("clusters/prod?", 200, cluster("API", "FAILED", true), ("fail", "prod is FAILED"), "describe-cluster"),
        ("clusters/prod?", 200, cluster("API", "ACTIVE", false), ("fail", "in no VPC"), "VpcSubnetIds"),
        (role, 404, absent, ("fail", "has no access entry"), "aws eks create-access-entry --cluster-name prod"),
        ("/access-policies?", 200, view, ("warn", "AmazonEKSViewPolicy"), "associate-access-policy"),
        ("/access-policies?", 200, none, ("fail", "allows nothing"), "associate-access-policy"),
    ] {
        eks.arm(failure(path, status, body, &[]));
        installed.finds(&[], found, remedy).await;
        eks.clear();
    }
    eks.arm(failure("clusters/prod?", 200, cluster("CONFIG_MAP", "ACTIVE", true), &[]));
    let by_hand = ["--parameter", "AccessEntries=false"];
    installed.finds(&by_hand, ("fail", "SyncWorkerRole is not in aws-auth"), "edit configmap aws-auth").await;
    eks.clear();
    installed.finds(&["--parameter", "ClusterName=other"], ("fail", "no EKS cluster `other`"), "list-clusters").await;

    let kubernetes = installed.sandbox.cluster.failures();
    let denied = json!({"kind": "SelfSubjectAccessReview", "status": {"allowed": false}});
    kubernetes.arm(Failure { count: 99, ..failure("selfsubjectaccessreviews", 201, denied, &[]) });
    installed.finds(&[], ("fail", "may not create namespaces, get configmaps"), "kubectl auth can-i --list").await;
    kubernetes.clear();
    let elsewhere = installed.folder.path().join("elsewhere");
    let text = std::fs::read_to_string(installed.sandbox.kubeconfig()).unwrap();
    std::fs::write(&elsewhere, text.replace(&installed.sandbox.cluster.url(), "http://127.0.0.1:1")).unwrap();
    let elsewhere = ["--kubeconfig", elsewhere.to_str().unwrap()];
    installed.finds(&elsewhere, ("fail", "it does not answer"), "kubectl get namespaces").await;
}
