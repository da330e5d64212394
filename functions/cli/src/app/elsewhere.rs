//! Answers the verbs of `argocd app` that change an Application on a server: here Git alone has it. Names the file.

use anyhow::bail;
use clap::{Args, Subcommand};

use super::SourceFlags;
use super::connect::CliContext;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Not here: an Application is created by a manifest in Git.
    #[command(hide = true)]
    Create(Arguments),
    /// Not here: an Application is changed in Git.
    #[command(hide = true)]
    Set(Arguments),
    /// Not here: an Application is changed in Git.
    #[command(hide = true)]
    Unset(Arguments),
    /// Not here: an Application is changed in Git.
    #[command(hide = true)]
    Edit(Arguments),
    /// Not here: an Application is changed in Git.
    #[command(hide = true)]
    Patch(Arguments),
    /// Not here: an Application is changed in Git.
    #[command(hide = true)]
    AddSource(Arguments),
    /// Not here: an Application is changed in Git.
    #[command(hide = true)]
    RemoveSource(Arguments),
    /// Not here: a deletion is approved by its digest.
    #[command(hide = true)]
    ConfirmDeletion(Arguments),
}

#[derive(Args)]
pub(crate) struct Arguments {
    /// Whatever argocd takes.
    #[arg(num_args = 0.., allow_hyphen_values = true, trailing_var_arg = true)]
    words: Vec<String>,
}

pub(super) async fn run(command: &Command) -> anyhow::Result<u8> {
    let Arguments { words } = match command {
        Command::Create(_) => {
            bail!("an application is created by adding an Application manifest to the root in Git, and pushing it")
        }
        Command::ConfirmDeletion(_) => {
            bail!(
                "a deletion is approved by `slipway app delete NAME --approve-prune DIGEST`, with the digest it tells"
            )
        }
        Command::Set(arguments)
        | Command::Unset(arguments)
        | Command::Edit(arguments)
        | Command::Patch(arguments)
        | Command::AddSource(arguments)
        | Command::RemoveSource(arguments) => arguments,
    };
    let Some(name) = words.iter().find(|word| !word.starts_with('-')) else {
        bail!("an application is changed in Git: change its manifest, and push it")
    };
    let context = Box::pin(CliContext::open(&SourceFlags::default(), name)).await?;
    match &context.member(name)?.declared {
        Some(declared) => {
            bail!("{name} is changed in Git: change {declared} in {}, and push it", context.engine.root.location)
        }
        None => bail!("{name} is changed where the root is named: {}", context.engine.root.location),
    }
}
