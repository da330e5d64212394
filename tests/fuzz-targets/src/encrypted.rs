//! Files that SOPS encrypted, and the data keys that age wrapped.

use slipway_budget::Budget;
use slipway_sops::age::Identities;
use slipway_sops::{DataKey, EncryptedFile, MasterKey, is_encrypted};

/// An identity that opens nothing but what is made up here.
const IDENTITY: &str = "AGE-SECRET-KEY-1MQS4764PH9T92CTLK8U3HTAN8HT5TWNWTGS7TL69C88T9HUJW3GS0T6TAA";

/// A file: what is read looks encrypted, and no key that is made up opens it.
pub fn sops(data: &[u8]) {
    let budget = Budget::default();
    let Ok(Some(file)) = EncryptedFile::parse("file", data, &budget) else { return };
    assert!(is_encrypted(data), "it was read");
    let identities = Identities::parse(&IDENTITY.into()).expect("an identity");
    for key in file.keys().unwrap_or_default() {
        if let MasterKey::Age { wrapped, .. } = key {
            let _ = identities.unwrap(&wrapped);
        }
    }
    let key = DataKey::new(vec![7; 32]).expect("32 bytes");
    assert!(file.decrypt(&key, &budget).is_err(), "the key was made up");
}
