//! The kinds that the API serves and the shapes of their types, read from `kinds.txt` (see `kinds/main.go`).

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

/// A kind and the resource that serves it.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_field_names, reason = "a kind's kind is what everybody calls it")]
pub(super) struct Kind {
    /// API group, empty for core.
    pub(super) group: String,
    /// Version.
    pub(super) version: String,
    /// Kind.
    pub(super) kind: String,
    /// Plural in paths.
    pub(super) plural: String,
    /// Singular.
    pub(super) singular: String,
    /// Whether objects live in namespaces.
    pub(super) namespaced: bool,
    /// Verbs as discovery lists them.
    pub(super) verbs: Vec<String>,
    /// Short names.
    pub(super) short_names: Vec<String>,
    /// Categories (`all`).
    pub(super) categories: Vec<String>,
    /// `status` and `scale`, where they exist.
    pub(super) subresources: Vec<String>,
    /// Its type.
    pub(super) root: Type,
}

impl Kind {
    /// `v1` or `group/version`.
    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `deployments.apps`, or `configmaps` in core.
    pub(super) fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Whether it is this kind of this group.
    pub(super) fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }

    /// Whether `status` is a subresource, so that writes of the object itself leave it alone.
    pub(super) fn has_status(&self) -> bool {
        self.subresources.iter().any(|name| name == "status")
    }
}

/// How a list is merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ListKind {
    /// As a whole.
    Atomic,
    /// As a set of scalars.
    Set,
    /// Item by item, named by these keys.
    Keyed(Vec<String>),
}

/// The type of a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Type {
    /// Text.
    Text,
    /// Whole number.
    Int,
    /// Number.
    Float,
    /// Boolean.
    Bool,
    /// `resource.Quantity`.
    Quantity,
    /// `intstr.IntOrString`.
    IntOrString,
    /// `metav1.Time`.
    Time,
    /// `metav1.MicroTime`.
    MicroTime,
    /// Base64.
    Bytes,
    /// Anything; what it is merged as is deduced from the value.
    Raw,
    /// A struct, merged as a whole if atomic.
    Struct(Arc<str>, bool),
    /// A list.
    List(ListKind, Arc<Type>),
    /// A map with free keys, merged as a whole if atomic.
    Map(bool, Arc<Type>),
}

/// A field of a struct.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    /// Name in JSON.
    pub(super) name: String,
    /// Left out when empty.
    pub(super) omit_empty: bool,
    /// Left out when zero (structs too).
    pub(super) omit_zero: bool,
    /// A pointer in Go: absent and zero differ.
    pub(super) pointer: bool,
    /// Its type.
    pub(super) kind: Type,
    /// What a missing key of a keyed list means.
    pub(super) default: Option<Value>,
    /// Strategy and key of a strategic merge patch.
    pub(super) strategy: Option<(String, String)>,
}

/// A struct.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Struct {
    /// Fields in Go's order.
    pub(super) fields: Vec<Field>,
    atomic: bool,
    /// Fields that are not listed are kept as they are (custom resources).
    pub(super) open: bool,
}

impl Struct {
    /// The field `name`.
    pub(super) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// All kinds and types.
#[derive(Debug, Default)]
pub(super) struct Schema {
    /// Kinds in the order of discovery.
    pub(super) kinds: Vec<Kind>,
    structs: HashMap<Arc<str>, Struct>,
}

/// The name of the type of every custom resource: metadata is known, the rest is open.
const CUSTOM: &str = "custom";

static BUILT_IN: LazyLock<Schema> = LazyLock::new(|| Schema::parse(include_str!("kinds.txt")));

/// Kinds and types of Kubernetes itself.
pub(super) fn built_in() -> &'static Schema {
    &BUILT_IN
}

impl Schema {
    fn parse(text: &str) -> Self {
        let mut schema = Self::default();
        let mut current: Option<(Arc<str>, Struct)> = None;
        for line in text.lines() {
            if let Some(line) = line.strip_prefix("K ") {
                schema.kinds.extend(parse_kind(line));
            } else if let Some(line) = line.strip_prefix("T ") {
                schema.structs.extend(current.take());
                let (name, atomic) = line.split_once(' ').unwrap_or((line, ""));
                current = Some((name.into(), Struct { atomic: atomic == "atomic", ..Struct::default() }));
            } else if let (Some(field), Some((_, found))) = (line.strip_prefix(' ').and_then(parse_field), &mut current)
            {
                found.fields.push(field);
            }
        }
        schema.structs.extend(current.take());
        let metadata = Type::Struct("meta/v1.ObjectMeta".into(), false);
        let plain = |name: &str, kind: Type| Field {
            name: name.to_owned(),
            omit_empty: true,
            omit_zero: false,
            pointer: false,
            kind,
            default: None,
            strategy: None,
        };
        let fields = vec![plain("kind", Type::Text), plain("apiVersion", Type::Text), plain("metadata", metadata)];
        schema.structs.insert(CUSTOM.into(), Struct { fields, atomic: false, open: true });
        schema
    }

    /// The type of custom resources.
    pub(super) fn custom() -> Type {
        Type::Struct(CUSTOM.into(), false)
    }

    /// The struct behind a type.
    pub(super) fn structure(&self, kind: &Type) -> Option<&Struct> {
        match kind {
            Type::Struct(name, _) => self.structs.get(name),
            _ => None,
        }
    }

    /// Whether values of this type are merged as a whole although they have parts.
    pub(super) fn is_atomic(&self, kind: &Type) -> bool {
        match kind {
            Type::Struct(_, atomic) => *atomic || self.structure(kind).is_some_and(|found| found.atomic),
            Type::Map(atomic, _) => *atomic,
            Type::List(list, _) => *list == ListKind::Atomic,
            _ => false,
        }
    }

    /// Whether `name` is a field that the type declares, not a key of a map.
    pub(super) fn is_named_field(&self, kind: &Type, name: &str) -> bool {
        self.structure(kind).is_some_and(|found| found.field(name).is_some())
    }

    /// The type of the value under `name` in a struct or map.
    pub(super) fn field_type(&self, kind: &Type, name: &str) -> Type {
        match kind {
            Type::Map(_, element) => (**element).clone(),
            _ => self.structure(kind).and_then(|found| found.field(name)).map_or(Type::Raw, |field| field.kind.clone()),
        }
    }

    /// The type of a list's items.
    pub(super) fn element_type(kind: &Type) -> Type {
        match kind {
            Type::List(_, element) => (**element).clone(),
            _ => Type::Raw,
        }
    }
}

fn parse_kind(line: &str) -> Option<Kind> {
    let words: Vec<&str> = line.split(' ').collect();
    let [group, version, kind, plural, singular, scope, verbs, short, categories, subresources, root] =
        words.as_slice()
    else {
        return None;
    };
    let list = |text: &str| text.split(',').filter(|item| *item != "-").map(str::to_owned).collect::<Vec<_>>();
    Some(Kind {
        group: if *group == "-" { String::new() } else { (*group).to_owned() },
        version: (*version).to_owned(),
        kind: (*kind).to_owned(),
        plural: (*plural).to_owned(),
        singular: (*singular).to_owned(),
        namespaced: *scope == "Namespaced",
        verbs: list(verbs),
        short_names: list(short),
        categories: list(categories),
        subresources: list(subresources),
        root: Type::Struct((*root).into(), false),
    })
}

fn parse_field(line: &str) -> Option<Field> {
    let mut words = line.split(' ');
    let (name, flags, kind) = (words.next()?, words.next()?, words.next()?);
    let (mut default, mut strategy) = (None, None);
    for word in words {
        if let Some(value) = word.strip_prefix('=') {
            default = serde_json::from_str(value).ok();
        } else if let Some(value) = word.strip_prefix('~') {
            strategy = value.split_once(':').map(|(strategy, key)| (strategy.to_owned(), key.to_owned()));
        }
    }
    Some(Field {
        name: name.to_owned(),
        omit_empty: flags.contains('?'),
        omit_zero: flags.contains('z'),
        pointer: flags.contains('*'),
        kind: parse_type(kind)?,
        default,
        strategy,
    })
}

fn parse_type(text: &str) -> Option<Type> {
    Some(match text {
        "string" => Type::Text,
        "int" => Type::Int,
        "float" => Type::Float,
        "bool" => Type::Bool,
        "quantity" => Type::Quantity,
        "intstr" => Type::IntOrString,
        "time" => Type::Time,
        "microtime" => Type::MicroTime,
        "bytes" => Type::Bytes,
        "raw" => Type::Raw,
        _ => {
            if let Some(name) = text.strip_prefix("@!") {
                Type::Struct(name.into(), true)
            } else if let Some(name) = text.strip_prefix('@') {
                Type::Struct(name.into(), false)
            } else if let Some(rest) = text.strip_prefix('[') {
                let (list, element) = rest.split_once(']')?;
                let list = match list {
                    "atomic" => ListKind::Atomic,
                    "set" => ListKind::Set,
                    keys => ListKind::Keyed(keys.strip_prefix("map:")?.split(',').map(str::to_owned).collect()),
                };
                Type::List(list, Arc::new(parse_type(element)?))
            } else {
                let (atomic, element) = text.strip_prefix('{')?.split_once('}')?;
                Type::Map(atomic == "atomic", Arc::new(parse_type(element)?))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_the_table_is_there() {
        let schema = built_in();
        assert!(schema.kinds.len() >= 48, "{}", schema.kinds.len());
        let mut named = 0;
        for found in schema.structs.values() {
            for field in &found.fields {
                let mut kind = &field.kind;
                while let Type::List(_, element) | Type::Map(_, element) = kind {
                    kind = element;
                }
                if let Type::Struct(name, _) = kind {
                    named += 1;
                    assert!(schema.structs.contains_key(name), "{name}");
                }
            }
        }
        assert!(named > 500, "{named}");
        let ports = schema.field_type(&Type::Struct("core/v1.Container".into(), false), "ports");
        assert!(matches!(ports, Type::List(ListKind::Keyed(keys), _) if keys == ["containerPort", "protocol"]));
    }
}
