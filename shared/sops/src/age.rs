//! Unwraps data keys that are encrypted for age's X25519 recipients (C2SP/C2SP `age.md`).
//!
//! Only that one kind of recipient, and files of one chunk, which a data key is: the `age` crate brings fifty others
//! (translations, passphrases, post-quantum keys) into functions whose start counts in milliseconds.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bech32::Hrp;
use bech32::primitives::decode::CheckedHrpstring;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use x25519_dalek::{PublicKey, StaticSecret};

use crate::{DataKey, SopsError};

/// The label of a wrapped file key, and the kind of its stanza.
const WRAP_LABEL: &[u8] = b"age-encryption.org/v1/X25519";
const STANZA: &str = "X25519";
const VERSION: &str = "age-encryption.org/v1";
const ARMOR: [&str; 2] = ["-----BEGIN AGE ENCRYPTED FILE-----", "-----END AGE ENCRYPTED FILE-----"];
/// Bytes of the nonce before the payload.
const PAYLOAD_NONCE: usize = 16;
/// The nonce of the first chunk where it is the last one: its number, and a flag.
const ONLY_CHUNK: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// The identities of a file of `age-keygen`.
#[derive(Clone, Default)]
pub struct Identities(Vec<Identity>);

#[derive(Clone)]
struct Identity {
    secret: StaticSecret,
    recipient: String,
}

impl std::fmt::Debug for Identities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.recipients()).finish()
    }
}

impl Identities {
    /// Reads identities, one a line, as `age-keygen` writes them; what is no identity is the number of its line as
    /// error.
    pub fn parse(text: &SecretString) -> Result<Self, usize> {
        let lines = text.expose_secret().lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        lines.map(|(number, line)| Identity::parse(line).ok_or(number)).collect::<Result<_, _>>().map(Self)
    }

    /// Whom files can be encrypted for.
    pub fn recipients(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|identity| identity.recipient.as_str())
    }

    /// The data key in `wrapped`, an armored age file; `None` where it is encrypted for none of these identities.
    pub fn unwrap(&self, wrapped: &str) -> Result<Option<DataKey>, SopsError> {
        let wrong = || SopsError::Metadata("a data key for age is no age file of X25519".to_owned());
        let file = AgeFile::read(wrapped).ok_or_else(wrong)?;
        match self.0.iter().find_map(|identity| file.open(identity)) {
            Some(key) => DataKey::new(key).map(Some),
            None => Ok(None),
        }
    }
}

impl Identity {
    fn parse(text: &str) -> Option<Self> {
        let decoded = CheckedHrpstring::new::<bech32::Bech32>(text).ok()?;
        if !decoded.hrp().as_str().eq_ignore_ascii_case("age-secret-key-") {
            return None;
        }
        let bytes: Vec<u8> = decoded.byte_iter().collect();
        let secret = StaticSecret::from(<[u8; 32]>::try_from(bytes).ok()?);
        let public = PublicKey::from(&secret);
        let recipient = bech32::encode::<bech32::Bech32>(Hrp::parse("age").ok()?, public.as_bytes()).ok()?;
        Some(Self { secret, recipient })
    }
}

/// The header of an age file, and its payload.
struct AgeFile {
    /// Up to the MAC.
    header: Vec<u8>,
    /// Of each X25519 stanza the ephemeral share and the wrapped file key.
    stanzas: Vec<([u8; 32], Vec<u8>)>,
    mac: Vec<u8>,
    payload: Vec<u8>,
}

impl AgeFile {
    fn read(armored: &str) -> Option<Self> {
        let lines: Vec<&str> = armored.trim().lines().map(str::trim_end).collect();
        let [begin, body @ .., end] = lines.as_slice() else { return None };
        if [*begin, *end] != ARMOR {
            return None;
        }
        let bytes = STANDARD.decode(body.concat()).ok()?;
        let mut rest = bytes.as_slice();
        let mut line = || {
            let end = memchr::memchr(b'\n', rest)?;
            let (line, after) = rest.split_at_checked(end)?;
            rest = after.get(1..)?;
            std::str::from_utf8(line).ok()
        };
        if line()? != VERSION {
            return None;
        }
        let mut stanzas = Vec::new();
        let mac = loop {
            let text = line()?;
            if let Some(mac) = text.strip_prefix("--- ") {
                break mac;
            }
            let mut arguments = text.strip_prefix("-> ")?.split(' ');
            let (kind, share) = (arguments.next()?, arguments.next());
            let mut body = String::new();
            loop {
                let part = line()?;
                body.push_str(part);
                // A full line is followed by another one.
                if part.len() < 64 {
                    break;
                }
            }
            if kind == STANZA {
                let share = STANDARD_NO_PAD.decode(share?).ok()?;
                stanzas.push((share.try_into().ok()?, STANDARD_NO_PAD.decode(body).ok()?));
            }
        };
        let payload = rest.to_vec();
        let mac_line = mac.len() + 2;
        let header = bytes.get(..bytes.len().checked_sub(payload.len() + mac_line)?)?.to_vec();
        Some(Self { header, stanzas, mac: STANDARD_NO_PAD.decode(mac).ok()?, payload })
    }

    /// The content, where it is encrypted for `identity`.
    fn open(&self, identity: &Identity) -> Option<Vec<u8>> {
        let file_key = self.stanzas.iter().find_map(|(share, wrapped)| {
            let secret = identity.secret.diffie_hellman(&PublicKey::from(*share));
            let salt = [share.as_slice(), PublicKey::from(&identity.secret).as_bytes()].concat();
            secret.was_contributory().then_some(())?;
            open(&derive(secret.as_bytes(), &salt, WRAP_LABEL)?, [0; 12], wrapped)
        })?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&derive(&file_key, &[], b"header")?).ok()?;
        mac.update(&self.header);
        mac.verify_slice(&self.mac).ok()?;
        let (nonce, chunk) = self.payload.split_at_checked(PAYLOAD_NONCE)?;
        open(&derive(&file_key, nonce, b"payload")?, ONLY_CHUNK, chunk)
    }
}

/// What HKDF-SHA-256 makes of `secret`: 32 bytes.
fn derive(secret: &[u8], salt: &[u8], label: &[u8]) -> Option<[u8; 32]> {
    struct Length;
    impl KeyType for Length {
        fn len(&self) -> usize {
            32
        }
    }
    let mut key = [0; 32];
    Salt::new(HKDF_SHA256, salt).extract(secret).expand(&[label], Length).ok()?.fill(&mut key).ok()?;
    Some(key)
}

fn open(key: &[u8; 32], nonce: [u8; 12], sealed: &[u8]) -> Option<Vec<u8>> {
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).ok()?);
    let mut sealed = sealed.to_vec();
    let plain = key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed).ok()?;
    Some(plain.to_vec())
}
