//! The Go types of ApplicationSet and Application: which fields there are, what they hold, and when Go leaves them out.
//!
//! An object is kept as JSON in the form in which Go would write it: what the types do not have is dropped, what is
//! empty is left out where the type says so, and what can't be left out is there.

mod decode;
mod merge;
mod patch;
mod render;

use std::collections::HashMap;
use std::sync::OnceLock;

use serde_json::{Map, Value};

pub(crate) use decode::Decoder;
pub(crate) use merge::fill;
pub(crate) use patch::patch;
pub(crate) use render::{Replace, render};

/// Written by `tables/main.go`.
const TABLE: &str = include_str!("types.txt");

/// A Go type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Type {
    Text,
    Bool,
    Int,
    IntOrString,
    Time,
    /// Any JSON.
    Json,
    /// The fields are those of the table under this number.
    Struct(usize),
    Pointer(Box<Type>),
    List(Box<Type>),
    Map(Box<Type>),
}

/// A field of a struct.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    name: &'static str,
    of: Type,
    /// Whether it is left out where it is empty.
    omits_empty: bool,
    /// Whether a strategic merge patch adds to the list.
    merges: bool,
}

#[derive(Debug, Default)]
struct Table {
    names: HashMap<&'static str, usize>,
    fields: Vec<Vec<Field>>,
}

fn table() -> &'static Table {
    static PARSED: OnceLock<Table> = OnceLock::new();
    PARSED.get_or_init(|| {
        // A field may be called `type`, too: what stands behind it is no name.
        let is_name = |name: &&str| name.starts_with(|c: char| c.is_ascii_uppercase());
        let headers = TABLE.lines().filter_map(|line| line.strip_prefix("type ")).filter(is_name);
        let names = headers.enumerate().map(|(index, name)| (name, index)).collect();
        let mut table = Table { names, fields: Vec::new() };
        for line in TABLE.lines() {
            match (line.split_once(' '), table.fields.last_mut()) {
                (Some(("type", name)), _) if table.names.contains_key(name) => table.fields.push(Vec::new()),
                (Some((name, text)), Some(fields)) => {
                    let (omits_empty, text) = strip(text, '?');
                    let (merges, text) = strip(text, '+');
                    fields.extend(parse(text, &table.names).map(|of| Field { name, of, omits_empty, merges }));
                }
                _ => {}
            }
        }
        table
    })
}

fn strip(text: &str, flag: char) -> (bool, &str) {
    text.strip_prefix(flag).map_or((false, text), |rest| (true, rest))
}

fn parse(text: &str, names: &HashMap<&str, usize>) -> Option<Type> {
    let inner = |rest: &str| parse(rest, names).map(Box::new);
    if let Some(rest) = text.strip_prefix('*') {
        return inner(rest).map(Type::Pointer);
    }
    if let Some(rest) = text.strip_prefix("[]") {
        return inner(rest).map(Type::List);
    }
    if let Some(rest) = text.strip_prefix("{}") {
        return inner(rest).map(Type::Map);
    }
    Some(match text {
        "string" => Type::Text,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "intstr" => Type::IntOrString,
        "time" => Type::Time,
        "json" => Type::Json,
        name => Type::Struct(*names.get(name)?),
    })
}

impl Type {
    /// The struct `name` of the table; one that the table lacks has no fields.
    pub(crate) fn named(name: &str) -> Self {
        Self::Struct(table().names.get(name).copied().unwrap_or(usize::MAX))
    }

    /// The fields of a struct; none of another type.
    fn fields(&self) -> &'static [Field] {
        match self {
            Self::Struct(index) => table().fields.get(*index).map(Vec::as_slice).unwrap_or_default(),
            Self::Pointer(inner) => inner.fields(),
            _ => &[],
        }
    }

    /// What Go has where nothing is said.
    pub(crate) fn zero(&self) -> Value {
        match self {
            Self::Text => Value::from(""),
            Self::Bool => Value::from(false),
            Self::Int | Self::IntOrString => Value::from(0),
            Self::Time | Self::Json | Self::Pointer(_) => Value::Null,
            Self::List(_) => Value::Array(Vec::new()),
            Self::Map(_) => Value::Object(Map::new()),
            Self::Struct(_) => {
                let mut fields = Map::new();
                for field in self.fields() {
                    field.put(&mut fields, field.of.zero());
                }
                Value::Object(fields)
            }
        }
    }

    /// Whether `value` is what Go has where nothing is said.
    fn is_zero(&self, value: &Value) -> bool {
        match (self, value) {
            (_, Value::Null) => true,
            (Self::Pointer(_) | Self::Json, _) => false,
            (Self::Struct(_), Value::Object(map)) => {
                self.fields().iter().all(|field| map.get(field.name).is_none_or(|value| field.of.is_zero(value)))
            }
            (_, Value::String(text)) => text.is_empty(),
            (_, Value::Bool(flag)) => !flag,
            (_, Value::Number(number)) => number.as_i64() == Some(0),
            (_, Value::Array(items)) => items.is_empty(),
            (_, Value::Object(map)) => map.is_empty(),
        }
    }
}

impl Field {
    /// Adds the field to those of its struct, unless it is left out.
    fn put(&self, fields: &mut Map<String, Value>, value: Value) {
        if !(self.omits_empty && self.of.is_zero(&value)) {
            fields.insert(self.name.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_table_is_read_as_a_whole() {
        let fields: usize = table().fields.iter().map(Vec::len).sum();
        assert_eq!(fields + table().fields.len(), TABLE.lines().count());
        assert!(table().fields.len() > 70 && table().fields.iter().all(|fields| !fields.is_empty()));
        assert!(Type::named("ApplicationSetStrategy").fields().iter().any(|field| field.name == "type"));
    }

    #[test]
    fn what_can_t_be_left_out_is_there() {
        assert_eq!(
            Type::named("Application").zero(),
            json!({"metadata": {}, "spec": {"destination": {}, "project": ""}})
        );
    }
}
