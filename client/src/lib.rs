//! The signing desk, binary `hikyaku`: signs with the card, time-stamps, sends, fetches and verifies.
//!
//! | module | what it is |
//! |---|---|
//! | [`cli`] | the command line: options, dispatch, exit codes |
//! | [`sign`] | letter and images → envelope, container, signature, time stamp |
//! | [`signer`] | a key that never leaves its token: cards by PKCS #11, soft keys |
//! | [`verify`], [`inspect`], [`chain`] | judging and describing files, offline |
//! | [`card`], [`diagnose`] | what is in the reader; what a support desk asks for |
//! | [`trust`] | trust and evidence directories from disk |
//! | [`enrol`] | the device key and its certificate |
//! | [`send`], [`outbox`] | the relay's judgement at the desk; what waits until the receipt is on this disk |
//! | [`inbox`], [`fetch`], [`status`] | what has come, how it comes down, what became of what was sent |
//! | [`archive`] | files that outlive their certificates, made and renewed |
//! | [`relay_api`], [`relay_trust`] | the relay as the client sees it; its own judgement made here |
//! | [`trail`] | the relay's audit trail and its proofs, verified offline |
//! | [`tsa`] | time stamps over HTTP, RFC 3161 |
//! | [`context`], [`config`], [`files`], [`pin`], [`output`], [`error`] | the ground they stand on |

pub mod archive;
pub mod card;
pub mod chain;
pub mod cli;
pub mod config;
pub mod context;
pub mod diagnose;
pub mod enrol;
pub mod error;
pub mod fetch;
pub mod files;
pub mod inbox;
pub mod inspect;
pub mod outbox;
pub mod output;
pub mod pin;
pub mod relay_api;
pub mod relay_trust;
pub mod send;
pub mod sign;
pub mod signer;
pub mod status;
pub mod trail;
pub mod trust;
pub mod tsa;
pub mod verify;
