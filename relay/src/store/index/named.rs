//! Which container a submission has, told by the rows of its records: plain rows, so that as many as there are containers can be
//! compared at every start.

use formats::trail::Event;
use formats::wire::SubmissionId;

use super::{Key, Row, Table, unreadable};
use crate::store::{NamedContainer, StoreError};

const ACCEPTED: u8 = b'A';
const PENDING: u8 = b'P';
const ERASED: u8 = b'E';

/// What the row of a record says of the container.
pub(super) fn told(event: &Event) -> Vec<u8> {
    match event {
        Event::Accepted(submission) => [&[ACCEPTED], submission.stored_as.as_bytes()].concat(),
        Event::Pending { submission, .. } => [&[PENDING], submission.stored_as.as_bytes()].concat(),
        Event::ContainerErased { .. } => vec![ERASED],
        _ => Vec::new(),
    }
}

/// The container of a submission; `None`: no record that is there names one.
pub(super) fn container(table: &dyn Table, id: &SubmissionId) -> Result<Option<NamedContainer>, StoreError> {
    let space = Key::submission_records(id);
    let mut found: Option<NamedContainer> = None;
    // As few as one page for nearly all.
    let (mut from, page) = (space.as_bytes().to_vec(), 64);
    loop {
        let rows = table.scan(space.as_bytes(), &from, page)?;
        for Row { value, .. } in &rows {
            let Some((kind, name)) = value.split_first() else {
                continue;
            };
            match (*kind, &mut found) {
                (ERASED, Some(named)) => named.erased = true,
                // The first that is accepted stays.
                (ACCEPTED | PENDING, Some(named)) if named.accepted => {}
                (ACCEPTED | PENDING, _) => {
                    found = Some(NamedContainer {
                        stored_as: String::from_utf8(name.to_vec()).map_err(|_| unreadable())?,
                        accepted: *kind == ACCEPTED,
                        erased: false,
                    });
                }
                _ => {}
            }
        }
        match rows.last() {
            Some(row) if rows.len() == page => from = [row.key.as_slice(), &[0]].concat(),
            _ => return Ok(found),
        }
    }
}
