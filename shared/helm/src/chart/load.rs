//! From a folder or an archive to a [`Chart`] (helm/helm `pkg/chart/v2/loader`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Map, Value};
use slipway_gocompat::semver::is_compatible;
use slipway_manifest::Tree;
use slipway_manifest::tree::{NodeKind, TreeError};
use slipway_manifest::yaml::{self, YamlError};

use super::archive::{ArchiveError, Budget, unpack};
use super::ignore::Rules;
use super::metadata::mapping;
use super::{Chart, Content, File, Metadata, MetadataError};
use crate::values::{as_floats, from_json, merge_maps};

/// Charts in charts in charts: our bound, Helm has none.
const MAX_DEPTH: usize = 20;
/// Folders in folders of one chart.
const MAX_FOLDERS: usize = 64;
/// Files of one chart with all charts below it.
const MAX_FILES: usize = 50_000;
/// Bytes of one file (Helm's own bound).
const MAX_FILE: usize = 5 << 20;

/// Why a `Chart.yaml` that is there is not seen.
const IGNORED: &str = " (`.helmignore` leaves it out; a line with `!` leaves out whatever it does not match)";

/// Why a chart can't be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The folder, a file in it or a symlink can't be read.
    #[error("failed to read the chart `{chart}`")]
    Tree {
        /// The chart's folder.
        chart: String,
        /// What is wrong.
        #[source]
        source: TreeError,
    },
    /// A YAML file of the chart is not YAML.
    #[error("failed to read `{file}`")]
    Yaml {
        /// The file, from the root of the repository.
        file: String,
        /// What is wrong, with the line.
        #[source]
        source: YamlError,
    },
    /// `Chart.yaml` or `requirements.yaml` says something impossible.
    #[error("failed to read `{file}`")]
    Metadata {
        /// The file.
        file: String,
        /// What is wrong.
        #[source]
        source: MetadataError,
    },
    /// `values.yaml` is a list or a scalar.
    #[error("`{file}` must be a mapping")]
    NotAMapping {
        /// The file.
        file: String,
    },
    /// A rule in `.helmignore`.
    #[error("failed to read `{line}` in .helmignore: {reason}")]
    Ignore {
        /// The line.
        line: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No `Chart.yaml`.
    #[error("`{chart}` is no chart: Chart.yaml file is missing{hint}")]
    NoChart {
        /// The folder.
        chart: String,
        /// What may be the reason.
        hint: &'static str,
    },
    /// An archive below `charts/`.
    #[error("failed to unpack `{file}`")]
    Archive {
        /// The archive.
        file: String,
        /// What is wrong.
        #[source]
        source: ArchiveError,
    },
    /// Charts in charts in charts, or too many files.
    #[error("`{chart}` has more than {limit} {what}")]
    TooMuch {
        /// The chart.
        chart: String,
        /// The limit.
        limit: usize,
        /// What there is too much of.
        what: &'static str,
    },
}

/// Loads the chart in the folder (or the archive) `path` of `tree`, with `local` also the dependencies that it names by
/// `file://`. `read` is told the path of each file in the tree that belongs to it.
pub(crate) fn load(
    tree: &Tree,
    path: &str,
    local: bool,
    render: &slipway_budget::Budget,
    read: &mut dyn FnMut(String),
) -> Result<Chart, LoadError> {
    let mut loader = Loader { archives: Budget::new(), render };
    let mut load = |path: &str, depth| {
        let files = files(tree, path, &mut loader, read)?;
        loader.chart(files, path, depth).map_err(|error| match error {
            LoadError::NoChart { hint: "", .. } => {
                let is_there = tree.kind(&join(path, "Chart.yaml")).is_ok_and(|kind| kind == Some(NodeKind::File));
                let chart = if path.is_empty() { "." } else { path }.to_owned();
                LoadError::NoChart { chart, hint: if is_there { IGNORED } else { "" } }
            }
            error => error,
        })
    };
    let mut chart = load(path, 0)?;
    if local {
        for wanted in chart.missing() {
            let Some(relative) = wanted.repository.strip_prefix("file://") else { continue };
            let broken = |source| LoadError::Tree { chart: relative.to_owned(), source };
            let place = slipway_manifest::tree::join(path, relative).map_err(broken)?;
            let found = load(&place, 1)?;
            if wanted.version.is_empty() || is_compatible(&wanted.version, &found.metadata.version) {
                chart.dependencies.push(found);
            }
        }
    }
    Ok(chart)
}

/// The files of a chart's folder or archive.
fn files(
    tree: &Tree,
    path: &str,
    loader: &mut Loader<'_>,
    read: &mut dyn FnMut(String),
) -> Result<Vec<File>, LoadError> {
    let broken = |source| LoadError::Tree { chart: path.to_owned(), source };
    if tree.kind(path).map_err(broken)? == Some(NodeKind::File) {
        read(path.to_owned());
        return loader.unpack(tree.read(path).map_err(broken)?, path);
    }
    let mut walk = Walk { tree, root: path, rules: None, files: Vec::new() };
    let ignore = join(path, ".helmignore");
    let text = match tree.kind(&ignore).map_err(broken)? {
        Some(NodeKind::File) => String::from_utf8_lossy(tree.read(&ignore).map_err(broken)?),
        _ => Cow::Borrowed(""),
    };
    walk.rules = Some(Rules::parse(&text)?);
    walk.folder("", 0)?;
    let files = walk.files;
    for file in &files {
        read(join(path, &file.name));
    }
    Ok(files)
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{}/{name}", folder.trim_end_matches('/')) }
}

/// The walk through a chart's folder: names in order in each folder, symlinks followed inside the repository.
struct Walk<'t, 'p> {
    tree: &'t Tree,
    root: &'p str,
    rules: Option<Rules>,
    files: Vec<File>,
}

impl Walk<'_, '_> {
    fn folder(&mut self, below: &str, depth: usize) -> Result<(), LoadError> {
        let broken = |source| LoadError::Tree { chart: self.root.to_owned(), source };
        let over = |limit, what| Err(LoadError::TooMuch { chart: self.root.to_owned(), limit, what });
        if depth > MAX_FOLDERS {
            return over(MAX_FOLDERS, "folders in folders");
        }
        let tree = self.tree;
        for name in tree.list(&join(self.root, below)).map_err(broken)? {
            let name = join(below, name);
            let path = join(self.root, &name);
            let kind = tree.kind(&path).map_err(broken)?;
            if self.rules.as_ref().is_some_and(|rules| rules.ignore(&name, kind == Some(NodeKind::Directory))) {
                continue;
            }
            if kind == Some(NodeKind::Directory) {
                self.folder(&name, depth + 1)?;
                continue;
            }
            let mut data = tree.read_shared(&path).map_err(broken)?;
            if data.len() > MAX_FILE {
                return over(MAX_FILE, "bytes in one file");
            }
            if self.files.len() >= MAX_FILES {
                return over(MAX_FILES, "files");
            }
            if let Some(rest) = data.strip_prefix(b"\xef\xbb\xbf") {
                data = Arc::from(rest);
            }
            self.files.push(File { name, data });
        }
        Ok(())
    }
}

struct Loader<'b> {
    archives: Budget,
    render: &'b slipway_budget::Budget,
}

impl Loader<'_> {
    fn unpack(&mut self, bytes: &[u8], path: &str) -> Result<Vec<File>, LoadError> {
        unpack(bytes, &mut self.archives, self.render)
            .map_err(|source| LoadError::Archive { file: path.to_owned(), source })
    }

    /// Makes a chart of `files`; `path` is where they lie, for messages.
    fn chart(&mut self, files: Vec<File>, path: &str, depth: usize) -> Result<Chart, LoadError> {
        if depth > MAX_DEPTH {
            return Err(LoadError::TooMuch { chart: path.to_owned(), limit: MAX_DEPTH, what: "charts in charts" });
        }
        let in_file = |name: &str| join(path, name);
        let metadata_error = |name: &str, source| LoadError::Metadata { file: in_file(name), source };
        let mut metadata = None;
        if let Some(file) = files.iter().find(|file| file.name == "Chart.yaml") {
            let mut own = Metadata::default();
            own.read(&self.document(file, path)?).map_err(|e| metadata_error("Chart.yaml", e))?;
            if own.api_version.is_empty() {
                "v1".clone_into(&mut own.api_version);
            }
            metadata = Some(own);
        }
        let mut content = Content::default();
        let mut defaults = Map::new();
        let mut charts: BTreeMap<String, Vec<File>> = BTreeMap::new();
        for mut file in files {
            match file.name.as_str() {
                "Chart.yaml" => {}
                "Chart.lock" => {
                    self.document(&file, path)?;
                }
                "values.yaml" => defaults = self.values(&file, path)?,
                "values.schema.json" => content.schema = Some(file.data),
                "requirements.yaml" => {
                    let own = metadata.get_or_insert_with(Metadata::default);
                    own.read(&self.document(&file, path)?).map_err(|e| metadata_error("requirements.yaml", e))?;
                    if own.api_version == "v1" {
                        content.files.push(file);
                    }
                }
                "requirements.lock" => {
                    self.document(&file, path)?;
                    if metadata.get_or_insert_with(Metadata::default).api_version == "v1" {
                        content.files.push(file);
                    }
                }
                name if name.starts_with("templates/") => content.templates.push(file),
                name if name.starts_with("charts/") && !has_extension(name, "prov") => {
                    file.name.drain(.."charts/".len());
                    let folder = file.name.split('/').next().unwrap_or_default().to_owned();
                    charts.entry(folder).or_default().push(file);
                }
                _ => content.files.push(file),
            }
        }
        let Some(mut metadata) = metadata else {
            return Err(LoadError::NoChart {
                chart: path.to_owned(),
                hint: if depth > 0 { " (every entry of `charts/` must be a chart)" } else { "" },
            });
        };
        metadata.validate().map_err(|e| metadata_error("Chart.yaml", e))?;
        let mut dependencies = Vec::new();
        for (name, files) in charts {
            dependencies.extend(self.dependency(&name, files, path, depth)?);
        }
        Ok(Chart { metadata, values: from_json(&defaults), content: Rc::new(content), dependencies })
    }

    fn dependency(
        &mut self,
        name: &str,
        files: Vec<File>,
        path: &str,
        depth: usize,
    ) -> Result<Option<Chart>, LoadError> {
        if name.starts_with(['_', '.']) {
            return Ok(None);
        }
        let below = join(path, &format!("charts/{name}"));
        if has_extension(name, "tgz") {
            let Some(archive) = files.first().filter(|file| file.name == name) else {
                return Err(LoadError::NoChart { chart: below, hint: " (a folder can't be named like an archive)" });
            };
            let files = self.unpack(&archive.data, &below)?;
            return self.chart(files, &below, depth + 1).map(Some);
        }
        let files = files
            .into_iter()
            .filter_map(|mut file| {
                let (_, inner) = file.name.split_once('/')?;
                file.name = inner.to_owned();
                Some(file)
            })
            .collect();
        self.chart(files, &below, depth + 1).map(Some)
    }
}

impl Loader<'_> {
    fn document(&self, file: &File, path: &str) -> Result<Value, LoadError> {
        let name = join(path, &file.name);
        let wrong = |source| LoadError::Yaml { file: name.clone(), source };
        let text = yaml::decode(&file.data).map_err(wrong)?;
        let document = yaml::parse_with(&text, yaml::Options::lenient(), self.render).map_err(wrong)?;
        mapping(document).map(Value::Object).map_err(|source| LoadError::Metadata { file: name.clone(), source })
    }

    fn values(&self, file: &File, path: &str) -> Result<Map<String, Value>, LoadError> {
        let name = join(path, &file.name);
        let wrong = |source| LoadError::Yaml { file: name.clone(), source };
        let text = yaml::utf8(&file.data).map_err(wrong)?;
        parse_values(text, self.render).map_err(wrong)?.ok_or_else(|| LoadError::NotAMapping { file: name.clone() })
    }
}

fn has_extension(name: &str, extension: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, own)| own == extension)
}

/// The documents of a values file, later ones merged over earlier ones; `None` if one of them is no mapping.
pub(crate) fn parse_values(
    text: &str,
    budget: &slipway_budget::Budget,
) -> Result<Option<Map<String, Value>>, YamlError> {
    let mut merged = Map::new();
    for document in yaml::parse_manifests(text, yaml::Options::lenient(), budget)? {
        match as_floats(document) {
            Value::Object(map) if merged.is_empty() => merged = map,
            Value::Object(map) => merge_maps(&mut merged, map),
            _ => return Ok(None),
        }
    }
    Ok(Some(merged))
}
