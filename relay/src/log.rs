//! The log that makes the trail provable: its key, its tiles and proofs, and what binds it to the world outside: daily heads, RFC
//! 3161 stamps of its checkpoint, and witnesses that cosign it. `CONTRACTS.md` §9.
//!
//! What is kept beside the trail lies in `data/log`, or below `log` in the bucket that relays share: stamped checkpoints with their
//! tokens (`stamps/<size>.checkpoint`, `.tst`), the newest checkpoint that witnesses have cosigned (`witnessed`), and of each
//! witness the newest that it has (`witnesses.json`).

mod heads;
mod kept;
mod proving;
mod remembered;
mod signer;
mod stamping;
mod token;
mod verifying;
mod witnessing;

use std::io::{self, Write as _};
use std::path::Path;

pub(crate) use heads::keep as keep_heads;
pub use kept::Kept;
pub use proving::{Outline, prove, prove_consistency, root, tile};
pub(crate) use remembered::{Remembered, remembered};
pub use signer::{LogSigner, SignerError};
pub(crate) use stamping::keep as keep_stamps;
pub use token::TokenKey;
pub use verifying::verify;
pub(crate) use witnessing::{Contradictions, keep as keep_witnesses};

use crate::folder::{create_private, private_file};

/// Folder of what is kept beside the trail, below the data folder.
pub(crate) const FOLDER: &str = "log";

/// Writes a file in one step, durable with its name.
fn keep_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    create_private(folder)?;
    let beside = path.with_extension("new");
    let mut file = private_file().write(true).create(true).truncate(true).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    if cfg!(unix) {
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}
