//! Kustomize sources: what `source.kustomize` sets is written into the kustomization, as Argo CD does by `kustomize edit`
//! (argoproj/argo-cd `util/kustomize/kustomize.go`) in its checkout, here in a copy of the tree; then Kustomize renders.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use slipway_kustomize::Options;
use slipway_manifest::{NodeKind, Tree, yaml};

use super::{RenderError, Rendered};
use crate::app::{Application, Kustomize};

pub(super) fn render(tree: &Tree, app: &Application, set: &Kustomize, revision: &str) -> Result<Rendered, RenderError> {
    let path = &app.source.path;
    let changed;
    let tree = if *set == Kustomize::default() {
        tree
    } else {
        changed = edited(tree, app, set, revision)?;
        &changed
    };
    let rendered = slipway_kustomize::render(tree, path, &Options::default())
        .map_err(|source| RenderError::Kustomize { path: path.clone(), source: Box::new(source) })?;
    let folders = rendered.files.iter().filter_map(|file| {
        let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
        NAMES.contains(&name).then(|| folder.to_owned())
    });
    Ok(Rendered {
        folders: folders.collect(),
        objects: rendered.objects,
        files: rendered.files,
        warnings: rendered.warnings,
    })
}

const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

pub(super) fn edited(tree: &Tree, app: &Application, set: &Kustomize, revision: &str) -> Result<Tree, RenderError> {
    let folder = tree.resolve(&app.source.path)?;
    let mut files =
        NAMES.iter().map(|name| if folder.is_empty() { (*name).to_owned() } else { format!("{folder}/{name}") });
    let file = files.find(|file| matches!(tree.kind(file), Ok(Some(NodeKind::File))));
    let Some(file) = file else {
        return Err(RenderError::Invalid {
            file: folder,
            problem: "there is no kustomization to set `source.kustomize` in".to_owned(),
        });
    };
    let invalid = |problem: String| RenderError::Invalid { file: file.clone(), problem };
    let value =
        yaml::parse(tree.read_text(&file)?).map_err(|source| RenderError::Yaml { file: file.clone(), source })?;
    let mut map = match value {
        Value::Object(map) => map,
        Value::Null => Map::new(),
        _ => return Err(invalid("must be a mapping".to_owned())),
    };
    let env = Env::of(app, revision);
    for (field, text) in
        [("namePrefix", &set.name_prefix), ("nameSuffix", &set.name_suffix), ("namespace", &set.namespace)]
    {
        if let Some(text) = text {
            map.insert(field.to_owned(), json!(text));
        }
    }
    set_images(&mut map, set, &env).map_err(invalid)?;
    set_replicas(&mut map, set);
    set_labels(&mut map, set, &env).map_err(invalid)?;
    let annotations = set.common_annotations.iter().map(|(key, value)| {
        (key.clone(), if set.common_annotations_envsubst { env.substitute(value) } else { value.clone() })
    });
    add_pairs(&mut map, "commonAnnotations", annotations, set.force_common_annotations).map_err(invalid)?;
    append(&mut map, "patches", set.patches.clone());
    let components = set.components.iter().filter(|component| {
        !set.ignore_missing_components || matches!(tree.kind(&format!("{folder}/{component}")), Ok(Some(_)))
    });
    append(&mut map, "components", components.map(|component| json!(component)).collect());
    let mut changed = tree.clone();
    changed.insert(&tree.resolve(&file)?, yaml::to_string(&Value::Object(map)).into_bytes())?;
    Ok(changed)
}

/// `kustomize edit set image`: an entry of the same name is replaced (`*` keeps what it had), and all are sorted by name.
fn set_images(map: &mut Map<String, Value>, set: &Kustomize, env: &Env) -> Result<(), String> {
    if set.images.is_empty() {
        return Ok(());
    }
    let mut entries: BTreeMap<String, Value> = BTreeMap::new();
    for entry in map.get("images").and_then(Value::as_array).into_iter().flatten() {
        entries.insert(entry["name"].as_str().unwrap_or_default().to_owned(), entry.clone());
    }
    for argument in &set.images {
        let (name, entry) = image(&env.substitute(argument))?;
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

fn set_labels(map: &mut Map<String, Value>, set: &Kustomize, env: &Env) -> Result<(), String> {
    let labels = set.common_labels.iter().map(|(key, value)| (key.clone(), env.substitute(value)));
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

/// The build environment (argoproj/argo-cd `docs/user-guide/build-environment.md`).
struct Env(BTreeMap<&'static str, String>);

impl Env {
    fn of(app: &Application, revision: &str) -> Self {
        let short = |count: usize| revision.chars().take(count).collect();
        Self(BTreeMap::from([
            ("ARGOCD_APP_NAME", app.name.clone()),
            ("ARGOCD_APP_NAMESPACE", app.destination.namespace.clone()),
            ("ARGOCD_APP_PROJECT_NAME", app.project.clone()),
            ("ARGOCD_APP_REVISION", revision.to_owned()),
            ("ARGOCD_APP_REVISION_SHORT", short(7)),
            ("ARGOCD_APP_REVISION_SHORT_8", short(8)),
            ("ARGOCD_APP_SOURCE_REPO_URL", app.source.repo_url.clone()),
            ("ARGOCD_APP_SOURCE_PATH", app.source.path.clone()),
            ("ARGOCD_APP_SOURCE_TARGET_REVISION", app.source.target_revision.clone()),
        ]))
    }

    /// `$NAME` and `${NAME}` become their values, unknown ones nothing, `$$` a dollar sign.
    fn substitute(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            rest = after;
            if let Some(after) = rest.strip_prefix('$') {
                out.push('$');
                rest = after;
                continue;
            }
            let (name, after) = match rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
                Some(braced) => braced,
                None => {
                    rest.split_at(rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len()))
                }
            };
            out.push_str(self.0.get(name).map_or("", String::as_str));
            rest = after;
        }
        out + rest
    }
}
