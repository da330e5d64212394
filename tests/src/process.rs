//! A child process and a folder that end with their owner, however the owner ends.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// Waits for the program or for the end of its own standard input, whichever is first, and leaves nothing behind.
/// The test process holds the other end of that pipe, so its death, even by a signal, ends the program.
const WATCH: &str = r#"exec 3<&0 </dev/null
"$@" 3<&- &
program=$!
{ read -r _ <&3; kill -KILL $program; } 2>/dev/null &
watch=$!
wait $program
status=$?
kill $watch 2>/dev/null
exit $status"#;

/// A running program with its output in a file.
#[derive(Debug)]
pub(crate) struct Process {
    watched: Child,
    name: String,
}

impl Process {
    /// Starts `command` (its program, arguments, environment and folder), with both outputs appended to `log`.
    ///
    /// # Errors
    /// When the log cannot be opened or there is no shell.
    pub(crate) fn start(command: &Command, log: &Path) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("failed to open {}", log.display()))?;
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(WATCH).arg("sh").arg(command.get_program()).args(command.get_args());
        shell.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        if let Some(folder) = command.get_current_dir() {
            shell.current_dir(folder);
        }
        let watched = shell
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("failed to start {name}"))?;
        Ok(Self { watched, name })
    }

    /// An error naming the program if it has ended.
    pub(crate) fn alive(&mut self) -> Result<()> {
        match self.watched.try_wait()? {
            None => Ok(()),
            Some(status) => anyhow::bail!("{} ended: {status}", self.name),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.watched.stdin.take());
        let _ = self.watched.wait();
    }
}

/// Waits for the end of its standard input and removes the folder. A program that is being killed may still write
/// there.
const SWEEP: &str = r#"trap '' INT TERM HUP
read -r _
for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- "$1" && exit; sleep 0.5; done"#;

/// A temporary folder that goes with its owner. A `TempDir` stays when its owner is killed or is a `static`, and a
/// control plane's holds 140 MB.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    sweep: Child,
}

impl Folder {
    /// Makes an empty folder of that prefix.
    ///
    /// # Errors
    /// When it cannot be made or there is no shell.
    pub(crate) fn new(prefix: &str) -> Result<Self> {
        let folder = TempDir::with_prefix(prefix)?;
        let mut shell = Command::new("sh");
        shell.args(["-c", SWEEP, "sh"]).arg(folder.path());
        let sweep = shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Self { path: folder.keep(), sweep })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(self.sweep.stdin.take());
        let _ = self.sweep.wait();
    }
}

/// A port that nothing listened on a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
