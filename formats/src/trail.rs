//! The audit trail's formats (監査証跡): record, commitment, tree, checkpoint, proof. `CONTRACTS.md` §9.

mod canonical;
mod checkpoint;
mod commitment;
mod cosignature;
mod event;
mod export;
mod facts;
mod frontier;
mod kind;
mod proof;
mod receipt;
pub mod run;
mod tile;
pub mod tree;
mod verification;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use checkpoint::{Checkpoint, CheckpointError, LogKey, checkpoint_in, sign_elsewhere, vkey_of};
pub use commitment::commitment;
pub use cosignature::{Cosignature, WitnessKey, cosignatures, with_cosignatures};
pub use export::{EXPORT_LINE, Entry, EntryKind, ExportError, ExportHead, ExportLine, Skipped};
pub use facts::{CodeText, Destroyed, Facts, Month, NotARecord, Said, Time};
pub use frontier::{Frontier, cover, subtree};
pub use kind::Kind;
pub use proof::{InclusionProof, ProofError, Proven};
pub use receipt::ReceiptError;
pub use tile::{Tile, TileError, TileKind, entry_bundle};
pub use verification::{Earlier, Finding, FindingKind, Reading, TrailVerdict, Verification};

use crate::envelope::{Category, Party};
use crate::wire::{Assurance, DeviceId, DocumentSummary, FacilityCode, MemberId, Purpose, SubmissionId};

/// A record's body cannot be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// No record of this version.
    #[error("not a trail record of version 1")]
    Malformed,
    /// More than [`MAX_BODY`] bytes.
    #[error("trail record larger than {MAX_BODY} bytes")]
    TooLarge,
}

/// Largest body of a record in bytes: an envelope of 1 MiB and what the relay adds.
pub const MAX_BODY: usize = 4 << 20;

/// What is not kept for ever is kept for so many days after its month, at least.
pub const KEPT_DAYS: u64 = 365;

/// One record: what happened, when, by whom. Its body is this, as canonical JSON (RFC 8785).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Always 1.
    pub v: u32,
    /// RFC 3339 UTC with milliseconds; never earlier than the record before.
    pub time: String,
    /// For each facility it concerns the gapless number of this record for that facility, from 1.
    pub facility_seq: BTreeMap<FacilityCode, u64>,
    /// Who did it.
    pub actor: Actor,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Actor {
    /// Facility of the device; `None` for the relay itself and its operator.
    pub facility: Option<FacilityCode>,
    /// The device.
    pub device: Option<DeviceId>,
    /// The named person.
    pub person_id: Option<MemberId>,
    /// Their name when it happened.
    pub person_name: Option<String>,
    /// How the person is known.
    pub assurance: Option<Assurance>,
    /// Network address it came from.
    pub address: Option<String>,
}

/// How long a record is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// For ever: what the relay needs to know its facilities, devices and persons, and to answer for itself.
    Standing,
    /// Until its time is over: submissions, looks, refusals, readings.
    Account,
}

/// What happened. Each is everything the index needs: the index is rebuilt from these alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub enum Event {
    /// A facility joined.
    FacilityAdded {
        /// Its code.
        facility: FacilityCode,
        /// Its name.
        name: String,
    },
    /// A one-time enrolment code was issued; only its hash is kept.
    CodeIssued {
        /// For which facility.
        facility: FacilityCode,
        /// SHA-256 of the code's bytes, hex.
        code_sha256: String,
        /// RFC 3339 UTC.
        expires: String,
    },
    /// A device enrolled with a code.
    DeviceEnrolled {
        /// Its facility.
        facility: FacilityCode,
        /// Its id.
        device: DeviceId,
        /// The code it used.
        code_sha256: String,
        /// SHA-256 of its certificate, hex.
        certificate_sha256: String,
        /// RFC 3339 UTC.
        not_after: String,
    },
    /// A device renewed its certificate. The earlier one stays good until it runs out.
    DeviceRenewed {
        /// Its facility.
        facility: FacilityCode,
        /// Its id.
        device: DeviceId,
        /// SHA-256 of the new certificate, hex.
        certificate_sha256: String,
        /// RFC 3339 UTC.
        not_after: String,
    },
    /// A device was revoked: at once, for all its certificates.
    DeviceRevoked {
        /// Its facility.
        facility: FacilityCode,
        /// Its id.
        device: DeviceId,
    },
    /// A person was named.
    MemberAdded {
        /// Their facility.
        facility: FacilityCode,
        /// Their id.
        member: MemberId,
        /// Their name.
        name: String,
    },
    /// A submission was accepted.
    Accepted(Box<Submission>),
    /// A submission passed everything, but some evidence could not be asked for.
    Pending {
        /// The submission.
        #[serde(flatten)]
        submission: Box<Submission>,
        /// What is waited for, in one sentence with names.
        waiting_for: String,
        /// RFC 3339 UTC.
        deadline: String,
    },
    /// A submission was refused.
    Refused {
        /// Who sent it.
        facility: FacilityCode,
        /// Its id, where the envelope could be read.
        submission: Option<SubmissionId>,
        /// Stable code of the problem.
        code: String,
        /// Sub-indication of the report, where there is one.
        sub_indication: Option<String>,
        /// SHA-256 of the container, hex, where all of it arrived.
        container_sha256: Option<String>,
        /// SHA-256 of the stored report, hex, where there is one.
        report_sha256: Option<String>,
    },
    /// Bytes went out to a recipient's system.
    Delivered(Access),
    /// A named person looked.
    Viewed(Access),
    /// The recipient said it has it.
    Acknowledged {
        /// Which submission.
        submission: SubmissionId,
        /// Its sender.
        sender: FacilityCode,
        /// Who acknowledges.
        recipient: FacilityCode,
        /// Patient number at the sender.
        patient: String,
    },
    /// Evidence that came later shows that an accepted submission must not be relied on: its delivery stops.
    VerdictRevised {
        /// Which submission.
        submission: SubmissionId,
        /// Its sender.
        sender: FacilityCode,
        /// Its recipients.
        recipients: Vec<FacilityCode>,
        /// Patient number at the sender.
        patient: String,
        /// The new verdict and its reason.
        revision: Revision,
    },
    /// The relay judges by other anchors, intermediates or another policy from here on.
    TrustChanged {
        /// The `digest` of before; `None` the first time.
        before: Option<String>,
        /// By what it judges now.
        #[serde(flatten)]
        trusted: Trusted,
    },
    /// An archive was made, or stamped again: it is kept beside the container from now on.
    ArchiveMade {
        /// Which submission.
        submission: SubmissionId,
        /// Its sender.
        sender: FacilityCode,
        /// Its recipients.
        recipients: Vec<FacilityCode>,
        /// Patient number at the sender.
        patient: String,
        /// SHA-256 of the container it belongs to, hex.
        container_sha256: String,
        /// SHA-256 of the stored archive, hex.
        archive_sha256: String,
        /// Archive stamps in it.
        stamps: u64,
        /// genTime of the newest, RFC 3339 UTC.
        stamped: String,
        /// Until when the newest can be checked by itself, RFC 3339 UTC: then a newer one must be over it.
        stands_until: String,
    },
    /// Every recipient has the container; it will be erased.
    ErasureAnnounced {
        /// Which submission.
        submission: SubmissionId,
        /// Its sender.
        sender: FacilityCode,
        /// Its recipients.
        recipients: Vec<FacilityCode>,
        /// Patient number at the sender.
        patient: String,
        /// Not before this, RFC 3339 UTC.
        erase_after: String,
    },
    /// The container is erased. Evidence, report and archive stay.
    ContainerErased {
        /// Which submission.
        submission: SubmissionId,
        /// Its sender.
        sender: FacilityCode,
        /// Its recipients.
        recipients: Vec<FacilityCode>,
        /// Patient number at the sender.
        patient: String,
        /// SHA-256 of what was erased, hex.
        container_sha256: String,
    },
    /// A submission is held by law or dispute: neither container nor records are erased until that is lifted.
    HoldSet {
        /// Which submission.
        submission: SubmissionId,
        /// Its sender.
        sender: FacilityCode,
        /// Its recipients.
        recipients: Vec<FacilityCode>,
        /// Why, in the operator's words; kept for ever.
        reason: String,
    },
    /// A hold is over.
    HoldLifted {
        /// Which submission.
        submission: SubmissionId,
        /// Its sender.
        sender: FacilityCode,
        /// Its recipients.
        recipients: Vec<FacilityCode>,
        /// Why, in the operator's words; kept for ever.
        reason: String,
    },
    /// The key of a month's records is destroyed: what they said is erased, their commitments stay.
    KeyDestroyed {
        /// Which records of the month.
        class: Class,
        /// The month, UTC: `2026-11`.
        month: String,
        /// Position of the first record under the key.
        first: u64,
        /// Position of the last; records of the other class may lie between.
        last: u64,
        /// How many records were under it, those that concern no facility among them.
        records: u64,
        /// What each facility has lost, so that its account explains its own gap.
        erased: BTreeMap<FacilityCode, Erased>,
    },
    /// A day of Japan is over. This record's own `facility_seq` states the facility's highest: so many records and no more
    /// concern it up to here.
    Head {
        /// The facility.
        facility: FacilityCode,
        /// The day, `2026-11-22`: the last that was over.
        day: String,
    },
    /// A checkpoint was time-stamped.
    CheckpointStamped {
        /// Entries of its tree.
        size: u64,
        /// Root of its tree, base64.
        root: String,
        /// SHA-256 of the signed note that was stamped, hex.
        checkpoint_sha256: String,
        /// SHA-256 of the TimeStampToken (RFC 3161), hex. It is kept beside the trail.
        token_sha256: String,
        /// Its genTime, RFC 3339 UTC.
        gen_time: String,
    },
    /// Someone read the trail.
    TrailRead {
        /// The facility whose records were read; `None`: the operator, all.
        facility: Option<FacilityCode>,
        /// RFC 3339 or empty.
        from: String,
        /// RFC 3339 or empty.
        to: String,
        /// In which forms, joined by `+`: csv, jsonl, fhir, dicom, pdf, tlog-proof, or where it is fed to.
        format: String,
        /// To what it was narrowed; `None`: all of the period.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        filter: Option<Filter>,
        /// Of a reading by the operator: the facilities whose records may have gone out, besides `facility`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        concerned: Vec<FacilityCode>,
    },
}

/// A facility's part of what was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    /// How many records that concern it.
    pub records: u64,
    /// The lowest `facility_seq` among them.
    pub first: u64,
    /// The highest.
    pub last: u64,
}

/// A submission as the trail keeps it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// Its id.
    pub submission: SubmissionId,
    /// Who sent it.
    pub sender: Party,
    /// Who receives it.
    pub recipients: Vec<Party>,
    /// Patient number at the sender (never a name).
    pub patient: String,
    /// What it contains.
    pub documents: Vec<DocumentSummary>,
    /// What it answers.
    pub in_reply_to: Option<SubmissionId>,
    /// Size of the container.
    pub size: u64,
    /// SHA-256 of the container, hex.
    pub container_sha256: String,
    /// SHA-256 of the first manifest, hex.
    pub manifest_sha256: String,
    /// SHA-256 of the first SignatureValue, hex.
    pub signature_value_sha256: String,
    /// SHA-256 of the evidence used, hex.
    pub evidence_sha256: String,
    /// SHA-256 of policy and anchors used, hex.
    pub policy_sha256: String,
    /// SHA-256 of the stored report, hex.
    pub report_sha256: String,
    /// Best signature time, RFC 3339 UTC.
    pub signed_at: Option<String>,
    /// Signer's subject.
    pub signer: Option<String>,
    /// Signer's roles.
    pub hc_roles: Vec<String>,
    /// Name of the stored container among the containers.
    pub stored_as: String,
}

/// A later verdict on an accepted submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Indication of the new report.
    pub indication: String,
    /// Its sub-indication.
    pub sub_indication: Option<String>,
    /// The evidence that changed the verdict, in one sentence with names.
    pub because: String,
    /// SHA-256 of that piece of evidence, hex.
    pub because_sha256: String,
    /// SHA-256 of all the evidence used, hex.
    pub evidence_sha256: String,
    /// SHA-256 of the stored report, hex.
    pub report_sha256: String,
}

/// By what a relay judges: digests only, hex, each list sorted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trusted {
    /// SHA-256 over policy and anchors: the `policy_sha256` of acceptances.
    pub digest: String,
    /// SHA-256 over the policy alone.
    pub policy: String,
    /// SHA-256 of each anchor for signers.
    pub hpki: Vec<String>,
    /// SHA-256 of each anchor for signers by the route of accredited authorities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accredited: Vec<String>,
    /// SHA-256 of each anchor for signers by the route of JPKI.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jpki: Vec<String>,
    /// SHA-256 of each anchor for time stamps.
    pub tsa: Vec<String>,
    /// SHA-256 of each intermediate certificate.
    pub intermediates: Vec<String>,
}

/// A look at a submission.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Which submission.
    pub submission: SubmissionId,
    /// Its sender.
    pub sender: FacilityCode,
    /// Who looks.
    pub recipient: FacilityCode,
    /// Patient number at the sender.
    pub patient: String,
    /// `view` or `import`.
    pub purpose: Purpose,
    /// What was provided: paths, or `*` for the whole container.
    pub scope: Vec<String>,
    /// Billing categories of the documents this touches, each once.
    #[serde(default)]
    pub categories: Vec<Category>,
}

/// To what a reading of the trail was narrowed.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// Patient number at the sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patient: Option<String>,
    /// Member id or name of who acted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// Id of a submission.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submission: Option<SubmissionId>,
    /// Only what lies behind this position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Only the record at this position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// To something that the operator's own record of this reading says, and this one does not.
    #[serde(skip_serializing_if = "is_false")]
    pub narrowed: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(value: &bool) -> bool {
    !value
}
