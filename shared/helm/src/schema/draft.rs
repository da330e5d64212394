//! Tells the drafts of JSON Schema apart: where in a schema they have others, and their metaschemas.

use serde_json::Value as Json;

/// A draft of JSON Schema.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Draft {
    D4,
    D6,
    D7,
    D2019,
    #[default]
    D2020,
}

use Draft::{D4, D6, D7, D2019, D2020};

/// Where a keyword has schemas.
enum Below {
    /// It is one.
    Itself,
    /// In each item of a list.
    Items,
    /// In each value of a mapping.
    Values,
}

const PLACES: [(&str, Below, Draft); 23] = [
    ("definitions", Below::Values, D4),
    ("not", Below::Itself, D4),
    ("allOf", Below::Items, D4),
    ("anyOf", Below::Items, D4),
    ("oneOf", Below::Items, D4),
    ("properties", Below::Values, D4),
    ("additionalProperties", Below::Itself, D4),
    ("patternProperties", Below::Values, D4),
    ("items", Below::Itself, D4),
    ("items", Below::Items, D4),
    ("additionalItems", Below::Itself, D4),
    ("dependencies", Below::Values, D4),
    ("propertyNames", Below::Itself, D6),
    ("contains", Below::Itself, D6),
    ("if", Below::Itself, D7),
    ("then", Below::Itself, D7),
    ("else", Below::Itself, D7),
    ("$defs", Below::Values, D2019),
    ("dependentSchemas", Below::Values, D2019),
    ("unevaluatedProperties", Below::Itself, D2019),
    ("unevaluatedItems", Below::Itself, D2019),
    ("contentSchema", Below::Itself, D2019),
    ("prefixItems", Below::Items, D2020),
];

/// `http://json-schema.org/` and what follows it, with its text.
macro_rules! meta {
    ($($path:literal => $file:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("meta/", $file, ".json")))),*]
    };
}

const METASCHEMAS: &[(&str, &str)] = meta! {
    "draft-04/schema" => "04",
    "draft-06/schema" => "06",
    "draft-07/schema" => "07",
    "draft/2019-09/schema" => "2019-09",
    "draft/2019-09/meta/applicator" => "2019-09-applicator",
    "draft/2019-09/meta/content" => "2019-09-content",
    "draft/2019-09/meta/core" => "2019-09-core",
    "draft/2019-09/meta/format" => "2019-09-format",
    "draft/2019-09/meta/meta-data" => "2019-09-meta-data",
    "draft/2019-09/meta/validation" => "2019-09-validation",
    "draft/2020-12/schema" => "2020-12",
    "draft/2020-12/meta/applicator" => "2020-12-applicator",
    "draft/2020-12/meta/content" => "2020-12-content",
    "draft/2020-12/meta/core" => "2020-12-core",
    "draft/2020-12/meta/format-annotation" => "2020-12-format-annotation",
    "draft/2020-12/meta/format-assertion" => "2020-12-format-assertion",
    "draft/2020-12/meta/meta-data" => "2020-12-meta-data",
    "draft/2020-12/meta/unevaluated" => "2020-12-unevaluated",
    "draft/2020-12/meta/validation" => "2020-12-validation",
};

/// What follows the address of json-schema.org.
fn official(url: &str) -> Option<&str> {
    ["http://json-schema.org/", "https://json-schema.org/"].iter().find_map(|site| url.strip_prefix(site))
}

/// Whether `url` is one of json-schema.org, whose schemas are taken as they are.
pub(super) fn is_official(url: &str) -> bool {
    official(url).is_some()
}

/// The metaschema at `url`.
pub(super) fn metaschema(url: &str) -> Option<&'static str> {
    let path = match official(url)? {
        "schema" => "draft/2020-12/schema",
        path => path,
    };
    METASCHEMAS.iter().find(|(known, _)| *known == path).map(|(_, text)| *text)
}

impl Draft {
    /// The draft that a `$schema` names.
    pub(super) fn named(url: &str) -> Option<Self> {
        Some(match official(url.strip_suffix('#').unwrap_or(url))? {
            "schema" | "draft/2020-12/schema" => D2020,
            "draft/2019-09/schema" => D2019,
            "draft-07/schema" => D7,
            "draft-06/schema" => D6,
            "draft-04/schema" => D4,
            _ => return None,
        })
    }

    /// Where its metaschema is.
    pub(super) fn url(self) -> &'static str {
        match self {
            D4 => "http://json-schema.org/draft-04/schema",
            D6 => "http://json-schema.org/draft-06/schema",
            D7 => "http://json-schema.org/draft-07/schema",
            D2019 => "https://json-schema.org/draft/2019-09/schema",
            D2020 => "https://json-schema.org/draft/2020-12/schema",
        }
    }

    /// The keyword that names a schema.
    pub(super) fn id_keyword(self) -> &'static str {
        if self == D4 { "id" } else { "$id" }
    }

    /// The name of a schema, without its fragment; empty where it has none.
    pub(super) fn id_of(self, schema: &serde_json::Map<String, Json>) -> &str {
        if self < D2019 && schema.contains_key("$ref") {
            return "";
        }
        let id = schema.get(self.id_keyword()).and_then(Json::as_str).unwrap_or_default();
        id.split_once('#').map_or(id, |(id, _)| id)
    }

    /// The schemas directly below `schema`, with their pointers from it.
    pub(super) fn below(self, schema: &serde_json::Map<String, Json>) -> Vec<(String, &Json)> {
        let mut found = Vec::new();
        for (keyword, below, _) in PLACES.iter().filter(|(.., since)| *since <= self) {
            let Some(value) = schema.get(*keyword) else { continue };
            match (below, value) {
                (Below::Itself, value) => found.push((format!("/{keyword}"), value)),
                (Below::Items, Json::Array(items)) => {
                    found.extend(items.iter().enumerate().map(|(at, item)| (format!("/{keyword}/{at}"), item)));
                }
                (Below::Values, Json::Object(map)) => {
                    found.extend(map.iter().map(|(key, value)| (format!("/{keyword}/{}", escape(key)), value)));
                }
                _ => {}
            }
        }
        found
    }
}

/// A key as a part of a JSON pointer.
pub(super) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
