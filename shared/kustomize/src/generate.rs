//! ConfigMaps and Secrets from files, literals and lists of variables (kustomize `api/internal/generators`, `api/kv`).

use std::collections::BTreeMap;

use base64::Engine as _;
use serde::Deserialize;

use crate::cost::{self, ENTRY};
use crate::error::Error;
use crate::kustomization::{GeneratorArgs, GeneratorOptions};
use crate::load::Root;
use crate::node::{Map, Node, Scalar, Tag};
use crate::resource::{Behavior, Resource};

/// A ConfigMap by its generator's arguments.
pub(crate) fn config_map(root: &Root<'_>, args: &GeneratorArgs) -> Result<Resource, Error> {
    let (mut map, pairs) = begin(root, args, "ConfigMap")?;
    let (mut data, mut binary) = (Vec::new(), Vec::new());
    for (key, bytes) in pairs {
        match String::from_utf8(bytes) {
            Ok(text) => data.push((key, Node::text(text))),
            Err(e) => {
                cost::of_text(root.budget(), 3 * e.as_bytes().len())?;
                binary.push((key, Node::text(encode(e.as_bytes()))));
            }
        }
    }
    for (field, entries) in [("data", data), ("binaryData", binary)] {
        if !entries.is_empty() {
            map.set(field, Node::Map(Map(entries)));
        }
    }
    Ok(finish(map, args))
}

/// A Secret by its generator's arguments.
pub(crate) fn secret(root: &Root<'_>, args: &GeneratorArgs) -> Result<Resource, Error> {
    let (mut map, pairs) = begin(root, args, "Secret")?;
    let secret_type = if args.secret_type.is_empty() { "Opaque" } else { &args.secret_type };
    map.set("type", Node::text(secret_type));
    let bytes: usize = pairs.values().map(Vec::len).sum();
    // In base64, then cut into lines.
    cost::of_text(root.budget(), 3 * bytes)?;
    root.budget().step(bytes as u64 / 4)?;
    let data = pairs.into_iter().map(|(key, bytes)| (key, Node::text(encode(&bytes)))).collect();
    map.set("data", Node::Map(Map(data)));
    Ok(finish(map, args))
}

fn begin(root: &Root<'_>, args: &GeneratorArgs, kind: &str) -> Result<(Map, BTreeMap<String, Vec<u8>>), Error> {
    let options = args.options.iter().flat_map(|options| options.labels.iter().chain(&options.annotations));
    let own = options.map(|(key, value)| ENTRY + key.len() + value.len()).sum::<usize>() + args.name.len();
    cost::of_text(root.budget(), 2 * own)?;
    root.budget().step(100)?;
    if args.name.is_empty() {
        return Err(Error::refused(format!("a generated {kind} must have a name")));
    }
    let mut metadata = Map(vec![("name".to_owned(), Node::text(args.name.clone()))]);
    if !args.namespace.is_empty() {
        metadata.set("namespace", Node::text(args.namespace.clone()));
    }
    let map = Map(vec![
        ("apiVersion".to_owned(), Node::text("v1")),
        ("kind".to_owned(), Node::text(kind)),
        ("metadata".to_owned(), Node::Map(metadata)),
    ]);
    let mut pairs = BTreeMap::new();
    for (key, value) in sources(root, args).map_err(|e| e.within(format!("failed to generate {kind}/{}", args.name)))? {
        if pairs.insert(key.clone(), value).is_some() {
            return Err(Error::refused(format!("{kind}/{} illegally repeats the key `{key}`", args.name)));
        }
    }
    Ok((map, pairs))
}

fn finish(map: Map, args: &GeneratorArgs) -> Resource {
    let mut resource = Resource::new(Node::Map(map));
    let none = GeneratorOptions::default();
    let options = args.options.as_ref().unwrap_or(&none);
    for (field, entries) in [("labels", &options.labels), ("annotations", &options.annotations)] {
        if !entries.is_empty() {
            let entries = entries.iter().map(|(key, value)| (key.clone(), Node::text(value.clone()))).collect();
            resource.metadata_mut().set(field, Node::Map(Map(entries)));
        }
    }
    if let Some(map) = resource.node.as_map_mut().filter(|_| options.immutable) {
        map.set("immutable", Node::Scalar(Scalar { text: "true".to_owned(), tag: Tag::Bool }));
    }
    resource.needs_hash = !options.disable_name_suffix_hash;
    resource.behavior = match args.behavior.as_str() {
        "replace" => Behavior::Replace,
        "merge" => Behavior::Merge,
        _ => Behavior::Create,
    };
    resource
}

/// Base64, in lines of 70 where it is longer than one (kyaml `yaml/datamap.go`).
fn encode(bytes: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    if text.len() < 70 {
        return text;
    }
    let mut lines = String::with_capacity(text.len() + text.len() / 70 + 1);
    for (i, c) in text.chars().enumerate() {
        if i > 0 && i % 70 == 0 {
            lines.push('\n');
        }
        lines.push(c);
    }
    lines.push('\n');
    lines
}

type Pair = (String, Vec<u8>);

/// Bytes of a pair in a list, in a map and in the object.
const PAIR: usize = 2 * size_of::<Pair>() + 2 * size_of::<Pair>() + ENTRY;

fn sources(root: &Root<'_>, args: &GeneratorArgs) -> Result<Vec<Pair>, Error> {
    let mut pairs = Vec::new();
    for path in &args.envs {
        let bytes = root.bytes(path)?;
        let lines = bytes.split(|byte| *byte == b'\n').count();
        cost::of_text(root.budget(), bytes.len() + lines * PAIR)?;
        root.budget().step(12 * lines as u64)?;
        variables(bytes, &mut pairs).map_err(|e| Error::refused(format!("env file `{path}`: {e}")))?;
    }
    for (index, literal) in args.literals.iter().enumerate() {
        // Not quoted: what lacks its key may be a password.
        let (key, value) = literal.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(|| {
            Error::refused(format!("invalid literal source at `literals[{index}]`, expected key=value"))
        })?;
        cost::of_text(root.budget(), PAIR + literal.len())?;
        pairs.push((key.to_owned(), unquoted(value).as_bytes().to_vec()));
    }
    for source in &args.files {
        let (key, path) = file_source(source)?;
        let bytes = root.bytes(path)?;
        cost::of_text(root.budget(), PAIR + key.len() + bytes.len())?;
        pairs.push((key.to_owned(), bytes.to_vec()));
    }
    Ok(pairs)
}

fn unquoted(value: &str) -> &str {
    ['"', '\'']
        .iter()
        .find_map(|quote| value.strip_prefix(*quote).and_then(|rest| rest.strip_suffix(*quote)))
        .unwrap_or(value)
}

pub(crate) fn file_source(source: &str) -> Result<(&str, &str), Error> {
    let refused = |why: &str| Err(Error::refused(format!("file source `{source}`: {why}")));
    match source.split_once('=') {
        None => Ok((source.trim_end_matches('/').rsplit('/').next().unwrap_or(source), source)),
        Some((_, path)) if path.contains('=') => refused("key name or file path contains `=`"),
        Some(("", _)) => refused("missing key name"),
        Some((_, "")) => refused("missing file path"),
        Some(pair) => Ok(pair),
    }
}

/// Lines of `KEY=value`; blank ones and comments are passed over, a line without `=` has an empty value.
pub(crate) fn variables(bytes: &[u8], pairs: &mut Vec<Pair>) -> Result<(), String> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    for (number, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = std::str::from_utf8(line).map_err(|_| format!("line {} has invalid UTF-8", number + 1))?;
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        if !key.is_empty() {
            pairs.push((key.to_owned(), value.as_bytes().to_vec()));
        }
    }
    Ok(())
}

/// `IAMPolicyGenerator`, the plugin that makes a ServiceAccount for Google's workload identity.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct IamPolicy {
    cloud: String,
    kubernetes_service: KubernetesService,
    service_account: ServiceAccount,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct KubernetesService {
    name: String,
    namespace: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ServiceAccount {
    name: String,
    project_id: String,
}

impl IamPolicy {
    pub(crate) fn generate(&self) -> Result<Resource, Error> {
        if self.cloud != "gke" {
            return Err(Error::refused(format!(
                "cloud provider `{}` is not supported by IAMPolicyGenerator: use gke",
                self.cloud
            )));
        }
        let ServiceAccount { name, project_id } = &self.service_account;
        let map =
            [("apiVersion", "v1"), ("kind", "ServiceAccount")].map(|(key, text)| (key.to_owned(), Node::text(text)));
        let mut resource = Resource::new(Node::Map(Map(map.to_vec())));
        resource
            .set_annotation("iam.gke.io/gcp-service-account", format!("{name}@{project_id}.iam.gserviceaccount.com"));
        resource.set_name(self.kubernetes_service.name.clone());
        resource.set_namespace(&self.kubernetes_service.namespace);
        Ok(resource)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_base64_is_cut_into_lines() {
        assert_eq!(encode(b"abc"), "YWJj");
        assert_eq!(encode(&[0; 60]), format!("{}\n{}\n", "A".repeat(70), "A".repeat(10)));
        assert!(encode(&[0; 51]).len() == 68);
    }

    #[test]
    fn sources_are_taken_apart_as_kustomize_does() {
        assert_eq!(file_source("a/b.txt").unwrap(), ("b.txt", "a/b.txt"));
        assert_eq!(file_source("k=a/b.txt").unwrap(), ("k", "a/b.txt"));
        assert!(["=a", "k=", "a=b=c"].iter().all(|bad| file_source(bad).is_err()));
        assert_eq!((unquoted("'a b'"), unquoted("\"x"), unquoted("'")), ("a b", "\"x", "'"));
        let mut pairs = Vec::new();
        variables("\u{feff}# c\n A=1 \r\nB\n\n=x\nC=a=b".as_bytes(), &mut pairs).unwrap();
        let text: Vec<String> = pairs.iter().map(|(k, v)| format!("{k}:{}", String::from_utf8_lossy(v))).collect();
        assert_eq!(text, ["A:1 ", "B:", "C:a=b"]);
    }
}
