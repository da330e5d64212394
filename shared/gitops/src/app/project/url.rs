//! Writes repository URLs as projects compare them (argoproj/argo-cd `util/git/git.go`, NormalizeGitURL): in lower
//! case, without `.git`, `git@host:path` as `git@host/path`. A text that Go finds no URL becomes empty, so that it
//! matches nothing but another such text.

use slipway_gocompat::url::Url;

use crate::location::RepoUrl;

/// The form in which URLs and patterns are compared.
pub(super) fn normalize(text: &str) -> String {
    let mut url = text.trim().to_lowercase();
    let has_scheme = url.starts_with("ssh://");
    if is_ssh(&url) && !has_scheme {
        url = format!("ssh://{}", url.replacen(':', "/", 1));
    }
    let url = url.strip_suffix(".git").unwrap_or(&url);
    let normal = Url::parse(url).map(|url| url.to_string()).unwrap_or_default();
    normal.strip_prefix("ssh://").unwrap_or(&normal).to_owned()
}

/// The forms of every way to write the repository at `text`: all of them are fetched alike. Argo CD compares only the
/// one in which it is written, so that another passes by a denial.
pub(super) fn spellings(text: &str) -> Vec<String> {
    let mut all = vec![normalize(text)];
    if let Ok(RepoUrl { host, repo }) = text.parse::<RepoUrl>() {
        for start in [format!("https://{host}/"), format!("http://{host}/"), format!("git@{host}:")] {
            all.push(normalize(&format!("{start}{repo}")));
        }
    }
    all
}

/// `^(ssh://)?([^/:]*?)@[^@]+$`
fn is_ssh(url: &str) -> bool {
    let rest = url.strip_prefix("ssh://").unwrap_or(url);
    rest.split_once('@').is_some_and(|(user, rest)| {
        !user.contains(['/', ':']) && !rest.is_empty() && !rest.contains('@') && !rest.contains('\n')
    })
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
