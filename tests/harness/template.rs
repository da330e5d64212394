//! infra/template.yaml: clean for both linters, and deployable on moto's CloudFormation.

use std::process::Command;

use serde_json::json;
use slipway_tests::skip::or_skip;
use slipway_tests::{Moto, tools};

#[test]
fn the_linters_find_nothing() {
    let Some(python) = or_skip("cfn-lint and sam", tools::python()) else { return };
    let template = tools::workspace().join("infra/template.yaml");
    let mut lint = Command::new(python.join("cfn-lint"));
    lint.args(["--non-zero-exit-code", "informational"]).arg(&template);
    lint.args(["account.yaml", "events.yaml"].map(|name| tools::workspace().join("infra").join(name)));
    tools::run(&mut lint).expect("cfn-lint is content");
    let mut sam = Command::new(python.join("sam"));
    sam.args(["validate", "--lint", "--region", Moto::REGION, "--template"]).arg(&template);
    tools::run(sam.env("SAM_CLI_TELEMETRY", "0")).expect("sam is content");
}

#[tokio::test]
async fn the_template_deploys() {
    let Some(moto) = Moto::start().await else { return };
    let Some(python) = or_skip("sam's translator", tools::python()) else { return };
    let mut deploy = Command::new(python.join("python"));
    deploy.arg(tools::workspace().join("tests/infra/deploy.py")).arg(tools::workspace().join("infra/template.yaml"));
    let printed = tools::capture(deploy.envs(moto.environment())).expect("it deploys");
    let checks = printed.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(checks >= 20, "only {checks} checks ran:\n{printed}");
}

/// The templates of other accounts take and give what the stack's parameters and outputs name.
#[tokio::test]
async fn the_templates_of_other_accounts_deploy() {
    let Some(moto) = Moto::start().await else { return };
    let own = format!("arn:aws:events:{}:{}:event-bus/default", Moto::REGION, Moto::ACCOUNT);
    for (name, parameters) in [
        (
            "account",
            &[
                "TrustedRoles=arn:aws:iam::123456789012:role/sync,arn:aws:iam::123456789012:role/check",
                "ClusterName=prod",
            ][..],
        ),
        ("events", &[&format!("EventBus={own}"), "TrustedRole=arn:aws:iam::123456789012:role/ecr"]),
    ] {
        let file = tools::workspace().join(format!("infra/{name}.yaml"));
        let text = std::fs::read_to_string(file).expect("a template");
        let list = parameters.iter().map(|one| one.split_once('=').expect("NAME=VALUE"));
        let list: Vec<_> = list.map(|(key, value)| json!({"ParameterKey": key, "ParameterValue": value})).collect();
        let make = ["cloudformation", "create-stack", "--stack-name", name, "--capabilities", "CAPABILITY_IAM"];
        moto.aws(&[&make[..], &["--template-body", &text, "--parameters", &json!(list).to_string()]].concat());
        let query = "Stacks[0].Outputs[0].OutputValue";
        let output = moto.aws(&["cloudformation", "describe-stacks", "--stack-name", name, "--query", query]);
        assert!(output.contains("arn:aws:iam::123456789012:role/"), "{name}: {output}");
    }
    let rules = moto.aws(&["events", "list-targets-by-rule", "--rule", &rule(&moto), "--query", "Targets[].Arn"]);
    assert!(rules.contains(&own), "{rules}");
    let pattern = |name: &str| {
        let text = std::fs::read_to_string(tools::workspace().join(format!("infra/{name}.yaml"))).expect("a template");
        let from = text.find("detail-type:").expect("a pattern");
        let lines = text.split_at(from).1.lines().filter(|line| !line.trim().starts_with('#')).map(str::trim);
        lines.take(2).map(|line| line.replace(' ', "")).collect::<Vec<_>>()
    };
    assert_eq!(pattern("events"), pattern("template"), "both rules take the same");
}

fn rule(moto: &Moto) -> String {
    moto.aws(&["events", "list-rules", "--query", "Rules[0].Name", "--output", "text"]).trim().to_owned()
}
