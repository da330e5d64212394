//! Base64, Base32 and hashes (Masterminds/sprig `strings.go`, `crypto.go`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use slipway_gotmpl::{Function, Str, Type, Value};

use super::{Outcome, misused};

const TEXT: &[Type] = &[Type::String];

pub(super) const TABLE: &[Function] = &[
    Function::new("b64enc", TEXT, |cx, args| {
        let [Value::Str(s)] = args else { return misused() };
        cx.budget().bytes(s.len().saturating_mul(2))?;
        Ok(STANDARD.encode(s.as_bytes()).into())
    }),
    Function::new("b64dec", TEXT, |_, args| {
        on(args, |bytes| match decode64(bytes) {
            Ok(decoded) => Str::from(decoded),
            Err(at) => Str::from(at),
        })
    })
    .costing(16),
    Function::new("b32enc", TEXT, |cx, args| {
        let [Value::Str(s)] = args else { return misused() };
        cx.budget().bytes(s.len().saturating_mul(2))?;
        Ok(encode32(s.as_bytes()).into())
    })
    .costing(48),
    Function::new("b32dec", TEXT, |_, args| {
        on(args, |bytes| match decode32(bytes) {
            Ok(decoded) => Str::from(decoded),
            Err(at) => Str::from(format!("illegal base32 data at input byte {at}")),
        })
    })
    .costing(96),
    Function::new("sha1sum", TEXT, |_, args| on(args, |bytes| hex::encode(Sha1::digest(bytes)).into())).costing(32),
    Function::new("sha256sum", TEXT, |_, args| on(args, |bytes| hex::encode(Sha256::digest(bytes)).into())).costing(48),
    Function::new("sha512sum", TEXT, |_, args| on(args, |bytes| hex::encode(Sha512::digest(bytes)).into())).costing(32),
    Function::new("adler32sum", TEXT, |_, args| on(args, |bytes| adler32(bytes).to_string().into())).costing(16),
];

fn on(args: &[Value], work: impl FnOnce(&[u8]) -> Str) -> Outcome {
    match args {
        [Value::Str(s)] => Ok(work(s.as_bytes()).into()),
        _ => misused(),
    }
}

/// Go's `base64.StdEncoding.DecodeString`: line breaks are skipped; the error is Go's text.
pub(super) fn decode64(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let body: Vec<u8> = bytes.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    STANDARD_LAX.decode(&body).map_err(|_| format!("illegal base64 data at input byte {}", first_illegal(bytes)))
}

/// Go lets the bits beyond the last byte be anything.
const STANDARD_LAX: base64::engine::GeneralPurpose = base64::engine::GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    base64::engine::GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Where Go's decoder stops.
fn first_illegal(bytes: &[u8]) -> usize {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    let mut in_group = 0;
    for (at, byte) in bytes.iter().enumerate() {
        match *byte {
            b'\r' | b'\n' => {}
            byte if legal(byte) => in_group = (in_group + 1) % 4,
            b'=' if in_group >= 2 => {
                // After the padding nothing may come; a single one needs its twin.
                let rest: Vec<usize> =
                    (at + 1..bytes.len()).filter(|i| !matches!(bytes.get(*i), Some(b'\r' | b'\n'))).collect();
                let mut rest = rest.into_iter();
                if in_group == 2 {
                    match rest.next() {
                        Some(next) if bytes.get(next) == Some(&b'=') => {}
                        Some(next) => return next,
                        None => return bytes.len(),
                    }
                }
                return rest.next().unwrap_or(bytes.len());
            }
            _ => return at,
        }
    }
    // A group that is not full: Go names its first byte.
    let significant: Vec<usize> =
        bytes.iter().enumerate().filter(|(_, b)| !matches!(b, b'\r' | b'\n')).map(|(at, _)| at).collect();
    significant.len().checked_sub(in_group).and_then(|i| significant.get(i)).copied().unwrap_or(bytes.len())
}

const ALPHABET32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn encode32(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(5) {
        let value = chunk.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte)) << (8 * (5 - chunk.len()));
        let used = (chunk.len() * 8).div_ceil(5);
        for place in 0..8 {
            let index = usize::try_from(value >> (35 - 5 * place) & 31).unwrap_or_default();
            let symbol = ALPHABET32.get(index).copied().filter(|_| place < used);
            out.push(symbol.map_or('=', char::from));
        }
    }
    out
}

/// The bytes, or the place of the first one that is wrong.
fn decode32(bytes: &[u8]) -> Result<Vec<u8>, usize> {
    let body: Vec<u8> = bytes.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let mut out = Vec::new();
    for (group, chunk) in body.chunks(8).enumerate() {
        let start = group * 8;
        let symbols = chunk.iter().position(|byte| *byte == b'=').unwrap_or(chunk.len());
        if let Some(at) = chunk.iter().take(symbols).position(|byte| !ALPHABET32.contains(byte)) {
            return Err(start + at);
        }
        if chunk.len() < 8 {
            return Err(body.len());
        }
        let padded = chunk.iter().skip(symbols).all(|byte| *byte == b'=');
        if !padded || !matches!(symbols, 2 | 4 | 5 | 7 | 8) || symbols < 8 && start + 8 < body.len() {
            return Err(start + symbols);
        }
        let value = (0..8).fold(0u64, |value, place| {
            let digit = chunk.get(place).and_then(|byte| ALPHABET32.iter().position(|own| own == byte)).unwrap_or(0);
            value << 5 | digit as u64
        });
        out.extend(value.to_be_bytes().into_iter().skip(3).take(symbols * 5 / 8));
    }
    Ok(out)
}

fn adler32(bytes: &[u8]) -> u32 {
    let (a, b) = bytes.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    b << 16 | a
}
