//! The operator's view of the trust directory: what is in it, and one certificate more, compared with an expected fingerprint.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use formats::digest::sha256;
use serde::Serialize;
use time::OffsetDateTime;
use trust_store::Certificate;
use trust_store::anchors::pem_or_der;
use trust_store::report::rfc3339;

use crate::ca::certificate_pem;
use crate::trust::{TrustError, files, official};

/// Larger than any file of certificates that is added.
const MAX_FILE: u64 = 1 << 20;

/// What a certificate is trusted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TrustPurpose {
    /// Anchor of signers.
    Hpki,
    /// Anchor of time stamps.
    Tsa,
    /// Serves path building, trusted for nothing.
    Intermediate,
}

impl TrustPurpose {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Hpki, Self::Tsa, Self::Intermediate];

    /// As in arguments, output and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hpki => "hpki",
            Self::Tsa => "tsa",
            Self::Intermediate => "intermediate",
        }
    }

    /// Its folder in the trust directory.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Intermediate => "intermediates",
            anchors => anchors.name(),
        }
    }
}

impl std::str::FromStr for TrustPurpose {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|purpose| purpose.name() == text);
        found.ok_or_else(|| "must be hpki, tsa or intermediate".to_owned())
    }
}

/// A certificate of the trust directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// What it is trusted for.
    pub purpose: TrustPurpose,
    /// Subject, RFC 4514.
    pub subject: String,
    /// SHA-256 of its DER, hex.
    pub sha256: String,
    /// RFC 3339 UTC.
    pub not_before: String,
    /// RFC 3339 UTC.
    pub not_after: String,
    /// Days left; negative once it has ended.
    pub days_left: i64,
    /// The file it lies in.
    pub file: PathBuf,
    /// Which known certificate of the HPKI it is, Japanese then English.
    pub official: Option<[&'static str; 2]>,
}

impl Listed {
    fn new(purpose: TrustPurpose, certificate: &Certificate, file: PathBuf, now: OffsetDateTime) -> Self {
        let digest = hex::encode(sha256(certificate.der()));
        Self {
            purpose,
            subject: certificate.subject.to_string(),
            official: official(&digest).map(|known| known.name),
            sha256: digest,
            not_before: rfc3339(certificate.not_before),
            not_after: rfc3339(certificate.not_after),
            days_left: (certificate.not_after - now).whole_days(),
            file,
        }
    }
}

/// Why a certificate was not added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// The fingerprint differs: what was seen.
    #[error("the file's certificate has another SHA-256 than expected; nothing was added")]
    Mismatch(Box<Listed>),
    /// The expected fingerprint is none.
    #[error("--sha256 must be 64 hexadecimal digits, with or without colons")]
    Fingerprint,
    /// Not exactly one certificate.
    #[error("{0}: one certificate is expected, in DER or PEM: {1}")]
    NotOne(PathBuf, String),
    /// It is no certificate authority's.
    #[error("{} is not a CA's certificate; nothing was added", .0.subject)]
    NotCa(Box<Listed>),
    /// It has ended.
    #[error("{} ended {}; nothing was added", .0.subject, .0.not_after)]
    Ended(Box<Listed>),
    /// An anchor whose signature over itself does not hold.
    #[error("{} is not signed by its own key; nothing was added", .0.subject)]
    Forged(Box<Listed>),
    /// It is there already.
    #[error("{} is there already: {}", .0.subject, .0.file.display())]
    Present(Box<Listed>),
    /// It serves signers and would serve stamps, or the other way.
    #[error("{} is an anchor for another purpose already ({}); signers and time stamps share none", .0.subject, .0.file.display())]
    OtherPurpose(Box<Listed>),
    /// The directory cannot be used as it is.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// What the disk says.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
}

/// Every certificate of the directory, by purpose and file.
///
/// # Errors
/// [`TrustError`] naming the file that cannot be read or holds something else.
pub fn list(directory: &Path, now: OffsetDateTime) -> Result<Vec<Listed>, TrustError> {
    let mut listed = Vec::new();
    for purpose in TrustPurpose::ALL {
        for (path, bytes) in files(&directory.join(purpose.folder()))? {
            let malformed = |reason: String| TrustError::Malformed {
                path: path.clone(),
                reason,
            };
            let found = pem_or_der(&bytes, "CERTIFICATE").map_err(|error| malformed(error.to_string()))?;
            for der in found {
                let certificate = Certificate::parse(&der).map_err(|error| malformed(error.to_string()))?;
                listed.push(Listed::new(purpose, &certificate, path.clone(), now));
            }
        }
    }
    Ok(listed)
}

/// Adds the one certificate of `file`, if its SHA-256 is `expected`. The file is written whole or not at all.
///
/// # Errors
/// [`AddError`]; nothing was added.
pub fn add(
    directory: &Path,
    file: &Path,
    purpose: TrustPurpose,
    expected: &str,
    now: OffsetDateTime,
) -> Result<Listed, AddError> {
    let expected: String = expected
        .chars()
        .filter(|c| *c != ':' && !c.is_whitespace())
        .flat_map(char::to_lowercase)
        .collect();
    if expected.len() != 64 || !expected.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(AddError::Fingerprint);
    }
    let certificate = only_certificate(file)?;
    let mut seen = Listed::new(purpose, &certificate, file.to_owned(), now);
    if seen.sha256 != expected {
        return Err(AddError::Mismatch(Box::new(seen)));
    }
    if !certificate.is_ca() {
        return Err(AddError::NotCa(Box::new(seen)));
    }
    if certificate.not_after < now {
        return Err(AddError::Ended(Box::new(seen)));
    }
    if purpose != TrustPurpose::Intermediate
        && certificate.subject == certificate.issuer
        && certificate.verify_signature(&certificate.key).is_err()
    {
        return Err(AddError::Forged(Box::new(seen)));
    }
    for known in list(directory, now)?
        .into_iter()
        .filter(|known| known.sha256 == seen.sha256)
    {
        if known.purpose == purpose {
            return Err(AddError::Present(Box::new(known)));
        }
        if known.purpose != TrustPurpose::Intermediate && purpose != TrustPurpose::Intermediate {
            return Err(AddError::OtherPurpose(Box::new(known)));
        }
    }
    seen.file = write(directory, purpose, &certificate, &seen.sha256)?;
    Ok(seen)
}

fn only_certificate(file: &Path) -> Result<Certificate, AddError> {
    let io = |error| AddError::Io(file.to_owned(), error);
    let not_one = |what: String| AddError::NotOne(file.to_owned(), what);
    if fs::metadata(file).map_err(io)?.len() > MAX_FILE {
        return Err(not_one("the file is too large".into()));
    }
    let bytes = fs::read(file).map_err(io)?;
    let found = pem_or_der(&bytes, "CERTIFICATE").map_err(|error| not_one(error.to_string()))?;
    match found.as_slice() {
        [der] => Certificate::parse(der).map_err(|error| not_one(error.to_string())),
        several => Err(not_one(format!("it holds {}", several.len()))),
    }
}

/// First beside the folders, which are read whole, then moved in under a name nobody has.
fn write(
    directory: &Path,
    purpose: TrustPurpose,
    certificate: &Certificate,
    digest: &str,
) -> Result<PathBuf, AddError> {
    let folder = directory.join(purpose.folder());
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| AddError::Io(path, error)
    };
    fs::create_dir_all(&folder).map_err(at(&folder))?;
    let target = folder.join(format!("{digest}.pem"));
    let draft = directory.join(format!(".{digest}.new"));
    let pem = certificate_pem(certificate.der()).map_err(|error| at(&draft)(io::Error::other(error.to_string())))?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    // Anybody may read whom the relay trusts; its owner alone may change it.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o644);
    let written = options
        .open(&draft)
        .and_then(|mut file| file.write_all(pem.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(at(&draft))?;
    fs::rename(&draft, &target).map_err(at(&target))?;
    fs::File::open(&folder)
        .and_then(|folder| folder.sync_all())
        .map_err(at(&folder))?;
    Ok(target)
}
