//! The report (検証結果): what was judged, how, and why, in ETSI EN 319 102-1 names. JSON shape: `CONTRACTS.md` §4.

mod sentence;
mod titles;

use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use crate::validation::Snapshot;

pub use sentence::Language;
pub use titles::Question;

/// Main indication, EN 319 102-1 §5.1.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Indication {
    /// TOTAL-PASSED
    #[serde(rename = "TOTAL-PASSED")]
    TotalPassed,
    /// TOTAL-FAILED
    #[serde(rename = "TOTAL-FAILED")]
    TotalFailed,
    /// INDETERMINATE
    #[serde(rename = "INDETERMINATE")]
    Indeterminate,
}

/// Sub-indication, EN 319 102-1 §5.1.3, those this validation gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the names are the standard's own")]
pub enum SubIndication {
    FormatFailure,
    HashFailure,
    SigCryptoFailure,
    Revoked,
    Expired,
    NotYetValid,
    SigConstraintsFailure,
    NoCertificateChainFound,
    ChainConstraintsFailure,
    RevokedCaNoPoe,
    CryptoConstraintsFailure,
    RevokedNoPoe,
    OutOfBoundsNoPoe,
    SignedDataNotFound,
    TryLater,
}

/// Greatest number of files a brief report speaks of. With names as long as they may be it stays near a mebibyte.
pub const BRIEF_FILES: usize = 1_000;

/// The report. Serialises to the JSON of `CONTRACTS.md` §4.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ValidationReport {
    /// Always 1.
    pub version: u32,
    /// The verdict.
    pub indication: Indication,
    /// Its reason; `None` with TOTAL-PASSED.
    pub sub_indication: Option<SubIndication>,
    /// `B-B`, `B-T`, …
    pub level: Option<String>,
    /// RFC 3339 UTC.
    pub best_signature_time: Option<String>,
    /// The signer of the deciding signature.
    pub signer: Option<SignerSummary>,
    /// Every file, on failure too; in a report made brief at most [`BRIEF_FILES`], those that do not match first.
    pub files: Vec<FileVerdict>,
    /// How many files a brief report leaves out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub files_left_out: usize,
    /// Every time stamp of the deciding signature, then the archive time stamps, newest first.
    pub timestamps: Vec<TimestampSummary>,
    /// Every check in the order made, of the deciding signature and the container.
    pub checks: Vec<Check>,
    /// Each signature on its own, where there are several.
    pub signatures: Vec<SignatureReport>,
    /// Signatures inside the files themselves, where they were looked at. They never decide about a container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub embedded_signatures: Vec<EmbeddedSignature>,
    /// SHA-256 of the container, hex.
    pub container_sha256: Option<String>,
    /// How it came about.
    pub diagnostic: Diagnostic,
}

/// How a report came about (診断情報).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diagnostic {
    /// Name of the check that decided; `None` with TOTAL-PASSED.
    pub decided_by: Option<String>,
    /// The validator's clock, RFC 3339 UTC.
    pub at: String,
    /// SHA-256 over the evidence, hex.
    pub evidence_sha256: String,
    /// SHA-256 over policy and anchors, hex.
    pub policy_sha256: String,
    /// Everything the verdict was made from; `None` in a report made brief.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Box<Snapshot>>,
}

impl ValidationReport {
    /// Whether the verdict is TOTAL-PASSED.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.indication == Indication::TotalPassed
    }

    /// The verdict as one plain sentence for whoever sent or received the letter.
    #[must_use]
    pub fn sentence(&self, language: Language) -> String {
        sentence::sentence(self, language)
    }

    /// The same report without what a replay needs and without the many files that only match: for an answer that must stay small.
    #[must_use]
    pub fn brief(&self) -> Self {
        Self {
            version: self.version,
            indication: self.indication,
            sub_indication: self.sub_indication,
            level: self.level.clone(),
            best_signature_time: self.best_signature_time.clone(),
            signer: self.signer.clone(),
            files: brief_files(&self.files),
            files_left_out: self.files.len().saturating_sub(BRIEF_FILES),
            timestamps: self.timestamps.clone(),
            checks: self.checks.clone(),
            signatures: self.signatures.clone(),
            embedded_signatures: self.embedded_signatures.clone(),
            container_sha256: self.container_sha256.clone(),
            diagnostic: Diagnostic {
                decided_by: self.diagnostic.decided_by.clone(),
                at: self.diagnostic.at.clone(),
                evidence_sha256: self.diagnostic.evidence_sha256.clone(),
                policy_sha256: self.diagnostic.policy_sha256.clone(),
                replay: None,
            },
        }
    }

    /// Adds a signature found inside a file: whatever it is worth, the container's own signature decides. One that does not pass, or
    /// was not checked, is a warning.
    pub fn embed(&mut self, embedded: EmbeddedSignature) {
        let (path, kind) = (&embedded.path, &embedded.kind);
        let (result, detail) = match &embedded.report {
            None => (
                CheckResult::Warning,
                format!("{path} holds a signature of its own ({kind}), which was not checked."),
            ),
            Some(report) if report.passed() => (
                CheckResult::Passed,
                format!("{path} holds a signature of its own ({kind}), which passed."),
            ),
            Some(report) => {
                let why = report.sub_indication.map_or("no reason", SubIndication::name);
                let detail = format!("{path} holds a signature of its own ({kind}), which did not pass: {why}.");
                (CheckResult::Warning, detail)
            }
        };
        self.checks.push(Check {
            name: "embedded_signature".to_owned(),
            result,
            detail,
        });
        self.embedded_signatures.push(embedded);
    }

    /// The check that decided, if something went wrong.
    #[must_use]
    pub fn reason(&self) -> Option<&Check> {
        let name = self.diagnostic.decided_by.as_deref()?;
        let wanted = match self.indication {
            Indication::TotalPassed => return None,
            Indication::TotalFailed => CheckResult::Failed,
            Indication::Indeterminate => CheckResult::Indeterminate,
        };
        self.checks
            .iter()
            .find(|check| check.name == name && check.result == wanted)
    }
}

impl SubIndication {
    /// ETSI's name: `FORMAT_FAILURE`, `TRY_LATER`, …
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FormatFailure => "FORMAT_FAILURE",
            Self::HashFailure => "HASH_FAILURE",
            Self::SigCryptoFailure => "SIG_CRYPTO_FAILURE",
            Self::Revoked => "REVOKED",
            Self::Expired => "EXPIRED",
            Self::NotYetValid => "NOT_YET_VALID",
            Self::SigConstraintsFailure => "SIG_CONSTRAINTS_FAILURE",
            Self::NoCertificateChainFound => "NO_CERTIFICATE_CHAIN_FOUND",
            Self::ChainConstraintsFailure => "CHAIN_CONSTRAINTS_FAILURE",
            Self::RevokedCaNoPoe => "REVOKED_CA_NO_POE",
            Self::CryptoConstraintsFailure => "CRYPTO_CONSTRAINTS_FAILURE",
            Self::RevokedNoPoe => "REVOKED_NO_POE",
            Self::OutOfBoundsNoPoe => "OUT_OF_BOUNDS_NO_POE",
            Self::SignedDataNotFound => "SIGNED_DATA_NOT_FOUND",
            Self::TryLater => "TRY_LATER",
        }
    }
}

/// As they are where they are few; else those that do not match, then the first of the others.
fn brief_files(files: &[FileVerdict]) -> Vec<FileVerdict> {
    if files.len() <= BRIEF_FILES {
        return files.to_vec();
    }
    let (matching, wrong): (Vec<_>, Vec<_>) = files.iter().partition(|file| file.digest_ok);
    wrong.into_iter().chain(matching).take(BRIEF_FILES).cloned().collect()
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes what it may skip by reference"
)]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A time as this house writes it: RFC 3339, UTC, `Z`, whole seconds unless there are fractions.
#[must_use]
pub fn rfc3339(time: OffsetDateTime) -> String {
    // Years a certificate or token can state all format; the fallback is never seen.
    time.to_offset(UtcOffset::UTC)
        .format(&Rfc3339)
        .unwrap_or_else(|_| time.to_string())
}

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignerSummary {
    /// Subject, RFC 4514.
    pub subject: String,
    /// Issuer, RFC 4514.
    pub issuer: String,
    /// Serial number, hex.
    pub serial: String,
    /// RFC 3339 UTC.
    pub not_before: String,
    /// RFC 3339 UTC.
    pub not_after: String,
    /// Roles as the certificate states them.
    pub hc_roles: Vec<String>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileVerdict {
    /// Path inside the container.
    pub path: String,
    /// Whether its bytes match every manifest.
    pub digest_ok: bool,
}

/// A signature inside a file of a container, beside the container's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EmbeddedSignature {
    /// Path of the file.
    pub path: String,
    /// `PDF signature`, `XML signature`, …
    pub kind: String,
    /// The verdict on it; `None`: it is there and was not checked.
    pub report: Option<Box<ValidationReport>>,
}

/// One time stamp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimestampSummary {
    /// RFC 3339 UTC, where readable.
    pub gen_time: Option<String>,
    /// Subject of the TSA certificate.
    pub tsa: Option<String>,
    /// TSA policy OID.
    pub policy: Option<String>,
    /// What it stamps: `signature` (the signature value) or `archive` (evidence and files as well).
    #[serde(default = "signature_kind")]
    pub kind: String,
    /// `PASSED`, or the sub-indication it failed with.
    pub indication: String,
}

/// Reports of earlier versions knew no other.
fn signature_kind() -> String {
    "signature".to_owned()
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// snake_case name.
    pub name: String,
    /// How it ended.
    pub result: CheckResult,
    /// One sentence with names.
    pub detail: String,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum CheckResult {
    Passed,
    Failed,
    Indeterminate,
    Warning,
}

/// The verdict on one signature of several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SignatureReport {
    /// Entry name of the signature.
    pub name: String,
    /// Its verdict.
    pub indication: Indication,
    /// Its reason.
    pub sub_indication: Option<SubIndication>,
    /// Level.
    pub level: Option<String>,
    /// Best signature time, RFC 3339 UTC.
    pub best_signature_time: Option<String>,
    /// Its signer.
    pub signer: Option<SignerSummary>,
    /// Its time stamps.
    pub timestamps: Vec<TimestampSummary>,
    /// Its checks.
    pub checks: Vec<Check>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brief_report_names_the_files_that_do_not_match_first() {
        let file = |number: usize| FileVerdict {
            path: format!("images/{number}"),
            digest_ok: number % 1_000 != 7,
        };
        let few: Vec<FileVerdict> = (0..BRIEF_FILES).map(file).collect();
        assert_eq!(brief_files(&few), few);
        let many: Vec<FileVerdict> = (0..100 * BRIEF_FILES).map(file).collect();
        let brief = brief_files(&many);
        assert_eq!(brief.len(), BRIEF_FILES);
        assert_eq!(brief.iter().take_while(|file| !file.digest_ok).count(), 100);
        assert_eq!(
            (brief[99].path.as_str(), brief[100].path.as_str()),
            ("images/99007", "images/0")
        );
    }
}
