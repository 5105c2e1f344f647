//! The shelf of uploads: which there are, whose they are, how much room they may take, and when they go.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use formats::wire::FacilityCode;
use time::OffsetDateTime;
use tokio::sync::{Mutex as AsyncMutex, watch};

use super::claim::{Claim, Shared, new_key};
use super::headers::Wish;
use super::progress::Progress;
use super::sealing::Seals;
use super::slip::{Slip, remove_folder_if_there, remove_if_there, restored, write_slip};
use super::station::blocking;
use super::under_way::{Room, Upload};
use crate::clock;
use crate::config::Limits;
use crate::containers::Containers;
use crate::context::Context;
use crate::folder::create_private;
use crate::keys::Keys;
use crate::objects::Objects;
use crate::observe;
use crate::peer::Peer;
use crate::problem::{Code, Problem};
use crate::reserve;
use crate::store::{Grown, UploadRow, UploadRows};

/// Unfinished uploads of one facility at the same time.
pub(crate) const PER_FACILITY: usize = 64;
/// Containers of the largest size one facility may have under way at the same time.
const LARGEST_AT_ONCE: u64 = 4;
/// Where room is short, an upload that has brought no byte for so long is given up.
const STALE: Duration = Duration::from_secs(600);

/// Refused uploads of one facility that are remembered with what was wrong, and for how long: who asks again gets the same answer.
const REFUSED: usize = 16;
const REFUSED_FOR: Duration = Duration::from_secs(600);

/// Bytes of unfinished uploads one facility may have together, where a container has `most` at most.
pub(crate) fn bytes_per_facility(most: u64) -> u64 {
    most.saturating_mul(LARGEST_AT_ONCE)
}

/// All uploads.
pub(crate) struct Uploads {
    shelf: Shelf,
    keys: Keys,
    expiry: Duration,
    /// Those on this machine; of those in the bucket, the ones this relay has worked on.
    known: Mutex<HashMap<String, Arc<Upload>>>,
    /// Held by who admits a new one: room and quota are counted and taken by one at a time.
    admitting: AsyncMutex<()>,
}

/// Where they lie.
enum Shelf {
    Folder {
        folder: PathBuf,
        /// Where the disk's reserve lies.
        trail: PathBuf,
    },
    Bucket(Arc<Shared>),
}

impl Uploads {
    /// Those in a bucket, with the rows that say how far they are.
    pub(crate) fn shared(
        rows: Arc<dyn UploadRows>,
        objects: Objects,
        containers: Containers,
        keys: Keys,
        expiry: Duration,
    ) -> Self {
        let shared = Shared {
            rows,
            objects,
            containers,
        };
        Self::at(Shelf::Bucket(Arc::new(shared)), keys, expiry)
    }

    fn at(shelf: Shelf, keys: Keys, expiry: Duration) -> Self {
        Self {
            shelf,
            keys,
            expiry,
            known: Mutex::default(),
            admitting: AsyncMutex::default(),
        }
    }

    /// Opens the folder `uploads` of the relay's data folder and takes up what a restart left.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn open(data: &Path, keys: Keys, expiry: Duration) -> io::Result<Self> {
        let folder = data.join("uploads");
        create_private(&folder)?;
        let trail = data.join("trail");
        let place = folder.clone();
        let shelf = Self::at(Shelf::Folder { folder, trail }, keys, expiry);
        for entry in fs::read_dir(&place)? {
            let path = entry?.path();
            let id = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .unwrap_or_default()
                .to_owned();
            if path.is_dir() {
                // A crash leaves a folder that nobody was told of before the slip of a new upload is there, and half a copy of a
                // container that was to be an upload again.
                if path.extension().is_some() || !slip_of(&place, &id).exists() {
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
                forget(&place, &id);
                continue;
            };
            let (offset, touched) = match restored(&place.join(&id), &slip) {
                Ok(found) => found,
                Err(_) if slip.submission.is_some() => (slip.length, clock::now()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    forget(&place, &id);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let room = Room::Folder {
                folder: place.join(&id),
                slip: slip_of(&place, &id),
            };
            shelf.put(shelf.upload(id, slip, room, offset, touched));
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
        self.forget_refused(&slip.facility).await;
        let (facility, quota) = (slip.facility.clone(), context.config.limits.quota_per_facility);
        let stored = async {
            Ok(match quota {
                Some(_) => context.store.stored_bytes(&facility).await?,
                None => 0,
            })
        };
        let id = uuid::Uuid::now_v7().simple().to_string();
        let limits = &context.config.limits;
        match &self.shelf {
            Shelf::Folder { folder, trail } => {
                let room = Room::Folder {
                    folder: folder.join(&id),
                    slip: slip_of(folder, &id),
                };
                let upload = self.upload(id, slip, room, 0, clock::now());
                self.admit(&upload, (folder, trail), limits, stored).await?;
                if let Err(problem) = write_new(&upload).await {
                    self.remove(&upload).await;
                    return Err(problem);
                }
                Ok(upload)
            }
            Shelf::Bucket(shared) => {
                let _one = self.admitting.lock().await;
                let under_way = async || {
                    let facility = slip.facility.clone();
                    shared.ask(move |rows| rows.under_way(&facility)).await
                };
                let (count, bytes) = under_way().await?;
                within(count, bytes.saturating_add(slip.length), limits, 0)?;
                let keys = self.keys.clone();
                let row = UploadRow {
                    id: id.clone(),
                    facility: slip.facility.clone(),
                    length: slip.length,
                    sha256: slip.sha256.clone(),
                    wrapped: blocking(move || new_key(&keys)).await?,
                    submission: None,
                    epoch: 0,
                    grown: Grown::default(),
                    gone: false,
                    touched: clock::now().unix_timestamp(),
                };
                let room = Room::Bucket(Claim::new(Arc::clone(shared), &row));
                shared.ask(move |rows| rows.create(&row)).await?;
                // Counted again with it: of several relays that admit at the same time each sees what the others have.
                let counted = async {
                    let (count, bytes) = under_way().await?;
                    within(count.saturating_sub(1), bytes, limits, stored.await?)
                };
                if let Err(problem) = counted.await {
                    let refused = id.clone();
                    shared.ask(move |rows| rows.remove(&refused)).await?;
                    return Err(problem);
                }
                let upload = self.upload(id, slip, room, 0, clock::now());
                self.put(Arc::clone(&upload));
                Ok(upload)
            }
        }
    }

    /// The upload, if it is of the peer's facility.
    ///
    /// # Errors
    /// `upload_unknown`.
    pub(crate) async fn find(&self, peer: &Peer, id: &str) -> Result<Arc<Upload>, Problem> {
        let known = self.known().get(id).cloned();
        let upload = match (known, &self.shelf) {
            (None, Shelf::Bucket(shared)) => self.learn(shared, id).await?,
            (known, _) => known.ok_or(Code::UploadUnknown)?,
        };
        if upload.facility == peer.facility.code {
            Ok(upload)
        } else {
            Err(Code::UploadUnknown.into())
        }
    }

    /// Whether an upload may still be made a container.
    ///
    /// # Errors
    /// What the database says.
    pub(crate) async fn is_open(&self, id: &str) -> Result<bool, Problem> {
        match &self.shelf {
            Shelf::Folder { .. } => Ok(self.known().contains_key(id)),
            Shelf::Bucket(shared) => {
                let asked = id.to_owned();
                let row = shared.ask(move |rows| rows.find(&asked)).await?;
                Ok(row.is_some_and(|row| !row.gone))
            }
        }
    }

    /// One that another relay has begun.
    async fn learn(&self, shared: &Arc<Shared>, id: &str) -> Result<Arc<Upload>, Problem> {
        let asked = id.to_owned();
        let row = shared.ask(move |rows| rows.find(&asked)).await?;
        let row = row.ok_or(Code::UploadUnknown)?;
        let room = Room::Bucket(Claim::new(Arc::clone(shared), &row));
        let touched = OffsetDateTime::from_unix_timestamp(row.touched).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let slip = Slip {
            facility: row.facility,
            length: row.length,
            sha256: row.sha256,
            submission: row.submission,
            checked: None,
        };
        let upload = self.upload(row.id, slip, room, row.grown.at, touched);
        // Two requests may have learnt of it at once: the first counts, so that they share its lock.
        Ok(Arc::clone(self.known().entry(id.to_owned()).or_insert(upload)))
    }

    /// Forgets the oldest of a facility's refused uploads.
    async fn forget_refused(&self, facility: &FacilityCode) {
        let mut refused: Vec<_> = {
            let known = self.known();
            let refused = |upload: &&Arc<Upload>| upload.facility == *facility && upload.dead.load(Ordering::Relaxed);
            known.values().filter(refused).cloned().collect()
        };
        refused.sort_by_key(|upload| std::cmp::Reverse(upload.touched.load(Ordering::Relaxed)));
        for upload in refused.iter().skip(REFUSED) {
            self.remove(upload).await;
        }
    }

    /// Takes it off the shelf and away.
    pub(crate) async fn remove(&self, upload: &Upload) {
        self.put_down(&upload.id);
        if let Err(problem) = upload.destroy().await {
            let code = problem.code().as_str();
            tracing::warn!(id = upload.id, code, "an upload cannot be removed");
        }
    }

    fn put_down(&self, id: &str) {
        let mut known = self.known();
        known.remove(id);
        metrics::gauge!(observe::UPLOADS_OPEN).set(known.len() as f64);
    }

    /// Removes what has expired, again and again; where less than the reserve is free on this machine, also what is stale, the
    /// oldest first.
    pub(crate) async fn reap(&self, context: &Context) {
        loop {
            let shared = match &self.shelf {
                Shelf::Folder { folder, trail } => {
                    self.make_room(folder, trail, context.config.limits.reserve).await;
                    None
                }
                Shelf::Bucket(shared) => Some(shared),
            };
            let expired: Vec<_> = {
                let known = self.known();
                let over = |upload: &&Arc<Upload>| is_over(upload, clock::now());
                known.values().filter(over).cloned().collect()
            };
            for upload in expired {
                // Only what nobody works on: an intake under way keeps its file.
                if let Ok(_free) = Arc::clone(&upload.progress).try_lock_owned() {
                    match shared {
                        None => self.remove(&upload).await,
                        // Another relay may work on it.
                        Some(_) => self.put_down(&upload.id),
                    }
                }
            }
            if let Some(shared) = shared
                && context.leads("uploads").await
                && let Err(problem) = expire(shared, self.expiry).await
            {
                let code = problem.code().as_str();
                tracing::warn!(code, "uploads that have expired cannot be removed");
            }
            tokio::time::sleep(self.expiry.min(Duration::from_secs(60))).await;
        }
    }

    async fn make_room(&self, folder: &Path, trail: &Path, reserve: u64) {
        for upload in self.stale(clock::now()) {
            let (folder, trail) = (folder.to_owned(), trail.to_owned());
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
        let known = self.known();
        let touched = |upload: &Upload| upload.touched.load(Ordering::Relaxed);
        let before = (now - STALE).unix_timestamp();
        let unfinished = |upload: &&Arc<Upload>| upload.became().is_none() && touched(upload) < before;
        let mut stale: Vec<_> = known.values().filter(unfinished).cloned().collect();
        stale.sort_by_key(|upload| touched(upload));
        stale
    }

    /// `stored`: bytes of the facility's that are stored already. Asked after the uploads were counted: one that is accepted in between
    /// is in both, not in neither.
    async fn admit(
        &self,
        upload: &Arc<Upload>,
        (folder, trail): (&Path, &Path),
        limits: &Limits,
        stored: impl Future<Output = Result<u64, Problem>>,
    ) -> Result<(), Problem> {
        let _one = self.admitting.lock().await;
        let open: Vec<Arc<Upload>> = {
            let known = self.known();
            let over = |other: &Upload| other.became().is_some() || other.dead.load(Ordering::Relaxed);
            known.values().filter(|other| !over(other)).cloned().collect()
        };
        let own = || open.iter().filter(|other| other.facility == upload.facility);
        let bytes = own()
            .map(|other| other.length)
            .sum::<u64>()
            .saturating_add(upload.length);
        within(own().count() as u64, bytes, limits, stored.await?)?;
        let (folder, trail, kept) = (folder.to_owned(), trail.to_owned(), limits.reserve);
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
        let mut known = self.known();
        known.insert(upload.id.clone(), upload);
        metrics::gauge!(observe::UPLOADS_OPEN).set(known.len() as f64);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<Upload>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn upload(&self, id: String, slip: Slip, room: Room, offset: u64, touched: OffsetDateTime) -> Arc<Upload> {
        Arc::new(Upload {
            room,
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
}

/// Whether it may go: nobody has worked on it for long enough.
fn is_over(upload: &Upload, now: OffsetDateTime) -> bool {
    let refused = upload.dead.load(Ordering::Relaxed);
    let touched = upload.touched.load(Ordering::Relaxed);
    upload.expires() < now || refused && touched < (now - REFUSED_FOR).unix_timestamp()
}

/// Whether one more of the facility's may be under way; `count` and `bytes` are with it.
fn within(count: u64, bytes: u64, limits: &Limits, stored: u64) -> Result<(), Problem> {
    if count >= PER_FACILITY as u64 || bytes > bytes_per_facility(limits.max_container) {
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
    Ok(())
}

/// Folder and slip of a new one.
async fn write_new(upload: &Arc<Upload>) -> Result<(), Problem> {
    let made = Arc::clone(upload);
    blocking(move || {
        let Room::Folder { folder, slip } = &made.room else {
            return Ok(());
        };
        let seals = Seals::create(folder, &made.id, &made.keys)?;
        made.seals.get_or_init(|| seals);
        write_slip(slip, &made.slip())
    })
    .await
}

/// Removes those in the bucket that nobody has worked on for so long. The parts of one that a container is made of stay.
async fn expire(shared: &Shared, age: Duration) -> Result<(), Problem> {
    for id in shared.ask(move |rows| rows.stale(age)).await? {
        let asked = id.clone();
        if shared.ask(move |rows| rows.expire(&asked, age)).await? {
            shared.drop_parts(&id).await?;
            shared.ask(move |rows| rows.remove(&id)).await?;
        }
    }
    Ok(())
}

fn slip_of(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.json"))
}

fn forget(folder: &Path, id: &str) {
    if let Err(error) = remove_folder_if_there(&folder.join(id)).and(remove_if_there(&slip_of(folder, id))) {
        tracing::warn!(id, %error, "an upload cannot be removed");
    }
}

/// An upload of a row, as a relay knows it that has learnt of it.
#[cfg(test)]
pub(super) fn for_tests(claim: Claim, row: &UploadRow) -> Arc<Upload> {
    let shelf = Uploads::at(
        Shelf::Bucket(Arc::clone(&claim.shared)),
        crate::keys::for_tests(),
        Duration::from_secs(60),
    );
    let slip = Slip {
        facility: row.facility.clone(),
        length: row.length,
        sha256: None,
        submission: None,
        checked: None,
    };
    shelf.upload(row.id.clone(), slip, Room::Bucket(claim), row.grown.at, clock::now())
}

#[cfg(test)]
mod tests;
