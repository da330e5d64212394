//! Checks that Slack takes the bot token.

use http::Request;
use http_body_util::Full;
use hyper::body::Bytes;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use slipway::aws::Aws;
use slipway::config;
use slipway::secret::Secrets;

use super::finding::Finding;
use crate::aws::{self, AskError, text};

/// Calls `auth.test` with the token in the secret `name`; `None` where the token can't be read, which the check of
/// the secrets reports.
pub(super) async fn check(aws: &Aws, secrets: &Secrets, name: &str) -> Option<Finding> {
    let token = secrets.get(name).await.ok()?;
    let api = config::environment(config::SLACK_API.name).filter(|api| !api.is_empty());
    let api = api.or_else(|| config::SLACK_API.default.map(str::to_owned)).unwrap_or_default();
    let request = Request::post(format!("{}/auth.test", api.trim_end_matches('/')))
        .header("authorization", format!("Bearer {}", token.expose_secret().trim()))
        .body(Full::new(Bytes::new()));
    let asked = async {
        let request = request.map_err(|error| AskError::Unasked(error.to_string()))?;
        let answer = aws::send(aws.http(), request).await?;
        Ok::<Value, AskError>(serde_json::from_slice(answer.body()).unwrap_or_default())
    };
    Some(match asked.await {
        Ok(answer) if answer.get("ok") == Some(&Value::Bool(true)) => {
            Finding::ok("Slack", format!("{} may write to {}", text(&answer, "user"), text(&answer, "team")))
        }
        Ok(answer) => Finding::fail(
            "Slack",
            format!("it does not take the token: {}", text(&answer, "error")),
            format!("aws secretsmanager put-secret-value --secret-id {name} --secret-string xoxb-TOKEN"),
        ),
        Err(error) => Finding::fail("Slack", format!("it can't be reached: {error}"), format!("curl -sI {api}")),
    })
}
