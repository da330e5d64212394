//! JSON, YAML and TOML (helm/helm `pkg/engine/funcs.go`, Masterminds/sprig `defaults.go`).

mod go_json;
mod go_yaml;
mod json_syntax;
mod toml;

use serde_json::Value as Json;
use slipway_gotmpl::{Context, FuncError, Function, Limit, List, Map, MapType, Numbers, Str, Type, Value};
use slipway_manifest::{YamlError, YamlErrorKind, json, yaml};

use super::{Outcome, misused};
use crate::encode::{Style, to_text, to_yaml, to_yaml_pretty};

const ANY: &[Type] = &[Type::Any];
const TEXT: &[Type] = &[Type::String];

/// sprig's own functions that Helm leaves as they are.
pub(super) const TABLE: &[Function] = &[
    Function::new("toJson", ANY, |cx, args| swallow(encode(cx, args, Style::Escaped))),
    Function::new("mustToJson", ANY, |cx, args| encode(cx, args, Style::Escaped)),
    Function::new("toPrettyJson", ANY, |cx, args| swallow(encode(cx, args, Style::Pretty))),
    Function::new("mustToPrettyJson", ANY, |cx, args| encode(cx, args, Style::Pretty)),
    Function::new("toRawJson", ANY, |cx, args| encode(cx, args, Style::Raw)),
    Function::new("mustToRawJson", ANY, |cx, args| encode(cx, args, Style::Raw)),
    Function::new("mustFromJson", TEXT, |cx, args| match from_json(cx, args)? {
        Ok(json) => Ok(Value::from_json(&json, Numbers::Float)),
        Err(message) => Err(message.into()),
    }),
];

/// What sprig has where Helm has its own.
pub(super) const SPRIG: &[Function] = &[
    Function::new("fromJson", TEXT, |cx, args| {
        Ok(from_json(cx, args)?.map_or(Value::Nil, |json| Value::from_json(&json, Numbers::Float)))
    }),
    Function::new("fail", TEXT, |_, args| match args {
        [Value::Str(message)] => Err(message.to_text().into_owned().into()),
        _ => misused(),
    }),
];

/// Helm's own.
pub(super) const HELM: &[Function] = &[
    Function::new("toYaml", ANY, |cx, args| swallow(one(args).and_then(|value| to_yaml(cx, value)))),
    Function::new("mustToYaml", ANY, |cx, args| one(args).and_then(|value| to_yaml(cx, value))),
    Function::new("toYamlPretty", ANY, |cx, args| swallow(one(args).and_then(|value| to_yaml_pretty(cx, value)))),
    Function::new("toToml", ANY, |cx, args| toml::encode(cx, one(args)?, false)),
    // Of Helm 4.2.
    Function::new("mustToToml", ANY, |cx, args| toml::encode(cx, one(args)?, true)),
    Function::new("fromJson", TEXT, |cx, args| {
        from_json(cx, args).map(|decoded| mapping(decoded, "", Map::nil(MapType::ANY)))
    }),
    Function::new("fromJsonArray", TEXT, |cx, args| {
        from_json(cx, args).map(|decoded| array(decoded, "", List::nil(&Type::Any)))
    }),
    Function::new("fromYaml", TEXT, |cx, args| {
        from_yaml(cx, args).map(|decoded| mapping(decoded, JSON_OF_YAML, Map::new()))
    }),
    Function::new("fromYamlArray", TEXT, |cx, args| {
        from_yaml(cx, args).map(|decoded| array(decoded, JSON_OF_YAML, List::new(Vec::new())))
    }),
    Function::new("fromToml", TEXT, toml::decode).costing(256),
];

/// sigs.k8s.io/yaml decodes YAML as JSON, and says so.
const JSON_OF_YAML: &str = "error unmarshaling JSON: while decoding JSON: ";

fn one(args: &[Value]) -> Result<&Value, FuncError> {
    args.first().map_or_else(misused, Ok)
}

/// What Go can't encode is empty text, but a bound that is reached stays an error.
fn swallow(outcome: Outcome) -> Outcome {
    match outcome {
        Err(e) if e.limit().is_none() => Ok(Value::literal("")),
        other => other,
    }
}

fn encode(cx: &Context<'_>, args: &[Value], style: Style) -> Outcome {
    Ok(to_text(cx, one(args)?, style)?.into())
}

type Decoded = Result<Json, String>;

fn from_json(cx: &Context<'_>, args: &[Value]) -> Result<Decoded, FuncError> {
    let [Value::Str(text)] = args else { return misused() };
    let text = text.to_text();
    json::pay(text.as_bytes(), cx.budget().shared()).map_err(Limit::from)?;
    Ok(serde_json::from_str(&text).map_err(|error| json_syntax::complaint(&text).unwrap_or_else(|| error.to_string())))
}

fn from_yaml(cx: &Context<'_>, args: &[Value]) -> Result<Decoded, FuncError> {
    let [Value::Str(text)] = args else { return misused() };
    let limits = yaml::Limits { nodes: 500_000, ..yaml::Limits::default() };
    let text = text.to_text();
    let options = yaml::Options { limits, ..yaml::Options::lenient() };
    match yaml::parse_with(&text, options, cx.budget().shared()) {
        Err(YamlError { kind: YamlErrorKind::Exceeded(over), .. }) => Err(Limit::from(over).into()),
        parsed => Ok(parsed.map_err(|e| go_yaml::message(&text, &e))),
    }
}

/// `null` is what an empty document gives: Go's JSON decoder makes a nil of it, sigs.k8s.io/yaml leaves the target as
/// it is.
fn mapping(decoded: Decoded, prefix: &str, null: Map) -> Value {
    let failed = |message: String| [(Str::from("Error"), Value::from(message))].into_iter().collect::<Map>().into();
    match decoded {
        Ok(Json::Null) => null.into(),
        Ok(json @ Json::Object(_)) => Value::from_json(&json, Numbers::Float),
        Ok(other) => failed(format!(
            "{prefix}json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            go_json::kind(&other)
        )),
        Err(message) => failed(message),
    }
}

fn array(decoded: Decoded, prefix: &str, null: List) -> Value {
    match decoded {
        Ok(Json::Null) => null.into(),
        Ok(json @ Json::Array(_)) => Value::from_json(&json, Numbers::Float),
        Ok(other) => vec![Value::from(format!(
            "{prefix}json: cannot unmarshal {} into Go value of type []interface {{}}",
            go_json::kind(&other)
        ))]
        .into(),
        Err(message) => vec![Value::from(message)].into(),
    }
}
