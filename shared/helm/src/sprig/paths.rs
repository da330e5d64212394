//! Slash-separated paths (Go's `path`; `osBase` and its sisters are the same on Linux).

use slipway_gotmpl::{Function, Type, Value};

use super::{Outcome, misused};

pub(super) const TABLE: &[Function] = &[
    Function::new("base", &[Type::String], |_, args| on_text(args, base)),
    Function::new("dir", &[Type::String], |_, args| on_text(args, dir)),
    Function::new("clean", &[Type::String], |_, args| on_text(args, clean)),
    Function::new("ext", &[Type::String], |_, args| on_text(args, ext)),
    Function::new("isAbs", &[Type::String], |_, args| is_abs(args)),
    Function::new("osBase", &[Type::String], |_, args| on_text(args, base)),
    Function::new("osDir", &[Type::String], |_, args| on_text(args, dir)),
    Function::new("osClean", &[Type::String], |_, args| on_text(args, clean)),
    Function::new("osExt", &[Type::String], |_, args| on_text(args, ext)),
    Function::new("osIsAbs", &[Type::String], |_, args| is_abs(args)),
];

fn on_text(args: &[Value], work: impl FnOnce(&str) -> String) -> Outcome {
    match args {
        [Value::Str(text)] => Ok(work(&text.to_text()).into()),
        _ => misused(),
    }
}

fn is_abs(args: &[Value]) -> Outcome {
    match args {
        [Value::Str(text)] => Ok(text.as_bytes().starts_with(b"/").into()),
        _ => misused(),
    }
}

/// Go's `path.Base`; Helm's files are named by it, too.
pub(crate) fn base(path: &str) -> String {
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    match (last, path) {
        ("", "") => ".",
        ("", _) => "/",
        (last, _) => last,
    }
    .to_owned()
}

fn dir(path: &str) -> String {
    clean(path.rfind('/').and_then(|slash| path.get(..=slash)).unwrap_or_default())
}

/// Go's `path.Clean`.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

fn ext(path: &str) -> String {
    let last = path.rsplit('/').next().unwrap_or_default();
    last.rfind('.').and_then(|dot| last.get(dot..)).unwrap_or_default().to_owned()
}
