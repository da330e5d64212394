//! Seals the manifest of an Application as its ApplicationSet made it first, where `applicationsSync` forbids the set to
//! change it: a state may be read by many, and a manifest may hold values.

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use slipway_cluster::state::AppKey;
use slipway_manifest::Object;

use super::ResolvedApplication;
use crate::secret::StateKeys;

/// Bytes of a manifest that are kept.
const MAX_MANIFEST: usize = 64 << 10;
/// Bytes of the nonce before what is sealed.
const NONCE: usize = 12;

/// Seals by `key` the manifest of `member`, which is the application `app`, where its set may not change it. Where it is
/// too large, what people are told of that.
pub(crate) fn of(
    member: &ResolvedApplication,
    app: &AppKey,
    key: Option<&SecretString>,
) -> Result<Option<String>, String> {
    let Some(key) = key.filter(|_| member.keeps_first_manifest()) else { return Ok(None) };
    let too_large = || {
        format!(
            "`applicationsSync` of its ApplicationSet forbids to change the Application, but its manifest has more than \
             {MAX_MANIFEST} bytes, which are not kept: it changes with the set"
        )
    };
    seal(key, app, &member.app.object).map(Some).ok_or_else(too_large)
}

/// Seals the manifest `object` of the application `app` by `key`; `None` where it is larger than what is kept.
///
/// The nonce is made of the manifest and the key, so that it differs where the manifest does.
pub fn seal(key: &SecretString, app: &AppKey, object: &Object) -> Option<String> {
    let plain = serde_json::to_vec(object.as_map()).ok().filter(|plain| plain.len() <= MAX_MANIFEST)?;
    let context = context(app);
    let mut nonce = derive(key, "nonce", &[context.as_bytes(), &plain])?.to_vec();
    nonce.truncate(NONCE);
    let payload = Payload { msg: &plain, aad: context.as_bytes() };
    let sealed = cipher(key)?.encrypt(nonce.as_slice().try_into().ok()?, payload).ok()?;
    Some(STANDARD.encode([nonce, sealed].concat()))
}

/// Opens what [`seal`] made for `app`; `None` where none of `keys` opens it, or it is of another application.
pub fn open(keys: &StateKeys, app: &AppKey, sealed: &str) -> Option<Object> {
    let sealed = STANDARD.decode(sealed).ok()?;
    let (nonce, sealed) = sealed.split_at_checked(NONCE)?;
    let context = context(app);
    let open = |key: &SecretString| {
        let payload = Payload { msg: sealed, aad: context.as_bytes() };
        cipher(key)?.decrypt(nonce.try_into().ok()?, payload).ok()
    };
    let plain = [Some(&keys.current), keys.previous.as_ref()].into_iter().flatten().find_map(open)?;
    serde_json::from_slice(&plain).ok().map(Object::from_map)
}

fn context(AppKey { root, namespace, name }: &AppKey) -> String {
    format!("slipway first manifest 1\0{root}\0{namespace}\0{name}\0")
}

fn cipher(key: &SecretString) -> Option<Aes256Gcm> {
    Aes256Gcm::new_from_slice(&derive(key, "key", &[])?).ok()
}

/// A key for one purpose.
fn derive(key: &SecretString, purpose: &str, parts: &[&[u8]]) -> Option<[u8; 32]> {
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key.expose_secret().as_bytes()).ok()?;
    mac.update(format!("slipway first manifest {purpose}\0").as_bytes());
    for part in parts {
        mac.update(part);
    }
    Some(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_its_own_application_and_keys_open_a_manifest() {
        let app = |name: &str| AppKey { root: "r".into(), namespace: "argocd".into(), name: name.into() };
        let keys = |current: &str, previous: Option<&str>| StateKeys {
            current: current.into(),
            previous: previous.map(SecretString::from),
        };
        let object = Object::from_value(json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": "web"}, "spec": {"x": "secret"}}))
        .unwrap();
        let sealed = seal(&"a".into(), &app("web"), &object).unwrap();
        assert!(!sealed.contains("secret"));
        assert_eq!(open(&keys("a", None), &app("web"), &sealed), Some(object.clone()));
        assert_eq!(open(&keys("b", Some("a")), &app("web"), &sealed), Some(object.clone()));
        assert_eq!(open(&keys("b", None), &app("web"), &sealed), None);
        assert_eq!(open(&keys("a", None), &app("other"), &sealed), None);
        let mut bytes = STANDARD.decode(&sealed).unwrap();
        bytes[20] ^= 1;
        for bad in [STANDARD.encode(bytes), "AAAA".to_owned(), "?".to_owned(), String::new()] {
            assert_eq!(open(&keys("a", None), &app("web"), &bad), None, "{bad}");
        }
        let mut large = object.clone();
        large.as_map_mut().insert("spec".to_owned(), json!("x".repeat(MAX_MANIFEST)));
        assert_eq!(seal(&"a".into(), &app("web"), &large), None);
    }
}
