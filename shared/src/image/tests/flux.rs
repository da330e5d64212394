//! Flux's policies and markers.

use serde_json::{Value, json};
use slipway_manifest::{Object, Tree};

use super::super::*;

const IMAGE: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app";

fn object(kind: &str, name: &str, spec: &Value) -> Object {
    let object = json!({"apiVersion": "image.toolkit.fluxcd.io/v1", "kind": kind,
        "metadata": {"name": name, "namespace": "flux-system"}, "spec": spec});
    Object::from_value(object).unwrap()
}

/// The update by a policy with this spec besides its repository.
fn update(spec: &Value) -> Result<Update, Vec<String>> {
    let mut all = json!({"imageRepositoryRef": {"name": "app"}});
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let objects = [object("ImageRepository", "app", &json!({"image": IMAGE})), object("ImagePolicy", "app", &all)];
    let (policies, problems) = ImagePolicies::read(&objects);
    let url = "https://github.com/acme/gitops".parse().unwrap();
    policies.updates(&url, Some("main"), |image| image == IMAGE).0.pop().ok_or(problems)
}

fn tags(names: &[&str]) -> Vec<TagInfo> {
    let digest = format!("sha256:{}", "a".repeat(64));
    let info = |(at, tag): (usize, &&str)| TagInfo {
        tag: (*tag).to_owned(),
        pushed_at_ms: i64::try_from(at).unwrap(),
        digest: digest.clone(),
        findings: None,
        platforms: None,
    };
    names.iter().enumerate().map(info).collect()
}

#[test]
fn policies_choose_as_flux_does() {
    let pattern = json!({"pattern": "^main-[a-f0-9]+-(?P<ts>[0-9]+)", "extract": "$ts"});
    let builds = ["main-0f3a-9", "main-ffff-10", "dev-ffff-11", "main-0000-2"];
    for (spec, names, chosen) in [
        (
            json!({"policy": {"semver": {"range": "5.0.x"}}}),
            &["5.0.1", "5.0.10", "5.1.0", "latest"][..],
            Some("5.0.10"),
        ),
        (json!({"policy": {"semver": {"range": ">=1.0.0-0"}}}), &["1.0.0", "1.1.0-rc.1"], Some("1.1.0-rc.1")),
        (json!({"filterTags": pattern, "policy": {"numerical": {"order": "asc"}}}), &builds, Some("main-ffff-10")),
        (json!({"filterTags": pattern, "policy": {"numerical": {"order": "desc"}}}), &builds, Some("main-0000-2")),
        (json!({"filterTags": pattern, "policy": {"alphabetical": {}}}), &builds, Some("main-0f3a-9")),
        (json!({"policy": {"alphabetical": {"order": "desc"}}}), &["b", "a", "c"], Some("a")),
        (
            json!({"filterTags": {"pattern": "^v"}, "policy": {"semver": {"range": "*"}}}),
            &["v1.0.0", "2.0.0"],
            Some("v1.0.0"),
        ),
        (
            json!({"filterTags": {"pattern": "^(?P<v>.*)-alpine$", "extract": "${v}"},
                "policy": {"semver": {"range": "1.x"}}}),
            &["1.2.0-alpine", "1.10.0-alpine", "1.11.0"],
            Some("1.10.0-alpine"),
        ),
        (json!({"policy": {"numerical": {}}}), &["latest", "nan", "inf"], None),
    ] {
        let update = update(&spec).unwrap();
        let tags = tags(names);
        assert_eq!(choose(&update, &tags).unwrap().map(|info| info.tag.as_str()), chosen, "{spec}");
    }
}

#[test]
fn policies_that_can_t_be_read_are_told() {
    for (spec, words) in [
        (json!({"policy": {}}), "must have one of `semver`, `alphabetical` and `numerical`"),
        (json!({"policy": {"semver": {"range": "1.x"}, "numerical": {}}}), "must have one of"),
        (json!({"policy": {"semver": {}}}), "`spec.policy.semver.range` is missing"),
        (json!({"policy": {"numerical": {"order": "up"}}}), "`order` must be `asc` or `desc`, found `up`"),
        (json!({"filterTags": {"pattern": "("}, "policy": {"numerical": {}}}), "`spec.filterTags.pattern`"),
        (json!({"imageRepositoryRef": {"name": "x"}, "policy": {"numerical": {}}}), "ImageRepository `flux-system/x`"),
    ] {
        let problems = update(&spec).unwrap_err();
        assert!(problems[0].contains(words), "{words}: {problems:?}");
    }
}

#[test]
fn markers_are_written_and_nothing_else() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let marker = |part: &str| format!("# {{\"$imagepolicy\": \"flux-system:app{part}\"}}");
    let whole = json!({"policy": {"semver": {"range": "1.x"}}});
    let reflected = json!({"policy": {"semver": {"range": "1.x"}}, "digestReflectionPolicy": "Always"});
    let embedded = format!("data:\n  inner: |\n    image: {IMAGE}:1.0.0 {}\n", marker(""));
    let cases = [
        (&whole, format!("image: {IMAGE}:1.0.0 {}\n", marker("")), format!("image: {IMAGE}:1.1.0 {}\n", marker(""))),
        (
            &reflected,
            format!("a: {IMAGE}:1.0.0 {}\n", marker("")),
            format!("a: {IMAGE}:1.1.0@{digest} {}\n", marker("")),
        ),
        (
            &whole,
            format!(
                "# Top.\r\na:\r\n  - name: other {0}\r\n    tag: '1.0.0'   {1}\r\n    d: x {2}\r\n",
                marker(":name"),
                marker(":tag"),
                marker(":digest")
            ),
            format!(
                "# Top.\r\na:\r\n  - name: {IMAGE} {0}\r\n    tag: '1.1.0'   {1}\r\n    d: {digest} {2}\r\n",
                marker(":name"),
                marker(":tag"),
                marker(":digest")
            ),
        ),
        (
            &whole,
            format!("one: 1\n---\ntag: 1.0 {}\n---\n[{{tag: \"1.0.0\"}}] {}\n", marker(":tag"), marker(":tag")),
            format!("one: 1\n---\ntag: 1.1.0 {}\n---\n[{{tag: \"1.0.0\"}}] {}\n", marker(":tag"), marker(":tag")),
        ),
        // Other policies, other parts, and what only looks like a marker.
        (&whole, "a: x:1.0.0 # {\"$imagepolicy\": \"flux-system:app2\"}\n".to_owned(), String::new()),
        (&whole, "a: x:1.0.0 # {\"$imagepolicy\": \"flux-system:app:sha\"}\n".to_owned(), String::new()),
        (&whole, format!("a: \"x:1.0.0 {}\"\n", marker("").replace('"', "'")), String::new()),
        (&whole, embedded, String::new()),
    ];
    for (spec, before, after) in cases {
        let mut tree = Tree::default();
        tree.insert("apps/web.yaml", before.clone().into_bytes()).unwrap();
        tree.insert("README.md", before.clone().into_bytes()).unwrap();
        let known = ImageTags::from([(IMAGE.to_owned(), tags(&["1.0.0", "1.1.0"]))]);
        let plan = plan_updates(&tree, &[update(spec).unwrap()], &known);
        assert!(plan.errors.is_empty(), "{before}: {:?}", plan.errors);
        let written = plan.files.get("apps/web.yaml").cloned().unwrap_or_default();
        assert_eq!(written, after, "{before}");
        assert!(!plan.files.contains_key("README.md"));
        // Once more there is nothing to do, and an older image changes nothing.
        if !after.is_empty() {
            let mut tree = Tree::default();
            tree.insert("apps/web.yaml", after.into_bytes()).unwrap();
            for names in [&["1.0.0", "1.1.0"][..], &["1.0.0"]] {
                let known = ImageTags::from([(IMAGE.to_owned(), tags(names))]);
                let plan = plan_updates(&tree, &[update(spec).unwrap()], &known);
                assert!(plan.is_empty(), "{:?}", plan.files);
            }
        }
    }
}

/// The updates where these automations say, with what is wrong with them.
fn automated(automations: &[Value]) -> (Vec<Update>, Vec<String>) {
    let mut objects = vec![
        object("ImageRepository", "app", &json!({"image": IMAGE})),
        object("ImagePolicy", "app", &json!({"imageRepositoryRef": {"name": "app"}, "policy": {"alphabetical": {}}})),
    ];
    for (name, url) in [("own", "ssh://git@github.com/acme/gitops"), ("other", "https://github.com/acme/other")] {
        let spec = json!({"url": url, "ref": {"branch": "main"}});
        objects.push(object("GitRepository", name, &spec));
    }
    for (index, automation) in automations.iter().enumerate() {
        objects.push(object("ImageUpdateAutomation", &format!("a{index}"), automation));
    }
    let (policies, mut problems) = ImagePolicies::read(&objects);
    let url = "https://github.com/acme/gitops".parse().unwrap();
    let (updates, refused) = policies.updates(&url, Some("root"), |image| image == IMAGE);
    problems.extend(refused);
    (updates, problems)
}

#[test]
fn automations_say_where_markers_are_followed() {
    let own = json!({"name": "own", "kind": "GitRepository"});
    for (spec, wanted) in [
        (json!({"sourceRef": own}), (Some("main"), None, "")),
        (
            json!({"sourceRef": own, "update": {"path": "./clusters/dev", "strategy": "Setters"},
                "git": {"checkout": {"ref": {"branch": "dev"}}, "push": {"branch": "updates"}}}),
            (Some("dev"), Some("updates"), "clusters/dev"),
        ),
        // It pushes where it reads.
        (json!({"sourceRef": own, "git": {"push": {"branch": "main"}}}), (Some("main"), None, "")),
        // A repository that is declared nowhere is the root's.
        (json!({"sourceRef": {"name": "flux-system"}}), (Some("root"), None, "")),
    ] {
        let (updates, problems) = automated(std::slice::from_ref(&spec));
        let [update] = &updates[..] else { panic!("{spec}: {updates:?}") };
        let Target::Markers { folder, .. } = &update.target else { panic!("{update:?}") };
        let found = (update.branch.as_deref(), update.push_branch.as_deref(), folder.as_str());
        assert_eq!((found, problems), (wanted, Vec::new()), "{spec}");
    }
    for (spec, problem) in [
        (json!({"sourceRef": own, "suspend": true}), ""),
        (json!({"sourceRef": own, "policySelector": {"matchLabels": {"team": "x"}}}), ""),
        (json!({"sourceRef": {"name": "other"}}), "writes to https://github.com/acme/other"),
        (json!({"sourceRef": own, "update": {"path": "../x"}}), "`spec.update.path`"),
        (json!({"sourceRef": own, "update": {"strategy": "Jsonnet"}}), "there is only `Setters`"),
        (json!({"sourceRef": own, "git": {"checkout": {"ref": {"tag": "v1"}}}}), "only a `branch`"),
        (json!({"sourceRef": own, "git": {"push": {"branch": "a b"}}}), "no name of a branch"),
        (json!({"sourceRef": own, "git": {"push": {"refspec": "a:b"}}}), "`spec.git.push.refspec`"),
    ] {
        let (updates, problems) = automated(std::slice::from_ref(&spec));
        assert!(updates.is_empty(), "{spec}: {updates:?}");
        assert!(problems.concat().contains(problem) && problems.is_empty() == problem.is_empty(), "{problems:?}");
    }
    assert_eq!(automated(&[]).0.len(), 1, "without one markers are followed anywhere");
    assert_eq!(automated(&[json!({"sourceRef": own}), json!({"sourceRef": own, "update": {"path": "x"}})]).0.len(), 2);
}
