//! Containers and what lies beside them: each is there, and is what its record says. And what is there beside that.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use formats::wire::SubmissionId;
use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};

use super::trail::Refused;
use super::{Apart, CheckError, Code, Difference, KEY, Leftover, Place, RESTORE, Report, follow};
use crate::archive::ARCHIVE;
use crate::containers::{BESIDE_KEY, CONTAINER, CONTAINER_KEY, ContainerError, Containers, ORPHANS, sealed_name};
use crate::intake::{EVIDENCE, GATHERED, REFUSED, REPORT};
use crate::pace::Pace;
use crate::revise::{evidence_name, report_name};
use crate::store::{Replica, SubmissionRow};

/// Submissions looked at in one go.
const PAGE: usize = 200;
/// A file that differs is looked at so often, with the trail as it is by then: it may be being replaced.
const TRIES: usize = 4;
const PAUSE: Duration = Duration::from_millis(150);
/// What is younger may be waiting for its record.
const UNDER_WAY: Duration = Duration::from_secs(600);

const NO_CONTAINER: &str = "the container is not there";
const NO_RECORD: &str = "no record names it";

/// A file that a record names.
struct Named {
    file: String,
    sha256: String,
    position: u64,
}

/// Compares all files of all submissions and refusals; and looks for what is left over, if the trail could be read as a whole.
pub(super) async fn compare(
    place: Place<'_>,
    containers: &Containers,
    replica: &mut Replica,
    whole: bool,
    pace: &mut Pace<'_>,
    report: &mut Report,
) -> Result<(), CheckError> {
    let mut after: Option<SubmissionId> = None;
    loop {
        let page = replica.submissions(after.as_ref(), PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some(last.submission.submission.clone());
        for row in page {
            submission(place, containers, replica, &row, pace, report).await?;
        }
    }
    refusals(containers, pace, report).await?;
    if whole {
        leftovers(place, containers, replica, report).await?;
    }
    if containers.is_shared() {
        apart(report);
    }
    Ok(())
}

/// The report of each refusal is there.
pub(super) async fn refused(
    containers: &Containers,
    refused: Vec<Refused>,
    report: &mut Report,
) -> Result<(), CheckError> {
    if refused.is_empty() {
        return Ok(());
    }
    for Refused {
        position,
        report: digest,
    } in refused
    {
        let name = format!("{REFUSED}{digest}");
        if containers.has_beside(&name, REPORT).await? {
            continue;
        }
        report.differs(Difference {
            code: Code::FileMissing,
            file: containers.shown(&name, REPORT),
            position: Some(position),
            offset: None,
            what: "the report of a refusal is not there".into(),
            remedy: RESTORE,
        });
    }
    Ok(())
}

/// Says how far two stores are apart that were perhaps restored to different moments.
fn apart(report: &mut Report) {
    let lacks = |found: &&Difference| found.code == Code::FileMissing && found.what.starts_with(NO_CONTAINER);
    let positions = report
        .differences
        .iter()
        .filter(lacks)
        .filter_map(|found| found.position);
    let apart = Apart {
        without_container: report.differences.iter().filter(lacks).count() as u64,
        between: positions.clone().min().zip(positions.max()),
        without_record: report.leftovers.iter().filter(|left| left.what == NO_RECORD).count() as u64,
    };
    report.apart = (apart != Apart::default()).then_some(apart);
}

/// The files a submission must have. One that waited has evidence and report of its verdict under their digests.
async fn named(containers: &Containers, row: &SubmissionRow) -> Result<Vec<Named>, ContainerError> {
    let submission = &row.submission;
    let position = row.position;
    let choose = async |own: String, usual: &str| {
        let own_is_there = containers.has_beside(&submission.stored_as, &own).await?;
        Ok::<_, ContainerError>(if own_is_there { own } else { usual.to_owned() })
    };
    let mut files = vec![
        Named {
            file: choose(evidence_name(&submission.evidence_sha256), EVIDENCE).await?,
            sha256: submission.evidence_sha256.clone(),
            position,
        },
        Named {
            file: choose(report_name(&submission.report_sha256), REPORT).await?,
            sha256: submission.report_sha256.clone(),
            position,
        },
    ];
    if row.erased.is_none() {
        files.push(Named {
            file: CONTAINER.into(),
            sha256: submission.container_sha256.clone(),
            position,
        });
    }
    if let Some(revised) = &row.revised {
        let (evidence, report) = (&revised.revision.evidence_sha256, &revised.revision.report_sha256);
        for (file, sha256) in [(evidence_name(evidence), evidence), (report_name(report), report)] {
            files.push(Named {
                file,
                sha256: sha256.clone(),
                position: revised.position,
            });
        }
    }
    if let Some(archive) = &row.archive {
        files.push(Named {
            file: ARCHIVE.into(),
            sha256: archive.sha256.clone(),
            position,
        });
    }
    Ok(files)
}

async fn submission(
    place: Place<'_>,
    containers: &Containers,
    replica: &mut Replica,
    row: &SubmissionRow,
    pace: &mut Pace<'_>,
    report: &mut Report,
) -> Result<(), CheckError> {
    let mut row = row.clone();
    let files = named(containers, &row).await?;
    let mut open: BTreeSet<String> = files.into_iter().map(|named| named.file).collect();
    report.files += open.len() as u64;
    for attempt in 1..=TRIES {
        let mut differing = Vec::new();
        let files = named(containers, &row).await?;
        for named in files.into_iter().filter(|named| open.contains(&named.file)) {
            let found = digest(containers, &row.submission.stored_as, &named.file, pace).await;
            if !matches!(&found, Ok(found) if *found == named.sha256) {
                differing.push((named, found));
            }
        }
        if differing.is_empty() {
            return Ok(());
        }
        if attempt == TRIES || !place.live {
            for (named, found) in differing {
                let absent = matches!(found, Err(ContainerError::Absent));
                let name = &row.submission.stored_as;
                match absent && keyless(containers, name, &named.file).await? {
                    true => report.differs(no_key(containers, name, &named.file, Some(named.position))),
                    false => report.differs(difference(containers, &row, &named, found)),
                }
            }
            return Ok(());
        }
        // Replaced or erased meanwhile? The trail says so.
        std::thread::sleep(PAUSE);
        follow(replica)?;
        open = differing.into_iter().map(|(named, _)| named.file).collect();
        match replica.submission(&row.submission.submission)? {
            Some(newer) => row = newer,
            None => return Ok(()),
        }
    }
    Ok(())
}

/// Whether a file is there and only its key is not.
async fn keyless(containers: &Containers, stored_as: &str, file: &str) -> Result<bool, CheckError> {
    match containers.folder(stored_as).await {
        Ok(there) => {
            let has = |file: &str| there.files.iter().any(|found| found == file);
            Ok(has(&sealed_name(file)) && !has(key_of(file)))
        }
        Err(ContainerError::Absent) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn key_of(file: &str) -> &'static str {
    if file == CONTAINER { CONTAINER_KEY } else { BESIDE_KEY }
}

fn no_key(containers: &Containers, stored_as: &str, file: &str, position: Option<u64>) -> Difference {
    Difference {
        code: Code::KeyMissing,
        file: containers.shown(stored_as, file).with_file_name(key_of(file)),
        position,
        offset: None,
        what: format!("the key of {file} is not there ({stored_as})"),
        remedy: KEY,
    }
}

fn difference(
    containers: &Containers,
    row: &SubmissionRow,
    named: &Named,
    found: Result<String, ContainerError>,
) -> Difference {
    let (code, what) = match found {
        Ok(found) => (
            Code::FileChanged,
            format!("SHA-256 is {found}, the record says {}", named.sha256),
        ),
        Err(ContainerError::Absent) if named.file == CONTAINER => (Code::FileMissing, NO_CONTAINER.into()),
        Err(ContainerError::Absent) => (Code::FileMissing, "it is not there".into()),
        Err(error) => (Code::FileChanged, format!("it cannot be read: {error}")),
    };
    Difference {
        code,
        file: containers.shown(&row.submission.stored_as, &named.file),
        position: Some(named.position),
        offset: None,
        what: format!("{what} (submission {})", row.submission.submission),
        remedy: RESTORE,
    }
}

/// SHA-256 of what a file says, unsealed; hex.
async fn digest(
    containers: &Containers,
    stored_as: &str,
    file: &str,
    pace: &mut Pace<'_>,
) -> Result<String, ContainerError> {
    let mut hash = Sha256::new();
    let mut add = |part: &Bytes| {
        hash.update(part);
        pace.spend("containers", part.len() as u64);
    };
    if file == CONTAINER {
        let mut parts = containers.open_range(stored_as, None).await?.stream;
        while let Some(part) = parts.next().await {
            add(&part?);
        }
    } else {
        let (_, mut parts) = containers.stream_beside(stored_as, file).await?;
        while let Some(part) = parts.next().await {
            add(&part.map_err(|error| ContainerError::Store(error.to_string()))?);
        }
    }
    Ok(hex::encode(hash.finalize()))
}

/// Reports of refusals bear their digest as their name.
async fn refusals(containers: &Containers, pace: &mut Pace<'_>, report: &mut Report) -> Result<(), CheckError> {
    for name in containers.names().await? {
        let Some(expected) = name.strip_prefix(REFUSED) else {
            continue;
        };
        report.files += 1;
        let what = match digest(containers, &name, REPORT, pace).await {
            Ok(found) if found == expected => continue,
            Err(ContainerError::Absent) => {
                if keyless(containers, &name, REPORT).await? {
                    report.differs(no_key(containers, &name, REPORT, None));
                }
                continue;
            }
            Ok(found) => format!("SHA-256 is {found}, its name says {expected}"),
            Err(error) => format!("it cannot be read: {error}"),
        };
        report.differs(Difference {
            code: Code::FileChanged,
            file: containers.shown(&name, REPORT),
            position: None,
            offset: None,
            what,
            remedy: RESTORE,
        });
    }
    Ok(())
}

/// What lies among the containers and belongs to no record.
async fn leftovers(
    place: Place<'_>,
    containers: &Containers,
    replica: &mut Replica,
    report: &mut Report,
) -> Result<(), CheckError> {
    for file in containers.aside().await? {
        report.leftovers.push(Leftover {
            file,
            what: "put aside at a start of the relay: no record named it",
        });
    }
    for name in containers.names().await? {
        if name.starts_with(REFUSED) || name == ORPHANS {
            continue;
        }
        let there = containers.folder(&name).await;
        let there = match there {
            // Removed meanwhile.
            Err(ContainerError::Absent) => continue,
            there => there?,
        };
        if there.files.is_empty() || there.touched.elapsed().is_ok_and(|age| age < UNDER_WAY) {
            continue;
        }
        let row = match name.split('.').next().and_then(|id| id.parse::<SubmissionId>().ok()) {
            Some(id) => replica.submission(&id)?.filter(|row| row.submission.stored_as == name),
            None => None,
        };
        let file = |file: &str| containers.shown(&name, file);
        let Some(row) = row else {
            let folder = file(CONTAINER).parent().map(PathBuf::from).unwrap_or_default();
            report.leftovers.push(Leftover {
                file: folder,
                what: NO_RECORD,
            });
            continue;
        };
        for found in there.files {
            let content = found.strip_suffix(".sealed").unwrap_or_default();
            let of_container = content == CONTAINER || found == CONTAINER_KEY;
            let usual = matches!(content, EVIDENCE | REPORT | GATHERED | ARCHIVE)
                || found == BESIDE_KEY
                || (of_container && row.erased.is_none())
                || (content.ends_with(".json") && (content.starts_with("evidence.") || content.starts_with("report.")));
            if !usual {
                report.leftovers.push(Leftover {
                    file: file(CONTAINER).with_file_name(&found),
                    what: if of_container {
                        "its erasure is recorded; the next start of the relay removes it"
                    } else {
                        "not one of a submission's files"
                    },
                });
            }
        }
    }
    if let Some(database) = place.shared {
        for upload in containers.lone_parts(UNDER_WAY).await? {
            if !database.has_upload(&upload)? {
                report.leftovers.push(Leftover {
                    file: PathBuf::from(format!("parts/{upload}")),
                    what: "parts of an upload that is no more, and of no container",
                });
            }
        }
    }
    Ok(())
}
