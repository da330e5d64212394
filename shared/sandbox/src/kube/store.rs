//! Where the objects are: versions, watches, history.

use std::collections::{BTreeMap, VecDeque};

use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::schema::{Kind, Schema, built_in};
use super::selector::{Selector, fields_match};

/// So many past events are kept for watches that go on from an older version.
const HISTORY_LIMIT: usize = 5_000;
/// So many objects fit in; more is an error of the caller.
const OBJECTS_LIMIT: usize = 200_000;

/// The place of an object: resource (`deployments.apps`), namespace, name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// `deployments.apps`, `configmaps`.
    pub(super) resource: String,
    /// Namespace, empty for cluster-scoped objects.
    pub(super) namespace: String,
    /// Name.
    pub(super) name: String,
}

impl Key {
    /// The key of an object of `kind`.
    pub(super) fn new(kind: &Kind, namespace: &str, name: &str) -> Self {
        let namespace = if kind.namespaced { namespace } else { "" };
        Self { resource: kind.resource(), namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

/// Something that happened to an object.
#[derive(Debug, Clone)]
struct Event {
    version: u64,
    key: Key,
    before: Option<Value>,
    after: Option<Value>,
}

/// Which objects a list or a watch is about.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    /// Resource.
    pub(super) resource: String,
    /// One namespace, or all.
    pub(super) namespace: Option<String>,
    /// Labels.
    pub(super) labels: Selector,
    /// Fields.
    pub(super) fields: String,
}

impl Filter {
    fn covers(&self, key: &Key) -> bool {
        self.resource == key.resource && self.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace)
    }

    fn selects(&self, object: &Value) -> bool {
        let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
        self.labels.matches(labels) && fields_match(&self.fields, object)
    }
}

/// Turns an object into what a watcher asked for (a Table, metadata only, the object itself).
pub(super) type View = Box<dyn Fn(&Value) -> Value + Send + Sync>;

struct Watcher {
    id: u64,
    filter: Filter,
    view: View,
    sender: mpsc::UnboundedSender<Bytes>,
}

impl Watcher {
    /// False when the client is gone.
    fn send(&self, kind: &str, object: &Value) -> bool {
        let line = json!({"type": kind, "object": (self.view)(object)}).to_string() + "\n";
        self.sender.send(Bytes::from(line)).is_ok()
    }

    fn tell(&self, event: &Event) -> bool {
        if !self.filter.covers(&event.key) {
            return !self.sender.is_closed();
        }
        let selects = |object: &Option<Value>| object.as_ref().is_some_and(|object| self.filter.selects(object));
        match (selects(&event.before), selects(&event.after), &event.before, &event.after) {
            (false, true, _, Some(after)) => self.send("ADDED", after),
            (true, true, _, Some(after)) => self.send("MODIFIED", after),
            (true, false, Some(before), _) => {
                // Deleted, or no longer selected: the last selected state with the version of the change.
                let mut gone = before.clone();
                set_version(&mut gone, event.version);
                self.send("DELETED", &gone)
            }
            _ => true,
        }
    }
}

fn set_version(object: &mut Value, version: u64) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".into(), json!(version.to_string()));
    }
}

/// All objects.
pub(super) struct Store {
    objects: BTreeMap<Key, Value>,
    version: u64,
    history: VecDeque<Event>,
    watchers: Vec<Watcher>,
    watches: u64,
    custom: Vec<Kind>,
}

impl Default for Store {
    fn default() -> Self {
        let (objects, history, watchers, custom) = Default::default();
        Self { objects, version: 1, history, watchers, watches: 0, custom }
    }
}

impl Store {
    /// The version of the last change.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Kinds in the order of discovery: built-in ones, then those of CustomResourceDefinitions.
    pub(super) fn kinds(&self) -> impl Iterator<Item = &Kind> {
        built_in().kinds.iter().chain(&self.custom)
    }

    /// The kind behind a path.
    pub(super) fn kind_of(&self, group: &str, version: &str, plural: &str) -> Option<Kind> {
        self.kinds().find(|kind| kind.group == group && kind.version == version && kind.plural == plural).cloned()
    }

    /// Serves the versions of a CustomResourceDefinition instead of those it served before.
    pub(super) fn define(&mut self, definition: &Value) {
        let text = |pointer: &str| definition.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let list = |pointer: &str| {
            let items = definition.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
            items.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
        };
        let (group, plural) = (text("/spec/group"), text("/spec/names/plural"));
        self.undefine(&group, &plural);
        for version in definition.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten() {
            if version.get("served").and_then(Value::as_bool) != Some(true) {
                continue;
            }
            let subresources = version.get("subresources").and_then(Value::as_object);
            let verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
            self.custom.push(Kind {
                group: group.clone(),
                version: version.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
                kind: text("/spec/names/kind"),
                plural: plural.clone(),
                singular: text("/spec/names/singular"),
                namespaced: text("/spec/scope") == "Namespaced",
                verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
                short_names: list("/spec/names/shortNames"),
                categories: list("/spec/names/categories"),
                subresources: subresources.into_iter().flatten().map(|(name, _)| name.clone()).collect(),
                root: Schema::custom(),
            });
        }
    }

    /// Serves a custom resource no longer.
    pub(super) fn undefine(&mut self, group: &str, plural: &str) {
        self.custom.retain(|kind| kind.group != group || kind.plural != plural);
    }

    /// The object at `key`.
    pub(super) fn get(&self, key: &Key) -> Option<&Value> {
        self.objects.get(key)
    }

    /// The objects that `filter` selects, by namespace and name.
    pub(super) fn list(&self, filter: &Filter) -> Vec<(&Key, &Value)> {
        let first = Key { resource: filter.resource.clone(), namespace: String::new(), name: String::new() };
        let of_resource = self.objects.range(first..).take_while(|(key, _)| key.resource == filter.resource);
        of_resource.filter(|(key, object)| filter.covers(key) && filter.selects(object)).collect()
    }

    /// All objects.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Key, &Value)> {
        self.objects.iter()
    }

    /// Stores `object` under `key` with a new version and tells the watchers; gives it with its version. False in the
    /// second place when the store is full.
    pub(super) fn put(&mut self, key: &Key, mut object: Value) -> Value {
        self.version += 1;
        set_version(&mut object, self.version);
        if self.objects.len() >= OBJECTS_LIMIT && !self.objects.contains_key(key) {
            tracing::warn!(limit = OBJECTS_LIMIT, "the sandbox is full: an object is not stored");
            return object;
        }
        let before = self.objects.insert(key.clone(), object.clone());
        self.tell(Event { version: self.version, key: key.clone(), before, after: Some(object.clone()) });
        object
    }

    /// Takes the object at `key` out and tells the watchers; gives it with the version of its end.
    pub(super) fn remove(&mut self, key: &Key) -> Option<Value> {
        let before = self.objects.remove(key)?;
        self.version += 1;
        self.tell(Event { version: self.version, key: key.clone(), before: Some(before.clone()), after: None });
        let mut gone = before;
        set_version(&mut gone, self.version);
        Some(gone)
    }

    fn tell(&mut self, event: Event) {
        self.watchers.retain(|watcher| watcher.tell(&event));
        self.history.push_back(event);
        if self.history.len() > HISTORY_LIMIT {
            self.history.pop_front();
        }
    }

    /// Watches from just after `from` (`None`: the present objects come first, as ADDED); `marked` sends the bookmark
    /// that ends the present objects. Gives the watch's number, or `None` when the history does not reach back so
    /// far.
    pub(super) fn watch(
        &mut self,
        filter: Filter,
        from: Option<u64>,
        marked: Option<&Value>,
        view: View,
    ) -> Option<(u64, mpsc::UnboundedReceiver<Bytes>)> {
        let oldest = self.history.front().map_or(self.version, |event| event.version.saturating_sub(1));
        if from.is_some_and(|from| from < oldest && self.history.len() >= HISTORY_LIMIT) {
            return None;
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        self.watches += 1;
        let watcher = Watcher { id: self.watches, filter, view, sender };
        match from {
            None => {
                for (_, object) in self.list(&watcher.filter) {
                    watcher.send("ADDED", object);
                }
            }
            Some(from) => {
                for event in self.history.iter().filter(|event| event.version > from) {
                    watcher.tell(event);
                }
            }
        }
        if let Some(bookmark) = marked {
            watcher.send("BOOKMARK", bookmark);
        }
        self.watchers.push(watcher);
        Some((self.watches, receiver))
    }

    /// Ends a watch, with a bookmark if one is given.
    pub(super) fn end_watch(&mut self, id: u64, bookmark: Option<&Value>) {
        if let (Some(watcher), Some(bookmark)) = (self.watchers.iter().find(|watcher| watcher.id == id), bookmark) {
            watcher.send("BOOKMARK", bookmark);
        }
        self.watchers.retain(|watcher| watcher.id != id);
    }
}
