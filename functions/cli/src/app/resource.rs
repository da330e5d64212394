//! Chooses objects of an application by flags, as `argocd app patch-resource` and its kind do (argoproj/argo-cd
//! `cmd/util/common.go`, FilterResources), and implements what is done to one: `get-resource`, `patch-resource` and
//! `delete-resource`.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use serde_json::Value;
use slipway_cluster::Cluster;
use slipway_cluster::delete::{self, PruneResult};
use slipway_cluster::objects::{self, ObjectRef};
use slipway_cluster::patch::{self, PatchType};
use slipway_gitops::api_resources::GroupKind;
use slipway_gitops::prune_guard::Propagation;
use slipway_gitops::redact;
use slipway_manifest::{Object, ObjectId, yaml};

use super::connect::{self, recorded};
use super::{ClusterFlags, Output};

/// Which objects of an application.
#[derive(Args)]
pub(super) struct ResourceFlags {
    /// The API group; `""` is the core group.
    #[arg(long)]
    pub(super) group: Option<String>,
    /// The kind.
    #[arg(long)]
    pub(super) kind: Option<String>,
    /// The objects' namespace.
    #[arg(long)]
    pub(super) namespace: Option<String>,
    /// The object's name.
    #[arg(long, value_name = "NAME")]
    pub(super) resource_name: Option<String>,
}

impl ResourceFlags {
    fn fits(&self, id: &ObjectId) -> bool {
        let is = |wanted: &Option<String>, has: &str| wanted.as_ref().is_none_or(|wanted| wanted == has);
        is(&self.group, &id.group)
            && is(&self.kind, &id.kind)
            && is(&self.namespace, &id.namespace)
            && is(&self.resource_name, &id.name)
    }

    /// The live objects that fit; more than one only where `all` are wanted.
    pub(super) async fn select(
        &self,
        cluster: &Cluster,
        inventory: &BTreeSet<ObjectId>,
        all: bool,
    ) -> anyhow::Result<Vec<(ObjectRef, Object)>> {
        let wanted: Vec<&ObjectId> = inventory.iter().filter(|id| self.fits(id)).collect();
        let known: BTreeSet<GroupKind> = wanted.iter().copied().map(GroupKind::of).collect();
        let kinds = cluster.resolve(&BTreeSet::new(), &known).await;
        let places: Vec<ObjectRef> = wanted.into_iter().filter_map(|id| objects::recorded(&kinds, id)).collect();
        let (mut live, failures) = objects::get_all(cluster, &places).await;
        if let Some(failure) = failures.into_iter().next() {
            return Err(failure.into());
        }
        let found: Vec<(ObjectRef, Object)> =
            places.into_iter().filter_map(|place| Some((place.clone(), live.remove(&place.id())?))).collect();
        if found.is_empty() {
            let names: Vec<String> = inventory.iter().take(20).map(ToString::to_string).collect();
            bail!("no object of the application fits; it has: {}", names.join(", "));
        }
        if !all && found.len() > 1 {
            let names: Vec<String> = found.iter().map(|(place, _)| place.id().to_string()).collect();
            bail!("several objects fit: {}; name one, or use --all", names.join(", "));
        }
        Ok(found)
    }
}

#[derive(Args)]
pub(crate) struct Get {
    /// The application's name, or NAMESPACE/NAME.
    name: String,
    #[command(flatten)]
    resource: ResourceFlags,
    /// How to print.
    #[arg(short, long, value_enum, default_value = "yaml")]
    output: Output,
    #[command(flatten)]
    flags: ClusterFlags,
}

pub(super) async fn get(Get { name, resource, output, flags }: &Get) -> anyhow::Result<()> {
    let cluster = connect::cluster(flags).await?;
    let state = recorded(&cluster, name).await?.state;
    for (_, mut object) in resource.select(&cluster, &state.inventory, true).await? {
        redact::redact(&mut [&mut object], &[]);
        let value = object.into_value();
        crate::println("---");
        output.print(&value, || yaml::to_string(&value));
    }
    Ok(())
}

#[derive(Clone, Copy, ValueEnum)]
enum PatchFormat {
    #[value(name = "application/merge-patch+json", alias = "merge")]
    Merge,
    #[value(name = "application/json-patch+json", alias = "json")]
    Json,
    #[value(name = "application/strategic-merge-patch+json", alias = "strategic")]
    Strategic,
}

#[derive(Args)]
pub(crate) struct PatchArguments {
    /// The application's name, or NAMESPACE/NAME.
    name: String,
    #[command(flatten)]
    resource: ResourceFlags,
    /// The patch, as JSON.
    #[arg(long)]
    patch: String,
    /// How the patch is to be read.
    #[arg(long, value_enum, default_value = "application/merge-patch+json")]
    patch_type: PatchFormat,
    /// Patch all that fit.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    flags: ClusterFlags,
}

pub(super) async fn patch(arguments: &PatchArguments) -> anyhow::Result<()> {
    let body: Value = serde_json::from_str(&arguments.patch).context("--patch is no JSON")?;
    let kind = match arguments.patch_type {
        PatchFormat::Merge => PatchType::Merge,
        PatchFormat::Json => PatchType::Json,
        PatchFormat::Strategic => PatchType::StrategicMerge,
    };
    let cluster = connect::cluster(&arguments.flags).await?;
    let state = recorded(&cluster, &arguments.name).await?.state;
    for (place, _) in arguments.resource.select(&cluster, &state.inventory, arguments.all).await? {
        patch::patch(&cluster, &place, (kind, &body), false).await?;
        crate::println(&format!("{} patched; what Git has of it comes back with the next sync", place.id()));
    }
    Ok(())
}

#[derive(Args)]
pub(crate) struct Delete {
    /// The application's name, or NAMESPACE/NAME.
    name: String,
    #[command(flatten)]
    resource: ResourceFlags,
    /// Leave what it owns.
    #[arg(long)]
    orphan: bool,
    /// Accepted for argocd's sake: an object goes at once where no finalizer holds it.
    #[arg(long)]
    force: bool,
    /// Delete all that fit.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    flags: ClusterFlags,
}

pub(super) async fn delete(arguments: &Delete) -> anyhow::Result<()> {
    let cluster = connect::cluster(&arguments.flags).await?;
    let state = recorded(&cluster, &arguments.name).await?.state;
    let propagation = if arguments.orphan { Propagation::Orphan } else { Propagation::Foreground };
    for (place, live) in arguments.resource.select(&cluster, &state.inventory, arguments.all).await? {
        let id = place.id();
        match delete::delete(&cluster, &place, &live, propagation, false).await? {
            PruneResult::Deleted => crate::println(&format!("{id} deleted")),
            PruneResult::AlreadyDeleting => crate::println(&format!("{id} is being deleted already")),
            PruneResult::Gone => crate::println(&format!("{id} was gone")),
            PruneResult::Kept(why) => bail!("{id} is kept: {why}"),
        }
    }
    Ok(())
}
