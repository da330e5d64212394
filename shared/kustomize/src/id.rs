//! Identities of resources: group, version, kind, name and namespace (kyaml `resid`).

use std::fmt;

use serde::Deserialize;

/// Group, version and kind; an empty part of a selector matches anything.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Gvk {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
}

impl Gvk {
    pub(crate) fn as_ref(&self) -> GvkRef<'_> {
        GvkRef { group: &self.group, version: &self.version, kind: &self.kind }
    }

    /// The order in which Kustomize sorts field specs (kyaml `resid/gvk.go`).
    pub(crate) fn sort_key(&self) -> (i32, String) {
        let part = |text: &str, none: &str| if text.is_empty() { none.to_owned() } else { text.to_owned() };
        let name = [part(&self.group, "~G"), part(&self.version, "~V"), part(&self.kind, "~K")].join("_");
        (crate::order::legacy_rank(&self.kind), name)
    }
}

/// A borrowed [`Gvk`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct GvkRef<'a> {
    pub(crate) group: &'a str,
    pub(crate) version: &'a str,
    pub(crate) kind: &'a str,
}

impl<'a> GvkRef<'a> {
    pub(crate) fn new(api_version: &'a str, kind: &'a str) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self { group, version, kind }
    }

    /// Whether the non-empty parts of `selector` are equal to ours.
    pub(crate) fn is_selected(&self, selector: &Gvk) -> bool {
        let fits = |wanted: &str, have: &str| wanted.is_empty() || wanted == have;
        fits(&selector.kind, self.kind) && fits(&selector.group, self.group) && fits(&selector.version, self.version)
    }
}

impl fmt::Display for GvkRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |text: &'static str, value: &str| if value.is_empty() { text.to_owned() } else { value.to_owned() };
        let (kind, version) = (part("[noKind]", self.kind), part("[noVer]", self.version));
        write!(f, "{kind}.{version}.{}", part("[noGrp]", self.group))
    }
}

/// A resource's identity, borrowed from it. `cluster` says that it is known to have no namespace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IdRef<'a> {
    pub(crate) gvk: GvkRef<'a>,
    pub(crate) name: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) cluster: bool,
}

/// The namespace of what has none.
pub(crate) const NO_NAMESPACE: &str = "_non_namespaceable_";

impl<'a> IdRef<'a> {
    /// The namespace where it counts: `default` where none is written.
    pub(crate) fn effective_namespace(&self) -> &'a str {
        match self.namespace {
            _ if self.cluster => NO_NAMESPACE,
            "" => "default",
            namespace => namespace,
        }
    }

    pub(crate) fn same(&self, other: &IdRef<'_>) -> bool {
        self.name == other.name && self.gvk == other.gvk && self.effective_namespace() == other.effective_namespace()
    }

    /// What two resources of one list may not have in common.
    pub(crate) fn key(&self) -> IdKey<'a> {
        (self.gvk, self.name, self.effective_namespace())
    }

    pub(crate) fn is_selected_by(&self, selector: &ResId) -> bool {
        (selector.name.is_empty() || selector.name == self.name)
            && (selector.namespace.is_empty() || selector.as_ref().effective_namespace() == self.effective_namespace())
            && self.gvk.is_selected(&selector.gvk)
    }
}

/// See [`IdRef::key`].
pub(crate) type IdKey<'a> = (GvkRef<'a>, &'a str, &'a str);

impl fmt::Display for IdRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespace = if self.namespace.is_empty() { "[noNs]" } else { self.namespace };
        write!(f, "{}/{}.{namespace}", self.gvk, self.name)
    }
}

/// An identity as a kustomization writes it; empty parts match anything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ResId {
    pub(crate) gvk: Gvk,
    pub(crate) name: String,
    pub(crate) namespace: String,
}

impl ResId {
    pub(crate) fn as_ref(&self) -> IdRef<'_> {
        IdRef { gvk: self.gvk.as_ref(), name: &self.name, namespace: &self.namespace, cluster: false }
    }
}

/// `group`, `version`, `kind`, `name`, `namespace` and the two selectors of a `target` or `select`.
#[expect(clippy::struct_field_names, reason = "the names in the file")]
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Selector {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) annotation_selector: String,
    pub(crate) label_selector: String,
}

impl Selector {
    pub(crate) fn has_label_selectors(&self) -> bool {
        !self.label_selector.is_empty() || !self.annotation_selector.is_empty()
    }

    pub(crate) fn id(&self) -> ResId {
        ResId {
            gvk: Gvk { group: self.group.clone(), version: self.version.clone(), kind: self.kind.clone() },
            name: self.name.clone(),
            namespace: self.namespace.clone(),
        }
    }
}
