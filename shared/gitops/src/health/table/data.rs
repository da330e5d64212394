//! Judges what keeps data: databases, queues, search, volumes and their backups.

use super::Health::{Degraded, Healthy, Progressing, Suspended, Unknown};
use super::{
    All, Always, Any, Below, Each, Either, Equals, Filled, Has, If, Is, Not, OneOf, READY, Row, Rule, Same, Test, When,
};

pub(super) const ROWS: &[Row] = &[
    // Databases.
    (
        "acid.zalan.do/postgresql",
        &[
            If(Equals("PostgresClusterStatus", "Running"), Healthy),
            If(OneOf("PostgresClusterStatus", &["Creating", "Updating"]), Progressing),
            If(Has("PostgresClusterStatus"), Degraded),
        ],
    ),
    (
        "postgresql.cnpg.io/Cluster",
        &[
            If(Equals("/metadata/annotations/cnpg.io~1reconciliationLoop", "disabled"), Suspended),
            Each(
                "conditions",
                &[(When("cnpg.io/hibernation", "True"), Suspended), (Equals("type", "cnpg.io/hibernation"), Degraded)],
            ),
            If(Not(&Has("conditions")), Progressing),
            If(Equals("phase", "Cluster in healthy state"), Healthy),
            If(
                OneOf(
                    "phase",
                    &[
                        "Setting up primary",
                        "Creating a new replica",
                        "Upgrading cluster",
                        "Waiting for the instances to become active",
                        "Promoting to primary cluster",
                    ],
                ),
                Progressing,
            ),
            // It runs with less than it should, or waits for a person.
            If(
                OneOf(
                    "phase",
                    &[
                        "Switchover in progress",
                        "Failing over",
                        "Upgrading Postgres major version",
                        "Cluster upgrade delayed",
                        "Waiting for user action",
                        "Primary instance is being restarted in-place",
                        "Primary instance is being restarted without a switchover",
                        "Cluster cannot execute instance online upgrade due to missing architecture binary",
                        "Online upgrade in progress",
                        "Applying configuration",
                    ],
                ),
                Degraded,
            ),
            If(
                OneOf(
                    "phase",
                    &[
                        "Unable to create required cluster objects",
                        "Cluster cannot proceed to reconciliation due to an unknown plugin being required",
                        "Cluster has incomplete or invalid image catalog",
                        "Cluster is unrecoverable and needs manual intervention",
                    ],
                ),
                Suspended,
            ),
            If(Always, Unknown),
        ],
    ),
    (
        "psmdb.percona.com/PerconaServerMongoDB",
        &[
            If(Equals("state", "ready"), Healthy),
            If(OneOf("state", &["initializing", "stopping"]), Progressing),
            If(Equals("state", "error"), Degraded),
            If(Equals("state", "paused"), Suspended),
            If(Always, Unknown),
        ],
    ),
    (
        "pxc.percona.com/PerconaXtraDBCluster",
        &[
            If(Equals("state", "ready"), Healthy),
            If(Equals("state", "initializing"), Progressing),
            If(OneOf("state", &["error", "stopping"]), Degraded),
            If(Always, Unknown),
        ],
    ),
    ("k8s.mariadb.com/MariaDB", MARIADB),
    ("mariadb.mmontes.io/MariaDB", MARIADB),
    (
        "k8s.mariadb.com/Backup",
        &[
            Each(
                "conditions",
                &[
                    (
                        All(&[
                            Equals("status", "False"),
                            Equals("reason", "CronJobScheduled"),
                            Equals("message", "Failed"),
                        ]),
                        Degraded,
                    ),
                    (Equals("status", "False"), Progressing),
                ],
            ),
            If(Has("conditions"), Healthy),
        ],
    ),
    (
        "k8s.mariadb.com/Database|Grant|User",
        &[Each("conditions", &[(When("Ready", "True"), Healthy), (Equals("type", "Ready"), Degraded)])],
    ),
    (
        "k8s.mariadb.com/SqlJob",
        &[Each(
            "conditions",
            &[
                (All(&[Equals("reason", "JobComplete"), Equals("status", "True")]), Healthy),
                (All(&[Equals("reason", "JobFailed"), Equals("status", "True")]), Degraded),
            ],
        )],
    ),
    (
        "cassandra.rook.io/Cluster",
        &[
            If(
                Any("racks", &All(&[Has("members"), Has("readyMembers"), Not(&Same("members", "readyMembers"))])),
                Progressing,
            ),
            If(Has("racks"), Healthy),
        ],
    ),
    ("clickhouse.altinity.com/ClickHouseInstallation", CLICKHOUSE),
    ("clickhouse-keeper.altinity.com/ClickHouseKeeperInstallation", CLICKHOUSE),
    (
        "elasticsearch.k8s.elastic.co/Elasticsearch",
        &[
            If(All(&[Has("availableNodes"), Below(&["availableNodes"], NODES)]), Progressing),
            If(Not(&All(&[Has("availableNodes"), Has("phase"), Has("health")])), Unknown),
            If(Below(NODES, &["availableNodes"]), Unknown),
            If(OneOf("phase", &["ApplyingChanges", "MigratingData"]), Progressing),
            If(Equals("phase", "Invalid"), Degraded),
            If(All(&[Equals("phase", "Ready"), Equals("health", "green")]), Healthy),
            If(All(&[Equals("phase", "Ready"), Equals("health", "yellow")]), Progressing),
            If(All(&[Equals("phase", "Ready"), Equals("health", "red")]), Degraded),
            If(Always, Unknown),
        ],
    ),
    (
        "solr.apache.org/SolrCloud",
        &[If(Any("solrNodes", &Not(&Filled("ready"))), Progressing), If(Has("solrNodes"), Healthy)],
    ),
    (
        "zookeeper.pravega.io/ZookeeperCluster",
        &[If(All(&[Filled("readyReplicas"), Same("readyReplicas", "replicas")]), Healthy)],
    ),
    // Queues and streams.
    (
        "kafka.banzaicloud.io/KafkaCluster",
        &[
            If(Equals("state", "ClusterRollingUpgrading"), Progressing),
            If(Any("brokersState", &Not(&BROKER_READY)), Degraded),
            If(
                All(&[
                    Has("brokersState"),
                    Equals("cruiseControlTopicStatus", "CruiseControlTopicReady"),
                    Equals("state", "ClusterRunning"),
                ]),
                Healthy,
            ),
        ],
    ),
    (
        "kafka.strimzi.io/Kafka",
        &[Each(
            "conditions",
            &[
                (All(&[When("NotReady", "True"), Not(&Equals("reason", "Creating"))]), Degraded),
                (When("Ready", "True"), Healthy),
            ],
        )],
    ),
    (
        "kafka.strimzi.io/KafkaBridge|KafkaConnect|KafkaConnector|KafkaTopic|KafkaUser",
        &[Each("conditions", &[(When("NotReady", "True"), Degraded), (When("Ready", "True"), Healthy)])],
    ),
    (
        "platform.confluent.io/Connect|ControlCenter|Kafka|KsqlDB|SchemaRegistry|Zookeeper",
        &[If(Equals("phase", "RUNNING"), Healthy)],
    ),
    (
        "platform.confluent.io/Connector",
        &[
            If(Not(&Has("state")), Progressing),
            If(
                All(&[Equals("state", "CREATED"), Equals("connectorState", "RUNNING"), Not(&Has("failedTasksCount"))]),
                Healthy,
            ),
            If(Equals("state", "ERROR"), Degraded),
            If(Filled("failedTasksCount"), Degraded),
        ],
    ),
    (
        "rabbitmq.com/Binding|Exchange|Permission|Policy|Queue|Shovel|User|Vhost",
        &[
            Each(
                "conditions",
                &[
                    (All(&[When("Ready", "True"), Equals("reason", "SuccessfulCreateOrUpdate")]), Healthy),
                    (All(&[When("Ready", "False"), Equals("reason", "FailedCreateOrUpdate")]), Degraded),
                ],
            ),
            If(Always, Unknown),
        ],
    ),
    (
        "rabbitmq.com/RabbitmqCluster",
        &[
            If(Is("ReconcileSuccess", "False"), Degraded),
            If(All(&[Is("ClusterAvailable", "True"), Is("AllReplicasReady", "True")]), Healthy),
        ],
    ),
    // Volumes, buckets and their backups.
    (
        "cdi.kubevirt.io/DataVolume",
        &[
            If(Equals("phase", "Succeeded"), Healthy),
            If(Equals("phase", "Paused"), Suspended),
            If(OneOf("phase", &["Failed", "Unknown"]), Degraded),
            If(Any("conditions", &All(&[When("Running", "False"), Equals("reason", "Error")])), Degraded),
        ],
    ),
    (
        "ceph.rook.io/CephCluster",
        &[
            If(OneOf("ceph/health", &["HEALTH_ERR", "HEALTH_WARN"]), Degraded),
            If(Not(&Equals("ceph/health", "HEALTH_OK")), Progressing),
            If(Equals("state", "Error"), Degraded),
            If(Either(&[Not(&Has("state")), OneOf("state", &["Created", "Connected"])]), Healthy),
        ],
    ),
    (
        "ceph.rook.io/CephObjectStore",
        &[If(Equals("phase", "Ready"), Healthy), If(Equals("phase", "Failure"), Degraded)],
    ),
    (
        "objectbucket.io/ObjectBucketClaim",
        &[If(Equals("phase", "Bound"), Healthy), If(Equals("phase", "Failed"), Degraded)],
    ),
    (
        "ocs.openshift.io/StorageCluster",
        &[
            If(Is("Degraded", "True"), Degraded),
            If(Is("Progressing", "True"), Progressing),
            If(Is("Available", "True"), Healthy),
            If(Always, Unknown),
        ],
    ),
    (
        "minio.min.io/Tenant",
        &[
            If(Equals("currentState", "Initialized"), Healthy),
            If(
                OneOf(
                    "currentState",
                    &[
                        "Statefulset not controlled by operator",
                        "Another MinIO Tenant already exists in the namespace",
                        "Tenant credentials are not set properly",
                        "Different versions across MinIO Pools",
                        "Pool Decommissioning Not Allowed",
                    ],
                ),
                Degraded,
            ),
            If(Has("currentState"), Progressing),
        ],
    ),
    (
        "snapshot.storage.k8s.io/VolumeSnapshot|VolumeSnapshotContent",
        &[If(Filled("readyToUse"), Healthy), If(Has("error"), Degraded)],
    ),
    (
        "astra.netapp.io/AppVault",
        &[
            If(OneOf("state", &["available", "Available"]), Healthy),
            If(OneOf("state", &["failed", "Failed"]), Degraded),
        ],
    ),
    ("astra.netapp.io/Application", READY),
    (
        "astra.netapp.io/Backup|ExecHooksRun|ResourceBackup|ResticVolumeBackup|Snapshot",
        &[
            If(Equals("state", "Completed"), Healthy),
            If(Equals("state", "Running"), Progressing),
            If(Has("state"), Degraded),
        ],
    ),
    (
        "astra.netapp.io/ExecHook",
        &[If(Equals("/spec/enabled", "true"), Healthy), If(Equals("/spec/enabled", "false"), Suspended)],
    ),
    ("astra.netapp.io/Schedule", &[If(Always, Healthy)]),
    (
        "trident.netapp.io/TridentBackendConfig",
        &[
            If(All(&[Equals("phase", "Bound"), Equals("lastOperationStatus", "Success")]), Healthy),
            If(Equals("lastOperationStatus", "Failed"), Degraded),
        ],
    ),
    (
        "trident.netapp.io/TridentOrchestrator",
        &[If(Equals("status", "Installed"), Healthy), If(OneOf("status", &["Failed", "Error"]), Degraded)],
    ),
];

const MARIADB: &[Rule] = &[
    Each(
        "conditions",
        &[
            (All(&[Equals("status", "False"), Equals("reason", "Failed")]), Degraded),
            (Equals("status", "False"), Progressing),
        ],
    ),
    If(Has("conditions"), Healthy),
];

const CLICKHOUSE: &[Rule] = &[
    If(Equals("status", "Completed"), Healthy),
    If(Equals("status", "InProgress"), Progressing),
    If(Has("status"), Degraded),
];

/// As many nodes as there should be.
const NODES: &[&str] = &["/spec/nodeSets/*/count"];

const BROKER_READY: Test = All(&[
    Equals("configurationState", "ConfigInSync"),
    OneOf("gracefulActionState/cruiseControlState", &["GracefulUpscaleSucceeded", "GracefulDownscaleSucceeded"]),
]);
