//! A child process that ends with its owner, however the owner ends.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

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

/// A port that nothing listened on a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
