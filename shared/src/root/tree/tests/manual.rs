//! Of Applications that only people sync, the tree has what they declared when that was done last; those that a set may
//! not change are as it made them first.

use super::*;
use crate::root::last_sync::LastSync;

const SYNCED: &str = "1111111111111111111111111111111111111111";

/// The tree of a manual Application `one`, which declares `declared` at the head and `synced` at the commit of its last
/// sync.
fn tree(declared: &str, synced: &str, last_sync: Option<LastSync>, parents: &[&str]) -> ApplicationTree {
    let parent = parent("one", "one");
    let files = |child: &str| checkout(ROOT, &[("root/one.yaml", &parent), ("one/child.yaml", child)]);
    let url: RepoUrl = ROOT.parse().unwrap();
    let mut repositories = Repositories::of_host("github.com");
    repositories.insert((url.clone(), "HEAD".to_owned()), Ok(files(declared)));
    let synced = Checkout { sha: SYNCED.to_owned(), ..Arc::into_inner(files(synced)).unwrap() };
    repositories.insert((url, SYNCED.to_owned()), Ok(Arc::new(synced)));
    let known = repositories.last_syncs_mut();
    let identity = |name: &str| ("argocd".to_owned(), name.to_owned());
    known.known.extend(last_sync.map(|last_sync| (identity("one"), last_sync)));
    known.parents = Some(Ok(parents.iter().map(|name| identity(name)).collect()));
    let place = places::of_folder(ROOT, "root", "HEAD").unwrap();
    read(&[place], &repositories, &TreeOptions::default(), &Budget::default())
}

#[test]
fn what_was_synced_last_counts() {
    let (now, then) = (leaf("now"), leaf("then"));
    let synced = || LastSync::Of(SYNCED.into());
    let of_then = tree(&now, &then, Some(synced()), &["one"]);
    assert_eq!(names(&of_then), ["one", "then"], "{}", problems(&of_then));
    let declared = of_then.applications[0].synced_declarations.as_ref().unwrap();
    assert_eq!(declared.values().map(Object::name).collect::<Vec<_>>(), ["then"]);

    // At the head nothing of Argo CD is left in its folder.
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n";
    assert_eq!(names(&tree(config, &then, Some(synced()), &["one"])), ["one", "then"]);
    assert_eq!(names(&tree(config, &then, None, &[])), ["one"]);

    let never = tree(&now, &then, Some(LastSync::Never), &["one"]);
    assert_eq!(names(&never), ["one"]);
    assert!(never.unsynced.contains(&("argocd".to_owned(), "now".to_owned())) && never.incomplete.is_empty());
    assert!(problems(&never).contains("Application argocd/now is not deployed yet"), "{}", problems(&never));

    let asked = tree(&now, &then, None, &["one"]);
    assert_eq!((names(&asked), asked.unread_states.len()), (vec!["one"], 1));
}

/// What can't be told deletes nothing: the tree is incomplete.
#[test]
fn what_is_not_known_makes_the_tree_incomplete() {
    let tree = tree(&leaf("now"), &leaf("then"), Some(LastSync::Unknown("no answer".to_owned())), &["one"]);
    assert_eq!(names(&tree), ["one"]);
    assert!(!tree.incomplete.is_empty() && problems(&tree).contains("no answer"), "{}", problems(&tree));
}

#[test]
fn what_a_set_may_not_change_is_as_it_was_made_first() {
    let set = set("good", "{list: {elements: [{app: good}]}}", "{{app}}", "apps")
        .replace("spec:\n  generators", "spec:\n  syncPolicy: {applicationsSync: create-only}\n  generators");
    let read_with = |first: Option<Result<Option<Object>, String>>| {
        let mut repositories = repositories(&[("root/set.yaml", &set), ("apps/x.yaml", "")]);
        let identity = ("argocd".to_owned(), "good".to_owned());
        repositories.last_syncs_mut().first_manifests.extend(first.map(|first| (identity, first)));
        let place = places::of_folder(ROOT, "root", "HEAD").unwrap();
        read(&[place], &repositories, &TreeOptions::default(), &Budget::default())
    };
    let path = |tree: &ApplicationTree| tree.applications[0].app.as_ref().unwrap().source.path.clone();
    assert_eq!(path(&read_with(Some(Ok(None)))), "apps");
    let mut first = read_with(Some(Ok(None))).applications[0].object.clone();
    first.as_map_mut()["spec"]["source"]["path"] = json!("before");
    let kept = read_with(Some(Ok(Some(first))));
    assert!(path(&kept) == "before" && kept.applications[0].set.is_some());

    let asked = read_with(None);
    assert_eq!((asked.applications.len(), asked.unread_first_manifests.len()), (0, 1));
    // It may be there: it is neither deployed by the set nor taken for removed.
    let unknown = read_with(Some(Err("no answer".to_owned())));
    assert!(unknown.applications.is_empty() && unknown.unsynced.len() == 1 && !unknown.incomplete.is_empty());
    assert!(problems(&unknown).contains("no answer"), "{}", problems(&unknown));
}
