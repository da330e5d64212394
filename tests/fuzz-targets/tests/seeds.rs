//! The seeds of fuzzing, each through its target, and inputs that once broke one.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use slipway_fuzz_targets::TARGETS;

/// Seeds of the target with the fewest.
const FEWEST: usize = 3;
/// What a seed may take without optimisation, on a busy machine.
const LONGEST: Duration = Duration::from_mins(1);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_seed_ends_and_keeps_the_law_of_its_target() {
    let (mut count, mut broken) = (0, Vec::new());
    for (name, run) in TARGETS {
        let folder = folder().join("seeds").join(name);
        let seeds = names(&folder);
        assert!(seeds.len() >= FEWEST, "{name} has {} seeds", seeds.len());
        for seed in seeds {
            let data = fs::read(folder.join(&seed)).unwrap();
            let start = Instant::now();
            // What is wrong stands in the output, behind the panic's own words.
            if std::panic::catch_unwind(|| run(&data)).is_err() || start.elapsed() > LONGEST {
                broken.push(format!("{name}/{seed} after {:?}", start.elapsed()));
            }
            count += 1;
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(count >= FEWEST * TARGETS.len(), "{count} seeds");
}

#[test]
fn every_target_has_a_program_and_seeds() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(targets.len(), TARGETS.len(), "no name twice");
    assert_eq!(names(&folder().join("seeds")), targets);
    let files: BTreeSet<String> = targets.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names(&folder().join("fuzz_targets")), files);
    let manifest: toml::Table = fs::read_to_string(folder().join("Cargo.toml")).unwrap().parse().unwrap();
    let programs = manifest["bin"].as_array().unwrap().iter();
    let programs: BTreeSet<String> = programs.map(|bin| bin["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(programs, targets);
}
