//! What a caller chooses: what flags of `kubectl kustomize` and fields of Argo CD's source would say.

use std::collections::BTreeMap;

use serde_json::Value;
use slipway_manifest::Tree;

/// The order of the rendered objects where the kustomization has no `sortOptions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// As the command line does: legacy.
    #[default]
    Unspecified,
    /// By kind: namespaces first, webhooks last.
    Legacy,
    /// As accumulated, depth first.
    None,
}

/// Which files a kustomization may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoadRestrictions {
    /// Only files in or below its own folder.
    #[default]
    RootOnly,
    /// Any file of the tree.
    None,
}

/// Renders a chart for `helmCharts`; given by who can (`slipway-helm` stands beside, not below, this crate).
pub trait Helm {
    /// The text that `helm template` prints for the chart in the folder `chart` of `tree`, with the settings of one
    /// entry of `helmCharts` (its fields as written, values files already checked to lie in the tree).
    fn template(
        &self,
        tree: &Tree,
        chart: &str,
        settings: &Value,
    ) -> Result<String, Box<dyn std::error::Error + Send + Sync>>;
}

/// Choices of a render; the default is what `kubectl kustomize PATH` does.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// Order where the kustomization does not say.
    pub order: Order,
    /// Which files may be named.
    pub load_restrictions: LoadRestrictions,
    /// Adds the label `app.kubernetes.io/managed-by: kustomize-VERSION`.
    pub managed_by_label: bool,
    /// Renders `helmCharts`; without it they are refused, as without `--enable-helm`.
    pub helm: Option<&'a dyn Helm>,
    /// Remote bases and files already fetched: what the kustomization says → folder or file in the tree.
    pub remotes: Option<&'a BTreeMap<String, String>>,
}
