//! Holds the inputs of a render besides the tree and the Application.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use slipway_budget::Budget;
use slipway_helm::Lookup;
use slipway_kustomize::{LoadRestrictions, Place};
use slipway_sops::DecryptedFiles;

use crate::app::Application;
use crate::source::github::Checkout;

/// The inputs of a render besides the tree and the Application.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// The tree's commit.
    pub revision: String,
    /// `kustomize.buildOptions`.
    pub build: BuildOptions,
    /// Facts for charts.
    pub facts: ClusterFacts,
    /// What all stages of the render may use together.
    pub budget: Budget,
    /// The other sources of the Application, by `ref`, for value files.
    pub references: BTreeMap<String, Arc<Checkout>>,
    /// Where in the tree remote bases and files are, by what the kustomization says.
    pub remotes: BTreeMap<String, Place>,
    /// Files that SOPS encrypted, as they were before.
    pub decrypted: DecryptedFiles,
}

/// Facts for charts besides their files and values; by default no cluster, and time zero.
#[derive(Debug, Clone, Default)]
pub struct ClusterFacts {
    /// Seed of random values: the same seed gives the same values.
    pub seed: [u8; 32],
    /// The result of the template function `now`.
    pub now: Timestamp,
    /// The cluster's version.
    pub kube_version: Option<String>,
    /// The cluster's API versions, with and without kinds.
    pub api_versions: Vec<String>,
    /// Answers to `lookup`; null for missing objects.
    pub lookups: BTreeMap<Lookup, Value>,
}

/// `kustomize.buildOptions` of Argo CD's ConfigMap `argocd-cm`, as far as they are supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BuildOptions {
    /// `--enable-helm`: `helmCharts` are rendered.
    pub enable_helm: bool,
    /// `--load-restrictor`.
    pub load_restrictions: LoadRestrictions,
}

impl BuildOptions {
    /// Parses the flags; also returns those without effect.
    pub fn parse(text: &str) -> (Self, Vec<String>) {
        let mut options = Self::default();
        let mut unknown = Vec::new();
        let mut words = text.split_whitespace().peekable();
        while let Some(word) = words.next() {
            let (flag, value) = match word.split_once('=') {
                Some((flag, value)) => (flag, Some(value)),
                None => (word, words.next_if(|next| !next.starts_with('-'))),
            };
            match (flag, value) {
                ("--enable-helm", None | Some("true")) => options.enable_helm = true,
                ("--load-restrictor", Some("LoadRestrictionsNone")) => {
                    options.load_restrictions = LoadRestrictions::None;
                }
                ("--enable-helm", Some("false")) | ("--load-restrictor", Some("LoadRestrictionsRootOnly")) => {}
                _ => unknown.push(flag.to_owned()),
            }
        }
        (options, unknown)
    }
}

/// The build environment (argoproj/argo-cd `docs/user-guide/build-environment.md`).
pub(super) fn environment(app: &Application, revision: &str) -> BTreeMap<String, String> {
    let short = |count: usize| revision.chars().take(count).collect();
    let pairs = [
        ("ARGOCD_APP_NAME", app.name.clone()),
        ("ARGOCD_APP_NAMESPACE", app.destination.namespace.clone()),
        ("ARGOCD_APP_PROJECT_NAME", app.project.clone()),
        ("ARGOCD_APP_REVISION", revision.to_owned()),
        ("ARGOCD_APP_REVISION_SHORT", short(7)),
        ("ARGOCD_APP_REVISION_SHORT_8", short(8)),
        ("ARGOCD_APP_SOURCE_REPO_URL", app.source.repo_url.clone()),
        ("ARGOCD_APP_SOURCE_PATH", app.source.path.clone()),
        ("ARGOCD_APP_SOURCE_TARGET_REVISION", app.source.target_revision.clone()),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_options_as_they_are_written() {
        let (options, unknown) =
            BuildOptions::parse("--enable-helm --load-restrictor LoadRestrictionsNone --enable-alpha-plugins");
        assert!(options.enable_helm && options.load_restrictions == LoadRestrictions::None);
        assert_eq!(unknown, ["--enable-alpha-plugins"]);
        let (options, unknown) = BuildOptions::parse("--load-restrictor=LoadRestrictionsRootOnly --enable-helm=false");
        assert_eq!((options, unknown), (BuildOptions::default(), Vec::new()));
    }
}
