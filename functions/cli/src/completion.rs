//! Implements `slipway completion`: scripts for shells, made of the commands themselves.

use clap::Args;
use clap_complete::Shell;

#[derive(Args)]
#[command(after_help = "Examples:\n  source <(slipway completion bash)\n  slipway completion zsh > \
    \"${fpath[1]}/_slipway\"\n  slipway completion fish > ~/.config/fish/completions/slipway.fish")]
pub(crate) struct Arguments {
    /// The shell.
    shell: Shell,
}

/// Prints the script for `command`.
pub(crate) fn run(arguments: &Arguments, command: &mut clap::Command) {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, command, "slipway", &mut script);
    crate::print(&String::from_utf8_lossy(&script));
}
