//! What goes into an archive, and how long its newest stamp can be checked. Pure: who fetches evidence and asks for stamps is
//! the shell, in this order, for the first stamp as for a renewal:
//!
//! 1. gather what [`crate::TrustStore::missing`] names, then [`embed`] it into the signatures (the first time) or [`complete`]
//!    the newest stamp (a renewal);
//! 2. [`Archive::next_manifest`], a token over its bytes, [`Archive::stamp`];
//! 3. gather again, for the new stamp, and [`complete`] it;
//! 4. validate [`Archive::applied`] with no other evidence: only TOTAL-PASSED at B-LTA is an archive.

use std::collections::HashSet;

use der::Decode as _;
use der::asn1::AnyRef;
use formats::asice::Container;
use formats::asice::archive::{Archive, ArchiveError};
use formats::cades::{self, CadesError, Profile, SignedData};
use formats::timestamp::Token;

use crate::anchors::Anchors;
use crate::certificate::Certificate;
use crate::evidence::Evidence;
use crate::name::DistinguishedName;
use crate::revocation::crl::Crl;

/// Longest chain of issuers looked for among the intermediates.
const MAX_CHAIN: usize = 16;

/// Why evidence does not go into an archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmbedError {
    /// A signature file or token cannot be read, or would grow beyond its bounds.
    #[error(transparent)]
    Signature(#[from] CadesError),
    /// The archive does not fit the container.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// Puts evidence, and the intermediates of the trust directory that it needs, into every signature file; a time stamp among the
/// evidence goes to the signature it is of. What cannot be read is left out: it would prove nothing.
///
/// # Errors
/// [`EmbedError`]; the archive is then of no further use.
pub fn embed(
    archive: &mut Archive,
    container: &Container,
    anchors: &Anchors,
    evidence: &Evidence,
) -> Result<(), EmbedError> {
    let applied = archive.applied(container)?;
    for file in &applied.signatures {
        let bytes = embedded(&file.bytes, anchors, evidence)?;
        if *bytes != *file.bytes {
            archive.put(&file.name, bytes)?;
        }
    }
    Ok(())
}

/// One signature file with evidence as [`embed`] puts it in.
///
/// # Errors
/// [`CadesError`].
pub fn embedded(p7s: &[u8], anchors: &Anchors, evidence: &Evidence) -> Result<Vec<u8>, CadesError> {
    let signed = SignedData::parse(p7s, Profile::Document)?;
    let mut bytes = p7s.to_vec();
    for token in &evidence.tokens {
        let known = signed.signer.timestamps.contains(token);
        if !known && is_of(token, &signed.signer.signature) {
            bytes = cades::with_timestamp(&bytes, token)?;
        }
    }
    let pieces = Pieces::of(anchors, evidence, &carriers(&bytes)?);
    pieces.put_into(&bytes)
}

/// Puts into the newest archive token what is not in the archive yet. Returns whether anything was new.
///
/// # Errors
/// [`EmbedError`].
pub fn complete(
    archive: &mut Archive,
    container: &Container,
    anchors: &Anchors,
    evidence: &Evidence,
) -> Result<bool, EmbedError> {
    let Some((name, token)) = archive.newest_token(container)? else {
        return Ok(false);
    };
    let applied = archive.applied(container)?;
    let mut all = Vec::new();
    for file in &applied.signatures {
        all.extend(carriers(&file.bytes)?);
    }
    for file in &applied.tokens {
        // One that cannot be read carries nothing.
        all.extend(SignedData::parse(&file.bytes, Profile::Token));
    }
    let completed = with_what_is_new(&token, &all, anchors, evidence)?;
    let more = completed != token;
    if more {
        archive.put(&name, completed)?;
    }
    Ok(more)
}

/// The archive token `token` of the signature `p7s` with evidence that `p7s` does not carry.
///
/// # Errors
/// [`CadesError`].
pub fn completed(token: &[u8], p7s: &[u8], anchors: &Anchors, evidence: &Evidence) -> Result<Vec<u8>, CadesError> {
    let mut all = carriers(p7s)?;
    all.push(SignedData::parse(token, Profile::Token)?);
    with_what_is_new(token, &all, anchors, evidence)
}

fn with_what_is_new(
    token: &[u8],
    carriers: &[SignedData],
    anchors: &Anchors,
    evidence: &Evidence,
) -> Result<Vec<u8>, CadesError> {
    let mut pieces = Pieces::of(anchors, evidence, carriers);
    pieces.leave_out(carriers);
    pieces.put_into(token)
}

/// A signature and its stamps: everything in it that may carry evidence.
fn carriers(p7s: &[u8]) -> Result<Vec<SignedData>, CadesError> {
    let signed = SignedData::parse(p7s, Profile::Document)?;
    let stamps = signed.signer.timestamps.iter();
    let mut all: Vec<SignedData> = stamps
        .filter_map(|token| SignedData::parse(token, Profile::Token).ok())
        .collect();
    all.push(signed);
    Ok(all)
}

fn is_of(token: &[u8], signature_value: &[u8]) -> bool {
    Token::parse(token).is_ok_and(|token| token.info.is_of(signature_value))
}

/// Evidence that can be put into a SignedData.
struct Pieces {
    certificates: Vec<Vec<u8>>,
    crls: Vec<Vec<u8>>,
    ocsp: Vec<Vec<u8>>,
}

impl Pieces {
    fn of(anchors: &Anchors, evidence: &Evidence, carriers: &[SignedData]) -> Self {
        let supplied = evidence
            .certificates
            .iter()
            .filter_map(|der| Certificate::parse(der).ok());
        let supplied: Vec<Certificate> = supplied.collect();
        let carried = carriers.iter().flat_map(|carrier| &carrier.certificates);
        let carried = carried.filter_map(|der| Certificate::parse(der).ok());
        let mut wanted: HashSet<DistinguishedName> = carried.map(|one| one.issuer).collect();
        wanted.extend(supplied.iter().map(|one| one.issuer.clone()));
        let mut certificates = supplied;
        let mut left: Vec<Certificate> = anchors
            .intermediates
            .iter()
            .filter_map(|der| Certificate::parse(der).ok())
            .collect();
        for _ in 0..MAX_CHAIN {
            let (found, others): (Vec<_>, Vec<_>) = left
                .into_iter()
                .partition(|certificate| wanted.contains(&certificate.subject));
            left = others;
            if found.is_empty() {
                break;
            }
            wanted.extend(found.iter().map(|one| one.issuer.clone()));
            certificates.extend(found);
        }
        let readable = |der: &&Vec<u8>| der.first() == Some(&0x30) && AnyRef::from_der(der).is_ok();
        Self {
            certificates: certificates.iter().map(|one| one.der().to_vec()).collect(),
            crls: evidence
                .crls
                .iter()
                .filter(|der| Crl::parse(der).is_ok())
                .cloned()
                .collect(),
            ocsp: evidence.ocsp.iter().filter(readable).cloned().collect(),
        }
    }

    /// Without what is carried somewhere already.
    fn leave_out(&mut self, carriers: &[SignedData]) {
        let certificates: HashSet<&Vec<u8>> = carriers.iter().flat_map(|carrier| &carrier.certificates).collect();
        let crls: HashSet<&Vec<u8>> = carriers.iter().flat_map(|carrier| &carrier.crls).collect();
        self.certificates.retain(|der| !certificates.contains(der));
        self.crls.retain(|der| !crls.contains(der));
    }

    fn put_into(&self, cms: &[u8]) -> Result<Vec<u8>, CadesError> {
        cades::with_evidence(cms, &self.certificates, &self.crls, &self.ocsp)
    }
}
