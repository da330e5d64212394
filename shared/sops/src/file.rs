//! Reads an encrypted file and gives it back decrypted, in its own format.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use memchr::memmem;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha512};
use slipway_budget::Budget;
use slipway_manifest::{YamlError, YamlErrorKind, yaml};

use crate::SopsError;
use crate::cipher::{DataKey, PREFIX, Plain};
use crate::flat;
use crate::metadata::{MasterKey, Metadata, Rule};

/// The field with the metadata.
const FIELD: &str = "sops";
/// What the MAC begins with where it covers only what is encrypted (getsops/sops `sops.go`, the SHA-256 of `sops`).
const ONLY_ENCRYPTED: [u8; 32] = [
    0x8a, 0x3f, 0xd2, 0xad, 0x54, 0xce, 0x66, 0x52, 0x7b, 0x10, 0x34, 0xf3, 0xd1, 0x47, 0xbe, 0xb, 0xb, 0x97, 0x5b,
    0x3b, 0xf4, 0x4f, 0x72, 0xc6, 0xfd, 0xad, 0xec, 0x81, 0x76, 0xf2, 0x7d, 0x69,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Yaml,
    Json,
    /// Anything, as the only value of a JSON file.
    Binary,
    /// Lines of `KEY=VALUE`.
    Dotenv,
    /// Sections of them, which are told and not read.
    Ini,
}

/// A file that SOPS encrypted.
#[derive(Debug)]
pub struct EncryptedFile {
    format: Format,
    documents: Vec<Map<String, Value>>,
    metadata: Metadata,
}

/// A file as it was before.
pub struct Decrypted {
    /// Its content.
    pub content: Vec<u8>,
    /// The values that were encrypted, to be hidden wherever they turn up.
    pub values: Vec<String>,
}

/// Encrypted files by their path.
pub type EncryptedFiles = BTreeMap<String, Arc<[u8]>>;

/// The plaintext of files by their path.
#[derive(Clone, Default)]
pub struct DecryptedFiles {
    /// The plaintext.
    pub files: BTreeMap<String, Arc<[u8]>>,
    /// The values that were encrypted.
    pub values: BTreeSet<String>,
}

impl fmt::Debug for DecryptedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.files.keys()).finish()
    }
}

/// Whether the file looks encrypted by SOPS: it has a value that is, and the metadata at its top.
pub fn is_encrypted(content: &[u8]) -> bool {
    format(content).is_some()
}

/// The format, told by the metadata: names of encrypted files follow no rule.
fn format(content: &[u8]) -> Option<Format> {
    memmem::find(content, PREFIX.as_bytes())?;
    if content.trim_ascii_start().starts_with(b"{") {
        return memmem::find(content, b"\"sops\"").map(|_| Format::Json);
    }
    let has_line = |start: &[u8]| content.split(|byte| *byte == b'\n').any(|line| line.starts_with(start));
    if has_line(b"sops:") {
        Some(Format::Yaml)
    } else if has_line(b"sops_mac=") {
        Some(Format::Dotenv)
    } else {
        has_line(b"[sops]").then_some(Format::Ini)
    }
}

impl EncryptedFile {
    /// Reads the encrypted file `path`; `None` where it is none.
    pub fn parse(path: &str, content: &[u8], budget: &Budget) -> Result<Option<Self>, SopsError> {
        let Some(mut format) = format(content) else { return Ok(None) };
        let text = std::str::from_utf8(content).map_err(|_| SopsError::NotUtf8)?;
        let read = match format {
            Format::Yaml => yaml::parse_manifests(text, yaml::Options::default(), budget)?,
            Format::Json | Format::Binary => vec![json(text, budget)?],
            Format::Dotenv => vec![flat::read(text)?],
            Format::Ini => {
                let remedy = "encrypt the file as `--input-type binary`";
                return Err(SopsError::NotSupported("an encrypted INI file", remedy));
            }
        };
        let mut documents = Vec::new();
        let mut metadata = None;
        for document in read.into_iter().filter(|document| !document.is_null()) {
            let Value::Object(mut map) = document else { return Ok(None) };
            let Some(own) = map.shift_remove(FIELD) else { return Ok(None) };
            metadata.get_or_insert(own);
            documents.push(map);
        }
        let Some(metadata) = metadata.filter(Value::is_object) else { return Ok(None) };
        if let (Format::Json, [only]) = (format, documents.as_slice())
            && extension(path) != Some("json")
            && only.keys().eq(["data"])
            && only.values().all(Value::is_string)
        {
            format = Format::Binary;
        }
        Ok(Some(Self { format, documents, metadata: Metadata::read(metadata)? }))
    }

    /// Who can unwrap the data key, those that Slipway can ask first.
    pub fn keys(&self) -> Result<Vec<MasterKey>, SopsError> {
        self.metadata.keys()
    }

    /// The file as it was before, where `key` is its data key and nothing was changed since.
    pub fn decrypt(self, key: &DataKey, budget: &Budget) -> Result<Decrypted, SopsError> {
        let Self { format, documents, metadata } = self;
        let mut hash = Sha512::new();
        if metadata.mac_only_encrypted {
            hash.update(ONLY_ENCRYPTED);
        }
        let rule = metadata.rule()?;
        let only_encrypted = metadata.mac_only_encrypted;
        let mut walk =
            Walk { key, rule, budget, only_encrypted, hash, path: Vec::new(), values: Vec::new(), bytes: None };
        let mut plain = Vec::new();
        for document in documents {
            plain.push(walk.map(document)?);
        }
        let Walk { hash, values, bytes, .. } = walk;
        let changed = || SopsError::Value("sops.mac".to_owned());
        let mac = key.decrypt(&metadata.mac, &metadata.lastmodified).ok_or_else(changed)?;
        let found = hex::encode_upper(hash.finalize());
        if !matches!(mac, Plain::Value(Value::String(mac)) if mac == found) {
            return Err(SopsError::Changed);
        }
        let content = match format {
            Format::Yaml => {
                let documents: Vec<String> =
                    plain.into_iter().map(|map| yaml::to_string(&Value::Object(map))).collect();
                documents.join("---\n")
            }
            Format::Json => plain.into_iter().map(|map| Value::Object(map).to_string()).collect(),
            Format::Binary => plain.iter().filter_map(|map| map.get("data")?.as_str()).collect(),
            Format::Dotenv | Format::Ini => plain.iter().map(flat::write).collect(),
        };
        Ok(Decrypted { content: bytes.unwrap_or_else(|| content.into_bytes()), values })
    }
}

fn json(text: &str, budget: &Budget) -> Result<Value, SopsError> {
    slipway_manifest::json::pay(text.as_bytes(), budget).map_err(exceeded)?;
    serde_json::from_str(text).map_err(|error| SopsError::Json(error.line()))
}

fn exceeded(bound: slipway_budget::Exceeded) -> SopsError {
    SopsError::Yaml(YamlError { line: 1, kind: YamlErrorKind::Exceeded(bound) })
}

fn extension(path: &str) -> Option<&str> {
    path.rsplit_once('.').map(|(_, extension)| extension)
}

/// Decrypts values in the order in which SOPS did, and computes the MAC on the way.
struct Walk<'a> {
    key: &'a DataKey,
    rule: Rule,
    budget: &'a Budget,
    only_encrypted: bool,
    hash: Sha512,
    path: Vec<String>,
    values: Vec<String>,
    /// The content of a binary file that is no text.
    bytes: Option<Vec<u8>>,
}

impl Walk<'_> {
    fn map(&mut self, map: Map<String, Value>) -> Result<Map<String, Value>, SopsError> {
        let mut plain = Map::new();
        for (name, value) in map {
            self.path.push(name.clone());
            let value = self.value(value)?;
            self.path.pop();
            plain.extend(value.map(|value| (name, value)));
        }
        Ok(plain)
    }

    /// The value; `None` for a comment.
    fn value(&mut self, value: Value) -> Result<Option<Value>, SopsError> {
        match value {
            Value::Object(map) => Ok(Some(Value::Object(self.map(map)?))),
            Value::Array(items) => {
                let mut plain = Vec::new();
                for item in items {
                    plain.extend(self.value(item)?);
                }
                Ok(Some(Value::Array(plain)))
            }
            Value::Null => Ok(Some(Value::Null)),
            leaf => self.leaf(leaf),
        }
    }

    fn leaf(&mut self, leaf: Value) -> Result<Option<Value>, SopsError> {
        let is_encrypted = self.rule.is_encrypted(&self.path, &leaf);
        let plain = if is_encrypted {
            let wrong = || SopsError::Value(self.path.join("."));
            let text = leaf.as_str().ok_or_else(wrong)?;
            self.budget.scan(text.len().saturating_mul(4)).map_err(exceeded)?;
            let context = format!("{}:", self.path.join(":"));
            match self.key.decrypt(text, &context).ok_or_else(wrong)? {
                Plain::Value(value) => value,
                Plain::Comment => return Ok(None),
                Plain::Bytes(bytes) => {
                    self.hash.update(&bytes);
                    self.bytes = Some(bytes);
                    return Ok(Some(Value::Null));
                }
            }
        } else {
            leaf
        };
        let text = match &plain {
            Value::String(text) => text.clone(),
            // As SOPS' first version, in Python, wrote them.
            Value::Bool(true) => "True".to_owned(),
            Value::Bool(false) => "False".to_owned(),
            // Without an exponent.
            Value::Number(number) if number.is_f64() => number.as_f64().unwrap_or_default().to_string(),
            other => other.to_string(),
        };
        if is_encrypted || !self.only_encrypted {
            self.hash.update(&text);
        }
        if is_encrypted {
            self.values.push(text);
        }
        Ok(Some(plain))
    }
}
