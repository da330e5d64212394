//! Implements `slipway root …`: what the root declares, without a cluster.

pub(crate) mod check;
pub(crate) mod local;
mod print;

use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Check every Application that the root declares, without a cluster; the exit code is 1 where one is refused.
    Check(check::Arguments),
}

/// Runs a verb; returns the exit code.
pub(crate) async fn run(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Check(arguments) => Box::pin(check::run(&arguments)).await,
    }
}
