#![allow(clippy::needless_pass_by_value)] // `json!` reads better in place

use serde_json::json;

use super::*;

fn object(value: Value) -> Object {
    Object::from_value(value).unwrap()
}

fn app(spec: Value) -> Result<Application, AppError> {
    Application::from_object(&object(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "web", "namespace": "argocd", "finalizers": ["resources-finalizer.argocd.argoproj.io"]},
        "spec": spec,
    })))
}

fn spec() -> Value {
    json!({
        "project": "shop",
        "source": {"repoURL": "https://github.com/acme/gitops", "path": "apps/web", "targetRevision": "main"},
        "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
        "syncPolicy": {"automated": {"prune": true}, "syncOptions": ["CreateNamespace=true"], "retry": {"limit": 2,
            "backoff": {"duration": "5s"}}},
    })
}

#[test]
fn an_application_is_read() {
    let app = app(spec()).unwrap();
    assert_eq!((app.name.as_str(), app.project.as_str(), app.source.path.as_str()), ("web", "shop", "apps/web"));
    let automated = app.sync_policy.automated.unwrap();
    assert!(automated.prune && automated.enabled && !automated.self_heal);
    assert!(app.sync_policy.is_automated() && app.has_sync_option("CreateNamespace=true") && app.cascade().is_some());
    assert_eq!(app.sync_policy.retry.as_ref().unwrap().duration.as_deref(), Some("5s"));
    assert_eq!(app.warnings, Vec::<String>::new());
    let deployment = object(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}}));
    assert_eq!(app.tracking_id(&deployment), "web:apps/Deployment:shop/web");
}

#[test]
fn each_of_several_sources_is_read() {
    let mut many = spec();
    many["sources"] = json!([
        {"repoURL": "https://github.com/acme/values", "ref": "values"},
        {"repoURL": "https://charts.example.com", "chart": "web", "targetRevision": "1.2.3",
            "helm": {"valueFiles": ["$values/web.yaml"]}},
        {"repoURL": "https://github.com/acme/gitops", "path": "extra", "ref": "extra"}]);
    let several = app(many).unwrap();
    assert_eq!((several.sources.len(), several.source.chart.as_deref()), (3, Some("web")));
    let each = several.per_source();
    let paths: Vec<&str> = each.iter().map(|one| one.source.path.as_str()).collect();
    assert_eq!(paths, ["", "extra"], "a source that is only a reference has no manifests");
    assert!(each.iter().all(|one| one.sources.is_empty()));
    assert_eq!(each[1].object.pointer("/spec/source/path"), Some(&json!("extra")));
    assert_eq!(each[1].object.pointer("/spec/sources"), None);
    let one = app(spec()).unwrap();
    assert_eq!(one.per_source(), std::slice::from_ref(&one));
    let mut both = spec();
    both["sources"] = json!([{"repoURL": "https://charts.example.com", "chart": "web", "ref": "values"}]);
    assert!(app(both).unwrap_err().to_string().contains("a source with `ref` can't have `chart`"));
}

#[test]
fn the_names_of_sources_are_unique_words() {
    let refused = |sources: Value| {
        let mut many = spec();
        many["sources"] = sources;
        app(many).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let named = |name: &str| json!({"repoURL": "https://github.com/acme/gitops", "path": "apps/web", "ref": name});
    assert_eq!(refused(json!([named("a_b-C1"), named("other"), named(""), named("")])), "");
    assert!(refused(json!([named("a"), named("b"), named("a")])).contains("more than one has `ref: a`"));
    for wrong in ["a/b", "a.b", "ä", "$a", "a b"] {
        let error = refused(json!([named(wrong)]));
        assert!(error.contains(&format!("`ref: {wrong}` may have letters, digits")), "{error}");
    }
    let many = |count: usize| refused((0..count).map(|_| named("")).collect());
    assert_eq!((many(100).as_str(), many(101).contains("has more than 100")), ("", true));
}

#[test]
fn what_is_wrong_is_named() {
    let error = |pointer: &str, value: Value| {
        let mut spec = spec();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = if parent.is_empty() { &mut spec } else { spec.pointer_mut(parent).unwrap() };
        parent.as_object_mut().unwrap().insert(key.to_owned(), value);
        app(spec).map_err(|e| e.to_string())
    };
    let id = "Application.argoproj.io/argocd/web";
    for (pointer, value, message) in [
        ("/source/path", json!(1), "`spec.source.path` must be a string, found a number"),
        ("/source/repoURL", json!(""), "`spec.source.repoURL` is missing or empty"),
        ("/source", json!(null), "`spec.source` is missing or empty"),
        ("/sourceHydrator", json!({}), "`spec.sourceHydrator.drySource` is missing or empty"),
        ("/sourceHydrator", json!({"drySource": {"path": "x"}}), "`spec.source.repoURL` is missing or empty"),
        ("/sources", json!([{"path": "x"}]), "`spec.sources[0].repoURL` is missing or empty"),
        ("/destination/name", json!("x"), "`spec.destination` can't have both `server` and `name`"),
        (
            "/syncPolicy/automated/prune",
            json!("yes"),
            "`spec.syncPolicy.automated.prune` must be a boolean, found a string",
        ),
        (
            "/syncPolicy/syncOptions",
            json!([1]),
            "`spec.syncPolicy.syncOptions` must be a list of strings, found a list",
        ),
        (
            "/syncPolicy/syncOptions",
            json!(["Prune=Confirm"]),
            "`spec.syncPolicy.syncOptions`: `Prune=Confirm` must be one of true, false, confirm",
        ),
        (
            "/destination/namespace",
            json!("kube-system/secrets?x=-dev"),
            "`spec.destination.namespace` must be at most 63 lower-case letters, digits and `-` (RFC 1123), found \
             \"kube-system/secrets?x=-dev\"",
        ),
        (
            "/project",
            json!("../shop"),
            "`spec.project` must be lower-case letters, digits, `-` and `.` (RFC 1123), found \"../shop\"",
        ),
    ] {
        assert_eq!(error(pointer, value).unwrap_err(), format!("{id}: {message}"));
    }
    let unknown = error("/source/colour", json!("red")).unwrap();
    assert_eq!(unknown.warnings, [format!("{id}: unknown field `spec.source.colour` has no effect")]);
    assert_eq!(unknown.object.pointer("/spec/source/colour"), Some(&json!("red")));
    assert!(error("/source/kustomize", json!({"images": ["a:1"]})).unwrap().source.kustomize.is_some());
    let everywhere = error("/destination/namespace", json!("*")).unwrap();
    assert_eq!(everywhere.destination.namespace, "");
    let advice = "`spec.destination.namespace` `*` is no namespace: each object has to name its own";
    assert_eq!(everywhere.warnings, [format!("{id}: {advice}")]);
}

/// One broken declaration does not hide the others.
#[test]
fn declarations_are_found_beside_broken_ones() {
    let application = |name: &str, spec: Value| {
        object(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": name}, "spec": spec}))
    };
    let config = r#"{"awsAuthConfig": {"clusterName": "prod", "roleARN": "arn:aws:iam::1:role/x"},
        "tlsClientConfig": {"caData": "Zm9v"}}"#;
    let secret = |data: Value| {
        object(json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "prod", "labels": {"argocd.argoproj.io/secret-type": "cluster"}}, "stringData": data}))
    };
    let found = find(&[
        application("broken", json!({})),
        application("web", spec()),
        application("web", spec()),
        secret(json!({"server": "https://prod", "name": "prod", "config": config})),
        secret(json!({"server": "https://x", "config": "{\"bearerToken\": \"canary\"}"})),
        object(json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "shop"}})),
        object(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "other"}})),
    ]);
    assert_eq!(found.applications.len(), 1);
    assert_eq!(
        found.clusters[0].aws,
        AwsAuth { cluster_name: "prod".into(), role_arn: Some("arn:aws:iam::1:role/x".into()) }
    );
    let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors.len(), 3);
    assert!(errors[0].ends_with("`spec.source` is missing or empty"), "{}", errors[0]);
    assert!(errors[1].contains("declared twice") && errors[2].contains("not supported yet"));
    assert!(!format!("{found:?}").contains("canary"));
    assert_eq!((found.warnings.len(), found.projects.len()), (0, 1));
}

/// Where no namespace is written, it is Argo CD's own.
#[test]
fn one_application_is_declared_once_however_it_is_written() {
    let app = |namespace: Value| {
        let metadata = json!({"name": "shop", "namespace": namespace});
        object(
            json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": metadata, "spec": spec()}),
        )
    };
    let found = find(&[app(Value::Null), app(json!("argocd")), app(json!("team"))]);
    assert_eq!(found.applications.len(), 2);
    assert!(matches!(found.errors.as_slice(), [AppError::Duplicate { .. }]), "{:?}", found.errors);
}

/// Names become parts of URLs and of tracking ids: `argocd/team_shop` would be `team/shop` there.
#[test]
fn names_that_lead_elsewhere_are_refused() {
    let named = |metadata: Value| {
        let app =
            json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": metadata, "spec": spec()});
        Application::from_object(&object(app)).map_err(|error| error.to_string())
    };
    assert!(named(json!({"name": "team.shop-1", "namespace": "argocd"})).is_ok());
    for (metadata, field) in [
        (json!({"name": "team_shop", "namespace": "argocd"}), "metadata.name"),
        (json!({"name": "../x"}), "metadata.name"),
        (json!({"name": "Shop"}), "metadata.name"),
        (json!({"name": "shop", "namespace": "a_b"}), "metadata.namespace"),
        (json!({"name": "shop", "namespace": "a/b"}), "metadata.namespace"),
        (json!({"name": "shop", "annotations": {"slipway.dev/lookup-namespaces": "db, ../x"}}), "lookup-namespaces"),
    ] {
        let refused = named(metadata.clone()).unwrap_err();
        assert!(refused.contains(field), "{metadata}: {refused}");
    }
    let project = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "a_b"}});
    assert!(AppProject::from_object(&object(project)).unwrap_err().to_string().contains("`metadata.name`"));
    let cluster = |field: &str, value: &str| {
        let mut data = json!({"name": "prod", "server": "https://prod",
            "config": r#"{"awsAuthConfig": {"clusterName": "prod"}}"#});
        data[field] = json!(value);
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "prod"}, "stringData": data});
        ClusterSecret::from_object(&object(secret)).map_err(|error| error.to_string())
    };
    assert!(cluster("namespaces", "team-a, team-b").is_ok());
    let refused = cluster("namespaces", "team-a,kube-system/x").unwrap_err();
    assert!(refused.contains("`data.namespaces`") && refused.contains("\"kube-system/x\""), "{refused}");
    for name in ["../x", "", "a b", "-a", "a?b"] {
        let config = json!({"awsAuthConfig": {"clusterName": name}}).to_string();
        assert!(cluster("config", &config).is_err(), "{name}");
    }
}

#[test]
fn cluster_secrets_may_be_base64() {
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let secret = object(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "prod"},
        "data": {"server": encode("https://prod"), "config": encode(r#"{"awsAuthConfig": {"clusterName": "prod"}}"#),
            "namespaces": encode("a, b")}}));
    let cluster = ClusterSecret::from_object(&secret).unwrap();
    assert_eq!(
        (cluster.server.as_str(), cluster.name.as_str(), cluster.namespaces.len()),
        ("https://prod", "https://prod", 2)
    );
}

#[test]
fn a_cluster_takes_what_the_namespaces_of_its_secret_hold() {
    let app = Application::from_object(&object(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "web"}, "spec": {
            "source": {"repoURL": "https://github.com/a/b", "path": "p"}, "destination": {"name": "prod",
                "namespace": "a"}}})));
    let app = app.unwrap();
    let secret = |more: Value| {
        let mut data = json!({"name": "prod", "server": "https://prod",
            "config": r#"{"awsAuthConfig": {"clusterName": "prod"}}"#});
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ClusterSecret::from_object(&object(
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "prod"}, "stringData": data}),
        ))
        .unwrap()
    };
    let objects = [("ConfigMap", "a"), ("ConfigMap", "b"), ("Namespace", "")].map(|(kind, namespace)| {
        object(json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "c", "namespace": namespace}}))
    });
    let refused = |more: Value| -> Vec<String> {
        let permit = ProjectPermissions::of(&app, &Projects::default(), &[secret(more)]);
        permit.refused(&objects).iter().map(ToString::to_string).collect()
    };
    assert_eq!(refused(json!({})), Vec::<String>::new());
    // The field has an effect only together with `namespaces`.
    assert_eq!(refused(json!({"clusterResources": "false"})), Vec::<String>::new());
    let both = refused(json!({"namespaces": "a,c"}));
    assert_eq!(both.len(), 2, "{both:?}");
    assert!(
        both[0].starts_with("the cluster `prod` does not take ConfigMap/b/c: its Secret allows the namespaces a, c;"),
        "{both:?}"
    );
    assert!(both[1].starts_with("the cluster `prod` does not take Namespace/c: "), "{both:?}");
    assert_eq!(refused(json!({"namespaces": "a,c", "clusterResources": "true"})).len(), 1);
}

#[test]
fn nothing_goes_to_a_cluster_whose_secret_keeps_everybody_away() {
    let app = Application::from_object(&object(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "web"}, "spec": {
            "source": {"repoURL": "https://github.com/a/b"}, "destination": {"name": "prod"}}})));
    let denied = |value: &str| {
        let secret = ClusterSecret::from_object(&object(json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "prod", "annotations": {"argocd.argoproj.io/skip-reconcile": value}},
            "stringData": {
                "name": "prod", "server": "https://prod",
                    "config": r#"{"awsAuthConfig": {"clusterName": "prod"}}"#}})));
        ProjectPermissions::of(app.as_ref().unwrap(), &Projects::default(), &[secret.unwrap()]).denied
    };
    assert_eq!(denied("false"), None);
    assert!(denied("true").unwrap().to_string().starts_with("nothing is deployed to the cluster `prod`"));
}

#[test]
fn repositories_are_the_same_in_every_spelling() {
    let https = "https://github.com/acme/gitops";
    for same in
        ["https://github.com/acme/gitops.git", "git@github.com:acme/gitops", "ssh://git@GitHub.com/Acme/gitops.git"]
    {
        assert!(same_repository(https, same), "{same}");
    }
    for other in ["https://github.com/acme/gitops-evil", "https://gitlab.com/acme/gitops", "", "x"] {
        assert!(!same_repository(https, other), "{other}");
    }
}

/// Argo CD's controller parses the annotation by Go's ParseBool; the API server accepts only strings.
#[test]
fn who_asks_for_it_is_left_alone() {
    let read = |value: Value| {
        let metadata = json!({"name": "web", "annotations": {skip::ANNOTATION: value}});
        Application::from_object(&object(
            json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": metadata, "spec": spec()}),
        ))
    };
    for (value, is_skipped, warnings) in [
        ("true", true, 0),
        ("True", true, 0),
        ("1", true, 0),
        ("false", false, 0),
        ("0", false, 0),
        ("yes", false, 1),
        ("tRue", false, 1),
        (" true", false, 1),
        ("", false, 1),
    ] {
        let app = read(json!(value)).unwrap();
        assert_eq!((app.is_skipped, app.warnings.len()), (is_skipped, warnings), "`{value}`: {:?}", app.warnings);
    }
    assert!(!read(Value::Null).unwrap().is_skipped);
    let error = read(json!(true)).unwrap_err().to_string();
    assert!(error.ends_with("skip-reconcile` must be a string, found a boolean"), "{error}");

    let secret = object(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {
        "name": "prod", "labels": {"argocd.argoproj.io/secret-type": "cluster"},
            "annotations": {skip::ANNOTATION: "true"}},
        "stringData": {"server": "https://prod", "name": "prod",
            "config": r#"{"awsAuthConfig": {"clusterName": "prod"}}"#}}));
    let found = find(&[secret]);
    assert!(found.warnings[0].contains("has no effect on a cluster yet"), "{:?}", found.warnings);
}

/// Argo CD's own cluster needs no credentials, whatever its Secret has.
#[test]
fn the_own_cluster_may_have_a_secret() {
    let secret = object(json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "here", "labels": {"argocd.argoproj.io/secret-type": "cluster"}},
        "stringData": {"name": "here", "server": "https://kubernetes.default.svc", "namespaces": "shop",
            "config": "{\"tlsClientConfig\": {\"insecure\": false}}"}}));
    let found = ClusterSecret::from_object(&secret).unwrap();
    assert_eq!((found.name.as_str(), found.namespaces), ("here", vec!["shop".to_owned()]));
    assert_eq!(secret_text(&secret, "server").as_deref(), Some("https://kubernetes.default.svc"));
}
