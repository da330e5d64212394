//! Reads the secrets that placeholders name from AWS Secrets Manager and SSM Parameter Store.

use std::collections::BTreeSet;
use std::time::Duration;

use http::Method;
use serde_json::{Map, Value, json};
use slipway_gocompat::Glob;

use super::decrypt::Decryption;
use crate::aws::sign::{self, Call, SignError};
use crate::http::HttpError;
use crate::render::{SecretValues, SecretVersion};

/// AWS answers within milliseconds; waiting longer would use up the invocation.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Secrets of one Application.
const MAX_SECRETS: usize = 200;
/// What a path begins with for Parameter Store, besides its ARNs.
const PARAMETER: &str = "ssm:";
/// The key of a parameter whose value is no JSON object.
const VALUE: &str = "value";

/// Why the secrets of placeholders can't be read. Never quotes a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretsError {
    /// No secret is set.
    #[error("no secret may be read: set the ARNs of those that placeholders may name by SLIPWAY_PLACEHOLDER_SECRETS")]
    NotSet,
    /// The secret is none of those that are set.
    #[error("`{0}` is none of the secrets that SLIPWAY_PLACEHOLDER_SECRETS names")]
    NotAllowed(String),
    /// The secret is one of the functions' own.
    #[error("`{0}` is a secret of the functions themselves, which no placeholder may name")]
    Own(String),
    /// There are too many.
    #[error("placeholders name {0} secrets, and at most {MAX_SECRETS} are read")]
    TooMany(usize),
    /// The request could not be signed.
    #[error("failed to ask for `{path}`")]
    Sign {
        /// The secret.
        path: String,
        /// The cause.
        #[source]
        source: Box<SignError>,
    },
    /// AWS could not be reached.
    #[error("failed to ask for `{path}`")]
    Http {
        /// The secret.
        path: String,
        /// The cause.
        #[source]
        source: Box<HttpError>,
    },
    /// AWS refused.
    #[error("AWS refused to tell `{path}`: {code}")]
    Refused {
        /// The secret.
        path: String,
        /// AWS' code, for example `AccessDeniedException`.
        code: String,
        /// The status of the answer.
        status: u16,
    },
    /// The secret has no keys.
    #[error("`{0}` holds no JSON object, of which a placeholder names a key")]
    NoKeys(String),
}

impl SecretsError {
    /// Whether the same may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Http { .. } => true,
            Self::Refused { status, code, .. } => *status >= 500 || code == "ThrottlingException",
            _ => false,
        }
    }
}

impl Decryption {
    /// The keys and values of `secrets`, each asked for once.
    pub async fn secret_values(&self, secrets: &BTreeSet<SecretVersion>) -> Result<SecretValues, SecretsError> {
        if secrets.len() > MAX_SECRETS {
            return Err(SecretsError::TooMany(secrets.len()));
        }
        let mut values = SecretValues::new();
        for secret in secrets {
            self.check(&secret.path)?;
            values.insert(secret.clone(), Box::pin(self.secret_value(secret)).await?);
        }
        Ok(values)
    }

    /// Checks that placeholders may name the secret: it is one of the settings', and none of the functions' own.
    fn check(&self, path: &str) -> Result<(), SecretsError> {
        let keys = self.keys();
        if keys.secrets.is_empty() {
            return Err(SecretsError::NotSet);
        }
        let name = path.split_once(":secret:").map_or(path, |(_, name)| name);
        let is_own = |own: &String| name == own || name.strip_prefix(own.as_str()).is_some_and(is_suffix);
        if keys.own_secrets.iter().any(is_own) {
            return Err(SecretsError::Own(path.to_owned()));
        }
        if keys.secrets.iter().any(|arn| allows(arn, path)) {
            return Ok(());
        }
        Err(SecretsError::NotAllowed(path.to_owned()))
    }

    async fn secret_value(&self, secret: &SecretVersion) -> Result<Map<String, Value>, SecretsError> {
        let SecretVersion { path, version } = secret;
        let region = path.starts_with("arn:").then(|| path.split(':').nth(3)).flatten();
        let parameter = parameter(path);
        let (service, target, body) = if let Some(name) = parameter {
            let name = if version.is_empty() { name.to_owned() } else { format!("{name}:{version}") };
            ("ssm", "AmazonSSM.GetParameter", json!({"Name": name, "WithDecryption": true}))
        } else {
            let field = if version.starts_with("AWS") { "VersionStage" } else { "VersionId" };
            let body = match version.as_str() {
                "" => json!({"SecretId": path}),
                version => json!({"SecretId": path, field: version}),
            };
            ("secretsmanager", "secretsmanager.GetSecretValue", body)
        };
        let call = Call {
            service,
            region: region.filter(|region| !region.is_empty()),
            method: Method::POST,
            path: "/",
            headers: &[("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)],
            body: &body.to_string(),
        };
        let request = sign::request(self.aws().config().await, call).await;
        let request = request.map_err(|source| SecretsError::Sign { path: path.clone(), source: Box::new(source) })?;
        let answer = self.aws().http().send(request, TIMEOUT).await;
        let answer = answer.map_err(|source| SecretsError::Http { path: path.clone(), source: Box::new(source) })?;
        let value = answer.body.pointer("/Parameter/Value").or_else(|| answer.body.get("SecretString"));
        let Some(text) = value.and_then(Value::as_str).filter(|_| answer.status == 200) else {
            if answer.status == 200 {
                return Err(SecretsError::NoKeys(path.clone()));
            }
            // Not its message, which may name more than the secret.
            let code = answer.body.get("__type").and_then(Value::as_str).unwrap_or("an unreadable answer");
            let code = code.rsplit('#').next().unwrap_or(code).to_owned();
            return Err(SecretsError::Refused { path: path.clone(), code, status: answer.status });
        };
        match (serde_json::from_str(text), parameter) {
            (Ok(Value::Object(map)), _) => Ok(map),
            (_, Some(_)) => Ok(Map::from_iter([(VALUE.to_owned(), Value::from(text))])),
            _ => Err(SecretsError::NoKeys(path.clone())),
        }
    }
}

/// The name or ARN of a parameter.
fn parameter(path: &str) -> Option<&str> {
    let is_arn = path.starts_with("arn:") && path.split(':').nth(2) == Some("ssm");
    path.strip_prefix(PARAMETER).or(is_arn.then_some(path))
}

/// Whether this is what Secrets Manager ends the names in its ARNs with.
fn is_suffix(end: &str) -> bool {
    end.len() == 7
        && end.strip_prefix('-').is_some_and(|random| random.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Whether `arn` of the settings, in which `*` is any text, is that of the secret or parameter at `path`.
fn allows(arn: &str, path: &str) -> bool {
    let matches = |pattern: &str, text: &str| Glob::new(pattern).matches(text);
    if path.starts_with("arn:") {
        return matches(arn, path);
    }
    let service = arn.split(':').nth(2);
    match path.strip_prefix(PARAMETER) {
        Some(name) => arn
            .split_once(":parameter")
            .filter(|_| service == Some("ssm"))
            .is_some_and(|(_, pattern)| matches(pattern, &format!("/{}", name.trim_start_matches('/')))),
        None => arn
            .split_once(":secret:")
            .filter(|_| service == Some("secretsmanager"))
            .is_some_and(|(_, pattern)| matches(pattern.strip_suffix("-??????").unwrap_or(pattern), path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_placeholders_may_name_is_what_the_settings_name() {
        let shop = "arn:aws:secretsmanager:eu-central-1:1:secret:shop/*";
        let one = "arn:aws:secretsmanager:eu-central-1:1:secret:one-??????";
        let parameters = "arn:aws:ssm:eu-central-1:1:parameter/shop/*";
        for (arn, path, expected) in [
            (shop, "shop/db", true),
            (shop, "shop/db/more", true),
            (shop, "shopping", false),
            (shop, "other", false),
            (shop, "arn:aws:secretsmanager:eu-central-1:1:secret:shop/db-AbCdEf", true),
            (shop, "arn:aws:secretsmanager:eu-central-1:2:secret:shop/db-AbCdEf", false),
            (shop, "ssm:/shop/db", false),
            (one, "one", true),
            (one, "one-more", false),
            (one, "arn:aws:secretsmanager:eu-central-1:1:secret:one-AbCdEf", true),
            (parameters, "ssm:/shop/db", true),
            (parameters, "ssm:shop/db", true),
            (parameters, "ssm:/shopping", false),
            (parameters, "shop/db", false),
            (parameters, "arn:aws:ssm:eu-central-1:1:parameter/shop/db", true),
        ] {
            assert_eq!(allows(arn, path), expected, "{arn} {path}");
        }
        assert_eq!(
            ["ssm:/a", "arn:aws:ssm:r:1:parameter/a", "a"].map(|path| parameter(path).is_some()),
            [true, true, false]
        );
        assert!(is_suffix("-a1B2c3") && !is_suffix("-a1B2c") && !is_suffix("more!!!"));
    }
}
