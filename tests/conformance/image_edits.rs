//! A tag is put at a random place of every real YAML file of the corpora: every byte outside of that scalar stays, and
//! what is read then is what was read before, with the tag.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Result, bail, ensure};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use serde_json::Value;
use slipway_manifest::edit::{Step, set, value_at};
use slipway_manifest::yaml;

use crate::framework::{Outcome, known_differences};

const TAGS: [&str; 8] = ["1.2.3", "v2", "1.20", "20240101", "0123", "1e3", "main-706798e8", "yes"];
/// Files of one corpus that are edited.
const MAX_FILES: usize = 1_500;

pub(crate) fn run(shared: &Path) -> Result<Option<Outcome>> {
    let mut files = BTreeMap::new();
    for corpus in ["corpus/gitops/trees", "corpus"] {
        let mut found = BTreeMap::new();
        let folder = shared.join(corpus);
        if folder.is_dir() {
            collect(&folder, &mut found)?;
        }
        let found = found.into_iter().map(|(path, text)| (below(shared, &path), text));
        files.extend(found.filter(|(_, text)| has_scalar(text)).take(MAX_FILES));
    }
    if files.is_empty() {
        return Ok(None);
    }
    let mut known = known_differences(include_str!("image-edits-refused.txt"))?;
    // Another folder holds other repositories.
    known.retain(|name, _| files.contains_key(name));
    let judge = |text: &String| check(text).map_err(|e| format!("{e:#}"));
    Ok(Some(Outcome::collect("image-edits", files, judge).except(&known)))
}

/// The path within the folder of shared cases.
fn below(shared: &Path, path: &str) -> String {
    Path::new(path).strip_prefix(shared).map_or(path, |path| path.to_str().unwrap_or_default()).to_owned()
}

fn collect(folder: &Path, found: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.to_string_lossy().into_owned();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            collect(&path, found)?;
        } else if [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end))
            && let Ok(text) = fs::read_to_string(&path)
            && text.len() < 1 << 16
        {
            found.insert(name, text);
        }
    }
    Ok(())
}

/// Files that are read as Kubernetes and Helm read them: documents without duplicate keys. Templates are none.
fn has_scalar(text: &str) -> bool {
    yaml::split(text).all(|(_, part)| yaml::parse(part).is_ok()) && !scalars(text).is_empty()
}

/// Every single value of a text, by its document and its path.
fn scalars(text: &str) -> Vec<(usize, Vec<Step>)> {
    let mut found = Vec::new();
    for (document, (_, part)) in yaml::split(text).enumerate() {
        let Ok(root) = yaml::parse(part) else { continue };
        let mut open = vec![(Vec::new(), &root)];
        while let Some((path, value)) = open.pop() {
            let below = |step: Step| [path.as_slice(), &[step]].concat();
            match value {
                Value::Object(map) => {
                    open.extend(map.iter().map(|(key, value)| (below(Step::Key(key.clone())), value)));
                }
                Value::Array(list) => {
                    open.extend(list.iter().enumerate().map(|(index, value)| (below(Step::Item(index)), value)));
                }
                _ if path.is_empty() => {}
                _ => found.push((document, path)),
            }
        }
    }
    found
}

fn check(text: &str) -> Result<()> {
    let seed = text.bytes().fold(7_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut pick = |count: usize| usize::try_from(random.next_u64() % count.max(1) as u64).unwrap_or_default();
    let all = scalars(text);
    for _ in 0..3 {
        let (document, path) = &all[pick(all.len())];
        let tag = Value::from(TAGS[pick(TAGS.len())]);
        let before: Vec<Value> = yaml::split(text).map(|(_, part)| yaml::parse(part)).collect::<Result<_, _>>()?;
        let old = value_at(&before[*document], path).cloned().unwrap_or_default();
        let edited = match set(text, *document, path, &tag) {
            Ok(Some(edited)) => edited,
            Ok(None) => {
                ensure!(old == tag, "{path:?}: not changed");
                continue;
            }
            Err(error) => bail!("{path:?} from {old} to {tag}: {error}"),
        };
        // What stands between the bytes that both have in common is one scalar, before and after.
        let start = text.bytes().zip(edited.bytes()).take_while(|(a, b)| a == b).count();
        let (old_rest, new_rest) = (&text.as_bytes()[start..], &edited.as_bytes()[start..]);
        let end = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| a == b).count();
        let new = String::from_utf8_lossy(&new_rest[..new_rest.len() - end]);
        ensure!(!new.contains('\n') && new.len() <= 24, "{path:?}: more than the scalar is written: {new:?}");
        let mut wanted = before;
        let shared = text.contains('&') && text.contains('*');
        put(&mut wanted[*document], path, &tag);
        let after: Vec<Value> = yaml::split(&edited).map(|(_, part)| yaml::parse(part)).collect::<Result<_, _>>()?;
        ensure!(shared || after == wanted, "{path:?}: something else is read");
        ensure!(value_at(&after[*document], path) == Some(&tag), "{path:?}: another value is read");
        // A second edit is for nothing.
        ensure!(set(&edited, *document, path, &tag)?.is_none(), "{path:?}: the second edit changes it");
    }
    Ok(())
}

fn put(root: &mut Value, path: &[Step], value: &Value) {
    let Some((step, rest)) = path.split_first() else {
        *root = value.clone();
        return;
    };
    let below = match step {
        Step::Key(key) => root.get_mut(key),
        Step::Item(index) => root.get_mut(index),
    };
    if let Some(below) = below {
        put(below, rest, value);
    }
}
