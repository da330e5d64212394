//! Puts every text of a value through a template, those in its mappings' keys too (argoproj/argo-cd
//! `applicationset/utils/utils.go`, `deeplyReplace`).

use serde_json::{Map, Number, Value};
use slipway_budget::Budget;

use super::Type;
use crate::ErrorKind;

/// What becomes of a text.
pub(crate) trait Replace {
    /// The text that stands for `text`.
    fn text(&self, text: &str) -> Result<String, ErrorKind>;

    /// The text that stands for `text`, which is one of a generator's `values`; `None` where these are texts like
    /// others.
    fn one_of_values(&self, text: &str) -> Option<Result<String, ErrorKind>>;

    /// The budget of the render.
    fn budget(&self) -> &Budget;
}

/// `value` with every text replaced. Fails with the path of the text.
pub(crate) fn render(of: &Type, value: &Value, replace: &impl Replace) -> Result<Value, (String, ErrorKind)> {
    let here = |kind: ErrorKind| (String::new(), kind);
    replace.budget().step(1).map_err(|over| here(over.into()))?;
    Ok(match (of, value) {
        (_, Value::Null) => Value::Null,
        (Type::Pointer(inner), value) => render(inner, value, replace)?,
        (Type::Text | Type::IntOrString, Value::String(text)) => Value::from(replace.text(text).map_err(here)?),
        (Type::Json, value) => any(value, replace)?,
        (Type::List(inner), Value::Array(items)) => {
            let item = |(index, item)| render(inner, item, replace).map_err(|e| below(&format!("[{index}]"), e));
            Value::Array(items.iter().enumerate().map(item).collect::<Result<_, _>>()?)
        }
        (Type::Map(inner), Value::Object(entries)) => {
            let mut rendered = Map::new();
            for (key, item) in entries {
                let step = |e| below(&format!(".{key}"), e);
                let item = render(inner, item, replace).map_err(step)?;
                rendered.insert(replace.text(key).map_err(here).map_err(step)?, item);
            }
            Value::Object(rendered)
        }
        (Type::Struct(_), Value::Object(entries)) => {
            let mut rendered = Map::new();
            for field in of.fields() {
                let Some(value) = entries.get(field.name) else { continue };
                let step = |e| below(&format!(".{}", field.name), e);
                let value = match (field.name, &field.of, value) {
                    ("values", Type::Map(_), Value::Object(values)) => own_values(values, replace).map_err(step)?,
                    _ => render(&field.of, value, replace).map_err(step)?,
                };
                field.put(&mut rendered, value);
            }
            Value::Object(rendered)
        }
        (_, value) => value.clone(),
    })
}

/// The `values` of a generator: their keys stay.
fn own_values(values: &Map<String, Value>, replace: &impl Replace) -> Result<Value, (String, ErrorKind)> {
    let one = |(key, value): (&String, &Value)| {
        let text = value.as_str().unwrap_or_default();
        let replaced = replace.one_of_values(text).unwrap_or_else(|| replace.text(text));
        Ok((key.clone(), Value::from(replaced.map_err(|kind| (format!(".{key}"), kind))?)))
    };
    values.iter().map(one).collect::<Result<_, _>>().map(Value::Object)
}

/// Any JSON, as Go has it between decoding and encoding: numbers are floats, and keys without a value are left out.
fn any(value: &Value, replace: &impl Replace) -> Result<Value, (String, ErrorKind)> {
    let here = |kind: ErrorKind| (String::new(), kind);
    replace.budget().step(1).map_err(|over| here(over.into()))?;
    Ok(match value {
        Value::String(text) => Value::from(replace.text(text).map_err(here)?),
        Value::Number(number) => Value::Number(float(number)),
        Value::Array(items) => {
            let item = |(index, item)| any(item, replace).map_err(|e| below(&format!("[{index}]"), e));
            Value::Array(items.iter().enumerate().map(item).collect::<Result<_, _>>()?)
        }
        Value::Object(entries) => {
            let mut rendered = Map::new();
            for (key, item) in entries.iter().filter(|(_, item)| !item.is_null()) {
                let step = |e| below(&format!(".{key}"), e);
                let item = any(item, replace).map_err(step)?;
                rendered.insert(replace.text(key).map_err(here).map_err(step)?, item);
            }
            Value::Object(rendered)
        }
        Value::Null | Value::Bool(_) => value.clone(),
    })
}

fn float(number: &Number) -> Number {
    /// Up to here a float is exactly the integer.
    const EXACT: u64 = 1 << 53;
    match number.as_i64() {
        Some(whole) if whole.unsigned_abs() <= EXACT => number.clone(),
        _ => number.as_f64().and_then(Number::from_f64).unwrap_or_else(|| number.clone()),
    }
}

fn below(step: &str, (path, kind): (String, ErrorKind)) -> (String, ErrorKind) {
    (format!("{step}{path}"), kind)
}
