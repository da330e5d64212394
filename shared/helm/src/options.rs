//! What a render takes besides the chart.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;
use slipway_budget::Budget;
pub use slipway_gotmpl::Limits;

pub use crate::strvals::{Set, SetKind};

/// The Kubernetes version that `helm template` pretends where none is given.
pub(crate) const KUBE_VERSION: &str = "v1.35.0";

/// The API versions that Helm 4.1.4 knows (those of client-go 0.35, in its order).
pub(crate) const API_VERSIONS: &[&str] = &[
    "v1",
    "admissionregistration.k8s.io/v1",
    "admissionregistration.k8s.io/v1alpha1",
    "admissionregistration.k8s.io/v1beta1",
    "internal.apiserver.k8s.io/v1alpha1",
    "apps/v1",
    "apps/v1beta1",
    "apps/v1beta2",
    "authentication.k8s.io/v1",
    "authentication.k8s.io/v1alpha1",
    "authentication.k8s.io/v1beta1",
    "authorization.k8s.io/v1",
    "authorization.k8s.io/v1beta1",
    "autoscaling/v1",
    "autoscaling/v2",
    "autoscaling/v2beta1",
    "autoscaling/v2beta2",
    "batch/v1",
    "batch/v1beta1",
    "certificates.k8s.io/v1",
    "certificates.k8s.io/v1beta1",
    "certificates.k8s.io/v1alpha1",
    "coordination.k8s.io/v1alpha2",
    "coordination.k8s.io/v1beta1",
    "coordination.k8s.io/v1",
    "discovery.k8s.io/v1",
    "discovery.k8s.io/v1beta1",
    "events.k8s.io/v1",
    "events.k8s.io/v1beta1",
    "extensions/v1beta1",
    "flowcontrol.apiserver.k8s.io/v1",
    "flowcontrol.apiserver.k8s.io/v1beta1",
    "flowcontrol.apiserver.k8s.io/v1beta2",
    "flowcontrol.apiserver.k8s.io/v1beta3",
    "networking.k8s.io/v1",
    "networking.k8s.io/v1beta1",
    "node.k8s.io/v1",
    "node.k8s.io/v1alpha1",
    "node.k8s.io/v1beta1",
    "policy/v1",
    "policy/v1beta1",
    "rbac.authorization.k8s.io/v1",
    "rbac.authorization.k8s.io/v1beta1",
    "rbac.authorization.k8s.io/v1alpha1",
    "resource.k8s.io/v1",
    "resource.k8s.io/v1beta2",
    "resource.k8s.io/v1beta1",
    "resource.k8s.io/v1alpha3",
    "scheduling.k8s.io/v1alpha1",
    "scheduling.k8s.io/v1beta1",
    "scheduling.k8s.io/v1",
    "storage.k8s.io/v1beta1",
    "storage.k8s.io/v1",
    "storage.k8s.io/v1alpha1",
    "storagemigration.k8s.io/v1beta1",
    "apiextensions.k8s.io/v1beta1",
    "apiextensions.k8s.io/v1",
];

/// `.Release`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Name of the release.
    pub name: String,
    /// Namespace it goes to.
    pub namespace: String,
    /// Its number, 1 for the first.
    pub revision: i64,
    /// Whether `.Release.IsUpgrade` is true, and `.Release.IsInstall` false.
    pub is_upgrade: bool,
}

impl Default for Release {
    fn default() -> Self {
        Self { name: "release-name".to_owned(), namespace: "default".to_owned(), revision: 1, is_upgrade: false }
    }
}

/// An object that a chart asks the cluster for with `lookup`; an empty name asks for a list, an empty namespace for
/// all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lookup {
    /// `v1`, `apps/v1`, …
    pub api_version: String,
    /// `Secret`, …
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// How deep templates may be nested where the caller does not say.
const LIMITS: Limits = Limits { depth: 2_000, stack: 64 << 20 };

/// What `helm template` takes as flags, and what makes a render repeatable.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of helm template")]
pub struct Options {
    /// The parsed contents of value files, in order: later ones win.
    pub values: Vec<Value>,
    /// `--set` and its sisters; paths of `--set-file` are those of `set_files`, else paths in the tree.
    pub sets: Vec<Set>,
    /// Texts for `--set-file` that lie outside of the tree, by path.
    pub set_files: BTreeMap<String, String>,
    /// Dependencies that `charts/` lacks and whose repository is `file://…` are taken from the tree, as
    /// `helm dependency build` would put them there.
    pub local_dependencies: bool,
    /// `.Release`
    pub release: Release,
    /// `--kube-version`; Helm's own default where it is missing.
    pub kube_version: Option<String>,
    /// `--api-versions`, besides those that Helm knows.
    pub api_versions: Vec<String>,
    /// Whether `.Capabilities.APIVersions` holds those that Helm knows.
    pub builtin_api_versions: bool,
    /// `--include-crds`: the files below `crds/` come first.
    pub include_crds: bool,
    /// `--skip-tests`: hooks that are tests are left out.
    pub skip_tests: bool,
    /// `--skip-schema-validation`
    pub skip_schema_validation: bool,
    /// Where random values come from: the same seed gives the same values.
    pub seed: [u8; 32],
    /// The time that `now` gives.
    pub now: Timestamp,
    /// Answers to `lookup`; null for what is not there.
    pub lookups: BTreeMap<Lookup, Value>,
    /// The budget of the whole render, shared with what comes before and after; each render has its own where it is
    /// missing.
    pub budget: Option<Budget>,
    /// Bounds of nesting; the stack is that of the thread that renders.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            sets: Vec::new(),
            set_files: BTreeMap::new(),
            local_dependencies: false,
            release: Release::default(),
            kube_version: None,
            api_versions: Vec::new(),
            builtin_api_versions: true,
            include_crds: false,
            skip_tests: false,
            skip_schema_validation: false,
            seed: [0; 32],
            now: Timestamp::UNIX_EPOCH,
            lookups: BTreeMap::new(),
            budget: None,
            limits: LIMITS,
        }
    }
}
