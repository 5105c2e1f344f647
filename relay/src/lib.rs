//! The relay: takes signed letters in, keeps them for the recipient, records every sender and every view.
//!
//! # Life of a submission
//!
//! 1. **A device knocks** ([`server`], [`peer`]). TLS 1.3 with a certificate of the relay's own CA; then, on every request, the
//!    device table. First of all, because nothing below should ever run for a stranger or a revoked device.
//! 2. **An upload is announced** ([`upload`]). Its length is held against the largest size, the facility's quota and the free
//!    space. Before any byte, because refusing gigabytes after they arrived helps nobody.
//! 3. **Bytes arrive, are read and become durable** ([`upload`]). Each byte passes once: sealed to the disk, through the reader of
//!    the intake profile, through the hash of its file, past the look for what must not travel. A PATCH is answered after the disk
//!    has it, because the client forgets what was acknowledged. A newer request takes over from one that hangs, because radio
//!    links die without saying so. After a restart the stored bytes are read again, because the reading is not state.
//! 4. **What cannot be accepted ends at once** ([`intake`]): sender, recipients and signature as soon as META-INF and envelope
//!    are there, each file as it passes. Before the gigabytes, because they would be for nothing; before any evidence is
//!    fetched, because that would be work on a stranger's behalf. The refusal is a record, and its report stays for the sender.
//! 5. **Evidence is fetched** ([`evidence`]): `trust-store` says what is missing, the relay fetches it within its rules, and asks
//!    again. Only URLs of certificates whose path verifies, because a signature's own word must not steer the relay.
//! 6. **The verdict** (`trust_store::TrustStore::validate`). After all fetching, in one pure step, because only then can it be
//!    repeated years later from what is stored.
//! 7. **The container moves to its place, evidence and report beside it** ([`containers`]). Before the record, because the trail
//!    must never speak of a container that is not there; one without a record is only waste.
//! 8. **The record** ([`store`], [`trail`]): `Accepted`, with the digests the verdict speaks about, compared with what was stored.
//!    The moment of acceptance; what waits for evidence gets `PendingEvidence` here and returns to step 5 until its deadline;
//!    a refusal gets a record too.
//! 9. **The receipt.** After the record is durable and never before, because it is the relay's signature under it.
//! 10. **The archive** (`archive`). Evidence and an archive stamp while everything is still valid, made in the background,
//!     because a time-stamp authority that is down must hold no letter; renewed before the stamp ends.
//! 11. **The recipient looks** ([`view`], [`deliver`]). The record of who looks is durable before the first byte leaves, because
//!     a look cannot be taken back when its record fails.
//! 12. **Evidence that comes later** (`revise`): a list issued after the acceptance may show that the card was revoked before it
//!     signed. Then the submission is validated again, what fails is recorded, and nothing of it leaves the relay any more,
//!     because a letter that was good at the door must not be relied on when it is known to be bad.
//! 13. **The account** ([`account`]): the trail read by those it concerns. Itself an act, so it is recorded as well.
//! 14. **The log is bound to the world** ([`log`]): daily heads, a time stamp over its checkpoint, witnesses that cosign it.
//!     Afterwards, because none of them may hold a letter up; soon, because only what others have seen cannot be rewritten.
//! 15. **The container goes** (`retention`), where its operator limits its time: after every recipient has had it and was told,
//!     and only it. Evidence, report and archive stay.

pub mod account;
pub mod admin;
mod archive;
pub mod backup;
pub mod ca;
pub mod check;
mod clock;
pub mod config;
pub mod containers;
mod context;
pub mod deliver;
pub mod enrol;
pub mod evidence;
pub mod expiry;
pub mod folder;
pub mod intake;
pub mod keys;
pub mod log;
pub mod month_keys;
pub mod objects;
pub mod observe;
pub mod pace;
pub mod peer;
pub mod problem;
mod reserve;
mod retention;
mod revise;
pub mod routes;
mod seal;
pub mod server;
pub mod store;
mod syslog;
pub mod timestamps;
pub mod trail;
pub mod trust;
pub mod upload;
pub mod view;

pub use server::{Relay, Running, StartError};
