//! Reads `ImageUpdater` resources, and finds which of them says what of an Application (argoproj-labs/
//! argocd-image-updater `pkg/argocd/argocd.go`, FilterApplicationsForUpdate).

use serde_json::Value;
use slipway_appset::Selector;
use slipway_gocompat::filepath;
use slipway_manifest::Object;

use super::settings::{
    CommonUpdateSettings, HelmTarget, ImageConfig, ImageSettings, WriteBackConfig, of_annotations, parse_entry, text,
};
use super::{ImageError, Reference};
use crate::app::{self, Application};

/// The `ImageUpdater` resources of a root.
#[derive(Debug, Default)]
pub struct ImageUpdaters(Vec<ImageUpdaterSpec>);

/// One resource.
#[derive(Debug)]
struct ImageUpdaterSpec {
    namespace: String,
    name: String,
    /// The most specific first.
    refs: Vec<ApplicationRef>,
}

/// `spec.applicationRefs[]`.
#[derive(Debug)]
struct ApplicationRef {
    pattern: String,
    selector: Option<Selector>,
    specificity: usize,
    uses_annotations: bool,
    settings: ImageSettings,
}

impl ImageUpdaters {
    /// Reads the resources; one that Image Updater would refuse is a line of the problems.
    pub fn read<'o>(objects: impl IntoIterator<Item = &'o Object>) -> (Self, Vec<String>) {
        let (mut found, mut problems) = (Vec::new(), Vec::new());
        for object in objects.into_iter().filter(|object| object.kind() == "ImageUpdater") {
            match read_one(object) {
                Ok(spec) => found.push(spec),
                Err(problem) => problems.push(format!("{}: {problem}", object.id())),
            }
        }
        found.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        (Self(found), problems)
    }

    /// What is declared of the images of `app`. Where resources are in its namespace, annotations count only for one
    /// that says `useAnnotations`, as in Image Updater 1.0; where there is none they count by themselves, as before it.
    /// Fails where two resources select it, which Image Updater lets overwrite each other.
    pub fn settings(&self, app: &Application) -> Result<Option<ImageSettings>, ImageError> {
        let (namespace, _) = app::identity(&app.object);
        let mut here = self.0.iter().filter(|one| one.namespace == namespace).peekable();
        if here.peek().is_none() {
            return of_annotations(app);
        }
        let mut found: Vec<(&str, ImageSettings)> = Vec::new();
        for resource in here {
            for reference in resource.refs.iter().filter(|reference| reference.selects(app)) {
                let settings =
                    if reference.uses_annotations { of_annotations(app)? } else { Some(reference.settings.clone()) };
                // Without annotations, the next that selects it is asked.
                let Some(settings) = settings else { continue };
                if !settings.images.is_empty() {
                    found.push((&resource.name, settings));
                }
                break;
            }
        }
        if let [(first, _), (second, _), ..] = found.as_slice() {
            let (first, second) = ((*first).to_owned(), (*second).to_owned());
            return Err(ImageError::TwoImageUpdaters { app: app.name.clone(), first, second });
        }
        Ok(found.pop().map(|(_, settings)| settings))
    }
}

impl ApplicationRef {
    fn selects(&self, app: &Application) -> bool {
        let labels = || app.object.pointer("/metadata/labels");
        filepath::matches(&self.pattern, &app.name)
            && self.selector.as_ref().is_none_or(|selector| {
                let of = |key: &str| labels().and_then(|labels| labels.get(key)).and_then(Value::as_str);
                selector.matches(of)
            })
    }
}

fn read_one(object: &Object) -> Result<ImageUpdaterSpec, String> {
    let spec = object.get("spec").cloned().unwrap_or_default();
    let refs = spec.get("applicationRefs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if refs.is_empty() {
        return Err("`spec.applicationRefs` is missing or empty".to_owned());
    }
    let (common, write_back) = (common(&spec), write_back(&spec)?);
    let read = |(index, value): (usize, &Value)| {
        reference(value, &common, &write_back).map_err(|problem| format!("`spec.applicationRefs[{index}]`: {problem}"))
    };
    let mut refs: Vec<ApplicationRef> = refs.iter().enumerate().map(read).collect::<Result<_, _>>()?;
    refs.sort_by_key(|one| std::cmp::Reverse(one.specificity));
    let (namespace, name) = app::identity(object);
    Ok(ImageUpdaterSpec { namespace, name, refs })
}

fn reference(
    value: &Value,
    above: &CommonUpdateSettings,
    write_back_above: &WriteBackConfig,
) -> Result<ApplicationRef, String> {
    let pattern = text(value.get("namePattern")).ok_or("`namePattern` is missing")?;
    if !filepath::is_valid(&pattern) {
        return Err(format!("`namePattern`: `{pattern}` is no pattern"));
    }
    let selector = value.get("labelSelectors").filter(|selector| selector.is_object());
    let update = common(value).or(above);
    let images = value.get("images").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let images = images.iter().map(|one| image(one, &update)).collect::<Result<_, String>>()?;
    Ok(ApplicationRef {
        specificity: specificity(&pattern, selector),
        selector: selector.map(Selector::of_labels).transpose().map_err(|e| format!("`labelSelectors`: {e}"))?,
        uses_annotations: value.get("useAnnotations").and_then(Value::as_bool) == Some(true),
        settings: ImageSettings { images, write_back: write_back(value)?.or(write_back_above) },
        pattern,
    })
}

/// How specific a reference is: a name without wildcards before all others, then one with a selector, then by the
/// characters that stand for themselves (calculateSpecificity).
fn specificity(pattern: &str, selector: Option<&Value>) -> usize {
    let exact = if pattern.contains(['*', '?', '[', ']']) { 0 } else { 1_000_000 };
    let mut literals = 0;
    let mut in_set = false;
    for c in pattern.chars() {
        match c {
            '[' => in_set = true,
            ']' if in_set => in_set = false,
            '*' | '?' => {}
            _ if in_set => {}
            c => literals += c.len_utf8(),
        }
    }
    let count = |key: &str| {
        let of = selector.and_then(|selector| selector.get(key));
        of.map_or(0, |value| {
            value.as_object().map_or_else(|| value.as_array().map_or(0, Vec::len), serde_json::Map::len)
        })
    };
    let selected = if selector.is_some() { 10_000 } else { 0 };
    exact + literals + selected + 100 * (count("matchLabels") + count("matchExpressions"))
}

fn image(value: &Value, above: &CommonUpdateSettings) -> Result<ImageConfig, String> {
    let name = text(value.get("imageName")).ok_or("an image has no `imageName`")?;
    let alias = text(value.get("alias")).ok_or_else(|| format!("`alias` of image `{name}` is missing"))?;
    let target = |kind: &str| value.get("manifestTargets").and_then(|targets| targets.get(kind));
    let kinds = ["helm", "kustomize", "plugin"];
    if kinds.iter().filter(|kind| target(kind).is_some_and(Value::is_object)).count() > 1 {
        return Err(format!("`manifestTargets` of image `{alias}` may have one of `helm`, `kustomize` and `plugin`"));
    }
    if target("plugin").is_some_and(Value::is_object) {
        return Err(format!("`manifestTargets.plugin` of image `{alias}` is not supported yet"));
    }
    let of = |kind: &str, key: &str| text(target(kind).and_then(|target| target.get(key)));
    let helm = HelmTarget { name: of("helm", "name"), tag: of("helm", "tag"), spec: of("helm", "spec") };
    let image = Reference { alias, ..parse_entry(&name) };
    Ok(ImageConfig { image, update: common(value).or(above), helm, kustomize_name: of("kustomize", "name") })
}

fn common(level: &Value) -> CommonUpdateSettings {
    let get = |key: &str| level.get("commonUpdateSettings").and_then(|settings| settings.get(key));
    let list = |key: &str| {
        let items = get(key)?.as_array()?;
        Some(items.iter().filter_map(Value::as_str).map(|one| one.trim().to_owned()).collect())
    };
    CommonUpdateSettings {
        strategy: text(get("updateStrategy")),
        force: get("forceUpdate").and_then(Value::as_bool),
        allow: text(get("allowTags")),
        ignore: list("ignoreTags"),
        platforms: list("platforms"),
        scan_gate: None,
    }
}

fn write_back(level: &Value) -> Result<WriteBackConfig, String> {
    let config = level.get("writeBackConfig");
    let git = config.and_then(|config| config.get("gitConfig"));
    let of = |key: &str| text(git.and_then(|git| git.get(key)));
    let pull_request = git.and_then(|git| git.get("pullRequest")).filter(|one| !one.is_null());
    let has = |provider: &str| pull_request.and_then(|one| one.get(provider)).is_some_and(Value::is_object);
    let branch = of("branch");
    if pull_request.is_some() {
        match (has("github"), has("gitlab")) {
            (true, false) => {}
            (false, true) => return Err("`pullRequest.gitlab` is not supported yet".to_owned()),
            _ => return Err("`pullRequest` must have exactly one provider".to_owned()),
        }
        if branch.as_deref().is_some_and(|branch| branch.contains(':')) {
            return Err("with `pullRequest`, `branch` is the base alone, without a colon".to_owned());
        }
    }
    Ok(WriteBackConfig {
        method: text(config.and_then(|config| config.get("method"))),
        target: of("writeBackTarget"),
        branch,
        repository: of("repository"),
        pull_request: pull_request.map(|one| {
            let labels = one.get("labels").and_then(Value::as_array).into_iter().flatten();
            labels.filter_map(|label| text(Some(label))).collect()
        }),
    })
}
