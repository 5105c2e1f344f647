//! Finds the CRLs that are authentic and in scope for a certificate, RFC 5280 §6.3.3, and has them weighed with what OCSP
//! responders say.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::rc::Rc;

use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use time::OffsetDateTime;

use super::crl::Crl;
use super::distribution_point::DistributionPoint;
use super::{
    ALL_REASONS, CrlPool, OcspPool, Reason, RevocationStatus, Source, Statement, Times, judge, names_ocsp, unknown,
    vouches_until,
};
use crate::algorithm::{self, Accepted, AlgorithmError};
use crate::anchors::{AnchorSet, TrustAnchor};
use crate::certificate::{Certificate, KeyUsage};
use crate::path::{self, CertificatePool, CertificationPath, PathFailure, PathInputs};
use crate::policy::Policy;
use crate::report::rfc3339;

/// A CRL signer has a path, whose certificates have CRLs, whose signers have a path: followed this far.
pub(super) const MAX_DEPTH: usize = 3;
/// Certificates tried as signer of one CRL or OCSP response.
pub(super) const MAX_SIGNERS: usize = 16;
/// Paths of CRL signers searched for one status, so that CRLs made to be laborious cost little.
const MAX_SIGNER_PATHS: usize = 32;

/// What a status may be found from.
#[derive(Clone, Copy)]
pub struct RevocationSources<'a> {
    /// The anchor of the certificate's own path: CRL signers must lead to it too.
    pub anchor: &'a TrustAnchor,
    /// Where CRL signers are looked for.
    pub certificates: &'a CertificatePool,
    /// The CRLs.
    pub crls: &'a CrlPool,
    /// The OCSP responses.
    pub ocsp: &'a OcspPool,
    /// Which signatures on CRLs and OCSP responses count.
    pub accepted: Accepted,
    /// Whose algorithm dates bind the signatures on CRLs and OCSP responses; `None`: no algorithm ends.
    pub policy: Option<&'a Policy>,
    /// Since when a CRL or an OCSP response, given by its bytes as supplied, is proven to exist: an archive's stamp, else the
    /// validator's clock. An algorithm must have been acceptable then, and a delegated responder's certificate not have ended.
    pub known_since: &'a dyn Fn(&[u8]) -> OffsetDateTime,
    /// Until when the issuer's key vouches for what it signs, if it has an end: one that has ended or was given away can sign any
    /// date. Evidence known only later can still revoke, but no longer prove *good*.
    pub until: Option<OffsetDateTime>,
}

/// The status of `certificate`, issued by `issuer`, which stands above it on a valid path.
#[must_use]
pub fn status(
    certificate: &Certificate,
    issuer: &Certificate,
    sources: &RevocationSources<'_>,
    times: &Times,
) -> RevocationStatus {
    Finder {
        sources,
        times,
        paths_left: Cell::new(MAX_SIGNER_PATHS),
        given_up: Cell::new(false),
        unvouched: RefCell::new(Vec::new()),
        searched: RefCell::new(Vec::new()),
    }
    .status(certificate, issuer, &mut Vec::new())
}

const NO_RESPONSE: &str = "no OCSP response covers the certificate";
pub(super) const GIVEN_UP: &str = "there are more CRLs, OCSP responses and signers of them than are examined";

pub(super) struct Finder<'a> {
    pub(super) sources: &'a RevocationSources<'a>,
    pub(super) times: &'a Times,
    paths_left: Cell<usize>,
    /// A bound kept evidence from being examined: it may have revoked, so that nothing proves *good* any more.
    pub(super) given_up: Cell<bool>,
    /// Why authentic evidence does not prove *good* although it says so.
    pub(super) unvouched: RefCell<Vec<String>>,
    /// Paths of signers at the time asked about, and whether their own validity counts.
    searched: RefCell<Vec<Searched<'a>>>,
}

type Searched<'a> = (&'a Certificate, bool, Result<Rc<CertificationPath>, PathFailure>);

impl<'a> Finder<'a> {
    /// `under_way`: signers whose own status is just being found. Their OCSP responses never speak about themselves, their CRLs only
    /// where the issuer above them leaves that to them (an indirect list).
    pub(super) fn status(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
        under_way: &mut Vec<&'a Certificate>,
    ) -> RevocationStatus {
        let points = match DistributionPoint::all_of(certificate) {
            Ok(points) => points,
            Err(malformed) => return unknown(format!("cRLDistributionPoints: {malformed}")),
        };
        let mut found = Vec::new();
        let mut problem = None;
        // Position of a list, and if it is authentic, whether its silence proves something.
        let mut authentic: Vec<(usize, Option<bool>)> = Vec::new();
        for point in points.iter().chain([&DistributionPoint::unnamed()]) {
            let mut in_scope = Vec::new();
            for crl_issuer in issuers_of(point, certificate) {
                for (position, crl) in self.sources.crls.with_issuer(crl_issuer) {
                    let indirect = crl.scope.as_ref().is_some_and(|scope| scope.indirect);
                    let fits = crl
                        .scope
                        .as_ref()
                        .is_none_or(|scope| scope.fits(certificate, point, &crl.issuer));
                    if !fits || (*crl_issuer != certificate.issuer && !indirect) {
                        continue;
                    }
                    let known = authentic
                        .iter()
                        .find(|(known, _)| *known == position)
                        .map(|(_, verdict)| *verdict);
                    let verdict = known.unwrap_or_else(|| {
                        let verdict = self.is_authentic(position, crl, issuer, under_way);
                        let verdict = verdict.map_err(|why| problem = Some(why)).ok();
                        authentic.push((position, verdict));
                        verdict
                    });
                    if let Some(vouched) = verdict {
                        let what = || format!("CRL of {} of {}", crl.issuer, rfc3339(crl.this_update));
                        in_scope.push((crl, !self.is_late(what, &crl.der) && vouched));
                    }
                }
            }
            found.extend(statements(certificate, point, &in_scope));
        }
        let said = self.ocsp_statements(certificate, issuer, under_way);
        found.extend(said.statements);
        let silence = said.problem;
        match judge(&found, certificate.not_after, self.times) {
            RevocationStatus::Unknown { reason, .. } => {
                let none = match found.is_empty() {
                    false => Some(self.unvouched.borrow().first().cloned().unwrap_or(reason)),
                    true if problem.is_some() || silence.is_some() => None,
                    true if points.is_empty() && names_ocsp(certificate) => Some(NO_RESPONSE.into()),
                    true => Some(reason),
                };
                let all: Vec<String> = none.into_iter().chain(problem).chain(silence).collect();
                RevocationStatus::Unknown {
                    reason: all.join("; "),
                    answered: said.not_known,
                }
            }
            // Certificates that were left out may be of those who signed a list that revokes.
            RevocationStatus::Good { .. } if self.given_up.get() || self.sources.certificates.is_crowded() => {
                unknown(GIVEN_UP)
            }
            status => status,
        }
    }

    /// §6.3.3 (f), (g): the signer is the certificate's issuer, the anchor, or has a path to the same anchor, unrevoked. If so,
    /// whether the list can also prove *good*: neither its algorithms nor its signer had ended when it became known.
    fn is_authentic(
        &self,
        position: usize,
        crl: &Crl,
        issuer: &Certificate,
        under_way: &mut Vec<&'a Certificate>,
    ) -> Result<bool, String> {
        if let Some(oid) = &crl.not_understood {
            return Err(format!(
                "the CRL of {} has a critical extension {oid} that is not understood",
                crl.issuer
            ));
        }
        let none = || format!("no certificate at hand signed the CRL of {}", crl.issuer);
        let mut why = None;
        let anchor = &self.sources.anchor.certificate;
        // A list speaks for its own signer only where the signer's certificate sends there: its issuer, of another name, chose that.
        let appointed = crl.issuer != issuer.subject;
        let own = under_way.iter().copied().filter(|_| appointed);
        let trusted = [issuer, anchor].into_iter().chain(own);
        for signer in trusted.filter(|signer| signer.subject == crl.issuer) {
            match self.signed(position, crl, signer) {
                Ok(Some(vouched)) => return Ok(vouched),
                Ok(None) => {}
                Err(problem) => why = Some(problem),
            }
        }
        if under_way.len() >= MAX_DEPTH {
            return Err(why.unwrap_or_else(none));
        }
        let mut found = None;
        for (tried, signer) in self.sources.certificates.with_subject(&crl.issuer).enumerate() {
            if tried >= MAX_SIGNERS {
                self.given_up.set(true);
                return Err(GIVEN_UP.into());
            }
            if under_way.contains(&signer) || signer == issuer || signer == anchor {
                continue;
            }
            // Anybody can make a certificate of this name: what leads nowhere costs no more than the search for its path.
            if let Err(problem) = self.leads_somewhere(signer) {
                why = Some(format!("the signer of the CRL of {}: {problem}", crl.issuer));
                continue;
            }
            let vouched = match self.signed(position, crl, signer) {
                Ok(Some(vouched)) => vouched,
                Ok(None) => continue,
                Err(problem) => {
                    why = Some(problem);
                    continue;
                }
            };
            under_way.push(signer);
            let verdict = self.signer_until(signer, crl.this_update, under_way);
            under_way.pop();
            let what = || format!("CRL of {} of {}", crl.issuer, rfc3339(crl.this_update));
            match verdict {
                Ok(until) if vouched && !self.is_later(what, &crl.der, until) => return Ok(true),
                // Its key may have another certificate, which goes on.
                Ok(_) => found = Some(false),
                Err(problem) => why = Some(format!("the signer of the CRL of {}: {problem}", crl.issuer)),
            }
        }
        found.ok_or_else(|| why.unwrap_or_else(none))
    }

    /// Whether evidence may have been made up since, because its issuer's key vouched for nothing any more when it became known: it
    /// can still revoke, but no longer prove *good*.
    pub(super) fn is_late(&self, what: impl FnOnce() -> String, evidence: &[u8]) -> bool {
        self.sources
            .until
            .is_some_and(|until| self.is_later(what, evidence, until))
    }

    /// Whether evidence became known only after its signer's key vouched for nothing any more.
    pub(super) fn is_later(&self, what: impl FnOnce() -> String, evidence: &[u8], until: OffsetDateTime) -> bool {
        let since = (self.sources.known_since)(evidence);
        if since <= until {
            return false;
        }
        let why = format!(
            "the {} is known since {} only, and its signer's key vouches for nothing after {}",
            what(),
            rfc3339(since),
            rfc3339(until)
        );
        self.unvouched.borrow_mut().push(why);
        true
    }

    /// Until when a signer of evidence dated `dated` vouches for it, if it has a path to the anchor on which nobody is revoked.
    pub(super) fn signer_until(
        &self,
        signer: &'a Certificate,
        dated: OffsetDateTime,
        under_way: &mut Vec<&'a Certificate>,
    ) -> Result<OffsetDateTime, String> {
        let path = self.path_of(signer, dated, false)?;
        let mut until = signer.not_after;
        for (index, certificate) in path.certificates.iter().enumerate() {
            let status = self.status(certificate, path.issuer_of(index), under_way);
            match &status {
                RevocationStatus::Good { .. } => until = vouches_until(certificate, &status, Some(until)),
                RevocationStatus::Revoked { .. } => return Err("it is revoked".into()),
                RevocationStatus::Unknown { reason, .. } => return Err(format!("its own status is unknown: {reason}")),
            }
        }
        Ok(until)
    }

    /// Whether a signer of evidence dated `dated` has a path to the anchor, its own validity left to the caller.
    pub(super) fn has_path(&self, signer: &'a Certificate, dated: OffsetDateTime) -> Result<(), String> {
        self.path_of(signer, dated, true).map(|_| ())
    }

    /// Whether a certificate can lead to the anchor at any time.
    pub(super) fn leads_somewhere(&self, signer: &'a Certificate) -> Result<(), String> {
        match self.search(signer, false)? {
            Err(failure @ PathFailure::NoChain(_)) => Err(failure.to_string()),
            _ => Ok(()),
        }
    }

    fn path_of(
        &self,
        signer: &'a Certificate,
        dated: OffsetDateTime,
        leaf_validity_ignored: bool,
    ) -> Result<Rc<CertificationPath>, String> {
        match self.search(signer, leaf_validity_ignored)? {
            Ok(path) => Ok(path),
            Err(failure @ PathFailure::NoChain(_)) => Err(failure.to_string()),
            // After a change of key the new key's certificate may be younger than the time asked about, the old one's older.
            Err(_) => {
                let found = self.find(signer, leaf_validity_ignored, dated)?;
                found.map(Rc::new).map_err(|failure| failure.to_string())
            }
        }
    }

    /// The path at the time asked about, searched for once.
    fn search(
        &self,
        signer: &'a Certificate,
        leaf_validity_ignored: bool,
    ) -> Result<Result<Rc<CertificationPath>, PathFailure>, String> {
        let is_this = |one: &&Searched<'a>| one.0 == signer && one.1 == leaf_validity_ignored;
        let known = self.searched.borrow().iter().find(is_this).map(|one| one.2.clone());
        if let Some(known) = known {
            return Ok(known);
        }
        let found = self
            .find(signer, leaf_validity_ignored, self.times.judged_at)?
            .map(Rc::new);
        let searched = (signer, leaf_validity_ignored, found.clone());
        self.searched.borrow_mut().push(searched);
        Ok(found)
    }

    fn find(
        &self,
        signer: &Certificate,
        leaf_validity_ignored: bool,
        at: OffsetDateTime,
    ) -> Result<Result<CertificationPath, PathFailure>, String> {
        let Some(left) = self.paths_left.get().checked_sub(1) else {
            self.given_up.set(true);
            return Err("the search for its path was given up at its bound".into());
        };
        self.paths_left.set(left);
        let anchors = AnchorSet(vec![self.sources.anchor.clone()]);
        let inputs = PathInputs {
            leaf_validity_ignored,
            accepted: self.sources.accepted,
            ..PathInputs::default()
        };
        let found = path::build(signer, &anchors, self.sources.certificates, &inputs, at);
        if matches!(found, Err(PathFailure::GivenUp)) {
            self.given_up.set(true);
        }
        Ok(found)
    }

    /// Counts one signature of an OCSP response or its responder.
    pub(super) fn spend(&self) -> Result<(), String> {
        if self.sources.ocsp.spend() {
            return Ok(());
        }
        self.given_up.set(true);
        Err(GIVEN_UP.into())
    }

    /// Whether the algorithms of a signature on `evidence` were still acceptable when the evidence is known to have existed. Where
    /// not, it may have been made up since: it can still revoke, but no longer prove *good*.
    pub(super) fn in_date(
        &self,
        what: impl FnOnce() -> String,
        algorithm: &AlgorithmIdentifierOwned,
        key: &SubjectPublicKeyInfoOwned,
        evidence: &[u8],
    ) -> bool {
        let Some(policy) = self.sources.policy else {
            return true;
        };
        let since = (self.sources.known_since)(evidence);
        for name in algorithm::algorithm_names(algorithm, None, key).unwrap_or_default() {
            if let Some(last) = policy.last_acceptable(&name)
                && since > last
            {
                self.unvouched.borrow_mut().push(format!(
                    "{}: signed with {name}, acceptable until {} only, and nothing proves that it is older",
                    what(),
                    rfc3339(last)
                ));
                return false;
            }
        }
        true
    }

    /// If `signer` signed `crl`, whether its algorithms were acceptable when it became known; an error if it did but may not, or if
    /// no more signatures are verified.
    fn signed(&self, position: usize, crl: &Crl, signer: &Certificate) -> Result<Option<bool>, String> {
        let Some(verdict) = self
            .sources
            .crls
            .is_signed(position, crl, signer, self.sources.accepted)
        else {
            self.given_up.set(true);
            return Err(GIVEN_UP.into());
        };
        match verdict {
            Err(AlgorithmError::BadSignature) => Ok(None),
            Err(refused) => Err(format!("the CRL of {}: {refused}", crl.issuer)),
            Ok(()) => match signer.key_usage() {
                Ok(usage) if usage.is_none_or(KeyUsage::crl_sign) => {
                    let what = || format!("the CRL of {}", crl.issuer);
                    Ok(Some(self.in_date(what, &crl.algorithm, &signer.key, &crl.der)))
                }
                _ => Err(format!(
                    "the CRL of {} is signed by a key that may not sign CRLs",
                    crl.issuer
                )),
            },
        }
    }
}

/// Names whose CRLs a point speaks of.
fn issuers_of<'a>(
    point: &'a DistributionPoint,
    certificate: &'a Certificate,
) -> Vec<&'a crate::name::DistinguishedName> {
    if point.crl_issuer.is_empty() {
        vec![&certificate.issuer]
    } else {
        point.crl_issuer_names().collect()
    }
}

/// What the CRLs in scope say, deltas alone and on their bases.
/// One that nothing vouches for (`false`) may revoke, and proves nothing by its silence.
fn statements(certificate: &Certificate, point: &DistributionPoint, crls: &[(&Crl, bool)]) -> Vec<Statement> {
    let mut statements = Vec::new();
    for (crl, vouched) in crls {
        let entry = crl.find(&certificate.issuer, &certificate.serial);
        let lifts = entry
            .as_ref()
            .is_some_and(|entry| entry.reason == Reason::RemoveFromCrl);
        if !vouched && lifts {
            continue;
        }
        let some = match (vouched, &crl.scope) {
            (false, _) => 0,
            (true, Some(scope)) => scope.only_some_reasons.unwrap_or(ALL_REASONS),
            (true, None) => ALL_REASONS,
        };
        let statement = Statement {
            source: Source::Crl,
            this_update: crl.this_update,
            next_update: crl.next_update,
            revocation: entry.clone(),
            reasons: some & point.reasons,
            expired_since: crl.expired_since,
        };
        if crl.base_number.is_none() {
            statements.push(statement);
            continue;
        }
        for (base, _) in crls.iter().filter(|(base, vouched)| *vouched && is_base_of(base, crl)) {
            let revocation = match &entry {
                Some(entry) if entry.reason == Reason::RemoveFromCrl => None,
                Some(entry) => Some(entry.clone()),
                None => base.find(&certificate.issuer, &certificate.serial),
            };
            statements.push(Statement {
                revocation,
                ..statement.clone()
            });
        }
        if entry.is_some() {
            // Without a base a delta can revoke, but its silence proves nothing.
            statements.push(Statement {
                reasons: 0,
                ..statement
            });
        }
    }
    statements
}

/// §5.2.4: whether `delta` may be laid over `base`.
fn is_base_of(base: &Crl, delta: &Crl) -> bool {
    let (Some(from), Some(number), Some(own)) = (&delta.base_number, &delta.number, &base.number) else {
        return false;
    };
    base.base_number.is_none()
        && base.issuer == delta.issuer
        && base.scope == delta.scope
        && compare(own, from) != Ordering::Less
        && compare(own, number) != Ordering::Greater
}

/// Compares content octets of INTEGERs that are not negative.
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let strip = |octets: &[u8]| {
        octets
            .iter()
            .copied()
            .skip_while(|octet| *octet == 0)
            .collect::<Vec<u8>>()
    };
    let (a, b) = (strip(a), strip(b));
    a.len().cmp(&b.len()).then_with(|| a.cmp(&b))
}
