//! `git`: the folders, or the contents of files, of a repository.

mod glob;

use std::collections::BTreeSet;

use serde_json::Value;
use slipway_gocompat::{filepath, path as gopath};
use slipway_gotmpl::Map;
use slipway_manifest::object::type_name;
use slipway_manifest::tree::NodeKind;
use slipway_manifest::{Tree, YamlError, yaml};

use super::{Failure, Generators, Params, no_params};
use crate::ErrorKind;
use crate::given::{GitRevision, Need};
use crate::params::{flatten, from_json, text_list};
use crate::policy::{items, text};
use crate::slug::sanitize_name;
use glob::Glob;

pub(super) fn params(run: &Generators<'_>, git: &Value, path: &str) -> Result<Params, Failure> {
    if let Some(projects) = &run.given.projects
        && !run.project.contains("{{")
        && !projects.contains(run.project)
    {
        return Err(("spec.template.spec.project".to_owned(), ErrorKind::Project(run.project.to_owned())));
    }
    let [directories, files] = [&git["directories"], &git["files"]];
    if items(directories).next().is_none() && items(files).next().is_none() {
        return Err((format!("{path}.directories"), ErrorKind::Missing));
    }
    let revision = GitRevision { url: text(&git["repoURL"]).to_owned(), revision: text(&git["revision"]).to_owned() };
    let Some(tree) = run.given(&run.given.trees, revision, Need::Tree) else { return Ok(None) };
    let git = Git { run, generator: git, tree, path };
    let params = if items(directories).next().is_some() { git.of_directories() } else { git.of_files() };
    params.map(Some)
}

struct Git<'g> {
    run: &'g Generators<'g>,
    generator: &'g Value,
    tree: &'g Tree,
    path: &'g str,
}

impl Git<'_> {
    fn of_directories(&self) -> Result<Vec<Map>, Failure> {
        let patterns: Vec<(&str, bool)> =
            items(&self.generator["directories"]).map(|item| (text(&item["path"]), item["exclude"] == true)).collect();
        let mut directories = Vec::new();
        self.directories_below("", &mut directories)?;
        let mut all = Vec::new();
        for directory in directories {
            self.pay(patterns.iter().map(|(pattern, _)| pattern.len() + directory.len()).sum())?;
            let is_named = |excluded| {
                patterns.iter().any(|(pattern, out)| *out == excluded && filepath::matches(pattern, &directory))
            };
            if is_named(false) && !is_named(true) {
                let params = no_params();
                self.add_path(&params, &directory, None);
                self.run.add_values(self.generator, &params, self.path)?;
                all.push(params);
            }
        }
        Ok(all)
    }

    /// All folders, each before what is in it.
    fn directories_below(&self, folder: &str, found: &mut Vec<String>) -> Result<(), Failure> {
        let Ok(names) = self.tree.list(folder) else { return Ok(()) };
        for name in names {
            self.pay(name.len())?;
            let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
            // A symlink is no folder, wherever it points.
            let is_directory = self.tree.kind(&path).is_ok_and(|kind| kind == Some(NodeKind::Directory))
                && self.tree.resolve(&path).is_ok_and(|real| real == path);
            if is_directory && (self.run.given.include_hidden_directories || !name.starts_with('.')) {
                found.push(path.clone());
                self.directories_below(&path, found)?;
            }
        }
        Ok(())
    }

    fn of_files(&self) -> Result<Vec<Map>, Failure> {
        let mut paths = BTreeSet::new();
        for excluded in [false, true] {
            for (index, item) in items(&self.generator["files"]).enumerate() {
                if (item["exclude"] == true) != excluded {
                    continue;
                }
                for path in self.matching(text(&item["path"]), &format!("{}.files[{index}].path", self.path))? {
                    if excluded {
                        paths.remove(&path);
                    } else {
                        paths.insert(path);
                    }
                }
            }
        }
        let mut all = Vec::new();
        for path in paths {
            let contents = self.tree.read(&path).map_err(|source| {
                let url = text(&self.generator["repoURL"]).to_owned();
                (format!("{}.files", self.path), ErrorKind::File { url, source })
            })?;
            self.of_file(&path, contents, &mut all)?;
        }
        Ok(all)
    }

    /// The files that a pattern names. Argo CD reads them all at once, and fails for a folder among them.
    fn matching(&self, pattern: &str, field: &str) -> Result<Vec<String>, Failure> {
        let at = |kind| (field.to_owned(), kind);
        let is_new = self.run.given.new_git_file_globbing;
        let glob = if is_new { Glob::doublestar(pattern) } else { Glob::pathspec(pattern) };
        let glob = glob.map_err(|reason| at(ErrorKind::Pattern { pattern: pattern.to_owned(), reason }))?;
        let mut found = Vec::new();
        let files = self.tree.files_below("").into_iter().flatten();
        for path in files.chain(self.tree.links().map(|(path, _)| path)) {
            self.pay(pattern.len() + path.len())?;
            if glob.matches(path) {
                self.tree.read(path).map_err(|source| {
                    at(ErrorKind::File { url: text(&self.generator["repoURL"]).to_owned(), source })
                })?;
                found.push(path.to_owned());
            }
            // A glob names folders, too.
            let folders = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
            if is_new && folders.clone().any(|folder| glob.matches(folder)) {
                return Err(at(ErrorKind::Pattern {
                    pattern: pattern.to_owned(),
                    reason: "it names folders, which can't be read; end it with the names of files, as in `**/*.yaml`",
                }));
            }
        }
        Ok(found)
    }

    /// The parameters that a file holds: a mapping, or a list of them. An empty file is a mapping.
    fn of_file(&self, path: &str, contents: &[u8], all: &mut Vec<Map>) -> Result<(), Failure> {
        let field = || format!("{}.files", self.path);
        let wrong = |source: YamlError| (field(), ErrorKind::Yaml { what: format!("the file `{path}`"), source });
        let contents = yaml::decode(contents).map_err(wrong)?;
        let parsed = yaml::parse_with(&contents, yaml::Options::lenient(), self.run.budget()).map_err(wrong)?;
        let objects = match parsed {
            Value::Array(items) => items,
            other => vec![other],
        };
        for object in &objects {
            if !(object.is_object() || object.is_null()) {
                let expected = "a mapping, or a list of mappings, in each file";
                return Err((field(), ErrorKind::Type { expected, found: type_name(object) }));
            }
            let params = self.of_object(object).map_err(|kind| (field(), kind))?;
            self.add_path(&params, &gopath::dir(path), Some(gopath::base(path)));
            self.run.add_values(self.generator, &params, self.path)?;
            all.push(params);
        }
        Ok(())
    }

    fn of_object(&self, object: &Value) -> Result<Map, ErrorKind> {
        let budget = self.run.templates.budget;
        let params = from_json(object, budget)?.as_map().cloned().unwrap_or_else(no_params);
        if self.run.templates.is_go() {
            return Ok(params);
        }
        let flat = flatten(&params, budget)?;
        Ok(flat.into_iter().map(|(name, text)| (name, text.into())).collect())
    }

    fn add_path(&self, params: &Map, directory: &str, file: Option<&str>) {
        let basename = gopath::base(directory);
        let file = file.map(|file| [("filename", file.to_owned()), ("filenameNormalized", sanitize_name(file))]);
        let names = [("basename", basename.to_owned()), ("basenameNormalized", sanitize_name(basename))];
        let names = names.into_iter().chain(file.into_iter().flatten());
        let prefix = text(&self.generator["pathParamPrefix"]);
        if self.run.templates.is_go() {
            let path: Map = names.map(|(name, text)| (name, text.into())).collect();
            path.insert("path", directory.into());
            path.insert("segments", text_list(directory.split('/')));
            if prefix.is_empty() {
                params.insert("path", path.into());
            } else {
                params.insert(prefix, [("path", path.into())].into_iter().collect::<Map>().into());
            }
        } else {
            let own = if prefix.is_empty() { "path".to_owned() } else { format!("{prefix}.path") };
            for (name, text) in names {
                params.insert(format!("{own}.{name}"), text.into());
            }
            for (index, segment) in directory.split('/').enumerate().filter(|(_, segment)| !segment.is_empty()) {
                params.insert(format!("{own}[{index}]"), segment.into());
            }
            params.insert(own, directory.into());
        }
    }

    fn pay(&self, bytes: usize) -> Result<(), Failure> {
        self.run.budget().scan(bytes).map_err(|over| (self.path.to_owned(), over.into()))
    }
}
