//! Uploads as rows that every relay sees: how far each is, and who works on it. Where the store is one relay's own there are none.

use std::time::Duration;

use formats::wire::{FacilityCode, SubmissionId};

use super::StoreError;

/// What a row says of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRow {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub facility: FacilityCode,
    /// Bytes it will have.
    pub length: u64,
    /// SHA-256 its client has announced, hex.
    pub sha256: Option<String>,
    /// Its data key, wrapped.
    pub wrapped: Vec<u8>,
    /// The submission it became.
    pub submission: Option<SubmissionId>,
    /// Counts those who took it over; who has another than the row's writes nothing.
    pub epoch: i64,
    /// How far it is.
    pub grown: Grown,
    /// Nobody adds to it or makes a container of it any more: its parts may be gone.
    pub gone: bool,
    /// When it was last worked on, Unix seconds by the database's clock.
    pub touched: i64,
}

/// How far an upload is: what may be acknowledged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grown {
    /// Bytes of it that are kept.
    pub at: u64,
    /// Its parts, as [`crate::upload`] writes them.
    pub parts: Vec<u8>,
    /// The bytes after the last whole segment, sealed.
    pub tail: Vec<u8>,
}

/// The rows. Everything here blocks, and is durable when it returns.
pub trait UploadRows: Send + Sync + 'static {
    /// A new one, with epoch 0, which nobody works on.
    ///
    /// # Errors
    /// What the database says.
    fn create(&self, row: &UploadRow) -> Result<(), StoreError>;

    /// What is known of an upload.
    ///
    /// # Errors
    /// What the database says.
    fn find(&self, id: &str) -> Result<Option<UploadRow>, StoreError>;

    /// Takes an upload over from whoever works on it.
    ///
    /// # Errors
    /// What the database says.
    fn take(&self, id: &str) -> Result<Option<UploadRow>, StoreError>;

    /// Notes how far it is; `false` if another has taken it over, or it is gone. It never goes back.
    ///
    /// # Errors
    /// What the database says.
    fn advance(&self, id: &str, epoch: i64, grown: &Grown) -> Result<bool, StoreError>;

    /// Whether it may become what was just made of it: it is still whose epoch this is, and not gone.
    ///
    /// # Errors
    /// What the database says.
    fn confirm(&self, id: &str, epoch: i64) -> Result<bool, StoreError>;

    /// Notes which submission it became.
    ///
    /// # Errors
    /// What the database says.
    fn note(&self, id: &str, submission: &SubmissionId) -> Result<(), StoreError>;

    /// Ends it; `false` if another has taken it over.
    ///
    /// # Errors
    /// What the database says.
    fn close(&self, id: &str, epoch: i64) -> Result<bool, StoreError>;

    /// How many of a facility's are under way, and their bytes together.
    ///
    /// # Errors
    /// What the database says.
    fn under_way(&self, facility: &FacilityCode) -> Result<(u64, u64), StoreError>;

    /// Some of those nobody has worked on for so long.
    ///
    /// # Errors
    /// What the database says.
    fn stale(&self, age: Duration) -> Result<Vec<String>, StoreError>;

    /// Ends one nobody has worked on for so long; `false` if somebody has.
    ///
    /// # Errors
    /// What the database says.
    fn expire(&self, id: &str, age: Duration) -> Result<bool, StoreError>;

    /// Keys of uploads, wrapped, by id: those after `after`, some.
    ///
    /// # Errors
    /// What the database says.
    fn wrapped(&self, after: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError>;

    /// Puts a key wrapped anew in the place of the one that was read; `false` if there is none any more.
    ///
    /// # Errors
    /// What the database says.
    fn rewrap(&self, id: &str, old: &[u8], new: &[u8]) -> Result<bool, StoreError>;

    /// Forgets one.
    ///
    /// # Errors
    /// What the database says.
    fn remove(&self, id: &str) -> Result<(), StoreError>;
}
