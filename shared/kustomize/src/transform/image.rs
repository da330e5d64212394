//! `images`: names, tags and digests of container images, wherever containers are.

use slipway_budget::{Budget, Exceeded};

use crate::context::{Context, Pattern};
use crate::cost::Size;
use crate::error::Error;
use crate::fieldspec::{FieldSpec, set_text};
use crate::kustomization::Image;
use crate::node::Node;
use crate::resource::Resource;

pub(super) fn apply(resources: &mut [Resource], image: &Image, specs: &[FieldSpec], cx: &Context) -> Result<(), Error> {
    let name = Name::new(&image.name, cx)?;
    let mut set = |node: &mut Node| update(node, image, &name, &cx.budget);
    for resource in resources.iter_mut().filter(|resource| resource.kind() != "CustomResourceDefinition") {
        cx.budget.step(Size::of(&resource.node).nodes as u64 * 2)?;
        walk(&mut resource.node, &mut set)
            .map_err(|e| e.within(format!("considering images of {}", resource.id(cx))))?;
    }
    for resource in resources.iter_mut().filter(|resource| resource.kind() != "CustomResourceDefinition") {
        for spec in specs {
            super::apply_spec(resource, spec, None, &mut set, cx)?;
        }
    }
    Ok(())
}

/// Every list `containers` or `initContainers`, at any depth.
fn walk(node: &mut Node, set: &mut dyn FnMut(&mut Node) -> Result<(), Error>) -> Result<(), Error> {
    match node {
        Node::Seq(list) => list.iter_mut().try_for_each(|item| walk(item, set)),
        Node::Map(map) => map.0.iter_mut().try_for_each(|(key, value)| {
            walk(value, set)?;
            match value {
                Node::Seq(list) if key == "containers" || key == "initContainers" => {
                    list.iter_mut().try_for_each(|container| match container {
                        Node::Map(map) => map.get_mut("image").map_or(Ok(()), &mut *set),
                        null if null.is_null() => Ok(()),
                        other => {
                            Err(Error::refused(format!("a container must be a mapping, found {}", other.kind_name())))
                        }
                    })
                }
                _ => Ok(()),
            }
        }),
        Node::Scalar(_) => Ok(()),
    }
}

fn update(node: &mut Node, image: &Image, name: &Name, budget: &Budget) -> Result<(), Error> {
    let Node::Scalar(scalar) = &*node else {
        return Err(Error::refused(format!("an image must be a scalar, found {}", node.kind_name())));
    };
    budget.step(4 + scalar.text.len() as u64 / 32)?;
    if !name.matches(&scalar.text, budget)? {
        return Ok(());
    }
    let (old_name, old_tag, old_digest) = split(&scalar.text);
    let (tag, digest) = match (image.new_tag.as_str(), image.digest.as_str(), image.tag_suffix.as_str()) {
        ("", "", "") => (old_tag.to_owned(), old_digest),
        ("", "", suffix) => (format!("{old_tag}{suffix}"), ""),
        (tag, digest, _) => (tag.to_owned(), digest),
    };
    let mut text = if image.new_name.is_empty() { old_name } else { &image.new_name }.to_owned();
    for (mark, part) in [(':', tag.as_str()), ('@', digest)] {
        if !part.is_empty() {
            text.push(mark);
            text.push_str(part);
        }
    }
    set_text(node, &text, budget)
}

/// The name of an entry; it is a regular expression, though hardly anyone writes one.
enum Name {
    Plain(String),
    Regex(Pattern),
}

impl Name {
    fn new(name: &str, cx: &Context) -> Result<Self, Error> {
        if name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | ':' | '@' | '.')) {
            return Ok(Self::Plain(name.to_owned()));
        }
        cx.pattern(&format!("^{name}(:[a-zA-Z0-9_.{{}}-]*)?(@sha256:[a-zA-Z0-9_.{{}}-]*)?$"))?
            .map(Self::Regex)
            .map_err(|e| Error::refused(format!("`images`: name `{name}` is not a regular expression: {e}")))
    }

    fn matches(&self, image: &str, budget: &Budget) -> Result<bool, Exceeded> {
        Ok(match self {
            Self::Regex(pattern) => pattern.is_match(image, budget)?,
            Self::Plain(name) => {
                // A dot stands for any character here as well.
                let Some((head, rest)) = image.split_at_checked(name.len()) else { return Ok(false) };
                let same = head.bytes().zip(name.bytes()).all(|(a, b)| a == b || b == b'.');
                let formed = |s: &str| s.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.{}-".contains(&b));
                let (tag, digest) = rest.split_once("@sha256:").unwrap_or((rest, ""));
                same && (tag.is_empty() || tag.strip_prefix(':').is_some_and(formed)) && formed(digest)
            }
        })
    }
}

/// Name, tag and digest.
fn split(image: &str) -> (&str, &str, &str) {
    let host = image.find('/').unwrap_or(0);
    let (name_and_tag, digest) = match image.get(host..).and_then(|tail| tail.find('@')) {
        Some(at) => (image.get(..host + at).unwrap_or(image), image.get(host + at + 1..).unwrap_or_default()),
        None => (image, ""),
    };
    match name_and_tag.get(host..).and_then(|tail| tail.find(':')) {
        Some(at) => (
            name_and_tag.get(..host + at).unwrap_or(image),
            name_and_tag.get(host + at + 1..).unwrap_or_default(),
            digest,
        ),
        None => (name_and_tag, "", digest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_taken_apart() {
        assert_eq!(split("host:5000/a/b:1.2@sha256:ab"), ("host:5000/a/b", "1.2", "sha256:ab"));
        assert_eq!(split("host:5000/a"), ("host:5000/a", "", ""));
        assert_eq!(split("nginx@sha256:ab"), ("nginx", "", "sha256:ab"));
        assert_eq!(split("nginx:1"), ("nginx", "1", ""));
    }

    #[test]
    fn names_match_as_a_whole() {
        let cx = Context::default();
        let matches = |name: &str, image: &str| Name::new(name, &cx).unwrap().matches(image, &cx.budget).unwrap();
        assert!(
            matches("nginx", "nginx:1.2")
                && matches("nginx", "nginx@sha256:ab")
                && matches("nginx", "nginx:1@sha256:ab")
        );
        assert!(!matches("nginx", "nginx-x:1") && !matches("nginx", "my/nginx:1") && !matches("nginx", "nginx@md5:x"));
        assert!(matches("my.io/a", "my.io/a") && matches("(a|b)", "b:1") && matches("n", "n:"));
    }
}
