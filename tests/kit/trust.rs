//! Writes what a verifier is given: the trust directory and the evidence directory.

use std::fs;
use std::path::Path;

use time::OffsetDateTime;

use crate::card::pem;
use crate::hpki::{Ca, TestHpki};
use crate::revocation_lists::{CrlSpec, Revoked};

impl TestHpki {
    /// Writes `hpki/`, `tsa/`, `intermediates/` and a `policy.toml` of defaults into `dir`.
    ///
    /// # Panics
    /// If a file cannot be written.
    pub fn write_trust(&self, dir: &Path) {
        let write = |folder: &str, name: &str, bytes: &[u8]| {
            let folder = dir.join(folder);
            fs::create_dir_all(&folder).expect("a folder of the trust directory");
            fs::write(folder.join(name), bytes).expect("a file of the trust directory");
        };
        write(
            "hpki",
            "test-hpki-root.pem",
            pem("CERTIFICATE", &self.ca(Ca::Root)).as_bytes(),
        );
        write(
            "tsa",
            "test-tsa-root.pem",
            pem("CERTIFICATE", &self.ca(Ca::TsaRoot)).as_bytes(),
        );
        write("intermediates", "test-sign-ca.der", &self.ca(Ca::Sign));
        write("intermediates", "test-sign-ca-rollover.der", &self.ca(Ca::SignRollover));
        write("intermediates", "test-auth-ca.der", &self.ca(Ca::Auth));
        let policy = trust_store::policy::Policy::default().to_toml();
        write("", "policy.toml", policy.as_bytes());
    }

    /// Every list as issued at `this_update`: file name and DER.
    #[must_use]
    pub fn evidence(&self, this_update: OffsetDateTime, revoked: &[(Ca, Revoked)]) -> Vec<(String, Vec<u8>)> {
        let of = |ca: Ca| CrlSpec {
            revoked: revoked
                .iter()
                .filter(|(by, _)| *by == ca)
                .map(|(_, line)| line.clone())
                .collect(),
            ..CrlSpec::at(this_update)
        };
        let file = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
        let mut lists: Vec<(String, Vec<u8>)> = [Ca::Sign, Ca::SignRollover, Ca::Auth, Ca::TsaRoot]
            .into_iter()
            .map(|ca| (file(ca.crl_path()), self.crl(ca, of(ca))))
            .collect();
        lists.push((file(Ca::Root.crl_path()), self.sarl(of(Ca::Root))));
        lists.push((file(crate::hpki::RARL_PATH), self.rarl(CrlSpec::at(this_update))));
        lists
    }

    /// Writes [`evidence`](Self::evidence) into `dir`.
    ///
    /// # Panics
    /// If a file cannot be written.
    pub fn write_evidence(&self, dir: &Path, this_update: OffsetDateTime, revoked: &[(Ca, Revoked)]) {
        fs::create_dir_all(dir).expect("the evidence directory");
        for (name, list) in self.evidence(this_update, revoked) {
            fs::write(dir.join(name), list).expect("a file of the evidence directory");
        }
    }
}
