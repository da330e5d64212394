//! The plugin `ValueAddTransformer`: one value in many fields, whole or as a segment of a path.

use serde::Deserialize;

use super::namespace;
use crate::context::Context;
use crate::cost;
use crate::error::Error;
use crate::fieldspec::set_text;
use crate::id::Selector;
use crate::node::{Kind, Node};
use crate::path::{self, Visitor};
use crate::resource::Resource;
use crate::selector::Matcher;

/// Where the value goes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Target {
    pub(crate) selector: Option<Selector>,
    pub(crate) field_path: String,
    pub(crate) file_path_position: i64,
}

pub(super) fn apply(resources: &mut [Resource], value: &str, targets: &[Target], cx: &Context) -> Result<(), Error> {
    for target in targets {
        let matcher = target.selector.as_ref().map(|selector| Matcher::new(selector, cx)).transpose()?;
        let fields = path::split(&target.field_path, '/')?;
        for resource in resources.iter_mut() {
            if let Some(matcher) = &matcher
                && !matcher.matches(resource, cx)?
            {
                continue;
            }
            if target.field_path == "metadata/namespace" {
                let mut set = |node: &mut Node| set_text(node, value, &cx.budget);
                namespace::apply_one(resource, &[], namespace::Subjects::DefaultOnly, &mut set, cx)?;
                continue;
            }
            let mut set = |node: &mut Node| match usize::try_from(target.file_path_position) {
                Ok(position @ 1..) => {
                    let parts = node.as_text().matches('/').count() + 2;
                    cost::of_text(&cx.budget, node.as_text().len() + 3 * parts * size_of::<&str>())?;
                    let text = with_segment(node.as_text(), position - 1, value);
                    set_text(node, &text, &cx.budget)
                }
                _ => set_text(node, value, &cx.budget),
            };
            Visitor { create: Some(Kind::Scalar), cx, visit: &mut set }.walk(&mut resource.node, &fields)?;
        }
    }
    Ok(())
}

/// `path` with `segment` put in at `position`, which the end bounds.
fn with_segment(path: &str, position: usize, segment: &str) -> String {
    let (root, rest) = path.strip_prefix('/').map_or(("", path), |rest| ("/", rest));
    let mut parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
    parts.insert(position.min(parts.len()), segment);
    format!("{root}{}", parts.join("/"))
}
