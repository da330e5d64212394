//! Holds the credentials of repositories for one event: those of the secret that the settings name, and those that the
//! root declares.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};
use slipway_gitops::location::without_credentials;
use slipway_manifest::{Object, yaml};
use tokio::sync::OnceCell;

use super::download::FetchError;
use crate::app::repository::{self, RepositorySecret};
use crate::app::{AppError, AppManifests};
use crate::error::chain;
use crate::secret::{SecretError, Secrets};

/// The key of an item that says what kind of Secret it stands for; the label of such a Secret.
const SECRET_TYPE: &str = "secret-type";
const LABEL: &str = "argocd.argoproj.io/secret-type";

/// Why the secret with the credentials of repositories can't be used. Repeats none of its values.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The secret can't be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The text is no list.
    #[error(
        "secret `{0}` holds no credentials of repositories: expected a JSON list of objects with the keys of \
         repository Secrets (`url`, `username`, `password` …), and `\"secret-type\": \"repo-creds\"` for all below a \
         URL"
    )]
    Form(String),
    /// One of them can't be used.
    #[error("secret `{name}` holds a credential that can't be used")]
    Item {
        /// The secret's name.
        name: String,
        /// The mistake.
        #[source]
        source: AppError,
    },
}

/// What was found for a repository.
pub type Found = Option<Arc<RepositorySecret>>;

/// The credentials of repositories.
#[derive(Debug, Default)]
pub struct Credentials {
    secret: Option<(Secrets, String)>,
    given: OnceCell<Vec<RepositorySecret>>,
    /// Those that were read again, where one was refused: none where that failed.
    renewed: OnceCell<Option<Vec<RepositorySecret>>>,
    declared: RwLock<Declared>,
}

/// What a root declares.
#[derive(Debug, Default)]
struct Declared {
    secrets: Vec<RepositorySecret>,
    certificates: BTreeMap<String, String>,
}

impl Credentials {
    /// Those in the secret `name`, which is read when one is needed, before those that are declared.
    pub fn of_secret(secrets: Secrets, name: String) -> Self {
        Self { secret: Some((secrets, name)), ..Self::default() }
    }

    /// Takes those that a root declares instead of what it declared before.
    pub fn declare(&self, manifests: &AppManifests) {
        let declared =
            Declared { secrets: manifests.repositories.clone(), certificates: manifests.certificates.clone() };
        *self.declared.write().unwrap_or_else(PoisonError::into_inner) = declared;
    }

    /// The certificates of the authorities that `host` is trusted by, where the root declares them: PEM.
    pub fn certificates(&self, host: &str) -> Option<String> {
        let declared = self.declared.read().unwrap_or_else(PoisonError::into_inner);
        let pem = declared.certificates.get(&host.to_ascii_lowercase());
        pem.cloned()
    }

    /// The credential for the repository at `url` of an Application of `project`. An error where they can't be read, or
    /// the repository is not fetched from as its Secret says.
    pub async fn find(&self, url: &str, project: &str) -> Result<Found, FetchError> {
        let given = self.given.get_or_try_init(async || self.read().await).await;
        let failed = |problem, is_retryable| FetchError { what: without_credentials(url), problem, is_retryable };
        let given = given.map_err(|error| failed(chain(&error), matches!(error, CredentialsError::Secret(_))))?;
        let given = self.renewed.get().and_then(Option::as_ref).unwrap_or(given);
        let all: Vec<RepositorySecret> = {
            let declared = self.declared.read().unwrap_or_else(PoisonError::into_inner);
            given.iter().chain(&declared.secrets).cloned().collect()
        };
        let found = repository::find(&all, url, project).cloned();
        match found {
            Some(RepositorySecret { refused: Some(refused), .. }) => Err(failed(refused, false)),
            found => Ok(found.map(Arc::new)),
        }
    }

    /// What the secret has now instead of `refused`, which a host does not take: it is read again, once in an event.
    /// None where it is of the root, or is the same as before.
    pub(super) async fn renewed(&self, refused: &RepositorySecret) -> Option<RepositorySecret> {
        let (secrets, name) = self.secret.as_ref()?;
        self.given.get()?.iter().find(|given| given.is_for_the_same(refused))?;
        let read = async || {
            let text = secrets.reload(name).await.ok()?;
            parse(name, text.expose_secret()).ok()
        };
        let now = self.renewed.get_or_init(read).await.as_ref()?.iter().find(|now| now.is_for_the_same(refused))?;
        let header = |one: &RepositorySecret| one.authorization().map(|header| header.expose_secret().to_owned());
        (now.refused.is_none() && header(now) != header(refused)).then(|| now.clone())
    }

    async fn read(&self) -> Result<Vec<RepositorySecret>, CredentialsError> {
        let Some((secrets, name)) = &self.secret else { return Ok(Vec::new()) };
        parse(name, secrets.get(name).await?.expose_secret())
    }
}

/// The credentials in the text of the secret `name`: a JSON list, or one object, of the keys of repository Secrets.
fn parse(name: &str, text: &str) -> Result<Vec<RepositorySecret>, CredentialsError> {
    let form = || CredentialsError::Form(name.to_owned());
    // Its error would show the text.
    let items = match yaml::parse(text).map_err(|_| form())? {
        Value::Array(items) => items,
        item @ Value::Object(_) => vec![item],
        _ => return Err(form()),
    };
    let read = |(at, item): (usize, Value)| {
        let Value::Object(mut fields) = item else { return Err(form()) };
        let kind = fields.shift_remove(SECRET_TYPE).unwrap_or_else(|| json!("repository"));
        if !matches!(kind.as_str(), Some("repository" | "repo-creds")) {
            return Err(form());
        }
        let text = |(key, value): (String, Value)| match value {
            Value::String(_) => (key, value),
            other => (key, json!(other.to_string())),
        };
        let data: Map<String, Value> = fields.into_iter().map(text).collect();
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "stringData": data,
            "metadata": {"name": format!("{name}[{at}]"), "labels": {LABEL: kind}}});
        let object = Object::from_value(secret).map_err(|_| form())?;
        let secret = RepositorySecret::from_object(&object);
        secret.map_err(|source| CredentialsError::Item { name: name.to_owned(), source })
    };
    items.into_iter().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Aws;

    fn credentials(text: &str) -> Credentials {
        let secrets = Secrets::with(Aws::default(), [("repos".to_owned(), text.to_owned().into())].into());
        Credentials::of_secret(secrets, "repos".to_owned())
    }

    #[tokio::test]
    async fn those_of_the_settings_come_before_those_of_the_root() {
        let given = credentials(
            r#"[{"url": "https://h.example", "secret-type": "repo-creds", "bearerToken": "given"},
                {"url": "https://i.example/x", "insecure": true}]"#,
        );
        let secret = |url: &str, token: &str| {
            let object = json!({"apiVersion": "v1", "kind": "Secret",
                "metadata": {"name": "s", "namespace": "argocd", "labels": {LABEL: "repo-creds"}},
                "stringData": {"url": url, "bearerToken": token}});
            Object::from_value(object).unwrap()
        };
        let objects = [secret("https://h.example", "declared"), secret("https://h.example/deep", "deep")];
        given.declare(&crate::app::find(&objects));
        let used = async |url: &str| {
            let found = given.find(url, "default").await?;
            let header = found.and_then(|found| Some(found.authorization()?.expose_secret().to_owned()));
            Ok::<_, FetchError>(header.unwrap_or_default())
        };
        assert_eq!(used("https://h.example/a").await.unwrap(), "Bearer given");
        assert_eq!(used("https://h.example/deep/a").await.unwrap(), "Bearer deep");
        assert_eq!(used("https://elsewhere.example/a").await.unwrap(), "");
        let error = used("https://i.example/x").await.unwrap_err();
        assert!(error.problem.contains("`insecure`") && error.problem.contains("repos[1]"), "{error}");
        assert!(!error.is_retryable);
    }

    #[tokio::test]
    async fn a_secret_of_another_form_is_told_without_its_text() {
        for (text, part) in [
            ("canary", "expected a JSON list"),
            ("[canary]", "expected a JSON list"),
            (r#"[{"url": "https://h", "secret-type": "canary"}]"#, "expected a JSON list"),
            (r#"[{"password": "canary"}]"#, "`data.url` is missing"),
            (r#"[{"url": "canary://h"}]"#, "no URL of a repository"),
            ("{\"url\": \"https://h\", \"password\": \"canary", "expected a JSON list"),
        ] {
            let error = credentials(text).find("https://h", "default").await.unwrap_err();
            let told = error.to_string();
            assert!(told.contains(part) && !told.contains("canary") && !error.is_retryable, "{text}: {told}");
        }
        assert!(credentials("{\"url\": \"https://h\"}").find("https://h", "default").await.unwrap().is_some());
    }
}
