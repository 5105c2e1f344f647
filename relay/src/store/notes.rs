//! Small notes that relays of one store share beside the trail: how far work has come that one of them does at a time.

use super::StoreError;

/// The notes. Everything here blocks, and is durable when it returns.
pub trait Notes: Send + Sync + 'static {
    /// What a note says.
    ///
    /// # Errors
    /// What the database says.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Keeps a note; whether it did: one with a larger number is never replaced.
    ///
    /// # Errors
    /// What the database says.
    fn put(&self, name: &str, number: u64, content: &[u8]) -> Result<bool, StoreError>;
}
