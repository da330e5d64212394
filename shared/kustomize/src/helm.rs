//! `helmCharts`: charts that lie in the tree, rendered by whoever the caller gave (kustomize
//! `HelmChartInflationGenerator.go`).

use std::borrow::Cow;

use serde_json::Value;
use slipway_manifest::{NodeKind, tree, yaml};

use crate::context::Context;
use crate::cost;
use crate::error::Error;
use crate::kustomization::{HelmChart, HelmGlobals};
use crate::load::Root;
use crate::node::{Kind, Node, parse};
use crate::options::Chart;
use crate::patch::merge::merge;
use crate::resmap;
use crate::resource::Resource;

const DEFAULT_HOME: &str = "charts";

/// The resources of one entry.
pub(crate) fn inflate(
    root: &Root<'_>,
    globals: Option<&HelmGlobals>,
    chart: &HelmChart,
    cx: &Context,
) -> Result<Vec<Resource>, Error> {
    cx.budget.step(1_000)?;
    let name = &chart.name;
    if name.is_empty() {
        return Err(Error::refused("a chart name of `helmCharts` cannot be empty"));
    }
    let helm = root.files.options.helm.ok_or_else(|| {
        Error::refused(format!(
            "`helmCharts` names chart `{name}`: helm must be enabled (kustomize.buildOptions: --enable-helm)"
        ))
    })?;
    let home = globals.map(|g| g.chart_home.as_str()).filter(|home| !home.is_empty()).unwrap_or(DEFAULT_HOME);
    let pulled = !chart.version.is_empty() && !chart.repo.is_empty();
    let home = if pulled { format!("{home}/{name}-{}", chart.version) } else { home.to_owned() };
    let read = |path: &str| {
        let path = tree::join(&root.path, path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        root.files.tree.read_text(&path).map_err(|source| Error::Read { path, source })
    };
    let folder = tree::join(&root.path, &format!("{home}/{name}"))
        .map_err(|source| Error::Read { path: format!("{home}/{name}"), source })?;
    if !matches!(root.files.tree.kind(&folder), Ok(Some(NodeKind::Directory))) {
        let (name, repo, version) = (name.clone(), chart.repo.clone(), chart.version.clone());
        return Err(Error::MissingChart { folder, name, repo, version });
    }
    let values_text = match chart.values_file.as_str() {
        "" => read(&format!("{home}/{name}/values.yaml")).map(Cow::Borrowed).unwrap_or_default(),
        file => root.text(file).map_err(|e| e.within(format!("values of chart `{name}`")))?,
    };
    let mut values = vec![merged(&values_text, chart, cx)?];
    for file in &chart.additional_values_files {
        let text = root.text(file).map_err(|e| e.within("could not load additionalValuesFile"))?;
        cost::of_text(&cx.budget, text.len())?;
        values.push(text.into_owned());
    }
    let request = Chart {
        path: folder,
        release_name: chart.release_name.clone(),
        name_template: chart.name_template.clone(),
        namespace: chart.namespace.clone(),
        values,
        include_crds: chart.include_crds,
        skip_hooks: chart.skip_hooks,
        skip_tests: chart.skip_tests,
        api_versions: chart.api_versions.clone(),
        kube_version: chart.kube_version.clone(),
    };
    let text = helm
        .template(root.files.tree, &request)
        .map_err(|e| Error::refused(format!("helm could not render chart `{name}`: {e}")))?;
    resmap::read(&text, &format!("output of chart {name}"), &cx.budget)
}

/// The values file with `valuesInline`, as `valuesMerge` says: `override` (the default), `merge` or `replace`.
/// Kustomize reads the file with go-yaml v3 and rewrites it, so that `off` becomes a text and a date a time.
fn merged(file: &str, chart: &HelmChart, cx: &Context) -> Result<String, Error> {
    cost::of_text(&cx.budget, file.len())?;
    let Some(inline) = chart.values_inline.as_ref().filter(|inline| !inline.is_empty()) else {
        return Ok(file.to_owned());
    };
    let step = format!("values of chart `{}`", chart.name);
    let inline = Value::Object(inline.clone());
    let size = cost::of_value_copy(&cx.budget, &inline)?;
    // Merged as nodes, then written.
    cost::of_text(&cx.budget, 2 * size.as_node())?;
    let parsed = || parse::values(file, &cx.budget).map_err(|source| Error::Yaml { path: step.clone(), source });
    let merged = match chart.values_merge.as_str() {
        "replace" => return Ok(yaml::to_string(&inline)),
        "" | "override" => merge(parsed()?, &Node::from_value(inline), cx),
        "merge" => merge(Node::from_value(inline), &parsed()?, cx),
        other => {
            return Err(Error::refused(format!("valuesMerge must be one of merge, override, replace, not `{other}`")));
        }
    };
    let merged = merged.map_err(|e| e.within(step))?.unwrap_or_else(|| Node::empty(Kind::Map));
    cost::of_conversion(&cx.budget, &merged)?;
    cost::of_copy(&cx.budget, &merged)?;
    Ok(yaml::to_string(&merged.into_value().map_err(Error::refused)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Values as kubectl 1.35.2 hands them to helm.
    #[test]
    fn values_are_read_as_kyaml_reads_them() {
        let file = "feature: {enabled: off, y: 1}\nmode: on\nday: 2024-01-01\noct: 0644\nnul: ~\nlist: [1, 2]\n\
                    obj: {a: 1, b: {c: 2}}\ndel: 1\nfold: >\n  one\n    two\nyes: no\n";
        let values = |merge: &str, inline: Value| {
            let inline = inline.as_object().cloned();
            let chart = HelmChart { values_inline: inline, values_merge: merge.to_owned(), ..HelmChart::default() };
            yaml::parse(&merged(file, &chart, &Context::default()).unwrap()).unwrap()
        };
        assert_eq!(
            values("", json!({"x": true, "del": null, "list": [3], "obj": {"b": {"d": 1}}})),
            json!({
                "day": "2024-01-01T00:00:00Z", "feature": {"enabled": "off", "y": 1}, "fold": "one\n  two\n",
                "list": [3], "mode": "on", "nul": null, "obj": {"a": 1, "b": {"c": 2, "d": 1}}, "oct": 420, "x": true,
                "yes": "no",
            })
        );
        let merged = values("merge", json!({"mode": 5, "list": [3], "obj": {"b": {"c": 9, "d": 1}}}));
        assert_eq!(merged["mode"], "on");
        assert_eq!(merged["list"], json!([1, 2]));
        assert_eq!(merged["obj"], json!({"a": 1, "b": {"c": 2, "d": 1}}));
        assert_eq!(values("replace", json!({"mode": false})), json!({"mode": false}));
        assert_eq!(values("", json!({"$patch": "delete"})), json!({}));
    }
}
