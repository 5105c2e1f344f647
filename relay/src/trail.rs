//! The trail on disk: append-only segment files with group commit, the commit point of the embedded store.
