//! The relay: takes signed letters in, keeps them for the recipient, records every sender and every view.

pub mod account;
pub mod admin;
pub mod ca;
pub mod config;
pub mod containers;
pub mod deliver;
pub mod enrol;
pub mod evidence;
pub mod intake;
pub mod peer;
pub mod problem;
pub mod routes;
pub mod server;
pub mod store;
pub mod trail;
pub mod upload;
pub mod view;
