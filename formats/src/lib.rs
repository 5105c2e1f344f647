//! Bytes become types. The pure bottom of the house: no file, no socket, no clock.
//!
//! Everything here reads what an attacker may have written: lengths, counts and depths are bounded, nothing panics, and no
//! allocation follows a header's word.
//!
//! | module | what it reads and writes | standard |
//! |---|---|---|
//! | [`asice`] | the container | ETSI EN 319 162-1 |
//! | [`envelope`] | `submission.json` | this project's `CONTRACTS.md` §2 |
//! | [`cades`] | the signature | ETSI EN 319 122-1, RFC 5652 |
//! | [`timestamp`] | request, response, token | RFC 3161 |
//! | [`hc_role`] | the profession in a certificate | ISO 17090-2 |
//! | [`letter`] | FHIR, CDA and PDF letters, recognised and described | HL7 FHIR R4, HL7 CDA R2, ISO 32000 |
//! | [`pdf`] | signatures inside a PDF, and what was appended after them | ISO 32000, ETSI EN 319 142-1 |
//! | [`dicom`] | image headers, the study tree | DICOM PS3.5, PS3.10 |
//! | [`content`] | what a file really is: executables, scripts, macros | |
//! | [`trail`] | audit record, commitment, tree, checkpoint, proof | RFC 8785, C2SP tlog-tiles |
//! | [`wire`] | the words relay and client share | `CONTRACTS.md` §7–8 |
//! | [`digest`], [`oid`] | hash functions by name; object identifiers | FIPS 180-4 |

// The input of this crate is an attacker's: nothing in it may panic outside its tests.
#![warn(clippy::indexing_slicing, clippy::panic, clippy::expect_used)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests read fixtures"))]

pub mod asice;
pub mod cades;
pub mod content;
pub mod dicom;
pub mod digest;
pub mod envelope;
pub mod hc_role;
pub mod letter;
pub mod oid;
pub mod pdf;
#[cfg(test)]
#[allow(
    unreachable_pub,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the file is the kit's"
)]
#[path = "../../tests/kit/pdf.rs"]
mod pdf_by_hand;
#[cfg(test)]
#[allow(unreachable_pub, clippy::panic, reason = "the file is the kit's")]
#[path = "../../tests/kit/skip.rs"]
mod skip;
pub mod timestamp;
mod tlv;
pub mod trail;
pub mod wire;
