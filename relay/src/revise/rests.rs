//! What one submission rests on: the certificates of its signers and of its time stamps, the authorities above them, and whom to
//! ask about those that name no CRL.
//!
//! Whoever made the signature chose which certificates it brings, how many, and in which order. So nothing is taken for being
//! among the first: a certificate counts if it is the one that signed, or stands above it on a path of sound signatures.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::{self, Display};
use std::sync::Arc;

use formats::cades::{Profile, SignedData, SignerIdentifier};
use formats::timestamp::Token;
use time::OffsetDateTime;
use trust_store::anchors::Anchors;
use trust_store::name::DistinguishedName;
use trust_store::revocation::{OcspRequest, ocsp_urls, urls};
use trust_store::{Certificate, Evidence};

use super::piece::Said;
use crate::evidence::Question;

/// An authority above an authority is followed so far.
const MAX_HEIGHT: usize = 8;
/// Signatures of authorities verified for one submission. Those the operator and the evidence bring come first.
const MAX_VERIFIED: usize = 4_096;
/// Responders asked about one certificate: the second may know what the first does not answer.
const RESPONDERS: usize = 2;

/// A certificate by which it is found on a CRL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub(super) issuer: DistinguishedName,
    pub(super) serial: Vec<u8>,
}

impl Name {
    pub(super) fn of(certificate: &Certificate) -> Self {
        Self {
            issuer: certificate.issuer.clone(),
            serial: certificate.serial.clone(),
        }
    }

    pub(super) fn is_of(&self, issuer: &DistinguishedName, serial: &[u8]) -> bool {
        self.serial == serial && self.issuer == *issuer
    }
}

impl Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", hex::encode(&self.serial), self.issuer)
    }
}

/// A certificate that names a responder and no CRL, and what to ask there.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// Name of the question.
    pub(super) key: String,
    pub(super) question: Question,
    pub(super) name: Name,
    /// Where the certificate's lists are.
    pub(super) lists: Vec<String>,
}

/// What is known of a submission.
#[derive(Clone, Copy)]
pub(super) struct Letter<'l> {
    /// Its signature files.
    pub(super) signatures: &'l [Vec<u8>],
    /// What lies beside it.
    pub(super) evidence: &'l Evidence,
    /// The recorded best signature time of its first signature.
    pub(super) signed_at: Option<OffsetDateTime>,
    /// When it was accepted.
    pub(super) received: Option<OffsetDateTime>,
}

/// What one submission rests on.
#[derive(Debug, Default)]
pub(super) struct Rests {
    /// Revocations after this time change nothing for any of its signers.
    pub(super) until: Option<OffsetDateTime>,
    /// Certificates of signers; those above them; those of stamps and above them.
    pub(super) signers: Vec<Name>,
    pub(super) above: Vec<Name>,
    pub(super) stamps: Vec<Name>,
    /// The authorities themselves.
    pub(super) authorities: Vec<Certificate>,
    /// Whom to ask about those that name a responder.
    pub(super) asked: Vec<Arc<Asked>>,
    /// Issuers of signers whose CRL has not yet been seen with a thisUpdate from `until` on, with its addresses; signers that name
    /// no CRL, of whom no OCSP response was.
    pub(super) unconfirmed: BTreeMap<String, Vec<String>>,
    /// Whether every signature has a stamp of its own, and everything leads to an anchor.
    pub(super) is_whole: bool,
}

impl Rests {
    /// What a letter rests on, as far as it is at hand.
    pub(super) fn of(letter: Letter<'_>, anchors: &Anchors) -> Self {
        let parsed: Vec<SignedData> = letter
            .signatures
            .iter()
            .filter_map(|bytes| SignedData::parse(bytes, Profile::Document).ok())
            .collect();
        let stamps = parsed.iter().flat_map(|signed| &signed.signer.timestamps);
        let tokens: Vec<SignedData> = stamps
            .chain(&letter.evidence.tokens)
            .filter_map(|token| SignedData::parse(token, Profile::Token).ok())
            .collect();
        let brought = parsed.iter().chain(&tokens).flat_map(|signed| &signed.certificates);
        let ders = anchors.intermediates.iter();
        let ders = ders.chain(&letter.evidence.certificates).chain(brought);
        let mut seen = BTreeSet::new();
        let pool: Vec<Certificate> = ders
            .filter(|der| seen.insert(der.as_slice()))
            .filter_map(|der| Certificate::parse(der).ok())
            .collect();
        let sound = Sound::of(&pool, anchors);
        let mut rests = Self {
            until: until(letter, &parsed),
            is_whole: parsed.len() == letter.signatures.len()
                && parsed.iter().all(|signed| !signed.signer.timestamps.is_empty()),
            ..Self::default()
        };
        for signed in &parsed {
            rests.note(&signed.signer.identifier, true, &pool, &sound);
        }
        for token in &tokens {
            rests.note(&token.signer.identifier, false, &pool, &sound);
        }
        rests
    }

    /// Notes the certificate that signed, and those above it.
    fn note(&mut self, identifier: &SignerIdentifier, is_signer: bool, pool: &[Certificate], sound: &Sound<'_>) {
        let named = || pool.iter().filter(|one| is_named(identifier, one));
        let mut level: Vec<&Certificate> = named().filter(|one| sound.above(one).next().is_some()).collect();
        let leads_up = !level.is_empty();
        if !leads_up {
            self.is_whole = false;
            level.extend(named().next());
        }
        let (names, above_names) = if is_signer {
            (&mut self.signers, &mut self.above)
        } else {
            (&mut self.stamps, &mut Vec::new())
        };
        for leaf in &level {
            add(names, leaf);
            // Only where it leads up is it known whose words its addresses are.
            let asked = leads_up && ask(&mut self.asked, leaf, sound);
            if is_signer && asked {
                self.unconfirmed.entry(Name::of(leaf).to_string()).or_default();
            } else if is_signer {
                let addresses = self.unconfirmed.entry(leaf.issuer.to_string()).or_default();
                let named = if leads_up { urls(leaf) } else { Vec::new() };
                addresses.extend(named);
                addresses.sort_unstable();
                addresses.dedup();
            }
        }
        let above_names = if is_signer { above_names } else { names };
        let mut climbed: Vec<&Certificate> = Vec::new();
        for _ in 0..MAX_HEIGHT {
            let above: Vec<&Certificate> = level.iter().flat_map(|one| sound.above(one)).collect();
            level.clear();
            for one in above {
                if climbed.contains(&one) {
                    continue;
                }
                climbed.push(one);
                level.push(one);
                if !self.authorities.contains(one) {
                    self.authorities.push(one.clone());
                }
                if !sound.is_anchor(one) {
                    add(above_names, one);
                    ask(&mut self.asked, one, sound);
                }
            }
        }
    }

    /// Every certificate.
    pub(super) fn names(&self) -> impl Iterator<Item = &Name> {
        self.signers.iter().chain(&self.above).chain(&self.stamps)
    }

    /// Whether this, if it is authentic, confirms the signers it speaks of.
    pub(super) fn is_confirmed_by(&self, said: &Said, whom: &str) -> bool {
        self.unconfirmed.contains_key(whom) && self.until.is_some_and(|until| said.this_update() >= until)
    }
}

/// The authorities that lead to an anchor by signatures that verify.
struct Sound<'c> {
    anchors: Vec<&'c Certificate>,
    of_name: HashMap<&'c DistinguishedName, Vec<&'c Certificate>>,
}

impl<'c> Sound<'c> {
    fn of(pool: &'c [Certificate], anchors: &'c Anchors) -> Self {
        let sets = anchors.sets();
        let anchors: Vec<&Certificate> = sets
            .iter()
            .flat_map(|(_, set)| set.0.iter().map(|anchor| &anchor.certificate))
            .collect();
        let mut sound = Self {
            anchors,
            of_name: HashMap::new(),
        };
        for anchor in sound.anchors.clone() {
            sound.of_name.entry(&anchor.subject).or_default().push(anchor);
        }
        let mut open: Vec<&Certificate> = pool.iter().filter(|one| one.is_ca() && !sound.is_anchor(one)).collect();
        let mut verified = 0_usize;
        for _ in 0..MAX_HEIGHT {
            let before = open.len();
            let mut found = Vec::new();
            open.retain(|one| {
                let candidates = sound.of_name.get(&one.issuer).map_or(0, Vec::len);
                verified = verified.saturating_add(candidates);
                let is_sound = verified <= MAX_VERIFIED && sound.above(one).next().is_some();
                if is_sound {
                    found.push(*one);
                }
                !is_sound
            });
            for one in found {
                sound.of_name.entry(&one.subject).or_default().push(one);
            }
            if open.len() == before {
                break;
            }
        }
        sound
    }

    /// Those that signed it.
    fn above<'s>(&'s self, one: &'s Certificate) -> impl Iterator<Item = &'c Certificate> + 's {
        let of_name = self.of_name.get(&one.issuer).map(Vec::as_slice).unwrap_or_default();
        let signed = of_name
            .iter()
            .filter(|issuer| one.verify_signature(&issuer.key).is_ok());
        signed.copied()
    }

    fn is_anchor(&self, one: &Certificate) -> bool {
        self.anchors.contains(&one)
    }
}

/// The latest of the times its signatures may be judged at. One without a stamp of its own may have one beside, or none.
fn until(letter: Letter<'_>, parsed: &[SignedData]) -> Option<OffsetDateTime> {
    if let ([_], Some(signed_at)) = (letter.signatures, letter.signed_at) {
        return Some(signed_at);
    }
    let stated = |token: &Vec<u8>| Some(Token::parse(token).ok()?.info.gen_time);
    let mut times = Vec::new();
    for signed in parsed {
        if signed.signer.timestamps.is_empty() {
            times.push(letter.received?);
        }
        for token in &signed.signer.timestamps {
            times.push(stated(token).or(letter.received)?);
        }
    }
    times.into_iter().chain(letter.signed_at).max()
}

fn add(names: &mut Vec<Name>, certificate: &Certificate) {
    let name = Name::of(certificate);
    if !names.contains(&name) {
        names.push(name);
    }
}

/// Notes whom to ask about a certificate; whether no CRL will list it.
fn ask(asked: &mut Vec<Arc<Asked>>, certificate: &Certificate, sound: &Sound<'_>) -> bool {
    let (responders, lists) = (ocsp_urls(certificate), urls(certificate));
    if responders.is_empty() {
        return false;
    }
    for issuer in sound.above(certificate) {
        let request = OcspRequest::about(certificate, issuer);
        for url in responders.iter().take(RESPONDERS) {
            let question = Question::Ocsp {
                url: url.clone(),
                request: request.clone(),
            };
            let key = question.key();
            // Certificates of the same key of a CA give the same question.
            if !asked.iter().any(|known| known.key == key) {
                let name = Name::of(certificate);
                let lists = lists.clone();
                asked.push(Arc::new(Asked {
                    key,
                    question,
                    name,
                    lists,
                }));
            }
        }
    }
    lists.is_empty()
}

fn is_named(identifier: &SignerIdentifier, certificate: &Certificate) -> bool {
    match identifier {
        SignerIdentifier::IssuerAndSerialNumber { issuer, serial } => {
            certificate.serial == *serial
                && DistinguishedName::parse(issuer).is_ok_and(|issuer| issuer == certificate.issuer)
        }
        SignerIdentifier::SubjectKeyIdentifier(id) => certificate.subject_key_identifier() == Some(id),
    }
}
