use serde_json::json;
use slipway_manifest::Object;

use super::*;
use crate::app::Application;

const IMAGE: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app";

/// The updates of `IMAGE` that `apps` ask for.
fn concerned(apps: &[Application]) -> (Vec<Update>, Vec<ImageError>) {
    let (mut all, mut errors) = (Vec::new(), Vec::new());
    for app in apps {
        let (updates, refused) = updates(app, |image| image == IMAGE);
        all.extend(updates);
        errors.extend(refused);
    }
    (all, errors)
}

fn app(name: &str, annotations: &[(&str, &str)]) -> Application {
    let mut all = serde_json::Map::new();
    for (key, value) in [("image-list", IMAGE), ("write-back-method", "git"), ("write-back-target", "kustomization")]
        .iter()
        .chain(annotations)
    {
        all.insert(format!("argocd-image-updater.argoproj.io/{key}"), json!(value));
    }
    let object = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": name, "annotations": all},
        "spec": {
            "source": {"repoURL": "https://github.com/acme/gitops", "path": format!("apps/{name}"),
                "targetRevision": "main"},
            "destination": {"name": "in-cluster"},
        },
    });
    Application::from_object(&Object::from_value(object).unwrap()).unwrap()
}

/// The source that has a `kustomize:` block is written to, or the only one that may be a kustomization.
#[test]
fn of_several_sources_the_kustomization_is_written_to() {
    let source = |path: &str, more: &Value| {
        let mut source = json!({"repoURL": format!("https://github.com/acme/{path}"), "path": path,
            "targetRevision": format!("{path}-branch")});
        source.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        source
    };
    let (plain, chart) = (source("plain", &json!({})), source("chart", &json!({"helm": {}})));
    let named = source("named", &json!({"kustomize": {}}));
    let lent = json!({"repoURL": "https://github.com/acme/values", "ref": "values"});
    let other = source("other", &json!({}));
    for (sources, written) in [
        (json!([chart, lent, plain]), Ok("plain")),
        (json!([plain, named, other]), Ok("named")),
        (json!([plain, other]), Err("more than one of `spec.sources` may be the kustomization to write to")),
    ] {
        let mut object = app("web", &[]).object;
        let spec = object.as_map_mut()["spec"].as_object_mut().unwrap();
        spec.insert("sources".to_owned(), sources);
        let (updates, errors) = concerned(&[Application::from_object(&object).unwrap()]);
        let Err(words) = written else {
            let [update] = updates.as_slice() else { panic!("{errors:?}") };
            let expected = written.unwrap();
            assert_eq!((update.folder.as_str(), update.is_own_folder), (expected, true));
            assert_eq!(update.branch, Some(format!("{expected}-branch")));
            assert_eq!(update.repo.to_string(), format!("https://github.com/acme/{expected}"));
            continue;
        };
        assert!(updates.is_empty() && errors[0].to_string().contains(words), "{errors:?}");
    }
}

fn listed(tags: &[&str]) -> ImageTags {
    ImageTags::from([(IMAGE.to_owned(), self::tags(tags))])
}

fn tags(tags: &[&str]) -> Vec<TagInfo> {
    let info = |(at, tag): (usize, &&str)| TagInfo {
        tag: (*tag).into(),
        pushed_at_ms: i64::try_from(at).unwrap(),
        digest: String::new(),
    };
    tags.iter().enumerate().map(info).collect()
}

fn tree(files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::default();
    for (path, text) in files {
        tree.insert(path, text.as_bytes()).unwrap();
    }
    tree
}

/// Only Applications that list exactly this registry and repository are updated.
#[test]
fn only_exact_names_are_concerned() {
    let evil = |image: &str| app("evil", &[("image-list", image)]);
    let apps = [
        app("web", &[("image-list", &format!("redis:7, app={IMAGE}:1.x"))]),
        evil(&format!("{IMAGE}-evil")),
        evil(&format!("{IMAGE}/sub")),
        evil("team/app"),
        evil(&IMAGE.replace("123456789012", "123456789013")),
        evil(&IMAGE.to_uppercase()),
        evil(&format!("evil.io/{IMAGE}")),
        evil(""),
    ];
    let (updates, errors) = concerned(&apps);
    assert!(errors.is_empty());
    let [update] = updates.as_slice() else { panic!("{updates:?}") };
    assert_eq!((update.app.as_str(), update.constraint.as_str(), update.folder.as_str()), ("web", "1.x", "apps/web"));
    assert_eq!(
        (update.repo.to_string().as_str(), update.branch.as_deref()),
        ("https://github.com/acme/gitops", Some("main"))
    );
}

#[test]
fn what_is_not_supported_says_so_and_changes_nothing() {
    for (annotation, message) in [
        (("write-back-method", "argocd"), "web: write-back-method argocd (only git is) is not supported yet"),
        (
            ("write-back-target", "helmvalues"),
            "web: write-back-target helmvalues (only kustomization is) is not supported yet",
        ),
        (("update-strategy", "digest"), "web: update-strategy digest is not supported yet"),
        (
            ("git-branch", "main:images-{{.AppName}}"),
            "web: git-branch main:images-{{.AppName}} (a branch to push to) is not supported yet",
        ),
        (
            ("write-back-target", "kustomization:../../.."),
            "web: annotation write-back-target: path `../../..` leaves the repository",
        ),
        (
            ("git-repository", "file:///x"),
            "web: annotation git-repository: expected `https://HOST/OWNER/REPO` or `git@HOST:OWNER/REPO`, found \
                `file:///x`",
        ),
    ] {
        let (updates, errors) = concerned(&[app("web", &[annotation])]);
        assert!(updates.is_empty());
        assert_eq!(errors[0].to_string(), message);
    }
}

#[test]
fn settings_of_the_image_come_before_those_of_the_application() {
    let list = format!("my/alias={IMAGE}");
    let apps = [app(
        "web",
        &[
            ("image-list", &list),
            ("update-strategy", "newest-build"),
            ("my_alias.update-strategy", "alphabetical"),
            ("allow-tags", "regexp:^v"),
            ("my_alias.ignore-tags", "*-rc*, latest"),
            ("my_alias.kustomize.image-name", "nginx"),
            ("write-back-target", "kustomization:/base"),
            ("write-back-method", "git:secret:argocd/creds"),
            ("git-branch", "deploy"),
        ],
    )];
    let (updates, _) = concerned(&apps);
    let update = &updates[0];
    assert_eq!(update.strategy, Strategy::Alphabetical);
    assert!(update.allow.allows("v1") && !update.allow.allows("1"));
    assert_eq!(update.ignore, ["*-rc*", "latest"]);
    assert_eq!((update.kustomize_name.as_deref(), update.folder.as_str()), (Some("nginx"), "base"));
    assert_eq!(update.branch.as_deref(), Some("deploy"));
}

#[test]
fn one_scalar_changes() {
    let text = "# shop\nresources: [x.yaml]\nimages:\n  - name: nginx   # ours\n    newName: \
                123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app\n    newTag: \"1.0\"\n";
    let tree = tree(&[("apps/web/kustomization.yaml", text)]);
    let (updates, _) =
        concerned(&[app("web", &[("image-list", &format!("a={IMAGE}")), ("a.kustomize.image-name", "nginx")])]);
    let plan = plan_updates(&tree, &updates, &listed(&["1.0", "1.10", "1.2", "latest"]));
    assert!(plan.errors.is_empty(), "{:?}", plan.errors);
    assert_eq!(plan.files["apps/web/kustomization.yaml"], text.replace("\"1.0\"", "\"1.10\""));
    assert_eq!(plan.message(), "build: automatic update of web\n\nupdates image team/app tag '1.0' to '1.10'\n");
}

/// The kustomization may be in the repository's root.
#[test]
fn the_top_folder_is_written_to() {
    let tree = tree(&[("kustomization.yaml", &format!("images:\n- name: {IMAGE}\n  newTag: \"1.0\"\n"))]);
    for target in ["kustomization:/", "kustomization:/.", "kustomization:../.."] {
        let (updates, errors) = concerned(&[app("web", &[("write-back-target", target)])]);
        assert!(errors.is_empty(), "{errors:?}");
        let plan = plan_updates(&tree, &updates, &listed(&["1.0", "1.1"]));
        assert!(plan.errors.is_empty(), "{target}: {:?}", plan.errors);
        assert!(plan.files["kustomization.yaml"].contains("newTag: \"1.1\""), "{target}");
    }
}

#[test]
fn nothing_goes_backwards_or_changes_for_nothing() {
    let plan_for = |strategy: &str, current: &str, list: &[&str]| {
        let text = format!("images:\n- name: {IMAGE}\n  newTag: \"{current}\"\n");
        let tree = tree(&[("apps/web/kustomization.yaml", &text)]);
        let (updates, _) = concerned(&[app("web", &[("update-strategy", strategy)])]);
        let plan = plan_updates(&tree, &updates, &listed(list));
        plan.changes.first().map(|change| change.new.clone())
    };
    assert_eq!(plan_for("semver", "1.2.0", &["1.1.0", "1.0.0"]), None);
    assert_eq!(plan_for("semver", "1.1.0", &["1.1.0", "v1.1.0"]), None);
    assert_eq!(plan_for("semver", "main", &["1.1.0"]), Some("1.1.0".into()));
    assert_eq!(plan_for("newest-build", "b", &["a", "b"]), None);
    assert_eq!(plan_for("newest-build", "a", &["a", "b"]), Some("b".into()));
    assert_eq!(plan_for("newest-build", "gone", &["a", "b"]), Some("b".into()));
    assert_eq!(plan_for("alphabetical", "z", &["a", "b"]), None);
    assert_eq!(plan_for("semver", "1.0.0", &[]), None);
}

/// Attack 24: `kustomize.image-name` makes no other Application run another image.
#[test]
fn another_name_is_given_to_images_of_the_own_source_alone() {
    let aliased = |target: &'static str| {
        let list = format!("a={IMAGE}");
        concerned(&[app(
            "web",
            &[("image-list", &list), ("a.kustomize.image-name", "nginx"), ("write-back-target", target)],
        )])
        .0
    };
    let plan = |target, text: &str| {
        let files = [("apps/web/kustomization.yaml", text), ("apps/other/kustomization.yaml", text)];
        plan_updates(&tree(&files), &aliased(target), &listed(&["1.0.0", "1.1.0"]))
    };
    let theirs = "images:\n- name: nginx\n  newTag: 1.0.0\n";
    assert!(plan("kustomization", theirs).files["apps/web/kustomization.yaml"].contains(&format!("newName: {IMAGE}")));
    for target in ["kustomization:../other", "kustomization:/apps/other"] {
        let refused = plan(target, theirs);
        assert!(refused.is_empty());
        let text = refused.errors[0].to_string();
        assert!(text.contains("has no image `nginx` with newName") && text.contains("apps/other"), "{text}");
        let ours = format!("images:\n- name: nginx\n  newName: {IMAGE}\n  newTag: 1.0.0\n");
        assert!(plan(target, &ours).files["apps/other/kustomization.yaml"].contains("newTag: 1.1.0"));
    }
}

/// A tag that was in the file is recognised under the name that the file has for the image.
#[test]
fn an_earlier_version_tells_what_was_taken_back() {
    let text = |tag: &str| format!("images:\n- name: nginx\n  newName: {IMAGE}\n  newTag: {tag}\n");
    let tree = tree(&[("apps/web/kustomization.yaml", &text("1.0.0"))]);
    let (updates, _) =
        concerned(&[app("web", &[("image-list", &format!("a={IMAGE}")), ("a.kustomize.image-name", "nginx")])]);
    let plan = plan_updates(&tree, &updates, &listed(&["1.0.0", "1.1.0"]));
    let (change, update) = (&plan.changes[0], &updates[0]);
    assert!(change.is_of(update) && change.was_in(&text("1.1.0")));
    for other in
        [text("1.0.0"), text("1.1.0").replace("team/app", "team/other"), "not: [yaml".to_owned(), String::new()]
    {
        assert!(!change.was_in(&other), "{other}");
    }
}

#[test]
fn timestamp_tags_of_one_user() {
    let annotations = [("update-strategy", "newest-build"), ("allow-tags", "regexp:^user01-[0-9]{14}$")];
    let (updates, _) = concerned(&[app("web", &annotations)]);
    let list = tags(&["user01-20230924033608", "user02-20230925000000", "user01-20230924040000", "latest"]);
    assert_eq!(choose(&updates[0], &list).unwrap().unwrap().tag, "user01-20230924040000");
}

#[test]
fn applications_share_a_commit() {
    let base = format!("images:\n- name: {IMAGE}\n  newTag: 1.0.0\n");
    let tree = tree(&[("base/kustomization.yaml", &base), ("apps/c/Kustomization", &base)]);
    let shared = ("write-back-target", "kustomization:/base");
    let apps = [app("a", &[shared]), app("b", &[shared]), app("c", &[]), app("d", &[])];
    let plan = plan_updates(&tree, &concerned(&apps).0, &listed(&["1.0.0", "1.1.0"]));
    assert_eq!(plan.files.len(), 2);
    assert_eq!(plan.message(), "build: automatic update of a, c\n\nupdates image team/app tag '1.0.0' to '1.1.0'\n");
    assert_eq!(plan.unchanged.len(), 1);
    assert_eq!(plan.errors[0].to_string(), "d: there is no kustomization in `apps/d`");
}

/// Image Updater's recorded answers, where they are present.
#[test]
fn tags_are_chosen_as_image_updater_chooses() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/imageupdater.jsonl");
    let Ok(text) = std::fs::read_to_string(path) else {
        println!("skipped: {path} is absent");
        return;
    };
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let records: Vec<&Value> = records.iter().filter(|record| record["type"] == "tag").collect();
    assert!(records.len() > 90, "{}", records.len());
    let mut wrong = Vec::new();
    for record in &records {
        let found = chosen(record);
        let want = record.get("chosenIfConstraintStar").unwrap_or(&record["chosen"]).as_str();
        let wants_error = record.get("error").is_some();
        match found {
            Err(_) if wants_error => {}
            Ok(tag) if !wants_error && tag.as_deref() == want => {}
            found => wrong.push(format!("{}: expected {want:?}, found {found:?}", record["name"])),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), records.len(), wrong.join("\n"));
}

fn chosen(record: &Value) -> Result<Option<String>, String> {
    let text = |key: &str| record[key].as_str().unwrap_or_default();
    let strategy = Strategy::parse(text("strategy"));
    if strategy == Strategy::Digest && text("constraint").is_empty() {
        return Err("digest needs a tag".into());
    }
    let mut update = concerned(&[app("web", &[])]).0.remove(0);
    update.constraint = text("constraint").to_owned();
    update.strategy = strategy;
    update.allow = Allow::parse(text("allow"));
    update.ignore =
        record["ignore"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    let info = |tag: &Value| {
        let created = tag["created"].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok());
        TagInfo {
            tag: tag["tag"].as_str().unwrap_or_default().to_owned(),
            pushed_at_ms: created.map_or(0, jiff::Timestamp::as_millisecond),
            digest: tag["digest"].as_str().unwrap_or_default().to_owned(),
        }
    };
    // Image Updater may have no date for a tag; ECR always has one.
    let dated = |tag: &&Value| strategy != Strategy::NewestBuild || tag["created"].is_string();
    let list: Vec<TagInfo> = record["tags"].as_array().into_iter().flatten().filter(dated).map(info).collect();
    choose(&update, &list).map(|found| found.map(|info| info.tag.clone())).map_err(|e| e.to_string())
}
