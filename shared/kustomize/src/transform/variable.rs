//! `vars`: `$(NAME)` in the fields of `varReference`, once all names are final (kustomize `api/filters/refvar`).

use std::collections::{BTreeMap, BTreeSet};

use slipway_budget::{Budget, Exceeded};

use crate::context::Context;
use crate::cost;
use crate::error::Error;
use crate::fieldspec::FieldSpec;
use crate::kustomization::Var;
use crate::node::{Node, Scalar, Tag};
use crate::path;
use crate::resource::Resource;

/// Notes on each resource which variables read it.
pub(crate) fn attach(resources: &mut [Resource], vars: &[Var], cx: &Context) -> Result<(), Error> {
    cost::of_passes(resources, 2 * vars.len(), cx)?;
    for var in vars {
        let target = var.target();
        let wanted = target.as_ref();
        // Without a namespace any will do.
        let fits = |id: &crate::id::IdRef<'_>| {
            if target.namespace.is_empty() { id.name == wanted.name && id.gvk == wanted.gvk } else { id.same(&wanted) }
        };
        let mut found = resources.iter_mut().filter(|resource| resource.any_id(cx, fits));
        if let Some(resource) = found.next() {
            if found.next().is_some() {
                return Err(Error::refused(format!(
                    "several resources match var `{}`: unable to disambiguate",
                    var.name
                )));
            }
            resource.vars.push(var.name.clone());
        }
    }
    Ok(())
}

/// Adds variables; a name stands once.
pub(crate) fn merge(known: &mut BTreeMap<String, Var>, vars: impl IntoIterator<Item = Var>) -> Result<(), Error> {
    for var in vars {
        if known.contains_key(&var.name) {
            return Err(Error::refused(format!("var `{}` already encountered", var.name)));
        }
        known.insert(var.name.clone(), var);
    }
    Ok(())
}

/// Replaces references by values; gives a warning for each variable that nothing refers to.
pub(crate) fn resolve(
    resources: &mut [Resource],
    vars: &BTreeMap<String, Var>,
    specs: &[FieldSpec],
    cx: &Context,
) -> Result<Vec<String>, Error> {
    let mut values = BTreeMap::new();
    for var in vars.values() {
        cost::of_passes(resources, 1, cx)?;
        values.insert(var.name.as_str(), value_of(resources, var, &cx.budget)?);
    }
    if values.is_empty() {
        return Ok(Vec::new());
    }
    let mut used = BTreeSet::new();
    let mut set = |node: &mut Node| replace_in(node, &values, &mut used, &cx.budget);
    super::each_field(resources, specs, None, &mut set, cx)?;
    let unused = values.keys().filter(|name| !used.contains(**name));
    Ok(unused.map(|name| format!("well-defined var that was never replaced: `{name}`")).collect())
}

/// The scalar that a variable stands for; `None` for what can't be put into a text.
fn value_of(resources: &[Resource], var: &Var, budget: &Budget) -> Result<Option<Scalar>, Error> {
    let source = resources.iter().find(|resource| resource.vars.contains(&var.name)).ok_or_else(|| {
        Error::refused(format!("var `{}` cannot be mapped to a field in the set of known resources", var.name))
    })?;
    let node = path::field_value(&source.node, var.field_path(), budget)?.ok_or_else(|| {
        Error::refused(format!("field `{}` of var `{}` not found in its resource", var.field_path(), var.name))
    })?;
    Ok(match node {
        Node::Scalar(scalar) => Some(match scalar.tag {
            Tag::Int | Tag::Bool | Tag::Float => {
                let value = scalar.clone().into_value().map_err(Error::Refused)?;
                Scalar { text: value.to_string(), tag: scalar.tag }
            }
            _ => Scalar { text: scalar.text.clone(), tag: Tag::Str },
        }),
        _ => None,
    })
}

type Values<'a> = BTreeMap<&'a str, Option<Scalar>>;

fn replace_in(node: &mut Node, values: &Values<'_>, used: &mut BTreeSet<String>, budget: &Budget) -> Result<(), Error> {
    let is_text = |node: &Node| matches!(node, Node::Scalar(Scalar { tag: Tag::Str | Tag::Quoted | Tag::Auto, .. }));
    match node {
        Node::Scalar(scalar) if matches!(scalar.tag, Tag::Str | Tag::Quoted | Tag::Auto) => {
            *scalar = expand(&scalar.text, values, used, budget)?;
        }
        Node::Scalar(_) => {}
        Node::Map(map) => {
            for (_, value) in map.0.iter_mut().filter(|(_, value)| is_text(value)) {
                *value = Node::Scalar(expand(value.as_text(), values, used, budget)?);
            }
        }
        Node::Seq(list) => {
            for item in list {
                if !is_text(item) {
                    return Err(Error::refused("a list in which variables are replaced may only hold strings"));
                }
                *item = Node::Scalar(expand(item.as_text(), values, used, budget)?);
            }
        }
    }
    Ok(())
}

/// `input` with its references replaced; one that is all of it keeps the value's type. `$$` is `$`.
fn expand(input: &str, values: &Values<'_>, used: &mut BTreeSet<String>, budget: &Budget) -> Result<Scalar, Exceeded> {
    cost::of_text(budget, input.len())?;
    let mut text = String::with_capacity(input.len());
    let mut rest = input;
    while let Some(at) = rest.find('$') {
        let (head, tail) = rest.split_at(at);
        text.push_str(head);
        let after = tail.strip_prefix('$').unwrap_or_default();
        if after.is_empty() {
            rest = tail;
            break;
        }
        if let Some(more) = after.strip_prefix('$') {
            text.push('$');
            rest = more;
            continue;
        }
        let reference = after.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        let Some((name, more)) = reference else {
            // The sign and the character after it stay.
            let length = after.chars().next().map_or(0, char::len_utf8);
            text.push('$');
            text.push_str(after.get(..length).unwrap_or_default());
            rest = after.get(length..).unwrap_or_default();
            continue;
        };
        if let Some(value) = values.get(name).and_then(Option::as_ref) {
            used.insert(name.to_owned());
            if input.len() == name.len() + 3 {
                cost::of_text(budget, value.text.len())?;
                return Ok(value.clone());
            }
            budget.step(8)?;
            // A text that grows moves.
            cost::of_text(budget, 2 * value.text.len())?;
            text.push_str(&value.text);
        } else {
            text.push_str("$(");
            text.push_str(name);
            text.push(')');
        }
        rest = more;
    }
    text.push_str(rest);
    Ok(Scalar { text, tag: Tag::Str })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_expanded() {
        let port = Some(Scalar { text: "80".into(), tag: Tag::Int });
        let values = Values::from([("A", Some(Scalar { text: "x".into(), tag: Tag::Str })), ("P", port)]);
        let expand = |input| expand(input, &values, &mut BTreeSet::new(), &Budget::default()).unwrap();
        assert_eq!(expand("$(A)-$(P)").text, "x-80");
        assert_eq!(expand("$(P)").tag, Tag::Int);
        for (input, text) in [("$$(A)", "$(A)"), ("$(B)", "$(B)"), ("a$", "a$"), ("$(A", "$(A"), ("$x$(A)", "$xx")] {
            assert_eq!(expand(input).text, text, "{input}");
        }
    }
}
