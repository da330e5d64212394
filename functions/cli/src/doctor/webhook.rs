//! Checks the webhook: whether one goes to the stack's URL, with pushes, and how its last deliveries ended.

use serde_json::Value;
use slipway::source::RepoUrl;

use super::finding::Finding;
use super::stack::Installation;
use crate::aws::{AskError, text};
use crate::github::{Answer, Api};

const CHECK: &str = "webhook";

/// What the webhook should be: its URL, the name of its secret, the log of what answers it, whether it may be an App's.
#[derive(Clone, Copy)]
struct Target<'a> {
    url: &'a str,
    secret: &'a str,
    logs: &'a str,
    is_app: bool,
}

/// A webhook: how it is configured, and where its deliveries are listed.
struct Hook {
    url: String,
    events: Value,
    is_active: bool,
    content_type: String,
    deliveries: String,
    /// Where it is changed, as arguments of `gh api`.
    edit: String,
    whose: String,
}

/// Checks the webhooks that `app` (as the App itself) and `api` see.
pub(super) async fn check(
    installation: &Installation,
    app: Option<&Api>,
    api: Option<&Api>,
    repositories: &[RepoUrl],
) -> Result<Vec<Finding>, AskError> {
    let Some(url) = installation.get("WebhookUrl") else {
        let remedy = "slipway doctor --parameter WebhookUrl=URL";
        return Ok(vec![Finding::warn(CHECK, "not checked: the stack's URL is not known", remedy)]);
    };
    let secret = installation.get("WebhookSecret").unwrap_or("WEBHOOK_SECRET");
    let logs = installation.get("GitHubWebhookLogs").unwrap_or("LOG_GROUP");
    let at = Target { url, secret, logs, is_app: app.is_some() };
    if let Some(app) = app
        && let Some(hook) = of_app(app).await?
        && is_same(&hook.url, url)
    {
        return Ok(vec![judge(&hook, &app.get(&hook.deliveries).await?, at)]);
    }
    let Some(api) = api else {
        return Ok(vec![Finding::warn(CHECK, "not checked: there is no login at GitHub", "slipway doctor")]);
    };
    let mut findings = Vec::new();
    for repository in repositories {
        findings.push(of_repository(api, repository, at).await?);
    }
    Ok(findings)
}

async fn of_app(app: &Api) -> Result<Option<Hook>, AskError> {
    let config = app.get("/app/hook/config").await?;
    let about = app.get("/app").await?;
    Ok(config.is_ok().then(|| Hook {
        url: text(&config.body, "url"),
        events: about.body.get("events").cloned().unwrap_or_default(),
        is_active: true,
        content_type: text(&config.body, "content_type"),
        deliveries: "/app/hook/deliveries?per_page=20".to_owned(),
        edit: format!("open https://github.com/apps/{}", text(&about.body, "slug")),
        whose: format!("the App {}", text(&about.body, "slug")),
    }))
}

async fn of_repository(api: &Api, url: &RepoUrl, at: Target<'_>) -> Result<Finding, AskError> {
    let (repo, expected) = (&url.repo, at.url);
    let owner = repo.to_string().split('/').next().unwrap_or_default().to_owned();
    let (mut hooks, mut unseen) = (Vec::new(), Vec::new());
    for place in [format!("repos/{repo}"), format!("orgs/{owner}")] {
        let answer = api.get(&format!("/{place}/hooks?per_page=100")).await?;
        match &answer.body {
            Value::Array(listed) if answer.is_ok() => hooks.extend(listed.iter().map(|one| hook(one, &place))),
            // A person's repository has no organization.
            _ if answer.status == 404 && place.starts_with("orgs") => {}
            _ => unseen.push(place),
        }
    }
    if let Some(hook) = hooks.iter().find(|hook| is_same(&hook.url, expected)) {
        return Ok(judge(hook, &api.get(&hook.deliveries).await?, at));
    }
    let other = hooks.iter().find(|hook| hook.url.contains(".lambda-url."));
    Ok(match (other, unseen.as_slice()) {
        (Some(hook), _) => Finding::fail(
            CHECK,
            format!("that of {} goes to {}, not to {expected}", hook.whose, hook.url),
            format!("gh api -X PATCH {} -f 'config[url]={expected}' -f 'config[content_type]=json'", hook.edit),
        ),
        // Who has an App needs no other webhook.
        (None, []) if at.is_app => {
            Finding::fail(CHECK, format!("neither the App nor {repo} has one for {expected}"), "slipway webhook")
        }
        (None, []) => Finding::fail(CHECK, format!("{repo} has none for {expected}"), made(repo, expected, at.secret)),
        (None, unseen) => Finding::warn(
            CHECK,
            format!("not checked: the credential may not list the hooks of {}", unseen.join(" and ")),
            "GITHUB_TOKEN=\"$(gh auth token)\" slipway doctor, as an administrator of the repository",
        ),
    })
}

/// The command that makes the webhook.
fn made(repo: impl std::fmt::Display, url: &str, secret: &str) -> String {
    format!(
        "gh api repos/{repo}/hooks -f name=web -F active=true -f 'events[]=push' -f 'config[url]={url}' -f \
         'config[content_type]=json' -f config[secret]=\"$(aws secretsmanager get-secret-value --secret-id {secret} \
         --query SecretString --output text)\""
    )
}

fn hook(listed: &Value, at: &str) -> Hook {
    let id = listed.get("id").and_then(Value::as_u64).unwrap_or_default();
    let config = |key: &str| listed.pointer(&format!("/config/{key}")).and_then(Value::as_str).unwrap_or_default();
    Hook {
        url: config("url").to_owned(),
        events: listed.get("events").cloned().unwrap_or_default(),
        is_active: listed.get("active").and_then(Value::as_bool).unwrap_or_default(),
        content_type: config("content_type").to_owned(),
        deliveries: format!("/{at}/hooks/{id}/deliveries?per_page=20"),
        edit: format!("{at}/hooks/{id}"),
        whose: at.split_once('/').map_or(at, |(_, whose)| whose).to_owned(),
    }
}

/// What is wrong with a webhook that goes to the right place.
fn judge(hook: &Hook, deliveries: &Answer, at: Target<'_>) -> Finding {
    let (whose, secret) = (&hook.whose, at.secret);
    let change = |what: &str| match hook.edit.strip_prefix("open ") {
        Some(page) => format!("open {page} and set it in the App's settings"),
        None => format!("gh api -X PATCH {} {what}", hook.edit),
    };
    let has_push = hook.events.as_array().into_iter().flatten().any(|one| one == "push" || one == "*");
    if !hook.is_active {
        return Finding::fail(CHECK, format!("that of {whose} is switched off"), change("-F active=true"));
    }
    if !has_push {
        return Finding::fail(CHECK, format!("that of {whose} sends no `push`"), change("-f 'add_events[]=push'"));
    }
    if hook.content_type != "json" {
        let why = format!("that of {whose} sends `{}`, not `application/json`", hook.content_type);
        return Finding::fail(CHECK, why, change("-f 'config[content_type]=json'"));
    }
    let listed = deliveries.body.as_array().map(Vec::as_slice).unwrap_or_default();
    let last = listed.iter().find_map(|one| one.get("status_code")?.as_u64());
    match last {
        Some(200..=299) => Finding::ok(CHECK, format!("{whose} delivers, last with {}", last.unwrap_or_default())),
        Some(401) if hook.edit.starts_with("open ") => Finding::fail(
            CHECK,
            format!("deliveries of {whose} end with 401: its secret is not {secret}"),
            "slipway webhook",
        ),
        Some(401) => Finding::fail(
            CHECK,
            format!("deliveries of {whose} end with 401: its secret is not {secret}"),
            format!(
                "aws secretsmanager get-secret-value --secret-id {secret} --query SecretString --output text, and {}",
                change("-f config[secret]=TEXT")
            ),
        ),
        Some(status) => Finding::fail(
            CHECK,
            format!("the last delivery of {whose} ended with {status}"),
            format!("aws logs tail {} --since 1h, then Redeliver in GitHub's settings", at.logs),
        ),
        None => {
            Finding::warn(CHECK, format!("that of {whose} has delivered nothing yet"), "push a commit to the branch")
        }
    }
}

/// Whether both are one URL; a slash at the end is none.
fn is_same(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}
