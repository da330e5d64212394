//! `replacements`: a value from one field into others (kustomize `api/filters/replacement`).

use serde::Deserialize;
use slipway_budget::Budget;

use crate::context::Context;
use crate::cost::{self, MAX_DEPTH, Size};
use crate::error::Error;
use crate::id::IdRef;
use crate::kustomization::{FieldOptions, Source, Target};
use crate::node::{Node, Scalar};
use crate::path::{self, Visitor};
use crate::resource::Resource;
use crate::selector::Labels;

const DEFAULT_FIELD: &str = "metadata.name";

/// One replacement.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Replacement {
    pub(crate) source: Option<Source>,
    pub(crate) targets: Option<Vec<Target>>,
    pub(crate) source_value: Option<String>,
}

impl Replacement {
    /// How often it looks at all resources: for its source, and for the targets and rejects of each.
    pub(super) fn passes(&self) -> usize {
        let targets = self.targets.iter().flatten();
        1 + targets.map(|target| 1 + target.reject.len()).sum::<usize>()
    }
}

pub(super) fn apply(resources: &mut [Resource], replacements: &[Replacement], cx: &Context) -> Result<(), Error> {
    for (index, replacement) in replacements.iter().enumerate() {
        replace(resources, replacement, cx).map_err(|e| e.within(format!("`replacements[{index}]`")))?;
    }
    Ok(())
}

fn replace(resources: &mut [Resource], replacement: &Replacement, cx: &Context) -> Result<(), Error> {
    let value = match (&replacement.source, &replacement.source_value) {
        (Some(_), Some(_)) => return Err(Error::refused("value and resource selectors are mutually exclusive")),
        (None, Some(text)) => Node::auto(text.clone()),
        (Some(source), None) => value_of(resources, source, &cx.budget)?,
        (None, None) => return Err(incomplete()),
    };
    for target in replacement.targets.as_ref().ok_or_else(incomplete)? {
        write(resources, &value, target, cx)?;
    }
    Ok(())
}

fn incomplete() -> Error {
    Error::refused("replacements must specify a source and at least one target")
}

/// All identities; for this purpose none is known to be without namespace.
fn ids(resource: &Resource) -> impl Iterator<Item = IdRef<'_>> {
    let now = IdRef { gvk: resource.gvk(), name: resource.name(), namespace: resource.namespace(), cluster: false };
    std::iter::once(now).chain(resource.previous_ids())
}

fn value_of(resources: &[Resource], source: &Source, budget: &Budget) -> Result<Node, Error> {
    let selector = source.id();
    let label = selector.as_ref().to_string();
    let mut found = resources.iter().filter(|resource| ids(resource).any(|id| id.is_selected_by(&selector)));
    let resource = match (found.next(), found.next()) {
        (Some(resource), None) => resource,
        (Some(_), Some(_)) => return Err(Error::refused(format!("multiple matches for selector {label}"))),
        (None, _) => return Err(Error::refused(format!("nothing selected by {label}:{}", source.field_path))),
    };
    let field = if source.field_path.is_empty() { DEFAULT_FIELD } else { &source.field_path };
    let node = path::lookup(&resource.node, &path::split_smart(field, '.')?, budget)
        .map_err(|e| e.within(format!("error looking up replacement source `{field}` of {label}")))?
        .filter(|node| !node.is_null_or_empty())
        .ok_or_else(|| Error::refused(format!("fieldPath `{field}` is missing for replacement source {label}")))?;
    cost::of_copy(budget, node)?;
    refined(node, source.options.as_ref())
}

/// The part of the value that `delimiter` and `index` pick.
fn refined(node: &Node, options: Option<&FieldOptions>) -> Result<Node, Error> {
    let Some(options) = options.filter(|options| !options.delimiter.is_empty()) else { return Ok(node.clone()) };
    let Node::Scalar(scalar) = node else {
        return Err(Error::refused("delimiter option can only be used with scalar nodes"));
    };
    let mut parts = scalar.text.split(options.delimiter.as_str());
    let part = usize::try_from(options.index)
        .ok()
        .and_then(|index| parts.nth(index))
        .ok_or_else(|| Error::refused(format!("options.index {} is out of bounds for the value", options.index)))?;
    Ok(Node::Scalar(Scalar { text: part.to_owned(), tag: scalar.tag }))
}

fn write(resources: &mut [Resource], value: &Node, target: &Target, cx: &Context) -> Result<(), Error> {
    let select = target.select.as_ref().ok_or_else(|| Error::refused("target must specify resources to select"))?;
    let selectors = |selector: &crate::id::Selector| -> Result<_, Error> {
        let parse = |text: &str| Labels::parse(text, &cx.budget);
        Ok((parse(&selector.label_selector)?, parse(&selector.annotation_selector)?))
    };
    let (labels, annotations) = selectors(select)?;
    let selected = select.id();
    let rejects: Vec<_> = target
        .reject
        .iter()
        .map(|reject| Ok((reject.id(), selectors(reject)?, reject.has_label_selectors())))
        .collect::<Result<_, Error>>()?;
    let budget = &cx.budget;
    let size = Size::of(value);
    let value = &Value { node: value, size };
    for resource in resources {
        let fits = |labels: &Labels, annotations: &Labels| {
            Ok::<_, Error>(
                labels.matches(resource.labels(), budget)? && annotations.matches(resource.annotations(), budget)?,
            )
        };
        let mut rejected = false;
        for (id, (labels, annotations), by_labels) in &rejects {
            rejected |= *by_labels && fits(labels, annotations)?
                || *id != crate::id::ResId::default() && ids(resource).any(|one| one.is_selected_by(id));
        }
        if fits(&labels, &annotations)? && !rejected && ids(resource).any(|id| id.is_selected_by(&selected)) {
            copy_to(resource, value, target, cx)?;
        }
    }
    Ok(())
}

/// A value to be written, and what a copy of it takes.
struct Value<'v> {
    node: &'v Node,
    size: Size,
}

fn copy_to(resource: &mut Resource, value: &Value<'_>, target: &Target, cx: &Context) -> Result<(), Error> {
    let options = target.options.as_ref();
    let create = options.filter(|options| options.create).map(|_| value.node.kind());
    let default = [DEFAULT_FIELD.to_owned()];
    let fields = if target.field_paths.is_empty() { &default[..] } else { &target.field_paths };
    let label = format!("{}/{}", resource.kind(), resource.name());
    for field in fields {
        let missing = || {
            let what = if create.is_some() { "find or create" } else { "find" };
            format!("unable to {what} field `{field}` in replacement target {label}")
        };
        let path = path::split_smart(field, '.')?;
        if path.len() + value.size.depth > MAX_DEPTH {
            return Err(Error::refused(format!("it would nest deeper than {MAX_DEPTH} levels")).within(missing()));
        }
        let mut set = |node: &mut Node| set_value(node, value, options, &cx.budget);
        let found =
            Visitor { create, cx, visit: &mut set }.walk(&mut resource.node, &path).map_err(|e| e.within(missing()))?;
        if found == 0 {
            return Err(Error::Refused(missing()));
        }
    }
    Ok(())
}

fn set_value(
    field: &mut Node,
    value: &Value<'_>,
    options: Option<&FieldOptions>,
    budget: &Budget,
) -> Result<(), Error> {
    let Value { node: value, size } = *value;
    budget.step(1 + size.steps())?;
    budget.bytes(size.as_node())?;
    let joined = match (options.filter(|options| !options.delimiter.is_empty()), &*field) {
        (None, _) => None,
        (Some(options), Node::Scalar(scalar)) => {
            let parts = scalar.text.matches(options.delimiter.as_str()).count() + 2;
            cost::of_text(budget, 2 * scalar.text.len() + 3 * parts * size_of::<&str>())?;
            let mut parts: Vec<&str> = scalar.text.split(options.delimiter.as_str()).collect();
            let part = value.as_text();
            match usize::try_from(options.index) {
                Err(_) => parts.insert(0, part),
                Ok(index) => match parts.get_mut(index) {
                    Some(slot) => *slot = part,
                    None => parts.push(part),
                },
            }
            Some(parts.join(&options.delimiter))
        }
        (Some(_), _) => return Err(Error::refused("delimiter option can only be used with scalar nodes")),
    };
    match field {
        // A scalar keeps its type: `80` stays a number, `"80"` a text.
        Node::Scalar(scalar) => scalar.text = joined.unwrap_or_else(|| value.as_text().to_owned()),
        other => *other = value.clone(),
    }
    Ok(())
}
