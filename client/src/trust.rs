//! Trust and evidence directories from disk, and times from the command line. `CONTRACTS.md` §3.

use std::fs;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use trust_store::anchors::{TrustAnchor, pem_or_der};
use trust_store::{AnchorSet, Anchors, Evidence, Policy, TrustStore};

use crate::error::{Code, Failure};
use crate::files;

/// More files than any trust or evidence directory has.
const MAX_FILES: usize = 100_000;

/// Anchors and policy of a trust directory.
///
/// # Errors
/// [`Code::TrustDirectory`], [`Code::PolicyMalformed`].
pub fn load(directory: &Path) -> Result<TrustStore, Failure> {
    let path = directory.join("policy.toml");
    let policy = match fs::read_to_string(&path) {
        Ok(text) => Policy::from_toml(&text)
            .map_err(|error| Failure::new(Code::PolicyMalformed, format!("{}: {error}", path.display())))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Policy::default(),
        Err(error) => return Err(files::unreadable(&path, &error)),
    };
    let anchors = anchors(directory)?;
    Ok(TrustStore { anchors, policy })
}

/// Anchors of a trust directory, without its policy.
///
/// # Errors
/// [`Code::TrustDirectory`]: a directory without anchors for signers, or a file in it that is no certificate.
pub fn anchors(directory: &Path) -> Result<Anchors, Failure> {
    let hpki = anchor_set(&directory.join("hpki"))?;
    if hpki.0.is_empty() {
        return Err(Failure::new(
            Code::TrustDirectory,
            format!("{}: no certificate in hpki/", directory.display()),
        ));
    }
    let mut intermediates = Vec::new();
    for (path, bytes) in all_files(&directory.join("intermediates"))? {
        intermediates.extend(pem_or_der(&bytes, "CERTIFICATE").map_err(|error| unusable(&path, &error))?);
    }
    Ok(Anchors {
        hpki,
        accredited: anchor_set(&directory.join("accredited"))?,
        jpki: anchor_set(&directory.join("jpki"))?,
        tsa: anchor_set(&directory.join("tsa"))?,
        intermediates,
    })
}

/// Evidence of a directory, or of one file: certificates, CRLs and tokens as they were published, or the `.evidence.json` that
/// `fetch` keeps beside a container. What else does not parse is a warning in the report.
///
/// # Errors
/// [`Code::FileUnreadable`].
pub fn evidence(place: &Path) -> Result<Evidence, Failure> {
    if !place.exists() {
        return Err(Failure::new(
            Code::FileUnreadable,
            format!("{}: no such folder or file", place.display()),
        ));
    }
    let found = if place.is_dir() {
        all_files(place)?
    } else {
        vec![(place.to_owned(), files::read_small(place)?)]
    };
    let mut evidence = Evidence::default();
    for (path, bytes) in found {
        let kept = path.to_string_lossy().ends_with(".evidence.json");
        match std::str::from_utf8(&bytes)
            .ok()
            .filter(|_| kept)
            .map(Evidence::from_json)
        {
            Some(Ok(more)) => {
                evidence.certificates.extend(more.certificates);
                evidence.crls.extend(more.crls);
                evidence.ocsp.extend(more.ocsp);
                evidence.tokens.extend(more.tokens);
                evidence.unreadable.extend(more.unreadable);
            }
            _ => {
                let name = path.strip_prefix(place).unwrap_or(&path).display().to_string();
                evidence.add(&name, &bytes);
            }
        }
    }
    Ok(evidence)
}

/// `--at`, else now.
///
/// # Errors
/// [`Code::Arguments`] for what is not RFC 3339.
pub fn moment(at: Option<&str>) -> Result<OffsetDateTime, Failure> {
    at.map_or_else(
        || Ok(OffsetDateTime::now_utc()),
        |text| {
            OffsetDateTime::parse(text, &Rfc3339)
                .map_err(|_| Failure::new(Code::Arguments, format!("{text}: not an RFC 3339 time")))
        },
    )
}

fn anchor_set(directory: &Path) -> Result<AnchorSet, Failure> {
    let mut anchors = Vec::new();
    for (path, bytes) in all_files(directory)? {
        anchors.extend(TrustAnchor::parse(&bytes).map_err(|error| unusable(&path, &error))?);
    }
    Ok(AnchorSet(anchors))
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Code::TrustDirectory, format!("{}: {error}", path.display()))
}

/// All files below a directory with their bytes, sorted by path; none if there is no such directory.
fn all_files(directory: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>, Failure> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(current) = waiting.pop() {
        let entries = match fs::read_dir(&current) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && current == directory => return Ok(found),
            Err(error) => return Err(files::unreadable(&current, &error)),
        };
        for entry in entries {
            let path = entry.map_err(|error| files::unreadable(&current, &error))?.path();
            if path.is_dir() {
                waiting.push(path);
            } else if !path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with('.'))
            {
                let bytes = files::read_small(&path)?;
                found.push((path, bytes));
            }
            if found.len() + waiting.len() > MAX_FILES {
                return Err(Failure::new(
                    Code::TrustDirectory,
                    format!("{}: more than {MAX_FILES} files", directory.display()),
                ));
            }
        }
    }
    found.sort();
    Ok(found)
}
