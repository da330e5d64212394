//! Renders Kustomize sources: writes `source.kustomize` into a copy of the kustomization, as Argo CD does by `kustomize
//! edit` (argoproj/argo-cd `util/kustomize/kustomize.go`), then renders it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use slipway_helm::argo::expand;
use slipway_kustomize::{Helm, Options, Remote};
use slipway_manifest::{NodeKind, Object, Tree, tree, yaml};

use super::context::{Context, environment};
use super::helm::Charts;
use super::{Reading, RenderError, Rendered, encrypted, shown};
use crate::app::{Application, Kustomize};

pub(super) fn render(
    tree: &Tree,
    app: &Application,
    path: &str,
    set: &Kustomize,
    context: &Context,
    reading: Reading,
) -> Result<Rendered, RenderError> {
    let changed;
    let tree = if *set == Kustomize::default() && !reading.tolerant {
        tree
    } else {
        changed = edited(tree, app, path, set, context, reading.tolerant)?;
        &changed
    };
    let charts = Charts::new(context);
    let options = Options { helm: context.build.enable_helm.then_some(&charts as &dyn Helm), ..options(context) };
    let rendered = slipway_kustomize::render(tree, path, &options);
    let mut found = charts.into_found();
    let mut rendered = match rendered {
        // Once its charts have their answers it may go well.
        Err(_) if reading.asked && !found.needs.is_empty() => return Ok(found),
        Err(error) if reading.asked && encrypted_files(&error).is_some() => {
            return Ok(encrypted::needed(tree, encrypted_files(&error).into_iter().flatten()));
        }
        rendered => {
            rendered.map_err(|source| RenderError::Kustomize { path: shown(path), source: Box::new(source) })?
        }
    };
    if reading.asked {
        found.encrypted = encrypted::encrypted(tree, &rendered.files, &context.decrypted);
    }
    found.folders.extend(rendered.files.iter().filter_map(|file| {
        let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
        slipway_kustomize::FILE_NAMES.contains(&name).then(|| folder.to_owned())
    }));
    found.files.extend(rendered.files);
    found.origins = rendered.objects.iter_mut().map(|object| origin(object, path, reading.tolerant)).collect();
    Ok(Rendered { objects: rendered.objects, warnings: rendered.warnings, ..found })
}

fn options(context: &Context) -> Options<'_> {
    Options {
        load_restrictions: context.build.load_restrictions,
        remotes: Some(&context.remotes),
        budget: Some(context.budget.clone()),
        decrypted: context.decrypted.files.keys().cloned().collect(),
        ..Options::default()
    }
}

/// What the kustomization in `path`, and its bases as far as they are at hand, name that is remote.
pub(super) fn remotes(
    tree: &Tree,
    app: &Application,
    path: &str,
    set: &Kustomize,
    context: &Context,
) -> Result<BTreeSet<Remote>, RenderError> {
    let edited = edited(tree, app, path, set, context, false)?;
    let needs = slipway_kustomize::needs(&edited, path, &options(context));
    needs.map_err(|source| RenderError::Kustomize { path: shown(path), source: Box::new(source) })
}

/// The files that a generator of KSOPS needs decrypted.
fn encrypted_files(error: &slipway_kustomize::Error) -> Option<&[String]> {
    match error {
        slipway_kustomize::Error::Encrypted { files, .. } => Some(files),
        slipway_kustomize::Error::Within { source, .. } => encrypted_files(source),
        _ => None,
    }
}

/// Takes the file off that an object is from, where the kustomization was made to note it.
fn origin(object: &mut Object, path: &str, is_noted: bool) -> String {
    let text = object.annotation(ORIGIN).filter(|_| is_noted).unwrap_or_default().to_owned();
    if let Some(annotations) = object.metadata_mut().get_mut("annotations").and_then(Value::as_object_mut)
        && is_noted
    {
        annotations.shift_remove(ORIGIN);
        if annotations.is_empty() {
            object.metadata_mut().shift_remove("annotations");
        }
    }
    let is_here = !text.lines().any(|line| line.starts_with("repo:"));
    let file = text.lines().find_map(|line| line.strip_prefix("path: ")).filter(|_| is_here);
    file.and_then(|file| tree::join(path, file).ok()).unwrap_or_default()
}

/// The annotation by which Kustomize notes where an object is from.
const ORIGIN: &str = "config.kubernetes.io/origin";

pub(super) fn edited(
    tree: &Tree,
    app: &Application,
    path: &str,
    set: &Kustomize,
    Context { revision, budget, .. }: &Context,
    notes_origins: bool,
) -> Result<Tree, RenderError> {
    let folder = tree.resolve(path)?;
    let mut files = slipway_kustomize::FILE_NAMES.iter().filter_map(|name| tree::join(&folder, name).ok());
    let file = files.find(|file| matches!(tree.kind(file), Ok(Some(NodeKind::File))));
    let Some(file) = file else {
        return Err(RenderError::Invalid {
            file: shown(&folder),
            problem: "there is no kustomization to set `source.kustomize` in".to_owned(),
        });
    };
    let invalid = |problem: String| RenderError::Invalid { file: file.clone(), problem };
    let value = yaml::parse_with(tree.read_text(&file)?, yaml::Options::default(), budget)
        .map_err(|source| RenderError::Yaml { file: file.clone(), source })?;
    let mut map = match value {
        Value::Object(map) => map,
        Value::Null => Map::new(),
        _ => return Err(invalid("must be a mapping".to_owned())),
    };
    let env = environment(app, revision);
    for (field, text) in
        [("namePrefix", &set.name_prefix), ("nameSuffix", &set.name_suffix), ("namespace", &set.namespace)]
    {
        if let Some(text) = text {
            map.insert(field.to_owned(), json!(text));
        }
    }
    set_images(&mut map, set, &env).map_err(invalid)?;
    let known = map.get("replicas").and_then(Value::as_array).map_or(0, Vec::len);
    let looks = set.replicas.len() * (known + set.replicas.len());
    budget.step(looks as u64 / 4).map_err(|source| RenderError::Budget { file: file.clone(), source })?;
    set_replicas(&mut map, set);
    set_labels(&mut map, set, &env).map_err(invalid)?;
    let annotations = set.common_annotations.iter().map(|(key, value)| {
        (key.clone(), if set.common_annotations_envsubst { expand(value, &env) } else { value.clone() })
    });
    add_pairs(&mut map, "commonAnnotations", annotations, set.force_common_annotations).map_err(invalid)?;
    append(&mut map, "patches", set.patches.clone());
    let exists = |component: &str| matches!(tree::join(&folder, component).and_then(|at| tree.kind(&at)), Ok(Some(_)));
    let components = set.components.iter().filter(|component| !set.ignore_missing_components || exists(component));
    append(&mut map, "components", components.map(|component| json!(component)).collect());
    if notes_origins {
        append(&mut map, "buildMetadata", vec![json!("originAnnotations")]);
    }
    let mut changed = tree.clone();
    changed.insert(&tree.resolve(&file)?, yaml::to_string(&Value::Object(map)).into_bytes())?;
    Ok(changed)
}

/// `kustomize edit set image`: replaces the entry of the same name (`*` keeps the old value), and sorts all by name.
fn set_images(map: &mut Map<String, Value>, set: &Kustomize, env: &BTreeMap<String, String>) -> Result<(), String> {
    if set.images.is_empty() {
        return Ok(());
    }
    let mut entries: BTreeMap<String, Value> = BTreeMap::new();
    for entry in map.get("images").and_then(Value::as_array).into_iter().flatten() {
        entries.insert(entry["name"].as_str().unwrap_or_default().to_owned(), entry.clone());
    }
    for argument in &set.images {
        let (name, entry) = image(&expand(argument, env))?;
        let old = entries.remove(&name).unwrap_or_default();
        let keep = |field: &str, value: &Value| {
            if value == "*" { old.get(field).cloned().unwrap_or_default() } else { value.clone() }
        };
        let fields = entry.iter().map(|(field, value)| (field.clone(), keep(field, value)));
        entries.insert(name, Value::Object(fields.filter(|(_, value)| !value.is_null()).collect()));
    }
    map.insert("images".to_owned(), entries.into_values().collect());
    Ok(())
}

/// `NAME=NEWNAME:TAG`, `NAME=NEWNAME@DIGEST`, `NAME:TAG`, `NAME:TAG@DIGEST` … as an entry of `images`.
fn image(argument: &str) -> Result<(String, Map<String, Value>), String> {
    let (name, new) = argument.split_once('=').map_or((None, argument), |(name, new)| (Some(name), new));
    let (rest, digest) = new.split_once('@').map_or((new, None), |(rest, digest)| (rest, Some(digest)));
    let is_tag =
        |tag: &str| tag == "*" || tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    let (image, tag) = match rest.rsplit_once(':') {
        Some((image, tag)) if is_tag(tag) => (image, Some(tag).filter(|tag| !tag.is_empty())),
        _ => (rest, None),
    };
    if name.is_none() && tag.is_none() && digest.is_none() || image.is_empty() {
        return Err(format!("`spec.source.kustomize.images`: `{argument}` is no NAME[=NEWNAME][:TAG][@DIGEST]"));
    }
    let mut entry = Map::new();
    entry.insert("name".to_owned(), json!(name.unwrap_or(image)));
    let new_name = name.map(|_| image);
    for (field, value) in [("newName", new_name), ("newTag", tag), ("digest", digest)] {
        if let Some(value) = value {
            entry.insert(field.to_owned(), json!(value));
        }
    }
    Ok((name.unwrap_or(image).to_owned(), entry))
}

fn set_replicas(map: &mut Map<String, Value>, set: &Kustomize) {
    for replica in &set.replicas {
        let wanted = json!({"name": replica.name, "count": replica.count});
        let list = map.entry("replicas").or_insert_with(|| json!([]));
        if let Some(list) = list.as_array_mut() {
            match list.iter_mut().find(|entry| entry["name"] == replica.name.as_str()) {
                Some(entry) => *entry = wanted,
                None => list.push(wanted),
            }
        }
    }
}

fn set_labels(map: &mut Map<String, Value>, set: &Kustomize, env: &BTreeMap<String, String>) -> Result<(), String> {
    let labels = set.common_labels.iter().map(|(key, value)| (key.clone(), expand(value, env)));
    if set.label_without_selector && !set.common_labels.is_empty() {
        let pairs: Map<String, Value> = labels.map(|(key, value)| (key, json!(value))).collect();
        let entry = json!({"pairs": pairs, "includeSelectors": false, "includeTemplates": set.label_include_templates});
        append(map, "labels", vec![entry]);
        return Ok(());
    }
    add_pairs(map, "commonLabels", labels, set.force_common_labels)
}

fn add_pairs(
    map: &mut Map<String, Value>,
    field: &str,
    pairs: impl Iterator<Item = (String, String)>,
    force: bool,
) -> Result<(), String> {
    for (key, value) in pairs {
        let Some(all) = map.entry(field).or_insert_with(|| json!({})).as_object_mut() else {
            return Err(format!("`{field}` must be a mapping"));
        };
        if !force && all.contains_key(&key) {
            return Err(format!("`{field}` has `{key}` already; set `force{}` to replace it", capitalised(field)));
        }
        all.insert(key, json!(value));
    }
    Ok(())
}

fn capitalised(field: &str) -> String {
    let mut chars = field.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn append(map: &mut Map<String, Value>, field: &str, more: Vec<Value>) {
    if more.is_empty() {
        return;
    }
    let list = map.entry(field).or_insert_with(|| json!([]));
    if let Some(list) = list.as_array_mut() {
        list.extend(more);
    }
}
