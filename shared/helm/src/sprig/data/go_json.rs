//! Names JSON values as Go's `encoding/json` does in its errors. Charts can see them.

use serde_json::Value as Json;

/// How Go names a JSON value in its errors.
pub(super) fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "bool",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}
