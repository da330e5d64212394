//! Makes X.509 certificates as sprig asks Go's `crypto/x509` for them.
//!
//! Stands in for the builder of `x509-cert`, as [`super`] says.

use std::net::IpAddr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};
use slipway_gotmpl::FuncError;

use super::der::{
    BOOLEAN, OCTET_STRING, OID, PRINTABLE, SEQUENCE, SET, TIME, UTC_TIME, UTF8, bit_string, from_pem, integer, read,
    sequence, tlv, to_pem,
};
use super::keys::Key;

const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 14];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 17];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 35];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];

/// What a certificate shall say.
pub(super) struct Request {
    common_name: String,
    pub(super) ips: Vec<IpAddr>,
    pub(super) names: Vec<String>,
    /// Seconds since 1970.
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    pub(super) serial: [u8; 16],
    pub(super) is_authority: bool,
}

/// An authority that signs.
pub(super) struct Signer {
    key: Key,
    /// Its name as it stands in its certificate.
    subject: Vec<u8>,
    key_id: Vec<u8>,
}

impl Signer {
    /// The authority of a certificate and its key, both in PEM.
    pub(super) fn new(cert: &str, key: &str) -> Result<Self, FuncError> {
        let (subject, key_id) = subject_and_key_id(cert)?;
        let key = Key::from_pem(key).map_err(|e| format!("error parsing private key: {e}"))?;
        Ok(Self { key, subject, key_id })
    }
}

/// Whether `cert` is a certificate in PEM.
pub(super) fn check(cert: &str) -> Result<(), FuncError> {
    subject_and_key_id(cert).map(|_| ())
}

fn subject_and_key_id(cert: &str) -> Result<(Vec<u8>, Vec<u8>), FuncError> {
    let (_, bytes) = from_pem(cert).ok_or("unable to decode certificate")?;
    dissect(&bytes).ok_or_else(|| "error parsing certificate: decodedCert.Bytes: x509: malformed certificate".into())
}

fn dissect(bytes: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (SEQUENCE, outer, ..) = read(bytes)? else { return None };
    let (SEQUENCE, mut rest, ..) = read(outer)? else { return None };
    if let (0xa0, _, _, after) = read(rest)? {
        rest = after;
    }
    // Serial number, algorithm, issuer, validity.
    for _ in 0..4 {
        (_, _, _, rest) = read(rest)?;
    }
    let (SEQUENCE, _, subject, mut rest) = read(rest)? else { return None };
    let mut key_id = Vec::new();
    while let Some((tag, contents, _, after)) = read(rest) {
        rest = after;
        if tag != 0xa3 {
            continue;
        }
        let (_, mut extensions, ..) = read(contents)?;
        while let Some((_, extension, _, after)) = read(extensions) {
            extensions = after;
            let (_, name, _, value) = read(extension)?;
            if name == SUBJECT_KEY_ID {
                let (_, octets, ..) = read(value)?;
                key_id = read(octets)?.1.to_vec();
            }
        }
    }
    Some((subject.to_vec(), key_id))
}

impl Request {
    pub(super) fn new(common_name: String) -> Self {
        Self {
            common_name,
            ips: Vec::new(),
            names: Vec::new(),
            not_before: 0,
            not_after: 0,
            serial: [0; 16],
            is_authority: false,
        }
    }

    /// The certificate for `key` in PEM, signed by `signer` or by itself.
    pub(super) fn issue(&self, key: &Key, signer: Option<&Signer>) -> Result<String, FuncError> {
        let subject = self.subject();
        let issuer = signer.map_or(&subject, |signer| &signer.subject);
        let signing_key = signer.map_or(key, |signer| &signer.key);
        let authority_id = signer.filter(|signer| signer.subject != subject).map(|signer| signer.key_id.as_slice());
        let algorithm = signing_key.signature_algorithm();
        let body = sequence(&[
            &tlv(0xa0, &integer(&[2])),
            &integer(&self.serial),
            &algorithm,
            issuer,
            &self.validity()?,
            &subject,
            &key.public_info()?,
            &tlv(0xa3, &tlv(SEQUENCE, &self.extensions(key, authority_id)?.concat())),
        ]);
        let signature = signing_key.sign(&body)?;
        Ok(to_pem("CERTIFICATE", &sequence(&[&body, &algorithm, &bit_string(&signature)])))
    }

    /// When it holds. Fails for a time that a certificate can't name.
    pub(super) fn validity(&self) -> Result<Vec<u8>, FuncError> {
        Ok(sequence(&[&time(self.not_before)?, &time(self.not_after)?]))
    }

    fn subject(&self) -> Vec<u8> {
        if self.common_name.is_empty() {
            return sequence(&[]);
        }
        let printable = |c: char| c.is_ascii_alphanumeric() || " '()+,-./:=?".contains(c);
        let tag = if self.common_name.chars().all(printable) { PRINTABLE } else { UTF8 };
        let attribute = sequence(&[&tlv(OID, COMMON_NAME), &tlv(tag, self.common_name.as_bytes())]);
        sequence(&[&tlv(SET, &attribute)])
    }

    fn extensions(&self, key: &Key, authority_id: Option<&[u8]>) -> Result<Vec<Vec<u8>>, FuncError> {
        // Digital signature and key encipherment; an authority signs certificates, too.
        let usage: &[u8] = if self.is_authority { &[3, 2, 2, 0xa4] } else { &[3, 2, 5, 0xa0] };
        let purposes = sequence(&[&tlv(OID, SERVER_AUTH), &tlv(OID, CLIENT_AUTH)]);
        let constraints = if self.is_authority { sequence(&[&tlv(BOOLEAN, &[0xff])]) } else { sequence(&[]) };
        let mut extensions = vec![
            extension(KEY_USAGE, true, usage),
            extension(EXTENDED_KEY_USAGE, false, &purposes),
            extension(BASIC_CONSTRAINTS, true, &constraints),
        ];
        if self.is_authority {
            // Go takes the first 160 bits of SHA-256 (RFC 7093).
            let hash = Sha256::digest(key.public_bits()?);
            let id: Vec<u8> = hash.iter().copied().take(20).collect();
            extensions.push(extension(SUBJECT_KEY_ID, false, &tlv(OCTET_STRING, &id)));
        }
        if let Some(id) = authority_id.filter(|id| !id.is_empty()) {
            extensions.push(extension(AUTHORITY_KEY_ID, false, &sequence(&[&tlv(0x80, id)])));
        }
        let names = self.names.iter().map(|name| tlv(0x82, name.as_bytes()));
        let ips = self.ips.iter().map(|ip| match ip {
            IpAddr::V4(ip) => tlv(0x87, &ip.octets()),
            IpAddr::V6(ip) => tlv(0x87, &ip.octets()),
        });
        let names: Vec<Vec<u8>> = names.chain(ips).collect();
        if !names.is_empty() {
            let critical = self.common_name.is_empty();
            extensions.push(extension(ALTERNATIVE_NAMES, critical, &tlv(SEQUENCE, &names.concat())));
        }
        Ok(extensions)
    }
}

fn extension(name: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { tlv(BOOLEAN, &[0xff]) } else { Vec::new() };
    sequence(&[&tlv(OID, name), &critical, &tlv(OCTET_STRING, value)])
}

fn time(seconds: i64) -> Result<Vec<u8>, FuncError> {
    let at = Timestamp::from_second(seconds)
        .map_err(|_| "error creating certificate: cannot represent time as GeneralizedTime")?
        .to_zoned(TimeZone::UTC);
    let form = if (1950..2050).contains(&at.year()) { (UTC_TIME, "%y%m%d%H%M%SZ") } else { (TIME, "%Y%m%d%H%M%SZ") };
    Ok(tlv(form.0, at.strftime(form.1).to_string().as_bytes()))
}
