//! Reads and prints URLs as Go does (`net/url`). Hosts are judged as before Go 1.26, which has got stricter with colons
//! and brackets in them.

use std::fmt::{self, Write as _};

use crate::strconv::quote;

/// Why a text is no URL, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// An ASCII control character.
    #[error("net/url: invalid control character in URL")]
    Control,
    /// A colon, and nothing before it.
    #[error("missing protocol scheme")]
    NoScheme,
    /// What looks like a scheme and is none.
    #[error("first path segment in URL cannot contain colon")]
    Colon,
    /// A character that user names and passwords must not have.
    #[error("net/url: invalid userinfo")]
    User,
    /// An address in brackets without its end.
    #[error("missing ']' in host")]
    Bracket,
    /// A port that is no number, with its colon.
    #[error("invalid port {} after host", quote(.0.as_bytes()))]
    Port(String),
    /// A character that a host's name must not have.
    #[error("invalid character {} in host name", quote(.0.as_bytes()))]
    Host(String),
    /// A percent sign without two hexadecimal digits, or before those of a character that needs no escape.
    #[error("invalid URL escape {}", quote(.0.as_bytes()))]
    Escape(String),
}

/// `url.URL`. Escapes are undone but in `opaque` and `query`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Url {
    /// In lower case.
    pub scheme: String,
    /// What follows the scheme where that is no slash.
    pub opaque: String,
    /// Before the host's `@`.
    pub user: Option<User>,
    /// With its port.
    pub host: String,
    /// The path.
    pub path: String,
    /// Without its `?`.
    pub query: String,
    /// Without its `#`.
    pub fragment: String,
    /// How the path was written.
    pub raw_path: String,
    /// How the fragment was written.
    pub raw_fragment: String,
    /// Whether there is a `?` with nothing behind it.
    pub force_query: bool,
    /// Whether it is written `scheme:/path`.
    pub omit_host: bool,
}

/// `url.Userinfo`, escapes undone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// Before the colon.
    pub name: String,
    /// Behind the colon, if there is one.
    pub password: Option<String>,
}

impl Url {
    /// Go's `url.Parse`.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
        let url = Self::without_fragment(text)?;
        Ok(Self { fragment: unescape(fragment, Part::Fragment)?, raw_fragment: fragment.to_owned(), ..url })
    }

    fn without_fragment(text: &str) -> Result<Self, UrlError> {
        if text.chars().any(|c| c.is_ascii_control()) {
            return Err(UrlError::Control);
        }
        let mut url = Self::default();
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
            url.force_query = query.is_empty();
            rest = before;
        }
        if !rest.starts_with('/') {
            if !url.scheme.is_empty() {
                rest.clone_into(&mut url.opaque);
                return Ok(url);
            }
            if first_segment(rest).contains(':') {
                return Err(UrlError::Colon);
            }
        }
        if let Some(authority) = rest.strip_prefix("//").filter(|_| !rest.starts_with("///") || !url.scheme.is_empty())
        {
            let (authority, path) = authority.split_at(authority.find('/').unwrap_or(authority.len()));
            rest = path;
            let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
            url.host = host_of(host)?;
            url.user = user.map(User::parse).transpose()?;
        } else {
            url.omit_host = !url.scheme.is_empty() && rest.starts_with('/');
        }
        url.path = unescape(rest, Part::Path)?;
        rest.clone_into(&mut url.raw_path);
        Ok(url)
    }

    /// `URL.Hostname`: the host without its port, and without brackets.
    pub fn hostname(&self) -> &str {
        let host = &self.host;
        if let Some(inner) = host.strip_prefix('[') {
            return inner.split_once(']').map_or(inner, |(name, _)| name);
        }
        match host.rsplit_once(':') {
            Some((name, port)) if is_number(port) => name,
            _ => host,
        }
    }

    /// `URL.ResolveReference`: what `reference` means where `self` is read.
    #[must_use]
    pub fn resolve(&self, reference: &Self) -> Self {
        let mut url = reference.clone();
        let has_host = !reference.host.is_empty() || reference.user.is_some();
        if !reference.scheme.is_empty() || has_host {
            if reference.scheme.is_empty() {
                url.scheme.clone_from(&self.scheme);
            }
            url.set_path(resolve_path(&reference.escaped_path(), ""));
            return url;
        }
        url.scheme.clone_from(&self.scheme);
        if !reference.opaque.is_empty() {
            return url;
        }
        if reference.path.is_empty() {
            if !reference.force_query && reference.query.is_empty() {
                url.query.clone_from(&self.query);
                if reference.fragment.is_empty() {
                    url.fragment.clone_from(&self.fragment);
                    url.raw_fragment.clone_from(&self.raw_fragment);
                }
            }
            if !self.opaque.is_empty() {
                url.opaque.clone_from(&self.opaque);
                return url;
            }
        }
        url.host.clone_from(&self.host);
        url.user.clone_from(&self.user);
        url.set_path(resolve_path(&self.escaped_path(), &reference.escaped_path()));
        url
    }

    fn set_path(&mut self, path: String) {
        self.path = unescape(&path, Part::Path).unwrap_or_default();
        self.raw_path = path;
        self.omit_host = false;
    }

    /// `URL.EscapedPath`: the path as it was written, where that is one way to write it.
    fn escaped_path(&self) -> String {
        if is_escape_of(&self.raw_path, &self.path, Part::Path) {
            return self.raw_path.clone();
        }
        if self.path == "*" { "*".to_owned() } else { escape(&self.path, Part::Path) }
    }

    /// `URL.EscapedFragment`
    fn escaped_fragment(&self) -> String {
        if is_escape_of(&self.raw_fragment, &self.fragment, Part::Fragment) {
            return self.raw_fragment.clone();
        }
        escape(&self.fragment, Part::Fragment)
    }
}

/// `URL.String`
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.scheme.is_empty() {
            write!(f, "{}:", self.scheme)?;
        }
        if self.opaque.is_empty() {
            let has_host = !self.host.is_empty() || self.user.is_some();
            if has_host || !self.scheme.is_empty() && !self.path.is_empty() && !self.omit_host {
                f.write_str("//")?;
            }
            if let Some(user) = &self.user {
                write!(f, "{user}@")?;
            }
            f.write_str(&escape(&self.host, Part::Host))?;
            let path = self.escaped_path();
            if !path.is_empty() && !path.starts_with('/') && !self.host.is_empty() {
                f.write_str("/")?;
            }
            if self.scheme.is_empty() && !has_host && first_segment(&path).contains(':') {
                f.write_str("./")?;
            }
            f.write_str(&path)?;
        } else {
            f.write_str(&self.opaque)?;
        }
        if self.force_query || !self.query.is_empty() {
            write!(f, "?{}", self.query)?;
        }
        if !self.fragment.is_empty() {
            write!(f, "#{}", self.escaped_fragment())?;
        }
        Ok(())
    }
}

impl User {
    fn parse(text: &str) -> Result<Self, UrlError> {
        let legal = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
        if !text.chars().all(legal) {
            return Err(UrlError::User);
        }
        let (name, password) = text.split_once(':').map_or((text, None), |(name, password)| (name, Some(password)));
        let password = password.map(|password| unescape(password, Part::User)).transpose()?;
        Ok(Self { name: unescape(name, Part::User)?, password })
    }
}

/// `Userinfo.String`
impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.name, Part::User))?;
        match &self.password {
            Some(password) => write!(f, ":{}", escape(password, Part::User)),
            None => Ok(()),
        }
    }
}

/// The scheme and what follows its colon, if there is one.
fn scheme(text: &str) -> Result<Option<(&str, &str)>, UrlError> {
    for (at, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at > 0 => return Ok(text.get(..at).zip(text.get(at + 1..))),
            ':' => return Err(UrlError::NoScheme),
            _ => return Ok(None),
        }
    }
    Ok(None)
}

fn first_segment(path: &str) -> &str {
    path.split('/').next().unwrap_or_default()
}

/// Go's `resolvePath`: `reference` at `base`, without `.` and `..`.
fn resolve_path(base: &str, reference: &str) -> String {
    let full = match reference {
        "" => base.to_owned(),
        absolute if absolute.starts_with('/') => absolute.to_owned(),
        relative => format!("{}{relative}", base.rfind('/').and_then(|at| base.get(..=at)).unwrap_or_default()),
    };
    if full.is_empty() {
        return full;
    }
    let mut parts: Vec<&str> = Vec::new();
    let mut last = "";
    for part in full.strip_prefix('/').unwrap_or(&full).split('/') {
        last = part;
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let end = if matches!(last, "." | "..") && !parts.is_empty() { "/" } else { "" };
    format!("/{}{end}", parts.join("/"))
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

/// A host, escapes undone.
fn host_of(text: &str) -> Result<String, UrlError> {
    let port = if text.starts_with('[') {
        text.rsplit_once(']').ok_or(UrlError::Bracket)?.1
    } else {
        text.rfind(':').and_then(|colon| text.get(colon..)).unwrap_or_default()
    };
    if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_number) {
        return Err(UrlError::Port(port.to_owned()));
    }
    unescape(text, Part::Host)
}

/// The parts of a URL that are escaped differently.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Path,
    User,
    Host,
    Fragment,
}

impl Part {
    /// `shouldEscape`, turned round: whether the byte stands for itself.
    fn is_plain(self, byte: u8) -> bool {
        let plain: &[u8] = match self {
            Self::Path => b"$&+,/:;=@",
            Self::User => b"$&+,;=",
            Self::Host => b"!$&'()*+,;=:[]<>\"",
            Self::Fragment => b"$&+,/:;=?@!()*",
        };
        byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || plain.contains(&byte)
    }
}

fn unescape(text: &str, part: Part) -> Result<String, UrlError> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            if part == Part::Host && byte.is_ascii() && !part.is_plain(*byte) {
                return Err(UrlError::Host(char::from(*byte).to_string()));
            }
            out.push(*byte);
            continue;
        }
        let digits = after.get(..2).filter(|two| two.iter().all(u8::is_ascii_hexdigit));
        let code = digits.and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        // In a host only what is not ASCII is escaped, and the percent sign before a zone.
        let code = code.filter(|code| part != Part::Host || !code.is_ascii() || *code == b'%');
        let escape = || String::from_utf8_lossy(after).chars().take(2).collect::<String>();
        out.push(code.ok_or_else(|| UrlError::Escape(format!("%{}", escape())))?);
        rest = after.get(2..).unwrap_or_default();
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn escape(text: &str, part: Part) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if part.is_plain(byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string can't fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Whether `raw` is one way, if not Go's own, to write `plain`.
fn is_escape_of(raw: &str, plain: &str, part: Part) -> bool {
    let is_valid = raw.bytes().all(|byte| part.is_plain(byte) || b"!$&'()*+,;=:@[]%".contains(&byte));
    is_valid && !raw.is_empty() && unescape(raw, part).is_ok_and(|text| text == plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_printed_as_go_prints_them() {
        for (text, printed) in [
            ("HTTPS://User:p%40ss@Example.com:80/a b/%7e?q=[#f'", "https://User:p%40ss@Example.com:80/a%20b/~?q=[#f'"),
            ("http://h/[a]*!", "http://h/[a]*!"),
            ("http://h/{a}*", "http://h/%7Ba%7D%2A"),
            ("http://h?", "http://h?"),
            ("file:/etc/x", "file:/etc/x"),
            ("file:///etc/x", "file:///etc/x"),
            ("mailto:a@b", "mailto:a@b"),
            ("//host/x", "//host/x"),
            ("///x", "///x"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(Url::parse(text).unwrap().to_string(), printed, "{text}");
        }
        let relative = Url { path: "a:b".to_owned(), ..Url::default() };
        assert_eq!(relative.to_string(), "./a:b");
    }

    /// Go's own cases (`net/url/url_test.go`, `resolveReferenceTests`).
    #[test]
    fn references_are_resolved_as_go_resolves_them() {
        for (base, reference, resolved) in [
            ("http://foo.com?a=b", "https://bar.com/", "https://bar.com/"),
            ("http://foo.com/", "http://foo.com/#f", "http://foo.com/#f"),
            ("http://foo.com/bar", "/baz?a=b#f", "http://foo.com/baz?a=b#f"),
            ("http://foo.com/bar?a=b", "?c", "http://foo.com/bar?c"),
            ("http://foo.com/bar/baz", "quux", "http://foo.com/bar/quux"),
            ("http://foo.com/bar/baz", "../dotdot/./x/..", "http://foo.com/dotdot/"),
            ("http://foo.com/bar", "../../../../../baz", "http://foo.com/baz"),
            ("http://foo.com/bar", "//bar.com/quux", "http://bar.com/quux"),
            ("http://foo.com/", "mailto:a@b.com", "mailto:a@b.com"),
            ("http://example.com/foo%2fbar/baz", "../x", "http://example.com/x"),
            ("file:///values.schema.json", "other.json", "file:///other.json"),
            ("urn:a:b", "#c", "urn:a:b#c"),
        ] {
            let parse = |url: &str| Url::parse(url).unwrap();
            assert_eq!(parse(base).resolve(&parse(reference)).to_string(), resolved, "{base} {reference}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused_in_its_words() {
        for (text, words) in [
            (":a", "missing protocol scheme"),
            ("1:a/b", "first path segment in URL cannot contain colon"),
            ("http://h\u{7f}", "net/url: invalid control character in URL"),
            ("http://a b/", r#"invalid character " " in host name"#),
            ("http://h:x/", r#"invalid port ":x" after host"#),
            ("http://[::1/", "missing ']' in host"),
            ("http://u<@h/", "net/url: invalid userinfo"),
            ("http://h/%zz", r#"invalid URL escape "%zz""#),
            ("http://h%41/", r#"invalid URL escape "%41""#),
        ] {
            assert_eq!(Url::parse(text).unwrap_err().to_string(), words, "{text}");
        }
    }
}
