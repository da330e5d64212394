//! Drops managedFields while deserializing: they are half of an object's size.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

/// An object without its `metadata.managedFields`.
#[derive(Debug, Clone)]
pub(crate) struct WithoutManagedFields(Value);

/// An object's `apiVersion`, `kind` and `metadata`, without managedFields.
#[derive(Debug)]
pub(crate) struct PartialObjectMetadata(Value);

impl From<WithoutManagedFields> for Value {
    fn from(object: WithoutManagedFields) -> Self {
        object.0
    }
}

impl From<PartialObjectMetadata> for Value {
    fn from(object: PartialObjectMetadata) -> Self {
        object.0
    }
}

impl<'de> Deserialize<'de> for WithoutManagedFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Part::Object.deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for PartialObjectMetadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Part::Head.deserialize(deserializer).map(Self)
    }
}

/// The part of an object that is being deserialized.
#[derive(Clone, Copy)]
enum Part {
    Object,
    Head,
    Metadata,
}

impl<'de> DeserializeSeed<'de> for Part {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Part {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut read = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            let value = match (self, key.as_str()) {
                (Self::Metadata, "managedFields") => None,
                (Self::Object | Self::Head, "metadata") => Some(fields.next_value_seed(Self::Metadata)?),
                (Self::Head, "apiVersion" | "kind") | (Self::Object | Self::Metadata, _) => Some(fields.next_value()?),
                (Self::Head, _) => None,
            };
            match value {
                Some(value) => drop(read.insert(key, value)),
                None => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Value::Object(read))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn the_rest_is_left_out() {
        let whole = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"managedFields": "stays",
            "metadata": "too"},
            "metadata": {"name": "a", "managedFields": [{"manager": "slipway"}],
                "labels": {"managedFields": "stays"}}});
        let unmanaged = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"managedFields": "stays",
            "metadata": "too"},
            "metadata": {"name": "a", "labels": {"managedFields": "stays"}}});
        assert_eq!(Value::from(from_value::<WithoutManagedFields>(whole.clone()).unwrap()), unmanaged);
        let head = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "a", "labels": {"managedFields": "stays"}}});
        assert_eq!(Value::from(from_value::<PartialObjectMetadata>(whole).unwrap()), head);
        assert!(from_value::<WithoutManagedFields>(json!([])).is_err());
        assert!(from_value::<WithoutManagedFields>(json!({"metadata": "none"})).is_err());
    }
}
