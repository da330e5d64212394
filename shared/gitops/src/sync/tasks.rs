//! Derives the tasks of a sync, in order.

use serde_json::{Value, json};
use slipway_manifest::{Object, ObjectId};

use super::{Input, NamespaceMetadata, OPERATION, Options, kept_reason};
use crate::annotations::{self, Phase};
use crate::health::HOOK_FINALIZER;
use crate::plan::{self, Task, TaskAction};

/// All tasks of the sync, in order, done or not.
pub fn tasks(input: &Input<'_>) -> Vec<Task> {
    let Input { targets, live, options, .. } = input;
    let is_selected = |id: &ObjectId| options.resources.as_ref().is_none_or(|selected| selected.contains(id));
    let mut tasks = Vec::with_capacity(targets.len());
    for target in *targets {
        if !annotations::is_hook(target) {
            let id = target.id();
            if is_selected(&id) {
                let phases = annotations::phases(target).into_iter();
                tasks.extend(phases.map(|phase| Task::apply(target.clone(), live.get(&id).cloned(), phase)));
            }
        } else if !options.skip_hooks {
            tasks.extend(annotations::phases(target).into_iter().map(|phase| {
                let target = named_hook(target, phase, options);
                let live = live.get(&target.id()).cloned();
                Task::apply(target, live, phase)
            }));
        }
    }
    for (_, extra) in input.extraneous.iter().filter(|(id, _)| is_selected(id)) {
        let mut task = Task::prune(extra.live.clone());
        // Objects that are kept in any case need no confirmation.
        if let Some(reason) = extra.skip_reason.as_deref().or_else(|| kept_reason(&extra.live, options)) {
            task.action = TaskAction::Keep(reason.to_owned());
        }
        tasks.push(task);
    }
    tasks.extend(options.create_namespace.as_ref().and_then(|metadata| namespace(input, metadata)));
    for task in &mut tasks {
        task.is_served = !input.missing.contains_key(&task.id);
    }
    plan::order_prunes(&mut tasks, options.prune_last);
    plan::sort(&mut tasks);
    tasks
}

/// A hook as applied in `phase`: with a name, our finalizer and the annotation of its operation.
fn named_hook(target: &Object, phase: Phase, options: &Options) -> Object {
    let mut hook = target.clone();
    if hook.name().is_empty() {
        let revision: String = match options.revision.len() {
            8.. => options.revision.chars().take(7).collect(),
            _ => options.revision.clone(),
        };
        let stem = target.pointer("/metadata/generateName").and_then(Value::as_str).unwrap_or_default();
        let end = format!("{revision}-{}-{}", phase.as_str(), options.started_at).to_lowercase();
        hook.metadata_mut().insert("name".to_owned(), json!(format!("{stem}{end}")));
    }
    let finalizers = hook.metadata_mut().entry("finalizers").or_insert_with(|| json!([]));
    if let Some(finalizers) = finalizers.as_array_mut()
        && !finalizers.iter().any(|name| name == HOOK_FINALIZER)
    {
        finalizers.push(json!(HOOK_FINALIZER));
    }
    if !options.operation.is_empty() {
        hook.set_annotation(OPERATION, operation_mark(options, phase));
    }
    hook
}

/// The value of the annotation [`OPERATION`](super::OPERATION).
fn operation_mark(options: &Options, phase: Phase) -> String {
    format!("{}.{}", options.operation, phase.as_str())
}

/// Whether this operation created the live hook of `task`, by a worker that died before it recorded that.
pub(super) fn was_created_by_operation(task: &Task, options: &Options) -> bool {
    let made_by = task.live.as_ref().and_then(|live| live.annotation(OPERATION));
    task.hook && !options.operation.is_empty() && made_by == Some(&operation_mark(options, task.phase))
}

/// The task that creates the destination's namespace, or applies its metadata. A Namespace in the manifests takes
/// precedence.
fn namespace(input: &Input<'_>, metadata: &NamespaceMetadata) -> Option<Task> {
    let name = &input.options.namespace;
    let id = ObjectId::new("", "Namespace", "", name);
    let is_declared = input.targets.iter().any(|target| target.id() == id);
    if name.is_empty() || is_declared || (input.namespace.is_some() && metadata.is_empty()) {
        return None;
    }
    let mut fields = json!({"name": name});
    for (key, values) in [("labels", &metadata.labels), ("annotations", &metadata.annotations)] {
        if let (Some(fields), false) = (fields.as_object_mut(), values.is_empty()) {
            fields.insert(key.to_owned(), Value::Object(values.clone()));
        }
    }
    let target = Object::from_value(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": fields})).ok()?;
    Some(Task::apply(target, input.namespace.cloned(), Phase::PreSync))
}
