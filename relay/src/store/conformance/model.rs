//! What a store must do, said in the plainest way: lists and maps, no disk, no index.

use std::collections::BTreeMap;

use formats::envelope::Category;
use formats::trail::{Access, Event, Submission};
use formats::wire::{FacilityCode, Purpose, RecipientState, SubmissionState};

use super::{batch, submission};
use crate::store::{Batch, Condition, Store, StoreError};

/// Facilities of all histories.
pub const FACILITIES: [&str; 3] = ["x-a", "x-b", "x-c"];

/// Numbers of submissions in all histories.
pub const SUBMISSIONS: u64 = 5;

/// One thing that is tried.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "each is what its record says, of a number and places in the lists"
)]
pub enum Step {
    Join(usize),
    Enrol(usize, usize),
    Revoke(usize, usize),
    /// Acceptance of a number; `true`: addressed to all, else to the second facility alone.
    Accept(u64, bool),
    Wait(u64),
    Decide(u64, bool),
    Look(u64, usize, bool),
    Acknowledge(u64, usize),
    Hold(u64),
    Lift(u64),
}

/// Steps that happen together or not at all, and whether the store is closed and opened before.
#[derive(Debug, Clone)]
pub struct Turn {
    /// What is tried.
    pub steps: Vec<Step>,
    /// Whether the store is closed and opened before.
    pub reopen: bool,
}

fn code(facility: usize) -> FacilityCode {
    FACILITIES[facility % FACILITIES.len()].parse().unwrap()
}

fn sent(number: u64, all: bool) -> Submission {
    submission(number, "x-a", if all { &["x-b", "x-c"] } else { &["x-b"] })
}

impl Step {
    fn event(&self) -> (Event, Condition) {
        match *self {
            Self::Join(facility) => (
                Event::FacilityAdded {
                    facility: code(facility),
                    name: "TEST".into(),
                },
                Condition::FacilityAbsent(code(facility)),
            ),
            Self::Enrol(facility, device) => {
                let (facility, device) = (code(facility), format!("pc-{device}").parse().unwrap());
                let absent =
                    Condition::DeviceAbsent(FacilityCode::clone(&facility), formats::wire::DeviceId::clone(&device));
                let event = Event::DeviceEnrolled {
                    facility,
                    device,
                    code_sha256: "00".repeat(32),
                    certificate_sha256: "01".repeat(32),
                    not_after: "2027-11-22T00:00:00Z".into(),
                };
                (event, absent)
            }
            Self::Revoke(facility, device) => {
                let (facility, device): (_, formats::wire::DeviceId) =
                    (code(facility), format!("pc-{device}").parse().unwrap());
                let active = Condition::DeviceActive(facility.clone(), device.clone());
                (Event::DeviceRevoked { facility, device }, active)
            }
            Self::Accept(number, all) => {
                let sent = sent(number, all);
                let absent = Condition::SubmissionAbsent(sent.submission.clone());
                (Event::Accepted(Box::new(sent)), absent)
            }
            Self::Wait(number) => {
                let sent = sent(number, true);
                let absent = Condition::SubmissionAbsent(sent.submission.clone());
                let event = Event::Pending {
                    submission: Box::new(sent),
                    waiting_for: "CRL of TEST CA".into(),
                    deadline: "2026-11-30T00:00:00Z".into(),
                };
                (event, absent)
            }
            Self::Decide(number, accept) => {
                let sent = sent(number, true);
                let waits = Condition::SubmissionIs(sent.submission.clone(), SubmissionState::PendingEvidence);
                let event = if accept {
                    Event::Accepted(Box::new(sent))
                } else {
                    Event::Refused {
                        facility: sent.sender.facility,
                        submission: Some(sent.submission),
                        code: "validation_failed".into(),
                        sub_indication: None,
                        container_sha256: Some(sent.container_sha256),
                        report_sha256: None,
                    }
                };
                (event, waits)
            }
            Self::Look(number, facility, view) => {
                let sent = sent(number, true);
                let recipient = Condition::Recipient(sent.submission.clone(), code(facility));
                let access = Access {
                    submission: sent.submission,
                    sender: sent.sender.facility,
                    recipient: code(facility),
                    patient: sent.patient,
                    purpose: if view { Purpose::View } else { Purpose::Import },
                    scope: vec!["*".into()],
                    categories: vec![Category::Letter],
                };
                let event = if view {
                    Event::Viewed(access)
                } else {
                    Event::Delivered(access)
                };
                (event, recipient)
            }
            Self::Acknowledge(number, facility) => {
                let sent = sent(number, true);
                let recipient = Condition::Recipient(sent.submission.clone(), code(facility));
                let event = Event::Acknowledged {
                    submission: sent.submission,
                    sender: sent.sender.facility,
                    recipient: code(facility),
                    patient: sent.patient,
                };
                (event, recipient)
            }
            Self::Hold(number) => {
                let sent = sent(number, true);
                let free = Condition::NotHeld(sent.submission.clone());
                let event = Event::HoldSet {
                    submission: sent.submission,
                    sender: sent.sender.facility,
                    recipients: vec![],
                    reason: "TEST".into(),
                };
                (event, free)
            }
            Self::Lift(number) => {
                let sent = sent(number, true);
                let held = Condition::Held(sent.submission.clone());
                let event = Event::HoldLifted {
                    submission: sent.submission,
                    sender: sent.sender.facility,
                    recipients: vec![],
                    reason: "TEST".into(),
                };
                (event, held)
            }
        }
    }
}

impl Turn {
    /// As a store takes it.
    #[must_use]
    pub fn batch(&self) -> Batch {
        let (events, conditions) = self.steps.iter().map(Step::event).unzip();
        batch(events, conditions)
    }
}

/// A submission as the model knows it.
#[derive(Debug, Clone)]
struct Known {
    position: u64,
    accepted: bool,
    /// Refused while it was held.
    refused: bool,
    held: bool,
    recipients: Vec<(FacilityCode, RecipientState)>,
}

/// What must be there.
#[derive(Debug, Clone, Default)]
pub struct Model {
    facilities: Vec<usize>,
    /// Revoked or not.
    devices: BTreeMap<(usize, usize), bool>,
    submissions: BTreeMap<u64, Known>,
    log: Vec<Event>,
}

impl Model {
    /// Number of records.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.log.len() as u64
    }

    /// The turn as a whole: its conditions are judged before any of it happens.
    ///
    /// # Errors
    /// The condition that does not hold, as a store says it.
    pub fn take(&mut self, turn: &Turn) -> Result<Vec<u64>, StoreError> {
        if let Some(step) = turn.steps.iter().find(|step| !self.may(step)) {
            return Err(StoreError::Conflict(step.event().1));
        }
        let first = self.size();
        turn.steps.iter().for_each(|step| self.apply(step));
        Ok((first..self.size()).collect())
    }

    fn may(&self, step: &Step) -> bool {
        let known = |number: &u64| self.submissions.get(number);
        let recipient = |number: &u64, facility: &usize| {
            known(number).is_some_and(|known| {
                known.accepted && known.recipients.iter().any(|(code, _)| *code == self::code(*facility))
            })
        };
        match step {
            Step::Join(facility) => !self.facilities.contains(facility),
            Step::Enrol(facility, device) => !self.devices.contains_key(&(*facility, *device)),
            Step::Revoke(facility, device) => self.devices.get(&(*facility, *device)) == Some(&false),
            Step::Accept(number, _) | Step::Wait(number) => known(number).is_none(),
            Step::Decide(number, _) => known(number).is_some_and(|known| !known.accepted && !known.refused),
            Step::Look(number, facility, _) | Step::Acknowledge(number, facility) => recipient(number, facility),
            Step::Hold(number) => known(number).is_some_and(|known| !known.held),
            Step::Lift(number) => known(number).is_some_and(|known| known.held),
        }
    }

    fn apply(&mut self, step: &Step) {
        let position = self.size();
        self.log.push(step.event().0);
        let new = |accepted, all| Known {
            position,
            accepted,
            refused: false,
            held: false,
            recipients: sent(0, all)
                .recipients
                .into_iter()
                .map(|party| (party.facility, RecipientState::Waiting))
                .collect(),
        };
        match *step {
            Step::Join(facility) => self.facilities.push(facility),
            Step::Enrol(facility, device) => drop(self.devices.insert((facility, device), false)),
            Step::Revoke(facility, device) => drop(self.devices.insert((facility, device), true)),
            Step::Accept(number, all) => drop(self.submissions.insert(number, new(true, all))),
            Step::Wait(number) => drop(self.submissions.insert(number, new(false, true))),
            Step::Decide(number, true) => {
                let held = self.submissions.get(&number).is_some_and(|known| known.held);
                self.submissions.insert(
                    number,
                    Known {
                        held,
                        ..new(true, true)
                    },
                );
            }
            // What is held stays until the hold is lifted.
            Step::Decide(number, false) => match self.submissions.get_mut(&number) {
                Some(known) if known.held => known.refused = true,
                _ => drop(self.submissions.remove(&number)),
            },
            Step::Look(number, facility, view) => {
                let state = if view {
                    RecipientState::Viewed
                } else {
                    RecipientState::Delivered
                };
                self.raise(number, facility, state);
            }
            Step::Acknowledge(number, facility) => self.raise(number, facility, RecipientState::Acknowledged),
            Step::Hold(number) => self.hold(number, true),
            Step::Lift(number) => self.hold(number, false),
        }
    }

    fn raise(&mut self, number: u64, facility: usize, to: RecipientState) {
        let known = self.submissions.get_mut(&number).unwrap();
        let recipient = known
            .recipients
            .iter_mut()
            .find(|(code, _)| *code == self::code(facility));
        let (_, state) = recipient.unwrap();
        *state = (*state).max(to);
    }

    fn hold(&mut self, number: u64, held: bool) {
        let known = self.submissions.get_mut(&number).unwrap();
        known.held = held;
        if known.refused && !held {
            self.submissions.remove(&number);
        }
    }

    /// Compares everything that can be asked.
    pub async fn agrees(&self, store: &impl Store) {
        assert_eq!(store.size().await.unwrap(), self.size());
        let records = store.records(None, 0, 10_000).await.unwrap();
        assert_eq!(records.len(), self.log.len());
        let mut sequences = BTreeMap::<FacilityCode, u64>::new();
        for ((position, stored), event) in (0..).zip(&records).zip(&self.log) {
            let record = stored.record().unwrap().unwrap();
            assert_eq!(stored.position, position);
            assert!(record.event == *event, "the record at {position} is another");
            for (facility, number) in record.facility_seq {
                let last = sequences.entry(facility).or_default();
                *last += 1;
                assert_eq!(number, *last, "a gap at {position}");
            }
        }
        assert_eq!(store.facilities().await.unwrap().len(), self.facilities.len());
        for (facility, name) in FACILITIES.iter().enumerate() {
            let name: FacilityCode = name.parse().unwrap();
            assert_eq!(
                store.facility(&name).await.unwrap().is_some(),
                self.facilities.contains(&facility)
            );
            let mine = self.devices.iter().filter(|((at, _), _)| *at == facility);
            let devices = store.devices(&name).await.unwrap();
            assert!(
                devices
                    .iter()
                    .map(|device| &device.revoked)
                    .eq(mine.map(|(_, revoked)| revoked))
            );
            let own = store.records(Some(&name), 0, 10_000).await.unwrap();
            assert_eq!(own.len() as u64, sequences.get(&name).copied().unwrap_or_default());
            let mut expected: Vec<u64> = self
                .submissions
                .values()
                .filter(|known| known.accepted && known.recipients.iter().any(|(code, _)| *code == name))
                .map(|known| known.position)
                .collect();
            expected.sort_unstable();
            // A page of an inbox begins after a position; at 0 nothing is before.
            let mut inbox = store.inbox(&name, 0, 1_000).await.unwrap();
            inbox.retain(|row| row.state == SubmissionState::Accepted);
            expected.retain(|position| *position > 0);
            inbox.retain(|row| row.position > 0);
            assert!(inbox.iter().map(|row| row.position).eq(expected));
        }
        assert_eq!(
            store.pending().await.unwrap().len(),
            self.submissions
                .values()
                .filter(|known| !known.accepted && !known.refused)
                .count()
        );
        for number in 0..SUBMISSIONS {
            let row = store.submission(&sent(number, true).submission).await.unwrap();
            let known = self.submissions.get(&number);
            assert_eq!(row.is_some(), known.is_some(), "submission {number}");
            if let (Some(row), Some(known)) = (row, known) {
                assert_eq!(
                    (row.position, row.state == SubmissionState::Accepted, row.hold.is_some()),
                    (known.position, known.accepted, known.held),
                    "submission {number}"
                );
                assert_eq!(row.recipients, known.recipients);
            }
        }
    }
}

/// Lives `history` on a store and beside it in the model; `reopen` closes and opens the store.
pub async fn live<S: Store>(mut store: S, history: &[Turn], reopen: impl AsyncFn(S) -> S) {
    let mut model = Model::default();
    for turn in history {
        if turn.reopen {
            store = reopen(store).await;
            model.agrees(&store).await;
        }
        let done = store.commit(turn.batch()).committed().await;
        assert_eq!(done.map(|done| done.positions), model.take(turn), "{turn:?}");
    }
    model.agrees(&reopen(store).await).await;
}
