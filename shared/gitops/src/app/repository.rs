//! Reads repository Secrets, by which Argo CD has the credentials of repositories (argoproj/argo-cd
//! `docs/operator-manual/declarative-setup.md`), and finds the one for a URL.

use std::cmp::Ordering;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use slipway_gocompat::url::Url;
use slipway_manifest::Object;

use super::AppError;
use super::cluster::secret_text;

/// The label by which Argo CD knows its own Secrets.
const SECRET_TYPE: &str = "argocd.argoproj.io/secret-type";
/// The ConfigMap with the certificates of the authorities of hosts, by host.
pub const CERTIFICATES: &str = "argocd-tls-certs-cm";
/// Keys that would weaken a connection, or lead it elsewhere; each with what to do instead.
const REFUSED: [(&str, &str); 4] = [
    ("insecure", "put the certificate of its authority into the ConfigMap argocd-tls-certs-cm"),
    ("insecureIgnoreHostKey", "remove it: nothing is fetched by SSH"),
    ("insecureOCIForceHttp", "give the registry a certificate"),
    ("proxy", "remove it: the functions have the way to the network that their VPC has"),
];
/// Keys of credentials that are of no use over HTTPS.
const UNUSED: [&str; 4] = ["sshPrivateKey", "githubAppPrivateKey", "gcpServiceAccountKey", "useAzureWorkloadIdentity"];

/// A repository Secret, or one that is for all repositories below a URL (`repo-creds`).
#[derive(Debug, Clone)]
pub struct RepositorySecret {
    /// The Secret, for messages.
    pub object: String,
    /// `project`, whose Applications alone may use it; empty for all.
    pub project: String,
    /// Why the repository is not fetched from at all.
    pub refused: Option<String>,
    /// A key of the Secret that is a credential, and of no use over HTTPS.
    pub unused: Option<&'static str>,
    address: Address,
    is_prefix: bool,
    authorization: Option<SecretString>,
    client_certificate: Option<ClientCertificate>,
}

/// What a client shows of itself: PEM. Two with the same certificate are the same.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// `tlsClientCertData`.
    pub certificate: String,
    /// `tlsClientCertKey`.
    pub key: SecretString,
}

impl PartialEq for ClientCertificate {
    fn eq(&self, other: &Self) -> bool {
        self.certificate == other.certificate
    }
}

impl Eq for ClientCertificate {}

impl PartialOrd for ClientCertificate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ClientCertificate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.certificate.cmp(&other.certificate)
    }
}

/// Where a repository is; the same for all spellings of it (argoproj/argo-cd `util/git/git.go`, NormalizeGitURL), and
/// for a registry with and without `oci://`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Address {
    is_encrypted: bool,
    host: String,
    path: String,
}

impl Address {
    fn of(url: &str) -> Option<Self> {
        let text = url.trim().to_lowercase();
        let text = text.strip_prefix("oci://").unwrap_or(&text);
        let (scheme, rest) = match text.split_once("://") {
            Some(("ssh", rest)) => ("", rest.split_once('@').map_or(rest, |(_, rest)| rest).to_owned()),
            Some((scheme, rest)) => (scheme, rest.to_owned()),
            None => match text.split_once('@') {
                Some((_, rest)) => ("", rest.replacen(':', "/", 1)),
                None => ("", text.to_owned()),
            },
        };
        let whole = format!("{}://{rest}", if scheme.is_empty() { "https" } else { scheme });
        let url = Url::parse(&whole).ok().filter(|url| !url.host.is_empty())?;
        // Registries of this machine are asked by HTTP.
        let is_loopback = url.hostname() == "localhost"
            || url.hostname().parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let is_encrypted = url.scheme == "https" && !(scheme.is_empty() && is_loopback);
        let port = if is_encrypted { ":443" } else { ":80" };
        let path = url.path.trim_matches('/').trim_end_matches(".git").to_owned();
        let host = url.host.strip_suffix(port).unwrap_or(&url.host).to_owned();
        matches!(url.scheme.as_str(), "http" | "https").then_some(Self { is_encrypted, host, path })
    }

    fn is_at_origin_of(&self, other: &Self) -> bool {
        (self.is_encrypted, &self.host) == (other.is_encrypted, &other.host)
    }
}

fn secret_type(object: &Object) -> Option<&str> {
    ((object.group(), object.kind()) == ("", "Secret")).then(|| object.label(SECRET_TYPE))?
}

/// Whether `object` is a repository Secret, or one for all repositories below a URL.
pub fn is_repository_secret(object: &Object) -> bool {
    matches!(secret_type(object), Some("repository" | "repo-creds"))
}

/// Whether a controller of the cluster makes a repository Secret of `object` (an ExternalSecret or a SealedSecret):
/// what is in it can't be read from Git.
pub fn makes_repository_secret(object: &Object) -> bool {
    let template = match object.kind() {
        "ExternalSecret" => "/spec/target/template/metadata/labels",
        "SealedSecret" => "/spec/template/metadata/labels",
        _ => return false,
    };
    let labels = object.pointer(template).and_then(|labels| labels.as_object());
    let kind = labels.and_then(|labels| labels.get(SECRET_TYPE)?.as_str());
    matches!(kind, Some("repository" | "repo-creds"))
}

impl RepositorySecret {
    /// Reads the Secret, `stringData` before `data`. Errors repeat none of its values but the host.
    pub fn from_object(object: &Object) -> Result<Self, AppError> {
        let id = object.id().to_string();
        let text = |key: &str| secret_text(object, key).map(|text| text.trim().to_owned());
        let text = |key: &str| text(key).filter(|text| !text.is_empty());
        let url = text("url").ok_or_else(|| AppError::Missing { object: id.clone(), field: "data.url".to_owned() })?;
        let invalid = |problem: &str| AppError::Invalid { object: id.clone(), problem: problem.to_owned() };
        let address = Address::of(&url).ok_or_else(|| invalid("`data.url` is no URL of a repository"))?;
        let is_set = |key: &str| text(key).is_some_and(|value| value != "false");
        let refused = REFUSED.iter().find(|(key, _)| is_set(key));
        let refused = refused.map(|(key, remedy)| format!("{id} sets `{key}`, which is not obeyed: {remedy}"));
        let password = text("password");
        let authorization = match (text("bearerToken"), text("username"), password) {
            (Some(token), ..) => Some(format!("Bearer {token}")),
            (None, None, None) => None,
            (None, username, password) => {
                // What hosts of git take beside a token (argoproj/argo-cd `util/git/creds.go`).
                let username = username.unwrap_or_else(|| "x-access-token".to_owned());
                Some(basic(&username, &password.unwrap_or_default()))
            }
        };
        let is_header = |text: &String| text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if authorization.as_ref().is_some_and(|text| !is_header(text)) {
            return Err(invalid("`data.bearerToken` has characters that no header may have"));
        }
        let client_certificate = match (text("tlsClientCertData"), text("tlsClientCertKey")) {
            (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key: key.into() }),
            (None, None) => None,
            _ => return Err(invalid("`data.tlsClientCertData` and `data.tlsClientCertKey` go together")),
        };
        Ok(Self {
            project: text("project").unwrap_or_default(),
            refused,
            unused: UNUSED.into_iter().find(|key| is_set(key)),
            address,
            is_prefix: secret_type(object) == Some("repo-creds"),
            authorization: authorization.map(SecretString::from),
            client_certificate,
            object: id,
        })
    }

    fn has_credential(&self) -> bool {
        self.authorization.is_some() || self.client_certificate.is_some()
    }

    /// Whether the credential may be sent to `url`: to the host of its own URL, encrypted as that is, and that of a
    /// `repo-creds` Secret only below its URL.
    pub fn goes_to(&self, url: &str) -> bool {
        Address::of(url).is_some_and(|url| {
            let is_below = url.path.starts_with(&self.address.path) && !url.path.split('/').any(|part| part == "..");
            self.address.is_at_origin_of(&url) && (!self.is_prefix || is_below)
        })
    }

    /// Whether it is for the same repositories and project as `other`, whatever its login.
    pub fn is_for_the_same(&self, other: &Self) -> bool {
        let key = |one: &Self| (one.address.clone(), one.is_prefix, one.project.clone());
        key(self) == key(other)
    }

    /// The header `Authorization`.
    pub fn authorization(&self) -> Option<&SecretString> {
        self.authorization.as_ref()
    }

    /// The client's certificate.
    pub fn client_certificate(&self) -> Option<&ClientCertificate> {
        self.client_certificate.as_ref()
    }

    /// The host of its URL, with the port where that is not the usual one.
    pub fn host(&self) -> &str {
        &self.address.host
    }
}

fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
}

/// The one of `secrets` for the repository at `url` of an Application of `project` (argoproj/argo-cd
/// `util/db/repository.go`): the repository's own, the project's before that of all; where that has no credential, the
/// one with the longest URL before it. Of the same the first counts. Argo CD compares prefixes as texts; here the host
/// is the same host, never a longer name.
pub fn find<'a>(secrets: &'a [RepositorySecret], url: &str, project: &str) -> Option<&'a RepositorySecret> {
    let url = Address::of(url)?;
    let mine = |one: &&RepositorySecret| one.project.is_empty() || one.project == project;
    let at_host = secrets.iter().filter(|one| one.address.is_at_origin_of(&url));
    let (prefixes, own): (Vec<_>, Vec<_>) = at_host.filter(mine).partition(|one| one.is_prefix);
    let own: Vec<_> = own.into_iter().filter(|one| one.address.path == url.path).collect();
    let scoped = own.iter().copied().find(|one| !one.project.is_empty());
    let own = scoped.or_else(|| own.first().copied());
    if own.is_some_and(|own| own.has_credential() || own.refused.is_some()) {
        return own;
    }
    let below = prefixes.into_iter().filter(|one| url.path.starts_with(&one.address.path));
    // Of the same length the first: `max_by_key` takes the last.
    below.rev().max_by_key(|one| one.address.path.len()).or(own)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;
    use serde_json::{Value, json};

    use super::*;

    fn secret(kind: &str, data: &Value) -> Result<RepositorySecret, AppError> {
        let object = json!({"apiVersion": "v1", "kind": "Secret", "stringData": data,
            "metadata": {"name": "s", "labels": {SECRET_TYPE: kind}}});
        RepositorySecret::from_object(&Object::from_value(object).unwrap())
    }

    fn used(secrets: &[RepositorySecret], url: &str, project: &str) -> String {
        let found = find(secrets, url, project);
        let text = found.and_then(|one| one.authorization()).map(|one| one.expose_secret().to_owned());
        text.unwrap_or_default().trim_start_matches("Bearer ").to_owned()
    }

    fn of(kind: &str, url: &str, token: &str, project: &str) -> RepositorySecret {
        secret(kind, &json!({"url": url, "bearerToken": token, "project": project})).unwrap()
    }

    #[test]
    fn every_spelling_of_a_repository_finds_its_secret() {
        let secrets = [
            of("repository", "https://git.example.com/Team/app.git", "git", ""),
            of("repository", "ghcr.io/acme/charts", "oci", ""),
            of("repository", "http://plain.example.com:80/charts/", "plain", ""),
            of("repository", "127.0.0.1:5000/charts", "here", ""),
        ];
        for (url, expected) in [
            ("https://git.example.com/team/app", "git"),
            ("https://GIT.example.com:443/team/app.git/", "git"),
            ("git@git.example.com:team/app.git", "git"),
            ("ssh://git@git.example.com/team/app", "git"),
            ("oci://ghcr.io/acme/charts", "oci"),
            ("ghcr.io/acme/charts/", "oci"),
            ("http://plain.example.com/charts", "plain"),
            ("oci://127.0.0.1:5000/charts", "here"),
            ("http://127.0.0.1:5000/charts", "here"),
            ("https://127.0.0.1:5000/charts", ""),
            ("https://plain.example.com/charts", ""),
            ("http://git.example.com/team/app", ""),
            ("https://git.example.com/team/app2", ""),
            ("https://git.example.com.evil.example/team/app", ""),
            ("https://git.example.com:8443/team/app", ""),
            ("https://git.example.com@evil.example/team/app", ""),
            ("", ""),
        ] {
            assert_eq!(used(&secrets, url, "default"), expected, "{url}");
        }
    }

    /// Argo CD's order: the repository's own before prefixes, the project's own before that of all, the longest prefix.
    #[test]
    fn the_closest_secret_is_used() {
        let secrets = [
            of("repo-creds", "https://h.example/", "host", ""),
            of("repo-creds", "https://h.example/team", "team", ""),
            of("repo-creds", "https://h.example/team", "second", ""),
            of("repo-creds", "https://h.example/team/secret", "theirs", "payments"),
            of("repository", "https://h.example/team/web", "web", ""),
            of("repository", "https://h.example/team/web", "scoped", "shop"),
            secret("repository", &json!({"url": "https://h.example/team/api", "name": "api"})).unwrap(),
        ];
        for (url, project, expected) in [
            ("https://h.example/other", "default", "host"),
            ("https://h.example/team/x", "default", "team"),
            ("https://h.example/team-b/x", "default", "team"),
            ("https://h.example/team/secret/x", "default", "team"),
            ("https://h.example/team/secret/x", "payments", "theirs"),
            ("https://h.example/team/web", "default", "web"),
            ("https://h.example/team/web", "shop", "scoped"),
            ("https://h.example/team/api", "default", "team"),
            ("https://h.example.org/team", "default", ""),
        ] {
            assert_eq!(used(&secrets, url, project), expected, "{url} {project}");
        }
    }

    #[test]
    fn a_secret_is_shown_to_its_own_host_and_no_other() {
        let own = of("repository", "https://h.example/charts", "x", "");
        let prefix = of("repo-creds", "https://h.example/team", "x", "");
        for (url, to_own, to_prefix) in [
            ("https://h.example/charts/index.yaml", true, false),
            ("https://h.example/files/web.tgz", true, false),
            ("https://h.example/team/web.tgz", true, true),
            ("https://h.example/team/../other/web.tgz", true, false),
            ("https://h.example/team/%2e%2e/other/web.tgz", true, false),
            ("http://h.example/team/web.tgz", false, false),
            ("https://h.example:8443/team/web.tgz", false, false),
            ("https://cdn.h.example/team/web.tgz", false, false),
            ("https://h.example.evil.example/team/web.tgz", false, false),
        ] {
            assert_eq!((own.goes_to(url), prefix.goes_to(url)), (to_own, to_prefix), "{url}");
        }
    }

    #[test]
    fn what_is_wrong_or_refused_is_named_without_its_values() {
        for (data, part) in [
            (json!({"username": "canary"}), "`data.url` is missing"),
            (json!({"url": "file:///canary"}), "no URL of a repository"),
            (json!({"url": "https://h", "bearerToken": "canary\nX: y"}), "no header"),
            (json!({"url": "https://h", "tlsClientCertData": "canary"}), "go together"),
        ] {
            let error = secret("repository", &data).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("canary"), "{error}");
        }
        let refused = |data: Value| secret("repository", &data).unwrap().refused.unwrap_or_default();
        for key in ["insecure", "insecureOCIForceHttp", "proxy"] {
            let told = refused(json!({"url": "https://h", key: "true"}));
            assert!(told.contains(&format!("`{key}`")) && told.contains("not obeyed"), "{told}");
        }
        assert_eq!(refused(json!({"url": "https://h", "insecure": "false"})), "");
        let ssh = secret("repository", &json!({"url": "git@h:a/b", "sshPrivateKey": "canary"})).unwrap();
        assert_eq!((ssh.unused, ssh.authorization().is_none()), (Some("sshPrivateKey"), true));
        let shown = format!("{:?}", secret("repository", &json!({"url": "https://h", "password": "canary"})).unwrap());
        assert!(!shown.contains("canary") && !shown.contains("Y2FuYXJ5"), "{shown}");
    }

    #[test]
    fn a_user_and_a_password_are_basic() {
        let header =
            |data: Value| secret("repository", &data).unwrap().authorization().unwrap().expose_secret().to_owned();
        let both = header(json!({"url": "https://h", "username": "u", "password": "p\n"}));
        assert_eq!(both, "Basic dTpw");
        let token = header(json!({"url": "https://h", "password": "p"}));
        assert_eq!(token, basic("x-access-token", "p"));
    }

    #[test]
    fn what_a_controller_makes_is_known() {
        let labels = json!({SECRET_TYPE: "repository"});
        for (value, expected) in [
            (
                json!({"kind": "ExternalSecret", "spec": {"target": {"template": {"metadata": {"labels": labels}}}}}),
                true,
            ),
            (json!({"kind": "SealedSecret", "spec": {"template": {"metadata": {"labels": labels}}}}), true),
            (json!({"kind": "SealedSecret", "spec": {"template": {"metadata": {}}}}), false),
            (json!({"kind": "Secret", "metadata": {"labels": labels}}), false),
        ] {
            let mut value = value;
            value["apiVersion"] = json!("x/v1");
            value["metadata"]["name"] = json!("s");
            assert_eq!(makes_repository_secret(&Object::from_value(value.clone()).unwrap()), expected, "{value}");
        }
    }
}
