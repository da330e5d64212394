//! Promotes images from one Application to the next, and tells Slack what was committed, proposed or held.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use slipway_cluster::state::StateError;
use tokio::time::Instant;

use super::{CheckError, DriftChecker};
use crate::deploy::prepare;
use crate::error::chain;
use crate::image;
use crate::image::promotion::{self, Promotion, Verdict};
use crate::image::run::UpdateResult;
use crate::notify::report;
use crate::reconcile::notes::{Note as _, ReportedPromotions};
use crate::reconcile::session::{Opened, Session};
use crate::root::Root;

impl DriftChecker {
    /// Promotes images to the Applications that get theirs from others, which were checked just now.
    pub(super) async fn promote(&self, root: &Arc<Root>, until: Instant, id: &str) {
        for promotion in promotion::promotions(&self.engine, root, Timestamp::now()).await {
            let Promotion { app, from, verdict, .. } = &promotion;
            if let Verdict::Waits(why) = verdict {
                tracing::info!(app, from, why, "not promoted");
                continue;
            }
            if Instant::now() >= until {
                tracing::warn!(app, from, "no time is left to promote");
                continue;
            }
            let results = match Box::pin(self.images.promote(root, &promotion, until)).await {
                Ok(results) => results,
                // The next check tries it again.
                Err(error) => {
                    tracing::error!(app, from, error = chain(&error), "failed to promote");
                    continue;
                }
            };
            let summaries: serde_json::Map<String, Value> = results.iter().map(image::run::summary).collect();
            tracing::info!(app, from, results = json!(summaries).to_string(), "promoted");
            let told = match verdict {
                Verdict::Stopped(why) => Box::pin(self.tell_held(root, &promotion, why, (until, id))).await,
                _ => Box::pin(self.tell_promoted(root, &promotion, &results, id)).await,
            };
            if let Err(error) = told {
                tracing::warn!(app, from, error = chain(&error), "failed to note what was told of a promotion");
            }
        }
    }

    /// Tells of what was committed or proposed. What was held before is forgotten.
    async fn tell_promoted(
        &self,
        root: &Root,
        promotion: &Promotion,
        results: &BTreeMap<String, UpdateResult>,
        id: &str,
    ) -> Result<(), CheckError> {
        for (place, result) in results {
            if let Some(commit) = &result.commit {
                let proposal = result.pull_request.as_deref();
                let text =
                    report::promoted((&promotion.app, &promotion.from), place, &result.changes, commit, proposal);
                self.engine.notify(&text).await;
            }
        }
        if promotion.told.is_some() { self.note_held(root, promotion, None, id).await } else { Ok(()) }
    }

    /// Tells once that images are held, where there are any that would come.
    async fn tell_held(
        &self,
        root: &Arc<Root>,
        promotion: &Promotion,
        why: &str,
        (until, id): (Instant, &str),
    ) -> Result<(), CheckError> {
        let told = format!("{} {why}", promotion.revision);
        if promotion.told.as_ref() == Some(&told) {
            return Ok(());
        }
        let ready = Promotion { verdict: Verdict::Ready, ..promotion.clone() };
        let changes = match Box::pin(self.images.would_promote(root, &ready, until)).await {
            Ok(results) => results.into_values().flat_map(|result| result.changes).collect::<Vec<_>>(),
            Err(error) => {
                tracing::warn!(app = promotion.app, error = chain(&error), "failed to see what is held");
                return Ok(());
            }
        };
        if changes.is_empty() {
            return Ok(());
        }
        if self.engine.notify(&report::promotion_held((&promotion.app, &promotion.from), why, &changes)).await {
            self.note_held(root, promotion, Some(told), id).await?;
        }
        Ok(())
    }

    /// Notes in the state of the Application that images come from what was told of them.
    async fn note_held(
        &self,
        root: &Root,
        promotion: &Promotion,
        told: Option<String>,
        id: &str,
    ) -> Result<(), CheckError> {
        let Some(source) = root.members.iter().find(|member| member.is_named(&promotion.from)) else { return Ok(()) };
        let declared = &source.app.destination;
        let destination = self.engine.clusters.get(&declared.server, &declared.name).await?;
        let key = prepare::owner(&self.engine, source).key;
        let Opened::Ours(session) = Session::open(&destination.cluster, &key, id).await.map_err(Box::new)? else {
            return Ok(());
        };
        let noted = async {
            let Some(mut stored) = session.read().await? else { return Ok(()) };
            let ReportedPromotions(mut all) = ReportedPromotions::of(&stored.state).unwrap_or_default();
            match told {
                Some(told) => drop(all.insert(promotion.app.clone(), told)),
                None => drop(all.remove(&promotion.app)),
            }
            ReportedPromotions(all).keep(&mut stored.state);
            let version = stored.version().to_owned();
            session.write(&mut stored.state, Some(&version)).await
        };
        let noted: Result<(), StateError> = noted.await;
        session.close().await;
        Ok(noted.map_err(Box::new)?)
    }
}
