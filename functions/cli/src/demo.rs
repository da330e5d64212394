//! `slipway demo`.

use clap::Args;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Leave everything open until Ctrl-C, and print how to look around with kubectl.
    #[arg(long)]
    keep: bool,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { keep } = arguments;
    anyhow::bail!("not yet {keep}")
}
