//! Paths into resources as Kustomize writes them: `spec.template.spec.containers.[name=web].image`.

use slipway_gocompat::regexp;

use crate::error::Error;
use crate::node::{Kind, Map, Node};

/// Splits at `delimiter`, which `\` takes its meaning from (kyaml `utils.PathSplitter`).
pub(crate) fn split(path: &str, delimiter: char) -> Vec<String> {
    let path = path.strip_prefix(delimiter).unwrap_or(path);
    let mut parts: Vec<String> = Vec::new();
    for piece in path.split(delimiter) {
        match parts.last_mut() {
            Some(last) if last.ends_with('\\') => {
                last.pop();
                last.push(delimiter);
                last.push_str(piece);
            }
            _ => parts.push(piece.to_owned()),
        }
    }
    parts
}

/// [`split`] that leaves `[name=a.b]` whole and opens `[a.b]` (kyaml `utils.SmarterPathSplitter`).
pub(crate) fn split_smart(path: &str, delimiter: char) -> Vec<String> {
    let mut result = Vec::new();
    let mut pieces = split(path, delimiter).into_iter();
    while let Some(mut piece) = pieces.next() {
        if !piece.starts_with('[') || piece.ends_with(']') {
            result.push(piece);
            continue;
        }
        for next in pieces.by_ref() {
            piece.push(delimiter);
            piece.push_str(&next);
            if next.ends_with(']') {
                break;
            }
        }
        result.push(if piece.contains('=') { piece } else { piece.trim_matches(['[', ']']).to_owned() });
    }
    result
}

/// `[field=value]` in parts; `field` is empty for a list of scalars.
fn condition(part: &str) -> Option<Result<(&str, &str), Error>> {
    let inner = part.strip_prefix('[')?.strip_suffix(']')?;
    Some(inner.split_once('=').ok_or_else(|| {
        Error::refused(format!("list path element `{part}` must contain fieldName=fieldValue for element to match"))
    }))
}

/// The node at `path`, the way kyaml's `Lookup` finds it; conditions are compared as text.
pub(crate) fn lookup<'a>(root: &'a Node, path: &[String]) -> Result<Option<&'a Node>, Error> {
    let mut node = root;
    for part in path.iter().map(|part| part.trim()).filter(|part| !part.is_empty()) {
        let next = match (part.parse::<i64>(), condition(part)) {
            (Ok(index), _) if index < 0 => {
                return Err(Error::refused(format!("array index {index} cannot be negative")));
            }
            (Ok(index), _) => elements(node, part)?.get(usize::try_from(index).unwrap_or(usize::MAX)),
            (_, _) if part == "-" => elements(node, part)?.last(),
            (_, _) if part == "*" => return Err(Error::refused("wildcard is not supported in this path")),
            (_, Some(condition)) => {
                let (field, value) = condition?;
                let is = |item: &&Node| match field {
                    "" => item.as_text() == value,
                    field => item.get(field).is_some_and(|node| node.as_text() == value),
                };
                elements(node, part)?.iter().find(is)
            }
            (_, None) if node.is_null() => None,
            (_, None) => fields(node, part)?.get(part),
        };
        match next {
            Some(next) => node = next,
            None => return Ok(None),
        }
    }
    Ok(Some(node))
}

fn elements<'a>(node: &'a Node, part: &str) -> Result<&'a [Node], Error> {
    match node {
        Node::Seq(list) => Ok(list),
        node if node.is_null() => Ok(&[]),
        other => {
            Err(Error::refused(format!("wrong node kind: expected a list at `{part}`, found {}", other.kind_name())))
        }
    }
}

fn fields<'a>(node: &'a Node, part: &str) -> Result<&'a Map, Error> {
    node.as_map().ok_or_else(|| {
        Error::refused(format!("wrong node kind: expected a mapping with `{part}`, found {}", node.kind_name()))
    })
}

/// The value of `fieldPath` as variables read it: `spec.ports[0].port` is a spelling of its own.
pub(crate) fn field_value<'a>(root: &'a Node, path: &str) -> Result<Option<&'a Node>, Error> {
    let mut parts = Vec::new();
    for part in split_smart(path, '.') {
        let index = part.strip_suffix(']').and_then(|part| part.rsplit_once('['));
        match index.filter(|(_, digits)| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())) {
            Some((name, digits)) => {
                let names = Some(name.to_owned()).filter(|name| !name.is_empty());
                let digits = digits.to_owned();
                parts.extend(names);
                parts.push(digits);
            }
            None => parts.push(part),
        }
    }
    lookup(root, &parts)
}

/// Calls `visit` on every node that `path` matches (kyaml `yaml/match.go`): `*` is every element, `[a=b]` those whose
/// field `a` matches the regular expression `b`. With `create` what is missing is made, the last part as that kind.
pub(crate) fn visit(
    node: &mut Node,
    path: &[String],
    create: Option<Kind>,
    visit_one: &mut dyn FnMut(&mut Node) -> Result<(), Error>,
) -> Result<usize, Error> {
    let Some((part, rest)) = path.split_first() else {
        visit_one(node)?;
        return Ok(1);
    };
    let next_kind = |create: Kind| match rest.first().map(String::as_str) {
        None | Some("") => create,
        Some(next) if condition(next).is_some() || next.parse::<usize>().is_ok() => Kind::Seq,
        Some(_) => Kind::Map,
    };
    if let Ok(index) = part.parse::<usize>() {
        let list = list_mut(node, part)?;
        if let Some(create) = create.filter(|_| list.len() == index) {
            list.push(Node::empty(next_kind(create)));
        }
        let found = list.len();
        let item = list
            .get_mut(index)
            .ok_or_else(|| Error::refused(format!("index {index} specified but only {found} elements found")))?;
        return visit(item, rest, create, visit_one);
    }
    if let Some(condition) = condition(part) {
        return visit_matching(node, part, condition?, rest, create, visit_one);
    }
    if part == "*" {
        return list_mut(node, part)?.iter_mut().try_fold(0, |n, item| Ok(n + visit(item, rest, create, visit_one)?));
    }
    if node.is_null() {
        match create {
            // A null where a mapping has to be becomes one.
            Some(_) => *node = Node::empty(Kind::Map),
            None => return Ok(0),
        }
    }
    let Node::Map(map) = node else {
        return Err(Error::refused(format!(
            "wrong node kind: expected a mapping with `{part}`, found {}",
            node.kind_name()
        )));
    };
    let field = match create {
        Some(create) => map.entry(part, || Node::empty(next_kind(create))),
        None => match map.get_mut(part) {
            Some(field) => field,
            None => return Ok(0),
        },
    };
    visit(field, rest, create, visit_one)
}

fn visit_matching(
    node: &mut Node,
    part: &str,
    (field, pattern): (&str, &str),
    rest: &[String],
    create: Option<Kind>,
    visit_one: &mut dyn FnMut(&mut Node) -> Result<(), Error>,
) -> Result<usize, Error> {
    let regex =
        regexp::compile(pattern).map_err(|e| Error::refused(format!("`{part}` is not a regular expression: {e}")))?;
    let list = list_mut(node, part)?;
    let mut found = 0;
    for item in list.iter_mut() {
        let text = if field.is_empty() { Some(&*item) } else { item.get(field) };
        if text.is_some_and(|node| regex.is_match(node.as_text())) {
            // A primitive element is the end of the path, whatever follows.
            found += if field.is_empty() {
                visit(item, &[], create, visit_one)?
            } else {
                visit(item, rest, create, visit_one)?
            };
        }
    }
    if found > 0 || create.is_none() {
        return Ok(found);
    }
    let mut item = match field {
        "" => Node::auto(pattern),
        field => Node::Map(Map(vec![(field.to_owned(), Node::auto(pattern))])),
    };
    let found = if field.is_empty() {
        visit(&mut item, &[], create, visit_one)?
    } else {
        visit(&mut item, rest, create, visit_one)?
    };
    list.push(item);
    Ok(found)
}

fn list_mut<'a>(node: &'a mut Node, part: &str) -> Result<&'a mut Vec<Node>, Error> {
    if node.is_null() {
        *node = Node::empty(Kind::Seq);
    }
    match node {
        Node::Seq(list) => Ok(list),
        other => {
            Err(Error::refused(format!("wrong node kind: expected a list at `{part}`, found {}", other.kind_name())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_split_at_dots_outside_brackets() {
        assert_eq!(split_smart("spec.containers.[name=a.b].image", '.'), ["spec", "containers", "[name=a.b]", "image"]);
        assert_eq!(split_smart("metadata.annotations.[a.b/c]", '.'), ["metadata", "annotations", "a.b/c"]);
        assert_eq!(split_smart(r"data.a\.b", '.'), ["data", "a.b"]);
    }
}
