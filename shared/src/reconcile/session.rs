//! Holds the Lease of an application while its state is read, worked with and written.

use std::time::Duration;

use slipway_cluster::Cluster;
use slipway_cluster::lease::{self, Acquisition, Lease, LockError};
use slipway_cluster::state::{self, AppKey, State, StateError, StoredState};

use crate::error::chain;

/// How long a renewal of the Lease lasts, unless a sync says otherwise: a worker that died is taken over from after
/// that.
pub const LEASE_DURATION: Duration = Duration::from_secs(30);

/// Holds the application: no other worker writes its state meanwhile.
pub struct Session {
    lease: Box<Lease>,
    key: AppKey,
}

/// Whether a session began.
pub enum Opened {
    /// The Lease is ours until [`Session::close`].
    Ours(Session),
    /// This holder is at work on the application.
    HeldBy(String),
}

/// Why the work of a session came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The Lease could not be had, or was lost.
    #[error(transparent)]
    Lock(#[from] Box<LockError>),
    /// The state could not be read or written.
    #[error(transparent)]
    State(#[from] Box<StateError>),
}

impl From<StateError> for SessionError {
    fn from(error: StateError) -> Self {
        Self::State(Box::new(error))
    }
}

impl From<LockError> for SessionError {
    fn from(error: LockError) -> Self {
        Self::Lock(Box::new(error))
    }
}

/// Whether it was not told yet that the state of `key` is `unusable`: that is what the Lease remembers, in the name of
/// `holder`, until somebody writes the state.
pub async fn is_news(cluster: &Cluster, key: &AppKey, holder: &str, unusable: &StateError) -> bool {
    let (StateError::Forged { version, .. } | StateError::Damaged { version, .. }) = unusable else { return true };
    match Session::open(cluster, key, holder).await {
        Ok(Opened::Ours(session)) => {
            let is_news = session.report_once(version).await;
            session.close().await;
            is_news
        }
        // Who is at work on it meets the same state.
        Ok(Opened::HeldBy(_)) => false,
        Err(error) => {
            tracing::warn!(app = key.instance(), error = chain(&error), "failed to remember what was told");
            true
        }
    }
}

impl Session {
    /// Acquires the Lease of `key` in the name of `holder`, without waiting for another holder and without asking
    /// for anything.
    pub async fn open(cluster: &Cluster, key: &AppKey, holder: &str) -> Result<Opened, LockError> {
        let options = lease::Options {
            holder: holder.to_owned(),
            duration: LEASE_DURATION,
            expires_after: Duration::ZERO,
            pending_request: String::new(),
        };
        Self::acquire(cluster, key, &options).await
    }

    /// Acquires the Lease of `key`; where another holds it, `options.pending_request` is left with them.
    pub async fn acquire(cluster: &Cluster, key: &AppKey, options: &lease::Options) -> Result<Opened, LockError> {
        Ok(match lease::acquire(cluster, key, options).await? {
            Acquisition::Acquired(lease) => Opened::Ours(Self { lease, key: key.clone() }),
            Acquisition::Held { holder } => Opened::HeldBy(holder),
        })
    }

    /// The cluster, for as long as the Lease lasts.
    pub fn cluster(&self) -> Cluster {
        self.lease.cluster()
    }

    /// The transitions of the Lease: what is written carries them.
    pub fn transitions(&self) -> u64 {
        self.lease.transitions()
    }

    /// Remembers with the Lease that `what` is told now; whether it was not told before. For what is wrong with a state
    /// to which nothing may be written.
    pub async fn report_once(&self, what: &str) -> bool {
        self.lease.report_once(what).await
    }

    /// Works while the Lease is renewed; an error where it was lost meanwhile.
    pub async fn hold<T>(&self, work: impl Future<Output = T>) -> Result<T, LockError> {
        self.lease.keep_renewed(work).await
    }

    /// Reads the state; `None` where nothing was recorded yet.
    pub async fn read(&self) -> Result<Option<StoredState>, StateError> {
        state::read(&self.lease.cluster(), &self.key).await
    }

    /// Writes the state in the place of what was read as `version`.
    pub async fn write(&self, state: &mut State, version: Option<&str>) -> Result<(), StateError> {
        state.lease_transitions = self.lease.transitions();
        state::write(&self.lease.cluster(), &self.key, state, version).await.map(drop)
    }

    /// Releases the Lease; gives the revision that another worker asked for meanwhile. That it can't be released is
    /// only logged: it expires.
    pub async fn close(self) -> Option<String> {
        match self.lease.release().await {
            Ok(pending_request) => pending_request,
            Err(error) => {
                tracing::warn!(app = self.key.instance(), error = chain(&error), "the Lease was not released");
                None
            }
        }
    }
}
