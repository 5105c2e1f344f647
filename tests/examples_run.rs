//! The programs to read first: each runs, ends well, and is short enough to be read at one sitting.

use std::path::Path;
use std::process::Command;

use kit::bin;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");

#[test]
fn every_example_runs() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = 0;
    for entry in std::fs::read_dir(FOLDER).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        // The demo has a test of its own.
        if path.extension().is_none_or(|ending| ending != "rs") || name == "demo" {
            continue;
        }
        // From the root of the workspace, as `cargo run` starts them; what they leave goes into a folder of this test.
        let output = Command::new(bin(name))
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .env("TMPDIR", folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}: {output:?}");
        assert!(!output.stdout.is_empty(), "{name} says nothing");
        run += 1;
    }
    assert!(run >= 5, "verify, sign, hcRole, time stamp, relay");
}

#[test]
fn every_example_is_short() {
    let short = |folder: &Path, lines: usize| {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "rs") {
                let limit = if path.ends_with("demo.rs") { 150 } else { lines };
                let text = std::fs::read_to_string(&path).unwrap();
                assert!(text.lines().count() < limit, "{}", path.display());
                assert!(text.starts_with("//! "), "{} does not say what it is", path.display());
            }
        }
    };
    short(Path::new(FOLDER), 100);
    short(&Path::new(FOLDER).join("demo"), 150);
}
