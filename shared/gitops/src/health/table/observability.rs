//! Judges what watches: metrics, logs, traces, dashboards and alerts.

use super::Health::{Degraded, Healthy, Missing, Progressing, Suspended, Unknown};
use super::{All, AllOf, Always, Any, Each, Either, Equals, Filled, Has, If, Is, Not, OUTDATED, Row, Starts, When};

pub(super) const ROWS: &[Row] = &[
    (
        "beat.k8s.elastic.co/Beat",
        &[
            If(Equals("health", "red"), Degraded),
            If(Equals("health", "green"), Healthy),
            If(Equals("health", "yellow"), Progressing),
            If(All(&[Not(&Has("health")), Has("expectedNodes")]), Progressing),
            If(Always, Unknown),
        ],
    ),
    (
        "logstash.k8s.elastic.co/Logstash",
        &[If(Equals("health", "green"), Healthy), If(Equals("health", "red"), Degraded)],
    ),
    (
        "coralogix.com/Alert|RecordingRuleGroupSet",
        &[Each("conditions", &[(When("RemoteSynced", "True"), Healthy), (When("RemoteSynced", "False"), Degraded)])],
    ),
    (
        "core.humio.com/HumioAction|HumioAlert|HumioIngestToken|HumioParser|HumioRepository|HumioView",
        &[
            If(Equals("state", "Exists"), Healthy),
            If(Equals("state", "NotFound"), Missing),
            If(Equals("state", "ConfigError"), Degraded),
            If(Equals("state", "Unknown"), Unknown),
        ],
    ),
    (
        "core.humio.com/HumioCluster",
        &[
            If(Equals("state", "Running"), Healthy),
            If(Equals("state", "ConfigError"), Degraded),
            If(Equals("state", "Unknown"), Unknown),
        ],
    ),
    (
        "datadoghq.com/DatadogMetric",
        &[If(Is("Error", "True"), Degraded), If(Is("Valid", "False"), Degraded), If(Always, Healthy)],
    ),
    (
        "grafana.integreatly.org/Grafana",
        &[
            If(Equals("stageStatus", "failed"), Degraded),
            If(All(&[Equals("stage", "complete"), Equals("stageStatus", "success")]), Healthy),
        ],
    ),
    (
        "grafana.integreatly.org/GrafanaDashboard",
        &[
            If(Any("conditions", &Equals("status", "False")), Degraded),
            If(Any("conditions", &Equals("status", "True")), Healthy),
        ],
    ),
    (
        "grafana.integreatly.org/GrafanaDatasource",
        &[
            If(Either(&[Not(&Has("/status")), Equals("uid", "")]), Progressing),
            If(Filled("NoMatchingInstances"), Degraded),
            If(Always, Healthy),
        ],
    ),
    (
        "grafana.integreatly.org/GrafanaFolder",
        &[
            If(Is("FolderUIDMismatch", "True"), Degraded),
            If(
                Any("conditions", &All(&[Equals("status", "False"), Not(&Equals("type", "FolderUIDMismatch"))])),
                Degraded,
            ),
            If(Any("conditions", &Equals("status", "True")), Healthy),
        ],
    ),
    (
        "grafana-org-operator.kubitus-project.gitlab.io/*",
        &[Each(
            "conditions",
            &[
                (When("Ready", "False"), Degraded),
                (When("Ready", "True"), Healthy),
                (Equals("type", "Ready"), Progressing),
            ],
        )],
    ),
    ("jaegertracing.io/Jaeger", &[If(Equals("phase", "Running"), Healthy), If(Equals("phase", "Failed"), Degraded)]),
    (
        "kiali.io/Kiali",
        &[Each(
            "conditions",
            &[
                (When("Successful", "True"), Healthy),
                (When("Failure", "True"), Degraded),
                (All(&[Equals("type", "Running"), Equals("reason", "Running")]), Progressing),
            ],
        )],
    ),
    (
        "monitoring.coreos.com/Prometheus",
        &[Each(
            "conditions",
            &[
                (When("Available", "True"), Healthy),
                (All(&[Equals("type", "Available"), Equals("reason", "SomePodsNotReady")]), Progressing),
                (Equals("type", "Available"), Degraded),
            ],
        )],
    ),
    (
        "opentelemetry.io/OpenTelemetryCollector",
        &[
            // A daemon set without a node for it.
            If(All(&[Equals("/spec/mode", "daemonset"), Equals("scale/statusReplicas", "0/0")]), Healthy),
            If(Starts("scale/statusReplicas", "0/"), Degraded),
            If(AllOf("scale/statusReplicas"), Healthy),
            If(All(&[Has("/status"), Not(&Has("scale/statusReplicas")), Equals("/spec/mode", "sidecar")]), Healthy),
        ],
    ),
    (
        "operator.victoriametrics.com/*",
        &[
            If(OUTDATED, Progressing),
            If(Equals("updateStatus", "operational"), Healthy),
            If(Equals("updateStatus", "paused"), Suspended),
            If(Equals("updateStatus", "failed"), Degraded),
        ],
    ),
];
