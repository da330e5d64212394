//! Decrypts single values (getsops/sops `aes/cipher.go`).

use aes_gcm::AesGcm;
use aes_gcm::aead::array::ArraySize;
use aes_gcm::aead::consts::{U12, U32};
use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::aes::Aes256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretSlice};
use serde_json::Value;

use crate::SopsError;

/// What an encrypted value begins with.
pub(crate) const PREFIX: &str = "ENC[AES256_GCM,data:";
/// Bytes of a key of AES-256.
const KEY_LENGTH: usize = 32;

/// The key that all values of a file are encrypted with.
#[derive(Debug, Clone)]
pub struct DataKey(SecretSlice<u8>);

impl DataKey {
    /// The key with these 32 bytes.
    pub fn new(bytes: Vec<u8>) -> Result<Self, SopsError> {
        if bytes.len() == KEY_LENGTH { Ok(Self(bytes.into())) } else { Err(SopsError::DataKey(bytes.len())) }
    }

    /// The plaintext of `text`, encrypted for the place `context`; `None` where it is not encrypted with this key for
    /// that place. An empty text is one.
    pub(crate) fn decrypt(&self, text: &str, context: &str) -> Option<Plain> {
        if text.is_empty() {
            return Some(Plain::Value(Value::String(String::new())));
        }
        let mut parts = text.strip_prefix(PREFIX)?.strip_suffix(']')?.split(',');
        let data = STANDARD.decode(parts.next()?).ok()?;
        let nonce = STANDARD.decode(parts.next()?.strip_prefix("iv:")?).ok()?;
        let tag = STANDARD.decode(parts.next()?.strip_prefix("tag:")?).ok()?;
        let kind = parts.next()?.strip_prefix("type:")?;
        let sealed = [data, tag].concat();
        let payload = Payload { msg: &sealed, aad: context.as_bytes() };
        let bytes = match nonce.len() {
            32 => self.open::<U32>(&nonce, payload),
            12 => self.open::<U12>(&nonce, payload),
            _ => None,
        }?;
        Plain::of(kind, bytes)
    }

    fn open<N: ArraySize>(&self, nonce: &[u8], payload: Payload<'_, '_>) -> Option<Vec<u8>> {
        let cipher = AesGcm::<Aes256, N>::new_from_slice(self.0.expose_secret()).ok()?;
        cipher.decrypt(nonce.try_into().ok()?, payload).ok()
    }
}

/// What a value was before.
pub(crate) enum Plain {
    Value(Value),
    /// The bytes of a file that is no text.
    Bytes(Vec<u8>),
    /// A comment, which stands among the items of a list.
    Comment,
}

impl Plain {
    fn of(kind: &str, bytes: Vec<u8>) -> Option<Self> {
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => return matches!(kind, "str" | "bytes").then(|| Self::Bytes(error.into_bytes())),
        };
        Some(Self::Value(match kind {
            "str" | "bytes" | "time" => Value::String(text),
            "int" => Value::from(text.parse::<i64>().ok()?),
            // Go prints a whole one without a fraction.
            "float" => text.parse::<i64>().map(Value::from).or_else(|_| text.parse::<f64>().map(Value::from)).ok()?,
            // Go's ParseBool of what SOPS writes.
            "bool" => Value::Bool(matches!(text.as_str(), "True" | "true" | "1")),
            "comment" => return Some(Self::Comment),
            _ => return None,
        }))
    }
}
