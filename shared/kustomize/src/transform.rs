//! What a kustomization does to its resources, one variant a built-in transformer (kustomize `api/internal/builtins`).

mod affix;
mod image;
mod namespace;
pub(crate) mod reference;
mod replacement;
mod value_add;
pub(crate) mod variable;

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::context::Context;
use crate::cost::{self, ENTRY};
use crate::error::Error;
use crate::fieldspec::{FieldSpec, Setter, set_entry};
use crate::id::Selector;
use crate::kustomization::{Image, Replica};
use crate::node::{Kind, Node, Scalar, Tag};
use crate::patch::{self, Operation, Patch};
use crate::resmap;
use crate::resource::Resource;

pub(crate) use affix::Side;
pub(crate) use namespace::Subjects;
pub(crate) use replacement::Replacement;
pub(crate) use value_add::Target as ValueTarget;

/// A configured transformer.
pub(crate) enum Transformer<'c> {
    /// `patchesStrategicMerge`.
    StrategicMerge { patches: Vec<Resource> },
    /// One entry of `patches`; `source` is for messages.
    Patch { patch: Patch, target: Option<Selector>, source: String },
    /// One entry of `patchesJson6902`.
    Json6902 { operations: Vec<Operation>, target: Selector },
    /// `namespace`.
    Namespace { namespace: String, specs: Cow<'c, [FieldSpec]>, unset_only: bool, subjects: Subjects },
    /// `namePrefix` or `nameSuffix`.
    Affix { side: Side, text: String, specs: Cow<'c, [FieldSpec]> },
    /// `labels`, `commonLabels`, `commonAnnotations`.
    Entries { entries: BTreeMap<String, String>, specs: Cow<'c, [FieldSpec]> },
    /// One entry of `replicas`.
    Replicas { replica: Replica, specs: Cow<'c, [FieldSpec]> },
    /// One entry of `images`.
    Image { image: Image, specs: Cow<'c, [FieldSpec]> },
    /// `replacements`.
    Replacements { replacements: Vec<Replacement> },
    /// The plugin `ValueAddTransformer`.
    ValueAdd { value: String, targets: Vec<ValueTarget> },
    /// The plugin `HashTransformer`, which ends every build too.
    Hash,
}

impl Transformer<'_> {
    /// Changes the resources.
    pub(crate) fn apply(&self, resources: &mut Vec<Resource>, cx: &Context) -> Result<(), Error> {
        cost::of_passes(resources, self.passes(), cx)?;
        match self {
            Self::StrategicMerge { patches } => patches.iter().try_for_each(|patch| {
                let index = resmap::the_one(resources, patch, cx)
                    .map_err(|e| e.within("no resource matches a patch of `patchesStrategicMerge`"))?;
                patch::apply_to(resources, &[index], patch, cx)
            }),
            Self::Patch { patch, target, source } => patch.apply(resources, target.as_ref(), source, cx),
            Self::Json6902 { operations, target } => patch::apply_json(resources, target, operations, false, cx),
            Self::Namespace { namespace, specs, unset_only, subjects } => {
                namespace::apply(resources, namespace, specs, *unset_only, *subjects, cx)
            }
            Self::Affix { side, text, specs } => affix::apply(resources, *side, text, specs, cx),
            Self::Entries { entries, specs } => set_entries(resources, entries, specs, cx),
            Self::Replicas { replica, specs } => set_replicas(resources, replica, specs, cx),
            Self::Image { image, specs } => image::apply(resources, image, specs, cx),
            Self::Replacements { replacements } => replacement::apply(resources, replacements, cx),
            Self::ValueAdd { value, targets } => value_add::apply(resources, value, targets, cx),
            Self::Hash => add_hashes(resources, cx),
        }
    }
}

impl Transformer<'_> {
    /// How often all resources are looked at. What is found by its identity alone pays when it is looked for.
    fn passes(&self) -> usize {
        /// Specs are compared with a kind only.
        const SPECS: usize = 8;
        match self {
            Self::StrategicMerge { .. } | Self::Patch { .. } | Self::Json6902 { .. } | Self::Hash => 1,
            Self::Namespace { specs, .. } => 3 + specs.len() / SPECS,
            Self::Affix { specs, .. } | Self::Entries { specs, .. } => 1 + specs.len() / SPECS,
            Self::Replicas { specs, .. } => 1 + specs.len(),
            Self::Image { specs, .. } => 2 + specs.len() / SPECS,
            Self::Replacements { replacements } => replacements.iter().map(Replacement::passes).sum(),
            Self::ValueAdd { targets, .. } => targets.len(),
        }
    }
}

/// Sets labels or annotations in all fields that the specs name.
fn set_entries(
    resources: &mut [Resource],
    entries: &BTreeMap<String, String>,
    specs: &[FieldSpec],
    cx: &Context,
) -> Result<(), Error> {
    if entries.is_empty() {
        return Ok(());
    }
    let bytes = entries.iter().map(|(key, value)| ENTRY + key.len() + value.len()).sum();
    let mut set = |node: &mut Node| {
        let known = node.as_map().map_or(0, |map| map.0.len());
        cost::of_text(&cx.budget, bytes)?;
        cx.budget.step((entries.len() * (4 + (known + entries.len()) / 8)) as u64)?;
        entries.iter().try_for_each(|(key, value)| set_entry(node, key, value))
    };
    each_field(resources, specs, Some(Kind::Map), &mut set, cx)
}

/// Calls `set` on every field of every resource that a spec points at.
fn each_field(
    resources: &mut [Resource],
    specs: &[FieldSpec],
    kind: Option<Kind>,
    set: &mut dyn FnMut(&mut Node) -> Result<(), Error>,
    cx: &Context,
) -> Result<(), Error> {
    for resource in resources {
        for spec in specs {
            apply_spec(resource, spec, kind, set, cx)?;
        }
    }
    Ok(())
}

/// Calls `set` on every field of one resource that the spec points at.
fn apply_spec(
    resource: &mut Resource,
    spec: &FieldSpec,
    kind: Option<Kind>,
    set: &mut dyn FnMut(&mut Node) -> Result<(), Error>,
    cx: &Context,
) -> Result<(), Error> {
    if !spec.selects(resource.gvk()) {
        return Ok(());
    }
    let done = Setter { kind, budget: &cx.budget, set }.apply(&mut resource.node, spec);
    done.map_err(|e| e.within(format!("considering field `{}` of {}", spec.path, resource.id(cx))))
}

fn set_replicas(resources: &mut [Resource], replica: &Replica, specs: &[FieldSpec], cx: &Context) -> Result<(), Error> {
    let mut found = false;
    let mut set = |node: &mut Node| match node {
        Node::Scalar(scalar) => {
            *scalar = Scalar { text: replica.count.to_string(), tag: Tag::Int };
            Ok(())
        }
        other => Err(Error::refused(format!("wrong node kind: expected a scalar, found {}", other.kind_name()))),
    };
    for spec in specs {
        for resource in resources.iter_mut() {
            if resource.any_id(cx, |id| id.name == replica.name && spec.selects(id.gvk)) {
                found = true;
                apply_spec(resource, spec, Some(Kind::Scalar), &mut set, cx)?;
            }
        }
    }
    if found {
        return Ok(());
    }
    let kinds: Vec<&str> = specs.iter().map(|spec| spec.kind.as_str()).collect();
    Err(Error::refused(format!("`replicas`: no {} has the name `{}`", kinds.join(", "), replica.name)))
}

fn add_hashes(resources: &mut [Resource], cx: &Context) -> Result<(), Error> {
    for resource in resources.iter_mut().filter(|resource| resource.needs_hash) {
        let size = cost::of_copy(&cx.budget, &resource.node)?;
        // Written as JSON, and hashed.
        cx.budget.step(size.as_node() as u64 / 4)?;
        let hash = crate::hash::suffix(resource)?;
        resource.store_previous_id(cx)?;
        resource.set_name(format!("{}-{hash}", resource.name()));
    }
    Ok(())
}
