//! One upload: who works on it, what it became, and how it ends.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use formats::wire::{FacilityCode, SubmissionId};
use time::OffsetDateTime;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, watch};

use super::claim::Claim;
use super::growing::body;
use super::progress::Progress;
use super::sealing::Seals;
use super::slip::{Slip, remove_folder_if_there, remove_if_there, write_slip};
use super::station::blocking;
use crate::clock;
use crate::containers::{ContainerError, Containers};
use crate::keys::Keys;
use crate::problem::{Code, Problem};

/// One upload.
pub(crate) struct Upload {
    pub(crate) id: String,
    pub(crate) facility: FacilityCode,
    pub(crate) length: u64,
    pub(crate) sha256: Option<String>,
    pub(super) room: Room,
    pub(super) keys: Keys,
    /// Opened when first needed.
    pub(super) seals: OnceLock<Seals>,
    /// The submission it became; its bytes are then a stored container.
    pub(super) became: Mutex<Option<SubmissionId>>,
    /// As [`Slip`] has it. Written by who holds the lock of the progress.
    pub(super) checked: Mutex<Option<u64>>,
    /// Refused: it takes neither room nor quota.
    pub(super) dead: AtomicBool,
    pub(super) expiry: Duration,
    /// When a byte last arrived, Unix seconds.
    pub(super) touched: AtomicI64,
    pub(super) progress: Arc<AsyncMutex<Progress>>,
    /// Counts those who took it over; who holds the lock ends when this changes.
    pub(super) taken_over: watch::Sender<u64>,
}

/// Where its bytes lie, and what is known of it.
pub(super) enum Room {
    /// On this machine: a folder with its key, its file and its tail, and its slip.
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The slip beside it.
        slip: PathBuf,
    },
    /// Where every relay reaches it.
    Bucket(Claim),
}

impl Upload {
    /// Waits for the lock after telling whoever holds it to let go; from another relay it is taken.
    ///
    /// # Errors
    /// `upload_unknown` if it is gone; what the database says.
    pub(crate) async fn take_over(&self) -> Result<OwnedMutexGuard<Progress>, Problem> {
        self.taken_over.send_modify(|count| *count += 1);
        self.wait().await
    }

    /// Waits for the lock without disturbing who holds it here; from another relay it is taken: what that one makes of it counts
    /// only if it came first.
    ///
    /// # Errors
    /// As [`Upload::take_over`].
    pub(crate) async fn wait(&self) -> Result<OwnedMutexGuard<Progress>, Problem> {
        let mut progress = Arc::clone(&self.progress).lock_owned().await;
        if let Room::Bucket(claim) = &self.room {
            let row = claim.take(&self.id).await?.ok_or(Code::UploadUnknown)?;
            if row.gone && row.submission.is_none() && progress.refused.is_none() {
                return Err(Code::UploadUnknown.into());
            }
            self.touched.store(row.touched, Ordering::Relaxed);
            progress.offset = row.grown.at;
            *self.became.lock().unwrap_or_else(PoisonError::into_inner) = row.submission;
        }
        Ok(progress)
    }

    /// Its row.
    ///
    /// # Errors
    /// If it lies on this machine.
    pub(super) fn claim(&self) -> io::Result<&Claim> {
        match &self.room {
            Room::Bucket(claim) => Ok(claim),
            Room::Folder { .. } => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// What a container made of it is stored as. Where several relays might make one of the same upload, each makes its own.
    pub(crate) fn stored_as(&self, submission: &SubmissionId) -> String {
        match &self.room {
            Room::Folder { .. } => Containers::name(submission, &self.id),
            Room::Bucket(claim) => format!("{submission}.{}.{}", claim.held().0, self.id),
        }
    }

    /// Makes it the container `stored_as`, durably.
    ///
    /// # Errors
    /// What disk, bucket or database say, `state_conflict` if another relay has taken it over; it is then an upload as before.
    pub(crate) async fn keep_as(&self, containers: &Containers, stored_as: &str) -> Result<(), Problem> {
        match &self.room {
            Room::Folder { folder, .. } => Ok(containers.adopt(folder.clone(), stored_as).await?),
            Room::Bucket(claim) => claim.keep_as(&self.id, self.length, stored_as).await,
        }
    }

    /// Makes the container an upload again.
    ///
    /// # Errors
    /// What disk or bucket say.
    pub(crate) async fn take_back(&self, containers: &Containers, stored_as: &str) -> Result<(), ContainerError> {
        match &self.room {
            Room::Folder { folder, .. } => containers.give_back(stored_as, folder.clone()).await,
            Room::Bucket(_) => containers.give_back_parts(stored_as).await,
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.taken_over.subscribe()
    }

    pub(crate) fn became(&self) -> Option<SubmissionId> {
        self.became.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes which submission it became, so that the same request again finds the same receipt.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) async fn note(&self, submission: &SubmissionId) -> Result<(), Problem> {
        *self.became.lock().unwrap_or_else(PoisonError::into_inner) = Some(submission.clone());
        match &self.room {
            Room::Folder { slip, .. } => self.rewrite(slip).await,
            Room::Bucket(claim) => {
                let (id, submission) = (self.id.clone(), submission.clone());
                claim.shared.ask(move |rows| rows.note(&id, &submission)).await
            }
        }
    }

    /// Notes, durably, how far stated hashes were found right; `None` if none is stated for what comes now.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) async fn note_checked(&self, checked: Option<u64>) -> Result<(), Problem> {
        // A row speaks of nothing that was not checked.
        let Room::Folder { slip, .. } = &self.room else {
            return Ok(());
        };
        let noted = *self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if noted == checked {
            return Ok(());
        }
        let before = std::mem::replace(
            &mut *self.checked.lock().unwrap_or_else(PoisonError::into_inner),
            checked,
        );
        let written = self.rewrite(slip).await;
        if written.is_err() {
            *self.checked.lock().unwrap_or_else(PoisonError::into_inner) = before;
        }
        written
    }

    async fn rewrite(&self, slip: &Path) -> Result<(), Problem> {
        let (path, slip) = (slip.to_owned(), self.slip());
        blocking(move || write_slip(&path, &slip)).await
    }

    /// With what it is sealed. Blocking.
    ///
    /// # Errors
    /// What the disk says, or why its key cannot be opened.
    pub(super) fn seals(&self) -> io::Result<Seals> {
        if let Some(seals) = self.seals.get() {
            return Ok(seals.clone());
        }
        let seals = match &self.room {
            Room::Folder { folder, .. } => Seals::open(folder, &self.id, &self.keys)?,
            Room::Bucket(claim) => claim.seals(&self.id, &self.keys)?,
        };
        Ok(self.seals.get_or_init(|| seals).clone())
    }

    /// Ends it for a fault of its own, and gives its room back; a fault of the relay's may pass.
    pub(crate) async fn give_up(&self, progress: &mut Progress, problem: &Problem) {
        progress.refuse(problem);
        if progress.refused.is_none() {
            return;
        }
        self.dead.store(true, Ordering::Relaxed);
        self.drop_bytes().await;
    }

    /// Removes its bytes, if they are still an upload's.
    pub(crate) async fn drop_bytes(&self) {
        let dropped = match &self.room {
            Room::Folder { folder, .. } => {
                let folder = folder.clone();
                blocking(move || remove_folder_if_there(&folder)).await
            }
            Room::Bucket(claim) => claim.close(&self.id).await.map(drop),
        };
        if let Err(problem) = dropped {
            let code = problem.code().as_str();
            tracing::warn!(id = self.id, code, "the bytes of an upload cannot be removed");
        }
    }

    /// Removes it, and all that is known of it.
    ///
    /// # Errors
    /// What disk, bucket or database say.
    pub(super) async fn destroy(&self) -> Result<(), Problem> {
        match &self.room {
            Room::Folder { folder, slip } => {
                let (folder, slip) = (folder.clone(), slip.clone());
                blocking(move || remove_folder_if_there(&folder).and(remove_if_there(&slip))).await
            }
            Room::Bucket(claim) if claim.close(&self.id).await? => {
                let id = self.id.clone();
                claim.shared.ask(move |rows| rows.remove(&id)).await
            }
            Room::Bucket(_) => Err(Code::StateConflict.into()),
        }
    }

    /// Bytes of it on this machine.
    pub(super) fn on_disk(&self) -> u64 {
        match &self.room {
            Room::Folder { folder, .. } => fs::metadata(body(folder)).map_or(0, |metadata| metadata.len()),
            Room::Bucket(_) => 0,
        }
    }

    pub(super) fn touch(&self) {
        self.touched.store(clock::now().unix_timestamp(), Ordering::Relaxed);
    }

    pub(super) fn expires(&self) -> OffsetDateTime {
        let touched = OffsetDateTime::from_unix_timestamp(self.touched.load(Ordering::Relaxed));
        touched.unwrap_or(OffsetDateTime::UNIX_EPOCH) + self.expiry
    }

    pub(super) fn slip(&self) -> Slip {
        Slip {
            facility: self.facility.clone(),
            length: self.length,
            sha256: self.sha256.clone(),
            submission: self.became(),
            checked: *self.checked.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}
