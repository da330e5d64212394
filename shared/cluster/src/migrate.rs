//! Takes over managed fields before an apply: of Argo CD and `kubectl apply`, and what others own of what Git gives up
//! ([`slipway_gitops::managed_fields::migrate`] has the rules).

use std::time::Duration;

use http::header::CONTENT_TYPE;
use serde_json::Value;
use slipway_gitops::error::{ApiError, Class, Failure, Verb};
use slipway_gitops::managed_fields::FIELD_MANAGER;
use slipway_gitops::managed_fields::migrate::{patch, whole_patch};
use slipway_manifest::Object;

use crate::connect::Cluster;
use crate::objects::{self, ObjectRef};

/// How often a take-over is tried when others write at the same time: a controller that follows a change writes several
/// times within a second.
const MAX_PATCH_ATTEMPTS: u32 = 8;
/// The wait after the first conflict; each further one is twice as long, up to a second.
const CONFLICT_BACKOFF: Duration = Duration::from_millis(40);

/// What is taken over, for which apply.
pub(crate) struct TakeOver<'a> {
    /// Where.
    pub(crate) place: &'a ObjectRef,
    /// What is applied.
    pub(crate) desired: &'a Object,
    /// Managers besides the usual two who lose all they have.
    pub(crate) more: &'a [String],
}

impl TakeOver<'_> {
    /// Moves the fields that we take over on `live` to our manager, and removes the last-applied annotation.
    ///
    /// Returns the resulting object; `None` where there was nothing to take over.
    pub(crate) async fn migrate(&self, cluster: &Cluster, live: &Object) -> Result<Option<Object>, Failure> {
        let taken = self.patch(cluster, live, Verb::TakeOver, patch, "").await?;
        Ok(taken.map(|(object, _)| object))
    }

    /// Predicts the result of taking over and applying on `live`, with the API server's warnings; `None` where there
    /// is nothing to take over.
    pub(crate) async fn dry_run(
        &self,
        cluster: &Cluster,
        live: &Object,
        validate: bool,
    ) -> Result<Option<(Object, Vec<String>)>, Failure> {
        let query = if validate { "&dryRun=All&fieldValidation=Strict" } else { "&dryRun=All&fieldValidation=Ignore" };
        self.patch(cluster, live, Verb::DryRun, whole_patch, query).await
    }

    /// Sends the patch that `patch` computes from `live`; after a conflict, the one for the present object.
    async fn patch(
        &self,
        cluster: &Cluster,
        live: &Object,
        verb: Verb,
        patch: fn(&Object, &Object, &[String]) -> Option<Value>,
        query: &str,
    ) -> Result<Option<(Object, Vec<String>)>, Failure> {
        let mut current = live.clone();
        for attempt in 1..=MAX_PATCH_ATTEMPTS {
            let Some(patch) = patch(&current, self.desired, self.more) else {
                return Ok((attempt > 1 && verb == Verb::TakeOver).then_some((current, Vec::new())));
            };
            match send(cluster, self.place, &patch, query).await {
                Ok(answer) => return Ok(Some(answer)),
                Err(error) if error.class == Class::Conflict && attempt < MAX_PATCH_ATTEMPTS => {
                    let delay = CONFLICT_BACKOFF.saturating_mul(2_u32.saturating_pow(attempt - 1));
                    tokio::time::sleep(delay.min(Duration::from_secs(1))).await;
                    match objects::get(cluster, self.place).await? {
                        Some(object) => current = object,
                        None => return Ok(None),
                    }
                }
                Err(error) => return Err(self.place.failed(verb)(error)),
            }
        }
        Ok(None)
    }
}

async fn send(
    cluster: &Cluster,
    place: &ObjectRef,
    patch: &Value,
    query: &str,
) -> Result<(Object, Vec<String>), ApiError> {
    let (request, name) = place.named()?;
    let url = format!("{}/{name}?fieldManager={FIELD_MANAGER}{query}", request.url_path);
    let body = serde_json::to_vec(patch).map_err(|e| ApiError::local(Class::Malformed, e.to_string()))?;
    let request = http::Request::patch(url)
        .header(CONTENT_TYPE, "application/json-patch+json")
        .body(body)
        .map_err(kube::core::request::Error::BuildRequest);
    let answer = cluster.send(request).await?;
    Ok((objects::object(answer.body)?, answer.warnings))
}
