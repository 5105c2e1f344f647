//! The signatures inside a PDF: what they cover lies in the file, and only what a test card signed passes.

use formats::cades::{Profile, SignedData};
use formats::pdf::{SignedPdf, read, seems_signed};
use trust_store::Subject;

use super::house::house;

pub(crate) fn run(input: &[u8]) {
    let _ = seems_signed(input);
    let pdf = SignedPdf::of(input);
    match read(input) {
        Ok(read) => assert!(read == pdf),
        Err(_) => assert!(pdf.unreadable.is_some() && pdf.signatures.is_empty()),
    }
    for signature in &pdf.signatures {
        assert!(signature.revision_end <= input.len(), "a revision ends beyond the file");
        assert!(signature.contents.len() <= input.len());
    }
    let house = house();
    let signatures: Vec<Vec<u8>> = pdf.signatures.iter().map(|one| one.contents.clone()).collect();
    let validated = house
        .store
        .validate(Subject::Pdf(Box::new(pdf)), house.evidence.clone(), house.now);
    if validated.report().passed() {
        let parsed = signatures
            .iter()
            .filter_map(|bytes| SignedData::parse(bytes, Profile::Document).ok());
        for signature in parsed {
            assert!(
                house.signed_attributes(&signature.signer.signed_attributes),
                "attributes nobody signed passed"
            );
        }
    }
    assert!(validated.into_verified().is_err(), "only a container is ever verified");
}
