//! The arrows between the rooms, held by a test: who may depend on whom, and which crate is used in which place only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Rust sources of the workspace with their paths from the root.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = ["formats", "trust-store", "relay", "client", "tests", "examples", "fuzz"]
        .iter()
        .map(|room| root().join(room))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// The platform this is compiled on, as the compiler names it.
fn host() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.unwrap().to_owned()
}

/// For each package the packages it reaches through ordinary dependencies, on this platform: what only others need is not always
/// at hand without a network.
fn reach() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", &host()])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: BTreeMap<&str, &str> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| (package["id"].as_str().unwrap(), package["name"].as_str().unwrap()))
        .collect();
    let edges: BTreeMap<&str, Vec<&str>> = metadata["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| {
            let ordinary = node["deps"].as_array().unwrap().iter().filter(|dependency| {
                dependency["dep_kinds"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|kind| kind["kind"].is_null())
            });
            (
                node["id"].as_str().unwrap(),
                ordinary.map(|dependency| dependency["pkg"].as_str().unwrap()).collect(),
            )
        })
        .collect();
    edges
        .keys()
        .map(|start| {
            let mut seen = BTreeSet::new();
            let mut open = vec![*start];
            while let Some(package) = open.pop() {
                for next in &edges[package] {
                    if seen.insert(*next) {
                        open.push(next);
                    }
                }
            }
            (
                names[start].to_owned(),
                seen.into_iter().map(|id| names[id].to_owned()).collect(),
            )
        })
        .collect()
}

#[test]
fn arrows_point_down() {
    let reach = reach();
    let outside = [
        "tokio",
        "hyper",
        "rustls",
        "redb",
        "sled",
        "object_store",
        "cryptoki",
        "axum",
    ];
    for (room, forbidden, because) in [
        (
            "formats",
            &outside[..],
            "bytes become types without a socket, a file or a clock",
        ),
        (
            "trust-store",
            &outside[..],
            "a verdict depends on its arguments alone, or it could not be replayed",
        ),
        (
            "formats",
            &["trust-store", "relay", "client", "aws-lc-rs"][..],
            "the bottom of the house knows nobody",
        ),
        (
            "trust-store",
            &["relay", "client"][..],
            "judges know neither the desk nor the post office",
        ),
        ("relay", &["client", "tests"][..], "a relay is no desk"),
        (
            "client",
            &["relay", "redb", "sled", "object_store", "axum", "tests"][..],
            "a clinic's PC runs no server of ours",
        ),
    ] {
        for package in forbidden {
            assert!(
                !reach[room].contains(*package),
                "{room} reaches {package}, but {because}"
            );
        }
    }
}

#[test]
fn some_crates_are_used_in_one_place_only() {
    let sources = sources();
    for (crate_name, places, because) in [
        (
            "redb",
            &[
                "relay/src/store.rs",
                "relay/src/store/file.rs",
                "relay/src/store/replica.rs",
                "relay/src/store/redb.rs",
            ][..],
            "the index can change its engine",
        ),
        (
            "sled",
            &[
                "relay/src/store.rs",
                "relay/src/store/file.rs",
                "relay/src/store/sled.rs",
            ][..],
            "the index can change its engine",
        ),
        (
            "tokio_postgres",
            &["relay/src/store/postgres"][..],
            "what the database may do to a trail is judged in one place",
        ),
        (
            "object_store",
            &["relay/src/objects", "relay/src/containers", "relay/src/backup/target"][..],
            "the bucket has one door, and so have containers and backups",
        ),
        ("age", &["relay/src/keys"][..], "data keys are wrapped in one place"),
        (
            "cryptoki",
            &["client/src/signer/pkcs11", "relay/src/log/token.rs"][..],
            "cards have one door; a relay never holds a doctor's key, but its log's own may lie in a token",
        ),
        (
            "cms",
            &["formats/src/cades", "formats/src/timestamp", "tests/kit"][..],
            "a pre-release is best replaced in one place",
        ),
        (
            "cryptographic_message_syntax",
            &["formats/src/timestamp"][..],
            "its types serve RFC 3161 only; its verdicts are none",
        ),
        (
            "aws_lc_rs",
            &[
                "trust-store/src/algorithm",
                "relay/src/ca",
                "relay/src/keys",
                "relay/src/trail/sealed",
                "relay/src/store/postgres/tls",
                "relay/src/seal",
                "relay/src/objects/wire",
                "relay/src/server",
                "relay/src/store/round",
                "relay/src/enrol",
                "relay/src/admin",
                "client/src/signer",
                "client/src/enrol",
                "client/src/tsa",
                "client/src/relay_api",
                "tests/",
            ][..],
            "signature mathematics for verdicts goes through trust-store::algorithm; keys of our own stay with their owners",
        ),
        ("axum", &["relay/src/"][..], "only the relay serves"),
    ] {
        for (name, text) in &sources {
            let uses = text.lines().any(|line| {
                let line = line.trim_start();
                !line.starts_with("//")
                    && (line.starts_with(&format!("use {crate_name}::"))
                        || line.contains(&format!(" {crate_name}::"))
                        || line.contains(&format!("({crate_name}::"))
                        || line.contains(&format!("<{crate_name}::")))
            });
            let allowed = places.iter().any(|place| name.starts_with(place)) || name == "tests/architecture.rs";
            assert!(!uses || allowed, "{name} uses {crate_name}, but {because}");
        }
    }
}

#[test]
fn every_file_says_what_it_is_and_none_hides_as_mod_rs() {
    for (name, text) in sources() {
        assert!(text.starts_with("//!"), "{name} does not open with what it is");
        assert!(
            !name.ends_with("/mod.rs"),
            "{name}: a module's file has the module's name"
        );
    }
}

#[test]
fn no_file_grows_without_an_idea() {
    const BOUND: usize = 600;
    for (name, text) in sources() {
        let lines = text.lines().count();
        assert!(
            lines <= BOUND,
            "{name} has {lines} lines: split it along the idea that made it grow"
        );
    }
}
