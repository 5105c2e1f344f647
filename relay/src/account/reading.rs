//! Readings as records: who read what, in which forms, and whose records may have gone out. `CONTRACTS.md` §9.
//!
//! A facility's reading is in its own account. One by the operator is in the account of every facility whose records it may
//! show: what it was narrowed to, where that names a patient or a person, is in the operator's own record alone.

use formats::trail::{Actor, Event, Filter};
use formats::wire::FacilityCode;
use time::{Duration, OffsetDateTime};

use super::{ExportError, Query};
use crate::clock;
use crate::store::{Store, StoreError};

/// A reading goes on, or is written in another of its forms, for so long.
const LASTS: Duration = Duration::hours(1);
/// Facilities one record speaks of: it stays far below the largest body.
const FACILITIES: usize = 10_000;

/// What a reading says of itself.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    pub(crate) facility: Option<FacilityCode>,
    /// RFC 3339 UTC or empty.
    pub(crate) from: String,
    /// RFC 3339 UTC or empty.
    pub(crate) to: String,
    pub(crate) format: String,
    pub(crate) filter: Option<Filter>,
}

impl Read {
    /// Its records, the reading itself first; `concerned`: whose records may go out by the operator's hand.
    pub(crate) fn events(self, concerned: Vec<FacilityCode>) -> Vec<Event> {
        let event = |filter: Option<Filter>, concerned: &[FacilityCode]| Event::TrailRead {
            facility: self.facility.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            format: self.format.clone(),
            filter,
            concerned: concerned.to_vec(),
        };
        let names = |filter: &Filter| filter.patient.is_some() || filter.person.is_some();
        let told = self.filter.clone();
        if !concerned.is_empty() && told.as_ref().is_some_and(names) {
            let narrowed = Filter {
                narrowed: true,
                ..Filter::default()
            };
            let others = concerned.chunks(FACILITIES);
            let others = others.map(|part| event(Some(narrowed.clone()), part));
            return std::iter::once(event(told, &[])).chain(others).collect();
        }
        let mut parts = concerned.chunks(FACILITIES);
        let first = event(told.clone(), parts.next().unwrap_or_default());
        std::iter::once(first)
            .chain(parts.map(|part| event(told.clone(), part)))
            .collect()
    }
}

/// Whose records may go out where the operator reads: the parties of a submission that is asked for, else everybody.
pub(crate) async fn concerned(store: &dyn Store, query: &Query) -> Result<Vec<FacilityCode>, StoreError> {
    if query.facility.is_some() {
        return Ok(Vec::new());
    }
    if let Some(id) = &query.submission
        && let Some(row) = store.submission(id).await?
    {
        let recipients = row.recipients.into_iter().map(|(facility, _)| facility);
        let mut all: Vec<_> = std::iter::once(row.submission.sender.facility)
            .chain(recipients)
            .collect();
        all.sort_unstable();
        all.dedup();
        return Ok(all);
    }
    let all = store.facilities().await?;
    Ok(all.into_iter().map(|facility| facility.code).collect())
}

/// Whether the record at `position` is this reading by the same device and person, young enough to go on, and of this form.
pub(super) async fn goes_on(
    store: &dyn Store,
    position: u64,
    (asked, form): (&Read, &str),
    actor: &Actor,
    now: OffsetDateTime,
) -> Result<(), ExportError> {
    let stored = store.records(None, position, 1).await?;
    let stored = stored.into_iter().find(|stored| stored.position == position);
    let record = stored.map(|stored| stored.record()).transpose()?.flatten();
    let Some(record) = record else {
        return Err(ExportError::Reading);
    };
    let Event::TrailRead {
        facility,
        from,
        to,
        format,
        filter,
        ..
    } = &record.event
    else {
        return Err(ExportError::Reading);
    };
    let by = &record.actor;
    let same = (facility, from, to) == (&asked.facility, &asked.from, &asked.to)
        && *filter == asked.filter
        && (&by.facility, &by.device, &by.person_id) == (&actor.facility, &actor.device, &actor.person_id)
        && format.split('+').any(|one| one == form);
    let young = clock::parse_rfc3339(&record.time).is_some_and(|time| time + LASTS >= now);
    if same && young {
        Ok(())
    } else {
        Err(ExportError::Reading)
    }
}
