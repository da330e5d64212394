//! Implements `slipway app resources`, and the tree that `slipway app get -o tree` prints (argoproj/argo-cd
//! `cmd/argocd/commands/{app_resources,tree}.go`).

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::Value;
use slipway_cluster::Cluster;
use slipway_cluster::resource_tree::{ResourceTree, TreeNode, resource_tree};
use slipway_cluster::state::StoredState;
use slipway_gitops::health;
use slipway_manifest::{Object, ObjectId};

use super::ClusterFlags;
use super::connect::{self, recorded};
use crate::view;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The application's name, or NAMESPACE/NAME.
    name: String,
    /// List only what no application has and nothing owns in the application's namespace.
    #[arg(long)]
    orphaned: bool,
    /// How to print: `tree` has what the objects own, too, `tree=detailed` their age and health.
    #[arg(short, long, value_enum, default_value = "wide")]
    output: TreeOutput,
    #[command(flatten)]
    flags: ClusterFlags,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TreeOutput {
    Wide,
    Tree,
    #[value(name = "tree=detailed")]
    Detailed,
}

pub(super) async fn run(Arguments { name, orphaned, output, flags }: &Arguments) -> anyhow::Result<()> {
    let cluster = connect::cluster(flags).await?;
    let found = recorded(&cluster, name).await?;
    let tree = read(&cluster, &found).await;
    let now = Timestamp::now();
    let mut rows = Vec::new();
    let mut add = |id: &ObjectId, prefix: &str, orphaned: &str, object: Option<&Object>| {
        let cells = [&id.group, &id.kind, &id.namespace].map(Clone::clone);
        let mut row: Vec<String> = cells.into();
        row.extend([format!("{prefix}{}", id.name), orphaned.to_owned()]);
        if *output == TreeOutput::Detailed {
            let health = object.and_then(health::of);
            row.push(object.and_then(|object| age(object, now)).unwrap_or_default());
            row.push(health.as_ref().map(|health| format!("{:?}", health.health)).unwrap_or_default());
            row.push(health.map(|health| health.message).unwrap_or_default());
        }
        rows.push(row);
    };
    if !*orphaned {
        let is_tree = *output != TreeOutput::Wide;
        walk(&tree.nodes, "", &mut |node, prefix| {
            if is_tree || prefix.is_empty() {
                add(&node.id, prefix, "No", node.object.as_ref());
            }
        });
    }
    for id in &tree.orphaned {
        add(id, "", "Yes", None);
    }
    let mut header: Vec<String> = ["GROUP", "KIND", "NAMESPACE", "NAME", "ORPHANED"].map(str::to_owned).into();
    if *output == TreeOutput::Detailed {
        header.extend(["AGE", "HEALTH", "REASON"].map(str::to_owned));
    }
    crate::print(&view::table(&header, &rows));
    warn(&tree);
    Ok(())
}

/// The tree of an application's recorded objects.
pub(super) async fn read(cluster: &Cluster, found: &StoredState) -> ResourceTree {
    let application = found.state.notes.get("application");
    let namespace = application.and_then(|app| app.pointer("/spec/destination/namespace")?.as_str());
    resource_tree(cluster, &found.state.inventory, namespace.unwrap_or_default()).await
}

/// What could not be read is said: a tree that lacks it must not look whole.
pub(super) fn warn(tree: &ResourceTree) {
    for failure in &tree.failures {
        crate::eprintln(&format!("warning: {}", slipway::error::chain(failure)));
    }
}

/// The tree with the status and health of each object, by the rows of its recorded `status`.
pub(super) fn table(tree: &ResourceTree, application: &Value) -> String {
    let rows = application.pointer("/status/resources").and_then(Value::as_array).into_iter().flatten();
    let text = |row: &Value, pointer: &str| row.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let known: BTreeMap<ObjectId, &Value> = rows
        .map(|row| {
            let [group, kind, namespace, name] =
                ["/group", "/kind", "/namespace", "/name"].map(|pointer| text(row, pointer));
            (ObjectId::new(&group, &kind, &namespace, &name), row)
        })
        .collect();
    let mut lines = Vec::new();
    walk(&tree.nodes, "", &mut |node, prefix| {
        let status = known.get(&node.id).map(|row| text(row, "/status")).unwrap_or_default();
        let health = node.object.as_ref().and_then(health::of);
        let (health, message) = match health {
            Some(health) => (format!("{:?}", health.health), health.message),
            None => Default::default(),
        };
        lines.push(vec![format!("{prefix}{}/{}", node.id.kind, node.id.name), status, health, message]);
    });
    view::table(&["KIND/NAME", "STATUS", "HEALTH", "MESSAGE"].map(str::to_owned), &lines)
}

/// Visits each node with the lines that lead to it.
fn walk<'a>(nodes: &'a [TreeNode], above: &str, visit: &mut impl FnMut(&'a TreeNode, &str)) {
    fn below<'a>(node: &'a TreeNode, above: &str, visit: &mut impl FnMut(&'a TreeNode, &str)) {
        for (at, child) in node.children.iter().enumerate() {
            let is_last = at + 1 == node.children.len();
            visit(child, &format!("{above}{}", if is_last { "└─" } else { "├─" }));
            below(child, &format!("{above}{}", if is_last { "  " } else { "│ " }), visit);
        }
    }
    for node in nodes {
        visit(node, above);
        below(node, above, visit);
    }
}

/// How old the object is, in kubectl's short form.
fn age(object: &Object, now: Timestamp) -> Option<String> {
    let created: Timestamp = object.pointer("/metadata/creationTimestamp")?.as_str()?.parse().ok()?;
    let seconds = now.duration_since(created).as_secs().max(0);
    Some(match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    })
}
