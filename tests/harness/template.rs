//! infra/template.yaml: clean for both linters, and deployable on moto's CloudFormation.

use std::process::Command;

use slipway_tests::skip::or_skip;
use slipway_tests::{Moto, tools};

#[test]
fn the_linters_find_nothing() {
    let Some(python) = or_skip("cfn-lint and sam", tools::python()) else { return };
    let template = tools::workspace().join("infra/template.yaml");
    tools::run(Command::new(python.join("cfn-lint")).arg("--non-zero-exit-code").arg("informational").arg(&template))
        .expect("cfn-lint is content");
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
