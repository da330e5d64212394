//! What templates find in dot besides plain values: `.Files`, `.Capabilities`, `.Values` with its methods (helm/helm
//! `pkg/engine/files.go`, `pkg/chart/common/{capabilities,values}.go`).

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use slipway_gocompat::Glob;
use slipway_gocompat::path::base;
use slipway_gotmpl::{
    Context, FuncError, Function, Kind, Limit, List, Map, MapType, Native, Str, Type, UintKind, Value,
};

use crate::encode::to_yaml;
use crate::function::{Outcome, misused};
use crate::{chart, cost, values};

const BYTE: Type = Type::Uint(UintKind::Uint8);

/// Go's `[]byte`: bytes as they are; a list of numbers for whoever asks for elements.
#[derive(Debug, Clone)]
pub(crate) struct Bytes(pub(crate) Arc<[u8]>);

impl Bytes {
    /// The elements as Go's uint8.
    pub(crate) fn elements(&self) -> Vec<Value> {
        self.0.iter().map(|byte| Value::Uint(UintKind::Uint8, u64::from(*byte))).collect()
    }
}

impl Native for Bytes {
    fn type_name(&self) -> &'static str {
        "[]uint8"
    }

    fn kind(&self) -> Kind {
        Kind::Slice
    }

    fn plain(&self) -> Option<Value> {
        Some(List::typed(&BYTE, self.elements()).into())
    }

    fn json(&self) -> Option<Value> {
        Some(STANDARD.encode(&self.0).into())
    }
}

/// A file; its text is made once, however often templates ask for it.
#[derive(Debug)]
struct File {
    data: Arc<[u8]>,
    text: OnceCell<Str>,
}

impl File {
    fn text(&self) -> Str {
        self.text.get_or_init(|| Str::from(self.data.as_ref())).clone()
    }
}

/// `.Files`: the files of a chart that are neither templates nor charts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Files(BTreeMap<Arc<str>, Rc<File>>);

impl Files {
    /// The files of `content`.
    pub(crate) fn new(content: &chart::Content) -> Self {
        let new = |data| Rc::new(File { data: Arc::clone(data), text: OnceCell::new() });
        Self(content.files.iter().map(|file| (Arc::from(file.name.as_str()), new(&file.data))).collect())
    }

    fn get(&self, name: &Str) -> Option<&File> {
        self.0.get(name.as_str()?).map(Rc::as_ref)
    }

    /// Files below their last name, as YAML: their texts or their Base64.
    fn to_yaml(&self, cx: &Context<'_>, text: impl Fn(&File) -> Str) -> Outcome {
        cx.budget().bytes(self.0.values().map(|file| file.data.len().saturating_mul(2)).sum())?;
        let entries = self.0.iter().map(|(name, file)| (Str::from(base(name)), Value::Str(text(file))));
        to_yaml(cx, &Map::typed(MapType::STRING, entries.collect()).into())
    }
}

const BYTES_MAP: &MapType = &MapType { name: None, elem: Type::List(&BYTE), methods: &[] };

const FILES_METHODS: &[Function] = &[
    Function::new("Get", &[Type::String], |_, args| {
        files(args, |files, name| Ok(files.get(name).map(File::text).unwrap_or_default().into()))
    }),
    Function::new("GetBytes", &[Type::String], |_, args| {
        files(args, |files, name| {
            Ok(Value::native(Bytes(files.get(name).map(|file| Arc::clone(&file.data)).unwrap_or_default())))
        })
    }),
    Function::new("Glob", &[Type::String], |cx, args| files(args, |files, pattern| glob(cx, files, pattern))),
    Function::new("AsConfig", &[], |cx, args| {
        let [receiver, ..] = args else { return misused() };
        let Some(files) = receiver.downcast::<Files>() else { return misused() };
        files.to_yaml(cx, File::text)
    }),
    Function::new("AsSecrets", &[], |cx, args| {
        let [receiver, ..] = args else { return misused() };
        let Some(files) = receiver.downcast::<Files>() else { return misused() };
        files.to_yaml(cx, |file| STANDARD.encode(&file.data).into())
    }),
    Function::new("Lines", &[Type::String], |cx, args| files(args, |files, name| lines(cx, files, name))),
];

fn files(args: &[Value], work: impl FnOnce(&Files, &Str) -> Outcome) -> Outcome {
    match args {
        [receiver, Value::Str(name)] => match receiver.downcast::<Files>() {
            Some(files) => work(files, name),
            None => misused(),
        },
        _ => misused(),
    }
}

/// The files that match; a pattern that can't be read means all of them.
fn glob(cx: &Context<'_>, files: &Files, pattern: &Str) -> Outcome {
    /// What an entry of the result takes, which holds files and no values.
    const ENTRY: usize = 64;
    let pattern = pattern.to_text();
    // Each call compiles the pattern, and matches it with each name.
    cost::of_pattern(cx.budget().shared(), &pattern).map_err(Limit::from)?;
    let looked_at: usize = files.0.keys().map(|name| 4 + name.len() / 16 * (1 + pattern.len() / 16)).sum();
    cx.budget().step((looked_at + 56 * pattern.len()) as u64)?;
    let glob = Glob::of_paths(&pattern);
    let hits = files.0.iter().filter(|(name, _)| !glob.is_valid() || glob.matches(name));
    let hits: BTreeMap<_, _> = hits.map(|(name, file)| (Arc::clone(name), Rc::clone(file))).collect();
    cx.budget().bytes(hits.len().saturating_mul(ENTRY))?;
    Ok(Value::native(Files(hits)))
}

fn lines(cx: &Context<'_>, files: &Files, name: &Str) -> Outcome {
    /// A line's value and the text that it points to.
    const LINE: usize = size_of::<Value>() + 32;
    let Some(File { data, .. }) = files.get(name) else { return Ok(List::typed(&Type::String, Vec::new()).into()) };
    if data.is_empty() {
        // Helm panics here, which is an error for the chart's author.
        return Err(FuncError::from("runtime error: index out of range [-1]"));
    }
    let count = memchr::memchr_iter(b'\n', data).count();
    cx.budget().bytes(data.len().saturating_add(count.saturating_mul(LINE)))?;
    let body = data.strip_suffix(b"\n").unwrap_or(data);
    let lines = body.split(|byte| *byte == b'\n').map(|line| Str::from(line).into());
    Ok(List::typed(&Type::String, lines.collect()).into())
}

impl Native for Files {
    fn type_name(&self) -> &'static str {
        "engine.files"
    }

    fn kind(&self) -> Kind {
        Kind::Map
    }

    fn method(&self, name: &str) -> Option<&'static Function> {
        FILES_METHODS.iter().find(|method| method.name == name)
    }

    fn plain(&self) -> Option<Value> {
        let entries =
            self.0.iter().map(|(name, file)| (Str::from(name.as_ref()), Value::native(Bytes(Arc::clone(&file.data)))));
        Some(Map::typed(BYTES_MAP, entries.collect()).into())
    }
}

/// `.Capabilities`
pub(crate) struct Capabilities {
    pub(crate) kube_version: KubeVersion,
    pub(crate) api_versions: Value,
}

impl Native for Capabilities {
    fn type_name(&self) -> &'static str {
        "*common.Capabilities"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("KubeVersion", Value::native(self.kube_version.clone())),
            ("APIVersions", self.api_versions.clone()),
            ("HelmVersion", Value::native(BuildInfo)),
        ]
    }
}

/// `.Capabilities.KubeVersion`
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KubeVersion {
    /// As given, with a leading `v`.
    pub(crate) version: String,
    /// Without what follows the patch number: what constraints are checked against.
    pub(crate) normalized: String,
    pub(crate) major: String,
    pub(crate) minor: String,
}

impl KubeVersion {
    /// Reads what `--kube-version` takes: `1.33`, `v1.33.4-eks-1` (k8s.io/apimachinery `version.ParseGeneric`).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let body = text.trim_start_matches('v');
        let numbers = body
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .map_or(body, |end| body.get(..end).unwrap_or_default());
        let parts: Vec<&str> = numbers.trim_end_matches('.').split('.').collect();
        if parts.len() < 2
            || parts.iter().any(|part| part.parse::<u32>().is_err() || part.len() > 1 && part.starts_with('0'))
        {
            return None;
        }
        let mut normal = parts.clone();
        normal.resize(parts.len().max(3), "0");
        Some(Self {
            version: if text.starts_with('v') { text.to_owned() } else { format!("v{text}") },
            normalized: format!("v{}", normal.join(".")),
            major: (*parts.first()?).to_owned(),
            minor: (*parts.get(1)?).to_owned(),
        })
    }
}

const KUBE_VERSION_METHODS: &[Function] = &[
    Function::new("GitVersion", &[], |_, args| kube_version(args, |kube| &kube.version)),
    Function::new("String", &[], |_, args| kube_version(args, |kube| &kube.normalized)),
];

fn kube_version(args: &[Value], field: impl FnOnce(&KubeVersion) -> &String) -> Outcome {
    match args.first().and_then(|receiver| receiver.downcast::<KubeVersion>()) {
        Some(kube) => Ok(field(kube).as_str().into()),
        None => misused(),
    }
}

impl Native for KubeVersion {
    fn type_name(&self) -> &'static str {
        "common.KubeVersion"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("Version", self.version.as_str().into()),
            ("Major", self.major.as_str().into()),
            ("Minor", self.minor.as_str().into()),
        ]
    }

    fn method(&self, name: &str) -> Option<&'static Function> {
        KUBE_VERSION_METHODS.iter().find(|method| method.name == name)
    }

    fn pointer_text(&self) -> Option<Str> {
        Some(self.normalized.as_str().into())
    }

    fn printed_fields(&self) -> Vec<(&'static str, Value)> {
        let mut fields = self.fields();
        fields.insert(1, ("normalizedVersion", self.normalized.as_str().into()));
        fields
    }
}

/// `.Capabilities.APIVersions`
pub(crate) struct ApiVersions(pub(crate) Vec<Str>);

const API_VERSIONS_METHODS: &[Function] = &[Function::new("Has", &[Type::String], |_, args| match args {
    [receiver, Value::Str(wanted)] => {
        Ok(receiver.downcast::<ApiVersions>().is_some_and(|versions| versions.0.contains(wanted)).into())
    }
    _ => misused(),
})];

impl Native for ApiVersions {
    fn type_name(&self) -> &'static str {
        "common.VersionSet"
    }

    fn kind(&self) -> Kind {
        Kind::Slice
    }

    fn method(&self, name: &str) -> Option<&'static Function> {
        API_VERSIONS_METHODS.iter().find(|method| method.name == name)
    }

    fn plain(&self) -> Option<Value> {
        Some(List::typed(&Type::String, self.0.iter().cloned().map(Value::Str).collect()).into())
    }
}

/// `.Capabilities.HelmVersion`: the Helm whose behaviour this crate copies.
pub(crate) struct BuildInfo;

impl Native for BuildInfo {
    fn type_name(&self) -> &'static str {
        "version.BuildInfo"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("Version", Value::literal("v4.1.4")),
            ("GitCommit", Value::literal("05fa37973dc9e42b76e1d2883494c87174b6074f")),
            ("GitTreeState", Value::literal("clean")),
            ("GoVersion", Value::literal("go1.25.9")),
            ("KubeClientVersion", Value::literal("v1.35")),
        ]
    }

    fn json_fields(&self) -> Vec<(&'static str, Value)> {
        let names = ["version", "git_commit", "git_tree_state", "go_version", "kube_client_version"];
        names.into_iter().zip(self.fields()).map(|(name, (_, value))| (name, value)).collect()
    }
}

/// The type of `.Values`, of `.Template` and of dot.
pub(crate) const VALUES: &MapType = &MapType {
    name: Some("common.Values"),
    elem: Type::Any,
    methods: &[
        Function::new("AsMap", &[], |_, args| match args {
            [Value::Map(map)] => Ok(map.entries().into_iter().collect::<Map>().into()),
            _ => misused(),
        }),
        Function::new("YAML", &[], |cx, args| match args {
            [map] => Ok(format!("{}\n", to_yaml(cx, map)?.as_str().map(Str::to_text).unwrap_or_default()).into()),
            _ => misused(),
        }),
        Function::new("Table", &[Type::String], |_, args| match args {
            [Value::Map(map), Value::Str(path)] => match values::table(map, &path.to_text()) {
                Some(table) => Ok(table.into()),
                None => Err(not_a("table", path)),
            },
            _ => misused(),
        }),
        Function::new("PathValue", &[Type::String], |_, args| match args {
            [Value::Map(map), Value::Str(path)] => {
                values::path_value(map, &path.to_text()).ok_or_else(|| not_a("value", path))
            }
            _ => misused(),
        }),
    ],
};

fn not_a(what: &str, path: &Str) -> FuncError {
    let text = path.to_text();
    let key = if what == "value" { text.rsplit('.').next() } else { text.split('.').next() };
    format!("{:?} is not a {what}", key.unwrap_or_default()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kube_versions_as_helm_reads_them() {
        let parse = |text| KubeVersion::parse(text).map(|v| (v.version, v.normalized, v.major, v.minor));
        let owned = |a: &str, b: &str, c: &str, d: &str| Some((a.into(), b.into(), c.into(), d.into()));
        assert_eq!(parse("1.33"), owned("v1.33", "v1.33.0", "1", "33"));
        assert_eq!(parse("v1.29.3-eks-1"), owned("v1.29.3-eks-1", "v1.29.3", "1", "29"));
        assert_eq!(parse("1"), None);
        assert_eq!(parse("abc"), None);
    }
}
