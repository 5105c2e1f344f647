//! Everything a path or a status may be made from, read once: certificates and CRLs of the signatures, their stamps, the evidence
//! and the trust directory. Where a piece came from gives it no trust.

use formats::cades::SignedData;
use formats::timestamp::Token;

use super::ledger::Ledger;
use crate::anchors::Anchors;
use crate::certificate::Certificate;
use crate::evidence::Evidence;
use crate::path::CertificatePool;
use crate::revocation::CrlPool;

/// Certificates and CRLs at hand.
pub(super) struct Material {
    pub(super) certificates: CertificatePool,
    pub(super) crls: CrlPool,
}

impl Material {
    /// What the signatures carry first, then what was supplied.
    pub(super) fn gather(signatures: &[&SignedData], anchors: &Anchors, evidence: &Evidence) -> Self {
        let stamps = signatures
            .iter()
            .flat_map(|signature| &signature.signer.timestamps)
            .chain(&evidence.tokens);
        let tokens: Vec<SignedData> = stamps
            .filter_map(|bytes| Token::parse(bytes).ok())
            .map(|token| token.signed_data)
            .collect();
        let carriers = || signatures.iter().copied().chain(&tokens);
        let mut certificates = CertificatePool::default();
        let all = carriers()
            .flat_map(|carrier| &carrier.certificates)
            .chain(&evidence.certificates)
            .chain(&anchors.intermediates);
        for der in all {
            if let Ok(certificate) = Certificate::parse(der) {
                certificates.add(certificate);
            }
        }
        // An anchor may sign itself what it vouches for.
        for anchor in anchors.hpki.0.iter().chain(&anchors.tsa.0) {
            certificates.add(anchor.certificate.clone());
        }
        let mut lists: Vec<&Vec<u8>> = evidence
            .crls
            .iter()
            .chain(carriers().flat_map(|carrier| &carrier.crls))
            .collect();
        lists.sort_unstable();
        lists.dedup();
        Self {
            certificates,
            crls: CrlPool::from_der(lists),
        }
    }
}

/// What was supplied and cannot be used.
pub(super) fn left_aside(evidence: &Evidence) -> Ledger {
    let mut ledger = Ledger::default();
    for name in &evidence.unreadable {
        ledger.warn(
            "evidence",
            format!("{name} is neither certificate, CRL, OCSP response nor token."),
        );
    }
    if !evidence.ocsp.is_empty() {
        ledger.warn(
            "evidence",
            "OCSP responses are set aside: this version judges revocation by CRL alone.",
        );
    }
    ledger
}
