//! Argo CD's Helm source as [`Options`] (argoproj/argo-cd `reposerver/repository/repository.go`, `util/helm`).
//!
//! Later wins: `valueFiles`, then `valuesObject` or else `values`, then `parameters` and `fileParameters`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use slipway_budget::Budget;
use slipway_gocompat::Glob;
use slipway_manifest::tree::{NodeKind, TreeError, join};
use slipway_manifest::{Tree, YamlError};

use crate::options::{Options, Release, Set, SetKind};
use crate::parse_values;

/// Files that one source may list, globs expanded.
const MAX_VALUE_FILES: usize = 1_000;

/// Why a Helm source can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgoError {
    /// A field has a value of another type.
    #[error("`helm.{field}` must be {wanted}")]
    Type {
        /// The field below `helm`.
        field: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
    /// A value file that is not there, or that leads out of the repository.
    #[error("failed to read the value file `{file}`")]
    File {
        /// The file as written.
        file: String,
        /// What is wrong.
        #[source]
        source: TreeError,
    },
    /// A value file that would have to be fetched.
    #[error("the value file `{file}` is not in a repository: remote files are not supported yet")]
    Remote {
        /// The file as written.
        file: String,
    },
    /// A value file of a source that there is not.
    #[error("the value file `{file}` names a source that there is not: none of `spec.sources` has that `ref`")]
    Reference {
        /// The file as written.
        file: String,
    },
    /// Values that are not YAML.
    #[error("failed to read `{origin}`")]
    Yaml {
        /// The file, or `helm.values`.
        origin: String,
        /// What is wrong, with the line.
        #[source]
        source: YamlError,
    },
    /// Values that are a list or a scalar.
    #[error("failed to read `{origin}`: values must be a mapping, found {found}")]
    ValuesType {
        /// The file, or `helm.values`.
        origin: String,
        /// What was found.
        found: &'static str,
    },
    /// More value files than the bound.
    #[error("more than {0} value files")]
    TooMany(usize),
}

/// What a Helm source does not say itself.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The repository.
    pub tree: &'a Tree,
    /// The chart's folder in it.
    pub path: &'a str,
    /// Name of the Application: the release's name unless the source has another.
    pub app: &'a str,
    /// Namespace of the destination.
    pub namespace: &'a str,
    /// The cluster's version.
    pub kube_version: Option<&'a str>,
    /// The cluster's API versions.
    pub api_versions: &'a [String],
    /// The build environment (`ARGOCD_APP_NAME`, …), which parameters and paths may use as `$NAME`.
    pub env: &'a BTreeMap<String, String>,
    /// The budget of the render, which reading value files draws from.
    pub budget: &'a Budget,
}

/// What a source reads besides the chart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Read {
    /// Value files and files of `fileParameters`; those that were missed, too.
    pub files: BTreeSet<String>,
    /// Folders that a glob looked into, from where on it has wildcards: what comes or goes below may change the answer.
    pub folders: BTreeSet<String>,
}

/// The options for `helm`, the field of that name in an Application's source (null where it has none), and what was
/// read for them. Seed, clock, answers to lookups and limits are left as they are by default.
pub fn options(helm: &Value, cx: &Context<'_>) -> Result<(Options, Read), ArgoError> {
    let mut read = Read::default();
    let mut options = Options {
        values: value_files(helm, cx, &mut read)?,
        sets: parameters(helm, cx, &mut read)?,
        release: Release {
            name: text(helm, "releaseName")?.unwrap_or(cx.app).to_owned(),
            namespace: text(helm, "namespace")?.unwrap_or(cx.namespace).to_owned(),
            ..Release::default()
        },
        kube_version: text(helm, "kubeVersion")?.or(cx.kube_version).map(str::to_owned),
        api_versions: match texts(helm, "apiVersions")? {
            own if own.is_empty() => cx.api_versions.to_vec(),
            own => own,
        },
        include_crds: !flag(helm, "skipCrds")?,
        skip_tests: flag(helm, "skipTests")?,
        skip_schema_validation: flag(helm, "skipSchemaValidation")?,
        ..Options::default()
    };
    match helm.get("valuesObject") {
        Some(object @ Value::Object(_)) => options.values.push(object.clone()),
        Some(Value::Null) | None => {
            if let Some(values) = text(helm, "values")? {
                options.values.push(parse(values, "helm.values", cx.budget)?);
            }
        }
        Some(_) => return Err(ArgoError::Type { field: "valuesObject", wanted: "a mapping" }),
    }
    Ok((options, read))
}

fn text<'v>(helm: &'v Value, field: &'static str) -> Result<Option<&'v str>, ArgoError> {
    match helm.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(_) => Err(ArgoError::Type { field, wanted: "a string" }),
    }
}

fn flag(helm: &Value, field: &'static str) -> Result<bool, ArgoError> {
    match helm.get(field) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(set)) => Ok(*set),
        Some(_) => Err(ArgoError::Type { field, wanted: "a boolean" }),
    }
}

fn list<'v>(helm: &'v Value, field: &'static str) -> Result<&'v [Value], ArgoError> {
    match helm.get(field) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(list)) => Ok(list),
        Some(_) => Err(ArgoError::Type { field, wanted: "a list" }),
    }
}

fn texts(helm: &Value, field: &'static str) -> Result<Vec<String>, ArgoError> {
    let one =
        |item: &Value| item.as_str().map(str::to_owned).ok_or(ArgoError::Type { field, wanted: "a list of strings" });
    list(helm, field)?.iter().map(one).collect()
}

fn parse(text: &str, origin: &str, budget: &Budget) -> Result<Value, ArgoError> {
    match parse_values(text, budget) {
        Ok(values @ (Value::Object(_) | Value::Null)) => Ok(values),
        Ok(other) => {
            let found = if other.is_array() { "a list" } else { "a scalar" };
            Err(ArgoError::ValuesType { origin: origin.to_owned(), found })
        }
        Err(source) => Err(ArgoError::Yaml { origin: origin.to_owned(), source }),
    }
}

/// The value files in order, each once.
fn value_files(helm: &Value, cx: &Context<'_>, read: &mut Read) -> Result<Vec<Value>, ArgoError> {
    let mut seen = BTreeSet::new();
    let ignore_missing = flag(helm, "ignoreMissingValueFiles")?;
    let mut values = Vec::new();
    for written in texts(helm, "valueFiles")? {
        let wrong = |source| ArgoError::File { file: written.clone(), source };
        let path = resolve(&written, cx)?;
        let found: Vec<String> = if let Some(wildcard) = path.find(['*', '?', '[']) {
            let fixed = path.get(..wildcard).and_then(|fixed| fixed.rsplit_once('/')).map_or("", |(folder, _)| folder);
            read.folders.insert(fixed.to_owned());
            let glob = Glob::of_paths(&path);
            let all = cx.tree.files_below("").map_err(wrong)?;
            all.filter(|file| glob.matches(file)).map(str::to_owned).collect()
        } else {
            let exists = cx.tree.kind(&path).map_err(wrong)? == Some(NodeKind::File);
            read.files.insert(path.clone());
            if exists { vec![path.clone()] } else { Vec::new() }
        };
        if found.is_empty() && !ignore_missing {
            return Err(wrong(TreeError::NotFound { path }));
        }
        for file in found {
            if seen.len() >= MAX_VALUE_FILES {
                return Err(ArgoError::TooMany(MAX_VALUE_FILES));
            }
            if seen.insert(file.clone()) {
                let text = cx.tree.read_text(&file).map_err(wrong)?;
                values.push(parse(text, &file, cx.budget)?);
                read.files.insert(cx.tree.resolve(&file).map_err(wrong)?);
            }
        }
    }
    Ok(values)
}

/// A path in the tree: relative to the chart, or with a leading slash to the repository. `$REF/PATH` is a path in
/// another source (argoproj/argo-cd `reposerver/repository/repository.go`, getResolvedRefValueFile), which the caller
/// has put into the tree's folder `$REF`.
fn resolve(written: &str, cx: &Context<'_>) -> Result<String, ArgoError> {
    let wrong = |source| ArgoError::File { file: written.to_owned(), source };
    if let Some((reference, path)) = reference(written)
        && cx.tree.kind(reference).map_err(wrong)? == Some(NodeKind::Directory)
    {
        let inner = join("", expand(path, cx.env).trim_start_matches('/')).map_err(wrong)?;
        return Ok(format!("{reference}/{inner}"));
    }
    let path = expand(written, cx.env);
    if path.contains("://") {
        return Err(ArgoError::Remote { file: written.to_owned() });
    }
    if reference(written).is_some() && !is_known(written, cx.env) {
        return Err(ArgoError::Reference { file: written.to_owned() });
    }
    let resolved = match path.strip_prefix('/') {
        Some(from_root) => join("", from_root),
        None => join(cx.path, &path),
    };
    resolved.map_err(wrong)
}

/// `$REF` and the path behind it, where `written` begins so.
pub fn reference(written: &str) -> Option<(&str, &str)> {
    written.split_once('/').filter(|(reference, _)| reference.len() > 1 && reference.starts_with('$'))
}

fn is_known(written: &str, env: &BTreeMap<String, String>) -> bool {
    let name = written.trim_start_matches(['$', '{']);
    let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
    name.get(..end).is_some_and(|name| env.contains_key(name))
}

fn parameters(helm: &Value, cx: &Context<'_>, read: &mut Read) -> Result<Vec<Set>, ArgoError> {
    // By name, of two with one name the last: Argo CD holds them in maps.
    let mut named: BTreeMap<(SetKind, String), String> = BTreeMap::new();
    for parameter in list(helm, "parameters")? {
        let (name, value) = (field(parameter, "name", "parameters")?, field(parameter, "value", "parameters")?);
        let forced = parameter.get("forceString").and_then(Value::as_bool).unwrap_or(false);
        let kind = if forced { SetKind::Text } else { SetKind::Typed };
        named.insert((kind, name), escape_commas(&expand(&value, cx.env)));
    }
    for parameter in list(helm, "fileParameters")? {
        let (name, path) = (field(parameter, "name", "fileParameters")?, field(parameter, "path", "fileParameters")?);
        let path = resolve(&path, cx)?;
        read.files.insert(path.clone());
        named.insert((SetKind::File, name), escape_commas(&path));
    }
    Ok(named.into_iter().map(|((kind, name), value)| Set::new(kind, format!("{name}={value}"))).collect())
}

fn field(parameter: &Value, name: &str, list: &'static str) -> Result<String, ArgoError> {
    match parameter.get(name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(ArgoError::Type { field: list, wanted: "a list of mappings from names to strings" }),
    }
}

/// Argo CD's `cleanSetParameters`: a comma is part of the value, but for lists in braces.
fn escape_commas(value: &str) -> String {
    if value.starts_with('{') && value.ends_with('}') {
        return value.to_owned();
    }
    let mut out = String::new();
    for c in value.chars() {
        if c == ',' && !out.ends_with('\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// `text` with `$NAME` and `${NAME}` replaced from `env`: Go's `os.Expand` with `$$` for a dollar sign; unknown names
/// are empty (argoproj/argo-cd `reposerver/apiclient/repository.go`, Envsubst).
pub fn expand(text: &str, env: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (name, next) = if let Some(inner) = after.strip_prefix('{') {
            inner.split_once('}').unwrap_or(("", inner))
        } else if let Some(next) = after.strip_prefix('$') {
            ("$", next)
        } else {
            after.split_at(after.find(|c| !is_name(c)).unwrap_or(after.len()))
        };
        match name {
            "$" => out.push('$'),
            "" if !after.starts_with('{') => out.push('$'),
            name => out.push_str(env.get(name).map_or("", String::as_str)),
        }
        rest = next;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::merge_values;

    fn merged(helm: &Value) -> Result<Value, String> {
        let mut tree = Tree::default();
        for (path, text) in [
            ("apps/web/Chart.yaml", "name: web\n"),
            ("apps/web/a.yaml", "from: a\na: 1\n"),
            ("apps/web/env/b-1.yaml", "from: b1\nb: 1\n"),
            ("apps/web/env/b-2.yaml", "from: b2\n"),
            ("shared/c.yaml", "from: c\n"),
            ("apps/web/note.txt", "hello, world"),
        ] {
            tree.insert(path, text.as_bytes()).unwrap();
        }
        let env = BTreeMap::from([("ARGOCD_APP_NAME".to_owned(), "web".to_owned())]);
        let cx = Context {
            tree: &tree,
            path: "apps/web",
            app: "web",
            namespace: "shop",
            kube_version: Some("1.35"),
            api_versions: &[],
            env: &env,
            budget: &Budget::default(),
        };
        let (options, _) = options(helm, &cx).map_err(|e| e.to_string())?;
        assert_eq!(options.release.namespace, "shop");
        merge_values(&tree, &options).map(Value::Object).map_err(|e| e.to_string())
    }

    #[test]
    fn later_sources_win() {
        let helm = json!({
            "valueFiles": ["a.yaml", "env/*.yaml", "a.yaml", "/shared/c.yaml", "missing.yaml"],
            "ignoreMissingValueFiles": true,
            "values": "from: values\nv: 1\n",
            "parameters": [
                {"name": "p", "value": "1"}, {"name": "q", "value": "1", "forceString": true},
                {"name": "r", "value": "a,b-$ARGOCD_APP_NAME"}, {"name": "l", "value": "{x,y}"}],
            "fileParameters": [{"name": "f", "path": "note.txt"}],
        });
        assert_eq!(
            merged(&helm).unwrap(),
            json!({
                "from": "values", "a": 1.0, "b": 1.0, "v": 1.0, "p": 1, "q": "1", "r": "a,b-web", "l": ["x", "y"],
                "f": "hello, world"
            })
        );
        let object = json!({"valuesObject": {"from": "object"}, "values": "from: values"});
        assert_eq!(merged(&object).unwrap(), json!({"from": "object"}));
    }

    #[test]
    fn value_files_stay_in_the_repository() {
        for file in
            ["../../../etc/passwd", "/../x", "https://example.com/values.yaml", "$values/x.yaml", "missing.yaml"]
        {
            let error = merged(&json!({"valueFiles": [file]})).unwrap_err();
            assert!(error.contains(file), "{error}");
        }
    }
}
