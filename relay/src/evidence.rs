//! The only way out: fetches CRLs under the rules against misuse, caches them on disk, refreshes them in the background.
