//! What holds for a whole build: the OpenAPI schema in use and which kinds have no namespace.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use serde_json::Value;
use slipway_budget::{Budget, Exceeded};
use slipway_gocompat::regexp::{self, Regex, RegexpError};

use crate::cost;
use crate::error::Error;
use crate::schema::{At, Schema};

const SCOPES: &str = include_str!("tables/scopes.txt");

/// Kinds of Kubernetes that have no namespace, by kind.
fn cluster_scoped() -> &'static HashMap<&'static str, Vec<&'static str>> {
    static TABLE: OnceLock<HashMap<&str, Vec<&str>>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table: HashMap<&str, Vec<&str>> = HashMap::new();
        for (api, kind) in SCOPES.lines().filter_map(|line| line.split_once(':')) {
            table.entry(kind).or_default().push(api);
        }
        table
    })
}

/// Whether Kubernetes itself has the kind, without a namespace.
pub fn is_cluster_scoped(api_version: &str, kind: &str) -> bool {
    cluster_scoped().get(kind).is_some_and(|apis| apis.contains(&api_version))
}

/// A regular expression, and the steps of looking through 64 bytes of a text.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    regex: Regex,
    steps: usize,
}

impl Pattern {
    /// Whether it matches somewhere in `text`.
    pub(crate) fn is_match(&self, text: &str, budget: &Budget) -> Result<bool, Exceeded> {
        budget.step((1 + text.len() / 64 * self.steps) as u64)?;
        Ok(self.regex.is_match(text))
    }
}

#[derive(Debug, Default)]
pub(crate) struct Context {
    /// What the render may use.
    pub(crate) budget: Budget,
    patterns: RefCell<HashMap<String, Pattern>>,
    custom: Option<Schema>,
    custom_cluster_scoped: HashSet<(String, String)>,
    /// `openapi` was given once: later ones (of bases) are ignored.
    is_set: bool,
    /// A custom schema replaces the built-in one, except where resources had been read before it.
    built_in_too: bool,
}

impl Context {
    pub(crate) fn new(budget: Budget) -> Self {
        Self { budget, ..Self::default() }
    }

    /// Compiles `pattern`, each once.
    pub(crate) fn pattern(&self, pattern: &str) -> Result<Result<Pattern, RegexpError>, Exceeded> {
        if let Some(known) = self.patterns.borrow().get(pattern) {
            return Ok(Ok(known.clone()));
        }
        let size = regexp::compiled_size(pattern);
        self.budget.step((pattern.len().saturating_mul(8) + size / 4) as u64)?;
        self.budget.bytes(2 * size)?;
        let compiled = regexp::compile(pattern).map(|regex| Pattern { regex, steps: 4 + pattern.len() / 4 });
        if let Ok(compiled) = &compiled {
            self.patterns.borrow_mut().insert(pattern.to_owned(), compiled.clone());
        }
        Ok(compiled)
    }

    /// Takes the field `openapi` of a kustomization and the file that it names, if it does (kyaml `openapi.SetSchema`).
    pub(crate) fn set_openapi(
        &mut self,
        version: Option<&str>,
        file: Option<&Value>,
        is_root: bool,
    ) -> Result<(), Error> {
        if self.is_set && !is_root {
            return Ok(());
        }
        match (version, file) {
            (Some(_), Some(_)) => Err(Error::refused("builtin version and custom schema provided, cannot use both")),
            (None, Some(document)) => {
                cost::of_value_copy(&self.budget, document)?;
                self.custom_cluster_scoped = crate::schema::cluster_scoped(document);
                self.custom = Some(Schema::from_openapi(document));
                self.built_in_too = !is_root;
                self.is_set = true;
                Ok(())
            }
            (Some("v1.21.2"), None) => {
                self.is_set = true;
                Ok(())
            }
            (Some("") | None, None) => Ok(()),
            (Some(version), None) => {
                Err(Error::refused(format!("the specified OpenAPI version `{version}` is not built in: use v1.21.2")))
            }
        }
    }

    /// The schema of a kind, where it is known.
    pub(crate) fn schema(&self, api_version: &str, kind: &str) -> Option<At<'_>> {
        let Some(custom) = &self.custom else { return Schema::built_in().of(api_version, kind) };
        let built_in = if self.built_in_too { Schema::built_in().of(api_version, kind) } else { None };
        built_in.or_else(|| custom.of(api_version, kind))
    }

    pub(crate) fn is_cluster_scoped(&self, api_version: &str, kind: &str) -> bool {
        is_cluster_scoped(api_version, kind)
            || !self.custom_cluster_scoped.is_empty()
                && self.custom_cluster_scoped.contains(&(api_version.to_owned(), kind.to_owned()))
    }
}
