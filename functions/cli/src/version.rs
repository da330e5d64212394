//! Implements `slipway version`.

use clap::Args;
use serde_json::json;

use crate::app::Output;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Accepted for argocd's sake: no server is asked.
    #[arg(long)]
    client: bool,
    /// How to print.
    #[arg(short, long, value_enum, default_value = "wide")]
    output: Output,
}

pub(crate) fn run(Arguments { client: _, output }: &Arguments) {
    let version = env!("CARGO_PKG_VERSION");
    output.print(&json!({"client": {"Version": version}}), || format!("slipway: {version}"));
}
