//! What a caller chooses: what flags of `kubectl kustomize` and fields of Argo CD's source would say.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use slipway_budget::Budget;
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

/// One entry of `helmCharts`, files read: what `helm template` would be told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chart {
    /// Folder of the chart in the tree.
    pub path: String,
    /// Name of the release; empty for one that helm makes up.
    pub release_name: String,
    /// `--name-template`.
    pub name_template: String,
    /// `--namespace`.
    pub namespace: String,
    /// Texts of values files, the later ones winning.
    pub values: Vec<String>,
    /// `--include-crds`.
    pub include_crds: bool,
    /// `--no-hooks`.
    pub skip_hooks: bool,
    /// `--skip-tests`.
    pub skip_tests: bool,
    /// `--api-versions`.
    pub api_versions: Vec<String>,
    /// `--kube-version`.
    pub kube_version: String,
}

/// Renders a chart for `helmCharts`; given by who can (`slipway-helm` stands beside, not below, this crate).
pub trait Helm {
    /// The text that `helm template` prints for `chart` of `tree`.
    fn template(&self, tree: &Tree, chart: &Chart) -> Result<String, Box<dyn std::error::Error + Send + Sync>>;
}

/// Where in the tree something remote was put.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The folder of the base, or the file.
    pub path: String,
    /// The folder of its repository, which the base's own bases must stay in.
    pub repository: String,
}

/// `spec.source.kustomize` of an Argo CD Application: what it would edit into the kustomization before the build.
#[expect(clippy::struct_excessive_bools, reason = "the options of Argo CD")]
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Overrides {
    /// `namePrefix`; empty leaves the kustomization's.
    pub name_prefix: String,
    /// `nameSuffix`; empty leaves the kustomization's.
    pub name_suffix: String,
    /// `namespace`; empty leaves the kustomization's.
    pub namespace: String,
    /// `images`, each `[name=]image[:tag][@digest]`.
    pub images: Vec<String>,
    /// `replicas`: name and count.
    pub replicas: Vec<(String, i64)>,
    /// `commonLabels`.
    pub common_labels: BTreeMap<String, String>,
    /// `commonAnnotations`, variables of the build environment already put in.
    pub common_annotations: BTreeMap<String, String>,
    /// `forceCommonLabels`: replace labels that the kustomization has.
    pub force_common_labels: bool,
    /// `forceCommonAnnotations`: replace annotations that the kustomization has.
    pub force_common_annotations: bool,
    /// `labelWithoutSelector`.
    pub label_without_selector: bool,
    /// `labelIncludeTemplates`.
    pub label_include_templates: bool,
    /// `components`: paths seen from the kustomization.
    pub components: Vec<String>,
    /// `ignoreMissingComponents`: pass over components whose folder is not there.
    pub ignore_missing_components: bool,
    /// `patches`: entries as a kustomization has them.
    pub patches: Vec<Value>,
}

/// Choices of a render; the default is what `kubectl kustomize PATH` does.
#[derive(Clone, Default)]
pub struct Options<'a> {
    /// Order where the kustomization does not say.
    pub order: Order,
    /// Which files may be named.
    pub load_restrictions: LoadRestrictions,
    /// Adds the label `app.kubernetes.io/managed-by: kustomize-VERSION`.
    pub managed_by_label: bool,
    /// Renders `helmCharts`; without it they are refused, as without `--enable-helm`.
    pub helm: Option<&'a dyn Helm>,
    /// Remote bases and files already fetched, by what the kustomization says.
    pub remotes: Option<&'a BTreeMap<String, Place>>,
    /// Files of the tree that were decrypted before, of all that generators of KSOPS may name.
    pub decrypted: BTreeSet<String>,
    /// What the render may use; by default a budget of its own.
    pub budget: Option<Budget>,
    /// Argo CD's options on top of the kustomization.
    pub overrides: Option<Overrides>,
}
