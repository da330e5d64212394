//! Reads what SOPS notes of the encryption (getsops/sops `stores/stores.go`).

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use slipway_gocompat::regexp;

use crate::SopsError;

/// Who can unwrap the data key of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MasterKey {
    /// The holder of an age identity.
    Age {
        /// Whose.
        recipient: String,
        /// The data key as an armored age file.
        wrapped: String,
    },
    /// AWS KMS.
    Kms {
        /// The key.
        arn: String,
        /// The role to ask by; empty for one's own.
        role: String,
        /// The encryption context.
        context: BTreeMap<String, String>,
        /// The data key as KMS encrypted it.
        wrapped: Vec<u8>,
    },
    /// Something else, by SOPS' name for it.
    Other(&'static str),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Metadata {
    key_groups: Vec<Group>,
    #[serde(flatten)]
    group: Group,
    pub(crate) lastmodified: String,
    pub(crate) mac: String,
    unencrypted_suffix: Option<String>,
    encrypted_suffix: Option<String>,
    unencrypted_regex: Option<String>,
    encrypted_regex: Option<String>,
    unencrypted_comment_regex: Option<String>,
    encrypted_comment_regex: Option<String>,
    #[serde(deserialize_with = "flag")]
    pub(crate) mac_only_encrypted: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Group {
    kms: Option<Vec<Kms>>,
    age: Option<Vec<Age>>,
    pgp: Option<Vec<Value>>,
    gcp_kms: Option<Vec<Value>>,
    azure_kv: Option<Vec<Value>>,
    hc_vault: Option<Vec<Value>>,
    hckms: Option<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
struct Kms {
    arn: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    context: Option<BTreeMap<String, String>>,
    enc: String,
}

#[derive(Debug, Deserialize)]
struct Age {
    recipient: String,
    enc: String,
}

/// In files of `KEY=VALUE` everything is a text.
fn flag<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Bool(flag) => flag,
        Value::String(text) => text == "true",
        _ => false,
    })
}

impl Metadata {
    pub(crate) fn read(value: Value) -> Result<Self, SopsError> {
        // The text of serde's error may quote a value.
        let read: Self = serde_json::from_value(value)
            .map_err(|_| SopsError::Metadata("a field has another type than SOPS writes".to_owned()))?;
        if read.mac.is_empty() {
            return Err(SopsError::Metadata("`mac` is missing".to_owned()));
        }
        Ok(read)
    }

    pub(crate) fn keys(&self) -> Result<Vec<MasterKey>, SopsError> {
        let group = match self.key_groups.as_slice() {
            [] => &self.group,
            [group] => group,
            _ => {
                let remedy = "encrypt the file for one group of keys";
                return Err(SopsError::NotSupported("a data key in parts for several key groups", remedy));
            }
        };
        let Group { kms, age, pgp, gcp_kms, azure_kv, hc_vault, hckms } = group;
        let mut keys: Vec<MasterKey> = age.iter().flatten().map(MasterKey::of_age).collect();
        for key in kms.iter().flatten() {
            keys.push(MasterKey::of_kms(key)?);
        }
        let others = [
            (pgp, "PGP"),
            (gcp_kms, "GCP KMS"),
            (azure_kv, "Azure Key Vault"),
            (hc_vault, "HashiCorp Vault"),
            (hckms, "Huawei Cloud KMS"),
        ];
        let has = |keys: &Option<Vec<Value>>| keys.as_ref().is_some_and(|keys| !keys.is_empty());
        keys.extend(others.into_iter().filter(|(keys, _)| has(keys)).map(|(_, name)| MasterKey::Other(name)));
        Ok(keys)
    }

    /// Decides which values are encrypted.
    pub(crate) fn rule(&self) -> Result<Rule, SopsError> {
        let compile = |pattern: &Option<String>| {
            let pattern = pattern.as_deref().filter(|pattern| !pattern.is_empty());
            let compiled = pattern.map(regexp::compile).transpose();
            compiled.map_err(|_| SopsError::Metadata("a regular expression can't be read".to_owned()))
        };
        let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Ok(Rule {
            unencrypted_suffix: text(&self.unencrypted_suffix),
            encrypted_suffix: text(&self.encrypted_suffix),
            unencrypted_regex: compile(&self.unencrypted_regex)?,
            encrypted_regex: compile(&self.encrypted_regex)?,
            by_comments: [&self.unencrypted_comment_regex, &self.encrypted_comment_regex]
                .into_iter()
                .any(|pattern| text(pattern).is_some()),
        })
    }
}

impl fmt::Display for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Age { recipient, .. } => f.write_str(recipient),
            Self::Kms { arn, .. } => f.write_str(arn),
            Self::Other(name) => write!(f, "a key of {name}"),
        }
    }
}

impl MasterKey {
    fn of_age(Age { recipient, enc }: &Age) -> Self {
        Self::Age { recipient: recipient.clone(), wrapped: enc.clone() }
    }

    fn of_kms(Kms { arn, role, context, enc }: &Kms) -> Result<Self, SopsError> {
        let wrapped = STANDARD.decode(enc.as_bytes());
        let wrapped = wrapped.map_err(|_| SopsError::Metadata(format!("the data key for {arn} is no base64")))?;
        let context = context.clone().unwrap_or_default();
        Ok(Self::Kms { arn: arn.clone(), role: role.clone(), context, wrapped })
    }
}

/// Which values are encrypted, by the names on the way to them (getsops/sops `sops.go`, `shouldBeEncrypted`).
pub(crate) struct Rule {
    unencrypted_suffix: Option<String>,
    encrypted_suffix: Option<String>,
    unencrypted_regex: Option<regexp::Regex>,
    encrypted_regex: Option<regexp::Regex>,
    /// Comments decide, which a reader of values does not see: what looks encrypted is. The MAC tells a wrong guess.
    by_comments: bool,
}

impl Rule {
    pub(crate) fn is_encrypted(&self, path: &[String], value: &Value) -> bool {
        if self.by_comments {
            return value.as_str().is_some_and(|text| text.starts_with(crate::cipher::PREFIX));
        }
        let mut encrypted = true;
        if let Some(suffix) = &self.unencrypted_suffix {
            encrypted &= !path.iter().any(|name| name.ends_with(suffix));
        }
        if let Some(suffix) = &self.encrypted_suffix {
            encrypted = path.iter().any(|name| name.ends_with(suffix));
        }
        if let Some(pattern) = &self.unencrypted_regex {
            encrypted &= !path.iter().any(|name| pattern.is_match(name));
        }
        if let Some(pattern) = &self.encrypted_regex {
            encrypted = path.iter().any(|name| pattern.is_match(name));
        }
        encrypted
    }
}
