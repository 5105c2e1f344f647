//! What a verdict costs, as ratios within one run: one B-T validation against the bare public key operations it rests on, and
//! against pyHanko on the same signature. Run: `cargo bench -p trust-store`.
//!
//! The subject is the fixture `good_doctor`: a doctor's letter, stamped, with CRLs at hand as an intake with warm caches has them.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a bench that cannot go on must stop"
)]

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use criterion::Criterion;
use formats::asice::Container;
use formats::cades::{Profile, SignedData};
use formats::timestamp::Token;
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use trust_store::algorithm;
use trust_store::revocation::crl::Crl;
use trust_store::{AnchorSet, Anchors, Certificate, Evidence, Policy, Subject, TrustAnchor, TrustStore};
use x509_cert::der::{Decode, Encode};

/// What a validation may cost, as a multiple of the bare public key operations in it.
const MOST: f64 = 2.0;
/// What it may cost, as a part of pyHanko's time.
const AGAINST_PYHANKO: f64 = 50.0;

/// The CRLs the verdict needs: of the card's CA, of that CA's root, of the time stamp authority's CA.
const CRLS: [&str; 3] = ["sign.crl", "sarl.crl", "tsa.crl"];

/// One signature to verify: everything but the mathematics is done.
struct Operation {
    algorithm: AlgorithmIdentifierOwned,
    key: SubjectPublicKeyInfoOwned,
    message: Vec<u8>,
    signature: Vec<u8>,
}

struct Letter {
    store: TrustStore,
    container: Container,
    evidence: Evidence,
    now: OffsetDateTime,
    folder: PathBuf,
}

impl Letter {
    fn open() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/validation/good_doctor");
        let files = |name: &str| -> Vec<(String, Vec<u8>)> {
            let Ok(entries) = fs::read_dir(folder.join(name)) else {
                return Vec::new();
            };
            let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
            paths.sort();
            let named = |path: PathBuf| (path.display().to_string(), fs::read(path).unwrap());
            paths.into_iter().map(named).collect()
        };
        let anchors = |name: &str| {
            let all = files(name);
            AnchorSet(
                all.iter()
                    .flat_map(|(_, der)| TrustAnchor::parse(der).unwrap())
                    .collect(),
            )
        };
        let mut evidence = Evidence::default();
        for name in CRLS {
            evidence.add(name, &fs::read(folder.join("evidence").join(name)).unwrap());
        }
        let case: toml::Table = fs::read_to_string(folder.join("case.toml")).unwrap().parse().unwrap();
        let intermediates = files("trust/intermediates").into_iter().map(|(_, der)| der).collect();
        Self {
            store: TrustStore {
                anchors: Anchors {
                    hpki: anchors("trust/hpki"),
                    tsa: anchors("trust/tsa"),
                    intermediates,
                    ..Anchors::default()
                },
                policy: Policy::from_toml(&fs::read_to_string(folder.join("trust/policy.toml")).unwrap()).unwrap(),
            },
            container: Container::read(&mut fs::File::open(folder.join("container.asice")).unwrap()).unwrap(),
            evidence,
            now: OffsetDateTime::parse(case["now"].as_str().unwrap(), &Rfc3339).unwrap(),
            folder,
        }
    }

    /// What asking costs, with everything at hand: nothing is missing.
    fn ask(&self) {
        let subject = Subject::Container(Box::new(self.container.clone()));
        assert!(self.store.missing(&subject, &self.evidence, self.now).is_empty());
    }

    /// The verdict on a letter that has arrived and whose CRLs are kept, with its report and its seal.
    fn validate(&self) {
        let subject = Subject::Container(Box::new(self.container.clone()));
        let validated = self.store.validate(subject, self.evidence.clone(), self.now);
        black_box(validated.into_verified().expect("good_doctor passes"));
    }

    /// Every signature the verdict rests on, once: the letter's and the token's, the certificates' up to the anchors, the CRLs'.
    fn operations(&self) -> Vec<Operation> {
        let signed = SignedData::parse(&self.container.signatures[0].bytes, Profile::Document).unwrap();
        let token = Token::parse(&signed.signer.timestamps[0]).unwrap().signed_data;
        let mut certificates: Vec<Certificate> = Vec::new();
        let anchors = self.store.anchors.hpki.0.iter().chain(&self.store.anchors.tsa.0);
        let carried = signed.certificates.iter().chain(&token.certificates);
        let others = carried
            .chain(&self.evidence.certificates)
            .chain(&self.store.anchors.intermediates);
        for der in others.chain(anchors.map(|anchor| &anchor.der)) {
            let certificate = Certificate::parse(der).unwrap();
            if !certificates.iter().any(|known| known.der() == certificate.der()) {
                certificates.push(certificate);
            }
        }
        let mut operations = Vec::new();
        for carrier in [&signed, &token] {
            let signature = &carrier.signer.signature;
            let operation = certificates.iter().find_map(|certificate| {
                let tried = Operation {
                    algorithm: carrier.signer.signature_algorithm.clone(),
                    key: certificate.key.clone(),
                    message: carrier.signer.signed_attributes.clone(),
                    signature: signature.clone(),
                };
                tried.verify(carrier.signer.digest_algorithm).then_some(tried)
            });
            operations.push(operation.expect("a signer at hand"));
        }
        let is_anchor = |one: &Certificate| one.issuer == one.subject;
        for certificate in certificates.iter().filter(|one| !is_anchor(one)) {
            let parsed = x509_cert::Certificate::from_der(certificate.der()).unwrap();
            let issuer = certificates
                .iter()
                .find(|one| one.subject == certificate.issuer)
                .expect("its issuer");
            operations.push(Operation {
                algorithm: parsed.signature_algorithm().clone(),
                key: issuer.key.clone(),
                message: parsed.tbs_certificate().to_der().unwrap(),
                signature: parsed.signature().as_bytes().unwrap().to_vec(),
            });
        }
        for der in &self.evidence.crls {
            let parsed = x509_cert::crl::CertificateList::<x509_cert::certificate::Rfc5280>::from_der(der).unwrap();
            let issuer = Crl::parse(der).unwrap().issuer;
            let signer = certificates
                .iter()
                .find(|one| one.subject == issuer)
                .expect("its signer");
            operations.push(Operation {
                algorithm: parsed.signature_algorithm.clone(),
                key: signer.key.clone(),
                message: parsed.tbs_cert_list.to_der().unwrap(),
                signature: parsed.signature.as_bytes().unwrap().to_vec(),
            });
        }
        operations
    }

    /// Seconds pyHanko takes for one validation of the same signature, stamp, paths and CRLs; `None` where it is not installed.
    fn pyhanko(&self) -> Option<f64> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let python = workspace.join("target/venv/bin/python");
        if !python.is_file() {
            println!("pyHanko is not installed: tests/run installs it into target/venv");
            return None;
        }
        let output = Command::new(python)
            .arg(workspace.join("tests/judges/pyhanko_bench.py"))
            .arg(&self.folder)
            .args(CRLS)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(String::from_utf8(output.stdout).unwrap().trim().parse().unwrap())
    }
}

impl Operation {
    fn verify(&self, digest: formats::digest::DigestAlgorithm) -> bool {
        algorithm::verify_with_digest(&self.algorithm, digest, &self.key, &self.message, &self.signature).is_ok()
    }

    fn run(&self) {
        let verdict = algorithm::verify(&self.algorithm, &self.key, &self.message, &self.signature);
        let with_digest = || self.verify(formats::digest::DigestAlgorithm::Sha256);
        assert!(verdict.is_ok() || with_digest());
    }
}

/// Seconds of one call, the least of many: what disturbs a machine only ever adds.
fn least(mut call: impl FnMut()) -> f64 {
    let time = |_| {
        let began = Instant::now();
        call();
        began.elapsed()
    };
    (0..2_000).map(time).min().unwrap().as_secs_f64()
}

fn main() {
    let letter = Letter::open();
    let operations = letter.operations();
    let bare = || operations.iter().for_each(Operation::run);

    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    criterion.bench_function("B-T intake validation", |bencher| bencher.iter(|| letter.validate()));
    criterion.bench_function("its bare public key operations", |bencher| bencher.iter(bare));
    criterion.final_summary();

    let (validation, bare) = (least(|| letter.validate()), least(bare));
    let ratio = validation / bare;
    println!("one B-T intake validation: {:.0} µs", validation * 1e6);
    println!(
        "asking before it what is missing: {:.0} µs",
        least(|| letter.ask()) * 1e6
    );
    println!(
        "its {} bare public key operations: {:.0} µs",
        operations.len(),
        bare * 1e6
    );
    println!("ratio: {ratio:.2}, at most {MOST}");
    if let Some(pyhanko) = letter.pyhanko() {
        let times = pyhanko / validation;
        println!(
            "pyHanko on the same input: {:.0} µs, {times:.0} times as long, at least {AGAINST_PYHANKO}",
            pyhanko * 1e6
        );
        assert!(times >= AGAINST_PYHANKO, "slower than 1/{AGAINST_PYHANKO} of pyHanko");
    }
    assert!(
        ratio <= MOST,
        "a validation costs more than {MOST} times its public key operations"
    );
}
