//! What Argo CD Image Updater writes into a kustomization (`vectors/README.argo.md`): our edit keeps more of the
//! file, so the parsed documents are compared, and that nothing is written where it writes nothing.

use std::path::Path;

use anyhow::{Result, bail, ensure};
use serde_json::Value;
use slipway_manifest::{edit, yaml};

use crate::framework::{Outcome, records};

pub(crate) fn run(shared: &Path) -> Result<Option<Outcome>> {
    let cases = records(&shared.join("vectors/imageupdater.jsonl"))?;
    Ok(cases.map(|cases| {
        let ours = cases.into_iter().filter(|(_, case)| case["type"] == "writeback" && case["kind"] == "kustomization");
        Outcome::collect("imageupdater", ours, |case| check(case).map_err(|e| format!("{e:#}")))
    }))
}

fn check(case: &Value) -> Result<()> {
    let mut text = case["before"].as_str().map(str::to_owned);
    for image in case["kustomizeImages"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let Some(before) = text.as_deref() else {
            ensure!(case.get("error").is_some(), "there is no file");
            return Ok(());
        };
        match edit::set_image(before, &wanted(image)) {
            Ok(Some(after)) => text = Some(after),
            Ok(None) => {}
            Err(_) if case.get("error").is_some() => return Ok(()),
            Err(error) => bail!("refused: {error}"),
        }
    }
    let (text, after) = (text.unwrap_or_default(), case["after"].as_str().unwrap_or_default());
    ensure!(case["unchanged"] != true || Some(text.as_str()) == case["before"].as_str(), "changed: {text}");
    ensure!(yaml::parse(&text)? == yaml::parse(after)?, "expected {after:?}, found {text:?}");
    Ok(())
}

/// `[NAME=]IMAGE[:TAG][@DIGEST]`.
fn wanted(argument: &str) -> edit::Image {
    let (name, image) = argument.split_once('=').map_or((None, argument), |(name, image)| (Some(name), image));
    let (image, digest) = image.split_once('@').map_or((image, None), |(image, digest)| (image, Some(digest)));
    let (image, tag) = match image.rsplit_once(':') {
        Some((image, tag)) if !tag.contains('/') => (image, Some(tag)),
        _ => (image, None),
    };
    edit::Image {
        name: name.unwrap_or(image).to_owned(),
        new_name: name.map(|_| image.to_owned()),
        new_tag: tag.map(str::to_owned),
        digest: digest.map(str::to_owned),
    }
}
