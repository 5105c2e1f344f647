//! What was known of revocation, and when.

use std::fs;

use const_oid::ObjectIdentifier;
use kit::revocation_lists::invalidity_date;
use kit::{Ca, CrlReason, CrlSpec, Revoked};
use time::{Duration, OffsetDateTime};

use super::{NOW, PASSED, Plan, Row, failed, hours, indeterminate};

/// The rows.
pub(super) const ROWS: &[Row] = &[
    (
        "hold",
        failed("REVOKED"),
        "on hold before the stamp",
        "CONTRACTS.md §3 Signer revocation",
        |plan| {
            plan.revoked = vec![(
                Ca::Sign,
                Revoked::new(plan.card.serial, hours(-8), CrlReason::CertificateHold),
            )];
        },
    ),
    (
        "hold_lifted",
        PASSED,
        "a newer list lifts the hold",
        "CONTRACTS.md §3 Signer revocation",
        |plan| {
            second_list(plan, hours(-30), CrlReason::CertificateHold);
        },
    ),
    (
        "hold_in_newer_list",
        failed("REVOKED"),
        "an older list does not lift a hold",
        "CONTRACTS.md §3 Signer revocation",
        |plan| {
            second_list(plan, hours(-3), CrlReason::CertificateHold);
        },
    ),
    (
        "revoked_in_older_list",
        failed("REVOKED"),
        "a newer list that is silent does not undo a revocation",
        "CONTRACTS.md §3 Signer revocation",
        |plan| {
            second_list(plan, hours(-30), CrlReason::Superseded);
        },
    ),
    (
        "revoked_in_stale_list",
        failed("REVOKED"),
        "revoked, in a list long out of date",
        "CONTRACTS.md §3 Signer revocation",
        |plan| {
            second_list(plan, hours(-24 * 30), CrlReason::CessationOfOperation);
        },
    ),
    (
        "revoked_at_the_stamp",
        failed("REVOKED"),
        "revocationDate is best signature time",
        "CONTRACTS.md §3 Signer revocation",
        |plan| {
            plan.crl_at = NOW;
            plan.revoked = vec![(
                Ca::Sign,
                Revoked::new(plan.card.serial, hours(-1), CrlReason::KeyCompromise),
            )];
        },
    ),
    (
        "revoked_with_invalidity_date",
        PASSED,
        "invalidityDate before the stamp, revocationDate after it",
        "CONTRACTS.md §3 Signer revocation",
        |plan| {
            plan.crl_at = NOW;
            let mut line = Revoked::new(plan.card.serial, NOW, CrlReason::KeyCompromise);
            line.extensions = vec![invalidity_date(hours(-48))];
            plan.revoked = vec![(Ca::Sign, line)];
            plan.says = Some("invalidityDate 2026-11-18T03:00:00Z");
        },
    ),
    (
        "revoked_in_future_list",
        PASSED,
        "a list of the future says nothing yet",
        "CONTRACTS.md §3",
        |plan| {
            second_list(plan, NOW + Duration::minutes(6), CrlReason::KeyCompromise);
        },
    ),
    (
        "list_ends_at_the_stamp",
        PASSED,
        "service: nextUpdate is best signature time",
        "CONTRACTS.md §3 Signer revocation",
        |plan| {
            plan.crl_at = hours(-97);
            plan.policy = "tsa_revocation = \"off\"";
        },
    ),
    (
        "list_ends_before_the_stamp",
        indeterminate("TRY_LATER"),
        "service: a second less",
        "CONTRACTS.md §3 Signer revocation",
        |plan| {
            plan.crl_at = hours(-97) - Duration::SECOND;
            plan.policy = "tsa_revocation = \"off\"";
            plan.missing = 2;
        },
    ),
    (
        "list_of_the_stamp_strict",
        PASSED,
        "strict: thisUpdate is best signature time",
        "CONTRACTS.md §3 Signer revocation",
        |plan| {
            plan.crl_at = hours(-1);
            plan.policy = "freshness = \"strict\"";
        },
    ),
    (
        "list_before_the_stamp_strict",
        indeterminate("TRY_LATER"),
        "strict: a second less",
        "CONTRACTS.md §3 Signer revocation",
        |plan| {
            plan.crl_at = hours(-1) - Duration::SECOND;
            plan.policy = "freshness = \"strict\"";
            plan.missing = 1;
        },
    ),
    (
        "list_after_the_certificate",
        indeterminate("TRY_LATER"),
        "a list newer than the end of the certificate proves nothing",
        "CONTRACTS.md §3 Signer revocation",
        |plan| {
            plan.card.not_after = Some(NOW - Duration::minutes(30));
            plan.crl_at = NOW - Duration::minutes(15);
            plan.missing = 1;
        },
    ),
    (
        "list_keeps_expired",
        PASSED,
        "the same list with expiredCertsOnCRL",
        "CONTRACTS.md §3 Signer revocation",
        |plan| {
            plan.card.not_after = Some(NOW - Duration::minutes(30));
            plan.crl_at = NOW - Duration::minutes(15);
            let keeping = kit::x509::extension(
                ObjectIdentifier::new_unwrap("2.5.29.60"),
                false,
                b"\x18\x0f20200101000000Z",
            );
            let list = plan.hpki.crl(
                Ca::Sign,
                CrlSpec {
                    extra_extensions: vec![keeping],
                    ..CrlSpec::at(plan.crl_at)
                },
            );
            plan.after = Box::new(move |folder| fs::write(folder.join("evidence/sign.crl"), &list).unwrap());
        },
    ),
    (
        "list_with_unknown_critical_extension",
        indeterminate("TRY_LATER"),
        "a list that is not understood says nothing",
        "RFC 5280 §5.2",
        |plan| {
            let odd = kit::x509::extension(ObjectIdentifier::new_unwrap("1.2.3.4"), true, &[5, 0]);
            let list = plan.hpki.crl(
                Ca::Sign,
                CrlSpec {
                    extra_extensions: vec![odd],
                    ..CrlSpec::at(plan.crl_at)
                },
            );
            plan.after = Box::new(move |folder| {
                fs::remove_file(folder.join("evidence/sign-rollover.crl")).unwrap();
                fs::write(folder.join("evidence/sign.crl"), &list).unwrap();
            });
            plan.missing = 1;
        },
    ),
    (
        "unanchored_signer_asks_nothing",
        indeterminate("NO_CERTIFICATE_CHAIN_FOUND"),
        "no address is taken from a certificate without a path",
        "CONTRACTS.md §3",
        |plan| {
            plan.card.issuer_key = Some(kit::Key::Spare);
            plan.after = Box::new(|folder| fs::remove_dir_all(folder.join("evidence")).unwrap());
        },
    ),
];

/// One more list of the signing CA, of `at`, where the signer is revoked for `reason`. (CRLs of other evidence are of six hours ago.)
fn second_list(plan: &mut Plan, at: OffsetDateTime, reason: CrlReason) {
    let list = plan.hpki.crl(
        Ca::Sign,
        CrlSpec::at(at).revoking(plan.card.serial, at.min(hours(-2)), reason),
    );
    plan.after = Box::new(move |folder| fs::write(folder.join("evidence/second.crl"), &list).unwrap());
}
