//! Signature, supplied evidence and a time become a report. Pure: no file, no socket, no clock.
//!
//! [`TrustStore::missing`] says what must still be fetched; [`TrustStore::validate`] judges with what is there and always reports.
//! Same bytes, evidence, policy and `now` give the same report, years later. [`validation`] is the most important page.

// The input of this crate is an attacker's: nothing in it may panic outside its tests.
#![warn(clippy::indexing_slicing, clippy::panic, clippy::expect_used)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests read fixtures"))]

pub mod algorithm;
pub mod anchors;
pub mod archive;
pub mod certificate;
pub mod chain;
pub mod evidence;
pub mod name;
pub mod path;
pub mod policy;
pub mod report;
pub mod revocation;
pub mod role_policy;
mod tlv;
pub mod validation;

pub use anchors::{AnchorSet, Anchors, TrustAnchor};
pub use certificate::Certificate;
pub use evidence::{Evidence, EvidenceQuery};
pub use policy::Policy;
pub use report::{Indication, SubIndication, ValidationReport};
pub use validation::{JudgedToken, Subject, TokenRefusal, TrustStore, Validated, Verified};
