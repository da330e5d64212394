//! Judges what runs: workloads of Kruise, Knative, KEDA, KubeVirt, Numaflow, Spark, Flink and others.

use serde_json::Value;
use slipway_manifest::Object;

use super::Health::{Degraded, Healthy, Missing, Progressing, Suspended, Unknown};
use super::{
    Above, All, Always, Any, Below, Each, Either, Equals, Filled, Has, If, Is, Mentions, Not, OBSERVED, OneOf, READY,
    Row, Same, Such, Test, When, items,
};

pub(super) const ROWS: &[Row] = &[
    // OpenKruise.
    (
        "apps.kruise.io/AdvancedCronJob",
        &[
            If(All(&[Not(&Has("lastScheduleTime")), Filled("/spec/paused")]), Suspended),
            If(Either(&[Filled("active"), Not(&Has("/status"))]), Progressing),
            If(Has("lastScheduleTime"), Healthy),
            If(Always, Degraded),
        ],
    ),
    (
        "apps.kruise.io/BroadcastJob",
        &[
            If(All(&[Equals("phase", "completed"), Same("desired", "succeeded")]), Healthy),
            If(All(&[Equals("phase", "failed"), Not(&Equals("failed", "0"))]), Degraded),
            If(All(&[Equals("phase", "paused"), Filled("/spec/paused")]), Suspended),
        ],
    ),
    (
        "apps.kruise.io/CloneSet",
        &[
            If(UNSEEN, Progressing),
            If(Either(&[Filled("/spec/updateStrategy/paused"), Not(&Has("updatedAvailableReplicas"))]), Suspended),
            If(All(&[CLONES_PARTED, Not(&Below(&["updatedReplicas"], &["expectedUpdatedReplicas"]))]), Suspended),
            If(CLONES_PARTED, Progressing),
            If(Same("updatedAvailableReplicas", "replicas"), Healthy),
            If(Always, Degraded),
        ],
    ),
    (
        "apps.kruise.io/DaemonSet",
        &[
            If(UNSEEN, Progressing),
            If(Either(&[ROLLING_PAUSED, Not(&Has("updatedNumberScheduled"))]), Suspended),
            If(
                All(&[
                    Has(PARTITION),
                    ROLLING_PARTED,
                    Below(&["desiredNumberScheduled"], &["updatedNumberScheduled", PARTITION]),
                ]),
                Suspended,
            ),
            If(All(&[Has(PARTITION), ROLLING_PARTED]), Progressing),
            If(Not(&Same("updatedNumberScheduled", "desiredNumberScheduled")), Progressing),
            If(Same("numberAvailable", "desiredNumberScheduled"), Healthy),
            If(Same("numberUnavailable", "desiredNumberScheduled"), Degraded),
        ],
    ),
    (
        "apps.kruise.io/StatefulSet",
        &[
            If(UNSEEN, Progressing),
            If(Either(&[ROLLING_PAUSED, Not(&Has("updatedAvailableReplicas"))]), Suspended),
            If(All(&[ROLLING_PARTED, Below(&["replicas"], &["updatedReplicas", PARTITION])]), Suspended),
            If(ROLLING_PARTED, Progressing),
            If(Same("updatedAvailableReplicas", "replicas"), Healthy),
            If(Always, Degraded),
        ],
    ),
    (
        "game.kruise.io/GameServer",
        &[
            If(Not(&Has("/status")), Unknown),
            If(Not(&Same("currentState", "desiredState")), Progressing),
            If(
                Any("podStatus/conditions", &All(&[Equals("type", "KruisePodReady"), Not(&Equals("status", "True"))])),
                Degraded,
            ),
            If(Equals("currentState", "Ready"), Healthy),
            If(Always, Unknown),
        ],
    ),
    (
        "game.kruise.io/GameServerSet",
        &[
            If(UNSEEN, Progressing),
            If(ROLLING_PAUSED, Suspended),
            If(All(&[Filled(PARTITION), Not(&Below(&["updatedReplicas", PARTITION], &["replicas"]))]), Suspended),
            If(
                Not(&Either(&[
                    Below(&["updatedReadyReplicas"], &["replicas"]),
                    Below(&["replicas"], &["updatedReadyReplicas"]),
                ])),
                Healthy,
            ),
        ],
    ),
    (
        "rollouts.kruise.io/Rollout",
        &[
            If(UNSEEN, Progressing),
            If(All(&[Equals(STEP, "StepPaused"), Equals("phase", "Progressing")]), Suspended),
            If(All(&[Equals(STEP, "StepPaused"), OneOf("phase", &["Terminating", "Disabled"])]), Degraded),
            If(All(&[Equals(STEP, "Completed"), Equals("phase", "Healthy")]), Healthy),
        ],
    ),
    (
        "apps.openshift.io/DeploymentConfig",
        &[
            If(Not(&All(&[Has("conditions"), Has("replicas")])), Progressing),
            If(Equals("replicas", "0"), Healthy),
            If(All(&[Is("Available", "True"), NEW_CONTROLLER]), Healthy),
            If(Either(&[Is("Available", "True"), NEW_CONTROLLER]), Progressing),
            If(Always, Degraded),
        ],
    ),
    (
        "spot.io/SpotDeployment",
        &[
            Each(
                "conditions",
                &[
                    (Equals("type", "InvalidSpec"), Degraded),
                    (
                        All(&[
                            Equals("type", "Progressing"),
                            OneOf("reason", &["RolloutAborted", "ProgressDeadlineExceeded"]),
                        ]),
                        Degraded,
                    ),
                    (When("Paused", "True"), Suspended),
                ],
            ),
            If(All(&[Has("conditions"), Not(&Equals("phase", "Progressing"))]), Healthy),
        ],
    ),
    ("camel.apache.org/Integration", READY),
    (
        "core.spinkube.dev/SpinApp",
        &[
            If(Not(&Has("/status")), Progressing),
            If(
                Any(
                    "conditions",
                    &All(&[
                        When("Progressing", "False"),
                        Either(&[
                            Equals("reason", "ProgressDeadlineExceeded"),
                            Mentions("message", &["timeout", "failed"]),
                        ]),
                    ]),
                ),
                Degraded,
            ),
            If(Not(&Is("Available", "True")), Degraded),
            If(Below(&["readyReplicas"], &["/spec/replicas"]), Progressing),
            If(Is("Progressing", "True"), Progressing),
            If(Always, Healthy),
        ],
    ),
    (
        "k8s.keycloak.org/Keycloak",
        &[Each("conditions", &[(When("Ready", "True"), Healthy), (When("HasErrors", "True"), Degraded)])],
    ),
    (
        "keda.sh/ScaledJob",
        &[
            If(Either(&[Is("Ready", "False"), Is("Ready", "Unknown")]), Degraded),
            If(All(&[Is("Ready", "True"), Is("Paused", "True")]), Suspended),
            If(Is("Ready", "True"), Healthy),
        ],
    ),
    (
        "keda.sh/ScaledObject",
        &[
            If(Is("Ready", "False"), Degraded),
            If(Is("Fallback", "True"), Degraded),
            If(All(&[Is("Ready", "True"), Is("Paused", "True")]), Suspended),
            If(Is("Ready", "True"), Healthy),
        ],
    ),
    (
        "openfaas.com/Function",
        &[Each(
            "conditions",
            &[
                (When("Ready", "False"), Degraded),
                (When("Stalled", "True"), Degraded),
                (All(&[When("Ready", "True"), Above("/status/replicas", 0)]), Healthy),
                (When("Ready", "True"), Suspended),
            ],
        )],
    ),
    // Karmada: how the clusters are doing that it was told to.
    (
        "work.karmada.io/ClusterResourceBinding|ResourceBinding",
        &[
            If(Either(&[Not(&Filled("/spec/clusters")), Not(&Has("aggregatedStatus"))]), Progressing),
            If(
                Either(&[
                    Below(&["/spec/clusters"], &["aggregatedStatus"]),
                    Below(&["aggregatedStatus"], &["/spec/clusters"]),
                ]),
                Progressing,
            ),
            If(Any("aggregatedStatus", &Equals("health", "Unhealthy")), Degraded),
            If(
                Any("aggregatedStatus", &All(&[Equals("health", "Unknown"), Not(&Equals("applied", "true"))])),
                Degraded,
            ),
            If(Always, Healthy),
        ],
    ),
    // Knative and KServe.
    (
        "operator.knative.dev/KnativeEventing",
        &[
            If(Not(&Has("conditions")), Progressing),
            If(Is("Ready", "False"), Progressing),
            If(Any("conditions", &Equals("status", "Unknown")), Progressing),
            If(All(&[Is("Ready", "True"), Is("InstallSucceeded", "True")]), Healthy),
            If(Always, Degraded),
        ],
    ),
    (
        "operator.knative.dev/KnativeServing",
        &[
            If(Not(&Has("conditions")), Progressing),
            If(Either(&[Is("Ready", "False"), Is("DeploymentsAvailable", "False")]), Progressing),
            If(Any("conditions", &Equals("status", "Unknown")), Progressing),
            If(
                All(&[
                    Is("Ready", "True"),
                    Is("InstallSucceeded", "True"),
                    Is("DependenciesInstalled", "True"),
                    Is("DeploymentsAvailable", "True"),
                ]),
                Healthy,
            ),
            If(Always, Degraded),
        ],
    ),
    (
        "serving.knative.dev/Service",
        &[
            If(Any("conditions", &Equals("status", "False")), Degraded),
            If(Any("conditions", &Equals("status", "Unknown")), Progressing),
            If(All(&[Is("ConfigurationsReady", "True"), Is("RoutesReady", "True"), Is("Ready", "True")]), Healthy),
        ],
    ),
    (
        "serving.kserve.io/InferenceService",
        &[
            If(Is("Stopped", "True"), Suspended),
            If(Not(&Has("conditions")), Progressing),
            If(
                All(&[Has("modelStatus"), Not(&OneOf("modelStatus/transitionStatus", &["UpToDate", "InProgress"]))]),
                Degraded,
            ),
            If(Equals("modelStatus/transitionStatus", "InProgress"), Progressing),
            If(Any("conditions", &Equals("status", "Unknown")), Progressing),
            If(Any("conditions", &All(&[Equals("status", "False"), Not(&Equals("type", "Stopped"))])), Progressing),
            If(Always, Healthy),
        ],
    ),
    // KubeVirt.
    (
        "kubevirt.io/VirtualMachine",
        &[
            If(
                All(&[
                    Either(&[Equals("/spec/running", "false"), Equals("/spec/runStrategy", "Halted")]),
                    Not(&Filled("created")),
                ]),
                Healthy,
            ),
            If(Is("Paused", "True"), Suspended),
            Each(
                "conditions",
                &[
                    (When("Ready", "True"), Healthy),
                    (All(&[Equals("type", "Ready"), Filled("/status/created")]), Progressing),
                    (Equals("type", "Ready"), Suspended),
                ],
            ),
        ],
    ),
    (
        "kubevirt.io/VirtualMachineInstance",
        &[
            If(Equals("phase", "Failed"), Degraded),
            If(OneOf("phase", &["Pending", "Scheduling", "Scheduled"]), Progressing),
            If(Equals("phase", "Succeeded"), Suspended),
            If(Equals("phase", "Unknown"), Unknown),
            If(Is("Paused", "True"), Suspended),
            Each("conditions", &[(When("Ready", "True"), Healthy), (Equals("type", "Ready"), Degraded)]),
        ],
    ),
    // Numaflow, and Numaplane, which rolls it out.
    (
        "numaflow.numaproj.io/InterStepBufferService",
        &[
            If(UNSEEN, Progressing),
            If(Either(&[NUMAFLOW_FAILED, PROGRESSIVE_FAILED]), Degraded),
            If(Equals("phase", "Running"), Healthy),
        ],
    ),
    (
        "numaflow.numaproj.io/MonoVertex",
        &[
            If(UNSEEN, Progressing),
            If(Either(&[NUMAFLOW_FAILED, PROGRESSIVE_FAILED]), Degraded),
            If(OneOf("phase", &["Paused", "Running"]), Healthy),
        ],
    ),
    (
        "numaflow.numaproj.io/Pipeline",
        &[
            If(UNSEEN, Progressing),
            If(Either(&[NUMAFLOW_FAILED, PROGRESSIVE_FAILED]), Degraded),
            If(OneOf("phase", &["Paused", "Pausing", "Running"]), Healthy),
        ],
    ),
    (
        "numaflow.numaproj.io/Vertex",
        &[If(UNSEEN, Progressing), If(NUMAFLOW_FAILED, Degraded), If(OneOf("phase", &["Paused", "Running"]), Healthy)],
    ),
    (
        "numaplane.numaproj.io/ISBServiceRollout|MonoVertexRollout|PipelineRollout",
        &[
            If(UNSEEN, Progressing),
            If(All(&[NUMAPLANE_UPGRADES, Not(&Is("ProgressiveUpgradeSucceeded", "False"))]), Progressing),
            If(CHILD_PROGRESSING, Progressing),
            If(Equals("phase", "Failed"), Degraded),
            Each(
                "conditions",
                &[
                    (
                        All(&[
                            When("ChildResourcesHealthy", "False"),
                            OneOf("reason", &["ISBSvcFailed", "MonoVertexFailed", "PipelineFailed"]),
                        ]),
                        Degraded,
                    ),
                    (When("ProgressiveUpgradeSucceeded", "False"), Degraded),
                ],
            ),
            If(Is("MonoVertexPausingOrPaused", "True"), Healthy),
            If(Is("PipelinePausingOrPaused", "True"), Healthy),
            If(Is("ChildResourcesHealthy", "True"), Healthy),
            If(Always, Unknown),
        ],
    ),
    (
        "numaplane.numaproj.io/NumaflowControllerRollout",
        &[
            If(UNSEEN, Progressing),
            If(NUMAPLANE_UPGRADES, Progressing),
            If(CHILD_PROGRESSING, Progressing),
            If(Equals("phase", "Failed"), Degraded),
            If(Is("ChildResourcesHealthy", "False"), Degraded),
            If(Is("ChildResourcesHealthy", "True"), Healthy),
            If(Always, Unknown),
        ],
    ),
    // Flink and Spark.
    (
        "flink.apache.org/FlinkDeployment",
        &[
            If(
                Either(&[Filled("reconciliationStatus/success"), Equals("reconciliationStatus/state", "DEPLOYED")]),
                Healthy,
            ),
            If(
                All(&[
                    Has("reconciliationStatus"),
                    OneOf("jobManagerDeploymentStatus", &["DEPLOYED_NOT_READY", "DEPLOYING"]),
                ]),
                Progressing,
            ),
            If(All(&[Has("reconciliationStatus"), Equals("jobManagerDeploymentStatus", "ERROR")]), Degraded),
            If(
                All(&[Equals("/spec/job/state", "suspended"), Not(&Has("reconciliationStatus/lastReconciledSpec"))]),
                Healthy,
            ),
        ],
    ),
    (
        "sparkoperator.k8s.io/SparkApplication",
        &[
            If(All(&[Equals(SPARK, "RUNNING"), Has("executorState"), Such(has_executors)]), Healthy),
            If(Equals(SPARK, "COMPLETED"), Healthy),
            If(OneOf(SPARK, &["FAILED", "SUBMISSION_FAILED", "FAILING"]), Degraded),
            If(Equals(SPARK, "INVALIDATING"), Missing),
        ],
    ),
];

/// Nothing of this generation was reported.
const UNSEEN: Test = Either(&[Not(&Has("/status")), Not(&OBSERVED)]);

const PARTITION: &str = "/spec/updateStrategy/rollingUpdate/partition";

const ROLLING_PAUSED: Test = Filled("/spec/updateStrategy/rollingUpdate/paused");

/// An update stops where a person said, until that person moves the mark.
const ROLLING_PARTED: Test = All(&[Not(&Equals(PARTITION, "0")), Above("/metadata/generation", 1)]);

const CLONES_PARTED: Test =
    All(&[Not(&Equals("/spec/updateStrategy/partition", "0")), Above("/metadata/generation", 1)]);

const STEP: &str = "canaryStatus/currentStepState";

const NEW_CONTROLLER: Test =
    Any("conditions", &All(&[When("Progressing", "True"), Equals("reason", "NewReplicationControllerAvailable")]));

const NUMAFLOW_FAILED: Test = Either(&[Equals("phase", "Failed"), Any("conditions", &Equals("status", "False"))]);

const PROGRESSIVE_FAILED: Test = Equals("/metadata/labels/numaplane.numaproj.io~1progressive-result-state", "failed");

const NUMAPLANE_UPGRADES: Test = Either(&[Filled("upgradeInProgress"), Equals("phase", "Pending")]);

const CHILD_PROGRESSING: Test =
    Any("conditions", &All(&[When("ChildResourcesHealthy", "False"), Equals("reason", "Progressing")]));

const SPARK: &str = "applicationState/state";

/// As many executors run as the application asks for: that number, between the bounds of its dynamic allocation, or
/// any where it says nothing.
fn has_executors(object: &Object) -> bool {
    let states = items(object.pointer("/status/executorState"));
    let running = i64::try_from(states.filter(|state| *state == "RUNNING").count()).unwrap_or(i64::MAX);
    let wanted = object.pointer("/spec/executor/instances").and_then(Value::as_i64);
    if wanted == Some(running) {
        return true;
    }
    let is_within = |least: Option<i64>, most: Option<i64>| {
        running >= least.unwrap_or_default() && running <= most.unwrap_or(i64::MAX)
    };
    let dynamic = object.pointer("/spec/dynamicAllocation");
    if let Some(bounds) = dynamic.filter(|bounds| bounds.get("enabled") == Some(&Value::Bool(true))) {
        let bound = |key| bounds.get(key).and_then(Value::as_i64);
        return is_within(bound("minExecutors"), bound("maxExecutors"));
    }
    let settings = |key: String| object.pointer("/spec/sparkConf")?.get(key)?.as_str();
    for prefix in ["spark.streaming.dynamicAllocation", "spark.dynamicAllocation"] {
        if settings(format!("{prefix}.enabled")) == Some("true") {
            let bound = |key| settings(format!("{prefix}.{key}"))?.parse().ok();
            return is_within(bound("minExecutors"), bound("maxExecutors"));
        }
    }
    dynamic.is_none() && wanted.is_none() && running >= 1
}
