//! Signs states with the functions' key: who may write a ConfigMap must not thereby say which commit is rendered, or
//! which application is to be deleted.
//!
//! A signature covers the data and the application that they are of. An older state of the same application has a valid
//! signature, too: the number of the write recognises it ([`super::newest`]).

use std::sync::Arc;

use futures::future::BoxFuture;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::Sha256;

use super::AppKey;

/// The annotation with the signature.
pub(super) const ANNOTATION: &str = "slipway.dev/state-mac";

type Keys = BoxFuture<'static, Result<Vec<SecretString>, String>>;

/// Signs states, and verifies them; cheap to clone.
#[derive(Clone)]
pub struct Signer(Arc<dyn Fn(bool) -> Keys + Send + Sync>);

impl Signer {
    /// `keys` returns the keys that a signature may be of, that in use first, or why there are none. Called with
    /// `true`, it reads them again: a signature did not fit.
    pub fn new(keys: impl Fn(bool) -> Keys + Send + Sync + 'static) -> Self {
        Self(Arc::new(keys))
    }

    /// The signature of the state of `app` with this `binaryData`.
    pub(super) async fn sign(&self, app: &AppKey, data: &Value) -> Result<String, String> {
        let keys = (self.0)(false).await?;
        let mac = keys.first().and_then(|key| mac(key, app, data)).ok_or("there is no key")?;
        Ok(hex::encode(mac.finalize().into_bytes()))
    }

    /// Whether `signature` is one of ours for the state of `app` with this `binaryData`.
    pub(super) async fn is_signed(&self, app: &AppKey, data: &Value, signature: &str) -> Result<bool, String> {
        for reload in [false, true] {
            if is_of_any(&(self.0)(reload).await?, app, data, signature) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// All keys that a signature may be of, for who verifies where nothing can be waited for.
    pub(super) async fn all_keys(&self) -> Result<Vec<SecretString>, String> {
        (self.0)(true).await
    }
}

/// Whether `signature` is of one of the `keys`, for the state of `app` with this `binaryData`.
pub(super) fn is_of_any(keys: &[SecretString], app: &AppKey, data: &Value, signature: &str) -> bool {
    let Ok(signature) = hex::decode(signature) else { return false };
    let is_of = |key: &SecretString| mac(key, app, data).is_some_and(|mac| mac.verify_slice(&signature).is_ok());
    keys.iter().any(is_of)
}

/// `None` for an empty key, under which everybody can sign.
fn mac(key: &SecretString, app: &AppKey, data: &Value) -> Option<Hmac<Sha256>> {
    let key = Some(key.expose_secret().as_bytes()).filter(|key| !key.is_empty())?;
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    let AppKey { root, namespace, name } = app;
    mac.update(
        json!(["slipway state 1", root, namespace, name, data["state"], data["inventory"]]).to_string().as_bytes(),
    );
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(keys: &'static [&'static str]) -> Signer {
        Signer::new(move |reload| {
            // Only what is read again knows the key before.
            let known = if reload { keys } else { keys.get(..1).unwrap_or_default() };
            Box::pin(async move { Ok(known.iter().copied().map(SecretString::from).collect()) })
        })
    }

    #[tokio::test]
    async fn a_signature_is_of_one_key_one_application_and_these_data() {
        let app = |name: &str| AppKey { root: "r".into(), namespace: "argocd".into(), name: name.into() };
        let data = json!({"state": "a", "inventory": "b"});
        let signature = signer(&["key"]).sign(&app("shop"), &data).await.unwrap();
        let fits = async |keys, name: &str, data: &Value, signature: &str| {
            signer(keys).is_signed(&app(name), data, signature).await.unwrap()
        };
        assert!(fits(&["key"], "shop", &data, &signature).await);
        assert!(fits(&["new", "key"], "shop", &data, &signature).await, "the key was rotated");
        for (what, keys, name, data, signature) in [
            ("another key", &["other"][..], "shop", data.clone(), signature.as_str()),
            ("another application", &["key"], "web", data.clone(), &signature),
            ("another state", &["key"], "shop", json!({"state": "x", "inventory": "b"}), &signature),
            ("another inventory", &["key"], "shop", json!({"state": "a", "inventory": "x"}), &signature),
            ("no inventory", &["key"], "shop", json!({"state": "a"}), &signature),
            ("the parts moved", &["key"], "shop", json!({"state": "ab", "inventory": ""}), &signature),
            ("cut", &["key"], "shop", data.clone(), signature.get(..62).unwrap()),
            ("empty", &["key"], "shop", data.clone(), ""),
            ("no hex", &["key"], "shop", data.clone(), "xx"),
        ] {
            assert!(!fits(keys, name, &data, signature).await, "{what}");
        }
        assert!(signer(&[""]).sign(&app("shop"), &data).await.is_err());
        assert!(signer(&[]).sign(&app("shop"), &data).await.is_err());
    }
}
