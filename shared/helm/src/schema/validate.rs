//! Holds a value to a compiled schema (santhosh-tekuri/jsonschema `validator.go`), and tells what is wrong in that
//! library's words, but for the value itself, which may be a password.

use std::cell::Cell;
use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};
use slipway_budget::{Budget, Exceeded};
use slipway_gocompat::regexp;

use super::compile::{self, Additional, Compiled, Dependency, Items, Part, Schema};
use super::draft::{Draft, escape};
use super::failure::{Failure, Kind};
use super::number::Decimal;
use super::unevaluated::Unevaluated;
use super::values::{all_quoted, duplicates, equal, is_integer, missing, quoted, shown, type_of};

/// Steps of looking at one value with one schema.
const STEPS: u64 = 8;
/// Steps of showing a value in a message.
const SHOWN: u64 = 32;
/// How deep schemas lead to others.
const MAX_DEPTH: usize = 1_500;

/// Why a validation does not come to an end.
#[derive(Clone, Copy)]
pub(super) enum Stop {
    /// Schemas lead to schemas beyond [`MAX_DEPTH`].
    TooDeep,
    /// The render's budget is used up.
    Budget(Exceeded),
}

/// Validates `value`; `Ok(Err(…))` is what is wrong with it.
pub(super) fn validate(compiled: &Compiled, value: &Json, budget: &Budget) -> Result<Result<(), Vec<Failure>>, Stop> {
    Run { compiled, metas: None, budget, problem: Cell::new(None) }.whole(value, "")
}

/// Holds a schema to its draft's metaschema; `drafts` are those of the named schemas in it.
pub(super) fn against_metaschema(
    schema: &Json,
    draft: Draft,
    drafts: &BTreeMap<String, Draft>,
    budget: &Budget,
) -> Result<Result<(), Vec<Failure>>, Exceeded> {
    let told = |words: &str| vec![Failure { kind: Kind::Told(words.to_owned()), ..Failure::default() }];
    let Some(compiled) = compile::metaschema(draft) else { return Ok(Err(told("its draft is not known"))) };
    let run = Run { compiled, metas: Some((draft, drafts)), budget, problem: Cell::new(None) };
    match run.whole(schema, "") {
        Ok(outcome) => Ok(outcome),
        Err(Stop::TooDeep) => Ok(Err(told("leads from schema to schema too deeply"))),
        Err(Stop::Budget(exceeded)) => Err(exceeded),
    }
}

/// One validation.
struct Run<'a> {
    compiled: &'a Compiled,
    /// Where the value is a schema: its draft, and those of the named schemas in it.
    metas: Option<(Draft, &'a BTreeMap<String, Draft>)>,
    budget: &'a Budget,
    problem: Cell<Option<Stop>>,
}

/// The schemas that led here.
struct Scope<'s> {
    part: Part,
    /// Which value is looked at.
    value: usize,
    parent: Option<&'s Scope<'s>>,
    depth: usize,
}

/// A value on its way through one schema.
struct At<'r, 'v, 's> {
    run: &'r Run<'r>,
    schema: &'r Schema,
    value: &'v Json,
    place: &'s str,
    scope: &'s Scope<'s>,
    unevaluated: Unevaluated<'v>,
    /// Whether only the outcome counts.
    quiet: bool,
    failures: Vec<Failure>,
}

type Outcome<'v> = Result<Unevaluated<'v>, Failure>;

impl<'r> Run<'r> {
    fn whole(&'r self, value: &Json, place: &str) -> Result<Result<(), Vec<Failure>>, Stop> {
        let scope = Scope { part: 0, value: 0, parent: None, depth: 0 };
        let outcome = self.step(&scope, value, place, false, false);
        if let Some(problem) = self.problem.get() {
            return Err(problem);
        }
        Ok(match outcome {
            Ok(_) => Ok(()),
            Err(Failure { kind: Kind::Group, causes, .. }) => Err(causes),
            Err(failure) => Err(vec![failure]),
        })
    }

    fn note(&self, paid: Result<(), Exceeded>) {
        if let Err(exceeded) = paid {
            self.problem.set(self.problem.get().or(Some(Stop::Budget(exceeded))));
        }
    }

    fn pay(&self, steps: u64) {
        self.note(self.budget.step(steps));
    }

    /// Looks at `value` with the schema of `scope`.
    fn step<'v>(
        &'r self,
        scope: &Scope<'_>,
        value: &'v Json,
        place: &str,
        quiet: bool,
        caller_needs: bool,
    ) -> Outcome<'v> {
        // What a schema costs is counted from all that it lists: nothing of that once the budget is used up.
        if self.problem.get().is_some() {
            return Err(Failure::default());
        }
        let schema = self.compiled.schemas.get(scope.part);
        self.pay(STEPS + schema.map_or(0, |schema| schema.cost(value)));
        if scope.depth > MAX_DEPTH {
            self.problem.set(self.problem.get().or(Some(Stop::TooDeep)));
        }
        let Some(schema) = schema.filter(|_| self.problem.get().is_none()) else {
            return Err(Failure::default());
        };
        let unevaluated = schema.unevaluated(value, caller_needs);
        let at = At { run: self, schema, value, place, scope, unevaluated, quiet, failures: Vec::new() };
        at.validate()
    }
}

impl<'v> At<'_, 'v, '_> {
    fn failure(&self, words: impl FnOnce() -> String) -> Failure {
        self.failure_of(|| Kind::Told(words()))
    }

    fn failure_of(&self, kind: impl FnOnce() -> Kind) -> Failure {
        if self.quiet {
            return Failure::default();
        }
        let kind = kind();
        let told = if let Kind::Told(words) = &kind { words.len() } else { 0 };
        self.run.note(self.run.budget.bytes(told + self.place.len() + 2 * size_of::<Failure>()));
        Failure { at: self.place.to_owned(), kind, causes: Vec::new() }
    }

    fn fail(&mut self, words: impl FnOnce() -> String) {
        let failure = self.failure(words);
        self.failures.push(failure);
    }

    fn fail_with(&mut self, causes: Vec<Failure>, words: impl FnOnce() -> String) {
        let failure = Failure { causes, ..self.failure(words) };
        self.failures.push(failure);
    }

    fn note<T>(&mut self, outcome: Result<T, Failure>) {
        self.failures.extend(outcome.err());
    }

    fn validate(mut self) -> Outcome<'v> {
        let schema = self.schema;
        match schema.boolean {
            Some(true) => return Ok(self.unevaluated),
            Some(false) => return Err(self.failure(|| "false schema".to_owned())),
            None => {}
        }
        if self.is_cycle() {
            return Err(self.failure(|| "the schema refers to itself: reference cycle".to_owned()));
        }
        let found = type_of(self.value);
        let fits = |wanted: &String| wanted == found || wanted == "integer" && is_integer(self.value);
        if !schema.types.is_empty() && !schema.types.iter().any(fits) {
            return Err(self.failure(|| format!("got {found}, want {}", schema.types.join(" or "))));
        }
        if let Some(constant) = &schema.constant
            && !equal(self.value, constant)
        {
            return Err(self.failure(|| match shown(constant) {
                Some(constant) => format!("value must be {constant}"),
                None => "'const' failed".to_owned(),
            }));
        }
        if let Some(wanted) = &schema.enumeration
            && !wanted.iter().any(|one| equal(self.value, one))
        {
            // The message names them all.
            self.run.pay((wanted.len() as u64).saturating_mul(SHOWN));
            return Err(self.failure(|| match wanted.iter().map(shown).collect::<Option<Vec<_>>>() {
                Some(one) if one.len() == 1 => format!("value must be {}", one.concat()),
                Some(several) => format!("value must be one of {}", several.join(", ")),
                None => "'enum' failed".to_owned(),
            }));
        }
        if let (Some((name, check)), Json::String(text)) = (&schema.format, self.value)
            && let Err(problem) = check(text)
        {
            return Err(self.failure(|| format!("value is not valid {name}: {problem}")));
        }
        if let Some(part) = schema.reference {
            let outcome = self.refer(part);
            if schema.draft < Draft::D2019 {
                return outcome.map(|()| self.unevaluated);
            }
            self.note(outcome);
        }
        match self.value {
            Json::Object(map) => self.object(map),
            Json::Array(list) => self.array(list),
            Json::String(text) => self.text(text),
            Json::Number(number) => self.number(&Decimal::new(number)),
            Json::Null | Json::Bool(_) => {}
        }
        if self.failures.is_empty() || !self.quiet {
            if schema.draft >= Draft::D2019 {
                self.references();
            }
            self.conditions();
            if schema.draft >= Draft::D2019 {
                self.rest();
            }
        }
        match self.failures.len() {
            0 => Ok(self.unevaluated),
            1 => Err(self.failures.pop().unwrap_or_default()),
            _ => Err(Failure { causes: std::mem::take(&mut self.failures), ..self.failure_of(|| Kind::Group) }),
        }
    }

    fn is_cycle(&self) -> bool {
        let mut scope = self.scope.parent;
        let mut looked_at = 0;
        while let Some(above) = scope.filter(|above| above.value == self.scope.value) {
            looked_at += 1;
            if looked_at % 16 == 0 {
                self.run.pay(1);
            }
            if above.part == self.scope.part {
                return true;
            }
            scope = above.parent;
        }
        false
    }

    /// Looks at the same value with another schema.
    fn same(&mut self, part: Part, quiet: bool) -> Result<(), Failure> {
        let quiet = self.quiet || quiet;
        if let Some(outcome) = self.meta(part, self.value, self.place) {
            return outcome;
        }
        let scope = Scope { part, value: self.scope.value, parent: Some(self.scope), depth: self.scope.depth + 1 };
        let found = self.run.step(&scope, self.value, self.place, quiet, !self.unevaluated.is_empty())?;
        self.unevaluated.merge(&found);
        Ok(())
    }

    /// Looks at a value in this one.
    fn inner(&self, part: Part, value: &Json, key: &str) -> Result<(), Failure> {
        let place = format!("{}/{}", self.place, escape(key));
        self.run.pay(place.len() as u64 / 64);
        if let Some(outcome) = self.meta(part, value, &place) {
            return outcome;
        }
        let scope = Scope { part, value: self.scope.value + 1, parent: Some(self.scope), depth: self.scope.depth + 1 };
        self.run.step(&scope, value, &place, self.quiet, false).map(|_| ())
    }

    /// A schema within a schema that is of another draft is held to that draft's metaschema.
    fn meta(&self, part: Part, value: &Json, place: &str) -> Option<Result<(), Failure>> {
        let (draft, drafts) = self.run.metas.filter(|_| part == 0)?;
        let other = drafts.get(place).filter(|other| **other != draft)?;
        let compiled = compile::metaschema(*other)?;
        let run = Run { compiled, metas: Some((*other, drafts)), budget: self.run.budget, problem: Cell::new(None) };
        let outcome = run.whole(value, place);
        self.run.problem.set(run.problem.get());
        let outcome = outcome.unwrap_or_else(|_| Err(Vec::new()));
        Some(outcome.map_err(|causes| Failure { causes, ..self.failure_of(|| Kind::Group) }))
    }

    fn refer(&mut self, part: Part) -> Result<(), Failure> {
        self.same(part, false).map_err(|failure| {
            let causes = if matches!(failure.kind, Kind::Group) { failure.causes } else { vec![failure] };
            Failure { causes, ..self.failure_of(|| Kind::Reference) }
        })
    }

    fn object(&mut self, map: &'v Map<String, Json>) {
        let schema = self.schema;
        self.count("minProperties", map.len(), schema.min_properties, true);
        self.count("maxProperties", map.len(), schema.max_properties, false);
        if let Some(missing) = missing(map, &schema.required) {
            self.fail(|| match missing.as_slice() {
                [one] => format!("missing property {}", quoted(one)),
                several => format!("missing properties {}", all_quoted(several)),
            });
        }
        if self.quiet && !self.failures.is_empty() {
            return;
        }
        for (key, dependency) in schema.dependencies.iter().filter(|(key, _)| map.contains_key(key)) {
            match dependency {
                Dependency::Keys(keys) => self.depend(map, key, keys),
                Dependency::Part(part) => {
                    let outcome = self.same(*part, false);
                    self.note(outcome);
                }
            }
        }
        let mut additional: Vec<&String> = Vec::new();
        for (key, value) in map {
            if self.quiet && !self.failures.is_empty() {
                return;
            }
            let mut evaluated = false;
            let own = schema.properties.get(key);
            let patterns = schema.pattern_properties.iter().filter(|(regex, _)| regex.is_match(key));
            for part in own.into_iter().chain(patterns.map(|(_, part)| part)) {
                evaluated = true;
                self.note(self.inner(*part, value, key));
            }
            if !evaluated && let Some(rule) = &schema.additional_properties {
                evaluated = true;
                match rule {
                    Additional::Bool(true) => {}
                    Additional::Bool(false) => additional.push(key),
                    Additional::Part(part) => self.note(self.inner(*part, value, key)),
                }
            }
            if evaluated {
                self.unevaluated.keys.remove(key.as_str());
            }
        }
        if !additional.is_empty() {
            self.fail(|| format!("additional properties {} not allowed", all_quoted(&additional)));
        }
        if let Some(part) = schema.property_names {
            for key in map.keys() {
                let name = Json::String(key.clone());
                let scope = Scope { part, value: 0, parent: None, depth: self.scope.depth + 1 };
                if let Err(failure) = self.run.step(&scope, &name, "", self.quiet, false) {
                    let causes = if matches!(failure.kind, Kind::Group) { failure.causes } else { vec![failure] };
                    self.fail_with(causes, || format!("invalid propertyName {}", quoted(key)));
                }
            }
        }
        for (_, part) in schema.dependent_schemas.iter().filter(|(key, _)| map.contains_key(key)) {
            let outcome = self.same(*part, false);
            self.note(outcome);
        }
        for (key, keys) in schema.dependent_required.iter().filter(|(key, _)| map.contains_key(key)) {
            self.depend(map, key, keys);
        }
    }

    fn depend(&mut self, map: &Map<String, Json>, key: &str, keys: &[String]) {
        if let Some(missing) = missing(map, keys) {
            self.fail(|| format!("properties {} required, if {} exists", all_quoted(&missing), quoted(key)));
        }
    }

    fn count(&mut self, keyword: &str, found: usize, wanted: Option<i64>, is_least: bool) {
        let Some(wanted) = wanted else { return };
        let found = i64::try_from(found).unwrap_or(i64::MAX);
        if if is_least { found < wanted } else { found > wanted } {
            self.fail(|| format!("{keyword}: got {found}, want {wanted}"));
        }
    }

    fn array(&mut self, list: &'v [Json]) {
        let schema = self.schema;
        self.count("minItems", list.len(), schema.min_items, true);
        self.count("maxItems", list.len(), schema.max_items, false);
        if schema.unique_items
            && let Some((first, second)) = duplicates(list)
        {
            self.fail(|| format!("items at {first} and {second} are equal"));
        }
        let numbered = |skip: usize| list.iter().enumerate().skip(skip);
        if schema.draft < Draft::D2020 {
            let evaluated = match &schema.items {
                Some(Items::All(part)) => {
                    numbered(0).for_each(|(at, item)| self.note(self.inner(*part, item, &at.to_string())));
                    list.len()
                }
                Some(Items::Each(parts)) => {
                    for ((at, item), part) in numbered(0).zip(parts) {
                        self.note(self.inner(*part, item, &at.to_string()));
                    }
                    parts.len().min(list.len())
                }
                None => 0,
            };
            match &schema.additional_items {
                Some(Additional::Bool(false)) if evaluated != list.len() => {
                    self.fail(|| format!("last {} additionalItem(s) not allowed", list.len() - evaluated));
                }
                Some(Additional::Part(part)) => {
                    numbered(evaluated).for_each(|(at, item)| self.note(self.inner(*part, item, &at.to_string())));
                }
                Some(Additional::Bool(_)) | None => {}
            }
        } else {
            for ((at, item), part) in numbered(0).zip(&schema.prefix_items) {
                self.note(self.inner(*part, item, &at.to_string()));
            }
            if let Some(part) = schema.rest_items {
                let rest = numbered(schema.prefix_items.len());
                rest.for_each(|(at, item)| self.note(self.inner(part, item, &at.to_string())));
            }
        }
        if let Some(part) = schema.contains {
            self.contain(list, part);
        }
    }

    fn contain(&mut self, list: &[Json], part: Part) {
        let mut failures = Vec::new();
        let mut matched: i64 = 0;
        for (at, item) in list.iter().enumerate() {
            match self.inner(part, item, &at.to_string()) {
                Ok(()) => {
                    matched += 1;
                    if self.schema.draft == Draft::D2020 {
                        self.unevaluated.items.remove(&at);
                    }
                }
                Err(failure) => failures.push(failure),
            }
        }
        match self.schema.min_contains {
            Some(least) if matched < least => self.fail_with(failures, || {
                format!("min {least} items required to match contains schema, but matched {matched} items")
            }),
            None if matched == 0 => self.fail_with(failures, || "no items match contains schema".to_owned()),
            Some(_) | None => {}
        }
        if let Some(most) = self.schema.max_contains.filter(|most| matched > *most) {
            self.fail(|| format!("max {most} items required to match contains schema, but matched {matched} items"));
        }
    }

    fn text(&mut self, text: &str) {
        let schema = self.schema;
        if schema.min_length.is_some() || schema.max_length.is_some() {
            let length = text.chars().count();
            self.count("minLength", length, schema.min_length, true);
            self.count("maxLength", length, schema.max_length, false);
        }
        if let Some((regex, pattern)) = &schema.pattern
            && !regex.is_match(text)
        {
            self.fail(|| format!("value does not match pattern {}", quoted(pattern)));
        }
    }

    fn number(&mut self, number: &Decimal) {
        let schema = self.schema;
        let limits = [
            ("minimum", &schema.minimum, (|number, limit| number < limit) as fn(&Decimal, &Decimal) -> bool),
            ("maximum", &schema.maximum, |number, limit| number > limit),
            ("exclusiveMinimum", &schema.exclusive_minimum, |number, limit| number <= limit),
            ("exclusiveMaximum", &schema.exclusive_maximum, |number, limit| number >= limit),
            ("multipleOf", &schema.multiple_of, |number, of| !number.is_multiple_of(of)),
        ];
        for (keyword, limit, breaks) in limits {
            if let Some(limit) = limit.as_ref().filter(|limit| breaks(number, limit)) {
                self.fail(|| format!("{keyword}: want {limit}"));
            }
        }
    }

    fn conditions(&mut self) {
        let schema = self.schema;
        if let Some(part) = schema.not
            && self.same(part, true).is_ok()
        {
            self.fail(|| "'not' failed".to_owned());
        }
        let mut failures = Vec::new();
        for part in &schema.all_of {
            failures.extend(self.same(*part, false).err());
            if self.quiet && !failures.is_empty() {
                break;
            }
        }
        if !failures.is_empty() {
            self.fail_with(failures, || "'allOf' failed".to_owned());
        }
        if !schema.any_of.is_empty() {
            self.any(&schema.any_of);
        }
        if !schema.one_of.is_empty() {
            self.one(&schema.one_of);
        }
        if let Some(part) = schema.condition {
            let next = if self.same(part, true).is_ok() { schema.then } else { schema.otherwise };
            if let Some(part) = next {
                let outcome = self.same(part, false);
                self.note(outcome);
            }
        }
    }

    fn any(&mut self, parts: &[Part]) {
        let mut failures = Vec::new();
        let mut matched = false;
        for part in parts {
            let Err(failure) = self.same(*part, false) else {
                matched = true;
                // What is not evaluated yet may be by another one.
                if self.unevaluated.is_empty() {
                    break;
                }
                continue;
            };
            failures.push(failure);
        }
        if !matched {
            self.fail_with(failures, || "'anyOf' failed".to_owned());
        }
    }

    fn one(&mut self, parts: &[Part]) {
        let mut failures = Vec::new();
        let mut matched = None;
        for (index, part) in parts.iter().enumerate() {
            match (self.same(*part, matched.is_some()), matched) {
                (Err(failure), None) => failures.push(failure),
                (Err(_), Some(_)) => {}
                (Ok(()), None) => matched = Some(index),
                (Ok(()), Some(first)) => {
                    self.fail(|| format!("'oneOf' failed, subschemas {first}, {index} matched"));
                    break;
                }
            }
        }
        if matched.is_none() {
            self.fail_with(failures, || "'oneOf' failed, none matched".to_owned());
        }
    }

    fn references(&mut self) {
        let schemas = &self.run.compiled.schemas;
        let get = |part: Part| schemas.get(part);
        if let Some(part) = self.schema.recursive_ref {
            let mut target = part;
            if get(part).is_some_and(|schema| schema.recursive_anchor) {
                let mut scope = Some(self.scope);
                while let Some(one) = scope {
                    let resource = get(one.part).and_then(|schema| get(schema.resource));
                    if resource.is_some_and(|resource| resource.recursive_anchor) {
                        target = one.part;
                    }
                    scope = one.parent;
                }
            }
            let outcome = self.refer(target);
            self.note(outcome);
        }
        if let Some((part, anchor)) = &self.schema.dynamic_ref {
            let mut target = *part;
            if !anchor.is_empty() && get(*part).is_some_and(|schema| schema.dynamic_anchor == *anchor) {
                let mut scope = Some(self.scope);
                while let Some(one) = scope {
                    let resource = get(one.part).and_then(|schema| get(schema.resource));
                    let anchors = resource.into_iter().flat_map(|resource| &resource.dynamic_anchors);
                    if let Some((_, dynamic)) = anchors.into_iter().find(|(name, _)| name == anchor) {
                        target = *dynamic;
                    }
                    scope = one.parent;
                }
            }
            let outcome = self.refer(target);
            self.note(outcome);
        }
    }

    /// What no schema has looked at.
    fn rest(&mut self) {
        if let (Some(part), Json::Object(map)) = (self.schema.unevaluated_properties, self.value) {
            for key in std::mem::take(&mut self.unevaluated.keys) {
                if let Some(value) = map.get(key) {
                    self.note(self.inner(part, value, key));
                }
            }
        }
        if let (Some(part), Json::Array(list)) = (self.schema.unevaluated_items, self.value) {
            for at in std::mem::take(&mut self.unevaluated.items) {
                if let Some(item) = list.get(at) {
                    self.note(self.inner(part, item, &at.to_string()));
                }
            }
        }
    }
}

impl Schema {
    /// The steps of what this schema does with `value` besides looking at the values in it.
    fn cost(&self, value: &Json) -> u64 {
        let named = self.required.len() + self.dependencies.len() + self.dependent_schemas.len() + self.types.len();
        let listed = self.enumeration.iter().flatten().chain(&self.constant);
        let most = if self.enumeration.is_some() || self.constant.is_some() { size(value) } else { 0 };
        let compared: usize = listed.map(|one| 1 + if most > 1 { size(one).min(most) } else { 0 }).sum();
        let own = match value {
            // Each key is held to each pattern.
            Json::Object(map) => {
                map.len() + map.keys().map(|key| 1 + key.len() / 16).sum::<usize>() * self.pattern_properties.len() * 8
            }
            Json::Array(list) if self.unique_items => list.len() + 48 * size(value),
            Json::Array(list) => list.len(),
            Json::String(text) => {
                let pattern = self.pattern.as_ref().map_or(0, |(_, pattern)| 8 + pattern.len() / 4);
                let format = self.format.as_ref().map_or(0, |(name, _)| match name.as_str() {
                    "regex" => regexp::compiled_size(text) / 4,
                    _ => text.len(),
                });
                text.len() / 64 * (1 + pattern) + pattern + format
            }
            Json::Number(_) => 8,
            Json::Null | Json::Bool(_) => 0,
        };
        (named / 4 + compared + own) as u64
    }
}

/// Values in `value`, itself included, and its texts by 64 bytes.
fn size(value: &Json) -> usize {
    1 + match value {
        Json::String(text) => text.len() / 64,
        Json::Array(list) => list.iter().map(size).sum(),
        Json::Object(map) => map.iter().map(|(key, value)| key.len() / 64 + size(value)).sum(),
        _ => 0,
    }
}
