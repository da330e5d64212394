//! Evaluates the Jsonnet files of a folder with Argo CD's settings (argoproj/argo-cd
//! `reposerver/repository/repository.go`, makeJsonnetVM): imports stay inside the tree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use slipway_budget::Budget;
use slipway_helm::argo;
use slipway_jsonnet::{Files, JsonnetError, STACK, Variable, Variables};
use slipway_manifest::{NodeKind, Tree, TreeError, tree};

use super::RenderError;
use crate::app::{Jsonnet, JsonnetVariable};

/// What the Jsonnet files of a folder have in common.
pub(super) struct Evaluator<'t> {
    tree: &'t Tree,
    /// Where imports are looked for besides the importing file's folder, from the first to the last.
    folders: Vec<String>,
    variables: Variables,
    budget: &'t Budget,
    read: Mutex<BTreeSet<String>>,
}

impl<'t> Evaluator<'t> {
    /// For the files of the folder `home`; `env` is Argo CD's build environment.
    pub(super) fn new(
        tree: &'t Tree,
        home: &str,
        settings: &Jsonnet,
        env: &BTreeMap<String, String>,
        budget: &'t Budget,
    ) -> Result<Self, TreeError> {
        let libs = settings.libs.iter().rev().map(|lib| tree::join("", lib.trim_start_matches('/')));
        let folders = libs.chain([Ok(home.to_owned())]).collect::<Result<_, _>>()?;
        let given = |variables: &[JsonnetVariable]| {
            let value = |one: &JsonnetVariable| {
                let value = argo::expand(&one.value, env);
                (one.name.clone(), if one.is_code { Variable::Code(value) } else { Variable::Text(value) })
            };
            variables.iter().map(value).collect()
        };
        let variables = Variables { external: given(&settings.ext_vars), arguments: given(&settings.arguments) };
        Ok(Self { tree, folders, variables, budget, read: Mutex::default() })
    }

    /// What `text`, the content of the file `path`, is: an object, or those of a list.
    pub(super) fn documents(&self, path: &str, text: &[u8]) -> Result<Vec<Value>, RenderError> {
        let evaluate = || slipway_jsonnet::evaluate(path, text, self, &self.variables, self.budget);
        let value = slipway_helm::on_stack(STACK, evaluate).map_err(RenderError::Thread)?;
        match value {
            Ok(Value::Array(items)) => Ok(items.into_iter().filter(|item| !item.is_null()).collect()),
            Ok(Value::Null) => Ok(Vec::new()),
            Ok(object) => Ok(vec![object]),
            Err(JsonnetError::Exceeded(source)) => Err(RenderError::Budget { file: path.to_owned(), source }),
            Err(source) => Err(RenderError::Jsonnet { file: path.to_owned(), source }),
        }
    }

    /// The files that were imported, and the paths at which none was found.
    pub(super) fn read(self) -> BTreeSet<String> {
        self.read.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files for Evaluator<'_> {
    fn import(&self, from: &str, name: &str) -> Result<(String, Vec<u8>), String> {
        if name.starts_with('/') {
            return Err(format!(
                "import of `{name}`: a path from the root of a disk, where only files of the repository are read"
            ));
        }
        let home = from.rsplit_once('/').map_or("", |(home, _)| home);
        let mut left = None;
        for folder in [home].into_iter().chain(self.folders.iter().map(String::as_str)) {
            let path = match tree::join(folder, name) {
                Ok(path) => path,
                Err(error) => {
                    left = Some(error);
                    continue;
                }
            };
            let read = self.tree.resolve(&path).unwrap_or_else(|_| path.clone());
            self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(read);
            match self.tree.kind(&path) {
                Ok(Some(NodeKind::File)) => {
                    let content = self.tree.read(&path).map_err(|error| error.to_string())?;
                    return Ok((path, content.to_vec()));
                }
                Ok(_) => {}
                Err(error) => left = Some(error),
            }
        }
        Err(match left {
            Some(error) => format!("import of `{name}`: {error}"),
            None => {
                format!("import of `{name}`: there is no such file, neither beside `{from}` nor in {:?}", self.folders)
            }
        })
    }
}
