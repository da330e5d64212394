//! From an Application to what is applied: its commit fetched, its source rendered, its policy read.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use slipway_cluster::normalize::NormalizeError;
use slipway_cluster::state::AppKey;

use super::sync::{Job, Owner, Policy};
use crate::app::Application;
use crate::app::project::Denied;
use crate::clusters::ClusterError;
use crate::engine::Engine;
use crate::notify::subscribe::Subscriptions;
use crate::render::{self, RenderError, Rendered};
use crate::root::Member;
use crate::source::Checkouts;
use crate::source::github::GithubError;
use crate::source::verify::VerifyError;

/// Why an Application can't be brought to its commit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// GitHub did not give the commit.
    #[error(transparent)]
    Github(#[from] GithubError),
    /// The source needs files that the commit does not hold.
    #[error(transparent)]
    Source(#[from] VerifyError),
    /// The source can't be rendered.
    #[error("failed to render {app} at {revision}")]
    Render {
        /// The application.
        app: String,
        /// The commit.
        revision: String,
        /// The cause.
        #[source]
        source: Box<RenderError>,
    },
    /// What is to be ignored can't be understood.
    #[error(transparent)]
    Rules(#[from] NormalizeError),
    /// The destination can't be reached.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The project does not allow it.
    #[error(transparent)]
    Denied(#[from] Denied),
}

impl JobError {
    /// Whether the same may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Github(error) => error.is_retryable(),
            Self::Cluster(error) => error.is_retryable(),
            Self::Source(_) | Self::Render { .. } | Self::Denied(_) | Self::Rules(_) => false,
        }
    }
}

/// Fetches and renders `member` at the commit `revision`; gives the tool's name too. What its project refuses is not fetched.
pub async fn render(member: &Member, checkouts: &Checkouts, revision: &str) -> Result<(Rendered, String), JobError> {
    if let Some(denied) = &member.permit.denied {
        return Err(denied.clone().into());
    }
    let checkout = checkouts.get(&member.repo, revision).await?;
    checkout.special.check_folder(&member.app.source.path)?;
    let failed =
        |source| JobError::Render { app: member.instance(), revision: revision.to_owned(), source: Box::new(source) };
    let rendered = render::render(&checkout.tree, &member.app, revision).map_err(failed)?;
    let source_type = render::source_type(&checkout.tree, &member.app.source).map_err(|e| failed(e.into()))?;
    checkout.special.check_files(&rendered.files)?;
    Ok((rendered, format!("{source_type:?}")))
}

/// Whose objects an application's are.
pub fn owner(engine: &Engine, member: &Member) -> Owner {
    let Application { namespace, name, destination, .. } = &member.app;
    let namespace = if namespace.is_empty() { "argocd" } else { namespace };
    Owner {
        key: AppKey { root: engine.root.to_string(), namespace: namespace.to_owned(), name: name.clone() },
        instance: member.instance(),
        namespace: destination.namespace.clone(),
    }
}

/// Everything that it takes to bring `member` to the commit `revision`.
pub async fn prepare(engine: &Engine, checkouts: &Checkouts, member: &Member, revision: &str) -> Result<Job, JobError> {
    let (rendered, source_type) = render(member, checkouts, revision).await?;
    let app = &member.app;
    let destination = engine.clusters.get(&app.destination.server, &app.destination.name).await?;
    let mut warnings = app.warnings.clone();
    warnings.extend(rendered.warnings);
    Ok(Job {
        owner: owner(engine, member),
        destination,
        repo: member.repo.to_string(),
        revision: revision.to_owned(),
        objects: rendered.objects,
        warnings,
        policy: policy(app),
        source_type,
        permit: member.permit.clone(),
        rules: member.rules()?,
        checks: member.checks(),
        subscriptions: Subscriptions::of(&app.object),
        about: about(engine, member, revision),
    })
}

fn policy(app: &Application) -> Policy {
    let automated = app.sync_policy.automated;
    let map = |pairs: &BTreeMap<String, String>| -> Map<String, Value> {
        pairs.iter().map(|(key, value)| (key.clone(), json!(value))).collect()
    };
    let namespace = (map(&app.sync_policy.namespace_labels), map(&app.sync_policy.namespace_annotations));
    Policy {
        prune: automated.is_some_and(|automated| automated.prune),
        allow_empty: automated.is_some_and(|automated| automated.allow_empty),
        create_namespace: app.has_sync_option("CreateNamespace=true").then_some(namespace),
        validate: !app.has_sync_option("Validate=false"),
        prune_approved: app.annotation("slipway.dev/prune-approved").map(str::to_owned),
    }
}

/// What `app get` shows of the Application: no parameters and no values, which may be secret.
fn about(engine: &Engine, member: &Member, revision: &str) -> Value {
    let Application { name, project, source, destination, sync_policy, .. } = &member.app;
    let mut shown = json!({
        "repoURL": format!("https://{}/{}", engine.root.url.host, member.repo),
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
        sync_policy.is_automated().then(|| policy(&member.app).prune).map(|prune| json!({ "prune": prune }));
    json!({
        "metadata": { "name": name, "namespace": owner(engine, member).key.namespace },
        "spec": {
            "project": project,
            "source": shown,
            "destination": { "server": destination.server, "name": destination.name, "namespace": destination.namespace },
            "syncPolicy": { "automated": automated },
        },
        "syncWindows": member.permit.windows(&member.app),
        "url": format!("https://{}/{}/tree/{revision}/{}", engine.root.url.host, member.repo, source.path),
    })
}
