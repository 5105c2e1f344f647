//! The outbox: a signed container waits here until the relay's receipt is on this disk. Survives a power cut at any moment.
//!
//! `outbox/ID/` holds `container.asice` and `state.json`. With the receipt the entry moves to `sent/ID/` without the
//! container; refused, it moves to `refused/ID/` with it and the report. Nothing here names a patient.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use formats::trail::Event;
use formats::wire::{PendingAnswer, Receipt, SubmissionId};
use fs4::fs_std::FileExt;
use serde::{Deserialize, Serialize};

use crate::config::Home;
use crate::error::{Code, Failure};
use crate::files;
use crate::output::Output;
use crate::relay_api::{Answer, ApiError, RelayApi, Upload};
use crate::relay_trust::log_vkey;

/// Pauses between tries over a broken line, in seconds. After the last the letter stays in the outbox.
const PAUSES: [u64; 5] = [1, 2, 4, 8, 15];

/// What is remembered of a letter on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Submission id.
    pub id: SubmissionId,
    /// SHA-256 of the container, hex.
    pub sha256: String,
    /// Its size in bytes.
    pub length: u64,
    /// The upload at the relay, once begun.
    pub upload: Option<String>,
    /// The relay's answer, if it holds the letter until evidence can be had.
    pub pending: Option<PendingAnswer>,
}

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The receipt is on this disk.
    Sent(Box<Receipt>),
    /// The relay holds it until evidence can be had.
    Pending(PendingAnswer),
}

/// The outbox of one home.
#[derive(Debug, Clone)]
pub struct Outbox {
    home: Home,
    waiting: PathBuf,
    sent: PathBuf,
    refused: PathBuf,
}

impl Outbox {
    /// The outbox below `home`. Nothing is created.
    #[must_use]
    pub fn of(home: &Home) -> Self {
        Self {
            home: home.clone(),
            waiting: home.outbox(),
            sent: home.path().join("sent"),
            refused: home.path().join("refused"),
        }
    }

    /// Puts a container in. Once this returns, a power cut cannot lose it.
    ///
    /// # Errors
    /// [`Code::FileUnwritable`]; [`Code::FileExists`] if the id is already on its way or sent.
    pub fn add(&self, entry: &Entry, container: &Path) -> Result<(), Failure> {
        let place = self.waiting.join(entry.id.as_str());
        if place.exists() || self.sent.join(entry.id.as_str()).exists() {
            return Err(Failure::new(Code::FileExists, format!("submission {}", entry.id)));
        }
        let draft = self.waiting.join(format!(".{}", entry.id));
        let _ = fs::remove_dir_all(&draft); // left behind by an interrupted attempt
        files::create_directory(&draft)?;
        let target = draft.join("container.asice");
        let mut source = files::open(container)?;
        let mut copy = files::Draft::create(&target)?;
        io::copy(&mut source, &mut copy.file).map_err(|error| files::unwritable(&target, &error))?;
        copy.commit()?;
        write_state(&draft, entry)?;
        // The entry appears whole: a folder that begins with a dot is not one yet.
        fs::rename(&draft, &place).map_err(|error| files::unwritable(&place, &error))?;
        files::sync_directory_of(&place);
        Ok(())
    }

    /// Letters on their way, oldest first.
    ///
    /// # Errors
    /// [`Code::FileUnreadable`].
    pub fn entries(&self) -> Result<Vec<Entry>, Failure> {
        let listing = match fs::read_dir(&self.waiting) {
            Ok(listing) => listing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(files::unreadable(&self.waiting, &error)),
        };
        let mut entries = Vec::new();
        for place in listing.flatten().map(|entry| entry.path()) {
            if place
                .file_name()
                .is_some_and(|name| !name.to_string_lossy().starts_with('.'))
            {
                entries.push(read_state(&place)?);
            }
        }
        entries.sort_by(|one, two| one.id.cmp(&two.id)); // UUIDv7: in the order of their making
        Ok(entries)
    }

    /// The kept receipt of a sent letter.
    #[must_use]
    pub fn receipt(&self, id: &SubmissionId) -> Option<Receipt> {
        let bytes = fs::read(self.sent.join(id.as_str()).join("receipt.json")).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Receipts of what was sent last, the newest first, at most `most`.
    ///
    /// # Errors
    /// [`Code::FileUnreadable`].
    pub fn receipts(&self, most: usize) -> Result<Vec<Receipt>, Failure> {
        let listing = match fs::read_dir(&self.sent) {
            Ok(listing) => listing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(files::unreadable(&self.sent, &error)),
        };
        let mut ids: Vec<SubmissionId> = listing
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect();
        ids.sort_by(|one, two| two.cmp(one)); // UUIDv7: in the order of their making
        Ok(ids.iter().filter_map(|id| self.receipt(id)).take(most).collect())
    }

    /// Brings one letter to the relay: begins or resumes its upload, submits it, keeps the receipt.
    ///
    /// # Errors
    /// What the relay says; [`Code::RelayUnreachable`] after several tries, with the letter still here;
    /// [`Code::OutboxBusy`] if another run of this program is at it.
    pub async fn deliver(&self, api: &RelayApi, id: &SubmissionId, output: &Output) -> Result<Delivery, Failure> {
        let place = self.waiting.join(id.as_str());
        let lock = place.join("lock");
        let lock = fs::File::create(&lock).map_err(|error| files::unwritable(&lock, &error))?;
        if !FileExt::try_lock_exclusive(&lock).unwrap_or(false) {
            return Err(Failure::new(Code::OutboxBusy, id.to_string()));
        }
        let mut entry = read_state(&place)?;
        let mut pauses = PAUSES.into_iter();
        loop {
            match attempt(api, &place, &mut entry, output).await {
                Ok(Answer::Receipt(receipt)) => {
                    prove(&receipt, &entry, &log_vkey(&self.home, api).await?)?;
                    self.keep_receipt(&place, &entry, &receipt)?;
                    return Ok(Delivery::Sent(receipt));
                }
                Ok(Answer::Pending(pending)) if pending.id != entry.id => {
                    let why = format!("it speaks of another submission than {}", entry.id);
                    return Err(Failure::new(Code::RelayAnswer, why));
                }
                Ok(Answer::Pending(pending)) => {
                    entry.pending = Some(pending.clone());
                    write_state(&place, &entry)?;
                    return Ok(Delivery::Pending(pending));
                }
                Err(ApiError::Unreachable(cause)) => match pauses.next() {
                    Some(seconds) => {
                        output.say(&format!(
                            "{}: {cause}",
                            output.pick("回線が切れました。再開します", "the line broke; resuming")
                        ));
                        tokio::time::sleep(Duration::from_secs(seconds)).await;
                    }
                    None => return Err(Failure::new(Code::RelayUnreachable, cause)),
                },
                Err(ApiError::Problem(problem)) => {
                    match (Next::after(&problem.code), pauses.next()) {
                        (Next::Aside, _) => self.put_aside(&place, &entry, &problem)?,
                        (Next::GoOn, Some(seconds)) => {
                            tokio::time::sleep(Duration::from_secs(seconds)).await;
                            continue;
                        }
                        (Next::BeginAgain, again) => {
                            entry.upload = None;
                            write_state(&place, &entry)?;
                            if let Some(seconds) = again {
                                tokio::time::sleep(Duration::from_secs(seconds)).await;
                                continue;
                            }
                        }
                        (Next::Wait, _) | (Next::GoOn, None) => {}
                    }
                    return Err(Failure::relay(*problem));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn keep_receipt(&self, place: &Path, entry: &Entry, receipt: &Receipt) -> Result<(), Failure> {
        let sent = self.sent.join(entry.id.as_str());
        files::create_directory(&sent)?;
        let text =
            serde_json::to_vec_pretty(receipt).map_err(|error| Failure::new(Code::RelayAnswer, error.to_string()))?;
        files::write_atomically(&sent.join("receipt.json"), &text)?;
        // Only now may the container go: the receipt is durable.
        fs::remove_dir_all(place).map_err(|error| files::unwritable(place, &error))
    }

    fn put_aside(&self, place: &Path, entry: &Entry, problem: &formats::wire::Problem) -> Result<(), Failure> {
        let text =
            serde_json::to_vec_pretty(problem).map_err(|error| Failure::new(Code::RelayAnswer, error.to_string()))?;
        files::write_atomically(&place.join("problem.json"), &text)?;
        files::create_directory(&self.refused)?;
        let target = self.refused.join(entry.id.as_str());
        let _ = fs::remove_dir_all(&target); // an earlier refusal of the same id
        fs::rename(place, &target).map_err(|error| files::unwritable(&target, &error))
    }
}

/// What to do with a letter after a problem of the relay's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The answer will be the same next time.
    Aside,
    /// The upload stands elsewhere than thought: ask where, and go on.
    GoOn,
    /// The upload is spoilt or gone, the letter is not.
    BeginAgain,
    /// Busy, over quota, no room, or unknown: the letter waits here.
    Wait,
}

impl Next {
    fn after(code: &str) -> Self {
        match code {
            "container_profile" | "envelope_invalid" | "sender_mismatch" | "recipient_unknown" | "id_conflict"
            | "validation_failed" | "forbidden_content" | "too_large" => Self::Aside,
            "offset_mismatch" | "upload_incomplete" | "state_conflict" => Self::GoOn,
            "checksum_mismatch" | "upload_unknown" => Self::BeginAgain,
            _ => Self::Wait,
        }
    }
}

/// The receipt speaks of these bytes, and the log's key stands behind it. Before the container goes.
fn prove(receipt: &Receipt, entry: &Entry, vkey: &str) -> Result<(), Failure> {
    let invalid = |why: String| Failure::new(Code::ReceiptInvalid, why);
    let record = receipt.verify(vkey).map_err(|error| invalid(error.to_string()))?;
    match record.event {
        Event::Accepted(submission) if submission.submission == entry.id => {
            if submission.container_sha256 == entry.sha256 {
                Ok(())
            } else {
                Err(invalid("it is about other bytes".to_owned()))
            }
        }
        _ => Err(invalid("it is about another submission".to_owned())),
    }
}

async fn attempt(api: &RelayApi, place: &Path, entry: &mut Entry, output: &Output) -> Result<Answer, ApiError> {
    let container = place.join("container.asice");
    let mut upload = match &entry.upload {
        Some(path) => match api.resume_upload(path).await {
            Ok(upload) => upload,
            Err(ApiError::Problem(problem)) if matches!(problem.status, 404 | 410) => begin(api, place, entry).await?,
            Err(error) => return Err(error),
        },
        None => begin(api, place, entry).await?,
    };
    let bar = output.bar(output.pick("送信", "sending"), entry.length);
    bar.set_position(upload.offset);
    let progress = bar.clone();
    let sent = api
        .send_upload(&mut upload, &container, entry.length, move |sent| {
            progress.set_position(sent)
        })
        .await;
    bar.finish_and_clear();
    sent?;
    api.submit(&upload.path).await
}

async fn begin(api: &RelayApi, place: &Path, entry: &mut Entry) -> Result<Upload, ApiError> {
    let upload = api.create_upload(entry.length, &entry.sha256).await?;
    entry.upload = Some(upload.path.clone());
    write_state(place, entry).map_err(|failure| ApiError::Unexpected(format!("{failure:?}")))?;
    Ok(upload)
}

fn write_state(place: &Path, entry: &Entry) -> Result<(), Failure> {
    let text =
        serde_json::to_vec_pretty(entry).map_err(|error| Failure::new(Code::FileUnwritable, error.to_string()))?;
    files::write_atomically(&place.join("state.json"), &text)
}

fn read_state(place: &Path) -> Result<Entry, Failure> {
    let path = place.join("state.json");
    let bytes = files::read_small(&path)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Failure::new(Code::FileMalformed, format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str) -> Entry {
        Entry {
            id: id.parse().unwrap(),
            sha256: String::new(),
            length: 3,
            upload: None,
            pending: None,
        }
    }

    #[test]
    fn an_entry_appears_whole_and_only_once() {
        let folder = std::env::temp_dir().join(format!("hikyaku-outbox-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let outbox = Outbox::of(&Home::locate(Some(folder.clone())).unwrap());
        let container = folder.join("c");
        fs::write(&container, "abc").unwrap();
        let (old, new) = (
            entry("01931234-5678-7abc-8def-0123456789ab"),
            entry("01931234-5679-7abc-8def-0123456789ab"),
        );
        outbox.add(&new, &container).unwrap();
        outbox.add(&old, &container).unwrap();
        assert_eq!(outbox.add(&old, &container).unwrap_err().code(), "file_exists");
        // A power cut in the middle of adding leaves a folder that is no entry.
        fs::create_dir_all(folder.join("outbox/.01931234-0000-7abc-8def-0123456789ab")).unwrap();
        assert_eq!(outbox.entries().unwrap(), [old, new]);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn only_what_stays_refused_is_put_aside() {
        for (code, next) in [
            ("validation_failed", Next::Aside),
            ("id_conflict", Next::Aside),
            ("offset_mismatch", Next::GoOn),
            ("checksum_mismatch", Next::BeginAgain),
            ("quota", Next::Wait),
            ("no_space", Next::Wait),
            ("something_new", Next::Wait),
        ] {
            assert_eq!(Next::after(code), next, "{code}");
        }
    }
}
