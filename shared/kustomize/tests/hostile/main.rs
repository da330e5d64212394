//! Small kustomizations that would take the memory or the time of a whole worker (attacks 13 and 15): each ends at a
//! bound, and the error names the bound.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop by panicking")]
#![allow(clippy::too_many_lines, reason = "functions are tables")]

mod patches;
mod transformers;

use std::error::Error;
use std::fmt::Write as _;

use slipway_budget::{Budget, Limits};
use slipway_kustomize::{Chart, Helm, Options, render};
use slipway_manifest::Tree;

use patches::{json_patch, json_patches, merges, replacements};
use transformers::transformers;

/// Path and text of files; those without a folder lie in the one that is rendered.
type Files = Vec<(String, String)>;

/// An input, with what its error says.
struct Bomb {
    name: &'static str,
    files: Files,
    error: &'static str,
}

const STEPS: &str = "the render exceeded its budget of 1000000 steps";
const BYTES: &str = "the render exceeded its budget of 6291456 bytes";
const LONG_PATH: &str = "has more than 100 fields";
const DEEP: &str = "it would nest deeper than 100 levels";

fn bomb(name: &'static str, error: &'static str, kustomization: impl Into<String>, more: &[(&str, String)]) -> Bomb {
    let more = more.iter().map(|(path, text)| ((*path).to_owned(), text.clone()));
    Bomb {
        name,
        error,
        files: std::iter::once(("kustomization.yaml".to_owned(), kustomization.into())).chain(more).collect(),
    }
}

/// `one` for each number below `count`.
fn each(count: usize, one: impl Fn(usize) -> String) -> String {
    (0..count).map(one).collect()
}

fn config_map(name: &str, rest: &str) -> String {
    format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n{rest}\n")
}

fn config_maps(count: usize) -> String {
    each(count, |n| config_map(&format!("c{n}"), "data: {a: b}"))
}

fn deployment(containers: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d}}\nspec: {{template: {{spec: {{containers: \
         [{containers}]}}}}}}\n"
    )
}

/// A mapping of so many levels.
fn nested(levels: usize) -> String {
    format!("{}{{}}{}", "{a: ".repeat(levels), "}".repeat(levels))
}

const ALL: &str = "resources: [a.yaml]\n";

fn texts() -> Vec<Bomb> {
    let long = "x".repeat(100_000);
    let nested = (0..60).fold(format!("[{}0]", "0,".repeat(5_000)), |inner, level| format!("&a{level} [{inner}]"));
    let inner = format!("[{}0]", "0,".repeat(1_500));
    let lists = (0..40).fold(config_map("c", &format!("x: {inner}")).replace("---\n", ""), |inner, _| {
        format!("apiVersion: v1\nkind: XList\nitems:\n- {}\n", inner.trim_end().replace('\n', "\n  "))
    });
    let wide = |prefix: &str| each(8_000, |n| format!("{prefix}{n}: 1, "));
    vec![
        bomb(
            "aliases of a long text",
            BYTES,
            ALL,
            &[("a.yaml", config_map("c", &format!("a: &a {long}\nb: [{}]", "*a, ".repeat(2_000))))],
        ),
        bomb("aliases in a kustomization", BYTES, format!("a: &a {long}\nb: [{}]\n", "*a, ".repeat(2_000)), &[]),
        bomb("anchors around anchors", BYTES, ALL, &[("a.yaml", config_map("c", &format!("a: {nested}")))]),
        bomb(
            "a list of numbers",
            BYTES,
            ALL,
            &[("a.yaml", config_map("c", &format!("a: [{}0]", "0,".repeat(150_000))))],
        ),
        bomb(
            "a list of nothing",
            BYTES,
            ALL,
            &[("a.yaml", config_map("c", &format!("a:\n{}", "-\n".repeat(150_000))))],
        ),
        bomb(
            "large mappings merged",
            STEPS,
            ALL,
            &[("a.yaml", config_map("c", &format!("a: &a {{{}}}\nb: {{<<: *a, {}}}", wide("a"), wide("b"))))],
        ),
        bomb("a key again and again", STEPS, format!("{{{}{}}}", wide("a"), "a7999: 1, ".repeat(8_000)), &[]),
        bomb("many separators", BYTES, ALL, &[("a.yaml", "---\na\n".repeat(60_000))]),
        bomb("lists of lists", BYTES, ALL, &[("a.yaml", lists)]),
        bomb(
            "a large JSON patch",
            BYTES,
            json_patch(""),
            &[("a.yaml", config_maps(1)), ("p.yaml", format!("[{}{{}}]", "{\"a\":0},".repeat(30_000)))],
        ),
        bomb("a file of UTF-16", BYTES, ALL, &[("a.yaml", String::new())]),
    ]
}

fn folders() -> Vec<Bomb> {
    let file = |text: String| vec![("kustomization.yaml".to_owned(), text)];
    let twice = |what: &str, kind: &str| {
        let mut files = file(format!("{ALL}components: [c0]\n"));
        files.push(("a.yaml".to_owned(), config_maps(1)));
        for level in 0..30 {
            files.push((
                format!("c{level}/kustomization.yaml"),
                format!("{kind}{what}: [../c{next}, ../c{next}]\n", next = level + 1),
            ));
        }
        files.push(("c30/kustomization.yaml".to_owned(), format!("{kind}commonLabels: {{a: b}}\n")));
        files
    };
    let component = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n";
    let mut bases = file("resources: [l0, r0]\n".to_owned());
    for level in 0..20 {
        for (side, prefix) in [("l", "a"), ("r", "b")] {
            bases.push((
                format!("{side}{level}/kustomization.yaml"),
                format!("namePrefix: {prefix}\nresources: [../l{next}, ../r{next}]\n", next = level + 1),
            ));
        }
    }
    for side in ["l20", "r20"] {
        bases.push((format!("{side}/kustomization.yaml"), ALL.to_owned()));
        bases.push((format!("{side}/a.yaml"), config_map(side, "data: {a: b}")));
    }
    let million = "x".repeat(1_000_000);
    let files =
        |kind: &str, count| format!("{kind}:\n{}", each(count, |n| format!("- {{name: g{n}, files: [big]}}\n")));
    let crd = |properties: &str| {
        format!(
            "{{\"a.K\": {{\"Schema\": {{\"properties\": {{\"kind\": {{}}, \"apiVersion\": {{}}, \"metadata\": {{}}, \
             {properties}}}}}}}}}"
        )
    };
    let charts = |count, rest: &str| format!("helmCharts: [{}]\n", each(count, |_| format!("{{name: x{rest}}}, ")));
    vec![
        Bomb { name: "components of components", error: STEPS, files: twice("components", component) },
        Bomb { name: "bases of bases", error: STEPS, files: bases },
        bomb(
            "one component again and again",
            STEPS,
            format!("{ALL}components: [{}]\n", "c, ".repeat(2_000)),
            &[("a.yaml", config_maps(1)), ("c/kustomization.yaml", format!("{component}commonLabels: {{a: b}}\n"))],
        ),
        bomb("large files in ConfigMaps", BYTES, files("configMapGenerator", 12), &[("big", million.clone())]),
        bomb("large files in Secrets", BYTES, files("secretGenerator", 3), &[("big", million.clone())]),
        bomb(
            "a file of variables",
            BYTES,
            "configMapGenerator: [{name: c, envs: [e]}]\n",
            &[("e", each(60_000, |n| format!("k{n}=\n")))],
        ),
        bomb(
            "labels of all generators",
            BYTES,
            format!(
                "generatorOptions: {{labels: {{{}}}}}\nconfigMapGenerator: [{}]\n",
                each(500, |n| format!("l{n}: x, ")),
                each(200, |n| format!("{{name: g{n}}}, "))
            ),
            &[],
        ),
        bomb(
            "many generators",
            STEPS,
            format!("configMapGenerator: [{}]\n", each(900, |n| format!("{{name: g{n}}}, "))),
            &[],
        ),
        bomb(
            "a type that holds itself twice",
            STEPS,
            format!("{ALL}crds: [crd.json]\n"),
            &[("a.yaml", config_maps(1)), ("crd.json", crd("\"l\": {\"$ref\": \"a.K\"}, \"r\": {\"$ref\": \"a.K\"}"))],
        ),
        bomb(
            "a large schema",
            BYTES,
            format!("{ALL}openapi: {{path: o.json}}\n"),
            &[
                ("a.yaml", config_maps(1)),
                (
                    "o.json",
                    format!("{{\"definitions\": {{{}\"z\": {{}}}}}}", each(12_000, |n| format!("\"d{n}\": {{}},"))),
                ),
            ],
        ),
        bomb("many charts", STEPS, charts(1_100, ""), &[("charts/x/values.yaml", String::new())]),
        bomb(
            "values of many charts",
            BYTES,
            charts(10, ", valuesInline: {b: 1}"),
            &[("charts/x/values.yaml", format!("a: {million}\n"))],
        ),
        bomb(
            "more values of charts",
            BYTES,
            charts(1, &format!(", additionalValuesFiles: [{}]", "v, ".repeat(10))),
            &[("charts/x/values.yaml", String::new()), ("v", million)],
        ),
        bomb(
            "what a chart prints",
            BYTES,
            charts(1, ", releaseName: large"),
            &[("charts/x/values.yaml", String::new())],
        ),
    ]
}

/// Prints nothing, or much.
struct Charts;

impl Helm for Charts {
    fn template(&self, _: &Tree, chart: &Chart) -> Result<String, Box<dyn Error + Send + Sync>> {
        Ok(if chart.release_name == "large" { format!("a: [{}0]", "0,".repeat(200_000)) } else { String::new() })
    }
}

fn tree(bomb: &Bomb) -> Tree {
    let mut tree = Tree::default();
    for (path, text) in &bomb.files {
        let bytes = if bomb.name == "a file of UTF-16" {
            let text = if path == "a.yaml" { format!("# {}", "x".repeat(2_000_000)) } else { text.clone() };
            std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
        } else {
            text.clone().into_bytes()
        };
        tree.insert(&format!("root/{path}"), bytes).unwrap();
    }
    tree
}

fn message(error: &dyn Error) -> String {
    error.source().map_or(error.to_string(), |source| format!("{error}: {}", message(source)))
}

/// With a fiftieth of the steps and of the bytes that a render has, as a build for tests is slow.
#[test]
fn small_kustomizations_neither_fill_the_memory_nor_hold_the_worker() {
    let bombs: Vec<Bomb> =
        [json_patches(), texts(), replacements(), transformers(), merges(), folders()].into_iter().flatten().collect();
    assert!(bombs.len() >= 70, "{}", bombs.len());
    let mut wrong = String::new();
    for bomb in bombs {
        let budget = Budget::new(Limits { steps: 1_000_000, bytes: 6 << 20 });
        let options = Options { helm: Some(&Charts), budget: Some(budget.clone()), ..Options::default() };
        let rendered = render(&tree(&bomb), "root", &options);
        let told = rendered.as_ref().map_or_else(|error| message(error), |_| "nothing is wrong".to_owned());
        let (steps, bytes) = budget.used();
        // What ends elsewhere has paid for the way there.
        if !told.contains(bomb.error) || steps == 0 || bytes == 0 {
            writeln!(wrong, "{} ({steps} steps, {bytes} bytes): {told:.300}", bomb.name).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
