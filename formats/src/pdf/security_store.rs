//! The document security store, ISO 32000-2 §12.8.4.3: certificates, CRLs and OCSP responses somebody added to the file.
//! Where they came from gives them no trust.

use std::collections::BTreeSet;

use super::PdfError;
use super::document::View;
use super::object::{Dictionary, Object, Reference};
use crate::digest::sha256;

/// Most streams of one kind.
const MAX_STREAMS: usize = 1_000;
/// Bytes of all of them.
const MAX_BYTES: usize = 20 * 1024 * 1024;

/// What `/DSS` holds, DER as it stands there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecurityStore {
    /// `/Certs`
    pub certificates: Vec<Vec<u8>>,
    /// `/CRLs`
    pub crls: Vec<Vec<u8>>,
    /// `/OCSPs`
    pub ocsp: Vec<Vec<u8>>,
    /// Where each of these stands.
    pub places: Vec<Stored>,
}

/// One object of the store: a document time stamp that comes after it proves that it existed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// SHA-256 of its DER as it stands there.
    pub sha256: [u8; 32],
    /// Where its stream ends in the file.
    pub end: usize,
}

impl SecurityStore {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty() && self.crls.is_empty() && self.ocsp.is_empty()
    }
}

/// The store of a revision, its VRI dictionaries included.
pub(super) fn read(view: &View<'_, '_>) -> Result<SecurityStore, PdfError> {
    let store = view.get(&view.catalog()?, "DSS")?;
    let Some(store) = store.dictionary() else {
        return Ok(SecurityStore::default());
    };
    let mut dictionaries = Vec::new();
    if let Some(all) = view.get(store, "VRI")?.dictionary() {
        for (_, one) in all.iter().take(MAX_STREAMS) {
            dictionaries.extend(view.follow(one)?.dictionary().cloned());
        }
    }
    let mut room = MAX_BYTES;
    let mut places = Vec::new();
    let mut gather = |whole: &str, each: &str| -> Result<Vec<Vec<u8>>, PdfError> {
        let mut references = references(view, store, whole)?;
        for one in &dictionaries {
            references.extend(self::references(view, one, each)?);
        }
        let mut seen = BTreeSet::new();
        references.retain(|reference| seen.insert(*reference));
        if references.len() > MAX_STREAMS {
            return Err(PdfError::TooMuch("its security store holds more than is read"));
        }
        let mut found = Vec::new();
        for reference in references {
            if let Some((_, bytes, end)) = view.stream_and_end(reference, room)? {
                places.push(Stored {
                    sha256: sha256(&bytes),
                    end,
                });
                room = room.saturating_sub(bytes.len());
                found.push(bytes);
            }
        }
        Ok(found)
    };
    let (certificates, crls, ocsp) = (
        gather("Certs", "Cert")?,
        gather("CRLs", "CRL")?,
        gather("OCSPs", "OCSP")?,
    );
    Ok(SecurityStore {
        certificates,
        crls,
        ocsp,
        places,
    })
}

fn references(view: &View<'_, '_>, dictionary: &Dictionary, key: &str) -> Result<Vec<Reference>, PdfError> {
    let array = view.get(dictionary, key)?;
    Ok(array
        .array()
        .unwrap_or_default()
        .iter()
        .filter_map(Object::reference)
        .collect())
}
