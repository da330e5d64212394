//! Templates to text (helm/helm `pkg/engine/engine.go`): every template of every chart is parsed into one set, deepest
//! path first, then all but the partials are executed in the same order.

use std::collections::BTreeMap;
use std::rc::Rc;

use slipway_gocompat::path::base;
use slipway_gotmpl::{Budget, Map, MapType, MissingKey, Numbers, Set, Str, Value};

use crate::chart::{Chart, Metadata};
use crate::cost;
use crate::error::RenderError;
use crate::objects::{ApiVersions, Capabilities, Files, KubeVersion, VALUES};
use crate::options::Options;
use crate::sprig::functions;
use crate::state::State;

/// A template with the dot it is executed with.
struct Template<'c> {
    text: &'c [u8],
    dot: Map,
    base_path: String,
}

/// What every template of `chart` and of the charts below it prints, by its path.
pub(crate) fn render(
    chart: &Chart,
    values: &Map,
    options: &Options,
    kube_version: &KubeVersion,
    state: &State,
    budget: &Budget,
) -> Result<BTreeMap<String, Str>, RenderError> {
    let mut templates = BTreeMap::new();
    let top = Top { release: release(options), capabilities: capabilities(options, kube_version) };
    collect(chart, &top, values, "", &mut templates);
    let mut order: Vec<(&String, &Template<'_>)> = templates.iter().collect();
    order.sort_by_key(|(name, _)| std::cmp::Reverse((name.matches('/').count(), name.as_str())));
    let mut set = Set::new(Rc::new(functions()), MissingKey::Zero);
    for (name, template) in &order {
        let text = std::str::from_utf8(template.text).map_err(|_| RenderError::not_text(name))?;
        cost::of_template(budget.shared(), text).map_err(|e| RenderError::over(name, e))?;
        set.parse(name, text).map_err(|e| RenderError::parse(name, &e))?;
    }
    let set = Rc::new(set);
    let mut rendered = BTreeMap::new();
    for (name, template) in order {
        if base(name).starts_with('_') {
            continue;
        }
        state.enter_file(name);
        let about = [("Name", name.as_str()), ("BasePath", template.base_path.as_str())];
        let about = about.into_iter().map(|(key, text)| (Str::from(key), Value::from(text))).collect();
        template.dot.insert("Template", Map::typed(VALUES, about).into());
        let out = set
            .execute(name, template.dot.clone().into(), budget, state)
            .map_err(|e| RenderError::execute(name, &e))?;
        rendered.insert(name.clone(), without_no_value(out));
    }
    Ok(rendered)
}

/// What one template prints, with nothing else in scope.
pub(crate) fn render_one(
    name: &str,
    text: &str,
    data: &serde_json::Value,
    state: &State,
    budget: &Budget,
) -> Result<Str, RenderError> {
    let dot = Value::from_json(data, Numbers::Float);
    Ok(without_no_value(execute(name, text, dot, MissingKey::Zero, state, budget)?))
}

/// See [`crate::render_name`].
pub(crate) fn render_name(text: &str, state: &State, budget: &Budget) -> Result<Vec<u8>, RenderError> {
    execute("name-template", text, Value::Nil, MissingKey::Invalid, state, budget)
}

fn execute(
    name: &str,
    text: &str,
    dot: Value,
    missing: MissingKey,
    state: &State,
    budget: &Budget,
) -> Result<Vec<u8>, RenderError> {
    cost::of_template(budget.shared(), text).map_err(|e| RenderError::over(name, e))?;
    let mut set = Set::new(Rc::new(functions()), missing);
    set.parse(name, text).map_err(|e| RenderError::parse(name, &e))?;
    Rc::new(set).execute(name, dot, budget, state).map_err(|e| RenderError::execute(name, &e))
}

/// Go prints `<no value>` for a missing key; Helm takes it out.
fn without_no_value(out: Vec<u8>) -> Str {
    let out = Str::from(out);
    match out.as_str() {
        Some(text) if text.contains("<no value>") => text.replace("<no value>", "").into(),
        _ => out,
    }
}

struct Top {
    release: Value,
    capabilities: Value,
}

/// Adds the templates of `chart` and those below it; gives the chart's dot, which is `.Subcharts.NAME` of its parent.
fn collect<'c>(
    chart: &'c Chart,
    top: &Top,
    values: &Map,
    parent: &str,
    templates: &mut BTreeMap<String, Template<'c>>,
) -> Map {
    let path = if parent.is_empty() { chart.name().to_owned() } else { format!("{parent}/charts/{}", chart.name()) };
    let subcharts = Map::new();
    let dot = Map::typed(
        VALUES,
        [
            ("Chart", metadata(&chart.metadata, parent.is_empty())),
            ("Files", Value::native(Files::new(&chart.content))),
            ("Release", top.release.clone()),
            ("Capabilities", top.capabilities.clone()),
            ("Values", values.converted(VALUES).into()),
            ("Subcharts", subcharts.clone().into()),
        ]
        .into_iter()
        .map(|(key, value)| (Str::from_static(key), value))
        .collect(),
    );
    for child in &chart.dependencies {
        let below = match values.get(child.name()) {
            Some(Value::Map(map)) => map,
            _ => Map::new(),
        };
        subcharts.insert(child.name(), collect(child, top, &below, &path, templates).into());
    }
    for file in &chart.content.templates {
        if chart.metadata.is_library() && !base(&file.name).starts_with('_') {
            continue;
        }
        let template = Template { text: &file.data, dot: dot.clone(), base_path: format!("{path}/templates") };
        templates.insert(format!("{path}/{}", file.name), template);
    }
    dot
}

fn release(options: &Options) -> Value {
    let release = &options.release;
    [
        ("Name", Value::from(release.name.as_str())),
        ("Namespace", release.namespace.as_str().into()),
        ("IsUpgrade", release.is_upgrade.into()),
        ("IsInstall", (!release.is_upgrade).into()),
        ("Revision", Value::int(release.revision)),
        ("Service", Value::literal("Helm")),
    ]
    .into_iter()
    .collect::<Map>()
    .into()
}

fn capabilities(options: &Options, kube_version: &KubeVersion) -> Value {
    let builtin = if options.builtin_api_versions { crate::options::API_VERSIONS } else { &[] };
    let versions = builtin.iter().map(|name| Str::from_static(name));
    let versions = versions.chain(options.api_versions.iter().map(|name| Str::from(name.as_str()))).collect();
    Value::native(Capabilities {
        kube_version: kube_version.clone(),
        api_versions: Value::native(ApiVersions(versions)),
    })
}

/// `.Chart`: the fields under their Go names.
fn metadata(chart: &Metadata, is_root: bool) -> Value {
    let texts = |list: &[String]| Value::from(list.iter().map(|text| text.as_str().into()).collect::<Vec<Value>>());
    let map = |entries: Vec<(&'static str, Value)>| {
        Value::Map(entries.into_iter().map(|(key, value)| (Str::from_static(key), value)).collect())
    };
    let maintainers = chart.maintainers.iter().map(|one| {
        map(vec![
            ("Name", one.name.as_str().into()),
            ("Email", one.email.as_str().into()),
            ("URL", one.url.as_str().into()),
        ])
    });
    let dependencies = chart.dependencies.iter().map(|one| {
        map(vec![
            ("Name", one.name.as_str().into()),
            ("Version", one.version.as_str().into()),
            ("Repository", one.repository.as_str().into()),
            ("Condition", one.condition.as_str().into()),
            ("Tags", texts(&one.tags)),
            ("Enabled", one.enabled.into()),
            (
                "ImportValues",
                one.import_values.iter().map(|v| Value::from_json(v, Numbers::Float)).collect::<Vec<_>>().into(),
            ),
            ("Alias", one.alias.as_str().into()),
        ])
    });
    let annotations = match chart.annotations.as_slice() {
        [] => Map::nil(MapType::STRING),
        some => Map::typed(
            MapType::STRING,
            some.iter().map(|(key, text)| (Str::from(key.as_str()), text.as_str().into())).collect(),
        ),
    };
    map(vec![
        ("Name", chart.name.as_str().into()),
        ("Home", chart.home.as_str().into()),
        ("Sources", texts(&chart.sources)),
        ("Version", chart.version.as_str().into()),
        ("Description", chart.description.as_str().into()),
        ("Keywords", texts(&chart.keywords)),
        ("Maintainers", maintainers.collect::<Vec<_>>().into()),
        ("Icon", chart.icon.as_str().into()),
        ("APIVersion", chart.api_version.as_str().into()),
        ("Condition", chart.condition.as_str().into()),
        ("Tags", chart.tags.as_str().into()),
        ("AppVersion", chart.app_version.as_str().into()),
        ("Deprecated", chart.deprecated.into()),
        ("Annotations", annotations.into()),
        ("KubeVersion", chart.kube_version.as_str().into()),
        ("Dependencies", dependencies.collect::<Vec<_>>().into()),
        ("Type", chart.kind.as_str().into()),
        ("IsRoot", is_root.into()),
    ])
}
