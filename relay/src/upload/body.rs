//! The bytes of an upload while a request works on them, wherever they lie. Blocking.

use std::io;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::Upload;
use super::growing::{self, Growing};
use super::parted::Parted;
use super::under_way::Room;

/// The bytes of an upload.
pub(super) enum Body {
    /// In a file on this machine.
    File(Growing),
    /// In the bucket that relays share.
    Parts(Parted),
}

impl Body {
    /// Opens an upload where it has `at` bytes; what lies beyond is dropped.
    ///
    /// # Errors
    /// What disk or bucket say; `InvalidData` if the bytes before `at` do not open.
    pub(super) fn open(upload: &Arc<Upload>, handle: Handle, at: u64) -> io::Result<Self> {
        match &upload.room {
            Room::Folder { folder, .. } => Growing::open(folder, &upload.seals()?, upload.length, at).map(Self::File),
            Room::Bucket(_) => Parted::open(upload, handle, at).map(Self::Parts),
        }
    }

    /// How many bytes are good where the one at `bad` is not; `None` where that cannot be told.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn before(upload: &Upload, bad: u64) -> io::Result<Option<u64>> {
        match &upload.room {
            Room::Folder { folder, .. } => growing::before(folder, &upload.seals()?, bad).map(Some),
            // What the row speaks of was there: nothing was torn, something was lost.
            Room::Bucket(_) => Ok(None),
        }
    }

    /// Bytes of the upload that are here.
    pub(super) fn end(&self) -> u64 {
        match self {
            Self::File(growing) => growing.end(),
            Self::Parts(parted) => parted.end(),
        }
    }

    /// Takes the next bytes; more than the upload's length is refused.
    ///
    /// # Errors
    /// What disk or bucket say; it must then be opened anew.
    pub(super) fn write(&mut self, chunks: &[impl AsRef<[u8]>]) -> io::Result<()> {
        match self {
            Self::File(growing) => growing.write(chunks),
            Self::Parts(parted) => parted.write(chunks),
        }
    }

    /// What was written and is there counts from now on, should this relay die.
    ///
    /// # Errors
    /// As [`Body::sync`].
    pub(super) fn settle(&mut self) -> io::Result<()> {
        match self {
            // The size of the file tells.
            Self::File(_) => Ok(()),
            Self::Parts(parted) => parted.settle(),
        }
    }

    /// Waits until all that was written is durable.
    ///
    /// # Errors
    /// What disk, bucket or database say; [`super::claim::TakenOver`].
    pub(super) fn sync(&mut self) -> io::Result<()> {
        match self {
            Self::File(growing) => growing.sync(),
            Self::Parts(parted) => parted.sync(),
        }
    }

    /// Hands over what is durable from `from` on, while `each` wants more.
    ///
    /// # Errors
    /// What disk or bucket say; `InvalidData` for a segment that does not open: those before it were handed over.
    pub(super) fn pass(&self, from: u64, each: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<()> {
        match self {
            Self::File(growing) => growing.pass(from, each),
            Self::Parts(parted) => parted.pass(from, each),
        }
    }
}
