//! Until when the newest archive stamp can be checked by itself: then a newer one must be over it.

use formats::asice::Container;
use formats::asice::archive::NEWEST;
use formats::cades::{Profile, SignedData};
use formats::timestamp::Token;
use time::OffsetDateTime;

use super::ledger::Ledger;
use super::{TrustStore, signer};
use crate::algorithm;
use crate::certificate::Certificate;
use crate::evidence::Evidence;
use crate::path::{self, CertificationPath, PathInputs};

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
    /// The end of a container's newest archive stamp: of the certificates on its path that lasts longest, or of its algorithms.
    /// `None` where there is no archive stamp whose path is valid at `now`.
    #[must_use]
    pub fn stamp_end(&self, container: &Container, now: OffsetDateTime) -> Option<StampEnd> {
        let newest = container.archives.iter().find(|archive| archive.name == NEWEST)?;
        let token = container.tokens.iter().find(|token| token.name == newest.token)?;
        let signatures = container.signatures.iter().map(|file| (&file.bytes, Profile::Document));
        let tokens = container.tokens.iter().map(|file| (&file.bytes, Profile::Token));
        let carriers: Vec<SignedData> = signatures
            .chain(tokens)
            .filter_map(|(bytes, profile)| SignedData::parse(bytes, profile).ok())
            .collect();
        self.token_end(&token.bytes, &carriers, now)
    }

    /// [`TrustStore::stamp_end`] of one token, with the certificates that it and `carriers` carry.
    #[must_use]
    pub fn token_end(&self, token: &[u8], carriers: &[SignedData], now: OffsetDateTime) -> Option<StampEnd> {
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
        let (mut until, mut because) = paths.iter().filter_map(end_of_path).max_by_key(|(until, _)| *until)?;
        let names = algorithm::algorithm_names(
            &signed.signer.signature_algorithm,
            Some(signed.signer.digest_algorithm),
            &certificate.key,
        );
        let mut names = names.ok()?;
        names.extend(
            parsed
                .info
                .imprint_algorithm
                .map(|algorithm| algorithm.name().to_owned()),
        );
        for name in names {
            if let Some(last) = self.policy.last_acceptable(&name).filter(|last| *last < until) {
                (until, because) = (last, EndOf::Algorithm(name));
            }
        }
        Some(StampEnd {
            authority: certificate.subject.to_string(),
            gen_time: parsed.info.gen_time,
            until,
            because,
        })
    }
}

/// The certificate of a path, its anchor included, that ends first.
fn end_of_path(path: &CertificationPath) -> Option<(OffsetDateTime, EndOf)> {
    let all = path
        .certificates
        .iter()
        .chain(std::iter::once(&path.anchor.certificate));
    let first: &Certificate = all.min_by_key(|certificate| certificate.not_after)?;
    Some((first.not_after, EndOf::Certificate(first.subject.to_string())))
}
