//! Parses names of repositories and of folders in them.

use std::fmt;
use std::str::FromStr;

/// A repository on a GitHub host: `owner/name`. Equal whatever the case, as on GitHub. On other hosts, and as part of a
/// [`RepoUrl`] only, the owner may be a path (`group/subgroup`), or empty.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Repo {
    owner: String,
    name: String,
}

/// A repository and its host, as `repoURL` gives them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct RepoUrl {
    /// Lower-case host, with its port if there is one.
    pub host: String,
    /// The repository.
    pub repo: Repo,
}

/// A folder of a repository at a revision: `https://github.com/OWNER/REPO//PATH?ref=REVISION`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Location {
    /// The repository.
    pub url: RepoUrl,
    /// The folder; empty for the repository's root.
    pub path: String,
    /// Branch, tag or commit; `HEAD` where none is given.
    pub revision: String,
}

/// Why a text is no repository or location.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocationError {
    /// Neither `https://HOST/OWNER/REPO` nor `git@HOST:OWNER/REPO`.
    #[error("expected `https://HOST/OWNER/REPO` or `git@HOST:OWNER/REPO`, found `{0}`")]
    Url(String),
    /// The part after `//` leaves the repository.
    #[error("path `{0}` leaves the repository")]
    Path(String),
    /// The revision is no valid git name.
    #[error("`{0}` is no branch, tag or commit")]
    Revision(String),
}

/// Whether `text` has only letters, digits, `-`, `_` and `.`: what GitHub allows in the name of an owner or a
/// repository, except `.` and `..`.
fn is_plain_name(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && text.bytes().any(|b| b != b'.')
}

/// Whether `text` may stand in a URL as a branch, tag or commit: git's rules for reference names (`git help
/// check-ref-format`), narrowed to characters that need no escaping besides `%`-encoding.
pub fn is_revision(text: &str) -> bool {
    (1..=250).contains(&text.len())
        && !text.contains("..")
        && !text.contains("//")
        && !text.contains("@{")
        && !text.starts_with(['/', '-', '.'])
        && !text.ends_with(['/', '.'])
        && !text.chars().any(|c| c.is_control() || c.is_whitespace() || "~^:?*[\\\u{7f}".contains(c))
}

/// `name` without `.git` at its end.
fn without_git(mut name: &str) -> &str {
    while let Some((rest, end)) = name.split_at_checked(name.len().saturating_sub(4))
        && end.eq_ignore_ascii_case(".git")
    {
        name = rest;
    }
    name
}

impl Repo {
    /// The part before the slash.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The part after the slash.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The repository at `path` of `host`: only GitHub is known to have an owner and a name in every path.
    fn at(host: &str, path: &str) -> Option<Self> {
        if host == "github.com" || path.matches('/').count() == 1 && !path.contains(['~', '%', '+']) {
            return path.parse().ok();
        }
        let is_part = |part: &str| is_plain_name(&part.replace(['~', '%', '+'], "-"));
        let (owner, name) = path.rsplit_once('/').unwrap_or(("", path));
        let name = without_git(name);
        let is_whole = path.len() <= 500 && is_part(name) && (owner.is_empty() || owner.split('/').all(is_part));
        is_whole.then(|| Self { owner: owner.to_owned(), name: name.to_owned() })
    }

    fn key(&self) -> (String, String) {
        (self.owner.to_ascii_lowercase(), self.name.to_ascii_lowercase())
    }
}

impl PartialEq for Repo {
    fn eq(&self, other: &Self) -> bool {
        self.owner.eq_ignore_ascii_case(&other.owner) && self.name.eq_ignore_ascii_case(&other.name)
    }
}

impl Eq for Repo {}

impl PartialOrd for Repo {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Repo {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl fmt::Display for Repo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.owner.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.owner, self.name) }
    }
}

impl From<Repo> for String {
    fn from(repo: Repo) -> Self {
        repo.to_string()
    }
}

impl TryFrom<String> for Repo {
    type Error = LocationError;

    fn try_from(text: String) -> Result<Self, LocationError> {
        text.parse()
    }
}

impl FromStr for Repo {
    type Err = LocationError;

    /// Reads `owner/name`; a trailing `.git` is dropped, since no name ends so on GitHub.
    fn from_str(text: &str) -> Result<Self, LocationError> {
        let bad = || LocationError::Url(text.to_owned());
        let (owner, name) = text.split_once('/').ok_or_else(bad)?;
        let name = without_git(name);
        if is_plain_name(owner) && is_plain_name(name) {
            Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
        } else {
            Err(bad())
        }
    }
}

impl FromStr for RepoUrl {
    type Err = LocationError;

    /// Reads `https://HOST/OWNER/REPO[.git][/]`, `ssh://USER@HOST[:PORT]/OWNER/REPO`, `USER@HOST:OWNER/REPO` and
    /// `USER@HOST/OWNER/REPO`. Credentials in the URL are refused, and not repeated in the error.
    fn from_str(text: &str) -> Result<Self, LocationError> {
        let text = text.trim();
        let bad = || LocationError::Url(without_credentials(text));
        let (host, path) = if let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) {
            rest.split_once('/').filter(|(host, _)| !host.contains('@')).ok_or_else(bad)?
        } else if let Some(rest) = text.strip_prefix("ssh://") {
            let (user, rest) = rest.split_once('@').ok_or_else(bad)?;
            let (host, path) = rest.split_once('/').filter(|_| is_plain_name(user)).ok_or_else(bad)?;
            // The port is that of SSH.
            (host.split_once(':').map_or(host, |(host, _)| host), path)
        } else {
            let (_, rest) = text.split_once('@').filter(|(user, _)| is_plain_name(user)).ok_or_else(bad)?;
            rest.split_once([':', '/']).ok_or_else(bad)?
        };
        let host = host.to_ascii_lowercase();
        let repo = Repo::at(&host, path.trim_end_matches('/')).ok_or_else(bad)?;
        if host.is_empty() || !host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':')) {
            return Err(bad());
        }
        Ok(Self { host, repo })
    }
}

impl fmt::Display for RepoUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}/{}", self.host, self.repo)
    }
}

/// The URL without everything before the host's `@`, for error messages.
pub fn without_credentials(url: &str) -> String {
    match url.split_once("://").map(|(scheme, rest)| (scheme, rest.rsplit_once('@'))) {
        Some((scheme, Some((_, rest)))) => format!("{scheme}://…@{rest}"),
        _ => url.to_owned(),
    }
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let (place, revision) = text.split_once("?ref=").unwrap_or((text, "HEAD"));
        let after_scheme = place.find("://").map_or(0, |at| at + 3);
        let rest = place.get(after_scheme..).unwrap_or_default();
        let (url, path) = match rest.find("//") {
            Some(at) => (place.get(..after_scheme + at).unwrap_or_default(), rest.get(at + 2..).unwrap_or_default()),
            None => (place, ""),
        };
        if !is_revision(revision) {
            return Err(LocationError::Revision(revision.to_owned()));
        }
        let path = slipway_manifest::tree::join("", path).map_err(|_| LocationError::Path(path.to_owned()))?;
        Ok(Self { url: url.parse()?, path, revision: revision.to_owned() })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}//{}?ref={}", self.url, self.path, self.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_found_in_every_spelling() {
        for text in [
            "https://github.com/Acme/gitops",
            "https://GitHub.com/acme/gitops.git",
            "https://github.com/acme/gitops.git/",
            "https://github.com/acme/gitops.Git.git",
            "git@github.com:acme/GitOps.git",
            "git@github.com/acme/gitops",
            "ssh://git@github.com/acme/gitops",
            "ssh://git@github.com:22/acme/gitops.git",
            "org-12345@github.com:acme/gitops",
        ] {
            let url: RepoUrl = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(url.to_string().to_lowercase(), "https://github.com/acme/gitops", "{text}");
            assert_eq!(url.repo, "acme/gitops".parse().unwrap(), "{text}");
        }
    }

    #[test]
    fn other_hosts_have_other_paths() {
        for (text, expected) in [
            ("https://gitlab.com/group/sub/app.git", "https://gitlab.com/group/sub/app"),
            ("git@gitlab.com:group/sub/app.git", "https://gitlab.com/group/sub/app"),
            ("https://dev.azure.com/org/My%20Project/_git/app", "https://dev.azure.com/org/My%20Project/_git/app"),
            ("https://bitbucket.example.com/scm/~me/app", "https://bitbucket.example.com/scm/~me/app"),
            ("ssh://git@bitbucket.example.com:7999/team/app.git", "https://bitbucket.example.com/team/app"),
            ("https://git.example.com/app.git", "https://git.example.com/app"),
            ("https://git.example.com:8443/a/b/c", "https://git.example.com:8443/a/b/c"),
        ] {
            let url: RepoUrl = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(url.to_string(), expected, "{text}");
        }
        for text in [
            "https://git.example.com/a/../b",
            "https://git.example.com/a//b/c",
            "https://git.example.com/",
            "https://git.example.com/a/b c/d",
        ] {
            assert!(text.parse::<RepoUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_repository_is_refused_without_its_password() {
        for text in [
            "",
            "x",
            "https://github.com/acme",
            "https://github.com/acme/../x",
            "https://github.com/a/b/c",
            "file:///a/b",
            "--upload-pack=x",
        ] {
            assert!(text.parse::<RepoUrl>().is_err(), "{text}");
        }
        let error = "https://user:canary@github.com/acme/gitops".parse::<RepoUrl>().unwrap_err().to_string();
        assert!(!error.contains("canary") && error.contains("github.com/acme/gitops"), "{error}");
    }

    #[test]
    fn locations_have_path_and_revision() {
        let full: Location = "https://github.com/acme/gitops//clusters/./prod/?ref=release/1".parse().unwrap();
        assert_eq!((full.path.as_str(), full.revision.as_str()), ("clusters/prod", "release/1"));
        assert_eq!(full.to_string(), "https://github.com/acme/gitops//clusters/prod?ref=release/1");
        let short: Location = "https://github.com/acme/gitops".parse().unwrap();
        assert_eq!((short.path.as_str(), short.revision.as_str()), ("", "HEAD"));
        for bad in [
            "https://github.com/acme/gitops//../x",
            "https://github.com/a/b?ref=a..b",
            "https://github.com/a/b?ref=",
            "https://github.com/a/b?ref=-x",
        ] {
            assert!(bad.parse::<Location>().is_err(), "{bad}");
        }
    }
}
