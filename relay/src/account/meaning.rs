//! What a record means in the words of DICOM PS3.15 A.5 and FHIR: event, action, outcome, life cycle.

use formats::trail::Kind;

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

impl Meaning {
    fn new((code, meaning): (&'static str, &'static str), action: char) -> Self {
        Self {
            event: Coded { code, meaning },
            action,
            outcome: 0,
            life_cycle: None,
            exchange: Exchange::No,
        }
    }

    fn outcome(self, outcome: u8) -> Self {
        Self { outcome, ..self }
    }

    fn life_cycle(self, stage: u8) -> Self {
        Self {
            life_cycle: Some(stage),
            ..self
        }
    }

    fn exchange(self, exchange: Exchange) -> Self {
        Self { exchange, ..self }
    }
}

const APPLICATION: (&str, &str) = ("110100", "Application Activity");
const READ: (&str, &str) = ("110101", "Audit Log Used");
const EXPORT: (&str, &str) = ("110106", "Export");
const IMPORT: (&str, &str) = ("110107", "Import");
const PATIENT_RECORD: (&str, &str) = ("110110", "Patient Record");
const SECURITY: (&str, &str) = ("110113", "Security Alert");

/// What the record means.
pub(super) fn of(entry: &Entry<'_>) -> Meaning {
    // A kind that came later is something the relay did.
    Kind::named(entry.kind.as_str()).map_or_else(|| Meaning::new(APPLICATION, 'E'), of_kind)
}

fn of_kind(kind: Kind) -> Meaning {
    match kind {
        Kind::Accepted => Meaning::new(IMPORT, 'C').life_cycle(2).exchange(Exchange::Taken),
        Kind::Pending => Meaning::new(IMPORT, 'C').life_cycle(2).outcome(4),
        Kind::Refused => Meaning::new(IMPORT, 'C').life_cycle(2).outcome(8),
        Kind::Delivered => Meaning::new(EXPORT, 'R').life_cycle(11).exchange(Exchange::Read),
        Kind::Viewed => Meaning::new(EXPORT, 'R').life_cycle(6).exchange(Exchange::Read),
        Kind::Acknowledged => Meaning::new(PATIENT_RECORD, 'U').life_cycle(12),
        Kind::VerdictRevised => Meaning::new(SECURITY, 'U').life_cycle(4).outcome(4),
        Kind::ArchiveMade => Meaning::new(PATIENT_RECORD, 'U').life_cycle(13),
        Kind::ErasureAnnounced | Kind::HoldSet | Kind::HoldLifted => Meaning::new(PATIENT_RECORD, 'U'),
        Kind::ContainerErased => Meaning::new(PATIENT_RECORD, 'D').life_cycle(15),
        // Records of patients, but of no one submission.
        Kind::KeyDestroyed => Meaning::new(PATIENT_RECORD, 'D').life_cycle(15),
        Kind::FacilityAdded | Kind::CodeIssued | Kind::DeviceEnrolled | Kind::MemberAdded => {
            Meaning::new(SECURITY, 'C')
        }
        Kind::DeviceRenewed | Kind::TrustChanged => Meaning::new(SECURITY, 'U'),
        Kind::DeviceRevoked => Meaning::new(SECURITY, 'D'),
        Kind::TrailRead => Meaning::new(READ, 'R'),
        Kind::Head | Kind::CheckpointStamped => Meaning::new(APPLICATION, 'E'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erasures_are_deletions() {
        for kind in [Kind::KeyDestroyed, Kind::ContainerErased] {
            let meaning = of_kind(kind);
            assert_eq!((meaning.action, meaning.life_cycle), ('D', Some(15)), "{kind:?}");
            assert_eq!(meaning.event.code, "110110");
        }
        let held = of_kind(Kind::HoldSet);
        assert_eq!((held.event.code, held.action), ("110110", 'U'));
        let body = r#"{"v":1,"kind":"BodiesErased"}"#;
        let unknown = Entry::read(body).map(|entry| of(&entry)).unwrap();
        assert_eq!(
            (unknown.event.code, unknown.action),
            ("110100", 'E'),
            "no kind of record"
        );
    }
}
