//! A software token (SoftHSM) with a card's key and certificate: what PKCS #11 tests talk to.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use tempfile::TempDir;

use crate::card::Card;
use crate::house::pkcs11_module;
use crate::skip::skip;

/// A fresh token in a folder of its own, gone when dropped.
#[derive(Debug)]
pub struct SoftHsm {
    folder: TempDir,
}

impl SoftHsm {
    /// User PIN of the token.
    pub const PIN: &'static str = "1234";
    /// Label of the token, as deployed cards have it.
    pub const LABEL: &'static str = "HPKI Application";

    /// The PKCS #11 module; `None` where SoftHSM is not installed.
    #[must_use]
    pub fn module() -> Option<&'static Path> {
        static MODULE: LazyLock<Option<PathBuf>> = LazyLock::new(|| pkcs11_module("libsofthsm2.so"));
        MODULE.as_deref()
    }

    /// The same for the test `name`, which is skipped where there is none.
    #[must_use]
    pub fn module_or_skip(name: &str) -> Option<&'static Path> {
        let module = Self::module();
        if module.is_none() {
            skip(name, "no softhsm2");
        }
        module
    }

    /// Makes a token and imports `card`.
    ///
    /// # Panics
    /// If `softhsm2-util` or `pkcs11-tool` is missing or fails.
    #[must_use]
    pub fn with(card: &Card) -> Self {
        let module = Self::module().expect("softhsm2 is installed").display().to_string();
        let token = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        let tokens = token.path("tokens");
        std::fs::create_dir(&tokens).expect("a folder for tokens");
        let configuration = format!("directories.tokendir = {}\n", tokens.display());
        std::fs::write(token.path("softhsm2.conf"), configuration).expect("a configuration");
        std::fs::write(token.path("key.pem"), card.key_pem()).expect("a key file");
        let key = token.path("key.pem").display().to_string();
        let (label, pin) = (Self::LABEL, Self::PIN);
        token.run(
            "softhsm2-util",
            &[
                "--init-token",
                "--free",
                "--label",
                label,
                "--so-pin",
                "12345678",
                "--pin",
                pin,
            ],
        );
        token.run(
            "softhsm2-util",
            &[
                "--import",
                &key,
                "--token",
                label,
                "--label",
                "Private key of HPKI",
                "--id",
                "17",
                "--pin",
                pin,
            ],
        );
        let own = (&card.certificate, "17", "HPKI END ENTITY CERTIFICATE");
        // Issuer and root lie beside it, as on deployed cards.
        let cas = card.chain.iter().zip(["1a", "19"]);
        let cas = cas.map(|(der, id)| (der, id, "HPKI CA CERTIFICATE"));
        for (der, id, name) in std::iter::once(own).chain(cas) {
            let file = token.path("certificate.der");
            std::fs::write(&file, der).expect("a certificate file");
            token.run(
                "pkcs11-tool",
                &[
                    "--module",
                    &module,
                    "--token-label",
                    label,
                    "--login",
                    "--pin",
                    pin,
                    "--write-object",
                    &file.display().to_string(),
                    "--type",
                    "cert",
                    "--id",
                    id,
                    "--label",
                    name,
                ],
            );
        }
        token
    }

    /// Makes a token with an Ed25519 key of its own, as a relay's log may have.
    ///
    /// # Panics
    /// If `softhsm2-util` or `pkcs11-tool` is missing or fails.
    #[must_use]
    pub fn with_log_key(token_label: &str, key_label: &str) -> Self {
        let module = Self::module().expect("softhsm2 is installed").display().to_string();
        let token = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        let tokens = token.path("tokens");
        std::fs::create_dir(&tokens).expect("a folder for tokens");
        let configuration = format!("directories.tokendir = {}\n", tokens.display());
        std::fs::write(token.path("softhsm2.conf"), configuration).expect("a configuration");
        let pin = Self::PIN;
        let init = [
            "--init-token",
            "--free",
            "--label",
            token_label,
            "--so-pin",
            "12345678",
            "--pin",
            pin,
        ];
        token.run("softhsm2-util", &init);
        let make = [
            "--module",
            &module,
            "--token-label",
            token_label,
            "--login",
            "--pin",
            pin,
            "--keypairgen",
            "--key-type",
            "EC:edwards25519",
            "--label",
            key_label,
            "--id",
            "01",
        ];
        token.run("pkcs11-tool", &make);
        token
    }

    /// Environment for child processes that shall see the token.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, PathBuf); 1] {
        [("SOFTHSM2_CONF", self.path("softhsm2.conf"))]
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let output = Command::new(program).args(arguments).envs(self.environment()).output();
        let output = output.unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
        assert!(
            output.status.success(),
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
