//! Argo CD's options as the edits that it makes with `kustomize edit` (argo-cd `util/kustomize/kustomize.go`).

use std::collections::BTreeMap;

use crate::decode;
use crate::error::Error;
use crate::kustomization::{Image, Kustomization, Label, Replica};
use crate::load::Root;
use crate::options::Overrides;

pub(crate) fn apply(kustomization: &mut Kustomization, given: &Overrides, root: &Root<'_>) -> Result<(), Error> {
    for (text, field) in [
        (&given.name_prefix, &mut kustomization.name_prefix),
        (&given.name_suffix, &mut kustomization.name_suffix),
        (&given.namespace, &mut kustomization.namespace),
    ] {
        if !text.is_empty() {
            field.clone_from(text);
        }
    }
    for image in &given.images {
        set_image(kustomization.images.get_or_insert_default(), image);
    }
    for (name, count) in &given.replicas {
        let replicas = kustomization.replicas.get_or_insert_default();
        replicas.retain(|replica| replica.name != *name);
        replicas.push(Replica { name: name.clone(), count: *count });
    }
    set_labels(kustomization, given)?;
    let annotations = kustomization.common_annotations.take().unwrap_or_default();
    let annotations = merged(annotations, &given.common_annotations, given.force_common_annotations, "annotation")?;
    kustomization.common_annotations = Some(annotations);
    for path in &given.components {
        if !given.ignore_missing_components || root.is_folder(path) {
            kustomization.components.get_or_insert_default().push(path.clone());
        }
    }
    for patch in &given.patches {
        let patch =
            decode::from_value(patch.clone()).map_err(|e| Error::refused(format!("`patches` of the source: {e}")))?;
        kustomization.patches.get_or_insert_default().push(patch);
    }
    Ok(())
}

fn set_labels(kustomization: &mut Kustomization, given: &Overrides) -> Result<(), Error> {
    if given.common_labels.is_empty() {
        return Ok(());
    }
    if !given.label_without_selector {
        let labels = kustomization.common_labels.take().unwrap_or_default();
        kustomization.common_labels = Some(merged(labels, &given.common_labels, given.force_common_labels, "label")?);
        return Ok(());
    }
    let labels = kustomization.labels.get_or_insert_default();
    let fits = |label: &&mut Label| {
        !label.include_selectors
            && label.include_templates == given.label_include_templates
            && label.field_specs.is_empty()
    };
    match labels.iter_mut().find(fits) {
        Some(label) => {
            let pairs = std::mem::take(&mut label.pairs);
            label.pairs = merged(pairs, &given.common_labels, given.force_common_labels, "label")?;
        }
        None => labels.push(Label {
            pairs: given.common_labels.clone(),
            include_templates: given.label_include_templates,
            ..Label::default()
        }),
    }
    Ok(())
}

fn merged(
    mut entries: BTreeMap<String, String>,
    more: &BTreeMap<String, String>,
    force: bool,
    what: &str,
) -> Result<BTreeMap<String, String>, Error> {
    for (key, value) in more {
        if !force && entries.contains_key(key) {
            return Err(Error::refused(format!(
                "{what} `{key}` is in the kustomization already: set the option that forces it"
            )));
        }
        entries.insert(key.clone(), value.clone());
    }
    Ok(entries)
}

/// As `kustomize edit set image` does: `name=new:tag@digest`, where `*` keeps what the kustomization has.
fn set_image(images: &mut Vec<Image>, text: &str) {
    let (name, image) = match text.split_once('=') {
        Some((name, image)) => (Some(name), image),
        None => (None, text),
    };
    let (rest, digest) = image.split_once('@').unwrap_or((image, ""));
    let slash = rest.rfind('/').unwrap_or(0);
    let (new_name, new_tag) = match rest.get(slash..).and_then(|tail| tail.find(':')) {
        Some(at) => rest.split_at(slash + at),
        None => (rest, ""),
    };
    let new_tag = new_tag.trim_start_matches(':');
    let name = name.unwrap_or(new_name);
    let old = images.iter().position(|image| image.name == name).map(|i| images.remove(i)).unwrap_or_default();
    let or_old = |text: &str, old: &str| if text == "*" { old.to_owned() } else { text.to_owned() };
    let new_name = if new_name == name { old.new_name.clone() } else { or_old(new_name, &old.new_name) };
    images.push(Image {
        name: name.to_owned(),
        new_name,
        new_tag: or_old(new_tag, &old.new_tag),
        digest: or_old(digest, &old.digest),
        ..Image::default()
    });
    images.sort_by(|a, b| a.name.cmp(&b.name));
}
