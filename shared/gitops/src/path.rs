//! Builds the paths of the Kubernetes API: the only place where names become parts of a URL.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use slipway_manifest::names::Form;

use crate::error::{ApiError, Class};

/// Characters to escape: all except those that RFC 3986 allows in a path segment.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':')
    .remove(b'@')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b'=');

/// Escapes `text` as one path segment.
///
/// Text that would not stay one segment is refused, not escaped: the API server splits a path after unescaping it, so
/// that `%2F` separates as `/` does.
pub fn segment(text: &str) -> Result<String, ApiError> {
    if Form::Segment.fits(text) {
        return Ok(utf8_percent_encode(text, ESCAPED).to_string());
    }
    Err(ApiError::local(Class::Invalid, format!("{text:?} can't be part of a URL")))
}

/// The path of the API group `group`, not core.
pub fn group(group: &str) -> Result<String, ApiError> {
    Ok(format!("/apis/{}", segment(group)?))
}

/// The path of `api_version`: `v1`, or `apps/v1`.
pub fn api(api_version: &str) -> Result<String, ApiError> {
    match api_version.split_once('/') {
        Some((name, version)) => Ok(format!("{}/{}", group(name)?, segment(version)?)),
        None => Ok(format!("/api/{}", segment(api_version)?)),
    }
}

/// The path of the collection `plural` of `api_version`, in `namespace` where that is not empty.
pub fn collection(api_version: &str, namespace: &str, plural: &str) -> Result<String, ApiError> {
    let (api, plural) = (api(api_version)?, segment(plural)?);
    if namespace.is_empty() {
        return Ok(format!("{api}/{plural}"));
    }
    Ok(format!("{api}/namespaces/{}/{plural}", segment(namespace)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stays_in_its_place() {
        assert_eq!(collection("v1", "shop", "secrets").unwrap(), "/api/v1/namespaces/shop/secrets");
        assert_eq!(collection("apps/v1", "", "deployments").unwrap(), "/apis/apps/v1/deployments");
        assert_eq!(segment("system:auth-delegator").unwrap(), "system:auth-delegator");
        assert_eq!(segment("a b?c#d;e\\f\u{fc}").unwrap(), "a%20b%3Fc%23d%3Be%5Cf%C3%BC");
        for hostile in ["", ".", "..", "kube-system/secrets", "a/../b", "%2e%2e", "a%2Fb", "a\r\nHost: b", "a\0"] {
            assert!(segment(hostile).is_err(), "{hostile:?}");
            assert!(collection("v1", hostile, "secrets").is_err() || hostile.is_empty(), "{hostile:?}");
            assert!(collection("v1", "shop", hostile).is_err(), "{hostile:?}");
            assert!(collection(&format!("apps/{hostile}"), "shop", "secrets").is_err(), "{hostile:?}");
            assert!(group(hostile).is_err(), "{hostile:?}");
        }
        assert!(api("v1/namespaces/kube-system/secrets").is_err());
    }
}
