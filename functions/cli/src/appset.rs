//! Implements `slipway appset list`: the ApplicationSets of the root, and what each makes.

use std::collections::BTreeMap;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::app::ListFlags;
use crate::app::connect::CliContext;
use crate::view;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the ApplicationSets that make Applications.
    List(ListFlags),
}

pub(crate) async fn run(Command::List(ListFlags { output, source }): &Command) -> anyhow::Result<()> {
    let context = CliContext::open(source, "").await?;
    let mut sets: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for member in context.root.members.iter().filter(|member| member.set.is_some()) {
        let declared = member.declared.as_ref().map(ToString::to_string).unwrap_or_default();
        let (namespace, name) = member.identity();
        sets.entry(declared).or_default().push(format!("{namespace}/{name}"));
    }
    let values: Value =
        sets.iter().map(|(declared, made)| json!({"declaredIn": declared, "applications": made})).collect();
    output.print(&values, || {
        let rows: Vec<Vec<String>> = sets
            .iter()
            .map(|(declared, made)| vec![declared.clone(), made.len().to_string(), made.join(",")])
            .collect();
        view::table(&["DECLARED IN", "COUNT", "APPLICATIONS"].map(str::to_owned), &rows)
    });
    Ok(())
}
