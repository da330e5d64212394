//! Patches: which resources they are for, and how they are applied (kustomize `PatchTransformer.go` and its elders).

mod json;
mod list;
pub(crate) mod merge;

use slipway_budget::Budget;

use crate::context::Context;
use crate::cost::{self, Size};
use crate::error::Error;
use crate::id::Selector;
use crate::node::{Kind, Node};
use crate::resmap;
use crate::resource::Resource;
use crate::selector::Matcher;

pub(crate) use json::{Operation, parse_patch};

/// What a patch's text turned out to be.
pub(crate) enum Patch {
    /// Strategic merge patches, one a document.
    Merge(Vec<Resource>),
    /// JSON patch operations.
    Json(Vec<Operation>),
}

impl Patch {
    /// Reads an entry of `patches`: a text is one kind or the other, never both. `source` is for messages.
    pub(crate) fn read(text: &str, source: &str, budget: &Budget) -> Result<Self, Error> {
        let merges = resmap::read(text, source, budget);
        let operations = parse_patch(text, source, budget);
        match (merges, operations) {
            (Err(e), _) | (_, Err(e)) if e.is_exceeded() => Err(e),
            (Ok(merges), Ok(operations)) if !merges.is_empty() && !operations.is_empty() => {
                Err(Error::refused(format!("illegally qualifies as both an SM and JSON patch: {source}")))
            }
            (Ok(merges), _) if !merges.is_empty() => Ok(Self::Merge(merges)),
            (_, Ok(operations)) => Ok(Self::Json(operations)),
            (Ok(_), Err(_)) => Ok(Self::Json(Vec::new())),
            (Err(e), Err(_)) => Err(e.within(format!("unable to parse SM or JSON patch from {source}"))),
        }
    }

    /// Applies the patch to what `target` selects, or else to the one resource that each patch names.
    pub(crate) fn apply(
        &self,
        resources: &mut Vec<Resource>,
        target: Option<&Selector>,
        source: &str,
        cx: &Context,
    ) -> Result<(), Error> {
        match (self, target) {
            (Self::Merge(patches), Some(target)) => match patches.as_slice() {
                [patch] => {
                    let matcher = Matcher::new(target, cx)?;
                    let mut selected = Vec::new();
                    for (index, resource) in resources.iter().enumerate() {
                        if matcher.matches(resource, cx)? {
                            selected.push(index);
                        }
                    }
                    apply_to(resources, &selected, patch, cx)
                }
                _ => Err(Error::refused(format!(
                    "multiple strategic-merge patches in one `patches` entry may not have `patches.target`: {source}"
                ))),
            },
            (Self::Merge(patches), None) => {
                for patch in patches {
                    let index = resmap::the_one(resources, patch, cx)
                        .map_err(|e| e.within(format!("no resource matches the strategic merge patch in {source}")))?;
                    if let Some(resource) = resources.get_mut(index) {
                        apply_merge(resource, patch, cx)?;
                    }
                }
                Ok(())
            }
            (Self::Json(_), None) => Err(Error::refused(format!("must specify a target for JSON patch {source}"))),
            (Self::Json(operations), Some(target)) => apply_json(resources, target, operations, true, cx),
        }
    }
}

/// Applies one strategic merge patch to the resources at these places; deleted ones go, and no two may be alike after
/// it.
pub(crate) fn apply_to(
    resources: &mut Vec<Resource>,
    selected: &[usize],
    patch: &Resource,
    cx: &Context,
) -> Result<(), Error> {
    cost::of_copy(&cx.budget, &patch.node)?;
    cost::of_copy(&cx.budget, &patch.node)?;
    cost::of_passes(resources, 1, cx)?;
    // Labels and annotations of such a patch are texts, even its nulls.
    let mut patch = patch.clone();
    let original = patch.clone();
    patch.take_metadata_from(&original);
    for &index in selected {
        if let Some(resource) = resources.get_mut(index) {
            let api_version = resource.api_version().to_owned();
            apply_merge(resource, &patch, cx)?;
            // Such a patch does not change the version, whichever its own is.
            if let Some(map) = resource.node.as_map_mut().filter(|map| !map.is_empty() && !api_version.is_empty()) {
                map.set("apiVersion", Node::text(api_version));
            }
        }
    }
    resources.retain(|resource| !resource.is_deleted());
    if patch.allow_kind_change || patch.allow_name_change {
        resmap::check_unique(resources, cx)?;
    }
    Ok(())
}

/// Applies one strategic merge patch; name and kind change only where the patch may do that.
pub(crate) fn apply_merge(resource: &mut Resource, patch: &Resource, cx: &Context) -> Result<(), Error> {
    let (name, namespace, kind) =
        (resource.name().to_owned(), resource.namespace().to_owned(), resource.kind().to_owned());
    let label = resource.id(cx).to_string();
    // Kustomize merges into the object that it has, and drops what would come in its place.
    if patch.node.get("$patch").is_some_and(|directive| directive.as_text() == "replace") {
        return Ok(());
    }
    if patch.allow_name_change || patch.allow_kind_change {
        resource.store_previous_id(cx)?;
    }
    cx.budget.step(2 * Size::of(&resource.node).steps())?;
    cost::of_copy(&cx.budget, &patch.node)?;
    let target = std::mem::take(&mut resource.node);
    let merged = merge::merge(target, &patch.node, cx).map_err(|e| e.within(format!("failed to patch {label}")))?;
    let Some(node) = merged.filter(|node| !node.is_null_or_empty()) else { return Ok(()) };
    resource.node = node;
    if !patch.allow_kind_change {
        resource.set_kind(&kind);
    }
    if !patch.allow_name_change {
        resource.set_name(name);
    }
    resource.set_namespace(&namespace);
    Ok(())
}

/// Applies JSON patch operations to what `target` selects. `remember` keeps the former identity, as `patches` does and
/// `patchesJson6902` does not.
pub(crate) fn apply_json(
    resources: &mut [Resource],
    target: &Selector,
    operations: &[Operation],
    remember: bool,
    cx: &Context,
) -> Result<(), Error> {
    let matcher = Matcher::new(target, cx)?;
    let selected: Vec<bool> =
        resources.iter().map(|resource| matcher.matches(resource, cx)).collect::<Result<_, Error>>()?;
    for (resource, _) in resources.iter_mut().zip(selected).filter(|(_, selected)| *selected) {
        let label = resource.id(cx).to_string();
        let failed = |e: Error| e.within(format!("failed to patch {label}"));
        if remember {
            resource.store_previous_id(cx).map_err(|e| failed(e.into()))?;
        }
        if resource.has_build_state() {
            // The real tool has annotations of its own by now, so a patch may add to them.
            resource.metadata_mut().entry("annotations", || Node::empty(Kind::Map));
        }
        // To a value and back.
        cost::of_copy(&cx.budget, &resource.node).map_err(|e| failed(e.into()))?;
        cost::of_conversion(&cx.budget, &resource.node).map_err(|e| failed(e.into()))?;
        let mut value = resource.node.to_value().map_err(|e| failed(Error::Refused(e)))?;
        json::apply(&mut value, operations, &cx.budget).map_err(failed)?;
        resource.node = Node::from_value(value);
    }
    Ok(())
}
