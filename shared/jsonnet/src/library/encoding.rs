//! Encodings, digests, and what reads JSON and YAML.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rsjsonnet_lang::ast::Visibility;
use serde_json::Value as Json;
use sha2::Digest as _;
use slipway_manifest::{YamlError, YamlErrorKind, json, yaml};

use super::strings::bytes_of;
use super::{Arguments, Native};
use crate::eval::Eval;
use crate::number;
use crate::value::{Outcome, Value, fail};

/// A digest of a string, in hexadecimal.
macro_rules! digest {
    ($name:literal, $digest:ty) => {
        Native {
            name: $name,
            params: &["s"],
            call: |eval, arguments| {
                let text = arguments.string(eval, 0)?;
                eval.step(text.len())?;
                eval.string(&hex::encode(<$digest>::digest(text)))
            },
        }
    };
}

pub(super) const NATIVES: &[Native] = &[
    digest!("md5", md5::Md5),
    digest!("sha1", sha1::Sha1),
    digest!("sha256", sha2::Sha256),
    digest!("sha512", sha2::Sha512),
    digest!("sha3", sha3::Sha3_512),
    Native { name: "base64", params: &["input"], call: base64 },
    Native { name: "base64Decode", params: &["str"], call: base64_decode },
    Native { name: "base64DecodeBytes", params: &["str"], call: base64_decode_bytes },
    Native { name: "encodeUTF8", params: &["str"], call: encode_utf8 },
    Native { name: "decodeUTF8", params: &["arr"], call: decode_utf8 },
    Native { name: "parseJson", params: &["str"], call: parse_json },
    Native { name: "parseYaml", params: &["str"], call: parse_yaml },
];

fn base64<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let value = arguments.value(eval, 0)?;
    // Written as UTF-8 nevertheless.
    if let Value::String(text) = value
        && let Some(wide) = text.chars().find(|char| *char > '\u{ff}')
    {
        return fail(format!("std.base64: {wide:?} is no character of one byte"));
    }
    let bytes = bytes_of(eval, value)?;
    eval.budget().bytes(bytes.len() / 3 * 4)?;
    eval.string(&STANDARD.encode(bytes))
}

fn decoded<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Vec<u8>> {
    let text = arguments.string(eval, 0)?;
    eval.budget().bytes(text.len())?;
    STANDARD.decode(text).or_else(|error| fail(format!("failed to decode base64: {error}")))
}

fn base64_decode<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    eval.string(&String::from_utf8_lossy(&decoded(eval, arguments)?))
}

fn bytes<'p>(eval: &Eval<'p>, bytes: &[u8]) -> Outcome<Value<'p>> {
    eval.budget().bytes(bytes.len().saturating_mul(size_of::<Value<'p>>()))?;
    eval.array(&bytes.iter().map(|byte| Value::Number(f64::from(*byte))).collect::<Vec<_>>())
}

fn base64_decode_bytes<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    bytes(eval, &decoded(eval, arguments)?)
}

fn encode_utf8<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    bytes(eval, arguments.string(eval, 0)?.as_bytes())
}

fn decode_utf8<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let items = Value::Array(arguments.array(eval, 0)?);
    eval.string(&String::from_utf8_lossy(&bytes_of(eval, items)?))
}

fn parse_json<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let text = arguments.string(eval, 0)?;
    json::pay(text.as_bytes(), eval.budget())?;
    match serde_json::from_str(text) {
        Ok(json) => from_json(eval, &json),
        Err(error) => fail(format!("failed to parse JSON: {error}")),
    }
}

fn parse_yaml<'p>(eval: &Eval<'p>, arguments: &Arguments<'p>) -> Outcome<Value<'p>> {
    let text = arguments.string(eval, 0)?;
    let documents = match yaml::parse_all_with(text, yaml::Options::default(), eval.budget()) {
        Ok(documents) => documents.iter().map(|document| from_json(eval, document)).collect::<Outcome<Vec<_>>>()?,
        Err(YamlError { kind: YamlErrorKind::Exceeded(exceeded), .. }) => return Err(exceeded.into()),
        Err(error) => return fail(format!("failed to parse YAML: {error}")),
    };
    let mut marks = text.split('\n').filter_map(|line| line.strip_prefix("---"));
    // A separator makes a list of documents, also of one.
    match documents.as_slice() {
        [] => Ok(Value::Null),
        [only] if !marks.any(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r'])) => Ok(*only),
        many => eval.array(many),
    }
}

/// A value of JSON, all of which is there already.
fn from_json<'p>(eval: &Eval<'p>, json: &Json) -> Outcome<Value<'p>> {
    eval.step(1)?;
    eval.nested(|| match json {
        Json::Null => Ok(Value::Null),
        Json::Bool(is_so) => Ok(Value::Bool(*is_so)),
        Json::Number(number) => number::finite(number.as_f64().unwrap_or(f64::NAN)).map(Value::Number),
        Json::String(text) => eval.string(text),
        Json::Array(items) => eval.array(&items.iter().map(|item| from_json(eval, item)).collect::<Outcome<Vec<_>>>()?),
        Json::Object(map) => {
            let field = |(name, value): (&String, &Json)| {
                Ok((eval.intern(name)?, Visibility::Default, eval.done(from_json(eval, value)?)?))
            };
            eval.object_of(map.iter().map(field).collect::<Outcome<Vec<_>>>()?).map(Value::Object)
        }
    })
}
