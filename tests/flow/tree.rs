//! Applications that Applications declare, at any depth, as a push deploys them.

use slipway_sandbox::forge::Change;

use crate::world::Flow;

const URL: &str = "https://github.com/acme/gitops";

fn app(name: &str, path: &str, project: &str, namespace: &str) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: {name}, namespace: argocd}}\nspec:\n  \
         project: {project}\n  source: {{repoURL: '{URL}', path: {path}, targetRevision: main}}\n  \
         destination: {{name: in-cluster, namespace: {namespace}}}\n  syncPolicy: {{automated: {{prune: true}}}}\n"
    )
}

fn config(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: shop}}\ndata: {{a: b}}\n")
}

fn live(flow: &Flow, name: &str) -> bool {
    flow.sandbox.cluster.get(&format!("/api/v1/namespaces/shop/configmaps/{name}")).is_some()
}

/// Three deep, with the project of the lowest declared in the middle.
async fn deep() -> Flow {
    let mut flow = Flow::deployed().await;
    let project = "apiVersion: argoproj.io/v1alpha1\nkind: AppProject\nmetadata: {name: team, namespace: argocd}\n\
                   spec: {sourceRepos: ['*'], destinations: [{server: '*', namespace: shop}]}\n";
    flow.push(
        "Three deep",
        &[
            ("applications/one.yaml", &app("one", "one", "default", "argocd")),
            ("one/two.yaml", &app("two", "two", "default", "argocd")),
            ("one/project.yaml", project),
            ("two/three.yaml", &app("three", "three", "team", "shop")),
            ("two/beside.yaml", &config("beside")),
            ("three/x.yaml", &config("lowest")),
        ],
    );
    flow.settle().await;
    flow
}

#[tokio::test]
async fn applications_of_applications_are_deployed() {
    let flow = deep().await;
    assert!(live(&flow, "lowest") && live(&flow, "beside"), "{:?}", flow.messages());
    for name in ["one", "two", "three", "shop"] {
        assert!(flow.state(name).await.is_some(), "{name}");
    }
    let applications = flow.sandbox.cluster.get("/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/two");
    assert!(applications.is_none(), "a running Argo CD would obey it");
}

/// What stands in a file that can't be read is not removed, and everybody else is deployed.
#[tokio::test]
async fn a_broken_file_deletes_nothing_and_holds_nobody_else() {
    let mut flow = deep().await;
    flow.push(
        "Break one",
        &[
            ("two/three.yaml", "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: [\n"),
            ("three/y.yaml", &config("late")),
        ],
    );
    flow.push("Go on", &[("one/more.yaml", &app("more", "more", "default", "shop")), ("more/x.yaml", &config("more"))]);
    flow.settle().await;
    flow.check().await;
    assert!(live(&flow, "more"), "{:?}", flow.messages());
    assert!(live(&flow, "lowest") && flow.state("three").await.is_some(), "{:?}", flow.messages());
    assert!(flow.messages().join("\n").contains("two/three.yaml"), "{:?}", flow.messages());
}

#[tokio::test]
async fn a_removed_child_is_removed() {
    let mut flow = deep().await;
    flow.sandbox.forge.push(&flow.sandbox.repository, "main", "Drop", &[Change::delete("two/three.yaml")]).unwrap();
    flow.settle().await;
    assert!(flow.state("three").await.is_none(), "{:?}", flow.messages());
    assert!(live(&flow, "lowest"), "without the finalizer its objects stay");
    assert!(flow.state("two").await.is_some() && live(&flow, "beside"));
}

/// What a parent may not declare is not deployed.
#[tokio::test]
async fn nobody_declares_beyond_the_project() {
    let mut flow = Flow::deployed().await;
    let project = "apiVersion: argoproj.io/v1alpha1\nkind: AppProject\nmetadata: {name: tenant, namespace: argocd}\n\
                   spec: {sourceRepos: ['*'], destinations: [{server: '*', namespace: shop}]}\n";
    flow.push(
        "A tenant",
        &[
            ("applications/project.yaml", project),
            ("applications/tenant.yaml", &app("tenant", "tenant", "tenant", "shop")),
            ("tenant/evil.yaml", &app("evil", "evil", "default", "shop")),
            ("evil/x.yaml", &config("evil")),
        ],
    );
    flow.settle().await;
    assert!(!live(&flow, "evil") && flow.state("evil").await.is_none(), "{:?}", flow.messages());
    let told = flow.messages().join("\n");
    assert!(told.contains("Application argocd/tenant may not declare"), "{told}");
}
