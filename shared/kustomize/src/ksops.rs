//! What KSOPS generates from files that SOPS encrypted (viaduct-ai/kustomize-sops `README.md`, `ksops.go`). Nothing is
//! decrypted here: the files are in the tree as they were before, or the generator is [`Error::Encrypted`].

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use crate::cost;
use crate::error::Error;
use crate::generate;
use crate::load::Root;
use crate::node::{Map, Node};
use crate::resmap;
use crate::resource::{Behavior, Resource};

/// By which what a plugin generates says how it is merged (kustomize `api/internal/utils/annotations.go`).
const NEEDS_HASH: &str = "kustomize.config.k8s.io/needs-hash";
const BEHAVIOR: &str = "kustomize.config.k8s.io/behavior";

/// The configuration of a generator.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Ksops {
    files: Vec<String>,
    secret_from: Vec<SecretFrom>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SecretFrom {
    metadata: serde_json::Map<String, Value>,
    r#type: String,
    files: Vec<String>,
    binary_files: Vec<String>,
    envs: Vec<String>,
}

/// Whether `config` is one of KSOPS', as a plugin or as a function.
pub(crate) fn is_ksops(config: &Resource) -> bool {
    config.api_version().starts_with("viaduct.ai/") && ["ksops", "ksops-exec"].contains(&config.kind())
}

impl Ksops {
    /// The manifests of `files`, then a Secret for each entry of `secretFrom`.
    pub(crate) fn generate(&self, generator: &str, root: &Root<'_>) -> Result<Vec<Resource>, Error> {
        self.check(generator, root)?;
        let mut made = Vec::new();
        for file in &self.files {
            made.extend(resmap::read(&root.text(file)?, file, root.budget())?);
        }
        for from in &self.secret_from {
            made.push(from.secret(root)?);
        }
        made.iter_mut().for_each(apply_options);
        Ok(made)
    }

    /// Checks that all files are decrypted.
    fn check(&self, generator: &str, root: &Root<'_>) -> Result<(), Error> {
        let from = self.secret_from.iter().flat_map(|from| from.files.iter().chain(&from.binary_files));
        let from = from.map(|entry| generate::file_source(entry).map(|(_, path)| path));
        let envs = self.secret_from.iter().flat_map(|from| &from.envs);
        let plain = self.files.iter().chain(envs).map(|path| Ok(path.as_str()));
        let mut files = Vec::new();
        for path in plain.chain(from) {
            let (place, _) = root.file(path?)?;
            if !root.files.options.decrypted.contains(&place) {
                files.push(place);
            }
        }
        if files.is_empty() { Ok(()) } else { Err(Error::Encrypted { generator: generator.to_owned(), files }) }
    }
}

impl SecretFrom {
    fn secret(&self, root: &Root<'_>) -> Result<Resource, Error> {
        let (mut texts, mut binaries) = (Map::default(), Map::default());
        for path in &self.envs {
            let mut pairs = Vec::new();
            generate::variables(root.bytes(path)?, &mut pairs)
                .map_err(|problem| Error::refused(format!("env file `{path}`: {problem}")))?;
            for (key, value) in pairs {
                cost::of_text(root.budget(), key.len() + 2 * value.len())?;
                texts.set(&key, Node::text(String::from_utf8_lossy(&value).into_owned()));
            }
        }
        for entry in &self.files {
            let (key, path) = generate::file_source(entry)?;
            let text: Cow<'_, str> = root.text(path)?;
            cost::of_text(root.budget(), key.len() + text.len())?;
            texts.set(key, Node::text(text.into_owned()));
        }
        for entry in &self.binary_files {
            let (key, path) = generate::file_source(entry)?;
            let bytes = root.bytes(path)?;
            cost::of_text(root.budget(), key.len() + 2 * bytes.len())?;
            binaries.set(key, Node::text(STANDARD.encode(bytes)));
        }
        let metadata = Node::from_value(Value::Object(self.metadata.clone()));
        let mut map = Map::default();
        map.set("apiVersion", Node::text("v1"));
        map.set("kind", Node::text("Secret"));
        map.set("metadata", metadata);
        map.set("type", Node::text(if self.r#type.is_empty() { "Opaque" } else { &self.r#type }));
        for (field, entries) in [("stringData", texts), ("data", binaries)] {
            if !entries.0.is_empty() {
                map.set(field, Node::Map(entries));
            }
        }
        Ok(Resource::new(Node::Map(map)))
    }
}

/// Obeys the annotations with options, and takes them off.
fn apply_options(resource: &mut Resource) {
    resource.needs_hash = resource.annotation(NEEDS_HASH) == Some("true");
    resource.behavior = match resource.annotation(BEHAVIOR) {
        Some("replace") => Behavior::Replace,
        Some("merge") => Behavior::Merge,
        _ => Behavior::Create,
    };
    let metadata = resource.metadata_mut();
    let annotations = metadata.get_mut("annotations").and_then(Node::as_map_mut);
    let is_empty = annotations.is_some_and(|annotations| {
        annotations.0.retain(|(key, _)| ![NEEDS_HASH, BEHAVIOR].contains(&key.as_str()));
        annotations.0.is_empty()
    });
    if is_empty {
        metadata.0.retain(|(key, _)| key != "annotations");
    }
}
