//! Paths into resources as Kustomize writes them: `spec.template.spec.containers.[name=web].image`.

use slipway_budget::Budget;

use crate::context::Context;
use crate::cost::{ENTRY, MAX_DEPTH};
use crate::error::Error;
use crate::node::{Kind, Map, Node};

/// Splits at `delimiter`, which `\` takes its meaning from (kyaml `utils.PathSplitter`).
pub(crate) fn split(path: &str, delimiter: char) -> Result<Vec<String>, Error> {
    check_length(path, delimiter)?;
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
    Ok(parts)
}

/// Fails where `path` leads deeper than anything that is read nests.
pub(crate) fn check_length(path: &str, delimiter: char) -> Result<(), Error> {
    if path.split(delimiter).nth(MAX_DEPTH).is_none() {
        return Ok(());
    }
    let start: String = path.chars().take(40).collect();
    Err(Error::refused(format!("the path `{start}…` has more than {MAX_DEPTH} fields")))
}

/// [`split`] that leaves `[name=a.b]` whole and opens `[a.b]` (kyaml `utils.SmarterPathSplitter`).
pub(crate) fn split_smart(path: &str, delimiter: char) -> Result<Vec<String>, Error> {
    let mut result = Vec::new();
    let mut pieces = split(path, delimiter)?.into_iter();
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
    Ok(result)
}

/// `[field=value]` in parts; `field` is empty for a list of scalars.
fn condition(part: &str) -> Option<Result<(&str, &str), Error>> {
    let inner = part.strip_prefix('[')?.strip_suffix(']')?;
    Some(inner.split_once('=').ok_or_else(|| {
        Error::refused(format!("list path element `{part}` must contain fieldName=fieldValue for element to match"))
    }))
}

/// The node at `path`, the way kyaml's `Lookup` finds it; conditions are compared as text.
pub(crate) fn lookup<'a>(root: &'a Node, path: &[String], budget: &Budget) -> Result<Option<&'a Node>, Error> {
    let mut node = root;
    for part in path.iter().map(|part| part.trim()).filter(|part| !part.is_empty()) {
        budget.step(width(node) as u64)?;
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

/// Steps of finding something in `node`.
fn width(node: &Node) -> usize {
    match node {
        Node::Scalar(_) => 1,
        Node::Seq(list) => 1 + list.len(),
        Node::Map(map) => 1 + map.0.len() / 4,
    }
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
pub(crate) fn field_value<'a>(root: &'a Node, path: &str, budget: &Budget) -> Result<Option<&'a Node>, Error> {
    let mut parts = Vec::new();
    for part in split_smart(path, '.')? {
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
    lookup(root, &parts, budget)
}

/// Calls a function on every node that a path matches (kyaml `yaml/match.go`): `*` is every element, `[a=b]` those
/// whose field `a` matches the regular expression `b`.
pub(crate) struct Visitor<'v> {
    /// What is missing is made, the last part as this kind.
    pub(crate) create: Option<Kind>,
    pub(crate) cx: &'v Context,
    pub(crate) visit: &'v mut dyn FnMut(&mut Node) -> Result<(), Error>,
}

impl Visitor<'_> {
    /// Gives how many nodes below `node` matched `path`.
    pub(crate) fn walk(&mut self, node: &mut Node, path: &[String]) -> Result<usize, Error> {
        let Some((part, rest)) = path.split_first() else {
            (self.visit)(node)?;
            return Ok(1);
        };
        self.cx.budget.step(width(node) as u64)?;
        let next_kind = |create: Kind| match rest.first().map(String::as_str) {
            None | Some("") => create,
            Some(next) if condition(next).is_some() || next.parse::<usize>().is_ok() => Kind::Seq,
            Some(_) => Kind::Map,
        };
        if let Ok(index) = part.parse::<usize>() {
            let list = list_mut(node, part)?;
            if let Some(create) = self.create.filter(|_| list.len() == index) {
                self.cx.budget.bytes(ENTRY)?;
                list.push(Node::empty(next_kind(create)));
            }
            let found = list.len();
            let item = list
                .get_mut(index)
                .ok_or_else(|| Error::refused(format!("index {index} specified but only {found} elements found")))?;
            return self.walk(item, rest);
        }
        if let Some(condition) = condition(part) {
            return self.matching(node, part, condition?, rest);
        }
        if part == "*" {
            return list_mut(node, part)?.iter_mut().try_fold(0, |n, item| Ok(n + self.walk(item, rest)?));
        }
        if node.is_null() {
            match self.create {
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
        let field = match (self.create, map.get(part).is_some()) {
            (None, false) => return Ok(0),
            (Some(create), false) => {
                self.cx.budget.bytes(ENTRY + part.len())?;
                map.entry(part, || Node::empty(next_kind(create)))
            }
            (_, true) => map.entry(part, Node::null),
        };
        self.walk(field, rest)
    }

    fn matching(
        &mut self,
        node: &mut Node,
        part: &str,
        (field, pattern): (&str, &str),
        rest: &[String],
    ) -> Result<usize, Error> {
        let regex = self
            .cx
            .pattern(pattern)?
            .map_err(|e| Error::refused(format!("`{part}` is not a regular expression: {e}")))?;
        // A primitive element is the end of the path, whatever follows.
        let rest = if field.is_empty() { &[] } else { rest };
        let list = list_mut(node, part)?;
        let mut found = 0;
        for item in list.iter_mut() {
            let text = if field.is_empty() { Some(&*item) } else { item.get(field) };
            if let Some(node) = text
                && regex.is_match(node.as_text(), &self.cx.budget)?
            {
                found += self.walk(item, rest)?;
            }
        }
        if found > 0 || self.create.is_none() {
            return Ok(found);
        }
        self.cx.budget.bytes(2 * ENTRY + part.len())?;
        let mut item = match field {
            "" => Node::auto(pattern),
            field => Node::Map(Map(vec![(field.to_owned(), Node::auto(pattern))])),
        };
        let found = self.walk(&mut item, rest)?;
        list.push(item);
        Ok(found)
    }
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
        let split = |path| split_smart(path, '.').unwrap();
        assert_eq!(split("spec.containers.[name=a.b].image"), ["spec", "containers", "[name=a.b]", "image"]);
        assert_eq!(split("metadata.annotations.[a.b/c]"), ["metadata", "annotations", "a.b/c"]);
        assert_eq!(split(r"data.a\.b"), ["data", "a.b"]);
    }
}
