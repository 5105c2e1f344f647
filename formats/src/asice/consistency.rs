//! Whether manifests, signatures, envelope and files of a container speak of each other as they must.

use std::collections::{BTreeMap, BTreeSet};

use super::directory::{fatal, shown};
use super::{Container, Finding, Manifest, names};

/// The rules a manifest keeps or breaks by itself: each reference once, none to the container's own entries.
pub(super) fn references(manifest: &Manifest) -> Option<(&'static str, String)> {
    let mut seen = BTreeSet::new();
    manifest.references.iter().find_map(|reference| {
        let path = shown(&reference.path);
        if names::is_reserved(&reference.path) {
            return Some(("reference_reserved", format!("{} refers to {path}", manifest.name)));
        }
        (!seen.insert(&reference.path)).then(|| {
            (
                "reference_duplicate",
                format!("{} refers twice to {path}", manifest.name),
            )
        })
    })
}

/// The rules of a whole container. The first break of each kind is reported, not each of 100,000.
pub(super) fn whole(container: &Container) -> Vec<Finding> {
    let mut findings = Vec::new();
    if container.manifests.is_empty() {
        findings.push(fatal(
            "no_manifest",
            "it has no ASiCManifest, so nothing in it is signed",
        ));
    }
    let mut signed = BTreeMap::new();
    for manifest in &container.manifests {
        findings.extend(references(manifest).map(|(code, detail)| fatal(code, detail)));
        findings.extend(against_files(container, manifest));
        if let Some(other) = signed.insert(&manifest.signature, &manifest.name) {
            findings.push(fatal(
                "signature_shared",
                format!("{other} and {} name the same signature", manifest.name),
            ));
        }
        if !container
            .signatures
            .iter()
            .any(|signature| signature.name == manifest.signature)
        {
            let detail = format!("{} names no signature of the container", manifest.name);
            findings.push(fatal("manifest_without_signature", detail));
        }
    }
    let orphan = container
        .signatures
        .iter()
        .find(|signature| !signed.contains_key(&signature.name));
    if let Some(signature) = orphan {
        let detail = format!("no manifest names {}", shown(&signature.name));
        findings.push(fatal("signature_without_manifest", detail));
    }
    if let Some(envelope) = &container.envelope {
        let paths: Vec<&str> = container.files.iter().map(|file| file.path.as_str()).collect();
        if let Err(error) = envelope.assign(&paths) {
            findings.push(fatal("envelope_documents", error.to_string()));
        }
    }
    findings
}

fn against_files(container: &Container, manifest: &Manifest) -> Vec<Finding> {
    let files: BTreeSet<&str> = container.files.iter().map(|file| file.path.as_str()).collect();
    let referenced: BTreeSet<&str> = manifest
        .references
        .iter()
        .map(|reference| reference.path.as_str())
        .collect();
    let without_reference = files.difference(&referenced).next().map(|path| {
        fatal(
            "file_without_reference",
            format!("{} does not refer to {}", manifest.name, shown(path)),
        )
    });
    // Those to the container's own entries are reported as such.
    let without_file = referenced
        .difference(&files)
        .find(|path| !names::is_reserved(path))
        .map(|path| {
            fatal(
                "reference_without_file",
                format!("{} refers to {}, which is not there", manifest.name, shown(path)),
            )
        });
    without_reference.into_iter().chain(without_file).collect()
}
