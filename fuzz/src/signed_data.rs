//! A signature: read under both profiles, stamped, judged.

use formats::cades::{DetachedContent, MAX_CERTIFICATES, MAX_CRLS, Profile, SignedData, with_timestamp};
use trust_store::Subject;

use super::house::house;

pub(crate) fn run(input: &[u8]) {
    let document = SignedData::parse(input, Profile::Document);
    let token = SignedData::parse(input, Profile::Token);
    if let Ok(document) = &document {
        let token = token.as_ref().expect("tokens may be all that documents may");
        assert_eq!(format!("{document:?}"), format!("{token:?}"));
    }
    for parsed in [&document, &token].into_iter().flatten() {
        assert!(parsed.certificates.len() <= MAX_CERTIFICATES && parsed.crls.len() <= MAX_CRLS);
        let held: usize = parsed
            .certificates
            .iter()
            .chain(&parsed.crls)
            .chain(&parsed.signer.timestamps)
            .map(Vec::len)
            .sum();
        assert!(held <= input.len(), "more is kept than was sent");
        assert_eq!(parsed.signer.signed_attributes.first(), Some(&0x31));
    }
    judge(input, document.as_ref().ok());
    if let Ok(document) = &document {
        stamp(input, document);
    }
}

fn judge(input: &[u8], parsed: Option<&SignedData>) {
    let house = house();
    let content = parsed
        .and_then(|parsed| parsed.content.as_deref())
        .unwrap_or(b"content");
    let subject = Subject::Signature {
        bytes: input.to_vec(),
        content: Some(DetachedContent::of(input, content)),
    };
    let _ = house.store.missing(&subject, &house.evidence, house.now);
    let validated = house.store.validate(subject, house.evidence.clone(), house.now);
    if validated.report().passed() {
        let parsed = parsed.expect("what passes can be read");
        assert!(
            house.signed_attributes(&parsed.signer.signed_attributes),
            "attributes nobody signed passed"
        );
    }
    assert!(validated.into_verified().is_err(), "only a container is ever verified");
}

/// A stamp is added beside what is there, and nothing that is signed changes.
fn stamp(input: &[u8], before: &SignedData) {
    let Some(token) = house().evidence.tokens.first().or(before.signer.timestamps.first()) else {
        return;
    };
    let Ok(stamped) = with_timestamp(input, token) else {
        return;
    };
    let after = SignedData::parse(&stamped, Profile::Document).expect("a stamped signature can be read");
    assert_eq!(after.signer.signed_attributes, before.signer.signed_attributes);
    assert_eq!(after.signer.signature, before.signer.signature);
    assert_eq!(after.content, before.content);
    assert_eq!(after.certificates, before.certificates);
    assert_eq!(after.signer.timestamps.len(), before.signer.timestamps.len() + 1);
    assert!(after.signer.timestamps.contains(token));
}
