//! The functions of templates: sprig's but those that look at the environment, and Argo CD's own (argoproj/argo-cd
//! `applicationset/utils/template_functions.go`).

use slipway_gotmpl::{Context, FuncError, FuncMap, Function, IntKind, Limit, List, Map, Numbers, Type, Value};
use slipway_helm::{sprig_functions, to_yaml};
use slipway_manifest::{YamlError, YamlErrorKind, yaml};

use crate::slug::{sanitize_name, slug};

const OWN: &[Function] = &[
    Function::new("normalize", &[Type::String], |_, args| match args {
        [Value::Str(name)] => Ok(sanitize_name(&name.to_text()).into()),
        _ => misused(),
    }),
    Function::variadic("slugify", &[Type::Any], slugify),
    Function::new("toYaml", &[Type::Any], |cx, args| match args {
        [value] => to_yaml(cx, value),
        _ => misused(),
    }),
    Function::new("fromYaml", &[Type::String], |cx, args| match from_yaml(cx, args)? {
        serde_json::Value::Null => Ok(Map::new().into()),
        mapping @ serde_json::Value::Object(_) => Ok(Value::from_json(&mapping, Numbers::Float)),
        _ => Err("error unmarshaling JSON: the text is no mapping".into()),
    }),
    Function::new("fromYamlArray", &[Type::String], |cx, args| match from_yaml(cx, args)? {
        serde_json::Value::Null => Ok(List::new(Vec::new()).into()),
        list @ serde_json::Value::Array(_) => Ok(Value::from_json(&list, Numbers::Float)),
        _ => Err("error unmarshaling JSON: the text is no list".into()),
    }),
];

/// Every function that templates of ApplicationSets know besides those of text/template.
pub(crate) fn functions() -> FuncMap {
    let mut tables = sprig_functions();
    tables.push(OWN);
    FuncMap::new(&tables)
}

fn misused<T>() -> Result<T, FuncError> {
    Err("called with arguments of other types".into())
}

fn from_yaml(cx: &Context<'_>, args: &[Value]) -> Result<serde_json::Value, FuncError> {
    let [Value::Str(text)] = args else { return misused() };
    yaml::parse_with(&text.to_text(), yaml::Options::lenient(), cx.budget().shared()).map_err(|error| match error {
        YamlError { kind: YamlErrorKind::Exceeded(over), .. } => Limit::from(over).into(),
        other => format!("error converting YAML to JSON: {other}").into(),
    })
}

/// `slugify [MAX [SMART]] NAME`
fn slugify(_: &mut Context<'_>, args: &[Value]) -> Result<Value, FuncError> {
    let Some((last, options)) = args.split_last() else { return Ok(Value::literal("")) };
    let Value::Str(name) = last else { return misused() };
    let (mut length, mut smart) = (50, true);
    for (index, option) in options.iter().enumerate() {
        match (index, option) {
            (0, Value::Int(IntKind::Int, number)) => length = *number,
            (1, Value::Bool(flag)) => smart = *flag,
            (0 | 1, _) => return misused(),
            _ => {}
        }
    }
    let Ok(length) = usize::try_from(length) else { return Err("slugify has a negative length".into()) };
    Ok(slug(&sanitize_name(&name.to_text()), length, smart).into())
}
