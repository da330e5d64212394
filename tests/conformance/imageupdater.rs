//! What Argo CD Image Updater reads, chooses and writes (`vectors/README.argo.md`). Our edits keep more of a file, so
//! the parsed documents are compared, and that nothing is written where it writes nothing.

use std::path::Path;

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use slipway::app::Application;
use slipway::image::{
    Allow, Current, HelmTarget, ImageConfig, ImageSettings, ManifestFile, Reference, Strategy, TagInfo, Update,
    WriteBackConfig, choose, updates,
};
use slipway_manifest::{Object, Tree, yaml};

use crate::framework::{Outcome, known_differences, records};

/// The image of the records whose own does not matter.
const IMAGE: &str = "r.example.com/org/app";
const MANIFEST: &str = "root/web.yaml";

pub(crate) fn run(shared: &Path) -> Result<Option<Outcome>> {
    let cases = records(&shared.join("vectors/imageupdater.jsonl"))?;
    let known = known_differences(include_str!("imageupdater-differs.txt"))?;
    let judge = |case: &Value| check(case).map_err(|e| format!("{e:#}"));
    Ok(cases.map(|cases| Outcome::collect("imageupdater", cases, judge).except(&known)))
}

fn check(case: &Value) -> Result<()> {
    match case["type"].as_str().unwrap_or_default() {
        "image" => image(case),
        "tag" => tag(case),
        "writeback" => write_back(case),
        other => bail!("{other} is no type of a record"),
    }
}

/// A reference to an image is taken apart.
fn image(case: &Value) -> Result<()> {
    let text = |key: &str| case[key].as_str().unwrap_or_default();
    let found = Reference::parse(text("image"));
    for (key, found) in [
        ("alias", found.alias.clone()),
        ("registry", found.registry.clone()),
        ("imageName", found.name.clone()),
        ("digest", found.digest.clone()),
        ("constraint", found.tag.clone().unwrap_or_default()),
        ("fullName", found.image()),
        ("fullNameWithoutTag", found.repository()),
        ("tagWithDigest", found.tag_with_digest()),
        ("string", found.to_string()),
    ] {
        ensure!(found == text(key), "{key}: expected {:?}, found {found:?}", text(key));
    }
    let tag = case["tag"].as_str();
    ensure!(found.tag.as_deref() == tag, "tag: expected {tag:?}, found {:?}", found.tag);
    Ok(())
}

/// A tag is chosen among others, and whether that is news.
fn tag(case: &Value) -> Result<()> {
    let text = |key: &str| case[key].as_str().unwrap_or_default();
    let strategy = Strategy::parse(text("strategy"));
    let texts = |key: &str| case[key].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    let wants_error = case.get("error").is_some();
    let mut config = ImageConfig { image: Reference::parse(IMAGE), ..ImageConfig::default() };
    config.image.tag = Some(text("constraint").to_owned());
    config.update.strategy = Some(text("strategy").to_owned());
    config.update.ignore = Some(texts("ignore").collect());
    let update = match one_update(config, "kustomization", &json!({})) {
        Ok(update) => Update { allow: Allow::parse(text("allow")), ..update },
        Err(_) if wants_error => return Ok(()),
        Err(error) => return Err(error),
    };
    let info = |tag: &Value| {
        let created = tag["created"].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok());
        TagInfo {
            tag: tag["tag"].as_str().unwrap_or_default().to_owned(),
            pushed_at_ms: created.map_or(0, jiff::Timestamp::as_millisecond),
            digest: tag["digest"].as_str().unwrap_or_default().to_owned(),
            ..TagInfo::default()
        }
    };
    // Image Updater may have no date for a tag; ECR always has one.
    let dated = |tag: &&Value| strategy != Strategy::NewestBuild || tag["created"].is_string();
    let list: Vec<TagInfo> = case["tags"].as_array().into_iter().flatten().filter(dated).map(info).collect();
    let want = case.get("chosenIfConstraintStar").unwrap_or(&case["chosen"]).as_str();
    let chosen = match choose(&update, &list) {
        Ok(chosen) => chosen,
        Err(_) if wants_error => return Ok(()),
        Err(error) => bail!("refused: {error}"),
    };
    ensure!(!wants_error, "expected an error, found {chosen:?}");
    ensure!(chosen.map(|info| info.tag.as_str()) == want, "expected {want:?}, found {chosen:?}");
    let Some(chosen) = chosen else { return Ok(()) };
    if let Some(digest) = case["chosenDigest"].as_str() {
        ensure!(chosen.digest == digest, "expected {digest}, found {}", chosen.digest);
    }
    let current = Reference::parse(text("current"));
    let current = Current { tag: current.tag, digest: current.digest, ..Current::default() };
    if let Some(wanted) = case.get("needsUpdate").and_then(Value::as_bool)
        && case.get("chosenIfConstraintStar").is_none()
    {
        let found = current.needs_update(update.strategy, chosen);
        ensure!(found == wanted, "expected an update: {wanted}, found {found}");
    }
    Ok(())
}

/// The update of an image of Application `web`, with `spec.source` besides.
fn one_update(config: ImageConfig, target: &str, source: &Value) -> Result<Update> {
    let method = if target == "application" { "argocd" } else { "git" };
    let write_back = WriteBackConfig {
        method: Some(method.to_owned()),
        target: Some(target.to_owned()).filter(|target| !matches!(target.as_str(), "application" | "argocd-source")),
        ..WriteBackConfig::default()
    };
    let app = application(source)?;
    let manifest = ManifestFile { repo: "https://github.com/o/r".parse()?, branch: None, file: MANIFEST.to_owned() };
    let settings = ImageSettings { images: vec![config], write_back };
    let (mut found, errors) = updates(&app, &settings, Some(&manifest), |_| true);
    match (found.pop(), errors.into_iter().next()) {
        (Some(update), _) => Ok(update),
        (None, Some(error)) => Err(error.into()),
        _ => bail!("no update"),
    }
}

fn application(source: &Value) -> Result<Application> {
    let mut whole = json!({"repoURL": "https://github.com/o/r", "path": "apps/web", "targetRevision": "main"});
    if let (Some(whole), Some(source)) = (whole.as_object_mut(), source.as_object()) {
        whole.extend(source.clone());
    }
    let object = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "web", "namespace": "argocd"},
        "spec": {"source": whole, "destination": {"name": "in-cluster"}}});
    Ok(Application::from_object(&Object::from_value(object)?)?)
}

/// Tags are written into a file.
fn write_back(case: &Value) -> Result<()> {
    let kind = case["kind"].as_str().unwrap_or_default();
    if kind == "application" {
        return in_application(case);
    }
    let target = if kind == "argocd-source" { kind.to_owned() } else { format!("{kind}:") };
    let source = match case["appType"].as_str() {
        Some("Helm") => json!({"helm": {}}),
        Some("Kustomize") => json!({"kustomize": {}}),
        _ => json!({"directory": {}}),
    };
    let file = match kind {
        "kustomization" => "apps/web/kustomization.yaml",
        "helmvalues" => "apps/web/values.yaml",
        _ => "apps/web/.argocd-source-web.yaml",
    };
    let result = edited(case, &target, &source, file, case["before"].as_str());
    let (text, after) = match (result, case.get("error").is_some()) {
        (Err(_), true) => return Ok(()),
        (Ok(found), true) => bail!("expected an error, found {found:?}"),
        (found, false) => (found?, case["after"].as_str().unwrap_or_default()),
    };
    let text = text.unwrap_or_default();
    ensure!(case["unchanged"] != true || Some(text.as_str()) == case["before"].as_str(), "changed: {text}");
    ensure!(yaml::parse(&text)? == yaml::parse(after)?, "expected {after:?}, found {text:?}");
    Ok(())
}

/// `before` with all images of the case; `None` where there is no file.
fn edited(case: &Value, target: &str, source: &Value, file: &str, before: Option<&str>) -> Result<Option<String>> {
    let mut text = before.map(str::to_owned);
    for (index, image) in case["images"].as_array().into_iter().flatten().enumerate() {
        let (update, new) = wanted(case, index, image, target, source)?;
        let mut tree = Tree::default();
        if let Some(text) = &text {
            tree.insert(file, text.as_bytes())?;
        }
        let Some(slot) = update.locate(&tree)?.pop() else { bail!("it stands nowhere") };
        ensure!(slot.file == file, "{} is written", slot.file);
        text = slot.set(text.as_deref(), &new)?.or(text);
    }
    Ok(text)
}

/// How the image of a case is declared, and what it is set to: upstream's own records have the tag only in what the
/// Application's parameters become.
fn wanted(case: &Value, index: usize, image: &Value, target: &str, source: &Value) -> Result<(Update, Reference)> {
    let text = |key: &str| image[key].as_str().map(str::to_owned);
    let mut new = Reference::parse(image["image"].as_str().unwrap_or_default());
    let helm = HelmTarget { name: text("helmImageName"), tag: text("helmImageTag"), spec: text("helmImageSpec") };
    if case["name"].as_str().is_some_and(|name| name.starts_with("upstream/")) {
        let parameter = |name: Option<&str>| {
            let mut all = case["helmParameters"].as_array().into_iter().flatten();
            let found = all.find(|one| one["name"].as_str() == name)?;
            Some(found["value"].as_str().unwrap_or_default().to_owned())
        };
        if let Some(spec) = parameter(helm.spec.as_deref()) {
            new = Reference::parse(&spec);
        } else if let Some(name) = parameter(helm.name.as_deref().or(Some("image.name"))) {
            new = Reference::parse(&name);
            new.tag = parameter(helm.tag.as_deref());
        } else if let Some(tag) = parameter(helm.tag.as_deref()) {
            new.tag = Some(tag);
        }
        if let Some(image) = case["kustomizeImages"].as_array().and_then(|all| all.get(index)).and_then(Value::as_str) {
            new = Reference { alias: String::new(), ..Reference::parse(image) };
        }
    }
    let config = ImageConfig {
        image: Reference { alias: text("alias").unwrap_or_default(), tag: None, digest: String::new(), ..new.clone() },
        helm,
        kustomize_name: text("kustomizeName"),
        ..ImageConfig::default()
    };
    Ok((one_update(config, target, source)?, new))
}

/// The Application's own parameters and images. Image Updater adds what is not there; we write that to
/// `.argocd-source-web.yaml`, where its own list of them is compared.
fn in_application(case: &Value) -> Result<()> {
    let list = |key: &str| case.get(key).cloned().unwrap_or_else(|| json!([]));
    let (helm, kustomize) = (list("helmParametersBefore"), list("kustomizeImagesBefore"));
    let source = match case["appType"].as_str() {
        Some("Helm") => json!({"helm": {"parameters": helm}}),
        Some("Kustomize") => json!({"kustomize": {"images": kustomize}}),
        _ => json!({"directory": {}}),
    };
    let mut manifest = yaml::to_string(&Value::Object(application(&source)?.object.as_map().clone()));
    let mut over = None;
    for (index, image) in case["images"].as_array().into_iter().flatten().enumerate() {
        let (update, new) = match wanted(case, index, image, "application", &source) {
            Err(_) if case.get("error").is_some() => return Ok(()),
            found => found?,
        };
        let mut tree = Tree::default();
        tree.insert(MANIFEST, manifest.as_bytes())?;
        let slot = match update.locate(&tree) {
            Err(_) if case.get("error").is_some() => return Ok(()),
            found => found?.pop(),
        };
        let Some(slot) = slot else { bail!("it stands nowhere") };
        if slot.file == MANIFEST {
            manifest = slot.set(Some(&manifest), &new)?.unwrap_or(manifest);
        } else {
            over = slot.set(over.as_deref(), &new)?.or(over);
        }
    }
    ensure!(case.get("error").is_none(), "expected an error");
    let (manifest, over) = (yaml::parse(&manifest)?, yaml::parse(over.as_deref().unwrap_or("{}"))?);
    for (of, expected) in [("/helm/parameters", "helmParameters"), ("/kustomize/images", "kustomizeImages")] {
        let all = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
        let mut found = all(manifest.pointer(&format!("/spec/source{of}")));
        found.extend(all(over.pointer(of)));
        // The two spellings are one to Argo CD.
        for entry in found.iter_mut().filter_map(Value::as_object_mut) {
            if let Some(force) = entry.shift_remove("forcestring") {
                entry.insert("forceString".to_owned(), force);
            }
        }
        let mut expected = all(case.get(expected));
        // A file of overrides is sorted, by Image Updater itself, too.
        if of == "/helm/parameters" {
            let name = |one: &Value| one["name"].as_str().unwrap_or_default().to_owned();
            found.sort_by_key(name);
            expected.sort_by_key(name);
        }
        ensure!(found == expected, "expected {expected:?}, found {found:?}");
    }
    Ok(())
}
