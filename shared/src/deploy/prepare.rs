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
use slipway_cluster::state::{AppKey, State, StateError, StoredState};
use slipway_gitops::annotations::HookType;
use slipway_gitops::normalize::NormalizeError;
use slipway_gitops::prune_guard::Propagation;
use slipway_gitops::status::{Initiator, SourceTypes};
use slipway_gitops::sync::{NamespaceMetadata, Options, Prune};
use slipway_gitops::{GroupVersionKind, Redactor, Revisions};
use slipway_manifest::names::{self, NameError};
use slipway_manifest::{Object, Tree};
use slipway_sops::{DecryptedFiles, EncryptedFiles};

use super::charts::AppCharts;
use super::children;
use super::files::SourceFiles;
use super::inputs;
use super::lookups::{self, LookupError};
use super::remotes::AppRemotes;
use super::summary::application_summary;
use crate::app::project::{DECRYPT, Denied};
use crate::app::{Application, ProjectPermissions, Source};
use crate::clusters::{ClusterError, ConnectedCluster};
use crate::error::chain;
use crate::notify::subscribe::Subscriptions;
use crate::reconcile::notes::{ApplicationSummary, ChartDigests, Note as _, RemoteVersions};
pub use crate::reconcile::sync::SyncRequest;
use crate::reconcile::sync::retry::Backoff;
use crate::reconcile::sync::{AppOwner, SyncPolicy};
use crate::render::{self, Context, RenderError, Rendered, SourceType};
use crate::root::tracked::SourceRepository;
use crate::root::{ResolvedApplication, first_manifest};
use crate::services::Services;
use crate::source::decrypt::{DecryptError, Decryption};
use crate::source::lfs::{LfsFiles, MAX_LFS_OBJECTS};
use crate::source::placeholders::SecretsError;
use crate::source::verify::VerifyError;
use crate::source::{Checkouts, RepoUrl, SourceError};

/// Argo CD's own finalizers for hooks of the deletion (argoproj/argo-cd
/// `pkg/apis/application/v1alpha1/application_defaults.go`).
pub(super) const DELETION_HOOKS: [(HookType, &str); 2] = [
    (HookType::PreDelete, "pre-delete-finalizer.argocd.argoproj.io"),
    (HookType::PostDelete, "post-delete-finalizer.argocd.argoproj.io"),
];

/// Why an Application could not be prepared for a sync.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// The repository did not return what a source follows.
    #[error(transparent)]
    Fetch(#[from] SourceError),
    /// A version of a chart is not what it was.
    #[error(
        "failed to render {app}: {chart} was sha256:{recorded} when it was deployed and is sha256:{found} now: a \
         version's content must not change; see who changed it, and deploy another version by `targetRevision`"
    )]
    ChartChanged {
        /// The application's name.
        app: String,
        /// The chart and its version.
        chart: String,
        /// The digest of what was deployed.
        recorded: String,
        /// The digest of what the repository has.
        found: String,
    },
    /// The state, which has the digests of the charts that were deployed, could not be read.
    #[error("failed to read which charts were deployed")]
    State(#[from] Box<StateError>),
    /// The source needs files that the commit does not hold.
    #[error(transparent)]
    Source(#[from] VerifyError),
    /// The commits are of other sources than the Application has.
    #[error("failed to render {app}: the commits {at} are of other sources than it has now")]
    OtherSources {
        /// The application's name.
        app: String,
        /// The commits.
        at: String,
    },
    /// A source can't be rendered.
    #[error("failed to render {app} at {at}")]
    Render {
        /// The application's name.
        app: String,
        /// The commit, and which repository's where there are several.
        at: String,
        /// The tool's error.
        #[source]
        source: Box<RenderError>,
    },
    /// Files of a source could not be decrypted.
    #[error("failed to render {app}: failed to decrypt `{file}`")]
    Decrypt {
        /// The application's name.
        app: String,
        /// The first of them.
        file: String,
        /// The cause.
        #[source]
        source: Box<DecryptError>,
    },
    /// The secrets of placeholders could not be read.
    #[error("failed to replace the placeholders of {app}")]
    Secrets {
        /// The application's name.
        app: String,
        /// The cause.
        #[source]
        source: Box<SecretsError>,
    },
    /// A rendered object has no valid kind, name or namespace.
    #[error("failed to render {app} at {at}")]
    Name {
        /// The application's name.
        app: String,
        /// The commit, as of [`PrepareError::Render`].
        at: String,
        /// The object's error.
        #[source]
        source: Box<NameError>,
    },
    /// The cluster's facts could not be gathered for a chart.
    #[error("failed to render {app}")]
    Facts {
        /// The application's name.
        app: String,
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
            Self::Fetch(error) => error.is_retryable(),
            Self::State(error) => error.is_retryable(),
            Self::Cluster(error) => error.is_retryable(),
            Self::Facts { source, .. } => source.is_retryable(),
            Self::Decrypt { source, .. } => source.is_retryable(),
            Self::Secrets { source, .. } => source.is_retryable(),
            Self::Source(_)
            | Self::OtherSources { .. }
            | Self::ChartChanged { .. }
            | Self::Render { .. }
            | Self::Name { .. }
            | Self::Denied(_)
            | Self::Rules(_) => false,
        }
    }
}

/// The rendered objects of an application, and what the render depended on.
pub struct Render {
    /// Everything that the sources render to, hooks included, in the order of the sources.
    pub objects: Vec<Object>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
    /// The declarations of Argo CD among what the sources render to, which stay out of the cluster.
    pub declared: Vec<Object>,
    /// How the objects were rendered.
    pub source_types: SourceTypes,
    /// The time of the first deployment, where a chart could use it.
    pub first: Option<Timestamp>,
    /// Whether a chart looked objects of the cluster up.
    pub has_lookups: bool,
    /// The digests of the charts of Helm repositories.
    pub charts: ChartDigests,
    /// The versions of remote bases and files.
    pub remotes: RemoteVersions,
    /// Values that were encrypted in Git, to be hidden in whatever is said of the objects.
    pub decrypted: BTreeSet<String>,
}

/// Fetches and renders every source of `member`, each at its commit of `revisions`. `destination` is the cluster's
/// display name; `cluster` answers the charts' lookups.
pub async fn render(
    engine: &Services,
    member: &ResolvedApplication,
    checkouts: &Checkouts,
    revisions: &Revisions,
    destination: &str,
    cluster: &Cluster,
) -> Result<Render, PrepareError> {
    allowed(member)?;
    let tracked = member.tracked.at(revisions);
    let tracked =
        tracked.ok_or_else(|| PrepareError::OtherSources { app: member.instance(), at: revisions.short() })?;
    let (mut files, mut references) = (Vec::new(), BTreeMap::new());
    for (source, (tracked, revision)) in member.app.all_sources().iter().zip(tracked) {
        let found = Box::pin(SourceFiles::fetch(checkouts, tracked, revision)).await?;
        if let SourceFiles::Commit(checkout) = &found {
            if let SourceRepository::Git(repo) = &tracked.repository {
                let written = RepoUrl { host: engine.root.location.url.host.clone(), repo: repo.clone() };
                member.permit.refused_name(&written, &checkout.repo).map_or(Ok(()), Err)?;
            }
            references.extend(source.reference.clone().map(|reference| (reference, Arc::clone(checkout))));
        }
        files.push((source, found));
    }
    let digests = ChartDigests(files.iter().filter_map(|(_, files)| files.digest()).collect());
    let (app, fetched) = (owner(engine, member), Vec::new());
    let mut decrypted = BTreeSet::new();
    let mut charts = AppCharts { member, checkouts, revisions, owner: app, cluster, digests, fetched };
    let with_manifests = files.iter().filter(|(source, _)| member.app.has_manifests(source));
    let host = &engine.root.location.url.host;
    let mut remotes = AppRemotes::new((member, owner(engine, member)), checkouts, revisions, (cluster, host));
    let sources: Vec<(Application, &SourceFiles)> =
        member.app.per_source().into_iter().zip(with_manifests.map(|(_, files)| files)).collect();
    let mut types = Vec::new();
    for (app, files) in &sources {
        files.check_folder(&app.source.path)?;
        let found = render::source_type(files.tree(), &app.source);
        let found = found.map_err(|error| failed(member, files, error.into()))?;
        member.permit.refused_tool(found.tool()).map_or(Ok(()), Err)?;
        types.push(found);
    }
    let mut context = Context { build: member.build, references, ..Context::default() };
    let has_charts = types.iter().any(|found| match found {
        SourceType::Helm => true,
        SourceType::Kustomize => member.build.enable_helm,
        SourceType::Directory | SourceType::Plugin => false,
    });
    if has_charts {
        let (owner, unknown) = (owner(engine, member), |source| PrepareError::Facts { app: member.instance(), source });
        let facts = Box::pin(lookups::gather(engine, &owner, destination, cluster)).await;
        context.facts = facts.map_err(|error| unknown(Box::new(error)))?;
    }
    let (mut objects, mut warnings) = (Vec::new(), Vec::new());
    for (app, files) in sources {
        context.decrypted = DecryptedFiles::default();
        let rendered = render_source(&engine.decryption, app, files, (&mut charts, &mut remotes), &mut context);
        let rendered = Box::pin(rendered).await?;
        decrypted.append(&mut context.decrypted.values);
        objects.extend(rendered.objects);
        warnings.extend(rendered.warnings);
    }
    Box::pin(charts.check()).await?;
    warnings.extend(leave_out(&mut objects, &member.permit));
    let (declared, objects): (Vec<Object>, Vec<Object>) =
        objects.into_iter().partition(|object| member.permit.keeps_out(object));
    let mut types = types.into_iter().map(|found| format!("{found:?}"));
    let source_types = if member.app.sources.is_empty() {
        SourceTypes { source_type: types.next().unwrap_or_default(), ..SourceTypes::default() }
    } else {
        let name = |(source, _): &(&Source, _)| {
            if member.app.has_manifests(source) { types.next() } else { None }.unwrap_or_default()
        };
        SourceTypes { source_types: files.iter().map(name).collect(), ..SourceTypes::default() }
    };
    let first = has_charts.then_some(context.facts.now);
    let has_lookups = !context.facts.lookups.is_empty();
    let (charts, remotes) = (charts.digests, remotes.versions);
    Ok(Render { objects, warnings, declared, source_types, first, has_lookups, charts, remotes, decrypted })
}

/// Renders one source: `app` has it as its only one. What charts look up is added to the facts of `context`; charts and
/// remote bases that it needs are fetched, and their digests and commits noted.
async fn render_source(
    decryption: &Decryption,
    app: Application,
    files: &SourceFiles,
    (charts, remotes): (&mut AppCharts<'_>, &mut AppRemotes<'_>),
    context: &mut Context,
) -> Result<Rendered, PrepareError> {
    let AppCharts { member, cluster, checkouts, .. } = *charts;
    let limits = checkouts.memory().render();
    let unknown = |source| PrepareError::Facts { app: member.instance(), source: Box::new(source) };
    files.revision().clone_into(&mut context.revision);
    let (mut warnings, mut round, app) = (Vec::new(), 1, Arc::new(app));
    let mut all = Arc::clone(files.tree());
    charts.fetched.clear();
    context.remotes.clear();
    // Those that are on the root's host are fetched where something reads them.
    let is_github = app.source.repo_url.parse::<RepoUrl>().is_ok_and(|url| url.host == remotes.asking.host);
    let mut lfs = LfsFiles::default();
    let mut rendered = loop {
        let (tree, one, inputs) = (Arc::clone(&all), Arc::clone(&app), context.clone());
        let work = move |budget: &Budget| render::render(&tree, &one, &Context { budget: budget.clone(), ..inputs });
        let rendered = match render::in_background(limits, work).await {
            Ok(rendered) => rendered,
            Err(error) => {
                let below = files.lfs_below(&app.source.path);
                let wanted = files.lfs(below.iter().filter(|path| is_github && !lfs.files.contains_key(*path)));
                if let Some((repo, pointers)) = wanted.filter(|(_, pointers)| pointers.len() <= MAX_LFS_OBJECTS) {
                    all = Arc::new(add_lfs(&all, Box::pin(checkouts.lfs(repo, &pointers)).await?, &mut lfs)?);
                    continue;
                }
                let missing = charts.missing(&error, &all).map_err(|error| failed(member, files, error))?;
                if !missing.is_empty() {
                    all = Arc::new(Box::pin(charts.add(&all, missing)).await?);
                    continue;
                }
                let Some((tree, places)) = Box::pin(remotes.add(&error, &all, context, &app)).await? else {
                    return Err(failed(member, files, masked(error, &context.decrypted)));
                };
                (all, context.remotes) = (Arc::new(tree), places);
                continue;
            }
        };
        if !rendered.encrypted.is_empty() {
            allows_decryption(member, &rendered.encrypted).map_err(|error| failed(member, files, error))?;
            let plain = Box::pin(decryption.decrypt(&rendered.encrypted, limits)).await;
            let plain = plain.map_err(|(file, error)| PrepareError::Decrypt {
                app: member.instance(),
                file,
                source: Box::new(error),
            })?;
            context.decrypted.files.extend(plain.files);
            context.decrypted.values.extend(plain.values);
            continue;
        }
        let wanted = files.lfs(rendered.files.iter().filter(|path| is_github && !lfs.files.contains_key(*path)));
        if let Some((repo, pointers)) = wanted {
            all = Arc::new(add_lfs(&all, Box::pin(checkouts.lfs(repo, &pointers)).await?, &mut lfs)?);
            continue;
        }
        let Some(need) = rendered.needs.first() else { break rendered };
        if round == lookups::MAX_LOOKUP_ROUNDS {
            return Err(unknown(LookupError::Endless { kind: need.kind.clone(), name: need.name.clone() }));
        }
        round += 1;
        let found = Box::pin(lookups::resolve_lookups(&mut context.facts, rendered.needs, member, cluster)).await;
        warnings.extend(found.map_err(unknown)?);
    };
    Box::pin(fill_placeholders(decryption, member, files, (&app, &mut rendered), context)).await?;
    let nowhere = |source| PrepareError::Name {
        app: member.instance(),
        at: rendered_at(member, files),
        source: Box::new(source),
    };
    rendered.objects.iter().try_for_each(names::check).map_err(nowhere)?;
    let read = rendered.files.iter().filter(|path| !lfs.files.contains_key(*path)).cloned().collect();
    files.check_files(&read)?;
    remotes.check(&rendered)?;
    rendered.warnings.extend(warnings);
    Ok(rendered)
}

/// `tree` with the files that were `fetched` from Git LFS, which are noted in `lfs`.
fn add_lfs(tree: &Tree, fetched: LfsFiles, lfs: &mut LfsFiles) -> Result<Tree, PrepareError> {
    let mut tree = tree.clone();
    for (path, bytes) in &fetched.files {
        tree.insert(path, Arc::clone(bytes)).map_err(VerifyError::Tree)?;
    }
    lfs.extend(fetched);
    Ok(tree)
}

/// Checks that the project lets its Applications have files decrypted: whoever may name a file of the repository in an
/// Application would read what is in it otherwise.
fn allows_decryption(member: &ResolvedApplication, encrypted: &EncryptedFiles) -> Result<(), RenderError> {
    let Some(project) = member.permit.refuses_decryption() else { return Ok(()) };
    let why = format!("AppProject `{project}` does not let it be decrypted: annotate it with `{DECRYPT}: sops`");
    Err(RenderError::Encrypted { files: encrypted.keys().cloned().collect(), why })
}

/// Replaces the placeholders of argocd-vault-plugin, where the project lets it: whoever may write one would read the
/// secret otherwise. Without its leave they stay as they are, but for a source that names the plugin.
async fn fill_placeholders(
    decryption: &Decryption,
    member: &ResolvedApplication,
    files: &SourceFiles,
    (app, rendered): (&Application, &mut Rendered),
    context: &mut Context,
) -> Result<(), PrepareError> {
    let wrong = |error| failed(member, files, error);
    if let Err(project) = member.permit.fills() {
        let Some(plugin) = &app.source.plugin else { return Ok(()) };
        let why = format!(
            "AppProject `{project}` does not let the placeholders of `{}` be replaced: annotate it with \
             `{DECRYPT}: placeholders`",
            plugin.get("name").and_then(Value::as_str).unwrap_or_default()
        );
        return Err(wrong(RenderError::Plugin(why)));
    }
    let needed = render::needed(&rendered.objects);
    if needed.is_empty() {
        return Ok(());
    }
    let found = Box::pin(decryption.secret_values(&needed)).await;
    let found = found.map_err(|error| PrepareError::Secrets { app: member.instance(), source: Box::new(error) })?;
    let secret = render::fill(&mut rendered.objects, &found).map_err(|error| wrong(error.into()))?;
    context.decrypted.values.extend(secret);
    Ok(())
}

/// `error` without values that were encrypted.
fn masked(error: RenderError, decrypted: &DecryptedFiles) -> RenderError {
    if decrypted.values.is_empty() {
        return error;
    }
    RenderError::WithDecrypted(Redactor::default().and_texts(&decrypted.values).redact(&chain(&error)).into_owned())
}

fn failed(member: &ResolvedApplication, files: &SourceFiles, source: RenderError) -> PrepareError {
    PrepareError::Render { app: member.instance(), at: rendered_at(member, files), source: Box::new(source) }
}

/// The commit of a source for messages; with its repository where that is a Helm repository, or the Application has
/// several sources.
fn rendered_at(member: &ResolvedApplication, files: &SourceFiles) -> String {
    match files {
        SourceFiles::Commit(checkout) if member.app.sources.is_empty() => checkout.sha.clone(),
        _ => files.to_string(),
    }
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

/// Builds the request that syncs `member` to the commits `revisions`, one for each of its sources.
pub async fn prepare(
    engine: &Services,
    checkouts: &Checkouts,
    member: &ResolvedApplication,
    revisions: &Revisions,
) -> Result<SyncRequest, PrepareError> {
    allowed(member)?;
    let app = &member.app;
    let destination = engine.clusters.get(&app.destination.server, &app.destination.name).await?;
    let render = Box::pin(render(engine, member, checkouts, revisions, &destination.name, &destination.cluster));
    let Render { objects, warnings: rendered, declared, source_types, first, has_lookups, charts, remotes, decrypted } =
        render.await?;
    let redactor = destination.cluster.redactor().and_texts(&decrypted);
    let destination = ConnectedCluster { cluster: destination.cluster.redacting(redactor), ..destination };
    let mut policy = policy_of(app);
    // The Applications that it declares are its objects in Argo CD: it is not empty.
    policy.allow_empty |= !declared.is_empty();
    let mut warnings = app.warnings.clone();
    warnings.extend(rendered);
    let subscriptions = Subscriptions::of(&app.object);
    warnings.extend(subscriptions.ignored.clone());
    let about = application_summary(engine, member, revisions, &objects);
    let keys = engine.state_keys().await.ok();
    let inputs_digest = match &keys {
        // What the cluster answers is another input, which may change any time.
        Some(keys) if !has_lookups => {
            let digests = inputs::digests((&engine.root.location, keys), member, checkouts, revisions).await?;
            digests.into_iter().next()
        }
        _ => None,
    };
    // Without a secret, every reader of the state could open it.
    let key = keys.as_ref().filter(|_| engine.has_state_secret()).map(|keys| &keys.current);
    let first_manifest = match first_manifest::of(member, &owner(engine, member).key, key) {
        Ok(sealed) => sealed,
        Err(warning) => {
            warnings.push(warning);
            None
        }
    };
    let declared = Box::pin(children::rows(engine, member, &declared)).await;
    Ok(SyncRequest {
        owner: owner(engine, member),
        destination,
        repos: member.tracked.iter().map(|source| source.repository.to_string()).collect(),
        reported: member.app.first_with_manifests(),
        revisions: revisions.clone(),
        spec_digest: keys.and_then(|keys| spec_digest(&keys.current, app)),
        inputs_digest,
        objects,
        warnings,
        policy,
        initiator: Initiator::automated(),
        resume_operation: None,
        source_types,
        permit: member.permit.clone(),
        rules: Arc::new(member.rules()?),
        checks: member.checks(),
        subscriptions,
        first_deployed_at: first,
        listings: member.listings.clone(),
        first_manifest,
        declared,
        charts,
        remotes,
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
        repos: Vec::new(),
        reported: 0,
        revisions: deployed(state),
        spec_digest: None,
        inputs_digest: None,
        objects: Vec::new(),
        warnings: Vec::new(),
        policy: member.map(|member| policy_of(&member.app)).unwrap_or_default(),
        initiator: Initiator::automated(),
        resume_operation: None,
        source_types: state.status.source_types.clone(),
        first_deployed_at: None,
        listings: None,
        first_manifest: None,
        declared: Vec::new(),
        charts: ChartDigests::default(),
        remotes: RemoteVersions::default(),
        permit: member.map_or_else(ProjectPermissions::allow_all, |member| member.permit.clone()),
        subscriptions: Subscriptions::default(),
        application: ApplicationSummary::of(state).map(|about| about.0).unwrap_or_default(),
        rules: Arc::default(),
        checks: member.map(ResolvedApplication::checks).unwrap_or_default(),
    }
}

/// Returns the commits that were last synced or tried; where there are none, those that were last compared.
pub fn deployed(state: &State) -> Revisions {
    let tried = Some(&state.attempt.revisions).filter(|revisions| !revisions.is_empty());
    tried.unwrap_or(&state.status.sync.revisions).clone()
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
