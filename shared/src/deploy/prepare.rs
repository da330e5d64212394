//! Prepares the sync of an Application: fetches its commit, renders its source, reads its sync policy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use slipway_budget::Budget;
use slipway_cluster::Cluster;
use slipway_cluster::state::{AppKey, State, StoredState};
use slipway_gitops::GroupVersionKind;
use slipway_gitops::annotations::{self, HookType};
use slipway_gitops::normalize::NormalizeError;
use slipway_gitops::prune_guard::Propagation;
use slipway_gitops::status::Initiator;
use slipway_gitops::sync::{NamespaceMetadata, Options, Prune};
use slipway_manifest::Object;
use slipway_manifest::names::{self, NameError};

use super::lookups::{self, LookupError};
use crate::app::project::Denied;
use crate::app::{Application, ProjectPermissions, skip};
use crate::clusters::{ClusterError, ConnectedCluster};
use crate::notify::subscribe::Subscriptions;
use crate::reconcile::notes::{ApplicationSummary, Note as _};
pub use crate::reconcile::sync::SyncRequest;
use crate::reconcile::sync::retry::Backoff;
use crate::reconcile::sync::{AppOwner, SyncPolicy};
use crate::render::{self, Context, RenderError, Rendered, SourceType};
use crate::root::ResolvedApplication;
use crate::services::Services;
use crate::source::github::GithubError;
use crate::source::verify::VerifyError;
use crate::source::{Checkouts, RepoUrl};

/// Argo CD's own finalizers for hooks of the deletion (argoproj/argo-cd
/// `pkg/apis/application/v1alpha1/application_defaults.go`).
const DELETION_HOOKS: [(HookType, &str); 2] = [
    (HookType::PreDelete, "pre-delete-finalizer.argocd.argoproj.io"),
    (HookType::PostDelete, "post-delete-finalizer.argocd.argoproj.io"),
];

/// Why an Application could not be prepared for a sync.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// GitHub did not return the commit.
    #[error(transparent)]
    Github(#[from] GithubError),
    /// The source needs files that the commit does not hold.
    #[error(transparent)]
    Source(#[from] VerifyError),
    /// The source can't be rendered.
    #[error("failed to render {app} at {revision}")]
    Render {
        /// The application's name.
        app: String,
        /// The commit's SHA.
        revision: String,
        /// The tool's error.
        #[source]
        source: Box<RenderError>,
    },
    /// A rendered object has no valid kind, name or namespace.
    #[error("failed to render {app} at {revision}")]
    Name {
        /// The application's name.
        app: String,
        /// The commit's SHA.
        revision: String,
        /// The object's error.
        #[source]
        source: Box<NameError>,
    },
    /// The cluster's facts could not be gathered for a chart.
    #[error("failed to render {app} at {revision}")]
    Facts {
        /// The application's name.
        app: String,
        /// The commit's SHA.
        revision: String,
        /// The error of the lookup.
        #[source]
        source: Box<LookupError>,
    },
    /// An `ignoreDifferences` rule is invalid.
    #[error(transparent)]
    Rules(#[from] NormalizeError),
    /// The destination cluster is unknown or unreachable.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The project does not allow it.
    #[error(transparent)]
    Denied(#[from] Denied),
}

impl PrepareError {
    /// Whether the same may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Github(error) => error.is_retryable(),
            Self::Cluster(error) => error.is_retryable(),
            Self::Facts { source, .. } => source.is_retryable(),
            Self::Source(_) | Self::Render { .. } | Self::Name { .. } | Self::Denied(_) | Self::Rules(_) => false,
        }
    }
}

/// The rendered objects of an application, and what the render depended on.
pub struct Render {
    /// Everything that the source renders to, hooks included.
    pub rendered: Rendered,
    /// Argo CD's name of the source type: `Kustomize`, `Helm`, `Directory`.
    pub source_type: String,
    /// The time of the first deployment, where a chart could use it.
    pub first: Option<Timestamp>,
}

/// Fetches and renders `member` at the commit `revision`. `destination` is the cluster's display name; `cluster`
/// answers the charts' lookups.
pub async fn render(
    engine: &Services,
    member: &ResolvedApplication,
    checkouts: &Checkouts,
    revision: &str,
    destination: &str,
    cluster: &Cluster,
) -> Result<Render, PrepareError> {
    allowed(member)?;
    let checkout = checkouts.get(&member.repo, revision).await?;
    let written = RepoUrl { host: engine.root.location.url.host.clone(), repo: member.repo.clone() };
    member.permit.refused_name(&written, &checkout.repo).map_or(Ok(()), Err)?;
    checkout.special.check_folder(&member.app.source.path)?;
    let failed = |source| PrepareError::Render {
        app: member.instance(),
        revision: revision.to_owned(),
        source: Box::new(source),
    };
    let unknown = |source| PrepareError::Facts {
        app: member.instance(),
        revision: revision.to_owned(),
        source: Box::new(source),
    };
    let source_type = render::source_type(&checkout.tree, &member.app.source).map_err(|e| failed(e.into()))?;
    member.permit.refused_tool(source_type.tool()).map_or(Ok(()), Err)?;
    let has_charts = match source_type {
        SourceType::Helm => true,
        SourceType::Kustomize => member.build.enable_helm,
        SourceType::Directory | SourceType::Plugin => false,
    };
    let mut context = Context { revision: revision.to_owned(), build: member.build, ..Context::default() };
    if has_charts {
        let owner = owner(engine, member);
        context.facts = Box::pin(lookups::gather(engine, &owner, destination, cluster)).await.map_err(unknown)?;
    }
    let mut warnings = Vec::new();
    let mut round = 1;
    let app = Arc::new(member.app.clone());
    let mut rendered = loop {
        let (checkout, app, inputs) = (Arc::clone(&checkout), Arc::clone(&app), context.clone());
        let work =
            move |budget: &Budget| render::render(&checkout.tree, &app, &Context { budget: budget.clone(), ..inputs });
        let rendered = render::in_background(checkouts.memory().render(), work).await.map_err(failed)?;
        let Some(need) = rendered.needs.first() else { break rendered };
        if round == lookups::MAX_LOOKUP_ROUNDS {
            return Err(unknown(LookupError::Endless { kind: need.kind.clone(), name: need.name.clone() }));
        }
        round += 1;
        warnings.extend(
            Box::pin(lookups::resolve_lookups(&mut context.facts, rendered.needs, member, cluster))
                .await
                .map_err(unknown)?,
        );
    };
    let nowhere =
        |source| PrepareError::Name { app: member.instance(), revision: revision.to_owned(), source: Box::new(source) };
    rendered.objects.iter().try_for_each(names::check).map_err(nowhere)?;
    warnings.extend(leave_out(&mut rendered.objects, &member.permit));
    rendered.objects.retain(|object| !member.permit.keeps_out(object));
    rendered.warnings.extend(warnings);
    checkout.special.check_files(&rendered.files)?;
    let first = has_charts.then_some(context.facts.now);
    Ok(Render { rendered, source_type: format!("{source_type:?}"), first })
}

/// Drops the kinds that `argocd-cm` excludes, as Argo CD does, with a warning for each kind.
fn leave_out(objects: &mut Vec<Object>, permit: &ProjectPermissions) -> Vec<String> {
    let mut kinds: BTreeMap<GroupVersionKind, (Denied, usize)> = BTreeMap::new();
    objects.retain(|object| {
        let Some(denied) = permit.excluded(object) else { return true };
        kinds.entry(GroupVersionKind::of(object)).or_insert((denied, 0)).1 += 1;
        false
    });
    let told = |(denied, count): (Denied, usize)| match count {
        1 => format!("{denied}; it is left out"),
        _ => format!("{denied}; it and {} more of its kind are left out", count - 1),
    };
    kinds.into_values().map(told).collect()
}

/// Names the application as the owner of its objects.
pub fn owner(engine: &Services, member: &ResolvedApplication) -> AppOwner {
    let (namespace, name) = member.identity();
    let key = AppKey { root: engine.root.location.to_string(), namespace, name };
    AppOwner { instance: key.instance(), key, namespace: member.app.destination.namespace.clone() }
}

/// Checks the project first: a source that the project refuses is neither fetched nor rendered.
fn allowed(member: &ResolvedApplication) -> Result<(), Denied> {
    member.permit.denied.clone().map_or(Ok(()), Err)
}

/// Builds the request that syncs `member` to the commit `revision`.
pub async fn prepare(
    engine: &Services,
    checkouts: &Checkouts,
    member: &ResolvedApplication,
    revision: &str,
) -> Result<SyncRequest, PrepareError> {
    allowed(member)?;
    let app = &member.app;
    let destination = engine.clusters.get(&app.destination.server, &app.destination.name).await?;
    let render = Box::pin(render(engine, member, checkouts, revision, &destination.name, &destination.cluster));
    let Render { rendered, source_type, first } = render.await?;
    let mut warnings = app.warnings.clone();
    warnings.extend(rendered.warnings);
    let subscriptions = Subscriptions::of(&app.object);
    warnings.extend(subscriptions.ignored.clone());
    let about = application_summary(engine, member, revision, &rendered.objects);
    Ok(SyncRequest {
        owner: owner(engine, member),
        destination,
        repo: member.repo.to_string(),
        revision: revision.to_owned(),
        spec_digest: engine.state_key().await.ok().and_then(|key| spec_digest(&key, app)),
        objects: rendered.objects,
        warnings,
        policy: policy_of(app),
        initiator: Initiator::automated(),
        resume_operation: None,
        source_type,
        permit: member.permit.clone(),
        rules: Arc::new(member.rules()?),
        checks: member.checks(),
        subscriptions,
        first_deployed_at: first,
        application: about,
    })
}

/// Tells one version of an Application's own manifest from another: its `spec` may hold values, so that the digest is
/// keyed. Its annotations count, too, because some approve of something.
pub(crate) fn spec_digest(key: &SecretString, app: &Application) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()).ok()?;
    let annotations = app.object.metadata().and_then(|metadata| metadata.get("annotations"));
    mac.update(json!([app.object.get("spec"), annotations]).to_string().as_bytes());
    Some(hex::encode(mac.finalize().into_bytes().get(..16)?))
}

/// What it takes to delete an application that has no hooks for that: what its state remembers, and what a member
/// allows where one is known.
pub fn for_deletion(
    recorded: &StoredState,
    destination: ConnectedCluster,
    member: Option<&ResolvedApplication>,
) -> SyncRequest {
    let StoredState { app: key, state, .. } = recorded;
    SyncRequest {
        owner: AppOwner { key: key.clone(), instance: key.instance(), namespace: String::new() },
        destination,
        repo: String::new(),
        revision: deployed(state),
        spec_digest: None,
        objects: Vec::new(),
        warnings: Vec::new(),
        policy: member.map(|member| policy_of(&member.app)).unwrap_or_default(),
        initiator: Initiator::automated(),
        resume_operation: None,
        source_type: state.status.source_type.clone(),
        first_deployed_at: None,
        permit: member.map_or_else(ProjectPermissions::allow_all, |member| member.permit.clone()),
        subscriptions: Subscriptions::default(),
        application: ApplicationSummary::of(state).map(|about| about.0).unwrap_or_default(),
        rules: Arc::default(),
        checks: member.map(ResolvedApplication::checks).unwrap_or_default(),
    }
}

/// Returns the commit that was last synced or tried; where there is none, the one that was last compared.
pub fn deployed(state: &State) -> String {
    let tried = Some(&state.attempt.revision).filter(|revision| !revision.is_empty());
    tried.unwrap_or(&state.status.sync.revision).clone()
}

/// Whether the last deployment has hooks for its deletion.
pub fn has_deletion_hooks(state: &State) -> bool {
    let about = ApplicationSummary::of(state);
    let finalizers = about.as_ref().and_then(|about| about.0.pointer("/metadata/finalizers")?.as_array());
    finalizers.into_iter().flatten().any(|name| DELETION_HOOKS.iter().any(|(_, finalizer)| name == finalizer))
}

/// What the Application asks for: `syncPolicy` and the annotations that approve of something.
pub fn policy_of(app: &Application) -> SyncPolicy {
    let automated = app.sync_policy.automated;
    let is = |option: &str| app.has_sync_option(option);
    let value = |key: &str| app.sync_policy.sync_options.iter().find_map(|option| option.strip_prefix(key));
    let map = |pairs: &BTreeMap<String, String>| -> Map<String, Value> {
        pairs.iter().map(|(key, value)| (key.clone(), json!(value))).collect()
    };
    let namespace = NamespaceMetadata {
        labels: map(&app.sync_policy.namespace_labels),
        annotations: map(&app.sync_policy.namespace_annotations),
    };
    let options = Options {
        prune: automated.is_some_and(|automated| automated.prune),
        prune_last: is("PruneLast=true"),
        default_prune: value("Prune=").map_or(Prune::Yes, Prune::of),
        force: is("Force=true"),
        replace: is("Replace=true"),
        no_validate: is("Validate=false"),
        server_side: is("ServerSideApply=true"),
        skip_dry_run_on_missing: is("SkipDryRunOnMissingResource=true"),
        create_namespace: is("CreateNamespace=true").then_some(namespace),
        ..Options::default()
    };
    SyncPolicy {
        options,
        allow_empty: automated.is_some_and(|automated| automated.allow_empty),
        out_of_sync_only: is("ApplyOutOfSyncOnly=true"),
        fail_on_shared_resource: is("FailOnSharedResource=true"),
        respect_ignore_differences: is("RespectIgnoreDifferences=true"),
        propagation: match (is("PrunePropagationPolicy=background"), is("PrunePropagationPolicy=orphan")) {
            (true, _) => Propagation::Background,
            (_, true) => Propagation::Orphan,
            _ => Propagation::Foreground,
        },
        retry: Backoff::of(app.sync_policy.retry.as_ref()),
        confirmed_at: app.annotation("argocd.argoproj.io/deletion-approved").and_then(|at| at.parse().ok()),
        prune_approved: app.annotation("slipway.dev/prune-approved").map(str::to_owned),
        orphan_on_delete: is("Delete=false"),
        confirms_deletion: is("Delete=confirm"),
        ..SyncPolicy::default()
    }
}

/// Builds what `app get` shows of an Application that is skipped, or was until now: its manifest, and which deletion
/// hooks the deployment in `state` has.
pub(super) fn skipped_summary(engine: &Services, member: &ResolvedApplication, state: &State) -> Value {
    let known = deployed(state);
    let revision = if known.is_empty() { member.revision() } else { &known };
    let mut about = application_summary(engine, member, revision, &[]);
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
fn application_summary(engine: &Services, member: &ResolvedApplication, revision: &str, objects: &[Object]) -> Value {
    let Application { name, project, source, destination, sync_policy, .. } = &member.app;
    let folder = source.folder().unwrap_or_default();
    let mut shown = json!({
        "repoURL": format!("https://{}/{}", engine.root.location.url.host, member.repo),
        "path": source.path,
        "targetRevision": source.target_revision,
    });
    let prefix = source.kustomize.as_ref().and_then(|kustomize| kustomize.name_prefix.as_ref());
    let files = source.helm.as_ref().and_then(|helm| helm.get("valueFiles"));
    if let Some(fields) = shown.as_object_mut() {
        fields.extend(prefix.map(|prefix| ("kustomize".to_owned(), json!({ "namePrefix": prefix }))));
        fields.extend(files.map(|files| ("helm".to_owned(), json!({ "valueFiles": files }))));
    }
    let automated =
        sync_policy.is_automated().then(|| policy_of(&member.app).options.prune).map(|prune| json!({ "prune": prune }));
    let hooks: BTreeSet<HookType> = objects.iter().filter_map(annotations::deletion_hook).collect();
    let hooks = DELETION_HOOKS.iter().filter(|(hook, _)| hooks.contains(hook)).map(|(_, finalizer)| *finalizer);
    let finalizers: BTreeSet<&str> = member.app.finalizers.iter().map(String::as_str).chain(hooks).collect();
    let mut metadata =
        json!({ "name": name, "namespace": owner(engine, member).key.namespace, "finalizers": finalizers });
    let asks = member.app.annotation(skip::ANNOTATION).filter(|_| member.app.is_skipped);
    if let Some(fields) = metadata.as_object_mut() {
        fields.extend(asks.map(|value| ("annotations".to_owned(), json!({ skip::ANNOTATION: value }))));
    }
    json!({
        "metadata": metadata,
        "rootRevision": member.root,
        "spec": {
            "project": project,
            "source": shown,
            "destination": { "server": destination.server, "name": destination.name,
                "namespace": destination.namespace },
            "syncPolicy": { "automated": automated },
        },
        "syncWindows": member.permit.windows(&member.app),
        "url": format!("https://{}/{}/tree/{revision}/{folder}", engine.root.location.url.host, member.repo),
    })
}
