//! OCSP, RFC 6960: what to ask a responder, and what its answer says. Whether an answer is authentic is judged with the CRLs,
//! in `status`.

mod request;
mod response;

pub use request::{Answer, CertId, NotAnswered, OcspRequest};
pub use response::{BasicResponse, CertStatus, OcspResponse, ResponderId, ResponseStatus, SingleResponse};

use std::collections::HashMap;

use super::Budget;
use crate::certificate::Certificate;

/// Signatures verified for one validation.
const MAX_VERIFICATIONS: usize = 4_096;

/// OCSP responses at hand, read once.
#[derive(Debug, Clone, Default)]
pub struct OcspPool {
    responses: Vec<BasicResponse>,
    /// Positions of response and single response by serial number.
    by_serial: HashMap<Vec<u8>, Vec<(usize, usize)>>,
    /// What responders said who gave no answer.
    refusals: Vec<ResponseStatus>,
    /// Some did not parse or were too many.
    left_out: bool,
    /// Signatures verified so far.
    verified: Budget,
}

impl OcspPool {
    /// More responses than this are not taken.
    pub const MAX: usize = 4_096;

    /// Reads OCSPResponses, and bare BasicOCSPResponses as CAdES revocation-values carry them; those that do not parse are left
    /// out.
    #[must_use]
    pub fn from_der<'a>(responses: impl IntoIterator<Item = &'a Vec<u8>>) -> Self {
        let mut pool = Self::default();
        let mut responses = responses.into_iter();
        for bytes in responses.by_ref().take(Self::MAX) {
            match OcspResponse::parse(bytes) {
                Ok(OcspResponse { basic: Some(basic), .. }) => pool.add(basic),
                Ok(OcspResponse { status, .. }) if !pool.refusals.contains(&status) => pool.refusals.push(status),
                Ok(_) => {}
                Err(_) => pool.left_out = true,
            }
        }
        pool.left_out |= responses.next().is_some();
        pool
    }

    /// Whether some of what was handed in could not be read, or was not.
    pub(crate) fn left_out(&self) -> bool {
        self.left_out
    }

    /// Whether one more signature may be verified.
    pub(super) fn spend(&self) -> bool {
        self.verified.spend(MAX_VERIFICATIONS)
    }

    /// From now on what is spent here and there counts together.
    pub(crate) fn spend_with(&mut self, other: &Self) {
        self.verified = other.verified.clone();
    }

    /// Answers about certificates with this serial number, of whatever issuer, with the position of their response.
    pub(super) fn about(&self, serial: &[u8]) -> impl Iterator<Item = (usize, &BasicResponse, &SingleResponse)> {
        let positions = self.by_serial.get(serial).map(Vec::as_slice).unwrap_or_default();
        positions.iter().filter_map(|(position, index)| {
            let response = self.responses.get(*position)?;
            Some((*position, response, response.singles.get(*index)?))
        })
    }

    /// The response with the newest answer about a certificate.
    pub(crate) fn newest(&self, certificate: &Certificate, issuer: &Certificate) -> Option<&BasicResponse> {
        let answers = self.about(&certificate.serial);
        let answers = answers.filter(|(_, _, single)| single.is_about(certificate, issuer));
        let newest = answers.max_by_key(|(_, _, single)| single.this_update);
        newest.map(|(_, response, _)| response)
    }

    /// What responders said who gave no answer.
    pub(super) fn refusals(&self) -> &[ResponseStatus] {
        &self.refusals
    }

    fn add(&mut self, response: BasicResponse) {
        let position = self.responses.len();
        for (index, single) in response.singles.iter().enumerate() {
            let about = self.by_serial.entry(single.cert_id.serial.clone()).or_default();
            about.push((position, index));
        }
        self.responses.push(response);
    }
}
