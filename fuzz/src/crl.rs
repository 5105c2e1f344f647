//! A CRL: read, searched, asked about the house's certificates; and found again as evidence.

use trust_store::Evidence;
use trust_store::chain::{ChainOptions, chain};
use trust_store::revocation::crl::Crl;
use trust_store::revocation::{CrlPool, OcspPool};

use super::house::house;

pub(crate) fn run(input: &[u8]) {
    let Ok(crl) = Crl::parse(input) else { return };
    // The shortest entry: SEQUENCE, INTEGER, UTCTime.
    assert!(crl.len() <= input.len() / 15, "more entries than bytes");
    for serial in [&[][..], &[0], &[1], &[0x10, 0x00], input.get(..8).unwrap_or_default()] {
        let _ = crl.find(&crl.issuer, serial);
    }
    let mut evidence = Evidence::default();
    evidence.add("crl", input);
    assert_eq!(evidence.crls, [input.to_vec()], "a CRL is evidence");
    judge(input, &crl);
}

/// A list nobody signed neither revokes nor vouches: the verdict on every certificate is what it is without it.
fn judge(input: &[u8], crl: &Crl) {
    let house = house();
    let own = house.evidence.crls.iter().any(|known| known == input);
    let intermediates = house.pool();
    let signed = house
        .certificates()
        .iter()
        .any(|authority| authority.subject == crl.issuer && crl.verify_signature(&authority.key).is_ok());
    let lists = |input: Option<&[u8]>| {
        let all: Vec<Vec<u8>> = house
            .evidence
            .crls
            .iter()
            .cloned()
            .chain(input.map(<[u8]>::to_vec))
            .collect();
        CrlPool::from_der(&all)
    };
    let (without, with, alone) = (lists(None), lists(Some(input)), CrlPool::from_der([&input.to_vec()]));
    for leaf in house.certificates() {
        let judge = |pool| {
            chain(
                leaf,
                &house.store.anchors.hpki,
                &intermediates,
                pool,
                &OcspPool::default(),
                house.now,
                &ChainOptions::default(),
            )
        };
        let verdict = judge(&with);
        let _ = judge(&alone);
        if !own && !signed {
            assert_eq!(verdict.valid, judge(&without).valid, "a list nobody signed decides");
        }
    }
}
