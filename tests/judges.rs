//! What we sign, others judge: OpenSSL, Bouncy Castle, pyHanko, GnuPG and PKI.js accept it, and refuse it after one flipped byte.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kit::{Ca, Card, CardSpec, OcspSpec, Services, bin, pem};
use trust_store::revocation::OcspRequest;

#[test]
fn five_judges_accept_what_we_sign_and_refuse_a_flipped_byte() {
    let services = Services::start_blocking(0);
    let hpki = services.hpki();
    let python = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/venv/bin/python"));
    let jars = ["bcprov", "bcpkix", "bcutil"].map(|name| format!("/usr/share/java/{name}.jar"));
    for (card, pss, evidence) in [
        (hpki.doctor(), false, false),
        (hpki.doctor(), true, false),
        (hpki.ec_doctor(), false, false),
        (hpki.card(CardSpec::p384_doctor()), false, false),
        (hpki.doctor(), false, true),
    ] {
        let bench = Bench::signed(&services, &card, pss);
        if evidence {
            bench.add_evidence(&services, &card);
        }
        let chain = bench.write(
            "chain.pem",
            card.chain
                .iter()
                .map(|der| pem("CERTIFICATE", der))
                .collect::<String>()
                .as_bytes(),
        );
        let root = bench.write("root.pem", pem("CERTIFICATE", card.chain.last().unwrap()).as_bytes());
        let openssl = |content: &Path| {
            let arguments = [
                "cms",
                "-verify",
                "-cades",
                "-binary",
                "-inform",
                "DER",
                "-purpose",
                "any",
                "-out",
                "/dev/null",
            ];
            let mut command = Command::new("openssl");
            command
                .args(arguments)
                .arg("-in")
                .arg(bench.path("signature.p7s"))
                .arg("-content")
                .arg(content);
            command
                .arg("-CAfile")
                .arg(&root)
                .arg("-certfile")
                .arg(&chain)
                .output()
                .unwrap()
        };
        judge("OpenSSL", &bench, openssl);

        if jars.iter().all(|jar| Path::new(jar).is_file()) {
            judge("Bouncy Castle", &bench, |content| {
                let program = concat!(env!("CARGO_MANIFEST_DIR"), "/judges/Judge.java");
                let mut command = Command::new("java");
                command
                    .args(["-cp", &jars.join(":"), program])
                    .arg(bench.path("signature.p7s"))
                    .arg(content);
                command.output().unwrap()
            });
        } else {
            kit::skip("Bouncy Castle", "no libbcpkix-java");
        }

        if python.is_file() {
            let trust = bench.path("trust");
            hpki.write_trust(&trust);
            let tsa_root = std::fs::read_dir(trust.join("tsa"))
                .unwrap()
                .next()
                .unwrap()
                .unwrap()
                .path();
            judge("pyHanko", &bench, |content| {
                let program = concat!(env!("CARGO_MANIFEST_DIR"), "/judges/pyhanko_judge.py");
                let mut command = Command::new(python);
                command
                    .arg(program)
                    .arg(&root)
                    .arg(&tsa_root)
                    .arg(bench.path("signature.p7s"))
                    .arg(content);
                command.output().unwrap()
            });
        } else {
            kit::skip("pyHanko", "no target/venv, which tests/run makes");
        }

        if evidence {
            println!("GnuPG is not asked about a signature with an OCSP response inside: it reads no CMS of version 5");
            continue;
        }
        if pss {
            println!("GnuPG and PKI.js are not asked about RSASSA-PSS with these parameters");
            continue;
        }
        match gnupg(&bench, &root) {
            Some(home) => judge("GnuPG", &bench, |content| {
                let mut command = Command::new("gpgsm");
                command
                    .args(["--batch", "--no-tty", "--disable-crl-checks", "--homedir"])
                    .arg(&home);
                command.arg("--verify").arg(bench.path("signature.p7s")).arg(content);
                command.output().unwrap()
            }),
            None => kit::skip("GnuPG", "no gpgsm"),
        }
        let modules = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/npm/node_modules"));
        if modules.join("pkijs").is_dir() {
            judge("PKI.js", &bench, |content| {
                let mut command = Command::new("node");
                command
                    .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/judges/pkijs_judge.mjs"))
                    .arg(modules);
                command.arg(bench.path("signature.p7s")).arg(content).arg(&root);
                command.output().unwrap()
            });
        } else {
            kit::skip("PKI.js", "no target/npm, which tests/run makes");
        }
    }
    kit::conformance(
        "Signatures we make, by five foreign judges",
        "all accept; all refuse a flipped byte",
        "RSA, PSS, P-256, P-384: so it is",
    );
}

/// A home for GnuPG that trusts `root` and nothing else.
fn gnupg(bench: &Bench, root: &Path) -> Option<PathBuf> {
    let home = bench.path("gnupg");
    std::fs::create_dir_all(&home).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
    let fingerprint = kit::openssl(
        ["x509", "-noout", "-fingerprint", "-sha1", "-in"]
            .map(PathBuf::from)
            .iter()
            .chain([&root.to_path_buf()]),
    );
    let text = String::from_utf8(fingerprint.stdout).unwrap();
    let (_, hex) = text.trim().split_once('=').unwrap();
    std::fs::write(home.join("trustlist.txt"), format!("{hex} S relax\n")).unwrap();
    // Critical policies must be listed.
    std::fs::write(home.join("policies.txt"), "1.2.392.100495.1.5.1.1.3.1\n").unwrap();
    let mut command = Command::new("gpgsm");
    command
        .args(["--batch", "--no-tty", "--homedir"])
        .arg(&home)
        .arg("--import");
    let imported = command.arg(root).arg(bench.path("chain.pem")).output().ok()?;
    assert!(imported.status.success(), "{imported:?}");
    Some(home)
}

/// A signed and stamped file, and the same with one byte flipped.
struct Bench(tempfile::TempDir);

impl Bench {
    fn signed(services: &Services, card: &Card, pss: bool) -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        let mut letter = kit::letter_pdf();
        let content = bench.write("letter.pdf", &letter);
        let middle = letter.len() / 2;
        letter[middle] ^= 1;
        bench.write("flipped.pdf", &letter);
        let key = bench.write("key.pem", card.key_pem().as_bytes());
        let certificates = bench.write("cert.pem", card.certificates_pem().as_bytes());
        let mut command = Command::new(bin("hikyaku"));
        command
            .env("HIKYAKU_HOME", bench.path("home"))
            .arg("sign")
            .arg("--key")
            .arg(key)
            .arg("--cert")
            .arg(certificates);
        command
            .arg("--detached")
            .arg(content)
            .arg("--out")
            .arg(bench.path("signature.p7s"));
        command
            .args(["--tsa", &services.tsa_url()])
            .args(pss.then_some("--pss"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        bench
    }

    /// The signature with all it is judged by, an OCSP response among it, as an archive has it.
    fn add_evidence(&self, services: &Services, card: &Card) {
        let hpki = services.hpki();
        let parse = |der: &[u8]| trust_store::Certificate::parse(der).unwrap();
        let request = OcspRequest::about(&parse(&card.certificate), &parse(&card.chain[0]));
        let now = time::OffsetDateTime::now_utc();
        let response = hpki.ocsp(card.ca, &request.encode(None), &OcspSpec::at(now));
        let lists: Vec<Vec<u8>> = hpki.evidence(now, &[]).into_iter().map(|(_, list)| list).collect();
        let mut certificates = card.chain.clone();
        certificates.push(hpki.ca(Ca::TsaRoot));
        let plain = std::fs::read(self.path("signature.p7s")).unwrap();
        let full = formats::cades::with_evidence(&plain, &certificates, &lists, &[response]).unwrap();
        assert!(full.len() > plain.len());
        self.write("signature.p7s", &full);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

fn judge(name: &str, bench: &Bench, verdict: impl Fn(&Path) -> Output) {
    let good = verdict(&bench.path("letter.pdf"));
    assert!(good.status.success(), "{name} refuses what we signed: {good:?}");
    let bad = verdict(&bench.path("flipped.pdf"));
    assert!(!bad.status.success(), "{name} accepts a flipped byte: {bad:?}");
}
