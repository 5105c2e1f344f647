//! From judgements to the report, and the sealed proof that a container passed.

use formats::digest::{DigestAlgorithm, sha256};
use time::OffsetDateTime;

use super::ledger::{Ledger, Row};
use super::signature::Judged;
use super::{Extent, Snapshot, Subject, TrustStore, container};
use crate::evidence::Evidence;
use crate::report::{Diagnostic, Indication, SignatureReport, ValidationReport, rfc3339};

/// A validation happened (検証済み): its report, and what it was made from.
pub struct Validated {
    report: ValidationReport,
    evidence: Evidence,
    seal: Option<Seal>,
    may_pass_later: bool,
}

/// A validation of a container that passed (検証合格). Only this crate makes one.
#[derive(Debug, Clone)]
pub struct Verified {
    report: ValidationReport,
    evidence: Evidence,
    seal: Seal,
}

/// What a verdict speaks about.
#[derive(Debug, Clone)]
struct Seal {
    container_sha256: [u8; 32],
    manifest_sha256: [u8; 32],
    signature_value_sha256: [u8; 32],
    evidence_sha256: [u8; 32],
    policy_sha256: [u8; 32],
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

    /// Whether it does not pass, and evidence that may still come is all that is in its way: every signature passes or is
    /// TRY_LATER. The report's own sub-indication tells of the deciding signature alone, and another may have failed for good.
    #[must_use]
    pub fn may_pass_later(&self) -> bool {
        self.may_pass_later
    }

    pub(super) fn into_report(self) -> ValidationReport {
        self.report
    }

    /// The proof that a container passed, or the report that says why not.
    ///
    /// # Errors
    /// The report, if the indication is not TOTAL-PASSED or the subject is not a container.
    pub fn into_verified(self) -> Result<Verified, Box<ValidationReport>> {
        match self.seal {
            Some(seal) if self.report.passed() => Ok(Verified {
                report: self.report,
                evidence: self.evidence,
                seal,
            }),
            _ => Err(Box::new(self.report)),
        }
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
        &self.seal.container_sha256
    }

    /// SHA-256 of the first manifest.
    #[must_use]
    pub fn manifest_sha256(&self) -> &[u8; 32] {
        &self.seal.manifest_sha256
    }

    /// SHA-256 of the first SignatureValue.
    #[must_use]
    pub fn signature_value_sha256(&self) -> &[u8; 32] {
        &self.seal.signature_value_sha256
    }

    /// SHA-256 over the evidence used.
    #[must_use]
    pub fn evidence_sha256(&self) -> &[u8; 32] {
        &self.seal.evidence_sha256
    }

    /// SHA-256 over policy and anchors.
    #[must_use]
    pub fn policy_sha256(&self) -> &[u8; 32] {
        &self.seal.policy_sha256
    }
}

impl TrustStore {
    /// SHA-256 over policy and anchors: equal for stores that judge alike.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest_with(&self.policy.to_toml())
    }

    /// As [`Self::digest`], with the policy as written already.
    fn digest_with(&self, policy: &str) -> [u8; 32] {
        let mut bytes = sha256(policy.as_bytes()).to_vec();
        for (_, set) in self.anchors.sets() {
            let mut anchors: Vec<[u8; 32]> = set.0.iter().map(|anchor| sha256(&anchor.der)).collect();
            anchors.sort_unstable();
            anchors.dedup();
            bytes.extend_from_slice(&sha256(&anchors.concat()));
        }
        sha256(&bytes)
    }
}

/// The report over all signatures. The first that does not pass decides, else the first.
pub(super) fn sum_up(
    store: &TrustStore,
    subject: &Subject,
    extent: Extent,
    evidence: Evidence,
    now: OffsetDateTime,
    mut judged: Vec<Judged>,
) -> Validated {
    let container = match subject {
        Subject::Container(container) => Some(container),
        Subject::Signature { .. } | Subject::Pdf(_) => None,
    };
    let policy = store.policy.to_toml();
    let (evidence_sha256, policy_sha256) = (evidence.digest(), store.digest_with(&policy));
    let seal = container.and_then(|container| {
        let first = judged.first()?;
        let manifest = container
            .manifests
            .iter()
            .find(|manifest| manifest.signature == first.name)?;
        Some(Seal {
            container_sha256: container.sha256,
            manifest_sha256: manifest.digests.get(DigestAlgorithm::Sha256)?.try_into().ok()?,
            signature_value_sha256: sha256(first.signature_value.as_ref()?),
            evidence_sha256,
            policy_sha256,
        })
    });
    let signatures: Vec<SignatureReport> = if judged.len() > 1 {
        judged.iter().cloned().map(one).collect()
    } else {
        Vec::new()
    };
    let may_pass_later = may_pass_later(&judged);
    let deciding = judged.iter().position(|one| one.ledger.row().is_some()).unwrap_or(0);
    let deciding = if judged.is_empty() {
        Judged::without_signature(Ledger::default())
    } else {
        judged.swap_remove(deciding)
    };
    let diagnostic = Diagnostic {
        decided_by: deciding.ledger.decided_by().map(str::to_owned),
        at: rfc3339(now),
        evidence_sha256: hex::encode(evidence_sha256),
        policy_sha256: hex::encode(policy_sha256),
        replay: Some(Box::new(Snapshot::of(store, policy, subject, extent, &evidence))),
    };
    let deciding = one(deciding);
    let report = ValidationReport {
        version: 1,
        indication: deciding.indication,
        sub_indication: deciding.sub_indication,
        level: deciding.level,
        best_signature_time: deciding.best_signature_time,
        signer: deciding.signer,
        files: container
            .map(|container| container::file_verdicts(container))
            .unwrap_or_default(),
        files_left_out: 0,
        timestamps: deciding.timestamps,
        checks: deciding.checks,
        signatures,
        embedded_signatures: Vec::new(),
        // Of what is still arriving nobody knows it yet.
        container_sha256: container
            .filter(|_| extent == Extent::Whole)
            .map(|container| hex::encode(container.sha256)),
        diagnostic,
    };
    Validated {
        report,
        evidence,
        seal,
        may_pass_later,
    }
}

fn may_pass_later(judged: &[Judged]) -> bool {
    let rows = || judged.iter().map(|one| one.ledger.row());
    rows().any(|row| row.is_some()) && rows().all(|row| matches!(row, None | Some(Row::TryLater)))
}

fn one(judged: Judged) -> SignatureReport {
    let row = judged.ledger.row();
    SignatureReport {
        name: judged.name,
        indication: row.map_or(Indication::TotalPassed, Row::indication),
        sub_indication: row.map(Row::sub_indication),
        level: judged.level.map(|level| level.name().to_owned()),
        best_signature_time: judged.best_signature_time.map(rfc3339),
        signer: judged.signer,
        timestamps: judged.timestamps,
        checks: judged.ledger.into_checks(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_signature_that_failed_for_good_leaves_nothing_to_wait_for() {
        let of = |row: Option<Row>| {
            let mut ledger = Ledger::default();
            if let Some(row) = row {
                ledger.fail("check", row, "why");
            }
            Judged::without_signature(ledger)
        };
        let later = |rows: &[Option<Row>]| may_pass_later(&rows.iter().copied().map(of).collect::<Vec<_>>());
        let try_later = Some(Row::TryLater);
        assert!(later(&[try_later]) && later(&[None, try_later]) && later(&[try_later, None]));
        assert!(!later(&[None]) && !later(&[]));
        for row in [Row::HashFailure, Row::Revoked, Row::ChainConstraintsFailure] {
            assert!(!later(&[try_later, Some(row)]) && !later(&[Some(row), try_later]));
        }
    }
}
