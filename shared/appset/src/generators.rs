//! From generators to sets of parameters (argoproj/argo-cd `applicationset/generators`).

mod clusters;
mod git;
mod list;
mod matrix;
mod merge;
mod pull_request;
mod scm_provider;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use slipway_budget::Budget;
use slipway_gotmpl::{Map, MapType, Str};

use crate::given::{Given, Need};
use crate::params::{self, flatten};
use crate::selector::Selector;
use crate::template::{Templates, is_missing_key};
use crate::types::{Decoder, Replace, Type, render};
use crate::{ErrorKind, MAX_PARAMETERS};

/// The path of a field in the set, and what is wrong with it.
pub(crate) type Failure = (String, ErrorKind);

/// Sets of parameters; `None` where they can't be told before what is needed is there.
pub(crate) type Params = Option<Vec<Map>>;

/// The kinds of generators, in the order in which Argo CD asks those of one entry.
pub(crate) const KINDS: [&str; 9] =
    ["list", "clusters", "git", "scmProvider", "clusterDecisionResource", "pullRequest", "matrix", "merge", "plugin"];

/// The generators of one set at work.
pub(crate) struct Generators<'r> {
    pub(crate) given: &'r Given,
    pub(crate) templates: &'r Templates<'r>,
    /// The project of the set's template.
    pub(crate) project: &'r str,
    /// What was asked for.
    pub(crate) asked: RefCell<BTreeSet<Need>>,
    /// What of it is not there.
    pub(crate) needs: RefCell<BTreeSet<Need>>,
}

impl Generators<'_> {
    /// The sets of parameters of each generator in one entry, by the generators' names. `outer`: parameters that are
    /// put into the generators' own texts first. Fails at the first generator that does.
    pub(crate) fn entry(
        &self,
        entry: &Value,
        path: &str,
        outer: Option<&Map>,
    ) -> Result<Vec<(&'static str, Params)>, Failure> {
        let selector = match &entry["selector"] {
            Value::Null => None,
            selector => Some(
                Selector::of_params(selector)
                    .map_err(|message| (format!("{path}.selector"), ErrorKind::Selector(message)))?,
            ),
        };
        let interpolated;
        let entry = match outer {
            Some(outer) if !outer.is_empty() => {
                let replace = Interpolation { templates: self.templates, params: outer };
                interpolated = render(&Type::named("ApplicationSetGenerator"), entry, &replace)
                    .map_err(|(below, kind)| (format!("{path}{below}"), kind))?;
                &interpolated
            }
            _ => entry,
        };
        let mut all = Vec::new();
        for kind in KINDS {
            let generator = &entry[kind];
            if generator.is_null() {
                continue;
            }
            let path = format!("{path}.{kind}");
            let mut params = self.generator(kind, generator, &path)?;
            if let (Some(selector), Some(params)) = (&selector, &mut params) {
                self.select(selector, params).map_err(|kind| (path, kind))?;
            }
            all.push((kind, params));
        }
        Ok(all)
    }

    fn generator(&self, kind: &str, generator: &Value, path: &str) -> Result<Params, Failure> {
        let unsupported = |advice| Err((path.to_owned(), ErrorKind::Unsupported { advice }));
        let params = match kind {
            "list" => list::params(self, generator, path).map(Some),
            "clusters" => clusters::params(self, generator, path).map(Some),
            "git" => git::params(self, generator, path),
            "matrix" => matrix::params(self, generator, path),
            "merge" => merge::params(self, generator, path),
            "pullRequest" => pull_request::params(self, generator, path),
            "scmProvider" => scm_provider::params(self, generator, path),
            "clusterDecisionResource" => unsupported(
                "it reads resources of the cluster that Argo CD runs in; select clusters by the labels of their \
                 Secrets with the `clusters` generator",
            ),
            _ => unsupported(
                "it asks a service in the cluster; let the service commit its answer as a file, and read that with \
                 the `git` generator",
            ),
        }?;
        match &params {
            Some(params) if params.len() > MAX_PARAMETERS => {
                Err((path.to_owned(), ErrorKind::TooMany(MAX_PARAMETERS, "sets of parameters")))
            }
            _ => Ok(params),
        }
    }

    /// The sets of parameters of a generator inside of another. Fails where that has none, or several.
    fn child(&self, child: &Value, path: &str, outer: Option<&Map>) -> Result<Params, Failure> {
        let mut all = self.entry(child, path, outer)?;
        match (all.pop(), all.is_empty()) {
            (Some((_, params)), true) => Ok(params),
            (last, _) => {
                let found = all.len() + usize::from(last.is_some());
                Err((path.to_owned(), ErrorKind::Generators { expected: "one of the", found }))
            }
        }
    }

    /// The generators inside of a matrix or a merge; those inside of these are typed here.
    fn children(&self, generator: &Value, path: &str) -> Result<Vec<(String, Value)>, Failure> {
        let children = generator["generators"].as_array().into_iter().flatten().enumerate();
        children.map(|(index, child)| self.typed(child, format!("{path}.generators[{index}]"))).collect()
    }

    fn typed(&self, child: &Value, path: String) -> Result<(String, Value), Failure> {
        let mut child = child.clone();
        for (kind, of) in [("matrix", "NestedMatrixGenerator"), ("merge", "NestedMergeGenerator")] {
            if let Some(nested) = child.get_mut(kind) {
                let mut decoder = Decoder::new(&format!("{path}.{kind}"), self.budget());
                *nested = decoder.decode(&Type::named(of), nested)?;
            }
        }
        Ok((path, child))
    }

    fn select(&self, selector: &Selector, params: &mut Vec<Map>) -> Result<(), ErrorKind> {
        let mut kept = Vec::new();
        for set in params.drain(..) {
            let flat: BTreeMap<String, Str> = flatten(&set, self.templates.budget)?;
            let texts: BTreeMap<&str, String> =
                flat.iter().map(|(name, text)| (name.as_str(), text.to_text().into_owned())).collect();
            if selector.matches(|name| texts.get(name).map(String::as_str)) {
                kept.push(set);
            }
        }
        *params = kept;
        Ok(())
    }

    /// Adds a generator's `values` to its parameters: the parameters are put into them, but not they into each other.
    fn add_values(&self, generator: &Value, params: &Map, path: &str) -> Result<(), Failure> {
        let Some(values) = generator["values"].as_object().filter(|values| !values.is_empty()) else { return Ok(()) };
        let mut replaced = BTreeMap::new();
        for (key, value) in values {
            let text = value.as_str().unwrap_or_default();
            let text = self.templates.replace(text, params, false);
            replaced.insert(key, text.map_err(|kind| (format!("{path}.values.{key}"), kind))?);
        }
        if self.templates.is_go() {
            params.insert("values", params::texts(replaced.iter().map(|(key, text)| (*key, text))));
        } else {
            for (key, text) in replaced {
                params.insert(format!("values.{key}"), text.into());
            }
        }
        Ok(())
    }

    /// What was given for `key`; it is noted, and where nothing was given, that too.
    fn given<'g, K: Ord, V>(&self, given: &'g BTreeMap<K, V>, key: K, need: fn(K) -> Need) -> Option<&'g V> {
        let found = given.get(&key);
        let need = need(key);
        if found.is_none() {
            self.needs.borrow_mut().insert(need.clone());
        }
        self.asked.borrow_mut().insert(need);
        found
    }

    fn budget(&self) -> &Budget {
        self.templates.budget.shared()
    }
}

/// An empty set of parameters.
fn no_params() -> Map {
    Map::typed(MapType::ANY, BTreeMap::new())
}

/// Puts the parameters of one generator into the texts of another.
struct Interpolation<'i> {
    templates: &'i Templates<'i>,
    params: &'i Map,
}

impl Replace for Interpolation<'_> {
    fn text(&self, text: &str) -> Result<String, ErrorKind> {
        self.templates.replace(text, self.params, false)
    }

    /// What names parameters of the generator itself stays for it to replace.
    fn one_of_values(&self, text: &str) -> Option<Result<String, ErrorKind>> {
        Some(match self.templates.replace(text, self.params, true) {
            Err(error) if is_missing_key(&error) => Ok(text.to_owned()),
            other => other,
        })
    }

    fn budget(&self) -> &Budget {
        self.templates.budget.shared()
    }
}
