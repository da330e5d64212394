//! What the generic rule gets wrong, as data: a row a kind or a group, in it tests and verdicts; the first test that
//! holds decides, and where none does the generic rule does. The verdicts are those of argoproj/argo-cd
//! `resource_customizations`.

use serde_json::Value;
use slipway_manifest::Object;

use super::Health::{self, Degraded, Healthy, Progressing, Suspended, Unknown};
use super::generic::all_conditions;
use super::{HealthStatus, text};

/// Something that holds of an object or does not.
enum Test {
    /// It has a condition of this type and status.
    Is(&'static str, &'static str),
    /// It has a condition of this type and reason.
    Because(&'static str, &'static str),
    /// It has a condition of this type whose status is none of those there are.
    Odd(&'static str),
    /// The field is this, as text.
    Equals(&'static str, &'static str),
    /// The field is there, and is neither null, false, zero nor empty.
    Has(&'static str),
    /// It is not so.
    Lacks(&'static str),
    /// The first number is below the second; a missing one is zero.
    Less(&'static str, &'static str),
    /// Both are there and differ.
    Differ(&'static str, &'static str),
    /// Some item of the list or mapping has a field that starts so.
    Any(&'static str, &'static str, &'static str),
    /// Some item of the list or mapping has a first number below its second.
    AnyLess(&'static str, &'static str, &'static str),
    /// The text `ready/wanted` says that none is ready.
    NoneOf(&'static str),
    /// The text `ready/wanted` says that not all are ready.
    NotAllOf(&'static str),
    /// All of them hold.
    All(&'static [Test]),
    /// Whatever it is.
    Else,
}

use Test::{All, Any, AnyLess, Because, Differ, Else, Equals, Has, Is, Lacks, Less, NoneOf, NotAllOf, Odd};

type Row = (&'static str, &'static [(Test, Health)]);

/// Rows by `group/Kind`, either with `*` at its beginning, end or alone; the first that fits and has a verdict decides.
const TABLE: &[Row] = &[
    (
        "apps.kruise.io/AdvancedCronJob",
        &[
            (Has("/spec/paused"), Suspended),
            (Has("/status/active"), Progressing),
            (Has("/status/lastScheduleTime"), Healthy),
            (Else, Progressing),
        ],
    ),
    (
        "apps.kruise.io/CloneSet",
        &[(Has("/spec/updateStrategy/paused"), Suspended), (Has("/spec/updateStrategy/partition"), Suspended)],
    ),
    (
        "apps.kruise.io/DaemonSet",
        &[
            (Has("/spec/updateStrategy/rollingUpdate/paused"), Suspended),
            (Has("/spec/updateStrategy/rollingUpdate/partition"), Suspended),
            (Less("/status/updatedNumberScheduled", "/status/desiredNumberScheduled"), Progressing),
            (Less("/status/numberAvailable", "/status/desiredNumberScheduled"), Degraded),
            (Has("/status/desiredNumberScheduled"), Healthy),
        ],
    ),
    (
        "apps.kruise.io/StatefulSet",
        &[
            (Has("/spec/updateStrategy/rollingUpdate/paused"), Suspended),
            (Has("/spec/updateStrategy/rollingUpdate/partition"), Suspended),
            (Is("FailedCreatePod", "True"), Degraded),
            (Is("FailedUpdatePod", "True"), Degraded),
            (Less("/status/updatedAvailableReplicas", "/status/replicas"), Progressing),
            (Has("/status/updatedAvailableReplicas"), Healthy),
        ],
    ),
    (
        "game.kruise.io/GameServerSet",
        &[
            (Has("/spec/updateStrategy/rollingUpdate/paused"), Suspended),
            (Has("/spec/updateStrategy/rollingUpdate/partition"), Suspended),
        ],
    ),
    ("game.kruise.io/GameServer", &[(Lacks("/status"), Unknown)]),
    (
        "apps.openshift.io/DeploymentConfig",
        &[
            (Because("Progressing", "NewReplicationControllerAvailable"), Healthy),
            (Is("Available", "False"), Degraded),
            (Is("Progressing", "Unknown"), Progressing),
            (Because("Progressing", "ReplicationControllerUpdated"), Progressing),
        ],
    ),
    ("argoproj.io/AnalysisRun", &[(Lacks("/status"), Progressing), (Equals("/status/phase", "Running"), Progressing)]),
    ("argoproj.io/Experiment", &[(Lacks("/status"), Progressing), (Equals("/status/phase", "Running"), Progressing)]),
    ("argoproj.io/ApplicationSet", &[(Lacks("/status"), Progressing)]),
    (
        "argoproj.io/CronWorkflow",
        &[(Is("SubmissionError", "True"), Degraded), (Is("SpecError", "True"), Degraded), (Else, Healthy)],
    ),
    (
        "argoproj.io/Rollout",
        &[
            (Is("InvalidSpec", "True"), Degraded),
            (Because("Progressing", "RolloutAborted"), Degraded),
            (Because("Progressing", "ProgressDeadlineExceeded"), Degraded),
            (
                Differ(
                    "/metadata/annotations/rollout.argoproj.io~1workload-generation",
                    "/status/workloadObservedGeneration",
                ),
                Progressing,
            ),
            (Has("/status/pauseConditions"), Suspended),
            (Because("Progressing", "RolloutPaused"), Suspended),
            (All(&[Lacks("/status/phase"), Less("/status/updatedReplicas", "/spec/replicas")]), Progressing),
        ],
    ),
    ("astra.netapp.io/ExecHook", &[(Has("/spec/enabled"), Healthy), (Equals("/spec/enabled", "false"), Suspended)]),
    ("astra.netapp.io/*", &[(Equals("/status/state", "Running"), Progressing)]),
    (
        "beat.k8s.elastic.co/Beat",
        &[
            (Equals("/status/health", "green"), Healthy),
            (Equals("/status/health", "yellow"), Progressing),
            (Equals("/status/health", "red"), Degraded),
            (Has("/status/health"), Unknown),
        ],
    ),
    ("elasticsearch.k8s.elastic.co/Elasticsearch", &[(Equals("/status/health", "red"), Degraded)]),
    (
        "bitnami.com/SealedSecret",
        &[(Is("Synced", "False"), Degraded), (Lacks("/status/observedGeneration"), Progressing)],
    ),
    ("capabilities.3scale.net/*", &[(Equals("/status/developerUserState", "suspended"), Suspended)]),
    (
        "cassandra.rook.io/Cluster",
        &[(AnyLess("/status/racks", "readyMembers", "members"), Progressing), (Has("/status/racks"), Healthy)],
    ),
    (
        "cluster.x-k8s.io/MachineHealthCheck",
        &[
            (Less("/status/currentHealthy", "/status/expectedMachines"), Degraded),
            (Has("/status/expectedMachines"), Healthy),
        ],
    ),
    (
        "pkg.crossplane.io/*",
        &[
            (Because("Synced", "ReconcilePaused"), Progressing),
            (Because("Installed", "UnpackingPackage"), Degraded),
            (Because("Healthy", "UnhealthyPackageRevision"), Degraded),
        ],
    ),
    ("*.crossplane.io/ManagedResourceDefinition", &[(Because("Established", "InactiveManagedResource"), Healthy)]),
    ("*crossplane.io/ProviderConfig*", &[(Has("/status/users"), Healthy), (Lacks("/status/conditions"), Healthy)]),
    ("*crossplane.io/ClusterProviderConfig*", &[(Lacks("/status/conditions"), Healthy)]),
    ("*upbound.io/ProviderConfig*", &[(Has("/status/users"), Healthy), (Lacks("/status/conditions"), Healthy)]),
    ("*upbound.io/ClusterProviderConfig*", &[(Lacks("/status/conditions"), Healthy)]),
    ("apiextensions.crossplane.io/Composition", &[(Lacks("/status"), Healthy)]),
    ("apiextensions.crossplane.io/CompositionRevision", &[(Lacks("/status"), Healthy)]),
    ("apiextensions.crossplane.io/EnvironmentConfig", &[(Lacks("/status"), Healthy)]),
    ("pkg.crossplane.io/DeploymentRuntimeConfig", &[(Lacks("/status"), Healthy)]),
    ("pkg.crossplane.io/ImageConfig", &[(Lacks("/status"), Healthy)]),
    ("*crossplane.io/*", CROSSPLANE),
    ("*upbound.io/*", CROSSPLANE),
    ("external-secrets.io/ClusterExternalSecret", &[(Is("PartiallyReady", "True"), Degraded)]),
    (
        "flink.apache.org/FlinkDeployment",
        &[
            (Equals("/status/reconciliationStatus/success", "false"), Degraded),
            (Equals("/status/jobManagerDeploymentStatus", "ERROR"), Degraded),
            (
                All(&[
                    Equals("/status/jobManagerDeploymentStatus", "READY"),
                    Equals("/status/jobStatus/state", "RUNNING"),
                ]),
                Healthy,
            ),
            (
                All(&[
                    Equals("/spec/job/state", "suspended"),
                    Equals("/status/jobManagerDeploymentStatus", "MISSING"),
                    Lacks("/status/reconciliationStatus/lastReconciledSpec"),
                ]),
                Healthy,
            ),
            (Else, Progressing),
        ],
    ),
    (
        "gateway.networking.k8s.io/*",
        &[
            (Because("Accepted", "NoControllerFound"), Degraded),
            (Is("ResolvedRefs", "False"), Degraded),
            (Is("Accepted", "False"), Degraded),
        ],
    ),
    (
        "iammanager.keikoproj.io/Iamrole",
        &[
            (Equals("/status/state", "RolesMaxLimitReached"), Degraded),
            (Equals("/status/state", "PolicyNotAllowed"), Degraded),
        ],
    ),
    ("k8s.mariadb.com/MariaDB", &[(Lacks("/status/conditions"), Progressing)]),
    ("mariadb.mmontes.io/MariaDB", &[(Lacks("/status/conditions"), Progressing)]),
    (
        "karpenter.sh/NodeClaim",
        &[
            (Is("Disrupting", "True"), Suspended),
            (Is("Ready", "True"), Healthy),
            (Is("Ready", "False"), Degraded),
            (Else, Progressing),
        ],
    ),
    (
        "kiali.io/Kiali",
        &[(Is("Failure", "True"), Degraded), (Is("Successful", "True"), Healthy), (Is("Running", "True"), Progressing)],
    ),
    (
        "kubevirt.io/VirtualMachine",
        &[(All(&[Lacks("/status/printableStatus"), Lacks("/status/conditions")]), Progressing)],
    ),
    (
        "metrics.keptn.sh/KeptnMetric",
        &[(Has("/status/errMsg"), Degraded), (Has("/status/value"), Healthy), (Else, Progressing)],
    ),
    (
        "minio.min.io/Tenant",
        &[
            (Equals("/status/currentState", "Tenant credentials are not set properly"), Degraded),
            (Equals("/status/currentState", "Different versions across MinIO Pools"), Degraded),
        ],
    ),
    (
        "monitoring.coreos.com/*",
        &[
            (Because("Available", "SomePodsNotReady"), Progressing),
            (Is("Available", "False"), Degraded),
            (Is("Reconciled", "False"), Degraded),
        ],
    ),
    (
        "networking.gke.io/ManagedCertificate",
        &[
            (Any("/status/domainStatus", "status", "Failed"), Degraded),
            (Equals("/status/certificateStatus", "Active"), Healthy),
            (Else, Progressing),
        ],
    ),
    (
        "numaflow.numaproj.io/*",
        &[
            (Equals("/metadata/labels/numaplane.numaproj.io~1progressive-result-state", "failed"), Degraded),
            (Is("ChildrenResourcesHealthy", "False"), Degraded),
            (Is("DaemonHealthy", "False"), Degraded),
            (Is("PodsHealthy", "False"), Degraded),
            (Is("VerticesHealthy", "False"), Degraded),
            (Is("DaemonServiceHealthy", "False"), Degraded),
            (Equals("/status/phase", "Paused"), Healthy),
        ],
    ),
    (
        "numaplane.numaproj.io/*",
        &[
            (Is("ProgressiveUpgradeSucceeded", "False"), Degraded),
            (Because("MonoVertexPausingOrPaused", "MonoVertexPaused"), Healthy),
            (Because("PipelinePausingOrPaused", "PipelinePaused"), Healthy),
        ],
    ),
    (
        "opentelemetry.io/OpenTelemetryCollector",
        &[
            (NoneOf("/status/scale/statusReplicas"), Degraded),
            (NotAllOf("/status/scale/statusReplicas"), Progressing),
            (Has("/status/scale/statusReplicas"), Healthy),
        ],
    ),
    ("operators.coreos.com/Subscription", &[(Lacks("/status/state"), Progressing)]),
    (
        "policy.open-cluster-management.io/*",
        &[
            (Has("/spec/disabled"), Healthy),
            (All(&[Has("/status/placement"), Lacks("/status/compliant"), Lacks("/status/status")]), Healthy),
        ],
    ),
    (
        "postgresql.cnpg.io/Cluster",
        &[
            (Equals("/metadata/annotations/cnpg.io~1hibernation", "on"), Suspended),
            (Equals("/metadata/annotations/cnpg.io~1reconciliationLoop", "disabled"), Suspended),
        ],
    ),
    ("operator.knative.dev/*", &[(Odd("Ready"), Degraded)]),
    ("proclaim.dogmatiq.io/*", &[(Because("Adopted", "InstanceIgnored"), Degraded)]),
    ("promoter.argoproj.io/CommitStatus", &[(Is("Ready", "True"), Healthy)]),
    (
        "promoter.argoproj.io/ChangeTransferPolicy",
        &[
            (All(&[Has("/status/proposed"), Lacks("/status/proposed/dry/sha")]), Progressing),
            (Any("/status/proposed/commitStatuses", "phase", "pending"), Progressing),
        ],
    ),
    ("promoter.argoproj.io/PromotionStrategy", &[(All(&[Has("/status"), Lacks("/status/environments")]), Degraded)]),
    (
        "promoter.argoproj.io/*CommitStatus",
        &[
            (Is("Ready", "False"), Degraded),
            (Any("/status/environments", "phase", "failure"), Degraded),
            (Any("/status/environments", "phase", "pending"), Progressing),
        ],
    ),
    (
        "*.percona.com/*",
        &[
            (Equals("/status/state", "ready"), Healthy),
            (Equals("/status/state", "initializing"), Progressing),
            (Equals("/status/state", "paused"), Suspended),
            (Equals("/status/state", "error"), Degraded),
            (Equals("/status/state", "stopping"), Degraded),
            (Has("/status/state"), Unknown),
        ],
    ),
    ("rabbitmq.com/RabbitmqCluster", &[(Is("ReconcileSuccess", "False"), Degraded)]),
    ("rabbitmq.com/*", &[(Lacks("/status/conditions"), Unknown)]),
    (
        "trident.netapp.io/*",
        &[
            (Equals("/status/lastOperationStatus", "Failed"), Degraded),
            (Equals("/status/lastOperationStatus", "Progressing"), Progressing),
        ],
    ),
    ("work.karmada.io/ClusterResourceBinding", KARMADA),
    ("work.karmada.io/ResourceBinding", KARMADA),
    (
        "operator.victoriametrics.com/*",
        &[
            (Equals("/status/updateStatus", "operational"), Healthy),
            (Equals("/status/updateStatus", "failed"), Degraded),
            (Equals("/status/updateStatus", "paused"), Suspended),
            (Has("/status/updateStatus"), Progressing),
        ],
    ),
    (
        "acid.zalan.do/postgresql",
        &[
            (Equals("/status/PostgresClusterStatus", "Running"), Healthy),
            (Equals("/status/PostgresClusterStatus", "CreateFailed"), Degraded),
            (Equals("/status/PostgresClusterStatus", "UpdateFailed"), Degraded),
            (Equals("/status/PostgresClusterStatus", "SyncFailed"), Degraded),
            (Equals("/status/PostgresClusterStatus", "Invalid"), Degraded),
            (Has("/status/PostgresClusterStatus"), Progressing),
        ],
    ),
];

/// Crossplane's managed resources and those composed of them.
const CROSSPLANE: &[(Test, Health)] = &[
    (Because("Synced", "ReconcilePaused"), Suspended),
    (Is("Synced", "False"), Degraded),
    (Is("LastAsyncOperation", "False"), Degraded),
    (Lacks("/status/conditions"), Progressing),
    (All(&[Is("Synced", "True"), Is("Ready", "True")]), Healthy),
    (Is("Synced", "True"), Progressing),
];

const KARMADA: &[(Test, Health)] = &[
    (Any("/status/aggregatedStatus", "health", "Unhealthy"), Degraded),
    (Any("/status/aggregatedStatus", "health", "Unknown"), Degraded),
    (All(&[Is("Scheduled", "True"), Is("FullyApplied", "True")]), Healthy),
    (Else, Progressing),
];

/// The verdict of the table; `None` where it has none.
pub(super) fn of(object: &Object) -> Option<HealthStatus> {
    let rows = TABLE.iter().filter(|(kinds, _)| {
        let (group, kind) = kinds.split_once('/').unwrap_or_default();
        fits(group, object.group()) && fits(kind, object.kind())
    });
    let (test, health) = rows.flat_map(|(_, tests)| *tests).find(|(test, _)| test.holds(object))?;
    Some(HealthStatus::new(*health, test.message(object)))
}

fn fits(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(""), _) => true,
        (Some(end), None) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (Some(middle), Some(_)) => name.contains(middle.trim_end_matches('*')),
        (None, None) => pattern == name,
    }
}

impl Test {
    fn holds(&self, object: &Object) -> bool {
        let number = |value: Option<&Value>| value.and_then(Value::as_i64).unwrap_or_default();
        let at = |pointer: &str| object.pointer(pointer);
        match self {
            Is(kind, status) => all_conditions(object).any(|one| one.kind == *kind && one.status == *status),
            Because(kind, reason) => all_conditions(object).any(|one| one.kind == *kind && one.reason == *reason),
            Odd(kind) => all_conditions(object)
                .any(|one| one.kind == *kind && !["True", "False", "Unknown"].contains(&one.status)),
            Equals(pointer, wanted) => at(pointer).is_some_and(|value| is_text(value, wanted)),
            Has(pointer) => at(pointer).is_some_and(is_something),
            Lacks(pointer) => !at(pointer).is_some_and(is_something),
            Less(less, more) => number(at(less)) < number(at(more)),
            Differ(one, other) => match (at(one), at(other)) {
                (Some(one), Some(other)) => as_text(one) != as_text(other),
                _ => false,
            },
            Any(list, field, start) => items(at(list))
                .any(|item| item.get(field).and_then(Value::as_str).is_some_and(|text| text.starts_with(start))),
            AnyLess(list, less, more) => items(at(list)).any(|item| number(item.get(less)) < number(item.get(more))),
            NoneOf(pointer) => ratio(object, pointer).is_some_and(|(ready, wanted)| ready == 0 && wanted > 0),
            NotAllOf(pointer) => ratio(object, pointer).is_some_and(|(ready, wanted)| ready < wanted),
            All(tests) => tests.iter().all(|test| test.holds(object)),
            Else => true,
        }
    }

    /// What a person reads: the condition's own words, or the object's message.
    fn message(&self, object: &Object) -> String {
        let condition = match self {
            Is(kind, _) | Because(kind, _) => all_conditions(object).find(|one| one.kind == *kind),
            _ => None,
        };
        let own = [text(object, "/status/message"), text(object, "/status/reason")];
        let words = condition.iter().flat_map(|condition| [condition.message, condition.reason]).chain(own);
        words.into_iter().find(|text| !text.is_empty()).unwrap_or_default().to_owned()
    }
}

fn is_text(value: &Value, wanted: &str) -> bool {
    as_text(value) == wanted
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn is_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

fn items(list: Option<&Value>) -> Box<dyn Iterator<Item = &Value> + '_> {
    match list {
        Some(Value::Array(items)) => Box::new(items.iter()),
        Some(Value::Object(fields)) => Box::new(fields.values()),
        _ => Box::new(std::iter::empty()),
    }
}

fn ratio(object: &Object, pointer: &str) -> Option<(u64, u64)> {
    let (ready, wanted) = object.pointer(pointer)?.as_str()?.split_once('/')?;
    Some((ready.parse().ok()?, wanted.parse().ok()?))
}
