//! What went wrong in others' validators, tried here. `docs/past-vulnerabilities.md` tells the stories and names these tests.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use der::asn1::{Any, BitString, ObjectIdentifier};
use der::{Decode as _, Encode as _};
use formats::cades::{Profile, SignedData};
use formats::digest::{DigestAlgorithm, Digests};
use kit::{Ca, ContainerOptions, CrlSpec, Key, TestHpki};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use trust_store::algorithm;
use trust_store::name::DistinguishedName;
use trust_store::{AnchorSet, Anchors, Evidence, Indication, Policy, SubIndication, Subject, TrustAnchor, TrustStore};

const NOW: OffsetDateTime = datetime!(2026-11-20 03:00:00 UTC);
const SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");

fn hpki() -> TestHpki {
    TestHpki::new("http://hpki.example", NOW)
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let octets = u32::try_from(content.len()).unwrap().to_be_bytes();
    let octets: Vec<u8> = octets.into_iter().skip_while(|octet| *octet == 0).collect();
    let header = match content.len() {
        0..0x80 => vec![tag, u8::try_from(content.len()).unwrap()],
        _ => [&[tag, 0x80 | u8::try_from(octets.len()).unwrap()], &octets[..]].concat(),
    };
    [&header, content].concat()
}

/// The elements inside a DER element.
fn inside(der: &[u8]) -> Vec<Vec<u8>> {
    let any = Any::from_der(der).unwrap();
    let (mut rest, mut found) = (any.value(), Vec::new());
    while !rest.is_empty() {
        let (one, after) = Any::from_der_partial(rest).unwrap();
        drop(one);
        found.push(rest[..rest.len() - after.len()].to_vec());
        rest = after;
    }
    found
}

/// The house's anchors and default policy.
fn store(hpki: &TestHpki) -> TrustStore {
    let anchors = |ca| AnchorSet(TrustAnchor::parse(&hpki.ca(ca)).unwrap());
    TrustStore {
        anchors: Anchors {
            hpki: anchors(Ca::Root),
            tsa: anchors(Ca::TsaRoot),
            ..Anchors::default()
        },
        policy: Policy::default(),
    }
}

/// All lists but those that `left_out` names.
fn evidence(hpki: &TestHpki, left_out: &[&str]) -> Evidence {
    let mut evidence = Evidence::default();
    for (name, bytes) in hpki.evidence(NOW - Duration::hours(1), &[]) {
        if !left_out.iter().any(|part| name.contains(part)) {
            evidence.add(&name, &bytes);
        }
    }
    evidence
}

fn judged(
    hpki: &TestHpki,
    signature: Vec<u8>,
    content: &[u8],
    evidence: Evidence,
) -> (Indication, Option<SubIndication>) {
    let subject = Subject::Signature {
        bytes: signature,
        content: Some(Digests::of(content).into()),
    };
    let validated = store(hpki).validate(subject, evidence, NOW);
    (validated.report().indication, validated.report().sub_indication)
}

/// Signed and stamped two hours ago.
fn good(hpki: &TestHpki, content: &[u8]) -> Vec<u8> {
    hpki.signature(&hpki.doctor(), content, ContainerOptions::at(NOW - Duration::hours(2)))
}

/// The fields of a signature's SignerInfo.
fn signer_of(signature: &[u8]) -> Vec<Vec<u8>> {
    let fields = inside(&inside(&inside(signature)[1])[0]);
    inside(&inside(fields.last().unwrap())[0])
}

/// The signature with another SignerInfo.
fn with_signer(signature: &[u8], signer: &[Vec<u8>]) -> Vec<u8> {
    let info = inside(signature);
    let mut fields = inside(&inside(&info[1])[0]);
    *fields.last_mut().unwrap() = element(0x31, &element(0x30, &signer.concat()));
    let signed = element(0xa0, &element(0x30, &fields.concat()));
    element(0x30, &[&info[0][..], &signed].concat())
}

#[test]
fn rsa_signatures_that_only_resemble_pkcs_1_are_refused() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("past_vulnerabilities/rsa.txt")).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    let parameters = AlgorithmIdentifierOwned {
        oid: SHA256_WITH_RSA,
        parameters: Some(Any::null()),
    };
    let mut accepted = BTreeSet::new();
    for line in lines.iter().filter(|line| line[0] != "key") {
        let key = lines.iter().find(|key| key[0] == "key" && key[1] == line[1]).unwrap();
        let key = SubjectPublicKeyInfoOwned::from_der(&hex::decode(key[2]).unwrap()).unwrap();
        if algorithm::verify(&parameters, &key, b"content", &hex::decode(line[2]).unwrap()).is_ok() {
            accepted.insert((line[0], line[1]));
        }
    }
    // The honest one shows that the others fail for what is wrong with them. Exponent 3 is no reason to refuse by itself.
    assert!(accepted.remove(&("honest", "65537")));
    accepted.remove(&("honest", "3"));
    assert_eq!(accepted, BTreeSet::new());
    assert_eq!(lines.len(), 31, "every forgery was tried");
}

#[test]
fn a_signature_of_nothing_is_no_signature() {
    let key = Key::EcDoctor.public();
    let parameters = AlgorithmIdentifierOwned {
        oid: ECDSA_WITH_SHA256,
        parameters: None,
    };
    let good = Key::EcDoctor.sign(b"content", DigestAlgorithm::Sha256);
    algorithm::verify(&parameters, &key, b"content", &good).unwrap();
    let order = hex::decode("00ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").unwrap();
    let zero = vec![0];
    for (r, s) in [
        (&zero, &zero),
        (&zero, &order),
        (&order, &zero),
        (&order, &order),
        (&zero, &vec![1]),
        (&vec![1], &zero),
    ] {
        let forged = element(0x30, &[element(2, r), element(2, s)].concat());
        assert!(algorithm::verify(&parameters, &key, b"content", &forged).is_err());
    }
    for forged in [&[][..], &[0x30, 0], &[0; 64]] {
        assert!(algorithm::verify(&parameters, &key, b"content", forged).is_err());
    }
}

/// ECParameters (SEC 1 C.2) of P-256, with another generator or field where asked for.
fn explicit(prime: &str, generator: &[u8]) -> Vec<u8> {
    let integer = |hex_digits: &str| element(2, &[&[0][..], &hex::decode(hex_digits).unwrap()].concat());
    let octets = |hex_digits: &str| element(4, &hex::decode(hex_digits).unwrap());
    let field = element(
        0x30,
        &[hex::decode("06072a8648ce3d0101").unwrap(), integer(prime)].concat(),
    );
    let curve = [
        octets("ffffffff00000001000000000000000000000000fffffffffffffffffffffffc"),
        octets("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b"),
    ];
    let order = integer("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    element(
        0x30,
        &[
            vec![2, 1, 1],
            field,
            element(0x30, &curve.concat()),
            element(4, generator),
            order,
        ]
        .concat(),
    )
}

#[test]
fn a_curve_of_the_signers_own_making_is_no_curve() {
    const PRIME: &str = "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff";
    const GENERATOR: &str = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
    let named = Key::EcDoctor.public();
    let point = named.subject_public_key.raw_bytes().to_vec();
    let good = Key::EcDoctor.sign(b"content", DigestAlgorithm::Sha256);
    let parameters = AlgorithmIdentifierOwned {
        oid: ECDSA_WITH_SHA256,
        parameters: None,
    };
    algorithm::verify(&parameters, &named, b"content", &good).unwrap();
    let standard = hex::decode(GENERATOR).unwrap();
    let composite = PRIME.replacen("ffffffff00000001", "ffffffff00000003", 1);
    for parameter in [
        // The true curve, spelt out: this signature is mathematically right.
        explicit(PRIME, &standard),
        // The generator is the public key itself: whoever says so knows its private key, which is 1.
        explicit(PRIME, &point),
        // No prime, and a compressed point: the square root that others sought for ever.
        explicit(&composite, &[&[2][..], &standard[1..33]].concat()),
    ] {
        let key = SubjectPublicKeyInfoOwned {
            algorithm: AlgorithmIdentifierOwned {
                oid: EC_PUBLIC_KEY,
                parameters: Some(Any::from_der(&parameter).unwrap()),
            },
            subject_public_key: BitString::from_bytes(&point).unwrap(),
        };
        assert!(algorithm::key_name(&key).is_err());
        assert!(algorithm::verify(&parameters, &key, b"content", &good).is_err());
    }
}

#[test]
fn attributes_passed_off_as_content_are_not_signed() {
    let hpki = hpki();
    let signature = good(&hpki, b"content");
    assert_eq!(
        judged(&hpki, signature.clone(), b"content", evidence(&hpki, &[])),
        (Indication::TotalPassed, None)
    );
    let attributes = SignedData::parse(&signature, Profile::Document)
        .unwrap()
        .signer
        .signed_attributes;
    let mut signer = signer_of(&signature);
    signer.retain(|field| field[0] != 0xa0);
    // Without signed attributes the signature is over the content: over the bytes that were the attributes.
    let forged = with_signer(&signature, &signer);
    let verdict = judged(&hpki, forged, &attributes, evidence(&hpki, &[]));
    assert_eq!(verdict, (Indication::TotalFailed, Some(SubIndication::FormatFailure)));
}

#[test]
fn a_hash_function_nobody_knows_ends_the_verification() {
    let hpki = hpki();
    let signature = good(&hpki, b"content");
    let known = hex::decode("0609608648016503040201").unwrap();
    let unknown = hex::decode("060960864801650304027f").unwrap();
    let signer = signer_of(&signature);
    let mut changed = signer.clone();
    for field in changed.iter_mut().filter(|field| field[0] == 0x30) {
        if let Some(at) = field.windows(known.len()).position(|bytes| bytes == known) {
            field.splice(at..at + known.len(), unknown.iter().copied());
        }
    }
    assert_ne!(changed, signer);
    let verdict = judged(
        &hpki,
        with_signer(&signature, &changed),
        b"content",
        evidence(&hpki, &[]),
    );
    assert_ne!(verdict.0, Indication::TotalPassed);
}

#[test]
fn an_unsigned_no_is_no_answer_and_an_unsigned_yes_neither() {
    let hpki = hpki();
    let signature = good(&hpki, b"content");
    let without = evidence(&hpki, &["sign"]);
    let open = judged(&hpki, signature.clone(), b"content", without.clone());
    assert_eq!(open, (Indication::Indeterminate, Some(SubIndication::TryLater)));
    // malformedRequest, internalError, tryLater, sigRequired, unauthorized, and "successful" without a word.
    for status in [1, 2, 3, 5, 6, 0] {
        let mut evidence = without.clone();
        evidence.ocsp.push(element(0x30, &element(0x0a, &[status])));
        assert_eq!(
            judged(&hpki, signature.clone(), b"content", evidence),
            open,
            "status {status}"
        );
    }
}

#[test]
fn an_answer_about_a_longer_or_shorter_number_is_about_somebody_else() {
    let hpki = hpki();
    let doctor = hpki.doctor();
    let parse = |der: &[u8]| trust_store::Certificate::parse(der).unwrap();
    let (leaf, issuer) = (parse(&doctor.certificate), parse(&hpki.ca(Ca::Sign)));
    let question = trust_store::revocation::ocsp::OcspRequest::about(&leaf, &issuer);
    let answer = |serial| {
        let request = kit::ocsp::ocsp_request(Ca::Sign, serial);
        let spec = kit::OcspSpec::at(NOW - Duration::hours(1));
        question.answered_by(&hpki.ocsp(Ca::Sign, &request, &spec), None)
    };
    answer(doctor.serial).unwrap();
    for other in [
        doctor.serial << 8,
        doctor.serial >> 8,
        doctor.serial | 1 << 40,
        doctor.serial + 1,
    ] {
        assert!(answer(other).is_err(), "{other:x}");
    }
}

#[test]
fn a_name_does_not_end_where_a_nul_stands() {
    let common_name = |text: &[u8]| {
        let attribute = [hex::decode("0603550403").unwrap(), element(0x0c, text)].concat();
        DistinguishedName::parse(&element(0x30, &element(0x31, &element(0x30, &attribute)))).unwrap()
    };
    let (honest, tricky) = (
        common_name(b"TEST Hospital"),
        common_name(b"TEST Hospital\0.evil.example"),
    );
    assert!(honest != tricky && !tricky.is_under(&honest));
    let shown = tricky.to_string();
    assert!(shown.contains("evil.example") && !shown.contains('\0'), "{shown:?}");
}

#[test]
fn a_list_or_a_certificate_changed_in_its_algorithm_alone_is_refused() {
    // The algorithm stands twice, inside and outside of what is signed; believing the outer one is how others were led astray.
    let hpki = hpki();
    for der in [hpki.crl(Ca::Sign, CrlSpec::at(NOW)), hpki.ca(Ca::Sign)] {
        let mut parts = inside(&der);
        parts[1] = AlgorithmIdentifierOwned {
            oid: ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13"),
            parameters: Some(Any::null()),
        }
        .to_der()
        .unwrap();
        let changed = element(0x30, &parts.concat());
        assert!(trust_store::Certificate::parse(&changed).is_err());
        assert!(trust_store::revocation::crl::Crl::parse(&changed).is_err());
    }
}

#[test]
fn the_page_names_only_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("docs/past-vulnerabilities.md")).unwrap();
    let mut named = 0;
    for line in page
        .lines()
        .filter_map(|line| line.split_once("Shown by "))
        .map(|(_, line)| line)
    {
        let mut words = line.split('`').skip(1).step_by(2);
        let mut file = PathBuf::new();
        let mut in_file = 0;
        for word in &mut words {
            if word.contains('/') {
                file = root.join(word);
                assert!(file.exists(), "{word} is not there");
                in_file += 1;
                if file.is_dir() {
                    named += 1;
                }
            } else {
                let text = fs::read_to_string(&file).unwrap_or_default();
                let fixture = file.join(word).join("case.toml").exists();
                assert!(
                    fixture || text.contains(&format!("fn {word}(")),
                    "{} has no test {word}",
                    file.display()
                );
                named += 1;
            }
        }
        assert!(in_file > 0, "no file is named: {line}");
    }
    let stories = page.lines().filter(|line| line.starts_with("### ")).count();
    let shown = page.lines().filter(|line| line.contains("Shown by ")).count();
    assert_eq!(stories, shown, "every story names its test");
    assert!(named >= stories && stories > 20, "{named} tests, {stories} stories");
}
