//! URLs (Masterminds/sprig `url.go`, Go's `net/url`).

use std::fmt::Write as _;

use slipway_gotmpl::{Context, FuncError, Function, MAP, Map, Str, Type, Value, quote as go_quote};

use super::{Outcome, misused, nil_dereference};

pub(super) const TABLE: &[Function] =
    &[Function::new("urlParse", &[Type::String], url_parse), Function::new("urlJoin", &[MAP], url_join)];

#[derive(Default)]
struct Url {
    scheme: String,
    opaque: String,
    user: Option<User>,
    host: String,
    path: String,
    query: String,
    fragment: String,
}

struct User {
    name: String,
    password: Option<String>,
}

fn url_parse(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let [Value::Str(text)] = args else { return misused() };
    let url = parse(&text.to_text())
        .map_err(|e| FuncError::from(format!("unable to parse url: parse {}: {e}", go_quote(text.as_bytes()))))?;
    let hostname = hostname(&url.host).to_owned();
    let userinfo = url.user.as_ref().map(User::to_string).unwrap_or_default();
    let entries = [
        ("scheme", url.scheme),
        ("host", url.host),
        ("hostname", hostname),
        ("path", url.path),
        ("query", url.query),
        ("opaque", url.opaque),
        ("fragment", url.fragment),
        ("userinfo", userinfo),
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
        user: None,
    };
    let userinfo = part("userinfo")?;
    if !userinfo.is_empty() {
        let with_user = parse(&format!("proto://{userinfo}@host"))
            .map_err(|e| FuncError::from(format!("unable to parse userinfo in dict: {e}")))?;
        url.user = with_user.user;
    }
    Ok(url.to_string().into())
}

/// Go's `url.Parse`.
fn parse(text: &str) -> Result<Url, String> {
    if text.chars().any(|c| c.is_ascii_control()) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    let mut url = Url { fragment: unescape(fragment, Part::Fragment)?, ..Url::default() };
    if text == "*" {
        "*".clone_into(&mut url.path);
        return Ok(url);
    }
    let mut rest = match scheme(text)? {
        Some((scheme, rest)) => {
            url.scheme = scheme.to_lowercase();
            rest
        }
        None => text,
    };
    if let Some((before, query)) = rest.split_once('?') {
        query.clone_into(&mut url.query);
        rest = before;
    }
    if !rest.starts_with('/') {
        if !url.scheme.is_empty() {
            rest.clone_into(&mut url.opaque);
            return Ok(url);
        }
        let first = rest.split('/').next().unwrap_or_default();
        if first.contains(':') {
            return Err("first path segment in URL cannot contain colon".to_owned());
        }
    }
    if let Some(authority) = rest.strip_prefix("//").filter(|_| !rest.starts_with("///") || !url.scheme.is_empty()) {
        let (authority, path) = authority.split_at(authority.find('/').unwrap_or(authority.len()));
        rest = path;
        let host = match authority.rsplit_once('@') {
            Some((userinfo, host)) => {
                url.user = Some(User::parse(userinfo)?);
                host
            }
            None => authority,
        };
        url.host = parse_host(host)?;
    }
    url.path = unescape(rest, Part::Path)?;
    Ok(url)
}

fn scheme(text: &str) -> Result<Option<(&str, &str)>, String> {
    for (at, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at > 0 => return Ok(text.get(..at).zip(text.get(at + 1..))),
            ':' => return Err("missing protocol scheme".to_owned()),
            _ => return Ok(None),
        }
    }
    Ok(None)
}

impl User {
    fn parse(userinfo: &str) -> Result<Self, String> {
        let legal = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
        if !userinfo.chars().all(legal) {
            return Err("net/url: invalid userinfo".to_owned());
        }
        Ok(match userinfo.split_once(':') {
            Some((name, password)) => {
                Self { name: unescape(name, Part::User)?, password: Some(unescape(password, Part::User)?) }
            }
            None => Self { name: unescape(userinfo, Part::User)?, password: None },
        })
    }
}

impl std::fmt::Display for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&escape(&self.name, Part::User))?;
        match &self.password {
            Some(password) => write!(f, ":{}", escape(password, Part::User)),
            None => Ok(()),
        }
    }
}

fn parse_host(host: &str) -> Result<String, String> {
    let port = if host.starts_with('[') {
        let Some((_, after)) = host.rsplit_once(']') else { return Err("missing ']' in host".to_owned()) };
        after
    } else {
        host.rfind(':').and_then(|colon| host.get(colon..)).unwrap_or_default()
    };
    let is_port = port.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    if !port.is_empty() && !is_port {
        return Err(format!("invalid port {} after host", go_quote(port.as_bytes())));
    }
    unescape(host, Part::Host)
}

fn hostname(host: &str) -> &str {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.split_once(']').map_or(inner, |(name, _)| name);
    }
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Path,
    User,
    Host,
    Fragment,
}

fn unescape(text: &str, part: Part) -> Result<String, String> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte == b'%' {
            let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
            let Some(code) = digits.and_then(|two| u8::from_str_radix(two, 16).ok()) else {
                let bad: String = String::from_utf8_lossy(after).chars().take(2).collect();
                return Err(format!("invalid URL escape {}", go_quote(format!("%{bad}").as_bytes())));
            };
            if part == Part::Host && code < 0x80 && code != b'%' {
                return Err(format!("invalid URL escape {}", go_quote(format!("%{code:02X}").as_bytes())));
            }
            out.push(code);
            rest = after.get(2..).unwrap_or_default();
            continue;
        }
        if part == Part::Host && *byte < 0x80 && b" <>\"^`{}|\\".contains(byte) {
            return Err(format!("invalid character {} in host name", go_quote(&[*byte])));
        }
        out.push(*byte);
    }
    Ok(Str::from(out).to_text().into_owned())
}

fn escape(text: &str, part: Part) -> String {
    let keep: &[u8] = match part {
        Part::Path => b"$&+,/:;=@!'()*",
        Part::User => b"$&+,;=!'()*",
        Part::Host => b"!$&'()*+,;=:[]<>\"",
        Part::Fragment => b"$&+,/:;=?@!()*'",
    };
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || keep.contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    // Go leaves these escaped in user names and, where it can't know what was meant, in paths.
    if part == Part::User {
        out.replace('!', "%21").replace('\'', "%27").replace('(', "%28").replace(')', "%29").replace('*', "%2A")
    } else {
        out
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.scheme.is_empty() {
            write!(f, "{}:", self.scheme)?;
        }
        if self.opaque.is_empty() {
            let has_host = !self.host.is_empty() || self.user.is_some();
            if has_host || !self.scheme.is_empty() && !self.path.is_empty() {
                if has_host || self.path.starts_with("//") || self.scheme == "file" {
                    f.write_str("//")?;
                }
                if let Some(user) = &self.user {
                    write!(f, "{user}@")?;
                }
                f.write_str(&escape(&self.host, Part::Host))?;
            }
            let path = escape(&self.path, Part::Path);
            if !path.is_empty() && !path.starts_with('/') && !self.host.is_empty() {
                f.write_str("/")?;
            }
            let first = path.split('/').next().unwrap_or_default();
            if self.scheme.is_empty() && self.host.is_empty() && first.contains(':') {
                f.write_str("./")?;
            }
            f.write_str(&path)?;
        } else {
            f.write_str(&self.opaque)?;
        }
        if !self.query.is_empty() {
            write!(f, "?{}", self.query)?;
        }
        if !self.fragment.is_empty() {
            write!(f, "#{}", escape(&self.fragment, Part::Fragment))?;
        }
        Ok(())
    }
}
