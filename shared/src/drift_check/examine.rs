//! Examines one application: renders again the commits that it was last synced to, or tried, compares it with the live
//! objects by a dry run, and decides what is told, healed and made up for.
//!
//! Nothing is written before something has changed since the last check: an application without news costs one read of
//! its state and the lists of its kinds. With news it is examined once more under its Lease, which nothing else can
//! change then.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use slipway_cluster::Cluster;
use slipway_cluster::state::{Attempt, Reached, State};
use slipway_gitops::Revisions;
use slipway_gitops::health::Health;
use slipway_gitops::identity::STATE_NAMESPACE;
use slipway_gitops::status::{COMPARISON_ERROR, ResourceStatus};

use super::self_heal::{self, SelfHealDecision};
use super::{CheckError, DriftChecker, DriftReport, is_overdue, now, pending};
use crate::deploy::{children, inputs, prepare, trust};
use crate::notify::report::{self, AppSyncStatus, Drift};
use crate::notify::subscribe::Subscriptions;
use crate::reconcile::comparison::{AppComparison, Scope, differences};
use crate::reconcile::drift::{self, FingerprintKey};
use crate::reconcile::notes::{MadeUpFor, Note as _, ReportedBehind, ReportedUncompared, UntoldDegraded};
use crate::reconcile::session::Session;
use crate::reconcile::status::{self, Observed};
use crate::reconcile::sync::AppOwner;
use crate::root::ResolvedApplication;
use crate::source::Checkouts;
use crate::time;

/// What is said of a sync that a person began and whose worker is gone.
const CUT_OFF: &str = "the sync was cut off: sync the application again";
/// `reconciledAt` is no older than this, plus the time between two checks: as news of its own it would cost each
/// application three writes a check.
const RECONCILED_AT_PRECISION: Duration = Duration::from_hours(1);

/// The application that is examined.
pub(super) struct Examined<'a> {
    /// The application itself.
    pub app: &'a ResolvedApplication,
    /// Whose objects they are.
    pub owner: &'a AppOwner,
    /// The name of its cluster.
    pub destination: &'a str,
    /// The commits at hand.
    pub checkouts: &'a Checkouts,
    /// The key of fingerprints.
    pub key: &'a FingerprintKey<'a>,
}

/// What an examination found, and what is to be done after it.
#[derive(Default)]
pub(super) struct Examination {
    pub report: DriftReport,
    pub heal: SelfHealDecision,
    /// The version of the application whose event got lost.
    pub lost: Option<Version>,
    /// What people are told, one text a message.
    messages: Vec<String>,
    /// What those are told who subscribe to the application's health, and whether it is Degraded now.
    health: Option<(String, bool)>,
}

impl Examination {
    fn skipped(reason: &'static str) -> Self {
        Self { report: DriftReport { skipped: Some(reason), ..DriftReport::default() }, ..Self::default() }
    }
}

/// The commits of the sources and the Application's `spec`.
pub(super) struct Version {
    heads: Revisions,
    spec_digest: Option<String>,
    /// The digest under the key before its last rotation: a rotation makes no other version.
    former_digest: Option<String>,
    /// The digests of all that is deployed there; none where the heads are what was tried.
    inputs_digests: Vec<String>,
}

impl Version {
    /// Whether `attempt` was one to bring the application here.
    pub(super) fn is_tried_by(&self, attempt: &Attempt) -> bool {
        self.has_spec_of(attempt) && attempt.revisions == self.heads || attempt.has_deployed(&self.inputs_digests)
    }

    /// Whether `attempt` was one with this spec, of whatever commit.
    fn has_spec_of(&self, attempt: &Attempt) -> bool {
        let is = |digest: &Option<String>| attempt.is_of(&attempt.revisions, digest.as_deref());
        is(&self.spec_digest) || (self.former_digest.is_some() && is(&self.former_digest))
    }

    /// The note that `drift-check` tried it.
    pub(super) fn made_up_for(&self) -> MadeUpFor {
        MadeUpFor(format!("{} {}", self.heads, self.spec_digest.as_deref().unwrap_or_default()))
    }
}

impl DriftChecker {
    /// Examines without the Lease; the report where nothing has to be told, written or done. `None` where it has, or
    /// where only the holder of the Lease can know.
    pub(super) async fn without_news(
        &self,
        examined: &Examined<'_>,
        cluster: &Cluster,
        recorded: &State,
    ) -> Result<Option<DriftReport>, CheckError> {
        let reconciled_at = recorded.status.reconciled_at;
        let is_due = reconciled_at.is_none_or(|at| time::since(at) > RECONCILED_AT_PRECISION);
        if is_due || recorded.operation.is_some() || recorded.is_unsigned || recorded.attempt.is_none() {
            return Ok(None);
        }
        let mut state = recorded.clone();
        let examination = Box::pin(self.examine(examined, cluster, &mut state)).await?;
        state.status.reconciled_at = reconciled_at;
        let Examination { report, heal, lost, messages, health } = examination;
        let is_idle = matches!(heal, SelfHealDecision::No | SelfHealDecision::Later) && lost.is_none();
        Ok((is_idle && messages.is_empty() && health.is_none() && state == *recorded).then_some(report))
    }

    /// Examines under the Lease, tells what is new, and records it.
    pub(super) async fn examine_and_record(
        &self,
        examined: &Examined<'_>,
        session: &Session,
    ) -> Result<Examination, CheckError> {
        let Some(mut recorded) = session.read().await.map_err(Box::new)? else {
            return Ok(Examination::skipped("not deployed yet"));
        };
        if recorded.state.operation.as_ref().is_some_and(|operation| !is_overdue(operation)) {
            return Ok(Examination::skipped("operation already in progress"));
        }
        if recorded.state.operation.is_some() {
            status::fail_interrupted(&mut recorded.state, CUT_OFF, Timestamp::now());
        }
        let version = recorded.version().to_owned();
        if recorded.state.is_unsigned {
            Box::pin(self.verify_unsigned(examined, &mut recorded.state)).await?;
        }
        let (drift, notes) = (recorded.state.drift.clone(), recorded.state.notes.clone());
        let examination = Box::pin(self.examine(examined, &session.cluster(), &mut recorded.state)).await?;
        let mut is_told = true;
        for message in &examination.messages {
            is_told &= self.engine.notify(message).await;
        }
        if !is_told {
            // The next check tells it.
            (recorded.state.drift, recorded.state.notes) = (drift, notes);
        }
        if let Some((text, is_degraded)) = &examination.health {
            let to = Subscriptions::of(&examined.app.app.object);
            let is_told = self.engine.notify_subscribers(&to, AppSyncStatus::Failed, text).await;
            if *is_degraded && !is_told {
                UntoldDegraded {}.keep(&mut recorded.state);
            }
        }
        session.write(&mut recorded.state, Some(&version)).await.map_err(Box::new)?;
        Ok(examination)
    }

    /// Compares with the cluster, and changes `state` to what is known then. Tells nobody.
    async fn examine(
        &self,
        examined: &Examined<'_>,
        cluster: &Cluster,
        state: &mut State,
    ) -> Result<Examination, CheckError> {
        let Examined { app, owner, destination, checkouts, key } = *examined;
        let heads = app.tracked.resolve(checkouts).await?;
        let digest = |key: &SecretString| prepare::spec_digest(key, &app.app);
        let FingerprintKey(keys) = key;
        let (spec_digest, former_digest) = (digest(&keys.current), keys.previous.as_ref().and_then(digest));
        let revisions = state.attempt.revisions.clone();
        let inputs_digests = if heads == revisions || state.attempt.inputs_digest.is_none() {
            Vec::new()
        } else {
            inputs::digests((&self.engine.root.location, keys), app, checkouts, &heads).await?
        };
        let head = Version { heads, spec_digest, former_digest, inputs_digests };
        let nothing = match app.tracked.at(&revisions) {
            _ if revisions.is_empty() => Some("not deployed yet"),
            Some(_) => None,
            None => Some("its sources are others than those that were deployed"),
        };
        if let Some(reason) = nothing {
            let mut examination = Examination::skipped(reason);
            behind(app, head, state, &mut examination);
            return Ok(examination);
        }
        // The heads render to the same, and are at hand: each application may have been deployed from another commit.
        let at = if state.attempt.has_deployed(&head.inputs_digests) { &head.heads } else { &revisions };
        let render = Box::pin(prepare::render(&self.engine, app, checkouts, at, destination, cluster));
        let prepare::Render { objects, declared, decrypted, .. } = render.await?;
        let declared = Box::pin(children::rows(&self.engine, app, &declared)).await;
        let cluster = &cluster.redacting(cluster.redactor().and_texts(&decrypted));
        let (rules, checks) = (app.rules()?, app.checks());
        let scope = Scope {
            owner,
            permit: &app.permit,
            rules: &rules,
            checks: &checks,
            inventory: &state.inventory,
            kept_namespace: app.app.has_sync_option("CreateNamespace=true").then(|| owner.namespace_id()),
            validate: !app.app.has_sync_option("Validate=false"),
            key,
        };
        let mut compared = differences(cluster, &scope, objects).await;
        let is_same_spec = head.has_spec_of(&state.attempt);
        if state.attempt.reached != Reached::All || !is_same_spec {
            pending::retain_drift(&mut compared.found, state, is_same_spec);
        }
        let (new, gone) = drift::new_since(&compared.found, &state.drift, &compared.uncompared);
        let drifts: Vec<Drift> = new.iter().map(|found| found.drift.clone()).collect();
        let mut examination = Examination::default();
        behind(app, head, state, &mut examination);
        let is_behind = examination.report.behind.is_some();
        examination.heal = self_heal::plan(state, app, &compared, is_behind, Timestamp::now());
        let mut tell = |message| examination.messages.push(message);
        match &examination.heal {
            SelfHealDecision::GivenUp => tell(self_heal::given_up(app, destination, &drifts_of(&compared))),
            SelfHealDecision::No if !drifts.is_empty() => {
                tell(report::drift(&owner.instance, destination, &revisions, &drifts, &now()));
            }
            SelfHealDecision::No | SelfHealDecision::Later | SelfHealDecision::Now(_) => {}
        }
        uncompared(&owner.instance, destination, &compared, state).into_iter().for_each(&mut tell);
        if !gone.is_empty() {
            tell(report::resolved(&owner.instance, destination, &gone));
        }
        let report = &mut examination.report;
        report.differs = compared.found.iter().map(|found| found.key.clone()).collect();
        report.differs.sort();
        report.new = drifts;
        report.problems.clone_from(&compared.problems);
        let before = state.status.health.status;
        record(state, &compared, declared, &gone);
        report.resolved = gone;
        let is_news = before != Health::Degraded || UntoldDegraded::of(state).is_some();
        UntoldDegraded::forget(state);
        if is_news && state.status.health.status == Health::Degraded {
            let redactor = cluster.redactor();
            let lines: Vec<String> = degraded(state).iter().map(|line| redactor.redact(line).into_owned()).collect();
            examination.health = Some((report::degraded(&owner.instance, destination, &revisions, &lines), true));
        } else if before == Health::Degraded && state.status.health.status == Health::Healthy {
            examination.health = Some((report::recovered(&owner.instance, destination, &revisions), false));
        }
        Ok(examination)
    }

    /// Takes over a state that is not signed, and tells which of its commits are not used.
    async fn verify_unsigned(&self, examined: &Examined<'_>, state: &mut State) -> Result<(), CheckError> {
        let Examined { app, owner, destination, checkouts, .. } = *examined;
        let (name, is_put_back) = (owner.key.object_name(), state.is_put_back);
        let followed: Vec<String> =
            app.tracked.iter().map(|source| format!("`{}` of {}", source.revision, source.repository)).collect();
        let followed = followed.join(", ");
        let foreign = trust::verify_unsigned(&self.engine, app, checkouts, state).await?;
        if is_put_back {
            let what = format!(
                "ConfigMap/{STATE_NAMESPACE}/{name} on {destination} is an older state of {}, which was put back",
                app.instance()
            );
            let how = format!(
                "it is used as if it was not signed: of it only commits on {followed} are used; see who wrote it"
            );
            self.engine.notify(&report::problem(&what, &[how])).await;
        }
        if !foreign.is_empty() {
            let what = format!(
                "ConfigMap/{STATE_NAMESPACE}/{name} on {destination} is not signed, and names commits that are not on \
                 {followed}: {} forgets them; see who wrote it",
                app.instance()
            );
            self.engine.notify(&report::problem(&what, &foreign)).await;
        }
        Ok(())
    }
}

/// The objects that are Degraded, one line each.
fn degraded(state: &State) -> Vec<String> {
    let line = |row: &ResourceStatus| {
        let health = row.health.as_ref().filter(|found| found.health == Health::Degraded)?;
        let (id, why) = (row.id(), &health.message);
        Some(if why.is_empty() { format!("{id} is Degraded") } else { format!("{id} is Degraded: {why}") })
    };
    state.status.resources.iter().filter_map(line).collect()
}

/// Says once which objects can't be compared with Git, and why; not of an outage, which passes.
fn uncompared(app: &str, destination: &str, compared: &AppComparison, state: &mut State) -> Option<String> {
    if compared.is_outage {
        return None;
    }
    if compared.failed.is_empty() {
        ReportedUncompared::forget(state);
        return None;
    }
    let mut told = compared.failed.clone();
    told.sort();
    let told = ReportedUncompared(told);
    let is_news = ReportedUncompared::of(state).as_ref() != Some(&told);
    told.keep(state);
    let what = format!("{app} on {destination} can't be compared with Git");
    is_news.then(|| report::problem(&what, &compared.problems))
}

/// Writes into `examination` whether a tracked branch or the Application's spec is at a version that was never
/// tried, and whether its event got lost: then it is deployed, once a version. What a person synced instead, and what
/// is still behind after that, is told once.
fn behind(app: &ResolvedApplication, version: Version, state: &mut State, examination: &mut Examination) {
    let is_there = version.is_tried_by(&state.attempt) && state.attempt.reached > Reached::Part;
    if !app.is_automated() || is_there {
        ReportedBehind::forget(state);
        MadeUpFor::forget(state);
        return;
    }
    let heads = version.heads.clone();
    examination.report.behind = Some(heads.to_string());
    // Its problem, or the sync window, was reported.
    let status = &state.status;
    let is_told = app.permit.denied.is_some() || (status.sync.revisions == heads && status.has(COMPARISON_ERROR));
    if is_told || app.blocked_by_window(false, Timestamp::now()).is_some() {
        return;
    }
    let chosen = was_chosen(state, &version);
    if chosen.is_none() && MadeUpFor::of(state).as_ref() != Some(&version.made_up_for()) {
        examination.lost = Some(version);
        return;
    }
    let told = ReportedBehind(heads.to_string());
    let is_news = ReportedBehind::of(state).as_ref() != Some(&told);
    told.keep(state);
    if is_news {
        let short = heads.short();
        let why = chosen.unwrap_or_else(|| format!("{short} could not be deployed"));
        let advice = format!("`slipway app sync {}` brings it to {short}", app.instance());
        let what = format!("{} is behind its branch: {why}", app.instance());
        examination.messages.push(report::problem(&what, &[advice]));
    }
}

/// How a person chose that the application is not at `version`; `None` where none did, and its event got lost.
fn was_chosen(state: &State, version: &Version) -> Option<String> {
    let Attempt { revisions, .. } = &state.attempt;
    let (short, at) = (version.heads.short(), revisions.short());
    if version.heads == *revisions {
        return version.is_tried_by(&state.attempt).then(|| format!("of {short} only a part was synced"));
    }
    let last = state.status.operation_state.as_ref().filter(|last| last.attempted() == Some(revisions));
    let person = last.map(|last| last.initiator().username).filter(|name| !name.is_empty());
    person.map(|person| format!("{person} synced {at} last, and not {short}"))
}

/// Records what was told, and the status that follows from the comparison. Where a commit waits for a person, or can't
/// be rendered, the status tells of that one.
fn record(state: &mut State, compared: &AppComparison, declared: Vec<ResourceStatus>, gone: &[String]) {
    for key in gone {
        state.drift.remove(key);
    }
    state.drift.extend(compared.found.iter().map(|found| (found.key.clone(), found.fingerprint.clone())));
    let observed = Observed::of(compared, &state.status.resources).with(declared);
    let (revisions, now) = (state.attempt.revisions.clone(), Timestamp::now());
    if state.status.sync.revisions == revisions {
        observed.write(&mut state.status, &revisions, now);
    } else {
        observed.write_health(&mut state.status, now);
    }
}

fn drifts_of(compared: &AppComparison) -> Vec<Drift> {
    compared.found.iter().map(|found| found.drift.clone()).collect()
}
