//! Cards: the real program signs with a SoftHSM token, and with a simulated PIV card behind pcscd, the reader driver and OpenSC.
//! Wrong and locked PINs, a card pulled out and put back, a key that wants its PIN before every signature.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use kit::stage::{PATIENT_ID, PATIENT_NAME};
use kit::{CardSpec, Pair, SoftHsm, Stage, TestHpki, bin};
use serde_json::Value;
use time::OffsetDateTime;

const PIV_PIN: &str = "123456";

#[test]
fn a_softhsm_token_signs_with_every_scheme_it_offers() {
    let Some(module) = SoftHsm::module_or_skip("a_softhsm_token_signs_with_every_scheme_it_offers") else {
        return;
    };
    let hpki = TestHpki::new("http://127.0.0.1:9", OffsetDateTime::now_utc());
    for (card, pss, oid) in [
        (hpki.doctor(), false, "1.2.840.113549.1.1.11"),
        (hpki.doctor(), true, "1.2.840.113549.1.1.10"),
        (hpki.ec_doctor(), false, "1.2.840.10045.4.3.2"),
        (hpki.card(CardSpec::p384_doctor()), false, "1.2.840.10045.4.3.3"),
    ] {
        let desk = Desk::new();
        let token = SoftHsm::with(&card);
        let mut command = desk.sign(module, &["--slot", SoftHsm::LABEL]);
        if pss {
            command.arg("--pss");
        }
        let output = with_pin(command.envs(token.environment()), SoftHsm::PIN);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(desk.inspected()["signature_algorithm"], oid);
    }
}

#[test]
fn a_softhsm_token_shows_its_certificate_without_pin_and_a_wrong_pin_is_not_retried() {
    let name = "a_softhsm_token_shows_its_certificate_without_pin_and_a_wrong_pin_is_not_retried";
    let Some(module) = SoftHsm::module_or_skip(name) else {
        return;
    };
    let hpki = TestHpki::new("http://127.0.0.1:9", OffsetDateTime::now_utc());
    let token = SoftHsm::with(&hpki.doctor());
    let desk = Desk::new();
    let mut card = Command::new(bin("hikyaku"));
    let card = desk
        .home(&mut card)
        .args(["card", "--json", "--module"])
        .arg(module)
        .envs(token.environment());
    let shown = json(&card.output().expect("hikyaku can be run"));
    assert_eq!(shown["tokens"][0]["label"], SoftHsm::LABEL);
    let certificates = shown["tokens"][0]["certificates"].as_array().expect("certificates");
    let signing: Vec<_> = certificates.iter().filter(|held| held["signs"] == true).collect();
    assert_eq!(signing.len(), 1, "not those of the CAs beside it");
    assert_eq!(signing[0]["hc_roles"][0], "Medical Doctor");
    assert_eq!(shown["tokens"][0]["pin"], "ok");
    let output = with_pin(desk.sign(module, &["--json"]).envs(token.environment()), "9999\n1234");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(json(&output)["code"], "pin_incorrect");
    assert!(!desk.path("letter.p7s").exists());
    let output = with_pin(&mut desk.sign(Path::new("/no/such/module.so"), &["--json"]), "1234");
    assert_eq!(json(&output)["code"], "module_not_found");
}

#[test]
fn a_letter_signed_in_softhsm_is_accepted_and_one_with_a_wrong_pin_never_leaves() {
    let name = "a_letter_signed_in_softhsm_is_accepted_and_one_with_a_wrong_pin_never_leaves";
    let Some(module) = SoftHsm::module_or_skip(name) else {
        return;
    };
    let stage = Stage::shared(|_| {});
    let pair = stage.pair();
    let token = SoftHsm::with(&stage.services.hpki().doctor());
    let output = with_pin(send(&pair, module).envs(token.environment()), "9999\n1234");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(json(&output)["code"], "pin_incorrect");
    assert_eq!(arrived(&pair), 0);
    let output = with_pin(send(&pair, module).envs(token.environment()), SoftHsm::PIN);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(json(&output)["state"], "Accepted");
    assert_eq!(arrived(&pair), 1);
    fetched_and_verified(&stage, &pair, &json(&output)["id"]);
}

#[test]
fn a_card_signs_asks_for_its_pin_and_survives_being_pulled_out() {
    let stage = Stage::shared(|_| {});
    let Some(reader) = Reader::start(stage.services.hpki()) else {
        return kit::skip(
            "a_card_signs_asks_for_its_pin_and_survives_being_pulled_out",
            "no pcscd, opensc, vpcd or python3 cryptography",
        );
    };
    // Signs with the nonRepudiation key in 9C, CKA_ALWAYS_AUTHENTICATE, not with the authentication key beside it.
    let desk = Desk::new();
    let card = reader.insert(&[]);
    let output = with_pin(&mut desk.sign(&reader.module, &[]), PIV_PIN);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(desk.inspected()["signer"]["hc_roles"][0], "Medical Doctor");

    // The whole walk: signed with the card, stamped, accepted, in the hospital's inbox, fetched, verified again.
    let pair = stage.pair();
    let output = with_pin(&mut send(&pair, &reader.module), PIV_PIN);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(json(&output)["state"], "Accepted");
    assert_eq!(arrived(&pair), 1);
    fetched_and_verified(&stage, &pair, &json(&output)["id"]);

    // Wrong PINs: each tried once, each told, the third locks.
    let tries: Vec<(Option<i32>, String)> = (0..4)
        .map(|_| {
            let output = with_pin(&mut send(&pair, &reader.module), "000000\n123456");
            (output.status.code(), json(&output)["code"].to_string())
        })
        .collect();
    let codes: Vec<&str> = tries.iter().map(|(_, code)| code.trim_matches('"')).collect();
    assert!(tries.iter().all(|(exit, _)| *exit == Some(2)), "{tries:?}");
    assert_eq!(&codes[..2], ["pin_incorrect", "pin_incorrect"]);
    assert_eq!(&codes[2..], ["pin_locked", "pin_locked"]);
    let output = with_pin(&mut send(&pair, &reader.module), PIV_PIN);
    assert_eq!(json(&output)["code"], "pin_locked", "the right PIN comes too late");
    assert_eq!(reader.shown()["tokens"][0]["pin"], "locked");
    drop(card);

    // Pulled out while it signs: said so, nothing sent.
    reader.heal();
    let desk = Desk::new();
    let card = reader.insert(&[("PIV_REMOVE_AT_SIGN", "1")]);
    let output = with_pin(&mut send(&pair, &reader.module), PIV_PIN);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(json(&output)["code"], "token_removed", "{output:?}");
    assert_eq!(arrived(&pair), 1, "only the first");
    drop(card);

    // Pulled out, put back: the session is opened again and the signature made.
    let mut card = reader.insert(&[("PIV_REMOVE_AT_SIGN", "1")]);
    let mut waiting = desk.sign(&reader.module, &["--wait-for-card", "60"]);
    let mut waiting = spawn_with_pin(&mut waiting, "123456\n123456");
    card.wait_until_pulled();
    drop(card);
    let _card = reader.insert_unseen(&[]);
    let exit = waiting.wait().expect("hikyaku ends");
    assert!(exit.success(), "{exit}");
    assert_eq!(desk.inspected()["signer"]["hc_roles"][0], "Medical Doctor");
}

/// A clinic's desk: a folder with a letter.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("letter.pdf"), kit::letter_pdf()).expect("a letter");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn home<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("HIKYAKU_HOME", self.path("home")).env("HIKYAKU_LANG", "en")
    }

    fn sign(&self, module: &Path, more: &[&str]) -> Command {
        let mut command = Command::new(bin("hikyaku"));
        self.home(&mut command)
            .args(["sign", "--key", "card", "--pin-fd", "0", "--module"])
            .arg(module)
            .arg("--detached")
            .arg(self.path("letter.pdf"))
            .arg("--out")
            .arg(self.path("letter.p7s"))
            .args(more);
        command
    }

    fn inspected(&self) -> Value {
        let mut command = Command::new(bin("hikyaku"));
        let command = self
            .home(&mut command)
            .args(["inspect", "--json"])
            .arg(self.path("letter.p7s"));
        json(&command.output().expect("hikyaku can be run"))
    }
}

/// pcscd with a virtual reader, for one test at a time on this machine.
struct Reader {
    folder: tempfile::TempDir,
    python: PathBuf,
    /// OpenSC.
    module: PathBuf,
    service: Child,
    _exclusive: File,
}

/// A card in the reader; dropped, it is out.
struct InsertedCard(Child);

impl Reader {
    fn start(hpki: &TestHpki) -> Option<Self> {
        let venv = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/venv/bin/python"));
        let python = [venv.to_owned(), PathBuf::from("python3")].into_iter().find(|python| {
            let imports = Command::new(python)
                .args(["-c", "import cryptography"])
                .stderr(Stdio::null())
                .status();
            imports.is_ok_and(|status| status.success())
        })?;
        let driver = Path::new("/usr/lib/pcsc/drivers/serial/libifdvpcd.so").is_file()
            || Path::new("/etc/reader.conf.d/vpcd").is_file();
        if !driver {
            return None;
        }
        let module = kit::pkcs11_module("opensc-pkcs11.so")?;
        let lock = File::create(std::env::temp_dir().join("hikyaku-pcscd.lock")).ok()?;
        lock.lock().ok()?;
        std::fs::create_dir_all("/run/pcscd").ok()?;
        let service = Command::new("pcscd")
            .arg("--foreground")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, card) in [("sign", hpki.doctor()), ("auth", hpki.auth_card())] {
            std::fs::write(folder.path().join(format!("{name}.key")), card.key_pem()).expect("a key");
            std::fs::write(
                folder.path().join(format!("{name}.pem")),
                kit::pem("CERTIFICATE", &card.certificate),
            )
            .expect("a certificate");
        }
        let until = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", 35963)).is_err() {
            if Instant::now() > until {
                return None;
            }
            sleep(Duration::from_millis(100));
        }
        Some(Self {
            folder,
            python,
            module,
            service,
            _exclusive: lock,
        })
    }

    /// Puts the card in and waits until the program sees it.
    fn insert(&self, environment: &[(&str, &str)]) -> InsertedCard {
        let card = self.insert_unseen(environment);
        let until = Instant::now() + Duration::from_secs(20);
        while self.shown()["tokens"][0]["certificates"]
            .as_array()
            .is_none_or(Vec::is_empty)
        {
            assert!(Instant::now() < until, "the card was not seen: {}", self.shown());
            sleep(Duration::from_millis(300));
        }
        card
    }

    fn insert_unseen(&self, environment: &[(&str, &str)]) -> InsertedCard {
        let slot = |slot: &str, name: &str| {
            let file = |ending| {
                self.folder
                    .path()
                    .join(format!("{name}.{ending}"))
                    .display()
                    .to_string()
            };
            format!("{slot}={},{}", file("key"), file("pem"))
        };
        let card = Command::new(&self.python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/cards/pivcard.py"))
            .arg(self.folder.path().join("state.json"))
            .args(["35963", &slot("9A", "auth"), &slot("9C", "sign")])
            .envs(environment.iter().copied())
            .spawn();
        InsertedCard(card.expect("the card can be started"))
    }

    /// A new card of the same kind: PIN and tries as issued.
    fn heal(&self) {
        let _ = std::fs::remove_file(self.folder.path().join("state.json"));
    }

    fn shown(&self) -> Value {
        let mut command = Command::new(bin("hikyaku"));
        let command = command
            .args(["card", "--json", "--module"])
            .arg(&self.module)
            .arg("--home")
            .arg(self.folder.path());
        json(&command.output().expect("hikyaku can be run"))
    }
}

impl InsertedCard {
    fn wait_until_pulled(&mut self) {
        self.0.wait().expect("the card ends");
    }
}

impl Drop for InsertedCard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        sleep(Duration::from_millis(500)); // pcscd notices
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.service.kill();
        let _ = self.service.wait();
    }
}

/// `hikyaku send --json` with a card, from the clinic to the hospital.
fn send(pair: &Pair, module: &Path) -> Command {
    let letter = pair.clinic.file("letter.pdf", &kit::letter_pdf());
    let mut command = pair.clinic.command();
    command.args(["--json", "send"]).arg(letter).args([
        "--key",
        "card",
        "--pin-fd",
        "0",
        "--to",
        &pair.to,
        "--to-name",
        "テスト飛脚病院",
        "--patient-id",
        PATIENT_ID,
        "--patient-name",
        PATIENT_NAME,
        "--birth-date",
        "1970-01-01",
        "--module",
    ]);
    command.arg(module);
    command
}

/// How many letters wait for the hospital.
fn arrived(pair: &Pair) -> usize {
    let inbox = pair.hospital.json(["inbox"]).expect(0);
    inbox.json["items"].as_array().map_or(0, Vec::len)
}

/// The hospital fetches the letter, and what it then has verifies offline and is the clinic's.
fn fetched_and_verified(stage: &Stage, pair: &Pair, id: &Value) {
    let id = id.as_str().expect("an id");
    let out = pair.hospital.path("letters");
    let text = |path: &Path| path.to_str().expect("test paths are Unicode").to_owned();
    let fetched = pair
        .hospital
        .json(["fetch", id, "--person", "staff", "--out", &text(&out)])
        .expect(0);
    assert_eq!(fetched.json["report"]["indication"], "TOTAL-PASSED", "{}", fetched.text);
    let letter = std::fs::read(out.join(id).join("letter/letter.pdf")).expect("the letter came out");
    assert!(letter == kit::letter_pdf(), "not the letter that was signed");

    let evidence = pair.hospital.path("evidence");
    let hpki = stage.services.hpki();
    hpki.write_evidence(&evidence, OffsetDateTime::now_utc(), &[]);
    let (container, trust) = (out.join(format!("{id}.asice")), stage.relay.folder().join("trust"));
    let verify = [
        "verify",
        &text(&container),
        "--trust",
        &text(&trust),
        "--evidence",
        &text(&evidence),
    ];
    let verified = pair.hospital.json(verify).expect(0);
    assert_eq!(verified.json["indication"], "TOTAL-PASSED", "{}", verified.text);
}

fn spawn_with_pin(command: &mut Command, lines: &str) -> Child {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("hikyaku can be run");
    let mut stdin = child.stdin.take().expect("a pipe");
    // A program that ends without asking has closed its end.
    let _ = writeln!(stdin, "{lines}");
    child
}

fn with_pin(command: &mut Command, lines: &str) -> Output {
    spawn_with_pin(command, lines).wait_with_output().expect("hikyaku ends")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}
