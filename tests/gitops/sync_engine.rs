//! The sync engine, call by call (`vectors/README.argo.md`), on a cluster that is a map.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;
use serde_json::{Map, Value, json};
use slipway_gitops::annotations::{self, Phase};
use slipway_gitops::api_resources::{ApiResource, ApiResources, GroupVersionKind};
use slipway_gitops::health::{HOOK_FINALIZER, Health, HealthStatus};
use slipway_gitops::identity::AppIdentity;
use slipway_gitops::plan::{self, PruneCandidate, Task};
use slipway_gitops::sync::{
    self, Action, ActionKind, ActionResult, Executor, Input, NamespaceMetadata, Options, Progress, Prune,
};
use slipway_manifest::{Object, ObjectId};

use crate::framework::{Outcome, records};

pub(crate) fn run(shared: &Path) -> Result<Option<Outcome>> {
    let cases = records(&shared.join("vectors/sync_engine.jsonl"))?;
    Ok(cases.map(|cases| Outcome::collect("sync-engine", cases, |case| check(case).map_err(|e| format!("{e:#}")))))
}

fn check(case: &Value) -> Result<()> {
    let options = options(case);
    let mut progress = Progress::default();
    for (number, step) in case["steps"].as_array().context("steps")?.iter().enumerate() {
        let found = one(case, step, &options, &mut progress)?;
        let is_server_side = case["name"].as_str().is_some_and(|name| name.contains("server-side"));
        let messages = step.get("messageAnyOf").cloned().unwrap_or_else(|| json!([step["message"]]));
        let mut wanted = json!({"batches": step["batches"], "phase": step["phase"], "message": found["message"],
            "results": step["results"], "waveCalls": step["waveCalls"]});
        let mut found = found;
        for side in [&mut wanted, &mut found] {
            for order in side["batches"].as_array_mut().into_iter().flatten().filter_map(Value::as_array_mut).flatten()
            {
                let order = order.as_object_mut().context("an order")?;
                order.retain(|key, value| {
                    value != false && (is_server_side || !["validate", "serverSide"].contains(&key.as_str()))
                });
            }
        }
        ensure!(sorted(wanted.clone()) == sorted(found.clone()), "step {number}\nexpected {wanted}\nfound    {found}");
        let is_said = messages.as_array().is_some_and(|messages| messages.contains(&found["message"]));
        ensure!(is_said, "step {number}\nexpected message {messages}\nfound            {}", found["message"]);
    }
    Ok(())
}

/// The order of keys does not matter.
fn sorted(value: Value) -> String {
    match value {
        Value::Object(map) => {
            let map: BTreeMap<String, String> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            format!("{map:?}")
        }
        Value::Array(items) => format!("{:?}", items.into_iter().map(sorted).collect::<Vec<_>>()),
        value => value.to_string(),
    }
}

/// One call of the engine.
fn one(case: &Value, step: &Value, options: &Options, progress: &mut Progress) -> Result<Value> {
    let objects = |list: &Value| -> Result<Vec<Object>> {
        list.as_array().context("a list")?.iter().map(|object| Ok(Object::from_value(object.clone())?)).collect()
    };
    let owner = AppIdentity { app: "app".into(), applyset: "set".into(), namespace: options.namespace.clone() };
    let prepared = plan::prepare(objects(&case["targets"])?, &kinds(case), &owner);
    ensure!(prepared.unresolved.is_empty(), "unresolved: {:?}", prepared.unresolved);
    let everything: BTreeMap<ObjectId, Object> =
        objects(&step["live"])?.into_iter().map(|object| (object.id(), object)).collect();
    let unmanaged = ids(&case["options"]["unmanaged"]);
    let live: BTreeMap<ObjectId, Object> =
        everything.iter().filter(|(id, _)| !unmanaged.contains(id)).map(|(id, o)| (id.clone(), o.clone())).collect();
    let wanted: BTreeSet<ObjectId> = prepared.objects.iter().map(Object::id).collect();
    let extraneous = live.iter().filter(|(id, object)| !wanted.contains(id) && !annotations::is_hook(object));
    let extraneous = extraneous
        .map(|(id, object)| (id.clone(), PruneCandidate { live: object.clone(), skip_reason: None }))
        .collect();
    let denied = case["faults"].get("denied").and_then(Value::as_object).cloned().unwrap_or_default();
    let by_name = |id: &ObjectId| Some((id.clone(), denied.get(&id.name)?.as_str()?.to_owned()));
    let input = Input {
        targets: &prepared.objects,
        live: &live,
        extraneous: &extraneous,
        namespace: everything.get(&ObjectId::new("", "Namespace", "", &options.namespace)),
        missing: &missing(&everything, &prepared.objects),
        denied: &wanted.iter().chain(live.keys()).filter_map(by_name).collect(),
        health: &|object| {
            let verdict = step["health"].get(text(&object.id())).filter(|verdict| !verdict.is_null())?;
            let health: Health = verdict["status"].as_str()?.parse().ok()?;
            Some(HealthStatus::new(health, verdict["message"].as_str().unwrap_or_default()))
        },
        options,
    };
    let mut executor =
        Pretended { faults: &case["faults"], cluster: everything.clone(), batches: Vec::new(), waves: Vec::new() };
    // Nothing is ever waited for: the executor answers at once.
    let done = if step["call"] == "terminate" {
        sync::terminate(&input, progress, &mut executor).now_or_never()
    } else {
        sync::step(&input, progress, &mut executor).now_or_never()
    };
    anyhow::ensure!(done.is_some(), "a step waits");
    let mut results: Vec<Value> = progress
        .results()
        .map(|result| {
            let id = ObjectId::new(&result.group, &result.kind, &result.namespace, &result.name);
            json!({"id": text(&id), "syncPhase": result.sync_phase, "hookType": result.hook_type,
                "status": result.status.map_or(json!(""), |s| json!(s)),
                "hookPhase": result.hook_phase.map_or(json!(""), |s| json!(s)), "message": result.message})
        })
        .collect();
    let place = |result: &Value| {
        let same = |other: &&Value| other["id"] == result["id"] && other["syncPhase"] == result["syncPhase"];
        step["results"].as_array().and_then(|list| list.iter().position(|other| same(&other)))
    };
    results.sort_by_key(place);
    Ok(json!({"batches": executor.batches, "phase": progress.phase, "message": progress.message, "results": results,
            "waveCalls": executor.waves}))
}

fn options(case: &Value) -> Options {
    let options = &case["options"];
    let is = |key: &str| options[key] == true;
    let text = |key: &str| options[key].as_str().unwrap_or_default().to_owned();
    let metadata = NamespaceMetadata {
        labels: options["managedNamespaceLabels"].as_object().cloned().unwrap_or_default(),
        annotations: Map::new(),
    };
    Options {
        namespace: text("namespace"),
        revision: text("revision"),
        started_at: case["startedAt"].as_i64().unwrap_or_default(),
        operation: String::new(),
        prune: is("prune"),
        prune_last: is("pruneLast"),
        prune_confirmed: is("pruneConfirmed"),
        default_prune: match text("defaultPruneOption").as_str() {
            "false" => Prune::No,
            "confirm" => Prune::Confirm,
            _ => Prune::Yes,
        },
        dry_run: is("dryRun"),
        force: is("force"),
        replace: is("replace"),
        no_validate: is("noValidate"),
        server_side: is("serverSideApply"),
        skip_hooks: is("skipHooks"),
        skip_dry_run_on_missing: is("skipDryRunOnMissingResource"),
        modified: is("applyOutOfSyncOnly").then(|| ids(&options["modified"])),
        resources: options.get("resources").map(ids),
        create_namespace: is("createNamespace").then_some(metadata),
    }
}

fn ids(list: &Value) -> BTreeSet<ObjectId> {
    let id = |item: &Value| match item.as_str().unwrap_or_default().splitn(4, '/').collect::<Vec<_>>()[..] {
        [group, kind, namespace, name] => ObjectId::new(group, kind, namespace, name),
        _ => panic!("{item} is no id"),
    };
    list.as_array().into_iter().flatten().map(id).collect()
}

fn text(id: &ObjectId) -> String {
    format!("{}/{}/{}/{}", id.group, id.kind, id.namespace, id.name)
}

const SERVED: &[(&str, &[&str])] = &[
    ("", &["ConfigMap", "Secret", "ServiceAccount", "Service", "Pod", "PersistentVolumeClaim"]),
    ("apps", &["Deployment", "StatefulSet", "DaemonSet"]),
    ("batch", &["Job", "CronJob"]),
    ("rbac.authorization.k8s.io", &["Role", "RoleBinding"]),
    ("networking.k8s.io", &["Ingress", "NetworkPolicy"]),
    ("known.io", &["Known"]),
];
const CLUSTER_WIDE: &[(&str, &[&str])] = &[
    ("", &["Namespace"]),
    ("rbac.authorization.k8s.io", &["ClusterRole", "ClusterRoleBinding"]),
    ("apiextensions.k8s.io", &["CustomResourceDefinition"]),
];

/// Where each kind of the case lives: those that are served, and all others as if they were.
fn kinds(case: &Value) -> ApiResources {
    let objects = case["targets"].as_array().into_iter().flatten();
    let objects = objects.map(|object| Object::from_value(object.clone()).unwrap());
    let is_wide = |gvk: &GroupVersionKind| {
        CLUSTER_WIDE.iter().any(|(group, kinds)| *group == gvk.group && kinds.contains(&gvk.kind.as_str()))
    };
    ApiResources::from_resources(objects.map(|object| {
        let gvk = GroupVersionKind::of(&object);
        ApiResource { namespaced: !is_wide(&gvk), gvk, plural: String::new(), verbs: BTreeSet::new() }
    }))
}

/// What the cluster does not serve.
fn missing(live: &BTreeMap<ObjectId, Object>, targets: &[Object]) -> BTreeMap<ObjectId, String> {
    let crds: Vec<(&str, &str)> = live
        .values()
        .filter(|object| object.kind() == "CustomResourceDefinition")
        .filter_map(|crd| Some((crd.pointer("/spec/group")?.as_str()?, crd.pointer("/spec/names/kind")?.as_str()?)))
        .collect();
    let is_served = |object: &Object| {
        let known = SERVED.iter().chain(CLUSTER_WIDE);
        known.into_iter().any(|(group, kinds)| *group == object.group() && kinds.contains(&object.kind()))
            || crds.contains(&(object.group(), object.kind()))
    };
    let unknown = targets.iter().filter(|object| !is_served(object));
    let said = |object: &Object| format!("{}.{} \"\" not found", object.kind(), object.group());
    unknown.map(|object| (object.id(), said(object))).collect()
}

/// A cluster that is a map, with the faults of the case.
struct Pretended<'a> {
    faults: &'a Value,
    cluster: BTreeMap<ObjectId, Object>,
    batches: Vec<Value>,
    waves: Vec<Value>,
}

impl Pretended<'_> {
    fn carry_out(&mut self, order: &Action<'_>) -> Result<ActionResult, String> {
        let id = &order.task.id;
        let fault = |what: &str| self.faults.get(what)?.get(&id.name)?.as_str().map(str::to_owned);
        let deletes = matches!(order.kind, ActionKind::Prune | ActionKind::DeleteHook);
        let applies = !deletes && order.kind != ActionKind::RemoveHookFinalizer;
        let error = match (applies, order.dry_run) {
            (true, true) => fault("dryRun"),
            (true, false) => fault("apply"),
            (false, _) if deletes => fault("delete"),
            _ => None,
        };
        if let Some(error) = error {
            return Err(error);
        }
        let has_finalizers = |object: &Object| {
            let list = object.pointer("/metadata/finalizers").and_then(Value::as_array);
            list.into_iter()
                .flatten()
                .any(|name| order.kind != ActionKind::RemoveHookFinalizer || name != HOOK_FINALIZER)
        };
        if deletes && !self.cluster.contains_key(id) {
            return Ok(ActionResult::NotFound);
        }
        if deletes && !self.cluster.get(id).is_some_and(has_finalizers) {
            self.cluster.remove(id);
        } else if let (true, false, Some(target)) = (applies, order.dry_run, order.task.target()) {
            self.cluster.insert(id.clone(), target.clone());
        }
        Ok(ActionResult::Performed(match order.kind {
            ActionKind::Update => format!("{}/{} updated", id.kind, id.name),
            _ => format!("{}/{} configured", id.kind.to_lowercase(), id.name),
        }))
    }
}

impl Executor for Pretended<'_> {
    async fn execute(&mut self, batch: &[Action<'_>]) -> Vec<Result<ActionResult, String>> {
        let answers: Vec<_> = batch.iter().map(|order| self.carry_out(order)).collect();
        let mut told: Vec<Value> = batch
            .iter()
            .zip(&answers)
            .map(|(order, answer)| {
                let mut told = json!({"op": order.kind.as_str(), "id": text(&order.task.id), "dryRun": order.dry_run,
                    "force": order.force,
                    "validate": order.validate, "serverSide": order.server_side});
                if let Err(error) = answer {
                    told["error"] = json!(error);
                }
                told
            })
            .collect();
        told.sort_by_key(|order| order["id"].to_string());
        self.batches.push(Value::Array(told));
        answers
    }

    async fn live(&mut self, task: &Task) -> Result<Option<Object>, String> {
        Ok(self.cluster.get(&task.id).cloned())
    }

    async fn record(&mut self, _: &Progress) -> Result<(), String> {
        Ok(())
    }

    async fn end_wave(&mut self, phase: Phase, wave: i64, last: bool) -> Result<(), String> {
        self.waves.push(json!({"phase": phase.as_str(), "wave": wave, "final": last}));
        match self.faults.get("waveCallback").and_then(Value::as_str) {
            Some(error) => Err(error.to_owned()),
            None => Ok(()),
        }
    }
}
