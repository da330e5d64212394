//! Runs `slipway`: deploys from a shell, with the code of the functions.

mod app;
mod appset;
mod aws;
mod cluster;
mod completion;
mod demo;
mod doctor;
mod github;
mod images;
mod init;
mod project;
mod promotions;
mod render;
mod repository;
mod root;
mod up;
mod version;
mod view;
mod webhook;

use std::borrow::Cow;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use slipway::printable::printable;

/// mimalloc: glibc's per-thread arenas grow page by page, which slows down rendering in its own threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EXAMPLES: &str = "Examples:
  slipway demo                       see the three functions at work, with nothing but this process
  slipway root check --local .       see what Slipway makes of the Applications in this repository
  slipway init                       prepare an installation
  slipway doctor --stack slipway     check one
  slipway app list                   see what is deployed

README.md begins at the beginning; infra/OPERATIONS.md says what to do when something fails.";

/// Deploys to EKS what Git says.
#[derive(Parser)]
#[command(name = "slipway", version, about, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print what would be applied, as YAML.
    Render(render::Arguments),
    /// Look at what the root declares.
    #[command(subcommand)]
    Root(root::Command),
    /// List, compare, sync and delete applications.
    #[command(subcommand)]
    App(app::Command),
    /// Look at the AppProjects that the root declares.
    #[command(subcommand)]
    Proj(project::Command),
    /// Look at the clusters that the root declares.
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// Look at the repositories that the Applications name.
    #[command(subcommand)]
    Repo(repository::Command),
    /// Look at the ApplicationSets that the root declares.
    #[command(subcommand)]
    Appset(appset::Command),
    /// Prepare an installation: ask what it needs, write samconfig.toml, and create the GitHub App.
    Init(init::Arguments),
    /// Deploy the stack from a folder of zips, by CloudFormation alone.
    Up(up::Arguments),
    /// Point the webhook of the GitHub App to the stack, with its secret.
    Webhook(webhook::Arguments),
    /// Check an installation: secrets, GitHub, queues, functions, cluster, root; the exit code is 1 where one failed.
    Doctor(doctor::Arguments),
    /// Show which tags images get and why, and write them to Git.
    #[command(subcommand)]
    Images(images::Command),
    /// Show which images are promoted from one Application to the next, and what they wait for.
    Promotions(promotions::Arguments),
    /// Show the three functions at work, with nothing but this process.
    Demo(demo::Arguments),
    /// Print the version.
    Version(version::Arguments),
    /// Print a script that completes commands and flags in a shell.
    Completion(completion::Arguments),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Render(arguments) => render::run(&arguments).map(|()| 0),
        Command::Root(command) => run(async || Box::pin(root::run(command)).await),
        Command::App(command) => run(async || Box::pin(app::run(command)).await),
        Command::Proj(command) => run(async || Box::pin(project::run(&command)).await).map(|()| 0),
        Command::Cluster(command) => run(async || Box::pin(cluster::run(&command)).await).map(|()| 0),
        Command::Repo(command) => run(async || Box::pin(repository::run(&command)).await).map(|()| 0),
        Command::Appset(command) => run(async || Box::pin(appset::run(&command)).await).map(|()| 0),
        Command::Init(arguments) => run(async || Box::pin(init::run(&arguments)).await).map(|()| 0),
        Command::Up(arguments) => run(async || Box::pin(up::run(&arguments)).await).map(|()| 0),
        Command::Webhook(arguments) => run(async || Box::pin(webhook::run(&arguments)).await).map(|()| 0),
        Command::Doctor(arguments) => run(async || Box::pin(doctor::run(&arguments)).await),
        Command::Images(command) => run(async || Box::pin(images::run(command)).await),
        Command::Promotions(arguments) => run(async || Box::pin(promotions::run(&arguments)).await).map(|()| 0),
        Command::Demo(arguments) => run(async || demo::run(&arguments).await).map(|()| 0),
        Command::Version(arguments) => {
            version::run(&arguments);
            Ok(0)
        }
        Command::Completion(arguments) => {
            completion::run(&arguments, &mut Cli::command());
            Ok(0)
        }
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln(&format!("slipway: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run<T>(work: impl AsyncFnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    slipway::invocation::run(work)?
}

#[cfg(test)]
mod tests;

/// Writes a line to standard output. A closed pipe (`| head`) is no error.
pub(crate) fn println(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{}", shown(line));
}

/// Writes to standard output. A closed pipe is no error.
pub(crate) fn print(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stdout().write_all(shown(text).as_bytes());
}

/// What a terminal gets of the text; a pipe or a file gets all of it unchanged.
fn shown(text: &str) -> Cow<'_, str> {
    if std::io::stdout().is_terminal() { printable(text) } else { Cow::Borrowed(text) }
}

/// Writes a line to standard error.
pub(crate) fn eprintln(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{}", printable(line));
}
