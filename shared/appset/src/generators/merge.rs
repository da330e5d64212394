//! `merge`: the sets of parameters of one generator, with what others say about the same.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use slipway_gotmpl::Map;

use super::{Failure, Generators, Params};
use crate::ErrorKind;
use crate::params::{copy, merge};
use crate::policy::texts;

pub(super) fn params(run: &Generators<'_>, generator: &Value, path: &str) -> Result<Params, Failure> {
    let children = run.children(generator, path)?;
    if children.len() < 2 {
        let found = children.len();
        return Err((format!("{path}.generators"), ErrorKind::Generators { expected: "two or more", found }));
    }
    let mut sets = Some(Vec::new());
    for (path, child) in &children {
        match (run.child(child, path, None)?, &mut sets) {
            (Some(params), Some(sets)) => sets.push((path, params)),
            _ => sets = None,
        }
    }
    let Some(sets) = sets else { return Ok(None) };
    let keys = texts(&generator["mergeKeys"]);
    if keys.is_empty() {
        return Err((format!("{path}.mergeKeys"), ErrorKind::Missing));
    }
    let mut by_key =
        sets.iter().map(|(path, params)| by_key(run, &keys, params).map_err(|kind| ((*path).clone(), kind)));
    let base = by_key.next().transpose()?.unwrap_or_default();
    let mut merged = Vec::new();
    for (key, params) in base {
        merged.push((key, copy(params, run.templates.budget).map_err(|kind| (path.to_owned(), kind))?));
    }
    for others in by_key {
        let others: BTreeMap<String, &Map> = others?.into_iter().collect();
        for (key, params) in &merged {
            let Some(over) = others.get(key) else { continue };
            add(run, params, over).map_err(|kind| (path.to_owned(), kind))?;
        }
    }
    Ok(Some(merged.into_iter().map(|(_, params)| params).collect()))
}

fn add(run: &Generators<'_>, params: &Map, over: &Map) -> Result<(), ErrorKind> {
    let budget = run.templates.budget;
    if run.templates.is_go() {
        return merge(params, over, budget);
    }
    for (key, value) in copy(over, budget)?.entries() {
        params.insert(key, value);
    }
    Ok(())
}

/// The sets of parameters with the values of their merge keys, in order. Fails where two have the same.
fn by_key<'p>(run: &Generators<'_>, keys: &[String], params: &'p [Map]) -> Result<Vec<(String, &'p Map)>, ErrorKind> {
    let budget = run.templates.budget;
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for set in params {
        budget.step(keys.len() as u64).map_err(ErrorKind::Limit)?;
        let mut values = serde_json::Map::new();
        for key in keys {
            let value = set.get(key).map(|value| value.to_json()).transpose();
            let value = value.map_err(|e| ErrorKind::Merge(e.to_string()))?.unwrap_or_default();
            values.insert(key.clone(), value);
        }
        let text = Value::Object(values).to_string();
        budget.scan(text.len()).and_then(|()| budget.bytes(text.len())).map_err(ErrorKind::Limit)?;
        if !seen.insert(text.clone()) {
            return Err(ErrorKind::Merge(format!(
                "the parameters are not unique by the given mergeKeys: {text} comes twice"
            )));
        }
        all.push((text, set));
    }
    Ok(all)
}
