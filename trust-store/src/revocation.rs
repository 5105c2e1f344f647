//! Revocation status (失効状態) at a time, from supplied evidence. [`crl`] reads, [`status`] finds what is
//! authentic and in scope, [`judge`] weighs it.

mod access;
mod budget;
pub mod crl;
mod distribution_point;
pub mod ocsp;
mod responder;
mod status;

use std::fmt::{self, Display};

use time::{Duration, OffsetDateTime};

pub use access::{issuer_urls, ocsp_urls};
pub(crate) use access::{names_evidence, names_ocsp};
use budget::Budget;
pub use crl::CrlPool;
pub use distribution_point::{delta_urls, urls};
pub use ocsp::{OcspPool, OcspRequest};
pub use status::{RevocationSources, status};

use crate::certificate::Certificate;
use crate::policy::Freshness;
use crate::report::rfc3339;

/// Whether a certificate was revoked at the time asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevocationStatus {
    /// Evidence that counts says it was not.
    Good {
        /// What it is.
        source: Source,
        /// thisUpdate of the newest evidence that counts.
        this_update: OffsetDateTime,
        /// Its nextUpdate.
        next_update: Option<OffsetDateTime>,
        /// Set if it was revoked after the time asked: the worst of what is stated.
        revoked_later: Option<Revocation>,
    },
    /// It was.
    Revoked {
        /// Of all that is stated, the worst: for a reason that spares nothing made before, then the earliest.
        revocation: Revocation,
        /// Evidence that counts as fresh was there: nothing worse was known then.
        current: bool,
    },
    /// The evidence does not say.
    Unknown {
        /// Why, in one sentence.
        reason: String,
        /// A responder that may speak for the issuer says now that it does not know the certificate (RFC 6960 §2.2): that is an
        /// answer, where the rest of what is unknown could not be asked.
        answered: bool,
    },
}

/// A revocation as stated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// revocationDate
    pub at: OffsetDateTime,
    /// reasonCode
    pub reason: Reason,
    /// invalidityDate: reported, never used.
    pub invalidity_date: Option<OffsetDateTime>,
    /// thisUpdate of the evidence.
    pub this_update: OffsetDateTime,
}

/// CRLReason, RFC 5280 §5.3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the standard's own")]
pub enum Reason {
    Unspecified,
    KeyCompromise,
    CaCompromise,
    AffiliationChanged,
    Superseded,
    CessationOfOperation,
    CertificateHold,
    RemoveFromCrl,
    PrivilegeWithdrawn,
    AaCompromise,
}

impl Reason {
    /// The reason of a code; codes not assigned count as unspecified.
    #[must_use]
    pub fn from_code(code: u8) -> Self {
        match code {
            1 => Self::KeyCompromise,
            2 => Self::CaCompromise,
            3 => Self::AffiliationChanged,
            4 => Self::Superseded,
            5 => Self::CessationOfOperation,
            6 => Self::CertificateHold,
            8 => Self::RemoveFromCrl,
            9 => Self::PrivilegeWithdrawn,
            10 => Self::AaCompromise,
            _ => Self::Unspecified,
        }
    }

    /// Whether what the key made before survives, RFC 3161 §4: for these reasons alone. No reason given counts as the worst.
    #[must_use]
    pub fn spares_earlier(self) -> bool {
        matches!(
            self,
            Self::AffiliationChanged | Self::Superseded | Self::CessationOfOperation | Self::PrivilegeWithdrawn
        )
    }
}

impl Revocation {
    /// The least is the worst: for a reason that spares nothing first, then the earliest.
    fn mildness(&self) -> (bool, OffsetDateTime) {
        (self.reason.spares_earlier(), self.at)
    }
}

/// The times a judgement depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// The time asked about: best signature time for a signer.
    pub judged_at: OffsetDateTime,
    /// The validator's clock.
    pub at: OffsetDateTime,
    /// How far after the clock evidence may be dated.
    pub skew: Duration,
    /// When evidence counts as fresh.
    pub freshness: Freshness,
}

/// Where a statement stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// In a CRL.
    Crl,
    /// In an OCSP response.
    Ocsp,
}

impl Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crl => "CRL",
            Self::Ocsp => "OCSP response",
        })
    }
}

/// What one authentic piece of evidence says about one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Where it stands.
    pub source: Source,
    /// thisUpdate
    pub this_update: OffsetDateTime,
    /// nextUpdate
    pub next_update: Option<OffsetDateTime>,
    /// The entry, where listed.
    pub revocation: Option<Revocation>,
    /// Reasons for which absence proves *good*, as bits of ReasonFlags; none if absence proves nothing (a delta on its own).
    pub reasons: u32,
    /// expiredCertsOnCRL or archiveCutoff.
    pub expired_since: Option<OffsetDateTime>,
}

/// Until when the keys of a path down to this authority, of this status, vouch for what they sign: not after its end, nor after its
/// key was given away. (The anchor vouches as long as it is one.) `until`: those above it. EN 319 102-1 §5.6.2.2, the control time.
pub(crate) fn vouches_until(
    authority: &Certificate,
    status: &RevocationStatus,
    until: Option<OffsetDateTime>,
) -> OffsetDateTime {
    let given_away = match status {
        RevocationStatus::Good {
            revoked_later: Some(later),
            ..
        } if !later.reason.spares_earlier() => Some(later.at),
        _ => None,
    };
    let ends = [until, given_away].into_iter().flatten();
    ends.fold(authority.not_after, OffsetDateTime::min)
}

/// Bits 1 to 8 of ReasonFlags, RFC 5280 §4.2.1.13.
pub const ALL_REASONS: u32 = 0x1fe;

/// Weighs authentic statements about a certificate that ends at `not_after`. The rules are `CONTRACTS.md` §3, "Signer revocation".
#[must_use]
pub fn judge(statements: &[Statement], not_after: OffsetDateTime, times: &Times) -> RevocationStatus {
    let latest = times.at.saturating_add(times.skew);
    let usable: Vec<&Statement> = statements
        .iter()
        .filter(|statement| statement.this_update <= latest)
        .collect();
    let lifted = |hold: &Revocation| {
        let newer = |statement: &&&Statement| statement.this_update > hold.this_update;
        usable
            .iter()
            .filter(newer)
            .any(|statement| match &statement.revocation {
                // Bit 6: certificateHold.
                None => statement.reasons & (1 << 6) != 0 && covers(statement, not_after),
                Some(other) => other.reason == Reason::RemoveFromCrl,
            })
    };
    let decisive = usable
        .iter()
        .filter_map(|statement| statement.revocation.as_ref())
        .filter(|revocation| {
            revocation.reason != Reason::RemoveFromCrl
                && revocation.at <= times.judged_at
                && !(revocation.reason == Reason::CertificateHold && lifted(revocation))
        })
        .min_by_key(|revocation| revocation.mildness());
    let fresh = |statement: &&&Statement| match times.freshness {
        Freshness::Service => {
            // A responder that names no nextUpdate has newer knowledge all the time (RFC 6960 §4.2.2.1): fresh is what it says now.
            let tolerance = match statement.source {
                Source::Crl => Duration::ZERO,
                Source::Ocsp => times.skew,
            };
            let until = statement
                .next_update
                .unwrap_or(statement.this_update.saturating_add(tolerance));
            until >= times.judged_at
        }
        Freshness::Strict => statement.this_update >= times.judged_at,
    };
    let fresh: Vec<&Statement> = usable.iter().filter(fresh).copied().collect();
    let proving: Vec<&Statement> = fresh
        .iter()
        .filter(|statement| statement.revocation.is_some() || covers(statement, not_after))
        .copied()
        .collect();
    let reasons = proving.iter().fold(0, |reasons, statement| reasons | statement.reasons);
    if let Some(revocation) = decisive {
        return RevocationStatus::Revoked {
            revocation: revocation.clone(),
            current: reasons & ALL_REASONS == ALL_REASONS,
        };
    }
    let newest = proving.iter().max_by_key(|statement| statement.this_update);
    match newest {
        Some(newest) if reasons & ALL_REASONS == ALL_REASONS => RevocationStatus::Good {
            source: newest.source,
            this_update: newest.this_update,
            next_update: newest.next_update,
            revoked_later: usable
                .iter()
                .filter_map(|statement| statement.revocation.as_ref())
                .filter(|revocation| revocation.reason != Reason::RemoveFromCrl && revocation.at > times.judged_at)
                .min_by_key(|revocation| revocation.mildness())
                .cloned(),
        },
        Some(_) => unknown("the CRLs at hand do not cover all reasons for revocation"),
        None if !fresh.is_empty() => {
            let source = noun(&fresh);
            unknown(format!(
                "the {source} is newer than the certificate's end and need not list it any more"
            ))
        }
        None if !usable.is_empty() => {
            let source = noun(&usable);
            unknown(format!("the {source} is no longer current at the time in question"))
        }
        None if !statements.is_empty() => {
            let earliest = statements.iter().map(|statement| statement.this_update).min();
            let (stated, now) = (earliest.map(rfc3339).unwrap_or_default(), rfc3339(times.at));
            unknown(format!(
                "what is at hand is dated later than now: {stated}, and it is {now}"
            ))
        }
        None => unknown("no CRL covers the certificate"),
    }
}

/// What the statements stand in, in a word.
fn noun(statements: &[&Statement]) -> &'static str {
    let is = |source| statements.iter().all(|statement| statement.source == source);
    match (is(Source::Crl), is(Source::Ocsp)) {
        (true, _) => "CRL",
        (_, true) => "OCSP response",
        _ => "evidence",
    }
}

/// Whether absence from this evidence says anything: it must be older than the certificate's end, or keep expired ones.
fn covers(statement: &Statement, not_after: OffsetDateTime) -> bool {
    statement.this_update <= not_after || statement.expired_since.is_some_and(|since| since <= not_after)
}

pub(crate) fn unknown(reason: impl Into<String>) -> RevocationStatus {
    RevocationStatus::Unknown {
        reason: reason.into(),
        answered: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: i64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + Duration::days(20_000 + day)
    }

    fn good(this: i64, next: i64) -> Statement {
        Statement {
            source: Source::Crl,
            this_update: day(this),
            next_update: Some(day(next)),
            revocation: None,
            reasons: ALL_REASONS,
            expired_since: None,
        }
    }

    fn revoked(this: i64, next: i64, at: i64, reason: Reason) -> Statement {
        let revocation = Revocation {
            at: day(at),
            reason,
            invalidity_date: None,
            this_update: day(this),
        };
        Statement {
            revocation: Some(revocation),
            ..good(this, next)
        }
    }

    fn judged(statements: &[Statement], freshness: Freshness) -> RevocationStatus {
        let times = Times {
            judged_at: day(10),
            at: day(20),
            skew: Duration::minutes(5),
            freshness,
        };
        judge(statements, day(30), &times)
    }

    fn is_good(status: &RevocationStatus) -> bool {
        matches!(status, RevocationStatus::Good { .. })
    }

    #[test]
    fn freshness_of_service_and_strict() {
        assert!(is_good(&judged(&[good(8, 12)], Freshness::Service)));
        assert!(!is_good(&judged(&[good(8, 12)], Freshness::Strict)));
        assert!(!is_good(&judged(&[good(5, 9)], Freshness::Service)));
        assert!(is_good(&judged(&[good(10, 11)], Freshness::Strict)));
        let without_next = Statement {
            next_update: None,
            ..good(8, 0)
        };
        assert!(!is_good(&judged(&[without_next], Freshness::Service)));
    }

    #[test]
    fn any_revoked_decides_fresh_or_not() {
        let old = revoked(1, 2, 1, Reason::KeyCompromise);
        assert!(matches!(
            judged(&[good(10, 12), old], Freshness::Service),
            RevocationStatus::Revoked { current: true, .. }
        ));
    }

    #[test]
    fn of_several_revocations_the_worst_decides_in_any_order() {
        let mild = revoked(9, 12, 8, Reason::Superseded);
        let worst = revoked(4, 5, 3, Reason::KeyCompromise);
        let milder = revoked(9, 12, 2, Reason::CessationOfOperation);
        for statements in [
            [mild.clone(), worst.clone(), milder.clone()],
            [milder.clone(), mild.clone(), worst.clone()],
            [worst.clone(), milder.clone(), mild.clone()],
        ] {
            let RevocationStatus::Revoked { revocation, current } = judged(&statements, Freshness::Service) else {
                panic!("it is revoked");
            };
            assert_eq!(
                (revocation.at, revocation.reason, current),
                (day(3), Reason::KeyCompromise, true)
            );
        }
        // What a list of long ago says of the reason may not be the last word.
        let stale = judged(&[revoked(4, 5, 3, Reason::Superseded)], Freshness::Service);
        assert!(matches!(stale, RevocationStatus::Revoked { current: false, .. }));
        let later = |statements: &[Statement]| match judged(statements, Freshness::Service) {
            RevocationStatus::Good { revoked_later, .. } => revoked_later.map(|one| (one.at, one.reason)),
            other => panic!("{other:?}"),
        };
        let mild = revoked(18, 19, 11, Reason::Superseded);
        let worst = revoked(18, 19, 13, Reason::KeyCompromise);
        let expected = Some((day(13), Reason::KeyCompromise));
        assert_eq!(later(&[mild.clone(), worst.clone()]), expected);
        assert_eq!(later(&[worst, mild]), expected);
    }

    #[test]
    fn revoked_after_the_time_asked_is_still_good() {
        let status = judged(&[revoked(15, 18, 14, Reason::KeyCompromise)], Freshness::Service);
        assert!(matches!(
            status,
            RevocationStatus::Good {
                revoked_later: Some(_),
                ..
            }
        ));
    }

    #[test]
    fn only_newer_evidence_lifts_a_hold() {
        let hold = revoked(5, 9, 5, Reason::CertificateHold);
        assert!(is_good(&judged(&[hold.clone(), good(9, 12)], Freshness::Service)));
        assert!(matches!(
            judged(&[hold, good(4, 12)], Freshness::Service),
            RevocationStatus::Revoked { .. }
        ));
        let firm = revoked(5, 9, 5, Reason::Superseded);
        assert!(matches!(
            judged(&[firm, good(9, 12)], Freshness::Service),
            RevocationStatus::Revoked { .. }
        ));
    }

    #[test]
    fn nothing_dated_later_than_now_counts() {
        assert!(!is_good(&judged(&[good(21, 25)], Freshness::Service)));
        assert!(is_good(&judged(
            &[good(10, 12), revoked(21, 25, 1, Reason::KeyCompromise)],
            Freshness::Service
        )));
    }

    #[test]
    fn newer_than_the_certificate_proves_nothing_unless_expired_ones_stay() {
        let times = Times {
            judged_at: day(10),
            at: day(20),
            skew: Duration::ZERO,
            freshness: Freshness::Service,
        };
        assert!(!is_good(&judge(&[good(15, 18)], day(12), &times)));
        let keeping = Statement {
            expired_since: Some(day(0)),
            ..good(15, 18)
        };
        assert!(is_good(&judge(&[keeping], day(12), &times)));
    }

    #[test]
    fn reasons_add_up() {
        let some = Statement {
            reasons: 0x0fe,
            ..good(8, 12)
        };
        let rest = Statement {
            reasons: 0x100,
            ..good(8, 12)
        };
        assert!(!is_good(&judged(std::slice::from_ref(&some), Freshness::Service)));
        assert!(is_good(&judged(&[some, rest], Freshness::Service)));
    }
}
