//! Lists of resources: reading them from text, finding one, and the rule that no two have the same identity
//! (kustomize `api/resmap`).

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use slipway_budget::Budget;

use crate::context::Context;
use crate::cost;
use crate::error::Error;
use crate::node::{Node, parse};
use crate::resource::{Behavior, Resource};

/// The resources in a YAML stream; lists are opened. `path` is for messages.
pub(crate) fn read(text: &str, path: &str, budget: &Budget) -> Result<Vec<Resource>, Error> {
    let mut nodes = parse::resources(text, budget).map_err(|source| Error::Yaml { path: path.to_owned(), source })?;
    if let [node] = nodes.as_mut_slice()
        && matches!(node.get("kind").map(Node::as_text), Some("List" | "ResourceList"))
    {
        match node.as_map_mut().and_then(|map| map.remove("items")) {
            Some(Node::Seq(items)) => nodes = items,
            Some(_) => nodes = Vec::new(),
            None => {}
        }
    }
    let mut resources = Vec::with_capacity(nodes.len());
    let mut queue = std::collections::VecDeque::from(nodes);
    while let Some(node) = queue.pop_front() {
        if node.is_null_or_empty() {
            continue;
        }
        validate(&node).map_err(|problem| Error::refused(format!("{problem} in `{path}`")))?;
        let is_list = node.get("kind").is_some_and(|kind| kind.as_text().ends_with("List"));
        match node.get("items") {
            Some(items) if is_list => {
                // Each list within a list is converted again.
                cost::of_conversion(budget, items)?;
                cost::of_copy(budget, items)?;
                queue.extend(list_items(items, path)?);
            }
            _ => resources.push(Resource::new(node)),
        }
    }
    Ok(resources)
}

/// The elements of an embedded list, as JSON would have them.
fn list_items(items: &Node, path: &str) -> Result<Vec<Node>, Error> {
    match items {
        Node::Seq(list) => {
            let item = |node: &Node| node.to_value().map(Node::from_value);
            list.iter().map(item).collect::<Result<_, _>>().map_err(|e| Error::refused(format!("{e} in `{path}`")))
        }
        null if null.is_null() => Ok(Vec::new()),
        other => Err(Error::refused(format!("expected a list in `items`, found {} in `{path}`", other.kind_name()))),
    }
}

/// Every resource has a kind and, unless it is a list, a name.
pub(crate) fn validate(node: &Node) -> Result<(), String> {
    let text =
        |node: Option<&Node>| node.filter(|n| !n.is_null_or_empty()).map(Node::as_text).unwrap_or_default().to_owned();
    if node.as_map().is_none() {
        return Err(format!("missing resource metadata: found {}", node.kind_name()));
    }
    let (kind, name) = (text(node.get("kind")), text(node.get("metadata").and_then(|m| m.get("name"))));
    match (kind.as_str(), name.as_str()) {
        ("", "") => Err("missing kind in an object".to_owned()),
        ("", name) => Err(format!("missing kind in object `{name}`")),
        (kind, _) if kind.ends_with("List") => Ok(()),
        (kind, "") => Err(format!("missing metadata.name in a {kind}")),
        _ => Ok(()),
    }
}

fn duplicate(resource: &Resource, cx: &Context) -> Error {
    Error::Duplicate { id: resource.id(cx).to_string() }
}

/// Fails where two resources have the same identity.
pub(crate) fn check_unique(resources: &[Resource], cx: &Context) -> Result<(), Error> {
    let mut seen = HashSet::with_capacity(resources.len());
    for resource in resources {
        if !seen.insert(resource.id(cx).key()) {
            return Err(duplicate(resource, cx));
        }
    }
    Ok(())
}

/// The identities of a list of resources that grows and does not change otherwise.
#[derive(Default)]
pub(crate) struct Identities {
    hasher: RandomState,
    /// Hashes of the first resources of the list; a few resources are compared without.
    known: HashSet<u64>,
    hashed: usize,
}

impl Identities {
    /// Appends resources; none may have the identity of one that is there.
    pub(crate) fn append(
        &mut self,
        resources: &mut Vec<Resource>,
        more: Vec<Resource>,
        cx: &Context,
    ) -> Result<(), Error> {
        cost::of_passes(&more, 2, cx)?;
        let is_small = |resources: &[Resource]| resources.len() < 64;
        for one in more {
            let same = |known: &Resource| known.id(cx).same(&one.id(cx));
            if is_small(resources) {
                if resources.iter().any(same) {
                    return Err(duplicate(&one, cx));
                }
            } else {
                for known in resources.get(self.hashed..).unwrap_or_default() {
                    self.known.insert(self.hasher.hash_one(known.id(cx).key()));
                }
                self.hashed = resources.len();
                if self.known.contains(&self.hasher.hash_one(one.id(cx).key())) && resources.iter().any(same) {
                    return Err(duplicate(&one, cx));
                }
            }
            resources.push(one);
        }
        Ok(())
    }
}

/// The place of the one resource that has, or had, the identity of `patch`.
pub(crate) fn the_one(resources: &[Resource], patch: &Resource, cx: &Context) -> Result<usize, Error> {
    cost::of_passes(resources, 1, cx)?;
    let wanted = patch.original_id(cx);
    let mut found =
        (0..).zip(resources).filter(|(_, resource)| resource.any_id(cx, |id| id.same(&wanted))).map(|(i, _)| i);
    match (found.next(), found.next()) {
        (Some(index), None) => Ok(index),
        (Some(_), Some(_)) => Err(Error::refused(format!("multiple matches for {wanted}"))),
        (None, _) => Err(Error::refused(format!("no matches for {wanted}"))),
    }
}

/// Adds what a generator made: a new resource, or in place of or merged with one that is there, as its behavior says.
pub(crate) fn absorb(resources: &mut Vec<Resource>, mut made: Resource, cx: &Context) -> Result<(), Error> {
    cost::of_passes(resources, 1, cx)?;
    let id = made.id(cx).to_string();
    let matching: Vec<usize> = {
        let wanted = made.id(cx);
        (0..).zip(resources.iter()).filter(|(_, r)| r.any_id(cx, |id| id.same(&wanted))).map(|(i, _)| i).collect()
    };
    match (matching.as_slice(), made.behavior) {
        ([], Behavior::Create) => {
            resources.push(made);
            Ok(())
        }
        ([], _) => Err(Error::refused(format!("id {id} does not exist; cannot merge or replace"))),
        ([_], Behavior::Create) => Err(Error::refused(format!("id {id} exists; behavior must be merge or replace"))),
        ([index], behavior) => {
            let Some(slot) = resources.get_mut(*index) else { return Ok(()) };
            let origin = slot.annotation(crate::origin::ANNOTATION).map(str::to_owned);
            cost::of_copy(&cx.budget, &slot.node)?;
            cost::of_copy(&cx.budget, &made.node)?;
            made.take_metadata_from(slot);
            made.behavior = slot.behavior;
            if behavior == Behavior::Merge {
                for field in ["data", "binaryData"] {
                    merge_data(&mut made, slot, field);
                }
                if let Some(origin) = origin {
                    made.set_annotation(crate::origin::ANNOTATION, origin);
                }
            }
            *slot = made;
            Ok(())
        }
        _ => Err(Error::refused(format!("found multiple objects that could accept merge of {id}"))),
    }
}

fn merge_data(made: &mut Resource, old: &Resource, field: &str) {
    let entries = |resource: &Resource| {
        let map = resource.node.get(field).and_then(Node::as_map).cloned().unwrap_or_default();
        map.0
            .into_iter()
            .map(|(key, node)| (key, node.as_text().to_owned()))
            .collect::<std::collections::BTreeMap<_, _>>()
    };
    let mut merged = entries(old);
    merged.extend(entries(made));
    let Some(map) = made.node.as_map_mut() else { return };
    map.remove(field);
    if !merged.is_empty() {
        let merged = merged.into_iter().map(|(key, text)| (key, Node::text(text))).collect();
        map.set(field, Node::Map(crate::node::Map(merged)));
    }
}
