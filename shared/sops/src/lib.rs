//! Reads files that SOPS encrypted: what they are encrypted for, and, given the data key, their plaintext. Pure.
//!
//! [`is_encrypted`] tells such a file, [`EncryptedFile::parse`] reads it, [`age`] or AWS KMS unwrap its data
//! key, and [`EncryptedFile::decrypt`] returns the file as it was before. What was changed behind SOPS' back is an
//! error, as for SOPS (getsops/sops `sops.go`, `Tree.Decrypt`). No error quotes a value.

#![forbid(unsafe_code)]

pub mod age;
mod cipher;
mod file;
mod flat;
mod metadata;
#[cfg(test)]
mod tests;

pub use cipher::DataKey;
pub use file::{Decrypted, DecryptedFiles, EncryptedFile, EncryptedFiles, is_encrypted};
pub use metadata::MasterKey;

use slipway_manifest::YamlError;

/// Why a file can't be decrypted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SopsError {
    /// The file is not UTF-8.
    #[error("an encrypted file must be UTF-8")]
    NotUtf8,
    /// The file is no YAML.
    #[error("failed to read the encrypted file")]
    Yaml(#[from] YamlError),
    /// The file is no JSON, on which line.
    #[error("the encrypted file is no JSON on line {0}")]
    Json(usize),
    /// What SOPS noted of the encryption can't be read.
    #[error("`sops` can't be read: {0}")]
    Metadata(String),
    /// The file is encrypted in a way that is not supported.
    #[error("{0} is not supported: {1}")]
    NotSupported(&'static str, &'static str),
    /// A value is not what SOPS writes, or is encrypted with another key or for another place.
    #[error("the value at `{0}` can't be decrypted: it was changed, moved or damaged; encrypt the file again")]
    Value(String),
    /// Values were changed, added or removed since the file was encrypted.
    #[error("the file was changed since it was encrypted (the MAC differs): edit it by `sops edit`")]
    Changed,
    /// The data key is not one of AES-256.
    #[error("the data key has {0} bytes, expected 32")]
    DataKey(usize),
}
