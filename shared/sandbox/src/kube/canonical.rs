//! An object as Go's types hold it: unknown fields gone, empty ones left out or kept as their tags say, quantities,
//! times and base64 in their one form (what decoding and encoding by k8s.io/api's structs does).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::quantity;
use super::schema::{Field, Schema, Type};

/// What decoding found on its way.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Paths of fields that the type does not have (`spec.foo`).
    pub(super) unknown: Vec<String>,
    /// Values that the type can't hold, in words.
    pub(super) invalid: Vec<String>,
}

/// `value` in its canonical form.
pub(super) fn canonical(schema: &Schema, kind: &Type, value: &Value, findings: &mut Findings) -> Value {
    convert(schema, kind, Some(value), "", findings).unwrap_or_else(|| zero(schema, kind))
}

/// The zero value of a type: what an empty Go struct looks like as JSON.
pub(super) fn zero(schema: &Schema, kind: &Type) -> Value {
    match kind {
        Type::Text | Type::Bytes => json!(""),
        Type::Int | Type::Float | Type::IntOrString => json!(0),
        Type::Bool => json!(false),
        Type::Quantity => json!("0"),
        Type::Time | Type::MicroTime | Type::Raw | Type::List(..) | Type::Map(..) => Value::Null,
        Type::Struct(..) => structure(schema, kind, &Map::new(), "", &mut Findings::default()),
    }
}

/// The value as its type holds it; `None` stands for Go's nil or for a zero value.
fn convert(schema: &Schema, kind: &Type, value: Option<&Value>, path: &str, findings: &mut Findings) -> Option<Value> {
    let value = value.filter(|value| !value.is_null())?;
    let mut invalid = || {
        findings.invalid.push(format!(
            "{}: cannot decode {} as {}",
            path.trim_start_matches('.'),
            kind_of(value),
            name_of(kind)
        ));
        None
    };
    match (kind, value) {
        (Type::Raw, _)
        | (Type::Text, Value::String(_))
        | (Type::Bool, Value::Bool(_))
        | (Type::Float, Value::Number(_))
        | (Type::IntOrString, Value::String(_) | Value::Number(_)) => Some(value.clone()),
        (Type::Int, Value::Number(number)) if number.is_i64() || number.is_u64() => Some(value.clone()),
        (Type::Int, Value::Number(number)) => match number.as_f64() {
            Some(float) if float.fract() == 0.0 => format!("{float:.0}").parse::<i64>().ok().map(|whole| json!(whole)),
            _ => invalid(),
        },
        (Type::Quantity, Value::String(text)) => match quantity::canonical(text) {
            Some(text) => Some(json!(text)),
            None => invalid(),
        },
        (Type::Quantity, Value::Number(number)) => quantity::canonical(&number.to_string()).map(|text| json!(text)),
        (Type::Time, Value::String(text)) => match text.parse::<Timestamp>() {
            Ok(time) => Some(json!(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())),
            Err(_) => invalid(),
        },
        (Type::MicroTime, Value::String(text)) => match text.parse::<Timestamp>() {
            Ok(time) => Some(json!(time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())),
            Err(_) => invalid(),
        },
        (Type::Bytes, Value::String(text)) => match STANDARD.decode(text) {
            Ok(bytes) => Some(json!(STANDARD.encode(bytes))),
            Err(_) => invalid(),
        },
        (Type::Struct(..), Value::Object(fields)) => Some(structure(schema, kind, fields, path, findings)),
        (Type::Map(_, element), Value::Object(fields)) => {
            let mut out = Map::new();
            for (name, inner) in fields {
                let converted = convert(schema, element, Some(inner), &format!("{path}.{name}"), findings);
                out.insert(name.clone(), converted.unwrap_or_else(|| zero(schema, element)));
            }
            // Go prints the keys of a map sorted.
            out.sort_keys();
            Some(Value::Object(out))
        }
        (Type::List(_, element), Value::Array(items)) => {
            let mut out = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                let converted = convert(schema, element, Some(item), &format!("{path}[{index}]"), findings);
                out.push(converted.unwrap_or_else(|| zero(schema, element)));
            }
            Some(Value::Array(out))
        }
        _ => invalid(),
    }
}

fn structure(schema: &Schema, kind: &Type, fields: &Map<String, Value>, path: &str, findings: &mut Findings) -> Value {
    let mut out = Map::new();
    let Some(found) = schema.structure(kind) else { return Value::Object(fields.clone()) };
    for field in &found.fields {
        let value = convert(schema, &field.kind, fields.get(&field.name), &format!("{path}.{}", field.name), findings);
        if let Some(value) = kept(schema, field, value) {
            out.insert(field.name.clone(), value);
        }
    }
    for (name, value) in fields.iter().filter(|(name, _)| found.field(name).is_none()) {
        if found.open {
            out.insert(name.clone(), value.clone());
        } else {
            findings.unknown.push(format!("{path}.{name}").trim_start_matches('.').to_owned());
        }
    }
    Value::Object(out)
}

/// What a field's tags make of its value; `None` leaves it out.
fn kept(schema: &Schema, field: &Field, value: Option<Value>) -> Option<Value> {
    if field.pointer {
        return match value {
            None if field.omit_empty => None,
            None => Some(Value::Null),
            some => some,
        };
    }
    match value {
        None if field.omit_zero => None,
        None => {
            let zero = zero(schema, &field.kind);
            let stays = matches!(
                field.kind,
                Type::Struct(..) | Type::Quantity | Type::IntOrString | Type::Time | Type::MicroTime
            ) || !field.omit_empty;
            stays.then_some(zero)
        }
        Some(value) if field.omit_empty && is_empty(&field.kind, &value) => None,
        some => some,
    }
}

fn is_empty(kind: &Type, value: &Value) -> bool {
    match (kind, value) {
        (Type::Struct(..) | Type::IntOrString | Type::Quantity, _) => false,
        (_, Value::String(text)) => text.is_empty(),
        (_, Value::Bool(set)) => !set,
        (_, Value::Number(number)) => number.as_f64() == Some(0.0),
        (_, Value::Array(items)) => items.is_empty(),
        (Type::Map(..), Value::Object(fields)) => fields.is_empty(),
        _ => false,
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn name_of(kind: &Type) -> &'static str {
    match kind {
        Type::Text => "string",
        Type::Int => "integer",
        Type::Float => "number",
        Type::Bool => "bool",
        Type::Quantity => "quantity",
        Type::IntOrString => "integer or string",
        Type::Time | Type::MicroTime => "time",
        Type::Bytes => "base64",
        Type::Raw => "value",
        Type::Struct(..) | Type::Map(..) => "object",
        Type::List(..) => "array",
    }
}
