//! One thing to be had at one address: which answer fits it, and what of the answer is kept.

use bytes::Bytes;
use formats::digest::sha256;
use time::OffsetDateTime;
use trust_store::revocation::crl::Crl;
use trust_store::revocation::ocsp::{CertStatus, OcspRequest, SingleResponse};
use trust_store::{Evidence, EvidenceQuery};

use super::outbound::FetchError;

/// What is asked, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question {
    Crl { url: String },
    Ocsp { url: String, request: OcspRequest },
    Certificate { url: String },
}

/// An answer that fits its question. Whether it is authentic, the validation judges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// As it came.
    pub(crate) der: Vec<u8>,
    /// Its thisUpdate; certificates have none.
    pub(super) this_update: Option<OffsetDateTime>,
    /// Its nextUpdate.
    pub(crate) next_update: Option<OffsetDateTime>,
    /// Certificates do not run out as answers.
    pub(super) lasting: bool,
    /// When it came.
    pub(super) fetched: OffsetDateTime,
}

/// An answer that does not say until when it is the newest one counts as that for so long.
const UNSTATED: time::Duration = time::Duration::seconds(60);
/// Answers may be dated so much later than the clock here.
const SKEW: time::Duration = time::Duration::minutes(15);

impl Question {
    /// Each address of a query, in its order; none for what is not fetched from an address.
    pub(super) fn all_of(query: &EvidenceQuery) -> Vec<Self> {
        let urls = query.urls().iter().cloned();
        match query {
            EvidenceQuery::Crl { .. } => urls.map(|url| Self::Crl { url }).collect(),
            EvidenceQuery::Ocsp { request, .. } => {
                let ask = |url| Self::Ocsp {
                    url,
                    request: request.clone(),
                };
                urls.map(ask).collect()
            }
            EvidenceQuery::Certificate { .. } => urls.map(|url| Self::Certificate { url }).collect(),
            EvidenceQuery::Timestamp { .. } => Vec::new(),
        }
    }

    pub(super) fn url(&self) -> &str {
        match self {
            Self::Crl { url } | Self::Ocsp { url, .. } | Self::Certificate { url } => url,
        }
    }

    /// Whether the address is that of a certificate with a path to an anchor. Where an issuer is missing there is none yet, and any
    /// sender could have written it.
    pub(super) fn is_vouched(&self) -> bool {
        !matches!(self, Self::Certificate { .. })
    }

    /// For people.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Crl { .. } => "CRL",
            Self::Ocsp { .. } => "OCSP response",
            Self::Certificate { .. } => "certificate",
        }
    }

    /// Its name, the same after a restart: kind, address, and for OCSP which certificate.
    pub(crate) fn key(&self) -> String {
        let kind = self.kind();
        match self {
            Self::Crl { url } | Self::Certificate { url } => format!("{kind} {url}"),
            Self::Ocsp { url, request } => format!("{kind} {url} {}", hex::encode(sha256(&request.encode(None)))),
        }
    }

    /// The first word of its key.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Crl { .. } => "crl",
            Self::Ocsp { .. } => "ocsp",
            Self::Certificate { .. } => "certificate",
        }
    }

    /// The question a key stands for, where the key says all of it: an OCSP response is asked for again only when needed.
    pub(super) fn of_key(key: &str) -> Option<Self> {
        let (kind, url) = key.split_once(' ')?;
        let url = url.to_owned();
        match kind {
            "crl" => Some(Self::Crl { url }),
            "certificate" => Some(Self::Certificate { url }),
            _ => None,
        }
    }

    /// The largest answer: the largest CRLs known are below 10 MiB.
    pub(super) fn most_bytes(&self) -> usize {
        match self {
            Self::Crl { .. } => 32 << 20,
            Self::Ocsp { .. } | Self::Certificate { .. } => 256 << 10,
        }
    }

    /// What is posted, and the media type it has; `None`: the address is got.
    pub(super) fn sent(&self, nonce: &[u8]) -> Option<(Bytes, &'static str)> {
        match self {
            Self::Ocsp { request, .. } => Some((request.encode(Some(nonce)).into(), "application/ocsp-request")),
            Self::Crl { .. } | Self::Certificate { .. } => None,
        }
    }

    /// The answer, if it fits.
    ///
    /// # Errors
    /// [`FetchError::NotThat`] for rubbish, for another certificate's answer, for one dated in the future.
    pub(super) fn answer(&self, bytes: Vec<u8>, nonce: &[u8], now: OffsetDateTime) -> Result<Kept, FetchError> {
        if let Self::Ocsp { request, .. } = self {
            let answer = request.answered_by(&bytes, Some(nonce));
            let answer = answer.map_err(|why| FetchError::NotThat(why.to_string()))?;
            if answer.this_update > now.saturating_add(SKEW) {
                return Err(FetchError::NotThat("the OCSP response is dated later than now".into()));
            }
        }
        Kept::read(&self.key(), bytes, now)
    }
}

impl Kept {
    /// Reads what is kept under a key.
    ///
    /// # Errors
    /// [`FetchError::NotThat`].
    pub(super) fn read(key: &str, bytes: Vec<u8>, fetched: OffsetDateTime) -> Result<Self, FetchError> {
        let not = |what: &str| FetchError::NotThat(format!("the answer is no {what}"));
        let kept = |der, this_update, next_update, lasting| Self {
            der,
            this_update,
            next_update,
            lasting,
            fetched,
        };
        if key.starts_with("crl ") {
            let crl = Crl::parse(&bytes).map_err(|_| not("CRL"))?;
            if crl.this_update > fetched.saturating_add(SKEW) {
                return Err(FetchError::NotThat("the CRL is dated later than now".into()));
            }
            let (this_update, next_update) = (crl.this_update, crl.next_update);
            Ok(kept(bytes, Some(this_update), next_update, false))
        } else if key.starts_with("ocsp ") {
            let response = trust_store::revocation::ocsp::OcspResponse::parse(&bytes);
            let basic = response.ok().and_then(|response| response.basic);
            let basic = basic.ok_or_else(|| not("OCSP response"))?;
            let next = basic.singles.iter().filter_map(|single| single.next_update).min();
            let this = basic.singles.iter().map(|single| single.this_update).min();
            // *unknown* may be otherwise a minute later, when the responder has heard of a new card: never good enough to be kept.
            let knows = |single: &SingleResponse| single.status != CertStatus::Unknown;
            let next = if basic.singles.iter().all(knows) { next } else { this };
            Ok(kept(bytes, this, next, false))
        } else {
            let mut found = Evidence::default();
            found.add("", &bytes);
            if found.certificates.is_empty() {
                return Err(not("certificate"));
            }
            Ok(kept(bytes, None, None, true))
        }
    }

    /// Whether no newer one is to be expected yet.
    pub(super) fn is_current(&self, now: OffsetDateTime) -> bool {
        self.lasting || now < self.next_update.unwrap_or(self.fetched + UNSTATED)
    }

    /// Adds it to what a validation may use.
    pub(crate) fn add_to(&self, evidence: &mut Evidence) {
        evidence.add("an answer that was fetched", &self.der);
    }
}
