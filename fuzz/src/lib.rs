//! What each parser is held to, whatever bytes it is given. The same functions serve libFuzzer (`fuzz_targets/`) and the test
//! `tests/fuzz_corpus.rs`, which runs them over the seeds and over everything that was ever found.
//!
//! A target panics where a promise is broken: not only where a parser panics, but where what it accepts does not survive being
//! written and read again, where two readers of the same bytes disagree, or where changed bytes would pass a validation.

mod archive;
mod certificate;
mod container;
mod crl;
mod dicom;
mod envelope;
mod evidence;
mod house;
mod intake;
mod letter;
mod manifest;
mod ocsp;
mod pdf;
mod signed_data;
mod sums;
mod token;
mod trail;

/// A target: its name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("container", container::run),
    ("intake", intake::run),
    ("manifest", manifest::run),
    ("archive", archive::run),
    ("cms", signed_data::run),
    ("token", token::run),
    ("crl", crl::run),
    ("ocsp", ocsp::run),
    ("certificate", certificate::run),
    ("dicom", dicom::run),
    ("envelope", envelope::run),
    ("letter", letter::run),
    ("pdf", pdf::run),
    ("trail", trail::run),
    ("evidence", evidence::run),
];

/// Runs one target by its name.
///
/// # Panics
/// If there is no such target, or the input breaks what the target promises.
pub fn run(name: &str, input: &[u8]) {
    let (_, target) = TARGETS
        .iter()
        .find(|(known, _)| *known == name)
        .expect("a target has this name");
    target(input);
}
