//! Reads annotations that control a sync: hook types, phases, delete policies, wave, sync options. Pure.
//!
//! argoproj/argo-cd `gitops-engine/pkg/sync/hook`, `…/hook/helm`, `…/syncwaves`, `…/resource/annotations.go`.

use slipway_manifest::Object;

/// Argo CD's hook annotation.
pub const HOOK: &str = "argocd.argoproj.io/hook";
const HOOK_POLICY: &str = "argocd.argoproj.io/hook-delete-policy";
const HELM_HOOK: &str = "helm.sh/hook";
const HELM_POLICY: &str = "helm.sh/hook-delete-policy";
const WAVE: &str = "argocd.argoproj.io/sync-wave";
const HELM_WEIGHT: &str = "helm.sh/hook-weight";
const SYNC_OPTIONS: &str = "argocd.argoproj.io/sync-options";
const COMPARE_OPTIONS: &str = "argocd.argoproj.io/compare-options";

/// A phase of a sync, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Before anything is applied.
    PreSync,
    /// Applies the manifests.
    Sync,
    /// After all of them are healthy.
    PostSync,
    /// After one of them failed.
    SyncFail,
}

impl Phase {
    /// All phases, in order.
    pub const ALL: [Self; 4] = [Self::PreSync, Self::Sync, Self::PostSync, Self::SyncFail];

    /// Argo CD's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PreSync => "PreSync",
            Self::Sync => "Sync",
            Self::PostSync => "PostSync",
            Self::SyncFail => "SyncFail",
        }
    }
}

/// The event that runs a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HookType {
    /// Before the sync.
    PreSync,
    /// With the sync.
    Sync,
    /// After the sync.
    PostSync,
    /// After a failed sync.
    SyncFail,
    /// Never applied.
    Skip,
    /// Before the application is deleted.
    PreDelete,
    /// After the application was deleted.
    PostDelete,
}

impl HookType {
    const ALL: [(&'static str, Self); 7] = [
        ("PreSync", Self::PreSync),
        ("Sync", Self::Sync),
        ("PostSync", Self::PostSync),
        ("SyncFail", Self::SyncFail),
        ("Skip", Self::Skip),
        ("PreDelete", Self::PreDelete),
        ("PostDelete", Self::PostDelete),
    ];

    /// Argo CD's name.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, hook)| *hook == self).map_or("", |(word, _)| word)
    }

    fn of_helm(word: &str) -> Option<Self> {
        Some(match word {
            "pre-install" | "pre-upgrade" => Self::PreSync,
            "post-install" | "post-upgrade" => Self::PostSync,
            _ => return None,
        })
    }

    /// The sync phase that runs such a hook.
    pub fn phase(self) -> Option<Phase> {
        match self {
            Self::PreSync => Some(Phase::PreSync),
            Self::Sync => Some(Phase::Sync),
            Self::PostSync => Some(Phase::PostSync),
            Self::SyncFail => Some(Phase::SyncFail),
            Self::Skip | Self::PreDelete | Self::PostDelete => None,
        }
    }
}

/// When a hook's object is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeletePolicy {
    /// After the whole sync succeeded.
    HookSucceeded,
    /// After the sync failed.
    HookFailed,
    /// Before it is re-created.
    BeforeHookCreation,
}

impl DeletePolicy {
    /// Argo CD's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HookSucceeded => "HookSucceeded",
            Self::HookFailed => "HookFailed",
            Self::BeforeHookCreation => "BeforeHookCreation",
        }
    }
}

/// The valid hook types in Argo CD's annotation or, where that is missing, in Helm's.
pub fn types(object: &Object) -> Vec<HookType> {
    let argo = words(object, HOOK).filter_map(|word| HookType::ALL.iter().find(|(name, _)| *name == word));
    let argo = unique(argo.map(|(_, hook)| *hook));
    if argo.is_empty() { words(object, HELM_HOOK).filter_map(HookType::of_helm).collect() } else { argo }
}

/// Whether the object is a hook of its application's deletion: before (`PreDelete`) or after (`PostDelete`) it.
pub fn deletion_hook(object: &Object) -> Option<HookType> {
    let argo = types(object).into_iter().find(|hook| matches!(hook, HookType::PreDelete | HookType::PostDelete));
    argo.or_else(|| {
        let helm = words(object, HELM_HOOK).find_map(|word| match word {
            "pre-delete" => Some(HookType::PreDelete),
            "post-delete" => Some(HookType::PostDelete),
            _ => None,
        });
        helm.filter(|_| types(object).is_empty())
    })
}

/// Whether the object is never applied.
pub fn is_skipped(object: &Object) -> bool {
    types(object) == [HookType::Skip]
}

/// Whether the object is a hook; one of an unknown type is a hook without a phase.
pub fn is_hook(object: &Object) -> bool {
    if object.annotation(HOOK).is_some() {
        return !is_skipped(object);
    }
    words(object, HELM_HOOK).any(|word| !word.is_empty() && word != "crd-install")
}

/// The sync phases that apply the object.
pub fn phases(object: &Object) -> Vec<Phase> {
    if is_skipped(object) {
        return Vec::new();
    }
    if !is_hook(object) {
        return vec![Phase::Sync];
    }
    let mut phases: Vec<Phase> = types(object).into_iter().filter_map(HookType::phase).collect();
    phases.sort_unstable();
    phases.dedup();
    phases
}

/// The hook's delete policies, of Argo CD and Helm; `BeforeHookCreation` where it has none.
pub fn delete_policies(object: &Object) -> Vec<DeletePolicy> {
    let argo = words(object, HOOK_POLICY).filter_map(|word| match word {
        "HookSucceeded" => Some(DeletePolicy::HookSucceeded),
        "HookFailed" => Some(DeletePolicy::HookFailed),
        "BeforeHookCreation" => Some(DeletePolicy::BeforeHookCreation),
        _ => None,
    });
    let helm = words(object, HELM_POLICY).filter_map(|word| match word {
        "hook-succeeded" => Some(DeletePolicy::HookSucceeded),
        "hook-failed" => Some(DeletePolicy::HookFailed),
        "before-hook-creation" => Some(DeletePolicy::BeforeHookCreation),
        _ => None,
    });
    let policies: Vec<DeletePolicy> = unique(argo).into_iter().chain(helm).collect();
    if policies.is_empty() { vec![DeletePolicy::BeforeHookCreation] } else { policies }
}

/// The sync wave: Argo CD's annotation, where that is no number Helm's hook weight, else 0.
pub fn wave(object: &Object) -> i64 {
    let number = |key: &str| object.annotation(key)?.parse().ok();
    number(WAVE).or_else(|| number(HELM_WEIGHT)).unwrap_or_default()
}

/// Whether the object has the sync option `option`, such as `Prune=false`.
pub fn has_sync_option(object: &Object, option: &str) -> bool {
    words(object, SYNC_OPTIONS).any(|word| word == option)
}

/// The value of the object's sync option `key`, such as `confirm` of `Prune=confirm`; the first of several counts.
pub fn sync_option<'a>(object: &'a Object, key: &str) -> Option<&'a str> {
    words(object, SYNC_OPTIONS).find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

/// Whether the object has the compare option `option`, such as `IgnoreExtraneous`.
pub fn has_compare_option(object: &Object, option: &str) -> bool {
    words(object, COMPARE_OPTIONS).any(|word| word == option)
}

/// The items of an annotation with a comma-separated list.
fn words<'a>(object: &'a Object, key: &str) -> impl Iterator<Item = &'a str> {
    object.annotation(key).into_iter().flat_map(|list| list.split(',')).map(str::trim)
}

fn unique<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    items.fold(Vec::new(), |mut seen, item| {
        if !seen.contains(&item) {
            seen.push(item);
        }
        seen
    })
}
