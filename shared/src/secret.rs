//! Reads secrets from AWS Secrets Manager, cached for warm invocations; their types can't be printed by accident.
//!
//! A rotation loses nothing: what the other side no longer takes is read again at once ([`Secrets::reload`]), and what
//! was made with the secret before is still known for a while ([`Secrets::previous`]).

#![warn(clippy::arithmetic_side_effects)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::aws::Aws;
use crate::time;

/// How long a secret is cached: a rotation reaches a warm function within this time.
const FRESH: Duration = Duration::from_mins(5);
/// How often it is read again at most: a flood of wrong signatures costs one read in this time.
const READ_INTERVAL: Duration = Duration::from_secs(10);
/// Secrets Manager's name of the version in use, and of the one before it.
const CURRENT: &str = "AWSCURRENT";
const PREVIOUS: &str = "AWSPREVIOUS";

/// Why a secret can't be used. Never contains its text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// Secrets Manager refused or could not be reached.
    #[error("failed to read secret `{name}` from Secrets Manager ({code})")]
    Get {
        /// The secret's name.
        name: String,
        /// AWS's error code, for example `ResourceNotFoundException`.
        code: String,
        /// The SDK's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The secret is empty or binary.
    #[error("secret `{name}` is empty or not a text")]
    Empty {
        /// The secret's name.
        name: String,
    },
    /// The GitHub credential is neither a token nor a complete GitHub App.
    #[error(
        "secret `{name}` is no GitHub credential: expected a token, or JSON with `token`, or with `appId`, \
         `installationId` and `privateKey`"
    )]
    Credential {
        /// The secret's name.
        name: String,
    },
}

/// A version of a secret; `None` where there is no such version.
type Version = Option<(SecretString, Timestamp)>;

/// Reads secrets by name, and caches them for a while.
#[derive(Debug, Clone)]
pub struct Secrets {
    aws: Aws,
    given: Arc<BTreeMap<String, SecretString>>,
    known: Arc<Mutex<BTreeMap<(String, &'static str), Known>>>,
}

#[derive(Debug)]
struct Known {
    version: Version,
    read: Instant,
    /// When it was last read out of turn.
    reloaded: Option<Instant>,
}

impl Secrets {
    /// Secrets of the account behind `aws`.
    pub fn new(aws: Aws) -> Self {
        Self::with(aws, BTreeMap::new())
    }

    /// Secrets with some `given` by name; the others come from the account behind `aws`.
    pub fn with(aws: Aws, given: BTreeMap<String, SecretString>) -> Self {
        Self { aws, given: Arc::new(given), known: Arc::default() }
    }

    /// The text of the secret `name`.
    pub async fn get(&self, name: &str) -> Result<SecretString, SecretError> {
        Ok(self.current(name, false).await?.0)
    }

    /// The text of the secret `name`, read again unless that was done a moment ago: the other side does not take what
    /// [`Secrets::get`] returned.
    pub async fn reload(&self, name: &str) -> Result<SecretString, SecretError> {
        Ok(self.current(name, true).await?.0)
    }

    /// The text that the secret `name` had before its last rotation, which was `within` this time (`None`: ever).
    pub async fn previous(&self, name: &str, within: Option<Duration>) -> Result<Option<SecretString>, SecretError> {
        let (_, rotated) = self.current(name, false).await?;
        if self.given.contains_key(name) || within.is_some_and(|within| time::since(rotated) > within) {
            return Ok(None);
        }
        Ok(self.version(name, PREVIOUS, true).await?.map(|(text, _)| text))
    }

    async fn current(&self, name: &str, reload: bool) -> Result<(SecretString, Timestamp), SecretError> {
        if let Some(given) = self.given.get(name) {
            return Ok((given.clone(), Timestamp::UNIX_EPOCH));
        }
        let empty = || SecretError::Empty { name: name.to_owned() };
        self.version(name, CURRENT, reload).await?.ok_or_else(empty)
    }

    async fn version(&self, name: &str, stage: &'static str, reload: bool) -> Result<Version, SecretError> {
        let mut known = self.known.lock().await;
        let key = (name.to_owned(), stage);
        let now = Instant::now();
        let mut reloaded = reload.then_some(now);
        if let Some(known) = known.get_mut(&key) {
            let is_cached = match known.reloaded {
                _ if !reload => known.read.elapsed() < FRESH,
                Some(at) => at.elapsed() < READ_INTERVAL,
                None => false,
            };
            if is_cached {
                return Ok(known.version.clone());
            }
            // What fails is not repeated at once either.
            known.reloaded = reloaded.or(known.reloaded);
            reloaded = known.reloaded;
        }
        let client = self.aws.secrets_manager().await;
        let version = match client.get_secret_value().secret_id(name).version_stage(stage).send().await {
            Ok(answer) => {
                let created = answer.created_date.and_then(|at| Timestamp::from_second(at.secs()).ok());
                let text = answer.secret_string.filter(|text| !text.trim().is_empty());
                text.map(|text| (SecretString::from(text), created.unwrap_or(Timestamp::UNIX_EPOCH)))
            }
            // A secret that was never rotated.
            Err(error) if stage == PREVIOUS && crate::aws::error_code(&error) == "ResourceNotFoundException" => None,
            Err(error) => {
                let (name, code) = (name.to_owned(), crate::aws::error_code(&error));
                return Err(SecretError::Get { name, code, source: Box::new(error) });
            }
        };
        known.insert(key, Known { version: version.clone(), read: now, reloaded });
        Ok(version)
    }
}

/// The key of what the clusters remember, and the one before its rotation, under which older things were recorded.
#[derive(Debug, Clone)]
pub struct StateKeys {
    /// The key for what is recorded from now on.
    pub current: SecretString,
    /// The key before it.
    pub previous: Option<SecretString>,
}

/// The credential for GitHub.
#[derive(Debug, Clone)]
pub enum GithubCredential {
    /// A personal or fine-grained token.
    Token(SecretString),
    /// A GitHub App installed for the repositories.
    App {
        /// The App's id.
        app: u64,
        /// The installation's id.
        installation: u64,
        /// The App's private key, PEM.
        key: SecretString,
    },
}

/// The key as PEM: in JSON its line breaks often stand as `\n` written out, or all of it as base64.
fn pem(key: &str) -> String {
    let key = key.trim();
    if key.starts_with("-----BEGIN") {
        return key.replace("\\n", "\n");
    }
    let packed: String = key.split_whitespace().collect();
    let decoded = STANDARD.decode(packed).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.filter(|text| text.trim_start().starts_with("-----BEGIN")).unwrap_or_else(|| key.to_owned())
}

impl GithubCredential {
    /// Parses the text `secret` of the secret `name`: a plain token, or JSON.
    pub fn parse(name: &str, secret: &SecretString) -> Result<Self, SecretError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Json {
            token: Option<String>,
            app_id: Option<Id>,
            installation_id: Option<Id>,
            private_key: Option<String>,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Id {
            Number(u64),
            Text(String),
        }
        let number = |id: Id| match id {
            Id::Number(number) => Some(number),
            Id::Text(text) => text.trim().parse().ok(),
        };
        let wrong = || SecretError::Credential { name: name.to_owned() };
        let text = secret.expose_secret().trim();
        let token = if text.starts_with('{') {
            let json: Json = serde_json::from_str(text).map_err(|_| wrong())?;
            if let (Some(app), Some(installation), Some(key)) =
                (json.app_id.and_then(number), json.installation_id.and_then(number), json.private_key)
            {
                return Ok(Self::App { app, installation, key: pem(&key).into() });
            }
            json.token.ok_or_else(wrong)?
        } else {
            text.to_owned()
        };
        // Visible ASCII only: the token is sent in a header.
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(wrong());
        }
        Ok(Self::Token(token.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_tokens_or_apps() {
        let parse = |text: &str| GithubCredential::parse("gh", &SecretString::from(text));
        assert!(matches!(parse("ghp_abc\n").unwrap(), GithubCredential::Token(t) if t.expose_secret() == "ghp_abc"));
        assert!(matches!(parse(r#"{"token":"t"}"#).unwrap(), GithubCredential::Token(_)));
        let app = parse(r#"{"appId":1,"installationId":"2","privateKey":"pem"}"#).unwrap();
        assert!(matches!(app, GithubCredential::App { app: 1, installation: 2, .. }));
        // However the key's lines were brought into JSON.
        let lines = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----";
        for written in [lines.to_owned(), lines.replace('\n', "\\n"), STANDARD.encode(lines)] {
            let json = serde_json::json!({"appId": 1, "installationId": 2, "privateKey": written});
            let GithubCredential::App { key, .. } = parse(&json.to_string()).unwrap() else { panic!("{written}") };
            assert_eq!(key.expose_secret(), lines);
        }
        for bad in ["{", "{}", r#"{"appId":1}"#, "two words canary", "a\nb"] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(error.starts_with("secret `gh` is no GitHub credential"), "{error}");
            assert!(!error.contains("canary"));
        }
        assert!(!format!("{:?}", parse("canary").unwrap()).contains("canary"));
    }
}
