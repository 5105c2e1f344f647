//! The order of checks, from bytes to verdict: EN 319 102-1 §5, RFC 5280 §6, and the HPKI rules of `CONTRACTS.md` §3.

use formats::asice::Container;
use formats::digest::Digests;
use time::OffsetDateTime;

use crate::anchors::Anchors;
use crate::evidence::{Evidence, EvidenceQuery};
use crate::policy::Policy;
use crate::report::ValidationReport;

/// Anchors and policy: everything a verdict depends on beside its subject, its evidence and the time.
#[derive(Debug, Clone)]
pub struct TrustStore {
    /// Whom to trust.
    pub anchors: Anchors,
    /// What to demand.
    pub policy: Policy,
}

/// What is judged.
#[derive(Clone)]
pub enum Subject {
    /// A container as read.
    Container(Box<Container>),
    /// A bare `.p7s` with the digests of its detached content, if that was supplied.
    Signature {
        /// The signature file.
        bytes: Vec<u8>,
        /// Digests of the content under every algorithm.
        content: Option<Digests>,
    },
}

/// A validation happened (検証済み): its report, and what it was made from.
pub struct Validated {
    report: ValidationReport,
    evidence: Evidence,
    container_sha256: Option<[u8; 32]>,
}

/// A validation of a container that passed (検証合格). Only this crate makes one.
#[derive(Debug, Clone)]
pub struct Verified {
    report: ValidationReport,
    evidence: Evidence,
    container_sha256: [u8; 32],
    manifest_sha256: [u8; 32],
    signature_value_sha256: [u8; 32],
    evidence_sha256: [u8; 32],
    policy_sha256: [u8; 32],
}

impl TrustStore {
    /// What must still be fetched before a verdict is possible.
    #[must_use]
    pub fn missing(&self, subject: &Subject, evidence: &Evidence, now: OffsetDateTime) -> Vec<EvidenceQuery> {
        let _ = (subject, evidence, now);
        Vec::new()
    }

    /// Judges. Total: never fails, always reports.
    #[must_use]
    pub fn validate(&self, subject: Subject, evidence: Evidence, now: OffsetDateTime) -> Validated {
        let _ = (subject, evidence, now);
        todo!()
    }
}

impl Validated {
    /// The report.
    #[must_use]
    pub fn report(&self) -> &ValidationReport {
        &self.report
    }

    /// The evidence it was made from.
    #[must_use]
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// The proof that a container passed, or the report that says why not.
    ///
    /// # Errors
    /// The report, if the indication is not TOTAL-PASSED or the subject is not a container.
    pub fn into_verified(self) -> Result<Verified, Box<ValidationReport>> {
        todo!()
    }
}

impl Verified {
    /// The report.
    #[must_use]
    pub fn report(&self) -> &ValidationReport {
        &self.report
    }

    /// The evidence used.
    #[must_use]
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// SHA-256 of the container it speaks about.
    #[must_use]
    pub fn container_sha256(&self) -> &[u8; 32] {
        &self.container_sha256
    }

    /// SHA-256 of the first manifest.
    #[must_use]
    pub fn manifest_sha256(&self) -> &[u8; 32] {
        &self.manifest_sha256
    }

    /// SHA-256 of the first SignatureValue.
    #[must_use]
    pub fn signature_value_sha256(&self) -> &[u8; 32] {
        &self.signature_value_sha256
    }

    /// SHA-256 over the evidence used.
    #[must_use]
    pub fn evidence_sha256(&self) -> &[u8; 32] {
        &self.evidence_sha256
    }

    /// SHA-256 over policy and anchors.
    #[must_use]
    pub fn policy_sha256(&self) -> &[u8; 32] {
        &self.policy_sha256
    }
}
