//! `helmCharts`: charts that lie in the tree, rendered by whoever the caller gave (kustomize
//! `HelmChartInflationGenerator.go`).

use serde_json::Value;
use slipway_manifest::{NodeKind, tree, yaml};

use crate::error::Error;
use crate::kustomization::{HelmChart, HelmGlobals};
use crate::load::Root;
use crate::options::Chart;
use crate::resmap;
use crate::resource::Resource;

const DEFAULT_HOME: &str = "charts";

/// The resources of one entry.
pub(crate) fn inflate(
    root: &Root<'_>,
    globals: Option<&HelmGlobals>,
    chart: &HelmChart,
) -> Result<Vec<Resource>, Error> {
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
        return Err(Error::refused(format!(
            "no chart found at `{folder}`: vendor it there, nothing is pulled while rendering"
        )));
    }
    let values_text = match chart.values_file.as_str() {
        "" => read(&format!("{home}/{name}/values.yaml")).unwrap_or_default(),
        file => root.text(file).map_err(|e| e.within(format!("values of chart `{name}`")))?,
    };
    let mut values = vec![merged(values_text, chart)?];
    for file in &chart.additional_values_files {
        values.push(root.text(file).map_err(|e| e.within("could not load additionalValuesFile"))?.to_owned());
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
    resmap::read(&text, &format!("output of chart {name}"))
}

/// The values file with `valuesInline`, as `valuesMerge` says: `override` (the default), `merge` or `replace`.
fn merged(file: &str, chart: &HelmChart) -> Result<String, Error> {
    let Some(inline) = chart.values_inline.as_ref().filter(|inline| !inline.is_empty()) else {
        return Ok(file.to_owned());
    };
    let inline = Value::Object(inline.clone());
    let parsed =
        || yaml::parse(file).map_err(|source| Error::Yaml { path: format!("values of chart {}", chart.name), source });
    let values = match chart.values_merge.as_str() {
        "replace" => inline,
        "" | "override" => overlay(parsed()?, inline),
        "merge" => overlay(inline, parsed()?),
        other => {
            return Err(Error::refused(format!("valuesMerge must be one of merge, override, replace, not `{other}`")));
        }
    };
    Ok(yaml::to_string(&values))
}

/// `over` on top of `base`: mappings are merged, null takes a key away, the rest replaces.
fn overlay(base: Value, over: Value) -> Value {
    match (base, over) {
        (Value::Object(mut base), Value::Object(over)) => {
            for (key, value) in over {
                let old = base.remove(&key).unwrap_or(Value::Null);
                if !value.is_null() {
                    base.insert(key, overlay(old, value));
                }
            }
            Value::Object(base)
        }
        (_, over) => over,
    }
}
