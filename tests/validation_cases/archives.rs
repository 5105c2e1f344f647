//! What a file carries for later, and archive time stamps: good, spoilt, too late.

use kit::{Ca, CrlReason, Key, Revoked, TestHpki, TokenSpec, TsaSpec};
use time::{Duration, OffsetDateTime};

use super::{NOW, PASSED, Plan, Row, hours, indeterminate};

const YEAR: Duration = Duration::days(365);
pub(super) const ARCHIVED_AT: OffsetDateTime = NOW.saturating_sub(Duration::minutes(20));
/// Eleven years on the authority of the signature's stamp, the signer and the signing CA have ended.
const LATER: OffsetDateTime = NOW.saturating_add(Duration::days(11 * 365));
pub(super) const LEVEL_LTA: &str = "minimum_level = \"B-LTA\"\n[algorithms]\nrsa2048 = \"2040-12-31\"";
pub(super) const STILL_GOOD: &str = "[algorithms]\nrsa2048 = \"2040-12-31\"";
pub(super) const DECIDES: &str = "What its archive proves decides";
/// It also asks for a list older than the end of the stamp's authority: those of today need not name it any more.
pub(super) const TOO_LATE: (&str, Option<&str>) = indeterminate("OUT_OF_BOUNDS_NO_POE");

/// The rows.
pub(super) const ROWS: &[Row] = &[
    (
        "lt_valid",
        PASSED,
        "the signature carries all that proves it",
        "EN 319 122-1 §6.3",
        |plan| {
            plan.policy = "minimum_level = \"B-LT\"";
            plan.edit = Box::new(carrying);
        },
    ),
    (
        "lt_without_lists_of_the_authority",
        indeterminate("SIG_CONSTRAINTS_FAILURE"),
        "revocation of the stamp's authority must be fetched",
        "EN 319 122-1 §6.3",
        |plan| {
            plan.policy = "minimum_level = \"B-LT\"";
            plan.edit = Box::new(|container| {
                let mut lists = hpki().lists(hours(-6), &[]);
                lists.pop();
                hpki().with_lists(container, &lists)
            });
            plan.says = Some("level B-T; the policy asks for B-LT");
        },
    ),
    (
        "lt_11_years_on",
        TOO_LATE,
        "nothing proves that the stamp is older than the end of its authority",
        "EN 319 102-1 §5.6",
        |plan| {
            plan.missing = 1;
            plan.policy = STILL_GOOD;
            plan.edit = Box::new(carrying);
            eleven_years_on(plan);
        },
    ),
    (
        "lta_valid",
        PASSED,
        "an archive time stamp over everything",
        "EN 319 162-1 annex A.7",
        |plan| {
            plan.policy = "minimum_level = \"B-LTA\"";
            plan.edit = Box::new(|container| archive(carrying(container), long_lived(), |xml| xml));
            plan.says = Some("proves that 6 entries of the container existed");
        },
    ),
    (
        "lta_11_years_on",
        PASSED,
        "signer, signing CA and the stamp's authority have ended",
        "EN 319 102-1 §5.6",
        |plan| {
            plan.policy = LEVEL_LTA;
            plan.edit = Box::new(|container| archive(carrying(container), long_lived(), |xml| xml));
            eleven_years_on(plan);
            plan.says = Some(DECIDES);
        },
    ),
    (
        "lta_without_evidence_inside",
        indeterminate("TRY_LATER"),
        "an archive over a signature that carries no lists: those of today are the words of a CA that has ended",
        "EN 319 102-1 §5.6.2.2",
        |plan| {
            plan.policy = STILL_GOOD;
            plan.edit = Box::new(|container| archive(container, long_lived(), |xml| xml));
            eleven_years_on(plan);
            plan.missing = 3;
        },
    ),
    (
        "lta_renewed",
        PASSED,
        "the archive was renewed before its authority ended",
        "EN 319 162-1 §4.4.5",
        |plan| {
            plan.policy = LEVEL_LTA;
            plan.edit = Box::new(|container| renewed(container, NOW + YEAR * 7));
            eleven_years_on(plan);
            plan.says = Some(DECIDES);
        },
    ),
    (
        "lta_not_renewed_in_time",
        TOO_LATE,
        "the archive was renewed after its authority had ended",
        "EN 319 102-1 §5.6",
        |plan| {
            plan.missing = 1;
            plan.policy = STILL_GOOD;
            plan.edit = Box::new(|container| renewed(container, NOW + YEAR * 9));
            eleven_years_on(plan);
        },
    ),
    (
        "lta_older_manifest_swapped",
        TOO_LATE,
        "the older archive manifest is another one: the newer proves nothing either",
        "EN 319 162-1 annex A.7",
        |plan| {
            plan.missing = 1;
            plan.policy = STILL_GOOD;
            plan.edit = Box::new(|container| {
                let container = renewed(container, NOW + YEAR * 7);
                let token = b"timestamp-token\" URI=\"META-INF/timestamp001.tst\"";
                let other = b"timestamp-token\" URI=\"META-INF/timestamp002.tst\"";
                super::patched(container, token, other)
            });
            eleven_years_on(plan);
        },
    ),
    (
        "lta_file_not_covered",
        indeterminate("SIG_CONSTRAINTS_FAILURE"),
        "the archive manifest leaves out a file",
        "EN 319 162-1 annex A.7",
        |plan| {
            plan.policy = "minimum_level = \"B-LTA\"";
            plan.edit = Box::new(|container| {
                archive(carrying(container), long_lived(), |xml| {
                    without(xml, "letter/letter.pdf")
                })
            });
            plan.says = Some("level B-LT; the policy asks for B-LTA");
        },
    ),
    (
        "lta_signature_not_covered",
        TOO_LATE,
        "the archive manifest leaves out the signature",
        "EN 319 162-1 annex A.7",
        |plan| {
            plan.missing = 1;
            plan.policy = STILL_GOOD;
            plan.edit = Box::new(|container| {
                archive(carrying(container), long_lived(), |xml| {
                    without(xml, "META-INF/signature001.p7s")
                })
            });
            eleven_years_on(plan);
        },
    ),
    (
        "lta_token_of_other_manifest",
        TOO_LATE,
        "the archive's token is of another archive manifest",
        "EN 319 162-1 annex A.7",
        |plan| {
            plan.missing = 1;
            plan.policy = STILL_GOOD;
            plan.edit = Box::new(|container| {
                let container = archive(carrying(container), long_lived(), |xml| xml);
                super::patched(container, b"timestamp-token\" URI", b"timestamp-tokeN\" URI")
            });
            eleven_years_on(plan);
            plan.says = Some("of another archive manifest");
        },
    ),
    (
        "lta_reference_does_not_match",
        TOO_LATE,
        "the archive manifest refers to another signature",
        "EN 319 162-1 annex A.7",
        |plan| {
            plan.missing = 1;
            plan.policy = STILL_GOOD;
            plan.edit = Box::new(|container| {
                let archived = archive(carrying(container), long_lived(), |xml| xml);
                // One more list: evidence is not signed, but it is archived.
                hpki().with_lists(archived, &[hpki().lists(hours(-7), &[]).remove(0)])
            });
            eleven_years_on(plan);
            plan.says = Some("is not what META-INF/ASiCArchiveManifest.xml refers to");
        },
    ),
    (
        "lta_tsa_untrusted",
        TOO_LATE,
        "the archive's authority is none of ours",
        "CONTRACTS.md §3 Archive",
        |plan| {
            plan.missing = 1;
            plan.policy = STILL_GOOD;
            plan.edit = Box::new(|container| archive(carrying(container), untrusted(), |xml| xml));
            eleven_years_on(plan);
            plan.says = Some("proves nothing: NO_CERTIFICATE_CHAIN_FOUND");
        },
    ),
    (
        "lta_tsa_untrusted_and_not_needed",
        PASSED,
        "the same while nothing has ended: a warning",
        "CONTRACTS.md §3 Archive",
        |plan| {
            plan.edit = Box::new(|container| archive(carrying(container), untrusted(), |xml| xml));
            plan.says = Some("proves nothing: NO_CERTIFICATE_CHAIN_FOUND");
        },
    ),
    (
        "lta_of_the_future",
        TOO_LATE,
        "an archive stamp later than now",
        "CONTRACTS.md §3 Archive",
        |plan| {
            plan.missing = 1;
            plan.policy = STILL_GOOD;
            plan.edit = Box::new(|container| {
                let mut token = long_lived();
                token.gen_time = LATER + Duration::hours(1);
                archive(carrying(container), token, |xml| xml)
            });
            eleven_years_on(plan);
        },
    ),
    (
        "tsa_key_stolen_after_the_archive",
        PASSED,
        "the key of the stamp's authority was stolen after the stamp was archived",
        "EN 319 102-1 §5.6.2.2",
        |plan| {
            plan.edit = Box::new(|container| archive(carrying(container), long_lived(), |xml| xml));
            stolen(plan, ARCHIVED_AT + Duration::minutes(5));
            plan.says = Some(DECIDES);
        },
    ),
    (
        "tsa_key_stolen_before_the_archive",
        indeterminate("REVOKED_NO_POE"),
        "the key of the stamp's authority was stolen before the stamp was archived",
        "EN 319 102-1 §5.6.2.2",
        |plan| {
            plan.edit = Box::new(|container| archive(carrying(container), long_lived(), |xml| xml));
            stolen(plan, ARCHIVED_AT - Duration::minutes(5));
        },
    ),
    (
        "ca_key_stolen_after_the_archive",
        PASSED,
        "the signing CA's key was stolen after its lists were archived",
        "EN 319 102-1 §5.6.2.2",
        |plan| {
            plan.edit = Box::new(|container| archive(carrying(container), long_lived(), |xml| xml));
            ca_stolen(plan);
            plan.says = Some("after the signature");
        },
    ),
    (
        "ca_key_stolen_without_archive",
        indeterminate("TRY_LATER"),
        "the same without an archive: whoever has the key may have made the lists",
        "EN 319 102-1 §5.6.2.2",
        |plan| {
            ca_stolen(plan);
            plan.missing = 1;
            plan.says = Some("vouches for nothing after");
        },
    ),
    (
        "weak_algorithm_covered_before_its_end",
        PASSED,
        "the stamp's algorithm was given up after the stamp was archived",
        "EN 319 102-1 §5.6.2.2",
        |plan| {
            weak(plan);
            plan.edit = Box::new(|container| archive(carrying(container), long_lived(), |xml| xml));
            plan.says = Some(DECIDES);
        },
    ),
    (
        "weak_algorithm_without_archive",
        indeterminate("CRYPTO_CONSTRAINTS_FAILURE"),
        "the same without an archive",
        "CONTRACTS.md §3 Algorithms",
        weak,
    ),
];

pub(super) fn hpki() -> TestHpki {
    TestHpki::new("http://crl.example", NOW)
}

/// An authority that lives twelve years.
pub(super) fn long_lived() -> TokenSpec {
    let tsa = TsaSpec {
        serial: 0x31,
        not_after: Some(NOW + Duration::days(4_300)),
        ..TsaSpec::default()
    };
    TokenSpec {
        certificate: Some(hpki().tsa_with(tsa)),
        ..TokenSpec::at(ARCHIVED_AT)
    }
}

/// An authority under the signers' root, which is no anchor of time stamps.
pub(super) fn untrusted() -> TokenSpec {
    let tsa = TsaSpec {
        ca: Ca::Root,
        serial: 0x32,
        not_after: Some(NOW + Duration::days(4_300)),
        ..TsaSpec::default()
    };
    TokenSpec {
        certificate: Some(hpki().tsa_with(tsa)),
        ..TokenSpec::at(ARCHIVED_AT)
    }
}

pub(super) fn carrying(container: Vec<u8>) -> Vec<u8> {
    hpki().with_lists(container, &hpki().lists(hours(-6), &[]))
}

pub(super) fn archive(container: Vec<u8>, token: TokenSpec, change: fn(Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    hpki().archived(container, &[], token, change)
}

/// Archived today by an authority of eight years, and again at `time` by one that lives longer.
fn renewed(container: Vec<u8>, time: OffsetDateTime) -> Vec<u8> {
    let once = archive(carrying(container), TokenSpec::at(ARCHIVED_AT), |xml| xml);
    let again = TokenSpec {
        gen_time: time,
        ..long_lived()
    };
    hpki().archived(once, &hpki().lists(time - Duration::hours(6), &[]), again, |xml| xml)
}

/// The manifest without its reference to `path`.
fn without(xml: Vec<u8>, path: &str) -> Vec<u8> {
    let text = String::from_utf8(xml).unwrap();
    let kept: Vec<&str> = text
        .split_inclusive('\n')
        .filter(|line| !line.contains(&format!("DataObjectReference URI=\"{path}\"")))
        .collect();
    assert!(kept.len() + 1 == text.split_inclusive('\n').count(), "{text}");
    kept.concat().into_bytes()
}

pub(super) fn eleven_years_on(plan: &mut Plan) {
    plan.now = LATER;
    plan.crl_at = LATER - Duration::hours(6);
}

/// A list of today revokes the authority of the signature's stamp for its key since `at`.
fn stolen(plan: &mut Plan, at: OffsetDateTime) {
    plan.crl_at = NOW;
    plan.revoked = vec![(
        Ca::TsaRoot,
        Revoked::new(TsaSpec::default().serial, at, CrlReason::KeyCompromise),
    )];
}

/// A list of today revokes the signing CA for its key, since a time after the archive.
fn ca_stolen(plan: &mut Plan) {
    plan.crl_at = NOW;
    let at = ARCHIVED_AT + Duration::minutes(5);
    plan.revoked = vec![(Ca::Root, Revoked::new(Ca::Sign.serial(), at, CrlReason::KeyCompromise))];
}

/// The signature's stamp is by an authority with a P-256 key, and that is given up a day later.
fn weak(plan: &mut Plan) {
    let tsa = TsaSpec {
        key: Key::EcSpare,
        ..TsaSpec::default()
    };
    plan.stamp = Some(TokenSpec {
        key: Key::EcSpare,
        certificate: Some(hpki().tsa_with(tsa)),
        ..TokenSpec::at(hours(-1))
    });
    plan.policy = "[algorithms]\np256 = \"2026-11-21\"";
    plan.now = NOW + Duration::days(3);
}
