use slipway_manifest::Object;

use super::{Health, HealthStatus, number, text};

/// A StatefulSet: Healthy when its pods are ready and all of one revision, unless partitioned or `OnDelete`.
pub(super) fn health(object: &Object) -> HealthStatus {
    let verdict = |health, message: String| HealthStatus::new(health, message);
    let observed = number(object, "/status/observedGeneration", 0);
    if observed == 0 || number(object, "/metadata/generation", 0) > observed {
        return verdict(Health::Progressing, "Waiting for statefulset spec update to be observed...".to_owned());
    }
    let replicas = object.pointer("/spec/replicas").and_then(serde_json::Value::as_i64);
    let ready = number(object, "/status/readyReplicas", 0);
    let updated = number(object, "/status/updatedReplicas", 0);
    if let Some(missing) = replicas.map(|replicas| replicas.saturating_sub(ready)).filter(|missing| *missing > 0) {
        return verdict(Health::Progressing, format!("Waiting for {missing} pods to be ready..."));
    }
    let strategy = text(object, "/spec/updateStrategy/type");
    let rolling = object.pointer("/spec/updateStrategy/rollingUpdate").filter(|rolling| rolling.is_object());
    if let (true, Some(rolling)) = (strategy == "RollingUpdate", rolling) {
        let partition = rolling.get("partition").and_then(serde_json::Value::as_i64);
        if let (Some(replicas), Some(partition)) = (replicas, partition) {
            let due = replicas.saturating_sub(partition);
            if updated < due {
                return verdict(
                    Health::Progressing,
                    format!(
                        "Waiting for partitioned roll out to finish: {updated} out of {due} new pods have been \
                         updated..."
                    ),
                );
            }
        }
        let message = format!("partitioned roll out complete: {updated} new pods have been updated...");
        return verdict(Health::Healthy, message);
    }
    if strategy == "OnDelete" {
        return verdict(Health::Healthy, format!("statefulset has {ready} ready pods"));
    }
    let (update, current) = (text(object, "/status/updateRevision"), text(object, "/status/currentRevision"));
    if update != current {
        let message =
            format!("waiting for statefulset rolling update to complete {updated} pods at revision {update}...");
        return verdict(Health::Progressing, message);
    }
    let pods = number(object, "/status/currentReplicas", 0);
    verdict(Health::Healthy, format!("statefulset rolling update complete {pods} pods at revision {current}..."))
}
