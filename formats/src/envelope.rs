//! The envelope: `submission.json`, who sends what about whom to whom. `CONTRACTS.md` §2.

mod parse;

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::wire::{FacilityCode, SubmissionId};

/// Name of the envelope's entry in a container.
pub const ENVELOPE_PATH: &str = "submission.json";

/// Greatest size of an envelope in bytes.
pub const MAX_ENVELOPE_SIZE: usize = 1024 * 1024;

/// Why bytes are not an envelope. Names fields, never their values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// More than [`MAX_ENVELOPE_SIZE`].
    #[error("submission.json is larger than {MAX_ENVELOPE_SIZE} bytes")]
    TooLarge,
    /// Not UTF-8 without byte order mark.
    #[error("submission.json is not UTF-8 without byte order mark")]
    NotUtf8,
    /// Not JSON.
    #[error("submission.json is not JSON (line {line}, column {column})")]
    NotJson {
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault.
        column: usize,
    },
    /// A name occurs twice in one object, RFC 7493 §2.3.
    #[error("submission.json has a duplicate field (line {line}, column {column})")]
    DuplicateField {
        /// Line of the second one, from 1.
        line: usize,
        /// Its column.
        column: usize,
    },
    /// A field breaks its rule.
    #[error("submission.json: {field} {problem}")]
    Field {
        /// Which field, e.g. `recipients[1].facility`.
        field: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A file of the container belongs to no document, or to two.
    #[error("the file {path} belongs to {} of the envelope", if *documents == 0 { "no document" } else { "two documents" })]
    Unassigned {
        /// Entry name.
        path: String,
        /// How many documents claim it: 0 or 2.
        documents: usize,
    },
    /// A document has no file.
    #[error("documents[{index}] has no file in the container")]
    WithoutFile {
        /// Which document, from 0.
        index: usize,
    },
}

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

impl Envelope {
    /// Reads `submission.json` and holds it to every rule of `CONTRACTS.md` §2.
    ///
    /// # Errors
    /// The first rule broken.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        parse::envelope(bytes)
    }

    /// An envelope that says which documents there are and nothing else: all a validation needs of one, and all that a report keeps.
    /// [`Envelope::parse`] would not take it.
    #[must_use]
    pub fn of_documents(documents: impl IntoIterator<Item = (String, DocumentKind)>) -> Option<Self> {
        let nobody = Party {
            facility: "x-0".parse().ok()?,
            name: String::new(),
            department: None,
            person: None,
        };
        let document = |(path, kind)| Document {
            path,
            kind,
            category: Category::Other,
            media_type: String::new(),
            title: String::new(),
        };
        Some(Self {
            version: 1,
            id: "00000000-0000-7000-8000-000000000000".parse().ok()?,
            created: String::new(),
            sender: nobody,
            recipients: Vec::new(),
            patient: Patient {
                id: String::new(),
                name: String::new(),
                kana: None,
                birth_date: String::new(),
                sex: Sex::U,
            },
            documents: documents.into_iter().map(document).collect(),
            in_reply_to: None,
        })
    }

    /// Writes `submission.json`.
    ///
    /// # Errors
    /// The first rule broken: what this returns, [`Envelope::parse`] accepts.
    pub fn to_json(&self) -> Result<Vec<u8>, EnvelopeError> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|_| EnvelopeError::NotJson { line: 0, column: 0 })?;
        bytes.push(b'\n');
        Self::parse(&bytes)?;
        Ok(bytes)
    }

    /// For each of a container's files the index of the document it belongs to; `None` for `submission.json` itself.
    ///
    /// # Errors
    /// If a file belongs to no document or to two, or a document has no file.
    pub fn assign(&self, paths: &[&str]) -> Result<Vec<Option<usize>>, EnvelopeError> {
        // An index that occurs twice is kept with its second claimant, so that a file below it counts two.
        let mut claims: HashMap<&str, (usize, usize)> = HashMap::new();
        for (index, document) in self.documents.iter().enumerate() {
            claims.entry(&document.path).or_insert((index, 0)).1 += 1;
        }
        let mut used = vec![false; self.documents.len()];
        let mut assigned = Vec::with_capacity(paths.len());
        for &path in paths {
            if path == ENVELOPE_PATH {
                assigned.push(None);
                continue;
            }
            let folders = path.match_indices('/').filter_map(|(at, _)| path.get(..=at));
            let mut owners = std::iter::once(path)
                .chain(folders)
                .filter_map(|claim| claims.get(claim));
            let unassigned = |documents| EnvelopeError::Unassigned {
                path: path.to_owned(),
                documents,
            };
            match (owners.next(), owners.next()) {
                (None, _) => return Err(unassigned(0)),
                (Some(&(index, 1)), None) => {
                    if let Some(flag) = used.get_mut(index) {
                        *flag = true;
                    }
                    assigned.push(Some(index));
                }
                _ => return Err(unassigned(2)),
            }
        }
        match used.iter().position(|used| !used) {
            Some(index) => Err(EnvelopeError::WithoutFile { index }),
            None => Ok(assigned),
        }
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("id", &self.id)
            .field("sender", &self.sender.facility)
            .field(
                "recipients",
                &self.recipients.iter().map(|party| &party.facility).collect::<Vec<_>>(),
            )
            .field("documents", &self.documents)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Patient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patient").finish_non_exhaustive()
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("kind", &self.kind)
            .field("category", &self.category)
            .finish_non_exhaustive()
    }
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
