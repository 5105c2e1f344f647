//! The kit: a test HPKI with its cards, revocation lists, time stamps and faults, and what whole-house tests need besides.
//!
//! Everything here is for tests and for partners who want to try their software against something HPKI-shaped.
//! Names are fictitious and the keys are public.

pub mod archive;
pub mod bucket;
pub mod card;
pub mod conformance;
pub mod container;
pub mod desk;
pub mod dicom;
pub mod house;
pub mod hpki;
pub mod https;
pub mod keys;
pub mod letter;
pub mod malicious;
pub mod many;
pub mod measure;
pub mod ocsp;
pub mod pdf;
pub mod plain_http;
pub mod postgres;
pub mod relay;
pub mod revocation_lists;
pub mod roles;
pub mod s3_faults;
pub mod services;
pub mod skip;
pub mod softhsm;
pub mod stage;
pub mod tally;
pub mod trust;
pub mod tsa;
pub mod tsa_certificate;
pub mod witness;
pub mod x509;
pub mod zip;

pub use archive::Inside;
pub use bucket::Bucket;
pub use card::{Card, CardSpec, pem};
pub use conformance::conformance;
pub use container::{ContainerOptions, envelope, referral};
pub use desk::{Desk, Spoken};
pub use dicom::dicom;
pub use house::{bin, fixtures, openssl, pkcs11_module};
pub use hpki::{Ca, TestHpki};
pub use https::{Connection, Https, Reply};
pub use keys::Key;
pub use letter::{letter_cda, letter_fhir, letter_pdf};
pub use malicious::{Asked, Lie, MaliciousRelay};
pub use many::Many;
pub use measure::{Measured, measured};
pub use ocsp::{OcspSpec, Responder};
pub use postgres::Postgres;
pub use relay::{Joined, RelayOptions, RelayProcess};
pub use revocation_lists::{CrlSpec, Revoked};
pub use roles::RoleShape;
pub use s3_faults::{S3Fault, S3Faults};
pub use services::{Fault, Services};
pub use skip::skip;
pub use softhsm::SoftHsm;
pub use stage::{Pair, Stage};
pub use tsa::{Ess, TokenSpec};
pub use tsa_certificate::TsaSpec;
pub use witness::{Witness, WitnessFault};
pub use x509_cert::ext::pkix::CrlReason;
