//! Implements `slipway up`: deploys the stack from a folder of zips (`infra/release.sh`) with CloudFormation alone.

mod config;
mod stack;
mod upload;

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use slipway::aws::Aws;

use crate::aws::text;
use crate::init::ask::Terminal;
use crate::init::{discover, template};
use stack::Stack;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The folder with the functions' zips, as a release has them.
    folder: PathBuf,
    /// The architecture of the functions.
    #[arg(long, value_enum, default_value_t = Architecture::Arm64)]
    architecture: Architecture,
    /// The stack's name; by default that in samconfig.toml, or `slipway`.
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    /// A samconfig.toml, whose parameters are taken; by default that in this folder, if there is one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A parameter of the template, in the place of that file's; may be repeated. What is given nowhere stays as it is.
    #[arg(long = "parameter", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// Another template than that of this version.
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// The S3 bucket for the zips, in the stack's region; by default `slipway-ACCOUNT-REGION`, which is made where it
    /// is not there.
    #[arg(long, value_name = "NAME")]
    bucket: Option<String>,
    /// Show what would change, and change nothing but the bucket.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before the stack is changed.
    #[arg(long)]
    yes: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Architecture {
    Arm64,
    #[value(name = "x86_64")]
    X86_64,
}

impl Architecture {
    /// As Lambda and the zips call it.
    fn name(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::X86_64 => "x86_64",
        }
    }
}

/// Deploys, and prints the stack's outputs.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let architecture = arguments.architecture.name();
    let zips = upload::read(&arguments.folder, architecture)?;
    let (name, given) = parameters(arguments)?;
    if !(arguments.yes || arguments.dry_run || std::io::stdin().is_terminal()) {
        bail!("nobody can be asked whether the stack shall be changed: use --yes");
    }
    let aws = Aws::default();
    let (account, region) = discover::account(&aws).await?;
    let stack = Stack { aws: &aws, name: &name };
    let known = stack.read().await?;
    let known = known.as_ref().and_then(|stack| stack.get("Parameters")?.as_array()).into_iter().flatten();
    let mut kept: BTreeMap<String, String> =
        known.map(|one| (text(one, "ParameterKey"), text(one, "ParameterValue"))).collect();
    if arguments.template.is_none() {
        let parameters = template::parameters()?;
        // What an older version's template had goes with it.
        kept.retain(|name, _| parameters.iter().any(|one| one.name == *name));
        let all = kept.clone().into_iter().chain(given.clone()).collect();
        let wrong = template::refuse(&parameters, &all);
        if !wrong.is_empty() {
            bail!("nothing is deployed: {}", wrong.join("; "));
        }
    }
    kept.retain(|name, _| !given.contains_key(name));
    let own = format!("slipway-{account}-{region}");
    let bucket = arguments.bucket.as_deref().unwrap_or(&own);
    let uploaded = upload::upload(&aws, (&account, &region), bucket, zips).await?;
    let text = match &arguments.template {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?,
        None => template::TEXT.to_owned(),
    };
    let text = located(text, bucket, &uploaded, architecture);
    let digest = hex::encode(Sha256::digest(format!("{text}{given:?}{}", jiff::Timestamp::now())));
    let id = format!("slipway-{}", digest.get(..16).unwrap_or_default());
    let Some(change) = stack.change_set(&id, &text, &given, &kept).await? else {
        crate::println(&format!("Nothing changes in {name}."));
        return Ok(());
    };
    change.changes.iter().for_each(|line| crate::println(line));
    let terminal = Terminal { asks: true };
    let is_wanted =
        arguments.yes || !arguments.dry_run && terminal.confirm(&format!("Change the stack {name}?"), true)?;
    if arguments.dry_run || !is_wanted {
        stack.discard(&change).await?;
        crate::println("Nothing is changed.");
        return Ok(());
    }
    let stack = stack.execute(&change).await?;
    let outputs = stack.get("Outputs").and_then(Value::as_array).into_iter().flatten();
    for one in outputs {
        crate::println(&format!("{} = {}", self::text(one, "OutputKey"), self::text(one, "OutputValue")));
    }
    crate::println("Next: slipway webhook, and slipway doctor");
    Ok(())
}

/// The stack's name and its parameters, of samconfig.toml and of flags.
fn parameters(arguments: &Arguments) -> anyhow::Result<(String, BTreeMap<String, String>)> {
    let default = PathBuf::from("samconfig.toml");
    let file = arguments.config.clone().or_else(|| default.exists().then_some(default));
    let (name, mut given) = file.as_deref().map(config::read).transpose()?.unwrap_or_default();
    for one in &arguments.parameters {
        let (name, value) = one.split_once('=').with_context(|| format!("`{one}` is not NAME=VALUE"))?;
        given.insert(name.to_owned(), value.to_owned());
    }
    Ok((arguments.stack.clone().or(name).unwrap_or_else(|| "slipway".to_owned()), given))
}

/// The template with the places of the zips in S3, as `sam package` puts them, and the architecture.
fn located(template: String, bucket: &str, uploaded: &[upload::Uploaded], architecture: &str) -> String {
    let place = |template: String, zip: &upload::Uploaded| {
        template.replace(&format!("../target/lambda/{}", zip.name), &format!("s3://{bucket}/{}", zip.key))
    };
    let located = uploaded.iter().fold(template, place);
    located.replace("Architectures: [arm64]", &format!("Architectures: [{architecture}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_gets_its_zip() {
        let zip = |name| upload::Uploaded { name, key: format!("{name}/1.zip") };
        let uploaded: Vec<_> = upload::ZIPS.into_iter().map(zip).collect();
        let text = located(template::TEXT.to_owned(), "b", &uploaded, "x86_64");
        assert!(!text.contains("../target/") && !text.contains("arm64"));
        assert_eq!(text.matches("CodeUri: s3://b/").count(), 4);
        assert!(text.len() < 51_200, "CloudFormation takes no larger template in the request: {}", text.len());
    }
}
