//! Repository URLs as projects compare them (argoproj/argo-cd `util/git/git.go`, NormalizeGitURL, over Go's net/url): lower
//! case, without `.git`, `git@host:path` as `git@host/path`. A text that Go can't read becomes empty, so that it matches
//! nothing but another such text.

use std::fmt::Write as _;

/// The form in which URLs and patterns are compared.
pub(super) fn normalize(text: &str) -> String {
    let mut url = text.trim().to_lowercase();
    let has_scheme = url.starts_with("ssh://");
    if is_ssh(&url) && !has_scheme {
        url = format!("ssh://{}", url.replacen(':', "/", 1));
    }
    let url = url.strip_suffix(".git").unwrap_or(&url);
    let normal = reformat(url).unwrap_or_default();
    normal.strip_prefix("ssh://").unwrap_or(&normal).to_owned()
}

/// `^(ssh://)?([^/:]*?)@[^@]+$`
fn is_ssh(url: &str) -> bool {
    let rest = url.strip_prefix("ssh://").unwrap_or(url);
    rest.split_once('@').is_some_and(|(user, rest)| {
        !user.contains(['/', ':']) && !rest.is_empty() && !rest.contains('@') && !rest.contains('\n')
    })
}

/// What Go's `url.Parse` and `String` make of it; `None` where Go finds it no URL.
fn reformat(url: &str) -> Option<String> {
    if url.chars().any(char::is_control) {
        return None;
    }
    let end = |text: &str, stops: &[char]| text.find(stops).unwrap_or(text.len());
    let (place, tail) = url.split_at(end(url, &['?', '#']));
    let scheme = place.split_once("://").filter(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_lowercase())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    });
    let Some((scheme, rest)) = scheme else {
        // Without a scheme the first part must have no colon.
        let first = place.split('/').next().unwrap_or_default();
        return (!first.contains(':')).then(|| escape(place) + tail);
    };
    let (authority, path) = rest.split_at(end(rest, &['/']));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (name, port) = host.rsplit_once(':').unwrap_or((host, ""));
    let is_name =
        name.chars().all(|c| !c.is_ascii() || c.is_ascii_alphanumeric() || "-_.~!$&'()*+,;=:[]<>\"".contains(c));
    (is_name && port.bytes().all(|b| b.is_ascii_digit()))
        .then(|| format!("{scheme}://{authority}{}{tail}", escape(path)))
}

/// A path as Go writes it: as it stands if it could have been written so, else escaped.
fn escape(path: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.~$&+,/:;=@!'()*[]%".contains(c);
    if path.chars().all(is_plain) {
        return path.to_owned();
    }
    let mut out = String::with_capacity(path.len() + 16);
    for byte in path.bytes() {
        match char::from(byte) {
            c if c.is_ascii_alphanumeric() || "-_.~$&+,/:;=@".contains(c) => out.push(c),
            _ => _ = write!(out, "%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::normalize;

    #[test]
    fn urls_are_compared_as_argo_cd_compares_them() {
        for (url, normal) in [
            ("https://GitHub.com/Org/App.git", "https://github.com/org/app"),
            ("git@github.com:org/app.git", "git@github.com/org/app"),
            ("ssh://git@github.com/org/app", "git@github.com/org/app"),
            ("https://user@github.com/org/app", "https://user@github.com/org/app"),
            ("https://github.com/org/*", "https://github.com/org/*"),
            ("https://github.com/{a,b}", "https://github.com/%7Ba,b%7D"),
            ("https://{github,gitlab}.com/a", ""),
            ("ssh://git@github.com:org/app", ""),
            ("*", "*"),
        ] {
            assert_eq!(normalize(url), normal, "{url}");
        }
    }
}
