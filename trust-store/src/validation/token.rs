//! A time-stamp token fresh from its authority: whether it answers the request and would serve as a stamp, RFC 3161 §2.2.
//! Who asks several authorities takes the first token that passes here.

use const_oid::ObjectIdentifier;
use formats::timestamp::{Request, Token};
use time::OffsetDateTime;

use super::TrustStore;
use super::ledger::{Ledger, Row};
use super::stamp::{self, Over};
use crate::evidence::{Evidence, EvidenceQuery};
use crate::report::{CheckResult, rfc3339};

/// A token that answers its request and passes the rules of a stamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedToken {
    /// genTime.
    pub gen_time: OffsetDateTime,
    /// The policy it was issued under.
    pub policy: ObjectIdentifier,
    /// Subject of the authority's certificate.
    pub authority: String,
    /// What is still to be asked about the authority's revocation; empty if nothing.
    pub queries: Vec<EvidenceQuery>,
}

/// Why a token is not taken: another authority should be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct TokenRefusal {
    /// Name of the check that decides, as in a report.
    pub check: String,
    /// Why, in a sentence.
    pub detail: String,
}

impl TrustStore {
    /// Judges a token that came as the answer to `request`: imprint and nonce are the request's, genTime is `now` within
    /// `clock_skew`, and everything holds that a signature's stamp is held to. That the authority's revocation could not be
    /// asked yet is no reason to refuse it: it will be asked when the stamp is used.
    ///
    /// # Errors
    /// [`TokenRefusal`].
    pub fn judge_token(
        &self,
        token: &[u8],
        request: &Request,
        evidence: &Evidence,
        now: OffsetDateTime,
    ) -> Result<JudgedToken, TokenRefusal> {
        let mut evidence = evidence.clone();
        evidence.tokens = vec![token.to_vec()];
        let setting = self.setting(&[], &evidence, now, false);
        let over = Over::Asked(request.algorithm, &request.imprint);
        let stamp = stamp::judge(token, &over, now, &setting);
        let summary = stamp.summary();
        let mut ledger = stamp.ledger;
        let parsed = Token::parse(token).map_err(|_| refusal(&ledger))?;
        let info = parsed.info;
        if request.nonce.is_some() && info.nonce != request.nonce {
            ledger.fail(
                "timestamp_nonce",
                Row::HashFailure,
                "The time stamp answers another request: its nonce differs.",
            );
        }
        let skew = self.policy.clock_skew;
        if info.gen_time > now.saturating_add(skew) || info.gen_time < now.saturating_sub(skew) {
            let (stated, now) = (rfc3339(info.gen_time), rfc3339(now));
            let detail = format!(
                "The time stamp says {stated}, the clock here {now}: further apart than {} s.",
                skew.whole_seconds()
            );
            ledger.fail("timestamp_time", Row::OutOfBoundsNoPoe, detail);
        }
        match ledger.row() {
            None | Some(Row::TryLater) => Ok(JudgedToken {
                gen_time: info.gen_time,
                policy: info.policy,
                authority: summary.tsa.unwrap_or_default(),
                queries: stamp.queries,
            }),
            Some(_) => Err(refusal(&ledger)),
        }
    }
}

fn refusal(ledger: &Ledger) -> TokenRefusal {
    let check = ledger.decided_by().unwrap_or("timestamp_format").to_owned();
    let checks = ledger.clone().into_checks();
    let deciding = checks
        .into_iter()
        .find(|one| one.name == check && !matches!(one.result, CheckResult::Passed | CheckResult::Warning));
    let detail = deciding.map_or_else(|| "It is no time stamp.".to_owned(), |one| one.detail);
    TokenRefusal { check, detail }
}
