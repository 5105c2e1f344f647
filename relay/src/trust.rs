//! The trust directory, `CONTRACTS.md` §3: anchors, intermediates, `policy.toml`.

mod current;
mod official;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use trust_store::anchors::pem_or_der;
use trust_store::{AnchorSet, Anchors, Policy, TrustAnchor, TrustStore};

pub use current::{CurrentTrust, record, summary};
pub use official::{Official, official};

/// Why the trust directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A file or folder cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{path}: {reason}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Reads a trust directory. Folders that are not there are empty: readiness tells, not this.
///
/// # Errors
/// [`TrustError`] naming the file.
pub fn open(directory: &Path) -> Result<TrustStore, TrustError> {
    let anchors = |folder: &str| {
        let mut set = AnchorSet::default();
        for (path, bytes) in files(&directory.join(folder))? {
            let parsed = TrustAnchor::parse(&bytes).map_err(|error| malformed(path, &error))?;
            set.0.extend(parsed);
        }
        Ok(set)
    };
    let mut intermediates = Vec::new();
    for (path, bytes) in files(&directory.join("intermediates"))? {
        intermediates.extend(pem_or_der(&bytes, "CERTIFICATE").map_err(|error| malformed(path, &error))?);
    }
    let path = directory.join("policy.toml");
    let policy = match fs::read_to_string(&path) {
        Ok(text) => Policy::from_toml(&text).map_err(|error| malformed(path, &error))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Policy::default(),
        Err(source) => return Err(TrustError::Read { path, source }),
    };
    Ok(TrustStore {
        anchors: Anchors {
            hpki: anchors("hpki")?,
            accredited: anchors("accredited")?,
            jpki: anchors("jpki")?,
            tsa: anchors("tsa")?,
            intermediates,
        },
        policy,
    })
}

/// Files of a folder in the order of their names, so that the same directory always gives the same store.
pub(crate) fn files(folder: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>, TrustError> {
    let unreadable = |source| TrustError::Read {
        path: folder.into(),
        source,
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        if path.is_file() {
            let bytes = fs::read(&path).map_err(unreadable)?;
            found.push((path, bytes));
        }
    }
    found.sort();
    Ok(found)
}

fn malformed(path: PathBuf, error: &dyn std::fmt::Display) -> TrustError {
    TrustError::Malformed {
        path,
        reason: error.to_string(),
    }
}
