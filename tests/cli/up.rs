//! `slipway up` beside moto, with what `slipway init` wrote and with zips as `infra/release.sh` packs them.

use std::process::{Command, Stdio};

use serde_json::Value;
use slipway_tests::tools;

use crate::init::Machine;
use crate::shop::Ran;

const BUCKET: &str = "slipway-123456789012-eu-central-1";

/// Packs `text` as the binary of a function.
fn pack(machine: &Machine, name: &str, text: &str) {
    let folder = machine.path("zips");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("binary"), text).unwrap();
    let mut pack = Command::new("python3");
    pack.arg(tools::workspace().join("infra/pack.py")).env("SOURCE_DATE_EPOCH", "1700000000");
    pack.args(["zip", &format!("{name}.zip"), "binary", "bootstrap"]).current_dir(&folder);
    tools::run(&mut pack).unwrap();
}

/// Runs `slipway up ../zips FLAGS` where `slipway init` wrote.
async fn up(machine: &Machine, flags: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
    command.args(["up", "../zips"]).args(flags).env_clear().envs(machine.moto.environment());
    command.current_dir(machine.path("out")).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

fn stack(machine: &Machine, query: &str) -> Value {
    let describe = ["cloudformation", "describe-stacks", "--query", query, "--output", "json"];
    serde_json::from_str(&machine.moto.aws(&describe)).unwrap()
}

#[tokio::test]
async fn the_stack_is_deployed_from_zips_and_changed_by_others() {
    let Some(machine) = Machine::new().await else { return };
    assert_eq!(machine.run(&["--yes", "--cluster", "prod"], "").await.code, 0);
    let missing = up(&machine, &["--yes"]).await;
    assert!(missing.code == 1 && missing.err.contains("ecr-push-arm64.zip"), "{}", missing.err);
    for name in ["ecr-push", "github-webhook", "drift-check"] {
        pack(&machine, &format!("{name}-arm64"), name);
        pack(&machine, &format!("{name}-x86_64"), &format!("{name} of another architecture"));
    }
    for (flags, words) in [
        (&[][..], "nobody can be asked"),
        (&["--yes", "--parameter", "SyncConcurrency=1"], "SyncConcurrency is at least 2"),
        (&["--yes", "--parameter", "Roof=x"], "no parameter Roof"),
    ] {
        let refused = up(&machine, flags).await;
        assert!(refused.code == 1 && refused.err.contains(words), "{words}: {}{}", refused.out, refused.err);
    }
    let dry = up(&machine, &["--dry-run"]).await;
    assert!(dry.code == 0 && dry.out.contains("Add SyncWorker (AWS::Serverless::Function)"), "{}{}", dry.out, dry.err);
    assert_eq!(stack(&machine, "Stacks[].StackName"), serde_json::json!([]));

    let made = up(&machine, &["--yes"]).await;
    assert!(made.code == 0 && made.out.contains("slipway: CREATE_COMPLETE"), "{}{}", made.out, made.err);
    let parameters = stack(&machine, "Stacks[0].Parameters[?ParameterKey=='ClusterName'].ParameterValue");
    assert_eq!(parameters, serde_json::json!(["prod"]), "those of samconfig.toml");
    let located = code(&machine);
    assert_eq!(located.len(), 3, "{located:?}");
    for (key, name) in located.iter().zip(["drift-check", "ecr-push", "github-webhook"]) {
        let there = machine.path("there.zip");
        let copy = ["s3", "cp", &format!("s3://{BUCKET}/{key}"), there.to_str().unwrap(), "--quiet"];
        machine.moto.aws(&copy);
        let packed = std::fs::read(machine.path("zips").join(format!("{name}-arm64.zip"))).unwrap();
        assert_eq!(std::fs::read(there).unwrap(), packed, "{key}");
    }

    let again = up(&machine, &["--yes"]).await;
    assert!(again.code == 0 && again.out.contains("Nothing changes in slipway."), "{}{}", again.out, again.err);
    assert!(!again.out.contains("Upload"), "what is there is not sent again: {}", again.out);
    pack(&machine, "ecr-push-arm64", "the next version");
    let next = up(&machine, &["--yes"]).await;
    assert!(next.code == 0 && next.out.contains("slipway: UPDATE_COMPLETE"), "{}{}", next.out, next.err);
    assert_eq!(next.out.matches("Upload").count(), 1, "{}", next.out);
    let changed = code(&machine);
    assert!(changed[1] != located[1] && changed[2] == located[2], "{changed:?}");
    // Without a samconfig.toml what the stack has stays.
    std::fs::remove_file(machine.path("out/samconfig.toml")).unwrap();
    let other = up(&machine, &["--yes", "--architecture", "x86_64", "--parameter", "LogLevel=DEBUG"]).await;
    assert_eq!(other.code, 0, "{}{}", other.out, other.err);
    let value = |name: &str| {
        let query = format!("Stacks[0].Parameters[?ParameterKey=='{name}'].ParameterValue | [0]");
        stack(&machine, &query)
    };
    assert_eq!((value("ClusterName"), value("LogLevel")), ("prod".into(), "DEBUG".into()));
    let template = template(&machine);
    assert!(template.contains("Architectures: [x86_64]") && !template.contains("arm64"), "{template}");
}

fn template(machine: &Machine) -> String {
    let get = ["cloudformation", "get-template", "--stack-name", "slipway", "--query", "TemplateBody"];
    machine.moto.aws(&[get.as_slice(), &["--output", "text"]].concat())
}

/// The keys of the zips in the stack's template, sorted.
fn code(machine: &Machine) -> Vec<String> {
    let template = template(machine);
    let uris = template.lines().filter_map(|line| line.trim().strip_prefix("CodeUri: ")?.strip_prefix("s3://"));
    let mut keys: Vec<String> =
        uris.map(|uri| uri.strip_prefix(&format!("{BUCKET}/")).expect("our bucket").to_owned()).collect();
    assert_eq!(keys.len(), 4, "each function has its code: {template}");
    keys.sort();
    keys.dedup();
    keys
}
