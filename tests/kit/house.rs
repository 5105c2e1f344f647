//! What tests of the whole house need around them: built programs, OpenSSL as a second opinion, shared fixtures.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::skip::skip;

/// Path of a program of this workspace, built beside the running test.
///
/// # Panics
/// If it has not been built.
#[must_use]
pub fn bin(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running test knows its path");
    let path = test
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
        .find(|path| path.is_file());
    path.unwrap_or_else(|| panic!("{name} is not built: run `cargo build` first"))
}

/// Runs `openssl` and returns what it said.
///
/// # Panics
/// If there is no `openssl`.
pub fn openssl<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Output {
    Command::new("openssl")
        .args(arguments)
        .output()
        .expect("openssl can be run")
}

/// The folder of shared fixtures beside the workspace, where there is one; says that `what` is skipped where not.
#[must_use]
pub fn fixtures(what: &str) -> Option<PathBuf> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/fixtures"));
    let found = path.is_dir().then_some(path);
    if found.is_none() {
        skip(what, "no ../shared/fixtures beside the workspace");
    }
    found
}

/// A PKCS #11 module by its file name, where distributions and Homebrew put them; `None` if none is installed.
#[must_use]
pub fn pkcs11_module(name: &str) -> Option<PathBuf> {
    let roots = [
        "/usr/lib64",
        "/usr/lib",
        "/usr/local/lib",
        "/opt/homebrew/lib",
        "/Library/OpenSC/lib",
    ]
    .map(PathBuf::from);
    // Debian's folders per architecture: /usr/lib/x86_64-linux-gnu and its like.
    let triplets = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let triplets = triplets.filter(|entry| entry.file_name().to_string_lossy().contains("-linux-"));
    roots
        .into_iter()
        .chain(triplets.map(|entry| entry.path()))
        .flat_map(|root| ["", "softhsm", "pkcs11"].map(|folder| root.join(folder).join(name)))
        .find(|path| path.is_file())
}

/// A file or folder of a Python package in `target/venv`, where `tests/run` installs the judges; `None` if it is not there.
#[must_use]
pub fn python_package(path: &str) -> Option<PathBuf> {
    let library = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/venv/lib"));
    let found = std::fs::read_dir(library)
        .ok()?
        .flatten()
        .next()?
        .path()
        .join("site-packages")
        .join(path);
    found.exists().then_some(found)
}

/// Python with the judges, where `tests/run` installs them; `None` if it is not there.
#[must_use]
pub fn python() -> Option<PathBuf> {
    let python = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/venv/bin/python"));
    python.is_file().then_some(python)
}
