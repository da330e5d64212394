//! Go's slice, shared by reference.

use std::cell::{Ref, RefCell, RefMut};
use std::fmt;
use std::rc::Rc;

use super::{Type, Value, drop_nested};
use crate::budget::note_made;

/// A Go slice. Clones share the elements, as Go's do: what sorts one in place sorts all.
///
/// Unlike Go's, a part taken with `slice` is a copy.
#[derive(Clone)]
pub struct List(Rc<Inner>);

struct Inner {
    elem: &'static Type,
    nil: bool,
    items: RefCell<Vec<Value>>,
}

impl List {
    /// An `[]interface {}`.
    pub fn new(items: Vec<Value>) -> Self {
        Self::typed(&Type::Any, items)
    }

    /// A slice whose elements have a static type. The caller vouches for the items.
    pub fn typed(elem: &'static Type, items: Vec<Value>) -> Self {
        note_made(size_of::<Inner>() + items.len() * size_of::<Value>());
        Self(Rc::new(Inner { elem, nil: false, items: RefCell::new(items) }))
    }

    /// Go's nil slice: empty, prints as `[]`, is `null` in JSON.
    pub fn nil(elem: &'static Type) -> Self {
        Self(Rc::new(Inner { elem, nil: true, items: RefCell::default() }))
    }

    /// The static type of the elements.
    pub fn elem(&self) -> &'static Type {
        self.0.elem
    }

    /// Whether this is Go's nil slice.
    pub fn is_nil(&self) -> bool {
        self.0.nil
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.0.items.borrow().len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at `index`.
    pub fn get(&self, index: usize) -> Option<Value> {
        self.0.items.borrow().get(index).cloned()
    }

    /// The elements. Not to be held while a template runs.
    pub fn borrow(&self) -> Ref<'_, Vec<Value>> {
        self.0.items.borrow()
    }

    /// The elements, to change. Not to be held while a template runs.
    pub fn borrow_mut(&self) -> RefMut<'_, Vec<Value>> {
        self.0.items.borrow_mut()
    }

    /// The elements in a vector of their own.
    pub fn to_vec(&self) -> Vec<Value> {
        self.0.items.borrow().clone()
    }

    /// Whether both are the same slice, not merely equal ones.
    pub fn same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// The elements, if nobody else holds them.
    pub(super) fn take_if_last(&mut self) -> Vec<Value> {
        Rc::get_mut(&mut self.0).map_or_else(Vec::new, |inner| std::mem::take(inner.items.get_mut()))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop_nested(std::mem::take(self.items.get_mut()).into_iter());
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[]{}({} items)", self.0.elem, self.len())
    }
}

impl From<Vec<Value>> for List {
    fn from(items: Vec<Value>) -> Self {
        Self::new(items)
    }
}

impl FromIterator<Value> for List {
    fn from_iter<I: IntoIterator<Item = Value>>(items: I) -> Self {
        Self::new(items.into_iter().collect())
    }
}
