//! When it was signed: stamps and their authority.

use const_oid::db::rfc5280::{ID_KP_CODE_SIGNING, ID_KP_TIME_STAMPING};
use kit::{Ca, CrlReason, Ess, Key, Revoked, TokenSpec, TsaSpec};
use time::Duration;

use super::{NOW, PASSED, Plan, Row, failed, hours, indeterminate, token};

/// The rows.
pub(super) const ROWS: &[Row] = &[
    (
        "good_stamp_ess_v1",
        PASSED,
        "signing-certificate v1 is accepted in tokens",
        "CONTRACTS.md §1 Signature",
        |plan| {
            plan.stamp.as_mut().unwrap().ess = Ess::V1;
        },
    ),
    (
        "stamp_version_2",
        failed("FORMAT_FAILURE"),
        "a TSTInfo of version 2",
        "CONTRACTS.md §3",
        |plan| {
            plan.stamp.as_mut().unwrap().version = 2;
        },
    ),
    (
        "stamp_by_another_key",
        failed("SIG_CRYPTO_FAILURE"),
        "the token is not signed by its authority",
        "CONTRACTS.md §3",
        |plan| {
            plan.stamp.as_mut().unwrap().key = Key::Spare;
        },
    ),
    (
        "tsa_purpose_not_critical",
        failed("SIG_CONSTRAINTS_FAILURE"),
        "extKeyUsage is not critical",
        "RFC 3161 §2.3",
        |plan| {
            stamped_by(
                plan,
                TsaSpec {
                    critical: false,
                    ..TsaSpec::default()
                },
            );
        },
    ),
    (
        "tsa_second_purpose",
        failed("SIG_CONSTRAINTS_FAILURE"),
        "a second purpose",
        "RFC 3161 §2.3",
        |plan| {
            stamped_by(
                plan,
                TsaSpec {
                    purposes: vec![ID_KP_TIME_STAMPING, ID_KP_CODE_SIGNING],
                    ..TsaSpec::default()
                },
            );
        },
    ),
    (
        "tsa_without_purpose",
        failed("SIG_CONSTRAINTS_FAILURE"),
        "no extKeyUsage",
        "RFC 3161 §2.3",
        |plan| {
            stamped_by(
                plan,
                TsaSpec {
                    purposes: Vec::new(),
                    ..TsaSpec::default()
                },
            );
        },
    ),
    (
        "tsa_expired",
        indeterminate("OUT_OF_BOUNDS_NO_POE"),
        "the authority ended before the clock",
        "CONTRACTS.md §3 TSA",
        |plan| {
            stamped_by(
                plan,
                TsaSpec {
                    not_after: Some(NOW - Duration::minutes(10)),
                    ..TsaSpec::default()
                },
            );
            plan.says = Some("--at <intake time>");
        },
    ),
    (
        "tsa_expired_judged_at_intake",
        PASSED,
        "the same, judged when it was taken in",
        "CONTRACTS.md §3 TSA",
        |plan| {
            stamped_by(
                plan,
                TsaSpec {
                    not_after: Some(NOW - Duration::minutes(10)),
                    ..TsaSpec::default()
                },
            );
            plan.now = NOW - Duration::minutes(30);
        },
    ),
    (
        "tsa_not_yet_valid",
        indeterminate("OUT_OF_BOUNDS_NO_POE"),
        "genTime before the validity of the authority",
        "CONTRACTS.md §3 TSA",
        |plan| {
            stamped_by(
                plan,
                TsaSpec {
                    not_before: Some(NOW - Duration::minutes(10)),
                    ..TsaSpec::default()
                },
            );
        },
    ),
    (
        "tsa_revoked_key_compromise",
        indeterminate("REVOKED_NO_POE"),
        "revoked after the stamp for its key",
        "CONTRACTS.md §3 TSA",
        |plan| {
            revoked_tsa(plan, 30, CrlReason::KeyCompromise);
        },
    ),
    (
        "tsa_revoked_superseded_later",
        PASSED,
        "superseded after the stamp",
        "CONTRACTS.md §3 TSA",
        |plan| {
            revoked_tsa(plan, 30, CrlReason::Superseded);
        },
    ),
    (
        "tsa_revoked_superseded_before",
        indeterminate("REVOKED_NO_POE"),
        "superseded before the stamp",
        "CONTRACTS.md §3 TSA",
        |plan| {
            revoked_tsa(plan, 90, CrlReason::Superseded);
        },
    ),
    (
        "tsa_crl_stale",
        indeterminate("TRY_LATER"),
        "evidence on the authority is no longer current",
        "CONTRACTS.md §3 TSA",
        |plan| {
            plan.crl_at = hours(-96) - Duration::minutes(30);
            plan.missing = 1;
            plan.says = Some("--at <intake time>");
        },
    ),
    (
        "tsa_crl_stale_off",
        PASSED,
        "the same where the policy does not ask",
        "CONTRACTS.md §3",
        |plan| {
            plan.crl_at = hours(-96) - Duration::minutes(30);
            plan.policy = "tsa_revocation = \"off\"";
        },
    ),
    (
        "tsa_names_no_evidence",
        PASSED,
        "the authority names neither CRL nor OCSP",
        "CONTRACTS.md §3",
        |plan| {
            stamped_by(
                plan,
                TsaSpec {
                    with_crldp: false,
                    ..TsaSpec::default()
                },
            );
            plan.crl_at = hours(-96) - Duration::minutes(30);
        },
    ),
    (
        "tsa_names_no_evidence_required",
        indeterminate("TRY_LATER"),
        "the same where the policy asks",
        "CONTRACTS.md §3",
        |plan| {
            stamped_by(
                plan,
                TsaSpec {
                    with_crldp: false,
                    ..TsaSpec::default()
                },
            );
            plan.crl_at = hours(-96) - Duration::minutes(30);
            plan.policy = "tsa_revocation = \"required\"";
        },
    ),
    (
        "swapped_token",
        failed("HASH_FAILURE"),
        "a good token of another signature",
        "CONTRACTS.md §3",
        |plan| {
            plan.stamp = None;
            plan.tokens = Box::new(|hpki, _| {
                let other = hpki.signature(
                    &hpki.doctor(),
                    b"another letter",
                    kit::ContainerOptions {
                        stamp: None,
                        signing_time: None,
                    },
                );
                vec![token(hpki, &other, TokenSpec::at(hours(-1)))]
            });
        },
    ),
    (
        "broken_stamp_beside_good",
        PASSED,
        "an earlier token of another signature is a warning beside a good one",
        "CONTRACTS.md §3",
        |plan| {
            plan.tokens = Box::new(|hpki, _| {
                let other = hpki.signature(
                    &hpki.doctor(),
                    b"another letter",
                    kit::ContainerOptions {
                        stamp: None,
                        signing_time: None,
                    },
                );
                vec![token(hpki, &other, TokenSpec::at(hours(-2)))]
            });
            plan.says = Some("The time stamp is of another signature.");
        },
    ),
    (
        "broken_stamp_beside_one_without_evidence",
        failed("HASH_FAILURE"),
        "what the good one lacks is asked for all the same",
        "CONTRACTS.md §3",
        |plan| {
            plan.tokens = Box::new(|hpki, _| {
                let other = hpki.signature(
                    &hpki.doctor(),
                    b"another letter",
                    kit::ContainerOptions {
                        stamp: None,
                        signing_time: None,
                    },
                );
                vec![token(hpki, &other, TokenSpec::at(hours(-2)))]
            });
            plan.after = Box::new(|folder| std::fs::remove_file(folder.join("evidence/tsa.crl")).unwrap());
            plan.missing = 1;
        },
    ),
    (
        "no_stamp_passes",
        indeterminate("OUT_OF_BOUNDS_NO_POE"),
        "two broken stamps: the row of the earliest counts",
        "CONTRACTS.md §3",
        |plan| {
            stamped_by(
                plan,
                TsaSpec {
                    not_after: Some(NOW - Duration::minutes(10)),
                    ..TsaSpec::default()
                },
            );
            plan.tokens = Box::new(|hpki, _| {
                let other = hpki.signature(
                    &hpki.doctor(),
                    b"another letter",
                    kit::ContainerOptions {
                        stamp: None,
                        signing_time: None,
                    },
                );
                vec![token(hpki, &other, TokenSpec::at(hours(0)))]
            });
        },
    ),
    (
        "earliest_stamp_wins",
        PASSED,
        "revoked between two good stamps",
        "CONTRACTS.md §3",
        |plan| {
            plan.tokens = Box::new(|hpki, signature| vec![token(hpki, signature, TokenSpec::at(hours(-3)))]);
            plan.crl_at = hours(0);
            plan.revoked = vec![(
                Ca::Sign,
                Revoked::new(plan.card.serial, hours(-2), CrlReason::KeyCompromise),
            )];
        },
    ),
    (
        "stamp_at_the_skew",
        PASSED,
        "a stamp as far ahead as clock_skew allows",
        "CONTRACTS.md §3",
        |plan| {
            plan.stamp = Some(TokenSpec::at(NOW + Duration::minutes(5)));
        },
    ),
    (
        "stamp_beyond_a_smaller_skew",
        indeterminate("SIG_CONSTRAINTS_FAILURE"),
        "the same where the policy allows less",
        "CONTRACTS.md §3",
        |plan| {
            plan.stamp = Some(TokenSpec::at(NOW + Duration::minutes(5)));
            plan.policy = "clock_skew = \"1m\"";
        },
    ),
    (
        "relay_adds_keeps_a_broken_stamp",
        failed("HASH_FAILURE"),
        "relay-adds is for a missing stamp, not for a broken one",
        "CONTRACTS.md §3",
        |plan| {
            plan.stamp = None;
            plan.policy = "signer_timestamp = \"relay-adds\"";
            plan.tokens = Box::new(|hpki, _| {
                let other = hpki.signature(
                    &hpki.doctor(),
                    b"another letter",
                    kit::ContainerOptions {
                        stamp: None,
                        signing_time: None,
                    },
                );
                vec![token(hpki, &other, TokenSpec::at(hours(-1)))]
            });
        },
    ),
];

fn stamped_by(plan: &mut Plan, tsa: TsaSpec) {
    let certificate = plan.hpki.tsa_with(tsa);
    plan.stamp.as_mut().unwrap().certificate = Some(certificate);
}

fn revoked_tsa(plan: &mut Plan, minutes_ago: i64, reason: CrlReason) {
    let at = NOW - Duration::minutes(minutes_ago);
    plan.crl_at = NOW;
    plan.revoked = vec![(Ca::TsaRoot, Revoked::new(TsaSpec::default().serial, at, reason))];
}
