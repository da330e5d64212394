//! `slipway init` beside moto and the sandbox, with a scripted person at the terminal.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use slipway_sandbox::faults::Failure;
use slipway_sandbox::{Aws, Forge, forge, system_clock};
use slipway_tests::{GitHub, Moto, app_key, tools};

use crate::shop::Ran;

/// Another process' command line, with moto as AWS and an empty home.
pub(crate) struct Machine {
    pub(crate) moto: Moto,
    eks: Aws,
    forge: Forge,
    folder: tempfile::TempDir,
}

impl Machine {
    pub(crate) async fn new() -> Option<Self> {
        let moto = Moto::start().await?;
        let options = forge::Options { app_key: app_key(), ..forge::Options::default() };
        let forge = Forge::start(options).await.unwrap();
        let eks = Aws::start(0, system_clock(), BTreeMap::new()).await.unwrap();
        eks.set_cluster("prod", "https://prod.example");
        eks.set_cluster("dev", "https://dev.example");
        // Made before there were access entries, in a private network.
        let old = json!({"cluster": {"name": "dev", "status": "ACTIVE",
            "accessConfig": {"authenticationMode": "CONFIG_MAP"}, "resourcesVpcConfig": {
                "endpointPublicAccess": false, "subnetIds": ["subnet-1", "subnet-2"],
                "clusterSecurityGroupId": "sg-1"}}});
        eks.failures().arm(Failure {
            method: None,
            path_contains: "/clusters/dev?".to_owned(),
            count: 99,
            status: StatusCode::OK,
            headers: Vec::new(),
            body: old,
        });
        moto.aws(&["ecr", "create-repository", "--repository-name", "shop/web"]);
        let folder = tempfile::tempdir().unwrap();
        let machine = Self { moto, eks, forge, folder };
        let checkout = machine.path("checkout");
        std::fs::create_dir_all(checkout.join(".git")).unwrap();
        std::fs::create_dir_all(checkout.join("applications")).unwrap();
        std::fs::create_dir_all(machine.path("out")).unwrap();
        std::fs::write(checkout.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
        let config = "[remote \"origin\"]\n\turl = git@github.com:acme/gitops.git\n";
        std::fs::write(checkout.join(".git/config"), config).unwrap();
        for name in ["shop", "web"] {
            let app = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
                "metadata": {"name": name, "namespace": "argocd"}, "spec": {"project": "default",
                    "source": {"repoURL": "https://github.com/acme/gitops", "path": name, "targetRevision": "main"},
                    "destination": {"server": "https://kubernetes.default.svc", "namespace": name}}});
            std::fs::write(checkout.join(format!("applications/{name}.yaml")), app.to_string()).unwrap();
        }
        Some(machine)
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        command.arg("init").args(flags).env_clear().envs(self.moto.environment());
        command.env("HOME", self.path("home")).env("SLIPWAY_GITHUB_API", self.forge.url());
        command.env("AWS_ENDPOINT_URL_EKS", self.eks.url());
        command.current_dir(self.path("checkout")).args(["--folder", "../out"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs `slipway init FLAGS`, and types `lines`.
    pub(crate) async fn run(&self, flags: &[&str], lines: &str) -> Ran {
        let mut child = self.command(flags).spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    fn written(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path("out")).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path("out").join(name)).unwrap()
    }
}

/// What SAM reads in the folder.
fn samconfig(folder: &Path) -> Value {
    let python = tools::python().expect("sam is installed").join("python");
    let script = tools::workspace().join("tests/infra/samconfig.py");
    serde_json::from_str(&tools::capture(Command::new(python).arg(script).arg(folder)).unwrap()).unwrap()
}

/// The manifest in the page.
fn manifest(page: &str) -> Value {
    let value = page.split("name=\"manifest\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    serde_json::from_str(&value.replace("&quot;", "\"").replace("&amp;", "&")).unwrap()
}

#[tokio::test]
async fn a_person_is_asked_and_wrong_answers_are_told_at_once() {
    let Some(machine) = Machine::new().await else { return };
    let cluster = "production\ndev\nmaybe\nn\n\nsg-1,vpc-2\nsg-1\n";
    let typed = format!("{cluster}ftp://nowhere\n\n#deployments\nC0123456789\nteam@example.com\n\nno\n");
    let session = machine.run(&[], &typed).await;
    assert_eq!(session.code, 0, "{}{}", session.out, session.err);
    let path = tools::workspace().join("tests/cli/init.txt");
    if std::env::var_os("SLIPWAY_BLESS").is_some() {
        std::fs::write(&path, &session.out).unwrap();
    }
    assert_eq!(session.out, std::fs::read_to_string(path).unwrap(), "SLIPWAY_BLESS=1 rewrites it");

    assert_eq!(machine.written(), ["samconfig.toml", "slipway-github-app.html", "slipway-slack-app.json"]);
    let config = samconfig(&machine.path("out"));
    let fields: Vec<&Value> = ["stack_name", "region", "capabilities", "resolve_s3", "template_file"]
        .map(|key| &config[key])
        .into_iter()
        .collect();
    let expected = json!(["slipway", Moto::REGION, "CAPABILITY_IAM", true, "infra/template.yaml"]);
    assert_eq!(json!(fields), expected, "{config}");
    let parameters: BTreeMap<String, String> = serde_json::from_value(config["parameter_overrides"].clone()).unwrap();
    for (name, value) in [
        ("Root", "https://github.com/acme/gitops//applications?ref=main"),
        ("ClusterName", "dev"),
        ("AccessEntries", "false"),
        ("VpcSubnetIds", "subnet-1,subnet-2"),
        ("VpcSecurityGroupIds", "sg-1"),
        ("SlackSecret", "slipway/slack"),
        ("SlackChannel", "C0123456789"),
        ("AlarmTopic", ""),
        ("DriftSchedule", "rate(15 minutes)"),
    ] {
        assert_eq!(parameters[name], value, "{name}");
    }
    let template = std::fs::read_to_string(tools::workspace().join("infra/template.yaml")).unwrap();
    let section = template.split("\nParameters:\n").nth(1).unwrap().split("\nRules:").next().unwrap();
    let declared = section.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let declared: Vec<&str> = declared.map(|line| line.trim().trim_end_matches(':')).collect();
    assert!(declared.len() > 30 && declared.iter().all(|name| parameters.contains_key(*name)), "{parameters:?}");
    assert_eq!(parameters.len(), declared.len());

    let page = machine.read("slipway-github-app.html");
    assert!(page.contains("action=\"https://github.com/organizations/acme/settings/apps/new?state="), "{page}");
    let app = manifest(&page);
    let rights = json!({"metadata": "read", "contents": "write", "statuses": "write"});
    assert_eq!((&app["default_permissions"], &app["default_events"]), (&rights, &json!(["push"])));
    let slack: Value = serde_json::from_str(&machine.read("slipway-slack-app.json")).unwrap();
    assert_eq!(slack["oauth_config"]["scopes"]["bot"][0], "chat:write");
}

#[tokio::test]
async fn flags_answer_everything_and_nothing_is_written_that_was_not_wanted() {
    let Some(machine) = Machine::new().await else { return };
    let flags = ["--yes", "--cluster", "prod", "--pull-requests"];
    let dry = machine.run(&[&flags[..], &["--dry-run"]].concat(), "").await;
    assert_eq!(dry.code, 0, "{}", dry.err);
    assert!(dry.out.contains("ClusterName=\\\"prod\\\"") && dry.out.contains("pull_request"), "{}", dry.out);
    assert!(machine.written().is_empty());

    for (wrong, words) in [
        (&["--cluster", "other"][..], "no EKS cluster `other`"),
        (&["--cluster", "prod", "--root", "nowhere"], "nowhere"),
        (&["--cluster", "prod", "--slack-channel", "#ops"], "no channel's id"),
        (&["--cluster", "prod", "--alarm-topic", "x"], "no ARN of an SNS topic"),
        (&["--cluster", "prod", "--parameter", "LogLevel=LOUD"], "LogLevel is one of"),
        (&["--cluster", "prod", "--parameter", "ClusterCa=abc"], "ClusterEndpoint and ClusterCa go together"),
        (&["--cluster", "prod", "--parameter", "Nothing=1"], "no parameter Nothing"),
        // Two clusters, and no kubeconfig says which.
        (&[], "nothing answers `EKS cluster`"),
    ] {
        let ran = machine.run(&[&["--yes"], wrong].concat(), "").await;
        assert!(ran.code == 1 && ran.err.contains(words), "{words}: {}{}", ran.out, ran.err);
        assert!(machine.written().is_empty(), "{words}");
    }
    let cut_off = machine.run(&[], "prod\n").await;
    assert!(cut_off.code == 1 && cut_off.err.contains("the input ended at `Root"), "{}", cut_off.err);
    assert!(machine.written().is_empty());

    assert_eq!(machine.run(&flags, "").await.code, 0);
    assert_eq!(machine.written(), ["samconfig.toml", "slipway-github-app.html"]);
    let app = manifest(&machine.read("slipway-github-app.html"));
    assert_eq!(app["default_permissions"]["pull_requests"], "write");
    let before = machine.read("samconfig.toml");
    let topic = ["--alarm-topic", "arn:aws:sns:eu-central-1:123456789012:ops"];
    let kept = machine.run(&[&flags[..], &topic].concat(), "").await;
    assert!(kept.code == 1 && kept.err.contains("overwrite it by --force"), "{}", kept.err);
    assert_eq!(machine.read("samconfig.toml"), before);
    assert_eq!(machine.run(&flags, "").await.code, 0, "what is there already is no question");
    assert_eq!(machine.run(&[&flags[..], &topic, &["--force"]].concat(), "").await.code, 0);
    assert!(machine.read("samconfig.toml").contains("123456789012:ops"));
}

#[tokio::test]
async fn the_app_is_created_by_its_manifest_and_its_key_stored() {
    let Some(machine) = Machine::new().await else { return };
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port().to_string();
    let page = format!("http://127.0.0.1:{port}");
    let flags = ["--yes", "--cluster", "prod", "--create-app", "--port", &port];
    let child = machine.command(&flags).spawn().unwrap();
    slipway_tests::http::wait_for(&page, Duration::from_mins(1)).await.unwrap();
    let html = machine.curl(&page);
    let state = html.split("state=").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(manifest(&html)["redirect_url"], format!("{page}/created"));
    // Somebody else's page can't hand in a code.
    assert!(machine.curl(&format!("{page}/created?code=sandbox-code&state=other")).contains("nothing here"));
    assert!(machine.curl(&format!("{page}/created?code=sandbox-code&state={state}")).contains("/install"));
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{out}{}", String::from_utf8_lossy(&output.stderr));
    assert!(out.contains("It is installed.") && !out.contains("BEGIN RSA"), "{out}");
    let query = ["secretsmanager", "get-secret-value", "--secret-id", "slipway/github", "--query", "SecretString"];
    let secret = machine.moto.aws(&[query.as_slice(), &["--output", "text"]].concat());
    let secret: Value = serde_json::from_str(&secret).unwrap();
    assert_eq!(secret, json!({"appId": 1001, "installationId": 2002, "privateKey": app_key()}));
    if let Some(github) = GitHub::load() {
        // The description has an account of the list be a user and an enterprise at once; that of one installation is
        // right, and held to it beside `slipway doctor`.
        let mut exchanges = machine.forge.exchanges();
        exchanges.retain(|exchange| exchange.request.path != "/app/installations");
        github.check(&exchanges).unwrap();
    }
}

impl Machine {
    fn curl(&self, url: &str) -> String {
        tools::capture(Command::new("curl").args(["-s", "-m", "20", url]).current_dir(&self.folder)).unwrap()
    }
}
