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

/// Whether anything in `text`, a kustomization, may be a name of something remote: a scheme, a user or GitHub, or
/// escapes that may stand for these. Most name nothing, and need not be read.
pub(crate) fn may_name(text: &str) -> bool {
    text.contains("//") || text.contains(['@', '\\']) || text.to_ascii_lowercase().contains("github.com")
}

/// The file that `text` names by HTTP.
pub fn file(text: &str) -> Option<Remote> {
    let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
    let is_http = lower.starts_with("https://") || lower.starts_with("http://");
    is_http.then(|| Remote { raw: text.to_owned(), kind: RemoteKind::File { url: text.to_owned() } })
}

/// The remote thing at the address of `file`: a file, or a repository where the address is no file's.
pub(crate) fn file_or_git(file: Remote) -> Remote {
    let path = file.raw.split('?').next().unwrap_or_default();
    let ends = [".yaml", ".yml", ".json"].iter().any(|end| path.to_ascii_lowercase().ends_with(end));
    // Hosts and paths of GitHub that serve files alone.
    let is_raw = ["://raw.githubusercontent.com/", "://gist.githubusercontent.com/", "/releases/download/"]
        .iter()
        .any(|part| path.contains(part))
        || path.contains("/releases/latest/download/");
    if ends || is_raw { file } else { git(&file.raw).unwrap_or(file) }
}

fn parse_query(query: &str) -> (String, bool) {
    let (mut reference, mut version, mut submodules) = (String::new(), String::new(), true);
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        // What can't be decoded is as if there was no query.
        let Some(value) = &unescape(value) else { return (String::new(), true) };
        match key {
            "ref" if reference.is_empty() => value.clone_into(&mut reference),
            "version" if version.is_empty() => value.clone_into(&mut version),
            "submodules" => submodules = !matches!(value.as_str(), "0" | "f" | "F" | "false" | "FALSE" | "False"),
            _ => {}
        }
    }
    (if reference.is_empty() { version } else { reference }, submodules)
}

/// A value of a query, as Go reads it.
fn unescape(value: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), value.bytes());
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
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
            // The table of kustomize `api/internal/git/repospec_test.go`.
            ("gitHub.com/o/r/foo/k.txt?ref=group/version", "https://github.com/o/r", "foo/k.txt", "group/version"),
            ("github.com:o/r", "https://github.com/o/r", "", ""),
            ("http://github.com/o/r.git/a", "https://github.com/o/r.git", "a", ""),
            ("hTTps://github.com/o/r", "https://github.com/o/r", "", ""),
            ("git::git@github.com:o/r", "git@github.com:o/r", "", ""),
            ("git@github.com/o/r/a", "git@github.com:o/r", "a", ""),
            ("org-12345@github.com:o/r?ref=v0.1.0", "org-12345@github.com:o/r", "", "v0.1.0"),
            ("ssh://git.example.com:7999/o/r/a", "ssh://git.example.com:7999/o/r", "a", ""),
            (
                "https://git-codecommit.us-east-2.amazonaws.com/o/r/a",
                "https://git-codecommit.us-east-2.amazonaws.com/o/r",
                "a",
                "",
            ),
            (
                "git@gitlab2.sqtools.ru:infra/kubernetes/t.git?ref=v0.1.0",
                "git@gitlab2.sqtools.ru:infra/kubernetes/t.git",
                "",
                "v0.1.0",
            ),
            ("git@bitbucket.org/c/p.git//path?ref=b", "git@bitbucket.org/c/p.git", "path", "b"),
            ("ssh://git@bitbucket.org/c/p.git//path", "ssh://git@bitbucket.org/c/p.git", "path", ""),
            (
                "https://itfs.c.com/collection/project/_git/s/d?version=v1.0.0",
                "https://itfs.c.com/collection/project/_git/s",
                "d",
                "v1.0.0",
            ),
            ("https://github.com/k/k//examples/dev/?ref=v1.0.6", "https://github.com/k/k", "examples/dev", "v1.0.6"),
            ("https://example.org/path/to/repo//a/b", "https://example.org/path/to/repo", "a/b", ""),
            ("ssh://alice@example.com/path/to/repo//a", "ssh://alice@example.com/path/to/repo", "a", ""),
            ("https://authority/o/r/?ref=includes_git/x", "https://authority/o/r", "", "includes_git/x"),
            ("https://authority/o/r/?ref=includes.git/x", "https://authority/o/r", "", "includes.git/x"),
            ("file://git@home/path/r.git//path?ref=b", "file://git@home/path/r.git", "path", "b"),
            ("file:///a/b/c?ref=b", "file:///a/b/c", "", "b"),
            ("https://github.com/o/r?ref=a%2Fb&version=x", "https://github.com/o/r", "", "a/b"),
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
            "src/github.com/org/repo/path",
            "htxxxtp://github.com/",
            "ssh://git.example.com",
            "git::___",
            "https://host?ref=group/version/minor_version",
            "https://github.com/org/repo.git//path/../../exits/repo",
            "github.com!org/repo.git//path",
            "gh:org/repo",
            "https://github.com/thisisa404.yaml",
            "git@scp://github.com/org/repo.git//path",
            "git@ssh://github.com/org/repo.git//path",
        ] {
            assert_eq!(git(text), None, "{text}");
        }
        assert!(file("HTTPS://a/b.yaml").is_some() && file("a/b.yaml").is_none());
        for (text, is_file) in [
            ("https://raw.githubusercontent.com/o/r/main/install", true),
            ("https://github.com/o/r/releases/latest/download/components.yaml", true),
            ("https://github.com/o/r/releases/download/v1/install", true),
            ("https://example.com/a.YAML?x=y", true),
            ("https://github.com/o/r//deploy?ref=v1", false),
            ("https://example.com/a", true),
        ] {
            let kind = file_or_git(file(text).unwrap()).kind;
            assert_eq!(matches!(kind, RemoteKind::File { .. }), is_file, "{text}");
        }
    }
}
