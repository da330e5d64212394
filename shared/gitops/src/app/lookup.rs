//! Decides which objects of its cluster the charts of an Application may look up. Pure.
//!
//! A chart can print what it looks up into objects of its own, so reading needs the permission to deploy. An object may
//! be read where
//!
//! 1. the Application's project would let it be deployed there: its kind by the white and black lists, its namespace
//!    by `destinations`, both within what the cluster's Secret and `argocd-cm` leave,
//! 2. it is in the destination's namespace, or one that the Application's annotation [`LOOKUP_NAMESPACES`] names
//!    (`*`: any); the annotation asks within the first rule and never goes beyond it. Cluster-scoped objects need no
//!    annotation,
//! 3. it is not Slipway's own: its namespace and all in it.
//!
//! A list of one namespace is judged as an object there. A list of all namespaces needs `*`, and holds what may be
//! read one by one: neither names nor number of the others are told, not in the warning either. A list of a
//! cluster-scoped kind needs a project that allows the kind whatever the name. What may not be read is answered as
//! absent, with a warning. Version and kinds of the cluster (`.Capabilities`) may be read by every chart.

use std::collections::BTreeSet;

use crate::identity::STATE_NAMESPACE;
use serde_json::json;
use slipway_manifest::Object;
use slipway_manifest::names::{Form, NameError};

use super::project::Denied;
use super::{AppError, Application, ProjectPermissions};

/// The annotation of an Application that names the namespaces, besides its own, in which its charts may look objects
/// up: separated by commas, `*` for all.
pub const LOOKUP_NAMESPACES: &str = "slipway.dev/lookup-namespaces";

/// The namespaces in the annotation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Namespaces(BTreeSet<String>);

impl Namespaces {
    pub(super) fn of(object: &Object, id: &str) -> Result<Self, AppError> {
        let named = object.annotation(LOOKUP_NAMESPACES).unwrap_or_default().split(',').map(str::trim);
        let named: BTreeSet<String> = named.filter(|name| !name.is_empty()).map(str::to_owned).collect();
        for name in named.iter().filter(|name| *name != "*") {
            Form::Label.check(id, &format!("metadata.annotations[{LOOKUP_NAMESPACES}]"), name)?;
        }
        Ok(Self(named))
    }

    fn has_all(&self) -> bool {
        self.0.contains("*")
    }

    fn has(&self, namespace: &str) -> bool {
        self.has_all() || self.0.contains(namespace)
    }
}

/// Why an object may not be looked up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Hidden {
    /// The object is Slipway's own.
    #[error("the namespace `{STATE_NAMESPACE}` holds Slipway's own state, which charts may not read")]
    Own,
    /// The Application's annotation does not ask for it.
    #[error("the annotation `{LOOKUP_NAMESPACES}` of the Application can ask for {0}")]
    Namespace(String),
    /// The project, the cluster's Secret or `argocd-cm` does not allow it.
    #[error(transparent)]
    Denied(#[from] Denied),
}

/// The subject of a lookup: an object, or a list where there is no name; a list of all namespaces where there is no
/// namespace either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<'a> {
    /// `apiVersion`.
    pub api_version: &'a str,
    /// `kind`.
    pub kind: &'a str,
    /// Whether the kind is namespaced.
    pub namespaced: bool,
    /// The namespace.
    pub namespace: &'a str,
    /// The name.
    pub name: &'a str,
}

impl Query<'_> {
    /// Checks that the parts of the query can be put into a URL; `app` is for the error.
    pub fn check(&self, app: &str) -> Result<(), NameError> {
        let by = format!("a lookup of {app}");
        Form::ApiVersion.check(&by, "apiVersion", self.api_version)?;
        Form::Kind.check(&by, "kind", self.kind)?;
        if !self.namespace.is_empty() {
            Form::Label.check(&by, "namespace", self.namespace)?;
        }
        if self.name.is_empty() { Ok(()) } else { Form::Segment.check(&by, "name", self.name) }
    }

    /// Whether it is a list of all namespaces.
    pub fn is_everywhere(&self) -> bool {
        self.namespaced && self.namespace.is_empty()
    }

    /// An object that stands for the query's results in a permission check; `*` stands for any name or namespace.
    fn object(&self) -> Object {
        let or_any = |text: &str| if text.is_empty() { "*".to_owned() } else { text.to_owned() };
        let mut metadata = json!({"name": or_any(self.name)});
        if let (true, Some(fields)) = (self.namespaced, metadata.as_object_mut()) {
            fields.insert("namespace".to_owned(), json!(or_any(self.namespace)));
        }
        let fields = [("apiVersion", json!(self.api_version)), ("kind", json!(self.kind)), ("metadata", metadata)];
        Object::from_map(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }
}

/// Why charts of `app` may read nothing of what `query` asks for; `permit` are its permissions.
pub fn hidden(app: &Application, permit: &ProjectPermissions, query: &Query<'_>) -> Option<Hidden> {
    let wanted = query.object();
    if is_own(&wanted) {
        return Some(Hidden::Own);
    }
    let (asked, own) = (&app.lookup_namespaces, &app.destination.namespace);
    if query.is_everywhere() {
        if !asked.has_all() {
            return Some(Hidden::Namespace("`*`, all namespaces".to_owned()));
        }
        return permit.refused_kind(&wanted).map(Hidden::from);
    }
    if query.namespaced && query.namespace != own && !asked.has(query.namespace) {
        return Some(Hidden::Namespace("that namespace".to_owned()));
    }
    permit.refusal(&wanted).map(Hidden::from)
}

/// Whether charts of the Application with `permit` may read `object`, found by a query that is not [`hidden`].
pub fn is_readable(permit: &ProjectPermissions, object: &Object) -> bool {
    !is_own(object) && permit.refusal(object).is_none()
}

/// Whether it is Slipway's namespace, or an object in it.
pub fn is_own(object: &Object) -> bool {
    let is_namespace = (object.group(), object.kind(), object.name()) == ("", "Namespace", STATE_NAMESPACE);
    object.namespace() == STATE_NAMESPACE || is_namespace
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;
    use crate::app::settings::Settings;
    use crate::app::{AppProject, ClusterSecret, Projects};

    fn object(value: Value) -> Object {
        Object::from_value(value).unwrap()
    }

    fn app(project: &str, asked: &str) -> Result<Application, AppError> {
        Application::from_object(&object(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": "web", "annotations": {LOOKUP_NAMESPACES: asked}},
            "spec": {
                "project": project,
                "source": {"repoURL": "https://github.com/a/b", "path": "p"},
                "destination": {"name": "prod", "namespace": "team-a"}}})))
    }

    fn permit(app: &Application, spec: &Value, limits: &Value) -> ProjectPermissions {
        let project = AppProject::from_object(&object(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "team"}, "spec": spec})));
        let declared = BTreeMap::from([("team".to_owned(), project.unwrap())]);
        ProjectPermissions::of(app, &Projects::new(declared, Settings::default()), &[cluster(limits)])
    }

    fn cluster(limits: &Value) -> ClusterSecret {
        let mut data = json!({"name": "prod", "server": "https://prod",
            "config": r#"{"awsAuthConfig": {"clusterName": "prod"}}"#});
        data.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "prod"}, "stringData": data});
        ClusterSecret::from_object(&object(secret)).unwrap()
    }

    fn ask<'a>(kind: &'a str, namespace: &'a str, name: &'a str) -> Query<'a> {
        let rbac = "rbac.authorization.k8s.io/v1";
        match kind {
            "ClusterRole" => Query { api_version: rbac, kind, namespaced: false, namespace, name },
            "Namespace" => Query { api_version: "v1", kind, namespaced: false, namespace, name },
            _ => Query { api_version: "v1", kind, namespaced: true, namespace, name },
        }
    }

    fn team() -> Value {
        json!({
            "sourceRepos": ["*"],
            "destinations": [{"name": "prod", "namespace": "team-*"}],
            "clusterResourceWhitelist": [{"group": "", "kind": "Namespace", "name": "team-*"}],
            "namespaceResourceWhitelist": [{"group": "", "kind": "ConfigMap"}]})
    }

    fn said(app: &Application, permit: &ProjectPermissions, query: Query<'_>) -> String {
        hidden(app, permit, &query).map(|hidden| hidden.to_string()).unwrap_or_default()
    }

    /// The annotation `*` of an Application opens nothing that its project does not.
    #[test]
    fn a_project_bounds_what_is_read() {
        for asked in ["*", "kube-system, team-b, slipway"] {
            let app = app("team", asked).unwrap();
            let permit = permit(&app, &team(), &json!({}));
            for (query, reason) in [
                (ask("ConfigMap", "team-a", "x"), ""),
                (ask("ConfigMap", "team-a", ""), ""),
                (ask("ConfigMap", "team-b", "x"), ""),
                (ask("Namespace", "", "team-a"), ""),
                (ask("Secret", "team-a", "crown"), "AppProject `team` does not allow Secret/team-a/crown: add"),
                (ask("Secret", "team-a", ""), "AppProject `team` does not allow Secret/team-a/*: add"),
                (ask("ConfigMap", "kube-system", "x"), "does not allow ConfigMap/kube-system/x in the destination"),
                (ask("ConfigMap", "kube-system", ""), "does not allow ConfigMap/kube-system/* in the destination"),
                (ask("ConfigMap", "slipway", "x"), "the namespace `slipway` holds Slipway's own state"),
                (ask("ConfigMap", "slipway", ""), "the namespace `slipway` holds Slipway's own state"),
                (ask("Namespace", "", "slipway"), "the namespace `slipway` holds Slipway's own state"),
                (ask("Namespace", "", "kube-system"), "does not allow Namespace/kube-system"),
                (ask("Namespace", "", ""), "does not allow Namespace/*"),
                (ask("ClusterRole", "", "admin"), "does not allow ClusterRole/admin: add"),
                (ask("ClusterRole", "", ""), "does not allow ClusterRole/*: add"),
            ] {
                let said = said(&app, &permit, query);
                assert!(said.contains(reason) && said.is_empty() == reason.is_empty(), "{query:?}: {said}");
            }
        }
    }

    #[test]
    fn a_list_of_all_namespaces_holds_what_may_be_read() {
        let everywhere = ask("ConfigMap", "", "");
        let narrow = app("team", "team-b").unwrap();
        let said = said(&narrow, &permit(&narrow, &team(), &json!({})), everywhere);
        assert!(said.contains(LOOKUP_NAMESPACES) && said.contains("`*`"), "{said}");
        let app = app("team", "*").unwrap();
        let permit = permit(&app, &team(), &json!({}));
        assert_eq!(hidden(&app, &permit, &everywhere), None);
        assert!(matches!(hidden(&app, &permit, &ask("Secret", "", "")), Some(Hidden::Denied(_))));
        let map = |namespace: &str| {
            object(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": namespace}}))
        };
        let readable =
            ["team-a", "team-b", "kube-system", "slipway", "argocd"].map(|one| is_readable(&permit, &map(one)));
        assert_eq!(readable, [true, true, false, false, false]);
    }

    #[test]
    fn a_cluster_secret_bounds_what_is_read() {
        let app = app("team", "*").unwrap();
        let permit = permit(&app, &team(), &json!({"namespaces": "team-a"}));
        assert_eq!(said(&app, &permit, ask("ConfigMap", "team-a", "x")), "");
        assert!(said(&app, &permit, ask("ConfigMap", "team-b", "x")).starts_with("the cluster `prod` does not take"));
        assert!(said(&app, &permit, ask("Namespace", "", "team-a")).starts_with("the cluster `prod` does not take"));
    }

    /// An Application without a restricting project reads what its annotation asks for, except Slipway's own objects.
    #[test]
    fn the_default_project_reads_what_the_annotation_names() {
        let looks = |asked: &str| {
            let app = app("default", asked).unwrap();
            let permit = ProjectPermissions::of(&app, &Projects::default(), &[cluster(&json!({}))]);
            ["team-a", "db", "", "slipway"].map(|one| hidden(&app, &permit, &ask("Secret", one, "")).is_none())
        };
        assert_eq!(looks(""), [true, false, false, false]);
        assert_eq!(looks("cache, db"), [true, true, false, false]);
        assert_eq!(looks("*"), [true, true, true, false]);
        let app = app("default", "").unwrap();
        let permit = ProjectPermissions::of(&app, &Projects::default(), &[cluster(&json!({}))]);
        assert_eq!(hidden(&app, &permit, &ask("ClusterRole", "", "system:x")), None);
    }

    #[test]
    fn what_is_asked_for_has_names() {
        let error = app("team", "team-b, kube-system/secrets?x=").unwrap_err().to_string();
        assert!(error.contains("metadata.annotations[slipway.dev/lookup-namespaces]"), "{error}");
        assert!(error.contains("\"kube-system/secrets?x=\""), "{error}");
        let error = ask("ConfigMap", "kube-system/secrets?x=-dev", "").check("web").unwrap_err().to_string();
        assert!(error.starts_with("a lookup of web: `namespace` must be") && error.contains("?x=-dev"), "{error}");
        for query in [
            Query { api_version: "v1/namespaces/kube-system", ..ask("ConfigMap", "", "") },
            Query { kind: "ConfigMap/x", ..ask("ConfigMap", "", "") },
            ask("ConfigMap", "team-a", "../../secrets/x"),
            ask("ConfigMap", "..", "x"),
        ] {
            assert!(query.check("web").is_err(), "{query:?}");
        }
        assert_eq!(ask("ClusterRole", "", "system:x").check("web"), Ok(()));
    }
}
