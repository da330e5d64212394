//! Changes a stack by a change set: makes it, shows it, executes it, waits.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;
use slipway::aws::Aws;
use tokio::time::Instant;

use crate::aws::{self, AskError, CLOUDFORMATION, text};

/// How often CloudFormation is asked how far it is.
const POLL: Duration = Duration::from_secs(2);
/// How long a change may take: a stack of this size takes three minutes.
const LIMIT: Duration = Duration::from_mins(30);

/// The value of a parameter with NoEcho.
const MASKED: &str = "****";

/// A stack of CloudFormation.
pub(super) struct Stack<'a> {
    pub(super) aws: &'a Aws,
    pub(super) name: &'a str,
}

/// A change set: what it would do, one line each.
pub(super) struct ChangeSet {
    id: String,
    pub(super) changes: Vec<String>,
}

impl Stack<'_> {
    async fn ask(&self, action: &str, parameters: &[(&str, &str)]) -> Result<Value, AskError> {
        let own = [("StackName", self.name)];
        let (found, _) = aws::query(self.aws, CLOUDFORMATION, action, &[&own[..], parameters].concat()).await?;
        Ok(found)
    }

    /// The stack as it is; `None` where there is none, or only a change set that nobody executed.
    pub(super) async fn read(&self) -> Result<Option<Value>, AskError> {
        match self.ask("DescribeStacks", &[]).await {
            Ok(found) => {
                let stack = found.pointer("/Stacks/0").cloned().unwrap_or_default();
                Ok(Some(stack).filter(|stack| text(stack, "StackStatus") != "REVIEW_IN_PROGRESS"))
            }
            Err(error) if error.to_string().contains("does not exist") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a change set of `template` and `given`; the parameters `kept` stay as they are. `None` where
    /// nothing would change. Errors: the stack is in no state to be changed, CloudFormation refuses.
    pub(super) async fn change_set(
        &self,
        id: &str,
        template: &str,
        given: &BTreeMap<String, String>,
        kept: &BTreeMap<String, String>,
    ) -> anyhow::Result<Option<ChangeSet>> {
        let known = self.read().await?;
        let status = known.as_ref().map(|stack| text(stack, "StackStatus")).unwrap_or_default();
        if status == "ROLLBACK_COMPLETE" {
            bail!("the stack {0} was never complete: aws cloudformation delete-stack --stack-name {0}", self.name);
        }
        let mut parameters: Vec<(String, String)> = Vec::new();
        let fields = given.iter().map(|(name, value)| (name, "ParameterValue", value.as_str()));
        // What CloudFormation does not show, it keeps to itself.
        let kept = kept.iter().map(|(name, value)| match value.as_str() {
            MASKED => (name, "UsePreviousValue", "true"),
            shown => (name, "ParameterValue", shown),
        });
        for (at, (name, field, value)) in fields.chain(kept).enumerate() {
            let member = format!("Parameters.member.{}", at + 1);
            parameters.push((format!("{member}.ParameterKey"), name.clone()));
            parameters.push((format!("{member}.{field}"), value.to_owned()));
        }
        let kind = if known.is_some() { "UPDATE" } else { "CREATE" };
        let fixed = [
            ("ChangeSetName", id),
            ("ChangeSetType", kind),
            ("TemplateBody", template),
            ("Capabilities.member.1", "CAPABILITY_IAM"),
            // The transform of the template is CloudFormation's own.
            ("Capabilities.member.2", "CAPABILITY_AUTO_EXPAND"),
        ];
        let all = fixed.into_iter().chain(parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        match self.ask("CreateChangeSet", &all.collect::<Vec<_>>()).await {
            // moto says at once what CloudFormation finds out later.
            Err(error) if is_nothing(&error.to_string()) => return Ok(None),
            made => made.context("failed to make a change set")?,
        };
        let end = Instant::now() + LIMIT;
        loop {
            let found = self.ask("DescribeChangeSet", &[("ChangeSetName", id)]).await?;
            let reason = text(&found, "StatusReason");
            match text(&found, "Status").as_str() {
                "CREATE_COMPLETE" => {
                    let changes = found.get("Changes").and_then(Value::as_array).into_iter().flatten();
                    return Ok(Some(ChangeSet { id: id.to_owned(), changes: changes.map(line).collect() }));
                }
                "FAILED" if is_nothing(&reason) => {
                    self.ask("DeleteChangeSet", &[("ChangeSetName", id)]).await?;
                    return Ok(None);
                }
                "FAILED" => bail!("the change set failed: {reason}"),
                _ if Instant::now() > end => bail!("the change set is not there after {} s", LIMIT.as_secs()),
                _ => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Takes a change set back, and the stack that was only made for it.
    pub(super) async fn discard(&self, change: &ChangeSet) -> anyhow::Result<()> {
        self.ask("DeleteChangeSet", &[("ChangeSetName", &change.id)]).await?;
        if self.read().await?.is_none() {
            self.ask("DeleteStack", &[]).await?;
        }
        Ok(())
    }

    /// Executes a change set, and waits until the stack is complete. Errors: it is not; with what failed.
    pub(super) async fn execute(&self, change: &ChangeSet) -> anyhow::Result<Value> {
        self.ask("ExecuteChangeSet", &[("ChangeSetName", &change.id)]).await.context("failed to change the stack")?;
        let end = Instant::now() + LIMIT;
        let mut told = String::new();
        loop {
            let stack = self.read().await?.unwrap_or_default();
            let status = text(&stack, "StackStatus");
            if status != told && !status.is_empty() {
                crate::println(&format!("{}: {status}", self.name));
                told.clone_from(&status);
            }
            match status.as_str() {
                "CREATE_COMPLETE" | "UPDATE_COMPLETE" => return Ok(stack),
                ended if ended.ends_with("_COMPLETE") || ended.ends_with("_FAILED") => {
                    return Err(anyhow!("the stack {} is {ended}:{}", self.name, self.failures().await?));
                }
                _ if Instant::now() > end => bail!("the stack is not complete after {} s", LIMIT.as_secs()),
                _ => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// What failed of the last change, the latest first.
    async fn failures(&self) -> Result<String, AskError> {
        let events = self.ask("DescribeStackEvents", &[]).await?;
        let events = events.get("StackEvents").and_then(Value::as_array).into_iter().flatten();
        let failed = events.filter(|event| text(event, "ResourceStatus").ends_with("_FAILED")).take(10);
        let lines = failed
            .map(|event| format!("\n- {}: {}", text(event, "LogicalResourceId"), text(event, "ResourceStatusReason")));
        Ok(lines.collect())
    }
}

/// Whether CloudFormation says that a change set would change nothing.
fn is_nothing(reason: &str) -> bool {
    reason.contains("didn't contain changes") || reason.contains("No updates are to be performed")
}

/// A change in words: `Modify SyncWorker (AWS::Lambda::Function)`.
fn line(change: &Value) -> String {
    let change = change.get("ResourceChange").cloned().unwrap_or_default();
    let replaced = if text(&change, "Replacement") == "True" { ", replaced" } else { "" };
    let kind = text(&change, "ResourceType");
    format!("{} {} ({kind}{replaced})", text(&change, "Action"), text(&change, "LogicalResourceId"))
}
