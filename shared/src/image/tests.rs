use serde_json::{Value, json};
use slipway_manifest::Object;
use slipway_manifest::yaml;

use super::*;
use crate::app::Application;

mod flux;
mod targets;

const IMAGE: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app";

/// The updates of `IMAGE` that `apps` ask for.
fn concerned(apps: &[Application]) -> (Vec<Update>, Vec<ImageError>) {
    let (mut all, mut errors) = (Vec::new(), Vec::new());
    for app in apps {
        match of_annotations(app) {
            Ok(settings) => {
                let (updates, refused) = updates(app, &settings.unwrap_or_default(), None, |image| image == IMAGE);
                all.extend(updates);
                errors.extend(refused);
            }
            Err(error) => errors.push(error),
        }
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
        (json!([plain, other]), Err("more than one of `spec.sources` may be the one to write to")),
    ] {
        let mut object = app("web", &[]).object;
        let spec = object.as_map_mut()["spec"].as_object_mut().unwrap();
        spec.insert("sources".to_owned(), sources);
        let (updates, errors) = concerned(&[Application::from_object(&object).unwrap()]);
        let Err(words) = written else {
            let [update] = updates.as_slice() else { panic!("{errors:?}") };
            let expected = written.unwrap();
            let target = Target::Kustomization { folder: expected.to_owned(), name: None, is_own: true };
            assert_eq!(update.target, target);
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
        ..TagInfo::default()
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
    assert_eq!((update.app.as_str(), update.constraint.as_str()), ("web", "1.x"));
    assert_eq!(
        (update.repo.to_string().as_str(), update.branch.as_deref()),
        ("https://github.com/acme/gitops", Some("main"))
    );
}

/// What Image Updater refuses is refused, in words.
#[test]
fn what_can_t_be_read_says_so_and_changes_nothing() {
    for (annotation, message) in [
        (("write-back-method", "gut"), "web: annotation write-back-method: expected `git` or `argocd`, found `gut`"),
        (("write-back-target", "helm:x"), "web: annotation write-back-target: `helm` is no kind of target"),
        (
            ("write-back-target", "apps/kustomization.yaml"),
            "web: annotation write-back-target: `apps/kustomization.yaml` is a kustomization: write \
             `kustomization:PATH`",
        ),
        (
            ("write-back-target", "file:tag.json"),
            "web: annotation write-back-target: `file:tag.json` needs `ALIAS.helm.image-tag` or \
             `ALIAS.helm.image-spec`",
        ),
        (
            ("update-strategy", "digest"),
            "web: annotation image-list: the strategy `digest` needs the tag that it follows, as `NAME:TAG`",
        ),
        (("force-update", "maybe"), "web: annotation force-update: expected `true` or `false`, found `maybe`"),
        (("git-branch", "a:b:c"), "web: annotation git-branch: `a:b:c` has more than one colon"),
        (("git-branch", "../x"), "web: annotation git-branch: `../x` is no branch"),
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
    // An expression that can't be read would allow no tag, in silence.
    for (allow, words) in [("regexp:(", "annotation allow-tags: "), ("v.*", "expected `any` or `regexp:EXPRESSION`")] {
        let (updates, errors) = concerned(&[app("web", &[("allow-tags", allow)])]);
        assert!(updates.is_empty() && errors[0].to_string().contains(words), "{errors:?}");
    }
    // Go takes a class that ends with `\\w-.` (F11).
    let (updates, _) = concerned(&[app("web", &[("allow-tags", r"regexp:^[\w-.]+$")])]);
    assert!(updates[0].allow.allows("main-1.2") && !updates[0].allow.allows("a/b"));
}

/// Every place that Image Updater writes to, and those of our own.
#[test]
fn the_place_to_write_to_is_found() {
    let target = |annotations: &[(&str, &str)]| {
        let list = format!("a={IMAGE}");
        let mut all = vec![("image-list", list.as_str())];
        all.extend(annotations);
        let (mut updates, errors) = concerned(&[app("web", &all)]);
        assert!(errors.is_empty(), "{errors:?}");
        updates.remove(0)
    };
    let keys = |name: Option<&str>, tag: Option<&str>, spec: Option<&str>| Keys {
        name: name.map(str::to_owned),
        tag: tag.map(str::to_owned),
        spec: spec.map(str::to_owned),
    };
    let usual = keys(Some("image.name"), Some("image.tag"), None);
    let values = |file: &str, keys: &Keys, is_own: bool| Target::Values {
        file: file.to_owned(),
        keys: keys.clone(),
        is_own,
        may_create: true,
    };
    for (written, expected) in [
        ("helmvalues", values("apps/web/values.yaml", &usual, true)),
        ("helmvalues:env/dev.yaml", values("apps/web/env/dev.yaml", &usual, true)),
        ("helmvalues:/charts/web/values.yaml", values("charts/web/values.yaml", &usual, false)),
        ("env/dev.yaml", values("env/dev.yaml", &usual, true)),
    ] {
        assert_eq!(target(&[("write-back-target", written)]).target, expected, "{written}");
    }
    let own = target(&[("write-back-target", "file:/versions.json"), ("a.helm.image-tag", "web.version")]);
    let only = keys(None, Some("web.version"), None);
    let expected = Target::Values { file: "versions.json".to_owned(), keys: only, is_own: true, may_create: false };
    assert_eq!(own.target, expected);
    let spec =
        target(&[("write-back-target", "helmvalues"), ("a.helm.image-spec", "image"), ("a.helm.image-tag", "x")]);
    assert_eq!(spec.target, values("apps/web/values.yaml", &keys(None, None, Some("image")), true));
    // The default, also of the method `argocd`, whose target has no effect.
    for annotations in
        [&[("write-back-target", "")][..], &[("write-back-method", "argocd")], &[("write-back-method", "")]]
    {
        let Target::Override { folder, file, .. } = target(annotations).target else { panic!("{annotations:?}") };
        assert_eq!((folder.as_str(), file.as_str()), ("apps/web", "apps/web/.argocd-source-web.yaml"));
    }
    for (branch, base, push) in [
        ("deploy", Some("deploy"), None),
        ("main:main", Some("main"), None),
        ("main:", Some("main"), None),
        (":images-{{.SHA256}}", Some("main"), Some("images-{{.SHA256}}")),
        ("main:image-updater-web", Some("main"), Some("image-updater-web")),
        ("HEAD", None, None),
    ] {
        let update = target(&[("git-branch", branch)]);
        assert_eq!((update.branch.as_deref(), update.push_branch.as_deref()), (base, push), "{branch}");
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
    let name = Some("nginx".to_owned());
    assert_eq!(update.target, Target::Kustomization { folder: "base".to_owned(), name, is_own: false });
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
    assert_eq!(plan.message(None), "build: automatic update of web\n\nupdates image team/app tag '1.0' to '1.10'\n");
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

/// A tag that was in the file is recognised under the name that the file has for the image, and pins what took its
/// place until something newer comes.
#[test]
fn an_earlier_version_tells_what_was_taken_back() {
    let text = |tag: &str| format!("images:\n- name: nginx\n  newName: {IMAGE}\n  newTag: {tag}\n");
    let tree = tree(&[("apps/web/kustomization.yaml", &text("1.0.0"))]);
    let list = format!("a={IMAGE}:1.x");
    let (updates, _) = concerned(&[app("web", &[("image-list", &list), ("a.kustomize.image-name", "nginx")])]);
    let pinned_by = |pushed: &str, versions: &[String]| {
        let plan = plan_updates(&tree, &updates, &listed(&[pushed]));
        let [change] = plan.changes.as_slice() else { panic!("{:?}", plan.unchanged) };
        pinned(&updates[0], change, versions, &tags(&[pushed]))
    };
    let history = [text("1.0.0"), text("1.1.0"), text("1.0.0")];
    for (pushed, pin) in [("1.0.1", Some("1.1.0")), ("1.1.0", Some("1.1.0")), ("1.1.1", None), ("1.2.0", None)] {
        assert_eq!(pinned_by(pushed, &history).as_deref(), pin, "{pushed}");
    }
    // What is the constraint's no more, another image's and what can't be read pin nothing.
    for other in [
        text("1.0.0"),
        text("2.0.0"),
        text("main"),
        text("1.5.0").replace("team/app", "team/other"),
        "not: [yaml".to_owned(),
        String::new(),
    ] {
        assert_eq!(pinned_by("1.0.1", std::slice::from_ref(&other)), None, "{other}");
    }
}

/// Whatever the order in which pushes are told, and however often, the file ends with the same tag, and never goes
/// back.
#[test]
fn the_order_of_events_never_changes_the_last_tag() {
    let pushes = ["1.0.1", "1.2.0", "1.1.0", "1.10.0", "1.9.9", "pr-7"];
    for strategy in ["semver", "newest-build", "alphabetical"] {
        let (updates, _) = concerned(&[app("web", &[("update-strategy", strategy), ("ignore-tags", "pr-*")])]);
        let all = listed(&pushes);
        let last = choose(&updates[0], &all[IMAGE]).unwrap().unwrap().tag.clone();
        let mut seed = 7_u64;
        for _ in 0..200 {
            let mut text = format!("images:\n- name: {IMAGE}\n  newTag: \"1.0.0\"\n");
            let mut order: Vec<usize> = (0..pushes.len()).chain([1, 3]).collect();
            for at in (1..order.len()).rev() {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                order.swap(at, usize::try_from(seed >> 33).unwrap() % (at + 1));
            }
            for at in order {
                // Semver decides by the event alone.
                let tags = if strategy == "semver" { listed(&pushes[at..=at]) } else { all.clone() };
                let plan = plan_updates(&tree(&[("apps/web/kustomization.yaml", &text)]), &updates, &tags);
                assert!(plan.errors.is_empty());
                text = plan.files.get("apps/web/kustomization.yaml").cloned().unwrap_or(text);
            }
            let value = yaml::parse(&text).unwrap();
            assert_eq!(value["images"][0]["newTag"], last.as_str(), "{strategy}");
        }
    }
}

/// A number that nobody quoted counts as it is written: 1.10 is no 1.1, and `706798e8` is a commit (F17).
#[test]
fn unquoted_tags_count_as_they_are_written() {
    let plan_for = |strategy: &str, current: &str, list: &[&str]| {
        let text = format!("images:\n- name: {IMAGE}\n  newTag: {current}\n");
        let (updates, _) = concerned(&[app("web", &[("update-strategy", strategy)])]);
        let plan = plan_updates(&tree(&[("apps/web/kustomization.yaml", &text)]), &updates, &listed(list));
        plan.changes.first().map(|change| (change.old.clone(), change.new.clone()))
    };
    assert_eq!(plan_for("semver", "1.10", &["1.9"]), None);
    assert_eq!(
        plan_for("newest-build", "706798e8", &["11aa22bb", "706798e8"]),
        Some(("706798e8".into(), "706798e8".into()))
    );
    assert_eq!(plan_for("newest-build", "706798e8", &["706798e8", "11aa22bb"]).unwrap().1, "11aa22bb");
}

/// An image is held until its scan is finished and has no finding above the severity.
#[test]
fn a_scan_holds_an_image() {
    let mut web = app("web", &[("image-list", &format!("a={IMAGE}"))]);
    let annotations = web.object.as_map_mut()["metadata"]["annotations"].as_object_mut().unwrap();
    annotations.insert("slipway.dev/scan-gate".to_owned(), json!("medium"));
    let (updates, errors) = concerned(&[web]);
    assert!(errors.is_empty() && updates[0].needs_list(&Current { tag: Some("1.0.0".into()), ..Current::default() }));
    let text = format!("images:\n- name: {IMAGE}\n  newTag: 1.0.0\n");
    let plan_for = |findings: Option<&[(&str, i64)]>| {
        let findings =
            findings.map(|all| all.iter().map(|(severity, count)| ((*severity).to_owned(), *count)).collect());
        let tags = vec![TagInfo { tag: "1.1.0".to_owned(), findings, ..TagInfo::default() }];
        let tree = tree(&[("apps/web/kustomization.yaml", &text)]);
        let plan = plan_updates(&tree, &updates, &ImageTags::from([(IMAGE.to_owned(), tags)]));
        plan.unchanged.first().map(|(_, why)| why.clone())
    };
    assert_eq!(plan_for(None).unwrap(), "1.1.0 waits for ECR's scan of it");
    assert_eq!(plan_for(Some(&[("HIGH", 2), ("LOW", 9)])).unwrap(), "1.1.0 has 2 findings of severity HIGH");
    assert_eq!(plan_for(Some(&[("UNDEFINED", 1)])).unwrap(), "1.1.0 has 1 findings of severity UNDEFINED");
    assert_eq!(plan_for(Some(&[("MEDIUM", 3), ("HIGH", 0)])), None);
    assert_eq!(plan_for(Some(&[])), None);
}

/// `ImageUpdater` resources (levels, patterns, `useAnnotations`, the most specific match).
#[test]
fn image_updaters_say_what_is_updated() {
    let resource = |name: &str, spec: Value| {
        let value = json!({"apiVersion": "argocd-image-updater.argoproj.io/v1alpha1", "kind": "ImageUpdater",
            "metadata": {"name": name, "namespace": "argocd"}, "spec": spec});
        Object::from_value(value).unwrap()
    };
    let image = |alias: &str| json!({"alias": alias, "imageName": format!("{IMAGE}:1.x")});
    let spec = json!({
        "commonUpdateSettings": {"updateStrategy": "newest-build", "ignoreTags": ["latest"]},
        "writeBackConfig": {"method": "git", "gitConfig": {"branch": "deploy", "writeBackTarget": "kustomization"}},
        "applicationRefs": [
            {"namePattern": "*", "images": [image("all")]},
            {"namePattern": "web-*", "images": [image("pattern")], "commonUpdateSettings": {"allowTags": "regexp:^1"}},
            {"namePattern": "web-*", "labelSelectors": {"matchLabels": {"env": "dev"}}, "images": [image("label")]},
            {"namePattern": "web-exact", "images": [{"alias": "exact", "imageName": IMAGE,
                "commonUpdateSettings": {"updateStrategy": "alphabetical"},
                "manifestTargets": {"kustomize": {"name": "nginx"}}}],
                "writeBackConfig": {"gitConfig": {"writeBackTarget": "kustomization:/base"}}},
            {"namePattern": "old-*", "useAnnotations": true, "images": [image("ignored")]},
        ],
    });
    let (resources, problems) = ImageUpdaters::read(&[resource("one", spec)]);
    assert!(problems.is_empty(), "{problems:?}");
    let labelled = |name: &str, labels: Value| {
        let mut object = app(name, &[]).object;
        object.as_map_mut()["metadata"].as_object_mut().unwrap().insert("labels".to_owned(), labels);
        object.set_namespace("argocd");
        Application::from_object(&object).unwrap()
    };
    let of = |name: &str, labels: Value| {
        let app = labelled(name, labels);
        let settings = resources.settings(&app).unwrap().unwrap_or_default();
        let (mut updates, errors) = updates(&app, &settings, None, |_| true);
        assert!(errors.is_empty(), "{errors:?}");
        updates.pop()
    };
    for (name, labels, alias, strategy) in [
        ("api", json!({}), "all", Strategy::NewestBuild),
        ("web-a", json!({"env": "prod"}), "pattern", Strategy::NewestBuild),
        ("web-a", json!({"env": "dev"}), "label", Strategy::NewestBuild),
        ("web-exact", json!({"env": "dev"}), "exact", Strategy::Alphabetical),
    ] {
        let update = of(name, labels).unwrap();
        assert_eq!((update.alias.as_str(), update.strategy), (alias, strategy), "{name}");
        assert_eq!((update.branch.as_deref(), update.ignore.as_slice()), (Some("deploy"), &["latest".to_owned()][..]));
    }
    assert!(!of("web-a", json!({})).unwrap().allow.allows("2"));
    let Target::Kustomization { folder, name, .. } = of("web-exact", json!({})).unwrap().target else { panic!() };
    assert_eq!((folder.as_str(), name.as_deref()), ("base", Some("nginx")));
    // The annotations, and none of the resource's settings.
    let old = of("old-a", json!({})).unwrap();
    assert_eq!((old.alias.as_str(), old.branch.as_deref(), old.strategy), ("", Some("main"), Strategy::Semver));

    let select =
        |pattern: &str, images: Value| json!({"applicationRefs": [{"namePattern": pattern, "images": images}]});
    // Annotations of an Application that no resource of its namespace selects have no effect, as in version 1.
    let (none, _) = ImageUpdaters::read(&[resource("other", select("api", json!([image("a")])))]);
    assert_eq!(none.settings(&labelled("web", json!({}))).unwrap(), None);
    let both = [resource("a", select("w*", json!([image("a")]))), resource("b", select("*", json!([image("b")])))];
    let error = ImageUpdaters::read(&both).0.settings(&labelled("web", json!({}))).unwrap_err().to_string();
    assert_eq!(error, "web: the ImageUpdaters `a` and `b` both select it, and would overwrite each other");
    for (spec, words) in [
        (json!({}), "`spec.applicationRefs` is missing or empty"),
        (select("[", json!([])), "`[` is no pattern"),
        (select("*", json!([{"alias": "a"}])), "an image has no `imageName`"),
        (select("*", json!([{"imageName": "a"}])), "`alias` of image `a` is missing"),
        (
            json!({"applicationRefs": [{"namePattern": "*"}],
                "writeBackConfig": {"gitConfig": {"pullRequest": {"gitlab": {}}}}}),
            "`pullRequest.gitlab` is not supported yet",
        ),
    ] {
        let (_, problems) = ImageUpdaters::read(&[resource("x", spec)]);
        assert!(problems[0].contains(words), "{problems:?}");
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
    assert_eq!(
        plan.message(None),
        "build: automatic update of a, c\n\nupdates image team/app tag '1.0.0' to '1.1.0'\n"
    );
    assert_eq!(plan.unchanged.len(), 1);
    assert_eq!(plan.errors[0].to_string(), "d: there is no kustomization in `apps/d`");
}
