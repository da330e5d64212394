//! From a push to live objects, beside `kubectl apply --server-side` on the same API server in the same run.
//!
//! `cargo bench --workspace --profile dev --bench deploy` builds the functions as they are deployed, and prints three
//! tables: one commit that creates, and then one that changes, 100 applications of 4 objects; 1,000 objects of one
//! application, new and then unchanged, in rounds that are summed up; and what `drift-check` takes for 1,000
//! applications of 4 objects that nobody changed. `-- applications`, `-- objects` or `-- checked` prints one
//! of them. Ours is the whole way: signed request, queue, fetch, render, dry-run, apply, record, report.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a program that prints a table"
)]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs};

use slipway_sandbox::forge::Change;
use slipway_tests::bed::Bed;
use slipway_tests::{Usage, release_binaries, skip, tools};

/// As in the functions and the command line.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const APPS: usize = 100;
const OBJECTS: usize = 1000;
const ROUNDS: usize = 3;
const CHECKED: usize = 1000;

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let is_wanted = |name: &str| {
            !env::args()
                .any(|argument| ["applications", "objects", "checked"].contains(&argument.as_str()) && argument != name)
        };
        if is_wanted("applications") {
            many_applications().await;
        }
        if is_wanted("objects") {
            many_objects().await;
        }
        if is_wanted("checked") {
            many_checked().await;
        }
    });
}

/// One row: what was done, how long it took us and kubectl, with the processor time of either.
fn row(what: &str, ours: (Duration, Duration), kubectl: (Duration, Duration)) {
    let [our_time, our_cpu, time, cpu] = [ours.0, ours.1, kubectl.0, kubectl.1].map(|spent| spent.as_secs_f64());
    println!(
        "| {what} | {our_time:.2} s | {time:.2} s | {:.2} | {our_cpu:.2} s | {cpu:.2} s | {:.2} |",
        time / our_time,
        our_cpu / cpu
    );
}

fn head(title: &str) {
    println!(
        "\n{title}\n\n| | Slipway | kubectl | times faster | Slipway's CPU | kubectl's CPU | share \
         |\n|---|---|---|---|---|---|---|"
    );
}

async fn many_applications() {
    let names: Vec<String> = (0..APPS).map(|n| format!("app-{n:03}")).collect();
    let applications: Vec<_> = names.iter().map(|name| (format!("apps/{name}.yaml"), application(name))).collect();
    let files: Vec<(&str, &str)> = applications.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let Some(mut bed) = Bed::new(&files).await else { return };
    let Some(kubectl) = Kubectl::new(&bed).await else { return };
    bed = bed.with_binaries(release_binaries());
    head(&format!("{APPS} applications of 4 objects, one commit"));
    for (what, image) in [("new", "nginx:1.27.0"), ("changed", "nginx:1.27.1")] {
        let sources: Vec<_> = names.iter().map(|name| (name, four(name, image, SERVICE))).collect();
        let changes: Vec<_> =
            sources.iter().map(|(name, text)| Change::write(format!("src/{name}/all.yaml"), text.as_str())).collect();
        let ours = push(&mut bed, what, &changes).await;
        let texts: Vec<&str> = sources.iter().map(|(_, text)| text.as_str()).collect();
        let theirs = kubectl.apply(&texts);
        assert_eq!(live(&bed, image), APPS, "{}", bed.logs());
        row(what, ours, theirs);
    }
    print_peak(&bed);
}

/// Some rounds, since one beside a busy neighbour says little; either goes first in turn, in namespaces of their own.
async fn many_objects() {
    const TIMES: [&str; 2] = ["new", "unchanged"];
    let mut text = String::new();
    for n in 0..OBJECTS / 4 {
        text.push_str(&four(&format!("object-{n:03}"), "nginx:1.27.0", CONFIG));
    }
    let mut spent = [[(Duration::ZERO, Duration::ZERO); 2]; TIMES.len()];
    let mut last = None;
    head(&format!("{OBJECTS} objects of one application, {ROUNDS} rounds"));
    for round in 0..ROUNDS {
        let application = application("app");
        let Some(mut bed) = Bed::new(&[("apps/app.yaml", &application)]).await else { return };
        let Some(kubectl) = Kubectl::new(&bed).await else { return };
        bed = bed.with_binaries(release_binaries());
        for (what, spent) in TIMES.iter().zip(&mut spent) {
            let changes = [Change::write("src/app/all.yaml", text.as_str()), Change::write("src/app/.note", *what)];
            let (ours, theirs) = if round % 2 == 0 {
                (push(&mut bed, what, &changes).await, kubectl.apply(&[&text]))
            } else {
                let theirs = kubectl.apply(&[&text]);
                (push(&mut bed, what, &changes).await, theirs)
            };
            assert_eq!(live(&bed, "nginx:1.27.0"), OBJECTS / 4, "{}", bed.logs());
            row(&format!("{what}, round {}", round + 1), ours, theirs);
            for (sum, one) in spent.iter_mut().zip([ours, theirs]) {
                *sum = (sum.0 + one.0, sum.1 + one.1);
            }
        }
        last = Some(bed);
    }
    for (what, [ours, theirs]) in TIMES.iter().zip(spent) {
        row(&format!("**{what}, all rounds**"), ours, theirs);
    }
    last.iter().for_each(print_peak);
}

/// The first check is of an instance that just started, the others find it warm.
async fn many_checked() {
    let names: Vec<String> = (0..CHECKED).map(|n| format!("app-{n:03}")).collect();
    let in_own_namespace = |name: &String| {
        let application = application(name).replace("namespace: {name}}", &format!("namespace: {{name}}-{name}}}"));
        (format!("apps/{name}.yaml"), application)
    };
    let applications: Vec<_> = names.iter().map(in_own_namespace).collect();
    let files: Vec<(&str, &str)> = applications.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let Some(bed) = Bed::new(&files).await else { return };
    let mut bed = bed.with_binaries(release_binaries());
    let source = |name: &String| Change::write(format!("src/{name}/all.yaml"), four(name, "nginx:1.27.0", CONFIG));
    let (time, _) = push(&mut bed, "new", &names.iter().map(source).collect::<Vec<_>>()).await;
    let found = bed.cluster.kubectl(&["get", "deployments", "-A", "-o", "name"]).unwrap_or_default();
    assert_eq!(found.lines().count(), CHECKED, "{}", bed.logs());
    println!(
        "\n{CHECKED} applications of 4 objects, checked (deployed in {:.0} s)\n\n| | time | CPU | CPU an application \
         |\n|---|---|---|---|",
        time.as_secs_f64()
    );
    for round in 1..=ROUNDS {
        let cpu = |bed: &Bed| bed.usage("drift-check").map_or(Duration::ZERO, |usage| usage.cpu);
        let (start, before) = (Instant::now(), cpu(&bed));
        bed.check().await;
        let (time, spent) = (start.elapsed(), cpu(&bed).saturating_sub(before));
        let [seconds, cpu] = [time, spent].map(|spent| spent.as_secs_f64());
        println!("| check {round} | {seconds:.2} s | {cpu:.2} s | {:.2} ms |", cpu * 1e3 / CHECKED as f64);
    }
}

/// Commits, delivers, and lets the worker deploy: time and processor time of the functions.
async fn push(bed: &mut Bed, message: &str, changes: &[Change]) -> (Duration, Duration) {
    let cpu = |bed: &Bed| {
        ["github-webhook", "worker"].iter().filter_map(|name| bed.usage(name)).map(|usage| usage.cpu).sum::<Duration>()
    };
    bed.commit(message, changes);
    let (start, before) = (Instant::now(), cpu(bed));
    bed.hook().await;
    bed.work().await;
    (start.elapsed(), cpu(bed).saturating_sub(before))
}

fn print_peak(bed: &Bed) {
    if let Some(Usage { peak, .. }) = bed.usage("worker") {
        println!("\nPeak memory of the worker: {:.0} MB", peak as f64 / 1e6);
    }
}

/// Deployments in the bed's namespace with this image.
fn live(bed: &Bed, image: &str) -> usize {
    let path = "jsonpath={range .items[*]}{.spec.template.spec.containers[0].image}{\"\\n\"}{end}";
    let found = bed.cluster.kubectl(&["-n", &bed.name, "get", "deployments", "-o", path]).unwrap_or_default();
    found.lines().filter(|line| *line == image).count()
}

/// The real kubectl, applying to a namespace of its own.
struct Kubectl {
    program: std::path::PathBuf,
    config: std::path::PathBuf,
    namespace: String,
}

impl Kubectl {
    async fn new(bed: &Bed) -> Option<Self> {
        let program = skip::or_skip("the comparison", tools::kubectl())?;
        let namespace = bed.cluster.namespace("kubectl").await;
        Some(Self { program, config: bed.cluster.kubeconfig.clone(), namespace })
    }

    /// Applies each text in a run of its own: time and processor time of all runs.
    fn apply(&self, texts: &[&str]) -> (Duration, Duration) {
        let folder = tempfile::tempdir().expect("a folder");
        let files: Vec<_> = (0..texts.len()).map(|n| folder.path().join(format!("{n}.yaml"))).collect();
        for (file, text) in files.iter().zip(texts) {
            fs::write(file, text).expect("a file");
        }
        let (start, before) = (Instant::now(), children());
        for file in &files {
            self.run(file);
        }
        (start.elapsed(), children().saturating_sub(before))
    }

    fn run(&self, file: &Path) {
        let mut command = Command::new(&self.program);
        command
            .arg("--kubeconfig")
            .arg(&self.config)
            .args(["-n", &self.namespace, "apply", "--server-side", "-f"])
            .arg(file);
        tools::run(&mut command).unwrap_or_else(|error| panic!("{error:#}"));
    }
}

/// Processor time of all children that have ended (proc_pid_stat(5): cutime, cstime).
fn children() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after.split_whitespace().skip(13).take(2).filter_map(|n| n.parse::<u64>().ok()).sum::<u64>();
    Duration::from_millis(ticks * 10)
}

fn application(name: &str) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {{name: {name}, namespace: argocd}}
spec:
  project: \
         default
  source: {{repoURL: 'https://github.com/acme/{{name}}.git', path: src/{name}, targetRevision: HEAD}}
  \
         destination: {{server: 'https://kubernetes.default.svc', namespace: {{name}}}}
  syncPolicy: {{automated: {{prune: true}}, syncOptions: [CreateNamespace=true]}}
"
    )
}

const SERVICE: &str = "apiVersion: v1
kind: Service
metadata: {name: NAME, labels: {app: NAME}}
spec: {selector: {app: NAME}, ports: [{name: http, port: 80, targetPort: 8080, protocol: TCP}]}
---
";
/// In place of a Service where there are many: the cluster has a few hundred addresses only.
const CONFIG: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: NAME, labels: {app: NAME}}
data: {name: NAME, port: '8080'}
---
";

/// A Deployment of no replicas, its ServiceAccount, its Ingress, and `other`.
fn four(name: &str, image: &str, other: &str) -> String {
    let mut text = other.replace("NAME", name);
    let labels = format!("labels: {{app: {name}}}");
    let _ = write!(
        text,
        "apiVersion: v1
kind: ServiceAccount
metadata: {{name: {name}, {labels}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, {labels}}}
spec:
  replicas: 0
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{{labels}}}
    spec:
      serviceAccountName: {name}
      containers:
      - name: web
        image: {image}
        ports: [{{name: http, containerPort: 8080, protocol: TCP}}]
        env: [{{name: NAME, value: {name}}}]
        resources: {{requests: {{cpu: 10m, memory: 16Mi}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: {name}, {labels}}}
spec:
  rules:
  - host: {name}.example.com
    http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: {name}, port: {{name: http}}}}}}}}]}}
---
"
    );
    text
}
