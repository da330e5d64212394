//! Checks the secrets: whether they are there, can be read, and look as they should.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use slipway::secret::{GithubCredential, SecretError, Secrets};
use slipway_sops::age::Identities;

use super::finding::Finding;
use super::stack::Installation;

/// The least that a key of our own has: what `openssl rand -hex 16` prints.
const LEAST: usize = 32;

/// A secret that the settings name: how findings call it, its name, what its text has to be, how it is made.
struct Expected<'a> {
    check: &'static str,
    name: Option<&'a str>,
    shape: fn(&SecretString) -> Result<(), String>,
    value: &'static str,
}

/// Checks every secret of the installation.
pub(super) async fn check(installation: &Installation, secrets: &Secrets) -> Vec<Finding> {
    let own = |own: &str, given: &str| installation.get(own).or_else(|| installation.get(given));
    let all = [
        Expected {
            check: "GitHub secret",
            name: installation.get("GitHubSecret"),
            shape: github,
            value: "\"$(jq -n --rawfile key app.pem '{appId: APP, installationId: INSTALLATION, privateKey: $key}')\"",
        },
        Expected {
            check: "webhook secret",
            name: own("OwnWebhookSecret", "WebhookSecret"),
            shape: key,
            value: "\"$(openssl rand -hex 32)\"",
        },
        Expected {
            check: "state secret",
            name: own("OwnStateSecret", "StateSecret"),
            shape: key,
            value: "\"$(openssl rand -hex 32)\"",
        },
        Expected { check: "Slack secret", name: installation.get("SlackSecret"), shape: slack, value: "xoxb-TOKEN" },
        Expected {
            check: "repository secret",
            name: installation.get("RepositorySecret"),
            shape: repositories,
            value: "'[{\"url\": \"https://HOST/PATH\", \"username\": \"USER\", \"password\": \"PASSWORD\"}]'",
        },
        Expected {
            check: "age identities",
            name: installation.get("SopsAgeSecret"),
            shape: identities,
            value: "file://keys.txt",
        },
    ];
    let mut findings = Vec::new();
    for Expected { check, name, shape, value } in all {
        let Some(name) = name else { continue };
        let make = |verb, flag| format!("aws secretsmanager {verb} --{flag} {name} --secret-string {value}");
        findings.push(match secrets.get(name).await {
            Ok(text) => match shape(&text) {
                Ok(()) => Finding::ok(check, format!("{name} is there and well-formed")),
                Err(why) => Finding::fail(check, format!("{name} {why}"), make("put-secret-value", "secret-id")),
            },
            Err(SecretError::Get { code, .. }) if code == "ResourceNotFoundException" => {
                Finding::fail(check, format!("there is no secret {name}"), make("create-secret", "name"))
            }
            Err(SecretError::Empty { .. }) => {
                Finding::fail(check, format!("{name} is empty"), make("put-secret-value", "secret-id"))
            }
            Err(error) => Finding::warn(
                check,
                format!("not checked: {error}"),
                "AWS_PROFILE=PROFILE slipway doctor, with a login that may secretsmanager:GetSecretValue",
            ),
        });
    }
    findings
}

fn github(text: &SecretString) -> Result<(), String> {
    let wrong = "is neither a token nor JSON with appId, installationId and privateKey";
    match GithubCredential::parse("", text).map_err(|_| wrong)? {
        GithubCredential::App { key, .. } if !key.expose_secret().starts_with("-----BEGIN") => {
            Err("has a privateKey that is not PEM".to_owned())
        }
        _ => Ok(()),
    }
}

fn key(text: &SecretString) -> Result<(), String> {
    let length = text.expose_secret().trim().len();
    if length < LEAST { Err(format!("is too short to be a key: {length} characters")) } else { Ok(()) }
}

fn slack(text: &SecretString) -> Result<(), String> {
    let is_bot = text.expose_secret().trim().starts_with("xoxb-");
    if is_bot { Ok(()) } else { Err("is no bot token, which begins with xoxb-".to_owned()) }
}

fn repositories(text: &SecretString) -> Result<(), String> {
    let list: Value = serde_json::from_str(text.expose_secret()).unwrap_or_default();
    let list = list.as_array().ok_or("is no JSON list")?;
    let without = list.iter().position(|one| one.get("url").and_then(Value::as_str).is_none());
    without.map_or(Ok(()), |at| Err(format!("has no `url` in entry {}", at + 1)))
}

fn identities(text: &SecretString) -> Result<(), String> {
    let parsed = Identities::parse(text).map_err(|line| format!("has no age identity in line {line}"))?;
    if parsed.recipients().next().is_none() { Err("has no age identity".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_told_apart() {
        type Shape = fn(&SecretString) -> Result<(), String>;
        let long = "a".repeat(LEAST);
        let app = r#"{"appId":1,"installationId":2,"privateKey":"-----BEGIN RSA PRIVATE KEY-----\nMII"}"#;
        let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference/sops/keys.txt");
        let keys = std::fs::read_to_string(keys).unwrap();
        let good: [(Shape, &str); 6] = [
            (github, "github_pat_x"),
            (github, app),
            (key, &long),
            (slack, "xoxb-1\n"),
            (repositories, r#"[{"url": "https://charts.example"}]"#),
            (identities, &keys),
        ];
        for (shape, text) in good {
            assert_eq!(shape(&text.into()), Ok(()), "{text}");
        }
        let bad: [(Shape, &str); 8] = [
            (github, "two words"),
            (github, &app.replace("-----BEGIN RSA PRIVATE KEY-----", "canary")),
            (key, "canary"),
            (slack, "xoxp-canary"),
            (repositories, r#"{"url": "canary"}"#),
            (repositories, r#"[{"username": "canary"}]"#),
            (identities, "canary"),
            (identities, ""),
        ];
        for (shape, text) in bad {
            let why = shape(&text.into()).unwrap_err();
            assert!(!why.contains("canary"), "{why}");
        }
    }
}
