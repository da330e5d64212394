//! Checks the credential for GitHub: whether it is valid, installed, may what it needs, and has requests left.

use http::Method;
use secrecy::SecretString;
use serde_json::Value;
use slipway::secret::GithubCredential;
use slipway::source::RepoUrl;
use slipway::source::app_token::app_token;

use super::finding::Finding;
use crate::aws::{AskError, text};
use crate::github::{Answer, Api};

/// What the functions do by a GitHub App.
const NEEDED: [(&str, &str, &str); 3] =
    [("metadata", "read", "Metadata"), ("contents", "write", "Contents"), ("statuses", "write", "Commit statuses")];
/// A tenth of an hour's requests.
const FEW: u64 = 10;

/// What was found out about the credential.
#[derive(Default)]
pub(super) struct Login {
    /// The API as the GitHub App itself.
    pub(super) app: Option<Api>,
    /// The API as the functions use it.
    pub(super) api: Option<Api>,
    pub(super) findings: Vec<Finding>,
}

/// Logs in with `credential` as the functions do, at `now` (seconds since 1970). `secret` is its name.
pub(super) async fn login(api: &Api, credential: GithubCredential, secret: &str, now: i64) -> Result<Login, AskError> {
    let (app, installation, key) = match credential {
        GithubCredential::Token(token) => return token_login(api, token, secret).await,
        GithubCredential::App { app, installation, key } => (app, installation, key),
    };
    let put = format!(
        "aws secretsmanager put-secret-value --secret-id {secret} --secret-string \"$(jq -n --rawfile key app.pem \
         '{{appId: {app}, installationId: {installation}, privateKey: $key}}')\""
    );
    let mut found = Login::default();
    let Ok(token) = app_token(app, &key, now) else {
        found.findings.push(Finding::fail("GitHub App", "its privateKey is no RSA key", put));
        return Ok(found);
    };
    let as_app = api.with(token);
    let about = as_app.get("/app").await?;
    if !about.is_ok() {
        let why = format!("the key of App {app} is not accepted: {}", about.words());
        found.findings.push(Finding::fail("GitHub App", why, format!("make a key at the App's settings, and {put}")));
        return Ok(found);
    }
    let slug = text(&about.body, "slug");
    let installed = as_app.get(&format!("/app/installations/{installation}")).await?;
    found.app = Some(as_app.clone());
    let install = format!("open https://github.com/apps/{slug}/installations/new, and {put}");
    if !installed.is_ok() {
        let why = format!("{slug} has no installation {installation}: {}", installed.words());
        found.findings.push(Finding::fail("GitHub App", why, install));
        return Ok(found);
    }
    let page = text(&installed.body, "html_url");
    if installed.body.get("suspended_at").is_some_and(Value::is_string) {
        let why = format!("installation {installation} is suspended");
        found.findings.push(Finding::fail("GitHub App", why, format!("open {page} and unsuspend it")));
        return Ok(found);
    }
    let owner = installed.body.pointer("/account/login").and_then(Value::as_str).unwrap_or_default();
    found.findings.push(Finding::ok("GitHub App", format!("{slug} is valid and installed for {owner}")));
    found.findings.push(permissions(&installed.body, &page));
    let path = format!("/app/installations/{installation}/access_tokens");
    let token = as_app.send(Method::POST, &path, None).await?;
    match text(&token.body, "token") {
        empty if empty.is_empty() => {
            found.findings.push(Finding::fail("GitHub App", format!("it gets no token: {}", token.words()), install));
        }
        token => found.api = Some(api.with(token.into())),
    }
    Ok(found)
}

async fn token_login(api: &Api, token: SecretString, secret: &str) -> Result<Login, AskError> {
    let api = api.with(token);
    let answer = api.get("/rate_limit").await?;
    let mut found = Login::default();
    if answer.status == 401 {
        let put = format!("aws secretsmanager put-secret-value --secret-id {secret} --secret-string github_pat_TOKEN");
        found.findings.push(Finding::fail("GitHub token", format!("it is not accepted: {}", answer.words()), put));
        return Ok(found);
    }
    found.findings.push(Finding::ok("GitHub token", "it is valid"));
    found.api = Some(api);
    Ok(found)
}

fn permissions(installation: &Value, page: &str) -> Finding {
    let given = installation.get("permissions").cloned().unwrap_or_default();
    let has = |name: &str, needed: &str| match text(&given, name).as_str() {
        "write" | "admin" => true,
        other => other == needed,
    };
    let missing: Vec<String> = NEEDED
        .into_iter()
        .filter(|(name, needed, _)| !has(name, needed))
        .map(|(_, needed, words)| format!("{words}: {needed}"))
        .collect();
    if missing.is_empty() {
        return Finding::ok("GitHub rights", "metadata, contents and commit statuses");
    }
    let why = format!("the installation lacks {}", missing.join(", "));
    Finding::fail("GitHub rights", why, format!("give them to the App, then accept them at {page}"))
}

/// Checks each repository of the root: whether it is seen and may be written.
pub(super) async fn repositories(api: &Api, repositories: &[RepoUrl]) -> Result<Vec<Finding>, AskError> {
    let mut findings = Vec::new();
    for url in repositories {
        let repo = &url.repo;
        let answer = api.get(&format!("/repos/{repo}")).await?;
        let may_push = answer.body.pointer("/permissions/push").and_then(Value::as_bool);
        findings.push(match (answer.is_ok(), may_push) {
            (true, Some(false)) => Finding::fail(
                "repository",
                format!("{repo} may be read only: ecr-push can't commit, and no commit gets a status"),
                "give the token Contents: write and Commit statuses: write, or the App these rights",
            ),
            (true, _) => Finding::ok("repository", format!("{repo} is seen")),
            (false, _) => Finding::fail(
                "repository",
                format!("{repo} is not seen: {}", answer.words()),
                format!("add {repo} to the App's installation, or to the token's repositories"),
            ),
        });
    }
    Ok(findings)
}

/// Checks how many requests are left of this hour's.
pub(super) async fn rate(api: &Api) -> Result<(Finding, Answer), AskError> {
    let answer = api.get("/rate_limit").await?;
    let number = |name: &str| answer.body.pointer(&format!("/resources/core/{name}")).and_then(Value::as_u64);
    let (left, limit) = (number("remaining").unwrap_or_default(), number("limit").unwrap_or_default());
    let words = format!("{left} of {limit} requests left in this hour");
    let remedy = "gh api rate_limit; a GitHub App's limit grows with its repositories, a token shares its owner's";
    let finding = match left {
        // GitHub Enterprise Server may have none.
        _ if !answer.is_ok() => Finding::ok("rate limit", "there is none"),
        0 => Finding::fail("rate limit", words, remedy),
        few if few.saturating_mul(FEW) < limit => Finding::warn("rate limit", words, remedy),
        _ => Finding::ok("rate limit", words),
    };
    Ok((finding, answer))
}
