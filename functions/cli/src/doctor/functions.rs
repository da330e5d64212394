//! Checks the functions, what wakes them, and the queues between them.

use aws_sdk_sqs::types::QueueAttributeName;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use slipway::aws::Aws;
use slipway::aws::error_code;

use super::finding::Finding;
use super::stack::Installation;
use crate::aws::{self, AskError, escaped, text};

/// CloudWatch's signing name and version of its API.
const CLOUDWATCH: (&str, &str) = ("monitoring", "2010-08-01");
/// The functions of the template.
const FUNCTIONS: [&str; 4] = ["EcrPush", "GitHubWebhook", "SyncWorker", "DriftCheck"];
/// The schedules that SAM makes of the functions' events.
const SCHEDULES: [(&str, &str); 2] = [("DriftCheckOnSchedule", "DriftCheck"), ("EcrPushCatchUp", "EcrPush")];
/// Seconds that a push may wait; the template's alarm `WaitingPushesAlarm` has the same.
const OLD: f64 = 3600.0;
/// Where the stack has no `DriftAlarmSeconds`.
const ALARM_SECONDS: i64 = 3600;

/// Checks the functions, and whether the worker takes what is queued.
pub(super) async fn functions(aws: &Aws, installation: &Installation) -> Vec<Finding> {
    let mut findings = Vec::new();
    for function in FUNCTIONS {
        let Some(name) = installation.get(function) else { continue };
        let path = format!("/2015-03-31/functions/{}/configuration", escaped(name));
        let logs = installation.get(&format!("{function}Logs")).unwrap_or("LOG_GROUP");
        findings.push(match aws::json(aws, "lambda", &path).await {
            Ok(found) => {
                let states = [text(&found, "State"), text(&found, "LastUpdateStatus")];
                let reasons = [text(&found, "StateReason"), text(&found, "LastUpdateStatusReason")].join(" ");
                if states.iter().any(|state| state == "Failed") {
                    Finding::fail("function", format!("{function} is broken: {}", reasons.trim()), redeploy())
                } else {
                    Finding::ok("function", format!("{function} is {}", states.first().map_or("", String::as_str)))
                }
            }
            Err(error) if error.is_not_found() => Finding::fail("function", format!("{function} is gone"), redeploy()),
            Err(error) => unchecked("function", &error, &format!("aws logs tail {logs} --since 1h")),
        });
    }
    for function in ["EcrPush", "SyncWorker"] {
        if let Some(name) = installation.get(function) {
            findings.push(mapping(aws, function, name).await);
        }
    }
    findings
}

fn redeploy() -> String {
    "slipway up FOLDER, or sam deploy (infra/INSTALL.md, step 4)".to_owned()
}

fn unchecked(check: &str, error: &AskError, remedy: &str) -> Finding {
    Finding::warn(check, format!("not checked: {error}"), remedy)
}

/// Whether `function`, whose name is `name`, takes what its queue has.
async fn mapping(aws: &Aws, function: &str, name: &str) -> Finding {
    const CHECK: &str = "queue mapping";
    let path = format!("/2015-03-31/event-source-mappings/?FunctionName={}", escaped(name));
    let list = format!("aws lambda list-event-source-mappings --function-name {name}");
    let found = match aws::json(aws, "lambda", &path).await {
        Ok(found) => found,
        Err(error) => return unchecked(CHECK, &error, &list),
    };
    let mappings = found.get("EventSourceMappings").and_then(Value::as_array).cloned().unwrap_or_default();
    let Some(one) = mappings.first() else {
        return Finding::fail(CHECK, format!("nothing takes messages from the queue to {function}"), redeploy());
    };
    match text(one, "State").as_str() {
        "Enabled" | "Enabling" | "Creating" | "Updating" => {
            Finding::ok(CHECK, format!("{function} takes messages from its queue"))
        }
        state => Finding::fail(
            CHECK,
            format!("{function} takes no messages from its queue: the mapping is {state}"),
            format!("aws lambda update-event-source-mapping --uuid {} --enabled", text(one, "UUID")),
        ),
    }
}

/// Checks the queues and both dead-letter queues at `now`.
pub(super) async fn queues(aws: &Aws, installation: &Installation, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (queue, function) in [
        ("ImagePushes", "EcrPush"),
        ("Pushes", "SyncWorker"),
        ("FailedPushes", "SyncWorker"),
        ("FailedImagePushes", "EcrPush"),
    ] {
        let logs = installation.get(&format!("{function}Logs")).unwrap_or("LOG_GROUP");
        let Some(url) = installation.get(queue) else { continue };
        let (count, arn) = match count(aws, url).await {
            Ok(found) => found,
            Err(code) => {
                findings.push(Finding::fail("queue", format!("{queue} can't be looked at ({code})"), redeploy()));
                continue;
            }
        };
        let name = url.rsplit('/').next().unwrap_or_default();
        let age = metric(aws, ("AWS/SQS", "ApproximateAgeOfOldestMessage"), ("QueueName", name), "Maximum", 900, now);
        let age = age.await.unwrap_or_default().unwrap_or_default();
        let words = match count {
            0 => format!("{queue} is empty"),
            _ if age > 0.0 => format!("{queue} has {count} messages, the oldest since {age:.0} s"),
            _ => format!("{queue} has {count} messages"),
        };
        findings.push(match queue {
            _ if count == 0 => Finding::ok("queue", words),
            "Pushes" | "ImagePushes" if age < OLD => Finding::ok("queue", words),
            "Pushes" | "ImagePushes" => Finding::fail("queue", words, format!("aws logs tail {logs} --since 1h")),
            "FailedPushes" => {
                Finding::fail("queue", words, format!("aws sqs start-message-move-task --source-arn {arn}"))
            }
            // The next run of ecr-push looks at ECR itself.
            _ => Finding::warn("queue", words, format!("aws sqs purge-queue --queue-url {url}")),
        });
    }
    findings
}

async fn count(aws: &Aws, url: &str) -> Result<(u64, String), String> {
    let request = aws.sqs().await.get_queue_attributes().queue_url(url);
    let request = request.attribute_names(QueueAttributeName::ApproximateNumberOfMessages);
    let answer = request.attribute_names(QueueAttributeName::QueueArn).send().await.map_err(|e| error_code(&e))?;
    let get = |name| answer.attributes.as_ref().and_then(|all| all.get(&name)).cloned().unwrap_or_default();
    let count = get(QueueAttributeName::ApproximateNumberOfMessages).parse().unwrap_or_default();
    Ok((count, get(QueueAttributeName::QueueArn)))
}

/// Checks the schedules, and how drift-check ran last, at `now`.
pub(super) async fn schedules(aws: &Aws, installation: &Installation, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (schedule, function) in SCHEDULES {
        let Some(name) = installation.get(schedule) else { continue };
        let enable =
            format!("aws scheduler get-schedule --name {name}, then aws scheduler update-schedule with ENABLED");
        findings.push(match aws::json(aws, "scheduler", &format!("/schedules/{}", escaped(name))).await {
            Ok(found) if text(&found, "State") == "DISABLED" => {
                Finding::fail("schedule", format!("that of {function} is disabled"), enable)
            }
            Ok(found) => Finding::ok("schedule", format!("{function} runs by {}", text(&found, "ScheduleExpression"))),
            Err(error) if error.is_not_found() => {
                Finding::fail("schedule", format!("that of {function} is gone"), redeploy())
            }
            Err(error) => unchecked("schedule", &error, &enable),
        });
    }
    if let Some(function) = installation.get("DriftCheck") {
        findings.push(last_run(aws, installation, function, now).await);
    }
    findings
}

async fn last_run(aws: &Aws, installation: &Installation, function: &str, now: Timestamp) -> Finding {
    const CHECK: &str = "last check";
    let span = installation.get("DriftAlarmSeconds").and_then(|text| text.parse().ok()).unwrap_or(ALARM_SECONDS);
    let sum = async |name| metric(aws, ("AWS/Lambda", name), ("FunctionName", function), "Sum", span, now).await;
    let logs = installation.get("DriftCheckLogs").unwrap_or("LOG_GROUP");
    let (runs, errors) = match (sum("Invocations").await, sum("Errors").await) {
        (Ok(runs), Ok(errors)) => (runs.unwrap_or_default(), errors.unwrap_or_default()),
        (Err(error), _) | (_, Err(error)) => {
            return unchecked(CHECK, &error, &format!("aws logs tail {logs} --since 1h"));
        }
    };
    let minutes = span / 60;
    let is_new = installation.created.is_some_and(|at| now.duration_since(at) < SignedDuration::from_secs(span));
    let run = format!("aws lambda invoke --function-name {function} --payload '{{}}' /dev/stdout");
    if runs <= 0.0 && is_new {
        Finding::warn(CHECK, "drift-check has not run yet: the stack is new", run)
    } else if runs <= 0.0 {
        Finding::fail(CHECK, format!("drift-check has not run for {minutes} min"), run)
    } else if runs - errors < 1.0 {
        let why = format!("all {runs:.0} runs of drift-check in {minutes} min failed");
        Finding::fail(CHECK, why, format!("aws logs tail {logs} --since 1h --filter-pattern ERROR"))
    } else {
        Finding::ok(CHECK, format!("{:.0} of {runs:.0} runs of drift-check in {minutes} min ended well", runs - errors))
    }
}

/// One figure of the `seconds` before `now`: `None` where CloudWatch has none.
async fn metric(
    aws: &Aws,
    (namespace, name): (&str, &str),
    (dimension, of): (&str, &str),
    statistic: &str,
    seconds: i64,
    now: Timestamp,
) -> Result<Option<f64>, AskError> {
    let time = |at: Timestamp| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let start = now.checked_sub(SignedDuration::from_secs(seconds)).unwrap_or(now);
    // The end does not count itself.
    let end = now.checked_add(SignedDuration::from_mins(1)).unwrap_or(now);
    let (start, end, period) = (time(start), time(end), seconds.to_string());
    let parameters = [
        ("Namespace", namespace),
        ("MetricName", name),
        ("Dimensions.member.1.Name", dimension),
        ("Dimensions.member.1.Value", of),
        ("StartTime", &start),
        ("EndTime", &end),
        ("Period", &period),
        ("Statistics.member.1", statistic),
    ];
    let (found, _) = aws::query(aws, CLOUDWATCH, "GetMetricStatistics", &parameters).await?;
    let points = found.get("Datapoints").and_then(Value::as_array).into_iter().flatten();
    let values: Vec<f64> = points.filter_map(|point| text(point, statistic).parse().ok()).collect();
    // The period may end within the span: two points are one figure.
    let total = if statistic == "Sum" { values.iter().sum() } else { values.iter().copied().fold(0.0, f64::max) };
    Ok((!values.is_empty()).then_some(total))
}
