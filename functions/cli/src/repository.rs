//! Implements `slipway repo list`: the repositories that the Applications of the root name.

use std::collections::BTreeMap;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::app::ListFlags;
use crate::app::connect::CliContext;
use crate::view;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the repositories.
    List(ListFlags),
}

pub(crate) async fn run(Command::List(ListFlags { output, source }): &Command) -> anyhow::Result<()> {
    let context = CliContext::open(source, "").await?;
    let mut found: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for source in context.root.members.iter().flat_map(|member| member.app.all_sources()) {
        let kind = if source.chart.is_some() { "helm" } else { "git" };
        *found.entry((kind, &source.repo_url)).or_default() += 1;
    }
    let values: Value =
        found.iter().map(|((kind, repo), count)| json!({"type": kind, "repo": repo, "applications": count})).collect();
    output.print(&values, || {
        let rows: Vec<Vec<String>> = found
            .iter()
            .map(|((kind, repo), count)| vec![(*kind).to_owned(), (*repo).to_owned(), count.to_string()])
            .collect();
        view::table(&["TYPE", "REPO", "APPLICATIONS"].map(str::to_owned), &rows)
    });
    Ok(())
}
