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
/// eks get-token` (whose token is derived from `credentials`), an unsupported setting.
pub(crate) fn read(
    path: &Path,
    context: Option<&str>,
    credentials: Option<SharedCredentialsProvider>,
) -> Result<(Endpoint, Option<Auth>), ConnectError> {
    let unreadable = |source: BoxError| ConnectError::Kubeconfig { path: path.to_owned(), source };
    let text = std::fs::read(path).map_err(|error| unreadable(error.into()))?;
    let config = parse(&text).map_err(unreadable)?;
    let name = context.or(config.current_context.as_deref()).unwrap_or_default();
    let (server, user, user_name) = named(&config, name).map_err(|what| unreadable(what.into()))?;
    let files = Files(path.parent().unwrap_or(Path::new("")));
    let endpoint = endpoint(&server, &user, &files).map_err(unreadable)?;
    if let Some(provider) = &user.auth_provider {
        return Err(exec_error(path, user_name, provider.name.clone()));
    }
    let auth = match user.exec {
        Some(exec) => Some(eks(exec, credentials).map_err(|program| exec_error(path, user_name, program))?),
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

/// Replaces `aws eks get-token` by the token that it would print; any other program is an error.
fn eks(exec: ExecConfig, credentials: Option<SharedCredentialsProvider>) -> Result<Auth, String> {
    let program = exec.command.unwrap_or_default();
    let args = exec.args.unwrap_or_default();
    let value = |flag: &str| {
        let next = args.iter().position(|arg| arg == flag).and_then(|at| args.get(at + 1));
        next.cloned().or_else(|| args.iter().find_map(|arg| arg.strip_prefix(&format!("{flag}=")).map(str::to_owned)))
    };
    let is_eks = (program == "aws" || program.ends_with("/aws")) && args.iter().any(|arg| arg == "get-token");
    match (is_eks && value("--role-arn").is_none(), value("--cluster-name"), value("--region"), credentials) {
        (true, Some(cluster), Some(region), Some(credentials)) => Ok(Auth::Eks(Eks { region, cluster, credentials })),
        _ => Err(format!("{program} {}", args.join(" ")).trim().to_owned()),
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
