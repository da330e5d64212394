//! Other transformers, and what comes after them.

use super::*;

/// A kustomization and the configuration that it names.
fn bomb_of_configuration(configuration: String, kustomization: &str) -> (String, String) {
    (kustomization.to_owned(), configuration)
}

pub(crate) fn transformers() -> Vec<Bomb> {
    let path = "/a".repeat(300_000);
    let with = |configuration: String, rest: &str| {
        bomb_of_configuration(configuration, &format!("{ALL}configurations: [k.yaml]\n{rest}"))
    };
    let named = |name, error, (kustomization, configuration): (String, String), resources: String| {
        bomb(name, error, kustomization, &[("k.yaml", configuration), ("a.yaml", resources)])
    };
    let specs = |count, section: &str| {
        format!("{section}:\n{}", each(count, |n| format!("- {{path: spec/f{n}, kind: ConfigMap, create: true}}\n")))
    };
    let labels = each(3_000, |n| format!("l{n}: x, "));
    let long = "x".repeat(50_000);
    let containers = |count| each(count, |n| format!("{{name: c{n}, image: i}}, "));
    let images = |name: &str, count| each(count, |_| format!("- {{name: '{name}', newTag: '1'}}\n"));
    let add = |path: &str, position: usize| {
        format!(
            "apiVersion: builtin\nkind: ValueAddTransformer\nmetadata: {{name: v}}\nvalue: x\ntargets:\n- fieldPath: \
             '{path}'\n  filePathPosition: {position}\n"
        )
    };
    vec![
        named(
            "a configured path of 300,000 fields",
            LONG_PATH,
            with(format!("namePrefix: [{{path: metadata{path}, create: true}}]\n"), "namePrefix: a\n"),
            config_maps(1),
        ),
        named(
            "a configured path of 300,000 fields, escaped",
            LONG_PATH,
            with(format!("namePrefix: [{{path: 'metadata{path}/b\\/c', create: true}}]\n"), "namePrefix: a\n"),
            config_maps(1),
        ),
        bomb(
            "a label's path of 300,000 fields",
            LONG_PATH,
            format!("{ALL}labels: [{{pairs: {{a: b}}, fields: [{{path: x{path}, create: true}}]}}]\n"),
            &[("a.yaml", config_maps(1))],
        ),
        bomb(
            "an added value's path of 300,000 fields",
            LONG_PATH,
            format!("{ALL}transformers: [t.yaml]\n"),
            &[("a.yaml", config_maps(1)), ("t.yaml", add(&path, 0))],
        ),
        bomb(
            "an added segment of a path of slashes",
            BYTES,
            format!("{ALL}transformers: [t.yaml]\n"),
            &[
                ("a.yaml", config_map("c", &format!("data: {{a: {}}}", "a/".repeat(300_000)))),
                ("t.yaml", add("data/a", 3)),
            ],
        ),
        named("many field specs, merged", BYTES, with(specs(4_000, "namePrefix"), ""), config_maps(1)),
        named(
            "many field specs in many objects",
            STEPS,
            with(specs(1_000, "namePrefix"), "namePrefix: a\n"),
            config_maps(100),
        ),
        named(
            "many field specs that create",
            BYTES,
            with(specs(900, "commonLabels"), &format!("commonLabels: {{a: {}}}\n", "b".repeat(10_000))),
            config_maps(1),
        ),
        bomb("many labels", STEPS, format!("{ALL}commonLabels: {{{labels}}}\n"), &[("a.yaml", config_maps(3))]),
        bomb(
            "a long label in many objects",
            BYTES,
            format!("{ALL}commonAnnotations: {{a: {long}}}\n"),
            &[("a.yaml", config_maps(200))],
        ),
        bomb("a long prefix", BYTES, format!("{ALL}namePrefix: {long}\n"), &[("a.yaml", config_maps(100))]),
        bomb("a long namespace", BYTES, format!("{ALL}namespace: {long}\n"), &[("a.yaml", config_maps(200))]),
        bomb(
            "many images in many containers",
            STEPS,
            format!("{ALL}images:\n{}", images("i", 300)),
            &[("a.yaml", deployment(&containers(1_000)))],
        ),
        bomb(
            "a pattern for long images",
            STEPS,
            format!("{ALL}images:\n{}", images("(a|b)*c", 100)),
            &[("a.yaml", deployment(&format!("{{name: c, image: {}}}", "a".repeat(300_000))))],
        ),
        bomb(
            "many replicas",
            STEPS,
            format!("{ALL}replicas:\n{}", each(300, |_| "- {name: d, count: 1}\n".to_owned())),
            &[("a.yaml", deployment("") + &config_maps(300))],
        ),
        bomb(
            "long lists in a selector",
            STEPS,
            format!(
                "{ALL}patches:\n- target: {{labelSelector: 'a notin ({})'}}\n  patch: '- {{op: remove, path: /x}}'\n",
                each(20_000, |n| format!("x{n},")).trim_end_matches(',')
            ),
            &[("a.yaml", config_maps(300))],
        ),
        bomb(
            "a wide object before its name, looked at again and again",
            STEPS,
            format!(
                "{ALL}patches:\n{}",
                each(400, |_| "- {target: {name: x}, patch: '- {op: remove, path: /x}'}\n".to_owned())
            ),
            &[(
                "a.yaml",
                format!(
                    "{}apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\n",
                    each(15_000, |n| format!("f{n}: 1\n"))
                ),
            )],
        ),
        bomb(
            "a variable in a long text",
            BYTES,
            format!(
                "{ALL}configurations: [k.yaml]\nvars: [{{name: V, objref: {{apiVersion: v1, kind: ConfigMap, \
                 name: a}}, \
                 fieldref: {{fieldpath: data.v}}}}]\n"
            ),
            &[
                ("k.yaml", "varReference: [{path: data/t, kind: ConfigMap}]\n".to_owned()),
                (
                    "a.yaml",
                    config_map("a", &format!("data: {{v: {long}}}"))
                        + &config_map("b", &format!("data: {{t: '{}'}}", "$(V)".repeat(1_000))),
                ),
            ],
        ),
        bomb(
            "one name in many namespaces, referred to",
            STEPS,
            format!("{ALL}nameSuffix: -x\n"),
            &[(
                "a.yaml",
                each(150, |n| {
                    format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c, namespace: n{n}}}\n")
                }) + &each(1, |_| {
                    let sources = each(4_000, |_| "{configMapRef: {name: c}}, ".to_owned());
                    format!("---\n{}", deployment(&format!("{{name: c, envFrom: [{sources}]}}")))
                }),
            )],
        ),
        bomb(
            "an order of many kinds",
            STEPS,
            format!(
                "{ALL}sortOptions: {{order: legacy, legacySortOptions: {{orderFirst: [{}]}}}}\n",
                each(8_000, |n| format!("K{n}, "))
            ),
            &[("a.yaml", each(900, |n| format!("---\napiVersion: v1\nkind: X{n}\nmetadata: {{name: c}}\n")))],
        ),
        bomb(
            "notes of what was changed",
            BYTES,
            format!("{ALL}buildMetadata: [originAnnotations, transformerAnnotations]\nimages:\n{}", images("i", 150)),
            &[("a.yaml", config_maps(40))],
        ),
        bomb(
            "validators of a large list",
            BYTES,
            format!("{ALL}validators: [t.yaml]\n"),
            &[
                ("a.yaml", config_map("c", &format!("a: [{}0]", "0,".repeat(33_000)))),
                (
                    "t.yaml",
                    "apiVersion: builtin\nkind: LabelTransformer\nmetadata: {name: v}\nlabels: {validated-by: v}\n\
                     fieldSpecs: [{path: metadata/labels, create: true}]\n"
                        .to_owned(),
                ),
            ],
        ),
    ]
}
