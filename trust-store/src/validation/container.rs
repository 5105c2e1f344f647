//! What a container must be before any of its signatures counts: manifests and files in agreement, an envelope that fits, and
//! for every document a signature of the right profession. `CONTRACTS.md` §1 and §2.

use std::collections::{HashMap, HashSet};

use formats::asice::{Container, FileEntry, Manifest, Severity};
use formats::envelope::DocumentKind;
use formats::hc_role::HcRole;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::Extent;
use super::ledger::{Ledger, Row};
use crate::report::{FileVerdict, rfc3339};
use crate::role_policy::{RolePolicy, kind_name};

/// Findings of the reader, the envelope, and the pairing of manifests with signatures: they weigh on every signature.
pub(super) fn structure(container: &Container, extent: Extent) -> Ledger {
    let mut ledger = Ledger::default();
    for finding in &container.findings {
        match finding.severity {
            Severity::Fatal => ledger.fail(&finding.code, Row::FormatFailure, finding.detail.as_str()),
            Severity::Warning => ledger.warn(&finding.code, finding.detail.as_str()),
        }
    }
    if ledger.row().is_none() && extent == Extent::Whole {
        ledger.pass("container", "The container's structure follows the reading profile.");
    }
    if container.signatures.is_empty() {
        ledger.fail("signatures", Row::FormatFailure, "The container holds no signature.");
    }
    for manifest in &container.manifests {
        if !container
            .signatures
            .iter()
            .any(|signature| signature.name == manifest.signature)
        {
            let detail = format!("{} names a signature that is not in the container.", manifest.name);
            ledger.fail("manifest", Row::FormatFailure, detail);
        }
        coverage(container, extent, manifest, &mut ledger);
    }
    envelope(container, extent, &mut ledger);
    ledger
}

/// An envelope made later than the validator's clock: one of the two clocks is wrong. It says nothing of the signature.
pub(super) fn created(container: &Container, skew: Duration, now: OffsetDateTime, ledger: &mut Ledger) {
    let created = container.envelope.as_ref().map(|envelope| &envelope.created);
    let stated = created.and_then(|created| OffsetDateTime::parse(created, &Rfc3339).ok());
    if let Some(stated) = stated.filter(|stated| *stated > now.saturating_add(skew)) {
        let detail = format!(
            "The envelope says it was made at {}, which is later than {}.",
            rfc3339(stated),
            rfc3339(now)
        );
        ledger.warn("envelope_created", detail);
    }
}

/// The one manifest a signature signs.
pub(super) fn manifest_of<'c>(container: &'c Container, signature: &str, ledger: &mut Ledger) -> Option<&'c Manifest> {
    let mut named = container
        .manifests
        .iter()
        .filter(|manifest| manifest.signature == signature);
    match (named.next(), named.next()) {
        (Some(manifest), None) => Some(manifest),
        (None, _) => {
            ledger.fail(
                "manifest",
                Row::FormatFailure,
                format!("No manifest names {signature}."),
            );
            None
        }
        (Some(_), Some(_)) => {
            ledger.fail(
                "manifest",
                Row::FormatFailure,
                format!("Several manifests name {signature}."),
            );
            None
        }
    }
}

/// Whether the files are those one manifest speaks of.
pub(super) fn files(container: &Container, extent: Extent, manifest: &Manifest, ledger: &mut Ledger) {
    let wrong = mismatches(container, manifest);
    if wrong.is_empty() {
        let (count, name) = (manifest.references.len(), &manifest.name);
        match extent {
            Extent::Whole => ledger.pass("files", format!("All {count} files match {name}.")),
            Extent::Arriving => {
                let arrived = container.files.len();
                ledger.pass(
                    "files",
                    format!("The {arrived} of {count} files that have arrived match {name}."),
                );
            }
        }
    } else {
        let detail = format!(
            "{} of {} files do not match {}; `files` shows which.",
            wrong.len(),
            manifest.references.len(),
            manifest.name
        );
        ledger.fail("files", Row::HashFailure, detail);
    }
}

/// Every file, with whether it matches each manifest.
pub(super) fn file_verdicts(container: &Container) -> Vec<FileVerdict> {
    let wrong: HashSet<&str> = container
        .manifests
        .iter()
        .flat_map(|manifest| mismatches(container, manifest))
        .collect();
    let everywhere: Vec<HashSet<&str>> = container.manifests.iter().map(referenced).collect();
    let covered = |path: &str| !everywhere.is_empty() && everywhere.iter().all(|paths| paths.contains(path));
    container
        .files
        .iter()
        .map(|file| FileVerdict {
            path: file.path.clone(),
            digest_ok: covered(&file.path) && !wrong.contains(file.path.as_str()),
        })
        .collect()
}

/// For every kind in the envelope: does any of the signers, given by their roles and the kinds their route is for, suit it?
/// Every signature must validate anyway, so each one's roles count.
pub(super) fn roles(
    container: &Container,
    policy: &RolePolicy,
    signers: &[(Vec<HcRole>, Vec<DocumentKind>)],
    ledger: &mut Ledger,
) {
    let Some(envelope) = &container.envelope else { return };
    let mut kinds: Vec<DocumentKind> = envelope.documents.iter().map(|document| document.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in kinds {
        let suits =
            |(roles, kinds): &(Vec<HcRole>, Vec<DocumentKind>)| kinds.contains(&kind) && policy.permits(kind, roles);
        if signers.iter().any(suits) {
            ledger.pass("role", format!("The signer's qualification suits {}.", kind_name(kind)));
            continue;
        }
        if signers.iter().any(|(roles, _)| policy.permits(kind, roles)) {
            let detail = format!(
                "{} is not among the kinds that the signer's route is open for.",
                kind_name(kind)
            );
            ledger.fail("role", Row::SigConstraintsFailure, detail);
            continue;
        }
        let roles = signers.iter().flat_map(|(roles, _)| roles);
        let mut stated: Vec<&str> = roles.map(|HcRole(role)| role.as_str()).collect();
        stated.sort_unstable();
        stated.dedup();
        let stated = if stated.is_empty() {
            "no qualification".to_owned()
        } else {
            stated.join(", ")
        };
        let (kind, accepted) = (kind_name(kind), policy.accepted(kind));
        let detail = format!("{kind} must be signed by {accepted}; the certificate states {stated}.");
        ledger.fail("role", Row::SigConstraintsFailure, detail);
    }
}

fn referenced(manifest: &Manifest) -> HashSet<&str> {
    manifest
        .references
        .iter()
        .map(|reference| reference.path.as_str())
        .collect()
}

/// References and files are the same set, each once.
fn coverage(container: &Container, extent: Extent, manifest: &Manifest, ledger: &mut Ledger) {
    let paths = referenced(manifest);
    let present: HashSet<&str> = container.files.iter().map(|file| file.path.as_str()).collect();
    let mut fail = |count: usize, what: &str| {
        if count > 0 {
            ledger.fail(
                "manifest",
                Row::FormatFailure,
                format!("{}: {count} {what}.", manifest.name),
            );
        }
    };
    fail(
        manifest.references.len() - paths.len(),
        "references name a file a second time",
    );
    if extent == Extent::Whole {
        fail(paths.difference(&present).count(), "references without a file");
    }
    fail(present.difference(&paths).count(), "files without a reference");
}

fn mismatches<'c>(container: &'c Container, manifest: &Manifest) -> Vec<&'c str> {
    let files: HashMap<&str, &'c FileEntry> = container.files.iter().map(|file| (file.path.as_str(), file)).collect();
    let mut wrong: Vec<&str> = manifest
        .references
        .iter()
        .filter_map(|reference| {
            let file = files.get(reference.path.as_str())?;
            let same = file.digests.get(reference.algorithm) == Some(reference.digest.as_slice());
            (!same).then_some(file.path.as_str())
        })
        .collect();
    wrong.dedup();
    wrong
}

fn envelope(container: &Container, extent: Extent, ledger: &mut Ledger) {
    let Some(envelope) = &container.envelope else {
        let told = ledger.row().is_some();
        if !told {
            ledger.fail(
                "envelope",
                Row::FormatFailure,
                "The container holds no readable submission.json.",
            );
        }
        return;
    };
    let present = container.files.iter().map(|file| file.path.as_str());
    let promised = container.manifests.first().map(|manifest| &manifest.references);
    let promised = promised.into_iter().flatten().map(|reference| reference.path.as_str());
    let paths: Vec<&str> = match extent {
        Extent::Whole => present.collect(),
        Extent::Arriving => promised.collect(),
    };
    match envelope.assign(&paths) {
        Ok(_) => ledger.pass(
            "envelope",
            "Every file belongs to exactly one document of the envelope.",
        ),
        // The error names a path, which may name a patient.
        Err(_) => ledger.fail(
            "envelope",
            Row::FormatFailure,
            "Files and documents of the envelope do not fit each other: each file belongs to exactly one document.",
        ),
    }
}
