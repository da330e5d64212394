//! Fetches the charts that the sources of an Application need, and holds them to what was deployed before.

use slipway_cluster::Cluster;
use slipway_cluster::state;
use slipway_gitops::Revisions;
use slipway_gocompat::semver::Version;
use slipway_manifest::Tree;

use super::prepare::PrepareError;
use crate::reconcile::notes::{ChartDigests, Note as _};
use crate::reconcile::sync::AppOwner;
use crate::render::{self, MissingChart, RenderError};
use crate::root::ResolvedApplication;
use crate::source::helm_repository::HelmChart;
use crate::source::{Checkouts, SourceError};

/// Charts that are fetched for the renders of one Application, besides those that are its sources.
const MAX_CHARTS: usize = 100;

/// The charts of one Application at `revisions`.
pub(super) struct AppCharts<'a> {
    pub(super) member: &'a ResolvedApplication,
    pub(super) checkouts: &'a Checkouts,
    pub(super) revisions: &'a Revisions,
    pub(super) owner: AppOwner,
    pub(super) cluster: &'a Cluster,
    /// Those that were fetched.
    pub(super) digests: ChartDigests,
    /// Those that the source which is rendered was given.
    pub(super) fetched: Vec<MissingChart>,
}

impl AppCharts<'_> {
    /// The charts that the render of `tree` failed for want of; none where it failed otherwise, or was given them.
    pub(super) fn missing(&self, error: &RenderError, tree: &Tree) -> Result<Vec<MissingChart>, RenderError> {
        let missing = render::missing_charts(error, tree).map_err(RenderError::Charts)?;
        let missing: Vec<_> = missing.into_iter().map(|one| one.of_project(&self.member.app.project)).collect();
        let is_over = self.fetched.len() > MAX_CHARTS || missing.iter().any(|one| self.fetched.contains(one));
        Ok(if is_over { Vec::new() } else { missing })
    }

    /// `tree` with the charts `missing`, whose repositories the project has to allow. At revisions that were deployed
    /// before, they are of the versions that were deployed then: a newer one comes with the next commit.
    pub(super) async fn add(&mut self, tree: &Tree, missing: Vec<MissingChart>) -> Result<Tree, PrepareError> {
        let mut tree = tree.clone();
        let recorded = self.recorded().await?;
        for one in missing {
            self.member.permit.refused_source(&one.repo_url).map_or(Ok(()), Err)?;
            let charts = self.checkouts.charts();
            let version = match recorded.as_ref().and_then(|(known, is_same)| is_same.then(|| pinned(known, &one))?) {
                Some(version) => version,
                None => Box::pin(charts.resolve(&one.chart, &one.revision)).await.map_err(SourceError::Chart)?,
            };
            let files = Box::pin(charts.get(&one.chart, &version)).await.map_err(SourceError::Chart)?;
            one.add(&mut tree, &version, &files).map_err(|source| PrepareError::Render {
                app: self.member.instance(),
                at: format!("{version} of {}", one.chart),
                source: Box::new(source.into()),
            })?;
            self.digests.0.insert(key(&one.chart, &version), files.digest.clone());
            self.fetched.push(one);
        }
        Ok(tree)
    }

    /// Checks that no version of a chart has another content than when it was deployed.
    pub(super) async fn check(&self) -> Result<(), PrepareError> {
        if self.digests.0.is_empty() {
            return Ok(());
        }
        let Some((recorded, _)) = self.recorded().await? else { return Ok(()) };
        for (chart, found) in &self.digests.0 {
            if let Some(recorded) = recorded.0.get(chart).filter(|recorded| *recorded != found) {
                let (app, chart) = (self.member.instance(), chart.clone());
                return Err(PrepareError::ChartChanged {
                    app,
                    chart,
                    recorded: recorded.clone(),
                    found: found.clone(),
                });
            }
        }
        Ok(())
    }

    /// The charts of the last sync, and whether that was of the same revisions.
    async fn recorded(&self) -> Result<Option<(ChartDigests, bool)>, PrepareError> {
        let recorded = state::read(self.cluster, &self.owner.key).await.map_err(Box::new)?;
        let charts = recorded.and_then(|recorded| {
            let is_same = recorded.state.attempt.revisions == *self.revisions;
            Some((ChartDigests::of(&recorded.state)?, is_same))
        });
        Ok(charts)
    }
}

/// A chart and its version, as they are recorded.
pub(super) fn key(chart: &HelmChart, version: &str) -> String {
    format!("{chart} {version}")
}

/// The version of a chart that was deployed, where it is one of those that are wanted.
fn pinned(recorded: &ChartDigests, wanted: &MissingChart) -> Option<String> {
    let prefix = key(&wanted.chart, "");
    let versions = recorded.0.keys().filter_map(|key| key.strip_prefix(&prefix));
    let allowed = versions.filter(|version| HelmChart::allows(&wanted.revision, version));
    allowed.filter_map(|version| Version::parse(version).ok()).max().map(|version| version.original)
}
