//! Everything a path or a status may be made from, read once: certificates, CRLs and OCSP responses of the signatures, their stamps, the evidence
//! and the trust directory. Where a piece came from gives it no trust.

use std::borrow::Cow;
use std::collections::HashSet;

use formats::cades::SignedData;
use formats::timestamp::{TimestampError, Token};

use super::ledger::{Ledger, Row};
use crate::anchors::Anchors;
use crate::certificate::Certificate;
use crate::evidence::Evidence;
use crate::path::CertificatePool;
use crate::revocation::crl::Crl;
use crate::revocation::ocsp::OcspResponse;
use crate::revocation::{CrlPool, OcspPool};

/// Certificates, CRLs and OCSP responses at hand.
pub(super) struct Material {
    pub(super) certificates: CertificatePool,
    pub(super) crls: CrlPool,
    pub(super) ocsp: OcspPool,
    /// What is wrong with them as a whole.
    pub(super) complaints: Ledger,
    /// Some of it could not be read, or was not.
    left_out: bool,
    /// The tokens with their bytes, [`MAX_TOKENS`] at most.
    tokens: Vec<(Vec<u8>, Token)>,
}

/// Tokens kept as read. There are two or three; more are read again where they are judged.
const MAX_TOKENS: usize = 16;

impl Material {
    /// What the trust directory and the evidence supply first, so that nothing a sender chose keeps it out; then what the signatures
    /// and the tokens beside them carry. `asking`: without the CRLs and OCSP responses they carry.
    pub(super) fn gather(signatures: &[&SignedData], anchors: &Anchors, evidence: &Evidence, asking: bool) -> Self {
        let stamps = signatures
            .iter()
            .flat_map(|signature| {
                let archived = signature.signer.archive_stamps.iter().map(|stamp| &stamp.token);
                signature.signer.timestamps.iter().chain(archived)
            })
            .chain(&evidence.tokens);
        let tokens: Vec<(&Vec<u8>, Token)> = stamps
            .filter_map(|bytes| Some((bytes, Token::parse(bytes).ok()?)))
            .collect();
        let carriers = || {
            let inside = tokens.iter().map(|(_, token)| &token.signed_data);
            signatures.iter().copied().chain(inside)
        };
        let mut left_out = false;
        let mut certificates = CertificatePool::default();
        // An anchor may sign itself what it vouches for.
        for anchor in anchors.sets().into_iter().flat_map(|(_, set)| &set.0) {
            certificates.add(anchor.certificate.clone());
        }
        let carried =
            carriers().flat_map(|carrier| carrier.certificates.iter().chain(&carrier.signer.values.certificates));
        for der in anchors
            .intermediates
            .iter()
            .chain(&evidence.certificates)
            .chain(carried)
        {
            match Certificate::parse(der) {
                Ok(certificate) => certificates.add(certificate),
                Err(_) => left_out = true,
            }
        }
        // What was supplied comes first: lists made to fill the pool never push out the one that revokes.
        let mut seen = HashSet::new();
        let carried = carriers()
            .filter(|_| !asking)
            .flat_map(|carrier| carrier.crls.iter().chain(&carrier.signer.values.crls));
        let lists = evidence.crls.iter().chain(carried);
        let lists: Vec<&Vec<u8>> = lists.filter(|list| seen.insert(*list)).collect();
        let mut complaints = Ledger::default();
        if certificates.is_crowded() {
            let detail = format!(
                "More than {} certificates: who signed what revokes is not known.",
                CertificatePool::MAX
            );
            complaints.fail("evidence", Row::FormatFailure, detail);
        }
        if lists.len() > CrlPool::MAX {
            let detail = format!("More than {} CRLs: what the others revoke is not known.", CrlPool::MAX);
            complaints.fail("evidence", Row::FormatFailure, detail);
        }
        let mut seen = HashSet::new();
        let carried = carriers()
            .filter(|_| !asking)
            .flat_map(|carrier| carrier.ocsp.iter().chain(&carrier.signer.values.ocsp));
        let responses = evidence.ocsp.iter().chain(carried);
        let responses: Vec<&Vec<u8>> = responses.filter(|response| seen.insert(*response)).collect();
        if responses.len() > OcspPool::MAX {
            let detail = format!(
                "More than {} OCSP responses: what the others revoke is not known.",
                OcspPool::MAX
            );
            complaints.fail("evidence", Row::FormatFailure, detail);
        }
        let (crls, ocsp) = (CrlPool::from_der(lists), OcspPool::from_der(responses));
        Self {
            certificates,
            left_out: left_out || crls.left_out() || ocsp.left_out(),
            crls,
            ocsp,
            complaints,
            tokens: tokens
                .into_iter()
                .take(MAX_TOKENS)
                .map(|(bytes, token)| (bytes.clone(), token))
                .collect(),
        }
    }

    /// What is spent on signatures here counts with what is spent there.
    pub(super) fn spend_with(mut self, other: &Self) -> Self {
        self.crls.spend_with(&other.crls);
        self.ocsp.spend_with(&other.ocsp);
        self
    }

    /// Reads a token, unless that was done already.
    pub(super) fn token(&self, bytes: &[u8]) -> Result<Cow<'_, Token>, TimestampError> {
        match self.tokens.iter().find(|(known, _)| known == bytes) {
            Some((_, token)) => Ok(Cow::Borrowed(token)),
            None => Token::parse(bytes).map(Cow::Owned),
        }
    }
}

/// What one signature and its stamps carry and cannot be used. `material`: gathered from it, among others.
pub(super) fn unreadable(signed: &SignedData, material: &Material, ledger: &mut Ledger) {
    if !material.left_out {
        return;
    }
    let tokens: Vec<Token> = signed
        .signer
        .timestamps
        .iter()
        .filter_map(|bytes| Token::parse(bytes).ok())
        .collect();
    let carriers = || std::iter::once(signed).chain(tokens.iter().map(|token| &token.signed_data));
    let certificates = carriers().flat_map(|carrier| &carrier.certificates);
    let crls = carriers().flat_map(|carrier| &carrier.crls);
    let responses = carriers().flat_map(|carrier| &carrier.ocsp);
    let counts = [
        (
            "certificates",
            certificates.filter(|der| Certificate::parse(der).is_err()).count(),
        ),
        ("CRLs", crls.filter(|der| Crl::parse(der).is_err()).count()),
        (
            "OCSP responses",
            responses.filter(|der| OcspResponse::parse(der).is_err()).count(),
        ),
    ];
    for (what, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        let detail = format!("{count} {what} inside the signature cannot be read and are set aside.");
        ledger.warn("evidence", detail);
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
    let unreadable = evidence
        .ocsp
        .iter()
        .filter(|der| OcspResponse::parse(der).is_err())
        .count();
    if unreadable > 0 {
        ledger.warn(
            "evidence",
            format!("{unreadable} OCSP responses cannot be read and are set aside."),
        );
    }
    ledger
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use formats::cades::{Signer, SignerIdentifier};
    use formats::digest::DigestAlgorithm;

    pub(in crate::validation) fn carrying(certificates: Vec<Vec<u8>>, crls: Vec<Vec<u8>>) -> SignedData {
        let digest_algorithm = DigestAlgorithm::Sha256;
        let id_data = const_oid::db::rfc5911::ID_DATA;
        SignedData {
            content_type: id_data,
            content: None,
            certificates,
            crls,
            ocsp: Vec::new(),
            signer: Signer {
                identifier: SignerIdentifier::SubjectKeyIdentifier(Vec::new()),
                digest_algorithm,
                signature_algorithm: spki::AlgorithmIdentifierOwned {
                    oid: const_oid::db::rfc5912::ECDSA_WITH_SHA_256,
                    parameters: None,
                },
                signed_attributes: Vec::new(),
                attribute_content_type: id_data,
                message_digest: Vec::new(),
                signing_certificate: None,
                signing_time: None,
                signature: Vec::new(),
                timestamps: Vec::new(),
                archive_stamps: Vec::new(),
                values: formats::cades::ValidationValues::default(),
                other_unsigned_attributes: Vec::new(),
            },
        }
    }

    #[test]
    fn what_a_signature_carries_and_cannot_be_read_is_a_warning() {
        let told = |signed: &SignedData| {
            let material = Material::gather(&[signed], &Anchors::default(), &Evidence::default(), false);
            let mut ledger = Ledger::default();
            unreadable(signed, &material, &mut ledger);
            ledger
        };
        let ledger = told(&carrying(vec![vec![0x30, 0]], vec![vec![0x30, 0], vec![0x30, 1, 5]]));
        assert_eq!(ledger.row(), None);
        let details: Vec<String> = ledger.into_checks().into_iter().map(|check| check.detail).collect();
        assert_eq!(details.len(), 2);
        assert!(details[0].starts_with("1 certificates inside") && details[1].starts_with("2 CRLs inside"));
        assert!(told(&carrying(Vec::new(), Vec::new())).into_checks().is_empty());
    }

    #[test]
    fn more_lists_than_are_read_refuse_and_the_supplied_ones_are_read_first() {
        let junk = |count: usize| (0..count).map(|one| one.to_be_bytes().to_vec()).collect::<Vec<_>>();
        let anchors = Anchors::default();
        let signature = carrying(Vec::new(), junk(CrlPool::MAX));
        let gathered = |evidence: &Evidence| {
            Material::gather(&[&signature], &anchors, evidence, false)
                .complaints
                .row()
        };
        assert_eq!(gathered(&Evidence::default()), None);
        let mut evidence = Evidence::default();
        evidence.crls.push(vec![0x30, 0]);
        assert_eq!(gathered(&evidence), Some(Row::FormatFailure));
    }
}
