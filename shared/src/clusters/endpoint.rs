//! Compares EKS endpoints as EKS and a Secret write them, and reads their region. Pure.

use http::Uri;

/// The default port of `https://`.
const HTTPS: u16 = 443;

/// Whether both URLs are the root of the same server. URLs with other parts (users, paths, queries) never are.
pub(super) fn is_same(a: &str, b: &str) -> bool {
    let parts = |url: &str| {
        let url: Uri = url.trim().parse().ok()?;
        let authority = url.authority().filter(|authority| !authority.as_str().contains('@'))?;
        let is_root = matches!(url.path(), "" | "/") && url.query().is_none();
        let scheme = url.scheme_str().filter(|_| is_root)?.to_owned();
        let port = authority.port_u16().or_else(|| (scheme == "https").then_some(HTTPS));
        Some((scheme, authority.host().to_ascii_lowercase(), port))
    };
    parts(a).is_some_and(|a| parts(b) == Some(a))
}

/// The region in an endpoint of EKS: `https://ID.gr7.eu-west-1.eks.amazonaws.com`, `https://ID.eu-west-1.api.aws`.
///
/// It only selects the region whose EKS is asked about the cluster: the answer decides.
pub(super) fn region(url: &str) -> Option<String> {
    let url: Uri = url.trim().parse().ok()?;
    let host = url.host()?.to_ascii_lowercase();
    let suffixes = [".eks.amazonaws.com", ".eks.amazonaws.com.cn", ".api.aws"];
    let rest = suffixes.iter().find_map(|suffix| host.strip_suffix(suffix))?;
    let region = rest.rsplit('.').next().filter(|region| *region != rest)?;
    let is_region = region.split('-').count() >= 3 && region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    is_region.then(|| region.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: &str = "https://0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com";

    #[test]
    fn spellings_of_one_server_are_the_same() {
        for same in [
            ENDPOINT,
            "https://0123456789abcdef.gr7.eu-west-1.eks.amazonaws.com/",
            "https://0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com:443",
        ] {
            assert!(is_same(same, ENDPOINT), "{same}");
        }
        for other in [
            "",
            "0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com",
            "http://0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com",
            "https://0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com:8443",
            "https://0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com.evil.example",
            "https://0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com@evil.example",
            "https://evil.example/0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com",
            "https://evil.example#@0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com",
            "https://0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com/proxy",
            "https://169.254.170.2",
            "https://127.0.0.1:9001",
        ] {
            assert!(!is_same(other, ENDPOINT), "{other}");
        }
        assert!(!is_same("", ""));
    }

    #[test]
    fn the_region_is_a_label_of_the_endpoint() {
        for (url, found) in [
            (ENDPOINT, Some("eu-west-1")),
            ("https://A.yl4.cn-north-1.eks.amazonaws.com.cn", Some("cn-north-1")),
            ("https://A.sk1.us-gov-west-1.eks.amazonaws.com", Some("us-gov-west-1")),
            ("https://eks-cluster.us-east-2.api.aws", Some("us-east-2")),
            ("https://eks.amazonaws.com", None),
            ("https://eu-west-1.eks.amazonaws.com", None),
            ("https://a.evil.eks.amazonaws.com", None),
            ("https://a.eu-west-1.evil.example", None),
            ("http://127.0.0.1:80", None),
        ] {
            assert_eq!(region(url).as_deref(), found, "{url}");
        }
    }
}
