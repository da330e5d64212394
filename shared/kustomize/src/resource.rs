//! A resource with what Kustomize remembers of it between steps: former names, prefixes, what generators asked for
//! (kustomize `api/resource/resource.go`, which keeps this in annotations).

use std::collections::BTreeMap;

use slipway_budget::Exceeded;

use crate::context::Context;
use crate::cost;
use crate::id::{GvkRef, IdRef};
use crate::node::{Kind, Map, Node, Scalar, Tag};

/// What a generated resource does where one of its identity is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Behavior {
    #[default]
    Create,
    Replace,
    Merge,
}

/// An identity that the resource had before a transformer changed it; the namespace is the effective one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Previous {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) kind: String,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Resource {
    /// The object; null once a patch deleted it.
    pub(crate) node: Node,
    pub(crate) previous: Vec<Previous>,
    pub(crate) prefixes: Vec<String>,
    pub(crate) suffixes: Vec<String>,
    pub(crate) needs_hash: bool,
    pub(crate) behavior: Behavior,
    pub(crate) allow_name_change: bool,
    pub(crate) allow_kind_change: bool,
    /// Names of the variables that read this resource.
    pub(crate) vars: Vec<String>,
}

/// Annotations that Kustomize takes away from its output whoever wrote them (`BuildAnnotations`).
const BUILD_ANNOTATIONS: [&str; 18] = [
    "internal.config.kubernetes.io/previousKinds",
    "internal.config.kubernetes.io/previousNames",
    "internal.config.kubernetes.io/prefixes",
    "internal.config.kubernetes.io/suffixes",
    "internal.config.kubernetes.io/previousNamespaces",
    "internal.config.kubernetes.io/allowNameChange",
    "internal.config.kubernetes.io/allowKindChange",
    "internal.config.kubernetes.io/refBy",
    "internal.config.kubernetes.io/generatorBehavior",
    "internal.config.kubernetes.io/needsHashSuffix",
    "internal.config.kubernetes.io/path",
    "internal.config.kubernetes.io/index",
    "internal.config.kubernetes.io/seqindent",
    "config.k8s.io/id",
    "internal.config.kubernetes.io/annotations-migration-resource-id",
    "config.kubernetes.io/path",
    "config.kubernetes.io/index",
    "internal.config.kubernetes.io/id",
];

impl Resource {
    pub(crate) fn new(node: Node) -> Self {
        Self { node, ..Self::default() }
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.node.is_null_or_empty()
    }

    /// Steps of a look at the identity: lookups among the fields, and comparisons of all that it was.
    pub(crate) fn look(&self) -> usize {
        let fields = |node: Option<&Node>| node.and_then(Node::as_map).map_or(0, |map| map.0.len());
        let metadata = self.node.get("metadata");
        let texts = self.name().len() + self.namespace().len() + self.kind().len();
        let width = fields(Some(&self.node)) + fields(metadata);
        8 + width / 2 + texts / 64 + 2 * self.previous.len()
    }

    /// Bytes of what is remembered.
    pub(crate) fn remembered(&self) -> usize {
        let affixes = self.prefixes.iter().chain(&self.suffixes).chain(&self.vars).map(|text| 32 + text.len());
        let previous = self.previous.iter().map(|p| size_of::<Previous>() + p.name.len() + p.namespace.len());
        size_of::<Self>() + affixes.chain(previous).sum::<usize>()
    }

    fn field(&self, key: &str) -> &str {
        self.node.get(key).map(Node::as_text).unwrap_or_default()
    }

    pub(crate) fn api_version(&self) -> &str {
        self.field("apiVersion")
    }

    pub(crate) fn kind(&self) -> &str {
        self.field("kind")
    }

    pub(crate) fn gvk(&self) -> GvkRef<'_> {
        GvkRef::new(self.api_version(), self.kind())
    }

    fn meta(&self, key: &str) -> &str {
        let node = self.node.get("metadata").and_then(|m| m.get(key)).filter(|node| !node.is_null_or_empty());
        node.map(Node::as_text).unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        self.meta("name")
    }

    pub(crate) fn namespace(&self) -> &str {
        self.meta("namespace")
    }

    /// The identity as it is now.
    pub(crate) fn id(&self, cx: &Context) -> IdRef<'_> {
        let (gvk, name, namespace) = (self.gvk(), self.name(), self.namespace());
        IdRef { gvk, name, namespace, cluster: cx.is_cluster_scoped(self.api_version(), self.kind()) }
    }

    /// Every identity before the present one, the oldest first.
    pub(crate) fn previous_ids(&self) -> impl Iterator<Item = IdRef<'_>> {
        let GvkRef { group, version, .. } = self.gvk();
        self.previous.iter().map(move |p| IdRef {
            gvk: GvkRef { group, version, kind: &p.kind },
            name: &p.name,
            namespace: &p.namespace,
            cluster: false,
        })
    }

    /// The identity in the file that it came from.
    pub(crate) fn original_id(&self, cx: &Context) -> IdRef<'_> {
        self.previous_ids().next().unwrap_or_else(|| self.id(cx))
    }

    /// Whether the present or any former identity matches.
    pub(crate) fn any_id(&self, cx: &Context, matches: impl Fn(&IdRef<'_>) -> bool) -> bool {
        !self.is_deleted() && (self.previous_ids().any(|id| matches(&id)) || matches(&self.id(cx)))
    }

    pub(crate) fn store_previous_id(&mut self, cx: &Context) -> Result<(), Exceeded> {
        let id = self.id(cx);
        let previous = Previous {
            name: id.name.to_owned(),
            namespace: id.effective_namespace().to_owned(),
            kind: id.gvk.kind.to_owned(),
        };
        let text = previous.name.len() + previous.namespace.len() + previous.kind.len();
        cost::of_text(&cx.budget, 2 * size_of::<Previous>() + text)?;
        self.previous.push(previous);
        Ok(())
    }

    /// Whether Kustomize would have annotations of its own on the resource by now.
    pub(crate) fn has_build_state(&self) -> bool {
        !self.previous.is_empty() || !self.prefixes.is_empty() || !self.suffixes.is_empty() || self.needs_hash
    }

    pub(crate) fn metadata_mut(&mut self) -> &mut Map {
        if !matches!(self.node, Node::Map(_)) {
            self.node = Node::empty(Kind::Map);
        }
        let slot = match &mut self.node {
            Node::Map(map) => map.entry("metadata", || Node::empty(Kind::Map)),
            other => other,
        };
        as_map(slot)
    }

    pub(crate) fn set_name(&mut self, name: impl Into<String>) {
        self.metadata_mut().set("name", Node::text(name));
    }

    /// Sets the namespace; an empty one takes the field away.
    pub(crate) fn set_namespace(&mut self, namespace: &str) {
        if namespace.is_empty() {
            self.metadata_mut().remove("namespace");
        } else {
            self.metadata_mut().set("namespace", Node::text(namespace));
        }
    }

    pub(crate) fn set_kind(&mut self, kind: &str) {
        if let Node::Map(map) = &mut self.node {
            map.set("kind", Node::text(kind));
        }
    }

    fn meta_map(&self, key: &str) -> impl Iterator<Item = (&str, &str)> + use<'_> {
        let map = self.node.get("metadata").and_then(|m| m.get(key)).and_then(Node::as_map);
        map.into_iter().flat_map(Map::iter).map(|(key, node)| (key, node.as_text()))
    }

    /// Annotations as texts.
    pub(crate) fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.meta_map("annotations")
    }

    /// Labels as texts.
    pub(crate) fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.meta_map("labels")
    }

    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations().find(|(k, _)| *k == key).map(|(_, value)| value)
    }

    pub(crate) fn set_annotation(&mut self, key: &str, value: impl Into<String>) {
        as_map(self.metadata_mut().entry("annotations", || Node::empty(Kind::Map))).set(key, Node::text(value));
    }

    /// Makes labels and annotations those of `older`, overridden by ours; name and namespace become `older`'s, and so
    /// does what is remembered (`CopyMergeMetaDataFieldsFrom`).
    pub(crate) fn take_metadata_from(&mut self, older: &Self) {
        for key in ["labels", "annotations"] {
            let mut merged: BTreeMap<String, String> = older.meta_map(key).map(owned).collect();
            merged.extend(self.meta_map(key).map(owned));
            let map = merged.into_iter().map(|(key, value)| (key, Node::text(value))).collect::<Vec<_>>();
            let metadata = self.metadata_mut();
            metadata.remove(key);
            if !map.is_empty() {
                metadata.set(key, Node::Map(Map(map)));
            }
        }
        self.set_name(older.name().to_owned());
        self.set_namespace(older.namespace());
        self.previous.clone_from(&older.previous);
        self.prefixes.clone_from(&older.prefixes);
        self.suffixes.clone_from(&older.suffixes);
        self.vars.clone_from(&older.vars);
        self.needs_hash &= older.needs_hash;
    }

    /// Takes Kustomize's own annotations away; those that stay become texts, as the real tool writes them.
    pub(crate) fn finish_annotations(&mut self, keep_origin: bool, keep_transformations: bool) {
        let Some(Node::Map(metadata)) = self.node.as_map_mut().and_then(|map| map.get_mut("metadata")) else { return };
        if let Some(Node::Map(map)) = metadata.get_mut("annotations") {
            map.0.retain(|(key, _)| match key.as_str() {
                "config.kubernetes.io/origin" => keep_origin,
                "alpha.config.kubernetes.io/transformations" => keep_transformations,
                key => !BUILD_ANNOTATIONS.contains(&key),
            });
            for (_, node) in &mut map.0 {
                match node {
                    Node::Scalar(Scalar { tag, .. }) => *tag = Tag::Str,
                    other => *other = Node::text(""),
                }
            }
        }
        let empty = match metadata.get("annotations") {
            Some(Node::Map(map)) => map.is_empty(),
            Some(_) => true,
            None => false,
        };
        if empty {
            metadata.remove("annotations");
        }
    }
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

/// The mapping in `node`, which becomes one where it is not.
pub(crate) fn as_map(node: &mut Node) -> &mut Map {
    if !matches!(node, Node::Map(_)) {
        *node = Node::empty(Kind::Map);
    }
    match node {
        Node::Map(map) => map,
        _ => unreachable!("made a mapping above"),
    }
}
