//! What each check is called for people, in Japanese and English, and which question it belongs to. Findings of the container's
//! reader have codes of their own and share one title.

use super::{Check, Language};

/// The question a check helps to answer, in the order people ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// Are the files those that were signed?
    Files,
    /// Is it a signature, by that key?
    Signature,
    /// Whose is it, and may they?
    Signer,
    /// When was it made?
    Time,
    /// Was a certificate revoked?
    Revocation,
    /// What did the operator decide otherwise, and what was left aside?
    Policy,
}

impl Question {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [
        Self::Files,
        Self::Signature,
        Self::Signer,
        Self::Time,
        Self::Revocation,
        Self::Policy,
    ];

    /// A short label; all Japanese ones are equally wide, and so are the English ones.
    #[must_use]
    pub fn label(self, language: Language) -> &'static str {
        let (japanese, english) = match self {
            Self::Files => ("ファイル", "files     "),
            Self::Signature => ("署名　　", "signature "),
            Self::Signer => ("署名者　", "signer    "),
            Self::Time => ("時刻　　", "time      "),
            Self::Revocation => ("失効情報", "revocation"),
            Self::Policy => ("検証方針", "policy    "),
        };
        match language {
            Language::Japanese => japanese,
            Language::English => english,
        }
    }
}

/// Name, question, Japanese, English.
const TITLES: [(&str, Question, &str, &str); 41] = [
    (
        "container",
        Question::Files,
        "コンテナの構造",
        "Structure of the container",
    ),
    ("manifest", Question::Files, "目録（マニフェスト）", "Manifest"),
    (
        "files",
        Question::Files,
        "ファイルと署名内容の一致",
        "Files match what was signed",
    ),
    (
        "envelope",
        Question::Files,
        "封筒と文書の対応",
        "Envelope and documents",
    ),
    ("pdf_format", Question::Files, "PDF の構造", "Structure of the PDF"),
    (
        "envelope_created",
        Question::Files,
        "封筒に書かれた時刻",
        "Time the envelope states",
    ),
    (
        "archive_needed",
        Question::Time,
        "長期保存の証拠による判定",
        "What the archive changes",
    ),
    (
        "pdf_changes",
        Question::Files,
        "署名後の PDF の変更",
        "Changes of the PDF after signing",
    ),
    (
        "pdf_permissions",
        Question::Files,
        "PDF の変更の許可",
        "Changes the PDF's signer permits",
    ),
    (
        "embedded_signature",
        Question::Signature,
        "文書自身に付いた署名",
        "Signatures of the documents themselves",
    ),
    (
        "signatures",
        Question::Signature,
        "署名の有無と数",
        "Number of signatures",
    ),
    (
        "signature_format",
        Question::Signature,
        "署名の形式",
        "Form of the signature",
    ),
    (
        "content_type",
        Question::Signature,
        "署名対象の種別",
        "Type of the signed content",
    ),
    (
        "message_digest",
        Question::Signature,
        "署名対象との一致",
        "Content is what was signed",
    ),
    (
        "signature_value",
        Question::Signature,
        "署名の値",
        "Value of the signature",
    ),
    (
        "signing_certificate",
        Question::Signature,
        "署名と証明書の結び付き",
        "Certificate bound to the signature",
    ),
    (
        "signing_time",
        Question::Signature,
        "署名者の主張する時刻",
        "Time the signer states",
    ),
    ("algorithms", Question::Signature, "暗号方式", "Algorithms"),
    (
        "key_usage",
        Question::Signer,
        "証明書の用途",
        "Purpose of the certificate",
    ),
    (
        "signing_policy",
        Question::Signer,
        "署名用の証明書ポリシー",
        "Signing policy",
    ),
    (
        "certificate_path",
        Question::Signer,
        "信頼する認証局への経路",
        "Path to a trusted authority",
    ),
    (
        "validity",
        Question::Signer,
        "証明書の有効期間",
        "Validity of the certificate",
    ),
    (
        "hc_role",
        Question::Signer,
        "証明書に書かれた資格（hcRole）",
        "Roles in the certificate (hcRole)",
    ),
    (
        "qualification",
        Question::Signer,
        "別に確認された資格",
        "Qualification checked otherwise",
    ),
    (
        "role",
        Question::Signer,
        "文書に署名できる資格",
        "Qualification suits the document",
    ),
    (
        "route",
        Question::Signer,
        "信頼の経路（HPKI など）",
        "Route of trust (HPKI or other)",
    ),
    ("timestamp", Question::Time, "タイムスタンプ", "Time stamps"),
    (
        "timestamp_format",
        Question::Time,
        "タイムスタンプの形式",
        "Form of the time stamp",
    ),
    (
        "timestamp_imprint",
        Question::Time,
        "タイムスタンプと署名の結び付き",
        "Time stamp is of this signature",
    ),
    (
        "timestamp_content",
        Question::Time,
        "タイムスタンプの内容",
        "Content of the time stamp",
    ),
    (
        "timestamp_policy",
        Question::Time,
        "タイムスタンプのポリシー",
        "Policy of the time stamp",
    ),
    (
        "timestamp_accreditation",
        Question::Time,
        "時刻認証業務の認定",
        "Accreditation of the authority",
    ),
    (
        "timestamp_authority",
        Question::Time,
        "時刻認証局の証明書の用途",
        "Purpose of the authority's certificate",
    ),
    (
        "timestamp_path",
        Question::Time,
        "時刻認証局の信頼の経路",
        "Path of the time-stamp authority",
    ),
    (
        "timestamp_validity",
        Question::Time,
        "時刻認証局の証明書の有効期間",
        "Validity of the authority's certificate",
    ),
    (
        "level",
        Question::Time,
        "署名の水準（B-T など）",
        "Level of the signature (B-T, …)",
    ),
    ("archive", Question::Time, "長期保存のための証拠", "Archive evidence"),
    (
        "revocation",
        Question::Revocation,
        "署名者側の証明書の失効",
        "Revocation on the signer's path",
    ),
    (
        "timestamp_revocation",
        Question::Revocation,
        "時刻認証局の証明書の失効",
        "Revocation on the authority's path",
    ),
    ("evidence", Question::Policy, "添えられた検証情報", "Evidence supplied"),
    (
        "local_policy",
        Question::Policy,
        "既定と異なる検証方針",
        "Decided otherwise than the default",
    ),
];

impl Check {
    /// What the check is called for people; `None` for a finding of the container's reader.
    #[must_use]
    pub fn title(&self, language: Language) -> Option<&'static str> {
        let row = TITLES.iter().find(|(name, ..)| *name == self.name);
        row.map(|(_, _, japanese, english)| match language {
            Language::Japanese => *japanese,
            Language::English => *english,
        })
    }

    /// The question it helps to answer.
    #[must_use]
    pub fn question(&self) -> Question {
        let row = TITLES.iter().find(|(name, ..)| *name == self.name);
        row.map_or(Question::Files, |(_, question, ..)| *question)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_once_and_labels_are_equally_wide() {
        let names: std::collections::BTreeSet<_> = TITLES.iter().map(|(name, ..)| name).collect();
        assert_eq!(names.len(), TITLES.len());
        for question in Question::ALL {
            assert_eq!(question.label(Language::Japanese).chars().count(), 4);
            assert_eq!(question.label(Language::English).len(), 10);
            assert!(TITLES.iter().any(|(_, of, ..)| *of == question));
        }
    }
}
