//! What has to be fetched before a render: a walk through the kustomization files alone.

use std::collections::BTreeSet;

use slipway_budget::Budget;
use slipway_manifest::Tree;

use crate::error::Error;
use crate::kustomization::{GeneratorArgs, Kustomization};
use crate::load::{Files, Root};
use crate::options::Options;
use crate::remote::{self, Remote};

pub(crate) fn collect(tree: &Tree, path: &str, options: &Options<'_>) -> Result<BTreeSet<Remote>, Error> {
    let files = Files::new(tree, options);
    let mut found = BTreeSet::new();
    walk(&Root::top(&files, path)?, &mut found)?;
    Ok(found)
}

fn walk(root: &Root<'_>, found: &mut BTreeSet<Remote>) -> Result<(), Error> {
    let (text, file) = root.kustomization()?;
    let kustomization = Kustomization::read(&text, &format!("{}/{file}", root.path), &mut Vec::new(), root.budget())?;
    for path in base_fields(&kustomization) {
        let is_base = root.is_folder(path) || remote::file(path).is_none() && remote::git(path).is_some();
        if !is_base {
            note_file(root, path, found)?;
            continue;
        }
        match root.base(path) {
            Ok(base) => walk(&base, found)?,
            Err(Error::Remote(remote)) => {
                found.insert(*remote);
            }
            Err(other) => return Err(other),
        }
    }
    for path in file_fields(&kustomization) {
        note_file(root, path, found)?;
    }
    Ok(())
}

fn note_file(root: &Root<'_>, path: &str, found: &mut BTreeSet<Remote>) -> Result<(), Error> {
    if remote::file(path).is_none() {
        return Ok(());
    }
    match root.bytes(path) {
        Err(Error::Remote(remote)) => {
            found.insert(*remote);
            Ok(())
        }
        other => other.map(drop),
    }
}

/// What is remote of the names in a kustomization.
pub(crate) fn named(text: &str, budget: &Budget) -> Result<BTreeSet<Remote>, Error> {
    if !remote::may_name(text) {
        return Ok(BTreeSet::new());
    }
    let kustomization = Kustomization::read(text, "", &mut Vec::new(), budget)?;
    let bases = base_fields(&kustomization).filter_map(|path| {
        let file = remote::file(path).map(remote::file_or_git);
        file.or_else(|| remote::git(path))
    });
    Ok(bases.chain(file_fields(&kustomization).filter_map(remote::file)).collect())
}

/// Every text that may name a base.
fn base_fields(kustomization: &Kustomization) -> impl Iterator<Item = &str> {
    let Kustomization { resources, components, generators, transformers, validators, .. } = kustomization;
    let lists = [resources, components, generators, transformers, validators];
    lists.into_iter().flatten().flatten().map(String::as_str)
}

/// Every text that may name a file.
fn file_fields(kustomization: &Kustomization) -> impl Iterator<Item = &str> {
    let lists = [&kustomization.crds, &kustomization.configurations, &kustomization.patches_strategic_merge];
    let patches = [&kustomization.patches, &kustomization.patches_json6902];
    let generators = [&kustomization.config_map_generator, &kustomization.secret_generator];
    let charts = kustomization.helm_charts.iter().flatten();
    lists
        .into_iter()
        .flatten()
        .flatten()
        .map(String::as_str)
        .chain(patches.into_iter().flatten().flatten().map(|patch| patch.path.as_str()))
        .chain(kustomization.replacements.iter().flatten().map(|field| field.path.as_str()))
        .chain(kustomization.openapi.iter().filter_map(|openapi| openapi.get("path")).map(String::as_str))
        .chain(generators.into_iter().flatten().flatten().flat_map(generator_files))
        .chain(
            charts
                .flat_map(|chart| chart.additional_values_files.iter().chain([&chart.values_file]))
                .map(String::as_str),
        )
}

fn generator_files(args: &GeneratorArgs) -> impl Iterator<Item = &str> {
    args.files
        .iter()
        .map(|source| source.split_once('=').map_or(source.as_str(), |(_, path)| path))
        .chain(args.envs.iter().map(String::as_str))
}
