//! Go's static types, as far as templates can see them.

use std::fmt;

use crate::func::Function;

/// A Go type: of a value, of a list's or a map's elements, of a function's parameter. Displays as Go's `%T` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `interface {}`: anything, nil included.
    Any,
    /// `bool`
    Bool,
    /// `int`, `int8`, …
    Int(IntKind),
    /// `uint`, `uint8`, …
    Uint(UintKind),
    /// `float64`
    Float64,
    /// `complex128`
    Complex128,
    /// `string`
    String,
    /// `[]T`
    List(&'static Type),
    /// `map[string]T`
    Map(&'static Type),
    /// A type that has a name: a [`crate::Native`]'s, or that of a map with a [`MapType`].
    Named(&'static str),
    /// Any function.
    Func,
}

/// `int` as a parameter's type.
pub const INT: Type = Type::Int(IntKind::Int);
/// `int64` as a parameter's type.
pub const INT64: Type = Type::Int(IntKind::Int64);
/// `[]interface {}` as a parameter's type.
pub const LIST: Type = Type::List(&Type::Any);
/// `map[string]interface {}` as a parameter's type.
pub const MAP: Type = Type::Map(&Type::Any);

/// Which of Go's signed integer types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are Go's")]
pub enum IntKind {
    Int,
    Int8,
    Int16,
    Int32,
    Int64,
}

/// Which of Go's unsigned integer types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are Go's")]
pub enum UintKind {
    Uint,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
}

/// Go's `reflect.Kind`. Displays as Go prints it (`map`, `slice`, `float64`, …).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are Go's")]
pub enum Kind {
    Invalid,
    Bool,
    Int(IntKind),
    Uint(UintKind),
    Float64,
    Complex128,
    String,
    Slice,
    Map,
    Struct,
    Ptr,
    Func,
}

/// The type of a map: its name, what it holds, and its methods (Helm's `.Values` has some).
#[derive(Debug)]
pub struct MapType {
    /// The name as `%T` prints it; `None` for a plain `map[string]T`.
    pub name: Option<&'static str>,
    /// The type of the values.
    pub elem: Type,
    /// Methods; each gets the map as an argument before its parameters.
    pub methods: &'static [Function],
}

impl MapType {
    /// `map[string]interface {}`
    pub const ANY: &'static Self = &Self { name: None, elem: Type::Any, methods: &[] };
    /// `map[string]string`
    pub const STRING: &'static Self = &Self { name: None, elem: Type::String, methods: &[] };
}

impl fmt::Display for IntKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Int => "int",
            Self::Int8 => "int8",
            Self::Int16 => "int16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
        })
    }
}

impl fmt::Display for UintKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uint => "uint",
            Self::Uint8 => "uint8",
            Self::Uint16 => "uint16",
            Self::Uint32 => "uint32",
            Self::Uint64 => "uint64",
        })
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("interface {}"),
            Self::Bool => f.write_str("bool"),
            Self::Int(kind) => kind.fmt(f),
            Self::Uint(kind) => kind.fmt(f),
            Self::Float64 => f.write_str("float64"),
            Self::Complex128 => f.write_str("complex128"),
            Self::String => f.write_str("string"),
            Self::List(elem) => write!(f, "[]{elem}"),
            Self::Map(elem) => write!(f, "map[string]{elem}"),
            Self::Named(name) => f.write_str(name),
            Self::Func => f.write_str("func"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid => f.write_str("invalid"),
            Self::Bool => f.write_str("bool"),
            Self::Int(kind) => kind.fmt(f),
            Self::Uint(kind) => kind.fmt(f),
            Self::Float64 => f.write_str("float64"),
            Self::Complex128 => f.write_str("complex128"),
            Self::String => f.write_str("string"),
            Self::Slice => f.write_str("slice"),
            Self::Map => f.write_str("map"),
            Self::Struct => f.write_str("struct"),
            Self::Ptr => f.write_str("ptr"),
            Self::Func => f.write_str("func"),
        }
    }
}
