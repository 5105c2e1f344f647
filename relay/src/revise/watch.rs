//! Which certificates the held submissions rest on, and whom a CRL concerns: a look-up of serials, no validation.

use std::collections::{BTreeMap, HashMap};

use formats::wire::SubmissionId;
use time::OffsetDateTime;
use trust_store::Certificate;
use trust_store::name::DistinguishedName;
use trust_store::revocation::crl::Crl;

use super::rests::{Name, Rests};

/// Authorities of one name.
const MAX_OF_NAME: usize = 64;

/// An entry of a CRL that names a certificate a submission rests on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Entry {
    /// Who issued the certificate.
    pub(super) issuer: String,
    /// Its serial number, hex.
    pub(super) serial: String,
    /// revocationDate
    pub(super) at: OffsetDateTime,
    reason: u8,
    /// What the certificate is to the submission.
    pub(super) part: Part,
}

/// What a certificate is to a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Part {
    /// It signed.
    Signer,
    /// It stands above one that signed.
    Above,
    /// It made a time stamp, or stands above one that did.
    Stamp,
}

/// The certificates held submissions rest on.
#[derive(Debug, Default)]
pub(super) struct Watch {
    held: BTreeMap<SubmissionId, Rests>,
    /// From a certificate to those that rest on it.
    resting: HashMap<DistinguishedName, HashMap<Vec<u8>, Vec<SubmissionId>>>,
    /// Authorities seen, to tell an authentic CRL from one that is not.
    authorities: HashMap<DistinguishedName, Vec<Certificate>>,
}

impl Watch {
    /// Notes a submission.
    pub(super) fn add(&mut self, id: &SubmissionId, rests: Rests) {
        for name in rests.names() {
            let of_issuer = self.resting.entry(name.issuer.clone()).or_default();
            of_issuer.entry(name.serial.clone()).or_default().push(id.clone());
        }
        for authority in &rests.authorities {
            self.know(authority);
        }
        let rests = Rests {
            authorities: Vec::new(),
            ..rests
        };
        self.held.insert(id.clone(), rests);
    }

    /// Notes an authority.
    pub(super) fn know(&mut self, certificate: &Certificate) {
        if certificate.is_ca() {
            let of_name = self.authorities.entry(certificate.subject.clone()).or_default();
            if of_name.len() < MAX_OF_NAME && !of_name.contains(certificate) {
                of_name.push(certificate.clone());
            }
        }
    }

    /// Forgets a submission.
    pub(super) fn remove(&mut self, id: &SubmissionId) {
        let Some(rests) = self.held.remove(id) else { return };
        for name in rests.names() {
            if let Some(of_issuer) = self.resting.get_mut(&name.issuer)
                && let Some(ids) = of_issuer.get_mut(&name.serial)
            {
                ids.retain(|resting| resting != id);
                if ids.is_empty() {
                    of_issuer.remove(&name.serial);
                }
            }
        }
    }

    /// Whether a submission is noted.
    pub(super) fn has(&self, id: &SubmissionId) -> bool {
        self.held.contains_key(id)
    }

    /// Submissions whose signers no CRL issued since the signature has confirmed yet.
    pub(super) fn unconfirmed(&self) -> usize {
        self.held.values().filter(|rests| !rests.unconfirmed.is_empty()).count()
    }

    /// Where the CRLs that would confirm them are published.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &String> {
        let unconfirmed = self.held.values().flat_map(|rests| rests.unconfirmed.values());
        unconfirmed.flatten()
    }

    /// Whether an authority known here signed it.
    pub(super) fn is_authentic(&self, crl: &Crl) -> bool {
        let signers = self.authorities.get(&crl.issuer);
        signers.is_some_and(|signers| signers.iter().any(|signer| crl.verify_signature(&signer.key).is_ok()))
    }

    /// Whom a CRL concerns: submissions that rest on a certificate it lists, revoked early enough to matter.
    pub(super) fn concerned(&self, crl: &Crl) -> Vec<(SubmissionId, Entry)> {
        let mut found = Vec::new();
        for (issuer, serials) in &self.resting {
            for (serial, ids) in serials {
                if crl.find(issuer, serial).is_some() {
                    found.extend(ids.iter().flat_map(|id| self.concerns(crl, id)));
                }
            }
        }
        found.sort();
        found.dedup();
        found
    }

    /// All by which it concerns this one: one entry may be settled, and the next not.
    pub(super) fn concerns(&self, crl: &Crl, id: &SubmissionId) -> Vec<(SubmissionId, Entry)> {
        let Some(rests) = self.held.get(id) else {
            return Vec::new();
        };
        let entry = |name: &Name, part: Part| {
            let listed = crl.find(&name.issuer, &name.serial)?;
            let late = part == Part::Signer && rests.until.is_some_and(|until| listed.at > until);
            (!late).then(|| Entry {
                issuer: name.issuer.to_string(),
                serial: hex::encode(&name.serial),
                at: listed.at,
                reason: listed.reason as u8,
                part,
            })
        };
        let signers = rests.signers.iter().filter_map(|name| entry(name, Part::Signer));
        let above = rests.above.iter().filter_map(|name| entry(name, Part::Above));
        let stamps = rests.stamps.iter().filter_map(|name| entry(name, Part::Stamp));
        signers
            .chain(above)
            .chain(stamps)
            .map(|entry| (id.clone(), entry))
            .collect()
    }

    /// Takes note that a CRL was issued: the first authentic one from the time of the signatures on confirms them.
    pub(super) fn confirm(&mut self, crl: &Crl) {
        let issuer = crl.issuer.to_string();
        if self.held.values().any(|rests| rests.is_confirmed_by(crl, &issuer)) && self.is_authentic(crl) {
            for rests in self
                .held
                .values_mut()
                .filter(|rests| rests.is_confirmed_by(crl, &issuer))
            {
                rests.unconfirmed.remove(&issuer);
            }
        }
    }

    /// The same for one submission; `authentic` is asked only where it matters.
    pub(super) fn confirm_one(&mut self, crl: &Crl, id: &SubmissionId, authentic: impl FnOnce(&Self) -> bool) {
        let issuer = crl.issuer.to_string();
        let matters = self
            .held
            .get(id)
            .is_some_and(|rests| rests.is_confirmed_by(crl, &issuer));
        if matters
            && authentic(self)
            && let Some(rests) = self.held.get_mut(id)
        {
            rests.unconfirmed.remove(&issuer);
        }
    }
}

#[cfg(test)]
mod tests;
