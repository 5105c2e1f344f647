//! Certification paths (認証パス): the bounded search for one; `rules` judges each found, after RFC 5280 §6.1.
//!
//! AKI and SKI only order the candidates. Every path of sound signatures and matching names is judged until one is valid, so a
//! bad candidate never hides a good one; depth, steps and signature verifications are bounded.

pub(crate) mod general_name;
mod name_constraints;
mod policy_graph;
mod rules;

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use const_oid::ObjectIdentifier;
use formats::digest::sha256;
use time::OffsetDateTime;

use crate::algorithm::{Accepted, AlgorithmError};
use crate::anchors::{AnchorSet, TrustAnchor};
use crate::certificate::Certificate;
use crate::name::DistinguishedName;

/// Certificates between leaf and anchor, leaf included.
const MAX_DEPTH: usize = 16;
/// Valid paths that [`build_all`] gives.
pub const MAX_PATHS: usize = 8;
/// Certificates looked at as next link, over the whole search.
const MAX_STEPS: usize = 4_096;
/// Signatures verified, over the whole search. Each pair of certificates counts once.
const MAX_VERIFICATIONS: usize = 2_048;
/// Signatures verified over all searches in one pool: a validation searches for every signature, stamp and signer of CRLs.
const MAX_VERIFICATIONS_OF_ALL: usize = 8_192;

/// The inputs of RFC 5280 §6.1.1 beside path, time and anchor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathInputs {
    /// user-initial-policy-set; empty stands for anyPolicy.
    pub policies: Vec<ObjectIdentifier>,
    /// initial-explicit-policy
    pub explicit_policy: bool,
    /// initial-policy-mapping-inhibit
    pub policy_mapping_inhibit: bool,
    /// initial-any-policy-inhibit
    pub any_policy_inhibit: bool,
    /// Leave the validity of the leaf to the caller, who has a better word for it.
    pub leaf_validity_ignored: bool,
    /// Which signatures may link certificates.
    pub accepted: Accepted,
}

/// A valid path.
#[derive(Debug, Clone, PartialEq)]
pub struct CertificationPath {
    /// Where it ends.
    pub anchor: TrustAnchor,
    /// Certificates below the anchor: the anchor's own child first, the leaf last. Empty if the leaf is the anchor.
    pub certificates: Vec<Certificate>,
    /// user-constrained-policy-set; `policy_graph` says how it is found. May hold anyPolicy.
    pub policies: Vec<ObjectIdentifier>,
    /// What was accepted although the profile forbids it.
    pub warnings: Vec<String>,
}

impl CertificationPath {
    /// The issuer of the certificate at `index` of [`Self::certificates`].
    #[must_use]
    pub fn issuer_of(&self, index: usize) -> &Certificate {
        index
            .checked_sub(1)
            .and_then(|above| self.certificates.get(above))
            .unwrap_or(&self.anchor.certificate)
    }
}

/// Why there is no valid path: of all failures met, the one that came furthest, unless the search did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathFailure {
    /// No path of sound signatures and matching names to an anchor: NO_CERTIFICATE_CHAIN_FOUND.
    #[error("{0}")]
    NoChain(String),
    /// None was found within the bounds of the search: there may be one. NO_CERTIFICATE_CHAIN_FOUND.
    #[error("the search for a path was given up at its bound")]
    GivenUp,
    /// A link is signed by an algorithm or key that is not accepted: CRYPTO_CONSTRAINTS_FAILURE.
    #[error("{0}")]
    Algorithm(String),
    /// RFC 5280 §6 refuses the path: CHAIN_CONSTRAINTS_FAILURE.
    #[error("{0}")]
    Constraints(String),
    /// A CA or the anchor is outside its validity: CHAIN_CONSTRAINTS_FAILURE, unless the leaf is too.
    #[error("{0}")]
    OutOfTime(String),
    /// All is well but that the leaf's validity has ended.
    #[error("the certificate expired at {0}")]
    LeafExpired(OffsetDateTime),
    /// All is well but that the leaf's validity has not begun.
    #[error("the certificate is not valid before {0}")]
    LeafNotYetValid(OffsetDateTime),
}

impl PathFailure {
    fn progress(&self) -> u8 {
        match self {
            Self::NoChain(_) | Self::GivenUp => 0,
            Self::Algorithm(_) => 1,
            Self::Constraints(_) | Self::OutOfTime(_) => 2,
            Self::LeafExpired(_) | Self::LeafNotYetValid(_) => 3,
        }
    }
}

/// Certificates that may be links, trusted for nothing. Put the likelier first: of equal candidates the first is tried first.
#[derive(Debug, Clone, Default)]
pub struct CertificatePool {
    certificates: Vec<Certificate>,
    /// SHA-256 of each.
    known: HashSet<[u8; 32]>,
    by_subject: HashMap<DistinguishedName, Vec<usize>>,
    /// Signatures verified in all searches so far.
    verified: Cell<usize>,
    /// Some were not taken.
    crowded: bool,
}

impl CertificatePool {
    /// More certificates than this are not taken.
    pub const MAX: usize = 10_000;

    /// Reads certificates; those that do not parse are left out.
    #[must_use]
    pub fn from_der<'a>(certificates: impl IntoIterator<Item = &'a Vec<u8>>) -> Self {
        let mut pool = Self::default();
        for bytes in certificates {
            if let Ok(certificate) = Certificate::parse(bytes) {
                pool.add(certificate);
            }
        }
        pool
    }

    /// Adds one, unless it is there.
    pub fn add(&mut self, certificate: Certificate) {
        // Compared by digest: thousands may have one subject.
        let digest = sha256(certificate.der());
        if self.certificates.len() >= Self::MAX {
            self.crowded |= !self.known.contains(&digest);
        } else if self.known.insert(digest) {
            let same = self.by_subject.entry(certificate.subject.clone()).or_default();
            same.push(self.certificates.len());
            self.certificates.push(certificate);
        }
    }

    /// Whether there were more than are taken.
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowded
    }

    /// All of them.
    #[must_use]
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// Those with this subject.
    pub fn with_subject(&self, subject: &DistinguishedName) -> impl Iterator<Item = &Certificate> {
        let indices = self.by_subject.get(subject).map(Vec::as_slice).unwrap_or_default();
        indices.iter().filter_map(|index| self.certificates.get(*index))
    }
}

/// Finds a valid path from `leaf` to one of `anchors` at the time `at`.
///
/// An anchor's own statements bind too (RFC 5937): its validity, and where present basicConstraints, keyUsage and nameConstraints.
/// A leaf that is itself an anchor is valid.
///
/// # Errors
/// [`PathFailure`]
pub fn build(
    leaf: &Certificate,
    anchors: &AnchorSet,
    pool: &CertificatePool,
    inputs: &PathInputs,
    at: OffsetDateTime,
) -> Result<CertificationPath, PathFailure> {
    let (mut paths, failure) = search(leaf, anchors, pool, inputs, at, 1);
    paths.pop().ok_or(failure)
}

/// As [`build`], but up to [`MAX_PATHS`] valid paths, likelier first: where revocation speaks against one, another may stand.
///
/// # Errors
/// [`PathFailure`], if there is none.
pub fn build_all(
    leaf: &Certificate,
    anchors: &AnchorSet,
    pool: &CertificatePool,
    inputs: &PathInputs,
    at: OffsetDateTime,
) -> Result<Vec<CertificationPath>, PathFailure> {
    let (paths, failure) = search(leaf, anchors, pool, inputs, at, MAX_PATHS);
    if paths.is_empty() { Err(failure) } else { Ok(paths) }
}

fn search(
    leaf: &Certificate,
    anchors: &AnchorSet,
    pool: &CertificatePool,
    inputs: &PathInputs,
    at: OffsetDateTime,
    wanted: usize,
) -> (Vec<CertificationPath>, PathFailure) {
    let failure = || {
        let issuer = &leaf.issuer;
        PathFailure::NoChain(format!("no certificate of {issuer} among anchors and intermediates"))
    };
    if let Some(anchor) = anchors.find(leaf) {
        if !inputs.leaf_validity_ignored
            && let Err(failure) = rules::leaf_validity(leaf, at)
        {
            return (Vec::new(), failure);
        }
        let warnings = leaf.warnings.clone();
        let path = CertificationPath {
            anchor: anchor.clone(),
            certificates: Vec::new(),
            policies: Vec::new(),
            warnings,
        };
        return (vec![path], failure());
    }
    let mut search = Search {
        anchors,
        pool,
        inputs,
        at,
        wanted,
        found: Vec::new(),
        steps: 0,
        verified: HashMap::new(),
        failure: None,
        bounded: false,
    };
    search.extend(&mut vec![leaf]);
    let met = match search.bounded {
        true => PathFailure::GivenUp,
        false => search.failure.unwrap_or_else(failure),
    };
    (search.found, met)
}

struct Search<'a> {
    anchors: &'a AnchorSet,
    pool: &'a CertificatePool,
    inputs: &'a PathInputs,
    at: OffsetDateTime,
    wanted: usize,
    found: Vec<CertificationPath>,
    steps: usize,
    /// Verdicts by the addresses of certificate and issuer.
    verified: HashMap<(usize, usize), Result<(), AlgorithmError>>,
    /// Of those met, the one that came furthest.
    failure: Option<PathFailure>,
    /// A bound kept a link from being tried.
    bounded: bool,
}

impl<'a> Search<'a> {
    /// Tries to reach an anchor from `links`, leaf first. Recursion ends at [`MAX_DEPTH`].
    fn extend(&mut self, links: &mut Vec<&'a Certificate>) {
        let Some(current) = links.last().copied() else {
            return;
        };
        for anchor in self
            .anchors
            .0
            .iter()
            .filter(|anchor| anchor.certificate.subject == current.issuer)
        {
            if self.is_signed(current, &anchor.certificate) {
                let path: Vec<&Certificate> = links.iter().rev().copied().collect();
                match rules::judge(&anchor.certificate, &path, self.inputs, self.at) {
                    Ok((policies, warnings)) => {
                        self.found.push(CertificationPath {
                            anchor: anchor.clone(),
                            certificates: path.into_iter().cloned().collect(),
                            policies,
                            warnings,
                        });
                        if self.found.len() >= self.wanted {
                            return;
                        }
                    }
                    Err(failure) => self.fail(failure),
                }
            }
        }
        let mut candidates: Vec<&Certificate> = self.pool.with_subject(&current.issuer).collect();
        let hint = current.authority_key_identifier();
        candidates.sort_by_key(|candidate| {
            let named = hint.is_some() && candidate.subject_key_identifier() == hint;
            (!named, !candidate.is_valid_at(self.at), !candidate.is_ca())
        });
        for candidate in candidates {
            self.steps += 1;
            if self.steps > MAX_STEPS || links.len() >= MAX_DEPTH {
                self.bounded = true;
                return;
            }
            let again = |link: &&Certificate| link.subject == candidate.subject && link.key == candidate.key;
            if links.iter().any(again) || self.anchors.find(candidate).is_some() || !self.is_signed(current, candidate)
            {
                continue;
            }
            links.push(candidate);
            self.extend(links);
            links.pop();
            if self.found.len() >= self.wanted {
                return;
            }
        }
    }

    fn is_signed(&mut self, certificate: &Certificate, issuer: &Certificate) -> bool {
        let pair = (
            std::ptr::from_ref(certificate).addr(),
            std::ptr::from_ref(issuer).addr(),
        );
        let of_all = &self.pool.verified;
        let bound = self.verified.len() >= MAX_VERIFICATIONS || of_all.get() >= MAX_VERIFICATIONS_OF_ALL;
        let verdict = match self.verified.get(&pair) {
            Some(verdict) => verdict.clone(),
            None if bound => {
                self.bounded = true;
                return false;
            }
            None => {
                let verdict = certificate.verify_accepting(&issuer.key, self.inputs.accepted);
                of_all.set(of_all.get() + 1);
                self.verified.insert(pair, verdict.clone());
                verdict
            }
        };
        match verdict {
            Ok(()) => true,
            Err(AlgorithmError::BadSignature) => {
                let issuer = &issuer.subject;
                self.fail(PathFailure::NoChain(format!(
                    "a certificate naming {issuer} is not signed by its key"
                )));
                false
            }
            Err(refused @ AlgorithmError::NotAccepted(_)) => {
                self.fail(PathFailure::Algorithm(format!(
                    "a certificate naming {}: {refused}",
                    issuer.subject
                )));
                false
            }
        }
    }

    fn fail(&mut self, failure: PathFailure) {
        if self
            .failure
            .as_ref()
            .is_none_or(|known| failure.progress() >= known.progress())
        {
            self.failure = Some(failure);
        }
    }
}
