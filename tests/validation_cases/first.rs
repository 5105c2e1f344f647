//! One thing wrong at a time, through every rule that decides.

use std::fs;

use kit::card::{SIGNING_POLICY, TEST_SIGNING_POLICY};
use kit::{Ca, CardSpec, CrlReason, CrlSpec, Revoked, RoleShape, TestHpki, TokenSpec};
use time::Duration;

use super::{ANY_POLICY, NOW, PASSED, Row, failed, hours, indeterminate, patched, signature_value};

/// The first forty.
pub(super) const ROWS: &[Row] = &[
    (
        "good_doctor",
        PASSED,
        "a doctor signs a referral, stamped, all evidence current",
        "CONTRACTS.md §3",
        |_| {},
    ),
    (
        "good_dentist",
        PASSED,
        "a dentist may sign a referral",
        "CONTRACTS.md §2",
        |plan| plan.card = CardSpec::dentist(),
    ),
    (
        "good_rsa3072_card",
        PASSED,
        "a card with an RSA-3072 key",
        "CONTRACTS.md §3 Algorithms",
        |plan| {
            plan.card = CardSpec::rsa3072_doctor();
        },
    ),
    (
        "pharmacist_on_referral",
        failed("SIG_CONSTRAINTS_FAILURE"),
        "a pharmacist signs a referral",
        "CONTRACTS.md §2",
        |plan| {
            plan.card = CardSpec::pharmacist();
        },
    ),
    (
        "authentication_certificate",
        failed("SIG_CONSTRAINTS_FAILURE"),
        "the card's other key",
        "CONTRACTS.md §3 Signer",
        |plan| {
            plan.card = CardSpec::auth();
        },
    ),
    (
        "no_hc_role",
        failed("SIG_CONSTRAINTS_FAILURE"),
        "a clerk's card states no qualification",
        "CONTRACTS.md §2",
        |plan| {
            plan.card = CardSpec::no_role();
        },
    ),
    (
        "unknown_role",
        failed("SIG_CONSTRAINTS_FAILURE"),
        "a role outside the table",
        "CONTRACTS.md §2",
        |plan| {
            plan.card.roles = vec!["Astronaut".into()];
        },
    ),
    (
        "manager_role_alone",
        failed("SIG_CONSTRAINTS_FAILURE"),
        "a manager is no profession",
        "CONTRACTS.md §2",
        |plan| {
            plan.card.roles = vec!["Director of Hospital".into()];
        },
    ),
    (
        "wrong_coding_scheme",
        failed("SIG_CONSTRAINTS_FAILURE"),
        "hcRole under another scheme is no role",
        "ISO 17090-2",
        |plan| {
            let scheme = const_oid::ObjectIdentifier::new_unwrap("1.2.392.100495.1.6.1.2");
            plan.card.role_extension = Some(
                RoleShape {
                    scheme,
                    ..RoleShape::of(&["Medical Doctor"])
                }
                .encode(),
            );
        },
    ),
    (
        "coded_data_as_sequence",
        failed("SIG_CONSTRAINTS_FAILURE"),
        "CodedData must be a SET",
        "ISO 17090-2",
        |plan| {
            let shape = RoleShape {
                coded_data_as_sequence: true,
                ..RoleShape::of(&["Medical Doctor"])
            };
            plan.card.role_extension = Some(shape.encode());
        },
    ),
    (
        "wrong_policy",
        failed("SIG_CONSTRAINTS_FAILURE"),
        "a test card where only production is listed",
        "CONTRACTS.md §3 Signer",
        |plan| {
            plan.card.policies = vec![TEST_SIGNING_POLICY];
        },
    ),
    (
        "test_policy_listed",
        PASSED,
        "the same where the policy lists it",
        "CONTRACTS.md §3 Signer",
        |plan| {
            plan.card.policies = vec![TEST_SIGNING_POLICY];
            plan.policy = "signing_policies = [\"1.2.392.100495.1.5.1.1.3.1\", \"1.2.392.100495.1.5.1.1.0.1\"]";
        },
    ),
    (
        "any_policy_alone",
        failed("SIG_CONSTRAINTS_FAILURE"),
        "anyPolicy in the end entity is none",
        "CONTRACTS.md §3 Signer",
        |plan| {
            plan.card.policies = vec![ANY_POLICY];
        },
    ),
    (
        "any_policy_beside",
        PASSED,
        "a signing policy beside anyPolicy",
        "CONTRACTS.md §3 Signer",
        |plan| {
            plan.card.policies = vec![SIGNING_POLICY, ANY_POLICY];
        },
    ),
    (
        "revoked_before_stamp",
        failed("REVOKED"),
        "revoked an hour before the stamp",
        "CONTRACTS.md §3 Signer revocation",
        |plan| {
            plan.revoked = vec![(
                Ca::Sign,
                Revoked::new(plan.card.serial, hours(-8), CrlReason::KeyCompromise),
            )];
        },
    ),
    (
        "revoked_after_stamp",
        PASSED,
        "revoked after the stamp: still good",
        "CONTRACTS.md §3 Signer revocation",
        |plan| {
            plan.crl_at = hours(0);
            plan.revoked = vec![(
                Ca::Sign,
                Revoked::new(plan.card.serial, hours(0), CrlReason::KeyCompromise),
            )];
        },
    ),
    (
        "revoked_without_stamp",
        indeterminate("REVOKED_NO_POE"),
        "revoked, and nothing proves when it was signed",
        "EN 319 102-1 §5.3",
        |plan| {
            plan.stamp = None;
            plan.policy = "minimum_level = \"B-B\"";
            plan.revoked = vec![(
                Ca::Sign,
                Revoked::new(plan.card.serial, hours(-8), CrlReason::Superseded),
            )];
        },
    ),
    (
        "ca_revoked",
        indeterminate("REVOKED_CA_NO_POE"),
        "the signing CA is on the root's list",
        "CONTRACTS.md §3",
        |plan| {
            plan.revoked = vec![(
                Ca::Root,
                Revoked::new(Ca::Sign.serial(), hours(-8), CrlReason::CaCompromise),
            )];
        },
    ),
    (
        "crl_stale",
        indeterminate("TRY_LATER"),
        "the lists ended before the stamp",
        "CONTRACTS.md §3 Signer revocation",
        |plan| {
            plan.crl_at = hours(-120);
            plan.missing = 3;
        },
    ),
    (
        "crl_older_than_stamp_strict",
        indeterminate("TRY_LATER"),
        "strict wants a list about the signer that is newer than the stamp",
        "CONTRACTS.md §3 Signer revocation",
        |plan| {
            plan.policy = "freshness = \"strict\"";
            plan.missing = 1;
        },
    ),
    (
        "crl_missing",
        indeterminate("TRY_LATER"),
        "no evidence at all",
        "CONTRACTS.md §3",
        |plan| {
            plan.after = Box::new(|folder| fs::remove_dir_all(folder.join("evidence")).unwrap());
            plan.missing = 3;
        },
    ),
    (
        "crl_of_the_future",
        indeterminate("TRY_LATER"),
        "lists dated after the clock and its skew",
        "CONTRACTS.md §3",
        |plan| {
            plan.crl_at = NOW + Duration::minutes(6);
            plan.missing = 3;
        },
    ),
    (
        "crl_forged",
        indeterminate("TRY_LATER"),
        "a list by another key says nothing",
        "RFC 5280 §6.3",
        |plan| {
            plan.after = Box::new(|folder| {
                let hpki = TestHpki::new("http://crl.example", NOW);
                let forged = CrlSpec {
                    signer: Some(kit::Key::Spare),
                    ..CrlSpec::at(hours(-6))
                };
                let name = Ca::Sign.crl_path().rsplit('/').next().unwrap();
                // Its successor by name, after a change of key, speaks for it too.
                fs::remove_file(folder.join("evidence/sign-rollover.crl")).unwrap();
                fs::write(folder.join("evidence").join(name), hpki.crl(Ca::Sign, forged)).unwrap();
            });
            plan.missing = 1;
        },
    ),
    (
        "unreadable_evidence",
        PASSED,
        "a file that is no evidence is a warning",
        "CONTRACTS.md §3",
        |plan| {
            plan.after = Box::new(|folder| fs::write(folder.join("evidence/readme.txt"), "hello").unwrap());
        },
    ),
    (
        "signer_expired",
        failed("EXPIRED"),
        "stamped after the card's end",
        "CONTRACTS.md §3",
        |plan| {
            plan.card.not_after = Some(hours(-24));
        },
    ),
    (
        "signer_expired_stamp_unconfirmed",
        indeterminate("OUT_OF_BOUNDS_NO_POE"),
        "the same while nothing is known of the stamp's authority: its list makes it EXPIRED, the signer's might make it REVOKED, and so both are asked for",
        "CONTRACTS.md §3",
        |plan| {
            plan.card.not_after = Some(hours(-24));
            plan.after = Box::new(|folder| fs::remove_file(folder.join("evidence/tsa.crl")).unwrap());
            plan.missing = 2;
        },
    ),
    (
        "revoked_stamp_unconfirmed",
        indeterminate("REVOKED_NO_POE"),
        "revoked before the stamp, of whose authority nothing is known: its list makes it REVOKED, and so is asked for",
        "CONTRACTS.md §3",
        |plan| {
            plan.revoked = vec![(
                Ca::Sign,
                Revoked::new(plan.card.serial, hours(-8), CrlReason::KeyCompromise),
            )];
            plan.after = Box::new(|folder| fs::remove_file(folder.join("evidence/tsa.crl")).unwrap());
            plan.missing = 1;
        },
    ),
    (
        "signer_not_yet_valid",
        failed("NOT_YET_VALID"),
        "stamped before the card's begin",
        "CONTRACTS.md §3",
        |plan| {
            plan.card.not_before = Some(hours(24));
        },
    ),
    (
        "signer_expired_without_stamp",
        indeterminate("OUT_OF_BOUNDS_NO_POE"),
        "expired, and no stamp",
        "CONTRACTS.md §3",
        |plan| {
            plan.card.not_after = Some(hours(-24));
            plan.crl_at = hours(-30);
            plan.stamp = None;
            plan.policy = "minimum_level = \"B-B\"";
        },
    ),
    (
        "no_stamp",
        indeterminate("SIG_CONSTRAINTS_FAILURE"),
        "B-B where B-T is asked for",
        "CONTRACTS.md §3",
        |plan| plan.stamp = None,
    ),
    (
        "no_stamp_relay_adds",
        indeterminate("TRY_LATER"),
        "the relay adds the stamp",
        "CONTRACTS.md §3",
        |plan| {
            plan.stamp = None;
            plan.policy = "signer_timestamp = \"relay-adds\"";
            plan.missing = 1;
        },
    ),
    (
        "good_without_stamp",
        PASSED,
        "B-B where B-B is enough",
        "CONTRACTS.md §3",
        |plan| {
            plan.stamp = None;
            plan.policy = "minimum_level = \"B-B\"";
        },
    ),
    (
        "stamp_of_the_future",
        indeterminate("SIG_CONSTRAINTS_FAILURE"),
        "a stamp later than the clock is not usable",
        "CONTRACTS.md §3",
        |plan| {
            plan.stamp = Some(TokenSpec::at(NOW + Duration::minutes(6)));
        },
    ),
    (
        "tsa_policy_not_listed",
        failed("SIG_CONSTRAINTS_FAILURE"),
        "tsa_policies names another",
        "CONTRACTS.md §3",
        |plan| {
            plan.policy = "tsa_policies = [\"1.2.3.4\"]";
        },
    ),
    (
        "tsa_not_anchored",
        indeterminate("NO_CERTIFICATE_CHAIN_FOUND"),
        "nobody vouches for the stamp",
        "CONTRACTS.md §3 Anchors",
        |plan| {
            plan.after = Box::new(|folder| fs::remove_dir_all(folder.join("trust/tsa")).unwrap());
        },
    ),
    (
        "tsa_in_hpki_anchors_only",
        indeterminate("NO_CERTIFICATE_CHAIN_FOUND"),
        "anchors are never exchanged",
        "CONTRACTS.md §3 Anchors",
        |plan| {
            plan.after = Box::new(|folder| {
                let trust = folder.join("trust");
                fs::rename(
                    trust.join("tsa/test-tsa-root.pem"),
                    trust.join("hpki/test-tsa-root.pem"),
                )
                .unwrap();
            });
        },
    ),
    (
        "signer_not_anchored",
        indeterminate("NO_CERTIFICATE_CHAIN_FOUND"),
        "nobody vouches for the signer",
        "CONTRACTS.md §3 Anchors",
        |plan| {
            plan.after = Box::new(|folder| fs::remove_dir_all(folder.join("trust/hpki")).unwrap());
        },
    ),
    (
        "algorithm_outlived",
        indeterminate("CRYPTO_CONSTRAINTS_FAILURE"),
        "RSA-2048 after its last acceptable date",
        "CONTRACTS.md §3",
        |plan| {
            plan.policy = "[algorithms]\nrsa2048 = \"2026-11-18\"";
            // Lists by such keys say nothing any more either.
            plan.missing = 3;
        },
    ),
    (
        "flipped_file_byte",
        failed("HASH_FAILURE"),
        "one byte of the letter, CRC mended",
        "CONTRACTS.md §3",
        |plan| {
            plan.edit = Box::new(|container| patched(container, b"%PDF-1.", b"%PDF-9."));
        },
    ),
    (
        "flipped_manifest_byte",
        failed("FORMAT_FAILURE"),
        "a reference to a file that is not there",
        "CONTRACTS.md §1",
        |plan| {
            plan.edit =
                Box::new(|container| patched(container, b"URI=\"letter/letter.pdf", b"URI=\"letter/lettex.pdf"));
        },
    ),
    (
        "flipped_signature_byte",
        failed("SIG_CRYPTO_FAILURE"),
        "one byte of the signature's value",
        "CONTRACTS.md §3",
        |plan| {
            plan.edit = Box::new(|container| {
                let value = signature_value(&container);
                let mut other = value.clone();
                other[100] ^= 1;
                patched(container, &value, &other)
            });
            plan.stamp = None;
            plan.policy = "minimum_level = \"B-B\"";
        },
    ),
    (
        "stamp_of_another_signature",
        failed("HASH_FAILURE"),
        "the value changed under its stamp",
        "CONTRACTS.md §3",
        |plan| {
            plan.edit = Box::new(|container| {
                let value = signature_value(&container);
                let mut other = value.clone();
                other[100] ^= 1;
                patched(container, &value, &other)
            });
        },
    ),
];
