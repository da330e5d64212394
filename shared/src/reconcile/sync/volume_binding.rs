//! A volume claim whose StorageClass waits for the first consumer (`volumeBindingMode: WaitForFirstConsumer`) holds no
//! wave back: what consumes it may well stand in a later one. Argo CD waits for it to the time-out
//! (argoproj/argo-cd#12840). The health of the application stays what it is, Progressing until the claim is bound.

use std::collections::BTreeMap;

use slipway_cluster::apply;
use slipway_cluster::objects::{self, ObjectRef};
use slipway_gitops::health::{Health, HealthStatus};
use slipway_manifest::Object;

use super::SyncOperation;
use super::executor::SyncExecutor;

/// Set by the scheduler once a pod consumes the claim: from then on its volume is on the way.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// The class where it is given as before Kubernetes 1.6, which the API server still obeys first
/// (kubernetes/component-helpers `storage/volume`, GetPersistentVolumeClaimClass).
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// By the names of storage classes: whether a class waits for the first consumer.
#[derive(Default, Clone)]
pub(super) struct VolumeBinding(BTreeMap<String, bool>);

impl VolumeBinding {
    /// Whether `object` is a claim that nothing consumes yet, and whose class waits for that.
    fn waits_for_consumer(&self, object: &Object) -> bool {
        unconsumed_class(object).and_then(|class| self.0.get(class)).is_some_and(|waits| *waits)
    }
}

/// The class of a claim that is neither bound nor consumed; `None` for everything else.
fn unconsumed_class(object: &Object) -> Option<&str> {
    let is_claim = object.kind() == "PersistentVolumeClaim" && object.group().is_empty();
    let text = |pointer: &str| object.pointer(pointer)?.as_str();
    let is_open = is_claim && text("/status/phase") == Some("Pending") && object.annotation(SELECTED_NODE).is_none();
    object.annotation(BETA_CLASS).or_else(|| text("/spec/storageClassName")).filter(|_| is_open)
}

impl<'a> SyncExecutor<'a> {
    /// Health as waves and hooks wait for it.
    pub(super) fn wave_health(&self) -> impl Fn(&Object) -> Option<HealthStatus> + Send + Sync + use<'a> {
        let (health, binding) = (self.health_check(), self.volume_binding.clone());
        move |object| {
            if binding.waits_for_consumer(object) {
                return Some(HealthStatus::new(Health::Healthy, "waits for its first consumer"));
            }
            health(object)
        }
    }
}

impl SyncOperation<'_> {
    /// Reads the classes of the claims that the sync waits for, each once. A class that can't be read, or is not there
    /// yet, is asked for again; its claim is waited for.
    pub(super) async fn learn_volume_binding(&mut self) {
        let running = self.progress.running().filter_map(|(id, _)| self.snapshot.live.get(id));
        let classes: Vec<String> = running.filter_map(unconsumed_class).map(str::to_owned).collect();
        for class in classes {
            if self.executor.volume_binding.0.contains_key(&class) {
                continue;
            }
            let place = ObjectRef { resource: apply::storage_classes(), namespace: String::new(), name: class.clone() };
            let Ok(Some(found)) = objects::get(&self.executor.cluster, &place).await else { continue };
            let mode = found.get("volumeBindingMode").and_then(|mode| mode.as_str());
            self.executor.volume_binding.0.insert(class, mode == Some("WaitForFirstConsumer"));
        }
    }
}
