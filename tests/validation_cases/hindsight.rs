//! What is told afterwards: the worst of it decides, what is past its end still revokes, and an archive stands in for a broken stamp.

use std::fs;

use const_oid::db::rfc5280::ID_CE_DELTA_CRL_INDICATOR;
use kit::ocsp::{Delegate, Oddities, ocsp_request};
use kit::{Ca, CardSpec, CrlReason, CrlSpec, Key, OcspSpec, Revoked, TokenSpec, TsaSpec};
use time::Duration;

use super::archives::{archive, carrying, hpki, long_lived, untrusted};
use super::{NOW, PASSED, Plan, Row, failed, hours, indeterminate};

/// The rows.
pub(super) const ROWS: &[Row] = &[
    (
        "tsa_superseded_and_stolen",
        indeterminate("REVOKED_NO_POE"),
        "one list says the authority was superseded later, the next that its key was stolen before",
        "CONTRACTS.md §3 TSA",
        |plan| {
            superseded(plan, NOW - Duration::minutes(30));
            plan.crl_at = NOW;
            plan.after = Box::new(|folder| {
                let stolen = CrlSpec::at(NOW).revoking(TsaSpec::default().serial, hours(-2), CrlReason::KeyCompromise);
                fs::write(folder.join("evidence/zz-later.crl"), hpki().crl(Ca::TsaRoot, stolen)).unwrap();
            });
        },
    ),
    (
        "tsa_superseded_in_a_stale_list",
        indeterminate("TRY_LATER"),
        "a list no longer current says the authority was superseded after the stamp: it may have been for worse",
        "CONTRACTS.md §3 TSA",
        |plan| {
            plan.stamp = Some(TokenSpec::at(hours(-120)));
            superseded(plan, hours(-110));
            plan.crl_at = hours(-97);
            plan.missing = 1;
            plan.says = Some("for a worse reason is not known");
        },
    ),
    (
        "ocsp_responder_ended_revokes",
        failed("REVOKED"),
        "the responder's certificate has ended since: it can vouch for nobody any more, but still revoke",
        "CONTRACTS.md §3",
        |plan| {
            plan.card.with_ocsp = true;
            plan.after = Box::new(|folder| {
                let serial = CardSpec::doctor().serial;
                let delegate = Delegate {
                    not_after: Some(NOW - Duration::minutes(5)),
                    ..Delegate::default()
                };
                let spec = OcspSpec {
                    revoked: vec![Revoked::new(serial, hours(-8), CrlReason::KeyCompromise)],
                    odd: Oddities {
                        delegate,
                        ..Oddities::default()
                    },
                    ..OcspSpec::at(hours(-2))
                };
                let answer = hpki().ocsp(Ca::Sign, &ocsp_request(Ca::Sign, serial), &spec);
                fs::write(folder.join("evidence/answer.ors"), answer).unwrap();
            });
        },
    ),
    (
        "delta_of_the_certificate",
        indeterminate("TRY_LATER"),
        "the list ends before the stamp; the card says where the delta on it is",
        "RFC 5280 §4.2.1.15",
        |plan| {
            outdated(plan);
            plan.missing = 2;
        },
    ),
    (
        "delta_supplied",
        PASSED,
        "the same with the delta at hand",
        "RFC 5280 §5.2.4",
        |plan| {
            outdated(plan);
            let before = std::mem::replace(&mut plan.after, Box::new(|_| {}));
            plan.after = Box::new(move |folder| {
                before(folder);
                fs::write(folder.join("evidence/delta.crl"), numbered(hours(-6), 8, Some(7))).unwrap();
            });
        },
    ),
    (
        "two_stamps_without_evidence",
        indeterminate("TRY_LATER"),
        "evidence on either authority may be the one that comes",
        "CONTRACTS.md §3",
        |plan| {
            let lasting = TsaSpec {
                ca: Ca::LastingTsaRoot,
                key: Key::EcSpare,
                serial: 0x41,
                ..TsaSpec::default()
            };
            plan.stamp = Some(TokenSpec {
                key: Key::EcSpare,
                certificate: Some(hpki().tsa_with(lasting)),
                ..TokenSpec::at(hours(-1))
            });
            let second = TokenSpec::at(NOW - Duration::minutes(50));
            plan.tokens = Box::new(move |hpki, signature| vec![super::token(hpki, signature, second.clone())]);
            plan.after = Box::new(|folder| {
                fs::write(folder.join("trust/tsa/lasting.der"), hpki().ca(Ca::LastingTsaRoot)).unwrap();
                fs::remove_file(folder.join("evidence/tsa.crl")).unwrap();
            });
            plan.missing = 2;
        },
    ),
    (
        "broken_stamp_archived",
        PASSED,
        "the archive proves the signature, whose own stamp is of an authority nobody trusts",
        "EN 319 102-1 §5.6",
        |plan| {
            broken_and_archived(plan);
            plan.policy = "minimum_level = \"B-B\"";
            plan.says = Some("An archive time stamp proves that the signature existed");
        },
    ),
    (
        "broken_stamp_archived_below_level",
        indeterminate("NO_CERTIFICATE_CHAIN_FOUND"),
        "the same where a stamp is asked for: the broken one's own row counts",
        "CONTRACTS.md §3",
        broken_and_archived,
    ),
];

/// The authority of the signature's stamp is superseded at `at`, after the stamp.
fn superseded(plan: &mut Plan, at: time::OffsetDateTime) {
    let line = Revoked::new(TsaSpec::default().serial, at, CrlReason::Superseded);
    plan.revoked = vec![(Ca::TsaRoot, line)];
}

fn broken_and_archived(plan: &mut Plan) {
    plan.stamp = Some(TokenSpec {
        gen_time: hours(-1),
        ..untrusted()
    });
    plan.edit = Box::new(|container| archive(carrying(container), long_lived(), |xml| xml));
}

/// The signing CA's list ends before the stamp; the card names the place of the delta.
fn outdated(plan: &mut Plan) {
    let delta = kit::x509::delta_location("http://crl.example/delta.crl");
    plan.card.extra_extensions.push(delta);
    plan.after = Box::new(|folder| {
        let evidence = folder.join("evidence");
        fs::remove_file(evidence.join("sign-rollover.crl")).unwrap();
        fs::write(evidence.join("sign.crl"), numbered(hours(-100), 7, None)).unwrap();
    });
}

/// A list of the signing CA; `base`: a delta on the one of that number.
fn numbered(this_update: time::OffsetDateTime, number: u64, base: Option<u8>) -> Vec<u8> {
    let indicator = base.map(|base| kit::x509::extension(ID_CE_DELTA_CRL_INDICATOR, true, &[2, 1, base]));
    let spec = CrlSpec {
        number,
        extra_extensions: indicator.into_iter().collect(),
        ..CrlSpec::at(this_update)
    };
    hpki().crl(Ca::Sign, spec)
}
