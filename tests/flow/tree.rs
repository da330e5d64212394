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
    let flow = Box::pin(deep()).await;
    assert!(live(&flow, "lowest") && live(&flow, "beside"), "{:?}", flow.messages());
    for name in ["one", "two", "three", "shop"] {
        assert!(flow.state(name).await.is_some(), "{name}");
    }
    let applications = flow.sandbox.cluster.get("/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/two");
    assert!(applications.is_none(), "a running Argo CD would obey it");
}

/// A root is an Application: what else it holds is deployed, and pruned when it leaves.
#[tokio::test]
async fn what_stands_beside_the_declarations_of_a_root_is_deployed() {
    let mut flow = Flow::deployed().await;
    let unnamed = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: unnamed}\n";
    let namespaces = "apiVersion: v1\nkind: Namespace\nmetadata: {name: argocd}\n---\n\
                      apiVersion: v1\nkind: Namespace\nmetadata: {name: late}\n";
    let setting = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: argocd-cm, namespace: argocd}\n";
    let files = [
        ("applications/app.yaml", app("late", "late", "default", "late")),
        ("late/x.yaml", config("of-late").replace("shop", "late")),
        ("applications/namespaces.yaml", namespaces.to_owned()),
        ("applications/config.yaml", config("beside") + "---\n" + unnamed + "---\n" + &config("stays")),
        ("applications/cm.yaml", setting.to_owned()),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    flow.push("Other objects", &files);
    flow.settle().await;
    let is_there = |flow: &Flow, path: &str| flow.sandbox.cluster.get(&format!("/api/v1/namespaces/{path}")).is_some();
    for path in ["late", "late/configmaps/of-late", "shop/configmaps/beside", "argocd/configmaps/unnamed"] {
        assert!(is_there(&flow, path), "{path}: {:?}", flow.messages());
    }
    assert!(!flow.messages().join("\n").contains("not deployed"), "{:?}", flow.messages());
    let name = "root-applications";
    let state = flow.state(name).await.unwrap();
    assert_eq!((state.status.sync.status.to_string().as_str(), state.inventory.len()), ("Synced", 5), "{state:?}");
    flow.push("Without one", &[("applications/config.yaml", &(config("stays") + "---\n" + unnamed))]);
    flow.settle().await;
    assert!(!live(&flow, "beside") && live(&flow, "stays"), "{:?}", flow.messages());
    let drop = ["applications/config.yaml", "applications/namespaces.yaml", "applications/cm.yaml"].map(Change::delete);
    flow.sandbox.forge.push(&flow.sandbox.repository, "main", "Without all", &drop).unwrap();
    flow.settle().await;
    assert!(live(&flow, "stays") && flow.state(name).await.is_some(), "all of it goes by an approval");
    assert!(flow.messages().join("\n").contains("waits for an approval"), "{:?}", flow.messages());
}

/// A root application is often declared in its own folder: it deploys what stands there.
#[tokio::test]
async fn a_root_that_declares_itself_is_one_application() {
    let mut flow = Flow::deployed().await;
    flow.push(
        "Itself",
        &[
            ("applications/root.yaml", &app("all", "applications", "default", "shop")),
            ("applications/config.yaml", &config("beside")),
        ],
    );
    flow.settle().await;
    assert!(live(&flow, "beside") && flow.state("all").await.is_some(), "{:?}", flow.messages());
    assert!(flow.state("root-applications").await.is_none());
}

/// What stands in a file that can't be read is not removed, and everybody else is deployed.
#[tokio::test]
async fn a_broken_file_deletes_nothing_and_holds_nobody_else() {
    let mut flow = Box::pin(deep()).await;
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
    let mut flow = Box::pin(deep()).await;
    flow.sandbox.forge.push(&flow.sandbox.repository, "main", "Drop", &[Change::delete("two/three.yaml")]).unwrap();
    flow.settle().await;
    assert!(flow.state("three").await.is_none(), "{:?}", flow.messages());
    assert!(live(&flow, "lowest"), "without the finalizer its objects stay");
    assert!(flow.state("two").await.is_some() && live(&flow, "beside"));
}

/// An Application may stand where nothing can be read any more, whatever the reason.
#[tokio::test]
async fn what_may_stand_in_an_unread_part_is_not_removed() {
    let chart = app("two", "two", "default", "argocd").replace("path: two", "chart: two").replace("main", "1.0.0");
    let set = "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nmetadata: {name: pulls, namespace: argocd}\n\
               spec: {generators: [{pullRequest: {github: {owner: acme, repo: web}}}], template: {metadata: {name: \
               'pr-{{number}}'}, spec: {project: default, source: {repoURL: 'https://github.com/acme/gitops', path: \
               three}, destination: {name: in-cluster}}}}\n";
    for (what, files) in [
        ("a remote base", vec![("two/kustomization.yaml", "resources: ['https://github.com/a/b//c?ref=v1']\n")]),
        ("a chart", vec![("one/two.yaml", chart.as_str())]),
        ("a set", vec![("two/three.yaml", set)]),
    ] {
        let mut flow = Box::pin(deep()).await;
        flow.push("Out of sight", &files);
        flow.settle().await;
        for _ in 0..2 {
            flow.check().await;
        }
        assert!(live(&flow, "lowest") && flow.state("three").await.is_some(), "{what}: {:?}", flow.messages());
    }
}

/// A set that may only create deletes nothing, and a person is told once.
#[tokio::test]
async fn what_a_set_may_not_delete_stays() {
    const FORBIDS: &str = "`applicationsSync` of its ApplicationSet forbids it";
    let set = |elements: &str, policy: &str| {
        let head =
            "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nmetadata: {name: teams, namespace: argocd}\n";
        let source = format!("{{repoURL: '{URL}', path: '{{{{app}}}}', targetRevision: main}}");
        format!(
            "{head}spec:\n  generators: [{{list: {{elements: [{elements}]}}}}]\n  syncPolicy: {{applicationsSync: \
             {policy}}}\n  template:\n    metadata: {{name: '{{{{app}}}}'}}\n    spec: {{project: default, source: \
             {source}, destination: {{name: in-cluster, namespace: shop}}, syncPolicy: {{automated: {{}}}}}}\n"
        )
    };
    let asks = "waits for an approval";
    for (policy, said) in
        [("create-only", FORBIDS), ("create-update", FORBIDS), ("create-delete", asks), ("sync", asks)]
    {
        let mut flow = Flow::deployed().await;
        let both = set("{app: a}, {app: b}", policy);
        let files = [("a/x.yaml", config("of-a")), ("b/x.yaml", config("of-b"))];
        let mut changes = vec![("applications/set.yaml", both.as_str())];
        changes.extend(files.iter().map(|(path, text)| (*path, text.as_str())));
        flow.push("Two", &changes);
        flow.settle().await;
        assert!(live(&flow, "of-a") && live(&flow, "of-b"), "{policy}: {:?}", flow.messages());
        flow.push("One", &[("applications/set.yaml", &set("{app: b}", policy))]);
        flow.settle().await;
        for _ in 0..2 {
            flow.check().await;
        }
        let told: Vec<String> = flow.messages().into_iter().filter(|message| message.contains("*a*")).collect();
        assert!(live(&flow, "of-a") && told.len() == 2 && told[1].contains(said), "{policy}: {:?}", flow.messages());
    }
}

/// What a parent may not declare is not deployed.
/// Attack 23.
#[tokio::test]
async fn a_push_changes_nothing_of_its_own_project() {
    let mut flow = Flow::deployed().await;
    let project = |namespace: &str| {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: AppProject\nmetadata: {{name: tenant, namespace: argocd}}\n\
             spec: {{sourceRepos: ['*'], destinations: [{{server: '*', namespace: '{namespace}'}}],\n  \
             clusterResourceWhitelist: [{{group: '*', kind: '*'}}]}}\n"
        )
    };
    let mine = config("mine");
    flow.push(
        "A tenant",
        &[
            ("applications/project.yaml", &project("shop")),
            ("applications/tenant.yaml", &app("tenant", "tenant", "tenant", "shop")),
            ("tenant/x.yaml", &mine),
        ],
    );
    flow.settle().await;
    assert!(live(&flow, "mine"));
    let elsewhere = config("elsewhere").replace("namespace: shop", "namespace: kube-system");
    for push in ["the first", "the next"] {
        flow.push(
            push,
            &[
                ("tenant/project.yaml", &project("*")),
                ("tenant/elsewhere.yaml", &elsewhere),
                ("tenant/x.yaml", &mine.replace("a: b", &format!("a: {push}"))),
            ],
        );
        flow.settle().await;
        let there = flow.sandbox.cluster.get("/api/v1/namespaces/kube-system/configmaps/elsewhere");
        assert!(there.is_none(), "{push}: {:?}", flow.messages());
    }
    let told = flow.messages().join("\n");
    for words in ["Application argocd/tenant may not declare", "does not allow"] {
        assert!(told.contains(words), "{words} in {told}");
    }
}

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

/// The health check of Argo CD's documentation, shortened.
const HEALTH: &str = r"apiVersion: v1
kind: ConfigMap
metadata: {name: argocd-cm, namespace: argocd}
data:
  resource.customizations.health.argoproj.io_Application: |
    hs = {status = 'Progressing'}
    if obj.status ~= nil and obj.status.health ~= nil then hs.status = obj.status.health.status end
    return hs
";

/// What an application declares is among its objects, with the health that `argocd-cm` gives Applications.
#[tokio::test]
async fn children_are_rows_of_their_parent() {
    let mut flow = Box::pin(deep()).await;
    let rows = async |flow: &Flow, name: &str| {
        let state = flow.state(name).await.unwrap();
        let row = |row: &slipway_gitops::status::ResourceStatus| {
            let health = row.health.as_ref().map(|health| health.health.to_string()).unwrap_or_default();
            format!("{} {}/{} {:?} {health}", row.kind, row.namespace, row.name, row.status.unwrap())
        };
        (state.status.resources.iter().map(row).collect::<Vec<_>>(), state.status.health.status.to_string())
    };
    let (found, health) = rows(&flow, "one").await;
    let [project, child] = ["AppProject argocd/team Synced ", "Application argocd/two Synced "];
    assert_eq!((found.as_slice(), health.as_str()), ([project.to_owned(), child.to_owned()].as_slice(), "Healthy"));
    let (found, _) = rows(&flow, "two").await;
    assert!(found.contains(&"Application argocd/three Synced ".to_owned()) && found.len() == 2, "{found:?}");

    flow.push("Health of Applications", &[("applications/argocd-cm.yaml", HEALTH)]);
    flow.settle().await;
    flow.check().await;
    let below = [rows(&flow, "two").await, rows(&flow, "three").await];
    assert!(rows(&flow, "one").await.0.contains(&format!("{child}Healthy")), "{below:?}");
    let pending = "apiVersion: v1\nkind: Service\nmetadata: {name: slow, namespace: shop}\n\
                   spec: {type: LoadBalancer, ports: [{port: 80}]}\n";
    flow.push("A child that is not well", &[("two/slow.yaml", pending)]);
    flow.settle().await;
    flow.check().await;
    let (found, health) = rows(&flow, "one").await;
    assert!(found.contains(&format!("{child}Progressing")) && health == "Progressing", "{found:?} {health}");
}

/// What Argo CD would not prune is not deleted, whoever declares it no longer.
#[tokio::test]
async fn a_child_stays_where_its_parent_prunes_nothing() {
    let finalizers = "namespace: argocd, finalizers: [resources-finalizer.argocd.argoproj.io]}";
    let cascading = |text: String| text.replace("namespace: argocd}", finalizers);
    let child = cascading(app("child", "child", "default", "shop"));
    let kept = child.replace("metadata: {", "metadata: {annotations: {argocd.argoproj.io/sync-options: Prune=false}, ");
    let parent = app("parent", "parent", "default", "argocd");
    let (still, gone) = ("parent/child.yaml", "applications/parent.yaml");
    for (what, parent, child, removed, expected) in [
        ("no prune", parent.replace("{prune: true}", "{}"), &child, still, Some("does not prune")),
        ("its own option", parent.clone(), &kept, still, Some("`Prune=false`")),
        ("no finalizer", parent.clone(), &child, gone, Some("was deleted without its objects")),
        ("pruned", parent.clone(), &child, still, None),
        ("cascading", cascading(parent.clone()), &child, gone, None),
    ] {
        let mut flow = Flow::deployed().await;
        let files = [
            ("applications/parent.yaml", parent.as_str()),
            ("parent/child.yaml", child),
            ("child/x.yaml", &config("of-child")),
        ];
        flow.push("A child", &files);
        flow.settle().await;
        assert!(live(&flow, "of-child"), "{what}: {:?}", flow.messages());
        flow.sandbox.forge.push(&flow.sandbox.repository, "main", "Remove", &[Change::delete(removed)]).unwrap();
        flow.settle().await;
        for _ in 0..2 {
            flow.check().await;
        }
        assert!(live(&flow, "of-child") && flow.state("child").await.is_some(), "{what}: {:?}", flow.messages());
        let told = flow.messages().join("\n");
        let said = expected.unwrap_or("*child* left Git, and waits for an approval");
        assert_eq!(told.matches(said).count(), 1, "{what}: {told}");
    }
}
