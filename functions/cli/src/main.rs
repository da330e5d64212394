//! `slipway`: the engine of the functions from a shell.

mod app;
mod demo;
mod render;
mod view;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Deploys to EKS what Git says.
#[derive(Parser)]
#[command(name = "slipway", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print what would be applied, as YAML.
    Render(render::Arguments),
    /// Look at applications.
    #[command(subcommand)]
    App(App),
    /// Show the three functions at work, with nothing but this process.
    Demo(demo::Arguments),
}

#[derive(Subcommand)]
enum App {
    /// Print an application's status, as `argocd app get` prints it.
    Get(Get),
}

#[derive(Args)]
struct Get {
    /// The application's name, or NAMESPACE/NAME.
    name: String,
    /// The kubeconfig of its cluster; by default what `KUBECONFIG` names, or `~/.kube/config`.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context in it, if not the current one.
    #[arg(long)]
    context: Option<String>,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Render(arguments) => render::run(&arguments),
        Command::App(App::Get(Get { name, kubeconfig, context })) => {
            block_on(app::get(&name, kubeconfig, context.as_deref()))
        }
        Command::Demo(arguments) => block_on(demo::run(&arguments)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln(&format!("slipway: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Writes a line to standard output. A reader that left (`| head`) is no error.
pub(crate) fn println(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Writes a line to standard error.
pub(crate) fn eprintln(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{line}");
}
