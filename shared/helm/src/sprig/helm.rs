//! Helm's own functions: templates in templates, and what stops or asks the caller (helm/helm `pkg/engine/engine.go`).

use std::rc::Rc;

use slipway_gocompat::strconv::quote;
use slipway_gotmpl::{Context, FuncError, Function, Limit, Set, Str, Type, Value};

use super::{Outcome, misused, state};
use crate::cost;
use crate::error::{WARN_END, WARN_START};

/// How often one template may be inside itself (Helm's own bound).
const MAX_INCLUDES: usize = 1000;

pub(super) const TABLE: &[Function] = &[
    Function::new("include", &[Type::String, Type::Any], include),
    Function::new("tpl", &[Type::String, Type::Any], tpl),
    Function::new("required", &[Type::String, Type::Any], required),
    Function::new("fail", &[Type::String], |_, args| match args {
        [Value::Str(message)] => Err(warning(message)),
        _ => misused(),
    }),
    Function::new("lookup", &[Type::String, Type::String, Type::String, Type::String], lookup),
    // DNS would tell the world about the values: Helm answers nothing unless asked to.
    Function::new("getHostByName", &[Type::String], |_, _| Ok(Value::literal(""))),
];

fn warning(message: &Str) -> FuncError {
    format!("{WARN_START}{message}{WARN_END}").into()
}

fn include(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [Value::Str(name), dot] = args else { return misused() };
    cx.budget().step(12)?;
    let includes = &state(cx)?.includes;
    {
        let mut includes = includes.borrow_mut();
        let inside = includes.entry(name.clone()).or_default();
        if *inside > MAX_INCLUDES {
            return Err(
                format!("rendering template has a nested reference name: {name}: unable to execute template").into()
            );
        }
        *inside += 1;
    }
    let text = cx.execute(&name.to_text(), dot.clone());
    if let Some(inside) = includes.borrow_mut().get_mut(name) {
        *inside -= 1;
    }
    Ok(text?.into())
}

fn tpl(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    const NAME: &str = "gotpl";
    let [Value::Str(text), dot] = args else { return misused() };
    let Some(source) = text.as_str() else { return Err("cannot parse template: invalid UTF-8".into()) };
    if !source.contains("{{") {
        // Most values that charts put through `tpl` are plain.
        return Ok(without_no_value(text));
    }
    let cache = &state(cx)?.parsed;
    let set = if let Some(set) = cache.get(cx.set(), text) {
        set
    } else {
        cost::of_template(cx.budget().shared(), source).map_err(Limit::from)?;
        let mut set = Set::child(cx.set());
        set.parse(NAME, source)
            .map_err(|e| FuncError::wrap(format!("cannot parse template {}", quote(text.as_bytes())), e))?;
        let set = Rc::new(set);
        cache.put(cx.set(), text, &set);
        set
    };
    let out = cx
        .execute_in(&set, NAME, dot.clone())
        .map_err(|e| e.context(format!("error during tpl function execution for {}", quote(text.as_bytes()))))?;
    Ok(without_no_value(&out))
}

/// Helm takes `<no value>`, which Go prints for a missing key, out of what templates print.
fn without_no_value(text: &Str) -> Value {
    match text.as_str() {
        Some(plain) if plain.contains("<no value>") => plain.replace("<no value>", "").into(),
        _ => text.clone().into(),
    }
}

fn required(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    match args {
        [Value::Str(message), Value::Nil] => Err(warning(message)),
        [Value::Str(message), Value::Str(text)] if text.is_empty() => Err(warning(message)),
        [_, value] => Ok(value.clone()),
        _ => misused(),
    }
}

fn lookup(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [Value::Str(api_version), Value::Str(kind), Value::Str(namespace), Value::Str(name)] = args else {
        return misused();
    };
    let text = |part: &Str| part.to_text().into_owned();
    Ok(state(cx)?.lookup(crate::Lookup {
        api_version: text(api_version),
        kind: text(kind),
        namespace: text(namespace),
        name: text(name),
    }))
}
