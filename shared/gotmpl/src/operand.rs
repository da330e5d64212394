//! A value on its way through a pipeline: Go's `reflect.Value`.

use std::collections::BTreeMap;

use crate::value::{List, Map, MapType, Str, Type, Value};

/// A value, or none, and whether Go knows it only as an `interface {}`.
#[derive(Clone, Debug)]
pub(crate) struct Operand {
    /// `None` is Go's invalid value: it prints as `<no value>` and may be asked for any field.
    pub(crate) value: Option<Value>,
    /// It came out of a map or list of `interface {}`: messages name that type, and nil is an error to ask.
    pub(crate) boxed: bool,
}

impl Operand {
    pub(crate) const NONE: Self = Self { value: None, boxed: false };

    /// An element of a list or map.
    pub(crate) fn element(value: Value, elem: &Type) -> Self {
        Self { value: Some(value), boxed: *elem == Type::Any }
    }

    /// The value, unless there is none or it is nil.
    pub(crate) fn present(&self) -> Option<&Value> {
        self.value.as_ref().filter(|value| !matches!(value, Value::Nil))
    }

    pub(crate) fn truth(&self) -> bool {
        self.value.as_ref().is_some_and(Value::truth)
    }

    /// What comes out of a pipeline: the thing inside the `interface {}`; nil is no value.
    pub(crate) fn unboxed(self) -> Self {
        Self { value: self.value.filter(|value| !matches!(value, Value::Nil)), boxed: false }
    }

    /// The type's name in messages.
    pub(crate) fn type_name(&self) -> String {
        match &self.value {
            Some(value) if !self.boxed => value.type_name().into_owned(),
            _ => Type::Any.to_string(),
        }
    }
}

impl From<Value> for Operand {
    fn from(value: Value) -> Self {
        let boxed = matches!(value, Value::Nil);
        Self { value: Some(value), boxed }
    }
}

/// Go's zero value of a type; nil for a type of the caller's.
pub(crate) fn zero(of: Type) -> Value {
    match of {
        Type::Any | Type::Named(_) | Type::Func => Value::Nil,
        Type::Bool => Value::Bool(false),
        Type::Int(kind) => Value::Int(kind, 0),
        Type::Uint(kind) => Value::Uint(kind, 0),
        Type::Float64 => Value::Float(0.0),
        Type::Complex128 => Value::Complex(0.0, 0.0),
        Type::String => Value::Str(Str::default()),
        Type::List(elem) => Value::List(List::nil(elem)),
        Type::Map(Type::Any) => Value::Map(Map::nil(MapType::ANY)),
        Type::Map(Type::String) => Value::Map(Map::nil(MapType::STRING)),
        Type::Map(_) => Value::Map(Map::typed(MapType::ANY, BTreeMap::new())),
    }
}

/// Whether nil may be given to a parameter of this type.
pub(crate) fn can_be_nil(of: Type) -> bool {
    match of {
        Type::Any | Type::List(_) | Type::Map(_) | Type::Func => true,
        Type::Named(name) => name.starts_with('*'),
        _ => false,
    }
}
