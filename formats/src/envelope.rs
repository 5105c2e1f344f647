//! The envelope: `submission.json`, who sends what about whom to whom. `CONTRACTS.md` §2.

use serde::{Deserialize, Serialize};

use crate::wire::{FacilityCode, SubmissionId};

/// `submission.json`, parsed and checked.
///
/// `Debug` shows ids and kinds only: patient and titles are not for logs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// Always 1.
    pub version: u32,
    /// UUIDv7; with the sender's facility the idempotency key.
    pub id: SubmissionId,
    /// When the sender made it, RFC 3339, as written.
    pub created: String,
    /// Who sends.
    pub sender: Party,
    /// Who receives; at least one.
    pub recipients: Vec<Party>,
    /// Whom it is about.
    pub patient: Patient,
    /// What is in it; at least one.
    pub documents: Vec<Document>,
    /// The submission this one answers.
    pub in_reply_to: Option<SubmissionId>,
}

/// A sender or a recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// Institution code.
    pub facility: FacilityCode,
    /// Institution's name.
    pub name: String,
    /// Department, if addressed.
    pub department: Option<String>,
    /// Person, if addressed.
    pub person: Option<String>,
}

/// The patient, as the sender knows them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patient {
    /// Patient number at the sender.
    pub id: String,
    /// Name.
    pub name: String,
    /// Name in kana.
    pub kana: Option<String>,
    /// `YYYY-MM-DD`.
    pub birth_date: String,
    /// M, F, O or U.
    pub sex: Sex,
}

/// Administrative sex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sex {
    /// Male
    M,
    /// Female
    F,
    /// Other
    O,
    /// Unknown
    U,
}

/// One document: a file, or with a path ending in `/` all files below it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Path inside the container.
    pub path: String,
    /// What it is; decides which profession may sign it.
    pub kind: DocumentKind,
    /// Category of the billing rules.
    pub category: Category,
    /// IANA media type.
    pub media_type: String,
    /// Title for people.
    pub title: String,
}

/// Kind of document (文書種別). Which roles may sign each is policy, `CONTRACTS.md` §2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DocumentKind {
    /// 診療情報提供書
    Referral,
    /// 退院時サマリー
    DischargeSummary,
    /// 画像
    ImageStudy,
    /// 訪問看護指示書
    VisitingNurseInstruction,
    /// 服薬情報提供書
    MedicationReport,
    /// 訪問看護報告書
    VisitingNurseReport,
    /// 返書
    Reply,
    /// その他
    Other,
}

/// Category of the billing rules (検査・画像情報提供加算).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    /// 診療情報提供書などの文書
    Letter,
    /// 検査結果
    Lab,
    /// 画像
    Image,
    /// 画像診断の所見
    ImageReport,
    /// 投薬内容
    Prescription,
    /// 注射内容
    Injection,
    /// 退院時要約
    Summary,
    /// その他
    Other,
}
