//! Prepares what is sent of a manifest: without what only the API server writes, Secrets as they are stored. Pure.

use serde_json::{Map, Value};
use slipway_manifest::Object;

use crate::managed_fields;
use crate::redact;

/// The fields that a Secret has. What the API server refuses of one is never told, so unknown ones are found here.
const SECRET_FIELDS: [&str; 7] = ["apiVersion", "kind", "metadata", "type", "immutable", "data", "stringData"];

/// What is sent of `desired`.
///
/// `stringData` becomes `data`, for its keys would stay in the Secret when they leave Git: an owner of
/// `stringData.a` owns nothing of `data.a` (kubernetes/kubernetes#89938, fluxcd/kustomize-controller#576). A
/// `stringData` that the API server would refuse stays, so that it is refused in its words.
pub fn of(desired: &Object) -> Object {
    let mut body = desired.clone();
    managed_fields::strip(&mut body);
    if redact::is_secret(body.group(), body.kind()) && is_readable(body.get("stringData"), body.get("data")) {
        redact::normalize_secret(&mut body);
    }
    body
}

fn is_readable(plain: Option<&Value>, data: Option<&Value>) -> bool {
    let is_text = |value: &Value| value.is_string() || value.is_null();
    let is_texts = |fields: &Map<String, Value>| fields.values().all(is_text);
    let empty = Map::new();
    let fields = |value: Option<&Value>| match value {
        None | Some(Value::Null) => true,
        Some(value) => is_texts(value.as_object().unwrap_or(&empty)) && value.is_object(),
    };
    plain.is_some() && fields(plain) && fields(data)
}

/// Takes the fields out of a Secret that it does not have; gives their names.
pub fn drop_unknown(body: &mut Object) -> Vec<String> {
    if !redact::is_secret(body.group(), body.kind()) {
        return Vec::new();
    }
    let keys = body.as_map_mut().keys();
    let unknown: Vec<String> = keys.filter(|key| !SECRET_FIELDS.contains(&key.as_str())).cloned().collect();
    for key in &unknown {
        body.as_map_mut().shift_remove(key);
    }
    unknown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(fields: &Value) -> Value {
        let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
        secret.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        of(&Object::from_value(secret).unwrap()).into_value()
    }

    #[test]
    fn plain_values_are_encoded_and_win() {
        let both = body(&json!({"data": {"a": "eA==", "b": "eQ=="}, "stringData": {"a": "A", "c": null}}));
        assert_eq!(both.get("data"), Some(&json!({"a": "QQ==", "b": "eQ==", "c": ""})));
        assert_eq!(both.get("stringData"), None);
        assert_eq!(body(&json!({"stringData": null})).get("stringData"), None);
    }

    #[test]
    fn what_the_server_would_refuse_is_left_to_it() {
        for wrong in [json!("text"), json!({"a": 1}), json!({"a": {"b": "c"}}), json!(["a"])] {
            assert_eq!(body(&json!({"stringData": wrong})).get("stringData"), Some(&wrong));
        }
        let wrong = body(&json!({"stringData": {"a": "b"}, "data": ["x"]}));
        assert!(wrong.get("stringData").is_some());
    }
}
