//! What a record means in the words of DICOM PS3.15 A.5 and FHIR: event, action, outcome, life cycle.

use super::entry::Entry;

/// Code and meaning.
pub(super) struct Coded {
    pub(super) code: &'static str,
    pub(super) meaning: &'static str,
}

/// What happened, as [DICOM PS3.15 A.5.3](https://dicom.nema.org/medical/dicom/current/output/chtml/part15/sect_A.5.3.html) says it.
pub(super) struct Meaning {
    /// EventID, of DCM.
    pub(super) event: Coded,
    /// C, R, U, D or E.
    pub(super) action: char,
    /// 0 success, 4 minor failure, 8 serious failure.
    pub(super) outcome: u8,
    /// ParticipantObjectDataLifeCycle of the submission.
    pub(super) life_cycle: Option<u8>,
    /// What it is as an exchange of documents.
    pub(super) exchange: Exchange,
}

/// What it is as an exchange of documents: which profile of IHE BALP describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exchange {
    /// The relay took in what a sender disclosed.
    Taken,
    /// A recipient read.
    Read,
    /// None.
    No,
}

/// What the record means.
pub(super) fn of(entry: &Entry<'_>) -> Meaning {
    let kind = entry.kind.as_str();
    let (code, meaning) = match kind {
        "Accepted" | "Pending" | "Refused" => ("110107", "Import"),
        "Delivered" | "Viewed" => ("110106", "Export"),
        "Acknowledged" | "ArchiveMade" | "ErasureAnnounced" | "ContainerErased" | "BodiesErased" => {
            ("110110", "Patient Record")
        }
        "VerdictRevised" | "TrustChanged" | "FacilityAdded" | "CodeIssued" | "DeviceEnrolled" | "DeviceRenewed"
        | "DeviceRevoked" | "MemberAdded" => ("110113", "Security Alert"),
        "TrailRead" => ("110101", "Audit Log Used"),
        _ => ("110100", "Application Activity"),
    };
    let action = match kind {
        "Accepted" | "Pending" | "Refused" | "FacilityAdded" | "CodeIssued" | "DeviceEnrolled" | "MemberAdded" => 'C',
        "Delivered" | "Viewed" | "TrailRead" => 'R',
        "Acknowledged" | "ArchiveMade" | "ErasureAnnounced" | "DeviceRenewed" | "VerdictRevised" | "TrustChanged" => {
            'U'
        }
        "ContainerErased" | "BodiesErased" | "DeviceRevoked" => 'D',
        _ => 'E',
    };
    let outcome = match kind {
        "Refused" => 8,
        "Pending" | "VerdictRevised" => 4,
        _ => 0,
    };
    let life_cycle = match kind {
        "Accepted" | "Pending" | "Refused" => Some(2),
        "Viewed" => Some(6),
        "Delivered" => Some(11),
        "Acknowledged" => Some(12),
        "ArchiveMade" => Some(13),
        "VerdictRevised" => Some(4),
        "ContainerErased" => Some(15),
        _ => None,
    };
    let exchange = match kind {
        "Accepted" => Exchange::Taken,
        "Delivered" | "Viewed" => Exchange::Read,
        _ => Exchange::No,
    };
    Meaning {
        event: Coded { code, meaning },
        action,
        outcome,
        life_cycle,
        exchange,
    }
}
