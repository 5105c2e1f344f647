//! hcRole in certificates of the real HPKI. Skipped by name where they are not at hand.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that reads files; the rules are for the crate"
)]

#[allow(
    unreachable_pub,
    clippy::disallowed_methods,
    reason = "the file is the kit's, and the rules are for the crate"
)]
#[path = "../../tests/kit/skip.rs"]
mod skip;

use std::path::Path;

use const_oid::ObjectIdentifier;
use der::Decode as _;
use formats::hc_role::{HcRole, Roles, roles};
use x509_cert::Certificate;

const SUBJECT_DIRECTORY_ATTRIBUTES: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.9");

#[test]
fn real_cards_state_their_profession() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures/hpki-real");
    if !folder.is_dir() {
        return skip::skip(
            "real_cards_state_their_profession",
            "no ../shared/fixtures beside the workspace",
        );
    }
    for (file, role) in [
        ("jma_test_ee_doctor_8090.der", Some("Medical Doctor")),
        ("jma_test_ee_pharmacist_83e3.der", Some("Pharmacist")),
        ("medis_test_ee_doctor_015e.der", Some("Medical Doctor")),
        ("medis_test_ee_pharmacist_0164.der", Some("Pharmacist")),
        ("jma_jv2_sign_ca.der", None),
        ("medis_sign_ca2.der", None),
        ("mhlw_hpki_root_ca_v2.der", None),
    ] {
        let certificate = Certificate::from_der(&std::fs::read(folder.join(file)).unwrap()).unwrap();
        let extensions = certificate.tbs_certificate().extensions().unwrap();
        let stated = extensions
            .iter()
            .find(|extension| extension.extn_id == SUBJECT_DIRECTORY_ATTRIBUTES)
            .map(|extension| roles(extension.extn_value.as_bytes()));
        let expected = role.map(|role| Roles {
            roles: vec![HcRole(role.to_owned())],
            warnings: vec![],
        });
        assert_eq!(stated, expected, "{file}");
    }
}
