//! Archive time stamps inside a signature, of each kind: EN 319 122-1 §5.5, TS 101 733, RFC 5126 §6.4.1.

use std::fs;
use std::path::Path;

use formats::cades::with_evidence;
use kit::archive::ATS_HASH_INDEX;
use kit::{CardSpec, Inside, TestHpki};
use time::Duration;

use super::archives::{ARCHIVED_AT, DECIDES, LEVEL_LTA, STILL_GOOD, TOO_LATE, eleven_years_on, hpki, long_lived};
use super::{NOW, PASSED, Plan, Row, containers, hours, indeterminate};

const LETTER: &[u8] = b"letter";

/// The rows.
pub(super) const ROWS: &[Row] = &[
    (
        "ats_v3_valid",
        PASSED,
        "archive-time-stamp-v3 in a bare signature",
        "EN 319 122-1 §5.5.3",
        |plan| {
            bare(plan, |hpki, signature| hpki.archived_v3(signature, LETTER, &inside()));
            plan.policy = LEVEL_LTA;
        },
    ),
    (
        "ats_v3_hash_of_the_content_outlived",
        PASSED,
        "the content is named by a hash given up since, and the archive stamp proves that it is older",
        "CONTRACTS.md §3 Archive and proofs of existence",
        |plan| {
            plan.card = CardSpec::p384_doctor();
            bare(plan, |hpki, signature| hpki.archived_v3(signature, LETTER, &inside()));
            plan.policy = "[algorithms]\nrsa2048 = \"2040-12-31\"\nsha384 = \"2030-12-31\"";
            plan.says = Some(DECIDES);
        },
    ),
    (
        "bare_hash_of_the_content_outlived",
        indeterminate("CRYPTO_CONSTRAINTS_FAILURE"),
        "the content is named by a hash given up a day after it was signed, and nothing proves that it is as old",
        "CONTRACTS.md §3 Archive and proofs of existence",
        |plan| {
            plan.card = CardSpec::p384_doctor();
            plan.bare = Some(("letter", Some("letter")));
            plan.policy = "[algorithms]\nsha384 = \"2026-11-21\"";
            plan.now = NOW + Duration::days(3);
            plan.says = Some("names its content by sha384");
        },
    ),
    (
        "ats_v3_earlier_index",
        PASSED,
        "the same with the hash index of TS 101 733",
        "TS 101 733 V2.2.1 §6.4.2",
        |plan| {
            bare(plan, |hpki, signature| {
                let inside = Inside {
                    index: ATS_HASH_INDEX,
                    ..inside()
                };
                hpki.archived_v3(signature, LETTER, &inside)
            });
            plan.policy = LEVEL_LTA;
        },
    ),
    (
        "ats_v3_hash_index_short",
        TOO_LATE,
        "the hash index leaves out the signature's time stamp: nothing is proven of it",
        "EN 319 122-1 §5.5.2",
        |plan| {
            plan.missing = 1;
            bare(plan, |hpki, signature| {
                let inside = Inside {
                    leave_out: vec![formats::oid::SIGNATURE_TIME_STAMP],
                    ..inside()
                };
                hpki.archived_v3(signature, LETTER, &inside)
            });
            plan.says = Some("are not in the hash index");
        },
    ),
    (
        "ats_v3_over_other_content",
        TOO_LATE,
        "the archive stamp is over other content",
        "EN 319 122-1 §5.5.3",
        |plan| {
            plan.missing = 1;
            bare(plan, |hpki, signature| {
                hpki.archived_v3(signature, b"another letter", &inside())
            });
            plan.says = Some("of another signature, or of other parts");
        },
    ),
    (
        "ats_v2_valid",
        PASSED,
        "archive-time-stamp-v2 in a signature with its content inside",
        "TS 101 733 §6.4.1",
        |plan| {
            plan.sign = Some(Box::new(|hpki, content| {
                containers::attached(hpki, content, containers::sha256)
            }));
            bare(plan, |hpki, signature| {
                hpki.archived_v2(signature, LETTER, long_lived())
            });
            plan.policy = LEVEL_LTA;
        },
    ),
    (
        "ats_v2_over_content_outside",
        PASSED,
        "archive-time-stamp-v2 over the content itself, which lies outside",
        "RFC 5126 §6.4.1",
        |plan| {
            bare(plan, |hpki, signature| {
                hpki.archived_v2(signature, LETTER, long_lived())
            });
            plan.policy = LEVEL_LTA;
        },
    ),
    (
        "ats_v2_over_other_content",
        TOO_LATE,
        "archive-time-stamp-v2 over other content outside",
        "RFC 5126 §6.4.1",
        |plan| {
            plan.missing = 1;
            bare(plan, |hpki, signature| {
                hpki.archived_v2(signature, b"another letter", long_lived())
            });
            plan.says = Some("of another signature, or of other parts");
        },
    ),
    (
        "ats_v1_valid",
        PASSED,
        "an archive time stamp of the first kind in a signature with its content inside",
        "TS 101 733 V1.6.3 §6.4.1",
        |plan| {
            plan.sign = Some(Box::new(|hpki, content| {
                containers::attached(hpki, content, containers::sha256)
            }));
            bare(plan, |hpki, signature| hpki.archived_v1(signature, long_lived()));
            plan.policy = LEVEL_LTA;
        },
    ),
    (
        "ats_v1_over_content_outside",
        PASSED,
        "an archive time stamp of the first kind: content outside counts by the signer's digest of it",
        "TS 101 733 V1.6.3 §6.4.1",
        |plan| {
            bare(plan, |hpki, signature| hpki.archived_v1(signature, long_lived()));
            plan.policy = LEVEL_LTA;
        },
    ),
    (
        "ats_v1_over_less",
        TOO_LATE,
        "an archive time stamp of the first kind, made before the evidence was put in",
        "TS 101 733 V1.6.3 §6.4.1",
        |plan| {
            plan.missing = 1;
            bare(plan, |hpki, signature| {
                let archived = hpki.archived_v1(signature, long_lived());
                with_evidence(&archived, &[], &[hpki.lists(hours(-7), &[]).remove(0)], &[]).unwrap()
            });
            plan.says = Some("of another signature, or of other parts");
        },
    ),
    (
        "ats_v2_in_a_container",
        indeterminate("SIG_CONSTRAINTS_FAILURE"),
        "archive-time-stamp-v2 over the manifest itself, of which a container keeps digests",
        "RFC 5126 §6.4.1",
        |plan| {
            plan.policy = "minimum_level = \"B-LTA\"";
            let sign = |hpki: &TestHpki, manifest: &[u8]| {
                let options = kit::ContainerOptions::at(hours(-1));
                let signature = hpki.signature(&hpki.doctor(), manifest, options);
                let signature = with_evidence(&signature, &[], &hpki.lists(hours(-6), &[]), &[]).unwrap();
                hpki.archived_v2(&signature, manifest, long_lived())
            };
            plan.sign = Some(Box::new(sign));
            plan.stamp = None;
            plan.says = Some("which lies outside the signature and is not at hand");
        },
    ),
    (
        "ats_v3_in_a_container",
        indeterminate("SIG_CONSTRAINTS_FAILURE"),
        "archive-time-stamp-v3 does not cover the files behind the manifest",
        "EN 319 162-1 §4.4.5",
        |plan| {
            plan.policy = "minimum_level = \"B-LTA\"";
            let sign = |hpki: &TestHpki, manifest: &[u8]| {
                let options = kit::ContainerOptions::at(hours(-1));
                let signature = hpki.signature(&hpki.doctor(), manifest, options);
                let signature = with_evidence(&signature, &[], &hpki.lists(hours(-6), &[]), &[]).unwrap();
                hpki.archived_v3(&signature, manifest, &inside())
            };
            plan.sign = Some(Box::new(sign));
            plan.stamp = None;
            plan.says = Some("not the files behind it");
        },
    ),
];

fn inside() -> Inside {
    Inside {
        token: long_lived(),
        ..Inside::at(ARCHIVED_AT)
    }
}

/// A bare signature that carries its evidence and is archived by `archive`, eleven years on.
fn bare(plan: &mut Plan, archive: fn(&TestHpki, &[u8]) -> Vec<u8>) {
    plan.bare = Some(("letter", Some("letter")));
    plan.policy = STILL_GOOD;
    eleven_years_on(plan);
    plan.after = Box::new(move |folder: &Path| {
        let file = folder.join("signature.p7s");
        let signature = fs::read(&file).unwrap();
        let signature = with_evidence(&signature, &[], &hpki().lists(hours(-6), &[]), &[]).unwrap();
        fs::write(file, archive(&hpki(), &signature)).unwrap();
    });
}
