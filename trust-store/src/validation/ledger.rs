//! The checks made so far and the verdict they add up to: every check is made, the first matching row decides.

use crate::report::{Check, CheckResult, Indication, SubIndication};

/// Why a signature does not pass, in the order of `CONTRACTS.md` §3 "First match wins": the least one decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Row {
    /// Container, manifest, envelope, CMS; unreadable input.
    FormatFailure,
    /// File, message digest, imprint.
    HashFailure,
    /// This signature or token.
    SigCryptoFailure,
    /// The signer at best signature time.
    Revoked,
    /// Best signature time after the signer's validity.
    Expired,
    /// Best signature time before the signer's validity.
    NotYetValid,
    /// Role, key usage, signer is a CA, signing policy, ESS mismatch, stamp EKU.
    SigConstraintsFailure,
    /// No path of sound signatures and matching names to an anchor.
    NoCertificateChainFound,
    /// RFC 5280 §6; expired CA or anchor.
    ChainConstraintsFailure,
    /// A CA of the path is revoked.
    RevokedCaNoPoe,
    /// An algorithm, key size or its last acceptable date.
    CryptoConstraintsFailure,
    /// Revoked, and nothing proves that the signature is older.
    RevokedNoPoe,
    /// Outside validity, and nothing proves that the signature is of another time.
    OutOfBoundsNoPoe,
    /// Below `minimum_level`: indeterminate, where the other SIG_CONSTRAINTS_FAILURE is a failure.
    BelowMinimumLevel,
    /// A bare signature without its content.
    SignedDataNotFound,
    /// Evidence missing that may still come.
    TryLater,
}

impl Row {
    pub(super) fn indication(self) -> Indication {
        if self <= Self::SigConstraintsFailure {
            Indication::TotalFailed
        } else {
            Indication::Indeterminate
        }
    }

    pub(super) fn sub_indication(self) -> SubIndication {
        match self {
            Self::FormatFailure => SubIndication::FormatFailure,
            Self::HashFailure => SubIndication::HashFailure,
            Self::SigCryptoFailure => SubIndication::SigCryptoFailure,
            Self::Revoked => SubIndication::Revoked,
            Self::Expired => SubIndication::Expired,
            Self::NotYetValid => SubIndication::NotYetValid,
            Self::SigConstraintsFailure | Self::BelowMinimumLevel => SubIndication::SigConstraintsFailure,
            Self::NoCertificateChainFound => SubIndication::NoCertificateChainFound,
            Self::ChainConstraintsFailure => SubIndication::ChainConstraintsFailure,
            Self::RevokedCaNoPoe => SubIndication::RevokedCaNoPoe,
            Self::CryptoConstraintsFailure => SubIndication::CryptoConstraintsFailure,
            Self::RevokedNoPoe => SubIndication::RevokedNoPoe,
            Self::OutOfBoundsNoPoe => SubIndication::OutOfBoundsNoPoe,
            Self::SignedDataNotFound => SubIndication::SignedDataNotFound,
            Self::TryLater => SubIndication::TryLater,
        }
    }
}

/// Checks in the order made, and the least row among them.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    checks: Vec<Check>,
    verdict: Option<(Row, String)>,
    possible: Option<Row>,
}

/// More sentences than a person reads, of what failed and of the rest; an attacker's container may cause millions.
const MAX_CHECKS: usize = 500;

impl Ledger {
    /// A check that passed.
    pub(super) fn pass(&mut self, name: &str, detail: impl Into<String>) {
        self.write(name, CheckResult::Passed, detail.into());
    }

    /// Something odd that decides nothing.
    pub(super) fn warn(&mut self, name: &str, detail: impl Into<String>) {
        self.write(name, CheckResult::Warning, detail.into());
    }

    /// A check that did not pass.
    pub(super) fn fail(&mut self, name: &str, row: Row, detail: impl Into<String>) {
        let decides = self.verdict.as_ref().is_none_or(|(least, _)| row < *least);
        if decides {
            self.verdict = Some((row, name.to_owned()));
        }
        let result = match row.indication() {
            Indication::Indeterminate => CheckResult::Indeterminate,
            _ => CheckResult::Failed,
        };
        self.keep(name, result, detail.into(), decides);
    }

    /// Evidence that is missing so far may bring this row.
    pub(super) fn may_become(&mut self, row: Row) {
        self.possible = Some(self.possible.map_or(row, |least| least.min(row)));
    }

    /// Takes over all of `other`.
    pub(super) fn extend(&mut self, other: Self) {
        if let Some(row) = other.possible {
            self.may_become(row);
        }
        let mut deciding = None;
        if let Some((row, name)) = other.verdict
            && self.verdict.as_ref().is_none_or(|(least, _)| row < *least)
        {
            deciding = Some(name.clone());
            self.verdict = Some((row, name));
        }
        for check in other.checks {
            let decides = is_failure(check.result) && deciding.as_ref() == Some(&check.name);
            self.keep(&check.name, check.result, check.detail, decides);
        }
    }

    /// Takes over what `other` found, as warnings: it decides nothing here.
    pub(super) fn extend_as_warnings(&mut self, other: Self) {
        for check in other.checks {
            let result = if check.result == CheckResult::Passed {
                check.result
            } else {
                CheckResult::Warning
            };
            self.write(&check.name, result, check.detail);
        }
    }

    /// The row that decides; `None` if everything passed.
    pub(super) fn row(&self) -> Option<Row> {
        self.verdict.as_ref().map(|(row, _)| *row)
    }

    /// The least row that missing evidence may bring.
    pub(super) fn possible(&self) -> Option<Row> {
        self.possible
    }

    /// Name of the check that decides.
    pub(super) fn decided_by(&self) -> Option<&str> {
        self.verdict.as_ref().map(|(_, name)| name.as_str())
    }

    pub(super) fn into_checks(self) -> Vec<Check> {
        self.checks
    }

    fn write(&mut self, name: &str, result: CheckResult, detail: String) {
        self.keep(name, result, detail, false);
    }

    /// `decides`: written whatever else there is, for no verdict is without its reason.
    fn keep(&mut self, name: &str, result: CheckResult, detail: String, decides: bool) {
        let repeated = self
            .checks
            .iter()
            .rev()
            .take(20)
            .any(|known| known.name == name && known.result == result && known.detail == detail);
        let failures = is_failure(result);
        let alike = self.checks.iter().filter(|known| is_failure(known.result) == failures);
        if (alike.count() < MAX_CHECKS || decides) && !repeated {
            self.checks.push(Check {
                name: name.to_owned(),
                result,
                detail,
            });
        }
    }
}

fn is_failure(result: CheckResult) -> bool {
    matches!(result, CheckResult::Failed | CheckResult::Indeterminate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decides_is_written_however_much_else_there_is() {
        let mut ledger = Ledger::default();
        for number in 0..600 {
            ledger.warn("files", format!("an oddity {number}"));
        }
        for number in 0..600 {
            ledger.fail("level", Row::TryLater, format!("unknown {number}"));
        }
        let mut outer = ledger.clone();
        let mut revoked = Ledger::default();
        revoked.fail("revocation", Row::Revoked, "the card was revoked");
        outer.extend(revoked);
        ledger.fail("revocation", Row::Revoked, "the card was revoked");
        for ledger in [ledger, outer] {
            assert_eq!(ledger.decided_by(), Some("revocation"));
            let checks = ledger.into_checks();
            assert_eq!(checks.len(), 2 * MAX_CHECKS + 1);
            assert_eq!(checks.last().unwrap().detail, "the card was revoked");
        }
    }

    #[test]
    fn the_least_row_decides_whatever_the_order_of_checks() {
        let mut ledger = Ledger::default();
        ledger.fail("revocation", Row::TryLater, "no CRL");
        ledger.fail("role", Row::SigConstraintsFailure, "a nurse");
        ledger.fail("level", Row::BelowMinimumLevel, "B-B");
        assert_eq!(
            (ledger.row(), ledger.decided_by()),
            (Some(Row::SigConstraintsFailure), Some("role"))
        );
        let mut outer = Ledger::default();
        outer.fail("files", Row::HashFailure, "one file");
        outer.extend(ledger.clone());
        assert_eq!(outer.row(), Some(Row::HashFailure));
        assert_eq!(outer.possible(), None);
        ledger.may_become(Row::Expired);
        ledger.may_become(Row::RevokedNoPoe);
        outer.extend(ledger.clone());
        assert_eq!(outer.possible(), Some(Row::Expired));
        let mut warned = Ledger::default();
        warned.extend_as_warnings(ledger);
        assert_eq!((warned.row(), warned.possible()), (None, None));
        assert!(
            warned
                .into_checks()
                .iter()
                .all(|check| check.result == CheckResult::Warning)
        );
    }

    #[test]
    fn rows_up_to_constraints_fail_and_the_rest_is_indeterminate() {
        assert_eq!(Row::FormatFailure.indication(), Indication::TotalFailed);
        assert_eq!(Row::SigConstraintsFailure.indication(), Indication::TotalFailed);
        assert_eq!(Row::NoCertificateChainFound.indication(), Indication::Indeterminate);
        assert_eq!(Row::BelowMinimumLevel.indication(), Indication::Indeterminate);
        assert_eq!(
            Row::BelowMinimumLevel.sub_indication(),
            SubIndication::SigConstraintsFailure
        );
    }
}
