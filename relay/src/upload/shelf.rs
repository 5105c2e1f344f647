//! The shelf of uploads: which there are, whose they are, how much room they may take, and when they go.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use formats::wire::{FacilityCode, SubmissionId};
use time::OffsetDateTime;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, watch};

use super::growing::{Seals, body};
use super::headers::Wish;
use super::progress::Progress;
use super::slip::{Slip, remove_folder_if_there, remove_if_there, restored, write_slip};
use super::station::blocking;
use crate::clock;
use crate::config::Limits;
use crate::context::Context;
use crate::folder::create_private;
use crate::keys::Keys;
use crate::observe;
use crate::peer::Peer;
use crate::problem::{Code, Problem};
use crate::reserve;

/// Unfinished uploads of one facility at the same time.
pub(crate) const PER_FACILITY: usize = 64;
/// Containers of the largest size one facility may have under way at the same time.
const LARGEST_AT_ONCE: u64 = 4;
/// Where room is short, an upload that has brought no byte for so long is given up.
const STALE: Duration = Duration::from_secs(600);

/// Bytes of unfinished uploads one facility may have together, where a container has `most` at most.
pub(crate) fn bytes_per_facility(most: u64) -> u64 {
    most.saturating_mul(LARGEST_AT_ONCE)
}

/// One upload.
pub(crate) struct Upload {
    pub(crate) id: String,
    pub(crate) facility: FacilityCode,
    pub(crate) length: u64,
    pub(crate) sha256: Option<String>,
    /// Its key, its file and its tail.
    pub(crate) folder: PathBuf,
    slip: PathBuf,
    keys: Keys,
    /// Opened when first needed.
    seals: OnceLock<Seals>,
    /// The submission it became; its bytes are then a stored container.
    became: Mutex<Option<SubmissionId>>,
    /// As [`Slip`] has it. Written by who holds the lock of the progress.
    checked: Mutex<Option<u64>>,
    /// Refused: it takes neither room nor quota.
    dead: AtomicBool,
    expiry: Duration,
    /// When a byte last arrived, Unix seconds.
    touched: AtomicI64,
    progress: Arc<AsyncMutex<Progress>>,
    /// Counts those who took it over; who holds the lock ends when this changes.
    taken_over: watch::Sender<u64>,
}

impl Upload {
    /// Waits for the lock after telling whoever holds it to let go.
    pub(crate) async fn take_over(&self) -> OwnedMutexGuard<Progress> {
        self.taken_over.send_modify(|count| *count += 1);
        Arc::clone(&self.progress).lock_owned().await
    }

    /// Waits for the lock without disturbing who holds it.
    pub(crate) async fn wait(&self) -> OwnedMutexGuard<Progress> {
        Arc::clone(&self.progress).lock_owned().await
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
        self.rewrite().await
    }

    /// Notes, durably, how far stated hashes were found right; `None` if none is stated for what comes now.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) async fn note_checked(&self, checked: Option<u64>) -> Result<(), Problem> {
        let noted = *self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if noted == checked {
            return Ok(());
        }
        let before = std::mem::replace(
            &mut *self.checked.lock().unwrap_or_else(PoisonError::into_inner),
            checked,
        );
        let written = self.rewrite().await;
        if written.is_err() {
            *self.checked.lock().unwrap_or_else(PoisonError::into_inner) = before;
        }
        written
    }

    async fn rewrite(&self) -> Result<(), Problem> {
        let (path, slip) = (self.slip.clone(), self.slip());
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
        let seals = Seals::open(&self.folder, &self.id, &self.keys)?;
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

    /// Removes its bytes from the disk, if they are still an upload's.
    pub(crate) async fn drop_bytes(&self) {
        let folder = self.folder.clone();
        if let Err(problem) = blocking(move || remove_folder_if_there(&folder)).await {
            let code = problem.code().as_str();
            tracing::warn!(id = self.id, code, "the bytes of an upload cannot be removed");
        }
    }

    pub(super) fn touch(&self) {
        self.touched.store(clock::now().unix_timestamp(), Ordering::Relaxed);
    }

    pub(super) fn expires(&self) -> OffsetDateTime {
        let touched = OffsetDateTime::from_unix_timestamp(self.touched.load(Ordering::Relaxed));
        touched.unwrap_or(OffsetDateTime::UNIX_EPOCH) + self.expiry
    }

    fn slip(&self) -> Slip {
        Slip {
            facility: self.facility.clone(),
            length: self.length,
            sha256: self.sha256.clone(),
            submission: self.became(),
            checked: *self.checked.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

/// All uploads.
pub(crate) struct Uploads {
    folder: PathBuf,
    /// Where the disk's reserve lies.
    trail: PathBuf,
    keys: Keys,
    expiry: Duration,
    known: Mutex<HashMap<String, Arc<Upload>>>,
    /// Held by who admits a new one: room and quota are counted and taken by one at a time.
    admitting: AsyncMutex<()>,
}

impl Uploads {
    /// Opens the folder `uploads` of the relay's data folder and takes up what a restart left.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn open(data: &Path, keys: Keys, expiry: Duration) -> io::Result<Self> {
        let folder = data.join("uploads");
        create_private(&folder)?;
        let shelf = Self {
            folder,
            trail: data.join("trail"),
            keys,
            expiry,
            known: Mutex::default(),
            admitting: AsyncMutex::default(),
        };
        for entry in fs::read_dir(&shelf.folder)? {
            let path = entry?.path();
            let id = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .unwrap_or_default()
                .to_owned();
            if path.is_dir() {
                // A crash leaves a folder that nobody was told of before the slip of a new upload is there.
                if !shelf.slip(&id).exists() {
                    fs::remove_dir_all(&path)?;
                }
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "json") {
                // And half a slip.
                fs::remove_file(&path)?;
                continue;
            }
            let Ok(slip) = serde_json::from_slice::<Slip>(&fs::read(&path)?) else {
                tracing::warn!(id, "an upload's slip cannot be read; the upload is dropped");
                shelf.forget(&id);
                continue;
            };
            let (offset, touched) = match restored(&shelf.folder.join(&id), &slip) {
                Ok(found) => found,
                Err(_) if slip.submission.is_some() => (slip.length, clock::now()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    shelf.forget(&id);
                    continue;
                }
                Err(error) => return Err(error),
            };
            shelf.put(shelf.upload(id, slip, offset, touched));
        }
        Ok(shelf)
    }

    /// A new upload for the peer's facility.
    ///
    /// # Errors
    /// `too_large`, `quota`, `no_space`: all before any byte.
    pub(super) async fn create(&self, context: &Context, peer: &Peer, wish: Wish) -> Result<Arc<Upload>, Problem> {
        let most = context.config.limits.max_container;
        if wish.length > most {
            return Err(Problem::new(Code::TooLarge).detail(
                format!("{} バイトは上限 {most} バイトを超えます。", wish.length),
                format!("{} bytes are more than the limit of {most}.", wish.length),
            ));
        }
        let slip = Slip {
            facility: peer.facility.code.clone(),
            length: wish.length,
            sha256: wish.sha256,
            submission: None,
            checked: None,
        };
        let upload = self.upload(uuid::Uuid::now_v7().simple().to_string(), slip, 0, clock::now());
        let stored = match context.config.limits.quota_per_facility {
            Some(_) => context.store.stored_bytes(&upload.facility).await?,
            None => 0,
        };
        self.admit(&upload, &context.config.limits, stored).await?;
        let made = Arc::clone(&upload);
        let written = blocking(move || {
            let seals = Seals::create(&made.folder, &made.id, &made.keys)?;
            made.seals.get_or_init(|| seals);
            write_slip(&made.slip, &made.slip())
        });
        if let Err(problem) = written.await {
            self.remove(&upload).await;
            return Err(problem);
        }
        Ok(upload)
    }

    /// The upload, if it is of the peer's facility.
    ///
    /// # Errors
    /// `upload_unknown`.
    pub(crate) fn find(&self, peer: &Peer, id: &str) -> Result<Arc<Upload>, Problem> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let upload = known.get(id).filter(|upload| upload.facility == peer.facility.code);
        upload.cloned().ok_or_else(|| Code::UploadUnknown.into())
    }

    /// Takes it off the shelf and off the disk.
    pub(crate) async fn remove(&self, upload: &Upload) {
        {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.remove(&upload.id);
            metrics::gauge!(observe::UPLOADS_OPEN).set(known.len() as f64);
        }
        let (folder, slip) = (upload.folder.clone(), upload.slip.clone());
        let removed = blocking(move || remove_folder_if_there(&folder).and(remove_if_there(&slip)));
        if let Err(problem) = removed.await {
            let code = problem.code().as_str();
            tracing::warn!(id = upload.id, code, "an upload cannot be removed");
        }
    }

    /// Removes what has expired, again and again; where less than `reserve` is free, also what is stale, the oldest first.
    pub(crate) async fn reap(&self, reserve: u64) {
        loop {
            self.make_room(reserve).await;
            let expired: Vec<_> = {
                let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                known
                    .values()
                    .filter(|upload| upload.expires() < clock::now())
                    .cloned()
                    .collect()
            };
            for upload in expired {
                // Only what nobody works on: an intake under way keeps its file.
                if let Ok(_free) = Arc::clone(&upload.progress).try_lock_owned() {
                    self.remove(&upload).await;
                }
            }
            tokio::time::sleep(self.expiry.min(Duration::from_secs(60))).await;
        }
    }

    async fn make_room(&self, reserve: u64) {
        for upload in self.stale(clock::now()) {
            let (folder, trail) = (self.folder.clone(), self.trail.clone());
            let enough = move || Ok(fs4::available_space(&folder)? >= reserve::to_leave(&trail, reserve));
            if blocking(enough).await.is_ok_and(|enough| enough) {
                return;
            }
            if let Ok(_free) = Arc::clone(&upload.progress).try_lock_owned() {
                tracing::warn!(id = upload.id, "an unfinished upload was given up: room is short");
                self.remove(&upload).await;
            }
        }
    }

    /// Unfinished uploads nobody adds to, the oldest first.
    fn stale(&self, now: OffsetDateTime) -> Vec<Arc<Upload>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let touched = |upload: &Upload| upload.touched.load(Ordering::Relaxed);
        let before = (now - STALE).unix_timestamp();
        let unfinished = |upload: &&Arc<Upload>| upload.became().is_none() && touched(upload) < before;
        let mut stale: Vec<_> = known.values().filter(unfinished).cloned().collect();
        stale.sort_by_key(|upload| touched(upload));
        stale
    }

    /// `stored`: bytes of the facility's that are stored already.
    async fn admit(&self, upload: &Arc<Upload>, limits: &Limits, stored: u64) -> Result<(), Problem> {
        let _one = self.admitting.lock().await;
        let open: Vec<Arc<Upload>> = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let over = |other: &Upload| other.became().is_some() || other.dead.load(Ordering::Relaxed);
            known.values().filter(|other| !over(other)).cloned().collect()
        };
        let own = || open.iter().filter(|other| other.facility == upload.facility);
        let bytes = own()
            .map(|other| other.length)
            .sum::<u64>()
            .saturating_add(upload.length);
        if own().count() >= PER_FACILITY || bytes > bytes_per_facility(limits.max_container) {
            return Err(Code::Quota.into());
        }
        if let Some(quota) = limits.quota_per_facility
            && stored.saturating_add(bytes) > quota
        {
            return Err(Problem::new(Code::Quota).detail(
                format!("保存中と送信中の合計が、医療機関ごとの上限 {quota} バイトを超えます。受信側の取得後、保存期間を過ぎると空きます。"),
                format!("What is stored and announced would be more than the {quota} bytes of a facility. Room comes back as letters are fetched and their time ends."),
            ));
        }
        let (folder, trail, kept) = (self.folder.clone(), self.trail.clone(), limits.reserve);
        let room = blocking(move || {
            // What others have announced and not yet sent is spoken for.
            let promised: u64 = open
                .iter()
                .map(|other| other.length.saturating_sub(other.on_disk()))
                .sum();
            let free = fs4::available_space(&folder)?.saturating_sub(promised);
            Ok((free, reserve::to_leave(&trail, kept)))
        });
        let (free, to_leave) = room.await?;
        if free < upload.length.saturating_add(to_leave) {
            return Err(Code::NoSpace.into());
        }
        self.put(Arc::clone(upload));
        Ok(())
    }

    fn put(&self, upload: Arc<Upload>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(upload.id.clone(), upload);
        metrics::gauge!(observe::UPLOADS_OPEN).set(known.len() as f64);
    }

    fn upload(&self, id: String, slip: Slip, offset: u64, touched: OffsetDateTime) -> Arc<Upload> {
        Arc::new(Upload {
            folder: self.folder.join(&id),
            slip: self.slip(&id),
            keys: self.keys.clone(),
            seals: OnceLock::new(),
            facility: slip.facility,
            length: slip.length,
            sha256: slip.sha256,
            became: Mutex::new(slip.submission),
            checked: Mutex::new(slip.checked),
            dead: AtomicBool::new(false),
            expiry: self.expiry,
            touched: AtomicI64::new(touched.unix_timestamp()),
            progress: Arc::new(AsyncMutex::new(Progress::at(offset))),
            taken_over: watch::Sender::new(0),
            id,
        })
    }

    fn slip(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    fn forget(&self, id: &str) {
        if let Err(error) = remove_folder_if_there(&self.folder.join(id)).and(remove_if_there(&self.slip(id))) {
            tracing::warn!(id, %error, "an upload cannot be removed");
        }
    }
}

impl Upload {
    fn on_disk(&self) -> u64 {
        fs::metadata(body(&self.folder)).map_or(0, |metadata| metadata.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::growing::Growing;
    use super::*;
    use crate::keys::for_tests;

    #[test]
    fn a_restart_keeps_what_was_written_but_nothing_whose_hash_was_not_compared() {
        let data = tempfile::tempdir().unwrap();
        let (folder, keys) = (data.path().join("uploads"), for_tests());
        fs::create_dir(&folder).unwrap();
        let leave = |id: &str, checked: Option<u64>| {
            let slip = Slip {
                facility: "1310000001".parse().unwrap(),
                length: 10,
                sha256: None,
                submission: None,
                checked,
            };
            let seals = Seals::create(&folder.join(id), id, &keys).unwrap();
            let mut growing = Growing::open(&folder.join(id), &seals, 10, 0).unwrap();
            growing.write(&[b"0123456"]).unwrap();
            growing.sync().unwrap();
            write_slip(&folder.join(format!("{id}.json")), &slip).unwrap();
        };
        leave("plain", None);
        leave("hashed", Some(4));
        leave("ahead", Some(9));
        fs::write(folder.join("plain.json.new"), b"{").unwrap();
        Seals::create(&folder.join("nobody"), "nobody", &keys).unwrap();
        let shelf = Uploads::open(data.path(), keys, Duration::from_secs(60)).unwrap();
        let aged = clock::now() + STALE + Duration::from_secs(60);
        assert!(shelf.stale(clock::now()).is_empty(), "what came just now is not stale");
        let stale: Vec<_> = shelf
            .stale(aged)
            .iter()
            .map(|upload| upload.touched.load(Ordering::Relaxed))
            .collect();
        assert!(stale.len() == 3 && stale.is_sorted());
        let known = shelf.known.lock().unwrap();
        let offset = |id: &str| known[id].progress.try_lock().unwrap().offset;
        assert_eq!((offset("plain"), offset("hashed"), offset("ahead")), (7, 4, 7));
        let hashed = &known["hashed"];
        let growing = Growing::open(&hashed.folder, &hashed.seals().unwrap(), 10, 4).unwrap();
        let mut kept = Vec::new();
        growing
            .pass(0, &mut |part| {
                kept.extend_from_slice(part);
                true
            })
            .unwrap();
        assert_eq!(kept, b"0123");
        assert_eq!(known.len(), 3);
        assert!(!folder.join("plain.json.new").exists() && !folder.join("nobody").exists());
    }
}
