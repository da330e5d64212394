//! Server-side apply: with [`crate::delete`] the only way by which an application's objects change.
//!
//! Every apply is forced and in the name of [`FIELD_MANAGER`], so Git wins over other hands; what others own of what
//! Git has or had is taken over first ([`slipway_gitops::managed_fields::migrate`]), so that what is removed in Git
//! really goes. What client-side apply would take is made fit for the server
//! ([`slipway_gitops::managed_fields::repair`]).

use std::sync::Arc;

use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use slipway_manifest::Object;

use crate::connect::Cluster;
use crate::migrate::TakeOver;
use crate::objects::{self, ObjectRef};
use crate::partial::{PartialObjectMetadata, WithoutManagedFields};
use slipway_gitops::api_resources::{ApiResource, GroupVersionKind};
use slipway_gitops::error::{ApiError, Class, Failure, Verb};
use slipway_gitops::managed_fields::subset::is_unchanged;
use slipway_gitops::managed_fields::{FIELD_MANAGER, body, record, repair};

/// How often a manifest is made fit for server-side apply: each time the API server may name more that it refuses.
const MAX_REPAIRS: usize = 16;

/// How to apply.
#[derive(Debug, Clone)]
pub struct Options {
    /// Ask for the result without changing anything.
    pub dry_run: bool,
    /// Refuse unknown and duplicate fields (`Validate=false` turns it off).
    pub validate: bool,
    /// Managers besides the usual two whose fields are taken over.
    pub migrate_managers: Vec<String>,
}

impl Default for Options {
    /// A real apply that validates and takes over from Argo CD and `kubectl apply`.
    fn default() -> Self {
        Self { dry_run: false, validate: true, migrate_managers: Vec::new() }
    }
}

/// What an apply did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// The object is new.
    Created,
    /// Something in it changed.
    Configured,
    /// It was so already.
    Unchanged,
}

impl Change {
    /// As kubectl says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        }
    }
}

/// The result of an apply. Prints as `Deployment/shop/web configured`.
#[derive(Debug, Clone)]
pub struct Applied {
    /// What happened.
    pub change: Change,
    /// The object as the API server has it now, or would have it. Where nothing was known to be live, it is without
    /// managedFields, and of a dry run nothing but its metadata.
    pub object: Object,
    /// What the API server warned of.
    pub warnings: Vec<String>,
}

impl std::fmt::Display for Applied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.object.id(), self.change.as_str())
    }
}

/// Applies `desired`, a `resource`; `live` is what is known to be in the cluster (`None`: nothing, or not known).
///
/// Sends nothing where `live` alone proves that nothing would change ([`slipway_gitops::managed_fields::subset`]).
/// Errors keep the API server's answer, but for what it says about a Secret.
pub async fn apply(
    cluster: &Cluster,
    resource: &Arc<ApiResource>,
    desired: &Object,
    live: Option<&Object>,
    options: &Options,
) -> Result<Applied, Failure> {
    if let Some(live) = live.filter(|live| is_unchanged(desired, live, &options.migrate_managers)) {
        return Ok(Applied { change: Change::Unchanged, object: live.clone(), warnings: Vec::new() });
    }
    let place = ObjectRef::of(resource, desired);
    let mut body = body::of(desired);
    let mut warnings = if options.validate { Vec::new() } else { unknown_in_secret(&mut body) };
    let mut before = live.cloned();
    if let Some(object) = live {
        let take_over = TakeOver { place: &place, desired, more: &options.migrate_managers };
        if options.dry_run {
            if let Some((object, told)) = take_over.dry_run(cluster, object, options.validate).await? {
                warnings.extend(told);
                return Ok(Applied { change: change(live, &object), object, warnings });
            }
        } else if let Some(taken) = take_over.migrate(cluster, object).await? {
            before = Some(taken);
        }
    }
    let verb = if options.dry_run { Verb::DryRun } else { Verb::Apply };
    let mut whole = None;
    for _ in 0..MAX_REPAIRS {
        match send(cluster, &place, &body, live.is_some(), options).await {
            // The rest of what could not be sent at once.
            Ok(_) if whole.is_some() && !options.dry_run => body = whole.take().unwrap_or(body),
            Ok((mut object, told)) => {
                warnings.extend(told);
                if let Some(whole) = &whole {
                    repair::put_back_empty(&mut object, whole);
                }
                return Ok(Applied { change: change(before.as_ref(), &object), object, warnings });
            }
            Err(error) => {
                let before = body.clone();
                if whole.is_none() && repair::leave_out_empty(&mut body, &error.message) {
                    whole = Some(before);
                    continue;
                }
                let repaired = repair::repair(&mut body, &error.message, !options.validate);
                if repaired.is_empty() {
                    return Err(place.failed(verb)(refine(error, &place)));
                }
                warnings.extend(repaired);
            }
        }
    }
    let source = ApiError::local(Class::Malformed, "it has too many unknown fields or duplicate entries");
    Err(place.failed(verb)(source))
}

/// Sends one apply of `body` with its record; gives the object and what the API server warned of.
async fn send(
    cluster: &Cluster,
    place: &ObjectRef,
    body: &Object,
    is_live: bool,
    options: &Options,
) -> Result<(Object, Vec<String>), ApiError> {
    let mut params = PatchParams::apply(FIELD_MANAGER).force();
    params.dry_run = options.dry_run;
    params = if options.validate { params.validation_strict() } else { params.validation_ignore() };
    let mut body = body.clone();
    record::write(&mut body);
    let (request, name) = place.named()?;
    let request = request.patch(&name, &params, &Patch::Apply(body.as_map()));
    let (body, warnings) = match (is_live, options.dry_run) {
        (true, _) => cluster.send(request).await?.into_parts(),
        (false, false) => cluster.send_for::<WithoutManagedFields>(request).await?.into_parts(),
        (false, true) => cluster.send_for::<PartialObjectMetadata>(request).await?.into_parts(),
    };
    Ok((objects::object(body)?, warnings))
}

/// Takes the fields out of a Secret that it does not have; gives what to warn of.
fn unknown_in_secret(body: &mut Object) -> Vec<String> {
    let told = |name: String| format!(".{name}: unknown field, which is dropped, as Validate=false asks for");
    body::drop_unknown(body).into_iter().map(told).collect()
}

/// A 404 of an apply is never about the object: apply makes what does not exist.
fn refine(mut error: ApiError, place: &ObjectRef) -> ApiError {
    if error.class == Class::NotFound {
        let of_namespace = place.resource.namespaced && error.message.contains("namespaces");
        error.class = if of_namespace { Class::MissingNamespace } else { Class::MissingKind };
    }
    error
}

/// What became of `before`: the API server keeps the resourceVersion of what did not change. A dry run that would
/// change something shows it in the fields, for its resourceVersion is the old one.
fn change(before: Option<&Object>, after: &Object) -> Change {
    match before {
        None if after.pointer("/metadata/generation").and_then(Value::as_u64).unwrap_or(1) <= 1 => Change::Created,
        Some(before) if before.pointer("/metadata/uid") != after.pointer("/metadata/uid") => Change::Created,
        Some(before) if slipway_gitops::diff::diff(before, after).is_empty() => Change::Unchanged,
        _ => Change::Configured,
    }
}

/// Makes namespace `name` with `labels` and `annotations` unless it exists: the sync option `CreateNamespace=true`.
///
/// An existing namespace only gets the metadata given. Gives whether it was made.
pub async fn create_namespace(
    cluster: &Cluster,
    name: &str,
    labels: &serde_json::Map<String, Value>,
    annotations: &serde_json::Map<String, Value>,
    options: &Options,
) -> Result<Applied, Failure> {
    let place = ObjectRef { resource: namespaces(), namespace: String::new(), name: name.to_owned() };
    let mut metadata = serde_json::Map::from_iter([("name".to_owned(), json!(name))]);
    for (key, value) in [("labels", labels), ("annotations", annotations)] {
        if !value.is_empty() {
            metadata.insert(key.to_owned(), Value::Object(value.clone()));
        }
    }
    let id = place.id();
    let unreadable = |error: slipway_manifest::ObjectError| Failure {
        id,
        verb: Verb::Create,
        source: ApiError::local(Class::Invalid, error.to_string()),
    };
    let desired = Object::from_value(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}))
        .map_err(unreadable)?;
    let live = objects::get(cluster, &place).await?;
    match live {
        Some(object) if labels.is_empty() && annotations.is_empty() => {
            Ok(Applied { change: Change::Unchanged, object, warnings: Vec::new() })
        }
        live => apply(cluster, &place.resource, &desired, live.as_ref(), options).await,
    }
}

/// Asks whether `desired` could be made if nothing of its name were there: a hook that is deleted before it is
/// re-created.
///
/// The API server judges a new object whole (admission, schema, fields) before it finds the name taken.
pub async fn dry_run_recreate(
    cluster: &Cluster,
    resource: &Arc<ApiResource>,
    desired: &Object,
    validate: bool,
) -> Result<Applied, Failure> {
    let place = ObjectRef::of(resource, desired);
    let mut body = body::of(desired);
    if !validate {
        unknown_in_secret(&mut body);
    }
    let post = async {
        let invalid = |error: &dyn std::fmt::Display| ApiError::local(Class::Malformed, error.to_string());
        let body = serde_json::to_vec(body.as_map()).map_err(|e| invalid(&e))?;
        let params = PostParams { dry_run: true, field_manager: Some(FIELD_MANAGER.to_owned()) };
        let mut request = place.request()?.create(&params, body).map_err(|e| invalid(&e))?;
        let strict = if validate { "Strict" } else { "Ignore" };
        *request.uri_mut() = format!("{}&fieldValidation={strict}", request.uri()).parse().map_err(|e| invalid(&e))?;
        match cluster.send(Ok(request)).await {
            Ok(answer) => Ok((objects::object(answer.body)?, answer.warnings)),
            Err(error) if error.class == Class::AlreadyExists => Ok((desired.clone(), Vec::new())),
            Err(error) => Err(error),
        }
    };
    let (object, warnings) = post.await.map_err(|error| place.failed(Verb::DryRun)(refine(error, &place)))?;
    Ok(Applied { change: Change::Created, object, warnings })
}

/// Replaces `live`, a `resource`, by `desired` as a whole: the sync option `Replace=true`.
///
/// Sends nothing but a dry run where nothing would change. The server refuses it if the object changed since `live`
/// was read.
pub async fn replace(
    cluster: &Cluster,
    resource: &Arc<ApiResource>,
    desired: &Object,
    live: &Object,
    dry_run: bool,
) -> Result<Applied, Failure> {
    let place = ObjectRef::of(resource, desired);
    let mut body = body::of(desired);
    record::write(&mut body);
    if let Some(version) = live.pointer("/metadata/resourceVersion") {
        body.metadata_mut().insert("resourceVersion".to_owned(), version.clone());
    }
    let put = async |dry_run| {
        let params = PostParams { dry_run, field_manager: Some(FIELD_MANAGER.to_owned()) };
        let bytes = serde_json::to_vec(body.as_map()).map_err(|e| ApiError::local(Class::Malformed, e.to_string()))?;
        let (request, name) = place.named()?;
        let answer = cluster.send(request.replace(&name, &params, bytes)).await?;
        Ok((objects::object(answer.body)?, answer.warnings))
    };
    let verb = if dry_run { Verb::DryRun } else { Verb::Replace };
    let failed = |error| place.failed(verb)(refine(error, &place));
    let (mut object, mut warnings) = put(true).await.map_err(failed)?;
    let change = change(Some(live), &object);
    if change != Change::Unchanged && !dry_run {
        (object, warnings) = put(false).await.map_err(failed)?;
    }
    Ok(Applied { change, object, warnings })
}

/// A kind every API server has.
pub fn namespaces() -> Arc<ApiResource> {
    built_in("", "Namespace", "namespaces", false)
}

/// A kind every API server has.
pub fn config_maps() -> Arc<ApiResource> {
    built_in("", "ConfigMap", "configmaps", true)
}

/// A kind every API server has.
pub(crate) fn secrets() -> Arc<ApiResource> {
    built_in("", "Secret", "secrets", true)
}

/// A kind every API server has.
pub fn storage_classes() -> Arc<ApiResource> {
    built_in("storage.k8s.io", "StorageClass", "storageclasses", false)
}

fn built_in(group: &str, kind: &str, plural: &str, namespaced: bool) -> Arc<ApiResource> {
    let verbs = ["create", "delete", "get", "list", "patch", "update", "watch"];
    Arc::new(ApiResource {
        gvk: GroupVersionKind { group: group.to_owned(), version: "v1".to_owned(), kind: kind.to_owned() },
        plural: plural.to_owned(),
        namespaced,
        verbs: verbs.into_iter().map(str::to_owned).collect(),
    })
}
