//! Certificates and revocation data in the unsigned attributes of RFC 5126 §6.3: alone enough, short, and telling of a revocation.

use std::fs;
use std::path::Path;

use kit::ocsp::ocsp_request;
use kit::{Ca, CrlReason, OcspSpec, Revoked, TestHpki};
use time::Duration;

use super::{NOW, PASSED, Plan, Row, failed, hours, indeterminate};

/// The rows.
pub(super) const ROWS: &[Row] = &[
    (
        "lt_values_lists",
        PASSED,
        "its authority and all lists in certificate-values and revocation-values",
        "RFC 5126 §6.3.3, §6.3.4",
        |plan| values(plan, |hpki| (hpki.lists(hours(-6), &[]), Vec::new())),
    ),
    (
        "lt_values_responses",
        PASSED,
        "the signer's status as an OCSP response in revocation-values",
        "RFC 5126 §6.3.4",
        |plan| {
            values(plan, |hpki| {
                let request = ocsp_request(Ca::Sign, kit::CardSpec::doctor().serial);
                let response = hpki.ocsp(Ca::Sign, &request, &OcspSpec::at(NOW - Duration::minutes(30)));
                (hpki.lists(hours(-6), &[]).split_off(1), vec![response])
            });
        },
    ),
    (
        "lt_values_without_the_signers_list",
        indeterminate("SIG_CONSTRAINTS_FAILURE"),
        "revocation-values lack the signer's status",
        "RFC 5126 §6.3.4",
        |plan| {
            values(plan, |hpki| (hpki.lists(hours(-6), &[]).split_off(1), Vec::new()));
            plan.says = Some("level B-T; the policy asks for B-LT");
        },
    ),
    (
        "lt_values_revoked",
        failed("REVOKED"),
        "a list in revocation-values says what the one supplied does not: any authentic revoked decides",
        "CONTRACTS.md §3 Signer revocation",
        |plan| {
            values(plan, |hpki| {
                let line = Revoked::new(kit::CardSpec::doctor().serial, hours(-2), CrlReason::KeyCompromise);
                (hpki.lists(hours(-2), &[(Ca::Sign, line)]), Vec::new())
            });
        },
    ),
    (
        "lt_values_response_revoked",
        failed("REVOKED"),
        "the same as an OCSP response",
        "RFC 5126 §6.3.4",
        |plan| {
            values(plan, |hpki| {
                let request = ocsp_request(Ca::Sign, kit::CardSpec::doctor().serial);
                let revoked = vec![Revoked::new(
                    kit::CardSpec::doctor().serial,
                    hours(-2),
                    CrlReason::KeyCompromise,
                )];
                let spec = OcspSpec {
                    revoked,
                    ..OcspSpec::at(NOW - Duration::minutes(30))
                };
                (hpki.lists(hours(-6), &[]), vec![hpki.ocsp(Ca::Sign, &request, &spec)])
            });
        },
    ),
];

/// Lists and OCSP responses.
type Values = (Vec<Vec<u8>>, Vec<Vec<u8>>);

/// A bare signature without its authority's certificate, which keeps that and these values in the attributes of RFC 5126.
fn values(plan: &mut Plan, kept: fn(&TestHpki) -> Values) {
    plan.bare = Some(("letter", Some("letter")));
    plan.policy = "minimum_level = \"B-LT\"";
    plan.sign = Some(Box::new(|hpki, content| {
        let mut card = hpki.doctor();
        card.chain.clear();
        let unstamped = kit::ContainerOptions {
            stamp: None,
            signing_time: None,
        };
        hpki.signature(&card, content, unstamped)
    }));
    plan.after = Box::new(move |folder: &Path| {
        let file = folder.join("signature.p7s");
        let hpki = TestHpki::new("http://crl.example", NOW);
        let (crls, responses) = kept(&hpki);
        let signature = fs::read(&file).unwrap();
        fs::write(
            file,
            hpki.with_values(&signature, &[hpki.ca(Ca::Sign)], &crls, &responses),
        )
        .unwrap();
    });
}
