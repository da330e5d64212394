//! Takes URLs apart and puts them together (Masterminds/sprig `url.go`).

use slipway_gocompat::strconv::quote;
use slipway_gocompat::url::{Url, User};
use slipway_gotmpl::{Context, FuncError, Function, MAP, Map, Type, Value};

use super::{Outcome, misused, nil_dereference};

pub(super) const TABLE: &[Function] =
    &[Function::new("urlParse", &[Type::String], url_parse), Function::new("urlJoin", &[MAP], url_join)];

fn url_parse(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [Value::Str(text)] = args else { return misused() };
    let url = Url::parse(&text.to_text())
        .map_err(|e| FuncError::from(format!("unable to parse url: parse {}: {e}", quote(text.as_bytes()))))?;
    let hostname = url.hostname().to_owned();
    let entries = [
        ("scheme", url.scheme),
        ("host", url.host),
        ("hostname", hostname),
        ("path", url.path),
        ("query", url.query),
        ("opaque", url.opaque),
        ("fragment", url.fragment),
        ("userinfo", url.user.as_ref().map(User::to_string).unwrap_or_default()),
    ];
    Ok(Value::Map(entries.into_iter().map(|(key, text)| (key, Value::from(text))).collect()))
}

fn url_join(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [parts] = args else { return misused() };
    let parts = parts.as_map().cloned().unwrap_or_else(Map::new);
    let part = |key: &str| match parts.get(key) {
        None => Ok(String::new()),
        Some(Value::Str(text)) => Ok(text.to_text().into_owned()),
        Some(Value::Nil) => nil_dereference(),
        Some(other) => Err(FuncError::from(format!(
            "unable to parse {key} key, must be of type string, but {} found",
            other.kind()
        ))),
    };
    let mut url = Url {
        scheme: part("scheme")?,
        host: part("host")?,
        path: part("path")?,
        query: part("query")?,
        opaque: part("opaque")?,
        fragment: part("fragment")?,
        ..Url::default()
    };
    let userinfo = part("userinfo")?;
    if !userinfo.is_empty() {
        let with_user = Url::parse(&format!("proto://{userinfo}@host"))
            .map_err(|e| FuncError::from(format!("unable to parse userinfo in dict: {e}")))?;
        url.user = with_user.user;
    }
    Ok(url.to_string().into())
}
