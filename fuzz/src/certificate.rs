//! A certificate with all it says of itself, the professions among it; and anchors and paths made of it.

use formats::hc_role;
use trust_store::chain::{ChainOptions, chain};
use trust_store::path::CertificatePool;
use trust_store::revocation::{self, CrlPool, OcspPool};
use trust_store::{Certificate, TrustAnchor, role_policy};

use super::house::house;

pub(crate) fn run(input: &[u8]) {
    roles(input);
    if let Ok(anchors) = TrustAnchor::parse(input) {
        assert!(anchors.len() <= input.len() / 32 + 1);
    }
    let Ok(certificate) = Certificate::parse(input) else {
        return;
    };
    assert_eq!(certificate.der(), input);
    assert!(certificate.tbs().len() < input.len());
    let _ = (
        certificate.is_self_issued(),
        certificate.is_ca(),
        certificate.basic_constraints(),
    );
    let _ = (
        certificate.key_usage(),
        certificate.extended_key_usage(),
        certificate.policies(),
    );
    let _ = (
        certificate.subject_key_identifier(),
        certificate.authority_key_identifier(),
    );
    assert!(revocation::urls(&certificate).iter().map(String::len).sum::<usize>() <= input.len());
    for name in [&certificate.subject, &certificate.issuer] {
        let again = trust_store::name::DistinguishedName::parse(name.der()).expect("a name that was read can be read");
        assert!(again == *name && again.is_under(name));
        assert!(
            !name.to_string().contains(['\n', '\r', '\u{1b}']),
            "a name commands a terminal"
        );
    }
    for extension in certificate.extensions() {
        roles(&extension.value);
    }
    judge(&certificate);
}

fn roles(bytes: &[u8]) {
    let read = hc_role::roles(bytes);
    assert!(
        read.roles.len() <= 64 && read.warnings.len() <= 64,
        "a certificate is laborious"
    );
    for role in &read.roles {
        let _ = role_policy::classify(&role.0);
    }
    if read.warnings.is_empty() {
        let again = hc_role::roles(&hc_role::encode(&read.roles));
        let sorted = |mut roles: Vec<hc_role::HcRole>| {
            roles.sort();
            roles
        };
        assert_eq!(sorted(again.roles), sorted(read.roles));
        assert_eq!(again.warnings, Vec::<String>::new());
    }
}

/// Only what an authority of the house issued is ever valid; as an intermediate it makes nothing valid that was not.
fn judge(certificate: &Certificate) {
    let house = house();
    let mut pool = house.pool();
    let issued = house
        .certificates()
        .iter()
        .any(|authority| *certificate == *authority || certificate.verify_signature(&authority.key).is_ok());
    let options = ChainOptions {
        no_revocation: true,
        ..ChainOptions::default()
    };
    let lists = CrlPool::default();
    let verdict = chain(
        certificate,
        &house.store.anchors.hpki,
        &pool,
        &lists,
        &OcspPool::default(),
        house.now,
        &options,
    );
    assert!(issued || !verdict.valid, "a certificate nobody issued is valid");
    let others = house.certificates();
    let judge = |other: &Certificate, pool: &CertificatePool| {
        chain(
            other,
            &house.store.anchors.hpki,
            pool,
            &lists,
            &OcspPool::default(),
            house.now,
            &options,
        )
        .valid
    };
    let before: Vec<bool> = others.iter().map(|other| judge(other, &pool)).collect();
    pool.add(certificate.clone());
    let after: Vec<bool> = others.iter().map(|other| judge(other, &pool)).collect();
    if !issued {
        assert_eq!(before, after, "a certificate nobody issued decides about others");
    }
}
