//! An OCSP response: read, asked about the house's certificates, and supplied as evidence.

use trust_store::revocation::ocsp::{OcspPool, OcspRequest, OcspResponse, ResponseStatus};
use trust_store::{Certificate, Evidence, Subject};

use super::house::house;

pub(crate) fn run(input: &[u8]) {
    let Ok(response) = OcspResponse::parse(input) else {
        return;
    };
    assert_eq!(response.basic.is_some(), response.status == ResponseStatus::Successful);
    let _ = OcspPool::from_der([&input.to_vec()]);
    let mut evidence = Evidence::default();
    evidence.add("response", input);
    let house = house();
    let authorities = house.authorities();
    for (leaf, issuer) in house.pairs() {
        let request = OcspRequest::about(leaf, issuer);
        for nonce in [None, Some(&[7_u8; 16][..])] {
            if let Ok(answer) = request.answered_by(input, nonce) {
                let basic = response.basic.as_ref().expect("an answer is in a successful response");
                assert!(basic.singles.iter().any(|single| single.cert_id == request.cert_id));
                assert!(!answer.nonce_echoed || basic.nonce.as_deref() == nonce);
            }
        }
    }
    let Some(basic) = response.basic else {
        judge(input, false);
        return;
    };
    // The shortest answer: certID with two hashes, a status, a time.
    assert!(basic.singles.len() <= input.len() / 32, "more answers than bytes");
    let _ = basic.responder.to_string();
    let keys = |certificate: &Certificate| basic.verify_signature(&certificate.key).is_ok();
    let delegates = basic.certificates.iter().filter(|delegate| {
        let issued = |authority: &&Certificate| delegate.verify_signature(&authority.key).is_ok();
        authorities.iter().copied().any(|authority| issued(&authority))
    });
    let signed = authorities.iter().copied().chain(delegates).any(keys);
    judge(input, signed);
}

/// A response nobody signed neither revokes nor vouches.
fn judge(input: &[u8], signed: bool) {
    let house = house();
    let mut lists = house.evidence.clone();
    lists.crls.clear();
    for (mut evidence, passes) in [(house.evidence.clone(), true), (lists, false)] {
        evidence.ocsp.push(input.to_vec());
        let subject = Subject::Container(Box::new(house.good.clone()));
        let report = house.store.validate(subject, evidence, house.now);
        if !signed {
            assert_eq!(report.report().passed(), passes, "a response nobody signed decides");
        }
    }
}
