//! `namePrefix` and `nameSuffix`.

use crate::context::Context;
use crate::cost;
use crate::error::Error;
use crate::fieldspec::{FieldSpec, set_text};
use crate::id::GvkRef;
use crate::node::{Kind, Node};
use crate::resource::Resource;

/// Which end of the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Prefix,
    Suffix,
}

/// Kinds whose names say what they are about.
fn keeps_its_name(gvk: GvkRef<'_>) -> bool {
    matches!(gvk.kind, "CustomResourceDefinition" | "Namespace")
        || gvk.kind == "APIService" && gvk.group == "apiregistration.k8s.io"
}

pub(super) fn apply(
    resources: &mut [Resource],
    side: Side,
    text: &str,
    specs: &[FieldSpec],
    cx: &Context,
) -> Result<(), Error> {
    let mut set = |node: &mut Node| {
        let name = match side {
            Side::Prefix => format!("{text}{}", node.as_text()),
            Side::Suffix => format!("{}{text}", node.as_text()),
        };
        set_text(node, &name, &cx.budget)
    };
    for resource in resources {
        if keeps_its_name(resource.original_id(cx).gvk) {
            continue;
        }
        for spec in specs {
            if !spec.selects(resource.original_id(cx).gvk) {
                continue;
            }
            if spec.path == "metadata/name" && !text.is_empty() {
                cost::of_text(&cx.budget, text.len() + size_of::<String>())?;
                match side {
                    Side::Prefix => resource.prefixes.push(text.to_owned()),
                    Side::Suffix => resource.suffixes.push(text.to_owned()),
                }
                resource.store_previous_id(cx)?;
            }
            super::apply_spec(resource, spec, Some(Kind::Scalar), &mut set, cx)?;
        }
    }
    Ok(())
}
