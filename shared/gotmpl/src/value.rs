//! What templates compute with: Go's values, with Go's types and reference semantics.

mod json;
mod list;
mod map;
mod text;
mod types;

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

pub use json::Numbers;
pub use list::List;
pub use map::Map;
pub use text::Str;
pub use types::{INT, INT64, IntKind, Kind, LIST, MAP, MapType, Type, UintKind};

use crate::func::Function;

/// A Go value. Cloning one never copies data: lists, maps and natives are shared, as in Go.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// A nil `interface {}`.
    #[default]
    Nil,
    /// `bool`
    Bool(bool),
    /// A signed integer of some size. A literal is an `int`.
    Int(IntKind, i64),
    /// An unsigned integer of some size.
    Uint(UintKind, u64),
    /// `float64`: every number that comes out of JSON, and so out of Helm's values.
    Float(f64),
    /// `complex128`: real and imaginary part.
    Complex(f64, f64),
    /// `string`
    Str(Str),
    /// A slice.
    List(List),
    /// A map with string keys.
    Map(Map),
    /// A value of the caller's: Helm's `.Files`, a time, a version.
    Native(Rc<dyn Native>),
    /// A function as a value, for `call`.
    Func(&'static Function),
}

/// A Go value that the caller implements: a struct with fields and methods, or a named type over plain data.
pub trait Native: Any {
    /// The type as `%T` prints it; `*` before the name for a pointer.
    fn type_name(&self) -> &'static str;

    /// The kind, by default by the type's name: a pointer or a struct.
    fn kind(&self) -> Kind {
        if self.type_name().starts_with('*') { Kind::Ptr } else { Kind::Struct }
    }

    /// The exported fields of a struct in order; for access, for printing and for near misses.
    fn fields(&self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    /// The exported field `name`.
    fn field(&self, name: &str) -> Option<Value> {
        self.fields().into_iter().find_map(|(field, value)| (field == name).then_some(value))
    }

    /// The method `name`; it is called with this value before its arguments.
    fn method(&self, name: &str) -> Option<&'static Function> {
        let _ = name;
        None
    }

    /// What Go's `String()` or `Error()` gives, if the type has one.
    fn text(&self) -> Option<Str> {
        None
    }

    /// What `String()` gives where a pointer has it and the value has not: an action prints that, a function does not.
    fn pointer_text(&self) -> Option<Str> {
        None
    }

    /// The fields as Go prints a struct: with those that no template can ask for.
    fn printed_fields(&self) -> Vec<(&'static str, Value)> {
        self.fields()
    }

    /// What Go's JSON has in the value's place, if the type has a `MarshalJSON`.
    fn json(&self) -> Option<Value> {
        None
    }

    /// The fields of a struct by the names that they have in Go's JSON.
    fn json_fields(&self) -> Vec<(&'static str, Value)> {
        self.fields()
    }

    /// The plain data below a named type (a list, map, number or string): what `range`, `index`, `len`, truth and
    /// comparison work on, and what it is in JSON. `None` for a struct.
    fn plain(&self) -> Option<Value> {
        None
    }
}

impl Value {
    /// Go's `int`.
    pub const fn int(number: i64) -> Self {
        Self::Int(IntKind::Int, number)
    }

    /// Go's `int64`.
    pub const fn int64(number: i64) -> Self {
        Self::Int(IntKind::Int64, number)
    }

    /// A string literal of the program.
    pub const fn literal(text: &'static str) -> Self {
        Self::Str(Str::from_static(text))
    }

    /// A native value.
    pub fn native(native: impl Native) -> Self {
        crate::budget::note_made(size_of_val(&native));
        Self::Native(Rc::new(native))
    }

    /// The native value of type `T`, if this is one.
    pub fn downcast<T: Native>(&self) -> Option<&T> {
        match self {
            Self::Native(native) => (native.as_ref() as &dyn Any).downcast_ref(),
            _ => None,
        }
    }

    /// The string, if this is one.
    pub fn as_str(&self) -> Option<&Str> {
        if let Self::Str(text) = self { Some(text) } else { None }
    }

    /// The map, if this is one.
    pub fn as_map(&self) -> Option<&Map> {
        if let Self::Map(map) = self { Some(map) } else { None }
    }

    /// The list, if this is one.
    pub fn as_list(&self) -> Option<&List> {
        if let Self::List(list) = self { Some(list) } else { None }
    }

    /// Go's `reflect.Kind`; `Invalid` for nil.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Nil => Kind::Invalid,
            Self::Bool(_) => Kind::Bool,
            Self::Int(kind, _) => Kind::Int(*kind),
            Self::Uint(kind, _) => Kind::Uint(*kind),
            Self::Float(_) => Kind::Float64,
            Self::Complex(..) => Kind::Complex128,
            Self::Str(_) => Kind::String,
            Self::List(_) => Kind::Slice,
            Self::Map(_) => Kind::Map,
            Self::Native(native) => native.kind(),
            Self::Func(_) => Kind::Func,
        }
    }

    /// The type as `%T` prints it; `<nil>` for nil.
    pub fn type_name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(kind, _) => return Cow::Owned(kind.to_string()),
            Self::Uint(kind, _) => return Cow::Owned(kind.to_string()),
            Self::Float(_) => "float64",
            Self::Complex(..) => "complex128",
            Self::Str(_) => "string",
            Self::List(list) => match list.elem() {
                Type::Any => "[]interface {}",
                elem => return Cow::Owned(format!("[]{elem}")),
            },
            Self::Map(map) => match (map.of().name, map.of().elem) {
                (Some(name), _) => name,
                (None, Type::Any) => "map[string]interface {}",
                (None, elem) => return Cow::Owned(format!("map[string]{elem}")),
            },
            Self::Native(native) => native.type_name(),
            Self::Func(_) => "func",
        })
    }

    /// Go's truth (text/template's `IsTrue`): false are nil, false, zero, and what is empty.
    pub fn truth(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(_, value) => *value != 0,
            Self::Uint(_, value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Complex(re, im) => *re != 0.0 || *im != 0.0,
            Self::Str(text) => !text.is_empty(),
            Self::List(list) => !list.is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::Native(native) => native.plain().is_none_or(|plain| plain.truth()),
            Self::Func(_) => true,
        }
    }

    /// The plain data of a native; every other value as it is.
    pub fn plain(&self) -> Cow<'_, Self> {
        match self {
            Self::Native(native) => native.plain().map_or(Cow::Borrowed(self), Cow::Owned),
            _ => Cow::Borrowed(self),
        }
    }

    /// Whether a value of this type may be given to a parameter of type `to` (Go's `AssignableTo`).
    pub fn assignable_to(&self, to: Type) -> bool {
        match (to, self) {
            (Type::Any, _)
            | (Type::Bool, Self::Bool(_))
            | (Type::Float64, Self::Float(_))
            | (Type::Complex128, Self::Complex(..))
            | (Type::String, Self::Str(_))
            | (Type::Func, Self::Func(_)) => true,
            (Type::Int(kind), Self::Int(own, _)) => kind == *own,
            (Type::Uint(kind), Self::Uint(own, _)) => kind == *own,
            (Type::List(elem), Self::List(list)) => *elem == *list.elem(),
            (Type::Map(elem), Self::Map(map)) => *elem == map.of().elem,
            (Type::Named(name), Self::Native(native)) => name == native.type_name(),
            (Type::Named(name), Self::Map(map)) => map.of().name == Some(name),
            _ => false,
        }
    }
}

/// Drops values without recursion, however deep they are nested: a template can build a list in a list 100,000
/// times, and the stack must survive its end.
fn drop_nested(values: impl Iterator<Item = Value>) {
    let mut left: Vec<Value> = values.filter(|value| matches!(value, Value::List(_) | Value::Map(_))).collect();
    while let Some(value) = left.pop() {
        match value {
            Value::List(mut list) => left.extend(list.take_if_last()),
            Value::Map(mut map) => left.extend(map.take_if_last().into_values()),
            _ => {}
        }
    }
}

impl fmt::Debug for dyn Native {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.type_name())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// A length, as Go's `int`.
impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<Str> for Value {
    fn from(value: Str) -> Self {
        Self::Str(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Str(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Str(value.into())
    }
}

impl From<List> for Value {
    fn from(value: List) -> Self {
        Self::List(value)
    }
}

impl From<Map> for Value {
    fn from(value: Map) -> Self {
        Self::Map(value)
    }
}
