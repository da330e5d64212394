//! `values.schema.json` (helm/helm `pkg/chart/common/util/jsonschema.go`). Nothing is fetched: a reference to anything
//! outside of the schema is an error.

use std::fmt::Write as _;

use serde_json::Value as Json;
use slipway_gotmpl::{Map, Value};

use crate::chart::Chart;
use crate::error::HelmError;

/// Bytes of a schema.
const MAX_SCHEMA: usize = 2 << 20;
/// Mistakes listed for one chart.
const MAX_MISTAKES: usize = 50;

/// Checks the values of `chart` and of all charts below it against their schemas.
pub(crate) fn validate(chart: &Chart, values: &Map) -> Result<(), HelmError> {
    let mut report = String::new();
    check(chart, values, &mut report);
    if report.is_empty() { Ok(()) } else { Err(HelmError::Schema { report }) }
}

fn check(chart: &Chart, values: &Map, report: &mut String) {
    if let Some(schema) = &chart.content.schema
        && let Err(mistakes) = check_one(schema, values)
    {
        let _ = writeln!(report, "{}:", chart.name());
        for mistake in mistakes {
            let _ = writeln!(report, "- {mistake}");
        }
    }
    for child in &chart.dependencies {
        match values.get(child.name()) {
            Some(Value::Map(below)) => check(child, &below, report),
            None | Some(Value::Nil) => {}
            Some(other) => {
                let _ = writeln!(
                    report,
                    "{}:\ninvalid type for values: expected object (map), got {}",
                    child.name(),
                    other.type_name()
                );
            }
        }
    }
}

/// Refuses every reference to the outside.
struct Closed;

impl jsonschema::Retrieve for Closed {
    fn retrieve(&self, uri: &jsonschema::Uri<String>) -> Result<Json, Box<dyn std::error::Error + Send + Sync>> {
        Err(format!("`{uri}` is outside of the schema, and nothing is fetched while rendering").into())
    }
}

fn check_one(schema: &[u8], values: &Map) -> Result<(), Vec<String>> {
    if schema.len() > MAX_SCHEMA {
        return Err(vec![format!("values.schema.json is larger than {MAX_SCHEMA} bytes")]);
    }
    let schema: Json = serde_json::from_slice(schema).map_err(|e| vec![format!("values.schema.json: {e}")])?;
    let validator = jsonschema::options()
        .with_retriever(Closed)
        .should_validate_formats(true)
        .build(&schema)
        .map_err(|e| vec![format!("values.schema.json: {}", told(&e))])?;
    let values = Value::Map(values.clone()).to_json().map_err(|e| vec![e.to_string()])?;
    let mistakes: Vec<String> =
        validator.iter_errors(&values).take(MAX_MISTAKES).map(|mistake| told(&mistake)).collect();
    if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
}

/// Where what is wrong; not the value, which may be a password.
fn told(mistake: &jsonschema::ValidationError<'_>) -> String {
    format!("at '{}': {}", mistake.instance_path(), mistake.masked())
}
