//! NIST PKITS: `trust_store::chain` must agree with every verdict but those listed with a reason, and never accept too much.
//! `certval` must take every path we take, but for those listed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::path::{Path, PathBuf};

use serde::Deserialize;
use time::OffsetDateTime;
use time::macros::datetime;
use trust_store::Certificate;
use trust_store::anchors::{AnchorSet, TrustAnchor};
use trust_store::chain::{ChainOptions, chain};
use trust_store::path::{CertificatePool, PathInputs, build_all};
use trust_store::revocation::{CrlPool, OcspPool};

#[path = "judges/certval.rs"]
mod certval_judge;

/// The time the corpus is judged at.
const AT: OffsetDateTime = datetime!(2016-01-01 00:00 UTC);

/// Cases where we differ, each stricter than the corpus.
const MISSES: &[(&str, &str)] = &[("40104", "DSA is not accepted"), ("40105", "DSA is not accepted")];

/// Cases that we and the corpus call valid and `certval` refuses. It has no rule for what is named, and fails closed.
const CERTVAL_REFUSES: &[(&str, &str)] = &[
    ("40203", "a UTCTime of 1950"),
    ("40419", OTHER_KEY),
    ("40501", OTHER_KEY),
    ("40504", OTHER_KEY),
    ("40506", OTHER_KEY),
    ("40615", OTHER_KEY),
    ("40617", OTHER_KEY),
    ("40906", OTHER_KEY),
    ("41107", OTHER_KEY),
    ("41207", OTHER_KEY),
    ("41209", OTHER_KEY),
    ("41319", OTHER_KEY),
    ("41404", RELATIVE),
    ("41405", RELATIVE),
    ("41407", RELATIVE),
    ("41418", REASONS),
    ("41419", REASONS),
    ("41424", INDIRECT),
    ("41425", INDIRECT),
    ("41428", INDIRECT),
    ("41429", INDIRECT),
    ("41430", INDIRECT),
    ("41433", INDIRECT),
    ("41505", "a delta CRL lifts what the full one holds"),
];
const OTHER_KEY: &str = "a list signed by another key than the certificate";
const RELATIVE: &str = "a distribution point named relative to the CRL's issuer";
const REASONS: &str = "lists split by reason";
const INDIRECT: &str = "an indirect CRL";

#[derive(Deserialize)]
struct Case {
    id: String,
    name: String,
    cert: String,
    #[serde(default)]
    other_certs: Vec<String>,
    #[serde(default)]
    crls: Vec<String>,
    #[serde(default)]
    params: Option<Params>,
    error: Option<serde_json::Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Params {
    user_initial_policy_set: Vec<String>,
    initial_explicit_policy: bool,
    initial_policy_mapping_inhibit: bool,
    initial_any_policy_inhibit: bool,
}

fn corpus() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::env::var_os("HIKYAKU_PKITS").map_or_else(|| workspace.join("target/corpora/pkits"), PathBuf::from)
}

#[test]
fn pkits_verdicts() {
    let folder = corpus();
    let Ok(table) = std::fs::read(folder.join("pkits.json")) else {
        kit::skip("pkits_verdicts", "run tests/corpora.sh to fetch the corpus");
        return;
    };
    let cases: Vec<Case> = serde_json::from_slice(&table).unwrap();
    assert_eq!(cases.len(), 246);
    let certificate = |name: &String| std::fs::read(folder.join("certs").join(name)).unwrap();
    let crl = |name: &String| std::fs::read(folder.join("crls").join(name)).unwrap();
    let anchors = AnchorSet(TrustAnchor::parse(&certificate(&"TrustAnchorRootCertificate.crt".into())).unwrap());

    let directory = tempfile::tempdir().unwrap();
    let trust = directory.path();
    std::fs::create_dir_all(trust.join("hpki")).unwrap();
    let anchor = folder.join("certs/TrustAnchorRootCertificate.crt");
    std::fs::copy(anchor, trust.join("hpki/anchor.crt")).unwrap();
    let (mut right, mut wrong, mut refused) = (0, Vec::new(), Vec::new());
    for case in &cases {
        let mut crls: Vec<Vec<u8>> = case.crls.iter().map(crl).collect();
        crls.push(crl(&"TrustAnchorRootCRL.crl".into()));
        let others: Vec<Vec<u8>> = case.other_certs.iter().map(certificate).collect();
        let params = case.params.as_ref();
        let options = ChainOptions {
            policies: params
                .map_or(&[][..], |p| &p.user_initial_policy_set)
                .iter()
                .map(|p| p.parse().unwrap())
                .collect(),
            require_explicit_policy: params.is_some_and(|p| p.initial_explicit_policy),
            inhibit_policy_mapping: params.is_some_and(|p| p.initial_policy_mapping_inhibit),
            inhibit_any_policy: params.is_some_and(|p| p.initial_any_policy_inhibit),
            ..ChainOptions::default()
        };
        let (valid, reason) = match Certificate::parse(&certificate(&case.cert)) {
            Ok(leaf) => {
                let (pool, lists) = (CertificatePool::from_der(&others), CrlPool::from_der(&crls));
                let verdict = chain(&leaf, &anchors, &pool, &lists, &OcspPool::default(), AT, &options);
                if verdict.valid
                    && let Err(error) = second(&leaf, &anchors, &pool, &crls, &options)
                {
                    println!("  certval refuses {} {}: {error}", case.id, case.name);
                    refused.push(case.id.as_str());
                }
                (verdict.valid, verdict.reason)
            }
            Err(malformed) => (false, malformed.to_string()),
        };
        let told = through_the_program(trust, &folder, case);
        assert_eq!(
            told["valid"] == true,
            valid,
            "{} {}: the program says {told}",
            case.id,
            case.name
        );
        if MISSES.iter().any(|(id, _)| *id == case.id) {
            assert_eq!(told["code"], "algorithm_not_accepted", "{}", case.id);
        }
        if valid == case.error.is_none() {
            right += 1;
        } else {
            wrong.push((case.id.as_str(), valid, format!("{} {}: {reason}", case.id, case.name)));
        }
    }
    for (_, _, text) in &wrong {
        println!("  differs: {text}");
    }
    let accepted: Vec<_> = wrong
        .iter()
        .filter(|(_, valid, _)| *valid)
        .map(|(_, _, text)| text)
        .collect();
    assert!(accepted.is_empty(), "accepted too much: {accepted:#?}");
    let wrong: Vec<&str> = wrong.iter().map(|(id, _, _)| *id).collect();
    let listed: Vec<&str> = MISSES.iter().map(|(id, _)| *id).collect();
    assert_eq!(wrong, listed, "the list of misses is no longer true");
    let reached = format!("{right} of {}, {} false accepts", cases.len(), accepted.len());
    kit::conformance(
        "NIST PKITS through `hikyaku chain`",
        "244 of 246, 0 false accepts",
        &reached,
    );
    let listed: Vec<&str> = CERTVAL_REFUSES.iter().map(|(id, _)| *id).collect();
    assert_eq!(refused, listed, "the list of what certval refuses is no longer true");
}

/// What `hikyaku chain` says of a case.
fn through_the_program(trust: &Path, folder: &Path, case: &Case) -> serde_json::Value {
    let mut command = std::process::Command::new(kit::bin("hikyaku"));
    command
        .arg("--json")
        .arg("chain")
        .arg(folder.join("certs").join(&case.cert));
    command.arg("--trust").arg(trust).args(["--at", "2016-01-01T00:00:00Z"]);
    for other in &case.other_certs {
        command.arg("--intermediate").arg(folder.join("certs").join(other));
    }
    for crl in case.crls.iter().map(String::as_str).chain(["TrustAnchorRootCRL.crl"]) {
        command.arg("--crl").arg(folder.join("crls").join(crl));
    }
    if let Some(params) = &case.params {
        for policy in &params.user_initial_policy_set {
            command.arg("--policy").arg(policy);
        }
        let flags = [
            (params.initial_explicit_policy, "--require-explicit-policy"),
            (params.initial_policy_mapping_inhibit, "--inhibit-policy-mapping"),
            (params.initial_any_policy_inhibit, "--inhibit-any-policy"),
        ];
        command.args(flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag));
    }
    let output = command.output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let exit = output.status.code();
    assert_eq!(
        told["valid"] == true,
        exit == Some(0),
        "{}: {told}, exit {exit:?}",
        case.id
    );
    told
}

/// `certval` on the paths we find: whether one of them is good.
fn second(
    leaf: &Certificate,
    anchors: &AnchorSet,
    pool: &CertificatePool,
    crls: &[Vec<u8>],
    options: &ChainOptions,
) -> Result<(), String> {
    let inputs = PathInputs {
        policies: options.policies.clone(),
        explicit_policy: options.require_explicit_policy,
        policy_mapping_inhibit: options.inhibit_policy_mapping,
        any_policy_inhibit: options.inhibit_any_policy,
        ..PathInputs::default()
    };
    let mut verdict = Err("no path".to_owned());
    for path in build_all(leaf, anchors, pool, &inputs, AT).map_err(|failure| failure.to_string())? {
        let below: Vec<&[u8]> = path.certificates.iter().map(Certificate::der).collect();
        let Some((leaf, authorities)) = below.split_last() else {
            continue;
        };
        verdict = certval_judge::judge(leaf, authorities, crls, path.anchor.certificate.der(), AT, options);
        if verdict.is_ok() {
            break;
        }
    }
    verdict
}

/// Test cards under the real root of the HPKI, where the files are at hand.
#[test]
fn real_hpki_test_cards() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures/hpki-real");
    if !folder.is_dir() {
        println!("skipped: real_hpki_test_cards (the files are not at hand)");
        return;
    }
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let anchors = AnchorSet(TrustAnchor::parse(&read("mhlw_hpki_root_ca_v2.der")).unwrap());
    let pool = CertificatePool::from_der(&[read("medis_sign_ca2.der"), read("jma_jv2_sign_ca.der")]);
    let lists = [
        "jma_sign_2022-09-05.crl",
        "medis_sign_2022-09-06.crl",
        "mhlw_sarl2_2022-09-05.crl",
    ]
    .map(read);
    let at = datetime!(2022-09-07 08:18 UTC);
    let cards = [
        "medis_test_ee_doctor_015e.der",
        "medis_test_ee_pharmacist_0164.der",
        "jma_test_ee_doctor_8090.der",
        "jma_test_ee_pharmacist_83e3.der",
    ];
    for name in cards {
        let leaf = Certificate::parse(&read(name)).unwrap();
        let verdict = chain(
            &leaf,
            &anchors,
            &pool,
            &CrlPool::from_der(&lists),
            &OcspPool::default(),
            at,
            &ChainOptions::default(),
        );
        assert!(verdict.valid, "{name}: {}", verdict.reason);
        assert_eq!(verdict.path.len(), 3, "{name}");
        let without = chain(
            &leaf,
            &anchors,
            &pool,
            &CrlPool::default(),
            &OcspPool::default(),
            at,
            &ChainOptions::default(),
        );
        assert!(!without.valid && without.indeterminate, "{name}");
    }
}
