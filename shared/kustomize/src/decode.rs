//! From JSON to settings the way Go's encoding/json does it: keys whatever their case, null as absence, unknown keys
//! refused; errors name the field, and never quote its value: what stands where a list of literals belongs may be a
//! password.

use slipway_manifest::object::type_name;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

/// What is wrong, in a sentence without values.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Problem(String);

impl serde::de::Error for Problem {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        Self(problem.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Bool(_) => "a boolean",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
            Unexpected::Char(_) | Unexpected::Str(_) => "a string",
            Unexpected::Seq => "a list",
            Unexpected::Map => "a mapping",
            _ => "the value",
        };
        Self(format!("cannot read {found} as {expected}"))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self(format!("expected one of {}", expected.join(", ")))
    }
}

/// `value` as a `T`; the error is a sentence that begins with the field.
pub(crate) fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    T::deserialize(Json(value, Unknown::Refused)).map_err(|e| e.to_string())
}

/// [`from_value`] that passes over keys it does not know, as the configurations of plugins are read.
pub(crate) fn leniently<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    T::deserialize(Json(value, Unknown::Ignored)).map_err(|e| e.to_string())
}

#[derive(Clone, Copy, PartialEq)]
enum Unknown {
    Refused,
    Ignored,
}

struct Json(Value, Unknown);

impl<'de> Deserializer<'de> for Json {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.0 {
            Value::Object(map) => visitor.visit_map(Fields { rest: map.into_iter(), value: None, unknown: self.1 }),
            Value::Array(list) => visitor.visit_seq(Items { rest: list.into_iter(), index: 0, unknown: self.1 }),
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(flag),
            Value::String(text) => visitor.visit_string(text),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => visitor.visit_u64(number),
                (None, Some(number)) => visitor.visit_i64(number),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or_default()),
            },
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let map = match self.0 {
            Value::Object(map) => map,
            Value::Null => Map::new(),
            other => return Err(Problem::custom(format!("cannot read {} as {name}", type_name(&other)))),
        };
        let mut known = Map::new();
        for (key, value) in map {
            let field =
                fields.iter().find(|f| **f == key).or_else(|| fields.iter().find(|f| f.eq_ignore_ascii_case(&key)));
            match field {
                None if self.1 == Unknown::Ignored => {}
                None => return Err(Problem::custom(format!("unknown field \"{key}\""))),
                Some(_) if value.is_null() => {}
                Some(field) => {
                    known.insert((*field).to_owned(), value);
                }
            }
        }
        visitor.visit_map(Fields { rest: known.into_iter(), value: None, unknown: self.1 })
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.0 {
            Value::String(text) => visitor.visit_string(text),
            Value::Null => visitor.visit_string(String::new()),
            other => Err(Problem::custom({
                let quote = if matches!(other, Value::Bool(_) | Value::Number(_)) { ": quote it" } else { "" };
                format!("cannot read {} as a string{quote}", type_name(&other))
            })),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_string(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.0 {
            Value::Array(list) => visitor.visit_seq(Items { rest: list.into_iter(), index: 0, unknown: self.1 }),
            other => Err(Problem::custom(format!("cannot read {} as a list", type_name(&other)))),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        match self.0 {
            Value::String(text) => visitor.visit_enum(text.into_deserializer()),
            other => Err(Problem::custom(format!("cannot read {} as {name}", type_name(&other)))),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct newtype_struct
        tuple tuple_struct map identifier ignored_any
    }
}

struct Fields {
    rest: serde_json::map::IntoIter,
    value: Option<(String, Value)>,
    unknown: Unknown,
}

impl<'de> MapAccess<'de> for Fields {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Problem> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        let text: StrDeserializer<'_, Problem> = key.as_str().into_deserializer();
        let read = seed.deserialize(text)?;
        self.value = Some((key, value));
        Ok(Some(read))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Problem> {
        let (key, value) = self.value.take().ok_or_else(|| Problem::custom("a value without a key"))?;
        seed.deserialize(Json(value, self.unknown)).map_err(|e| within(&key, &e))
    }
}

struct Items {
    rest: std::vec::IntoIter<Value>,
    index: usize,
    unknown: Unknown,
}

impl<'de> SeqAccess<'de> for Items {
    type Error = Problem;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Problem> {
        let Some(value) = self.rest.next() else { return Ok(None) };
        let index = self.index;
        self.index += 1;
        seed.deserialize(Json(value, self.unknown)).map(Some).map_err(|e| within(&format!("[{index}]"), &e))
    }
}

/// The error with the field in front: `patches.[0].path: cannot read a number as a string`.
fn within(field: &str, error: &Problem) -> Problem {
    let text = error.to_string();
    let is_path = text.split_once(": ").is_some_and(|(head, _)| !head.contains(' '));
    Problem::custom(if is_path { format!("{field}.{text}") } else { format!("{field}: {text}") })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Inner {
        name_prefix: String,
        list: Vec<String>,
        on: Option<bool>,
    }

    #[derive(Debug, PartialEq, Default, Deserialize)]
    #[serde(default)]
    struct Outer {
        inner: Vec<Inner>,
    }

    #[test]
    fn keys_of_any_case_and_nulls_are_read() {
        let outer: Outer = from_value(json!({"Inner": [{"nameprefix": "a", "list": null, "ON": true}]})).unwrap();
        assert_eq!(outer.inner, [Inner { name_prefix: "a".into(), list: vec![], on: Some(true) }]);
    }

    #[test]
    fn errors_name_the_field_and_no_value() {
        let error = |value| from_value::<Outer>(value).unwrap_err();
        assert_eq!(
            error(json!({"inner": [{"list": [3]}]})),
            "inner.[0].list.[0]: cannot read a number as a string: quote it"
        );
        assert_eq!(error(json!({"x": 1})), "unknown field \"x\"");
        assert_eq!(error(json!({"inner": [{"on": "x"}]})), "inner.[0].on: cannot read a string as a boolean");
        assert_eq!(error(json!("x")), "cannot read a string as Outer");
        assert_eq!(error(json!({"inner": "x"})), "inner: cannot read a string as a list");
    }
}
