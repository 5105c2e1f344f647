//! What OCSP responders say, and what they leave open: unless a row says so, no list of the signing CA is at hand. And a CA whose
//! certificate is not there.

use std::fs;

use kit::ocsp::{Delegate, Oddities, ocsp_request};
use kit::{Ca, CardSpec, CrlReason, Key, OcspSpec, Responder, Revoked, TestHpki};
use time::Duration;

use super::{NOW, PASSED, Plan, Row, failed, hours, indeterminate};

/// The rows.
pub(super) const ROWS: &[Row] = &[
    (
        "ocsp_good_alone",
        PASSED,
        "no list of the CA, but its responder says good",
        "CONTRACTS.md §3",
        |plan| {
            plan.says = Some("(OCSP response of ");
            responder_says(plan, false, fresh());
        },
    ),
    (
        "ocsp_good_by_the_ca",
        PASSED,
        "signed by the CA itself",
        "RFC 6960 §4.2.2.2",
        |plan| {
            let spec = OcspSpec {
                responder: Responder::Ca,
                ..fresh()
            };
            responder_says(plan, false, spec);
        },
    ),
    (
        "ocsp_sub_seconds",
        PASSED,
        "a sloppy responder that writes fractions of seconds",
        "RFC 5280 §4.1.2.5.2",
        |plan| {
            let odd = Oddities {
                sub_seconds: true,
                ..Oddities::default()
            };
            responder_says(plan, false, OcspSpec { odd, ..fresh() });
        },
    ),
    (
        "ocsp_revoked",
        failed("REVOKED"),
        "revoked before the stamp, says the responder",
        "CONTRACTS.md §3 Signer revocation",
        |plan| responder_says(plan, false, revoked(hours(-8))),
    ),
    (
        "ocsp_revoked_beside_good_list",
        failed("REVOKED"),
        "any authentic revoked decides, whatever the list says",
        "CONTRACTS.md §3 Signer revocation",
        |plan| responder_says(plan, true, revoked(hours(-8))),
    ),
    (
        "ocsp_revoked_after_stamp",
        PASSED,
        "revoked after the stamp, says the responder",
        "CONTRACTS.md §3 Signer revocation",
        |plan| responder_says(plan, false, revoked(NOW - Duration::minutes(50))),
    ),
    (
        "ocsp_unknown",
        indeterminate("TRY_LATER"),
        "the responder does not know the card",
        "RFC 6960 §2.2",
        |plan| {
            plan.missing = 2;
            plan.says = Some("does not know the certificate");
            let unknown = vec![CardSpec::doctor().serial];
            responder_says(plan, false, OcspSpec { unknown, ..fresh() });
        },
    ),
    (
        "ocsp_unauthorized",
        indeterminate("TRY_LATER"),
        "the responder gives no answer",
        "RFC 6960 §2.3",
        |plan| {
            plan.missing = 2;
            plan.says = Some("the OCSP responder answered unauthorized");
            supply(plan, false, |_| vec![0x30, 3, 0x0a, 1, 6]);
        },
    ),
    (
        "ocsp_stale",
        indeterminate("TRY_LATER"),
        "what the responder said ended before the stamp",
        "CONTRACTS.md §3 Signer revocation",
        |plan| {
            plan.missing = 2;
            plan.says = Some("the OCSP response is no longer current");
            let spec = OcspSpec {
                next_update: Some(hours(-2)),
                ..OcspSpec::at(hours(-6))
            };
            responder_says(plan, false, spec);
        },
    ),
    (
        "ocsp_of_the_future",
        indeterminate("TRY_LATER"),
        "produced later than now",
        "CONTRACTS.md §3",
        |plan| {
            plan.missing = 2;
            plan.says = Some("later than now");
            responder_says(plan, false, OcspSpec::at(NOW + Duration::minutes(6)));
        },
    ),
    (
        "ocsp_forged",
        indeterminate("TRY_LATER"),
        "signed by another key than the responder's",
        "RFC 6960 §3.2",
        |plan| {
            plan.missing = 2;
            plan.says = Some("not signed by the key of");
            let signer = Some(Key::Spare);
            responder_says(plan, false, OcspSpec { signer, ..fresh() });
        },
    ),
    (
        "ocsp_of_another_card",
        indeterminate("TRY_LATER"),
        "good, but of another issuer's certificate with the same number",
        "RFC 6960 §3.2",
        |plan| {
            plan.missing = 2;
            plan.says = Some("about another certificate");
            let odd = Oddities {
                wrong_key_hash: true,
                ..Oddities::default()
            };
            responder_says(plan, false, OcspSpec { odd, ..fresh() });
        },
    ),
    (
        "ocsp_responder_not_for_ocsp",
        indeterminate("TRY_LATER"),
        "signed by somebody to whom the CA delegated nothing",
        "RFC 6960 §4.2.2.2",
        |plan| {
            plan.missing = 2;
            plan.says = Some("not for OCSP signing");
            let delegate = Delegate {
                not_for_ocsp: true,
                ..Delegate::default()
            };
            responder_says(plan, false, delegated(delegate));
        },
    ),
    (
        "ocsp_responder_of_another_ca",
        indeterminate("TRY_LATER"),
        "the responder of another CA",
        "RFC 6960 §4.2.2.2",
        |plan| {
            plan.missing = 2;
            plan.says = Some("not issued by the CA in question");
            let delegate = Delegate {
                issuer: Some(Ca::Auth),
                ..Delegate::default()
            };
            responder_says(plan, false, delegated(delegate));
        },
    ),
    (
        "ocsp_responder_ended",
        indeterminate("TRY_LATER"),
        "the responder's certificate has ended, and nothing proves that the response is older",
        "CONTRACTS.md §3",
        |plan| {
            plan.missing = 2;
            plan.says = Some("vouches for nothing after");
            let delegate = Delegate {
                not_after: Some(NOW - Duration::minutes(5)),
                ..Delegate::default()
            };
            responder_says(plan, false, delegated(delegate));
        },
    ),
    (
        "issuer_not_at_hand",
        indeterminate("NO_CERTIFICATE_CHAIN_FOUND"),
        "the CA's certificate is nowhere at hand; the card says where it is",
        "RFC 5280 §4.2.2.1",
        |plan| {
            plan.missing = 1;
            let access = kit::x509::issuer_location("http://crl.example/ca/sign.der");
            plan.card.extra_extensions.push(access);
            let spec = plan.card.clone();
            plan.sign = Some(Box::new(move |hpki, content| {
                let mut card = hpki.card(spec.clone());
                card.chain.clear();
                let unstamped = kit::ContainerOptions {
                    stamp: None,
                    signing_time: None,
                };
                hpki.signature(&card, content, unstamped)
            }));
            plan.after = Box::new(|folder| {
                for name in ["test-sign-ca.der", "test-sign-ca-rollover.der"] {
                    fs::remove_file(folder.join("trust/intermediates").join(name)).unwrap();
                }
            });
        },
    ),
];

/// Said half an hour ago, after the stamp.
fn fresh() -> OcspSpec {
    OcspSpec::at(NOW - Duration::minutes(30))
}

fn revoked(at: time::OffsetDateTime) -> OcspSpec {
    OcspSpec {
        revoked: vec![Revoked::new(CardSpec::doctor().serial, at, CrlReason::KeyCompromise)],
        ..fresh()
    }
}

fn delegated(delegate: Delegate) -> OcspSpec {
    let odd = Oddities {
        delegate,
        ..Oddities::default()
    };
    OcspSpec { odd, ..fresh() }
}

/// The answer of the signing CA's responder is the evidence; `listed`: beside the CA's list.
fn responder_says(plan: &mut Plan, listed: bool, spec: OcspSpec) {
    supply(plan, listed, move |hpki| {
        hpki.ocsp(Ca::Sign, &ocsp_request(Ca::Sign, CardSpec::doctor().serial), &spec)
    });
}

fn supply(plan: &mut Plan, listed: bool, response: impl Fn(&TestHpki) -> Vec<u8> + 'static) {
    plan.card.with_ocsp = true;
    plan.after = Box::new(move |folder| {
        let evidence = folder.join("evidence");
        for list in ["sign.crl", "sign-rollover.crl"].iter().filter(|_| !listed) {
            fs::remove_file(evidence.join(list)).unwrap();
        }
        let hpki = TestHpki::new("http://crl.example", NOW);
        fs::write(evidence.join("answer.ors"), response(&hpki)).unwrap();
    });
}
