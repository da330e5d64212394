//! Which lists merge, and by which keys: the built-in types from a table, others from an OpenAPI document.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use serde_json::Value;

const TABLE: &str = include_str!("tables/schema.txt");

/// Depth to which an OpenAPI document's types are followed; they may refer to themselves.
const MAX_DEPTH: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Schema {
    types: Vec<HashMap<String, Field>>,
    by_kind: HashMap<String, usize>,
}

#[derive(Debug, Clone)]
enum Field {
    Type(usize),
    /// A mapping whose values all have one type.
    Values(usize),
    List {
        merge_keys: Option<Vec<String>>,
        element: Option<usize>,
    },
}

/// A place in a schema.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At<'a> {
    schema: &'a Schema,
    place: Place<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Place<'a> {
    Type(usize),
    Field(&'a Field),
}

impl<'a> At<'a> {
    /// The schema of the field `key` of a mapping.
    pub(crate) fn field(self, key: &str) -> Option<At<'a>> {
        let place = match self.place {
            Place::Type(index) | Place::Field(&Field::Type(index)) => {
                Place::Field(self.schema.types.get(index)?.get(key)?)
            }
            Place::Field(Field::Values(index)) => Place::Type(*index),
            Place::Field(Field::List { .. }) => return None,
        };
        Some(At { place, ..self })
    }

    /// The keys by which the elements of this list merge; `None` where the list is replaced as a whole.
    pub(crate) fn merge_keys(self) -> Option<&'a [String]> {
        match self.place {
            Place::Field(Field::List { merge_keys, .. }) => merge_keys.as_deref(),
            _ => None,
        }
    }

    /// The schema of this list's elements.
    pub(crate) fn element(self) -> Option<At<'a>> {
        match self.place {
            Place::Field(Field::List { element, .. }) => {
                (*element).map(|index| At { place: Place::Type(index), ..self })
            }
            _ => None,
        }
    }
}

fn kind_key(api_version: &str, kind: &str) -> String {
    format!("{api_version}:{kind}")
}

impl Schema {
    /// The types that Kustomize 5.7 knows (Kubernetes 1.21).
    pub(crate) fn built_in() -> &'static Self {
        static SCHEMA: OnceLock<Schema> = OnceLock::new();
        SCHEMA.get_or_init(|| Self::from_table(TABLE))
    }

    fn from_table(table: &str) -> Self {
        let headers = || table.lines().filter_map(|line| line.strip_prefix("type "));
        let names: HashMap<&str, usize> = headers()
            .filter_map(|line| line.split(' ').next())
            .enumerate()
            .map(|(index, name)| (name, index))
            .collect();
        let mut schema = Self::default();
        for line in table.lines() {
            if let Some(header) = line.strip_prefix("type ") {
                let index = schema.types.len();
                schema.types.push(HashMap::new());
                schema.by_kind.extend(header.split(' ').skip(1).map(|kind| (kind.to_owned(), index)));
            } else if let (Some((key, text)), Some(fields)) = (line.split_once(' '), schema.types.last_mut()) {
                let of = |name: &str| names.get(name).copied();
                let field = match text.split_at_checked(1) {
                    Some(("=", name)) => of(name).map(Field::Type),
                    Some(("*", name)) => of(name).map(Field::Values),
                    Some(("[", rest)) => rest.split_once(']').map(|(keys, name)| Field::List {
                        merge_keys: keys
                            .strip_prefix('+')
                            .map(|keys| keys.split(',').filter(|key| !key.is_empty()).map(str::to_owned).collect()),
                        element: of(name),
                    }),
                    _ => None,
                };
                fields.extend(field.map(|field| (key.to_owned(), field)));
            }
        }
        schema
    }

    /// The types of an OpenAPI (Swagger 2) document.
    pub(crate) fn from_openapi(document: &Value) -> Self {
        let empty = serde_json::Map::new();
        let definitions = document.get("definitions").and_then(Value::as_object).unwrap_or(&empty);
        let mut reader = Reader { definitions, schema: Self::default(), named: HashMap::new() };
        for (name, definition) in definitions {
            let Some(index) = reader.definition(name, 0) else { continue };
            let gvks = definition.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
            for gvk in gvks.into_iter().flatten() {
                let (api_version, kind) = type_meta(gvk);
                reader.schema.by_kind.insert(kind_key(&api_version, &kind), index);
            }
        }
        reader.schema
    }

    pub(crate) fn of(&self, api_version: &str, kind: &str) -> Option<At<'_>> {
        let index = self.by_kind.get(&kind_key(api_version, kind))?;
        Some(At { schema: self, place: Place::Type(*index) })
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn type_meta(gvk: &Value) -> (String, String) {
    let (group, version) = (text(gvk, "group"), text(gvk, "version"));
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    (api_version, text(gvk, "kind").to_owned())
}

/// Kinds that an OpenAPI document's paths say have no namespace.
pub(crate) fn cluster_scoped(document: &Value) -> HashSet<(String, String)> {
    let (mut namespaced, mut all) = (HashSet::new(), HashSet::new());
    for (path, item) in document.get("paths").and_then(Value::as_object).into_iter().flatten() {
        let Some(gvk) = item.get("get").and_then(|get| get.get("x-kubernetes-group-version-kind")) else { continue };
        let key = type_meta(gvk);
        if path.contains("namespaces/{namespace}") {
            namespaced.insert(key.clone());
        }
        all.insert(key);
    }
    all.difference(&namespaced).cloned().collect()
}

struct Reader<'a> {
    definitions: &'a serde_json::Map<String, Value>,
    schema: Schema,
    named: HashMap<&'a str, usize>,
}

impl<'a> Reader<'a> {
    fn definition(&mut self, name: &str, depth: usize) -> Option<usize> {
        let (name, definition) = self.definitions.get_key_value(name)?;
        if let Some(index) = self.named.get(name.as_str()) {
            return Some(*index);
        }
        let index = self.schema.types.len();
        self.schema.types.push(HashMap::new());
        self.named.insert(name, index);
        self.fill(index, definition, depth);
        Some(index)
    }

    fn fill(&mut self, index: usize, definition: &'a Value, depth: usize) {
        let properties = definition.get("properties").and_then(Value::as_object);
        for (key, property) in properties.into_iter().flatten() {
            let field = self.field(property, depth + 1);
            if let (Some(field), Some(fields)) = (field, self.schema.types.get_mut(index)) {
                fields.insert(key.clone(), field);
            }
        }
    }

    /// The type of a property: by reference, or given on the spot.
    fn type_of(&mut self, property: &'a Value, depth: usize) -> Option<usize> {
        if depth > MAX_DEPTH {
            return None;
        }
        if let Some(reference) = property.get("$ref").and_then(Value::as_str) {
            return self.definition(reference.rsplit('/').next()?, depth + 1);
        }
        property.get("properties")?;
        let index = self.schema.types.len();
        self.schema.types.push(HashMap::new());
        self.fill(index, property, depth + 1);
        Some(index)
    }

    fn field(&mut self, property: &'a Value, depth: usize) -> Option<Field> {
        if let Some(index) = self.type_of(property, depth) {
            return Some(Field::Type(index));
        }
        if let Some(values) = property.get("additionalProperties") {
            return self.type_of(values, depth).map(Field::Values);
        }
        let items = property.get("items")?;
        let merges = text(property, "x-kubernetes-patch-strategy").split(',').any(|one| one == "merge");
        let listed = property.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
        let keys = match (listed, property.get("x-kubernetes-patch-merge-key").and_then(Value::as_str)) {
            (Some(keys), _) => keys.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            (None, Some(key)) => vec![key.to_owned()],
            (None, None) => Vec::new(),
        };
        Some(Field::List { merge_keys: merges.then_some(keys), element: self.type_of(items, depth) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_lists_know_their_keys() {
        let pod = Schema::built_in().of("apps/v1", "Deployment").unwrap();
        let spec = pod.field("spec").and_then(|at| at.field("template")).and_then(|at| at.field("spec")).unwrap();
        let containers = spec.field("containers").unwrap();
        assert_eq!(containers.merge_keys().unwrap(), ["name"]);
        let ports = containers.element().unwrap().field("ports").unwrap();
        assert_eq!(ports.merge_keys().unwrap(), ["containerPort", "protocol"]);
        assert!(spec.field("tolerations").is_none_or(|at| at.merge_keys().is_none()));
        assert!(pod.field("metadata").unwrap().field("finalizers").unwrap().merge_keys().unwrap().is_empty());
    }

    #[test]
    fn an_openapi_document_gives_types() {
        let document = serde_json::json!({"definitions": {"v1.A": {
            "properties": {"self": {"$ref": "#/definitions/v1.A"}, "items": {"items": {"type": "string"},
                "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "id"}},
            "x-kubernetes-group-version-kind": [{"group": "g", "version": "v1", "kind": "A"}]}}});
        let schema = Schema::from_openapi(&document);
        let at = schema.of("g/v1", "A").unwrap().field("self").unwrap().field("items").unwrap();
        assert_eq!(at.merge_keys().unwrap(), ["id"]);
    }
}
