//! Reads plain manifests (argoproj/argo-cd `reposerver/repository/repository.go`, findManifests): which files of a
//! folder, in which order, and which of their documents are objects.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use slipway_budget::Budget;
use slipway_gocompat::Glob;
use slipway_manifest::{NodeKind, Tree, TreeError, YamlErrorKind, json, yaml};

use super::jsonnet::Evaluator;
use super::{Reading, RenderError, Rendered, objects, shown};
use crate::app::Directory;

/// Argo CD's default limit (`--max-combined-directory-manifests-size 10M`).
const MAX_BYTES: usize = 10_000_000;

/// The marker of a file to skip.
const SKIP: &str = "+argocd:skip-file-rendering";

struct Walk<'a> {
    tree: &'a Tree,
    base: String,
    directory: &'a Directory,
    include: Option<Glob>,
    exclude: Option<Glob>,
    links: BTreeSet<&'a str>,
    bytes: usize,
    rendered: Rendered,
    budget: &'a Budget,
    reading: Reading,
    jsonnet: &'a Evaluator<'a>,
}

/// `env` is the build environment, of which Jsonnet's variables are made.
pub(super) fn render(
    tree: &Tree,
    path: &str,
    directory: &Directory,
    (budget, env): (&Budget, &BTreeMap<String, String>),
    reading: Reading,
) -> Result<Rendered, RenderError> {
    let base = tree.resolve(path)?;
    let jsonnet = Evaluator::new(tree, &base, &directory.jsonnet, env, budget)?;
    let links = tree.links_below(&base)?.map(|(link, _)| link).collect();
    let glob = |pattern: &str| (!pattern.is_empty()).then(|| Glob::new(pattern));
    let (include, exclude) = (glob(&directory.include), glob(&directory.exclude));
    let rendered = Rendered::default();
    let bytes = 0;
    let mut walk = Walk {
        tree,
        base: base.clone(),
        directory,
        include,
        exclude,
        links,
        bytes,
        rendered,
        budget,
        reading,
        jsonnet: &jsonnet,
    };
    walk.folder(&base)?;
    let mut rendered = walk.rendered;
    rendered.files.extend(jsonnet.read());
    Ok(rendered)
}

impl Walk<'_> {
    /// Files and folders by name; symlinks to folders are not followed.
    fn folder(&mut self, folder: &str) -> Result<(), RenderError> {
        self.rendered.folders.insert(folder.to_owned());
        let names: Vec<String> = self.tree.list(folder)?.map(str::to_owned).collect();
        for name in names {
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let is_link = self.links.contains(path.as_str());
            if !is_link && self.tree.kind(&path)? == Some(NodeKind::Directory) {
                if self.directory.recurse {
                    self.folder(&path)?;
                }
            } else if is_manifest(&path) {
                match self.file(&path) {
                    Err(error) if self.reading.tolerant && !is_exceeded(&error) => self.rendered.broken.push(error),
                    read => read?,
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &str) -> Result<(), RenderError> {
        let relative = path.strip_prefix(&self.base).unwrap_or(path).trim_start_matches('/').to_owned();
        match self.tree.kind(path)? {
            Some(NodeKind::File) => {}
            Some(NodeKind::Directory) => {
                self.rendered.warnings.push(format!("`{path}` is a symlink to a folder and is passed over"));
                return Ok(());
            }
            None => {
                self.rendered.warnings.push(format!("`{path}` is a symlink to nothing and is passed over"));
                return Ok(());
            }
        }
        let excluded = self.exclude.as_ref().is_some_and(|glob| glob.matches(&relative));
        if excluded || self.include.as_ref().is_some_and(|glob| !glob.matches(&relative)) {
            return Ok(());
        }
        let bytes = self.tree.read(path)?;
        let is_jsonnet = extension(path) == "jsonnet";
        // What a program makes may be written in the files that it imports.
        if !is_jsonnet && self.reading.filter.is_some_and(|is_wanted| !is_wanted(bytes)) {
            return Ok(());
        }
        self.rendered.files.insert(self.tree.resolve(path)?);
        let Ok(text) = yaml::decode(bytes) else {
            // What is some other YAML is passed over, whatever it is written in.
            if extension(path) != "json" && !looks_like_a_manifest(&String::from_utf8_lossy(bytes)) {
                self.pass_over(path);
                return Ok(());
            }
            return Err(TreeError::NotUtf8 { path: path.to_owned() }.into());
        };
        if text.contains(SKIP) {
            return Ok(());
        }
        // As in Argo CD, where a program has other bounds than the sizes of files.
        self.bytes += if is_jsonnet { 0 } else { bytes.len() };
        if self.bytes > MAX_BYTES {
            return Err(RenderError::TooLarge { path: shown(&self.base), limit: MAX_BYTES });
        }
        let documents = if is_jsonnet {
            self.evaluated(&text, path)?
        } else if extension(path) == "json" {
            self.pay_json(&text, path)?;
            one_of_json(&text, path)?
        } else {
            self.yaml(&text, path)?
        };
        for document in documents {
            match objects(document, path) {
                Ok(objects) => {
                    self.rendered.origins.extend(objects.iter().map(|_| path.to_owned()));
                    self.rendered.objects.extend(objects);
                }
                Err(error) if self.reading.tolerant => self.rendered.broken.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The objects of a Jsonnet file.
    fn evaluated(&self, text: &str, path: &str) -> Result<Vec<Value>, RenderError> {
        let documents = self.jsonnet.documents(path, text.as_bytes())?;
        if self.reading.filter.is_some() {
            return Ok(documents.into_iter().filter(has_kind).collect());
        }
        match documents.iter().position(|document| !has_kind(document)) {
            None => Ok(documents),
            Some(index) => {
                let problem = match documents.get(index) {
                    Some(Value::Object(_)) => format!("object {} of what it evaluates to has no `kind`", index + 1),
                    _ => "evaluates to what is neither an object nor a list of objects".to_owned(),
                };
                Err(RenderError::Invalid { file: path.to_owned(), problem })
            }
        }
    }

    /// The documents of a YAML file. A file without an object before its first error that does not look like a manifest
    /// is some other YAML, and is skipped.
    fn yaml(&mut self, text: &str, path: &str) -> Result<Vec<Value>, RenderError> {
        if text.trim_start().starts_with('{') {
            self.pay_json(text, path)?;
            if let Ok(documents) = json_stream(text) {
                return self.kinds(documents, text, path);
            }
        }
        let documents = match yaml::parse_manifests(text, yaml::Options::default(), self.budget) {
            Err(strict) if !matches!(strict.kind, YamlErrorKind::Exceeded(_)) => {
                let lenient = yaml::parse_manifests(text, yaml::Options::lenient(), self.budget);
                if lenient.is_ok() {
                    self.rendered.warnings.push(format!("`{path}` {strict}: the last one counts"));
                }
                lenient
            }
            documents => documents,
        };
        match documents {
            Ok(documents) => self.kinds(documents, text, path),
            Err(source) if self.reading.tolerant && !matches!(source.kind, YamlErrorKind::Exceeded(_)) => {
                Ok(self.readable(text, path))
            }
            Err(source) if looks_like_a_manifest(text) && text.contains("{{") => Err(RenderError::Invalid {
                file: path.to_owned(),
                problem: format!("{source}; it looks like a template of Helm, and there is no Chart.yaml"),
            }),
            Err(source) if looks_like_a_manifest(text) || matches!(source.kind, YamlErrorKind::Exceeded(_)) => {
                Err(RenderError::Yaml { file: path.to_owned(), source })
            }
            Err(_) => Ok(self.pass_over(path)),
        }
    }

    /// Each document by itself, where the file as a whole can't be read: those that can be.
    fn readable(&mut self, text: &str, path: &str) -> Vec<Value> {
        let mut readable = Vec::new();
        for (line, document) in yaml::split(text) {
            match yaml::parse_manifests(document, yaml::Options::lenient(), self.budget) {
                Ok(documents) => readable.extend(documents.into_iter().filter(|one| one.get("kind").is_some())),
                Err(error) => {
                    let problem = format!("the document on line {line} can't be read: {error}");
                    let error = RenderError::Invalid { file: path.to_owned(), problem };
                    self.rendered.broken.push(error);
                }
            }
        }
        readable
    }

    fn pay_json(&self, text: &str, path: &str) -> Result<(), RenderError> {
        let over = |source| RenderError::Budget { file: path.to_owned(), source };
        json::pay(text.as_bytes(), self.budget).map_err(over)
    }

    /// All documents, or none where the first is no Kubernetes object.
    fn kinds(&mut self, documents: Vec<Value>, text: &str, path: &str) -> Result<Vec<Value>, RenderError> {
        let documents: Vec<Value> = documents.into_iter().filter(|document| !document.is_null()).collect();
        match documents.iter().position(|document| !has_kind(document)) {
            None => Ok(documents),
            Some(_) if self.reading.filter.is_some() => Ok(documents.into_iter().filter(has_kind).collect()),
            Some(0) if !looks_like_a_manifest(text) => Ok(self.pass_over(path)),
            Some(index) => {
                let number = index + 1;
                let problem = match documents.get(index) {
                    Some(Value::Array(_)) => format!(
                        "document {number} is a list: write its items one by one with `---` between them, or as \
                            `items` of a `List`"
                    ),
                    _ => format!("document {number} has no `kind`"),
                };
                Err(RenderError::Invalid { file: path.to_owned(), problem })
            }
        }
    }

    fn pass_over(&mut self, path: &str) -> Vec<Value> {
        self.rendered.warnings.push(format!("`{path}` is not a Kubernetes manifest and is passed over"));
        Vec::new()
    }
}

/// Whether a bound of the whole render was reached: then nothing else can be read either.
fn is_exceeded(error: &RenderError) -> bool {
    match error {
        RenderError::Budget { .. } | RenderError::TooLarge { .. } => true,
        RenderError::Yaml { source, .. } => matches!(source.kind, YamlErrorKind::Exceeded(_)),
        _ => false,
    }
}

fn has_kind(document: &Value) -> bool {
    document.get("kind").and_then(Value::as_str).is_some_and(|kind| !kind.is_empty())
}

fn is_manifest(path: &str) -> bool {
    matches!(extension(path), "yaml" | "yml" | "json" | "jsonnet")
}

/// The extension of a file's name.
fn extension(path: &str) -> &str {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

fn looks_like_a_manifest(text: &str) -> bool {
    ["apiVersion:", "kind:", "metadata:"].iter().all(|field| text.contains(field))
}

/// The one object of a JSON file.
fn one_of_json(text: &str, path: &str) -> Result<Vec<Value>, RenderError> {
    let invalid = |problem: String| RenderError::Invalid { file: path.to_owned(), problem };
    let documents = json_stream(text).map_err(|e| invalid(format!("is no JSON: {e}")))?;
    match documents.as_slice() {
        [document @ Value::Object(_)] if has_kind(document) => Ok(documents),
        [] => Err(invalid("is empty".to_owned())),
        [_] => Err(invalid("has no `kind`".to_owned())),
        _ => Err(invalid("holds several objects, of which a JSON file may have one".to_owned())),
    }
}

fn json_stream(text: &str) -> Result<Vec<Value>, serde_json::Error> {
    serde_json::Deserializer::from_str(text.trim_start_matches('\u{feff}')).into_iter().collect()
}
