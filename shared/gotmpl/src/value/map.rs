//! Go's map with string keys, shared by reference.

use std::cell::{Ref, RefCell, RefMut};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use super::{MapType, Str, Value, drop_nested};
use crate::budget::note_made;

/// What one entry takes in a tree whose nodes are two thirds full.
const ENTRY: usize = size_of::<(Str, Value)>() * 3 / 2;

/// A Go map with string keys. Clones share the entries: what one `set`s, all see. Entries are in the order of the
/// keys' bytes, which is the order in which Go's templates and `fmt` walk a map.
#[derive(Clone)]
pub struct Map {
    of: &'static MapType,
    inner: Rc<Inner>,
}

struct Inner {
    nil: bool,
    entries: RefCell<BTreeMap<Str, Value>>,
}

impl Map {
    /// An empty `map[string]interface {}`.
    pub fn new() -> Self {
        Self::typed(MapType::ANY, BTreeMap::new())
    }

    /// A map of another static type. The caller vouches for the values.
    pub fn typed(of: &'static MapType, entries: BTreeMap<Str, Value>) -> Self {
        note_made(size_of::<Inner>() + entries.len() * ENTRY);
        Self { of, inner: Rc::new(Inner { nil: false, entries: RefCell::new(entries) }) }
    }

    /// Go's nil map: empty, prints as `map[]`, is `null` in JSON.
    pub fn nil(of: &'static MapType) -> Self {
        Self { of, inner: Rc::new(Inner { nil: true, entries: RefCell::default() }) }
    }

    /// The static type.
    pub fn of(&self) -> &'static MapType {
        self.of
    }

    /// The same map under another static type of the same elements: both share the entries, as after a conversion in
    /// Go.
    #[must_use]
    pub fn converted(&self, of: &'static MapType) -> Self {
        Self { of, inner: Rc::clone(&self.inner) }
    }

    /// Whether this is Go's nil map.
    pub fn is_nil(&self) -> bool {
        self.inner.nil
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.inner.entries.borrow().len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.inner.entries.borrow().is_empty()
    }

    /// The value under `key`; `Some(Value::Nil)` if it is null.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Value> {
        self.inner.entries.borrow().get(key.as_ref()).cloned()
    }

    /// Whether there is an entry for `key`, even a null one.
    pub fn contains(&self, key: impl AsRef<[u8]>) -> bool {
        self.inner.entries.borrow().contains_key(key.as_ref())
    }

    /// Sets an entry; everyone who holds the map sees it.
    pub fn insert(&self, key: impl Into<Str>, value: Value) {
        note_made(ENTRY);
        self.inner.entries.borrow_mut().insert(key.into(), value);
    }

    /// Takes an entry out and gives it back.
    pub fn remove(&self, key: impl AsRef<[u8]>) -> Option<Value> {
        self.inner.entries.borrow_mut().remove(key.as_ref())
    }

    /// The entries. Not to be held while a template runs.
    pub fn borrow(&self) -> Ref<'_, BTreeMap<Str, Value>> {
        self.inner.entries.borrow()
    }

    /// The entries, to change. Not to be held while a template runs.
    pub fn borrow_mut(&self) -> RefMut<'_, BTreeMap<Str, Value>> {
        self.inner.entries.borrow_mut()
    }

    /// Keys and values in order, on their own.
    pub fn entries(&self) -> Vec<(Str, Value)> {
        self.inner.entries.borrow().iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Whether both are the same map, not merely equal ones.
    pub fn same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.inner, &other.inner)
    }

    /// The entries, if nobody else holds them.
    pub(super) fn take_if_last(&mut self) -> BTreeMap<Str, Value> {
        Rc::get_mut(&mut self.inner).map_or_else(BTreeMap::new, |inner| std::mem::take(inner.entries.get_mut()))
    }
}

impl Default for Map {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop_nested(std::mem::take(self.entries.get_mut()).into_values());
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.borrow().keys()).finish()
    }
}

impl<K: Into<Str>> FromIterator<(K, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(entries: I) -> Self {
        Self::typed(MapType::ANY, entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }
}
