//! Between JSON and Go's values.

use serde_json::{Number, Value as Json};

use super::{IntKind, List, Map, Value};
use crate::func::FuncError;

/// How deep data may be nested to become JSON: deeper is nearly always a map that contains itself.
const MAX_DEPTH: usize = 250;

/// How far integers are exact in a `float64`.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// What a JSON number becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// A `float64`, as Go's `encoding/json` and Helm's values have it.
    Float,
    /// An `int64` if it is written as an integer that fits, else a `float64`.
    Int64,
}

impl Value {
    /// The value that Go's decoder makes of JSON. Numbers become what `numbers` says. The JSON's own depth must be
    /// bounded by whoever parsed it.
    pub fn from_json(json: &Json, numbers: Numbers) -> Self {
        match json {
            Json::Null => Self::Nil,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => match (numbers, number.as_i64()) {
                (Numbers::Int64, Some(value)) => Self::Int(IntKind::Int64, value),
                _ => Self::Float(number.as_f64().unwrap_or_default()),
            },
            Json::String(text) => Self::from(text.as_str()),
            Json::Array(items) => Self::List(items.iter().map(|item| Self::from_json(item, numbers)).collect()),
            Json::Object(entries) => Self::Map(
                entries.iter().map(|(key, value)| (key.as_str(), Self::from_json(value, numbers))).collect::<Map>(),
            ),
        }
    }

    /// The value as JSON, keys in order; a float without fraction becomes an integer, as Go prints it.
    /// Fails for what JSON lacks (functions, NaN, infinity), for structs, and beyond 250 levels (a cycle).
    pub fn to_json(&self) -> Result<Json, FuncError> {
        self.to_json_at(0)
    }

    fn to_json_at(&self, depth: usize) -> Result<Json, FuncError> {
        if depth > MAX_DEPTH {
            return Err(FuncError::from(format!("json: value is nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(match self {
            Self::Nil => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Int(_, value) => Json::from(*value),
            Self::Uint(_, value) => Json::from(*value),
            Self::Float(value) if value.fract() == 0.0 && value.abs() < EXACT => {
                #[allow(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
                let whole = *value as i64;
                Json::from(whole)
            }
            Self::Float(value) => {
                Number::from_f64(*value).map(Json::Number).ok_or_else(|| format!("json: unsupported value: {value}"))?
            }
            Self::Str(text) => Json::String(text.to_text().into_owned()),
            Self::List(list) if list.is_nil() => Json::Null,
            Self::List(list) => {
                Json::Array(list.borrow().iter().map(|item| item.to_json_at(depth + 1)).collect::<Result<_, _>>()?)
            }
            Self::Map(map) if map.is_nil() => Json::Null,
            Self::Map(map) => Json::Object(
                map.borrow()
                    .iter()
                    .map(|(key, value)| Ok((key.to_text().into_owned(), value.to_json_at(depth + 1)?)))
                    .collect::<Result<_, FuncError>>()?,
            ),
            Self::Native(native) => match native.plain() {
                Some(plain) => plain.to_json_at(depth + 1)?,
                None => return Err(format!("json: unsupported type: {}", native.type_name()).into()),
            },
            Self::Complex(..) | Self::Func(_) => {
                return Err(format!("json: unsupported type: {}", self.type_name()).into());
            }
        })
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Self {
        Self::List(List::new(items))
    }
}
