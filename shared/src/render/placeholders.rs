//! Finds the placeholders of argocd-vault-plugin in rendered objects and puts values in their place
//! (argoproj-labs/argocd-vault-plugin `docs/howitworks.md`, `pkg/kube/util.go`). Pure; no error quotes a value.

mod json_path;
mod modifiers;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use slipway_manifest::Object;

use crate::app::Source;

/// The secret of placeholders that name only a key.
const PATH: &str = "avp.kubernetes.io/path";
/// Its version.
const VERSION: &str = "avp.kubernetes.io/secret-version";
/// `true` leaves an object as it is.
const IGNORE: &str = "avp.kubernetes.io/ignore";
/// `true` removes the keys of a Secret or ConfigMap for which there is no value.
const REMOVE_MISSING: &str = "avp.kubernetes.io/remove-missing";
/// What the names of the plugin's variants begin with.
const PLUGIN: &str = "argocd-vault-plugin";
/// Levels of an object that are looked into.
const MAX_DEPTH: usize = 100;

/// A secret that placeholders name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretVersion {
    /// The secret, as it is written.
    pub path: String,
    /// Its version; empty for the current one.
    pub version: String,
}

/// The keys and values of secrets.
pub type SecretValues = BTreeMap<SecretVersion, Map<String, Value>>;

/// Why a placeholder is not replaced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{object}: placeholder `<{placeholder}>`: {problem}")]
pub struct PlaceholderError {
    /// The object.
    pub object: String,
    /// What stands between the brackets.
    pub placeholder: String,
    /// The mistake.
    pub problem: String,
}

/// Whether `plugin` of a source is argocd-vault-plugin, in any of its variants.
pub fn is_vault_plugin(plugin: &Map<String, Value>) -> bool {
    plugin.get("name").and_then(Value::as_str).is_some_and(|name| name.starts_with(PLUGIN))
}

/// `source` as the plugin's commands have it rendered before: as what its folder holds, a chart with the values of the
/// plugin's `HELM_VALUES`. Fails in words for what its other
/// variables would do.
pub(super) fn without_plugin(source: Cow<'_, Source>) -> Result<Cow<'_, Source>, String> {
    let Some(plugin) = source.plugin.as_ref().filter(|plugin| is_vault_plugin(plugin)) else { return Ok(source) };
    let mut values = None;
    for one in plugin.get("env").and_then(Value::as_array).into_iter().flatten() {
        let [name, value] = ["name", "value"].map(|key| one.get(key).and_then(Value::as_str).unwrap_or_default());
        match name {
            "HELM_VALUES" => values = Some(value.to_owned()),
            // Where the plugin finds its secrets is said by the settings.
            name if name.starts_with("AVP_") || name.starts_with("AWS_") || value.is_empty() => {}
            name => {
                return Err(format!(
                    "the variable `{name}` of {PLUGIN} has no effect here: say it by `source.helm` or \
                     `source.kustomize`, and leave `source.plugin` out"
                ));
            }
        }
    }
    let helm = values.map(|values| Map::from_iter([("values".to_owned(), Value::String(values))]));
    Ok(Cow::Owned(Source { plugin: None, helm, ..source.into_owned() }))
}

/// Why a source with another plugin is not rendered, and what to do instead.
pub(super) fn refusal(source: &Source) -> String {
    let name = source.plugin.as_ref().and_then(|plugin| plugin.get("name")?.as_str()).unwrap_or_default();
    let instead = [
        ("helm-secrets", "leave `source.plugin` out and name the value files as `secrets://FILE` in `source.helm`"),
        ("sops", "leave `source.plugin` out: files that SOPS encrypted are decrypted where the project lets them be"),
        ("kustom", "leave `source.plugin` out: a chart in a kustomization is its `helmCharts`, with `--enable-helm`"),
        ("helm", "leave `source.plugin` out and say it by `source.helm`"),
        ("jsonnet", "leave `source.plugin` out: Jsonnet is evaluated by `source.directory.jsonnet`"),
        ("tanka", "leave `source.plugin` out: Jsonnet is evaluated by `source.directory.jsonnet`"),
    ];
    let known = instead.into_iter().find(|(part, _)| name.contains(part)).map(|(_, instead)| instead);
    let known = known.unwrap_or("commit what it makes to the repository, by a job of your CI");
    format!("config management plugin `{name}` is not run, as no program of a repository is: {known}")
}

/// The secrets that the placeholders of `objects` name.
pub fn needed(objects: &[Object]) -> BTreeSet<SecretVersion> {
    let mut needed = BTreeSet::new();
    for object in objects {
        let Some(mut filler) = Filler::of(object, None) else { continue };
        // What is wrong is told when values are there.
        let _ = filler.value(&mut object.to_value(), 0);
        needed.append(&mut filler.needed);
    }
    needed
}

/// Replaces the placeholders of `objects` by values of `found`. Returns what must be masked wherever it turns up.
pub fn fill(objects: &mut [Object], found: &SecretValues) -> Result<BTreeSet<String>, PlaceholderError> {
    let mut secret = BTreeSet::new();
    for object in objects {
        let Some(mut filler) = Filler::of(object, Some(found)) else { continue };
        let mut value = object.to_value();
        filler.value(&mut value, 0)?;
        if !filler.needed.is_empty() {
            secret.append(&mut filler.secret);
            let name = filler.object;
            *object = Object::from_value(value).map_err(|error| PlaceholderError {
                object: name,
                placeholder: String::new(),
                problem: format!("what it makes is no object: {error}"),
            })?;
        }
    }
    Ok(secret)
}

/// Goes through one object.
struct Filler<'f> {
    object: String,
    is_secret: bool,
    is_config_map: bool,
    /// The secret of its annotation.
    own: Option<SecretVersion>,
    removes_missing: bool,
    /// None while it is only found out what is needed.
    found: Option<&'f SecretValues>,
    needed: BTreeSet<SecretVersion>,
    secret: BTreeSet<String>,
}

/// What a text becomes.
enum Filled {
    Value(Value),
    /// Its key goes.
    Missing,
}

impl<'f> Filler<'f> {
    /// None for an object that is left as it is.
    fn of(object: &Object, found: Option<&'f SecretValues>) -> Option<Self> {
        if object.annotation(IGNORE) == Some("true") {
            return None;
        }
        let version = object.annotation(VERSION).unwrap_or_default().to_owned();
        let own = object.annotation(PATH).map(|path| SecretVersion { path: path.to_owned(), version });
        let (is_secret, is_config_map) = (object.kind() == "Secret", object.kind() == "ConfigMap");
        Some(Self {
            object: object.id().to_string(),
            is_secret,
            is_config_map,
            own,
            removes_missing: (is_secret || is_config_map) && object.annotation(REMOVE_MISSING) == Some("true"),
            found,
            needed: BTreeSet::new(),
            secret: BTreeSet::new(),
        })
    }

    fn value(&mut self, value: &mut Value, depth: usize) -> Result<(), PlaceholderError> {
        if depth > MAX_DEPTH {
            return Ok(());
        }
        match value {
            Value::Object(map) => {
                let mut missing = Vec::new();
                for (key, value) in map.iter_mut() {
                    match value {
                        Value::String(text) => match self.text(text)? {
                            Some(Filled::Value(filled)) => *value = filled,
                            Some(Filled::Missing) => missing.push(key.clone()),
                            None => {}
                        },
                        other => self.value(other, depth + 1)?,
                    }
                }
                map.retain(|key, _| !missing.contains(key));
            }
            Value::Array(items) => {
                for item in items {
                    match item {
                        Value::String(text) => {
                            if let Some(Filled::Value(filled)) = self.text(text)? {
                                *item = filled;
                            }
                        }
                        other => self.value(other, depth + 1)?,
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What a text becomes; none where it has no placeholder.
    fn text(&mut self, text: &str) -> Result<Option<Filled>, PlaceholderError> {
        if self.is_secret
            && let Some(plain) = STANDARD.decode(text).ok().and_then(|plain| String::from_utf8(plain).ok())
            && let Some(filled) = self.plain(&plain)?
        {
            return Ok(Some(match filled {
                Filled::Value(value) => Filled::Value(STANDARD.encode(as_text(&value)).into()),
                Filled::Missing => Filled::Missing,
            }));
        }
        let filled = self.plain(text)?;
        Ok(filled.map(|filled| match filled {
            Filled::Value(value) if self.is_config_map => Filled::Value(as_text(&value).into()),
            other => other,
        }))
    }

    fn plain(&mut self, text: &str) -> Result<Option<Filled>, PlaceholderError> {
        let (mut filled, mut rest, mut has_any) = (String::new(), text, false);
        while let Some((before, after)) = rest.split_once('<') {
            filled.push_str(before);
            let placeholder = after.split_once('>').filter(|(it, _)| !it.contains('\n') && self.is_meant(it));
            let Some((placeholder, after)) = placeholder else {
                filled.push('<');
                rest = after;
                continue;
            };
            has_any = true;
            rest = after;
            match self.placeholder(placeholder)? {
                Some(Value::String(value)) => filled.push_str(&value),
                // It takes the place of the whole text, as `replicas: <replicas>` has it.
                Some(other) => return Ok(Some(Filled::Value(other))),
                None if self.found.is_some() => return Ok(Some(Filled::Missing)),
                None => {}
            }
        }
        filled.push_str(rest);
        Ok(has_any.then_some(Filled::Value(Value::String(filled))))
    }

    /// Any text in brackets, where an annotation names a secret; otherwise one with its own path.
    fn is_meant(&self, placeholder: &str) -> bool {
        let has_path = || placeholder.strip_prefix("path:").is_some_and(|rest| rest.contains('#'));
        self.own.is_some() || has_path()
    }

    /// The value of a placeholder; none where it is missing and may be.
    fn placeholder(&mut self, placeholder: &str) -> Result<Option<Value>, PlaceholderError> {
        let error = |problem: String| PlaceholderError {
            object: self.object.clone(),
            placeholder: placeholder.to_owned(),
            problem,
        };
        let mut steps = placeholder.split('|');
        let named = steps.next().unwrap_or_default().trim();
        let inline = named.strip_prefix("path:").and_then(|rest| rest.split_once('#'));
        let (secret, key) = match (inline, &self.own) {
            (Some((path, rest)), _) => {
                let (key, version) = rest.split_once('#').unwrap_or((rest, ""));
                (SecretVersion { path: path.trim().to_owned(), version: version.trim().to_owned() }, key.trim())
            }
            (None, Some(own)) => (own.clone(), named),
            (None, None) => return Err(error("it names no secret".to_owned())),
        };
        self.needed.insert(secret.clone());
        let Some(found) = self.found else { return Ok(None) };
        let Some(value) = found.get(&secret).and_then(|values| values.get(key)) else {
            if inline.is_none() && self.removes_missing {
                return Ok(None);
            }
            return Err(error(format!("`{}` has no key `{key}`", secret.path)));
        };
        let mut value = value.clone();
        let mut seen = vec![value.clone()];
        for step in steps {
            value = modifiers::apply(step.trim(), value).map_err(error)?;
            seen.push(value.clone());
        }
        for value in &seen {
            mask(value, &mut self.secret, 0);
        }
        Ok(Some(value))
    }
}

/// Adds all texts of a value, those in JSON written as text, too.
fn mask(value: &Value, secret: &mut BTreeSet<String>, depth: usize) {
    match value {
        Value::String(text) => {
            if let Ok(inner @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(text)
                && depth < MAX_DEPTH
            {
                mask(&inner, secret, depth + 1);
            }
            secret.insert(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| mask(item, secret, depth + 1)),
        Value::Object(map) => map.values().for_each(|value| mask(value, secret, depth + 1)),
        Value::Number(number) => {
            secret.insert(number.to_string());
        }
        Value::Null | Value::Bool(_) => {}
    }
}

/// A value where only a text may stand.
fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
