//! Implements `slipway app actions list|run` as argocd does (argoproj/argo-cd `cmd/argocd/commands/app_actions.go`).

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;
use slipway_cluster::Cluster;
use slipway_cluster::objects::ObjectRef;
use slipway_cluster::patch::{self, PatchType};
use slipway_gitops::actions::{self, ActionChange};
use slipway_gitops::api_resources::GroupKind;
use slipway_manifest::Object;

use super::connect::{self, recorded};
use super::resource::ResourceFlags;
use super::{ClusterFlags, Output};
use crate::view;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the actions that an application's objects have.
    List(List),
    /// Run an action: restart, scale, pause, resume, abort, promote-full …
    Run(Run),
}

#[derive(Args)]
pub(crate) struct List {
    /// The application's name, or NAMESPACE/NAME.
    name: String,
    #[command(flatten)]
    resource: ResourceFlags,
    /// How to print.
    #[arg(short, long, visible_alias = "out", value_enum, default_value = "wide")]
    output: Output,
    #[command(flatten)]
    flags: ClusterFlags,
}

#[derive(Args)]
pub(crate) struct Run {
    /// The application's name, or NAMESPACE/NAME.
    name: String,
    /// The action.
    action: String,
    #[command(flatten)]
    resource: ResourceFlags,
    /// What the action takes: `replicas=N` of `scale`.
    #[arg(long, value_name = "KEY=VALUE")]
    param: Vec<String>,
    /// Run it on all that fit.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    flags: ClusterFlags,
}

pub(super) async fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::List(arguments) => list(arguments).await,
        Command::Run(arguments) => act(arguments).await,
    }
}

async fn list(List { name, resource, output, flags }: &List) -> anyhow::Result<()> {
    let cluster = connect::cluster(flags).await?;
    let state = recorded(&cluster, name).await?.state;
    let mut rows = Vec::new();
    for (_, object) in resource.select(&cluster, &state.inventory, true).await? {
        for action in actions::actions(&object) {
            let cells = [object.group(), object.kind(), object.name(), action.name];
            let mut row: Vec<String> = cells.map(str::to_owned).into();
            row.push(action.is_disabled.to_string());
            rows.push(row);
        }
    }
    let header = ["GROUP", "KIND", "NAME", "ACTION", "DISABLED"].map(str::to_owned);
    // argocd prints its own Go structure, with these names.
    let named = rows.iter().map(|row| match row.as_slice() {
        [group, kind, name, action, disabled] => json!({"Group": group, "Kind": kind, "Name": name, "Action": action,
            "Disabled": disabled == "true"}),
        _ => json!({}),
    });
    output.print(&named.collect(), || view::table(&header, &rows));
    Ok(())
}

async fn act(arguments: &Run) -> anyhow::Result<()> {
    let mut replicas = None;
    for param in &arguments.param {
        match param.split_once('=') {
            Some(("replicas", number)) => {
                replicas = Some(number.parse().with_context(|| format!("`{number}` is no number of replicas"))?);
            }
            _ => bail!("the only parameter is `replicas=N`, not `{param}`"),
        }
    }
    let cluster = connect::cluster(&arguments.flags).await?;
    let state = recorded(&cluster, &arguments.name).await?.state;
    let found = arguments.resource.select(&cluster, &state.inventory, arguments.all).await?;
    let now = Timestamp::now();
    let mut changes = Vec::new();
    for (place, object) in found {
        changes.push((place, actions::change(&object, &arguments.action, replicas, now)?));
    }
    for (place, change) in changes {
        let id = place.id();
        carry_out(&cluster, place, change).await?;
        crate::println(&format!("{id}: {} done", arguments.action));
    }
    Ok(())
}

async fn carry_out(cluster: &Cluster, place: ObjectRef, change: ActionChange) -> anyhow::Result<()> {
    match change {
        ActionChange::Patch(body) => patch::patch(cluster, &place, (PatchType::Merge, &body), false).await?,
        ActionChange::PatchWithStatus(spec, status) => {
            if let Some(body) = spec {
                patch::patch(cluster, &place, (PatchType::Merge, &body), false).await?;
            }
            patch::patch(cluster, &place, (PatchType::Merge, &status), true).await?;
        }
        ActionChange::Create(body) => {
            let object = Object::from_value(body.clone())?;
            let kind = GroupKind::of(&object.id());
            let kinds = cluster.resolve(&[].into(), &[kind.clone()].into()).await;
            let place = ObjectRef::of(kinds.of_group_kind(&kind)?, &object);
            patch::create(cluster, &place, &body).await?;
        }
    }
    Ok(())
}
