//! Strategic merge as kyaml does it (`yaml/merge2`, `yaml/walk`): lists of the built-in types merge by key, `$patch`
//! deletes, replaces or merges, null clears. What kyaml does not know (`$setElementOrder`, `$deleteFromPrimitiveList`)
//! stays as it is.

use std::collections::HashSet;

use crate::context::Context;
use crate::error::Error;
use crate::node::{Map, Node, Tag};
use crate::schema::At;

use super::list;

const DIRECTIVE: &str = "$patch";

/// What became of a node.
pub(super) enum Merged {
    /// The node of the target, changed in place.
    Target(Node),
    /// The patch's node instead.
    Patch(Node),
    /// Nothing.
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Directive {
    Merge,
    Replace,
    Delete,
}

/// `target` with `patch` merged into it; `None` where the patch deletes it.
pub(crate) fn merge(target: Node, patch: &Node, cx: &Context) -> Result<Option<Node>, Error> {
    match walk(Some(target), Some(patch), None, cx)? {
        Merged::Target(node) | Merged::Patch(node) => Ok(Some(node)),
        Merged::Gone => Ok(None),
    }
}

pub(super) fn walk(
    target: Option<Node>,
    patch: Option<&Node>,
    schema: Option<At<'_>>,
    cx: &Context,
) -> Result<Merged, Error> {
    let present = |node: &&Node| !node.is_null();
    let (have, want) = (target.as_ref().filter(present), patch.filter(present));
    let Some(kind) = have.or(want).map(Node::kind) else { return Ok(both_missing(target, patch)) };
    if let Some(other) = want.filter(|node| node.kind() != kind) {
        return Err(Error::refused(format!(
            "wrong node kind: a patch has {} where the target has {}",
            other.kind_name(),
            have.or(want).map_or("nothing", Node::kind_name)
        )));
    }
    let schema = schema.or_else(|| have.and_then(|n| schema_of(n, cx))).or_else(|| want.and_then(|n| schema_of(n, cx)));
    match (target, patch) {
        (Some(_), Some(patch)) if patch.is_null() => Ok(Merged::Gone),
        (Some(Node::Map(map)), patch) => merge_map(map, patch.and_then(Node::as_map), schema, cx),
        (Some(Node::Seq(list)), patch) => match schema.and_then(At::merge_keys) {
            Some(keys) => list::merge(list, patch.and_then(Node::as_seq), keys, schema.and_then(At::element), cx),
            None => Ok(patch.map_or(Merged::Target(Node::Seq(list)), |patch| Merged::Patch(patch.clone()))),
        },
        (_, Some(Node::Map(map))) => added_map(map, schema, cx),
        (_, Some(Node::Seq(items))) => match schema.and_then(At::merge_keys) {
            Some(keys) => list::add(items.clone(), keys, schema.and_then(At::element), cx),
            None => Ok(Merged::Patch(Node::Seq(items.clone()))),
        },
        (_, Some(scalar)) => Ok(Merged::Patch(scalar.clone())),
        (Some(scalar), None) => Ok(Merged::Target(scalar)),
        (None, None) => Ok(Merged::Gone),
    }
}

fn schema_of<'c>(node: &Node, cx: &'c Context) -> Option<At<'c>> {
    let text = |key| node.get(key).map(Node::as_text).filter(|text| !text.is_empty());
    cx.schema(text("apiVersion")?, text("kind")?)
}

/// A null that is spelt out in the target stays; an empty one goes, like one in the patch.
fn both_missing(target: Option<Node>, patch: Option<&Node>) -> Merged {
    match (target, patch) {
        (Some(null), None) if !null.as_text().is_empty() => Merged::Target(null),
        _ => Merged::Gone,
    }
}

/// The directive of a mapping, taken out of it.
pub(super) fn take_directive(map: &mut Map) -> Result<Directive, Error> {
    let directive = match map.get(DIRECTIVE).map(Node::as_text) {
        None => return Ok(Directive::Merge),
        Some(text) => parse_directive(text)?,
    };
    map.remove(DIRECTIVE);
    Ok(directive)
}

pub(super) fn parse_directive(text: &str) -> Result<Directive, Error> {
    match text {
        "delete" => Ok(Directive::Delete),
        "replace" => Ok(Directive::Replace),
        "merge" => Ok(Directive::Merge),
        other => Err(Error::refused(format!("unknown patch strategy `{other}`: use delete, replace or merge"))),
    }
}

fn merge_map(mut target: Map, patch: Option<&Map>, schema: Option<At<'_>>, cx: &Context) -> Result<Merged, Error> {
    let directive = patch.and_then(|patch| patch.get(DIRECTIVE)).map(|node| parse_directive(node.as_text()));
    match (directive.transpose()?, patch) {
        (Some(Directive::Delete), _) => return Ok(Merged::Gone),
        (Some(Directive::Replace), Some(patch)) => return added_map(patch, schema, cx),
        _ => {}
    }
    let looks = target.0.len() * patch.map_or(0, |patch| patch.0.len());
    cx.budget.step(looks as u64 / 8)?;
    // What the patch takes away is not added again.
    let known: HashSet<String> = target.0.iter().map(|(key, _)| key.clone()).collect();
    let mut fields = Vec::with_capacity(target.0.len());
    for (key, node) in std::mem::take(&mut target.0) {
        let tag = if let Node::Scalar(scalar) = &node { Some(scalar.tag) } else { None };
        let mut merged = walk(Some(node), patch.and_then(|p| p.get(&key)), schema.and_then(|s| s.field(&key)), cx);
        // kyaml keeps how the target is written: what takes the place of a text in quotes is in quotes.
        if let (Some(tag), Ok(Merged::Patch(Node::Scalar(scalar)))) = (tag, &mut merged) {
            match (tag, scalar.tag) {
                (Tag::Quoted, _) => scalar.tag = Tag::Quoted,
                (_, Tag::Quoted) => scalar.tag = Tag::Str,
                _ => {}
            }
        }
        keep(&mut fields, key, merged)?;
    }
    for (key, node) in patch.into_iter().flat_map(Map::iter).filter(|(key, _)| *key != DIRECTIVE) {
        if !known.contains(key) {
            let merged = walk(None, Some(node), schema.and_then(|s| s.field(key)), cx);
            keep(&mut fields, key.to_owned(), merged)?;
        }
    }
    Ok(Merged::Target(Node::Map(Map(fields))))
}

fn keep(fields: &mut Vec<(String, Node)>, key: String, merged: Result<Merged, Error>) -> Result<(), Error> {
    match merged.map_err(|e| e.within(format!("failed to merge `{key}`")))? {
        Merged::Target(node) | Merged::Patch(node) => fields.push((key, node)),
        Merged::Gone => {}
    }
    Ok(())
}

/// A mapping of the patch that the target does not have: without nulls and directives.
fn added_map(patch: &Map, schema: Option<At<'_>>, cx: &Context) -> Result<Merged, Error> {
    let mut map = patch.clone();
    // An unknown directive is no error in a mapping that is added: it stays.
    if take_directive(&mut map).unwrap_or(Directive::Merge) == Directive::Delete {
        return Ok(Merged::Gone);
    }
    Ok(Merged::Patch(Node::Map(clean(map, schema, cx)?)))
}

fn clean(map: Map, schema: Option<At<'_>>, cx: &Context) -> Result<Map, Error> {
    let mut fields = Vec::with_capacity(map.0.len());
    for (key, node) in map.0 {
        let merged = added(node, schema.and_then(|s| s.field(&key)), cx);
        keep(&mut fields, key, merged)?;
    }
    Ok(Map(fields))
}

/// A node of the patch below an added mapping, or an element of an added list.
pub(super) fn added(node: Node, schema: Option<At<'_>>, cx: &Context) -> Result<Merged, Error> {
    let schema = schema.or_else(|| schema_of(&node, cx));
    match node {
        Node::Map(mut map) => match take_directive(&mut map)? {
            Directive::Delete => Ok(Merged::Gone),
            Directive::Merge | Directive::Replace => Ok(Merged::Target(Node::Map(clean(map, schema, cx)?))),
        },
        Node::Seq(items) => match schema.and_then(At::merge_keys) {
            Some(keys) => list::add_within(items, keys, schema.and_then(At::element), cx),
            None => Ok(Merged::Target(Node::Seq(items))),
        },
        null @ Node::Scalar(_) if null.is_null() => Ok(Merged::Gone),
        scalar @ Node::Scalar(_) => Ok(Merged::Target(scalar)),
    }
}
