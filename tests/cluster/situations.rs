//! Replays situations from public bug reports on the real control plane: each file of `situations/` is one, with its
//! source, its steps and the right end.
//!
//! In a file `NAMESPACE` stands for a namespace of its own, `GROUP` for an API group of its own, and `HUGE` for 900,000
//! letters. A case that is not right yet lies in `open/`, which is not run. The steps:
//!
//! * `commit`: the objects that Git has from now on, under the next commit;
//! * `sync`: brings that commit to the cluster, `by: push` or a person's name, with the options of `slipway app sync`
//!   (`prune`, `force`, `replace`, `timeout` in seconds, `resources`: `Kind.group/name` of a selective sync), and with
//!   what is expected of it: `phase` of the operation, `status`, `health`, `retried`, `rows` (`Kind/name: status`),
//!   `told` (what a problem says), `changes` (how many);
//! * `application`: the Application's `spec` is changed by this merge patch;
//! * `owner`: from now on it is another application of that name, in the same namespace;
//! * `kubectl`: runs it in the namespace, `stdin` is applied with `-f -`, and `after` seconds later in the background;
//! * `drift`: what differs, as `drift-check` compares: `Kind/name field`, or `Kind/name` for whatever fields of it;
//! * `expect`: `OBJECT PATH: value` as `kubectl get -o jsonpath` prints it; `absent` where there is no such object. An
//!   OBJECT of another namespace is `NAMESPACE/PLURAL/NAME`. A PATH of a plural, `jobs .items[*].metadata.name`,
//!   is of all in the namespace.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use slipway::app::Application;
use slipway::deploy::prepare;
use slipway::reconcile::comparison::{Scope, differences};
use slipway::reconcile::drift::FingerprintKey;
use slipway::reconcile::sync::{Deadlines, OperationKind, SyncRequest};
use slipway::secret::StateKeys;
use slipway_gitops::argocd_cm::Overrides;
use slipway_gitops::comparison::Rules;
use slipway_gitops::normalize::Normalizer;
use slipway_gitops::status::Initiator;
use slipway_manifest::{Object, ObjectId, yaml};

use crate::Place;
use crate::sync::{job, recorded, run, times};

struct Situation {
    place: Place,
    spec: Value,
    objects: Vec<Object>,
    commits: u32,
    background: Vec<std::thread::JoinHandle<()>>,
}

fn cases() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster/situations");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let only = std::env::var("SLIPWAY_SITUATION").unwrap_or_default();
    let mut cases: Vec<(String, String)> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(path).unwrap()))
        .filter(|(name, _)| name.contains(&only))
        .collect();
    cases.sort();
    cases
}

/// `SLIPWAY_SITUATION` chooses those whose name contains it.
#[test]
fn situations_end_as_they_should() {
    let cases = cases();
    assert!(cases.len() >= 206 || std::env::var_os("SLIPWAY_SITUATION").is_some(), "{} cases", cases.len());
    let lanes = 8;
    let queue = std::sync::Mutex::new(cases);
    let faults: Vec<Vec<String>> = crate::side_by_side(0..lanes, async |_| {
        let mut faults = Vec::new();
        loop {
            let Some((name, text)) = queue.lock().unwrap().pop() else { return faults };
            let found = play(&name, &text).await;
            faults.extend(found.into_iter().map(|fault| format!("{name}: {fault}")));
        }
    });
    let faults: Vec<String> = faults.into_iter().flatten().collect();
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

async fn play(name: &str, text: &str) -> Vec<String> {
    let label: String = name.chars().filter(char::is_ascii_alphanumeric).take(24).collect();
    let Some(place) = Place::new(&label.to_ascii_lowercase()).await else { return Vec::new() };
    let group = format!("{}.example.com", place.namespace());
    let text = text.replace("NAMESPACE", place.namespace()).replace("GROUP", &group);
    let text = text.replace("HUGE", &"a".repeat(900_000));
    let case = yaml::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(case["source"].is_string(), "{name}: it has no source");
    let mut situation = Situation { place, spec: json!({}), objects: Vec::new(), commits: 0, background: Vec::new() };
    let mut faults = Vec::new();
    for (number, step) in case["steps"].as_array().unwrap().iter().enumerate() {
        let fields = step.as_object().unwrap();
        let (verb, value) = fields.iter().next().unwrap();
        let found = match verb.as_str() {
            "commit" => situation.commit(value),
            "application" => {
                merge(&mut situation.spec, value);
                Vec::new()
            }
            "owner" => {
                let name = format!("{}-{}", situation.place.namespace(), value.as_str().unwrap());
                situation.place.key.name.clone_from(&name);
                situation.place.owner.app = name;
                situation.place.owner.applyset = situation.place.key.applyset_id();
                Vec::new()
            }
            "sync" => situation.sync(value).await,
            "kubectl" => situation.kubectl(value, fields),
            "drift" => situation.drift(value).await,
            "expect" => situation.expect(value),
            other => panic!("{name}: no step is called {other}"),
        };
        faults.extend(found.into_iter().map(|fault| format!("step {number} ({verb}): {fault}")));
    }
    for thread in situation.background {
        thread.join().unwrap();
    }
    faults
}

impl Situation {
    fn commit(&mut self, value: &Value) -> Vec<String> {
        self.commits += 1;
        let documents = yaml::parse_all(value.as_str().unwrap()).unwrap();
        let objects = documents.into_iter().filter(Value::is_object);
        self.objects = objects.map(|value| Object::from_value(value).unwrap()).collect();
        Vec::new()
    }

    /// The Application as a root would have it.
    fn application(&self) -> Application {
        let mut spec = json!({"project": "default", "source": {"repoURL": "https://github.com/acme/gitops",
            "path": "m"},
            "destination": {"name": "in-cluster", "namespace": self.place.namespace()}});
        merge(&mut spec, &self.spec);
        let manifest = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": self.place.owner.app, "namespace": "argocd"}, "spec": spec});
        Application::from_object(&Object::from_value(manifest).unwrap()).unwrap()
    }

    fn rules(&self) -> Rules {
        let normalizer = Normalizer::new(&self.application().ignore_differences, &Overrides::default()).unwrap();
        Rules { normalizer, ..Rules::default() }
    }

    fn request(&self, asked: &Value) -> SyncRequest {
        let mut request = job(&self.place, &format!("{:040x}", self.commits), self.objects.clone());
        request.policy = prepare::policy_of(&self.application());
        request.rules = Arc::new(self.rules());
        request.spec_digest = Some(self.spec.to_string());
        request.application = json!({"spec": {"source": self.spec["source"]}});
        let by = asked["by"].as_str().unwrap_or("person");
        if by != "push" {
            request.initiator = Initiator::person(by);
            request.policy.options.prune = asked["prune"] == true;
        }
        request.policy.options.force |= asked["force"] == true;
        request.policy.options.replace |= asked["replace"] == true;
        if let Some(asked) = asked["resources"].as_array() {
            let id = |one: &Value| {
                let (kind, name) = one.as_str().unwrap().split_once('/').unwrap();
                let (kind, group) = kind.split_once('.').unwrap_or((kind, ""));
                ObjectId::new(group, kind, self.place.namespace(), name)
            };
            request.policy.operation = OperationKind::SelectiveSync;
            request.policy.options.skip_hooks = true;
            request.policy.options.resources = Some(asked.iter().map(id).collect());
        }
        request
    }

    async fn sync(&self, asked: &Value) -> Vec<String> {
        let request = self.request(asked);
        let deadlines = match asked["timeout"].as_u64() {
            Some(timeout) => Deadlines { timeout: Duration::from_secs(timeout), ..times(timeout + 30) },
            None => times(120),
        };
        let outcome = run(&request, "worker", deadlines).await;
        let state = recorded(&self.place).await;
        let status = &state.status;
        let rows: BTreeMap<String, String> = status
            .resources
            .iter()
            .map(|row| (format!("{}/{}", row.kind, row.name), row.status.map_or(String::new(), |s| format!("{s:?}"))))
            .collect();
        let operation = status.operation_state.as_ref();
        let mut faults = Vec::new();
        for (key, wanted) in asked.as_object().unwrap() {
            let found = match key.as_str() {
                "phase" => json!(operation.map(|operation| operation.phase)),
                "status" => json!(status.sync.status),
                "health" => json!(status.health.status),
                "retried" => json!(operation.is_some_and(|operation| operation.retry_count > 0)),
                "changes" => json!(outcome.changes.len()),
                "rows" => {
                    let asked = wanted.as_object().unwrap().keys();
                    let row = |name: &String| (name.clone(), json!(rows.get(name)));
                    Value::Object(asked.map(row).collect::<Map<String, Value>>())
                }
                "told" => {
                    let told: Vec<&String> = outcome.problems.iter().chain(&outcome.warnings).collect();
                    let wanted = wanted.as_str().unwrap();
                    if told.iter().any(|line| line.contains(wanted)) { json!(wanted) } else { json!(told) }
                }
                "by" | "prune" | "force" | "replace" | "timeout" | "resources" => continue,
                other => panic!("a sync has no {other}"),
            };
            if found != *wanted {
                faults.push(format!("{key} is {found}, not {wanted}; {outcome:?}"));
            }
        }
        faults
    }

    fn kubectl(&mut self, value: &Value, fields: &Map<String, Value>) -> Vec<String> {
        let arguments: Vec<String> = value
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned))
            .collect();
        let (plane, namespace) = (self.place.plane, self.place.namespace().to_owned());
        let stdin = fields.get("stdin").and_then(Value::as_str).map(str::to_owned);
        let call = move || {
            let mut file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
            file.write_all(stdin.as_deref().unwrap_or_default().as_bytes()).unwrap();
            let path = file.path().to_string_lossy().into_owned();
            let named = arguments.iter().map(|one| if one == "-" { path.as_str() } else { one.as_str() });
            let all: Vec<&str> = ["-n", namespace.as_str()].into_iter().chain(named).collect();
            plane.kubectl(&all);
        };
        match fields.get("after").and_then(Value::as_f64) {
            Some(seconds) => self.background.push(std::thread::spawn(move || {
                std::thread::sleep(Duration::from_secs_f64(seconds));
                call();
            })),
            None => call(),
        }
        Vec::new()
    }

    async fn drift(&self, wanted: &Value) -> Vec<String> {
        let request = self.request(&json!({"by": "push"}));
        let state = recorded(&self.place).await;
        let (rules, keys) = (self.rules(), StateKeys { current: "key".into(), previous: None });
        let scope = Scope {
            owner: &request.owner,
            permit: &request.permit,
            rules: &rules,
            checks: &request.checks,
            inventory: &state.inventory,
            kept_namespace: request.kept_namespace(),
            validate: !request.policy.options.no_validate,
            key: &FingerprintKey(&keys),
        };
        let compared = differences(&self.place.cluster, &scope, self.objects.clone()).await;
        let prefix = format!("/{}/", self.place.namespace());
        let mut found: Vec<String> = compared.found.iter().map(|one| one.key.replace(&prefix, "/")).collect();
        found.extend(compared.problems.iter().map(|problem| format!("problem: {problem}")));
        let objects: Vec<&str> = wanted.as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let short = |key: String| match key.split_once(' ') {
            Some((object, _)) if objects.contains(&object) => object.to_owned(),
            _ => key,
        };
        found = found.into_iter().map(short).collect();
        found.sort();
        found.dedup();
        if json!(found) == *wanted { Vec::new() } else { vec![format!("{found:?} differs, not {wanted}")] }
    }

    fn expect(&self, wanted: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        for (what, wanted) in wanted.as_object().unwrap() {
            let (object, path) = what.split_once(' ').unwrap_or((what, ""));
            let path = format!("jsonpath={{{path}}}");
            let (namespace, object) = match object.split_once('/') {
                Some((namespace, object)) if object.contains('/') => (namespace, object),
                _ => (self.place.namespace(), object),
            };
            let get = ["-n", namespace, "get", object, "--ignore-not-found", "-o"];
            let found = self.place.plane.kubectl(&[&get[..], &["name"]].concat()).unwrap_or_default();
            let found = match (found.trim().is_empty(), wanted.as_str()) {
                (true, _) => "absent".to_owned(),
                (false, Some("present")) => "present".to_owned(),
                _ => self.place.plane.kubectl(&[&get[..], &[&path]].concat()).unwrap_or_default(),
            };
            let wanted = wanted.as_str().map_or_else(|| wanted.to_string(), str::to_owned);
            if found != wanted {
                faults.push(format!("{what} is `{found}`, not `{wanted}`"));
            }
        }
        faults
    }
}

/// Changes `value` as RFC 7386 has it.
fn merge(value: &mut Value, patch: &Value) {
    let (Value::Object(fields), Value::Object(patch)) = (&mut *value, patch) else {
        *value = patch.clone();
        return;
    };
    for (key, patch) in patch {
        if patch.is_null() {
            fields.shift_remove(key);
        } else {
            merge(fields.entry(key.clone()).or_insert_with(|| json!({})), patch);
        }
    }
}
