//! Judges what delivers: Argo's, Flux', Flagger's and Keptn's kinds, operators' subscriptions, jobs and migrations.

use super::Health::{Degraded, Healthy, Missing, Progressing, Suspended, Unknown};
use super::{
    Above, All, Always, Any, Because, Behind, Below, Each, Either, Equals, Filled, Has, If, Is, Not, OBSERVED, OneOf,
    Row, Rule, Same, Test, When,
};

pub(super) const ROWS: &[Row] = &[
    // Argo.
    (
        "argoproj.io/AnalysisRun|Experiment",
        &[
            If(Equals("phase", "Successful"), Healthy),
            If(OneOf("phase", &["Failed", "Error"]), Degraded),
            If(All(&[Has("phase"), Not(&OneOf("phase", &["Pending", "Running"]))]), Unknown),
        ],
    ),
    (
        "argoproj.io/ApplicationSet",
        &[
            If(Is("ErrorOccurred", "True"), Degraded),
            If(Is("ResourcesUpToDate", "False"), Degraded),
            If(Is("RolloutProgressing", "True"), Progressing),
            If(Is("ResourcesUpToDate", "True"), Healthy),
        ],
    ),
    (
        "argoproj.io/CronWorkflow",
        &[
            Each(
                "conditions",
                &[
                    (When("SpecError", "True"), Degraded),
                    (When("SubmissionError", "True"), Degraded),
                    (When("Completed", "True"), Healthy),
                ],
            ),
            If(Always, Healthy),
        ],
    ),
    (
        "argoproj.io/EventBus",
        &[Each("conditions", &[(When("Deployed", "False"), Degraded), (When("Deployed", "True"), Healthy)])],
    ),
    ("argoproj.io/Rollout", ROLLOUT),
    (
        "argoproj.io/Workflow",
        &[
            If(Equals("phase", "Succeeded"), Healthy),
            If(OneOf("phase", &["Failed", "Error"]), Degraded),
            If(All(&[Filled("phase"), Not(&OneOf("phase", &["Pending", "Running"]))]), Unknown),
        ],
    ),
    // Argo's GitOps Promoter.
    (
        "promoter.argoproj.io/ArgoCDCommitStatus",
        &[
            PROMOTER_READY,
            If(NEVER_READY, Progressing),
            If(Filled("applicationsSelected"), Healthy),
            If(Always, Degraded),
        ],
    ),
    (
        "promoter.argoproj.io/ChangeTransferPolicy",
        &[
            PROMOTER_READY,
            If(NEVER_READY, Progressing),
            If(All(&[Filled("active/dry/sha"), Same("active/dry/sha", "proposed/dry/sha")]), Healthy),
        ],
    ),
    (
        "promoter.argoproj.io/ClusterScmProvider|GitRepository|ScmProvider",
        &[PROMOTER_KNOWN, If(NEVER_READY, Progressing), If(Always, Healthy)],
    ),
    ("promoter.argoproj.io/CommitStatus", &[PROMOTER_READY, If(NEVER_READY, Progressing), If(Always, Healthy)]),
    (
        "promoter.argoproj.io/GitCommitStatus|TimedCommitStatus|WebRequestCommitStatus",
        &[
            PROMOTER_KNOWN,
            If(NEVER_READY, Progressing),
            If(Any("environments", &Equals("phase", "failure")), Degraded),
            If(Any("environments", &Not(&Equals("phase", "success"))), Progressing),
            If(Always, Healthy),
        ],
    ),
    (
        "promoter.argoproj.io/PromotionStrategy",
        &[
            PROMOTER_READY,
            If(NEVER_READY, Progressing),
            If(Not(&Filled("environments")), Degraded),
            If(Any("environments", &Not(&All(&[Filled("active/dry/sha"), PROPOSED]))), Progressing),
            If(Any("environments", &Not(&SAME_PROPOSED)), Progressing),
            If(Any("environments", &Not(&Same("proposed/dry/sha", "active/dry/sha"))), Progressing),
            If(Always, Healthy),
        ],
    ),
    (
        "promoter.argoproj.io/PullRequest",
        &[
            Each(
                "conditions",
                &[
                    (All(&[OneOf("type", &["Reconciled", "Ready"]), CONDITION_OUTDATED]), Progressing),
                    (When("Reconciled", "False"), Degraded),
                    (When("Ready", "False"), Degraded),
                ],
            ),
            If(Any("conditions", &OneOf("type", &["Reconciled", "Ready"])), Healthy),
        ],
    ),
    // Flux.
    (
        "helm.toolkit.fluxcd.io/HelmRelease",
        &[
            SUSPENDED,
            If(Not(&Has("conditions")), Progressing),
            If(All(&[Is("Ready", "Unknown"), Is("Reconciling", "True")]), Progressing),
            If(All(&[Is("Ready", "True"), Either(&[Is("Released", "True"), Is("TestSuccess", "True")])]), Healthy),
            If(Always, Degraded),
        ],
    ),
    (
        "image.toolkit.fluxcd.io/ImagePolicy",
        &[
            If(Not(&Has("conditions")), Progressing),
            If(
                All(&[
                    Is("Ready", "False"),
                    Any(
                        "conditions",
                        &All(&[
                            When("Reconciling", "True"),
                            OneOf("reason", &["NewGeneration", "AccessingRepository", "ApplyingPolicy"]),
                        ]),
                    ),
                ]),
                Progressing,
            ),
            If(Is("Ready", "True"), Healthy),
            If(Always, Degraded),
        ],
    ),
    (
        "image.toolkit.fluxcd.io/ImageRepository",
        &[
            SUSPENDED,
            If(Not(&Has("conditions")), Progressing),
            If(
                All(&[
                    Is("Ready", "False"),
                    Any(
                        "conditions",
                        &All(&[When("Reconciling", "True"), OneOf("reason", &["NewGeneration", "Scanning"])]),
                    ),
                ]),
                Progressing,
            ),
            If(Is("Ready", "True"), Healthy),
            If(Always, Degraded),
        ],
    ),
    ("image.toolkit.fluxcd.io/ImageUpdateAutomation", FLUX),
    ("kustomize.toolkit.fluxcd.io/Kustomization", FLUX),
    (
        "notification.toolkit.fluxcd.io/Receiver",
        &[SUSPENDED, If(Not(&Has("conditions")), Progressing), If(Is("Ready", "True"), Healthy), If(Always, Degraded)],
    ),
    ("source.toolkit.fluxcd.io/Bucket|GitRepository|HelmChart|OCIRepository", FLUX_SOURCE),
    // A registry of charts has nothing to fetch, and no status.
    (
        "source.toolkit.fluxcd.io/HelmRepository",
        &[
            SUSPENDED,
            If(Equals("/spec/type", "oci"), Healthy),
            If(Not(&Has("conditions")), Progressing),
            FLUX_RECONCILING,
            FLUX_STORED,
            If(Always, Degraded),
        ],
    ),
    (
        "flagger.app/Canary",
        &[
            If(OneOf("phase", &["Succeeded", "Initialized"]), Healthy),
            If(OneOf("phase", &["Progressing", "Finalising", "Promoting"]), Progressing),
            If(Equals("phase", "Failed"), Degraded),
            If(Always, Unknown),
        ],
    ),
    // Keptn.
    (
        "lifecycle.keptn.sh/KeptnAppVersion|KeptnTask|KeptnWorkloadInstance|KeptnWorkloadVersion",
        &[If(Equals("status", "Succeeded"), Healthy), If(Equals("status", "Failed"), Degraded)],
    ),
    (
        "lifecycle.keptn.sh/KeptnEvaluation",
        &[If(Equals("overallStatus", "Succeeded"), Healthy), If(Equals("overallStatus", "Failed"), Degraded)],
    ),
    (
        "metrics.keptn.sh/Analysis",
        &[
            If(Either(&[Equals("pass", "true"), Equals("warning", "true")]), Healthy),
            If(Equals("pass", "false"), Degraded),
        ],
    ),
    ("metrics.keptn.sh/KeptnMetric", &[If(Filled("errMsg"), Degraded), If(Has("value"), Healthy)]),
    // Operators.
    (
        "operators.coreos.com/Subscription",
        &[
            If(Not(&Has("conditions")), Progressing),
            If(
                Any(
                    "conditions",
                    &All(&[
                        Equals("type", "InstallPlanMissing"),
                        Not(&Equals("reason", "ReferencedInstallPlanNotFound")),
                    ]),
                ),
                Degraded,
            ),
            If(Is("CatalogSourcesUnhealthy", "True"), Degraded),
            If(Is("InstallPlanFailed", "True"), Degraded),
            If(Is("ResolutionFailed", "True"), Degraded),
            If(Equals("state", "UpgradeFailed"), Degraded),
            If(All(&[Is("InstallPlanPending", "True"), Not(&AWAITS_APPROVAL)]), Progressing),
            If(All(&[Equals("state", "UpgradePending"), Not(&AWAITS_APPROVAL)]), Progressing),
            If(Either(&[Not(&Filled("state")), Equals("state", "UpgradeAvailable")]), Progressing),
            If(Always, Healthy),
        ],
    ),
    // 3scale.
    (
        "apps.3scale.net/APIManager",
        &[
            If(
                All(&[
                    Has("deployments/ready"),
                    Not(&Either(&[Has("deployments/starting"), Has("deployments/stopped")])),
                ]),
                Healthy,
            ),
            Each(
                "conditions",
                &[
                    (When("Available", "True"), Healthy),
                    (All(&[Equals("type", "Available"), Filled("reason")]), Degraded),
                ],
            ),
        ],
    ),
    ("capabilities.3scale.net/ActiveDoc|ApplicationAuth|CustomPolicyDefinition|OpenAPI", THREESCALE),
    ("capabilities.3scale.net/Backend|Product", THREESCALE),
    ("capabilities.3scale.net/DeveloperAccount|ProxyConfigPromote", THREESCALE),
    (
        "capabilities.3scale.net/Application",
        &[
            If(Equals("state", "suspended"), Suspended),
            Each(
                "conditions",
                &[
                    (When("Ready", "True"), Healthy),
                    (All(&[Equals("type", "Ready"), Not(&Above("/status/adminId", 0))]), Degraded),
                ],
            ),
        ],
    ),
    (
        "capabilities.3scale.net/DeveloperUser",
        &[If(Equals("developerUserState", "suspended"), Suspended), THREESCALE_CONDITIONS],
    ),
    (
        "capabilities.3scale.net/Tenant",
        &[
            If(All(&[Is("Ready", "True"), Above("tenantId", 0), Above("adminId", 0)]), Healthy),
            If(Any("conditions", &All(&[Equals("type", "Ready"), Not(&Equals("status", "True"))])), Degraded),
        ],
    ),
    // Others.
    (
        "db.atlasgo.io/AtlasMigration",
        &[Each(
            "conditions",
            &[
                (When("Ready", "True"), Healthy),
                (All(&[Equals("type", "Ready"), Equals("reason", "Reconciling")]), Progressing),
                (Equals("type", "Ready"), Degraded),
            ],
        )],
    ),
    (
        "db.atlasgo.io/AtlasSchema",
        &[Each(
            "conditions",
            &[
                (When("Ready", "True"), Healthy),
                (All(&[Equals("type", "Ready"), OneOf("message", &["Reconciling", "GettingDevDB"])]), Progressing),
                (Equals("type", "Ready"), Degraded),
            ],
        )],
    ),
    (
        "services.cloud.sap.com/ServiceBinding|ServiceInstance",
        &[
            Each(
                "conditions",
                &[
                    (CONDITION_OUTDATED, Progressing),
                    (When("Succeeded", "False"), Degraded),
                    (When("Failed", "True"), Degraded),
                ],
            ),
            If(Has("conditions"), Healthy),
        ],
    ),
    (
        "tower.ansible.com/AnsibleJob",
        &[
            If(Equals("ansibleJobResult/status", "successful"), Healthy),
            If(OneOf("ansibleJobResult/status", &["failed", "error", "canceled"]), Degraded),
        ],
    ),
];

const ROLLOUT: &[Rule] = &[
    If(Either(&[Not(&Has("/status")), Behind("observedGeneration")]), Progressing),
    If(
        All(&[
            Has("/spec/workloadRef"),
            Has("/metadata/annotations"),
            Not(&Same("/metadata/annotations/rollout.argoproj.io~1workload-generation", "workloadObservedGeneration")),
        ]),
        Progressing,
    ),
    If(Equals("phase", "Healthy"), Healthy),
    If(OneOf("phase", &["Paused", "Suspended"]), Suspended),
    If(Equals("phase", "Progressing"), Progressing),
    If(Equals("phase", "Degraded"), Degraded),
    If(Equals("phase", "Missing"), Missing),
    If(Has("phase"), Unknown),
    // Argo Rollouts before 1.0 has no phase.
    Each(
        "conditions",
        &[
            (Equals("type", "InvalidSpec"), Degraded),
            (
                All(&[Equals("type", "Progressing"), OneOf("reason", &["RolloutAborted", "ProgressDeadlineExceeded"])]),
                Degraded,
            ),
        ],
    ),
    If(Either(&[Filled("pauseConditions"), Filled("/spec/paused")]), Suspended),
    If(Not(&Has("currentPodHash")), Progressing),
    If(Below(&["updatedReplicas"], &["/spec/replicas"]), Progressing),
    If(Below(&["availableReplicas"], &["updatedReplicas"]), Progressing),
    If(
        All(&[
            Has("/spec/strategy/blueGreen"),
            Either(&[
                Not(&Same("blueGreen/activeSelector", "currentPodHash")),
                All(&[Filled("stableRS"), Not(&Same("stableRS", "currentPodHash"))]),
            ]),
        ]),
        Progressing,
    ),
    If(
        All(&[
            Has("/spec/strategy/canary"),
            Not(&Has("/spec/strategy/blueGreen")),
            Either(&[Below(&["updatedReplicas"], &["replicas"]), Not(&CANARY_IS_STABLE)]),
        ]),
        Progressing,
    ),
    If(Always, Healthy),
];

const CANARY_IS_STABLE: Test = Either(&[
    Same("stableRS", "currentPodHash"),
    All(&[Not(&Has("stableRS")), Same("canary/stableRS", "currentPodHash")]),
]);

/// The condition says which generation it is of, and it is another one.
const CONDITION_OUTDATED: Test = All(&[Has("/metadata/generation"), Has("observedGeneration"), Not(&OBSERVED)]);

const PROMOTER_READY: Rule = Each(
    "conditions",
    &[(All(&[Equals("type", "Ready"), CONDITION_OUTDATED]), Progressing), (When("Ready", "False"), Degraded)],
);

const PROMOTER_KNOWN: Rule = Each(
    "conditions",
    &[
        (All(&[Equals("type", "Ready"), CONDITION_OUTDATED]), Progressing),
        (When("Ready", "False"), Degraded),
        (When("Ready", "Unknown"), Progressing),
    ],
);

const NEVER_READY: Test = Not(&Any("conditions", &Equals("type", "Ready")));

/// What an environment is to have next, by the hydrator's note or by the commit.
const PROPOSED: Test = Either(&[Filled("proposed/note/drySha"), Filled("proposed/dry/sha")]);

const FIRST_NOTE: &str = "/status/environments/0/proposed/note/drySha";
const FIRST_COMMIT: &str = "/status/environments/0/proposed/dry/sha";

/// The environment is to have what the first one is to have.
const SAME_PROPOSED: Test = Either(&[
    All(&[Filled("proposed/note/drySha"), Filled(FIRST_NOTE), Same("proposed/note/drySha", FIRST_NOTE)]),
    All(&[Filled("proposed/note/drySha"), Not(&Filled(FIRST_NOTE)), Same("proposed/note/drySha", FIRST_COMMIT)]),
    All(&[Not(&Filled("proposed/note/drySha")), Filled(FIRST_NOTE), Same("proposed/dry/sha", FIRST_NOTE)]),
    All(&[Not(&Filled("proposed/note/drySha")), Not(&Filled(FIRST_NOTE)), Same("proposed/dry/sha", FIRST_COMMIT)]),
]);

const SUSPENDED: Rule = If(Equals("/spec/suspend", "true"), Suspended);

const FLUX_RECONCILING: Rule = If(All(&[Is("Ready", "Unknown"), Is("Reconciling", "True")]), Progressing);

const FLUX_STORED: Rule = If(All(&[Is("Ready", "True"), Is("ArtifactInStorage", "True")]), Healthy);

const FLUX: &[Rule] = &[
    SUSPENDED,
    If(Not(&Has("conditions")), Progressing),
    FLUX_RECONCILING,
    If(Is("Ready", "True"), Healthy),
    If(Always, Degraded),
];

const FLUX_SOURCE: &[Rule] =
    &[SUSPENDED, If(Not(&Has("conditions")), Progressing), FLUX_RECONCILING, FLUX_STORED, If(Always, Degraded)];

/// A new version waits for a person, who may let it wait; the one before runs.
const AWAITS_APPROVAL: Test = All(&[
    Equals("/spec/installPlanApproval", "Manual"),
    Has("installedCSV"),
    Because("InstallPlanPending", "RequiresApproval"),
    Is("InstallPlanPending", "True"),
]);

const THREESCALE_CONDITIONS: Rule = Each(
    "conditions",
    &[
        (When("Ready", "True"), Healthy),
        (When("Synced", "True"), Healthy),
        (When("Invalid", "True"), Degraded),
        (When("Orphan", "True"), Degraded),
        (When("Failed", "True"), Degraded),
        (When("Waiting", "True"), Suspended),
        (When("In-progress", "True"), Progressing),
    ],
);

const THREESCALE: &[Rule] = &[THREESCALE_CONDITIONS];
