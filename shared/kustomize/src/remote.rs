//! Remote bases and files: what a kustomization may write, taken apart (kustomize `internal/git/repospec.go`). Nothing
//! is fetched here.

/// A remote base or file that a kustomization names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remote {
    /// As written.
    pub raw: String,
    /// What it is.
    pub kind: RemoteKind,
}

/// What a remote reference points at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RemoteKind {
    /// A file to be read by HTTP.
    File {
        /// The address.
        url: String,
    },
    /// A folder of a git repository.
    Git {
        /// The repository as git takes it, for example `https://github.com/o/r`.
        repository: String,
        /// The folder in the repository; empty for its root.
        path: String,
        /// Branch, tag or commit; empty for the default branch.
        reference: String,
        /// Whether submodules are wanted.
        submodules: bool,
    },
}

/// The repository, folder and revision that `text` names; `None` where it is not a git reference (then it is a path).
pub fn git(text: &str) -> Option<Remote> {
    if text.starts_with(['/', '-']) || text.contains(['\0', '\n', ' ']) {
        return None;
    }
    let (address, query) = text.split_once('?').unwrap_or((text, ""));
    let (reference, submodules) = parse_query(query);
    let (host, rest) = host(address)?;
    let (repository, path) = parts(&rest, host.starts_with("file://"))?;
    let path = path.trim_start_matches('/').trim_end_matches('/').to_owned();
    let leaves = slipway_manifest::tree::join("", &path).is_err();
    // A revision that looks like an option would be one, were it given to git.
    if repository.is_empty() || leaves || reference.starts_with('-') {
        return None;
    }
    let repository = format!("{host}{repository}");
    Some(Remote { raw: text.to_owned(), kind: RemoteKind::Git { repository, path, reference, submodules } })
}

/// The file that `text` names by HTTP.
pub fn file(text: &str) -> Option<Remote> {
    let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
    let is_http = lower.starts_with("https://") || lower.starts_with("http://");
    is_http.then(|| Remote { raw: text.to_owned(), kind: RemoteKind::File { url: text.to_owned() } })
}

fn parse_query(query: &str) -> (String, bool) {
    let (mut reference, mut version, mut submodules) = (String::new(), String::new(), true);
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        match key {
            "ref" if reference.is_empty() => value.clone_into(&mut reference),
            "version" if version.is_empty() => value.clone_into(&mut version),
            "submodules" => submodules = !matches!(value, "0" | "f" | "F" | "false" | "FALSE" | "False"),
            _ => {}
        }
    }
    (if reference.is_empty() { version } else { reference }, submodules)
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// The part that names the host, with scheme and user, and what follows it.
fn host(text: &str) -> Option<(String, String)> {
    let text = strip_prefix_ignoring_case(text, "git::").unwrap_or(text);
    let (scheme, text) = ["ssh://", "https://", "http://", "file://"]
        .into_iter()
        .find_map(|scheme| strip_prefix_ignoring_case(text, scheme).map(|rest| (scheme, rest)))
        .unwrap_or(("", text));
    let (user, text) = user(text);
    let lower = text.to_ascii_lowercase();
    let is_github = lower.starts_with("github.com/") || lower.starts_with("github.com:");
    let is_scp = scheme.is_empty() && (!user.is_empty() || is_github);
    if scheme.is_empty() && !is_scp {
        return None;
    }
    if scheme == "file://" {
        return Some((scheme.to_owned(), format!("{user}{text}")));
    }
    let slash = text.find('/');
    let colon = text.find(':').filter(|&colon| is_scp && colon > 0 && slash.is_none_or(|slash| colon < slash));
    let (host, rest) = match colon.or(slash) {
        Some(at) => text.split_at(at + 1),
        None => (text, ""),
    };
    if host.is_empty() {
        return None;
    }
    let whole = match (is_github, scheme == "ssh://" || !user.is_empty()) {
        (true, true) => format!("{user}github.com:"),
        (true, false) => "https://github.com/".to_owned(),
        (false, _) => format!("{scheme}{user}{host}"),
    };
    Some((whole, rest.to_owned()))
}

fn user(text: &str) -> (&str, &str) {
    match text.find('@') {
        Some(at) => {
            let (name, rest) = text.split_at(at);
            let formed = name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
            if formed { text.split_at(text.len() - rest.len() + 1) } else { ("", text) }
        }
        None => ("", text),
    }
}

/// The repository's path and the folder in it: by `_git/`, `//`, `.git`, or the first two segments.
fn parts(text: &str, is_file: bool) -> Option<(String, String)> {
    if let Some(at) = text.find("_git/") {
        let (head, rest) = text.split_at(at + 5);
        let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
        return Some((format!("{head}{name}"), path.to_owned()));
    }
    if let Some((repository, path)) = text.split_once("//") {
        return Some((repository.to_owned(), path.to_owned()));
    }
    if let Some(at) = text.find(".git") {
        let (repository, path) = text.split_at(at + 4);
        return Some((repository.to_owned(), path.to_owned()));
    }
    if is_file {
        return Some((text.to_owned(), String::new()));
    }
    let mut segments = text.splitn(3, '/');
    let (owner, name) = (segments.next()?, segments.next()?);
    Some((format!("{owner}/{name}"), segments.next().unwrap_or_default().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_git_references() {
        for (text, repository, path, reference) in [
            ("github.com/o/r", "https://github.com/o/r", "", ""),
            ("github.com/o/r/a/b?ref=v1", "https://github.com/o/r", "a/b", "v1"),
            ("https://github.com/o/r//a?version=v2", "https://github.com/o/r", "a", "v2"),
            ("git@github.com:o/r.git/a", "git@github.com:o/r.git", "a", ""),
            ("ssh://git@github.com/o/r", "git@github.com:o/r", "", ""),
            ("https://dev.azure.com/o/p/_git/r/a?ref=main", "https://dev.azure.com/o/p/_git/r", "a", "main"),
            ("https://gitlab.com/g/s/r.git//deploy?ref=x&timeout=5", "https://gitlab.com/g/s/r.git", "deploy", "x"),
            ("git::https://host/o/r//x", "https://host/o/r", "x", ""),
        ] {
            let Some(Remote { kind: RemoteKind::Git { repository: r, path: p, reference: f, .. }, .. }) = git(text)
            else {
                panic!("{text} is a git reference")
            };
            assert_eq!((r.as_str(), p.as_str(), f.as_str()), (repository, path, reference), "{text}");
        }
    }

    #[test]
    fn paths_and_options_are_no_git_references() {
        for text in [
            "../base",
            "base",
            "/abs",
            "--upload-pack=x",
            "ext::sh -c x",
            "github.com/o/r/../..",
            "github.com/o/r?ref=--x",
        ] {
            assert_eq!(git(text), None, "{text}");
        }
        assert!(file("HTTPS://a/b.yaml").is_some() && file("a/b.yaml").is_none());
    }
}
