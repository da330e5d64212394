//! Builds what `app get` shows of an Application's manifest, as its state records it.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use slipway_cluster::state::State;
use slipway_gitops::Revisions;
use slipway_gitops::annotations::{self, HookType};
use slipway_manifest::Object;

use super::prepare::{DELETION_HOOKS, deployed, owner, policy_of};
use crate::app::{Application, Source, skip};
use crate::reconcile::notes::{ApplicationSummary, Note as _};
use crate::root::ResolvedApplication;
use crate::root::tracked::SourceRepository;
use crate::services::Services;

/// Builds what `app get` shows of an Application that is skipped, or was until now: its manifest, and which deletion
/// hooks the deployment in `state` has.
pub(super) fn skipped_summary(engine: &Services, member: &ResolvedApplication, state: &State) -> Value {
    let known = deployed(state);
    let revisions = if member.tracked.at(&known).is_some() { known } else { member.tracked.unresolved() };
    let mut about = application_summary(engine, member, &revisions, &[]);
    let recorded = ApplicationSummary::of(state);
    let before = recorded.as_ref().and_then(|about| about.0.pointer("/metadata/finalizers")?.as_array());
    let hooks = before.into_iter().flatten().filter(|name| DELETION_HOOKS.iter().any(|(_, hook)| name == hook));
    if let Some(finalizers) = about.pointer_mut("/metadata/finalizers").and_then(Value::as_array_mut) {
        let more: Vec<Value> = hooks.filter(|hook| !finalizers.contains(hook)).cloned().collect();
        finalizers.extend(more);
    }
    about
}

/// Builds what `app get` shows of the Application, without parameters and values, which may be secret.
pub(super) fn application_summary(
    engine: &Services,
    member: &ResolvedApplication,
    revisions: &Revisions,
    objects: &[Object],
) -> Value {
    let Application { name, project, source, destination, sync_policy, .. } = &member.app;
    let host = &engine.root.location.url.host;
    let mut shown =
        member.app.all_sources().iter().zip(member.tracked.iter()).map(|(source, tracked)| match &tracked.repository {
            SourceRepository::Git(repo) => source_summary(&member.app, source, &format!("https://{host}/{repo}")),
            SourceRepository::Other(repository) => source_summary(&member.app, source, &repository.url().to_string()),
            SourceRepository::Chart(_) => source_summary(&member.app, source, &source.repo_url),
        });
    let (field, shown) = if member.app.sources.is_empty() {
        ("source", shown.next().unwrap_or_default())
    } else {
        ("sources", shown.collect())
    };
    let at = member.app.first_with_manifests();
    let repo = member.tracked.iter().nth(at).and_then(|tracked| tracked.git());
    let url = repo
        .zip(revisions.as_slice().get(at))
        .map(|(repo, commit)| format!("https://{host}/{repo}/tree/{commit}/{}", source.folder().unwrap_or_default()));
    let automated =
        sync_policy.is_automated().then(|| policy_of(&member.app).options.prune).map(|prune| json!({ "prune": prune }));
    let hooks: BTreeSet<HookType> = objects.iter().filter_map(annotations::deletion_hook).collect();
    let hooks = DELETION_HOOKS.iter().filter(|(hook, _)| hooks.contains(hook)).map(|(_, finalizer)| *finalizer);
    let finalizers: BTreeSet<&str> = member.app.finalizers.iter().map(String::as_str).chain(hooks).collect();
    let mut metadata =
        json!({ "name": name, "namespace": owner(engine, member).key.namespace, "finalizers": finalizers });
    let asks = member.app.annotation(skip::ANNOTATION).filter(|_| member.app.is_skipped);
    if let Some(fields) = metadata.as_object_mut() {
        let labels = member.app.object.pointer("/metadata/labels").and_then(Value::as_object);
        fields.extend(labels.map(|labels| ("labels".to_owned(), json!(labels))));
        fields.extend(asks.map(|value| ("annotations".to_owned(), json!({ skip::ANNOTATION: value }))));
    }
    json!({
        "metadata": metadata,
        "rootRevision": member.root,
        "spec": {
            "project": project,
            field: shown,
            "destination": { "server": destination.server, "name": destination.name,
                "namespace": destination.namespace },
            "syncPolicy": { "automated": automated },
        },
        "syncWindows": member.permit.windows(&member.app),
        "url": url,
    })
}

/// One source of `app`, as `app get` shows it.
fn source_summary(app: &Application, source: &Source, url: &str) -> Value {
    let mut shown = Map::from_iter([("repoURL".to_owned(), json!(url))]);
    let prefix = source.kustomize.as_ref().and_then(|kustomize| kustomize.name_prefix.as_ref());
    let files = source.helm.as_ref().and_then(|helm| helm.get("valueFiles"));
    let path = Some(&source.path).filter(|_| app.has_manifests(source) && source.chart.is_none());
    let fields = [
        ("chart", source.chart.as_ref().map(|chart| json!(chart))),
        ("path", path.map(|path| json!(path))),
        ("targetRevision", Some(json!(source.target_revision))),
        ("ref", source.reference.as_ref().map(|name| json!(name))),
        ("kustomize", prefix.map(|prefix| json!({ "namePrefix": prefix }))),
        ("helm", files.map(|files| json!({ "valueFiles": files }))),
    ];
    shown.extend(fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    Value::Object(shown)
}
