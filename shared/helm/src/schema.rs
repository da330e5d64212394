//! `values.schema.json` (helm/helm `pkg/chart/common/util/jsonschema.go`), judged as Helm's library
//! (santhosh-tekuri/jsonschema v6) judges it. Nothing is fetched: a reference to the outside is an error.

mod compile;
mod draft;
mod failure;
mod format;
mod known;
mod number;
mod object;
#[cfg(test)]
mod tests;
mod unevaluated;
mod validate;
mod values;

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::Value as Json;
use slipway_budget::{Budget, Exceeded};
use slipway_gotmpl::{Map, Value};
use slipway_manifest::json;

use self::compile::{Compiled, Refusal};
use self::failure::Failure;
use self::validate::Stop;
use crate::chart::Chart;
use crate::error::HelmError;

/// Bytes of a schema.
const MAX_SCHEMA: usize = 2 << 20;
/// Mistakes listed for one chart.
const MAX_MISTAKES: usize = 50;

/// Checks the values of `chart` and of all charts below it against their schemas.
pub(crate) fn validate(chart: &Chart, values: &Map, budget: &Budget) -> Result<(), HelmError> {
    let mut report = String::new();
    check(chart, values, budget, &mut report)?;
    if report.is_empty() { Ok(()) } else { Err(HelmError::Schema { report }) }
}

fn check(chart: &Chart, values: &Map, budget: &Budget, report: &mut String) -> Result<(), HelmError> {
    let over = |source| HelmError::over(&format!("values.schema.json of {}", chart.name()))(source);
    if let Some(schema) = &chart.content.schema
        && let Err(mistakes) = check_one(schema, values, budget).map_err(over)?
    {
        let _ = writeln!(report, "{}:", chart.name());
        for mistake in mistakes {
            let _ = writeln!(report, "- {mistake}");
        }
    }
    for child in &chart.dependencies {
        match values.get(child.name()) {
            Some(Value::Map(below)) => check(child, &below, budget, report)?,
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
    Ok(())
}

/// Where Helm has the schema; references are relative to it.
const URL: &str = "file:///values.schema.json";

/// What is wrong, if something is. Fails when the budget is used up.
fn check_one(schema: &[u8], values: &Map, budget: &Budget) -> Result<Result<(), Vec<String>>, Exceeded> {
    let invalid = |problem: String| Ok(Err(vec![format!("values.schema.json: {problem}")]));
    if schema.len() > MAX_SCHEMA {
        return invalid(format!("larger than {MAX_SCHEMA} bytes"));
    }
    let compiled = match known::get(schema, budget)? {
        Some(compiled) => compiled,
        None => match compile(schema, budget)? {
            Ok(compiled) => compiled,
            Err(mistakes) => return Ok(Err(mistakes)),
        },
    };
    let values = match Value::Map(values.clone()).to_json() {
        Ok(values) => values,
        Err(e) => return Ok(Err(vec![e.to_string()])),
    };
    match validate::validate(&compiled, &values, budget) {
        Ok(Ok(())) => Ok(Ok(())),
        Ok(Err(failures)) => Ok(Err(failures.iter().take(MAX_MISTAKES).map(told).collect())),
        Err(Stop::TooDeep) => invalid("leads from schema to schema too deeply".to_owned()),
        Err(Stop::Budget(exceeded)) => Err(exceeded),
    }
}

/// Compiles a schema, or tells why it can't be.
fn compile(text: &[u8], budget: &Budget) -> Result<Result<Arc<Compiled>, Vec<String>>, Exceeded> {
    let invalid = |problem: String| Ok(Err(vec![format!("values.schema.json: {problem}")]));
    let before = budget.used();
    json::pay(text, budget)?;
    let schema: Json = match serde_json::from_slice(text) {
        Ok(schema) => schema,
        Err(e) => return invalid(e.to_string()),
    };
    match compile::Compiler::new(budget).compile_document(URL, schema) {
        Ok(compiled) => {
            let compiled = Arc::new(compiled);
            known::keep(text, &compiled, budget, before);
            Ok(Ok(compiled))
        }
        Err(Refusal::External(url)) => invalid(format!(
            "`{url}` is outside of the schema, and nothing is fetched while rendering: write into the schema what it \
             names, or set `helm.skipSchemaValidation: true` (on the command line `--skip-schema-validation`)"
        )),
        Err(Refusal::Invalid(failures)) => {
            Ok(Err(failures.iter().map(|one| format!("values.schema.json: {}", told(one))).collect()))
        }
        Err(Refusal::Other(problem)) => invalid(problem),
        Err(Refusal::Budget(exceeded)) => Err(exceeded),
    }
}

fn told(failure: &Failure) -> String {
    let mut text = String::new();
    failure.write(&mut text, 0);
    text.trim_end().trim_start_matches("- ").to_owned()
}
