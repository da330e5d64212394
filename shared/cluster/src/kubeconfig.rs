//! Reads a kubeconfig without starting any program. For local use only: functions get endpoint and token from
//! elsewhere.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use aws_credential_types::provider::SharedCredentialsProvider;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::{AuthInfo, Cluster, ExecConfig, Kubeconfig};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use slipway_manifest::yaml;

use crate::connect::{Auth, ConnectError, Eks};
use crate::transport::Endpoint;

/// Largest kubeconfig that is read.
const MAX_BYTES: u64 = 16 << 20;

/// Resolves the current context (or `context`) of the kubeconfig in `files` to an endpoint and its credentials.
///
/// A token file is read once.
/// Errors: as of [`load`], an unreadable file that it names, an incomplete context, a user that needs a program other
/// than `aws eks get-token` (whose token is derived from `credentials`, those of [`aws_login`]), an unsupported
/// setting.
pub(crate) fn read(
    files: &[impl AsRef<Path>],
    context: Option<&str>,
    credentials: Option<SharedCredentialsProvider>,
) -> Result<(Endpoint, Option<Auth>), ConnectError> {
    let path = &shown(files);
    let unreadable = |source: BoxError| ConnectError::Kubeconfig { path: path.clone(), source };
    let (server, user, user_name) = in_context(files, context)?;
    let endpoint = endpoint(&server, &user).map_err(unreadable)?;
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
        None => token(user).map_err(unreadable)?.map(Auth::Token),
    };
    Ok((endpoint, auth))
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn exec_error(path: &Path, user: String, program: String) -> ConnectError {
    ConnectError::ExecPlugin { path: path.to_owned(), user, program }
}

/// The files as `KUBECONFIG` has them, for messages.
fn shown(files: &[impl AsRef<Path>]) -> PathBuf {
    let names: Vec<String> = files.iter().map(|file| file.as_ref().display().to_string()).collect();
    names.join(":").into()
}

/// Reads the kubeconfig in `files` as kubectl does (kubernetes/client-go `tools/clientcmd/loader.go`, Load): the first
/// file that has a cluster, user or context of some name has all of it, the first current context counts, relative
/// paths are relative to their own file.
///
/// Errors: a file is unreadable or no kubeconfig; none of them exists. Of several, a missing one is passed over.
pub fn load(files: &[impl AsRef<Path>]) -> Result<Kubeconfig, ConnectError> {
    let mut merged: Option<Kubeconfig> = None;
    for path in files.iter().map(AsRef::as_ref) {
        let one = match parse(path) {
            Ok(one) => one,
            Err(source) => {
                let is_missing =
                    source.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::NotFound);
                if is_missing && files.len() > 1 {
                    continue;
                }
                return Err(ConnectError::Kubeconfig { path: path.to_owned(), source });
            }
        };
        match &mut merged {
            None => merged = Some(one),
            Some(first) => add(first, one),
        }
    }
    let none = || ConnectError::Kubeconfig { path: shown(files), source: "none of the files exists".into() };
    merged.ok_or_else(none)
}

/// Adds to `first` what only `next` has.
fn add(first: &mut Kubeconfig, next: Kubeconfig) {
    for one in next.clusters {
        if first.clusters.iter().all(|known| known.name != one.name) {
            first.clusters.push(one);
        }
    }
    for one in next.auth_infos {
        if first.auth_infos.iter().all(|known| known.name != one.name) {
            first.auth_infos.push(one);
        }
    }
    for one in next.contexts {
        if first.contexts.iter().all(|known| known.name != one.name) {
            first.contexts.push(one);
        }
    }
    let has_current = first.current_context.as_deref().is_some_and(|name| !name.is_empty());
    if !has_current {
        first.current_context = next.current_context;
    }
}

fn parse(path: &Path) -> Result<Kubeconfig, BoxError> {
    let mut text = String::new();
    let length = File::open(path)?.take(MAX_BYTES.saturating_add(1)).read_to_string(&mut text)?;
    if u64::try_from(length)? > MAX_BYTES {
        return Err(format!("it is larger than {MAX_BYTES} bytes").into());
    }
    let mut config = match yaml::parse(&text)? {
        Value::Null => Kubeconfig::default(),
        value => serde_json::from_value(value)?,
    };
    let folder = std::path::absolute(path)?.parent().unwrap_or(Path::new("")).to_owned();
    let in_folder = |file: &mut Option<String>| {
        if let Some(file) = file.as_mut().filter(|file| !file.is_empty()) {
            *file = folder.join(&*file).display().to_string();
        }
    };
    for cluster in config.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
        in_folder(&mut cluster.certificate_authority);
    }
    for user in config.auth_infos.iter_mut().filter_map(|named| named.auth_info.as_mut()) {
        for file in [&mut user.client_certificate, &mut user.client_key, &mut user.token_file] {
            in_folder(file);
        }
    }
    Ok(config)
}

/// Cluster and user of `context`, or of the current one, and the user's name.
fn in_context(files: &[impl AsRef<Path>], context: Option<&str>) -> Result<(Cluster, AuthInfo, String), ConnectError> {
    let config = load(files)?;
    let name = context.or(config.current_context.as_deref()).unwrap_or_default();
    named(&config, name).map_err(|why| ConnectError::Kubeconfig { path: shown(files), source: why.into() })
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

fn endpoint(server: &Cluster, user: &AuthInfo) -> Result<Endpoint, BoxError> {
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
    let certificate = pem(user.client_certificate_data.as_deref(), user.client_certificate.as_deref())?;
    let identity = match (certificate, pem(key, user.client_key.as_deref())?) {
        (Some(certificate), Some(key)) => Some((certificate, key.into())),
        (None, None) => None,
        _ => return Err("a client certificate and its key go together: one of them is missing".into()),
    };
    Ok(Endpoint {
        url: server.server.clone().unwrap_or_default(),
        ca: pem(server.certificate_authority_data.as_deref(), server.certificate_authority.as_deref())?,
        identity,
        server_name: server.tls_server_name.clone(),
    })
}

fn token(user: AuthInfo) -> Result<Option<SecretString>, BoxError> {
    match (user.token, user.token_file) {
        (Some(token), _) => Ok(Some(token)),
        (None, Some(file)) => Ok(Some(String::from_utf8(read_file(&file)?)?.trim().to_owned().into())),
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
pub fn aws_login(files: &[impl AsRef<Path>], context: Option<&str>) -> Result<Option<AwsLogin>, ConnectError> {
    let (_, user, user_name) = in_context(files, context)?;
    let login = user.exec.map(AwsLogin::of).transpose();
    login.map_err(|why| unusable(&shown(files), user_name, why))
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

fn read_file(file: &str) -> Result<Vec<u8>, BoxError> {
    std::fs::read(file).map_err(|error| format!("failed to read {file}: {error}").into())
}

/// PEM from base64 `data`, else from `file`.
fn pem(data: Option<&str>, file: Option<&str>) -> Result<Option<String>, BoxError> {
    let bytes = match (data, file) {
        (Some(data), _) => STANDARD.decode(data)?,
        (None, Some(file)) => read_file(file)?,
        (None, None) => return Ok(None),
    };
    Ok(Some(String::from_utf8(bytes)?))
}
