//! Signs the tokens by which a GitHub App logs in (RS256) with ring, whose RSA takes the same time whatever the key.
//!
//! jsonwebtoken, through which octocrab makes them, would sign with the crate `rsa`, which does not
//! (RUSTSEC-2023-0071).

use jsonwebtoken::crypto::{CryptoProvider, JwkUtils, JwtSigner};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use signature::{Error, Signer};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| signer(*algorithm, key),
    // Tokens are GitHub's to verify.
    verifier_factory: |_, _| Err(ErrorKind::InvalidAlgorithm.into()),
    jwk_utils: JwkUtils::new_unimplemented(),
};

/// Has ring sign this process' tokens.
pub(super) fn use_ring() {
    // An error says that it was done before.
    let _ = PROVIDER.install_default();
}

/// Creates the token by which the GitHub App `app` with the private `key` (PEM) asks about itself, valid for nine
/// minutes from `now` on (seconds since 1970); it begins a minute earlier, as GitHub recommends for clocks that differ.
/// Errors: the key is no RSA key.
pub fn app_token(app: u64, key: &SecretString, now: i64) -> Result<SecretString> {
    use_ring();
    let claims = json!({"iss": app.to_string(), "iat": now.saturating_sub(60), "exp": now.saturating_add(540)});
    let key = EncodingKey::from_rsa_pem(key.expose_secret().as_bytes())?;
    jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key).map(SecretString::from)
}

fn signer(algorithm: Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    if algorithm != Algorithm::RS256 {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    let key = RsaKeyPair::from_der(key.inner()).map_err(|refused| ErrorKind::InvalidRsaKey(refused.to_string()))?;
    Ok(Box::new(Rs256(key)))
}

struct Rs256(RsaKeyPair);

impl JwtSigner for Rs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}

impl Signer<Vec<u8>> for Rs256 {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        let mut signature = vec![0; self.0.public().modulus_len()];
        let signed = self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature);
        signed.map_err(|_| Error::new()).map(|()| signature)
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::encode;

    use super::*;

    /// What jsonwebtoken would sign by itself is ours to refuse: no other signer is in its place.
    #[test]
    fn ring_alone_signs() {
        use_ring();
        let refused =
            |algorithm, key: EncodingKey| encode(&Header::new(algorithm), &[0], &key).unwrap_err().into_kind();
        assert_eq!(refused(Algorithm::HS256, EncodingKey::from_secret(b"secret")), ErrorKind::InvalidAlgorithm);
        let kind = refused(Algorithm::RS256, EncodingKey::from_rsa_der(b"no key"));
        assert!(matches!(kind, ErrorKind::InvalidRsaKey(_)), "{kind:?}");
    }
}
