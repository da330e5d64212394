//! The order of the output (kustomize `SortOrderTransformer.go`).

use std::collections::{BTreeSet, HashMap};

use crate::context::Context;
use crate::cost;
use crate::error::Error;
use crate::id::{GvkRef, IdRef};
use crate::kustomization::SortOptions;
use crate::options::Order;
use crate::resource::Resource;

const FIRST: [&str; 22] = [
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];
const LAST: [&str; 2] = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// The place of a kind: below 0 for those that come first, 0 for most, above for those that come last.
pub(crate) fn legacy_rank(kind: &str) -> i32 {
    rank(kind, &FIRST, &LAST)
}

fn rank(kind: &str, first: &[impl AsRef<str>], last: &[impl AsRef<str>]) -> i32 {
    if let Some(index) = last.iter().rposition(|known| known.as_ref() == kind) {
        return i32::try_from(index + 1).unwrap_or(i32::MAX);
    }
    match first.iter().rposition(|known| known.as_ref() == kind) {
        Some(index) => -i32::try_from(first.len() - index).unwrap_or(i32::MAX),
        None => 0,
    }
}

/// Sorts the resources as `sortOptions` says, else as the caller does.
pub(crate) fn sort(
    resources: &mut Vec<Resource>,
    options: Option<&SortOptions>,
    order: Order,
    cx: &Context,
) -> Result<(), Error> {
    let legacy = match options {
        Some(options) => {
            let custom = options.legacy_sort_options.as_ref();
            match options.order.as_str() {
                "legacy" => custom,
                "fifo" if custom.is_some() => {
                    return Err(Error::refused(
                        "the field `sortOptions.legacySortOptions` is set but the selected sort order is `fifo`, not \
                         `legacy`",
                    ));
                }
                "fifo" => return Ok(()),
                other => {
                    return Err(Error::refused(format!(
                        "the field `sortOptions.order` must be one of [fifo, legacy], not `{other}`"
                    )));
                }
            }
        }
        None if order == Order::None => return Ok(()),
        None => None,
    };
    cost::of_passes(resources, 8, cx)?;
    let kinds: BTreeSet<&str> = resources.iter().map(Resource::kind).collect();
    let listed = legacy.map_or(0, |options| options.order_first.len() + options.order_last.len());
    cx.budget.step((kinds.len() * listed / 4) as u64)?;
    let texts = resources.iter().map(|r| 4 * (64 + r.kind().len() + r.name().len() + r.namespace().len()));
    cost::of_text(&cx.budget, texts.sum())?;
    let mut ranks: HashMap<String, i32> = HashMap::new();
    let mut keyed: Vec<(Key, Resource)> = std::mem::take(resources)
        .into_iter()
        .map(|resource| {
            let id = resource.id(cx);
            let rank = *ranks.entry(id.gvk.kind.to_owned()).or_insert_with(|| match legacy {
                Some(options) => rank(id.gvk.kind, &options.order_first, &options.order_last),
                None => legacy_rank(id.gvk.kind),
            });
            (key(rank, &id), resource)
        })
        .collect();
    keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
    *resources = keyed.into_iter().map(|(_, resource)| resource).collect();
    Ok(())
}

type Key = (i32, bool, String, String);

fn key(rank: i32, id: &IdRef<'_>) -> Key {
    let part = |text: &str, none: &str| if text.is_empty() { none.to_owned() } else { text.to_owned() };
    let GvkRef { group, version, kind } = id.gvk;
    let gvk = [part(group, "~G"), part(version, "~V"), part(kind, "~K")].join("_");
    // Among Namespaces the core group's come first, against the order of the text.
    let not_core = kind == "Namespace" && !group.is_empty();
    let name = [id.gvk.to_string(), part(id.namespace, "~X"), part(id.name, "~N")].join("|");
    (rank, not_core, gvk, name)
}
