//! Reads the keywords of a schema, each as the type that its draft gives it.

use serde_json::{Map, Value as Json};
use slipway_gocompat::regexp::{self, Regex};

use crate::cost;

use super::compile::{Additional, Compiler, Dependency, Items, Outcome, Part, Refusal, Schema, decoded};
use super::draft::{Draft, escape};
use super::format;
use super::number::Decimal;

/// A schema that is a mapping, while it is compiled.
pub(super) struct Object<'a> {
    pub(super) compiler: &'a mut Compiler,
    pub(super) map: &'a Map<String, Json>,
    pub(super) root: usize,
    pub(super) pointer: &'a str,
    pub(super) base: &'a str,
}

impl<'a> Object<'a> {
    pub(super) fn compile(mut self, schema: &mut Schema) -> Outcome<()> {
        let draft = schema.draft;
        schema.reference = self.reference("$ref")?;
        // What stands beside `$ref` in an old draft does not count; but what came after draft 4 the library reads.
        if draft >= Draft::D2019 || schema.reference.is_none() {
            self.applicators(schema)?;
            self.assertions(schema)?;
        }
        if draft >= Draft::D6 {
            schema.contains = self.below("contains");
            schema.property_names = self.below("propertyNames");
            schema.constant = self.map.get("const").cloned();
        }
        if draft >= Draft::D7 {
            schema.condition = self.below("if");
            if schema.condition.is_some() {
                let known = self.map.get("if").and_then(Json::as_bool);
                schema.then = if known == Some(false) { None } else { self.below("then") };
                schema.otherwise = if known == Some(true) { None } else { self.below("else") };
            }
        }
        if draft >= Draft::D2019 {
            schema.recursive_ref = self.reference("$recursiveRef")?;
            schema.recursive_anchor = self.flag("$recursiveAnchor");
            if schema.contains.is_some() {
                schema.min_contains = self.integer("minContains");
                schema.max_contains = self.integer("maxContains");
            }
            let lists = self.object("dependentRequired").into_iter().flatten();
            let lists = lists.filter_map(|(key, value)| Some((key.clone(), strings(value.as_array()?))));
            schema.dependent_required = lists.collect();
            schema.dependent_schemas = self.values("dependentSchemas");
            schema.unevaluated_items = self.below("unevaluatedItems");
            schema.unevaluated_properties = self.below("unevaluatedProperties");
        }
        if draft == Draft::D2020 {
            if let Some(part) = self.reference("$dynamicRef")? {
                let reference = self.text("$dynamicRef").unwrap_or_default();
                let fragment = decoded(reference.split_once('#').map_or("", |(_, fragment)| fragment))?;
                let anchor = if fragment.starts_with('/') { String::new() } else { fragment };
                schema.dynamic_ref = Some((part, anchor));
            }
            self.text("$dynamicAnchor").unwrap_or_default().clone_into(&mut schema.dynamic_anchor);
            schema.prefix_items = self.list("prefixItems");
            schema.rest_items = self.below("items");
        }
        Ok(())
    }

    fn applicators(&mut self, schema: &mut Schema) -> Outcome<()> {
        schema.all_of = self.list("allOf");
        schema.any_of = self.list("anyOf");
        schema.one_of = self.list("oneOf");
        schema.not = self.below("not");
        if schema.draft < Draft::D2020 {
            if self.map.get("items").is_some_and(Json::is_array) {
                schema.items = Some(Items::Each(self.list("items")));
                schema.additional_items = self.additional("additionalItems");
            } else {
                schema.items = self.below("items").map(Items::All);
            }
        }
        schema.properties = self.values("properties").into_iter().collect();
        for (pattern, part) in self.values("patternProperties") {
            schema.pattern_properties.push((self.regex(&pattern, "patternProperties")?, part));
        }
        schema.additional_properties = self.additional("additionalProperties");
        for (key, value) in self.object("dependencies").into_iter().flatten() {
            let dependency = match value {
                Json::Array(keys) => Dependency::Keys(strings(keys)),
                _ => Dependency::Part(self.at(&format!("dependencies/{}", escape(key)))),
            };
            schema.dependencies.push((key.clone(), dependency));
        }
        Ok(())
    }

    fn assertions(&mut self, schema: &mut Schema) -> Outcome<()> {
        schema.types = match self.map.get("type") {
            Some(Json::String(one)) => vec![one.clone()],
            Some(Json::Array(several)) => strings(several),
            _ => Vec::new(),
        };
        schema.enumeration = self.map.get("enum").and_then(Json::as_array).cloned();
        schema.multiple_of = self.number("multipleOf");
        let limit = |object: &Self, inclusive: &str, exclusive: &str| {
            let limit = object.number(inclusive);
            // In draft 4 `exclusive…` is a flag.
            if object.flag(exclusive) { (None, limit) } else { (limit, object.number(exclusive)) }
        };
        (schema.maximum, schema.exclusive_maximum) = limit(self, "maximum", "exclusiveMaximum");
        (schema.minimum, schema.exclusive_minimum) = limit(self, "minimum", "exclusiveMinimum");
        schema.min_length = self.integer("minLength");
        schema.max_length = self.integer("maxLength");
        if let Some(pattern) = self.text("pattern") {
            schema.pattern = Some((self.regex(pattern, "pattern")?, pattern.to_owned()));
        }
        schema.min_items = self.integer("minItems");
        schema.max_items = self.integer("maxItems");
        schema.unique_items = self.flag("uniqueItems");
        schema.min_properties = self.integer("minProperties");
        schema.max_properties = self.integer("maxProperties");
        schema.required =
            self.map.get("required").and_then(Json::as_array).map(|list| strings(list)).unwrap_or_default();
        if schema.draft < Draft::D2019 || self.compiler.formats_everywhere {
            let format = self.text("format");
            schema.format = format.and_then(|name| Some((name.to_owned(), format::check_of(name)?)));
        }
        Ok(())
    }

    fn regex(&self, pattern: &str, keyword: &str) -> Outcome<Regex> {
        let place = format!("{}/{keyword}", self.pointer);
        cost::of_pattern(&self.compiler.budget, pattern)?;
        regexp::compile(pattern).map_err(|e| Refusal::Other(format!("invalid regex at '{place}': {e}")))
    }

    fn at(&mut self, below: &str) -> Part {
        self.compiler.part(self.root, format!("{}/{below}", self.pointer))
    }

    fn reference(&mut self, keyword: &str) -> Outcome<Option<Part>> {
        let Some(reference) = self.map.get(keyword).and_then(Json::as_str) else { return Ok(None) };
        self.compiler.referred(self.root, self.base, reference).map(Some)
    }

    fn below(&mut self, keyword: &str) -> Option<Part> {
        self.map.contains_key(keyword).then(|| self.at(keyword))
    }

    fn list(&mut self, keyword: &str) -> Vec<Part> {
        let length = self.map.get(keyword).and_then(Json::as_array).map_or(0, Vec::len);
        (0..length).map(|index| self.at(&format!("{keyword}/{index}"))).collect()
    }

    fn object(&self, keyword: &str) -> Option<&'a Map<String, Json>> {
        self.map.get(keyword).and_then(Json::as_object)
    }

    fn values(&mut self, keyword: &str) -> Vec<(String, Part)> {
        let keys: Vec<String> = self.object(keyword).map(|map| map.keys().cloned().collect()).unwrap_or_default();
        keys.into_iter()
            .map(|key| {
                let part = self.at(&format!("{keyword}/{}", escape(&key)));
                (key, part)
            })
            .collect()
    }

    fn additional(&mut self, keyword: &str) -> Option<Additional> {
        match self.map.get(keyword)? {
            Json::Bool(value) => Some(Additional::Bool(*value)),
            _ => self.below(keyword).map(Additional::Part),
        }
    }

    fn text(&self, keyword: &str) -> Option<&'a str> {
        self.map.get(keyword).and_then(Json::as_str)
    }

    fn flag(&self, keyword: &str) -> bool {
        self.map.get(keyword).and_then(Json::as_bool).unwrap_or(false)
    }

    fn number(&self, keyword: &str) -> Option<Decimal> {
        match self.map.get(keyword)? {
            Json::Number(number) => Some(Decimal::new(number)),
            _ => None,
        }
    }

    fn integer(&self, keyword: &str) -> Option<i64> {
        let number = self.map.get(keyword)?;
        self.number(keyword).filter(Decimal::is_integer)?;
        #[allow(
            clippy::cast_possible_truncation,
            reason = "a whole number; what is larger than any length is the largest"
        )]
        number.as_i64().or_else(|| number.as_f64().map(|float| float as i64))
    }
}

fn strings(list: &[Json]) -> Vec<String> {
    list.iter().filter_map(Json::as_str).map(str::to_owned).collect()
}
