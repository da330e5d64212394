//! Takes JSON as a value of a Go type, as `encoding/json` does after an API server has dropped what its schema lacks.

use serde_json::{Map, Value};
use slipway_budget::Budget;
use slipway_manifest::object::type_name;

use super::Type;
use crate::ErrorKind;

/// Takes JSON as values of Go types, and notes the fields that these do not have.
pub(crate) struct Decoder<'b> {
    budget: &'b Budget,
    path: String,
    /// Paths of fields that the types do not have.
    pub(crate) unknown: Vec<String>,
}

impl<'b> Decoder<'b> {
    /// For a value that stands at `path`.
    pub(crate) fn new(path: &str, budget: &'b Budget) -> Self {
        Self { budget, path: path.to_owned(), unknown: Vec::new() }
    }

    /// `value` in the form in which Go would write it. Fails with the path of a value of another type.
    pub(crate) fn decode(&mut self, of: &Type, value: &Value) -> Result<Value, (String, ErrorKind)> {
        self.budget.step(1).map_err(|over| (self.path.clone(), over.into()))?;
        Ok(match (of, value) {
            (_, Value::Null) => of.zero(),
            (Type::Pointer(inner), value) => self.decode(inner, value)?,
            (Type::Json, value) => {
                self.pay(value)?;
                value.clone()
            }
            (Type::Text | Type::Time | Type::IntOrString, Value::String(text)) => {
                self.budget.bytes(text.len()).map_err(|over| (self.path.clone(), over.into()))?;
                value.clone()
            }
            (Type::Bool, Value::Bool(_)) => value.clone(),
            (Type::Int | Type::IntOrString, Value::Number(number)) => {
                whole(number).ok_or_else(|| self.mismatch(of, value))?
            }
            (Type::List(inner), Value::Array(items)) => {
                let mut decoded = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    decoded.push(self.below(&format!("[{index}]"), |own| own.decode(inner, item))?);
                }
                Value::Array(decoded)
            }
            (Type::Map(inner), Value::Object(entries)) => {
                let mut decoded = Map::new();
                for (key, item) in entries {
                    let item = self.below(&format!(".{key}"), |own| own.decode(inner, item))?;
                    decoded.insert(key.clone(), item);
                }
                Value::Object(decoded)
            }
            (Type::Struct(_), Value::Object(entries)) => {
                let fields = of.fields();
                for key in entries.keys().filter(|key| fields.iter().all(|field| field.name != key.as_str())) {
                    self.unknown.push(format!("{}.{key}", self.path));
                }
                let mut decoded = Map::new();
                for field in fields {
                    let value = match entries.get(field.name) {
                        Some(value) => self.below(&format!(".{}", field.name), |own| own.decode(&field.of, value))?,
                        None => field.of.zero(),
                    };
                    field.put(&mut decoded, value);
                }
                Value::Object(decoded)
            }
            _ => return Err(self.mismatch(of, value)),
        })
    }

    fn below<T>(&mut self, step: &str, work: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        self.path.push_str(step);
        let done = work(self);
        self.path.truncate(length);
        done
    }

    fn pay(&self, value: &Value) -> Result<(), (String, ErrorKind)> {
        let at = |over: slipway_budget::Exceeded| (self.path.clone(), over.into());
        self.budget.step(1).map_err(at)?;
        match value {
            Value::String(text) => self.budget.bytes(text.len()).map_err(at),
            Value::Array(items) => items.iter().try_for_each(|item| self.pay(item)),
            Value::Object(entries) => entries.iter().try_for_each(|(key, item)| {
                self.budget.bytes(key.len() + size_of::<Value>()).map_err(at)?;
                self.pay(item)
            }),
            _ => Ok(()),
        }
    }

    fn mismatch(&self, of: &Type, found: &Value) -> (String, ErrorKind) {
        let expected = match of {
            Type::Text | Type::Time => "a string",
            Type::Bool => "a boolean",
            Type::Int => "an integer",
            Type::IntOrString => "an integer or a string",
            Type::List(_) => "a list",
            Type::Map(_) | Type::Struct(_) | Type::Pointer(_) | Type::Json => "a mapping",
        };
        (self.path.clone(), ErrorKind::Type { expected, found: type_name(found) })
    }
}

/// A number without fraction: YAML's `5.0` reaches Go as 5.
fn whole(number: &serde_json::Number) -> Option<Value> {
    let whole = number.as_i64().or_else(|| {
        let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9e15)?;
        format!("{float:.0}").parse().ok()
    })?;
    Some(Value::from(whole))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of_spec(value: &Value) -> Result<(Value, Vec<String>), String> {
        let budget = Budget::default();
        let mut spec = Decoder::new("spec", &budget);
        match spec.decode(&Type::named("ApplicationSpec"), value) {
            Ok(found) => Ok((found, spec.unknown)),
            Err((field, kind)) => Err(format!("{field}: {kind}")),
        }
    }

    #[test]
    fn a_value_takes_the_form_that_go_writes() {
        let (decoded, unknown) = of_spec(&json!({
            "source": {"path": "", "helm": {"valuesObject": {"a": null}, "parameters": null, "skipCrds": false}},
            "syncPolicy": {"automated": {"prune": false}, "retry": {"limit": 5.0}},
            "destination": null, "Project": "x", "sources": []}))
        .unwrap();
        assert_eq!(
            decoded,
            json!({
                "source": {"repoURL": "", "helm": {"valuesObject": {"a": null}}},
                "destination": {}, "project": "",
                "syncPolicy": {"automated": {"prune": false}, "retry": {"limit": 5}}})
        );
        assert_eq!(unknown, ["spec.Project"]);
    }

    #[test]
    fn a_value_of_another_type_is_told_with_its_field() {
        for (value, told) in [
            (json!({"project": 5}), "spec.project: expected a string, found a number"),
            (json!({"sources": [{}, {"helm": []}]}), "spec.sources[1].helm: expected a mapping, found a list"),
            (json!({"revisionHistoryLimit": 1.5}), "spec.revisionHistoryLimit: expected an integer, found a number"),
        ] {
            assert_eq!(of_spec(&value).unwrap_err(), told);
        }
    }
}
