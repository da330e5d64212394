//! `namespace`: of every resource that has one, of the subjects of role bindings, and where field specs say.

use serde::Deserialize;

use crate::context::Context;
use crate::error::Error;
use crate::fieldspec::{FieldSpec, Setter, set_text};
use crate::node::{Kind, Node};
use crate::resmap;
use crate::resource::Resource;

/// Which subjects of a role binding get the namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Subjects {
    /// Those named `default`.
    #[default]
    #[serde(alias = "")]
    DefaultOnly,
    /// All service accounts.
    AllServiceAccounts,
    /// None.
    None,
}

pub(super) fn apply(
    resources: &mut [Resource],
    namespace: &str,
    specs: &[FieldSpec],
    unset_only: bool,
    subjects: Subjects,
    cx: &Context,
) -> Result<(), Error> {
    let mut set = |node: &mut Node| {
        if unset_only && !node.is_null_or_empty() && !node.as_text().is_empty() {
            Ok(())
        } else {
            set_text(node, namespace, &cx.budget)
        }
    };
    for resource in resources.iter_mut().filter(|resource| !resource.is_deleted()) {
        resource.store_previous_id(cx)?;
        apply_one(resource, specs, subjects, &mut set, cx)
            .map_err(|e| e.within(format!("namespace transformation failed for {}", resource.id(cx))))?;
    }
    resmap::check_unique(resources, cx).map_err(|e| e.within("namespace transformation produces an ID conflict"))
}

/// The namespace of one resource, without remembering the former one.
pub(super) fn apply_one(
    resource: &mut Resource,
    specs: &[FieldSpec],
    subjects: Subjects,
    set: &mut dyn FnMut(&mut Node) -> Result<(), Error>,
    cx: &Context,
) -> Result<(), Error> {
    if !cx.is_cluster_scoped(resource.api_version(), resource.kind()) {
        let spec = FieldSpec::everywhere("metadata/namespace");
        Setter { kind: Some(Kind::Scalar), budget: &cx.budget, set: &mut *set }.apply(&mut resource.node, &spec)?;
    }
    let is_binding = |kind: &str| matches!(kind, "RoleBinding" | "ClusterRoleBinding");
    if is_binding(resource.kind()) {
        set_subjects(resource, subjects, set, cx)?;
    }
    for spec in specs {
        let is_hacked = spec.path == "metadata/namespace"
            || spec.path == "metadata/name" && resource.api_version() != "v1"
            || spec.path == "subjects/namespace" && is_binding(&spec.kind) && is_binding(resource.kind());
        if !is_hacked && spec.selects(resource.gvk()) {
            Setter { kind: Some(Kind::Scalar), budget: &cx.budget, set: &mut *set }.apply(&mut resource.node, spec)?;
        }
    }
    Ok(())
}

fn set_subjects(
    resource: &mut Resource,
    subjects: Subjects,
    set: &mut dyn FnMut(&mut Node) -> Result<(), Error>,
    cx: &Context,
) -> Result<(), Error> {
    let list = match resource.node.as_map_mut().and_then(|map| map.get_mut("subjects")) {
        Some(Node::Seq(list)) => list,
        Some(other) if !other.is_null() => {
            return Err(Error::refused(format!("`subjects` must be a list, found {}", other.kind_name())));
        }
        _ => return Ok(()),
    };
    cx.budget.step(list.len() as u64)?;
    for subject in list {
        let wanted = match subjects {
            Subjects::DefaultOnly => subject.get("name").is_some_and(|name| name.as_text() == "default"),
            Subjects::AllServiceAccounts => subject.get("kind").is_some_and(|kind| kind.as_text() == "ServiceAccount"),
            Subjects::None => false,
        };
        if let Some(map) = subject.as_map_mut().filter(|_| wanted) {
            set(map.entry("namespace", || Node::empty(Kind::Scalar)))?;
        }
    }
    Ok(())
}
