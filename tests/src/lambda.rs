//! The very binaries that are deployed, under AWS's own runtime interface emulator.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::http;
use crate::process::{Folder, Process, free_port};
use crate::skip::{Unavailable, or_skip};
use crate::tools;

/// The folder with the workspace's binaries, built in the profile that this test was built in.
///
/// Cargo builds no other package's binaries for a test (artifact dependencies are unstable), so this asks it to, once a
/// process: for the whole workspace and with a test, so that features resolve as for `cargo test --workspace`, and
/// everything below the binaries is there already. Cargo's own lock serialises the test binaries that ask at once.
///
/// # Panics
/// If they do not build.
pub fn binaries() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let profile = profile_folder();
        let release = profile.ends_with("release").then_some("--release");
        build(&profile, ["--workspace", "--test", "harness"].into_iter().chain(release));
        profile
    })
}

/// The folder with the binaries as they are deployed: the release profile, and no feature that only a test asks for.
///
/// # Panics
/// If they do not build.
pub fn release_binaries() -> PathBuf {
    let profile = profile_folder().with_file_name("release");
    let functions = ["slipway-ecr-push", "slipway-github-webhook", "slipway-drift-check"];
    build(&profile, ["--release"].into_iter().chain(functions.iter().flat_map(|package| ["-p", package])));
    profile
}

/// The command line, built as it is shipped.
pub fn release_command() -> PathBuf {
    let profile = profile_folder().with_file_name("release");
    build(&profile, ["--release", "-p", "slipway-cli"]);
    profile.join("slipway")
}

fn build<'a>(profile: &Path, arguments: impl IntoIterator<Item = &'a str>) {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(tools::workspace()).args(["build", "--quiet", "--bins"]).args(arguments);
    // Cargo tells a test about its package; build scripts that read the same of theirs (ring's) would run again for it.
    let of_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in env::vars().filter(|(name, _)| of_package(name)) {
        cargo.env_remove(name);
    }
    cargo.arg("--target-dir").arg(profile.parent().expect("a profile lies in target"));
    tools::run(&mut cargo).unwrap_or_else(|error| panic!("{error:#}"));
}

/// `target/PROFILE` of the running test, which lies in `target/PROFILE/deps`.
fn profile_folder() -> PathBuf {
    let this = env::current_exe().expect("a test has a path");
    this.ancestors().nth(2).expect("a test lies in target/PROFILE/deps").to_path_buf()
}

/// What a function's process has used.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Processor time.
    pub cpu: Duration,
    /// The most memory that it held at a time, in bytes.
    pub peak: u64,
}

/// One instance of a function, as Lambda would run it: one invocation at a time.
#[derive(Debug)]
pub struct Function {
    url: String,
    binary: PathBuf,
    /// What tells its process from others of the binary.
    runtime_api: String,
    log: PathBuf,
    _process: Process,
    _data: Folder,
}

impl Function {
    /// Starts the emulator for `binary` with nothing but `environment` in its environment.
    /// As in Lambda, the function itself starts with the first invocation.
    pub async fn start(binary: &Path, environment: &[(String, String)]) -> Option<Self> {
        or_skip("the Lambda runtime", Self::boot(binary, environment).await)
    }

    async fn boot(binary: &Path, environment: &[(String, String)]) -> Result<Self, Unavailable> {
        let emulator = tools::runtime_emulator()?;
        let data = Folder::new("slipway-function-")?;
        let log = data.path().join("log");
        let name = binary.file_name().context("a binary has a name")?;
        let port = free_port()?;
        let mut command = Command::new("env");
        command.arg("-i").args(environment.iter().map(|(key, value)| format!("{key}={value}")));
        command.arg(format!("AWS_LAMBDA_FUNCTION_NAME={}", name.to_string_lossy()));
        command.arg("AWS_LAMBDA_FUNCTION_VERSION=$LATEST").arg("AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512");
        command.arg(emulator);
        command.args(["--runtime-interface-emulator-address", &format!("127.0.0.1:{port}")]);
        let runtime_api = format!("127.0.0.1:{}", free_port()?);
        command.args(["--runtime-api-address", &runtime_api]);
        command.arg(binary).current_dir(data.path());
        let process = Process::start(&command, &log)?;
        let url = format!("http://127.0.0.1:{port}/2015-03-31/functions/function/invocations");
        http::wait_for(&format!("http://127.0.0.1:{port}/"), Duration::from_secs(20)).await?;
        Ok(Self { url, binary: binary.canonicalize()?, runtime_api, log, _process: process, _data: data })
    }

    /// Sends one event and gives the answer; an error of the function's own is an object with `errorType`.
    ///
    /// # Panics
    /// If there is no answer within five minutes, or one that is no JSON.
    pub async fn invoke(&self, event: &Value) -> Value {
        let sent = http::request("POST", &self.url, event.to_string().into_bytes(), Duration::from_mins(5)).await;
        let (_, body) = sent.unwrap_or_else(|error| panic!("{error:#}\n{}", self.log()));
        serde_json::from_slice(&body).unwrap_or_else(|error| {
            panic!("the function answered no JSON ({error}): {}\n{}", String::from_utf8_lossy(&body), self.log())
        })
    }

    /// What the function's process has used so far; `None` before the first event, which starts it.
    pub fn usage(&self) -> Option<Usage> {
        let processes = fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.path());
        let setting = format!("AWS_LAMBDA_RUNTIME_API={}\0", self.runtime_api);
        let has_setting = |text: Vec<u8>| String::from_utf8_lossy(&text).contains(&setting);
        let ours = |path: &PathBuf| {
            fs::read_link(path.join("exe")).is_ok_and(|exe| exe == self.binary)
                && fs::read(path.join("environ")).is_ok_and(has_setting)
        };
        let newest =
            processes.filter(ours).max_by_key(|path| fs::metadata(path).and_then(|data| data.modified()).ok())?;
        let peak = fs::read_to_string(newest.join("status")).ok()?;
        let peak =
            peak.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.parse::<u64>();
        // utime and stime (proc_pid_stat(5)), in ticks of a hundredth of a second, after the name in brackets.
        let stat = fs::read_to_string(newest.join("stat")).ok()?;
        let ticks = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok());
        Some(Usage { cpu: Duration::from_millis(ticks.sum::<u64>() * 10), peak: peak.ok()? * 1024 })
    }

    /// All that the emulator and the function have printed.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}
