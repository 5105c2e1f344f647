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
//! | [`tsa`] | time stamps over HTTP, RFC 3161 |
//! | [`config`], [`files`], [`pin`], [`output`], [`error`] | the ground they stand on |

pub mod card;
pub mod chain;
pub mod cli;
pub mod config;
pub mod diagnose;
pub mod error;
pub mod files;
pub mod inspect;
pub mod output;
pub mod pin;
pub mod sign;
pub mod signer;
pub mod trust;
pub mod tsa;
pub mod verify;
