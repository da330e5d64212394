//! Plants mutations: draws a kind and an object that it fits, and writes in the name of one of the managers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::process::Command;

use http::Method;
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};
use slipway::notify::report::Drift;
use slipway_cluster::objects::ObjectRef;
use slipway_gitops::diff::{Path, Segment};
use slipway_tests::tools;

use super::benign::{self, Act};
use super::fields;
use super::hands::{self, HANDS, Way, Written};
use super::told::{self, Op};
use crate::random::Random;

/// Of a hundred mutations so many are drift.
const DRIFT: usize = 60;
/// Objects that are tried for a kind before another kind is drawn.
const TRIES: usize = 600;
/// Hands that write to one object where there are many mutations: of more than ten the API server makes one,
/// `ancient-changes`.
const MAX_HANDS: usize = 7;
/// Writes by the real kubectl, which is slow.
const BY_KUBECTL: usize = 12;
/// `kubectl apply`, as managedFields name it.
const CLIENT_SIDE_APPLY: &str = "kubectl-client-side-apply";

/// An object that may be changed.
pub(super) struct Target {
    app: String,
    namespace_uid: String,
    place: ObjectRef,
    /// As Git has it, and Secrets as they are sent.
    git: Value,
    /// As it was before the first mutation.
    before: Value,
    touched: Vec<Path>,
    managers: BTreeSet<String>,
    /// Nothing else may happen to it.
    is_closed: bool,
}

impl Target {
    pub(super) fn new(app: String, namespace_uid: String, place: ObjectRef, git: Value, before: Value) -> Self {
        let (touched, managers) = (Vec::new(), BTreeSet::new());
        Self { app, namespace_uid, place, git, before, touched, managers, is_closed: false }
    }

    fn is_free(&self, paths: &[Path]) -> bool {
        !self.is_closed && !paths.iter().any(|path| self.touched.iter().any(|other| fields::overlap(path, other)))
    }
}

/// What was done to an object.
pub(super) struct Planted {
    pub(super) kind: &'static str,
    pub(super) is_drift: bool,
    pub(super) object: String,
    pub(super) paths: Vec<Path>,
    pub(super) manager: String,
    pub(super) way: String,
    /// Whether the manager owns the field afterwards.
    pub(super) leaves_owner: bool,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

impl Planted {
    /// Whether what was told is at the place of this mutation.
    pub(super) fn is_at(&self, drift: &Drift) -> bool {
        let is_in = |path: &Path| {
            let path = path.to_string();
            let rest = drift.field.strip_prefix(path.as_str());
            rest.is_some_and(|rest| rest.is_empty() || path.is_empty() || rest.starts_with(['.', '[']))
        };
        let is_whole = self.kind == "deleted" && !drift.field.is_empty();
        drift.object == self.object && !is_whole && self.paths.iter().any(is_in)
    }
}

impl Planted {
    /// Whether what was told follows from this mutation: what the API server gives to a Service of another type, and
    /// takes away with it, and the old name of a field that it keeps equal. `kubectl diff` shows it, too.
    pub(super) fn entails(&self, drift: &Drift) -> bool {
        let follows = match self.kind {
            "type" => drift.field == "spec.externalTrafficPolicy" || drift.field.ends_with(".nodePort"),
            "affinity of sessions" => drift.field == "spec.sessionAffinityConfig",
            "account" => drift.field.ends_with(".spec.serviceAccount"),
            _ => false,
        };
        follows && self.object == drift.object
    }
}

impl fmt::Display for Planted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<String> = self.paths.iter().map(ToString::to_string).collect();
        write!(f, "{} at {} {paths:?} by {} ({}) at {}", self.kind, self.object, self.manager, self.way, self.from)
    }
}

pub(super) struct Planter {
    client: Client,
    kubeconfig: PathBuf,
    targets: Vec<Target>,
    random: Random,
    by_kubectl: usize,
    max_hands: usize,
    refused: BTreeMap<&'static str, usize>,
    pub(super) planted: Vec<Planted>,
}

impl Planter {
    pub(super) fn new(client: Client, kubeconfig: PathBuf, targets: Vec<Target>, random: Random) -> Self {
        let (refused, planted) = (BTreeMap::new(), Vec::new());
        Self { client, kubeconfig, targets, random, by_kubectl: 0, max_hands: MAX_HANDS, refused, planted }
    }

    /// How many of how many kinds there were.
    pub(super) fn summary(&self) -> String {
        let kinds = |is_drift: bool| {
            let of = self.planted.iter().filter(|planted| planted.is_drift == is_drift);
            let names: BTreeSet<&str> = of.clone().map(|planted| planted.kind).collect();
            format!("{} of {} kinds", of.count(), names.len())
        };
        let hands: BTreeSet<String> =
            self.planted.iter().map(|planted| format!("{} {}", planted.manager, planted.way)).collect();
        let drawn: BTreeSet<&str> = self.planted.iter().map(|planted| planted.kind).collect();
        let all = told::KINDS.iter().map(|kind| kind.name).chain(benign::KINDS.iter().map(|(name, _)| *name));
        let never: Vec<&str> = all.filter(|name| !drawn.contains(name)).collect();
        format!(
            "{} drifts and {} benign changes by {} hands; refused: {:?}; never drawn: {never:?}",
            kinds(true),
            kinds(false),
            hands.len(),
            self.refused
        )
    }

    /// Plants `count` mutations, the kinds in turn: as long as there are enough objects, each in one of its own.
    pub(super) async fn plant(&mut self, count: usize) {
        self.max_hands = if count * 2 < self.targets.len() { 1 } else { MAX_HANDS };
        let (mut drift, mut harmless) = (0, 0);
        // Kinds that fit nowhere any more are passed over.
        for _ in 0..count * 4 {
            if self.planted.len() >= count {
                return;
            }
            if self.random.chance(DRIFT) {
                self.plant_drift(drift).await;
                drift += 1;
            } else {
                self.plant_benign(harmless).await;
                harmless += 1;
            }
        }
    }

    fn record(&mut self, target: usize, planted: Planted) {
        let target = &mut self.targets[target];
        target.touched.extend(planted.paths.iter().cloned());
        target.managers.insert(planted.manager.clone());
        target.is_closed |= planted.paths.iter().any(|path| path.0.len() <= 1) && planted.is_drift;
        self.planted.push(planted);
    }

    /// A hand that has not written to the object yet.
    fn hand(&mut self, target: usize) -> Option<(&'static str, Way)> {
        let hand = HANDS[self.random.below(HANDS.len())];
        let managers = &self.targets[target].managers;
        (managers.len() < self.max_hands && !managers.contains(hand.0)).then_some(hand)
    }

    async fn plant_drift(&mut self, turn: usize) {
        const WHOLE: [&str; 3] = ["deleted", "deleted and recreated", "scale"];
        let turn = turn % (told::KINDS.len() + WHOLE.len());
        for _ in 0..TRIES {
            let target = self.random.below(self.targets.len());
            let Some(hand) = self.hand(target) else { continue };
            let done = match turn.checked_sub(told::KINDS.len()) {
                None => self.change(target, &told::KINDS[turn], hand).await,
                Some(0) => self.delete(target, hand.0, false).await,
                Some(1) => self.delete(target, hand.0, true).await,
                Some(_) => self.scale(target).await,
            };
            if done.is_some() {
                return;
            }
        }
    }

    async fn change(&mut self, target: usize, kind: &told::Kind, hand: (&'static str, Way)) -> Option<()> {
        let is_removal = matches!(kind.op, Op::Remove);
        let one = &self.targets[target];
        if hand.1 == Way::Apply && is_removal {
            return None;
        }
        // Most objects do not have the field: asked of what was live at first, before anything is read.
        told::mutate(kind, &one.git, &one.before, &mut self.random)?;
        let live = hands::read(&self.client, &one.place).await?;
        let (after, path) = told::mutate(kind, &one.git, &live, &mut self.random)?;
        let paths = located(&after, &path);
        if !one.is_free(&paths) || fields::get(&live, &path) != fields::get(&one.before, &path) {
            return None;
        }
        let is_by_kubectl = one.managers.is_empty() && !is_removal && self.by_kubectl < BY_KUBECTL;
        let (written, manager, way) = if is_by_kubectl && self.random.chance(10) {
            self.by_kubectl += 1;
            let mut manifest = one.git.clone();
            fields::set(&mut manifest, &path, fields::get(&after, &path).cloned());
            (self.kubectl_apply(target, &manifest).await, CLIENT_SIDE_APPLY, "kubectl apply".to_owned())
        } else {
            let written = hands::write(&self.client, &one.place, hand, (&live, &after), std::slice::from_ref(&path));
            (written.await, hand.0, format!("{:?}", hand.1))
        };
        let Ok(Written { object, from, to }) = written else {
            *self.refused.entry(kind.name).or_default() += 1;
            return None;
        };
        // What the API server fills in again, or leaves away, has not changed.
        if fields::get(&object, &path) == fields::get(&live, &path) {
            return None;
        }
        // Nobody owns the order of a keyed list.
        let leaves_owner = fields::get(&object, &path).is_some() && kind.name != "order of init containers";
        let object = self.targets[target].place.id().to_string();
        let (kind, manager, is_drift) = (kind.name, manager.to_owned(), true);
        self.record(target, Planted { kind, is_drift, object, paths, manager, way, leaves_owner, from, to });
        Some(())
    }

    /// Client-side apply with the real kubectl.
    async fn kubectl_apply(&self, target: usize, manifest: &Value) -> Result<Written, String> {
        let kubectl = tools::kubectl().map_err(|error| format!("{error:?}"))?;
        let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
        std::fs::write(file.path(), manifest.to_string()).unwrap();
        let mut command = Command::new(kubectl);
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(["-n", &self.targets[target].app, "apply", "-f"]);
        command.arg(file.path());
        let from = Timestamp::now();
        let output = command.output().map_err(|error| error.to_string())?;
        let to = Timestamp::now();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let object = hands::read(&self.client, &self.targets[target].place).await.unwrap_or_default();
        Ok(Written { object, from, to })
    }

    async fn delete(&mut self, target: usize, manager: &'static str, is_recreated: bool) -> Option<()> {
        let one = &self.targets[target];
        let kind = one.git["kind"].as_str()?;
        let is_held = ["Job", "PersistentVolumeClaim", "Gadget"].contains(&kind);
        if is_held || !one.managers.is_empty() || one.is_closed {
            return None;
        }
        let mut written = hands::delete(&self.client, &one.place).await.ok()?;
        let mut paths = vec![Path::default()];
        if is_recreated {
            written = hands::create(&self.client, &one.place, manager, &one.git).await.ok()?;
            paths = vec![Path(vec![Segment::Field("metadata".to_owned())])];
        }
        let (kind, way) = if is_recreated { ("deleted and recreated", "create") } else { ("deleted", "delete") };
        let object = one.place.id().to_string();
        let Written { from, to, .. } = written;
        let (manager, way, leaves_owner) = (manager.to_owned(), way.to_owned(), false);
        self.record(target, Planted { kind, is_drift: true, object, paths, manager, way, leaves_owner, from, to });
        Some(())
    }

    async fn scale(&mut self, target: usize) -> Option<()> {
        let one = &self.targets[target];
        let replicas = one.git["spec"].get("replicas")?.as_u64()?;
        let path = Path(["spec", "replicas"].map(|name| Segment::Field(name.to_owned())).to_vec());
        if !one.is_free(std::slice::from_ref(&path)) || one.git["kind"] != "Deployment" {
            return None;
        }
        let more = json!({"spec": {"replicas": replicas + 1}});
        let written = hands::write_below(&self.client, &one.place, "scale", "kubectl", &more).await.ok()?;
        let Written { from, to, .. } = written;
        let object = one.place.id().to_string();
        let (manager, way, paths) = ("kubectl".to_owned(), "scale".to_owned(), vec![path]);
        let planted =
            Planted { kind: "scale", is_drift: true, object, paths, manager, way, leaves_owner: true, from, to };
        self.record(target, planted);
        Some(())
    }

    async fn plant_benign(&mut self, turn: usize) {
        let (kind, make) = benign::KINDS[turn % benign::KINDS.len()];
        for _ in 0..TRIES {
            let target = self.random.below(self.targets.len());
            let Some(hand) = self.hand(target).filter(|hand| hand.1 != Way::Apply) else { continue };
            let one = &self.targets[target];
            if one.is_closed || make(&one.git, &one.before, &mut self.random).is_none() {
                continue;
            }
            let Some(live) = hands::read(&self.client, &one.place).await else { continue };
            let Some(act) = make(&one.git, &live, &mut self.random) else { continue };
            let (written, paths) = match act {
                Act::Write(after, paths) => {
                    if !one.is_free(&paths) {
                        continue;
                    }
                    let text = after.to_string().replace("NAMESPACE-UID", &one.namespace_uid);
                    let after = serde_json::from_str(&text).unwrap();
                    (hands::write(&self.client, &one.place, hand, (&live, &after), &[]).await, paths)
                }
                Act::Status(status) => {
                    let patch = json!({ "status": status });
                    (hands::write_below(&self.client, &one.place, "status", hand.0, &patch).await, Vec::new())
                }
                Act::Scale(replicas) => {
                    let patch = json!({"spec": {"replicas": replicas}});
                    (hands::write_below(&self.client, &one.place, "scale", hand.0, &patch).await, Vec::new())
                }
                Act::Own(part, paths) => {
                    if !one.is_free(&paths) {
                        continue;
                    }
                    (hands::apply(&self.client, &one.place, hand.0, &part).await, paths)
                }
                Act::Create(path, object) => {
                    let url = path.replace("NAMESPACE", &one.app);
                    (hands::send(&self.client, Method::POST, &url, "application/json", &object).await, Vec::new())
                }
            };
            let Ok(Written { from, to, .. }) = written else {
                *self.refused.entry(kind).or_default() += 1;
                continue;
            };
            let object = self.targets[target].place.id().to_string();
            let (manager, way, leaves_owner) = (hand.0.to_owned(), format!("{:?}", hand.1), true);
            self.record(target, Planted { kind, is_drift: false, object, paths, manager, way, leaves_owner, from, to });
            return;
        }
    }

    /// Makes every object be as it was.
    pub(super) async fn undo(&self) {
        for target in self.targets.iter().filter(|target| !target.managers.is_empty()) {
            // Controllers write at the same time.
            let mut undone = Err(String::new());
            for _ in 0..5 {
                if undone.is_err() {
                    undone = hands::undo(&self.client, &target.place, &target.before).await;
                }
            }
            if let Err(error) = undone {
                println!("{} is not as it was: {error}", target.place.id());
            }
        }
    }
}

/// Where a change at `path` shows: an item whose key changes goes, and another one comes.
fn located(after: &Value, path: &Path) -> Vec<Path> {
    let [above @ .., Segment::Item(key, _), Segment::Field(field)] = path.0.as_slice() else {
        return vec![path.clone()];
    };
    let item = Path(path.0[..path.0.len() - 1].to_vec());
    if key != field {
        // By the schema's key it is another item, all of which is its writer's.
        return if field == "port" { vec![item] } else { vec![path.clone()] };
    }
    let list = fields::get(after, &Path(above.to_vec())).and_then(Value::as_array);
    let others = list.into_iter().flatten().filter_map(|other| other.get(key));
    let named = |name: &Value| Path(above.iter().cloned().chain([Segment::Item(key.clone(), name.clone())]).collect());
    std::iter::once(item).chain(others.map(named)).collect()
}
