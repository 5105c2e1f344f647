//! A piece of evidence that arrived: a CRL, or an OCSP response about one certificate.

use std::fmt::{self, Display};
use std::sync::{Arc, OnceLock};

use formats::digest::sha256;
use time::OffsetDateTime;
use trust_store::name::DistinguishedName;
use trust_store::report::rfc3339;
use trust_store::revocation::Revocation;
use trust_store::revocation::crl::Crl;
use trust_store::revocation::ocsp::{BasicResponse, CertStatus, OcspResponse, SingleResponse};

use super::rests::{Asked, Name};
use super::watch::Watch;
use crate::evidence::{Kept, Question};

/// What arrived.
pub(super) struct Piece {
    /// As fetched.
    pub(super) kept: Arc<Kept>,
    /// Its SHA-256.
    pub(super) sha256: [u8; 32],
    /// As read.
    pub(super) said: Said,
    /// Set once an authority is known that signed it.
    authentic: OnceLock<()>,
}

/// What it says.
pub(super) enum Said {
    /// Of all that its authority issued.
    List(Box<Crl>),
    /// Of one certificate.
    Answer(Box<Answer>),
}

/// An OCSP response, read for the one certificate it was asked for.
pub(super) struct Answer {
    pub(super) name: Name,
    pub(super) response: BasicResponse,
    pub(super) single: SingleResponse,
}

impl Piece {
    /// Reads what was kept: a CRL, or the answer to `asked`.
    pub(super) fn read(kept: Arc<Kept>, asked: Option<&Asked>) -> Option<Self> {
        let said = match asked {
            None => Said::List(Box::new(Crl::parse(&kept.der).ok()?)),
            Some(asked) => Said::answer(&kept.der, asked)?,
        };
        Some(Self {
            sha256: sha256(&kept.der),
            kept,
            said,
            authentic: OnceLock::new(),
        })
    }

    /// Whether an authority known by now signed it.
    pub(super) fn is_authentic(&self, watch: &Watch) -> bool {
        let known = self.authentic.get().is_some();
        if !known && watch.is_authentic(&self.said) {
            let _ = self.authentic.set(());
            return true;
        }
        known
    }
}

impl Said {
    /// The answer to `asked`; of several about the same certificate the one that revokes.
    pub(super) fn answer(der: &[u8], asked: &Asked) -> Option<Self> {
        let response = OcspResponse::parse(der).ok()?.basic?;
        let Question::Ocsp { request, .. } = &asked.question else {
            return None;
        };
        let about = response.singles.iter().filter(|one| one.cert_id == request.cert_id);
        let single = about.min_by_key(|one| !matches!(one.status, CertStatus::Revoked(_)))?;
        let single = single.clone();
        Some(Self::Answer(Box::new(Answer {
            name: asked.name.clone(),
            response,
            single,
        })))
    }

    /// What it says against a certificate.
    pub(super) fn find(&self, issuer: &DistinguishedName, serial: &[u8]) -> Option<Revocation> {
        match self {
            Self::List(crl) => crl.find(issuer, serial),
            Self::Answer(answer) => match &answer.single.status {
                CertStatus::Revoked(revocation) if answer.name.is_of(issuer, serial) => Some(revocation.clone()),
                _ => None,
            },
        }
    }

    /// thisUpdate
    pub(super) fn this_update(&self) -> OffsetDateTime {
        match self {
            Self::List(crl) => crl.this_update,
            Self::Answer(answer) => answer.single.this_update,
        }
    }

    /// Whose certificates it confirms by naming them not, as [`super::rests::Rests::unconfirmed`] names them.
    pub(super) fn confirms(&self) -> String {
        match self {
            Self::List(crl) => crl.issuer.to_string(),
            Self::Answer(answer) if answer.single.status == CertStatus::Unknown => String::new(),
            Self::Answer(answer) => answer.name.to_string(),
        }
    }
}

impl Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(crl) => write!(f, "CRL of {}", crl.issuer)?,
            Self::Answer(answer) => write!(
                f,
                "OCSP response of {} about a certificate of {}",
                answer.response.responder, answer.name.issuer
            )?,
        }
        write!(f, ", thisUpdate {}", rfc3339(self.this_update()))
    }
}
