//! For random pairs of manifests, and random edits by others in between, the end is that of `kubectl apply`: for every
//! field that Git had or has.
//!
//! Each case is two objects that go the same way, one by kubectl (client-side apply, three-way), one by us. The cases
//! are made from a seed, the same ones each time; `SLIPWAY_THREE_WAY_CASES` asks for more, `SLIPWAY_THREE_WAY_FIRST`
//! begins elsewhere. Where the two may differ stands in [`may_differ`].

mod generate;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};
use slipway_cluster::apply::{self, Options};
use slipway_cluster::dry_run;
use slipway_gitops::comparison::Rules;
use slipway_gitops::{GroupVersionKind, diff};
use slipway_manifest::Object;
use slipway_tests::{ControlPlane, tools};

use crate::random::Random;
use crate::{Place, side_by_side};
use generate::{MANAGERS, edit, manifest, next};

/// Enough to meet each rule many times within a minute.
const CASES: u64 = 500;
/// Worked on side by side, each with a kubectl of its own, which asks 50 times a second at most.
const LANES: u64 = 4;
/// How many cases kubectl itself may refuse (an edit that made its patch invalid), in a hundred.
const MAX_REFUSED: usize = 10;

/// One field of a manifest: fields, and list items by what is their key.
type Path = Vec<String>;

const KEYS: [&str; 3] = ["containerPort", "name", "host"];

/// The key of a list item, as text; Services tell their ports apart by number.
fn key_of(list: &str, item: &Value) -> Option<String> {
    let named = |key: &str| item.get(key).map(|value| format!("{key}={value}"));
    if list == "ports" && item.get("containerPort").is_none() {
        return named("port");
    }
    let class = item.get("host").map(|_| format!(",class={}", item.get("class").unwrap_or(&json!("public"))));
    KEYS.iter().find_map(|key| named(key)).map(|key| key + &class.unwrap_or_default())
}

/// Lists that the API server replaces as a whole, and kubectl, too.
const ATOMIC: [&str; 4] = ["args", "tolerations", "rules", "tls"];

/// The fields of a manifest with their values.
fn fields(value: &Value, path: &mut Path, found: &mut BTreeMap<Path, Value>) {
    let name = path.last().cloned().unwrap_or_default();
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                path.push(key.clone());
                fields(value, path, found);
                path.pop();
            }
        }
        Value::Array(items) if !ATOMIC.contains(&name.as_str()) => {
            for item in items {
                path.push(key_of(&name, item).unwrap_or_else(|| item.to_string()));
                fields(item, path, found);
                path.pop();
            }
        }
        value => {
            found.insert(path.clone(), value.clone());
        }
    }
}

fn fields_of(object: &Value) -> BTreeMap<Path, Value> {
    let mut found = BTreeMap::new();
    for part in ["data", "binaryData", "spec", "type"] {
        if let Some(value) = object.get(part) {
            fields(value, &mut vec![part.to_owned()], &mut found);
        }
    }
    for part in ["labels", "annotations"] {
        if let Some(value) = object["metadata"].get(part) {
            fields(value, &mut vec!["metadata".to_owned(), part.to_owned()], &mut found);
        }
    }
    found
}

/// The differences that are known and meant.
///
/// - A field that Git gave up and an edit removed together with the mapping around it: kubectl's patch has `null` for
///   it, of which the API server makes a value, `0` or an empty text. We leave it away.
/// - An empty mapping of a custom resource, which server-side apply drops with the last of its fields.
fn may_differ(by_kubectl: Option<&Value>, by_us: Option<&Value>) -> bool {
    by_us.is_none() && [json!("0"), json!(""), json!({})].iter().any(|zero| by_kubectl == Some(zero))
}

/// Whether Git gives up a key of a list item that has a default: which one, no dry run of a take-over can know, so that
/// another item is foreseen than comes.
fn leaves_key_out(case: &Case) -> bool {
    let has_class = |manifest: &Value| {
        let routes = manifest.pointer("/spec/routes").and_then(Value::as_array);
        routes.into_iter().flatten().any(|route| route.get("class").is_some())
    };
    has_class(&case.first) || has_class(&case.second)
}

/// A control plane without controllers: nobody else writes.
fn plane() -> Option<&'static ControlPlane> {
    static PLANE: OnceLock<Option<ControlPlane>> = OnceLock::new();
    let options = slipway_tests::Options { bare: true, ..slipway_tests::Options::default() };
    PLANE.get_or_init(|| ControlPlane::start(&options)).as_ref()
}

async fn define_router(place: &Place) {
    let item = json!({"type": "object", "required": ["host"], "properties": {"host": {"type": "string"},
        "class": {"type": "string", "default": "public"}, "to": {"type": "string"}}});
    let routes = json!({"type": "array", "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["host", "class"],
        "items": item});
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let names = json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}});
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"routes": routes,
        "settings": texts, "names": names, "mode": {"type": "string", "default": "plain"}}}}});
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "routers.three-way.example.com"}, "spec": {"group": "three-way.example.com",
        "scope": "Namespaced", "names": {"kind": "Router", "plural": "routers", "singular": "router"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}});
    crate::kubectl_apply(place, &definition);
    place.served("three-way.example.com", "v1", "Router").await;
}

/// What happens to two objects.
struct Case {
    seed: u64,
    first: Value,
    second: Value,
    /// Who edits how often, from which randomness.
    edits: Vec<(&'static str, u64)>,
}

impl Case {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let kind = random.below(7);
        let first = manifest(&mut random, kind);
        let other = manifest(&mut random, kind);
        let mut second = next(&mut random, &first, &other);
        // What can't be left out, and what may not change.
        for pointer in ["/kind", "/apiVersion", "/type", "/spec/selector", "/spec/template/metadata/labels"] {
            if let (Some(value), Some(place)) = (first.pointer(pointer), second.pointer_mut(pointer)) {
                *place = value.clone();
            }
        }
        let edits = (0..random.below(4)).map(|_| (random.pick(&MANAGERS), random.seed())).collect();
        Self { seed, first, second, edits }
    }

    fn named(&self, manifest: &Value, whose: &str) -> Value {
        let mut object = manifest.clone();
        object["metadata"]["name"] = json!(format!("{whose}{}", self.seed));
        object
    }
}

/// Applies all of `objects` with the real kubectl; gives what it says of those that it could not.
fn kubectl_apply_all(place: &Place, objects: &[Value]) -> String {
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    std::fs::write(file.path(), json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()).unwrap();
    kubectl(place, &["apply", "-f", &file.path().to_string_lossy()])
}

/// Runs kubectl; gives what it prints to standard error.
fn kubectl(place: &Place, arguments: &[&str]) -> String {
    let mut command = Command::new(tools::kubectl().unwrap());
    command.arg("--kubeconfig").arg(&place.plane.kubeconfig).args(["-n", place.namespace()]).args(arguments);
    String::from_utf8_lossy(&command.output().unwrap().stderr).into_owned()
}

/// Writes `after` over `before` in the name of `manager`; whether the server took it.
async fn write(client: &kube::Client, url: &str, manager: &str, before: &Value, after: &Value) -> bool {
    let mut patch = Vec::new();
    for pointer in ["/data", "/binaryData", "/spec", "/metadata/labels", "/metadata/annotations"] {
        match (before.pointer(pointer), after.pointer(pointer)) {
            (before, Some(value)) if before != Some(value) => {
                patch.push(json!({"op": "add", "path": pointer, "value": value}));
            }
            (Some(_), None) => patch.push(json!({"op": "remove", "path": pointer})),
            _ => {}
        }
    }
    let request = http::Request::patch(format!("{url}?fieldManager={manager}"))
        .header("content-type", "application/json-patch+json")
        .body(serde_json::to_vec(&patch).unwrap())
        .unwrap();
    client.request_text(request).await.is_ok()
}

/// The paths of what differs, as far as it was there before.
fn changed(before: &Object, after: &Object) -> BTreeSet<String> {
    let found = diff::diff(before, after);
    found.iter().filter(|found| found.live.is_some()).map(|found| found.path.to_string()).collect()
}

/// Takes the cases of a lane through; gives what went wrong, and how many kubectl refused.
async fn lane(on: &'static ControlPlane, seeds: Vec<u64>) -> (String, usize) {
    let mut place = Place::on(on, "three-way").await;
    let gvk = |(group, version, kind): (&str, &str, &str)| GroupVersionKind {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
    };
    let router = gvk(("three-way.example.com", "v1", "Router"));
    place.kinds = place.cluster.resolve(&crate::gvks().into_iter().chain([router]).collect(), &BTreeSet::new()).await;
    let client = on.client().await;
    let cases: Vec<Case> = seeds.into_iter().map(Case::new).collect();
    let mut refused =
        kubectl_apply_all(&place, &cases.iter().map(|case| case.named(&case.first, "k")).collect::<Vec<_>>());
    let mut report = String::new();
    for case in &cases {
        let ours = place.one(case.named(&case.first, "s"));
        let applied = apply::apply(&place.cluster, place.resource(&ours), &ours, None, &Options::default()).await;
        if applied.is_err() {
            // As kubectl, which says the same.
            let _ = write!(refused, "\"k{}\"", case.seed);
            continue;
        }
        for (manager, seed) in &case.edits {
            for whose in ["k", "s"] {
                let object = place.one(case.named(&case.first, whose));
                let Some(before) = place.live(&object).await.map(Object::into_value) else { continue };
                let mut after = before.clone();
                edit(&mut Random::new(*seed), &mut after);
                let resource = place.resource(&object);
                let url = format!("{}/{}", resource.path(place.namespace()).unwrap(), object.name());
                write(&client, &url, manager, &before, &after).await;
            }
        }
    }
    refused += &kubectl_apply_all(&place, &cases.iter().map(|case| case.named(&case.second, "k")).collect::<Vec<_>>());
    let mut count = 0;
    for case in &cases {
        if refused.contains(&format!("\"k{}\"", case.seed)) {
            count += 1;
            continue;
        }
        let wrong = one(&place, case).await;
        if !wrong.is_empty() {
            let (first, second, edits) = (&case.first, &case.second, &case.edits);
            let _ = writeln!(report, "case {}: {wrong}\n  {first}\n  {second}\n  {edits:?}", case.seed);
        }
    }
    // The server has 250 addresses for Services.
    kubectl(&place, &["delete", "services", "--all"]);
    (report, count)
}

/// Applies the second manifest of a case, and compares with what kubectl left.
async fn one(place: &Place, case: &Case) -> String {
    let mut wrong = String::new();
    let ours = place.one(case.named(&case.second, "s"));
    let before = place.live(&ours).await.unwrap();
    let (options, rules) = (Options::default(), Rules::default());
    let resource = place.resource(&ours);
    let foresee = async |live: &Object| {
        dry_run::dry_run(&place.cluster, resource, &ours, Some(live.clone()), &options, &rules).await
    };
    let foreseen = foresee(&before).await;
    let after = match apply::apply(&place.cluster, resource, &ours, Some(&before), &options).await {
        Ok(applied) => applied.object,
        Err(failure) => return format!("refused: {}", failure.with_remedy()),
    };
    match foreseen {
        Ok(Some(pair)) => {
            let (foreseen, changes) = (changed(&pair.live, &pair.predicted), changed(&before, &after));
            if foreseen != changes && !leaves_key_out(case) {
                let _ = write!(wrong, "foreseen {foreseen:?} came {changes:?}; ");
            }
        }
        other => return format!("not foreseen: {other:?}"),
    }
    if let Ok(Some(pair)) = foresee(&after).await {
        let left = diff::diff(&pair.live, &pair.predicted);
        if !left.is_empty() {
            let _ = write!(wrong, "left to do: {left:?}; ");
        }
    }
    let theirs = place.live(&place.one(case.named(&case.second, "k"))).await.unwrap();
    let (by_kubectl, by_us) = (fields_of(&theirs.to_value()), fields_of(&after.to_value()));
    let had: BTreeSet<Path> = fields_of(&case.first).into_keys().chain(fields_of(&case.second).into_keys()).collect();
    for path in had {
        let (kubectl, us) = (by_kubectl.get(&path), by_us.get(&path));
        if kubectl != us && !may_differ(kubectl, us) {
            let _ = write!(wrong, "{path:?} by kubectl {kubectl:?}, by us {us:?}; ");
        }
    }
    if !wrong.is_empty() {
        let _ = write!(wrong, "before {}", before.to_value());
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn what_git_had_and_has_ends_as_kubectl_apply_leaves_it() {
    let number = |name: &str, default: u64| std::env::var(name).ok().map_or(default, |text| text.parse().unwrap());
    let (cases, first) = (number("SLIPWAY_THREE_WAY_CASES", CASES), number("SLIPWAY_THREE_WAY_FIRST", 0));
    let Some(plane) = plane() else { return };
    if tools::kubectl().is_err() {
        return;
    }
    define_router(&Place::on(plane, "three-way").await).await;
    let lanes = (0..LANES).map(|lane| (first..first + cases).filter(|seed| seed % LANES == lane).collect::<Vec<u64>>());
    let lanes: Vec<Vec<u64>> =
        lanes.flat_map(|seeds| seeds.chunks(125).map(<[u64]>::to_vec).collect::<Vec<_>>()).collect();
    let mut reports = Vec::new();
    for group in lanes.chunks(usize::try_from(LANES).unwrap()) {
        reports.extend(side_by_side(group.to_vec(), async |seeds| lane(plane, seeds).await));
    }
    let wrong: String = reports.iter().map(|(report, _)| report.as_str()).collect();
    let refused: usize = reports.iter().map(|(_, refused)| refused).sum();
    assert!(
        wrong.is_empty(),
        "{} of {cases} cases:\n{wrong}",
        wrong.lines().filter(|line| line.starts_with("case")).count()
    );
    println!("{cases} cases, {refused} of them refused by kubectl");
    assert!(refused * 100 <= MAX_REFUSED * usize::try_from(cases).unwrap(), "kubectl refused {refused} of {cases}");
}
