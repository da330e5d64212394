//! Files and folders as a kustomization sees them: nothing outside of its folder, no folder within itself
//! (kustomize `api/internal/loader`).

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;

use slipway_budget::Budget;
use slipway_manifest::{NodeKind, Tree, TreeError, tree, yaml};

use crate::cost;
use crate::error::Error;
use crate::options::{LoadRestrictions, Options, Place};
use crate::remote;

/// Bases within bases.
const MAX_DEPTH: usize = 40;

/// Steps of finding a file or folder by its path.
const PATH_STEPS: u64 = 50;
/// Steps of building a folder, however little it holds.
const FOLDER_STEPS: u64 = 1_000;

/// The names of a kustomization's file, in the order in which they are looked for.
pub const FILE_NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// The tree and what was read of it.
pub(crate) struct Files<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) options: &'a Options<'a>,
    pub(crate) budget: Budget,
    read: RefCell<BTreeSet<String>>,
}

impl<'a> Files<'a> {
    pub(crate) fn new(tree: &'a Tree, options: &'a Options<'a>) -> Self {
        Self { tree, options, budget: options.budget.clone().unwrap_or_default(), read: RefCell::default() }
    }

    pub(crate) fn into_read(self) -> BTreeSet<String> {
        self.read.into_inner()
    }

    fn resolve(&self, path: &str) -> Result<String, Error> {
        self.tree.resolve(path).map_err(|source| read_error(path, source))
    }

    fn kind(&self, path: &str) -> Result<Option<NodeKind>, Error> {
        self.tree.kind(path).map_err(|source| read_error(path, source))
    }
}

fn read_error(path: &str, source: TreeError) -> Error {
    Error::Read { path: path.to_owned(), source }
}

fn is_within(path: &str, folder: &str) -> bool {
    folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A folder being built, with those that led to it.
pub(crate) struct Root<'a> {
    pub(crate) files: &'a Files<'a>,
    /// Plain path in the tree.
    pub(crate) path: String,
    parent: Option<&'a Root<'a>>,
    /// The remote folder that this one and its bases must stay in.
    fence: Option<String>,
    depth: usize,
}

impl<'a> Root<'a> {
    /// The folder that a render begins with.
    pub(crate) fn top(files: &'a Files<'a>, path: &str) -> Result<Self, Error> {
        let path = path.trim_end_matches('/');
        let path = if path == "." { "" } else { path };
        let root = Self { files, path: files.resolve(path)?, parent: None, fence: None, depth: 0 };
        match files.kind(path)? {
            Some(NodeKind::Directory) => Ok(root),
            _ => Err(Error::NotAFolder { path: path.to_owned() }),
        }
    }

    /// The budget of the render.
    pub(crate) fn budget(&self) -> &'a Budget {
        &self.files.budget
    }

    fn join(&self, path: &str) -> Result<String, Error> {
        if path.is_empty() || path.contains(['\0', '\n']) {
            return Err(Error::BadPath { path: path.to_owned() });
        }
        tree::join(&self.path, path).map_err(|source| read_error(path, source))
    }

    /// Whether `path` is a folder of the tree, or a remote one that was fetched.
    pub(crate) fn is_folder(&self, path: &str) -> bool {
        let target = self.fetched(path).map(|place| place.path.clone()).or_else(|| self.join(path).ok());
        target.is_some_and(|path| matches!(self.files.tree.kind(&path), Ok(Some(NodeKind::Directory))))
    }

    /// Where in the tree the remote thing `path` was put.
    fn fetched(&self, path: &str) -> Option<&'a Place> {
        self.files.options.remotes.and_then(|remotes| remotes.get(path))
    }

    /// The base or component `path`.
    pub(crate) fn base(&'a self, path: &str) -> Result<Root<'a>, Error> {
        self.budget().step(FOLDER_STEPS + path.len() as u64 / 8)?;
        if self.depth >= MAX_DEPTH {
            return Err(Error::TooDeep { path: path.to_owned(), limit: MAX_DEPTH });
        }
        let (place, fence) = match (self.fetched(path), remote::git(path)) {
            (Some(place), _) => (self.files.resolve(&place.path)?, Some(self.files.resolve(&place.repository)?)),
            (None, Some(remote)) => return Err(Error::Remote(Box::new(remote))),
            (None, None) => (self.files.resolve(&self.join(path)?)?, self.fence.clone()),
        };
        if !matches!(self.files.kind(&place)?, Some(NodeKind::Directory)) {
            return Err(Error::NotAFolder { path: place });
        }
        if let Some(fence) = fence.as_deref().filter(|fence| !is_within(&place, fence)) {
            return Err(Error::Restricted { path: place, root: fence.to_owned() });
        }
        let mut visited = Some(self);
        while let Some(root) = visited {
            if is_within(&root.path, &place) {
                return Err(Error::Cycle { path: place, visited: root.path.clone() });
            }
            visited = root.parent;
        }
        Ok(Root { files: self.files, path: place, parent: Some(self), fence, depth: self.depth + 1 })
    }

    /// The bytes of the file `path`, which must lie in or below this folder.
    pub(crate) fn bytes(&self, path: &str) -> Result<&'a [u8], Error> {
        Ok(self.file(path)?.1)
    }

    /// Like [`Self::bytes`], with the file's path in the tree.
    pub(crate) fn file(&self, path: &str) -> Result<(String, &'a [u8]), Error> {
        let place = match (self.fetched(path), remote::file(path)) {
            (Some(place), _) => self.files.resolve(&place.path)?,
            (None, Some(file)) => return Err(Error::Remote(Box::new(remote::file_or_git(file)))),
            (None, None) => {
                let place = self.files.resolve(&self.join(path)?)?;
                if self.files.options.load_restrictions == LoadRestrictions::RootOnly && !is_within(&place, &self.path)
                {
                    // What is not there is said to be missing, wherever it is.
                    self.files.tree.read(&place).map_err(|source| read_error(&place, source))?;
                    return Err(Error::Restricted { path: place, root: self.path.clone() });
                }
                place
            }
        };
        self.budget().step(PATH_STEPS + (path.len() + place.len()) as u64 / 8)?;
        let bytes = self.files.tree.read(&place).map_err(|source| read_error(&place, source))?;
        self.files.read.borrow_mut().insert(place.clone());
        Ok((place, bytes))
    }

    /// The text of the file `path`.
    pub(crate) fn text(&self, path: &str) -> Result<Cow<'a, str>, Error> {
        let bytes = self.bytes(path)?;
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            // Three bytes of UTF-8 for two, and the units between.
            cost::of_text(self.budget(), 5 * bytes.len() / 2)?;
        }
        yaml::decode(bytes).map_err(|_| read_error(path, TreeError::NotUtf8 { path: path.to_owned() }))
    }

    /// The text and the name of the kustomization file.
    pub(crate) fn kustomization(&self) -> Result<(Cow<'a, str>, &'static str), Error> {
        let mut found = None;
        for name in FILE_NAMES {
            let path = if self.path.is_empty() { name.to_owned() } else { format!("{}/{name}", self.path) };
            if matches!(self.files.tree.kind(&path), Ok(Some(NodeKind::File))) && found.replace(name).is_some() {
                return Err(Error::ManyKustomizations { path: self.path.clone() });
            }
        }
        let name = found.ok_or_else(|| Error::NoKustomization { path: self.path.clone() })?;
        Ok((self.text(name)?, name))
    }
}
