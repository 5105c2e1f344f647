//! What one validation may spend on signatures of evidence, in however many pools that evidence lies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Signatures verified so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Budget(Arc<AtomicUsize>);

impl Budget {
    /// Whether one more may be verified.
    pub(super) fn spend(&self, most: usize) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) < most
    }
}
