//! The words relay and client share: ids, states, receipt, problem, and the bodies of `/v1`. `CONTRACTS.md` §7–8.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::envelope::{Category, DocumentKind, Party};

/// A string is not the identifier it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {what}")]
pub struct InvalidId {
    /// Which identifier was expected.
    pub what: &'static str,
}

macro_rules! string_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// As text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.to_owned())) } else { Err(InvalidId { what: $what }) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

string_id!(
    /// Submission id: a UUIDv7 in lower case.
    SubmissionId,
    "submission id (UUIDv7, lower case)",
    |text| submission_id(text.as_bytes())
);
string_id!(
    /// Institution code: ten digits, or `x-` and up to 32 of `a-z0-9-` for an institution without one.
    FacilityCode,
    "facility code (ten digits, or x- and up to 32 of a-z0-9-)",
    |text| facility_code(text.as_bytes())
);
string_id!(
    /// A device of a facility: 1–32 of `a-z0-9-`.
    DeviceId,
    "device id (1 to 32 of a-z0-9-)",
    |text| small_id(text.as_bytes())
);
string_id!(
    /// A named person of a facility: 1–32 of `a-z0-9-`.
    MemberId,
    "member id (1 to 32 of a-z0-9-)",
    |text| small_id(text.as_bytes())
);

/// Whether a text is a [`SubmissionId`]: [RFC 9562](https://www.rfc-editor.org/rfc/rfc9562#section-5.7) UUIDv7, variant `10`.
pub(crate) fn submission_id(text: &[u8]) -> bool {
    const FORM: &[u8; 36] = b"xxxxxxxx-xxxx-7xxx-vxxx-xxxxxxxxxxxx";
    text.len() == FORM.len()
        && text.iter().zip(FORM).all(|(byte, form)| match form {
            b'x' => byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'),
            b'v' => matches!(byte, b'8' | b'9' | b'a' | b'b'),
            form => byte == form,
        })
}

/// Whether a text is a [`FacilityCode`].
pub(crate) fn facility_code(text: &[u8]) -> bool {
    (text.len() == 10 && text.iter().all(u8::is_ascii_digit)) || text.strip_prefix(b"x-").is_some_and(small_id)
}

/// Whether a text is a [`DeviceId`] or [`MemberId`].
pub(crate) fn small_id(text: &[u8]) -> bool {
    (1..=32).contains(&text.len())
        && text
            .iter()
            .all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase() || *byte == b'-')
}

/// What has become of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SubmissionState {
    /// Judged good, stored, waiting for its recipients or beyond.
    Accepted,
    /// Everything passed but some evidence could not be asked for yet.
    PendingEvidence,
    /// Refused, with its report. Leaves the id free.
    Refused,
}

/// What has become of a submission for one recipient. Ordered: a later state never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RecipientState {
    /// In the inbox.
    Waiting,
    /// Bytes have gone out for import.
    Delivered,
    /// A named person has looked.
    Viewed,
    /// The recipient has said so.
    Acknowledged,
    /// Its verdict was revised: it is delivered no more.
    Stopped,
}

/// How the relay knows a person. More ways join later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Assurance {
    /// The enrolled device names the person.
    AssertedByDevice,
}

/// Why bytes are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// A person looks: Viewed.
    View,
    /// A system takes it in: Delivered.
    Import,
}

/// The relay's signed statement that a submission was accepted: a trail record with its proof.
///
/// `proof` is a C2SP tlog-proof (`c2sp.org/tlog-proof@v1`) whose `extra` is base64(salt ‖ body) and whose checkpoint is
/// signed with the relay's log key: that signature is the receipt's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Submission id, repeated from the record for convenience.
    pub id: SubmissionId,
    /// Position of the record in the log.
    pub position: u64,
    /// The record's body: canonical JSON, as committed.
    pub body: String,
    /// The record's salt, base64.
    pub salt: String,
    /// tlog-proof text: index, inclusion path, signed checkpoint.
    pub proof: String,
}

/// An RFC 9457 problem document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// URI reference of the problem type: `/v1/problems/CODE`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Short title in the asked language.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened, to which thing, in the asked language.
    pub detail: String,
    /// Stable code for programs.
    pub code: String,
    /// What to do next, in the asked language.
    pub action: String,
    /// The validation report, where a submission was refused for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<serde_json::Value>,
}

/// Body of `POST /v1/submissions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmissionRequest {
    /// Path of the finished upload, `/v1/uploads/ID`.
    pub upload: String,
}

/// Answer 202 of `POST /v1/submissions`: held until evidence can be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingAnswer {
    /// Submission id.
    pub id: SubmissionId,
    /// Always PendingEvidence.
    pub state: SubmissionState,
    /// What could not be asked, in one sentence with names, as last seen.
    pub waiting_for: String,
    /// Since when, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When the relay gives up and refuses, RFC 3339.
    pub deadline: String,
    /// When the relay judges it again at the latest, RFC 3339; earlier if what it waits for arrives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try: Option<String>,
}

/// Answer of `GET /v1/submissions/{id}`, for its sender and its recipients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmissionStatus {
    /// Submission id.
    pub id: SubmissionId,
    /// Its state.
    pub state: SubmissionState,
    /// When the relay recorded it, RFC 3339 UTC.
    pub received: String,
    /// Who sent it.
    pub sender: Party,
    /// Each recipient and how far it has come. A recipient sees only itself.
    pub recipients: Vec<RecipientStatus>,
    /// What it contains.
    pub documents: Vec<DocumentSummary>,
    /// Size of the container in bytes.
    pub size: u64,
    /// SHA-256 of the container, hex.
    pub container_sha256: String,
    /// For PendingEvidence: what is waited for and until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<PendingAnswer>,
    /// Set if its verdict was revised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revised: Option<RevisedVerdict>,
}

/// Why an accepted submission is delivered no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisedVerdict {
    /// Trail position of the revision.
    pub position: u64,
    /// When it was recorded, RFC 3339 UTC.
    pub time: String,
    /// Indication of the new report.
    pub indication: String,
    /// Its sub-indication.
    pub sub_indication: Option<String>,
    /// The evidence that changed the verdict, in one sentence with names.
    pub because: String,
}

/// One recipient's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientStatus {
    /// Recipient as in the envelope.
    pub recipient: Party,
    /// How far it has come.
    pub state: RecipientState,
}

/// A document without its title: titles may name what only the reader of the letter should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentSummary {
    /// Path inside the container.
    pub path: String,
    /// Kind.
    pub kind: DocumentKind,
    /// Billing category.
    pub category: Category,
    /// Media type.
    pub media_type: String,
    /// Number of files.
    pub files: u64,
    /// Bytes of all its files.
    pub bytes: u64,
}

/// Answer of `GET /v1/inbox`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxPage {
    /// Oldest first.
    pub items: Vec<InboxItem>,
    /// Pass as `after` to get the following page; `None` at the end.
    pub next: Option<u64>,
}

/// One submission in an inbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxItem {
    /// Submission id.
    pub id: SubmissionId,
    /// Trail position of its acceptance; of the revision, once its verdict was revised: it then appears anew.
    pub position: u64,
    /// How far it has come for this facility.
    pub state: RecipientState,
    /// When the relay accepted it, RFC 3339 UTC.
    pub received: String,
    /// Who sent it.
    pub sender: Party,
    /// What it contains.
    pub documents: Vec<DocumentSummary>,
    /// Set if its verdict was revised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revised: Option<RevisedVerdict>,
    /// Whether its archive can be fetched.
    #[serde(default)]
    pub archive: bool,
    /// In its last days at the relay: when the container will be erased, RFC 3339 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erase_after: Option<String>,
    /// When it was erased, RFC 3339 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased: Option<String>,
}

/// One line of `GET /v1/submissions/{id}/events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmissionEvent {
    /// Trail position.
    pub position: u64,
    /// RFC 3339 UTC.
    pub time: String,
    /// Kind of record: Accepted, Delivered, Viewed, Acknowledged, …
    pub kind: String,
    /// Which recipient it concerns.
    pub recipient: Option<FacilityCode>,
    /// Who did it: person's name where known, else the device.
    pub actor: Option<String>,
    /// What was provided or viewed: paths.
    pub scope: Vec<String>,
}

/// Answer of `GET /v1/policy`: what a client needs to judge as the relay does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayPolicy {
    /// Always 1.
    pub version: u32,
    /// `policy.toml` of the relay, complete with defaults.
    pub policy_toml: String,
    /// Anchors for signers, base64 DER.
    pub hpki_anchors: Vec<String>,
    /// Anchors for signers by the route `accredited`, base64 DER.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accredited_anchors: Vec<String>,
    /// Anchors for signers by the route `jpki`, base64 DER.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jpki_anchors: Vec<String>,
    /// Anchors for time stamps, base64 DER.
    pub tsa_anchors: Vec<String>,
    /// Intermediate certificates, base64 DER.
    pub intermediates: Vec<String>,
    /// The log's verification key, C2SP signed-note vkey.
    pub log_vkey: String,
    /// Whether `POST /v1/timestamps` works here.
    pub timestamps: bool,
    /// Hosts of the time stamp authorities behind `POST /v1/timestamps`, in the order they are asked.
    #[serde(default)]
    pub tsas: Vec<String>,
    /// Largest container taken, in bytes.
    pub max_container_bytes: u64,
    /// The other bounds; `None` from a relay that does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<RelayLimits>,
}

/// Bounds of a relay that a client can meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayLimits {
    /// Unfinished uploads of one facility at the same time.
    pub uploads_per_facility: u64,
    /// Bytes of unfinished uploads of one facility together, as announced.
    pub upload_bytes_per_facility: u64,
    /// An unfinished upload is removed after so many seconds without a byte.
    pub upload_expiry_seconds: u64,
    /// Submissions of one facility that may wait for evidence.
    pub pending_per_facility: u32,
    /// A submission waits for evidence so many seconds at most.
    pub pending_deadline_seconds: u64,
    /// Time stamps per device and hour.
    pub timestamps_per_device_per_hour: u32,
}

/// Body of `POST /v1/enrolment` (portal listener) and, without `code`, of `POST /v1/devices/renewal` (API listener).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentRequest {
    /// The one-time code; absent for a renewal. The operator hands over `CODE.PIN`; what follows the last dot is the relay's key
    /// pin, which the client keeps to itself, so that this is `CODE` alone. The relay's trail names it by the SHA-256 of this
    /// text (without `.PIN`), hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Name the clinic gives the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// PKCS #10 request, PEM: proves possession of the device key.
    pub csr: String,
}

/// Answer 201 to an [`EnrolmentRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolmentAnswer {
    /// Facility the device now belongs to.
    pub facility: FacilityCode,
    /// The facility's name.
    pub facility_name: String,
    /// The device's id.
    pub device: DeviceId,
    /// The device certificate and its issuer, PEM.
    pub certificate_chain: String,
    /// Certificate of the relay's CA, PEM: the only issuer the client accepts for the relay's TLS certificate.
    pub relay_ca: String,
    /// Base URL of the API listener.
    pub api: String,
    /// Until when the certificate is valid, RFC 3339.
    pub not_after: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submission_id_is_a_uuid_of_its_version() {
        let id = "0193569a-7c00-7000-8000-000000000001";
        assert!(id.parse::<SubmissionId>().is_ok());
        for place in 0..=id.len() {
            for byte in *b"07189acfgAF-x " {
                let mut changed = id.as_bytes().to_vec();
                match changed.get_mut(place) {
                    Some(old) => *old = byte,
                    None => changed.push(byte),
                }
                let text = String::from_utf8(changed).unwrap();
                let expected = uuid::Uuid::try_parse(&text).is_ok_and(|id| {
                    id.get_version_num() == 7
                        && id.get_variant() == uuid::Variant::RFC4122
                        && id.hyphenated().to_string() == text
                });
                assert_eq!(text.parse::<SubmissionId>().is_ok(), expected, "{text}");
            }
        }
    }
}
