//! Implements `slipway app logs`: the logs of all pods of an application, as `argocd app logs` prints them (argoproj/
//! argo-cd `cmd/argocd/commands/app.go`, NewApplicationLogsCommand).

use anyhow::{Context as _, bail};
use clap::Args;
use futures::StreamExt as _;
use slipway_cluster::logs::{self, LogParams};
use slipway_cluster::resource_tree::TreeNode;
use slipway_manifest::ObjectId;

use super::ClusterFlags;
use super::connect::{self, recorded};
use super::resource::ResourceFlags;
use super::resources;

/// Logs that are followed at the same time, as kubectl's `--max-log-requests`.
const MAX_FOLLOWED: usize = 20;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The application's name, or NAMESPACE/NAME.
    name: String,
    #[command(flatten)]
    resource: ResourceFlags,
    /// Only this container; by default each.
    #[arg(short, long)]
    container: Option<String>,
    /// Go on as lines are written.
    #[arg(short, long)]
    follow: bool,
    /// The container's run before the last restart.
    #[arg(short, long)]
    previous: bool,
    /// At most this many lines of each container, from its end.
    #[arg(long, value_name = "LINES")]
    tail: Option<i64>,
    /// Only lines of the last so many seconds.
    #[arg(short, long, value_name = "SECONDS")]
    since_seconds: Option<i64>,
    /// Only lines that contain this; with `!` before it, only those that don't.
    #[arg(long, visible_alias = "grep", value_name = "TEXT")]
    filter: Option<String>,
    #[command(flatten)]
    flags: ClusterFlags,
}

/// A container whose log is read.
struct Target {
    pod: ObjectId,
    container: String,
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let cluster = connect::cluster(&arguments.flags).await?;
    let found = recorded(&cluster, &arguments.name).await?;
    let tree = resources::read(&cluster, &found).await;
    resources::warn(&tree);
    let mut targets = Vec::new();
    for node in &tree.nodes {
        collect(node, false, arguments, &mut targets);
    }
    if targets.is_empty() {
        bail!("no container of {} fits", arguments.name);
    }
    if arguments.follow && targets.len() > MAX_FOLLOWED {
        bail!("{} logs can't be followed at once; choose with --kind, --resource-name or --container", targets.len());
    }
    let params = LogParams {
        follow: arguments.follow,
        previous: arguments.previous,
        tail_lines: arguments.tail,
        since_seconds: arguments.since_seconds,
        ..LogParams::default()
    };
    let is_several = targets.len() > 1;
    let is_wanted = |line: &str| match arguments.filter.as_deref() {
        None => true,
        Some(text) => text.strip_prefix('!').map_or_else(|| line.contains(text), |not| !line.contains(not)),
    };
    let read = |target: Target| {
        let (cluster, params) = (&cluster, LogParams { container: Some(target.container.clone()), ..params.clone() });
        async move {
            let Target { pod, container } = target;
            let lines = logs::lines(cluster, (&pod.namespace, &pod.name), &params).await;
            let lines = lines.with_context(|| format!("failed to read the log of {container} in {pod}"))?;
            let mut lines = std::pin::pin!(lines);
            while let Some(line) = lines.next().await {
                let line = line.with_context(|| format!("failed to read the log of {container} in {pod}"))?;
                let shown = if is_several { format!("{}/{container} {line}", pod.name) } else { line };
                if is_wanted(&shown) {
                    crate::println(&shown);
                }
            }
            anyhow::Ok(())
        }
    };
    // Followed logs come as they are written, others one after the other.
    let width = if arguments.follow { MAX_FOLLOWED } else { 1 };
    let mut all = futures::stream::iter(targets).map(read).buffer_unordered(width);
    let mut failed = 0_usize;
    while let Some(done) = all.next().await {
        if let Err(error) = done {
            failed += 1;
            crate::eprintln(&format!("warning: {error:#}"));
        }
    }
    if failed > 0 {
        bail!("{failed} logs could not be read");
    }
    Ok(())
}

/// The containers of the pods at and below `node` that the flags choose; `chosen` where an object above it was.
fn collect(node: &TreeNode, chosen: bool, arguments: &Arguments, targets: &mut Vec<Target>) {
    let ResourceFlags { group, kind, namespace, resource_name } = &arguments.resource;
    let is = |wanted: &Option<String>, has: &str| wanted.as_ref().is_none_or(|wanted| wanted == has);
    let chosen = chosen || (is(group, &node.id.group) && is(kind, &node.id.kind) && is(resource_name, &node.id.name));
    if let Some(pod) = node.object.as_ref().filter(|_| node.id.group.is_empty() && node.id.kind == "Pod")
        && chosen
        && is(namespace, &node.id.namespace)
    {
        let containers = logs::containers(pod).into_iter().filter(|name| is(&arguments.container, name));
        targets.extend(containers.map(|container| Target { pod: node.id.clone(), container }));
    }
    for child in &node.children {
        collect(child, chosen, arguments, targets);
    }
}
