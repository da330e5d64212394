//! Makes passwords, keys and certificates (Masterminds/sprig `crypto.go`), all from the caller's seed: two renders are
//! equal.
//!
//! Primes (`slipway-primes`), DER and certificates are written out because the crates that have them (`crypto-primes`
//! 0.7, `x509-cert` 0.3) are of the generation of `rsa` 0.10, and octocrab 0.54 holds `rsa` 0.9 through jsonwebtoken
//! 10: both would be linked. Once `cargo tree -i rsa` shows no jsonwebtoken, `slipway-primes`, [`der`] and
//! [`certificate`] go.

mod certificate;
mod der;
mod keys;

use std::cell::OnceCell;

use aes::Aes256;
use aes::cipher::{BlockCipherDecrypt as _, BlockCipherEncrypt as _, KeyInit as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;
use sha2::Sha256;
use slipway_gotmpl::{Context, FuncError, Function, INT, LIST, Native, Str, Type, UintKind, Value};

use super::encoding::decode64;
use super::{Outcome, misused, state};
use certificate::{Request, Signer};
use keys::Key;

const TEXT: Type = Type::String;
const CERTIFICATE: Type = Type::Named("sprig.certificate");

/// What a call costs in steps, by the time that it takes: some of these take as long as a large chart.
mod cost {
    /// 70 ms
    pub(super) const BCRYPT: u64 = 3_000_000;
    /// 220 ms and 32 MiB
    pub(super) const SCRYPT: u64 = 12_000_000;
    /// 50 ms on average
    pub(super) const RSA_2048: u64 = 4_000_000;
    /// 350 ms on average: what alone costs less than it takes, as there are charts that want three.
    pub(super) const RSA_4096: u64 = 12_000_000;
    pub(super) const OTHER_KEY: u64 = 20_000;

    /// To read a key of so many bytes of PEM, and to sign with it: by the cube of its length, as RSA does.
    pub(super) fn of_use(pem: usize) -> u64 {
        let kilobytes = (pem / 1_024) as u64 + 1;
        kilobytes.saturating_pow(3).saturating_mul(20_000)
    }
}

pub(super) const TABLE: &[Function] = &[
    Function::new("bcrypt", &[TEXT], |cx, args| match args {
        [Value::Str(password)] => Ok(bcrypt_text(cx, "bcrypt", args, password)?.into()),
        _ => misused(),
    }),
    Function::new("htpasswd", &[TEXT, TEXT], |cx, args| match args {
        [Value::Str(user), _] if user.as_bytes().contains(&b':') => Ok(format!("invalid username: {user}").into()),
        [Value::Str(user), Value::Str(password)] => {
            Ok(format!("{user}:{}", bcrypt_text(cx, "htpasswd", args, password)?).into())
        }
        _ => misused(),
    }),
    Function::new("derivePassword", &[Type::Uint(UintKind::Uint32), TEXT, TEXT, TEXT, TEXT], derive_password),
    Function::new("encryptAES", &[TEXT, TEXT], encrypt).costing(64),
    Function::new("decryptAES", &[TEXT, TEXT], decrypt).costing(64),
    Function::new("genPrivateKey", &[TEXT], private_key),
    Function::new("buildCustomCert", &[TEXT, TEXT], custom_certificate),
    Function::new("genCA", &[TEXT, INT], |cx, args| authority(cx, "genCA", args)),
    Function::new("genCAWithKey", &[TEXT, INT, TEXT], |cx, args| authority(cx, "genCAWithKey", args)),
    Function::new("genSelfSignedCert", &[TEXT, LIST, LIST, INT], |cx, args| self_signed(cx, "genSelfSignedCert", args)),
    Function::new("genSelfSignedCertWithKey", &[TEXT, LIST, LIST, INT, TEXT], |cx, args| {
        self_signed(cx, "genSelfSignedCertWithKey", args)
    }),
    Function::new("genSignedCert", &[TEXT, LIST, LIST, INT, CERTIFICATE], |cx, args| signed(cx, "genSignedCert", args)),
    Function::new("genSignedCertWithKey", &[TEXT, LIST, LIST, INT, CERTIFICATE, TEXT], |cx, args| {
        signed(cx, "genSignedCertWithKey", args)
    }),
];

/// `sprig.certificate`: both in PEM. One that signs itself with a new key is made when a template first looks at it:
/// charts ask for authorities that nothing uses, and a key takes longer than all the rest of such a chart.
struct Certificate {
    made: OnceCell<Option<Pair>>,
    plan: Option<Plan>,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
struct Pair {
    cert: Str,
    key: Str,
}

/// What a certificate that signs itself is made of.
struct Plan {
    request: Request,
    random: ChaCha20Rng,
}

impl Plan {
    fn make(&self) -> Result<Pair, FuncError> {
        let key = Key::rsa(&mut self.random.clone(), 2048)?;
        Ok(Pair { cert: self.request.issue(&key, None)?.into(), key: key.to_pem()?.into() })
    }
}

impl Certificate {
    fn made(cert: Str, key: Str) -> Value {
        Value::native(Self { made: OnceCell::from(Some(Pair { cert, key })), plan: None })
    }

    /// What could fail has been tried before: the times in the request.
    fn pair(&self) -> Option<&Pair> {
        self.made.get_or_init(|| self.plan.as_ref()?.make().ok()).as_ref()
    }
}

impl Native for Certificate {
    fn type_name(&self) -> &'static str {
        "sprig.certificate"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        let Some(pair) = self.pair() else { return Vec::new() };
        vec![("Cert", pair.cert.clone().into()), ("Key", pair.key.clone().into())]
    }
}

fn bcrypt_text(cx: &Context<'_>, function: &str, args: &[Value], password: &Str) -> Result<String, FuncError> {
    const COST: u32 = 10;
    if password.len() > 72 {
        return Ok("failed to encrypt string with bcrypt: bcrypt: password length exceeds 72 bytes".to_owned());
    }
    cx.budget().step(cost::BCRYPT)?;
    let mut salt = [0; 16];
    state(cx)?.random(cx, function, args)?.fill_bytes(&mut salt);
    let hash = bcrypt::hash_with_salt(password.as_bytes(), COST, salt).map_err(|e| e.to_string())?;
    Ok(hash.format_for_version(bcrypt::Version::TwoA))
}

/// The Master Password algorithm, version 0 with sprig's own templates.
fn derive_password(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    const SEED: &[u8] = b"com.lyndir.masterpassword";
    let [Value::Uint(_, counter), Value::Str(kind), Value::Str(password), Value::Str(user), Value::Str(site)] = args
    else {
        return misused();
    };
    let templates: &[&str] = match kind.to_text().as_ref() {
        "maximum" => &["anoxxxxxxxxxxxxxxxxx", "axxxxxxxxxxxxxxxxxno"],
        "long" => &[
            "CvcvnoCvcvCvcv",
            "CvcvCvcvnoCvcv",
            "CvcvCvcvCvcvno",
            "CvccnoCvcvCvcv",
            "CvccCvcvnoCvcv",
            "CvccCvcvCvcvno",
            "CvcvnoCvccCvcv",
            "CvcvCvccnoCvcv",
            "CvcvCvccCvcvno",
            "CvcvnoCvcvCvcc",
            "CvcvCvcvnoCvcc",
            "CvcvCvcvCvccno",
            "CvccnoCvccCvcv",
            "CvccCvccnoCvcv",
            "CvccCvccCvcvno",
            "CvcvnoCvccCvcc",
            "CvcvCvccnoCvcc",
            "CvcvCvccCvccno",
            "CvccnoCvcvCvcc",
            "CvccCvcvnoCvcc",
            "CvccCvcvCvccno",
        ],
        "medium" => &["CvcnoCvc", "CvcCvcno"],
        "short" => &["Cvcn"],
        "basic" => &["aaanaaan", "aannaaan", "aaannaaa"],
        "pin" => &["nnnn"],
        other => return Ok(format!("cannot find password template {other}").into()),
    };
    cx.budget().step(cost::SCRYPT)?;
    let sized = |text: &Str| {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes();
        [SEED, length.as_slice(), text.as_bytes()].concat()
    };
    let mut key = [0; 64];
    let parameters = scrypt::Params::new(15, 8, 2, key.len()).map_err(|e| e.to_string())?;
    scrypt::scrypt(password.as_bytes(), &sized(user), &parameters, &mut key).map_err(|e| e.to_string())?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|e| e.to_string())?;
    mac.update(&sized(site));
    mac.update(&u32::try_from(*counter).unwrap_or(u32::MAX).to_be_bytes());
    let seed = mac.finalize().into_bytes();
    let pick = |index: usize, from: usize| seed.get(index).map_or(0, |byte| usize::from(*byte) % from.max(1));
    let template = templates.get(pick(0, templates.len())).copied().unwrap_or_default();
    let password = template.bytes().enumerate().filter_map(|(index, class)| {
        let characters: &[u8] = match class {
            b'V' => b"AEIOU",
            b'C' => b"BCDFGHJKLMNPQRSTVWXYZ",
            b'v' => b"aeiou",
            b'c' => b"bcdfghjklmnpqrstvwxyz",
            b'A' => b"AEIOUBCDFGHJKLMNPQRSTVWXYZ",
            b'a' => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz",
            b'n' => b"0123456789",
            b'o' => b"@&%?,=[]_:-+*$#!'^~;()/.",
            _ => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz0123456789!@#$%^&*()",
        };
        characters.get(pick(index + 1, characters.len())).map(|byte| char::from(*byte))
    });
    Ok(password.collect::<String>().into())
}

/// AES-256 with the password as the key, cut or filled with zeros.
fn cipher(password: &Str) -> Aes256 {
    let mut key = [0; 32];
    for (slot, byte) in key.iter_mut().zip(password.as_bytes()) {
        *slot = *byte;
    }
    Aes256::new(&key.into())
}

fn encrypt(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [Value::Str(password), Value::Str(text)] = args else { return misused() };
    if text.is_empty() {
        return Ok(Value::literal(""));
    }
    cx.budget().bytes(text.len().saturating_mul(2).saturating_add(64))?;
    let cipher = cipher(password);
    let mut previous = [0u8; 16];
    state(cx)?.random(cx, "encryptAES", args)?.fill_bytes(&mut previous);
    let padding = 16 - text.len() % 16;
    let mut plain = text.as_bytes().to_vec();
    plain.extend(std::iter::repeat_n(u8::try_from(padding).unwrap_or_default(), padding));
    let mut out = previous.to_vec();
    for chunk in plain.chunks_exact(16) {
        for (slot, byte) in previous.iter_mut().zip(chunk) {
            *slot ^= byte;
        }
        let mut block = aes::Block::from(previous);
        cipher.encrypt_block(&mut block);
        previous = block.into();
        out.extend_from_slice(&previous);
    }
    Ok(STANDARD.encode(out).into())
}

fn decrypt(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [Value::Str(password), Value::Str(text)] = args else { return misused() };
    if text.is_empty() {
        return Ok(Value::literal(""));
    }
    let bytes = decode64(text.as_bytes())?;
    let (blocks, rest) = bytes.as_chunks::<16>();
    if blocks.is_empty() {
        return Err("runtime error: slice bounds out of range".into());
    }
    if !rest.is_empty() {
        return Err("crypto/cipher: input not full blocks".into());
    }
    let cipher = cipher(password);
    let mut out = Vec::new();
    for pair in blocks.windows(2) {
        let [previous, block] = pair else { continue };
        let mut plain = aes::Block::from(*block);
        cipher.decrypt_block(&mut plain);
        out.extend(plain.iter().zip(previous).map(|(a, b)| a ^ b));
    }
    let padding = out.last().copied().map(usize::from);
    match padding.and_then(|padding| out.len().checked_sub(padding)) {
        Some(length) => {
            out.truncate(length);
            Ok(Str::from(out).into())
        }
        None => Err("runtime error: slice bounds out of range".into()),
    }
}

fn private_key(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [Value::Str(kind)] = args else { return misused() };
    let kind = kind.to_text();
    cx.budget().step(match kind.as_ref() {
        "" | "rsa" => cost::RSA_4096,
        _ => cost::OTHER_KEY,
    })?;
    let mut random = state(cx)?.random(cx, "genPrivateKey", args)?;
    let key = match kind.as_ref() {
        "" | "rsa" => Key::rsa(&mut random, 4096)?,
        "ecdsa" => Key::p256(&mut random),
        "ed25519" => Key::ed25519(&mut random),
        "dsa" => return Err("DSA keys are not supported: no Kubernetes component takes them".into()),
        other => return Ok(format!("Unknown type {other}").into()),
    };
    Ok(key.to_pem()?.into())
}

/// The key of a `…WithKey` function.
fn key_from(cx: &Context<'_>, pem: &Value) -> Result<Key, FuncError> {
    let Value::Str(pem) = pem else { return misused() };
    cx.budget().step(cost::of_use(pem.len()))?;
    Key::from_pem(&pem.to_text()).map_err(|e| format!("parsing private key: {e}").into())
}

/// What a new key of 2,048 bits, as sprig makes it, is made from.
fn key_seed(cx: &Context<'_>, function: &str, args: &[Value]) -> Result<ChaCha20Rng, FuncError> {
    cx.budget().step(cost::RSA_2048)?;
    state(cx)?.random(cx, function, args)
}

/// A request for the arguments common name, IP addresses, other names and days.
fn request(
    cx: &Context<'_>,
    function: &str,
    args: &[Value],
    [name, ips, names, days]: [&Value; 4],
) -> Result<Request, FuncError> {
    let list = |value: &Value| value.as_list().map(slipway_gotmpl::List::to_vec).unwrap_or_default();
    let mut request = Request::new(name.as_str().map(Str::to_text).unwrap_or_default().into_owned());
    let names = list(names);
    let listed = names.iter().filter_map(Value::as_str).map(Str::len).sum::<usize>() + 64 * names.len();
    // Its text, DER and PEM.
    cx.budget().bytes(listed.saturating_mul(4))?;
    for ip in list(ips) {
        let Value::Str(text) = &ip else {
            return Err(format!("error parsing ip: {} is not a string", super::cast::text(cx, &ip)?).into());
        };
        request.ips.push(text.to_text().parse().map_err(|_| format!("error parsing ip: {text}"))?);
    }
    for name in names {
        let Value::Str(text) = &name else {
            let shown = super::cast::text(cx, &name)?;
            return Err(format!("error processing alternate dns name: {shown} is not a string").into());
        };
        request.names.push(text.to_text().into_owned());
    }
    let now = state(cx)?.now().as_second();
    let days = if let Value::Int(_, days) = days { *days } else { 0 };
    request.not_before = now;
    request.not_after = now.saturating_add(days.saturating_mul(86_400));
    // A stream of its own, so that the key does not depend on how many bytes the serial takes.
    state(cx)?.random(cx, &format!("{function} serial"), args)?.fill_bytes(&mut request.serial);
    Ok(request)
}

/// A certificate that signs itself, with the key given in `pem` or a new one.
fn own(cx: &Context<'_>, function: &str, args: &[Value], request: Request, pem: &[Value]) -> Outcome {
    if let Some(pem) = pem.first() {
        let key = key_from(cx, pem)?;
        return Ok(Certificate::made(request.issue(&key, None)?.into(), key.to_pem()?.into()));
    }
    request.validity()?;
    let random = key_seed(cx, function, args)?;
    Ok(Value::native(Certificate { made: OnceCell::new(), plan: Some(Plan { request, random }) }))
}

fn authority(cx: &mut Context<'_>, function: &str, args: &[Value]) -> Outcome {
    let [name, days, pem @ ..] = args else { return misused() };
    let mut request = request(cx, function, args, [name, &Value::Nil, &Value::Nil, days])?;
    request.is_authority = true;
    own(cx, function, args, request, pem)
}

fn self_signed(cx: &mut Context<'_>, function: &str, args: &[Value]) -> Outcome {
    let [name, ips, names, days, pem @ ..] = args else { return misused() };
    let request = request(cx, function, args, [name, ips, names, days])?;
    own(cx, function, args, request, pem)
}

fn signed(cx: &mut Context<'_>, function: &str, args: &[Value]) -> Outcome {
    let [name, ips, names, days, issuer, pem @ ..] = args else { return misused() };
    let Some(issuer) = issuer.downcast::<Certificate>().and_then(Certificate::pair) else { return misused() };
    // With a key given, that is looked at first, as sprig does.
    let given = pem.first().map(|pem| key_from(cx, pem)).transpose()?;
    cx.budget().step(cost::of_use(issuer.key.len()))?;
    let signer = Signer::new(&issuer.cert.to_text(), &issuer.key.to_text())?;
    let request = request(cx, function, args, [name, ips, names, days])?;
    let key = match given {
        Some(key) => key,
        None => Key::rsa(&mut key_seed(cx, function, args)?, 2048)?,
    };
    Ok(Certificate::made(request.issue(&key, Some(&signer))?.into(), key.to_pem()?.into()))
}

fn custom_certificate(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [Value::Str(cert), Value::Str(key)] = args else { return misused() };
    let decode = |text: &Str, what: &str| {
        decode64(text.as_bytes()).map_err(|_| FuncError::from(format!("unable to decode base64 {what}")))
    };
    let (cert, key) = (Str::from(decode(cert, "certificate")?), Str::from(decode(key, "private key")?));
    cx.budget().step(cost::of_use(key.len()))?;
    certificate::check(&cert.to_text())?;
    Key::from_pem(&key.to_text()).map_err(|e| format!("error parsing private key: {e}"))?;
    Ok(Certificate::made(cert, key))
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn a_certificate_is_made_when_it_is_looked_at_and_once() {
        let random = ChaCha20Rng::from_seed([7; 32]);
        let lazy = |random| Certificate {
            made: OnceCell::new(),
            plan: Some(Plan { request: Request::new("ca".to_owned()), random }),
        };
        let certificate = lazy(random.clone());
        assert!(certificate.made.get().is_none());
        let texts = |certificate: &Certificate| {
            certificate
                .fields()
                .into_iter()
                .map(|(name, value)| (name, value.as_str().unwrap().to_string()))
                .collect::<Vec<_>>()
        };
        let first = texts(&certificate);
        assert_eq!(first.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["Cert", "Key"]);
        assert!(certificate.made.get().is_some());
        assert!(
            first[0].1.starts_with("-----BEGIN CERTIFICATE") && first[1].1.starts_with("-----BEGIN RSA PRIVATE KEY")
        );
        assert_eq!(first, texts(&certificate));
        assert_eq!(first, texts(&lazy(random)));
    }
}
