//! Which certificates the held submissions rest on, and whom a CRL or an OCSP response concerns: a look-up of serials, no validation.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use const_oid::db::rfc5912::ID_KP_OCSP_SIGNING;
use formats::wire::SubmissionId;
use time::OffsetDateTime;
use trust_store::Certificate;
use trust_store::name::DistinguishedName;

use super::piece::{Answer, Said};
use super::rests::{Asked, Name, Rests};

/// Authorities of one name.
const MAX_OF_NAME: usize = 64;

/// A revocation, in a CRL or an OCSP response, that names a certificate a submission rests on.
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

impl Entry {
    /// Whether another than the certificate's issuer says so, in a list on his behalf (RFC 5280 §5.2.5). Who may, only the
    /// validation finds out.
    pub(super) fn is_indirect_in(&self, said: &Said) -> bool {
        match said {
            Said::List(crl) => crl.issuer.to_string() != self.issuer,
            Said::Answer(_) => false,
        }
    }
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
    /// Whom to ask about certificates that name no CRL, by the name of the question, and how many submissions rest on each.
    asked: BTreeMap<String, (Arc<Asked>, usize)>,
    /// Authorities seen, to tell authentic evidence from what is not.
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
        for asked in &rests.asked {
            let fresh = || (Arc::clone(asked), 0);
            self.asked.entry(asked.key.clone()).or_insert_with(fresh).1 += 1;
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
        for asked in &rests.asked {
            if let Some((_, count)) = self.asked.get_mut(&asked.key) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.asked.remove(&asked.key);
                }
            }
        }
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

    /// Submissions whose signers no CRL or OCSP response since the signature has confirmed yet.
    pub(super) fn unconfirmed(&self) -> usize {
        self.held.values().filter(|rests| !rests.unconfirmed.is_empty()).count()
    }

    /// Where the CRLs that would confirm them are published.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &String> {
        let unconfirmed = self.held.values().flat_map(|rests| rests.unconfirmed.values());
        unconfirmed.flatten()
    }

    /// Whom to ask about the certificates that name no CRL, each once however many submissions rest on it.
    pub(super) fn asked(&self) -> impl Iterator<Item = &Arc<Asked>> {
        self.asked.values().map(|(asked, _)| asked)
    }

    /// Whether an authority known here signed it, or a responder of that authority.
    pub(super) fn is_authentic(&self, said: &Said) -> bool {
        let issuer = match said {
            Said::List(crl) => &crl.issuer,
            Said::Answer(answer) => &answer.name.issuer,
        };
        let authorities = self.authorities.get(issuer).map(Vec::as_slice).unwrap_or_default();
        authorities.iter().any(|authority| match said {
            Said::List(crl) => crl.verify_signature(&authority.key).is_ok(),
            Said::Answer(answer) => is_answer_of(answer, authority),
        })
    }

    /// Whom it concerns: submissions that rest on a certificate it speaks against, revoked early enough to matter.
    pub(super) fn concerned(&self, said: &Said) -> Vec<(SubmissionId, Entry)> {
        let mut found = Vec::new();
        match said {
            Said::Answer(answer) => {
                let Name { issuer, serial } = &answer.name;
                let of_issuer = self.resting.get(issuer);
                let ids = of_issuer.and_then(|serials| serials.get(serial)).into_iter().flatten();
                found.extend(ids.flat_map(|id| self.concerns(said, id)));
            }
            Said::List(_) => {
                for (issuer, serials) in &self.resting {
                    for (serial, ids) in serials {
                        if said.find(issuer, serial).is_some() {
                            found.extend(ids.iter().flat_map(|id| self.concerns(said, id)));
                        }
                    }
                }
            }
        }
        found.sort();
        found.dedup();
        found
    }

    /// All by which it concerns this one: one entry may be settled, and the next not.
    pub(super) fn concerns(&self, said: &Said, id: &SubmissionId) -> Vec<(SubmissionId, Entry)> {
        let Some(rests) = self.held.get(id) else {
            return Vec::new();
        };
        let entry = |name: &Name, part: Part| {
            let listed = said.find(&name.issuer, &name.serial)?;
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

    /// Takes note of what arrived: the first authentic evidence from the time of the signatures on confirms them.
    pub(super) fn confirm(&mut self, said: &Said) {
        let whom = said.confirms();
        if self.held.values().any(|rests| rests.is_confirmed_by(said, &whom)) && self.is_authentic(said) {
            for rests in self
                .held
                .values_mut()
                .filter(|rests| rests.is_confirmed_by(said, &whom))
            {
                rests.unconfirmed.remove(&whom);
            }
        }
    }

    /// The same for one submission; `authentic` is asked only where it matters.
    pub(super) fn confirm_one(&mut self, said: &Said, id: &SubmissionId, authentic: impl FnOnce(&Self) -> bool) {
        let whom = said.confirms();
        let matters = self
            .held
            .get(id)
            .is_some_and(|rests| rests.is_confirmed_by(said, &whom));
        if matters
            && authentic(self)
            && let Some(rests) = self.held.get_mut(id)
        {
            rests.unconfirmed.remove(&whom);
        }
    }
}

/// Whether `authority` signed the response, or certified directly who did (RFC 6960 §4.2.2.2). Which of them may speak, the
/// validation judges.
fn is_answer_of(answer: &Answer, authority: &Certificate) -> bool {
    let response = &answer.response;
    let signed = |by: &Certificate| response.responder.is_of(by) && response.verify_signature(&by.key).is_ok();
    let delegated = |by: &&Certificate| {
        let purposes = by.extended_key_usage().ok().flatten().unwrap_or_default();
        purposes.contains(&ID_KP_OCSP_SIGNING)
            && by.issuer == authority.subject
            && by.verify_signature(&authority.key).is_ok()
    };
    signed(authority) || response.certificates.iter().filter(delegated).any(signed)
}

#[cfg(test)]
pub(super) fn entry(issuer: &str, serial: &str, at: OffsetDateTime, part: Part) -> Entry {
    Entry {
        issuer: issuer.to_owned(),
        serial: serial.to_owned(),
        at,
        reason: 0,
        part,
    }
}

#[cfg(test)]
mod tests;
