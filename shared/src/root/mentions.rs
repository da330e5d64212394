//! Finds which sources can declare what Argo CD reads, by the words of their files, so that of thousands of
//! Applications only the parents are rendered.
//!
//! Never less than Argo CD would find: a declaration has the group `argoproj.io` and one of the three kinds, or it is a
//! Secret with the label `argocd.argoproj.io/secret-type`, or one of the ConfigMaps with a fixed name; each of these
//! words stands in a file that the render reads, and not necessarily all in one. So the words of all files count
//! together that a source can reach: everything below its folder whatever it is called, value files and bases outside
//! of it, and the Application's own settings. What can hide a word (archives, escapes in YAML and JSON, symlinks, bases
//! that are not at hand) counts as if it had all of them. Only a template that puts a word together from parts, such
//! as `{{ printf "argo%s" "proj.io" }}`, is not seen.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde_json::Value;
use slipway_helm::argo;
use slipway_kustomize::{Remote, RemoteKind};
use slipway_manifest::{NodeKind, Tree, tree};

use crate::app::repository::CERTIFICATES;
use crate::app::{Application, Source};
use crate::source::remote::RemoteFiles;

/// What the Secrets and ConfigMaps of Argo CD are known by.
const SETTINGS: [&str; 4] = ["secret-type", "argocd-cm", "argocd-notifications-cm", CERTIFICATES];

/// What looks for the words: to make one takes longer than a look at a manifest.
struct Finders {
    group: Finder<'static>,
    kinds: [Finder<'static>; 2],
    settings: [Finder<'static>; 4],
}

static FINDERS: LazyLock<Finders> = LazyLock::new(|| Finders {
    group: Finder::new("argoproj"),
    kinds: ["Application", "AppProject"].map(Finder::new),
    settings: SETTINGS.map(Finder::new),
});

/// The words of one file or of all files of a source, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Words(u8);

impl Words {
    /// `argoproj`, other than in the prefix of an annotation.
    const GROUP: Self = Self(1);
    /// `Application`, `ApplicationSet` or `AppProject`.
    const KIND: Self = Self(2);
    /// What the Secrets and ConfigMaps are known by.
    const SETTINGS: Self = Self(4);
    /// It can hide words.
    const OPAQUE: Self = Self(8);

    /// As the bits that are remembered.
    pub(super) fn bits(self) -> u8 {
        self.0
    }

    /// Of bits that are remembered.
    pub(super) fn of_bits(bits: u8) -> Self {
        Self(bits)
    }

    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn has(self, words: Self) -> bool {
        self.0 & words.0 == words.0
    }

    pub(super) fn may_declare(self) -> bool {
        self.has(Self::OPAQUE) || self.has(Self::SETTINGS) || self.has(Self::GROUP.or(Self::KIND))
    }

    fn of(bytes: &[u8]) -> Self {
        let Finders { group, kinds, settings } = &*FINDERS;
        let says = |words: &[Finder<'_>]| words.iter().any(|word| word.find(bytes).is_some());
        let found = [
            (Self::GROUP, group.find_iter(bytes).any(|at| !is_inside_a_word(bytes, at))),
            (Self::KIND, says(kinds)),
            (Self::SETTINGS, says(settings)),
            (Self::OPAQUE, hides_words(bytes)),
        ];
        found.into_iter().filter(|(_, is_there)| *is_there).fold(Self::default(), |all, (word, _)| all.or(word))
    }
}

/// Whether the word at `at` goes on to the left, as `argoproj.io` does in `argocd.argoproj.io/sync-wave`.
fn is_inside_a_word(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| bytes.get(before));
    before.is_some_and(|before| before.is_ascii_alphanumeric() || matches!(before, b'.' | b'-'))
}

/// Whether characters are written otherwise than as themselves: UTF-16, or the escapes of YAML and JSON. An escaped
/// line break counts only within a word.
fn hides_words(bytes: &[u8]) -> bool {
    let is_wide = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) || bytes.contains(&0);
    is_wide
        || memchr::memchr_iter(b'\\', bytes).any(|at| match bytes.get(at + 1) {
            Some(b'x' | b'u' | b'U') => true,
            Some(b'\n' | b'\r') => {
                at.checked_sub(1).and_then(|before| bytes.get(before)).is_some_and(u8::is_ascii_alphanumeric)
            }
            _ => false,
        })
}

/// Whether a plain manifest may declare what Argo CD reads.
pub(super) fn may_declare(bytes: &[u8]) -> bool {
    Words::of(bytes).may_declare()
}

/// The words of what `remote` is, which was fetched.
pub(super) fn words_of(remote: &Remote, fetched: &RemoteFiles) -> Words {
    match (fetched, &remote.kind) {
        (RemoteFiles::File(file), _) => Words::of(&file.bytes),
        (RemoteFiles::Commit(checkout), RemoteKind::Git { path, .. }) => {
            let none = BTreeMap::new();
            Mentions::new(&checkout.tree, &none).path(path.trim_matches('/'), &mut BTreeSet::new())
        }
        (RemoteFiles::Commit(_), RemoteKind::File { .. }) => Words::OPAQUE,
    }
}

/// The words of a tree's files, each looked at once.
pub(super) struct Mentions<'a> {
    tree: &'a Tree,
    /// The words of remote bases and files, as kustomizations name these.
    remotes: &'a BTreeMap<String, Words>,
    /// The paths of the tree's symlinks.
    links: Vec<&'a str>,
    files: RefCell<BTreeMap<String, Words>>,
    folders: RefCell<BTreeMap<String, Words>>,
}

impl<'a> Mentions<'a> {
    /// Of `tree`, whose kustomizations may name the `remotes`.
    pub(super) fn new(tree: &'a Tree, remotes: &'a BTreeMap<String, Words>) -> Self {
        let links = tree.links().map(|(link, _)| link).collect();
        Self { tree, remotes, links, files: RefCell::default(), folders: RefCell::default() }
    }

    /// Whether the render of `app`, with `app.source` in this tree, may declare what Argo CD reads.
    pub(super) fn may_declare(&self, app: &Application) -> bool {
        let source = &app.source;
        let Ok(folder) = source.folder() else { return true };
        let settings =
            Words::of(app.object.pointer("/spec/source").map(Value::to_string).unwrap_or_default().as_bytes());
        let words = settings.or(self.folder(&folder, &mut BTreeSet::new()));
        words.may_declare() || words.or(self.outside(source, &folder)).may_declare()
    }

    /// Value files, components and other paths of the source that leave its folder.
    fn outside(&self, source: &Source, folder: &str) -> Words {
        let helm = source.helm.iter().flat_map(|helm| ["valueFiles", "fileParameters"].map(|field| helm.get(field)));
        let lists = helm.flatten().filter_map(Value::as_array).flatten();
        let files = lists.filter_map(|item| item.as_str().or_else(|| item.get("path")?.as_str()));
        let components = source.kustomize.iter().flat_map(|kustomize| kustomize.components.iter().map(String::as_str));
        let mut all = Words::default();
        for path in files.chain(components) {
            // Patterns, variables, URLs, other sources.
            let is_open = path.contains(['*', '?', '[', '$', ':']) || argo::reference(path).is_some();
            let joined = match path.strip_prefix('/') {
                Some(from_root) => tree::join("", from_root),
                None => tree::join(folder, path),
            };
            all = all.or(match joined {
                Ok(path) if !is_open => self.path(&path, &mut BTreeSet::new()),
                _ => Words::OPAQUE,
            });
        }
        all
    }

    /// The words below a folder, and of the bases and charts that its files name outside of it.
    fn folder(&self, folder: &str, visited: &mut BTreeSet<String>) -> Words {
        if let Some(known) = self.folders.borrow().get(folder) {
            return *known;
        }
        let is_first = visited.is_empty();
        if !visited.insert(folder.to_owned()) {
            return Words::default();
        }
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let mut all = Words::default();
        let is_on_the_way = |link: &str| prefix.strip_prefix(link).is_some_and(|rest| rest.starts_with('/'));
        if self.links.iter().any(|link| link.starts_with(&prefix) || is_on_the_way(link)) {
            all = Words::OPAQUE;
        }
        let Ok(files) = self.tree.files_below(folder) else { return Words::OPAQUE };
        for file in files {
            all = all.or(self.file(file));
            if all.has(Words::OPAQUE) {
                break;
            }
            if names_bases(file) {
                all = all.or(self.bases(file, &prefix, visited));
            }
        }
        // What others visited already, as in a cycle, is missing in what they reach.
        if is_first {
            self.folders.borrow_mut().insert(folder.to_owned(), all);
        }
        all
    }

    fn path(&self, path: &str, visited: &mut BTreeSet<String>) -> Words {
        match self.tree.kind(path) {
            Ok(Some(NodeKind::File)) => self.file(path),
            Ok(Some(NodeKind::Directory)) => self.folder(path, visited),
            Ok(None) => Words::default(),
            Err(_) => Words::OPAQUE,
        }
    }

    fn file(&self, file: &str) -> Words {
        if let Some(known) = self.files.borrow().get(file) {
            return *known;
        }
        let is_archive = [".tgz", ".tar.gz"].iter().any(|end| file.ends_with(end));
        let words = if is_archive { Words::OPAQUE } else { self.tree.read(file).map_or(Words::OPAQUE, Words::of) };
        self.files.borrow_mut().insert(file.to_owned(), words);
        words
    }

    /// The words behind the paths in a kustomization, a `Chart.yaml` or an override of the source that lead out of
    /// `prefix`, the folder that is looked at anyway.
    fn bases(&self, file: &str, prefix: &str, visited: &mut BTreeSet<String>) -> Words {
        let Ok(text) = self.tree.read_text(file) else { return Words::OPAQUE };
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut all = Words::default();
        let is_chart = file.ends_with("Chart.yaml") || file.ends_with("requirements.yaml");
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            for word in plain_words(line) {
                let word = word.strip_prefix("file://").unwrap_or(word);
                let is_remote = word.contains("://") || word.contains("?ref=");
                if is_remote || word.starts_with("git@") || word.starts_with("github.com/") {
                    // Of the URLs in a chart only those of its dependencies are read.
                    let known = self.remotes.get(word).copied().unwrap_or(Words::OPAQUE);
                    all = all.or(if is_chart && !line.contains("repository") { Words::default() } else { known });
                } else if word.contains("..") {
                    match tree::join(folder, word) {
                        Ok(path) if format!("{path}/").starts_with(prefix) => {}
                        Ok(path) => all = all.or(self.path(&path, visited)),
                        Err(_) => all = Words::OPAQUE,
                    }
                }
            }
        }
        all
    }
}

/// The words of a YAML text, without what quotes and lists them: paths and URLs are among them.
pub(super) fn plain_words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || "\"'[]{},".contains(c))
}

/// Whether the file can name files outside of its folder.
fn names_bases(file: &str) -> bool {
    let name = file.rsplit_once('/').map_or(file, |(_, name)| name);
    slipway_kustomize::FILE_NAMES.contains(&name)
        || matches!(name, "Chart.yaml" | "requirements.yaml")
        || name.starts_with(".argocd-source")
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use slipway_manifest::Object;

    use super::*;

    fn app(source: &Value) -> Application {
        let mut full = json!({"repoURL": "https://github.com/acme/gitops", "path": "app"});
        full.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        let object = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "web"},
            "spec": {"source": full, "destination": {"name": "in-cluster"}}});
        Application::from_object(&Object::from_value(object).unwrap()).unwrap()
    }

    fn may(files: &[(&str, &str)], source: &Value) -> bool {
        let mut tree = Tree::default();
        for (path, text) in files {
            tree.insert(path, text.as_bytes()).unwrap();
        }
        Mentions::new(&tree, &BTreeMap::new()).may_declare(&app(source))
    }

    const APPLICATION: &str = "apiVersion: argoproj.io/v1alpha1\nkind: Application\n";

    #[test]
    fn manifests_of_other_things_declare_nothing() {
        for text in [
            "kind: Deployment\nmetadata: {annotations: {argocd.argoproj.io/sync-wave: '1'}}\n# Application\n",
            "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\n",
            "kind: Secret\nmetadata: {labels: {app: x}}\ndata: {x: 'a\\nb'}\n",
            "kind: ConfigMap\ndata:\n  run.sh: |\n    helm install \\\n      x\n",
        ] {
            assert!(!may_declare(text.as_bytes()), "{text}");
            assert!(!may(&[("app/x.yaml", text), ("other/y.yaml", APPLICATION)], &json!({})), "{text}");
        }
    }

    #[test]
    fn declarations_are_seen_wherever_their_words_stand() {
        let secret = "kind: Secret\nmetadata: {labels: {argocd.argoproj.io/secret-type: cluster}}\n";
        let group = "apiVersion: argoproj.io/v1alpha1\nkind: {{ .Values.kind }}\n";
        let kustomization = |path: &str| format!("resources:\n- {path}\n");
        let none = json!({});
        let values = json!({"helm": {"valueFiles": ["../values.yaml"]}});
        let inline = json!({"helm": {"valuesObject": {"kind": "AppProject"}}});
        let wild = json!({"helm": {"valueFiles": ["../*/values.yaml"]}});
        let patch = json!({"kustomize": {"patches": [{"patch": APPLICATION}]}});
        let cases: [(&[(&str, &str)], &Value); 14] = [
            (&[("app/x.yaml", APPLICATION)], &none),
            (&[("app/deep/down/x.json", r#"{"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet"}"#)], &none),
            (&[("app/x.yaml", secret)], &none),
            (&[("app/x.yaml", "kind: ConfigMap\nmetadata: {name: argocd-cm}\n")], &none),
            (&[("app/x.yaml", "apiVersion: \"argo\\x70roj.io/v1alpha1\"\n")], &none),
            (&[("app/x.yaml", "apiVersion: \"argopr\\\n  oj.io/v1alpha1\"\n")], &none),
            (&[("app/kustomization.yaml", &kustomization("../base")), ("base/x.yaml", APPLICATION)], &none),
            (
                &[
                    ("app/kustomization.yaml", &kustomization("../a")),
                    ("a/kustomization.yaml", "resources: ['../b', ../app]\n"),
                    ("b/x.yaml", APPLICATION),
                ],
                &none,
            ),
            (&[("app/kustomization.yaml", &kustomization("https://github.com/a/b//c?ref=v1"))], &none),
            (&[("app/charts/x.tgz", "..")], &none),
            (&[("app/templates/x.yaml", group), ("values.yaml", "kind: Application\n")], &values),
            (&[("app/templates/x.yaml", group)], &inline),
            (&[("app/templates/x.yaml", "")], &wild),
            (&[("app/kustomization.yaml", "")], &patch),
        ];
        for (files, source) in cases {
            assert!(may(files, source), "{files:?} {source}");
        }
        assert!(!may(&[("app/templates/x.yaml", group), ("values.yaml", "kind: Rollout\n")], &values));
        let local = "dependencies:\n- {name: a, version: 1.0.0, repository: 'file://../lib'}\n";
        assert!(may(&[("app/Chart.yaml", local), ("lib/templates/x.yaml", APPLICATION)], &none));
        assert!(!may(&[("app/Chart.yaml", local), ("lib/templates/x.yaml", "")], &none));
        assert!(!may(&[("app/Chart.yaml", "home: https://example.com\n")], &none), "a home page is not read");
        assert!(may(&[("app/Chart.yaml", "dependencies:\n- repository: https://example.com\n")], &none));
    }

    #[test]
    fn of_a_remote_base_that_is_known_its_words_count() {
        let mut tree = Tree::default();
        tree.insert("app/kustomization.yaml", b"resources: ['https://github.com/a/b//c?ref=v1']\n".as_slice()).unwrap();
        let raw = "https://github.com/a/b//c?ref=v1".to_owned();
        for (text, expected) in [(APPLICATION, true), ("kind: Deployment\n", false)] {
            let known = BTreeMap::from([(raw.clone(), Words::of(text.as_bytes()))]);
            assert_eq!(Mentions::new(&tree, &known).may_declare(&app(&json!({}))), expected, "{text}");
        }
    }

    #[test]
    fn symlinks_hide_nothing() {
        let mut tree = Tree::default();
        tree.insert("elsewhere/x.yaml", APPLICATION.as_bytes()).unwrap();
        tree.insert("app/y.yaml", b"".as_slice()).unwrap();
        tree.insert("apple/y.yaml", b"".as_slice()).unwrap();
        assert!(!Mentions::new(&tree, &BTreeMap::new()).may_declare(&app(&json!({}))));
        tree.insert_link("apple/x.yaml", "../elsewhere/x.yaml").unwrap();
        assert!(!Mentions::new(&tree, &BTreeMap::new()).may_declare(&app(&json!({}))));
        tree.insert_link("app/x.yaml", "../elsewhere/x.yaml").unwrap();
        assert!(Mentions::new(&tree, &BTreeMap::new()).may_declare(&app(&json!({}))));
    }
}
