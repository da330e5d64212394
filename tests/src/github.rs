//! What GitHub itself says its interfaces take and give: its OpenAPI description and its GraphQL schema.
//!
//! Every exchange that the forge records is held to them, so the forge can't drift from GitHub, nor our client from
//! both.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, anyhow, bail, ensure};
use apollo_compiler::validation::Valid;
use apollo_compiler::{ExecutableDocument, Schema};
use jsonschema::{Draft, Registry};
use rand_core::SeedableRng as _;
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use serde_json::{Map, Value, json};
use slipway_sandbox::http::Exchange;

use crate::skip::{Unavailable, or_skip};
use crate::tools;

/// A private key as GitHub hands it out for an App (PEM), of a seed.
pub fn app_key() -> String {
    let key = rsa::RsaPrivateKey::new(&mut rand_chacha::ChaCha8Rng::seed_from_u64(7), 2048).expect("a key");
    key.to_pkcs1_pem(rsa::pkcs1::LineEnding::LF).expect("PEM").to_string()
}

/// Where the description is registered; nothing is fetched from it.
const DESCRIPTION: &str = "https://github.invalid/openapi.json";

/// GitHub's own description of its REST and GraphQL interfaces.
pub struct GitHub {
    description: Value,
    schema: Valid<Schema>,
}

impl GitHub {
    /// Reads both from the packages that GitHub's SDK team publishes.
    pub fn load() -> Option<Self> {
        or_skip("GitHub's descriptions", Self::read())
    }

    fn read() -> Result<Self, Unavailable> {
        let modules = tools::npm()?.join("@octokit");
        let text = fs::read(modules.join("openapi/generated/api.github.com.json"))?;
        let mut description: Value = serde_json::from_slice(&text)?;
        nullable_as_type(&mut description);
        let text = fs::read_to_string(modules.join("graphql-schema/schema.graphql"))?;
        // The published schema defines a field or two twice; the first definition stands.
        let schema = Schema::parse(text, "schema.graphql").unwrap_or_else(|found| found.partial);
        let schema = schema.validate().map_err(|error| anyhow!("{}", error.errors))?;
        Ok(Self { description, schema })
    }

    /// Holds every exchange to the descriptions and gives the operations that were seen, as `GET
    /// /repos/{owner}/{repo}`.
    ///
    /// # Errors
    /// The first that does not fit, and why.
    pub fn check(&self, exchanges: &[Exchange]) -> Result<BTreeSet<String>> {
        let registry = Registry::new().draft(Draft::Draft7).add(DESCRIPTION, &self.description)?.prepare()?;
        exchanges
            .iter()
            // Where `tarball` redirects to: a server that is no part of the interface.
            .filter(|exchange| !exchange.request.path.starts_with("/codeload/"))
            .map(|exchange| {
                let at = || format!("{} {} → {}", exchange.request.method, exchange.request.path, exchange.status);
                match exchange.request.path.as_str() {
                    "/graphql" => self.check_graphql(exchange).with_context(at),
                    _ => self.check_rest(exchange, &registry).with_context(at),
                }
            })
            .collect()
    }

    fn check_rest(&self, exchange: &Exchange, registry: &Registry<'_>) -> Result<String> {
        let method = exchange.request.method.as_str().to_lowercase();
        let path = self.template(&exchange.request.path, &method).context("GitHub has no such operation")?;
        let pointer = format!("/paths/{}/{method}", escape(&path));
        let operation = &self.description.pointer(&pointer).context("the template has the operation")?;

        let known: BTreeSet<&str> = operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|parameter| self.resolve(parameter))
            .filter(|parameter| parameter["in"] == "query")
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        for (name, _) in &exchange.request.query {
            ensure!(known.contains(name.as_str()), "GitHub takes no query parameter `{name}` there");
        }
        if !exchange.request.body.is_empty() {
            let schema = format!("{pointer}/requestBody/content/application~1json/schema");
            self.check_json(&schema, &exchange.request.body, registry).context("the request")?;
        }

        let status = exchange.status.as_u16().to_string();
        // Rate limits and failures of GitHub's own may come from anywhere and are described nowhere.
        if matches!(exchange.status.as_u16(), 401 | 429 | 500..) {
            return Ok(format!("{} {path}", exchange.request.method));
        }
        let mut answer = format!("{pointer}/responses/{status}");
        if let Some(reference) = self.description.pointer(&answer).and_then(|answer| answer["$ref"].as_str()) {
            answer = reference.trim_start_matches('#').to_owned();
        }
        let described =
            self.description.pointer(&answer).with_context(|| format!("GitHub never answers {status} there"))?;
        if described.get("content").is_some() {
            let schema = format!("{answer}/content/application~1json/schema");
            self.check_json(&schema, &exchange.body, registry).context("the answer")?;
        }
        Ok(format!("{} {path}", exchange.request.method))
    }

    /// The path template that fits `path` best: the one with the most literal parts. A `{ref}` or `{path}` at the end
    /// may have slashes, as in `heads/main`.
    fn template(&self, path: &str, method: &str) -> Option<String> {
        let asked: Vec<&str> = path.split('/').collect();
        let paths = self.description["paths"].as_object()?;
        paths
            .iter()
            .filter(|(_, operations)| operations.get(method).is_some())
            .filter_map(|(template, _)| {
                let parts: Vec<&str> = template.split('/').collect();
                let fits = |(part, asked): (&&str, &&str)| part.starts_with('{') || part == asked;
                let literal = parts.iter().filter(|part| !part.starts_with('{')).count();
                let is_open = template.ends_with("/{ref}") || template.ends_with("/{path}");
                let long = parts.len() == asked.len() || parts.len() < asked.len() && is_open;
                (long && parts.iter().zip(&asked).all(fits)).then_some((literal, template))
            })
            .max_by_key(|(literal, _)| *literal)
            .map(|(_, template)| template.clone())
    }

    fn resolve<'a>(&'a self, value: &'a Value) -> Option<&'a Value> {
        match value["$ref"].as_str() {
            Some(reference) => self.description.pointer(reference.trim_start_matches('#')),
            None => Some(value),
        }
    }

    /// Validates `body` against the schema at `pointer` of the description.
    fn check_json(&self, pointer: &str, body: &[u8], registry: &Registry<'_>) -> Result<()> {
        ensure!(self.description.pointer(pointer).is_some(), "GitHub has no JSON there ({pointer})");
        let body: Value = serde_json::from_slice(body).context("no JSON")?;
        let schema = json!({"$ref": format!("{DESCRIPTION}#{pointer}").replace('{', "%7B").replace('}', "%7D")});
        let validator = jsonschema::options().with_draft(Draft::Draft7).with_registry(registry).build(&schema)?;
        let errors: Vec<_> =
            validator.iter_errors(&body).map(|error| format!("{}: {error}", error.instance_path())).collect();
        ensure!(errors.is_empty(), "{}", errors.join("\n"));
        Ok(())
    }

    fn check_graphql(&self, exchange: &Exchange) -> Result<String> {
        let request: Value = serde_json::from_slice(&exchange.request.body).context("the request is no JSON")?;
        let text = request["query"].as_str().context("the request has no query")?;
        let document = ExecutableDocument::parse_and_validate(&self.schema, text, "query.graphql")
            .map_err(|error| anyhow!("{}", error.errors))?;
        let operation = document.operations.get(None).map_err(|_| anyhow!("not one operation"))?;
        let variables: Map<String, Value> = match &request["variables"] {
            Value::Object(variables) => variables.clone(),
            Value::Null => Map::new(),
            other => bail!("variables are {other}"),
        };
        let variables: apollo_compiler::response::JsonMap = serde_json_bytes_map(&variables)?;
        apollo_compiler::request::coerce_variable_values(&self.schema, operation, &variables)
            .map_err(|error| anyhow!("the variables do not fit: {error:?}"))?;

        let answer: Value = serde_json::from_slice(&exchange.body).context("the answer is no JSON")?;
        if exchange.status.is_success() && answer.get("errors").is_none() {
            let data = answer["data"].as_object().context("the answer has no data")?;
            for field in operation.root_fields(&document) {
                ensure!(
                    data.contains_key(field.response_key().as_str()),
                    "the answer lacks `{}`",
                    field.response_key()
                );
            }
        }
        let names: Vec<_> = operation.root_fields(&document).map(|field| field.name.to_string()).collect();
        Ok(format!("{} {}", operation.operation_type, names.join(",")))
    }
}

/// The same map in the types of the GraphQL library.
fn serde_json_bytes_map(map: &Map<String, Value>) -> Result<apollo_compiler::response::JsonMap> {
    Ok(serde_json::from_value(Value::Object(map.clone()))?)
}

fn escape(part: &str) -> String {
    part.replace('~', "~0").replace('/', "~1")
}

/// OpenAPI 3.0 says `nullable: true` where JSON Schema lists `null` among the types.
fn nullable_as_type(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.values_mut().for_each(nullable_as_type);
            if object.get("nullable") == Some(&Value::Bool(true)) {
                object.remove("nullable");
                let schema = Value::Object(std::mem::take(object));
                object.insert("anyOf".to_owned(), json!([schema, {"type": "null"}]));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(nullable_as_type),
        _ => {}
    }
}
