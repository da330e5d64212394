//! Finds out what AWS, the kubeconfig and the folder know already.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::Value;
use slipway::aws::Aws;
use slipway::config;
use slipway::source::RepoUrl;
use slipway_cluster::kubeconfig::aws_login;

use crate::app::connect;
use crate::aws::{self, AskError, escaped};
use crate::root::check;
use crate::root::local;

/// Clusters that are described: more would only be a longer list to choose from.
const CLUSTERS: usize = 20;

/// An EKS cluster.
pub(super) struct Eks {
    pub(super) name: String,
    /// `API`, `API_AND_CONFIG_MAP` or `CONFIG_MAP`.
    pub(super) mode: String,
    pub(super) is_private: bool,
    pub(super) subnets: Vec<String>,
    pub(super) security_group: String,
}

/// Account and region of the environment's login. Errors: there is none.
pub(crate) async fn account(aws: &Aws) -> anyhow::Result<(String, String)> {
    let region = aws.config().await.region().map(ToString::to_string);
    let region = region.context("no AWS region is known: set AWS_REGION, or region in the profile")?;
    let caller = aws::query(aws, aws::STS, "GetCallerIdentity", &[]).await;
    let (caller, _) = caller.context("AWS does not know this login: see `aws sts get-caller-identity`")?;
    Ok((text(&caller, "/Account"), region))
}

/// The clusters of account and region, as far as they may be described.
pub(super) async fn clusters(aws: &Aws) -> Result<Vec<Eks>, AskError> {
    let listed = aws::json(aws, "eks", "/clusters?maxResults=100").await?;
    let names = listed.get("clusters").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let mut clusters = Vec::new();
    for name in names.take(CLUSTERS) {
        clusters.push(cluster(aws, name).await?);
    }
    Ok(clusters)
}

/// One cluster.
pub(super) async fn cluster(aws: &Aws, name: &str) -> Result<Eks, AskError> {
    let found = aws::json(aws, "eks", &format!("/clusters/{}", escaped(name))).await?;
    let vpc = "/cluster/resourcesVpcConfig";
    let subnets = found.pointer(&format!("{vpc}/subnetIds")).and_then(Value::as_array).into_iter().flatten();
    let mode = text(&found, "/cluster/accessConfig/authenticationMode");
    Ok(Eks {
        name: name.to_owned(),
        // Clusters of the time before access entries say nothing.
        mode: if mode.is_empty() { "CONFIG_MAP".to_owned() } else { mode },
        is_private: found.pointer(&format!("{vpc}/endpointPublicAccess")) == Some(&Value::Bool(false)),
        subnets: subnets.filter_map(Value::as_str).map(str::to_owned).collect(),
        security_group: text(&found, &format!("{vpc}/clusterSecurityGroupId")),
    })
}

/// The EKS cluster of the kubeconfig's current context.
pub(super) fn current_cluster() -> Option<String> {
    let Ok(config::Cluster::Kubeconfig { files, context }) = connect::settings(&crate::app::ClusterFlags::default())
    else {
        return None;
    };
    Some(aws_login(&files, context.as_deref()).ok()??.cluster)
}

/// The names of the registry's repositories, a page of them.
pub(super) async fn repositories(aws: &Aws) -> Vec<String> {
    let listed = aws.ecr().await.describe_repositories().send().await;
    let listed = listed.ok().and_then(|page| page.repositories).unwrap_or_default();
    listed.into_iter().filter_map(|one| one.repository_name).collect()
}

/// Whether the account has room for `reserved` executions of Lambda functions: a hundred always stay free for all.
pub(super) async fn has_room(aws: &Aws, reserved: u64) -> bool {
    let Ok(found) = aws::json(aws, "lambda", "/2016-08-19/account-settings/").await else { return true };
    let free = found.pointer("/AccountLimit/UnreservedConcurrentExecutions").and_then(Value::as_u64);
    free.is_none_or(|free| free >= reserved.saturating_add(100))
}

/// Whether Secrets Manager has the secret `name`.
pub(super) async fn has_secret(aws: &Aws, name: &str) -> bool {
    aws.secrets_manager().await.describe_secret().secret_id(name).send().await.is_ok()
}

/// The root that `folder`, a checkout, suggests: its repository, its branch, and the folder in which the most
/// Applications are; and how many those are in all.
pub(super) async fn root(folder: &Path) -> Option<(String, usize)> {
    let url: RepoUrl = local::remotes(folder).into_iter().next()?;
    let head = std::fs::read_to_string(local::git_folder(folder)?.join("HEAD")).ok()?;
    let branch = head.trim().strip_prefix("ref: refs/heads/").unwrap_or("HEAD");
    let options = config::tree_options(config::environment).ok()?;
    let arguments = check::Arguments::reading(Vec::new(), Some(folder.to_owned()), true);
    let report = Box::pin(check::check(&arguments, &options, &mut None)).await.ok()?;
    let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
    for one in &report.applications {
        let path = one.declared.path.as_str();
        let folder = if one.declared.is_file { path.rsplit_once('/').map_or("", |(folder, _)| folder) } else { path };
        *folders.entry(folder).or_default() += 1;
    }
    let (path, _) = folders.into_iter().max_by_key(|(_, count)| *count)?;
    Some((format!("{url}//{path}?ref={branch}"), report.applications.len()))
}

/// Stores `text` as the secret `name`, new or in the place of what it was.
pub(super) async fn store(aws: &Aws, name: &str, text: String) -> anyhow::Result<()> {
    let client = aws.secrets_manager().await;
    let created = client.create_secret().name(name).secret_string(&text).send().await;
    let Err(error) = created else { return Ok(()) };
    let code = slipway::aws::error_code(&error);
    if code != "ResourceExistsException" {
        bail!("failed to create secret {name} ({code})");
    }
    let put = client.put_secret_value().secret_id(name).secret_string(text).send().await;
    put.map(drop).with_context(|| format!("failed to change secret {name}"))
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}
