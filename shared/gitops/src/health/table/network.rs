//! Judges routes and gateways, certificates, secrets and policies.

use super::Health::{Degraded, Healthy, Progressing, Suspended, Unknown};
use super::{
    All, Always, Any, Because, Each, Either, Equals, Filled, Has, If, Is, Not, OBSERVED, OneOf, READY, Row, Rule, Same,
    Starts, Test, When,
};

pub(super) const ROWS: &[Row] = &[
    // Certificates and secrets.
    (
        "cert-manager.io/Certificate",
        &[
            If(Is("Issuing", "True"), Progressing),
            Each("conditions", &[(When("Ready", "False"), Degraded), (When("Ready", "True"), Healthy)]),
        ],
    ),
    ("cert-manager.io/ClusterIssuer|Issuer", READY),
    ("certmanager.k8s.io/Certificate|Issuer", READY),
    (
        "bitnami.com/SealedSecret",
        &[
            If(Not(&All(&[Has("/metadata/generation"), OBSERVED])), Progressing),
            Each("conditions", &[(When("Synced", "False"), Degraded), (When("Synced", "True"), Healthy)]),
        ],
    ),
    (
        "external-secrets.io/ClusterExternalSecret",
        &[
            // The last condition is the newest.
            If(All(&[Equals("conditions/-/type", "Ready"), Equals("conditions/-/status", "True")]), Healthy),
            If(
                All(&[
                    OneOf("conditions/-/type", &["PartiallyReady", "NotReady"]),
                    Equals("conditions/-/status", "True"),
                ]),
                Degraded,
            ),
        ],
    ),
    ("external-secrets.io/ClusterSecretStore|ExternalSecret|PushSecret|SecretStore", READY),
    (
        "kubernetes-client.io/ExternalSecret",
        &[If(Equals("status", "SUCCESS"), Healthy), If(Starts("status", "ERROR"), Degraded)],
    ),
    ("onepassword.com/OnePasswordItem", READY),
    // Policies.
    (
        "kyverno.io/Policy",
        &[If(
            Any(
                "conditions",
                &All(&[When("Ready", "True"), Equals("reason", "Succeeded"), Equals("message", "Ready")]),
            ),
            Healthy,
        )],
    ),
    (
        "policy.open-cluster-management.io/CertificatePolicy",
        &[If(Not(&Has("compliant")), Progressing), If(Equals("compliant", "Compliant"), Healthy), If(Always, Degraded)],
    ),
    (
        "policy.open-cluster-management.io/ConfigurationPolicy",
        &[
            If(Not(&All(&[Has("compliant"), Has("compliancyDetails")])), Progressing),
            If(Not(&Same("lastEvaluatedGeneration", "/metadata/generation")), Progressing),
            If(Equals("compliant", "Compliant"), Healthy),
            If(Always, Degraded),
        ],
    ),
    (
        "policy.open-cluster-management.io/OperatorPolicy",
        &[
            If(All(&[Has("observedGeneration"), Not(&OBSERVED)]), Progressing),
            Each("conditions", &[(When("Compliant", "True"), Healthy), (Equals("type", "Compliant"), Degraded)]),
        ],
    ),
    (
        "policy.open-cluster-management.io/Policy",
        &[
            If(Filled("/spec/disabled"), Healthy),
            // It selects no cluster.
            If(All(&[Filled("placement"), Not(&Has("compliant")), Not(&Has("status"))]), Healthy),
            If(Not(&Has("compliant")), Progressing),
            If(Equals("compliant", "Compliant"), Healthy),
            If(Always, Degraded),
        ],
    ),
    (
        "nmstate.io/NodeNetworkConfigurationPolicy",
        &[Each(
            "conditions",
            &[
                (When("Available", "True"), Healthy),
                (When("Degraded", "True"), Degraded),
                (When("Progressing", "True"), Progressing),
                (When("Ignored", "True"), Suspended),
            ],
        )],
    ),
    // The Gateway API.
    (
        "gateway.networking.k8s.io/BackendTLSPolicy",
        &[
            If(Any("ancestors", &Any("conditions", &CONDITION_OUTDATED)), Progressing),
            If(Any("ancestors", &Any("conditions", &REFUSED)), Degraded),
            If(Any("ancestors", &Any("conditions", &When("Accepted", "True"))), Healthy),
        ],
    ),
    (
        "gateway.networking.k8s.io/Gateway",
        &[
            If(Is("ResolvedRefs", "False"), Degraded),
            If(Is("Accepted", "False"), Degraded),
            If(Any("conditions", &UNPROGRAMMED), Progressing),
            Each(
                "listeners",
                &[
                    (Any("conditions", &When("ResolvedRefs", "False")), Degraded),
                    (Any("conditions", &When("Accepted", "False")), Degraded),
                    (Any("conditions", &UNPROGRAMMED), Progressing),
                ],
            ),
            If(Either(&[Has("conditions"), Filled("listeners")]), Healthy),
        ],
    ),
    (
        "gateway.networking.k8s.io/GatewayClass",
        &[Each(
            "conditions",
            &[
                (All(&[When("Accepted", "True"), Not(&CONDITION_OUTDATED)]), Healthy),
                (All(&[When("Accepted", "False"), Not(&CONDITION_OUTDATED)]), Degraded),
                (All(&[Equals("type", "Accepted"), Not(&CONDITION_OUTDATED)]), Progressing),
            ],
        )],
    ),
    (
        "gateway.networking.k8s.io/GRPCRoute|HTTPRoute",
        &[
            Each(
                "parents",
                &[
                    (All(&[PARENT_OBSERVED, Any("conditions", &When("ResolvedRefs", "False"))]), Degraded),
                    (All(&[PARENT_OBSERVED, Any("conditions", &When("Accepted", "False"))]), Degraded),
                    (All(&[PARENT_OBSERVED, Any("conditions", &UNPROGRAMMED)]), Progressing),
                ],
            ),
            If(Any("parents", &All(&[Filled("conditions"), PARENT_OBSERVED])), Healthy),
        ],
    ),
    // Airlock Microgateway: only its policies have a status.
    (
        "microgateway.airlock.com/*Policy",
        &[
            If(
                All(&[Has("/metadata/generation"), Any("ancestors", &Any("conditions", &Not(&CONDITION_OBSERVED)))]),
                Progressing,
            ),
            If(Any("ancestors", &Any("conditions", &REFUSED)), Degraded),
            If(Any("ancestors", &Not(&Any("conditions", &Equals("type", "Accepted")))), Degraded),
            If(Filled("ancestors"), Healthy),
        ],
    ),
    ("microgateway.airlock.com/*", &[If(Always, Healthy)]),
    // Solo.io's Gloo.
    ("gateway.solo.io/Gateway|MatchableHttpGateway|RouteOption|RouteTable|VirtualHostOption|VirtualService", GLOO),
    ("gloo.solo.io/Proxy|Settings|Upstream|UpstreamGroup", GLOO),
    // Contour.
    (
        "projectcontour.io/ExtensionService",
        &[Each(
            "conditions",
            &[
                (All(&[When("Valid", "True"), CONDITION_OBSERVED]), Healthy),
                (All(&[When("Valid", "False"), CONDITION_OBSERVED]), Degraded),
            ],
        )],
    ),
    (
        "projectcontour.io/HTTPProxy",
        &[Each(
            "conditions",
            &[
                (All(&[When("Valid", "True"), CONDITION_OBSERVED]), Healthy),
                // A proxy that is included elsewhere is not valid on its own.
                (All(&[Has("/spec/includes"), Equals("status", "False"), CONDITION_OBSERVED]), Healthy),
                (All(&[When("Valid", "False"), CONDITION_OBSERVED]), Degraded),
            ],
        )],
    ),
    (
        "install.istio.io/IstioOperator",
        &[
            If(OneOf("status", &["0", "NONE"]), Unknown),
            If(OneOf("status", &["3", "HEALTHY"]), Healthy),
            If(OneOf("status", &["4", "ERROR"]), Degraded),
        ],
    ),
    (
        "proclaim.dogmatiq.io/DNSSDServiceInstance",
        &[
            If(Is("Adopted", "False"), Degraded),
            If(
                Any(
                    "conditions",
                    &All(&[Equals("type", "Advertised"), OneOf("reason", &["AdvertiseError", "UnadvertiseError"])]),
                ),
                Degraded,
            ),
            If(Because("Discoverable", "DiscoveryError"), Unknown),
            If(Is("Discoverable", "True"), Healthy),
        ],
    ),
    (
        "route.openshift.io/Route",
        &[
            If(Not(&Has("ingress")), Progressing),
            If(Not(&Any("ingress", &Not(&Any("conditions", &When("Admitted", "True"))))), Healthy),
            If(Any("ingress", &Any("conditions", &When("Admitted", "False"))), Degraded),
        ],
    ),
    (
        "operator.openshift.io/IngressController",
        &[Each(
            "conditions",
            &[
                (When("Degraded", "True"), Degraded),
                (When("DeploymentReplicasAllAvailable", "False"), Progressing),
                (When("Progressing", "True"), Progressing),
                (When("Available", "True"), Healthy),
            ],
        )],
    ),
];

/// The condition is of this generation.
const CONDITION_OBSERVED: Test = Same("observedGeneration", "/metadata/generation");

/// The condition says which generation it is of, and it is another one.
const CONDITION_OUTDATED: Test =
    All(&[Has("/metadata/generation"), Has("observedGeneration"), Not(&CONDITION_OBSERVED)]);

/// No condition of the parent is of another generation, and where the object has one, there are conditions.
const PARENT_OBSERVED: Test = Either(&[
    Not(&Has("/metadata/generation")),
    All(&[Filled("conditions"), Not(&Any("conditions", &CONDITION_OUTDATED))]),
]);

const REFUSED: Test = All(&[OneOf("type", &["Accepted", "ResolvedRefs"]), Not(&Equals("status", "True"))]);

const UNPROGRAMMED: Test = All(&[Equals("type", "Programmed"), Not(&Equals("status", "True"))]);

/// Gloo has a status, or one for each namespace that a controller of it runs in; states are words or their numbers.
const GLOO: &[Rule] = &[
    Each(
        "statuses",
        &[
            (OneOf("state", &["Accepted", "1"]), Healthy),
            (OneOf("state", &["Warning", "3", "Rejected", "2"]), Degraded),
            (OneOf("state", &["Pending", "0"]), Suspended),
        ],
    ),
    If(OneOf("state", &["Accepted", "1"]), Healthy),
    If(OneOf("state", &["Warning", "3", "Rejected", "2"]), Degraded),
    If(OneOf("state", &["Pending", "0"]), Suspended),
];
