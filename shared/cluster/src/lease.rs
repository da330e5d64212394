//! Acquires and renews the Lease of an application: one holder at a time. No clock is trusted: a waiter judges expiry
//! by the renewals that it observed itself.
//!
//! Guarantees: two holders never overlap, as long as a second lasts a second everywhere: a holder counts from before
//! its request, a waiter from after its observation, and the holder's requests end [`STOP_BEFORE_EXPIRY`] earlier. Each
//! takeover increments `leaseTransitions`.

#![warn(clippy::arithmetic_side_effects)]

use std::future::Future;
use std::time::Duration;

use futures::{Stream, StreamExt as _, pin_mut};
use http::header::CONTENT_TYPE;
use jiff::Timestamp;
use kube::api::{GetParams, PostParams, WatchParams};
use kube::core::Request;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::apply;
use crate::connect::{Cluster, Deadline, Event};
use crate::state::{AppKey, Newest};
use slipway_gitops::error::{ApiError, Class};
use slipway_gitops::identity::STATE_NAMESPACE;
use slipway_gitops::managed_fields::FIELD_MANAGER;

/// The time before expiry at which a holder stops, for requests that are still in flight.
pub const STOP_BEFORE_EXPIRY: Duration = Duration::from_secs(2);
/// Assumed duration of a Lease without one.
const UNSAID: Duration = Duration::from_secs(30);
/// Attempts when other workers write at the same time.
const MAX_CONFLICT_ATTEMPTS: usize = 16;
/// The annotation in which a worker that finds the Lease held leaves the revision that it wants to sync.
const PENDING_REQUEST: &str = "slipway.dev/wanted";
/// The annotation with the number of the last write of the state.
const NEWEST: &str = "slipway.dev/state-generation";
/// The annotation that remembers what was told of a state to which nothing may be written.
const REPORTED: &str = "slipway.dev/reported";

/// Why a Lease could not be acquired, renewed or released.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another worker holds the Lease now: the operation must stop.
    #[error("lost the lease of {app} to another worker")]
    Lost {
        /// `namespace/name` of the application.
        app: String,
    },
    /// The API server refused the request.
    #[error("failed to {verb} the lease of {app}")]
    Api {
        /// `acquire`, `renew` or `release`.
        verb: &'static str,
        /// `namespace/name` of the application.
        app: String,
        /// The API server's answer.
        #[source]
        source: ApiError,
    },
}

/// How to acquire a Lease.
#[derive(Debug, Clone)]
pub struct Options {
    /// The holder's identity, unique to the invocation.
    pub holder: String,
    /// Validity of a renewal, in whole seconds; well above [`STOP_BEFORE_EXPIRY`].
    pub duration: Duration,
    /// How long to wait for a holder that does not renew. Less than the holder's own duration means not to wait.
    pub expires_after: Duration,
    /// The revision to leave for a live holder.
    pub pending_request: String,
}

/// The result of acquiring.
pub enum Acquisition {
    /// The Lease is ours.
    Acquired(Box<Lease>),
    /// Another worker holds it, and the pending request was left there.
    Held {
        /// The holder's identity.
        holder: String,
    },
}

/// A held Lease.
pub struct Lease {
    cluster: Cluster,
    app: AppKey,
    holder: String,
    duration: Duration,
    transitions: u64,
    pending_request: Option<String>,
    deadline: Deadline,
    newest: Newest,
    written: Mutex<Written>,
}

/// Acquires the Lease of `app`.
///
/// A free Lease is taken. A held one is watched for the holder's duration, if `expires_after` allows: without a renewal
/// it is taken over. A live holder gets the pending request instead.
pub async fn acquire(cluster: &Cluster, app: &AppKey, options: &Options) -> Result<Acquisition, LockError> {
    let failed = |source| LockError::Api { verb: "acquire", app: display_name(app), source };
    let mut dead: Option<String> = None;
    for _ in 0..MAX_CONFLICT_ATTEMPTS {
        let asked = Instant::now();
        let Some(seen) = fetch(cluster, app).await.map_err(failed)? else {
            match create(cluster, app, options).await {
                Ok(made) => {
                    return Ok(Acquisition::Acquired(Box::new(lease(cluster, app, options, asked, made, None))));
                }
                Err(error) if error.class == Class::AlreadyExists => continue,
                Err(error) => return Err(failed(error)),
            }
        };
        if seen.holder.is_empty() || seen.holder == options.holder || dead.as_ref() == Some(&seen.version) {
            match take_over(cluster, app, options, &seen).await {
                Ok(taken) => {
                    let lease = lease(cluster, app, options, asked, taken, seen.kept.wanted);
                    return Ok(Acquisition::Acquired(Box::new(lease)));
                }
                Err(error) if error.class == Class::Conflict => continue,
                Err(error) => return Err(failed(error)),
            }
        }
        if options.expires_after >= seen.duration && is_expired(cluster, app, &seen).await.map_err(failed)? {
            dead = Some(seen.version);
            continue;
        }
        // The holder may have released it meanwhile: only a Lease that is still held keeps the request.
        let left = request_handover(cluster, app, &options.pending_request).await.map_err(failed)?;
        if !left.holder.is_empty() {
            return Ok(Acquisition::Held { holder: left.holder });
        }
    }
    Err(failed(ApiError::local(Class::Conflict, "others kept taking and releasing it")))
}

impl Lease {
    /// A connection whose requests end before the Lease expires, and with which an older state that was put back is
    /// recognised.
    pub fn cluster(&self) -> Cluster {
        self.cluster.holding(self.newest.clone(), self.deadline.clone())
    }

    /// Records in the Lease, with its next write, that `what` has been reported. Returns whether it is new: not what
    /// was reported last.
    pub async fn report_once(&self, what: &str) -> bool {
        let mut written = self.written.lock().await;
        let is_new = written.kept.reported.as_deref() != Some(what);
        written.kept.reported = Some(what.to_owned());
        is_new
    }

    /// The Lease's transitions; recorded in the state.
    pub fn transitions(&self) -> u64 {
        self.transitions
    }

    /// The request that was pending when the Lease was acquired.
    pub fn pending_request(&self) -> Option<&str> {
        self.pending_request.as_deref()
    }

    /// Time for which the Lease is certainly ours.
    pub fn remaining(&self) -> Duration {
        self.deadline.remaining()
    }

    /// Renews the Lease and extends the deadline of the requests bound to it.
    pub async fn renew(&self) -> Result<(), LockError> {
        let asked = Instant::now();
        self.write("renew", &self.holder).await?;
        self.deadline.extend_to(end(asked, self.duration));
        Ok(())
    }

    /// Runs `work` and keeps the Lease renewed; stops as soon as the Lease is lost.
    ///
    /// A renewal that fails otherwise is retried as long as the Lease is valid.
    pub async fn keep_renewed<T>(&self, work: impl Future<Output = T>) -> Result<T, LockError> {
        pin_mut!(work);
        loop {
            let renewal = self.duration.checked_div(3).unwrap_or_default().min(self.remaining());
            tokio::select! {
                done = &mut work => return Ok(done),
                () = tokio::time::sleep(renewal) => match self.renew().await {
                    Ok(()) => {}
                    Err(LockError::Api { .. }) if !self.remaining().is_zero() => {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                    Err(LockError::Api { .. }) => return Err(LockError::Lost { app: display_name(&self.app) }),
                    Err(lost) => return Err(lost),
                },
            }
        }
    }

    /// Releases the Lease; returns a request that was left meanwhile and has to be processed.
    pub async fn release(&self) -> Result<Option<String>, LockError> {
        self.write("release", "").await?;
        self.deadline.extend_to(Instant::now());
        Ok(self.written.lock().await.kept.wanted.clone())
    }

    /// Writes the Lease if it is still ours; a concurrent pending-request annotation is kept.
    async fn write(&self, verb: &'static str, holder: &str) -> Result<(), LockError> {
        let failed = |source| LockError::Api { verb, app: display_name(&self.app), source };
        let mut last = self.written.lock().await;
        for _ in 0..MAX_CONFLICT_ATTEMPTS {
            last.kept.newest = self.newest.get();
            let body = body(&self.app, holder, self.duration, self.transitions, Some(&last.version), &last.kept);
            match put(&self.cluster, &self.app, &body).await {
                Ok(seen) => {
                    last.version = seen.version;
                    return Ok(());
                }
                Err(error) if error.class == Class::Conflict => {
                    let seen = fetch(&self.cluster, &self.app).await.map_err(failed)?;
                    let ours = seen.filter(|seen| seen.holder == self.holder && seen.transitions == self.transitions);
                    let Some(seen) = ours else { return Err(LockError::Lost { app: display_name(&self.app) }) };
                    last.version = seen.version;
                    last.kept.wanted = seen.kept.wanted;
                }
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(ApiError::local(Class::Conflict, "others kept writing it")))
    }
}

/// The Lease as we last wrote it.
struct Written {
    version: String,
    kept: Kept,
}

/// What the annotations of a Lease keep from one holder to the next.
#[derive(Debug, Default)]
struct Kept {
    wanted: Option<String>,
    newest: u64,
    reported: Option<String>,
}

/// A Lease as observed.
#[derive(Debug)]
struct ObservedLease {
    holder: String,
    duration: Duration,
    renewed: String,
    transitions: u64,
    version: String,
    kept: Kept,
}

impl ObservedLease {
    fn read(body: &Value) -> Self {
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let number = |pointer: &str| body.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
        let annotation = |key: &str| {
            let value = text(&format!("/metadata/annotations/{}", key.replace('/', "~1")));
            Some(value).filter(|value| !value.is_empty())
        };
        Self {
            holder: text("/spec/holderIdentity"),
            // A Lease without a duration does not expire at once.
            duration: Some(number("/spec/leaseDurationSeconds")).filter(|n| *n > 0).map_or(UNSAID, Duration::from_secs),
            renewed: text("/spec/renewTime"),
            transitions: number("/spec/leaseTransitions"),
            version: text("/metadata/resourceVersion"),
            kept: Kept {
                wanted: annotation(PENDING_REQUEST),
                newest: annotation(NEWEST).and_then(|number| number.parse().ok()).unwrap_or_default(),
                reported: annotation(REPORTED),
            },
        }
    }
}

fn display_name(app: &AppKey) -> String {
    format!("{}/{}", app.namespace, app.name)
}

fn leases() -> Request {
    Request::new(format!("/apis/coordination.k8s.io/v1/namespaces/{STATE_NAMESPACE}/leases"))
}

fn lease(
    cluster: &Cluster,
    app: &AppKey,
    options: &Options,
    asked: Instant,
    made: ObservedLease,
    wanted: Option<String>,
) -> Lease {
    let newest = Newest::default();
    newest.raise(made.kept.newest);
    Lease {
        cluster: cluster.clone(),
        app: app.clone(),
        holder: options.holder.clone(),
        duration: options.duration,
        transitions: made.transitions,
        pending_request: wanted,
        deadline: Deadline::at(end(asked, options.duration)),
        newest,
        written: Mutex::new(Written { version: made.version, kept: made.kept }),
    }
}

/// The end of a holder's requests, when it `asked` for this duration.
fn end(asked: Instant, duration: Duration) -> Instant {
    asked.checked_add(duration.saturating_sub(STOP_BEFORE_EXPIRY)).unwrap_or(asked)
}

/// The Lease to write. Its times are informative: expiry is never derived from them.
fn body(app: &AppKey, holder: &str, duration: Duration, transitions: u64, version: Option<&str>, kept: &Kept) -> Value {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    let mut metadata = Map::from_iter([
        ("name".to_owned(), json!(app.object_name())),
        ("namespace".to_owned(), json!(STATE_NAMESPACE)),
    ]);
    metadata.insert("labels".to_owned(), json!({"app.kubernetes.io/managed-by": FIELD_MANAGER}));
    let mut annotations = Map::from_iter([("slipway.dev/application".to_owned(), json!(display_name(app)))]);
    let newest = Some(kept.newest).filter(|number| *number > 0).map(|number| number.to_string());
    let values = [(PENDING_REQUEST, &kept.wanted), (NEWEST, &newest), (REPORTED, &kept.reported)];
    annotations.extend(values.into_iter().filter_map(|(key, value)| Some((key.to_owned(), json!(value.as_ref()?)))));
    metadata.insert("annotations".to_owned(), annotations.into());
    if let Some(version) = version {
        metadata.insert("resourceVersion".to_owned(), json!(version));
    }
    json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": {
        "holderIdentity": holder, "leaseDurationSeconds": duration.as_secs().max(1), "renewTime": now,
            "leaseTransitions": transitions}})
}

async fn fetch(cluster: &Cluster, app: &AppKey) -> Result<Option<ObservedLease>, ApiError> {
    match cluster.send(leases().get(&app.object_name(), &GetParams::default())).await {
        Ok(answer) => Ok(Some(ObservedLease::read(&answer.body))),
        Err(error) if error.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

async fn create(cluster: &Cluster, app: &AppKey, options: &Options) -> Result<ObservedLease, ApiError> {
    let body = body(app, &options.holder, options.duration, 0, None, &Kept::default()).to_string().into_bytes();
    let post = || cluster.send(leases().create(&params(), body.clone()));
    let answer = match post().await {
        Err(error) if error.class == Class::MissingNamespace => {
            let (none, options) = (Map::new(), apply::Options::default());
            apply::create_namespace(cluster, STATE_NAMESPACE, &none, &none, &options)
                .await
                .map_err(|failure| failure.source)?;
            post().await?
        }
        answer => answer?,
    };
    Ok(ObservedLease::read(&answer.body))
}

async fn take_over(
    cluster: &Cluster,
    app: &AppKey,
    options: &Options,
    seen: &ObservedLease,
) -> Result<ObservedLease, ApiError> {
    // The request that was left is the new holder's.
    let kept = Kept { wanted: None, newest: seen.kept.newest, reported: seen.kept.reported.clone() };
    let transitions = seen.transitions.saturating_add(1);
    let body = body(app, &options.holder, options.duration, transitions, Some(&seen.version), &kept);
    put(cluster, app, &body).await
}

async fn put(cluster: &Cluster, app: &AppKey, body: &Value) -> Result<ObservedLease, ApiError> {
    let request = leases().replace(&app.object_name(), &params(), body.to_string().into_bytes());
    Ok(ObservedLease::read(&cluster.send(request).await?.body))
}

fn params() -> PostParams {
    PostParams { dry_run: false, field_manager: Some(FIELD_MANAGER.to_owned()) }
}

/// Writes the pending request to the Lease and nothing else; returns the resulting Lease.
async fn request_handover(cluster: &Cluster, app: &AppKey, wanted: &str) -> Result<ObservedLease, ApiError> {
    let url = format!("{}/{}?fieldManager={FIELD_MANAGER}", leases().url_path, app.object_name());
    let request = http::Request::patch(url)
        .header(CONTENT_TYPE, "application/merge-patch+json")
        .body(json!({"metadata": {"annotations": {PENDING_REQUEST: wanted}}}).to_string().into_bytes())
        .map_err(kube::core::request::Error::BuildRequest);
    Ok(ObservedLease::read(&cluster.send(request).await?.body))
}

/// Whether the holder of `seen` does not renew within its whole duration, watched from now on.
async fn is_expired(cluster: &Cluster, app: &AppKey, seen: &ObservedLease) -> Result<bool, ApiError> {
    let params = WatchParams::default().fields(&format!("metadata.name={}", app.object_name()));
    let events = cluster.watch::<Value>(leases().watch(&params, &seen.version)).await?;
    Ok(tokio::time::timeout(seen.duration, observe_renewal(events, seen)).await.is_err())
}

/// Ends at the first renewal, release or change of holder; a broken watch proves neither renewal nor silence.
async fn observe_renewal(events: impl Stream<Item = Result<Event<Value>, ApiError>>, seen: &ObservedLease) {
    pin_mut!(events);
    while let Some(Ok(event)) = events.next().await {
        match event {
            Event::Is(lease) => {
                let now = ObservedLease::read(&lease);
                if now.renewed != seen.renewed || now.holder != seen.holder {
                    return;
                }
            }
            Event::Gone(_) => return,
            Event::Bookmark => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_lease_says_of_its_times_can_be_counted_with() {
        for (duration, seconds) in [
            (json!(15), 15),
            (json!(0), 30),
            (json!(-1), 30),
            (json!(1.5), 30),
            (json!(1e300), 30),
            (json!("15"), 30),
            (Value::Null, 30),
            (json!(u64::MAX), u64::MAX),
        ] {
            let spec =
                json!({"holderIdentity": "other", "leaseDurationSeconds": duration, "leaseTransitions": u64::MAX});
            let seen = ObservedLease::read(&json!({"spec": spec}));
            assert_eq!(seen.duration.as_secs(), seconds, "{duration}");
            let app = AppKey { root: String::new(), namespace: String::new(), name: "a".to_owned() };
            let body = body(&app, "me", seen.duration, seen.transitions.saturating_add(1), None, &seen.kept);
            assert_eq!(body["spec"]["leaseTransitions"], json!(u64::MAX));
            let now = Instant::now();
            assert!(end(now, seen.duration) >= now);
        }
    }
}
