//! Until when the newest archive stamp can be checked by itself: then a newer one must be over it.

use formats::asice::Container;
use formats::cades::{Profile, SignedData};
use formats::digest::DigestAlgorithm;
use formats::timestamp::Token;
use time::OffsetDateTime;

use super::ledger::Ledger;
use super::{Setting, TrustStore, signer};
use crate::algorithm;
use crate::certificate::Certificate;
use crate::evidence::Evidence;
use crate::path::{self, CertificationPath, PathInputs};

/// Certificates tried for one OCSP response.
const MAX_RESPONDERS: usize = 8;

/// How long a stamp lasts, and why no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StampEnd {
    /// Subject of its authority's certificate.
    pub authority: String,
    /// genTime.
    pub gen_time: OffsetDateTime,
    /// The last moment at which it can be checked by itself.
    pub until: OffsetDateTime,
    /// What ends then.
    pub because: EndOf,
}

/// What ends a stamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndOf {
    /// The validity of a certificate: its subject.
    Certificate(String),
    /// An algorithm's last acceptable date in `policy.toml [algorithms]`: its name.
    Algorithm(String),
}

impl TrustStore {
    /// The end of a container's newest archive stamp (by genTime), as the judge will see it: of the paths of its authority the one
    /// that lasts longest counts, and each lasts as long as the first of its certificates and of the algorithms that certificates,
    /// lists, stamp and manifest are bound by. `None` where there is no archive stamp whose path is valid at `now`.
    #[must_use]
    pub fn stamp_end(&self, container: &Container, now: OffsetDateTime) -> Option<StampEnd> {
        let tokens = |name: &str| container.tokens.iter().find(|token| token.name == name);
        let stamps = container.archives.iter().filter_map(|manifest| {
            let token = tokens(&manifest.token)?;
            Some((Token::parse(&token.bytes).ok()?.info.gen_time, manifest, token))
        });
        let (_, manifest, token) = stamps.max_by_key(|(gen_time, ..)| *gen_time)?;
        let signatures = container.signatures.iter().map(|file| (&file.bytes, Profile::Document));
        let tokens = container.tokens.iter().map(|file| (&file.bytes, Profile::Token));
        let carriers: Vec<SignedData> = signatures
            .chain(tokens)
            .filter_map(|(bytes, profile)| SignedData::parse(bytes, profile).ok())
            .collect();
        let end = self.token_end(&token.bytes, &carriers, now)?;
        Some(self.no_later(end, manifest.references.iter().map(|one| one.algorithm)))
    }

    /// The end of the newest archive stamp inside a detached signature, as [`TrustStore::stamp_end`]; `None` also where there is none.
    #[must_use]
    pub fn signature_end(&self, signed: &SignedData, now: OffsetDateTime) -> Option<StampEnd> {
        let stamps = signed.signer.archive_stamps.iter();
        let stamps = stamps.filter_map(|stamp| Some((Token::parse(&stamp.token).ok()?.info.gen_time, stamp)));
        let (_, stamp) = stamps.max_by_key(|(gen_time, _)| *gen_time)?;
        let end = self.token_end(&stamp.token, std::slice::from_ref(signed), now)?;
        Some(self.no_later(end, stamp.further_hash(signed)))
    }

    /// [`TrustStore::stamp_end`] of one token, with the certificates, lists and responses that it and `carriers` carry.
    fn token_end(&self, token: &[u8], carriers: &[SignedData], now: OffsetDateTime) -> Option<StampEnd> {
        let parsed = Token::parse(token).ok()?;
        let evidence = Evidence {
            tokens: vec![token.to_vec()],
            ..Evidence::default()
        };
        let carriers: Vec<&SignedData> = carriers.iter().collect();
        let setting = self.setting(&carriers, &evidence, now, false);
        let pool = &setting.material.certificates;
        let signed = &parsed.signed_data;
        let certificate = signer::identify(&signed.signer, pool.certificates(), &mut Ledger::default())?;
        let paths = path::build_all(certificate, &self.anchors.tsa, pool, &PathInputs::default(), now).ok()?;
        let lasting = paths.iter().filter_map(|path| self.end_of_path(path, &setting));
        let of_path = lasting.max_by_key(|(until, _)| *until)?;
        let names = algorithm::algorithm_names(
            &signed.signer.signature_algorithm,
            Some(signed.signer.digest_algorithm),
            &certificate.key,
        );
        let imprint = parsed
            .info
            .imprint_algorithm
            .map(|algorithm| algorithm.name().to_owned());
        let own = self.ends_of(names.ok()?.into_iter().chain(imprint));
        let (until, because) = std::iter::once(of_path).chain(own).min_by_key(|(until, _)| *until)?;
        Some(StampEnd {
            authority: certificate.subject.to_string(),
            gen_time: parsed.info.gen_time,
            until,
            because,
        })
    }

    /// A stamp that relies on these hashes too.
    fn no_later(&self, mut end: StampEnd, hashes: impl IntoIterator<Item = DigestAlgorithm>) -> StampEnd {
        let hashes = hashes.into_iter().map(|hash| hash.name().to_owned());
        for (until, because) in self.ends_of(hashes) {
            if until < end.until {
                (end.until, end.because) = (until, because);
            }
        }
        end
    }

    /// What ends first on a path: the validity of a certificate, the anchor's included, or an algorithm by which one of them is signed,
    /// or what is said of its revocation.
    fn end_of_path(&self, path: &CertificationPath, setting: &Setting<'_>) -> Option<(OffsetDateTime, EndOf)> {
        let validity = |one: &Certificate| (one.not_after, EndOf::Certificate(one.subject.to_string()));
        let mut ends = vec![validity(&path.anchor.certificate)];
        for (index, certificate) in path.certificates.iter().enumerate() {
            ends.push(validity(certificate));
            let key = &path.issuer_of(index).key;
            let signed = algorithm::algorithm_names(&certificate.signature_algorithm, None, key).unwrap_or_default();
            ends.extend(self.ends_of(signed.into_iter()));
            ends.extend(self.end_of_evidence(certificate, path.issuer_of(index), setting));
        }
        ends.into_iter().min_by_key(|(until, _)| *until)
    }

    /// Until when the algorithms last of the newest list at hand of a certificate's issuer, or of the newest OCSP response about it:
    /// either suffices, so what lasts longer counts.
    fn end_of_evidence(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
        setting: &Setting<'_>,
    ) -> Option<(OffsetDateTime, EndOf)> {
        let list = setting.material.crls.newest(&certificate.issuer);
        let listed = list.map(|list| list.algorithm_names(&issuer.key));
        let answered = answered(certificate, issuer, setting);
        let ends: Option<Vec<_>> = [listed, answered]
            .into_iter()
            .flatten()
            .map(|names| self.ends_of(names.into_iter()).min_by_key(|(until, _)| *until))
            .collect();
        ends?.into_iter().max_by_key(|(until, _)| *until)
    }

    /// The last acceptable dates of those algorithms that have one.
    fn ends_of(&self, names: impl Iterator<Item = String>) -> impl Iterator<Item = (OffsetDateTime, EndOf)> {
        names.filter_map(|name| Some((self.policy.last_acceptable(&name)?, EndOf::Algorithm(name))))
    }
}

/// The names of the algorithms by which the newest OCSP response about a certificate is signed, and its responder's certificate.
fn answered(certificate: &Certificate, issuer: &Certificate, setting: &Setting<'_>) -> Option<Vec<String>> {
    let response = setting.material.ocsp.newest(certificate, issuer)?;
    let at_hand = setting.material.certificates.certificates().iter();
    let named = std::iter::once(issuer).chain(&response.certificates).chain(at_hand);
    let named = named.filter(|one| response.responder.is_of(one)).take(MAX_RESPONDERS);
    let signer = named
        .into_iter()
        .find(|one| response.verify_signature(&one.key).is_ok())?;
    let own = algorithm::algorithm_names(&response.algorithm, None, &signer.key).ok()?;
    let delegation = match signer == issuer {
        true => Vec::new(),
        false => algorithm::algorithm_names(&signer.signature_algorithm, None, &issuer.key).ok()?,
    };
    Some([own, delegation].concat())
}
