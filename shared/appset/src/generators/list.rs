//! `list`: parameters as they are written.

use serde_json::Value;
use slipway_gotmpl::Map;
use slipway_manifest::object::type_name;
use slipway_manifest::yaml;

use super::{Failure, Generators, no_params};
use crate::ErrorKind;
use crate::params::from_json;
use crate::policy::{items, text};

pub(super) fn params(run: &Generators<'_>, list: &Value, path: &str) -> Result<Vec<Map>, Failure> {
    let mut params = Vec::new();
    for (index, element) in items(&list["elements"]).enumerate() {
        let path = format!("{path}.elements[{index}]");
        // Go reads `null` as nothing at all, which is no JSON.
        let element = element.as_object().ok_or_else(|| mismatch(&path, "a mapping", element))?;
        params.push(if run.templates.is_go() {
            mapping(run, &Value::Object(element.clone()), &path)?
        } else {
            texts(run, element, &path)?
        });
    }
    let written = text(&list["elementsYaml"]);
    if !written.is_empty() {
        let path = format!("{path}.elementsYaml");
        let parsed = yaml::parse_with(written, yaml::Options::lenient(), run.budget());
        let parsed =
            parsed.map_err(|source| (path.clone(), ErrorKind::Yaml { what: "the text".to_owned(), source }))?;
        if !(parsed.is_array() || parsed.is_null()) {
            return Err(mismatch(&path, "a list", &parsed));
        }
        for (index, element) in items(&parsed).enumerate() {
            params.push(mapping(run, element, &format!("{path}[{index}]"))?);
        }
    }
    Ok(params)
}

/// Without Go's templates parameters are texts, and nested `values` the one exception.
fn texts(run: &Generators<'_>, element: &serde_json::Map<String, Value>, path: &str) -> Result<Map, Failure> {
    let params = no_params();
    for (key, value) in element {
        let path = format!("{path}.{key}");
        if key == "values" {
            let values = value.as_object().ok_or_else(|| mismatch(&path, "a mapping", value))?;
            for (key, value) in values {
                let path = format!("{path}.{key}");
                params.insert(format!("values.{key}"), one_text(run, value, &path)?);
            }
        } else {
            params.insert(key.as_str(), one_text(run, value, &path)?);
        }
    }
    Ok(params)
}

fn one_text(run: &Generators<'_>, value: &Value, path: &str) -> Result<slipway_gotmpl::Value, Failure> {
    if !value.is_string() {
        return Err(mismatch(path, "a string (anything else needs `goTemplate: true`)", value));
    }
    from_json(value, run.templates.budget).map_err(|kind| (path.to_owned(), kind))
}

/// The parameters of an element; `null` has none.
fn mapping(run: &Generators<'_>, element: &Value, path: &str) -> Result<Map, Failure> {
    if element.is_null() {
        return Ok(no_params());
    }
    let params = from_json(element, run.templates.budget).map_err(|kind| (path.to_owned(), kind))?;
    params.as_map().cloned().ok_or_else(|| mismatch(path, "a mapping", element))
}

fn mismatch(path: &str, expected: &'static str, found: &Value) -> Failure {
    (path.to_owned(), ErrorKind::Type { expected, found: type_name(found) })
}
