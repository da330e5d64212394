//! Tests the messages; the rules are tested by the suite `project` of tests/conformance.

use serde_json::{Value, json};

use super::*;

fn object(value: Value) -> Object {
    Object::from_value(value).unwrap()
}

#[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
fn project(spec: Value) -> AppProject {
    AppProject::from_object(&object(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "shop", "namespace": "argocd"},
        "spec": spec})))
    .unwrap()
}

fn application(namespace: &str) -> Application {
    Application::from_object(&object(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "web",
            "namespace": namespace},
        "spec": {
            "project": "shop",
            "source": {"repoURL": "https://github.com/acme/gitops", "path": "web"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"}}})))
    .unwrap()
}

fn here() -> ClusterName {
    ClusterName { server: "https://kubernetes.default.svc".into(), name: "in-cluster".into() }
}

/// All spellings of a repository are fetched by the same API with the same credential.
#[test]
fn a_repository_is_denied_however_it_is_written() {
    let permits = |patterns: &[&str], url: &str| project(json!({"sourceRepos": patterns})).permits_source(url);
    let spellings = [
        "https://github.com/acme/gitops",
        "https://github.com/acme/gitops/",
        "https://github.com/acme/gitops.git",
        "https://github.com/acme/gitops.git/",
        "https://github.com/acme/gitops.GIT",
        "https://GitHub.com/Acme/GitOps",
        "http://github.com/acme/gitops",
        "git@github.com:acme/gitops.git",
        "git@github.com:acme/gitops/",
        "ssh://git@github.com/acme/gitops",
        "ssh://git@github.com/acme/gitops.git/",
        " https://github.com/acme/gitops ",
    ];
    let mut count = 0;
    for written in spellings {
        for url in spellings {
            assert!(!permits(&["*", &format!("!{}", written.trim())], url), "{written} denies {url}");
            count += 1;
        }
        for pattern in ["!https://github.com/acme/*", "!git@github.com:acme/*", "!https://*/acme/gitops"] {
            assert!(!permits(&["*", pattern], written), "{pattern} {written}");
        }
        for other in
            ["!https://github.com/acme/gitops-2", "!https://github.com/acme/gitop", "!https://gitlab.com/acme/gitops"]
        {
            assert!(permits(&["*", other], written), "{other} {written}");
        }
        assert!(permits(&[written.trim()], written.trim()), "{written}");
        // A star stops at a slash.
        assert!(!permits(&["https://github.com/*"], written), "{written}");
    }
    assert_eq!(count, spellings.len() * spellings.len());
}

/// Each refusal names project, field and what to add.
#[test]
fn refusals_name_the_field_to_change() {
    let spec = json!({
        "sourceRepos": ["https://github.com/acme/*"],
        "destinations": [{"server": "https://kubernetes.default.svc", "namespace": "shop"}],
        "namespaceResourceBlacklist": [{"group": "", "kind": "Secret"}]});
    let with = |pointer: &str, value: Value| {
        let mut spec = spec.clone();
        *spec.pointer_mut(pointer).unwrap() = value;
        project(spec).check(&application("argocd"), &here(), &[]).map_err(|denied| denied.to_string())
    };
    assert_eq!(project(spec.clone()).check(&application("argocd"), &here(), &[]), Ok(()));
    assert_eq!(
        with("/sourceRepos", json!([])).unwrap_err(),
        "AppProject `shop` does not allow the source `https://github.com/acme/gitops`: add it to `spec.sourceRepos`"
    );
    assert_eq!(
        with("/destinations", json!([])).unwrap_err(),
        "AppProject `shop` does not allow the destination `https://kubernetes.default.svc` (in-cluster), namespace \
         `shop`: add it to `spec.destinations`"
    );
    assert_eq!(
        project(spec.clone()).check(&application("team"), &here(), &[]).unwrap_err().to_string(),
        "AppProject `shop` does not allow Applications in the namespace `team`: add it to `spec.sourceNamespaces`"
    );
    let refused = |kind: &str, api_version: &str, namespace: Value| {
        let object = object(json!({
            "apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "namespace": namespace}}));
        project(spec.clone()).check_object(&object, &here(), &[]).map_err(|denied| denied.to_string())
    };
    assert_eq!(refused("ConfigMap", "v1", json!("shop")), Ok(()));
    assert_eq!(
        refused("ClusterRole", "rbac.authorization.k8s.io/v1", Value::Null).unwrap_err(),
        "AppProject `shop` does not allow ClusterRole/x: add `{group: \"rbac.authorization.k8s.io\", kind: \
         ClusterRole}` to `spec.clusterResourceWhitelist`"
    );
    assert_eq!(
        refused("Secret", "v1", json!("shop")).unwrap_err(),
        "AppProject `shop` does not allow Secret/shop/x: `spec.namespaceResourceBlacklist` lists it"
    );
    // A namespace in the object does not bypass the destinations.
    assert!(
        refused("ConfigMap", "v1", json!("kube-system"))
            .unwrap_err()
            .contains("does not allow ConfigMap/kube-system/x in")
    );
}

#[test]
fn what_holds_a_sync_is_named_with_its_end() {
    let held = |windows: Value, manual: bool, at: &str| {
        let project = project(json!({ "syncWindows": windows }));
        project.held(&application(""), &here(), manual, at.parse().unwrap(), None).unwrap().map(|held| held.to_string())
    };
    let night = json!([{"kind": "deny", "schedule": "0 22 * * *", "duration": "8h", "applications": ["*"],
        "timeZone": "Europe/Berlin"}]);
    assert_eq!(held(night.clone(), false, "2026-07-01T12:00:00Z"), None);
    assert_eq!(
        held(night.clone(), false, "2026-07-01T23:00:00Z").unwrap(),
        "blocked by sync window `deny 0 22 * * *` for 8h (Europe/Berlin) until 2026-07-02T04:00:00Z"
    );
    let office = json!([
        {"kind": "allow", "schedule": "0 9 * * 1-5", "duration": "8h", "namespaces": ["shop"], "description": "office"},
        {"kind": "deny", "schedule": "0 9 * * 1", "duration": "1h", "clusters": ["in-cluster"], "manualSync": true}]);
    // Saturday: the next opening is on Monday, and then the other window denies for an hour.
    assert_eq!(
        held(office.clone(), false, "2026-07-04T12:00:00Z").unwrap(),
        "blocked by sync window `allow 0 9 * * 1-5` for 8h (office) until 2026-07-06T10:00:00Z"
    );
    assert_eq!(held(office.clone(), true, "2026-07-06T09:30:00Z"), None, "by hand it may");
    let never = json!([{"kind": "deny", "schedule": "* * * * *", "duration": "1h", "applications": ["web"]}]);
    assert!(held(never, false, "2026-07-04T12:00:00Z").unwrap().ends_with(", with no end in sight"));
    let broken = project(
        json!({"syncWindows": [{"kind": "deny", "schedule": "61 * * * *", "duration": "1h", "applications": ["*"]}]}),
    );
    let error = broken.held(&application(""), &here(), false, Timestamp::UNIX_EPOCH, None).unwrap_err();
    assert_eq!(error.to_string(), "failed to read the schedule `61 * * * *` of a sync window: `61` is outside 0 to 59");
}

#[test]
fn an_empty_list_of_kinds_allows_none() {
    let permits = |spec: Value| project(spec).permits_kind("", "ConfigMap", "c", true);
    assert!(permits(json!({})));
    assert!(!permits(json!({"namespaceResourceWhitelist": []})));
}

fn allowing(more: &Value) -> AppProject {
    let mut spec = json!({"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}]});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    project(spec)
}

/// An unenforced control would let through what its author believes to be kept out.
#[test]
fn what_restricts_and_is_not_obeyed_refuses() {
    let check =
        |more: Value| allowing(&more).check(&application("argocd"), &here(), &[]).map_err(|denied| denied.to_string());
    for (more, said) in [
        (json!({"signatureKeys": [{"keyID": "4AEE18F83AFDEB23"}]}), "`spec.signatureKeys` (commits are not checked"),
        (json!({"sourceIntegrity": {"git": {"policies": [{}]}}}), "`spec.sourceIntegrity` (commits are not checked"),
        (
            json!({"destinationServiceAccounts": [{"server": "*", "namespace": "*",
                "defaultServiceAccount": "deployer"}]}),
            "`spec.destinationServiceAccounts` (objects are applied as Slipway itself: remove it, or set",
        ),
        (json!({"colour": "red"}), "`spec.colour` (it is not known"),
        (
            json!({"destinations": [{"server": "*", "namespace": "*", "zone": "a"}]}),
            "`spec.destinations[0].zone` (it is",
        ),
        (
            json!({"clusterResourceWhitelist": [{"group": "", "kind": "*", "labels": {"team": "a"}}]}),
            "`spec.clusterResourceWhitelist[0].labels`",
        ),
        (
            json!({"syncWindows": [{"kind": "Deny", "schedule": "* * * * *", "duration": "1h"}]}),
            "`spec.syncWindows` (each `kind`",
        ),
        (
            json!({"syncWindows": [{"kind": "deny", "schedule": "* * * * *", "duration": "1h", "unless": "x"}]}),
            "`spec.syncWindows[0].unless`",
        ),
        (
            json!({"syncWindows": [{"kind": "deny", "schedule": "* * * * *", "duration": "1h",
                "applications": ["["]}]}),
            "`spec.syncWindows` (it has",
        ),
        (json!({"sourceRepos": ["*", "!https://github.com/[acme/*"]}), "`spec.sourceRepos` (it has a pattern"),
        (
            json!({"namespaceResourceBlacklist": [{"group": "", "kind": "[Secret"}]}),
            "`spec.namespaceResourceBlacklist` (it has",
        ),
    ] {
        let refused = check(more.clone()).unwrap_err();
        assert!(
            refused.starts_with("AppProject `shop` sets restrictions that Slipway does not enforce")
                && refused.contains(said),
            "{more}: {refused}"
        );
    }
    let both = check(json!({"signatureKeys": [{"keyID": "A"}], "colour": "red"})).unwrap_err();
    assert!(both.contains("spec.signatureKeys") && both.contains("spec.colour"), "all at once: {both}");
}

#[test]
fn what_is_empty_or_restricts_nothing_is_no_control() {
    for more in [
        json!({"signatureKeys": [], "destinationServiceAccounts": [], "sourceIntegrity": {"git": {"policies": []}}}),
        json!({"signatureKeys": null, "sourceIntegrity": {}, "colour": null, "shades": []}),
        json!({"description": "x", "roles": [{"name": "r", "policies": ["p"]}], "orphanedResources": {"warn": true}}),
        json!({"permitOnlyProjectScopedClusters": false, "sourceNamespaces": ["team-*"]}),
    ] {
        assert_eq!(allowing(&more).check(&application("argocd"), &here(), &[]), Ok(()), "{more}");
    }
}

#[test]
fn argocd_cm_restricts_every_project() {
    let check =
        |project: &AppProject| project.check(&application("argocd"), &here(), &[]).map_err(|denied| denied.to_string());
    let with = |more: Value, data: Value| {
        let settings = Settings::from_config_map(data.as_object().unwrap());
        check(&AppProject { settings: Arc::new(settings), ..allowing(&more) })
    };
    let accounts =
        json!({"destinationServiceAccounts": [{"server": "*", "namespace": "*", "defaultServiceAccount": "x"}]});
    assert_eq!(with(accounts.clone(), json!({"application.sync.impersonation.enabled": "false"})), Ok(()));
    for (more, data, said) in [
        (accounts, json!({}), "spec.destinationServiceAccounts"),
        (
            json!({}),
            json!({"application.sync.impersonation.enabled": "true"}),
            "the ConfigMap argocd-cm sets restrictions",
        ),
        (json!({}), json!({"globalProjects": "- projectName: all"}), "`globalProjects`"),
        (json!({}), json!({"resource.exclusions": "{"}), "`resource.exclusions`"),
        (json!({}), json!({"cluster.inClusterEnabled": "false"}), "does not allow the destination in-cluster"),
    ] {
        let refused = with(more, data.clone()).unwrap_err();
        assert!(refused.contains(said), "{data}: {refused}");
    }
}

/// As Argo CD installs it, and as an apply of nothing leaves it.
#[test]
fn an_empty_default_project_allows_everything() {
    let read = |name: &str, spec: Value| {
        let object = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
            "metadata": {"name": name}, "spec": spec});
        AppProject::from_object(&Object::from_value(object).unwrap()).unwrap()
    };
    assert_eq!(read("default", json!({})), AppProject::allow_all());
    assert!(!read("default", json!({"description": "x"})).permits_source("https://github.com/a/b"));
    assert!(!read("team", json!({})).permits_source("https://github.com/a/b"));
}
