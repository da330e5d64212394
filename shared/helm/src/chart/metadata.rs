//! `Chart.yaml` and `requirements.yaml` (helm/helm `pkg/chart/v2/metadata.go`, `dependency.go`).

use serde_json::{Map, Value};
use slipway_gocompat::semver;
use slipway_gocompat::strconv::format_float;
use slipway_manifest::object::type_name;

/// Why a `Chart.yaml` is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// A field has a value of another type.
    #[error("field `{field}` must be {wanted}, found {found}")]
    Type {
        /// The field.
        field: String,
        /// What it must be.
        wanted: &'static str,
        /// What was found.
        found: &'static str,
    },
    /// One of Helm's own checks, in its words.
    #[error("validation: {0}")]
    Invalid(String),
}

/// What `Chart.yaml` says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Metadata {
    pub(crate) name: String,
    pub(crate) home: String,
    pub(crate) sources: Vec<String>,
    pub(crate) version: String,
    pub(crate) description: String,
    pub(crate) keywords: Vec<String>,
    pub(crate) maintainers: Vec<Maintainer>,
    pub(crate) icon: String,
    pub(crate) api_version: String,
    pub(crate) condition: String,
    pub(crate) tags: String,
    pub(crate) app_version: String,
    pub(crate) deprecated: bool,
    pub(crate) annotations: Vec<(String, String)>,
    pub(crate) kube_version: String,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) kind: String,
}

/// One of `maintainers`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Maintainer {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) url: String,
}

/// One of `dependencies`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) repository: String,
    pub(crate) condition: String,
    pub(crate) tags: Vec<String>,
    pub(crate) enabled: bool,
    pub(crate) import_values: Vec<Value>,
    pub(crate) alias: String,
}

impl Metadata {
    /// Reads the fields of `document` over what is there, as Go's JSON decoder does: keys in any case, numbers and
    /// booleans taken as text where text is wanted, the n-th dependency over the n-th.
    pub(crate) fn read(&mut self, document: &Value) -> Result<(), MetadataError> {
        for (key, value) in fields(document, "")? {
            match key.as_str() {
                "name" => text(&mut self.name, value, "name")?,
                "home" => text(&mut self.home, value, "home")?,
                "sources" => texts(&mut self.sources, value, "sources")?,
                "version" => text(&mut self.version, value, "version")?,
                "description" => text(&mut self.description, value, "description")?,
                "keywords" => texts(&mut self.keywords, value, "keywords")?,
                "maintainers" => {
                    self.maintainers = items(value, "maintainers")?.map(Maintainer::parse).collect::<Result<_, _>>()?;
                }
                "icon" => text(&mut self.icon, value, "icon")?,
                "apiversion" => text(&mut self.api_version, value, "apiVersion")?,
                "condition" => text(&mut self.condition, value, "condition")?,
                "tags" => text(&mut self.tags, value, "tags")?,
                "appversion" => text(&mut self.app_version, value, "appVersion")?,
                "deprecated" => flag(&mut self.deprecated, value, "deprecated")?,
                "annotations" => {
                    for (name, value) in fields_as_written(value, "annotations")? {
                        let mut own = String::new();
                        text(&mut own, value, "annotations")?;
                        self.annotations.retain(|(known, _)| known != name);
                        self.annotations.push((name.clone(), own));
                    }
                }
                "kubeversion" => text(&mut self.kube_version, value, "kubeVersion")?,
                "dependencies" => {
                    let mut old = std::mem::take(&mut self.dependencies).into_iter();
                    for item in items(value, "dependencies")? {
                        let mut dependency = old.next().unwrap_or_default();
                        dependency.read(item)?;
                        self.dependencies.push(dependency);
                    }
                }
                "type" => text(&mut self.kind, value, "type")?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Helm's checks; line breaks and other unprintable characters become blanks or go.
    pub(crate) fn validate(&mut self) -> Result<(), MetadataError> {
        for field in [
            &mut self.name,
            &mut self.description,
            &mut self.home,
            &mut self.icon,
            &mut self.condition,
            &mut self.tags,
            &mut self.app_version,
            &mut self.kube_version,
        ] {
            sanitize(field);
        }
        self.sources.iter_mut().chain(&mut self.keywords).for_each(sanitize);
        let invalid = |reason: String| Err(MetadataError::Invalid(reason));
        let required = [("apiVersion", &self.api_version), ("name", &self.name)];
        for (field, value) in required {
            if value.is_empty() {
                return invalid(format!("chart.metadata.{field} is required"));
            }
        }
        if self.name == "." || self.name == ".." {
            return invalid(format!("chart.metadata.name {:?} is not allowed", self.name));
        }
        if self.name.contains('/') {
            return invalid(format!("chart.metadata.name {:?} is invalid", self.name));
        }
        if self.version.is_empty() {
            return invalid("chart.metadata.version is required".to_owned());
        }
        if semver::Version::parse(&self.version).is_err() {
            return invalid(format!("chart.metadata.version {:?} is invalid", self.version));
        }
        if !["", "application", "library"].contains(&self.kind.as_str()) {
            return invalid("chart.metadata.type must be application or library".to_owned());
        }
        for maintainer in &mut self.maintainers {
            [&mut maintainer.name, &mut maintainer.email, &mut maintainer.url].into_iter().for_each(sanitize);
        }
        let mut keys: Vec<&str> = Vec::new();
        for dependency in &mut self.dependencies {
            dependency.sanitize();
            let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if !dependency.alias.chars().all(legal) {
                return invalid(format!("dependency {:?} has disallowed characters in the alias", dependency.name));
            }
            let key = dependency.key();
            if keys.contains(&key) {
                return invalid(format!("more than one dependency with name or alias {key:?}"));
            }
            keys.push(key);
        }
        Ok(())
    }

    pub(crate) fn is_library(&self) -> bool {
        self.kind.eq_ignore_ascii_case("library")
    }
}

impl Maintainer {
    fn parse(item: &Value) -> Result<Self, MetadataError> {
        if item.is_null() {
            return Err(MetadataError::Invalid("maintainers must not contain empty or null nodes".to_owned()));
        }
        let mut maintainer = Self::default();
        for (key, value) in fields(item, "maintainers")? {
            match key.as_str() {
                "name" => text(&mut maintainer.name, value, "maintainers.name")?,
                "email" => text(&mut maintainer.email, value, "maintainers.email")?,
                "url" => text(&mut maintainer.url, value, "maintainers.url")?,
                _ => {}
            }
        }
        Ok(maintainer)
    }
}

impl Dependency {
    fn read(&mut self, item: &Value) -> Result<(), MetadataError> {
        if item.is_null() {
            return Err(MetadataError::Invalid("dependencies must not contain empty or null nodes".to_owned()));
        }
        for (key, value) in fields(item, "dependencies")? {
            match key.as_str() {
                "name" => text(&mut self.name, value, "dependencies.name")?,
                "version" => text(&mut self.version, value, "dependencies.version")?,
                "repository" => text(&mut self.repository, value, "dependencies.repository")?,
                "condition" => text(&mut self.condition, value, "dependencies.condition")?,
                "tags" => texts(&mut self.tags, value, "dependencies.tags")?,
                "enabled" => flag(&mut self.enabled, value, "dependencies.enabled")?,
                "import-values" => self.import_values = items(value, "dependencies.import-values")?.cloned().collect(),
                "alias" => text(&mut self.alias, value, "dependencies.alias")?,
                _ => {}
            }
        }
        Ok(())
    }

    fn sanitize(&mut self) {
        [&mut self.name, &mut self.version, &mut self.repository, &mut self.condition]
            .into_iter()
            .chain(&mut self.tags)
            .for_each(sanitize);
    }

    /// The name under which the chart is known in values: alias or name.
    pub(crate) fn key(&self) -> &str {
        if self.alias.is_empty() { &self.name } else { &self.alias }
    }
}

fn mismatch<T>(field: &str, wanted: &'static str, value: &Value) -> Result<T, MetadataError> {
    Err(MetadataError::Type { field: field.to_owned(), wanted, found: type_name(value) })
}

fn fields_as_written<'v>(value: &'v Value, field: &str) -> Result<Vec<(&'v String, &'v Value)>, MetadataError> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Object(map) => Ok(map.iter().collect()),
        other => mismatch(field, "a mapping", other),
    }
}

fn fields<'v>(value: &'v Value, field: &str) -> Result<Vec<(String, &'v Value)>, MetadataError> {
    Ok(fields_as_written(value, field)?.into_iter().map(|(key, value)| (key.to_lowercase(), value)).collect())
}

fn items<'v>(value: &'v Value, field: &str) -> Result<std::slice::Iter<'v, Value>, MetadataError> {
    match value {
        Value::Null => Ok([].iter()),
        Value::Array(list) => Ok(list.iter()),
        other => mismatch(field, "a list", other),
    }
}

/// sigs.k8s.io/yaml turns scalars into text where text is wanted; null changes nothing.
fn text(slot: &mut String, value: &Value, field: &str) -> Result<(), MetadataError> {
    *slot = match value {
        Value::Null => return Ok(()),
        Value::String(text) => text.clone(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (None, Some(float)) if !number.is_u64() => format_float(float, 'g', None),
            _ => number.to_string(),
        },
        other => return mismatch(field, "a string", other),
    };
    Ok(())
}

fn texts(slot: &mut Vec<String>, value: &Value, field: &str) -> Result<(), MetadataError> {
    *slot = items(value, field)?
        .map(|item| {
            let mut own = String::new();
            text(&mut own, item, field).map(|()| own)
        })
        .collect::<Result<_, _>>()?;
    Ok(())
}

fn flag(slot: &mut bool, value: &Value, field: &str) -> Result<(), MetadataError> {
    match value {
        Value::Null => {}
        Value::Bool(set) => *slot = *set,
        other => return mismatch(field, "a boolean", other),
    }
    Ok(())
}

fn sanitize(text: &mut String) {
    let plain = |c: char| c == ' ' || !c.is_whitespace() && !c.is_control();
    if !text.chars().all(plain) {
        *text =
            text.chars().filter_map(|c| if c.is_whitespace() { Some(' ') } else { plain(c).then_some(c) }).collect();
    }
}

/// `document` as a mapping; null is an empty one.
pub(super) fn mapping(document: Value) -> Result<Map<String, Value>, MetadataError> {
    match document {
        Value::Null => Ok(Map::new()),
        Value::Object(map) => Ok(map),
        other => mismatch("(document)", "a mapping", &other),
    }
}
