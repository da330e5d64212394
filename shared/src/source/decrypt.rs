//! Decrypts files that SOPS encrypted: unwraps their data keys by age identities from Secrets Manager, or by AWS KMS.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use slipway_budget::{Budget, Limits};
use slipway_sops::age::Identities;
use slipway_sops::{DataKey, DecryptedFiles, EncryptedFile, EncryptedFiles, MasterKey, SopsError};

use crate::aws::Aws;
use crate::aws::sign::{self, Call, SignError};
use crate::http::HttpError;
use crate::secret::{SecretError, Secrets};

/// KMS answers within milliseconds; waiting longer would use up the invocation.
const KMS_TIMEOUT: Duration = Duration::from_secs(10);
/// Data keys that are kept for warm invocations; more are asked for again.
const MAX_KEPT_KEYS: usize = 1_000;
/// Bytes of one encrypted file: Kubernetes takes no larger Secret, and values grow by half when they are encrypted.
const MAX_FILE: usize = 4 << 20;

/// Why a file is not decrypted. Never quotes a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecryptError {
    /// No key is set.
    #[error(
        "no key is set: name the secret with age identities by SLIPWAY_SOPS_AGE_SECRET, or the KMS keys by \
         SLIPWAY_SOPS_KMS_KEYS"
    )]
    NoKey,
    /// The keys that are set are not those that it is encrypted for.
    #[error("it is encrypted for {0}, and none of them is set by SLIPWAY_SOPS_AGE_SECRET or SLIPWAY_SOPS_KMS_KEYS")]
    OtherKeys(String),
    /// The secret with identities can't be read.
    #[error("failed to read the age identities")]
    Secret(#[from] SecretError),
    /// The secret holds something else.
    #[error("secret `{name}` holds no age identity on line {line}: expected what `age-keygen` writes")]
    Identity {
        /// The secret's name.
        name: String,
        /// The line.
        line: usize,
    },
    /// The function ends.
    #[error("the function ended meanwhile")]
    Stopped,
    /// The file is too large.
    #[error("it has {0} bytes, and at most {MAX_FILE} are decrypted")]
    TooLarge(usize),
    /// The file is not what SOPS wrote, or is written in a way that is not supported.
    #[error(transparent)]
    Sops(#[from] SopsError),
    /// The request to KMS could not be signed.
    #[error("failed to ask KMS for {arn}")]
    Sign {
        /// The key.
        arn: String,
        /// The cause.
        #[source]
        source: Box<SignError>,
    },
    /// KMS could not be reached.
    #[error("failed to ask KMS for {arn}")]
    Http {
        /// The key.
        arn: String,
        /// The cause.
        #[source]
        source: Box<HttpError>,
    },
    /// KMS refused.
    #[error("KMS refused to decrypt with {arn}: {code}; allow the function's role `kms:Decrypt` on it")]
    Refused {
        /// The key.
        arn: String,
        /// KMS' code, for example `AccessDeniedException`.
        code: String,
        /// The status of the answer.
        status: u16,
    },
}

impl DecryptError {
    /// Whether the same may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Http { .. } => true,
            Self::Refused { status, code, .. } => *status >= 500 || code == "ThrottlingException",
            _ => false,
        }
    }
}

/// The keys that files are decrypted with; cheap to clone.
#[derive(Debug, Clone)]
pub struct Decryption(Arc<Clients>);

#[derive(Debug)]
struct Clients {
    aws: Aws,
    secrets: Secrets,
    keys: KeySettings,
    known: Mutex<BTreeMap<[u8; 32], DataKey>>,
}

/// Which keys may be used.
#[derive(Debug, Clone, Default)]
pub struct KeySettings {
    /// The secret with age identities.
    pub age_secret: Option<String>,
    /// ARNs of KMS keys; what is encrypted for another one is not asked for.
    pub kms_keys: Vec<String>,
    /// ARNs of the secrets and parameters that placeholders may name; `*` is any text.
    pub secrets: Vec<String>,
    /// Names of the functions' own secrets, which they may not.
    pub own_secrets: Vec<String>,
}

impl Decryption {
    /// Sends no request yet.
    pub fn new(keys: KeySettings, aws: Aws, secrets: Secrets) -> Self {
        Self(Arc::new(Clients { aws, secrets, keys, known: Mutex::default() }))
    }

    pub(super) fn aws(&self) -> &Aws {
        &self.0.aws
    }

    pub(super) fn keys(&self) -> &KeySettings {
        &self.0.keys
    }

    /// The plaintext of `encrypted`, within `limits` a file. The error comes with the file's path.
    pub async fn decrypt(
        &self,
        encrypted: &EncryptedFiles,
        limits: Limits,
    ) -> Result<DecryptedFiles, (String, DecryptError)> {
        let mut decrypted = DecryptedFiles::default();
        for (path, content) in encrypted {
            let file = Box::pin(self.file(path, content, &Budget::new(limits))).await;
            let file = file.map_err(|error| (path.clone(), error))?;
            decrypted.files.insert(path.clone(), file.content.into());
            decrypted.values.extend(file.values);
        }
        Ok(decrypted)
    }

    async fn file(
        &self,
        path: &str,
        content: &Arc<[u8]>,
        budget: &Budget,
    ) -> Result<slipway_sops::Decrypted, DecryptError> {
        if content.len() > MAX_FILE {
            return Err(DecryptError::TooLarge(content.len()));
        }
        if self.0.keys.age_secret.is_none() && self.0.keys.kms_keys.is_empty() {
            return Err(DecryptError::NoKey);
        }
        let none = || SopsError::Metadata("it is missing, and the file is not encrypted".to_owned());
        let (path, content, within) = (path.to_owned(), Arc::clone(content), budget.clone());
        let file = aside(move || EncryptedFile::parse(&path, &content, &within)?.ok_or_else(none)).await?;
        let key = self.data_key(&file.keys()?).await?;
        let within = budget.clone();
        aside(move || file.decrypt(&key, &within)).await
    }

    /// Unwraps the data key by the first of `keys` that is ours.
    async fn data_key(&self, keys: &[MasterKey]) -> Result<DataKey, DecryptError> {
        let identities = match &self.0.keys.age_secret {
            Some(name) if keys.iter().any(|key| matches!(key, MasterKey::Age { .. })) => self.identities(name).await?,
            _ => Identities::default(),
        };
        let mut refused = None;
        for key in keys {
            let found = match key {
                MasterKey::Age { recipient, wrapped } if identities.recipients().any(|own| own == recipient) => {
                    identities.unwrap(wrapped)?
                }
                MasterKey::Kms { arn, role, context, wrapped } if self.0.keys.kms_keys.contains(arn) => {
                    let found = Box::pin(self.ask_kms((arn, role), context, wrapped)).await;
                    found.map_err(|error| refused = Some(error)).ok()
                }
                _ => None,
            };
            if let Some(found) = found {
                return Ok(found);
            }
        }
        let names = keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Err(refused.unwrap_or(DecryptError::OtherKeys(names)))
    }

    async fn identities(&self, name: &str) -> Result<Identities, DecryptError> {
        let text = self.0.secrets.get(name).await?;
        Identities::parse(&text).map_err(|line| DecryptError::Identity { name: name.to_owned(), line })
    }

    /// Asks KMS for the data key that it `wrapped` for `arn` with `context`, once for each.
    async fn ask_kms(
        &self,
        (arn, role): (&str, &str),
        context: &BTreeMap<String, String>,
        wrapped: &[u8],
    ) -> Result<DataKey, DecryptError> {
        if !role.is_empty() {
            let remedy = "let the function's own role use the key";
            return Err(SopsError::NotSupported("a role to ask KMS by", remedy).into());
        }
        let digest = Sha256::digest(json!([arn, context, wrapped]).to_string());
        let known = || self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known().get(digest.as_slice()) {
            return Ok(known.clone());
        }
        let body = json!({
            "KeyId": arn,
            "CiphertextBlob": STANDARD.encode(wrapped),
            "EncryptionContext": context,
        });
        let call = Call {
            service: "kms",
            region: arn.split(':').nth(3).filter(|region| !region.is_empty()),
            method: Method::POST,
            path: "/",
            headers: &[("content-type", "application/x-amz-json-1.1"), ("x-amz-target", "TrentService.Decrypt")],
            body: &body.to_string(),
        };
        let request = sign::request(self.0.aws.config().await, call).await;
        let request = request.map_err(|source| DecryptError::Sign { arn: arn.to_owned(), source: Box::new(source) })?;
        let answer = self.0.aws.http().send(request, KMS_TIMEOUT).await;
        let answer = answer.map_err(|source| DecryptError::Http { arn: arn.to_owned(), source: Box::new(source) })?;
        let plain = answer.body.get("Plaintext").and_then(Value::as_str).filter(|_| answer.status == 200);
        let Some(plain) = plain.and_then(|plain| STANDARD.decode(plain).ok()) else {
            // Not its message, which may name more than the key.
            let code = answer.body.get("__type").and_then(Value::as_str).unwrap_or("an unreadable answer");
            let code = code.rsplit('#').next().unwrap_or(code).to_owned();
            return Err(DecryptError::Refused { arn: arn.to_owned(), code, status: answer.status });
        };
        let found = DataKey::new(plain)?;
        let mut known = known();
        if known.len() >= MAX_KEPT_KEYS {
            known.clear();
        }
        known.insert(digest.into(), found.clone());
        Ok(found)
    }
}

/// Does the `work` of a large file beside the async thread, which renews Leases.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SopsError> + Send + 'static,
) -> Result<T, DecryptError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(DecryptError::Stopped),
        },
    }
}
