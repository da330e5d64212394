//! Implements `slipway webhook`: the GitHub App's webhook gets the stack's URL and secret, so that nobody types them.

use anyhow::{Context as _, bail};
use clap::Args;
use http::Method;
use secrecy::ExposeSecret as _;
use serde_json::json;
use slipway::aws::Aws;
use slipway::secret::{GithubCredential, Secrets};
use slipway::source::app_token::app_token;

use crate::aws::text;
use crate::doctor::stack::Installation;
use crate::github::Api;
use crate::root::check::GitHubLogin;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The CloudFormation stack.
    #[arg(long, value_name = "NAME", default_value = "slipway")]
    stack: String,
    /// The value of a parameter or output of the template, in the place of the stack's; may be repeated.
    #[arg(long = "parameter", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
}

/// Sets the App's webhook. Errors: the stack has no URL, the credential is no GitHub App, GitHub refuses.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let aws = Aws::default();
    let (mut installation, _) = Installation::read(&aws, &arguments.stack).await;
    for given in &arguments.parameters {
        installation.set(given)?;
    }
    let unknown = || format!("the stack {} does not say its webhook's URL and secret", arguments.stack);
    let (url, secret) = installation.get("WebhookUrl").zip(installation.get("WebhookSecret")).with_context(unknown)?;
    let secrets = Secrets::new(aws.clone());
    let name = installation.get("GitHubSecret").unwrap_or("slipway/github");
    let GithubCredential::App { app, key, .. } = GithubCredential::parse(name, &secrets.get(name).await?)? else {
        bail!("{name} is a token: infra/INSTALL.md, step 5, has the webhook of a repository");
    };
    let text_of_secret = secrets.get(secret).await?;
    let token = app_token(app, &key, jiff::Timestamp::now().as_second()).context("the App's privateKey is none")?;
    let base = installation.get("GitHubApi").map_or_else(|| GitHubLogin::of_environment().api, str::to_owned);
    let base = base.trim_end_matches('/').to_owned();
    let api = Api { http: aws.http().clone(), base, token: Some(token) };
    let config = json!({
        "url": url, "content_type": "json", "insecure_ssl": "0", "secret": text_of_secret.expose_secret().trim(),
    });
    let changed = api.send(Method::PATCH, "/app/hook/config", Some(&config)).await?;
    if !changed.is_ok() || text(&changed.body, "url") != url {
        bail!("the App's webhook can't be set: {}", changed.words());
    }
    crate::println(&format!("The webhook of App {app} goes to {url}"));
    Ok(())
}
