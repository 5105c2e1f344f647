//! The trail: its bytes, its tree, and the checkpoint that is signed over them.

use formats::trail::{Checkpoint, Event};

use super::index::Source;
use super::{CheckError, Code, Difference, MOST, Place, RESTORE, Report};
use crate::containers::sealed_name;
use crate::intake::{REFUSED, REPORT};
use crate::pace::{Pace, STEP};
use crate::store::{Replica, ReplicaError};
use crate::trail::{TrailError, TrailReader};

const LOST: &str = "restore the trail from a backup that has these records (docs/recovery.md); they were acknowledged";

/// Replays the trail into the replica, and compares its tree with the checkpoint.
pub(super) fn compare(
    place: Place<'_>,
    source: &Source,
    replica: &mut Replica,
    pace: &mut Pace<'_>,
    report: &mut Report,
) -> Result<(), CheckError> {
    // Asked first: the trail has every record a checkpoint speaks about.
    let note = source.checkpoint()?.or_else(|| place.note.map(ToOwned::to_owned));
    let until = source.applied()?;
    read(place, until, replica, pace, report)?;
    if let Some(applied) = until
        && applied > replica.size()
        && report.differences.is_empty()
    {
        report.differs(Difference {
            code: Code::TrailShort,
            file: place.data.join("trail"),
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

/// Reads on, to the end or to the record `until`.
pub(super) fn read(
    place: Place<'_>,
    until: Option<u64>,
    replica: &mut Replica,
    pace: &mut Pace<'_>,
    report: &mut Report,
) -> Result<(), CheckError> {
    let containers = place.data.join("containers");
    let mut missing = Vec::new();
    let ended = replica.follow(until.unwrap_or(u64::MAX), |applied| {
        pace.spend("trail", applied.bytes);
        if let Some(Event::Refused {
            report_sha256: Some(digest),
            ..
        }) = applied.record.map(|record| &record.event)
        {
            let folder = containers.join(format!("{REFUSED}{digest}"));
            let file = folder.join(sealed_name(REPORT));
            if missing.len() < MOST && !file.exists() {
                missing.push((applied.position, file));
            }
        }
    });
    report.records = replica.size();
    for (position, file) in missing {
        report.differs(Difference {
            code: Code::FileMissing,
            file,
            position: Some(position),
            offset: None,
            what: "the report of a refusal is not there".into(),
            remedy: RESTORE,
        });
    }
    match ended {
        Ok(_) => Ok(()),
        Err(ReplicaError::Store(error)) => Err(error.into()),
        Err(ReplicaError::Trail(error)) => {
            damaged(error, report)?;
            later(place, replica.size(), pace, report)
        }
    }
}

fn checkpoint(place: Place<'_>, note: &str, replica: &Replica, report: &mut Report) -> Result<(), CheckError> {
    let mut differs = |code, position, what, remedy| {
        report.differs(Difference {
            code,
            file: place.data.join("trail"),
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
        let remedy = "do not serve; compare with a backup and with the receipts of clinics: records were changed";
        differs(Code::Checkpoint, None, what, remedy);
    }
    report.checkpoint = Some(head.size);
    Ok(())
}

/// Looks at the segments behind a damaged one, each by itself.
fn later(place: Place<'_>, reached: u64, pace: &mut Pace<'_>, report: &mut Report) -> Result<(), CheckError> {
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
            Err(error) => damaged(error, report)?,
        }
    }
    Ok(())
}

fn damaged(error: TrailError, report: &mut Report) -> Result<(), CheckError> {
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
        .any(|other| other.file == file && other.code == Code::TrailDamaged);
    if !known {
        report.differs(Difference {
            code: Code::TrailDamaged,
            file,
            position: Some(position),
            offset: Some(offset),
            what: format!("{what}; the records before it are good"),
            remedy: RESTORE,
        });
    }
    Ok(())
}
