//! No value of a Secret leaves by any way, whatever the API server, its webhooks or a tool have to say of it: neither
//! by the message nor by the commit status, the state, the log or the function's answer.

use std::io;
use std::sync::{Arc, Mutex};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use slipway_cluster::Cluster;
use slipway_cluster::diagnose::diagnose;
use slipway_cluster::objects::ObjectRef;
use slipway_gitops::{ApiResource, Redactor};
use slipway_manifest::Object;
use slipway_sandbox::faults::Failure;
use slipway_tests::unpacked;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::world::{Flow, KUSTOMIZATION};

/// What no text may hold: each value has one of these, as it is or in base64.
const CANARIES: [&str; 4] = ["c4n4ry", "YzRuNHJ5", "987654321", "p455w0rd"];

/// The lines that were logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Listens to this thread, at every level of our own.
    fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let targets = Targets::new().with_default(LevelFilter::WARN).with_target("slipway", LevelFilter::TRACE);
        let lines = tracing_subscriber::fmt::layer().json().with_writer(move || writer.clone()).with_filter(targets);
        (log, tracing::subscriber::set_default(tracing_subscriber::registry().with(lines)))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// The shop with what there is to be looked at.
struct Watched {
    flow: Flow,
    log: Log,
    answers: Vec<String>,
    _guard: tracing::subscriber::DefaultGuard,
}

impl Watched {
    async fn start() -> Self {
        let (log, guard) = Log::start();
        let flow = Flow::deployed().await;
        Self { flow, log, answers: Vec::new(), _guard: guard }
    }

    /// Deploys the shop with `files` and `more` in its kustomization, and checks it for drift.
    async fn deploy(&mut self, what: &str, more: &str, files: &[(&str, &str)]) {
        let base = "resources:\n  - deployment.yaml\n  - service.yaml\n  - ingress.yaml\nnamespace: shop\n";
        let kustomization = format!(
            "# {what}\n{}",
            if more.starts_with("resources:") { more.to_owned() } else { format!("{base}{more}") }
        );
        let files: Vec<(&str, &str)> = files.iter().copied().chain([(KUSTOMIZATION, kustomization.as_str())]).collect();
        self.flow.push(what, &files);
        let settled = self.flow.settle().await;
        let checked = self.flow.check().await;
        self.answers.push(format!("{settled:?} {checked}"));
    }

    /// Deploys the shop with the manifest `secret`.
    async fn apply(&mut self, what: &str, secret: &str) {
        let more =
            "resources:\n  - deployment.yaml\n  - service.yaml\n  - ingress.yaml\n  - secret.yaml\nnamespace: shop\n";
        self.deploy(what, more, &[("shop/secret.yaml", secret)]).await;
    }

    /// Every way out, by name.
    fn ways(&self) -> [(&'static str, String); 5] {
        let states = self.flow.sandbox.cluster.get("/api/v1/namespaces/slipway/configmaps").unwrap();
        let slack: Vec<String> = self.flow.sandbox.slack.messages().into_iter().map(|message| message.text).collect();
        [
            ("Slack", slack.join("\n")),
            ("commit statuses", format!("{:?}", self.flow.statuses())),
            ("states", unpacked(&states)),
            ("log", self.log.text()),
            ("answers", self.answers.join("\n")),
        ]
    }

    /// Nothing of a value is anywhere, and each of `words` is told.
    fn assert_kept(&self, what: &str, words: &[&str]) {
        let ways = self.ways();
        for (way, text) in &ways {
            assert!(text.len() > 20, "{what}: there is something to look at in {way}");
            for canary in CANARIES {
                let around = |at: usize| text.chars().skip(at.saturating_sub(300)).take(600).collect::<String>();
                assert_eq!(text.find(canary).map(around), None, "{what}: {canary} is in {way}");
            }
        }
        assert!(ways[2].1.contains("\"operationState\""), "{what}: the state is unpacked");
        for word in words {
            assert!(
                ways.iter().any(|(_, text)| text.contains(word)),
                "{what}: {word} in {:?}",
                self.flow.messages().last()
            );
        }
    }
}

fn manifest(fields: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: password\n{fields}")
}

#[tokio::test]
async fn what_an_api_server_refuses_is_told_by_its_fields() {
    let mut shop = Watched::start().await;
    let cases = [
        // A forgotten `|`.
        (
            "a mapping",
            manifest("stringData:\n  db:\n    password: c4n4ry-hunter2\n    user: c4n4ry-admin\n"),
            "`.stringData.db` must be a string",
        ),
        ("a list", manifest("stringData:\n  db: [c4n4ry-one, c4n4ry-two]\n"), "`.stringData.db` must be a string"),
        (
            "a mapping as data",
            manifest("data:\n  db: {password: c4n4ry-a, user: c4n4ry-b}\n"),
            "`.data.db` must be base64",
        ),
        ("a list as data", manifest("data:\n  db: [c4n4ry-a, c4n4ry-b]\n"), "`.data.db` must be base64"),
        ("no base64", manifest("data:\n  db: c4n4ry no base64!\n"), "`.data.db` must be base64"),
        ("lines", manifest("data:\n  db: |\n    c4n4ry-one\n    \"c4n4ry\" two\n"), "`.data.db` must be base64"),
        ("a number", manifest("stringData:\n  pin: 987654321\n"), "`.stringData.pin` must be a string"),
        ("a boolean", manifest("stringData:\n  debug: true\n"), "`.stringData.debug` must be a string"),
        ("one letter", manifest("stringData:\n  a: {b: x}\n"), "`.stringData.a` must be a string"),
        ("text for a mapping", manifest("stringData: c4n4ry-text\n"), "`.stringData` must be a mapping"),
        ("a bad key", manifest("stringData:\n  \"c4n4ry + line\": c4n4ry-value\n"), "Secret/shop/password"),
        ("a bad type", manifest("type: kubernetes.io/tls\nstringData:\n  tls.crt: c4n4ry-certificate\n"), ""),
        (
            "a list of kind List",
            format!(
                "apiVersion: v1\nkind: List\nitems:\n- {}",
                manifest("stringData: {db: [c4n4ry-item]}\n").replace('\n', "\n  ")
            ),
            "`.stringData.db` must be a string",
        ),
    ];
    assert_eq!(cases.len(), 13);
    for (what, secret, word) in cases {
        shop.apply(what, &secret).await;
        shop.assert_kept(what, &[word]);
    }
}

#[tokio::test]
async fn what_webhooks_and_warnings_quote_is_dropped_or_masked() {
    let mut shop = Watched::start().await;
    let good = manifest("stringData:\n  db: c4n4ry-hunter2\n  settings: |\n    password=p455w0rd-long\n    # c4n4ry\n");
    let quoted = "admission webhook \"policy.example.com\" denied the request: \
                  {\"data\":{\"db\":\"YzRuNHJ5LWh1bnRlcjI=\"}} c4n4ry-hunter2 \\\"c4n4ry-hunter2\\\" p455w0rd-long";
    let refusal = |path: &str, reason: &str| Failure {
        method: Some(Method::PATCH),
        path_contains: path.to_owned(),
        count: usize::MAX,
        status: StatusCode::FORBIDDEN,
        headers: Vec::new(),
        body: json!({"kind": "Status", "status": "Failure", "message": quoted, "reason": reason, "code": 403,
            "details": {"causes": [{"reason": reason, "message": quoted, "field": "data.c4n4ry-hunter2"}]}}),
    };
    // The webhook puts its words into the reason, as some do.
    shop.flow.sandbox.cluster.failures().arm(refusal("/secrets/password", "c4n4ry-hunter2 is weak"));
    shop.apply("a webhook refuses the Secret", &good).await;
    shop.assert_kept(
        "a webhook refuses the Secret",
        &["by the admission webhook `policy.example.com`", "Secret/shop/password"],
    );

    // Of another object the words are told, without the values of the application's Secrets.
    shop.flow.sandbox.cluster.failures().clear();
    shop.flow.sandbox.cluster.failures().arm(refusal("/services/web", "Forbidden"));
    let more = "resources:\n  - deployment.yaml\n  - service.yaml\n  - ingress.yaml\n  - secret.yaml\nnamespace: \
                shop\ncommonAnnotations: {a: b}\n";
    shop.deploy("a webhook refuses a Service", more, &[("shop/secret.yaml", &good)]).await;
    shop.assert_kept("a webhook refuses a Service", &["Service/shop/web", "denied the request", "++++++++"]);

    // Warnings come with what goes well.
    shop.flow.sandbox.cluster.failures().clear();
    let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "password", "namespace": "shop",
        "uid": "1", "resourceVersion": "1"}});
    shop.flow.sandbox.cluster.failures().arm(Failure {
        method: Some(Method::PATCH),
        path_contains: "/secrets/password".to_owned(),
        count: usize::MAX,
        status: StatusCode::OK,
        headers: vec![("warning", "299 - \"c4n4ry-hunter2 is \\\"weak\\\"\"".to_owned())],
        body: object,
    });
    shop.apply("a warning", &good).await;
    shop.assert_kept("a warning", &["its words are withheld"]);
}

#[tokio::test]
async fn an_immutable_secret_that_changes_is_told_without_either_value() {
    let mut shop = Watched::start().await;
    shop.apply("a first value", &manifest("immutable: true\nstringData:\n  db: c4n4ry-first\n")).await;
    assert!(shop.flow.sandbox.cluster.get("/api/v1/namespaces/shop/secrets/password").is_some());
    shop.apply("another value", &manifest("immutable: true\nstringData:\n  db: c4n4ry-second\n")).await;
    shop.assert_kept("another value", &["Secret/shop/password", "at `.data`", "Force=true,Replace=true"]);
}

#[tokio::test]
async fn what_kustomize_refuses_is_told_without_values() {
    let mut shop = Watched::start().await;
    let generator = |fields: &str| format!("secretGenerator:\n- name: password\n{fields}");
    let patch =
        manifest("stringData: {db: c4n4ry-patch}\n").replace('\n', "\n    ").replace("name: password", "name: none");
    let cases = [
        (
            "a bad name",
            "secretGenerator:\n- name: Bad_Name\n  literals: [db=c4n4ry-one]\n".to_owned(),
            "Secret/shop/Bad_Name",
        ),
        ("no key", generator("  literals: [c4n4ry-literal]\n"), "at `literals[0]`, expected key=value"),
        ("no list", generator("  literals: db=c4n4ry-scalar\n"), "literals: cannot read a string as a list"),
        (
            "a literal that is a mapping",
            generator("  literals: [{db: c4n4ry-map}]\n"),
            "cannot read a mapping as a string",
        ),
        (
            "a flag that is text",
            "generatorOptions: {disableNameSuffixHash: c4n4ry-flag}\n".to_owned(),
            "cannot read a string as a boolean",
        ),
        (
            "a patch of nothing",
            format!("patches:\n- patch: |\n    {patch}\n"),
            "[an inline patch]: no matches for Secret",
        ),
        (
            "an old patch of nothing",
            format!("patchesStrategicMerge:\n- |\n    {patch}\n    : {{\n"),
            "failed to load an inline patch",
        ),
        (
            "an operation that is none",
            "patches:\n- target: {kind: Service}\n  patch: '[\"c4n4ry-operation\"]'\n".to_owned(),
            "unable to parse SM or JSON patch from [an inline patch]",
        ),
        (
            "an index that is none",
            format!(
                "{}replacements:\n- source: {{kind: Secret, name: password, fieldPath: data.db, options: {{delimiter: \
                 x, index: 9}}}}\n  targets: [{{select: {{kind: Service}}, fieldPaths: [metadata.annotations.a]}}]\n",
                generator("  literals: [db=c4n4ry-replaced]\n")
            ),
            "options.index 9 is out of bounds",
        ),
    ];
    assert_eq!(cases.len(), 9);
    for (what, more, word) in cases {
        shop.deploy(what, &more, &[]).await;
        shop.assert_kept(what, &[word]);
    }
}

/// What a chart's schema and the parameters of the Application refuse.
#[tokio::test]
async fn what_a_chart_refuses_is_told_without_values() {
    let mut shop = Watched::start().await;
    let application = |parameter: &str| {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: chart, namespace: \
                argocd}}\nspec:\n  project: default\n  \
             source: {{repoURL: https://github.com/acme/gitops, path: chart, targetRevision: main, helm: {{parameters: \
             [{{name: db.password, value: \"{parameter}\"}}]}}}}\n  \
             destination: {{name: in-cluster, namespace: shop}}\n  \
             syncPolicy: {{automated: {{}}, retry: {{limit: 0}}}}\n"
        )
    };
    let schema =
        json!({"properties": {"db": {"properties": {"password": {"type": "string", "minLength": 40}}}}}).to_string();
    let cases = [
        ("c4n4ry-parameter", "at '/db/password': minLength: got 16, want 40"),
        ("{c4n4ry-a,c4n4ry-b", "failed to parse --set `db.password=…`"),
    ];
    for (parameter, word) in cases {
        let files = [
            ("applications/chart.yaml", application(parameter)),
            ("chart/Chart.yaml", "apiVersion: v2\nname: chart\nversion: 1.0.0\n".to_owned()),
            ("chart/values.schema.json", schema.clone()),
            ("chart/templates/c.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n".to_owned()),
        ];
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        shop.deploy(parameter, "", &files).await;
        shop.assert_kept("a chart", &[word]);
    }
}

/// A pod tells what it was given: by its log, its last words, and events about it.
#[tokio::test]
async fn what_a_pod_tells_is_without_values() {
    let flow = Flow::deployed().await;
    let of_pod = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "of-pod", "namespace": "shop"},
        "stringData": {"db": "p455w0rd-of-the-pod"}});
    flow.sandbox.cluster.call(Method::POST, "/api/v1/namespaces/shop/secrets", "application/json", &of_pod);
    let of_app = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "of-app"},
        "stringData": {"key": "-----BEGIN\nc4n4ry-line-one\nc4n4ry-line-two\n"}});
    let of_app = Object::from_value(of_app).unwrap();
    let terminated = json!({"exitCode": 1, "message": "can't log in as p455w0rd-of-the-pod or c4n4ry-line-one"});
    let pod = |secret: &str| {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"},
            "spec": {"containers": [{"name": "main", "image": "i", "envFrom": [{"secretRef": {"name": secret}}]}]},
            "status": {"phase": "Running", "containerStatuses": [{"name": "main", "image": "i", "restartCount": 3,
                "ready": false,
                "lastState": {"terminated": terminated}, "state": {"waiting": {"reason": "CrashLoopBackOff",
                    "message": "back-off"}}}]}});
        Object::from_value(pod).unwrap()
    };
    let verbs = ["get", "list"].into_iter().map(str::to_owned).collect();
    let resource = Arc::new(ApiResource {
        gvk: slipway_gitops::GroupVersionKind::of(&pod("of-pod")),
        plural: "pods".to_owned(),
        namespaced: true,
        verbs,
    });
    let cluster =
        Cluster::from_kubeconfig(&[flow.sandbox.kubeconfig()], None, None).unwrap().redacting(Redactor::of([&of_app]));
    let fault = |path: &str, status: StatusCode, body: Value| {
        flow.sandbox.cluster.failures().arm(Failure {
            method: Some(Method::GET),
            path_contains: path.to_owned(),
            count: usize::MAX,
            status,
            headers: Vec::new(),
            body,
        });
    };
    fault("/pods/p/log", StatusCode::OK, json!("user=p455w0rd-of-the-pod c4n4ry-line-two of a key"));
    let told = async |secret: &str| {
        let pod = pod(secret);
        diagnose(&cluster, &ObjectRef::of(&resource, &pod), Some(&pod)).await.unwrap().to_string()
    };
    let shown = told("of-pod").await;
    assert!(shown.contains("| \"user=++++++++ ++++++++ of a key\""), "{shown}");
    assert!(!CANARIES.iter().any(|canary| shown.contains(canary)), "{shown}");
    fault("/secrets/hidden", StatusCode::FORBIDDEN, json!({"kind": "Status", "message": "no", "code": 403}));
    let withheld = told("hidden").await;
    assert!(withheld.contains("the log is withheld") && !withheld.contains("of a key"), "{withheld}");
}
