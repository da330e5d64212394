//! Makes private keys from given randomness, and reads and writes them as PEM in the forms of Go's `crypto/x509`.

use ed25519_dalek::Signer as _;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use rand_core::{CryptoRng, RngCore};
use rsa::pkcs1::{DecodeRsaPrivateKey, EncodeRsaPrivateKey, EncodeRsaPublicKey};
use rsa::pkcs8::DecodePrivateKey;
use sha2::{Digest, Sha256};
use slipway_gotmpl::FuncError;

use super::der::{BIT_STRING, OCTET_STRING, OID, bit_string, from_pem, integer, sequence, tlv, to_pem};

const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const SHA256_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const NULL: &[u8] = &[5, 0];
/// What stands before a SHA-256 hash in a PKCS #1 signature.
const SHA256_PREFIX: &[u8] =
    &[0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

pub(super) enum Key {
    Rsa(Box<rsa::RsaPrivateKey>),
    P256(p256::SecretKey),
    Ed25519(ed25519_dalek::SigningKey),
}

fn failed(e: impl std::fmt::Display) -> FuncError {
    format!("failed to generate private key: {e}").into()
}

impl Key {
    /// A key of 4,096 bits, or where `bits` are 2,048 at most, of that many.
    pub(super) fn rsa(random: &mut (impl RngCore + CryptoRng), bits: usize) -> Result<Self, FuncError> {
        const EXPONENT: u64 = 65_537;
        let prime = if bits > 2_048 { slipway_primes::of_2048_bits } else { slipway_primes::of_1024_bits };
        let mut number = || rsa::BigUint::from_bytes_be(&prime(random, EXPONENT));
        let primes = vec![number(), number()];
        let key = rsa::RsaPrivateKey::from_primes(primes, rsa::BigUint::from(EXPONENT)).map_err(failed)?;
        Ok(Self::Rsa(Box::new(key)))
    }

    pub(super) fn p256(random: &mut (impl RngCore + CryptoRng)) -> Self {
        Self::P256(p256::SecretKey::random(random))
    }

    pub(super) fn ed25519(random: &mut impl RngCore) -> Self {
        let mut seed = [0; 32];
        random.fill_bytes(&mut seed);
        Self::Ed25519(ed25519_dalek::SigningKey::from_bytes(&seed))
    }

    /// Reads a key; the error is sprig's text.
    pub(super) fn from_pem(text: &str) -> Result<Self, String> {
        let (label, bytes) = from_pem(text).ok_or("no PEM data in input")?;
        match label {
            "PRIVATE KEY" => {
                Self::from_pkcs8(&bytes).ok_or_else(|| "decoding PEM as PKCS#8: unsupported key".to_owned())
            }
            "RSA PRIVATE KEY" => rsa::RsaPrivateKey::from_pkcs1_der(&bytes)
                .map(|key| Self::Rsa(Box::new(key)))
                .map_err(|e| format!("parsing RSA private key from PEM: {e}")),
            "EC PRIVATE KEY" => p256::SecretKey::from_sec1_der(&bytes)
                .map(Self::P256)
                .map_err(|e| format!("parsing EC private key from PEM: {e} (only the curve P-256 is supported)")),
            label if label.ends_with(" PRIVATE KEY") => {
                Err(format!("invalid private key type {}", label.trim_end_matches(" PRIVATE KEY")))
            }
            label => Err(format!("no private key data in PEM block of type {label}")),
        }
    }

    fn from_pkcs8(bytes: &[u8]) -> Option<Self> {
        if let Ok(key) = rsa::RsaPrivateKey::from_pkcs8_der(bytes) {
            return Some(Self::Rsa(Box::new(key)));
        }
        if let Ok(key) = p256::SecretKey::from_pkcs8_der(bytes) {
            return Some(Self::P256(key));
        }
        ed25519_dalek::SigningKey::from_pkcs8_der(bytes).ok().map(Self::Ed25519)
    }

    pub(super) fn to_pem(&self) -> Result<String, FuncError> {
        Ok(match self {
            Self::Rsa(key) => to_pem("RSA PRIVATE KEY", key.to_pkcs1_der().map_err(failed)?.as_bytes()),
            Self::P256(key) => {
                let curve = tlv(0xa0, &tlv(OID, P256));
                let public = tlv(0xa1, &bit_string(key.public_key().to_encoded_point(false).as_bytes()));
                let secret = tlv(OCTET_STRING, &key.to_bytes());
                to_pem("EC PRIVATE KEY", &sequence(&[&integer(&[1]), &secret, &curve, &public]))
            }
            Self::Ed25519(key) => {
                let secret = tlv(OCTET_STRING, &tlv(OCTET_STRING, key.as_bytes()));
                to_pem("PRIVATE KEY", &sequence(&[&integer(&[0]), &sequence(&[&tlv(OID, ED25519)]), &secret]))
            }
        })
    }

    /// The public key's bits, as they are hashed for its id.
    pub(super) fn public_bits(&self) -> Result<Vec<u8>, FuncError> {
        Ok(match self {
            Self::Rsa(key) => key.to_public_key().to_pkcs1_der().map_err(failed)?.into_vec(),
            Self::P256(key) => key.public_key().to_encoded_point(false).as_bytes().to_vec(),
            Self::Ed25519(key) => key.verifying_key().as_bytes().to_vec(),
        })
    }

    /// `SubjectPublicKeyInfo`
    pub(super) fn public_info(&self) -> Result<Vec<u8>, FuncError> {
        let algorithm = match self {
            Self::Rsa(_) => sequence(&[&tlv(OID, RSA_ENCRYPTION), NULL]),
            Self::P256(_) => sequence(&[&tlv(OID, EC_PUBLIC_KEY), &tlv(OID, P256)]),
            Self::Ed25519(_) => sequence(&[&tlv(OID, ED25519)]),
        };
        Ok(sequence(&[&algorithm, &tlv(BIT_STRING, &[&[0], self.public_bits()?.as_slice()].concat())]))
    }

    /// The algorithm of this key's signatures.
    pub(super) fn signature_algorithm(&self) -> Vec<u8> {
        match self {
            Self::Rsa(_) => sequence(&[&tlv(OID, SHA256_WITH_RSA), NULL]),
            Self::P256(_) => sequence(&[&tlv(OID, ECDSA_WITH_SHA256)]),
            Self::Ed25519(_) => sequence(&[&tlv(OID, ED25519)]),
        }
    }

    /// Signs `message`; the same message gets the same signature (RFC 6979 for ECDSA).
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, FuncError> {
        Ok(match self {
            Self::Rsa(key) => {
                let padding = rsa::Pkcs1v15Sign { hash_len: Some(32), prefix: SHA256_PREFIX.into() };
                key.sign(padding, &Sha256::digest(message)).map_err(failed)?
            }
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = p256::ecdsa::SigningKey::from(key).sign(message);
                signature.to_der().as_bytes().to_vec()
            }
            Self::Ed25519(key) => key.sign(message).to_bytes().to_vec(),
        })
    }
}
