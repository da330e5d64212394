//! Our own kustomizations against what the real tool printed for them (`reference/kustomize/record.py`), and our error
//! texts against snapshots: `SLIPWAY_UPDATE_REFERENCE=1` writes those again.

use std::path::Path;
use std::{env, fs};

use anyhow::Result;

use crate::framework::Outcome;
use crate::kustomize_corpus::outcome;

pub(crate) fn run(reference: &Path) -> Result<Outcome> {
    let folder = reference.join("kustomize");
    let update = env::var_os("SLIPWAY_UPDATE_REFERENCE").is_some();
    outcome("kustomize-reference", &folder, |dir, error| {
        let name = dir.trim_end_matches("/root");
        let path = folder.join("errors").join(format!("{name}.txt"));
        if update {
            fs::create_dir_all(folder.join("errors")).map_err(|e| e.to_string())?;
            fs::write(&path, format!("{error}\n")).map_err(|e| e.to_string())?;
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if expected.trim_end() == error { Ok(()) } else { Err(format!("expected error {expected:?}, found {error:?}")) }
    })
}
