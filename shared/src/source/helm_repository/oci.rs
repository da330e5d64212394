//! Asks OCI registries for charts (opencontainers `distribution-spec`; helm/helm `pkg/registry`): a login that anybody
//! may have, or ECR's by the role, the tags of a chart, its manifest, and the layer with its archive.

use http::StatusCode;
use http::header::{LINK, WWW_AUTHENTICATE};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::SecretString;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use slipway_gocompat::url::Url;

use super::{ChartError, HelmChart, MISSING, ecr};
use crate::app::repository::RepositorySecret;
use crate::aws::Aws;
use crate::source::download::{Asked, Authorization, Download, Downloader};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CHART_LAYER: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
/// The registry of Docker Hub, whose charts are named by `docker.io`.
const DOCKER_HUB: &str = "registry-1.docker.io";
/// Pages of tags, and bytes of one.
const MAX_PAGES: usize = 100;
const MAX_PAGE: usize = 8 << 20;
/// Bytes of a manifest: what registries take at most.
const MAX_MANIFEST: usize = 4 << 20;
/// Bytes of the answer to a login.
const MAX_TOKEN: usize = 1 << 20;

/// The versions of `chart`: its tags, whose `_` are `+` in versions.
pub(super) async fn tags(
    downloader: &Downloader,
    login: Login<'_>,
    chart: &HelmChart,
) -> Result<Vec<String>, ChartError> {
    let mut registry = Registry::new(downloader, login, chart)?;
    let mut at = registry.url("tags/list?n=1000");
    let mut tags = Vec::new();
    for _ in 0..MAX_PAGES {
        let page = Box::pin(registry.get(&at, "application/json")).await?.ok(MISSING)?;
        let next = page.headers().get(LINK).and_then(|link| link.to_str().ok()).and_then(next);
        let page = json(&at, &page.bytes(MAX_PAGE).await?)?;
        let listed = page.get("tags").and_then(Value::as_array).into_iter().flatten();
        tags.extend(listed.filter_map(|tag| Some(tag.as_str()?.replace('_', "+"))));
        let Some(next) = next else { return Ok(tags) };
        let wrong = |error: &dyn std::fmt::Display| ChartError::fetch(&at, error);
        let base = Url::parse(&at).map_err(|error| wrong(&error))?;
        let url = base.resolve(&Url::parse(&next).map_err(|error| wrong(&error))?);
        if (&url.scheme, &url.host) != (&base.scheme, &base.host) {
            return Err(wrong(&"the next page of its tags is at another host"));
        }
        at = url.to_string();
    }
    Err(ChartError::fetch(&chart.to_string(), format!("more than {MAX_PAGES} pages of tags")))
}

/// The URL of a header `Link` that leads to the next page.
fn next(link: &str) -> Option<String> {
    link.split(',').find_map(|one| {
        let (url, parameters) = one.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|one| ["rel=\"next\"", "rel=next"].contains(&one.trim()));
        is_next.then(|| url.to_owned())
    })
}

/// The archive of `version` of `chart`: the manifest's layer, verified by the digest that the manifest has of it.
pub(super) async fn archive(
    downloader: &Downloader,
    login: Login<'_>,
    (chart, version): (&HelmChart, &str),
    limit: usize,
) -> Result<Vec<u8>, ChartError> {
    let mut registry = Registry::new(downloader, login, chart)?;
    let what = format!("{chart} {version}");
    let at = registry.url(&format!("manifests/{}", version.replace('+', "_")));
    let manifest = Box::pin(registry.get(&at, MANIFEST)).await?.ok(MISSING)?;
    let said = manifest.headers().get("docker-content-digest").and_then(|said| said.to_str().ok()).map(str::to_owned);
    let manifest = manifest.bytes(MAX_MANIFEST).await?;
    if let Some(said) = said {
        verify(&format!("the manifest of {what}"), &manifest, &said)?;
    }
    let manifest = json(&at, &manifest)?;
    let layers = manifest.get("layers").and_then(Value::as_array);
    let text = |layer: &Value, key: &str| layer.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let layer = layers.into_iter().flatten().find(|layer| text(layer, "mediaType") == CHART_LAYER);
    let layer = layer.ok_or_else(|| ChartError::fetch(&what, "the registry has something there that is no chart"))?;
    let digest = text(layer, "digest");
    let is_digest = |hex: &str| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !digest.strip_prefix("sha256:").is_some_and(is_digest) {
        return Err(ChartError::fetch(
            &what,
            format!("its layer has the digest `{digest}`, and only SHA-256 is known"),
        ));
    }
    let size = layer.get("size").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
    let size = size.filter(|size| *size <= limit);
    let size = size.ok_or_else(|| ChartError::fetch(&what, format!("it may have {limit} bytes at most")))?;
    let at = registry.url(&format!("blobs/{digest}"));
    let bytes = Box::pin(registry.get(&at, "*/*")).await?.ok(MISSING)?.bytes(size).await?;
    verify(&what, &bytes, &digest)?;
    Ok(bytes)
}

fn verify(what: &str, bytes: &[u8], digest: &str) -> Result<(), ChartError> {
    let found = hex::encode(Sha256::digest(bytes));
    let is_other = digest.strip_prefix("sha256:").is_none_or(|digest| !digest.eq_ignore_ascii_case(&found));
    if is_other {
        return Err(ChartError::Digest { what: what.to_owned(), expected: digest.to_owned(), found });
    }
    Ok(())
}

fn json(what: &str, bytes: &[u8]) -> Result<Value, ChartError> {
    serde_json::from_slice(bytes).map_err(|error| ChartError::fetch(what, format!("the answer is no JSON: {error}")))
}

/// By what a registry is logged in at: the credential of the repository, or the role at ECR.
#[derive(Clone, Copy)]
pub(super) struct Login<'a> {
    pub(super) credential: Option<&'a RepositorySecret>,
    pub(super) aws: Option<&'a Aws>,
}

/// The repository of a chart in its registry.
struct Registry<'a> {
    downloader: &'a Downloader,
    origin: String,
    path: String,
    /// The header `Authorization`, once the registry has asked for a login.
    token: Option<SecretString>,
    credential: Option<&'a RepositorySecret>,
    /// Who logs in, and in which region, where it is one of ECR.
    ecr: Option<(&'a Aws, String)>,
}

impl<'a> Registry<'a> {
    fn new(downloader: &'a Downloader, login: Login<'a>, chart: &HelmChart) -> Result<Self, ChartError> {
        let whole = format!("https://{}/{}", chart.repository, chart.name);
        let url = Url::parse(&whole).map_err(|error| ChartError::fetch(&whole, error))?;
        let scheme = Downloader::registry_scheme(&url);
        let host = if url.host == "docker.io" { DOCKER_HUB } else { &url.host };
        let path = url.path.trim_matches('/').to_owned();
        let Login { credential, aws } = login;
        let region = ecr::region(host).filter(|_| credential.is_none_or(|one| one.authorization().is_none()));
        let ecr = aws.zip(region.map(str::to_owned));
        Ok(Self { downloader, origin: format!("{scheme}://{host}"), path, token: None, credential, ecr })
    }

    fn url(&self, of: &str) -> String {
        format!("{}/v2/{}/{of}", self.origin, self.path)
    }

    /// What is asked with the token. The credential itself has the certificate of the client; its header is sent only
    /// where the registry asks for it.
    fn asked(&self, accept: &'static str) -> Asked<'_> {
        Asked {
            accept,
            credential: self.credential,
            authorization: Authorization::Instead(self.token.as_ref()),
            ..Asked::default()
        }
    }

    /// Requests `url`; logs in where the registry asks for it.
    async fn get(&mut self, url: &str, accept: &'static str) -> Result<Download, ChartError> {
        if let Some((aws, region)) = self.ecr.as_ref().filter(|_| self.token.is_none()) {
            self.token = Some(Box::pin(ecr::credential(aws, region)).await?);
        }
        let download = self.downloader.get(url, &self.asked(accept)).await?;
        if download.status() != StatusCode::UNAUTHORIZED || self.token.is_some() {
            return Ok(download);
        }
        let challenge = download.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        self.token = match challenge.and_then(Challenge::parse) {
            Some(Challenge::Bearer { realm, service }) => Some(self.login(&realm, &service).await?),
            Some(Challenge::Basic) => self.authorization().cloned(),
            None => None,
        };
        if self.token.is_none() {
            return Ok(download);
        }
        Ok(self.downloader.get(url, &self.asked(accept)).await?)
    }

    /// The header of the credential, where that is for this registry.
    fn authorization(&self) -> Option<&'a SecretString> {
        self.credential.filter(|credential| credential.host() == self.host())?.authorization()
    }

    fn host(&self) -> &str {
        self.origin.split_once("://").map_or("", |(_, host)| host)
    }

    /// The token that the credential gets, or anybody (distribution `docs/content/spec/auth/token.md`).
    async fn login(&self, realm: &str, service: &str) -> Result<SecretString, ChartError> {
        if self.origin.starts_with("https://") && !realm.starts_with("https://") {
            return Err(ChartError::fetch(&self.origin, "it asks for a login over an unencrypted connection"));
        }
        let authorization = self.authorization();
        let place = Url::parse(realm).map_err(|error| ChartError::fetch(&self.origin, error))?;
        if authorization.is_some() && !is_login_of(place.hostname(), self.host().split(':').next().unwrap_or_default())
        {
            let problem = format!("it asks for the login of its Secret at {}, which is not its own host", place.host);
            return Err(ChartError::fetch(&self.origin, problem));
        }
        let separator = if realm.contains('?') { '&' } else { '?' };
        let escaped = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let scope = escaped(&format!("repository:{}:pull", self.path));
        let url = format!("{realm}{separator}service={}&scope={scope}", escaped(service));
        let asked = Asked {
            authorization: Authorization::Instead(authorization),
            credential: self.credential,
            ..Asked::default()
        };
        let answer = self.downloader.get(&url, &asked).await?.ok(MISSING)?.bytes(MAX_TOKEN).await?;
        let answer = json(realm, &answer)?;
        let token = ["token", "access_token"].into_iter().find_map(|key| answer.get(key)?.as_str());
        let token = token.ok_or_else(|| ChartError::fetch(realm, "the answer to a login has no token"))?;
        Ok(SecretString::from(format!("Bearer {token}")))
    }
}

/// Whether the login of the registry `registry` may be at `host`: there, at the domain that it is of, or another of
/// that (`auth.docker.io` of `registry-1.docker.io`, `gitlab.com` of `registry.gitlab.com`).
fn is_login_of(host: &str, registry: &str) -> bool {
    let domain = registry.split_once('.').map(|(_, domain)| domain);
    let is_name = registry.parse::<std::net::IpAddr>().is_err();
    let domain = domain.filter(|domain| is_name && domain.contains('.'));
    let is_within = |domain: &str| host == domain || host.strip_suffix(domain).is_some_and(|head| head.ends_with('.'));
    host == registry || domain.is_some_and(is_within)
}

/// What a registry asks a login for.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    /// `Bearer realm="…",service="…"`.
    Bearer { realm: String, service: String },
    /// The credential itself.
    Basic,
}

impl Challenge {
    fn parse(header: &str) -> Option<Self> {
        let header = header.trim();
        let (kind, mut rest) = header.split_once(' ').unwrap_or((header, ""));
        if kind.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !kind.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service) = (String::new(), String::new());
        while let Some((key, value)) = rest.split_once("=\"") {
            let (value, next) = value.split_once('"')?;
            match key.trim_matches([',', ' ']).to_ascii_lowercase().as_str() {
                "realm" => value.clone_into(&mut realm),
                "service" => value.clone_into(&mut service),
                _ => {}
            }
            rest = next;
        }
        (!realm.is_empty()).then_some(Self::Bearer { realm, service })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_and_pages_are_read() {
        let header = "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",\
                      scope=\"repository:a/b:pull,push\"";
        let (realm, service) = ("https://auth.docker.io/token".to_owned(), "registry.docker.io".to_owned());
        assert_eq!(Challenge::parse(header), Some(Challenge::Bearer { realm, service }));
        assert_eq!(Challenge::parse("basic realm=\"x\""), Some(Challenge::Basic));
        for other in ["Negotiate", "Bearer", "Bearer realm=\"x", "Bearer service=\"x\"", ""] {
            assert_eq!(Challenge::parse(other), None, "{other}");
        }
        let link = r#"</v2/a/tags/list?last=1>; rel="prev", </v2/a/tags/list?n=2&last=3>; rel="next""#;
        assert_eq!(next(link).as_deref(), Some("/v2/a/tags/list?n=2&last=3"));
        assert_eq!(next("</v2/a>"), None);
    }

    #[test]
    fn a_login_is_at_the_registrys_own_domain() {
        for (host, registry, expected) in [
            ("ghcr.io", "ghcr.io", true),
            ("auth.docker.io", "registry-1.docker.io", true),
            ("gitlab.com", "registry.gitlab.com", true),
            ("gitlab.example.com", "registry.example.com", true),
            ("evil.io", "ghcr.io", false),
            ("ghcr.io.evil.example", "ghcr.io", false),
            ("evil-example.com", "registry.example.com", false),
            ("evil.com", "registry.com", false),
            ("10.0.0.2", "10.0.0.1", false),
            ("x.0.0.1", "10.0.0.1", false),
            ("evil", "registry", false),
        ] {
            assert_eq!(is_login_of(host, registry), expected, "{host} of {registry}");
        }
    }
}
