//! What a team declares: Applications, projects, the settings of Argo CD, annotations.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use slipway::image::{self, TagInfo};
use slipway::notify::report::AppSyncStatus;
use slipway::notify::subscribe::{self, Subscriptions};
use slipway::reconcile::sync::retry::Backoff;
use slipway::render::BuildOptions;
use slipway_gitops::app::project::window_status;
use slipway_gitops::app::settings::Settings;
use slipway_gitops::app::{self, Application, ClusterName, ProjectPermissions, Projects, depends};
use slipway_gitops::argocd_cm::Overrides;
use slipway_gitops::normalize::Normalizer;
use slipway_gitops::tracking::{TrackingId, tracking_id};
use slipway_gitops::{annotations, location, prune_guard};
use slipway_manifest::names::Form;
use slipway_manifest::{Object, tree, yaml};

use crate::parts;

/// Manifests of the root: what they declare, and everything that is read of it later.
pub fn application(data: &[u8]) {
    let Some(text) = parts::text(data) else { return };
    let objects = parts::objects(text);
    let found = app::find(&objects);
    let projects = Projects::new(found.projects.clone(), found.settings.clone());
    let all: Vec<&Application> = found.applications.iter().collect();
    assert_eq!(depends::order(&all, &depends::waves(&all, &vec![None; all.len()])).len(), all.len());
    for app in &found.applications {
        assert!(Form::Subdomain.fits(&app.name), "{}", app.name);
        if let Ok(folder) = app.source.folder() {
            assert_eq!(tree::join("", &folder).as_ref(), Ok(&folder));
        }
        let permissions = ProjectPermissions::of(app, &projects, &found.clusters);
        let _ = (permissions.refused(&objects), permissions.refused_source(&app.source.repo_url));
        let windows: Vec<_> = permissions.windows(app).into_iter().cloned().collect();
        let _ = window_status(&windows, Timestamp::UNIX_EPOCH);
        let _ = permissions.held(app, false, Timestamp::UNIX_EPOCH, None);
        let backoff = Backoff::of(app.sync_policy.retry.as_ref());
        let delays = [0, 1, 10, u32::MAX].map(|retries| backoff.next(retries));
        assert!(delays.into_iter().flatten().all(|delay| delay <= slipway::time::LONGEST), "{backoff:?}");
        let _ = (app.cascade(), image::of_annotations(app), Subscriptions::of(&app.object));
        if let Ok(normalizer) = Normalizer::new(&app.ignore_differences, &found.overrides) {
            for object in &objects {
                let _ = normalizer.normalize(&mut object.clone());
            }
        }
        for object in &objects {
            let id = app.tracking_id(object);
            if let Some(read) = TrackingId::parse(&id).filter(|_| !object.group().contains([':', '/'])) {
                assert_eq!(read.app, id.split(':').next().unwrap_or_default());
            }
        }
    }
    for object in &objects {
        let _ = (annotations::wave(object), annotations::phases(object), annotations::delete_policies(object));
        let _ = (annotations::types(object), annotations::sync_option(object, "Prune"));
        let _ = (annotations::deletion_hook(object), prune_guard::holds_state(object));
        let _ = TrackingId::of(object);
        let id = object.id();
        let is_simple = [&id.group, &id.kind, &id.namespace].iter().all(|part| !part.contains([':', '/']));
        if is_simple && !id.name.is_empty() {
            let read = TrackingId::parse(&tracking_id("web", &id, "shop"));
            assert!(read.is_some_and(|read| read.describes(object)), "{id}");
        }
    }
}

/// The data of `argocd-cm`, and flags of Kustomize.
pub fn argocd_cm(data: &[u8]) {
    let Some(text) = parts::text(data) else { return };
    let Ok(Value::Object(data)) = yaml::parse(text) else { return };
    let overrides = Overrides::from_config_map(&data);
    let _ = Overrides::from_map(&data);
    let settings = Settings::from_config_map(&data);
    let cluster = ClusterName { server: "https://example.com".to_owned(), name: "production".to_owned() };
    let _ = (settings.excludes("apps", "Deployment", &cluster), overrides.health("apps", "Deployment"));
    if let Ok(normalizer) = Normalizer::new(&[], &overrides) {
        for kind in ["Deployment", "ConfigMap"] {
            let object = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "a"}, "spec": {"a": [1]}});
            let _ = normalizer.normalize(&mut Object::from_value(object).expect("an object"));
        }
    }
    let _ = subscribe::unsupported(&data);
    for value in data.values().filter_map(Value::as_str) {
        let _ = BuildOptions::parse(value);
    }
}

/// An Application with the annotations `PREFIX` and what stands before the `=` of each line.
fn annotated(prefix: &str, text: &str) -> Option<Application> {
    let annotation = |line: &str| {
        let (key, value) = line.split_once('=')?;
        Some((format!("{prefix}{key}"), Value::from(value)))
    };
    let annotations: Map<String, Value> = text.lines().filter_map(annotation).collect();
    let object = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "web", "annotations": annotations},
        "spec": {
            "source": {"repoURL": "https://github.com/acme/shop", "path": "apps/web"},
            "destination": {"name": "in-cluster"},
        },
    });
    Application::from_object(&Object::from_value(object).ok()?).ok()
}

/// Image Updater's annotations: no folder outside of the repository, no branch that git would not have, no tag that is
/// to be ignored.
pub fn image_list(data: &[u8]) {
    let Some(app) = parts::text(data).and_then(|text| annotated("argocd-image-updater.argoproj.io/", text)) else {
        return;
    };
    let tags: Vec<TagInfo> = ["1.0.0", "1.2.3-rc.1", "v2", "latest", "main-abc1234", "sha-0"]
        .iter()
        .zip(0..)
        .map(|(tag, at)| TagInfo { tag: (*tag).to_owned(), pushed_at_ms: at, ..TagInfo::default() })
        .collect();
    let settings = match image::of_annotations(&app) {
        Ok(settings) => settings.unwrap_or_default(),
        Err(error) => {
            let _ = error.to_string();
            return;
        }
    };
    let (updates, errors) = image::updates(&app, &settings, None, |_| true);
    for error in errors {
        let _ = error.to_string();
    }
    for update in updates {
        for file in update.reads() {
            assert_eq!(tree::join("", &file).as_ref(), Ok(&file));
        }
        assert!(update.branch.as_deref().is_none_or(location::is_revision), "{:?}", update.branch);
        if let Ok(Some(chosen)) = image::choose(&update, &tags) {
            assert!(update.allow.allows(&chosen.tag) && !update.ignore.contains(&chosen.tag), "{}", chosen.tag);
            for current in &tags {
                let _ = image::is_forward(&update, &current.tag, chosen, &tags);
            }
        }
    }
}

/// Annotations of notifications: a bounded number of channels.
pub fn subscriptions(data: &[u8]) {
    let Some(app) = parts::text(data).and_then(|text| annotated("notifications.argoproj.io/", text)) else { return };
    let subscriptions = Subscriptions::of(&app.object);
    for phase in [AppSyncStatus::Healthy, AppSyncStatus::Failed, AppSyncStatus::OutOfSync, AppSyncStatus::Waiting] {
        let channels = subscriptions.channels(phase, "C0");
        assert!(channels.len() <= 20 && channels.iter().all(|channel| !channel.is_empty()), "{channels:?}");
    }
}
