//! Which certificates the held submissions rest on, and whom a CRL concerns: a look-up of serials, no validation.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use formats::cades::{Profile, SignedData, SignerIdentifier};
use formats::wire::SubmissionId;
use time::OffsetDateTime;
use trust_store::Certificate;
use trust_store::name::DistinguishedName;
use trust_store::revocation::crl::Crl;

/// Certificates noted for one submission at most; a letter's signatures and stamps bring far fewer.
const MAX_CERTIFICATES: usize = 64;
/// An authority above an authority is followed so far.
const MAX_HEIGHT: usize = 8;

/// A certificate by which it is found on a CRL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Name {
    issuer: DistinguishedName,
    serial: Vec<u8>,
}

/// What one submission rests on.
#[derive(Debug, Default)]
struct Rests {
    /// Revocations after this time change nothing for its signers and their authorities.
    signed_at: Option<OffsetDateTime>,
    /// Certificates of signers; their authorities; stamps and what else the signature brings.
    signers: Vec<Name>,
    others: Vec<Name>,
    /// Issuers of signers whose CRL has not yet been seen with a thisUpdate from `signed_at` on.
    unconfirmed: BTreeSet<String>,
}

impl Rests {
    fn confirm(&mut self, crl: &Crl, issuer: &str) {
        if self.signed_at.is_some_and(|signed_at| crl.this_update >= signed_at) {
            self.unconfirmed.remove(issuer);
        }
    }
}

/// An entry of a CRL that names a certificate a submission rests on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    /// Serial number, hex.
    pub(super) serial: String,
    /// revocationDate
    pub(super) at: OffsetDateTime,
    reason: u8,
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
    /// Notes a submission with its signature files, and certificates among which their authorities may be.
    pub(super) fn add<'a>(
        &mut self,
        id: &SubmissionId,
        signed_at: Option<OffsetDateTime>,
        signatures: impl IntoIterator<Item = &'a [u8]>,
        intermediates: &[Certificate],
    ) {
        let mut rests = Rests {
            signed_at,
            ..Rests::default()
        };
        let mut noted = BTreeSet::new();
        for bytes in signatures {
            let Ok(signed) = SignedData::parse(bytes, Profile::Document) else {
                continue;
            };
            let stamps = signed.signer.timestamps.iter();
            let stamps = stamps.filter_map(|token| SignedData::parse(token, Profile::Token).ok());
            let mut brought = certificates(&signed);
            let signer = brought
                .iter()
                .position(|certificate| is_signer(&signed.signer.identifier, certificate));
            if let Some(signer) = signer {
                let signer = brought.swap_remove(signer);
                rests.unconfirmed.insert(signer.issuer.to_string());
                rests.signers.push(name(&signer));
                brought.insert(0, signer);
            }
            brought.extend(stamps.flat_map(|token| certificates(&token)));
            for certificate in with_authorities(brought, intermediates) {
                let name = name(&certificate);
                if noted.len() < MAX_CERTIFICATES && noted.insert(certificate.der().to_vec()) {
                    let of_name = self.resting.entry(name.issuer.clone()).or_default();
                    of_name.entry(name.serial.clone()).or_default().push(id.clone());
                    if !rests.signers.contains(&name) {
                        rests.others.push(name);
                    }
                    self.know(certificate);
                }
            }
        }
        self.held.insert(id.clone(), rests);
    }

    /// Notes an authority.
    pub(super) fn know(&mut self, certificate: Certificate) {
        if certificate.is_ca() {
            let of_name = self.authorities.entry(certificate.subject.clone()).or_default();
            if !of_name.contains(&certificate) && of_name.len() < MAX_CERTIFICATES {
                of_name.push(certificate);
            }
        }
    }

    /// Forgets a submission.
    pub(super) fn remove(&mut self, id: &SubmissionId) {
        let Some(rests) = self.held.remove(id) else { return };
        for name in rests.signers.iter().chain(&rests.others) {
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

    /// Submissions whose signer no CRL issued since the signature has confirmed yet.
    pub(super) fn unconfirmed(&self) -> usize {
        self.held.values().filter(|rests| !rests.unconfirmed.is_empty()).count()
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
                    found.extend(ids.iter().filter_map(|id| self.concerns(crl, id)));
                }
            }
        }
        found
    }

    /// Whether it concerns this one.
    pub(super) fn concerns(&self, crl: &Crl, id: &SubmissionId) -> Option<(SubmissionId, Entry)> {
        let rests = self.held.get(id)?;
        let entry = |name: &Name, until: Option<OffsetDateTime>| {
            let listed = crl.find(&name.issuer, &name.serial)?;
            until.is_none_or(|until| listed.at <= until).then(|| Entry {
                serial: hex::encode(&name.serial),
                at: listed.at,
                reason: listed.reason as u8,
            })
        };
        let signer = rests.signers.iter().find_map(|name| entry(name, rests.signed_at));
        let found = signer.or_else(|| rests.others.iter().find_map(|name| entry(name, None)))?;
        Some((id.clone(), found))
    }

    /// Takes note that a CRL was issued: the first from the time of a signature on confirms it.
    pub(super) fn confirm(&mut self, crl: &Crl) {
        let issuer = crl.issuer.to_string();
        self.held.values_mut().for_each(|rests| rests.confirm(crl, &issuer));
    }

    /// The same for one submission.
    pub(super) fn confirm_one(&mut self, crl: &Crl, id: &SubmissionId) {
        if let Some(rests) = self.held.get_mut(id) {
            rests.confirm(crl, &crl.issuer.to_string());
        }
    }
}

fn name(certificate: &Certificate) -> Name {
    Name {
        issuer: certificate.issuer.clone(),
        serial: certificate.serial.clone(),
    }
}

fn certificates(signed: &SignedData) -> Vec<Certificate> {
    let all = signed.certificates.iter().take(MAX_CERTIFICATES);
    all.filter_map(|der| Certificate::parse(der).ok()).collect()
}

fn is_signer(identifier: &SignerIdentifier, certificate: &Certificate) -> bool {
    match identifier {
        SignerIdentifier::IssuerAndSerialNumber { issuer, serial } => {
            certificate.serial == *serial
                && DistinguishedName::parse(issuer).is_ok_and(|issuer| issuer == certificate.issuer)
        }
        SignerIdentifier::SubjectKeyIdentifier(id) => certificate.subject_key_identifier() == Some(id),
    }
}

/// Those brought, and of `intermediates` the ones that stand above them.
fn with_authorities(mut brought: Vec<Certificate>, intermediates: &[Certificate]) -> Vec<Certificate> {
    let mut above: BTreeSet<Vec<u8>> = BTreeSet::new();
    let mut level: Vec<DistinguishedName> = brought.iter().map(|one| one.issuer.clone()).collect();
    for _ in 0..MAX_HEIGHT {
        let next: Vec<&Certificate> = intermediates
            .iter()
            .filter(|one| level.contains(&one.subject) && above.insert(one.der().to_vec()))
            .collect();
        if next.is_empty() {
            break;
        }
        level = next.iter().map(|one| one.issuer.clone()).collect();
        brought.extend(next.into_iter().cloned());
    }
    brought
}
