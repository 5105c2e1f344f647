//! The verdict as one plain sentence, Japanese or English, for people who never read a check's name.

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use super::{SignerSummary, SubIndication, ValidationReport};
use crate::role_policy::{RoleClass, classify};

/// Language of sentences for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// 日本語
    Japanese,
    /// English
    English,
}

pub(super) fn sentence(report: &ValidationReport, language: Language) -> String {
    let who = report.signer.as_ref().map(|signer| person(signer, language));
    let Some(sub) = report.sub_indication else {
        let who = who.unwrap_or_else(|| unknown_signer(language).to_owned());
        let when = moment(report.best_signature_time.as_deref(), language);
        return match (language, report.rests_on_archive()) {
            (Language::Japanese, false) => format!("{who}が署名し、{when}の時点で有効でした。"),
            (Language::English, false) => format!("Signed by {who}; the signature was valid at {when}."),
            (Language::Japanese, true) => {
                format!("{who}が署名し、{when}の時点で有効でした。そのことは長期保存用タイムスタンプが証明しています。")
            }
            (Language::English, true) => {
                format!("Signed by {who}; the signature was valid at {when}, as its archive time stamps prove.")
            }
        };
    };
    if sub == SubIndication::FormatFailure && who.is_none() {
        return match language {
            Language::Japanese => {
                "判定できません。署名付きコンテナ（.asice）でも署名（.p7s）でも署名付き PDF でもないか、壊れています。".to_owned()
            }
            Language::English => {
                "The file cannot be judged: it is no container (.asice), signature (.p7s) or signed PDF, or it is damaged."
                    .to_owned()
            }
        };
    }
    let who = who.unwrap_or_else(|| unknown_signer(language).to_owned());
    let decided_by = report.reason().map_or("", |check| check.name.as_str());
    let why = match language {
        Language::Japanese if decided_by == "pdf_changes" => "署名された後に PDF が変更されています。",
        Language::English if decided_by == "pdf_changes" => "the PDF was changed after it was signed.",
        _ => reason(sub, decided_by, language),
    };
    match (language, sub) {
        (Language::Japanese, SubIndication::TryLater) => format!("{who}の署名はまだ確認できていません。{why}"),
        (Language::English, SubIndication::TryLater) => {
            format!("The signature of {who} could not be confirmed yet: {why}")
        }
        (Language::Japanese, _) => format!("{who}の署名は有効と認められません。{why}"),
        (Language::English, _) => format!("The signature of {who} is not accepted: {why}"),
    }
}

impl ValidationReport {
    /// Whether the verdict would be another without the archive.
    fn rests_on_archive(&self) -> bool {
        self.checks.iter().any(|check| check.name == "archive_needed")
    }
}

fn unknown_signer(language: Language) -> &'static str {
    match language {
        Language::Japanese => "不明な署名者",
        Language::English => "an unknown signer",
    }
}

/// `医師 Sanjushi Kagurazaka（MEDIS UNIVERSITY HOSPITAL）`
fn person(signer: &SignerSummary, language: Language) -> String {
    let name = attribute(&signer.subject, "CN").unwrap_or_else(|| signer.subject.clone());
    let mut roles: Vec<&str> = signer
        .hc_roles
        .iter()
        .map(|role| match (language, classify(role)) {
            (Language::Japanese, RoleClass::Qualification(known) | RoleClass::Manager(known)) => known.japanese,
            _ => role.as_str(),
        })
        .collect();
    roles.truncate(4);
    let place = attribute(&signer.subject, "O").filter(|place| !place.is_empty());
    match language {
        Language::Japanese => {
            let place = place.map_or_else(String::new, |place| format!("（{place}）"));
            let roles = if roles.is_empty() {
                "資格の記載のない".to_owned()
            } else {
                roles.join("・")
            };
            format!("{roles} {name}{place}")
        }
        Language::English => {
            let place = place.map_or_else(String::new, |place| format!(", {place}"));
            let roles = if roles.is_empty() {
                "no qualification stated".to_owned()
            } else {
                roles.join(" and ")
            };
            format!("{name} ({roles}{place})")
        }
    }
}

/// `decided_by`: name of the check, where one sub-indication has several causes that people tell apart.
fn reason(sub: SubIndication, decided_by: &str, language: Language) -> &'static str {
    let (japanese, english) = match sub {
        SubIndication::FormatFailure => (
            "ファイルの形式が壊れているか、規格に合っていません。",
            "the file is damaged or does not follow the standard.",
        ),
        SubIndication::HashFailure => (
            "署名された後に内容が変わっています。",
            "the contents are not those that were signed.",
        ),
        SubIndication::SigCryptoFailure => (
            "署名の値が一致せず、改ざんされたおそれがあります。",
            "the signature value does not match; it may have been tampered with.",
        ),
        SubIndication::Revoked | SubIndication::RevokedNoPoe => (
            "署名に使われた証明書は失効しています。",
            "the certificate used to sign has been revoked.",
        ),
        SubIndication::Expired => (
            "署名の時点で証明書の有効期限が切れていました。",
            "the certificate had expired when the document was signed.",
        ),
        SubIndication::NotYetValid => (
            "署名の時点で証明書の有効期間がまだ始まっていませんでした。",
            "the certificate was not yet valid when the document was signed.",
        ),
        SubIndication::SigConstraintsFailure if decided_by == "role" => (
            "この種類の文書に署名できる資格ではありません。",
            "this profession may not sign this kind of document.",
        ),
        SubIndication::SigConstraintsFailure if decided_by == "qualification" => (
            "署名者の資格が確認されていません。",
            "nobody has checked the signer's qualification.",
        ),
        SubIndication::SigConstraintsFailure if decided_by == "level" => (
            "タイムスタンプなど、必要な水準の証拠がありません。",
            "it does not reach the level required; a time stamp is missing.",
        ),
        SubIndication::SigConstraintsFailure if decided_by.starts_with("timestamp") => (
            "タイムスタンプが条件を満たしていません。",
            "its time stamp does not meet the conditions.",
        ),
        SubIndication::SigConstraintsFailure => (
            "証明書または署名がこの用途の条件を満たしていません。",
            "the certificate or signature does not meet the conditions for this use.",
        ),
        SubIndication::NoCertificateChainFound => (
            "信頼する認証局にたどり着けません。",
            "it does not lead to a trusted certification authority.",
        ),
        SubIndication::ChainConstraintsFailure => (
            "認証局の証明書が条件を満たしていません。",
            "a certification authority in between does not meet the conditions.",
        ),
        SubIndication::RevokedCaNoPoe => (
            "認証局の証明書が失効しています。",
            "a certification authority's certificate has been revoked.",
        ),
        SubIndication::CryptoConstraintsFailure => (
            "受け入れられない暗号方式が使われています。",
            "it uses an algorithm that is not accepted.",
        ),
        SubIndication::OutOfBoundsNoPoe => (
            "証明書の有効期間内に署名されたことを示すものがありません。",
            "nothing proves that it was signed while the certificates were valid.",
        ),
        SubIndication::SignedDataNotFound => ("署名の対象となる文書がありません。", "the signed document is missing."),
        SubIndication::TryLater => (
            "失効情報または時刻の証明がまだ得られていません。",
            "revocation information or a time stamp is still missing.",
        ),
    };
    match language {
        Language::Japanese => japanese,
        Language::English => english,
    }
}

/// A time for people: Japan's clock in both languages, as those who read it live by it.
fn moment(rfc3339: Option<&str>, language: Language) -> String {
    let parsed = rfc3339.and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
    let (Some(time), Ok(japan)) = (parsed, UtcOffset::from_hms(9, 0, 0)) else {
        return match language {
            Language::Japanese => "不明な時刻".to_owned(),
            Language::English => "an unknown time".to_owned(),
        };
    };
    let time = time.to_offset(japan);
    let clock = format!("{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second());
    match language {
        Language::Japanese => {
            let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
            format!("{year}年{month}月{day}日 {clock}（日本時間）")
        }
        Language::English => format!("{} {clock} JST", time.date()),
    }
}

/// The value of the first attribute `key` in an RFC 4514 string, unescaped.
fn attribute(subject: &str, key: &str) -> Option<String> {
    let mut parts: Vec<String> = vec![String::new()];
    let mut characters = subject.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                let escaped = characters.next()?;
                parts.last_mut()?.push(escaped);
            }
            ',' | '+' => parts.push(String::new()),
            other => parts.last_mut()?.push(other),
        }
    }
    parts.iter().find_map(|part| {
        part.trim_start()
            .strip_prefix(key)?
            .strip_prefix('=')
            .map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Check, CheckResult, Diagnostic, Indication};
    use super::*;

    fn report(sub_indication: Option<SubIndication>) -> ValidationReport {
        ValidationReport {
            version: 1,
            indication: if sub_indication.is_none() {
                Indication::TotalPassed
            } else {
                Indication::TotalFailed
            },
            sub_indication,
            level: Some("B-T".into()),
            best_signature_time: Some("2026-11-22T01:02:03.5Z".into()),
            signer: Some(SignerSummary {
                subject: "CN=Sanjushi Kagurazaka,O=Hospital\\, Kagurazaka,C=JP".into(),
                issuer: "CN=CA".into(),
                serial: "01".into(),
                not_before: "2022-02-06T15:00:00Z".into(),
                not_after: "2027-02-07T14:59:59Z".into(),
                hc_roles: vec!["Medical Doctor".into()],
            }),
            files: Vec::new(),
            files_left_out: 0,
            timestamps: Vec::new(),
            checks: vec![Check {
                name: "role".into(),
                result: CheckResult::Failed,
                detail: String::new(),
            }],
            signatures: Vec::new(),
            embedded_signatures: Vec::new(),
            container_sha256: None,
            diagnostic: Diagnostic {
                decided_by: Some("role".into()),
                at: String::new(),
                evidence_sha256: String::new(),
                policy_sha256: String::new(),
                replay: None,
            },
        }
    }

    #[test]
    fn a_passed_report_says_who_and_when() {
        let report = report(None);
        assert_eq!(
            report.sentence(Language::Japanese),
            "医師 Sanjushi Kagurazaka（Hospital, Kagurazaka）が署名し、2026年11月22日 10:02:03（日本時間）の時点で有効でした。"
        );
        assert_eq!(
            report.sentence(Language::English),
            "Signed by Sanjushi Kagurazaka (Medical Doctor, Hospital, Kagurazaka); the signature was valid at 2026-11-22 10:02:03 JST."
        );
    }

    #[test]
    fn an_archive_that_decides_is_named() {
        let mut report = report(None);
        report.checks.push(Check {
            name: "archive_needed".into(),
            result: CheckResult::Passed,
            detail: String::new(),
        });
        assert!(
            report
                .sentence(Language::Japanese)
                .ends_with("そのことは長期保存用タイムスタンプが証明しています。")
        );
        assert!(
            report
                .sentence(Language::English)
                .ends_with("10:02:03 JST, as its archive time stamps prove.")
        );
    }

    #[test]
    fn a_failed_report_says_why() {
        let role = report(Some(SubIndication::SigConstraintsFailure));
        assert!(
            role.sentence(Language::Japanese)
                .ends_with("この種類の文書に署名できる資格ではありません。")
        );
        let mut neither = report(Some(SubIndication::FormatFailure));
        neither.signer = None;
        assert!(neither.sentence(Language::English).contains("no container"));
        let mut nobody = report(Some(SubIndication::TryLater));
        nobody.signer = None;
        assert_eq!(
            nobody.sentence(Language::English),
            "The signature of an unknown signer could not be confirmed yet: revocation information or a time stamp is still missing."
        );
    }

    #[test]
    fn one_sub_indication_of_several_causes_has_several_sentences() {
        let mut said = std::collections::BTreeSet::new();
        for cause in ["role", "qualification", "level", "timestamp_policy", "key_usage"] {
            let mut report = report(Some(SubIndication::SigConstraintsFailure));
            report.checks[0].name = cause.into();
            report.diagnostic.decided_by = Some(cause.into());
            said.insert(report.sentence(Language::Japanese));
        }
        assert_eq!(said.len(), 5);
    }

    #[test]
    fn attributes_are_found_behind_escapes() {
        assert_eq!(attribute("O=a\\,CN=b,CN=c+2.5.4.5=d", "CN").as_deref(), Some("c"));
        assert_eq!(attribute("OU=x", "O"), None);
        assert_eq!(attribute("", "CN"), None);
        assert_eq!(attribute("CN=a\\", "CN"), None);
    }
}
