//! Patches and replacements.

use super::*;

pub(crate) fn json_patch(operations: &str) -> String {
    format!("{ALL}patches:\n- target: {{kind: ConfigMap}}\n  path: p.yaml\n# {}\n", operations.len())
}

fn json(name: &'static str, error: &'static str, resources: String, operations: String) -> Bomb {
    bomb(name, error, json_patch(&operations), &[("a.yaml", resources), ("p.yaml", operations)])
}

pub(crate) fn json_patches() -> Vec<Bomb> {
    let copy = |n| format!("- {{op: copy, from: /data, path: /data/c{n}}}\n");
    let nest =
        "- {op: move, from: /r, path: /t}\n- {op: add, path: /r, value: {}}\n- {op: move, from: /t, path: /r/t}\n";
    let one = |data: &str| config_map("c", data);
    let half = format!("r: {}", nested(60));
    let list = format!("l: [{}0]", "0,".repeat(10_000));
    let add = |count| each(count, |_| "- {op: add, path: /l/0, value: 0}\n".to_owned());
    vec![
        json("copies of copies", BYTES, one("data: {a: b}"), each(40, copy)),
        json(
            "a list that holds itself",
            BYTES,
            one("data: {l: [a]}"),
            each(40, |_| "- {op: copy, from: /data/l, path: /data/l/-}\n".to_owned()),
        ),
        json("copies of a long text", BYTES, one(&format!("data: {{a: {}}}", "x".repeat(100_000))), each(200, copy)),
        json("moves that nest", DEEP, one(&half), nest.repeat(60)),
        json(
            "copies that nest",
            DEEP,
            one(&half),
            each(60, |_| {
                "- {op: copy, from: /r, path: /t}\n- {op: replace, path: /r, value: {}}\n\
                 - {op: copy, from: /t, path: /r/t}\n"
                    .to_owned()
            }),
        ),
        json(
            "a long value in many objects",
            BYTES,
            config_maps(200),
            format!("- {{op: add, path: /x, value: {}}}\n", "x".repeat(100_000)),
        ),
        json("insertions at the front of a list", STEPS, one(&list), add(400)),
        json(
            "a long path, taken apart again and again",
            BYTES,
            one("data: {}"),
            each(40, |_| format!("- {{op: add, path: /{}, value: 1}}\n", "~0".repeat(60_000))),
        ),
        bomb(
            "many patches for many objects",
            STEPS,
            format!(
                "{ALL}patches:\n{}",
                each(400, |n| format!("- {{target: {{name: x{n}}}, patch: '- {{op: remove, path: /x}}'}}\n"))
            ),
            &[("a.yaml", config_maps(300))],
        ),
        bomb(
            "patches that are remembered",
            BYTES,
            format!(
                "{ALL}patches:\n{}",
                each(100, |_| "- {target: {kind: ConfigMap}, patch: '- {op: add, path: /x, value: 1}'}\n".to_owned())
            ),
            &[("a.yaml", config_maps(100))],
        ),
    ]
}

pub(crate) fn merges() -> Vec<Bomb> {
    let env = |count, value: &str| each(count, |n| format!("{{name: e{n}, value: {value}}}, "));
    let container = |env: &str| deployment(&format!("{{name: c, env: [{env}]}}"));
    let ports = |count| each(count, |n| format!("{{containerPort: {n}}}, "));
    let merge = |name, error, target: String, patch: String| {
        bomb(name, error, format!("{ALL}patches: [{{path: p.yaml}}]\n"), &[("a.yaml", target), ("p.yaml", patch)])
    };
    let wide = |value| config_map("c", &format!("data: {{{}}}", each(6_000, |n| format!("k{n}: {value}, "))));
    vec![
        merge("lists that merge", STEPS, container(&env(900, "a")), container(&env(900, "b"))),
        merge(
            "lists that merge by two keys",
            STEPS,
            deployment(&format!("{{name: c, ports: [{}]}}", ports(600))),
            deployment(&format!("{{name: c, ports: [{}{{containerPort: 1, protocol: UDP}}]}}", ports(600))),
        ),
        merge(
            "sets of texts that merge",
            STEPS,
            format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c, finalizers: [{}]}}\n",
                each(1_500, |n| format!("a{n}, "))
            ),
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, finalizers: [b]}\n".to_owned(),
        ),
        merge("wide mappings that merge", STEPS, wide("a"), wide("b")),
        bomb(
            "a large patch for many objects",
            BYTES,
            format!("{ALL}patches: [{{path: p.yaml, target: {{kind: ConfigMap}}}}]\n"),
            &[
                ("a.yaml", config_maps(60)),
                ("p.yaml", config_map("x", &format!("data: {{{}}}", each(600, |n| format!("k{n}: x, "))))),
            ],
        ),
        bomb(
            "many merges",
            STEPS,
            format!("{ALL}patchesStrategicMerge: [p.yaml]\n"),
            &[("a.yaml", config_maps(400)), ("p.yaml", config_maps(400))],
        ),
    ]
}

pub(crate) fn replacements() -> Vec<Bomb> {
    let half = format!("data: {{x: {}}}", nested(59));
    let back_and_forth = |n: usize| {
        let (from, to) = if n.is_multiple_of(2) { ("a", "b") } else { ("b", "a") };
        format!(
            "- source: {{kind: ConfigMap, name: {from}, fieldPath: data}}\n  targets:\n  - select: {{name: {to}}}\n    \
             fieldPaths: [data.f{n}]\n    options: {{create: true}}\n"
        )
    };
    let from_a = |rest: &str| format!("- source: {{kind: ConfigMap, name: a, fieldPath: data}}\n  targets:\n{rest}");
    let pair = |data: &str| config_map("a", data) + &config_map("b", data);
    let all = |list: String| format!("{ALL}replacements:\n{list}");
    vec![
        bomb("a field back and forth", BYTES, all(each(70, back_and_forth)), &[("a.yaml", pair("data: {x: y}"))]),
        bomb(
            "a field that nests",
            DEEP,
            all(each(60, |n| {
                let names = [("a", "b"), ("b", "c"), ("c", "a")];
                let (from, to) = names[n % 3];
                format!(
                    "- source: {{name: {from}, fieldPath: data}}\n  targets:\n  - select: {{name: {to}}}\n    \
                     fieldPaths: [data.x]\n    options: {{create: true}}\n"
                )
            })),
            &[("a.yaml", pair(&half) + &config_map("c", &half))],
        ),
        bomb(
            "many replacements in many objects",
            STEPS,
            all(each(400, |n| {
                format!("- sourceValue: x\n  targets:\n  - select: {{name: c{n}}}\n    fieldPaths: [data.a]\n")
            })),
            &[("a.yaml", config_maps(700))],
        ),
        bomb(
            "many rejects",
            STEPS,
            all(format!(
                "- sourceValue: x\n  targets:\n  - select: {{kind: ConfigMap}}\n    reject: [{}]\n",
                each(400, |n| format!("{{name: x{n}}}, "))
            )),
            &[("a.yaml", config_maps(700))],
        ),
        bomb(
            "a path of 300,000 fields",
            LONG_PATH,
            all(from_a(&format!(
                "  - select: {{name: b}}\n    fieldPaths: [data.x{}]\n    options: {{create: true}}\n",
                ".a".repeat(300_000)
            ))),
            &[("a.yaml", pair("data: {x: y}"))],
        ),
        bomb(
            "a source of 300,000 fields",
            LONG_PATH,
            all(format!(
                "- source: {{name: a, fieldPath: data{}}}\n  targets: [{{select: {{name: b}}}}]\n",
                ".a".repeat(300_000)
            )),
            &[("a.yaml", pair("data: {x: y}"))],
        ),
        bomb(
            "a long text in many objects",
            BYTES,
            all(format!(
                "- sourceValue: {}\n  targets:\n  - select: {{kind: ConfigMap}}\n    fieldPaths: [data.a]\n",
                "x".repeat(100_000)
            )),
            &[("a.yaml", config_maps(200))],
        ),
        bomb(
            "a text cut at each letter",
            BYTES,
            all("- sourceValue: w\n  targets:\n  - select: {name: a}\n    fieldPaths: [data.x]\n    \
                 options: {delimiter: x, index: 3}\n"
                .to_owned()),
            &[("a.yaml", pair(&format!("data: {{x: {}}}", "x".repeat(130_000))))],
        ),
        bomb(
            "a text that grows by its delimiter",
            BYTES,
            all(each(60, |_| {
                "- source: {kind: ConfigMap, name: a, fieldPath: data.x}\n  targets:\n  - select: {name: a}\n    \
                 fieldPaths: [data.x]\n    options: {delimiter: '-', index: -1}\n"
                    .to_owned()
            })),
            &[("a.yaml", pair("data: {x: y}"))],
        ),
        bomb(
            "new patterns, each large",
            BYTES,
            all(format!(
                "- sourceValue: w\n  targets:\n  - select: {{name: a}}\n    options: {{create: true}}\n    \
                 fieldPaths:\n{}",
                each(100, |n| format!("    - 'data.[x={n}(a|b){{900}}]'\n"))
            )),
            &[("a.yaml", pair("data: [{x: y}]"))],
        ),
        bomb(
            "a pattern on a long text",
            STEPS,
            all(each(200, |_| {
                "- sourceValue: w\n  targets:\n  - select: {name: a}\n    fieldPaths: ['data.[x=(a|b)*c$].y']\n    \
                 options: {create: true}\n"
                    .to_owned()
            })),
            &[("a.yaml", pair(&format!("data: [{{x: {}}}]", "a".repeat(400_000))))],
        ),
    ]
}
