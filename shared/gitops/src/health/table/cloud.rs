//! Judges what stands for something at a cloud, and the clusters and nodes themselves.

use super::Health::{Degraded, Healthy, Progressing, Suspended, Unknown};
use super::{
    All, Always, Any, Because, Each, Either, Equals, Filled, Has, If, Is, Not, OBSERVED, OUTDATED, OneOf, READY, Row,
    Rule, Same, Test, When,
};

pub(super) const ROWS: &[Row] = &[
    // AWS Controllers for Kubernetes.
    (
        "*.services.k8s.aws/*",
        &[
            Each(
                "conditions",
                &[
                    (When("ACK.Terminal", "True"), Degraded),
                    (When("Ready", "False"), Progressing),
                    (When("Ready", "True"), Healthy),
                ],
            ),
            // Controllers of before the condition Ready.
            If(All(&[Is("ACK.ResourceSynced", "True"), Not(&Any("conditions", &Equals("type", "Ready")))]), Healthy),
        ],
    ),
    // Google's Config Connector.
    (
        "*.cnrm.cloud.google.com/ConfigConnector|ConfigConnectorContext",
        &[If(Not(&CNRM_OBSERVED), Progressing), CNRM_HEALTHY, CNRM_UNHEALTHY, CNRM_CONDITIONS],
    ),
    (
        "customize.core.cnrm.cloud.google.com/*",
        &[
            // Customizations leave zero in a generation that they do not count.
            If(Not(&Either(&[CNRM_OBSERVED, Equals("observedGeneration", "0")])), Progressing),
            CNRM_HEALTHY,
            CNRM_UNHEALTHY,
            CNRM_CONDITIONS,
        ],
    ),
    ("*.cnrm.cloud.google.com/*", &[If(Not(&CNRM_OBSERVED), Progressing), CNRM_CONDITIONS]),
    // Crossplane: its packages, its providers' managed resources, and what is composed of them.
    (
        "pkg.crossplane.io/Provider",
        &[
            If(All(&[Is("Installed", "True"), Is("Healthy", "True")]), Healthy),
            If(Any("conditions", &All(&[OneOf("type", &["Installed", "Healthy"]), Has("reason")])), Degraded),
        ],
    ),
    (
        "stacks.crossplane.io/ClusterStackInstall",
        &[If(Any("conditionedStatus/conditions", &When("Ready", "True")), Healthy)],
    ),
    ("cloudfront.aws.crossplane.io/Distribution", CROSSPLANE_AWS),
    ("iam.aws.crossplane.io/Policy|Role|RolePolicyAttachment", CROSSPLANE_AWS),
    ("rds.aws.crossplane.io/DBCluster|DBInstance", CROSSPLANE_AWS),
    ("route53.aws.crossplane.io/ResourceRecordSet", CROSSPLANE_AWS),
    ("s3.aws.crossplane.io/Bucket", CROSSPLANE_AWS),
    (
        "*.crossplane.io/*",
        &[
            If(
                All(&[
                    Not(&Filled("conditions")),
                    OneOf(
                        "/kind",
                        &[
                            "Composition",
                            "CompositionRevision",
                            "DeploymentRuntimeConfig",
                            "EnvironmentConfig",
                            "ImageConfig",
                            "ProviderConfig",
                            "ProviderConfigUsage",
                            "ControllerConfig",
                            "StoreConfig",
                            "ClusterProviderConfig",
                            "ClusterProviderConfigUsage",
                        ],
                    ),
                ]),
                Healthy,
            ),
            CROSSPLANE_FAILURES,
            Each(
                "conditions",
                &[
                    (When("Ready", "True"), Healthy),
                    (When("Healthy", "True"), Healthy),
                    (When("Offered", "True"), Healthy),
                    (When("Established", "True"), Healthy),
                    (When("ValidPipeline", "True"), Healthy),
                    (When("RevisionHealthy", "True"), Healthy),
                ],
            ),
            If(
                All(&[Because("Established", "InactiveManagedResource"), Not(&Equals("/spec/state", "Active"))]),
                Healthy,
            ),
        ],
    ),
    (
        "*.upbound.io/*",
        &[
            If(
                All(&[
                    Not(&Filled("conditions")),
                    OneOf(
                        "/kind",
                        &[
                            "ProviderConfig",
                            "ProviderConfigUsage",
                            "StoreConfig",
                            "ClusterProviderConfig",
                            "ClusterProviderConfigUsage",
                        ],
                    ),
                ]),
                Healthy,
            ),
            CROSSPLANE_FAILURES,
            If(Is("Ready", "True"), Healthy),
        ],
    ),
    // Cluster API.
    (
        "cluster.x-k8s.io/Cluster",
        &[
            If(Filled("/spec/paused"), Suspended),
            If(Any("conditions", &All(&[When("Ready", "False"), Not(&Equals("severity", "Info"))])), Degraded),
            If(Equals("phase", "Provisioned"), Healthy),
            If(Equals("phase", "Failed"), Degraded),
        ],
    ),
    ("cluster.x-k8s.io/Machine", &[If(Equals("phase", "Running"), Healthy), If(Equals("phase", "Failed"), Degraded)]),
    (
        "cluster.x-k8s.io/MachineDeployment",
        &[
            If(Filled("/spec/paused"), Suspended),
            If(Equals("phase", "Running"), Healthy),
            If(Equals("phase", "Failed"), Degraded),
        ],
    ),
    (
        "cluster.x-k8s.io/MachineHealthCheck",
        &[
            If(Not(&Has("currentHealthy")), Progressing),
            If(Same("expectedMachines", "currentHealthy"), Healthy),
            If(Always, Degraded),
        ],
    ),
    (
        "cluster.x-k8s.io/MachinePool",
        &[If(OneOf("phase", &["Running", "Scaling"]), Healthy), If(OneOf("phase", &["Failed", "Unknown"]), Degraded)],
    ),
    (
        "controlplane.cluster.x-k8s.io/AWSManagedControlPlane",
        &[
            If(Is("Ready", "True"), Healthy),
            If(Any("conditions", &All(&[Equals("status", "False"), Equals("severity", "Error")])), Degraded),
        ],
    ),
    (
        "addons.cluster.x-k8s.io/ClusterResourceSet",
        &[Each(
            "conditions",
            &[(When("ResourcesApplied", "True"), Healthy), (When("ResourcesApplied", "False"), Degraded)],
        )],
    ),
    // Karpenter.
    ("karpenter.k8s.aws/EC2NodeClass", READY),
    ("karpenter.sh/NodePool", READY),
    (
        "karpenter.sh/NodeClaim",
        &[
            If(OUTDATED, Progressing),
            If(Is("Disrupting", "True"), Suspended),
            Each("conditions", &[(When("Ready", "True"), Healthy), (When("Ready", "False"), Degraded)]),
        ],
    ),
    (
        "core.gardener.cloud/Shoot",
        &[
            If(Equals("/metadata/labels/shoot.gardener.cloud~1status", "healthy"), Healthy),
            If(Equals("/metadata/labels/shoot.gardener.cloud~1status", "unhealthy"), Degraded),
            If(Equals("/metadata/labels/shoot.gardener.cloud~1status", "unknown"), Unknown),
        ],
    ),
    (
        "iammanager.keikoproj.io/Iamrole",
        &[
            If(Equals("state", "Ready"), Healthy),
            If(
                OneOf("state", &["Error", "RolesMaxLimitReached", "PolicyNotAllowed", "RoleNameNotAvailable"]),
                Degraded,
            ),
        ],
    ),
    (
        "networking.gke.io/ManagedCertificate",
        &[
            If(Any("domainStatus", &Equals("status", "FailedNotVisible")), Degraded),
            If(Equals("certificateStatus", "Active"), Healthy),
        ],
    ),
    // Pulumi's operator.
    (
        "pulumi.com/Stack",
        &[Each(
            "conditions",
            &[
                (When("Stalled", "True"), Degraded),
                (When("Reconciling", "True"), Progressing),
                (When("Ready", "True"), Healthy),
            ],
        )],
    ),
];

const CNRM_OBSERVED: Test = Either(&[Not(&Has("observedGeneration")), OBSERVED]);

const CNRM_CONDITIONS: Rule = Each(
    "conditions",
    &[
        (All(&[Equals("reason", "UpToDate"), Equals("status", "True")]), Healthy),
        (OneOf("reason", &["UpdateFailed", "DependencyNotFound"]), Degraded),
        (Equals("reason", "DependencyNotReady"), Suspended),
    ],
);

const CNRM_HEALTHY: Rule = If(Equals("healthy", "true"), Healthy);

const CNRM_UNHEALTHY: Rule = If(Has("healthy"), Degraded);

const CROSSPLANE_FAILURES: Rule =
    Each("conditions", &[(When("Synced", "False"), Degraded), (When("LastAsyncOperation", "False"), Degraded)]);

/// Resources of Crossplane's classic AWS provider.
const CROSSPLANE_AWS: &[Rule] = &[
    If(Not(&Has("conditions")), Progressing),
    If(All(&[Is("Ready", "True"), Is("Synced", "True")]), Healthy),
    If(All(&[Not(&Is("Synced", "True")), Because("Synced", "ReconcilePaused")]), Suspended),
    If(All(&[Is("Synced", "True"), Not(&Because("Synced", "ReconcilePaused"))]), Progressing),
    If(Always, Degraded),
];
