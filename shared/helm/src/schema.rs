//! `values.schema.json` (helm/helm `pkg/chart/common/util/jsonschema.go`), judged as Helm's library
//! (santhosh-tekuri/jsonschema v6) judges it. Nothing is fetched: a reference to the outside is an error.

mod compile;
mod draft;
mod failure;
mod format;
mod number;
mod object;
#[cfg(test)]
mod tests;
mod unevaluated;
mod validate;
mod values;

use std::fmt::Write as _;

use serde_json::Value as Json;
use slipway_gotmpl::{Map, Value};

use self::compile::Refusal;
use self::failure::Failure;
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

/// Where Helm has the schema; references are relative to it.
const URL: &str = "file:///values.schema.json";

fn check_one(schema: &[u8], values: &Map) -> Result<(), Vec<String>> {
    let invalid = |problem: String| vec![format!("values.schema.json: {problem}")];
    if schema.len() > MAX_SCHEMA {
        return Err(invalid(format!("larger than {MAX_SCHEMA} bytes")));
    }
    let schema: Json = serde_json::from_slice(schema).map_err(|e| invalid(e.to_string()))?;
    let compiled = compile::Compiler::default().compile_document(URL, schema).map_err(|refusal| match refusal {
        Refusal::External(url) => invalid(format!(
            "`{url}` is outside of the schema, and nothing is fetched while rendering: write into the schema what it \
             names, or set `helm.skipSchemaValidation: true` (on the command line `--skip-schema-validation`)"
        )),
        Refusal::Invalid(failures) => {
            failures.iter().map(|failure| format!("values.schema.json: {}", told(failure))).collect()
        }
        Refusal::Other(problem) => invalid(problem),
    })?;
    let values = Value::Map(values.clone()).to_json().map_err(|e| vec![e.to_string()])?;
    match validate::validate(&compiled, &values) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(failures)) => Err(failures.iter().take(MAX_MISTAKES).map(told).collect()),
        Err(problem) => Err(invalid(problem)),
    }
}

fn told(failure: &Failure) -> String {
    let mut text = String::new();
    failure.write(&mut text, 0);
    text.trim_end().trim_start_matches("- ").to_owned()
}
