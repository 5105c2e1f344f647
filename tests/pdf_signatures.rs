//! Signatures inside PDFs: what pyHanko makes is judged by it and by us; every published attack on a PDF signature is refused; and
//! a signed letter in a container is judged beside the container's own signature.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use formats::cades::{SigningIdentity, prepare};
use formats::digest::DigestAlgorithm;
use formats::pdf::SignedPdf;
use kit::pdf::{LETTER, Look, STORE, additions, attacks, pdf, signed};
use kit::{
    Ca, Card, CardSpec, ContainerOptions, CrlSpec, OcspSpec, Services, TestHpki, TokenSpec, TsaSpec, bin, referral,
};
use serde_json::Value;
use time::{Duration, OffsetDateTime};
use trust_store::policy::Level;
use trust_store::{Evidence, Indication, SubIndication, Subject, TrustStore, ValidationReport};

/// A test HPKI with its trust and evidence as folders and as values.
struct Bench {
    folder: tempfile::TempDir,
    hpki: TestHpki,
    now: OffsetDateTime,
    trust: TrustStore,
    evidence: Evidence,
}

impl Bench {
    fn new() -> Self {
        let now = OffsetDateTime::now_utc();
        let hpki = TestHpki::new("http://127.0.0.1:9", now);
        let folder = tempfile::tempdir().unwrap();
        hpki.write_trust(&folder.path().join("trust"));
        hpki.write_evidence(&folder.path().join("evidence"), now, &[]);
        let mut evidence = Evidence::default();
        for (name, bytes) in hpki.evidence(now, &[]) {
            evidence.add(&name, &bytes);
        }
        let trust = client::trust::load(&folder.path().join("trust")).unwrap();
        Self {
            folder,
            hpki,
            now,
            trust,
            evidence,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `pdf` signed by `card` and stamped.
    fn sign(&self, pdf: &[u8], look: Look<'_>, card: &Card) -> Vec<u8> {
        signed(pdf, look, |ranges| {
            self.hpki.signature(card, ranges, ContainerOptions::at(self.now))
        })
    }

    fn judge(&self, bytes: &[u8]) -> ValidationReport {
        let subject = Subject::Pdf(Box::new(SignedPdf::of(bytes)));
        let validated = self.trust.validate(subject, self.evidence.clone(), self.now);
        let report = validated.report().clone();
        assert_eq!(
            report.replay().unwrap(),
            report,
            "a report on a PDF is judged again from itself"
        );
        report
    }

    fn verify(&self, file: &str) -> (i32, Value) {
        let mut command = Command::new(bin("hikyaku"));
        command
            .current_dir(&self.folder)
            .env("HIKYAKU_HOME", self.path("home"))
            .env("HIKYAKU_LANG", "en");
        command.args(["verify", file, "--trust", "trust", "--evidence", "evidence", "--json"]);
        let output = command.output().unwrap();
        let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (output.status.code().unwrap(), report)
    }
}

fn failed_at(report: &ValidationReport) -> Vec<&str> {
    let failed = report
        .checks
        .iter()
        .filter(|check| check.result != trust_store::report::CheckResult::Passed);
    failed.map(|check| check.name.as_str()).collect()
}

#[test]
fn a_signed_letter_passes_and_every_published_attack_on_it_is_refused() {
    let bench = Bench::new();
    let letter = bench.sign(&pdf(&LETTER), Look::PLAIN, &bench.hpki.doctor());
    let report = bench.judge(&letter);
    assert!(report.passed(), "{:?}", report.reason());
    assert_eq!(report.signer.as_ref().unwrap().hc_roles, ["Medical Doctor"]);
    for (name, bytes) in additions(&letter) {
        let report = bench.judge(&bytes);
        assert!(report.passed(), "{name}: {:?}", report.reason());
    }
    let all = attacks(&letter);
    assert!(all.len() >= 25);
    for (name, bytes) in &all {
        let report = bench.judge(bytes);
        let verdict = (report.indication, report.sub_indication);
        assert_eq!(
            verdict,
            (Indication::TotalFailed, Some(SubIndication::FormatFailure)),
            "{name}"
        );
    }
    // One byte of what is shown.
    let mut flipped = letter.clone();
    kit::pdf::replace(&mut flipped, "TEST letter", "TOST letter");
    assert_eq!(bench.judge(&flipped).sub_indication, Some(SubIndication::HashFailure));
    pyhanko_agrees(&bench, &letter, &all);
}

/// Where pyHanko accepts an attack, it is by a rule of its own that we do not share.
fn pyhanko_agrees(bench: &Bench, letter: &[u8], attacks: &[(&str, Vec<u8>)]) {
    let Some(python) = python() else { return };
    let folder = bench.path("attacks");
    fs::create_dir_all(&folder).unwrap();
    let mut files = vec![folder.join("letter.pdf")];
    fs::write(&files[0], letter).unwrap();
    for (name, bytes) in attacks {
        let file = folder.join(format!("{name}.pdf"));
        fs::write(&file, bytes).unwrap();
        files.push(file);
    }
    let doctor = bench.hpki.doctor();
    fs::write(folder.join("cert.pem"), doctor.certificates_pem()).unwrap();
    fs::write(folder.join("root.der"), bench.hpki.ca(Ca::Root)).unwrap();
    fs::write(folder.join("tsa.der"), bench.hpki.ca(Ca::TsaRoot)).unwrap();
    let said = pyhanko(
        &python,
        &folder,
        &folder.join("root.der"),
        &folder.join("tsa.der"),
        &files,
    );
    assert_eq!(said["letter.pdf"], Some(true), "pyHanko accepts the letter itself");
    let accepted: Vec<&str> = attacks
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| said[&format!("{name}.pdf")] == Some(true))
        .collect();
    let listed: Vec<&str> = ACCEPTED_BY_PYHANKO.iter().map(|(name, _)| *name).collect();
    assert_eq!(accepted, listed);
}

/// What pyHanko accepts and we refuse, in the order of the attacks, and why.
const ACCEPTED_BY_PYHANKO: &[(&str, &str)] = &[
    (
        "isa-no-section",
        "no cross-reference section names what is appended, so pyHanko never meets it; a reader that repairs files shows it",
    ),
    (
        "isa-old-section",
        "startxref at the new end leads to the signed section, so pyHanko reads the signed revision; a repairing reader does not",
    ),
];

/// Signed and stamped by an authority that ends in three years; what is needed to judge it, kept; a stamp over all that by an
/// authority that ends in twelve.
#[test]
fn a_document_time_stamp_keeps_a_letter_with_what_it_carries() {
    let bench = Bench::new();
    // The CAs of the test HPKI sign with RSA-2048, which real ones will not do any more by then.
    let policy = "[algorithms]\nrsa2048 = \"2060-12-31\"\n";
    fs::write(bench.path("trust/policy.toml"), policy).unwrap();
    let trust = client::trust::load(&bench.path("trust")).unwrap();
    let (hpki, doctor, now) = (&bench.hpki, bench.hpki.doctor(), bench.now);
    let authority = |serial: u64, years: i64| TokenSpec {
        certificate: Some(hpki.tsa_with(TsaSpec {
            serial,
            not_after: Some(now + Duration::days(365 * years)),
            ..TsaSpec::default()
        })),
        ..TokenSpec::at(now)
    };
    let letter = signed(&pdf(&LETTER), Look::PLAIN, |ranges| {
        let options = ContainerOptions {
            stamp: Some(authority(0x41, 3)),
            signing_time: None,
        };
        hpki.signature(&doctor, ranges, options)
    });
    let stamped = |pdf: &[u8], catalog: &str, over: fn(&[u8]) -> Vec<u8>| {
        let look = Look {
            form: "ETSI.RFC3161",
            more: "",
            number: 60,
            earlier: "20 0 R",
            catalog,
            ..Look::PLAIN
        };
        let imprint = |ranges: &[u8]| DigestAlgorithm::Sha256.digest(&over(ranges));
        signed(pdf, look, |ranges| {
            hpki.tsa_token(DigestAlgorithm::Sha256, &imprint(ranges), authority(0x42, 12))
        })
    };
    let lists: Vec<Vec<u8>> = hpki.evidence(now, &[]).into_iter().map(|(_, list)| list).collect();
    let of_signing_ca = hpki.crl(Ca::Sign, CrlSpec::at(now));
    let response = hpki.ocsp(
        Ca::Sign,
        &kit::ocsp::ocsp_request(Ca::Sign, CardSpec::doctor().serial),
        &OcspSpec::at(now),
    );
    let others: Vec<Vec<u8>> = lists.iter().filter(|list| **list != of_signing_ca).cloned().collect();
    assert_eq!(others.len() + 1, lists.len());
    let kept = kit::pdf::stored(&letter, "20 0 R", &lists, &[]);
    let kept_ocsp = kit::pdf::stored(&letter, "20 0 R", &others, &[response]);
    let same = <[u8]>::to_vec;
    let long = stamped(&kept, STORE, same);
    let unsound = stamped(&kept, STORE, |_| b"something else".to_vec());
    let before = kit::pdf::stored(&stamped(&letter, "", same), "20 0 R 60 0 R", &lists, &[]);
    let bare = signed(&pdf(&LETTER), Look::PLAIN, |ranges| unstamped(&doctor, ranges));
    let bare = stamped(&kit::pdf::stored(&bare, "20 0 R", &lists, &[]), STORE, same);

    let far = now + Duration::days(6 * 365);
    let mut then = Evidence::default();
    then.add("tsa.crl", &hpki.crl(Ca::TsaRoot, CrlSpec::at(far - Duration::hours(1))));
    let nothing = Evidence::default();
    for (name, bytes, at, evidence, passes, level) in [
        ("kept", &kept, now, &nothing, true, Level::BLt),
        ("kept with OCSP", &kept_ocsp, now, &nothing, true, Level::BLt),
        ("long", &long, now, &nothing, true, Level::BLta),
        ("unsound", &unsound, now, &nothing, true, Level::BLt),
        ("before", &before, now, &nothing, true, Level::BLt),
        ("bare", &bare, now, &nothing, true, Level::BT),
        ("kept, later", &kept, far, &then, false, Level::BB),
        ("long, later", &long, far, &then, true, Level::BLta),
        (
            "long with OCSP, later",
            &stamped(&kept_ocsp, STORE, same),
            far,
            &then,
            true,
            Level::BLta,
        ),
        ("before, later", &before, far, &then, true, Level::BLt),
        ("unsound, later", &unsound, far, &then, false, Level::BB),
    ] {
        let subject = Subject::Pdf(Box::new(SignedPdf::of(bytes)));
        let validated = trust.validate(subject, evidence.clone(), at);
        let report = validated.report();
        assert_eq!(
            (report.passed(), report.level.clone()),
            (passes, Some(level.name().to_owned())),
            "{name}: {:#?}",
            report.checks
        );
        assert_eq!(&report.replay().unwrap(), report, "{name}");
        let proven = match name.split(',').next() {
            Some("before") => Some(0),
            Some("long" | "bare") => Some(lists.len()),
            _ => None,
        };
        if let Some(count) = proven {
            let said = format!("proves that 1 signatures and stamps and {count} objects");
            assert!(report.checks.iter().any(|check| check.detail.contains(&said)), "{name}");
        }
        // A stamp that proves nothing is a warning, never a verdict.
        assert_eq!(
            report
                .checks
                .iter()
                .any(|check| check.detail.contains("proves nothing")),
            name.starts_with("unsound"),
            "{name}"
        );
    }
}

#[test]
fn plain_cms_without_signing_certificate_is_of_no_level() {
    let bench = Bench::new();
    let doctor = bench.hpki.doctor();
    let chain: String = doctor.chain.iter().map(|one| kit::pem("CERTIFICATE", one)).collect();
    for (name, text) in [
        ("key.pem", doctor.key_pem()),
        ("cert.pem", kit::pem("CERTIFICATE", &doctor.certificate)),
        ("chain.pem", chain),
    ] {
        fs::write(bench.path(name), text).unwrap();
    }
    let look = Look {
        form: "adbe.pkcs7.detached",
        ..Look::PLAIN
    };
    let letter = signed(&pdf(&LETTER), look, |ranges| {
        fs::write(bench.path("ranges"), ranges).unwrap();
        let mut openssl = Command::new("openssl");
        openssl
            .current_dir(&bench.folder)
            .args(["cms", "-sign", "-binary", "-md", "sha256", "-outform", "DER"]);
        openssl.args([
            "-in",
            "ranges",
            "-signer",
            "cert.pem",
            "-inkey",
            "key.pem",
            "-certfile",
            "chain.pem",
        ]);
        let output = openssl.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    });
    let report = bench.judge(&letter);
    assert_eq!((report.indication, &report.level), (Indication::Indeterminate, &None));
    assert_eq!(report.sub_indication, Some(SubIndication::SigConstraintsFailure));
    assert!(failed_at(&report).contains(&"level"));
    // The same where PAdES promises more is no PAdES signature.
    let mut promised = letter;
    kit::pdf::replace(&mut promised, "/adbe.pkcs7.detached", "/ETSI.CAdES.detached");
    assert_eq!(
        bench.judge(&promised).sub_indication,
        Some(SubIndication::FormatFailure)
    );
}

#[test]
fn forms_of_the_past_are_recognised_and_refused() {
    let bench = Bench::new();
    let doctor = bench.hpki.doctor();
    for (form, row) in [
        ("adbe.pkcs7.detached", None),
        ("adbe.pkcs7.sha1", Some(SubIndication::CryptoConstraintsFailure)),
        ("adbe.x509.rsa_sha1", Some(SubIndication::CryptoConstraintsFailure)),
        ("Entrust.PPKEF", Some(SubIndication::FormatFailure)),
    ] {
        let report = bench.judge(&bench.sign(&pdf(&LETTER), Look { form, ..Look::PLAIN }, &doctor));
        assert_eq!(report.sub_indication, row, "{form}");
    }
    let unsigned = bench.judge(&pdf(&LETTER));
    assert_eq!(failed_at(&unsigned), ["signatures"]);
}

#[test]
fn the_signer_is_judged_as_everywhere() {
    let bench = Bench::new();
    let authentication = bench.judge(&bench.sign(&pdf(&LETTER), Look::PLAIN, &bench.hpki.auth_card()));
    assert_eq!(
        authentication.sub_indication,
        Some(SubIndication::SigConstraintsFailure)
    );
    let card = bench.hpki.card(CardSpec::p384_doctor());
    assert!(bench.judge(&bench.sign(&pdf(&LETTER), Look::PLAIN, &card)).passed());
    // Without a stamp the policy asks for more.
    let bare = signed(&pdf(&LETTER), Look::PLAIN, |ranges| {
        unstamped(&bench.hpki.doctor(), ranges)
    });
    let report = bench.judge(&bare);
    assert_eq!(
        (report.indication, failed_at(&report)),
        (Indication::Indeterminate, vec!["level"])
    );
    // Evidence the maker put in counts for a verdict, and not for what must still be asked for.
    let subject = Subject::Pdf(Box::new(SignedPdf::of(&bench.sign(
        &pdf(&LETTER),
        Look::PLAIN,
        &bench.hpki.doctor(),
    ))));
    assert!(
        !bench
            .trust
            .missing(&subject, &Evidence::default(), bench.now)
            .is_empty()
    );
}

fn unstamped(card: &Card, content: &[u8]) -> Vec<u8> {
    let identity = SigningIdentity {
        certificate: card.certificate.clone(),
        chain: card.chain.clone(),
        scheme: card.scheme(),
    };
    let digest = card.natural_digest();
    let prepared = prepare(&identity, digest, &digest.digest(content), None).unwrap();
    let value = card.sign(prepared.to_be_signed(), digest);
    prepared.finish(&value).unwrap()
}

#[test]
fn a_signature_inside_a_letter_is_told_and_never_decides() {
    let bench = Bench::new();
    let doctor = bench.hpki.doctor();
    let letter = bench.sign(&pdf(&LETTER), Look::PLAIN, &doctor);
    let attacked = attacks(&letter)
        .into_iter()
        .find(|(name, _)| *name == "isa-section")
        .unwrap()
        .1;
    let xml = br#"<ClinicalDocument xmlns="urn:hl7-org:v3"><s:Signature xmlns:s="http://www.w3.org/2000/09/xmldsig#"/></ClinicalDocument>"#;
    for (name, content, verdict) in [
        ("good", letter.as_slice(), Some("TOTAL-PASSED")),
        ("changed", attacked.as_slice(), Some("TOTAL-FAILED")),
        ("xml", xml.as_slice(), None),
        ("plain", kit::letter_pdf().as_slice(), None),
    ] {
        let (envelope, mut files) = referral();
        files[0].1 = content.to_vec();
        let container = bench
            .hpki
            .container(&doctor, &envelope, &files, ContainerOptions::at(bench.now));
        let file = format!("{name}.asice");
        fs::write(bench.path(&file), container).unwrap();
        let (exit, report) = bench.verify(&file);
        assert_eq!((exit, &report["indication"]), (0, &"TOTAL-PASSED".into()), "{name}");
        let embedded = report["embedded_signatures"].as_array().cloned().unwrap_or_default();
        assert_eq!(embedded.len(), usize::from(name != "plain"), "{name}");
        let Some(embedded) = embedded.first() else { continue };
        assert_eq!(embedded["path"], "letter/letter.pdf");
        assert_eq!(embedded["report"]["indication"].as_str(), verdict, "{name}");
        let warned = report["checks"]
            .as_array()
            .unwrap()
            .iter()
            .any(|check| check["name"] == "embedded_signature" && check["result"] == "warning");
        assert_eq!(warned, name != "good", "{name}");
        // The report alone gives the same report.
        fs::write(bench.path("report.json"), report.to_string()).unwrap();
        let mut replay = Command::new(bin("hikyaku"));
        replay
            .env("HIKYAKU_HOME", bench.path("home"))
            .arg("verify")
            .arg("--replay")
            .arg(bench.path("report.json"));
        assert_eq!(replay.output().unwrap().status.code(), Some(0), "{name}");
    }
    fs::write(bench.path("letter.pdf"), &letter).unwrap();
    let (exit, report) = bench.verify("letter.pdf");
    assert_eq!((exit, &report["indication"]), (0, &"TOTAL-PASSED".into()));
    let inspected = Command::new(bin("hikyaku"))
        .args(["inspect", "--json"])
        .arg(bench.path("letter.pdf"))
        .output()
        .unwrap();
    let value: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(value["pdf"]["signatures"][0]["form"], "ETSI.CAdES.detached");
}

/// What pyHanko makes, who accepts it, and why where that differs: exit code of ours, verdict of pyHanko's.
const MADE_BY_PYHANKO: &[(&str, i32, bool)] = &[
    // Below B-T: our policy asks for a stamp.
    ("b.pdf", 3, true),
    ("t.pdf", 0, true),
    ("lt.pdf", 0, true),
    ("lta.pdf", 0, true),
    ("t-stamped.pdf", 0, true),
    ("adbe.pdf", 0, true),
    ("adbe-dss.pdf", 0, true),
    ("twice.pdf", 0, true),
    ("visible.pdf", 0, true),
    ("visible-then-lta.pdf", 0, true),
    ("certified.pdf", 0, true),
    // A later signature that is seen may cover what was signed: pyHanko allows it, we do not.
    ("twice-visible.pdf", 1, true),
];

#[test]
fn what_pyhanko_makes_is_judged_by_both() {
    let Some(python) = python() else { return };
    let services = Services::start_blocking(0);
    let bench = Bench::new();
    let hpki = services.hpki();
    let doctor = hpki.doctor();
    let folder = bench.path("made");
    for name in ["crls", "roots"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    hpki.write_trust(&bench.path("trust"));
    hpki.write_evidence(&bench.path("evidence"), hpki.now(), &[]);
    hpki.write_evidence(&folder.join("crls"), hpki.now(), &[]);
    fs::write(folder.join("key.pem"), doctor.key_pem()).unwrap();
    fs::write(folder.join("cert.pem"), doctor.certificates_pem()).unwrap();
    fs::write(folder.join("roots/root.der"), hpki.ca(Ca::Root)).unwrap();
    fs::write(folder.join("roots/tsa.der"), hpki.ca(Ca::TsaRoot)).unwrap();
    fs::write(bench.path("letter.pdf"), kit::letter_pdf()).unwrap();
    let made = Command::new(&python)
        .arg(SCRIPT)
        .arg("make")
        .arg(&folder)
        .arg(bench.path("letter.pdf"))
        .arg(services.tsa_url())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let files: Vec<PathBuf> = MADE_BY_PYHANKO.iter().map(|(name, ..)| folder.join(name)).collect();
    let said = pyhanko(
        &python,
        &folder,
        &folder.join("roots/root.der"),
        &folder.join("roots/tsa.der"),
        &files,
    );
    for (name, exit, accepted) in MADE_BY_PYHANKO {
        let (ours, report) = bench.verify(&format!("made/{name}"));
        assert_eq!((ours, said[*name]), (*exit, Some(*accepted)), "{name}: {report:#}");
    }
    // Years ahead, with nothing at hand but what the files keep and the newest list of the stamps' authority.
    fs::write(
        bench.path("trust/policy.toml"),
        "[algorithms]\nrsa2048 = \"2060-12-31\"\n",
    )
    .unwrap();
    let trust = client::trust::load(&bench.path("trust")).unwrap();
    let now = hpki.now();
    let far = now + Duration::days(6 * 365);
    for (name, at, level) in [
        ("lt.pdf", now, Some(Level::BLt)),
        ("lta.pdf", now, Some(Level::BLta)),
        ("adbe-dss.pdf", now, Some(Level::BLt)),
        ("lta.pdf", far, Some(Level::BLta)),
        ("t.pdf", far, None),
    ] {
        let mut evidence = Evidence::default();
        if at == far {
            let list = hpki.crl(Ca::TsaRoot, CrlSpec::at(far - Duration::hours(1)));
            evidence.add("tsa.crl", &list);
        }
        let subject = Subject::Pdf(Box::new(SignedPdf::of(&fs::read(folder.join(name)).unwrap())));
        let at = at + Duration::minutes(2);
        let report = trust.validate(subject, evidence, at).report().clone();
        let reached = report.level.clone().filter(|_| report.passed());
        assert_eq!(
            reached.as_deref(),
            level.map(Level::name),
            "{name} at {at}: {:#?}",
            report.checks
        );
    }
}

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/judges/pyhanko_pdf.py");

fn python() -> Option<PathBuf> {
    let python = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/venv/bin/python")).to_owned();
    if !python.is_file() {
        kit::skip("pyHanko over signed PDFs", "no target/venv, which tests/run makes");
        return None;
    }
    Some(python)
}

/// Whether pyHanko accepts every signature of each file; `None`: it finds none or cannot read the file.
fn pyhanko(python: &Path, folder: &Path, hpki: &Path, tsa: &Path, files: &[PathBuf]) -> BTreeMap<String, Option<bool>> {
    let mut command = Command::new(python);
    command
        .arg(SCRIPT)
        .arg("judge")
        .arg(folder)
        .arg(hpki)
        .arg(tsa)
        .args(files);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said: BTreeMap<String, Value> = serde_json::from_slice(&output.stdout).unwrap();
    said.into_iter()
        .map(|(name, said)| {
            let signatures = said["signatures"].as_array().unwrap();
            let all = signatures.iter().all(|one| one["bottom_line"] == true);
            (name, (!signatures.is_empty()).then_some(all))
        })
        .collect()
}
