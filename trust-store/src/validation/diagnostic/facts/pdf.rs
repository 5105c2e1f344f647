//! A PDF's signatures as a report keeps them: what was read from the file, not the file.

use formats::pdf::{Afterwards, PdfSignature, SecurityStore, SignatureKind, SignedPdf, Stored};
use serde::{Deserialize, Serialize};

use super::{Bytes, DigestsText};

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct PdfFacts {
    signatures: Vec<Facts>,
    certificates: Vec<Bytes>,
    crls: Vec<Bytes>,
    ocsp: Vec<Bytes>,
    places: Vec<Place>,
    sections: usize,
    unreadable: Option<String>,
}

/// Where an object of the security store ends in the file, by its SHA-256.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    sha256: Bytes,
    end: usize,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Facts {
    field: String,
    kind: SignatureKind,
    contents: Bytes,
    digests: DigestsText,
    revision_end: usize,
    contents_start: usize,
    claimed_time: Option<String>,
    certification: Option<i64>,
    locks_fields: bool,
    defects: Vec<String>,
    afterwards: Afterwards,
}

impl PdfFacts {
    pub(super) fn of(pdf: &SignedPdf) -> Self {
        // Every field by name: a new one does not compile until it is kept too.
        let SignedPdf {
            signatures,
            store:
                SecurityStore {
                    certificates,
                    crls,
                    ocsp,
                    places,
                },
            sections,
            unreadable,
        } = pdf;
        let bytes = |all: &Vec<Vec<u8>>| all.iter().map(|one| Bytes(one.as_slice().into())).collect();
        Self {
            signatures: signatures.iter().map(Facts::of).collect(),
            certificates: bytes(certificates),
            crls: bytes(crls),
            ocsp: bytes(ocsp),
            places: places
                .iter()
                .map(|Stored { sha256, end }| Place {
                    sha256: Bytes(sha256.as_slice().into()),
                    end: *end,
                })
                .collect(),
            sections: *sections,
            unreadable: unreadable.clone(),
        }
    }

    pub(super) fn pdf(&self) -> SignedPdf {
        let bytes = |all: &Vec<Bytes>| all.iter().map(|one| one.0.to_vec()).collect();
        SignedPdf {
            signatures: self.signatures.iter().map(Facts::signature).collect(),
            store: SecurityStore {
                certificates: bytes(&self.certificates),
                crls: bytes(&self.crls),
                ocsp: bytes(&self.ocsp),
                // A digest of another length is of nothing.
                places: self
                    .places
                    .iter()
                    .filter_map(|place| {
                        Some(Stored {
                            sha256: (*place.sha256.0).try_into().ok()?,
                            end: place.end,
                        })
                    })
                    .collect(),
            },
            sections: self.sections,
            unreadable: self.unreadable.clone(),
        }
    }
}

impl Facts {
    fn of(signature: &PdfSignature) -> Self {
        let PdfSignature {
            field,
            kind,
            contents,
            digests,
            revision_end,
            contents_start,
            claimed_time,
            certification,
            locks_fields,
            defects,
            afterwards,
        } = signature.clone();
        Self {
            field,
            kind,
            contents: Bytes(contents.into()),
            digests: DigestsText(digests),
            revision_end,
            contents_start,
            claimed_time,
            certification,
            locks_fields,
            defects,
            afterwards,
        }
    }

    fn signature(&self) -> PdfSignature {
        let Self {
            field,
            kind,
            contents,
            digests,
            revision_end,
            contents_start,
            claimed_time,
            certification,
            locks_fields,
            defects,
            afterwards,
        } = self.clone();
        PdfSignature {
            field,
            kind,
            contents: contents.0.to_vec(),
            digests: digests.0,
            revision_end,
            contents_start,
            claimed_time,
            certification,
            locks_fields,
            defects,
            afterwards,
        }
    }
}
