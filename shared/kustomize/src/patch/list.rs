//! Lists that merge by key (kyaml `yaml/walk/associative_sequence.go`): the patch's elements come first, then the rest
//! of the target. Several keys may be partly missing (`protocol` of a port); the target's elements without any key
//! follow kyaml's letter.

use crate::context::Context;
use crate::cost::{self, Size};
use crate::error::Error;
use crate::node::{Map, Node};
use crate::schema::At;

use super::merge::{Directive, Merged, added, parse_directive, walk};

/// Where an element's patch comes from.
enum Source<'a> {
    /// The list merges with itself: it is all the patch's.
    Itself,
    Patch(&'a [Node]),
    Nothing,
}

/// `target` merged with `patch` by `keys`; without keys it is a set of scalars.
pub(super) fn merge(
    target: Vec<Node>,
    patch: Option<&[Node]>,
    keys: &[String],
    schema: Option<At<'_>>,
    cx: &Context,
) -> Result<Merged, Error> {
    let Some(patch) = patch else { return merge_elements(target, &Source::Nothing, keys, schema, cx) };
    let (directive, elided) = list_directive(patch, cx)?;
    match directive {
        Directive::Delete => Ok(Merged::Gone),
        Directive::Replace => add(elided.unwrap_or_default(), keys, schema, cx),
        Directive::Merge => {
            merge_elements(target, &Source::Patch(elided.as_deref().unwrap_or(patch)), keys, schema, cx)
        }
    }
}

/// A list of the patch that the target does not have.
pub(super) fn add(items: Vec<Node>, keys: &[String], schema: Option<At<'_>>, cx: &Context) -> Result<Merged, Error> {
    Ok(match merge_elements(items, &Source::Itself, keys, schema, cx)? {
        Merged::Target(node) => Merged::Patch(node),
        other => other,
    })
}

/// A list within what the target does not have. It is target and patch at once, so that its directive counts.
pub(super) fn add_within(
    items: Vec<Node>,
    keys: &[String],
    schema: Option<At<'_>>,
    cx: &Context,
) -> Result<Merged, Error> {
    match list_directive(&items, cx)? {
        (Directive::Delete, _) => Ok(Merged::Gone),
        (_, elided) => add(elided.unwrap_or(items), keys, schema, cx),
    }
}

/// The directive that an element `$patch: …` gives for its whole list, and the list without it.
fn list_directive(patch: &[Node], cx: &Context) -> Result<(Directive, Option<Vec<Node>>), Error> {
    let with_directive = patch.iter().find_map(|item| item.get("$patch").map(|node| (item, node.as_text())));
    let Some((_, text)) = with_directive.filter(|(item, _)| item.as_map().is_some_and(|map| map.0.len() == 1)) else {
        return Ok((Directive::Merge, None));
    };
    let directive = parse_directive(text)?;
    cx.budget.bytes(Size::of_list(patch).as_node())?;
    let mut list = patch.to_vec();
    set_element(&mut list, None, &["$patch"], &[text.to_owned()], cx)?;
    Ok((directive, Some(list)))
}

fn merge_elements(
    mut target: Vec<Node>,
    patch: &Source<'_>,
    keys: &[String],
    schema: Option<At<'_>>,
    cx: &Context,
) -> Result<Merged, Error> {
    let count = target.len() + if let Source::Patch(list) = patch { list.len() } else { 0 };
    // Each element is looked for among all, and compared by each key; those of a set are moved each time, too.
    let looks = if keys.is_empty() { 8 } else { 2 * keys.len() };
    cx.budget.step((count * (4 + count * looks)) as u64)?;
    let mut values = key_values(&target, patch, keys);
    let primitive = [""];
    let keys: Vec<&str> = if keys.is_empty() { primitive.to_vec() } else { keys.iter().map(String::as_str).collect() };
    if keys.len() > 1 {
        unify(&mut values);
    }
    let mut items = Vec::with_capacity(values.len());
    let mut used: Vec<&str> = Vec::new();
    for one in &values {
        let (one_keys, one_values) = valid(&values, one, &keys);
        let (find_keys, find_values) = valid(std::slice::from_ref(&one_values), &one_values, &one_keys);
        used = one_keys;
        let index = find(&target, &find_keys, &find_values);
        let merged = match patch {
            Source::Itself => match index.and_then(|i| target.get_mut(i)) {
                Some(item) => added(std::mem::take(item), schema, cx)?,
                None => Merged::Gone,
            },
            Source::Patch(list) => {
                let other = find(list, &find_keys, &find_values).and_then(|i| list.get(i));
                // Where the patch's element replaces the target's, the latter stays in its list.
                let replaces = other.is_some_and(|node| node.get("$patch").is_some());
                let item = index.and_then(|i| target.get_mut(i));
                if let Some(item) = item.as_ref().filter(|_| replaces) {
                    cost::of_copy(&cx.budget, item)?;
                }
                let item = item.map(|item| if replaces { item.clone() } else { std::mem::take(item) });
                walk(item, other, schema, cx)?
            }
            Source::Nothing => walk(index.and_then(|i| target.get_mut(i)).map(std::mem::take), None, schema, cx)?,
        };
        let (mut item, from_target) = match merged {
            Merged::Target(node) => (node, true),
            Merged::Patch(node) => (node, false),
            Merged::Gone => (Node::null(), false),
        };
        if item.is_null() || matches!(&item, Node::Map(map) if map.is_empty()) {
            set_element(&mut target, None, &used, &one_values, cx)?;
            continue;
        }
        set_missing_keys(&mut item, &used, &one_values);
        if let Some(slot) = index.and_then(|i| target.get_mut(i)).filter(|slot| from_target || slot.is_null()) {
            cost::of_copy(&cx.budget, &item)?;
            *slot = item.clone();
        }
        set_element(&mut items, Some(item), &used, &one_values, cx)?;
    }
    let list = if values.is_empty() { target } else { append(items, target, &used, cx)? };
    Ok(Merged::Target(Node::Seq(list)))
}

/// The keys' values of every element, the patch's first, each once.
fn key_values(target: &[Node], patch: &Source<'_>, keys: &[String]) -> Vec<Vec<String>> {
    let patch = match patch {
        Source::Patch(list) => *list,
        Source::Itself | Source::Nothing => &[],
    };
    let mut values: Vec<Vec<String>> = Vec::new();
    for item in patch.iter().chain(target) {
        let one: Vec<String> = match keys {
            [] => vec![item.as_text().to_owned()],
            keys => keys.iter().map(|key| item.get(key).map(Node::as_text).unwrap_or_default().to_owned()).collect(),
        };
        if !values.contains(&one) {
            values.push(one);
        }
    }
    values
}

/// Fills values that are missing in one element from another that agrees in the rest.
fn unify(values: &mut [Vec<String>]) {
    for i in 0..values.len() {
        for j in 0..values.len() {
            let (Some(a), Some(b)) = (values.get(i), values.get(j)) else { continue };
            let Some(both) = united(a, b) else { continue };
            for index in [i, j] {
                if let Some(slot) = values.get_mut(index) {
                    slot.clone_from(&both);
                }
            }
        }
    }
}

fn united(a: &[String], b: &[String]) -> Option<Vec<String>> {
    let mut common = false;
    let both: Option<Vec<String>> = a
        .iter()
        .zip(b)
        .map(|(x, y)| {
            common |= x == y;
            (x == y || x.is_empty() || y.is_empty()).then(|| if x.is_empty() { y.clone() } else { x.clone() })
        })
        .collect();
    both.filter(|_| common)
}

/// Those keys that some element has a value for, and the values to look for; all of them where none has.
fn valid<'k>(all: &[Vec<String>], values: &[String], keys: &[&'k str]) -> (Vec<&'k str>, Vec<String>) {
    let used: Vec<bool> =
        (0..keys.len()).map(|i| all.iter().any(|one| one.get(i).is_some_and(|value| !value.is_empty()))).collect();
    if !used.contains(&true) {
        return (keys.to_vec(), values.to_vec());
    }
    let is_used = |i: usize| used.get(i).copied().unwrap_or(false);
    let keys = keys.iter().enumerate().filter(|(i, _)| is_used(*i)).map(|(_, key)| *key).collect();
    let values =
        values.iter().enumerate().filter(|(i, value)| !value.is_empty() || is_used(*i)).map(|(_, v)| v.clone());
    (keys, values.collect())
}

/// The first element whose keys have these values.
fn find(list: &[Node], keys: &[&str], values: &[String]) -> Option<usize> {
    let first = values.first().map(String::as_str).unwrap_or_default();
    if keys.first().is_none_or(|key| key.is_empty()) {
        return list.iter().position(|item| !item.is_null() && item.as_text() == first);
    }
    let fits = |item: &Node| {
        keys.len() == values.len()
            && keys.iter().zip(values).all(|(key, value)| item.get(key).is_some_and(|node| node.as_text() == value))
    };
    list.iter().position(|item| item.as_map().is_some() && fits(item))
}

fn set_missing_keys(item: &mut Node, keys: &[&str], values: &[String]) {
    let Node::Map(map) = item else { return };
    for (key, value) in keys.iter().zip(values).filter(|(_, value)| !value.is_empty()) {
        map.entry(key, || Node::text(value.clone()));
    }
}

/// Puts `element` in the place of those that the keys match, or at the end; without an element they are removed
/// (kyaml `yaml/fns.go`, `ElementSetter`, which also drops empty elements).
fn set_element(
    list: &mut Vec<Node>,
    element: Option<Node>,
    keys: &[&str],
    values: &[String],
    cx: &Context,
) -> Result<(), Error> {
    let by_key =
        keys.first().is_some_and(|key| !key.is_empty()) && values.first().is_some_and(|value| !value.is_empty());
    let mut found = false;
    let mut kept = Vec::with_capacity(list.len() + 1);
    for item in std::mem::take(list) {
        if item.is_null() || item.as_map().is_some_and(Map::is_empty) {
            continue;
        }
        if item.as_map().is_none() && by_key {
            kept.push(item);
            continue;
        }
        if matches(&item, keys, values)? {
            found = true;
            if let Some(element) = &element {
                cost::of_copy(&cx.budget, element)?;
                kept.push(element.clone());
            }
        } else if !values.is_empty() {
            kept.push(item);
        }
    }
    if !found {
        kept.extend(element.filter(|element| !element.is_null()));
    }
    *list = kept;
    Ok(())
}

fn matches(item: &Node, keys: &[&str], values: &[String]) -> Result<bool, Error> {
    let mut matched = false;
    for (i, key) in keys.iter().enumerate() {
        if let Some(value) = values.get(i) {
            matched = match (item, *key) {
                (Node::Scalar(scalar), "") => scalar.text == *value,
                (Node::Map(map), key) if !key.is_empty() => {
                    map.get(key).is_some_and(|node| value.is_empty() || node.as_text() == value)
                }
                _ => {
                    return Err(Error::refused(format!(
                        "wrong node kind: {} among the elements of a list that merges by `{key}`",
                        item.kind_name()
                    )));
                }
            };
        }
        if !matched {
            return Ok(false);
        }
    }
    Ok(matched)
}

/// The target's elements after the patch's; one of the same keys takes the patch's place.
fn append(mut list: Vec<Node>, target: Vec<Node>, keys: &[&str], cx: &Context) -> Result<Vec<Node>, Error> {
    for item in target {
        if keys.first().is_none_or(|key| key.is_empty()) {
            let value = item.as_text().to_owned();
            set_element(&mut list, Some(item), &[""], &[value], cx)?;
            continue;
        }
        let mut values = Vec::with_capacity(keys.len());
        for key in keys {
            if let Some(node) = item.get(key) {
                values.push(node.as_text().to_owned());
            } else {
                cost::of_copy(&cx.budget, &item)?;
                list.push(item.clone());
            }
        }
        if keys.len() > 1 {
            set_element(&mut list, None, keys, &values, cx)?;
        }
        set_element(&mut list, Some(item), keys, &values, cx)?;
    }
    Ok(list)
}
