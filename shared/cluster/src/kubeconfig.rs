//! Reads a kubeconfig without starting any program. For local use only: functions get endpoint and token from
//! elsewhere.

use std::path::{Path, PathBuf};

use aws_credential_types::provider::SharedCredentialsProvider;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::{AuthInfo, Cluster, ExecConfig, Kubeconfig};
use secrecy::{ExposeSecret, SecretString};
use slipway_manifest::yaml;

use crate::connect::{Auth, ConnectError, Eks};
use crate::transport::Endpoint;

/// Resolves the current context (or `context`) of the kubeconfig at `path` to an endpoint and its credentials.
///
/// Relative paths are relative to the file, as in kubectl. A token file is read once.
/// Errors: an unreadable file or one that it names, an incomplete context, a user that needs a program other than `aws
/// eks get-token` (whose token is derived from `credentials`, those of [`aws_login`]), an unsupported setting.
pub(crate) fn read(
    path: &Path,
    context: Option<&str>,
    credentials: Option<SharedCredentialsProvider>,
) -> Result<(Endpoint, Option<Auth>), ConnectError> {
    let unreadable = |source: BoxError| ConnectError::Kubeconfig { path: path.to_owned(), source };
    let (server, user, user_name) = in_context(path, context).map_err(unreadable)?;
    let files = Files(path.parent().unwrap_or(Path::new("")));
    let endpoint = endpoint(&server, &user, &files).map_err(unreadable)?;
    if let Some(provider) = &user.auth_provider {
        return Err(exec_error(path, user_name, provider.name.clone()));
    }
    let auth = match user.exec {
        Some(exec) => {
            let AwsLogin { cluster, region, .. } =
                AwsLogin::of(exec).map_err(|why| unusable(path, user_name.clone(), why))?;
            let none = || unusable(path, user_name, Unusable::Given("no credentials of AWS".to_owned()));
            Some(Auth::Eks(Eks { region, cluster, credentials: credentials.ok_or_else(none)? }))
        }
        None => token(user, &files).map_err(unreadable)?.map(Auth::Token),
    };
    Ok((endpoint, auth))
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn exec_error(path: &Path, user: String, program: String) -> ConnectError {
    ConnectError::ExecPlugin { path: path.to_owned(), user, program }
}

fn parse(text: &[u8]) -> Result<Kubeconfig, BoxError> {
    Ok(serde_json::from_value(yaml::parse(std::str::from_utf8(text)?)?)?)
}

/// Cluster and user of `context`, or of the current one, and the user's name.
fn in_context(path: &Path, context: Option<&str>) -> Result<(Cluster, AuthInfo, String), BoxError> {
    let config = parse(&std::fs::read(path)?)?;
    let name = context.or(config.current_context.as_deref()).unwrap_or_default();
    Ok(named(&config, name)?)
}

/// Cluster and user of the context `name`, and the user's name.
fn named(config: &Kubeconfig, name: &str) -> Result<(Cluster, AuthInfo, String), String> {
    let context = config.contexts.iter().find(|named| named.name == name).and_then(|named| named.context.clone());
    let context = context.ok_or_else(|| format!("there is no context `{name}`"))?;
    let cluster = config.clusters.iter().find(|named| named.name == context.cluster);
    let cluster = cluster
        .and_then(|named| named.cluster.clone())
        .ok_or_else(|| format!("there is no cluster `{}`, which context `{name}` names", context.cluster))?;
    let user_name = context.user.unwrap_or_default();
    let user = config.auth_infos.iter().find(|named| named.name == user_name);
    let user = user.and_then(|named| named.auth_info.clone()).unwrap_or_default();
    Ok((cluster, user, user_name))
}

fn endpoint(server: &Cluster, user: &AuthInfo, files: &Files<'_>) -> Result<Endpoint, BoxError> {
    let unsupported = [
        ("insecure-skip-tls-verify", server.insecure_skip_tls_verify == Some(true)),
        ("proxy-url", server.proxy_url.is_some()),
        ("username", user.username.is_some()),
        ("as", user.impersonate.is_some()),
    ];
    if let Some((field, _)) = unsupported.into_iter().find(|(_, is_set)| *is_set) {
        return Err(format!("`{field}` is not supported").into());
    }
    let key = user.client_key_data.as_ref().map(ExposeSecret::expose_secret);
    let certificate = files.pem(user.client_certificate_data.as_deref(), user.client_certificate.as_deref())?;
    let identity = match (certificate, files.pem(key, user.client_key.as_deref())?) {
        (Some(certificate), Some(key)) => Some((certificate, key.into())),
        (None, None) => None,
        _ => return Err("a client certificate and its key go together: one of them is missing".into()),
    };
    Ok(Endpoint {
        url: server.server.clone().unwrap_or_default(),
        ca: files.pem(server.certificate_authority_data.as_deref(), server.certificate_authority.as_deref())?,
        identity,
        server_name: server.tls_server_name.clone(),
    })
}

fn token(user: AuthInfo, files: &Files<'_>) -> Result<Option<SecretString>, BoxError> {
    match (user.token, user.token_file) {
        (Some(token), _) => Ok(Some(token)),
        (None, Some(file)) => Ok(Some(String::from_utf8(files.read(&file)?)?.trim().to_owned().into())),
        (None, None) => Ok(None),
    }
}

/// What a kubeconfig gives `aws eks get-token`, as `aws eks update-kubeconfig` writes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AwsLogin {
    /// The cluster that the token is for.
    pub cluster: String,
    /// Its region.
    pub region: String,
    /// `--profile`: whose credentials are taken, whatever the environment has.
    pub profile: Option<String>,
    /// `AWS_PROFILE`: whose credentials are taken where the environment has none.
    pub default_profile: Option<String>,
    /// The role that is assumed with them.
    pub role_arn: Option<String>,
}

/// Why a program can't be replaced.
enum Unusable {
    /// It is another one.
    Program(String),
    /// It is given something that is not obeyed.
    Given(String),
}

/// Returns what the user of a context, the current one or `context`, gives `aws eks get-token`; `None` where the user
/// needs no such token. Errors as of [`read`].
pub fn aws_login(path: &Path, context: Option<&str>) -> Result<Option<AwsLogin>, ConnectError> {
    let unreadable = |source: BoxError| ConnectError::Kubeconfig { path: path.to_owned(), source };
    let (_, user, user_name) = in_context(path, context).map_err(unreadable)?;
    let login = user.exec.map(AwsLogin::of).transpose();
    login.map_err(|why| unusable(path, user_name, why))
}

fn unusable(path: &Path, user: String, why: Unusable) -> ConnectError {
    match why {
        Unusable::Program(program) => exec_error(path, user, program),
        Unusable::Given(what) => ConnectError::ExecArgument { path: path.to_owned(), user, what },
    }
}

impl AwsLogin {
    fn of(exec: ExecConfig) -> Result<Self, Unusable> {
        let program = exec.command.unwrap_or_default();
        let args = exec.args.unwrap_or_default();
        let is_eks = (program == "aws" || program.ends_with("/aws")) && args.iter().any(|arg| arg == "get-token");
        if !is_eks {
            return Err(Unusable::Program(format!("{program} {}", args.join(" ")).trim().to_owned()));
        }
        let mut login = Self::default();
        let mut args = args.into_iter().filter(|arg| arg != "eks" && arg != "get-token");
        while let Some(arg) = args.next() {
            let (flag, value) = match arg.split_once('=') {
                Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
                None => (arg, None),
            };
            let slot = match flag.as_str() {
                "--cluster-name" => &mut login.cluster,
                "--region" => &mut login.region,
                "--profile" => login.profile.get_or_insert_default(),
                // What the command line takes for the former, and what `update-kubeconfig` writes.
                "--role-arn" | "--role" => login.role_arn.get_or_insert_default(),
                "--output" => &mut String::new(),
                _ => return Err(Unusable::Given(format!("`{flag}`"))),
            };
            *slot =
                value.or_else(|| args.next()).ok_or_else(|| Unusable::Given(format!("`{flag}` without a value")))?;
        }
        for variable in exec.env.unwrap_or_default() {
            let (name, value) = (variable.get("name"), variable.get("value").cloned().unwrap_or_default());
            match name.map(String::as_str).unwrap_or_default() {
                "AWS_PROFILE" => login.default_profile = Some(value),
                "AWS_REGION" | "AWS_DEFAULT_REGION" if login.region.is_empty() => login.region = value,
                // Which endpoint of STS signs makes no difference to EKS.
                "AWS_REGION" | "AWS_DEFAULT_REGION" | "AWS_STS_REGIONAL_ENDPOINTS" => {}
                other => return Err(Unusable::Given(format!("the variable `{other}`"))),
            }
        }
        for (flag, value) in [("--cluster-name", &login.cluster), ("--region", &login.region)] {
            if value.is_empty() {
                return Err(Unusable::Given(format!("no `{flag}`")));
            }
        }
        Ok(login)
    }
}

/// The folder of the kubeconfig, for its relative paths.
struct Files<'a>(&'a Path);

impl Files<'_> {
    fn read(&self, file: &str) -> Result<Vec<u8>, BoxError> {
        let path: PathBuf = self.0.join(file);
        std::fs::read(&path).map_err(|error| format!("failed to read {}: {error}", path.display()).into())
    }

    /// PEM from base64 `data`, else from `file`.
    fn pem(&self, data: Option<&str>, file: Option<&str>) -> Result<Option<String>, BoxError> {
        let bytes = match (data, file) {
            (Some(data), _) => STANDARD.decode(data)?,
            (None, Some(file)) => self.read(file)?,
            (None, None) => return Ok(None),
        };
        Ok(Some(String::from_utf8(bytes)?))
    }
}
