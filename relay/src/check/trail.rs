//! The trail: its bytes, its tree, and the checkpoint that is signed over them.

use formats::trail::{Checkpoint, Event};

use super::index::Source;
use super::{CheckError, Code, Difference, Place, RESTORE, Report};
use crate::log::Remembered;
use crate::pace::{Pace, STEP};
use crate::store::{Replica, ReplicaError};
use crate::trail::{TrailError, TrailReader};

const RESTORE_DATABASE: &str = "restore the database to a moment at which it was whole (docs/postgresql.md)";
const LOST: &str = "restore the trail from a backup that has these records (docs/recovery.md); they were acknowledged";

const CHANGED: &str = "do not serve; compare with a backup and with the receipts of clinics: records were changed";
/// Damaged records of a database that are told one by one.
const TOLD: u64 = 1000;

/// Replays the trail into the replica, and compares its tree with the checkpoint.
pub(super) fn compare(
    place: Place<'_>,
    source: &Source,
    replica: &mut Replica,
    pace: &mut Pace<'_>,
    refused: &mut Vec<Refused>,
    report: &mut Report,
) -> Result<(), CheckError> {
    // Asked first: the trail has every record a checkpoint speaks about.
    let note = source.checkpoint()?.or_else(|| place.note.map(ToOwned::to_owned));
    let until = source.applied()?;
    read(place, until, replica, pace, refused, report)?;
    if let Some(applied) = until
        && applied > replica.size()
        && report.differences.is_empty()
    {
        report.differs(Difference {
            code: Code::TrailShort,
            file: place.trail(),
            position: Some(replica.size()),
            offset: None,
            what: format!(
                "the trail ends after {} records; the index has seen {applied}",
                replica.size()
            ),
            remedy: LOST,
        });
    }
    if let Some(note) = note {
        checkpoint(place, &note, replica, report)?;
    }
    Ok(())
}

/// A refusal whose report must be there.
pub(super) struct Refused {
    pub(super) position: u64,
    /// SHA-256 of its report, hex.
    pub(super) report: String,
}

/// Reads on, to the end or to the record `until`. Refusals are added to `refused`.
pub(super) fn read(
    place: Place<'_>,
    until: Option<u64>,
    replica: &mut Replica,
    pace: &mut Pace<'_>,
    refused: &mut Vec<Refused>,
    report: &mut Report,
) -> Result<(), CheckError> {
    let ended = replica.follow(until.unwrap_or(u64::MAX), |applied| {
        pace.spend("trail", applied.bytes);
        if let Some(Event::Refused {
            report_sha256: Some(digest),
            ..
        }) = applied.record.map(|record| &record.event)
        {
            refused.push(Refused {
                position: applied.position,
                report: digest.clone(),
            });
        }
    });
    report.records = replica.size();
    match ended {
        Ok(_) => Ok(()),
        Err(ReplicaError::Store(error)) => Err(error.into()),
        Err(ReplicaError::Trail(error)) => {
            if damaged(place, error, report)? {
                later(place, replica.size(), pace, report)?;
            }
            Ok(())
        }
    }
}

/// Compares with what is kept of the log beside the trail.
pub(super) fn remembered(
    place: Place<'_>,
    signed: &[Remembered],
    replica: &Replica,
    report: &mut Report,
) -> Result<(), CheckError> {
    let Some(last) = signed.last() else { return Ok(()) };
    let told = |found: &Difference| matches!(found.code, Code::TrailShort | Code::TrailDamaged | Code::Checkpoint);
    if report.differences.iter().any(told) {
        return Ok(());
    }
    let (code, what, remedy) = if last.size > replica.size() {
        let what = format!(
            "{} is signed for {} records, the trail has {}",
            last.file.display(),
            last.size,
            replica.size()
        );
        (Code::TrailShort, what, LOST)
    } else if replica.root(last.size)? != last.root {
        let what = format!(
            "the first {} records are not those {} is signed for",
            last.size,
            last.file.display()
        );
        (Code::Checkpoint, what, CHANGED)
    } else {
        return Ok(());
    };
    report.differs(Difference {
        code,
        file: place.trail(),
        position: (code == Code::TrailShort).then(|| replica.size()),
        offset: None,
        what,
        remedy,
    });
    Ok(())
}

fn checkpoint(place: Place<'_>, note: &str, replica: &Replica, report: &mut Report) -> Result<(), CheckError> {
    let mut differs = |code, position, what, remedy| {
        report.differs(Difference {
            code,
            file: place.trail(),
            position,
            offset: None,
            what,
            remedy,
        });
    };
    let head = match Checkpoint::verify(note, place.vkey) {
        Ok(head) => head,
        Err(error) => {
            let remedy = "compare log.key with the one of the backup; then rebuild";
            differs(Code::Checkpoint, None, error.to_string(), remedy);
            return Ok(());
        }
    };
    if head.size > replica.size() {
        let what = format!(
            "the trail's {} records are fewer than the {} signed for",
            replica.size(),
            head.size
        );
        differs(Code::TrailShort, Some(replica.size()), what, LOST);
    } else if replica.root(head.size)? != head.root {
        let what = format!(
            "the first {} records are not those the checkpoint is signed for",
            head.size
        );
        differs(Code::Checkpoint, None, what, CHANGED);
    }
    report.checkpoint = Some(head.size);
    Ok(())
}

/// Looks at what is behind the damage: the segments behind a damaged one, or the records behind a damaged one, each by itself.
fn later(place: Place<'_>, reached: u64, pace: &mut Pace<'_>, report: &mut Report) -> Result<(), CheckError> {
    if let Some(database) = place.shared {
        let (mut told, mut more, mut failed) = (1, 0u64, None);
        database.each(reached.saturating_add(1), |found| match found {
            Ok(record) => pace.spend("trail", record.length() as u64),
            Err(_) if told >= TOLD => more += 1,
            Err(error) => {
                told += 1;
                if let Err(error) = damaged(place, error, report) {
                    failed = Some(error);
                }
            }
        })?;
        if more > 0 {
            report.differs(Difference {
                code: Code::TrailDamaged,
                file: place.trail(),
                position: None,
                offset: None,
                what: format!("{more} more records are damaged or missing"),
                remedy: RESTORE_DATABASE,
            });
        }
        return failed.map_or(Ok(()), Err);
    }
    let reader = TrailReader::new(&place.data.join("trail"));
    let files = reader.files().map_err(CheckError::Trail)?;
    let newest = files.last().map(|file| file.first);
    for file in files.iter().filter(|file| file.first > reached) {
        let length = file.path.metadata().map_or(0, |found| found.len());
        for _ in 0..length.div_ceil(STEP as u64) {
            pace.spend("trail", (STEP as u64).min(length));
        }
        match reader.extent(file.first, Some(file.first) == newest) {
            Ok(_) => {}
            Err(error) => drop(damaged(place, error, report)?),
        }
    }
    Ok(())
}

/// Tells of damage, unless it was told already; whether it was new. In a file everything behind it is of one damage.
fn damaged(place: Place<'_>, error: TrailError, report: &mut Report) -> Result<bool, CheckError> {
    let TrailError::Damaged {
        file,
        offset,
        position,
        what,
    } = error
    else {
        return Err(CheckError::Trail(error));
    };
    let known = report
        .differences
        .iter()
        .filter(|other| other.file == file && other.code == Code::TrailDamaged)
        .any(|other| place.shared.is_none() || other.position == Some(position));
    if !known {
        report.differs(Difference {
            code: Code::TrailDamaged,
            file,
            position: Some(position),
            offset: (offset > 0).then_some(offset),
            what: match place.shared {
                None => format!("{what}; the records before it are good"),
                Some(_) => what.to_owned(),
            },
            remedy: if place.shared.is_some() {
                RESTORE_DATABASE
            } else {
                RESTORE
            },
        });
    }
    Ok(!known)
}
