//! Every place that a tag is written to.

use super::*;

/// Every kind of target: what is current, what is written, and that it is written once.
#[test]
fn every_target_is_written() {
    let files = [
        ("apps/web/Chart.yaml", "name: web\nversion: 1.0.0\n".to_owned()),
        ("apps/web/values.yaml", format!("image:\n  repository: {IMAGE}   # ours\n  tag: 1.0.0\n")),
        ("versions.json", "{\"web\": {\"version\": \"1.0.0\"}}\n".to_owned()),
        ("images.yaml", format!("- name: web\n  image: {IMAGE}:1.0.0\n")),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    for (annotations, file, old, after) in [
        (
            &[("write-back-target", "helmvalues"), ("a.helm.image-name", "image.repository")][..],
            "apps/web/values.yaml",
            "1.0.0",
            files[1].1.replace("1.0.0", "1.1.0"),
        ),
        (
            &[("write-back-target", "file:/versions.json"), ("a.helm.image-tag", "web.version")],
            "versions.json",
            "1.0.0",
            files[2].1.replace("1.0.0", "1.1.0"),
        ),
        (
            &[("write-back-target", "")],
            "apps/web/.argocd-source-web.yaml",
            "",
            format!(
                "helm:\n  parameters:\n  - name: image.name\n    value: {IMAGE}\n    forcestring: true\n  - name: \
                 image.tag\n    value: 1.1.0\n    forcestring: true\n"
            ),
        ),
    ] {
        let list = format!("a={IMAGE}");
        let mut all = vec![("image-list", list.as_str())];
        all.extend(annotations);
        let (updates, errors) = concerned(&[app("web", &all)]);
        assert!(errors.is_empty(), "{errors:?}");
        let mut tree = tree(&files);
        let plan = plan_updates(&tree, &updates, &listed(&["1.1.0"]));
        assert!(plan.errors.is_empty(), "{:?}", plan.errors);
        assert_eq!((plan.files[file].as_str(), plan.changes[0].old.as_str()), (after.as_str(), old), "{file}");
        tree.insert(file, after.as_bytes()).unwrap();
        let again = plan_updates(&tree, &updates, &listed(&["1.1.0"]));
        assert!(again.is_empty() && again.errors.is_empty(), "{again:?}");
        let older = plan_updates(&tree, &updates, &listed(&["1.0.5"]));
        assert!(older.is_empty() && older.unchanged[0].1 == "1.0.5 is not newer than 1.1.0", "{older:?}");
    }
}

/// Plain manifests are changed themselves: every image of that name, in every kind, where all have one tag.
#[test]
fn plain_manifests_are_written() {
    let manifest = |tag: &str| {
        format!(
            "# web\nkind: Deployment\nspec:\n  template:\n    spec:\n      initContainers:\n      - image: \
             '{IMAGE}:{tag}' # init\n      containers:\n      - {{name: web, image: {IMAGE}:{tag}}}\n---\nkind: \
             Rollout\nimage: nginx:1\n"
        )
    };
    let (updates, errors) = concerned(&[app("web", &[("write-back-target", "")])]);
    assert!(errors.is_empty(), "{errors:?}");
    let files = [("apps/web/a.yaml", manifest("1.0.0")), ("apps/web/sub/b.yaml", manifest("0.9.0"))];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let plan = plan_updates(&tree(&files), &updates, &listed(&["1.1.0"]));
    assert!(plan.errors.is_empty() && plan.files.len() == 1, "{plan:?}");
    assert_eq!(plan.files["apps/web/a.yaml"], manifest("1.1.0"));
    assert!(plan_updates(&tree(&files), &updates, &listed(&["0.9.9"])).is_empty());
    let both = [files[0], ("apps/web/b.yaml", files[1].1)];
    let plan = plan_updates(&tree(&both), &updates, &listed(&["1.1.0"]));
    assert!(plan.is_empty() && plan.errors[0].to_string().contains("with the tags 0.9.0, 1.0.0"), "{plan:?}");
    let none = plan_updates(&tree(&[("apps/web/x.yaml", "image: nginx:1\n")]), &updates, &listed(&["1.1.0"]));
    assert!(none.errors[0].to_string().contains("none of its manifests has the image"), "{none:?}");
}

/// The parameters of an Application's own manifest are changed there, as the method `argocd` would in the cluster.
#[test]
fn the_application_s_own_parameters_are_changed_in_its_manifest() {
    let helm = json!({"parameters": [{"name": "replicas", "value": "2"}, {"name": "image.tag", "value": "1.0.0"}]});
    let kustomize = json!({"images": ["redis:6", format!("{IMAGE}:1.0.0")]});
    for (tool, block) in [("helm", helm), ("kustomize", kustomize)] {
        let mut object = app("web", &[("write-back-method", "argocd"), ("image-list", &format!("a={IMAGE}"))]).object;
        let source = object.as_map_mut()["spec"]["source"].as_object_mut().unwrap();
        source.insert(tool.to_owned(), block);
        let web = Application::from_object(&object).unwrap();
        let written = yaml::to_string(&Value::Object(object.as_map_mut().clone()));
        let text = format!("# the others\nkind: Namespace\n---\n{written}---\n# end\n");
        let manifest = ManifestFile {
            repo: "https://github.com/acme/gitops".parse().unwrap(),
            branch: Some("main".to_owned()),
            file: "root/web.yaml".to_owned(),
        };
        let settings = of_annotations(&web).unwrap().unwrap();
        let (updates, errors) = updates(&web, &settings, Some(&manifest), |_| true);
        assert!(errors.is_empty(), "{errors:?}");
        let plan = plan_updates(&tree(&[("root/web.yaml", &text)]), &updates, &listed(&["1.1.0"]));
        assert!(plan.errors.is_empty(), "{:?}", plan.errors);
        let after = &plan.files["root/web.yaml"];
        assert_eq!(plan.changes[0].old, "1.0.0");
        let kept =
            |text: &str| text.lines().filter(|line| !line.contains("1.0.0")).map(str::to_owned).collect::<Vec<_>>();
        for line in kept(&text) {
            assert!(after.lines().any(|other| other == line), "{line} of {after}");
        }
        assert!(after.contains("1.1.0") && !after.contains("1.0.0"), "{after}");
        assert!(after.starts_with("# the others\nkind: Namespace\n---\n") && after.ends_with("---\n# end\n"));
    }
}

/// The name of another image in a file that is another's is not replaced.
#[test]
fn the_values_of_another_application_keep_their_image() {
    let list = format!("a={IMAGE}");
    let annotations = [("image-list", list.as_str()), ("write-back-target", "helmvalues:/apps/other/values.yaml")];
    let (updates, _) = concerned(&[app("web", &annotations)]);
    for (name, is_refused) in [("nginx", true), (IMAGE, false), ("team/app", false)] {
        let text = format!("image:\n  name: {name}\n  tag: 1.0.0\n");
        let plan = plan_updates(&tree(&[("apps/other/values.yaml", &text)]), &updates, &listed(&["1.1.0"]));
        assert_eq!(plan.is_empty(), is_refused, "{name}: {:?}", plan.errors);
    }
}
