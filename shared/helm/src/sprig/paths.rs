//! Takes slash-separated paths apart (Go's `path`; `osBase` and its sisters are the same on Linux).

use slipway_gocompat::path;
use slipway_gotmpl::{Function, Type, Value};

use super::{Outcome, misused};

pub(super) const TABLE: &[Function] = &[
    Function::new("base", &[Type::String], |_, args| on_text(args, |text| path::base(text).into())),
    Function::new("dir", &[Type::String], |_, args| on_text(args, |text| path::dir(text).into())),
    Function::new("clean", &[Type::String], |_, args| on_text(args, |text| path::clean(text).into())),
    Function::new("ext", &[Type::String], |_, args| on_text(args, |text| path::ext(text).into())),
    Function::new("isAbs", &[Type::String], |_, args| on_text(args, |text| path::is_abs(text).into())),
    Function::new("osBase", &[Type::String], |_, args| on_text(args, |text| path::base(text).into())),
    Function::new("osDir", &[Type::String], |_, args| on_text(args, |text| path::dir(text).into())),
    Function::new("osClean", &[Type::String], |_, args| on_text(args, |text| path::clean(text).into())),
    Function::new("osExt", &[Type::String], |_, args| on_text(args, |text| path::ext(text).into())),
    Function::new("osIsAbs", &[Type::String], |_, args| on_text(args, |text| path::is_abs(text).into())),
];

fn on_text(args: &[Value], work: impl FnOnce(&str) -> Value) -> Outcome {
    match args {
        [Value::Str(text)] => Ok(work(&text.to_text())),
        _ => misused(),
    }
}
