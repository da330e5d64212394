//! The order in which kinds are applied (argoproj/argo-cd `gitops-engine/pkg/sync/sync_tasks.go`).

/// Kinds in the order of their application; a kind that is not listed comes after all of these.
const ORDER: [&str; 35] = [
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
];

/// The place of `kind` in the order of application: lower is applied first. The group does not matter.
pub fn rank(kind: &str) -> usize {
    ORDER.iter().position(|known| *known == kind).unwrap_or(ORDER.len())
}

#[cfg(test)]
mod tests {
    use super::rank;

    #[test]
    fn unlisted_kinds_come_last() {
        assert_eq!(rank("Namespace"), 0);
        assert!(rank("Service") < rank("Deployment"));
        assert!(rank("Deployment") < rank("Ingress"));
        assert!(rank("APIService") < rank("Rollout"));
    }
}
