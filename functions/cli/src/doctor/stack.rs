//! What is installed: names that the stack's parameters, resources and outputs have, or that flags give.

use std::collections::BTreeMap;

use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::Value;
use slipway::aws::Aws;

use super::finding::Finding;
use crate::aws::{self, AskError, CLOUDFORMATION, text};

/// Pages of resources that are read: a page has a hundred, the template makes less.
const PAGES: usize = 10;

/// Values by the names of `infra/template.yaml`; an output counts more than a resource or parameter of its name.
#[derive(Default)]
pub(crate) struct Installation {
    names: BTreeMap<String, String>,
    /// When the stack was made.
    pub(super) created: Option<Timestamp>,
}

impl Installation {
    /// The value of the parameter, resource (its physical id) or output `name`; `None` where it is empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.names.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Adds `NAME=VALUE`, in the place of what the stack has.
    pub(crate) fn set(&mut self, given: &str) -> anyhow::Result<()> {
        let (name, value) = given.split_once('=').with_context(|| format!("`{given}` is not NAME=VALUE"))?;
        self.names.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// Reads the stack `name`, and says how it stands.
    pub(crate) async fn read(aws: &Aws, name: &str) -> (Self, Finding) {
        let mut found = Self::default();
        let finding = match found.fill(aws, name).await {
            Ok(status) => told(name, &status),
            Err(error) if error.to_string().contains("does not exist") => Finding::fail(
                "stack",
                format!("there is no stack `{name}` in this account and region"),
                "slipway doctor --stack NAME, or aws cloudformation list-stacks --query 'StackSummaries[].StackName'",
            ),
            Err(error) => Finding::fail("stack", format!("it can't be read: {error}"), "aws sts get-caller-identity"),
        };
        (found, finding)
    }

    async fn fill(&mut self, aws: &Aws, name: &str) -> Result<String, AskError> {
        let (stacks, _) = aws::query(aws, CLOUDFORMATION, "DescribeStacks", &[("StackName", name)]).await?;
        let stack = stacks.pointer("/Stacks/0").cloned().unwrap_or_default();
        self.created = text(&stack, "CreationTime").parse().ok();
        let mut outputs = BTreeMap::new();
        for (list, key, value, into) in [
            ("Parameters", "ParameterKey", "ParameterValue", &mut self.names),
            ("Outputs", "OutputKey", "OutputValue", &mut outputs),
        ] {
            let pairs = stack.get(list).and_then(Value::as_array).into_iter().flatten();
            into.extend(pairs.map(|one| (text(one, key), text(one, value))));
        }
        let mut next = String::new();
        for _ in 0..PAGES {
            let page = [("StackName", name), ("NextToken", next.as_str())];
            let page = page.get(..if next.is_empty() { 1 } else { 2 }).unwrap_or_default();
            let (resources, _) = aws::query(aws, CLOUDFORMATION, "ListStackResources", page).await?;
            let listed = resources.get("StackResourceSummaries").and_then(Value::as_array).into_iter().flatten();
            self.names.extend(listed.map(|one| (text(one, "LogicalResourceId"), text(one, "PhysicalResourceId"))));
            next = text(&resources, "NextToken");
            if next.is_empty() {
                break;
            }
        }
        self.names.extend(outputs);
        Ok(text(&stack, "StackStatus"))
    }
}

fn told(name: &str, status: &str) -> Finding {
    let events = format!(
        "aws cloudformation describe-stack-events --stack-name {name} --query \
         'StackEvents[?ends_with(ResourceStatus,`FAILED`)].[LogicalResourceId,ResourceStatusReason]'"
    );
    match status {
        "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "IMPORT_COMPLETE" => Finding::ok("stack", format!("{name}: {status}")),
        _ if status.ends_with("_IN_PROGRESS") => Finding::warn(
            "stack",
            format!("{name}: {status}"),
            format!("aws cloudformation wait stack-update-complete --stack-name {name}"),
        ),
        // The last change failed, and what was before it works.
        "UPDATE_ROLLBACK_COMPLETE" => Finding::warn("stack", format!("{name}: {status}"), events),
        _ => Finding::fail("stack", format!("{name}: {status}"), events),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    #[test]
    fn stacks_are_judged_by_their_status() {
        for (status, level) in [
            ("CREATE_COMPLETE", Level::Ok),
            ("UPDATE_COMPLETE", Level::Ok),
            ("UPDATE_IN_PROGRESS", Level::Warn),
            ("UPDATE_ROLLBACK_COMPLETE", Level::Warn),
            ("ROLLBACK_COMPLETE", Level::Fail),
            ("UPDATE_ROLLBACK_FAILED", Level::Fail),
            ("DELETE_FAILED", Level::Fail),
        ] {
            assert_eq!(told("slipway", status).level, level, "{status}");
        }
    }
}
