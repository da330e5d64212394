//! What is written: `samconfig.toml`, the page that creates the GitHub App, and the manifest of the Slack app. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::template::Parameter;
use crate::aws::escaped;

/// `samconfig.toml` for the stack `name` in `region`, with every parameter: as `given`, or by its default.
pub(super) fn samconfig(
    name: &str,
    region: &str,
    parameters: &[Parameter],
    given: &BTreeMap<String, String>,
) -> String {
    let value = |one: &Parameter| given.get(&one.name).cloned().or_else(|| one.default.clone()).unwrap_or_default();
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let pairs: Vec<String> = parameters.iter().map(|one| format!("{}={}", one.name, quoted(&value(one)))).collect();
    let mut text = String::from(
        "# Written by `slipway init`; read by `sam deploy` in this folder.\n\
         #\n\
         # What `sam deploy --guided` asks to be acknowledged: the function GitHubWebhook has a URL without IAM. It\n\
         # checks GitHub's signature before anything else, and its role may only read that secret and queue the push.\n\
         version = 0.1\n\n\
         [default.deploy.parameters]\n",
    );
    for (key, value) in [
        ("stack_name", name),
        ("region", region),
        ("template_file", "infra/template.yaml"),
        ("capabilities", "CAPABILITY_IAM"),
    ] {
        let _ = writeln!(text, "{key} = {}", quoted(value));
    }
    text.push_str("resolve_s3 = true\nfail_on_empty_changeset = false\n");
    let _ = writeln!(text, "parameter_overrides = {}", quoted(&pairs.join(" ")));
    text
}

/// The manifest of the GitHub App (docs.github.com, "Registering a GitHub App from a manifest"). Its webhook is the
/// only one that is needed; where it goes is set when the stack's URL is known. `with_pull_requests`: ApplicationSets
/// look at pull requests, and image updates are proposed by them. `port`: where the browser comes back to, on the
/// machine that runs `slipway init`.
pub(super) fn github_app(owner: &str, with_pull_requests: bool, port: u16) -> Value {
    let mut permissions = json!({"metadata": "read", "contents": "write", "statuses": "write"});
    let mut events = vec!["push"];
    if with_pull_requests {
        permissions.as_object_mut().map(|all| all.insert("pull_requests".to_owned(), json!("write")));
        events.push("pull_request");
    }
    json!({
        "name": format!("Slipway {owner}"),
        "url": env!("CARGO_PKG_REPOSITORY"),
        "hook_attributes": {"url": "https://example.com/set-when-the-stack-is-there", "active": true},
        "redirect_url": format!("http://127.0.0.1:{port}/created"),
        "public": false,
        "default_permissions": permissions,
        "default_events": events,
    })
}

/// A page with one button, which hands `manifest` to GitHub at `web` (`https://github.com`) for `owner`, an
/// organization or not.
pub(super) fn page(web: &str, (owner, is_organization): (&str, bool), manifest: &Value, state: &str) -> String {
    let place =
        if is_organization { format!("organizations/{}/settings", escaped(owner)) } else { "settings".to_owned() };
    let action = format!("{web}/{place}/apps/new?state={}", escaped(state));
    format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>Create the GitHub App of Slipway</title>\n\
         <h1>Create the GitHub App of Slipway</h1>\n\
         <p>It reads and writes the contents and commit statuses of the repositories for which it is installed.</p>\n\
         <form method=\"post\" action=\"{}\">\n<input type=\"hidden\" name=\"manifest\" value=\"{}\">\n\
         <button>Create it for {}</button>\n</form>\n",
        attribute(&action),
        attribute(&manifest.to_string()),
        attribute(owner),
    )
}

fn attribute(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The manifest of the Slack app.
pub(super) fn slack_app() -> Value {
    json!({
        "display_information": {"name": "Slipway", "description": "Tells what was deployed"},
        "features": {"bot_user": {"display_name": "slipway", "always_online": false}},
        "oauth_config": {"scopes": {"bot": ["chat:write", "chat:write.public"]}},
        "settings": {"org_deploy_enabled": false, "socket_mode_enabled": false, "token_rotation_enabled": false},
    })
}

/// The address that creates the Slack app in one click.
pub(super) fn slack_link() -> String {
    format!("https://api.slack.com/apps?new_app=1&manifest_json={}", escaped(&slack_app().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_for_sam_and_for_toml() {
        let parameters = super::super::template::parameters().unwrap();
        let given = BTreeMap::from([("Settings".to_owned(), "a: \"b \\ c\"".to_owned())]);
        let text = samconfig("slipway", "eu-west-1", &parameters, &given);
        assert!(text.contains(r#"Settings=\"a: \\\"b \\\\ c\\\"\""#), "{text}");
    }

    #[test]
    fn the_page_holds_no_markup_of_others() {
        let page = page("https://github.com", ("a\"><script>", true), &github_app("</form>", false, 1), "x");
        assert!(!page.contains("<script>") && page.matches("</form>").count() == 1, "{page}");
    }
}
