//! What every signer must do: one suite, run for soft keys and for keys in tokens. Assertions: what does not hold fails the test
//! that runs it.

use std::cell::Cell;
use std::rc::Rc;

use formats::cades::{Profile, SignedData};
use formats::digest::DigestAlgorithm;
use trust_store::algorithm;
use zeroize::Zeroizing;

use super::{AskPin, Signer, SignerError};
use crate::sign;

/// Runs what holds for any signer that is ready to sign.
///
/// # Panics
/// If it does not hold.
pub fn all(signer: &mut dyn Signer) {
    signatures_in_a_row_verify_under_its_certificate(signer);
    every_digest_is_signed_or_said_not_to_be(signer);
}

/// Two signatures, one after the other: each verifies under the certificate, over its own bytes only.
///
/// # Panics
/// If it does not hold.
pub fn signatures_in_a_row_verify_under_its_certificate(signer: &mut dyn Signer) {
    let digest = signer.digest();
    let [first, second] = [b"first", b"other"].map(|content| {
        let file = sign::signature(signer, digest, &digest.digest(content)).expect("it signs");
        SignedData::parse(&file, Profile::Document)
            .expect("a signature as CAdES has it")
            .signer
    });
    let verifies = |signature: &formats::cades::Signer, bytes: &[u8]| {
        let key = &signer.certificate().key;
        algorithm::verify_with_digest(&signature.signature_algorithm, digest, key, bytes, &signature.signature).is_ok()
    };
    assert!(verifies(&first, &first.signed_attributes));
    assert!(verifies(&second, &second.signed_attributes));
    assert!(!verifies(&first, &second.signed_attributes));
}

/// Whatever the digest, what comes back verifies; or nothing comes back and the signer says that it does not offer it.
///
/// # Panics
/// If it does not hold.
pub fn every_digest_is_signed_or_said_not_to_be(signer: &mut dyn Signer) {
    for digest in DigestAlgorithm::ALL {
        match signer.sign(b"to be signed", digest) {
            // `signature` verifies what it gives out.
            Ok(_) => {
                drop(sign::signature(signer, digest, &digest.digest(b"content")).expect("a signature that verifies"))
            }
            Err(error) => assert!(matches!(error, SignerError::NotOffered(_)), "{error}"),
        }
    }
}

/// A PIN is asked for once, however many signatures follow.
///
/// # Panics
/// If it does not hold.
pub fn a_right_pin_is_asked_for_once<S: Signer>(open: impl FnOnce(AskPin) -> S, pin: &'static str) {
    let (ask, asked) = counting(pin);
    let mut signer = open(ask);
    all(&mut signer);
    assert_eq!(asked.get(), 1);
}

/// A wrong PIN is presented once: it fails, nothing is signed, and nobody is asked again by itself. The next attempt asks anew.
///
/// # Panics
/// If it does not hold.
pub fn a_wrong_pin_is_never_tried_again<S: Signer>(open: impl FnOnce(AskPin) -> S, wrong: &'static str) {
    let (ask, asked) = counting(wrong);
    let mut signer = open(ask);
    for attempt in 1..=2 {
        let answer = signer.sign(b"to be signed", DigestAlgorithm::Sha256);
        assert!(matches!(answer, Err(SignerError::PinIncorrect { .. })), "{answer:?}");
        assert_eq!(asked.get(), attempt);
    }
}

fn counting(pin: &'static str) -> (AskPin, Rc<Cell<u32>>) {
    let asked = Rc::new(Cell::new(0));
    let count = Rc::clone(&asked);
    let ask: AskPin = Box::new(move |_, _| {
        count.set(count.get() + 1);
        Ok(Zeroizing::new(pin.to_owned()))
    });
    (ask, asked)
}
