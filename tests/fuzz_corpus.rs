//! The fuzz targets of `fuzz/` over their seeds and over every input that once broke one: no libFuzzer needed.
//!
//! The seeds are made by the kit: `cargo test -p tests --test fuzz_corpus -- --ignored` writes them anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "the library of the fuzzing workspace, which stands on its own"
)]
#[path = "../fuzz/src/lib.rs"]
mod targets;

#[path = "fuzz_corpus/seeds.rs"]
mod seeds;

/// All seeds together, in bytes: they are in the repository.
const SEEDS: u64 = 1_000_000;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn names(folder: &str) -> BTreeSet<String> {
    let folders = files(&fuzz().join(folder)).into_iter();
    folders
        .map(|folder| folder.file_name().unwrap().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn every_seed_and_everything_once_found_keeps_what_its_target_promises() {
    for (name, _) in targets::TARGETS {
        let seeds = files(&fuzz().join("seeds").join(name));
        assert!(!seeds.is_empty(), "{name} has no seeds");
        let found = files(&fuzz().join("regressions").join(name));
        for file in seeds.iter().chain(&found) {
            let input = fs::read(file).unwrap();
            let outcome = std::panic::catch_unwind(|| targets::run(name, &input));
            assert!(outcome.is_ok(), "{name} breaks its promise on {}", file.display());
        }
        println!("{name}: {} seeds, {} once found", seeds.len(), found.len());
    }
}

#[test]
fn every_target_has_its_door_and_nothing_lies_where_no_target_looks() {
    let targets: BTreeSet<String> = targets::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("seeds"), targets);
    assert!(names("regressions").is_subset(&targets));
    let doors: BTreeSet<String> = names("fuzz_targets")
        .iter()
        .map(|file| file.replace(".rs", ""))
        .collect();
    assert_eq!(doors, targets);
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for name in targets {
        let door = fs::read_to_string(fuzz().join("fuzz_targets").join(format!("{name}.rs"))).unwrap();
        assert!(door.contains(&format!("targets::run(\"{name}\", input)")), "{name}");
        assert!(
            manifest.contains(&format!("name = \"{name}\"\n")),
            "{name} is not built"
        );
    }
}

#[test]
fn the_seeds_are_few() {
    let mut all = 0;
    for (name, _) in targets::TARGETS {
        for file in files(&fuzz().join("seeds").join(name)) {
            all += fs::metadata(file).unwrap().len();
        }
    }
    assert!(all < SEEDS, "the seeds have {all} bytes");
}

/// Writes the seeds the kit makes. What fuzzing added stays.
#[test]
#[ignore = "writes into the source tree"]
fn seeds_are_written() {
    for (target, name, bytes) in seeds::all() {
        let folder = fuzz().join("seeds").join(target);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), bytes).unwrap();
    }
}
