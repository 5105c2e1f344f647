//! A desk in a clinic or hospital: the built client with a home of its own, and the same device's bare requests.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::card::Card;
use crate::house::bin;
use crate::https::{Https, Reply};
use crate::relay::{Joined, RelayProcess, said};

/// A home folder with what enrolment left there. Files of a test may lie in it too.
#[derive(Debug)]
pub struct Desk {
    folder: TempDir,
}

/// What `hikyaku --json` said.
#[derive(Debug, Clone)]
pub struct Spoken {
    /// Exit code.
    pub exit: i32,
    /// Standard output as JSON; null if there was none.
    pub json: Value,
    /// Both streams as text, for messages of failed tests.
    pub text: String,
}

impl Default for Desk {
    fn default() -> Self {
        Self::new()
    }
}

impl Desk {
    /// A machine before enrolment.
    ///
    /// # Panics
    /// If no folder can be made.
    #[must_use]
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder for the desk"),
        }
    }

    /// `hikyaku enroll`.
    ///
    /// # Panics
    /// If it fails.
    pub fn enrol(&self, relay: &RelayProcess, joined: &Joined) {
        let output = self.run(["enroll", "--relay", &relay.portal_url(), "--code", &joined.code]);
        assert!(output.status.success(), "enroll: {}\n{}", said(&output), relay.log());
    }

    /// The client's home.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// A place for a file of the test.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of the test.
    ///
    /// # Panics
    /// If it cannot.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder of the test");
        fs::write(&path, bytes).expect("a file of the test");
        path
    }

    /// A soft key with its certificates, as one PEM file for `--key`.
    #[must_use]
    pub fn soft_key(&self, card: &Card) -> PathBuf {
        self.file(
            "card.pem",
            format!("{}{}", card.key_pem(), card.certificates_pem()).as_bytes(),
        )
    }

    /// Runs `hikyaku` in this home, in English.
    ///
    /// # Panics
    /// If there is no such program.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Output {
        self.command().args(arguments).output().expect("hikyaku can be run")
    }

    /// `hikyaku` in this home, to be given arguments.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(bin("hikyaku"));
        command
            .env("HIKYAKU_HOME", self.home())
            .env("HIKYAKU_LANG", "en")
            .current_dir(self.folder.path());
        command
    }

    /// Runs `hikyaku --json`.
    ///
    /// # Panics
    /// If there is no such program, or it was killed.
    pub fn json<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Spoken {
        let output = self
            .command()
            .arg("--json")
            .args(arguments)
            .output()
            .expect("hikyaku can be run");
        Spoken {
            exit: output.status.code().expect("hikyaku ends by itself"),
            json: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
            text: said(&output),
        }
    }

    /// The relay's API, as this device speaks to it.
    ///
    /// # Panics
    /// If the device is not enrolled.
    #[must_use]
    pub fn https(&self, relay: &RelayProcess) -> Https {
        self.https_at(relay.api_port())
    }

    /// The API of whichever relay answers at a port of this machine.
    ///
    /// # Panics
    /// If the device is not enrolled.
    #[must_use]
    pub fn https_at(&self, port: u16) -> Https {
        let read = |name: &str| fs::read(self.home().join(name)).expect("enrolment leaves its files");
        let (ca, chain, key) = (read("relay-ca.pem"), read("device.pem"), read("device.key"));
        Https::new(port, &ca, Some((&chain, &key))).expect("what enrolment leaves can be used")
    }

    /// Begins an upload of `length` bytes.
    ///
    /// # Panics
    /// If the relay does not answer.
    #[must_use]
    pub fn begin_upload(&self, relay: &RelayProcess, length: u64, sha256: Option<&str>) -> Reply {
        let mut request = Request::post("/v1/uploads")
            .header("tus-resumable", "1.0.0")
            .header("upload-length", length);
        if let Some(sha256) = sha256 {
            request = request.header("upload-metadata", format!("sha256 {}", STANDARD.encode(sha256)));
        }
        self.https(relay).send(request, &[]).expect("an answer to a new upload")
    }

    /// Uploads `bytes` and submits them: the last answer, be it of the upload or of the submission.
    ///
    /// # Panics
    /// If the relay does not answer.
    #[must_use]
    pub fn submit(&self, relay: &RelayProcess, bytes: &[u8]) -> Reply {
        let begun = self.begin_upload(relay, bytes.len() as u64, None);
        if begun.status != 201 {
            return begun;
        }
        let place = begun.header("location").to_owned();
        let https = self.https(relay);
        let sent = https.send(append(&place, 0), bytes).expect("an answer to bytes");
        if sent.status != 204 {
            return sent;
        }
        self.submit_upload(relay, &place)
    }

    /// `POST /v1/submissions` for a finished upload.
    ///
    /// # Panics
    /// If the relay does not answer.
    #[must_use]
    pub fn submit_upload(&self, relay: &RelayProcess, place: &str) -> Reply {
        let body = json!({ "upload": place }).to_string();
        let request = Request::post("/v1/submissions").header("content-type", "application/json");
        self.https(relay)
            .send(request, body.as_bytes())
            .expect("an answer to a submission")
    }

    /// `GET path` as this device.
    ///
    /// # Panics
    /// If the relay does not answer.
    #[must_use]
    pub fn get(&self, relay: &RelayProcess, path: &str) -> Reply {
        self.https(relay)
            .get(path)
            .unwrap_or_else(|error| panic!("{path}: {error:#}"))
    }

    /// `GET path` as this device, for `person`, with further header fields.
    ///
    /// # Panics
    /// If the relay does not answer.
    #[must_use]
    pub fn get_as(&self, relay: &RelayProcess, path: &str, person: &str, fields: &[(&str, &str)]) -> Reply {
        let mut request = Request::get(path).header("hikyaku-person", person);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        self.https(relay)
            .send(request, &[])
            .unwrap_or_else(|error| panic!("{path}: {error:#}"))
    }
}

/// The request that appends bytes to an upload.
#[must_use]
pub fn append(place: &str, offset: u64) -> http::request::Builder {
    Request::patch(place)
        .header("tus-resumable", "1.0.0")
        .header("upload-offset", offset)
        .header("content-type", "application/offset+octet-stream")
}

impl Spoken {
    /// Code of the failure, if it was one.
    #[must_use]
    pub fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    /// Fails with everything that was said unless the exit code is `exit`.
    ///
    /// # Panics
    /// If it is not.
    pub fn expect(self, exit: i32) -> Self {
        assert_eq!(self.exit, exit, "{}", self.text);
        self
    }
}

/// All files below `folder`: path relative to it, with `/`, and bytes.
///
/// # Panics
/// If one cannot be read.
#[must_use]
pub fn files_below(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("a folder can be listed") {
            let path = entry.expect("an entry of a folder").path();
            if path.is_dir() {
                open.push(path);
            } else if path.is_file() {
                let name = path.strip_prefix(folder).expect("below the folder");
                let bytes = fs::read(&path).expect("a file can be read");
                found.push((name.to_string_lossy().replace('\\', "/"), bytes));
            }
        }
    }
    found.sort();
    found
}
