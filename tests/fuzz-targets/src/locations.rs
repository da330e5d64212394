//! Addresses: of repositories, folders in them, remote bases, and Go's URLs.

use slipway_gitops::location::{Location, Repo, RepoUrl, is_revision};
use slipway_gocompat::url::Url;
use slipway_kustomize::{RemoteKind, remote};
use slipway_manifest::tree;

use crate::parts;

/// An address of any form: what is printed is read as the same, paths stay inside, passwords are not repeated.
pub fn location(data: &[u8]) {
    let Some(text) = parts::text(data) else { return };
    if let Ok(url) = text.parse::<RepoUrl>() {
        assert_eq!(url.to_string().parse().as_ref(), Ok(&url));
        assert!(!url.host.contains(['/', '@']), "{url}");
    }
    if let Ok(repo) = text.parse::<Repo>() {
        assert_eq!(repo.to_string().parse().as_ref(), Ok(&repo));
    }
    if let Ok(location) = text.parse::<Location>() {
        assert!(is_revision(&location.revision));
        assert_eq!(tree::join("", &location.path).as_ref(), Ok(&location.path));
        let Location { url, path, revision } = &location;
        assert_eq!(format!("{url}//{path}?ref={revision}").parse().as_ref(), Ok(&location));
    }
    for scheme in ["https", "ssh", "http"] {
        let with_password = format!("{scheme}://user:c4n4ry@{text}");
        let refused = with_password.parse::<RepoUrl>().expect_err("credentials are refused").to_string();
        assert!(!refused.contains("c4n4ry"), "{refused}");
    }
    if let Some(RemoteKind::Git { repository, path, reference, .. }) = remote::git(text).map(|found| found.kind) {
        assert!(!repository.is_empty() && !reference.starts_with('-'));
        assert!(tree::join("", &path).is_ok(), "{path}");
    }
    let _ = remote::file(text);
    if let Ok(url) = Url::parse(text) {
        let printed = url.to_string();
        if let Ok(again) = Url::parse(&printed) {
            assert_eq!(again.to_string(), printed, "{text}");
        }
        for (base, reference) in [("https://example.com/a/b?c#d", text), (text, "../x?y")] {
            if let (Ok(base), Ok(reference)) = (Url::parse(base), Url::parse(reference)) {
                let _ = base.resolve(&reference).to_string();
            }
        }
        let _ = url.hostname();
    }
}
