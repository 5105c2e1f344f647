//! What a record says of itself: its body, its kind, whom and which submission it concerns. `Debug` without patients.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;

use super::canonical::canonical;
use super::{Access, Actor, Class, Event, Filter, MAX_BODY, Record, RecordError, Submission};
use crate::wire::{FacilityCode, SubmissionId};

impl Record {
    /// The body: canonical JSON, [RFC 8785](https://www.rfc-editor.org/rfc/rfc8785).
    ///
    /// # Errors
    /// [`RecordError::TooLarge`].
    pub fn encode(&self) -> Result<String, RecordError> {
        let known = canonical(self).map_or_else(|| serde_json_canonicalizer::to_string(self), Ok);
        let body = known.map_err(|_| RecordError::Malformed)?;
        if body.len() > MAX_BODY {
            Err(RecordError::TooLarge)
        } else {
            Ok(body)
        }
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`RecordError::Malformed`] without a word about its content.
    pub fn parse(body: &str) -> Result<Self, RecordError> {
        if body.len() > MAX_BODY {
            return Err(RecordError::TooLarge);
        }
        let record = Self::frequent(body)
            .transpose()
            .unwrap_or_else(|| serde_json::from_str(body));
        match record {
            Ok(record) if record.v == 1 => Ok(record),
            _ => Err(RecordError::Malformed),
        }
    }

    /// The kinds that most of a trail is, without the copy that `flatten` and `tag` make of everything first. `None`: another kind.
    fn frequent(body: &str) -> Result<Option<Self>, serde_json::Error> {
        let Ok(frame) = serde_json::from_str::<Frame<'_>>(body) else {
            return Ok(None);
        };
        let event = match &*frame.kind {
            "Accepted" => Event::Accepted(serde_json::from_str(body)?),
            "Delivered" => Event::Delivered(serde_json::from_str(body)?),
            "Viewed" => Event::Viewed(serde_json::from_str(body)?),
            _ => return Ok(None),
        };
        Ok(Some(Self {
            v: frame.v,
            time: frame.time,
            facility_seq: frame.facility_seq,
            actor: frame.actor,
            event,
        }))
    }
}

/// What every record has beside its event.
#[derive(Deserialize)]
struct Frame<'a> {
    v: u32,
    time: String,
    facility_seq: BTreeMap<FacilityCode, u64>,
    actor: Actor,
    #[serde(borrow)]
    kind: Cow<'a, str>,
}

impl Event {
    /// How long its record is kept. What names a patient is never standing.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::FacilityAdded { .. }
            | Self::CodeIssued { .. }
            | Self::DeviceEnrolled { .. }
            | Self::DeviceRenewed { .. }
            | Self::DeviceRevoked { .. }
            | Self::MemberAdded { .. }
            | Self::TrustChanged { .. }
            | Self::HoldSet { .. }
            | Self::HoldLifted { .. }
            | Self::KeyDestroyed { .. }
            | Self::Head { .. }
            | Self::CheckpointStamped { .. } => Class::Standing,
            Self::Accepted(_)
            | Self::Pending { .. }
            | Self::Refused { .. }
            | Self::Delivered(_)
            | Self::Viewed(_)
            | Self::Acknowledged { .. }
            | Self::VerdictRevised { .. }
            | Self::ArchiveMade { .. }
            | Self::ErasureAnnounced { .. }
            | Self::ContainerErased { .. }
            | Self::TrailRead { .. } => Class::Account,
        }
    }

    /// Whom it concerns: these facilities count it in their `facility_seq` and find it in their account.
    ///
    /// A submission concerns its recipients from its acceptance on, not before. A reading by the relay's operator concerns those
    /// whose records may go out.
    #[must_use]
    pub fn facilities(&self) -> BTreeSet<FacilityCode> {
        match self {
            Self::FacilityAdded { facility, .. }
            | Self::CodeIssued { facility, .. }
            | Self::DeviceEnrolled { facility, .. }
            | Self::DeviceRenewed { facility, .. }
            | Self::DeviceRevoked { facility, .. }
            | Self::MemberAdded { facility, .. }
            | Self::Head { facility, .. }
            | Self::Refused { facility, .. } => BTreeSet::from([facility.clone()]),
            Self::Accepted(submission) => std::iter::once(&submission.sender)
                .chain(&submission.recipients)
                .map(|party| party.facility.clone())
                .collect(),
            Self::Pending { submission, .. } => BTreeSet::from([submission.sender.facility.clone()]),
            Self::Delivered(access) | Self::Viewed(access) => {
                BTreeSet::from([access.sender.clone(), access.recipient.clone()])
            }
            Self::Acknowledged { sender, recipient, .. } => BTreeSet::from([sender.clone(), recipient.clone()]),
            Self::VerdictRevised { sender, recipients, .. } => {
                std::iter::once(sender).chain(recipients).cloned().collect()
            }
            Self::TrustChanged { .. } | Self::CheckpointStamped { .. } => BTreeSet::new(),
            Self::ArchiveMade { sender, recipients, .. }
            | Self::ErasureAnnounced { sender, recipients, .. }
            | Self::ContainerErased { sender, recipients, .. }
            | Self::HoldSet { sender, recipients, .. }
            | Self::HoldLifted { sender, recipients, .. } => {
                std::iter::once(sender).chain(recipients).cloned().collect()
            }
            Self::KeyDestroyed { erased, .. } => erased.keys().cloned().collect(),
            Self::TrailRead {
                facility, concerned, ..
            } => facility.iter().chain(concerned).cloned().collect(),
        }
    }

    /// The submission it is about.
    #[must_use]
    pub fn submission(&self) -> Option<&SubmissionId> {
        match self {
            Self::Accepted(submission) | Self::Pending { submission, .. } => Some(&submission.submission),
            Self::Refused { submission, .. } => submission.as_ref(),
            Self::Delivered(access) | Self::Viewed(access) => Some(&access.submission),
            Self::Acknowledged { submission, .. }
            | Self::VerdictRevised { submission, .. }
            | Self::ArchiveMade { submission, .. }
            | Self::ErasureAnnounced { submission, .. }
            | Self::ContainerErased { submission, .. }
            | Self::HoldSet { submission, .. }
            | Self::HoldLifted { submission, .. } => Some(submission),
            Self::FacilityAdded { .. }
            | Self::CodeIssued { .. }
            | Self::DeviceEnrolled { .. }
            | Self::DeviceRenewed { .. }
            | Self::DeviceRevoked { .. }
            | Self::MemberAdded { .. }
            | Self::TrustChanged { .. }
            | Self::KeyDestroyed { .. }
            | Self::Head { .. }
            | Self::CheckpointStamped { .. }
            | Self::TrailRead { .. } => None,
        }
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("time", &self.time)
            .field("event", &self.event)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.submission() {
            Some(id) => write!(f, "{}({id})", self.kind()),
            None => f.write_str(self.kind()),
        }
    }
}

impl fmt::Debug for Submission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Submission({})", self.submission)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access({}, {:?})", self.submission, self.purpose)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Filter")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::trail::receipt::tests::accepted;
    use crate::trail::{Actor, Erased};

    fn record(event: Event) -> Record {
        Record {
            v: 1,
            time: "2026-11-22T01:00:00.000Z".into(),
            facility_seq: event.facilities().into_iter().map(|facility| (facility, 1)).collect(),
            actor: Actor::default(),
            event,
        }
    }

    #[test]
    fn the_body_is_canonical_and_reads_back() {
        let facility: FacilityCode = "1310000001".parse().unwrap();
        let record = record(Event::FacilityAdded {
            facility,
            name: "TEST医院".into(),
        });
        let body = record.encode().unwrap();
        assert_eq!(
            body,
            r#"{"actor":{"address":null,"assurance":null,"device":null,"facility":null,"person_id":null,"person_name":null},"facility":"1310000001","facility_seq":{"1310000001":1},"kind":"FacilityAdded","name":"TEST医院","time":"2026-11-22T01:00:00.000Z","v":1}"#
        );
        assert!(Record::parse(&body).unwrap() == record);
        let pending = self::record(Event::Pending {
            submission: Box::new(accepted()),
            waiting_for: "CRL of TEST CA".into(),
            deadline: "2026-11-25T01:00:00Z".into(),
        });
        assert!(Record::parse(&pending.encode().unwrap()).unwrap() == pending);
    }

    #[test]
    fn a_body_of_another_version_or_shape_is_refused() {
        let facility: FacilityCode = "x-a".parse().unwrap();
        let body = record(Event::DeviceRevoked {
            facility,
            device: "d1".parse().unwrap(),
        })
        .encode()
        .unwrap();
        assert_eq!(
            Record::parse(&body.replace("\"v\":1", "\"v\":2")),
            Err(RecordError::Malformed)
        );
        assert_eq!(
            Record::parse(&body.replace("DeviceRevoked", "Sent")),
            Err(RecordError::Malformed)
        );
        assert_eq!(Record::parse(""), Err(RecordError::Malformed));
        assert_eq!(Record::parse(&" ".repeat(MAX_BODY + 1)), Err(RecordError::TooLarge));
    }

    #[test]
    fn recipients_are_concerned_from_acceptance_on() {
        let submission = Box::new(accepted());
        let codes = |event: Event| event.facilities().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(codes(Event::Accepted(submission.clone())), ["1310000001", "1320000002"]);
        let pending = Event::Pending {
            submission,
            waiting_for: String::new(),
            deadline: String::new(),
        };
        assert_eq!(codes(pending), ["1310000001"]);
    }

    #[test]
    fn what_is_kept_for_ever_names_no_patient() {
        let submission = Box::new(accepted());
        assert_eq!(Event::Accepted(submission.clone()).class(), Class::Account);
        let destroyed = Event::KeyDestroyed {
            class: Class::Account,
            month: "2026-11".into(),
            first: 3,
            last: 9,
            records: 5,
            erased: BTreeMap::from([(
                submission.sender.facility.clone(),
                Erased {
                    records: 4,
                    first: 2,
                    last: 6,
                },
            )]),
        };
        let held = Event::HoldSet {
            submission: submission.submission.clone(),
            sender: submission.sender.facility.clone(),
            recipients: vec!["1320000002".parse().unwrap()],
            reason: "TEST court order".into(),
        };
        for (event, concerned) in [(destroyed, 1), (held, 2)] {
            assert_eq!((event.class(), event.facilities().len()), (Class::Standing, concerned));
            let record = record(event);
            let body = record.encode().unwrap();
            assert!(!body.contains("patient"), "{body}");
            assert!(Record::parse(&body).unwrap() == record);
        }
    }

    #[test]
    fn debug_shows_no_patient() {
        let shown = format!("{:?}", record(Event::Accepted(Box::new(accepted()))));
        assert!(!shown.contains("12345") && shown.contains("Accepted"), "{shown}");
    }
}
