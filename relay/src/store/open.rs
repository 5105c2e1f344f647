//! Opens the store a configuration names: the embedded one in the data folder, or the one several relays share.

use std::path::Path;
use std::sync::Arc;

use super::{FileStore, IndexKind, OpenError, PostgresAddress, PostgresError, PostgresStore, Store};
use crate::keys::Keys;
use crate::log::LogSigner;

/// Why the store does not open.
#[derive(Debug, thiserror::Error)]
pub enum StoreOpenError {
    /// The embedded one.
    #[error(transparent)]
    Embedded(#[from] OpenError),
    /// The one in PostgreSQL.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
}

/// Opens the store in PostgreSQL where one is named, else the embedded store below the data folder. Blocks.
///
/// # Errors
/// [`StoreOpenError`], with what to do.
pub fn open(
    data: &Path,
    index: IndexKind,
    shared: Option<&PostgresAddress>,
    key: LogSigner,
    keys: &Keys,
) -> Result<Arc<dyn Store>, StoreOpenError> {
    if let Some(address) = shared {
        return Ok(Arc::new(PostgresStore::open(address, key, keys)?));
    }
    let store = FileStore::open_in(index, data, key, keys)?;
    if let Some(torn) = &store.torn {
        tracing::warn!(
            ?torn,
            "the trail's torn tail was cut: a write that was never acknowledged"
        );
    }
    Ok(Arc::new(store))
}
