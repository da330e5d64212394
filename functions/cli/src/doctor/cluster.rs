//! Checks the cluster: as EKS describes it, who has access, and what this login may do in it.

use serde_json::Value;
use slipway::aws::Aws;
use slipway::config;
use slipway_cluster::Cluster;
use slipway_cluster::access::Permission;

use super::finding::Finding;
use super::stack::Installation;
use crate::aws::{self, escaped, text};

/// Both roles that use the cluster: outputs of the template.
const ROLES: [&str; 2] = ["SyncWorkerRole", "DriftCheckRole"];
/// The policy that the template associates.
const ADMIN: &str = "AmazonEKSClusterAdminPolicy";
/// What Slipway can't do without, whatever is deployed: its own records and Leases, and namespaces that are asked for.
const OWN: [(&str, &str, &str, &str); 6] = [
    ("create", "", "namespaces", ""),
    ("get", "", "configmaps", "slipway"),
    ("create", "", "configmaps", "slipway"),
    ("update", "", "configmaps", "slipway"),
    ("create", "coordination.k8s.io", "leases", "slipway"),
    ("update", "coordination.k8s.io", "leases", "slipway"),
];

/// Checks what EKS says of the cluster, and the access of both roles.
pub(super) async fn eks(aws: &Aws, installation: &Installation, connected: Option<&Cluster>) -> Vec<Finding> {
    let Some(name) = installation.get("ClusterName") else { return Vec::new() };
    let path = format!("/clusters/{}", escaped(name));
    let cluster = match aws::json(aws, "eks", &path).await {
        Ok(found) => found.get("cluster").cloned().unwrap_or_default(),
        Err(error) if error.is_not_found() => {
            let why = format!("there is no EKS cluster `{name}` in this account and region");
            return vec![Finding::fail("cluster", why, "aws eks list-clusters")];
        }
        Err(error) => {
            let remedy = format!("aws eks describe-cluster --name {name}");
            return vec![Finding::warn("cluster", format!("not checked: {error}"), remedy)];
        }
    };
    let at = |pointer: &str| cluster.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let mode = at("/accessConfig/authenticationMode");
    let mut findings = Vec::new();
    findings.push(match at("/status") {
        "ACTIVE" | "UPDATING" => Finding::ok("cluster", format!("{name} is there, authentication mode {mode}")),
        status => {
            Finding::fail("cluster", format!("{name} is {status}"), format!("aws eks describe-cluster --name {name}"))
        }
    });
    let is_private = cluster.pointer("/resourcesVpcConfig/endpointPublicAccess") == Some(&Value::Bool(false));
    if is_private && installation.get("VpcSubnetIds").is_none() {
        findings.push(Finding::fail(
            "endpoint",
            "it is private, and the functions are in no VPC",
            "sam deploy --parameter-overrides VpcSubnetIds=subnet-… VpcSecurityGroupIds=sg-…",
        ));
    }
    for role in ROLES {
        // An output has the ARN, the resource its name.
        let Some(arn) = installation.get(role).filter(|arn| arn.starts_with("arn:")) else { continue };
        findings.push(match mode {
            "CONFIG_MAP" if installation.get("AccessEntries") != Some("false") => Finding::fail(
                "access",
                format!("{role} has none: {name} knows no access entries (mode CONFIG_MAP)"),
                format!(
                    "aws eks update-cluster-config --name {name} --access-config \
                     authenticationMode=API_AND_CONFIG_MAP, or AccessEntries=false and aws-auth"
                ),
            ),
            "CONFIG_MAP" => mapped(role, arn, connected).await,
            _ => entry(aws, (name, &path), role, arn).await,
        });
    }
    findings
}

/// Looks for the role in the ConfigMap `aws-auth`.
async fn mapped(role: &str, arn: &str, connected: Option<&Cluster>) -> Finding {
    let edit = format!("kubectl -n kube-system edit configmap aws-auth: map {arn} to system:masters");
    let Some(cluster) = connected else {
        return Finding::warn("access", format!("that of {role} is not checked: the cluster is not reached"), edit);
    };
    match cluster.mapped_roles().await {
        Ok(roles) if roles.contains(arn) => Finding::ok("access", format!("{role} is in aws-auth")),
        Ok(_) => Finding::fail("access", format!("{role} is not in aws-auth"), edit),
        Err(error) => Finding::warn("access", format!("that of {role} is not checked: {error}"), edit),
    }
}

async fn entry(aws: &Aws, (name, path): (&str, &str), role: &str, arn: &str) -> Finding {
    let associate = format!(
        "aws eks associate-access-policy --cluster-name {name} --principal-arn {arn} --access-scope type=cluster \
         --policy-arn arn:aws:eks::aws:cluster-access-policy/{ADMIN}"
    );
    let entry = format!("{path}/access-entries/{}", escaped(arn));
    let found = match aws::json(aws, "eks", &entry).await {
        Ok(found) => found,
        Err(error) if error.is_not_found() => {
            let create = format!("aws eks create-access-entry --cluster-name {name} --principal-arn {arn}");
            return Finding::fail("access", format!("{role} has no access entry"), format!("{create} && {associate}"));
        }
        Err(error) => return Finding::warn("access", format!("that of {role} is not checked: {error}"), associate),
    };
    let policies = aws::json(aws, "eks", &format!("{entry}/access-policies")).await.unwrap_or_default();
    let policies = policies.get("associatedAccessPolicies").and_then(Value::as_array).cloned().unwrap_or_default();
    let is_admin = policies.iter().any(|one| {
        let scope = one.pointer("/accessScope/type").and_then(Value::as_str);
        text(one, "policyArn").ends_with(&format!("/{ADMIN}")) && scope == Some("cluster")
    });
    if is_admin {
        return Finding::ok("access", format!("{role} is the cluster's administrator"));
    }
    let names: Vec<String> = policies.iter().map(|one| text(one, "policyArn")).collect();
    let names = names.iter().filter_map(|arn| arn.rsplit('/').next());
    let groups = found.pointer("/accessEntry/kubernetesGroups").and_then(Value::as_array).into_iter().flatten();
    let given: Vec<&str> = names.chain(groups.filter_map(Value::as_str)).collect();
    if given.is_empty() {
        return Finding::fail("access", format!("{role} has an access entry that allows nothing"), associate);
    }
    let why = format!("{role} is no administrator ({}): what it may not, it can't deploy", given.join(", "));
    Finding::warn("access", why, associate)
}

/// Checks that the cluster answers, and what this login may do in it.
pub(super) async fn rights(cluster: &Cluster, settings: &config::Cluster) -> Vec<Finding> {
    let update = match settings {
        config::Cluster::Eks { name, .. } => format!("aws eks update-kubeconfig --name {name}"),
        config::Cluster::Kubeconfig { files, .. } => {
            let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
            format!("KUBECONFIG={} kubectl get namespaces", names.join(":"))
        }
    };
    let user = match cluster.username().await {
        Ok(user) => user,
        Err(error) => return vec![Finding::fail("API server", format!("it does not answer: {error}"), update)],
    };
    let all = Permission { verb: "*", group: "*", resource: "*", namespace: "" };
    let reached = Finding::ok("API server", format!("it answers {user}"));
    match cluster.may(all).await {
        Ok(true) => return vec![reached, Finding::ok("rights", format!("{user} may do everything"))],
        Ok(false) => {}
        Err(error) => {
            return vec![
                reached,
                Finding::warn("rights", format!("not checked: {error}"), "kubectl auth can-i --list"),
            ];
        }
    }
    let mut missing = Vec::new();
    for (verb, group, resource, namespace) in OWN {
        if !cluster.may(Permission { verb, group, resource, namespace }).await.unwrap_or_default() {
            missing.push(format!("{verb} {resource}"));
        }
    }
    let list = format!("kubectl auth can-i --list --namespace slipway, as {user}");
    let finding = if missing.is_empty() {
        Finding::warn("rights", format!("{user} may not do everything: what it may not, it can't deploy"), list)
    } else {
        Finding::fail("rights", format!("{user} may not {}, which Slipway needs", missing.join(", ")), list)
    };
    vec![reached, finding]
}
